"""How does one adapt without target labels? Make source and target look alike to the classifier.

For features there are closed forms: standardise each domain by itself, or give the source the target's covariance
(CORAL). For a network there are losses beside the classifier's: the difference of the covariances (Deep CORAL), or a
critic that must not be able to tell the domains apart (DANN). All of them align marginal distributions, and so all of
them can hurt where the classes are mixed otherwise in the target than in the source.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from sklearn.preprocessing import StandardScaler

from tl_helpers.arguments import check_finite
from tl_helpers.models.forward import in_full_precision
from tl_helpers.models.inputs import as_array, check_inputs
from tl_helpers.training.data import check_data
from tl_helpers.training.loop import check_run, draw_batches, fit_losses
from tl_helpers.training.update import resolve_loss

# ---------------------------------------------------------------- features


def standardise(features, like=None):
    """Shift and scale each feature to mean 0 and standard deviation 1 within its own domain.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, d)``.
    like : numpy.ndarray, optional
        ``(m, d)``: unlabelled features of the same domain, whose mean and deviation count. `features` by default.

    Returns
    -------
    numpy.ndarray
        ``(n, d)``. A feature that is constant in `like` is only shifted.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or a number is not finite.

    Notes
    -----
    Per-domain standardisation is nothing but this, once with the source's statistics and once with the target's::

        classifier = probe(standardise(source), labels)
        classifier.predict(standardise(target_test, like=target_unlabelled))
    """
    for name, array in (("features", features), ("like", like)):
        if array is not None:
            check_finite(np.asarray(array), name)
    return StandardScaler().fit(features if like is None else like).transform(features)


def coral(source, target, *, ridge=1.0):
    """Give the source's features the mean and covariance of the target's.

    Sun, Feng and Saenko 2016, algorithm 1: whiten with the source's covariance, colour again with the target's. They
    assume features of mean 0; here the source's mean is moved to the target's as well.

    Parameters
    ----------
    source, target : numpy.ndarray
        ``(n, d)`` and ``(m, d)``, at least two rows each; standardise them first if their scales differ much.
    ridge : float
        Added to the diagonal of both covariances, above 0 unless both have full rank. The paper's is 1.

    Returns
    -------
    numpy.ndarray
        ``(n, d)``: the source, aligned. Train on it, and use the classifier on the target as it is.

    Raises
    ------
    ValueError
        If the arrays do not fit each other or are not finite, or a covariance cannot be inverted.
    """
    source, target = np.asarray(source, "float64"), np.asarray(target, "float64")
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1] or min(len(source), len(target)) < 2:
        raise ValueError(
            f"source and target must be (n, d) and (m, d), at least two rows each; they are {source.shape} and "
            f"{target.shape}."
        )
    check_finite(source, "source")
    check_finite(target, "target")
    diagonal = ridge * np.eye(source.shape[1])
    whiten = _power(np.cov(source, rowvar=False) + diagonal, -0.5)
    colour = _power(np.cov(target, rowvar=False) + diagonal, 0.5)
    return (source - source.mean(axis=0)) @ whiten @ colour + target.mean(axis=0)


def _power(covariance, exponent):
    """Raise a symmetric positive matrix to a power."""
    values, vectors = np.linalg.eigh(covariance)
    if exponent < 0 and values[0] <= 1e-12 * max(values[-1], 1e-300):
        raise ValueError(
            "The source's covariance cannot be inverted: there are fewer examples than features, or features that "
            "depend on each other. Raise ridge."
        )
    return vectors * np.clip(values, 0, None) ** exponent @ vectors.T


# ---------------------------------------------------------------- losses and layers


def coral_loss(source, target):
    """Squared distance of two covariances, ‖C_S − C_T‖² / (4 d²) (Sun and Saenko 2016, equation 1).

    Parameters
    ----------
    source, target : tensor or numpy.ndarray
        Features ``(n, d)`` and ``(m, d)``, at least two rows each.

    Returns
    -------
    tensor
        Scalar, at least 0.
    """
    difference = _covariance(source) - _covariance(target)
    return ops.sum(ops.square(difference)) / (4 * source.shape[1] ** 2)


def _covariance(features):
    centred = features - ops.mean(features, axis=0, keepdims=True)
    return ops.transpose(centred) @ centred / (ops.cast(ops.shape(centred)[0], centred.dtype) - 1)


@keras.saving.register_keras_serializable("tl_helpers")
class GradientReversal(layers.Layer):
    """Hand inputs on unchanged, and their gradients back times −λ (Ganin et al. 2016, section 4.2).

    What lies above learns to lower its loss, what lies below to raise it.

    Parameters
    ----------
    strength : float
        λ at the start. It is a variable of the layer, not trained: ``layer.strength.assign(0.5)`` changes it.
    """

    def __init__(self, strength=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_strength = strength
        initializer = keras.initializers.Constant(strength)
        self.strength = self.add_weight(shape=(), initializer=initializer, trainable=False, name="strength")

    def call(self, inputs):
        strength = ops.cast(self.strength, inputs.dtype)

        @ops.custom_gradient
        def reverse(x):
            def gradient(*arguments, upstream=None):
                # Backends differ in how they hand over the gradient from above.
                return -strength * (arguments[0] if upstream is None else upstream)

            return x, gradient

        return reverse(inputs)

    def get_config(self):
        return {**super().get_config(), "strength": self.initial_strength}


def reversal_schedule(progress):
    """Strength λ of the reversal in the course of training: 2 / (1 + exp(−10 p)) − 1.

    Ganin et al. 2016, section 5.2.2.

    Parameters
    ----------
    progress : float or tensor
        p, 0…1.

    Returns
    -------
    float or tensor
        0 at the start, so that an untrained critic does no harm, and nearly 1 from the middle on.
    """
    return 2 / (1 + ops.exp(-10 * progress)) - 1


# ---------------------------------------------------------------- training


def fit_dann(
    model, source, target, *, learning_rate, updates, batch_size=32, seed, strength=1.0, units=64, layer="head_pool"
):
    """Train a classifier on labelled source images so that a critic cannot tell the domains apart by its features.

    Domain-adversarial training (Ganin et al. 2016): the critic, two dense layers behind a :class:`GradientReversal`,
    learns to tell source from target, and the reversed gradient makes the features useless for that. It is thrown away
    afterwards. λ follows :func:`reversal_schedule`. Adam with a learning rate that falls linearly to 0, as everywhere
    in the kit (the paper: SGD with momentum).

    Parameters
    ----------
    model : keras.Model
        From images as stored to logits. It is trained in place, from the weights it has; frozen layers stay frozen.
    source : Dataset or tuple of numpy.ndarray
        ``(x, y)``.
    target : Dataset or numpy.ndarray
        Images ``(n, h, w, c)``. Labels, if there are any, are not looked at.
    learning_rate : float
        Of the first update.
    updates : int
    batch_size : int
        Images of each domain per batch; fewer where a domain has fewer.
    seed : int
        Draws the batches, the critic's initial weights and the masks of dropout. At least 0.
    strength : float
        What λ rises to. 0 trains on the source alone.
    units : int
        Of the critic's hidden layer.
    layer : str
        Whose output the critic sees.

    Returns
    -------
    keras.Model
        `model`, trained.

    Raises
    ------
    ValueError
        If arguments or data do not fit each other.
    FloatingPointError
        If the loss stops being a finite number. The model's weights are then as before.
    """
    features = model.get_layer(layer).output
    inputs = keras.Input((int(np.prod(features.shape[1:])),))
    reversal = GradientReversal(0.0, dtype="float32")
    first, second = (keras.initializers.GlorotUniform(seed=10 * seed + number) for number in (5, 6))
    hidden = layers.Dense(units, activation="relu", kernel_initializer=first, dtype="float32")(reversal(inputs))
    critic = keras.Model(inputs, layers.Dense(1, kernel_initializer=second, dtype="float32")(hidden))

    def gap(source_features, target_features, progress):
        reversal.strength.assign(strength * reversal_schedule(progress))
        guesses = critic(ops.concatenate([source_features, target_features]), training=True)[:, 0]
        half = ops.shape(source_features)[0]
        is_target = ops.cast(ops.arange(2 * half) >= half, guesses.dtype)
        return keras.losses.binary_crossentropy(is_target, guesses, from_logits=True)

    how = _How(learning_rate, updates, batch_size, seed, "DANN")
    return _fit(model, source, target, features, gap, how, critic.trainable_variables)


def fit_coral(model, source, target, *, learning_rate, updates, batch_size=32, seed, weight=1.0, layer="head"):
    """Train a classifier on labelled source images so that its outputs vary alike in both domains (Deep CORAL).

    Sun and Saenko 2016, equation 6: cross-entropy on the source, plus `weight` times :func:`coral_loss` of the batch's
    two halves. Adam with a learning rate that falls linearly to 0, as everywhere in the kit (the paper: SGD).

    Parameters
    ----------
    model, source, target, learning_rate, updates, batch_size, seed
        As for :func:`fit_dann`.
    weight : float
        Of the CORAL loss. The paper chooses it so that both losses end about equal. 0 trains on the source alone.
    layer : str
        Whose outputs are aligned; in the paper, the logits.

    Returns
    -------
    keras.Model
        `model`, trained.

    Raises
    ------
    ValueError, FloatingPointError
        As :func:`fit_dann`.
    """

    def gap(source_features, target_features, progress):
        return weight * coral_loss(source_features, target_features)

    how = _How(learning_rate, updates, batch_size, seed, "CORAL")
    return _fit(model, source, target, model.get_layer(layer).output, gap, how)


class _How(NamedTuple):
    """How a classifier is trained."""

    learning_rate: float
    updates: int
    batch_size: int
    seed: int
    name: str


def _fit(model, source, target, features, gap, how, others=()):
    """Train a classifier on the source, with a second loss, of source features, target features and progress."""
    check_run(
        {"learning_rate": how.learning_rate},
        updates=(how.updates, 1),
        batch_size=(how.batch_size, 2),
        seed=(how.seed, 0),
    )
    x, y, _ = check_data(source, model, None, "source")
    unlabelled = as_array(getattr(target, "x", target), "target")
    if unlabelled.shape[1:] != x.shape[1:] or min(len(x), len(unlabelled)) < 2:
        raise ValueError(
            f"source and target must hold at least two images each, of one shape; they are {x.shape} and "
            f"{unlabelled.shape}."
        )
    check_inputs(unlabelled, model, "target")
    size = min(how.batch_size, len(x), len(unlabelled))
    rows = [
        draw_batches(len(part), how.updates, size, [how.seed, number]) for number, part in enumerate([x, unlabelled])
    ]
    rows = np.stack([rows[0], len(x) + rows[1]], axis=1)
    images, labels = tf.constant(np.concatenate([x, unlabelled])), tf.constant(y)
    both = keras.Model(model.input, [model.output, layers.Flatten(dtype=features.dtype)(features)])
    loss = resolve_loss(None, model)

    def losses_of(batch, done):
        outputs, seen = both(tf.gather(images, tf.reshape(batch, (-1,))), training=True)
        seen = in_full_precision(seen)
        distance = gap(seen[:size], seen[size:], ops.cast(done, "float32") / how.updates)
        return [loss(tf.gather(labels, batch[0]), outputs[:size]), distance]

    fit_losses(model, losses_of, rows, learning_rate=how.learning_rate, seed=how.seed, name=how.name, others=others)
    return model
