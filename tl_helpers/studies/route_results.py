"""What does each route gain? The stored runs of the eight routes, their verdicts, and a slice of them run now."""

from __future__ import annotations

import numbers

import numpy as np
import pandas

from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.one_run import MEASURED
from tl_helpers.grid.run import run_grid
from tl_helpers.grid.stored import load_study, study_provenance
from tl_helpers.routes.taxonomy import ROUTES, find_route
from tl_helpers.studies.catalogue import ROUTE_STUDIES, STUDIES
from tl_helpers.studies.routes import ARM_NAMES, COMPARISONS, role_of
from tl_helpers.studies.tuning import measured_run


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
    study, comparison = ROUTE_STUDIES[route.study], COMPARISONS[route.study]
    arms = list(arms or (comparison.treatment, comparison.baseline))
    unknown = [arm for arm in arms if arm not in study.arms]
    if unknown:
        raise ValueError(f"{route.name} has no arm {unknown[0]!r}; it has {', '.join(study.arms)}.")
    budgets = list(study.budgets if budgets is None else budgets)
    odd = [
        budget for budget in budgets if isinstance(budget, bool) or not isinstance(budget, numbers.Real) or budget < 1
    ]
    if odd:
        raise ValueError(f"{route.name} takes numbers of {study.budget_unit} as budgets, 1 or more, not {odd[0]!r}.")
    stored = study_provenance("routes")["spec"]["studies"][route.study]["rates"]
    rates = {f"{arm}/{budget}": _nearest_rate(stored, arm, budget) for arm in arms for budget in budgets}
    runs = run_grid(
        measured_run, arms, budgets, seeds, path=path, n_jobs=n_jobs, experiment=study.function, rates=rates
    )
    return tidy(route.study, runs)


def _nearest_rate(rates, arm, budget):
    """Return the tuned rate of the nearest stored budget; None for an arm that has none."""
    stored = {float(key.rsplit("/", 1)[1]): rate for key, rate in rates.items() if key.rsplit("/", 1)[0] == arm}
    return stored[min(stored, key=lambda one: abs(np.log(one / budget)))] if stored else None


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
    route = next(route for route in ROUTES if study in (route.study, *route.further_studies))
    settings = (ROUTE_STUDIES | STUDIES)[study]
    shared = {
        "route": route.name,
        "arm": runs["arm"],
        "role": runs["arm"].map(role_of),
        "budget": runs["budget"],
        "budget_unit": settings.budget_unit,
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


def route_verdict(route, runs=None):
    """Judge a route's main comparison, with the usual doubts: more updates, another head, the offer of rates.

    Parameters
    ----------
    route : Route or str
    runs : pandas.DataFrame, optional
        As ``load_study("routes")`` returns it, which is taken if it is left out.

    Returns
    -------
    tl_helpers.experiments.verdict.TransferVerdict
    """
    route = find_route(route)
    runs = load_study("routes") if runs is None else runs
    treatment, baseline, controls, chance = COMPARISONS[route.study]
    runs = runs[(runs["route"] == route.name) & runs["arm"].isin([treatment, baseline, *controls])]
    return transfer_verdict(
        runs.assign(arm=runs["arm"].map(ARM_NAMES)),
        ARM_NAMES[treatment],
        ARM_NAMES[baseline],
        controls=[ARM_NAMES[control] for control in controls],
        chance=chance,
        learning_rates=study_provenance("routes")["spec"]["studies"][route.study]["rates_offered"],
    )


def route_gains(runs=None):
    """Table what every route gains, budget by budget.

    Parameters
    ----------
    runs : pandas.DataFrame, optional
        See :func:`route_verdict`.

    Returns
    -------
    pandas.DataFrame
        One row per route and budget: ``route``, ``budget``, ``n``, ``difference`` with ``low`` and ``high`` (points,
        95 % interval), ``p``, ``p_holm`` (corrected over the route's budgets) and ``verdict``, the checks included.
    """
    runs = load_study("routes") if runs is None else runs
    tables = [route_verdict(route, runs).table.assign(route=route.name) for route in ROUTES]
    table = pandas.concat(tables, ignore_index=True)
    return table[["route", *(name for name in table if name != "route")]]
