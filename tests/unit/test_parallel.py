"""Two problems in one trunk: what each is asked, that its own part of an update stays, and what is announced."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st
from scipy import stats

from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.experiments.intervals import paired_difference
from tl_helpers.experiments.stored import load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.stored import save_study
from tl_helpers.studies import parallel

(STUDY,) = parallel.STUDIES
SIZES = {"garment": 10, "zero_or_one": 2}


def made_up(n, classes, seed=0):
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (n, 28, 28, 1)).astype("uint8")
    names = tuple(map(str, range(classes)))
    return Dataset(
        x, random.integers(0, classes, n), Domain("noise", (28, 28, 1)), Task("noise", names), "train", np.arange(n)
    )


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("problem", parallel.PROBLEMS)
def test_nothing_is_shown_in_two_parts(problem):
    parts = [set(parallel.pictures_of_problem(problem, part).ids) for part in ("train", "validation", "test")]
    assert all(parts) and not any(one & two for one, two in itertools.combinations(parts, 2))


def test_a_digit_is_asked_whether_it_is_even_and_the_commonest_garment_is_chance():
    digits, parity = parallel.street("plain", "test", "digit"), parallel.pictures_of_problem("parity", "test")
    assert parity.label_names == ("even", "odd") and (parity.y == digits.y % 2).all() and (parity.x == digits.x).all()
    binary = parallel.pictures_of_problem("zero_or_one", "test")
    assert binary.label_names == ("0", "1") and (binary.ids == digits.ids[digits.y < 2]).all()
    assert (binary.y == digits.y[digits.y < 2]).all()
    y = parallel.pictures_of_problem("garment", "test").y
    assert round(100 * np.bincount(y).max() / len(y), 1) == STUDY.chance
    for ask, word in ((("digit", "test"), "problem"), (("parity", "source"), "part")):
        with pytest.raises(ValueError, match=f"{word} must be one of"):
            parallel.pictures_of_problem(*ask)


def test_the_partner_has_as_many_pictures_whatever_the_garments_have():
    few, many = (parallel.labelled_pictures("garment", labels, 3) for labels in (2, 5))
    assert list(np.bincount(few.y)) == [2] * 10 and set(few.ids) < set(many.ids)
    for partner in parallel.PROBLEMS[1:]:
        one, two = (parallel.labelled_pictures(partner, labels, 3) for labels in (2, 5))
        assert (one.ids == two.ids).all() and list(np.bincount(one.y)) == [250, 250]


# ---------------------------------------------------------------- one trunk


def test_a_problem_starts_the_same_and_sees_the_same_whatever_is_beside_it():
    alone, both = (parallel.one_trunk(dict(list(SIZES.items())[:number]), seed=4) for number in (1, 2))
    for ours, theirs in zip(alone["garment"].get_weights(), both["garment"].get_weights(), strict=True):
        assert (ours == theirs).all()
    assert both["garment"].get_layer("conv1") is both["zero_or_one"].get_layer("conv1")
    assert [both[problem].output_shape[1] for problem in SIZES] == [10, 2]
    data = {"garment": made_up(50, 10), "zero_or_one": made_up(70, 2)}
    rows = parallel.draw_own_batches(data, 6, 8, seed=1)
    assert rows.shape == (6, 2, 8)
    for place, problem in enumerate(data):
        own = parallel.draw_own_batches({problem: data[problem]}, 6, 8, seed=1)
        assert (rows[:, place] == own[:, 0]).all()


def test_an_update_follows_the_sum_of_the_mean_losses_of_own_questions(monkeypatch):
    """By hand: each problem's cross-entropy among its own classes, and its gradient in the shared first layer."""
    models = parallel.one_trunk(SIZES, seed=0)
    data = {"garment": made_up(32, 10), "zero_or_one": made_up(32, 2, seed=1)}
    taken = {}

    def look(model, losses_of, rows, **settings):
        kernel = models["garment"].get_layer("conv1").kernel.value
        with tf.GradientTape(persistent=True) as tape:
            losses = losses_of(tf.constant(rows[0]), 0)
        taken.update(losses=[float(loss) for loss in losses], gradients=[tape.gradient(one, kernel) for one in losses])
        assert len(model.trainable_variables) == 12 and settings["learning_rate"] == 1e-3

    monkeypatch.setattr(parallel, "fit_losses", look)
    parallel.fit_side_by_side(models, data, learning_rate=1e-3, updates=1, seed=0)
    for place, (problem, own) in enumerate(data.items()):
        kernel = models[problem].get_layer("conv1").kernel.value
        with tf.GradientTape() as tape:
            chances = keras.ops.log_softmax(models[problem](own.x))
            loss = -tf.reduce_mean(tf.gather(chances, own.y, batch_dims=1))
        assert taken["losses"][place] == pytest.approx(float(loss), rel=1e-4)
        np.testing.assert_allclose(taken["gradients"][place], tape.gradient(loss, kernel), rtol=1e-2, atol=1e-5)


def test_both_problems_are_learned_in_one_trunk_and_runs_come_out_again(monkeypatch):
    """Bright and dark halves are told apart by both heads after a few updates."""

    def halves(classes, part):
        x = np.zeros((64, 28, 28, 1), "uint8")
        x[::2, :14], x[1::2, 14:] = 255, 255
        names = tuple(map(str, range(classes)))
        return Dataset(
            x, np.arange(64) % 2, Domain("halves", (28, 28, 1)), Task("halves", names), part, np.arange(64).astype(str)
        )

    monkeypatch.setattr(parallel, "labelled_pictures", lambda problem, labels, seed: halves(SIZES[problem], "train"))
    monkeypatch.setattr(parallel, "pictures_of_problem", lambda problem, part: halves(SIZES[problem], part))
    run = {arm: parallel.parallel_training(5, 1, rate=3e-3, updates=12, **STUDY.arms[arm].settings) for arm in ARMS}
    again = parallel.parallel_training(5, 1, rate=3e-3, updates=12, **STUDY.arms["parallel"].settings)
    assert again == run["parallel"] and again["learning_rate"] == 3e-3 and again["updates"] == 12
    assert all(row["score"] > 90 for row in run.values())
    assert [row.get("partner") for row in run.values()] == [
        None,
        run["parallel"]["partner"],
        run["partner_alone"]["score"],
    ]


ARMS = ("separate", "parallel", "partner_alone")


# ---------------------------------------------------------------- the announced margin


def test_the_study_announces_its_margin_and_changes_nothing_but_the_problems():
    assert STUDY.design()["margin"] == parallel.MARGIN == 2 and STUDY.compared == ("parallel", "separate")
    assert len(STUDY.seeds) >= 30 and STUDY.controls_of("separate") == ("separate_longer",)
    assert {arm.tuned for arm in STUDY.arms.values()} == {True}
    assert [set(STUDY.arms[arm].settings) for arm in ARMS] == [{"problems"}] * 3


def stored(folder, scores, **announced):
    """Store made-up runs whose paired differences at 5 are `scores`."""
    rows = []
    for seed, difference in enumerate(scores):
        shared = {"budget": 5, "seed": seed, "partner": 50.0 + seed}
        rows += [{"arm": "a", "score": 50.0 + seed} | shared]
        rows += [{"arm": "b", "score": 50.0 + seed + difference} | shared]
    arms = {key: {"label": key, "role": None, "check_of": None} for key in "ab"}
    axis = {"name": "labels", "unit": "labels per class", "values": [5]}
    design = {"arms": arms, "axis": axis, "metric": "accuracy in %", "chance": None, "compared": ["b", "a"]}
    design |= {"tuning_seeds": [100], **announced}
    return load_study(save_study(pd.DataFrame(rows), folder / "own.csv", command="make", spec={"design": design}))


# Mean 0.5 and standard deviation 1, n = 8: t = (0.5 ± 2) √8 = 7.07 and −4.24 with 7 degrees of freedom.
KNOWN = 0.5 + np.sqrt(7 / 8) * np.array([1, -1] * 4)


def test_a_verdict_knows_the_margin_that_a_stored_study_announced(tmp_path):
    study = stored(tmp_path, KNOWN, margin=2.0)
    found = transfer_verdict(study, "b", "a")
    assert study.margin == 2 and found.verdict == "equivalent" and "within the ±2 points" in found.sentence
    (p,) = found.table["p_equivalent"]
    assert p == pytest.approx(stats.t.cdf(-1.5 * 8**0.5, 7)) == pytest.approx(0.0019, abs=5e-5)
    assert transfer_verdict(study, "b", "a", margin=0.1).verdict == "inconclusive"
    # It was announced for the main comparison and its score alone.
    assert "p_equivalent" not in transfer_verdict(study, "a", "b").table
    assert "p_equivalent" not in transfer_verdict(study, "b", "a", score="partner").table


def test_without_a_margin_nothing_is_equivalent(tmp_path):
    study = stored(tmp_path, KNOWN)
    assert study.margin is None and transfer_verdict(study, "b", "a").verdict == "inconclusive"
    assert "margin" not in load_study("street_labels").provenance["spec"]["design"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-5, 5), min_size=3, max_size=12).filter(lambda gains: np.std(gains) > 1e-3), st.floats(0.1, 6)
)
def test_two_one_sided_tests_are_scipys(gains, margin):
    gains = np.array(gains)
    rows = [
        {"arm": arm, "budget": 5, "seed": seed, "score": 50.0 + own}
        for seed, gain in enumerate(gains)
        for arm, own in (("a", 0.0), ("b", gain))
    ]
    (row,) = paired_difference(pd.DataFrame(rows), "b", "a", margin=margin).to_dict("records")
    above = stats.ttest_1samp(gains, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(gains, margin, alternative="less").pvalue
    assert row["p_equivalent"] == pytest.approx(max(above, below), rel=1e-6, abs=1e-12)
