"""How far apart lie a route's source and target? Read from what a frozen ImageNet backbone sees in both."""

from __future__ import annotations

from functools import cache

from tl_helpers.datasets.street import street
from tl_helpers.experiments.similarity import domain_distance
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.features import extract_features
from tl_helpers.routes.pairs import SIDE, Pair
from tl_helpers.routes.taxonomy import find_route

STAGE = "block5"


def domain_gap(route, *, n=300, seed=0, method="proxy_a", together=True):
    """Measure how far apart a route's source and target lie.

    The same rule holds for every route (:meth:`tl_helpers.routes.pairs.Pair.comparable_inputs`).

    Parameters
    ----------
    route : Route or str
    n : int
        Pictures drawn of each; those whose labels have no counterpart are left out afterwards.
    seed : int
    method : str
        See :func:`tl_helpers.experiments.similarity.domain_distance`.
    together : bool
        Whether both sides get one resolution first.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no such route or method.
    """
    pair = find_route(route).pair
    return distance(*pair.comparable_inputs(*pair.draw(n=n, seed=seed), together=together), method=method)


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
    splits = [lambda n, seed, split=split: street("photo", split) for split in ("source", "target")]
    pair = Pair(*splits)
    return distance(*pair.comparable_inputs(*pair.draw(n=n, seed=seed)), method=method)


def distance(source, target, *, method="proxy_a"):
    """Measure how far apart two sets of pictures lie, by features of the frozen backbone's fifth block.

    Parameters
    ----------
    source, target : numpy.ndarray
        ``uint8``, ``(n, 64, 64, 3)``.
    method : str
        See :func:`domain_gap`.

    Returns
    -------
    float
    """
    return domain_distance(*(extract_features(_backbone(), x, stage=STAGE) for x in (source, target)), method=method)


@cache  # seconds
def _backbone():
    return load_backbone(size=SIDE)
