"""What is said about an exercise whose answer is compared? Its texts, as they stand in ``notebooks/exercises.toml``."""

from __future__ import annotations

import contextlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tl_helpers.files import ENVIRONMENT_VARIABLE, DataError, data_folder

FILE = "exercises.toml"


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
    also : tuple of (object, str)
        Further right answers, each with why it is one.
    """

    answer: object
    why: str
    hints: tuple[str, ...]
    feedback: tuple[tuple[object, str], ...] = ()
    also: tuple[tuple[object, str], ...] = ()


def course_folders():
    """Return where exercises are looked for, first place first.

    Returns
    -------
    list of pathlib.Path
        Beside the notebook (the current folder); in ``notebooks/`` beside the data folder (see
        :func:`tl_helpers.files.data_folder`); in ``notebooks/`` beside the package, as in a clone.
    """
    folders = []
    with contextlib.suppress(FileNotFoundError):  # of a current folder that was deleted
        folders.append(Path.cwd())
    with contextlib.suppress(DataError):
        folders.append(data_folder().parent / "notebooks")
    return [*folders, Path(__file__).resolve().parents[2] / "notebooks"]


def exercises_file():
    """Return the file that holds the exercises' texts.

    Returns
    -------
    pathlib.Path
        In the first of :func:`course_folders` that has it.

    Raises
    ------
    DataError
        If it is in none of these places. The message names them and the cure.
    """
    folders = course_folders()
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
    _check_keys(table, needed=("answer", "why", "hints"), optional=("feedback", "also"))
    answer, hints = as_compared(table["answer"]), table["hints"]
    if isinstance(answer, dict) or answer != answer:
        raise ValueError(f"answer must be a text, a number or a list of them, not {answer!r}")
    _check_text("why", table["why"])
    if not isinstance(hints, list) or not hints:
        raise ValueError("hints must be a list of texts, such as three")
    for hint in hints:
        _check_text("each hint", hint)
    feedback, also = (_pairs(name, table.get(name, [])) for name in ("feedback", "also"))
    seen = [answer]
    for name, pairs in (("feedback", feedback), ("also", also)):
        for given, _ in pairs:
            if given in seen:
                raise ValueError(f"{name} to {given!r} stands there twice, or that answer is the right one")
            seen.append(given)
    return Exercise(answer, table["why"], tuple(hints), feedback, also)


def _pairs(name, items):
    """Return answers with what is said to each."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f'{name} must be a list of {{ answer = …, says = "…" }}')
    for item in items:
        _check_keys(item, needed=("answer", "says"))
        _check_text("says", item["says"])
    return tuple((as_compared(item["answer"]), item["says"]) for item in items)


def _check_keys(table, *, needed, optional=()):
    missing, unknown = [key for key in needed if key not in table], sorted(set(table) - {*needed, *optional})
    if missing or unknown:
        found = f"{missing[0]} is missing" if missing else f"{unknown[0]!r} is no name here"
        raise ValueError(f"{found} (the names are {', '.join((*needed, *optional))})")


def _check_text(what, value):
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a text, not {value!r}")


def as_compared(answer):
    """Return an answer as it is compared: case and outer blanks do not count, nor does what kind of list it is.

    Parameters
    ----------
    answer : object

    Returns
    -------
    object
        A text in lower case, a tuple in place of a list or an array, everything else as it is.
    """
    if not isinstance(answer, type) and hasattr(answer, "tolist"):  # of NumPy, pandas and others
        answer = answer.tolist()
    if isinstance(answer, (list, tuple)):
        return tuple(as_compared(item) for item in answer)
    return answer.strip().lower() if isinstance(answer, str) else answer
