"""Which runs stand behind three of the four simultaneous routes? One small experiment each, with its honest baselines.

Each is a function as short as a screen; the studies stand at the end, and what is compared with what in each of them.
Two settings mean the same everywhere: ``updates``, and ``head``: whether the features are flattened before the head or
pooled by their global average.
"""

from __future__ import annotations

from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.studies.street_runs import (
    run_shoe_scenes,
)
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.multitask import scene_loss

UPDATES, LONGER = 200, 800


def _row(rate, updates, score):
    return {"score": score, "learning_rate": rate, "updates": updates}


def multi_task(scenes, seed, *, rate=None, split="test", weights, score="class", updates=UPDATES):
    """Which shoe, where, and which pixels: one trunk for all three questions, or a network for each.

    Parameters
    ----------
    scenes : int
        Labelled scenes.
    seed, rate, split
        As for :func:`dataset_merging`.
    weights : dict of str to float
        Of the losses of ``"class"``, ``"box"`` and ``"mask"``; 0 leaves a question out.
    score : {"class", "box", "mask"}
    updates : int

    Returns
    -------
    dict
        ``score``: accuracy in % of the class, or the mean overlap in % of the box or the mask; and of what was asked
        ``class``, ``box`` and ``mask``.
    """
    settings = {"rate": rate, "updates": updates, "seed": seed, "split": split}
    measured = run_shoe_scenes(scene_loss(weights), scenes, **settings)
    measured = {task: value for task, value in measured.items() if weights[task]}
    return _row(rate, updates, measured[score]) | measured


# ---------------------------------------------------------------- the studies


def _arm(label, role, *, check_of=None, sparse=False, **settings):
    return Arm(label, role, settings, tuned=True, check_of=check_of, sparse=sparse)


def _study(name, function, arms, axis, *, chance, compared, metric="accuracy in %"):
    """Describe the study of one route: all with the same seeds and the same offer of rates.

    The chance is the share of the commonest class among the test pictures (of two collections, the mean), or the
    overlap of the best single box with those of all test scenes.
    """
    settings = {"rates": FEWER_RATES, "tuning_seeds": (100,), "metric": metric, "chance": chance, "compared": compared}
    return Study(name, function, arms, axis, seeds=tuple(range(6)), **settings)


def _longer(label, baseline, **settings):
    """Return a baseline's variant with four times the updates."""
    words = {"check_of": baseline, "sparse": True, "updates": LONGER}
    return {f"{baseline}_longer": _arm(f"{label} with 4 times the updates", "baseline", **words, **settings)}


def _gap(label, baseline, **settings):
    """Return a baseline's variant with another head, which pools features by their global average."""
    words = {"check_of": baseline, "sparse": True, "head": "average"}
    return {f"{baseline}_gap": _arm(f"{label} with another head", "baseline", **words, **settings)}


def _check(label, role, **settings):
    return _arm(label, role, sparse=True, **settings)


_LABELS = Axis("labels", "labels per class", (5, 10, 20, 50, 200))
_OWN, _SEPARATE, _CLASS = "own pictures alone", "a network of its own", "a network for the class alone"


def _alone(question):
    return {task: float(task == question) for task in ("class", "box", "mask")}


_ALL = dict.fromkeys(("class", "box", "mask"), 1.0)

STUDIES = (
    _study(
        "route_multi_task",
        multi_task,
        {
            "class": _arm(_CLASS, "baseline", weights=_alone("class")),
            "joint": _arm("one network for class, box and mask", "transfer", weights=_ALL),
        }
        | _longer(_CLASS, "class", weights=_alone("class"))
        | {
            "box": _check("a network for the box alone", "baseline", weights=_alone("box"), score="box"),
            "mask": _check("a network for the mask alone", "baseline", weights=_alone("mask"), score="mask"),
            "joint_mask_0.1": _check(
                "one network, a tenth of the weight on the mask", "transfer", weights=_ALL | {"mask": 0.1}
            ),
        },
        Axis("scenes", "labelled scenes", (50, 100, 200, 400, 800)),
        chance=35.8,
        compared=("joint", "class"),
    ),
)
