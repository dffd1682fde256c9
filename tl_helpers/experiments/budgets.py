"""How good is it with few labels, and how many would another arm need? Runs over label budgets."""

from __future__ import annotations

import functools
import numbers
from typing import NamedTuple

import numpy as np
import pandas

from tl_helpers.datasets.dataset import Dataset, sample_budget
from tl_helpers.experiments.intervals import confidence_interval
from tl_helpers.experiments.statistics import check_settings, interval_of_mean
from tl_helpers.experiments.table import check_frame, check_scores_are_finite, said
from tl_helpers.grid.keys import group_rows, key_values, rows_where
from tl_helpers.grid.run import run_grid

# Of a row's ratio, by whether seeds lie below or above what the baseline's budgets reach.
_KINDS = {(False, False): "measured", (False, True): "at least", (True, False): "at most", (True, True): "unknown"}


class LabelEfficiency(NamedTuple):
    """What :func:`label_efficiency` returns.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run, as :func:`tl_helpers.grid.run.run_grid` returns it: what :func:`paired_difference` takes.
    curve : pandas.DataFrame
        Mean, interval and n per arm and budget, as :func:`confidence_interval` returns it: what plots take.
    """

    runs: object
    curve: object


def label_efficiency(
    function, data, arms, budgets, seeds, *, path, n_jobs=None, client=None, score="score", confidence=0.95, **fixed
):
    """Measure a score against the number of labels: ``function(arm=…, data=…, seed=…, **fixed)`` on nested samples.

    Per seed all arms get the same labelled examples, and a small budget's examples are among a larger one's
    (:func:`tl_helpers.datasets.dataset.sample_budget`).

    Parameters
    ----------
    function : callable
        Trains on ``data``, a :class:`~tl_helpers.datasets.dataset.Dataset` of budget × classes examples, and measures;
        see :func:`tl_helpers.grid.run.run_grid` for what it returns.
    data : Dataset or callable
        Where to draw from; or a function without arguments that loads it in the worker process, such as
        ``functools.partial(load_emoji, "noto", "train")``, which spares sending a large data set.
    arms : iterable
    budgets : iterable of int or None
        Labels per class; None takes all of `data`, whatever the seed.
    seeds : iterable of int
    path, n_jobs, client, **fixed
        See :func:`tl_helpers.grid.run.run_grid`.
    score : str
        Which of the returned values the curve shows.
    confidence : float
        Of the curve's intervals, between 0.5 and 1.

    Returns
    -------
    LabelEfficiency
        ``runs`` and ``curve``. Where `function` returns several rows, the curve averages them within the seed.

    Raises
    ------
    tl_helpers.grid.run.GridError
        If runs failed, also where a class has too few examples for a budget.
    ValueError
        If there is no curve to be drawn, see :func:`confidence_interval`. The runs are then the error's attribute
        ``finished``.
    """
    if not isinstance(data, Dataset) and not callable(data):
        raise TypeError(f"data must be a Dataset or a function that loads one, not {type(data).__name__}.")
    check_settings("t", confidence)
    settings = {"path": path, "n_jobs": n_jobs, "client": client}
    runs = run_grid(_run_on_budget, arms, budgets, seeds, **settings, study=function, data=data, settings=fixed)
    try:
        return LabelEfficiency(runs, confidence_interval(runs, score=score, confidence=confidence))
    except ValueError as error:
        error.finished = runs  # one run that diverged must not take the others with it
        error.add_note("The runs are finished: they are the attribute `finished` of this error.")
        raise


@functools.lru_cache(maxsize=2)  # a data set, for all runs of a worker
def _load_once(data):
    return data()


def _run_on_budget(*, arm, budget, seed, study, data, settings):
    pool = data if isinstance(data, Dataset) else _load_once(data)
    data = pool if budget is None else sample_budget(pool, budget, seed=seed)
    return study(arm=arm, data=data, seed=seed, **settings)


def label_ratio(study, treatment, baseline, *, score="score", confidence=0.95):
    """Say how many times as many labels the baseline needs to score what the treatment scores.

    For each budget of the treatment and each seed, the baseline's scores with that seed, joined by straight lines over
    the logarithm of the budget, are followed from the smallest budget upwards until they reach the treatment's score;
    the budget there, divided by the treatment's, is that seed's ratio. Nothing is extrapolated: where the baseline's
    largest budget does not suffice, the ratio is at least that budget's, and where its smallest does more than is
    asked, at most that one's.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy, LabelEfficiency or pandas.DataFrame
        One row per run: ``arm``, ``budget`` (a number above 0), ``seed`` and `score`, of which more is better.
    treatment, baseline
        Two values of ``arm``.
    score : str
        Column to compare.
    confidence : float
        Of the intervals, between 0.5 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per budget of the treatment: ``budget``, ``n`` (seeds), ``reached`` (seeds whose ratio lies within the
        budgets that the baseline ran), ``kind``, and ``ratio``, ``low`` and ``high``: the mean of the ratios in the
        logarithm, with Student's t interval over seeds (NaN with one seed). ``kind`` is ``"measured"`` where all seeds
        reached; ``"at least"`` or ``"at most"`` where some only gave such a bound: their bounds are averaged with the
        others' ratios, `ratio` is a bound itself, and there is no interval; ``"unknown"`` where some gave the one and
        some the other, and then `ratio` is NaN, too.

    Raises
    ------
    ValueError
        If an arm is missing or ran twice with a seed, a budget is no number above 0, a score is not finite, or the
        baseline lacks a seed of the treatment or ran at fewer than two budgets with it; the message names which.

    Notes
    -----
    A ratio of 4 says that four times as many labels are needed. Budgets of one seed are nested, so the ratios at
    several budgets are not independent of each other.
    """
    check_settings("t", confidence)
    runs = getattr(study, "runs", study)
    check_frame(runs, ["arm", "budget", "seed"], score)
    check_scores_are_finite(runs, ["arm", "budget", "seed"], score)
    if treatment == baseline:
        raise ValueError(f"treatment and baseline are both {treatment!r}: there is nothing to compare.")
    ours, theirs = (_curves_by_seed(runs, arm, score) for arm in (treatment, baseline))
    for seed in ours:
        if len(theirs.get(seed, ())) < 2:
            raise ValueError(
                f"Arm {baseline!r} has {len(theirs.get(seed, ()))} budget(s) with seed {seed!r}: a curve needs two at "
                f"least. Run what is missing, or leave that seed out."
            )
    rows = []
    for budget in sorted({budget for curve in ours.values() for budget in curve}):
        needed = [_budget_needed(theirs[seed], curve[budget]) for seed, curve in ours.items() if budget in curve]
        found, below, above = (np.array(part) for part in zip(*needed, strict=True))
        logarithms = np.log(found / budget)
        kind, low, high = _KINDS[bool(below.any()), bool(above.any())], np.nan, np.nan
        if kind == "measured" and len(needed) > 1:
            low, high = np.exp(interval_of_mean(logarithms, "t", confidence))
        ratio = np.nan if kind == "unknown" else np.exp(logarithms.mean())
        rows.append([budget, len(needed), int((~below & ~above).sum()), kind, ratio, low, high])
    return pandas.DataFrame(rows, columns=["budget", "n", "reached", "kind", "ratio", "low", "high"])


def _curves_by_seed(runs, arm, score):
    """Return seed → budget → score of an arm, budgets ascending."""
    rows = runs[rows_where(runs, "arm", arm)]
    if not len(rows):
        present = ", ".join(map(repr, dict.fromkeys(key_values(runs, "arm"))))
        raise ValueError(f"There is no arm {arm!r}; the frame has {present}.")
    scores, curves = rows[score].to_numpy(dtype=float), {}
    for (seed, budget), places in group_rows(rows, ["seed", "budget"]).items():
        if isinstance(budget, bool) or not isinstance(budget, numbers.Real) or not 0 < budget < np.inf:
            raise ValueError(f"A ratio of budgets needs numbers above 0; arm {arm!r} ran at {budget!r}.")
        if len(places) > 1:
            raise ValueError(
                f"Arm {arm!r} has more than one run at {said(['seed', 'budget'], (seed, budget))}: average them first."
            )
        curves.setdefault(seed, {})[budget] = scores[places[0]]
    return {seed: dict(sorted(curve.items())) for seed, curve in curves.items()}


def _budget_needed(curve, wanted):
    """Return the budget at which a curve first reaches a score, and whether it is only a bound from above or below."""
    budgets, scores = np.array(list(curve), dtype=float), np.array(list(curve.values()))
    if scores[0] >= wanted:
        return budgets[0], bool(scores[0] > wanted), False
    reaches = np.flatnonzero(scores >= wanted)
    if not len(reaches):
        return budgets[-1], False, True
    after = reaches[0]
    share = (wanted - scores[after - 1]) / (scores[after] - scores[after - 1])
    return budgets[after - 1] * (budgets[after] / budgets[after - 1]) ** share, False, False
