"""What are the answers? One page for whoever teaches: each exercise with its answer or solution, and its hints."""

from __future__ import annotations

from tl_helpers.exercises.code import read_code_exercises
from tl_helpers.exercises.texts import read_exercises
from tl_helpers.files import atomic_path


def answer_key():
    """Return the answers to all exercises, sorted by notebook.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    DataError, ValueError
        If the exercises cannot be read, see :func:`tl_helpers.exercises.texts.read_exercises`.
    """
    entries = {name: _of_code(exercise) for name, exercise in read_code_exercises().items()}
    entries |= {name: _of_text(exercise) for name, exercise in read_exercises().items()}
    lines = [
        "# Answers",
        "",
        "Made from the exercises' own files by `python run.py answers`; nothing here is written twice.",
    ]
    notebook = None
    for name, entry in sorted(entries.items()):
        if name[:2] != notebook:
            notebook = name[:2]
            lines += ["", f"## Notebook {notebook}"]
        lines += ["", f"### {name}", "", *entry]
    return "\n".join(lines) + "\n"


def write_answer_key(path):
    """Write the answers to all exercises into a file.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    DataError, ValueError
        See :func:`answer_key`.
    OSError
        If the file cannot be written; what stood there stays.
    """
    text = answer_key()
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _of_code(exercise):
    mistakes = [f"  - {words}" for words in exercise.wrong.values()]
    return [exercise.task, "", "```python", exercise.solution, "```", "", exercise.why, "", *_hints(exercise)] + (
        ["- Typical mistakes are answered with words on:", *mistakes] if mistakes else []
    )


def _of_text(exercise):
    answer = ", ".join(map(str, exercise.answer)) if isinstance(exercise.answer, tuple) else exercise.answer
    also = [f"- `{answer}` is right, too: {says}" for answer, says in exercise.also]
    wrong = [f"- Not `{answer}`: {says}" for answer, says in exercise.feedback]
    return [f"**{answer}**. {exercise.why}", "", *also, *wrong, *_hints(exercise)]


def _hints(exercise):
    return [f"- Hint {grade}: {words}" for grade, words in enumerate(exercise.hints, start=1)]
