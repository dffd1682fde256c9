"""How does a frozen layer keep still? It is called as in use, and draws no random numbers, while it is frozen."""

from __future__ import annotations

import functools
import inspect
import math

import keras
from keras import layers

from tl_helpers.grid.networks import is_graph


def is_augmentation(layer):
    """Tell whether a layer is one of Keras's that vary images.

    Parameters
    ----------
    layer : keras.Layer

    Returns
    -------
    bool
    """
    return type(layer).__module__.startswith("keras.src.layers.preprocessing")


def is_plain_batch_norm(layer):
    """Tell whether a layer is a BatchNorm that computes as Keras's own does.

    Parameters
    ----------
    layer : keras.Layer

    Returns
    -------
    bool
    """
    norm = keras.layers.BatchNormalization
    return isinstance(layer, norm) and type(layer).call is norm.call


def is_to_be_stilled(leaf, part):
    """Tell whether a frozen layer must be told that it is not in training.

    Keras's BatchNorm knows by itself. A layer without weights that is not one of Keras's kinds of dropout may be
    somebody's own augmentation, which is meant to vary before a frozen network.

    Parameters
    ----------
    leaf : keras.Layer
        The layer that is frozen.
    part : keras.Layer
        It, or a layer inside it.

    Returns
    -------
    bool
    """
    if is_graph(part) or is_plain_batch_norm(part) or is_augmentation(part):
        return False
    told = any(argument.name == "training" for argument in _call_arguments(part))
    return told and (bool(leaf.weights) or _draws(part))


def _call_arguments(layer):
    return list(inspect.signature(type(layer).call).parameters.values())[1:]


def still(layer):
    """Have a layer called with ``training=False`` for as long as it is not trainable, and saved accordingly.

    Parameters
    ----------
    layer : keras.Layer
        It is changed in place; :func:`wake` undoes it.
    """
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


def is_stilled(layer):
    """Tell whether a layer is frozen and called as in use.

    Parameters
    ----------
    layer : keras.Layer

    Returns
    -------
    bool
    """
    return hasattr(vars(layer).get("call"), "of_freezing") and not layer.trainable


def wake(layer):
    """Undo :func:`still`, in a layer loaded from a file too.

    Parameters
    ----------
    layer : keras.Layer
        It is changed in place.
    """
    for name in ("call", "get_config"):
        if hasattr(vars(layer).get(name), "of_freezing"):
            object.__delattr__(layer, name)
    for name in _strengths(layer):
        if is_silenced(layer):
            setattr(layer, name, layer.seed["silenced"])
            layer.seed = layer.seed["seed"]
            if name in ("rate", "stddev") and not hasattr(layer, "seed_generator"):
                # A layer loaded with rate 0 came without its source of random numbers, and is closed to additions.
                layer._tracker.unlock()
                layer.seed_generator = keras.random.SeedGenerator(layer.seed)
                layer._tracker.lock()


def is_silenced(layer):
    """Tell whether a layer comes from a file in which it was frozen, with its dropout set to 0.

    Parameters
    ----------
    layer : keras.Layer

    Returns
    -------
    bool
    """
    return isinstance(getattr(layer, "seed", None), dict) and "silenced" in layer.seed


def _strengths(layer):
    """Return the names of the attributes that say how strongly a layer disturbs its input in training."""
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
        Without those that freezing has stilled. A layer of one's own that draws from elsewhere than a
        ``keras.random.SeedGenerator`` is not recognised.
    """
    if not isinstance(layer, keras.Layer):
        return []
    # What is called by a stilled layer is not in training either.
    quiet = {id(part) for outer in layer._flatten_layers() if is_stilled(outer) for part in outer._flatten_layers()}
    return [part for part in layer._flatten_layers() if id(part) not in quiet and _draws(part)]
