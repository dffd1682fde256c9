"""Do source and target of every route agree, and differ, where the taxonomy says so? Computed, not claimed."""

import dataclasses

import numpy as np
import pytest

from tl_helpers.routes import pairs
from tl_helpers.routes.gaps import domain_gap, split_gap
from tl_helpers.routes.pairs import FEW, QUESTIONS, SIDE
from tl_helpers.routes.taxonomy import ROUTES, find_route, source_and_target

SEEDS = range(2)


@pytest.fixture(params=ROUTES, ids=lambda route: route.name)
def route(request):
    return request.param


def test_the_same_task_means_the_same_kind_of_question(route):
    """As the article has it. Its own last example breaks the rule: moderating and sorting e-mails both classify."""
    asked = [*route.pair.questions]
    assert set(asked) <= set(QUESTIONS)
    assert route.same_task == (asked[0] == asked[1]) or route.name == "Parallel Training"
    for data, question in zip(source_and_target(route, n=20), asked, strict=True):
        assert data.boxes is not None or question == "classify"


def test_by_the_stricter_reading_the_targets_labels_equal_or_refine_the_sources(route):
    (source, target), label_map = source_and_target(route, n=60), route.pair.label_map
    if route.same_task:
        assert set(label_map) == set(target.label_names)
        assert set(label_map.values()) <= set(source.label_names)
    else:
        assert label_map is None
        assert source.task != target.task or target.boxes is not None


def test_source_and_target_share_no_picture(route):
    source, target = source_and_target(route, n=200)
    if route.same_domain and not route.same_task:
        # Two questions about scenes of the same things: no scene is in both.
        pixels = [np.sort(x.reshape(len(x), -1).astype(int).sum(axis=1)) for x in (source.x, target.x)]
        assert not np.array_equal(*(total[:50] for total in pixels))
    else:
        assert not set(source.ids) & set(target.ids)


@pytest.fixture(scope="module")
def no_distance():
    return max(split_gap(seed=seed) for seed in range(6))


def test_the_same_domain_means_no_more_distance_than_between_two_splits(route, no_distance):
    gaps = [domain_gap(route, seed=seed) for seed in SEEDS]
    if route.name == "Task Fine-Tuning":
        # Style, pose and ground are drawn alike, but six mammals are told from the other animals by what they are.
        assert no_distance < np.mean(gaps) < 1.4
    elif route.name == "Dataset Merging":
        # What shrinking took can be taken from both sides; what blowing up added stays with one.
        assert no_distance < np.mean(gaps) < 1.4 < domain_gap(route, together=False)
    elif route.same_domain:
        assert np.mean(gaps) <= no_distance
    else:
        assert min(gaps) > 1.4 > no_distance


@pytest.mark.parametrize("together", [True, False])
def test_what_is_compared_has_one_size_and_one_number(route, together):
    pictures = route.pair.comparable_inputs(*source_and_target(route, n=80), together=together)
    assert pictures[0].shape == pictures[1].shape and pictures[0].shape[1:] == (SIDE, SIDE, 3)
    assert {x.dtype for x in pictures} == {np.dtype("uint8")} and 0 < len(pictures[0]) <= 80


def test_one_resolution_takes_from_both_sides_what_one_side_lacks():
    pair, sides = find_route("Dataset Merging").pair, source_and_target("dataset merging", n=10)
    thumbnails, own = pair.comparable_inputs(*sides)
    blocks = sides[1].x.reshape(10, 24, 4, 24, 4, 3).mean(axis=(2, 4)).round().astype("uint8")
    again = dataclasses.replace(pair, pixels=None).comparable_inputs(*sides, together=False)
    small = pairs._resized(blocks, SIDE)
    assert abs(own.astype(int) - small).max() <= 1
    assert (thumbnails != again[0]).any() and (own != again[1]).any()


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
