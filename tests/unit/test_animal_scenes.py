"""Scenes hold one animal with its box; arms differ in what they say; nothing that measures was seen before."""

import itertools

import numpy as np
import pytest

from tl_helpers.datasets.animal_scenes import compose_animal_scenes, crop_things, load_animal_scenes
from tl_helpers.models.boxes import box_iou
from tl_helpers.models.heads import add_box_head, add_hidden_convolution
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies import animal_scenes as study_of_scenes
from tl_helpers.training.freezing import freeze

(STUDY,) = study_of_scenes.STUDIES


@pytest.fixture(scope="module")
def composed():
    return compose_animal_scenes("train", n=20, seed=3, fold=1)


@pytest.fixture(scope="module")
def small_runs():
    """Make runs of a second: few scenes, and a source that has hardly learned."""
    caches = [study_of_scenes.scenes_of, study_of_scenes.maps_of, study_of_scenes.source_of]
    for each in caches:
        each.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SCENES": 12, "HELD_OUT": 8, "SOURCE_SCENES": 30, "SOURCE_UPDATES": 2}.items():
            patch.setattr(study_of_scenes, name, value)
        patch.setattr(study_of_scenes, "kept", lambda: None)
        yield
    for each in caches:
        each.cache_clear()


def test_a_scene_holds_one_animal_in_its_box_and_two_things_beside_it(composed):
    scenes, boxes, y, ids = composed
    assert scenes.x.shape == (20, 96, 96, 3) and boxes.shape == (20, 3, 4) and y.shape == ids.shape == (20, 3)
    animal = scenes.label_names.index("animal")
    assert (y[:, 0] == animal).all() and (y[:, 1:] != animal).all() and (scenes.y == animal).all()
    np.testing.assert_array_equal(scenes.boxes, boxes[:, 0])
    sizes = boxes[..., 2:] - boxes[..., :2]
    assert boxes.min() >= 0 and boxes.max() <= 96 and sizes.max(axis=2).min() >= 20 and sizes.max() <= 34
    for mask, (left, top, right, bottom) in zip(scenes.masks, scenes.boxes.astype(int), strict=True):
        assert mask.any() and mask.sum() == mask[top:bottom, left:right].sum()


def test_two_things_hardly_overlap(composed):
    for one, other in itertools.combinations(range(3), 2):
        a, b = composed.boxes[:, one], composed.boxes[:, other]
        shared = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
        smaller = np.minimum(*((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)))
        assert (shared <= 0.1 * smaller).all()


def test_scenes_are_repeated_by_their_arguments_and_a_few_are_the_first_of_many(composed):
    few = load_animal_scenes("train", n=5, seed=3, fold=1)
    for name in ("x", "boxes", "masks", "ids"):
        np.testing.assert_array_equal(getattr(few, name), getattr(composed.scenes, name)[:5])
    for other in ({"seed": 4, "fold": 1}, {"seed": 3, "fold": 2}):
        assert (load_animal_scenes("train", n=5, **other).x != few.x).any(axis=(1, 2, 3)).all()


def test_splits_share_no_concept():
    ids = {
        split: set(compose_animal_scenes(split, n=60, fold=2).ids.ravel()) for split in ("train", "validation", "test")
    }
    assert (
        not ids["train"] & ids["test"] and not ids["train"] & ids["validation"] and not ids["validation"] & ids["test"]
    )


def test_what_cannot_be_composed_is_refused():
    with pytest.raises(ValueError, match="split must be one of 'train', 'validation', 'test', not 'all'"):
        load_animal_scenes("all", n=1)
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        load_animal_scenes(n=0)


def test_crops_are_cut_from_scenes_around_each_thing(composed):
    crops = crop_things(composed)
    assert crops.x.shape == (60, 48, 48, 3) and set(composed.y.ravel()) == set(crops.y)
    for number in (0, 17, 59):
        scene, thing = divmod(number, 3)
        assert crops.y[number] == composed.y[scene, thing] and crops.ids[number] == composed.ids[scene, thing]
        windows = np.lib.stride_tricks.sliding_window_view(composed.scenes.x[scene], (48, 48), axis=(0, 1))
        places = np.argwhere((windows == crops.x[number].transpose(2, 0, 1)).all(axis=(2, 3, 4)))
        left, top, right, bottom = composed.boxes[scene, thing]
        assert any(y <= top and bottom <= y + 48 and x <= left and right <= x + 48 for y, x in places)


def test_the_source_sees_no_concept_that_measures_or_chooses_and_no_scene_that_is_learned_from():
    crops = study_of_scenes.source_crops(4, n=60)
    for split in ("validation", "test"):
        assert not set(crops.ids) & set(compose_animal_scenes(split, n=60, fold=4).ids.ravel())
    seeds = {*STUDY.seeds, *STUDY.tuning_seeds}
    assert (
        study_of_scenes.SOURCE_SEED not in seeds and len({seed % 10 for seed in STUDY.seeds}) == len(STUDY.seeds) == 8
    )


def test_boxes_are_measured_exactly():
    boxes = np.zeros((4, 3, 4), "float32")
    boxes[:, 0], boxes[:, 1], boxes[:, 2] = [10, 10, 30, 30], [50, 50, 70, 70], [28, 10, 48, 30]
    found = np.array([[10, 10, 30, 30], [10, 10, 30, 20], [50, 50, 70, 70], [80, 80, 96, 96]], "float32")
    row = study_of_scenes.measure_boxes(found, boxes)
    assert row == {"score": 37.5, "hit_rate": 50.0, "centre": 50.0, "distractor": 25.0}
    # Where an animal covers a distractor, its centre counts for the animal.
    both = study_of_scenes.measure_boxes(np.array([[19, 10, 39, 30]], "float32"), boxes[:1])
    assert both["centre"] == 100 and both["distractor"] == 0


def test_chance_is_the_best_single_box():
    true = compose_animal_scenes("test", n=150, fold=5).scenes.boxes
    halves, middles = (8, 11, 14, 17, 20), (42, 48, 54)
    constant = [[x - half, y - half, x + half, y + half] for half in halves for x in middles for y in middles]
    best = max(box_iou(np.tile(box, (len(true), 1)), true).mean() for box in constant)
    assert 100 * best == pytest.approx(study_of_scenes.CHANCE, abs=1.5)


def test_arms_differ_in_what_their_names_say():
    settings = {key: arm.settings for key, arm in STUDY.arms.items()}
    assert settings["scratch_longer"] == settings["scratch"] | {"updates": 4 * study_of_scenes.UPDATES}
    assert settings["random_lite0"] == settings["lite0"] | {"source": "random"}
    assert STUDY.arms["random_lite0"].role == "control" and STUDY.compared == ("crops", "scratch")


def test_a_hidden_layer_belongs_to_the_head_and_is_there_only_if_asked_for():
    body = small_cnn_body((96, 96, 3), seed=0)
    model = add_box_head(add_hidden_convolution(body, 8, seed=0), seed=0)
    assert model.output_shape == (None, 12, 12, 5) and model.get_layer("head_hidden").filters == 8
    freeze(model, upto="conv4")
    assert {layer.name for layer in model.layers if layer.trainable_weights} == {"head_hidden", "head"}
    plain = add_box_head(body, seed=0)
    assert [layer.name for layer in plain.layers if layer.name.startswith("head")] == ["head"]


@pytest.mark.parametrize("key", ["scratch", "lite0"])
def test_an_arm_runs_with_the_updates_it_is_told(small_runs, key):
    settings = STUDY.arms[key].settings | {"updates": 2}
    row = study_of_scenes.task_adaptation(10, 0, rate=1e-3, split="validation", **settings)
    assert row["updates"] == 2 and row["learning_rate"] == 1e-3
    assert set(row) == {"learning_rate", "updates", "score", "hit_rate", "centre", "distractor"}
    assert all(0 <= row[name] <= 100 for name in ("score", "hit_rate", "centre", "distractor"))


def test_a_run_is_repeated_exactly_and_leaves_its_source_alone(small_runs):
    before = [weight.copy() for weight in study_of_scenes.source_of(0).model.get_weights()]
    settings = STUDY.arms["crops"].settings | {"updates": 3, "rate": 1e-2}
    rows = [study_of_scenes.task_adaptation(10, 0, **settings) for _ in range(2)]
    assert rows[0] == rows[1]
    for old, new in zip(before, study_of_scenes.source_of(0).model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
