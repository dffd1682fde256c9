"""A stored result says on what it was computed, also where the system gives no name to the processor."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from tl_helpers.grid import environment as module
from tl_helpers.grid.environment import cpu_model, environment


@pytest.fixture
def asked_anew():
    """The processor's name is asked for once in a process: forget it before and after a test."""
    cpu_model.cache_clear()
    yield
    cpu_model.cache_clear()


def test_versions_are_those_in_use_and_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(module, "_PACKAGES", (*module._PACKAGES, "no-such-package"))
    found = environment()
    assert found["versions"]["python"] == platform.python_version() and found["versions"]["numpy"] == np.__version__
    assert "no-such-package" not in found["versions"]
    assert found["cpu"] == cpu_model() != "" and found["cores"] == os.cpu_count()


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_a_processor_without_a_name_is_known_by_its_kind(system, asked_anew, monkeypatch):
    def refuse(*arguments, **options):
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(module.Path, "read_text", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert cpu_model() == "riscv64"
