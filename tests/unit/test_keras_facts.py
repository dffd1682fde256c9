"""What Keras does that its best-known tutorials do not say: the traps that the kit protects from, one by one.

Where one of these tests fails after an upgrade, Keras has changed: look whether the kit's protection is still needed,
and correct what the notebooks say.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tl_helpers.training.freezing import freeze, is_stale, unfreeze

LOSS = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "jit_compile": False}
X = np.random.default_rng(0).normal(3, 2, (16, 4, 4, 3)).astype("float32")
Y = np.arange(16) % 2


def body(name="body"):
    """A network with all that can move: weights, moving statistics and dropout."""
    image = keras.Input((4, 4, 3), name="image")
    x = layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeUniform(seed=1), name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(0.5, seed=1, name="dropout")(layers.ReLU(name="relu")(x))
    return keras.Model(image, layers.Flatten(name="flatten")(x), name=name)


def with_head(features, image):
    return keras.Model(image, layers.Dense(2, kernel_initializer="zeros", name="head")(features))


def fit(model, optimizer, **settings):
    model.compile(optimizer, **LOSS)
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, **settings)


# ---------------------------------------------------------------- 1. BatchNorm


def idiom():
    """Build `base(x, training=False)`, as many tutorials do, with what they call a frozen base."""
    base = body()
    image = keras.Input((4, 4, 3))
    return base, with_head(base(image, training=False), image)


def test_training_false_in_the_graph_does_not_protect_batch_norm():
    base, model = idiom()
    before = [value.copy() for value in base.get_layer("norm").get_weights()]
    fit(model, keras.optimizers.SGD(0.0))
    after = base.get_layer("norm").get_weights()
    assert all((old == new).all() for old, new in zip(before[:2], after[:2], strict=True))  # scale and shift: rate 0
    assert min(np.abs(after[2] - before[2]).max(), np.abs(after[3] - before[3]).max()) > 0.01


def test_trainable_false_protects_batch_norm():
    base, model = idiom()
    freeze(base)
    before = base.get_weights()
    fit(model, keras.optimizers.SGD(0.1))
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.get_layer("head").get_weights()[0].any()


# ---------------------------------------------------------------- 2. dropout


def test_dropout_of_a_frozen_network_goes_on_dropping():
    base, model = idiom()
    base.trainable = False
    inside = keras.Model(model.input, model.get_layer("head").input)
    assert (np.asarray(inside(X, training=True)) != np.asarray(inside(X, training=False))).mean() > 0.2


def test_freeze_silences_dropout():
    base, model = idiom()
    freeze(base)
    inside = keras.Model(model.input, model.get_layer("head").input)
    np.testing.assert_array_equal(inside(X, training=True), inside(X, training=False))


# ---------------------------------------------------------------- 3. trainable after the first fit


@pytest.fixture
def trained():
    base = body()
    model = with_head(base.output, base.input)
    model.get_layer("head").set_weights([np.eye(16, 2, dtype="float32"), np.zeros(2, "float32")])
    return model


def moved_in_fit(model, layer):
    before = model.get_layer(layer).get_weights()[0].copy()
    model.fit(X, Y, batch_size=4, verbose=0)
    return (model.get_layer(layer).get_weights()[0] != before).any()


def test_freezing_after_a_fit_has_no_effect_without_compile(trained, recwarn):
    fit(trained, keras.optimizers.SGD(0.1))
    trained.get_layer("conv").trainable = False
    assert moved_in_fit(trained, "conv")
    assert not [each for each in recwarn if "trainable" in str(each.message)]  # Keras says nothing
    assert is_stale(trained)  # we do
    trained.compile(keras.optimizers.SGD(0.1), **LOSS)
    assert not is_stale(trained)
    assert not moved_in_fit(trained, "conv")


def test_thawing_after_a_fit_has_no_effect_without_compile(trained):
    freeze(trained, upto="flatten")
    fit(trained, keras.optimizers.SGD(0.1))
    unfreeze(trained)
    assert not moved_in_fit(trained, "conv")
    assert is_stale(trained)
    trained.compile(keras.optimizers.SGD(0.1), **LOSS)
    assert not is_stale(trained)
    assert moved_in_fit(trained, "conv")


def test_an_optimizer_serves_one_set_of_variables_only(trained):
    optimizer = keras.optimizers.SGD(0.1)
    freeze(trained, upto="flatten")
    fit(trained, optimizer)
    unfreeze(trained)
    with pytest.raises(Exception, match=r"[Uu]nknown variable|not recognized|cannot be recognized"):
        fit(trained, optimizer)


# ---------------------------------------------------------------- 4. discriminative learning rates

multi = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="from Keras 3.15")


def multi_optimizer(patterns):
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1), patterns))


@multi
@pytest.mark.parametrize(("pattern", "matches"), [("head", False), ("head/.*", True), ("bead/.*", False)])
def test_a_pattern_that_matches_nothing_is_silent(trained, pattern, matches):
    before = trained.get_layer("head").get_weights()[0]
    fit(trained, multi_optimizer({pattern: keras.optimizers.SGD(0.0)}))
    assert (trained.get_layer("head").get_weights()[0] == before).all() == matches


@multi
def test_a_multi_optimizer_has_no_learning_rate():
    with pytest.raises(AttributeError, match=r"[Ll]earning rate"):
        _ = multi_optimizer({}).learning_rate


def test_paths_of_a_nested_model_change_when_it_is_loaded(tmp_path):
    inner = body(name="inner")
    model = keras.Sequential([inner, layers.Dense(2, name="head")])
    before = [weight.path for weight in model.weights]
    model.save(tmp_path / "nested.keras")
    assert [weight.path for weight in keras.models.load_model(tmp_path / "nested.keras").weights] != before


# ---------------------------------------------------------------- 5. scaled gradients


def distance_under_adam(learning_rate, scale):
    weight = keras.Variable(np.ones(3, "float32"))
    optimizer = keras.optimizers.Adam(learning_rate)
    for gradient in ([1.0, -2.0, 3.0], [2.0, -1.0, 1.0]):
        optimizer.apply([ops.convert_to_tensor(np.float32(gradient) * np.float32(scale))], [weight])
    return np.abs(weight.numpy() - 1)


def test_under_adam_a_smaller_gradient_moves_a_weight_as_far_and_a_smaller_rate_does_not():
    whole = distance_under_adam(0.1, 1.0)
    np.testing.assert_allclose(distance_under_adam(0.1, 0.1), whole, rtol=1e-4)
    np.testing.assert_allclose(distance_under_adam(0.01, 1.0), 0.1 * whole, rtol=1e-5)


# ---------------------------------------------------------------- cutting


def test_a_model_may_begin_at_an_inner_tensor_and_shares_its_layers():
    model = body()
    inner = model.get_layer("relu").output
    suffix = keras.Model(inner, model.output)
    assert suffix.get_layer("flatten") is model.get_layer("flatten")
    features = keras.Model(model.input, inner)(X)
    np.testing.assert_array_equal(suffix(features), model(X))


# ---------------------------------------------------------------- what setting, saving and loading forget


def test_setting_trainable_to_what_it_is_reaches_nothing_inside():
    inner = body()
    model = with_head(inner.output, inner.input)
    for layer in inner.layers:
        layer.trainable = False
    inner.trainable = True  # it is True already
    assert len(model.trainable_variables) == 2


def test_loading_forgets_what_is_frozen_inside_a_layer(tmp_path):
    given = keras.Input((3, 4))
    model = keras.Model(given, layers.MultiHeadAttention(2, 2, name="attention")(given, given))
    model.get_layer("attention").trainable = False
    assert len(model.trainable_variables) == 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.get_layer("attention").trainable and len(loaded.trainable_variables) == 8
    assert len(keras.models.clone_model(model).trainable_variables) == 8


def test_thawing_a_layer_with_lora_thaws_its_kernel_too():
    given = keras.Input((4,))
    model = keras.Model(given, layers.Dense(3, name="dense")(given))
    dense = model.get_layer("dense")
    dense.enable_lora(2)
    assert not dense._kernel.trainable
    dense.trainable = False
    dense.trainable = True
    assert dense._kernel.trainable


def test_spectral_normalization_moves_its_kernel_though_frozen():
    given = keras.Input((4,))
    layer = layers.SpectralNormalization(layers.Dense(3))
    model = keras.Model(given, layer(given))
    model.trainable = False
    before = layer.kernel.numpy().copy()
    model(np.ones((2, 4), "float32"), training=True)
    assert (layer.kernel.numpy() != before).any()
