"""LoRA moves two thin matrices per kernel and the head, nothing else, and goes back into an ordinary network."""

import keras
import numpy as np
import pytest
from keras import layers

from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.lora import add_lora, bytes_to_store, merge_lora

X = np.random.default_rng(0).normal(1, 2, (12, 6, 6, 3)).astype("float32")
Y = np.arange(12) % 2
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RANK = 2
# A kernel of shape (height, width, n, m) gets height * width * n * rank + rank * m.
DIFFERENCES = {
    "full": 3 * 3 * 3 * RANK + RANK * 4,
    "pointwise": 1 * 1 * 4 * RANK + RANK * 5,
    "dense": 5 * RANK + RANK * 6,
}
HEAD = 6 * 2 + 2


def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, name="full")(image)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(5, 1, use_bias=False, activation="relu", name="pointwise")(x)
    x = layers.Dense(6, name="dense")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(image, layers.Dense(2, name="head")(x), name="network")


def by_path(model):
    return {weight.path: weight.numpy().copy() for weight in model.weights}


def count(layer):
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_variables)


def plain_fit(model):
    model.compile(keras.optimizers.Adam(0.05), LOSS)
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)


def fit_by_kit(model):
    fit_transfer(model, (X, Y), strategy="fine_tuning", learning_rate=0.05, updates=6, batch_size=4, seed=0)


def test_differences_are_as_many_as_two_thin_matrices_have_numbers():
    model = network()
    adapted = add_lora(model, RANK, seed=0)
    assert adapted.names == list(DIFFERENCES) and adapted.without == ["depthwise"]
    assert {name: count(model.get_layer(name)) for name in DIFFERENCES} == DIFFERENCES
    moving = count(model)
    assert moving == sum(DIFFERENCES.values()) + HEAD
    assert bytes_to_store(model) == 4 * moving


def test_at_first_nothing_changes_and_the_seed_decides():
    model, same, other = network(), network(), network()
    before = model(X).numpy()
    for each, seed in ((model, 0), (same, 0), (other, 1)):
        add_lora(each, RANK, seed=seed)
    np.testing.assert_array_equal(model(X).numpy(), before)
    first, second, third = (each.get_layer("dense").lora_kernel_a.numpy() for each in (model, same, other))
    assert (first == second).all() and (first != third).any()


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("train", [plain_fit, fit_by_kit])
def test_nothing_moves_but_the_differences_and_the_head(train):
    model = network()
    add_lora(model, RANK, seed=0)
    before = by_path(model)
    train(model)
    moved = {path for path, value in by_path(model).items() if (value != before[path]).any()}
    expected = {f"{name}/lora_kernel_{part}" for name in DIFFERENCES for part in "ab"}
    assert moved == expected | {"head/kernel", "head/bias"}


def test_merged_it_is_the_same_network_without_lora():
    clean, model = network(), network()
    add_lora(model, RANK, seed=0)
    fit_by_kit(model)
    merged = merge_lora(model)
    np.testing.assert_allclose(merged(X).numpy(), model(X).numpy(), atol=1e-5)
    assert [weight.path for weight in merged.weights] == [weight.path for weight in clean.weights]
    dense = model.get_layer("dense")
    by_hand = clean.get_layer("dense").kernel + dense.lora_kernel_a @ dense.lora_kernel_b
    np.testing.assert_allclose(merged.get_layer("dense").kernel.numpy(), by_hand.numpy(), atol=1e-6)
    assert not any(getattr(layer, "lora_enabled", False) for layer in merged.layers)
    assert model.get_layer("dense").lora_enabled


def test_what_cannot_be_is_said():
    model = network()
    with pytest.raises(ValueError, match="rank must be at least 1, not 0"):
        add_lora(model, 0, seed=0)
    add_lora(model, RANK, seed=0)
    with pytest.raises(ValueError, match="'full' of 'network' has LoRA already"):
        add_lora(model, RANK, seed=0)
