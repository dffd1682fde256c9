"""Small networks that several tests train, and what they ask of them afterwards."""

import keras
import numpy as np
from keras import layers

from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import body_of, small_cnn
from tl_helpers.training import fit as training

SHAPE = (12, 12, 1)
TRAIN = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), "uint8"), np.arange(12) % 3
HELD_OUT = np.random.default_rng(1).integers(0, 256, (7, *SHAPE), "uint8"), np.arange(7) % 3
COMMON = {"learning_rate": 0.01, "updates": 6, "batch_size": 4, "seed": 0}


def pictures(n, shape, seed=0):
    """Return `n` pictures of noise."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), "uint8")


def network(seed=0):
    """The first half of the kit's small network, and a head."""
    return add_class_head(body_of(small_cnn(SHAPE, 3, seed=seed), "conv2"), 3, seed=seed)


def residual(*, after_stem=None, drop=0.0):
    """Stem, two residual blocks and a head."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem_conv")(image if after_stem is None else after_stem(image))
    x = layers.BatchNormalization(name="stem_norm")(x)
    for number in (1, 2):
        inside = layers.Conv2D(4, 3, padding="same", name=f"block{number}_conv")(x)
        inside = layers.Dropout(drop, name=f"block{number}_drop")(inside)
        inside = layers.Conv2D(4, 1, name=f"block{number}_project")(inside)
        x = layers.Add(name=f"block{number}_add")([inside, x])
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.Model(image, layers.Dense(2, name="head")(x), name="residual")


def moved(model, before):
    """Return the names of the layers whose weights or statistics differ from a snapshot."""
    changed = {
        variable.path.split("/")[0]
        for variable, old in zip(model.variables, before, strict=True)
        if (variable.numpy() != old).any()
    }
    return {name for name in changed if "seed_generator" not in name}  # dropout's random numbers go on


def break_in_phase(monkeypatch, number):
    """Interrupt the next run in its phase of this number, counted from 0."""
    run_phase, calls = training._run_phase, []

    def interrupted(*arguments):
        calls.append(arguments)
        result = run_phase(*arguments)
        if len(calls) == number + 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(training, "_run_phase", interrupted)
    return calls
