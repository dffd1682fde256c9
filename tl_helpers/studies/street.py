"""What do photographs teach about drawings? Studies of notebooks 01 and 02 in the street world."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.street import load_street, load_street_scenes, street
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.experiments.label_shift import adjust_to_prior, estimate_prior
from tl_helpers.models.features import probe
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies.street_runs import run_classifier, run_detector
from tl_helpers.studies.study import FEWER_RATES, Study


def street_labels(labels, seed, *, rate=None, split="test", classifier=None, strategy=None, updates=300):
    """Name garments in line drawings; the source model knows the same ten garments from photographs.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float, optional
        Learning rate of the network.
    split : {"validation", "test"}
    classifier : {"forest", "pixels"}, optional
        A classical baseline, see :func:`classical_accuracy`; the small network if it is left out.
    strategy : {"scratch", "linear_probing", "fine_tuning"}, optional
        Of the network.
    updates : int
        Of the network.

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    labelled, test = sample_budget(street("sketch", "target"), labels, seed=seed), street("sketch", split)
    if classifier is not None:
        return {"score": 100 * classical_accuracy(classifier, labelled, test, seed=seed)}
    return _run_strategy(strategy, labelled, test, rate=rate, updates=updates, seed=seed)


def street_compute(updates, seed, *, rate=None, split="test", strategy, labels):
    """As :func:`street_labels`, but what varies is updates: does transfer save labels or time?

    Parameters
    ----------
    updates : int
        Of 32 examples each.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
    strategy : {"scratch", "fine_tuning"}
    labels : int
        Labels per class.

    Returns
    -------
    dict
        ``score``: accuracy in %; ``train_seconds``: CPU seconds of training alone.
    """
    labelled, test = sample_budget(street("sketch", "target"), labels, seed=seed), street("sketch", split)
    return _run_strategy(strategy, labelled, test, rate=rate, updates=updates, seed=seed)


def classical_accuracy(classifier, labelled, test, *, seed):
    """Fit a classical baseline on standardised pixels and return its accuracy.

    Parameters
    ----------
    classifier : {"forest", "pixels"}
        A random forest of 300 trees (Breiman 2001), or multinomial logistic regression.
    labelled, test : Dataset
    seed : int

    Returns
    -------
    float
        Accuracy, 0…1.
    """
    x, test_x = (data.x.reshape(len(data), -1) for data in (labelled, test))
    if classifier == "forest":
        fitted = RandomForestClassifier(n_estimators=300, random_state=seed).fit(x, labelled.y)
    else:
        fitted = probe(x, labelled.y, C=0.01, max_iter=500)
    return fitted.score(test_x, test.y)


def _run_strategy(strategy, labelled, test, **settings):
    """Train the small network from scratch or from the garment classifier; return a row."""
    source = None if strategy == "scratch" else "street_garments"
    return run_classifier(source, labelled, test, strategy=strategy, **settings)[1]


def street_feature_space(labels, seed, *, rate=None, split="test", source, shrink=False):
    """Small colour pictures → larger grey ones: the target lives in another feature space than the source.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
    source : str or None
        The source model that is fine-tuned, its first layer fitted to the pictures where they differ
        (:func:`tl_helpers.models.small_network.adapt_input`); None for training from scratch.
    shrink : bool
        Whether the pictures are fitted to the model instead: 28 pixels, grey in all three channels.

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    labelled = sample_budget(street("photo", "target", size=56), labels, seed=seed)
    test = street("photo", split, size=56)
    if shrink:
        labelled, test = shrink_to_colour(labelled), shrink_to_colour(test)
    strategy = "scratch" if source is None else "fine_tuning"
    settings = {"rate": rate, "updates": 200, "seed": seed, "strategy": strategy, "head": "average"}
    return run_classifier(source, labelled, test, **settings)[1]


def shrink_to_colour(data):
    """Halve the pictures' side and repeat grey in three channels.

    Parameters
    ----------
    data : Dataset
        ``x`` of shape ``(n, h, w, 1)``, h and w even.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, h/2, w/2, 3)``.
    """
    n, h, w, _ = data.x.shape
    halved = data.x.reshape(n, h // 2, 2, w // 2, 2, 1).mean(axis=(2, 4)).round().astype("uint8")
    x = np.repeat(halved, 3, axis=3)
    domain = dataclasses.replace(data.domain, name=f"{data.domain.name}/shrunk", feature_space=x.shape[1:])
    return dataclasses.replace(data, x=x, domain=domain)


def street_boxes(scenes, seed, *, rate=None, split="test", strategy, updates=250):
    """Classes → boxes: find the sneaker among other shoes, from scratch or from the garment classifier's body.

    Parameters
    ----------
    scenes : int
        Labelled scenes.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
    strategy : {"scratch", "fine_tuning"}
    updates : int

    Returns
    -------
    dict
        ``score``: mean intersection over union in %.
    """
    labelled = load_street_scenes("photo", "target", n=scenes, seed=seed)
    test = load_street_scenes("photo", split, n=500, seed=seed)
    source = None if strategy == "scratch" else "street_garments"
    return run_detector(source, labelled, test, rate=rate, updates=updates, seed=seed, strategy=strategy)[1]


def street_rare(ratio, seed, *, rate=None, split="test", prior):
    """Rarer labels: the same ten garments, but in the target some are much rarer than in the source.

    The commonest class is `ratio` times as frequent as the rarest, the others in between on a geometric scale; each
    seed shuffles which is which and draws 1,000 pictures.

    Parameters
    ----------
    ratio : float
        How many times rarer, at least 1.
    seed : int
    rate : None
    split : {"validation", "test"}
    prior : {"source", "known", "estimated"}
        What to do with the source model's probabilities: nothing, correct them by the target's true class shares, or by
        shares estimated from the unlabelled target pictures (:mod:`tl_helpers.experiments.label_shift`).

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    del rate
    probabilities, y = _garment_probabilities(split)
    random = np.random.default_rng(seed)
    shares = rare_shares(ratio, 10, random)
    counts = random.multinomial(1000, shares)
    rows = np.concatenate([random.permutation(np.flatnonzero(y == label))[:n] for label, n in enumerate(counts)])
    source = np.full(10, 0.1)
    priors = {"source": source, "known": shares, "estimated": estimate_prior(probabilities[rows], source)}
    adjusted = adjust_to_prior(probabilities[rows], source, priors[prior])
    return {"score": 100 * (adjusted.argmax(axis=1) == y[rows]).mean()}


def rare_shares(ratio, n_classes, random):
    """Return class shares on a geometric scale from common to rare, in random order.

    Parameters
    ----------
    ratio : float
        Share of the commonest class by that of the rarest, at least 1.
    n_classes : int
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``(n_classes,)``, sum 1.
    """
    shares = np.geomspace(1, 1 / ratio, n_classes)
    return random.permutation(shares / shares.sum())


@cache  # seconds
def _garment_probabilities(split):
    data = load_street("photo", split)
    logits = load_source_model("street_garments").predict(data.x, batch_size=500, verbose=0)
    return softmax(logits.astype("float64"), axis=1), data.y


def _network(label, role, strategy, *, check_of=None, **settings):
    return Arm(label, role, {"strategy": strategy, **settings}, tuned=True, check_of=check_of)


_SCRATCH, _FINE_TUNING = "training from scratch", "fine-tuning"
_LONGER = "training from scratch with 4 times the updates"

STUDIES = (
    Study(
        "street_labels",
        street_labels,
        arms={
            "forest": Arm("a random forest on pixels", "baseline", {"classifier": "forest"}),
            "pixels": Arm("logistic regression on pixels", "baseline", {"classifier": "pixels"}),
            "scratch": _network(_SCRATCH, "baseline", "scratch"),
            "scratch_longer": _network(_LONGER, "baseline", "scratch", updates=1200, check_of="scratch"),
            "linear_probing": _network("linear probing", "transfer", "linear_probing"),
            "fine_tuning": _network(_FINE_TUNING, "transfer", "fine_tuning"),
        },
        axis=Axis("labels", "labels per class", (5, 10, 20, 50, 200)),
        seeds=tuple(range(10)),
        chance=10.4,
        compared=("fine_tuning", "scratch"),
    ),
    Study(
        "street_compute",
        street_compute,
        arms={
            "scratch 20": _network("from scratch, 20 labels per class", "baseline", "scratch", labels=20),
            "fine_tuning 20": _network("fine-tuning, 20 labels per class", "transfer", "fine_tuning", labels=20),
            "scratch 500": _network("from scratch, 500 labels per class", "baseline", "scratch", labels=500),
            "fine_tuning 500": _network("fine-tuning, 500 labels per class", "transfer", "fine_tuning", labels=500),
        },
        axis=Axis("training", "updates", (40, 100, 250, 600, 1500)),
        seeds=tuple(range(5)),
        rates=FEWER_RATES,
        chance=10.4,
        compared=("fine_tuning 20", "scratch 20"),
    ),
    Study(
        "street_feature_space",
        street_feature_space,
        arms={
            "scratch": Arm(_SCRATCH, "baseline", {"source": None}, tuned=True),
            "scratch_shrunk": Arm(
                "from scratch on shrunk pictures", "baseline", {"source": None, "shrink": True}, tuned=True
            ),
            "shrink": Arm(
                "pictures fitted to the model", "transfer", {"source": "street_colour", "shrink": True}, tuned=True
            ),
            "sum_kernel": Arm("model fitted to the pictures", "transfer", {"source": "street_colour"}, tuned=True),
        },
        axis=Axis("labels", "labels per class", (5, 20, 200)),
        seeds=tuple(range(10)),
        rates=FEWER_RATES,
        chance=10.4,
        compared=("sum_kernel", "scratch"),
    ),
    Study(
        "street_boxes",
        street_boxes,
        arms={
            "scratch": _network(_SCRATCH, "baseline", "scratch"),
            "scratch_longer": _network(_LONGER, "baseline", "scratch", updates=1000, check_of="scratch"),
            "fine_tuning": _network(_FINE_TUNING, "transfer", "fine_tuning"),
        },
        axis=Axis("scenes", "labelled scenes", (100, 200)),
        seeds=tuple(range(10)),
        metric="mean IoU in %",
        chance=19.0,  # of the best single box for all test scenes of the ten seeds
        compared=("fine_tuning", "scratch"),
    ),
    Study(
        "street_rare",
        street_rare,
        arms={
            "as_is": Arm("the model as it is", "baseline", {"prior": "source"}),
            "known_prior": Arm("corrected by the true shares", "control", {"prior": "known"}),
            "estimated_prior": Arm("corrected by estimated shares", "transfer", {"prior": "estimated"}),
        },
        axis=Axis("rarity", "times rarer", (1, 2, 5, 10, 50)),
        seeds=tuple(range(10)),
        compared=("estimated_prior", "as_is"),
    ),
)
