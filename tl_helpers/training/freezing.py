"""What moves? Freezing that holds, and thawing.

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

import warnings
import weakref

import keras

from tl_helpers.models.graph import leaves_of, upstream_of
from tl_helpers.training.stillness import (
    is_augmentation,
    is_silenced,
    is_to_be_stilled,
    live_random_layers,
    still,
    wake,
)

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
        kept = frozen_layers(model) & set(parts_of(upstream_of(model, after)))
    if not batch_norm:
        kept |= set(batch_norms_of(leaves_of(model)))
    freeze_exactly(model, kept)


def parts_of(layers):
    """List layers and everything inside them, at any depth.

    Parameters
    ----------
    layers : iterable of keras.Layer

    Returns
    -------
    list of keras.Layer
    """
    return [part for layer in layers for part in layer._flatten_layers()]


def batch_norms_of(layers):
    """List the BatchNorm layers among `layers`, and at any depth inside them.

    Parameters
    ----------
    layers : sequence of keras.Layer

    Returns
    -------
    list of keras.Layer
    """
    return [part for part in parts_of(layers) if isinstance(part, keras.layers.BatchNormalization)]


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
    for part in parts_of(leaves_of(model)):
        # Spatial dropout is saved without its `trainable`.
        if not part.trainable or id(part) in inside_frozen or is_silenced(part):
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
    before, leaves = _state(model), leaves_of(model)
    frozen = set(parts_of(layers))
    # Read first: setting a layer's `trainable` sets that of everything inside it.
    facts = {part: (part.trainable, _fixed_weights(part)) for part in parts_of(leaves)}
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
            wake(part)
            if part in frozen and is_to_be_stilled(leaf, part):
                still(part)
        for part in live_random_layers(leaf) if leaf in frozen else []:
            # Augmentation before a frozen network is meant to vary.
            if not is_augmentation(part):
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
    parts = parts_of(leaves_of(model))
    layers = {part for part in parts if part in frozen and part not in _frozen_here}
    weights = [weight for part in layers for weight in part.weights]
    return layers, weights + [weight for part in parts if part not in layers for weight in _fixed_weights(part)]


def _state(model):
    """What tracing fixes: which layers are trainable, and which of them draw random numbers."""
    parts = parts_of(leaves_of(model))
    return [(part.trainable, bool(live_random_layers(part))) for part in parts]


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
    for part in parts_of(leaves_of(model)):
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
    parts = parts_of(leaves_of(model))
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


# ---------------------------------------------------------------- after compiling


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
