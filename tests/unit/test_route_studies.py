"""Every route's experiment runs, compares what it says it does, and gives all arms the same updates."""

import sys

import pytest

from tl_helpers.routes.taxonomy import ROUTES
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.study import Arm, Axis, Study

SEQUENTIAL = [route.study for route in ROUTES if route.order == "sequential"]
SIMULTANEOUS = [route.study for route in ROUTES if route.order == "simultaneous"]


@pytest.mark.parametrize("name", SEQUENTIAL + SIMULTANEOUS)
def test_every_route_has_its_study_and_its_comparison(name):
    study = STUDIES[name]
    (treatment, baseline), controls = study.compared, study.controls_of(study.compared[1])
    # To show that nothing happens takes thirty runs at each value: there are three.
    assert len(study.axis.values) == (5 if study.margin is None else 3)
    assert study.values_of(treatment) == study.values_of(baseline) == study.axis.values
    assert controls and all(len(study.values_of(control)) < 5 for control in controls)
    assert [study.arms[arm].role for arm in (treatment, baseline)] == ["transfer", "baseline"]
    assert {study.arms[control].role for control in controls} == {"baseline"}
    updates = [study.arms[control].settings.get("updates") for control in controls]
    own = sys.modules[study.function.__module__]
    assert not study.tuned or 4 * own.UPDATES in updates
    assert len(study.seeds) >= (8 if study.margin is None else 30) and len(study.tuning_seeds) >= 3 and study.chance > 5


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_every_sequential_route_has_a_body_that_learnt_nothing(name):
    assert any(arm.role == "control" and "random" in arm.label for arm in STUDIES[name].arms.values())


@pytest.mark.parametrize("name", [name for name in SIMULTANEOUS if STUDIES[name].tuned])
def test_treatment_and_baseline_run_with_the_same_updates(name):
    study = STUDIES[name]
    for arm in study.compared:
        settings = study.arms[arm].settings
        assert "updates" not in settings
        row = study.function(study.axis.values[0], 0, rate=1e-3, updates=3, **settings)
        assert 0 <= row["score"] <= 100 and row["updates"] == 3 and row["learning_rate"] == 1e-3


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_every_arm_has_a_label_and_settings_of_its_own(study):
    labels = [arm.label for arm in study.arms.values()]
    assert len(set(labels)) == len(labels)
    settings = [arm.settings for arm in study.arms.values()]
    assert all(one not in settings[number + 1 :] for number, one in enumerate(settings))


def test_what_an_arm_or_a_study_cannot_be_is_refused():
    with pytest.raises(ValueError, match="role must be one of transfer, baseline, control, fails, not 'winner'"):
        Arm("fine-tuning", "winner")
    axis, arms = Axis("labels", "labels per class", (5, 10)), {"scratch": Arm("from scratch", "baseline")}
    with pytest.raises(ValueError, match="'made_up' has no arm fine_tuning; it has scratch"):
        Study("made_up", print, arms, axis, (0, 1), compared=("fine_tuning", "scratch"))
    with pytest.raises(ValueError, match="has no arm magic"):
        Study("made_up", print, {"a": Arm("a", "baseline", check_of="magic")}, axis, (0, 1))
    with pytest.raises(ValueError, match="both choose rates and measure: 1"):
        Study("made_up", print, arms, axis, (0, 1), tuning_seeds=(1, 2))


def test_a_sparse_arm_runs_at_every_second_value_and_gets_its_settings():
    def function(labels, seed, *, rate, split, gain=0):
        return {"score": labels + gain, "seed": seed, "rate": rate, "split": split}

    arms = {"a": Arm("a", "baseline"), "b": Arm("b", "transfer", {"gain": 3}, sparse=True, check_of="a")}
    study = Study("made_up", function, arms, Axis("labels", "labels per class", (1, 2, 3)), (0,))
    assert study.values_of("a") == (1, 2, 3) and study.values_of("b") == (1, 3)
    assert study.controls_of("a") == ("b",) and study.controls_of("b") == () and study.tuned == ()
    assert study.run("b", 2, 0, rate=0.1) == {"score": 5, "seed": 0, "rate": 0.1, "split": "test"}
