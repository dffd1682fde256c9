"""Do the inputs fit the network? One array, of the right shape, of finite numbers, in the range it expects."""

from __future__ import annotations

import keras
import numpy as np

from tl_helpers.arguments import LARGEST, check_finite
from tl_helpers.models.pictures import check_pixels, shape_cure


def input_shape_of(model):
    """Return the shape of a model's inputs, and check that it has one of them, and one output.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    tuple of (int or None)
        The first is the number of inputs, None.

    Raises
    ------
    ValueError
        If there are several, the model does not know their shape yet, or it is no model.
    """
    if not isinstance(model, keras.Model):
        advice = "Put a head on it: add_class_head(backbone, n_classes, seed=0)." if hasattr(model, "model") else ""
        raise ValueError(f"The model must be a keras.Model, not a {type(model).__name__}. {advice}".strip())
    try:
        shapes = {"input": model.input_shape, "output": model.output_shape}
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"{model.name!r} does not know its shapes yet: it was not built. Begin a Sequential model with "
            f"keras.Input(shape), and make others as functional models, keras.Model(inputs, outputs)."
        ) from error
    for kind, shape in shapes.items():
        parts = keras.tree.flatten(model.inputs if kind == "input" else model.outputs)
        if len(parts) > 1:
            names = ", ".join(getattr(part, "name", "?") for part in parts)
            raise ValueError(
                f"{model.name!r} has {len(parts)} {kind}s ({names}), and this takes networks with one. Put them "
                f"together in one tensor (keras.layers.Concatenate), or train with Keras's own fit."
            )
        shapes[kind] = shape[0] if isinstance(shape, list) else shape
    return tuple(shapes["input"])


def as_array(value, name):
    """Turn array-likes (tensors, lists, tables) into an array of numbers, truth values or text.

    Parameters
    ----------
    value : array-like
    name : str

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If it is no such array.
    """
    if value is None:
        raise ValueError(f"{name} is None.")
    several = isinstance(value, list | tuple) and 1 < len(value) < 5 and all(hasattr(part, "shape") for part in value)
    if isinstance(value, dict) or (several and len({np.shape(part) for part in value}) > 1):
        raise ValueError(f"{name} holds {len(value)} arrays, for a network with as many. This takes networks with one.")
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array, and what is masked would count. Leave it out: .filled(…).")
    if hasattr(value, "toarray") or hasattr(value, "to_tensor"):
        cure = "toarray" if hasattr(value, "toarray") else "to_tensor"
        raise ValueError(f"{name} is a {type(value).__name__}; networks here take full arrays: .{cure}().")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be made an array of one shape and type: {error}") from error
    if array.dtype.kind == "O" and array.size and all(isinstance(each, str | bytes) for each in array.flat):
        array = array.astype("S") if isinstance(array.flat[0], bytes) else array.astype(str)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind not in "fciubU":
        raise ValueError(
            f"{name} holds {array.dtype} values instead of numbers. Arrays of one shape: np.stack(list(a)). A table "
            f"with mixed or missing values: fill them, then a.to_numpy('float32')."
        )
    if array.ndim == 0:
        raise ValueError(f"{name} is a single value instead of an array.")
    return array


def check_inputs(x, model, name):
    """Check that inputs fit a model: shape, finite numbers, and, with a warning, the range of pixel values.

    Parameters
    ----------
    x : array-like
        ``(n, …)``.
    model : keras.Model
    name : str
        What to call them in messages.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If they do not fit.
    """
    expected, x = input_shape_of(model)[1:], as_array(x, name)
    if x.dtype.kind == "U":
        raise ValueError(f"{name} holds text, and {model.name!r} takes numbers.")
    got = x.shape[1:]
    if len(expected) != len(got) or any(e not in (None, g) for e, g in zip(expected, got, strict=True)):
        raise ValueError(
            f"{_inputs(name)} have shape {got}, and {model.name!r} takes {expected}. {shape_cure(got, expected)}"
        )
    check_pixels(x, model, name, *check_finite(x, name, largest=LARGEST))
    return x


def _inputs(name):
    return f"The inputs of {name[5:]}" if name.startswith("x of ") else f"The inputs {name}"
