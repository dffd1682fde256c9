"""What network? A small convolutional network, backbones with declared preprocessing, and heads to put on them.

Every model here takes images as stored (``uint8`` or float, 0…255): its preprocessing is its first layer, named
``preprocess``, so that it can neither be forgotten nor done twice. Every model is flat (no model nested in another), so
that ``model.get_layer("conv2")`` finds any layer, and the layers of a head have names that start with ``head``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from tl_helpers import efficientnet_lite, online_backbones
from tl_helpers.arguments import LARGEST, check_finite
from tl_helpers.datasets.street import STREET_LABELS
from tl_helpers.files import read_arrays, read_table

if TYPE_CHECKING:
    import keras

OFFLINE_BACKBONE = "efficientnet_lite0"
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
    import keras

    body = keras.Model(model.input, model.get_layer(layer).output, name=f"{model.name}_body")
    stages = {name: last for name, last in SMALL_CNN_STAGES.items() if any(last == each.name for each in body.layers)}
    return Backbone(body, model.name, "as in the model it was cut from", stages)


def load_backbone(name=OFFLINE_BACKBONE, *, size=96, online=False, weights="imagenet"):
    """Load a network trained on ImageNet, without its classifier.

    Parameters
    ----------
    name : str
        ``"efficientnet_lite0"`` comes with the kit; see :mod:`tl_helpers.efficientnet_lite`. With `online`, also the
        names of ``keras.applications``, such as ``"MobileNetV2"``, ``"EfficientNetB0"``, ``"ResNet50"`` and
        ``"ConvNeXtTiny"``.
    size : int
        Side of the input images in pixels, a multiple of 32. Most networks were trained on 224; smaller is faster and
        somewhat less accurate.
    online : bool
        Allow names of ``keras.applications``. Keras downloads their weights into its own folder, ``~/.keras``.
    weights : {"imagenet", None}
        None gives random weights (from the seed of ``keras.utils.set_random_seed``), the control for "is it what
        ImageNet taught, or the architecture?".

    Returns
    -------
    Backbone
        From RGB images ``(n, size, size, 3)``, 0…255, to the last feature map, for EfficientNet-Lite0 ``(n, size/32,
        size/32, 1280)``. Its stages are ``stem``, ``block1`` … ``block7`` and ``conv_head``; those of other networks
        are named after their resolution, see :func:`tl_helpers.online_backbones.stages_by_stride`.

    Raises
    ------
    ValueError
        If there is no such network, if it is not shipped and `online` is False, or if it does not take this size.
    ConnectionError
        If Keras cannot download the weights of a network that is not shipped.
    tl_helpers.files.DataError
        If the shipped weights are missing or damaged.

    Notes
    -----
    EfficientNet-Lite0 has no dropout. Several networks of ``keras.applications`` do (EfficientNetB0, for instance), and
    it is live during ``fit``, also below frozen layers.
    """
    if name != OFFLINE_BACKBONE and name not in online_backbones.application_names():
        raise ValueError(
            f"There is no backbone {name!r}. {OFFLINE_BACKBONE!r} comes with the kit; with online=True there are "
            f"{', '.join(online_backbones.application_names())}."
        )
    if name != OFFLINE_BACKBONE and not online:
        raise ValueError(
            f"{name!r} is not shipped with the kit: Keras would have to download it. Say online=True to allow that, or "
            f"use {OFFLINE_BACKBONE!r}, which works without a network."
        )
    stride = efficientnet_lite.TOTAL_STRIDE
    if size < stride or size % stride:
        raise ValueError(f"size must be a multiple of {stride} (96, 128 or 224, for instance), not {size}.")
    if weights not in ("imagenet", None):
        raise ValueError(f'weights must be "imagenet" or None, not {weights!r}.')
    if name != OFFLINE_BACKBONE:
        model, preprocessing, stages = online_backbones.build_application(name, size, weights)
        return Backbone(model, name, preprocessing, stages)
    model, stages = efficientnet_lite.build_efficientnet_lite0(size)
    if weights is not None:
        _set_weights(model, read_arrays("weights/efficientnet_lite0.npz"))
    return Backbone(model, name, efficientnet_lite.PREPROCESSING, stages)


def _set_weights(model, arrays):
    """Fill a model's variables from arrays named ``<layer>/<variable>``."""
    for layer in model.layers:
        layer.set_weights([arrays[f"{layer.name}/{variable.name}"] for variable in layer.weights])


def load_imagenet_classifier(*, size=224):
    """Load the shipped ImageNet backbone with its own classifier of 1,000 classes.

    Parameters
    ----------
    size : int
        Side of the input images in pixels, a multiple of 32. It is most accurate at 224.

    Returns
    -------
    keras.Model
        From RGB images ``(n, size, size, 3)``, 0…255, to logits ``(n, 1000)``, in the order of
        :func:`imagenet_class_names`.

    Raises
    ------
    ValueError, tl_helpers.files.DataError
        See :func:`load_backbone`.
    """
    model = add_class_head(load_backbone(size=size, weights=None), 1000, seed=0)
    _set_weights(model, read_arrays("weights/efficientnet_lite0.npz"))
    return model


def imagenet_class_names():
    """Return the names of the 1,000 ImageNet classes: the first word of each class's WordNet synset.

    Returns
    -------
    tuple of str
    """
    return tuple(read_table("weights/imagenet_classes.csv")["name"])


def top_predictions(model, image, k=5):
    """Say what an ImageNet classifier sees in one image.

    Parameters
    ----------
    model : keras.Model
        From :func:`load_imagenet_classifier`.
    image : numpy.ndarray
        ``(size, size, 3)``, RGB, 0…255, of the size that the model takes.
    k : int
        How many guesses to return, 1…1000.

    Returns
    -------
    pandas.DataFrame
        Columns ``name`` and ``probability`` (0…1), `k` rows, most likely first.

    Raises
    ------
    ValueError
        If the image has another shape than the model's input, or holds a number that is not finite.
    """
    import pandas

    expected = tuple(model.input.shape[1:])
    if np.shape(image) != expected:
        raise ValueError(f"The model takes one image of shape {expected}; this array has shape {np.shape(image)}.")
    check_finite(np.asarray(image), "image", largest=LARGEST)
    probabilities = softmax(model.predict(np.asarray(image)[None], verbose=0)[0].astype("float64"))
    best = probabilities.argsort()[::-1][:k]
    names = imagenet_class_names()
    return pandas.DataFrame({"name": [names[index] for index in best], "probability": probabilities[best]})


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
    import keras

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


SOURCE_MODELS = {
    "street_garments": ((28, 28, 1), "garment"),
    "street_families": ((28, 28, 1), "family"),
    "street_colour": ((28, 28, 3), "garment"),
}


def load_source_model(name="street_garments"):
    """Load a small classifier that was pretrained on the street world's source pool.

    ``data/build/build_street_models.py`` trained it; its measured accuracy stands in
    ``data/weights/street_models.json``.

    Parameters
    ----------
    name : {"street_garments", "street_families", "street_colour"}
        Ten garments or five families from grey photographs, or ten garments from colour photographs.

    Returns
    -------
    keras.Model
        As :func:`small_cnn` builds it, average head.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    if name not in SOURCE_MODELS:
        raise ValueError(f"name must be one of {', '.join(map(repr, SOURCE_MODELS))}, not {name!r}.")
    input_shape, labels = SOURCE_MODELS[name]
    model = small_cnn(input_shape, len(STREET_LABELS[labels]), seed=0)
    arrays = read_arrays(f"weights/{name}.npz")
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/{part}"] for part in ("kernel", "bias")])
    return model


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
    import keras
    from keras import layers

    poolings = {"average": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
    if head not in poolings:
        raise ValueError(f"head must be one of {sorted(poolings)}, not {head!r}.")
    features = poolings[head](name="head_pool")(backbone.model.output)
    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 9)
    logits = layers.Dense(n_classes, kernel_initializer=initializer, name=name)(features)
    return keras.Model(backbone.model.input, logits, name=f"{backbone.name}_classifier")


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
    import keras
    from keras import layers

    initializer = keras.initializers.GlorotUniform(seed=10 * seed + 8)
    output = layers.Conv2D(5, 1, kernel_initializer=initializer, name=name)(backbone.model.output)
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


def decode_boxes(output, cell, *, confidence=False):
    """Read the box of the most likely cell.

    Parameters
    ----------
    output : numpy.ndarray
        ``(n, h', w', 5)`` from a model of :func:`add_box_head`.
    cell : float
        Side of a cell in pixels.
    confidence : bool
        Also return how sure the model is.

    Returns
    -------
    boxes : numpy.ndarray
        ``float32``, ``(n, 4)``: left, top, right, bottom in pixels.
    confidences : numpy.ndarray
        Only if asked for: ``(n,)``, 0…1, the probability of the most likely cell.
    """
    output = np.asarray(output)
    width = output.shape[2]
    cells = output.reshape(len(output), -1, 5)
    best = cells[:, :, 0].argmax(axis=1)
    chosen = cells[np.arange(len(cells)), best]
    centre = chosen[:, 1:3] + np.stack([best % width, best // width], axis=1)
    half = np.maximum(chosen[:, 3:5], 0) / 2
    boxes = (np.concatenate([centre - half, centre + half], axis=1) * cell).astype("float32")
    return (boxes, softmax(cells[:, :, 0].astype("float64"), axis=1).max(axis=1)) if confidence else boxes


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


def box_ap50(found, confidences, boxes):
    """Average precision of a detector of one object per image; a box that overlaps by half or more is right.

    The detections of all images are sorted, the surest first. Each place in that list gives a precision (how many down
    to there are right) and a recall (how many of all objects are found by then). AP is the mean, over the 101 recalls
    0, 0.01, … 1, of the best precision at that recall or above, and 0 beyond the recall that the detector reaches:
    AP50 of the COCO challenge (Lin et al. 2014). Unlike the share of right boxes, it rewards knowing when one is wrong.

    Parameters
    ----------
    found : numpy.ndarray
        ``(n, 4)``: the box found in each image, as :func:`decode_boxes` gives it.
    confidences : numpy.ndarray
        ``(n,)``; only their order counts. Of equals, the first comes first.
    boxes : numpy.ndarray
        ``(n, 4)``: the true ones.

    Returns
    -------
    float
        0…1.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, are empty, or a confidence is not a number.
    """
    found, confidences, boxes = np.asarray(found), np.asarray(confidences), np.asarray(boxes)
    n = len(boxes)
    if n == 0 or not found.shape == boxes.shape == (n, 4) or confidences.shape != (n,):
        raise ValueError(
            f"found and boxes must be (n, 4) and confidences (n,), with n at least 1; they are {found.shape}, "
            f"{boxes.shape} and {confidences.shape}."
        )
    if np.isnan(confidences).any():
        raise ValueError("Some confidences are NaN, so the detections have no order. Check the model's outputs.")
    order = np.argsort(-confidences, kind="stable")
    right = (box_iou(found, boxes)[order] >= 0.5).cumsum()
    precision = right / np.arange(1, n + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # In whole numbers: a recall of exactly 0.7 counts as reached, whatever 70 / 100 rounds to.
    places = np.searchsorted(100 * right, n * np.arange(101))
    return float(np.append(best_from_here, 0.0)[places].mean())


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
    import keras
    from keras import layers

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


def mask_loss(target, output):
    """Cross-entropy of each pixel, the mean over an image's pixels.

    Parameters
    ----------
    target : tensor
        ``(n, h, w)``, 1 on the object and 0 elsewhere.
    output : tensor
        Logits ``(n, h, w)``.

    Returns
    -------
    tensor
        ``(n,)``, at least 0.
    """
    import keras

    rows = keras.losses.binary_crossentropy(target, output, from_logits=True)
    return keras.ops.mean(rows, axis=1)


def mask_iou(a, b):
    """Intersection over union of each mask with its partner.

    Parameters
    ----------
    a, b : numpy.ndarray
        ``bool``, ``(n, h, w)``.

    Returns
    -------
    numpy.ndarray
        ``(n,)``, 0 (apart) … 1 (equal); 1 where both are empty.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    union = (a | b).sum(axis=(1, 2))
    return np.where(union == 0, 1.0, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1))
