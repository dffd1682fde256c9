"""The start of every notebook: one stable line when all is well, cures when not."""

import importlib.metadata

import pytest

from tl_helpers import files, session


def test_start_prints_one_stable_line(capsys):
    session.start(seed=3)
    assert capsys.readouterr().out == "Ready: versions fit, data intact, seed 3.\n"


def test_start_seeds_keras(capsys):
    import keras

    session.start(seed=1)
    first = keras.random.normal((3,), seed=keras.random.SeedGenerator())
    session.start(seed=1)
    assert (first == keras.random.normal((3,), seed=keras.random.SeedGenerator())).numpy().all()


def test_the_machine_check_names_every_requirement_and_the_device():
    table = session.check_machine()
    assert (table["state"] == "OK").all()
    needed = {
        "Python",
        "keras",
        "numpy",
        "pandas",
        "matplotlib",
        "ipywidgets",
        "data",
        "device",
        "disk",
        "expected time",
    }
    assert needed <= set(table["item"])


def test_missing_data_stop_the_start_with_the_cure(monkeypatch, tmp_path):
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeError, match="not ready:\n- data: TL_HELPERS_DATA points to"):
        session.start()


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_shortened_list_of_the_data_stops_the_start_and_fails_the_check(left, monkeypatch, tmp_path):
    entries = {name: 64 * "0" for name in ("a", "b")}
    (tmp_path / "SHA256SUMS").write_text("".join(files.checksum_list(entries).splitlines(keepends=True)[:left]))
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeError, match=r"not ready:\n- data: .* does not end with its own checksum.*git checkout"):
        session.start()
    states = session.check_machine().set_index("item")["state"]
    assert states["data"] == "FAIL"


def test_an_old_version_is_named_with_its_cure(monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0" if name == "keras" else real(name))
    with pytest.raises(RuntimeError, match=r"- keras: 1\.0 found: pip install 'keras>=3.13'"):
        session.start()


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "tqdm":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(RuntimeError, match="- tqdm: not installed: pip install 'tqdm"):
        session.start()


def test_another_backend_is_refused(monkeypatch):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="KERAS_BACKEND to tensorflow"):
        session.import_quietly()


def test_without_tensorflow_the_cure_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(RuntimeError, match=r"python run.py lab"):
        session.import_quietly()
