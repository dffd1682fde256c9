"""Is a forward pass that was traced before still the right one? A trace is kept with its model and checked when used.

Tracing a network takes longer than running a few images through it. A trace reads the weights where they lie, so that
training makes none out of date; everything else is fixed in it: how the layers are wired, their settings, functions,
and what they had made of their settings. All of that must be as it was, or the network is traced anew. So it is each
time where a layer or function of the user's own is in the network: nothing tells what such a one looks at when called.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf

from tl_helpers.grid.computations import attributes_of
from tl_helpers.grid.networks import describe, is_graph, nodes_of

# Where a model keeps its traces, so that they go when it goes. Names that begin so are no part of what it computes.
_PLACE = "_self_traces"
# How many of them a model keeps: the stages and precisions that one compares.
_MOST = 8
# How many where each holds weights of its own.
_MOST_WITH_WEIGHTS = 2


@dataclass(frozen=True, eq=False)
class _Trace:
    """A forward pass and what it was made of: values to compare, and objects that must be the very same ones."""

    values: tuple
    objects: list
    forward: Callable

    def is_of(self, values, objects):
        same = values == self.values and len(objects) == len(self.objects)
        return same and all(one is other for one, other in zip(objects, self.objects, strict=True))


def kept_forward(model, part, make_forward, *, weights=None):
    """Return the function that runs a part of a model as in use, traced earlier where that is certain to be the same.

    Parameters
    ----------
    model : keras.Model
        Which keeps what is traced.
    part : keras.Model
        Of layers of `model`; it may be made anew for each call.
    make_forward : callable
        :func:`tl_helpers.models.forward.make_forward`, or another function of `part` that returns such a function.
    weights : str, optional
        A hash of the weights, where `make_forward` fixes them in what it makes.

    Returns
    -------
    callable
        As `make_forward` returns it.
    """
    state = _state_of(part)
    if state is None:
        return make_forward(part)
    place, most = (_PLACE, _MOST) if weights is None else (f"{_PLACE}_with_weights", _MOST_WITH_WEIGHTS)
    kept = vars(model).setdefault(place, [])  # past Keras's own bookkeeping of attributes
    values, objects = (weights, *state[0]), state[1]
    for trace in kept:
        if trace.is_of(values, objects):
            return trace.forward
    made = _Trace(values, objects, make_forward(part))
    kept.append(made)
    del kept[:-most]
    return made.forward  # not the last one kept: another thread may have added its own


def _state_of(part):
    """Return the values and objects that decide a trace; None where they cannot be told for certain."""
    if not is_graph(part):
        return None
    graphs = [layer for layer in part._flatten_layers() if is_graph(layer)]
    nodes = [node for graph in graphs for node in nodes_of(graph)]
    given = keras.tree.flatten([node.arguments for node in nodes])
    if any("call" in vars(graph) for graph in graphs) or any(map(callable, given)):
        return None
    try:
        description = json.dumps(describe(part), sort_keys=True)
    except TypeError:
        return None
    if '"computes"' in description:  # something of the user's own
        return None
    objects = [item for variable in part.variables for item in (variable, variable.value)]
    for layer in part._flatten_layers(include_self=False):
        # Not by value: some layers of Keras keep tensors that they have computed from their settings or their data.
        objects += [layer, type(layer), type(layer).call, *attributes_of(layer).values()]
    operations = [node.layer for node in nodes if not isinstance(node.layer, keras.Layer)]
    objects += [part for operation in operations for part in (type(operation), type(operation).call)]
    try:
        # By value, as some of them are made anew with each part. Only what is no plain value must be the same object.
        settings = json.dumps(list(map(attributes_of, operations)), sort_keys=True, default=objects.append)
    except (TypeError, ValueError):
        return None
    values = (
        description,
        settings,
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        keras.config.is_flash_attention_enabled(),
        tf.config.optimizer.get_jit(),
        tf.config.optimizer.get_experimental_options(),
        tf.zeros(()).device,
    )
    return values, objects
