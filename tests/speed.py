"""In which processes and in which order do tests run, and which are slow? A plugin of pytest: `conftest.py` names it.

How long tests take stands in `seconds.json`: for each test function that takes more than half a second the mean of its
cases, in seconds of one processor. `--measure` writes down anew what the tests that run take. What takes longest
starts first, so that none is left to run alone at the end; `--quick` leaves out what is slow, and with it the
notebooks and the browser. The end of a run tells where the file is far from the truth.
"""

import collections
import gc
import json
import os
from pathlib import Path

import pytest

# A process takes 0.7 GiB as soon as it has imported TensorFlow: a machine with many cores need not have the memory.
MOST_PROCESSES = 4  # and one more, see below
# Seconds of one processor: from where on a test is slow, and what a cell and a notebook in the browser take.
SLOW, CELL, OPENED = 0.5, 3, 60
# Times differ between machines and under load: only what is wrong by more is told, and only of tests that matter.
TOLERANCE, MATTERS = 5, 5
FILE = Path(__file__).with_name("seconds.json")
MEASURED = "seconds of a processor"
STARTED = pytest.StashKey[float]()
LEFT_OUT = pytest.StashKey[int]()
# Files whose tests share nothing and take long: they need not stay in one process.
DIVISIBLE = ("tests/unit/test_without_onednn.py",)


def pytest_addoption(parser):
    """Offer `--quick` and `--measure`."""
    parser.addoption("--quick", action="store_true", help="leave out slow tests, the notebooks and the browser")
    parser.addoption("--measure", action="store_true", help="write down in tests/seconds.json how long tests take")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Say what `--numprocesses auto` means: one process per core that is ours and one more; none on a single core.

    One more, since some tests wait: for the browser, for processes of their own. None for a single file, whose tests
    stay in one process, or for a file that is not there, which pytest-xdist does not tell.
    """
    paths = {config.invocation_params.dir / argument.partition("::")[0] for argument in config.args}
    if not all(path.is_dir() or (path.is_file() and len(paths) > 1) for path in paths):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES) + 1 if cores > 1 else 0


def unit_of_work(nodeid):
    """Return what stays together in one process: a file, whose tests share what they have made, or a single test."""
    file = nodeid.partition("::")[0]
    return nodeid if file in DIVISIBLE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Divide the tests among the processes by :func:`unit_of_work` where they are asked to stay with their file."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return unit_of_work(nodeid)

    return Scheduling(config, log)


def function_of(nodeid):
    """Return the name of a test's function, which its cases share."""
    return nodeid.partition("[")[0]


def known_seconds():
    """Return what stands in `seconds.json`; nothing where it was not copied."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def seconds(item, known):
    """Return how long a test takes; 0 if it is quick."""
    if item.path.suffix == ".ipynb":
        return CELL
    return OPENED if item.get_closest_marker("browser") else known.get(function_of(item.nodeid), 0)


def pytest_collection_modifyitems(config, items):
    """Leave out what is slow if asked to, and start the longest units of work first where several run at once."""
    known = known_seconds()
    if config.getoption("--quick"):
        slow = [item for item in items if seconds(item, known)]
        items[:] = [item for item in items if not seconds(item, known)]
        config.hook.pytest_deselected(items=slow)
        config.stash[LEFT_OUT] = len(slow)
    if hasattr(config, "workerinput"):
        units = collections.Counter()
        for item in items:
            units[unit_of_work(item.nodeid)] += seconds(item, known)
        items.sort(key=lambda item: -units[unit_of_work(item.nodeid)])


def pytest_collection_finish():
    """Spare the garbage collector the half million objects of TensorFlow and Keras: looking at them takes a tenth."""
    gc.collect()
    gc.freeze()


def processor_seconds():
    """Return what this process and those that it has waited for have taken of a processor."""
    return sum(os.times()[:4])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Look at the clock before the fixtures are made."""
    item.stash[STARTED] = processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure what the test has taken of a processor, with its fixtures."""
    try:
        return (yield)
    finally:
        item.user_properties.append((MEASURED, processor_seconds() - item.stash[STARTED]))


def pytest_sessionfinish(session):
    """Let a process of pytest-xdist tell its parent how many tests were left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Keep what a process of pytest-xdist has told: each knows of all tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left out", 0)


def measured(reports):
    """Return test function → mean seconds of its cases, of those that reports tell of."""
    cases = collections.defaultdict(list)
    for report in reports:
        taken = dict(report.user_properties).get(MEASURED)
        if report.when == "call" and taken is not None and report.nodeid.startswith(("tests/unit", "tests/notebooks")):
            cases[function_of(report.nodeid)].append(taken)
    return {function: sum(taken) / len(taken) for function, taken in cases.items()}


def write_down(found, known):
    """Renew what stands in `seconds.json` by what was found."""
    renewed = {**known, **{function: round(mean, 1) for function, mean in found.items()}}
    kept = {function: mean for function, mean in sorted(renewed.items()) if mean > SLOW}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def far_from_the_truth(found, known):
    """Return a sentence for each test function that takes much longer, or much less long, than `seconds.json` says."""
    told = []
    for function, mean in found.items():
        stands = known.get(function, SLOW)
        if max(mean, stands) > MATTERS and not stands / TOLERANCE < mean < stands * TOLERANCE:
            told.append(f"{function} took {mean:.1f} s; there stands {known.get(function, 'nothing')}")
    return told


def pytest_terminal_summary(terminalreporter, config):
    """Say what was left out, and where `seconds.json` is wrong; renew it if asked to."""
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.section("quick")
        terminalreporter.line(f"{left_out} slow tests and cells of notebooks were left out.")
    found, known = measured(terminalreporter.getreports("passed")), known_seconds()
    if config.getoption("--measure"):
        write_down(found, known)
    elif told := far_from_the_truth(found, known):
        terminalreporter.section("tests/seconds.json is out of date: run again with --measure")
        for line in told:
            terminalreporter.line(line)
