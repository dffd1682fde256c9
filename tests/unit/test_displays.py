"""Figures of stored studies describe themselves: what they say is what they draw, and no more than the runs allow."""

import dataclasses
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tl_helpers import plots
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.exercises.predictions import HELD_BACK, my_calibration
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.experiments.statistics import holm
from tl_helpers.experiments.stored import StoredStudy, load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.plots import charts
from tl_helpers.routes.taxonomy import ROUTES


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
    display = plots.gain(study, "transfer", "scratch", guess=6, at=50)
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
    assert "Corrected for 2 comparisons: gains at 5, 50." in sound.reading and "doubt" not in sound.reading
    assert "not proved" not in sound.figure.axes[0].get_title(loc="left")
    doubted = plots.gain(made_up((8, 4), rate=1e-2), "transfer", "scratch")
    assert (
        "comparisons: is in doubt at 5, 50. The checks leave a doubt in 2: " in doubted.reading
        and "learning rate" in doubted.reading
    )
    assert "(measured, not proved)" in doubted.figure.axes[0].get_title(loc="left")


def test_losses_and_nothing_are_called_so():
    assert (
        "Corrected for 2 comparisons: gains at 5 and loses at 50."
        in plots.gain(made_up((8, -8)), "transfer", "scratch").reading
    )
    assert plots.gain(made_up((0, 0), noise=5), "transfer", "scratch").reading.startswith(
        "Not told from chance, corrected for 2 comparisons: fine-"
    )


def test_a_table_of_ones_own_may_say_what_its_budget_is():
    runs = made_up((8, 4)).runs
    assert plots.gain(runs, "transfer", "scratch").figure.axes[0].get_xlabel() == "budget"
    display = plots.gain(runs, "transfer", "scratch", unit="scenes")
    assert display.figure.axes[0].get_xlabel() == "scenes" and "at 50 scenes" in display.words
    with pytest.raises(ValueError, match="leave out `unit`"):
        plots.gain(made_up((8, 4)), "transfer", "scratch", unit="scenes")


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
    monkeypatch.setattr("tl_helpers.plots.charts.display", lambda what, **how: shown.append(what))
    display = plots.gain(made_up((8, 4)), "transfer", "scratch")
    title = display.figure.axes[0].get_title(loc="left")
    display._ipython_display_()
    figure, words, reading = shown
    assert (
        figure["text/plain"] == f"Figure, in words below. {' '.join(title.split())}"
        and words.data == f"*In words:* {display.words}"
    )
    assert reading.data == f"**Reading.** {display.reading}" and not plt.fignum_exists(display.figure.number)


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
    part = load_study("route_task_fine_tuning")
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


@pytest.mark.parametrize("guess", ["6", float("nan"), True, "Show"])
def test_a_prediction_that_is_no_number_is_refused(guess):
    with pytest.raises(TypeError, match="prediction is a number"):
        plots.gain(made_up((8, 4)), "transfer", "scratch", guess=guess, at=5)


def test_more_arms_than_markers_can_be_drawn():
    study = load_study("layer_probes")
    assert len(study.arms) > 7 and "16 × 16 pixels" in plots.accuracy(study).words


def test_the_chance_of_each_row_is_told():
    study = made_up((8, 4), values=("photographs", "sketches"), unit="target", chance=None)
    runs = study.runs.assign(chance=study.runs["budget"].map({"photographs": 50, "sketches": 12.5}))
    assert plots.accuracy(dataclasses.replace(study, runs=runs)).words.endswith("Chance: 50, 12.")
    assert "hance" not in plots.accuracy(study).words


# ---------------------------------------------------------------- several comparisons


def with_third_arm(study, gain=0.0, key="other", label="feature extraction"):
    """Add an arm that is the baseline and a gain with noise."""
    random = np.random.default_rng(1)
    base = study.runs[study.runs["arm"] == "scratch"]
    rows = base.assign(arm=key, score=base["score"] + gain + random.normal(size=len(base)))
    arms = study.arms | {key: Arm(label, "transfer")}
    return dataclasses.replace(study, runs=pd.concat([study.runs, rows], ignore_index=True), arms=arms)


def test_several_treatments_are_drawn_told_and_corrected_together():
    study = with_third_arm(made_up((8, 4)))
    display = plots.gain(study, ["transfer", "other"], "scratch")
    (axis,) = display.figure.axes
    first = paired_difference(study.runs, "transfer", "scratch")
    np.testing.assert_allclose(axis.containers[0].lines[0].get_ydata(orig=False), first["difference"])
    both = pd.concat([first, paired_difference(study.runs, "other", "scratch")], ignore_index=True)
    np.testing.assert_allclose(display.table["difference"], both["difference"])
    np.testing.assert_allclose(display.table["p_holm"], holm(both["p"]))
    assert list(display.table["clear"]) == [True, True, False, False]
    told = [round(number, 1) for row in both.itertuples() for number in (row.difference, row.low, row.high)]
    assert numbers_in(display.words) == told
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["fine-tuning", "feature extraction"]
    assert axis.get_title(loc="left").startswith("2 of 4 differences are clear, the largest: fine-tuning +7")
    assert display.reading == (
        "Corrected for 4 comparisons, by labels per class: *fine-tuning* gains at 5, 50; "
        "*feature extraction* nothing clear."
    )


def test_what_a_check_doubts_is_not_called_clear_among_several():
    display = plots.gain(with_third_arm(made_up((8, 4), rate=1e-2)), ["transfer", "other"], "scratch")
    assert "*fine-tuning* is in doubt at 5, 50; *feature extraction* nothing clear" in display.reading
    assert "leave a doubt in 2" in display.reading
    assert "2 of 4 differences are measured, not proved" in display.figure.axes[0].get_title(loc="left")
    nothing = plots.gain(with_third_arm(made_up((0, 0), noise=5)), ["transfer", "other"], "scratch")
    assert nothing.figure.axes[0].get_title(loc="left") == "Of 4 differences none is told from chance"


def test_one_treatment_over_several_baselines_and_pairs():
    study = with_third_arm(made_up((8, -8)))
    over = plots.gain(study, "transfer", ["scratch", "other"])
    assert list(dict.fromkeys(over.table["comparison"])) == ["over training from scratch", "over feature extraction"]
    assert (
        over.figure.axes[0].get_ylabel() == "gain of fine-tuning (points)"
        and "gains at 5 and loses at 50" in over.reading
    )
    pairs = plots.gain(study, ["transfer", "other"], ["other", "scratch"])
    assert "“fine-tuning” over “feature extraction”" in pairs.words


def test_an_arm_against_itself_elsewhere_on_the_axis():
    study = made_up((8, 4, 2), values=(0, 1, 2), unit="copied layers")
    display = plots.gain(study, "transfer", since=0)
    scores = study.runs.query("arm == 'transfer'").pivot(index="seed", columns="budget", values="score")
    np.testing.assert_allclose(display.table["difference"], [(scores[n] - scores[0]).mean() for n in (1, 2)])
    assert list(display.table["budget"]) == [1, 2] and "fine-tuning against 0 copied layers, in points" in display.words
    assert display.reading.startswith("Fine-tuning against 0 copied layers: -")
    with pytest.raises(ValueError, match="no runs of 'transfer' at 7"):
        plots.gain(study, "transfer", since=7)


def test_arms_of_one_label_stay_apart():
    study = with_third_arm(made_up((8, 4)), label="fine-tuning")
    display = plots.gain(study, ["transfer", "other"], "scratch")
    assert list(dict.fromkeys(display.table["comparison"])) == ["fine-tuning (transfer)", "fine-tuning (other)"]
    assert transfer_verdict(study, "transfer", "scratch").table["difference"].iloc[0] == display.table["difference"][0]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((["transfer", "other"], None), "either a baseline"),
        ((["transfer", "transfer"], "scratch"), "stands there twice"),
        ((["transfer", "other"], ["scratch", "other", "transfer"]), "pair by pair"),
    ],
)
def test_comparisons_that_cannot_be_made_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        plots.gain(with_third_arm(made_up((8, 4))), *arguments)


def test_a_prediction_stands_beside_one_comparison_only():
    with pytest.raises(ValueError, match="made of one comparison"):
        plots.gain(with_third_arm(made_up((8, 4))), ["transfer", "other"], "scratch", guess=3)


def test_a_figure_is_held_back_until_something_is_predicted(monkeypatch):
    shown = []
    monkeypatch.setattr("tl_helpers.plots.charts.display", shown.append)
    held_back = plots.gain(made_up((8, 4)), "transfer", "scratch", guess=None, at=5)
    held_back.show()
    assert held_back.figure is None and held_back.reading is None
    assert [output.data for output in shown] == [HELD_BACK] and not re.search(r"\d", HELD_BACK)
    seen = plots.gain(made_up((8, 4)), "transfer", "scratch", guess="show", at=5)
    assert seen.words == plots.gain(made_up((8, 4)), "transfer", "scratch").words
    pd.testing.assert_frame_equal(held_back.table, seen.table)  # for the cells that follow


def test_a_prediction_is_judged_where_it_was_made_and_remembered():
    study = made_up((8, 4))
    display = plots.gain(study, "transfer", "scratch", guess=6, at=50)
    measured = paired_difference(study.runs, "transfer", "scratch").set_index("budget").loc[50]
    assert display.reading.startswith(f"Your prediction +6 is too high by {6 - measured.difference:.1f} points. ")
    (row,) = my_calibration().itertuples()
    assert row.Index == "fine-tuning minus training from scratch at 50 labels per class (made_up)"
    assert (row.guess, row.inside) == (6, False) and row.measured == pytest.approx(measured.difference, abs=1e-6)


@pytest.mark.parametrize(("at", "problem"), [(..., "for which of 5, 50"), (7, "no difference at 7")])
def test_a_prediction_says_for_which_value_it_is_made(at, problem):
    with pytest.raises(ValueError, match=problem):
        plots.gain(made_up((8, 4)), "transfer", "scratch", guess=None, at=at)


def test_panels_share_their_scale_and_their_correction():
    sound, weak = made_up((8, 4)), made_up((0, 0), noise=3)
    display = plots.gains({"drawings": (sound, "transfer", "scratch"), "shoes": (weak, "transfer", "scratch")})
    first, second = display.figure.axes
    assert first.get_ylim() == second.get_ylim() and first.get_title(loc="left").startswith("drawings\n+7")
    assert second.get_title(loc="left").count("(unclear)") == 2
    assert "**drawings**: gains at 5, 50; **shoes**: nothing clear" in display.reading
    np.testing.assert_allclose(display.table["p_holm"], holm(display.table["p"]))
    assert "n = 8 pairs" in display.figure.get_suptitle()


def test_panels_of_other_arms_each_say_what_they_compare():
    study = with_third_arm(made_up((8, 4)))
    display = plots.gains({"one": (study, "transfer", "scratch"), "two": (study, "other", "scratch")})
    assert display.figure.axes[0].get_ylabel() == "difference"
    assert "fine-tuning minus training" in display.figure.axes[0].get_title(loc="left")
    assert "one, fine-tuning minus training from scratch (points) by labels per class, with" in display.words
    assert "two, feature extraction minus training from scratch (points) by labels per class, with" in display.words
    with pytest.raises(ValueError, match="for each panel its title"):
        plots.gains({"one": (study, "transfer")})


def test_a_table_of_ones_own_can_be_drawn():
    frame = made_up((8, 4)).runs.drop(columns=["learning_rate", "updates"])
    assert plots.gain(frame, "transfer", "scratch").reading.startswith("Transfer instead of scratch: +")
    assert "budget: scratch 50, 50; transfer 5" in plots.accuracy(frame).words
    with pytest.raises(ValueError, match="no column 'seed'"):
        plots.accuracy(frame.drop(columns="seed"))
    with pytest.raises(TypeError, match="not str"):
        plots.gain("street_labels", "fine_tuning", "scratch")


def test_another_column_is_drawn_with_no_chance_of_its_own():
    study = made_up((8, 4))
    study = dataclasses.replace(study, runs=study.runs.assign(box=study.runs["score"] - 20))
    display = plots.accuracy(study, score="box")
    assert display.words.startswith("box at") and "would score" not in display.words
    display = plots.gain(study, "transfer", "scratch", score="box")
    words = plots.gain(study, "transfer", "scratch").words
    assert display.words == words.replace("in points", "in box") != words
    assert "(box)" in display.figure.axes[0].get_ylabel()
    other = with_third_arm(study)
    other.runs.loc[other.runs["arm"] == "other", "box"] = float("nan")  # never measured there
    assert plots.gain(other, "transfer", "scratch", score="box").words == display.words


def test_accuracies_can_be_drawn_along_a_measured_column():
    study = made_up((8, 4))
    seconds = study.runs["budget"] * study.runs["arm"].map({"scratch": 1.0, "transfer": 2.0})
    timed = dataclasses.replace(study, runs=study.runs.assign(train_seconds=seconds))
    axis = plots.accuracy(timed, against="train_seconds").figure.axes[0]
    assert list(axis.lines[1].get_xdata()) == [10, 100] and axis.get_xlabel() == "train seconds"
    with pytest.raises(ValueError, match="no column 'joules'"):
        plots.accuracy(timed, against="joules")


def test_panels_of_two_settings_name_the_best_place_of_the_first_line():
    study = with_third_arm(made_up((8, 4), values=("colour", "style"), unit="target"), gain=-3)
    x = {"transfer": "deep", "other": "shallow"}
    display = plots.accuracy_panels(study, x=x, lines=dict.fromkeys(x, "network"), levels=["scratch"])
    assert display.reading == "Highest mean of “network”: colour: deep; style: deep."
    assert "colour: highest at deep with 5" in display.words and "training from scratch 50" in display.words
    with pytest.raises(ValueError, match="not other"):
        plots.accuracy_panels(study, x=x, lines={"transfer": "network"})


def test_panels_tell_the_height_of_the_other_lines_where_it_lies_elsewhere():
    study = with_third_arm(made_up((8, 8), values=("colour", "style"), unit="target"), gain=20)
    x = {"transfer": "deep", "scratch": "deep", "other": "shallow"}
    lines = {"transfer": "learned", "scratch": "random", "other": "random"}
    words = plots.accuracy_panels(study, x=x, lines=lines).words
    assert re.search(r"colour: highest at deep with 5\d \(random there 50, at most 70 at shallow\)", words)


def test_panels_have_their_ticks_named_where_no_panel_is_below():
    study = made_up((8,) * 4, values=tuple("abcd"), unit="target")
    axes = plots.accuracy_panels(study, x={"transfer": "deep"}, lines={"transfer": "network"}).figure.axes
    named = [axis.xaxis.get_tick_params()["labelbottom"] for axis in axes]
    assert named[:4] == [False, True, True, True]  # in rows of three


def test_intervals_of_percentages_end_where_percentages_do():
    runs = pd.DataFrame({"arm": "one", "budget": "a task", "seed": range(4), "score": [100, 100, 100, 92]})
    study = dataclasses.replace(made_up((8, 4)), runs=runs, arms={"one": Arm("one")}, chance=None)
    assert confidence_interval(runs)["high"].item() > 100
    display = plots.accuracy(study)
    assert display.table["high"].item() == 100 and display.table["low"].item() < 98
    assert plots.accuracy(dataclasses.replace(study, metric="seconds")).table["high"].item() > 100


def test_only_the_checks_that_doubt_what_is_drawn_as_doubted_are_named():
    study = load_study("street_labels")
    at_the_end = study.runs["learning_rate"].where(study.runs["budget"] != 20, max(study.rates_offered))
    part = dataclasses.replace(study, runs=study.runs.assign(learning_rate=at_the_end))
    display, verdict = plots.gain(part, *part.compared), transfer_verdict(part, *part.compared)
    (row,) = np.flatnonzero(~display.table["clear"] & display.table["p_holm"].lt(0.05))
    doubted = display.table["budget"][row]
    for check in verdict.checks:
        assert (check.question in display.reading) == (check.passed is False and doubted in check.doubted)


def test_a_title_doubts_the_value_that_is_in_doubt_and_no_other():
    study = made_up((8, 8, 8), values=(5, 20, 50))
    runs = study.runs.assign(learning_rate=np.where(study.runs["budget"] == 20, 1e-2, 3e-3))
    title = (
        plots.gain(dataclasses.replace(study, runs=runs), "transfer", "scratch").figure.axes[0].get_title(loc="left")
    )
    assert "proved" not in title and title.endswith("; in doubt at 20")


def test_a_change_along_the_axis_is_doubted_as_a_comparison_is():
    study = made_up((20, 8, 2), values=(0, 1, 2), unit="copied layers")
    assert plots.gain(study, "transfer", since=0).table["clear"].all()
    few = dataclasses.replace(study, runs=study.runs.query("seed < 3"))
    display = plots.gain(few, "transfer", since=0)
    assert not display.table["clear"].any() and "Are there enough pairs? No." in display.reading


def test_what_did_not_run_leaves_a_gap_in_the_words_and_the_order_is_the_axis_s():
    study = with_third_arm(made_up((8, 4, 2), values=(5, 20, 50)))
    runs = study.runs[(study.runs["arm"] != "transfer") | (study.runs["budget"] != 20)]
    study = dataclasses.replace(study, runs=runs)
    assert re.search(r"fine-tuning 5\d, –, 5\d", plots.accuracy(study).words)
    axis = plots.gain(study, ["transfer", "other"], "scratch").figure.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["5", "20", "50"]


def test_chance_is_scaled_with_the_scores_and_other_columns_are_not():
    study = made_up((8, 4), chance=None)
    runs = study.runs.assign(score=study.runs["score"] / 100, chance=0.5, seconds=0.5)
    fractions = dataclasses.replace(study, runs=runs)
    assert plots.accuracy(fractions).words.endswith("would score 50.")
    assert plots.accuracy(fractions, score="seconds").words.startswith("seconds at") and "%" not in (
        plots.accuracy(fractions, score="seconds").words
    )
    named = runs.drop(columns="chance").assign(chance="who knows")
    assert "would score" not in plots.accuracy(named).words


def test_a_single_run_can_be_drawn_and_is_never_called_best():
    study = made_up((8, 4))
    single = dataclasses.replace(study, runs=study.runs.query("seed == 0"))
    assert plots.accuracy(single).reading.startswith("No clear best at 5 labels per class")


def test_many_arms_differ_in_colour_or_marker():
    assert len({charts.line_style(number) for number in range(49)}) == 49


def test_predictions_of_two_measures_are_two():
    study = made_up((8, 4))
    study = dataclasses.replace(study, runs=study.runs.assign(box=study.runs["score"]))
    for score in ("score", "box"):
        plots.gain(study, "transfer", "scratch", guess=6, at=5, score=score)
    assert list(my_calibration()["unit"]) == ["points", "box"]


# ---------------------------------------------------------------- pictures, answers, routes

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype="uint8")


def test_pictures_of_a_grid_are_counted_by_caption():
    display = plots.pictures(PICTURES, ["cat", "dog", "cat", "dog"], title="Animals")
    assert display.words == "Animals. 4 pictures, 2 each of cat, dog." and display.reading is None
    assert [axis.get_title() for axis in display.figure.axes] == ["cat", "dog", "cat", "dog"]
    uneven = plots.pictures(PICTURES, ["cat", "dog", "cat", "cat"], title="Animals", words="all on grass")
    assert uneven.words == "Animals. 4 pictures, 3 of cat, 1 of dog. All on grass."


def test_a_dataset_captions_itself():
    data = Dataset(
        PICTURES,
        np.array([0, 1, 1, 0]),
        Domain("made up", (6, 6, 3)),
        Task("animals", ("cat", "dog")),
        "train",
        np.array(list("abcd")),
    )
    assert "2 each of cat, dog" in plots.pictures(data, title="Animals").words


def test_rows_of_pictures_have_names():
    display = plots.pictures(
        {"source": PICTURES, "target": PICTURES[:2]}, title="Domains", headings=["1", "2", "3", "4"]
    )
    assert display.words == "Domains. Rows of pictures, from the top: source (4); target (2)."
    assert display.figure.axes[0].get_ylabel() == "source"


def test_answers_are_framed_and_told():
    display = plots.pictures(
        {"owl": PICTURES, "bus": PICTURES[:3], "sun": PICTURES[:2]},
        right={"owl": [None, True, False, np.True_], "bus": [None, False, False]},
        title="Nearest",
    )
    assert display.words == (
        "Nearest. Rows of pictures, from the top: "
        "owl (4; of 3 answers right: no. 1, no. 3); bus (3; of 2 answers right: none); sun (2)."
    )
    lines = [[patch.get_linestyle() for patch in axis.patches] for axis in display.figure.axes]
    assert lines[:8] == [[], ["-"], ["--"], ["-"], [], ["--"], ["--"], []] and lines[8:] == [[]] * 4
    assert "solid blue is right, dashed orange is wrong" in display.figure.get_suptitle()


def test_boxes_are_drawn_in_colours_that_are_told():
    boxes = np.array([[0, 0, 3, 3]] * 4)
    display = plots.pictures(PICTURES, title="Scenes", boxes={"true": boxes, "found": boxes + 1})
    assert display.words.endswith("Boxes: true white, found orange.") and len(display.figure.axes[3].patches) == 2
    assert len(plots.pictures(PICTURES, title="Scenes", boxes=boxes).figure.axes[0].patches) == 1
    assert plots.pictures(PICTURES, title="Scenes", boxes=boxes, columns=3).words.endswith("A box is drawn in each.")
    assert plots.pictures(PICTURES, title="Scenes", boxes=boxes[:0]).words == "Scenes. 4 pictures."
    with pytest.raises(ValueError, match="4 kinds of boxes"):
        plots.pictures(PICTURES, title="Scenes", boxes={str(number): boxes for number in range(5)})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"shown": PICTURES[:0]}, "no pictures"),
        ({"shown": PICTURES, "captions": ["cat"]}, "only 1 captions"),
        ({"shown": {"row": PICTURES}, "captions": ["cat"] * 4}, "belong to a grid"),
        ({"shown": PICTURES, "right": {"row": [True] * 4}}, "belong to rows"),
        ({"shown": {"row": PICTURES}, "right": {"row": [True]}}, "4 pictures, and `right` speaks of 1"),
        ({"shown": {"row": PICTURES}, "right": {"other": [True] * 4}}, "no row 'other'"),
    ],
)
def test_pictures_that_cannot_be_shown_are_refused(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        plots.pictures(**arguments, title="t")


def test_bars_tell_their_values_groups_and_band():
    display = plots.bars(
        ["a", "b"], [0.5, 1.25], xlabel="distance", title="t", groups=["far", "near"], band=(0, 0.1, "chance")
    )
    assert display.words == (
        "distance: a 0.5, b 1.25. Colours: far blue, near orange-red. A grey band from 0 to 0.1: chance."
    )
    with pytest.raises(ValueError, match="as many values"):
        plots.bars(["a", "b"], [1], xlabel="x", title="t")


def test_a_confusion_matrix_names_the_commonest_mistake():
    display = plots.confusion([0, 0, 0, 1, 1], [0, 1, 1, 1, 1], ["cat", "dog"], title="t")
    assert display.words == "Answers in % of each true class; right: cat 33, dog 100."
    assert display.reading == "The commonest mistake: 2 of 3 “cat” are taken for “dog”."
    assert plots.confusion([0, 1], [0, 1], ["cat", "dog"], title="t").reading == "No mistake was made."
    assert "dog (no examples)" in plots.confusion([0, 0], [0, 1], ["cat", "dog"], title="t").words
    with pytest.raises(ValueError, match="0 to 1, one for each name, not 7"):
        plots.confusion([0, 0], [0, 7], ["cat", "dog"], title="t")


def test_the_matrix_of_routes_tells_their_definitions():
    words = plots.route_matrix(ROUTES).words
    assert all(f"{route.name}: {route.definition}" in words for route in ROUTES)


# ---------------------------------------------------------------- hue, dash and what was run just now


def test_arms_of_one_hue_share_a_colour_and_dashes_tell_them_apart():
    axis = plots.accuracy(
        made_up((8, 8)), hues={"scratch": "20 labels", "transfer": "20 labels"}, dashed=["scratch"]
    ).figure.axes[0]
    scratch, transfer = axis.get_lines()[:2]
    assert scratch.get_color() == transfer.get_color() and scratch.get_marker() == transfer.get_marker()
    assert (scratch.get_linestyle(), transfer.get_linestyle()) == ("--", "-")
    alone = plots.accuracy(made_up((8, 8)), dashed=["scratch"]).figure.axes[0].get_lines()
    assert alone[0].get_color() != alone[1].get_color()


def test_live_runs_are_open_points_in_the_stored_figure():
    display = plots.accuracy(made_up((8, 8)), live={"scratch": 41.2, "transfer": 60.0}, at=50)
    points = [line for line in display.figure.axes[0].get_lines() if line.get_markerfacecolor() == "none"]
    (left,), (right,) = (line.get_xdata() for line in points)
    assert left < 50 < right < 1.1 * left and [*points[0].get_ydata(), *points[1].get_ydata()] == [41.2, 60.0]
    legend = [text.get_text() for text in display.figure.axes[0].get_legend().get_texts()]
    assert legend.count("one run, just now") == 1
    assert "One run just now, at 50 labels per class: training from scratch 41, fine-tuning 60." in display.words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"live": {"scratch": 1.0}}, "at is where the runs of `live` were made, one of 5, 50, not None"),
        ({"live": {"magic": 1.0}, "at": 5}, "Not drawn: 'magic'; drawn are scratch, transfer"),
        ({"dashed": ["magic"]}, "Not drawn: 'magic'"),
    ],
)
def test_what_is_not_drawn_has_no_style(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        plots.accuracy(made_up((1, 1)), **settings)


def test_an_axis_of_names_has_no_live_runs():
    study = made_up((8, 4), values=("photographs", "sketches"), unit="target")
    with pytest.raises(ValueError, match="target is no number"):
        plots.accuracy(study, live={"scratch": 50.0}, at="sketches")


def test_how_many_runs_chose_the_rates_is_said_where_it_is_known():
    study = made_up((8, 8))
    assert "chosen" not in plots.accuracy(study).words
    known = dataclasses.replace(study, provenance={"spec": {"tuning": {"runs": 54}}}, tuning_seeds=(7, 8, 9))
    words = plots.accuracy(known).words
    assert words.endswith("Learning rates were chosen by 54 runs on validation data, with 3 other seeds.")


def test_a_long_label_is_broken_into_lines_that_fit_the_axis():
    study = made_up((8, 8))
    long = "a name that goes on and on, of an arm that does several things at once, each with the same weight"
    arms = {key: dataclasses.replace(arm, label=f"{key}: {long}") for key, arm in study.arms.items()}
    axis = plots.gain(dataclasses.replace(study, arms=arms), "transfer", "scratch").figure.axes[0]
    lines = axis.get_ylabel().split("\n")
    assert len(lines) > 4 and max(map(len, lines)) <= 48 and "several things" in " ".join(lines)
