"""The stored results of the eight routes are complete, fair, and come out again."""

import numpy as np
import pytest

from tl_helpers.datasets.street import street
from tl_helpers.experiments.stored import load_study
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
    assert len(STUDIES[route.study].axis.values) == 5 and set(gains["route"]) == {route.name}


def test_the_gains_of_all_routes_are_one_table():
    assert route_gains()["route"].tolist() == [route.name for route in ROUTES for _ in range(5)]


def test_no_run_of_a_sequential_route_is_stuck():
    """The same score in three seeds of a network, or that of guessing, is no result."""
    for route in ROUTES[:4]:
        study = load_study(route.study)
        trained = study.runs[study.runs["arm"].isin(STUDIES[route.study].tuned)]
        for _, scores in trained.groupby(["arm", "budget"])["score"]:
            assert scores.round(6).value_counts().max() < 3, route.name
            assert (abs(scores - study.chance) > 1e-6).all(), route.name


@pytest.mark.parametrize(("name", "within"), [("domain adaptation", 1), ("Parallel Training", 8)])
def test_a_slice_comes_out_again(name, within):
    """Regression hardly depends on the processor; training a network does, by the spread of its seeds."""
    stored = load_study(find_route(name).study)
    live = run_now(stored, stored.axis.values[0], seed=1)
    assert abs(live["now"] - live["stored"]).max() < within


def test_guessing_scores_what_the_commonest_answer_scores():
    """Of the others their own tests say so."""

    def share(y):
        return 100 * np.bincount(y).max() / len(y)

    guesses = {
        "route_parallel_training": share(street("photo", "test").y),
    }
    assert {study: round(float(guess), 1) for study, guess in guesses.items()} == {
        name: STUDIES[name].chance for name in guesses
    }


def test_collapsed_runs_are_no_null_and_a_null_is_no_proof():
    joint = route_verdict("Multi-Task Learning")
    (doubt,) = [check for check in joint.checks if "guessing" in check.question]
    assert joint.verdict == "inconclusive" and "one cannot tell" not in joint.sentence
    assert (
        "one network for class, box and mask at 50 (5 of 6 runs) and 400 (4 of 6 runs) labelled scenes" in doubt.answer
    )
    for name in ("Weight Sharing", "Parallel Training"):
        verdict = route_verdict(name)
        assert verdict.verdict == "inconclusive" and "one cannot tell whether" in verdict.sentence
        assert {check.passed for check in verdict.checks if "weaker arm" in check.question} == {True}
