"""How good is it with few labels? A grid of runs over label budgets."""

from __future__ import annotations

import functools
from typing import NamedTuple

from tl_helpers.datasets.dataset import Dataset, sample_budget
from tl_helpers.experiments.intervals import confidence_interval
from tl_helpers.experiments.statistics import check_settings
from tl_helpers.grid.run import run_grid


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
