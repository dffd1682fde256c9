"""Explorers show what their figures say, follow their controls, and survive what goes wrong."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tl_helpers import widgets
from tl_helpers.datasets.street import load_street
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.feature_maps import activation_maps, find_peaks, strongest_patches
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.freezing import DEPTHS, FREEZING_TARGETS


@pytest.fixture
def freezing():
    return widgets.freeze_explorer()


@pytest.mark.parametrize("target", FREEZING_TARGETS)
def test_the_words_below_the_figure_are_the_stored_ones(target):
    figure, words = widgets.freeze_figure(target, depth="conv2", labels=20)
    runs = load_study(FREEZING_TARGETS[target].name).runs
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
    [
        ("hats", "conv1", 20, "target must be"),
        ("shoes", "conv9", 20, "depth must be"),
        ("shoes", "conv1", 21, "labels"),
    ],
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
    stored = set(load_study(FREEZING_TARGETS[target].name).runs["budget"])
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


# ---------------------------------------------------------------- what a channel looks for


@pytest.fixture(scope="module")
def seen():
    """Return peaks, maps and pictures of a small network: one that answers to brightness in channel 0."""
    body = small_cnn_body((28, 28, 1), seed=0)
    data = load_street("photo", "test", n=12)
    pictures = dataclasses.replace(data.subset(range(3)), texts=np.array(["hat", "shoe", "bag"]))
    return find_peaks(body, data.x), activation_maps(body, pictures.x), pictures


def test_a_feature_figure_shows_the_picture_its_map_and_the_strongest_patches(seen):
    peaks, maps, pictures = seen
    figure, words = widgets.feature_figure(*seen, stage="conv2", channel=5, picture=1)
    shown, answered, *patches = [axis.images[0].get_array() for part in figure.subfigs for axis in part.axes]
    np.testing.assert_array_equal(np.squeeze(shown), np.squeeze(pictures.x[1]))
    np.testing.assert_array_equal(answered, maps["conv2"][1, :, :, 5])
    np.testing.assert_array_equal(
        [np.squeeze(patch) for patch in patches], np.squeeze(strongest_patches(peaks, "conv2", 5)[0])
    )
    assert "channel 5 of 0…31, on “shoe”: 7 × 7 answers" in words
    plt.close(figure)


def test_the_feature_explorer_draws_what_the_figure_says_and_follows_its_controls(seen):
    explorer = widgets.feature_explorer(*seen, stage="conv4", channel=60)
    assert explorer.message.value == widgets.feature_figure(*seen, stage="conv4", channel=60, picture=0)[1]
    before = explorer.picture.value
    explorer.subject.value = 2
    assert "“bag”" in explorer.message.value and explorer.picture.value != before
    explorer.stage.value = "conv1"
    assert explorer.channel.max == 15 and "conv1, channel 15 of 0…15" in explorer.message.value
    explorer.stage.value = "conv3"
    assert explorer.channel.max == 63
    explorer.channel.value = 40
    assert "conv3, channel 40 of 0…63" in explorer.message.value
    plt.close("all")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"stage": "conv9"}, "stage must be"),
        ({"channel": 16}, "channels 0…15"),
        ({"picture": 3}, "pictures 0…2"),
        ({"picture": -1}, "pictures 0…2"),
    ],
)
def test_a_channel_or_picture_that_is_not_there_is_named(seen, choice, words):
    with pytest.raises(ValueError, match=words):
        widgets.feature_figure(*seen, **({"stage": "conv1", "channel": 0, "picture": 0} | choice))
