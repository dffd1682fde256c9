"""Data that do not fit are named, with the place and the cure, before anything is touched; those that fit are taken."""

import re
import types
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from tests.unit.networks import COMMON, HELD_OUT, SHAPE, TRAIN, moved, network
from tl_helpers.arguments import check_finite
from tl_helpers.experiments.label_shift import adjust_to_prior
from tl_helpers.experiments.similarity import cka, domain_distance
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.feature_maps import activation_maps, find_peaks, stage_features
from tl_helpers.models.features import extract_features, probe, run_once
from tl_helpers.models.online import preprocess
from tl_helpers.models.pictures import expects_stored_pixels
from tl_helpers.models.small_network import body_of
from tl_helpers.training import reading
from tl_helpers.training.adaptation import coral, fit_coral, fit_dann, standardise
from tl_helpers.training.evaluation import accuracy, mean_recall
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.learning_rate import lr_find, tune_learning_rate
from tl_helpers.training.multitask import fit_pcgrad
from tl_helpers.training.weights import snapshot

X, Y = TRAIN


def with_hole(value=np.nan, row=5):
    """The training images as floats, one pixel of one of them spoiled."""
    x = X.astype("float32")
    x[row, 3, 3] = value
    return x


# ---------------------------------------------------------------- finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_how_many_are_not_finite_and_where_the_first_is(value, dtype):
    array = np.zeros((7, 3, 2), dtype)
    assert check_finite(array, "a") == (0, 0)
    array[4, 1] = array[6, 2, 0] = value
    with pytest.raises(ValueError, match=r"a holds values that are not finite .*: 3 of 42, the first in example 4\. L"):
        check_finite(array, "a")
    with pytest.raises(ValueError, match=r"keep = np\.isfinite\(a\)\.all\(axis=\(1, 2\)\)"):
        check_finite(array, "a")


@pytest.mark.parametrize("shape", [(400_000,), (3, 200_000), (2, 300, 400, 3), (300_001, 2)])
def test_no_part_of_a_large_array_is_left_out(shape):
    array = np.random.default_rng(0).normal(size=shape).astype("float32")
    assert check_finite(array, "a") == (array.min(), array.max())
    for place in (0, array.size // 3, array.size // 2, array.size - 1):
        holed = array.copy()
        holed.flat[place] = np.nan
        row = np.unravel_index(place, shape)[0]
        with pytest.raises(ValueError, match=f": 1 of {array.size}, the first in example {row}\\."):
            check_finite(holed, "a")
        with pytest.raises(ValueError, match=f": 1 of {array.size}, the first in example {shape[0] - 1 - row}\\."):
            check_finite(holed[::-1], "a")  # a view, not contiguous


def test_a_number_too_large_for_the_network_is_as_good_as_infinite():
    check_finite(np.full((2, 2), 1e300), "a")
    x = X.astype("float64")
    x[7, 0, 0] = 1e39
    with pytest.raises(ValueError, match=r"infinite or beyond 3\.4e\+38\): 1 of 1728, the first in example 7"):
        fit_transfer(network(), (x, Y), strategy="fine_tuning", **COMMON)


def test_whole_numbers_and_truth_values_need_no_look():
    for array in (X, Y, X > 3, np.array(["a"])):
        assert np.isnan(check_finite(array, "a")).all()
    with pytest.raises(ValueError, match="complex"):
        check_finite(np.ones(3) * 1j, "a")


NUMBERS = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")


def spoiled(array):
    """A copy with a NaN in row 5."""
    copy = array.copy()
    copy[5, 0] = np.nan
    return copy


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda m: fit_transfer(m, (with_hole(), Y), strategy="scratch", **COMMON), "x of train"),
        (lambda m: fit_transfer(m, TRAIN, (with_hole(), Y), strategy="scratch", **COMMON), "x of validation"),
        (lambda m: fit_transfer(m, (X, spoiled(NUMBERS)), strategy="lp_ft", loss="mse", **COMMON), "y of train"),
        (lambda m: lr_find(m, (with_hole(), Y)), "x of train"),
        (lambda m: lr_find(m, (X, spoiled(NUMBERS)), loss="mse"), "y of train"),
        (lambda m: accuracy(m, (with_hole(), Y)), "x of data"),
        (lambda m: mean_recall(m, (with_hole(), Y)), "x of data"),
        (lambda m: fit_pcgrad(m, (with_hole(), NUMBERS), ["mse"], **COMMON), "x of train"),
        (lambda m: fit_dann(m, (with_hole(), Y), X, layer="conv2", **COMMON), "x of source"),
        (lambda m: fit_dann(m, TRAIN, with_hole(), layer="conv2", **COMMON), "target"),
        (lambda m: fit_coral(m, TRAIN, with_hole(), **COMMON), "target"),
        (lambda m: extract_features(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: stage_features(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: activation_maps(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: find_peaks(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: run_once(m, with_hole(), batch_size=4, cache={}), "x"),
        (lambda m: probe(spoiled(NUMBERS), Y), "features"),
        (lambda m: standardise(NUMBERS, like=spoiled(NUMBERS)), "like"),
        (lambda m: coral(NUMBERS, spoiled(NUMBERS)), "target"),
        (lambda m: cka(NUMBERS, spoiled(NUMBERS)), "y"),
        (lambda m: domain_distance(spoiled(NUMBERS), NUMBERS), "x"),
        (lambda m: adjust_to_prior(spoiled(NUMBERS), np.ones(3) / 3, np.ones(3) / 3), "probabilities"),
    ],
)
def test_wherever_data_enter_they_must_be_finite_and_nothing_is_touched(use, name):
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match=rf"^{name} holds values that are not finite .* the first in example 5\."):
        use(model)
    assert not moved(model, before) and not model.compiled


def test_a_rate_is_not_blamed_for_the_data():
    with pytest.raises(ValueError, match="x of validation holds values that are not finite"):
        tune_learning_rate(network, TRAIN, (with_hole(), Y), strategy="scratch", rates=[0.1, 0.01], updates=2)


# ---------------------------------------------------------------- forms


class Batches(keras.utils.PyDataset):
    """The training data in batches of five."""

    def __len__(self):
        return 3

    def __getitem__(self, number):
        part = slice(5 * number, 5 * number + 5)
        return X[part], Y[part]


class Endless(Batches):
    """The same without an end."""

    @property
    def num_batches(self):
        """None: infinitely many."""
        return None


def stream(*arrays):
    """A tf.data.Dataset of examples."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays)


def named(names, x=X, y=Y):
    """Data with names of their classes, as the kit's data sets have them."""
    return types.SimpleNamespace(x=x, y=y, label_names=names)


WORDS = np.array(["cat", "dog", "emu"])[Y]
FORMS = {
    "a list": lambda: [X, Y],
    "lists": lambda: (X.tolist(), Y.tolist()),
    "no weights": lambda: (X, Y, None),
    "a series": lambda: (X, pd.Series(Y, index=range(50, 62))),
    "tensors": lambda: (keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(Y)),
    "(n, 1) labels": lambda: (X, Y[:, None]),
    "small integers": lambda: (X, Y.astype("uint8")),
    "tf.data, examples": lambda: stream(X, Y),
    "tf.data, batches": lambda: stream(X, Y).batch(5),
    "a PyDataset": lambda: Batches(),
    "text, and the names": lambda: named(("cat", "dog", "emu"), y=WORDS),
    "text as objects": lambda: named(["cat", "dog", "emu"], y=pd.Series(WORDS, dtype=object)),
}


@pytest.fixture(scope="module")
def expected():
    """Weights after training on plain arrays."""
    model = network()
    fit_transfer(model, TRAIN, strategy="linear_probing", **COMMON)
    return model.get_weights()


@pytest.mark.parametrize("form", FORMS)
def test_data_in_other_forms_train_to_the_same_weights(form, expected):
    data, model = FORMS[form](), network()
    fit_transfer(model, data, data, strategy="linear_probing", **COMMON)
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert accuracy(model, data) == accuracy(model, TRAIN)
    assert mean_recall(model, data) == mean_recall(model, TRAIN)


def test_a_stream_with_weights_counts_as_arrays_with_weights():
    weights = np.linspace(0, 2, 12)
    results = []
    for data in ((X, Y, weights), stream(X, Y, weights).batch(7)):
        model = network()
        fit_transfer(model, data, data, strategy="fine_tuning", **COMMON)
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_text_in_a_stream_is_text():
    with pytest.raises(ValueError, match=r"The targets of train are text \('cat', 'dog', 'emu'\)"):
        fit_transfer(network(), stream(X, WORDS).batch(4), strategy="fine_tuning", **COMMON)


def test_rates_are_tuned_on_one_reading_of_a_stream():
    read = []

    class Counted(Batches):
        def __getitem__(self, number):
            read.append(number)
            return super().__getitem__(number)

    settings = {"strategy": "linear_probing", "rates": [0.1, 0.01], "updates": 3, "batch_size": 4}
    choice = tune_learning_rate(network, Counted(), HELD_OUT, **settings)
    assert read == [0, 1, 2]
    pd.testing.assert_frame_equal(choice.scores, tune_learning_rate(network, TRAIN, HELD_OUT, **settings).scores)
    assert lr_find(network(), Batches(), updates=10).frame.equals(lr_find(network(), TRAIN, updates=10).frame)


def unknown_length():
    """A stream of three whose length TensorFlow does not know."""
    return stream(X, Y).batch(4).filter(lambda x, y: True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: stream(X, Y).repeat(), r"train repeats without end\. Leave out repeat\(\)"),
        (lambda: Endless(), "train repeats without end"),
        (unknown_length, r"train does not know how many .*assert_cardinality\(n\)"),
        (lambda: stream(X, Y).take(0), "train is empty"),
        (lambda: stream(X).batch(4), r"elements of train must be \(x, y\)"),
        (lambda: stream(X, Y).batch(4).batch(2), r"have inputs of shape \(2, 4, 12, 12, 1\); the network takes"),
        (lambda: stream({"a": X, "b": X}, Y).batch(4), "x of train holds 2 arrays, for a network with as many"),
        (lambda: (batch for batch in [(X, Y)]), "train is a generator, which may never end"),
        (lambda: iter([(X, Y)]), "train is a generator"),
        (lambda: X, r"train is a ndarray\. Give \(x, y\)"),
        (lambda: pd.DataFrame({"x": [1], "y": [0]}), r"train is a DataFrame\. Give \(x, y\)"),
        (lambda: {"x": X, "y": Y}, r"train is a dict\. Give \(x, y\)"),
        (lambda: (X,), "train has 1 parts"),
        (lambda: (X, None), "y of train is None"),
        (lambda: ([X, X[:, :6]], Y), "x of train holds 2 arrays, for a network with as many"),
        (lambda: (X, {"a": Y, "b": Y}), "y of train holds 2 arrays"),
        (lambda: ([x[: 3 + i] for i, x in enumerate(X)], Y), "x of train cannot be made an array of one shape"),
        (lambda: (np.array([None] * 12), Y), "x of train holds object values instead of numbers"),
        (lambda: (X, pd.Series([0, 1, None] * 4, dtype="Int64")), "y of train holds .* not finite .*: 4 of 12"),
        (lambda: (X, np.ma.masked_equal(Y, 1)), "y of train is a masked array, and what is masked would count"),
        (lambda: (X, np.datetime64("2020-01-01") + Y), r"y of train holds datetime64\[D\] values instead of numbers"),
        (lambda: (X.astype(str), Y), "x of train holds text"),
        (lambda: (X, 3), "y of train is a single value"),
        (lambda: (X, WORDS), r"targets of train are text \('cat', 'dog', 'emu'\)\. .*names = sorted\(set\(y_train\)\)"),
        (lambda: named(("cat", "dog", "fox"), y=WORDS), r"targets 'emu', which are not among its classes, 'cat', "),
        (lambda: named(("cat", "dog")), r"train knows 2 classes \('cat', 'dog'\), and 'small_cnn.*' has 3 outputs"),
        (lambda: named(tuple("abcd")), "train knows 4 classes"),
    ],
)  # fmt: skip
def test_forms_that_are_not_taken_are_named(data, message):
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        fit_transfer(model, data(), strategy="fine_tuning", **COMMON)
    with pytest.raises(ValueError, match=message):
        lr_find(model, data())
    assert not moved(model, before)


def test_a_stream_too_large_for_memory_is_refused_after_its_first_element(monkeypatch):
    data = stream(X, Y).batch(4)
    monkeypatch.setattr(reading, "READ_LIMIT", 1000)
    with pytest.raises(ValueError, match=r"train takes more than .* GiB in memory"):
        fit_transfer(network(), data, strategy="fine_tuning", **COMMON)
    monkeypatch.setattr(reading, "READ_LIMIT", 10**6)
    with pytest.raises(ValueError, match="train takes more than"):
        fit_transfer(network(), data.repeat(10**6), strategy="fine_tuning", **COMMON)
    fit_transfer(network(), data, strategy="fine_tuning", **COMMON)


def test_classes_mean_the_same_in_both_data_sets():
    for theirs, order in ((("dog", "cat", "emu"), " in another order"), (("cat", "dog", "fox"), "")):
        message = rf"train are 'cat', 'dog', 'emu', those of validation '{theirs[0]}', .* another class{order}\."
        with pytest.raises(ValueError, match=message):
            fit_transfer(network(), named(["cat", "dog", "emu"]), named(theirs), strategy="fine_tuning", **COMMON)
        with pytest.raises(ValueError, match=message):
            settings = {"strategy": "fine_tuning", "rates": [0.1], "updates": 2}
            tune_learning_rate(network, named(["cat", "dog", "emu"]), named(theirs), **settings)
    # Names in the validation data are understood by the names of the training data.
    fit = fit_transfer(network(), named(["cat", "dog", "emu"]), (X, WORDS), strategy="fine_tuning", **COMMON)
    assert fit.history["validation_accuracy"].iloc[-1] == accuracy(fit.model, TRAIN)


def test_weights_are_refused_where_they_would_not_count():
    for use in (accuracy, mean_recall):
        with pytest.raises(ValueError, match="data has a weight per example, which counts for training alone"):
            use(network(), (X, Y, np.ones(12)))
    with pytest.raises(ValueError, match="source has a weight per example"):
        fit_coral(network(), (X, Y, np.ones(12)), X, **COMMON)


# ---------------------------------------------------------------- settings and networks


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": None}, r"seed must be a whole number, such as seed=0, not None \(NoneType\)"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"batch_size": 8.0}, r"batch_size must be a whole number, such as batch_size=10, not 8\.0 \(float\)"),
        ({"batch_size": "8"}, r"not '8' \(str\)"),
        ({"updates": True}, r"updates must be a whole number, .* not True \(bool\)"),
        ({"validations": np.bool_(True)}, "validations must be a whole number"),
        ({"learning_rate": "0.1"}, r"learning_rate must be a number, such as learning_rate=0\.001, not '0\.1' \(str\)"),
        ({"learning_rate": True}, "learning_rate must be a number"),
        ({"learning_rate": np.inf}, "learning_rate must be finite"),
        ({"head_learning_rate": "0.1"}, "head_learning_rate must be a number"),
    ],
)
def test_settings_of_the_wrong_kind_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        fit_transfer(network(), TRAIN, strategy="fine_tuning", **COMMON | settings)


def test_numbers_of_numpy_are_numbers():
    settings = {"seed": np.uint8(0), "batch_size": np.int64(4), "learning_rate": np.float64(0.01)}
    settings["updates"] = np.int32(3)
    assert fit_transfer(network(), TRAIN, strategy="fine_tuning", **settings).updates == 3


def two(inputs, outputs):
    """A network with so many inputs and outputs."""
    images = [keras.Input(SHAPE, name=f"image{number}") for number in range(inputs)]
    flat = layers.Flatten()(layers.Add()(images) if inputs > 1 else images[0])
    return keras.Model(images, [layers.Dense(3, name=f"head{number}")(flat) for number in range(outputs)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential([layers.Flatten(), layers.Dense(3, name="head")]), "does not know its shapes yet"),
        (lambda: two(2, 1), r"has 2 inputs \(image0, image1\), and this takes networks with one"),
        (lambda: two(1, 2), r"has 2 outputs \("),
        (lambda: body_of(network(), "conv2"), r"must be a keras\.Model, not a Backbone\. Put a head on it"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_trained_so_are_named(make, message):
    for use in (lambda m: fit_transfer(m, TRAIN, strategy="fine_tuning", **COMMON), lambda m: accuracy(m, TRAIN)):
        with pytest.raises(ValueError, match=message):
            use(make())


# ---------------------------------------------------------------- pictures


def rescaling(first, shape=(8, 8, 3)):
    """A network with the given first layers and three outputs."""
    image = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(first(image)))
    return keras.Model(image, layers.Dense(3, name="head")(x), name="mine")


def nested(image):
    """A network with a Rescaling inside, as a layer."""
    inside = keras.Input((8, 8, 3))
    return keras.Model(inside, layers.Rescaling(1 / 255)(inside))(layers.Resizing(8, 8)(image))


EXPECTING = {
    "/ 255": layers.Rescaling(1 / 255),
    "-1…1": layers.Rescaling(1 / 127.5, offset=-1),
    "means": layers.Rescaling([1.0, 1.0, 1.0], offset=[-103.9, -116.8, -123.7]),
    "normalised": layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3500.0, 3400.0, 3300.0]),
    "divided": lambda image: image / 255.0,
    "multiplied": lambda image: image * (1 / 255),
    "subtracted": lambda image: image - np.float32([103.9, 116.8, 123.7]),
    "augmented first": lambda image: layers.Rescaling(1 / 255)(layers.RandomFlip(seed=1)(image)),
    "nested": nested,
}
OTHERS = {
    "nothing": lambda image: image,
    "each picture by itself": layers.LayerNormalization(axis=(1, 2, 3)),
    "of 0…1": layers.Rescaling(2.0, offset=-1),
    "small numbers": layers.Normalization(mean=0.5, variance=0.1),
    "behind a layer that learns": lambda image: layers.Rescaling(1 / 255)(layers.Conv2D(2, 1)(image)),
}


def test_networks_that_rescale_are_told_from_others():
    assert all(expects_stored_pixels(rescaling(first)) for first in EXPECTING.values())
    assert not any(expects_stored_pixels(rescaling(first)) for first in OTHERS.values())
    assert expects_stored_pixels(load_backbone(size=32, weights=None).model)
    assert not expects_stored_pixels(network())
    image = keras.Input((8, 8, 3))
    assert expects_stored_pixels(keras.Model(image, preprocess(image, keras.applications.vgg16.preprocess_input)[0]))


BYTES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), "uint8")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (BYTES / 255, r"x goes from 0 to 1, and 'mine' expects pixel values 0…255, .* Multiply them by 255"),
        ((BYTES / 255).astype("float32") * 0.9, r"goes from 0 to 0\.9, .* Multiply them by 255"),
        (BYTES > 127, "goes from 0 to 1, .* Multiply them by 255"),
        (BYTES // 128, "goes from 0 to 1, .* Multiply them by 255"),
        (BYTES / 127.5 - 1, "goes from -1 to 1, .* look preprocessed already"),
        ((BYTES - 115.0) / 58, "look preprocessed already"),
        (BYTES - np.float32([104, 117, 124]), "look preprocessed already"),
        (BYTES.astype("uint16") * 257, r"goes from 0 to 65535, .* \(x / 257\)\.astype\(\"uint8\"\)"),
        (BYTES.astype("int32") * 16, r"Give x \* \(255 / x\.max\(\)\)"),
        (BYTES.astype("float32") * 257, "Divide them by 257 if they had 16 bits"),
    ],
)
def test_a_range_that_the_network_does_not_expect_is_a_warning(x, message):
    model = rescaling(EXPECTING["/ 255"])
    with pytest.warns(UserWarning, match=message):
        extract_features(model, x)
    with pytest.warns(UserWarning, match=message.replace("x goes", "x of train goes")):
        fit_transfer(model, (x, np.arange(6) % 3), strategy="linear_probing", **COMMON)
    with pytest.warns(UserWarning, match="x of validation goes"):
        data = BYTES, np.arange(6) % 3
        fit_transfer(model, data, (x, data[1]), strategy="linear_probing", **COMMON)


def test_no_false_alarm():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = rescaling(EXPECTING["/ 255"])
        for x in (BYTES, BYTES.astype("float32"), BYTES * 1.05 - 8, BYTES.astype("int64"), np.zeros((6, 8, 8, 3))):
            extract_features(model, x)
        for first in OTHERS.values():
            extract_features(rescaling(first), BYTES / 255)
        fit_transfer(network(), ((X / 255).astype("float32"), Y), strategy="linear_probing", **COMMON)


@pytest.mark.parametrize(
    ("channels", "x", "cure", "right"),
    [
        (3, BYTES[..., 0], "np.repeat(x[..., None], 3, axis=-1)", lambda x: np.repeat(x[..., None], 3, axis=-1)),
        (3, BYTES[..., :1], "np.repeat(x, 3, axis=-1)", lambda x: np.repeat(x, 3, axis=-1)),
        (3, np.concatenate([BYTES, BYTES[..., :1]], axis=-1), "x[..., :3]", lambda x: x[..., :3]),
        (3, np.moveaxis(BYTES, -1, 1), "np.moveaxis(x, 1, -1)", lambda x: np.moveaxis(x, 1, -1)),
        (1, BYTES[..., 0], "x[..., None]", lambda x: x[..., None]),
        (1, BYTES, "x[..., :3].mean(axis=-1, keepdims=True)", lambda x: x.mean(axis=-1, keepdims=True)),
        (3, BYTES[:, :6], "Resize the images or build the model", None),
    ],
)
def test_shapes_that_do_not_fit_come_with_the_cure(channels, x, cure, right):
    model = rescaling(lambda image: image, (8, 8, channels))
    message = re.escape(f"have shape {x.shape[1:]}, and 'mine' takes (8, 8, {channels}).") + ".*" + re.escape(cure)
    with pytest.raises(ValueError, match="The inputs of train " + message):
        fit_transfer(model, (x, np.arange(6) % 3), strategy="linear_probing", **COMMON)
    with pytest.raises(ValueError, match="The inputs x " + message):
        extract_features(model, x)
    if right is not None:
        assert extract_features(model, right(x)).shape == (6, 3)
