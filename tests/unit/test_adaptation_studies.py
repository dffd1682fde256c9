"""Adapting without target labels: no such label gets in, splits stay apart, alignment does what it is said to do."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.street import load_street
from tl_helpers.experiments.intervals import paired_difference
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.features import probe
from tl_helpers.studies import adaptation as studies, frozen_features
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.training.adaptation import coral, standardise

WITHOUT_TRAINING = ("source_only", "per_domain", "coral")
PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def few_updates(monkeypatch):
    monkeypatch.setattr(studies, "UPDATES", 3)


# ---------------------------------------------------------------- what alignment does


def two_classes(n, *, share=0.5, seed=0):
    """Two Gaussian classes in two dimensions, far apart along the first."""
    random = np.random.default_rng(seed)
    y = (np.arange(n) < share * n).astype(int)
    return random.normal(size=(n, 2)) + np.stack([8 * y, 0 * y], axis=1), y


def test_per_domain_undoes_a_shift_that_leaves_the_source_alone_guessing():
    source, (x, y) = two_classes(100), two_classes(80, seed=1)
    moved = 3 * x + 100
    assert (studies.predict_by_alignment("source_only", source, moved, moved) == y).mean() == 0.5
    assert (studies.predict_by_alignment("per_domain", source, moved, moved) == y).mean() > 0.95


def test_per_domain_does_harm_where_the_classes_are_mixed_otherwise():
    source, (x, y) = two_classes(100), two_classes(200, share=0.1, seed=1)
    right = {
        arm: (studies.predict_by_alignment(arm, source, x, x) == y).mean() for arm in ("source_only", "per_domain")
    }
    assert right["source_only"] > 0.95 > 0.9 > right["per_domain"]


def test_coral_undoes_a_correlation_that_standardising_cannot():
    source, (x, y) = two_classes(100), two_classes(100, seed=1)
    # A turn by 60 degrees mixes the coordinates; the source, aligned, is turned and stretched likewise.
    turned = x @ np.array([[0.5, 0.866], [-0.866, 0.5]])
    aligned = (studies.predict_by_alignment("coral", source, turned, turned) == y).mean()
    assert aligned >= (studies.predict_by_alignment("source_only", source, turned, turned) == y).mean()


def test_leaving_out_empty_directions_changes_no_prediction():
    random = np.random.default_rng(0)
    x, unlabelled, test = (random.normal(size=(n, 60)) + (n == 20) for n in (30, 20, 25))
    y = np.arange(30) % 3
    shared, others, asked = (standardise(part, like=x) for part in (x, unlabelled, test))
    expected = probe(coral(shared, others), y, standardise=False).predict(asked)
    np.testing.assert_array_equal(studies.predict_by_alignment("coral", (x, y), unlabelled, test), expected)


@pytest.mark.parametrize("function", [studies.predict_by_alignment, studies.adapt_network])
def test_an_unknown_method_is_named(function):
    extra = {"rate": 1e-3, "seed": 0} if function is studies.adapt_network else {}
    with pytest.raises(ValueError, match=r"method must be .*, not 'guess'"):
        function("guess", two_classes(10), np.zeros((4, 2)), np.zeros((4, 2)), **extra)


# ---------------------------------------------------------------- who is drawn


@given(st.integers(0, 100), st.integers(1, 99))
def test_draws_are_nested_and_without_repetition(seed, n):
    y = np.arange(100) % 10
    smaller, larger = (studies.draw_unlabelled(y, size, 20, seed=seed) for size in (n, n + 1))
    np.testing.assert_array_equal(smaller, larger[:n])
    assert len(set(larger)) == n + 1


def test_draws_are_as_uneven_as_asked_for():
    y = np.arange(20000) % 10
    counts = np.bincount(y[studies.draw_unlabelled(y, 2000, 1, seed=0)], minlength=10)
    assert counts.min() > 150 and counts.max() < 250
    counts = np.sort(np.bincount(y[studies.draw_unlabelled(y, 1000, 50, seed=0)], minlength=10))
    expected = np.geomspace(1 / 50, 1, 10)
    np.testing.assert_allclose(counts, 1000 * expected / expected.sum(), atol=5 * np.sqrt(counts.max()))


def test_even_draws_do_not_look_at_labels():
    y = np.arange(500) % 10
    np.testing.assert_array_equal(
        studies.draw_unlabelled(y, 50, 1, seed=3), studies.draw_unlabelled((y * 7 + 3) % 10, 50, 1, seed=3)
    )


# ---------------------------------------------------------------- drawings


@pytest.fixture
def small_street(monkeypatch):
    """Load a few street pictures only, note what was asked for, and let a test give the target pool other labels."""
    asked, change = [], {}

    def street(view, split):
        asked.append((view, split))
        data = load_street(view, split, n=400)
        return dataclasses.replace(data, y=change[view, split](data.y)) if (view, split) in change else data

    monkeypatch.setattr(studies, "street", street)
    for name in ("_street_features", "_photographs", "_source_features"):
        monkeypatch.setattr(studies, name, getattr(studies, name).__wrapped__)
    monkeypatch.setattr(studies, "SOURCE_POOL", 400)
    monkeypatch.setattr(studies, "SOURCE_PICTURES", 300)
    return asked, change


def shuffled(y):
    return np.random.default_rng(1).permutation(y)


@pytest.mark.parametrize("arm", [*WITHOUT_TRAINING, "dann", "deep_coral", "target_only", "target_trained"])
def test_labels_of_drawings_reach_only_the_arms_that_are_given_them(small_street, arm):
    rate = None if arm in (*WITHOUT_TRAINING, "target_only") else 3e-3
    before = studies.adapt_sketches(100, 0, rate=rate, method=arm)
    small_street[1]["sketch", "target"] = shuffled
    after = studies.adapt_sketches(100, 0, rate=rate, method=arm)
    assert 0 <= before["score"] <= 100
    assert (before["score"] == after["score"]) == (not arm.startswith("target"))


@pytest.mark.parametrize(("blind", "validation"), [(False, ("sketch", "validation")), (True, ("photo", "validation"))])
def test_what_chooses_the_rate_and_what_tests_it(small_street, blind, validation):
    asked, _ = small_street
    studies.adapt_sketches(100, 0, rate=1e-3, split="validation", method="dann", blind=blind)
    assert set(asked) == {("sketch", "target"), validation}
    asked.clear()
    row = studies.adapt_sketches(100, 0, rate=1e-3, method="dann", blind=blind)
    assert set(asked) == {("sketch", "target"), ("sketch", "test")}
    assert row["updates"] == 3 and row["learning_rate"] == 1e-3


def test_the_pools_share_no_garment():
    ids = [set(load_street(view, split).ids) for view, split in (("photo", "source"), ("sketch", "target"))]
    ids += [set(load_street("sketch", split).ids) for split in ("validation", "test")]
    assert sum(map(len, ids)) == len(set().union(*ids))


# ---------------------------------------------------------------- photographs


@pytest.fixture
def made_up_features(monkeypatch):
    """Make features instead of running the backbone: one direction per family, and a shift between the worlds."""
    worlds = {}
    for number, data in enumerate([load_emoji("noto", "all", labels="family", size=8), load_photos("all", size=8)]):
        random = np.random.default_rng(number)
        features = 3 * np.eye(40)[data.y] + 2 * number + random.normal(size=(len(data), 40))
        worlds["photos" if number else "emoji"] = data.ids, features.astype("float32")
    monkeypatch.setattr(frozen_features, "_all_family_features", worlds.get)


@pytest.mark.parametrize("pair", studies.PHOTO_PAIRS)
@pytest.mark.parametrize("method", [*WITHOUT_TRAINING, "target_only", "dann"])
def test_labels_of_photographs_reach_only_the_arms_that_are_given_them(made_up_features, monkeypatch, pair, method):
    settings = {"rate": 1e-2 if method == "dann" else None, "method": method, "labels": 5}
    before = studies.adapt_photos(pair, 0, **settings)["score"]
    features, target = studies.family_features, studies.PHOTO_PAIRS[pair].target

    def without_labels(collection, families, split, fold):
        x, y = features(collection, families, split, fold)
        return x, shuffled(y) if (collection, split) == (target, "train") else y

    monkeypatch.setattr(studies, "family_features", without_labels)
    assert (studies.adapt_photos(pair, 0, **settings)["score"] == before) == (method != "target_only")


@pytest.mark.parametrize("pair", studies.PHOTO_PAIRS.values(), ids=studies.PHOTO_PAIRS)
def test_photographs_that_test_are_in_no_training_split(pair):
    for fold in range(10):
        split = {
            part: set(frozen_features.load_family(pair.target, pair.families, part, fold=fold).ids) for part in PARTS
        }
        assert sum(map(len, split.values())) == len(set().union(*split.values()))
        source = frozen_features.load_family(pair.source, pair.families, "train", fold=fold)
        held_out = frozen_features.load_family(pair.source, pair.families, "validation", fold=fold)
        assert not set(source.ids) & (set(held_out.ids) | set().union(*split.values()))
        assert set(source.y) == set(range(len(pair.families)))


def test_rates_are_chosen_on_the_source_and_tested_on_all_that_was_held_out(made_up_features, monkeypatch):
    asked, features = [], studies.family_features

    def note(collection, families, split, fold):
        asked.append((collection, split))
        return features(collection, families, split, fold)

    monkeypatch.setattr(studies, "family_features", note)
    pair = "cut-outs → full photographs"
    studies.adapt_photos(pair, 3, rate=1e-3, split="validation", method="dann")
    assert sorted(asked) == [("gcompris", "train"), ("tuxpaint", "train"), ("tuxpaint", "validation")]
    asked.clear()
    row = studies.adapt_photos(pair, 3, rate=1e-3, method="dann")
    assert sorted(asked) == [("gcompris", part) for part in ("test", "train", "validation")] + [("tuxpaint", "train")]
    assert row["updates"] == 3 and 0 <= row["score"] <= 100


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 9))
def test_every_class_is_drawn_as_often_and_no_row_is_left_out(y, seed):
    y = np.array(y)
    rows = studies.as_many_of_each(y, seed=seed)
    assert set(np.bincount(y[rows])[np.unique(y)]) == {np.bincount(y).max()}
    assert set(rows) == set(range(len(y)))


def test_balanced_statistics_count_every_family_alike_in_both_domains(made_up_features, monkeypatch):
    likes, pair = [], "cut-outs → full photographs"

    def note(x, like=None):
        likes.append(like)
        return standardise(x, like=like)

    monkeypatch.setattr(studies, "standardise", note)
    studies.adapt_photos(pair, 0, method="per_domain", balanced=True)
    for like, collection in zip(likes, ("tuxpaint", "gcompris"), strict=True):
        x, y = studies.family_features(collection, studies.PHOTO_PAIRS[pair].families, "train", 0)
        counts = np.bincount(y)
        assert len(set(counts)) > 1 and len(like) == counts.max() * len(counts)
        by_family = [like[np.isin(like, x[y == label]).all(axis=1)] for label in range(len(counts))]
        assert {len(rows) for rows in by_family} == {counts.max()}


# ---------------------------------------------------------------- what is stored


def test_both_signs_are_stored():
    change = paired_difference(load_study("adapt_photos").runs, "per_domain", "source_only").set_index("budget")
    assert (change["low"] > 0).any() and (change["high"] < 0).any()


@pytest.mark.parametrize("arm", ["source_only", "per_domain_uneven"])
def test_a_stored_run_on_drawings_comes_out_again(arm):
    stored = load_study("adapt_sketches").runs.set_index(["arm", "budget", "seed"])["score"]
    assert STUDIES["adapt_sketches"].run(arm, 100, 3)["score"] == pytest.approx(stored[arm, 100, 3], abs=0.5)


def test_a_stored_run_on_photographs_comes_out_again():
    pair = "cut-outs → full photographs"
    stored = load_study("adapt_photos").runs.set_index(["arm", "budget", "seed"])["score"]
    for arm in WITHOUT_TRAINING:
        assert STUDIES["adapt_photos"].run(arm, pair, 2)["score"] == pytest.approx(stored[arm, pair, 2], abs=2)
