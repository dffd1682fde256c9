"""Colour emoji → line art: concepts stay apart, controls are what they say, no label or test drawing gets in."""

from functools import cache

import numpy as np
import pytest

from tl_helpers.datasets.emoji import EMOJI_FOLDS, load_emoji
from tl_helpers.studies import line_art as studies, two_domains

(STUDY,) = studies.STUDIES
FOLDS = range(EMOJI_FOLDS)


@pytest.fixture
def coarse_features(monkeypatch):
    """Take 8 × 8 grey pixels for the backbone's features, and other ones for a random backbone."""

    @cache
    def features(style, weights):
        x = load_emoji(style, "all").x.mean(axis=3).reshape(-1, 8, 8, 8, 8).mean(axis=(2, 4)).reshape(-1, 64)
        return x if weights == "imagenet" else x[:, ::2]

    monkeypatch.setattr(studies, "_all_features", features)


@pytest.fixture
def asked(monkeypatch, coarse_features):
    """Record what each classifier is trained on and asked for."""
    calls, predict = [], studies.predict_target

    def recorded(source, own, unlabelled, test, **way):
        calls.append({"source": source, "own": own, "unlabelled": unlabelled, "test": test} | way)
        return predict(source, own, unlabelled, test, **way)

    monkeypatch.setattr(studies, "predict_target", recorded)
    return calls


@pytest.fixture
def fitted(monkeypatch):
    """Record the arguments of each logistic regression."""
    calls, probe = [], two_domains.probe
    monkeypatch.setattr(two_domains, "probe", lambda *data, **how: calls.append((*data, how)) or probe(*data, **how))
    return calls


def two_classes(n, *, seed, shift=0.0):
    """Two classes, far apart along the first of two features."""
    y = np.arange(n) % 2
    return np.random.default_rng(seed).normal(size=(n, 2)) + np.stack([8 * y, 0 * y], axis=1) + shift, y


# ---------------------------------------------------------------- concepts and splits


@pytest.mark.parametrize("fold", FOLDS)
def test_the_source_sees_no_concept_that_is_tested(fold):
    source = load_emoji(studies.SOURCE_STYLE, "train", fold=fold)
    for split in ("validation", "test"):
        assert not set(source.ids) & set(load_emoji(studies.TARGET_STYLE, split, fold=fold).ids)


@pytest.mark.parametrize("fold", FOLDS)
def test_chance_is_the_commonest_group_and_every_budget_can_be_drawn(fold):
    test, pool = (load_emoji(studies.TARGET_STYLE, split, fold=fold) for split in ("test", "train"))
    assert 100 * np.bincount(test.y).max() / len(test) == pytest.approx(STUDY.chance, rel=1e-12)
    assert np.bincount(pool.y, minlength=8).min() >= max(STUDY.axis.values)


def test_both_sides_show_the_same_concepts_each_in_its_style():
    source, target = (load_emoji(style, fold=3) for style in (studies.SOURCE_STYLE, studies.TARGET_STYLE))
    assert (source.ids == target.ids).all() and (source.y == target.y).all()
    saturation = [np.ptp(data.x.astype(int), axis=3).mean() for data in (source, target)]
    assert saturation[1] < 1 < saturation[0]


# ---------------------------------------------------------------- what a classifier is given


def test_standardising_per_domain_undoes_a_shift_without_a_label_of_the_target():
    source, (x, y) = two_classes(100, seed=0), two_classes(80, seed=1, shift=50)
    wrong = x[:2], 1 - y[:2]
    for per_domain, right in ((False, 0.5), (True, 1.0)):
        way = {"train_on": ("source",), "per_domain": per_domain}
        predicted = two_domains.predict_target(source, wrong, x, x, **way)
        assert (predicted == y).mean() == pytest.approx(right, abs=0.05)


def test_balanced_domains_weigh_the_same_in_total(fitted):
    source, own = two_classes(90, seed=0), two_classes(6, seed=1)
    for balanced, weight in ((False, 1), (True, 15)):
        two_domains.predict_target(source, own, own[0], own[0], balanced=balanced)
        x, y, how = fitted.pop()
        assert x.shape == (96, 2) and (y == np.concatenate([source[1], own[1]])).all()
        assert (how["sample_weight"] == np.repeat([1, weight], [90, 6])).all()


def test_each_domain_gets_its_own_statistics_or_all_get_the_same(fitted):
    source, own, unlabelled = two_classes(50, seed=0), two_classes(4, seed=1, shift=9), two_classes(40, seed=2)[0]
    two_domains.predict_target(source, own, unlabelled, unlabelled, per_domain=True)
    x = fitted.pop()[0]
    np.testing.assert_allclose(x[:50].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(x[50:], (own[0] - unlabelled.mean(axis=0)) / unlabelled.std(axis=0))
    two_domains.predict_target(source, own, unlabelled, unlabelled)
    np.testing.assert_allclose(fitted.pop()[0].mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_run_trains_on_training_concepts_and_is_asked_for_the_split(split, asked):
    STUDY.run("both", 5, 3, split=split)
    (call,) = asked
    pool, data = (studies.features_of("black", load_emoji(split=part, fold=3).ids) for part in ("train", split))
    np.testing.assert_array_equal(call["unlabelled"], pool)
    np.testing.assert_array_equal(call["test"], data)
    np.testing.assert_array_equal(call["source"][0], studies.features_of("openmoji", load_emoji(fold=3).ids))
    assert (np.bincount(call["own"][1]) == 5).all()
    assert {tuple(row) for row in call["own"][0]} <= {tuple(row) for row in pool}


# ---------------------------------------------------------------- arms


def test_runs_repeat_and_only_the_labels_of_the_target_change_what_needs_them(coarse_features):
    assert STUDY.run("both", 2, 4) == STUDY.run("both", 2, 4)
    assert STUDY.run("both", 2, 4)["score"] != STUDY.run("both", 40, 4)["score"]
    for arm in ("zero_shot", "zero_shot_scaled"):
        assert STUDY.run(arm, 2, 4) == STUDY.run(arm, 40, 4)


def test_scores_are_shares_of_the_test_drawings(coarse_features, monkeypatch):
    test = load_emoji("black", "test", fold=2)
    monkeypatch.setattr(studies, "predict_target", lambda *_, **__: np.full(len(test), 6))
    row = STUDY.run("both", 2, 12)
    assert row == {"score": 100 * (22 / 142), "called_symbol": 100, "penalty": studies.PENALTY, "fold": 2}
    assert test.label_names[6] == "symbol"


def test_shuffled_labels_are_as_many_of_each_and_not_the_true_ones(asked):
    for arm in ("both", "both_shuffled"):
        STUDY.run(arm, 2, 0)
    (_, y), (_, shuffled) = (call["source"] for call in asked)
    assert (np.bincount(y) == np.bincount(shuffled)).all() and (y == shuffled).mean() < 0.25
    assert (asked[0]["own"][1] == asked[1]["own"][1]).all()


def test_the_penalty_is_chosen_on_validation_drawings_and_fixed_elsewhere(asked):
    row = STUDY.run("own_best", 5, 1)
    sizes = [len(call["test"]) for call in asked]
    assert sizes == [86] * len(studies.PENALTIES) + [142] and row["penalty"] in studies.PENALTIES
    fixed = [key for key in STUDY.arms if key != "own_best"]
    assert all("penalties" not in STUDY.arms[key].settings for key in fixed)


def test_controls_differ_from_what_they_control_in_one_thing():
    settings = {key: arm.settings for key, arm in STUDY.arms.items()}
    assert settings["both_shuffled"] == settings["both"] | {"shuffled": True}
    assert settings["random_both"] == settings["both"] | {"weights": "random"}
    assert settings["random_own"] == settings["own_scaled"] | {"weights": "random"}
    assert settings["own_best"] == settings["own_scaled"] | {"penalties": studies.PENALTIES}
    assert STUDY.compared == ("both", "own_scaled") and STUDY.controls_of("own_scaled") == ("own_best",)
    assert STUDY.tuned == ()


def test_more_labels_than_there_are_is_refused(coarse_features):
    with pytest.raises(ValueError, match="Ask for at most 41"):
        STUDY.run("both", 42, 0)
