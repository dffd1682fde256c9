"""A flipped byte anywhere is named with file and cure; nothing is half written."""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_helpers import files

REAL_DATA = Path(files.__file__).resolve().parent.parent / "data"


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    """A data folder with one sheet, one archive and one table."""
    folder = tmp_path / "data"
    (folder / "set").mkdir(parents=True)
    pictures = np.arange(5 * 4 * 4, dtype="uint8").reshape(5, 4, 4)
    sheet = np.zeros((2, 3, 4, 4), "uint8")
    sheet.reshape(6, 4, 4)[:5] = pictures
    Image.fromarray(sheet.swapaxes(1, 2).reshape(8, 12)).save(folder / "set/sheet.png")
    np.savez(folder / "set/arrays.npz", a=np.arange(3), b=np.ones((2, 2)))
    (folder / "set/table.csv").write_text("name,n\nNone,1\n,2\n", encoding="utf-8")
    names = ["set/sheet.png", "set/arrays.npz", "set/table.csv"]
    entries = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "SHA256SUMS").write_text(files.checksum_list(entries), encoding="utf-8")
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(folder))
    return folder


def test_reads_what_was_written(small_data):
    pictures = files.read_sheet("set/sheet.png", 5, 4, "L")
    np.testing.assert_array_equal(pictures[..., 0], np.arange(80, dtype="uint8").reshape(5, 4, 4))
    arrays = files.read_arrays("set/arrays.npz")
    assert sorted(arrays) == ["a", "b"]
    table = files.read_table("set/table.csv")
    assert table["name"].tolist() == ["None", ""] and table["n"].tolist() == [1, 2]
    assert files.verify_all() == []


@pytest.mark.parametrize("name", ["set/sheet.png", "set/arrays.npz", "set/table.csv"])
def test_every_flipped_byte_is_named(small_data, name):
    path = small_data / name
    content = path.read_bytes()
    for position in {0, len(content) // 2, len(content) - 1}:
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(files.DataError, match=rf"{name} is damaged.*git checkout -- data/{name}"):
            files.read_verified(name)
        assert len(files.verify_all()) == 1


def test_truncated_missing_swapped_and_unlisted_files_are_named(small_data):
    sheet, archive = small_data / "set/sheet.png", small_data / "set/arrays.npz"
    kept = sheet.read_bytes()
    sheet.write_bytes(kept[:-10])
    with pytest.raises(files.DataError, match=r"sheet.png is damaged"):
        files.read_sheet("set/sheet.png", 5, 4, "L")
    shutil.copy(archive, sheet)
    with pytest.raises(files.DataError, match=r"sheet.png is damaged"):
        files.read_verified("set/sheet.png")
    sheet.unlink()
    with pytest.raises(files.DataError, match=r"sheet.png cannot be read.*git checkout"):
        files.read_verified("set/sheet.png")
    sheet.write_bytes(kept)
    with pytest.raises(files.DataError, match="is not listed"):
        files.read_verified("set/other.png")
    with pytest.raises(files.DataError, match="holds 6 pictures of 4 pixels where 7"):
        files.read_sheet("set/sheet.png", 7, 4, "L")


def test_a_damaged_list_is_named_with_its_line(small_data):
    lines = (small_data / "SHA256SUMS").read_bytes().splitlines(keepends=True)
    (small_data / "SHA256SUMS").write_bytes(lines[0] + b"z" + lines[1][1:])
    with pytest.raises(files.DataError, match="line 2 is damaged"):
        files.checksums()
    (small_data / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(files.DataError, match="not text"):
        files.checksums()
    assert len(files.verify_all()) == 1


def renamed(lines):
    return [lines[0].replace(b"sheet", b"sheep"), *lines[1:]]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [],
        lambda lines: lines[:-1],
        lambda lines: lines[:-2],
        lambda lines: lines[:1] + lines[2:],
        lambda lines: lines[-1:],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines, lines[0]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: lines[1::-1] + lines[2:],
        lambda lines: [*lines[:-1], lines[-1][:-30]],
        renamed,
    ],
    ids=[
        "empty",
        "last line gone",
        "last two gone",
        "one gone",
        "all gone but the last",
        "one twice",
        "one more at the end",
        "last one twice",
        "two swapped",
        "cut",
        "renamed",
    ],
)
def test_a_list_that_is_not_as_it_was_written_is_named(change, small_data):
    path = small_data / "SHA256SUMS"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    said = (
        r"SHA256SUMS(, line \d is damaged| is damaged| does not end with its own checksum).*git checkout -- data/SHA256"
    )
    with pytest.raises(files.DataError, match=said):
        files.read_verified("set/table.csv")
    assert len(files.verify_all()) == 1


def test_no_flipped_bit_of_the_list_goes_unnoticed(small_data):
    path = small_data / "SHA256SUMS"
    content, listed = path.read_bytes(), files.checksums()
    for flip in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[flip // 8] ^= 1 << flip % 8
        path.write_bytes(damaged)
        if content[flip // 8] == 10 and files.verify_all() == []:  # there are more line breaks than one
            assert files.checksums() == listed
        else:
            assert len(files.verify_all()) == 1, flip


def test_the_list_may_have_the_line_breaks_of_windows(small_data):
    path = small_data / "SHA256SUMS"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert files.verify_all() == []


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs coreutils")
def test_sha256sum_reads_the_list():
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=REAL_DATA, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    import keras
    import pandas

    from tl_helpers.grid import stored as provenance
    from tl_helpers.models.features import extract_features
    from tl_helpers.training import checkpoint, saving

    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    frame = pandas.DataFrame({"arm": ["a"], "seed": [1]})
    assert provenance.save_study(frame, "~/study.csv", command="make") == tmp_path / "study.csv"
    assert len(provenance.load_table(Path("~/study.csv"))) == 1
    checkpoint.write_checkpoint("~/run.npz", "key", checkpoint.Checkpoint([], 0.0, 0.0, []))
    assert checkpoint.read_checkpoint("~/run.npz", "key").values == []
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    saving.save_model(model, "~/model.keras")
    saving.load_model("~/model.keras")
    extract_features(model, np.ones((3, 2), "float32"), cache="~/features")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/SHA256SUMS").touch()
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, "~/data")
    assert files.data_folder() == tmp_path / "data"
    assert {path.name for path in tmp_path.iterdir()} == {
        *("study.csv", "study.json", "run.npz", "model.keras", "features", "data", "here")
    }
    assert not list((tmp_path / "here").iterdir())


def test_a_wrong_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(tmp_path))
    with pytest.raises(files.DataError, match=r"TL_HELPERS_DATA points to .* unset it"):
        files.data_folder()


def test_the_package_without_its_data_names_the_cure(tmp_path):
    shutil.copytree(Path(files.__file__).parent, tmp_path / "tl_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from tl_helpers import files; files.data_folder()"
    environment = {key: value for key, value in os.environ.items() if key != files.ENVIRONMENT_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "clone the repository and set TL_HELPERS_DATA" in done.stderr


def test_no_array_file_may_hold_pickled_objects(small_data):
    path = small_data / "set/arrays.npz"
    np.savez(path, a=np.array([{}], dtype=object))
    entries = {"set/arrays.npz": hashlib.sha256(path.read_bytes()).hexdigest()}
    (small_data / "SHA256SUMS").write_text(files.checksum_list(entries))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        files.read_arrays("set/arrays.npz")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new/result.csv"
    with files.atomic_path(path) as temporary:
        temporary.write_text("old")
        assert temporary.suffix == ".csv"
    with pytest.raises(KeyboardInterrupt), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_shipped_list_is_complete_and_every_shipped_file_intact(monkeypatch):
    monkeypatch.delenv(files.ENVIRONMENT_VARIABLE, raising=False)
    assert files.verify_all() == []
    on_disk = {
        path.relative_to(REAL_DATA).as_posix()
        for path in REAL_DATA.rglob("*")
        if path.is_file() and path.name not in ("README.md", "SHA256SUMS") and "build" not in path.parts[-3:-1]
    }
    assert on_disk == set(files.checksums())


def test_the_shipped_data_stay_small():
    assert sum(path.stat().st_size for path in REAL_DATA.rglob("*") if path.is_file()) < 60e6


def test_every_shipped_folder_names_origin_and_licence():
    folders = {path.parent for path in REAL_DATA.rglob("arrays.json")}
    assert folders
    for folder in folders:
        home = folder if (folder / "README.md").exists() else folder.parent
        text = (home / "README.md").read_text(encoding="utf-8").lower()
        assert "licence" in text and "rebuild" in text, folder


@pytest.fixture
def build_scripts(monkeypatch):
    monkeypatch.syspath_prepend(REAL_DATA / "build")
    yield importlib.import_module
    for path in (REAL_DATA / "build").glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("name", sorted(path.stem for path in (REAL_DATA / "build").glob("*.py")))
def test_a_build_script_finds_what_it_takes_from_the_kit(build_scripts, name):
    try:
        assert build_scripts(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("tl_helpers"):
            raise
        pytest.skip(f"{error.name} is for building the data only")


def test_build_scripts_take_published_bytes_only(build_scripts, tmp_path):
    read_published = build_scripts("sheets").read_published
    path = tmp_path / "package.tgz"
    path.write_bytes(b"abc")
    # As FIPS 180-2 gives them for "abc".
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    sha512 = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
    assert read_published(path, sha256) == read_published(path, sha512) == b"abc"
    path.write_bytes(b"abd")
    for expected in (sha256, sha512):
        with pytest.raises(SystemExit, match=rf"package\.tgz is not the published file.*{expected[:20]}"):
            read_published(path, expected)


def test_a_changed_package_is_refused_before_anything_is_written(build_scripts, tmp_path, monkeypatch):
    builder = build_scripts("build_street")
    for name in builder.FASHION:
        (tmp_path / name).write_bytes(b"not what was published")
    monkeypatch.setattr(sys, "argv", ["build_street.py", "--fashion", str(tmp_path)])
    before = (REAL_DATA / "street/garments.png").stat().st_mtime_ns
    with pytest.raises(SystemExit, match=r"train-images-idx3-ubyte\.gz is not the published file"):
        builder.main()
    assert (REAL_DATA / "street/garments.png").stat().st_mtime_ns == before
