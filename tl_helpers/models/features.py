"""What does a frozen network see? Its features, computed once and kept, and a linear classifier on them."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tl_helpers.arguments import LARGEST, check_finite
from tl_helpers.files import atomic_path
from tl_helpers.grid.identity import fingerprint
from tl_helpers.grid.networks import describe
from tl_helpers.models.arithmetic import arithmetic
from tl_helpers.models.folding import can_fold, folded_forward
from tl_helpers.models.forward import in_full_precision, make_forward
from tl_helpers.models.graph import layers_in
from tl_helpers.models.inputs import check_inputs
from tl_helpers.models.traces import kept_forward


def extract_features(backbone, x, *, stage=None, batch_size=32, cache=None, fold_batch_norm=False):
    """Run a backbone over images and average each feature map over positions.

    Parameters
    ----------
    backbone : Backbone or keras.Model
    x : numpy.ndarray
        Images as stored, ``(n, h, w, c)``, 0…255.
    stage : str, optional
        Where to read the features: a stage of the backbone, a layer, or the beginning of layers' names. The end by
        default.
    batch_size : int
        Images at a time.
    cache : path-like or dict, optional
        A folder that keeps features on the disk, or a dict that keeps them in memory. They are found again if network,
        weights, preprocessing, images and batch size are the same.
    fold_batch_norm : bool
        True is faster (by 1.2 to 1.7 times on the shipped backbone, as the processor and its load are) and not quite
        the same: each BatchNorm is folded into the convolution before it, in a copy, so that its sums are rounded
        otherwise. On the shipped backbone, whose features lie between 0 and 6, the largest difference was 5e-5; where a
        BatchNorm takes a large mean off a small spread it is larger. Such features are kept apart in `cache`.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, d)``.

    Raises
    ------
    ValueError
        If the backbone has no such stage, or the images do not fit it or hold a number that is not finite. A range of
        pixel values that the backbone does not expect is a warning; so is `fold_batch_norm` where it can do nothing.
    """
    model = keeper = getattr(backbone, "model", backbone)
    if stage is not None:
        last = getattr(backbone, "stages", {}).get(stage, stage)
        model = keras.Model(model.inputs, layers_in(model, last)[-1].output)
    x = check_inputs(x, model, "x") if len(x) else x
    features = in_full_precision(model.outputs[0])
    if len(features.shape) > 2:
        features = keras.ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
    part = keras.Model(model.inputs, features)

    fold, identity = fold_batch_norm and can_fold(part), None
    if fold:
        cache, identity = identify(part, cache)
        identity = identity and f"{identity} with BatchNorm folded"

    def forward(x, batch_size):
        made = folded_forward(keeper, part) if fold else kept_forward(keeper, part, make_forward)
        return made(x, batch_size)

    found = run_once(part, x, batch_size=batch_size, cache=cache, forward=forward, identity=identity)
    return found.astype("float32", copy=False)


def run_once(model, x, *, batch_size, training=False, cache=None, forward=None, identity=None):
    """Run a model over its inputs, or find what it gave for the same inputs before.

    Parameters
    ----------
    model : keras.Model
        A functional model.
    x : numpy.ndarray
        ``(n, …)``.
    batch_size : int
    training : bool
        How layers shall behave that differ between training and use.
    cache : path-like or dict, optional
        See :func:`extract_features`. A folder that cannot be written to costs a warning, not the result; so does a
        layer of which it cannot be told for certain what it computes: nothing is then kept or found.
    forward : callable, optional
        From ``make_forward(model, training=training)`` (:mod:`tl_helpers.models.forward`), where one is there already.
    identity : str, optional
        From :func:`identify`, where it is there already.

    Returns
    -------
    numpy.ndarray
        ``(n, …)``, read-only; outputs in half precision as ``float32``.

    Raises
    ------
    ValueError
        If there are no inputs, or one holds a number that is not finite.
    """
    x = np.asarray(x)
    if len(x) == 0:
        raise ValueError("There are no inputs to run the network on.")
    check_finite(x, "x", largest=LARGEST)
    if identity is None:
        cache, identity = identify(model, cache)
    shape, precision = (len(x), *model.output_shape[1:]), in_full_precision(model.outputs[0]).dtype

    def compute():
        return (forward or make_forward(model, training=training))(x, batch_size)

    key = None if cache is None else fingerprint(identity, batch_size, training, x)
    return _find_or(compute, cache, key, shape, precision)


def answer_once(question, arrays, *, cache, identity, compute):
    """Ask a question about how a model computes on this machine, or find the answer given before to the same question.

    Parameters
    ----------
    question : list
        What it is about, besides the model: plain values.
    arrays : sequence of numpy.ndarray
        What it is about, too.
    cache, identity
        From :func:`identify`. Without a cache it is always asked.
    compute : callable
        Without arguments, to True or False.

    Returns
    -------
    bool
    """
    if cache is None:
        return compute()
    key = fingerprint(identity, question, arithmetic(), list(arrays))
    return bool(_find_or(lambda: np.array([compute()]), cache, key, (1,), "bool")[0])


def identify(model, cache):
    """Hash what decides a model's outputs, besides its inputs: layers and how they are wired, weights, versions.

    Parameters
    ----------
    model : keras.Model
        A functional model.
    cache : path-like, dict or None
        Where outputs shall be kept.

    Returns
    -------
    cache : path-like, dict or None
        None, after a warning, where it cannot be told for certain what a layer computes.
    identity : str or None
        None where there is no cache.
    """
    if cache is None:
        return None, None
    try:
        description = describe(model)
    except TypeError as error:
        warnings.warn(f"The features are computed anew and not kept: {error}", stacklevel=4)
        return None, None
    versions = [keras.__version__, tf.__version__, np.__version__]
    weights = [weight.numpy() for weight in model.weights]
    return cache, fingerprint(description, versions, model.outputs[0].dtype, weights)


def _find_or(compute, cache, key, shape, precision):
    """Return what a cache holds, or else compute and keep it."""
    outputs = None
    if isinstance(cache, dict):
        outputs = cache.get(key)
    elif cache is not None:
        path = Path(cache).expanduser() / f"{key}.npz"
        outputs = _read(path, shape, precision)
    if outputs is None:
        outputs = compute()
        if isinstance(cache, dict):
            cache[key] = outputs
        elif cache is not None:
            _write(path, outputs)
    outputs.flags.writeable = False
    return outputs


def _read(path, shape, precision):
    try:
        with np.load(path, allow_pickle=False) as archive:
            outputs = archive["outputs"]
    except FileNotFoundError:
        return None
    except Exception as error:  # damage makes zipfile and NumPy raise a dozen kinds
        warnings.warn(f"The cached features in {path} are damaged ({error}); they are computed anew.", stacklevel=5)
        return None
    expected = tuple(got if want is None else want for want, got in zip(shape, outputs.shape, strict=False))
    if outputs.shape != expected or outputs.ndim != len(shape) or outputs.dtype.name != precision:
        warnings.warn(
            f"The cached features in {path} have the wrong shape or precision; they are computed anew.", stacklevel=5
        )
        return None
    return outputs


def _write(path, outputs):
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, outputs=outputs)
    except OSError as error:
        warnings.warn(
            f"The features could not be kept in {path.parent} ({error.strerror or error}), so the next run computes "
            f"them again. Free some space there or choose another folder.",
            stacklevel=5,
        )


def probe(features, y, *, C=0.05, seed=0, standardise=True, sample_weight=None, class_weight=None, max_iter=1000):
    """Fit the baseline that every fine-tuning must beat: logistic regression on standardised features.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, d)``.
    y : numpy.ndarray
        Class indices, ``(n,)``.
    C : float
        Inverse strength of the L2 penalty. Features are many and labels few, so it is small.
    seed : int
        Seed of the solver, where it uses one.
    standardise : bool
        False for features that are standardised already, in a way of their own.
    sample_weight, class_weight, max_iter
        See :class:`sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``score(features, y)`` is its accuracy, 0…1.

    Raises
    ------
    ValueError
        If features and labels do not fit each other or are not finite, or there is only one class.
    """
    features, y = np.asarray(features), np.asarray(y)
    if features.ndim != 2 or y.shape != (len(features),):
        raise ValueError(f"features must be (n, d) and y (n,); they are {features.shape} and {y.shape}.")
    check_finite(features, "features")
    check_finite(y, "y")
    if len(np.unique(y)) < 2:
        raise ValueError("All labels are the same: a classifier needs examples of at least two classes.")
    regression = LogisticRegression(C=C, class_weight=class_weight, max_iter=max_iter, random_state=seed)
    steps = [StandardScaler(), regression] if standardise else [regression]
    return make_pipeline(*steps).fit(features, y, logisticregression__sample_weight=sample_weight)
