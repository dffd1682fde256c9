"""A stored study comes back to the last digit, and says where it came from."""

import hashlib
import json
import platform

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tl_helpers import files
from tl_helpers.files import DataError
from tl_helpers.grid import stored as provenance
from tl_helpers.grid.environment import cpu_model, environment
from tl_helpers.grid.run import run_grid
from tl_helpers.grid.stored import load_table, save_study, study_provenance

text = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))
columns = {"arm": text, "budget": st.integers(-(2**63), 2**63 - 1), "score": st.floats(), "tuned": st.booleans()}
rows = st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=6)


@pytest.fixture
def frame():
    runs = [
        {"arm": arm, "seed": seed, "score": 0.1 + seed / 3} for arm in ("scratch", "fine_tuning") for seed in (3, 1)
    ]
    return pd.DataFrame(runs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows)
def test_whatever_can_be_stored_comes_back_exactly(tmp_path, records):
    frame = pd.DataFrame(records)
    path = save_study(frame, tmp_path / "study.csv", command="make")
    pd.testing.assert_frame_equal(load_table(path), frame, check_exact=True)


@pytest.mark.parametrize(
    "names", [["NA", "nan", "None", ""], ["1", "02", "3.0"], ["true", "False"], ["a,b", 'a"b', "a\nb"]]
)
def test_texts_stay_texts(tmp_path, names):
    frame = pd.DataFrame({"arm": names})
    assert load_table(save_study(frame, tmp_path / "s.csv", command="make"))["arm"].tolist() == names


def test_git_sees_one_line_per_run(tmp_path, frame):
    path = save_study(frame, tmp_path / "study.csv", command="make")
    assert path.read_bytes() == (
        b"arm,seed,score\nscratch,3,1.1\nscratch,1,0.43333333333333335\nfine_tuning,3,1.1\nfine_tuning,1,0.43333333333333335\n"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.csv", "study.json"]


def test_the_provenance_says_all_that_was_asked_for(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def study(arm, budget, seed, size, data):
        return {"score": seed}

    with ThreadPoolExecutor(1) as pool:
        frame = run_grid(study, ["a"], [5], [2, 7], path=None, client=pool, size=64, data=np.zeros(3))
    path = save_study(frame, tmp_path / "study.csv", command="python run.py results study", spec={"note": "small"})
    record = study_provenance(path)
    assert record["command"] == "python run.py results study"
    assert record["spec"]["arms"] == ["a"] and record["spec"]["budgets"] == [5] and record["spec"]["note"] == "small"
    assert record["spec"]["fixed"]["size"] == 64 and record["spec"]["fixed"]["data"].startswith("ndarray ")
    assert record["spec"]["function"].endswith("study")
    assert record["spec_hash"] == [frame["spec"][0]] and len(frame["spec"][0]) == 16
    assert record["seeds"] == [2, 7] and record["rows"] == 2
    assert record["versions"]["python"] == platform.python_version() and "numpy" in record["versions"]
    assert record["cpu"] == cpu_model() != "" and record["cores"] >= 1
    assert record["seconds"] >= 0 and record["cpu_seconds"] >= 0
    assert load_table(path).attrs == {}  # pandas copies them in every operation


def test_earlier_sittings_are_told(tmp_path, frame):
    earlier = environment() | {"cpu": "another one"}
    frame.attrs["provenance"] = {"environments": [earlier, environment()]}
    record = study_provenance(save_study(frame, tmp_path / "study.csv", command="make"))
    assert record["cpu"] != "another one" and record["earlier_environments"] == [earlier]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"odd": [1, "a", None, 2.0]}, "Column 'odd' mixes kinds or has gaps"),
        ({"gap": ["a", None, "b", "c"]}, r"Column 'gap' mixes kinds or has gaps \(it holds (None|nan)\)"),
        ({"odd": ["a", "b\rc", "d", "e"]}, "Column 'odd' holds a carriage return"),
        ({3: [1, 2, 3, 4]}, "Column names must be texts"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(tmp_path, frame, change, message):
    with pytest.raises(ValueError, match=message):
        save_study(frame.join(pd.DataFrame(change)), tmp_path / "s.csv", command="make")
    assert not list(tmp_path.iterdir())


def test_a_study_needs_a_command_rows_and_a_name(tmp_path, frame):
    with pytest.raises(ValueError, match="command is empty"):
        save_study(frame, tmp_path / "s.csv", command="")
    with pytest.raises(ValueError, match="no rows"):
        save_study(frame[:0], tmp_path / "s.csv", command="make")
    with pytest.raises(ValueError, match=r"must end in \.csv"):
        save_study(frame, tmp_path / "s.json", command="make")


def test_a_changed_table_is_noticed(tmp_path, frame):
    path = save_study(frame, tmp_path / "study.csv", command="python make.py")
    path.write_bytes(path.read_bytes().replace(b"1.1", b"1.2", 1))
    with pytest.raises(DataError, match=r"not the one that its provenance describes.*python make\.py"):
        load_table(path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "study"'])
def test_a_damaged_provenance_is_noticed(tmp_path, frame, content):
    path = save_study(frame, tmp_path / "study.csv", command="make")
    path.with_suffix(".json").write_text(content)
    with pytest.raises(DataError, match=r"provenance of study .*study\.csv' is damaged"):
        load_table(path)


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.json cannot be read"):
        load_table(tmp_path / "nothing.csv")


def test_a_failed_write_leaves_the_old_table(tmp_path, frame, monkeypatch):
    path = save_study(frame, tmp_path / "study.csv", command="make")
    monkeypatch.setattr(provenance.Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        save_study(frame.assign(score=0.0), path, command="make")
    monkeypatch.undo()
    pd.testing.assert_frame_equal(load_table(path), frame)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.csv", "study.json"]


def test_shipped_studies_are_verified(tmp_path, frame, monkeypatch):
    save_study(frame, tmp_path / "results" / "first.csv", command="make")
    names = ["results/first.csv", "results/first.json"]
    entries = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names}
    (tmp_path / "SHA256SUMS").write_text(files.checksum_list(entries))
    monkeypatch.setenv(files.ENVIRONMENT_VARIABLE, str(tmp_path))
    pd.testing.assert_frame_equal(load_table("first"), frame)
    assert study_provenance("first")["name"] == "first"
    with pytest.raises(DataError, match="not listed"):
        load_table("second")
    changed = json.loads((tmp_path / names[1]).read_text()) | {"command": "other"}
    (tmp_path / names[1]).write_text(json.dumps(changed))
    with pytest.raises(DataError, match=r"results/first\.json is damaged"):
        load_table("first")
