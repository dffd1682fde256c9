"""How is a network stepped, without overhead? The loops under ``fit_transfer``, on arrays in memory.

Keras's ``fit`` spends most of its time around the work when the network is small. These loops do the same arithmetic
in the same order (the weights come out equal to ``fit``'s, bit for bit, on a CPU) with many updates per call.
"""

from __future__ import annotations

import time

import numpy as np

from tl_helpers.models.forward import HALF_PRECISION
from tl_helpers.progress import progress_bar
from tl_helpers.training.losses import default_loss
from tl_helpers.training.weights import not_finite, put_back, snapshot

# Seconds of work between two looks at the clock, the keyboard's interrupt and the progress bar.
_CHUNK_SECONDS = 0.25


def draw_batches(n, updates, batch_size, seed):
    """Draw the rows of every batch: one shuffle of all rows after another, cut into batches.

    Parameters
    ----------
    n : int
        Number of examples.
    updates : int
        Number of batches.
    batch_size : int
        Examples per batch; `n` where that is smaller. Batches are all full: one may reach from one shuffle into the
        next.
    seed : int or sequence of int

    Returns
    -------
    numpy.ndarray
        ``int32``, shape ``(updates, batch_size)``.
    """
    generator = np.random.default_rng(seed)
    size = min(batch_size, n)
    shuffles = -(-updates * size // n)
    rows = np.concatenate([generator.permutation(n) for _ in range(shuffles)])[: updates * size]
    return rows.reshape(updates, size).astype("int32")


def resolve_loss(loss=None, model=None):
    """Turn what Keras accepts as a loss into a function of targets and outputs, as ``compile`` does.

    Shapes such as ``(n,)`` and ``(n, 1)``, number types and names come out as in ``fit``, because Keras does it: the
    loss is compiled into a model of its own, without layers, so that no penalty on weights is counted here.

    Parameters
    ----------
    loss : keras.losses.Loss, str or callable, optional
        None is cross-entropy of class indices.
    model : keras.Model, optional
        Whose last activation tells whether that cross-entropy takes logits or probabilities; logits without it.

    Returns
    -------
    callable
        From targets, outputs and, optionally, weights ``(n,)`` to the batch's loss.
    """
    import keras

    if loss is None and model is not None:
        loss = default_loss(model)
    elif loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    carrier = keras.Model(name="loss")
    carrier.compile(optimizer=None, loss=loss, jit_compile=False)

    def compute(target, output, weights=None):
        return carrier.compute_loss(y=target, y_pred=output, sample_weight=weights)

    return compute


def with_loss_scaling(model, optimizer):
    """Wrap an optimizer, where a network computes in float16, so that small gradients do not become 0.

    As ``compile`` does where the whole network has the dtype policy ``"mixed_float16"``; here a single layer that
    computes in float16 is enough. The loss has to be passed through ``optimizer.scale_loss`` under the gradient tape.

    Parameters
    ----------
    model : keras.Model
    optimizer : keras.optimizers.Optimizer

    Returns
    -------
    keras.optimizers.Optimizer
        `optimizer` itself where nothing is to be done.

    Raises
    ------
    ValueError
        If weights that are to be trained are themselves in half precision: most of what an update adds is lost there.
    """
    import keras

    for weight in model.trainable_variables:
        if weight.dtype in HALF_PRECISION:
            raise ValueError(
                f"The weights {weight.path!r} of {model.name!r} are in {weight.dtype}, too coarse for what one update "
                f"adds to them. Build the layer with the dtype policy 'mixed_{weight.dtype}', which computes in "
                f"{weight.dtype} and keeps the weights in float32, or freeze it."
            )
    if any(layer.compute_dtype == "float16" for layer in model._flatten_layers(include_self=False)):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_steps(model, x, y, loss, optimizer, batch_size, weights=None):
    """Build the function that trains a model on given batches.

    Parameters
    ----------
    model : keras.Model
    x, y : numpy.ndarray
        ``(n, …)``.
    loss : callable
        From :func:`resolve_loss`.
    optimizer : keras.optimizers.Optimizer
        A fresh one.
    batch_size : int
        Rows per batch.
    weights : numpy.ndarray, optional
        ``(n,)`` or ``(n, 1)``: how much each example counts, as ``sample_weight`` in ``fit``.

    Returns
    -------
    callable
        From rows ``(k, batch_size)`` to the losses ``(k,)`` of those batches, each before its update.
    """
    import tensorflow as tf

    variables = model.trainable_variables
    optimizer = with_loss_scaling(model, optimizer)
    optimizer.build(variables)
    x, y = tf.constant(x), tf.constant(y)
    weights = None if weights is None else tf.constant(weights)

    def update(batch):
        weight = None if weights is None else tf.gather(weights, batch)
        with tf.GradientTape() as tape:
            value = loss(tf.gather(y, batch), model(tf.gather(x, batch), training=True), weight)
            for extra in model.losses:
                value += tf.cast(tf.reduce_sum(extra), value.dtype)
            scaled = optimizer.scale_loss(value)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return value

    return repeat_update(update, (batch_size,))


def repeat_update(update, shape):
    """Build the function that makes one update after another, many per call.

    Parameters
    ----------
    update : callable
        From the rows of one batch, an integer tensor of `shape`, to its loss, a scalar tensor. It changes the model.
    shape : tuple of int

    Returns
    -------
    callable
        From rows ``(k, *shape)`` to the losses ``(k,)``.
    """
    import tensorflow as tf

    def steps(rows):
        count = tf.shape(rows)[0]
        _, losses = tf.while_loop(
            lambda number, _: number < count,
            lambda number, losses: (number + 1, losses.write(number, tf.cast(update(rows[number]), "float64"))),
            (0, tf.TensorArray("float64", count)),
        )
        return losses.stack()

    traced = tf.function(steps, autograph=False, jit_compile=False)
    concrete = traced.get_concrete_function(tf.TensorSpec((None, *shape), "int32"))
    return lambda rows: concrete(tf.constant(rows)).numpy()


def run_updates(model, update, rows, *, name):
    """Make updates of one's own, with a progress bar. An interruption leaves the model with the weights it had got.

    Parameters
    ----------
    model : keras.Model
    update : callable
        See :func:`repeat_update`.
    rows : numpy.ndarray
        ``(k, …)``: the rows of each batch.
    name : str
        Words beside the bar.

    Returns
    -------
    numpy.ndarray
        Losses, ``(k,)``.

    Raises
    ------
    FloatingPointError
        If the loss or a weight stops being a finite number. The model's weights are then as before.
    """
    before, losses, done = snapshot(model), [], 0
    steps = repeat_update(update, rows.shape[1:])
    with progress_bar(len(rows), name, "update", delay=1) as bar:
        for part in run_steps(steps, rows, [len(rows)]):
            finite = np.isfinite(part)
            losses.append(part)
            done += len(part)
            ruined = not_finite(model) if done == len(rows) else []
            if ruined or not finite.all():
                put_back(model, before)
                number = done - len(part) + 1 + int(np.argmin(finite))
                what = f"The loss stopped being a finite number at update {number}"
                if finite.all():
                    what = f"{ruined[0]!r} held NaN or infinite weights at update {done}"
                raise FloatingPointError(
                    f"{what}: the learning rate or a loss's weight is too high for this model and data. Try a tenth "
                    f"of it."
                )
            bar.update(len(part))
    return np.concatenate(losses)


def run_steps(steps, rows, stops):
    """Train on batches, a fraction of a second at a time, so that one can see it and interrupt it.

    Parameters
    ----------
    steps : callable
        From :func:`make_steps`.
    rows : numpy.ndarray
        ``(k, batch_size)``.
    stops : sequence of int
        Numbers of updates after which to hand over in any case, ascending; the last is k.

    Yields
    ------
    numpy.ndarray
        Losses of the next few batches.
    """
    done, size = 0, 1
    for stop in stops:
        while done < stop:
            started = time.perf_counter()
            losses = steps(rows[done : min(done + size, stop)])
            elapsed = time.perf_counter() - started
            done += len(losses)
            yield losses
            pace = _CHUNK_SECONDS / max(elapsed, 1e-4)
            size = int(np.clip(len(losses) * pace, 1, 4 * size))
