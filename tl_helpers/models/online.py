"""Which other ImageNet networks are there? Those of ``keras.applications``, whose weights Keras downloads."""

import inspect
import math
from collections import Counter

import keras
import numpy as np
from keras import layers, ops

from tl_helpers.grid.networks import nodes_of


def application_names():
    """Return the names that ``keras.applications`` offers.

    Returns
    -------
    tuple of str
        ``"MobileNetV2"``, ``"ResNet50"``, ….
    """
    # The builders are functions, and the modules beside them have lower-case names.
    return tuple(sorted(name for name in vars(keras.applications) if name[0].isupper()))


def build_application(name, size, weights):
    """Build a network of ``keras.applications`` without its classifier, its preprocessing put in front.

    Parameters
    ----------
    name : str
        One of :func:`application_names`.
    size : int
        Side of the input in pixels. Networks differ in the smallest that they take.
    weights : {"imagenet", None}
        None builds it with random weights and without a network.

    Returns
    -------
    model : keras.Model
        From RGB images ``(n, size, size, 3)``, 0…255, to the last feature map.
    preprocessing : str
        What its layer ``preprocess`` does to a pixel value x.
    stages : dict of str to str
        See :func:`stages_by_stride`.

    Raises
    ------
    ConnectionError
        If Keras cannot download the weights.
    ValueError
        If the network does not take this size.
    """
    constructor = getattr(keras.applications, name)
    image = keras.Input((size, size, 3), name="image")
    prepared, preprocessing = preprocess(image, inspect.getmodule(constructor).preprocess_input)
    settings = {"include_top": False, "input_tensor": prepared, "input_shape": (size, size, 3)}
    try:
        model = constructor(weights=weights, **settings)
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"Keras could not download the weights of {name} ({error}). Without a network, use the backbone that "
            f'comes with the kit: load_backbone("efficientnet_lite0").'
        ) from error
    # Keras makes the input of such a model a list of one tensor.
    model = keras.Model(image, model.output, name=model.name)
    return model, preprocessing, stages_by_stride(model)


def preprocess(image, preprocess_input):
    """Put what a ``preprocess_input`` function does to pixels into a layer of its own, named ``preprocess``.

    All of these functions are a scale and an offset per channel, some with the channels reversed: four pixels (black,
    and one with each channel at 255) tell which.

    Parameters
    ----------
    image : keras.KerasTensor
        RGB images ``(n, h, w, 3)``, 0…255.
    preprocess_input : callable
        Of a module of ``keras.applications``.

    Returns
    -------
    prepared : keras.KerasTensor
    preprocessing : str
        In words, for a pixel value x.
    """
    probe = np.zeros((1, 4, 1, 3), "float32")
    probe[0, [1, 2, 3], 0, [0, 1, 2]] = 255
    prepared = np.asarray(preprocess_input(probe, data_format="channels_last"), "float64")
    black, *channels = prepared[0, :, 0]
    response = (np.stack(channels) - black) / 255
    reverse = response[0, 0] == 0
    if reverse:
        response, black = response[:, ::-1], black[::-1]
    scale, offset = np.diag(response).tolist(), black.tolist()
    if scale == [1, 1, 1] and offset == [0, 0, 0]:
        return layers.Identity(name="preprocess")(image), "x (the network rescales by itself in its first layers)"
    prepared = layers.Rescaling(scale, offset=offset, name="preprocess")(image)
    preprocessing = ", ".join(f"{a:.6g} x {b:+.6g}" for a, b in zip(scale, offset, strict=True))
    preprocessing = f"{preprocessing} (red, green, blue)"
    if reverse:
        return ops.flip(prepared, axis=-1), f"{preprocessing}, then as blue, green, red"
    return prepared, preprocessing


def stages_by_stride(model):
    """Find where a network can be cut: at each resolution, the last layer that a single tensor leaves.

    Parameters
    ----------
    model : keras.Model
        From images to one feature map.

    Returns
    -------
    dict of str to str
        ``"stride2"``, ``"stride4"``, … (how many pixels of the image one step on the feature map is, rounded to a power
        of two) → name of the layer, in order from input to output. The last one is the model's output.

    Notes
    -----
    ConvNeXt adds its residuals with operations that are no layers, and nests a few small models: its stages end with
    the layers that change the resolution.
    """
    nodes = nodes_of(model)
    readers_left = Counter(tensor for node in nodes for tensor in node.inputs)
    # After each layer, `open_tensors` are those computed but not yet used up. Where that is the layer's own output
    # alone, everything later depends on nothing else that came before: one may cut there.
    stages, open_tensors, learned = {}, set(), False
    for node in nodes:
        readers_left.subtract(node.inputs)
        output = node.outputs[0]
        open_tensors = {tensor for tensor in open_tensors if readers_left[tensor]} | {id(output)}
        learned = learned or bool(getattr(node.layer, "trainable_weights", []))
        can_end_stage = isinstance(node.layer, layers.Layer) and not isinstance(node.layer, layers.ZeroPadding2D)
        if len(open_tensors) == 1 and learned and can_end_stage:
            stride = 2 ** round(math.log2(model.input.shape[1] / output.shape[1]))
            stages[f"stride{stride}"] = node.layer.name
    return stages
