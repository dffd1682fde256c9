"""Which runs stand behind notebook 03? Study functions about what to freeze: how deep, in which order, at which rate.

Each is a function of ``arm``, ``budget`` and ``seed`` for :mod:`tl_helpers.studies.catalogue`, which lists and runs
them.
"""

from __future__ import annotations

import time
from functools import lru_cache

import keras
import numpy as np

from tl_helpers.datasets.dataset import sample_budget, with_wrong_labels
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.street import street
from tl_helpers.grid.stored import study_provenance
from tl_helpers.models.backbones import Backbone, load_backbone
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.street_runs import run_classifier
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


def freezing_sweep(arm, budget, seed, *, rate=None, split="test"):
    """Copy the first layers, frozen or not, and train the rest: the sweep of Yosinski et al. (2014), at home.

    Each seed splits the ten garments anew into task A and task B. Every network is trained for 400 updates of 32.

    Parameters
    ----------
    arm : {"AnB", "AnB+", "BnB", "BnB+", "RnB", "AnD", "AnD+", "RnD"}
        Source, n, target. Source: base network A or B, or R, random weights. Target: task B, or D, digits on the same
        backgrounds. The copied layers are frozen, or, with +, trained with the rest.
    budget : int
        n, how many of the five layers are copied. With 0 nothing is, and all arms of one target are the base network.
    seed : int
    rate : float
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in % on the target.
    """
    return dict(_sweep_run(arm if budget else f"-0{arm[2]}", budget, seed, rate, split))


@lru_cache(maxsize=8)  # trains
def _sweep_run(arm, budget, seed, rate, split):
    """Run once; without copied layers all arms of one target are the same run."""
    digits = arm[2] == "D"
    if digits:
        # There are no validation digits: the rate is chosen on the pool that notebooks call "target".
        held_out = "target" if split == "validation" else "test"
        train, test = street("photo", "source", "digit"), street("photo", held_out, "digit")
    else:
        classes = garment_halves(seed)[1]
        train, test = _half("source", classes), _half(split, classes)
    model = sweep_network(10 if digits else 5, seed=seed)
    if budget and not arm.startswith("R"):
        for name in SWEEP_LAYERS[:budget]:
            model.get_layer(name).set_weights(_base_weights(arm[0], seed)[name])
    frozen_upto = SWEEP_LAYERS[budget - 1] if budget and not arm.endswith("+") else None
    settings = {"learning_rate": rate, "updates": SWEEP_UPDATES, "seed": seed}
    fit_transfer(model, train, strategy="fine_tuning", upto=frozen_upto, **settings)
    return {"score": 100 * accuracy(model, test), "learning_rate": rate, "updates": SWEEP_UPDATES}


# ---------------------------------------------------------------- how deep, in which order, how fast


DEPTHS = ("none", "conv1", "conv2", "conv3", "conv4")
FACTOR = 2.6  # Howard and Ruder 2018, section 3.2


def freeze_sketches(arm, budget, seed, *, rate=None, split="test"):
    """What to freeze when the domain changes: garments in photographs → the same garments in line drawings.

    Parameters
    ----------
    arm : str
        ``"scratch"``; or the last frozen layer of the fine-tuned network, one of :data:`DEPTHS` (``"conv4"`` is linear
        probing); or a strategy that freezes for a while (``"lp_ft"``, ``"gradual_unfreezing"``) or slows down the early
        layers (``"discriminative"``: each stage 2.6 times slower than the one above).
    budget : int
        Labels per class.
    seed : int
    rate : float
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %; ``train_seconds``: CPU seconds; ``trainable``: parameters that move at the end.
    """
    labelled = sample_budget(street("sketch", "target"), budget, seed=seed)
    return _fit_arm(arm, labelled, street("sketch", split), "street_garments", rate=rate, seed=seed)


def freeze_shoes(arm, budget, seed, *, rate=None, split="test"):
    """What to freeze when the task becomes finer in the same domain: five families → three kinds of shoe.

    Parameters
    ----------
    arm, budget, seed, rate, split
        As for :func:`freeze_sketches`.

    Returns
    -------
    dict
    """
    labelled = sample_budget(street("photo", "target", "shoe"), budget, seed=seed)
    return _fit_arm(arm, labelled, street("photo", split, "shoe"), "street_families", rate=rate, seed=seed)


def freeze_rates(arm, budget, seed, *, rate=None, split="test"):
    """How much does the learning rate matter? As :func:`freeze_sketches` with 20 labels, at a given rate.

    Parameters
    ----------
    arm : str
        As for :func:`freeze_sketches`.
    budget : float
        The learning rate: nothing is tuned here.
    seed : int
    rate : None
    split : {"validation", "test"}

    Returns
    -------
    dict
    """
    del rate
    row = freeze_sketches(arm, 20, seed, rate=budget, split=split)
    return {name: value for name, value in row.items() if name != "learning_rate"}


WRONG = 0.3


def freeze_noisy_shoes(arm, budget, seed, *, rate=None, split="test"):
    """As :func:`freeze_shoes`, but 30 % of the training labels are wrong; those tested on are right.

    Parameters
    ----------
    arm, budget, seed, rate, split
        As for :func:`freeze_sketches`.

    Returns
    -------
    dict
    """
    labelled = with_wrong_labels(sample_budget(street("photo", "target", "shoe"), budget, seed=seed), WRONG, seed=seed)
    return _fit_arm(arm, labelled, street("photo", split, "shoe"), "street_families", rate=rate, seed=seed)


FREEZING_TARGETS = {"sketches": freeze_sketches, "shoes": freeze_shoes, "shoes, careless labels": freeze_noisy_shoes}


def fit_depth_once(target, labels, depth, *, seed=0):
    """Run one setting of a freezing study at the stored rate, on the test split.

    Parameters
    ----------
    target : str
        One of :data:`FREEZING_TARGETS`.
    labels : int
        Labels per class, one of the stored budgets.
    depth : str
        An arm of the study.
    seed : int

    Returns
    -------
    float
        Accuracy in %.
    """
    study = FREEZING_TARGETS[target]
    rate = study_provenance(study.__name__)["spec"]["rates"][f"{depth}/{labels}"]
    return study(depth, labels, seed, rate=rate)["score"]


def fit_arm_settings(arm):
    """Translate an arm of the freezing studies into arguments of :func:`tl_helpers.training.fit.fit_transfer`.

    Parameters
    ----------
    arm : str
        See :func:`freeze_sketches`.

    Returns
    -------
    dict
    """
    named = {
        "scratch": {"strategy": "scratch"},
        "none": {"strategy": "fine_tuning"},
        "conv4": {"strategy": "linear_probing"},
        "lp_ft": {"strategy": "lp_ft"},
        "gradual_unfreezing": {"strategy": "gradual_unfreezing"},
        "discriminative": {"strategy": "fine_tuning", "factors": FACTOR},
    }
    return named.get(arm) or {"strategy": "fine_tuning", "upto": arm}


def _fit_arm(arm, labelled, test, source, *, rate, seed):
    source = None if arm == "scratch" else source
    settings = {"rate": rate, "updates": 300, "seed": seed, **fit_arm_settings(arm)}
    model, row = run_classifier(source, labelled, test, **settings)
    return row | {"train_seconds": round(row["train_seconds"], 3), "trainable": _count_trainable(model)}


def _count_trainable(model):
    return int(trainable_report(model)["trainable"].sum())


# ---------------------------------------------------------------- a real backbone

BACKBONE_SIZE, BACKBONE_UPDATES = 96, 100
BACKBONE_CUTS = {"last 1 block": "block6", "last 2 blocks": "block5", "last 3 blocks": "block4"}


def backbone_depth(arm, budget, seed, *, rate=None, split="test"):
    """How much of an ImageNet backbone to fine-tune: eight groups of emoji at 96 pixels.

    Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    arm : {"logistic regression", "head", "last 1 block", "last 2 blocks", "last 3 blocks"}
        Logistic regression on standardised features computed once, or EfficientNet-Lite0 with all frozen but its head
        and so many of its seven blocks (and the last convolution).
    budget : int
        Labels per class.
    seed : int
    rate : float, optional
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %; ``train_seconds``: CPU seconds; ``trainable``: parameters that move.
    """
    labelled = sample_budget(load_emoji("noto", "train", fold=seed % 10, size=BACKBONE_SIZE), budget, seed=seed)
    test = load_emoji("noto", split, fold=seed % 10, size=BACKBONE_SIZE)
    backbone = load_backbone(size=BACKBONE_SIZE)
    if arm == "logistic regression":
        started = time.process_time()
        features = extract_features(backbone, labelled.x)
        classifier = probe(features, labelled.y)
        seconds = time.process_time() - started
        score = 100 * classifier.score(extract_features(backbone, test.x), test.y)
        trainable = len(labelled.label_names) * (features.shape[1] + 1)
        return {"score": score, "train_seconds": round(seconds, 3), "trainable": trainable}
    model = add_class_head(backbone, len(labelled.label_names), seed=seed)
    settings = {"strategy": "linear_probing"} if arm == "head" else {"strategy": "fine_tuning"}
    if arm in BACKBONE_CUTS:
        settings["upto"] = backbone.stages[BACKBONE_CUTS[arm]]
    fit = fit_transfer(model, labelled, learning_rate=rate, updates=BACKBONE_UPDATES, seed=seed, **settings)
    return {
        "score": 100 * accuracy(model, test),
        "learning_rate": rate,
        "updates": BACKBONE_UPDATES,
        "train_seconds": round(fit.cpu_seconds, 3),
        "trainable": _count_trainable(model),
    }
