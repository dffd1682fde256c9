"""A slice that is run now stands beside the stored runs of its seed."""

import dataclasses

import pytest

from tl_helpers.experiments.stored import load_study
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.live import run_now


def test_a_slice_stands_beside_what_is_stored_and_tells_what_it_does():
    study, told = load_study("photos_from_emoji"), []
    live = run_now(study, 2, ["emoji", "photos_scaled"], seed=3, tell=told.append)
    stored = study.runs.query("budget == 2 and seed == 3").set_index("arm")["score"]
    assert live.index.tolist() == ["emoji", "photos_scaled"] and list(live) == ["label", "now", "stored"]
    assert live["stored"].tolist() == stored.loc[["emoji", "photos_scaled"]].tolist()
    assert live["now"].tolist() == pytest.approx(live["stored"].tolist(), abs=5)
    assert told == [f"{study.label('emoji')} (arm 1 of 2)", f"{study.label('photos_scaled')} (arm 2 of 2)"]


def test_the_tuned_rate_is_handed_on_and_the_main_comparison_is_what_runs(monkeypatch):
    study, asked = load_study("route_parallel_training"), []

    class Recorded:
        arms = STUDIES[study.name].arms

        def run(self, arm, value, seed, *, rate):
            asked.append((arm, value, seed, rate))
            return {"score": 50.0}

    monkeypatch.setattr("tl_helpers.studies.live.STUDIES", {study.name: Recorded()})
    assert run_now(study, 50)["now"].tolist() == [50.0, 50.0]
    assert asked == [(arm, 50, 0, study.rate(arm, 50)) for arm in study.compared]


def test_what_was_not_stored_is_refused():
    study = load_study("photos_from_emoji")
    with pytest.raises(ValueError, match="Of 'emoji' at 3 with seed 0 no run of 'photos_from_emoji' is stored"):
        run_now(study, 3, ["emoji"])
    with pytest.raises(ValueError, match="has no arm 'magic'"):
        run_now(study, 2, ["magic"])
    with pytest.raises(ValueError, match="'mine' is no study of the kit"):
        run_now(dataclasses.replace(study, name="mine"), 2)
