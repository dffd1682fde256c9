"""What do two processes gain, and what does a run cost that does nothing?"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.pairs import Outcome, are_identical, make_row, seconds_of, take_turns
from tl_helpers.grid.run import run_grid
from tl_helpers.grid.workers import WORKER_ENVIRONMENT

RUNS, UPDATES = 8, 300  # a run of two or three seconds
EMPTY_RUNS = 10_000
# Of what the machine allows: two programs at once slow each other down, whoever starts them.
TARGET_SHARE, TARGET_MILLISECONDS = 0.9, 2.0
FLAT_MEGABYTES = 10.0


def fewer(repeats):
    """Return how many trials of what takes long are made where others are made so many times."""
    return max(1, repeats // 3)


def train_small_network(arm, budget, seed):
    """Train the small network from scratch on noise; return a hash of its weights."""
    from tl_helpers.models.small_network import small_cnn
    from tl_helpers.training.fit import fit_transfer

    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (320, 28, 28, 1), "uint8"), np.arange(320) % 10
    model = small_cnn((28, 28, 1), 10, seed=seed)
    fit_transfer(model, data, strategy="scratch", learning_rate=1e-3, updates=budget, seed=seed)
    return {"weights": hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in model.weights)).hexdigest()}


def do_nothing(arm, budget, seed):
    """Return a number at once, and how much memory the process has."""
    return {"score": seed / 7, "megabytes": resident_megabytes()}


def resident_megabytes():
    import psutil

    return psutil.Process().memory_info().rss / 2**20


def processor_seconds():
    """Return the processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def grid_outcome(function, budget, runs, n_jobs, clock):
    """Run a grid with its log on the disk.

    Returns
    -------
    outcome : Outcome
    frame : pandas.DataFrame
    """
    with tempfile.TemporaryDirectory() as folder:
        started = clock()
        frame = run_grid(function, ["one"], [budget], range(runs), path=Path(folder) / "log.jsonl", n_jobs=n_jobs)
        seconds = clock() - started
    column = frame.columns[3]
    return Outcome(seconds, {column: frame[column].to_numpy("U64" if column == "weights" else None)}), frame


def plain_processes(count):
    """Make the same runs in plain processes, each a like share of them, all at once.

    Returns
    -------
    Outcome
        Seconds on the wall, starting the processes included.
    """
    shares = np.array_split(np.arange(RUNS), count)
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.grids", json.dumps(share.tolist())],
            env=os.environ | WORKER_ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    hashes = np.concatenate([json.loads(process.communicate()[0].splitlines()[-1]) for process in processes])
    return Outcome(time.perf_counter() - started, {"weights": hashes.astype("U64")})


def two_processes(repeats):
    """Return the row of two worker processes against one, in seconds on the wall, beside what the machine allows.

    That is what two plain processes gain over one, without a grid.
    """
    cores = []

    def with_jobs(n_jobs):
        outcome, frame = grid_outcome(train_small_network, UPDATES, RUNS, n_jobs, time.perf_counter)
        cores.append((frame["run_cpu_seconds"] / frame["run_seconds"]).max())
        return outcome

    repeats = fewer(repeats)
    one, two = take_turns(partial(with_jobs, 1), partial(with_jobs, 2), repeats)
    plain_one, plain_two = take_turns(partial(plain_processes, 1), partial(plain_processes, 2), repeats)
    gain, allowed = (
        median(seconds_of(alone)) / median(seconds_of(both)) for alone, both in ((one, two), (plain_one, plain_two))
    )
    return [
        make_row(
            "grid-2-processes",
            seconds_of(one),
            seconds_of(two),
            identical=are_identical(*one, *two, *plain_one, *plain_two),
            target=f">= {TARGET_SHARE:g} of it",
            met=bool(gain >= TARGET_SHARE * allowed),
            clock="wall",
            machine_allows=round(allowed, 2),
            share_of_it=round(gain / allowed, 2),
            # Below 1, other programs took the rest of the cores, and the ratio says little.
            share_of_cores=round(float(min(cores)), 2),
        )
    ]


def overhead(repeats):
    """Return the row of what the grid itself costs, per run, with 10,000 runs that do nothing."""
    frames, parent = [], []

    def plain_loop():
        started = processor_seconds()
        scores = [do_nothing("one", 0, seed)["score"] for seed in range(EMPTY_RUNS)]
        return Outcome(processor_seconds() - started, {"score": np.array(scores)})

    def with_grid():
        before = resident_megabytes()
        outcome, frame = grid_outcome(do_nothing, 0, EMPTY_RUNS, 1, processor_seconds)
        parent.append(resident_megabytes() - before)
        frames.append(frame)
        return outcome

    loop, grid = take_turns(plain_loop, with_grid, repeats)
    own = median(seconds_of(grid)) - median(seconds_of(loop))
    milliseconds = 1000 * own / EMPTY_RUNS
    # From the first tenth on: before, a process is still growing into its work.
    growth = min(float(frame["megabytes"].iloc[-1] - frame["megabytes"].iloc[EMPTY_RUNS // 10]) for frame in frames)
    return [
        make_row(
            "grid-overhead",
            seconds_of(loop),
            seconds_of(grid),
            identical=are_identical(*loop, *grid),
            target=f"< {TARGET_MILLISECONDS:g} ms",
            met=milliseconds < TARGET_MILLISECONDS and growth < FLAT_MEGABYTES,
            runs=EMPTY_RUNS,
            milliseconds_per_run=round(milliseconds, 3),
            worker_growth_megabytes=round(growth, 1),
            parent_growth_megabytes=round(min(parent), 1),
        )
    ]


if __name__ == "__main__":
    print(json.dumps([train_small_network("one", UPDATES, seed)["weights"] for seed in json.loads(sys.argv[1])]))
