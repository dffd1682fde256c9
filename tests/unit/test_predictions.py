"""Predictions hold a measurement back, are judged, and are summed up on this machine alone."""

import json

import pytest

from tl_helpers import compare_prediction, my_calibration
from tl_helpers.exercises.predictions import HELD_BACK, predictions_file


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (4, "Your prediction +4 is inside the interval"),
        (-2.5, "Your prediction -2.5 is too low by 6.7 points"),
        (10, "Your prediction +10 is too high by 5.8 points"),
    ],
)
def test_a_prediction_is_compared(capsys, guess, words):
    compare_prediction(guess, 4.2, 1.0, 7.4)
    assert f"Measured: +4.2 points (95 % interval +1.0 to +7.4). {words}" in capsys.readouterr().out


def test_a_single_run_has_no_interval_to_be_inside(capsys):
    compare_prediction(6, 8, float("nan"), float("nan"))
    assert "Your prediction +6 is 2 points off." in capsys.readouterr().out
    compare_prediction(5, 5.04, 5.01, 5.07)
    assert "too low by 0.04 points" in capsys.readouterr().out


def test_the_number_is_held_back_until_there_is_a_prediction(capsys):
    compare_prediction(None, 4.2, 1.0, 7.4)
    assert capsys.readouterr().out == f"{HELD_BACK}\n"
    compare_prediction("show", 4.2, 1.0, 7.4)
    assert capsys.readouterr().out == "Measured: +4.2 points (95 % interval +1.0 to +7.4).\n"


def test_a_count_has_no_interval(capsys):
    compare_prediction(3, 4, unit="routes")
    compare_prediction(4, 4, unit="routes")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Measured: 4 routes. Your prediction +3 is too low by 1.0 routes."
    assert said[1] == "Measured: 4 routes. Your prediction +4 is right."


@pytest.mark.parametrize("guess", ["five", True, [5], float("nan"), float("inf"), 10**400])
def test_what_is_no_prediction_is_refused(guess):
    with pytest.raises(TypeError, match="A prediction is a number"):
        compare_prediction(guess, 1, 0, 2)


def test_predictions_are_summed_up_the_last_of_each_question(capsys):
    assert my_calibration().empty and "No prediction" in capsys.readouterr().out
    for guess in (9, 4):
        compare_prediction(guess, 4.2, 1.0, 7.4, question="labels")
    compare_prediction(9, 4.2, 1.0, 7.4, question="updates")
    compare_prediction(-1, 4.2, 1.0, 7.4, question="time")
    compare_prediction("show", 4.2, 1.0, 7.4, question="nothing")
    compare_prediction(3, 4.2, 1.0, 7.4)
    capsys.readouterr()
    table = my_calibration()
    assert list(table.index) == ["labels", "updates", "time"] and list(table["inside"]) == [True, False, False]
    said = capsys.readouterr().out
    assert said.startswith("1 of 3 predictions fell inside their interval; 1 expected too much, 1 too little.")
    assert str(predictions_file()) in said


def test_a_damaged_file_is_told_and_written_anew(capsys):
    predictions_file().parent.mkdir(parents=True, exist_ok=True)
    predictions_file().write_text("{half")
    with pytest.warns(UserWarning, match="earlier predictions are left out"):
        compare_prediction(4, 4.2, 1.0, 7.4, question="labels")
    assert list(json.loads(predictions_file().read_text())) == ["labels"]


def test_where_nothing_can_be_kept_the_answer_comes_all_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TL_HELPERS_PREDICTIONS", str(tmp_path / "file" / "predictions.json"))
    with pytest.warns(UserWarning) as caught:
        compare_prediction(4, 4.2, 1.0, 7.4, question="labels")
    assert any("could not be kept" in str(warning.message) for warning in caught)
    assert "inside the interval" in capsys.readouterr().out


def test_the_file_is_the_users_own(monkeypatch):
    monkeypatch.delenv("TL_HELPERS_PREDICTIONS")
    assert predictions_file().name == "predictions.json" and "tl_helpers" in predictions_file().parts
