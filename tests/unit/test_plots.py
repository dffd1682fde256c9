"""Figures say what they show: titles, units, intervals, n, and a description beside the picture."""

import itertools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from tl_helpers import plots


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture
def table():
    rows = [(arm, budget, 50 + shift + budget, 4.0) for arm, shift in [("a", 0), ("b", 10)] for budget in (5, 10, 20)]
    frame = pd.DataFrame(rows, columns=["arm", "budget", "mean", "half"])
    return frame.assign(low=frame["mean"] - frame["half"], high=frame["mean"] + frame["half"], n=10)


def test_curves_show_every_arm_with_its_interval_and_n(table):
    figure = plots.curves(
        table, x="budget", xlabel="labels", ylabel="accuracy (%)", title="b wins", names={"b": "second", "a": "first"}
    )
    axis = figure.axes[0]
    assert [line.get_label() for line in axis.lines] == ["second", "first"]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [65, 70, 80])
    band = axis.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 61 and band[:, 1].max() == 84
    assert axis.get_title(loc="left") == "b wins" and axis.get_xscale() == "log"
    assert axis.get_legend().get_title().get_text() == "n = 10 runs per point"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("labels", "accuracy (%)")


def test_differences_show_zero_the_intervals_and_the_guess():
    table = pd.DataFrame(
        {"budget": [5, 10], "n": [10, 9], "difference": [3.0, -1.0], "low": [1.0, -4.0], "high": [5.0, 2.0]}
    )
    figure = plots.differences(table, xlabel="labels", ylabel="points", title="t", guess=2.0)
    axis = figure.axes[0]
    heights = [line.get_ydata()[0] for line in axis.lines if len(set(line.get_ydata())) == 1]
    assert 0 in heights and 2.0 in heights
    assert "your prediction: +2" in [text.get_text() for text in axis.get_legend().get_texts()]
    assert axis.get_legend().get_title().get_text() == "n = 9–10 runs per point"


def test_images_are_shown_as_they_are_and_captioned():
    pictures = np.arange(3 * 4 * 4, dtype="uint8").reshape(3, 4, 4, 1)
    figure = plots.images(pictures, ["x", "y", "z"], columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["x", "y", "z", ""]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), pictures[1, ..., 0])
    plots.draw_boxes(figure.axes, np.array([[0, 1, 2, 4], [1, 1, 3, 3]]))
    box = figure.axes[0].patches[0]
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((-0.5, 0.5), 2, 3)


def test_a_confusion_matrix_shows_shares_of_the_true_class():
    figure = plots.confusion(np.array([[3, 1], [0, 4]]), ["cat", "dog"], title="t")
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["75", "25", "0", "100"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat (4)", "dog (4)"]


def test_a_difference_in_words_has_sign_interval_and_n():
    row = pd.Series({"budget": 5, "n": 10, "difference": -1.25, "low": -2.0, "high": 0.04})
    assert plots.in_words(row) == "-1.2 points (95 % interval -2.0 to +0.0, n = 10)"
    assert plots.in_words(row, unit="seconds").startswith("-1.2 seconds")


def test_bars_put_the_first_on_top():
    axis = plots.bars(["first", "second"], [2, 1], xlabel="%", title="t").axes[0]
    assert axis.yaxis_inverted() and [bar.get_width() for bar in axis.patches] == [2, 1]


def test_showing_closes_the_figure_and_puts_words_beside_it(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure = plots.bars(["a"], [1], xlabel="%", title="t")
    plots.show(figure, "one bar of 1 %.")
    plots.say("**Reading.** 1 %")
    assert not plt.fignum_exists(figure.number)
    assert shown[0] is figure
    assert [each.data for each in shown[1:]] == ["*In words:* one bar of 1 %.", "**Reading.** 1 %"]


def test_neighbouring_colours_differ_in_grey_as_well():
    luminance = [np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in plots.PALETTE]
    assert min(abs(a - b) for a, b in itertools.pairwise(luminance)) > 0.05
