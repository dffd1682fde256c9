"""How are the stored results made anew? Tuning first, then all runs, then the table and what made it.

Finished runs are kept under ``.tl_cache/``, so it may be stopped at any time and goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

from tl_helpers.files import data_folder
from tl_helpers.grid.stored import extend_provenance, save_study, study_provenance
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.freshness import code_mark
from tl_helpers.studies.tuning import measure, tune

WORK = Path(".tl_cache/studies")


def run_study(name, *, n_jobs=2):
    """Run a study, tuning first, and store its results in ``data/results/``.

    Parameters
    ----------
    name : str
        One of :data:`tl_helpers.studies.catalogue.STUDIES`.
    n_jobs : int
        Worker processes.

    Returns
    -------
    pandas.DataFrame
        One row per run.
    """
    code = code_mark(name)  # before hours in which somebody may edit it
    runs, spec = _tune_and_measure(name, STUDIES[name], n_jobs)
    path, command = data_folder() / f"results/{name}.csv", f"python run.py results {name}"
    save_study(runs, path, command=command, spec=spec, code=code)
    return runs


def _tune_and_measure(name, study, n_jobs):
    tuning = tune(study, path=WORK / f"{name}-tuning.jsonl", n_jobs=n_jobs)
    runs = measure(study, tuning.rates, path=WORK / f"{name}.jsonl", n_jobs=n_jobs)
    spec = {
        "rates": tuning.rates,
        "rates_offered": tuning.offered,
        "rates_at_edge": tuning.at_edge,
        "tuning": {"runs": tuning.runs, "tuned_at": tuning.tuned_at},
        "budget_unit": study.axis.unit,
        "metric": study.metric,
        "settings": study.settings(),
        "design": study.design(),
    }
    return runs, spec


def describe_stored(name):
    """Write anew what the arms of a stored study are called and how they are to be judged; no run is repeated.

    Parameters
    ----------
    name : str
        See :func:`run_study`.

    Returns
    -------
    pathlib.Path
        The table, which stays as it is. List the ``.json`` beside it anew: ``python data/build/checksums.py``.
    """
    path = data_folder() / f"results/{name}.csv"
    spec = study_provenance(path)["spec"]
    # The seeds that chose the rates, and a margin announced before the runs, are no words: they stay as they were.
    kept = {key: told for key, told in spec.get("design", {}).items() if key in ("tuning_seeds", "margin")}
    words = {key: told for key, told in STUDIES[name].design().items() if key != "margin"}
    spec["design"] = words | kept
    extend_provenance(path, spec=spec)
    return path
