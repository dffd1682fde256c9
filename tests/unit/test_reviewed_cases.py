"""Where users were silently given something wrong: each case, a relative of it, and the right value."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers, ops

from tests.unit.networks import SHAPE, TRAIN
from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.identity import fingerprint
from tl_helpers.grid.networks import describe
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.features import extract_features
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import freeze, freeze_all_but, is_stale
from tl_helpers.training.report import trainable_report
from tl_helpers.training.saving import copy_model, load_model, save_model
from tl_helpers.training.stage_rates import discriminative_optimizer
from tl_helpers.training.stillness import live_random_layers
from tl_helpers.training.weights import snapshot

CASES = []
VECTORS = np.random.default_rng(0).normal(1, 2, (12, 6)).astype("float32")
SETTINGS = {"learning_rate": 0.01, "updates": 4, "batch_size": 4, "seed": 0}
PROBING = SETTINGS | {"strategy": "linear_probing"}
FINE_TUNING = SETTINGS | {"strategy": "fine_tuning"}


def case(row, words):
    """Enter a function into the table: it returns what came out and what is right."""

    def enter(function):
        CASES.append(pytest.param(function, id=f"{row}: {words}"))
        return function

    return enter


@pytest.mark.parametrize("run", CASES)
def test_what_comes_out_is_right(run, tmp_path):
    got, right = run(tmp_path)
    assert got == right


def classifier(*body, shape=(6,), head=True):
    given = keras.Input(shape, name="image")
    x = given
    for layer in body:
        x = layer(x)
    if len(x.shape) > 2:
        x = layers.Flatten(name="head_flat")(x)
    return keras.Model(given, layers.Dense(3, name="head")(x) if head else x, name="mine")


def moving_paths(model, call):
    """Return the names of the weights that a call changes."""
    before = [weight.numpy().copy() for weight in model.weights]
    call()
    pairs = zip(model.weights, before, strict=True)
    return {weight.path for weight, old in pairs if (weight.numpy() != old).any()}


def fit_in_keras(model, x=VECTORS):
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(True), run_eagerly=True)
    model.fit(x, TRAIN[1], batch_size=4, verbose=0)


class TfNoise(layers.Layer):
    """Augmentation that draws from TensorFlow, past Keras's sources of random numbers."""

    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


class NumpyNoise(layers.Layer):
    """Random numbers that tracing would fix."""

    def call(self, x):
        return x + np.random.normal()  # noqa: NPY002


class Block(layers.Layer):
    """A block of one's own, with a BatchNorm and a dropout inside."""

    def __init__(self, units, **settings):
        super().__init__(**settings)
        self.units = units
        self.dense, self.norm, self.drop = layers.Dense(units), layers.BatchNormalization(), layers.Dropout(0.5)

    def build(self, shape):
        self.dense.build(shape)
        self.norm.build((*shape[:-1], self.units))

    def call(self, x):
        return self.drop(self.norm(self.dense(x)))

    def get_config(self):
        return super().get_config() | {"units": self.units}


class RunningMean(layers.Layer):
    """A statistic of one's own that moves in training."""

    def build(self, shape):
        self.mean = self.add_weight(shape=(shape[-1],), trainable=False, name="mean")

    def call(self, x, training=False):
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, axis=0))
        return x - self.mean


class Counter(layers.Layer):
    """A state that moves in every call, whatever one says."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), trainable=False, name="calls")

    def call(self, x):
        self.calls.assign(self.calls + 1)
        return x


OWN = {"Block": Block, "RunningMean": RunningMean}

# ---------------------------------------------------------------- 1: cached though random


@case(1, "augmentation with tf.random before a frozen base")
def _(folder):
    fit = fit_transfer(classifier(TfNoise(name="noise"), layers.Dense(4, name="low")), (VECTORS, TRAIN[1]), **PROBING)
    return (fit.cached, "'noise' (TfNoise)" in fit.note), (False, True)


@case(1, "the same, though it is said to be deterministic")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), TfNoise(name="noise"))
    fit = fit_transfer(model, (VECTORS, TRAIN[1]), deterministic=True, **PROBING)
    return (fit.cached, "two outputs for the same input" in fit.note), (False, True)


@case(1, "relative: random numbers from NumPy, said to be deterministic")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), NumpyNoise(name="noise"))
    return fit_transfer(model, (VECTORS, TRAIN[1]), deterministic=True, **PROBING).cached, False


@case(1, "relative: a random function as an activation of one of Keras's layers")
def _(folder):
    model = classifier(layers.Dense(4, activation=lambda x: tf.nn.dropout(x, 0.5), name="low"))
    return fit_transfer(model, (VECTORS, TRAIN[1]), **PROBING).cached, False


@case(1, "relative: a state that every call moves, said to be deterministic")
def _(folder):
    model = classifier(Counter(name="count"), layers.Dense(4, name="low"))
    return fit_transfer(model, (VECTORS, TRAIN[1]), deterministic=True, **PROBING).cached, False


@case(1, "relative: a layer of one's own that is deterministic, and said to be")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), layers.Lambda(lambda x: 2 * x, name="twice"))
    return fit_transfer(model, (VECTORS, TRAIN[1]), deterministic=True, **PROBING).cached, True


@case(1, "relative: a mask that would be lost at the cut")
def _(folder):
    words = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7]] * 4, "int32")
    ends = []
    for cache in ("auto", False):
        keras.utils.set_random_seed(0)
        given = keras.Input((4,), dtype="int32")
        x = layers.Embedding(8, 3, mask_zero=True, name="words")(given)
        x = layers.LSTM(3, name="head_reader")(x)
        model = keras.Model(given, layers.Dense(3, name="head")(x))
        fit = fit_transfer(model, (words, TRAIN[1]), cache=cache, **PROBING)
        ends.append(model.get_layer("head").kernel.numpy().tolist())
    return (ends[0] == ends[1], "mask" in fit.note or "asked" in fit.note), (True, True)


def _declined_case(words, build, reason):
    @case(1, f"relative: {words}")
    def _(folder):
        ends, notes = [], []
        for cache in ("auto", False):
            keras.utils.set_random_seed(0)
            model, data = build()
            fit = fit_transfer(model, (data, TRAIN[1]), cache=cache, **PROBING)
            ends.append([weight.tolist() for weight in model.get_weights()])
            notes.append((fit.cached, reason in fit.note))
        return (ends[0] == ends[1], notes[0]), (True, (False, True))


def _mixing():
    given = keras.Input((6,))
    x = layers.Dense(4, name="low")(given)
    return keras.Model(given, layers.Dense(3, name="head")(x - ops.mean(x, axis=0, keepdims=True))), VECTORS


def _mask_from_within():
    base = keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(8, 3, mask_zero=True)], name="base")
    given = keras.Input((4,), dtype="int32")
    model = keras.Model(given, layers.Dense(3, name="head")(layers.LSTM(3, name="head_reader")(base(given))))
    return model, np.array([[1, 2, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7]] * 4, "int32")


class Nothing(keras.Model):
    """A functional model whose own call does more than its graph."""

    def call(self, inputs, training=None, mask=None):
        return 0.5 * super().call(inputs, training=training, mask=mask)


def _own_call():
    given = keras.Input((6,))
    return Nothing(given, layers.Dense(3, name="head")(layers.Dense(4, name="low")(given))), VECTORS


def _used_twice():
    given, relu = keras.Input((6,)), layers.ReLU(name="relu")
    x = relu(layers.Dense(4, name="low")(given))
    return keras.Model(given, relu(layers.Dense(3, name="head")(x))), VECTORS


def _folded():
    given = keras.Input((4, 6))
    x = layers.Dense(4, name="low")(ops.reshape(given, (-1, 6)))
    x = ops.reshape(layers.Dense(3, name="head_each")(x), (-1, 12))
    return keras.Model(given, layers.Dense(3, name="head")(x)), np.repeat(VECTORS[:, None], 4, axis=1)


_declined_case("examples of a batch are mixed", _mixing, "depends on the other examples")
_declined_case("a mask that comes out of a nested model", _mask_from_within, "A mask goes with")
_declined_case("a model with a call of its own", _own_call, "of a class of its own")
_declined_case("a layer used before and after the cut", _used_twice, "'relu' is used in the frozen part and after it")
_declined_case("more rows at the cut than examples", _folded, "depends on the other examples")


@case(1, "relative: a cut where the sizes are not known beforehand")
def _(folder):
    ends = []
    for cache in ("auto", False):
        keras.utils.set_random_seed(0)
        given = keras.Input((None, None, 1))
        x = layers.Conv2D(2, 3, name="low")(given)
        x = layers.GlobalAveragePooling2D(name="head_pool")(layers.Conv2D(2, 3, name="head_conv")(x))
        model = keras.Model(given, layers.Dense(3, name="head")(x))
        fit = fit_transfer(model, (TRAIN[0], TRAIN[1]), cache=cache, **PROBING)
        ends.append(model.get_layer("head").kernel.numpy())
    return bool(np.abs(ends[0] - ends[1]).max() < 1e-5) and not fit.cached, True


# ---------------------------------------------------------------- 2, 3: frozen and moving all the same


class OwnNorm(layers.BatchNormalization):
    """A BatchNorm that updates its statistics in a way of its own, whatever `trainable` says."""

    def call(self, x, training=None, mask=None):
        if training:
            self.moving_mean.assign(0.9 * self.moving_mean + 0.1 * ops.mean(x, axis=0))
        return x - self.moving_mean


@case(2, "relative: a BatchNorm with a call of its own")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), OwnNorm(name="norm"))
    told = "norm/moving_mean" in trainable_report(model).attrs["without_gradient"]
    freeze(model, upto="norm")
    return (told, moving_paths(model, lambda: fit_in_keras(model))), (True, {"head/kernel", "head/bias"})


class Affine(keras.Model):
    """A model with weights of its own and no layers."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")
        self.built = True

    def call(self, x):
        return x * self.factor


@case(3, "relative: a nested model's own weights are frozen by its name too")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), Affine(name="affine"))
    freeze(model, upto="affine")
    return len(model.trainable_variables), 2


@case(3, "relative: a nested model's own weights freeze and thaw")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), Affine(name="affine"))
    moved = []
    for strategy in ("linear_probing", "fine_tuning"):
        moved.append(
            moving_paths(
                model, lambda s=strategy: fit_transfer(model, (VECTORS, TRAIN[1]), **SETTINGS | {"strategy": s})
            )
        )
    return ["affine/factor" in paths or any("factor" in path for path in paths) for paths in moved], [False, True]


@case(2, "SpectralNormalization in the frozen part")
def _(folder):
    model = classifier(layers.SpectralNormalization(layers.Dense(4), name="low"))
    freeze(model, upto="low")
    return moving_paths(model, lambda: fit_in_keras(model)), {"head/kernel", "head/bias"}


@case(2, "relative: a statistic of one's own in the frozen part")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), RunningMean(name="centre"))
    freeze(model, upto="centre")
    return moving_paths(model, lambda: fit_in_keras(model)), {"head/kernel", "head/bias"}


@case(2, "relative: what no freezing can still is named")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), Counter(name="count"))
    freeze(model, upto="count")
    with pytest.warns(UserWarning, match="changes count/calls, although frozen"):
        return trainable_report(model).attrs["without_gradient"], ["count/calls"]


@case(3, "BatchNorm inside a block of one's own, under fine_tuning")
def _(folder):
    model = classifier(Block(4, name="block"))
    moved = moving_paths(model, lambda: fit_transfer(model, (VECTORS, TRAIN[1]), **FINE_TUNING))
    return {path for path in moved if "norm" in path}, set()


@case(3, "BatchNorm inside TimeDistributed, under fine_tuning")
def _(folder):
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.BatchNormalization(name="norm")])
    model = classifier(layers.Reshape((3, 2)), layers.TimeDistributed(inner, name="each"))
    moved = moving_paths(model, lambda: fit_transfer(model, (VECTORS, TRAIN[1]), **FINE_TUNING))
    return ({path for path in moved if "norm" in path}, any("dense" in path for path in moved)), (set(), True)


@case(3, "relative: it is in the report")
def _(folder):
    model = classifier(Block(4, name="block"))
    report = trainable_report(model)
    frozen = classifier(Block(4, name="block"))
    freeze_all_but(frozen)
    got = report.loc["block", "batch_norm"], trainable_report(frozen).loc["block", "batch_norm"]
    return got, ("training", "frozen")


# ---------------------------------------------------------------- 4, 5: after saving, after Keras's own words


def saved_and_loaded(model, folder, *, by_keras):
    if by_keras:
        model.save(folder / "model.keras")
        with keras.saving.custom_object_scope(OWN):
            return keras.models.load_model(folder / "model.keras")
    save_model(model, folder / "model.keras")
    return load_model(folder / "model.keras", custom_objects=OWN)


KINDS = {
    "MultiHeadAttention": lambda x: layers.MultiHeadAttention(2, 2, name="low")(x, x),
    "GroupedQueryAttention": lambda x: layers.GroupQueryAttention(2, 2, 1, name="low")(x, x),
    "a block of one's own": Block(4, name="low"),
    "Bidirectional": layers.Bidirectional(layers.GRU(2, return_sequences=True), name="low"),
}


def _saved_case(kind):
    @case(4, f"{kind}: frozen, saved, loaded, trained")
    def _(folder):
        model = classifier(layers.Reshape((3, 2)), KINDS[kind])
        freeze(model, upto="low")
        loaded = saved_and_loaded(model, folder, by_keras=False)
        moved = moving_paths(loaded, lambda: fit_in_keras(loaded))
        return (len(loaded.trainable_variables), moved), (2, {"head/kernel", "head/bias"})

    @case(4, f"{kind}: saved and loaded by Keras alone, the report tells the truth, and freezing again holds")
    def _(folder):
        model = classifier(layers.Reshape((3, 2)), KINDS[kind])
        freeze(model, upto="low")
        loaded = saved_and_loaded(model, folder, by_keras=True)
        told = trainable_report(loaded)["trainable"].sum()
        true = sum(int(np.prod(variable.shape)) for variable in loaded.trainable_variables)
        freeze(loaded, upto="low")
        moved = moving_paths(loaded, lambda: fit_in_keras(loaded))
        return (told, len(loaded.trainable_variables), moved), (true, 2, {"head/kernel", "head/bias"})


for _kind in KINDS:
    _saved_case(_kind)


@case(4, "relative: LoRA's kernel stays fixed when the layer thaws, is saved and loaded")
def _(folder):
    dense = layers.Dense(4, name="low")
    model = classifier(dense)
    dense.enable_lora(2)
    freeze(model)
    loaded = saved_and_loaded(model, folder, by_keras=False)
    fits = []
    for each in (model, loaded):
        moved = moving_paths(each, lambda each=each: fit_transfer(each, (VECTORS, TRAIN[1]), **FINE_TUNING))
        fits.append(("low/kernel" in moved, {variable.path for variable in each.trainable_variables}))
    right = False, {"low/bias", "low/lora_kernel_a", "low/lora_kernel_b", "head/kernel", "head/bias"}
    return fits, [right, right]


def _thawed_case(nested, words, freeze_it):
    @case(5, f"base.trainable = True after the kit's freeze, {words}")
    def _(folder):
        given = keras.Input((6,))
        x = layers.BatchNormalization(name="norm")(layers.Dense(4, name="low")(given))
        base = keras.Model(given, layers.Dropout(0.5, name="drop")(x), name="base")
        image = keras.Input((6,)) if nested else given
        model = keras.Model(image, layers.Dense(3, name="head")(base(image) if nested else base.output))
        freeze_it(base, model)
        frozen = len(model.trainable_variables), len(live_random_layers(model))
        base.trainable = True
        thawed = len(model.trainable_variables), len(live_random_layers(model))
        return (frozen, thawed), ((2, 0), (6, 1))


_thawed_case(True, "a nested base", lambda base, model: freeze(base))
_thawed_case(True, "a nested base, frozen from outside", lambda base, model: freeze_all_but(model))
_thawed_case(False, "relative: a base that shares its layers", lambda base, model: freeze(base))


@case(5, "relative: one layer thawed by Keras's own words drops again")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), layers.Dropout(0.5, name="drop"), layers.Dense(4, name="high"))
    freeze(model, upto="high")
    model.get_layer("drop").trainable = True
    outputs = [np.asarray(model(VECTORS, training=True)) for _ in range(2)]
    return bool((outputs[0] != outputs[1]).any()), True


# ---------------------------------------------------------------- 6: targets (n,), outputs (n, 1)

STRAIGHT = VECTORS @ np.arange(1.0, 7.0)


def _straight_case(words, loss):
    @case(6, f"regression with {words}")
    def _(folder):
        given = keras.Input((6,))
        model = keras.Model(given, layers.Dense(1, kernel_initializer="zeros", name="head")(given))
        settings = SETTINGS | {"updates": 600, "learning_rate": 0.3, "batch_size": 12}
        fit_transfer(model, (VECTORS, STRAIGHT), strategy="linear_probing", loss=loss, **settings)
        found = model.predict(VECTORS, verbose=0)[:, 0]
        return bool(np.corrcoef(found, STRAIGHT)[0, 1] > 0.999), True


_straight_case("a function", lambda target, output: ops.square(target - output))
_straight_case("a string", "mse")
_straight_case("a loss", keras.losses.Huber(delta=100.0))


@case(6, "relative: yes or no, whole numbers (n,), outputs (n, 1), as `fit` does")
def _(folder):
    labels, ends = (STRAIGHT > 0).astype("int64"), []
    for kit in (True, False):
        given = keras.Input((6,))
        head = layers.Dense(1, activation="sigmoid", kernel_initializer="zeros", name="head")
        model = keras.Model(given, head(given))
        if kit:
            settings = SETTINGS | {"updates": 1, "batch_size": 12}
            fit_transfer(model, (VECTORS, labels), strategy="linear_probing", loss="binary_crossentropy", **settings)
        else:
            model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", jit_compile=False)
            model.fit(VECTORS, labels, batch_size=12, verbose=0)
        ends.append(model.get_layer("head").kernel.numpy().ravel())
    return np.abs(ends[0] - ends[1]).max() < 1e-5 and bool(ends[0].any()), True


# ---------------------------------------------------------------- 7, 8, 9: told apart by what they compute


def _two_features(one, other):
    cache, found = {}, []
    for compute in (one, other):
        given = keras.Input((6,))
        start = keras.initializers.HeUniform(seed=1)
        x = layers.Dense(2, kernel_initializer=start, name="low")(compute(given))
        model = keras.Model(given, x)
        found += [extract_features(model, VECTORS, cache=cache), extract_features(model, VECTORS)]
    return bool((found[0] == found[1]).all() and (found[2] == found[3]).all() and (found[0] != found[2]).any()), True


class Scale(layers.Layer):
    """A factor that its settings do not tell."""

    def __init__(self, factor, **settings):
        super().__init__(**settings)
        self.factor = factor

    def call(self, x):
        return x * self.factor


@case(7, "one cache, two preprocessings in a Lambda")
def _(folder):
    return _two_features(layers.Lambda(lambda x: x / 255), layers.Lambda(lambda x: x / 127.5 - 1))


@case(7, "relative: a factor in a closure, and one that no settings tell")
def _(folder):
    def times(factor):
        return layers.Lambda(lambda x: x * factor)

    closures, own = _two_features(times(2.0), times(3.0)), _two_features(Scale(2.0), Scale(3.0))
    return (closures[0], own[0]), (True, True)


def _settings_of(**members):
    return type("CFG", (), {"__module__": __name__, "rate": 0.1, **members})


@case(8, "configuration in a class: lists, dicts and nested classes count")
def _(folder):
    def key(kind):
        def study():
            return kind

        return fingerprint(study)

    kinds = [
        _settings_of(rates=[0.1]),
        _settings_of(rates=[0.2]),
        _settings_of(more={"a": 1}),
        _settings_of(more={"a": 2}),
    ]
    kinds += [_settings_of(inner=_settings_of(size=1)), _settings_of(inner=_settings_of(size=2))]
    again = key(_settings_of(rates=[0.1]))
    return (len({key(kind) for kind in kinds}), again == key(kinds[0])), (6, True)


@case(8, "relative: callable objects and bound methods count")
def _(folder):
    class Study:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self):
            return self.factor

        def run(self):
            return self.factor

    keys = [fingerprint(Study(1)), fingerprint(Study(2)), fingerprint(Study(1).run), fingerprint(Study(2).run)]
    return (len(set(keys)), fingerprint(Study(1)) == keys[0]), (4, True)


@case(9, "another closure as the loss is another run")
def _(folder):
    def weighted(factor):
        def loss(target, output):
            return factor * keras.losses.sparse_categorical_crossentropy(target, output, from_logits=True)

        return loss

    def run(factor):
        keras.utils.set_random_seed(0)
        model = classifier(layers.Dense(4, name="low"))
        fit_transfer(model, (VECTORS, TRAIN[1]), loss=weighted(factor), resume=folder / "run.npz", **FINE_TUNING)

    run(1.0)
    run(1.0)  # the same one is recognised
    with pytest.raises(ValueError, match="belongs to another run"):
        run(5.0)
    return True, True


@case(9, "relative: a network is the same one whether it is frozen or not")
def _(folder):
    model = classifier(Block(4, name="block"), layers.Dropout(0.5, name="drop"))
    before = describe(model)
    freeze(model)
    return describe(model) == before, True


# ---------------------------------------------------------------- 10, 11, 12, 23: statistics


def _runs(**scores):
    rows = [
        {"arm": arm, "budget": budget, "seed": seed, "score": score}
        for arm, by_budget in scores.items()
        for budget, values in by_budget
        for seed, score in enumerate(values)
    ]
    return pd.DataFrame(rows)


@case(10, "budget None stays in: two budgets are corrected for, and no gain is left")
def _(folder):
    frame = _runs(
        scratch=[(5, [50, 51, 52, 53]), (None, [50, 51, 52, 53])],
        transfer=[(5, [54, 52, 55, 55]), (None, [51, 50, 54, 51])],
    )
    table = paired_difference(frame, "transfer", "scratch")
    verdict = transfer_verdict(frame, "transfer", "scratch", minimum_pairs=4).verdict
    return (table["budget"].tolist(), verdict), ([5, None], "inconclusive")


@case(11, "a study that ignores its seed is doubted, not positive")
def _(folder):
    frame = _runs(scratch=[(5, [50.0] * 5)], transfer=[(5, [60.0] * 5)])
    verdict = transfer_verdict(frame, "transfer", "scratch")
    return (verdict.verdict == "positive", "[DOUBT]" in str(verdict)), (False, True)


@case(12, "ten rows of each of four runs are four runs")
def _(folder):
    frame = _runs(transfer=[(5, [1.0, 2.0, 3.0, 4.0])])
    several = pd.concat([frame.assign(fold=fold, score=frame["score"] + fold) for fold in range(10)])
    one, ten = confidence_interval(frame), confidence_interval(several)
    return (ten["n"].tolist(), np.allclose(ten["high"] - ten["low"], one["high"] - one["low"])), ([4], True)


@case(23, "one seed hard-coded in an arm is said")
def _(folder):
    frame = _runs(scratch=[(5, [50.0, 51, 49, 50, 52])], transfer=[(5, [60.0] * 5)])
    return "[DOUBT]" in str(transfer_verdict(frame, "transfer", "scratch")), True


# ---------------------------------------------------------------- 13, 14, 15: precision, ends, pictures


@case(13, "features in half precision come as float32, the second time too")
def _(folder):
    given = keras.Input((6,))
    model = keras.Model(given, layers.Dense(4, dtype="mixed_bfloat16", name="low")(given))
    found = [extract_features(model, VECTORS, cache=folder) for _ in range(2)]
    return ({str(each.dtype) for each in found}, bool((found[0] == found[1]).all())), ({"float32"}, True)


@case(13, "relative: weights in half precision are refused")
def _(folder):
    given = keras.Input((6,))
    model = keras.Model(given, layers.Dense(3, dtype="float16", name="head")(given))
    with pytest.raises(ValueError, match=r"too coarse for what one update adds .*mixed_float16"):
        fit_transfer(model, (VECTORS, TRAIN[1]), **PROBING)
    return True, True


def _softmax_case(words, end):
    @case(14, f"{words} and the default loss: the validation loss is that of probabilities")
    def _(folder):
        given = keras.Input((6,))
        model = keras.Model(given, end(given))
        data = VECTORS, TRAIN[1]
        fit = fit_transfer(model, data, data, **PROBING)
        right = keras.losses.SparseCategoricalCrossentropy()(TRAIN[1], model.predict(VECTORS, verbose=0))
        return fit.history["validation_loss"].iloc[-1] == pytest.approx(float(right), rel=1e-4), True


_softmax_case("a softmax head", layers.Dense(3, activation="softmax", name="head"))
_softmax_case("relative: a Softmax layer", lambda x: layers.Softmax()(layers.Dense(3, name="head")(x)))


def _pictures_case(words, change, error, message):
    @case(15, f"{words} into a backbone")
    def _(folder):
        backbone = load_backbone(size=32, weights=None)
        x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
        said = pytest.warns(UserWarning, match=message) if error is UserWarning else pytest.raises(error, match=message)
        with said:
            extract_features(backbone, change(x), stage="stem")
        return True, True


_pictures_case("pictures 0…1", lambda x: (x / 255).astype("float32"), UserWarning, "255")
_pictures_case("16-bit pictures", lambda x: x.astype("uint16") * 257, UserWarning, "257")
_pictures_case("grey pictures", lambda x: x[..., :1], ValueError, "repeat")
_pictures_case("relative: pictures with alpha", lambda x: np.concatenate([x, x[..., :1]], axis=-1), ValueError, ":3")


# ---------------------------------------------------------------- 16: loaded, resumed, diverging


@case(16, "loaded with silenced dropout, diverging: the weights are put back")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), layers.Dropout(0.5, name="drop"))
    freeze_all_but(model)
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras", compile=False)
    before = [weight.copy() for weight in loaded.get_weights()]
    with pytest.warns(UserWarning, match="stays frozen"), pytest.raises(FloatingPointError):
        fit_transfer(loaded, (VECTORS, TRAIN[1]), **FINE_TUNING | {"learning_rate": 3e38, "updates": 20})
    return all((old == new).all() for old, new in zip(before, loaded.get_weights(), strict=True)), True


@case(16, "relative: a run on a loaded model is recognised when it is resumed")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), layers.Dropout(0.5, name="drop"))
    freeze_all_but(model)
    save_model(model, folder / "model.keras")
    ends = []
    for _ in range(2):
        loaded = load_model(folder / "model.keras")
        fit_transfer(loaded, (VECTORS, TRAIN[1]), resume=folder / "run.npz", **SETTINGS | {"strategy": "lp_ft"})
        ends.append(snapshot(loaded))
    return len(ends), 2


# ---------------------------------------------------------------- 17, 19, 20: what moves, what stays


@case(17, "BatchNorm in the new head learns under fine_tuning")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), layers.BatchNormalization(name="head_norm"))
    moved = moving_paths(model, lambda: fit_transfer(model, (VECTORS, TRAIN[1]), **FINE_TUNING))
    return {path for path in moved if "norm" in path}, {
        f"head_norm/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }


@case(17, "relative: inside a block of the head")
def _(folder):
    model = classifier(layers.Dense(4, name="low"), Block(3, name="head_block"))
    moved = moving_paths(model, lambda: fit_transfer(model, (VECTORS, TRAIN[1]), **FINE_TUNING))
    return len({path for path in moved if "norm" in path}), 4


def _fixed_case(strategy):
    @case(19, f"a filter that the user fixed stays, under {strategy}, and it is said")
    def _(folder):
        model = classifier(layers.Conv2D(2, 3, name="edges"), layers.Conv2D(2, 3, name="low"), shape=SHAPE)
        model.get_layer("edges").trainable = False
        settings = SETTINGS | {"strategy": strategy}
        with pytest.warns(UserWarning, match="'edges'.*call tl_helpers.training.unfreeze"):
            moved = moving_paths(model, lambda: fit_transfer(model, TRAIN, **settings))
        return moved, {"low/kernel", "low/bias", "head/kernel", "head/bias"}

    @case(19, f"relative: a single weight that the user fixed stays, under {strategy}")
    def _(folder):
        model = classifier(layers.Conv2D(2, 3, name="edges"), shape=SHAPE)
        model.get_layer("edges").kernel.trainable = False
        moved = moving_paths(model, lambda: fit_transfer(model, TRAIN, **SETTINGS | {"strategy": strategy}))
        return moved, {"edges/bias", "head/kernel", "head/bias"}


for _strategy in ("fine_tuning", "scratch"):
    _fixed_case(_strategy)


class Unnamed(layers.Layer):
    """Two weights to which nobody gave a name."""

    def build(self, shape):
        self.one, self.other = self.add_weight(shape=(shape[-1],)), self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.one + self.other


@case(19, "relative: a single weight without a name stays fixed in a copy and in a file")
def _(folder):
    model = classifier(Unnamed(name="low"))
    model.get_layer("low").one.trainable = False
    save_model(model, folder / "model.keras")
    twins = copy_model(model), load_model(folder / "model.keras", custom_objects={"Unnamed": Unnamed})
    flags = [(twin.get_layer("low").one.trainable, twin.get_layer("low").other.trainable) for twin in twins]
    return flags, [(False, True)] * 2


@case(19, "relative: a base frozen by hand stays frozen as a whole, its dropout too")
def _(folder):
    given, image = keras.Input((6,)), keras.Input((6,))
    x = layers.Dropout(0.5, name="drop")(layers.Dense(4, name="low")(given))
    base = keras.Model(given, x, name="base")
    model = keras.Model(image, layers.Dense(3, name="head")(base(image)))
    base.trainable = False
    with pytest.warns(UserWarning, match="'low'"):
        fit_transfer(model, (VECTORS, TRAIN[1]), **FINE_TUNING)
    return (base.trainable, live_random_layers(model)), (False, [])


@case(19, "relative: an error that comes late leaves everything as it was")
def _(folder):
    def broken(target, output):
        raise RuntimeError("mine")

    model = classifier(layers.Dense(4, name="low"))
    freeze(model, upto="low")
    before, frozen = model.get_weights(), len(model.trainable_variables)
    for settings in ({"strategy": "scratch", "loss": broken}, {"strategy": "lp_ft", "factors": {"nope": 0.1}}):
        with pytest.raises((RuntimeError, ValueError)):
            fit_transfer(model, (VECTORS, TRAIN[1]), **SETTINGS | settings)
    same = all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))
    return (same, frozen, len(model.trainable_variables)), (True, 2, 2)


@case(19, "relative: what the kit itself froze moves in the next phase")
def _(folder):
    model = classifier(layers.Dense(4, name="low"))
    fit_transfer(model, (VECTORS, TRAIN[1]), **PROBING)
    loaded = saved_and_loaded(model, folder, by_keras=False)
    moved = [moving_paths(m, lambda m=m: fit_transfer(m, (VECTORS, TRAIN[1]), **FINE_TUNING)) for m in (model, loaded)]
    return [len(paths) for paths in moved], [4, 4]


NOTED = hasattr(keras.Model, "_warn_if_trainable_state_changed")  # from Keras 3.15


@case(20, "BatchNorm without scale and centre, frozen by hand after training")
def _(folder):
    norm = layers.BatchNormalization(center=False, scale=False, name="norm")
    model = classifier(layers.Dense(4, name="low"), norm)
    fit_in_keras(model)
    before = is_stale(model)
    norm.trainable = False
    return (before, is_stale(model)), (False, NOTED)


@case(20, "relative: thawed by hand, inside TimeDistributed")
def _(folder):
    norm = layers.BatchNormalization(center=False, scale=False)
    norm.trainable = False
    model = classifier(layers.Reshape((3, 2)), layers.TimeDistributed(norm))
    fit_in_keras(model)
    before = is_stale(model)
    norm.trainable = True
    return (before, is_stale(model)), (False, NOTED)


# ---------------------------------------------------------------- 18, 21, 22: names, one optimizer, streams


@case(18, "train labels (cat, dog), validation labels (dog, cat)")
def _(folder):
    class Named:
        def __init__(self, names):
            self.x, self.y, self.label_names = VECTORS, TRAIN[1], names

    with pytest.raises(ValueError, match="in another order"):
        fit_transfer(classifier(), Named(["cat", "dog", "emu"]), Named(["dog", "cat", "emu"]), **PROBING)
    return True, True


def _optimizer_case(words, settings):
    @case(21, f"{words}: with equal factors as in one optimizer")
    def _(folder):
        ends = []
        for kit in (True, False):
            keras.utils.set_random_seed(0)
            model = classifier(layers.Dense(4, name="low"))
            optimizer = keras.optimizers.AdamW(0.01, **settings)
            if kit:
                optimizer = discriminative_optimizer(model, 0.01, {"low": 1.0}, optimizer=optimizer)
            model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(True), jit_compile=False)
            model.fit(VECTORS, TRAIN[1], batch_size=4, shuffle=False, verbose=0)
            ends.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
        return bool(np.abs(ends[0] - ends[1]).max() < 1e-6), True


_optimizer_case("global_clipnorm", {"global_clipnorm": 0.01})
_optimizer_case("relative: decay and averaging", {"weight_decay": 0.1, "use_ema": True})


def _stream_case(words, make):
    @case(22, f"{words} train as arrays do")
    def _(folder):
        ends = []
        for data in (make(VECTORS, TRAIN[1]), (VECTORS, TRAIN[1])):
            keras.utils.set_random_seed(0)
            model = classifier()
            fit_transfer(model, data, **PROBING)
            ends.append(model.get_layer("head").kernel.numpy())
        return bool((ends[0] == ends[1]).all()), True


_stream_case("tf.data in batches", lambda x, y: tf.data.Dataset.from_tensor_slices((x, y)).batch(5))
_stream_case("relative: lists", lambda x, y: [x.tolist(), y.tolist()])


@case(22, "relative: a generator is refused with the cure")
def _(folder):
    with pytest.raises(ValueError, match="is a generator, which may never end"):
        fit_transfer(classifier(), ((x, y) for x, y in zip(VECTORS, TRAIN[1], strict=True)), **PROBING)
    return True, True
