"""Are the outputs that a notebook got in the browser the saved ones? By the rules of nbval, without a second run."""

import json

import nbformat
from nbval.plugin import IPyNbFile, coalesce_streams

from tests.browser.lab import code_cells


def differences(session, path, seen):
    """Return what differs between a notebook's saved outputs and those that it got when it ran.

    Parameters
    ----------
    session : pytest.Session
        Its settings tell nbval what to ignore.
    path : pathlib.Path
        The saved notebook.
    seen : dict
        The notebook as JupyterLab holds it after a run, in the notebook format.

    Returns
    -------
    list of str
        For each cell what differs; empty when all is well.
    """
    file = IPyNbFile.from_parent(session, path=path)
    saved = [item for item in file.collect() if item.cell.source.strip()]
    file.setup_sanitize_files()
    ran = nbformat.reads(json.dumps({**seen, "cells": code_cells(seen)}), as_version=4).cells
    assert [cell.source for cell in ran] == [item.cell.source for item in saved], f"{path} is not what was opened"
    told = []
    for item, cell in zip(saved, ran, strict=True):
        outputs = coalesce_streams(cell.outputs), coalesce_streams(item.cell.outputs)
        if item.options["check"] and not item.compare_outputs(*outputs):
            told.append("\n".join([f"{item.name}: {item.cell.source}", *item.comparison_traceback]))
    return told


def run_twice(items, opened):
    """Return the tests that run cells which a test in the browser runs as well.

    Parameters
    ----------
    items : list of pytest.Item
    opened : collection of pathlib.Path
        The notebooks that tests in the browser open.
    """
    return [item for item in items if isinstance(item.parent, IPyNbFile) and item.path in opened]
