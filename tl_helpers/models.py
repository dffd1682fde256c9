"""What network? A small convolutional network, backbones with declared preprocessing, and heads to put on them.

Every model here takes images as stored (``uint8`` or float, 0…255): its preprocessing is its first layer, named
``preprocess``, so that it can neither be forgotten nor done twice. Every model is flat (no model nested in another), so
that ``model.get_layer("conv2")`` finds any layer, and the layers of a head have names that start with ``head``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

SMALL_CNN_STAGES = {"conv1": "conv1", "conv2": "conv2", "conv3": "conv3", "conv4": "conv4"}


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network without a head, with what one must know to use it.

    Parameters
    ----------
    model : keras.Model
        From images ``(n, h, w, c)``, 0…255, to the last feature map ``(n, h', w', d)``. It preprocesses by itself.
    name : str
    preprocessing : str
        What the model's ``preprocess`` layer does to a pixel value x, such as ``"(x - 127) / 128"``.
    stages : dict of str to str
        Name of a stage, in order from input to output → name of its last layer: where one may cut or freeze.
    """

    model: keras.Model
    name: str
    preprocessing: str
    stages: dict[str, str]


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
    import keras
    from keras import layers

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
        A model of this module.
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
    import keras

    body = keras.Model(model.input, model.get_layer(layer).output, name=f"{model.name}_body")
    stages = {name: last for name, last in SMALL_CNN_STAGES.items() if any(last == each.name for each in body.layers)}
    return Backbone(body, model.name, "as in the model it was cut from", stages)


def add_class_head(backbone, n_classes, *, head="average", seed):
    """Put a new classifier on a backbone.

    Parameters
    ----------
    backbone : Backbone
        Its layers are shared with the new model, not copied: training the one trains the other.
    n_classes : int
    head : {"average", "flatten"}
        ``"average"``: global average pooling, then a dense layer; positions are forgotten. ``"flatten"``: a dense layer
        on the whole feature map; positions count.
    seed : int
        Seed of the head's initial weights.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to logits ``(n, n_classes)``.

    Raises
    ------
    ValueError
        If `head` is neither name.
    """
    import keras
    from keras import layers

    poolings = {"average": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
    if head not in poolings:
        raise ValueError(f"head must be one of {sorted(poolings)}, not {head!r}.")
    features = poolings[head](name="head_pool")(backbone.model.output)
    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 9)
    logits = layers.Dense(n_classes, kernel_initializer=initializer, name="head")(features)
    return keras.Model(backbone.model.input, logits, name=f"{backbone.name}_classifier")


def add_box_head(backbone, *, seed):
    """Put a detector for one object on a backbone: where is it, and how large?

    The feature map's cells compete for the object's centre (softmax over cells), and each cell predicts the box around
    that centre: a one-object form of the YOLO grid (Redmon et al. 2016, section 2).

    Parameters
    ----------
    backbone : Backbone
        Its layers are shared with the new model, not copied.
    seed : int
        Seed of the head's initial weights.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to ``(n, h', w', 5)``: the cell's logit, then the box's centre relative to
        the cell and its width and height, in cells. :func:`box_loss` trains it, :func:`decode_boxes` reads it.
    """
    import keras
    from keras import layers

    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 8)
    output = layers.Conv2D(5, 1, kernel_initializer=initializer, name="head")(backbone.model.output)
    return keras.Model(backbone.model.input, output, name=f"{backbone.name}_detector")


def encode_boxes(boxes, grid, cell):
    """Turn boxes into the targets of :func:`box_loss`.

    Parameters
    ----------
    boxes : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom in pixels.
    grid : int
        Cells per side of the feature map.
    cell : float
        Side of a cell in pixels.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, 5)``: index of the cell that holds the centre (row by row), centre relative to that cell's
        top left corner (x, y) and size (width, height), in cells.
    """
    boxes = np.asarray(boxes, "float32") / cell
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    position = np.clip(np.floor(centre), 0, grid - 1)
    index = position[:, 1] * grid + position[:, 0]
    return np.concatenate([index[:, None], centre - position, size], axis=1).astype("float32")


def box_loss(target, output):
    """Cross-entropy over cells plus the L1 distance of the box that the right cell predicts.

    Parameters
    ----------
    target : tensor
        ``(n, 5)`` from :func:`encode_boxes`.
    output : tensor
        ``(n, h', w', 5)`` from a model of :func:`add_box_head`.

    Returns
    -------
    tensor
        ``(n,)``, at least 0.
    """
    import keras
    from keras import ops

    cells = ops.reshape(output, (-1, output.shape[1] * output.shape[2], 5))
    index = ops.cast(target[:, 0], "int32")
    where = keras.losses.sparse_categorical_crossentropy(index, cells[:, :, 0], from_logits=True)
    predicted = ops.take_along_axis(cells[:, :, 1:], index[:, None, None], axis=1)[:, 0]
    return where + ops.sum(ops.abs(predicted - target[:, 1:]), axis=-1)


def decode_boxes(output, cell):
    """Read the box of the most likely cell.

    Parameters
    ----------
    output : numpy.ndarray
        ``(n, h', w', 5)`` from a model of :func:`add_box_head`.
    cell : float
        Side of a cell in pixels.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, 4)``: left, top, right, bottom in pixels.
    """
    output = np.asarray(output)
    width = output.shape[2]
    cells = output.reshape(len(output), -1, 5)
    best = cells[:, :, 0].argmax(axis=1)
    chosen = cells[np.arange(len(cells)), best]
    centre = chosen[:, 1:3] + np.stack([best % width, best // width], axis=1)
    half = np.maximum(chosen[:, 3:5], 0) / 2
    return (np.concatenate([centre - half, centre + half], axis=1) * cell).astype("float32")


def box_iou(a, b):
    """Intersection over union of each box with its partner.

    Parameters
    ----------
    a, b : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom.

    Returns
    -------
    numpy.ndarray
        ``(n,)``, 0 (apart) … 1 (equal).
    """
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    overlap = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=1) for each in (a, b)]
    return overlap / np.maximum(areas[0] + areas[1] - overlap, 1e-9)
