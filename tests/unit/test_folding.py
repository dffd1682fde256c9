"""Folded networks give nearly the same, and what cannot be folded is computed as always; the model stays as it is."""

import random
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.grid.networks import nodes_of
from tl_helpers.models import folding
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.features import extract_features
from tl_helpers.models.folding import can_fold, fold_batch_norm
from tl_helpers.models.heads import add_class_head
from tl_helpers.training.evaluation import accuracy, mean_recall
from tl_helpers.training.weights import snapshot

SHAPES = {1: (9, 3), 2: (9, 8, 3), 3: (5, 6, 5, 3)}


def pictures(shape, n=5):
    return np.random.default_rng(0).normal(size=(n, *shape)).astype("float32")


def scrambled(model):
    """Give every weight of a model a random value, variances a positive one."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        value = generator.normal(size=weight.shape)
        weight.assign(np.exp(value) if weight.name == "moving_variance" else value)
    return model


def behind(layer, norm=None, *, between=None, shape=(9, 8, 3)):
    image = keras.Input(shape)
    x = layer(image)
    x = x if between is None else between(x)
    return scrambled(keras.Model(image, (norm or layers.BatchNormalization())(x)))


def count(model):
    return len(folding._pairs(model, nodes_of(model)))


def assert_nearly_the_same(model, x):
    got, expected = np.asarray(fold_batch_norm(model)(x)), np.asarray(model(x))
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


FOLDED = {
    "Conv1D": (1, lambda: layers.Conv1D(4, 3, strides=2)),
    "Conv1D, causal": (1, lambda: layers.Conv1D(4, 3, padding="causal")),
    "Conv2D": (2, lambda: layers.Conv2D(4, 3, padding="same")),
    "Conv2D without bias": (2, lambda: layers.Conv2D(4, 3, padding="same", use_bias=False)),
    "Conv2D, dilated": (2, lambda: layers.Conv2D(4, 3, dilation_rate=2)),
    "Conv2D in groups": (2, lambda: layers.Conv2D(6, 3, groups=3)),
    "Conv3D": (3, lambda: layers.Conv3D(4, 2)),
    "DepthwiseConv1D": (1, lambda: layers.DepthwiseConv1D(3)),
    "DepthwiseConv2D": (2, lambda: layers.DepthwiseConv2D(3, strides=2, padding="same")),
    "DepthwiseConv2D, twofold": (2, lambda: layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "SeparableConv1D": (1, lambda: layers.SeparableConv1D(4, 3)),
    "SeparableConv2D": (2, lambda: layers.SeparableConv2D(4, 3, depth_multiplier=2)),
    "Dense": (2, lambda: layers.Dense(4)),
}
NORMS = {
    "usual": lambda: layers.BatchNormalization(),
    "no scale": lambda: layers.BatchNormalization(scale=False),
    "no centre": lambda: layers.BatchNormalization(center=False, epsilon=0.1),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("what", FOLDED)
def test_what_is_folded_gives_the_same_up_to_rounding(what, norm):
    rank, layer = FOLDED[what]
    model = behind(layer(), NORMS[norm](), shape=SHAPES[rank])
    assert can_fold(model) and count(model) == 1
    x = pictures(SHAPES[rank])
    assert_nearly_the_same(model, x)
    # The copy holds all that BatchNorm did: without its weights the result would be another.
    assert np.abs(np.asarray(model.layers[1](x)) - np.asarray(model(x))).max() > 0.1


class Own(layers.Conv2D):
    """Another layer of the same name."""

    def call(self, x):
        return -super().call(x)


Own.__name__ = "Conv2D"


def mended_by_hand(layer):
    object.__setattr__(layer, "call", lambda x: 2 * type(layer).call(layer, x))
    return layer


def with_lora(layer):
    layer.build((None, 9, 8, 3))
    layer.enable_lora(1)
    return layer


UNFOLDED = {
    "an activation of the layer's": lambda: behind(layers.Conv2D(4, 3, activation="relu")),
    "an activation between": lambda: behind(layers.Conv2D(4, 3), between=layers.ReLU()),
    "dropout between": lambda: behind(layers.Conv2D(4, 3), between=layers.Dropout(0.5)),
    "another axis": lambda: behind(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)),
    "another normalisation": lambda: behind(layers.Conv2D(4, 3), layers.LayerNormalization()),
    "a transposed convolution": lambda: behind(layers.Conv2DTranspose(4, 3)),
    "a class of one's own": lambda: behind(Own(4, 3)),
    "a call of one's own": lambda: behind(mended_by_hand(layers.Conv2D(4, 3))),
    "LoRA": lambda: behind(with_lora(layers.Conv2D(4, 3))),
    "nothing before": lambda: behind(layers.Rescaling(2.0)),
}


@pytest.mark.parametrize("what", UNFOLDED)
def test_what_cannot_be_folded_is_said_and_left(what):
    model = UNFOLDED[what]()
    x = pictures((9, 8, 3))
    with pytest.warns(UserWarning, match=r"changes nothing for 'functional.*': no BatchNorm in it stands right behind"):
        got = extract_features(model, x, fold_batch_norm=True)
    np.testing.assert_array_equal(got, extract_features(model, x))
    np.testing.assert_array_equal(fold_batch_norm(model)(x), model(x))


def test_an_output_that_is_read_elsewhere_keeps_its_layer():
    image = keras.Input((9, 8, 3))
    before = layers.Conv2D(3, 3, padding="same")(image)
    joined = scrambled(keras.Model(image, layers.Add()([layers.BatchNormalization()(before), before])))
    assert count(joined) == 0
    # Outside the model it may be read: the model alone counts.
    inside = keras.Model(image, joined.layers[2].output)
    assert count(inside) == 1
    assert_nearly_the_same(inside, pictures((9, 8, 3)))
    split = keras.Model(image, [before, joined.layers[2].output])
    assert count(split) == 0


def test_layers_in_use_twice_are_folded_each_time():
    image = keras.Input((9, 8, 3))
    conv, norm = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
    x = layers.ReLU()(norm(conv(image)))
    model = scrambled(keras.Model(image, layers.BatchNormalization()(conv(layers.Add()([norm(conv(x)), image])))))
    assert count(model) == 3
    assert_nearly_the_same(model, pictures((9, 8, 3)))


def test_a_residual_network_nested_in_others_is_folded_inside():
    image = keras.Input((9, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(image))
    inner = keras.Model(image, layers.Concatenate()([layers.ReLU()(layers.Dropout(0.5)(x)), image]) * 2.0)
    model = scrambled(keras.Sequential([keras.Input((9, 8, 3)), inner, layers.Flatten(), layers.Dense(2)]))
    assert count(model) == 0 and count(inner) == 1 and can_fold(model)
    x = pictures((9, 8, 3))
    assert_nearly_the_same(model, x)
    assert (np.asarray(fold_batch_norm(model)(x)) != np.asarray(model(x))).any()


def test_masks_are_not_lost():
    image = keras.Input((9, 3))
    x = layers.BatchNormalization()(layers.Dense(4)(layers.Masking()(image)))
    model = scrambled(keras.Model(image, layers.LSTM(2)(x)))
    x = pictures((9, 3))
    x[:, 4:] = 0
    assert count(model) == 0
    np.testing.assert_array_equal(fold_batch_norm(model)(x), model(x))


def test_half_precision_and_models_of_a_class_of_ones_own_are_refused_with_a_sentence():
    class Network(keras.Model):
        def call(self, x, training=None, mask=None):
            return -super().call(x, training=training)

    plain = behind(layers.Conv2D(4, 3))
    with pytest.warns(UserWarning, match="it is not known to do what its layers tell"):
        assert not can_fold(Network(plain.inputs, plain.outputs))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = behind(layers.Conv2D(4, 3))
    finally:
        keras.config.set_dtype_policy(policy)
    with pytest.warns(UserWarning, match="it computes in half precision"):
        assert not can_fold(half)


def test_the_model_and_the_random_numbers_are_left_alone():
    model = scrambled(behind(layers.Conv2D(4, 3)))
    before, nodes = snapshot(model), [len(layer._inbound_nodes) for layer in model.layers]
    random.seed(5)
    expected = random.random()
    random.seed(5)
    fold_batch_norm(model)
    assert random.random() == expected
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


# ---------------------------------------------------------------- where it is offered


def test_folded_features_of_the_shipped_backbone_are_as_near_as_is_said():
    backbone = load_backbone(size=32)
    x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folded = extract_features(backbone, x, fold_batch_norm=True)
    plain = extract_features(backbone, x)
    assert count(backbone.model) == 49
    assert 0 < np.abs(folded - plain).max() < 2e-4
    assert plain.max() > 1


def test_folded_features_are_kept_apart(tmp_path):
    model, x = behind(layers.Conv2D(4, 3)), pictures((9, 8, 3))
    for cache in ({}, tmp_path):
        folded, plain = (extract_features(model, x, cache=cache, fold_batch_norm=fold) for fold in (True, False))
        assert (folded != plain).any()
        for _ in range(2):
            np.testing.assert_array_equal(extract_features(model, x, cache=cache, fold_batch_norm=True), folded)
            np.testing.assert_array_equal(extract_features(model, x, cache=cache), plain)
    assert len(list(tmp_path.iterdir())) == 2


def test_folding_follows_the_weights_and_is_done_once(monkeypatch):
    made, fold = [], folding.fold_batch_norm
    monkeypatch.setattr(folding, "fold_batch_norm", lambda model: made.append(model) or fold(model))
    model, x = behind(layers.Conv2D(4, 3)), pictures((9, 8, 3))
    first = extract_features(model, x, fold_batch_norm=True)
    np.testing.assert_array_equal(extract_features(model, x, fold_batch_norm=True), first)
    assert len(made) == 1
    for weight in model.weights:
        weight.assign(weight + 0.5)
        got = extract_features(model, x, fold_batch_norm=True)
        np.testing.assert_allclose(got, extract_features(model, x), rtol=1e-4, atol=1e-4)
    assert len(made) == 1 + len(model.weights)
    assert len(vars(model)["_self_traces_with_weights"]) == 2


def test_accuracies_can_be_had_from_the_folded_network():
    model = add_class_head(load_backbone(size=32), 3, seed=0)
    x = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), "uint8")
    logits = np.asarray(model(x))
    second, first = np.sort(logits, axis=-1)[:, -2:].T
    assert (first - second).min() > 0.01  # so that no processor's rounding decides an answer
    y = logits.argmax(axis=-1)
    y[:3] = (y[:3] + 1) % 3
    assert accuracy(model, (x, y), fold_batch_norm=True) == accuracy(model, (x, y)) == 9 / 12
    assert mean_recall(model, (x, y), fold_batch_norm=True) == mean_recall(model, (x, y))
    assert "_self_traces_with_weights" in vars(model)


@pytest.mark.parametrize("given", ["a list", "a dict", "a name"])
def test_a_nested_network_that_is_called_otherwise_than_with_its_input_is_left(given):
    image = keras.Input((9, 8, 3), name="image")
    inner = behind(layers.Conv2D(4, 3))
    if given == "a dict":
        inner = keras.Model({"image": inner.inputs[0]}, inner.outputs[0])
    output = inner(inputs=image) if given == "a name" else inner([image] if given == "a list" else {"image": image})
    model = keras.Model(image, output)
    x = pictures((9, 8, 3))
    with pytest.warns(UserWarning, match="changes nothing"):
        assert not can_fold(model)
    np.testing.assert_array_equal(fold_batch_norm(model)(x), model(x))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_network_wholly_in_half_precision_is_not_folded(precision):
    model = behind(layers.Conv2D(4, 3, dtype=precision), layers.BatchNormalization(dtype=precision))
    with pytest.warns(UserWarning, match="half precision"):
        assert not can_fold(model)


def without_bias(layer):
    layer.use_bias = False


def with_another_convolution(layer):
    convolve = layer.convolution_op
    object.__setattr__(layer, "convolution_op", lambda x, kernel: -convolve(x, kernel))


@pytest.mark.parametrize("change", [without_bias, with_another_convolution])
def test_a_layer_that_was_changed_by_hand_is_not_folded(change):
    layer = layers.Conv2D(4, 3)
    model, x = behind(layer), pictures((9, 8, 3))
    change(layer)
    assert count(model) == 0
    np.testing.assert_array_equal(fold_batch_norm(model)(x), model(x))


def test_numbers_that_would_become_infinite_are_not_folded():
    model = behind(layers.Conv2D(2, 1, use_bias=False))
    norm = model.layers[-1]
    model.layers[1].set_weights([np.full((1, 1, 3, 2), 1e5, "float32")])
    norm.set_weights([np.full(2, value, "float32") for value in (1e33, 0, 0, 0)])
    x = np.full((2, 9, 8, 3), 1e-6, "float32")
    assert_nearly_the_same(model, x)
    assert np.isfinite(np.asarray(fold_batch_norm(model)(x))).all()
