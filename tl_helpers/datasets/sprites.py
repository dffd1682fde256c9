"""How is a drawing put into a picture? Cut-outs with an alpha channel are posed and laid onto coloured grounds."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SMALLEST_ALPHA = 16


def coloured_grounds(n, size, random):
    """Make random backgrounds: a few colours on a coarse grid, in blocks or blended into each other.

    Parameters
    ----------
    n : int
    size : int
        Side in pixels.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, size, size, 3)``.
    """
    grounds = np.empty((n, size, size, 3), "uint8")
    for ground in grounds:
        side = int(random.integers(2, 9))
        hue = random.uniform(90, 220, 3)
        colours = np.clip(hue + random.uniform(10, 45) * random.standard_normal((side, side, 3)), 40, 255)
        filter_used = Image.Resampling.NEAREST if random.random() < 0.5 else Image.Resampling.BICUBIC
        ground[:] = Image.fromarray(colours.astype("uint8")).resize((size, size), filter_used)
    return grounds


def pose_sprite(sprite, longest, *, angle=0.0, flip=False):
    """Turn a cut-out, cut it to what is drawn and bring that to a size.

    Parameters
    ----------
    sprite : numpy.ndarray
        ``uint8``, ``(h, w, 4)``, the last channel being how opaque a pixel is.
    longest : int
        Longer side of what is drawn, in pixels, after turning.
    angle : float
        Degrees, counter-clockwise.
    flip : bool
        Whether left and right are exchanged first.

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(h, w, 4)``, the longer of h and w being `longest`.

    Raises
    ------
    ValueError
        If nothing is drawn.
    """
    if sprite[..., 3].max() < _SMALLEST_ALPHA:
        raise ValueError("The cut-out is empty: no pixel of it is opaque.")
    drawn = _cut(sprite[:, ::-1] if flip else sprite)
    # Colours weighted by their opacity ("RGBa"), or what lies under transparent pixels would shine through the edges.
    image = Image.fromarray(np.ascontiguousarray(drawn)).convert("RGBa")
    image = image.rotate(angle, resample=Image.Resampling.BILINEAR, expand=True)
    turned = _cut(np.asarray(image.convert("RGBA")))
    factor = longest / max(turned.shape[:2])
    width, height = (max(1, round(side * factor)) for side in turned.shape[1::-1])
    # Pillow's bilinear filter is wide enough not to skip pixels when it shrinks, and never overshoots.
    resized = (
        Image.fromarray(np.ascontiguousarray(turned)).convert("RGBa").resize((width, height), Image.Resampling.BILINEAR)
    )
    return np.asarray(resized.convert("RGBA"))


def _cut(sprite):
    """Cut to the pixels that are drawn."""
    rows, columns = (np.flatnonzero((sprite[..., 3] >= _SMALLEST_ALPHA).any(axis=axis)) for axis in (1, 0))
    return sprite[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def lay(sprite, ground, corner):
    """Lay a cut-out onto a picture, in place.

    Parameters
    ----------
    sprite : numpy.ndarray
        ``uint8``, ``(h, w, 4)``.
    ground : numpy.ndarray
        ``uint8``, ``(size, size, 3)``.
    corner : tuple of int
        Left and top of the cut-out in the picture, which must hold all of it.

    Raises
    ------
    ValueError
        If a part of the cut-out lies outside.
    """
    left, top = corner
    height, width = sprite.shape[:2]
    if min(left, top) < 0 or left + width > ground.shape[1] or top + height > ground.shape[0]:
        raise ValueError(
            f"A cut-out of {width} × {height} pixels at {left}, {top} does not lie within {ground.shape[1]} × "
            f"{ground.shape[0]} pixels."
        )
    window = ground[top : top + height, left : left + width]
    opacity = sprite[..., 3:].astype("uint16")
    window[:] = (sprite[..., :3] * opacity + window * (255 - opacity) + 127) // 255
