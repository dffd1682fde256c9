"""Have I understood? Predictions to commit, answers to check, hints in three grades.

The exercises' texts stand beside the notebooks, in ``notebooks/exercises.toml``.
"""

from __future__ import annotations

import contextlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_helpers.files import ENVIRONMENT_VARIABLE, DataError, data_folder

FILE = "exercises.toml"


def compare_prediction(guess, measured, low, high, *, unit="points"):
    """Lay a measured result over the prediction that was made before it.

    Parameters
    ----------
    guess : float or None
        The learner's number; None where none was given.
    measured, low, high : float
        The result and its 95 % interval.
    unit : str

    Raises
    ------
    TypeError
        If `guess` is neither a number nor None.
    """
    result = f"Measured: {measured:+.1f} {unit} (95 % interval {low:+.1f} to {high:+.1f})."
    if guess is None:
        print(f"{result} You made no prediction: write a number into the cell above and run both again.")
        return
    if isinstance(guess, bool) or not isinstance(guess, (int, float, np.number)):
        raise TypeError(f"A prediction is a number such as 5 or -2.5, not {guess!r}.")
    if low <= guess <= high:
        verdict = "inside the interval: as good as one can know from these runs"
    elif guess < low:
        verdict = f"too low by {measured - guess:.1f} {unit}"
    else:
        verdict = f"too high by {guess - measured:.1f} {unit}"
    print(f"{result} Your prediction {guess:+g} is {verdict}.")


@dataclass(frozen=True)
class Exercise:
    """A question with its check.

    Parameters
    ----------
    answer : str, number or tuple of them
        What is right.
    why : str
        Said after the right answer.
    hints : tuple of str
        From a nudge to nearly the answer.
    feedback : tuple of (object, str)
        Wrong answers, each with what it overlooks.
    """

    answer: object
    why: str
    hints: tuple[str, ...]
    feedback: tuple[tuple[object, str], ...] = ()


def exercises_file():
    """Return the file that holds the exercises' texts.

    It is looked for beside the notebook (in the current folder), then in ``notebooks/`` beside the data folder (see
    :func:`tl_helpers.files.data_folder`), then in ``notebooks/`` beside the package, as in a clone.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataError
        If it is in none of these places. The message names them and the cure.
    """
    folders = []
    with contextlib.suppress(FileNotFoundError):  # of a current folder that was deleted
        folders.append(Path.cwd())
    with contextlib.suppress(DataError):
        folders.append(data_folder().parent / "notebooks")
    folders.append(Path(__file__).resolve().parent.parent / "notebooks")
    for folder in folders:
        if (folder / FILE).is_file():
            return folder / FILE
    raise DataError(
        f"The exercises' texts are not here (looked for {FILE} in {', '.join(dict.fromkeys(map(str, folders)))}). "
        f"`pip install` of the package brings the code alone: take {FILE} from notebooks/ of a clone and put it beside "
        f"your notebook, or set {ENVIRONMENT_VARIABLE} to the clone's data/ folder."
    )


def read_exercises():
    """Read the texts of all exercises, anew at every call: who edits them sees it at once.

    Returns
    -------
    dict of str to Exercise

    Raises
    ------
    DataError
        If the file is nowhere (see :func:`exercises_file`) or cannot be read.
    ValueError
        If it is no TOML, or an exercise lacks a part, has one of another kind or one too many. The message says where.
    """
    path = exercises_file()
    cure = "Correct the file, or restore it with `git checkout` in the clone."
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise ValueError(f"{path} is no valid TOML: {error}. {cure}") from None
    exercises = {}
    for name, table in tables.items():
        try:
            exercises[name] = _exercise(table)
        except ValueError as error:
            raise ValueError(f"{path}, exercise [{name}]: {error}. {cure}") from None
    return exercises


def _exercise(table):
    """Make an exercise of its table, or say what is wrong with it."""
    if not isinstance(table, dict):
        raise ValueError("this is no table; its name belongs in square brackets")
    _check_keys(table, needed=("answer", "why", "hints"), optional=("feedback",))
    answer, hints = _plain(table["answer"]), table["hints"]
    if isinstance(answer, dict) or answer != answer:
        raise ValueError(f"answer must be a text, a number or a list of them, not {answer!r}")
    _check_text("why", table["why"])
    if not isinstance(hints, list) or not hints:
        raise ValueError("hints must be a list of texts, such as three")
    for hint in hints:
        _check_text("each hint", hint)
    feedback = table.get("feedback", [])
    if not isinstance(feedback, list) or not all(isinstance(item, dict) for item in feedback):
        raise ValueError('feedback must be a list of { answer = …, says = "…" }')
    for item in feedback:
        _check_keys(item, needed=("answer", "says"))
        _check_text("says", item["says"])
    pairs = tuple((_plain(item["answer"]), item["says"]) for item in feedback)
    seen = [answer]
    for wrong, _ in pairs:
        if wrong in seen:
            raise ValueError(f"feedback to {wrong!r} stands there twice, or that answer is the right one")
        seen.append(wrong)
    return Exercise(answer, table["why"], tuple(hints), pairs)


def _check_keys(table, *, needed, optional=()):
    missing, unknown = [key for key in needed if key not in table], sorted(set(table) - {*needed, *optional})
    if missing or unknown:
        found = f"{missing[0]} is missing" if missing else f"{unknown[0]!r} is no name here"
        raise ValueError(f"{found} (the names are {', '.join((*needed, *optional))})")


def _check_text(what, value):
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a text, not {value!r}")


def _plain(answer):
    """Return an answer as it is compared: case and outer blanks do not count, nor does what kind of list it is."""
    if isinstance(answer, (np.ndarray, np.generic)):
        answer = answer.tolist()
    if isinstance(answer, (list, tuple)):
        return tuple(_plain(item) for item in answer)
    return answer.strip().lower() if isinstance(answer, str) else answer


def _find(name):
    exercises = read_exercises()
    if not isinstance(name, str) or name not in exercises:
        raise KeyError(f"There is no exercise {name!r}; there are {', '.join(sorted(exercises)) or 'none'}.")
    return exercises[name]


def check(name, answer):
    """Check an answer and say what is right or wrong about it.

    Parameters
    ----------
    name : str
        Such as ``"01-rare"``.
    answer : object
        None while the exercise is still to be done.

    Raises
    ------
    KeyError
        If there is no such exercise.
    DataError, ValueError
        If the texts cannot be read; see :func:`read_exercises`.
    """
    exercise = _find(name)
    if answer is None:
        print(f"Exercise {name}: put your answer in place of None and run the cell again; hint({name!r}, 1) helps.")
        return
    given = _plain(answer)
    if given == exercise.answer:
        print(f"Right. {exercise.why}")
        return
    overlooked = [says for wrong, says in exercise.feedback if wrong == given]
    print(f"Not yet. {overlooked[0] if overlooked else f'For a nudge run hint({name!r}, 1).'}")


def hint(name, grade=1):
    """Print a hint.

    Parameters
    ----------
    name : str
    grade : {1, 2, 3}
        1 nudges, 3 nearly tells.

    Raises
    ------
    KeyError
        If there is no such exercise.
    ValueError
        If there is no hint of that grade.
    DataError, ValueError
        If the texts cannot be read; see :func:`read_exercises`.
    """
    hints = _find(name).hints
    if grade not in range(1, len(hints) + 1):
        raise ValueError(f"Exercise {name} has hints 1…{len(hints)}, not {grade!r}.")
    print(hints[grade - 1])
