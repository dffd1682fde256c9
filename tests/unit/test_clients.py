"""Workers that somebody else started: whatever happens to them, no run is lost, doubled, or made of something else."""

import contextlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import tl_helpers
from tl_helpers import clients, files, remote
from tl_helpers.grid import GridError, run_grid
from tl_helpers.workers import WORKER_ENVIRONMENT

pytestmark = pytest.mark.loopback
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")
KILLS = int(os.environ.get("TL_HELPERS_KILLS", 5))
ENOUGH = 40  # seconds after which what we wait for will not happen


@pytest.fixture(scope="module")
def scheduler():
    """A scheduler in this process, without workers."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs="CRITICAL") as cluster:
        yield cluster


@pytest.fixture
def client(scheduler):
    from distributed import Client

    with Client(scheduler) as client:
        yield client


DASK_WORKER = "from distributed.cli.dask_worker import main; main()"


def start_worker(client, *options, before="", **environment):
    """Start one worker with one thread, in a process that runs `before` first."""
    command = [sys.executable, "-c", f"{before}\n{DASK_WORKER}", client.scheduler.address, "--no-dashboard"]
    command += [*(options or ["--no-nanny", "--nthreads", "1"]), "--host", "127.0.0.1"]
    kept = {name: value for name, value in os.environ.items() if name not in WORKER_ENVIRONMENT}
    return subprocess.Popen(command, env=kept | environment, stderr=subprocess.DEVNULL)


def end(process):
    process.kill()
    process.wait()


@contextlib.contextmanager
def worker(client, *options, **more):
    """Have one worker, and none any more in the end."""
    process = start_worker(client, *options, **more)
    try:
        client.wait_for_workers(1, timeout=ENOUGH)
        yield process
    finally:
        process.terminate()  # a nanny takes its worker along
        process.wait()
        if client.status == "running":
            wait_until(lambda: not client.nthreads())


def wait_until(condition):
    end = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def score(arm, budget, seed):
    return {"score": seed / 7}


def rows(path):
    """Return the seeds in a log, in the order in which they were added."""
    return [record["seed"] for line in path.read_text().splitlines() if "rows" in (record := json.loads(line))]


class Held:
    """Runs that are held until they are let go, and what they write down: who began which."""

    def __init__(self, folder):
        self.notes, self.most = folder / "notes", folder / "most"
        self.notes.touch()
        self.allow(0)

    def allow(self, most):
        """Let runs end that have a seed below `most`."""
        (self.notes.parent / "new").write_text(str(most))
        (self.notes.parent / "new").replace(self.most)

    def begun(self):
        return [tuple(map(int, line.split())) for line in self.notes.read_text().splitlines()]

    def arguments(self):
        return {"notes": str(self.notes), "most": str(self.most)}


def held(arm, budget, seed, notes, most):
    import os
    import time

    with open(notes, "a") as file:
        file.write(f"{seed} {os.getpid()}\n")
    while True:
        with open(most) as file:
            if seed < int(file.read()):
                return {"score": seed / 7}
        time.sleep(0.01)


def by_value(function):
    """Return a function as if it were a notebook's, so that workers need not find this module."""
    space = {"__name__": "__main__"}
    exec(inspect.getsource(function), space)
    return space[function.__name__]


@pytest.fixture
def holding(tmp_path):
    return Held(tmp_path)


@contextlib.contextmanager
def in_background(*arguments, **options):
    """Begin run_grid in a thread; the future tells what became of it."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run_grid, *arguments, **options)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---------------------------------------------------------------- workers that end


@posix
@pytest.mark.parametrize("all_of_them", [False, True])
def test_whatever_workers_are_killed_no_run_is_lost_or_doubled(all_of_them, tmp_path, holding, client):
    path, count = tmp_path / "log.jsonl", 2 * KILLS + 2
    living = [start_worker(client) for _ in range(2)]
    client.wait_for_workers(2, timeout=ENOUGH)

    def at_work():
        """Workers with a run that may not end yet, so that it is on its way."""
        most = int(holding.most.read_text())
        busy = {pid for seed, pid in holding.begun() if seed >= most}
        return [process for process in living if process.pid in busy]

    options = {"path": path, "client": client, **holding.arguments()}
    with in_background(by_value(held), ["a"], [1], range(count), **options) as running:
        try:
            for _ in range(KILLS):
                wait_until(lambda: at_work() or running.done())
                assert not running.done(), running.exception()
                for process in list(living) if all_of_them else at_work()[:1]:
                    end(process)
                    living.remove(process)
                living += [start_worker(client) for _ in range(2 - len(living))]
                holding.allow(int(holding.most.read_text()) + 2)
            holding.allow(count)
            frame = running.result(ENOUGH)
        finally:
            holding.allow(count)
            for process in living:
                end(process)
            if not running.done():
                client.close()  # ends the grid
    wait_until(lambda: not client.nthreads())
    assert frame["score"].tolist() == [seed / 7 for seed in range(count)]
    assert sorted(rows(path)) == list(range(count))
    assert len(holding.begun()) >= count + KILLS  # every kill hit a run


def fatal(arm, budget, seed):
    if seed == 3:
        import os

        os._exit(1)
    return {"score": seed}


def test_a_run_that_ends_every_worker_is_named_and_the_others_finish(tmp_path, scheduler, client):
    path = tmp_path / "log.jsonl"
    before, scheduler.scheduler.allowed_failures = scheduler.scheduler.allowed_failures, 1
    try:
        with worker(client, "--nanny", "--nthreads", "1"), pytest.raises(GridError) as caught:
            run_grid(by_value(fatal), ["a"], [1], range(6), path=path, client=client)
    finally:
        scheduler.scheduler.allowed_failures = before
    (failure,) = caught.value.failures
    assert failure.seed == 3 and "every worker that was given this run ended in the middle of it" in failure.message
    assert sorted(rows(path)) == [0, 1, 2, 4, 5]


def test_a_cluster_without_workers_is_waited_for_but_not_in_silence(client, monkeypatch):
    monkeypatch.setattr(clients, "LONELY_SECONDS", 0)
    monkeypatch.setattr(clients, "ASK_SECONDS", 0.05)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with in_background(by_value(score), ["a"], [1], range(3), path=None, client=client) as running:
            wait_until(lambda: caught or running.done())
            with worker(client):
                assert running.result(ENOUGH)["score"].tolist() == [0, 1 / 7, 2 / 7]
    assert ["The cluster has no workers" in str(each.message) for each in caught] == [True]


@posix
def test_a_lost_scheduler_is_said_at_once_and_what_is_finished_is_kept(tmp_path, holding):
    from distributed import Client

    path, address = tmp_path / "log.jsonl", tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += ["--no-dashboard", "--no-jupyter", "--scheduler-file", str(address)]
    scheduler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(address.exists)
        client = Client(scheduler_file=str(address), timeout=10 * ENOUGH)  # for so long it would try to connect again
        with (
            worker(client, "--no-nanny", "--nthreads", "1") as left,
            in_background(by_value(held), ["a"], [1], range(5), path=path, client=client, **holding.arguments()) as grid,
        ):
            holding.allow(2)
            wait_until(lambda: (2 in dict(holding.begun()) and len(rows(path)) == 2) or grid.done())
            scheduler.kill()
            with pytest.raises(GridError, match="connection to the cluster's scheduler was lost") as caught:
                grid.result(ENOUGH)
            left.kill()
        client.close(timeout=0)
    finally:
        scheduler.kill()
        scheduler.wait()
    assert [failure.seed for failure in caught.value.failures] == [2]
    assert "The other runs were not tried" in str(caught.value) and str(path) in str(caught.value)
    assert rows(path) == [0, 1]
    assert caught.value.finished["seed"].tolist() == [0, 1]
