"""How far apart lie a route's source and target? Read from features of the shipped classifier of garments."""

from __future__ import annotations

import numpy as np

from tl_helpers.datasets.street import street
from tl_helpers.experiments.similarity import domain_distance
from tl_helpers.models.features import extract_features
from tl_helpers.models.small_network import body_of
from tl_helpers.models.source_models import load_source_model
from tl_helpers.routes.taxonomy import find_route


def domain_gap(route, *, n=1500, seed=0, method="proxy_a"):
    """Measure how far apart a route's source and target lie.

    Parameters
    ----------
    route : Route or str
    n : int
        Pictures drawn of each; those whose labels have no counterpart are left out afterwards.
    seed : int
    method : str
        See :func:`tl_helpers.experiments.similarity.domain_distance`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no such route or method.
    """
    pair = find_route(route).pair
    return _distance(*pair.comparable_inputs(*pair.draw(n=n, seed=seed)), method)


def split_gap(*, n=300, seed=0, method="proxy_a"):
    """Measure how far apart two splits of one domain lie: what a distance is when there is none.

    Parameters
    ----------
    n : int
        Pictures of each.
    seed, method
        See :func:`domain_gap`.

    Returns
    -------
    float
    """
    order = np.random.default_rng(seed)
    halves = [street("photo", split).x for split in ("source", "target")]
    return _distance(*(x[order.permutation(len(x))[:n]] for x in halves), method)


def _distance(source, target, method):
    body = body_of(load_source_model("street_garments"))
    n = min(len(source), len(target), 300)
    return domain_distance(extract_features(body, source[:n]), extract_features(body, target[:n]), method=method)
