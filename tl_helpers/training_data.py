"""Do the data fit the network? Checked once, before anything is touched, with a sentence for what does not fit."""

from __future__ import annotations

import numpy as np

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


def check_data(data, model, loss, name):
    """Unpack a data set and check that it fits a model.

    Parameters
    ----------
    data : Dataset or tuple of numpy.ndarray
        ``(x, y)``.
    model : keras.Model
    loss : optional
        None stands for classes, which are checked as well.
    name : str
        What to call the data in messages; ``"train"`` must hold every class.

    Returns
    -------
    x, y : numpy.ndarray

    Raises
    ------
    ValueError
        If they do not fit, or hold a number that is not finite.
    """
    x, y = data if isinstance(data, tuple) else (data.x, data.y)
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
    if loss is not None:
        return x, y
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
    return x, y
