"""Every strategy moves what it says and nothing else, as often as it says, and leaves the rest of the world alone."""

import types

import keras
import numpy as np
import pytest
from keras import layers

from tests.unit.networks import COMMON, HELD_OUT, SHAPE, TRAIN, moved, network
from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.street import load_street
from tl_helpers.models.small_network import small_cnn
from tl_helpers.training import fit as training
from tl_helpers.training.evaluation import accuracy, mean_recall
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import is_stale
from tl_helpers.training.loop import draw_batches
from tl_helpers.training.stillness import live_random_layers
from tl_helpers.training.weights import snapshot


def with_batch_norm():
    """Two stages with BatchNorm and dropout, and a head with dropout."""
    image = keras.Input(SHAPE, name="image")
    x = image
    for number in (1, 2):
        start = keras.initializers.HeUniform(seed=number)
        x = layers.Conv2D(4, 3, strides=2, kernel_initializer=start, name=f"conv{number}_conv")(x)
        x = layers.BatchNormalization(name=f"conv{number}_norm")(x)
        x = layers.Dropout(0.5, name=f"conv{number}_drop")(x)
    x = layers.Dropout(0.25, name="head_drop")(layers.Flatten(name="head_flat")(x))
    return keras.Model(image, layers.Dense(3, kernel_initializer="zeros", name="head")(x), name="mine")


# ---------------------------------------------------------------- strategies

CONVOLUTIONS = {"conv1_conv", "conv2_conv"}
EVERYTHING = CONVOLUTIONS | {"conv1_norm", "conv2_norm", "head"}


@pytest.mark.parametrize(
    ("strategy", "settings", "expected"),
    [
        ("scratch", {}, EVERYTHING),
        ("linear_probing", {}, {"head"}),
        ("fine_tuning", {}, CONVOLUTIONS | {"head"}),
        ("fine_tuning", {"upto": "conv1"}, {"conv2_conv", "head"}),
        ("fine_tuning", {"upto": "conv2"}, {"head"}),
        ("lp_ft", {}, CONVOLUTIONS | {"head"}),
        ("lp_ft", {"upto": "conv1"}, {"conv2_conv", "head"}),
        ("gradual_unfreezing", {}, CONVOLUTIONS | {"head"}),
        ("gradual_unfreezing", {"upto": "conv1"}, {"conv2_conv", "head"}),
        ("gradual_unfreezing", {"stages": ["conv1_drop", "conv2_drop"]}, CONVOLUTIONS | {"head"}),
    ],
)
def test_what_each_strategy_moves(strategy, settings, expected):
    model = with_batch_norm()
    before = snapshot(model)
    fit = fit_transfer(model, TRAIN, strategy=strategy, **settings, **COMMON)
    assert moved(model, before) == expected
    assert fit.model is model and fit.updates == 6 and fit.strategy == strategy and fit.learning_rate == 0.01
    assert fit.history["update"].tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(fit.history["loss"]).all() and fit.history["validation_loss"].isna().all()
    assert fit.seconds > 0 and fit.cpu_seconds > 0
    # Frozen and compiled as the last phase left it, so that plain Keras can go on.
    norms = {layer.trainable for layer in model.layers if layer.name.endswith("norm")}
    assert norms == {strategy == "scratch"}
    assert model.compiled and not is_stale(model) and not model.optimizer.built
    dropping = [layer.name for layer in live_random_layers(model)]
    frozen = {"linear_probing": 2, "scratch": 0}.get(strategy, {"conv1": 1, "conv2": 2}.get(settings.get("upto"), 0))
    assert dropping == ["conv1_drop", "conv2_drop", "head_drop"][frozen:]


@pytest.mark.parametrize(
    ("strategy", "settings", "phases"),
    [
        ("scratch", {}, {"scratch": 7}),
        ("lp_ft", {}, {"linear_probing": 4, "fine_tuning": 3}),
        ("gradual_unfreezing", {}, {"head": 2, "from conv2": 3, "from conv1": 2}),
        ("gradual_unfreezing", {"upto": "conv1"}, {"head": 4, "from conv2": 3}),
        ("gradual_unfreezing", {"stages": ["conv2"]}, {"head": 4, "from conv2": 3}),
    ],
)
def test_phases_and_their_updates(strategy, settings, phases):
    arguments = COMMON | {"updates": 7} | settings
    fit = fit_transfer(network(), TRAIN, strategy=strategy, **arguments)
    assert fit.history.groupby("phase", sort=False).size().to_dict() == phases
    assert fit.note.count(". ") >= len(phases) - 1
    if len(phases) > 1:
        assert all(f"{name}: " in fit.note for name in phases)


def test_gradual_unfreezing_thaws_the_last_stage_first(monkeypatch):
    seen = []
    run_phase = training._run_phase

    def spy(model, *arguments):
        seen.append([layer.name for layer in model.layers if layer.trainable_weights])
        return run_phase(model, *arguments)

    monkeypatch.setattr(training, "_run_phase", spy)
    fit_transfer(network(), TRAIN, strategy="gradual_unfreezing", **COMMON)
    assert seen == [["head"], ["conv2", "head"], ["conv1", "conv2", "head"]]


@pytest.mark.parametrize("make", [network, with_batch_norm])
def test_the_first_loss_of_fine_tuning_equals_the_last_of_the_probe(make):
    # All images in every batch, no dropout, and a rate that ends near 0: nothing lies between the two losses.
    model = make()
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    arguments = COMMON | {"updates": 400, "batch_size": 12, "learning_rate": 0.002}
    history = fit_transfer(model, TRAIN, TRAIN, strategy="lp_ft", validations=20, **arguments).history
    probe = history[history["phase"] == "linear_probing"]
    first = history[history["phase"] == "fine_tuning"]["loss"].iloc[0]
    assert first == pytest.approx(probe["validation_loss"].iloc[-1], rel=1e-5)
    assert first == pytest.approx(probe["loss"].iloc[-1], rel=1e-4)
    assert probe["loss"].iloc[-1] < 0.999 * probe["loss"].iloc[0]
    assert history["loss"].iloc[-1] < first


def test_lp_ft_begins_as_linear_probing_does():
    probe = fit_transfer(network(), TRAIN, strategy="linear_probing", **COMMON | {"learning_rate": 0.1, "updates": 3})
    both = fit_transfer(network(), TRAIN, strategy="lp_ft", head_learning_rate=0.1, **COMMON)
    np.testing.assert_array_equal(probe.history["loss"], both.history["loss"][:3])


def test_scratch_forgets_the_weights():
    fits = []
    for seed in (3, 4):
        model = network(seed)
        fits.append(fit_transfer(model, TRAIN, strategy="scratch", **COMMON))
    for one, other in zip(fits[0].model.get_weights(), fits[1].model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    other = fit_transfer(network(3), TRAIN, strategy="scratch", **COMMON | {"seed": 1})
    assert (other.model.get_weights()[0] != fits[0].model.get_weights()[0]).mean() > 0.99


def test_the_first_phase_sees_the_same_images_for_every_strategy(monkeypatch):
    seen = {}

    def spy(n, updates, batch_size, seed):
        rows = draw_batches(n, updates, batch_size, seed)
        seen.setdefault(strategy, []).append(rows)
        return rows

    monkeypatch.setattr(training, "draw_batches", spy)
    for strategy in ("scratch", "lp_ft", "gradual_unfreezing"):
        fit_transfer(network(), TRAIN, strategy=strategy, **COMMON | {"updates": 10})
    for rows in seen.values():
        length = len(rows[0])
        np.testing.assert_array_equal(rows[0], seen["scratch"][0][:length])
        assert sum(map(len, rows)) == 10
    assert (seen["lp_ft"][0] != seen["lp_ft"][1]).any()


def test_rates_fall_linearly_to_zero_and_factors_scale_them(monkeypatch):
    made = []
    adam = keras.optimizers.Adam

    def spy(learning_rate, **settings):
        made.append(learning_rate)
        return adam(learning_rate, **settings)

    monkeypatch.setattr(keras.optimizers, "Adam", spy)
    fit_transfer(network(), TRAIN, strategy="lp_ft", head_learning_rate=0.1, **COMMON | {"updates": 8})
    schedules = [each for each in made if isinstance(each, keras.optimizers.schedules.LearningRateSchedule)]
    rates = [[float(schedule(step)) for step in range(5)] for schedule in schedules]
    np.testing.assert_allclose(rates, [[0.1, 0.075, 0.05, 0.025, 0], [0.01, 0.0075, 0.005, 0.0025, 0]], atol=1e-9)


def test_factors_slow_a_stage_down_to_nothing():
    model, plain = network(), network()
    before = snapshot(model)
    fit_transfer(model, TRAIN, strategy="fine_tuning", factors={"conv1": 1e-6}, **COMMON)
    fit_transfer(plain, TRAIN, strategy="fine_tuning", **COMMON)
    slow = np.abs(model.get_layer("conv1").get_weights()[0] - before[0]).max()
    fast = np.abs(plain.get_layer("conv1").get_weights()[0] - before[0]).max()
    assert slow < 1e-4 * fast and fast > 1e-3
    assert (model.get_layer("conv2").get_weights()[0] != before[2]).any()


# ---------------------------------------------------------------- validation


def test_validation_happens_as_often_as_asked_and_at_the_end():
    fit = fit_transfer(network(), TRAIN, HELD_OUT, strategy="scratch", validations=3, **COMMON | {"updates": 10})
    validated = fit.history.dropna()
    assert validated["update"].tolist() == [3, 7, 10]
    logits = np.asarray(fit.model(HELD_OUT[0]))
    loss = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(HELD_OUT[1], logits))
    assert validated["validation_loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)
    assert validated["validation_accuracy"].iloc[-1] == (logits.argmax(axis=1) == HELD_OUT[1]).mean()
    assert fit.model.evaluate(*HELD_OUT, verbose=0)[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("strategy", ["scratch", "linear_probing"])
def test_the_best_weights_are_those_of_the_best_validation(strategy):
    # A rate so high that the validation goes up and down.
    arguments = COMMON | {"updates": 12, "learning_rate": 0.05, "seed": 1}
    best = fit_transfer(network(), TRAIN, HELD_OUT, strategy=strategy, weights="best", validations=12, **arguments)
    last = fit_transfer(network(), TRAIN, HELD_OUT, strategy=strategy, validations=12, **arguments)
    np.testing.assert_array_equal(best.history["loss"], last.history["loss"])
    order = best.history.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    assert accuracy(best.model, HELD_OUT) == order["validation_accuracy"].iloc[0]
    loss = best.model.evaluate(*HELD_OUT, verbose=0)[0]
    assert loss == pytest.approx(order["validation_loss"].iloc[0], rel=1e-5)
    assert order.index[0] < 11  # otherwise this test would say nothing
    assert last.model.evaluate(*HELD_OUT, verbose=0)[0] == pytest.approx(last.history["validation_loss"].iloc[-1])


def test_another_loss_has_no_accuracy():
    y = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    for loss in ("mse", keras.losses.MeanSquaredError(), lambda target, output: (target - output) ** 2):
        fit = fit_transfer(
            network(), (TRAIN[0], y), (TRAIN[0], y), strategy="fine_tuning", loss=loss, weights="best", **COMMON
        )
        assert fit.history["validation_accuracy"].isna().all()
        expected = np.mean((np.asarray(fit.model(TRAIN[0])) - y) ** 2)
        assert fit.history["validation_loss"].min() == pytest.approx(expected, rel=1e-5)


def test_accuracy_and_mean_recall():
    image = keras.Input((3,))
    model = keras.Model(image, layers.Activation("linear")(image))
    x = np.eye(3, dtype="float32")[[0, 0, 0, 0, 1, 2]]
    y = np.array([0, 0, 0, 1, 1, 1])
    assert accuracy(model, (x, y)) == 4 / 6
    assert mean_recall(model, (x, y), batch_size=4) == (1 + 1 / 3) / 2


def test_a_data_set_of_the_kit_is_taken_as_it_is():
    data = sample_budget(load_street("photo", "target"), 2, seed=0)
    model = small_cnn(data.x.shape[1:], len(data.label_names), seed=0)
    fit = fit_transfer(model, data, data, strategy="linear_probing", **COMMON)
    assert fit.history["validation_accuracy"].iloc[-1] == accuracy(model, data)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "finetuning"}, "strategy must be one of scratch, linear_probing, .* not 'finetuning'"),
        ({"strategy": "scratch", "upto": "conv1"}, "upto and factors are for fine-tuning; strategy 'scratch'"),
        ({"strategy": "linear_probing", "factors": 2.6}, "strategy 'linear_probing' fixes by itself"),
        ({"upto": "conv9"}, "no layer or stage 'conv9'"),
        ({"upto": "conv9", "strategy": "gradual_unfreezing"}, "upto='conv9' is none of the stages conv1, conv2"),
        ({"factors": {"conv9": 0.1}}, "no layer or stage 'conv9'"),
        ({"updates": 0}, r"updates=0 is too few: strategy 'fine_tuning' has 1 phase\(s\)"),
        ({"updates": 1, "strategy": "lp_ft"}, "updates=1 is too few"),
        ({"updates": 2, "strategy": "gradual_unfreezing"}, r"has 3 phase\(s\) here"),
        ({"batch_size": 0}, "batch_size and validations must be at least 1"),
        ({"validations": 0}, "batch_size and validations must be at least 1"),
        ({"learning_rate": 0}, "learning rates above 0"),
        ({"learning_rate": float("nan")}, "learning rates above 0"),
        ({"head_learning_rate": -1.0}, "learning rates above 0"),
        ({"head_learning_rate": 0.0}, "learning rates above 0"),
        ({"seed": -1}, "seed at least 0"),
        ({"weights": "first"}, "weights must be 'last', or 'best', which needs validation data"),
        ({"weights": "best"}, "which needs validation data"),
        ({"upto": "head"}, "nothing.* train"),
    ],
)
def test_bad_arguments_are_errors_and_change_nothing(arguments, message):
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        fit_transfer(model, TRAIN, **COMMON | {"strategy": "fine_tuning"} | arguments)
    assert not moved(model, before)


X, Y = TRAIN


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((X, Y[:-1]), "train has 12 inputs and 11 targets"),
        ((X[:0], Y[:0]), "train has 0 inputs and 0 targets; there must be as many, and at least one"),
        ((X[:, :-1], Y), r"inputs of train have shape \(11, 12, 1\), and '\w+' takes \(12, 12, 1\)\. Resize"),
        ((X[..., 0], Y), r"have shape \(12, 12\)"),
        ((X, np.eye(3)[Y]), r"must be integers 0…2, one per input, .* they are float64 of shape \(12, 3\)"),
        ((X, Y.astype("float32")), "they are float32"),
        ((X, Y + 1), r"int64 of shape \(12,\), 1…3"),
        ((X, Y - 1), "-1…1"),
        ((X, Y * 0), "Every training example is of class 0: with one class nothing can be learned"),
        ((X, np.minimum(Y, 1)), r"No training example of class 2\. Add some, or give the model fewer outputs"),
    ],
)
def test_data_that_do_not_fit_are_errors(train, message):
    with pytest.raises(ValueError, match=message):
        fit_transfer(network(), train, strategy="fine_tuning", **COMMON)


def test_validation_data_are_checked_too_but_may_lack_a_class():
    with pytest.raises(ValueError, match="The inputs of validation have shape"):
        fit_transfer(network(), TRAIN, (X[:, 1:], Y), strategy="fine_tuning", **COMMON)
    fit_transfer(network(), TRAIN, (X[:1], Y[:1]), strategy="fine_tuning", **COMMON)


def test_missing_classes_are_named():
    data = sample_budget(load_street("photo", "target"), 2, seed=0)
    part = types.SimpleNamespace(x=data.x[data.y != 4], y=data.y[data.y != 4], label_names=data.label_names)
    model = small_cnn(data.x.shape[1:], len(data.label_names), seed=0)
    with pytest.raises(ValueError, match=f"No training example of class '{data.label_names[4]}'"):
        fit_transfer(model, part, strategy="fine_tuning", **COMMON)


@pytest.mark.parametrize("strategy", ["fine_tuning", "scratch", "lp_ft"])
def test_a_loss_that_is_not_finite_puts_the_weights_back(strategy):
    model = network()
    before = snapshot(model)
    # Near the largest float: two updates make the head infinite, and behind the head there is no ReLU to hide it.
    with pytest.raises(FloatingPointError, match=r"at update \d+: the learning rate 3e\+38 is too high .* Try a tenth"):
        fit_transfer(model, TRAIN, strategy=strategy, **COMMON | {"learning_rate": 3e38, "updates": 20})
    assert not moved(model, before)


def test_data_that_are_not_finite_are_named():
    x = X.astype("float32")
    x[5, 3, 3] = np.nan
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"x of train holds values that are not finite .*: 1 of 1728, .* in example 5"):
        fit_transfer(model, (x, Y), strategy="fine_tuning", **COMMON)
    assert not moved(model, before)
    y = np.zeros((12, 3), "float32")
    y[0, 0] = np.inf
    with pytest.raises(ValueError, match=r"y of train holds values that are not finite .*: 1 of 36, .* in example 0"):
        fit_transfer(model, (X, y), strategy="fine_tuning", loss="mse", **COMMON)


def test_a_head_must_be_named_so():
    image = keras.Input(SHAPE)
    model = keras.Model(image, layers.Dense(3, name="top")(layers.Flatten()(image)))
    with pytest.raises(ValueError, match="no layer with weights whose name starts with 'head'"):
        fit_transfer(model, TRAIN, strategy="linear_probing", **COMMON)
