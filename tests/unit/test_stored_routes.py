"""The stored results of the eight routes are complete, fair, and come out again."""

import numpy as np
import pytest

from tl_helpers.datasets.street import street
from tl_helpers.experiments.stored import load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.routes.taxonomy import ROUTES, find_route
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.live import run_now
from tl_helpers.studies.route_results import route_gains, route_verdict


@pytest.fixture(params=ROUTES, ids=lambda route: route.name)
def route(request):
    return request.param


def test_where_a_difference_is_claimed_no_rate_lies_at_the_end_of_its_offer(route):
    study = load_study(route.study)
    claims = route_verdict(route).table.query("verdict != 'inconclusive'")["budget"]
    claimed = {f"{arm}/{budget}" for arm in study.compared for budget in claims}
    assert not claimed & set(study.provenance["spec"]["rates_at_edge"])


def test_gains_are_the_paired_differences_of_the_main_comparison(route):
    study, gains = load_study(route.study), route_gains([route]).set_index("budget")
    treatment, baseline = study.compared
    scores = study.runs.pivot_table(index=["budget", "seed"], columns="arm", values="score")
    expected = (scores[treatment] - scores[baseline]).groupby("budget").mean()
    np.testing.assert_allclose(gains["difference"], expected.loc[gains.index])
    assert (gains["low"] < gains["difference"]).all() and (gains["p_holm"] >= gains["p"]).all()
    assert gains["verdict"].tolist() == route_verdict(route).table["verdict"].tolist()
    assert tuple(gains.index) == STUDIES[route.study].axis.values and set(gains["route"]) == {route.name}


def test_the_gains_of_all_routes_are_one_table():
    assert route_gains()["route"].tolist() == [route.name for route in ROUTES for _ in STUDIES[route.study].axis.values]


def test_no_run_of_a_route_is_stuck(route):
    """The same score in three seeds of a network, or that of guessing, is no result."""
    study = load_study(route.study)
    trained = study.runs[study.runs["arm"].isin(STUDIES[route.study].tuned)]
    for (arm, _), scores in trained.groupby(["arm", "budget"])["score"]:
        # Of two thousand zeros and ones nearly all are told apart: there, thirty runs share a few scores.
        if STUDIES[route.study].arms[arm].settings.get("problems") != ("zero_or_one",):
            assert scores.round(6).value_counts().max() < 3 + len(scores) // 10
        assert (abs(scores - study.chance) > 1e-6).all()


def test_where_a_difference_is_claimed_every_run_is_better_than_guessing(route):
    study = load_study(route.study)
    claims = route_verdict(route).table.query("verdict != 'inconclusive'")["budget"]
    compared = study.runs[study.runs["arm"].isin(study.compared) & study.runs["budget"].isin(claims)]
    assert not (compared["score"] <= study.chance).any()


@pytest.mark.parametrize(("name", "within"), [("domain adaptation", 1), ("Parallel Training", 8)])
def test_a_slice_comes_out_again(name, within):
    """Regression hardly depends on the processor; training a network does, by the spread of its seeds."""
    stored = load_study(find_route(name).study)
    live = run_now(stored, stored.axis.values[0], seed=1)
    assert abs(live["now"] - live["stored"]).max() < within


def test_guessing_scores_what_the_commonest_answer_scores():
    """Of the others their own tests say so."""
    y = street("photo", "test").y
    assert round(100 * np.bincount(y).max() / len(y), 1) == STUDIES["route_parallel_training"].chance


def test_collapsed_runs_are_no_null():
    """Of an earlier study of Multi-Task Learning, whose joint network gave one answer always in most runs."""
    false = load_study("false_results").runs.query("study == 'route_multi_task' and budget in (100, 200, 400)")
    runs = false[["arm", "budget", "seed", "score", "learning_rate", "updates", "chance"]]
    verdict = transfer_verdict(runs, "joint", "class", chance="chance")
    (doubt,) = [check for check in verdict.checks if "guessing" in check.question]
    assert verdict.verdict == "inconclusive" and "one cannot tell" not in verdict.sentence and doubt.passed is False


def test_a_null_is_no_proof_and_an_equivalence_takes_a_margin():
    sharing, parallel = route_verdict("Weight Sharing"), route_verdict("Parallel Training")
    at_three = sharing.table.query("budget == 3").iloc[0]
    assert at_three["low"] < 0 < at_three["high"] and at_three["verdict"] == "inconclusive"
    assert load_study("route_weight_sharing").margin is None and load_study("route_parallel_training").margin == 2
    assert set(parallel.table["verdict"]) <= {"equivalent", "inconclusive", "positive", "negative"}
