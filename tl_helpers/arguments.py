"""Are these numbers? What no function here takes, said in a sentence."""

from __future__ import annotations

from numbers import Integral, Real

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
        f"{name} holds values that are not finite (NaN, infinite{beyond}): {count} of {array.size}, the first in "
        f"example {first}. Leave such examples out, with their "
        f"targets (keep = np.isfinite(a){whole} for an array a), or put "
        f"numbers in their place, such as np.nan_to_num(a)."
    )


def check_numbers(*, whole=None, rates=None):
    """Check that settings are numbers of the right kind.

    Parameters
    ----------
    whole : dict of str to object, optional
        Settings that must be whole numbers, NumPy's included.
    rates : dict of str to object, optional
        Settings that must be numbers, and not infinite.

    Raises
    ------
    ValueError
        If one is not.
    """
    for name, value in (whole or {}).items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            like = "0" if name == "seed" else "10"
            raise ValueError(f"{name} must be a whole number, such as {name}={like}, not {value!r} ({_kind(value)}).")
    for name, value in (rates or {}).items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"{name} must be a number, such as {name}=0.001, not {value!r} ({_kind(value)}).")
        if np.isinf(value):
            raise ValueError(f"{name} must be finite, not {value!r}.")


def _kind(value):
    return type(value).__name__


def check_choice(argument, value, allowed):
    """Check that an argument is one of those allowed.

    Parameters
    ----------
    argument : str
        Its name.
    value : object
    allowed : collection of object

    Raises
    ------
    ValueError
        If it is none of them; the message lists them.
    """
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")
