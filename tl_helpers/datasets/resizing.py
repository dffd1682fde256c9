"""How do pictures get their size and their background?"""

from __future__ import annotations

import numpy as np
from PIL import Image


def check_size(size):
    """Check the side of the pictures that are asked for.

    Parameters
    ----------
    size : int
        In pixels, 8…512.

    Raises
    ------
    ValueError
        If it is no such number.
    """
    if size not in range(8, 513):
        raise ValueError(f"size must be a whole number of pixels, 8…512, not {size!r}.")


def on_white(drawings):
    """Put drawings onto white.

    Parameters
    ----------
    drawings : numpy.ndarray
        ``uint8``, ``(n, h, w, 4)``, the last channel being how opaque a pixel is.

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, h, w, 3)``.
    """
    x = np.empty((*drawings.shape[:3], 3), "uint8")
    for picture, drawing in zip(x, drawings, strict=True):
        alpha = drawing[..., 3:].astype("uint16")
        picture[:] = (drawing[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return x


def resize(pictures, size):
    """Resize square pictures, with Lanczos' filter.

    Parameters
    ----------
    pictures : numpy.ndarray
        ``uint8``, ``(n, h, h)``, ``(n, h, h, 3)`` or ``(n, h, h, 4)``, the last with opacity.
    size : int
        Side to give them, in pixels.

    Returns
    -------
    numpy.ndarray
        ``uint8``; the pictures themselves where they have that size.
    """
    if size == pictures.shape[1]:
        return pictures
    resized = np.empty((len(pictures), size, size, *pictures.shape[3:]), "uint8")
    for target, picture in zip(resized, pictures, strict=True):
        target[:] = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
    return resized
