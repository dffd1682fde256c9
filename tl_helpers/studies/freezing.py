"""Which runs stand behind notebook 04? Study functions about what to freeze: how deep, in which order, at which rate.

The studies stand at the end; :mod:`tl_helpers.studies.catalogue` lists those of all notebooks.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import keras
import numpy as np

from tl_helpers.datasets.dataset import sample_budget, with_wrong_labels
from tl_helpers.datasets.street import street
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.backbones import Backbone
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.street_runs import run_classifier
from tl_helpers.studies.study import FEWER_RATES, RATES, Study
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.report import trainable_report

# ---------------------------------------------------------------- the freezing sweep of 2014, at home

SWEEP_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
SWEEP_UPDATES = 400
SWEEP_SOURCE_RATE = 3e-3


def sweep_network(n_classes, *, seed):
    """Build the sweep's network: the kit's small one with a fifth convolution.

    Parameters
    ----------
    n_classes : int
    seed : int
        Of the initial weights.

    Returns
    -------
    keras.Model
        From images ``(n, 28, 28, 1)`` to logits ``(n, n_classes)``; layers ``conv1`` … ``conv5``, ``head``.
    """
    body = small_cnn_body((28, 28, 1), seed=seed)
    initializer = keras.initializers.HeUniform(seed=10 * seed + 5)
    settings = {"padding": "same", "activation": "relu", "kernel_initializer": initializer}
    x = keras.layers.Conv2D(64, 3, **settings, name="conv5")(body.model.output)
    body = Backbone(keras.Model(body.model.input, x), "sweep", body.preprocessing, {})
    return add_class_head(body, n_classes, seed=seed)


def garment_halves(seed):
    """Split the ten garments into two tasks of five, differently for each seed.

    Parameters
    ----------
    seed : int

    Returns
    -------
    a, b : numpy.ndarray
        Class indices ``(5,)``, ascending.
    """
    order = np.random.default_rng(seed).permutation(10)
    return np.sort(order[:5]), np.sort(order[5:])


def _half(split, classes):
    """Return pictures and new labels 0…4 of five garments."""
    data = street("photo", split)
    rows = np.isin(data.y, classes)
    return data.x[rows], np.searchsorted(classes, data.y[rows])


@lru_cache(maxsize=4)  # trains
def _base_weights(half, seed):
    """Train a base network on one half of the garments and return its weights by layer."""
    model = sweep_network(5, seed=1000 + seed)
    train = _half("source", garment_halves(seed)["AB".index(half)])
    settings = {"learning_rate": SWEEP_SOURCE_RATE, "updates": SWEEP_UPDATES, "seed": 1000 + seed}
    fit_transfer(model, train, strategy="scratch", **settings)
    return {name: model.get_layer(name).get_weights() for name in SWEEP_LAYERS}


def freezing_sweep(copied, seed, *, rate=None, split="test", source, target, frozen):
    """Copy the first layers, frozen or not, and train the rest: the sweep of Yosinski et al. (2014), at home.

    Each seed splits the ten garments anew into task A and task B. Every network is trained for 400 updates of 32.

    Parameters
    ----------
    copied : int
        How many of the five layers are copied. With 0 nothing is, and all arms of one target are the base network.
    seed : int
    rate : float
    split : {"validation", "test"}
    source : {"A", "B"} or None
        Which base network is copied from; None for random weights.
    target : {"B", "digits"}
        Task B, or digits on the same backgrounds.
    frozen : bool
        Whether the copied layers are frozen rather than trained with the rest.

    Returns
    -------
    dict
        ``score``: accuracy in % on the target.
    """
    if not copied:
        source, frozen = None, False
    return dict(_sweep_run(source, target, frozen, copied, seed, rate, split))


@lru_cache(maxsize=8)  # trains
def _sweep_run(source, target, frozen, copied, seed, rate, split):
    """Run once; without copied layers all arms of one target are the same run."""
    digits = target == "digits"
    if digits:
        # There are no validation digits: the rate is chosen on the pool that notebooks call "target".
        held_out = "target" if split == "validation" else "test"
        train, test = street("photo", "source", "digit"), street("photo", held_out, "digit")
    else:
        classes = garment_halves(seed)[1]
        train, test = _half("source", classes), _half(split, classes)
    model = sweep_network(10 if digits else 5, seed=seed)
    if source is not None:
        for name in SWEEP_LAYERS[:copied]:
            model.get_layer(name).set_weights(_base_weights(source, seed)[name])
    frozen_upto = SWEEP_LAYERS[copied - 1] if frozen else None
    settings = {"learning_rate": rate, "updates": SWEEP_UPDATES, "seed": seed}
    fit_transfer(model, train, strategy="fine_tuning", upto=frozen_upto, **settings)
    return {"score": 100 * accuracy(model, test), "learning_rate": rate, "updates": SWEEP_UPDATES}


# ---------------------------------------------------------------- how deep, in which order, how fast


FACTOR = 2.6  # Howard and Ruder 2018, section 3.2


def freeze_sketches(labels, seed, *, rate=None, split="test", **way):
    """What to freeze when the domain changes: garments in photographs → the same garments in line drawings.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float
    split : {"validation", "test"}
    **way
        ``strategy``, ``upto`` and ``factors`` of :func:`tl_helpers.training.fit.fit_transfer`.

    Returns
    -------
    dict
        ``score``: accuracy in %; ``train_seconds``: CPU seconds; ``trainable``: parameters that move at the end.
    """
    labelled = sample_budget(street("sketch", "target"), labels, seed=seed)
    return _fit(labelled, street("sketch", split), "street_garments", rate=rate, seed=seed, **way)


def freeze_shoes(labels, seed, *, rate=None, split="test", **way):
    """What to freeze when the task becomes finer in the same domain: five families → three kinds of shoe.

    Parameters
    ----------
    labels, seed, rate, split, **way
        As for :func:`freeze_sketches`.

    Returns
    -------
    dict
    """
    labelled = sample_budget(street("photo", "target", "shoe"), labels, seed=seed)
    return _fit(labelled, street("photo", split, "shoe"), "street_families", rate=rate, seed=seed, **way)


def freeze_rates(learning_rate, seed, *, rate=None, split="test", **way):
    """How much does the learning rate matter? As :func:`freeze_sketches` with 20 labels, at a given rate.

    Parameters
    ----------
    learning_rate : float
        Nothing is tuned here.
    seed : int
    rate : None
    split : {"validation", "test"}
    **way
        As for :func:`freeze_sketches`.

    Returns
    -------
    dict
    """
    del rate
    row = freeze_sketches(20, seed, rate=learning_rate, split=split, **way)
    return {name: value for name, value in row.items() if name != "learning_rate"}


WRONG = 0.3


def freeze_noisy_shoes(labels, seed, *, rate=None, split="test", **way):
    """As :func:`freeze_shoes`, but 30 % of the training labels are wrong; those tested on are right.

    Parameters
    ----------
    labels, seed, rate, split, **way
        As for :func:`freeze_sketches`.

    Returns
    -------
    dict
    """
    labelled = with_wrong_labels(sample_budget(street("photo", "target", "shoe"), labels, seed=seed), WRONG, seed=seed)
    return _fit(labelled, street("photo", split, "shoe"), "street_families", rate=rate, seed=seed, **way)


def _fit(labelled, test, source, *, rate, seed, **way):
    source = None if way["strategy"] == "scratch" else source
    model, row = run_classifier(source, labelled, test, rate=rate, updates=300, seed=seed, **way)
    return row | {"train_seconds": round(row["train_seconds"], 3), "trainable": _count_trainable(model)}


def _count_trainable(model):
    return int(trainable_report(model)["trainable"].sum())


# ---------------------------------------------------------------- the studies


def _sweep_arm(label, role, source, target, *, frozen=True, values=None):
    return Arm(label, role, {"source": source, "target": target, "frozen": frozen}, tuned=True, values=values)


def _arm(label, role, strategy, **settings):
    return Arm(label, role, {"strategy": strategy, **settings}, tuned=True)


# By the last frozen layer, from none to all.
_BY_DEPTH = {
    "none": _arm("nothing frozen", "transfer", "fine_tuning"),
    "conv1": _arm("conv1 frozen", "transfer", "fine_tuning", upto="conv1"),
    "conv2": _arm("frozen up to conv2", "transfer", "fine_tuning", upto="conv2"),
    "conv3": _arm("frozen up to conv3", "transfer", "fine_tuning", upto="conv3"),
    "conv4": _arm("all frozen but the head", "transfer", "linear_probing"),
}
_SCRATCH = {"scratch": _arm("training from scratch", "baseline", "scratch")}
_ORDERS = {
    "lp_ft": _arm("head first, then everything", "transfer", "lp_ft"),
    "gradual_unfreezing": _arm("unfrozen stage by stage", "transfer", "gradual_unfreezing"),
    "discriminative": _arm("early stages slower", "transfer", "fine_tuning", factors=FACTOR),
}
_WAYS = _SCRATCH | _BY_DEPTH | _ORDERS
_TARGETS = {
    "axis": Axis("labels", "labels per class", (2, 20, 200)),
    "seeds": tuple(range(10)),
    "rates": RATES[:4],
    "compared": ("none", "scratch"),
}

# With every layer frozen only the head learns. On layers made for other things, or for nothing, it learnt best at the
# highest rate of all that were tried: such runs are no measure.
_SOME_LEFT = tuple(range(len(SWEEP_LAYERS)))

STUDIES = (
    Study(
        "freezing_sweep",
        freezing_sweep,
        arms={
            "AnB": _sweep_arm("from another task, frozen", "transfer", "A", "B"),
            "AnB+": _sweep_arm("from another task, fine-tuned", "transfer", "A", "B", frozen=False),
            "BnB": _sweep_arm("from the same task, frozen", "control", "B", "B"),
            "BnB+": _sweep_arm("from the same task, fine-tuned", "control", "B", "B", frozen=False),
            "RnB": _sweep_arm("random weights, frozen", "baseline", None, "B", values=_SOME_LEFT),
            "AnD": _sweep_arm("garments to digits, frozen", "transfer", "A", "digits", values=_SOME_LEFT),
            "AnD+": _sweep_arm("garments to digits, fine-tuned", "transfer", "A", "digits", frozen=False),
            "RnD": _sweep_arm("random weights to digits, frozen", "baseline", None, "digits", values=_SOME_LEFT),
        },
        axis=Axis("depth", "copied layers", tuple(range(len(SWEEP_LAYERS) + 1))),
        seeds=tuple(range(5)),
        rates=FEWER_RATES,
        compared=("AnB+", "BnB+"),
        # With a layer more that is frozen another network is trained: its rate is its own.
        smooth=False,
    ),
    Study("freeze_sketches", freeze_sketches, arms=_WAYS, chance=10.4, **_TARGETS),
    Study("freeze_shoes", freeze_shoes, arms=_WAYS, chance=35.3, **_TARGETS),
    Study(
        "freeze_rates",
        freeze_rates,
        arms={
            key: dataclasses.replace(_WAYS[key], tuned=False)
            for key in ("scratch", "none", "conv4", "lp_ft", "gradual_unfreezing", "discriminative")
        },
        axis=Axis("learning rate", "learning rate", RATES),
        seeds=tuple(range(5)),
        chance=10.0,
        compared=("none", "scratch"),
    ),
    Study(
        "freeze_noisy_shoes",
        freeze_noisy_shoes,
        arms=_SCRATCH | _BY_DEPTH,
        axis=Axis("labels", "labels per class", (20, 200)),
        seeds=tuple(range(10)),
        rates=(3e-5, 1e-4, *RATES[:3]),
        chance=35.3,
        compared=("none", "scratch"),
    ),
)
DEPTHS = tuple(_BY_DEPTH)
_BY_NAME = {study.name: study for study in STUDIES}
FREEZING_TARGETS = {
    "sketches": _BY_NAME["freeze_sketches"],
    "shoes": _BY_NAME["freeze_shoes"],
    "shoes, careless labels": _BY_NAME["freeze_noisy_shoes"],
}


def fit_depth_once(target, labels, depth, *, seed=0):
    """Run one setting of a freezing study at the stored rate, on the test split.

    Parameters
    ----------
    target : str
        One of :data:`FREEZING_TARGETS`.
    labels : int
        Labels per class, one of the stored ones.
    depth : str
        An arm of the study.
    seed : int

    Returns
    -------
    float
        Accuracy in %.
    """
    study = FREEZING_TARGETS[target]
    rate = load_study(study.name).rate(depth, labels)
    return study.run(depth, labels, seed, rate=rate)["score"]
