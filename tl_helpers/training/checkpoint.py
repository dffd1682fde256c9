"""Where did an interrupted run stop? A file with the model's state at the end of a phase of training."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tl_helpers.files import atomic_path
from tl_helpers.grid.identity import fingerprint
from tl_helpers.grid.networks import describe
from tl_helpers.models.graph import leaves_of

# Of a plan, what does not decide how a run goes, and layers and weights, which are told in another way.
_NO_SETTINGS = ("cache", "phases", "fixed", "said")


class PhaseEnd(NamedTuple):
    """What a finished phase of training has left, besides the weights.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        Of the history, one row per update.
    cached : bool
        Whether the frozen part was run once.
    note : str
        A sentence that says so, or why not.
    """

    columns: dict[str, np.ndarray]
    cached: bool
    note: str


class Checkpoint(NamedTuple):
    """The finished phases of a run.

    Parameters
    ----------
    phases : list of PhaseEnd
    seconds, cpu_seconds : float
        Wall-clock and processor time so far.
    values : list of numpy.ndarray
        The model's weights, in the order of ``model.weights``. Random numbers start anew in every phase.
    """

    phases: list[PhaseEnd]
    seconds: float
    cpu_seconds: float
    values: list[np.ndarray]


def run_key(model, plan, data, held_out):
    """Hash all that decides how a run goes: network, starting weights, data and settings.

    Parameters
    ----------
    model : keras.Model
    plan : tl_helpers.training.plan.TrainingPlan
    data, held_out : Examples
        `held_out` may be None.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If it cannot be told for certain what a layer or setting computes.
    """
    settings = {field.name: getattr(plan, field.name) for field in fields(plan) if field.name not in _NO_SETTINGS}
    phases = [
        {field.name: getattr(phase, field.name) for field in fields(phase) if field.name != "frozen"}
        for phase in plan.phases
    ]
    fixed = {id(weight) for weight in plan.fixed}
    pairs = [[] if pair is None else [array for array in pair if array is not None] for pair in (data, held_out)]
    described = {
        "settings": settings,
        "phases": phases,
        "fixed": [number for number, weight in enumerate(model.weights) if id(weight) in fixed],
        "network": describe(model),
        # Without the numbers that Keras appends to a name which it has given before.
        "names": [re.sub(r"_\d+$", "", layer.name) for layer in leaves_of(model)],
    }
    return fingerprint(described, [weight.numpy() for weight in model.weights], pairs)


def read_checkpoint(path, key):
    """Read a checkpoint.

    Parameters
    ----------
    path : path-like
    key : str
        From :func:`run_key`.

    Returns
    -------
    Checkpoint or None
        None where there is none; also, with a warning, where the file is damaged.

    Raises
    ------
    ValueError
        If the file belongs to another run.
    """
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            values = [archive[f"value_{number}"] for number in range(about["values"])]
            phases = [
                PhaseEnd({name: archive[f"history_{number}_{name}"] for name in names}, cached, note)
                for number, (names, cached, note) in enumerate(about["phases"])
            ]
            wall, cpu = about["seconds"]
    except FileNotFoundError:
        return None
    except Exception as error:  # damage makes zipfile and NumPy raise a dozen kinds
        warnings.warn(f"{path} is damaged ({error}); the run starts at its beginning.", stacklevel=4)
        return None
    if about["key"] != key:
        raise ValueError(
            f"{path} belongs to another run: model, starting weights, data or settings differ. After an "
            f"interruption the model has other weights than at the start: build or load it anew. To start this run, "
            f"delete the file or give another one to resume."
        )
    return Checkpoint(phases, wall, cpu, values)


def write_checkpoint(path, key, checkpoint):
    """Write a checkpoint; a kill or a full disk leaves the one before it.

    Parameters
    ----------
    path : path-like
    key : str
    checkpoint : Checkpoint
    """
    about = {
        "key": key,
        "phases": [[list(phase.columns), phase.cached, phase.note] for phase in checkpoint.phases],
        "seconds": [checkpoint.seconds, checkpoint.cpu_seconds],
        "values": len(checkpoint.values),
    }
    arrays = {f"value_{number}": _storable(value) for number, value in enumerate(checkpoint.values)}
    for number, phase in enumerate(checkpoint.phases):
        arrays |= {f"history_{number}_{name}": column for name, column in phase.columns.items()}
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
    except OSError as error:
        warnings.warn(
            f"{path} could not be written ({error.strerror or error}): if this run is interrupted, it will start again "
            f"from an earlier phase. Free some space there or choose another place.",
            stacklevel=4,
        )


def _storable(value):
    """Widen numbers of a kind that NumPy does not know, such as bfloat16: of them it would keep the bytes alone."""
    return value.astype("float32") if value.dtype.kind == "V" else value
