"""What does each channel of a network look for? Activation maps, receptive fields and the patches that excite most."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.grid.networks import nodes_of
from tl_helpers.models.features import run_once
from tl_helpers.models.forward import make_forward
from tl_helpers.models.inputs import check_inputs


@dataclass(frozen=True)
class ReceptiveField:
    """Which pixels a position of a feature map can see.

    Parameters
    ----------
    size : int
        Side of the square in pixels.
    stride : int
        Pixels from one position to the next.
    start : float
        Pixel at which the first position's square is centred; pixel 0 is the leftmost.
    """

    size: int
    stride: int
    start: float


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where each channel of each stage answers most, picture by picture.

    Parameters
    ----------
    pictures : numpy.ndarray
        ``uint8``, ``(n, h, w, c)``.
    values : dict of str to numpy.ndarray
        Stage → largest activation ``(n, channels)``.
    places : dict of str to numpy.ndarray
        Stage → row and column in the feature map ``(n, channels, 2)``. Positions that see beyond the picture's edge are
        left out where most others do not.
    fields : dict of str to ReceptiveField
    """

    pictures: np.ndarray
    values: dict[str, np.ndarray]
    places: dict[str, np.ndarray]
    fields: dict[str, ReceptiveField]


def receptive_fields(backbone):
    """Work out which pixels the positions of each stage can see.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    dict of str to ReceptiveField
        In order from input to output. The size is the theoretical one; most of a unit's answer comes from the middle
        of its square (Luo, Li, Urtasun and Zemel 2016).

    Notes
    -----
    A convolution with kernel k and stride s on positions j pixels apart adds (k − 1) j to the size and multiplies j by
    s. Where branches meet, the largest counts.
    """
    fields, by_layer = {}, {}
    for node in nodes_of(backbone.model):
        below = max((fields[tensor] for tensor in node.inputs), key=lambda f: f.size, default=ReceptiveField(1, 1, 0.0))
        field = _through(node.layer, below, node)
        fields |= {id(tensor): field for tensor in node.outputs}
        by_layer[node.layer.name] = field
    return {stage: by_layer[layer] for stage, layer in backbone.stages.items()}


def _through(layer, below, node):
    kernel = getattr(layer, "kernel_size", None)
    if kernel is None:
        return below
    kernel, stride = kernel[0], layer.strides[0]
    before = layer.input.shape[1]
    padding = max((node.outputs[0].shape[1] - 1) * stride + kernel - before, 0) // 2 if layer.padding == "same" else 0
    start = below.start + ((kernel - 1) / 2 - padding) * below.stride
    return ReceptiveField(below.size + (kernel - 1) * below.stride, below.stride * stride, start)


def stage_features(backbone, x, *, batch_size=32, cache=None):
    """Read the features of every stage in one pass: each feature map averaged over positions.

    Parameters
    ----------
    backbone : Backbone
    x : numpy.ndarray
        Images as stored, ``(n, h, w, c)``, 0…255.
    batch_size : int
    cache : path-like or dict, optional
        See :func:`tl_helpers.models.features.extract_features`.

    Returns
    -------
    dict of str to numpy.ndarray
        Stage → ``float32``, ``(n, channels)``, in order from input to output.
    """
    maps = _stage_outputs(backbone)
    averages = [keras.ops.mean(each, axis=(1, 2)) for each in maps.values()]
    model = keras.Model(backbone.model.inputs, keras.ops.concatenate(averages, axis=1))
    x = check_inputs(x, backbone.model, "x")
    together = run_once(model, x, batch_size=batch_size, cache=cache)
    ends = np.cumsum([each.shape[-1] for each in maps.values()])
    return dict(zip(maps, np.split(together, ends[:-1], axis=1), strict=True))


def activation_maps(backbone, x):
    """Read the feature maps of every stage.

    Parameters
    ----------
    backbone : Backbone
    x : numpy.ndarray
        A few images as stored, ``(n, h, w, c)``, 0…255: the maps of one at 224 pixels take about 3 MB.

    Returns
    -------
    dict of str to numpy.ndarray
        Stage → ``float32``, ``(n, rows, columns, channels)``.
    """
    maps = _stage_outputs(backbone)
    model = keras.Model(backbone.model.inputs, list(maps.values()))
    x = check_inputs(x, backbone.model, "x")
    results = model.predict(x, batch_size=16, verbose=0)
    return dict(zip(maps, results, strict=True))


def find_peaks(backbone, x, *, batch_size=32):
    """Find where each channel of each stage answers most, in every picture.

    Parameters
    ----------
    backbone : Backbone
    x : numpy.ndarray
        Images as stored, ``(n, h, w, c)``, 0…255.
    batch_size : int

    Returns
    -------
    Peaks
    """
    x = check_inputs(x, backbone.model, "x")
    fields = receptive_fields(backbone)
    parts, corners = [], {}
    for stage, maps in _stage_outputs(backbone).items():
        inside = _positions_inside(fields[stage], x.shape[1], maps.shape[1])
        maps = maps[:, inside, inside]
        _, rows, columns, channels = maps.shape
        flat = keras.ops.reshape(maps, (-1, rows * columns, channels))
        parts += [keras.ops.max(flat, axis=1), keras.ops.cast(keras.ops.argmax(flat, axis=1), "float32")]
        corners[stage] = inside.start, columns
    model = keras.Model(backbone.model.inputs, keras.ops.concatenate(parts, axis=1))
    ends = np.cumsum([part.shape[-1] for part in parts])
    found = np.split(make_forward(model)(x, batch_size), ends[:-1], axis=1)
    values = dict(zip(corners, found[::2], strict=True))
    places = {
        stage: np.stack(np.divmod(flat.astype("int64"), columns), axis=-1) + first
        for (stage, (first, columns)), flat in zip(corners.items(), found[1::2], strict=True)
    }
    return Peaks(x, values, places, fields)


def _positions_inside(field, side, positions):
    """Return the positions that see nothing beyond the picture's edge; all of them where they see half of it or more.

    The zeros that a convolution pads with are an edge to every edge detector.
    """
    if field.size > side / 2:
        return slice(0, positions)
    middles = field.start + field.stride * np.arange(positions)
    reach = (field.size - 1) / 2
    good = np.flatnonzero((middles >= reach) & (middles <= side - 1 - reach))
    return slice(int(good[0]), int(good[-1]) + 1)


def strongest_patches(peaks, stage, channel, *, count=8, largest=48):
    """Cut out what excites a channel most: the patches it sees where it answers strongest, one per picture.

    Parameters
    ----------
    peaks : Peaks
    stage : str
    channel : int
    count : int
    largest : int
        Patches are as large as the receptive field, at most so many pixels.

    Returns
    -------
    patches : numpy.ndarray
        ``uint8``, ``(count, side, side, c)``, strongest first. Large ones are moved to lie within the picture.
    rows : numpy.ndarray
        From which pictures, ``(count,)``.

    Raises
    ------
    ValueError
        If there is no such stage or channel.
    """
    check_choice("stage", stage, peaks.values)
    channels = peaks.values[stage].shape[1]
    if not 0 <= channel < channels:
        raise ValueError(f"{stage} has channels 0…{channels - 1}, not {channel}.")
    field = peaks.fields[stage]
    side = min(field.size, largest)
    rows = np.argsort(-peaks.values[stage][:, channel], kind="stable")[:count]
    pictures = peaks.pictures[rows]
    middles = field.start + field.stride * peaks.places[stage][rows, channel]
    corners = np.rint(middles - (side - 1) / 2).astype("int64")
    corners = np.clip(corners, 0, np.array(pictures.shape[1:3]) - side)
    patches = [
        picture[top : top + side, left : left + side] for picture, (top, left) in zip(pictures, corners, strict=True)
    ]
    return np.stack(patches), rows


def _stage_outputs(backbone):
    return {stage: backbone.model.get_layer(layer).output for stage, layer in backbone.stages.items()}
