"""No run is lost, none is done twice, and none that belongs to other code or data is taken for ours."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from tests.unit.grids import (
    AXES,
    NOTEBOOK,
    Inline,
    allow,
    finished_runs,
    is_running,
    notebook,
    posix,
    study,
    wait_until,
)
from tl_helpers import files
from tl_helpers.grid import clients, log as run_log, one_run as runs
from tl_helpers.grid.run import GridError, run_grid


@pytest.fixture
def client():
    return Inline()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


# ---------------------------------------------------------------- what comes back


def test_one_row_per_run_in_the_order_asked_for(client, path):
    frame = run_grid(study, ["transfer", "scratch"], [10, 5], [1, 0], path=path, client=client)
    assert list(frame.columns) == ["arm", "budget", "seed", "score", "updates", "rate", *runs.MEASURED, "spec"]
    asked = [(a, b, s) for a in ("transfer", "scratch") for b in (10, 5) for s in (1, 0)]
    assert list(frame[["arm", "budget", "seed"]].itertuples(index=False, name=None)) == asked
    assert frame["score"].tolist() == [b + 3 * (a == "transfer") + s / 7 for a, b, s in asked]
    assert frame["rate"].iloc[0] == float(np.float32(0.1))
    assert (frame["run_seconds"] >= 0).all()


def test_all_arms_of_a_seed_are_run_before_the_next_seed(client):
    run_grid(study, *AXES, path=None, client=client)
    assert [seed for _, _, seed in client.runs] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [arm for arm, _, _ in client.runs] == ["scratch", "transfer"] * 4


def test_a_list_becomes_several_rows(client, path):
    def per_epoch(arm, budget, seed):
        return [{"epoch": 1, "score": 0.5}, {"epoch": 2, "score": 0.75, "last": True}]

    for _ in range(2):
        frame = run_grid(per_epoch, ["a"], [1], [0, 1], path=path, client=client)
        assert frame["epoch"].tolist() == [1, 2, 1, 2]
        assert frame["last"].isna().tolist() == [True, False, True, False]
    assert len(client.runs) == 2


def test_fixed_arguments_reach_the_function(client):
    assert run_grid(study, ["transfer"], [5], [0], path=None, client=client, gain=100)["score"].tolist() == [105]


def test_keys_of_different_types_are_different_runs(client, path):
    def kind(arm, budget, seed):
        return {"kind": type(arm).__name__ + type(budget).__name__}

    for _ in range(2):
        frame = run_grid(kind, ["1", 1, 1.0, True, None], [np.int64(1)], [0], path=path, client=client)
        assert frame["kind"].tolist() == ["strint", "intint", "floatint", "boolint", "NoneTypeint"]
    assert len(client.runs) == 5


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (([], [1], [0]), "arms is empty"),
        ((["a"], [1], []), "seeds is empty"),
        (("scratch", [1], [0]), r"arms must be a list.*arms=\['scratch'\]"),
        ((["a"], 5, [0]), r"budgets must be a list.*budgets=\[5\]"),
        ((["a"], [1], [0, 1, 0]), "seeds holds 0 more than once"),
        ((["a", {}], [1], [0]), "arms must hold plain values: dict"),
    ],
)
def test_what_is_no_grid_is_refused(axes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run_grid(study, *axes, path=None, client=Inline())


@pytest.mark.parametrize("n_jobs", [0, -2, 1.5, True])
def test_jobs_are_counted(n_jobs):
    with pytest.raises(ValueError, match="n_jobs"):
        run_grid(study, *AXES, path=None, n_jobs=n_jobs)


# ---------------------------------------------------------------- continuing


def test_a_finished_run_is_never_repeated(client, path):
    first = run_grid(study, *AXES, path=path, client=client)
    again = run_grid(study, *AXES, path=path, client=client)
    assert len(client.runs) == 8
    pd.testing.assert_frame_equal(first, again)
    larger = run_grid(study, AXES[0], [5, 10, 20], [0, 1, 2], path=path, client=client)
    assert len(client.runs) == 18 and len(larger) == 18
    assert len(set(client.runs)) == 18


def test_another_function_or_argument_uses_no_old_row(client, path):
    def make(bonus):
        def study(arm, budget, seed, gain=3):
            return {"score": bonus}

        return study

    specs = set()
    calls = [(make(1), {}), (make(2), {}), (make(1), {"gain": 4}), (make(1), {"gain": 4.0}), (make(1), {})]
    for number, (function, fixed) in enumerate(calls):
        frame = run_grid(function, *AXES, path=path, client=client, **fixed)
        specs |= set(frame["spec"])
        assert len(client.runs) == 8 * min(number + 1, 4)  # the last call finds the rows of the first
    assert len(specs) == 4


CONFIGURED = """
class CFG:
    rate = 1
    rates = [1, 2]
    settings = {"a": {"b": 3}}

class Helper:
    def __init__(self, gain):
        self.gain = gain

    def run(self, x):
        return self.gain * x

HELPER = Helper(4)

def study(arm, budget, seed):
    return {"score": CFG.rate + sum(CFG.rates) + CFG.settings["a"]["b"] + HELPER.run(1)}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("rate = 1", "rate = 6"), ("2]", "7]"), ("3}", "8}"), ("Helper(4)", "Helper(9)"), ("* x", "+ x + 4")],
)
def test_an_edited_configuration_uses_no_old_row(old, new, client, path):
    def run(source):
        space = {"__name__": "__main__"}
        exec(source, space)
        return run_grid(space["study"], ["a"], [1], [0], path=path, client=client)["score"].tolist()

    assert run(CONFIGURED) == [11] and run(CONFIGURED) == [11] and len(client.runs) == 1
    assert run(CONFIGURED.replace(old, new)) == [16] and len(client.runs) == 2
    assert run(CONFIGURED) == [11] and len(client.runs) == 2


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    import hashlib

    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(folder))
    monkeypatch.setattr(files, "_files_read", {})

    def write(**contents):
        for name, content in contents.items():
            (folder / name).write_text(content)
        entries = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("[a-z]*")}
        (folder / "SHA256SUMS").write_text(files.checksum_list(entries))

    return write


def test_rows_made_from_other_data_are_not_used(client, path, small_data):
    def reads(arm, budget, seed):
        from tl_helpers.files import read_verified

        return {"score": float(read_verified("used"))}

    small_data(used="1", unused="1")
    assert run_grid(reads, ["a"], [1], [0], path=path, client=client)["score"].tolist() == [1]
    small_data(unused="2")
    assert run_grid(reads, ["a"], [1], [0], path=path, client=client)["score"].tolist() == [1]
    assert len(client.runs) == 1
    small_data(used="2")
    frame = run_grid(reads, ["a"], [1], [0], path=path, client=client)
    assert frame["score"].tolist() == [2] and len(client.runs) == 2
    assert list(frame.attrs["provenance"]["data"]) == ["used"]
    assert run_grid(reads, ["a"], [1], [0], path=path, client=client)["score"].tolist() == [2]
    assert len(client.runs) == 2


# ---------------------------------------------------------------- failures


def test_after_a_failure_only_the_failed_runs_are_done_again(client, path):
    broken = {"yes": True}

    def sometimes(arm, budget, seed):
        from tests_broken import broken

        if seed == 1 and broken["yes"]:
            raise ValueError("not yet")
        return {"score": seed}

    sys.modules["tests_broken"] = type(sys)("tests_broken")
    sys.modules["tests_broken"].broken = broken
    try:
        with pytest.raises(GridError, match="1 of 3 runs"):
            run_grid(sometimes, ["a"], [1], [0, 1, 2], path=path, client=client)
        broken["yes"] = False
        assert run_grid(sometimes, ["a"], [1], [0, 1, 2], path=path, client=client)["score"].tolist() == [0, 1, 2]
        assert client.runs == [("a", 1, 0), ("a", 1, 1), ("a", 1, 2), ("a", 1, 1)]
    finally:
        del sys.modules["tests_broken"]


def test_when_all_fail_the_rest_is_not_tried(client):
    def fails(arm, budget, seed):
        raise ValueError("typo")

    with pytest.raises(GridError, match="None of the first 5 succeeded, so the other runs were not tried"):
        run_grid(fails, ["a"], [1], range(100), path=None, client=client)
    assert len(client.runs) == 5


def test_a_client_that_loses_a_run_is_told_apart(client):
    class Losing(Inline):
        def submit(self, function, payload, *task):
            future = super().submit(function, payload, *task)
            if task[2] == 1:
                future = Future()
                future.set_exception(ConnectionError("the worker is gone"))
            return future

    with pytest.raises(GridError, match="seed 1: ConnectionError: the worker is gone") as caught:
        run_grid(study, ["a"], [1], [0, 1, 2], path=None, client=Losing())
    assert caught.value.finished["seed"].tolist() == [0, 2]


# ---------------------------------------------------------------- how many at once


class Counting(Inline):
    """Notes how many runs are on their way at once; none ends before there were three."""

    def __init__(self):
        super().__init__()
        self.pool, self.on_their_way, self.most = ThreadPoolExecutor(8), 0, 0
        self.lock, self.three = threading.Lock(), threading.Event()

    def submit(self, *call):
        with self.lock:
            self.on_their_way += 1
            self.most = max(self.most, self.on_their_way)
            if self.most == 3:
                self.three.set()
        future = self.pool.submit(self.run, *call)
        future.add_done_callback(self.finished)
        return future

    def run(self, function, *arguments):
        assert self.three.wait(600)
        return function(*arguments)

    def finished(self, future):
        with self.lock:
            self.on_their_way -= 1


def test_no_more_runs_are_on_their_way_than_asked_for(path):
    client = Counting()
    assert len(run_grid(study, ["a"], [1], range(300), path=path, client=client, n_jobs=3)) == 300
    client.pool.shutdown()
    assert client.most == 3


def test_a_client_gets_all_with_every_run_because_what_was_scattered_is_lost_with_its_worker(client):
    client.scatter = None

    def study(arm, budget, seed, data):
        return {"score": data.sum()}

    frame = run_grid(study, ["a"], [1], range(3), path=None, client=client, data=np.ones(1000))
    assert frame["score"].tolist() == [1000.0] * 3


# ---------------------------------------------------------------- notebooks, Ctrl-C and kills


def test_functions_of_a_notebook_work_and_are_known_again(tmp_path):
    first = notebook(tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[1].startswith("scratch,5,0,10.0,")
    assert len((tmp_path / "notes").read_text().splitlines()) == 24
    assert notebook(tmp_path).stdout == first.stdout
    assert len((tmp_path / "notes").read_text().splitlines()) == 24
    changed = notebook(tmp_path, NOTEBOOK.replace("FACTOR = 2", "FACTOR = 3"))
    assert changed.stdout.splitlines()[1].startswith("scratch,5,0,15.0,")
    assert len((tmp_path / "notes").read_text().splitlines()) == 48


@posix
def test_a_grid_killed_again_and_again_ends_as_if_it_never_was(tmp_path):
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    expected = notebook(unbroken, pause=0.01).stdout
    kills, chance = 3, random.Random(11)
    for kill in range(kills):
        before = finished_runs(tmp_path)
        enough = before + chance.randint(0 if kill == 0 else 1, 4)
        allow(tmp_path, enough + 1)
        running = notebook(tmp_path, pause=0.01, start=subprocess.Popen, stdout=subprocess.DEVNULL)
        wait_until(lambda: finished_runs(tmp_path) >= enough)  # noqa: B023 - is called in this round only
        time.sleep(chance.random() * 0.05)
        running.kill()
        running.wait()
    assert 0 < finished_runs(tmp_path) < 24
    allow(tmp_path, 24)
    last = notebook(tmp_path, pause=0.01)
    assert last.returncode == 0, last.stderr
    assert last.stdout == expected
    started = (tmp_path / "notes").read_text().splitlines()
    assert len({line.rsplit(" ", 1)[0] for line in started}) == 24
    assert 24 <= len(started) <= 24 + 2 * kills  # each kill costs at most the two runs on their way
    wait_until(lambda: not any(is_running(line.split()[3]) for line in started))  # no orphan goes on


@posix
def test_ctrl_c_ends_it_at_once_with_a_sound_log(tmp_path):
    allow(tmp_path, 3)  # the runs after these never end by themselves
    running = notebook(
        tmp_path, start=subprocess.Popen, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_until(lambda: finished_runs(tmp_path) >= 3)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, stderr = running.communicate(timeout=600)
    assert running.returncode != 0
    assert stderr.count("Traceback") == 1 and "KeyboardInterrupt" in stderr
    finished = finished_runs(tmp_path)
    assert f"{finished} of 24 runs are finished and kept in {tmp_path / 'log.jsonl'}" in stderr
    assert 3 <= finished <= 4  # a fourth may have begun before the third was in the log
    started = (tmp_path / "notes").read_text().splitlines()
    wait_until(lambda: not any(is_running(line.split()[3]) for line in started))
    assert len(started) <= finished + 2
    assert all(json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())


@pytest.mark.parametrize("where", ["before the line", "after the line", "while receiving"])
def test_what_has_arrived_is_kept_and_counted_before_ctrl_c_is_heard(where, path, client, ctrl_c, monkeypatch):
    append, wait = run_log.RunLog._append, clients.Client.wait

    def pressing_append(log, record):
        pressed = record.get("seed") == 1
        if pressed and where == "before the line":
            ctrl_c()
        append(log, record)
        if pressed and where == "after the line":
            ctrl_c()

    def pressing_wait(self, seconds):
        arrived = wait(self, seconds)
        if where == "while receiving" and arrived and arrived[0][0][2] == 1:
            ctrl_c()
        return arrived

    with monkeypatch.context() as patch:
        patch.setattr(run_log.RunLog, "_append", pressing_append)
        patch.setattr(clients.Client, "wait", pressing_wait)
        with pytest.raises(KeyboardInterrupt) as caught:
            run_grid(study, ["a"], [1], range(5), path=path, client=client)
    assert "2 of 5 runs are finished" in caught.value.__notes__[0]
    assert path.read_text().count('"rows"') == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run_grid(study, ["a"], [1], range(5), path=path, client=client)
    assert [seed for _, _, seed in client.runs] == [0, 1, 2, 3, 4]
