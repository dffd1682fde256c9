"""What is one run of a grid? A call with plain values, from which plain values come back, or an error that travels.

Nothing here knows where the call happens: in a worker process of this machine, or wherever a client puts it.
"""

import contextlib
import functools
import json
import numbers
import time
import traceback

import numpy as np
from joblib.externals.loky.backend.reduction import dumps, loads

from tl_helpers.files import files_read
from tl_helpers.grid.environment import cpu_model
from tl_helpers.grid.identity import LENGTH, fingerprint, qualified_name

AXES = ("arm", "budget", "seed")
MEASURED = ("run_seconds", "run_cpu_seconds")
_RESERVED = {*AXES, *MEASURED, "spec"}


def plain_value(value):
    """Return a value as what JSON knows: a number, a text, a bool or None.

    Parameters
    ----------
    value : scalar
        Of Python, NumPy, pandas or TensorFlow.

    Returns
    -------
    int, float, str, bool or None

    Raises
    ------
    TypeError, ValueError
        If it is anything else; ValueError for an array of several elements.
    """
    if isinstance(value, (np.generic, np.ndarray)) or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        value = value.item()
    elif hasattr(value, "numpy") and getattr(value, "shape", None) == ():
        value = value.numpy().item()
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, numbers.Integral):
        if abs(int(value)) >= 2**1024:  # beyond what a float can be, and Python will not write much larger ones
            raise ValueError("an integer of more than 300 digits is no plain value")
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no plain value (number, text, bool or None)")


def task_key(task):
    """Return a text that tells a run from all others of its grid: 1, 1.0 and True are three different seeds.

    Parameters
    ----------
    task : tuple
        Arm, budget and seed.

    Returns
    -------
    str
    """
    return json.dumps(task)


def pack(thing):
    """Turn `thing` into bytes for another process: functions of a notebook by value, those of a module by name.

    Parameters
    ----------
    thing : object

    Returns
    -------
    bytes
    """
    return bytes(dumps(thing))


def unpack(content):
    """Turn the bytes from :func:`pack` into the thing again.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    object

    Raises
    ------
    ImportError
        If a module that it needs is not there.
    """
    return loads(content)


# For all runs of a worker: a payload may hold a data set.
unpack_once = functools.lru_cache(maxsize=1)(unpack)


def identity(function, digests, *, variables=True):
    """Return the hash of what a run depends on besides the data.

    Parameters
    ----------
    function : callable
    digests : dict of str to str
        The fingerprints of its fixed arguments.
    variables : bool
        See :func:`tl_helpers.grid.identity.fingerprint`.

    Returns
    -------
    str
    """
    return fingerprint(qualified_name(function), function, sorted(digests.items()), variables=variables)


def identities(function, fixed):
    """Return what tells whether runs of a function are the same here and in another process.

    Parameters
    ----------
    function : callable
    fixed : dict
        Its fixed arguments.

    Returns
    -------
    code, whole : str
        The hash of what a run depends on, without and with what variables of modules hold.
    """
    code, whole = (
        identity(
            function,
            {name: fingerprint(value, variables=variables) for name, value in fixed.items()},
            variables=variables,
        )
        for variables in (False, True)
    )
    return code, whole


def execute(payload, arm, budget, seed):
    """Run once, wherever this is.

    Parameters
    ----------
    payload : bytes
        The function and its fixed arguments, from :func:`pack`.
    arm, budget, seed
        Its other arguments.

    Returns
    -------
    outcome : {"finished", "failed"}
    content : dict or tuple
        What the log shall hold of the run; or why it failed, from :func:`portable`.
    """
    try:
        function, fixed = unpack_once(payload)
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        rows = _rows(function(arm=arm, budget=budget, seed=seed, **fixed))
        seconds, cpu_seconds = time.perf_counter() - seconds, time.process_time() - cpu_seconds
    except BaseException as error:
        return "failed", portable(error)
    record = {
        "rows": rows,
        "run_seconds": round(seconds, 4),
        "run_cpu_seconds": round(cpu_seconds, 4),
        "cpu": cpu_model(),
        # All that the process has read so far, because an earlier run may have kept some of it in memory.
        "data": {name: digest[:LENGTH] for name, digest in files_read().items()},
    }
    return "finished", record


def _rows(result):
    rows = [result] if isinstance(result, dict) else result
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"The function must return a dictionary, or a list of dictionaries, not {result!r:.200}.")
    plain = []
    for row in rows:
        plain.append({})
        for name, value in row.items():
            if not isinstance(name, str) or name in _RESERVED:
                raise ValueError(
                    f"The function returned {name!r}, a name that run_grid uses itself. Choose another one."
                )
            try:
                plain[-1][name] = plain_value(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"The function returned {name!r}: {error}. Return single numbers and texts.") from None
    return plain


def portable(error):
    """Return an exception in a form that reaches the parent even where the exception itself cannot be pickled.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    pickled : bytes or None
    message, text : str
        One line, and the whole traceback.
    """
    text = "".join(traceback.format_exception(error))
    try:
        pickled = pack(error.with_traceback(None))
        unpack(pickled)
    except Exception:
        pickled = None
    return pickled, f"{type(error).__name__}: {error}", text


def revive(pickled, message, text):
    """Return the exception that :func:`portable` has packed, with the worker's traceback as a note.

    Parameters
    ----------
    pickled, message, text
        From :func:`portable`.

    Returns
    -------
    BaseException
        A RuntimeError with the same message where its own type is unknown here.
    """
    error = RuntimeError(message)
    if pickled is not None:
        with contextlib.suppress(Exception):  # its type may be at home in the worker only
            error = unpack(pickled)
    error.add_note(f"In the worker process:\n{text}")
    return error
