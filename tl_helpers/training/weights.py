"""What state does a network carry? Snapshots of it, fresh random weights, and its sources of random numbers."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
from keras import ops

from tl_helpers.models.graph import leaves_of


class Snapshot(list):
    """Copies of a model's variables, in the order of ``model.variables``, that remember where they are from.

    Parameters
    ----------
    model : keras.Model

    Attributes
    ----------
    variables : list of keras.Variable
    are_weights : list of bool
        Which of them are weights, and not the states of random numbers.
    """

    def __init__(self, model):
        weights = {id(variable) for variable in model.weights}
        self.variables = model.variables
        self.are_weights = [id(variable) in weights for variable in self.variables]
        super().__init__(variable.numpy().copy() for variable in self.variables)

    def changed(self):
        """List the variables that hold something else now."""
        pairs = zip(self.variables, self, strict=True)
        return [variable for variable, old in pairs if not np.array_equal(variable.numpy(), old, equal_nan=True)]


def snapshot(model):
    """Copy everything that training can change: weights, moving statistics, states of random numbers.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    Snapshot
        A list of numpy.ndarray, in the order of ``model.variables``.
    """
    return Snapshot(model)


def put_back(model, values):
    """Set a model's state to a snapshot, also if its layers have since gained or lost sources of random numbers.

    A dropout layer that is loaded with a rate of 0 has none, and gains one when it thaws: it keeps the one it has now.

    Parameters
    ----------
    model : keras.Model
    values : Snapshot or sequence of numpy.ndarray
        From :func:`snapshot`, of this model or of one built alike; or arrays in the order of ``model.variables`` or,
        for the weights alone, of ``model.weights``.

    Raises
    ------
    ValueError
        If the weights do not fit. The model is then as before.
    """
    targets, known = model.variables, {id(variable) for variable in model.variables}
    source = getattr(values, "variables", [])
    if any(id(variable) in known for variable in source):
        value_of = {id(variable): value for variable, value in zip(source, values, strict=True)}
        lost = [v.path for v, kept in zip(source, values.are_weights, strict=True) if kept and id(v) not in known]
        new = [v.path for v in model.weights if id(v) not in value_of]
        if lost or new:
            raise ValueError(
                f"The weights of {model.name!r} cannot be put back: since the snapshot was taken its layers have lost "
                f"{lost} and gained {new}. Take another one after such changes."
            )
        targets = [variable for variable in targets if id(variable) in value_of]
        values = [value_of[id(variable)] for variable in targets]
    elif len(values) != len(targets):
        targets = model.weights
        if source:
            values = [value for value, kept in zip(values, values.are_weights, strict=True) if kept]
    shapes = [tuple(variable.shape) for variable in targets], [tuple(np.shape(value)) for value in values]
    if shapes[0] != shapes[1]:
        raise ValueError(f"These {len(values)} arrays do not fit the {len(targets)} variables of {model.name!r}.")
    for variable, value in zip(targets, values, strict=True):
        variable.assign(value)


@contextlib.contextmanager
def restored(model, *, after=None):
    """Put a model's state back at the end of a ``with`` block.

    Parameters
    ----------
    model : keras.Model
    after : type, optional
        Kind of exception: only where the block is left by such a one. By default it is put back in any case.

    Yields
    ------
    Snapshot
        What is put back.
    """
    before = snapshot(model)
    try:
        yield before
    except BaseException as error:
        if after is None or isinstance(error, after):
            put_back(model, before)
        raise
    if after is None:
        put_back(model, before)


def not_finite(model):
    """Name the variables of a model that hold NaN or infinite values.

    A loss does not always tell: on some processors ReLU turns NaN into 0, so that a network of ruined weights goes on
    giving finite losses.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of str
        Paths of the variables; empty where all is well.
    """
    floats = [variable for variable in model.variables if "float" in variable.dtype]
    return [variable.path for variable in floats if not bool(ops.all(ops.isfinite(variable.value)))]


def seed_random_layers(model, seed):
    """Start the sources of random numbers in a model's layers anew, so that training depends on the seed alone.

    Parameters
    ----------
    model : keras.Model
    seed : int
        At least 0.
    """
    number = 0
    for layer in model._flatten_layers():
        for value in vars(layer).values():
            if isinstance(value, keras.random.SeedGenerator):
                value.state.assign([seed % 2**31, 1_000_003 * number])
                number += 1


def draw_new_weights(model, seed, *, keep=()):
    """Replace a model's weights by new random ones: what "from scratch" means.

    The weights of an adapted ``Normalization`` stay: they describe the input, and were not learned by training.

    Parameters
    ----------
    model : keras.Model
        Each layer's own initializers are used, with seeds drawn from `seed`.
    seed : int
        At least 0.
    keep : sequence of keras.Variable
        Weights that stay as they are.
    """
    kept = {id(weight) for weight in keep}
    drawn = iter(range(10**9))

    def with_seeds(config):
        if isinstance(config, dict):
            config = {key: with_seeds(value) for key, value in config.items()}
            if str(config.get("module", "")).endswith("initializers") and "seed" in config.get("config", {}):
                config["config"]["seed"] = int(np.random.default_rng([seed, next(drawn)]).integers(2**31))
            if "seed" in config and config["seed"] is None:
                config["seed"] = 0  # a dropout layer would draw one from Python's own random numbers
            return config
        return [with_seeds(value) for value in config] if isinstance(config, (list, tuple)) else config

    config = with_seeds(keras.saving.serialize_keras_object(model))
    # Functions and classes of the user's own, which Keras finds by name only where they are registered. What they
    # compute does not matter here: nothing but the weights is taken from the copy.
    fresh = keras.saving.deserialize_keras_object(config, custom_objects=_own_objects(model), safe_mode=False)
    kept |= {
        id(weight)
        for leaf in leaves_of(model)
        if isinstance(leaf, keras.layers.Normalization)
        for weight in leaf.weights
    }
    for old, new in paired_weights(model, fresh):
        if id(old) not in kept:
            old.assign(new)


def paired_weights(model, copy):
    """Pair the weights of a model with those of a copy of it, layer by layer at every depth.

    By name within a layer: one that got LoRA after it was built has its weights in another order than its copy.

    Parameters
    ----------
    model, copy : keras.Model

    Returns
    -------
    list of (keras.Variable, keras.Variable)
    """
    pairs = []
    for one, other in zip(leaves_of(model), leaves_of(copy), strict=True):
        for part, twin in zip(one._flatten_layers(), other._flatten_layers(), strict=True):
            own, theirs = ([*each._trainable_variables, *each._non_trainable_variables] for each in (part, twin))
            by_name = {weight.name: weight for weight in theirs}
            if set(by_name) == {weight.name for weight in own} and len(by_name) == len(own):
                theirs = [by_name[weight.name] for weight in own]
            pairs += zip(own, theirs, strict=True)
    return pairs


def _own_objects(model):
    """List the classes and functions that a model's layers are made of, by name."""
    found = {}
    for layer in model._flatten_layers():
        for thing in (type(layer), *vars(layer).values()):
            if callable(thing) and hasattr(thing, "__name__") and not (thing.__module__ or "").startswith("keras."):
                found[thing.__name__] = thing
    return found
