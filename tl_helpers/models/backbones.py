"""Which large network? Backbones trained on ImageNet, with their preprocessing inside and their stages named.

Every model here takes images as stored (``uint8`` or float, 0…255): its preprocessing is its first layer, named
``preprocess``, so that it can neither be forgotten nor done twice. Every model is flat (no model nested in another), so
that ``model.get_layer("conv2")`` finds any layer, and the layers of a head have names that start with ``head``.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import pandas
from scipy.special import softmax

from tl_helpers.arguments import LARGEST, check_finite
from tl_helpers.files import read_arrays, read_table
from tl_helpers.models import efficientnet_lite, online as online_backbones
from tl_helpers.models.heads import add_class_head

OFFLINE_BACKBONE = "efficientnet_lite0"
SHIPPED = {OFFLINE_BACKBONE: efficientnet_lite}


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


def load_backbone(name=OFFLINE_BACKBONE, *, size=96, online=False, weights="imagenet"):
    """Load a network trained on ImageNet, without its classifier.

    Parameters
    ----------
    name : str
        ``"efficientnet_lite0"`` comes with the kit; see :mod:`tl_helpers.models.efficientnet_lite`. With `online`, also
        the names of ``keras.applications``, such as ``"MobileNetV2"``, ``"EfficientNetB0"``, ``"ResNet50"`` and
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
        are named after their resolution, see :func:`tl_helpers.models.online.stages_by_stride`.

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
    if name not in SHIPPED and name not in online_backbones.application_names():
        raise ValueError(
            f"There is no backbone {name!r}. {OFFLINE_BACKBONE!r} comes with the kit; with online=True there are "
            f"{', '.join(online_backbones.application_names())}."
        )
    if name not in SHIPPED and not online:
        raise ValueError(
            f"{name!r} is not shipped with the kit: Keras would have to download it. Say online=True to allow that, or "
            f"use {OFFLINE_BACKBONE!r}, which works without a network."
        )
    shipped = SHIPPED.get(name)
    stride = shipped.TOTAL_STRIDE if shipped else 32
    if size < stride or size % stride:
        raise ValueError(f"size must be a multiple of {stride} (96, 128 or 224, for instance), not {size}.")
    if weights not in ("imagenet", None):
        raise ValueError(f'weights must be "imagenet" or None, not {weights!r}.')
    if shipped is None:
        model, preprocessing, stages = online_backbones.build_application(name, size, weights)
        return Backbone(model, name, preprocessing, stages)
    model, stages = shipped.build(size)
    if weights is not None:
        _set_weights(model, read_arrays(shipped.WEIGHTS))
    return Backbone(model, name, shipped.PREPROCESSING, stages)


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
    _set_weights(model, read_arrays(efficientnet_lite.WEIGHTS))
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
    expected = tuple(model.input.shape[1:])
    if np.shape(image) != expected:
        raise ValueError(f"The model takes one image of shape {expected}; this array has shape {np.shape(image)}.")
    check_finite(np.asarray(image), "image", largest=LARGEST)
    probabilities = softmax(model.predict(np.asarray(image)[None], verbose=0)[0].astype("float64"))
    best = probabilities.argsort()[::-1][:k]
    names = imagenet_class_names()
    return pandas.DataFrame({"name": [names[index] for index in best], "probability": probabilities[best]})
