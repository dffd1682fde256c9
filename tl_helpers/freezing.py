"""What moves? Which layers learn, and how fast: freezing that holds, thawing, and a report that tells.

Freezing here means that *nothing* of a layer changes while the rest trains: neither its weights, nor the moving
statistics of BatchNorm, nor its output for a given input. Keras's ``layer.trainable = False`` gives the first two. Its
often-taught ``base(x, training=False)`` gives none of them inside ``fit``, which passes ``training=True`` down to every
layer; and a frozen dropout layer goes on dropping. So :func:`freeze` sets the layers' own ``trainable`` and silences
their dropout. Everything is kept in standard layers' standard settings, so that it survives saving and loading.
"""

from __future__ import annotations

import weakref

from tl_helpers.graph import leaves_of, upstream_of

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
        elif not layer.trainable:
            frozen.add(layer)
    return frozen


def _set_frozen(model, frozen):
    before = _state(model)
    model.trainable = True
    for layer in leaves_of(model):
        layer.trainable = layer not in frozen
        for part in layer._flatten_layers():
            (_silence if layer in frozen else _restore)(part)
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


def _restore(layer):
    import keras

    for name in _strengths(layer):
        if isinstance(layer.seed, dict) and "silenced" in layer.seed:
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
    layer : keras.Layer
        A layer or model; the layers inside it are looked at too.

    Returns
    -------
    list of keras.Layer
    """
    import keras

    live = []
    for part in layer._flatten_layers():
        draws = any(isinstance(value, keras.random.SeedGenerator) for value in vars(part).values())
        strengths = _strengths(part)
        if any(getattr(part, name) > 0 for name in strengths) if strengths else draws:
            live.append(part)
    return live
