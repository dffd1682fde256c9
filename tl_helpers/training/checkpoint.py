"""Where did an interrupted run stop? A file with the model's state at the end of a phase of training."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tl_helpers.files import atomic_path
from tl_helpers.grid.identity import fingerprint
from tl_helpers.grid.networks import describe
from tl_helpers.models.graph import leaves_of


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The finished phases of a run.

    Parameters
    ----------
    histories : list of dict of str to numpy.ndarray
        Columns of each finished phase.
    notes : list of (bool, str)
    seconds : tuple of float
        Wall-clock and processor time so far.
    values : list of numpy.ndarray
        The model's weights, in the order of ``model.weights``. Random numbers start anew in every phase.
    """

    histories: list
    notes: list
    seconds: tuple
    values: list


def run_key(model, phases, settings, batch_size, seed, *data):
    """Hash all that decides how a run goes: network, starting weights, data and settings.

    Parameters
    ----------
    model : keras.Model
    phases : sequence of dataclass
    settings : dict
    batch_size, seed : int
    *data : tuple of numpy.ndarray or None

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If it cannot be told for certain what a layer or setting computes.
    """
    described = {
        # Functions and classes among them (a loss) by what they compute. How the run is sped up decides nothing.
        "settings": fingerprint({name: settings[name] for name in sorted(settings) if name != "cache"}),
        "phases": [asdict(phase) for phase in phases],
        "batch_size": batch_size,
        "seed": seed,
        "network": describe(model),
        # Without the numbers that Keras appends to a name which it has given before.
        "names": [re.sub(r"_\d+$", "", layer.name) for layer in leaves_of(model)],
        "data": [[[str(array.dtype), array.shape] for array in pair] if pair else None for pair in data],
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    for array in (array for pair in data if pair for array in pair):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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
            histories = [
                {name: archive[f"history_{number}_{name}"] for name in names}
                for number, names in enumerate(about["columns"])
            ]
    except FileNotFoundError:
        return None
    except Exception as error:  # damage makes zipfile and NumPy raise a dozen kinds
        warnings.warn(f"{path} is damaged ({error}); the run starts at its beginning.", stacklevel=3)
        return None
    if about["key"] != key:
        raise ValueError(
            f"{path} belongs to another run: model, starting weights, data or settings differ. After an "
            f"interruption the model has other weights than at the start: build or load it anew. To start this run, "
            f"delete the file or give another one to resume."
        )
    return Checkpoint(histories, [tuple(note) for note in about["notes"]], tuple(about["seconds"]), values)


def write_checkpoint(path, key, histories, notes, seconds, values):
    """Write a checkpoint; a kill or a full disk leaves the one before it.

    Parameters
    ----------
    path : path-like
    key : str
    histories, notes, seconds, values
        See :class:`Checkpoint`.
    """
    about = {
        "key": key,
        "notes": notes,
        "seconds": seconds,
        "values": len(values),
        "columns": [list(history) for history in histories],
    }
    arrays = {f"value_{number}": _storable(value) for number, value in enumerate(values)}
    for number, history in enumerate(histories):
        arrays |= {f"history_{number}_{name}": column for name, column in history.items()}
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
    except OSError as error:
        warnings.warn(
            f"{path} could not be written ({error.strerror or error}): if this run is interrupted, it will start again "
            f"from an earlier phase. Free some space there or choose another place.",
            stacklevel=3,
        )


def _storable(value):
    """Widen numbers of a kind that NumPy does not know, such as bfloat16: of them it would keep the bytes alone."""
    return value.astype("float32") if value.dtype.kind == "V" else value
