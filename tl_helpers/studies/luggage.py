"""What does a network that only knows photographs see in an x-ray? The study of the route Modality Transfer.

ImageNet's classifier is asked where the tool lies in a simulated x-ray of a bag: neither the inputs nor the question
are those of its source. Its first blocks stay frozen; what they see at each position is computed once per bag.
"""

from __future__ import annotations

from functools import cache

import keras
from keras import layers

from tl_helpers.datasets.luggage import BAG_SIZE, load_luggage
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.backbones import Backbone
from tl_helpers.models.boxes import box_loss, box_scores, decode_boxes, encode_boxes
from tl_helpers.models.features import run_once
from tl_helpers.models.heads import add_box_head, add_hidden_convolution
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.frozen_features import backbone_with, kept
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.fit import fit_transfer

SCENES, HELD_OUT = (100, 150, 200, 300, 400), 150
UPDATES, BATCH = 150, 16
STAGE, CELL, HIDDEN = "block3", 8, 64
GRID = BAG_SIZE // CELL
# Mean overlap in % of one box in the middle, 50 pixels wide and high, with the tool in bags of all seeds.
CHANCE = 18.2


@cache  # seconds
def bags(split, seed, tools="known"):
    """Compose the bags of a seed, once.

    Parameters
    ----------
    split, seed, tools
        See :func:`tl_helpers.datasets.luggage.load_luggage`.

    Returns
    -------
    Dataset
        400 to train on, of which smaller budgets are the first; 150 of other splits.
    """
    return load_luggage(split, n=max(SCENES) if split == "train" else HELD_OUT, seed=seed, tools=tools)


@cache  # seconds
def maps(weights, split, seed, tools="known"):
    """Run the frozen beginning of EfficientNet-Lite0 over :func:`bags`, once.

    Parameters
    ----------
    weights : {"imagenet", "random"}
        See :func:`tl_helpers.studies.frozen_features.backbone_with`.
    split, seed, tools
        See :func:`bags`.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, 12, 12, 40)``: one position for 8 × 8 pixels.
    """
    backbone = backbone_with(weights, BAG_SIZE)
    output = backbone.model.get_layer(backbone.stages[STAGE]).output
    frozen = keras.Model(backbone.model.inputs, output)
    return run_once(frozen, bags(split, seed, tools).x, batch_size=32, cache=kept())


def find_on_maps(features, *, seed):
    """Build a detector on feature maps: they are standardised, and a head says where the object is.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, h, w, c)``: of the labelled pictures. Each channel gets mean 0 and standard deviation 1 over these.
    seed : int
        Of the head's initial weights.

    Returns
    -------
    keras.Model
        From feature maps to ``(n, h, w, 5)``, see :func:`tl_helpers.models.heads.add_box_head`.
    """
    mean, spread = features.mean(axis=(0, 1, 2)), features.std(axis=(0, 1, 2)) + 1e-6
    inputs = keras.Input(features.shape[1:])
    standardised = layers.Rescaling(1 / spread, -mean / spread, name="preprocess")(inputs)
    body = Backbone(keras.Model(inputs, standardised), "maps", "none: these are features", {})
    return add_box_head(add_hidden_convolution(body, HIDDEN, seed=seed), seed=seed)


def find_in_pictures(*, seed):
    """Build a detector of new weights on pictures, with the head and the grid of :func:`find_on_maps`.

    Parameters
    ----------
    seed : int
        Of the initial weights.

    Returns
    -------
    keras.Model
        From pictures ``(n, 96, 96, 3)`` to ``(n, 12, 12, 5)``.
    """
    body = small_cnn_body((BAG_SIZE, BAG_SIZE, 3), seed=seed)
    return add_box_head(add_hidden_convolution(body, HIDDEN, seed=seed), seed=seed)


def modality_transfer(scenes, seed, *, rate=None, split="test", body, updates=UPDATES):
    """Photographs of things → where is the tool in a simulated x-ray of a bag?

    Each seed draws its own known and new kinds of tools, other things and bags. What is tested on are kinds of tools
    that no other bag holds, among other things that are new as well. Rates are chosen by known tools in new poses.

    Parameters
    ----------
    scenes : int
        Labelled bags, at most 400.
    seed : int
    rate : float
        Learning rate.
    split : {"validation", "test"}
    body : {"imagenet", "random", "new"}
        What the head stands on: the frozen beginning of EfficientNet-Lite0, with ImageNet's weights or random ones, or
        a small network that is trained with the head.
    updates : int
        Of 16 bags each.

    Returns
    -------
    dict
        ``score``, ``hit_rate`` and ``centre`` (:func:`tl_helpers.models.boxes.box_scores`), ``learning_rate`` and
        ``updates``; on the test split also ``known_tools`` and ``known_tools_centre``: ``score`` and ``centre`` for
        known tools in new poses.
    """
    labelled = bags("train", seed).subset(slice(scenes))
    if body == "new":
        x, model = labelled.x, find_in_pictures(seed=seed)
    else:
        x = maps(body, "train", seed)[:scenes]
        model = find_on_maps(x, seed=seed)
    targets = encode_boxes(labelled.boxes, grid=GRID, cell=CELL)
    settings = {"learning_rate": rate, "updates": updates, "batch_size": BATCH, "seed": seed, "loss": box_loss}
    fit_transfer(model, (x, targets), strategy="scratch", **settings)

    def measure(tools):
        test = bags(split, seed, tools)
        seen = test.x if body == "new" else maps(body, split, seed, tools)
        return box_scores(decode_boxes(model.predict(seen, batch_size=50, verbose=0), cell=CELL), test.boxes)

    row, known = {"learning_rate": rate, "updates": updates}, measure("known")
    if split == "validation":
        return row | known
    return row | measure("new") | {"known_tools": known["score"], "known_tools_centre": known["centre"]}


def _arm(label, role, body, *, check_of=None, sparse=False, values=None, **settings):
    how = {"check_of": check_of, "sparse": sparse, "values": values}
    return Arm(label, role, {"body": body, **settings}, tuned=True, **how)


STUDIES = (
    Study(
        "route_modality_transfer",
        modality_transfer,
        arms={
            "scratch": _arm("training from scratch", "baseline", "new"),
            "lite0": _arm("a head on frozen ImageNet", "transfer", "imagenet"),
            "scratch_longer": _arm(
                "training from scratch with 4 times the updates",
                "baseline",
                "new",
                check_of="scratch",
                values=SCENES[-1:],
                updates=4 * UPDATES,
            ),
            "random": _arm("a head on frozen random weights", "control", "random", sparse=True),
        },
        axis=Axis("scenes", "labelled scenes", SCENES),
        seeds=tuple(range(8)),
        rates=FEWER_RATES,
        metric="mean IoU in %",
        chance=CHANCE,
        compared=("lite0", "scratch"),
    ),
)
