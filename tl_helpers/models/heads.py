"""What answers the question? Heads for classes, boxes and masks, to be put on a body."""

from __future__ import annotations

import dataclasses

import keras
from keras import layers


def add_class_head(backbone, n_classes, *, head="average", seed, name="head"):
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
    name : str
        Of the head's layer; it must start with ``head``.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to logits ``(n, n_classes)``.

    Raises
    ------
    ValueError
        If `head` is neither name.
    """
    poolings = {"average": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
    if head not in poolings:
        raise ValueError(f"head must be one of {sorted(poolings)}, not {head!r}.")
    features = poolings[head](name="head_pool")(backbone.model.output)
    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 9)
    logits = layers.Dense(n_classes, kernel_initializer=initializer, name=name)(features)
    return keras.Model(backbone.model.input, logits, name=f"{backbone.name}_classifier")


def add_hidden_convolution(backbone, filters, *, seed, name="head"):
    """Put a 3×3 convolution with ReLU on a backbone, to begin a head: each position then sees its neighbours.

    Parameters
    ----------
    backbone : Backbone
        Its layers are shared with the new one, not copied.
    filters : int
    seed : int
        Seed of the initial weights.
    name : str
        The layer is called ``<name>_hidden``.

    Returns
    -------
    Backbone
        Feature map ``(n, h, w, filters)``.
    """
    initializer = keras.initializers.HeUniform(seed=10 * seed + 5)
    settings = {"padding": "same", "activation": "relu", "kernel_initializer": initializer, "name": f"{name}_hidden"}
    features = layers.Conv2D(filters, 3, **settings)(backbone.model.output)
    return dataclasses.replace(backbone, model=keras.Model(backbone.model.input, features, name=backbone.name))


def add_box_head(backbone, *, seed, name="head"):
    """Put a detector for one object on a backbone: where is it, and how large?

    The feature map's cells compete for the object's centre (softmax over cells), and each cell predicts the box around
    that centre: a one-object form of the YOLO grid (Redmon et al. 2016, section 2).

    Parameters
    ----------
    backbone : Backbone
        Its layers are shared with the new model, not copied.
    seed : int
        Seed of the head's initial weights.
    name : str
        Of the head's layer; it must start with ``head``.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to ``(n, h', w', 5)``: the cell's logit, then the box's centre relative to
        the cell and its width and height, in cells. :func:`box_loss` trains it, :func:`decode_boxes` reads it.
    """
    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 8)
    output = layers.Conv2D(5, 1, kernel_initializer=initializer, name=name)(backbone.model.output)
    return keras.Model(backbone.model.input, output, name=f"{backbone.name}_detector")


def add_mask_head(backbone, *, seed, name="head"):
    """Put a segmenter on a backbone: which pixels belong to the object?

    Each cell of the feature map predicts the patch of pixels that it stands for (sub-pixel convolution, Shi et al.
    2016).

    Parameters
    ----------
    backbone : Backbone
        Its layers are shared with the new model, not copied. Its feature map must divide the images into whole cells.
    seed : int
        Seed of the head's initial weights.
    name : str
        Of the head's layer that learns; it must start with ``head``.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to logits ``(n, h, w)``. :func:`mask_loss` trains it.

    Raises
    ------
    ValueError
        If the images' height or width is no multiple of the feature map's.
    """
    (height, width), (rows, columns) = backbone.model.input.shape[1:3], backbone.model.output.shape[1:3]
    if height % rows or width % columns:
        raise ValueError(
            f"{height} × {width} pixels cannot be divided into {rows} × {columns} whole cells. Use images whose sides "
            f"are multiples of the backbone's stride."
        )
    cell = height // rows, width // columns
    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 7)
    patches = layers.Conv2D(cell[0] * cell[1], 1, kernel_initializer=initializer, name=name)(backbone.model.output)
    split = layers.Reshape((rows, columns, *cell), name=f"{name}_patches")(patches)
    ordered = layers.Permute((1, 3, 2, 4), name=f"{name}_rows")(split)
    logits = layers.Reshape((height, width), name=f"{name}_pixels")(ordered)
    return keras.Model(backbone.model.input, logits, name=f"{backbone.name}_segmenter")
