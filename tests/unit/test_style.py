"""Is the code, that of the notebooks included, written as ruff and pyproject.toml ask for?"""

import subprocess
import sys

import pytest

from tests.conditions import ROOT


@pytest.mark.parametrize("command", [("check",), ("format", "--diff")], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, (
        f"{done.stdout[-5000:]}{done.stderr}\nMend it with: .venv/bin/python -m ruff check --fix . && "
        f".venv/bin/python -m ruff format ."
    )
