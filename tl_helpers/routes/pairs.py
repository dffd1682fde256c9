"""What is a route's pair? How its source and its target are drawn, and how their pictures are made comparable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from tl_helpers.datasets.animal_scenes import compose_animal_scenes, crop_things
from tl_helpers.datasets.collections import digits_in_frames
from tl_helpers.datasets.dataset import Dataset, Domain, Task, keep_classes
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.mammal_scenes import load_mammal_scenes
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.posed_emoji import load_posed_mammals
from tl_helpers.datasets.scraped_photos import load_scraped_photos
from tl_helpers.datasets.street import load_street, street

# As many are drawn to be looked at. Then the beginning of a pool will do: all of it takes a second to make.
FEW, BEGINNING = 20, 100


QUESTIONS = ("classify", "detect", "segment")
SIDE = 64


@dataclass(frozen=True)
class Pair:
    """The source and the target of a route.

    Parameters
    ----------
    source, target : callable
        ``source(n, seed)`` → Dataset of at least `n` pictures, as the networks see them.
    questions : tuple of {"classify", "detect", "segment"}
        What the source and what the target is asked.
    label_map : dict of str to str, optional
        Each of the target's labels → the source's label that it equals or refines; None where there is no such map.
    counterparts : sequence of str, optional
        Labels of the source that show the same things as the target: those of `label_map`, or all where there is none.
    pixels : int, optional
        Side of the coarser pictures' true resolution; that of the smaller ones if it is left out.
    """

    source: Callable[[int, int], Dataset]
    target: Callable[[int, int], Dataset]
    questions: tuple[str, str] = ("classify", "classify")
    label_map: dict[str, str] | None = None
    counterparts: tuple[str, ...] | None = None
    pixels: int | None = None

    def draw(self, *, n, seed):
        """Draw pictures of both sides.

        Parameters
        ----------
        n : int
            Pictures of each.
        seed : int

        Returns
        -------
        source, target : Dataset
        """
        sides = self.source(n, seed), self.target(n, seed)
        orders = [np.random.default_rng([seed, side]).permutation(len(data)) for side, data in enumerate(sides)]
        return tuple(data.subset(order[:n]) for data, order in zip(sides, orders, strict=True))

    def comparable_inputs(self, source, target, *, together=True):
        """Bring pictures to one size, by the same rule for every pair.

        Of the source only `counterparts` are kept, scenes are cut around the target to half their side, and as many are
        taken of both.

        Parameters
        ----------
        source, target : Dataset
            From :meth:`draw`.
        together : bool
            Whether both sides also get the coarser one's resolution, and lose their colours where one has none.

        Returns
        -------
        source, target : numpy.ndarray
            ``uint8``, ``(n, 64, 64, 3)``.
        """
        kept = self.counterparts or set((self.label_map or {}).values()) or source.label_names
        source = source.subset(np.isin(source.y, [source.label_names.index(name) for name in kept]))
        sides = [data.x if data.boxes is None else _cut_around(data) for data in (source, target)]
        n = min(map(len, sides))
        if not together:
            return tuple(_resized(x[:n], SIDE) for x in sides)
        grey = any(x.shape[3] == 1 for x in sides)
        pixels = self.pixels or min(x.shape[1] for x in sides)
        return tuple(_resized(_resized(x[:n], pixels, grey=grey), SIDE) for x in sides)


def _cut_around(scenes):
    """Cut a square of half a scene's side around each target."""
    side = scenes.x.shape[1] // 2
    centres = (scenes.boxes[:, :2] + scenes.boxes[:, 2:]) / 2
    corners = (centres - side / 2).round().astype(int).clip(0, scenes.x.shape[1] - side)
    return np.stack([x[top : top + side, left : left + side] for x, (left, top) in zip(scenes.x, corners, strict=True)])


def _resized(x, side, *, grey=False):
    """Resize square pictures, averaging over pixels where they shrink, to three channels."""
    resized = np.empty((len(x), side, side, 3), "uint8")
    # Whole blocks where it shrinks: what was blown up by repeating its pixels comes out as it was.
    kind = Image.Resampling.BOX if side < x.shape[1] else Image.Resampling.BILINEAR
    for target, picture in zip(resized, x, strict=True):
        image = Image.fromarray(np.squeeze(picture)).convert("L" if grey else "RGB")
        target[:] = image.resize((side, side), kind).convert("RGB")
    return resized


# ---------------------------------------------------------------- what sides are drawn from


def pictures(*pool):
    """Draw from a pool of street pictures.

    Parameters
    ----------
    *pool
        See :func:`tl_helpers.datasets.street.street`.

    Returns
    -------
    callable
        For :class:`Pair`, like all that follow.
    """
    return lambda n, seed: street(*pool) if n > FEW else _beginning(*pool)


@lru_cache(maxsize=16)
def _beginning(view, split, labels="garment", size=28):
    return load_street(view, split, labels=labels, size=size, n=BEGINNING)


def scraped(part):
    """Draw from photographs that are our own, or that were scraped as thumbnails.

    Parameters
    ----------
    part : {"own", "scraped"}
        See :func:`tl_helpers.datasets.scraped_photos.load_scraped_photos`.

    Returns
    -------
    callable
        Each of the two draws has about 120 pictures.
    """
    return lambda n, seed: load_scraped_photos(part, seed=seed)


def zeros_and_ones(n, seed):
    """Draw zeros and ones of MNIST.

    Parameters
    ----------
    n, seed
        See :class:`Pair`.

    Returns
    -------
    Dataset
    """
    return keep_classes(pictures("plain", "source", "digit")(n, seed), ("0", "1"))


def drawings(style, split):
    """Draw from the emoji of eight groups in one style, at 96 pixels.

    Parameters
    ----------
    style, split
        See :func:`tl_helpers.datasets.emoji.load_emoji`.

    Returns
    -------
    callable
    """
    return lambda n, seed: _drawings(style, split)


@lru_cache(maxsize=4)
def _drawings(style, split):
    return load_emoji(style, split, size=96)


def six_mammals(n, seed):
    """Pose six mammals that :func:`tl_helpers.datasets.posed_emoji.load_posed_groups` leaves out: always the same six.

    Parameters
    ----------
    n, seed
        See :class:`Pair`.

    Returns
    -------
    Dataset
    """
    return load_posed_mammals(max(FEW, -(-n // 6)), seed=0)


def things(n, seed):
    """Cut things out of animal scenes, see :func:`tl_helpers.datasets.animal_scenes.crop_things`.

    Parameters
    ----------
    n, seed
        See :class:`Pair`.

    Returns
    -------
    Dataset
        As many animals as `n`, and twice as many other things.
    """
    return crop_things(compose_animal_scenes(n=n, seed=2 * seed))


def photographs(n, seed):
    """Draw from the photographs that the kit ships: a stand-in for ImageNet's, which it must not ship.

    Parameters
    ----------
    n, seed
        See :class:`Pair`.

    Returns
    -------
    Dataset
    """
    return load_photos("all", source="gcompris")


def mammals_in_scenes(half):
    """Compose scenes with a mammal, always one of the same six.

    Parameters
    ----------
    half : {0, 1}
        Of a series of scenes which half: no scene is in both.

    Returns
    -------
    callable
    """

    def load(n, seed):
        start = (2 * seed + half) * n
        return load_mammal_scenes(start + n, seed=0).subset(np.arange(start, start + n))

    return load


def digits(name):
    """Draw from one of the collections of digits.

    Parameters
    ----------
    name : {"small", "mnist"}
        See :func:`tl_helpers.datasets.collections.digits_in_frames`.

    Returns
    -------
    callable
    """

    def load(n, seed):
        x, y = digits_in_frames()[name]["train"]
        scanned = {"small": "8 × 8", "mnist": "28 × 28"}[name]
        domain = Domain(f"digits/{name}", x.shape[1:], f"digits scanned at {scanned} pixels")
        task = Task("digit", tuple(map(str, range(10))))
        return Dataset(x, y, domain, task, "train", np.array([f"{name}/{number}" for number in range(len(y))]))

    return load
