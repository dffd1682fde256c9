"""How good is it? The share of right answers, over all examples or class by class."""

from __future__ import annotations

import numpy as np

from tl_helpers.experiments.averages import macro_average
from tl_helpers.models.folding import can_fold, folded_forward
from tl_helpers.models.forward import make_forward
from tl_helpers.models.traces import kept_forward
from tl_helpers.training.data import check_data


def share_right(output, y):
    """Share of examples whose largest output is that of their class.

    Parameters
    ----------
    output : numpy.ndarray
        Logits or probabilities, ``(n, n_classes)``.
    y : numpy.ndarray
        Class indices, ``(n,)``.

    Returns
    -------
    float
        0…1.
    """
    return float((output.argmax(axis=-1) == y).mean())


def validation_rank(accuracy, loss):
    """Rank a moment of training by what validation gave: accuracy first, where there is one, then the loss.

    Parameters
    ----------
    accuracy : float
        NaN where the outputs are not of classes.
    loss : float

    Returns
    -------
    tuple of float
        The larger, the better.
    """
    return (0.0 if np.isnan(accuracy) else accuracy, -loss)


def _outputs(model, x, batch_size, fold):
    forward = folded_forward(model, model) if fold and can_fold(model) else kept_forward(model, model, make_forward)
    return forward(x, batch_size)


def accuracy(model, data, *, batch_size=256, fold_batch_norm=False):
    """Share of examples that a classifier gets right.

    Parameters
    ----------
    model : keras.Model
        To logits or probabilities ``(n, n_classes)``.
    data : Dataset or tuple of numpy.ndarray
        ``(x, y)``.
    batch_size : int
    fold_batch_norm : bool
        True is faster and rounds otherwise, see :func:`tl_helpers.models.features.extract_features`: an example may
        change sides whose two best classes are as near to each other as that.

    Returns
    -------
    float
        0…1.
    """
    x, y, _ = check_data(data, model, None, "data")
    return share_right(_outputs(model, x, batch_size, fold_batch_norm), y)


def mean_recall(model, data, *, batch_size=256, fold_batch_norm=False):
    """Mean over classes of the share of the class's examples that a classifier gets right: each class counts the same.

    Parameters
    ----------
    model : keras.Model
        To logits or probabilities ``(n, n_classes)``.
    data : Dataset or tuple of numpy.ndarray
        ``(x, y)``.
    batch_size : int
    fold_batch_norm : bool
        True is faster and rounds otherwise, see :func:`tl_helpers.models.features.extract_features`: an example may
        change sides whose two best classes are as near to each other as that.

    Returns
    -------
    float
        0…1, over the classes that occur.
    """
    x, y, _ = check_data(data, model, None, "data")
    right = _outputs(model, x, batch_size, fold_batch_norm).argmax(axis=-1) == y
    return macro_average(right, y)
