"""What are the source and the target of each route? Their pictures, their labels, and how far apart they lie."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import numpy as np

from tl_helpers.datasets.collections import halve_and_blow_up, scraped_thumbnails, two_digit_collections
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.street import FAMILIES, GARMENTS, load_street_scenes, street
from tl_helpers.experiments.similarity import domain_distance
from tl_helpers.models.features import extract_features
from tl_helpers.models.small_network import body_of
from tl_helpers.models.source_models import load_source_model


class RoutePair(NamedTuple):
    """Source and target of a route.

    Parameters
    ----------
    source, target : Dataset
        As the networks see them.
    label_map : dict of str to str, or None
        Each of the target's labels → the source's label that it equals or refines; None where the tasks differ.
    """

    source: Dataset
    target: Dataset
    label_map: dict[str, str] | None


def source_and_target(study, *, n=400, seed=0):
    """Draw pictures of a route's source and target.

    Parameters
    ----------
    study : str
        A key of :data:`tl_helpers.studies.routes.COMPARISONS`.
    n : int
        Pictures of each.
    seed : int

    Returns
    -------
    RoutePair

    Raises
    ------
    ValueError
        If there is no such study.
    """
    same = {name: name for name in GARMENTS}
    photographs, sketches = partial(street, "photo"), partial(street, "sketch")
    scenes = partial(_scenes, n=n)
    pairs = {
        "route_task_fine_tuning": (
            lambda: (photographs("source", "family"), photographs("target", "shoe")),
            {kind: "shoes" for kind in FAMILIES["shoes"]},
        ),
        "route_domain_adaptation": (lambda: (photographs("source"), sketches("target")), same),
        "route_task_adaptation": (lambda: (photographs("source"), scenes("sneaker", "shoe", seed=seed)), None),
        "route_modality_transfer": (lambda: (photographs("source"), scenes("3", "digit", seed=seed)), None),
        "route_dataset_merging": (lambda: (scraped_thumbnails(seed), photographs("target")), same),
        "route_weight_sharing": (lambda: map(_digits, ("8 x 8", "28 x 28")), {str(d): str(d) for d in range(10)}),
        "route_multi_task": (
            lambda: (scenes("shoes", "garment", seed=2 * seed), scenes("shoes", "garment", seed=2 * seed + 1)),
            None,
        ),
        "route_parallel_training": (lambda: (_parity(photographs("source", "digit")), photographs("target")), None),
    }
    if study not in pairs:
        raise ValueError(f"There is no study {study!r}; there are {', '.join(pairs)}.")
    load, label_map = pairs[study]
    source, target = (
        data.subset(np.random.default_rng([seed, side]).permutation(len(data))[:n]) for side, data in enumerate(load())
    )
    return RoutePair(source, target, label_map)


def _scenes(target, distractors, *, n, seed):
    return load_street_scenes("photo", "target", n=n, seed=seed, target=target, distractors=distractors)


def _digits(name):
    x, y = two_digit_collections()[name]["train"]
    domain = Domain(f"digits/{name}", x.shape[1:], f"digits scanned at {name} pixels")
    task = Task("digit", tuple(map(str, range(10))))
    return Dataset(x, y, domain, task, "train", np.array([f"{name}/{number}" for number in range(len(y))]))


def _parity(digits):
    return dataclasses.replace(digits, y=digits.y % 2, task=Task("street/parity", ("even", "odd")))


def comparable_inputs(study, pair):
    """Bring a route's pictures to one size and one resolution, so that nothing but the domains can differ.

    Scenes are cut to 28 × 28 pixels around the target; where a target's labels are a part of the source's, the source
    is cut down to that part; where thumbnails are merged with pictures, both are thumbnails.

    Parameters
    ----------
    study : str
    pair : RoutePair
        From :func:`source_and_target`.

    Returns
    -------
    source, target : numpy.ndarray
        ``uint8``, ``(n, 28, 28, 1)``.
    """
    source, target = pair.source, pair.target
    if pair.label_map is not None:
        kept = [source.label_names.index(name) for name in set(pair.label_map.values())]
        source = source.subset(np.flatnonzero(np.isin(source.y, kept)))
    elif study == "route_task_adaptation":
        source = source.subset(np.flatnonzero(source.y == source.label_names.index("sneaker")))
    inputs = [data.x if data.boxes is None else _cut_out(data) for data in (source, target)]
    return [halve_and_blow_up(x) for x in inputs] if study == "route_dataset_merging" else inputs


def _cut_out(scenes):
    """Cut 28 × 28 pixels around each target."""
    corners = ((scenes.boxes[:, :2] + scenes.boxes[:, 2:]) / 2 - 14).round().astype(int).clip(0, 28)
    return np.stack([x[top : top + 28, left : left + 28] for x, (left, top) in zip(scenes.x, corners, strict=True)])


def domain_gap(study, *, n=1500, seed=0, method="proxy_a"):
    """Measure how far apart a route's source and target lie, by features of the shipped classifier of garments.

    Parameters
    ----------
    study : str
        A key of :data:`tl_helpers.studies.routes.COMPARISONS`.
    n : int
        Pictures drawn of each; those whose labels have no counterpart are left out afterwards.
    seed : int
    method : str
        See :func:`tl_helpers.experiments.similarity.domain_distance`.

    Returns
    -------
    float
    """
    return _distance(*comparable_inputs(study, source_and_target(study, n=n, seed=seed)), method)


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
