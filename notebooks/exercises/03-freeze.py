"""Freeze the beginning of a network in plain Keras."""

import keras
import numpy as np

why = "`trainable` is read when the model is compiled: set it first, and give the compiled model a new optimizer."
hints = [
    "`model.layers` lists the layers in order; `model.get_layer(last)` is the one to stop at.",
    "For each layer up to and with `last`: `layer.trainable = False`.",
    "Then `model.compile(keras.optimizers.Adam(1e-2), loss)` and `return model`.",
]
wrong = {
    "for layer in model.layers:\n    layer.trainable = False\nmodel.compile(keras.optimizers.Adam(1e-2), loss)\nreturn model": "head",
    "model.get_layer(last).trainable = False\nmodel.compile(keras.optimizers.Adam(1e-2), loss)\nreturn model": "before",
    "for layer in model.layers:\n    if layer.name == last:\n        break\n    layer.trainable = False\n"
    "model.compile(keras.optimizers.Adam(1e-2), loss)\nreturn model": "itself",
    "model.compile(keras.optimizers.Adam(1e-2), loss)\nreturn model": "moved",
    "for layer in model.layers:\n    layer.trainable = False\n    if layer.name == last:\n        break\nreturn model": "compile",
}


def frozen_up_to(model, last, loss):
    """Return the model, frozen up to and with the layer named `last`, and compiled with Adam and the loss."""
    for layer in model.layers:
        layer.trainable = False
        if layer.name == last:
            break
    model.compile(keras.optimizers.Adam(1e-2), loss)
    return model


def check(answer):
    """Freeze two of three layers, train, and compare each layer's weights bit for bit."""
    layers = [
        keras.layers.Dense(4, name=name, kernel_initializer=keras.initializers.GlorotUniform(n))
        for n, name in enumerate(("first", "second", "head"))
    ]
    model = keras.Sequential([keras.Input((3,)), *layers])
    loss = keras.losses.MeanSquaredError()
    given = answer(model, "second", loss)
    yield isinstance(given, keras.Model), "It must return the model."
    yield bool(given.compiled), "It is not compiled: `trainable` is read by `compile`."
    before = [layer.get_weights() for layer in layers]
    random = np.random.default_rng(0)
    given.fit(random.normal(size=(8, 3)), random.normal(size=(8, 4)), verbose=0)
    moved = [
        any(not np.array_equal(a, b) for a, b in zip(old, layer.get_weights(), strict=True))
        for old, layer in zip(before, layers, strict=True)
    ]
    yield moved[2], "The head stood still: freeze up to the layer named, not beyond."
    yield not (moved[0] and moved[1]), "Both layers moved: nothing is frozen."
    yield not moved[0], "The layer before the one named moved: all layers up to it are meant."
    yield not moved[1], "The layer named moved itself: it is to be frozen, too."
