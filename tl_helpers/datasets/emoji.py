"""Which drawings do we have? The same concepts in five styles of emoji, with groups, subgroups and families."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task, rows_of
from tl_helpers.datasets.photos import PHOTO_FAMILIES
from tl_helpers.datasets.resizing import check_size, on_white, resize
from tl_helpers.files import read_sheet, read_table

EMOJI_STYLES = {
    "noto": "Google's Noto, shaded flat drawings",
    "twemoji": "Twemoji, flat drawings that fill the square",
    "openmoji": "OpenMoji, flat drawings with a black outline",
    "black": "OpenMoji's black line art",
    "fluent": "Microsoft's Fluent, three-dimensional renderings",
}
EMOJI_LABELS = ("clean8", "group", "subgroup", "family", "animal", "food", "face")
EMOJI_FOLDS = 10
_EMOJI_SIZE = 64
_EMOJI_SPLITS = ("train", "validation", "test", "all")
_SMALLEST_SUBGROUP = 12


def _emoji_table():
    return read_table("emoji/emoji.csv")


@cache  # decoding takes half a second
def _emoji_drawings(style):
    """Return all drawings of a style, (n, 64, 64, 4), in the order of the table."""
    drawings = read_sheet(f"emoji/{style}.webp", len(_emoji_table()), _EMOJI_SIZE, "RGBA")
    drawings.flags.writeable = False
    return drawings


def load_emoji(style="noto", split="train", *, fold=0, labels="clean8", size=64):
    """Load emoji on white: the same 1,409 concepts in five styles, which are five domains.

    Within a fold no concept is in two splits, and a concept is in the same split in every style: what is learnt from
    one style is tested on other concepts in another. The same arguments give the same concepts in the same order in
    every style.

    Parameters
    ----------
    style : {"noto", "twemoji", "openmoji", "black", "fluent"}
        The domain.
    split : {"train", "validation", "test", "all"}
        About 73 % / 10 % / 17 % of the concepts; ``"all"`` is the three together, whatever the fold.
    fold : int
        0…9: which of ten divisions into splits.
    labels : {"clean8", "group", "subgroup", "family", "animal", "food", "face"}
        The task. ``"clean8"``: eight groups that look alike (859 concepts). ``"group"`` and ``"subgroup"``: Unicode's
        own (all concepts; of the subgroups those of at least twelve concepts). ``"family"``: the 13 families of the
        photographs. ``"animal"``, ``"food"``, ``"face"``: fine labels within one of the eight groups. Concepts without
        a label are left out.
    size : int
        Side in pixels, 8…512. Sizes other than 64 are resampled (Lanczos).

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, size, size, 3)``; ``masks`` where the drawing covers at least half a pixel; ``texts`` the
        name, then keywords, separated by ``", "``; ``ids`` the code points, such as ``"1F9D1-200D-1F373"``.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    check_choice("style", style, EMOJI_STYLES)
    check_choice("split", split, _EMOJI_SPLITS)
    check_choice("fold", fold, range(EMOJI_FOLDS))
    check_choice("labels", labels, EMOJI_LABELS)
    check_size(size)
    table = _emoji_table()
    label = table[labels].where(table[labels] != "")
    if labels == "subgroup":
        label = label.where(label.map(label.value_counts()) >= _SMALLEST_SUBGROUP)
    label_names = PHOTO_FAMILIES if labels == "family" else tuple(sorted(label.dropna().unique()))
    chosen = label.notna() if split == "all" else label.notna() & (table[f"fold{fold}"] == split)
    rows, table = np.flatnonzero(chosen), table[chosen]
    drawings = _emoji_drawings(style)[rows]
    domain = Domain(f"emoji/{style}", (size, size, 3), f"emoji on white, {EMOJI_STYLES[style]}")
    return Dataset(
        x=resize(on_white(drawings), size),
        y=label[chosen].map(label_names.index).to_numpy("int64"),
        domain=domain,
        task=Task(f"emoji/{labels}", label_names),
        split=split,
        ids=table["codepoint"].to_numpy(str),
        masks=resize(drawings[..., 3], size) >= 128,
        texts=(table["name"] + ", " + table["keywords"]).to_numpy(str),
    )


def load_cut_outs(style="noto", split="train", *, fold=0, labels="clean8", size=64):
    """Load emoji without a ground: to be laid onto others (:mod:`tl_helpers.datasets.sprites`).

    Parameters
    ----------
    style, split, fold, labels, size
        As for :func:`load_emoji`.

    Returns
    -------
    Dataset
        That of :func:`load_emoji`, but ``x`` of shape ``(n, size, size, 4)``: the last channel says how opaque a pixel
        is.
    """
    data = load_emoji(style, split, fold=fold, labels=labels, size=size)
    rows = rows_of(_emoji_table()["codepoint"].to_numpy(str), data.ids)
    domain = Domain(f"emoji/{style}/cut out", (size, size, 4), f"emoji cut out, {EMOJI_STYLES[style]}")
    return dataclasses.replace(data, x=resize(_emoji_drawings(style)[rows], size), domain=domain)
