"""Do the notebooks run in JupyterLab, in a real browser, as they do for a learner?"""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import code_cells, errors, open_and_run_all
from tests.conditions import ROOT
from tests.notebooks.opened import differences
from tests.notebooks.rules import KERNEL

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=3, max=10, description="labels")
label = ipywidgets.Label("not moved")
slider.observe(lambda change: setattr(label, "value", f"moved to {change['new']}"), "value")
ipywidgets.VBox([slider, label])
"""

pytestmark = pytest.mark.browser


@pytest.fixture
def made(lab):
    """Return a function that makes a notebook of these sources in the copy and returns its path."""

    def make(name, *sources):
        cells = [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), lab.root / name)
        return name

    return make


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


def test_the_freeze_explorer_follows_its_slider_and_trains(page, lab, made):
    source = "from tl_helpers.widgets import freeze_explorer\nfreeze_explorer()"
    notebook = open_and_run_all(page, lab, made("explorer.ipynb", source))
    assert errors(notebook) == []
    expect(page.get_by_text("frozen: nothing.")).to_be_visible()
    picture = page.locator(".widget-image")
    before = picture.get_attribute("src")
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    expect(page.get_by_text("frozen: conv1.")).to_be_visible()
    assert picture.get_attribute("src") != before
    page.get_by_role("button", name="train this now").click()
    expect(page.get_by_text("One run, just now")).to_be_visible(timeout=180_000)


def test_the_route_explorer_lights_its_cells_and_runs_a_slice(page, lab, made):
    source = "from tl_helpers.widgets import route_explorer\nroute_explorer()"
    notebook = open_and_run_all(page, lab, made("routes.ipynb", source))
    assert errors(notebook) == []
    expect(page.get_by_text("Task Fine-Tuning.")).to_be_visible()
    task, domain, order = (page.locator(".widget-toggle-buttons").nth(number) for number in range(3))
    domain.get_by_role("button", name="different").click()
    expect(page.get_by_text("Domain Adaptation.")).to_be_visible()
    order.get_by_role("button", name="at the same time").click()
    expect(page.get_by_text("Weight Sharing.")).to_be_visible()
    task.get_by_role("button", name="different").click()
    expect(page.get_by_text("Parallel Training.")).to_be_visible()
    page.get_by_role("button", name="run a slice now").click()
    expect(page.get_by_text("One seed, just now")).to_be_visible(timeout=180_000)
