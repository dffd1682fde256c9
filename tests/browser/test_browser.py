"""Do the notebooks run in JupyterLab, in a real browser, as they do for a learner?"""

import pytest
from playwright.sync_api import expect

from tests.browser.lab import code_cells, errors, open_and_run_all
from tests.conditions import ROOT
from tests.notebooks.opened import differences

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=3, max=10, description="labels")
label = ipywidgets.Label("not moved")
slider.observe(lambda change: setattr(label, "value", f"moved to {change['new']}"), "value")
ipywidgets.VBox([slider, label])
"""

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=pytest.mark.opens(path), id=path.stem) for path in NOTEBOOKS]
)
def test_notebook_runs_to_its_end_and_shows_what_is_saved(page, lab, path, request):
    notebook = open_and_run_all(page, lab, f"notebooks/{path.name}")
    cells = code_cells(notebook)
    assert errors(notebook) == []
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    told = differences(request.session, path, notebook)
    assert not told, "\n\n".join(told)


def test_output_figure_and_slider_work(page, lab, made):
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    name = made("made.ipynb", "import tl_helpers\nprint(tl_helpers.__file__)", figure, SLIDER)
    notebook = open_and_run_all(page, lab, name)
    assert errors(notebook) == []
    printed, drawn, _ = code_cells(notebook)
    assert printed["outputs"][0]["text"].startswith(str(lab.root))
    assert "image/png" in drawn["outputs"][-1]["data"]
    handle = page.locator(".widget-slider .noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    expect(page.get_by_text("moved to 4")).to_be_visible()


def test_an_error_is_seen(page, lab, made):
    notebook = open_and_run_all(page, lab, made("broken.ipynb", "1 / 0", "2"))
    assert errors(notebook) == ["ZeroDivisionError: division by zero"]


def test_the_kernel_has_no_network(page, lab, made, tmp_path):
    swallow = f"""
import os, socket
os.environ["TL_HELPERS_NETWORK_LOG"] = {str(tmp_path / "log")!r}
try:
    socket.getaddrinfo("example.invalid", 80)
except OSError as error:
    print(type(error).__name__)
"""
    notebook = open_and_run_all(page, lab, made("network.ipynb", swallow))
    assert code_cells(notebook)[0]["outputs"][0]["text"] == "NetworkBlocked\n"
