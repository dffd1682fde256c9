"""Scenes hold one of six mammals in its box; arms differ in what they say; what measures was not seen before."""

import numpy as np
import pytest
from hypothesis import given, strategies as some

from tl_helpers.datasets.mammal_scenes import compose_mammal_scenes, load_mammal_scenes, place_apart
from tl_helpers.models.boxes import box_iou
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies import mammal_scenes as study
from tl_helpers.training.multitask import add_scene_heads

(STUDY,) = study.STUDIES


@pytest.fixture(scope="module")
def composed():
    return compose_mammal_scenes(20, seed=3)


@pytest.fixture
def few_scenes(monkeypatch):
    """Make runs of a second."""
    caches = study.labelled_scenes, study.measured_scenes
    for each in caches:
        each.cache_clear()
    monkeypatch.setattr(study, "SCENES", (12,))
    monkeypatch.setattr(study, "MEASURED", 12)
    yield
    for each in caches:
        each.cache_clear()


# ---------------------------------------------------------------- the scenes


def test_a_scene_holds_one_of_six_mammals_in_its_box_and_two_things_beside_it(composed):
    scenes, boxes, ids = composed
    assert scenes.x.shape == (20, 64, 64, 3) and boxes.shape == (20, 3, 4) and ids.shape == (20, 3)
    assert scenes.y.tolist() == [*range(6), *range(6), *range(6), 0, 1] and len(set(scenes.label_names)) == 6
    assert len(set(scenes.ids)) == 6 and not set(scenes.ids) & set(ids[:, 1:].ravel())
    np.testing.assert_array_equal(scenes.boxes, boxes[:, 0])
    sizes = boxes[..., 2:] - boxes[..., :2]
    assert boxes.min() >= 0 and boxes.max() <= 64 and sizes.max(axis=2).min() >= 18 and sizes.max() <= 28
    for mask, (left, top, right, bottom) in zip(scenes.masks, scenes.boxes.astype(int), strict=True):
        assert mask.any() and mask.sum() == mask[top:bottom, left:right].sum()


def test_no_two_boxes_of_a_scene_overlap(composed):
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert box_iou(composed[1][:, one], composed[1][:, other]).max() == 0


@given(some.lists(some.tuples(some.integers(1, 12), some.integers(1, 12)), min_size=1, max_size=3), some.integers(0))
def test_things_are_placed_inside_and_apart(sizes, seed):
    corners = place_apart(sizes, 40, np.random.default_rng(seed))
    drawn = np.zeros((40, 40), int)
    for (left, top), (width, height) in zip(corners, sizes, strict=True):
        drawn[top : top + height, left : left + width] += 1
    assert drawn.max() == 1 and drawn.sum() == sum(width * height for width, height in sizes)


def test_scenes_are_repeated_by_their_arguments_and_a_few_are_the_first_of_many(composed):
    few = load_mammal_scenes(5, seed=3)
    for name in ("x", "y", "boxes", "masks", "ids"):
        np.testing.assert_array_equal(getattr(few, name), getattr(composed[0], name)[:5])
    for other in ({"seed": 4}, {"seed": 3, "pool": "validation"}, {"seed": 3, "series": "measured"}):
        assert (load_mammal_scenes(5, **other).x != few.x).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("pool", ["validation", "test"])
def test_scenes_that_measure_show_the_same_mammals_beside_other_things(pool):
    labelled, _, beside = compose_mammal_scenes(60, seed=2, pool=pool)
    measured, _, others = compose_mammal_scenes(60, seed=2, pool=pool, series="measured")
    assert labelled.label_names == measured.label_names and set(labelled.ids) == set(measured.ids)
    assert not set(beside[:, 1:].ravel()) & set(others[:, 1:].ravel())
    assert not {scene.tobytes() for scene in labelled.x} & {scene.tobytes() for scene in measured.x}


def test_scenes_that_choose_and_scenes_that_measure_have_no_mammal_in_common():
    choose, measure = (
        {name for seed in seeds for name in load_mammal_scenes(6, seed=seed, pool=pool).ids}
        for seeds, pool in ((STUDY.tuning_seeds, "validation"), (STUDY.seeds, "test"))
    )
    assert choose and measure and not choose & measure


def test_what_cannot_be_composed_is_refused():
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        load_mammal_scenes(0, seed=0)
    with pytest.raises(ValueError, match="series must be one of"):
        load_mammal_scenes(1, seed=0, series="test")
    with pytest.raises(ValueError, match="pool must be one of"):
        load_mammal_scenes(1, seed=0, pool="train")


# ---------------------------------------------------------------- where a classifier looks


def test_gaze_is_what_lies_in_the_box():
    scores, boxes = np.zeros((3, 2, 2)), np.array([[0, 0, 8, 8], [0, 0, 16, 8], [5, 5, 12, 16]], "float32")
    # Of equal weights a quarter a cell; middles lie at 4 and 12, and a right or bottom end is outside.
    np.testing.assert_allclose(study.gaze_on_boxes(scores, boxes, cell=8), [0.25, 0.5, 0])
    scores[0, 0, 0], scores[1, 1, 1], scores[2, 0, 0] = np.log(9), 100, 5
    np.testing.assert_allclose(study.gaze_on_boxes(scores, boxes, cell=8), [0.75, 0, 0], atol=1e-12)


def test_the_gaze_of_a_model_follows_its_box_scores(composed):
    scenes, model = composed[0], add_scene_heads(small_cnn_body((64, 64, 3), seed=0), 6, seed=0)
    kernel, bias = model.get_layer("head_box").get_weights()
    model.get_layer("head_box").set_weights([0 * kernel, bias])
    middles = (np.arange(8) + 0.5) * 8
    left, top, right, bottom = scenes.boxes.T[..., None]
    inside = ((left <= middles) & (middles < right)).sum(1) * ((top <= middles) & (middles < bottom)).sum(1)
    assert study.gaze_of(model, scenes) == pytest.approx(100 * inside.mean() / 64, rel=1e-5)


# ---------------------------------------------------------------- the runs


def test_boxes_are_dealt_out_anew_and_nothing_else(composed):
    scenes = composed[0]
    dealt = study.deal_boxes_anew(scenes, seed=0)
    assert sorted(map(tuple, dealt.boxes)) == sorted(map(tuple, scenes.boxes)) and dealt.x is not None
    assert (dealt.boxes != scenes.boxes).any(axis=1).mean() > 0.7
    np.testing.assert_array_equal(dealt.x, scenes.x)
    np.testing.assert_array_equal(dealt.y, scenes.y)
    (left, top, right, bottom), mask = dealt.boxes[0].astype(int), dealt.masks[0]
    assert mask.sum() == mask[top:bottom, left:right].sum() > 0


@pytest.mark.parametrize("key", STUDY.arms)
def test_every_arm_learns_what_its_label_says(few_scenes, key):
    arm = STUDY.arms[key]
    row = study.mammal_in_scene(12, 0, rate=1e-3, **arm.settings | {"updates": 2})
    learned = set(arm.settings["weights"])
    looks = {"gaze"} if arm.settings.get("head") != "average" else set()
    assert set(row) == {"score", "learning_rate", "updates"} | learned | looks
    assert row["score"] == row["box" if key == "box" else "class"] and row["updates"] == 2
    assert all(0 <= row[name] <= 100 for name in ("score", *learned, *looks))


def test_arms_start_from_the_same_network_and_see_the_same_scenes(few_scenes, monkeypatch):
    seen = {}

    def note(model, data, *, loss=None, **settings):
        x, targets = (data.x, data.y) if loss is None else data
        y, rest = (targets, None) if loss is None else (targets[:, 0], targets[:, 1:])
        seen[key] = [model.get_layer("conv1").get_weights()[0], x, y, rest], loss, settings

    monkeypatch.setattr(study, "fit_transfer", note)
    monkeypatch.setattr(study, "accuracy", lambda model, data: 0.5)
    for key in ("class", "joint", "shuffled", "class_there", "class_longer"):
        STUDY.run(key, 12, 7, rate=0.1)
    own, boxes = seen["class"][0], seen["joint"][0][3]
    for key, (arrays, loss, settings) in seen.items():
        for one, other in zip(arrays[:3], own[:3], strict=True):
            np.testing.assert_array_equal(one, other)
        if loss is None:
            assert key in ("class", "class_longer")
        else:
            assert (arrays[3] != boxes).any() == (key == "shuffled")
            assert loss.weights == STUDY.arms[key].settings["weights"]
        longer = study.LONGER if key == "class_longer" else study.UPDATES
        assert settings["updates"] == longer and settings["batch_size"] == 16 and settings["seed"] == 7


def test_a_run_is_repeated_exactly(few_scenes):
    rows = [study.mammal_in_scene(12, 1, rate=3e-3, weights={"class": 1, "box": 1}, updates=3) for _ in range(2)]
    assert rows[0] == rows[1]


def test_boxes_teach_where_to_look(monkeypatch):
    for each in (study.labelled_scenes, study.measured_scenes):
        each.cache_clear()
    monkeypatch.setattr(study, "SCENES", (100,))
    settings = {"rate": 3e-3, "updates": 80}
    alone = study.mammal_in_scene(100, 0, weights={"class": 1.0}, **settings)
    joint = study.mammal_in_scene(100, 0, weights={"class": 1.0, "box": 1.0}, **settings)
    for each in (study.labelled_scenes, study.measured_scenes):
        each.cache_clear()
    assert joint["gaze"] > alone["gaze"] + 5


def test_a_head_on_the_average_has_no_boxes():
    with pytest.raises(ValueError, match="the class alone to learn, not class and box"):
        study.mammal_in_scene(12, 0, rate=1e-3, weights={"class": 1, "box": 1}, head="average")
    with pytest.raises(ValueError, match="head must be one of"):
        study.mammal_in_scene(12, 0, rate=1e-3, weights={"class": 1}, head="flatten")


def test_chance_is_a_sixth():
    y = load_mammal_scenes(study.MEASURED, seed=0, series="measured").y
    assert np.bincount(y).tolist() == [study.MEASURED / 6] * 6 and STUDY.chance == pytest.approx(100 / 6)


def test_the_study_says_what_it_compares():
    settings = {key: arm.settings for key, arm in STUDY.arms.items()}
    assert STUDY.compared == ("joint", "class") and settings["class"] == {"weights": {"class": 1.0}, "head": "average"}
    assert settings["joint"] == {"weights": {"class": 1.0, "box": 0.3}}
    assert settings["shuffled"] == settings["joint"] | {"shuffled": True}
    assert settings["class_longer"] == settings["class"] | {"updates": 4 * study.UPDATES}
    assert STUDY.values_of("class_longer") == (max(study.SCENES),) and len(STUDY.seeds) >= 10
    assert settings["class_there"] == {"weights": {"class": 1.0}} and STUDY.controls_of("class") == ("class_longer",)
