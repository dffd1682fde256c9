"""Figures say what they show: titles, units, intervals, n, and a description beside the picture."""

import base64
import io
import itertools
from xml.etree import ElementTree

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tl_helpers.plots import charts as plots


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


@pytest.mark.parametrize(("logarithmic", "place"), [(True, 40), (False, 30)])
def test_the_budget_none_stands_apart_at_a_place_with_its_name(table, logarithmic, place):
    rows = pd.DataFrame({"arm": ["a", "b"], "budget": [None, None], "mean": 80.0, "low": 78.0, "high": 83.0, "n": 10})
    # As numbers with a gap, and as confidence_interval returns it.
    for both in (pd.concat([table, rows]), pd.concat([table, rows]).astype({"budget": object})):
        shuffled = both.sample(frac=1, random_state=1)
        figure = plots.curves(shuffled, x="budget", xlabel="", ylabel="", title="", logarithmic=logarithmic)
        axis = figure.axes[0]
        ticks = dict(zip([text.get_text() for text in axis.get_xticklabels()], axis.get_xticks(), strict=True))
        assert ticks == {"5": 5, "10": 10, "20": 20, "None": place}
        first = next(line for line in axis.lines if line.get_label() == "a")
        assert list(first.get_xdata()) == [5, 10, 20]
        apart = [line.get_ydata()[0] for line in axis.lines if list(line.get_xdata()) == [place]]
        assert apart.count(80) == 2 and apart.count(78) == 2 and apart.count(83) == 2
        assert [text.get_text() for text in axis.get_legend().get_texts()] == list(dict.fromkeys(shuffled["arm"]))


def test_an_arm_and_a_row_of_none_are_drawn(table):
    nameless = table.assign(arm=table["arm"].where(table["arm"] == "a", None))
    axis = plots.curves(nameless, x="budget", xlabel="", ylabel="", title="").axes[0]
    assert [line.get_label() for line in axis.lines] == ["a", "None"] and len(axis.lines[1].get_xdata()) == 3
    gap = table.replace({"budget": {20: None}})
    axis = plots.dots(gap, row="budget", names={"a": "A"}, xlabel="", title="").axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["5", "10", "None"]
    assert list(axis.lines[0].get_ydata()) == pytest.approx([-0.2, 0.8, 1.8])
    gains = pd.DataFrame({"budget": [5, None], "n": 10, "difference": 3.0, "low": 1.0, "high": 5.0})
    axis = plots.differences(gains, xlabel="", ylabel="", title="").axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["5", "None"]


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
    monkeypatch.setattr("tl_helpers.plots.charts.display", lambda what, **how: shown.append(what))
    figure = plots.bars(["a"], [1], xlabel="%", title='"a" < b')
    plots.show(figure, "one bar of 1 %.")
    plots.say("**Reading.** 1 %")
    assert not plt.fignum_exists(figure.number)
    assert [each.data for each in shown[1:]] == ["*In words:* one bar of 1 %.", "**Reading.** 1 %"]
    image = ElementTree.fromstring(shown[0]["text/html"].replace(">", "/>"))
    assert image.get("alt") == shown[0]["text/plain"] == 'Figure, in words below. "a" < b'
    content = base64.b64decode(image.get("src").removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(content)).size[0] > 100


def test_neighbouring_colours_differ_in_grey_as_well():
    luminance = [np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in plots.PALETTE]
    assert min(abs(a - b) for a, b in itertools.pairwise(luminance)) > 0.05


def test_picture_rows_name_their_rows_and_keep_each_picture():
    rows = [np.full((3, 4, 4, 3), 10, "uint8"), np.full((2, 6, 6, 1), 20, "uint8")]
    figure = plots.picture_rows(rows, ["first", "second"], title="t", headings=["a", "b", "c"])
    axes = np.array(figure.axes).reshape(2, 3)
    assert [line[0].get_ylabel() for line in axes] == ["first", "second"]
    assert [axis.get_title() for axis in axes[0]] == ["a", "b", "c"]
    assert [len(axis.images) for axis in axes.flat] == [1, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(axes[1, 0].images[0].get_array(), np.full((6, 6), 20))


def test_panels_draw_each_line_in_its_panel_in_the_order_asked_for():
    rows = [(p, line, x, 10 * n) for p in "PQ" for line in "ab" for n, x in enumerate(("deep", "shallow"))]
    table = pd.DataFrame(rows, columns=["panel", "line", "at", "mean"])
    table = table.assign(low=table["mean"] - 1, high=table["mean"] + 1, n=10)
    settings = {"names": {"b": "B", "a": "A"}, "xlabel": "x", "ylabel": "y", "title": "t"}
    levels = {"chance": {"P": 25, "Q": 50}}
    figure = plots.panels(table, x="at", order=("shallow", "deep"), levels=levels, **settings)
    first, second, empty = figure.axes
    assert [axis.get_title(loc="left") for axis in (first, second)] == ["P", "Q"]
    assert first.lines[0].get_ydata().tolist() == [10, 0]
    assert [axis.lines[2].get_ydata()[0] for axis in (first, second)] == [25, 50]
    legend = empty.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["B", "A", "chance"]
    assert legend.get_title().get_text() == "n = 10 runs per point"


def test_full_panels_have_their_legend_below():
    rows = [(p, "a", "x", 1.0) for p in "PQR"]
    table = pd.DataFrame(rows, columns=["panel", "line", "at", "mean"]).assign(low=0.0, high=2.0, n=4)
    figure = plots.panels(table, x="at", order=["x"], names={"a": "A"}, xlabel="", ylabel="", title="")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A"]


def test_dots_stand_at_the_means_in_the_order_of_the_table():
    rows = [("second", "a", 5.0), ("first", "a", 7.0), ("second", "b", 6.0), ("first", "b", 8.0)]
    table = pd.DataFrame(rows, columns=["task", "arm", "mean"])
    table = table.assign(low=table["mean"] - 1, high=table["mean"] + 2, n=10)
    marks = {"second": 1.0, "first": 2.0}
    figure = plots.dots(table, row="task", names={"a": "A", "b": "B"}, xlabel="x", title="t", marks=marks)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["second", "first"]
    for container, expected in zip(axis.containers, ([5, 7], [6, 8]), strict=True):
        assert container[0].get_xdata().tolist() == expected
        assert [round(height) for height in container[0].get_ydata()] == [0, 1]
    (start, end), *_ = axis.containers[0][2][0].get_segments()
    assert (start[0], end[0]) == (4.0, 7.0)
    assert axis.lines[-1].get_xdata().tolist() == [1.0, 2.0]
    assert "chance" in [text.get_text() for text in axis.get_legend().get_texts()]
