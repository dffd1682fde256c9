"""Where is it? Boxes as a grid of cells, their loss, and how well two boxes agree."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from scipy.special import softmax


def encode_boxes(boxes, grid, cell):
    """Turn boxes into the targets of :func:`box_loss`.

    Parameters
    ----------
    boxes : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom in pixels.
    grid : int
        Cells per side of the feature map.
    cell : float
        Side of a cell in pixels.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, 5)``: index of the cell that holds the centre (row by row), centre relative to that cell's
        top left corner (x, y) and size (width, height), in cells.
    """
    boxes = np.asarray(boxes, "float32") / cell
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    position = np.clip(np.floor(centre), 0, grid - 1)
    index = position[:, 1] * grid + position[:, 0]
    return np.concatenate([index[:, None], centre - position, size], axis=1).astype("float32")


def box_loss(target, output):
    """Cross-entropy over cells plus the L1 distance of the box that the right cell predicts.

    Parameters
    ----------
    target : tensor
        ``(n, 5)`` from :func:`encode_boxes`.
    output : tensor
        ``(n, h', w', 5)`` from a model of :func:`add_box_head`.

    Returns
    -------
    tensor
        ``(n,)``, at least 0.
    """
    cells = ops.reshape(output, (-1, output.shape[1] * output.shape[2], 5))
    index = ops.cast(target[:, 0], "int32")
    where = keras.losses.sparse_categorical_crossentropy(index, cells[:, :, 0], from_logits=True)
    predicted = ops.take_along_axis(cells[:, :, 1:], index[:, None, None], axis=1)[:, 0]
    return where + ops.sum(ops.abs(predicted - target[:, 1:]), axis=-1)


def decode_boxes(output, cell, *, confidence=False):
    """Read the box of the most likely cell.

    Parameters
    ----------
    output : numpy.ndarray
        ``(n, h', w', 5)`` from a model of :func:`add_box_head`.
    cell : float
        Side of a cell in pixels.
    confidence : bool
        Also return how sure the model is.

    Returns
    -------
    boxes : numpy.ndarray
        ``float32``, ``(n, 4)``: left, top, right, bottom in pixels.
    confidences : numpy.ndarray
        Only if asked for: ``(n,)``, 0…1, the probability of the most likely cell.
    """
    output = np.asarray(output)
    width = output.shape[2]
    cells = output.reshape(len(output), -1, 5)
    best = cells[:, :, 0].argmax(axis=1)
    chosen = cells[np.arange(len(cells)), best]
    centre = chosen[:, 1:3] + np.stack([best % width, best // width], axis=1)
    half = np.maximum(chosen[:, 3:5], 0) / 2
    boxes = (np.concatenate([centre - half, centre + half], axis=1) * cell).astype("float32")
    return (boxes, softmax(cells[:, :, 0].astype("float64"), axis=1).max(axis=1)) if confidence else boxes


def box_iou(a, b):
    """Intersection over union of each box with its partner.

    Parameters
    ----------
    a, b : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom.

    Returns
    -------
    numpy.ndarray
        ``(n,)``, 0 (apart) … 1 (equal).
    """
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    overlap = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=1) for each in (a, b)]
    return overlap / np.maximum(areas[0] + areas[1] - overlap, 1e-9)


def centres_within(found, boxes):
    """Say of each found box whether its centre lies within its partner.

    Parameters
    ----------
    found, boxes : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom; right and bottom are exclusive.

    Returns
    -------
    numpy.ndarray
        ``bool``, ``(n,)``.
    """
    centres = (found[:, :2] + found[:, 2:]) / 2
    return ((boxes[:, :2] <= centres) & (centres < boxes[:, 2:])).all(axis=1)


def box_scores(found, boxes):
    """Measure found boxes against the true ones.

    Parameters
    ----------
    found, boxes : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom.

    Returns
    -------
    dict of str to float
        In %: ``score``, the mean intersection over union; ``hit_rate``, boxes for which it is at least a half;
        ``centre``, boxes whose centre lies within the true one.
    """
    overlap = box_iou(found, boxes)
    measured = {"score": overlap, "hit_rate": overlap >= 0.5, "centre": centres_within(found, boxes)}
    return {name: 100 * float(np.mean(values)) for name, values in measured.items()}


def box_ap50(found, confidences, boxes):
    """Average precision of a detector of one object per image; a box that overlaps by half or more is right.

    The detections of all images are sorted, the surest first. Each place in that list gives a precision (how many down
    to there are right) and a recall (how many of all objects are found by then). AP is the mean, over the 101 recalls
    0, 0.01, … 1, of the best precision at that recall or above, and 0 beyond the recall that the detector reaches:
    AP50 of the COCO challenge (Lin et al. 2014). Unlike the share of right boxes, it rewards knowing when one is wrong.

    Parameters
    ----------
    found : numpy.ndarray
        ``(n, 4)``: the box found in each image, as :func:`decode_boxes` gives it.
    confidences : numpy.ndarray
        ``(n,)``; only their order counts. Of equals, the first comes first.
    boxes : numpy.ndarray
        ``(n, 4)``: the true ones.

    Returns
    -------
    float
        0…1.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, are empty, or a confidence is not a number.
    """
    found, confidences, boxes = np.asarray(found), np.asarray(confidences), np.asarray(boxes)
    n = len(boxes)
    if n == 0 or not found.shape == boxes.shape == (n, 4) or confidences.shape != (n,):
        raise ValueError(
            f"found and boxes must be (n, 4) and confidences (n,), with n at least 1; they are {found.shape}, "
            f"{boxes.shape} and {confidences.shape}."
        )
    if np.isnan(confidences).any():
        raise ValueError("Some confidences are NaN, so the detections have no order. Check the model's outputs.")
    order = np.argsort(-confidences, kind="stable")
    right = (box_iou(found, boxes)[order] >= 0.5).cumsum()
    precision = right / np.arange(1, n + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # In whole numbers: a recall of exactly 0.7 counts as reached, whatever 70 / 100 rounds to.
    places = np.searchsorted(100 * right, n * np.arange(101))
    return float(np.append(best_from_here, 0.0)[places].mean())
