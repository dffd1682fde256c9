"""Is the environment with Colab's packages made as it should be? Nothing is installed here: steps are written down."""

import importlib.util
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

import run
from tests.conditions import ROOT
from tests.notebooks import colab

SOME = {"implementation": "CPython", "free_threaded": False, "bits": 64, "musl": False, "venv": True}
SOME |= {"system": "Linux", "machine": "x86_64"}


@pytest.fixture
def taken(monkeypatch):
    """Return the list of the steps that were taken, each with exit code 0."""
    steps = []
    monkeypatch.setattr(run, "call", lambda command: steps.append(command) or 0)
    monkeypatch.setattr(colab, "find_python", lambda: "/some/python3.13")
    return steps


def test_the_steps_make_install_and_run(taken):
    assert colab.main() == 0
    venv, install, tests = taken
    assert venv == [run.UV, "venv", "--clear", "--python", "/some/python3.13", colab.FOLDER]
    assert install[:5] == [run.UV, "pip", "install", "--python", colab.PYTHON]
    assert install[-2:] == ["--editable", str(ROOT)] and "--no-deps" not in install
    assert tests[:3] == [colab.PYTHON, "-m", "pytest"] and tests[-1] == "notebooks"
    assert "--nbval-lax" in tests and "addopts=" in tests


def test_every_package_of_the_newest_runtime_is_pinned_once_for_each_machine():
    for machine in ({"sys_platform": "linux", "platform_machine": "x86_64"}, {"sys_platform": "darwin"}):
        wanted = [requirement for requirement in map(Requirement, colab.pins())]
        wanted = [one for one in wanted if one.marker is None or one.marker.evaluate(machine)]
        found = {one.name.replace("-cpu", ""): str(one.specifier) for one in wanted}
        assert len(found) == len(wanted)
        recorded = colab.RUNTIMES[colab.NEWEST].items()
        assert found == {name: f"=={version}" for name, version in recorded if name != "python"}


def asked(suite, words):
    """Ask the tests' outermost conftest.py to run a suite, and return its answer."""
    specification = importlib.util.spec_from_file_location("outermost_conftest", ROOT / "conftest.py")
    conftest = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(conftest)
    option = SimpleNamespace(file_or_dir=words)
    return conftest.pytest_cmdline_main(SimpleNamespace(getoption=lambda name: suite, option=option))


def test_the_chosen_notebooks_run(taken):
    assert asked("colab", ["notebooks/05_eight_routes.ipynb"]) == 0
    assert taken[-1][-1] == "notebooks/05_eight_routes.ipynb" and "notebooks" not in taken[-1]


def test_other_suites_are_left_alone(taken):
    assert asked("deep", []) is None
    assert taken == []


def test_a_step_that_fails_is_the_last(taken, monkeypatch, capsys):
    monkeypatch.setattr(run, "call", lambda command: taken.append(command) or (2 if "install" in command else 0))
    assert colab.main() == 2
    assert len(taken) == 2
    assert "Stopped while installing Colab's packages and the kit (exit code 2)" in capsys.readouterr().out


def test_the_newest_python_is_taken_that_fits(monkeypatch):
    versions = [(3, 11, 7), (3, 14, 0), (3, 13, 0), None, (3, 12, 1)]
    table = [version and SOME | {"version": version, "executable": f"python{version}"} for version in versions]
    monkeypatch.setattr(run, "candidates", lambda: range(len(table)))
    monkeypatch.setattr(run, "probe", table.__getitem__)
    assert colab.find_python() == "python(3, 13, 0)"


def test_without_a_python_nothing_is_made(monkeypatch, capsys):
    monkeypatch.setattr(run, "call", lambda command: pytest.fail("something was made"))
    monkeypatch.setattr(run, "probe", lambda command: None)
    assert colab.main() == 1
    assert "Install 3.13 from https://www.python.org" in capsys.readouterr().out


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no clone")
def test_git_ignores_the_environment_and_clean_removes_it():
    assert subprocess.run(["git", "check-ignore", "--quiet", colab.FOLDER], cwd=ROOT).returncode == 0
    assert colab.FOLDER.startswith(run.UV_HOME)
