"""Does a classifier gain from boxes that say where to look? The study of Multi-Task Learning, on scenes of emoji.

Which of six mammals stands in the scene is what one wants to know; where it stands is the auxiliary task.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import keras
import numpy as np
from scipy.special import softmax

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.mammal_scenes import load_mammal_scenes
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.multitask import add_scene_heads, measure_scenes, scene_loss, scene_targets

UPDATES, LONGER, BATCH = 400, 1600, 16
SCENES = (100, 150, 200, 250, 300)
MEASURED = 300  # scenes, of each mammal as many
HEADS = ("where the box is", "average")


def mammal_in_scene(
    scenes,
    seed,
    *,
    rate=None,
    split="test",
    weights,
    head="where the box is",
    shuffled=False,
    score="class",
    updates=UPDATES,
):
    """Name the mammal in a scene, with or without learning where it stands, from scratch.

    Each seed draws six mammals and their scenes. Those that choose rates and those that measure have no mammal in
    common, and what stands beside the mammals is not what stood there in the scenes to learn from.

    Parameters
    ----------
    scenes : int
        Labelled scenes, 1…300.
    seed : int
    rate : float
        Learning rate.
    split : {"validation", "test"}
    weights : dict of str to float
        Of the losses of ``"class"`` and ``"box"``; a task without one is not learned.
    head : {"where the box is", "average"}
        What the class is told from: the features where the box head believes the mammal
        (:func:`tl_helpers.training.multitask.add_scene_heads`), whoever taught it so; or their average over the scene,
        in a network without boxes.
    shuffled : bool
        Whether the boxes are dealt out anew among the scenes: as many, and none says where the mammal is.
    score : {"class", "box"}
    updates : int

    Returns
    -------
    dict
        ``score``, ``learning_rate``, ``updates``, and in %: ``class`` (accuracy) and ``box`` (mean overlap) if they
        were learned; ``gaze``, see :func:`gaze_on_boxes`, where there is a box head.

    Raises
    ------
    ValueError
        If there is no such head, or it has no boxes to learn.
    """
    check_choice("head", head, HEADS)
    if head == "average" and set(weights) != {"class"}:
        raise ValueError(f"A head on the average has the class alone to learn, not {' and '.join(weights)}.")
    labelled, measured = labelled_scenes(seed, split).subset(np.arange(scenes)), measured_scenes(seed, split)
    body, n_classes = small_cnn_body(labelled.x.shape[1:], seed=seed), len(labelled.label_names)
    settings = {"strategy": "scratch", "learning_rate": rate, "updates": updates, "batch_size": BATCH, "seed": seed}
    row = {"learning_rate": rate, "updates": updates}
    if head == "average":
        model = add_class_head(body, n_classes, seed=seed)
        fit_transfer(model, labelled, **settings)
        right = 100 * accuracy(model, measured)
        return {"score": right, "class": right} | row
    if shuffled:
        labelled = deal_boxes_anew(labelled, seed=seed)
    model = add_scene_heads(body, n_classes, seed=seed)
    fit_transfer(model, (labelled.x, scene_targets(labelled)), loss=scene_loss(weights), **settings)
    learned = {task: value for task, value in measure_scenes(model, measured).items() if task in weights}
    return {"score": learned[score]} | row | learned | {"gaze": gaze_of(model, measured)}


@cache  # some seconds
def labelled_scenes(seed, pool):
    """Return the scenes to learn from, as many as a run needs at most.

    Parameters
    ----------
    seed : int
    pool : {"validation", "test"}

    Returns
    -------
    Dataset
        See :func:`tl_helpers.datasets.mammal_scenes.load_mammal_scenes`.
    """
    return load_mammal_scenes(max(SCENES), seed=seed, pool=pool)


@cache
def measured_scenes(seed, pool):
    """Return the scenes that a run is measured on.

    Parameters
    ----------
    seed, pool
        See :func:`labelled_scenes`.

    Returns
    -------
    Dataset
    """
    return load_mammal_scenes(MEASURED, seed=seed, pool=pool, series="measured")


def deal_boxes_anew(scenes, *, seed):
    """Give scenes each other's boxes and masks.

    Parameters
    ----------
    scenes : Dataset
    seed : int

    Returns
    -------
    Dataset
    """
    order = np.random.default_rng([seed, 2]).permutation(len(scenes))
    return dataclasses.replace(scenes, boxes=scenes.boxes[order], masks=scenes.masks[order])


def gaze_of(model, scenes):
    """Measure with :func:`gaze_on_boxes` where a model's class head looks.

    Parameters
    ----------
    model : keras.Model
        From :func:`tl_helpers.training.multitask.add_scene_heads`.
    scenes : Dataset
        With boxes, square.

    Returns
    -------
    float
        In %, the mean over scenes.
    """
    boxes = keras.Model(model.input, model.get_layer("head_box").output)
    scores = boxes.predict(scenes.x, batch_size=100, verbose=0)[..., 0]
    return 100 * float(gaze_on_boxes(scores, scenes.boxes, cell=scenes.x.shape[1] / scores.shape[1]).mean())


def gaze_on_boxes(scores, boxes, cell):
    """Say how much of what a class head averages over lies in a box.

    Parameters
    ----------
    scores : numpy.ndarray
        ``(n, h', w')``: the logit of each cell; their softmax are the weights of the average.
    boxes : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom in pixels; right and bottom are exclusive.
    cell : float
        Side of a cell in pixels.

    Returns
    -------
    numpy.ndarray
        ``(n,)``, 0…1: the sum of the weights of all cells whose middle lies in the box.
    """
    n, height, width = scores.shape
    weights = softmax(scores.reshape(n, -1).astype("float64"), axis=1).reshape(scores.shape)
    y, x = (np.arange(height) + 0.5) * cell, (np.arange(width) + 0.5) * cell
    left, top, right, bottom = boxes.T[..., None]
    rows, columns = (top <= y) & (y < bottom), (left <= x) & (x < right)
    return (weights * (rows[:, :, None] & columns[:, None, :])).sum(axis=(1, 2))


def _arm(label, role, *, check_of=None, sparse=False, values=None, **settings):
    return Arm(label, role, settings, tuned=True, check_of=check_of, sparse=sparse, values=values)


# On seeds that choose rates, the weight of the box was chosen among 0.3 and 1, and the number of updates such that more
# of them bring little to a network for the class alone. (With 800 scenes and 1,000 updates it learns to look alone.)
_CLASS, _BOTH = {"class": 1.0}, {"class": 1.0, "box": 0.3}

STUDIES = (
    Study(
        "route_multi_task",
        mammal_in_scene,
        arms={
            # The usual head is the stronger rival: without boxes, the one that looks somewhere does not know where.
            "class": _arm("the class alone", "baseline", weights=_CLASS, head="average"),
            "joint": _arm("class and box", "transfer", weights=_BOTH),
            "class_longer": _arm(
                "the class alone with 4 times the updates",
                "baseline",
                check_of="class",
                values=(max(SCENES),),
                weights=_CLASS,
                head="average",
                updates=LONGER,
            ),
            "class_there": _arm("the joint network's head without boxes", "control", values=(300,), weights=_CLASS),
            "shuffled": _arm("class and shuffled boxes", "control", values=(300,), weights=_BOTH, shuffled=True),
            "box": _arm("the box alone", "baseline", values=(300,), weights={"box": 1.0}, score="box"),
        },
        axis=Axis("scenes", "labelled scenes", SCENES),
        seeds=tuple(range(10)),
        rates=FEWER_RATES,
        # Each of six mammals stands in as many of the scenes that measure.
        chance=100 / 6,
        compared=("joint", "class"),
    ),
)
