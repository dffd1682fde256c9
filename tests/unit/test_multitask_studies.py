"""Studies of several tasks: what is trained is what is measured, replay mixes half and half, forgetting is counted."""

import numpy as np
import pytest

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.street import load_street
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies import multitask as studies, street_runs


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    """A few updates on few pictures."""
    monkeypatch.setattr(studies, "UPDATES", 3)
    monkeypatch.setattr(studies, "street", lambda view, split: load_street(view, split, n=400))
    monkeypatch.setattr(studies, "REPLAYED", 300)


@pytest.fixture
def fits(monkeypatch):
    """Note what models are trained on, and do not train them."""
    calls = []

    def note(model, data, **settings):
        calls.append((model, *data, settings))

    for module in (studies, street_runs):
        monkeypatch.setattr(module, "fit_transfer", note)
    return calls


def test_every_weighting_starts_from_the_same_network_and_learns_the_same_scenes(monkeypatch):
    seen = {}

    def note(way):
        def fit(model, data, *_, **settings):
            seen[way] = [*data, *(model.get_layer(name).get_weights()[0] for name in ("conv1", "head_mask"))]
            assert settings["updates"] == 3 and settings["batch_size"] == 16 and settings["seed"] == 0

        return fit

    monkeypatch.setattr(street_runs, "fit_transfer", note("fit_transfer"))
    monkeypatch.setattr(street_runs, "fit_pcgrad", note("fit_pcgrad"))
    rows = [studies.task_weighting(20, 0, rate=1e-3, weighting=arm) for arm in ("uncertainty", "pcgrad", "static")]
    for one, other in zip(seen["fit_transfer"], seen["fit_pcgrad"], strict=True):
        np.testing.assert_array_equal(one, other)
    for row in rows:
        assert row["score"] == pytest.approx((row["class"] + row["box"] + row["mask"]) / 3)


def test_all_three_weightings_train():
    for arm in ("static", "uncertainty", "pcgrad"):
        row = studies.task_weighting(20, 0, rate=1e-3, weighting=arm)
        assert 0 <= row["score"] <= 100 and row["updates"] == 3


def test_nothing_is_forgotten_before_and_all_that_is_lost_afterwards():
    before = studies.forgetting_garments(5, 0)
    assert before["forgotten"] == 0 and before["updates"] == 0
    after = studies.forgetting_garments(5, 0, way="fine_tuning", learning_rate=0.03)
    assert after["forgotten"] == pytest.approx(before["source"] - after["source"]) and after["forgotten"] > 5
    assert after["learning_rate"] == 0.03


def test_replay_is_half_line_drawings_half_photographs(fits):
    sketches = sample_budget(load_street("sketch", "target"), 5, seed=0)
    model = load_source_model("street_garments")
    studies.learn_sketches(model, sketches, "replay", 1e-3, seed=0)
    studies.learn_sketches(model, sketches, "fine_tuning", 1e-3, seed=0)
    studies.learn_sketches(model, sketches, "linear_probing", 1e-3, seed=0)
    (_, x, y, replay), (_, plain_x, _, plain), (*_, probe) = fits
    assert len(x) == 600 and replay["batch_size"] == 2 * plain["batch_size"]
    half = {picture.tobytes() for picture in x[:300]}
    assert half == {picture.tobytes() for picture in sketches.x} == {picture.tobytes() for picture in plain_x}
    assert np.bincount(y[:300]).tolist() == [30] * 10
    source = {picture.tobytes() for picture in load_street("photo", "source", n=400).x}
    assert {picture.tobytes() for picture in x[300:]} <= source
    assert (replay["strategy"], plain["strategy"], probe["strategy"]) == (
        "fine_tuning",
        "fine_tuning",
        "linear_probing",
    )


def test_replay_and_fine_tuning_are_tried_at_the_same_rates():
    (study,) = (study for study in studies.STUDIES if study.name == "forgetting_garments")
    ways = [(arm.settings["way"], arm.settings["learning_rate"]) for arm in study.arms.values() if arm.settings]
    assert {way for way, _ in ways} == {"linear_probing", "fine_tuning", "replay"}
    assert {rate for way, rate in ways if way == "replay"} == {rate for way, rate in ways if way == "fine_tuning"}
