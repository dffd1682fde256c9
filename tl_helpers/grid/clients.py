"""How does a run get to workers that somebody else started, and its row back, without any being lost or doubled?

Such workers are a cluster of dask.distributed or an executor of ``concurrent.futures``. What they check before a row
counts is in :mod:`tl_helpers.grid.remote`.
"""

import contextlib
import queue
import time
import uuid
import warnings
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor

import joblib

from tl_helpers.files import DataError, checksums
from tl_helpers.grid.identity import LENGTH
from tl_helpers.grid.one_run import portable
from tl_helpers.grid.remote import Refusal, fill_order, make_order

# Beyond so many bytes it takes longer to send a run than a person expects, as everything goes with every run.
LARGE_PAYLOAD = 10 * 2**20
# How often a cluster is asked for its workers, and after how long without any we say so.
ASK_SECONDS = 2
LONELY_SECONDS = 10
# What a Dask worker does. A function of the kit would not do: a worker that cannot import it ends itself in silence.
_FILL_ORDER = "__import__('tl_helpers.grid.remote', fromlist=['fill_order']).fill_order(order, *task)"
_THREADS = (
    "{} Runs of one process share seeds and TensorFlow's state, so they are done one after the other: use processes "
    "with one thread each, such as LocalCluster(threads_per_worker=1) or a ProcessPoolExecutor."
)
_LOST = "the connection to the cluster's scheduler was lost"
_LONELY = "The cluster has no workers. The runs wait for new ones; Ctrl-C ends the waiting and keeps what is finished."


class _NotYet(Exception):
    """A result that was there is being made again."""


class LostRun(RuntimeError):
    """A run did not come back from the client; the message says why."""


def connect(client, payload, count):
    """Return the workers behind a client.

    Parameters
    ----------
    client : object
        See :func:`tl_helpers.grid.run.run_grid`.
    payload : bytes
        What they run, from :func:`tl_helpers.grid.one_run.pack`.
    count : int or None
        How many runs are on their way at once; None for as many as there are threads.

    Returns
    -------
    Client
    """
    if len(payload) > LARGE_PAYLOAD:
        warnings.warn(
            f"The function and its fixed arguments take {len(payload) / 2**20:.0f} MiB, sent with every run. "
            "Pass a function that loads the data there, such as functools.partial(load_emoji, 'noto', 'train').",
            stacklevel=3,
        )
    kind = DaskClient if type(client).__module__.partition(".")[0] == "distributed" else Client
    return kind(client, payload, count)


def warn_of_joblib_backend():
    """Say so if joblib was told to run things elsewhere, as scikit-learn's users do: a grid does not hear of it."""
    kind = type(joblib.parallel.get_active_backend()[0])
    if kind.__module__ != "joblib._parallel_backends":
        warnings.warn(
            f"run_grid does not use joblib's backend ({kind.__name__}) and runs in its own processes on this machine. "
            f"To run elsewhere pass client=, such as a dask.distributed.Client.",
            stacklevel=3,
        )


class Client:
    """Workers that somebody else runs.

    Parameters
    ----------
    client, payload, count
        See :func:`connect`.

    Attributes
    ----------
    count : int
        How many runs may be on their way at once: 0 after a run was refused or the workers are lost.
    """

    def __init__(self, client, payload, count):
        self.client, self.order, self.wanted = client, make_order(payload), count
        self.busy, self.done, self.closed, self.warned = {}, queue.SimpleQueue(), False, set()

    def __enter__(self):
        return self

    @property
    def count(self):
        return 0 if self.closed else self.wanted or max(1, self._capacity())

    def _capacity(self):
        capacity = getattr(self.client, "_max_workers", 1)
        if isinstance(self.client, ThreadPoolExecutor) and capacity > 1:
            self._warn_once(_THREADS.format(f"This executor has {capacity} threads."))
        return capacity

    def _warn_once(self, message):
        if message not in self.warned:
            self.warned.add(message)
            warnings.warn(message, stacklevel=2)

    def submit(self, task):
        """Give a task (arm, budget, seed) to the client."""
        try:
            future = self._send(task)
        except Exception as error:
            future = Future()
            broken = isinstance(error, BrokenExecutor)
            future.set_exception(error if broken else LostRun(f"the client does not take it ({_said(error)})"))
        self.busy[future] = task
        future.add_done_callback(self.done.put)

    def _send(self, task):
        return self.client.submit(fill_order, self.order, *task)

    def wait(self, seconds):
        """Return (task, outcome, content) of what has finished, after at most about so many seconds."""
        try:
            future = self.done.get(timeout=seconds)
        except queue.Empty:
            return []
        try:
            outcome, content = self._result(future)
        except (BrokenExecutor, CancelledError) as error:
            return self._lose_all(f"{self._reason(error)}; this run was on its way then")
        except _NotYet:
            future.add_done_callback(self.done.put)
            return []
        except Exception as error:  # the client's own: a payload it cannot send, a run that ended its workers
            outcome, content = _explained(error)
        return [self._finish(future, outcome, content)]

    def _result(self, future):
        return future.result()

    def _reason(self, error):
        return _said(error)

    def _finish(self, future, outcome, content):
        if outcome == "finished" and (problem := _other_data(content["data"])):
            outcome, content = "refused", portable(Refusal(problem))
        if outcome == "refused":  # a worker that refuses at once would soon have refused all the others, too
            self.closed, outcome = True, "failed"
        return self.busy.pop(future), outcome, content

    def _lose_all(self, why):
        """Give up what is on its way, except what has arrived already."""
        self.closed, arrived = True, []
        for future in list(self.busy):
            try:
                outcome, content = future.result(timeout=0)
            except (Exception, CancelledError):
                outcome, content = "failed", portable(LostRun(why))
            arrived.append(self._finish(future, outcome, content))
        return arrived

    def __exit__(self, *problem):
        for future in self.busy:
            future.cancel()


class DaskClient(Client):
    """A cluster of dask.distributed: its workers come and go, and its scheduler may be lost."""

    def __init__(self, client, payload, count):
        super().__init__(client, payload, count)
        self.threads, self.asked_at, self.seen_at = 1, float("-inf"), time.monotonic()

    def _capacity(self):
        if time.monotonic() - self.asked_at > ASK_SECONDS and not self._is_lost():
            with contextlib.suppress(Exception):  # whether the scheduler is lost is for `wait` to tell
                self._look_at(self.client.nthreads(callback_timeout=ASK_SECONDS))
            self.asked_at = time.monotonic()
        return self.threads

    def _look_at(self, threads):
        """Take note of the workers: address → number of threads."""
        if threads:
            self.threads, self.seen_at = sum(threads.values()), time.monotonic()
            self.warned.discard(_LONELY)
        elif time.monotonic() - self.seen_at > LONELY_SECONDS:
            self._warn_once(_LONELY)
        if max(threads.values(), default=1) > 1:
            self._warn_once(_THREADS.format(f"The cluster's workers have up to {max(threads.values())} threads each."))

    def _send(self, task):
        arguments = {"order": self.order, "task": list(task)}
        return self.client.submit(eval, _FILL_ORDER, arguments, key=f"tl_helpers-run-{uuid.uuid4().hex}")

    def wait(self, seconds):
        if self._is_lost():
            return self._lose_all(f"{_LOST}; this run was on its way then")
        return super().wait(seconds)

    def _is_lost(self):
        return self.client.status != "running"

    def _reason(self, error):
        return _LOST if self._is_lost() else _said(error)

    def _result(self, future):
        # With an end, because the result itself may be lost with its worker, which costs another run.
        try:
            return future.result(timeout=ASK_SECONDS)
        except TimeoutError:
            raise _NotYet from None

    def __exit__(self, *problem):
        if self.busy:
            self.client.cancel(list(self.busy))


def _said(error):
    return f"{type(error).__name__}: {error}"


def _explained(error):
    """Return outcome and content for a run that ended in an error of the client."""
    if isinstance(error, ImportError):
        return "refused", portable(
            Refusal(
                f"a worker cannot load the kit ({_said(error)}). Install the same version of it there, or put its "
                f"folder on the worker's PYTHONPATH."
            )
        )
    if type(error).__name__ == "KilledWorker":
        error = LostRun(
            "every worker that was given this run ended in the middle of it. If memory ran out: use smaller batches or "
            f"workers with more memory. {error}"
        )
    return "failed", portable(error)


def _other_data(read):
    """Say what is wrong if a run has read other data than lie here, so that its row would not be known again."""
    if not read:
        return None
    try:
        listed = checksums()
    except DataError as error:
        return f"the run read data files, and here are none to compare them with. {error}"
    other = [name for name, digest in sorted(read.items()) if listed.get(name, "")[:LENGTH] != digest]
    if other:
        return (
            f"the worker's data are not those that lie here: {', '.join(other[:3])}{'…' * (len(other) > 3)}. Bring the "
            f"same data folder to both sides and restart the workers."
        )
    return None
