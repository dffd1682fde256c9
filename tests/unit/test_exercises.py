"""Predictions and exercises say something specific, whatever the learner types."""

import numpy as np
import pytest

from tl_helpers import exercises


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (None, "no prediction"),
        (5, "inside the interval"),
        (1.0, "too low by 4.0 points"),
        (np.float64(9), "too high by 4.0 points"),
    ],
)
def test_a_prediction_is_compared(capsys, guess, words):
    exercises.compare_prediction(guess, 5.0, 3.0, 7.0)
    printed = capsys.readouterr().out
    assert words in printed and "+5.0 points (95 % interval +3.0 to +7.0)" in printed


@pytest.mark.parametrize("guess", ["five", True, [5]])
def test_what_is_no_number_is_refused(guess):
    with pytest.raises(TypeError, match="A prediction is a number"):
        exercises.compare_prediction(guess, 5.0, 3.0, 7.0)


@pytest.mark.parametrize("name", sorted(exercises.EXERCISES))
def test_every_exercise_checks_and_hints(capsys, name):
    exercise = exercises.EXERCISES[name]
    expected = {exercise.answer: f"Right. {exercise.why}", None: "in place of None", "something else": "Not yet."}
    for answer, words in (expected | exercise.feedback).items():
        exercises.check(name, answer)
        assert words in capsys.readouterr().out
    assert exercise.answer not in exercise.feedback
    assert len(exercise.hints) == 3
    for grade, words in enumerate(exercise.hints, start=1):
        exercises.hint(name, grade)
        assert capsys.readouterr().out.strip() == words
    with pytest.raises(ValueError, match="hints 1…3"):
        exercises.hint(name, 4)


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match="There is no exercise '99-x'"):
        exercises.check("99-x", 1)
