"""Every loss, and every weight of examples and classes, moves the network's weights exactly as Keras's `fit` does."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.learning_rate import lr_find
from tl_helpers.training.loop import draw_batches
from tl_helpers.training.losses import ending_of, measure_loss
from tl_helpers.training.update import resolve_loss

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 5)).astype("float32")
CLASSES = np.arange(12) % 3
YES = np.arange(12) % 2
MANY = RANDOM.integers(0, 2, (12, 3))
NUMBERS = RANDOM.normal(size=12)
WEIGHTS = RANDOM.uniform(0, 2, 12)
SETTINGS = {"strategy": "fine_tuning", "learning_rate": 0.01, "seed": 3}


def model_of(units, activation=None, **settings):
    """A small network, the same at every call."""
    image = keras.Input((5,), name="image")
    first, last = (keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
    x = layers.Dense(6, activation="tanh", kernel_initializer=first, name="hidden", **settings)(image)
    return keras.Model(image, layers.Dense(units, activation=activation, kernel_initializer=last, name="head")(x))


def by_fit(model, data, loss, *, updates=5, batch_size=4, class_weight=None):
    """Train with `fit` on the batches that `fit_transfer` draws."""
    rows = draw_batches(12, updates, batch_size, [3, 0])
    schedule = keras.optimizers.schedules.PolynomialDecay(0.01, updates, end_learning_rate=0.0)
    model.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # else the update is traced twice
    x, y, *weights = (np.asarray(part)[rows.ravel()] for part in data)
    if class_weight is not None:
        weights = [None]
    more = {"sample_weight": weights[0]} if weights else {}
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, class_weight=class_weight, **more)
    return model.get_weights()


def assert_as_fit(make, data, loss, **settings):
    """Compare the weights with those of `fit`, bit for bit, and the validation loss with that of `evaluate`."""
    model = make()
    fit = fit_transfer(model, data, data, updates=5, batch_size=4, loss=loss, **SETTINGS, **settings)
    expected = by_fit(make(), data, loss, **settings)
    for ours, theirs, start in zip(model.get_weights(), expected, make().get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert (ours != start).any()
    more = {"sample_weight": data[2]} if len(data) > 2 else {}
    model.run_eagerly = True
    evaluated = model.evaluate(*data[:2], verbose=0, **more)
    assert fit.history["validation_loss"].iloc[-1] == pytest.approx(evaluated, rel=1e-5)


class Focal(keras.losses.Loss):
    """Focal loss of logits, as people write it."""

    def call(self, y_true, y_pred):
        """Return the loss of each example."""
        log = ops.log_softmax(y_pred)
        log = ops.sum(ops.one_hot(ops.cast(y_true, "int32"), 3) * log, axis=-1)
        return -((1 - ops.exp(log)) ** 2) * log


def squares(target, output):
    """Squared differences, one per output."""
    return (target - output) ** 2


LOGITS = {"from_logits": True}
CASES = {
    "regression, a name": (1, None, NUMBERS, "mse"),
    "regression, a long name": (1, None, NUMBERS, "mean_absolute_error"),
    "regression, a function": (1, None, NUMBERS, squares),
    "regression, a function of Keras": (1, None, NUMBERS, keras.losses.mean_squared_error),
    "regression, a lambda that reduces": (1, None, NUMBERS, lambda y, z: ops.mean((y - z) ** 2)),
    "regression, a class": (1, None, NUMBERS, keras.losses.Huber(0.5)),
    "regression, (n, 1)": (1, None, NUMBERS[:, None].astype("float32"), "mse"),
    "regression, whole numbers": (1, None, np.arange(12), "mse"),
    "regression, a sum": (1, None, NUMBERS, keras.losses.MeanSquaredError(reduction="sum")),
    "binary, probabilities": (1, "sigmoid", YES, "binary_crossentropy"),
    "binary, probabilities, truth values": (1, "sigmoid", YES == 1, "binary_crossentropy"),
    "binary, float64": (1, "sigmoid", YES.astype("float64"), keras.losses.binary_crossentropy),
    "binary, logits": (1, None, YES, keras.losses.BinaryCrossentropy(from_logits=True)),
    "binary, partial": (1, None, YES, functools.partial(keras.losses.binary_crossentropy, **LOGITS)),
    "binary, focal": (1, "sigmoid", YES, keras.losses.BinaryFocalCrossentropy()),
    "binary, Keras chooses": (1, "sigmoid", YES, "crossentropy"),
    "several labels": (3, "sigmoid", MANY, "binary_crossentropy"),
    "several labels, logits": (3, None, MANY, keras.losses.BinaryCrossentropy(from_logits=True)),
    "one-hot": (3, "softmax", np.eye(3)[CLASSES], "categorical_crossentropy"),
    "one-hot, smoothed": (
        3,
        None,
        np.eye(3)[CLASSES],
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    ),
    "classes": (3, "softmax", CLASSES, "sparse_categorical_crossentropy"),
    "classes (n, 1)": (3, None, CLASSES[:, None], keras.losses.SparseCategoricalCrossentropy(**LOGITS)),
    "classes as floats": (3, None, CLASSES.astype("float32"), keras.losses.SparseCategoricalCrossentropy(**LOGITS)),
    "classes, a class of one's own": (3, None, CLASSES, Focal()),
}


@pytest.mark.parametrize("case", CASES)
def test_any_loss_gives_the_weights_of_fit_bit_for_bit(case):
    units, activation, y, loss = CASES[case]
    assert_as_fit(lambda: model_of(units, activation), (X, y), loss)


@pytest.mark.parametrize(
    "case", ["regression, a function", "regression, a sum", "several labels", "classes (n, 1)", "one-hot, smoothed"]
)
@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_weights_of_examples_count_as_in_fit(case, shape):
    units, activation, y, loss = CASES[case]
    assert_as_fit(lambda: model_of(units, activation), (X, y, WEIGHTS.reshape(shape)), loss)


def test_a_mean_over_weights_is_validated_in_the_batches_of_evaluate():
    x, y, weights = (np.tile(part, (5, *[1] * (part.ndim - 1))) for part in (X, NUMBERS, WEIGHTS))
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    model = model_of(1)
    model.compile(loss=loss)
    expected = model.evaluate(x, y, sample_weight=weights, verbose=0)
    got = measure_loss(resolve_loss(loss), y, np.asarray(model(x)), weights, reduction=loss.reduction)
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("case", "class_weight"),
    [
        ("classes", {0: 5.0, 1: 0.5}),
        ("classes (n, 1)", {np.int64(2): np.float32(3)}),
        ("one-hot", {0: 0, 2: 4}),
        ("binary, logits", {0: 1.0, 1: 3.0}),
    ],
)
def test_weights_of_classes_count_as_in_fit(case, class_weight):
    units, activation, y, loss = CASES[case]
    model, other = model_of(units, activation), model_of(units, activation)
    fit = fit_transfer(model, (X, y), (X, y), updates=5, batch_size=4, loss=loss, class_weight=class_weight, **SETTINGS)
    expected = by_fit(other, (X, y), loss, class_weight=class_weight)
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (model.get_weights()[0] != by_fit(model_of(units, activation), (X, y), loss)[0]).any()
    evaluated = model.evaluate(X, y, verbose=0)  # validation knows no weights of classes, in fit neither
    assert fit.history["validation_loss"].iloc[-1] == pytest.approx(evaluated, rel=1e-5)


def test_weights_count_by_default_too_and_where_the_frozen_part_is_run_once():
    results = []
    for cache in ("auto", False):
        model = model_of(3)
        fit = fit_transfer(
            model, (X, CLASSES, WEIGHTS), (X[:5], CLASSES[:5], WEIGHTS[:5]),
            **SETTINGS | {"strategy": "linear_probing"}, updates=6, batch_size=4, cache=cache,
        )  # fmt: skip
        assert fit.cached == (cache == "auto")
        results.append((model.get_weights(), fit.history.drop(columns="phase").to_numpy()))
    for once, always in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(once, always, atol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-5)
    unweighted = fit_transfer(
        model_of(3), (X, CLASSES), **SETTINGS | {"strategy": "linear_probing"}, updates=6, batch_size=4
    )
    assert (unweighted.model.get_weights()[-1] != results[0][0][-1]).any()


def test_a_penalty_counts_once():
    make = functools.partial(model_of, 1, kernel_regularizer="l2", bias_regularizer="l1")
    model = make()
    losses = fit_transfer(model, (X, NUMBERS), loss="mse", updates=5, batch_size=4, **SETTINGS).history["loss"]
    for ours, theirs in zip(model.get_weights(), by_fit(make(), (X, NUMBERS), "mse"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    start, first = make(), draw_batches(12, 5, 4, [3, 0])[0]
    penalty = 0.01 * np.sum(start.get_weights()[0] ** 2)
    expected = penalty + np.mean((np.asarray(start(X[first]))[:, 0] - NUMBERS[first]) ** 2)
    assert losses[0] == pytest.approx(expected, rel=1e-5)


def test_a_sweep_of_rates_sees_the_loss_of_fit():
    first = draw_batches(12, 10, 4, 0)[0]
    model = model_of(1)
    squared = (np.asarray(model(X[first]))[:, 0] - NUMBERS[first]) ** 2
    sweep = lr_find(model, (X, NUMBERS), loss=squares, updates=10, batch_size=4)
    assert sweep.frame["loss"][0] == pytest.approx(squared.mean(), rel=1e-5)
    sweep = lr_find(model, (X, NUMBERS, WEIGHTS), loss=squares, updates=10, batch_size=4)
    assert sweep.frame["loss"][0] == pytest.approx((squared * WEIGHTS[first]).mean(), rel=1e-5)


# ---------------------------------------------------------------- the network's end


def ends(name):
    """A network of three classes that ends in a softmax, put in one of several ways."""
    image = keras.Input((5,))
    logits = layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=4), name="head")(image)
    if name == "nested":
        inside = keras.Input((3,))
        outputs = keras.Model(inside, layers.Softmax()(inside))(logits)
    elif name == "sequential":
        last = layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=5))
        outputs = keras.Sequential([layers.Activation("tanh"), last])(logits)
    else:
        outputs = {
            "activation": layers.Activation("softmax", dtype="float32"),
            "layer": layers.Softmax(),
            "object": layers.Activation(layers.Softmax()),
            "operation": ops.softmax,
            "then linear": lambda x: layers.Activation("linear")(layers.Softmax()(x)),
            "then reshaped": lambda x: layers.Reshape((3,))(layers.Softmax()(x)),
            "linear": layers.Activation("linear"),
        }[name](logits)
    return keras.Model(image, outputs)


SOFT = ["activation", "layer", "object", "operation", "then linear", "then reshaped", "nested", "sequential"]


@pytest.mark.parametrize("name", SOFT)
def test_a_softmax_at_the_end_is_seen_and_the_loss_takes_probabilities(name):
    model = ends(name)
    assert ending_of(model) == "softmax"
    fit = fit_transfer(model, (X, CLASSES), (X, CLASSES), updates=5, batch_size=4, **SETTINGS)
    chances = np.asarray(model(X), "float64")[np.arange(12), CLASSES]
    assert fit.history["validation_loss"].iloc[-1] == pytest.approx(-np.log(chances).mean(), rel=1e-5)
    assert model.evaluate(X, CLASSES, verbose=0)[0] == pytest.approx(-np.log(chances).mean(), rel=1e-5)
    expected = by_fit(ends(name), (X, CLASSES), "sparse_categorical_crossentropy")
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_softmax_head_that_has_learned_has_a_loss_near_0():
    image = keras.Input((3,))
    start = keras.initializers.Constant(np.eye(3) * 5.3)
    model = keras.Model(image, layers.Dense(3, activation="softmax", kernel_initializer=start, name="head")(image))
    data = np.eye(3, dtype="float32"), np.arange(3)
    fit = fit_transfer(model, data, data, updates=1, **SETTINGS | {"learning_rate": 1e-9})
    assert fit.history["validation_loss"].iloc[-1] == pytest.approx(np.log(1 + 2 * np.exp(-5.3)), rel=1e-4)


def test_other_endings():
    assert ending_of(model_of(3)) == ending_of(ends("linear")) == "linear"
    assert ending_of(model_of(1, "sigmoid")) == ending_of(model_of(3, ops.sigmoid)) == "sigmoid"
    assert ending_of(model_of(3, "tanh")) is None
    assert ending_of(model_of(3, "log_softmax")) is None


OWN_SHAPE = type("Own", (keras.losses.Loss,), {"call": lambda self, y, z: ops.mean((y - z) ** 2, axis=-1)})


@pytest.mark.parametrize(
    ("model", "y", "loss", "message"),
    [
        (model_of(3, "sigmoid"), CLASSES, None, r"ends in a sigmoid.*targets pass loss=\"binary_crossentropy\""),
        (model_of(1), YES, None, "has one output.*BinaryCrossentropy"),
        (
            model_of(3, "softmax"),
            CLASSES,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "ends in a softmax, and the loss has from_logits=True: the softmax would count twice",
        ),
        (
            model_of(1, "sigmoid"),
            YES,
            functools.partial(keras.losses.binary_crossentropy, from_logits=True),
            "ends in a sigmoid, and the loss has from_logits=True",
        ),
        (model_of(1), YES, "binary_crossentropy", r"logits.* Pass keras\.losses\.BinaryCrossentropy\(from_logits=True"),
        (model_of(3), CLASSES, "sparse_categorical_crossentropy", "gives logits"),
        (model_of(3, "softmax"), CLASSES + 1, "sparse_categorical_crossentropy", r"class indices 0…2 .* 1…3"),
        (model_of(3, "softmax"), CLASSES / 2, "sparse_categorical_crossentropy", "class indices 0…2"),
        (model_of(3, "softmax"), np.eye(3)[CLASSES], "sparse_categorical_crossentropy", "For one-hot targets"),
        (model_of(3, "softmax"), CLASSES, "categorical_crossentropy", r"have shape \(\) per input .* \(3,\)\. The"),
        (model_of(3), NUMBERS, "mse", r"have shape \(\) per input .* \(3,\)\. The loss mean_squared_error"),
        (model_of(3), NUMBERS[:, None], "mae", r"have shape \(1,\) per input"),
        (model_of(1), np.tile(NUMBERS, (2, 1)).T, keras.losses.Huber(), r"have shape \(2,\) per input"),
        (model_of(1), NUMBERS, OWN_SHAPE(), r"Own would compare every target with every.* y\.reshape\(-1, \*\(1,\)\)"),
        (model_of(1), NUMBERS, keras.losses.MeanSquaredError(reduction=None), "reduction=None"),
        (model_of(1), NUMBERS, ["mse"], "takes one loss"),
        (model_of(1), NUMBERS, "msq", "loss='msq' is none that Keras knows"),
        (model_of(1), NUMBERS, 3.0, "loss=3.0 is neither a loss of Keras nor a function|none that Keras knows"),
    ],
)  # fmt: skip
def test_what_would_be_reckoned_wrongly_in_silence_is_refused(model, y, loss, message):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        fit_transfer(model, (X, y), updates=2, loss=loss, **SETTINGS)
    with pytest.raises(ValueError, match=message):
        lr_find(model, (X, y), loss=loss)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_loss_of_ones_own_that_aligns_by_itself_is_taken():
    aligned = type("Aligned", (keras.losses.Loss,), {"call": lambda self, y, z: (y - z[:, 0]) ** 2})
    assert_as_fit(lambda: model_of(1), (X, NUMBERS), aligned())
    assert_as_fit(lambda: model_of(1), (X, NUMBERS[:, None]), OWN_SHAPE())


# ---------------------------------------------------------------- weights that do not fit


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS[:-1], r"one per example: shape \(12,\)\. They are float64 of shape \(11,\)"),
        (np.ones((12, 2)), r"shape \(12, 2\)"),
        (np.array(["a"] * 12), "must be numbers"),
        (-WEIGHTS, "must be at least 0, and one of them above"),
        (0 * WEIGHTS, r"0…0"),
        (np.where(np.arange(12) == 7, np.nan, 1), r"^sample_weight of train .* not finite .* example 7"),
    ],
)
def test_weights_of_examples_that_do_not_fit_are_errors(weights, message):
    with pytest.raises(ValueError, match=message):
        fit_transfer(model_of(3), (X, CLASSES, weights), updates=2, **SETTINGS)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ([1, 2, 3], "must be a dict"),
        ({}, "must be a dict"),
        ({3: 1.0}, "has a key 3; its keys are class indices, 0…2"),
        ({"cat": 1.0}, "has a key 'cat'"),
        ({0: -1.0}, "gives class 0 the weight -1.0; weights are numbers from 0 on"),
        ({0: np.nan}, "the weight nan"),
        ({0: np.inf}, "the weight inf"),
        ({0: None}, "the weight None"),
        ({0: 0, 1: 0, 2: 0}, "every example .* the weight 0"),
    ],
)
def test_weights_of_classes_that_do_not_fit_are_errors(class_weight, message):
    with pytest.raises(ValueError, match=message):
        fit_transfer(model_of(3), (X, CLASSES), updates=2, class_weight=class_weight, **SETTINGS)


def test_weights_of_classes_are_for_classes():
    for y, loss in ((NUMBERS, "mse"), (np.eye(3)[CLASSES] / 2, "mse"), (MANY, "mse")):
        with pytest.raises(ValueError, match="class_weight is for"):
            model = model_of(1 if y.ndim == 1 else 3)
            fit_transfer(model, (X, y), updates=2, loss=loss, class_weight={0: 2.0}, **SETTINGS)
    with pytest.raises(ValueError, match="the weights of examples or of classes, not both"):
        fit_transfer(model_of(3), (X, CLASSES, WEIGHTS), updates=2, class_weight={0: 2.0}, **SETTINGS)


def test_a_run_with_weights_can_be_resumed(tmp_path):
    data = X, CLASSES, WEIGHTS
    settings = SETTINGS | {"strategy": "lp_ft", "updates": 6, "batch_size": 4, "resume": tmp_path / "run.npz"}
    whole = fit_transfer(model_of(3), data, data, **settings).model.get_weights()
    for ours, theirs in zip(fit_transfer(model_of(3), data, data, **settings).model.get_weights(), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit_transfer(model_of(3), (X, CLASSES, 2 * WEIGHTS), data, **settings)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit_transfer(model_of(3), (X, CLASSES), data, class_weight={0: 2.0}, **settings)
