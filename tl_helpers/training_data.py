"""Do the data fit the network? Checked once, before anything is touched, with a sentence for what does not fit."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from tl_helpers.losses import check_loss, default_loss

# Numbers looked at together: few enough to stay in the processor's cache, so that no copy of the data is made.
_CHUNK = 2**17
# What a network reckons with; a larger number would be infinite to it.
LARGEST = float(np.finfo("float32").max)


def check_finite(array, name, *, largest=float("inf")):
    """Check that all numbers of an array are finite, a small part at a time.

    A NaN in a single pixel makes weights NaN, or is swallowed: there are processors whose ReLU makes 0 of it.

    Parameters
    ----------
    array : numpy.ndarray
        ``(n, …)``. Only arrays of floating-point numbers can hold what is looked for.
    name : str
        What to call it in messages, such as ``"x of train"``.
    largest : float
        Size above which a number is as good as infinite.

    Returns
    -------
    low, high : float
        The smallest and the largest number; NaN where there are none, or the array holds no floating-point numbers.

    Raises
    ------
    ValueError
        If a number is NaN, infinite or larger than `largest`.
    """
    if array.dtype.kind not in "fc" or not array.size:
        return float("nan"), float("nan")
    if array.dtype.kind == "c":
        raise ValueError(f"{name} holds complex numbers, which no layer here takes. Give its parts as real numbers.")
    low, high = float("inf"), float("-inf")
    for part in _parts(array):
        if array.dtype.itemsize < 4:
            part = part.astype("float32")  # processors compare half precision slowly
        with np.errstate(invalid="ignore"):
            lowest, highest = float(part.min()), float(part.max())  # NaN if any of them is
        if not (-largest <= lowest and highest <= largest and np.isfinite([lowest, highest]).all()):
            _refuse(array, name, largest)
        low, high = min(low, lowest), max(high, highest)
    return low, high


def _parts(array):
    """Cut an array into views along its first axis, and where one example is large, along the second, and so on."""
    step = max(1, _CHUNK * len(array) // array.size)
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if len(part) == 1 and part.size > 2 * _CHUNK:
            yield from _parts(part[0])
        else:
            yield part


def _refuse(array, name, largest):
    """Say how many numbers of an array are not finite, and where the first one is."""
    count, first, step = 0, None, max(1, _CHUNK * len(array) // array.size)
    for start in range(0, len(array), step):
        part = array[start : start + step]
        bad = ~(np.isfinite(part) & (np.abs(part) <= largest))
        if first is None and bad.any():
            first = start + int(bad.reshape(len(part), -1).any(axis=1).argmax())
        count += int(bad.sum())
    axes = tuple(range(1, array.ndim))
    whole = f".all(axis={axes[0] if len(axes) == 1 else axes})" if axes else ""
    beyond = "" if largest == float("inf") else f" or beyond {largest:.1e}"
    raise ValueError(
        f"{name} holds values that are not finite (NaN, infinite{beyond}): {count} of {array.size}, the first in example "
        f"{first}. Leave such examples out, with their targets (keep = np.isfinite(a){whole} for an array a), or put "
        f"numbers in their place, such as np.nan_to_num(a)."
    )


def check_data(data, model, loss, name, *, weighted=False, class_weight=None):
    """Unpack a data set and check that it fits a model.

    Parameters
    ----------
    data : Dataset or tuple of numpy.ndarray
        ``(x, y)``, or ``(x, y, sample_weight)`` where `weighted` allows it.
    model : keras.Model
    loss : optional
        None stands for classes, which are checked as well.
    name : str
        What to call the data in messages; ``"train"`` must hold every class.
    weighted : bool
        Whether examples may count differently.
    class_weight : dict of int to float, optional
        How much the examples of each class count: 1 for a class that is not in it.

    Returns
    -------
    x, y : numpy.ndarray
    weights : numpy.ndarray
        ``float32``, ``(n,)`` or ``(n, 1)``; only if the data have weights, or there is a `class_weight`.

    Raises
    ------
    ValueError
        If they do not fit, or hold a number that is not finite.
    """
    x, y, *weights = data if isinstance(data, tuple) else (data.x, data.y)
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{name} has {len(x)} inputs and {len(y)} targets; there must be as many, and at least one.")
    expected = tuple(model.input_shape[1:])
    if len(expected) != x.ndim - 1 or any(e not in (None, g) for e, g in zip(expected, x.shape[1:], strict=True)):
        raise ValueError(
            f"The inputs of {name} have shape {x.shape[1:]}, and {model.name!r} takes {expected}. Resize the images or "
            f"build the model for their shape."
        )
    check_finite(x, f"x of {name}", largest=LARGEST)
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
        return x, y, *weights
    if name != "data":
        default_loss(model)
    elif model.output_shape[-1] == 1:
        raise ValueError(
            f"{model.name!r} has one output, and classes are told apart by one output each. Compare by yourself: "
            f"((model.predict(x)[:, 0] > 0.5) == y).mean(), with 0 in place of 0.5 for logits."
        )
    classes = model.output_shape[-1]
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"The targets of {name} must be integers 0…{classes - 1}, one per input, for a model with {classes} "
            f"outputs; they are {y.dtype} of shape {y.shape}, {y.min()}…{y.max()}. Pass a loss for other targets."
        )
    if name == "train":
        missing = np.flatnonzero(np.bincount(y, minlength=classes) == 0)
        names = getattr(data, "label_names", None) or list(range(classes))
        if len(missing) == classes - 1:
            raise ValueError(
                f"Every training example is of class {names[y[0]]!r}: with one class nothing can be learned."
            )
        if len(missing):
            missing = ", ".join(repr(names[label]) for label in missing)
            raise ValueError(f"No training example of class {missing}. Add some, or give the model fewer outputs.")
    if class_weight is not None:
        weights = [_weights_by_class(class_weight, y, model, name)]
    return x, y, *weights


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
            f"The weights of {name} must be at least 0, and one of them above; they are {array.min():g}…{array.max():g}."
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
            raise ValueError(f"class_weight is for targets of one class per input, and those of {name} are not one-hot.")
    if labels.ndim != 1 or not (labels == np.round(labels)).all():
        raise ValueError(f"class_weight is for classes, and the targets of {name} are not class indices.")
    weights = np.array([class_weight.get(int(label), 1.0) for label in labels], "float32")
    if not weights.any():
        raise ValueError("class_weight gives every example of the training data the weight 0. Nothing could be learned.")
    return weights
