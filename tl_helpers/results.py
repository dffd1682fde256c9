"""How are the stored results made anew? The command behind ``python run.py results``.

    python -m tl_helpers.results                  # all of them
    python -m tl_helpers.results street_labels    # one
    python -m tl_helpers.results routes           # the eight routes, which are stored as one table

Finished runs are kept under ``.tl_cache/``, so it may be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tl_helpers.files import atomic_path, data_folder
from tl_helpers.grid.stored import load_study, save_study
from tl_helpers.routes import tidy
from tl_helpers.studies import ROUTE_STUDIES, STUDIES
from tl_helpers.tuning import measure, tune

WORK = Path(".tl_cache/studies")


def run_study(name, *, n_jobs=2):
    """Run a study, tuning first, and store its results in ``data/results/``.

    Parameters
    ----------
    name : str
        One of :data:`tl_helpers.studies.STUDIES`, or ``"routes"``.
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
        "budget_unit": study.budget_unit,
        "metric": study.metric,
    }
    return runs, spec


def _run_routes(n_jobs):
    """Run the studies of all routes; return one table, and what was asked for by study."""
    import pandas

    tables, specs = [], {}
    # Text and image is Weight Sharing too, in the emoji's world.
    for name, study in (ROUTE_STUDIES | {"emoji_text": STUDIES["emoji_text"]}).items():
        runs, specs[name] = _tune_and_measure(name, study, n_jobs)
        specs[name] |= runs.attrs["provenance"]
        tables.append(tidy(name, runs))
    table = pandas.concat(tables, ignore_index=True)
    environments = [each for spec in specs.values() for each in spec.pop("environments")]
    table.attrs["provenance"] = {"environments": [e for n, e in enumerate(environments) if e not in environments[:n]]}
    return table, {"studies": specs}


def overview():
    """Draw the README's figure from the stored results into ``data/results/overview.png``."""
    import matplotlib.pyplot as plt

    from tl_helpers.experiments.intervals import confidence_interval
    from tl_helpers.plots import curves

    panels = [
        (
            "emoji_labels",
            "Emoji, eight groups: ImageNet features\nor a small network from scratch",
            {"features": "frozen ImageNet features", "scratch": "from scratch"},
        ),
        (
            "street_labels",
            "Garments in line drawings: fine-tuned\nfrom photographs, or from scratch",
            {"fine_tuning": "fine-tuned", "scratch": "from scratch", "forest": "random forest, pixels"},
        ),
    ]
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 3.8), layout="constrained")
    for axis, (name, title, arms) in zip(axes, panels, strict=True):
        table = confidence_interval(load_study(data_folder() / f"results/{name}.csv"))
        settings = {"xlabel": "labels per class", "ylabel": "test accuracy (%)", "title": title, "names": arms}
        curves(table, x="budget", axis=axis, **settings)
    with atomic_path(data_folder() / "results/overview.png") as path:
        figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments=None):
    """Run the studies named on the command line, or all, and draw the overview."""
    known = {name: study.function.__doc__.splitlines()[0] for name, study in STUDIES.items()}
    known["routes"] = "Eight routes, one experiment each."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(known)}")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (default 2)")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no such study: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in options.names or known:
        print(f"{name}: {known[name]}")
        runs = run_study(name, n_jobs=options.jobs)
        keys = [key for key in ("route", "arm", "budget") if key in runs]
        print(runs.groupby(keys, sort=False, dropna=False)["score"].mean().unstack().round(1).to_string())
    if all((data_folder() / f"results/{name}.csv").exists() for name in ("emoji_labels", "street_labels")):
        overview()
    print("Now list the new files: python data/build/checksums.py")


if __name__ == "__main__":
    main()
