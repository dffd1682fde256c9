"""How well do I foresee results? Predictions, which hold the measurement back until they are made, and their sum."""

from __future__ import annotations

import contextlib
import json
import math
import numbers
import os
import warnings
from pathlib import Path

import numpy as np
import pandas
import platformdirs

from tl_helpers.files import atomic_path

PREDICTIONS_VARIABLE = "TL_HELPERS_PREDICTIONS"
SHOW = "show"
HELD_BACK = (
    'First your prediction: write a number in place of None, or "show" to see without one, and run both cells again.'
)


def check_prediction(guess):
    """Check what stands where a prediction belongs.

    Parameters
    ----------
    guess : float, "show" or None

    Returns
    -------
    float or None
        The number, if there is one.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if guess is None or (isinstance(guess, str) and guess == SHOW):
        return None
    is_number = isinstance(guess, numbers.Real) and not isinstance(guess, (bool, np.bool_))
    with contextlib.suppress(OverflowError):  # of a whole number that is too large
        if is_number and math.isfinite(guess):
            return float(guess)
    raise TypeError(f'A prediction is a number such as 5 or -2.5, or "show", or None, not {guess!r}.')


def laid_over(guess, measured, low, high, *, unit="points", question=None):
    """Lay a measured result over the prediction that was made before it, and remember both.

    Parameters
    ----------
    guess : float
    measured, low, high : float
        The result and its 95 % interval.
    unit : str
    question : str, optional
        What was predicted: under these words the prediction is remembered, a later one in its place.

    Returns
    -------
    str
        A sentence.
    """
    if question is not None:
        _remember(question, {"guess": guess, "measured": measured, "low": low, "high": high, "unit": unit})
    if math.isnan(low) or math.isnan(high):  # of a single run
        return f"Your prediction {guess:+g} is {abs(guess - measured):.2g} {unit} off."
    if low == guess == high:
        verdict = "right"
    elif low <= guess <= high:
        verdict = "inside the interval: as good as one can know from these runs"
    elif guess < low:
        verdict = f"too low by {_amount(measured - guess)} {unit}"
    else:
        verdict = f"too high by {_amount(guess - measured)} {unit}"
    return f"Your prediction {guess:+g} is {verdict}."


def _amount(difference):
    return f"{difference:.1f}" if difference >= 0.05 else f"{difference:.1g}"


def compare_prediction(guess, measured, low=None, high=None, *, unit="points", question=None):
    """Show a measured result, once a prediction of it was made.

    Parameters
    ----------
    guess : float, "show" or None
        The learner's number; None holds the measurement back, ``"show"`` shows it without a prediction.
    measured : float
        The result.
    low, high : float, optional
        Its 95 % interval; none where the result is a count.
    unit : str
    question : str, optional
        What was predicted: under these words :func:`my_calibration` tells it.

    Raises
    ------
    TypeError
        If `guess` is none of these.
    """
    number = check_prediction(guess)
    if guess is None:
        print(HELD_BACK)
        return
    result = f"Measured: {measured:.10g} {unit}."
    if low is None or high is None:
        low = high = measured
    else:
        result = f"Measured: {measured:+.1f} {unit} (95 % interval {low:+.1f} to {high:+.1f})."
    over = "" if number is None else f" {laid_over(number, measured, low, high, unit=unit, question=question)}"
    print(f"{result}{over}")


def my_calibration():
    """Sum up one's own predictions: how many fell inside the interval, and in which direction the others erred.

    Returns
    -------
    pandas.DataFrame
        One row per question: ``guess``, ``measured``, ``low``, ``high``, ``unit``, ``inside``. The sentence that sums
        them up is printed. Empty where no prediction was made.

    Notes
    -----
    Predictions stand in a file of this machine's user (see :func:`predictions_file`); nothing is sent anywhere.
    """
    made = _made()
    columns = ["guess", "measured", "low", "high", "unit"]
    table = pandas.DataFrame.from_dict(made, orient="index", columns=columns).rename_axis("question")
    table["inside"] = (table["low"] <= table["guess"]) & (table["guess"] <= table["high"])
    if table.empty:
        print("No prediction has been made on this machine yet.")
        return table
    high, low = int((table["guess"] > table["high"]).sum()), int((table["guess"] < table["low"]).sum())
    print(
        f"{int(table['inside'].sum())} of {len(table)} predictions fell inside their interval; "
        f"{high} expected too much, {low} too little. They stand in {predictions_file()}."
    )
    return table


def predictions_file():
    """Return where predictions are kept.

    Returns
    -------
    pathlib.Path
        In the user's folder for data of programs; the environment variable ``TL_HELPERS_PREDICTIONS`` names another.
    """
    named = os.environ.get(PREDICTIONS_VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("tl_helpers", appauthor=False) / "predictions.json"


def _made():
    path = predictions_file()
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        warnings.warn(f"{path} cannot be read ({error}): earlier predictions are left out.", stacklevel=4)
        return {}
    return made if isinstance(made, dict) else {}


def _remember(question, prediction):
    """Keep a prediction; where that cannot be, say so and go on: it is the learner's notebook that matters."""
    path = predictions_file()
    plain = {name: value if isinstance(value, str) else round(float(value), 6) for name, value in prediction.items()}
    try:
        made = _made() | {question: plain}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        warnings.warn(f"The prediction could not be kept in {path} ({error.strerror}).", stacklevel=4)
