"""How does a finished run survive what comes after it? A log that is only appended to, a line for each run."""

import codecs
import contextlib
import errno
import hashlib
import itertools
import json
import os
import time
import warnings
from pathlib import Path

from tl_helpers.files import DataError, atomic_path, checksums
from tl_helpers.grid.environment import environment
from tl_helpers.grid.identity import LENGTH
from tl_helpers.grid.one_run import AXES, task_key

# Lines reach the operating system at once, which a kill cannot undo, and the disk at most so much later.
SYNC_SECONDS = 0.2
_HEADER = {"tl_helpers": "run_grid", "format": 2}
_HEADER_1 = {"tl_helpers": "run_grid", "format": 1}  # of earlier versions: its lines have no checksum
_KINDS = {
    "spec": str,
    "rows": list,
    "run_seconds": (int, float),
    "run_cpu_seconds": (int, float),
    "cpu": str,
    "data": dict,
}
_PLAIN = (str, int, float, bool, type(None))


class Memory:
    """Finished runs of one grid, in memory only.

    Attributes
    ----------
    finished : dict of str to dict
        Record by :func:`tl_helpers.grid.one_run.task_key`.
    added : int
        How many of them this session has added.
    environments : list of dict
        From :func:`tl_helpers.grid.environment.environment`, this session's last.
    """

    path = None

    def __init__(self):
        self.finished, self.added = {}, 0
        self.environments = [environment()]

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        pass

    def add(self, task, record):
        """Keep the record of a finished task (arm, budget, seed)."""
        self.finished[task_key(task)] = record
        self.added += 1

    def sync(self):
        """Make sure now and then that what was added survives a power cut, where there is a disk for it."""

    def require_writable(self, left, total):
        """Raise OSError if the runs that are left to do could not be kept."""


class LogLost(OSError):
    """A log was deleted, replaced, cut or written to by another program while its grid ran."""


class RunLog(Memory):
    """The log on disk: a header, a line per session (versions, machine), a line per finished run; appended to only.

    Every line ends with a checksum of itself. A process killed while writing leaves at most a torn last line, which is
    dropped, with a warning; any other line that is not as it was written is an error that names it, or, where no sound
    line follows, a warning, and it is kept in a file beside the log. What editors and git change (line breaks, blank
    lines, a byte order mark) does no harm. Lines of another spec stay and are not used. Logs of format 1, whose lines
    have no checksum, are read as they are and continued in format 2. A log that cannot be written is opened for
    reading. It is a context manager: inside, no other process can write the file.

    Parameters
    ----------
    path : path-like
        ``~`` stands for the home folder.
    name : str
        Of the function.
    spec : str
        Hash of what the runs depend on.
    """

    def __init__(self, path, name, spec):
        super().__init__()
        self.path, self.name, self.spec = Path(path).expanduser(), name, spec
        self.unsynced, self.synced_at, self.last_line = False, time.monotonic(), b""
        self.file, self.refusal, self.checked = None, None, False

    def __enter__(self):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            self.refusal = error
            self._read_only()
            return self
        try:
            _lock(self.file, self.path)
            self.file.seek(0)
            with open(self.file.fileno(), "rb", closefd=False) as lines:
                self.end, whole = self._read(lines)
            self._cut_off_the_end()
            if not whole:
                self._write(b"\n")
        except BaseException:
            self.file.close()
            raise
        return self

    def _cut_off_the_end(self):
        """Cut off what follows the sound part. Whole lines are kept elsewhere: no killed process left them damaged."""
        self.file.seek(self.end)
        rest = self.file.read()
        if b"\n" in rest:
            kept = self._free_path("damaged")
            with atomic_path(kept) as temporary:
                temporary.write_bytes(rest)
            warnings.warn(f"The damaged end of {self.path} is kept in {kept}.", stacklevel=4)
        self.file.truncate(self.end)

    def _read_only(self):
        """Take what a log holds that cannot be written; :meth:`require_writable` tells where that is not enough."""
        try:
            with open(self.path, "rb") as lines:
                self._read(lines)
        except OSError:
            raise type(self.refusal)(
                self.refusal.errno,
                f"The log cannot be written ({self.refusal.strerror}). Choose a path in a folder of your own",
                str(self.path),
            ) from None

    def require_writable(self, left, total):
        """Raise OSError if the runs that are left to do could not be kept."""
        if self.refusal:
            raise type(self.refusal)(
                self.refusal.errno,
                f"{left} of {total} runs are left to do, and the log cannot be written ({self.refusal.strerror}). Copy "
                f"it to a folder of your own and give that path: the finished runs in it are not repeated. File",
                str(self.path),
            )

    def __exit__(self, *problem):
        if self.file is None:
            return
        with self.file:
            if not isinstance(problem[1], LogLost):
                self.sync(at_once=True)

    def _read(self, lines):
        """Take the finished runs from the lines of the file.

        Returns
        -------
        end : int
            Where its sound part ends, in bytes.
        whole : bool
            Whether the last sound line has its line break.
        """
        end, bad, whole, listed, seen = 0, [], True, _listed_data(), {}
        for number, line in enumerate(lines, start=1):
            record = _parse(line, self.checked)
            if number == 1 and record not in (_HEADER, _HEADER_1):
                if b"\n" not in line and any(_line(header).startswith(line) for header in (_HEADER, _HEADER_1)):
                    return 0, True
                raise ValueError(
                    f"{self.path} is not a log of run_grid (line 1 says something else), or its line 1 is damaged. "
                    f"Choose another path; the file was not touched."
                )
            if record is None and (line.strip() or bad):
                bad.append(number)
                continue
            if bad:
                raise ValueError(
                    f"{self.path}, line {bad[0]} is damaged, and sound lines follow it. Delete that line in a text "
                    f"editor (its run is then done again), or choose another path."
                )
            end, whole, self.last_line = end + len(line), line.endswith(b"\n"), line
            if record is None:  # a blank line, as editors leave them
                continue
            if "tl_helpers" in record:  # a header: of this log, or of one that was joined to it
                self.checked = record == _HEADER
            elif "session" in record:
                if record["session"] == self.spec and record["environment"] not in self.environments:
                    self.environments.insert(0, record["environment"])
            elif record["spec"] == self.spec and record["data"].items() <= listed.items():
                key = task_key((record["arm"], record["budget"], record["seed"]))
                first = seen.setdefault(key, number)
                if json.dumps(self.finished.setdefault(key, record)["rows"]) != json.dumps(record["rows"]):
                    raise ValueError(
                        f"{self.path}, lines {first} and {number} hold different results of one run (arm "
                        f"{record['arm']!r}, budget {record['budget']!r}, seed {record['seed']!r}), as when two logs "
                        f"are joined. Delete one of these lines in a text editor, or choose another path."
                    )
        if bad:
            warnings.warn(
                f"{self.path}, line {bad[0]}: the end of the log was torn or damaged and is not used; what stood there "
                f"is done again where it is needed.",
                stacklevel=4,
            )
        return end, whole

    def add(self, task, record):
        if not self.checked:
            self._append(_HEADER)
            self._sync_folder()
            self.checked = True
        if self.added == 0:
            self._append(self._session())
        self._append(self._run(task, record))
        super().add(task, record)

    def _session(self):
        return {"session": self.spec, "function": self.name, "environment": self.environments[-1]}

    def _run(self, task, record):
        arm, budget, seed = task
        return {"spec": self.spec, "arm": arm, "budget": budget, "seed": seed, **record}

    def _append(self, record):
        self._write(_line(record))

    def _write(self, line):
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self.file.truncate(self.end)
            if self.added and not self.path.exists():  # as a network file system says it
                self._rescue("deleted")
            raise OSError(
                error.errno,
                f"A finished run could not be written ({error.strerror}). The runs before it are kept: make room, and "
                f"the same call continues. File",
                str(self.path),
            ) from error
        self.end += len(line)
        self.unsynced, self.last_line = True, line

    def sync(self, *, at_once=False):
        if self.added and (at_once or (self.unsynced and time.monotonic() - self.synced_at > SYNC_SECONDS)):
            os.fsync(self.file.fileno())
            self.unsynced, self.synced_at = False, time.monotonic()
            problem = self._what_happened_to_it()
            if problem:
                self._rescue(problem)

    def _what_happened_to_it(self):
        """Say why what we wrote does not stand under the path; None where it does.

        What stands there decides, not the file's number on the disk, which some network file systems do not keep.
        """
        try:
            with open(self.path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, self.end - len(self.last_line)))
                tail = file.read()
        except FileNotFoundError:
            return "deleted"
        except OSError as error:
            return f"made unreadable ({error.strerror})"
        if size == self.end and tail == self.last_line:
            return None
        return "replaced, cut or written to by another program"

    def _rescue(self, problem):
        """Write all that is known into a new log beside the lost one, and raise LogLost."""
        content = b""
        with contextlib.suppress(OSError):
            self.file.seek(0)
            content = self.file.read()
        if len(content) != self.end or not content.endswith(self.last_line):
            runs = [self._run(json.loads(key), record) for key, record in self.finished.items()]
            content = b"".join(map(_line, [_HEADER, self._session(), *runs]))
        said = f"{self.path} was {problem} while runs were written to it."
        rescued = self._free_path("rescued")
        try:
            with atomic_path(rescued) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise LogLost(
                f"{said} The {len(self.finished)} finished runs could not be written to {rescued} either "
                f"({error.strerror}): they stand in the attribute `finished` of this error alone."
            ) from error
        raise LogLost(
            f"{said} The {len(self.finished)} finished runs stand in {rescued}: give that path, or rename it, and the "
            f"same call does the others."
        )

    def _free_path(self, word):
        """Return the path of a file that is not there yet, beside the log."""
        names = (f"{self.path.stem}.{word}{'' if number == 1 else f'-{number}'}.jsonl" for number in itertools.count(1))
        return next(path for path in map(self.path.with_name, names) if not path.exists())

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
    """Return a record as a line, with the checksum of all that stands before it."""
    text = json.dumps(record, separators=(",", ":")).encode("ascii")[:-1]
    return text + _seal(text)


def _seal(text):
    return b',"sha256":"' + hashlib.sha256(text).hexdigest()[:LENGTH].encode() + b'"}\n'


_SEAL_LENGTH = len(_seal(b""))


def _parse(line, checked):
    """Return the record on a line, or None if the line is torn or damaged.

    A whole line counts with another line break or none, too: the checksum, or in format 1 the last bracket, proves it
    whole.
    """
    line = line.removeprefix(codecs.BOM_UTF8).rstrip() + b"\n"
    sealed = line[-_SEAL_LENGTH:] == _seal(line[:-_SEAL_LENGTH])
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or sealed != ("sha256" in record):
        return None
    if checked and not sealed and record != _HEADER_1:  # which begins a log that was joined to this one
        return None
    record.pop("sha256", None)
    return record if record in (_HEADER, _HEADER_1) or _is_session(record) or _is_run(record) else None


def _is_session(record):
    kinds = {"session": str, "function": str, "environment": dict}
    return record.keys() == kinds.keys() and all(isinstance(record[name], kind) for name, kind in kinds.items())


def _is_run(record):
    return bool(
        all(isinstance(record.get(name), kind) for name, kind in _KINDS.items())
        and record["rows"]
        and all(name in record and isinstance(record[name], _PLAIN) for name in AXES)
        and all(isinstance(row, dict) and all(isinstance(v, _PLAIN) for v in row.values()) for row in record["rows"])
        and all(isinstance(digest, str) for digest in record["data"].values())
    )


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
