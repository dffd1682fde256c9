"""What can be done without a notebook? The command behind ``python run.py results``.

python -m tl_helpers results                  # all stored results
python -m tl_helpers results street_labels    # one
python -m tl_helpers results routes           # the eight routes, which are stored as one table
"""

from __future__ import annotations

import argparse

from tl_helpers.files import data_folder
from tl_helpers.plots import overview
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.make import run_study


def results(names, n_jobs):
    """Make stored results anew, and draw the README's figure from them.

    Parameters
    ----------
    names : sequence of str
        Of studies; all where there are none.
    n_jobs : int
        Worker processes.
    """
    known = _known_studies()
    for name in names or known:
        print(f"{name}: {known[name]}")
        runs = run_study(name, n_jobs=n_jobs)
        keys = [key for key in ("route", "arm", "budget") if key in runs]
        print(runs.groupby(keys, sort=False, dropna=False)["score"].mean().unstack().round(1).to_string())
    if all((data_folder() / f"results/{name}.csv").exists() for name in ("emoji_labels", "street_labels")):
        overview()
    print("Now list the new files: python data/build/checksums.py")


def _known_studies():
    known = {name: (study.function.__doc__ or "").partition("\n")[0] for name, study in STUDIES.items()}
    return known | {"routes": "Eight routes, one experiment each."}


def main(arguments=None):
    """Do what the command line says.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tl_helpers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("results", help="make the stored results anew")
    making.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(_known_studies())}")
    making.add_argument("--jobs", type=int, default=2, help="worker processes (default 2)")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        making.error(f"--jobs must be at least 1, not {options.jobs}")
    unknown = sorted(set(options.names) - set(_known_studies()))
    if unknown:
        making.error(f"no such study: {', '.join(unknown)}; there are {', '.join(_known_studies())}")
    results(options.names, options.jobs)
