"""Which part of a network can be run once? Where to cut it, so that training the rest alone gives the same weights.

The frozen layers at a network's beginning give the same output for the same image in every epoch. Run them once, train
the rest on what they gave, and the network is trained: the rest shares its layers with the whole. That is right only
where everything before the cut is still, is known to give the same output each time, and where a single tensor crosses
the cut. What cannot be proved is not cut.
"""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass

import keras
import numpy as np

from tl_helpers.grid.networks import is_graph, nodes_of
from tl_helpers.models.graph import leaves_in, leaves_of
from tl_helpers.training.report import changing_without_gradient
from tl_helpers.training.stillness import live_random_layers
from tl_helpers.training.weights import restored

# Layers for which the tests show that one image's output has the same bits in whatever batch of the same size, or, at
# sizes of the feature map where it has not, that the first batch shows it.
_EXACT_LAYERS = {
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv2D",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "InputLayer",
    "LayerNormalization",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "ZeroPadding2D",
}

# Layers of Keras that give the same output for the same input, in any call, once their weights and their dropout are
# still. tests/unit/test_layer_kinds.py trains each of them both ways.
DETERMINISTIC_LAYERS = _EXACT_LAYERS | {
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AveragePooling3D",
    "Bidirectional",
    "CenterCrop",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "ConvLSTMCell",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DepthwiseConv1D",
    "Dot",
    "ELU",
    "EinsumDense",
    "Embedding",
    "GRU",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "GroupedQueryAttention",
    "Identity",
    "LSTM",
    "LSTMCell",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "RNN",
    "RepeatVector",
    "Reshape",
    "Resizing",
    "ReversibleEmbedding",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "StackedRNNCells",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding3D",
}


@dataclass(frozen=True, eq=False)
class Cut:
    """Where a model can be cut, or why it cannot.

    Parameters
    ----------
    tensor : keras.KerasTensor or None
        What crosses the cut; None where there is no valid cut.
    layer : str or None
        Name of the last layer before the cut.
    exact : bool
        Whether training after the cut can give the same weights bit for bit (whether it does depends on the feature
        maps' size too, see :func:`tl_helpers.training.fit.fit_transfer`); otherwise to about 1e-5.
    reason : str
        Where there is no cut: why, and what to do. Otherwise empty.
    """

    tensor: keras.KerasTensor | None
    layer: str | None = None
    exact: bool = False
    reason: str = ""


def find_cut(model, *, deterministic=False):
    """Find where the frozen beginning of a model ends.

    Parameters
    ----------
    model : keras.Model
        With the layers frozen that shall be, see :mod:`tl_helpers.training.freezing`.
    deterministic : bool
        True takes the user's word for layers that are not Keras's own (custom ones, ``Lambda``): that they give the
        same output for the same input, in every call.

    Returns
    -------
    Cut
    """
    if not is_graph(model):
        return Cut(None, reason=f"{model.name!r} is of a class of its own, which may do more than its layers tell.")
    nodes = nodes_of(model)
    drifting = {id(weight) for weight in changing_without_gradient(model)}
    still, tensors, entries = [], set(), []
    for node in nodes:
        if set(node.inputs) <= tensors:
            disturbance = _disturbance(node, drifting, deterministic)
            if disturbance is None:
                still.append(node)
                tensors.update(map(id, node.outputs))
            else:
                entries.append(disturbance)
    rest = [node for node in nodes if node not in still]
    problem = ""
    if any(_is_frozen(leaf, drifting) for node in rest for leaf in leaves_in(node.layer)):
        problem = next(filter(None, entries), "")
    if not any(_weights(node.layer) for node in still):
        return Cut(None, reason=problem or "No layer with weights is frozen before the first one that moves.")
    if problem:
        return Cut(None, reason=problem + _nearest(model, nodes, still))
    crossing = _crossing(model, still, rest)
    if len(crossing) > 1:
        reason = f"{len(crossing)} tensors leave the frozen part (it ends inside a residual block or has branches)."
        return Cut(None, reason=reason + _nearest(model, nodes, still))
    tensor = crossing[0]
    if getattr(tensor, "_keras_mask", None) is not None:
        reason = (
            f"A mask goes with the output of {tensor._keras_history.operation.name!r}, which says where a sequence has "
            f"ended, and what is stored would have none. Freeze up to a layer that uses the mask up."
        )
        return Cut(None, reason=reason)
    twice = {id(node.layer) for node in still} & {id(node.layer) for node in rest}
    if twice:
        name = next(node.layer.name for node in still if id(node.layer) in twice)
        reason = f"Layer {name!r} is used in the frozen part and after it. Use two layers where it need not be one."
        return Cut(None, reason=reason)
    kinds = {type(leaf).__name__ for node in still for leaf in leaves_in(node.layer)}
    return Cut(tensor, tensor._keras_history.operation.name, exact=kinds <= _EXACT_LAYERS)


def what_differs(model, x, call=None):
    """Run a model in training mode twice on each of two batches: outputs and weights must be the same.

    The batches share their first example, whose output must not depend on what else is in the batch.

    Parameters
    ----------
    model : keras.Model
    x : numpy.ndarray
        ``(n, …)``: inputs, see :func:`shared_first`.
    call : callable, optional
        From :func:`tl_helpers.models.forward.compile_call`, in training mode, for a model of layers that are all known.
        By default the model is not compiled, so that random numbers which are drawn outside TensorFlow show too.

    Returns
    -------
    str
        A sentence on what differed; empty where nothing did. The model is as before.
    """
    batches, weights = shared_first(model, x), {id(weight) for weight in model.weights}
    call = call or functools.partial(model, training=True)
    with restored(model) as before:
        runs = [[call(batch) for batch in batches] for _ in range(2)]
        masked = any(getattr(output, "_keras_mask", None) is not None for output in runs[0])
        runs = [[np.asarray(output) for output in run] for run in runs]
        moved = [variable.path for variable in before.changed() if id(variable) in weights]
    if moved:
        return f"The frozen part changes {moved[0]!r} whenever it is called."
    if not all(np.array_equal(one, other, equal_nan=True) for one, other in zip(*runs, strict=True)):
        return "The frozen part gave two outputs for the same input."
    if masked:
        return "A mask goes with the frozen part's output, and what is stored would have none."
    alike = [len(output) == len(batch) for output, batch in zip(runs[0], batches, strict=True)]
    if all(alike):
        one, other = (output[0].astype("float64") for output in (runs[0][0], runs[0][-1]))
        # Rounding may differ, coarsely so in half precision.
        room = (2e-2 if runs[0][0].dtype.itemsize < 4 else 1e-4) * np.abs(one).max(initial=1e-30)
        alike = [np.allclose(one, other, rtol=0, atol=room, equal_nan=True)]
    if not all(alike):
        return "What the frozen part gives for an example depends on the other examples of the batch."
    return ""


def shared_first(model, x):
    """Take two batches from inputs that share the first example and, where there are enough, no other; or one.

    Parameters
    ----------
    model : keras.Model
    x : numpy.ndarray
        ``(n, …)``.

    Returns
    -------
    list of numpy.ndarray
    """
    size = model.input_shape[0] or 2
    rows = [range(min(size, len(x)))]
    if len(x) > size > 1:
        rows.append([0, *range(len(x) - size + 1, len(x))])
    return [x[list(each)] for each in rows]


def split(model, cut):
    """Cut a model in two that share its layers.

    Parameters
    ----------
    model : keras.Model
    cut : Cut
        With a tensor.

    Returns
    -------
    prefix, suffix : keras.Model
    """
    given = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(given, cut.tensor, name="prefix"), keras.Model(cut.tensor, model.outputs, name="suffix")


def _weights(layer):
    return getattr(layer, "weights", [])


def _is_function(value):
    return isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial))


def _is_of_keras(function):
    return str(getattr(function, "__module__", "")).startswith("keras.")


def _is_frozen(layer, drifting):
    return bool(_weights(layer)) and not _moves(layer, drifting)


def _moves(layer, drifting):
    """Tell whether training changes a layer's weights, through a gradient or without one."""
    return any(weight.trainable or id(weight) in drifting for weight in _weights(layer))


def _is_known(layer, arguments=()):
    """Tell whether a layer, with all that is inside it, is known to give the same output for the same input."""
    if not isinstance(layer, keras.Layer):  # a function of keras.ops; some take functions in turn
        given = [*vars(layer).values(), *keras.tree.flatten(arguments)]
        return type(layer).__module__.startswith("keras.src.ops") and not any(map(_is_function, given))
    kind = type(layer)
    if is_graph(layer) and kind.__module__.startswith("keras."):
        return all(_is_known(node.layer, node.arguments) for node in nodes_of(layer))
    known = kind.__module__.startswith("keras.src.layers") and kind.__name__ in DETERMINISTIC_LAYERS
    if not (known or kind.__module__.startswith("keras.src.applications")):
        return False
    if any(callable(value) and not _is_of_keras(value) for value in vars(layer).values()):
        return False  # such as an activation of one's own
    return all(_is_known(part) for part in layer._flatten_layers(include_self=False))


def _disturbance(node, drifting, deterministic):
    """Say why the frozen part ends before a use of a layer.

    Returns
    -------
    str or None
        None where it does not end there; an empty sentence where it ends because the layer is meant to move.
    """
    layer = node.layer
    random = live_random_layers(layer)
    if random:
        return (
            f"Layer {random[0].name!r} draws random numbers in training, before the frozen part ends, so its "
            f"output differs in every epoch. For dropout, tl_helpers.training.freeze silences it."
        )
    if _moves(layer, drifting):
        if isinstance(layer, keras.layers.BatchNormalization):
            return (
                f"The statistics of BatchNorm layer {layer.name!r} move, before the frozen part ends. "
                f"tl_helpers.training.freeze stills it."
            )
        if is_graph(layer) and any(_is_frozen(leaf, drifting) for leaf in leaves_of(layer)):
            return (
                f"The frozen part ends inside the nested model {layer.name!r}, which cannot be cut. Build the network "
                f"flat: keras.Model(base.input, head(base.output))."
            )
        return ""
    punished = (
        [part for part in layer._flatten_layers() if getattr(part, "activity_regularizer", None) is not None]
        if isinstance(layer, keras.Layer)
        else []
    )
    if punished:
        return f"Layer {punished[0].name!r} adds a penalty on its output to the loss, which would be left out."
    if not (deterministic or _is_known(layer, node.arguments)):
        return (
            f"Nothing proves that layer {layer.name!r} ({type(layer).__name__}) gives the same output for the same "
            f"input each time. If it does, say deterministic=True."
        )
    return None


def _crossing(model, before, after):
    """List the tensors made by the nodes `before` that the nodes `after` read, or that the model gives."""
    wanted = {tensor for node in after for tensor in node.inputs} | {id(tensor) for tensor in model.outputs}
    return [tensor for node in before for tensor in node.outputs if id(tensor) in wanted]


def _nearest(model, nodes, still):
    """Name the last place in the still part where a single tensor crosses."""
    for last in reversed(still):
        needed, before = set(map(id, last.outputs)), []
        for node in reversed(still):
            if any(id(tensor) in needed for tensor in node.outputs):
                needed.update(node.inputs)
                before.append(node)
        after = [node for node in nodes if node not in before]
        if any(_weights(node.layer) for node in before) and len(_crossing(model, before, after)) == 1:
            return f" The nearest place where it can be cut is {last.layer.name!r}: freeze up to there."
    return ""
