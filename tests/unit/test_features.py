"""Features are found again only where everything that decides them is the same; nothing on a disk can spoil them."""

import errno
import functools
import io
import json
import os
import random
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.grid.networks import describe
from tl_helpers.models import features
from tl_helpers.models.backbones import Backbone, load_backbone
from tl_helpers.models.features import extract_features, probe, run_once
from tl_helpers.models.graph import belongs, stage_of
from tl_helpers.models.small_network import small_cnn, small_cnn_body

X = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), "uint8")


@pytest.fixture
def body():
    return small_cnn_body((28, 28, 1), seed=0)


def forbid_running(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("The network was run.")

    monkeypatch.setattr(features, "make_forward", fail)


# ---------------------------------------------------------------- what they are


def test_features_are_the_mean_over_positions(body):
    got = extract_features(body, X, batch_size=3)
    assert got.dtype == np.float32 and got.shape == (7, 64)
    np.testing.assert_allclose(got, np.asarray(body.model(X)).mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_array_equal(got, extract_features(body.model, X, batch_size=3))


@pytest.mark.parametrize(("stage", "width"), [("conv1", 16), ("conv2", 32), ("conv3", 64)])
def test_features_of_a_stage(body, stage, width):
    inner = keras.Model(body.model.input, body.model.get_layer(stage).output)
    got = extract_features(body, X, stage=stage)
    assert got.shape == (7, width)
    np.testing.assert_allclose(got, np.asarray(inner(X)).mean(axis=(1, 2)), atol=1e-6)


def test_stages_of_the_shipped_backbone_are_the_ends_of_its_blocks():
    backbone = load_backbone(size=32, weights=None)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    inner = keras.Model(backbone.model.input, backbone.model.get_layer("block2b_add").output)
    by_stage = extract_features(backbone, images, stage="block2")
    np.testing.assert_allclose(by_stage, np.asarray(inner(images)).mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(by_stage, extract_features(backbone.model, images, stage="block2"))


def test_features_that_are_vectors_are_left_as_they_are():
    model = small_cnn((28, 28, 1), 3, seed=0)
    np.testing.assert_allclose(extract_features(model, X), model(X), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 7, 100])
def test_batches_of_any_size_give_all_rows_in_order(body, batch_size):
    got = extract_features(body, X, batch_size=batch_size)
    np.testing.assert_allclose(got, extract_features(body, X, batch_size=7), atol=1e-5)


def test_an_unknown_stage_and_no_images_are_errors(body):
    with pytest.raises(ValueError, match=r"no layer or stage 'conv9'\. Its stages with weights: conv1, conv2, conv3"):
        extract_features(body, X, stage="conv9")
    with pytest.raises(ValueError, match="There are no inputs"):
        extract_features(body, X[:0])


def test_features_are_read_only(body, tmp_path):
    for cache in (None, {}, tmp_path, tmp_path):
        with pytest.raises(ValueError, match="read-only"):
            extract_features(body, X, cache=cache)[0, 0] = 1


# ---------------------------------------------------------------- found again


def test_a_dict_and_a_folder_keep_them(body, tmp_path, monkeypatch):
    kept, folder = {}, tmp_path / "new" / "folder"
    first = extract_features(body, X, cache=kept)
    on_disk = extract_features(body, X, cache=folder)
    np.testing.assert_array_equal(first, on_disk)
    assert len(kept) == 1 and len(list(folder.iterdir())) == 1
    # Another object with the same layers and weights, under other names, is the same network.
    forbid_running(monkeypatch)
    twin = small_cnn_body((28, 28, 1), seed=0)
    for number, layer in enumerate(twin.model.layers):
        layer.name, layer.trainable = f"other{number}", False
    assert extract_features(twin, X.copy(), cache=kept) is first
    np.testing.assert_array_equal(extract_features(twin, X.copy(), cache=str(folder)), first)
    with pytest.raises(AssertionError, match="The network was run"):
        extract_features(body, X, stage="conv3", cache=folder)


def test_the_file_is_a_plain_array(body, tmp_path):
    got = extract_features(body, X, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".npz"
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["outputs"], got)


def network(*, scale=1 / 255, offset=0.0, padding="same", dilation=1, join=layers.Add, swap=False, power=1.0):
    """A small network of which each setting can be varied while its weights and its shapes stay."""
    image = keras.Input((8, 8, 2))
    x = layers.Rescaling(scale, offset=offset)(image)
    start = keras.initializers.HeUniform(seed=1)
    x = layers.Conv2D(2, 3, padding="same", dilation_rate=dilation, kernel_initializer=start)(x)
    padded = layers.MaxPooling2D(2, 1, padding="same")(x) if padding == "max" else x
    pair = [padded, layers.ReLU()(x)]
    if swap:
        pair.reverse()
    return keras.Model(image, join()(pair) / power)


IMAGES = np.random.default_rng(1).integers(1, 256, (4, 8, 8, 2), "uint8")


def key_of(model, x=IMAGES, batch_size=4, training=False):
    """Return the key under which outputs are kept, without running the network."""
    kept = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "make_forward", lambda *_, **__: lambda *_: np.zeros(1))
        run_once(model, x, batch_size=batch_size, training=training, cache=kept)
    return next(iter(kept))


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 1 / 256},
        {"offset": -1.0},
        {"dilation": 2},
        {"padding": "max"},
        {"join": layers.Subtract},
        {"join": layers.Subtract, "swap": True},
        {"power": 2.0},
    ],
)
def test_another_preprocessing_or_architecture_is_computed_anew(change):
    assert key_of(network()) == key_of(network())
    other = network(**change)
    assert key_of(other) != key_of(network())
    assert (np.asarray(other(IMAGES)) != np.asarray(network()(IMAGES))).any()


def test_an_order_of_inputs_counts():
    assert key_of(network(join=layers.Subtract)) != key_of(network(join=layers.Subtract, swap=True))


@pytest.mark.parametrize("value", [3.0, np.float32([1, 2]), np.float32([2, 1])])
def test_constants_of_an_operation_count(value):
    def model(constant):
        image = keras.Input((8, 8, 2))
        return keras.Model(image, image * constant)

    assert key_of(model(value)) == key_of(model(value)) != key_of(model(np.float32([1, 1])))
    assert key_of(model(value)) != key_of(model(2.0))


def test_a_nested_network_counts_with_all_it_holds_but_its_names():
    def model(inner):
        image = keras.Input((8, 8, 2))
        return keras.Model(image, inner(image))

    assert key_of(model(network())) == key_of(model(network()))
    assert key_of(model(network())) != key_of(model(network(power=2.0)))
    assert key_of(model(network())) != key_of(model(network(scale=1 / 256)))


def test_weights_statistics_images_and_batches_count():
    image = keras.Input((8, 8, 2))
    model = keras.Model(image, layers.BatchNormalization()(layers.Conv2D(2, 3)(image)))
    original = key_of(model)
    assert key_of(model) == original
    for weight in model.weights:
        before = weight.numpy()
        value = before.copy()
        value.flat[0] = np.nextafter(value.flat[0], np.float32(9))
        weight.assign(value)
        assert key_of(model) != original
        weight.assign(before)
    images = IMAGES.copy()
    images[-1, -1, -1, -1] ^= 1
    for other in (images, IMAGES[:3], IMAGES[::-1], IMAGES.astype("float32")):
        assert key_of(model, other) != original
    assert key_of(model, batch_size=2) != original
    assert key_of(model, training=True) != original


# ---------------------------------------------------------------- what functions and classes compute


@keras.saving.register_keras_serializable("tests")
def relu(x):
    """Is called as Keras's own, and does something else."""
    return -x


class Scaled(layers.Layer):
    """A layer whose settings say nothing of what it does."""

    def __init__(self, factor, **more):
        super().__init__(**more)
        self.factor = factor

    def call(self, x):
        return self.factor * x

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return super().get_config()


class Negative(Scaled):
    def call(self, x):
        return -self.factor * x


Negative.__name__ = "Scaled"


class Block(layers.Layer):
    def __init__(self, *inner, **more):
        super().__init__(**more)
        self.inner = list(inner)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x

    def compute_output_shape(self, shape):
        return shape


class Cell(layers.SimpleRNNCell):
    sign = 1.0

    def call(self, x, states, training=False):
        outputs, states = super().call(x, states, training=training)
        return self.sign * outputs, states


class OtherCell(Cell):
    sign = -1.0


OtherCell.__name__ = "Cell"


class Network(keras.Model):
    """A functional model that does more than its layers."""

    def call(self, x, training=None, mask=None):
        return -super().call(x, training=training)


Network.__name__ = "Functional"


def ones(kind, *arguments, **settings):
    return kind(*arguments, kernel_initializer="ones", **settings)


def inner_network(kind=keras.Model, factor=1.0):
    image = keras.Input((8, 8, 2))
    return kind(image, Scaled(factor)(image))


def enclosing(weight):
    layer = layers.Dense(2, kernel_initializer=keras.initializers.Constant(weight))
    layer.build((None, 8, 8, 2))
    return layers.Lambda(lambda x: layer(x))


class Gain:
    def __init__(self, gain):
        self.gain = gain

    def times(self, x):
        return self.gain * x

    __call__ = times


def multiply(x, factor):
    return factor * x


PAIRS = {
    "functions": lambda n: layers.Lambda((lambda x: x / 255.0) if n == 1 else (lambda x: x / 127.5 - 1.0)),
    "what a function encloses": lambda n: layers.Lambda(lambda x: x * float(n)),
    "an array that it encloses": lambda n: layers.Lambda(lambda x, by=np.array([n, 1], "float32"): x * by),  # noqa: B008
    "arguments of a function": lambda n: layers.Lambda(multiply, arguments={"factor": float(n)}),
    "a partial function": lambda n: layers.Lambda(functools.partial(multiply, factor=float(n))),
    "a bound method": lambda n: layers.Lambda(Gain(float(n)).times),
    "an enclosed layer": lambda n: enclosing(float(n)),
    "an activation": lambda n: ones(layers.Dense, 2, activation=(lambda x: x) if n == 1 else (lambda x: 2 * x)),
    "an activation of Keras's name": lambda n: ones(layers.Dense, 2, activation="relu" if n == 1 else relu),
    "an attribute": lambda n: Scaled(float(n)),
    "an attribute that is an array": lambda n: Scaled(np.float32([n, 1])),
    "a class": lambda n: Scaled(1.0) if n == 1 else Negative(1.0),
    "in a wrapper": lambda n: layers.TimeDistributed(Scaled(float(n))),
    "a function in a wrapper": lambda n: layers.TimeDistributed(layers.Lambda(lambda x: x * float(n))),
    "in a block": lambda n: Block(ones(layers.Dense, 2), layers.Dropout(0.5), Scaled(float(n))),
    "in blocks": lambda n: Block(Block(Scaled(float(n)))),
    "a nested network": lambda n: inner_network(factor=float(n)),
    "a network in a block": lambda n: Block(inner_network(factor=float(n))),
    "a class of network": lambda n: inner_network(keras.Model if n == 1 else Network),
    "a cell": lambda n: layers.TimeDistributed(
        layers.RNN((Cell if n == 1 else OtherCell)(2, kernel_initializer="ones", recurrent_initializer="ones"))
    ),
}


def made_of(layer):
    image = keras.Input((8, 8, 2))
    return keras.Model(image, layer(image))


@pytest.mark.parametrize("what", PAIRS)
def test_two_networks_that_compute_differently_share_no_features(what):
    first, same, other = (made_of(PAIRS[what](n)) for n in (1, 1, 2))
    kept = {}
    images = IMAGES.astype("float32")
    got = extract_features(first, images, cache=kept)
    assert extract_features(same, images, cache=kept) is got
    changed = extract_features(other, images, cache=kept)
    np.testing.assert_array_equal(changed, extract_features(other, images))
    assert len(kept) == 2 and (changed != got).any()


def test_what_a_text_layer_has_learned_counts():
    def layer(words):
        layer = layers.TextVectorization(output_sequence_length=2)
        layer.adapt(words)
        text = keras.Input((), dtype="string")
        return keras.Model(text, layer(text))

    assert describe(layer(["a b"])) == describe(layer(["a b"])) != describe(layer(["b a a"]))


def test_a_layer_that_is_kept_still_is_described_as_what_it_was():
    class Still(layers.ReLU):
        _still_of = layers.ReLU

    assert describe(made_of(Still())) == describe(made_of(layers.ReLU()))


def test_a_network_that_cannot_be_recognised_is_computed_anew_with_a_sentence(tmp_path):
    handle = open(os.devnull)
    model = made_of(layers.Lambda(lambda x: x if handle else -x))
    for cache in ({}, tmp_path):
        with pytest.warns(UserWarning, match=r"computed anew and not kept: What layer 'lambda.*handle.*fingerprinted"):
            got = extract_features(model, IMAGES, cache=cache)
        np.testing.assert_allclose(got, IMAGES.mean(axis=(1, 2)), rtol=1e-6)
        assert not (cache if isinstance(cache, dict) else list(tmp_path.iterdir()))
    handle.close()


DESCRIBED = """
import keras, numpy as np
from keras import layers
from tl_helpers.grid.networks import describe
from tl_helpers.grid.identity import fingerprint

CHOSEN = {"a", "b", "c"}

class Own(layers.Layer):
    names = {"x": {"a", "b"}}

    def __init__(self, words):
        super().__init__()
        self.words, self.inner = words, layers.Dense(2, kernel_initializer="ones")

    def call(self, x):
        return x if "a" in CHOSEN else -x

image = keras.Input((4,))
outputs = Own({"r", "s", "t"})(layers.Lambda(lambda x: x * (len(CHOSEN) in {1, 2, 3}))(image))
print(fingerprint(describe(keras.Model(image, outputs))))
"""


def test_a_description_is_the_same_in_every_process():
    found = {
        subprocess.run(
            [sys.executable, "-c", DESCRIBED],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and len(found.pop().strip()) == 16


def test_descriptions_can_be_written_as_text():
    image = keras.Input((8, 8, 2))
    description = json.loads(json.dumps(describe(keras.Model(image, layers.Rescaling(0.5)(image) * np.float32(2)))))
    assert [kind for kind, *_ in description] == ["InputLayer", "Rescaling", "Multiply"]
    assert description[1][1]["scale"] == 0.5
    assert [wires for _, _, wires, _ in description] == [[], [[0, 0]], [[1, 0]]]


# ---------------------------------------------------------------- damage


def entry(body, folder):
    expected = extract_features(body, X, cache=folder)
    (path,) = folder.iterdir()
    return expected, path


@pytest.mark.parametrize("damage", ["empty", "torn", "noise", "flipped", "pickle", "folder"])
def test_a_damaged_entry_is_reported_and_computed_anew(body, tmp_path, damage):
    expected, path = entry(body, tmp_path)
    content = path.read_bytes()
    if damage == "pickle":
        buffer = io.BytesIO()
        np.savez(buffer, outputs=np.array([{"a": 1}], dtype=object))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        new = {"empty": b"", "torn": content[:-30], "noise": os.urandom(300), "flipped": flipped}
        path.write_bytes(buffer.getvalue() if damage == "pickle" else new[damage])
    with pytest.warns(UserWarning, match=rf"The cached features in .*{path.name} are damaged.*they are computed anew"):
        np.testing.assert_array_equal(extract_features(body, X, cache=tmp_path), expected)
    if damage != "folder":
        assert path.read_bytes() == content or np.load(path)["outputs"].tobytes() == expected.tobytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            extract_features(body, X, cache=tmp_path)


def test_an_entry_of_another_shape_is_computed_anew(body, tmp_path):
    expected, path = entry(body, tmp_path)
    for wrong in (expected[:3], expected[:, :5], expected[None], np.float32(1)):
        np.savez(path, outputs=wrong)
        with pytest.warns(UserWarning, match="wrong shape or precision; they are computed anew"):
            np.testing.assert_array_equal(extract_features(body, X, cache=tmp_path), expected)


def test_no_damage_of_a_byte_is_an_error_or_goes_unseen(tmp_path):
    path, expected = tmp_path / "entry.npz", np.arange(12, dtype="float32").reshape(3, 4)
    np.savez(path, outputs=expected)
    content = path.read_bytes()
    generator, seen = random.Random(0), 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got = features._read(path, (3, 4), "float32")
        told = [each for each in caught if "computed anew" in str(each.message)]
        assert len(told) == (got is None)  # NumPy may say more
        assert got is None or (got == expected).all()
        seen += got is None
    assert seen > len(content) / 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_and_a_read_only_folder_cost_a_warning(body, tmp_path, monkeypatch, number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    expected = extract_features(body, X)
    monkeypatch.setattr(np, "savez", fail)
    with pytest.warns(UserWarning, match=rf"could not be kept in .*\({os.strerror(number)}\).*choose another folder"):
        np.testing.assert_array_equal(extract_features(body, X, cache=tmp_path), expected)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_a_warning(body, tmp_path):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.warns(UserWarning) as caught:
        got = extract_features(body, X, cache=tmp_path / "file")
    assert any("could not be kept in" in str(each.message) for each in caught)
    np.testing.assert_array_equal(got, extract_features(body, X))


def test_an_interruption_while_writing_leaves_no_entry(body, tmp_path, monkeypatch):
    def half(path, outputs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", half)
        with pytest.raises(KeyboardInterrupt):
            extract_features(body, X, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract_features(body, X, cache=tmp_path)


# ---------------------------------------------------------------- names of stages


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("block5c_add", "block5"),
        ("conv2_block1_out", "conv2"),
        ("block_1_expand", "block_1"),
        ("head_pool", "head"),
        ("head", "head"),
        ("conv4", "conv4"),
        ("7", "7"),
    ],
)
def test_stages_that_names_suggest(name, stage):
    assert stage_of(name) == stage
    assert belongs(name, stage)


def test_stages_are_told_apart_by_their_whole_number():
    assert belongs("block5a_add", "block5") and belongs("block5", "block5")
    assert not belongs("block51_add", "block5") and not belongs("myblock5", "block5")


# ---------------------------------------------------------------- probe


def test_probe_learns_what_can_be_learned_and_nothing_from_noise():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 300)
    noise = generator.normal(size=(300, 5))
    signal = 100 * np.eye(3)[y] + 1e-3 * generator.normal(size=(300, 3)) + 1e4
    assert probe(signal[:200], y[:200]).score(signal[200:], y[200:]) == 1
    assert probe(noise[:200], y[:200]).score(noise[200:], y[200:]) < 0.5
    # Standardised: neither scale nor offset of a feature matters.
    np.testing.assert_allclose(
        probe(noise, y).predict_proba(noise), probe(7 * noise - 3, y).predict_proba(7 * noise - 3), atol=1e-6
    )


def test_probe_takes_features_as_they_are_and_weighs_examples_and_classes():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 4)), (np.arange(60) % 3 == 0).astype(int)
    standardised = (x - x.mean(axis=0)) / x.std(axis=0)
    as_they_are = probe(standardised, y, standardise=False).predict_proba(standardised)
    np.testing.assert_allclose(as_they_are, probe(x, y).predict_proba(x), atol=1e-6)
    # To count the rarer class twice is to have as much of both.
    weighed = probe(x, y, sample_weight=1.0 + y).predict_proba(x)
    np.testing.assert_allclose(
        probe(x, y, C=0.05 * 4 / 3, class_weight="balanced").predict_proba(x), weighed, atol=1e-3
    )


def test_probe_is_weaker_the_smaller_c_is():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 30)), np.arange(40) % 2
    assert probe(x, y, C=100).score(x, y) == 1
    confidence = [np.abs(probe(x, y, C=c).decision_function(x)).max() for c in (1e-4, 0.05, 10)]
    assert confidence == sorted(confidence)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 3)), np.zeros(5), r"must be \(n, d\) and y \(n,\); they are \(4, 3\) and \(5,\)"),
        (np.zeros((4, 2, 2, 3)), np.arange(4), r"they are \(4, 2, 2, 3\) and \(4,\)"),
        (np.zeros((4, 3)), np.zeros((4, 1)), r"\(4, 3\) and \(4, 1\)"),
        (np.zeros((4, 3)), np.ones(4), "All labels are the same"),
    ],
)
def test_probe_refuses_what_does_not_fit(x, y, message):
    with pytest.raises(ValueError, match=message):
        probe(x, y)


def test_a_backbone_is_asked_for_the_layer_of_its_stage():
    image = keras.Input((8, 8, 2))
    model = keras.Model(image, layers.ReLU(name="b")(layers.Rescaling(-1.0, name="a")(image)))
    backbone = Backbone(model, "mine", "-x", {"early": "a", "late": "b"})
    got = extract_features(backbone, IMAGES, stage="early")
    np.testing.assert_allclose(got, -IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert not extract_features(backbone, IMAGES, stage="late").any()
