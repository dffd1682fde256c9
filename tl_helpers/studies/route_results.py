"""What does each route gain? The verdicts on the stored runs of the eight routes."""

from __future__ import annotations

import pandas

from tl_helpers.experiments.stored import load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.routes.taxonomy import ROUTES, find_route


def route_verdict(route):
    """Judge a route's main comparison, with the usual doubts: more updates, another head, the offer of rates.

    Parameters
    ----------
    route : Route or str

    Returns
    -------
    tl_helpers.experiments.verdict.TransferVerdict
    """
    study = load_study(find_route(route).study)
    return transfer_verdict(study, *study.compared)


def route_gains(routes=ROUTES):
    """Table what routes gain, budget by budget.

    Parameters
    ----------
    routes : sequence of Route or str

    Returns
    -------
    pandas.DataFrame
        One row per route and budget: ``route``, ``budget``, ``n``, ``difference`` with ``low`` and ``high`` (points,
        95 % interval), ``p``, ``p_holm`` (corrected over the route's budgets) and ``verdict``, the checks included.
    """
    tables = [route_verdict(route).table.assign(route=find_route(route).name) for route in routes]
    table = pandas.concat(tables, ignore_index=True)
    return table[["route", *(name for name in table if name != "route")]]
