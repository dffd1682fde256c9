"""How is a classifier trained on examples of two domains? Logistic regression on features, domain by domain."""

from __future__ import annotations

import numpy as np

from tl_helpers.models.features import probe
from tl_helpers.training.adaptation import standardise

PENALTY = 0.05


def predict_target(
    source, own, unlabelled, test, *, train_on=("source", "own"), per_domain=False, balanced=False, penalty=PENALTY
):
    """Train on the source, on own examples of the target or on both, and predict the target.

    Parameters
    ----------
    source, own : tuple of numpy.ndarray
        Features ``(n, d)`` and class indices ``(n,)`` of the source and of the target's labelled examples.
    unlabelled : numpy.ndarray
        Features ``(m, d)`` of the target, labelled or not: what its means and standard deviations are taken from.
    test : numpy.ndarray
        Features of the target to predict.
    train_on : sequence of {"source", "own"}
    per_domain : bool
        Whether each domain is standardised by its own means and standard deviations, the target by those of
        `unlabelled`, which needs no label; otherwise everything by those of what is trained on.
    balanced : bool
        Whether both domains weigh the same in total: the smaller one's examples count for more.
    penalty : float
        C of :func:`tl_helpers.models.features.probe`.

    Returns
    -------
    numpy.ndarray
        Class indices.
    """
    parts = {name: {"source": source, "own": own}[name] for name in train_on}
    trained = np.concatenate([x for x, _ in parts.values()])
    like = {"source": source[0], "own": unlabelled} if per_domain else {"source": trained, "own": trained}
    largest = max(len(y) for _, y in parts.values())
    weights = [np.full(len(y), largest / len(y) if balanced else 1.0) for _, y in parts.values()]
    classifier = probe(
        np.concatenate([standardise(x, like=like[name]) for name, (x, _) in parts.items()]),
        np.concatenate([y for _, y in parts.values()]),
        C=penalty,
        standardise=False,
        sample_weight=np.concatenate(weights),
    )
    return classifier.predict(standardise(test, like=like["own"]))
