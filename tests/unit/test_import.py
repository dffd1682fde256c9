"""Reading results must not cost what training costs."""

import subprocess
import sys

import pytest

import tl_helpers


def test_importing_the_kit_loads_neither_tensorflow_nor_keras_nor_pandas():
    code = "import sys, tl_helpers; print(sorted({'tensorflow', 'keras', 'pandas', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_has_a_docstring():
    for name in tl_helpers.__all__:
        value = getattr(tl_helpers, name)
        assert value.__doc__, name
    assert dir(tl_helpers) == sorted(tl_helpers.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute load_nothing"):
        _ = tl_helpers.load_nothing
