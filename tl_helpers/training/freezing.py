"""What moves? Which layers learn, and how fast: freezing that holds, thawing, and a report that tells.

Freezing here means that *nothing* of a layer changes while the rest trains: neither its weights, nor the moving
statistics of BatchNorm, nor its output for a given input. Keras's ``layer.trainable = False`` gives less: the layers
inside a layer may not hear of it, a frozen dropout layer goes on dropping, ``SpectralNormalization`` goes on dividing
its kernel. The often-taught ``base(x, training=False)`` gives none of it inside ``fit``, which passes ``training=True``
down to every layer. So :func:`freeze` sets the ``trainable`` of every layer at every depth, and has a frozen layer
called as in use, with ``training=False``, for as long as its ``trainable`` is False: Keras's own
``base.trainable = True`` undoes it all. (Not after ``keras.models.load_model``, ``clone_model`` or a deep copy, where
dropout stays silent until :func:`unfreeze` is called.)

``model.save`` keeps most of this; what it forgets, and what ``keras.models.clone_model`` forgets, is written in
:mod:`tl_helpers.training.saving`.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import warnings
import weakref

from tl_helpers.grid.networks import is_graph
from tl_helpers.models.graph import layers_in, leaves_in, leaves_of, stage_of, upstream_of
from tl_helpers.training.weights import put_back, snapshot

# Functions that Keras traced before `freeze` or `unfreeze` changed something which tracing had fixed.
_traced_before_change = weakref.WeakKeyDictionary()
# Layers frozen here and not by hand → those of their weights that had been fixed one by one before.
_frozen_here = weakref.WeakKeyDictionary()


def freeze(model, *, upto=None):
    """Freeze a model, or the part of it up to a stage, in place. What was frozen before stays frozen.

    Compile the model afterwards: Keras fixes what moves when it first trains, and does not notice a later change.
    ``trainable`` of a model, and of each model nested in it, is False where everything in it is frozen, as if
    ``base.trainable = False`` had been said; ``base.trainable = True`` thaws it. (A base whose layers another model
    shares, ``keras.Model(base.input, head(base.output))``, is no layer of that model: say ``freeze(base)``.)

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
    freeze_exactly(model, frozen_layers(model) | set(chosen))


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
    freeze_exactly(model, set(leaves_of(model)) - set(head_layers(model, prefix)))


def head_layers(model, prefix="head"):
    """List the layers of a model's head.

    Parameters
    ----------
    model : keras.Model
    prefix : str
        How their names begin.

    Returns
    -------
    list of keras.Layer

    Raises
    ------
    ValueError
        If none of them has weights.
    """
    head = [layer for layer in leaves_of(model) if layer.name.startswith(prefix)]
    if not any(layer.weights for layer in head):
        raise ValueError(
            f"{model.name!r} has no layer with weights whose name starts with {prefix!r}, so nothing would be trained. "
            f"Name the layers of the head so, or use tl_helpers.models.add_class_head."
        )
    return head


def unfreeze(model, *, after=None, batch_norm=True):
    """Let a model, or the part of it after a stage, move again, in place; dropout there drops again.

    ``freeze(model); unfreeze(model, after="conv2")`` is the same as ``unfreeze(model); freeze(model, upto="conv2")``.
    Compile the model afterwards. Single weights that were fixed by ``layer.kernel.trainable = False`` stay fixed, and
    so does a kernel to which ``enable_lora`` has put a trainable difference.

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
    kept = set()
    if after is not None:
        kept = frozen_layers(model) & {part for leaf in upstream_of(model, after) for part in leaf._flatten_layers()}
    if not batch_norm:
        kept |= set(batch_norms_of(leaves_of(model)))
    freeze_exactly(model, kept)


def batch_norms_of(layers):
    """List the BatchNorm layers among `layers`, and at any depth inside them.

    Parameters
    ----------
    layers : sequence of keras.Layer

    Returns
    -------
    list of keras.Layer
    """
    import keras

    parts = [part for layer in layers for part in layer._flatten_layers()]
    return [part for part in parts if isinstance(part, keras.layers.BatchNormalization)]


def frozen_layers(model):
    """Collect the layers that are frozen, by themselves or through a layer or model around them.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    set of keras.Layer
        Those that :func:`tl_helpers.models.graph.leaves_of` lists, and the layers inside them.
    """
    frozen = set()
    inside_frozen = {
        id(part)
        for outer in model._flatten_layers()
        if not outer.trainable
        for part in outer._flatten_layers(include_self=False)
    }
    for leaf in leaves_of(model):
        for part in leaf._flatten_layers():
            # Spatial dropout is saved without its `trainable`.
            if not part.trainable or id(part) in inside_frozen or _is_silenced(part):
                frozen.add(part)
    return frozen


def freeze_exactly(model, layers):
    """Freeze these layers of a model, with all that is inside them, and let all others move, in place.

    Parameters
    ----------
    model : keras.Model
    layers : set of keras.Layer
        As :func:`tl_helpers.models.graph.leaves_of` lists them, or from inside those.
    """
    import keras

    before, leaves = _state(model), leaves_of(model)
    frozen = {part for layer in layers for part in layer._flatten_layers()}
    # Read first: setting a layer's `trainable` sets that of everything inside it.
    facts = {part: (part.trainable, _fixed_weights(part)) for leaf in leaves for part in leaf._flatten_layers()}
    for outer in [model, *(layer for layer in model._flatten_layers() if layer not in facts)]:
        inside = [part for part in outer._flatten_layers() if part in facts]
        _set_trainable(outer, not all(part in frozen for part in inside) if inside else outer.trainable)
    for part, (moved, fixed) in facts.items():
        _set_trainable(part, part not in frozen)
        for weight in fixed:
            weight.trainable = False
        if part not in frozen:
            _frozen_here.pop(part, None)
        elif moved:
            _frozen_here[part] = fixed
    for leaf in leaves:
        for part in leaf._flatten_layers():
            _wake(part)
            if part in frozen and _is_to_be_stilled(leaf, part):
                _still(part)
        for part in live_random_layers(leaf) if leaf in frozen else []:
            # Augmentation before a frozen network is meant to vary.
            if not _is_augmentation(part):
                warnings.warn(
                    f"Layer {part.name!r} ({type(part).__name__}) is frozen but goes on drawing random numbers in "
                    f"training: its `call` has no argument `training` by which it could be told not to.",
                    stacklevel=3,
                )
    if isinstance(model, keras.Model) and _state(model) != before and model.train_function is not None:
        _traced_before_change[model] = weakref.ref(model.train_function)


def _set_trainable(layer, value):
    # Not `layer.trainable = value`: Keras ignores that where the value is there already, whatever stands inside.
    type(layer).trainable.fset(layer, value)


def _fixed_weights(layer):
    """List a layer's own weights that stand still although the layer moves, or will when it is thawed."""
    fixed = list(_frozen_here.get(layer, []))
    if layer.trainable:
        fixed = [weight for weight in layer._trainable_variables if not weight.trainable]
    if getattr(layer, "lora_enabled", False):
        fixed += [getattr(layer, name) for name in ("_kernel", "_embeddings") if hasattr(layer, name)]
    return fixed


def fixed_by_hand(model):
    """Collect what the user has fixed in a model, and not this module: ``layer.trainable = False`` and the like.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    layers : set of keras.Layer
        At any depth, with weights or without.
    weights : list of keras.Variable
        All that is fixed: those layers' weights, and single ones (``layer.kernel.trainable = False``, a kernel with
        LoRA).
    """
    frozen = frozen_layers(model)
    parts = [part for leaf in leaves_of(model) for part in leaf._flatten_layers()]
    layers = {part for part in parts if part in frozen and part not in _frozen_here}
    weights = [weight for part in layers for weight in part.weights]
    return layers, weights + [weight for part in parts if part not in layers for weight in _fixed_weights(part)]


def _state(model):
    """What tracing fixes: which layers are trainable, and which of them draw random numbers."""
    parts = [part for leaf in leaves_of(model) for part in leaf._flatten_layers()]
    return [(part.trainable, bool(live_random_layers(part))) for part in parts]


# ---------------------------------------------------------------- called as in use while frozen


def _is_augmentation(layer):
    return type(layer).__module__.startswith("keras.src.layers.preprocessing")


def _is_plain_batch_norm(layer):
    """Tell whether a layer is a BatchNorm that computes as Keras's own does."""
    import keras

    norm = keras.layers.BatchNormalization
    return isinstance(layer, norm) and type(layer).call is norm.call


def _is_to_be_stilled(leaf, part):
    """Tell whether a frozen layer must be told that it is not in training.

    Keras's BatchNorm knows by itself. A layer without weights that is not one of Keras's kinds of dropout may be
    somebody's own augmentation, which is meant to vary before a frozen network.
    """
    if is_graph(part) or _is_plain_batch_norm(part) or _is_augmentation(part):
        return False
    told = any(argument.name == "training" for argument in _call_arguments(part))
    return told and (bool(leaf.weights) or _draws(part))


def _call_arguments(layer):
    return list(inspect.signature(type(layer).call).parameters.values())[1:]


def _still(layer):
    """Have a layer called with ``training=False`` for as long as it is not trainable, and saved accordingly."""
    named = [argument.name for argument in _call_arguments(layer) if argument.kind == argument.POSITIONAL_OR_KEYWORD]
    place = named.index("training") if "training" in named else math.inf
    method, describe = type(layer).call, type(layer).get_config

    @functools.wraps(method)
    def call(*args, **kwargs):
        if not layer.trainable and len(args) > place:
            args = (*args[:place], False, *args[place + 1 :])
        elif not layer.trainable:
            kwargs["training"] = False
        return method(layer, *args, **kwargs)

    @functools.wraps(describe)
    def get_config():
        # A file that Keras loads by itself holds dropout of rate 0, and the old rate in `seed`, which rate 0 ignores.
        config = describe(layer)
        for name in _strengths(layer) if not layer.trainable else []:
            if getattr(layer, name) > 0 and {name.strip("_"), "seed"} <= set(config):
                config |= {name.strip("_"): 0.0, "seed": {"silenced": getattr(layer, name), "seed": layer.seed}}
        return config

    for name, function in (("call", call), ("get_config", get_config)):
        function.of_freezing = True
        object.__setattr__(layer, name, function)  # on the instance, past Keras's own bookkeeping of attributes


def _is_stilled(layer):
    return hasattr(vars(layer).get("call"), "of_freezing") and not layer.trainable


def _wake(layer):
    """Undo :func:`_still`, in a layer loaded from a file too."""
    import keras

    for name in ("call", "get_config"):
        if hasattr(vars(layer).get(name), "of_freezing"):
            object.__delattr__(layer, name)
    for name in _strengths(layer):
        if _is_silenced(layer):
            setattr(layer, name, layer.seed["silenced"])
            layer.seed = layer.seed["seed"]
            if name in ("rate", "stddev") and not hasattr(layer, "seed_generator"):
                # A layer loaded with rate 0 came without its source of random numbers, and is closed to additions.
                layer._tracker.unlock()
                layer.seed_generator = keras.random.SeedGenerator(layer.seed)
                layer._tracker.lock()


def _is_silenced(layer):
    return isinstance(getattr(layer, "seed", None), dict) and "silenced" in layer.seed


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


def _draws(layer):
    """Tell whether a layer, by itself, has a source of random numbers that it uses."""
    import keras

    strengths = _strengths(layer)
    if hasattr(layer, "recurrent_dropout") and not isinstance(layer, keras.layers.RNN):
        # A recurrent cell has a source of random numbers even where it drops nothing.
        strengths = ["dropout", "recurrent_dropout"]
    if strengths:
        return any(getattr(layer, name) > 0 for name in strengths)
    return any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())


def live_random_layers(layer):
    """List the layers that draw random numbers in training: dropout with a rate above 0, noise, augmentation.

    Parameters
    ----------
    layer : keras.Layer or keras.Operation
        A layer or model; the layers inside it are looked at too.

    Returns
    -------
    list of keras.Layer
        Without those that :func:`freeze` has stilled. A layer of one's own that draws from elsewhere than a
        ``keras.random.SeedGenerator`` is not recognised.
    """
    import keras

    if not isinstance(layer, keras.Layer):
        return []
    # What is called by a stilled layer is not in training either.
    quiet = {id(part) for outer in layer._flatten_layers() if _is_stilled(outer) for part in outer._flatten_layers()}
    return [part for part in layer._flatten_layers() if id(part) not in quiet and _draws(part)]


# ---------------------------------------------------------------- as data


def freezing_of(model):
    """Write down what is frozen in a model, as plain data.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of dict
        One for each layer at each depth, in an order that a copy of the model has too: ``kind`` (name of its class),
        ``frozen``, ``by_hand`` (frozen, and not by this module) and ``fixed`` (place and name of each of its own
        weights that is fixed by itself). Ready for JSON.
    """
    frozen, records = frozen_layers(model), []
    for leaf in leaves_of(model):
        for part in leaf._flatten_layers():
            record = {"kind": type(part).__name__, "frozen": part in frozen}
            record["by_hand"] = part in frozen and part not in _frozen_here
            fixed = {id(weight) for weight in _fixed_weights(part)}
            own = enumerate(part._trainable_variables)
            record["fixed"] = [[place, weight.name] for place, weight in own if id(weight) in fixed]
            records.append(record)
    return records


def freeze_as(model, records):
    """Freeze a model as another one was, in place: its copy, or what was loaded from its file.

    Parameters
    ----------
    model : keras.Model
    records : list of dict
        From :func:`freezing_of`.

    Raises
    ------
    ValueError
        If the model's layers are of other kinds.
    """
    parts = [part for leaf in leaves_of(model) for part in leaf._flatten_layers()]
    kinds, expected = [type(part).__name__ for part in parts], [record["kind"] for record in records]
    if kinds != expected:
        raise ValueError(
            f"{model.name!r} has other layers than the model whose freezing was written down: {len(kinds)} against "
            f"{len(expected)}. Freeze it anew with tl_helpers.training.freeze."
        )
    pairs = list(zip(parts, records, strict=True))
    freeze_exactly(model, {part for part, record in pairs if record["frozen"]})
    for part, record in pairs:
        # By name, where LoRA has changed the order; by place, where Keras has numbered what had no name.
        own = part._trainable_variables
        named = {weight.name: weight for weight in own}
        fixed = [named[name] if name in named else own[place] for place, name in record["fixed"]]
        for weight in fixed:
            weight.trainable = False
        _frozen_here.pop(part, None)
        if record["frozen"] and not record["by_hand"]:
            _frozen_here[part] = fixed


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
        Of a BatchNorm without scale and centre, which has nothing for an optimizer to hold, True also where its
        ``trainable`` was changed by hand between compiling and the first training; before Keras 3.15, which does not
        note it, never by that alone.
    """
    import keras

    if not model.compiled or model.optimizer is None or not model.optimizer.built:
        return False
    fixed = {id(variable) for variable in model.optimizer._trainable_variables}
    traced = _traced_before_change.get(model)
    outdated = traced is not None and traced() is not None and traced() is model.train_function
    compiled = getattr(model, "_compiled_trainable_state", {})
    unseen = [
        part
        for part in model._flatten_layers()
        if isinstance(part, keras.layers.BatchNormalization) and not part._trainable_variables
    ]
    changed = any(compiled.get(part, part.trainable) != part.trainable for part in unseen)
    return outdated or changed or fixed != {id(variable) for variable in model.trainable_variables}


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
    import keras

    changing, unknown = [], []
    for part in model._flatten_layers():
        if _is_plain_batch_norm(part):
            changing += [part.moving_mean, part.moving_variance] if part.trainable and part.built else []
        elif isinstance(part, keras.layers.SpectralNormalization):
            changing += [part.vector_u, part.kernel] if part.built and not _is_stilled(part) else []
        elif isinstance(part, keras.layers.RNN):
            changing += keras.tree.flatten(part.states) if part.stateful and part.states else []
        elif not type(part).__module__.startswith("keras."):
            unknown += part.weights
    if unknown and getattr(model, "inputs", None):
        changing += _found_changing(model, unknown)
    return list({id(variable): variable for variable in changing if variable is not None}.values())


def _found_changing(model, unknown):
    """Run a model once, and list the weights that this has changed; where it cannot be run, all that might."""
    import keras
    import numpy as np

    def made_up(tensor):
        shape = [tensor.shape[0] or 2, *(size or 8 for size in tensor.shape[1:])]
        numbers = np.random.default_rng(0).uniform(0, 1, shape)
        return keras.ops.cast(numbers, tensor.dtype)

    before = snapshot(model)
    try:
        given = getattr(model, "_inputs_struct", None)
        model(keras.tree.map_structure(made_up, model.inputs[0] if given is None else given), training=True)
        weights = {id(weight) for weight in model.weights}
        pairs = zip(model.variables, before, strict=True)
        return [v for v, old in pairs if id(v) in weights and not np.array_equal(v.numpy(), old, equal_nan=True)]
    except Exception:  # inputs of a size that the network does not take, for one
        return [weight for weight in unknown if not weight.trainable]
    finally:
        put_back(model, before)


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
    import pandas

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
        parts = {part for layer in layers for part in layer._flatten_layers()}
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
            f"itself. freeze from tl_helpers.freezing holds it where its `call` has an argument `training`.",
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


# ---------------------------------------------------------------- how fast


def discriminative_optimizer(model, learning_rate, factors, *, optimizer="adam"):
    """Make an optimizer that gives each stage of a model its own learning rate (Howard and Ruder 2018, section 3.2).

    The rate is scaled, not the gradient: under Adam a scaled gradient moves the weights just as far. All else is as in
    one optimizer: the gradients of all stages are clipped together, and a change of ``optimizer.learning_rate``, by a
    callback such as ``keras.callbacks.LearningRateScheduler`` or by hand, changes the rates of all stages in
    proportion. It trains this model and no other: load a saved model without it
    (``keras.models.load_model(path, compile=False)``, since Keras saves what a model was compiled with in any case),
    and make it anew.

    Parameters
    ----------
    model : keras.Model
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        For a factor of 1.
    factors : dict of str to float, or float
        Stage (see :func:`tl_helpers.models.graph.layers_in`) → factor above 0; layers that no stage covers have 1. A
        number divides the rate once more for each stage away from the output, by the stages that the layers' names
        suggest: 2.6 gives 1, .385, .148, .057, ….
    optimizer : str or keras.optimizers.Optimizer
        Kind of the optimizer; from an optimizer its settings are taken, and what it excludes from weight decay.

    Returns
    -------
    keras.optimizers.Optimizer
        Of a class derived from that of `optimizer`.

    Raises
    ------
    ValueError
        If a stage matches no layer with weights, two stages match one layer, a factor is not above 0, or the optimizer
        only hands its work on to others. Also in its first update, if that is of another model.
    """
    import keras

    factor_of = _factor_by_layer(model, factors)
    template = keras.optimizers.get(optimizer)
    kind = getattr(type(template), "without_factors", type(template))
    if kind.update_step is keras.optimizers.Optimizer.update_step:
        raise ValueError(
            f"{kind.__name__} hands its updates on to other optimizers, so it has no learning rate to scale. Give the "
            f"optimizer that does the work, such as keras.optimizers.Adam(); `compile` scales the loss by itself where "
            f"a model needs that."
        )
    factor_by_variable = [(weight, 1.0) for weight in model.variables]
    for layer, factor in factor_of.items():
        factor_by_variable += [(weight, factor) for weight in layer.variables]
    rate = float(learning_rate) if isinstance(learning_rate, numbers.Real) else learning_rate
    made = _with_factors(kind, factor_by_variable, model.name).from_config(
        template.get_config() | {"learning_rate": rate}
    )
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(template, name):  # no setting, so that `get_config` does not give it
            setattr(made, name, getattr(template, name))
    return made


def _with_factors(kind, factor_by_variable, model_name):
    """Derive a kind of optimizer that multiplies the learning rate of each variable by a factor.

    Parameters
    ----------
    kind : type
        Subclass of ``keras.optimizers.Optimizer``.
    factor_by_variable : list of (keras.Variable, float)
        Of a variable's pairs the last counts.
    model_name : str

    Returns
    -------
    type
    """
    # With the variables themselves, so that no other one ever gets the identity of one of them.
    factor_of = {id(variable): (factor, variable) for variable, factor in factor_by_variable}

    class Discriminative(kind):
        without_factors = kind
        _scale = 1.0

        def build(self, variables):
            unknown = [variable.path for variable in variables if id(variable) not in factor_of]
            if unknown:
                raise ValueError(
                    f"This optimizer has the learning rates of {model_name!r} as it was when the optimizer was made; "
                    f"it knows none for {unknown[0]!r}. Make another with discriminative_optimizer."
                )
            super().build(variables)

        def _factor(self, variable):
            return factor_of[id(self._trainable_variables[self._get_variable_index(variable)])][0]

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * self._factor(variable))

        def _apply_weight_decay(self, variables):
            # It shrinks weights by a share of the learning rate, and takes that from the optimizer itself.
            for variable in variables:
                self._scale = self._factor(variable)
                super()._apply_weight_decay([variable])
                self._scale = 1.0

        def _get_current_learning_rate(self):
            rate = super()._get_current_learning_rate()
            return rate if self._scale == 1 else rate * self._scale

        def get_config(self):
            # Keras shows this when it cannot load the optimizer with a model.
            hint = "keras.models.load_model(path, compile=False), then discriminative_optimizer"
            return {**super().get_config(), "load_with": hint}

        @classmethod
        def from_config(cls, config, custom_objects=None):
            settings = {name: value for name, value in config.items() if name != "load_with"}
            return super().from_config(settings, custom_objects)

    Discriminative.__name__ = Discriminative.__qualname__ = f"Discriminative{kind.__name__}"
    return Discriminative


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
        inside = {leaf for found in layers_in(model, stage) for leaf in leaves_in(found) if leaf.weights}
        if not inside:
            raise ValueError(f"Stage {stage!r} of {model.name!r} has no weights, so it has no learning rate.")
        for layer in inside:
            if layer in factor_of:
                raise ValueError(f"Stages {stage_for[layer]!r} and {stage!r} both cover layer {layer.name!r}.")
            factor_of[layer], stage_for[layer] = float(factor), stage
    return factor_of
