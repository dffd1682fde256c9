"""Every route's experiment runs, compares what it says it does, and gives all arms the same updates."""

import numpy as np
import pytest

from tl_helpers.datasets import collections
from tl_helpers.datasets.street import load_street
from tl_helpers.routes.taxonomy import ROUTES
from tl_helpers.studies import routes as route_studies
from tl_helpers.studies.catalogue import ROUTE_STUDIES


@pytest.fixture(autouse=True)
def few_updates(monkeypatch):
    monkeypatch.setattr(route_studies, "UPDATES", 3)


def test_every_route_has_its_study_and_its_comparison():
    assert [route.study for route in ROUTES] == list(route_studies.COMPARISONS)
    for name, (treatment, baseline, controls, _) in route_studies.COMPARISONS.items():
        study = ROUTE_STUDIES[name]
        assert {treatment, baseline, *controls} <= set(study.tuned) and len(study.budgets) == 5
        assert len(study.seeds) >= 5 and study.budgets_of(treatment) == study.budgets_of(baseline) == study.budgets
        assert f"{baseline}_longer" in controls and set(controls) <= set(study.checks)
        roles = [route_studies.role_of(arm) for arm in (treatment, baseline, *controls)]
        assert roles == ["transfer", *["baseline"] * (1 + len(controls))]


@pytest.mark.parametrize("name", route_studies.COMPARISONS)
def test_treatment_and_baseline_run_with_the_same_updates(name):
    study = ROUTE_STUDIES[name]
    treatment, baseline, *_ = route_studies.COMPARISONS[name]
    rows = [study.function(arm, study.budgets[0], 0, rate=1e-3, split="test") for arm in (treatment, baseline)]
    for row in rows:
        assert 0 <= row["score"] <= 100 and row["updates"] == 3 and row["learning_rate"] == 1e-3
    assert route_studies._updates(f"{baseline}_longer") == 12


def test_a_source_of_shuffled_labels_is_a_control():
    assert route_studies.role_of("fine_tuning_random_source") == "control"
    assert route_studies.role_of("own_stems") == route_studies.role_of("merged_70") == "transfer"


def test_scraped_thumbnails_have_lost_their_detail():
    scraped = collections.scraped_thumbnails(0)
    assert scraped.x.shape == (collections.SCRAPED, 28, 28, 1)
    blocks = scraped.x.reshape(-1, 14, 2, 14, 2)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert not set(scraped.ids) & set(load_street("photo", "target").ids)


def test_a_garment_is_asked_for_garments_and_a_digit_for_parity():
    import keras

    logits = np.zeros((2, 12), "float32")
    loss = keras.ops.convert_to_numpy(route_studies._own_question(np.array([3, 11]), logits))
    np.testing.assert_allclose(loss, [np.log(10), np.log(2)], rtol=1e-5)


def test_the_two_collections_of_digits_are_apart_and_complete():
    for parts in route_studies.two_digit_collections().values():
        for x, y in parts.values():
            assert x.shape[1:] == (28, 28, 1) and x.dtype == "uint8" and set(y) == set(range(10))


def test_every_compared_arm_has_a_name_of_its_own():
    for treatment, baseline, controls, _ in route_studies.COMPARISONS.values():
        names = [route_studies.ARM_NAMES[arm] for arm in (treatment, baseline, *controls)]
        assert len(set(names)) == len(names)
