"""Where is the animal? Scenes of three emoji on a coloured ground, one of them an animal, with its box and mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.emoji import EMOJI_STYLES, load_cut_outs
from tl_helpers.datasets.sprites import coloured_grounds, lay, pose_sprite

SCENE_SIDE, CROP_SIDE = 96, 48
COLOUR_STYLES = tuple(style for style in EMOJI_STYLES if style != "black")
_LONGEST, _ANGLE, _OVERLAP = (20, 34), 20, 0.1
_SPLITS = ("train", "validation", "test")


class AnimalScenes(NamedTuple):
    """Scenes, with all that stands in them: the animal first, then the two distractors.

    Parameters
    ----------
    scenes : Dataset
        See :func:`load_animal_scenes`.
    boxes : numpy.ndarray
        ``float32``, ``(n, 3, 4)``: left, top, right, bottom in pixels; right and bottom are exclusive.
    y : numpy.ndarray
        ``int64``, ``(n, 3)``: the group of each, an index into the label names of `scenes`.
    ids : numpy.ndarray
        Strings, ``(n, 3)``: the code points of each.
    """

    scenes: Dataset
    boxes: np.ndarray
    y: np.ndarray
    ids: np.ndarray


def load_animal_scenes(split="train", *, n, seed=0, fold=0):
    """Load scenes of 96×96 pixels: one animal to find beside two things that are none, with its box and mask.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Of the emoji's concepts: scenes of two splits of a fold share no concept.
    n : int
        Scenes to compose, at least 1. Those of a smaller n are the first of a larger one.
    seed : int
        Another seed draws other concepts of the split, styles, poses, places and grounds.
    fold : int
        0…9: which of ten divisions of the concepts into splits.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, 96, 96, 3)``, with ``boxes`` and ``masks`` of the animal. ``y`` is the animal's group among
        the eight of :func:`tl_helpers.datasets.emoji.load_cut_outs`, the same in every scene; ``ids`` its code points.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    return compose_animal_scenes(split, n=n, seed=seed, fold=fold).scenes


def compose_animal_scenes(split="train", *, n, seed=0, fold=0):
    """Compose the scenes of :func:`load_animal_scenes`, and say what else stands in them.

    Concepts are drawn with replacement, each time in one of the four coloured styles. The longer side of what is drawn
    is 20…34 pixels; it is turned by up to 20 degrees, and every other one is flipped. Of two boxes no more than a tenth
    of the smaller one is shared; there the animal lies on top.

    Parameters
    ----------
    split, n, seed, fold
        See :func:`load_animal_scenes`.

    Returns
    -------
    AnimalScenes

    Raises
    ------
    ValueError
        See :func:`load_animal_scenes`.
    """
    check_choice("split", split, _SPLITS)
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    emoji = {style: load_cut_outs(style, split, fold=fold) for style in COLOUR_STYLES}
    concepts = emoji["noto"]
    is_animal = concepts.y == concepts.label_names.index("animal")
    random = np.random.default_rng([seed, fold, _SPLITS.index(split)])
    rows, boxes = np.empty((n, 3), "int64"), np.empty((n, 3, 4), "float32")
    x, masks = np.empty((n, SCENE_SIDE, SCENE_SIDE, 3), "uint8"), np.zeros((n, SCENE_SIDE, SCENE_SIDE), bool)
    for number in range(n):
        animal, others = np.flatnonzero(is_animal), np.flatnonzero(~is_animal)
        rows[number] = [random.choice(animal), *random.choice(others, 2, replace=False)]
        sprites = [_posed(emoji, row, random) for row in rows[number]]
        corners = _corners_apart([sprite.shape[1::-1] for sprite in sprites], random)
        x[number] = coloured_grounds(1, SCENE_SIDE, random)[0]
        for sprite, corner in list(zip(sprites, corners, strict=True))[::-1]:
            lay(sprite, x[number], corner)
        boxes[number] = [(*at, *(at + sprite.shape[1::-1])) for sprite, at in zip(sprites, corners, strict=True)]
        (left, top), (height, width) = corners[0], sprites[0].shape[:2]
        masks[number, top : top + height, left : left + width] = sprites[0][..., 3] >= 128
    domain = Domain("emoji/scene", x.shape[1:], "an animal and two other things, cut out, on a coloured ground")
    task = Task("emoji/find animal", concepts.label_names)
    y, ids = concepts.y[rows], concepts.ids[rows]
    scenes = Dataset(x, y[:, 0], domain, task, split, ids[:, 0], boxes=boxes[:, 0], masks=masks)
    return AnimalScenes(scenes, boxes, y, ids)


def _posed(emoji, row, random):
    """Draw a style and a pose of a concept."""
    style = COLOUR_STYLES[random.integers(len(COLOUR_STYLES))]
    longest = int(random.integers(_LONGEST[0], _LONGEST[1] + 1))
    angle, flip = random.uniform(-_ANGLE, _ANGLE), random.random() < 0.5
    return pose_sprite(emoji[style].x[row], longest, angle=angle, flip=flip)


def _corners_apart(sizes, random):
    """Draw the left top corners of boxes, sizes being (width, height), until they hardly overlap."""
    sizes = np.array(sizes)
    while True:
        corners = random.integers(0, SCENE_SIDE - sizes + 1)
        ends = corners + sizes
        pairs = [
            (np.clip(np.minimum(ends[i], ends[j]) - np.maximum(corners[i], corners[j]), 0, None).prod(), i, j)
            for i, j in ((0, 1), (0, 2), (1, 2))
        ]
        if all(shared <= _OVERLAP * min(sizes[i].prod(), sizes[j].prod()) for shared, i, j in pairs):
            return corners


def crop_things(composed):
    """Cut a picture of 48×48 pixels around each thing in each scene: the same domain, and another question.

    The thing is in the middle, except where the scene ends.

    Parameters
    ----------
    composed : AnimalScenes
        From :func:`compose_animal_scenes`.

    Returns
    -------
    Dataset
        ``x`` of shape ``(3 n, 48, 48, 3)``, the three of a scene one after the other; ``y`` the group of the thing;
        ``ids`` its code points.
    """
    middles = (composed.boxes[..., :2] + composed.boxes[..., 2:]) / 2
    corners = np.clip(np.round(middles - CROP_SIDE / 2).astype(int), 0, SCENE_SIDE - CROP_SIDE)
    scenes = composed.scenes
    x = np.stack(
        [
            scene[top : top + CROP_SIDE, left : left + CROP_SIDE]
            for scene, places in zip(scenes.x, corners, strict=True)
            for left, top in places
        ]
    )
    domain = Domain("emoji/scene crops", x.shape[1:], "crops around the things in scenes of emoji")
    task = Task("emoji/clean8", scenes.label_names)
    return Dataset(x, composed.y.ravel(), domain, task, scenes.split, composed.ids.ravel())
