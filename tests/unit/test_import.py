"""Reading results must not cost what training costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import tl_helpers


def loaded_by(code, *packages):
    """Return which of some packages a new process has loaded after some code."""
    code = f"import sys\n{code}\nprint(*sorted(set({packages}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_kit_loads_neither_tensorflow_nor_keras_nor_pandas():
    assert loaded_by("import tl_helpers", "tensorflow", "keras", "pandas", "torch") == []


def test_a_worker_starts_without_pandas_and_scikit_learn():
    assert loaded_by("import tl_helpers.grid.workers, tl_helpers.grid.remote", "keras", "pandas", "sklearn") == []


@pytest.mark.parametrize(
    "code",
    [
        "from tl_helpers import ROUTES, find_route, load_emoji, load_photos, load_street, load_street_scenes, start",
        "from tl_helpers import confidence_interval, load_study, paired_difference, plots, study_provenance",
        "from tl_helpers import cka, domain_distance, estimate_prior, label_efficiency, run_grid, transfer_verdict",
        "from tl_helpers import label_ratio",
    ],
)
def test_data_stored_results_and_figures_do_without_tensorflow_and_keras(code):
    assert loaded_by(code, "tensorflow", "keras") == []


@pytest.mark.parametrize("place", ["datasets", "experiments", "grid"])
def test_no_module_of_these_packages_loads_tensorflow_or_keras(place):
    folder = Path(tl_helpers.__file__).parent / place
    modules = [f"tl_helpers.{place}.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]
    assert modules and loaded_by(f"import {', '.join(modules)}", "tensorflow", "keras") == []


def test_every_public_name_is_there_and_has_a_docstring():
    for name in tl_helpers.__all__:
        value = getattr(tl_helpers, name)
        assert value.__doc__, name
    assert dir(tl_helpers) == sorted(tl_helpers.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute load_nothing"):
        _ = tl_helpers.load_nothing
