"""What does each route gain? The stored runs of the eight routes, their verdicts, and a slice of them run now."""

from __future__ import annotations

import numbers

import numpy as np
import pandas

from tl_helpers.experiments.stored import load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.one_run import MEASURED
from tl_helpers.grid.run import run_grid
from tl_helpers.routes.taxonomy import ROUTES, find_route
from tl_helpers.studies.catalogue import ROUTE_STUDIES, STUDIES
from tl_helpers.studies.tuning import measured_run, measured_settings


def run_route(route, budgets=None, seeds=(0,), *, arms=None, path=None, n_jobs=1):
    """Run a route's experiment now, at the learning rates that were tuned for the stored results.

    Parameters
    ----------
    route : Route or str
    budgets : sequence of int, optional
        Labels per class, or labelled scenes; all stored ones if it is left out. At a budget that was not stored, an arm
        trains at the rate of the nearest one that was.
    seeds : sequence of int
        Six seeds (0…5) are stored.
    arms : sequence of str, optional
        Which of the study's arms; those of the route's main comparison if it is left out.
    path, n_jobs
        See :func:`tl_helpers.grid.run.run_grid`.

    Returns
    -------
    pandas.DataFrame
        One row per run, with the same columns for all routes, see :func:`tidy`.

    Raises
    ------
    ValueError
        If there is no such route or arm.

    Examples
    --------
    >>> runs = run_route("Domain Adaptation", budgets=[20], seeds=[0])  # doctest: +SKIP
    """
    route = find_route(route)
    study = ROUTE_STUDIES[route.study]
    arms = list(arms or study.compared)
    unknown = [arm for arm in arms if arm not in study.arms]
    if unknown:
        raise ValueError(f"{route.name} has no arm {unknown[0]!r}; it has {', '.join(study.arms)}.")
    budgets = list(study.axis.values if budgets is None else budgets)
    odd = [
        budget for budget in budgets if isinstance(budget, bool) or not isinstance(budget, numbers.Real) or budget < 1
    ]
    if odd:
        raise ValueError(f"{route.name} takes numbers of {study.axis.unit} as budgets, 1 or more, not {odd[0]!r}.")
    stored = load_study("routes").part(route.study).rates
    rates = {f"{arm}/{budget}": _nearest_rate(stored, arm, budget) for arm in arms for budget in budgets}
    settings = {"path": path, "n_jobs": n_jobs, **measured_settings(study, rates)}
    runs = run_grid(measured_run, arms, budgets, seeds, **settings)
    return tidy(route.study, runs)


def _nearest_rate(rates, arm, budget):
    """Return the tuned rate of the nearest stored budget; None for an arm that has none."""
    stored = {float(key.rsplit("/", 1)[1]): rate for key, rate in rates.items() if key.rsplit("/", 1)[0] == arm}
    return stored[min(stored, key=lambda one: abs(np.log(one / budget)))] if stored else None


def route_of_study(study):
    """Return the route to which a study belongs.

    Parameters
    ----------
    study : str
        The ``study`` of a route or one of its ``further_studies``.

    Returns
    -------
    Route
    """
    return next(route for route in ROUTES if study in (route.study, *route.further_studies))


def tidy(study, runs):
    """Give the runs of a route's study the columns that all routes share.

    Parameters
    ----------
    study : str
        The ``study`` of a route or one of its ``further_studies``.
    runs : pandas.DataFrame
        As :func:`tl_helpers.grid.run.run_grid` returns it.

    Returns
    -------
    pandas.DataFrame
        ``route``, ``arm``, ``role`` (transfer, baseline or control), ``budget``, ``budget_unit``, ``seed``, ``fold`` (0
        where the split is fixed), ``metric``, ``score``, ``learning_rate`` and ``updates`` (missing where nothing was
        trained by gradient), ``seconds`` (of CPU), then what else the study measured, and ``spec``, the hash of what
        the run depended on.
    """
    route = route_of_study(study)
    settings = (ROUTE_STUDIES | STUDIES)[study]
    roles = {key: arm.role for key, arm in settings.arms.items()}
    shared = {
        "route": route.name,
        "arm": runs["arm"],
        "role": runs["arm"].map(roles),
        "budget": runs["budget"],
        "budget_unit": settings.axis.unit,
        "seed": runs["seed"],
        "fold": runs["fold"] if "fold" in runs else 0,
        "metric": settings.metric,
        "score": runs["score"],
        "learning_rate": runs["learning_rate"] if "learning_rate" in runs else np.nan,
        "updates": runs["updates"] if "updates" in runs else np.nan,
        "seconds": runs["run_cpu_seconds"],
    }
    others = runs.drop(columns=[name for name in (*shared, *MEASURED, "train_seconds") if name in runs])
    return others.assign(**shared)[[*shared, *others]]


def route_verdict(route, stored=None):
    """Judge a route's main comparison, with the usual doubts: more updates, another head, the offer of rates.

    Parameters
    ----------
    route : Route or str
    stored : tl_helpers.experiments.stored.StoredStudy, optional
        As ``load_study("routes")`` returns it, which is taken if it is left out.

    Returns
    -------
    tl_helpers.experiments.verdict.TransferVerdict
    """
    study = (stored or load_study("routes")).part(find_route(route).study)
    return transfer_verdict(study, *study.compared)


def route_gains(stored=None):
    """Table what every route gains, budget by budget.

    Parameters
    ----------
    stored : tl_helpers.experiments.stored.StoredStudy, optional
        See :func:`route_verdict`.

    Returns
    -------
    pandas.DataFrame
        One row per route and budget: ``route``, ``budget``, ``n``, ``difference`` with ``low`` and ``high`` (points,
        95 % interval), ``p``, ``p_holm`` (corrected over the route's budgets) and ``verdict``, the checks included.
    """
    stored = stored or load_study("routes")
    tables = [route_verdict(route, stored).table.assign(route=route.name) for route in ROUTES]
    table = pandas.concat(tables, ignore_index=True)
    return table[["route", *(name for name in table if name != "route")]]
