"""How do we run many trainings at once without losing any?

Every run happens in a worker process with one TensorFlow thread, so that two runs never fight over a core and a crash
takes one run with it. Every finished run is appended to a log at once; a call that was stopped, killed or has grown
continues where the log ends.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import functools
import gc
import itertools
import json
import numbers
import os
import queue
import signal
import sys
import threading
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_helpers.files import DataError, checksums, files_read
from tl_helpers.fingerprint import LENGTH, fingerprint, qualified_name
from tl_helpers.provenance import cpu_model, environment

# What a worker's environment holds: one thread for TensorFlow and for the libraries under NumPy and scikit-learn, a GPU
# that is shared rather than seized, and none of TensorFlow's start-up lines.
WORKER_ENVIRONMENT = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TQDM_DISABLE": "1",
}
# A worker is replaced when it has grown by so much since its first run; after so many runs where that cannot be told.
WORKER_GROWTH = 2**30  # bytes
WORKER_RUNS = 500
# Lines reach the operating system at once, which a kill cannot undo, and the disk at most so much later.
SYNC_SECONDS = 0.2
# When nothing has succeeded and so many runs have failed, the rest would fail as well.
HOPELESS = 5

_HEADER = {"tl_helpers": "run_grid", "format": 1}
_AXES = ("arm", "budget", "seed")
_MEASURED = ("run_seconds", "run_cpu_seconds")
_RESERVED = {*_AXES, *_MEASURED, "spec"}


@dataclass(frozen=True)
class RunFailure:
    """One run that failed.

    Parameters
    ----------
    arm, budget, seed
        Which run it was.
    message : str
        What went wrong, in one line.
    """

    arm: object
    budget: object
    seed: object
    message: str

    def __str__(self):
        return f"arm {self.arm!r}, budget {self.budget!r}, seed {self.seed!r}: {self.message}"


class GridError(RuntimeError):
    """Some runs of a grid failed. The finished ones are kept; the cause is the first run's own exception.

    Attributes
    ----------
    failures : tuple of RunFailure
        Every failed run.
    finished : pandas.DataFrame
        What :func:`run_grid` would have returned, as far as it got.
    """

    def __init__(self, message, failures, finished):
        super().__init__(message)
        self.failures, self.finished = tuple(failures), finished

    def __reduce__(self):
        return type(self), (self.args[0], self.failures, self.finished)


def run_grid(function, arms, budgets, seeds, *, path, n_jobs=1, client=None, **fixed):
    """Run ``function(arm=…, budget=…, seed=…, **fixed)`` for every combination, and never the same run twice.

    Parameters
    ----------
    function : callable
        Trains and measures once. It returns a dictionary of plain values (such as ``score``, ``learning_rate``,
        ``updates``), or a list of such dictionaries, which become several rows. It seeds itself from `seed`.
        It may be defined in a notebook. What it prints goes to the terminal that the notebook was started from.
    arms, budgets, seeds : iterable of str, int, float, bool or None
        Without repetitions.
    path : path-like or None
        The log, as JSON lines (``.jsonl``): one line per finished run. Runs that stand there are read, not repeated,
        provided that the function and the fixed arguments (``spec``) and the shipped data that were read are still the
        same. None keeps the results in memory only.
    n_jobs : int
        How many worker processes; −1 for one per processor. With `client`, how many runs are on their way at once.
    client : optional
        Where to run instead: an object whose ``submit(function, *arguments)`` returns a future with
        ``add_done_callback`` and ``result``, such as a ``dask.distributed.Client`` or an executor of
        ``concurrent.futures``. Its workers need the kit and one TensorFlow thread each (`WORKER_ENVIRONMENT`).
    **fixed
        Further keyword arguments of `function`, the same for every run.

    Returns
    -------
    pandas.DataFrame
        One row per dictionary returned, ordered by arm, budget and seed as given: ``arm``, ``budget``, ``seed``, what
        the function returned, ``run_seconds``, ``run_cpu_seconds`` and ``spec``, the hash of what the run depended on.
        ``frame.attrs["provenance"]`` holds the rest of what :func:`tl_helpers.provenance.save_study` writes.

    Raises
    ------
    GridError
        At the end, if runs failed; it names them. Finished runs are kept, and the same call repeats the failed ones
        only. If the first five runs fail and none succeeds, the rest is not tried.
    ValueError
        If a list is empty or holds a value twice, or if `path` is a file of another kind or damaged.
    BlockingIOError
        If another process is writing to `path`.
    OSError
        If the log cannot be written, such as on a full disk. What was finished before stays.

    Notes
    -----
    What the hash knows of a function is told at :func:`tl_helpers.fingerprint.fingerprint`. It does not know the user's
    other modules: after a change there, choose another path.

    Examples
    --------
    >>> def study(arm, budget, seed):
    ...     return {"score": budget + (arm == "transfer")}
    >>> run_grid(study, ["scratch", "transfer"], [5, 10], [0], path=None)[["arm", "budget", "score"]]
            arm  budget  score
    0   scratch       5      5
    1   scratch      10     10
    2  transfer       5      6
    3  transfer      10     11
    """
    grid = _Grid(function, arms, budgets, seeds, fixed)
    n_jobs = _count_jobs(n_jobs)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(_RunLog(path, grid)) if path is not None else _Memory()
        # All arms and budgets of a seed first: what is there after a stop can be compared pairwise.
        tasks = [task for task in grid.tasks if _key(task) not in log.finished]
        if tasks:
            workers = _Client(client, grid, n_jobs) if client is not None else _Workers(grid, min(n_jobs, len(tasks)))
            _run_all(grid, tasks, stack.enter_context(workers), log)
    return _frame(grid, log)


# ---------------------------------------------------------------- what is to be run


def _plain(value):
    """Return `value` as a Python scalar, or raise TypeError."""
    if isinstance(value, (np.generic, np.ndarray)) or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        value = value.item()  # raises ValueError for more than one element
    elif hasattr(value, "numpy") and getattr(value, "shape", None) == ():
        value = value.numpy().item()
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no plain value (number, text, bool or None)")


def _axis(name, values):
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list, not {values!r}. For a single one write {name}=[{values!r}].")
    values = list(values)
    if not values:
        raise ValueError(f"{name} is empty: there is nothing to run.")
    try:
        values = [_plain(value) for value in values]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must hold plain values: {error}. Pass names, and look the rest up in the function."
        ) from None
    repeated = [value for value, count in collections.Counter(map(json.dumps, values)).items() if count > 1]
    if repeated:
        raise ValueError(f"{name} holds {', '.join(repeated)} more than once; every run would be counted twice.")
    return values


def _key(task):
    return json.dumps(task)


def _count_jobs(n_jobs):
    import joblib

    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or (n_jobs < 1 and n_jobs != -1):
        raise ValueError(f"n_jobs must be 1 or more, or -1 for one per processor, not {n_jobs!r}.")
    return joblib.cpu_count() if n_jobs == -1 else int(n_jobs)


class _Grid:
    """What is to be run: the function, the combinations, and the hash of all that they depend on."""

    def __init__(self, function, arms, budgets, seeds, fixed):
        if not callable(function):
            raise TypeError(f"function must be callable, not {function!r}.")
        self.arms, self.budgets, self.seeds = _axis("arms", arms), _axis("budgets", budgets), _axis("seeds", seeds)
        self.tasks = [(a, b, s) for s, b, a in itertools.product(self.seeds, self.budgets, self.arms)]
        self.name = qualified_name(function)
        fingerprints = {}
        for name, value in fixed.items():
            try:
                fingerprints[name] = fingerprint(value)
            except TypeError as error:
                raise TypeError(f"The fixed argument {name}: {error}") from error
        self.fixed = {name: _describe(value, fingerprints[name]) for name, value in sorted(fixed.items())}
        self.spec = fingerprint(self.name, function, sorted(fingerprints.items()))
        try:
            self.payload = _pack((function, fixed))
        except Exception as error:
            raise TypeError(
                f"{self.name} cannot be sent to a worker process ({error}). It must not use open files, locks, or "
                f"other things of this process: make them inside the function."
            ) from error


def _describe(value, digest):
    """Return a fixed argument for the provenance: itself where it is short and plain, otherwise its type and hash."""
    try:
        value = _plain(value)
    except (TypeError, ValueError):
        return f"{type(value).__name__} {digest}"
    return value if not isinstance(value, str) or len(value) <= 200 else f"str {digest}"


# ---------------------------------------------------------------- what happens in a worker


def _serve(connection, parent):
    """Live as a worker: take the payload, then one task after the other until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        payload = connection.recv_bytes()
        while True:
            task = connection.recv()
            connection.send((*_run(payload, *task), _tidy()))


def _end_with_parent(parent):
    """End this worker when the parent was killed, so that no orphan goes on computing what a restart repeats."""
    import multiprocessing

    if sys.platform == "win32":
        multiprocessing.parent_process().join()
    else:
        while os.getppid() == parent:
            time.sleep(0.5)
    os._exit(1)


def _pack(thing):
    """Turn `thing` into bytes for another process: functions of a notebook by value, those of a module by name."""
    from joblib.externals.loky.backend.reduction import dumps

    return bytes(dumps(thing))


def _unpack(content):
    from joblib.externals.loky.backend.reduction import loads

    return loads(content)


_unpack_once = functools.lru_cache(maxsize=1)(_unpack)


def _run(payload, arm, budget, seed):
    """Run once and return ``"finished"`` and what a record holds, or ``"failed"`` and why."""
    try:
        function, fixed = _unpack_once(payload)
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        rows = _rows(function(arm=arm, budget=budget, seed=seed, **fixed))
        seconds, cpu_seconds = time.perf_counter() - seconds, time.process_time() - cpu_seconds
    except BaseException as error:
        return "failed", _portable(error)
    record = {
        "rows": rows,
        "run_seconds": round(seconds, 4),
        "run_cpu_seconds": round(cpu_seconds, 4),
        "cpu": cpu_model(),
        # All that the process has read so far, because an earlier run may have kept some of it in memory.
        "data": {name: digest[:LENGTH] for name, digest in files_read().items()},
    }
    return "finished", record


def _tidy():
    """Drop what a run has left behind, so that the next one does not depend on it; return the resident bytes."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()
        gc.collect()
        # Of what a fine-tuned backbone leaves, 600 MB are free but kept by glibc; without this every worker seems worn.
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
    return _resident_bytes()


def _rows(result):
    rows = [result] if isinstance(result, dict) else result
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"The function must return a dictionary, or a list of dictionaries, not {result!r:.200}.")
    plain = []
    for row in rows:
        plain.append({})
        for name, value in row.items():
            if not isinstance(name, str) or name in _RESERVED:
                raise ValueError(
                    f"The function returned {name!r}, a name that run_grid uses itself. Choose another one."
                )
            try:
                plain[-1][name] = _plain(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"The function returned {name!r}: {error}. Return single numbers and texts.") from None
    return plain


def _portable(error):
    """Return `error` in a form that reaches the parent even where the exception itself cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    try:
        pickled = _pack(error.with_traceback(None))
        _unpack(pickled)
    except Exception:
        pickled = None
    return pickled, f"{type(error).__name__}: {error}", text


def _revive(pickled, message, text):
    error = RuntimeError(message)
    if pickled is not None:
        with contextlib.suppress(Exception):  # its type may be at home in the worker only
            error = _unpack(pickled)
    error.add_note(f"In the worker process:\n{text}")
    return error


def _resident_bytes():
    """Return this process's resident memory in bytes, or 0 where it cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError):
        import psutil

        return psutil.Process().memory_info().rss
    return 0


# ---------------------------------------------------------------- where it happens


class _Worker:
    """One worker process, running one task at a time: if it ends in the middle, we know which task it was."""

    def __init__(self):
        from joblib.externals.loky.backend import get_context

        # joblib's way to start a process: on every platform alike, without importing the main module again.
        context = get_context("loky")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid()), env=WORKER_ENVIRONMENT)
        with _interrupts_blocked():
            self.process.start()
        theirs.close()
        self.runs, self.first_bytes, self.task = 0, None, None

    def receive(self):
        """Return outcome, content and whether the worker can go on."""
        try:
            if not self.connection.poll():
                raise EOFError
            outcome, content, resident_bytes = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return "failed", _portable(WorkerCrash(self.process.exitcode)), False
        self.runs += 1
        self.first_bytes = self.first_bytes or resident_bytes
        growth = resident_bytes - self.first_bytes
        worn = growth > WORKER_GROWTH if resident_bytes else self.runs >= WORKER_RUNS
        return outcome, content, not worn

    def end(self, seconds):
        """Hang up, and wait at most so long before ending the process by force."""
        self.connection.close()
        self.process.join(seconds)
        self.kill()

    def kill(self):
        if self.process.is_alive():
            # SIGKILL where there is one: a process deep in a library's loop may not see anything gentler.
            os.kill(self.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        self.process.join()


class _Workers:
    """Worker processes on this machine."""

    def __init__(self, grid, count):
        self.payload, self.count = grid.payload, count
        self.idle, self.busy = [], []

    def __enter__(self):
        return self

    def submit(self, task):
        if not self.idle and not self.busy:
            while len(self.idle) < self.count:  # all start up at the same time
                self.idle.append(_Worker())
        worker = self.idle.pop() if self.idle else _Worker()
        self.busy.append(worker)
        fresh, worker.task = worker.task is None, task
        try:
            if fresh:
                worker.connection.send_bytes(self.payload)
            worker.connection.send(task)
        except OSError:
            # It ended before this run began. A fresh one is left for `wait` to report, lest we start workers for ever.
            if not fresh:
                self.busy.remove(worker)
                worker.end(0)
                self.submit(task)

    def wait(self, seconds):
        """Return (task, outcome, content) of what has finished, after at most so many seconds."""
        from multiprocessing.connection import wait

        ready = wait([worker.connection for worker in self.busy], seconds)
        finished = []
        # A child of a dead worker may keep its connection open, so we also ask whether the worker itself lives.
        for worker in [each for each in self.busy if each.connection in ready or not each.process.is_alive()]:
            outcome, content, usable = worker.receive()
            finished.append((worker.task, outcome, content))
            self.busy.remove(worker)
            if usable:
                self.idle.append(worker)
            else:
                worker.end(0.5)
        return finished

    def __exit__(self, *problem):
        for worker in self.busy:
            worker.kill()
        for worker in self.idle:
            worker.connection.close()
        for worker in [*self.busy, *self.idle]:
            worker.end(2)


@contextlib.contextmanager
def _interrupts_blocked():
    """Keep Ctrl-C from a process that is being started (it inherits this) until it can ignore it by itself."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerCrash(RuntimeError):
    """A worker process ended in the middle of a run."""

    def __init__(self, exit_code):
        try:
            how = f"was ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            how = f"ended with exit code {exit_code}"
        super().__init__(
            f"the worker process {how} in the middle of the run. If memory ran out: use fewer jobs or smaller batches."
        )
        self.exit_code = exit_code

    def __reduce__(self):
        return type(self), (self.exit_code,)


class _Client:
    """Workers that somebody else runs."""

    def __init__(self, client, grid, count):
        self.client, self.count = client, count
        # Send a large payload once, where the client knows how.
        self.payload = client.scatter(grid.payload, broadcast=True) if hasattr(client, "scatter") else grid.payload
        self.busy, self.done = {}, queue.SimpleQueue()

    def __enter__(self):
        return self

    def submit(self, task):
        future = self.client.submit(_run, self.payload, *task)
        self.busy[future] = task
        future.add_done_callback(self.done.put)

    def wait(self, seconds):
        """Return (task, outcome, content) of what has finished, after at most so many seconds."""
        try:
            future = self.done.get(timeout=seconds)
        except queue.Empty:
            return []
        task = self.busy.pop(future)
        try:
            return [(task, *future.result())]
        except Exception as error:  # the client's own: a lost worker, a payload it cannot send
            return [(task, "failed", _portable(error))]

    def __exit__(self, *problem):
        for future in self.busy:
            future.cancel()


def _run_all(grid, tasks, workers, log):
    from tqdm.auto import tqdm

    waiting = iter(tasks)
    failures, cause, on_their_way = [], None, 0

    def submit_next():
        hopeless = len(failures) >= HOPELESS and not log.added
        task = None if hopeless else next(waiting, None)
        if task is None:
            return 0
        workers.submit(task)
        return 1

    with tqdm(
        total=len(grid.tasks), initial=len(grid.tasks) - len(tasks), desc=grid.name.rpartition(".")[2], unit="run",
        leave=False, smoothing=0,
    ) as bar:  # fmt: skip
        try:
            on_their_way += sum(submit_next() for _ in range(workers.count))
            while on_their_way:
                # A wait with an end, because on Windows Ctrl-C does not interrupt one without.
                for task, outcome, content in workers.wait(SYNC_SECONDS):
                    if outcome == "finished":
                        log.add(task, content)
                    else:
                        failures.append(RunFailure(*task, content[1]))
                        cause = cause or _revive(*content)
                        bar.set_postfix(failed=len(failures))
                    bar.update()
                    on_their_way += submit_next() - 1
                log.sync()
        except KeyboardInterrupt as stop:
            left = len(tasks) - log.added
            stop.add_note(
                f"{len(grid.tasks) - left} of {len(grid.tasks)} runs are finished"
                + (f" and kept in {log.path}; the same call does the remaining {left}." if log.path else ".")
            )
            raise
        if failures:
            raise GridError(_failure_message(grid, tasks, log, failures), failures, _frame(grid, log)) from cause


def _failure_message(grid, tasks, log, failures):
    finished = len(grid.tasks) - len(tasks) + log.added
    lines = [f"{len(failures)} of {len(grid.tasks)} runs of {grid.name} failed."]
    if len(failures) + log.added < len(tasks):
        lines.append(f"None of the first {len(failures)} succeeded, so the other runs were not tried.")
    if log.path:
        lines.append(f"The {finished} finished runs are kept in {log.path}; the same call does the others again.")
    lines += [f"- {failure}" for failure in failures[:10]]
    if len(failures) > 10:
        lines.append(f"- and {len(failures) - 10} more: see the attribute failures")
    return "\n".join(lines)


# ---------------------------------------------------------------- what is kept


class _Memory:
    """Finished runs of one grid, in memory only."""

    path = None

    def __init__(self):
        self.finished, self.added = {}, 0
        self.environments = [environment()]

    def add(self, task, record):
        self.finished[_key(task)] = record
        self.added += 1

    def sync(self):
        pass


class _RunLog(_Memory):
    """The log on disk: a header, a line per session (versions, machine), a line per finished run; appended to only.

    A line counts once its line break is written, so a process killed while writing leaves at most a torn last line,
    which is dropped. Lines of another spec stay and are not used.
    """

    def __init__(self, path, grid):
        super().__init__()
        self.path, self.grid = Path(path), grid
        self.unsynced, self.synced_at = False, time.monotonic()

    def __enter__(self):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            raise type(error)(
                error.errno,
                f"The log cannot be written ({error.strerror}). Choose a path in a folder of your own",
                str(self.path),
            ) from None
        try:
            _lock(self.file, self.path)
            self.end = self._read()
            self.file.truncate(self.end)
        except BaseException:
            self.file.close()
            raise
        return self

    def __exit__(self, *problem):
        try:
            self.sync(at_once=True)
        finally:
            self.file.close()

    def _read(self):
        """Take the finished runs from the file and return where its sound part ends, in bytes."""
        end, bad, listed = 0, None, _listed_data()
        with open(self.path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                record = _parse(line)
                if number == 1 and record != _HEADER:
                    if record is None and b"\n" not in line and _line(_HEADER).startswith(line):
                        return 0
                    raise ValueError(
                        f"{self.path} is not a log of run_grid (its first line says something else). Choose another "
                        f"path; the file was not touched."
                    )
                if record is None:
                    bad = bad or number
                    continue
                if bad:
                    raise ValueError(
                        f"{self.path}, line {bad} is damaged, and sound lines follow it. Delete that line in a text "
                        f"editor (its run is then done again), or choose another path."
                    )
                end += len(line)
                if record.get("spec") == self.grid.spec and record["data"].items() <= listed.items():
                    self.finished[_key((record["arm"], record["budget"], record["seed"]))] = record
                elif record.get("session") == self.grid.spec and record["environment"] not in self.environments:
                    self.environments.insert(0, record["environment"])
        return end

    def add(self, task, record):
        if self.end == 0:
            self._append(_HEADER)
            self._sync_folder()
        if self.added == 0:
            self._append({"session": self.grid.spec, "function": self.grid.name, "environment": self.environments[-1]})
        arm, budget, seed = task
        self._append({"spec": self.grid.spec, "arm": arm, "budget": budget, "seed": seed, **record})
        super().add(task, record)

    def _append(self, record):
        line = memoryview(_line(record))
        length = len(line)
        try:
            while line:
                line = line[self.file.write(line) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self.file.truncate(self.end)
            raise OSError(
                error.errno,
                f"A finished run could not be written ({error.strerror}). The runs before it are kept: make room, and "
                f"the same call continues. File",
                str(self.path),
            ) from error
        self.end += length
        self.unsynced = True

    def sync(self, *, at_once=False):
        if self.unsynced and (at_once or time.monotonic() - self.synced_at > SYNC_SECONDS):
            os.fsync(self.file.fileno())
            self.unsynced, self.synced_at = False, time.monotonic()

    def _sync_folder(self):
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _listed_data():
    try:
        return {name: digest[:LENGTH] for name, digest in checksums().items()}
    except DataError:
        return {}


def _line(record):
    return (json.dumps(record, separators=(",", ":")) + "\n").encode("ascii")


def _parse(line):
    """Return the record on a line, or None if the line is torn or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _lock(file, path):
    """Keep other processes from writing the same log; the operating system lets go when this process ends."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(2**40)  # far behind the end, because Windows keeps others from reading what is locked
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise BlockingIOError(
                error.errno,
                "Another process is writing this log. Wait for it, stop it, or choose another path",
                str(path),
            ) from None
        warnings.warn(
            f"{path} lies on a file system without locks ({error.strerror}): let no second process write it.",
            stacklevel=2,
        )


def _frame(grid, log):
    import pandas

    rows = []
    for task in itertools.product(grid.arms, grid.budgets, grid.seeds):
        record = log.finished.get(_key(task), {"rows": ()})
        for row in record["rows"]:
            measured = {name: record[name] for name in _MEASURED}
            rows.append(dict(zip(_AXES, task, strict=True)) | row | measured | {"spec": grid.spec})
    names = dict.fromkeys(name for row in rows for name in row)
    last = [*_MEASURED, "spec"]
    frame = pandas.DataFrame(rows, columns=[name for name in names if name not in last] + last)
    frame.attrs["provenance"] = {
        "function": grid.name,
        "arms": grid.arms,
        "budgets": grid.budgets,
        "seeds": grid.seeds,
        "fixed": grid.fixed,
        "spec_hash": grid.spec,
        "environments": log.environments,
        "data": {name: digest for record in log.finished.values() for name, digest in sorted(record["data"].items())},
        "cpus": sorted({record["cpu"] for record in log.finished.values()}),
    }
    return frame
