"""What is one update? The losses of a batch, a gradient tape and an optimizer, the same for every training."""

from __future__ import annotations

import functools
import operator

import keras
import tensorflow as tf

from tl_helpers.models.forward import HALF_PRECISION
from tl_helpers.training.losses import default_loss
from tl_helpers.training.stage_rates import discriminative_optimizer


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
    if loss is None and model is not None:
        loss = default_loss(model)
    elif loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    carrier = keras.Model(name="loss")
    carrier.compile(optimizer=None, loss=loss, jit_compile=False)

    def compute(target, output, weights=None):
        return carrier.compute_loss(y=target, y_pred=output, sample_weight=weights)

    return compute


def falling_adam(learning_rate, updates, *, model=None, factors=None):
    """Make the optimizer of every training here: Adam with a learning rate that falls linearly to 0.

    Parameters
    ----------
    learning_rate : float
        Of the first update.
    updates : int
        After so many it is 0.
    model : keras.Model, optional
        Whose stages have rates of their own.
    factors : dict of str to float, or float, optional
        See :func:`tl_helpers.training.stage_rates.discriminative_optimizer`. By default all weights have one rate.

    Returns
    -------
    keras.optimizers.Optimizer
    """
    schedule = keras.optimizers.schedules.PolynomialDecay(learning_rate, updates, end_learning_rate=0.0)
    if factors is None:
        return keras.optimizers.Adam(schedule)
    return discriminative_optimizer(model, schedule, factors)


def _with_loss_scaling(model, optimizer):
    """Wrap an optimizer, where a network computes in float16, so that small gradients do not become 0.

    As ``compile`` does where the whole network has the dtype policy ``"mixed_float16"``; here a single layer that
    computes in float16 is enough. Weights to be trained that are themselves in half precision are an error: most of
    what an update adds is lost there.
    """
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


def make_update(model, losses_of, optimizer, *, others=(), join=None):
    """Build the function that makes one update of a model.

    Parameters
    ----------
    model : keras.Model
    losses_of : callable
        From the rows of a batch and the number of updates made before, two integer tensors, to a list of losses,
        scalar tensors.
    optimizer : keras.optimizers.Optimizer
        A fresh one.
    others : sequence of keras.Variable
        What is trained besides the model.
    join : callable, optional
        From the gradients of each loss, a list of lists, and the number of updates made before to one list of
        gradients. By default the losses are added up. Penalties on weights are added to either.

    Returns
    -------
    callable
        From the rows of a batch to the sum of its losses and penalties, before the update.

    Raises
    ------
    ValueError
        If weights that are to be trained are in half precision.
    """
    variables = [*model.trainable_variables, *others]
    optimizer = _with_loss_scaling(model, optimizer)
    optimizer.build(variables)

    def update(batch):
        with tf.GradientTape(persistent=join is not None) as tape:
            losses = losses_of(batch, optimizer.iterations.value)
            losses = [tf.cast(loss, losses[0].dtype) for loss in losses]
            penalties = [tf.cast(tf.reduce_sum(extra), losses[0].dtype) for extra in model.losses]
            total = _sum([*losses, *penalties])
            parts = [total] if join is None else [*losses, *([_sum(penalties)] if penalties else [])]
            scaled = [optimizer.scale_loss(part) for part in parts]
        values = [variable.value for variable in variables]
        if join is None:
            gradients = tape.gradient(scaled[0], values)
        else:
            zero = tf.UnconnectedGradients.ZERO
            each = [tape.gradient(part, values, unconnected_gradients=zero) for part in scaled]
            gradients = join(each[: len(losses)], optimizer.iterations.value)
            for penalty in each[len(losses) :]:
                # It is no task: it is added to what the tasks have agreed on.
                gradients = [gradient + more for gradient, more in zip(gradients, penalty, strict=True)]
        optimizer.apply(gradients, variables)
        return total

    return update


def _sum(tensors):
    return functools.reduce(operator.add, tensors)


def make_loss_on(model, examples, loss):
    """Build the function that gives a model's loss on a batch of examples in memory.

    Parameters
    ----------
    model : keras.Model
    examples : tl_helpers.training.data.Examples
    loss : callable
        From :func:`resolve_loss`.

    Returns
    -------
    callable
        As :func:`make_update` takes it.
    """
    x, y, weights = (None if part is None else tf.constant(part) for part in examples)

    def losses_of(batch, done):
        weight = None if weights is None else tf.gather(weights, batch)
        return [loss(tf.gather(y, batch), model(tf.gather(x, batch), training=True), weight)]

    return losses_of
