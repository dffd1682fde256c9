"""Which photographs do we have? 455 small ones in thirteen families that the emoji have, too, and the large ones."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.resizing import check_size, on_white, resize
from tl_helpers.files import read_sheet, read_table

PHOTO_FAMILIES = (
    *("mammal", "bird", "sea animal", "bug", "fruit", "vegetable", "plant"),
    *("building", "vehicle", "tool", "household", "music", "sport"),
)
PHOTO_SCENES = ("under water", "grassland", "woodland", "sand and rock", "built", "studio")
PHOTO_LABELS = {"family": PHOTO_FAMILIES, "scene": PHOTO_SCENES}
PHOTO_SOURCES = {
    "gcompris": "full photographs with their surroundings (GCompris)",
    "tuxpaint": "cut-outs on white (Tux Paint's stamps)",
}
PHOTO_FOLDS = 10
_PHOTO_SPLITS = ("train", "validation", "test", "all")


def _photo_table():
    """Return the tables of both sources, one below the other, with a column `source`."""
    tables = [read_table(f"photos/{source}/photos.csv").assign(source=source) for source in PHOTO_SOURCES]
    return pandas.concat(tables, ignore_index=True).fillna("")


@lru_cache(maxsize=2)  # decoding takes a second
def _photo_pictures(name, size):
    """Return the pictures of both sources with alpha, (n, size, size, 4), in the order of the table."""
    table = _photo_table()
    wanted = table["large"] == "yes" if name == "large" else table["large"].notna()
    counts = table[wanted].groupby("source").size()
    sheets = [read_sheet(f"photos/{source}/{name}.webp", counts[source], size, "RGBA") for source in PHOTO_SOURCES]
    pictures = np.concatenate(sheets)
    pictures.flags.writeable = False
    return pictures


def photo_families(minimum=5, *, source="each"):
    """Return the families of which there are enough photographs, for the `families` of :func:`load_photos`.

    Parameters
    ----------
    minimum : int
        Photographs a family must have at least, all splits together.
    source : {"each", "all", "gcompris", "tuxpaint"}
        Where to count: in each of the two sources, in both together, or in one.

    Returns
    -------
    tuple of str
        In the order of ``PHOTO_FAMILIES``. The default gives five families that both sources have.

    Raises
    ------
    ValueError
        If `source` is none of those above.
    """
    check_choice("source", source, ("each", "all", *PHOTO_SOURCES))
    counts = _photo_table().groupby(["family", "source"]).size().unstack(fill_value=0)
    number = {"each": counts.min(axis=1), "all": counts.sum(axis=1)}.get(source)
    if number is None:
        number = counts[source]
    return tuple(family for family in PHOTO_FAMILIES if number[family] >= minimum)


def load_photos(split="train", *, fold=0, labels="family", size=96, source="all", families=None):
    """Load the photographs: full ones from GCompris, cut-outs from Tux Paint.

    The two sources are two domains: surroundings against white, and other families. All buildings come from GCompris,
    all fruit, vegetables, plants, vehicles and instruments from Tux Paint, so report results by source as well.
    Photographs of one subject and of one series are never in two splits.

    Parameters
    ----------
    split : {"train", "validation", "test", "all"}
        About 60 % / 20 % / 20 % of each family of each source; ``"all"`` is the three together, whatever the fold.
    fold : int
        0…9: which of ten divisions into splits. Each photograph is in the test split of two.
    labels : {"family", "scene"}
        The task: what is shown (13 families, which the emoji have too), or what surrounds it (six scenes; only the 150
        photographs from GCompris whose surroundings are plain to see).
    size : int
        Side in pixels, 8…512. Sizes other than 96 are resampled (Lanczos), so larger ones show no more.
    source : {"all", "gcompris", "tuxpaint"}
    families : sequence of str, optional
        Only these families, in this order; see :func:`photo_families`. By default all 13.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, size, size, 3)``, cut-outs on white; ``masks`` for ``source="tuxpaint"``, where every
        photograph has one, otherwise None; ``sources`` ``"gcompris"`` or ``"tuxpaint"``; ``texts`` the name, such as
        ``"red panda"``; ``ids`` source and file, such as ``"tuxpaint/animals/birds/crow.png"``.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    check_choice("split", split, _PHOTO_SPLITS)
    check_choice("fold", fold, range(PHOTO_FOLDS))
    check_choice("labels", labels, PHOTO_LABELS)
    check_choice("source", source, ("all", *PHOTO_SOURCES))
    check_size(size)
    if labels == "scene" and source == "tuxpaint":
        raise ValueError(
            "labels 'scene' need source 'gcompris' or 'all': the cut-outs of 'tuxpaint' have no surroundings."
        )
    label_names = PHOTO_LABELS[labels]
    if families is not None:
        if labels != "family":
            raise ValueError(f"families go with labels 'family', not with {labels!r}.")
        for family in families:
            check_choice("families", family, PHOTO_FAMILIES)
        label_names = tuple(dict.fromkeys(families))
    table = _photo_table()
    chosen = table[labels].isin(label_names)
    if split != "all":
        chosen &= table[f"fold{fold}"] == split
    if source != "all":
        chosen &= table["source"] == source
    name, words = ("photo", "photographs") if source == "all" else (f"photo/{source}", PHOTO_SOURCES[source])
    pictures = _photo_pictures("photos", 96)[np.flatnonzero(chosen)]
    return _photo_dataset(
        pictures, table[chosen], size, Domain(name, (size, size, 3), words), labels, label_names, split
    )


def photo_series(ids):
    """Say which photographs show the same subject, or come from one photographer's series.

    Parameters
    ----------
    ids : sequence of str
        Of photographs, see :func:`load_photos`.

    Returns
    -------
    numpy.ndarray of str
        ``(len(ids),)``: the name of the series, or the id of a photograph that belongs to none.
    """
    table = _photo_table()
    table.index = table["source"] + "/" + table["file"]
    series = (table["source"] + "/" + table["series"]).where(table["series"] != "", table.index)
    return series.loc[list(ids)].to_numpy(str)


def load_large_photos():
    """Load the dozen photographs that are also there at 224 pixels: to show, and for an ImageNet classifier to name.

    Returns
    -------
    Dataset
        ``x`` of shape ``(12, 224, 224, 3)``, cut-outs on white; family, ``texts``, ``ids`` and ``sources`` as those of
        :func:`load_photos`, without masks.
    """
    table = _photo_table()
    table = table[table["large"] == "yes"]
    domain = Domain("photo/large", (224, 224, 3), "photographs, larger")
    return _photo_dataset(_photo_pictures("large", 224), table, 224, domain, "family", PHOTO_FAMILIES, "all")


def _photo_dataset(pictures, table, size, domain, labels, label_names, split):
    cut_out = domain.name == "photo/tuxpaint"
    return Dataset(
        x=resize(on_white(pictures), size),
        y=table[labels].map(label_names.index).to_numpy("int64"),
        domain=domain,
        task=Task(f"photo/{labels}", label_names),
        split=split,
        ids=(table["source"] + "/" + table["file"]).to_numpy(str),
        masks=resize(pictures[..., 3], size) >= 128 if cut_out else None,
        texts=table["name"].to_numpy(str),
        sources=table["source"].to_numpy(str),
    )
