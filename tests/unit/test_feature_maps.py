"""Where a channel answers: receptive fields by hand and by changing pixels, peaks and patches with a known answer."""

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.models.backbones import Backbone, load_backbone
from tl_helpers.models.feature_maps import (
    ReceptiveField,
    activation_maps,
    find_peaks,
    receptive_fields,
    stage_features,
    strongest_patches,
)
from tl_helpers.models.features import extract_features
from tl_helpers.models.small_network import small_cnn_body


def network(*convolutions, side=32, channels=3):
    """Build convolutions (filters, kernel, stride, padding), each a stage, with ones for weights."""
    image = keras.Input((side, side, channels))
    x, stages = image, {}
    for number, (filters, kernel, stride, padding) in enumerate(convolutions):
        settings = {"strides": stride, "padding": padding, "kernel_initializer": "ones", "name": f"c{number}"}
        x = layers.Conv2D(filters, kernel, **settings)(x)
        stages[f"stage{number}"] = f"c{number}"
    return Backbone(keras.Model(image, x), "test", "none", stages)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(size=96, weights=None)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype="uint8")


def test_receptive_fields_by_hand():
    fields = receptive_fields(network((2, 5, 2, "valid"), (2, 3, 2, "valid"), (2, 3, 1, "valid")))
    # A valid convolution starts in the middle of its kernel: 2, then 2 + 1·2 = 4, then 4 + 1·4 = 8.
    assert fields == {
        "stage0": ReceptiveField(5, 2, 2.0),
        "stage1": ReceptiveField(9, 4, 4.0),
        "stage2": ReceptiveField(17, 4, 8.0),
    }


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("position", [2, 3])
def test_a_position_answers_to_the_pixels_in_its_field_and_to_no_others(padding, position):
    made = network((1, 3, 2, padding), (1, 5, 1, padding), (1, 3, 2, padding), side=33, channels=1)
    field = receptive_fields(made)["stage2"]
    x = np.zeros((33, 33, 33, 1), "float32")
    x[np.arange(33), :, np.arange(33)] = 1  # picture i has its column i lit
    answers = made.model.predict(x, verbose=0)[:, position, position, 0]
    middle = field.start + field.stride * position
    expected = np.arange(33)[np.abs(np.arange(33) - middle) <= (field.size - 1) / 2]
    np.testing.assert_array_equal(np.flatnonzero(answers), expected)


def test_where_branches_meet_the_larger_field_counts():
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(1, 3, padding="same")(image)
    y = layers.Conv2D(1, 5, padding="same")(x)
    model = keras.Model(image, layers.Add(name="sum")([x, y]))
    assert receptive_fields(Backbone(model, "branches", "none", {"sum": "sum"}))["sum"] == ReceptiveField(7, 1, 0.0)


def test_features_of_all_stages_are_those_of_one_stage_at_a_time(backbone, pictures):
    together = stage_features(backbone, pictures)
    assert list(together) == list(backbone.stages)
    for stage in ("stem", "block4", "conv_head"):
        alone = extract_features(backbone, pictures, stage=stage)
        np.testing.assert_allclose(together[stage], alone, rtol=1e-4, atol=1e-5)


def test_features_are_the_maps_averages(backbone, pictures):
    maps, features = activation_maps(backbone, pictures), stage_features(backbone, pictures)
    for stage, each in maps.items():
        np.testing.assert_allclose(each.mean(axis=(1, 2)), features[stage], rtol=1e-3, atol=1e-4)


def test_peaks_are_the_maps_largest_values_and_where_they_are(backbone, pictures):
    maps, peaks = activation_maps(backbone, pictures), find_peaks(backbone, pictures)
    for stage, channel in (("stem", 3), ("block2", 10), ("block6", 100), ("conv_head", 1279)):
        for row in range(len(pictures)):
            answers = maps[stage][row, :, :, channel]
            value, (top, left) = peaks.values[stage][row, channel], peaks.places[stage][row, channel]
            assert answers[top, left] == pytest.approx(value, rel=1e-3, abs=1e-4)
            if peaks.fields[stage].size > 48:
                assert value == pytest.approx(answers.max(), rel=1e-3, abs=1e-4)


def test_positions_that_see_beyond_the_edge_are_left_out_where_others_do_not():
    made = network((1, 3, 2, "same"), side=16, channels=1)
    made.model.get_layer("c0").set_weights([-np.ones((3, 3, 1, 1), "float32"), np.zeros(1, "float32")])
    x = np.full((1, 16, 16, 1), 100, "uint8")
    maps, peaks = activation_maps(made, x), find_peaks(made, x)
    assert maps["stage0"].max() > -700  # at the edge: six pixels of nine, the others are padding
    assert peaks.values["stage0"][0, 0] == -900


def test_the_strongest_patches_show_what_the_channel_looks_for():
    """A sum over 3×3 pixels answers most to a white square of that size; picture i has one of brightness 40 i."""
    made = network((1, 3, 1, "valid"), side=24, channels=1)
    x, random = np.zeros((6, 24, 24, 1), "uint8"), np.random.default_rng(0)
    for number, (top, left) in enumerate(random.integers(0, 22, (6, 2))):
        x[number, top : top + 3, left : left + 3] = 40 * number
    patches, rows = strongest_patches(find_peaks(made, x), "stage0", 0, count=4)
    assert rows.tolist() == [5, 4, 3, 2]
    np.testing.assert_array_equal(
        patches, np.broadcast_to(np.array([200, 160, 120, 80])[:, None, None, None], (4, 3, 3, 1))
    )


def test_patches_are_no_larger_than_asked_and_lie_within_the_picture(backbone, pictures):
    patches, rows = strongest_patches(find_peaks(backbone, pictures), "block7", 5, count=3, largest=40)
    assert patches.shape == (3, 40, 40, 3)
    for patch, row in zip(patches, rows, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(pictures[row], (40, 40, 3)).reshape(-1, 40 * 40 * 3)
        assert (windows[:, ::97] == patch.reshape(-1)[::97]).all(axis=1).any()


def test_ties_go_to_the_earlier_picture():
    made = network((1, 3, 1, "valid"), side=8, channels=1)
    _, rows = strongest_patches(find_peaks(made, np.full((4, 8, 8, 1), 9, "uint8")), "stage0", 0, count=3)
    assert rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("stage", "channel", "words"), [("conv9", 0, "stage must be"), ("conv1", 16, "channels 0…15")])
def test_what_is_not_there_is_named(stage, channel, words):
    peaks = find_peaks(small_cnn_body((28, 28, 1), seed=0), np.zeros((2, 28, 28, 1), "uint8"))
    with pytest.raises(ValueError, match=words):
        strongest_patches(peaks, stage, channel)
