"""An emoji on a photograph has its mask; each is asked its own question; the weight counts for the mask alone."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings as budget, strategies as some
from hypothesis.extra.numpy import arrays

from tl_helpers.datasets import emoji_on_photos
from tl_helpers.datasets.emoji_on_photos import ON_PHOTO_GROUPS, half_contrast, load_emoji_on_photos
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies import class_and_mask as study

(STUDY,) = study.STUDIES
PIXELS = emoji_on_photos.ON_PHOTO_SIDE**2


@pytest.fixture(scope="module")
def pictures():
    return load_emoji_on_photos(3, seed=1)


@pytest.fixture
def short(monkeypatch):
    """Make runs of a second."""
    for name, value in {"UPDATES": 2, "MEASURED": 3}.items():
        monkeypatch.setattr(study, name, value)
    caches = study.measured_pictures, study._measured
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


# ---------------------------------------------------------------- the pictures


def test_groups_come_in_turn_and_no_emoji_twice(pictures):
    assert pictures.x.shape == (12, 48, 48, 3) and pictures.label_names == ON_PHOTO_GROUPS
    assert pictures.y.tolist() == [0, 1, 2, 3] * 3 and len(set(pictures.ids)) == 12
    few = load_emoji_on_photos(2, seed=1)
    assert few.ids.tolist() == pictures.ids[:8].tolist()


def test_a_mask_is_where_something_lies_on_the_ground(monkeypatch, pictures):
    monkeypatch.setattr(emoji_on_photos, "lay", lambda *_: None)
    grounds = load_emoji_on_photos(3, seed=1)
    np.testing.assert_array_equal(grounds.masks, pictures.masks)
    assert grounds.x.min() >= 64 and grounds.x.max() <= 191
    changed = (grounds.x != pictures.x).any(axis=3)
    assert pictures.masks.sum(axis=(1, 2)).min() > 50 and changed[pictures.masks].mean() > 0.95
    # Around a mask lies a rim of pixels that are drawn by less than half.
    assert changed[~pictures.masks].mean() < 0.1


@given(arrays("uint8", (2, 3, 3)))
def test_contrast_is_halved_around_the_middle_grey(picture):
    np.testing.assert_array_equal(half_contrast(picture), np.floor(128 + (picture.astype(float) - 128) / 2))


@pytest.mark.parametrize("fold", [0, 7])
def test_splits_share_no_emoji_and_no_photograph(fold):
    splits = [load_emoji_on_photos(20, split, fold=fold) for split in ("train", "validation", "test")]
    for number, one in enumerate(splits):
        for other in splits[number + 1 :]:
            assert not set(one.ids) & set(other.ids) and not set(one.sources) & set(other.sources)


def test_what_cannot_be_loaded_is_refused():
    with pytest.raises(ValueError, match="per_class must be at least 1, not 0"):
        load_emoji_on_photos(0)
    with pytest.raises(ValueError, match="split must be one of"):
        load_emoji_on_photos(1, "all")
    with pytest.raises(ValueError, match="fold must be one of"):
        load_emoji_on_photos(1, fold=10)


# ---------------------------------------------------------------- what is learned


def test_of_each_picture_a_label_or_a_mask_is_known(pictures):
    for learned, expected in {
        "class": range(4),
        "mask": range(4, 12),
        "both": [*range(4), *range(4), *range(4, 12)],
    }.items():
        rows, targets = study.what_is_known(pictures, learned, labels=1)
        assert rows.tolist() == list(expected) and targets.shape == (len(rows), 1 + PIXELS)
        for row, target in zip(rows, targets, strict=True):
            if row < 4:
                assert target[0] == pictures.y[row] and not target[1:].any()
            else:
                assert target[0] == -1
                np.testing.assert_array_equal(target[1:].reshape(48, 48), pictures.masks[row])


def test_the_loss_asks_each_picture_its_own_question():
    target, output = np.zeros((2, 1 + PIXELS), "float32"), np.zeros((2, 4 + PIXELS), "float32")
    target[:, 0], target[1, 1:101] = [2, -1], 1
    loss = keras.ops.convert_to_numpy(study.own_question_loss(10.0)(target, output))
    np.testing.assert_allclose(loss, [np.log(4), 10 * np.log(2)], rtol=1e-5)
    # A sure and right class costs nothing; sure pixels that are wrong cost their share, whatever the class says.
    output[0, 2], output[1, :4], output[1, 4:] = 50, [9, 0, 0, 0], -50
    loss = keras.ops.convert_to_numpy(study.own_question_loss(0.1)(target, output))
    np.testing.assert_allclose(loss, [0, 0.1 * 50 * 100 / PIXELS], atol=1e-4)


@budget(max_examples=10, deadline=None)
@given(some.floats(0, 20), some.integers(0, 10**6))
def test_the_weight_counts_for_the_mask_alone(weight, seed):
    random = np.random.default_rng(seed)
    output = random.normal(size=(2, 4 + PIXELS)).astype("float32")
    target = random.integers(0, 2, (2, 1 + PIXELS)).astype("float32")
    target[:, 0] = [1, -1]
    one, weighed = (keras.ops.convert_to_numpy(study.own_question_loss(w)(target, output)) for w in (1.0, weight))
    np.testing.assert_allclose(weighed, [one[0], weight * one[1]], rtol=1e-4, atol=1e-6)


def test_the_heads_share_the_trunk_and_nothing_else():
    model = study.add_class_and_mask_heads(small_cnn_body((48, 48, 3), seed=0), seed=0)
    assert model.output_shape == (None, 4 + PIXELS)
    learned = [layer.name for layer in model.layers if layer.trainable_weights]
    assert sorted(learned) == ["conv1", "conv2", "conv3", "conv4", "head_class", "head_mask", "head_mask_hidden"]
    x = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3)).astype("float32")
    logits, mask = study.unpack(model(x))
    kernel, bias = model.get_layer("head_mask").get_weights()
    model.get_layer("head_mask").set_weights([0 * kernel, bias + 3])
    after, constant = study.unpack(model(x))
    np.testing.assert_array_equal(logits, after)
    assert np.ptp(mask) > 0 and (np.asarray(constant) == 3).all() and logits.shape == (2, 4)


@pytest.mark.parametrize("key", STUDY.arms)
def test_an_arm_tells_what_it_has_learned(short, key):
    row = STUDY.run(key, 1.0, 0, rate=1e-3)
    tasks = {"class": {"class"}, "mask": {"mask"}, "joint": {"class", "mask"}}[key]
    assert set(row) == {"score", "learning_rate", "updates"} | tasks and row["updates"] == 2
    assert row["score"] == row["mask" if key == "mask" else "class"]
    assert all(0 <= row[task] <= 100 for task in tasks)


def test_every_task_has_as_many_updates_of_its_own_pictures_together_or_alone(short, monkeypatch):
    seen = {}

    def note(model, data, *, batch_size, updates, **settings):
        seen[key] = len(data[0]), (data[1][:, 0] >= 0).sum(), batch_size, updates

    monkeypatch.setattr(study, "fit_transfer", note)
    for key in STUDY.arms:
        STUDY.run(key, 10.0, 0, rate=1e-3)
    assert seen == {"class": (20, 20, 16, 2), "mask": (40, 0, 16, 2), "joint": (80, 40, 32, 2)}


def test_the_weight_is_nothing_to_a_network_for_one_task(short):
    for key in ("class", "mask"):
        assert STUDY.run(key, 0.1, 0, rate=1e-3) == STUDY.run(key, 10.0, 0, rate=1e-3)
    with pytest.raises(ValueError, match="learned must be one of"):
        study.class_beside_masks(1.0, 0, rate=1e-3, learned="box")


def test_of_each_group_as_many_pictures_measure():
    assert np.bincount(study.measured_pictures("validation", 3).y).tolist() == [study.MEASURED] * 4
    assert STUDY.chance == 25 and len(STUDY.seeds) >= 15 and STUDY.compared == ("joint", "class")
    assert STUDY.axis.values == (0.1, 1.0, 10.0)
