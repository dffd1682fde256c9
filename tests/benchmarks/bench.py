"""How much faster is it than the usual way, and is the result the same? Both ways side by side.

    python run.py bench                        all of it: about ten minutes on two quiet cores
    python run.py bench head grid-overhead     these
    python run.py bench --json FILE            write the table to a file, too

Seconds are processor time, with one TensorFlow thread, which other programs disturb little; only for
``grid-2-processes`` they are seconds on the wall, so leave the machine alone meanwhile. Both ways are tried
`--repeats` times, what takes long a third as often, and take turns in being first; the median of each counts. ``head``
is tried in processes started for it, the rest in this one. Every row with a target says whether it is met. The exit
code is 1 where one is missed, or where a result is not bit for bit what it should be: a busy machine can be the cause
of the first, never of the second.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from functools import partial

from tl_helpers.files import atomic_path
from tl_helpers.grid.environment import environment
from tl_helpers.grid.workers import WORKER_ENVIRONMENT


def benchmarks():
    """Return what can be measured: names → functions of the number of repeats that return rows."""
    from tests.benchmarks import grids, training

    return {
        "head": training.head,
        **{name: partial(training.last_blocks, name) for name in training.CUTS},
        "fit-all-cached": training.all_cached,
        "features": training.features_again,
        "cached-features": training.cached_features,
        "grid-2-processes": grids.two_processes,
        "grid-overhead": grids.overhead,
    }


def load_average():
    """Return how many programs have wanted a core, averaged over the last minute; None where nobody counts them."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def describe(row):
    """Return a row as a line of the table."""
    verdict = {True: "PASS", False: "MISSED", None: ""}[row["met"]]
    same = {True: "identical", False: "DIFFERENT", None: "another way"}[row["identical"]]
    target = (
        "" if row["target"] is None else f"{row['target']:g}x" if isinstance(row["target"], float) else row["target"]
    )
    known = {"name", "baseline_cpu_s", "ours_cpu_s", "ratio", "identical", "target", "met", "trials"}
    more = ", ".join(f"{name} {value}" for name, value in row.items() if name not in known)
    return (
        f"{row['name']:<28} {row['baseline_cpu_s']:>9.3f} {row['ours_cpu_s']:>9.3f} {row['ratio']:>8.2f} "
        f"{target:>12}  {verdict:<6}  {same:<11}  {more}"
    ).rstrip()


def main(arguments, available=benchmarks):
    """Measure, print and write.

    Parameters
    ----------
    arguments : list of str
    available : callable
        Gives the benchmarks by name, see :func:`benchmarks`.

    Returns
    -------
    int
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="run.py bench", description="Measure speed, side by side with the usual way.")
    parser.add_argument("names", nargs="*", help="what to measure; everything by default")
    parser.add_argument("--json", metavar="FILE", help="write the table to this file, too")
    parser.add_argument("--repeats", type=int, default=3, help="trials of each way (default: 3)")
    options = parser.parse_args(arguments)
    # Before TensorFlow is imported: one thread, and none of its start-up lines.
    os.environ.update(WORKER_ENVIRONMENT, KERAS_BACKEND="tensorflow")
    measures = available()
    unknown = [name for name in options.names if name not in measures]
    if unknown or options.repeats < 1:
        parser.error(f"repeats must be at least 1, and names among {', '.join(measures)}.")

    machine = environment() | {
        "threads": 1,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": load_average(),
    }
    print(f"{machine['cpu']}, {machine['cores']} cores; load before: {machine['load_before']}\n")
    print(f"{'':<28} {'usual, s':>9} {'kit, s':>9} {'ratio':>8} {'target':>12}", flush=True)
    rows = []
    for name in options.names or measures:
        for row in measures[name](options.repeats):
            rows.append(row)
            print(describe(row), flush=True)
    machine["load_after"] = load_average()
    print(f"\nload after: {machine['load_after']} (the benchmark itself is 1 of it, and 2 with two processes)")
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps({"rows": rows, "machine": machine}, indent=1) + "\n", encoding="utf-8")
    missed = [row["name"] for row in rows if row["met"] is False]
    different = [row["name"] for row in rows if row["identical"] is False]
    for names, what in ((missed, "Targets missed"), (different, "RESULTS THAT DIFFER")):
        if names:
            print(f"{what}: {', '.join(names)}")
    return int(bool(missed or different))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
