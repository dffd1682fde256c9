"""Where does this number come from? Stored studies: a table with one row per run, and beside it what made it."""

import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas

from tl_helpers.files import DataError, atomic_path, read_verified
from tl_helpers.grid.environment import environment

_KINDS = {"b": "bool", "i": "int64", "u": "int64", "f": "float64"}
_READERS = {"bool": "True".__eq__, "int64": int, "float64": lambda text: float(text or "nan")}


def save_study(frame, path, *, command, spec=None, code=None):
    """Store a study: ``NAME.csv`` with one row per run, beside ``NAME.json`` with what made it.

    Each of the two files is written to a temporary name and renamed; the second holds the first one's SHA-256.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run: numbers, bools and texts; missing values only among floats. A frame from
        :func:`tl_helpers.grid.run.run_grid` brings its provenance along.
    path : path-like
        Where the table shall stand, ending in ``.csv``, such as ``data/results/first_result.csv``.
    command : str
        What to type at the root of the repository to make the study again.
    spec : dict, optional
        What was asked for, as plain values; it is merged into what the frame brings along.
    code : dict of str to str, optional
        The mark of the code that made it, see :func:`tl_helpers.studies.freshness.code_mark`.

    Returns
    -------
    pathlib.Path
        The table's path.

    Raises
    ------
    ValueError
        If the table is empty, has no unique column names, or holds values that a CSV file would not give back the same;
        the message names the column.
    """
    path = Path(path).expanduser()
    if path.suffix != ".csv":
        raise ValueError(f"path must end in .csv, not {path.name!r}; the provenance goes beside it under .json.")
    if not command:
        raise ValueError("command is empty: a stored study says how to make it again.")
    if not len(frame):
        raise ValueError("The frame has no rows: there is nothing to store.")
    columns = _columns(frame)
    content = frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
    provenance = dict(frame.attrs.get("provenance", {}))
    environments = provenance.pop("environments", None) or [environment()]
    made_with = environments[-1]
    record = {
        "name": path.stem,
        "command": command,
        "spec": {**provenance, **(spec or {})},
        "spec_hash": sorted(set(frame["spec"])) if "spec" in frame else [],
        "seeds": sorted(set(frame["seed"].tolist())) if "seed" in frame else [],
        "rows": len(frame),
        "columns": columns,
        "sha256": hashlib.sha256(content).hexdigest(),
        "seconds": round(float(frame["run_seconds"].sum()), 1) if "run_seconds" in frame else None,
        "cpu_seconds": round(float(frame["run_cpu_seconds"].sum()), 1) if "run_cpu_seconds" in frame else None,
        "date": datetime.now(UTC).date().isoformat(),
        **made_with,
        "earlier_environments": environments[:-1],
        **({} if code is None else {"code": code}),
    }
    text = _as_text(record)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    _write_text(path.with_suffix(".json"), text)
    return path


def _as_text(record):
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write_text(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def extend_provenance(path, **entries):
    """Add entries to the provenance of a stored study, or renew them; its table stays as it is.

    Parameters
    ----------
    path : path-like
        The table's path.
    **entries
        Plain values.

    Raises
    ------
    tl_helpers.files.DataError
        If the provenance is missing or damaged.
    """
    path = Path(path)
    _write_text(path.expanduser().with_suffix(".json"), _as_text(study_provenance(path) | entries))


def _columns(frame):
    """Return name → kind of every column, or raise ValueError where CSV would not give the values back."""
    columns = {}
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if not isinstance(name, str) or name in columns:
            raise ValueError(f"Column names must be texts and differ; {name!r} is not or does not.")
        kind = _KINDS.get(getattr(column.dtype, "kind", None))
        if kind is None and all(isinstance(value, str) for value in column):
            kind = "str"
        if kind is None or (kind != "float64" and column.isna().any()):
            odd = next((value for value in column if not isinstance(value, str)), None)
            raise ValueError(
                f"Column {name!r} mixes kinds or has gaps (it holds {odd!r}); make it all numbers, bools or texts."
            )
        if kind == "str" and column.str.contains("\r", regex=False).any():
            raise ValueError(f"Column {name!r} holds a carriage return, which CSV readers take for the end of a line.")
        columns[name] = kind
    return columns


def _shipped(name):
    return isinstance(name, str) and not name.endswith(".csv")


def load_table(name):
    """Load the table of a stored study.

    Parameters
    ----------
    name : str or path-like
        ``"first_result"`` for the shipped ``data/results/first_result.csv``; a path ending in ``.csv`` for your own.

    Returns
    -------
    pandas.DataFrame
        As it was saved, to the last digit. :func:`study_provenance` tells what made it.

    Raises
    ------
    tl_helpers.files.DataError
        If it is missing or damaged, or if table and provenance do not belong together.
    """
    record = study_provenance(name)
    content = read_verified(f"results/{name}.csv") if _shipped(name) else _read(Path(name))
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise DataError(
            f"The table of study {record['name']!r} is not the one that its provenance describes: one of the two files "
            f"was changed. Make it again with: {record['command']}"
        )
    # As texts first: pandas' own ways to read numbers differ in the last digit between versions.
    frame = pandas.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    for column, kind in record["columns"].items():
        if kind != "str":
            frame[column] = np.array([_READERS[kind](value) for value in frame[column]], dtype=kind)
    return frame


def study_provenance(name):
    """Return what made a stored study.

    Parameters
    ----------
    name : str or path-like
        See :func:`load_table`.

    Returns
    -------
    dict
        ``name``, ``command``, ``spec``, ``spec_hash``, ``seeds``, ``rows``, ``columns``, ``sha256`` of the table,
        ``seconds`` and ``cpu_seconds`` (sums over the runs), ``date``, ``versions``, ``cpu``, ``cores``, ``system``,
        and ``earlier_environments`` where the study was made in several sittings. Where there is a mark of the code,
        ``code``, and where that was renewed, ``verified``: see :mod:`tl_helpers.studies.freshness`.

    Raises
    ------
    tl_helpers.files.DataError
        If it is missing or damaged.
    """
    content = read_verified(f"results/{name}.json") if _shipped(name) else _read(Path(name).with_suffix(".json"))
    try:
        record = json.loads(content)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"name", "command", "columns", "sha256"} <= set(record):
        raise DataError(f"The provenance of study {str(name)!r} is damaged: restore its .json file.")
    return record


def _read(path):
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from None
