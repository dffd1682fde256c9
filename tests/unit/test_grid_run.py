"""No run is lost, none is done twice, and none that belongs to other code or data is taken for ours."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tl_helpers import files
from tl_helpers.grid import clients, log as run_log, one_run as runs, run as grid, workers
from tl_helpers.grid.run import GridError, run_grid

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Inline:
    """A client that runs what it is given at once: for tests of everything but the worker processes."""

    def __init__(self):
        self.runs = []

    def submit(self, function, payload, *task):
        self.runs.append(task)
        future = Future()
        future.set_result(function(payload, *task))
        return future


@pytest.fixture
def client():
    return Inline()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def study(arm, budget, seed, gain=3):
    return {"score": budget + gain * (arm == "transfer") + seed / 7, "updates": np.int64(10), "rate": np.float32(0.1)}


AXES = (["scratch", "transfer"], [5, 10], [0, 1])


def without_times(frame):
    return frame.drop(columns=["run_seconds", "run_cpu_seconds"])


def assert_same_runs(a, b):
    pd.testing.assert_frame_equal(without_times(a), without_times(b))


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


def test_not_a_number_survives_the_log(client, path):
    def diverges(arm, budget, seed):
        return {"score": [np.nan, np.inf][seed]}

    for _ in range(2):
        scores = run_grid(diverges, ["a"], [1], [0, 1], path=path, client=client)["score"]
        assert np.isnan(scores[0]) and scores[1] == np.inf
    assert len(client.runs) == 2


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


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (0.5, "must return a dictionary"),
        ([], "must return a dictionary"),
        ({"score": [1, 2]}, "'score': list is no plain value"),
        ({"score": np.zeros(2)}, "'score'"),
        ({"seed": 1}, "'seed', a name that run_grid uses"),
        ({1: 1}, "1, a name"),
    ],
)
def test_what_is_no_result_is_refused_with_the_run_that_gave_it(result, message):
    def odd(arm, budget, seed):
        return result

    with pytest.raises(GridError, match=rf"arm 'a', budget 1, seed 0: .*{message}"):
        run_grid(odd, ["a"], [1], [0], path=None, client=Inline())


def test_what_cannot_be_sent_is_refused_before_anything_runs(tmp_path):
    with open(tmp_path / "open", "w") as handle, pytest.raises(TypeError, match="handle"):
        run_grid(study, *AXES, path=None, handle=handle)


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


@pytest.fixture
def no_fsync(monkeypatch):
    """Tests of what the log holds need not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def cut_log(path, client, keep):
    """Write a whole log, cut it to `keep` bytes, and return how many finished runs that leaves, and the whole frame."""
    whole = run_grid(study, *AXES, path=path, client=client)
    content = path.read_bytes()
    runs = {line for line in content.splitlines() if b'"rows"' in line}
    path.write_bytes(content[:keep])
    return sum(line in runs for line in content[:keep].splitlines()), whole


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1))
def test_a_log_torn_anywhere_loses_the_torn_line_only(tmp_path, no_fsync, where):
    path = tmp_path / "torn.jsonl"
    path.unlink(missing_ok=True)
    run_grid(study, *AXES, path=path, client=Inline())
    client = Inline()
    left, whole = cut_log(path, client, int(where * path.stat().st_size))
    assert not client.runs
    assert_same_runs(run_grid(study, *AXES, path=path, client=client), whole)
    assert len(client.runs) == 8 - left
    assert_same_runs(run_grid(study, *AXES, path=path, client=Inline()), whole)
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\xff\xfe\n", b'{"spec":\n[1]\n', b'{"spec": "x"'])
def test_a_broken_end_is_dropped(client, path, tail):
    whole = run_grid(study, *AXES, path=path, client=client)
    with open(path, "ab") as log:
        log.write(tail)
    assert_same_runs(run_grid(study, *AXES, path=path, client=client), whole)
    assert len(client.runs) == 8
    assert path.read_bytes().endswith(b"}\n") and tail not in path.read_bytes()


def test_a_damaged_line_in_the_middle_is_named(client, path):
    run_grid(study, *AXES, path=path, client=client)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b":", b";", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=r"line 5 is damaged.*Delete that line"):
        run_grid(study, *AXES, path=path, client=client)
    path.write_bytes(b"".join(lines[:4] + lines[5:]))
    assert len(run_grid(study, *AXES, path=path, client=client)) == 8
    assert len(client.runs) == 9


@pytest.mark.parametrize("content", ["arm,score\na,1\n", "{}\n", "precious", '{"tl_helpers":"other"}\n'])
def test_a_file_of_another_kind_is_not_touched(path, content):
    path.write_text(content)
    with pytest.raises(ValueError, match="is not a log of run_grid"):
        run_grid(study, *AXES, path=path, client=Inline())
    assert path.read_text() == content


# ---------------------------------------------------------------- where it cannot be written


def test_a_second_writer_is_refused(path):
    program = f"""
        from tl_helpers.grid.run import run_grid
        def study(arm, budget, seed):
            return {{"score": 1}}
        run_grid(study, ["a"], [1], [0], path={str(path)!r})
    """
    with open(path, "a+b", buffering=0) as held:
        run_log._lock(held, path)
        second = run_program(program)
    assert second.returncode == 1
    assert "BlockingIOError" in second.stderr and "Another process is writing this log" in second.stderr
    assert str(path) in second.stderr and path.read_bytes() == b""
    assert run_program(program).returncode == 0


def test_a_grid_holds_its_log_until_it_is_done(path):
    class Meddling(Inline):
        def submit(self, *call):
            with pytest.raises(BlockingIOError, match="Another process is writing"):
                run_grid(study, *AXES, path=path, client=Inline())
            return super().submit(*call)

    assert len(run_grid(study, *AXES, path=path, client=Meddling())) == 8
    assert len(run_grid(study, *AXES, path=path, client=Inline())) == 8


def test_an_unwritable_place_is_refused_before_anything_runs(tmp_path, client):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        run_grid(study, *AXES, path=tmp_path / "file" / "log.jsonl", client=client)
    with pytest.raises(OSError, match="cannot be written"):
        run_grid(study, *AXES, path=tmp_path, client=client)
    assert not client.runs


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_anything_runs(tmp_path, client):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="Choose a path in a folder of your own"):
        run_grid(study, *AXES, path=tmp_path / "log.jsonl", client=client)
    assert not client.runs


@posix
def test_a_full_disk_keeps_what_was_finished(path):
    program = f"""
        import resource
        from concurrent.futures import ThreadPoolExecutor
        from tl_helpers.grid.run import run_grid
        def study(arm, budget, seed):
            return {{"score": seed}}
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, resource.RLIM_INFINITY))
        with ThreadPoolExecutor(1) as pool:
            print(len(run_grid(study, ["a"], [1], range(20), path={str(path)!r}, client=pool)))
    """
    full = run_program(program.replace("MOST", "2000"))
    assert full.returncode == 1 and "could not be written" in full.stderr and "make room" in full.stderr
    content = path.read_bytes()
    assert 1000 < len(content) <= 2000 and content.endswith(b"\n")
    finished = content.count(b'"rows"')
    assert 0 < finished < 20
    assert run_program(program.replace("MOST", "10**6")).stdout.strip() == "20"
    assert path.read_bytes().startswith(content)
    assert path.read_bytes().count(b'"rows"') == 20


# ---------------------------------------------------------------- worker processes


def run_program(program, **options):
    """Run a program as ``python -c`` does, like a notebook without the files of this test."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, **options)


def test_every_run_is_in_a_worker_with_one_thread_each():
    def where(arm, budget, seed):
        import os

        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return {"pid": os.getpid(), "parent": os.getppid(), "threads": " ".join(os.environ[name] for name in names)}

    one = run_grid(where, ["a"], [1], range(3), path=None)
    two = run_grid(where, ["a"], [1], range(6), path=None, n_jobs=2)
    for frame, count in ((one, 1), (two, 2)):
        assert frame["pid"].nunique() == count and os.getpid() not in set(frame["pid"])
        assert set(frame["parent"]) == {os.getpid()} and set(frame["threads"]) == {"1 1 1 1"}
        for pid in frame["pid"]:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


EDITED = r"""
import sys
sys.path.insert(0, {folder!r})
import helper
from tl_helpers.grid.run import GridError, run_grid

def study(arm, budget, seed):
    return {{"score": helper.gain(seed)}}

def scores():
    return run_grid(study, ["a"], [1], [0, 1], path={log!r})["score"].tolist()

print(scores())
with open(helper.__file__, "a") as text:
    text.write("\n\ndef gain(seed):\n    return 70 + seed\n")
try:
    print(run_grid(study, ["a"], [1], [0, 1, 2], path={log!r})["score"].tolist())
except GridError as error:
    print(error.finished["score"].tolist(), error)
import importlib
importlib.reload(helper)
print(scores())
"""


def test_objects_with_slots_of_a_notebook_are_no_other_code():
    space = {"__name__": "__main__"}
    source = """
        import dataclasses

        @dataclasses.dataclass(slots=True)
        class Settings:
            rate: float = 0.5

        SETTINGS = Settings()

        def study(arm, budget, seed):
            return {"score": SETTINGS.rate}
    """
    exec(textwrap.dedent(source), space)
    assert run_grid(space["study"], ["a"], [1], [0], path=None)["score"].tolist() == [0.5]


def test_a_module_edited_since_its_import_gives_no_row_under_the_old_name(path, tmp_path):
    (tmp_path / "helper.py").write_text("def gain(seed):\n    return seed\n")
    done = run_program(EDITED.format(folder=str(tmp_path), log=str(path)))
    before, refused, *_, after = done.stdout.splitlines()
    assert before == "[0, 1]" and refused.startswith("[0, 1] 1 of 3 runs of "), done.stderr
    assert "edited after it was imported here" in done.stdout and "importlib.reload" in done.stdout
    assert after == "[70, 71]"


REMEMBERING = r"""
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
sys.path.insert(0, {folder!r})
import remembering
from tl_helpers.grid.run import GridError, run_grid

with ProcessPoolExecutor(1, get_context("spawn")) as pool:
    for function in (remembering.study, partial(remembering.study)):
        print(run_grid(function, ["a"], [1], [0, 1], path=None, client=pool)["score"].tolist())
remembering.study("a", 1, 0)
print(run_grid(remembering.study, ["a"], [1], [0, 1], path=None)["score"].tolist())
remembering.RATE = 5
try:
    run_grid(remembering.study, ["a"], [1], [0, 1], path=None)
except GridError as error:
    print(error)
"""


def test_what_a_call_has_filled_is_told_and_what_was_set_is_refused(tmp_path):
    source = (
        "MEMO, MODEL, RATE = {}, None, 1\n\ndef study(arm, budget, seed):\n    global MODEL\n    MODEL = MODEL or [1]\n"
    )
    source += "    return {'score': RATE * MEMO.setdefault(seed, seed + MODEL[0])}\n"
    (tmp_path / "remembering.py").write_text(source)
    done = run_program(REMEMBERING.format(folder=str(tmp_path)))
    assert done.stdout.startswith("[1, 2]\n[1, 2]\n[1, 2]\n2 of 2 runs of "), done.stderr
    assert "such as module.RATE = 0.5" in done.stdout
    assert done.stderr.count("UserWarning: A variable of a module that the function uses") == 1


def test_crashes_and_errors_name_their_run_and_spare_the_others(path, monkeypatch):
    monkeypatch.setattr(grid, "HOPELESS", 99)  # the worker with the runs that succeed may be the slower one

    def accident(arm, budget, seed, broken):
        import os

        class Own(Exception):
            def __init__(self, first, second):
                super().__init__(f"{first} {second}")
                self.lock = open(os.devnull)  # which makes it impossible to pickle

        if broken:
            if arm == "exit":
                os._exit(7)
            if arm == "kill":
                os.kill(os.getpid(), 9)
            if arm == "leave":
                raise SystemExit("bye")
            if arm == "divide":
                return {"score": 1 / 0}
            if arm == "own":
                raise Own("not", "sendable")
        return {"score": budget}

    arms = ["fine", "exit", "kill", "leave", "divide", "own"]
    with pytest.raises(GridError) as caught:
        run_grid(accident, arms, [1, 2], [0], path=path, n_jobs=2, broken=True)
    error = caught.value
    messages = {failure.arm: failure.message for failure in error.failures}
    assert len(error.failures) == 10 and set(messages) == set(arms[1:])
    assert "exit code 7" in messages["exit"]
    assert "SIGKILL" in messages["kill"] or os.name != "posix"
    assert messages["leave"] == "SystemExit: bye"
    assert messages["divide"] == "ZeroDivisionError: division by zero"
    assert messages["own"] == "Own: not sendable"
    assert "10 of 12 runs" in str(error) and "arm 'exit', budget 1, seed 0" in str(error) and str(path) in str(error)
    assert error.finished["arm"].tolist() == ["fine", "fine"]
    assert error.__cause__ is not None
    assert path.read_text().count('"rows"') == 2


def test_the_cause_is_the_runs_own_exception_with_its_traceback():
    def fails(arm, budget, seed):
        raise KeyError("the culprit")

    with pytest.raises(GridError) as caught:
        run_grid(fails, ["a"], [1], [0], path=None)
    assert isinstance(caught.value.__cause__, KeyError)
    assert 'raise KeyError("the culprit")' in "".join(caught.value.__cause__.__notes__)


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


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own account")
def test_a_leak_is_bounded_by_a_new_worker(monkeypatch):
    monkeypatch.setattr(workers, "WORKER_GROWTH", 60 * 2**20)

    def leaks(arm, budget, seed):
        import os
        import sys

        sys.kept = [*getattr(sys, "kept", []), b"x" * 25 * 2**20]
        with open("/proc/self/statm") as account:
            return {"pid": os.getpid(), "mib": int(account.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20}

    frame = run_grid(leaks, ["a"], [1], range(10), path=None)
    assert frame["pid"].nunique() >= 3
    assert frame["mib"].max() < frame["mib"][0] + 60 + 2 * 25 + 10


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


# ---------------------------------------------------------------- notebooks, Ctrl-C and kills

# A run begins only while the log holds fewer runs than the file `most` says, where there is one: so a test that is slow
# to look finds no more of them finished than it allows.
NOTEBOOK = """
    import os, signal, sys, time
    from tl_helpers.grid.run import run_grid

    # Tests that run in the background have SIGINT ignored, and their children inherit that; a notebook hears it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    FACTOR = 2

    def helper(x):
        return FACTOR * x

    def study(arm, budget, seed, pause=0):
        with open(sys.argv[2], "a") as notes:
            notes.write(f"{arm} {budget} {seed} {os.getpid()}\\n")
        while os.path.exists(sys.argv[3]) and open(sys.argv[1]).read().count('"rows"') >= int(open(sys.argv[3]).read()):
            time.sleep(0.005)
        time.sleep(pause * (1 + (7 * seed + budget) % 5))
        return {"score": helper(budget) + seed / 7 + (arm == "transfer")}

    # No `if __name__ == "__main__":`, as in a notebook.
    frame = run_grid(study, ["scratch", "transfer"], [5, 10], range(6), path=sys.argv[1], n_jobs=2, pause=PAUSE)
    print(frame.drop(columns=["run_seconds", "run_cpu_seconds"]).to_csv(index=False))
"""


def notebook(tmp_path, program=NOTEBOOK, pause=0.0, start=subprocess.run, **options):
    program = textwrap.dedent(program).replace("PAUSE", str(pause))
    command = [sys.executable, "-c", program, *(str(tmp_path / name) for name in ("log.jsonl", "notes", "most"))]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    if start is subprocess.run:
        options |= {"capture_output": True, "timeout": 900}
    return start(command, text=True, env=environment, **options)


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


def finished_runs(tmp_path):
    path = tmp_path / "log.jsonl"
    return path.read_text().count('"rows"') if path.exists() else 0


def allow(tmp_path, most):
    """Let runs of the notebook begin only while fewer than `most` are finished."""
    (tmp_path / "new").write_text(str(most))
    (tmp_path / "new").replace(tmp_path / "most")


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


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


@posix
def test_no_worker_hears_ctrl_c_while_it_starts_up():
    ended = run_program("""
        from tl_helpers.grid.run import run_grid
        def study(arm, budget, seed):
            import os, signal
            return {"pid": os.getpid(), "blocked": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])}
        frame = run_grid(study, ["a"], [1], range(6), path=None, n_jobs=2)
        print(frame["pid"].nunique(), frame["blocked"].all())
    """)
    assert ended.stdout.split() == ["2", "True"], ended.stderr


@pytest.fixture
def ctrl_c():
    """Press Ctrl-C where it is heard as in a notebook, whatever the tests were started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


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


def test_a_second_ctrl_c_does_not_wait(ctrl_c):
    done = []
    with pytest.raises(KeyboardInterrupt), workers.interrupts_held():
        ctrl_c()
        done.append(1)
        ctrl_c()
        done.append(2)
    assert done == [1]
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


@posix
def test_ctrl_c_while_workers_are_ended_leaves_none_and_no_second_traceback(ctrl_c, monkeypatch):
    kill, killed = workers._Worker.kill, []

    def pressing_kill(worker):
        if not killed:
            ctrl_c()
        kill(worker)
        killed.append(worker.process.pid)

    def endless(arm, budget, seed):
        import time

        time.sleep(3600)

    monkeypatch.setattr(workers._Worker, "kill", pressing_kill)
    monkeypatch.setattr(workers.Workers, "wait", lambda self, seconds: ctrl_c() or [])
    with pytest.raises(KeyboardInterrupt) as caught:
        run_grid(endless, ["a"], [1], range(2), path=None, n_jobs=2)
    assert caught.value.__context__ is None
    assert len(set(killed)) == 2 and not any(is_running(pid) for pid in killed)
