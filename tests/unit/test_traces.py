"""A forward pass that was traced before is used again only where it gives what a new one would."""

import dataclasses
import gc
import os
import weakref

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.models import features
from tl_helpers.models.features import extract_features
from tl_helpers.models.forward import compile_call
from tl_helpers.models.traces import kept_forward
from tl_helpers.training import evaluation
from tl_helpers.training.evaluation import accuracy, mean_recall
from tl_helpers.training.freezing import freeze, unfreeze

X = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 2), "uint8")


def network(*, last=None):
    """A network with something in it of most that a trace fixes."""
    image = keras.Input((8, 8, 2))
    normalise = layers.Normalization(name="normalise")
    normalise.adapt(X)
    start = keras.initializers.HeUniform(seed=1)
    x = layers.Conv2D(4, 3, padding="same", kernel_initializer=start, activation="relu", name="conv")(normalise(image))
    x = layers.BatchNormalization(name="norm")(x) * np.float32([1, 2, 3, 4])
    x = layers.Dropout(0.5, name="drop")(layers.UnitNormalization(name="unit")(x))
    x = layers.Dense(3, kernel_initializer=keras.initializers.HeUniform(seed=2), name="dense")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(3, kernel_initializer=keras.initializers.HeUniform(seed=3), name="head")(x)
    return keras.Model(image, x if last is None else last(x))


@pytest.fixture
def traced(monkeypatch):
    """Return the list of the models that are traced."""
    models = []
    for module in (features, evaluation):
        make = module.make_forward
        monkeypatch.setattr(
            module, "make_forward", lambda model, make=make, **settings: models.append(model) or make(model, **settings)
        )
    return models


def test_the_second_call_traces_nothing_and_gives_the_same_bits(traced):
    model = network()
    first = [extract_features(model, X, stage=stage) for stage in (None, "conv")]
    assert len(traced) == 2
    second = [extract_features(model, X[:3], stage=stage, batch_size=2) for stage in (None, "conv")]
    again = [extract_features(model, X, stage=stage) for stage in (None, "conv")]
    assert len(traced) == 2
    fresh = network()
    for number, stage in enumerate((None, "conv")):
        np.testing.assert_array_equal(first[number], again[number])
        np.testing.assert_array_equal(second[number], extract_features(fresh, X[:3], stage=stage, batch_size=2))


def test_metrics_trace_a_model_once(traced):
    model, y = network(), np.arange(5) % 3
    found = [(accuracy(model, (X, y)), mean_recall(model, (X, y))) for _ in range(2)]
    assert traced == [model] and found[0] == found[1]
    model.get_layer("head").bias.assign([0, 1e6, 0])
    assert accuracy(model, (X, y)) == 2 / 5 and mean_recall(model, (X, y)) == 1 / 3
    assert traced == [model]


def negate_by_hand(model):
    layer = model.get_layer("conv")
    object.__setattr__(layer, "call", lambda x: -type(layer).call(layer, x))


def readapt(model):
    model.get_layer("normalise").adapt(X[:2] // 2)


def add_lora(model):
    layer = model.get_layer("dense")
    layer.enable_lora(1)
    layer.lora_kernel_b.assign(np.ones_like(layer.lora_kernel_b))


def change_constant(model):
    nodes = [node for layer in model.operations for node in layer._inbound_nodes]
    array = next(a for node in nodes for a in node.arguments.args if isinstance(a, np.ndarray))
    array *= [7, 1, 1, 1]


CHANGES = {
    "weights": lambda m: m.get_layer("head").bias.assign([1, 2, 3]),
    "statistics": lambda m: m.get_layer("norm").moving_mean.assign(np.ones(4)),
    "an activation": lambda m: setattr(m.get_layer("conv"), "activation", keras.activations.tanh),
    "an activation of one's own": lambda m: setattr(m.get_layer("conv"), "activation", lambda x: x * x),
    "a setting": lambda m: setattr(m.get_layer("norm"), "epsilon", 5.0),
    "a call": negate_by_hand,
    "what a layer has adapted to": readapt,
    "weights added": add_lora,
    "weights of another kind": lambda m: m.get_layer("head").quantize("int8"),
    "a constant": change_constant,
    "a setting of Keras": lambda m: keras.config.set_epsilon(1e3),
}


@pytest.fixture
def epsilon():
    before = keras.config.epsilon()
    yield
    keras.config.set_epsilon(before)


@pytest.mark.usefixtures("epsilon")
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_network_gives_what_it_gives_traced_anew(what):
    model = network()
    before = extract_features(model, X)
    CHANGES[what](model)
    got = extract_features(model, X)
    del vars(model)["_self_traces"]
    np.testing.assert_array_equal(got, extract_features(model, X))
    assert (got != before).any()


def test_a_method_of_a_class_that_is_replaced_is_noticed(monkeypatch):
    model = network()
    before = extract_features(model, X)
    call = layers.Flatten.call
    monkeypatch.setattr(layers.Flatten, "call", lambda self, x: -call(self, x))
    got = extract_features(model, X)
    assert (got != before).any()


def test_freezing_thawing_and_a_cleared_session_change_nothing():
    model = network()
    expected = extract_features(model, X)
    for change in (freeze, unfreeze, lambda _: keras.utils.clear_session()):
        change(model)
        np.testing.assert_array_equal(extract_features(model, X), expected)


def test_a_layer_of_ones_own_is_traced_each_time(traced, monkeypatch):
    def times(x):
        return x * float(os.environ["GAIN"])

    class Own(layers.Layer):
        def call(self, x):
            return times(x)

    class Negative(keras.Model):
        def call(self, x, training=None, mask=None):
            return -super().call(x, training=training)

    for last in (Own(), layers.Lambda(times), layers.Activation(times)):
        monkeypatch.setenv("GAIN", "1")
        model = network(last=last)
        first = extract_features(model, X)
        monkeypatch.setenv("GAIN", "-3")
        np.testing.assert_allclose(extract_features(model, X), -3 * first, rtol=1e-6)
    assert len(traced) == 6
    plain, y = network(), np.arange(5) % 3
    model = Negative(plain.inputs, plain.outputs)
    assert accuracy(plain, (X, y)) == accuracy(keras.Model(plain.inputs, plain.outputs), (X, y))
    assert [accuracy(model, (X, y)) for _ in range(2)] == [np.mean(np.asarray(-plain(X)).argmax(axis=-1) == y)] * 2
    assert traced[-2:] == [model, model]


def test_a_call_of_a_model_that_is_replaced_is_noticed():
    model, y = network(), np.arange(5) % 3
    right = accuracy(model, (X, np.asarray(model(X)).argmax(axis=-1)))
    call = model.call
    object.__setattr__(model, "call", lambda *a, **k: -call(*a, **k))
    assert right == 1
    assert accuracy(model, (X, y)) == np.mean(np.asarray(model(X)).argmax(axis=-1) == y)
    assert accuracy(model, (X, np.asarray(call(X)).argmax(axis=-1))) < 1


def test_a_nested_network_is_looked_through(traced):
    inner = network()
    model = keras.Sequential([keras.Input((8, 8, 2)), inner])
    before = extract_features(model, X)
    np.testing.assert_array_equal(extract_features(model, X), before)
    assert len(traced) == 1
    inner.get_layer("conv").activation = keras.activations.tanh
    got = extract_features(model, X)
    assert len(traced) == 2 and (got != before).any()
    np.testing.assert_array_equal(got, extract_features(inner, X))


def test_a_model_goes_with_its_traces():
    model = network()
    extract_features(model, X)
    accuracy(model, (X, np.arange(5) % 3))
    left = [weakref.ref(each) for each in (model, model.get_layer("conv"), model.get_layer("conv").kernel)]
    del model
    gc.collect()
    assert [each() for each in left] == [None, None, None]


def test_a_model_keeps_few_traces_and_none_in_a_file_or_a_copy(tmp_path):
    model = network()
    for epsilon in range(12):
        model.get_layer("norm").epsilon = 1.0 + epsilon
        expected = extract_features(model, X)
    assert len(vars(model)["_self_traces"]) == 8
    model.save(tmp_path / "model.keras")
    for other in (keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        assert "_self_traces" not in vars(other)
    np.testing.assert_array_equal(extract_features(keras.models.load_model(tmp_path / "model.keras"), X), expected)


def test_a_setting_of_an_operation_that_is_changed_is_noticed():
    model = network(last=lambda x: keras.ops.clip(10 * x, 0.0, 1.0))
    before = extract_features(model, X)
    clip = next(each for each in model.operations if type(each).__name__ == "Clip")
    clip.x_max = 0.5
    assert before.max() == 1 and extract_features(model, X).max() == 0.5


def test_a_function_of_ones_own_within_an_operation_or_a_nested_network_is_traced_each_time(monkeypatch):
    def times(x):
        return x * float(os.environ["GAIN"])

    def replaced(x):
        inner = keras.Sequential([keras.Input((3,)), layers.Flatten()])
        output = inner(x)
        object.__setattr__(inner, "call", lambda x, training=None, mask=None: times(x))
        return output

    for last in (lambda x: keras.ops.map(times, x), replaced):
        monkeypatch.setenv("GAIN", "1")
        model = network(last=last)
        first = extract_features(model, X)
        monkeypatch.setenv("GAIN", "-3")
        np.testing.assert_allclose(extract_features(model, X), -3 * first, rtol=1e-6)


def test_a_nested_network_of_which_the_call_is_replaced_is_not_found_in_a_cache():
    inner = keras.Sequential([keras.Input((8, 8, 2)), layers.Rescaling(2.0)])
    model = keras.Sequential([keras.Input((8, 8, 2)), inner])
    cache = {}
    first = extract_features(model, X, cache=cache)
    object.__setattr__(inner, "call", lambda x, training=None, mask=None: -2.0 * keras.ops.cast(x, "float32"))
    np.testing.assert_array_equal(extract_features(model, X, cache=cache), -first)


def test_a_trace_that_another_thread_adds_at_the_same_time_is_not_taken_for_ones_own():
    class Shared(list):
        def append(self, trace):
            super().append(trace)
            super().append(dataclasses.replace(trace, values=(), forward="of the other thread"))

    model = network()
    vars(model)["_self_traces"] = Shared()
    assert kept_forward(model, model, lambda part: "own") == "own"


def test_few_sizes_of_images_are_kept():
    image = keras.Input((None, None, 2))
    model, sizes = keras.Model(image, layers.Conv2D(2, 1)(image)), []
    call = compile_call(lambda x, training: sizes.append(x.shape[1]) or model(x, training=training))
    for size in (*range(1, 13), 12, 1):
        x = X[:, :size, :] if size < 9 else np.repeat(X, 2, axis=1)[:, :size]
        np.testing.assert_array_equal(call(x), model(x))
    assert sizes == [*range(1, 13), 1]
