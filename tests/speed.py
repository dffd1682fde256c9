"""In which processes and in which order do tests run, and which are slow? A plugin of pytest: `conftest.py` names it.

A test that takes long says so: `@pytest.mark.slow(seconds=…)`, in seconds of one processor. Files with the most of them
start first, so that none is left to run alone at the end; `--quick` leaves slow tests out, and with them the notebooks.
The end of a run tells which tests should be marked and are not, or are and need not be.
"""

import collections
import gc
import os

import pytest

# A process takes 0.7 GiB as soon as it has imported TensorFlow: a machine with many cores need not have the memory.
MOST_PROCESSES = 4
# Seconds of one processor: from where on a test is slow, and what a cell of a notebook takes.
SLOW, CELL = 5, 3
# Times differ between machines and under load: a mark that is wrong by less stays.
TOLERANCE = 5
MEASURED = "seconds of a processor"
MARKED = "marked slow"
LEFT_OUT = pytest.StashKey[int]()
# Files whose tests share nothing and take long: they need not stay in one process.
DIVISIBLE = ("tests/unit/test_without_onednn.py",)


def pytest_addoption(parser):
    """Offer `--quick`."""
    parser.addoption("--quick", action="store_true", help="leave out tests that are marked slow, and the notebooks")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Say what `--numprocesses auto` means: one process per core that is ours, and no further one on a single core.

    Nor for a single file, whose tests stay in one process, or for a file that is not there, which pytest-xdist does not
    tell.
    """
    paths = {config.invocation_params.dir / argument.partition("::")[0] for argument in config.args}
    if not all(path.is_dir() or (path.is_file() and len(paths) > 1) for path in paths):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES) if cores > 1 else 0


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


def seconds(item):
    """Return what a test says that it takes; 0 if it says nothing."""
    if item.path.suffix == ".ipynb":
        return CELL
    mark = item.get_closest_marker("slow")
    return mark.kwargs["seconds"] if mark else 0


def pytest_collection_modifyitems(config, items):
    """Leave out what is slow if asked to, and start the longest units of work first where several run at once."""
    if config.getoption("--quick"):
        slow = [item for item in items if seconds(item)]
        items[:] = [item for item in items if not seconds(item)]
        config.hook.pytest_deselected(items=slow)
        config.stash[LEFT_OUT] = len(slow)
    if hasattr(config, "workerinput"):
        units = collections.Counter()
        for item in items:
            units[unit_of_work(item.nodeid)] += seconds(item)
        items.sort(key=lambda item: -units[unit_of_work(item.nodeid)])


def pytest_collection_finish():
    """Spare the garbage collector the half million objects of TensorFlow and Keras: looking at them takes a tenth."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure what the test takes of a processor, in this process and in those that it has waited for."""
    before = sum(os.times()[:4])
    try:
        return (yield)
    finally:
        item.user_properties += [(MEASURED, sum(os.times()[:4]) - before), (MARKED, seconds(item))]


def pytest_sessionfinish(session):
    """Let a process of pytest-xdist tell its parent how many tests were left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Keep what a process of pytest-xdist has told: each knows of all tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left out", 0)


def wrong_marks(reports):
    """Return a sentence for each test whose mark does not fit what it took."""
    told = []
    for report in reports:
        known = dict(report.user_properties)
        if report.when != "call" or MEASURED not in known or not report.nodeid.startswith("tests/unit"):
            continue
        measured, marked = known[MEASURED], known[MARKED]
        if not marked and measured > SLOW:
            told.append(f"{report.nodeid} took {measured:.0f} s and is not marked slow")
        elif marked and not marked / TOLERANCE < measured < marked * TOLERANCE:
            told.append(f"{report.nodeid} took {measured:.0f} s and is marked slow(seconds={marked})")
    return told


def pytest_terminal_summary(terminalreporter, config):
    """Say what was left out, and which marks do not fit."""
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out:
        terminalreporter.section("quick")
        terminalreporter.line(f"{left_out} tests marked slow and cells of notebooks were left out.")
    told = wrong_marks(terminalreporter.getreports("passed"))
    if told:
        terminalreporter.section("marks `slow` to correct, in seconds of a processor")
        for line in told:
            terminalreporter.line(line)
