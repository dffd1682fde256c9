"""What state does a network carry? Snapshots of it, fresh random weights, and its sources of random numbers."""

from __future__ import annotations

import numpy as np

from tl_helpers.graph import leaves_of


def snapshot(model):
    """Copy everything that training can change: weights, moving statistics, states of random numbers.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of numpy.ndarray
        In the order of ``model.variables``.
    """
    return [variable.numpy().copy() for variable in model.variables]


def put_back(model, values):
    """Set a model's state to a snapshot.

    Parameters
    ----------
    model : keras.Model
    values : list of numpy.ndarray
        From :func:`snapshot`.
    """
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def seed_random_layers(model, seed):
    """Start the sources of random numbers in a model's layers anew, so that training depends on the seed alone.

    Parameters
    ----------
    model : keras.Model
    seed : int
        At least 0.
    """
    import keras

    number = 0
    for layer in model._flatten_layers():
        for value in vars(layer).values():
            if isinstance(value, keras.random.SeedGenerator):
                value.state.assign([seed % 2**31, 1_000_003 * number])
                number += 1


def draw_new_weights(model, seed):
    """Replace a model's weights by new random ones: what "from scratch" means.

    The weights of an adapted ``Normalization`` stay: they describe the input, and were not learned by training.

    Parameters
    ----------
    model : keras.Model
        Each layer's own initializers are used, with seeds drawn from `seed`.
    seed : int
        At least 0.
    """
    import keras

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

    fresh = type(model).from_config(with_seeds(model.get_config()))
    for old, new in zip(leaves_of(model), leaves_of(fresh), strict=True):
        if not isinstance(old, keras.layers.Normalization):
            old.set_weights(new.get_weights())
