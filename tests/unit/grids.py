"""Grids that several tests run, a client that runs them at once, and a notebook that is a process of its own."""

import math
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")
AXES = (["scratch", "transfer"], [5, 10], [0, 1])


class Inline:
    """A client that runs what it is given at once, and calls `before` with the number of each run."""

    def __init__(self, before=lambda number: None):
        self.runs, self.before = [], before

    def submit(self, function, payload, *task):
        self.before(len(self.runs))
        self.runs.append(task)
        future = Future()
        future.set_result(function(payload, *task))
        return future


def study(arm, budget, seed, gain=3):
    """Return a row as studies do, with NumPy numbers in it."""
    return {"score": budget + gain * (arm == "transfer") + seed / 7, "updates": np.int64(10), "rate": np.float32(0.1)}


def parabola(budget, seed, *, rate=None, split="test", best):
    """Be best at a rate of ten to the power of `best`."""
    return {"score": 50 - abs(math.log10(rate) - best), "learning_rate": rate, "updates": 10}


def without_times(frame):
    """Return a table without what differs from one sitting to the next."""
    return frame.drop(columns=["run_seconds", "run_cpu_seconds"])


def run_program(program, **options):
    """Run a program as ``python -c`` does, like a notebook without the files of this test."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, **options)


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
    """Start the program, with its log, its notes and the file that holds it back in `tmp_path`."""
    program = textwrap.dedent(program).replace("PAUSE", str(pause))
    command = [sys.executable, "-c", program, *(str(tmp_path / name) for name in ("log.jsonl", "notes", "most"))]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    if start is subprocess.run:
        options |= {"capture_output": True, "timeout": 900}
    return start(command, text=True, env=environment, **options)


def finished_runs(tmp_path):
    """Count the runs in the notebook's log."""
    path = tmp_path / "log.jsonl"
    return path.read_text().count('"rows"') if path.exists() else 0


def allow(tmp_path, most):
    """Let runs of the notebook begin only while fewer than `most` are finished."""
    (tmp_path / "new").write_text(str(most))
    (tmp_path / "new").replace(tmp_path / "most")


def is_running(pid):
    """Say whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, seconds=600):
    """Wait for what another process brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
