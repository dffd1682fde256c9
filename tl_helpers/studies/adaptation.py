"""What does adapting without target labels gain, and where does it cost? Line drawings, and photographs.

Between the two references, a classifier that knows the source alone and one that was given labels of the target, stand
the methods of :mod:`tl_helpers.training.adaptation`, which see inputs of the target and no label. Whoever has no target
labels cannot tune on them either: photographs' rates, and those of blind runs, are chosen on held-out examples of the
source. The studies stand at the end.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import keras
import numpy as np

from tl_helpers.datasets.dataset import draw_per_class, sample_budget
from tl_helpers.datasets.photos import photo_families
from tl_helpers.datasets.street import load_street, street
from tl_helpers.experiments.averages import macro_average
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.small_network import body_of
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies.frozen_features import FAMILIES_TO_TRANSFER, family_features
from tl_helpers.studies.street_runs import run_classifier
from tl_helpers.studies.study import FEWER_RATES, RATES, Study
from tl_helpers.training.adaptation import coral, fit_coral, fit_dann, standardise
from tl_helpers.training.evaluation import mean_recall

UPDATES = 200
SOURCE_PICTURES = 3000
SOURCE_POOL = 4000
# How much more frequent the commonest garment is than the rarest, in uneven runs.
UNEVEN = 50


def predict_by_alignment(method, source, unlabelled, test):
    """Train on labelled features of the source and predict the target's.

    Parameters
    ----------
    method : {"source_only", "per_domain", "coral"}
        Standardise both domains by the source's statistics; or each by its own; or the first, and then give the
        source the target's mean and covariance (:func:`tl_helpers.training.adaptation.coral`).
    source : tuple of numpy.ndarray
        Features ``(n, d)`` and class indices ``(n,)``.
    unlabelled : numpy.ndarray
        Features of the target ``(m, d)``; all that a method gets to know of it. ``"source_only"`` ignores them.
    test : numpy.ndarray
        Features of the target to predict.

    Returns
    -------
    numpy.ndarray
        Class indices.

    Raises
    ------
    ValueError
        If `method` is none of those above.
    """
    x, y = source
    if method == "per_domain":
        return probe(standardise(x), y, standardise=False).predict(standardise(test, like=unlabelled))
    shared, unlabelled, test = (standardise(part, like=x) for part in (x, unlabelled, test))
    if method == "source_only":
        return probe(shared, y, standardise=False).predict(test)
    if method != "coral":
        raise ValueError(f"method must be 'source_only', 'per_domain' or 'coral', not {method!r}.")
    if x.shape[1] > len(x) + len(unlabelled):
        # Neither CORAL nor an L2 penalty cares for directions in which nothing varies; leaving them out saves time.
        rotation = np.linalg.svd(np.concatenate([shared, unlabelled]), full_matrices=False)[2].T
        shared, unlabelled, test = (part @ rotation for part in (shared, unlabelled, test))
    return probe(coral(shared, unlabelled), y, standardise=False).predict(test)


def adapt_network(method, model, source, unlabelled, *, rate, seed, layer="head_pool"):
    """Train a network on labelled inputs of the source and unlabelled ones of the target, in place.

    Parameters
    ----------
    method : {"source_trained", "dann", "deep_coral"}
        The first is the others' baseline: the same batches, without their second loss.
    model : keras.Model
        To logits; its layer before last is `layer`.
    source : tuple of numpy.ndarray
        Inputs and class indices.
    unlabelled : numpy.ndarray
        Inputs of the target.
    rate : float
        Learning rate.
    seed : int
    layer : str
        What DANN's critic sees.

    Raises
    ------
    ValueError
        If `method` is none of those above.
    """
    settings = {"learning_rate": rate, "updates": UPDATES, "seed": seed}
    if method == "deep_coral":
        fit_coral(model, source, unlabelled, **settings)
    elif method in ("source_trained", "dann"):
        fit_dann(model, source, unlabelled, strength=float(method == "dann"), layer=layer, **settings)
    else:
        raise ValueError(f"method must be 'source_trained', 'dann' or 'deep_coral', not {method!r}.")


# ---------------------------------------------------------------- drawings


def adapt_sketches(drawings, seed, *, rate=None, split="test", method, uneven=False, blind=False):
    """Garments in photographs → the same garments in line drawings, of which no label is known.

    Parameters
    ----------
    drawings : int
        Drawings of the target pool: labelled ones (as many of each garment) for the methods named ``target``, otherwise
        unlabelled ones.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
        ``"validation"`` is for choosing rates: of drawings, or of photographs for `blind` runs.
    method : str
        On features of the shipped source model, with logistic regression: ``"source_only"``, ``"per_domain"``,
        ``"coral"``, and ``"target_only"``, which gets labels instead of photographs. The source model trained on, for
        :data:`UPDATES` updates: ``"source_trained"`` on photographs alone, ``"dann"``, ``"deep_coral"``, and
        ``"target_trained"`` on labelled drawings.
    uneven : bool
        Whether some garments are rarer among the unlabelled drawings than others, by up to :data:`UNEVEN` times, while
        they are equally frequent among the photographs.
    blind : bool
        Whether rates are chosen on photographs; otherwise on labelled drawings of the validation split, which flatters.

    Returns
    -------
    dict
        ``score``: mean recall in %, which does not depend on how frequent each garment is.
    """
    if method in ("target_only", "target_trained"):
        return _with_labels(method, drawings, seed, rate, split)
    rows = _source_rows(seed)
    drawn = draw_unlabelled(street("sketch", "target").y, drawings, UNEVEN if uneven else 1, seed=seed)
    view = "photo" if split == "validation" and blind else "sketch"
    test = street(view, split)
    if method in ("source_only", "per_domain", "coral"):
        source = _source_features()[rows], _photographs().y[rows]
        unlabelled = _street_features("sketch", "target")[drawn]
        predicted = predict_by_alignment(method, source, unlabelled, _street_features(view, split))
        return {"score": 100 * macro_average(predicted == test.y, test.y)}
    model, photographs = load_source_model("street_garments"), _photographs().subset(rows)
    source, unlabelled = (photographs.x, photographs.y), street("sketch", "target").x[drawn]
    adapt_network(method, model, source, unlabelled, rate=rate, seed=seed)
    return {"score": 100 * mean_recall(model, test), "learning_rate": rate, "updates": UPDATES}


def _with_labels(method, drawings, seed, rate, split):
    """Train on labelled drawings, as many of each garment: what the other arms could reach at most."""
    labelled, test = sample_budget(street("sketch", "target"), drawings // 10, seed=seed), street("sketch", split)
    if method == "target_only":
        classifier = probe(_garment_features(labelled.x), labelled.y)
        right = classifier.predict(_street_features("sketch", split)) == test.y
        return {"score": 100 * macro_average(right, test.y)}
    settings = {"rate": rate, "updates": UPDATES, "seed": seed, "strategy": "fine_tuning", "head": "average"}
    model, row = run_classifier("street_garments", labelled, test, **settings)
    return row | {"score": 100 * mean_recall(model, test)}


def draw_unlabelled(y, n, ratio, *, seed):
    """Draw rows of which some classes are rarer than others. A smaller draw is part of a larger one.

    Weighted sampling without replacement by exponential keys (Efraimidis and Spirakis 2006).

    Parameters
    ----------
    y : numpy.ndarray
        Class indices ``(m,)``: they make the world, and are not handed on.
    n : int
        Rows to draw, at most m.
    ratio : float
        How much more likely a row of the commonest class is drawn than one of the rarest, at least 1. The shares lie
        on a geometric scale, in an order that the seed draws.
    seed : int

    Returns
    -------
    numpy.ndarray
        ``(n,)``.
    """
    random = np.random.default_rng(seed)
    weights = random.permutation(np.geomspace(1, 1 / ratio, y.max() + 1))
    return np.argsort(random.exponential(size=len(y)) / weights[y])[:n]


def _source_rows(seed):
    return np.random.default_rng(seed).permutation(SOURCE_POOL)[:SOURCE_PICTURES]


@cache  # a second
def _photographs():
    return load_street("photo", "source", n=SOURCE_POOL)


@cache  # seconds, like the next
def _source_features():
    return _garment_features(_photographs().x)


@cache
def _street_features(view, split):
    return _garment_features(street(view, split).x)


def _garment_features(x):
    return extract_features(body_of(load_source_model("street_garments")), x, batch_size=500)


# ---------------------------------------------------------------- photographs


class Pair(NamedTuple):
    """A source and a target with the same families.

    Parameters
    ----------
    source, target : str
        ``"emoji"``, or a source of photographs: ``"all"``, ``"gcompris"`` or ``"tuxpaint"``.
    families : tuple of str
    """

    source: str
    target: str
    families: tuple[str, ...]


PHOTO_PAIRS = {
    "emoji → photographs": Pair("emoji", "all", FAMILIES_TO_TRANSFER),
    "emoji → photographs, fruit or vegetable": Pair("emoji", "all", ("fruit", "vegetable")),
    "full photographs → cut-outs": Pair("gcompris", "tuxpaint", photo_families(5)),
    "cut-outs → full photographs": Pair("tuxpaint", "gcompris", photo_families(5)),
}


def adapt_photos(pair, seed, *, rate=None, split="test", method, labels=None, balanced=False):
    """Sort photographs into families by what was learnt from emoji, or from photographs of another kind.

    Features of the frozen ImageNet backbone at 96 pixels. Each seed takes another fold of both domains.

    Parameters
    ----------
    pair : str
        One of :data:`PHOTO_PAIRS`.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
        ``"validation"`` is for choosing rates: held-out examples of the source.
    method : str
        With logistic regression: ``"source_only"``, ``"per_domain"``, ``"coral"``; ``"target_only"``, which gets
        labelled photographs instead of the source. With a small network on the features: ``"source_trained"`` and
        ``"dann"``.
    labels : int, optional
        Labelled photographs of each family, for ``"target_only"``.
    balanced : bool
        Whether ``"per_domain"`` takes means and standard deviations of as many pictures of each family, in both
        domains. That takes the target's labels: nobody could do it who has none.

    Returns
    -------
    dict
        ``score``: mean recall in %, on the two fifths of the photographs that are in neither training split.
    """
    (source, target, families), fold = PHOTO_PAIRS[pair], seed % 10
    x, y = family_features(source, families, "train", fold)
    target_x, target_y = family_features(target, families, "train", fold)
    if split == "validation":
        test_x, test_y = family_features(source, families, "validation", fold)
    else:
        held_out = (family_features(target, families, part, fold) for part in ("validation", "test"))
        test_x, test_y = (np.concatenate(parts) for parts in zip(*held_out, strict=True))
    if method == "target_only":
        rows = draw_per_class(target_y, labels, seed=seed)
        known, asked = (standardise(part, like=target_x) for part in (target_x[rows], test_x))
        right = probe(known, target_y[rows], standardise=False).predict(asked) == test_y
        return {"score": 100 * macro_average(right, test_y)}
    if balanced:
        like, target_like = x[as_many_of_each(y, seed=seed)], target_x[as_many_of_each(target_y, seed=seed)]
        classifier = probe(standardise(x, like=like), y, standardise=False)
        right = classifier.predict(standardise(test_x, like=target_like)) == test_y
        return {"score": 100 * macro_average(right, test_y)}
    if method in ("source_only", "per_domain", "coral"):
        right = predict_by_alignment(method, (x, y), target_x, test_x) == test_y
        return {"score": 100 * macro_average(right, test_y)}
    model = _two_layers(x.shape[1], len(families), seed=seed)
    adapt_network(
        method, model, (standardise(x), y), standardise(target_x, like=x), rate=rate, seed=seed, layer="hidden"
    )
    score = 100 * mean_recall(model, (standardise(test_x, like=x), test_y))
    return {"score": score, "learning_rate": rate, "updates": UPDATES}


def as_many_of_each(y, *, seed):
    """Draw rows in which every class is as frequent as the commonest: rows of the rarer ones come several times.

    Parameters
    ----------
    y : numpy.ndarray
        Class indices ``(n,)``.
    seed : int

    Returns
    -------
    numpy.ndarray
        Rows, class by class.
    """
    random, most = np.random.default_rng(seed), np.bincount(y).max()
    return np.concatenate([np.resize(random.permutation(np.flatnonzero(y == label)), most) for label in np.unique(y)])


def _two_layers(d, n_classes, *, seed):
    first, second = (keras.initializers.GlorotUniform(seed=10 * seed + number) for number in (1, 2))
    inputs = keras.Input((d,))
    hidden = keras.layers.Dense(64, activation="relu", kernel_initializer=first, name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(n_classes, kernel_initializer=second, name="head")(hidden))


# ---------------------------------------------------------------- the studies


def _arm(label, role, method, *, tuned=False, **settings):
    return Arm(label, role, {"method": method, **settings}, tuned=tuned)


_ALIGNED = {
    "source_only": _arm("the source alone", "baseline", "source_only"),
    "per_domain": _arm("standardised per domain", "transfer", "per_domain"),
    "coral": _arm("CORAL", "transfer", "coral"),
}
_SOURCE_TRAINED = _arm("trained on the source alone", "baseline", "source_trained", tuned=True)
_DANN = _arm("DANN", "transfer", "dann", tuned=True)

STUDIES = (
    Study(
        "adapt_sketches",
        adapt_sketches,
        arms=_ALIGNED
        | {
            "target_only": _arm("labels of the target instead", "control", "target_only"),
            "per_domain_uneven": _arm("standardised per domain, uneven target", "fails", "per_domain", uneven=True),
            "coral_uneven": _arm("CORAL, uneven target", "fails", "coral", uneven=True),
            "source_trained": _SOURCE_TRAINED,
            "dann": _DANN,
            "target_trained": _arm("trained on labels of the target", "control", "target_trained", tuned=True),
        },
        axis=Axis("pool", "drawings of the target", (100, 1000)),
        seeds=tuple(range(10)),
        rates=RATES[:3],
        metric="mean recall in %",
        chance=10.0,
        compared=("dann", "source_trained"),
    ),
    Study(
        "adapt_photos",
        adapt_photos,
        arms=_ALIGNED
        | {
            "per_domain_balanced": _arm(
                "standardised per domain, families made equally frequent", "control", "per_domain", balanced=True
            ),
            "target_2": _arm("2 labels per family of the target", "control", "target_only", labels=2),
            "target_5": _arm("5 labels per family of the target", "control", "target_only", labels=5),
            "source_trained": _SOURCE_TRAINED,
            "dann": _DANN,
        },
        axis=Axis("pair", "source and target", tuple(PHOTO_PAIRS)),
        seeds=tuple(range(10)),
        rates=FEWER_RATES,
        metric="mean recall in %",
        compared=("per_domain", "source_only"),
    ),
)
