"""What moves? Which layers learn, and how fast: freezing that holds, thawing, and a report that tells.

Freezing here means that *nothing* of a layer changes while the rest trains: neither its weights, nor the moving
statistics of BatchNorm, nor its output for a given input. Keras's ``layer.trainable = False`` gives the first two. Its
often-taught ``base(x, training=False)`` gives none of them inside ``fit``, which passes ``training=True`` down to every
layer; and a frozen dropout layer goes on dropping. So :func:`freeze` sets the layers' own ``trainable`` and silences
their dropout. Everything is kept in standard layers' standard settings, so that it survives saving and loading.
"""

from __future__ import annotations

import math
import re
import warnings
import weakref

from tl_helpers.graph import layers_in, leaves_of, stage_of, upstream_of

# Functions that Keras traced before `freeze` or `unfreeze` changed something which tracing had fixed.
_traced_before_change = weakref.WeakKeyDictionary()


def freeze(model, *, upto=None):
    """Freeze a model, or the part of it up to a stage, in place. What was frozen before stays frozen.

    Compile the model afterwards: Keras fixes what moves when it first trains, and does not notice a later change.
    ``model.trainable`` itself stays True, so that ``model.get_layer("conv4").trainable = True`` does what it says.

    Parameters
    ----------
    model : keras.Model
        A functional or sequential model, nested or flat.
    upto : str, optional
        Name of the last stage to freeze, together with everything it depends on: a layer's name, or the beginning of
        the names of a group of layers (``"block5"`` ends with the last layer whose name begins so). None freezes all.

    Raises
    ------
    ValueError
        If no layer's name is `upto` or begins with it.
    """
    chosen = leaves_of(model) if upto is None else upstream_of(model, upto)
    _set_frozen(model, _frozen_layers(model) | set(chosen))


def freeze_all_but(model, prefix="head"):
    """Freeze a model except for its head, in place: linear probing. Compile the model afterwards.

    Parameters
    ----------
    model : keras.Model
    prefix : str
        Layers whose names begin so keep moving.

    Raises
    ------
    ValueError
        If no layer with weights has such a name.
    """
    moving = [layer for layer in leaves_of(model) if layer.name.startswith(prefix)]
    if not any(layer.weights for layer in moving):
        raise ValueError(
            f"{model.name!r} has no layer with weights whose name starts with {prefix!r}, so nothing would be trained. "
            f"Name the layers of the head so, or use tl_helpers.models.add_class_head."
        )
    _set_frozen(model, set(leaves_of(model)) - set(moving))


def unfreeze(model, *, after=None, batch_norm=True):
    """Let a model, or the part of it after a stage, move again, in place; dropout there drops again.

    ``freeze(model); unfreeze(model, after="conv2")`` is the same as ``unfreeze(model); freeze(model, upto="conv2")``.
    Compile the model afterwards.

    Parameters
    ----------
    model : keras.Model
    after : str, optional
        Name of the last stage that stays as it is; None thaws the whole model.
    batch_norm : bool
        False keeps BatchNorm layers frozen everywhere: with few labels, statistics of small batches replace good ones.

    Raises
    ------
    ValueError
        If no layer's name is `after` or begins with it.
    """
    import keras

    kept = set() if after is None else _frozen_layers(model) & set(upstream_of(model, after))
    if not batch_norm:
        kept |= {layer for layer in leaves_of(model) if isinstance(layer, keras.layers.BatchNormalization)}
    _set_frozen(model, kept)


def _frozen_layers(model):
    """Layers that are frozen, by themselves or through a model around them."""
    import keras

    frozen = set() if model.trainable else set(leaves_of(model))
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            frozen |= _frozen_layers(layer)
        elif not layer.trainable or _is_silenced(layer):  # spatial dropout is saved without its `trainable`
            frozen.add(layer)
    return frozen


def _set_frozen(model, frozen):
    before = _state(model)
    model.trainable = True
    for layer in leaves_of(model):
        layer.trainable = layer not in frozen
        for part in layer._flatten_layers():
            (_silence if layer in frozen else _restore)(part)
        for part in live_random_layers(layer) if layer in frozen else []:
            # Augmentation before a frozen network is meant to vary.
            if "preprocessing" not in type(part).__module__:
                warnings.warn(
                    f"Layer {part.name!r} ({type(part).__name__}) is frozen but goes on drawing random numbers in "
                    f"training: this kind of layer cannot be silenced in a way that is saved.",
                    stacklevel=3,
                )
    if _state(model) != before and model.train_function is not None:
        _traced_before_change[model] = weakref.ref(model.train_function)


def _state(model):
    """What tracing fixes: which layers are trainable, and which of them draw random numbers."""
    return [(layer.trainable, bool(live_random_layers(layer))) for layer in leaves_of(model)]


# ---------------------------------------------------------------- dropout


def _strengths(layer):
    """Return the names of the attributes that say how strongly a layer disturbs its input in training."""
    from keras import layers

    if isinstance(layer, layers.GaussianNoise):
        return ["stddev"]
    if isinstance(layer, (layers.Dropout, layers.GaussianDropout, layers.AlphaDropout)):
        return ["rate"]
    if isinstance(layer, layers.MultiHeadAttention):
        return ["_dropout"]
    if isinstance(layer, layers.GroupQueryAttention):
        return ["dropout"]
    return []


def _silence(layer):
    """Set a layer's dropout to 0 and keep the old rate in its `seed`, which is saved and which rate 0 never uses."""
    for name in _strengths(layer):
        if getattr(layer, name) > 0:
            layer.seed = {"silenced": getattr(layer, name), "seed": layer.seed}
            setattr(layer, name, 0.0)


def _is_silenced(layer):
    return isinstance(getattr(layer, "seed", None), dict) and "silenced" in layer.seed


def _restore(layer):
    import keras

    for name in _strengths(layer):
        if _is_silenced(layer):
            setattr(layer, name, layer.seed["silenced"])
            layer.seed = layer.seed["seed"]
            if name in ("rate", "stddev") and not hasattr(layer, "seed_generator"):
                # A layer loaded with rate 0 came without its source of random numbers, and is closed to additions.
                layer._tracker.unlock()
                layer.seed_generator = keras.random.SeedGenerator(layer.seed)
                layer._tracker.lock()


def live_random_layers(layer):
    """List the layers that draw random numbers in training: dropout with a rate above 0, noise, augmentation.

    Parameters
    ----------
    layer : keras.Layer or keras.Operation
        A layer or model; the layers inside it are looked at too.

    Returns
    -------
    list of keras.Layer
    """
    import keras

    live = []
    if not isinstance(layer, keras.Layer):
        return live
    for part in layer._flatten_layers():
        draws = any(isinstance(value, keras.random.SeedGenerator) for value in vars(part).values())
        strengths = _strengths(part)
        if isinstance(part, (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)):
            # They have a source of random numbers even where they drop nothing.
            strengths = ["dropout", "recurrent_dropout"]
        if any(getattr(part, name) > 0 for name in strengths) if strengths else draws:
            live.append(part)
    return live


# ---------------------------------------------------------------- report


def is_stale(model):
    """Tell whether a compiled model would train otherwise than its layers' ``trainable`` now says.

    Keras fixes what moves when a compiled model first trains. A change after that has no effect, without a warning,
    until the model is compiled anew with a new optimizer.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    bool
    """
    if not model.compiled or model.optimizer is None or not model.optimizer.built:
        return False
    fixed = {id(variable) for variable in model.optimizer._trainable_variables}
    traced = _traced_before_change.get(model)
    outdated = traced is not None and traced() is not None and traced() is model.train_function
    return outdated or fixed != {id(variable) for variable in model.trainable_variables}


def trainable_report(model, stages=None):
    """Say for each stage of a model what moves in it. Warns if the model must be compiled anew.

    Parameters
    ----------
    model : keras.Model
    stages : dict of str to str, optional
        Name of a stage → its last layer, from input to output, as in :class:`tl_helpers.models.Backbone`. What follows
        the last is called ``head``. By default the stages that the layers' names suggest.

    Returns
    -------
    pandas.DataFrame
        One row per stage with weights or live random layers, indexed by ``stage``: ``state`` (``"moves"``,
        ``"frozen"`` or ``"partly frozen"``), ``batch_norm`` (``"training"``, ``"frozen"``, ``"mixed"``, or ``""`` where
        there is none), ``random_layers`` (names of layers that draw random numbers in training), ``parameters``,
        ``trainable`` (how many of them) and ``share`` (of all the model's trainable parameters, 0…1).
        ``attrs["stale"]`` says whether the model must be compiled anew.
    """
    import keras
    import pandas

    names = {layer: stage_of(layer.name) for layer in leaves_of(model)}
    if stages is not None:
        names = dict.fromkeys(names, "head")
        for stage, last in reversed(stages.items()):
            names.update(dict.fromkeys(upstream_of(model, last), stage))
    frozen = _frozen_layers(model)
    groups = {}
    for layer, stage in names.items():
        groups.setdefault(stage, []).append(layer)
    rows = []
    for stage, layers in groups.items():
        weighted = [layer for layer in layers if layer.weights]
        norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
        live = [part.name for layer in layers for part in live_random_layers(layer)]
        if weighted or live:
            moving = [layer for layer in weighted if layer not in frozen]
            rows.append(
                {
                    "stage": stage,
                    "state": _either(moving, weighted, "moves", "frozen", "partly frozen"),
                    "batch_norm": _either(set(norms) - frozen, norms, "training", "frozen", "mixed"),
                    "random_layers": ", ".join(live),
                    "parameters": sum(layer.count_params() for layer in layers),
                    "trainable": sum(math.prod(weight.shape) for layer in moving for weight in _trainable(layer)),
                }
            )
    report = pandas.DataFrame(rows).set_index("stage")
    report["share"] = report["trainable"] / max(report["trainable"].sum(), 1)
    report.attrs["stale"] = is_stale(model)
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


def _trainable(layer):
    return [weight for weight in layer.weights if weight.trainable]


# ---------------------------------------------------------------- how fast


def discriminative_optimizer(model, learning_rate, factors, *, optimizer="adam"):
    """Make an optimizer that gives each stage of a model its own learning rate (Howard and Ruder 2018, section 3.2).

    The rate is scaled, not the gradient: under Adam a scaled gradient moves the weights just as far. It trains this
    model and no other: load a saved model without it (``keras.models.load_model(path, compile=False)``, since Keras
    saves what a model was compiled with in any case), and make it anew.

    Parameters
    ----------
    model : keras.Model
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        For a factor of 1.
    factors : dict of str to float, or float
        Stage (see :func:`tl_helpers.graph.layers_in`) → factor above 0; layers that no stage covers have 1. A number
        divides the rate once more for each stage away from the output, by the stages that the layers' names suggest:
        2.6 gives 1, .385, .148, .057, ….
    optimizer : str or keras.optimizers.Optimizer
        Kind of the optimizer; from an optimizer its settings are taken.

    Returns
    -------
    keras.optimizers.Optimizer
        ``keras.optimizers.MultiOptimizer`` from Keras 3.15, otherwise one of the kit's own that does the same.

    Raises
    ------
    ValueError
        If a stage matches no layer with weights, two stages match one layer, or a factor is not above 0.
    """
    import keras

    factor_of = _factor_by_layer(model, factors)
    template = keras.optimizers.get(optimizer)
    optimizers = {
        factor: type(template).from_config(template.get_config() | {"learning_rate": _scaled(learning_rate, factor)})
        for factor in {1.0, *factor_of.values()}
    }
    path_of = {}
    for layer, factor in factor_of.items():
        for weight in layer.weights:
            path_of[weight.path] = factor
    for layer in leaves_of(model):
        for weight in layer.weights:
            if path_of.get(weight.path, 1.0) != factor_of.get(layer, 1.0):
                raise ValueError(
                    f"Two weights are called {weight.path!r}, in stages with different factors, so Keras cannot tell "
                    f"them apart. Give the layers of {model.name!r} different names."
                )
    if hasattr(keras.optimizers, "MultiOptimizer"):
        patterns = {
            "|".join(re.escape(path) for path in path_of if path_of[path] == factor): optimizers[factor]
            for factor in dict.fromkeys(path_of.values())
        }
        return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(optimizers[1.0], patterns))
    return grouped_optimizer(optimizers, path_of)


def _factor_by_layer(model, factors):
    weighted = [layer for layer in leaves_of(model) if layer.weights]
    if not isinstance(factors, dict):
        stages = list(dict.fromkeys(stage_of(layer.name) for layer in weighted))
        power = {stage: distance for distance, stage in enumerate(reversed(stages))}
        if not factors > 0:
            raise ValueError(f"factors must be above 0, not {factors}.")
        return {layer: float(factors) ** -power[stage_of(layer.name)] for layer in weighted}
    factor_of, stage_for = {}, {}
    for stage, factor in factors.items():
        if not factor > 0:
            raise ValueError(f"The factor of stage {stage!r} must be above 0, not {factor}. To freeze it, use freeze.")
        inside = {leaf for found in layers_in(model, stage) for leaf in _leaves(found) if leaf.weights}
        if not inside:
            raise ValueError(f"Stage {stage!r} of {model.name!r} has no weights, so it has no learning rate.")
        for layer in inside:
            if layer in factor_of:
                raise ValueError(f"Stages {stage_for[layer]!r} and {stage!r} both cover layer {layer.name!r}.")
            factor_of[layer], stage_for[layer] = float(factor), stage
    return factor_of


def _leaves(layer):
    import keras

    if isinstance(layer, keras.Model):
        return leaves_of(layer)
    return [layer] if isinstance(layer, keras.Layer) else []


def _scaled(learning_rate, factor):
    """Multiply a learning rate, or all the rates that a schedule goes through, by a factor."""
    import keras

    if not isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return learning_rate * factor
    config = learning_rate.get_config()
    rates = [name for name in ("initial_learning_rate", "end_learning_rate", "warmup_target") if config.get(name)]
    if not rates:
        raise ValueError(f"A schedule of kind {type(learning_rate).__name__} cannot be scaled; give a number instead.")
    return type(learning_rate).from_config(config | {name: config[name] * factor for name in rates})


def grouped_optimizer(optimizers, factor_by_path):
    """Make what :func:`discriminative_optimizer` gives where Keras has no ``MultiOptimizer`` (before 3.15).

    Parameters
    ----------
    optimizers : dict of float to keras.optimizers.Optimizer
        Factor → optimizer; 1.0 is for weights without a factor.
    factor_by_path : dict of str to float
        ``variable.path`` → factor.

    Returns
    -------
    keras.optimizers.Optimizer
    """
    import keras

    class GroupedOptimizer(keras.optimizers.Optimizer):
        def __init__(self):
            super().__init__(learning_rate=0.0, name="grouped_optimizer")
            self.optimizers = list(optimizers.values())

        def _groups(self, variables, values):
            groups = {}
            for variable, value in zip(variables, values, strict=True):
                groups.setdefault(factor_by_path.get(variable.path, 1.0), []).append((variable, value))
            return [(optimizers[factor], *map(list, zip(*pairs, strict=True))) for factor, pairs in groups.items()]

        def build(self, variables):
            if not self.built:
                for optimizer, members, _ in self._groups(variables, variables):
                    optimizer.build(members)
                super().build(variables)

        def apply(self, grads, trainable_variables=None):
            variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
            self.build(variables)
            for optimizer, members, gradients in self._groups(variables, grads):
                optimizer.apply(gradients, members)
            self._iterations.assign_add(1)

    return GroupedOptimizer()
