"""What do photographs teach about drawings? Studies of notebook 01 in the street world."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.street import load_street, load_street_scenes, street
from tl_helpers.experiments.label_shift import adjust_to_prior, estimate_prior
from tl_helpers.models.features import probe
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies.street_runs import run_classifier, run_detector


def street_labels(arm, budget, seed, *, rate=None, split="test"):
    """Name garments in line drawings; the source model knows the same ten garments from photographs.

    Parameters
    ----------
    arm : {"forest", "pixels", "scratch", "scratch_longer", "linear_probing", "fine_tuning"}
        A random forest and a logistic regression on pixels, and the small network three ways; ``"scratch_longer"``
        gets four times the updates.
    budget : int
        Labels per class.
    seed : int
    rate : float, optional
        Learning rate of the network.
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    labelled, test = sample_budget(street("sketch", "target"), budget, seed=seed), street("sketch", split)
    if arm in ("forest", "pixels"):
        return {"score": 100 * classical_accuracy(arm, labelled, test, seed=seed)}
    updates = 1200 if arm == "scratch_longer" else 300
    return _run_strategy(arm.removesuffix("_longer"), labelled, test, rate=rate, updates=updates, seed=seed)


def street_compute(arm, budget, seed, *, rate=None, split="test"):
    """As :func:`street_labels`, but the budget is updates: does transfer save labels or time?

    Parameters
    ----------
    arm : str
        Strategy and labels per class, such as ``"fine_tuning 20"``.
    budget : int
        Updates of 32 examples each.
    seed : int
    rate : float, optional
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %; ``train_seconds``: CPU seconds of training alone.
    """
    strategy, per_class = arm.split()
    labelled, test = sample_budget(street("sketch", "target"), int(per_class), seed=seed), street("sketch", split)
    return _run_strategy(strategy, labelled, test, rate=rate, updates=budget, seed=seed)


def classical_accuracy(arm, labelled, test, *, seed):
    """Fit a classical baseline on standardised pixels and return its accuracy.

    Parameters
    ----------
    arm : {"forest", "pixels"}
        A random forest of 300 trees (Breiman 2001), or multinomial logistic regression.
    labelled, test : Dataset
    seed : int

    Returns
    -------
    float
        Accuracy, 0…1.
    """
    x, test_x = (data.x.reshape(len(data), -1) for data in (labelled, test))
    if arm == "forest":
        classifier = RandomForestClassifier(n_estimators=300, random_state=seed).fit(x, labelled.y)
    else:
        classifier = probe(x, labelled.y, C=0.01, max_iter=500)
    return classifier.score(test_x, test.y)


def _run_strategy(strategy, labelled, test, **settings):
    """Train the small network from scratch or from the garment classifier; return a row."""
    source = None if strategy == "scratch" else "street_garments"
    return run_classifier(source, labelled, test, strategy=strategy, **settings)[1]


def street_feature_space(arm, budget, seed, *, rate=None, split="test"):
    """Small colour pictures → larger grey ones: the target lives in another feature space than the source.

    Parameters
    ----------
    arm : {"scratch", "shrink", "sum_kernel"}
        ``"shrink"`` fits the pictures to the model (28 pixels, grey in all three channels); ``"sum_kernel"`` fits the
        model to the pictures (:func:`tl_helpers.models.small_network.adapt_input`).
    budget : int
        Labels per class.
    seed : int
    rate : float, optional
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    labelled = sample_budget(street("photo", "target", size=56), budget, seed=seed)
    test = street("photo", split, size=56)
    if arm == "shrink":
        labelled, test = shrink_to_colour(labelled), shrink_to_colour(test)
    source, strategy = (None, "scratch") if arm == "scratch" else ("street_colour", "fine_tuning")
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


def street_boxes(arm, budget, seed, *, rate=None, split="test"):
    """Classes → boxes: find the sneaker among other shoes, from scratch or from the garment classifier's body.

    Parameters
    ----------
    arm : {"scratch", "scratch_longer", "fine_tuning"}
    budget : int
        Labelled scenes.
    seed : int
    rate : float, optional
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: mean intersection over union in %.
    """
    scenes = load_street_scenes("photo", "target", n=budget, seed=seed)
    test = load_street_scenes("photo", split, n=500, seed=seed)
    strategy, updates = arm.removesuffix("_longer"), 1000 if arm == "scratch_longer" else 250
    source = None if strategy == "scratch" else "street_garments"
    return run_detector(source, scenes, test, rate=rate, updates=updates, seed=seed, strategy=strategy)[1]


def street_rare(arm, budget, seed, *, rate=None, split="test"):
    """Rarer labels: the same ten garments, but in the target some are much rarer than in the source.

    The commonest class is `budget` times as frequent as the rarest, the others in between on a geometric scale; each
    seed shuffles which is which and draws 1,000 pictures.

    Parameters
    ----------
    arm : {"as_is", "known_prior", "estimated_prior"}
        What to do with the source model's probabilities: nothing, correct them by the target's true class shares, or by
        shares estimated from the unlabelled target pictures (:mod:`tl_helpers.experiments.label_shift`).
    budget : float
        How many times rarer, at least 1.
    seed : int
    rate : None
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    del rate
    probabilities, y = _garment_probabilities(split)
    random = np.random.default_rng(seed)
    shares = rare_shares(budget, 10, random)
    counts = random.multinomial(1000, shares)
    rows = np.concatenate([random.permutation(np.flatnonzero(y == label))[:n] for label, n in enumerate(counts)])
    source = np.full(10, 0.1)
    priors = {
        "as_is": source,
        "known_prior": shares,
        "estimated_prior": estimate_prior(probabilities[rows], source),
    }
    adjusted = adjust_to_prior(probabilities[rows], source, priors[arm])
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
