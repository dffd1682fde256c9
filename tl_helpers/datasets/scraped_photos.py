"""Which photographs are our own, and which has somebody scraped as thumbnails? The same families on both sides."""

from __future__ import annotations

import dataclasses

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.photos import load_photos, photo_series
from tl_helpers.datasets.resizing import resize

# Families with photographs enough for ten labels of one's own, and for others to test on and to scrape.
SCRAPED_FAMILIES = ("mammal", "bird", "sea animal", "plant", "building", "tool", "household")
PHOTO_PARTS = ("own", "test", "validation", "scraped")
# Of each family's photographs, but ten at least; scraped are those that are left.
SHARES = {"own": 0.28, "test": 0.2, "validation": 0.13}
LEAST_OWN = 10
THUMBNAIL, SIZE = 24, 96


def load_scraped_photos(part, *, seed=0):
    """Load the photographs that are our own, and others that were scraped as thumbnails of 24 pixels.

    There are 367 photographs in seven families. Each seed divides them anew, family by family; photographs of one
    subject and of one series stay together.

    Parameters
    ----------
    part : {"own", "test", "validation", "scraped"}
        About 125 of our own, of which few have labels; 73 to test on and 48 to validate on, like our own; about 125 to
        scrape.
    seed : int

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, 96, 96, 3)``, and true labels for all; the scraped have been shrunk to 24 pixels and blown
        up again.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    check_choice("part", part, PHOTO_PARTS)
    data = load_photos("all", size=SIZE, families=SCRAPED_FAMILIES)
    chosen = data.subset(np.flatnonzero(divide(data.y, photo_series(data.ids), seed=seed) == part))
    return dataclasses.replace(chosen, x=shrink_and_blow_up(chosen.x)) if part == "scraped" else chosen


def divide(y, series, *, seed):
    """Divide photographs into parts, each family by the same shares, without tearing a series.

    Parameters
    ----------
    y : numpy.ndarray
        Families, ``(n,)``.
    series : numpy.ndarray of str
        ``(n,)``: what must stay together.
    seed : int

    Returns
    -------
    numpy.ndarray of str
        ``(n,)``, of :data:`PHOTO_PARTS`. A part has more than its share where a series reaches across its end.
    """
    random, parts = np.random.default_rng(seed), np.empty(len(y), dtype="<U10")
    for family in np.unique(y):
        rows = random.permutation(np.flatnonzero(y == family))
        sizes = [round(share * len(rows)) for share in SHARES.values()]
        ends = np.cumsum([max(LEAST_OWN, sizes[0]), *sizes[1:]])
        # A series goes where the first of it falls.
        _, first, which = np.unique(series[rows], return_index=True, return_inverse=True)
        parts[rows] = np.array(PHOTO_PARTS)[np.searchsorted(ends, first[which], side="right")]
    return parts


def shrink_and_blow_up(x, side=THUMBNAIL):
    """Shrink pictures to thumbnails and blow them up again: the detail is lost.

    Parameters
    ----------
    x : numpy.ndarray
        ``uint8``, ``(n, h, h, 3)``.
    side : int
        Of the thumbnails, in pixels.

    Returns
    -------
    numpy.ndarray
        Of the same type and shape.
    """
    return resize(resize(x, side), x.shape[1])
