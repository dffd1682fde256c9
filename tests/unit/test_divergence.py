"""A model that was ruined is put back, on processors whose ReLU passes NaN on and on those whose ReLU makes it 0."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from tests.unit.networks import HELD_OUT, SHAPE, TRAIN, moved
from tl_helpers.training import fit as training
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.learning_rate import lr_find, tune_learning_rate
from tl_helpers.training.loop import draw_batches, run_updates
from tl_helpers.training.weights import not_finite, snapshot

SETTINGS = {"learning_rate": 0.01, "updates": 8, "batch_size": 4, "seed": 0}


def passing_relu(x):
    return ops.where(ops.isnan(x), x, ops.maximum(x, 0))


def swallowing_relu(x):
    return ops.where(ops.isnan(x), ops.zeros_like(x), ops.maximum(x, 0))


@keras.saving.register_keras_serializable("tests")
class Ruin(layers.Layer):
    """Change nothing on the way forward, and make every gradient NaN on the way back."""

    def call(self, x):
        return tf.custom_gradient(lambda value: (tf.identity(value), lambda gradient: gradient * np.nan))(x)


@pytest.fixture(params=[passing_relu, swallowing_relu])
def make(request):
    """A function that builds a network whose body is ruined by its first update, with either kind of ReLU."""

    def build(seed=0, *, spoil=Ruin):
        image = keras.Input(SHAPE, name="image")
        start = keras.initializers.HeUniform(seed=seed)
        x = layers.Rescaling(1 / 255, name="preprocess")(image)
        x = layers.Conv2D(4, 3, strides=2, kernel_initializer=start, name="conv1")(x)
        if spoil:
            x = spoil(name="spoil")(x)
        x = layers.Activation(request.param, name="relu")(x)
        x = layers.GlobalAveragePooling2D(name="head_pool")(x)
        return keras.Model(image, layers.Dense(3, kernel_initializer=start, name="head")(x), name="spoilt")

    return build


def test_either_kind_of_relu_is_what_it_says():
    np.testing.assert_array_equal(passing_relu(np.array([-1.0, 2.0, np.nan])), [0, 2, np.nan])
    np.testing.assert_array_equal(swallowing_relu(np.array([-1.0, 2.0, np.nan])), [0, 2, 0])


@pytest.mark.parametrize("strategy", ["fine_tuning", "scratch", "lp_ft"])
@pytest.mark.parametrize("held_out", [None, HELD_OUT])
@pytest.mark.parametrize("weights", ["last", "best"])
def test_ruined_weights_are_noticed_and_put_back(make, strategy, held_out, weights):
    if weights == "best" and held_out is None:
        pytest.skip("needs validation data")
    model = make()
    before = snapshot(model)
    with pytest.raises(FloatingPointError, match=r"at update \d: the learning rate 0\.01 is too high .* Try a tenth"):
        fit_transfer(model, TRAIN, held_out, strategy=strategy, weights=weights, **SETTINGS)
    assert not moved(model, before) and not not_finite(model)


def test_one_update_is_enough_to_be_noticed(make):
    # The loss of the only update is finite; its weights are not.
    model = make()
    before = snapshot(model)
    with pytest.raises(FloatingPointError, match="'conv1/kernel' held NaN or infinite weights at update 1"):
        fit_transfer(model, TRAIN, strategy="fine_tuning", **SETTINGS | {"updates": 1})
    assert not moved(model, before)


def test_a_validation_loss_that_is_not_finite_is_noticed(make, monkeypatch):
    model = make(spoil=None)
    before = snapshot(model)
    make_forward = training.make_forward
    monkeypatch.setattr(training, "make_forward", lambda *a, **s: lambda *x: make_forward(*a, **s)(*x) * np.inf)
    with pytest.raises(FloatingPointError, match="The validation loss stopped being a finite number at update 1"):
        fit_transfer(model, TRAIN, HELD_OUT, strategy="fine_tuning", cache=False, **SETTINGS)
    assert not moved(model, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_that_was_ruined_before_is_refused(make, value):
    model = make(spoil=None)
    kernel, bias = model.get_layer("conv1").get_weights()
    kernel[1, 1, 0, 2] = value
    model.get_layer("conv1").set_weights([kernel, bias])
    assert not_finite(model) == ["conv1/kernel"]
    with pytest.raises(ValueError, match=r"'spoilt' holds NaN or infinite weights before training, in 'conv1/kernel'"):
        fit_transfer(model, TRAIN, strategy="linear_probing", **SETTINGS)


def test_a_ruined_moving_statistic_is_found_too():
    values = keras.Input((3,))
    model = keras.Model(values, layers.BatchNormalization(name="norm")(values))
    model.get_layer("norm").moving_variance.assign([1.0, np.inf, 1.0])
    assert not_finite(model) == ["norm/moving_variance"]


def test_a_rate_that_ruins_the_weights_is_out(make):
    with pytest.raises(FloatingPointError, match="diverged at every rate tried"):
        tune_learning_rate(make, TRAIN, HELD_OUT, strategy="fine_tuning", rates=[0.1, 0.01], updates=4, batch_size=4)


def test_a_sweep_ends_where_a_weight_is_ruined(make):
    model = make()
    before = snapshot(model)
    sweep = lr_find(model, TRAIN, updates=20, batch_size=4)
    assert len(sweep.frame) == 1 and np.isfinite(sweep.frame.to_numpy()).all()
    assert not moved(model, before)


def test_updates_of_ones_own_are_watched_too(make):
    model = make()
    before, optimizer = snapshot(model), keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    images, loss = tf.constant(TRAIN[0]), keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def update(batch):
        with tf.GradientTape() as tape:
            value = loss(tf.gather(TRAIN[1], batch), model(tf.gather(images, batch), training=True))
        values = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(value, values), model.trainable_variables)
        return value

    with pytest.raises(FloatingPointError, match=r"at update \d: the learning rate or a loss's weight is too high"):
        run_updates(model, update, draw_batches(12, 5, 4, 0), name="mine")
    assert not moved(model, before)
