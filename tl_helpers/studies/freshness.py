"""Would the code of today give what is stored? Each study carries a mark of the code that it was made with."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from tl_helpers.files import checksums, data_folder
from tl_helpers.grid.stored import extend_provenance, load_table, study_provenance
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.dependencies import dependencies
from tl_helpers.studies.tuning import measure

TOLERANCE = 1e-3
_MOST = 8  # names in a line


class Freshness(NamedTuple):
    """Whether a stored study is still what its code and definition would give.

    Parameters
    ----------
    name : str
    state : {"fresh", "stale", "unmarked", "missing"}
        Unmarked: stored without a mark, so that nothing is known of its code.
    code : tuple of str
        Functions, classes and constants that changed, came or went.
    other : tuple of str
        What else changed: of its definition, or data files.
    """

    name: str
    state: str
    code: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    def __str__(self):
        changes = [*self.other, *self.code[:_MOST]]
        more = f" and {len(self.code) - _MOST} more" if len(self.code) > _MOST else ""
        return f"{self.name}: {self.state}" + (f" ({', '.join(changes)}{more})" if changes else "")


class Verification(NamedTuple):
    """What came out when a few runs of a stored study were made again.

    Parameters
    ----------
    name : str
    agrees : bool
    words : str
        A sentence that says what was compared and what came out.
    """

    name: str
    agrees: bool
    words: str

    def __str__(self):
        return f"{self.name}: {self.words}"


def code_mark(name):
    """Return the mark of the code that a study depends on today.

    Parameters
    ----------
    name : str
        One of :data:`tl_helpers.studies.catalogue.STUDIES`.

    Returns
    -------
    dict of str to str
        See :func:`tl_helpers.studies.dependencies.dependencies`.

    Raises
    ------
    tl_helpers.studies.dependencies.UnknownDependency
        If it cannot be told what the study depends on.
    """
    function = STUDIES[name].function
    return dependencies((function.__module__, function.__qualname__))


def judge(name):
    """Say whether a stored study is still what its code and definition would give.

    Parameters
    ----------
    name : str
        See :func:`code_mark`.

    Returns
    -------
    Freshness

    Raises
    ------
    tl_helpers.files.DataError
        If the stored files are damaged.
    tl_helpers.studies.dependencies.UnknownDependency
        If it cannot be told what the study depends on.
    """
    path = _path(name)
    if not (path.exists() and path.with_suffix(".json").exists()):
        return Freshness(name, "missing")
    record = study_provenance(path)
    other = tuple(_other_changes(name, record))
    if "code" not in record:
        return Freshness(name, "stale" if other else "unmarked", other=other)
    then, now = record["code"], code_mark(name)
    code = tuple(
        f"{one} is {'new' if one not in then else 'gone'}" if (one in then) != (one in now) else one
        for one in sorted(then.keys() | now.keys())
        if then.get(one) != now.get(one)
    )
    return Freshness(name, "stale" if code or other else "fresh", code, other)


def verify(name, *, n_jobs=1):
    """Make a few runs of a stored study again, and renew its mark if they agree.

    These are the first arm, the first that is tuned, and the last, at the smallest budget (of a study with one arm,
    that at the two smallest), with the first seed and the stored learning rates. It is a spot check: what the other
    arms use may have changed all the same.

    Parameters
    ----------
    name : str
        See :func:`code_mark`.
    n_jobs : int
        Worker processes.

    Returns
    -------
    Verification
        Where the scores differ by more than :data:`TOLERANCE`, nothing was written.

    Raises
    ------
    tl_helpers.files.DataError
        If the stored files are damaged.
    tl_helpers.studies.dependencies.UnknownDependency
        If it cannot be told what the study depends on.
    """
    judged = judge(name)
    if judged.state == "missing":
        return Verification(name, False, f"not stored yet. Make it: python run.py results {name}")
    if judged.other:
        return Verification(
            name, False, f"{', '.join(judged.other)} changed. Make it anew: python run.py results {name}"
        )
    path, mark = _path(name), code_mark(name)
    rates = study_provenance(path)["spec"]["rates"]
    again = measure(_spot_check(STUDIES[name]), rates, path=None, n_jobs=n_jobs)
    differences = _differences(again, load_table(path))
    largest = max(differences.values())
    compared = f"{len(differences)} scores made again differ by {largest:.3g} at most"
    apart = [run for run, difference in differences.items() if not difference <= TOLERANCE]
    if apart:
        return Verification(name, False, f"{compared} (apart: {'; '.join(apart)}). The mark stays as it was.")
    verified = {"date": datetime.now(UTC).date().isoformat(), "scores": len(differences), "largest_difference": largest}
    extend_provenance(path, code=mark, verified=verified)
    return Verification(name, True, f"{compared}: marked.")


def _path(name):
    # By its path, so that a table is read before its new checksum is listed.
    return data_folder() / f"results/{name}.csv"


def _definition(study):
    """Return what a study is defined by, as its stored ``spec`` says it: the one place that knows both."""
    return {
        "arms": list(study.arms),
        "settings": study.settings(),
        "budgets": list(study.axis.values),
        "seeds": list(study.seeds),
        "budget_unit": study.axis.unit,
        "metric": study.metric,
        "rates": {f"{arm}/{value}" for arm in study.tuned for value in study.values_of(arm)},
        "rates_offered": set(study.rates) if study.tuned else set(),
    }


def _spot_check(study):
    """Return a study of two or three runs of this one."""
    every = list(study.arms)
    keys = dict.fromkeys([every[0], *study.tuned[:1], every[-1]])
    arms = {key: dataclasses.replace(study.arms[key], check_of=None) for key in keys}
    axis = dataclasses.replace(study.axis, values=study.axis.values[: 1 if len(keys) > 1 else 2])
    return dataclasses.replace(study, arms=arms, axis=axis, seeds=study.seeds[:1], compared=None)


def _other_changes(name, record):
    """Yield what of a study's definition and data is not as it was when the study was made."""
    study, spec, listed = STUDIES[name], record["spec"], checksums()
    definition = _definition(study)
    for part in ("arms", "settings", "budgets", "seeds", "budget_unit", "metric"):
        if part in spec and spec[part] != json.loads(json.dumps(definition[part])):
            yield part
    if "design" in spec and spec["design"]["tuning_seeds"] != list(study.tuning_seeds):
        yield "tuning seeds"
    if "design" in spec and spec["design"].get("margin") != study.margin:
        yield "margin"
    # Tuning may offer more rates than the study begins with.
    if definition["rates"] != set(spec["rates"]) or not definition["rates_offered"] <= set(spec["rates_offered"]):
        yield "rates"
    for file, digest in spec.get("data", {}).items():
        # What is told of a stored study is renewed without its runs; the rates that were used stand in its table.
        told = file.startswith("results/") and file.endswith(".json")
        if not told and not listed.get(file, "").startswith(digest):
            yield f"data/{file}"


def _differences(again, stored):
    """Return run → by how much its score differs from the stored one at most; infinity where there is none."""
    differences = {}
    for (arm, budget, seed), rows in again.groupby(["arm", "budget", "seed"], sort=False):
        same = (stored["arm"] == arm) & (stored["budget"] == budget) & (stored["seed"] == seed)
        before, after = stored[same]["score"].to_numpy(float), rows["score"].to_numpy(float)
        differ = np.nan_to_num(abs(before - after), nan=np.inf) if len(before) == len(after) else np.array([np.inf])
        differences[f"{arm} at {budget}"] = float(differ.max())
    return differences
