"""Which network is trained here? A small convolutional network, flat, so that every layer is found by its name."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from tl_helpers.models.backbones import Backbone
from tl_helpers.models.heads import add_class_head

SMALL_CNN_STAGES = {"conv1": "conv1", "conv2": "conv2", "conv3": "conv3", "conv4": "conv4"}


def small_cnn_body(input_shape, *, seed):
    """Build the body of the kit's small network: four convolutions on standardised images.

    Each image is first shifted and scaled to mean 0 and standard deviation 1; without that, contrast alone decides how
    fast the network learns, and comparisons between domains mislead.

    Parameters
    ----------
    input_shape : tuple of int
        ``(h, w, c)``.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Backbone
        Feature map ``(n, h/8, w/8, 64)``, rounded up; stages ``conv1`` … ``conv4``.
    """
    image = keras.Input(input_shape, name="image")
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, name="preprocess")(image)
    settings = [(16, 5, 2), (32, 3, 2), (64, 3, 2), (64, 3, 1)]
    for number, (filters, kernel, stride) in enumerate(settings, start=1):
        x = layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeUniform(seed=10 * seed + number),
            name=f"conv{number}",
        )(x)
    model = keras.Model(image, x, name="small_cnn_body")
    return Backbone(model, "small_cnn", "(x - mean of the image) / SD of the image", dict(SMALL_CNN_STAGES))


def small_cnn(input_shape, n_classes, *, head="average", seed):
    """Build the kit's small classifier: :func:`small_cnn_body` and a class head.

    Parameters
    ----------
    input_shape : tuple of int
        ``(h, w, c)``.
    n_classes : int
    head : {"average", "flatten"}
        See :func:`add_class_head`.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to logits ``(n, n_classes)``.
    """
    return add_class_head(small_cnn_body(input_shape, seed=seed), n_classes, head=head, seed=seed)


def body_of(model, layer="conv4"):
    """Return the part of a model up to and with a layer, as a backbone that shares its weights.

    Parameters
    ----------
    model : keras.Model
        From :func:`small_cnn` or :func:`load_source_model`.
    layer : str
        Name of the last layer to keep.

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        If the model has no such layer.
    """
    body = keras.Model(model.input, model.get_layer(layer).output, name=f"{model.name}_body")
    stages = {name: last for name, last in SMALL_CNN_STAGES.items() if any(last == each.name for each in body.layers)}
    return Backbone(body, model.name, "as in the model it was cut from", stages)


def adapt_input(body, input_shape):
    """Rebuild the small network's body for another feature space, with the weights it has.

    Convolutions do not mind another height and width. Where the channels differ, the first kernel is summed over them
    (colour → grey: the answer to a grey picture is what it was for the same picture in three equal channels) or shared
    out among them (grey → colour).

    Parameters
    ----------
    body : Backbone
        From :func:`small_cnn_body` or :func:`body_of`.
    input_shape : tuple of int
        ``(h, w, c)`` of the new inputs.

    Returns
    -------
    Backbone
        With weights of its own.
    """
    adapted = small_cnn_body(input_shape, seed=0)
    channels = input_shape[-1]
    for old in body.model.layers:
        weights = old.get_weights()
        if not weights:
            continue
        if old.name == "conv1" and weights[0].shape[2] != channels:
            weights[0] = np.repeat(weights[0].sum(axis=2, keepdims=True) / channels, channels, axis=2)
        adapted.model.get_layer(old.name).set_weights(weights)
    return adapted


def rescale_activations(model, x, *, target=0.3):
    """Rescale a small network, in place, so that each convolution's output has a given standard deviation.

    ReLU is positively homogeneous, so a factor on one layer can be undone in the next: the function stays the same. A
    network trained for long has large activations, and a new head on them starts with large, destructive gradients;
    without this a detector fine-tuned from a good classifier can lose to one from scratch.

    Parameters
    ----------
    model : keras.Model
        From :func:`small_cnn`, with its head.
    x : numpy.ndarray
        ``(n, h, w, c)``: pictures to measure on; a few hundred do.
    target : float
        Standard deviation to reach.
    """
    names = [layer.name for layer in model.layers if layer.name.startswith("conv")]
    probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
    before = 1.0
    for name, activation in zip(names, probe.predict(x, batch_size=256, verbose=0), strict=True):
        factor = target / float(np.std(activation))
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel * factor / before, bias * factor])
        before = factor
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel / before, bias])
