"""Do the data fit the network? Checked once, before anything is touched, with a sentence for what does not fit."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from tl_helpers.arguments import LARGEST, check_finite
from tl_helpers.models.inputs import check_inputs, input_shape_of
from tl_helpers.training.losses import check_loss, default_loss
from tl_helpers.training.reading import label_names_of, unpack


class Examples(NamedTuple):
    """A data set that fits a model.

    Parameters
    ----------
    x, y : numpy.ndarray
        Inputs and targets, ``(n, …)``.
    weights : numpy.ndarray, optional
        ``float32``, ``(n,)`` or ``(n, 1)``: how much each example counts.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None


def check_data(data, model, loss, name, *, weighted=False, class_weight=None, label_names=None):
    """Unpack a data set and check that it fits a model.

    Parameters
    ----------
    data : Dataset, tuple or list of array-like, tf.data.Dataset or keras.utils.PyDataset
        ``(x, y)``, or ``(x, y, sample_weight)`` where `weighted` allows it. Streams are read once, into memory.
    model : keras.Model
    loss : optional
        None stands for classes, which are checked as well.
    name : str
        What to call the data in messages; ``"train"`` must hold every class.
    weighted : bool
        Whether examples may count differently.
    class_weight : dict of int to float, optional
        How much the examples of each class count: 1 for a class that is not in it.
    label_names : sequence of str, optional
        Names of the classes, for data whose targets are names and that know none themselves.

    Returns
    -------
    Examples
        With weights only if the data have some, or there is a `class_weight`.

    Raises
    ------
    ValueError
        If they do not fit, or hold a number that is not finite.
    """
    input_shape_of(model)
    x, y, *weights = unpack(data, model, name)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{name} has {len(x)} inputs and {len(y)} targets; there must be as many, and at least one.")
    names = label_names_of(data)
    x, y = check_inputs(x, model, f"x of {name}"), _numbers(y, names if names is not None else label_names, name)
    check_finite(y, f"y of {name}", largest=LARGEST)
    if weights and not weighted:
        raise ValueError(f"{name} has a weight per example, which counts for training alone. Give (x, y) here.")
    if weights and class_weight is not None:
        raise ValueError("Keras takes the weights of examples or of classes, not both. Multiply them yourself.")
    if weights:
        weights = [_check_weights(weights[0], len(x), name)]
    if loss is not None:
        check_loss(loss, model, y, name)
        if class_weight is not None:
            weights = [_weights_by_class(class_weight, y, model, name)]
        return Examples(x, y, *weights)
    if name != "data":
        default_loss(model)
    elif model.output_shape[-1] == 1:
        raise ValueError(
            f"{model.name!r} has one output, and classes are told apart by one output each. Compare by yourself: "
            f"((model.predict(x)[:, 0] > 0.5) == y).mean(), with 0 in place of 0.5 for logits."
        )
    classes = model.output_shape[-1]
    if y.dtype.kind == "b":
        y = y.astype("int64")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"The targets of {name} must be integers 0…{classes - 1}, one per input, for a model with {classes} "
            f"outputs; they are {y.dtype} of shape {y.shape}, {y.min()}…{y.max()}. Pass a loss for other targets."
        )
    if names is not None and (len(names) > classes if name == "data" else len(names) != classes):
        raise ValueError(
            f"{name} knows {len(names)} classes ({_listed(names)}), and {model.name!r} has {classes} outputs. Give it "
            f"one output per class."
        )
    if name == "train":
        missing = np.flatnonzero(np.bincount(y, minlength=classes) == 0)
        names = names or list(range(classes))
        if len(missing) == classes - 1:
            raise ValueError(
                f"Every training example is of class {names[y[0]]!r}: with one class nothing can be learned."
            )
        if len(missing):
            missing = ", ".join(repr(names[label]) for label in missing)
            raise ValueError(f"No training example of class {missing}. Add some, or give the model fewer outputs.")
    if class_weight is not None:
        weights = [_weights_by_class(class_weight, y, model, name)]
    return Examples(x, y, *weights)


def _numbers(y, names, name):
    """Return targets as numbers: names of classes become their indices, where the data know the names."""
    if y.dtype.kind != "U":
        return y
    examples = _listed(list(dict.fromkeys(y.flat)))
    if names is None:
        raise ValueError(
            f"The targets of {name} are text ({examples}). Give class indices, the same ones for all data: "
            f"names = sorted(set(y_train)), then np.array([names.index(label) for label in y])."
        )
    unknown = [label for label in dict.fromkeys(y.flat) if label not in names]
    if unknown:
        raise ValueError(f"{name} has targets {_listed(unknown)}, which are not among its classes, {_listed(names)}.")
    return np.array([names.index(label) for label in y.flat], "int64").reshape(y.shape)


def _listed(names):
    """List the first few names."""
    return ", ".join(map(repr, map(str, names[:6]))) + (", …" if len(names) > 6 else "")


def check_label_names(train, validation):
    """Check that two data sets mean the same classes by the same indices, where both know their classes' names.

    Parameters
    ----------
    train, validation : Dataset or tuple of numpy.ndarray

    Raises
    ------
    ValueError
        If they do not.
    """
    ours, theirs = label_names_of(train), label_names_of(validation)
    if ours is None or theirs is None or ours == theirs:
        return
    order = " in another order" if sorted(ours) == sorted(theirs) else ""
    raise ValueError(
        f"The classes of train are {_listed(ours)}, those of validation {_listed(theirs)}: the same index means "
        f"another class{order}. Number the labels of both by one list of names."
    )


def _check_weights(weights, n, name):
    """Return the weights of examples as Keras takes them, or say what is wrong with them."""
    array = np.asarray(weights)
    if array.dtype.kind not in "fiub" or array.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"The weights of {name} must be numbers, one per example: shape ({n},). They are {array.dtype} of shape "
            f"{array.shape}."
        )
    check_finite(array, f"sample_weight of {name}", largest=LARGEST)
    if array.min() < 0 or not array.any():
        raise ValueError(
            f"The weights of {name} must be at least 0, and one of them above; they are "
            f"{array.min():g}…{array.max():g}."
        )
    return array.astype("float32")


def _weights_by_class(class_weight, y, model, name):
    """Return the weight of every example by its class, as ``fit`` does."""
    outputs = model.output_shape[-1]
    classes = 2 if outputs == 1 else outputs
    if not isinstance(class_weight, dict) or not class_weight:
        raise ValueError("class_weight must be a dict from class indices to weights, such as {0: 1.0, 1: 5.0}.")
    for label, weight in class_weight.items():
        if isinstance(label, bool) or not isinstance(label, Integral) or not 0 <= label < classes:
            raise ValueError(f"class_weight has a key {label!r}; its keys are class indices, 0…{classes - 1}.")
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= weight <= LARGEST:
            raise ValueError(f"class_weight gives class {label} the weight {weight!r}; weights are numbers from 0 on.")
    labels = y
    if y.ndim > 1:
        labels = y.argmax(axis=-1) if y.shape[-1] != 1 else y[..., 0]
        if y.shape[-1] != 1 and not ((y.sum(axis=-1) == 1) & (y.max(axis=-1) == 1)).all():
            raise ValueError(f"class_weight is for targets of one class per input, but {name} is not one-hot.")
    if labels.ndim != 1 or not (labels == np.round(labels)).all():
        raise ValueError(f"class_weight is for classes, and the targets of {name} are not class indices.")
    weights = np.array([class_weight.get(int(label), 1.0) for label in labels], "float32")
    if not weights.any():
        raise ValueError("class_weight gives every example of train the weight 0. Nothing could be learned.")
    return weights
