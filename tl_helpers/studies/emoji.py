"""What do emoji teach about photographs, and ImageNet about emoji? Studies of notebooks 00 and 01."""

from __future__ import annotations

import numpy as np

from tl_helpers.datasets.dataset import draw_per_class, sample_budget
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.experiments.averages import macro_average
from tl_helpers.models.features import probe
from tl_helpers.studies.frozen_features import FAMILIES_TO_TRANSFER, backbone_with, family_features
from tl_helpers.studies.street_runs import run_classifier, run_probe
from tl_helpers.training.adaptation import standardise


def emoji_labels(arm, budget, seed, *, rate=None, split="test"):
    """Sort emoji into eight groups: a small network from scratch, or the frozen ImageNet backbone's features.

    Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    arm : {"scratch", "scratch_longer", "features"}
        ``"scratch_longer"`` gets four times the updates: would patience have been enough?
    budget : int
        Labels per class.
    seed : int
    rate : float, optional
        Learning rate of the small network.
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    fold = seed % 10
    size = 128 if arm == "features" else 64
    labelled = sample_budget(load_emoji("noto", "train", fold=fold, size=size), budget, seed=seed)
    test = load_emoji("noto", split, fold=fold, size=size)
    if arm == "features":
        return run_probe(backbone_with("imagenet", size), labelled, test)
    updates = 800 if arm == "scratch_longer" else 200
    settings = {"rate": rate, "updates": updates, "seed": seed, "strategy": "scratch", "head": "average"}
    return run_classifier(None, labelled, test, **settings)[1]


def photos_from_emoji(arm, budget, seed, *, rate=None, split="test"):
    """Cartoon → photograph: sort photographs into families with the help of emoji.

    Features of the frozen ImageNet backbone at 96 pixels, logistic regression on top. Standardising *per domain*
    gives each domain its own means and standard deviations; it needs no label.

    Parameters
    ----------
    arm : {"photos", "emoji", "emoji_per_domain", "pooled", "per_domain_weighted"}
        Photographs alone; emoji alone without and with standardising per domain; both pooled as they come; both,
        standardised per domain, each domain with the same weight in total.
    budget : int
        Labelled photographs per class.
    seed : int
    rate : None
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: mean recall over classes in %.
    """
    del rate
    fold = seed % 10
    emoji = family_features("emoji", FAMILIES_TO_TRANSFER, "all", fold)
    (x, y), (test, test_y) = (family_features("all", FAMILIES_TO_TRANSFER, part, fold) for part in ("train", split))
    own = draw_per_class(y, budget, seed=seed)
    right = predict_photos(arm, emoji, (x[own], y[own]), x, test) == test_y
    return {"score": 100 * macro_average(right, test_y)}


def predict_photos(arm, emoji, own, unlabelled, test):
    """Fit one arm of :func:`photos_from_emoji` and predict.

    Parameters
    ----------
    arm : str
    emoji, own : tuple of numpy.ndarray
        Features and labels of the emoji and of the labelled photographs.
    unlabelled : numpy.ndarray
        Features of photographs, labelled or not: what means and standard deviations of the domain are taken from.
    test : numpy.ndarray
        Features ``(n, d)`` to predict.

    Returns
    -------
    numpy.ndarray
        Class indices ``(n,)``.
    """
    (emoji_x, emoji_y), (own_x, own_y) = emoji, own
    own_domain = {"photos": own_x, "emoji": emoji_x, "pooled": np.concatenate([emoji_x, own_x])}.get(arm, unlabelled)
    emoji_domain = own_domain if arm in ("emoji", "pooled") else emoji_x
    from_emoji = standardise(emoji_x, like=emoji_domain), emoji_y
    from_photos = standardise(own_x, like=own_domain), own_y
    alone = {"photos": [from_photos], "emoji": [from_emoji], "emoji_per_domain": [from_emoji]}
    parts = alone.get(arm, [from_emoji, from_photos])
    longest = max(len(y) for _, y in parts)
    weights = [np.full(len(y), longest / len(y) if arm == "per_domain_weighted" else 1.0) for _, y in parts]
    x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    classifier = probe(x, y, standardise=False, sample_weight=np.concatenate(weights))
    return classifier.predict(standardise(test, like=own_domain))
