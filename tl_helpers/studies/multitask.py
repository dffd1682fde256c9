"""Which runs stand behind multi-task learning in notebook 06? How much the other tasks count, how losses are joined,
and what a model forgets that learns one thing after the other instead of both at once.

Each is a function of ``arm``, ``budget`` and ``seed`` for :mod:`tl_helpers.studies.catalogue`, which lists and runs
them.
"""

from __future__ import annotations

import numpy as np

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.street import street
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies.street_runs import run_shoe_scenes
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.multitask import TASKS, forgetting, scene_loss

UPDATES = 200

# ---------------------------------------------------------------- several tasks in the same scenes

IMPORTANCE_SCENES = 100


def task_importance(arm, budget, seed, *, rate=None, split="test"):
    """How much should the other tasks count? One task of the shoe scenes is meant, two are there to help it.

    Parameters
    ----------
    arm : {"class", "box", "mask"}
        The task that is meant; its loss has weight 1.
    budget : float
        Weight of each of the other two losses; 0 leaves them out. There are 100 labelled scenes.
    seed : int
    rate : float
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: of the task that is meant, in %; ``class`` (accuracy), ``box`` and ``mask`` (mean intersection over
        union), all in %, of those that were trained.
    """
    weights = {task: 1.0 if task == arm else budget for task in TASKS}
    measured = run_shoe_scenes(
        scene_loss(weights), IMPORTANCE_SCENES, rate=rate, updates=UPDATES, seed=seed, split=split
    )
    trained = {task: value for task, value in measured.items() if weights[task]}
    return {"score": trained[arm], "learning_rate": rate, "updates": UPDATES} | trained


def task_weighting(arm, budget, seed, *, rate=None, split="test"):
    """Who sets the weights? Class, box and mask of the shoe scenes, with three ways to join their losses.

    Parameters
    ----------
    arm : {"static", "uncertainty", "pcgrad"}
        All weights 1; weights that are learned (Kendall, Gal and Cipolla 2018); gradients that are kept from undoing
        each other (Yu et al. 2020).
    budget : int
        Labelled scenes.
    seed, rate, split
        As for :func:`task_importance`.

    Returns
    -------
    dict
        ``score``: the mean of ``class``, ``box`` and ``mask``, in %.
    """
    loss = {"static": scene_loss(dict.fromkeys(TASKS, 1.0)), "uncertainty": scene_loss("uncertainty")}.get(arm)
    measured = run_shoe_scenes(loss, budget, rate=rate, updates=UPDATES, seed=seed, split=split)
    return {"score": float(np.mean(list(measured.values()))), "learning_rate": rate, "updates": UPDATES} | measured


# ---------------------------------------------------------------- one after the other, or both at once

REPLAYED = 2000
FORGETTING_ARMS = (
    "before",
    "linear_probing 0.003",
    *(f"{way} {rate:g}" for way in ("fine_tuning", "replay") for rate in (3e-4, 1e-3, 3e-3)),
)


def forgetting_garments(arm, budget, seed, *, rate=None, split="test"):
    """What does a classifier of photographs forget while it learns line drawings of the same garments?

    Parameters
    ----------
    arm : str
        ``"before"``: the source model as it is. Else a way and a learning rate, such as ``"fine_tuning 0.001"``:
        ``"linear_probing"`` trains the head alone, ``"fine_tuning"`` everything, both on line drawings only;
        ``"replay"`` trains everything on line drawings and 2,000 photographs, half and half: both tasks at once.
    budget : int
        Labelled line drawings per class.
    seed : int
    rate : None
        Nothing is tuned here.
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in % on line drawings; ``source``: on photographs; ``forgotten``: what it lost there, in
        points.
    """
    del rate
    before, model = load_source_model("street_garments"), load_source_model("street_garments")
    sketches, photos = street("sketch", split), street("photo", split)
    row = {"updates": 0}
    if arm != "before":
        way, rate = arm.split()
        row = {"updates": UPDATES, "learning_rate": float(rate)}
        learn_sketches(model, sample_budget(street("sketch", "target"), budget, seed=seed), way, float(rate), seed=seed)
    row["source"] = 100 * accuracy(model, photos)
    row["forgotten"] = forgetting(before, model, photos)
    return {"score": 100 * accuracy(model, sketches)} | row


def learn_sketches(model, sketches, way, rate, *, seed):
    """Go on training a classifier of photographs on line drawings, in place.

    Parameters
    ----------
    model : keras.Model
    sketches : Dataset
    way : {"linear_probing", "fine_tuning", "replay"}
    rate : float
        Learning rate.
    seed : int
    """
    data, batch_size = (sketches.x, sketches.y), 32
    if way == "replay":
        photos = street("photo", "source")
        rows = np.random.default_rng(seed).permutation(len(photos))[:REPLAYED]
        # Line drawings are repeated until they are as many, and batches are twice as large: 32 of each in the mean.
        again = np.resize(np.arange(len(sketches)), REPLAYED)
        x, y = np.concatenate([sketches.x[again], photos.x[rows]]), np.concatenate([sketches.y[again], photos.y[rows]])
        data, batch_size = (x, y), 64
    strategy = "linear_probing" if way == "linear_probing" else "fine_tuning"
    settings = {"learning_rate": rate, "updates": UPDATES, "batch_size": batch_size, "seed": seed}
    fit_transfer(model, data, strategy=strategy, **settings)
