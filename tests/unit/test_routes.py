"""The taxonomy: eight combinations of three answers, each with one name."""

import dataclasses
import doctest
import itertools

import pytest

from tl_helpers.routes import taxonomy as routes
from tl_helpers.routes.taxonomy import ORDERS, ROUTES, Route, route_of

COMBINATIONS = list(itertools.product((True, False), (True, False), ORDERS))


def test_every_combination_has_a_route_and_no_two_share_one():
    found = [
        route_of(same_task=same_task, same_domain=same_domain, order=order)
        for same_task, same_domain, order in COMBINATIONS
    ]
    assert [(route.same_task, route.same_domain, route.order) for route in found] == COMBINATIONS
    assert len(set(found)) == len(COMBINATIONS) == len(ROUTES) == 8 and set(found) == set(ROUTES)


@pytest.mark.parametrize(
    ("name", "same_task", "same_domain", "order"),
    [
        ("Task Fine-Tuning", True, True, "sequential"),
        ("Domain Adaptation", True, False, "sequential"),
        ("Task Adaptation", False, True, "sequential"),
        ("Modality Transfer", False, False, "sequential"),
        ("Dataset Merging", True, True, "simultaneous"),
        ("Weight Sharing", True, False, "simultaneous"),
        ("Multi-Task Learning", False, True, "simultaneous"),
        ("Parallel Training", False, False, "simultaneous"),
    ],
)
def test_names_are_those_of_the_taxonomy(name, same_task, same_domain, order):
    assert route_of(same_task=same_task, same_domain=same_domain, order=order).name == name


@pytest.mark.parametrize("field", ["name", "definition", "example", "ours", "study"])
def test_every_route_says_everything_and_says_it_alone(field):
    texts = [getattr(route, field) for route in ROUTES]
    assert all(text.strip() == text != "" for text in texts) and len(set(texts)) == 8


def test_a_study_is_named_after_its_route():
    for route in ROUTES:
        words = route.name.lower().replace("-", " ").replace(" learning", "").split()
        assert route.study == "_".join(["route", *words])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"same_task": "yes"}, "same_task and same_domain are True or False, not 'yes' and True"),
        ({"same_task": 1}, "not 1 and True"),
        ({"same_domain": None}, "not True and None"),
        ({"order": "parallel"}, "order must be one of 'sequential', 'simultaneous', not 'parallel'"),
        ({"order": None}, "not None"),
    ],
)
def test_other_answers_are_refused(answer, message):
    with pytest.raises(ValueError, match=message):
        route_of(**{"same_task": True, "same_domain": True, "order": "sequential", **answer})


def test_answers_are_given_by_name_and_routes_do_not_change():
    with pytest.raises(TypeError):
        route_of(True, True, "sequential")
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROUTES[0].name = "another"
    assert all(isinstance(route, Route) for route in ROUTES)


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(routes)
    assert result.attempted >= 1 and result.failed == 0
