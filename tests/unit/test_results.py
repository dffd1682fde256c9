"""The command that makes the stored results: what it refuses, what it keeps, and that it goes on where it was."""

import json

import pytest

from tl_helpers import results
from tl_helpers.provenance import load_study
from tl_helpers.tuning import Study


def test_an_unknown_study_is_refused(capsys):
    with pytest.raises(SystemExit):
        results.main(["nothing"])
    assert "no such study: nothing" in capsys.readouterr().err


def parabola(arm, budget, seed, *, rate=None, split="test"):
    """Be best at a rate of 0.1 or of 0.001."""
    import math

    best = {"fast": -1, "slow": -3}[arm]
    return {"score": 50 - abs(math.log10(rate) - best), "learning_rate": rate, "updates": 10}


@pytest.fixture
def study(monkeypatch, tmp_path):
    study = Study(parabola, ("fast", "slow"), (1, 2, 3), (0, 1), tuned=("fast", "slow"), rates=(1e-3, 3e-3, 1e-2))
    monkeypatch.setattr(results, "STUDIES", {"parabola": study})
    monkeypatch.setattr(results, "WORK", tmp_path / "work")
    monkeypatch.setattr(results, "data_folder", lambda: tmp_path)
    (tmp_path / "results").mkdir()
    return study


def test_a_study_is_tuned_measured_and_stored_and_goes_on_where_it_was(study, tmp_path, capsys):
    results.main(["parabola", "--jobs", "1"])
    stored = load_study(tmp_path / "results/parabola.csv")
    assert len(stored) == 12 and set(stored[stored["arm"] == "slow"]["learning_rate"]) == {1e-3}
    spec = json.loads((tmp_path / "results/parabola.json").read_text())["spec"]
    # The fast one's best is the highest rate there is, the slow one's lies inside once 0.0003 was tried.
    assert spec["rates"]["fast/2"] == 0.1 and spec["rates_at_edge"] == ["fast/1", "fast/2", "fast/3"]
    assert spec["rates_offered"] == [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1]

    logs = {path.name: path.read_bytes() for path in (tmp_path / "work").glob("*.jsonl")}
    results.main(["parabola", "--jobs", "1"])
    assert len(logs) == 2
    # Another sitting may note its environment, but no run is repeated.
    for name, content in logs.items():
        assert (tmp_path / "work" / name).read_bytes().count(b'"arm"') == content.count(b'"arm"')
