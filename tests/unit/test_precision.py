"""Half and double precision train as in Keras's own `fit`, and what is handed out and kept is what was computed."""

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.models import features
from tl_helpers.models.features import extract_features, run_once
from tl_helpers.models.forward import make_forward
from tl_helpers.training.adaptation import fit_coral, fit_dann
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import freeze
from tl_helpers.training.loop import draw_batches
from tl_helpers.training.multitask import fit_pcgrad

X = np.random.default_rng(0).normal(0, 1, (12, 6, 6, 2)).astype("float32")
Y = np.arange(12) % 3
RUN = {"strategy": "fine_tuning", "learning_rate": 0.01, "updates": 6, "batch_size": 4, "seed": 0}


@pytest.fixture
def policy():
    """Build networks in another precision, and go back to the old one afterwards."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    yield keras.config.set_dtype_policy
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(before[0])


def network(**head):
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(3, 3, activation="tanh", name="conv1")(image)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.Model(image, layers.Dense(3, name="head", **head)(x), name="network")


def fit_by_keras(model, x, y, loss=None):
    """Train with Keras's own `fit` on the batches of `fit_transfer`."""
    schedule = keras.optimizers.schedules.PolynomialDecay(0.01, 6, end_learning_rate=0.0)
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)
    rows = draw_batches(len(x), 6, 4, [0, 0]).ravel()
    model.fit(x[rows], y[rows], batch_size=4, shuffle=False, verbose=0)


def assert_same_weights(one, other, atol=1e-6):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# Gradients of about 1e-9, which are 0 in float16.
FAINT = np.float32(1e-4) * X[:, 0, 0], np.float32(1e-5) * X[:, 1, 1, :1]


def faint_network():
    keras.utils.set_random_seed(0)
    image = keras.Input((2,))
    return keras.Model(image, layers.Dense(1, name="head", kernel_initializer="zeros")(image))


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_the_weights_are_those_of_fit(name, policy):
    policy(name)
    own, by_keras = network(), network()
    start = own.get_weights()
    fit = fit_transfer(own, (X, Y), (X, Y), **RUN)
    fit_by_keras(by_keras, X, Y)
    assert all((a != b).any() for a, b in zip(start, own.get_weights(), strict=True))
    assert_same_weights(own, by_keras)
    assert np.isfinite(fit.history["loss"]).all() and np.isfinite(fit.history["validation_loss"].iloc[-1])


def test_faint_gradients_train_in_float16_too(policy):
    policy("mixed_float16")
    own, by_keras = faint_network(), faint_network()
    fit_transfer(own, FAINT, **RUN, loss=keras.losses.MeanSquaredError())
    fit_by_keras(by_keras, *FAINT, loss=keras.losses.MeanSquaredError())
    assert np.abs(own.get_weights()[0]).min() > 1e-6  # otherwise exactly 0
    assert_same_weights(own, by_keras, atol=1e-9)


def test_one_layer_in_float16_is_enough():
    keras.utils.set_random_seed(0)
    image = keras.Input((2,))
    hidden = layers.Dense(1, name="body", kernel_initializer="zeros", dtype="mixed_float16")(image)
    model = keras.Model(image, layers.Dense(1, name="head", kernel_initializer="ones")(hidden))
    assert model.dtype_policy.name == "float32"
    fit_transfer(model, FAINT, **RUN, loss=keras.losses.MeanSquaredError())
    assert np.abs(model.get_weights()[0]).min() > 1e-6  # otherwise exactly 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_in_half_precision_are_not_trained(dtype):
    model = network(dtype=dtype)
    with pytest.raises(ValueError, match=rf"'head/kernel' of '.*' are in {dtype}, .* policy 'mixed_{dtype}'"):
        fit_transfer(model, (X, Y), **RUN)


def test_double_precision_everywhere(policy):
    keras.config.set_floatx("float64")
    policy("float64")
    own, by_keras = network(), network()
    x = X.astype("float64")
    fit = fit_transfer(own, (x, Y), (x, Y), **RUN)
    fit_by_keras(by_keras, x, Y)
    assert own.get_weights()[0].dtype == np.float64
    assert_same_weights(own, by_keras, atol=1e-12)
    # The loss of the first batch, before the first update, in all its digits.
    rows = draw_batches(len(x), 6, 4, [0, 0])[0]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert float(loss(Y[rows], network()(x[rows]))) == pytest.approx(fit.history["loss"][0], abs=1e-12)


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_the_frozen_part_run_once_or_a_sentence(name, policy, tmp_path):
    policy(name)
    always, once, again = network(), network(), network()
    settings = RUN | {"strategy": "linear_probing"}
    first = fit_transfer(always, (X, Y), (X, Y), **settings, cache=False)
    for model in (once, again):
        fit = fit_transfer(model, (X, Y), (X, Y), **settings, cache=tmp_path)
        assert fit.cached or "computes in half precision" in fit.note
        assert_same_weights(model, always)
        np.testing.assert_allclose(fit.history["loss"], first.history["loss"], rtol=0, atol=1e-6)
    assert (once.get_weights()[2] != network().get_weights()[2]).any()


def test_half_precision_is_run_always_where_places_in_a_batch_differ(policy, monkeypatch):
    policy("mixed_float16")
    monkeypatch.setattr("tl_helpers.training.cached._same_in_every_place", lambda *_: False)
    once, always = network(), network()
    settings = RUN | {"strategy": "linear_probing"}
    fit = fit_transfer(once, (X, Y), (X, Y), **settings)
    other = fit_transfer(always, (X, Y), (X, Y), **settings, cache=False)
    assert not fit.cached and "whole network was run in every update. The frozen part computes in half" in fit.note
    assert_same_weights(once, always, atol=0)
    np.testing.assert_array_equal(fit.history["validation_loss"], other.history["validation_loss"])


# ---------------------------------------------------------------- features


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "float64", "float32"])
def test_features_are_float32_the_first_and_the_second_time(name, policy, tmp_path, monkeypatch):
    policy(name)
    image = keras.Input((6, 6, 2))
    model = keras.Model(image, layers.Conv2D(3, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))(image))
    maps = np.asarray(keras.ops.cast(model(X), "float32"))
    first = extract_features(model, X, cache=tmp_path)
    monkeypatch.setattr(features, "make_forward", None)
    second = extract_features(model, X, cache=tmp_path)
    assert first.dtype == second.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, maps.mean(axis=(1, 2)), rtol=0, atol=1e-6)  # a mean in half is off by 1e-4


def test_precisions_do_not_share_a_cache(policy):
    cache, found = {}, {}
    for name in ("float32", "mixed_float16", "mixed_bfloat16", "float64"):
        policy(name)
        found[name] = run_once(network(), X, batch_size=4, cache=cache)
    assert len(cache) == 4
    assert [found[name].dtype.name for name in found] == ["float32", "float32", "float32", "float64"]
    assert (found["mixed_float16"] != found["mixed_bfloat16"]).any()
    np.testing.assert_array_equal(found["mixed_float16"], found["mixed_float16"].astype("float16"))


def test_a_cached_file_of_another_precision_is_not_believed(tmp_path):
    model = network()
    right = run_once(model, X, batch_size=4, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    np.savez(path, outputs=right.astype("float16"))
    with pytest.warns(UserWarning, match="wrong shape or precision; they are computed anew"):
        np.testing.assert_array_equal(run_once(model, X, batch_size=4, cache=tmp_path), right)


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_come_in_a_precision_that_numpy_knows(name, policy):
    policy(name)
    got = make_forward(network())(X, 5)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, make_forward(network())(X, 5))


# ---------------------------------------------------------------- updates of their own


def target_free(model):
    """Train without a second loss: by each of the routines that make updates of their own."""
    settings = {"learning_rate": 0.01, "updates": 6, "batch_size": 4, "seed": 0}
    if model.name == "coral":
        return fit_coral(model, (X, Y), X, weight=0.0, **settings)
    if model.name == "dann":
        return fit_dann(model, (X, Y), X, strength=0.0, units=4, **settings)
    return fit_pcgrad(model, (X, Y), [keras.losses.SparseCategoricalCrossentropy(from_logits=True)], **settings)


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("routine", ["coral", "dann", "pcgrad"])
def test_other_routines_train_in_other_precisions(routine, name, policy):
    start, results = network().get_weights(), []
    for precision in ("float32", name):
        policy(precision)
        model = network()
        model.name = routine
        model.set_weights(start)  # what is drawn depends on the precision
        results.append([a - b for a, b in zip(target_free(model).get_weights(), start, strict=True)])
    for got, expected in zip(*results, strict=True):
        assert np.abs(expected).max() > 0.005
        np.testing.assert_allclose(got, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("routine", ["coral", "dann", "pcgrad"])
def test_other_routines_scale_faint_losses_in_float16(routine, policy):
    policy("mixed_float16")
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 2))
    x = layers.GlobalAveragePooling2D(name="head_pool")(layers.Rescaling(1e-7)(image))
    hidden = layers.Dense(3, kernel_initializer="zeros", use_bias=False, name="faint", dtype="mixed_float16")(x)
    model = keras.Model(image, layers.Dense(3, name="head")(hidden), name=routine)
    freeze(model, upto="head_pool")
    target_free(model)
    assert np.abs(model.get_layer("faint").get_weights()[0]).max() > 1e-5  # otherwise exactly 0


@pytest.mark.parametrize("routine", ["coral", "dann", "pcgrad"])
def test_other_routines_refuse_weights_in_half_precision(routine):
    model = network(dtype="float16")
    model.name = routine
    with pytest.raises(ValueError, match="are in float16"):
        target_free(model)
