"""Which of the eight routes is my problem on, and what does it gain? Three questions, and an experiment per answer.

The taxonomy is Luminovo's ("New Perspectives on Transfer Learning", 2020): three questions with two answers each. Its
author calls the definitions opinionated; those below are in our words.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.one_run import MEASURED
from tl_helpers.grid.run import run_grid
from tl_helpers.grid.stored import load_study, study_provenance
from tl_helpers.route_studies import ARM_NAMES, COMPARISONS, role_of
from tl_helpers.studies import ROUTE_STUDIES, STUDIES
from tl_helpers.tuning import measured_run

ORDERS = ("sequential", "simultaneous")


@dataclass(frozen=True)
class Route:
    """One of the eight ways in which knowledge gets from one task to another.

    Parameters
    ----------
    name : str
        As the taxonomy has it.
    same_task : bool
        Whether source and target share their labels, or the target's refine the source's.
    same_domain : bool
        Whether their inputs come from one feature space and one distribution.
    order : {"sequential", "simultaneous"}
        One after the other, or both at once.
    definition : str
    example : str
        The taxonomy's own.
    ours : str
        The recognisable counterpart that this kit runs.
    study : str
        Its experiment: a key of :data:`tl_helpers.studies.ROUTE_STUDIES`.
    """

    name: str
    same_task: bool
    same_domain: bool
    order: str
    definition: str
    example: str
    ours: str
    study: str


ROUTES = (
    Route(
        "Task Fine-Tuning",
        True,
        True,
        "sequential",
        "A model goes on learning the task it knows, on the same kind of input, in more detail.",
        "an ImageNet classifier learns to tell breeds of dogs",
        "a classifier of five families of garments learns to tell three kinds of shoe",
        "route_task_fine_tuning",
    ),
    Route(
        "Domain Adaptation",
        True,
        False,
        "sequential",
        "The labels stay, the inputs come from elsewhere.",
        "a classifier of photographs learns to sort x-rays",
        "a classifier of garments in photographs learns to name them in line drawings",
        "route_domain_adaptation",
    ),
    Route(
        "Task Adaptation",
        False,
        True,
        "sequential",
        "The inputs stay, the question is another: the old model's features serve a new head.",
        "a classifier's backbone serves to detect objects",
        "a classifier of garments serves to draw a box around the sneaker among other shoes",
        "route_task_adaptation",
    ),
    Route(
        "Modality Transfer",
        False,
        False,
        "sequential",
        "Inputs and question are both new, and only the kind of signal (here, images) is shared.",
        "a classifier of everyday photographs serves to find carcinoma in x-rays",
        "a classifier of garments serves to find the digit 3 among other digits",
        "route_modality_transfer",
    ),
    Route(
        "Dataset Merging",
        True,
        True,
        "simultaneous",
        "More examples of the same, from another source, are thrown in with one's own.",
        "images scraped from the web are added to ImageNet",
        "small thumbnails with careless labels are added to one's own garments",
        "route_dataset_merging",
    ),
    Route(
        "Weight Sharing",
        True,
        False,
        "simultaneous",
        "One network learns the same labels from two kinds of input at once.",
        "the text recognised on a page and its image go into one representation",
        "one network learns digits from two collections, one scanned at 28 × 28 pixels, one at 8 × 8",
        "route_weight_sharing",
    ),
    Route(
        "Multi-Task Learning",
        False,
        True,
        "simultaneous",
        "One trunk answers several questions about the same inputs at once.",
        "detection and road-marking segmentation on the same footage",
        "class, box and mask of the target shoe in the same scenes",
        "route_multi_task",
    ),
    Route(
        "Parallel Training",
        False,
        False,
        "simultaneous",
        "Two problems that have nothing to do with each other share a trunk: the control that should gain nothing.",
        "content moderation beside the classification of e-mails",
        "naming garments beside telling odd from even digits",
        "route_parallel_training",
    ),
)


def route_of(*, same_task, same_domain, order):
    """Name the route of a problem.

    Parameters
    ----------
    same_task : bool
        Whether the target's labels are the source's, or finer ones.
    same_domain : bool
        Whether the inputs come from the same feature space and distribution.
    order : {"sequential", "simultaneous"}
        Whether the source is learned first, or both at once.

    Returns
    -------
    Route

    Raises
    ------
    ValueError
        If an answer is none of those above.

    Examples
    --------
    >>> route_of(same_task=True, same_domain=False, order="sequential").name
    'Domain Adaptation'
    """
    if not isinstance(same_task, bool) or not isinstance(same_domain, bool):
        raise ValueError(f"same_task and same_domain are True or False, not {same_task!r} and {same_domain!r}.")
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(map(repr, ORDERS))}, not {order!r}.")
    asked = (same_task, same_domain, order)
    return next(route for route in ROUTES if (route.same_task, route.same_domain, route.order) == asked)


def find_route(name):
    """Return the route of that name.

    Parameters
    ----------
    name : str or Route
        Such as ``"Domain Adaptation"``, in any case; a route is returned as it is.

    Returns
    -------
    Route

    Raises
    ------
    ValueError
        If there is none.
    """
    if isinstance(name, Route):
        return name
    found = [route for route in ROUTES if route.name.lower() == str(name).lower()]
    if not found:
        raise ValueError(f"There is no route {name!r}; there are {', '.join(route.name for route in ROUTES)}.")
    return found[0]


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
        A key of :data:`tl_helpers.studies.ROUTE_STUDIES`, or ``"emoji_text"``, which belongs to Weight Sharing.
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
    names = {route.study: route.name for route in ROUTES} | {"emoji_text": "Weight Sharing"}
    settings = (ROUTE_STUDIES | STUDIES)[study]
    shared = {
        "route": names[study],
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
    import pandas

    runs = load_study("routes") if runs is None else runs
    tables = [route_verdict(route, runs).table.assign(route=route.name) for route in ROUTES]
    table = pandas.concat(tables, ignore_index=True)
    return table[["route", *(name for name in table if name != "route")]]
