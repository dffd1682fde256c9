"""What do two processes gain, and what does a run cost that does nothing?"""

import hashlib
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from tests.benchmarks.pairs import Outcome, are_identical, make_row, take_turns
from tl_helpers.experiments import run_grid

RUNS, UPDATES = 16, 1500  # a run of about five seconds, so that starting the processes counts little
EMPTY_RUNS = 10_000
TARGET, TARGET_MILLISECONDS = 1.8, 2.0
FLAT_MEGABYTES = 10.0


def train_small_network(arm, budget, seed):
    """Train the small network from scratch on noise; return a hash of its weights."""
    from tl_helpers.models import small_cnn
    from tl_helpers.training import fit_transfer

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


def two_processes(repeats):
    """Return the row of two worker processes against one, in seconds on the wall."""
    frames = {1: [], 2: []}

    def with_jobs(n_jobs):
        outcome, frame = grid_outcome(train_small_network, UPDATES, RUNS, n_jobs, time.perf_counter)
        frames[n_jobs].append(frame)
        return outcome

    one, two = take_turns(partial(with_jobs, 1), partial(with_jobs, 2), repeats)
    cpu, wall = (
        {jobs: [frame[column].sum() for frame in each] for jobs, each in frames.items()}
        for column in ("run_cpu_seconds", "run_seconds")
    )
    return [
        make_row(
            "grid-2-processes",
            [outcome.seconds for outcome in one],
            [outcome.seconds for outcome in two],
            identical=are_identical(*one, *two),
            target=TARGET,
            clock="wall",
            # Two programs at once slow each other down by sharing caches and memory, whoever starts them.
            machine_allows=round(float(2 * min(cpu[1]) / min(cpu[2])), 2),
            # Below 1, other programs took the rest of the cores, and the ratio says little.
            share_of_cores=round(float(min(np.divide(cpu[jobs], wall[jobs]).max() for jobs in cpu)), 2),
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
    own = min(outcome.seconds for outcome in grid) - min(outcome.seconds for outcome in loop)
    milliseconds = 1000 * own / EMPTY_RUNS
    # From the first tenth on: before, a process is still growing into its work.
    growth = min(float(frame["megabytes"].iloc[-1] - frame["megabytes"].iloc[EMPTY_RUNS // 10]) for frame in frames)
    return [
        make_row(
            "grid-overhead",
            [outcome.seconds for outcome in loop],
            [outcome.seconds for outcome in grid],
            identical=are_identical(*loop, *grid),
            target=f"< {TARGET_MILLISECONDS:g} ms",
            met=milliseconds < TARGET_MILLISECONDS and growth < FLAT_MEGABYTES,
            runs=EMPTY_RUNS,
            milliseconds_per_run=round(milliseconds, 3),
            worker_growth_megabytes=round(growth, 1),
            parent_growth_megabytes=round(min(parent), 1),
        )
    ]
