"""Does a run of the notebooks notice a wrong output, an error, and whoever tries the network?"""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.conditions import LOG_VARIABLE, ROOT

# 192.0.2.0/24 is set aside for documentation (RFC 5737), .invalid for names that do not exist (RFC 2606).
CONNECT = """
import socket
try:
    socket.socket().connect(("192.0.2.1", 80))
except OSError as error:
    print(type(error).__name__)
"""
LOOK_UP = """
try:
    socket.getaddrinfo("example.invalid", 80)
except OSError as error:
    print(type(error).__name__)
"""
FROM_A_CHILD = """
import subprocess, sys
look_up = "import socket; socket.gethostbyname('child.invalid')"
print(subprocess.run([sys.executable, "-c", look_up], stderr=subprocess.PIPE).returncode)
"""
TO_THIS_MACHINE = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
    print("connected to", socket.getaddrinfo("localhost", 80)[0][4][1])
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a notebook of the given (source, printed) cells as `run.py test` would."""
    own = ("__init__.py", "conditions.py", "memory.py", "speed.py")
    for name in ("conftest.py", "pyproject.toml", *(f"tests/{name}" for name in own)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tests" / "guard", tmp_path / "tests" / "guard")
    (tmp_path / "tests" / "notebooks").mkdir()
    shutil.copy(ROOT / "tests" / "notebooks" / "sanitize.cfg", tmp_path / "tests" / "notebooks")
    (tmp_path / "notebooks").mkdir()

    def run_cells(*cells):
        made = [
            new_code_cell(
                source, execution_count=count, outputs=[new_output("stream", text=printed)] if printed else []
            )
            for count, (source, printed) in enumerate(cells, start=1)
        ]
        nbformat.write(new_notebook(cells=made), tmp_path / "notebooks" / "made.ipynb")
        outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", LOG_VARIABLE)}
        command = [sys.executable, "-m", "pytest", "--color=no", "-p", "no:cacheprovider", "notebooks"]
        return subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True)

    return run_cells


def test_a_sound_notebook_passes_and_may_talk_to_this_machine(run):
    done = run((TO_THIS_MACHINE, "connected to 80\n"), ("print('3ms/step')", "8ms/step\n"))
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_changed_output_and_an_error_fail(run):
    done = run(("print(1)", "2\n"), ("1 / 0", ""))
    assert done.returncode == 1
    assert "2 failed" in done.stdout


def test_trying_the_network_fails_the_run_even_if_the_error_is_swallowed(run):
    done = run((CONNECT, "NetworkBlocked\n"), (LOOK_UP, "NetworkBlocked\n"), (FROM_A_CHILD, "1\n"))
    assert "3 passed" in done.stdout, done.stdout
    assert done.returncode == 1
    assert re.findall(r"^socket\.\w+ '.*?'", done.stdout, re.MULTILINE) == [
        "socket.connect '192.0.2.1'",
        "socket.getaddrinfo 'example.invalid'",
        "socket.gethostbyname 'child.invalid'",
    ]
