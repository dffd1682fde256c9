"""The tool in the bag: x-rays add up as light does, splits share nothing they should not, and scores are exact."""

from __future__ import annotations

import numpy as np
import pytest

from tl_helpers.datasets.luggage import (
    BAG_SIZE,
    BAG_SPLITS,
    load_luggage,
    other_kinds,
    thickness,
    tool_kinds,
    x_ray,
)
from tl_helpers.models.boxes import box_scores
from tl_helpers.studies import luggage
from tl_helpers.studies.luggage import STUDIES, find_in_pictures, find_on_maps, modality_transfer

(STUDY,) = STUDIES


class NoNoise:
    def standard_normal(self, shape):
        return np.zeros(shape)


def block(side=11, margin=4, colour=255):
    cut_out = np.zeros((side + 2 * margin,) * 2 + (4,), "uint8")
    cut_out[margin:-margin, margin:-margin] = (colour, colour, colour, 255)
    return cut_out


def test_a_thing_is_thickest_in_its_middle_and_where_it_is_bright():
    white, black = thickness(block()), thickness(block(colour=0))
    assert white.shape == (19, 19) and white[9, 9] == white.max() == pytest.approx(np.sqrt(6))
    assert white[4, 4] == pytest.approx(1) and (white[:4] == 0).all()
    np.testing.assert_allclose(black, 0.3 * white)
    # A thing that fills its array has edges there.
    assert thickness(block(margin=4)[4:-4, 4:-4]).max() == white.max()


def test_what_passes_two_things_is_the_product_of_what_passes_each():
    one, two = np.full((8, 8, 3), 0.4), np.full((8, 8, 3), 0.8)
    seen = [x_ray(absorption, NoNoise())[4, 4, 0] for absorption in (0 * one, one, two, one + two)]
    np.testing.assert_allclose(seen, np.round(240 * np.exp([0, -0.4, -0.8, -1.2])), atol=1)


@pytest.mark.parametrize("tools", ["known", "new"])
def test_every_bag_has_its_tool_in_its_box(tools):
    data = load_luggage(n=12, seed=3, tools=tools)
    assert data.x.shape == (12, BAG_SIZE, BAG_SIZE, 3) and data.masks.shape == (12, BAG_SIZE, BAG_SIZE)
    for mask, (left, top, right, bottom) in zip(data.masks, data.boxes.astype(int), strict=True):
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert mask[top].any() and mask[bottom - 1].any() and mask[:, left].any() and mask[:, right - 1].any()
        assert 15 <= max(right - left, bottom - top) <= 48
    # The tool takes light away: under its mask it is darker than where nothing lies.
    assert all(x[mask].mean() < 230 for x, mask in zip(data.x, data.masks, strict=True))
    kinds = {data.label_names[label] for label in data.y}
    assert kinds <= set(tool_kinds(3)[tools == "new"])


def test_bags_come_from_their_arguments_and_the_first_of_many_are_the_few():
    few, many, other = load_luggage(n=3, seed=1), load_luggage(n=5, seed=1), load_luggage(n=3, seed=2)
    assert (few.x == many.x[:3]).all() and (few.boxes == many.boxes[:3]).all() and (few.ids == many.ids[:3]).all()
    assert (few.x != other.x).any() and (few.x != load_luggage("test", n=3, seed=1).x).any()


def test_new_tools_and_other_things_are_in_no_other_pool():
    for seed in (0, 1, 100):
        known, new = tool_kinds(seed)
        assert not set(known) & set(new) and len(known) > len(new) >= 4
        pools = [set(other_kinds(split, seed)) for split in BAG_SPLITS]
        assert not (pools[0] & pools[1] or pools[0] & pools[2] or pools[1] & pools[2])
        assert all(pool and not pool & {*known, *new} for pool in pools)
    assert tool_kinds(0) != tool_kinds(1)


def test_what_a_bag_cannot_be_is_refused():
    with pytest.raises(ValueError, match="split"):
        load_luggage("source", n=1)
    with pytest.raises(ValueError, match="tools"):
        load_luggage(n=1, tools="old")
    with pytest.raises(ValueError, match="at least 1"):
        load_luggage(n=0)


def test_scores_of_made_up_boxes_are_exact():
    true = np.array([[0, 0, 10, 10]] * 4, "float32")
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [5, 5, 15, 15], [20, 20, 30, 30]], "float32")
    measured = box_scores(found, true)
    assert measured["score"] == pytest.approx(25 * (1 + 0.5 + 25 / 175))
    # The third box's centre lies on the true one's far corner, which is outside it.
    assert measured["hit_rate"] == 50 and measured["centre"] == 50


def test_both_detectors_have_one_grid_and_one_head():
    features = np.random.default_rng(0).normal(3, 2, (4, luggage.GRID, luggage.GRID, 40)).astype("float32")
    on_maps, in_pictures = find_on_maps(features, seed=1), find_in_pictures(seed=1)
    assert on_maps.output_shape == in_pictures.output_shape == (None, luggage.GRID, luggage.GRID, 5)
    assert on_maps.get_layer("head_hidden").filters == in_pictures.get_layer("head_hidden").filters == 64
    standardised = on_maps.get_layer("preprocess")(features).numpy()
    np.testing.assert_allclose(standardised.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(standardised.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_chance_is_what_the_best_single_box_scores():
    boxes, half = load_luggage("test", n=100, seed=0).boxes, BAG_SIZE / 2
    sides = range(20, 64, 6)
    scores = [
        box_scores(np.tile([[half - w / 2, half - h / 2, half + w / 2, half + h / 2]], (100, 1)), boxes)["score"]
        for w in sides
        for h in sides
    ]
    assert abs(max(scores) - STUDY.chance) < 3


@pytest.fixture
def asked_for(monkeypatch):
    """Let a study's function see a few bags; return which of them it has asked for."""
    asked = set()

    def few(split, seed, tools="known"):
        asked.add((split, tools))
        return load_luggage(split, n=8, seed=seed, tools=tools)

    monkeypatch.setattr(luggage, "bags", few)
    luggage.maps.cache_clear()
    yield asked
    luggage.maps.cache_clear()


@pytest.mark.parametrize("body", ["imagenet", "new"])
def test_a_run_comes_from_its_arguments(body, asked_for):
    row = modality_transfer(4, 0, body=body, rate=1e-3, updates=3)
    assert row == modality_transfer(4, 0, body=body, rate=1e-3, updates=3)
    assert row["updates"] == 3 and row["learning_rate"] == 1e-3
    measured = ("score", "hit_rate", "centre", "known_tools", "known_tools_centre")
    assert all(0 <= row[name] <= 100 for name in measured)
    assert asked_for == {("train", "known"), ("test", "known"), ("test", "new")}


def test_no_rate_is_chosen_by_what_is_tested_on(asked_for):
    row = modality_transfer(4, 0, split="validation", body="new", rate=1e-3, updates=3)
    assert asked_for == {("train", "known"), ("validation", "known")} and "known_tools" not in row


def test_controls_are_what_they_say():
    arms = STUDY.arms
    assert arms["scratch_longer"].settings == arms["scratch"].settings | {"updates": 4 * luggage.UPDATES}
    assert arms["random"].settings == {"body": "random"} and arms["random"].role == "control"
    assert STUDY.compared == ("lite0", "scratch") and STUDY.controls_of("scratch") == ("scratch_longer",)
    assert set(STUDY.tuned) == set(arms) and len(STUDY.seeds) >= 8 and len(STUDY.axis.values) == 5
