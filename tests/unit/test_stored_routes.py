"""The stored results of the eight routes are complete, fair, and come out again."""

import numpy as np
import pytest

from tl_helpers.datasets.collections import two_digit_collections
from tl_helpers.datasets.street import street
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.boxes import box_iou
from tl_helpers.routes.taxonomy import ROUTES, find_route
from tl_helpers.studies import route_results
from tl_helpers.studies.catalogue import ROUTE_STUDIES, STUDIES
from tl_helpers.studies.route_results import route_gains, route_verdict, run_route, tidy
from tl_helpers.studies.street_runs import held_out_scenes

COLUMNS = [
    *("route", "arm", "role", "budget", "budget_unit", "seed", "fold"),
    *("metric", "score", "learning_rate", "updates", "seconds"),
]


@pytest.fixture(scope="module")
def stored():
    return load_study("routes")


@pytest.fixture(scope="module")
def runs(stored):
    return stored.runs


@pytest.fixture(params=ROUTES, ids=lambda route: route.name)
def route(request):
    return request.param


def own(runs, route):
    """Return the runs of a route's main study."""
    return runs[(runs["route"] == route.name) & runs["arm"].isin(ROUTE_STUDIES[route.study].arms)]


def test_the_table_has_the_columns_that_were_promised(runs):
    assert list(runs.columns[: len(COLUMNS)]) == COLUMNS
    assert set(runs["role"]) == {"transfer", "baseline", "control"}
    assert (runs["seconds"] > 0).all()


def test_every_run_is_there_once(runs, route):
    study = ROUTE_STUDIES[route.study]
    rows = own(runs, route)
    found = sorted(zip(rows["arm"], rows["budget"], rows["seed"], strict=True))
    assert found == sorted((a, b, s) for a in study.arms for b in study.values_of(a) for s in study.seeds)
    assert len(study.seeds) >= 5 and len(study.axis.values) == 5 and rows["score"].between(0, 100).all()
    assert (rows["role"] == [study.arms[arm].role for arm in rows["arm"]]).all()


def test_text_and_image_stand_there_with_ten_folds(runs):
    study = STUDIES["emoji_text"]
    rows = runs[(runs["route"] == "Weight Sharing") & runs["arm"].isin(study.arms)]
    assert len(study.seeds) >= 10 and len(study.axis.values) == 5
    assert rows["fold"].nunique() == 10
    assert len(rows) == sum(len(study.values_of(arm)) for arm in study.arms) * len(study.seeds)


def test_all_arms_get_the_same_updates_save_those_named_longer(runs, route):
    rows = own(runs, route).dropna(subset="updates")
    arms = ROUTE_STUDIES[route.study].arms
    longer = rows["arm"].map(lambda arm: "updates" in arms[arm].settings)
    assert rows[~longer]["updates"].nunique() == 1
    assert set(rows[longer]["updates"]) == {4 * rows[~longer]["updates"].iloc[0]}


def test_rates_are_tuned_apart_and_lie_inside_the_offer(stored, runs, route):
    spec = load_study("routes").provenance["spec"]["studies"][route.study]
    for (arm, budget), rows in own(runs, route).dropna(subset="learning_rate").groupby(["arm", "budget"]):
        assert set(rows["learning_rate"]) == {spec["rates"][f"{arm}/{budget}"]} <= set(spec["rates_offered"])
    # Where a difference is claimed, neither side's rate lies at the end of what it was offered.
    treatment, baseline = ROUTE_STUDIES[route.study].compared
    claims = route_verdict(route, stored).table.query("verdict != 'inconclusive'")["budget"]
    claimed = {f"{arm}/{budget}" for arm in (treatment, baseline) for budget in claims}
    assert not claimed & set(spec["rates_at_edge"])


def test_gains_are_the_paired_differences_of_the_main_comparison(stored, runs, route):
    gains = route_gains(stored).set_index(["route", "budget"]).loc[route.name]
    treatment, baseline = ROUTE_STUDIES[route.study].compared
    scores = own(runs, route).pivot_table(index=["budget", "seed"], columns="arm", values="score")
    expected = (scores[treatment] - scores[baseline]).groupby("budget").mean()
    np.testing.assert_allclose(gains["difference"], expected.loc[gains.index])
    assert (gains["low"] < gains["difference"]).all() and (gains["p_holm"] >= gains["p"]).all()
    verdicts = route_verdict(route, stored).table["verdict"].tolist()
    assert gains["verdict"].tolist() == verdicts


@pytest.mark.parametrize("name", ["domain adaptation", "Parallel Training"])
def test_a_slice_comes_out_again_within_the_spread_of_its_seeds(runs, name):
    route = find_route(name)
    budget = ROUTE_STUDIES[route.study].axis.values[0]
    again = run_route(name, budgets=[budget], seeds=[1])
    treatment, baseline = ROUTE_STUDIES[route.study].compared
    assert list(again["arm"]) == [treatment, baseline] and list(again.columns[: len(COLUMNS)]) == COLUMNS
    stored = own(runs, route).query("budget == @budget")
    for row in again.itertuples():
        scores = stored[stored["arm"] == row.arm].set_index("seed")["score"]
        assert row.score == pytest.approx(scores[1], abs=3 * scores.std())
        assert row.learning_rate == stored[stored["arm"] == row.arm]["learning_rate"].iloc[0]


def test_a_budget_that_was_not_stored_takes_the_nearest_rate(monkeypatch):
    asked = {}

    def run_grid(function, arms, budgets, seeds, *, rates, **others):
        asked.update(rates)
        raise InterruptedError

    monkeypatch.setattr(route_results, "run_grid", run_grid)
    with pytest.raises(InterruptedError):
        run_route("Domain Adaptation", budgets=[180], arms=["fine_tuning", "regression"])
    nearest = load_study("routes").part("route_domain_adaptation").rate("fine_tuning", 200)
    assert asked == {"fine_tuning/180": nearest, "regression/180": None}


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="There is no route 'Detour'; there are Task Fine-Tuning"):
        run_route("Detour")
    with pytest.raises(ValueError, match="Weight Sharing has no arm 'magic'; it has separate, shared"):
        run_route("Weight Sharing", arms=["magic"])
    for budget in (None, 0, "20", True):
        with pytest.raises(ValueError, match="takes numbers of labels per class as budgets, 1 or more, not"):
            run_route("Weight Sharing", budgets=[5, budget])


def overlap_of_the_best_box(boxes):
    """Return by how much, in %, one box can overlap with all of these on average: the best of them, then moved."""

    def overlap(box):
        return 100 * float(box_iou(np.tile(box, (len(boxes), 1)), boxes).mean())

    best = max(boxes, key=overlap)
    for step in (4, 2, 1):
        for _ in range(20):
            moved = [best + step * sign * np.eye(4, dtype=boxes.dtype)[side] for side in range(4) for sign in (-1, 1)]
            better = max(moved, key=overlap)
            if overlap(better) <= overlap(best):
                break
            best = better
    return overlap(best)


def test_guessing_scores_what_the_commonest_answer_scores():
    def share(y):
        return 100 * np.bincount(y).max() / len(y)

    digits = [share(parts["test"][1]) for parts in two_digit_collections().values()]
    guesses = {
        "route_task_fine_tuning": share(street("photo", "test", "shoe").y),
        "route_domain_adaptation": share(street("sketch", "test").y),
        "route_task_adaptation": overlap_of_the_best_box(held_out_scenes("test", "sneaker", "shoe").boxes),
        "route_modality_transfer": overlap_of_the_best_box(held_out_scenes("test", "3", "digit").boxes),
        "route_dataset_merging": share(street("photo", "test").y),
        "route_weight_sharing": np.mean(digits),
        "route_multi_task": share(held_out_scenes("test", "shoes", "garment").y),
        "route_parallel_training": share(street("photo", "test").y),
    }
    assert {study: round(float(guess), 1) for study, guess in guesses.items()} == {
        name: study.chance for name, study in ROUTE_STUDIES.items()
    }


def test_collapsed_runs_are_no_null_and_a_null_is_no_proof(stored):
    joint = route_verdict("Multi-Task Learning", stored)
    (doubt,) = [check for check in joint.checks if "guessing" in check.question]
    assert joint.verdict == "inconclusive" and "one cannot tell" not in joint.sentence
    assert "one network for class, box and mask at budgets 50 (5 of 6 runs) and 400 (4 of 6 runs)" in doubt.answer
    for name in ("Weight Sharing", "Parallel Training"):
        verdict = route_verdict(name, stored)
        assert verdict.verdict == "inconclusive" and "one cannot tell whether" in verdict.sentence
        assert {check.passed for check in verdict.checks if "weaker arm" in check.question} == {True}


def test_tidying_keeps_what_else_was_measured(runs):
    row = runs.iloc[[0]].assign(arm="joint", run_seconds=2.0, run_cpu_seconds=1.5, mask=3.0)
    table = tidy("route_multi_task", row[["arm", "budget", "seed", "score", "mask", "run_seconds", "run_cpu_seconds"]])
    assert table.loc[0, ["route", "role", "fold", "seconds", "mask"]].tolist() == [
        *("Multi-Task Learning", "transfer", 0, 1.5, 3.0)
    ]
