"""What does a scanner see in a bag? Cut-outs laid over each other as a simulated x-ray, one of them a tool."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.emoji import load_cut_outs
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.sprites import pose_sprite

BAG_SIZE = 96
BAG_SPLITS = ("train", "validation", "test")
OTHER_THINGS = 3
# How much of red, green and blue a unit of thickness takes away, by the false colour that the scanner shows.
FALSE_COLOURS = {"orange": (0.1, 0.4, 1.0), "green": (1.0, 0.35, 0.8), "blue": (1.1, 0.7, 0.25)}
# Of black line art nothing but outlines would be left.
_STYLES = ("noto", "twemoji", "openmoji", "fluent")
_SHORTEST, _LONGEST = 26, 48
_FAINTEST, _STRONGEST = 0.35, 0.7
_NO_THING, _BLUR, _NOISE = 240.0, 0.6, 4.0
_OPAQUE = 128
_BRIGHTNESS = np.array([0.299, 0.587, 0.114]) / 255


class _Things(NamedTuple):
    """Cut-outs ``(h, w, 4)``, and of each its family, its kind (the last word of its name) and its id."""

    cut_outs: list
    families: np.ndarray
    kinds: np.ndarray
    ids: np.ndarray


@cache
def _things():
    """Return Tux Paint's cut-outs and the emoji of the same families."""
    photos = load_photos("all", source="tuxpaint")
    # The photographs come on white; their masks say what is cut out.
    cut_outs = list(np.concatenate([photos.x, 255 * photos.masks[..., None].astype("uint8")], axis=-1))
    drawings = {style: load_cut_outs(style, "all", labels="family") for style in _STYLES}
    cut_outs += [drawing for data in drawings.values() for drawing in data.x]
    collections = [photos, *drawings.values()]
    families = np.array([data.label_names[label] for data in collections for label in data.y])
    names = [text.split(",")[0] for data in collections for text in data.texts]
    ids = [f"{data.domain.name}/{name}" for data in collections for name in data.ids]
    # Two tools in one drawing are no tool, and a kitchen knife, which is counted as household, is no other thing.
    kept = [
        row
        for row, (family, name) in enumerate(zip(families, names, strict=True))
        if family != "household" and not (family == "tool" and " and " in name)
    ]
    kinds = np.array([names[row].split()[-1] for row in kept])
    return _Things([cut_outs[row] for row in kept], families[kept], kinds, np.array([ids[row] for row in kept]))


def tool_kinds(seed):
    """Return which kinds of tool are known, and which are new: lie only in the bags that ask for new ones.

    Parameters
    ----------
    seed : int
        Another seed draws other kinds.

    Returns
    -------
    known, new : tuple of str
        Two thirds and one third of all kinds, such as ``"hammer"``.
    """
    things = _things()
    kinds = np.random.default_rng([seed, 0]).permutation(np.unique(things.kinds[things.families == "tool"]))
    first_known = len(kinds) // 3
    return tuple(sorted(kinds[first_known:].tolist())), tuple(sorted(kinds[:first_known].tolist()))


def other_kinds(split, seed):
    """Return the kinds of things that lie beside the tools.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        60 % / 20 % / 20 % of all kinds.
    seed : int
        Another seed draws other kinds.

    Returns
    -------
    tuple of str
        Such as ``"panda"``.
    """
    check_choice("split", split, BAG_SPLITS)
    things = _things()
    is_tool = things.families == "tool"
    kinds = np.setdiff1d(things.kinds[~is_tool], things.kinds[is_tool])
    kinds = np.random.default_rng([seed, 1]).permutation(kinds)
    parts = np.split(kinds, [len(kinds) * 3 // 5, len(kinds) * 4 // 5])
    return tuple(sorted(parts[BAG_SPLITS.index(split)].tolist()))


def thickness(cut_out):
    """Guess how much material stands behind each pixel of a cut-out: more in the middle, and where it is bright.

    Parameters
    ----------
    cut_out : numpy.ndarray
        ``uint8``, ``(h, w, 4)``, the last channel being how opaque a pixel is.

    Returns
    -------
    numpy.ndarray
        ``float64``, ``(h, w)``: the root of the distance to the cut-out's edge in pixels, times 0.3 (black) … 1
        (white); 0 where nothing is.
    """
    # Beyond the array there is nothing.
    depth = distance_transform_edt(np.pad(cut_out[..., 3] >= _OPAQUE, 1))[1:-1, 1:-1]
    return np.sqrt(depth) * (0.3 + 0.7 * cut_out[..., :3] @ _BRIGHTNESS)


def x_ray(absorption, random):
    """Turn what rays have to pass into what the scanner shows.

    Light falls off exponentially with what lies in its way (the law of Beer and Lambert), so that the absorptions of
    things behind each other add up, and what passes them multiplies.

    Parameters
    ----------
    absorption : numpy.ndarray
        ``(h, w, 3)``, at least 0: of red, green and blue.
    random : numpy.random.Generator
        Of the noise.

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(h, w, 3)``.
    """
    picture = gaussian_filter(_NO_THING * np.exp(-absorption), (_BLUR, _BLUR, 0))
    return np.clip(picture + _NOISE * random.standard_normal(picture.shape), 0, 255).round().astype("uint8")


def load_luggage(split="train", *, n, seed=0, tools="known"):
    """Compose x-rays of bags, 96 × 96 pixels: one tool to find among three other things, with its box and mask.

    All four are turned by any angle and may lie over each other; strength and false colour (orange, green or blue) are
    drawn anew for each, so that neither tells what it is. Tools and other things are Tux Paint's cut-outs and emoji in
    four styles.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Two splits share no kind of other things.
    n : int
        Bags to compose. A smaller number gives the first of a larger one.
    seed : int
        Another seed draws other kinds (:func:`tool_kinds`, :func:`other_kinds`) and other bags.
    tools : {"known", "new"}
        Known ones are the same cut-outs in all splits, newly posed. New ones are kinds of tools that no bag with known
        ones holds.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, 96, 96, 3)``; ``y`` the kind of tool; ``boxes`` and ``masks`` the tool's; ``ids`` its
        cut-out.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    check_choice("tools", tools, ("known", "new"))
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    things, is_new = _things(), tools == "new"
    others = np.flatnonzero(np.isin(things.kinds, other_kinds(split, seed)))
    wanted = np.flatnonzero((things.families == "tool") & np.isin(things.kinds, tool_kinds(seed)[is_new]))
    random = np.random.default_rng([seed, 2, BAG_SPLITS.index(split), is_new])
    x, boxes, rows = np.empty((n, BAG_SIZE, BAG_SIZE, 3), "uint8"), np.empty((n, 4), "float32"), np.empty(n, "int64")
    masks = np.zeros(x.shape[:3], bool)
    for number in range(n):
        rows[number] = random.choice(wanted)
        absorption = np.zeros((BAG_SIZE, BAG_SIZE, 3))
        for row in (rows[number], *random.choice(others, OTHER_THINGS)):
            posed, (left, top) = _pose(things.cut_outs[row], random)
            window = slice(top, top + posed.shape[0]), slice(left, left + posed.shape[1])
            colour = FALSE_COLOURS[random.choice(list(FALSE_COLOURS))]
            absorption[window] += random.uniform(_FAINTEST, _STRONGEST) * thickness(posed)[..., None] * colour
            if row == rows[number]:
                masks[number][window] = posed[..., 3] >= _OPAQUE
        x[number], boxes[number] = x_ray(absorption, random), _box_around(masks[number])
    names = tuple(np.unique(things.kinds[things.families == "tool"]).tolist())
    return Dataset(
        x=x,
        y=np.array([names.index(kind) for kind in things.kinds[rows]]),
        domain=Domain("luggage", x.shape[1:], "simulated x-rays of bags"),
        task=Task("luggage/find the tool", names),
        split=split,
        ids=things.ids[rows],
        boxes=boxes,
        masks=masks,
    )


def _pose(cut_out, random):
    """Turn a cut-out, bring it to some size and choose its left and top within a bag."""
    longest = int(random.integers(_SHORTEST, _LONGEST + 1))
    posed = pose_sprite(cut_out, longest, angle=random.uniform(0, 360), flip=bool(random.integers(2)))
    height, width = posed.shape[:2]
    return posed, (int(random.integers(BAG_SIZE - width + 1)), int(random.integers(BAG_SIZE - height + 1)))


def _box_around(mask):
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
