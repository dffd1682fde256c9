"""Which group, and which pixels? Emoji laid onto crops of photographs that are held back, with their masks."""

from __future__ import annotations

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.emoji import EMOJI_FOLDS, load_cut_outs
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.sprites import lay, pose_sprite

ON_PHOTO_GROUPS = ("animal", "food", "face", "object")
ON_PHOTO_SIDE = 48
_LONGEST, _TILT, _SPLITS = (28, 42), 20.0, ("train", "validation", "test")
_DOMAIN = Domain(
    "emoji/on photos",
    (ON_PHOTO_SIDE, ON_PHOTO_SIDE, 3),
    "Noto's emoji, posed on crops of photographs at half contrast",
)


def load_emoji_on_photos(per_class, split="train", *, seed=0, fold=0):
    """Load pictures of 48×48 pixels: an emoji of one of four groups on a piece of a photograph at half contrast.

    The longer side of what is drawn is 28…42 pixels; it is turned by up to 20 degrees, and every other one is flipped.

    Parameters
    ----------
    per_class : int
        Pictures of each group, at least 1. Those of a smaller number are the first of a larger one. No emoji comes
        twice before all of its group in the split have come once.
    split : {"train", "validation", "test"}
        Of the emoji's concepts, and of the photographs: those of two splits of a fold have none in common.
    seed : int
        Another seed draws other emoji of the split, poses, places and grounds.
    fold : int
        0…9: which of ten divisions into splits.

    Returns
    -------
    Dataset
        ``x`` of shape ``(4 per_class, 48, 48, 3)``, the groups in turn; ``masks`` say where the emoji is; ``ids`` are
        code points, ``sources`` the photographs.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    check_choice("split", split, _SPLITS)
    check_choice("fold", fold, range(EMOJI_FOLDS))
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, not {per_class}.")
    emoji, photos = load_cut_outs("noto", split, fold=fold), load_photos(split, fold=fold, source="gcompris")
    random = np.random.default_rng([seed, fold, _SPLITS.index(split)])
    by_group = [
        random.permutation(np.flatnonzero(emoji.y == emoji.label_names.index(name))) for name in ON_PHOTO_GROUPS
    ]
    rows = np.stack([np.resize(own, per_class) for own in by_group], axis=1).ravel()
    n, side = len(rows), ON_PHOTO_SIDE
    x, masks, grounds = np.empty((n, side, side, 3), "uint8"), np.zeros((n, side, side), bool), np.empty(n, "int64")
    for number, row in enumerate(rows):
        grounds[number] = random.integers(len(photos))
        top, left = random.integers(0, np.array(photos.x.shape[1:3]) - side + 1)
        x[number] = half_contrast(photos.x[grounds[number], top : top + side, left : left + side])
        longest, angle = int(random.integers(_LONGEST[0], _LONGEST[1] + 1)), random.uniform(-_TILT, _TILT)
        sprite = pose_sprite(emoji.x[row], longest, angle=angle, flip=random.random() < 0.5)
        height, width = sprite.shape[:2]
        left, top = random.integers(0, (side - width + 1, side - height + 1))
        masks[number, top : top + height, left : left + width] = sprite[..., 3] >= 128
        lay(sprite, x[number], (int(left), int(top)))
    return Dataset(
        x=x,
        y=np.tile(np.arange(len(ON_PHOTO_GROUPS)), per_class),
        domain=_DOMAIN,
        task=Task("emoji/four groups", ON_PHOTO_GROUPS),
        split=split,
        ids=emoji.ids[rows],
        masks=masks,
        sources=photos.ids[grounds],
    )


def half_contrast(picture):
    """Bring all values of a picture half way towards the middle grey, 128.

    Parameters
    ----------
    picture : numpy.ndarray
        ``uint8``.

    Returns
    -------
    numpy.ndarray
        ``uint8``, 64…191.
    """
    return picture // 2 + np.uint8(64)
