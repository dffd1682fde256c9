"""What depends on what in a network? The order of its layers, and the stages by which one names a part of it."""

from __future__ import annotations

import re

import keras

from tl_helpers.grid.networks import is_graph, nodes_of


def leaves_of(model):
    """List the layers of a model in order, those of models nested in it one by one.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of keras.Layer
        A layer that wraps others (multi-head attention) counts as one, and so does a nested model of one's own class:
        its `call` may do more than its layers tell.
    """
    if getattr(model, "outputs", None):
        layers = [node.layer for node in nodes_of(model)]
    else:
        layers = model.layers
    leaves = []
    for layer in layers:
        leaves.extend(leaves_in(layer))
    return list(dict.fromkeys(leaves))


def leaves_in(layer):
    """List the leaves of one layer: itself, or those of the model that it is.

    Parameters
    ----------
    layer : keras.Layer or keras.Operation

    Returns
    -------
    list of keras.Layer
        See :func:`leaves_of`; empty for an operation.
    """
    if is_graph(layer):
        return leaves_of(layer)
    return [layer] if isinstance(layer, keras.Layer) else []


def belongs(name, stage):
    """Tell whether a layer's name belongs to a stage: it is the stage's name, or begins with it.

    ``"block5"`` covers ``block5a_add`` but neither ``block51`` nor ``myblock5``.

    Parameters
    ----------
    name, stage : str

    Returns
    -------
    bool
    """
    return name.startswith(stage) and (len(name) == len(stage) or not name[len(stage)].isdigit())


def stage_of(name):
    """Return the stage that a layer's name suggests: its first word with its number.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        ``"block5"`` for ``block5c_add``, ``"conv2"`` for ``conv2_block1_out``, ``"block_1"`` for ``block_1_expand``.
    """
    return re.match(r"[A-Za-z]+(?:_?\d+)?|.+", name).group()


def layers_in(model, stage):
    """List the layers that belong to a stage, in order.

    Parameters
    ----------
    model : keras.Model
    stage : str
        A layer's name, or the beginning of the names of several: see :func:`belongs`.

    Returns
    -------
    list of keras.Layer
        A nested model counts as a layer too; the layers inside it are looked through if none outside matches.

    Raises
    ------
    ValueError
        If nothing matches; the message lists what there is.
    """
    found = _matching([node.layer for node in nodes_of(model)], stage)
    if found:
        return found
    for layer in model.layers:
        if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
            found = _matching([node.layer for node in nodes_of(layer)], stage)
            if found:
                return found
    stages = list(dict.fromkeys(stage_of(layer.name) for layer in leaves_of(model) if layer.weights))
    raise ValueError(f"{model.name!r} has no layer or stage {stage!r}. Its stages with weights: {', '.join(stages)}.")


def _matching(layers, stage):
    exact = [layer for layer in layers if layer.name == stage]
    return list(dict.fromkeys(exact or [layer for layer in layers if belongs(layer.name, stage)]))


def upstream_of(model, stage):
    """List the layers on which the end of a stage depends, the stage's own included.

    Parameters
    ----------
    model : keras.Model
    stage : str
        See :func:`layers_in`.

    Returns
    -------
    list of keras.Layer
        As :func:`leaves_of` lists them.

    Raises
    ------
    ValueError
        If nothing matches `stage`.
    """
    wanted = set(map(id, layers_in(model, stage)))
    nodes = nodes_of(model)
    host = next((layer for layer in model.layers if _holds(layer, wanted)), None)
    inside = upstream_of(host, stage) if host is not None else []
    if host is not None:
        wanted = {id(host)}
    needed, chosen = set(), set()
    for node in reversed(nodes):
        if id(node.layer) in wanted or any(id(tensor) in needed for tensor in node.outputs):
            needed.update(node.inputs)
            chosen.add(id(node.layer))
    leaves = []
    for node in nodes:
        if node.layer is host:
            leaves.extend(inside)
        elif id(node.layer) in chosen:
            leaves.extend(leaves_in(node.layer))
    return list(dict.fromkeys(leaf for leaf in leaves if isinstance(leaf, keras.Layer)))


def _holds(layer, wanted):
    """Tell whether a layer is a nested model with one of the wanted layers directly inside."""
    return (
        isinstance(layer, keras.Model) and id(layer) not in wanted and any(id(each) in wanted for each in layer.layers)
    )
