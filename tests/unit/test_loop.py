"""Training leaves the world outside as it was, its own state can be put back, and its loops do each batch once."""

import random
import signal

import keras
import numpy as np
import pytest
from keras import layers

from tests.unit.networks import COMMON, HELD_OUT, SHAPE, TRAIN, moved, network
from tl_helpers.models.forward import make_forward
from tl_helpers.training import loop
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import unfreeze
from tl_helpers.training.loop import check_run, draw_batches, run_steps
from tl_helpers.training.update import resolve_loss
from tl_helpers.training.weights import draw_new_weights, put_back, seed_random_layers, snapshot

X, Y = TRAIN


def with_batch_norm():
    """Two stages with BatchNorm and dropout, and a head with dropout."""
    image = keras.Input(SHAPE, name="image")
    x = image
    for number in (1, 2):
        start = keras.initializers.HeUniform(seed=number)
        x = layers.Conv2D(4, 3, strides=2, kernel_initializer=start, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"conv{number}_norm")(x)
        x = layers.Dropout(0.5, name=f"conv{number}_drop")(x)
    x = layers.Dropout(0.25, name="head_drop")(layers.Flatten(name="head_flat")(x))
    return keras.Model(image, layers.Dense(3, kernel_initializer="zeros", name="head")(x), name="mine")


# ---------------------------------------------------------------- its numbers


@pytest.mark.parametrize(
    ("rates", "whole", "words"),
    [
        (
            {"learning_rate": 0.1},
            {"updates": (0, 1), "batch_size": (4, 2), "seed": (0, 0)},
            "updates must be at least 1, batch_size at least 2, seed at least 0, learning_rate above 0; "
            "they are 0, 4, 0 and 0.1.",
        ),
        (
            {"learning_rate": 0.1, "head_learning_rate": -1.0},
            {"updates": (0, None), "batch_size": (4, 1), "validations": (1, 1)},
            "batch_size and validations must be at least 1, learning rates above 0; they are 4, 1, 0.1 and -1.0.",
        ),
        ({}, {"updates": (0, None), "seed": (-1, 0)}, "seed must be at least 0; they are -1."),
        (
            {"learning_rate": np.nan},
            {"seed": (0, 0)},
            "seed must be at least 0, learning_rate above 0; they are 0 and nan.",
        ),
    ],
)
def test_numbers_that_are_too_small_are_named_together(rates, whole, words):
    with pytest.raises(ValueError) as caught:
        check_run(rates, **whole)
    assert str(caught.value) == words


def test_numbers_that_fit_pass_and_so_does_a_rate_that_is_not_given():
    check_run({"learning_rate": 0.1, "head_learning_rate": None}, updates=(1, 1), batch_size=(0, None), seed=(0, 0))


# ---------------------------------------------------------------- interruption, and the world outside


@pytest.mark.parametrize("cache", ["auto", False])
def test_an_interrupted_model_has_the_weights_it_had_got_and_goes_on(cache, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    def interrupted(steps, rows, stops):
        for number, losses in enumerate(run_steps(steps, rows, stops)):
            yield losses
            if number == 1:
                signal.raise_signal(signal.SIGINT)

    model = network()
    before = snapshot(model)
    old = signal.signal(signal.SIGINT, press)
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop, "run_steps", interrupted)
            fit_transfer(model, TRAIN, strategy="fine_tuning", upto="conv1", cache=cache, **COMMON | {"updates": 500})
    finally:
        signal.signal(signal.SIGINT, old)
    assert moved(model, before) == {"conv2", "head"}
    assert np.isfinite(model.predict(X, verbose=0)).all()
    before = snapshot(model)
    fit_transfer(model, TRAIN, strategy="fine_tuning", **COMMON)
    assert moved(model, before) == {"conv1", "conv2", "head"}


def draws():
    import tensorflow as tf

    return [
        random.random(),
        np.random.random(),  # noqa: NPY002
        np.asarray(keras.random.uniform((2,))).tolist(),
        tf.random.uniform((2,)).numpy().tolist(),
    ]


def test_the_global_random_state_is_left_alone():
    model = with_batch_norm()
    keras.utils.set_random_seed(7)
    expected = draws()
    keras.utils.set_random_seed(7)
    for strategy in ("scratch", "lp_ft"):
        fit_transfer(model, TRAIN, HELD_OUT, strategy=strategy, **COMMON)
    assert draws() == expected


def test_results_depend_on_the_seed_alone():
    model = with_batch_norm()
    start = snapshot(model)
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 2)):
        keras.utils.set_random_seed(noise)
        unfreeze(model)
        put_back(model, start)
        results.append(fit_transfer(model, TRAIN, strategy="fine_tuning", **COMMON | {"seed": seed}).history["loss"])
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()


def test_the_optimizer_is_always_a_fresh_one():
    # The same training twice, from the same weights, must go the same way: no momentum is left from the first time.
    model = network()
    start = snapshot(model)
    first = fit_transfer(model, TRAIN, strategy="fine_tuning", **COMMON).history["loss"]
    model.fit(X, Y, verbose=0)
    put_back(model, start)
    again = fit_transfer(model, TRAIN, strategy="fine_tuning", **COMMON).history["loss"]
    np.testing.assert_array_equal(first, again)


def test_a_trained_model_can_be_saved_and_loaded(tmp_path):
    model = with_batch_norm()
    fit_transfer(model, TRAIN, strategy="linear_probing", **COMMON)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    assert [layer.name for layer in loaded.layers if layer.weights and layer.trainable] == ["head"]


@pytest.mark.parametrize("flat", [True, False])
def test_networks_of_keras_are_taken_as_they_are(flat):
    keras.utils.set_random_seed(0)
    base = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35)
    base = keras.Model(base.input, base.get_layer("block_2_add").output)  # all of it would take long
    head = [layers.GlobalAveragePooling2D(name="head_pool"), layers.Dense(2, name="head")]
    if flat:
        model = keras.Model(base.input, head[1](head[0](base.output)))
    else:
        model = keras.Sequential([base, *head])
    data = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), "uint8"), np.arange(6) % 2
    before = snapshot(base)
    fit = fit_transfer(model, data, data, strategy="linear_probing", **COMMON)
    assert not moved(base, before) and fit.cached
    assert fit.history["loss"].iloc[-1] != fit.history["loss"].iloc[0]


# ---------------------------------------------------------------- loops and states


def test_batches_are_full_and_go_through_all_rows_before_any_comes_again():
    rows = draw_batches(10, 9, 4, [1, 2])
    assert rows.shape == (9, 4) and rows.dtype == np.int32
    shuffles = rows.ravel()[:30].reshape(3, 10)
    np.testing.assert_array_equal(np.sort(shuffles), np.tile(np.arange(10), (3, 1)))
    assert (shuffles[0] != shuffles[1]).any()
    np.testing.assert_array_equal(rows[:4], draw_batches(10, 4, 4, [1, 2]))
    assert draw_batches(3, 2, 8, 0).shape == (2, 3)
    assert (draw_batches(10, 9, 4, [1, 3]) != rows).any()


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_steps_are_handed_over_at_every_stop_and_in_order(seconds, monkeypatch):
    clock = iter(np.arange(10_000) * seconds)
    monkeypatch.setattr("tl_helpers.training.loop.time.perf_counter", lambda: next(clock))
    rows, ends, losses = np.arange(20)[:, None], [], []
    for part in run_steps(lambda part: part[:, 0], rows, [7, 8, 20]):
        losses.extend(part)
        ends.append(len(losses))
    assert losses == list(range(20))
    assert {7, 8, 20} <= set(ends)
    assert len(ends) == 20 if seconds else len(ends) < 10


def test_losses_are_means_over_the_batch():
    target, output = np.float32([[1, 2], [3, 4]]), np.float32([[1, 0], [0, 0]])
    for loss in ("mse", keras.losses.MeanSquaredError(), lambda y, z: keras.ops.mean((y - z) ** 2, axis=-1)):
        assert float(resolve_loss(loss)(target, output)) == (0 + 4 + 9 + 16) / 4
    logits = np.float32([[0, 0, 0]])
    assert float(resolve_loss()(np.array([1]), logits)) == pytest.approx(np.log(3))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_forward_gives_every_row_once(batch_size):
    image = keras.Input((1,))
    model = keras.Model(image, layers.Rescaling(2.0)(image))
    x = np.arange(5, dtype="float32")[:, None]
    np.testing.assert_array_equal(make_forward(model)(x, batch_size), 2 * x)


def test_a_snapshot_holds_everything_that_training_changes():
    model = with_batch_norm()
    before = snapshot(model)
    first = fit_transfer(model, TRAIN, strategy="scratch", **COMMON).history["loss"]
    changed = [(a != b.numpy()).any() for a, b in zip(before, model.variables, strict=True)]
    assert sum(changed) >= 10
    put_back(model, before)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    np.testing.assert_array_equal(first, fit_transfer(model, TRAIN, strategy="scratch", **COMMON).history["loss"])
    with pytest.raises(ValueError, match=r"These 1[0-9] arrays do not fit"):
        put_back(model, before[:-1])


def test_random_layers_get_different_seeds_that_depend_on_one():
    image = keras.Input((50,))
    model = keras.Model(image, [layers.Dropout(0.5)(image), layers.Dropout(0.5)(image)])
    x = np.ones((4, 50), "float32")
    drawn = []
    for seed in (5, 5, 6):
        seed_random_layers(model, seed)
        drawn.append([np.asarray(each) for each in model(x, training=True)])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][0] != drawn[0][1]).any() and (drawn[0][0] != drawn[2][0]).any()
    seed_random_layers(model, 2**40)  # any seed of a run


def test_new_weights_are_drawn_by_each_layers_own_rule_but_not_where_nothing_was_learned():
    image = keras.Input((200,))
    normalise = layers.Normalization(mean=3.0, variance=4.0, name="normalise")
    x = layers.Dense(300, kernel_initializer=keras.initializers.RandomNormal(7.0, 0.5), name="wide")(normalise(image))
    x = layers.BatchNormalization(name="norm")(layers.Dense(300, kernel_initializer="he_uniform", name="he")(x))
    model = keras.Model(image, layers.Dense(2, kernel_initializer="ones", name="head")(x))
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(np.full(variable.shape, 0.125, "float32"))
    draw_new_weights(model, 3)
    wide, he = (model.get_layer(name).get_weights()[0] for name in ("wide", "he"))
    assert wide.mean() == pytest.approx(7, abs=0.01) and wide.std() == pytest.approx(0.5, abs=0.01)
    assert np.abs(he).max() == pytest.approx(np.sqrt(6 / 300), rel=1e-3)
    assert np.abs(np.corrcoef(wide[:200].ravel(), he[:200].ravel())[0, 1]) < 0.02
    scale, shift, mean, variance = model.get_layer("norm").get_weights()
    assert (scale == 1).all() and (shift == 0).all() and (mean == 0).all() and (variance == 1).all()
    assert (model.get_layer("head").get_weights()[0] == 1).all()
    again = keras.models.clone_model(model)
    draw_new_weights(again, 3)
    np.testing.assert_array_equal(again.get_layer("wide").get_weights()[0], wide)
    draw_new_weights(again, 4)
    assert (again.get_layer("wide").get_weights()[0] != wide).mean() > 0.99
