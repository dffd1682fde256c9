"""Which other runs stand behind multi-task learning in notebook 08? How losses are joined, and what is forgotten.

Forgotten is what a model knew that learns one thing after the other instead of both at once.

The studies stand at the end; :mod:`tl_helpers.studies.catalogue` lists those of all notebooks.
"""

from __future__ import annotations

import numpy as np

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.street import street
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies.street_runs import run_shoe_scenes
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.multitask import TASKS, forgetting, scene_loss

UPDATES = 200

# ---------------------------------------------------------------- several tasks in the same scenes


def task_weighting(scenes, seed, *, rate=None, split="test", weighting):
    """Who sets the weights? Class, box and mask of the shoe scenes, with three ways to join their losses.

    Parameters
    ----------
    scenes : int
        Labelled scenes.
    seed : int
    rate : float
    split : {"validation", "test"}
    weighting : {"static", "uncertainty", "pcgrad"}
        All weights 1; weights that are learned (Kendall, Gal and Cipolla 2018); gradients that are kept from undoing
        each other (Yu et al. 2020).

    Returns
    -------
    dict
        ``score``: the mean of ``class``, ``box`` and ``mask``, in %.
    """
    loss = {"static": scene_loss(dict.fromkeys(TASKS, 1.0)), "uncertainty": scene_loss("uncertainty")}.get(weighting)
    measured = run_shoe_scenes(loss, scenes, rate=rate, updates=UPDATES, seed=seed, split=split)
    return {"score": float(np.mean(list(measured.values()))), "learning_rate": rate, "updates": UPDATES} | measured


# ---------------------------------------------------------------- one after the other, or both at once

REPLAYED = 2000


def forgetting_garments(labels, seed, *, rate=None, split="test", way=None, learning_rate=None):
    """What does a classifier of photographs forget while it learns line drawings of the same garments?

    Parameters
    ----------
    labels : int
        Labelled line drawings per class.
    seed : int
    rate : None
        Nothing is tuned here.
    split : {"validation", "test"}
    way : {"linear_probing", "fine_tuning", "replay"}, optional
        ``"linear_probing"`` trains the head alone, ``"fine_tuning"`` everything, both on line drawings only;
        ``"replay"`` trains everything on line drawings and 2,000 photographs, half and half: both tasks at once. The
        source model as it is if it is left out.
    learning_rate : float, optional

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
    if way is not None:
        row = {"updates": UPDATES, "learning_rate": learning_rate}
        learn_sketches(
            model, sample_budget(street("sketch", "target"), labels, seed=seed), way, learning_rate, seed=seed
        )
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


# ---------------------------------------------------------------- the studies


def _learned(label, role, way, rate):
    return {f"{way} {rate:g}": Arm(f"{label} at {rate:g}", role, {"way": way, "learning_rate": rate})}


STUDIES = (
    Study(
        "task_weighting",
        task_weighting,
        arms={
            "static": Arm("all weights 1", "baseline", {"weighting": "static"}, tuned=True),
            "uncertainty": Arm("weights learned", "transfer", {"weighting": "uncertainty"}, tuned=True),
            "pcgrad": Arm("gradients projected", "transfer", {"weighting": "pcgrad"}, tuned=True),
        },
        axis=Axis("scenes", "labelled scenes", (100, 400)),
        seeds=tuple(range(5)),
        rates=FEWER_RATES,
        metric="mean of accuracy and two mean IoUs in %",
        compared=("uncertainty", "static"),
    ),
    Study(
        "forgetting_garments",
        forgetting_garments,
        arms={"before": Arm("the source model as it is", "baseline")}
        | _learned("the head alone", "transfer", "linear_probing", 3e-3)
        | _learned("fine-tuning", "transfer", "fine_tuning", 3e-4)
        | _learned("fine-tuning", "transfer", "fine_tuning", 1e-3)
        | _learned("fine-tuning", "transfer", "fine_tuning", 3e-3)
        | _learned("replay", "transfer", "replay", 3e-4)
        | _learned("replay", "transfer", "replay", 1e-3)
        | _learned("replay", "transfer", "replay", 3e-3),
        axis=Axis("labels", "labels per class", (20, 200)),
        seeds=tuple(range(5)),
        chance=10.0,
        compared=("replay 0.001", "fine_tuning 0.001"),
    ),
)
