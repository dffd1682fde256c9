"""How is a finished network run faster? With each BatchNorm folded into the convolution before it, to nearly the same.

In use, BatchNorm multiplies each channel by one number and adds another, and so can the convolution before it: its
kernel times the one, its bias plus the other (Jacob et al. 2018, section 3.2). The numbers are equal up to rounding.
"""

from __future__ import annotations

import warnings

import keras
import numpy as np

from tl_helpers.grid.computations import computed_by
from tl_helpers.grid.identity import fingerprint
from tl_helpers.grid.networks import is_graph, nodes_of
from tl_helpers.models.forward import compile_call, in_batches
from tl_helpers.models.traces import kept_forward

# Layers that end in a sum over channels → the axes of the kernel that the output's channels come from.
_FOLDING = {
    "Conv1D": ("kernel", 1),
    "Conv2D": ("kernel", 1),
    "Conv3D": ("kernel", 1),
    "Dense": ("kernel", 1),
    "DepthwiseConv1D": ("kernel", 2),
    "DepthwiseConv2D": ("kernel", 2),
    "SeparableConv1D": ("pointwise_kernel", 1),
    "SeparableConv2D": ("pointwise_kernel", 1),
}


def can_fold(model):
    """Tell whether something can be folded in a model, with a warning where nothing can.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    bool
    """
    reason = "no BatchNorm in it stands right behind a convolution or dense layer whose output nothing else reads"
    if not is_graph(model) or "call" in vars(model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        reason = "it is not known to do what its layers tell, from one input to one output"
    elif any(_is_coarse(layer) for layer in model._flatten_layers()):
        reason = "it computes in half precision, where rounding is too coarse"
    elif _has_pairs(model):
        return True
    warnings.warn(f"fold_batch_norm=True changes nothing for {model.name!r}: {reason}.", stacklevel=3)
    return False


def folded_forward(model, part):
    """Return the function that runs a part of a model with BatchNorm folded, made earlier where nothing has changed.

    Parameters
    ----------
    model : keras.Model
        Which keeps what is made.
    part : keras.Model
        Of layers of `model`, for which :func:`can_fold` says True.

    Returns
    -------
    callable
        As :func:`tl_helpers.models.forward.make_forward` returns it.
    """
    weights = fingerprint([weight.numpy() for weight in part.weights])
    return kept_forward(model, part, lambda part: in_batches(compile_call(fold_batch_norm(part))), weights=weights)


def fold_batch_norm(model):
    """Build a function that computes what a model does in use, with each BatchNorm folded where that is possible.

    BatchNorm layers stay as they are whose input is no output of a convolution or dense layer without an activation, or
    is read elsewhere, too.

    Parameters
    ----------
    model : keras.Model
        For which :func:`can_fold` says True. It is left as it is: folded are copies of its weights as they are now.

    Returns
    -------
    callable
        From a batch, a tensor, to the output. It takes ``training`` and ``mask``, as a model does, and heeds neither.
    """
    nodes = nodes_of(model)
    found = [(before, norm, _folded(before, norm)) for before, norm in _pairs(model, nodes)]
    found = [(before, norm, layer) for before, norm, layer in found if layer is not None]
    pairs = {id(norm): layer for _, norm, layer in found}
    skipped = {id(before) for before, _, _ in found}
    arguments_of = {id(norm): before.arguments for before, norm, _ in found}
    steps = [
        (node, pairs.get(id(node)) or _in_use(node), arguments_of.get(id(node), node.arguments))
        for node in nodes
        if node.inputs and id(node) not in skipped
    ]

    def run(x, training=False, mask=None):
        values = {id(model.inputs[0]): keras.ops.cast(x, model.inputs[0].dtype)}

        def value(item):
            return values[id(item)] if isinstance(item, keras.KerasTensor) else item

        for node, call, arguments in steps:
            positional, named = keras.tree.map_structure(value, arguments)
            outputs = keras.tree.flatten(call(*positional, **named))
            values.update({id(tensor): output for tensor, output in zip(node.outputs, outputs, strict=True)})
        return values[id(model.outputs[0])]

    return run


def _in_use(node):
    """Return the call of a layer in use, folded inside where it is a model."""
    layer = node.layer
    if _can_look_inside(node):
        return fold_batch_norm(layer)
    if getattr(layer, "_call_has_training_arg", False):
        return lambda *positional, **named: layer(*positional, **named | {"training": False})
    return layer


def _is_masked(node):
    return any(getattr(item, "_keras_mask", None) is not None for item in keras.tree.flatten(node.arguments))


def _is_coarse(layer):
    return layer.compute_dtype != layer.variable_dtype or layer.compute_dtype in ("float16", "bfloat16")


def _can_look_inside(node):
    """Tell whether a layer is a model from one input to one output, called with that input itself, in no container."""
    layer, (positional, named) = node.layer, node.arguments
    return (
        is_graph(layer)
        and "call" not in vars(layer)
        and len(layer.inputs) == len(layer.outputs) == 1
        and len(positional) == 1
        and isinstance(positional[0], keras.KerasTensor)
        and set(named) <= {"training", "mask"}
        and not _is_masked(node)
    )


def _has_pairs(model):
    nodes = nodes_of(model)
    return bool(_pairs(model, nodes)) or any(_can_look_inside(node) and _has_pairs(node.layer) for node in nodes)


def _pairs(model, nodes):
    """List the uses of a layer and of the BatchNorm behind it that can be one."""
    readers = [tensor for node in nodes for tensor in node.inputs] + [id(tensor) for tensor in model.outputs]
    maker = {id(tensor): node for node in nodes for tensor in node.outputs}
    found = []
    for norm in nodes:
        before = maker.get(norm.inputs[0]) if norm.inputs else None
        if before is not None and readers.count(norm.inputs[0]) == 1 and _fits(before, norm):
            found.append((before, norm))
    return found


def _fits(before, norm):
    layer, batch_norm = before.layer, norm.layer
    if type(batch_norm) is not keras.layers.BatchNormalization or type(layer) is not _class_of(layer):
        return False
    rank = len(before.outputs[0].shape)
    channels = 1 if getattr(layer, "data_format", "channels_last") == "channels_first" else rank - 1
    return (
        batch_norm.axis % rank == channels
        and layer.activation in (None, keras.activations.linear)
        and not any("call" in vars(each) or computed_by(each) for each in (layer, batch_norm))
        and layer.use_bias == (layer.bias is not None)
        and not getattr(layer, "lora_enabled", False)
        and getattr(layer.dtype_policy, "quantization_mode", None) is None
        and layer.compute_dtype == batch_norm.compute_dtype
        and not _is_masked(before)
        and not _is_masked(norm)
    )


def _class_of(layer):
    """Return Keras's own class of a layer's class's name, where it is one of those into which BatchNorm can go."""
    name = type(layer).__name__
    return getattr(keras.layers, name) if name in _FOLDING else None


def _folded(before, norm):
    """Make a copy of a layer that does what it and the BatchNorm behind it do; None where numbers become too large."""
    layer, batch_norm = before.layer, norm.layer
    config = type(layer).get_config(layer) | {"use_bias": True, "trainable": False}
    # Drawing initial weights would move Python's own random numbers on.
    config |= {name: "zeros" for name in config if name.endswith("_initializer")}
    copy = type(layer).from_config(config)
    copy.build(keras.tree.flatten(before.arguments)[0].shape)

    mean, variance = (
        weight.numpy().astype("float64") for weight in (batch_norm.moving_mean, batch_norm.moving_variance)
    )
    scale = 1 / np.sqrt(variance + batch_norm.epsilon)
    if batch_norm.scale:
        scale = scale * batch_norm.gamma.numpy()
    bias = -mean if layer.bias is None else layer.bias.numpy() - mean
    bias = bias * scale + (batch_norm.beta.numpy() if batch_norm.center else 0)
    name, axes = _FOLDING[type(layer).__name__]
    with np.errstate(over="ignore"):  # where it overflows, nothing is folded
        for weight in copy.weights:
            own = weight.name
            if own == "bias":
                weight.assign(bias)
            elif own == name:
                kernel = getattr(layer, name).numpy()
                weight.assign(kernel * scale.reshape(kernel.shape[-axes:]))
            else:
                weight.assign(getattr(layer, own))
    return copy if all(np.isfinite(weight.numpy()).all() for weight in copy.weights) else None
