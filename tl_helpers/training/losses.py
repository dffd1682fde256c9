"""Do loss, targets and the network's end belong together? What Keras would reckon with in silence is said here."""

from __future__ import annotations

import functools

import keras
import numpy as np

# Losses that compare each target with one output: others may take targets of another shape.
_ELEMENTWISE = {
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "squared_hinge",
}
# Layers and operations behind an activation that leave its numbers as they are.
_PASSING = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze"}
# Of validation, where a loss is no mean over examples: what `evaluate` takes at a time.
_BATCH = 32


def ending_of(model):
    """Tell what a model's outputs are, by its last activation.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    {"softmax", "sigmoid", "linear", None}
        ``"linear"`` only for a layer that learns and has no activation: its outputs are logits, if they are of classes.
        None for anything else, and where it cannot be seen.
    """
    outputs = getattr(model, "outputs", None)
    return _ending(outputs[0]) if outputs and len(outputs) == 1 else None


def _ending(tensor):
    operation, index, place = tensor._keras_history
    if isinstance(operation, keras.Model):
        outputs = getattr(operation, "outputs", None)
        return _ending(outputs[place]) if outputs else None
    before = operation._inbound_nodes[index].input_tensors
    kind = type(operation).__name__
    if kind in ("Softmax", "Sigmoid"):
        return kind.lower()
    if kind in _PASSING:
        return _ending(before[0])
    operation = getattr(operation, "layer", operation)  # of TimeDistributed
    activation = getattr(operation, "activation", None)
    if activation is None:
        return None
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    if name == "linear":
        return _ending(before[0]) if isinstance(operation, keras.layers.Activation) else "linear"
    return {"softmax": "softmax", "softmax_v2": "softmax", "sigmoid": "sigmoid"}.get(name)


def default_loss(model):
    """Return the loss of a classifier for which none is given: cross-entropy of class indices.

    Parameters
    ----------
    model : keras.Model
        To ``(n, n_classes)``.

    Returns
    -------
    keras.losses.Loss
        Of probabilities where the model ends in a softmax, of logits otherwise.

    Raises
    ------
    ValueError
        If the model ends in a sigmoid, or has one output: these are not the classes of which one is right.
    """
    ending = ending_of(model)
    if ending == "sigmoid":
        raise ValueError(
            f"{model.name!r} ends in a sigmoid, and the default loss is for classes of which one is right. For "
            f'yes-or-no targets pass loss="binary_crossentropy"; for classes end the model in Dense(n_classes).'
        )
    if model.output_shape[-1] == 1:
        raise ValueError(
            f"{model.name!r} has one output, and the default loss is for one output per class. For yes-or-no targets "
            f'pass loss=keras.losses.BinaryCrossentropy(from_logits=True), for numbers loss="mse".'
        )
    return keras.losses.SparseCategoricalCrossentropy(from_logits=ending != "softmax")


def _name_of(loss):
    """Return Keras's name of one of its losses, such as ``"mean_squared_error"``; None for one's own."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    if isinstance(loss, str):
        # Which one Keras takes for "crossentropy" depends on the shapes, so that it fits.
        loss = None if loss.lower() in ("crossentropy", "ce") else keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        loss = getattr(loss, "fn", None)  # of Keras's own classes
    known = {*_ELEMENTWISE, "sparse_categorical_crossentropy"}
    return next((name for name in known if loss is not None and getattr(keras.losses, name, None) is loss), None)


def _takes_logits(loss):
    """Tell whether a cross-entropy of Keras takes logits."""
    if isinstance(loss, functools.partial):
        return bool(loss.keywords.get("from_logits", False))
    return bool(isinstance(loss, keras.losses.Loss) and loss.get_config().get("from_logits", False))


def check_loss(loss, model, y, name):
    """Check that a loss, the model's last activation and the targets belong together.

    Parameters
    ----------
    loss : keras.losses.Loss, str or callable
        As ``compile`` takes it.
    model : keras.Model
    y : numpy.ndarray
        Targets, ``(n, …)``.
    name : str
        What to call the data in messages.

    Raises
    ------
    ValueError
        If they do not.
    """
    if isinstance(loss, list | tuple | dict):
        raise ValueError(f"The loss is a {type(loss).__name__}; a model with one output takes one loss.")
    if getattr(loss, "reduction", "sum") in (None, "none"):
        raise ValueError("The loss has reduction=None, so it gives many numbers. Training needs one: leave it out.")
    try:
        outputs, kind = tuple(model.output_shape[1:]), _name_of(loss)
    except ValueError as error:
        raise ValueError(f'loss={loss!r} is none that Keras knows, such as "mse".') from error
    if kind is None and not callable(loss) and not isinstance(loss, str):
        raise ValueError(f"loss={loss!r} is neither a loss of Keras nor a function of targets and outputs.")
    if kind is not None and "crossentropy" in kind:
        ending, logits = ending_of(model), _takes_logits(loss)
        if logits and ending in ("softmax", "sigmoid"):
            raise ValueError(
                f"{model.name!r} ends in a {ending}, and the loss has from_logits=True: the {ending} would count "
                f"twice. Leave out one of the two."
            )
        if not logits and ending == "linear":
            raise ValueError(
                f"{model.name!r} ends without an activation, so it gives logits, and the loss {kind} takes "
                f"probabilities. Pass keras.losses.{_class_of(kind)}(from_logits=True)."
            )
    if kind == "sparse_categorical_crossentropy":
        _check_indices(y, outputs, name)
    elif kind in _ELEMENTWISE and not _same(*_aligned(y.shape[1:], outputs)):
        raise ValueError(
            f"The targets of {name} have shape {y.shape[1:]} per input and the outputs of {model.name!r} {outputs}. "
            f"The loss {kind} compares them one by one, so both must be the same."
        )
    elif kind is None and isinstance(loss, keras.losses.Loss) and not hasattr(loss, "fn"):
        _check_own(loss, y, outputs, name)


def _class_of(kind):
    return "".join(word.title() for word in kind.split("_"))


def _aligned(target, output):
    """Return two shapes after what Keras does to shapes of which one has an axis of length 1 more."""
    if len(target) == len(output) + 1 and target[-1] == 1:
        target = target[:-1]
    if len(output) == len(target) + 1 and output[-1] == 1:
        output = output[:-1]
    return target, output


def _same(target, output):
    return len(target) == len(output) and all(o in (None, t) for t, o in zip(target, output, strict=True))


def _check_indices(y, outputs, name):
    classes, per_input = outputs[-1], outputs[:-1]
    fits = _same(y.shape[1:], per_input) or _same(y.shape[1:], (*per_input, 1))
    whole = y.dtype.kind in "iub" or (y.dtype.kind == "f" and (y == np.round(y)).all())
    if not fits or not whole or y.min() < 0 or y.max() >= classes:
        what = f"{y.min():g}…{y.max():g}" if y.dtype.kind in "iufb" else "no numbers"
        raise ValueError(
            f"The targets of {name} must be class indices 0…{classes - 1} of shape {per_input} per input for this "
            f"loss; they are {y.dtype} of shape {y.shape[1:]} per input, {what}. For one-hot targets pass "
            f"categorical_crossentropy."
        )


def _check_own(loss, y, outputs, name):
    """Refuse a loss class of one's own for which targets ``(n,)`` and outputs ``(n, 1)`` make a table of n × n.

    Keras aligns them for functions and for its own classes, not for others.
    """
    target, output = y.shape[1:], outputs
    if _same(target, output) or not _same(*_aligned(target, output)) or None in output:
        return
    size = int(np.prod(output))
    guesses = np.linspace(0.2, 0.7, 2 * size, dtype="float32").reshape(2, *output)
    wanted = np.linspace(0.9, 0.1, 2 * size, dtype="float32").reshape(2, *target)
    both = np.mean(loss.call(wanted, guesses))
    single = np.mean([np.mean(loss.call(wanted[row : row + 1], guesses[row : row + 1])) for row in range(2)])
    if not np.isclose(both, single, rtol=1e-4):
        raise ValueError(
            f"The targets of {name} have shape {target} per input and the outputs {output}: {type(loss).__name__} "
            f"would compare every target with every output. Give the targets "
            f"the outputs' shape: y.reshape(-1, *{output})."
        )


def measure_loss(loss, y, output, weights=None, *, reduction="sum_over_batch_size"):
    """Return the loss of a whole data set, as ``evaluate`` gives it.

    Parameters
    ----------
    loss : callable
        From :func:`tl_helpers.training.update.resolve_loss`.
    y, output : numpy.ndarray
        ``(n, …)``.
    weights : numpy.ndarray, optional
        ``(n,)`` or ``(n, 1)``.
    reduction : str
        Of the loss. Sums, and means that are divided by the weights, depend on the batches: 32 examples each, as in
        ``evaluate``.

    Returns
    -------
    float
    """
    size = len(y) if reduction in ("sum_over_batch_size", "mean") else _BATCH
    values, counts = [], []
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        values.append(float(loss(y[part], output[part], None if weights is None else weights[part])))
        counts.append(len(y[part]))
    return float(np.average(values, weights=counts))
