"""Does the text beside a picture help? Emoji and their names: two modalities in one model, or a model for each.

The study stands at the end. A joint model has two advantages
over one that sees pictures only: it knows more, and it shares weights. Only the second is weight sharing, so the honest
baseline knows as much and shares nothing: two models, trained apart, whose probabilities are averaged.
"""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer

from tl_helpers.datasets.dataset import draw_per_class, rows_of
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.forward import make_forward
from tl_helpers.studies.frozen_features import backbone_with, kept
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.fit import fit_transfer

UPDATES = 200
SIZE = 128
HIDDEN = 64


def emoji_text(labels, seed, *, rate=None, split="test", classifiers, keywords=False, network=False):
    """Sort emoji into eight groups by picture, by text, or by both, in one classifier or in two.

    Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float, optional
        Learning rate of the networks.
    split : {"validation", "test"}
    classifiers : sequence of sequence of {"image", "text"}
        What each classifier gets; the probabilities of several are averaged (late fusion). ``"image"`` is features of
        the frozen ImageNet backbone, ``"text"`` the words of the name.
    keywords : bool
        Whether the text is the name and all keywords.
    network : bool
        Whether the classifiers have a hidden layer rather than being logistic regressions.

    Returns
    -------
    dict
        ``score``: accuracy in %; ``fold``: which division into splits.
    """
    train, test = emoji_with_text(labels, seed, split=split, keywords=keywords)
    probabilities = []
    for parts in classifiers:
        x, test_x = (np.concatenate([data[part] for part in parts], axis=1) for data in (train, test))
        if network:
            probabilities.append(predict_by_network(x, train["y"], test_x, rate=rate, seed=seed))
        else:
            probabilities.append(predict_by_regression(x, train["y"], test_x))
    right = np.mean(probabilities, axis=0).argmax(axis=1) == test["y"]
    row = {"score": 100 * float(right.mean()), "fold": seed % 10}
    return row | ({"learning_rate": rate, "updates": UPDATES} if network else {})


def emoji_with_text(budget, seed, *, split="test", keywords=False):
    """Draw labelled emoji and those to test on, as features of their pictures and of their texts.

    Parameters
    ----------
    budget : int
        Labels per class.
    seed : int
        Draws the sample; its last digit is the fold.
    split : {"validation", "test"}
    keywords : bool
        Whether the texts are names and keywords, or names alone.

    Returns
    -------
    train, test : dict of str to numpy.ndarray
        ``"image"`` ``(n, 1280)``, ``"text"`` ``(n, d)``, both ``float32``, and ``"y"`` ``(n,)``. Means, standard
        deviations and the list of words come from all emoji that may be trained on, which takes no label; both parts
        are scaled to the same total variance, so that neither drowns the other.
    """
    emoji, pictures = _emoji_features()
    rows = {part: rows_of(emoji.ids, load_emoji("noto", part, fold=seed % 10).ids) for part in ("train", split)}
    texts = [text if keywords else text.partition(", ")[0] for text in emoji.texts]
    words = TfidfVectorizer(sublinear_tf=True).fit([texts[row] for row in rows["train"]]).transform(texts).toarray()
    parts = {"image": _scaled(pictures, rows["train"], each=True), "text": _scaled(words, rows["train"], each=False)}
    chosen = rows["train"][draw_per_class(emoji.y[rows["train"]], budget, seed=seed)]
    return tuple({name: x[of] for name, x in parts.items()} | {"y": emoji.y[of]} for of in (chosen, rows[split]))


def _scaled(x, rows, *, each):
    """Centre columns and scale them, each on its own or all alike, to a mean variance of 1 per picture feature."""
    x = x - x[rows].mean(axis=0)
    if each:
        x = x / np.maximum(x[rows].std(axis=0), 1e-6)
    # Rare words would count as much as common ones if each column were scaled by itself.
    return (x * np.sqrt(1280 / x[rows].var(axis=0).sum())).astype("float32")


def predict_by_regression(x, y, test_x):
    """Fit a logistic regression and return its probabilities.

    Parameters
    ----------
    x, test_x : numpy.ndarray
        ``(n, d)`` and ``(m, d)``.
    y : numpy.ndarray
        Class indices ``(n,)``.

    Returns
    -------
    numpy.ndarray
        ``(m, n_classes)``, 0…1.
    """
    # With an L2 penalty the best weights are a sum of training rows: n coordinates do for d columns, and exactly.
    basis, coordinates = np.linalg.qr(x.T.astype("float64"))
    return probe(coordinates.T, y, standardise=False).predict_proba(test_x @ basis)


def predict_by_network(x, y, test_x, *, rate, seed):
    """Train a network with one hidden layer and return its probabilities.

    Parameters
    ----------
    x, y, test_x
        As for :func:`predict_by_regression`. Where pictures and words stand side by side, the hidden layer is the one
        representation into which both flow.
    rate : float
        Learning rate.
    seed : int

    Returns
    -------
    numpy.ndarray
        ``(m, n_classes)``, 0…1.
    """
    inputs = keras.Input(x.shape[1:])
    shared = layers.Dense(HIDDEN, activation="relu", name="shared")(inputs)
    model = keras.Model(inputs, layers.Dense(int(y.max()) + 1, name="head")(shared))
    fit_transfer(model, (x, y), strategy="scratch", learning_rate=rate, updates=UPDATES, seed=seed)
    return softmax(make_forward(model)(test_x, 256).astype("float64"), axis=1)


@cache  # half a minute
def _emoji_features():
    """Return all emoji of the eight groups and the frozen backbone's features of them."""
    emoji = load_emoji("noto", "all", size=SIZE)
    return emoji, extract_features(backbone_with("imagenet", SIZE), emoji.x, cache=kept())


_IMAGE, _TEXT, _JOINT, _FUSION = [("image",)], [("text",)], [("image", "text")], [("image",), ("text",)]


def _arm(label, role, classifiers, *, keywords=False, network=False):
    settings = {"classifiers": classifiers, "keywords": keywords, "network": network}
    return Arm(label, role, settings, tuned=network, sparse=network)


STUDIES = (
    Study(
        "emoji_text",
        emoji_text,
        arms={
            "image": _arm("the picture alone", "baseline", _IMAGE),
            "text": _arm("the name alone", "baseline", _TEXT),
            "joint": _arm("one classifier for picture and name", "transfer", _JOINT),
            "late_fusion": _arm("a classifier each, averaged", "baseline", _FUSION),
            "keywords": _arm("name and keywords alone", "baseline", _TEXT, keywords=True),
            "joint_keywords": _arm("one classifier for picture and keywords", "transfer", _JOINT, keywords=True),
            "late_fusion_keywords": _arm("a classifier each, with keywords", "baseline", _FUSION, keywords=True),
            "image_network": _arm("the picture alone, hidden layer", "baseline", _IMAGE, network=True),
            "joint_network": _arm("one network for picture and name", "transfer", _JOINT, network=True),
            "late_fusion_network": _arm("a network each, averaged", "baseline", _FUSION, network=True),
        },
        axis=Axis("labels", "labels per class", (3, 5, 10, 20, 40)),
        seeds=tuple(range(10)),
        rates=FEWER_RATES,
        chance=17.6,
        compared=("joint", "image"),
    ),
)
