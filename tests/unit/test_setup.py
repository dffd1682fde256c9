"""Do pyproject.toml, the lock, environment.yml and Colab agree on what is installed?"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import rattler
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.notebooks.colab import RUNTIMES as COLAB
from tl_helpers import files

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock.txt").read_text(encoding="utf-8")
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]


def locked():
    """Return the lock as (requirement, number of hashes) pairs."""
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    return [(Requirement(block.partition(" \\\n")[0]), block.count("--hash=sha256:")) for block in blocks]


def pins(name, environment):
    """Return the versions that the lock pins for a package where the marker variables are these."""
    return [
        requirement.specifier
        for requirement, _ in locked()
        if canonicalize_name(requirement.name) == canonicalize_name(name)
        and (requirement.marker is None or requirement.marker.evaluate(environment))
    ]


PLATFORMS = [
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", PLATFORMS, ids=lambda machine: "-".join(machine.values()))
def test_the_lock_pins_each_requirement_once_within_its_bounds(machine, python):
    environment = machine | {"python_version": python, "python_full_version": f"{python}.5"}
    for requirement in CORE + EXTRAS:
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        found = pins(requirement.name, environment)
        assert len(found) == 1, (requirement, found)
        version = str(found[0]).removeprefix("==")
        assert requirement.specifier.contains(version), (requirement, version)


def test_everything_in_the_lock_is_pinned_and_hashed():
    assert len(locked()) > 100
    for requirement, hashes in locked():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert requirement.url is None, requirement
        assert hashes > 0, requirement


def test_the_lock_names_no_registry():
    assert "://" not in LOCK
    assert [
        line for line in LOCK.splitlines() if line.lstrip().startswith(("-i", "--index", "--extra", "--find"))
    ] == []


def test_tensorflow_is_no_core_dependency():
    assert [requirement.name for requirement in CORE if requirement.name.startswith("tensorflow")] == []


@pytest.mark.parametrize("runtime", COLAB)
def test_the_floors_admit_what_colab_has(runtime):
    for requirement in CORE + EXTRAS:
        version = COLAB[runtime].get(requirement.name)
        assert version is None or requirement.specifier.contains(version), (requirement, version)
    assert SpecifierSet(PROJECT["requires-python"]).contains(COLAB[runtime]["python"])


def test_the_floors_that_matter_to_colab_were_looked_at():
    named = {requirement.name for requirement in CORE}
    assert {"ipywidgets", "keras", "matplotlib", "numpy", "pandas", "tqdm"} <= named & set(COLAB["2026.08"])


def test_conda_can_read_the_environment():
    *packages, pip_section = ENVIRONMENT["dependencies"]
    specs = {spec.name.normalized: spec for spec in map(rattler.MatchSpec, packages)}
    assert set(specs) == {"python", "pip"}
    assert [rattler.Channel(name).name for name in ENVIRONMENT["channels"]] == ["conda-forge"]
    assert pip_section == {"pip": ["-r requirements.lock.txt"]}
    python = str(specs["python"].version).removeprefix("==").removesuffix(".*")
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert ENVIRONMENT["name"] == PROJECT["name"]


def test_binder_reads_the_same_python():
    # repo2docker's own pattern; where it finds no plain version, it silently takes an older Python.
    [line] = [line for line in ENVIRONMENT["dependencies"] if str(line).startswith("python")]
    version = re.match(r"python\s*=+\s*([\d.]*)", line).group(1)
    assert Version(version).release in {(3, 11), (3, 12), (3, 13)}


def test_binder_installs_the_kit_last_and_without_its_dependencies():
    script = (ROOT / "postBuild").read_text(encoding="utf-8")
    assert "pip install --no-deps --no-build-isolation --editable ." in script
    if os.name == "posix":
        assert os.access(ROOT / "postBuild", os.X_OK)
        assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_without_its_data_the_package_says_where_to_get_them(tmp_path):
    shutil.copytree(ROOT / "tl_helpers", tmp_path / "tl_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from tl_helpers import files; print(files.__file__); files.data_folder()"
    environment = {name: value for name, value in os.environ.items() if name != files.ENVIRONMENT_VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith(str(tmp_path))
    assert "DataError: The kit's data are not here" in done.stderr
    assert "clone the repository and set TL_HELPERS_DATA to its data/ folder" in done.stderr
