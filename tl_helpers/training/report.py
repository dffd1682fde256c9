"""What would training change? A report by stage, and the weights that change without a gradient."""

from __future__ import annotations

import math
import warnings

import keras
import numpy as np
import pandas

from tl_helpers.models.graph import leaves_of, stage_of, upstream_of
from tl_helpers.training.freezing import batch_norms_of, frozen_layers, is_stale, parts_of
from tl_helpers.training.stillness import is_plain_batch_norm, is_stilled, live_random_layers
from tl_helpers.training.weights import restored


def changing_without_gradient(model):
    """List the weights that a call in training mode changes: moving statistics, and states of whatever kind.

    BatchNorm, ``SpectralNormalization`` and stateful recurrent layers are known. Where a layer that is not Keras's own
    holds weights without a gradient, the model is run once on two made-up inputs, and put back as it was.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of keras.Variable
    """
    changing, unknown = [], []
    for part in model._flatten_layers():
        if is_plain_batch_norm(part):
            changing += [part.moving_mean, part.moving_variance] if part.trainable and part.built else []
        elif isinstance(part, keras.layers.SpectralNormalization):
            changing += [part.vector_u, part.kernel] if part.built and not is_stilled(part) else []
        elif isinstance(part, keras.layers.RNN):
            changing += keras.tree.flatten(part.states) if part.stateful and part.states else []
        elif not type(part).__module__.startswith("keras."):
            unknown += part.weights
    if unknown and getattr(model, "inputs", None):
        changing += _found_changing(model, unknown)
    return list({id(variable): variable for variable in changing if variable is not None}.values())


def _found_changing(model, unknown):
    """Run a model once, and list the weights that this has changed; where it cannot be run, all that might."""

    def made_up(tensor):
        shape = [tensor.shape[0] or 2, *(size or 8 for size in tensor.shape[1:])]
        numbers = np.random.default_rng(0).uniform(0, 1, shape)
        return keras.ops.cast(numbers, tensor.dtype)

    weights = {id(weight) for weight in model.weights}
    try:
        with restored(model) as before:
            given = getattr(model, "_inputs_struct", None)
            model(keras.tree.map_structure(made_up, model.inputs[0] if given is None else given), training=True)
            return [variable for variable in before.changed() if id(variable) in weights]
    except Exception:  # inputs of a size that the network does not take, for one
        return [weight for weight in unknown if not weight.trainable]


def trainable_report(model, stages=None):
    """Say for each stage of a model what moves in it. Warns if the model must be compiled anew.

    Parameters
    ----------
    model : keras.Model
    stages : dict of str to str, optional
        Name of a stage → its last layer, from input to output, as in :class:`tl_helpers.models.backbones.Backbone`.
        What follows the last is called ``head``. By default the stages that the layers' names suggest.

    Returns
    -------
    pandas.DataFrame
        One row per stage with weights or live random layers, indexed by ``stage``: ``state`` (``"moves"``,
        ``"frozen"`` or ``"partly frozen"``), ``batch_norm`` (``"training"``, ``"frozen"``, ``"mixed"``, or ``""`` where
        there is none), ``random_layers`` (names of layers that draw random numbers in training), ``parameters``,
        ``trainable`` (how many of them are among ``model.trainable_variables``) and ``share`` (of all the model's
        trainable parameters, 0…1). ``attrs["stale"]`` says whether the model must be compiled anew,
        ``attrs["without_gradient"]`` lists the paths of weights that training changes all the same, see
        :func:`changing_without_gradient`; a warning says so where they belong to a frozen layer.
    """
    names = {layer: stage_of(layer.name) for layer in leaves_of(model)}
    if stages is not None:
        names = dict.fromkeys(names, "head")
        for stage, last in reversed(stages.items()):
            names.update(dict.fromkeys(upstream_of(model, last), stage))
    learning = {id(variable) for variable in model.trainable_variables}
    drifting = changing_without_gradient(model)
    moves = learning | {id(variable) for variable in drifting}
    groups = {}
    for layer, stage in names.items():
        groups.setdefault(stage, []).append(layer)
    rows = []
    for stage, layers in groups.items():
        weights = list({id(weight): weight for layer in layers for weight in layer.weights}.values())
        parts = set(parts_of(layers))
        weighted = [part for part in parts if part._trainable_variables or part._non_trainable_variables]
        norms = batch_norms_of(layers)
        live = [part.name for layer in layers for part in live_random_layers(layer)]
        if weights or live:
            moving = [part for part in weighted if any(id(weight) in moves for weight in part.weights)]
            training = [part for part in norms if part.trainable]
            rows.append(
                {
                    "stage": stage,
                    "state": _either(moving, weighted, "moves", "frozen", "partly frozen"),
                    "batch_norm": _either(training, norms, "training", "frozen", "mixed"),
                    "random_layers": ", ".join(live),
                    "parameters": sum(math.prod(weight.shape) for weight in weights),
                    "trainable": sum(math.prod(weight.shape) for weight in weights if id(weight) in learning),
                }
            )
    report = pandas.DataFrame(rows).set_index("stage")
    report["share"] = report["trainable"] / max(report["trainable"].sum(), 1)
    report.attrs["stale"] = is_stale(model)
    report.attrs["without_gradient"] = [variable.path for variable in drifting]
    frozen = {id(weight) for part in frozen_layers(model) for weight in part.weights}
    unstill = [variable.path for variable in drifting if id(variable) in frozen]
    if unstill:
        warnings.warn(
            f"Training {model.name!r} changes {', '.join(unstill)}, although frozen: the layer changes its weights by "
            f"itself. tl_helpers.training.freeze holds it where its `call` has an argument `training`.",
            stacklevel=2,
        )
    if report.attrs["stale"]:
        warnings.warn(
            f"{model.name!r} was compiled and trained before this freezing: `fit` would still train what moved then. "
            f"Compile it anew, with a new optimizer.",
            stacklevel=2,
        )
    return report


def _either(some, everything, full, none, mixed):
    if not everything:
        return ""
    return none if not some else full if len(some) == len(everything) else mixed
