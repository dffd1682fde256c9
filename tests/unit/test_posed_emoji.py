"""Mammals that the source never saw: what is posed, what is left out, and what each arm of the study starts from."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from tl_helpers.datasets import posed_emoji as pictures
from tl_helpers.datasets.dataset import Dataset, Domain, Task, sample_budget
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.studies import posed_emoji as study
from tl_helpers.studies.frozen_features import pictures_of

POOLS = tuple(pictures.KINDS)
SIX, KINDS = study.STUDIES


@pytest.fixture
def short(monkeypatch):
    """Source models that are trained for two updates."""
    monkeypatch.setattr(study, "SOURCE_PICTURES", 64)
    monkeypatch.setattr(study, "SOURCE_UPDATES", 2)
    monkeypatch.setattr(study, "MEASURED", 4)
    kept = study._trained_source, study._measured_mammals
    for each in kept:
        each.cache_clear()
    yield
    for each in kept:
        each.cache_clear()


# ---------------------------------------------------------------- pictures


def test_a_posed_drawing_lies_within_its_picture_at_a_size_that_was_asked_for():
    red = np.zeros((40, 64, 64, 4), "uint8")
    red[:, 24:40, 8:56] = (255, 0, 0, 255)  # grounds have at least 40 of each colour
    posed = pictures.pose_drawings(red, np.random.default_rng(0))
    assert posed.shape == (40, 48, 48, 3) and posed.dtype == np.uint8
    is_red = (posed == (255, 0, 0)).all(axis=3)
    lengths = np.array([np.ptp(np.argwhere(each), axis=0).max() + 1 for each in is_red])
    assert lengths.max() <= 42 and lengths.min() >= 22 and len(set(lengths)) > 8
    assert (pictures.pose_drawings(red, np.random.default_rng(0)) == posed).all()


def test_kinds_set_aside_for_rates_and_for_measuring_are_apart():
    kinds = [{pictures._kind(name) for name in pictures.mammals_set_aside(pool).values()} for pool in POOLS]
    assert [len(each) for each in kinds] == [12, 18] and not kinds[0] & kinds[1]
    for pool in POOLS:
        drawn = [pictures.draw_mammals(seed, pool=pool) for seed in range(4)]
        assert all(len(each) == 6 and each.items() <= pictures.mammals_set_aside(pool).items() for each in drawn)
        assert drawn[0] == pictures.draw_mammals(0, pool=pool) and len({frozenset(each) for each in drawn}) == 4


@pytest.mark.parametrize("pool", POOLS)
def test_the_source_has_nothing_that_is_named_after_a_mammal_of_the_target(pool):
    source = pictures.load_posed_groups(1000, seed=0, pool=pool)
    kinds = {pictures._kind(name) for name in pictures.mammals_set_aside(pool).values()}
    assert not any(kinds & set(re.findall("[a-z]+", name.lower())) for name in source.texts)
    assert not set(source.ids) & set(pictures.load_posed_mammals(1, seed=3, pool=pool).ids)
    counts = np.unique(source.ids, return_counts=True)[1]
    assert set(counts) == {1, 2} and set(source.sources) == set(pictures.POSED_STYLES)


def test_pictures_of_the_source_have_the_label_of_their_emoji():
    source, emoji = pictures.load_posed_groups(200, seed=1), load_emoji("noto", "all")
    label = dict(zip(emoji.ids, emoji.y, strict=True))
    assert [label[name] for name in source.ids] == list(source.y) and source.label_names == emoji.label_names


def test_labelled_and_measured_pictures_show_the_same_six_mammals_and_no_picture_is_in_both():
    labelled, measured = (pictures.load_posed_mammals(5, seed=2, series=series) for series in pictures.SERIES)
    assert labelled.label_names == measured.label_names == tuple(pictures.draw_mammals(2).values())
    assert list(np.bincount(measured.y)) == [5] * 6
    for data in (labelled, measured):
        assert [data.label_names[label] for label in data.y] == list(data.texts)
    assert not {x.tobytes() for x in labelled.x} & {x.tobytes() for x in measured.x}
    few, more = (sample_budget(labelled, count, seed=2) for count in (2, 4))
    assert {x.tobytes() for x in few.x} <= {x.tobytes() for x in more.x}


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="pool must be one of"):
        pictures.draw_mammals(0, pool="train")
    with pytest.raises(ValueError, match="count must be 2…12 in the pool 'validation', not 13"):
        pictures.draw_mammals(0, pool="validation", count=13)
    with pytest.raises(ValueError, match="series must be one of"):
        pictures.load_posed_mammals(1, seed=0, series="test")


# ---------------------------------------------------------------- the six mammals


def made_up_groups():
    ids, y = np.repeat([f"emoji {number}" for number in range(30)], 3), np.repeat(np.arange(30) % 3, 3)
    domain, task = Domain("made up", (4, 4, 3)), Task("made up", ("a", "b", "c"))
    return Dataset(np.zeros((90, 4, 4, 3), "uint8"), y, domain, task, "test", ids)


@pytest.mark.parametrize("names", ["shuffled", "made up"])
def test_other_labels_are_as_many_of_each_and_mean_nothing(names):
    groups = made_up_groups()
    renamed = study.rename(groups, names, seed=0)
    assert (np.bincount(renamed.y) == np.bincount(groups.y)).all()
    assert 0.15 < (renamed.y == groups.y).mean() < 0.6
    labels_of_an_emoji = [len(set(renamed.y[groups.ids == name])) for name in np.unique(groups.ids)]
    assert (max(labels_of_an_emoji) == 1) == (names == "made up")
    assert (study.rename(groups, "groups", seed=0).y == groups.y).all()


def test_each_call_gives_a_source_of_its_own_whose_activations_are_scaled(short):
    one, two = study.train_posed_source(0), study.train_posed_source(0)
    assert one.output_shape == (None, 8)
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        assert (ours == theirs).all()
    one.get_layer("conv1").set_weights([0 * weights for weights in one.get_layer("conv1").get_weights()])
    assert all(weights.any() for weights in study.train_posed_source(0).get_layer("conv1").get_weights()[:1])
    for names in ("groups", "nothing"):
        source = study.train_posed_source(0, names=names)
        x = pictures.load_posed_groups(256 if names == "nothing" else 64, seed=0).x
        conv4 = keras.Model(source.input, source.get_layer("conv4").output)(x).numpy()
        assert np.std(conv4) == pytest.approx(0.3, rel=0.02)
    with pytest.raises(ValueError, match="names must be one of"):
        study.train_posed_source(0, names="species")


def test_runs_with_the_same_arguments_score_the_same(short):
    rows = [study.six_mammals(3, 1, rate=1e-3, strategy="fine_tuning", updates=2) for _ in range(2)]
    assert rows[0] == rows[1] and rows[0]["updates"] == 2 and rows[0]["learning_rate"] == 1e-3
    assert 0 <= rows[0]["score"] <= 100


def test_only_what_was_asked_for_is_trained_and_from_the_source_that_was_asked_for(short, monkeypatch):
    asked, trained = [], []
    train = study.train_posed_source
    monkeypatch.setattr(
        study, "train_posed_source", lambda seed, **how: asked.append((seed, how)) or train(0, names="nothing")
    )
    monkeypatch.setattr(study, "fit_transfer", lambda model, data, **how: trained.append((len(data), how)))
    for arm in ("scratch", "scratch_longer", "linear_probing", "random_body", "one_source"):
        SIX.run(arm, 5, 7, rate=0.1)
    assert [seed for seed, _ in asked] == [7, 7, 7, 7, study.SHARED]
    assert [how["names"] for _, how in asked] == ["nothing", "nothing", "groups", "nothing", "groups"]
    assert {how["pool"] for _, how in asked} == {"test"} and {size for size, _ in trained} == {30}
    strategies = ["scratch", "scratch", "linear_probing", "linear_probing", "fine_tuning"]
    assert [how["strategy"] for _, how in trained] == strategies
    assert [how["updates"] for _, how in trained] == [200, 800, 200, 200, 200]


# ---------------------------------------------------------------- kinds of animal


@pytest.fixture
def telling(monkeypatch):
    """Features that say which kind of animal an emoji is, in one column each, or only that it is an animal."""
    animals, ids = load_emoji("noto", "all", labels="animal"), pictures_of("noto").ids
    kind = dict(zip(animals.ids, animals.y, strict=True))
    one_hot = np.array([np.arange(5) == kind.get(name, -1) for name in ids], "float32")
    told = {"kind": one_hot, "group": one_hot.max(axis=1, keepdims=True)}
    study._hidden_layer.cache_clear()
    yield lambda what: monkeypatch.setattr(study, "_features", lambda style: told[what])
    study._hidden_layer.cache_clear()


def test_kinds_are_told_where_features_tell_them_and_guessed_where_they_do_not(telling):
    telling("kind")
    assert study.groups_to_kinds(5, 0, layer="backbone") == {"score": 100}
    telling("group")
    assert study.groups_to_kinds(5, 0, layer="backbone") == {"score": pytest.approx(KINDS.chance)}


def test_a_layer_has_as_many_units_taught_or_not(telling):
    telling("kind")
    x, y = study._emoji_features("animal", "train", 0)
    assert set(y) == {0, 1, 2, 3} and x.sum() == len(x)  # one column each
    untaught = study.see_through(x[:9], 0, "untaught")
    assert untaught.shape == (9, study.UNITS) and (untaught >= 0).all() and untaught.any()
    assert study.see_through(x, 0, "backbone") is x
    with pytest.raises(ValueError, match="layer must be one of"):
        study.see_through(x, 0, "head")


def test_the_studies_say_what_they_compare():
    assert SIX.compared == ("fine_tuning", "scratch") and SIX.axis.values == (3, 5, 10, 20, 40)
    assert SIX.chance == pytest.approx(100 / 6) and KINDS.chance == 25
    assert len(SIX.seeds) >= 8 and len(KINDS.seeds) == 10 and study.SHARED not in (*SIX.seeds, *SIX.tuning_seeds)
    assert SIX.controls_of("scratch") == ("scratch_longer",) and SIX.values_of("one_source") == (3, 10, 40)
    assert set(SIX.arms) - set(SIX.tuned) == {"regression"} and KINDS.tuned == ()
