"""Explorers show what their figures say, follow their controls, and survive what goes wrong."""

import matplotlib.pyplot as plt
import pytest

from tl_helpers import widgets
from tl_helpers.freezing_studies import DEPTHS, FREEZING_TARGETS
from tl_helpers.provenance import load_study


@pytest.fixture
def freezing():
    return widgets.freeze_explorer()


@pytest.mark.parametrize("target", FREEZING_TARGETS)
def test_the_words_below_the_figure_are_the_stored_ones(target):
    figure, words = widgets.freeze_figure(target, depth="conv2", labels=20)
    runs = load_study(FREEZING_TARGETS[target].__name__)
    rows = runs[(runs["arm"] == "conv2") & (runs["budget"] == 20)]
    assert f"accuracy is {rows['score'].mean():.1f} %" in words and f"n = {len(rows)}" in words
    assert f"{rows['trainable'].iloc[0]:,} parameters move" in words
    assert "frozen: up to conv2" in words
    drawn = [container[0].get_ydata()[0] for container in figure.axes[0].containers]
    means = runs[runs["budget"] == 20].groupby("arm")["score"].mean()
    assert drawn == pytest.approx([means[depth] for depth in DEPTHS])
    plt.close(figure)


@pytest.mark.parametrize(
    ("target", "depth", "labels", "words"),
    [("hats", "conv1", 20, "target must be"), ("shoes", "conv9", 20, "depth must be"), ("shoes", "conv1", 21, "labels")],
)
def test_what_was_not_run_cannot_be_drawn(target, depth, labels, words):
    with pytest.raises(ValueError, match=words):
        widgets.freeze_figure(target, depth=depth, labels=labels)


def test_moving_a_control_changes_words_and_picture(freezing):
    words, picture = freezing.message.value, bytes(freezing.picture.value)
    assert picture.startswith(b"\x89PNG") and "frozen: nothing" in words
    freezing.depth.value = "conv4"
    assert "frozen: all but the head" in freezing.message.value and bytes(freezing.picture.value) != picture


@pytest.mark.parametrize("target", FREEZING_TARGETS)
def test_every_setting_can_be_reached(freezing, target):
    freezing.target.value = target
    stored = set(load_study(FREEZING_TARGETS[target].__name__)["budget"])
    assert set(freezing.labels.options) == stored
    for labels in freezing.labels.options:
        freezing.labels.value = labels
        assert f"{target}, {labels} labels per class" in freezing.message.value


def test_a_budget_that_the_new_target_lacks_is_left(freezing):
    freezing.labels.value = 2
    freezing.target.value = "shoes, careless labels"
    assert freezing.labels.value == 20 and "shoes, careless labels, 20 labels" in freezing.message.value


def test_the_button_trains_the_setting_that_is_shown(freezing, monkeypatch):
    asked = []
    monkeypatch.setattr(widgets, "fit_depth_once", lambda *setting: asked.append(setting) or 47.25)
    freezing.depth.value = "conv3"
    freezing.button.click()
    assert asked == [(freezing.target.value, freezing.labels.value, "conv3")]
    assert "47.2 %" in freezing.message.value and not freezing.button.disabled
    freezing.depth.value = "conv1"
    assert "just now" not in freezing.message.value
    freezing.depth.value = "conv3"
    assert "just now" in freezing.message.value


def test_a_failed_run_is_told_and_leaves_the_button_usable(freezing, monkeypatch):
    def fail(*_):
        raise FloatingPointError("the loss is not finite")

    monkeypatch.setattr(widgets, "fit_depth_once", fail)
    freezing.button.click()
    assert "did not work: the loss is not finite" in freezing.message.value and not freezing.button.disabled


def test_where_widgets_cannot_be_shown_it_says_what_to_do(freezing):
    assert "open this notebook in JupyterLab" in freezing._repr_mimebundle_()["text/plain"]
