"""What was put aside can be put back, also where layers have gained or lost sources of random numbers since."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.unit.networks import break_in_phase
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import freeze, unfreeze
from tl_helpers.training.loop import run_updates
from tl_helpers.training.saving import load_model, save_model
from tl_helpers.training.stillness import live_random_layers
from tl_helpers.training.weights import put_back, restored, seed_random_layers, snapshot

X = np.random.default_rng(0).normal(0, 1, (12, 5)).astype("float32")
TRAIN = X, np.arange(12) % 3
RUN = {"strategy": "lp_ft", "learning_rate": 0.01, "updates": 6, "batch_size": 4, "seed": 0}


def network():
    """Two layers without a ReLU, so that what is not finite stays so, with dropout between them."""
    keras.utils.set_random_seed(0)
    image = keras.Input((5,), name="image")
    x = layers.Dense(4, name="body")(image)
    x = layers.Dropout(0.5, name="body_drop")(x)
    x = layers.GaussianNoise(0.1, name="body_noise")(x)
    return keras.Model(image, layers.Dense(3, name="head")(x), name="network")


@pytest.fixture
def loaded(tmp_path):
    """Load the frozen network from a file: its dropout is silent, and comes without random numbers of its own."""
    model = network()
    freeze(model, upto="body_noise")
    model.save(tmp_path / "frozen.keras")

    def load():
        return keras.models.load_model(tmp_path / "frozen.keras", compile=False)

    assert len(load().variables) < len(model.variables)
    load.frozen = model
    return load


def assert_same_weights(model, expected):
    for weight, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def random_states(model):
    weights = {id(weight) for weight in model.weights}
    return [variable.numpy() for variable in model.variables if id(variable) not in weights]


def test_a_snapshot_is_put_back_after_dropout_has_thawed(loaded):
    model = loaded()
    before, start = snapshot(model), model.get_weights()
    unfreeze(model)
    assert len(model.variables) > len(before) and len(live_random_layers(model)) == 2
    model.set_weights([weight + 1 for weight in start])
    put_back(model, before)
    assert_same_weights(model, start)


def test_random_numbers_that_both_have_are_put_back():
    model = network()
    seed_random_layers(model, 7)
    before, states = snapshot(model), random_states(model)
    seed_random_layers(model, 8)
    freeze(model)
    put_back(model, before)
    assert len(states) == 2
    for state, old in zip(random_states(model), states, strict=True):
        np.testing.assert_array_equal(state, old)


def test_a_snapshot_fits_a_model_built_alike_with_or_without_random_numbers(loaded):
    model, whole = loaded(), network()
    whole.set_weights([weight + 1 for weight in whole.get_weights()])
    put_back(model, snapshot(whole))
    assert_same_weights(model, whole.get_weights())
    put_back(whole, [np.zeros_like(weight) for weight in whole.get_weights()])
    assert not any(weight.any() for weight in whole.get_weights())


def test_weights_that_a_model_has_gained_or_lost_are_named_and_nothing_is_changed():
    model = network()
    before = snapshot(model)
    model.get_layer("head").enable_lora(1)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    now = model.get_weights()
    with pytest.raises(ValueError, match=r"cannot be put back: .* lost \[\] and gained \['head/lora_kernel_a'"):
        put_back(model, before)
    whole = snapshot(model)
    other = keras.Model(model.input, model.get_layer("body_noise").output, name="other")
    with pytest.raises(ValueError, match=r"lost \['head/kernel', .*\] and gained \[\]"):
        put_back(other, whole)
    for values in (now[:-1], [*now, now[0]], [now[1], now[0], *now[2:]]):
        with pytest.raises(ValueError, match=r"arrays do not fit the \d+ variables of 'network'"):
            put_back(model, values)
    assert_same_weights(model, now)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [None, Exception])
def test_what_is_done_inside_is_undone_in_any_case_or_after_errors_of_a_kind(error, after):
    model = network()
    start = model.get_weights()
    try:
        with restored(model, after=after) as before:
            assert not before.changed()
            model.set_weights([weight + 1 for weight in start])
            assert {id(variable) for variable in before.changed()} == {id(weight) for weight in model.weights}
            if error:
                raise error
    except (ValueError, KeyboardInterrupt) as caught:
        assert type(caught) is error
    else:
        assert error is None
    undone = after is None or error is ValueError
    assert_same_weights(model, [weight + (0 if undone else 1) for weight in start])


@pytest.fixture
def thawing(loaded, tmp_path):
    """Load the frozen network from a file that says who froze it: strategies may thaw it."""
    save_model(loaded.frozen, tmp_path / "kit.keras")
    return lambda: load_model(tmp_path / "kit.keras")


@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_that_diverges_after_thawing_can_be_called_again(thawing, fresh, tmp_path, monkeypatch):
    model = thawing()
    start = model.get_weights()
    settings = RUN | {"learning_rate": 3e38, "head_learning_rate": 0.01, "resume": tmp_path / "run.npz"}
    with pytest.raises(FloatingPointError):
        fit_transfer(model, TRAIN, **settings)
    assert_same_weights(model, start)
    calls = break_in_phase(monkeypatch, 99)
    with pytest.raises(FloatingPointError):  # the same run: its first phase is not run again
        fit_transfer(thawing() if fresh else model, TRAIN, **settings)
    assert len(calls) == 1


def test_updates_of_ones_own_that_diverge_leave_the_weights(loaded):
    import tensorflow as tf

    model = loaded()
    start, before = model.get_weights(), snapshot(model)

    def update(batch):
        unfreeze(model)  # traced once: layers gain random numbers in between
        model.weights[0].assign_add(tf.ones((5, 4)))
        return tf.constant(np.inf, "float32")

    with pytest.raises(FloatingPointError):
        run_updates(model, update, np.zeros((2, 1), "int32"), name="test")
    assert len(model.variables) > len(before)
    assert_same_weights(model, start)


@pytest.mark.parametrize("made", ["loaded", "built"])
def test_a_frozen_model_from_a_file_goes_on_where_it_was_interrupted(made, thawing, tmp_path, monkeypatch):
    whole = fit_transfer(thawing(), TRAIN, **RUN)
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        break_in_phase(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            fit_transfer(thawing(), TRAIN, **RUN, resume=path)
    calls = break_in_phase(monkeypatch, 99)
    model = thawing() if made == "loaded" else network()  # the run freezes it as it does the other
    resumed = fit_transfer(model, TRAIN, **RUN, resume=path)
    assert len(calls) == 1
    assert_same_weights(resumed.model, whole.model.get_weights())
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    fit_transfer(thawing(), TRAIN, **RUN, resume=path)
    assert len(calls) == 1


def test_what_was_fixed_by_hand_makes_another_run(loaded, tmp_path):
    path = tmp_path / "run.npz"
    fit_transfer(network(), TRAIN, **RUN, resume=path)
    for model in (loaded(), network()):
        model.get_layer("body").trainable = False
        with pytest.warns(UserWarning, match="'body'"), pytest.raises(ValueError, match="belongs to another run"):
            fit_transfer(model, TRAIN, **RUN, resume=path)


def test_a_model_whose_layers_have_gained_weights_is_another_run(tmp_path):
    path = tmp_path / "run.npz"
    fit_transfer(network(), TRAIN, **RUN, resume=path)
    model = network()
    model.get_layer("body").enable_lora(1)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit_transfer(model, TRAIN, **RUN, resume=path)


def test_an_interrupted_model_is_told_from_a_fresh_one(tmp_path, monkeypatch):
    model, path = network(), tmp_path / "run.npz"
    break_in_phase(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        fit_transfer(model, TRAIN, **RUN, resume=path)
    with pytest.raises(ValueError, match=r"After an interruption the model has other weights .* build or load it anew"):
        fit_transfer(model, TRAIN, **RUN, resume=path)


def test_frozen_weights_in_half_precision_come_back_from_a_checkpoint(tmp_path):
    image = keras.Input((5,))
    body = layers.Dense(4, dtype="bfloat16", name="body")(image)
    model = keras.Model(image, layers.Dense(3, name="head")(body))
    settings = RUN | {"strategy": "linear_probing", "resume": tmp_path / "run.npz"}
    start = model.get_weights()
    fit = fit_transfer(model, TRAIN, **settings)
    end = model.get_weights()
    model.set_weights(start)
    again = fit_transfer(model, TRAIN, **settings)
    assert again.seconds >= fit.seconds
    assert (np.float32(end[0]) == np.float32(start[0])).all() and start[0].any()
    assert_same_weights(model, end)
