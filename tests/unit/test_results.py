"""The command that makes the stored results: what it refuses, what it keeps, and that it goes on where it was."""

import functools
import json
import os
import subprocess
import sys

import pytest

from tests.unit.grids import Inline, parabola
from tl_helpers import command_line
from tl_helpers.experiments.stored import load_study
from tl_helpers.grid.run import run_grid
from tl_helpers.studies import freshness, make, tuning
from tl_helpers.studies.study import Arm, Axis, Study
from tl_helpers.studies.tuning import measure, tune


def test_an_unknown_study_is_refused(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["results", "nothing"])
    assert "no such study: nothing" in capsys.readouterr().err


def test_fewer_than_one_process_is_refused(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["results", "street_rare", "--jobs", "0"])
    assert "--jobs must be at least 1, not 0" in capsys.readouterr().err


def test_without_data_the_command_says_so_in_a_sentence(tmp_path):
    environment = os.environ | {"TL_HELPERS_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "tl_helpers", "results", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr and str(tmp_path) in done.stderr


@pytest.fixture
def study(monkeypatch, tmp_path):
    arms = {
        "fast": Arm("a fast one", "baseline", {"best": 0}, tuned=True),
        "slow": Arm("a slow one", "transfer", {"best": -3}, tuned=True),
    }
    axis = Axis("labels", "labels per class", (1, 2, 3))
    study = Study("parabola", parabola, arms, axis, (0, 1), rates=(1e-3, 3e-3, 1e-2))
    for module in (command_line, freshness, make):
        monkeypatch.setattr(module, "STUDIES", {"parabola": study})
    for module in (command_line, make):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(make, "WORK", tmp_path / "work")
    (tmp_path / "results").mkdir()
    return study


def test_a_study_is_tuned_measured_and_stored_and_goes_on_where_it_was(study, tmp_path, capsys):
    command_line.main(["results", "parabola", "--jobs", "1"])
    stored = load_study(tmp_path / "results/parabola.csv").runs
    assert len(stored) == 12 and set(stored[stored["arm"] == "slow"]["learning_rate"]) == {1e-3}
    spec = json.loads((tmp_path / "results/parabola.json").read_text())["spec"]
    # The fast one's best is the highest rate there is, the slow one's lies inside once 0.0003 was tried.
    assert spec["rates"]["fast/2"] == 1 and spec["rates_at_edge"] == ["fast/1", "fast/3"]
    assert spec["rates_offered"] == [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1]
    # Two values, three seeds; the fast one was offered seven rates, the slow one four.
    assert spec["tuning"] == {"runs": 2 * 3 * (7 + 4), "tuned_at": {"fast": [1, 3], "slow": [1, 3]}}

    logs = {path.name: path.read_bytes() for path in (tmp_path / "work").glob("*.jsonl")}
    command_line.main(["results", "parabola", "--jobs", "1"])
    assert len(logs) == 2
    # Another sitting may note its environment, but no run is repeated.
    for name, content in logs.items():
        assert (tmp_path / "work" / name).read_bytes().count(b'"arm"') == content.count(b'"arm"')


def diverging(budget, seed, *, rate=None, split="test"):
    """Be best at a rate of 0.003, but for the budget None at 0.001; diverge at 0.01, with one seed only."""
    best = 1e-3 if budget is None else 3e-3
    score = 100 if rate == 1e-2 else 50 + (rate == best)
    return {"score": float("nan" if rate == 1e-2 and seed == 101 else score), "learning_rate": rate}


def diverging_study(budgets, rates):
    arms = {"net": Arm("a network", "transfer", tuned=True)}
    return Study("diverging", diverging, arms, Axis("labels", "labels per class", budgets), (0, 1), rates=rates)


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(tuning, "run_grid", functools.partial(run_grid, client=Inline()))


@pytest.mark.parametrize("budgets", [(5, None), (None,), (5, 0.5)])
def test_every_budget_gets_its_rate_whatever_the_table_makes_of_it(budgets, in_this_process):
    study = diverging_study(budgets, rates=(3e-4, 1e-3, 3e-3, 1e-2))
    found = tune(study, path=None, n_jobs=1)
    assert found.rates == {f"net/{budget}": 1e-3 if budget is None else 3e-3 for budget in budgets}
    assert found.at_edge == []
    runs = measure(study, found.rates, path=None, n_jobs=1)
    assert runs["learning_rate"].tolist() == [1e-3 if budget is None else 3e-3 for budget in budgets for _ in range(2)]


def test_a_study_that_diverges_everywhere_or_has_no_rate_is_refused(in_this_process):
    study = diverging_study((5, None), rates=(1e-2,))
    with pytest.raises(FloatingPointError, match="net at budget 5; net at budget None"):
        tune(study, path=None, n_jobs=1)
    with pytest.raises(ValueError, match="no learning rate for net/None: tune"):
        measure(study, {"net/5": 1e-3}, path=None, n_jobs=1)
