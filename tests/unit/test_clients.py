"""Workers that somebody else started: whatever happens to them, no run is lost, doubled, or made of something else."""

import contextlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import tl_helpers
from tests.unit.grids import Inline
from tl_helpers import files
from tl_helpers.grid import clients, remote
from tl_helpers.grid.run import GridError, run_grid
from tl_helpers.grid.workers import WORKER_ENVIRONMENT

pytestmark = pytest.mark.loopback
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")
KILLS = int(os.environ.get("TL_HELPERS_KILLS", 5))
ENOUGH = 600  # seconds after which what we wait for will not happen


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
    command += [*(options or ["--no-nanny", "--nthreads", "1"]), "--host", "127.0.0.1", "--death-timeout", "60"]
    kept = {name: value for name, value in os.environ.items() if name not in WORKER_ENVIRONMENT}
    return subprocess.Popen(command, env=kept | environment, cwd=tempfile.gettempdir(), stderr=subprocess.DEVNULL)


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
            in_background(
                by_value(held), ["a"], [1], range(5), path=path, client=client, **holding.arguments()
            ) as grid,
        ):
            holding.allow(2)
            wait_until(lambda: (2 in dict(holding.begun()) and len(rows(path)) == 2) or grid.done())
            scheduler.kill()
            with pytest.raises(GridError, match="connection to the cluster's scheduler was lost") as caught:
                grid.result(ENOUGH)
            left.kill()
        with contextlib.suppress(TimeoutError):
            client.close(timeout=1)
    finally:
        scheduler.kill()
        scheduler.wait()
    assert [failure.seed for failure in caught.value.failures] == [2]
    assert "The other runs were not tried" in str(caught.value) and str(path) in str(caught.value)
    assert rows(path) == [0, 1]
    assert caught.value.finished["seed"].tolist() == [0, 1]


@posix
def test_ctrl_c_takes_back_what_is_on_its_way_and_keeps_the_log(tmp_path, holding, scheduler, client):
    path = tmp_path / "log.jsonl"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press():
        wait_until(lambda: 2 in dict(holding.begun()) and len(rows(path)) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    try:
        with worker(client), ThreadPoolExecutor(1) as pool:
            holding.allow(2)
            pressed = pool.submit(press)
            with pytest.raises(KeyboardInterrupt) as caught:
                run_grid(
                    by_value(held), ["a"], [1], range(5), path=path, client=client, n_jobs=3, **holding.arguments()
                )
            pressed.result()
            wait_until(lambda: not scheduler.scheduler.tasks)
            holding.allow(5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "2 of 5 runs are finished" in caught.value.__notes__[0]
    assert rows(path) == [0, 1] and {seed for seed, _ in holding.begun()} == {0, 1, 2}


def crashes(arm, budget, seed):
    if seed == 2:
        import os

        os._exit(1)
    return {"score": seed}


def test_a_pool_that_breaks_keeps_what_is_finished_and_names_what_was_on_its_way(tmp_path):
    path = tmp_path / "log.jsonl"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(GridError, match="The 2 finished runs are kept") as caught:
            run_grid(by_value(crashes), ["a"], [1], range(5), path=path, client=pool)
    (failure,) = caught.value.failures
    assert failure.seed == 2 and "BrokenProcessPool" in failure.message and "was on its way" in failure.message
    assert rows(path) == [0, 1] and "The other runs were not tried" in str(caught.value)


# ---------------------------------------------------------------- workers that are not like ours


@pytest.fixture
def kit(tmp_path):
    """A copy of the kit, for a worker to have."""
    shutil.copytree(Path(tl_helpers.__file__).parent, tmp_path / "kit" / "tl_helpers")
    return tmp_path / "kit"


def path_with(*folders):
    return os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])


def test_a_worker_with_other_kit_code_is_refused(client, kit, tmp_path):
    path, module = tmp_path / "log.jsonl", kit / "tl_helpers" / "emoji.py"
    module.write_text("")
    with worker(client, PYTHONPATH=path_with(kit)), pytest.raises(GridError) as caught:
        run_grid(by_value(score), ["a"], [1], range(9), path=path, client=client)
    assert "has another version of the kit in" in str(caught.value) and str(kit) in str(caught.value)
    assert len(caught.value.failures) == 1 and rows(path) == []
    module.unlink()
    with worker(client, PYTHONPATH=path_with(kit)):
        assert len(run_grid(by_value(score), ["a"], [1], range(9), path=path, client=client)) == 9


def test_a_worker_without_the_kit_is_refused_in_a_sentence(client):
    missing = "import sys; sys.modules['tl_helpers'] = None"
    with worker(client, before=missing), pytest.raises(GridError, match="a worker cannot load the kit"):
        run_grid(by_value(score), ["a"], [1], range(9), path=None, client=client)


def test_a_worker_with_another_version_of_the_users_module_is_refused(client, tmp_path, monkeypatch):
    for side, gain in (("here", 2), ("there", 3)):
        (tmp_path / side).mkdir()
        text = f"def study(arm, budget, seed):\n    return {{'score': {gain} * seed}}\n"
        (tmp_path / side / "users_study.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "here")
    import users_study

    with worker(client, PYTHONPATH=path_with(tmp_path / "there")):
        with pytest.raises(GridError, match="has another version of the function or of a module"):
            run_grid(users_study.study, ["a"], [1], range(9), path=None, client=client)
    with worker(client), pytest.raises(GridError, match=r"cannot unpack the function .*users_study"):
        run_grid(users_study.study, ["a"], [1], range(9), path=None, client=client)
    with worker(client, PYTHONPATH=path_with(tmp_path / "here")):
        frame = run_grid(users_study.study, ["a"], [1], range(3), path=None, client=client)
    assert frame["score"].tolist() == [0, 2, 4]
    del sys.modules["users_study"]


def reads(arm, budget, seed):
    from tl_helpers.files import read_verified

    return {"score": float(read_verified("used"))}


def test_a_worker_with_other_data_is_refused(client, tmp_path, monkeypatch):
    import hashlib

    for side, content in (("here", b"1"), ("there", b"2")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "used").write_bytes(content)
        listed = files.checksum_list({"used": hashlib.sha256(content).hexdigest()})
        (tmp_path / side / "SHA256SUMS").write_text(listed)
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(tmp_path / "here"))
    path = tmp_path / "log.jsonl"
    with worker(client, TL_HELPERS_DATA=str(tmp_path / "there")):
        with pytest.raises(GridError, match="the worker's data are not those that lie here: used"):
            run_grid(by_value(reads), ["a"], [1], range(9), path=path, client=client)
        assert not rows(path)
    with worker(client, TL_HELPERS_DATA=str(tmp_path / "here")):
        assert run_grid(by_value(reads), ["a"], [1], [0, 1], path=path, client=client)["score"].tolist() == [1, 1]


def computes(arm, budget, seed, tensors):
    import os

    if tensors:
        import tensorflow as tf

        tf.constant(1.0)
    return {"score": seed, "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "unset")}


def test_tensorflow_computes_with_one_thread_or_not_at_all(client):
    def run(tensors):
        return run_grid(by_value(computes), ["a"], [1], [0, 1], path=None, client=client, tensors=tensors)

    with worker(client):
        assert run(False)["threads"].tolist() == ["1", "1"]
        assert run(True)["threads"].tolist() == ["1", "1"]  # the run itself imports it
    with worker(client, before="import tensorflow"):
        assert run(False)["threads"].tolist() == ["unset", "unset"]
        with pytest.raises(
            GridError, match=r"imported with other settings \(TF_NUM_INTRAOP_THREADS is not set instead"
        ):
            run(True)


# ---------------------------------------------------------------- how many at once


def meets(arm, budget, seed, folder, parties):
    import os
    import time
    from pathlib import Path

    (Path(folder) / str(os.getpid())).touch()
    end = time.monotonic() + 300
    while len(os.listdir(folder)) < parties:
        assert time.monotonic() < end, "the others never came"
        time.sleep(0.01)
    return {"score": seed}


def test_as_many_runs_are_on_their_way_as_the_cluster_has_threads_also_when_it_grows(client, tmp_path):
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with worker(client):
        options = {"path": None, "client": client, "folder": str(meeting), "parties": 2}
        with in_background(by_value(meets), ["a"], [1], range(4), **options) as running:
            wait_until(lambda: os.listdir(meeting))
            second = start_worker(client)
            try:
                assert running.result(ENOUGH)["score"].tolist() == [0, 1, 2, 3]
            finally:
                end(second)


def alone(arm, budget, seed, folder):
    import os
    import time

    os.mkdir(os.path.join(folder, "here"))  # fails where another one is
    time.sleep(0.02)
    os.rmdir(os.path.join(folder, "here"))
    return {"score": seed}


def test_runs_in_threads_of_one_process_are_done_one_after_the_other_with_a_warning(client, tmp_path):
    def run(client):
        return run_grid(by_value(alone), ["a"], [1], range(12), path=None, client=client, folder=str(tmp_path))

    with worker(client, "--no-nanny", "--nthreads", "4"), pytest.warns(UserWarning, match="up to 4 threads each"):
        assert len(run(client)) == 12
    with ThreadPoolExecutor(4) as pool, pytest.warns(UserWarning, match="This executor has 4 threads"):
        assert len(run(pool)) == 12


# ---------------------------------------------------------------- what is refused and said, in this process


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("_versions", lambda: {"python": "3.11", "numpy": "1.0"}, "has numpy 1.0 instead of"),
        ("_kit_digest_at_first", lambda: "another", "has changed since .* imported it. Restart the workers"),
    ],
)
def test_what_a_worker_does_not_share_is_named(name, value, message, monkeypatch):
    class Elsewhere(Inline):
        def submit(self, *call):
            with monkeypatch.context() as patch:
                patch.setattr(remote, name, value)
                return super().submit(*call)

    with pytest.raises(GridError, match=message):
        run_grid(score, ["a"], [1], range(9), path=None, client=Elsewhere())


def test_a_package_of_the_workers_counts_only_where_it_is_here_or_in_use(monkeypatch):
    asked = remote._versions()
    monkeypatch.setattr(remote, "_versions", lambda: asked | {"unheard_of": "2"})
    remote._agree_on_versions(asked)
    monkeypatch.setitem(sys.modules, "unheard_of", sys)
    with pytest.raises(remote.Refusal, match="unheard_of 2 instead of none"):
        remote._agree_on_versions(asked)


def test_large_fixed_arguments_are_said_to_be_slow():
    def study(arm, budget, seed, data):
        return {"score": len(data)}

    with pytest.warns(UserWarning, match="take 11 MiB, sent with every run"):
        run_grid(study, ["a"], [1], [0], path=None, client=Inline(), data=np.zeros(11 * 2**20, "uint8"))


def test_a_backend_of_joblib_that_a_grid_does_not_use_is_said(client):
    import joblib

    with (
        joblib.parallel_config(backend="dask"),
        pytest.warns(UserWarning, match="DaskDistributedBackend.*pass client="),
    ):
        run_grid(score, ["a"], [1], [0], path=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_grid(score, ["a"], [1], [0], path=None)


def test_an_object_of_the_users_is_known_again_after_it_was_sent():
    from tl_helpers.grid.identity import fingerprint
    from tl_helpers.grid.one_run import pack

    class Helper:
        gain = 3

    helper = Helper()
    before = fingerprint(helper)
    pack(helper)
    assert fingerprint(helper) == before
