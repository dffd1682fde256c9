"""Which runs stand behind the eight routes? One small experiment per route, each with its honest baselines.

Each is a function of ``arm``, ``budget`` and ``seed`` for :mod:`tl_helpers.studies.catalogue`, as short as a screen.
What is compared with what stands in :data:`COMPARISONS`. Two endings mean the same everywhere: ``_longer`` gets four
times the updates, ``_gap`` pools its features by their global average before the head instead of flattening them.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from tl_helpers.datasets.collections import scraped_thumbnails, two_digit_collections
from tl_helpers.datasets.dataset import draw_per_class, sample_budget, with_wrong_labels
from tl_helpers.datasets.street import load_street_scenes, street
from tl_helpers.models.small_network import small_cnn
from tl_helpers.studies.street_runs import (
    held_out_scenes,
    run_classifier,
    run_detector,
    run_probe,
    run_shoe_scenes,
    starting_body,
)
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.multitask import scene_loss

UPDATES = 200


def _updates(arm):
    return 4 * UPDATES if arm.endswith("_longer") else UPDATES


def _head(arm):
    return "average" if arm.endswith("_gap") else "flatten"


def _row(arm, rate, score):
    return {"score": score, "learning_rate": rate, "updates": _updates(arm)}


def _classify(arm, source, labelled, test, *, rate, seed):
    """Train by the strategy that the arm's name begins with; return the row."""
    strategy = next(name for name in ("linear_probing", "fine_tuning", "scratch") if arm.startswith(name))
    if strategy == "scratch":
        source = None
    elif "random_source" in arm:
        source = _random_label_model()
    settings = {"rate": rate, "updates": _updates(arm), "seed": seed, "strategy": strategy, "head": _head(arm)}
    return run_classifier(source, labelled, test, **settings)[1]


@cache  # trains
def _random_label_model():
    """Train a source model on labels that mean nothing: the control for 'is it what the source knew?'."""
    data = street("photo", "source", "family")
    shuffled = dataclasses.replace(data, y=np.random.default_rng(0).permutation(data.y))
    model = small_cnn((28, 28, 1), len(data.label_names), seed=0)
    fit_transfer(model, shuffled, strategy="scratch", learning_rate=2e-3, updates=1500, batch_size=64, seed=0)
    return model


def task_fine_tuning(arm, budget, seed, *, rate=None, split="test"):
    """Five families of garments → three kinds of shoe, in the same photographs.

    Parameters
    ----------
    arm : str
        ``"scratch"``, ``"fine_tuning"``, ``"linear_probing"``; ``"regression"``, logistic regression on the source's
        features; ``"scratch_longer"``, ``"scratch_gap"``, ``"fine_tuning_gap"``; ``"fine_tuning_random_source"``,
        which starts from a source that was trained on shuffled labels.
    budget : int
        Labels per class.
    seed : int
    rate : float, optional
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    labelled = sample_budget(street("photo", "target", "shoe"), budget, seed=seed)
    test = street("photo", split, "shoe")
    if arm == "regression":
        return run_probe(starting_body("street_families", labelled.x.shape[1:], seed=seed), labelled, test)
    return _classify(arm, "street_families", labelled, test, rate=rate, seed=seed)


def domain_adaptation(arm, budget, seed, *, rate=None, split="test"):
    """Garments in photographs → the same garments in line drawings, or (arms with ``xray``) in x-rays.

    Parameters
    ----------
    arm : str
        ``"scratch"``, ``"fine_tuning"``, ``"linear_probing"``, ``"regression"``; ``"scratch_longer"``,
        ``"scratch_gap"``, ``"fine_tuning_gap"``; ``"scratch_xray"`` and ``"fine_tuning_xray"``.
    budget, seed, rate, split
        As for :func:`task_fine_tuning`.

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    view = "xray" if arm.endswith("_xray") else "sketch"
    labelled, test = sample_budget(street(view, "target"), budget, seed=seed), street(view, split)
    if arm == "regression":
        return run_probe(starting_body("street_garments", labelled.x.shape[1:], seed=seed), labelled, test)
    return _classify(arm, "street_garments", labelled, test, rate=rate, seed=seed)


def _detect(arm, scenes, test, *, rate, seed):
    """Train a detector of one object and return the row: mean overlap and the share found."""
    strategy = arm.removesuffix("_longer").removesuffix("_xray")
    source = None if strategy == "scratch" else "street_garments"
    settings = {"rate": rate, "updates": _updates(arm), "seed": seed, "strategy": strategy}
    overlap, row = run_detector(source, scenes, test, **settings)
    return row | {"hit_rate": 100 * (overlap > 0.5).mean()}


def task_adaptation(arm, budget, seed, *, rate=None, split="test"):
    """A classifier of garments → a box around the sneaker among other shoes.

    Parameters
    ----------
    arm : {"scratch", "scratch_longer", "fine_tuning", "linear_probing"}
    budget : int
        Labelled scenes.
    seed, rate, split
        As for :func:`task_fine_tuning`.

    Returns
    -------
    dict
        ``score``: mean intersection over union in %; ``hit_rate``: boxes with more than half, in %.
    """
    scenes = load_street_scenes("photo", "target", n=budget, seed=seed)
    return _detect(arm, scenes, held_out_scenes(split, "sneaker", "shoe"), rate=rate, seed=seed)


def modality_transfer(arm, budget, seed, *, rate=None, split="test"):
    """A classifier of garments → find the digit 3 among other digits, or (``xray``) the sneaker in x-rays.

    There are no validation digits: rates are chosen on scenes of the pool that a source model would have had.

    Parameters
    ----------
    arm : {"scratch", "scratch_longer", "fine_tuning", "linear_probing", "scratch_xray", "fine_tuning_xray"}
    budget, seed, rate, split
        As for :func:`task_adaptation`.

    Returns
    -------
    dict
        As for :func:`task_adaptation`.
    """
    if arm.endswith("_xray"):
        view, target, distractors = "xray", "sneaker", "shoe"
    else:
        view, target, distractors = "photo", "3", "digit"
        split = {"validation": "source"}.get(split, split)
    scenes = load_street_scenes(view, "target", n=budget, seed=seed, target=target, distractors=distractors)
    return _detect(arm, scenes, held_out_scenes(split, target, distractors, view), rate=rate, seed=seed)


def dataset_merging(arm, budget, seed, *, rate=None, split="test"):
    """Own labelled garments, and 1,500 scraped thumbnails of 14 × 14 pixels, of whose labels some are wrong.

    Parameters
    ----------
    arm : {"own", "own_longer", "own_gap", "merged_0", "merged_30", "merged_70", "merged_0_gap"}
        Own pictures alone, or thrown together with thumbnails of whose labels so many per cent are wrong.
    budget : int
        Own labels per class.
    seed, rate, split
        As for :func:`task_fine_tuning`.

    Returns
    -------
    dict
        ``score``: accuracy in % on own pictures.
    """
    own = sample_budget(street("photo", "target"), budget, seed=seed)
    x, y = own.x, own.y
    if arm.startswith("merged"):
        scraped = with_wrong_labels(scraped_thumbnails(seed), int(arm.split("_")[1]) / 100, seed=seed)
        x, y = np.concatenate([x, scraped.x]), np.concatenate([y, scraped.y])
    model = small_cnn((28, 28, 1), 10, head=_head(arm), seed=seed)
    fit_transfer(model, (x, y), strategy="scratch", learning_rate=rate, updates=_updates(arm), seed=seed)
    return _row(arm, rate, 100 * accuracy(model, street("photo", split)))


def weight_sharing(arm, budget, seed, *, rate=None, split="test"):
    """Digits from two collections: one network for both, or one for each.

    Parameters
    ----------
    arm : {"separate", "separate_longer", "separate_gap", "shared", "shared_gap", "own_stems"}
        ``"own_stems"`` shares all but the first layer: each collection comes in a channel of its own.
    budget : int
        Labels per class and collection.
    seed, rate, split
        As for :func:`task_fine_tuning`.

    Returns
    -------
    dict
        ``score``: accuracy in %, the mean of both collections.
    """
    train, test = {}, {}
    for number, (name, parts) in enumerate(two_digit_collections().items()):
        x, y = parts["train"]
        rows = draw_per_class(y, budget, seed=[seed, number])
        train[name], test[name] = (x[rows], y[rows]), parts[split]
    if arm == "own_stems":
        for pairs in (train, test):
            for number, name in enumerate(pairs):
                x = np.zeros((*pairs[name][0].shape[:3], 2), "uint8")
                x[..., number] = pairs[name][0][..., 0]
                pairs[name] = x, pairs[name][1]
    settings = {"strategy": "scratch", "learning_rate": rate, "updates": _updates(arm), "seed": seed}
    scores = []
    if arm.startswith("separate"):
        for name, data in train.items():
            model = small_cnn((28, 28, 1), 10, head=_head(arm), seed=seed)
            fit_transfer(model, data, **settings)
            scores.append(100 * accuracy(model, test[name]))
    else:
        both = tuple(np.concatenate(parts) for parts in zip(*train.values(), strict=True))
        model = small_cnn(both[0].shape[1:], 10, head=_head(arm), seed=seed)
        fit_transfer(model, both, **settings)
        scores = [100 * accuracy(model, test[name]) for name in test]
    return _row(arm, rate, float(np.mean(scores))) | {f"accuracy {n}": s for n, s in zip(train, scores, strict=True)}


def multi_task(arm, budget, seed, *, rate=None, split="test"):
    """Which shoe, where, and which pixels: one trunk for all three questions, or a network for each.

    Parameters
    ----------
    arm : {"class", "class_longer", "box", "mask", "joint", "joint_mask_0.1"}
        A network for one question; or one for all, in the last with a tenth of the weight on the mask.
    budget : int
        Labelled scenes.
    seed, rate, split
        As for :func:`task_fine_tuning`.

    Returns
    -------
    dict
        ``score``: accuracy in % of the class, or for ``"box"`` and ``"mask"`` the mean overlap in %; and as far as the
        arm answers them ``class``, ``box`` and ``mask``.
    """
    asked = arm.removesuffix("_longer")
    weights = {"class": 1.0, "box": 1.0, "mask": 0.1 if asked == "joint_mask_0.1" else 1.0}
    if asked in weights:
        weights = {task: float(task == asked) for task in weights}
    settings = {"rate": rate, "updates": _updates(arm), "seed": seed, "split": split}
    measured = run_shoe_scenes(scene_loss(weights), budget, **settings)
    measured = {task: value for task, value in measured.items() if weights[task]}
    return _row(arm, rate, measured[asked if asked in weights else "class"]) | measured


def parallel_training(arm, budget, seed, *, rate=None, split="test"):
    """Naming garments beside telling odd from even digits: two problems that share nothing but a trunk.

    Parameters
    ----------
    arm : {"separate", "separate_longer", "parallel"}
    budget : int
        Labels per garment; of digits there are 500 in all.
    seed, rate, split
        As for :func:`task_fine_tuning`.

    Returns
    -------
    dict
        ``score``: accuracy in % of the garments.
    """
    garments = sample_budget(street("photo", "target"), budget, seed=seed)
    test, settings = street("photo", split), {"updates": _updates(arm), "seed": seed, "learning_rate": rate}
    if arm.startswith("separate"):
        model = small_cnn((28, 28, 1), 10, head="flatten", seed=seed)
        fit_transfer(model, garments, strategy="scratch", **settings)
        return _row(arm, rate, 100 * accuracy(model, test))
    digits = street("photo", "source", "digit")
    rows = np.random.default_rng(seed).permutation(len(digits))[:500]
    x = np.concatenate([garments.x, digits.x[rows]])
    # Labels 0…9 are garments, 10 and 11 even and odd; each picture is only asked its own question.
    y = np.concatenate([garments.y, 10 + digits.y[rows] % 2])
    model = small_cnn((28, 28, 1), 12, head="flatten", seed=seed)
    fit_transfer(model, (x, y), strategy="scratch", loss=_own_question, **settings)
    predicted = model.predict(test.x, batch_size=500, verbose=0)[:, :10].argmax(axis=1)
    return _row(arm, rate, 100 * float((predicted == test.y).mean()))


def _own_question(target, output):
    """Cross-entropy among the ten garments for a garment, among the two parities for a digit."""
    is_digit = ops.cast(ops.expand_dims(target, -1) >= 10, output.dtype)
    asked = ops.concatenate([0 * output[:, :10] + is_digit, 0 * output[:, 10:] + 1 - is_digit], axis=-1)
    return keras.losses.sparse_categorical_crossentropy(target, output - 1e4 * asked, from_logits=True)


class Comparison(NamedTuple):
    """What the gain of a route is read from.

    Parameters
    ----------
    treatment, baseline : str
        Two arms.
    controls : tuple of str
        Arms that are the baseline with an advantage: a gain must hold against them too.
    chance : float
        The score of the best answer that is always the same, in %: the share of the commonest class among the test
        pictures (of two collections, the mean), or the overlap of the best single box with those of all test scenes.
    """

    treatment: str
    baseline: str
    controls: tuple[str, ...]
    chance: float


COMPARISONS = {
    "route_task_fine_tuning": Comparison("fine_tuning", "scratch", ("scratch_longer", "scratch_gap"), 35.3),
    "route_domain_adaptation": Comparison("fine_tuning", "scratch", ("scratch_longer", "scratch_gap"), 10.4),
    "route_task_adaptation": Comparison("fine_tuning", "scratch", ("scratch_longer",), 19.0),
    "route_modality_transfer": Comparison("fine_tuning", "scratch", ("scratch_longer",), 18.3),
    "route_dataset_merging": Comparison("merged_0", "own", ("own_longer", "own_gap"), 10.4),
    "route_weight_sharing": Comparison("shared", "separate", ("separate_longer", "separate_gap"), 11.4),
    "route_multi_task": Comparison("joint", "class", ("class_longer",), 35.8),
    "route_parallel_training": Comparison("parallel", "separate", ("separate_longer",), 10.4),
}

# What the arms of the main comparisons are called in sentences and legends.
ARM_NAMES = {
    "fine_tuning": "fine-tuning",
    "scratch": "training from scratch",
    "scratch_longer": "training from scratch with 4 times the updates",
    "scratch_gap": "training from scratch with another head",
    "linear_probing": "a frozen body with a new head",
    "merged_0": "own and scraped pictures together",
    "own": "own pictures alone",
    "own_longer": "own pictures alone with 4 times the updates",
    "own_gap": "own pictures alone with another head",
    "shared": "one network for both collections",
    "separate": "a network of its own",
    "separate_longer": "a network of its own with 4 times the updates",
    "separate_gap": "a network of its own with another head",
    "joint": "one network for class, box and mask",
    "class": "a network for the class alone",
    "class_longer": "a network for the class alone with 4 times the updates",
    "parallel": "one network for two unrelated problems",
}

# Arms without knowledge from elsewhere, and arms whose source knows nothing.
BASELINES = ("scratch", "own", "separate", "class", "box", "mask", "image", "text", "keywords", "late_fusion")
CONTROLS = ("fine_tuning_random_source",)


def role_of(arm):
    """Say what part an arm plays.

    Parameters
    ----------
    arm : str

    Returns
    -------
    {"transfer", "baseline", "control"}
    """
    if arm in CONTROLS:
        return "control"
    for ending in ("_longer", "_gap", "_xray", "_network", "_keywords"):
        arm = arm.removesuffix(ending)
    return "baseline" if arm in BASELINES else "transfer"
