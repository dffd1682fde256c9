"""A progress bar can be switched off, also where tqdm would draw it as a widget."""

import pytest

from tl_helpers import progress
from tl_helpers.progress import progress_bar, told_to


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


@pytest.mark.parametrize("variable", ["0", "1"])
def test_a_listener_hears_of_bars_instead_of_their_being_shown(monkeypatch, capsys, variable):
    monkeypatch.setenv("TQDM_DISABLE", variable)
    heard = []
    with told_to(lambda *far: heard.append(far)), progress_bar(100, "counting", "step", delay=1) as bar:
        for steps in (1, 39, 60):
            bar.update(steps)
            bar.refresh()
    steps = sorted({(done, total) for done, total, _ in heard})
    assert steps == [(0, 100), (1, 100), (40, 100), (100, 100)]
    left = {done: seconds for done, _, seconds in heard}
    assert left[1] is None and left[40] > 0 and left[100] == 0
    assert capsys.readouterr() == ("", "")


def test_after_an_error_bars_are_shown_again():
    shown = progress.tqdm
    with pytest.raises(KeyboardInterrupt), told_to(print):
        raise KeyboardInterrupt
    assert progress.tqdm is shown
