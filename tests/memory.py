"""How much memory do the tests take, and how is it given back? A plugin of pytest: `conftest.py` names it."""

import ctypes
import functools
import gc
import sys

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None

UNIT = 1 if sys.platform == "darwin" else 1024  # what `ru_maxrss` counts in: bytes there, KiB elsewhere
PEAKS = pytest.StashKey[dict]()


def peak():
    """Return the most GiB at once of this process, or None if nobody knows.

    Not of those that it has started: each counts as large as its parent was when it began.
    """
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**30


def empty_lost_graphs():
    """Empty the graphs that TensorFlow keeps though their functions are gone: some MB per training."""
    if "tensorflow" not in sys.modules:
        return
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    from tensorflow.python.framework.func_graph import FuncGraph, dismantle_func_graph

    def outermost(graph):
        while isinstance(graph.outer_graph, FuncGraph):
            graph = graph.outer_graph
        return graph

    objects = gc.get_objects()
    in_use = {id(outermost(thing.graph)) for thing in objects if isinstance(thing, ConcreteFunction)}
    lost = [thing for thing in objects if isinstance(thing, FuncGraph) and id(outermost(thing)) not in in_use]
    for graph in lost:
        dismantle_func_graph(graph)


def release(*packages):
    """Forget what is kept for later: layers' names and graphs, and what cached functions of these packages remember."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in packages:
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
    empty_lost_graphs()
    gc.collect()
    if sys.platform == "linux":
        # What is freed stays with the process until glibc is told to hand it back. (Other C libraries do it unasked.)
        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)


def pytest_sessionfinish(session):
    """Let a process of pytest-xdist tell its parent."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peak"] = peak()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Keep what a process of pytest-xdist has told; nothing from one that crashed."""
    node.config.stash.setdefault(PEAKS, {})[node.gateway.id] = getattr(node, "workeroutput", {}).get("peak")


def pytest_terminal_summary(terminalreporter, config):
    """Say how much memory each process has taken."""
    peaks = config.stash.get(PEAKS, {}) or {"the tests": peak()}
    told = [f"{name} {known:.1f} GiB" for name, known in sorted(peaks.items()) if known]
    if told:
        terminalreporter.section("most memory at once")
        terminalreporter.line(", ".join(told))
