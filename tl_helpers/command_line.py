"""What can be done without a notebook? The commands behind ``python run.py results`` and ``python run.py answers``.

python -m tl_helpers results                  # all stored results
python -m tl_helpers results street_labels    # one
python -m tl_helpers results routes           # the eight routes, which are stored as one table
python -m tl_helpers results --check          # which of them today's code would still give?
python -m tl_helpers results --verify routes  # make a few runs of each again; mark as fresh what agrees
python -m tl_helpers answers                  # write the answers to all exercises into answers.md
"""

from __future__ import annotations

import argparse

from tl_helpers.exercises.answers import write_answer_key
from tl_helpers.files import data_folder
from tl_helpers.plots.charts import overview
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.freshness import judge, verify
from tl_helpers.studies.make import run_study

LIST_FILES = "Now list the new files: python data/build/checksums.py"


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
    print(LIST_FILES)


def check(names):
    """Print of stored results whether they are fresh, stale (and by what), unmarked or missing.

    Parameters
    ----------
    names : sequence of str
        Of studies; all where there are none.

    Returns
    -------
    bool
        Whether all are fresh.
    """
    judged = [judge(name) for name in names or _known_studies()]
    print(*judged, sep="\n")
    return all(one.state == "fresh" for one in judged)


def verify_all(names, n_jobs):
    """Make a few runs of each stored study again, print what came out, and mark as fresh those that agree.

    Parameters
    ----------
    names : sequence of str
        Of studies; all where there are none.
    n_jobs : int
        Worker processes.

    Returns
    -------
    bool
        Whether all agree.
    """
    found = []
    for name in names or _known_studies():
        found.append(verify(name, n_jobs=n_jobs))
        print(found[-1], flush=True)
    if any(one.agrees for one in found):
        print(LIST_FILES)
    return all(one.agrees for one in found)


def _known_studies():
    return {name: (study.function.__doc__ or "").partition("\n")[0] for name, study in STUDIES.items()}


def main(arguments=None):
    """Do what the command line says.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit status: 1 if something that was checked or verified is not fresh, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tl_helpers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("results", help="make the stored results anew")
    making.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(_known_studies())}")
    making.add_argument("--jobs", type=int, default=2, help="worker processes (default 2)")
    instead = making.add_mutually_exclusive_group()
    instead.add_argument(
        "--check",
        action="store_true",
        help="make nothing; say of each whether it is fresh, stale (and what changed), unmarked or missing. "
        "The exit status is 0 only if all are fresh",
    )
    instead.add_argument(
        "--verify",
        action="store_true",
        help="make two or three runs of each again; where the scores agree, mark it as made with today's code. "
        "Where they do not, nothing is written and the exit status is 1",
    )
    answering = verbs.add_parser("answers", help="write the answers to all exercises into one page")
    answering.add_argument("path", nargs="?", default="answers.md", help="where to (default answers.md)")
    options = parser.parse_args(arguments)
    if options.verb == "answers":
        write_answer_key(options.path)
        print(f"The answers stand in {options.path}: for whoever teaches.")
        return 0
    if options.jobs < 1:
        making.error(f"--jobs must be at least 1, not {options.jobs}")
    unknown = sorted(set(options.names) - set(_known_studies()))
    if unknown:
        making.error(f"no such study: {', '.join(unknown)}; there are {', '.join(_known_studies())}")
    if options.check:
        return 0 if check(options.names) else 1
    if options.verify:
        return 0 if verify_all(options.names, options.jobs) else 1
    results(options.names, options.jobs)
    return 0
