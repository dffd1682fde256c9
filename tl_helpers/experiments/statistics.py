"""How likely is that by chance? Intervals, p-values and their correction, of plain numbers."""

from __future__ import annotations

import numbers

import numpy as np
from scipy import stats

RESAMPLES = 9999
_RESAMPLING_SEED = 20101001  # any fixed one: the same table must give the same interval
ROUNDING = 1e-6  # numbers in single precision have seven digits: what differs less is the same


def holm(p_values):
    """Correct p-values for being one of several, by Holm's step-down procedure.

    Parameters
    ----------
    p_values : array-like of float
        Shape ``(m,)``, each 0…1.

    Returns
    -------
    numpy.ndarray
        Shape ``(m,)``: the i-th smallest p times (m − i + 1), at most 1 and never below a smaller p's.

    Raises
    ------
    ValueError
        If a p-value is not in 0…1.

    Notes
    -----
    Holm (1979), *A simple sequentially rejective multiple test procedure*. It holds whatever the dependence, so also
    for nested budgets.
    """
    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p-values must be a list of numbers in 0…1, not {p_values!r}.")
    order = np.argsort(p_values, kind="stable")
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(adjusted, 1)
    return result


def check_settings(method, confidence, margin=None):
    """Check how an interval is asked for.

    Parameters
    ----------
    method : {"t", "bootstrap"}
    confidence : float
        0.5…1.
    margin : float, optional
        Above 0.

    Raises
    ------
    ValueError
        If one is not as above.
    """
    if method not in ("t", "bootstrap"):
        raise ValueError(f"method must be 't' or 'bootstrap', not {method!r}.")
    if not (isinstance(confidence, numbers.Real) and 0.5 <= confidence < 1):
        raise ValueError(f"confidence must be between 0.5 and 1, such as 0.95, not {confidence!r}.")
    number = isinstance(margin, numbers.Real) and not isinstance(margin, bool)
    if margin is not None and not (number and 0 < margin < np.inf):
        raise ValueError(f"margin must be a number above 0, in the unit of the score, not {margin!r}.")


def holm_with_gaps(p_values):
    """Correct p-values of which some are not defined: a test that could not be made is one of the family, too.

    Parameters
    ----------
    p_values : pandas.Series
        Missing ones as NaN.

    Returns
    -------
    numpy.ndarray
        See :func:`holm`; NaN where there was none.
    """
    return np.where(p_values.isna(), np.nan, holm(p_values.fillna(1)))


def same_values(values, scale):
    """Say whether several numbers are the same but for rounding, measured by those of which they were made.

    Parameters
    ----------
    values : numpy.ndarray
        ``(n,)``.
    scale : numpy.ndarray
        The numbers of which they were made.

    Returns
    -------
    bool
    """
    return len(values) > 1 and bool(np.ptp(values) <= ROUNDING * np.abs(scale).max())


def same_difference(scores):
    """Say whether two arms differ by the same amount in every pair.

    Parameters
    ----------
    scores : numpy.ndarray
        ``(n, 2)``.

    Returns
    -------
    bool
    """
    return same_values(scores[:, 0] - scores[:, 1], scores)


def no_difference(scores):
    """Say whether two arms are the same in every pair.

    Parameters
    ----------
    scores : numpy.ndarray
        ``(n, 2)``.

    Returns
    -------
    bool
    """
    return bool(np.abs(scores[:, 0] - scores[:, 1]).max(initial=0) <= ROUNDING * np.abs(scores).max(initial=0))


def interval_of_mean(values, method, confidence):
    """Return the confidence interval of a mean.

    Parameters
    ----------
    values : numpy.ndarray
        ``(n,)`` with n ≥ 2.
    method : {"t", "bootstrap"}
        Student's t, or the bias-corrected and accelerated bootstrap (Efron 1987).
    confidence : float
        0.5…1.

    Returns
    -------
    low, high : float
    """
    if np.ptp(values) == 0:
        return values[0], values[0]
    if method == "t":
        return stats.t.interval(confidence, len(values) - 1, values.mean(), stats.sem(values))
    options = {"confidence_level": confidence, "n_resamples": RESAMPLES, "method": "BCa"}
    interval = stats.bootstrap((values,), np.mean, **options, rng=np.random.default_rng(_RESAMPLING_SEED))
    return interval.confidence_interval


def p_value_of_equivalence(differences, margin, method):
    """Return the larger p-value of two one-sided tests (Schuirmann 1987): that the mean lies inside ±margin.

    Parameters
    ----------
    differences : numpy.ndarray
        ``(n,)`` with n ≥ 2, not all equal.
    margin : float
        Above 0.
    method : {"t", "bootstrap"}
        See :func:`p_value`.

    Returns
    -------
    float
        0…1.
    """
    return max(
        p_value(differences + margin, method, alternative="greater"),
        p_value(differences - margin, method, alternative="less"),
    )


def p_value(differences, method, alternative="two-sided"):
    """Return the p-value of the hypothesis that a mean is 0.

    Parameters
    ----------
    differences : numpy.ndarray
        ``(n,)`` with n ≥ 2, not all equal.
    method : {"t", "bootstrap"}
        Student's t-test, or flipping signs (Fisher 1935).
    alternative : {"two-sided", "greater", "less"}

    Returns
    -------
    float
        0…1.
    """
    if method == "t":
        return float(stats.ttest_1samp(differences, 0, alternative=alternative).pvalue)
    options = {"permutation_type": "samples", "n_resamples": RESAMPLES, "vectorized": True, "alternative": alternative}
    random = np.random.default_rng(_RESAMPLING_SEED)
    return float(stats.permutation_test((differences,), np.mean, **options, rng=random).pvalue)
