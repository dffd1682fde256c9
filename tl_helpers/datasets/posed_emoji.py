"""Which mammal is it? One emoji at a time, turned, shrunk and laid onto a coloured ground, in four styles.

The source asks which of eight groups a drawing belongs to, the target which of six mammals it is. Kinds of mammals are
kept apart: those of the target are not in the source, nor is anything else named after them.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task, rows_of
from tl_helpers.datasets.emoji import load_cut_outs, load_emoji
from tl_helpers.datasets.sprites import coloured_grounds, lay, pose_sprite

POSED_STYLES = ("noto", "twemoji", "openmoji", "fluent")
POSED_SIZE = 48
LONGEST, TILT = (26, 42), 20.0
# Kinds of mammals set aside for choosing learning rates and for measuring; the others are left to every source.
KINDS = {"validation": 12, "test": 18}
SERIES = ("labelled", "measured")
_DOMAIN = Domain("emoji/posed", (POSED_SIZE, POSED_SIZE, 3), "emoji in four styles, posed on coloured grounds")


def pose_drawings(drawings, random):
    """Lay cut-outs onto grounds of their own, each at a random size, angle and place, flipped half of the time.

    Parameters
    ----------
    drawings : numpy.ndarray
        ``uint8``, ``(n, h, w, 4)``, the last channel being how opaque a pixel is.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, 48, 48, 3)``; the longer side of what is drawn is 26…42 pixels, turned by at most 20°.
    """
    pictures = coloured_grounds(len(drawings), POSED_SIZE, random)
    for picture, drawing in zip(pictures, drawings, strict=True):
        longest, angle = int(random.integers(LONGEST[0], LONGEST[1] + 1)), random.uniform(-TILT, TILT)
        posed = pose_sprite(drawing, longest, angle=angle, flip=random.random() < 0.5)
        height, width = posed.shape[:2]
        corner = random.integers(0, (POSED_SIZE - width + 1, POSED_SIZE - height + 1))
        lay(posed, picture, tuple(int(place) for place in corner))
    return pictures


@cache
def _drawings():
    """Return names, groups and code points of the eight groups' emoji, and their cut-outs, style → (n, 64, 64, 4)."""
    styles = {style: load_cut_outs(style, "all") for style in POSED_STYLES}
    return styles["noto"], {style: data.x for style, data in styles.items()}


def _name(text):
    return text.split(",")[0]


def _words(name):
    return re.findall("[a-z]+", name.lower())


def _kind(name):
    """Return the word that says which animal it is: ``"bear"`` of "polar bear", ``"dog"`` of "dog face"."""
    return [word for word in _words(name) if word != "face"][-1]


@cache
def _mammals_by_pool():
    """Return pool → (code points, names), one of each kind, in an order of chance."""
    animals = load_emoji("noto", "all", labels="animal")
    rows = np.flatnonzero(animals.y == animals.label_names.index("mammal"))
    by_kind = {}
    for row in np.random.default_rng(0).permutation(rows):
        name = _name(animals.texts[row])
        by_kind.setdefault(_kind(name), (str(animals.ids[row]), name))
    drawn, pools, start = list(by_kind.values()), {}, 0
    for pool, count in KINDS.items():
        pools[pool] = dict(drawn[start : start + count])
        start += count
    return pools


def mammals_set_aside(pool):
    """Return the mammals that a pool draws from: one emoji of each kind, in no other pool and in no source for it.

    Parameters
    ----------
    pool : {"validation", "test"}

    Returns
    -------
    dict of str to str
        Code point → name.

    Raises
    ------
    ValueError
        If there is no such pool.
    """
    check_choice("pool", pool, KINDS)
    return dict(_mammals_by_pool()[pool])


def draw_mammals(seed, *, pool="test", count=6):
    """Draw the mammals that are to be told apart.

    Parameters
    ----------
    seed : int
    pool : {"validation", "test"}
    count : int
        2…12, and up to 18 of the pool ``"test"``.

    Returns
    -------
    dict of str to str
        Code point → name.

    Raises
    ------
    ValueError
        If there is no such pool, or it has fewer mammals.
    """
    mammals = list(mammals_set_aside(pool).items())
    if not 2 <= count <= len(mammals):
        raise ValueError(f"count must be 2…{len(mammals)} in the pool {pool!r}, not {count}.")
    return dict(mammals[row] for row in np.random.default_rng([seed, 0]).permutation(len(mammals))[:count])


def load_posed_groups(n, *, seed, pool="test"):
    """Compose the source: emoji of eight groups, without whatever is named after a mammal that a pool draws from.

    Every emoji occurs as often as the others, or once more; every picture has a style, a pose and a ground of its own.

    Parameters
    ----------
    n : int
        Pictures.
    seed : int
    pool : {"validation", "test"}
        Of the mammals that are left out.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, 48, 48, 3)``; ``ids`` the code points, ``texts`` the names, ``sources`` the styles.
    """
    emoji, _ = _drawings()
    left_out = {_kind(name) for name in mammals_set_aside(pool).values()}
    kept = [row for row, text in enumerate(emoji.texts) if not left_out & set(_words(_name(text)))]
    random = np.random.default_rng([seed, 1])
    rounds = [random.permutation(kept) for _ in range(-(-n // len(kept)))]
    rows = np.concatenate(rounds)[:n]
    return _compose(rows, emoji.y[rows], emoji.task, pool, random)


def load_posed_mammals(per_class, *, seed, pool="test", series="labelled"):
    """Compose the target: six mammals, as many pictures of each, in styles, poses and on grounds drawn anew for each.

    Parameters
    ----------
    per_class : int
        Pictures of each mammal.
    seed : int
        Draws the mammals (:func:`draw_mammals`) and their pictures.
    pool : {"validation", "test"}
    series : {"labelled", "measured"}
        Pictures of the same six mammals that have nothing else in common.

    Returns
    -------
    Dataset
        As of :func:`load_posed_groups`; ``label_names`` are the names of the six.

    Raises
    ------
    ValueError
        If there is no such pool or series.
    """
    check_choice("series", series, SERIES)
    mammals = draw_mammals(seed, pool=pool)
    y = np.tile(np.arange(len(mammals)), per_class)
    rows = rows_of(_drawings()[0].ids, list(mammals))[y]
    random = np.random.default_rng([seed, 2 + SERIES.index(series)])
    return _compose(rows, y, Task("emoji/six mammals", tuple(mammals.values())), pool, random)


def _compose(rows, y, task, pool, random):
    """Pose the emoji of some rows, each in a style drawn by chance."""
    emoji, by_style = _drawings()
    styles = random.integers(0, len(POSED_STYLES), len(rows))
    drawings = (by_style[POSED_STYLES[style]][row] for style, row in zip(styles, rows, strict=True))
    return Dataset(
        x=pose_drawings(list(drawings), random),
        y=y,
        domain=_DOMAIN,
        task=task,
        split=pool,
        ids=emoji.ids[rows],
        texts=np.array([_name(text) for text in emoji.texts[rows]]),
        sources=np.array(POSED_STYLES)[styles],
    )
