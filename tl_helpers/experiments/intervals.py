"""How sure is a number? Intervals of means, and of paired differences."""

from __future__ import annotations

import warnings

import numpy as np
import pandas

from tl_helpers.experiments.statistics import (
    check_settings,
    holm_with_gaps,
    interval_of_mean,
    no_difference,
    p_value,
    p_value_of_equivalence,
    same_difference,
)
from tl_helpers.experiments.table import (
    check_frame,
    check_names,
    check_scores_are_finite,
    listed,
    one_per_seed,
    paired_runs,
)
from tl_helpers.grid.keys import key_column

RESULTS = ("n", "difference", "low", "high", "p", "p_holm", "p_equivalent", "p_equivalent_holm")


def confidence_interval(frame, *, score="score", by=("arm", "budget"), method="t", confidence=0.95):
    """Compute mean and confidence interval of a score over seeds, per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run. Several rows of one ``seed`` in a group (folds, tasks, nested budgets) are averaged first,
        because they have more in common than runs of different seeds. In a frame without a column ``seed``, or with it
        in `by`, every row counts as one independent run.
    score : str
        Column of the values.
    by : str or sequence of str
        Columns that make the groups. None is a value like any other.
    method : {"t", "bootstrap"}
        Student's t (Student 1908), or bias-corrected and accelerated bootstrap (Efron 1987) with a fixed seed.
    confidence : float
        Between 0.5 and 1.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, ``n`` (of seeds), ``mean``, ``low``, ``high``, in order of appearance. With n = 1 there is no
        interval: ``low`` and ``high`` are NaN.

    Raises
    ------
    ValueError
        If a column is missing, the frame is empty, a score is not a finite number, or rows of one seed differ in a text
        that is not in `by`, such as the name of a metric; the message names the run.

    Notes
    -----
    If all scores are equal, the interval has no width. That is right for an arm in which nothing is left to chance, and
    a mistake in a study that does not use its seed.
    The interval tells how much the mean would vary over new seeds. It says little about the difference between two arms
    that share seeds: use :func:`paired_difference` for that.
    """
    by = [by] if isinstance(by, str) else list(by)
    check_settings(method, confidence)
    check_frame(frame, by, score)
    check_scores_are_finite(frame, by, score)
    check_names(by, ["n", "mean", "low", "high"])
    groups, rows = one_per_seed(frame, by, score), []
    for values in groups.values():
        low, high = interval_of_mean(values, method, confidence) if len(values) > 1 else (np.nan, np.nan)
        rows.append([len(values), values.mean(), low, high])
    table = pandas.DataFrame(rows, columns=["n", "mean", "low", "high"])
    for place, name in enumerate(by):
        table.insert(place, name, key_column([key[place] for key in groups]))
    return table


def paired_difference(
    frame, treatment, baseline, *, method="t", confidence=0.95, margin=None, score="score", by="budget", pair="seed"
):
    """Compare two arms seed by seed: how much better is the treatment, and could it be chance?

    The two arms of a pair share seed, sample and split, so what these add to both cancels out.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run, with column ``arm``.
    treatment, baseline
        Two values of ``arm``; the difference is treatment − baseline.
    method : {"t", "bootstrap"}
        ``"t"``: paired t-test and its interval (Student 1908). ``"bootstrap"``: bias-corrected and accelerated interval
        (Efron 1987, seeded) and the p-value of the sign-flip permutation test (Fisher 1935), exact up to n = 13.
    confidence : float
        Between 0.5 and 1.
    margin : float, optional
        In the unit of `score`: differences smaller than this do not matter. It has to be chosen before one looks.
    score : str
        Column to compare.
    by : str or None
        Column whose values are compared one by one, such as budgets, among which None (all labels) is one like any
        other; ``by=None`` compares all pairs at once.
    pair : str or sequence of str
        Columns that say which runs belong together. With ``"seed"`` and others, such as ``["seed", "fold"]``, the
        differences of a seed are averaged first: n is the number of seeds.

    Returns
    -------
    pandas.DataFrame
        One row per value of `by`: that value, ``n`` (pairs, or seeds), ``difference``, ``low``, ``high``, ``p``
        (two-sided) and ``p_holm``, corrected over the rows (Holm 1979): where it is below .05, the claim "at *some*
        budget there is a difference" errs in at most 5 % of such tables. The intervals are per row, not corrected.
        With a `margin` also ``p_equivalent`` and ``p_equivalent_holm``: of the claim that the mean difference lies
        inside ±`margin`.

    Raises
    ------
    ValueError
        If an arm, a budget or a seed is missing in one of the two arms, if a run stands there twice, if a score is not
        a finite number, or if there are fewer than two pairs; the message names which.

    Warns
    -----
    UserWarning
        If all differences of a row are equal, and not 0.

    Notes
    -----
    A test weighs a mean against its spread. If all differences are equal, there is no spread: the interval has no
    width, and ``p`` and ``p_holm`` are NaN (not defined), save that p is 1 where all are 0, because then nothing speaks
    for a difference. The row still counts when the others are corrected. Most often a study that does not use its seed
    is behind equal differences.
    That no difference shows is no proof that there is none. Equivalence is proved by two one-sided tests (Schuirmann
    1987): that the mean is above −`margin`, and that it is below `margin`; ``p_equivalent`` is the larger p-value of
    both. Where it is below .05, the 90 % interval lies within the margin.
    The bootstrap interval is too narrow for few pairs; the t interval is the better default. With fewer than six pairs
    the sign-flip test cannot reach p < .05 (its smallest p is 2^(1 − n)).
    """
    check_settings(method, confidence, margin)
    pair = [pair] if isinstance(pair, str) else list(pair)
    keys = [*([] if by is None else [by]), *pair]
    check_frame(frame, ["arm", *keys], score)
    check_scores_are_finite(frame, ["arm", *keys], score)
    check_names([by], RESULTS)
    pairs = paired_runs(frame, treatment, baseline, score, by, pair)
    table = difference_table(pairs, by or "all", method, confidence, margin)
    equal = [value for value, scores in pairs.items() if same_difference(scores) and not no_difference(scores)]
    if equal:
        warnings.warn(
            f"All differences{'' if by is None else f' at {listed(equal, by)}'} are equal: a test needs some that "
            f"vary, so p is not defined and stands as NaN. Does the study use its seed?",
            stacklevel=2,
        )
    return table if by is not None else table.drop(columns="all")


def difference_table(pairs, name, method, confidence, margin=None):
    """Table differences, their intervals and their p-values.

    Parameters
    ----------
    pairs : dict of object to numpy.ndarray
        From :func:`tl_helpers.experiments.table.paired_runs`.
    name : str
        Of the first column.
    method, confidence, margin
        See :func:`paired_difference`.

    Returns
    -------
    pandas.DataFrame
        One row per value, see :func:`paired_difference`.
    """
    rows = []
    for scores in pairs.values():
        differences = scores[:, 0] - scores[:, 1]
        mean = differences.mean() if len(differences) else np.nan
        low, high, p, p_equivalent = np.nan, np.nan, np.nan, np.nan
        if len(differences) > 1:
            low, high = interval_of_mean(differences, method, confidence)
            if no_difference(scores):
                p = 1.0
            elif not same_difference(scores):
                p = p_value(differences, method)
                p_equivalent = np.nan if margin is None else p_value_of_equivalence(differences, margin, method)
        rows.append([len(differences), mean, low, high, p, p_equivalent])
    table = pandas.DataFrame(rows, columns=["n", "difference", "low", "high", "p", "p_equivalent"])
    table.insert(0, name, key_column(list(pairs)))
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm_with_gaps(table["p"]))
    if margin is None:
        return table.drop(columns="p_equivalent")
    return table.assign(p_equivalent_holm=holm_with_gaps(table["p_equivalent"]))
