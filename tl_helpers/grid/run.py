"""How do we run many trainings at once without losing any?

Every run happens in a worker process with one TensorFlow thread (:mod:`tl_helpers.grid.workers`), so that two runs
never fight over a core. Every finished run is appended to a log at once (:mod:`tl_helpers.grid.log`); a call that was
stopped, killed or has grown continues where the log ends.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import math
import numbers
import warnings
from dataclasses import dataclass

import joblib
import pandas

from tl_helpers.grid.clients import connect, warn_of_joblib_backend
from tl_helpers.grid.identity import fingerprint, qualified_name
from tl_helpers.grid.log import SYNC_SECONDS, LogLost, Memory, RunLog
from tl_helpers.grid.one_run import AXES, MEASURED, identity, pack, plain_value, revive, task_key
from tl_helpers.grid.workers import Workers, interrupts_held
from tl_helpers.progress import progress_bar

# When nothing has succeeded and so many runs have failed, the rest would fail as well.
HOPELESS = 5


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
    """Some runs of a grid failed, or its log was lost. The finished ones are kept; the cause is the first exception.

    Attributes
    ----------
    failures : tuple of RunFailure
        Every failed run; none where only the log was lost.
    finished : pandas.DataFrame
        What :func:`run_grid` would have returned, as far as it got.
    """

    def __init__(self, message, failures, finished):
        super().__init__(message)
        self.failures, self.finished = tuple(failures), finished

    def __reduce__(self):
        return type(self), (self.args[0], self.failures, self.finished)


def run_grid(function, arms, budgets, seeds, *, path, n_jobs=None, client=None, **fixed):
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
        same. Every line carries a checksum. A log that cannot be written is read, where nothing is left to do. ``~``
        stands for the home folder. None keeps the results in memory only.
    n_jobs : int, optional
        How many worker processes; −1 for one per processor, one if not given. With `client`, how many runs are on their
        way at once; −1 or not given for as many as it has threads, also when it grows.
    client : optional
        Where to run instead: an object whose ``submit(function, *arguments)`` returns a future with
        ``add_done_callback`` and ``result``, such as a ``dask.distributed.Client`` or an executor of
        ``concurrent.futures``. Its workers need the kit; see the notes.
    **fixed
        Further keyword arguments of `function`, the same for every run.

    Returns
    -------
    pandas.DataFrame
        One row per dictionary returned, ordered by arm, budget and seed as given: ``arm``, ``budget``, ``seed``, what
        the function returned, ``run_seconds``, ``run_cpu_seconds`` and ``spec``, the hash of what the run depended on.
        ``frame.attrs["provenance"]`` holds the rest of what :func:`tl_helpers.grid.stored.save_study` writes.

    Raises
    ------
    GridError
        At the end, if runs failed; it names them. Finished runs are kept, and the same call repeats the failed ones
        only. If the first five runs fail and none succeeds, the rest is not tried; nor is it after a worker of a client
        has refused a run, or when the client's scheduler or pool is lost. At once, if the log is deleted, replaced or
        cut meanwhile: what is finished is then written to a new log beside it, which the error names.
    ValueError
        If a list is empty or holds a value twice, or if `path` is a file of another kind or damaged; the error names
        the line.
    BlockingIOError
        If another process is writing to `path`.
    OSError
        If the log cannot be written, such as on a full disk. What was finished before stays.

    Warns
    -----
    UserWarning
        If runs returned NaN, infinite values or ``{}``, which count as finished; if the end of the log was torn.

    Notes
    -----
    What the hash knows of a function is told at :func:`tl_helpers.grid.identity.fingerprint`. It does not know what a
    function imports of the user's modules inside itself: import it at the top, or choose another path after a change.

    A row from a client's worker counts only if the worker has the same kit, the same versions of the packages, the same
    function and modules of the user that it uses, and the same data. Before TensorFlow is imported, the worker gets
    `tl_helpers.grid.workers.WORKER_ENVIRONMENT`; where it has been imported with other settings, a run that computes
    with it is refused. The processor may be another one and change last digits; each run's is noted. Runs that share a
    process are done one after the other, so give workers one thread each. On one machine::

        LocalCluster(threads_per_worker=1, env=WORKER_ENVIRONMENT)

    and on a cluster with a queue, by dask-jobqueue::

        exports = [f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()]
        cluster = SLURMCluster(cores=1, processes=1, memory="4GB", job_script_prologue=exports)
        cluster.scale(20)
        run_grid(…, client=Client(cluster))

    Runs of workers that end are given to others. A run that ends every worker is given up after four of them; with
    ``dask.config.set({"distributed.scheduler.allowed-failures": 0})`` before the cluster is made, after the first.
    Load data and backbones in functions that remember them (``functools.lru_cache`` in a module): once per worker.

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
    n_jobs = _count_jobs(n_jobs, client)
    log = Memory() if path is None else RunLog(path, grid.name, grid.spec)
    failures = []  # told whether the log is lost between two runs or after the last
    try:
        with log, contextlib.ExitStack() as stack:
            # All arms and budgets of a seed first: what is there after a stop can be compared pairwise.
            tasks = [task for task in grid.tasks if task_key(task) not in log.finished]
            if tasks:
                log.require_writable(len(tasks), len(grid.tasks))
                if client is not None:
                    workers = connect(client, grid.payload, n_jobs)
                else:
                    warn_of_joblib_backend()
                    workers = Workers(grid.payload, min(n_jobs, len(tasks)))
                _run_all(grid, tasks, stack.enter_context(workers), log, failures)
    except LogLost as lost:
        raise GridError("\n".join([str(lost), *_named(failures)]), failures, _frame(grid, log)) from lost
    _warn_of_no_numbers(grid, log)
    return _frame(grid, log)


def _axis(name, values):
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list, not {values!r}. For a single one write {name}=[{values!r}].")
    values = list(values)
    if not values:
        raise ValueError(f"{name} is empty: there is nothing to run.")
    try:
        values = [plain_value(value) for value in values]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must hold plain values: {error}. Pass names, and look the rest up in the function."
        ) from None
    repeated = [value for value, count in collections.Counter(map(json.dumps, values)).items() if count > 1]
    if repeated:
        raise ValueError(f"{name} holds {', '.join(repeated)} more than once; every run would be counted twice.")
    return values


def _count_jobs(n_jobs, client):
    """Return how many runs may be on their way at once; None for as many as the client has workers."""
    if n_jobs is None:
        return 1 if client is None else None
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral) or (n_jobs < 1 and n_jobs != -1):
        raise ValueError(f"n_jobs must be 1 or more, or -1 for one per processor, not {n_jobs!r}.")
    if n_jobs == -1:
        return joblib.cpu_count() if client is None else None
    return int(n_jobs)


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
        self.spec = identity(function, fingerprints)
        try:
            self.payload = pack((function, fixed))
        except Exception as error:
            raise TypeError(
                f"{self.name} cannot be sent to a worker process ({error}). It must not use open files, locks, or "
                f"other things of this process: make them inside the function."
            ) from error


def _describe(value, digest):
    """Return a fixed argument for the provenance: itself where it is short and plain, otherwise its type and hash."""
    try:
        value = plain_value(value)
    except (TypeError, ValueError):
        return f"{type(value).__name__} {digest}"
    return value if not isinstance(value, str) or len(value) <= 200 else f"str {digest}"


def _run_all(grid, tasks, workers, log, failures):
    """Run the tasks; add what fails to the list `failures`, what finishes to the log."""
    waiting = iter(tasks)
    cause, on_their_way = None, 0

    def submit_next():
        task = None if _is_hopeless(failures, log) else next(waiting, None)
        if task is None:
            return 0
        workers.submit(task)
        return 1

    def submit_more():
        # Workers of a client come and go, and none are left when it is lost, so we ask every time.
        return sum(submit_next() for _ in range(workers.count - on_their_way))

    done = len(grid.tasks) - len(tasks)
    with progress_bar(len(grid.tasks), grid.name.rpartition(".")[2], "run", initial=done, smoothing=0) as bar:
        try:
            on_their_way += submit_more()
            while on_their_way:
                # What has arrived is kept before Ctrl-C is heard. The wait has an end, so that it is heard soon.
                with interrupts_held():
                    arrived = workers.wait(SYNC_SECONDS)
                    for task, outcome, content in arrived:
                        if outcome == "finished":
                            log.add(task, content)
                        else:
                            failures.append(RunFailure(*task, content[1]))
                            cause = cause or revive(*content)
                            bar.set_postfix(failed=len(failures))
                        bar.update()
                    log.sync()
                on_their_way -= len(arrived)
                on_their_way += submit_more()
        except KeyboardInterrupt as stop:
            left = len(tasks) - log.added
            stop.add_note(
                f"{len(grid.tasks) - left} of {len(grid.tasks)} runs are finished"
                + (f" and kept in {log.path}; the same call does the remaining {left}." if log.path else ".")
            )
            raise
        if failures:
            raise GridError(_failure_message(grid, tasks, log, failures), failures, _frame(grid, log)) from cause


def _is_hopeless(failures, log):
    return len(failures) >= HOPELESS and not log.added


def _failure_message(grid, tasks, log, failures):
    finished = len(grid.tasks) - len(tasks) + log.added
    lines = [f"{len(failures)} of {len(grid.tasks)} runs of {grid.name} failed."]
    if len(failures) + log.added < len(tasks):
        hopeless = _is_hopeless(failures, log)
        reason = f"None of the first {len(failures)} succeeded, so the" if hopeless else "The"
        lines.append(f"{reason} other runs were not tried.")
    if log.path:
        lines.append(f"The {finished} finished runs are kept in {log.path}; the same call does the others again.")
    return "\n".join([*lines, *_named(failures)])


def _named(failures):
    lines = [f"- {failure}" for failure in failures[:10]]
    if len(failures) > 10:
        lines.append(f"- and {len(failures) - 10} more: see the attribute failures")
    return lines


def _warn_of_no_numbers(grid, log):
    """Say which finished runs gave NaN, infinite values or nothing at all, whether new or from the log."""
    odd = {}
    for task in grid.tasks:
        for row in log.finished[task_key(task)]["rows"]:
            names = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
            if names or not row:
                odd.setdefault(task, f"{names[0]!r} is {row[names[0]]}" if names else "an empty dictionary")
    if odd:
        (arm, budget, seed), what = next(iter(odd.items()))
        again = f"delete their lines in {log.path} or choose another path" if log.path else "change what they depend on"
        warnings.warn(
            f"{len(odd)} of {len(grid.tasks)} runs of {grid.name} returned NaN, infinite values or nothing, the first "
            f"being arm {arm!r}, budget {budget!r}, seed {seed!r}: {what}. They count as finished; to have them done "
            f"again, {again}.",
            stacklevel=3,
        )


def _frame(grid, log):
    rows = []
    for task in itertools.product(grid.arms, grid.budgets, grid.seeds):
        record = log.finished.get(task_key(task), {"rows": ()})
        for row in record["rows"]:
            measured = {name: record[name] for name in MEASURED}
            rows.append(dict(zip(AXES, task, strict=True)) | row | measured | {"spec": grid.spec})
    names = dict.fromkeys(name for row in rows for name in row)
    last = [*MEASURED, "spec"]
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
