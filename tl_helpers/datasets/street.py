"""Which small pictures do we have? Garments and digits, alone or in scenes, drawn in four views."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.street_pictures import VIEWS, make_pictures, make_scenes
from tl_helpers.files import read_sheet, read_table

GARMENTS = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FAMILIES = {
    "tops": ("T-shirt", "pullover", "coat", "shirt"),
    "trousers": ("trousers",),
    "dresses": ("dress",),
    "shoes": ("sandal", "sneaker", "ankle boot"),
    "bags": ("bag",),
}
STREET_LABELS = {
    "garment": GARMENTS,
    "family": tuple(FAMILIES),
    "shoe": FAMILIES["shoes"],
    "digit": tuple("0123456789"),
}
_STREET_SPLITS = ("source", "target", "validation", "test")
_VIEW_WORDS = {
    "plain": "as published, on black",
    "photo": "turned, scaled, shifted, on a cluttered background",
    "sketch": "line drawing of a street photo",
    "xray": "inverted, blurred, low in contrast and noisy",
}


@lru_cache(maxsize=2)  # decoding takes half a second
def _street_items(name):
    """Return all items of a kind (28×28), their class indices, numbers and pools."""
    table = read_table(f"street/{name}.csv")
    items = read_sheet(f"street/{name}.png", len(table), 28, "L")[..., 0]
    return items, table["label"].to_numpy("int64"), table["number"].to_numpy(), table["pool"].to_numpy(str)


def _street_pool(labels, split, n):
    """Return the first n items of a pool that belong to a label set: items, class indices, ids."""
    check_choice("labels", labels, STREET_LABELS)
    check_choice("split", split, _STREET_SPLITS)
    kind = "digits" if labels == "digit" else "garments"
    items, y, numbers, pools = _street_items(kind)
    if labels in ("family", "shoe"):
        groups = FAMILIES.values() if labels == "family" else [(name,) for name in FAMILIES["shoes"]]
        to_group = {GARMENTS.index(name): group for group, names in enumerate(groups) for name in names}
        y = np.array([to_group.get(label, -1) for label in range(len(GARMENTS))])[y]
    rows = np.flatnonzero((pools == split) & (y >= 0))
    if n is not None and not 1 <= n <= len(rows):
        raise ValueError(f"n must be 1…{len(rows)}, the pictures in split {split!r} with labels {labels!r}, not {n}.")
    rows = rows[:n]
    file = "test" if split == "test" and kind == "garments" else "train"
    return items[rows], y[rows], np.array([f"{kind}/{file}/{number}" for number in numbers[rows]])


def load_street(view="photo", split="source", *, n=None, seed=0, labels="garment", size=28, colour=False):
    """Load small pictures of garments or digits (made from Fashion-MNIST, Xiao et al. 2017, and MNIST).

    Parameters
    ----------
    view : {"photo", "sketch", "xray", "plain"}
        The domain; see :func:`tl_helpers.datasets.street_pictures.render`.
    split : {"source", "target", "validation", "test"}
        12,000 / 6,000 / 2,000 / 4,000 garments, never the same item in two splits; of digits 3,000 / 1,000 / 0 / 1,000.
    n : int, optional
        Only the first `n` pictures; the order is random, but fixed.
    seed : int
        Another seed poses the same items otherwise, on other backgrounds.
    labels : {"garment", "family", "shoe", "digit"}
        Ten garments, their five families, the three kinds of shoe (only shoes are loaded), or digits.
    size : {28, 56}
        Side in pixels.
    colour : bool
        Three channels with random tints instead of one.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, size, size, 1 or 3)``.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    check_choice("view", view, VIEWS)
    check_choice("size", size, (28, 56))
    items, y, ids = _street_pool(labels, split, n)
    x = make_pictures(items, view, size=size, colour=colour, seed=[seed, _STREET_SPLITS.index(split)])
    name = f"street/{view}" + (f"/{size}" if size != 28 else "") + ("/colour" if colour else "")
    domain = Domain(name, x.shape[1:], f"{'digits' if labels == 'digit' else 'garments'}, {_VIEW_WORDS[view]}")
    return Dataset(x, y, domain, Task(f"street/{labels}", STREET_LABELS[labels]), split, ids)


def load_street_scenes(view="photo", split="target", *, n, seed=0, target="sneaker", distractors="shoe"):
    """Load scenes of 56×56 pixels: one target to find among two other items, with its box and mask.

    Parameters
    ----------
    view : {"photo", "sketch", "xray"}
    split : {"source", "target", "validation", "test"}
        Scenes of two splits share no item.
    n : int
        Scenes to compose. Items are drawn from the split with replacement, each posed anew.
    seed : int
    target : str
        A garment, such as ``"sneaker"``, or a digit, such as ``"3"``; ``"any"`` for a target of any class, which
        then is the label; or, with distractors ``"garment"``, a family, such as ``"shoes"``, for a target of any of its
        kinds.
    distractors : {"shoe", "garment", "digit"}
        What the two others are: items of this label set, but not of the target's class or family.

    Returns
    -------
    Dataset
        With ``boxes`` and ``masks``. ``y`` is the target's class among `distractors`' label names, or, where the target
        is a family, its kind within the family.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    check_choice("view", view, VIEWS[1:])
    check_choice("distractors", distractors, ("shoe", "garment", "digit"))
    label_names = STREET_LABELS[distractors]
    # A family of one kind has either name; "trousers" is the garment, whose label is among all garments'.
    families = [name for name in FAMILIES if name not in label_names] if distractors == "garment" else []
    check_choice("target", target, ("any", *label_names, *families))
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    items, y, ids = _street_pool(distractors, split, None)
    random = np.random.default_rng([seed, _STREET_SPLITS.index(split)])
    kind, group, wanted = y, y, np.arange(len(y))
    if target in families:
        label_names = FAMILIES[target]
        kind = np.array([label_names.index(name) if name in label_names else -1 for name in GARMENTS])[y]
        group, wanted = kind >= 0, np.flatnonzero(kind >= 0)
    elif target != "any":
        wanted = np.flatnonzero(y == label_names.index(target))
    targets = random.choice(wanted, n)
    others = random.integers(0, len(y), (2, n))
    while (same := group[others] == group[targets]).any():
        others[same] = random.integers(0, len(y), same.sum())
    x, boxes, masks = make_scenes(
        items[targets], items[others.ravel()], view, seed=[seed, _STREET_SPLITS.index(split), 1]
    )
    domain = Domain(f"street/{view}/scene", x.shape[1:], f"three items in one scene, {_VIEW_WORDS[view]}")
    task = Task(f"street/find {target}", label_names)
    return Dataset(x, kind[targets], domain, task, split, ids[targets], boxes=boxes, masks=masks)


@lru_cache(maxsize=8)  # drawing takes a second
def street(view, split, labels="garment", size=28):
    """Load street pictures (:func:`tl_helpers.datasets.street.load_street`); a process draws each pool once.

    Parameters
    ----------
    view, split, labels, size
        See :func:`tl_helpers.datasets.street.load_street`.

    Returns
    -------
    Dataset
    """
    return load_street(view, split, labels=labels, size=size)
