"""What does the frozen ImageNet backbone see in our pictures? Features that studies share, each computed once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras

from tl_helpers.datasets.dataset import keep_classes, rows_of
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.photos import load_photos
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.feature_maps import stage_features
from tl_helpers.models.features import extract_features
from tl_helpers.models.forward import make_forward

SIZE = 96
STAGES = ("stem", *(f"block{number}" for number in range(1, 8)), "conv_head")
# Families with at least ten photographs in every fold's training split.
FAMILIES_TO_TRANSFER = ("mammal", "bird", "sea animal", "plant", "building", "tool", "household")


@cache
def backbone_with(weights, size=SIZE):
    """Load the shipped backbone, or the same architecture with random weights.

    Parameters
    ----------
    weights : {"imagenet", "random"}
        The random ones come from one seed; BatchNorm then gets the means and variances of 200 emoji, so that no layer
        is fed numbers far too large or too small.
    size : int
        Side of the pictures in pixels.

    Returns
    -------
    Backbone
    """
    if weights == "imagenet":
        return load_backbone(size=size)
    keras.utils.set_random_seed(0)
    backbone = load_backbone(size=size, weights=None)
    norms = [layer for layer in backbone.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    pictures = load_emoji("noto", "all", size=size).x[::4][:200]
    make_forward(backbone.model, training=True)(pictures, batch_size=len(pictures))
    return backbone


@cache  # minutes
def features_of(name, weights):
    """Return the features of a set of pictures at every stage, computed once.

    Parameters
    ----------
    name : str
        ``"photos"``, or one of :data:`tl_helpers.datasets.emoji.EMOJI_STYLES`.
    weights : {"imagenet", "random", "pixels"}
        ``"pixels"``: the pictures themselves at 16×16 pixels, whatever the stage.

    Returns
    -------
    dict of str to numpy.ndarray
        Stage → ``(n, d)``, in the order of :func:`pictures_of`.
    """
    x = pictures_of(name).x
    if weights == "pixels":
        small = pixels(x)
        return {stage: small for stage in STAGES}
    return stage_features(backbone_with(weights), x, cache=kept())


def kept():
    """Return where to keep features from one study to the next.

    Returns
    -------
    pathlib.Path or None
        A folder beside the studies' runs, where there are any: a notebook keeps no files.
    """
    runs = Path(".tl_cache/studies")
    return runs.parent / "features" if runs.is_dir() else None


@cache
def pictures_of(name):
    """Return all photographs, or all emoji of the eight clean groups in one style, at 96 pixels.

    Parameters
    ----------
    name : str
        ``"photos"``, or one of :data:`tl_helpers.datasets.emoji.EMOJI_STYLES`.

    Returns
    -------
    Dataset
    """
    return load_photos("all", size=SIZE) if name == "photos" else load_emoji(name, "all", size=SIZE)


def pixels(x, side=16):
    """Average pictures down to a few pixels and flatten them: the features of somebody without a network.

    Parameters
    ----------
    x : numpy.ndarray
        ``(n, h, w, c)``, h and w multiples of `side`.
    side : int

    Returns
    -------
    numpy.ndarray
        ``float64``, ``(n, side × side × c)``.
    """
    n, h, w, c = x.shape
    return x.reshape(n, side, h // side, side, w // side, c).mean(axis=(2, 4)).reshape(n, -1)


def load_family(collection, families, split, *, fold=0):
    """Load emoji or photographs of some families at 96 pixels.

    Parameters
    ----------
    collection : {"emoji", "all", "gcompris", "tuxpaint"}
        Noto emoji, or a source of photographs.
    families : sequence of str
    split : {"train", "validation", "test", "all"}
    fold : int

    Returns
    -------
    Dataset
    """
    if collection == "emoji":
        return keep_classes(load_emoji("noto", split, fold=fold, labels="family", size=SIZE), families)
    return load_photos(split, fold=fold, size=SIZE, source=collection, families=families)


def family_features(collection, families, split, fold):
    """Return the frozen backbone's features of what :func:`load_family` loads.

    Parameters
    ----------
    collection, families, split, fold
        See :func:`load_family`.

    Returns
    -------
    features : numpy.ndarray
        ``(n, 1280)``.
    y : numpy.ndarray
        Indices into `families`, ``(n,)``.
    """
    data = load_family(collection, families, split, fold=fold)
    ids, features = _all_family_features("emoji" if collection == "emoji" else "photos")
    return features[rows_of(ids, data.ids)], data.y


@cache  # half a minute
def _all_family_features(world):
    data = load_emoji("noto", "all", labels="family", size=SIZE) if world == "emoji" else load_photos("all", size=SIZE)
    return data.ids, extract_features(backbone_with("imagenet"), data.x)
