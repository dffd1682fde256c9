"""A stored study knows its arms, its rates and how it is to be judged; a table of one's own is read without that."""

import numpy as np
import pandas as pd
import pytest

from tl_helpers.experiments.stored import load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.stored import save_study
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.make import describe_stored


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_what_is_stored_of_a_study_is_what_the_catalogue_says(study):
    told = load_study(study.name).provenance["spec"]["design"]
    assert told == study.design(), f"run tl_helpers.studies.make.describe_stored({study.name!r})"


def test_arms_axis_rates_and_controls_are_there():
    study = load_study("street_labels")
    assert study.arms["fine_tuning"].role == "transfer" and study.label("forest") == "a random forest on pixels"
    assert study.axis.unit == "labels per class" and study.axis.values == (5, 10, 20, 50, 200)
    assert study.controls_of("scratch") == ("scratch_longer",) and study.compared == ("fine_tuning", "scratch")
    used = study.runs.query("arm == 'fine_tuning' and budget == 20")["learning_rate"].unique()
    assert used.tolist() == [study.rate("fine_tuning", 20)] and used[0] in study.rates_offered
    assert not set(study.tuning_seeds) & set(study.runs["seed"]) and study.tuning_seeds
    with pytest.raises(ValueError, match="no rate for forest/20"):
        study.rate("forest", 20)
    with pytest.raises(ValueError, match="no arm 'magic'; it has forest"):
        study.label("magic")


def test_a_verdict_finds_controls_rates_and_chance_by_itself():
    study = load_study("street_labels")
    labels = {key: arm.label for key, arm in study.arms.items()}
    by_hand = transfer_verdict(
        study.runs.replace({"arm": labels}),
        labels["fine_tuning"],
        labels["scratch"],
        controls=[labels["scratch_longer"]],
        learning_rates=study.rates_offered,
        chance=study.chance,
    )
    found = transfer_verdict(study, "fine_tuning", "scratch")
    assert found.verdict == by_hand.verdict and found.table.equals(by_hand.table)
    assert [check.passed for check in found.checks] == [check.passed for check in by_hand.checks]
    assert labels["scratch_longer"] in str(found) and "labels per class" in found.sentence
    assert {check.passed for check in found.checks} <= {True, False}  # none is left unasked
    alone = transfer_verdict(study, "fine_tuning", "scratch", controls=())
    assert labels["scratch_longer"] not in str(alone)


def test_a_table_of_ones_own_is_read_without_a_design(tmp_path):
    scores = np.arange(10.0) + np.repeat([0, 3], 5)
    runs = pd.DataFrame({"arm": np.repeat(["b", "a"], 5), "budget": 5, "seed": [*range(5)] * 2, "score": scores})
    study = load_study(save_study(runs, tmp_path / "own.csv", command="make"))
    pd.testing.assert_frame_equal(study.runs, runs)
    assert study.label("a") == "a" and study.arms["a"].role is None and study.axis is None
    assert study.rates_offered is None and study.chance is None and study.metric == "score"
    assert "a" in transfer_verdict(study, "a", "b").sentence
    numbered = runs.assign(arm=np.repeat([1, 0], 5))
    study = load_study(save_study(numbered, tmp_path / "numbered.csv", command="make"))
    assert study.label(0) == "0" and transfer_verdict(study, 0, 1).table["difference"].tolist() == [8]


def test_describing_changes_the_words_and_no_run(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    path = save_study(load_study("street_rare").runs, tmp_path / "results/street_rare.csv", command="make")
    before = path.read_bytes()
    monkeypatch.setattr("tl_helpers.studies.make.data_folder", lambda: tmp_path)
    describe_stored("street_rare")
    assert path.read_bytes() == before and load_study(path).compared == ("estimated_prior", "as_is")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("street_labels", "(200 labels per class) to "),
        ("adapt_photos", "At “emoji → photographs, fruit or vegetable” one cannot tell"),
        ("freeze_rates", "At learning rate 0.03 one cannot tell"),
    ],
)
def test_a_verdict_on_a_stored_study_speaks_of_its_axis(name, words):
    study = load_study(name)
    sentence = transfer_verdict(study, *study.compared).sentence
    assert words in sentence and "budget 5" not in sentence


def test_a_control_that_is_itself_compared_is_no_control_of_its_own():
    study = load_study("street_labels")
    verdict = transfer_verdict(study, "scratch_longer", "scratch")
    assert not any("hold against" in check.question for check in verdict.checks)
