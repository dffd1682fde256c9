"""What does a learner do in JupyterLab? Open a notebook, run all of it, look at what it says."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Attributes
    ----------
    url : str
        Its address, without a slash at the end.
    root : pathlib.Path
        The folder that it shows, a copy of the project.
    """

    url: str
    root: Path

    def ask(self, path):
        """Return the server's JSON answer, or None while it has none to give."""
        try:
            with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
                return json.load(answer)
        except (urllib.error.URLError, TimeoutError):
            return None

    def kernel_of(self, notebook):
        """Return what the server knows of the notebook's kernel, or None while there is none."""
        sessions = self.ask("api/sessions") or []
        return next((session["kernel"] for session in sessions if session["path"] == notebook), None)


def wait_for(condition, what, seconds):
    """Wait until `condition()` is true. Raises TimeoutError, saying `what` did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.25)


def open_notebook(page, lab, notebook):
    """Open a notebook and wait until its kernel listens.

    Parameters
    ----------
    page : playwright.sync_api.Page
    lab : Lab
    notebook : str
        Path relative to the root, with forward slashes.
    """
    page.goto(f"{lab.url}/lab/tree/{urllib.parse.quote(notebook)}?reset")
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook").wait_for()

    def listens():
        kernel = lab.kernel_of(notebook)
        return kernel is not None and kernel["execution_state"] == "idle" and kernel["connections"] > 0

    wait_for(listens, f"the kernel of {notebook}", seconds=300)
    # The page is told a moment later; what is asked of it before is dropped.
    page.wait_for_timeout(1000)


def seen(page):
    """Return the open notebook as JupyterLab holds it now, outputs included: a dict in the notebook format."""
    return page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()")


def code_cells(notebook):
    """Return the code cells that hold code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]


def errors(notebook):
    """Return the names of the errors that a notebook shows and is not meant to."""
    return [
        f"{output['ename']}: {output['evalue']}"
        for cell in code_cells(notebook)
        for output in cell["outputs"]
        if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", [])
    ]


def open_and_run_all(page, lab, notebook, seconds=600):
    """Open a notebook that was not run yet, run all its cells by the menu, and wait for the last one or for an error.

    Parameters
    ----------
    page : playwright.sync_api.Page
    lab : Lab
    notebook : str
        Path relative to the root, with forward slashes.
    seconds : float
        How long the cells may take.

    Returns
    -------
    dict
        The notebook as JupyterLab holds it then.

    Raises
    ------
    TimeoutError
        If the kernel does not come up or the cells do not end in time.
    """
    open_notebook(page, lab, notebook)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def is_over():
        now = seen(page)
        ended = errors(now) or code_cells(now)[-1]["execution_count"] is not None
        return ended and (lab.kernel_of(notebook) or {}).get("execution_state") == "idle"

    wait_for(is_over, f"the last cell of {notebook}", seconds)
    return seen(page)
