"""How are the stored results made anew? Tuning first, then all runs, then the table and what made it.

Finished runs are kept under ``.tl_cache/``, so it may be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas

from tl_helpers.files import atomic_path, data_folder
from tl_helpers.grid.stored import save_study
from tl_helpers.routes.taxonomy import ROUTES
from tl_helpers.studies.catalogue import ROUTE_STUDIES, STUDIES
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
    if name == "routes":
        runs, spec = _run_routes(n_jobs)
    else:
        runs, spec = _tune_and_measure(name, STUDIES[name], n_jobs)
    save_study(runs, data_folder() / f"results/{name}.csv", command=f"python run.py results {name}", spec=spec)
    return runs


def _tune_and_measure(name, study, n_jobs):
    rates, offered, at_edge = tune(study, path=WORK / f"{name}-tuning.jsonl", n_jobs=n_jobs)
    runs = measure(study, rates, path=WORK / f"{name}.jsonl", n_jobs=n_jobs)
    spec = {
        "rates": rates,
        "rates_offered": offered,
        "rates_at_edge": at_edge,
        "budget_unit": study.axis.unit,
        "metric": study.metric,
        "design": study.design(),
    }
    return runs, spec


def _run_routes(n_jobs):
    """Run the studies of all routes; return one table, and what was asked for by study."""
    tables, specs = [], {}
    names = [route.study for route in ROUTES] + [name for route in ROUTES for name in route.further_studies]
    for name in names:
        runs, specs[name] = _tune_and_measure(name, (ROUTE_STUDIES | STUDIES)[name], n_jobs)
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
        The ``.json`` file. List it anew afterwards: ``python data/build/checksums.py``.
    """
    path = data_folder() / f"results/{name}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    if name == "routes":
        for part, spec in record["spec"]["studies"].items():
            spec["design"] = (ROUTE_STUDIES | STUDIES)[part].design() | {"route": route_of_study(part).name}
    else:
        record["spec"]["design"] = STUDIES[name].design()
    with atomic_path(path) as temporary:
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path
