"""JupyterLab on a copy of the project, and a Chromium to drive it."""

import functools
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from nbstripout import strip_output
from playwright.sync_api import expect, sync_playwright

from run import NO_NEWS, PROGRAMS
from tests.browser.lab import Lab
from tests.conditions import ROOT
from tests.notebooks.opened import run_twice
from tests.notebooks.rules import KERNEL

SERVER = [
    "--no-browser",
    "--allow-root",
    "--ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--IdentityProvider.token=",
    "--LabApp.expose_app_in_browser=True",
    # As `run.py lab` starts it, but elsewhere.
    *(word for word in PROGRAMS["lab"][2:] if not word.startswith(("--ServerApp.root_dir=", "--LabApp.default_url="))),
]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
# What the project's folder holds beside the project.
LEAVE_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "tests")


def forget_outputs(folder):
    """Clear the notebooks of a folder, so that what is seen later was made in the browser."""
    for path in folder.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(strip_output(notebook, keep_output=False, keep_count=False, keep_id=False), path)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_until_up(process, url, log, seconds=300):
    """Wait until the server answers. Fails with the server's own words if it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Start JupyterLab on a copy of the project, with settings of its own; hand out where and what it is."""
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "project"
    shutil.copytree(ROOT, root, ignore=LEAVE_OUT)
    (root / "notebooks").mkdir(exist_ok=True)
    forget_outputs(root / "notebooks")
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    settings = {name: str(folder / name.lower()) for name in (*own, "JUPYTERLAB_WORKSPACES_DIR")}
    news = folder / "jupyter_config_dir" / "labconfig" / "page_config.json"
    news.parent.mkdir(parents=True)
    news.write_text(NO_NEWS, encoding="utf-8")
    # The copy's own package comes first, so that it finds the copy's data.
    settings["PYTHONPATH"] = os.pathsep.join([str(root), os.environ["PYTHONPATH"]])
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", *SERVER, f"--port={port}", f"--ServerApp.root_dir={root}"]
    log = folder / "jupyterlab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=root, env=os.environ | settings, stdout=output, stderr=output)
    try:
        wait_until_up(process, f"http://127.0.0.1:{port}", log)
        yield Lab(f"http://127.0.0.1:{port}", root)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def made(lab):
    """Return a function that makes a notebook of these sources in the copy and returns its path."""

    def make(name, *sources):
        cells = [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), lab.root / name)
        return name

    return make


@functools.cache
def find_chromium():
    """Return the path of a Chromium: the system's, else the one that `playwright install chromium` fetched, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@pytest.hookimpl(trylast=True)  # of those that `-m` and `-k` leave
def pytest_collection_modifyitems(config, items):
    """Run no notebook twice: nbval's rules are kept in the browser, too."""
    opened = {mark.args[0] for item in items for mark in item.iter_markers("opens")}
    twice = run_twice(items, opened) if opened and find_chromium() else []
    if twice:
        items[:] = [item for item in items if item not in twice]
        config.hook.pytest_deselected(items=twice)


@pytest.fixture(scope="session")
def browser():
    """Start Chromium. Where there is none, a learner's run skips these tests, and CI's fails."""
    path = find_chromium()
    if path is None:
        reason = "no Chromium here: install it (Debian: apt install chromium) or run `playwright install chromium`"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """Open an empty page of a fresh profile."""
    expect.set_options(timeout=120_000)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(120_000)
    opened = context.new_page()
    yield opened
    # A kernel keeps a gigabyte, and seven notebooks are opened.
    opened.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    context.close()
