"""Which pixels are it? The loss of masks, and how well two masks agree."""

from __future__ import annotations

import keras
import numpy as np


def mask_loss(target, output):
    """Cross-entropy of each pixel, the mean over an image's pixels.

    Parameters
    ----------
    target : tensor
        ``(n, h, w)``, 1 on the object and 0 elsewhere.
    output : tensor
        Logits ``(n, h, w)``.

    Returns
    -------
    tensor
        ``(n,)``, at least 0.
    """
    rows = keras.losses.binary_crossentropy(target, output, from_logits=True)
    return keras.ops.mean(rows, axis=1)


def mask_iou(a, b):
    """Intersection over union of each mask with its partner.

    Parameters
    ----------
    a, b : numpy.ndarray
        ``bool``, ``(n, h, w)``.

    Returns
    -------
    numpy.ndarray
        ``(n,)``, 0 (apart) … 1 (equal); 1 where both are empty.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    union = (a | b).sum(axis=(1, 2))
    return np.where(union == 0, 1.0, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1))
