"""What does a network compute? Its layers, their settings, and how they are wired."""

from __future__ import annotations

# Keras is imported by the functions that need it: who reads results or starts workers does without.
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tl_helpers.grid.computations import computed_by, is_own, settings_of
from tl_helpers.grid.identity import fingerprint, real_class

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Node:
    """One use of a layer in a functional model.

    Parameters
    ----------
    layer : keras.Layer or keras.Operation
    inputs : tuple of int
        Identities of the symbolic tensors it reads.
    outputs : tuple of keras.KerasTensor
        The symbolic tensors it makes.
    arguments : tuple
        Positional and named arguments of the call.
    """

    layer: keras.Layer
    inputs: tuple[int, ...]
    outputs: tuple
    arguments: tuple


def nodes_of(model):
    """List the uses of layers in a functional model, each after everything it depends on.

    Parameters
    ----------
    model : keras.Model
        A functional or a built sequential model.

    Returns
    -------
    list of Node

    Raises
    ------
    ValueError
        If the model has no graph: a subclass of ``keras.Model``, or a sequential model without an input shape.
    """
    outputs = getattr(model, "outputs", None)
    if not outputs:
        raise ValueError(
            f"{model.name!r} has no graph of layers, so it cannot be frozen or cut by stage. Build it as a functional "
            f"model (keras.Model(inputs, outputs)), or give a Sequential model a keras.Input first."
        )
    order, placed = [], set()
    pending = [tensor._keras_history for tensor in reversed(outputs)]
    while pending:
        operation, index, _ = history = pending[-1]
        node = operation._inbound_nodes[index]
        missing = [
            t._keras_history for t in node.input_tensors if (id(t._keras_history[0]), t._keras_history[1]) not in placed
        ]
        if missing:
            pending.extend(reversed(missing))
            continue
        pending.pop()
        if (id(history[0]), index) not in placed:
            placed.add((id(operation), index))
            arguments = node.arguments.args, node.arguments.kwargs
            order.append(Node(operation, tuple(id(t) for t in node.input_tensors), tuple(node.outputs), arguments))
    return order


def is_graph(layer):
    """Tell whether a layer is a model that does what its graph of layers says, and nothing else.

    Parameters
    ----------
    layer : keras.Layer or keras.Operation

    Returns
    -------
    bool
        False for a model of a class of one's own, with its own `call` or its own weights.
    """
    import keras

    if not isinstance(layer, keras.Layer) or not getattr(layer, "outputs", None):
        return False
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    return type(layer).call.__module__.startswith("keras.") and not own


def describe(model, *, of_class=True):
    """Say what a model computes, apart from its weights: its layers, their settings, how they are wired.

    Parameters
    ----------
    model : keras.Model
        A functional or a built sequential model.
    of_class : bool
        Whether a class of the user's that the model is an instance of counts, as it may do more than its layers.

    Returns
    -------
    list
        The same for two models that compute the same way, whatever their layers are called; ready for ``json.dumps``.
        Where a layer computes what its class's name and settings do not tell (a class or function of the user's), they
        hold a hash of it under ``"computes"``, see :func:`tl_helpers.grid.identity.fingerprint`.

    Raises
    ------
    TypeError
        If it cannot be told for certain what a layer computes.
    """
    import keras

    position, described = {}, []
    for number, node in enumerate(nodes_of(model)):
        position.update({id(tensor): [number, index] for index, tensor in enumerate(node.outputs)})
        # What a call is given besides tensors: the 2 in `x / 2` is no setting of the division.
        constants = _plain(keras.tree.map_structure(_constant, node.arguments))
        wires = [position[tensor] for tensor in node.inputs]
        described.append([real_class(node.layer).__name__, _settings(node.layer), wires, constants])
    for name, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) > 1:  # their order
            described.append([name, {}, [position.get(id(tensor)) for tensor in tensors], []])
    if of_class and not is_own(model):
        described.append([real_class(model).__name__, {"computes": _hash(model, [model])}, [], []])
    return described


def _settings(layer):
    import keras

    replaced = "call" in getattr(layer, "__dict__", {})  # it may then do more than its layers
    if isinstance(layer, keras.Model) and is_own(layer) and getattr(layer, "outputs", None) and not replaced:
        return describe(layer)
    settings = settings_of(layer)
    computes = computed_by(layer) if settings is not None else [layer]
    settings = _plain(settings or {})
    return settings | {"computes": _hash(layer, computes)} if computes else settings


def _hash(layer, things):
    try:
        return fingerprint(things)
    except TypeError as error:
        raise TypeError(f"What layer {layer.name!r} computes cannot be told for certain. {error}") from error


def _constant(value):
    import keras

    return None if isinstance(value, keras.KerasTensor) else value


def _plain(value):
    """Turn settings into what JSON knows; what it does not know, into a hash."""
    import keras

    if isinstance(value, dict):
        return {str(name): _plain(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "shape") and not callable(value):
        array = keras.ops.convert_to_numpy(value)
        if not array.dtype.hasobject:
            return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    return fingerprint(value)
