"""What do emoji teach about photographs, and ImageNet about emoji? Studies of notebooks 00 and 02."""

from __future__ import annotations

import keras
import numpy as np

from tl_helpers.datasets.dataset import draw_per_class, sample_budget
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.experiments.averages import macro_average
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.features import extract_features, probe
from tl_helpers.studies.frozen_features import FAMILIES_TO_TRANSFER, backbone_with, family_features, pixels
from tl_helpers.studies.street_runs import run_classifier
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.studies.two_domains import predict_target

SMALL, LARGE = 64, 128


def emoji_labels(labels, seed, *, rate=None, split="test", classifier="network", updates=200, size=SMALL):
    """Sort emoji into eight groups: from pixels, by a small network from scratch, or by a frozen ImageNet backbone.

    Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float, optional
        Learning rate of the small network.
    split : {"validation", "test"}
    classifier : {"pixels", "network", "features"}
        Logistic regression on 16×16 pixels; a small network from scratch; logistic regression on the backbone's
        features at 128 pixels.
    updates : int
        Of the small network.
    size : {64, 128}
        Side of the pictures in pixels. For the backbone smaller ones are enlarged, see :func:`enlarge`.

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    fold = seed % 10
    labelled = sample_budget(load_emoji("noto", "train", fold=fold, size=size), labels, seed=seed)
    test = load_emoji("noto", split, fold=fold, size=size)
    if classifier == "pixels":
        fitted = probe(pixels(labelled.x), labelled.y)
        return {"score": 100 * fitted.score(pixels(test.x), test.y)}
    if classifier == "features":
        backbone = backbone_with("imagenet", LARGE)
        fitted = probe(extract_features(backbone, enlarge(labelled.x, LARGE)), labelled.y)
        return {"score": 100 * fitted.score(extract_features(backbone, enlarge(test.x, LARGE)), test.y)}
    settings = {"rate": rate, "updates": updates, "seed": seed, "strategy": "scratch", "head": "average"}
    return run_classifier(None, labelled, test, **settings)[1]


def enlarge(x, size):
    """Bring pictures to a side in pixels: nothing is added to what they show.

    Parameters
    ----------
    x : numpy.ndarray
        ``uint8``, ``(n, side, side, 3)``.
    size : int
        At least `side`.

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, size, size, 3)``, interpolated bilinearly where `size` is larger.
    """
    if x.shape[1] == size:
        return x
    larger = keras.ops.image.resize(x.astype("float32"), (size, size), interpolation="bilinear")
    return np.rint(keras.ops.convert_to_numpy(larger)).astype("uint8")


def photos_from_emoji(labels, seed, *, rate=None, split="test", **way):
    """Cartoon → photograph: sort photographs into families with the help of emoji.

    Features of the frozen ImageNet backbone at 96 pixels, logistic regression on top.

    Parameters
    ----------
    labels : int
        Labelled photographs per class.
    seed : int
    rate : None
    split : {"validation", "test"}
    **way
        ``train_on``, ``per_domain`` and ``weighted`` of :func:`predict_photos`.

    Returns
    -------
    dict
        ``score``: mean recall over classes in %.
    """
    del rate
    fold = seed % 10
    emoji = family_features("emoji", FAMILIES_TO_TRANSFER, "all", fold)
    (x, y), (test, test_y) = (family_features("all", FAMILIES_TO_TRANSFER, part, fold) for part in ("train", split))
    own = draw_per_class(y, labels, seed=seed)
    right = predict_photos(emoji, (x[own], y[own]), x, test, **way) == test_y
    return {"score": 100 * macro_average(right, test_y)}


def predict_photos(emoji, own, unlabelled, test, *, train_on, per_domain=False, weighted=False):
    """Train on emoji, on photographs or on both, and predict photographs.

    Parameters
    ----------
    emoji, own : tuple of numpy.ndarray
        Features and labels of the emoji and of the labelled photographs.
    unlabelled : numpy.ndarray
        Features of photographs, labelled or not: what means and standard deviations of the domain are taken from.
    test : numpy.ndarray
        Features ``(n, d)`` to predict.
    train_on : sequence of {"emoji", "photos"}
    per_domain : bool
        Whether each domain is standardised by its own means and standard deviations, which needs no label, rather than
        everything by those of what is trained on.
    weighted : bool
        Whether each domain counts the same in total.

    Returns
    -------
    numpy.ndarray
        Class indices ``(n,)``.
    """
    train_on = [{"emoji": "source", "photos": "own"}[name] for name in train_on]
    return predict_target(emoji, own, unlabelled, test, train_on=train_on, per_domain=per_domain, balanced=weighted)


_BOTH = ("emoji", "photos")

STUDIES = (
    Study(
        "emoji_labels",
        emoji_labels,
        arms={
            "scratch": Arm("training from scratch", "baseline", tuned=True),
            "scratch_longer": Arm(
                "training from scratch with 4 times the updates",
                "baseline",
                {"updates": 800},
                tuned=True,
                check_of="scratch",
            ),
            "pixels": Arm("logistic regression on pixels", "baseline", {"classifier": "pixels"}),
            "features": Arm("features of an ImageNet model", "transfer", {"classifier": "features"}),
            "features_large": Arm(
                "the same features of pictures twice as large", "transfer", {"classifier": "features", "size": LARGE}
            ),
        },
        axis=Axis("labels", "labels per class", (5, 20, 40)),
        seeds=tuple(range(10)),
        rates=FEWER_RATES,
        chance=17.6,  # the share of the commonest group among the test emoji
        compared=("features", "scratch"),
    ),
    Study(
        "photos_from_emoji",
        photos_from_emoji,
        arms={
            "photos": Arm("photographs alone", "control", {"train_on": ("photos",)}),
            "photos_scaled": Arm(
                "photographs alone, standardised by all of them",
                "baseline",
                {"train_on": ("photos",), "per_domain": True},
            ),
            "emoji": Arm("emoji alone", "transfer", {"train_on": ("emoji",)}),
            "emoji_per_domain": Arm(
                "emoji alone, standardised per domain", "transfer", {"train_on": ("emoji",), "per_domain": True}
            ),
            "pooled": Arm("both pooled as they come", "transfer", {"train_on": _BOTH}),
            "per_domain_weighted": Arm(
                "both, standardised per domain, each with the same weight",
                "transfer",
                {"train_on": _BOTH, "per_domain": True, "weighted": True},
            ),
        },
        axis=Axis("labels", "labels per class", (2, 5, 10)),
        seeds=tuple(range(20)),
        metric="mean recall in %",
        chance=100 / 7,
        compared=("per_domain_weighted", "photos_scaled"),
    ),
)
