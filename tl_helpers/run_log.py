"""How does a finished run survive what comes after it? A log that is only appended to, a line for each run."""

import contextlib
import errno
import json
import os
import time
import warnings
from pathlib import Path

from tl_helpers.files import DataError, checksums
from tl_helpers.fingerprint import LENGTH
from tl_helpers.provenance import environment
from tl_helpers.runs import task_key

# Lines reach the operating system at once, which a kill cannot undo, and the disk at most so much later.
SYNC_SECONDS = 0.2
_HEADER = {"tl_helpers": "run_grid", "format": 1}


class Memory:
    """Finished runs of one grid, in memory only.

    Attributes
    ----------
    finished : dict of str to dict
        Record by :func:`tl_helpers.runs.task_key`.
    added : int
        How many of them this session has added.
    environments : list of dict
        From :func:`tl_helpers.provenance.environment`, this session's last.
    """

    path = None

    def __init__(self):
        self.finished, self.added = {}, 0
        self.environments = [environment()]

    def add(self, task, record):
        """Keep the record of a finished task (arm, budget, seed)."""
        self.finished[task_key(task)] = record
        self.added += 1

    def sync(self):
        """Make sure now and then that what was added survives a power cut, where there is a disk for it."""


class RunLog(Memory):
    """The log on disk: a header, a line per session (versions, machine), a line per finished run; appended to only.

    A line counts once its line break is written, so a process killed while writing leaves at most a torn last line,
    which is dropped. Lines of another spec stay and are not used. It is a context manager: inside, no other process can
    write the file.

    Parameters
    ----------
    path : path-like
    name : str
        Of the function.
    spec : str
        Hash of what the runs depend on.
    """

    def __init__(self, path, name, spec):
        super().__init__()
        self.path, self.name, self.spec = Path(path), name, spec
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
                if record.get("spec") == self.spec and record["data"].items() <= listed.items():
                    self.finished[task_key((record["arm"], record["budget"], record["seed"]))] = record
                elif record.get("session") == self.spec and record["environment"] not in self.environments:
                    self.environments.insert(0, record["environment"])
        return end

    def add(self, task, record):
        if self.end == 0:
            self._append(_HEADER)
            self._sync_folder()
        if self.added == 0:
            self._append({"session": self.spec, "function": self.name, "environment": self.environments[-1]})
        arm, budget, seed = task
        self._append({"spec": self.spec, "arm": arm, "budget": budget, "seed": seed, **record})
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
