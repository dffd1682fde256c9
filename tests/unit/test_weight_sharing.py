"""Two collections of digits: frames are what they say, batches are half and half, and arms differ in one thing."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tl_helpers.datasets.collections import digits_in_frames, enlarge_digits
from tl_helpers.datasets.street import load_street
from tl_helpers.studies import weight_sharing as studies

ROUTE, MIRROR = studies.STUDIES


@pytest.fixture
def learned(monkeypatch):
    """Record what each network is given, and train it with three updates at most."""
    calls, learn = [], studies.learn_in_halves

    def recorded(model, heaps, *, updates, **how):
        calls.append(heaps)
        learn(model, heaps, updates=min(updates, 3), **how)

    studies._run.cache_clear()
    monkeypatch.setattr(studies, "learn_in_halves", recorded)
    yield calls
    studies._run.cache_clear()


# ---------------------------------------------------------------- frames and splits


def test_pictures_are_enlarged_linearly_and_framed_in_black():
    x = np.array([[[0, 30], [60, 90]]], dtype=float)
    framed = enlarge_digits(x, 4)[..., 0]
    assert framed.shape == (1, 28, 28) and framed.dtype == np.uint8
    # From 0 to 30 and from 0 to 60 in three steps each.
    np.testing.assert_array_equal(framed[0, 12:16, 12:16], np.add.outer(20 * np.arange(4), 10 * np.arange(4)))
    assert framed.sum() == framed[0, 12:16, 12:16].sum()


@given(st.integers(1, 14), st.integers(2, 9), st.integers(0, 99))
def test_a_frame_holds_the_corners_where_they_belong_and_nothing_outside(half, side, seed):
    x = np.random.default_rng(seed).integers(0, 256, (2, side, side))
    framed = enlarge_digits(x.astype(float), 2 * half)[..., 0]
    inside = framed[:, 14 - half : 14 + half, 14 - half : 14 + half]
    assert framed.shape == (2, 28, 28) and framed.sum() == inside.sum()
    np.testing.assert_array_equal(inside[:, [0, 0, -1, -1], [0, -1, 0, -1]], x[:, [0, 0, -1, -1], [0, -1, 0, -1]])


def test_small_digits_fill_the_square_that_those_of_mnist_fill():
    apart, aligned = digits_in_frames(aligned=False), digits_in_frames()
    for part in ("train", "validation", "test"):
        small = aligned["small"][part][0]
        assert small.sum() == small[:, 4:24, 4:24].sum() and apart["small"][part][0][:, :4].any()
        assert (apart["small"][part][1] == aligned["small"][part][1]).all()
        assert (apart["mnist"][part][0] == aligned["mnist"][part][0]).all()
    # Both stand in the middle, and are about as high: rows with ink.
    heights = [parts["train"][0].any(axis=(2, 3)).sum(axis=1).mean() for parts in aligned.values()]
    assert heights == pytest.approx([20, 20], abs=0.6)


def test_no_digit_is_in_two_splits_and_there_are_enough_to_train_on():
    for parts in digits_in_frames().values():
        pictures = {part: {one.tobytes() for one in x} for part, (x, _) in parts.items()}
        assert not pictures["train"] & pictures["test"]
        assert not pictures["train"] & pictures["validation"] and not pictures["validation"] & pictures["test"]
        assert all(x.shape[1:] == (28, 28, 1) and x.dtype == np.uint8 for x, _ in parts.values())
    counts = {name: np.bincount(parts["train"][1]).min() for name, parts in digits_in_frames().items()}
    assert counts == {"small": MIRROR.axis.values[-1], "mnist": ROUTE.axis.values[-1]}
    sizes = [len(y) for _, y in digits_in_frames()["small"].values()]
    assert sizes == [1000, 300, 497]
    mnist = [set(load_street("plain", pool, labels="digit").ids) for pool in ("source", "target", "test")]
    assert len(set.union(*mnist)) == sum(map(len, mnist))


def test_chance_is_the_commonest_digit():
    for study, name in ((ROUTE, "small"), (MIRROR, "mnist")):
        y = digits_in_frames()[name]["test"][1]
        assert study.chance == pytest.approx(100 * np.bincount(y).max() / len(y), rel=1e-12)


# ---------------------------------------------------------------- batches


@given(st.lists(st.integers(1, 90), min_size=1, max_size=3), st.integers(1, 40), st.integers(0, 9))
def test_every_batch_holds_as_many_of_each_heap_and_no_heap_changes_another(sizes, updates, seed):
    rows = studies.draw_in_halves(sizes, updates, seed=seed)
    assert rows.shape == (updates, studies.HALF * len(sizes))
    heaps = np.split(rows, len(sizes), axis=1)
    for number, (size, own) in enumerate(zip(sizes, heaps, strict=True)):
        start = sum(sizes[:number])
        assert own.min() >= start and own.max() < start + size
        seen = np.bincount(own.ravel() - start, minlength=size)
        assert seen.max() - seen.min() <= 1
    np.testing.assert_array_equal(heaps[0], studies.draw_in_halves(sizes[:1], updates, seed=seed))


def test_own_pictures_come_as_often_with_a_partner_as_without():
    alone, both = (studies.draw_in_halves(sizes, studies.UPDATES, seed=1) for sizes in ([30], [30, 900]))
    np.testing.assert_array_equal(np.sort(both[both < 30]), np.sort(alone.ravel()))
    assert alone.size == 6400 == (both >= 30).sum()


# ---------------------------------------------------------------- arms


def test_both_learn_the_same_few_digits_and_the_partner_as_many_as_asked_for(learned):
    for arm in ("separate", "shared"):
        ROUTE.run(arm, 10, 0, rate=1e-3)
    (alone,), (own, partner) = learned
    for x, y in (alone, own):
        np.testing.assert_array_equal(x, alone[0])
        assert (np.bincount(y) == studies.POOR_LABELS).all()
    assert (np.bincount(partner[1]) == 10).all()
    small, mnist = ({one.tobytes() for one in parts["train"][0]} for parts in digits_in_frames().values())
    assert {one.tobytes() for one in own[0]} <= small and {one.tobytes() for one in partner[0]} <= mnist


def test_the_mirror_has_few_digits_of_mnist_and_the_small_ones_for_a_partner(learned):
    MIRROR.run("shared", 30, 0, rate=1e-3)
    ((own, partner),) = learned
    small, mnist = ({one.tobytes() for one in parts["train"][0]} for parts in digits_in_frames().values())
    assert {one.tobytes() for one in own[0]} <= mnist and {one.tobytes() for one in partner[0]} <= small
    assert len(own[0]) == 30 and len(partner[0]) == 300


def test_shuffled_labels_are_as_many_of_each_of_the_partner_alone(learned):
    for arm in ("shared", "shuffled"):
        ROUTE.run(arm, 30, 0, rate=1e-3)
    (own, true), (same, shuffled) = learned
    np.testing.assert_array_equal(own[1], same[1])
    np.testing.assert_array_equal(true[0], shuffled[0])
    assert (np.bincount(shuffled[1]) == 30).all() and (true[1] == shuffled[1]).mean() < 0.2


def test_digits_of_two_sizes_are_the_same_digits(learned):
    for arm in ("shared", "not_aligned"):
        ROUTE.run(arm, 30, 0, rate=1e-3)
    (own, partner), (large, same) = learned
    np.testing.assert_array_equal(partner[0], same[0])
    np.testing.assert_array_equal(own[1], large[1])
    assert not own[0][:, :4].any() and large[0][:, :4].any()


def test_a_network_of_its_own_is_trained_once_per_seed_and_split(learned):
    rows = [ROUTE.run("separate", labels, 1, rate=1e-3) for labels in ROUTE.axis.values]
    assert all(row == rows[0] for row in rows) and len(learned) == 1
    rows[0]["score"] = -1
    assert ROUTE.run("separate", 3, 1, rate=1e-3) == rows[1]
    ROUTE.run("separate", 3, 1, rate=1e-3, split="validation")
    ROUTE.run("separate", 3, 2, rate=1e-3)
    assert len(learned) == 3


def test_rows_say_what_was_learned(learned):
    both, alone, partner = (ROUTE.run(arm, 30, 0, rate=1e-3) for arm in ("shared", "separate", "partner"))
    assert both["score"] == both["poor"] and alone["score"] == alone["poor"] and partner["score"] == partner["partner"]
    assert "partner" in both and "partner" not in alone and "poor" not in partner
    longer = ROUTE.arms["separate_longer"].settings["updates"]
    assert longer == 4 * both["updates"] == 4 * studies.UPDATES


def test_a_run_learns_both_collections_and_repeats():
    """A fifth of a study's updates: enough to be better than guessing."""
    studies._run.cache_clear()
    settings = {"rate": 3e-3, "updates": 40}
    row = studies.weight_sharing(290, 0, learn=("poor", "partner"), **settings)
    studies._run.cache_clear()
    assert studies.weight_sharing(290, 0, learn=("poor", "partner"), **settings) == row
    assert min(row["poor"], row["partner"]) > 3 * studies.CHANCE["small"]
