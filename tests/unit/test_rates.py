"""The learning rate is chosen on validation data, by one rule, and says so where the choice is not to be trusted."""

import random

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from tl_helpers.models.small_network import small_cnn
from tl_helpers.training import learning_rate as rates
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import freeze, freeze_all_but, unfreeze
from tl_helpers.training.learning_rate import lr_find, tune_learning_rate
from tl_helpers.training.weights import snapshot

SHAPE = (12, 12, 1)
TRAIN = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), "uint8"), np.arange(12) % 3
HELD_OUT = np.random.default_rng(1).integers(0, 256, (9, *SHAPE), "uint8"), np.arange(9) % 3
GRID = {"strategy": "linear_probing", "updates": 5, "batch_size": 6}


def network(seed=0):
    return small_cnn(SHAPE, 3, seed=seed)


# ---------------------------------------------------------------- tune_learning_rate


class FakeFit:
    """A stand-in for training: each rate reaches a score that the test sets."""

    def __init__(self, reached):
        self.reached, self.calls = reached, []

    def __call__(self, model, train, validation, **settings):
        self.calls.append((model, settings))
        value = self.reached[settings["learning_rate"]]
        if value is None:
            raise FloatingPointError("The loss stopped being a finite number.")
        frame = {
            "phase": "x",
            "update": [1],
            "loss": [1.0],
            "validation_accuracy": value[0],
            "validation_loss": value[1],
        }
        return type("Fit", (), {"history": pd.DataFrame(frame), "model": model})()


def choose(monkeypatch, reached, **settings):
    fake = FakeFit(reached)
    monkeypatch.setattr(rates, "fit_transfer", fake)
    choice = tune_learning_rate(lambda seed: ("model", seed), None, None, rates=list(reached), **GRID | settings)
    return choice, fake


def test_the_best_score_wins(monkeypatch):
    choice, _ = choose(monkeypatch, {0.1: (0.4, 1.0), 0.01: (0.9, 2.0), 0.001: (0.5, 0.5)})
    assert (choice.learning_rate, choice.edge) == (0.01, None)
    assert str(choice) == "Best learning rate on the validation data: 0.01."
    assert choice.scores.to_dict("list") == {
        "learning_rate": [0.001, 0.01, 0.1],
        "seed": [0, 0, 0],
        "score": [0.5, 0.9, 0.4],
        "validation_loss": [0.5, 2.0, 1.0],
    }


def test_of_equals_the_lower_loss_wins_and_then_the_lower_rate(monkeypatch):
    assert choose(monkeypatch, {0.001: (0.5, 3.0), 0.01: (0.5, 2.0), 0.1: (0.5, 1.0)})[0].learning_rate == 0.1
    assert choose(monkeypatch, {0.1: (0.5, 1.0), 0.01: (0.5, 1.0), 0.001: (0.4, 1.0)})[0].learning_rate == 0.01


def test_an_edge_is_told(monkeypatch):
    low = choose(monkeypatch, {0.1: (0.4, 1.0), 0.01: (0.5, 1.0), 0.001: (0.9, 1.0)})[0]
    high = choose(monkeypatch, {0.1: (0.9, 1.0), 0.01: (0.5, 1.0), 0.001: (0.4, 1.0)})[0]
    assert (low.edge, high.edge) == ("lowest", "highest")
    assert str(high) == (
        "Best learning rate on the validation data: 0.1, the highest of the grid: a better one may lie beyond."
    )
    assert choose(monkeypatch, {0.1: (0.9, 1.0)})[0].edge is None


def test_a_rate_at_which_training_diverged_is_out(monkeypatch):
    choice, _ = choose(monkeypatch, {0.1: None, 0.01: (0.2, 1.0), 0.001: (0.1, 1.0)})
    assert choice.learning_rate == 0.01
    assert choice.edge is None  # the next rate was tried, and is too high
    assert np.isnan(choice.scores.set_index("learning_rate").loc[0.1, "score"])
    with pytest.raises(
        FloatingPointError, match=r"diverged at every rate tried, 0\.01…0\.1\. Try lower ones"
    ) as caught:
        choose(monkeypatch, {0.1: None, 0.01: None})
    assert isinstance(caught.value.__cause__, FloatingPointError)


def test_a_rate_at_which_one_seed_diverged_is_out_too(monkeypatch):
    class Fake(FakeFit):
        def __call__(self, *arguments, **settings):
            if (settings["learning_rate"], settings["seed"]) == (0.1, 5):
                raise FloatingPointError
            return super().__call__(*arguments, **settings)

    monkeypatch.setattr(rates, "fit_transfer", Fake({0.1: (0.9, 1.0), 0.01: (0.2, 1.0)}))
    choice = tune_learning_rate(lambda seed: None, None, None, rates=[0.1, 0.01], seeds=(4, 5), **GRID)
    assert choice.learning_rate == 0.01
    assert choice.scores["score"].isna().tolist() == [False, False, False, True]


def test_the_mean_over_seeds_counts_and_every_model_is_new(monkeypatch):
    class Fake(FakeFit):
        def __call__(self, model, *arguments, **settings):
            self.reached = {0.1: ((0.9, 0.1)[settings["seed"]], 1.0), 0.01: ((0.7, 0.6)[settings["seed"]], 1.0)}
            return super().__call__(model, *arguments, **settings)

    fake = Fake({})
    monkeypatch.setattr(rates, "fit_transfer", fake)
    choice = tune_learning_rate(
        lambda seed: ["model", seed], None, None, rates=[0.1, 0.01, 0.1], seeds=(0, 1), upto="conv1", **GRID
    )
    assert choice.learning_rate == 0.01
    assert len(fake.calls) == 4 and len({id(model) for model, _ in fake.calls}) == 4
    assert [(model[1], each["seed"], each["learning_rate"]) for model, each in fake.calls] == [
        (0, 0, 0.01),
        (1, 1, 0.01),
        (0, 0, 0.1),
        (1, 1, 0.1),
    ]
    assert all(each["upto"] == "conv1" and each["validations"] == 1 for _, each in fake.calls)
    assert len({id(each["cache"]) for _, each in fake.calls}) == 1


@pytest.mark.parametrize("settings", [{"rates": []}, {"rates": [0.1], "seeds": []}])
def test_there_must_be_a_rate_and_a_seed(settings):
    with pytest.raises(ValueError, match="at least one rate and one seed"):
        tune_learning_rate(network, TRAIN, HELD_OUT, **GRID | settings)


@pytest.mark.parametrize("weights", ["last", "best"])
def test_scores_are_those_of_the_weights_that_the_model_ends_with(weights):
    choice = tune_learning_rate(network, TRAIN, HELD_OUT, rates=[0.3, 1e-4], weights=weights, validations=5, **GRID)
    for _, row in choice.scores.iterrows():
        fit = fit_transfer(
            network(), TRAIN, HELD_OUT, learning_rate=row.learning_rate, seed=0, weights=weights, validations=5, **GRID
        )
        assert row.score == accuracy(fit.model, HELD_OUT)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(HELD_OUT[1], fit.model(HELD_OUT[0]))
        assert row.validation_loss == pytest.approx(float(loss), rel=1e-5)


def test_other_scores_and_losses():
    y = np.random.default_rng(2).normal(size=(12, 3)).astype("float32")
    regression = (TRAIN[0], y), (HELD_OUT[0], y[:9])
    choice = tune_learning_rate(network, *regression, rates=[1e-2, 1e-3], loss="mse", **GRID)
    assert (choice.scores["score"] == -choice.scores["validation_loss"]).all()
    choice = tune_learning_rate(
        network, *regression, rates=[1e-2, 1e-3], loss="mse", score=lambda model, data: float(len(data[0])), **GRID
    )
    assert (choice.scores["score"] == 9).all()


def test_the_frozen_part_is_run_once_for_all_rates(monkeypatch):
    from tl_helpers.training import cached

    whole, run_once = [], cached.run_once

    def count(model, x, *, cache, **settings):
        known = len(cache)
        outputs = run_once(model, x, cache=cache, **settings)
        whole.extend([len(x)] * (len(cache) - known))
        return outputs

    monkeypatch.setattr(cached, "run_once", count)
    tune_learning_rate(network, TRAIN, HELD_OUT, rates=[0.1, 0.01, 0.001], **GRID)
    assert len(whole) == 2  # training and validation data


# ---------------------------------------------------------------- lr_find


def parabola(start=1.0):
    """A model of one weight w on the input 1, with loss w²: what a rate does can be reckoned by hand."""
    image = keras.Input((1,))
    head = layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(start), name="head")
    return keras.Model(image, head(image))


ONES = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")


def test_rates_rise_geometrically_and_the_loss_is_that_before_each_update():
    sweep = lr_find(parabola(), ONES, lowest=1e-4, highest=1e-1, updates=31, loss="mse", batch_size=2)
    frame = sweep.frame
    assert list(frame.columns) == ["learning_rate", "loss", "smooth_loss"]
    np.testing.assert_allclose(frame["learning_rate"], np.geomspace(1e-4, 1e-1, 31)[: len(frame)], rtol=1e-6)
    assert frame["loss"].iloc[0] == 1 == pytest.approx(frame["smooth_loss"].iloc[0])
    # Adam's first step is as long as the rate.
    assert frame["loss"].iloc[1] == pytest.approx((1 - 1e-4) ** 2, rel=1e-5)
    smooth = np.array([0.9 ** np.arange(n)[::-1] @ frame["loss"][:n] for n in range(1, len(frame) + 1)])
    smooth *= 0.1 / (1 - 0.9 ** np.arange(1, len(frame) + 1))
    np.testing.assert_allclose(frame["smooth_loss"], smooth, rtol=1e-9)
    assert sweep.suggestion == pytest.approx(frame["learning_rate"][frame["smooth_loss"].idxmin()] / 10)


def test_it_stops_where_the_loss_is_four_times_its_lowest():
    losses = lr_find(parabola(), ONES, lowest=1e-3, highest=1e3, updates=100, loss="mse").frame["loss"].to_numpy()
    assert len(losses) < 100
    assert losses[-1] > 4 * losses.min()
    assert (losses[:-1] <= 4 * np.minimum.accumulate(losses[:-1])).all()


def test_a_loss_that_stops_being_finite_ends_it_quietly():
    sweep = lr_find(parabola(), ONES, lowest=1e-3, highest=1e38, updates=10, loss="mse")
    assert 1 <= len(sweep.frame) < 10 and np.isfinite(sweep.frame.to_numpy()).all()


def stochastic():
    image = keras.Input(SHAPE, name="image")
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(2, 3, name="conv")(image))
    x = layers.Dropout(0.5, name="drop")(layers.Flatten(name="flat")(x))
    return keras.Model(image, layers.Dense(3, name="head")(x))


def test_everything_is_as_before():
    model = stochastic()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(*TRAIN, batch_size=4, verbose=0)
    before, optimizer = snapshot(model), model.optimizer
    moments = [variable.numpy().copy() for variable in optimizer.variables]
    freezing = [layer.trainable for layer in model.layers]

    def draws():
        return random.random(), np.random.random(), np.asarray(keras.random.uniform((2,))).tolist()  # noqa: NPY002

    keras.utils.set_random_seed(3)
    expected = draws()
    keras.utils.set_random_seed(3)
    first = lr_find(model, TRAIN, updates=12, batch_size=4)
    assert draws() == expected
    assert model.optimizer is optimizer
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    for old, variable in zip(moments, optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    assert [layer.trainable for layer in model.layers] == freezing
    # Had anything been left behind, the second sweep would differ; with another seed it does.
    pd.testing.assert_frame_equal(first.frame, lr_find(model, TRAIN, updates=12, batch_size=4).frame)
    assert lr_find(model, TRAIN, updates=12, batch_size=4, seed=1).frame["loss"][0] != first.frame["loss"][0]
    model.fit(*TRAIN, batch_size=4, verbose=0)  # and plain Keras goes on


def test_everything_is_as_before_after_an_interruption(monkeypatch):
    model, calls = stochastic(), []
    before = snapshot(model)
    repeat_update = rates.repeat_update

    def interrupted(*arguments):
        steps = repeat_update(*arguments)

        def run(rows):
            calls.append(rows)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return steps(rows)

        return run

    monkeypatch.setattr(rates, "repeat_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lr_find(model, TRAIN, updates=12, batch_size=4)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_only_what_is_trainable_trains():
    model = network()
    freeze_all_but(model)
    frozen = lr_find(model, TRAIN, highest=0.1, updates=12, batch_size=4).frame["loss"]
    unfreeze(model)
    assert (lr_find(model, TRAIN, highest=0.1, updates=12, batch_size=4).frame["loss"] != frozen).any()


def test_what_it_cannot_serve_is_refused():
    model = network()
    for settings in ({"lowest": 0}, {"lowest": 1.0}, {"highest": 1e-7}, {"highest": float("nan")}, {"updates": 9}):
        with pytest.raises(ValueError, match="lowest must be above 0 and below highest, and updates at least 10"):
            lr_find(model, TRAIN, **settings)
    for settings in ({"batch_size": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="batch_size must be at least 1, seed at least 0"):
            lr_find(model, TRAIN, **settings)
    with pytest.raises(ValueError, match="No training example of class 2"):
        lr_find(model, (TRAIN[0], np.minimum(TRAIN[1], 1)))
    with pytest.raises(ValueError, match="The inputs of train have shape"):
        lr_find(model, (TRAIN[0][:, 1:], TRAIN[1]))
    freeze(model)
    with pytest.raises(ValueError, match=r"Everything in 'small_cnn.*' is frozen: there is no learning rate to find"):
        lr_find(model, TRAIN)


def test_a_stale_model_is_refused():
    model = network()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(*TRAIN, verbose=0)
    freeze(model, upto="conv1")
    with pytest.raises(ValueError, match=r"was frozen or thawed after it had trained\. Compile it anew first"):
        lr_find(model, TRAIN)


def test_data_that_are_not_finite_are_an_error():
    x = TRAIN[0].astype("float32") * np.nan
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"x of train holds values that are not finite .*, the first in example 0"):
        lr_find(model, (x, TRAIN[1]))
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_a_loss_below_zero_is_refused():
    with pytest.raises(ValueError, match="below 0"):
        lr_find(parabola(), (np.ones((4, 1), "float32"), np.ones((4, 1), "float32")), loss=lambda y, z: -y * z)
