"""Pictures and texts of emoji: splits share nothing, both count alike, and every arm sees what it says."""

import numpy as np
import pytest

from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.studies import text as text_studies
from tl_helpers.studies.text import STUDIES, emoji_with_text, predict_by_network, predict_by_regression

(STUDY,) = STUDIES


@pytest.fixture(autouse=True)
def planted_pictures(monkeypatch):
    """Emoji whose features tell half of the groups for certain and nothing about the others; little training."""
    emoji = load_emoji("noto", "all", size=8)
    features = 0.1 * np.random.default_rng(0).normal(size=(len(emoji), 20)).astype("float32")
    features[np.arange(len(emoji)), emoji.y] += 3 * (emoji.y < 4)
    monkeypatch.setattr(text_studies, "_emoji_features", lambda: (emoji, features))
    monkeypatch.setattr(text_studies, "UPDATES", 60)
    return emoji


def test_samples_are_balanced_nested_and_apart_from_what_is_tested(planted_pictures):
    few, test = emoji_with_text(3, 12)
    more, _ = emoji_with_text(5, 12)
    assert np.bincount(few["y"]).tolist() == [3] * 8 and np.bincount(more["y"]).tolist() == [5] * 8
    assert {tuple(row) for row in few["image"]} <= {tuple(row) for row in more["image"]}
    assert not {tuple(row) for row in more["image"]} & {tuple(row) for row in test["image"]}
    assert len(test["y"]) == len(load_emoji("noto", "test", fold=2, size=8))
    other, _ = emoji_with_text(3, 2)  # the same fold, another sample
    assert not np.array_equal(other["image"], few["image"])


def test_neither_picture_nor_text_drowns_the_other():
    for keywords in (False, True):
        _, test = emoji_with_text(5, 0, keywords=keywords)
        spread = {part: test[part].var(axis=0).sum() for part in ("image", "text")}
        assert 0.5 < spread["text"] / spread["image"] < 2
        assert 640 < spread["image"] < 2560


def test_names_have_fewer_words_than_names_and_keywords_and_words_of_test_names_alone_are_unknown():
    names, _ = emoji_with_text(3, 0)
    keywords, _ = emoji_with_text(3, 0, keywords=True)
    assert names["text"].shape[1] < keywords["text"].shape[1]
    trained = load_emoji("noto", "train", size=8).texts
    known = {word for text in trained for word in text.lower().replace(",", " ").replace("-", " ").split()}
    assert keywords["text"].shape[1] <= 1.1 * len(known)


def test_joint_sees_both_and_late_fusion_averages_two(monkeypatch):
    seen = []

    def spy(x, y, test_x, **settings):
        seen.append(x.shape[1])
        # The first model is sure of class 0, the second, if there is one, half as sure of class 1.
        return np.tile(np.eye(8)[0] if len(seen) % 2 else 0.5 * np.eye(8)[1], (len(test_x), 1))

    monkeypatch.setattr(text_studies, "predict_by_regression", spy)
    monkeypatch.setattr(text_studies, "predict_by_network", spy)
    words, more_words = (emoji_with_text(3, 0, keywords=keywords)[0]["text"].shape[1] for keywords in (False, True))
    expected = {
        "image": [20],
        "text": [words],
        "keywords": [more_words],
        "joint": [20 + words],
        "joint_keywords": [20 + more_words],
        "late_fusion": [20, words],
        "late_fusion_keywords": [20, more_words],
        "image_network": [20],
        "joint_network": [20 + words],
        "late_fusion_network": [20, words],
    }
    first = 100 * (emoji_with_text(3, 0)[1]["y"] == 0).mean()
    for arm, inputs in expected.items():
        seen.clear()
        row = STUDY.run(arm, 3, 0, rate=1e-3)
        trained = {"learning_rate": 1e-3, "updates": 60} if "network" in arm else {}
        assert seen == inputs and row == {"score": pytest.approx(first), "fold": 0} | trained


@pytest.mark.parametrize("arm", ["image", "image_network"])
def test_both_kinds_of_model_learn_what_the_pictures_tell_and_no_more(arm):
    score = STUDY.run(arm, 5, 0, rate=1e-2)["score"]
    y = emoji_with_text(5, 0)[1]["y"]
    told = 100 * (y < 4).mean()
    assert told - 5 < score < told + 0.6 * (100 - told)


def test_few_coordinates_give_the_same_regression_as_all_columns():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    x, test_x, y = random.normal(size=(24, 60)), random.normal(size=(9, 60)), np.arange(24) % 3
    whole = LogisticRegression(C=0.05, max_iter=1000, tol=1e-8).fit(x, y).predict_proba(test_x)
    np.testing.assert_allclose(predict_by_regression(x, y, test_x), whole, atol=1e-3)


def test_probabilities_add_up_and_a_seed_repeats():
    train, test = emoji_with_text(3, 0)
    settings = {"rate": 1e-3, "seed": 1}
    once, again = (predict_by_network(train["image"], train["y"], test["image"], **settings) for _ in range(2))
    np.testing.assert_allclose(once.sum(axis=1), 1)
    np.testing.assert_array_equal(once, again)
