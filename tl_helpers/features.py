"""What does a frozen network see? Its features, computed once, and a linear classifier on them."""

from __future__ import annotations

import numpy as np

from tl_helpers.graph import layers_in
from tl_helpers.loop import make_forward


def extract_features(backbone, x, *, stage=None, batch_size=32):
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

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, d)``.

    Raises
    ------
    ValueError
        If the backbone has no such stage.
    """
    import keras

    model = getattr(backbone, "model", backbone)
    if stage is not None:
        last = getattr(backbone, "stages", {}).get(stage, stage)
        model = keras.Model(model.inputs, layers_in(model, last)[-1].output)
    features = model.output
    if len(features.shape) > 2:
        features = keras.ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
    return make_forward(keras.Model(model.inputs, features))(np.asarray(x), batch_size)


def probe(features, y, *, C=0.05, seed=0):
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

    Returns
    -------
    sklearn.pipeline.Pipeline
        ``score(features, y)`` is its accuracy, 0…1.

    Raises
    ------
    ValueError
        If features and labels do not fit each other, or there is only one class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, y = np.asarray(features), np.asarray(y)
    if features.ndim != 2 or y.shape != (len(features),):
        raise ValueError(f"features must be (n, d) and y (n,); they are {features.shape} and {y.shape}.")
    if len(np.unique(y)) < 2:
        raise ValueError("All labels are the same: a classifier needs examples of at least two classes.")
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000, random_state=seed)).fit(features, y)
