"""The stored studies are complete, honest about rates and budgets, and their runs can be made again."""

import itertools
import json

import numpy as np
import pytest

from tl_helpers.datasets.dataset import keep_classes, with_wrong_labels
from tl_helpers.datasets.street import load_street
from tl_helpers.experiments.stored import load_study
from tl_helpers.files import read_verified
from tl_helpers.grid.stored import study_provenance
from tl_helpers.studies import catalogue as studies
from tl_helpers.studies.emoji import predict_photos
from tl_helpers.studies.street import rare_shares, shrink_to_colour


@pytest.fixture(params=sorted(studies.STUDIES))
def name(request):
    return request.param


def test_every_combination_was_run_once_and_the_scores_make_sense(name):
    study, runs = studies.STUDIES[name], load_study(name).runs
    found = list(zip(runs["arm"], runs["budget"], runs["seed"], strict=True))
    assert sorted(found) == sorted((a, b, s) for a in study.arms for b in study.values_of(a) for s in study.seeds)
    assert runs["score"].between(0, 100).all() and len(study.seeds) >= 5


def test_every_tuned_arm_has_its_own_rate_from_the_offer(name):
    study, spec, runs = studies.STUDIES[name], study_provenance(name)["spec"], load_study(name).runs
    expected = {f"{arm}/{budget}" for arm in study.tuned for budget in study.values_of(arm)}
    chosen = spec.get("tuning", {}).get("tuned_at", {arm: study.values_of(arm) for arm in study.tuned})
    tried = {f"{arm}/{budget}" for arm, budgets in chosen.items() for budget in budgets}
    assert set(spec["rates"]) == expected and {spec["rates"][key] for key in tried} <= set(spec["rates_offered"])
    for between in expected - tried:
        assert min(spec["rates_offered"]) < spec["rates"][between] < max(spec["rates_offered"])
    assert set(spec["rates_offered"]) >= (set(study.rates) if study.tuned else set())
    for (arm, budget), rows in runs[runs["arm"].isin(study.tuned)].groupby(["arm", "budget"]):
        assert set(rows["learning_rate"]) == {spec["rates"][f"{arm}/{budget}"]}


def test_rates_tuned_by_the_rule_of_today_lie_inside_and_are_smooth(name):
    """Studies made before are on the way to it: they have no record of how many runs chose."""
    study, provenance = studies.STUDIES[name], study_provenance(name)["spec"]
    if not provenance.get("tuning", {}).get("runs"):
        pytest.skip("nothing is tuned, or it was before this rule")
    rates, offered = provenance["rates"], sorted(provenance["rates_offered"])
    assert provenance["rates_at_edge"] == [] and len(load_study(name).tuning_seeds) >= 3
    assert provenance["tuning"]["tuned_at"] == {arm: list(study.tuning_values(arm)) for arm in study.tuned}
    for arm, values in provenance["tuning"]["tuned_at"].items():
        places = [offered.index(rates[f"{arm}/{value}"]) for value in values]
        assert not study.is_smooth or all(abs(a - b) <= 1 for a, b in itertools.pairwise(places))


def test_all_arms_get_the_same_updates_save_those_named_longer(name):
    study, runs = studies.STUDIES[name], load_study(name).runs
    if not study.tuned:
        pytest.skip("no arm of this study is trained by gradient")
    trained = runs[runs["arm"].isin(study.tuned)]
    longer = trained["arm"].map({arm: "updates" in study.arms[arm].settings for arm in study.tuned})
    for _, rows in trained[~longer].groupby("budget"):
        assert rows["updates"].nunique() == 1
        assert (
            trained[longer & (trained["budget"] == rows["budget"].iloc[0])]["updates"] == 4 * rows["updates"].iloc[0]
        ).all()


@pytest.mark.parametrize(("arm", "budget"), [("as_is", 10), ("known_prior", 10), ("estimated_prior", 50)])
def test_stored_runs_come_out_again(arm, budget):
    stored = load_study("street_rare").runs.set_index(["arm", "budget", "seed"])["score"]
    assert studies.STUDIES["street_rare"].run(arm, budget, 3)["score"] == pytest.approx(stored[arm, budget, 3], abs=0.5)


def test_a_stored_fine_tuning_run_comes_out_again_within_the_spread_of_its_seeds():
    runs = load_study("street_labels").runs
    stored = runs[(runs["arm"] == "fine_tuning") & (runs["budget"] == 5)].set_index("seed")
    again = studies.STUDIES["street_labels"].run("fine_tuning", 5, 0, rate=stored["learning_rate"].iloc[0])
    assert again["score"] == pytest.approx(stored["score"][0], abs=3 * stored["score"].std())


def test_the_source_models_are_as_good_as_stored():
    from tl_helpers.models.source_models import SOURCE_MODELS, load_source_model
    from tl_helpers.training.evaluation import accuracy

    stored = json.loads(read_verified("weights/street_models.json"))
    assert set(stored) == set(SOURCE_MODELS)
    for name, (input_shape, labels) in SOURCE_MODELS.items():
        test = load_street("photo", "test", labels=labels, colour=input_shape[-1] == 3)
        assert accuracy(load_source_model(name), test) == pytest.approx(stored[name]["test_accuracy"], abs=0.002)


def test_rare_shares_have_the_ratio_asked_for():
    shares = rare_shares(50, 10, np.random.default_rng(0))
    assert shares.sum() == pytest.approx(1) and shares.max() / shares.min() == pytest.approx(50)
    np.testing.assert_allclose(rare_shares(1, 4, np.random.default_rng(0)), 0.25)


def test_shrinking_averages_and_repeats():
    data = load_street("photo", "test", n=2, size=56)
    small = shrink_to_colour(data)
    assert small.x.shape == (2, 28, 28, 3) and (small.x[..., 0] == small.x[..., 2]).all()
    assert small.x[0, 3, 4, 0] == np.round(data.x[0, 6:8, 8:10].mean())


def test_keeping_classes_numbers_them_anew():
    data = load_street("plain", "test", n=200)
    kept = keep_classes(data, ("bag", "coat"))
    assert kept.label_names == ("bag", "coat") and len(kept) == np.isin(data.y, [4, 8]).sum()
    assert (data.y[np.isin(data.ids, kept.ids)] == np.array([8, 4])[kept.y]).all()
    with pytest.raises(ValueError, match="no class 'hat'"):
        keep_classes(data, ("hat",))


PHOTOS_FROM_EMOJI = studies.STUDIES["photos_from_emoji"].arms


@pytest.mark.parametrize("arm", PHOTOS_FROM_EMOJI)
def test_every_way_to_use_the_emoji_separates_what_is_separable(arm):
    random = np.random.default_rng(0)
    centres = np.array([[3.0, 0.0], [-3.0, 0.0]])
    labels = np.repeat([0, 1], 30)
    photos, emoji = (centres[labels] + 0.1 * random.normal(size=(60, 2)) for _ in range(2))
    predicted = predict_photos(
        (emoji, labels), (photos[::6], labels[::6]), photos, photos, **PHOTOS_FROM_EMOJI[arm].settings
    )
    assert (predicted == labels).all()


def test_standardising_per_domain_undoes_a_shift_that_fools_the_plain_classifier():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    emoji = np.stack([6.0 * labels - 3, np.zeros(60)], 1) + 0.3 * random.normal(size=(60, 2))
    photos = emoji + np.array([20.0, 0.0])
    arguments = ((emoji, labels), (photos[::6], labels[::6]), photos, photos)
    assert (predict_photos(*arguments, train_on=["emoji"]) == labels).mean() == 0.5
    assert (predict_photos(*arguments, train_on=["emoji"], per_domain=True) == labels).all()


def test_wrong_labels_are_as_many_as_asked_for_and_all_wrong():
    data = load_street("plain", "test", n=200)
    spoilt = with_wrong_labels(data, 0.3, seed=0)
    wrong = spoilt.y != data.y
    assert wrong.sum() == 60 and set(spoilt.y) <= set(range(10)) and (spoilt.x == data.x).all()
    assert (with_wrong_labels(data, 0.3, seed=0).y == spoilt.y).all()
    # Each of the nine other classes is equally likely: none takes more than a third of 60.
    assert np.bincount((spoilt.y - data.y)[wrong] % 10, minlength=10).max() < 20
    with pytest.raises(ValueError, match="0…1"):
        with_wrong_labels(data, 1.5, seed=0)
