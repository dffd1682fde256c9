"""What does a copy of a model forget? Files and copies that stay frozen as the model was.

``model.save`` writes ``trainable`` of each layer, but not of the layers inside it: after ``keras.models.load_model``
and ``keras.models.clone_model`` the kernels of a frozen ``MultiHeadAttention``, or of a block of one's own, move again
(tensorflow/tensorflow#45537). The functions here keep all of it. Their files are ordinary ``.keras`` files.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras

from tl_helpers.files import atomic_path
from tl_helpers.training.freezing import freeze_as, freeze_exactly, freezing_of, frozen_layers
from tl_helpers.training.weights import paired_weights

_ENTRY = "freezing.json"


def save_model(model, path):
    """Save a model with everything that is frozen in it.

    Parameters
    ----------
    model : keras.Model
    path : path-like
        A file whose name ends with ``.keras``. A kill or a full disk leaves what was there before.

    Raises
    ------
    ValueError
        If the name ends otherwise.

    Notes
    -----
    The file is the one of ``model.save`` with one more entry in its archive, which Keras passes over.
    """
    if Path(path).suffix != ".keras":
        raise ValueError(f"The file's name must end with .keras; it is {Path(path).name!r}.")
    with atomic_path(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_ENTRY, json.dumps(freezing_of(model)))


def load_model(path, *, custom_objects=None) -> keras.Model:
    """Load a model, frozen as it was when it was saved. Compile it before ``fit``.

    Parameters
    ----------
    path : path-like
        A ``.keras`` file from :func:`save_model` or ``model.save``. In the latter what is frozen inside a layer that
        moves is not written down.
    custom_objects : dict of str to type or callable, optional
        Classes and functions of one's own, by name, as for ``keras.models.load_model``.

    Returns
    -------
    keras.Model
        Not compiled: what was frozen decides what an optimizer holds.
    """
    path = Path(path).expanduser()
    model = keras.models.load_model(path, custom_objects=custom_objects, compile=False)
    with zipfile.ZipFile(path) as archive:
        records = json.loads(archive.read(_ENTRY)) if _ENTRY in archive.namelist() else None
    if records is None:
        freeze_exactly(model, frozen_layers(model))
    else:
        freeze_as(model, records)
    return model


def copy_model(model) -> keras.Model:
    """Copy a model: its layers, its weights and what is frozen. Training the one does not change the other.

    Parameters
    ----------
    model : keras.Model
        A functional or a built sequential model.

    Returns
    -------
    keras.Model
        Not compiled.
    """
    copy = keras.models.clone_model(model)
    for weight, twin in paired_weights(model, copy):
        twin.assign(weight)
    freeze_as(copy, freezing_of(model))
    return copy
