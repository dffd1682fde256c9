"""What do emoji teach about photographs, and ImageNet about emoji? Studies of notebooks 00 and 01."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from tl_helpers.datasets.dataset import keep_classes, sample_budget
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.photos import load_photos
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.small_network import small_cnn
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer


@lru_cache(maxsize=1)
def _backbone(size):
    return load_backbone(size=size)


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
        backbone = _backbone(size)
        classifier = probe(extract_features(backbone, labelled.x), labelled.y)
        return {"score": 100 * classifier.score(extract_features(backbone, test.x), test.y)}
    updates = 800 if arm == "scratch_longer" else 200
    model = small_cnn(labelled.x.shape[1:], len(labelled.label_names), seed=seed)
    fit_transfer(model, labelled, strategy="scratch", learning_rate=rate, updates=updates, seed=seed)
    return {"score": 100 * accuracy(model, test), "learning_rate": rate, "updates": updates}


# Families with at least ten photographs in every fold's training split.
FAMILIES_TO_TRANSFER = ("mammal", "bird", "sea animal", "plant", "building", "tool", "household")


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
    emoji, photos, rows = photo_features(seed % 10, split)
    x, y = photos
    random = np.random.default_rng(seed)
    train = random.permutation(rows["train"])
    own = np.concatenate([train[y[train] == label][:budget] for label in range(len(FAMILIES_TO_TRANSFER))])
    test = rows[split]
    predicted = predict_photos(arm, emoji, (x[own], y[own]), x[train], x[test])
    return {"score": 100 * balanced_accuracy_score(y[test], predicted)}


@lru_cache(maxsize=4)
def photo_features(fold, split, size=96):
    """Extract the frozen backbone's features of all emoji and photographs of seven families.

    Parameters
    ----------
    fold : int
    split : {"validation", "test"}
        Which photographs are held out.
    size : int
        Side in pixels.

    Returns
    -------
    emoji : tuple of numpy.ndarray
        Features ``(n, d)`` and family indices ``(n,)``.
    photos : tuple of numpy.ndarray
        The same.
    rows : dict of str to numpy.ndarray
        ``"train"`` and `split` → rows of `photos`.
    """
    (emoji_x, emoji_y, _), (photo_x, photo_y, photo_ids) = _all_family_features(size)
    rows = {
        part: np.flatnonzero(np.isin(photo_ids, load_photos(part, fold=fold, size=size).ids))
        for part in ("train", split)
    }
    return (emoji_x, emoji_y), (photo_x, photo_y), rows


@lru_cache(maxsize=2)
def _all_family_features(size):
    results = []
    for data in (load_emoji("noto", "all", labels="family", size=size), load_photos("all", size=size)):
        data = keep_classes(data, FAMILIES_TO_TRANSFER)
        results.append((extract_features(_backbone(size), data.x), data.y, data.ids))
    return results


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
    fitted_on = {"photos": own_x, "emoji": emoji_x, "pooled": np.concatenate([emoji_x, own_x])}.get(arm, unlabelled)
    to_photo = StandardScaler().fit(fitted_on)
    to_emoji = to_photo if arm in ("emoji", "pooled") else StandardScaler().fit(emoji_x)
    parts = {
        "photos": [(to_photo.transform(own_x), own_y)],
        "emoji": [(to_emoji.transform(emoji_x), emoji_y)],
        "emoji_per_domain": [(to_emoji.transform(emoji_x), emoji_y)],
    }.get(arm, [(to_emoji.transform(emoji_x), emoji_y), (to_photo.transform(own_x), own_y)])
    longest = max(len(y) for _, y in parts)
    weights = [np.full(len(y), longest / len(y) if arm == "per_domain_weighted" else 1.0) for _, y in parts]
    x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    classifier = LogisticRegression(C=0.05, max_iter=1000).fit(x, y, sample_weight=np.concatenate(weights))
    return classifier.predict(to_photo.transform(test))
