"""Studies of reused features: splits share nothing, baselines are what they say, and planted features are found."""

import functools

import numpy as np
import pytest

from tl_helpers.datasets.emoji import EMOJI_STYLES
from tl_helpers.datasets.photos import load_photos
from tl_helpers.experiments.stored import load_study
from tl_helpers.studies import features as studies, frozen_features
from tl_helpers.studies.catalogue import STUDIES


def one_hot(y):
    return np.eye(14)[y]  # no label set has more than 13 labels; -1, no label, has the last column


@pytest.fixture
def plant(monkeypatch):
    """Let a test decide what the features of each set of pictures are, at every stage and for every kind of weights."""

    def planted(features):
        def features_of(name, weights):
            return dict.fromkeys(studies.STAGES, features(name))

        monkeypatch.setattr(studies, "features_of", features_of)

    return planted


def noise(name):
    seed = [*EMOJI_STYLES, "photos"].index(name)
    return np.random.default_rng(seed).normal(size=(len(studies.pictures_of(name)), 40))


@pytest.mark.parametrize("target", studies.TARGETS)
@pytest.mark.parametrize("fold", [0, 7])
def test_no_picture_and_no_concept_is_in_two_splits(target, fold):
    seen = {}
    for split in ("train", "validation", "test"):
        parts, y = studies.TARGETS[target](fold, split)
        rows = np.concatenate([rows for _, rows in parts])
        assert len(rows) == len(y) > 0
        seen[split] = set(rows.tolist())
    assert not (seen["train"] & seen["test"] or seen["train"] & seen["validation"] or seen["validation"] & seen["test"])


def test_chance_is_one_by_the_number_of_classes():
    assert set(studies.CHANCE) == set(studies.TARGETS)
    for target, chance in studies.CHANCE.items():
        _, y = studies.TARGETS[target](0, "train")
        assert chance == pytest.approx(100 / len(np.unique(y)))


def test_each_concept_shows_its_style_once():
    parts, y = studies.TARGETS["style of an emoji"](3, "train")
    rows = np.concatenate([rows for _, rows in parts])
    assert len(set(rows.tolist())) == len(rows) and [name for name, _ in parts] == list(EMOJI_STYLES)
    assert y.tolist() == [number for number, (_, rows) in enumerate(parts) for _ in rows]


@pytest.mark.parametrize(
    ("name", "colour"),
    [("tomato", "red"), ("banana", "orange or yellow"), ("broccoli", "green"), ("blueberries", "blue or violet")],
)
def test_the_main_colour_is_what_one_sees(name, colour):
    names = [text.split(",")[0] for text in studies.pictures_of("noto").texts]
    assert studies.COLOURS[studies.main_colours()[names.index(name)]] == colour


def test_pixels_are_averages_of_squares():
    x = np.zeros((2, 32, 32, 3), "uint8")
    x[1, 0:2, 2:4] = 100
    small = frozen_features.pixels(x).reshape(2, 16, 16, 3)
    assert small[1, 0, 1].tolist() == [100, 100, 100] and small.sum() == 300


def test_retrieval_finds_what_is_the_same_but_for_each_features_scale_and_shift():
    random = np.random.default_rng(0)
    queries = random.normal(size=(60, 10))
    order = random.permutation(60)
    gallery = queries[order] * random.uniform(0.1, 10, 10) + random.normal(size=10)
    found = studies.retrieve(queries, gallery, count=3)
    np.testing.assert_array_equal(order[found[:, 0]], np.arange(60))
    assert found.shape == (60, 3)


def test_planted_labels_are_read_perfectly_and_noise_at_chance(plant):
    labels = {name: one_hot(studies.pictures_of(name).y) for name in ("noto", "photos")}
    plant(labels.get)
    assert studies.layer_probes("group of an emoji", 0, weights="imagenet", stage="block3") == {
        "score": 100.0,
        "chance": 12.5,
    }
    assert studies.layer_probes("family in a photograph", 1, weights="pixels")["score"] == 100.0
    plant(noise)
    probe_of_nothing = functools.partial(studies.layer_probes, "group of an emoji", weights="random", stage="stem")
    scores = [probe_of_nothing(seed)["score"] for seed in range(10)]
    assert np.mean(scores) == pytest.approx(12.5, abs=4)


def test_planted_attributes_are_read_and_noise_ranks_at_random(plant):
    plant({"noto": studies.attribute_table().astype(float)}.get)
    result = studies.feature_tasks("attributes of emoji", 0, weights="imagenet")
    assert result["score"] > 99 and result["chance"] == 50
    plant(noise)
    scores = [studies.feature_tasks("attributes of emoji", seed, weights="pixels")["score"] for seed in range(10)]
    assert np.mean(scores) == pytest.approx(50, abs=6)


def test_retrieval_tasks_find_planted_pairs_and_families_and_else_do_as_chance_says(plant):
    plant(lambda name: noise("noto"))
    result = studies.feature_tasks("retrieval: Twemoji to Noto", 0, weights="imagenet")
    assert result["score"] == 100 and result["chance"] == pytest.approx(0.2)
    plant(noise)
    assert studies.feature_tasks("retrieval: line art to Noto", 0, weights="imagenet")["score"] < 3
    results = [studies.feature_tasks("retrieval: emoji to photograph", seed, weights="imagenet") for seed in range(10)]
    assert np.mean([each["score"] - each["chance"] for each in results]) == pytest.approx(0, abs=2)
    families = {"noto": one_hot(studies.family_of_emoji()), "photos": one_hot(studies.pictures_of("photos").y)}
    plant(families.get)
    assert studies.feature_tasks("retrieval: emoji to photograph", 0, weights="imagenet")["score"] > 85


def test_attributes_are_read_from_keywords():
    names = [text.split(",")[0] for text in studies.pictures_of("noto").texts]
    table = dict(zip(names, studies.attribute_table(), strict=True))
    attributes = list(studies.ATTRIBUTES)
    for name, attribute in [("taxi", "has wheels"), ("parrot", "is a bird or an aircraft"), ("cookie", "is a dessert")]:
        assert np.array(attributes)[table[name]].tolist() == [attribute]


def test_the_shortcut_from_the_family_is_worth_what_the_counts_say():
    family = dict(zip(studies.pictures_of("photos").ids, studies.pictures_of("photos").y, strict=True))
    train, test = (load_photos(split, fold=2, labels="scene") for split in ("train", "test"))
    expected, everywhere = [], train.y.tolist()
    for label in np.unique(test.y):
        hits = []
        for name in test.ids[test.y == label]:
            scenes = [y for y, other in zip(train.y, train.ids, strict=True) if family[other] == family[name]]
            hits.append(max(sorted(set(scenes or everywhere)), key=(scenes or everywhere).count) == label)
        expected.append(np.mean(hits))
    assert studies.scene_from_family(2) == pytest.approx(100 * np.mean(expected))


def test_wrong_preparations_are_as_named():
    pixel = np.array([[[[0, 127, 255]]]], "uint8")
    prepared = {name: prepare(pixel).ravel().tolist() for name, prepare in studies.PREPARATIONS.items()}
    assert prepared["as declared"] == [0, 127, 255] and prepared["blue and red swapped"] == [255, 127, 0]
    assert prepared["0 to 1 instead of 0 to 255"] == pytest.approx([0, 127 / 255, 1])
    assert prepared["scaled twice"] == pytest.approx([-127 / 128, 0, 1])
    assert prepared["mean subtracted first"] == pytest.approx([-123.68, 10.22, 151.06], abs=1e-4)


def test_the_random_backbone_is_a_fair_one():
    """Its activations neither die out nor explode on the way, and it is not the trained one."""
    from tl_helpers.models.feature_maps import activation_maps

    x = studies.pictures_of("noto").x[1:40:4]
    maps = activation_maps(studies.backbone_with("random"), x)
    assert all(0.1 < each.std() < 10 for each in maps.values())
    trained = studies.backbone_with("imagenet").model.get_layer("stem_conv").get_weights()[0]
    random = studies.backbone_with("random").model.get_layer("stem_conv").get_weights()[0]
    assert np.abs(trained - random).max() > 0.1


@pytest.mark.parametrize(
    ("study", "arm", "budget"),
    [
        ("feature_tasks", "pixels", "classification: groups of emoji"),
        ("layer_probes", "pixels", "family in a photograph"),
        ("network_similarity", "source, untrained", "conv4"),
    ],
)
def test_stored_runs_come_out_again(study, arm, budget):
    stored = load_study(study).runs.set_index(["arm", "budget", "seed"]).loc[(arm, budget, 3)]
    again = STUDIES[study].run(arm, budget, 3)
    for name in again:
        assert again[name] == pytest.approx(stored[name], abs=0.5)
