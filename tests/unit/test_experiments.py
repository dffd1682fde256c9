"""Intervals and tests against values worked out by hand, and against what they promise about chance."""

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from sklearn.metrics import recall_score

from tests.unit.grids import Inline
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.experiments import statistics
from tl_helpers.experiments.averages import macro_average
from tl_helpers.experiments.budgets import label_efficiency
from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.experiments.statistics import holm
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.run import GridError

T_3 = 3.182446305284264  # Student's t, 3 degrees of freedom, two-sided 95 %: from a table


def table(differences, base=0.0, **columns):
    """Two arms whose difference at budget b and seed s is ``differences[b][s]``; `base` is the baseline's score."""
    rows = []
    for budget, values in differences.items():
        for seed, value in enumerate(values):
            common = {"budget": budget, "seed": seed, **columns}
            rows.append({"arm": "scratch", "score": base, **common})
            rows.append({"arm": "transfer", "score": base + value, **common})
    return pd.DataFrame(rows)


# ---------------------------------------------------------------- by hand


def test_in_a_macro_average_each_class_counts_the_same():
    y, predicted = np.array([0] * 8 + [1, 1] + [3]), np.array([0] * 8 + [1, 2] + [0])
    assert macro_average(predicted == y, y) == (1 + 1 / 2 + 0) / 3
    assert macro_average(predicted == y, y) == recall_score(y, predicted, labels=[0, 1, 3], average="macro")


def test_an_interval_by_hand():
    # 1, 2, 3, 4: mean 2.5, variance 5/3, standard error sqrt(5/12)
    frame = pd.DataFrame({"arm": "a", "budget": 5, "seed": range(4), "score": [4.0, 1, 3, 2]})
    (row,) = confidence_interval(frame).to_dict("records")
    half = T_3 * math.sqrt(5 / 12)
    assert (row["arm"], row["budget"], row["n"], row["mean"]) == ("a", 5, 4, 2.5)
    assert row["low"] == pytest.approx(2.5 - half, abs=1e-12) and row["high"] == pytest.approx(2.5 + half, abs=1e-12)


def test_a_paired_difference_by_hand():
    (row,) = paired_difference(table({5: [4, 1, 3, 2]}, base=50.0), "transfer", "scratch").to_dict("records")
    half = T_3 * math.sqrt(5 / 12)
    # t = 2.5 / sqrt(5/12) = sqrt(15); with 3 degrees of freedom P(|T| > t) = 1 − 2/π (x/(1+x²) + arctan x), x = t/√3
    x = math.sqrt(5)
    p = 1 - 2 / math.pi * (x / (1 + x * x) + math.atan(x))
    assert (row["budget"], row["n"], row["difference"]) == (5, 4, 2.5)
    assert row["low"] == pytest.approx(2.5 - half, abs=1e-12) and row["high"] == pytest.approx(2.5 + half, abs=1e-12)
    assert row["p"] == pytest.approx(p, abs=1e-12) == row["p_holm"] == pytest.approx(0.030466, abs=1e-6)


def test_the_sign_flip_test_by_hand():
    # Of the 16 ways to flip the signs of 1, 2, 3, 4 only two give a mean as far from 0 as 2.5: none and all.
    frame = table({5: [4, 1, 3, 2], 10: [1, -1, 1, -1]})
    result = paired_difference(frame, "transfer", "scratch", method="bootstrap")
    assert result["p"].tolist() == [2 / 16, 1.0]
    assert result["p_holm"].tolist() == [4 / 16, 1.0]


def test_holm_by_hand():
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and none below one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.3]) == pytest.approx([0.3])
    assert holm([0.5, 0.6]) == pytest.approx([1, 1])
    assert holm([]).tolist() == []


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [np.nan], [[0.1]]])
def test_holm_takes_p_values_only(p_values):
    with pytest.raises(ValueError, match="p-values"):
        holm(p_values)


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_equal_differences_have_no_p_value_and_count_in_the_correction(method):
    frame = table({5: [2, 2, 2, 2], 10: [0, 0, 0, 0], 20: [4, 1, 3, 2]}, base=1.0)
    with pytest.warns(UserWarning, match="All differences at budget 5 are equal: .* p is not defined"):
        result = paired_difference(frame, "transfer", "scratch", method=method)
    assert result[["difference", "low", "high"]][:2].to_numpy().tolist() == [[2, 2, 2], [0, 0, 0]]
    assert result[["p", "p_holm"]].isna().to_numpy().tolist() == [[True, True], [False, False], [False, False]]
    assert result[["p", "p_holm"]][1:2].to_numpy().tolist() == [[1, 1]]
    assert result["p_holm"][2] == pytest.approx(3 * result["p"][2])
    # 0.1 + 0.2 − 0.2 and 0.1 + 0.3 − 0.3 are 0.1 but for rounding, which no test may take for a spread.
    frame = pd.concat([frame[frame["arm"] == "scratch"].assign(score=0.1 * (1 + frame["seed"])), frame])
    frame = frame.drop_duplicates(["arm", "budget", "seed"])
    frame.loc[frame["arm"] == "transfer", "score"] = 0.1 * (1 + frame["seed"]) + 0.1
    with pytest.warns(UserWarning, match="at budgets 5, 10 and 20"):
        assert paired_difference(frame, "transfer", "scratch", method=method)["p"].isna().all()


def test_one_run_has_no_interval():
    frame = pd.DataFrame({"arm": ["a", "a", "b"], "budget": [1, 1, 1], "seed": [0, 1, 0], "score": [1.0, 2, 3]})
    result = confidence_interval(frame)
    assert result["n"].tolist() == [2, 1]
    assert result[["low", "high"]].isna().to_numpy().tolist() == [[False, False], [True, True]]


def test_groups_and_columns_can_be_chosen():
    frame = table({5: [1, 2], 10: [3, 5]}).rename(columns={"score": "accuracy"})
    # Two seeds at two budgets each are two independent runs, not four.
    assert confidence_interval(frame, score="accuracy", by="arm")["n"].tolist() == [2, 2]
    together = paired_difference(frame, "transfer", "scratch", score="accuracy", by=None, pair=["budget", "seed"])
    assert together["n"].tolist() == [2] and together["difference"].tolist() == [2.75]
    by_seed = paired_difference(frame, "transfer", "scratch", score="accuracy", by="seed", pair="budget")
    assert by_seed[["seed", "difference"]].to_numpy().tolist() == [[0, 2], [1, 3.5]]


# ---------------------------------------------------------------- refusals


def without(frame, arm, budget, seed):
    return frame[~((frame["arm"] == arm) & (frame["budget"] == budget) & (frame["seed"] == seed))]


FULL = table({5: [1, 2, 3], 10: [2, 3, 5]})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FULL[FULL["arm"] == "scratch"], "There is no arm 'transfer'; the frame has 'scratch'"),
        (without(FULL, "transfer", 10, 2), "Arm 'transfer' has no run at budget 10, seed 2, where the other"),
        (without(FULL, "scratch", 5, 0), r"Arm 'scratch' has no run at budget 5, seed 0.*\(1 such"),
        (FULL[(FULL["arm"] == "scratch") | (FULL["budget"] == 5)], r"Arm 'transfer' has no run at budget 10.*\(3 such"),
        (pd.concat([FULL, FULL[:1]]), "Arm 'scratch' has more than one run at budget 5, seed 0"),
        (FULL[FULL["seed"] == 0], "Only one pair at budget 5"),
        (
            FULL.assign(score=FULL["score"].where(FULL.index != 3)),
            "1 of 12 scores are not finite.*score nan at arm 'transfer'",
        ),
        (FULL.replace({"score": {5.0: np.inf}}), "score inf at arm 'transfer', budget 10, seed 2"),
        (FULL.drop(columns="seed"), "no column 'seed'; it has 'arm', 'score', 'budget'"),
        (FULL.assign(score="high"), "not numbers"),
        (FULL[:0], "no rows"),
    ],
)
def test_what_cannot_be_paired_is_named(frame, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(frame, "transfer", "scratch")


def test_settings_are_checked():
    with pytest.raises(ValueError, match="nothing to compare"):
        paired_difference(FULL, "scratch", "scratch")
    with pytest.raises(ValueError, match="method must be 't' or 'bootstrap', not 'z'"):
        paired_difference(FULL, "transfer", "scratch", method="z")
    with pytest.raises(ValueError, match=r"confidence must be between 0\.5 and 1, such as 0\.95, not 95"):
        confidence_interval(FULL, confidence=95)


# ---------------------------------------------------------------- what must always hold

differences = st.dictionaries(
    st.integers(1, 100), st.lists(st.integers(-50, 50), min_size=4, max_size=4), min_size=1, max_size=4
)
numbers = ["difference", "low", "high"]


@pytest.mark.filterwarnings("ignore:All differences")
@settings(max_examples=40, deadline=None)
@given(differences, st.integers(-100, 100), st.randoms())
def test_common_shifts_and_the_order_of_rows_do_not_matter(values, shift, chance):
    frame = table(values, base=1.0)
    expected = paired_difference(frame, "transfer", "scratch")
    order = list(range(len(frame)))
    chance.shuffle(order)
    moved = frame.assign(score=frame["score"] + shift + frame["seed"]).iloc[order]
    result = paired_difference(moved, "transfer", "scratch").set_index("budget").loc[expected["budget"]].reset_index()
    pd.testing.assert_frame_equal(result, expected, atol=1e-9)


@pytest.mark.filterwarnings("ignore:All differences")
@settings(max_examples=40, deadline=None)
@given(differences, st.integers(1, 9))
def test_swapping_the_arms_flips_the_sign_and_scaling_scales(values, factor):
    frame = table(values)
    forward = paired_difference(frame, "transfer", "scratch")
    backward = paired_difference(frame.assign(score=factor * frame["score"]), "scratch", "transfer")
    np.testing.assert_allclose(backward[numbers], -factor * forward[["difference", "high", "low"]], atol=1e-9)
    np.testing.assert_allclose(backward[["p", "p_holm"]], forward[["p", "p_holm"]], atol=1e-9)


@pytest.mark.filterwarnings("ignore:All differences")
@settings(max_examples=40, deadline=None)
@given(differences)
def test_interval_and_test_agree(values):
    result = paired_difference(table(values), "transfer", "scratch")
    assert (result["low"] <= result["difference"]).all() and (result["difference"] <= result["high"]).all()
    tested = result[result["p"].notna()]
    assert (result["p"].isna() == ((result["low"] == result["high"]) & (result["low"] != 0))).all()
    assert ((tested["p"] < 0.05) == ((tested["low"] > 0) | (tested["high"] < 0))).all()
    assert (tested["p_holm"] >= tested["p"]).all() and (tested["p_holm"] <= 1).all()
    wider = paired_difference(table(values), "transfer", "scratch", confidence=0.99)
    assert (wider["low"] <= result["low"]).all() and (wider["high"] >= result["high"]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_keeps_the_order_and_knows_no_order_of_rows(p_values, chance):
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (np.asarray(p_values) <= adjusted).all() and (
        adjusted <= np.minimum(1, len(p_values) * np.asarray(p_values))
    ).all()
    shuffled = list(range(len(p_values)))
    chance.shuffle(shuffled)
    assert holm(np.asarray(p_values)[shuffled]).tolist() == adjusted[shuffled].tolist()


def test_the_bootstrap_is_the_same_every_time():
    frame = table({5: [3, 1, 4, 1, 5, 9, 2, 6]})
    first, second = (paired_difference(frame, "transfer", "scratch", method="bootstrap") for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    t = paired_difference(frame, "transfer", "scratch")
    assert t["low"][0] < first["low"][0] < t["difference"][0] < first["high"][0] < t["high"][0]


# ---------------------------------------------------------------- what is promised about chance


def bounds(trials, probability):
    """Return between which counts a binomial variable lies but for one time in a million."""
    return stats.binom.ppf([0.5e-6, 1 - 0.5e-6], trials, probability)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_t_intervals_cover_the_truth_as_often_as_they_say(confidence):
    trials, truth = 3000, 3.0
    draws = np.random.default_rng(5).normal(truth, 2, (trials, 4))
    result = paired_difference(table(dict(enumerate(draws))), "transfer", "scratch", confidence=confidence)
    low, high = bounds(trials, confidence)
    assert low <= ((result["low"] <= truth) & (truth <= result["high"])).sum() <= high
    frame = pd.DataFrame({"trial": np.repeat(np.arange(trials), 4), "score": draws.ravel()})
    means = confidence_interval(frame, by="trial", confidence=confidence)
    assert low <= ((means["low"] <= truth) & (truth <= means["high"])).sum() <= high


def test_bootstrap_intervals_cover_the_truth_nearly_as_often_for_many_pairs(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 999)
    trials, truth = 300, 3.0
    draws = np.random.default_rng(6).normal(truth, 2, (trials, 30))
    frame = pd.DataFrame({"trial": np.repeat(np.arange(trials), 30), "score": draws.ravel()})
    result = confidence_interval(frame, by="trial", method="bootstrap")
    covered = ((result["low"] <= truth) & (truth <= result["high"])).sum()
    assert bounds(trials, 0.92)[0] <= covered <= bounds(trials, 0.96)[1]


def test_some_budget_is_called_different_by_chance_in_at_most_five_of_a_hundred_studies():
    studies, budgets = 400, 5
    draws = np.random.default_rng(7).normal(0, 1, (studies, budgets, 6))
    uncorrected = corrected = 0
    for study in draws:
        result = paired_difference(table(dict(enumerate(study))), "transfer", "scratch")
        uncorrected += (result["p"] < 0.05).any()
        corrected += (result["p_holm"] < 0.05).any()
    assert corrected <= bounds(studies, 0.05)[1]
    assert uncorrected > bounds(studies, 0.05)[1]  # about 1 − .95⁵ = 23 of a hundred: why the correction is there


# ---------------------------------------------------------------- label efficiency


def pool(n=60):
    ids = np.array([f"{number:03}" for number in range(n)])
    x = np.zeros((n, 2, 2, 1), "uint8")
    return Dataset(x, np.arange(n) % 3, Domain("d", (2, 2, 1)), Task("t", ("a", "b", "c")), "train", ids)


def report(arm, data, seed, factor=1):
    return {"score": factor * len(data) + seed, "ids": " ".join(data.ids), "classes": len(set(data.y))}


@pytest.mark.parametrize("data", [pool(), pool])
def test_label_efficiency_gives_every_arm_the_same_nested_samples(data):
    runs, curve = label_efficiency(report, data, ["x", "y"], [1, 2, 5], [0, 1], path=None, client=Inline(), factor=10)
    assert runs["classes"].unique().tolist() == [3]
    samples = {(row.arm, row.budget, row.seed): set(row.ids.split()) for row in runs.itertuples()}
    for seed in (0, 1):
        assert [len(samples["x", budget, seed]) for budget in (1, 2, 5)] == [3, 6, 15]
        assert samples["x", 1, seed] < samples["x", 2, seed] < samples["x", 5, seed]
        assert all(samples["x", budget, seed] == samples["y", budget, seed] for budget in (1, 2, 5))
    assert samples["x", 5, 0] != samples["x", 5, 1]
    assert curve[["arm", "budget", "n", "mean"]].to_numpy().tolist() == [
        [arm, budget, 2, 30 * budget + 0.5] for arm in "xy" for budget in (1, 2, 5)
    ]


def test_label_efficiency_names_a_budget_that_is_too_large():
    with pytest.raises(GridError, match=r"budget 21, seed 0: ValueError: Class 'a' has 20 examples"):
        label_efficiency(report, pool(), ["x"], [21], [0], path=None, client=Inline())
    with pytest.raises(TypeError, match="data must be a Dataset or a function"):
        label_efficiency(report, "emoji", ["x"], [1], [0], path=None)


def test_label_efficiency_notices_other_data_and_another_function(tmp_path):
    def other(arm, data, seed):
        return {"score": 1}

    path = tmp_path / "log.jsonl"
    settings = {"arms": ["x"], "budgets": [1], "seeds": [0, 1], "path": path, "client": Inline()}
    calls = [(report, pool()), (report, pool(63)), (other, pool()), (report, pool())]
    specs = [label_efficiency(*call, **settings).runs["spec"][0] for call in calls]
    assert len(set(specs)) == 3 and specs[0] == specs[3]


# ---------------------------------------------------------------- the verdict


def study(effect, n=8, noise=0.3, longer=None, scale=1, **columns):
    """Runs at budgets 5, 20, 80: `effect` and `longer` map a budget to a gain over the baseline, in points."""
    chance = np.random.default_rng(1)
    rows = []
    for budget in (5, 20, 80):
        for seed in range(n):
            base = 40 + budget / 4 + chance.normal(0, 3)
            arms = {"scratch": 0, "transfer": effect(budget)} | ({} if longer is None else {"longer": longer(budget)})
            for arm, gain in arms.items():
                score = scale * (base + gain + chance.normal(0, noise))
                rows.append({"arm": arm, "budget": budget, "seed": seed, "score": score} | columns)
    return pd.DataFrame(rows)


def check(verdict, question):
    (found,) = [each for each in verdict.checks if question in each.question]
    return found


def test_a_gain_is_positive():
    verdict = transfer_verdict(study(lambda budget: 6 if budget < 80 else 0), "transfer", "scratch")
    assert verdict.verdict == "positive"
    assert verdict.table["verdict"].tolist() == ["positive", "positive", "inconclusive"]
    low, high = verdict.table["difference"].sort_values().iloc[[1, 2]]
    assert f"beats scratch at 2 of 3 budgets, by {low:+.1f} points" in verdict.sentence
    assert f"{high:+.1f} points" in verdict.sentence and "n = 8 pairs" in verdict.sentence
    assert "At budget 80 one cannot tell: " in verdict.sentence
    assert verdict.sentence in str(verdict)


def test_a_loss_is_negative_and_nothing_is_inconclusive():
    negative = transfer_verdict(study(lambda budget: -4), "transfer", "scratch")
    assert negative.verdict == "negative" and "transfer loses to scratch at 3 of 3 budgets" in negative.sentence
    nothing = transfer_verdict(study(lambda budget: 0), "transfer", "scratch")
    assert nothing.verdict == "inconclusive"
    assert "At budgets 5, 20 and 80 one cannot tell whether transfer and scratch differ: the " in nothing.sentence


def test_a_change_of_sign_is_said():
    verdict = transfer_verdict(study(lambda budget: 4 if budget == 5 else -4), "transfer", "scratch")
    assert verdict.verdict == "inconclusive"
    assert verdict.table["verdict"].tolist() == ["positive", "negative", "negative"]
    assert verdict.sentence.startswith("It depends on the budget: transfer beats scratch at budget 5, by +")
    assert "but loses to scratch at 2 of 3 budgets" in verdict.sentence


def test_fractions_are_told_in_points():
    percent = transfer_verdict(study(lambda budget: 6), "transfer", "scratch").sentence
    assert transfer_verdict(study(lambda budget: 6, scale=0.01), "transfer", "scratch").sentence == percent
    assert "IoU" in transfer_verdict(study(lambda budget: 6), "transfer", "scratch", unit="IoU").sentence


def test_the_correction_decides_not_the_single_interval():
    # Alone p = .030 (see above): enough for one budget, too little for one of three.
    frame = table({5: [4, 1, 3, 2], 20: [1, -1, 2, -2], 80: [1, -1, 3, -3]}, base=50.0)
    frame["score"] += frame["seed"]  # of both arms: their difference stays
    together = transfer_verdict(frame, "transfer", "scratch", minimum_pairs=4)
    alone = transfer_verdict(frame[frame["budget"] == 5], "transfer", "scratch", minimum_pairs=4)
    assert (together.verdict, alone.verdict) == ("inconclusive", "positive")


def test_few_seeds_conclude_nothing():
    verdict = transfer_verdict(study(lambda budget: 9, n=4), "transfer", "scratch")
    assert verdict.verdict == "inconclusive" and "n = 4. Run at least 5" in verdict.sentence
    assert check(verdict, "enough pairs").passed is False
    assert transfer_verdict(study(lambda budget: 9, n=4), "transfer", "scratch", minimum_pairs=4).verdict == "positive"


RATES = [1e-3, 3e-3, 1e-2]


@pytest.mark.parametrize(
    ("effect", "arm", "rate", "verdict"),
    [
        (6, "scratch", 1e-2, "inconclusive"),
        (6, "scratch", 1e-3, "inconclusive"),
        (6, "scratch", 3e-3, "positive"),
        (6, "transfer", 1e-2, "positive"),  # a better rate could only add to the gain
        (-6, "transfer", 1e-2, "inconclusive"),
        (-6, "scratch", 1e-2, "negative"),
    ],
)
def test_a_learning_rate_at_the_edge_casts_doubt_where_it_favours_the_result(effect, arm, rate, verdict):
    frame = study(lambda budget: effect, learning_rate=3e-3)
    frame.loc[frame["arm"] == arm, "learning_rate"] = rate
    result = transfer_verdict(frame, "transfer", "scratch", learning_rates=RATES)
    assert result.verdict == verdict
    assert check(result, "learning rate").passed is (verdict != "inconclusive")
    if verdict == "inconclusive":
        assert f"No: {arm} at budgets 5, 20 and 80" in result.sentence


def test_a_rate_at_the_edge_of_one_budget_leaves_the_others():
    frame = study(lambda budget: 6, learning_rate=3e-3)
    frame.loc[(frame["arm"] == "scratch") & (frame["budget"] == 20), "learning_rate"] = 1e-3
    result = transfer_verdict(frame, "transfer", "scratch", learning_rates=RATES)
    assert result.table["verdict"].tolist() == ["positive", "inconclusive", "positive"]
    assert "What was measured at budget 20 (+" in result.sentence and "is open to doubt" in result.sentence


@pytest.mark.parametrize("rate", [1.004e-2, 0.9996e-3, 0.1, 1e-5])
def test_a_rounded_rate_and_one_outside_the_range_are_not_inside_it(rate):
    result = transfer_verdict(study(lambda _: 6, learning_rate=rate), "transfer", "scratch", learning_rates=RATES)
    assert check(result, "learning rate").passed is False


@pytest.mark.parametrize(("column", "question"), [("learning_rate", "learning rate"), ("updates", "updates")])
def test_a_column_with_gaps_answers_no_question_for_certain(column, question):
    frame = study(lambda _: 6, learning_rate=3e-3, updates=100)
    frame.loc[frame["seed"] > 0, column] = np.nan
    found = check(transfer_verdict(frame, "transfer", "scratch", learning_rates=RATES), question)
    assert found.passed is None and found.answer == "A column is missing, or has gaps."
    frame[column] = "many"
    with pytest.raises(ValueError, match=f"Column '{column}' holds .* no numbers"):
        transfer_verdict(frame, "transfer", "scratch", learning_rates=RATES)


@pytest.mark.parametrize("rates", [[], 1e-3, ["a"], [1e-3, None], [1e-3, np.nan], [0, 1e-3]])
def test_the_rates_tried_are_numbers(rates):
    with pytest.raises(ValueError, match="learning_rates must be a list"):
        transfer_verdict(study(lambda _: 6, learning_rate=3e-3), "transfer", "scratch", learning_rates=rates)


def test_a_single_control_needs_no_list():
    frame = study(lambda _: 6, longer=lambda _: 1)
    one, listed = (transfer_verdict(frame, "transfer", "scratch", controls=each) for each in ("longer", ["longer"]))
    assert str(one) == str(listed) and "against longer" in str(one)


@pytest.mark.parametrize("name", ["n", "low", "verdict"])
def test_a_column_with_the_name_of_a_result_is_named(name):
    frame = study(lambda _: 6).rename(columns={"budget": name})
    with pytest.raises(ValueError, match=f"a column '{name}' of its own"):
        transfer_verdict(frame, "transfer", "scratch", by=name)
    if name != "verdict":
        with pytest.raises(ValueError, match=f"a column '{name}' of its own"):
            paired_difference(frame, "transfer", "scratch", by=name)
        with pytest.raises(ValueError, match=f"a column '{name}' of its own"):
            confidence_interval(frame, by=["arm", name])


def test_frames_of_another_shape_are_refused_in_words():
    frame = study(lambda _: 6)
    with pytest.raises(ValueError, match="seeds are the index"):
        confidence_interval(frame.set_index("seed"))
    with pytest.raises(ValueError, match="has column 'score' twice"):
        confidence_interval(pd.concat([frame, frame[["score"]]], axis=1))
    with pytest.raises(TypeError, match=r"must be a pandas\.DataFrame, not dict"):
        confidence_interval({"score": [1, 2]})


def test_what_cannot_be_checked_is_said():
    result = transfer_verdict(study(lambda budget: 6), "transfer", "scratch")
    assert [each.passed for each in result.checks] == [True, None, None, None]
    gap = study(lambda budget: 6, learning_rate=np.nan)
    assert check(transfer_verdict(gap, "transfer", "scratch", learning_rates=RATES), "learning rate").passed is None


def test_a_baseline_with_fewer_updates_is_not_beaten():
    frame = study(lambda budget: 6, updates=300)
    assert check(transfer_verdict(frame, "transfer", "scratch"), "updates").passed is True
    frame.loc[frame["arm"] == "scratch", "updates"] = 100
    assert transfer_verdict(frame, "transfer", "scratch").verdict == "inconclusive"
    frame.loc[frame["arm"] == "scratch", "updates"] = 900
    assert transfer_verdict(frame, "transfer", "scratch").verdict == "positive"


def test_a_gain_must_hold_against_the_baseline_trained_longer():
    frame = study(lambda budget: 6, longer=lambda budget: 6 if budget == 80 else 1)
    result = transfer_verdict(frame, "transfer", "scratch", controls=["longer"])
    assert result.verdict == "positive"
    assert result.table["verdict"].tolist() == ["positive", "positive", "inconclusive"]
    assert check(result, "against longer").answer == "No: not at budget 80."
    gone = study(lambda budget: 6, longer=lambda budget: 6)
    assert transfer_verdict(gone, "transfer", "scratch", controls=["longer"]).verdict == "inconclusive"
    with pytest.raises(ValueError, match="Control 'wider' has no run at budgets 5, 20 and 80"):
        transfer_verdict(frame, "transfer", "scratch", controls=["wider"])


def test_a_control_counts_only_where_it_was_run():
    frame = study(lambda budget: 6, longer=lambda budget: 6)
    frame = frame[(frame["arm"] != "longer") | (frame["budget"] == 5)]
    result = transfer_verdict(frame, "transfer", "scratch", controls=["longer"])
    assert result.table["verdict"].tolist() == ["inconclusive", "positive", "positive"]


def collapse(frame, arm, budget, seeds, score):
    rows = (frame["arm"] == arm) & (frame["budget"] == budget) & frame["seed"].isin(seeds)
    return frame.assign(score=frame["score"].mask(rows, score))


def test_a_baseline_no_better_than_guessing_is_stuck():
    frame = study(lambda budget: 6)
    assert transfer_verdict(frame, "transfer", "scratch", chance=12.5).verdict == "positive"
    stuck = transfer_verdict(frame, "transfer", "scratch", chance=90)
    assert stuck.verdict == "inconclusive" and "Is every run better than guessing? No: transfer at" in stuck.sentence
    assert "scratch at budgets 5 (8 of 8 runs), 20 (8 of 8 runs) and 80 (8 of 8 runs), where guessing" in stuck.sentence


@pytest.mark.parametrize("arm", ["transfer", "scratch", "longer"])
def test_one_run_at_the_majority_class_is_found_in_any_arm_at_any_budget(arm):
    frame = study(lambda budget: 6, longer=lambda budget: 1)
    frame = collapse(frame, arm, 20, [3], 12.5)
    result = transfer_verdict(frame, "transfer", "scratch", controls=["longer"], chance=12.5)
    assert result.table["verdict"].tolist() == ["positive", "inconclusive", "positive"]
    assert check(result, "guessing").answer.startswith(f"No: {arm} at budget 20 (1 of 8 runs), where guessing gives")
    assert "What was measured at budget 20" in result.sentence


def test_collapsed_runs_do_not_pass_for_a_null():
    # Answers that are always one class score its share, be it the commonest class's or another's.
    frame = study(lambda budget: 6 if budget < 80 else 0)
    frame = collapse(collapse(frame, "transfer", 80, [0, 2, 4], 35.8), "transfer", 80, [1, 3], 30.2)
    result = transfer_verdict(frame, "transfer", "scratch", chance=35.8, margin=50)
    assert "transfer at budget 80 (5 of 8 runs)" in check(result, "guessing").answer
    assert result.table["verdict"].tolist()[2] == "inconclusive" and "one cannot tell" not in result.sentence


def test_an_arm_that_is_not_clearly_above_guessing_has_not_learned():
    frame = study(lambda budget: 6)
    rows = (frame["arm"] == "scratch") & (frame["budget"] == 5)
    frame.loc[rows, "score"] = 30 + np.array([0.1, 9, 0.1, 0.3, 0.2, 0.1, 0.2, 0.1])
    result = transfer_verdict(frame, "transfer", "scratch", chance=30)
    assert check(result, "guessing").answer.startswith("No: scratch at budget 5 (the mean is not clearly above)")
    assert result.table["verdict"].tolist() == ["inconclusive", "positive", "positive"]


def test_the_score_of_guessing_may_differ_from_run_to_run():
    frame = study(lambda budget: 6).assign(majority=12.5)
    assert transfer_verdict(frame, "transfer", "scratch", chance="majority").verdict == "positive"
    row = frame[(frame["arm"] == "scratch") & (frame["budget"] == 5) & (frame["seed"] == 2)].index
    frame.loc[row, "majority"] = frame.loc[row, "score"]
    result = transfer_verdict(frame, "transfer", "scratch", chance="majority")
    assert "scratch at budget 5 (1 of 8 runs). Such" in check(result, "guessing").answer
    frame.loc[row, "majority"] = np.nan
    for chance, message in (
        ("majority", "not finite"),
        ("share", "no column 'share'"),
        ([10], "name of a column"),
        (np.nan, "name of a column"),
    ):
        with pytest.raises(ValueError, match=message):
            transfer_verdict(frame, "transfer", "scratch", chance=chance)


@pytest.mark.parametrize("arm", ["transfer", "scratch"])
def test_where_nothing_shows_either_arm_may_be_the_weak_one(arm):
    frame = study(lambda budget: 0, learning_rate=3e-3, updates=300)
    settings = {"learning_rates": RATES, "margin": 1}
    assert transfer_verdict(frame, "transfer", "scratch", **settings).verdict == "equivalent"
    here = (frame["arm"] == arm) & (frame["budget"] == 20)
    for column, value, question in (("learning_rate", 1e-2, "learning rate"), ("updates", 100, "updates")):
        result = transfer_verdict(
            frame.assign(**{column: frame[column].mask(here, value)}), "transfer", "scratch", **settings
        )
        assert check(result, question).answer.startswith(f"No: {arm} at budget 20. ")
        assert result.verdict == "inconclusive"
        assert result.table["verdict"].tolist() == ["equivalent", "inconclusive", "equivalent"]
        assert "What was measured at budget 20" in result.sentence


def test_a_null_that_loses_to_a_control_is_doubted():
    frame = study(lambda budget: 0, longer=lambda budget: 6 if budget == 5 else 0)
    result = transfer_verdict(frame, "transfer", "scratch", controls=["longer"], margin=1)
    assert check(result, "against longer").answer == "No: transfer loses to it at budget 5."
    assert result.table["verdict"].tolist() == ["inconclusive", "equivalent", "equivalent"]
    honest = transfer_verdict(
        study(lambda budget: 0, longer=lambda budget: 0), "transfer", "scratch", controls=["longer"]
    )
    assert check(honest, "against longer").passed is None


def test_a_gain_over_a_badly_tuned_control_is_doubted():
    frame = study(lambda budget: 6, longer=lambda budget: 1, learning_rate=3e-3)
    settings = {"controls": ["longer"], "learning_rates": RATES}
    assert transfer_verdict(frame, "transfer", "scratch", **settings).verdict == "positive"
    frame.loc[(frame["arm"] == "longer") & (frame["budget"] == 20), "learning_rate"] = 1e-3
    result = transfer_verdict(frame, "transfer", "scratch", **settings)
    assert check(result, "learning rate").answer.startswith("No: longer at budget 20.")
    assert result.table["verdict"].tolist() == ["positive", "inconclusive", "positive"]


def test_how_much_is_left_of_a_gain_is_told():
    frame = study(lambda budget: 6, longer=lambda budget: 2 if budget == 80 else 1)
    result = transfer_verdict(frame, "transfer", "scratch", controls=["longer"])
    left = paired_difference(frame, "transfer", "longer")["difference"].min()
    assert check(result, "against longer").answer == f"Yes: {left:+.1f} points or more."


# ---------------------------------------------------------------- equivalence

# Hours of sleep gained with two drugs by ten patients (Student 1908): the differences.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def two_drugs(budgets=(5,)):
    """Runs whose differences are Student's, at each budget, with scores that vary."""
    rows = []
    for budget, (seed, difference) in itertools.product(budgets, enumerate(SLEEP)):
        shared = {"budget": budget, "seed": seed}
        rows += [{"arm": "scratch", "score": 50.0 + seed} | shared]
        rows += [{"arm": "transfer", "score": 50.0 + seed + difference} | shared]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("margin", "p"), [(0.5, 0.9892408), (2, 0.1541572), (2.5, 0.0211169), (3, 0.0026556)])
def test_the_two_one_sided_tests_give_the_known_values(margin, p):
    # By statsmodels.stats.weightstats.ttost_paired.
    (row,) = paired_difference(two_drugs(), "transfer", "scratch", margin=margin).to_dict("records")
    assert row["p"] == pytest.approx(0.00283289, abs=1e-8)
    assert row["p_equivalent"] == pytest.approx(p, rel=1e-4) == row["p_equivalent_holm"]


def test_equivalence_is_corrected_over_the_budgets():
    table = paired_difference(two_drugs((5, 20, 80)), "transfer", "scratch", margin=2.5)
    assert table["p_equivalent_holm"].tolist() == pytest.approx([3 * 0.0211169] * 3, rel=1e-4)
    assert "p_equivalent" not in paired_difference(two_drugs(), "transfer", "scratch")
    swapped = paired_difference(two_drugs(), "scratch", "transfer", margin=2.5)
    assert swapped["p_equivalent"].tolist() == pytest.approx([0.0211169], rel=1e-4)


def test_the_sign_flip_test_has_an_exact_known_value():
    # Of 2^4 signs, only the given ones make the shifted mean as large, on either side: p = 1/16.
    frame = table({5: [0.1, -0.1, 0.2, 0.0]}, base=50.0)
    frame["score"] += frame["seed"]
    found = paired_difference(frame, "transfer", "scratch", method="bootstrap", margin=1)
    assert found["p_equivalent"].tolist() == pytest.approx([1 / 16])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-50, 50), min_size=4, max_size=8).filter(lambda values: len(set(values)) > 1),
    st.integers(1, 99),
)
def test_equivalence_at_five_percent_is_a_ninety_percent_interval_inside_the_margin(values, margin):
    frame = table({5: values}, base=500.0)
    (row,) = paired_difference(frame, "transfer", "scratch", confidence=0.9, margin=margin).to_dict("records")
    inside = max(-row["low"], row["high"])
    if abs(inside - margin) > 1e-9:
        assert (row["p_equivalent"] < 0.05) == (inside < margin)


def test_a_null_is_claimed_inside_a_margin_only():
    frame = study(lambda budget: 0)
    for margin, verdict in ((None, "inconclusive"), (0.01, "inconclusive"), (2, "equivalent")):
        result = transfer_verdict(frame, "transfer", "scratch", margin=margin)
        assert result.verdict == verdict and set(result.table["verdict"]) == {verdict}
        assert ("one cannot tell" in result.sentence) == (verdict == "inconclusive")
    assert result.sentence.startswith(
        "At budgets 5, 20 and 80 transfer and scratch are equivalent within the ±2 points that were given "
        "(two one-sided tests): the 90 % intervals lie within -"
    )
    assert result.sentence.endswith(" points (n = 8 pairs, tests corrected for 3 budgets).")
    narrow = paired_difference(frame, "transfer", "scratch", confidence=0.9)
    assert f"within {narrow['low'].min():+.1f} to {narrow['high'].max():+.1f} points" in result.sentence
    fractions = transfer_verdict(frame.assign(score=frame["score"] / 100), "transfer", "scratch", margin=0.02)
    assert fractions.sentence == result.sentence


def test_a_difference_inside_the_margin_counts_for_nothing():
    frame = study(lambda budget: 1.5 if budget < 80 else 6)
    assert transfer_verdict(frame, "transfer", "scratch").table["verdict"].tolist() == ["positive"] * 3
    result = transfer_verdict(frame, "transfer", "scratch", margin=3)
    assert result.table["verdict"].tolist() == ["equivalent", "equivalent", "positive"]
    assert (
        result.verdict == "positive" and "at budget 80, by +" in result.sentence and "within the ±3" in result.sentence
    )


def test_the_interval_told_of_an_equivalence_lies_inside_the_margin():
    # Of +0.9 [-0.3, +2.1] at 95 %, the 90 % interval alone is inside ±2.
    values = np.array([0.9 + 1.14 * sign for sign in (-1, 1, -1, 1, 0, 0)])
    frame = table({5: values}, base=50.0)
    frame["score"] += frame["seed"]
    result = transfer_verdict(frame, "transfer", "scratch", margin=1.8)
    assert result.verdict == "equivalent" and result.table["high"][0] > 1.8
    assert result.sentence.endswith("+0.9 points [+0.1, +1.7] (90 % interval) (n = 6 pairs).")


def test_few_noisy_seeds_are_not_equivalent():
    frame = study(lambda budget: 0, n=5, noise=5)
    result = transfer_verdict(frame, "transfer", "scratch", margin=2)
    assert (
        result.verdict == "inconclusive"
        and "differ, nor whether they are equivalent within ±2 points: the" in result.sentence
    )
    few = transfer_verdict(study(lambda budget: 0, n=4), "transfer", "scratch", margin=2)
    assert set(few.table["verdict"]) == {"inconclusive"}


@pytest.mark.parametrize("margin", [0, -1, np.inf, np.nan, "2", True])
def test_a_margin_is_a_number_above_zero(margin):
    for function in (transfer_verdict, paired_difference):
        with pytest.raises(ValueError, match="margin must be a number above 0"):
            function(study(lambda budget: 0), "transfer", "scratch", margin=margin)


def test_a_margin_in_another_unit_makes_nothing_equivalent():
    frame = study(lambda budget: 6, scale=0.01)
    with pytest.raises(ValueError, match=r"margin is 2, but all scores lie in 0…1.* margin=0.02"):
        transfer_verdict(frame, "transfer", "scratch", margin=2)
    assert transfer_verdict(frame, "transfer", "scratch", margin=0.02).verdict == "positive"
    assert transfer_verdict(frame, "transfer", "scratch", margin=2, unit="seconds").verdict == "equivalent"


def test_small_scores_that_are_no_shares_are_told_with_their_digits():
    frame = study(lambda budget: 6, scale=0.01)
    frame["score"] -= 0.5  # a correlation, say: some are below 0
    result = transfer_verdict(frame, "transfer", "scratch")
    assert f"by {result.table['difference'].min():+.3g} points" in result.sentence and "+0.1 " not in result.sentence


def test_a_verdict_is_not_changed_by_accident():
    verdict = transfer_verdict(study(lambda budget: 6), "transfer", "scratch")
    with pytest.raises(AttributeError):
        verdict.verdict = "negative"


# ---------------------------------------------------------------- None is a budget, and a run is no seed

# Alone p = .030 (see above), of two budgets .061: with the budget None left out it would be called a gain.
ALL_LABELS = table({5: [4, 1, 3, 2], None: [1, -1, 2, -2]}, base=50.0)
ALL_LABELS["score"] += ALL_LABELS["seed"]


@pytest.mark.parametrize("gap", ["float", "object", "Int64"])
def test_the_budget_none_stays_in_whatever_the_table_makes_of_it(gap):
    frame = ALL_LABELS.astype({"budget": gap})
    if gap == "object":
        frame["budget"] = pd.Series([5] * 8 + [None] * 8, dtype=object)
    result = paired_difference(frame, "transfer", "scratch")
    assert result["budget"].tolist() == [5, None] and result["n"].tolist() == [4, 4]
    assert result["difference"].tolist() == [2.5, 0]
    assert result["p_holm"].tolist() == pytest.approx([2 * 0.030466, 1], abs=1e-6)
    means = confidence_interval(frame)
    assert means["budget"].tolist() == [5, 5, None, None] and means["n"].tolist() == [4] * 4
    verdict = transfer_verdict(frame, "transfer", "scratch", minimum_pairs=4)
    assert verdict.verdict == "inconclusive" and "At budgets 5 and None one cannot tell" in verdict.sentence


def test_none_is_the_largest_budget_an_arm_and_a_seed_as_well():
    frame = pd.concat([ALL_LABELS, ALL_LABELS[ALL_LABELS["arm"] == "scratch"].assign(arm="longer")])
    frame = frame.sample(frac=1, random_state=0)
    frame["arm"] = frame["arm"].replace("scratch", None)
    frame["seed"] = frame["seed"].replace(3, np.nan)
    result = transfer_verdict(frame, "transfer", None, controls=["longer"], chance=5, minimum_pairs=4)
    assert set(result.table["budget"]) == {5, None} and result.table["n"].tolist() == [4, 4]
    assert check(result, "guessing").answer == "Yes: the lowest scores 50, where guessing gives 5."
    stuck = transfer_verdict(frame, "transfer", None, chance=51, minimum_pairs=4)
    answer = check(stuck, "guessing").answer
    assert answer.startswith("No: transfer at budget None (3 of 4 runs); None at budgets")
    assert paired_difference(frame, None, "longer")["difference"].tolist() == [0, 0]
    assert set(confidence_interval(frame, by="arm")["arm"]) == {None, "transfer", "longer"}
    gone = frame[~(frame["budget"].isna() & frame["arm"].isna() & frame["seed"].isna())]
    with pytest.raises(ValueError, match="Arm None has no run at budget None, seed None, where the other has one"):
        paired_difference(gone, "transfer", None)


def test_all_labels_are_a_budget_of_label_efficiency():
    settings = {"path": None, "client": Inline()}
    runs, curve = label_efficiency(report, pool(), ["x"], [None, 5], [0, 1], **settings)
    assert curve[["budget", "n", "mean"]].to_numpy().tolist() == [[None, 2, 60.5], [5, 2, 15.5]]
    assert set(runs["ids"][0].split()) == set(pool().ids)


def folds(arm, data, seed, text=False):
    return [{"score": 10 * seed + fold, "fold": f"fold {fold}" if text else fold} for fold in range(10)]


def test_several_rows_of_a_run_count_as_one():
    settings = {"path": None, "client": Inline()}
    curve = label_efficiency(folds, pool(), ["x"], [5], range(4), **settings).curve
    (row,) = curve.to_dict("records")
    half = T_3 * math.sqrt(500 / 3 / 4)  # 4.5, 14.5, 24.5, 34.5: variance 500/3
    assert (row["n"], row["mean"]) == (4, 19.5)
    assert row["low"] == pytest.approx(19.5 - half) and row["high"] == pytest.approx(19.5 + half)
    message = "10 rows at arm 'x', budget 5, seed 0, which differ in 'fold' .*name 'fold' in `by`"
    with pytest.raises(ValueError, match=message) as error:
        label_efficiency(folds, pool(), ["x"], [5], range(4), text=True, **settings)
    assert len(error.value.finished) == 40


def test_folds_of_a_seed_make_one_pair():
    once = table({5: [4, 1, 3, 2]}, base=50.0)
    treated = once["arm"] == "transfer"
    rows = [once.assign(fold=fold, score=once["score"] + (fold - 1) * treated) for fold in range(3)]
    result = paired_difference(pd.concat(rows), "transfer", "scratch", pair=["seed", "fold"])
    pd.testing.assert_frame_equal(result, paired_difference(once, "transfer", "scratch"))
    with pytest.raises(ValueError, match="Only one seed at budget 5"):
        paired_difference(pd.concat(rows).query("seed == 0"), "transfer", "scratch", pair=["seed", "fold"])
    with pytest.raises(ValueError, match="more than one run at budget 5, seed 0"):
        transfer_verdict(pd.concat(rows), "transfer", "scratch")


def test_pairs_of_one_seed_are_not_counted_as_independent():
    once = table({5: [4, 1, 3, 2]}, base=50.0)
    rows = pd.concat([once.assign(fold=fold) for fold in range(3)])
    rows["run"] = 10 * rows["seed"] + rows["fold"]
    message = r"Seed 0 has 3 runs of arm 'transfer', budget 5, .* such as pair=\['seed', 'run'\]"
    with pytest.raises(ValueError, match=message):
        paired_difference(rows, "transfer", "scratch", pair="run")
    found = paired_difference(rows, "transfer", "scratch", pair=["seed", "run"])
    pd.testing.assert_frame_equal(found, paired_difference(once, "transfer", "scratch"))


def test_a_number_and_its_text_are_not_two_seeds():
    frame = table({5: [4, 1, 3, 2, 4, 1]}, base=50.0)
    frame["seed"] = pd.Series([value if value < 3 else str(value - 3) for value in frame["seed"]], dtype=object)
    for function in (paired_difference, transfer_verdict):
        with pytest.raises(ValueError, match=r"Column 'seed' holds both 0 and '0'.*astype"):
            function(frame, "transfer", "scratch")
    with pytest.raises(ValueError, match="Column 'seed' holds both 0 and '0'"):
        confidence_interval(frame)


def test_seeds_with_more_rows_than_others_are_told():
    frame = table({5: [4, 1, 3, 2], 20: [9, 9, 9, 9]}, base=50.0)
    confidence_interval(frame, by="arm")
    part = frame[(frame["arm"] == "transfer") & ((frame["budget"] == 5) | (frame["seed"] < 2))]
    with pytest.warns(UserWarning, match="Some seeds have more rows than others at arm 'transfer'"):
        confidence_interval(part, by="arm")


def test_a_small_effect_is_not_rounded_to_nothing():
    frame = study(lambda budget: 0.01, noise=0.001)
    sentence = transfer_verdict(frame, "transfer", "scratch").sentence
    assert "+0.0 " not in sentence and re.search(r"by \+0\.0\d+ points \[\+0\.0\d+, \+0\.0\d+\]", sentence)


def width(result):
    return (result["high"] - result["low"]).tolist()


@settings(max_examples=30, deadline=None)
@given(differences, st.randoms(), st.integers(0, 30), st.booleans())
@pytest.mark.filterwarnings("ignore:All differences", "ignore:Some seeds have more rows")
def test_no_interval_gets_narrower_by_rows_that_bring_nothing_new(values, chance, extra, none):
    once = table(values, base=1.0)
    budgets = list(values)
    expected = [width(paired_difference(once, "transfer", "scratch")), width(confidence_interval(once))]
    frame = once.replace({"budget": {budgets[-1]: None}}) if none else once
    order = list(range(len(frame)))
    chance.shuffle(order)
    again = frame.iloc[order + [chance.randrange(len(frame)) for _ in range(extra)]]
    means = confidence_interval(again)
    keys = [None if none and budget == budgets[-1] else budget for budget in budgets]
    wanted = dict(zip([(key, arm) for key in keys for arm in ("scratch", "transfer")], expected[1], strict=True))
    assert len(means) == len(wanted) and set(means["n"]) == {4}
    for budget, arm, found in zip(means["budget"], means["arm"], width(means), strict=True):
        assert found >= wanted[budget, arm] - 1e-9
    if extra:
        with pytest.raises(ValueError, match="more than one run"):
            paired_difference(again, "transfer", "scratch")
    else:
        result = paired_difference(again, "transfer", "scratch")
        found = dict(zip(result["budget"], width(result), strict=True))
        assert [found[key] for key in keys] == pytest.approx(expected[0])


# ---------------------------------------------------------------- equal runs, and scores that are no numbers


def equal(frame, arm, budgets):
    """Give an arm the same score at every seed."""
    rows = (frame["arm"] == arm) & frame["budget"].isin(budgets)
    return frame.assign(score=frame["score"].mask(rows, 60.0 if arm == "transfer" else 20.0))


GAIN = study(lambda budget: 6, longer=lambda budget: 1)
OFFSET = GAIN[GAIN["arm"] == "scratch"]
TWICE = pd.concat([OFFSET, OFFSET.assign(arm="transfer")])
OFFSET = pd.concat([OFFSET, OFFSET.assign(arm="transfer", score=OFFSET["score"] + 0.1)])


@pytest.mark.parametrize(
    ("frame", "verdict", "answer"),
    [
        (
            equal(equal(GAIN, "transfer", [5, 20, 80]), "scratch", [5, 20, 80]),
            "inconclusive",
            "No: transfer at budgets 5, 20 and 80; scratch at budgets 5, 20 and 80.",
        ),
        (equal(GAIN, "transfer", [5, 20, 80]), "inconclusive", "No: transfer at budgets 5, 20 and 80."),
        (equal(GAIN, "scratch", [5, 20, 80]), "inconclusive", "No: scratch at budgets 5, 20 and 80."),
        (equal(GAIN, "longer", [5, 20, 80]), "inconclusive", "No: longer at budgets 5, 20 and 80."),
        (equal(GAIN, "scratch", [20]), "positive", "No: scratch at budget 20."),
        (OFFSET, "inconclusive", "No: the difference of transfer and scratch at budgets 5, 20 and 80."),
        (TWICE, "inconclusive", "No: the difference of transfer and scratch at budgets 5, 20 and 80."),
    ],
)
def test_equal_runs_are_doubted(frame, verdict, answer):
    controls = ["longer"] if "longer" in set(frame["arm"]) else []
    result = transfer_verdict(frame, "transfer", "scratch", controls=controls)
    found = check(result, "vary with the seed")
    assert result.verdict == verdict and found.passed is False and found.answer.startswith(answer)
    assert found.answer in result.sentence
    if verdict == "positive":
        assert result.table["verdict"].tolist() == ["positive", "inconclusive", "positive"]


def test_a_seed_that_is_used_in_part_is_noticed():
    frame = study(lambda budget: 6, n=12)
    source = frame.set_index(["arm", "budget", "seed"])["score"]
    frame["score"] = [
        source[arm, budget, seed % 6] for arm, budget, seed in frame[["arm", "budget", "seed"]].to_numpy()
    ]
    result = transfer_verdict(frame, "transfer", "scratch")
    answer = check(result, "vary with the seed").answer
    assert answer.startswith("No: the pairs of transfer and scratch at budgets 5, 20 and 80.")
    assert result.verdict == "inconclusive"


def test_most_runs_at_one_score_are_noticed_and_a_few_ties_are_not():
    frame = collapse(GAIN, "scratch", 20, range(5), 35.8)
    found = check(transfer_verdict(frame, "transfer", "scratch"), "vary with the seed")
    assert found.answer.startswith("No: scratch at budget 20.")
    ties = transfer_verdict(collapse(GAIN, "scratch", 20, range(4), 45.8), "transfer", "scratch")
    assert not any("seed" in each.question for each in ties.checks)


def test_runs_that_differ_by_rounding_are_the_same():
    nearly = collapse(GAIN, "scratch", 20, range(5), 0)
    rows = (nearly["arm"] == "scratch") & (nearly["budget"] == 20) & (nearly["seed"] < 5)
    nearly.loc[rows, "score"] = 40.00002 + 1e-5 * np.arange(5) / 5
    found = check(transfer_verdict(nearly, "transfer", "scratch"), "vary with the seed")
    assert found.answer.startswith("No: scratch at budget 20.")


def test_arms_may_be_the_same_at_one_budget():
    frame = study(lambda budget: 6)
    base = frame[(frame["arm"] == "scratch") & (frame["budget"] == 80)]
    frame = pd.concat([frame[~((frame["arm"] == "transfer") & (frame["budget"] == 80))], base.assign(arm="transfer")])
    result = transfer_verdict(frame, "transfer", "scratch")
    assert result.table["verdict"].tolist() == ["positive", "positive", "inconclusive"]
    assert not any("seed" in each.question for each in result.checks)
    assert result.table["p"].tolist()[2] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("arm", ["transfer", "scratch", "longer"])
def test_a_score_that_is_no_number_is_named_and_doubted(value, arm):
    frame = GAIN.copy()
    frame.loc[(frame["arm"] == arm) & (frame["budget"] == 20) & (frame["seed"].isin([3, 5])), "score"] = value
    result = transfer_verdict(frame, "transfer", "scratch", controls=["longer"])
    assert result.table["verdict"].tolist() == ["positive", "inconclusive", "positive"]
    assert result.table["n"].tolist() == [8, 8 if arm == "longer" else 6, 8]
    answer = check(result, "finite numbers").answer
    assert answer.startswith(f"No: score {value} at arm '{arm}', budget 20, seed 3 and 1 more. They are left out.")
    assert np.isfinite(result.table["difference"]).all() and answer in result.sentence
    with pytest.raises(ValueError, match="2 of 72 scores are not finite"):
        paired_difference(frame, "transfer", "scratch")


@pytest.mark.parametrize(
    ("left", "words"), [(0, "At budget 20 no pair is left."), (1, "points (one pair)) is open to doubt.")]
)
def test_a_budget_at_which_all_runs_diverged_is_doubted(left, words):
    frame = study(lambda budget: 6)
    frame.loc[(frame["arm"] == "scratch") & (frame["budget"] == 20) & (frame["seed"] >= left), "score"] = np.nan
    result = transfer_verdict(frame, "transfer", "scratch", chance=12.5)
    assert result.verdict == "positive" and result.table["n"].tolist() == [8, left, 8]
    assert result.table["verdict"].tolist() == ["positive", "inconclusive", "positive"]
    assert words in result.sentence and "nan points" not in result.sentence
    # The two tests that were made are corrected for three.
    alone = transfer_verdict(frame[frame["budget"] != 20], "transfer", "scratch").table
    assert result.table["p_holm"][[0, 2]].max() == pytest.approx(2 * alone["p"].max())
