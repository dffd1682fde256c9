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
    "model.compile(keras.optimizers.Adam(1e-2), loss)\nreturn model": "nothing is frozen",
    "for layer in model.layers:\n    layer.trainable = False\n    if layer.name == last:\n        break\nreturn model": "not compiled",
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
    """Freeze two of three layers of a model in use, train on, and compare weights bit for bit."""
    dense = keras.layers.Dense
    names, start = ("first", "second", "head"), keras.initializers.GlorotUniform
    starts = {name: start(number) for number, name in enumerate(names)}
    layers = [dense(4, name=name, kernel_initializer=one) for name, one in starts.items()]
    model = keras.Sequential([keras.Input((3,)), *layers])
    random = np.random.default_rng(0)
    data = random.normal(size=(8, 3)), random.normal(size=(8, 4))
    model.compile("sgd", "mse")
    model.fit(*data, verbose=0)  # from now on a compiled model goes on as it was compiled
    given = answer(model, "second", keras.losses.MeanSquaredError())
    yield isinstance(given, keras.Model), "It must return the model."
    compiled = isinstance(given.optimizer, keras.optimizers.Adam)
    yield compiled, "It is not compiled with Adam: `compile` reads what is frozen. Do it last."
    before = {name: given.get_layer(name).get_weights() for name in names}
    given.fit(*data, verbose=0)
    after = {name: given.get_layer(name).get_weights() for name in names}
    moved = {
        name: any(not np.array_equal(a, b) for a, b in zip(old, after[name], strict=True))
        for name, old in before.items()
    }
    yield moved["head"], "The head stood still: freeze up to the layer named, not beyond."
    yield not (moved["first"] and moved["second"]), "Both layers moved: nothing is frozen."
    words = "The layer before the one named moved: all layers up to it are meant."
    yield not moved["first"], words
    yield not moved["second"], "The layer named moved itself: it is to be frozen, too."
    flags = [given.get_layer(name).trainable for name in names]
    yield flags == [False, False, True], "What stands still should say so: trainable = False."
