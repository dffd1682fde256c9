"""Where else do digits come from? Two collections of them, in frames of one size."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits

from tl_helpers.datasets.street import street

MNIST_SQUARE = 20  # pixels: so large is a digit of MNIST in its frame of 28


@cache  # a second
def digits_in_frames(*, aligned=True):
    """Return two collections of digits in frames of one size: MNIST, and the small digits of scikit-learn (UCI, 1998).

    A digit of MNIST fills a square of 20 pixels in the middle of a frame of 28. The small ones are enlarged from 8 × 8
    pixels to the same square.

    Parameters
    ----------
    aligned : bool
        False enlarges the small ones to the whole frame instead.

    Returns
    -------
    dict of str to dict
        ``"small"`` and ``"mnist"`` → split (``"train"``, ``"validation"``, ``"test"``) → ``x``, ``uint8`` of shape
        ``(n, 28, 28, 1)``, and ``y``. Of the small ones 100 of each digit are to train on, 30 to choose with.
    """
    x, y = load_digits(return_X_y=True)
    side = MNIST_SQUARE if aligned else 28
    x = enlarge_digits(x.reshape(-1, 8, 8) * (255 / 16), side)
    order = np.random.default_rng(0).permutation(len(x))
    parts = {"train": [], "validation": [], "test": []}
    for digit in range(10):
        rows = order[y[order] == digit]
        for part, chosen in zip(parts, np.split(rows, [100, 130]), strict=True):
            parts[part].append(chosen)
    parts = {part: np.concatenate(rows) for part, rows in parts.items()}
    pools = {"train": "source", "validation": "target", "test": "test"}
    mnist = {part: street("plain", pool, "digit") for part, pool in pools.items()}
    return {
        "small": {part: (x[rows], y[rows].astype("int64")) for part, rows in parts.items()},
        "mnist": {part: (data.x, data.y) for part, data in mnist.items()},
    }


def enlarge_digits(x, side):
    """Enlarge small pictures by linear interpolation, and put them in the middle of frames of 28 × 28 pixels.

    Parameters
    ----------
    x : numpy.ndarray
        ``(n, h, h)``, 0…255.
    side : int
        Of the enlarged pictures, an even number of pixels up to 28.

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, 28, 28, 1)``, black around the pictures.
    """
    factor, border = side / x.shape[1], (28 - side) // 2
    large = np.clip(ndimage.zoom(x, (1, factor, factor), order=1, mode="nearest").round(), 0, 255).astype("uint8")
    return np.pad(large, ((0, 0), (border, border), (border, border)))[..., None]
