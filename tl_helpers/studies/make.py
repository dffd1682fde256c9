"""How are the stored results made anew? Tuning first, then all runs, then the table and what made it.

Finished runs are kept under ``.tl_cache/``, so it may be stopped at any time and goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from tl_helpers.files import data_folder
from tl_helpers.grid.stored import extend_provenance, save_study, study_provenance
from tl_helpers.studies.freshness import code_mark, studies_behind
from tl_helpers.studies.route_results import route_of_study, tidy
from tl_helpers.studies.tuning import measure, tune

WORK = Path(".tl_cache/studies")


def run_study(name, *, n_jobs=2):
    """Run a study, tuning first, and store its results in ``data/results/``.

    Parameters
    ----------
    name : str
        One of :data:`tl_helpers.studies.catalogue.STUDIES`, or ``"routes"``.
    n_jobs : int
        Worker processes.

    Returns
    -------
    pandas.DataFrame
        One row per run.
    """
    studies = studies_behind(name)
    code = code_mark(name)  # before hours in which somebody may edit it
    runs, spec = _run_routes(studies, n_jobs) if name == "routes" else _tune_and_measure(name, studies[name], n_jobs)
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


def _run_routes(studies, n_jobs):
    """Run the studies of all routes; return one table, and what was asked for by study."""
    tables, specs = [], {}
    for name, study in studies.items():
        runs, specs[name] = _tune_and_measure(name, study, n_jobs)
        specs[name] |= runs.attrs["provenance"]
        tables.append(tidy(name, runs))
        specs[name]["design"]["route"] = route_of_study(name).name
    table = pandas.concat(tables, ignore_index=True)
    environments = [each for spec in specs.values() for each in spec.pop("environments")]
    table.attrs["provenance"] = {"environments": [e for n, e in enumerate(environments) if e not in environments[:n]]}
    return table, {"studies": specs}


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
    for one, study in studies_behind(name).items():
        told = spec["studies"][one] if name == "routes" else spec
        # The seeds that chose the rates are no words: they stay those of the runs.
        kept = {key: seeds for key, seeds in told.get("design", {}).items() if key == "tuning_seeds"}
        told["design"] = study.design() | kept | ({"route": route_of_study(one).name} if name == "routes" else {})
    extend_provenance(path, spec=spec)
    return path
