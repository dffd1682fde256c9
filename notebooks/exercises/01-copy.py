"""Hand a source model's knowledge to a new network: copy all weights but the head's."""

import keras
import numpy as np

why = "That is all there is to “transfer”: the same body, starting from weights that have seen something."
hints = [
    "Go through `new_model.layers`. Which of them have weights at all (`layer.get_weights()`), and which is the head?",
    "`source_model.get_layer(layer.name)` is the layer of the same name in the source model.",
    "For each layer with weights whose name is not `head`: `layer.set_weights(source_model.get_layer(layer.name)."
    "get_weights())`. Then `return new_model`.",
]
wrong = {
    "for layer in new_model.layers:\n    if layer.get_weights():\n"
    "        layer.set_weights(source_model.get_layer(layer.name).get_weights())\nreturn new_model": "head came along",
    "for layer in new_model.layers:\n    if layer.get_weights() and layer.name != 'head':\n"
    "        source_model.get_layer(layer.name).set_weights(layer.get_weights())\nreturn new_model": "forgotten",
    "return source_model": "is the source model",
    "layer = new_model.get_layer('conv1')\nlayer.set_weights(source_model.get_layer('conv1').get_weights())\n"
    "return new_model": "first layer",
    "return new_model": "nothing was copied",
    "return keras.Sequential([*source_model.layers[:-1], *new_model.layers[-1:]])": "shares",
    "for layer in new_model.layers:\n    if layer.name != 'head':\n"
    "        layer.set_weights(source_model.get_layer(layer.name).get_weights())\nreturn new_model": "flat",
}


def hand_over(source_model, new_model):
    """Copy the weights of each layer but `head` into the layer of the same name, and return the new model."""
    for layer in new_model.layers:
        if layer.get_weights() and layer.name != "head":
            layer.set_weights(source_model.get_layer(layer.name).get_weights())
    return new_model


def _network(pool, classes, seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, name="conv1"),
            keras.layers.Conv2D(4, 3, name="conv2"),
            pool,
            keras.layers.Dense(classes, name="head"),
        ]
    )


def _same(model, layer, weights):
    return all(
        np.array_equal(a, b)
        for a, b in zip(model.get_layer(layer).get_weights(), weights, strict=True)
    )


def check(answer):
    """Hand over to a network with a head of the same shape, then to one with another head, and look at each layer."""
    layers = keras.layers
    average, alike, flat = (
        layers.GlobalAveragePooling2D,
        layers.GlobalAveragePooling2D,
        layers.Flatten,
    )
    source, new = _network(average(name="pool"), 5, 1), _network(alike(name="pool"), 5, 2)
    names = ("conv1", "conv2", "head")
    theirs, ours = (
        {name: model.get_layer(name).get_weights() for name in names} for model in (source, new)
    )
    given = answer(source, new)
    yield isinstance(given, keras.Model), "It must return the new model."
    yield (
        given is not source,
        "What it returns is the source model: training it would overwrite the source.",
    )
    shared = [layer for layer in given.layers if layer.weights and layer in source.layers]
    yield (
        not shared,
        "It shares layers with the source model instead of copying: training the one trains the other.",
    )
    kept = all(_same(source, name, theirs[name]) for name in names)
    yield (
        kept,
        "The source model has forgotten: its weights are what the new model's were. Copy the other way.",
    )
    yield not _same(given, "conv1", ours["conv1"]), "In the new model nothing was copied."
    yield (
        _same(given, "conv2", theirs["conv2"]),
        "Only the first layer was copied: the whole body is meant.",
    )
    yield (
        _same(given, "head", ours["head"]),
        "The head came along: it answers the source's question, not the target's.",
    )
    other = _network(flat(name="flat"), 3, 3)
    yield (
        _same(answer(source, other), "conv1", theirs["conv1"]),
        "With a flat head the body is not copied.",
    )
