"""A progress bar can be switched off, also where tqdm would draw it as a widget."""

import pytest

from tl_helpers import progress
from tl_helpers.progress import progress_bar


@pytest.mark.parametrize(("value", "switched_off"), [("1", True), ("0", False), ("", False), (None, False)])
def test_the_environment_switches_it_off(monkeypatch, value, switched_off):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if value is not None:
        monkeypatch.setenv("TQDM_DISABLE", value)
    with progress_bar(3, "counting", "step") as bar:
        assert bar.disable is switched_off


def test_the_notebook_bar_is_switched_off_as_well(monkeypatch):
    import tqdm.notebook

    monkeypatch.setattr(progress, "tqdm", tqdm.notebook.tqdm)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with progress_bar(3, "counting", "step") as bar:
        assert bar.disable is True
