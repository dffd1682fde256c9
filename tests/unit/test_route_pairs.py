"""Do source and target of every route agree, and differ, where the taxonomy says so? Computed, not claimed."""

import numpy as np
import pytest

from tl_helpers.routes.gaps import domain_gap, split_gap
from tl_helpers.routes.pairs import FEW
from tl_helpers.routes.taxonomy import ROUTES, find_route, source_and_target

SEEDS = range(3)


@pytest.fixture(params=ROUTES, ids=lambda route: route.name)
def route(request):
    return request.param


def test_the_same_task_means_that_the_labels_equal_or_refine_the_sources(route):
    (source, target), label_map = source_and_target(route, n=60), route.pair.label_map
    if route.same_task:
        assert set(label_map) == set(target.label_names)
        assert set(label_map.values()) <= set(source.label_names)
    else:
        # Another question: other labels, or a box that the source does not know, or both questions of the same scenes.
        assert label_map is None
        assert source.task != target.task or target.boxes is not None


def test_source_and_target_share_no_picture(route):
    source, target = source_and_target(route, n=200)
    if route.name == "Multi-Task Learning":
        # Both questions are asked of the same scenes, so only the draws differ.
        assert not np.array_equal(source.x[:50], target.x[:50])
    else:
        assert not set(source.ids) & set(target.ids)


@pytest.fixture(scope="module")
def no_distance():
    return max(split_gap(seed=seed) for seed in range(6))


def test_the_same_domain_means_no_more_distance_than_between_two_splits(route, no_distance):
    gaps = [domain_gap(route, seed=seed) for seed in SEEDS]
    if route.name == "Task Adaptation":
        # The exception: a scene shows its sneaker among neighbours and before coarser noise, and the classifier of
        # domains sees that. By the discrepancy of means it is nearer than every pair of different domains.
        assert no_distance < np.mean(gaps)
        others = [domain_gap(other, method="mmd") for other in ROUTES if not other.same_domain]
        assert domain_gap(route, method="mmd") < 0.7 * min(others)
    elif route.same_domain:
        assert np.mean(gaps) <= no_distance
    else:
        assert min(gaps) > 1 > no_distance


def test_what_is_compared_has_one_size(route):
    source, target = route.pair.comparable_inputs(*source_and_target(route, n=80))
    assert source.shape[1:] == target.shape[1:] == (28, 28, 1) and len(target) == 80
    assert source.dtype == target.dtype == np.uint8


def test_thumbnails_are_compared_with_thumbnails():
    for x in find_route("Dataset Merging").pair.comparable_inputs(*source_and_target("dataset merging", n=10)):
        assert (x[:, ::2, ::2] == x[:, 1::2, 1::2]).all()


def test_a_few_to_be_looked_at_are_of_the_same_kind_and_shown_at_once(route, monkeypatch):
    many = source_and_target(route, n=FEW + 1)
    monkeypatch.setattr("tl_helpers.routes.pairs.street", None)  # which makes whole pools
    few, others = source_and_target(route, n=5, seed=1), source_and_target(route, n=5, seed=2)
    for side, other, whole in zip(few, others, many, strict=True):
        assert len(side) == 5 and (side.task, side.domain) == (whole.task, whole.domain)
        assert side.x.shape[1:] == whole.x.shape[1:] and not np.array_equal(side.x, other.x)


def test_an_unknown_route_is_refused():
    for ask in (source_and_target, domain_gap):
        with pytest.raises(ValueError, match="There is no route 'Route 66'; there are Task Fine-Tuning"):
            ask("Route 66")
