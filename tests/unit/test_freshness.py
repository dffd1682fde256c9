"""Stored studies whose code has changed are told: what is stale, by what, and how a study is found fresh again."""

import dataclasses
import functools
import importlib
import json
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.grids import Inline
from tl_helpers import command_line
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.files import checksum_list
from tl_helpers.grid.run import run_grid
from tl_helpers.grid.stored import load_table, study_provenance
from tl_helpers.studies import freshness, make, tuning
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.freshness import judge, verify
from tl_helpers.studies.study import Study

STALE = Path(__file__).with_name("stale_studies.toml")


@pytest.mark.parametrize("name", STUDIES)
def test_every_stored_study_is_fresh_or_listed_with_its_reason(name):
    listed, judged = tomllib.loads(STALE.read_text(encoding="utf-8")), judge(name)
    if name in listed:
        assert len(listed[name].split()) > 3, f"Say in {STALE.name} why {name} is not fresh."
        assert judged.state != "fresh", f"{name} is fresh again: take it off {STALE.name}."
    else:
        assert judged.state == "fresh", (
            f"{judged}. If the change cannot touch its scores: python run.py results --verify {name}. "
            f"If it does: python run.py results {name}. If neither can be done now, list it in {STALE.name}."
        )


def test_only_stored_studies_are_listed():
    assert set(tomllib.loads(STALE.read_text(encoding="utf-8"))) <= set(STUDIES)


HELPERS = """
PEAK = 50


def height(distance):
    return PEAK - distance
"""
RUNS = """
import math

from hills.helpers import height


def hill(distance, seed, *, rate=None, split="test", best=-2):
    return {"score": height(abs(math.log10(rate or 1e-2) - best)), "learning_rate": rate, "updates": 10}


def slope(distance, seed, *, rate=None, split="test"):
    return {"score": float(distance + seed)}
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A data folder of its own, a package ``hills`` with two studies, and grids that run in this process."""
    for name, text in {"data/SHA256SUMS": checksum_list({}), "hills/__init__.py": "", "hills/runs.py": RUNS}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "hills/helpers.py").write_text(HELPERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TL_HELPERS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(make, "WORK", tmp_path / "work")
    monkeypatch.setattr(tuning, "run_grid", functools.partial(run_grid, client=Inline()))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "hills"]:
        del sys.modules[name]


AXIS = Axis("distance", "steps", (1, 2))
ARMS = {
    "fast": Arm("a fast one", "transfer", {"best": -1}, tuned=True),
    "flat": Arm("one without a rate", "baseline"),
    "slow": Arm("a slow one", "baseline", {"best": -3}, tuned=True),
}


def changed(arm, **change):
    """Return the arms with one of them changed."""
    return ARMS | {arm: dataclasses.replace(ARMS[arm], **change)}


def put_on_list(monkeypatch, **studies):
    for module in (freshness, command_line, make):
        monkeypatch.setattr(module, "STUDIES", studies)


@pytest.fixture
def study(folder, monkeypatch):
    """A stored study of made-up runs, ``hill``."""
    runs = importlib.import_module("hills.runs")
    study = Study("hill", runs.hill, ARMS, AXIS, (0, 1), rates=(1e-3, 1e-2))
    put_on_list(monkeypatch, hill=study)
    make.run_study("hill", n_jobs=1)
    return study


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def record(folder, name="hill"):
    return json.loads((folder / f"data/results/{name}.json").read_text())


def test_a_study_is_fresh_when_it_has_been_made(study, folder):
    assert judge("hill") == freshness.Freshness("hill", "fresh") and str(judge("hill")) == "hill: fresh"
    assert set(record(folder)["code"]) == {"hill", "height", "PEAK"}


def test_a_study_is_stale_by_what_has_changed(study, folder):
    edit(folder / "hills/helpers.py", "PEAK = 50", "PEAK = 50  # the top")
    assert judge("hill").state == "fresh"
    edit(folder / "hills/helpers.py", "PEAK = 50", "TOP = 60")
    edit(folder / "hills/helpers.py", "PEAK - distance", "TOP - distance")
    assert str(judge("hill")) == "hill: stale (PEAK is gone, TOP is new, height)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"arms": dict(reversed(ARMS.items()))}, "arms"),
        ({"arms": changed("slow", settings={"best": -2})}, "settings"),
        ({"axis": dataclasses.replace(AXIS, values=(1, 2, 3))}, "budgets, rates"),
        ({"seeds": (0, 2)}, "seeds"),
        ({"tuning_seeds": (7, 8, 9)}, "tuning seeds"),
        ({"margin": 2.0}, "margin"),
        ({"metric": "height in m"}, "metric"),
        ({"axis": dataclasses.replace(AXIS, unit="metres")}, "budget_unit"),
        ({"arms": changed("slow", tuned=False)}, "rates"),
        ({"arms": changed("slow", sparse=True)}, "rates"),
        ({"rates": (1e-3, 1e-2, 0.5)}, "rates"),
    ],
)
def test_a_study_that_is_defined_otherwise_is_stale_and_cannot_be_verified(
    study, folder, monkeypatch, capsys, change, expected
):
    put_on_list(monkeypatch, hill=dataclasses.replace(study, **change))
    assert str(judge("hill")) == f"hill: stale ({expected})"
    before = record(folder)
    assert command_line.main(["results", "--verify", "hill"]) == 1 and record(folder) == before
    assert capsys.readouterr().out == f"hill: {expected} changed. Make it anew: python run.py results hill\n"


def test_other_words_do_not_hide_that_other_seeds_chose_the_rates(study, folder, monkeypatch):
    others = dataclasses.replace(study, tuning_seeds=(7, 8, 9), arms=changed("slow", label="a snail"))
    put_on_list(monkeypatch, hill=others)
    make.describe_stored("hill")
    design = record(folder)["spec"]["design"]
    assert design["arms"]["slow"]["label"] == "a snail" and design["tuning_seeds"] == [100, 101, 102]
    assert str(judge("hill")) == "hill: stale (tuning seeds)"


def test_a_margin_is_announced_before_the_runs_or_not_at_all(study, folder, monkeypatch):
    put_on_list(monkeypatch, hill=dataclasses.replace(study, margin=2.0))
    make.describe_stored("hill")
    assert "margin" not in record(folder)["spec"]["design"] and str(judge("hill")) == "hill: stale (margin)"
    make.run_study("hill", n_jobs=1)
    assert record(folder)["spec"]["design"]["margin"] == 2 and judge("hill").state == "fresh"


def test_other_data_make_a_study_stale(study, folder):
    path = folder / "data/results/hill.json"
    path.write_text(
        json.dumps(record(folder) | {"spec": record(folder)["spec"] | {"data": {"a.png": "0123456789abcdef"}}})
    )
    assert str(judge("hill")) == "hill: stale (data/a.png)"
    (folder / "data/SHA256SUMS").write_text(checksum_list({"a.png": "0123456789abcdef" + 48 * "0"}))
    assert judge("hill").state == "fresh"
    (folder / "data/SHA256SUMS").write_text(checksum_list({"a.png": 64 * "0"}))
    assert str(judge("hill")) == "hill: stale (data/a.png)"


def unmark(folder, name="hill"):
    kept = {key: value for key, value in record(folder, name).items() if key != "code"}
    (folder / f"data/results/{name}.json").write_text(json.dumps(kept))


def test_the_command_tells_of_all_and_fails_unless_all_are_fresh(study, folder, monkeypatch, capsys):
    assert command_line.main(["results", "--check", "hill"]) == 0
    put_on_list(monkeypatch, hill=study, other=study)
    monkeypatch.setattr(command_line, "_known_studies", lambda: {"hill": "", "other": ""})
    assert command_line.main(["results", "--check"]) == 1
    assert capsys.readouterr().out == "hill: fresh\nhill: fresh\nother: missing\n"
    unmark(folder)
    assert study_provenance(folder / "data/results/hill.csv")["name"] == "hill"
    assert command_line.main(["results", "--check", "hill"]) == 1
    assert capsys.readouterr().out == "hill: unmarked\n"
    assert command_line.main(["results", "--verify", "other"]) == 1
    assert capsys.readouterr().out == "other: not stored yet. Make it: python run.py results other\n"


def test_many_changes_are_cut_short():
    text = str(freshness.Freshness("hill", "stale", tuple("abcdefghijk"), ("arms",)))
    assert text == "hill: stale (arms, a, b, c, d, e, f, g, h and 3 more)"


def test_a_mark_is_renewed_where_runs_come_out_again(study, folder, capsys):
    path = folder / "data/results/hill.json"
    before, table = record(folder), (folder / "data/results/hill.csv").read_bytes()
    unmark(folder)
    assert command_line.main(["results", "--verify", "hill", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.startswith("hill: 2 scores made again differ by 0 at most: marked.\nNow list the")
    after = record(folder)
    assert after.pop("verified") | {"date": ""} == {"date": "", "scores": 2, "largest_difference": 0}
    assert after == before and judge("hill").state == "fresh"
    assert (folder / "data/results/hill.csv").read_bytes() == table and len(load_table(path.with_suffix(".csv"))) == 12
    assert {one.name for one in path.parent.iterdir()} == {"hill.csv", "hill.json"}


def test_the_runs_made_again_are_cheap_and_take_the_stored_rates(study, folder, monkeypatch):
    made = []

    def watched(*words, **settings):
        made.append(tuning.measure(*words, **settings))
        return made[-1]

    monkeypatch.setattr(freshness, "measure", watched)
    assert verify("hill").agrees
    again = made[0][["arm", "budget", "seed", "learning_rate"]].to_numpy().tolist()
    assert len(made) == 1 and again == [["fast", 1, 0, 0.1], ["slow", 1, 0, 1e-3]]


def test_an_arm_that_is_trained_is_among_the_runs_made_again(study, monkeypatch):
    arms = {key: ARMS[key] for key in ("flat", "slow", "fast")} | {"flat too": ARMS["flat"]}
    checked = freshness._spot_check(dataclasses.replace(study, arms=arms))
    assert list(checked.arms) == ["flat", "slow", "flat too"] and checked.axis.values == (1,)


def test_of_a_study_with_one_arm_two_budgets_are_made_again(folder, monkeypatch):
    runs = importlib.import_module("hills.runs")
    axis = dataclasses.replace(AXIS, values=(1, 2, 3))
    put_on_list(monkeypatch, slope=Study("slope", runs.slope, {"only": Arm("the only one", "baseline")}, axis, (0, 1)))
    make.run_study("slope", n_jobs=1)
    assert verify("slope").agrees and record(folder, "slope")["verified"]["scores"] == 2


@pytest.mark.parametrize(("by", "words"), [(0.5, "0.5"), (float("nan"), "inf")])
def test_where_scores_differ_nothing_is_written(study, folder, monkeypatch, capsys, by, words):
    def other(distance, seed, *, rate=None, split="test", best=-2):
        row = study.function(distance, seed, rate=rate, split=split, best=best)
        return row | {"score": row["score"] + (by if best == -3 else 0)}

    other.__module__, other.__qualname__ = study.function.__module__, study.function.__qualname__
    put_on_list(monkeypatch, hill=dataclasses.replace(study, function=other))
    before = {path.name: path.read_bytes() for path in (folder / "data/results").iterdir()}
    if by != by:
        with pytest.warns(UserWarning, match="NaN"):
            assert command_line.main(["results", "--verify", "hill"]) == 1
    else:
        assert command_line.main(["results", "--verify", "hill"]) == 1
    expected = f"hill: 2 scores made again differ by {words} at most (apart: slow at 1). The mark stays as it was.\n"
    assert capsys.readouterr().out == expected
    assert {path.name: path.read_bytes() for path in (folder / "data/results").iterdir()} == before


def test_the_help_tells_of_both(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["results", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--check make nothing; say of each whether it is fresh" in text
    assert "--verify make two or three runs of each again" in text
