"""How is a street picture made? Small items (garments, digits) pasted onto cluttered backgrounds, from a seed.

Plain Fashion-MNIST is too easy to show transfer: a network from scratch is as good. Turned, scaled and shifted in front
of random textures, the same garments demand invariances that take many labels to learn, and those can be transferred.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

VIEWS = ("plain", "photo", "sketch", "xray")


def textures(n, size, random):
    """Make random backgrounds: two oriented waves mixed with blocky noise.

    Parameters
    ----------
    n : int
    size : int
        Side in pixels.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, size, size)``, values 0…0.7.
    """
    rows, columns = np.mgrid[:size, :size].astype("float32") / 28
    waves = np.zeros((n, size, size), "float32")
    for _ in range(2):
        angle, frequency, phase = (
            random.uniform(low, high, (n, 1, 1)).astype("float32") for low, high in [(0, np.pi), (1, 7), (0, 2 * np.pi)]
        )
        along = np.cos(angle) * columns + np.sin(angle) * rows
        waves += np.sin(2 * np.pi * frequency * along + phase) / 4
    blocks = random.random((n, 7, 7), dtype="float32")
    blocks = np.repeat(np.repeat(blocks, size // 7, axis=1), size // 7, axis=2)
    share = random.random((n, 1, 1), dtype="float32")
    return 0.7 * (share * (waves + 0.5) + (1 - share) * blocks)


def pose(items, size, random):
    """Turn each item by up to 20°, scale it by 0.7…0.95 and shift it by up to 3 of 28 pixels.

    Parameters
    ----------
    items : numpy.ndarray
        ``uint8``, ``(n, 28, 28)``, bright on black.
    size : int
        Side of the pictures to make, in pixels; at 56 everything is twice as large.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, size, size)``, values 0…1.
    """
    n, unit = len(items), size / 28
    angle = np.deg2rad(random.uniform(-20, 20, n))
    scale = random.uniform(0.7, 0.95, n) * unit
    shift = random.uniform(-3, 3, (n, 2)) * unit
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrices = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], 1)
    offsets = 13.5 - np.einsum("nij,nj->ni", matrices, (size - 1) / 2 + shift)
    posed = np.empty((n, size, size), "float32")
    for item, matrix, offset, output in zip(items.astype("float32") / 255, matrices, offsets, posed, strict=True):
        ndimage.affine_transform(item, matrix, offset, output=output, order=1)
    return posed


def paste(posed, backgrounds):
    """Lift items onto backgrounds: brightness 0.15…1 where the item is, with a soft edge.

    Parameters
    ----------
    posed, backgrounds : numpy.ndarray
        ``float32``, same shape, values 0…1.

    Returns
    -------
    numpy.ndarray
        ``float32``, same shape, values 0…1.
    """
    matte = np.clip(6 * posed, 0, 1)
    return matte * (0.85 * posed + 0.15) + (1 - matte) * backgrounds


def render(pictures, view, random):
    """Show pictures as another domain would.

    Parameters
    ----------
    pictures : numpy.ndarray
        ``float32``, ``(n, h, w)``, values 0…1.
    view : {"plain", "photo", "sketch", "xray"}
        ``"sketch"``: lines where brightness changes, on white. ``"xray"``: inverted, blurred, low contrast, noisy. The
        others leave the pictures as they are.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, h, w)``.
    """
    if view == "sketch":
        lines = 2 * np.hypot(*np.gradient(pictures, axis=(1, 2)))
        pictures = 1 - lines
    elif view == "xray":
        blurred = ndimage.gaussian_filter(1 - pictures, (0, 1, 1))
        noise = random.standard_normal(pictures.shape, dtype="float32")
        pictures = 0.25 + 0.5 * blurred + 0.06 * noise
    return np.round(255 * np.clip(pictures, 0, 1)).astype("uint8")


def make_pictures(items, view, *, size=28, colour=False, seed):
    """Compose one picture per item.

    Parameters
    ----------
    items : numpy.ndarray
        ``uint8``, ``(n, 28, 28)``.
    view : {"plain", "photo", "sketch", "xray"}
        ``"plain"`` is the item as it was published, without background.
    size : {28, 56}
        Side in pixels.
    colour : bool
        Give item and background random tints: three channels instead of one.
    seed : int

    Returns
    -------
    numpy.ndarray
        ``uint8``, ``(n, size, size, 1 or 3)``.
    """
    random = np.random.default_rng(seed)
    if view == "plain":
        pictures = np.repeat(np.repeat(items, size // 28, axis=1), size // 28, axis=2)[..., None]
        return np.repeat(pictures, 3, axis=3) if colour else pictures
    posed, backgrounds = pose(items, size, random), textures(len(items), size, random)
    if not colour:
        return render(paste(posed, backgrounds), view, random)[..., None]
    tints = random.uniform(0.4, 1, (2, 3, len(items), 1, 1)).astype("float32")
    channels = [paste(posed * tint, backgrounds * under) for tint, under in zip(*tints, strict=True)]
    return np.stack([render(channel, view, random) for channel in channels], axis=3)


def make_scenes(targets, distractors, view, *, seed):
    """Compose scenes of 56×56 pixels: one target and two distractors that overlap by at most a tenth.

    Parameters
    ----------
    targets : numpy.ndarray
        ``uint8``, ``(n, 28, 28)``.
    distractors : numpy.ndarray
        ``uint8``, ``(2 n, 28, 28)``.
    view : {"photo", "sketch", "xray"}
    seed : int

    Returns
    -------
    x : numpy.ndarray
        ``uint8``, ``(n, 56, 56, 1)``.
    boxes : numpy.ndarray
        ``float32``, ``(n, 4)``: the target's left, top, right, bottom in pixels.
    masks : numpy.ndarray
        ``bool``, ``(n, 56, 56)``: where the target is.
    """
    random = np.random.default_rng(seed)
    n = len(targets)
    posed = np.stack(
        [pose(targets, 28, random), pose(distractors[:n], 28, random), pose(distractors[n:], 28, random)], axis=1
    )
    scenes = textures(n, 56, random)
    masks = np.zeros((n, 56, 56), bool)
    for scene, mask, patches in zip(scenes, masks, posed, strict=True):
        corners = _corners_apart(patches > 0.08, random)
        for number in (1, 2, 0):
            top, left = corners[number]
            window = np.s_[top : top + 28, left : left + 28]
            scene[window] = paste(patches[number], scene[window])
            mask[window] |= (patches[number] > 0.08) if number == 0 else False
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    boxes = np.stack(
        [columns.argmax(1), rows.argmax(1), 56 - columns[:, ::-1].argmax(1), 56 - rows[:, ::-1].argmax(1)], axis=1
    )
    return render(scenes, view, random)[..., None], boxes.astype("float32"), masks


def _corners_apart(shapes, random):
    """Draw top left corners for three 28×28 shapes until none covers more than a tenth of another."""
    while True:
        corners = random.integers(0, 29, (3, 2))
        layers = np.zeros((3, 56, 56), bool)
        for layer, shape, (top, left) in zip(layers, shapes, corners, strict=True):
            layer[top : top + 28, left : left + 28] = shape
        areas = layers.sum(axis=(1, 2))
        overlaps = [
            (layers[i] & layers[j]).sum() / max(min(areas[i], areas[j]), 1) for i, j in [(0, 1), (0, 2), (1, 2)]
        ]
        if max(overlaps) <= 0.1:
            return corners
