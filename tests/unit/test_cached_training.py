"""The frozen part run once gives the same weights as the whole network run always, or it is not done."""

import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from keras import layers

from tests.unit.networks import pictures, residual
from tl_helpers.models import features
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import small_cnn
from tl_helpers.training import cached
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import freeze, unfreeze
from tl_helpers.training.loop import draw_batches
from tl_helpers.training.weights import put_back, seed_random_layers, snapshot


def both_ways(model, start, data, validation=None, **arguments):
    """Train from the same weights with the frozen part run once, then run always."""
    results = []
    for cache in ("auto", False):
        unfreeze(model)
        put_back(model, start)
        fit = fit_transfer(model, data, validation, cache=cache, **arguments)
        results.append((fit, snapshot(model)))
    return results


def assert_as_promised(once, always):
    """Compare weights and losses bit for bit where the note promises it, within 1e-5 elsewhere."""
    tolerance = 1e-5 if "to about 1e-5" in once[0].note else 0
    assert once[0].note.count("bit for bit") + once[0].note.count("to about 1e-5") == once[0].note.count("was run once")
    for a, b in zip(once[1], always[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    assert (once[0].history["phase"] == always[0].history["phase"]).all()
    for column in ("loss", "validation_loss", "validation_accuracy"):
        np.testing.assert_allclose(once[0].history[column], always[0].history[column], rtol=0, atol=tolerance)


# ---------------------------------------------------------------- equality


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    cut=st.sampled_from([None, "conv1", "conv2", "conv3", "conv4"]),
    strategy=st.sampled_from(["fine_tuning", "lp_ft"]),
    seed=st.integers(0, 2**31),
    batch_size=st.integers(2, 9),
    size=st.sampled_from([12, 28]),
)
def test_small_cnn_gets_the_same_weights(cut, strategy, seed, batch_size, size):
    data = pictures(11, (size, size, 1), seed), np.random.default_rng(seed).permutation(np.arange(11) % 3)
    held_out = pictures(5, (size, size, 1), seed + 1), np.arange(5) % 3
    model = small_cnn((size, size, 1), 3, seed=seed % 1000)
    arguments = {"learning_rate": 1e-3, "updates": 5, "batch_size": batch_size, "seed": seed, "validations": 2}
    once, always = both_ways(model, snapshot(model), data, held_out, strategy=strategy, upto=cut, **arguments)
    assert_as_promised(once, always)
    assert once[0].cached == (cut is not None or strategy == "lp_ft") and not always[0].cached
    assert always[0].note.endswith("Nothing was run once, as asked.")


@pytest.fixture(scope="module")
def lite0():
    model = add_class_head(load_backbone(size=32), 2, seed=0)
    return model, snapshot(model)


@settings(max_examples=2, deadline=None, derandomize=True)
@given(
    cut=st.sampled_from(["stem", "block1", "block2", "block3", "block5", "block6", "block7", "conv_head"]),
    seed=st.integers(0, 2**31),
    batch_size=st.integers(2, 6),
)
def test_lite0_gets_the_same_weights(lite0, cut, seed, batch_size):
    model, start = lite0
    data = pictures(7, (32, 32, 3), seed), np.arange(7) % 2
    arguments = {"learning_rate": 1e-4, "updates": 2, "batch_size": batch_size, "seed": seed}
    once, always = both_ways(model, start, data, strategy="fine_tuning", upto=cut, **arguments)
    assert_as_promised(once, always)
    assert once[0].cached
    assert any((a != b).any() for a, b in zip(start, once[1], strict=True))


def test_equality_is_promised_where_the_pixels_of_a_batch_are_a_round_number():
    # 64 images for the small network; Lite0 at 96 pixels takes longer and stands in the benchmarks.
    model, data = small_cnn((28, 28, 1), 3, seed=0), (pictures(128, (28, 28, 1)), np.arange(128) % 3)
    arguments = {"strategy": "fine_tuning", "upto": "conv3", "batch_size": 64, "learning_rate": 0.01, "seed": 0}
    once, always = both_ways(model, snapshot(model), data, updates=6, **arguments)
    assert "bit for bit" in once[0].note
    assert_as_promised(once, always)


def test_bits_that_depend_on_the_place_in_the_batch_are_noticed():
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    for size in range(2, 17):
        for wrong in range(size):

            def forward(batch, _, wrong=wrong):
                outputs = 2 * batch
                outputs[wrong] = np.nextafter(outputs[wrong], np.float32(9))
                return outputs

            assert not cached._same_in_every_place(forward, x[:size], forward(x[:size], size), size)
        for period in (2, 4, size // 2 or 2):

            def forward(batch, _, period=period):
                return batch * np.where(np.arange(len(batch)) % (2 * period) < period, 1, 1.001)[:, None]

            same = cached._same_in_every_place(forward, x[:size], forward(x[:size], size), size)
            assert not same or size <= period
        assert cached._same_in_every_place(lambda batch, _: 2 * batch, x[:size], 2 * x[:size], size)
    assert not cached._same_in_every_place(lambda batch, _: 2 * batch, x[:1], 2 * x[:1], 1)


def test_a_place_that_shows_in_the_second_batch_only_is_noticed():
    x = np.ones((8, 3), "float32")
    x[4] = 1 + 2**-23  # comes to the last place when its batch is turned

    def forward(batch, _):
        outputs = batch.copy()
        outputs[-1] = np.where(outputs[-1] > 1, 2, outputs[-1])
        return outputs

    assert cached._same_in_every_place(forward, x[:4], x[:4], 4)
    assert not cached._same_in_every_place(forward, x, np.concatenate([forward(x[:4], 4), forward(x[4:], 4)]), 4)


def test_a_batch_of_one_image_is_promised_less():
    model = small_cnn((12, 12, 1), 2, seed=0)
    data = pictures(6, (12, 12, 1)), np.arange(6) % 2
    arguments = {"learning_rate": 1e-3, "updates": 6, "batch_size": 1, "seed": 0}
    once, always = both_ways(model, snapshot(model), data, strategy="fine_tuning", upto="conv3", **arguments)
    assert once[0].note.endswith("to about 1e-5.")
    assert_as_promised(once, always)


@pytest.mark.parametrize(("name", "upto"), [("EfficientNetB0", "block2b_add"), ("ConvNeXtTiny", None)])
def test_other_architectures_are_within_the_bound(name, upto):
    keras.utils.set_random_seed(0)
    base = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(32, 32, 3))
    if upto is not None:  # its first blocks alone, whole it would take long
        base = keras.Model(base.input, base.get_layer(upto).output)
    else:
        base = keras.Model(base.input, base.get_layer("convnext_tiny_downsampling_block_0").output)
    x = layers.GlobalAveragePooling2D(name="head_pool")(base.output)
    model = keras.Model(base.input, layers.Dense(2, name="head")(x))
    data = pictures(8, (32, 32, 3)), np.arange(8) % 2
    arguments = {"learning_rate": 1e-3, "updates": 4, "batch_size": 4, "seed": 0}
    once, always = both_ways(model, snapshot(model), data, data, strategy="linear_probing", **arguments)
    assert once[0].cached and once[0].note.endswith("running it always, to about 1e-5.")
    assert_as_promised(once, always)


def plain_keras(model, data, rows, learning_rate):
    """Train with `fit`, a batch at a time."""
    schedule = keras.optimizers.schedules.PolynomialDecay(learning_rate, len(rows), end_learning_rate=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)
    order = rows.ravel()
    model.fit(data[0][order], data[1][order], batch_size=rows.shape[1], shuffle=False, verbose=0)


@pytest.mark.parametrize("upto", [None, "conv2"])
def test_plain_keras_gives_the_same_bits(upto):
    data = pictures(10, (12, 12, 1)), np.arange(10) % 2
    model, plain = (small_cnn((12, 12, 1), 2, seed=0) for _ in range(2))
    fit_transfer(model, data, strategy="fine_tuning", upto=upto, learning_rate=0.01, updates=7, batch_size=4, seed=3)
    if upto is not None:
        freeze(plain, upto=upto)
    plain_keras(plain, data, draw_batches(10, 7, 4, [3, 0]), 0.01)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_plain_keras_with_dropout_batch_norm_and_a_penalty_gives_the_same_bits():
    def make():
        image = keras.Input((6, 6, 2), name="image")
        start = keras.initializers.HeUniform(seed=1)
        x = layers.Conv2D(4, 3, kernel_regularizer="l2", kernel_initializer=start, name="conv")(image)
        x = layers.Dropout(0.5, name="drop")(layers.BatchNormalization(name="norm")(x))
        x = layers.Dense(2, kernel_initializer=keras.initializers.HeUniform(seed=2), name="head")(layers.Flatten()(x))
        return keras.Model(image, x)

    data = pictures(8, (6, 6, 2)), np.arange(8) % 2
    model, plain = make(), make()
    fit_transfer(model, data, strategy="fine_tuning", learning_rate=0.01, updates=5, batch_size=4, seed=3)
    unfreeze(plain, batch_norm=False)
    seed_random_layers(plain, 3)
    plain_keras(plain, data, draw_batches(8, 5, 4, [3, 0]), 0.01)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ---------------------------------------------------------------- what fit_transfer does about it


@pytest.mark.parametrize(
    ("make", "upto", "words"),
    [
        (residual, "block1_conv", "2 tensors leave the frozen part .* is 'stem_norm': freeze up to there"),
        (lambda: residual(after_stem=layers.RandomFlip(seed=1)), "block1", "draws random numbers in training"),
        (residual, None, "No layer with weights is frozen before"),
    ],
)
def test_where_it_would_be_wrong_the_whole_network_is_trained_and_it_says_why(make, upto, words, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("The frozen part was run once.")

    monkeypatch.setattr(cached, "run_once", fail)
    data = pictures(6, (8, 8, 3)), np.arange(6) % 2
    model = make()
    head = model.get_layer("head").get_weights()[0].copy()
    arguments = {"learning_rate": 0.01, "updates": 3, "batch_size": 3, "seed": 0}
    fit = fit_transfer(model, data, strategy="fine_tuning", upto=upto, **arguments)
    assert not fit.cached
    assert fit.note.startswith("The whole network was run in every update. ")
    assert re.search(words, fit.note)
    assert (model.get_layer("head").get_weights()[0] != head).any()


def test_an_output_too_large_for_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr(cached, "_MEMORY_LIMIT", 4 * 4 * 6 * 16 * 6 - 1)
    data = pictures(6, (8, 12, 1)), np.arange(6) % 2
    arguments = {"strategy": "fine_tuning", "upto": "conv1", "learning_rate": 0.01, "updates": 4, "seed": 0}
    fit = fit_transfer(small_cnn((8, 12, 1), 2, seed=0), data, **arguments)
    assert not fit.cached and "would take 0.0 GiB" in fit.note
    monkeypatch.setattr(cached, "_MEMORY_LIMIT", 4 * 4 * 6 * 16 * 6)
    assert fit_transfer(small_cnn((8, 12, 1), 2, seed=0), data, **arguments).cached


def test_only_the_images_in_use_are_run(monkeypatch):
    seen = []
    run_once = cached.run_once

    def count(model, x, **settings):
        seen.append(len(x))
        return run_once(model, x, **settings)

    monkeypatch.setattr(cached, "run_once", count)
    data = pictures(30, (12, 12, 1)), np.arange(30) % 2
    fit_transfer(
        small_cnn((12, 12, 1), 2, seed=0),
        data,
        strategy="linear_probing",
        learning_rate=0.01,
        updates=2,
        batch_size=4,
        seed=0,
    )
    assert seen == [8]


# ---------------------------------------------------------------- with everything there already


def fit_cached(cache, upto="conv3", **more):
    """Train the end of a small network; return what was done and the weights."""
    data = pictures(16, (28, 28, 1)), np.arange(16) % 3
    model = small_cnn((28, 28, 1), 3, seed=0)
    arguments = {"strategy": "fine_tuning", "upto": upto, "batch_size": 8, "learning_rate": 0.01, "seed": 0}
    fit = fit_transfer(model, data, data, updates=1, cache=cache, **arguments | more)
    return fit, snapshot(model)


@pytest.fixture
def asked(monkeypatch):
    """Return the list of the questions that are asked about the frozen part, in the order in which they are."""
    questions = []

    def noted(name, function):
        return lambda *arguments: questions.append(name) or function(*arguments)

    for name in ("what_differs", "_same_in_every_place"):
        monkeypatch.setattr(cached, name, noted(name.strip("_"), getattr(cached, name)))
    return questions


@pytest.mark.parametrize("folder", [False, True])
def test_with_everything_in_the_cache_the_frozen_part_is_not_even_traced(folder, asked, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("The frozen part was traced.")

    cache = tmp_path if folder else {}
    first = fit_cached(cache)
    assert asked == ["what_differs", "same_in_every_place"]
    with monkeypatch.context() as patch:
        patch.setattr(cached, "in_batches", lambda call: fail)
        second = fit_cached(cache)
    assert asked == ["what_differs", "same_in_every_place"]
    assert second[0].note == first[0].note and "was run once" in first[0].note
    for a, b in zip(first[1], second[1], strict=True):
        np.testing.assert_array_equal(a, b)
    fit_cached("auto")
    assert len(asked) == 4


@pytest.mark.parametrize(
    "change", [{"batch_size": 4}, {"upto": "conv2"}, {"seed": 1}], ids=lambda change: next(iter(change))
)
def test_another_question_is_asked_again(change, asked):
    cache = {}
    fit_cached(cache)
    fit_cached(cache, **change)
    assert asked.count("same_in_every_place") == 2


def test_another_machine_is_asked_again(asked, monkeypatch):
    cache, here = {}, features.arithmetic()
    fit_cached(cache)
    monkeypatch.setattr(features, "arithmetic", lambda: [*here, "another"])
    fit_cached(cache)
    assert asked == ["what_differs", "same_in_every_place"] * 2


def test_outputs_that_another_machine_has_rounded_otherwise_are_noticed(asked):
    cache = {}
    fit_cached(cache)
    for outputs in cache.values():
        if outputs.dtype == "float32":
            outputs.flags.writeable = True
            outputs[...] = np.nextafter(outputs, np.float32(9))
    for _ in range(2):
        assert fit_cached(cache)[0].note.endswith("to about 1e-5.")
    assert asked == ["what_differs", "same_in_every_place", "same_in_every_place"]


def test_an_answer_of_no_is_kept_too(asked, monkeypatch):
    cache = {}
    monkeypatch.setattr(cached, "_same_in_every_place", lambda *_: asked.append("no") or False)
    assert [fit_cached(cache)[0].note[-14:] for _ in range(2)] == ["to about 1e-5."] * 2
    assert asked == ["what_differs", "no"]


def test_of_layers_on_trust_no_answer_is_kept(asked):
    class Own(layers.Layer):
        def call(self, x):
            return x * 2.0

    def network():
        image = keras.Input((8, 8, 3))
        x = layers.Conv2D(4, 3, kernel_initializer="ones", name="stem_conv")(image)
        x = layers.GlobalAveragePooling2D(name="head_pool")(Own(name="stem_own")(x))
        return keras.Model(image, layers.Dense(2, name="head")(x))

    cache, data = {}, (pictures(6, (8, 8, 3)), np.arange(6) % 2)
    arguments = {"strategy": "linear_probing", "learning_rate": 0.01, "updates": 3, "batch_size": 3, "seed": 0}
    for _ in range(2):
        assert fit_transfer(network(), data, cache=cache, deterministic=True, **arguments).cached
    assert asked == ["what_differs", "what_differs"]


@pytest.mark.parametrize("mix", [lambda x: keras.ops.flip(x, axis=0), lambda x: x - keras.ops.mean(x, axis=0)])
def test_examples_that_mix_are_noticed_each_time(mix):
    image = keras.Input((8, 8, 3))
    x = mix(layers.Conv2D(4, 3, kernel_initializer="ones", name="stem_conv")(image))
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten(name="head_flat")(x)))
    cache, data = {}, (pictures(6, (8, 8, 3)), np.arange(6) % 2)
    arguments = {"strategy": "linear_probing", "learning_rate": 0.01, "updates": 3, "batch_size": 3, "seed": 0}
    for _ in range(2):
        fit = fit_transfer(model, data, cache=cache, **arguments)
        assert not fit.cached and "depends on the other examples of the batch" in fit.note
