"""Does the benchmark compare fairly, notice results that differ, and write what it prints?"""

import json

import numpy as np
import pandas
import pytest

from tests.benchmarks import grids, training
from tests.benchmarks.bench import main
from tests.benchmarks.pairs import Outcome, are_identical, make_row, take_turns


@pytest.fixture(autouse=True)
def settings_of_this_process(monkeypatch):
    """Undo what the benchmark sets for its own process."""
    from tl_helpers.grid.workers import WORKER_ENVIRONMENT

    for name in [*WORKER_ENVIRONMENT, "KERAS_BACKEND"]:
        monkeypatch.setenv(name, "1")


def measured(identical=True, target=8.0):
    return {
        "head": lambda repeats: [make_row("head", [9.0] * repeats, [1.0] * repeats, identical=identical, target=target)]
    }


def test_each_way_is_first_in_every_other_round():
    called = []

    def way(name, seconds):
        def trial():
            called.append(name)
            return Outcome(next(seconds), {})

        return trial

    baseline, ours = take_turns(way("usual", iter([5, 4, 6])), way("kit", iter([2, 1, 3])), 3)
    assert "".join(name[0] for name in called) == "ukkuuk"
    assert [[outcome.seconds for outcome in each] for each in (baseline, ours)] == [[5, 4, 6], [2, 1, 3]]


def test_one_bit_is_a_difference():
    weights = np.float32([1, 2, 3])
    one_bit_more = np.nextafter(weights, np.float32(9))
    same = Outcome(1, {"kernel": weights}), Outcome(2, {"kernel": weights.copy()})
    assert are_identical(*same)
    for other in ({"kernel": one_bit_more}, {"kernel": weights.astype("float64")}, {"bias": weights}, {}):
        assert not are_identical(*same, Outcome(3, other))
    assert are_identical(*(Outcome(1, {"loss": np.float32([np.nan])}) for _ in range(2)))


def test_the_median_trial_counts():
    row = make_row("head", [6.0, 5.0, 1.0], [2.5, 9.0, 1.0], identical=True, target=2.0)
    assert (row["baseline_cpu_s"], row["ours_cpu_s"], row["ratio"], row["met"]) == (5.0, 2.5, 2.0, True)
    assert row["trials"] == {"baseline": [6.0, 5.0, 1.0], "ours": [2.5, 9.0, 1.0]}
    assert make_row("head", [5.0], [2.6], identical=True, target=2.0)["met"] is False
    assert make_row("head", [5.0], [2.6], identical=None)["met"] is None
    assert make_row("grid-overhead", [1.0], [7.0], identical=True, target="< 2 ms", met=True)["met"] is True


def test_the_file_holds_what_is_printed(tmp_path, capsys):
    path = tmp_path / "new folder" / "bench.json"
    assert main(["--json", str(path), "--repeats", "3"], measured) == 0
    written = json.loads(path.read_text("utf-8"))
    assert set(written) == {"rows", "machine"}
    (row,) = written["rows"]
    assert {name: row[name] for name in ("name", "baseline_cpu_s", "ours_cpu_s", "ratio", "identical")} == {
        "name": "head", "baseline_cpu_s": 9.0, "ours_cpu_s": 1.0, "ratio": 9.0, "identical": True,
    }  # fmt: skip
    assert len(row["trials"]["ours"]) == 3
    assert {"cpu", "cores", "versions", "threads", "load_before", "load_after"} <= set(written["machine"])
    printed = capsys.readouterr().out
    assert "PASS" in printed and "identical" in printed and written["machine"]["cpu"] in printed
    assert [each.name for each in path.parent.iterdir()] == ["bench.json"]


def test_wrong_results_and_missed_targets_are_failures(capsys):
    assert main([], lambda: measured(target=10.0)) == 1
    printed = capsys.readouterr().out
    assert "MISSED" in printed and printed.endswith("Targets missed: head\n") and "DIFFER" not in printed
    assert main([], lambda: measured(identical=False)) == 1
    printed = capsys.readouterr().out
    assert "DIFFERENT" in printed and printed.endswith("RESULTS THAT DIFFER: head\n") and "missed" not in printed
    for fine in ({}, {"identical": None}, {"target": None}):
        assert main([], lambda fine=fine: measured(**fine)) == 0
        assert "missed" not in capsys.readouterr().out


def stand_in(seconds, *, wrong=()):
    """Return what takes the place of a fresh process: notes its calls, and gives outcomes of so many seconds."""
    calls = []

    def run(way, count):
        calls.append((way, count))
        name = "others" if way in wrong else "ones"
        return [Outcome(seconds[way] - number, {"head": np.array(name)}, seconds[way] / 10) for number in range(count)]

    return run, calls


@pytest.mark.parametrize(("repeats", "second"), [(1, 1), (3, 1), (6, 2)])
def test_the_head_is_tried_in_fresh_processes_and_once_more_in_each(repeats, second, monkeypatch):
    run, calls = stand_in({"keras": 31.0, "kit": 4.0})
    monkeypatch.setattr(training, "in_a_fresh_process", run)
    monkeypatch.setattr(training, "_later_epoch", lambda seconds, repeats: {"name": "later", "seconds": seconds})
    cold, again, later = training.head(repeats)
    assert sorted(calls).count(("kit", 2)) == repeats and sorted(calls).count(("keras", 2)) == second
    assert len(calls) == 2 * repeats and [way for way, _ in calls[:4]] == ["keras", "kit", "kit", "keras"][: len(calls)]
    assert (cold["name"], cold["ratio"], cold["target"], cold["met"]) == ("head-cold", 7.75, 8.0, False)
    assert (again["name"], again["ratio"], again["target"], again["met"]) == ("head-second-call", 10.0, 9.0, True)
    assert cold["identical"] and again["identical"] and later["seconds"] == [3.1] * repeats
    run, _ = stand_in({"keras": 31.0, "kit": 3.0}, wrong=["kit"])
    monkeypatch.setattr(training, "in_a_fresh_process", run)
    assert [row["identical"] for row in training.head(repeats)[:2]] == [False, False]


@pytest.mark.parametrize(("grid", "share", "met"), [((40.0, 22.0), 0.91, True), ((40.0, 25.0), 0.8, False)])
def test_two_processes_are_held_against_what_the_machine_allows(grid, share, met, monkeypatch):
    same = {"weights": np.array(["a"])}
    frame = pandas.DataFrame({"run_cpu_seconds": [1.0, 1.9], "run_seconds": [2.0, 2.0]})
    monkeypatch.setattr(grids, "plain_processes", lambda count: Outcome({1: 40.0, 2: 20.0}[count], same))
    monkeypatch.setattr(grids, "grid_outcome", lambda *arguments: (Outcome(grid[arguments[3] - 1], same), frame))
    (row,) = grids.two_processes(3)
    assert (row["machine_allows"], row["share_of_it"], row["met"]) == (2.0, share, met)
    assert row["identical"] and row["share_of_cores"] == 0.95


@pytest.mark.parametrize("arguments", [["hed"], ["--repeats", "0"]])
def test_mistyped_words_are_answered_with_the_choice(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments, measured)
    assert ended.value.code == 2
    assert "names among head" in capsys.readouterr().err
