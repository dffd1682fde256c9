"""Frozen networks of `keras.applications` keep still, whatever they are made of; here with random weights."""

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.models.graph import leaves_of
from tl_helpers.training.freezing import freeze, unfreeze
from tl_helpers.training.report import trainable_report
from tl_helpers.training.stillness import live_random_layers

# Name → the layer after which it is cut, because what follows is more of the same.
NAMES = {
    "MobileNetV2": None,  # BatchNorm
    "EfficientNetB0": None,  # BatchNorm, dropout, a normalisation of its input
    "MobileNetV3Small": None,  # BatchNorm, gates, operations that are no layers
    "ResNet50": "conv3_block4_out",  # BatchNorm after convolutions with a bias
    "ConvNeXtTiny": "convnext_tiny_downsampling_block_1",  # LayerNorm, layers of its own, small nested models
}
X = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
Y = np.arange(4) % 2


def build(name, cut=None):
    keras.utils.set_random_seed(0)
    base = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(32, 32, 3))
    output = base.output if cut is None else base.get_layer(cut).output
    return keras.Model(base.input, layers.GlobalAveragePooling2D()(output), name="base")


def fit(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    model.fit(X, Y, batch_size=2, verbose=0)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_in_fit(name, tmp_path):
    base = build(name, NAMES[name])
    before = [weight.copy() for weight in base.get_weights()]
    outputs = [np.asarray(base(X, training=training)) for training in (True, False)]
    norms = [layer for layer in leaves_of(base) if isinstance(layer, layers.BatchNormalization)]
    # Otherwise there would be nothing to still.
    assert (outputs[0] != outputs[1]).any() == bool(norms) == (name != "ConvNeXtTiny")
    rates = {layer.name: layer.rate for layer in leaves_of(base) if isinstance(layer, layers.Dropout)}
    assert bool(rates) == (name == "EfficientNetB0")
    pairs = zip(before, base.get_weights(), strict=True)
    assert sum((old != new).any() for old, new in pairs) == 2 * len(norms)  # moving means and variances

    freeze(base)
    head = layers.Dense(2, name="head")
    model = keras.Model(base.input, head(base.output))
    before = [weight.copy() for weight in base.get_weights()]
    start = [weight.copy() for weight in head.get_weights()]
    fit(model)
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all((old != new).any() for old, new in zip(start, head.get_weights(), strict=True))
    np.testing.assert_array_equal(base(X, training=True), base(X, training=False))
    report = trainable_report(model)
    assert report.loc["head", "share"] == 1 and set(report["random_layers"]) == {""}
    assert set(report["batch_norm"]) == ({"", "frozen"} if norms else {""})

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in leaves_of(loaded) if layer.weights and layer.trainable] == ["head"]
    assert live_random_layers(loaded) == []
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for each in (model, loaded):
        unfreeze(each)
        assert all(layer.trainable for layer in leaves_of(each) if layer.weights)
        found = {layer.name: layer.rate for layer in leaves_of(each) if isinstance(layer, layers.Dropout)}
        assert found == rates
        assert {layer.name for layer in live_random_layers(each)} == set(rates)


def test_nothing_moves_inside_a_sequential_model_that_was_saved(tmp_path):
    base = build("EfficientNetB0", "block3b_add")
    freeze(base)
    model = keras.Sequential([keras.Input((32, 32, 3)), base, layers.Dense(2, name="head")])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inner = loaded.layers[0]
    fit(loaded)
    for old, new in zip(base.get_weights(), inner.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (loaded.get_weights()[-1] != model.get_weights()[-1]).any()
    np.testing.assert_array_equal(inner(X, training=True), inner(X, training=False))
