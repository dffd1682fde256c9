"""The small network, heads, boxes, and what changes a model's input or scale without changing what it knows."""

import keras
import numpy as np
import pytest
from hypothesis import given, strategies as st

from tl_helpers import models
from tl_helpers.models.backbones import Backbone
from tl_helpers.models.boxes import box_ap50, box_iou, box_loss, decode_boxes, encode_boxes
from tl_helpers.models.masks import mask_iou, mask_loss

GREY = (28, 28, 1)


def pictures(n, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), "uint8")


def identity_backbone(shape):
    """A backbone that hands its input on as the feature map, so that a test can write the features itself."""
    image = keras.Input(shape)
    return Backbone(keras.Model(image, keras.layers.Identity()(image)), "identity", "x", {})


# ---------------------------------------------------------------- the small network


@pytest.mark.parametrize(
    ("shape", "head", "feature_map", "parameters"),
    [
        # Convolutions: 5·5·c·16+16, 3·3·16·32+32, 3·3·32·64+64, 3·3·64·64+64; head: features·10+10.
        (GREY, "average", (4, 4, 64), 416 + 4640 + 18496 + 36928 + 650),
        (GREY, "flatten", (4, 4, 64), 416 + 4640 + 18496 + 36928 + 10250),
        ((56, 56, 1), "average", (7, 7, 64), 416 + 4640 + 18496 + 36928 + 650),
        ((64, 48, 3), "average", (8, 6, 64), 1216 + 4640 + 18496 + 36928 + 650),
    ],
)
def test_small_cnn_shapes_and_parameters(shape, head, feature_map, parameters):
    model = models.small_cnn(shape, 10, head=head, seed=0)
    assert model.input.shape == (None, *shape) and model.output.shape == (None, 10)
    assert model.get_layer("conv4").output.shape == (None, *feature_map)
    assert model.count_params() == parameters


def test_models_are_flat_and_named():
    names = [layer.name for layer in models.small_cnn(GREY, 10, seed=0).layers]
    assert names == ["image", "preprocess", "conv1", "conv2", "conv3", "conv4", "head_pool", "head"]
    body = models.small_cnn_body(GREY, seed=0)
    assert list(body.stages) == list(body.stages.values()) == ["conv1", "conv2", "conv3", "conv4"]


def test_initial_weights_depend_on_the_seed_alone():
    keras.utils.set_random_seed(1)
    first = models.small_cnn(GREY, 10, seed=3)
    keras.utils.set_random_seed(2)
    again, other = models.small_cnn(GREY, 10, seed=3), models.small_cnn(GREY, 10, seed=4)
    for layer in ("conv1", "conv2", "conv3", "conv4", "head"):
        kernel, repeated, different = (model.get_layer(layer).get_weights()[0] for model in (first, again, other))
        np.testing.assert_array_equal(kernel, repeated)
        assert (kernel != different).mean() > 0.99


def test_neither_brightness_nor_contrast_reaches_the_network():
    model = models.small_cnn(GREY, 10, seed=0)
    x = pictures(4, GREY).astype("float32")
    preprocess = keras.Model(model.input, model.get_layer("preprocess").output)
    prepared = np.asarray(preprocess(x))
    np.testing.assert_allclose(prepared.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(axis=(1, 2, 3)), 1, atol=1e-3)
    np.testing.assert_allclose(model(x * 0.5 + 40), model(x), atol=1e-4)


# ---------------------------------------------------------------- heads


def test_a_head_shares_the_layers_below_it():
    body = models.small_cnn_body(GREY, seed=0)
    classifier = models.add_class_head(body, 3, seed=0)
    body.model.get_layer("conv1").set_weights([np.zeros((5, 5, 1, 16)), np.zeros(16)])
    assert not classifier.get_layer("conv1").get_weights()[0].any()
    assert classifier.output.shape == (None, 3)


def test_average_head_forgets_positions_and_flatten_head_does_not():
    features = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype("float32")
    moved = np.ascontiguousarray(features[:, ::-1])
    average = models.add_class_head(identity_backbone((4, 4, 3)), 5, head="average", seed=0)
    np.testing.assert_allclose(average(moved), average(features), atol=1e-6)
    flatten = models.add_class_head(identity_backbone((4, 4, 3)), 5, head="flatten", seed=0)
    assert np.abs(np.asarray(flatten(moved)) - np.asarray(flatten(features))).max() > 0.1


def test_head_seeds_repeat():
    kernels = [
        models.add_class_head(identity_backbone((4, 4, 3)), 5, seed=seed).get_layer("head").get_weights()[0]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).all()


def test_unknown_head_is_refused():
    with pytest.raises(ValueError, match=r"head must be one of \['average', 'flatten'\], not 'max'"):
        models.add_class_head(identity_backbone((4, 4, 3)), 5, head="max", seed=0)


def test_box_head_predicts_five_numbers_per_cell():
    detector = models.add_box_head(models.small_cnn_body((56, 56, 1), seed=0), seed=0)
    assert detector.output.shape == (None, 7, 7, 5)
    assert detector.layers[-1].name == "head"


# ---------------------------------------------------------------- parts of models


def test_body_of_cuts_where_told_and_shares_weights():
    model = models.small_cnn(GREY, 10, seed=0)
    whole, part = models.body_of(model), models.body_of(model, "conv2")
    assert whole.model.output.shape == (None, 4, 4, 64) and list(whole.stages) == ["conv1", "conv2", "conv3", "conv4"]
    assert part.model.output.shape == (None, 7, 7, 32) and list(part.stages) == ["conv1", "conv2"]
    assert part.model.get_layer("conv2") is model.get_layer("conv2")


def test_body_of_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match="conv9"):
        models.body_of(models.small_cnn(GREY, 10, seed=0), "conv9")


def test_adapt_input_from_grey_to_colour_and_back_keeps_the_answer():
    grey = models.small_cnn_body(GREY, seed=0)
    x = pictures(3, GREY)
    expected = np.asarray(grey.model(x))
    colour = models.adapt_input(grey, (28, 28, 3))
    np.testing.assert_allclose(colour.model(np.repeat(x, 3, axis=3)), expected, atol=1e-4)
    np.testing.assert_allclose(models.adapt_input(colour, GREY).model(x), expected, atol=1e-4)


def test_adapt_input_to_another_size_keeps_the_weights_but_as_a_copy():
    old = models.small_cnn_body(GREY, seed=0)
    new = models.adapt_input(old, (56, 40, 1))
    assert new.model.output.shape == (None, 7, 5, 64)
    for name in old.stages.values():
        for before, after in zip(
            old.model.get_layer(name).get_weights(), new.model.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(before, after)
    new.model.get_layer("conv1").set_weights([np.zeros((5, 5, 1, 16)), np.zeros(16)])
    assert old.model.get_layer("conv1").get_weights()[0].any()


def test_rescaled_activations_have_the_target_and_leave_the_function_unchanged():
    model = models.small_cnn(GREY, 10, seed=0)
    for number in range(1, 5):
        kernel, bias = model.get_layer(f"conv{number}").get_weights()
        model.get_layer(f"conv{number}").set_weights([kernel * 1.7, bias + 0.1])
    x = pictures(64, GREY)
    expected = np.asarray(model(x))
    models.rescale_activations(model, x, target=0.3)
    np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    for name in ("conv1", "conv2", "conv3", "conv4"):
        activations = np.asarray(keras.Model(model.input, model.get_layer(name).output)(x))
        assert activations.std() == pytest.approx(0.3, rel=1e-3)


def test_source_models_know_their_labels_and_unknown_ones_are_refused():
    assert models.load_source_model("street_garments").output.shape == (None, 10)
    assert models.load_source_model("street_families").output.shape == (None, 5)
    assert models.load_source_model("street_colour").input.shape == (None, 28, 28, 3)
    with pytest.raises(ValueError, match=r"street_garments.*not 'street'"):
        models.load_source_model("street")


# ---------------------------------------------------------------- boxes


def test_encode_boxes_by_hand():
    boxes = [[8, 16, 24, 32], [0, 0, 10, 6], [40, 48, 72, 64]]
    # Cells of 8 pixels, 7 × 7 of them. The last box's centre, (56, 56), lies on the picture's border and belongs to the
    # last cell.
    expected = [[3 * 7 + 2, 0, 0, 2, 2], [0, 0.625, 0.375, 1.25, 0.75], [6 * 7 + 6, 1, 1, 4, 2]]
    encoded = encode_boxes(boxes, 7, 8)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.float32(expected))


coordinate = st.floats(0, 56, width=32)


@given(st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), min_size=1, max_size=5))
def test_decoding_an_encoded_box_gives_the_box(corners):
    corners = np.array(corners).reshape(-1, 2, 2)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    output = np.zeros((len(boxes), 49, 5), "float32")
    for cells, (index, *rest) in zip(output, encode_boxes(boxes, 7, 8), strict=True):
        cells[int(index)] = [1, *rest]
    np.testing.assert_allclose(decode_boxes(output.reshape(-1, 7, 7, 5), 8), boxes, atol=1e-4)


def test_decode_boxes_in_a_map_that_is_not_square_and_with_a_negative_size():
    output = np.zeros((1, 2, 3, 5))
    output[0, 1, 2] = [4, 0.5, 0.25, -1, 2]
    np.testing.assert_array_equal(decode_boxes(output, 10), [[25, 2.5, 25, 22.5]])


def test_decode_boxes_can_say_how_sure_it_is():
    output = np.zeros((2, 2, 2, 5), "float32")
    output[0, 1, 0] = [np.log(7), 0.5, 0.5, 1, 1]  # probabilities .7, .1, .1, .1
    boxes, confidences = decode_boxes(output, 8, confidence=True)
    np.testing.assert_allclose(confidences, [0.7, 0.25], rtol=1e-6)
    np.testing.assert_array_equal(boxes, decode_boxes(output, 8))


def test_box_iou_by_hand():
    a = [[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 1, 1]]
    b = [[0, 0, 2, 2], [1, 0, 3, 2], [0, 0, 1, 1], [2, 2, 4, 4], [1, 1, 1, 1]]
    np.testing.assert_allclose(box_iou(a, b), [1, 1 / 3, 1 / 4, 0, 0], rtol=1e-15)


side = st.floats(0.5, 20)
box = st.tuples(st.floats(-20, 20), st.floats(-20, 20), side, side).map(
    lambda each: np.array([[each[0], each[1], each[0] + each[2], each[1] + each[3]]])
)


@given(box, box, st.floats(-10, 10), st.floats(0.5, 10))
def test_box_iou_is_symmetric_and_does_not_mind_shift_or_scale(a, b, shift, scale):
    iou = box_iou(a, b)
    assert 0 <= iou[0] <= 1
    np.testing.assert_allclose(box_iou(b, a), iou, atol=1e-12)
    np.testing.assert_allclose(box_iou(a * scale + shift, b * scale + shift), iou, atol=1e-6)
    np.testing.assert_allclose(box_iou(a, a), 1, atol=1e-9)


def test_box_ap50_by_hand():
    boxes = np.tile([[0, 0, 10, 10]], (4, 1))
    found = boxes.copy()
    found[[1, 3]] += 50
    # The surest first: right, wrong, right, wrong. Precision 1 up to recall 1/4 (26 of the 101 recalls), then 2/3 up to
    # recall 1/2 (25 more), and nothing beyond.
    assert box_ap50(found, [0.9, 0.8, 0.7, 0.6], boxes) == pytest.approx((26 + 25 * 2 / 3) / 101, rel=1e-12)
    # The two right ones first: precision 1 up to recall 1/2. Last: precision 1/3 at recall 1/4, then 1/2 at 1/2.
    assert box_ap50(found, [4, 2, 3, 1], boxes) == pytest.approx(51 / 101, rel=1e-12)
    assert box_ap50(found, [1, 4, 2, 3], boxes) == pytest.approx(51 / 2 / 101, rel=1e-12)
    # Of equals, the first comes first: this is the first case again.
    assert box_ap50(found, np.zeros(4), boxes) == pytest.approx((26 + 25 * 2 / 3) / 101, rel=1e-12)


@pytest.mark.parametrize(("right_edge", "expected"), [(5, 1), (4.99, 0), (20, 1), (20.01, 0)])
def test_box_ap50_counts_an_overlap_of_exactly_half(right_edge, expected):
    assert box_ap50([[0, 0, right_edge, 10]], [0.3], [[0, 0, 10, 10]]) == expected


def test_box_ap50_agrees_with_the_coco_tools():
    # The expected figure is of pycocotools 2.0.11, for these 40 boxes as one category in 40 images.
    random = np.random.default_rng(5)
    corner, size = random.uniform(0, 50, (40, 2)), random.uniform(20, 40, (40, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    found, confidences = boxes + random.normal(0, 6, boxes.shape), random.integers(0, 10, 40) / 10
    assert box_ap50(found, confidences, boxes) == pytest.approx(0.4207920792079208, rel=1e-9)


def test_box_ap50_counts_a_recall_that_is_exactly_reached():
    boxes = np.tile([[0, 0, 10, 10]], (10, 1))
    for right in range(11):
        found = boxes + 50 * (np.arange(10) >= right)[:, None]
        expected = (10 * right + 1) / 101 if right else 0
        assert box_ap50(found, np.arange(10, 0, -1), boxes) == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=30))
def test_box_ap50_minds_only_the_order_and_is_best_when_the_right_ones_come_first(detections):
    right, confidences = (np.array(each) for each in zip(*detections, strict=True))
    boxes = np.tile([[0, 0, 10, 10]], (len(right), 1))
    found = boxes + 50 * ~right[:, None]
    ap = box_ap50(found, confidences, boxes)
    assert box_ap50(found, confidences**3 - 100.0, boxes) == ap
    # With them first, precision is 1 up to the recall that is reached.
    best = (100 * right.sum() // len(right) + 1) / 101 if right.any() else 0
    assert box_ap50(found, right.astype(int), boxes) == pytest.approx(best, rel=1e-12)
    assert 0 <= ap <= best + 1e-12


def test_box_ap50_refuses_what_has_no_order():
    with pytest.raises(ValueError, match=r"found and boxes must be \(n, 4\)"):
        box_ap50(np.zeros((2, 4)), [0.5], np.zeros((2, 4)))
    with pytest.raises(ValueError, match="n at least 1"):
        box_ap50(np.zeros((0, 4)), [], np.zeros((0, 4)))
    with pytest.raises(ValueError, match="NaN"):
        box_ap50(np.zeros((1, 4)), [np.nan], np.zeros((1, 4)))


def test_box_loss_by_hand():
    logits = np.array([0.0, 1.0, 2.0, 3.0])
    output = np.zeros((1, 2, 2, 5), "float32")
    output[0, :, :, 0] = logits.reshape(2, 2)
    output[0, 1, 0, 1:] = [0.5, 0.5, 1.0, 2.0]
    target = np.float32([[2, 0.25, 0.75, 1.5, 1.0]])  # the third cell; L1 distance .25 + .25 + .5 + 1
    expected = np.log(np.exp(logits).sum()) - 2.0 + 2.0
    np.testing.assert_allclose(box_loss(target, output), [expected], rtol=1e-6)


def test_box_loss_of_a_certain_and_exact_prediction_is_zero():
    boxes = np.float32([[4, 8, 30, 20], [32, 32, 56, 56]])
    targets = encode_boxes(boxes, 7, 8)
    output = np.zeros((2, 49, 5), "float32")
    for cells, (index, *rest) in zip(output, targets, strict=True):
        cells[int(index)] = [100, *rest]
    np.testing.assert_allclose(box_loss(targets, output.reshape(2, 7, 7, 5)), 0, atol=1e-6)


def test_box_loss_trains_a_detector():
    detector = models.add_box_head(models.small_cnn_body((28, 28, 1), seed=0), seed=0)
    x = np.zeros((16, 28, 28, 1), "uint8")
    left, top = np.random.default_rng(0).integers(0, 20, (2, 16))
    for picture, i, j in zip(x, top, left, strict=True):
        picture[i : i + 8, j : j + 8] = 255
    boxes = np.stack([left, top, left + 8, top + 8], axis=1)
    detector.compile(keras.optimizers.Adam(3e-3), loss=box_loss)
    detector.fit(np.tile(x, (60, 1, 1, 1)), np.tile(encode_boxes(boxes, 4, 7), (60, 1)), batch_size=16, verbose=0)
    assert box_iou(boxes, decode_boxes(detector.predict(x, verbose=0), 7)).mean() > 0.5


# ---------------------------------------------------------------- masks


def test_a_mask_head_lays_each_cells_patch_where_the_cell_is():
    segmenter = models.add_mask_head(identity_backbone((2, 3, 1)), seed=0)
    assert segmenter.output.shape == (None, 2, 3)
    image = keras.Input((4, 6, 1))
    cells = keras.layers.AveragePooling2D(2)(image)
    segmenter = models.add_mask_head(Backbone(keras.Model(image, cells), "pooled", "x", {}), seed=0)
    kernel, _ = segmenter.get_layer("head").get_weights()
    segmenter.get_layer("head").set_weights([np.ones_like(kernel), np.float32([0.1, 0.2, 0.3, 0.4])])
    x = np.kron([[1, 2, 3], [4, 5, 6]], np.ones((2, 2)))
    patch = np.tile([[0.1, 0.2], [0.3, 0.4]], (2, 3))
    np.testing.assert_allclose(segmenter(x[None, ..., None])[0], x + patch, rtol=1e-6)


def test_a_mask_head_needs_whole_cells():
    with pytest.raises(ValueError, match="28 × 30 pixels cannot be divided into 4 × 4 whole cells"):
        models.add_mask_head(models.small_cnn_body((28, 30, 1), seed=0), seed=0)


def test_heads_can_be_named_so_that_several_fit_on_one_body():
    body = models.small_cnn_body((56, 56, 1), seed=0)
    heads = [
        models.add_class_head(body, 3, seed=0, name="head_class"),
        models.add_box_head(body, seed=0, name="head_box"),
        models.add_mask_head(body, seed=0, name="head_mask"),
    ]
    joint = keras.Model(body.model.input, [head.output for head in heads])
    assert [output.shape for output in joint.output] == [(None, 3), (None, 7, 7, 5), (None, 56, 56)]
    assert {layer.name for layer in joint.layers if layer.weights} == {
        *body.stages,
        "head_class",
        "head_box",
        "head_mask",
    }


def test_mask_loss_by_hand():
    # ln 2 where nothing is known; ln(1 + 1/e³) where logit 3 is right, ln(1 + e³) where it is wrong.
    output = np.float32([[[0, 3], [3, -3]]])
    target = np.float32([[[1, 1], [0, 0]]])
    expected = (np.log(2) + 2 * np.log(1 + np.exp(-3)) + np.log(1 + np.exp(3))) / 4
    np.testing.assert_allclose(mask_loss(target, output), [expected], rtol=1e-6)
    assert np.isfinite(mask_loss(target, output * 1e4)).all()


def test_mask_iou_by_hand():
    a = np.zeros((4, 2, 2), bool)
    b = np.zeros((4, 2, 2), bool)
    a[0, 0], b[0, :, 0] = True, True  # one of three pixels in common
    a[1], b[1] = True, True
    a[2, 0, 0], b[2, 1, 1] = True, True
    np.testing.assert_allclose(mask_iou(a, b), [1 / 3, 1, 0, 1])
