"""Is a notebook that ran in the browser held to what nbval holds it to?"""

import copy
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.conditions import ROOT
from tests.notebooks.opened import differences, run_twice

PICTURE = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}


@pytest.fixture
def saved(tmp_path):
    """Return the path of a notebook and what a browser holds after a run that gave the saved outputs."""
    cells = [
        new_markdown_cell("Why"),
        new_code_cell("print('a')\nprint('b')", outputs=[new_output("stream", text="a\nb\n")], execution_count=1),
        new_code_cell("plot()", outputs=[new_output("display_data", PICTURE)], execution_count=2),
        new_code_cell("time()", outputs=[new_output("stream", text="1")], execution_count=3),
        new_code_cell(""),
    ]
    cells[3].metadata.tags = ["nbval-ignore-output"]
    notebook = new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "made.ipynb")
    seen = copy.deepcopy(notebook)
    seen.cells[0].attachments = None  # as JupyterLab says that there are none
    return tmp_path / "made.ipynb", seen


def test_equal_outputs_pass_however_they_are_cut_and_whatever_is_ignored(saved, request):
    path, seen = saved
    seen.cells[1].outputs = [new_output("stream", text="a\n"), new_output("stream", text="b\n")]
    seen.cells[2].outputs[0].data["image/png"] = "another font"
    seen.cells[3].outputs[0].text = "2"
    assert differences(request.session, path, seen) == []


def test_another_output_is_told_with_its_cell(saved, request):
    path, seen = saved
    seen.cells[1].outputs[0].text = "a\nc\n"
    seen.cells[2].outputs = []
    first, second = differences(request.session, path, seen)
    assert first.startswith("Cell 0: print('a')") and "a\\nc" in first
    assert second.startswith("Cell 1: plot()") and "Missing output" in second


def test_another_notebook_is_no_answer(saved, request):
    path, seen = saved
    seen.cells[1].source = "print('c')"
    with pytest.raises(AssertionError, match="is not what was opened"):
        differences(request.session, path, seen)


def test_only_cells_of_opened_notebooks_run_twice(saved, request):
    from nbval.plugin import IPyNbFile

    path, _ = saved
    cells = list(IPyNbFile.from_parent(request.session, path=path).collect())
    items = [request.node, *cells]
    assert run_twice(items, {path}) == cells
    assert run_twice(items, {path.with_name("another.ipynb")}) == []


def test_a_notebook_that_no_chosen_test_opens_is_run_by_nbval():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", "--collect-only"]
    chosen = ["-m", "not browser", "tests/browser", "notebooks/00_start_here.ipynb"]
    found = subprocess.run([*command, *chosen], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "00_start_here.ipynb::Cell 0" in found.stdout
