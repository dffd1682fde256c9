"""Are these the pixel values that a network expects? Read from its first layers, and said where they are not."""

from __future__ import annotations

import warnings

import keras
import numpy as np

from tl_helpers.grid.networks import nodes_of

# Layers and operations that leave pixel values in the range they have.
_PASSING = {
    "Cast",
    "CenterCrop",
    "Cropping2D",
    "Dropout",
    "Flip",
    "GetItem",
    "Identity",
    "Permute",
    "Reshape",
    "Resizing",
    "ZeroPadding2D",
}
# A scale below this, or a middle above that, is meant for 0…255.
_SCALE, _MIDDLE = 1 / 32, 16


def expects_stored_pixels(model):
    """Tell whether a network rescales pixel values 0…255 by itself.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    bool
        False also where it cannot be seen, and for a network that standardises each picture, such as the kit's small
        one, which takes any range.
    """
    if not getattr(model, "outputs", None):
        return False
    reached = set(map(id, model.inputs))
    for node in nodes_of(model):
        if not reached.intersection(node.inputs):
            continue
        if isinstance(node.layer, keras.Model):
            if expects_stored_pixels(node.layer):
                return True
        elif _rescales(node):
            return True
        elif type(node.layer).__name__ in _PASSING or type(node.layer).__name__.startswith("Random"):
            reached.update(map(id, node.outputs))
    return False


def _rescales(node):
    layer, kind = node.layer, type(node.layer).__name__
    if isinstance(layer, keras.layers.Rescaling):
        scale, offset = np.asarray(layer.scale, "float64"), np.asarray(layer.offset, "float64")
        return bool((np.abs(scale) <= _SCALE).all() or (np.abs(offset) >= _MIDDLE * np.abs(scale)).all())
    if isinstance(layer, keras.layers.Normalization):
        if getattr(layer, "mean", None) is None:
            return False
        mean, variance = (keras.ops.convert_to_numpy(value) for value in (layer.mean, layer.variance))
        return bool((np.abs(mean) >= _MIDDLE).all() or (np.sqrt(variance) >= _MIDDLE).all())
    numbers = [value for value in node.arguments[0] if not isinstance(value, keras.KerasTensor)]
    if len(numbers) != 1 or kind not in ("Divide", "TrueDivide", "Multiply", "Subtract"):
        return False
    try:
        number = np.abs(keras.ops.convert_to_numpy(numbers[0]).astype("float64"))
    except (TypeError, ValueError):
        return False
    return bool(((number <= _SCALE) if kind == "Multiply" else (number >= _MIDDLE)).all())


def check_pixels(x, model, name, low, high):
    """Warn where pictures have another range than the network expects.

    Parameters
    ----------
    x : numpy.ndarray
        ``(n, h, w, c)``; other shapes are no pictures.
    model : keras.Model
    name : str
        What to call them.
    low, high : float
        Their smallest and largest value where they are floating-point numbers.
    """
    if x.ndim != 4 or not expects_stored_pixels(model):
        return
    if x.dtype.kind in "iu":
        if x.dtype == np.uint8 and x[:8].max() > 1:
            return  # the usual case, told without a look at everything
        low, high = int(x.min()), int(x.max())
    elif x.dtype.kind == "b":
        low, high = 0, 1
    if low < 0 and (high <= _MIDDLE or low < -32):
        cure = "They look preprocessed already. Give the pictures as stored."
    elif 0 <= low and 0 < high <= 1:
        cure = "Multiply them by 255."
    elif x.dtype.kind in "iu" and high > 255 and low >= 0:
        cure = 'Pictures of 16 bits: (x / 257).astype("uint8").' if high > 4095 else "Give x * (255 / x.max())."
    elif high > 287:  # a little beyond 255 is what smooth resizing leaves
        cure = "Divide them by 257 if they had 16 bits."
    else:
        return
    warnings.warn(
        f"{name} goes from {low:g} to {high:g}, and {model.name!r} expects pixel values 0…255, which it rescales by "
        f"itself. {cure}",
        stacklevel=4,
    )


def shape_cure(got, expected):
    """Say what to do about pictures of a shape that a network does not take.

    Parameters
    ----------
    got, expected : tuple of int
        Shape of one input; None in `expected` takes any.

    Returns
    -------
    str
    """
    general = "Resize the images or build the model for their shape."
    if len(expected) != 3:
        return general

    def fits(size):
        return all(e in (None, g) for e, g in zip(expected[:2], size, strict=True))

    channels = expected[2]
    if len(got) == 2 and fits(got) and channels in (1, 3):
        return "Grey pictures lack the axis of channels: " + (
            "x[..., None]." if channels == 1 else "np.repeat(x[..., None], 3, axis=-1)."
        )
    if len(got) != 3:
        return general
    if fits(got[:2]) and channels == 3 and got[2] == 1:
        return "They are grey and the network takes colours: np.repeat(x, 3, axis=-1)."
    if fits(got[:2]) and channels == 3 and got[2] == 4:
        return "They have a fourth channel, for transparency, which must go: x[..., :3]."
    if fits(got[:2]) and channels == 1 and got[2] in (3, 4):
        return "They have colours and the network takes grey: x[..., :3].mean(axis=-1, keepdims=True)."
    if fits(got[1:]) and got[0] == channels and not fits(got[:2]):
        return "Their channels come first: np.moveaxis(x, 1, -1)."
    return general
