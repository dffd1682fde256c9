"""Figures of stored studies describe themselves: what they say is what they draw, and no more than the runs allow."""

import dataclasses
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tl_helpers import plots
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.experiments.stored import StoredStudy, load_study


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def made_up(gains, *, values=(5, 50), noise=1.0, rate=3e-3, chance=10.0, unit="labels per class"):
    """Return a study in which transfer gains so much at each value."""
    random, rows = np.random.default_rng(0), []
    for value, gain in zip(values, gains, strict=True):
        for seed in range(8):
            base = 50 + random.normal()
            for arm, score in {"scratch": base, "transfer": base + gain + noise * random.normal()}.items():
                more = {"learning_rate": rate, "updates": 100}
                rows.append({"arm": arm, "budget": value, "seed": seed, "score": score} | more)
    arms = {"scratch": Arm("training from scratch", "baseline"), "transfer": Arm("fine-tuning", "transfer")}
    return StoredStudy(
        name="made_up",
        runs=pd.DataFrame(rows),
        arms=arms,
        axis=Axis("labels", unit, tuple(values)),
        metric="accuracy in %",
        chance=chance,
        compared=("transfer", "scratch"),
        rates={},
        rates_offered=(1e-3, 3e-3, 1e-2),
        tuning_seeds=(100,),
        provenance={"spec": {}},
    )


def numbers_in(text):
    return [float(number) for number in re.findall(r"[-+]\d+\.\d", text)]


def test_the_words_of_a_gain_are_the_numbers_drawn():
    study = made_up((8, 4))
    display = plots.gain(study, "transfer", "scratch", guess=6)
    table = paired_difference(study.runs, "transfer", "scratch")
    drawn = display.figure.axes[0].containers[0].lines[0].get_ydata(orig=False)
    np.testing.assert_allclose(drawn, table["difference"])
    told = [round(number, 1) for row in table.itertuples() for number in (row.difference, row.low, row.high)]
    assert numbers_in(display.words)[:6] == told and "Your prediction: +6" in display.words
    axis = display.figure.axes[0]
    assert axis.get_xlabel() == "labels per class" and "fine-tuning\nminus training from scratch" in axis.get_ylabel()
    assert any("your prediction: +6" in text.get_text() for text in axis.get_legend().get_texts())


def test_a_gain_without_doubt_is_called_one_and_a_doubted_one_is_not():
    sound = plots.gain(made_up((8, 4)), "transfer", "scratch")
    assert "told from chance: 2 gains." in sound.reading and "doubt" not in sound.reading
    assert "not proved" not in sound.figure.axes[0].get_title(loc="left")
    doubted = plots.gain(made_up((8, 4), rate=1e-2), "transfer", "scratch")
    assert "leave a doubt in 2" in doubted.reading and "learning rate" in doubted.reading
    assert "(measured, not proved)" in doubted.figure.axes[0].get_title(loc="left")


def test_losses_and_nothing_are_called_so():
    assert "told from chance: 1 gain and 1 loss." in plots.gain(made_up((8, -8)), "transfer", "scratch").reading
    assert "told from chance: nothing" in plots.gain(made_up((0, 0), noise=5), "transfer", "scratch").reading


def test_a_title_says_which_of_its_gains_may_be_chance():
    title = plots.gain(made_up((8, 0.1)), "transfer", "scratch").figure.axes[0].get_title(loc="left")
    assert re.search(r"class, \S+ at 50 labels per class \(not told from chance\)$", title)
    sound = plots.gain(made_up((8, 4)), "transfer", "scratch").figure.axes[0].get_title(loc="left")
    assert "chance" not in sound
    with pytest.warns(UserWarning, match="use its seed"):
        equal = plots.gain(made_up((8,), values=(5,), noise=0), "transfer", "scratch").figure.axes[0]
    assert equal.get_title(loc="left").endswith("(not told from chance)")


def test_a_best_arm_is_named_only_if_it_is_clear():
    clear = plots.accuracy(made_up((8, 8)))
    assert clear.figure.axes[0].get_title(loc="left").startswith("Best at 50 labels per class: fine-tuning 5")
    unclear = plots.accuracy(made_up((0, 0), noise=5))
    assert unclear.figure.axes[0].get_title(loc="left").startswith("No clear best at 50 labels per class")


def test_the_words_of_accuracies_are_the_means_drawn():
    study = made_up((8, 4))
    display = plots.accuracy(study, ["transfer"])
    means = confidence_interval(study.runs).query("arm == 'transfer'")["mean"]
    np.testing.assert_allclose(display.figure.axes[0].lines[0].get_ydata(), means)
    assert f"fine-tuning {means.iloc[0]:.0f}, {means.iloc[1]:.0f}" in display.words and "scratch" not in display.words
    assert "would score 10" in display.words
    assert "always the same answer" in [text.get_text() for text in display.figure.axes[0].get_legend().get_texts()]
    assert "would score" not in plots.accuracy(dataclasses.replace(study, chance=None)).words


def test_names_on_the_axis_become_rows():
    display = plots.accuracy(made_up((8, 4), values=("photographs", "sketches"), unit="target"))
    assert [label.get_text() for label in display.figure.axes[0].get_yticklabels()] == ["photographs", "sketches"]
    assert "Best for “photographs”: fine-tuning 5" in display.reading


def test_an_arm_that_does_not_exist_is_refused():
    for draw in (
        lambda: plots.gain(made_up((1, 1)), "magic", "scratch"),
        lambda: plots.accuracy(made_up((1, 1)), ["magic"]),
    ):
        with pytest.raises(ValueError, match="no arm 'magic'; it has scratch, transfer"):
            draw()


def test_a_display_shows_its_figure_its_words_and_its_reading(monkeypatch):
    shown = []
    monkeypatch.setattr("tl_helpers.plots.charts.display", shown.append)
    display = plots.gain(made_up((8, 4)), "transfer", "scratch")
    display._ipython_display_()
    figure, words, reading = shown
    assert figure is display.figure and words.data == f"*In words:* {display.words}"
    assert reading.data == f"**Reading.** {display.reading}" and not plt.fignum_exists(figure.number)


def test_every_stored_study_can_be_drawn():
    study = load_study("street_labels")
    assert "fine-tuning" in plots.accuracy(study).words and "points" in plots.gain(study, *study.compared).words


def test_scores_in_0_to_1_are_told_in_points():
    study = made_up((8, 4))
    fractions = dataclasses.replace(study, runs=study.runs.assign(score=study.runs["score"] / 100), chance=0.1)
    assert plots.gain(fractions, "transfer", "scratch").words == plots.gain(study, "transfer", "scratch").words
    assert plots.accuracy(fractions).reading == plots.accuracy(study).reading
    assert "in %" in plots.accuracy(fractions).words and "would score 10" in plots.accuracy(fractions).words


def test_the_ends_of_the_axis_are_told_whatever_the_order_of_the_runs():
    study = made_up((8, 4, 2), values=(5, 20, 50))
    runs = study.runs[(study.runs["arm"] == "scratch") | (study.runs["budget"] != 20)]
    sparse_first = dataclasses.replace(study, runs=runs.sort_values(["arm", "budget"], ascending=[False, True]))
    backwards = dataclasses.replace(study, runs=study.runs.sort_values("budget", ascending=False))
    for other in (sparse_first, backwards):
        reading = plots.accuracy(other).reading
        assert reading.startswith("Best at 5 labels") and "Best at 50 labels per class: fine-tuning" in reading
    assert plots.gain(backwards, "transfer", "scratch").words == plots.gain(study, "transfer", "scratch").words
    sketches = made_up((8, 4), values=("photographs", "sketches"), unit="target")
    backwards = dataclasses.replace(sketches, runs=sketches.runs.sort_values("budget", ascending=False))
    assert plots.accuracy(backwards).reading == plots.accuracy(sketches).reading


def test_arms_that_ran_at_few_values_are_compared_there():
    study = load_study("street_labels")
    runs = study.runs[(study.runs["arm"] != "scratch_longer") | (study.runs["budget"] != 10)]
    runs = runs[(runs["arm"] != "forest") | (runs["budget"] != 5)]
    display = plots.gain(dataclasses.replace(study, runs=runs), "fine_tuning", "forest")
    assert "at 10 labels" in display.words and "at 5 labels" not in display.words
    part = load_study("routes").part("route_domain_adaptation")
    assert "points" in plots.gain(part, "fine_tuning", "scratch_longer").words


def test_the_value_none_is_drawn_and_told():
    study = made_up((8, 4))
    runs = study.runs.assign(budget=study.runs["budget"].where(study.runs["budget"] != 50))
    display = plots.gain(dataclasses.replace(study, runs=runs), "transfer", "scratch")
    assert "at 5 labels per class" in display.words and "at None labels per class" in display.words
    display = plots.accuracy(dataclasses.replace(study, runs=runs))
    assert "at 5, None labels per class" in display.words
    assert "Best at None labels per class: fine-tuning 5" in display.reading


def test_an_arm_that_never_ran_is_neither_drawn_nor_told():
    study = made_up((8, 4))
    study = dataclasses.replace(study, arms=study.arms | {"ghost": Arm("a ghost")})
    assert "ghost" not in plots.accuracy(study).words
    with pytest.raises(ValueError, match="no runs of 'ghost'"):
        plots.accuracy(study, ["ghost", "scratch"])
    with pytest.raises(ValueError, match="no runs of 'ghost' and 'scratch' at a common value"):
        plots.gain(study, "ghost", "scratch")


@pytest.mark.parametrize("guess", ["6", float("nan"), True])
def test_a_prediction_that_is_no_number_is_refused(guess):
    with pytest.raises(TypeError, match="prediction is a number"):
        plots.gain(made_up((8, 4)), "transfer", "scratch", guess=guess)


def test_more_arms_than_markers_can_be_drawn():
    study = load_study("layer_probes")
    assert len(study.arms) > 7 and "16 × 16 pixels" in plots.accuracy(study).words


def test_the_chance_of_each_row_is_told():
    study = made_up((8, 4), values=("photographs", "sketches"), unit="target", chance=None)
    runs = study.runs.assign(chance=study.runs["budget"].map({"photographs": 50, "sketches": 12.5}))
    assert plots.accuracy(dataclasses.replace(study, runs=runs)).words.endswith("Chance: 50, 12.")
    assert "hance" not in plots.accuracy(study).words
