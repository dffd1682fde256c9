"""How many times as many labels the baseline needs, against values worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from tl_helpers.experiments.budgets import LabelEfficiency, label_ratio

T_2 = 4.302652729911275  # Student's t, 2 degrees of freedom, two-sided 95 %: from a table
BUDGETS = (5, 10, 20, 40)


def runs(scores):
    """Return a frame of runs: arm → seed → budget → score."""
    rows = [
        {"arm": arm, "seed": seed, "budget": budget, "score": float(score)}
        for arm, seeds in scores.items()
        for seed, curve in seeds.items()
        for budget, score in curve.items()
    ]
    return pd.DataFrame(rows)


def against(wanted, curve):
    """Return the table's only row, for one seed that scores `wanted` at a budget of 10."""
    (row,) = label_ratio(runs({"ours": {0: {10: wanted}}, "theirs": {0: curve}}), "ours", "theirs").to_dict("records")
    return row


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("wanted", "ratio"),
    [
        (50, 0.5),  # what 5 labels score
        (60, 2.0),  # what 20 labels score
        (55, 1.0),  # half of the way from 5 to 20, in the logarithm: 10
        (57.5, math.sqrt(2)),  # three quarters
        (70, 8.0),
    ],
)
def test_between_two_budgets_the_curve_is_straight_in_the_logarithm(wanted, ratio):
    row = against(wanted, {5: 50, 20: 60, 80: 70})
    assert row["ratio"] == pytest.approx(ratio, rel=1e-12)
    assert (row["kind"], row["n"], row["reached"], row["budget"]) == ("measured", 1, 1, 10)
    assert np.isnan(row["low"]) and np.isnan(row["high"])


def test_beyond_what_was_run_there_are_bounds_alone():
    above, below = against(71, {5: 50, 20: 60, 80: 70}), against(49, {5: 50, 20: 60, 80: 70})
    assert (above["kind"], above["reached"], above["ratio"]) == ("at least", 0, pytest.approx(8))
    assert (below["kind"], below["reached"], below["ratio"]) == ("at most", 0, pytest.approx(0.5))


def test_a_curve_that_falls_again_counts_where_it_first_gets_there():
    assert against(60, {80: 65, 5: 50, 20: 60, 40: 55})["ratio"] == pytest.approx(2)
    assert against(62.5, {80: 65, 5: 50, 20: 60, 40: 60})["ratio"] == pytest.approx(8 / math.sqrt(2))


def test_the_mean_and_its_interval_are_taken_in_the_logarithm():
    curve = {5: 50, 20: 60, 80: 70}
    seeds = {0: {10: 55}, 1: {10: 60}, 2: {10: 65}}  # ratios 1, 2 and 4: logarithms 0, 1 and 2 times log 2
    (row,) = label_ratio(runs({"ours": seeds, "theirs": dict.fromkeys(seeds, curve)}), "ours", "theirs").to_dict(
        "records"
    )
    half = math.log(2) * T_2 / math.sqrt(3)
    assert row["ratio"] == pytest.approx(2, rel=1e-12)
    assert row["low"] == pytest.approx(2 * math.exp(-half), rel=1e-9)
    assert row["high"] == pytest.approx(2 * math.exp(half), rel=1e-9)
    assert (row["kind"], row["n"], row["reached"]) == ("measured", 3, 3)


def test_one_seed_that_never_gets_there_makes_the_mean_a_bound_without_interval():
    curve = {5: 50, 20: 60, 80: 70}
    seeds = {0: {10: 55}, 1: {10: 90}}  # ratio 1, and at least 8
    both = {"theirs": dict.fromkeys(range(3), curve)}
    (row,) = label_ratio(runs({"ours": seeds, **both}), "ours", "theirs").to_dict("records")
    assert (row["kind"], row["reached"], row["ratio"]) == ("at least", 1, pytest.approx(math.sqrt(8)))
    assert np.isnan(row["low"]) and np.isnan(row["high"])
    (row,) = label_ratio(runs({"ours": seeds | {2: {10: 10}}, **both}), "ours", "theirs").to_dict("records")
    assert (row["kind"], row["reached"], row["n"]) == ("unknown", 1, 3) and np.isnan(row["ratio"])


def test_each_seed_is_compared_with_its_own_curve_at_each_budget():
    scores = {
        "ours": {0: {5: 60, 20: 70}, 1: {5: 50, 20: 60}},
        "theirs": {0: {5: 50, 20: 60, 80: 70}, 1: {5: 40, 20: 50, 80: 60}},
    }
    table = label_ratio(runs(scores), "ours", "theirs")
    assert table["budget"].tolist() == [5, 20] and table["ratio"].tolist() == pytest.approx([4, 4])
    assert table["low"].tolist() == table["high"].tolist() == pytest.approx([4, 4])
    efficiency = LabelEfficiency(runs(scores), None)
    assert label_ratio(efficiency, "ours", "theirs").equals(table)


# ---------------------------------------------------------------- what it promises


rising = st.lists(st.integers(1, 20), min_size=4, max_size=4).map(np.cumsum)


@given(st.lists(rising, min_size=2, max_size=5), st.sampled_from([1, 2, 4, 8]), st.integers(1, 7))
def test_an_arm_with_so_many_times_the_labels_has_that_ratio(curves, factor, scale):
    theirs = {seed: {2**step: scale * score for step, score in enumerate(curve)} for seed, curve in enumerate(curves)}
    ours = {seed: {budget / factor: score for budget, score in curve.items()} for seed, curve in theirs.items()}
    table = label_ratio(runs({"ours": ours, "theirs": theirs}), "ours", "theirs")
    assert set(table["kind"]) == {"measured"} and (table["reached"] == len(curves)).all()
    assert table[["ratio", "low", "high"]].to_numpy() == pytest.approx(factor, rel=1e-9)


@given(st.lists(rising, min_size=2, max_size=5), st.lists(st.integers(-5, 90), min_size=5, max_size=5), st.randoms())
def test_a_better_treatment_never_needs_fewer_labels_of_the_baseline(curves, wanted, chance):
    theirs = {seed: dict(zip(BUDGETS, curve, strict=True)) for seed, curve in enumerate(curves)}
    ours = {seed: {5: wanted[seed]} for seed in theirs}
    better = {seed: {5: wanted[seed] + 3} for seed in theirs}
    frame = runs({"ours": ours, "better": better, "theirs": theirs})
    order = list(range(len(frame)))
    chance.shuffle(order)
    less, more = (label_ratio(frame.iloc[order], arm, "theirs").iloc[0] for arm in ("ours", "better"))
    if "unknown" not in (less["kind"], more["kind"]):
        assert less["ratio"] <= more["ratio"] * (1 + 1e-9)
    for row in (less, more):
        if row["kind"] != "unknown":
            assert 1 <= row["ratio"] * (1 + 1e-9) and row["ratio"] <= 8 * (1 + 1e-9)  # of the budgets that ran
        if row["kind"] == "measured":
            assert row["low"] <= row["ratio"] * (1 + 1e-9) and row["ratio"] <= row["high"] * (1 + 1e-9)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"ours": {0: {5: 1}}}, "There is no arm 'theirs'; the frame has 'ours'"),
        ({"ours": {0: {5: 1}}, "theirs": {0: {5: 1}}}, r"'theirs' has 1 budget\(s\) with seed 0: a curve needs two"),
        ({"ours": {0: {5: 1}}, "theirs": {1: {5: 1, 9: 2}}}, r"'theirs' has 0 budget\(s\) with seed 0"),
        ({"ours": {0: {0: 1}}, "theirs": {0: {5: 1, 9: 2}}}, "numbers above 0; arm 'ours' ran at 0"),
        ({"ours": {0: {5: 1}}, "theirs": {0: {5: 1, 9: np.inf}}}, "scores are not finite numbers"),
    ],
)
def test_what_cannot_be_compared_is_named(scores, message):
    with pytest.raises(ValueError, match=message):
        label_ratio(runs(scores), "ours", "theirs")


def test_an_arm_is_not_compared_with_itself_and_runs_twice_for_nobody():
    frame = runs({"ours": {0: {5: 1}}, "theirs": {0: {5: 1, 9: 2}}})
    with pytest.raises(ValueError, match="both 'ours'"):
        label_ratio(frame, "ours", "ours")
    with pytest.raises(ValueError, match="'ours' has more than one run at seed 0, budget 5: average"):
        label_ratio(pd.concat([frame, frame.iloc[:1]]), "ours", "theirs")
    with pytest.raises(ValueError, match="confidence must be"):
        label_ratio(frame, "ours", "theirs", confidence=95)
    assert len(label_ratio(frame.rename(columns={"score": "recall"}), "ours", "theirs", score="recall")) == 1
    with pytest.raises(ValueError, match="'words'"):
        label_ratio(frame.assign(budget="words"), "ours", "theirs")
