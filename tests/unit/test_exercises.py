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
    assert exercises.check(name, exercise.answer) and exercise.why in capsys.readouterr().out
    assert not exercises.check(name, None) and "in place of None" in capsys.readouterr().out
    assert not exercises.check(name, "something else") and "Not yet." in capsys.readouterr().out
    for wrong, feedback in exercise.feedback.items():
        assert wrong != exercise.answer
        assert not exercises.check(name, wrong) and feedback in capsys.readouterr().out
    assert len(exercise.hints) == 3
    for grade, words in enumerate(exercise.hints, start=1):
        exercises.hint(name, grade)
        assert capsys.readouterr().out.strip() == words
    with pytest.raises(ValueError, match="hints 1…3"):
        exercises.hint(name, 4)


def test_an_unknown_exercise_is_named():
    with pytest.raises(KeyError, match="There is no exercise '99-x'"):
        exercises.check("99-x", 1)
