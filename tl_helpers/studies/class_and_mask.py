"""Who pays when two tasks share a network? The study of importance: a class from few labels, masks from others."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers, ops

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.emoji import EMOJI_FOLDS
from tl_helpers.datasets.emoji_on_photos import ON_PHOTO_GROUPS, ON_PHOTO_SIDE, load_emoji_on_photos
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.forward import make_forward
from tl_helpers.models.heads import add_class_head, add_hidden_convolution, add_mask_head
from tl_helpers.models.masks import mask_iou, mask_loss
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.fit import fit_transfer

UPDATES, BATCH = 400, 16
LABELS, MASKS = 5, 10  # pictures of each of the four groups with a label, and others with a mask
MEASURED = 75  # pictures of each group
HIDDEN = 64
LEARNED = ("both", "class", "mask")
_NONE = -1.0


def class_beside_masks(weight, seed, *, rate=None, split="test", learned):
    """Name the group of an emoji on a photograph from 20 labelled pictures, beside 40 others whose masks are known.

    Each seed draws another fold of concepts and photographs and other pictures. Every task is learned by as many
    updates of 16 of its own pictures, together or alone.

    Parameters
    ----------
    weight : float
        Of the mask's loss; the class has weight 1. A network for one task alone has no use for it.
    seed : int
    rate : float
        Learning rate.
    split : {"validation", "test"}
    learned : {"both", "class", "mask"}
        By one network.

    Returns
    -------
    dict
        ``score``: accuracy in %, of the mask alone its overlap; ``class``, accuracy, and ``mask``, mean intersection
        over union, in %, of what was learned; ``learning_rate`` and ``updates``.

    Raises
    ------
    ValueError
        If `learned` is none of the words above.
    """
    check_choice("learned", learned, LEARNED)
    measured = _measured(weight if learned == "both" else 1.0, seed, rate, split, learned)
    score = measured["mask" if learned == "mask" else "class"]
    return {"score": score, "learning_rate": rate, "updates": UPDATES} | measured


@cache  # what is learned alone is the same for all weights
def _measured(weight, seed, rate, split, learned):
    """Train a network and return accuracy and overlap of what it learned."""
    fold = seed % EMOJI_FOLDS
    pictures, test = load_emoji_on_photos(LABELS + MASKS, seed=seed, fold=fold), measured_pictures(split, fold)
    rows, targets = what_is_known(pictures, learned)
    model = add_class_and_mask_heads(small_cnn_body(pictures.x.shape[1:], seed=seed), seed=seed)
    settings = {"strategy": "scratch", "learning_rate": rate, "updates": UPDATES, "seed": seed}
    batch_size = 2 * BATCH if learned == "both" else BATCH
    fit_transfer(model, (pictures.x[rows], targets), loss=own_question_loss(weight), batch_size=batch_size, **settings)
    logits, masks = unpack(make_forward(model)(test.x, 100))
    scores = {"class": np.argmax(logits, axis=1) == test.y, "mask": mask_iou(np.asarray(masks) > 0, test.masks)}
    return {task: 100 * float(each.mean()) for task, each in scores.items() if learned in ("both", task)}


@cache
def measured_pictures(split, fold):
    """Return the pictures that a run is measured on.

    Parameters
    ----------
    split : {"validation", "test"}
    fold : int

    Returns
    -------
    Dataset
        See :func:`tl_helpers.datasets.emoji_on_photos.load_emoji_on_photos`.
    """
    return load_emoji_on_photos(MEASURED, split, fold=fold)


def what_is_known(pictures, learned, *, labels=LABELS):
    """Say which pictures are learned from, and what is known of each: its label or its mask.

    Parameters
    ----------
    pictures : Dataset
        The first of each group have a label, the others a mask.
    learned : {"both", "class", "mask"}
    labels : int
        How many of each group have a label.

    Returns
    -------
    rows : numpy.ndarray
        Of pictures; with ``"both"`` those with a label are repeated until they are as many as those with a mask.
    targets : numpy.ndarray
        ``float32``, ``(len(rows), 1 + h w)``: the class index, or -1 where it is not known; the mask row by row, or
        zeros.
    """
    labelled = np.arange(labels * len(pictures.label_names))
    masked = np.arange(len(labelled), len(pictures))
    rows = {"class": labelled, "mask": masked, "both": np.concatenate([np.resize(labelled, len(masked)), masked])}
    rows = rows[learned]
    has_label = rows < len(labelled)
    y = np.where(has_label, pictures.y[rows], _NONE)
    masks = pictures.masks[rows].reshape(len(rows), -1) & ~has_label[:, None]
    return rows, np.concatenate([y[:, None], masks], axis=1).astype("float32")


def add_class_and_mask_heads(body, *, seed):
    """Put two heads on one trunk: a class of its averaged features, and a mask.

    Parameters
    ----------
    body : Backbone
        Its layers are shared with the new model, not copied.
    seed : int
        Seed of the heads' initial weights.

    Returns
    -------
    keras.Model
        From images ``(n, 48, 48, 3)``, 0…255, to ``(n, 4 + 48 · 48)``: class logits, then the mask's, row by row.
    """
    logits = add_class_head(body, len(ON_PHOTO_GROUPS), seed=seed, name="head_class").output
    hidden = add_hidden_convolution(body, HIDDEN, seed=seed, name="head_mask")
    mask = layers.Flatten(name="head_mask_flat")(add_mask_head(hidden, seed=seed, name="head_mask").output)
    packed = layers.Concatenate(name="head_packed")([logits, mask])
    return keras.Model(body.model.input, packed, name=f"{body.name}_class_and_mask")


def unpack(output):
    """Cut an output of :func:`add_class_and_mask_heads` into class logits and mask logits.

    Parameters
    ----------
    output : tensor or numpy.ndarray
        ``(n, 4 + 48 · 48)``.

    Returns
    -------
    logits : tensor or numpy.ndarray
        ``(n, 4)``.
    masks : tensor or numpy.ndarray
        ``(n, 48, 48)``.
    """
    classes = len(ON_PHOTO_GROUPS)
    return output[:, :classes], ops.reshape(output[:, classes:], (-1, ON_PHOTO_SIDE, ON_PHOTO_SIDE))


def own_question_loss(weight):
    """Make the loss that asks each picture only what is known of it.

    Parameters
    ----------
    weight : float
        Of the mask's loss against that of the class.

    Returns
    -------
    callable
        Of targets from :func:`what_is_known` and outputs of :func:`add_class_and_mask_heads`, to ``(n,)``.
    """

    def loss(target, output):
        logits, mask = unpack(output)
        has_label = ops.cast(target[:, 0] >= 0, output.dtype)
        label = ops.maximum(target[:, 0], 0.0)
        of_class = keras.losses.sparse_categorical_crossentropy(label, logits, from_logits=True)
        of_mask = mask_loss(ops.reshape(target[:, 1:], (-1, ON_PHOTO_SIDE, ON_PHOTO_SIDE)), mask)
        return has_label * of_class + weight * (1 - has_label) * of_mask

    return loss


def _arm(label, role, learned):
    return Arm(label, role, {"learned": learned}, tuned=True)


STUDIES = (
    Study(
        "task_importance",
        class_beside_masks,
        arms={
            "class": _arm("the class alone", "baseline", "class"),
            "mask": _arm("the mask alone", "baseline", "mask"),
            "joint": _arm("class and mask", "transfer", "both"),
        },
        axis=Axis("weight", "weight of the mask's loss", (0.1, 1.0, 10.0)),
        seeds=tuple(range(15)),
        rates=FEWER_RATES,
        metric="accuracy in %, of the mask alone mean IoU",
        # Of each of four groups there are as many pictures to measure on.
        chance=100 / len(ON_PHOTO_GROUPS),
        compared=("joint", "class"),
    ),
)
