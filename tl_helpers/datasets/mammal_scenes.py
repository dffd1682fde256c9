"""Which mammal stands in the scene, and where? Three emoji on a coloured ground, one of them one of six mammals."""

from __future__ import annotations

from functools import cache

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task, rows_of
from tl_helpers.datasets.emoji import EMOJI_FOLDS, load_cut_outs
from tl_helpers.datasets.posed_emoji import POSED_STYLES, SERIES, draw_mammals
from tl_helpers.datasets.sprites import coloured_grounds, lay, pose_sprite

MAMMAL_SCENE_SIDE = 64
_LONGEST, _TILT = (18, 28), 20.0
_DOMAIN = Domain(
    "emoji/mammal scene",
    (MAMMAL_SCENE_SIDE, MAMMAL_SCENE_SIDE, 3),
    "a mammal and two things that are no animals, cut out, on a coloured ground",
)


def load_mammal_scenes(n, *, seed, pool="test", series="labelled"):
    """Load scenes of 64×64 pixels: one of six mammals beside two things that are no animals, with its box and mask.

    Each thing is drawn in one of four styles. The longer side of what is drawn is 18…28 pixels; it is turned by up to
    20 degrees, and every other one is flipped. No two boxes overlap.

    Parameters
    ----------
    n : int
        Scenes to compose, at least 1. Those of a smaller n are the first of a larger one.
    seed : int
        Draws the six mammals (:func:`tl_helpers.datasets.posed_emoji.draw_mammals`) and everything else.
    pool : {"validation", "test"}
        Whose mammals: none is in both.
    series : {"labelled", "measured"}
        Scenes of the same six mammals that have nothing else in common: styles, poses, places and grounds are drawn
        anew, and the things beside them are other concepts: of the emoji's training split, or of that named `pool`.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, 64, 64, 3)``, with ``boxes`` and ``masks`` of the mammal. ``label_names`` are the names of
        the six, which come in turn: of each as many, or one more. ``ids`` are code points.

    Raises
    ------
    ValueError
        If `n` is below 1, or there is no such pool or series.
    """
    return compose_mammal_scenes(n, seed=seed, pool=pool, series=series)[0]


def compose_mammal_scenes(n, *, seed, pool="test", series="labelled"):
    """Compose the scenes of :func:`load_mammal_scenes`, and say where everything stands in them.

    Parameters
    ----------
    n, seed, pool, series
        See :func:`load_mammal_scenes`.

    Returns
    -------
    scenes : Dataset
    boxes : numpy.ndarray
        ``float32``, ``(n, 3, 4)``: of the mammal, then of the two other things.
    ids : numpy.ndarray
        Strings, ``(n, 3)``: their code points.

    Raises
    ------
    ValueError
        See :func:`load_mammal_scenes`.
    """
    check_choice("series", series, SERIES)
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    mammals = draw_mammals(seed, pool=pool)
    concepts, drawings = _cut_outs()
    others = _things_beside("train" if series == "labelled" else pool, seed % EMOJI_FOLDS)
    random = np.random.default_rng([seed, SERIES.index(series)])
    side, y = MAMMAL_SCENE_SIDE, np.arange(n) % len(mammals)
    rows = np.empty((n, 3), "int64")
    rows[:, 0] = rows_of(concepts.ids, list(mammals))[y]
    x, masks, boxes = np.empty((n, side, side, 3), "uint8"), np.zeros((n, side, side), bool), np.empty((n, 3, 4))
    # Scene by scene, so that the first of many are those of few.
    for number in range(n):
        rows[number, 1:] = random.choice(others, 2, replace=False)
        sprites = [_posed(drawings[random.integers(len(POSED_STYLES))][row], random) for row in rows[number]]
        corners = place_apart([sprite.shape[1::-1] for sprite in sprites], side, random)
        x[number] = coloured_grounds(1, side, random)[0]
        for sprite, corner in zip(sprites, corners, strict=True):
            lay(sprite, x[number], corner)
        boxes[number] = [(*at, *(at + sprite.shape[1::-1])) for sprite, at in zip(sprites, corners, strict=True)]
        (left, top), (height, width) = corners[0], sprites[0].shape[:2]
        masks[number, top : top + height, left : left + width] = sprites[0][..., 3] >= 128
    boxes, ids = boxes.astype("float32"), concepts.ids[rows]
    task = Task("emoji/six mammals", tuple(mammals.values()))
    return Dataset(x, y, _DOMAIN, task, pool, ids[:, 0], boxes=boxes[:, 0], masks=masks), boxes, ids


@cache
def _cut_outs():
    """Return the concepts, and their drawings in each style, ``(n, 64, 64, 4)``."""
    styles = [load_cut_outs(style, "all") for style in POSED_STYLES]
    return styles[0], [data.x for data in styles]


@cache
def _things_beside(split, fold):
    """Return the rows of all concepts of a split that are no animals."""
    concepts = load_cut_outs("noto", split, fold=fold)
    return rows_of(_cut_outs()[0].ids, concepts.ids[concepts.y != concepts.label_names.index("animal")])


def _posed(drawing, random):
    longest = int(random.integers(_LONGEST[0], _LONGEST[1] + 1))
    return pose_sprite(drawing, longest, angle=random.uniform(-_TILT, _TILT), flip=random.random() < 0.5)


def place_apart(sizes, side, random):
    """Draw places for things in a square until no two of their boxes overlap.

    Parameters
    ----------
    sizes : sequence of tuple of int
        Width and height of each; small enough for all of them to find room.
    side : int
        Of the square, in pixels.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``int64``, ``(n, 2)``: left and top of each.
    """
    sizes = np.array(sizes)
    one, other = np.triu_indices(len(sizes), 1)
    while True:
        corners = random.integers(0, side - sizes + 1)
        ends = corners + sizes
        shared = np.minimum(ends[one], ends[other]) - np.maximum(corners[one], corners[other])
        if (shared <= 0).any(axis=1).all():
            return corners
