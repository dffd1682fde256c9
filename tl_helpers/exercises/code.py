"""What is a code exercise, and does the learner's function do what it should on inputs that were never shown?

Each is a file beside the notebooks, ``notebooks/exercises/NAME.py``, in which everything about it stands once:

- its docstring: the task, in a sentence;
- a function, with a docstring of its own: the solution. The learner gets it without its body;
- ``check(answer)``: a generator that calls the learner's function on inputs of its own and yields pairs of a condition
  and what to say where it does not hold, the commonest mistake first;
- ``why``: what is said when all hold; ``hints``: three, from a nudge to nearly the solution;
- ``wrong``: bodies that learners typically write, each with words that must be in the answer to them.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import importlib.util
import inspect
import reprlib
import textwrap
import traceback
from dataclasses import dataclass
from types import ModuleType

from tl_helpers.exercises.texts import course_folders
from tl_helpers.files import DataError

FOLDER = "exercises"
_NEEDED = {"why": str, "hints": list, "wrong": dict}
_DOES_NOTHING = {"RESUME", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP", "NOP", "COPY_FREE_VARS"}


@dataclass(frozen=True, eq=False)
class CodeExercise:
    """A function to be written by the learner.

    Parameters
    ----------
    name : str
        Such as ``"02-kernel"``.
    task : str
        What to write, in a sentence.
    function : str
        Its name.
    solution : str
        Its source.
    blank : str
        The same without its body: what the notebook shows.
    why : str
        Said after a right solution.
    hints : tuple of str
        From a nudge to nearly the solution.
    wrong : dict of str to str
        Typical wrong bodies → words that the answer to them holds.
    module : types.ModuleType
        The file, executed: it holds ``check``.
    """

    name: str
    task: str
    function: str
    solution: str
    blank: str
    why: str
    hints: tuple[str, ...]
    wrong: dict[str, str]
    module: ModuleType


class _StillBlank(Exception):
    """The learner's function has no body yet."""


class _Stopped(Exception):
    """The learner's function failed, or returned nothing that could be looked at; the message says so."""


def code_exercise_files():
    """Return the files of all code exercises.

    Returns
    -------
    list of pathlib.Path
        By name; those in the first of :func:`tl_helpers.exercises.texts.course_folders` that has some.

    Raises
    ------
    DataError
        If there are none in these places. The message names them and the cure.
    """
    folders = [folder / FOLDER for folder in course_folders()]
    for folder in folders:
        if files := sorted(folder.glob("[0-9]*.py")):
            return files
    raise DataError(
        f"The code exercises are not here (looked for {', '.join(dict.fromkeys(map(str, folders)))}). Take the folder "
        f"notebooks/{FOLDER} of a clone and put it beside your notebook."
    )


def read_code_exercises():
    """Read all code exercises.

    Returns
    -------
    dict of str to CodeExercise
        By name.

    Raises
    ------
    DataError
        If there are none, see :func:`code_exercise_files`.
    ValueError
        If a file lacks a part or has one of another kind; the message says which.
    """
    return {path.stem: _read(path) for path in code_exercise_files()}


def find_code_exercise(name):
    """Return a code exercise.

    Parameters
    ----------
    name : str

    Returns
    -------
    CodeExercise or None
        None if there is no code exercise of that name.

    Raises
    ------
    ValueError
        If its file is no code exercise; the message says why.
    """
    with contextlib.suppress(DataError):  # of a folder with texts alone
        return next((_read(path) for path in code_exercise_files() if path.stem == name), None)
    return None


def _read(path):
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source)
        module = _executed(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    written = [node for node in functions if node.name != "check"]
    task = ast.get_docstring(tree)
    if not task or len(written) != 1 or len(functions) != 2 or not ast.get_docstring(written[0]):
        raise ValueError(
            f"{path} must hold a docstring, one function with a docstring to be written, and check(answer)."
        )
    for part, kind in _NEEDED.items():
        if not isinstance(getattr(module, part, None), kind) or not getattr(module, part):
            raise ValueError(f"{path}: {part} must be a {kind.__name__} that is not empty.")
    (function,) = written
    solution = ast.get_source_segment(source, function)
    return CodeExercise(
        name=path.stem,
        task=task,
        function=function.name,
        solution=solution,
        blank=_with_body(solution, function, "..."),
        why=module.why,
        hints=tuple(module.hints),
        wrong=module.wrong,
        module=module,
    )


def _executed(path):
    spec = importlib.util.spec_from_file_location(f"exercise_{path.stem.replace('-', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _with_body(solution, function, body):
    """Return a function's source with its head and docstring, and another body."""
    docstring = function.body[0]
    head = solution.splitlines()[: docstring.end_lineno - function.lineno + 1]
    return "\n".join([*head, textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")])


def with_body(exercise, body):
    """Return the function of an exercise with a body of one's own, as a learner would write it.

    Parameters
    ----------
    exercise : CodeExercise
    body : str

    Returns
    -------
    str
        Source.
    """
    (function,) = ast.parse(exercise.solution).body
    return _with_body(exercise.solution, function, body)


def examine(exercise, answer):
    """Say what is right or wrong about a learner's function. Nothing that it does wrong raises an error.

    Parameters
    ----------
    exercise : CodeExercise
    answer : object
        The function; None while it is still to be written.

    Returns
    -------
    str
    """
    name = exercise.name
    to_do = f"Exercise {name}: write the body of {exercise.function} and run the cell again; hint({name!r}, 1) helps."
    if answer is None or (inspect.isfunction(answer) and _is_blank(answer)):
        return to_do
    if not callable(answer):
        given = reprlib.repr(answer)
        return f"Not yet. The check calls your function: give it {exercise.function}, not {given}."
    try:
        for holds, words in exercise.module.check(_watched(answer)):
            if not holds:
                return f"Not yet. {words}"
    except _StillBlank:
        return to_do
    except _Stopped as stop:
        return f"Not yet. {stop}"
    except Exception as error:  # of the check, which can make nothing of what it was given
        return (
            f"Not yet. Your function returns something that the check cannot use ({_said(error)}): see its docstring."
        )
    return f"Right. {exercise.why}"


def _is_blank(function):
    """Say whether a function does nothing but return None or ``...``."""
    does = {instruction.opname for instruction in dis.get_instructions(function)}
    constants = {value for value in function.__code__.co_consts if value not in (None, Ellipsis, function.__doc__)}
    return does <= _DOES_NOTHING and not constants


def _watched(answer):
    """Return the learner's function, which raises :class:`_Stopped` where it fails or returns nothing to look at."""

    def watched(*inputs, **named):
        try:
            result = answer(*inputs, **named)
        except (Exception, SystemExit) as error:  # but not Ctrl-C
            raise _Stopped(f"On an input of the check your function stops with {_said(error)}{_line(error)}.") from None
        if result is Ellipsis:
            raise _StillBlank
        if result is None:
            raise _Stopped("On an input of the check it returns nothing: does every way through it end with `return`?")
        if inspect.isgenerator(result) or inspect.iscoroutine(result):
            raise _Stopped("It returns no result but a generator or a coroutine: use `return`, not `yield` or `async`.")
        return result

    return watched


def _said(error):
    """Return the kind of an error and the first line of its message."""
    try:
        message = str(error).strip() or "no message"
    except Exception:
        message = "no message"
    return f"{type(error).__name__}: {message.splitlines()[0][:300]}"


def _line(error):
    """Return the line of the learner's function that raised an error; nothing where it cannot be told."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call of it
    return f", in the line `{frames[0].line}`" if frames and frames[0].line else ""
