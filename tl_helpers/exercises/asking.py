"""What does a notebook ask, and how is it answered? A check for answers and for code, hints, and solutions."""

from __future__ import annotations

from tl_helpers.exercises.code import code_exercise_files, examine, find_code_exercise
from tl_helpers.exercises.texts import as_compared, read_exercises


def check(name, answer):
    """Check an answer, or a function that the learner has written, and say what is right or wrong about it.

    Parameters
    ----------
    name : str
        Such as ``"02-rare"``.
    answer : object
        A text, a number, a list of them, or a function. None while the exercise is still to be done.

    Raises
    ------
    KeyError
        If there is no such exercise.
    DataError, ValueError
        If the exercises cannot be read; see :func:`tl_helpers.exercises.texts.read_exercises`.
    """
    exercise = find_code_exercise(name)
    if exercise is not None:
        print(examine(exercise, answer))
        return
    exercise = _find(name)
    if answer is None:
        print(f"Exercise {name}: put your answer in place of None and run the cell again; hint({name!r}, 1) helps.")
        return
    given = as_compared(answer)
    is_plain = isinstance(given, (str, bool, int, float, tuple))  # what else there is may refuse to be compared
    for right, says in [(exercise.answer, exercise.why), *exercise.also]:
        if is_plain and given == right:
            print(f"Right. {says}")
            return
    overlooked = [says for wrong, says in exercise.feedback if is_plain and wrong == given]
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
        If the exercises cannot be read; see :func:`tl_helpers.exercises.texts.read_exercises`.
    """
    hints = (find_code_exercise(name) or _find(name)).hints
    if not isinstance(grade, int) or grade not in range(1, len(hints) + 1):
        raise ValueError(f"Exercise {name} has hints 1…{len(hints)}, not {grade!r}.")
    print(hints[grade - 1])


def solution(name):
    """Print the solution of an exercise.

    Parameters
    ----------
    name : str

    Raises
    ------
    KeyError
        If there is no such exercise.
    DataError, ValueError
        If the exercises cannot be read; see :func:`tl_helpers.exercises.texts.read_exercises`.
    """
    exercise = find_code_exercise(name)
    if exercise is None:
        exercise = _find(name)
        answer = list(exercise.answer) if isinstance(exercise.answer, tuple) else exercise.answer
        print(f"answer = {answer!r}\n\n{exercise.why}")
    else:
        print(f"{exercise.solution}\n\n{exercise.why}")


def _find(name):
    exercises = read_exercises()
    if not isinstance(name, str) or name not in exercises:
        names = sorted([*exercises, *(path.stem for path in code_exercise_files())])
        raise KeyError(f"There is no exercise {name!r}; there are {', '.join(names) or 'none'}.")
    return exercises[name]
