"""Which part of a network can be run once? Where to cut it, so that training the rest alone gives the same weights.

The frozen layers at a network's beginning give the same output for the same image in every epoch. Run them once, train
the rest on what they gave, and the network is trained: the rest shares its layers with the whole. That is right only
where everything before the cut is still, and where a single tensor crosses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tl_helpers.freezing import live_random_layers
from tl_helpers.graph import leaves_of, nodes_of

if TYPE_CHECKING:
    import keras

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
        maps' size too, see :func:`tl_helpers.training.fit_transfer`); otherwise to about 1e-5.
    reason : str
        Where there is no cut: why, and what to do. Otherwise empty.
    """

    tensor: keras.KerasTensor | None
    layer: str | None = None
    exact: bool = False
    reason: str = ""


def find_cut(model):
    """Find where the frozen beginning of a model ends.

    Parameters
    ----------
    model : keras.Model
        With the layers frozen that shall be, see :mod:`tl_helpers.freezing`.

    Returns
    -------
    Cut
    """
    nodes = nodes_of(model)
    still, tensors, entries = [], set(), []
    for node in nodes:
        if set(node.inputs) <= tensors:
            if _moves(node.layer) or live_random_layers(node.layer):
                entries.append(node.layer)
            else:
                still.append(node)
                tensors.update(map(id, node.outputs))
    rest = [node for node in nodes if node not in still]
    problem = _problem(entries, rest)
    if not any(_weights(node.layer) for node in still):
        return Cut(None, reason=problem or "No layer with weights is frozen before the first one that moves.")
    if problem:
        return Cut(None, reason=problem + _nearest(model, nodes, still))
    crossing = _crossing(model, still, rest)
    if len(crossing) > 1:
        reason = f"{len(crossing)} tensors leave the frozen part (it ends inside a residual block or has branches)."
        return Cut(None, reason=reason + _nearest(model, nodes, still))
    tensor = crossing[0]
    kinds = {type(leaf).__name__ for node in still for leaf in _leaves(node.layer)}
    return Cut(tensor, tensor._keras_history.operation.name, exact=kinds <= _EXACT_LAYERS)


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
    import keras

    return keras.Model(model.inputs, cut.tensor, name="prefix"), keras.Model(cut.tensor, model.outputs, name="suffix")


def _leaves(layer):
    import keras

    return leaves_of(layer) if isinstance(layer, keras.Model) else [layer]


def _weights(layer):
    return getattr(layer, "weights", [])


def _moves(layer):
    """Tell whether training changes a layer: its weights, or the moving statistics of a BatchNorm in it."""
    import keras

    if not isinstance(layer, keras.Layer):
        return False
    batch_norms = [part for part in layer._flatten_layers() if isinstance(part, keras.layers.BatchNormalization)]
    return bool(layer.trainable_variables) or any(part.trainable for part in batch_norms)


def _problem(entries, rest):
    """Say what disturbs the frozen part before its end, if anything does."""
    import keras

    if not any(_weights(leaf) and not _moves(leaf) for node in rest for leaf in _leaves(node.layer)):
        return ""
    for layer in entries:
        random = live_random_layers(layer)
        if random:
            return (
                f"Layer {random[0].name!r} draws random numbers in training, before the frozen part ends, so its "
                f"output differs in every epoch. For dropout, tl_helpers.freezing.freeze silences it."
            )
        if isinstance(layer, keras.layers.BatchNormalization):
            return (
                f"The statistics of BatchNorm layer {layer.name!r} move, before the frozen part ends. "
                f"tl_helpers.freezing.freeze stills it."
            )
        if isinstance(layer, keras.Model) and any(leaf.weights and not _moves(leaf) for leaf in leaves_of(layer)):
            return (
                f"The frozen part ends inside the nested model {layer.name!r}, which cannot be cut. Build the network "
                f"flat: keras.Model(base.input, head(base.output))."
            )
    return ""


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
