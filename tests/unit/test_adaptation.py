"""Standardising, CORAL, gradient reversal and its schedule by their closed forms; training on two domains."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.models.small_network import small_cnn
from tl_helpers.training.adaptation import (
    GradientReversal,
    coral,
    coral_loss,
    fit_coral,
    fit_dann,
    reversal_schedule,
    standardise,
)

# ---------------------------------------------------------------- features


def test_standardised_features_have_mean_0_and_deviation_1_in_their_own_domain():
    features = np.array([[1.0, 5, 10], [3.0, 5, 30]])
    np.testing.assert_allclose(standardise(features), [[-1, 0, -1], [1, 0, 1]])
    # Statistics of other examples of the domain: mean 2, 5, 0, deviation 2, 0 (left alone), 5.
    like = np.array([[0.0, 5, -5], [4.0, 5, 5]])
    np.testing.assert_allclose(standardise(features, like), [[-0.5, 0, 2], [0.5, 0, 6]])


def cloud(seed, n, scale):
    """Gaussian features with a mean and a covariance of their own."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 4)) @ (scale * random.normal(size=(4, 4))) + random.normal(size=4)


@given(st.integers(0, 50), st.floats(0.2, 5))
def test_coral_gives_the_source_the_mean_and_covariance_of_the_target(seed, scale):
    source, target = cloud(seed, 30, 1.0), cloud(seed + 1000, 25, scale)
    aligned = coral(source, target, ridge=1e-9)
    np.testing.assert_allclose(aligned.mean(axis=0), target.mean(axis=0), atol=1e-8)
    covariance = np.cov(target, rowvar=False)
    np.testing.assert_allclose(np.cov(aligned, rowvar=False), covariance, atol=1e-5 * np.abs(covariance).max())


def test_coral_by_hand_with_the_papers_ridge():
    # Variances 3 and 0 in the source, 8 and 15 in the target: factors sqrt((8 + 1) / (3 + 1)) and sqrt(16 / 1).
    source = np.array([[-1.5, 2], [1.5, 2], [-1.5, 2], [1.5, 2]])
    target = np.array([[0, 0], [4, 0], [0, 30**0.5], [4, 30**0.5]]) * 0.75**0.5 * np.array([2**0.5, 2**0.5])
    assert np.allclose(np.cov(source, rowvar=False), [[3, 0], [0, 0]])
    assert np.allclose(np.cov(target, rowvar=False), [[8, 0], [0, 15]])
    np.testing.assert_allclose(coral(source, target), source * [1.5, 4] - [0, 8] + target.mean(axis=0), atol=1e-9)


def test_coral_leaves_a_domain_that_is_like_the_other_as_it_is():
    source = cloud(0, 20, 1.0)
    np.testing.assert_allclose(coral(source, source[::-1]), source, atol=1e-9)


def test_coral_says_when_a_covariance_cannot_be_inverted():
    wide = np.random.default_rng(0).normal(size=(3, 5))
    with pytest.raises(ValueError, match="Raise ridge"):
        coral(wide, wide, ridge=0)
    assert np.isfinite(coral(wide, wide)).all()
    with pytest.raises(ValueError, match=r"they are \(3, 5\) and \(3, 4\)"):
        coral(wide, wide[:, :4])
    with pytest.raises(ValueError, match="at least two rows"):
        coral(wide, wide[:1])


# ---------------------------------------------------------------- losses and layers


def with_covariance(variance, d):
    """Points ± along each axis whose sample covariance is exactly `variance` times the identity."""
    points = np.concatenate([np.eye(d), -np.eye(d)])
    return points * np.sqrt(variance * (2 * d - 1) / 2)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_coral_loss_of_one_identity_against_two_is_a_quarter_of_one_over_d(d):
    source, target = with_covariance(1, d), with_covariance(2, d)
    np.testing.assert_allclose(np.cov(source, rowvar=False), np.eye(d) if d > 1 else 1, atol=1e-12)
    assert float(coral_loss(source, target)) == pytest.approx(1 / (4 * d), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 50), st.floats(-3, 3), st.floats(0.3, 3))
def test_coral_loss_is_symmetric_ignores_shifts_and_grows_with_the_fourth_power_of_scale(seed, shift, scale):
    source, target = cloud(seed, 30, 1.0), cloud(seed + 1000, 25, 1.5)
    loss = float(coral_loss(source, target))
    assert loss > 0 and float(coral_loss(target, source)) == pytest.approx(loss, rel=1e-6)
    assert float(coral_loss(source + shift, target - shift)) == pytest.approx(loss, rel=1e-6)
    assert float(coral_loss(scale * source, scale * target)) == pytest.approx(scale**4 * loss, rel=1e-6)
    assert float(coral_loss(source, source[::-1])) == pytest.approx(0, abs=1e-12)


def test_gradients_come_back_times_minus_lambda_exactly():
    import tensorflow as tf

    layer = GradientReversal(0.25)
    x = tf.constant([[1.0, -2.0], [0.1, 1e6]])
    upstream = tf.constant([[3.0, 0.5], [-7.0, 1.1]])
    for strength in (0.25, 0.0, 0.848, 2.0):
        layer.strength.assign(strength)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(tape.gradient(y, x, upstream), -np.float32(strength) * upstream)
    assert layer.trainable_variables == [] and len(layer.non_trainable_variables) == 1


def test_a_model_with_a_reversal_can_be_saved_and_loaded(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(GradientReversal(0.5, name="reversal")(inputs)))
    model.get_layer("reversal").strength.assign(0.75)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.get_layer("reversal").strength) == 0.75
    assert GradientReversal.from_config(model.get_layer("reversal").get_config()).initial_strength == 0.5
    x = np.ones((1, 3))
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(("progress", "expected"), [(0, 0.0), (0.25, 0.848), (0.5, 0.987), (1, 1.0)])
def test_the_schedule_has_the_papers_values(progress, expected):
    assert float(reversal_schedule(progress)) == pytest.approx(expected, abs=5e-4)


# ---------------------------------------------------------------- training


def two_numbers():
    """A classifier of pairs of numbers whose body is their weighted sum; both weights are 1."""
    inputs = keras.Input((2,))
    body = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="body")(inputs)
    initializer = keras.initializers.GlorotUniform(seed=0)
    return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=initializer, name="head")(body))


def weight_on_the_domain(model):
    return model.get_layer("body").get_weights()[0][1, 0]


Y = np.arange(64) % 2
# The first number tells the class in both domains. The second is 0 in the source, so that its weight gets no gradient
# from there; in the targets it is 2, or ±2.
SOURCE = np.stack([2 * Y - 1, 0 * Y], axis=1).astype("float32")
SHIFTED = SOURCE + np.float32([0, 2])
SPREAD = np.stack([2 * Y - 1, 4 * (np.arange(64) // 2 % 2) - 2], axis=1).astype("float32")
HOW = {"learning_rate": 0.02, "updates": 100, "batch_size": 32, "seed": 0}


def test_dann_takes_out_what_tells_the_domains_apart():
    alone = fit_dann(two_numbers(), (SOURCE, Y), SHIFTED, layer="body", strength=0.0, **HOW)
    assert weight_on_the_domain(alone) == 1.0
    adapted = fit_dann(two_numbers(), (SOURCE, Y), SHIFTED, layer="body", **HOW)
    assert abs(weight_on_the_domain(adapted)) < 0.3
    for model in (alone, adapted):
        assert (np.asarray(model(SOURCE)).argmax(axis=1) == Y).all()


def test_dann_first_lets_the_critic_learn():
    # λ is 0 at the start: the first update moves the body by nothing but the classes.
    model = fit_dann(two_numbers(), (SOURCE, Y), SHIFTED, layer="body", **{**HOW, "updates": 1})
    assert weight_on_the_domain(model) == 1.0 and model.get_layer("body").get_weights()[0][0, 0] != 1.0


def test_coral_takes_out_what_makes_the_outputs_vary_otherwise():
    alone = fit_coral(two_numbers(), (SOURCE, Y), SPREAD, weight=0.0, **HOW)
    assert weight_on_the_domain(alone) == 1.0
    adapted = fit_coral(two_numbers(), (SOURCE, Y), SPREAD, weight=1.0, **HOW)
    assert abs(weight_on_the_domain(adapted)) < 0.7
    before, after = (float(coral_loss(np.asarray(m(SOURCE)), np.asarray(m(SPREAD)))) for m in (alone, adapted))
    assert after < 0.01 * before
    # What the second number says drowns the first one out at first; in the end it does not.
    right = {"alone": alone, "adapted": adapted}
    right = {name: (np.asarray(model(SPREAD)).argmax(axis=1) == Y).mean() for name, model in right.items()}
    assert right == {"alone": 0.5, "adapted": 1.0} and (np.asarray(adapted(SOURCE)).argmax(axis=1) == Y).all()


def test_without_strength_or_weight_both_are_training_on_the_source_alone():
    how = {**HOW, "updates": 20}
    dann = fit_dann(two_numbers(), (SOURCE, Y), SPREAD, layer="body", strength=0.0, **how)
    matched = fit_coral(two_numbers(), (SOURCE, Y), SPREAD, weight=0.0, **how)
    for one, other in zip(dann.get_weights(), matched.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_dann_depends_on_the_seed_alone():
    ends = []
    for seed in (4, 4, 5):
        keras.utils.set_random_seed(len(ends))
        how = {**HOW, "updates": 20, "seed": seed}
        ends.append(fit_dann(two_numbers(), (SOURCE, Y), SHIFTED, layer="body", **how).get_weights()[0])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert (ends[0] != ends[2]).all()


def test_dann_trains_the_small_network_in_place_and_leaves_it_a_plain_classifier():
    random = np.random.default_rng(0)
    x, y, target = random.integers(0, 256, (12, 8, 8, 1), "uint8"), np.arange(12) % 3, np.zeros((5, 8, 8, 1), "uint8")
    model, start = small_cnn((8, 8, 1), 3, seed=0), small_cnn((8, 8, 1), 3, seed=0)
    model.get_layer("conv1").trainable = False
    assert fit_dann(model, (x, y), target, learning_rate=2e-3, updates=3, seed=0) is model
    assert [layer.name for layer in model.layers] == [layer.name for layer in start.layers]
    moved = [
        layer.name
        for layer in model.layers
        if layer.weights and (layer.get_weights()[0] != start.get_layer(layer.name).get_weights()[0]).any()
    ]
    assert moved == ["conv2", "conv3", "conv4", "head"]


def test_labels_of_the_target_are_not_looked_at():
    task, domain = Task("t", ("a", "b")), Domain("d", (1, 1, 2))
    x = np.stack([200 * Y, 50 + 0 * Y], axis=1).astype("uint8").reshape(64, 1, 1, 2)
    ends = []
    for labels in (Y, 1 - Y):
        inputs = keras.Input((1, 1, 2))
        outputs = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(seed=0), name="head")
        model = keras.Model(inputs, outputs(keras.layers.Flatten()(inputs)))
        target = Dataset(x, labels.astype("int64"), domain, task, "target", Y.astype(str))
        fit_coral(model, (x, Y), target, **{**HOW, "updates": 5})
        ends.append(model.get_weights()[0])
    np.testing.assert_array_equal(ends[0], ends[1])


def test_a_rate_that_is_too_high_says_so_and_changes_nothing():
    model = two_numbers()
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match=r"at update \d+: .*Try a tenth"):
        fit_coral(model, (SOURCE, Y), SPREAD, **{**HOW, "learning_rate": 1e12})
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_bad_arguments_are_refused():
    for change in ({"updates": 0}, {"batch_size": 1}, {"seed": -1}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match="updates must be at least 1, batch_size at least 2"):
            fit_coral(two_numbers(), (SOURCE, Y), SPREAD, **{**HOW, **change})
    with pytest.raises(ValueError, match=r"of one shape; they are \(64, 2\) and \(64, 1\)"):
        fit_coral(two_numbers(), (SOURCE, Y), SPREAD[:, :1], **HOW)
    with pytest.raises(ValueError, match="targets of source must be integers 0…1"):
        fit_coral(two_numbers(), (SOURCE, Y + 1), SPREAD, **HOW)
    with pytest.raises(ValueError, match="No such layer: pool"):
        fit_dann(two_numbers(), (SOURCE, Y), SPREAD, layer="pool", **HOW)
