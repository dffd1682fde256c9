"""Exercises with one answer say something specific, whatever the learner types and whatever an instructor edits."""

import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tl_helpers import exercises
from tl_helpers.exercises import texts as texts_module
from tl_helpers.files import DataError

NOTEBOOKS = sorted((Path(exercises.__file__).parents[2] / "notebooks").glob("*.ipynb"))
EXERCISES = exercises.read_exercises()


# ---------------------------------------------------------------- the course's own exercises


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_every_exercise_checks_and_hints(capsys, name):
    exercise = EXERCISES[name]
    expected = {exercise.answer: f"Right. {exercise.why}", None: "in place of None", "something else": "Not yet."}
    expected |= {answer: f"Right. {says}" for answer, says in exercise.also}
    for answer, words in (expected | dict(exercise.feedback)).items():
        exercises.check(name, answer)
        assert words in capsys.readouterr().out
    assert exercise.feedback and not {exercise.answer, *dict(exercise.also)} & set(dict(exercise.feedback))
    assert len(exercise.hints) == 3
    for grade, words in enumerate(exercise.hints, start=1):
        exercises.hint(name, grade)
        assert capsys.readouterr().out.strip() == words
    with pytest.raises(ValueError, match="hints 1…3"):
        exercises.hint(name, 4)


def exercises_of(path):
    """Return the names that a saved notebook's cells have asked for: untouched, each says its own name."""
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    text = "\n".join(output.get("text", "") for output in outputs)
    return re.findall(r"^Exercise (\S+): put your answer in place of None", text, re.MULTILINE)


def test_the_notebooks_ask_for_every_exercise_once_and_for_no_other():
    used = {path.stem: exercises_of(path) for path in NOTEBOOKS}
    assert sorted(name for names in used.values() for name in names) == sorted(EXERCISES)
    for notebook, names in used.items():
        assert {name[:3] for name in names} <= {notebook[:2] + "-"}


# ---------------------------------------------------------------- what a learner types


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Let a test write the texts beside its notebook."""
    monkeypatch.chdir(tmp_path)

    def write(text, encoding="utf-8"):
        (tmp_path / "exercises.toml").write_text(text, encoding=encoding)

    return write


GOOD = """
[number]
answer = 0.25
why = "A quarter."
feedback = [{ answer = 4, says = "The other way round." }, { answer = [1, 4], says = "As one number." }]
hints = ["first", "second", "third"]

[list]
answer = ["Head", "body"]
why = "In this order."
also = [{ answer = "Neither", says = "There is no order." }, { answer = ["body"], says = "One will do." }]
hints = ["only one"]
"""


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("number", 0.25, "Right. A quarter."),
        ("number", np.float32(0.25), "Right."),
        ("number", 4.0, "Not yet. The other way round."),
        ("number", np.int64(4), "Not yet. The other way round."),
        ("number", (1, 4), "Not yet. As one number."),
        ("number", np.array([1, 4]), "Not yet. As one number."),
        ("number", "0.25", "Not yet. For a nudge run hint('number', 1)."),
        ("number", {"a": 1}, "Not yet. For a nudge"),
        ("list", ["head", "BODY "], "Right. In this order."),
        ("list", ("Head", "body"), "Right."),
        ("list", ["body", "head"], "Not yet."),
        ("list", "head", "Not yet."),
        ("list", " NEITHER", "Right. There is no order."),
        ("list", np.array(["Body"]), "Right. One will do."),
        ("list", "body", "Not yet."),
    ],
)
def test_answers_are_compared_by_value(name, answer, words, texts, capsys):
    texts(GOOD)
    exercises.check(name, answer)
    assert words in capsys.readouterr().out


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match=r"There is no exercise '99-x'; there are 00-interval, 00-leak, 00-patience"):
        exercises.check("99-x", 1)


# ---------------------------------------------------------------- what an instructor edits


def test_an_edited_text_is_said_at_once(texts, capsys):
    texts(GOOD)
    exercises.hint("number")
    texts(GOOD.replace("first", "zeroth"), encoding="utf-8-sig")  # as some editors save it
    exercises.hint("number")
    assert capsys.readouterr().out == "first\nzeroth\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= 0.25", "= ", r"is no valid TOML: .*line 3"),
        ("answer = 0.25\n", "", r"\[number\]: answer is missing \(the names are answer, why, hints, feedback, also\)"),
        ("why = ", "reason = ", r"\[number\]: why is missing"),
        ("[list]", "more = 1\n[list]", r"\[number\]: 'more' is no name here"),
        ('"A quarter."', "4", r"\[number\]: why must be a text, not 4"),
        ('["only one"]', '"only one"', r"\[list\]: hints must be a list"),
        ('["only one"]', "[]", r"\[list\]: hints must be a list"),
        ('"third"', "3", r"\[number\]: each hint must be a text, not 3"),
        ("answer = 4", "answer = 0.25", r"\[number\]: feedback to 0.25 stands there twice, or .* right one"),
        ("answer = [1, 4]", "answer = 4.0", r"\[number\]: feedback to 4.0 stands there twice"),
        ('"Neither"', '["head", "body"]', r"\[list\]: also to \('head', 'body'\) stands there twice"),
        ('"Neither"', '["body"]', r"\[list\]: also to \('body',\) stands there twice"),
        ('[{ answer = "Neither"', '["odd", { answer = "Neither"', r"\[list\]: also must be a list of { answer"),
        ('says = "One', 'say = "One', r"\[list\]: says is missing"),
        ("says = ", "say = ", r"\[number\]: says is missing"),
        ("[{ answer = 4", '["odd", { answer = 4', r"\[number\]: feedback must be a list of { answer"),
        ("\n[number]", 'title = "mine"\n[number]', r"\[title\]: this is no table"),
    ],
)
def test_a_mistake_in_the_texts_is_located(old, new, message, texts, tmp_path):
    assert old in GOOD
    texts(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        exercises.check("number", None)
    assert str(tmp_path / "exercises.toml") in str(caught.value) and "Correct the file" in str(caught.value)


def test_texts_in_another_encoding_are_refused(texts):
    texts(GOOD.replace("quarter", "Viertel für sich"), encoding="latin-1")
    with pytest.raises(ValueError, match="is no valid TOML: 'utf-8' codec"):
        exercises.check("number", None)


# ---------------------------------------------------------------- where the texts are


def test_texts_beside_the_notebook_come_first_then_those_beside_the_data_then_the_clones(tmp_path, monkeypatch):
    clone, work = tmp_path / "clone", tmp_path / "work"
    for folder in (clone / "data", clone / "notebooks", work):
        folder.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("TL_HELPERS_DATA", str(clone / "data"))
    own = Path(exercises.__file__).resolve().parents[2] / "notebooks" / "exercises.toml"
    assert exercises.exercises_file() == own
    (clone / "notebooks" / "exercises.toml").write_text(GOOD)
    assert exercises.exercises_file() == own  # what is no data folder has nothing beside it
    (clone / "data" / "SHA256SUMS").touch()
    assert exercises.exercises_file() == clone / "notebooks" / "exercises.toml"
    (work / "exercises.toml").write_text(GOOD)
    assert exercises.exercises_file() == work / "exercises.toml"


def test_texts_that_are_nowhere_are_missed_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TL_HELPERS_DATA", raising=False)
    installed = tmp_path / "site-packages" / "tl_helpers"
    monkeypatch.setattr(texts_module, "__file__", str(installed / "exercises" / "texts.py"))
    monkeypatch.setattr(sys.modules["tl_helpers.files"], "__file__", str(installed / "files.py"))
    with pytest.raises(DataError, match=r"looked for .*exercises.*of a clone and put it beside your notebook"):
        exercises.read_code_exercises()
    with pytest.raises(DataError, match=r"looked for exercises\.toml in .*put it beside your notebook, or set TL_HELP"):
        exercises.check("02-rare", "no")


@pytest.mark.parametrize("grade", [0, 4, "1", 1.5, None])
def test_a_hint_that_is_none_is_refused(grade):
    with pytest.raises(ValueError, match=r"has hints 1…3, not"):
        exercises.hint("02-rare", grade)


def test_a_name_that_is_no_text_is_no_exercise():
    with pytest.raises(KeyError, match="There is no exercise"):
        exercises.check(["02-rare"], "no")
