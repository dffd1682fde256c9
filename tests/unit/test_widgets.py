"""Explorers show what their figures say, follow their controls, and survive what goes wrong."""

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tl_helpers import progress, widgets
from tl_helpers.datasets.street import load_street
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.feature_maps import activation_maps, find_peaks, strongest_patches
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.progress import progress_bar
from tl_helpers.studies.freezing import DEPTHS, FREEZING_TARGETS
from tl_helpers.widgets import depth as depth_module, labels as labels_module
from tl_helpers.widgets.explorer import INSTEAD, Explorer
from tl_helpers.widgets.live import LiveButton

pytestmark = pytest.mark.usefixtures("pressed_by_a_program")


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


@pytest.mark.parametrize("share", labels_module.SHARES)
def test_thumbnails_carry_as_many_wrong_labels_as_said_and_the_gain_is_the_stored_one(share):
    figure, words = widgets.wrong_labels_figure(share)
    study = load_study(labels_module.STUDY)
    scores = study.runs.pivot_table("score", index=["budget", "seed"], columns="arm")
    gains = (scores[labels_module.SHARES[share]] - scores["own"]).groupby("budget").mean()
    *thumbnails, chart = figure.get_axes()
    assert list(chart.containers[0][0].get_ydata()) == pytest.approx(gains.tolist())
    dashed = [axis.spines["left"].get_linestyle() == "--" for axis in thumbnails]
    assert f"of the {len(dashed)} thumbnails {sum(dashed)} carry a wrong label" in words
    assert abs(100 * np.mean(dashed) - share) < 5
    assert all(f"{gain:+.1f} (" in words for gain in gains)
    plt.close(figure)


def test_a_share_that_was_not_run_cannot_be_drawn():
    with pytest.raises(ValueError, match="share must be one of 0, 30, 50, 70, not 40"):
        widgets.wrong_labels_figure(40)


def test_the_slider_of_wrong_labels_changes_words_and_picture():
    explorer = widgets.wrong_labels_explorer()
    before = explorer.picture.value
    assert "0 carry a wrong label" in explorer.message.value
    explorer.share.value = 70
    assert "70 % of the scraped labels wrong" in explorer.message.value and explorer.picture.value != before
    assert 'alt="Twelve thumbnails with their labels, and gains with 70 % of them wrong' in explorer.picture.value


def test_moving_a_control_changes_words_and_picture(freezing):
    words, picture = freezing.message.value, freezing.picture.value
    assert picture.startswith('<img alt="Sketches, 20 labels per class: highest')
    assert 'src="data:image/png;base64,' in picture
    assert "frozen: nothing" in words
    freezing.depth.value = "conv4"
    assert "frozen: all but the head" in freezing.message.value and freezing.picture.value != picture


@pytest.mark.parametrize("target", FREEZING_TARGETS)
def test_every_setting_can_be_reached(freezing, target):
    freezing.target.value = target
    stored = set(load_study(FREEZING_TARGETS[target].name).runs["budget"])
    assert set(freezing.labels.options) == stored
    for labels in freezing.labels.options:
        freezing.labels.value = labels
        assert f"{target}, {labels} labels per class" in freezing.message.value


def test_a_budget_that_the_new_target_lacks_is_left_and_that_is_said(freezing):
    freezing.labels.value = 200
    freezing.target.value = "shoes, careless labels"
    assert freezing.labels.value == 200 and "instead" not in freezing.message.value
    freezing.target.value, freezing.labels.value = "sketches", 2
    freezing.target.value = "shoes, careless labels"
    assert freezing.labels.value == 20 and "shoes, careless labels, 20 labels" in freezing.message.value
    assert "no runs with 2 labels here: 20 labels instead" in freezing.message.value
    freezing.labels.value = 200
    assert "careless labels, 200 labels" in freezing.message.value and "instead" not in freezing.message.value


def test_the_button_trains_the_setting_that_is_shown(freezing, monkeypatch):
    asked = []
    monkeypatch.setattr(depth_module, "fit_depth_once", lambda *setting: asked.append(setting) or 47.25)
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
        raise FloatingPointError("loss < 0 is not finite")

    monkeypatch.setattr(depth_module, "fit_depth_once", fail)
    freezing.button.click()
    assert "did not work: loss &lt; 0 is not finite" in freezing.message.value and not freezing.button.disabled


def test_where_widgets_cannot_be_shown_it_says_what_to_do(freezing):
    # ipywidgets 7 has no `_repr_mimebundle_`: it displays this text, cut after 110 characters, as 8 does.
    assert repr(freezing) == INSTEAD and len(INSTEAD) <= 110
    assert "_repr_mimebundle_" not in vars(Explorer) and "_ipython_display_" not in vars(Explorer)
    assert freezing._repr_mimebundle_()["text/plain"] == INSTEAD


# ---------------------------------------------------------------- a button that trains


def everything_in(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything_in(child)


def test_no_control_takes_keys_that_are_jupyterlabs(freezing):
    kinds = {type(each).__name__ for each in everything_in(freezing)}
    assert not kinds & {"Dropdown", "RadioButtons", "Select", "Image"}
    named = [each for each in everything_in(freezing) if hasattr(each, "value") and hasattr(each, "options")]
    assert len(named) == 3 and all(each.description for each in named)


def test_progress_is_told_by_name_while_it_runs_and_gone_afterwards():
    seen, told = [], []

    def run(tell):
        tell("fitting <1> network")
        told.append(live.progress.value)
        with progress_bar(4, "fine_tuning", "update") as bar:
            for _ in range(4):
                bar.update(1)
                bar.refresh()
                told.append(live.progress.value)

    live = LiveButton("run", run, seen.append)
    live.button.click()
    first, *later = told
    assert "fitting &lt;1&gt; network: getting ready" in first and "<progress" in first and "value=" not in first
    assert [f'max="4" value="{done}"' in words for done, words in enumerate(later, start=1)] == [True] * 4
    assert all("s left" in words for words in later) and not live.progress.value and not seen


def test_bars_are_shown_again_after_a_run_that_failed():
    shown = progress.tqdm

    def fail(_):
        raise KeyboardInterrupt

    said = []
    LiveButton("run", fail, said.append).button.click()
    assert progress.tqdm is shown and said == ["Stopped before its end."]


def test_a_press_while_it_runs_is_ignored_and_the_button_keeps_the_focus():
    runs = []

    def run(_):
        runs.append(live.button.disabled)
        live.button.click()

    live = LiveButton("run", run, print)
    live.button.click()
    assert runs == [False]
    live.button.click()
    assert len(runs) == 2


def test_presses_that_waited_for_the_kernel_are_ignored(monkeypatch):
    monkeypatch.setattr("tl_helpers.widgets.live._SECONDS_FOR_WAITING_PRESSES", 0.01)
    monkeypatch.setattr("tl_helpers.widgets.live._running_loop", asyncio.get_running_loop)  # of the kernel below
    runs = []
    live = LiveButton("run", runs.append, print)

    async def kernel():
        live.button.click()
        live.button.click()  # delivered as soon as the first is done with
        waited = len(runs)
        while live._running:
            await asyncio.sleep(0.001)
        live.button.click()
        return waited

    with ThreadPoolExecutor(1) as thread:  # where no other loop runs
        assert thread.submit(asyncio.run, kernel()).result() == 1 and len(runs) == 2


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
    assert widgets.feature_figure(*seen, stage="conv4", channel=60, picture=0)[1] in explorer.message.value
    assert explorer.picture.value.startswith('<img alt="conv4, channel 60')
    before = explorer.picture.value
    explorer.subject.value = 2
    assert "“bag”" in explorer.message.value and explorer.picture.value != before
    explorer.stage.value = "conv1"
    assert explorer.channel.max == 15 and "conv1, channel 15 of 0…15" in explorer.message.value
    assert "no channel 60 here: channel 15 instead, the last" in explorer.message.value
    before = explorer.channel
    explorer.stage.value = "conv3"
    assert explorer.channel.max == 63 and explorer.channel is not before and explorer.channel.value == 15
    assert "instead" not in explorer.message.value
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
