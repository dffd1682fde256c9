"""What if some labels are rarer in the target than in the source? Correct the probabilities; no retraining needed."""

from __future__ import annotations

import numpy as np

from tl_helpers.arguments import check_finite


def adjust_to_prior(probabilities, source_prior, target_prior):
    """Correct a classifier's probabilities for other class shares (Saerens, Latinne and Decaestecker 2002, eq. 2.4).

    It is Bayes' rule, and exact where the classes themselves look the same in source and target (label shift).

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``(n, k)``, rows sum to 1: the classifier's answers under the source's class shares.
    source_prior, target_prior : numpy.ndarray
        ``(k,)``: class shares, each sums to 1.

    Returns
    -------
    numpy.ndarray
        ``(n, k)``, rows sum to 1.

    Raises
    ------
    ValueError
        If a prior does not fit the probabilities, a number is not finite, or the source lacks a class.
    """
    probabilities = np.asarray(probabilities, dtype="float64")
    source_prior, target_prior = (np.asarray(prior, dtype="float64") for prior in (source_prior, target_prior))
    check_finite(probabilities, "probabilities")
    for name, prior in [("source_prior", source_prior), ("target_prior", target_prior)]:
        if prior.shape != probabilities.shape[1:] or not abs(prior.sum() - 1) <= 1e-6 or not prior.min() >= 0:
            raise ValueError(f"{name} must hold {probabilities.shape[1]} shares that sum to 1, not {prior}.")
    if source_prior.min() == 0:
        raise ValueError("source_prior has a class with share 0: the classifier cannot have learned it.")
    weighted = probabilities * (target_prior / source_prior)
    return weighted / weighted.sum(axis=1, keepdims=True)


def estimate_prior(probabilities, source_prior, *, tolerance=1e-6, most_steps=1000):
    """Estimate the target's class shares from unlabelled examples (Saerens et al. 2002, section 2.2).

    Expectation maximisation: correct the probabilities by the shares assumed so far, average them, repeat.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``(n, k)``: the source classifier's answers on the target's examples.
    source_prior : numpy.ndarray
        ``(k,)``.
    tolerance : float
        Stop when no share moves by more.
    most_steps : int

    Returns
    -------
    numpy.ndarray
        ``(k,)``, sum 1: the shares under which the examples are most likely.
    """
    prior = np.asarray(source_prior, dtype="float64")
    for _ in range(most_steps):
        renewed = adjust_to_prior(probabilities, source_prior, prior).mean(axis=0)
        moved = np.abs(renewed - prior).max()
        prior = renewed / renewed.sum()
        if moved < tolerance:
            break
    return prior
