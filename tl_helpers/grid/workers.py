"""Where does a run happen? In a worker process with one TensorFlow thread, so that a crash takes one run with it."""

import contextlib
import ctypes
import gc
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from joblib.externals.loky.backend import get_context

from tl_helpers.grid.one_run import execute, identities, portable, unpack, unpack_once

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


def _serve(connection, parent):
    """Live as a worker: take the payload, then one task after the other until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        payload, theirs = connection.recv_bytes(), connection.recv()
        ours = _identities(unpack_once, payload)
        other_code, other_values = (None not in (a, b) and a != b for a, b in zip(ours, theirs, strict=True))
        while True:
            task = connection.recv()
            outcome = ("failed", portable(OtherCode())) if other_code else execute(payload, *task)
            connection.send((*outcome, tidy(), other_values))


def _identities(unpack, payload):
    """Return the identities of what a payload holds here; None where they have none."""
    try:
        return identities(*unpack(payload))
    except Exception:  # such as a module that is missing: the runs themselves will tell
        return None, None


def _end_with_parent(parent):
    """End this worker when the parent was killed, so that no orphan goes on computing what a restart repeats."""
    if sys.platform == "win32":
        multiprocessing.parent_process().join()
    else:
        while os.getppid() == parent:
            time.sleep(0.5)
    os._exit(1)


def tidy():
    """Drop what a run has left behind, so that the next one does not depend on it.

    Returns
    -------
    int
        The process's resident memory in bytes, or 0 where it cannot be told.
    """
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()
        gc.collect()
        # Of what a fine-tuned backbone leaves, 600 MB are free but kept by glibc; without this every worker seems worn.
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
    return _resident_bytes()


def _resident_bytes():
    """Return this process's resident memory in bytes, or 0 where it cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ImportError):
        import psutil  # optional

        return psutil.Process().memory_info().rss
    return 0


class _Worker:
    """One worker process, running one task at a time: if it ends in the middle, we know which task it was."""

    def __init__(self):
        # joblib's way to start a process: on every platform alike, without importing the main module again.
        context = get_context("loky")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid()), env=WORKER_ENVIRONMENT)
        with _interrupts_blocked():
            self.process.start()
        theirs.close()
        self.runs, self.first_bytes, self.task, self.other_values = 0, None, None, False

    def receive(self):
        """Return outcome, content and whether the worker can go on."""
        try:
            if not self.connection.poll():
                raise EOFError
            outcome, content, resident_bytes, self.other_values = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return "failed", portable(WorkerCrash(self.process.exitcode)), False
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


class Workers:
    """Worker processes on this machine.

    Parameters
    ----------
    payload : bytes
        What they run, from :func:`tl_helpers.grid.one_run.pack`.
    count : int
        How many there are.
    """

    def __init__(self, payload, count):
        self.payload, self.count = payload, count
        # Of what arrives rather than of what was sent: the way through pickle is then the same on both sides.
        self.identities, self.has_warned = _identities(unpack, payload), False
        self.idle, self.busy = [], []

    def __enter__(self):
        return self

    def submit(self, task):
        """Give a task (arm, budget, seed) to an idle worker, or to a new one. At most `count` may be on their way."""
        if not self.idle and not self.busy:
            while len(self.idle) < self.count:  # all start up at the same time
                self.idle.append(_Worker())
        worker = self.idle.pop() if self.idle else _Worker()
        self.busy.append(worker)
        fresh, worker.task = worker.task is None, task
        try:
            if fresh:
                worker.connection.send_bytes(self.payload)
                worker.connection.send(self.identities)
            worker.connection.send(task)
        except OSError:
            # It ended before this run began. A fresh one is left for `wait` to report, lest we start workers for ever.
            if not fresh:
                self.busy.remove(worker)
                worker.end(0)
                self.submit(task)

    def wait(self, seconds):
        """Return (task, outcome, content) of what has finished, after at most so many seconds."""
        ready = multiprocessing.connection.wait([worker.connection for worker in self.busy], seconds)
        finished = []
        # A child of a dead worker may keep its connection open, so we also ask whether the worker itself lives.
        for worker in [each for each in self.busy if each.connection in ready or not each.process.is_alive()]:
            outcome, content, usable = worker.receive()
            finished.append((worker.task, outcome, content))
            if worker.other_values and outcome == "finished" and not self.has_warned:
                self.has_warned = True
                warnings.warn(_OTHER_VALUES, stacklevel=2)
            self.busy.remove(worker)
            if usable:
                self.idle.append(worker)
            else:
                worker.end(0.5)
        return finished

    def __exit__(self, kind, *problem):
        with interrupts_held(stopping=kind is not None):
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
    from multiprocessing import resource_tracker  # not on Windows

    # The first worker needs this helper process; where Python starts it, some versions of Python unblock Ctrl-C again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_held(*, stopping=False):
    """Let Ctrl-C wait until a block is done that must not be left half-done. A second Ctrl-C does not wait.

    Parameters
    ----------
    stopping : bool
        Whether all ends anyway after the block, so that a Ctrl-C during it has nothing to add.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held = []

    def hold(number, frame):
        if held:
            before(number, frame)
        held.append(number)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and not stopping:
        signal.raise_signal(signal.SIGINT)


_OTHER_VALUES = (
    "A variable of a module that the function uses was changed here after the import, such as a dictionary that a call "
    "has filled. Worker processes begin with what the file says. If the runs depend on the change, pass the value as a "
    "fixed argument."
)


class OtherCode(RuntimeError):
    """A module was edited or changed after it was imported here, so that a worker process has other code or numbers."""

    def __init__(self):
        super().__init__(
            "a module that the function uses was edited after it was imported here, or changed here (such as "
            "module.RATE = 0.5): worker processes have what the file says and this one has not. Restart the kernel, or "
            "reload the module with importlib.reload, and call again; pass what changes as a fixed argument."
        )

    def __reduce__(self):
        return type(self), ()


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
