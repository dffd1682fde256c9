"""Does the list of slow tests name tests that there are, and is it told where it is wrong?"""

import ast
import json
from pathlib import Path

import pytest

from tests import speed

ROOT = Path(__file__).resolve().parents[2]


def test_each_slow_test_is_there():
    files = {name.partition("::")[0] for name in speed.known_seconds()}
    there = {
        f"{file}::{node.name}"
        for file in files
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    gone = set(speed.known_seconds()) - there
    assert not gone, "take them out of tests/seconds.json"


def test_what_was_measured_replaces_what_stood_there(monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "FILE", tmp_path / "seconds.json")
    assert speed.known_seconds() == {}
    speed.write_down({"a::new": 1.26, "a::faster": 0.1, "a::slower": 9}, {"a::faster": 3, "a::slower": 2, "b::old": 4})
    assert json.loads(speed.FILE.read_text()) == {"a::new": 1.3, "a::slower": 9, "b::old": 4}


def test_only_what_matters_and_is_far_away_is_told():
    known = {"a::wrong": 50, "a::right": 50, "a::small": 1}
    told = speed.far_from_the_truth(
        {"a::wrong": 1, "a::right": 20, "a::small": 4, "a::unknown": 6, "a::quick": 1}, known
    )
    assert told == ["a::wrong took 1.0 s; there stands 50", "a::unknown took 6.0 s; there stands nothing"]


@pytest.mark.parametrize("divided", [True, False])
def test_files_stay_together_unless_they_are_divisible(divided):
    file = speed.DIVISIBLE[0] if divided else "tests/unit/test_speed.py"
    assert (ROOT / file).exists()
    assert (speed.unit_of_work(f"{file}::a[1]") == speed.unit_of_work(f"{file}::a[2]")) is not divided


def test_the_mean_of_a_functions_cases_is_measured():
    class Report:
        def __init__(self, nodeid, taken, when="call"):
            self.nodeid, self.when, self.user_properties = nodeid, when, [(speed.MEASURED, taken)]

    cases = [Report("tests/unit/test_a.py::b[1]", 1), Report("tests/unit/test_a.py::b[2]", 3)]
    others = [Report("tests/unit/test_a.py::b[3]", 9, when="teardown"), Report("notebooks/00.ipynb::Cell 1", 9)]
    assert speed.measured([*cases, *others]) == {"tests/unit/test_a.py::b": 2}
