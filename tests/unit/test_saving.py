"""What JupyterLab adds to a notebook's metadata when it opens it is left out when it saves it."""

import copy

import nbformat
import pytest

from tests.conditions import ROOT
from tl_helpers.saving import leave_out_the_machine


def test_a_notebook_of_the_course_is_saved_as_it_was():
    path = next((ROOT / "notebooks").glob("*.ipynb"))
    notebook = nbformat.read(path, as_version=4)
    opened = copy.deepcopy(notebook)
    opened.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
    opened.metadata.language_info.version = "3.12.1"
    leave_out_the_machine({"type": "notebook", "content": opened}, path=path.name)
    assert opened == notebook


@pytest.mark.parametrize(
    "model",
    [
        {"type": "notebook", "content": {"metadata": {}}},
        {"type": "notebook", "content": {"metadata": {"kernelspec": {"name": "ir", "display_name": "R"}}}},
        {"type": "file", "content": "text"},
    ],
)
def test_what_is_not_ours_is_left_alone(model):
    before = copy.deepcopy(model)
    leave_out_the_machine(model)
    assert model == before
