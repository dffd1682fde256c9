"""Every run is in a process of its own kind, and whatever ends that process ends one run."""

import os
import textwrap
from pathlib import Path

import pytest

from tests.unit.grids import is_running, posix, run_program
from tl_helpers.grid import run as grid, workers
from tl_helpers.grid.run import GridError, run_grid


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


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


# ---------------------------------------------------------------- code that differs between here and there


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


# ---------------------------------------------------------------- Ctrl-C


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
