"""Which runs stand behind the stored figures? The studies of the first notebooks, and the list of all.

:mod:`tl_helpers.tuning` says what a study is; :mod:`tl_helpers.results` makes them anew.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np

from tl_helpers.adaptation_studies import PHOTO_PAIRS, adapt_photos, adapt_sketches
from tl_helpers.datasets.dataset import keep_classes, sample_budget
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.street import load_street, load_street_scenes
from tl_helpers.feature_studies import (
    CONVOLUTIONS,
    PAIRS,
    PREPARATIONS,
    STAGES,
    TARGETS,
    TASKS,
    feature_tasks,
    layer_probes,
    network_similarity,
    wrong_preprocessing,
)
from tl_helpers.freezing_studies import (
    BACKBONE_CUTS,
    DEPTHS,
    SWEEP_LAYERS,
    backbone_depth,
    freeze_noisy_shoes,
    freeze_rates,
    freeze_shoes,
    freeze_sketches,
    freezing_sweep,
)
from tl_helpers.multitask_studies import FORGETTING_ARMS, forgetting_garments, task_importance, task_weighting
from tl_helpers.route_studies import (
    dataset_merging,
    domain_adaptation,
    modality_transfer,
    multi_task,
    parallel_training,
    task_adaptation,
    task_fine_tuning,
    weight_sharing,
)
from tl_helpers.street_runs import run_classifier, run_detector, street
from tl_helpers.text_studies import TEXT_ARMS, TEXT_NETWORKS, emoji_text
from tl_helpers.tuning import FEWER_RATES, RATES, Study

# ---------------------------------------------------------------- notebook 00


@lru_cache(maxsize=1)
def _backbone(size):
    from tl_helpers.models.backbones import load_backbone

    return load_backbone(size=size)


def emoji_labels(arm, budget, seed, *, rate=None, split="test"):
    """Sort emoji into eight groups: a small network from scratch, or the frozen ImageNet backbone's features.

    Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    arm : {"scratch", "scratch_longer", "features"}
        ``"scratch_longer"`` gets four times the updates: would patience have been enough?
    budget : int
        Labels per class.
    seed : int
    rate : float, optional
        Learning rate of the small network.
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    from tl_helpers.models.features import extract_features, probe
    from tl_helpers.models.small_network import small_cnn
    from tl_helpers.training.evaluation import accuracy
    from tl_helpers.training.fit import fit_transfer

    fold = seed % 10
    size = 128 if arm == "features" else 64
    labelled = sample_budget(load_emoji("noto", "train", fold=fold, size=size), budget, seed=seed)
    test = load_emoji("noto", split, fold=fold, size=size)
    if arm == "features":
        backbone = _backbone(size)
        classifier = probe(extract_features(backbone, labelled.x), labelled.y)
        return {"score": 100 * classifier.score(extract_features(backbone, test.x), test.y)}
    updates = 800 if arm == "scratch_longer" else 200
    model = small_cnn(labelled.x.shape[1:], len(labelled.label_names), seed=seed)
    fit_transfer(model, labelled, strategy="scratch", learning_rate=rate, updates=updates, seed=seed)
    return {"score": 100 * accuracy(model, test), "learning_rate": rate, "updates": updates}


# ---------------------------------------------------------------- notebook 01: labels and seconds


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
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifiers = {
        "forest": RandomForestClassifier(n_estimators=300, random_state=seed),
        "pixels": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)),
    }
    classifier = classifiers[arm].fit(labelled.x.reshape(len(labelled), -1), labelled.y)
    return classifier.score(test.x.reshape(len(test), -1), test.y)


def _run_strategy(strategy, labelled, test, **settings):
    """Train the small network from scratch or from the garment classifier; return a row."""
    source = None if strategy == "scratch" else "street_garments"
    return run_classifier(source, labelled, test, strategy=strategy, **settings)[1]


# ---------------------------------------------------------------- notebook 01: the four differences


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
    from tl_helpers.models.heads import add_class_head
    from tl_helpers.models.small_network import adapt_input, body_of, small_cnn_body
    from tl_helpers.models.source_models import load_source_model
    from tl_helpers.training.evaluation import accuracy
    from tl_helpers.training.fit import fit_transfer

    labelled = sample_budget(street("photo", "target", size=56), budget, seed=seed)
    test = street("photo", split, size=56)
    if arm == "shrink":
        labelled, test = shrink_to_colour(labelled), shrink_to_colour(test)
    bodies = {
        "scratch": lambda: small_cnn_body(labelled.x.shape[1:], seed=seed),
        "shrink": lambda: body_of(load_source_model("street_colour")),
        "sum_kernel": lambda: adapt_input(body_of(load_source_model("street_colour")), (56, 56, 1)),
    }
    model = add_class_head(bodies[arm](), len(labelled.label_names), seed=seed)
    strategy = "scratch" if arm == "scratch" else "fine_tuning"
    fit_transfer(model, labelled, strategy=strategy, learning_rate=rate, updates=200, seed=seed)
    return {"score": 100 * accuracy(model, test), "learning_rate": rate, "updates": 200}


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


# Families with at least ten photographs in every fold's training split.
FAMILIES_TO_TRANSFER = ("mammal", "bird", "sea animal", "plant", "building", "tool", "household")


def photos_from_emoji(arm, budget, seed, *, rate=None, split="test"):
    """Cartoon → photograph: sort photographs into families with the help of emoji.

    Features of the frozen ImageNet backbone at 96 pixels, logistic regression on top. Standardising *per domain*
    gives each domain its own means and standard deviations; it needs no label.

    Parameters
    ----------
    arm : {"photos", "emoji", "emoji_per_domain", "pooled", "per_domain_weighted"}
        Photographs alone; emoji alone without and with standardising per domain; both pooled as they come; both,
        standardised per domain, each domain with the same weight in total.
    budget : int
        Labelled photographs per class.
    seed : int
    rate : None
    split : {"validation", "test"}

    Returns
    -------
    dict
        ``score``: mean recall over classes in %.
    """
    del rate
    from sklearn.metrics import balanced_accuracy_score

    emoji, photos, rows = photo_features(seed % 10, split)
    x, y = photos
    random = np.random.default_rng(seed)
    train = random.permutation(rows["train"])
    own = np.concatenate([train[y[train] == label][:budget] for label in range(len(FAMILIES_TO_TRANSFER))])
    test = rows[split]
    predicted = predict_photos(arm, emoji, (x[own], y[own]), x[train], x[test])
    return {"score": 100 * balanced_accuracy_score(y[test], predicted)}


@lru_cache(maxsize=4)
def photo_features(fold, split, size=96):
    """Extract the frozen backbone's features of all emoji and photographs of seven families.

    Parameters
    ----------
    fold : int
    split : {"validation", "test"}
        Which photographs are held out.
    size : int
        Side in pixels.

    Returns
    -------
    emoji : tuple of numpy.ndarray
        Features ``(n, d)`` and family indices ``(n,)``.
    photos : tuple of numpy.ndarray
        The same.
    rows : dict of str to numpy.ndarray
        ``"train"`` and `split` → rows of `photos`.
    """
    (emoji_x, emoji_y, _), (photo_x, photo_y, photo_ids) = _all_family_features(size)
    rows = {
        part: np.flatnonzero(np.isin(photo_ids, load_photos(part, fold=fold, size=size).ids))
        for part in ("train", split)
    }
    return (emoji_x, emoji_y), (photo_x, photo_y), rows


@lru_cache(maxsize=2)
def _all_family_features(size):
    from tl_helpers.models.features import extract_features

    results = []
    for data in (load_emoji("noto", "all", labels="family", size=size), load_photos("all", size=size)):
        data = keep_classes(data, FAMILIES_TO_TRANSFER)
        results.append((extract_features(_backbone(size), data.x), data.y, data.ids))
    return results


def predict_photos(arm, emoji, own, unlabelled, test):
    """Fit one arm of :func:`photos_from_emoji` and predict.

    Parameters
    ----------
    arm : str
    emoji, own : tuple of numpy.ndarray
        Features and labels of the emoji and of the labelled photographs.
    unlabelled : numpy.ndarray
        Features of photographs, labelled or not: what means and standard deviations of the domain are taken from.
    test : numpy.ndarray
        Features ``(n, d)`` to predict.

    Returns
    -------
    numpy.ndarray
        Class indices ``(n,)``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    (emoji_x, emoji_y), (own_x, own_y) = emoji, own
    fitted_on = {"photos": own_x, "emoji": emoji_x, "pooled": np.concatenate([emoji_x, own_x])}.get(arm, unlabelled)
    to_photo = StandardScaler().fit(fitted_on)
    to_emoji = to_photo if arm in ("emoji", "pooled") else StandardScaler().fit(emoji_x)
    parts = {
        "photos": [(to_photo.transform(own_x), own_y)],
        "emoji": [(to_emoji.transform(emoji_x), emoji_y)],
        "emoji_per_domain": [(to_emoji.transform(emoji_x), emoji_y)],
    }.get(arm, [(to_emoji.transform(emoji_x), emoji_y), (to_photo.transform(own_x), own_y)])
    longest = max(len(y) for _, y in parts)
    weights = [np.full(len(y), longest / len(y) if arm == "per_domain_weighted" else 1.0) for _, y in parts]
    x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    classifier = LogisticRegression(C=0.05, max_iter=1000).fit(x, y, sample_weight=np.concatenate(weights))
    return classifier.predict(to_photo.transform(test))


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
    from tl_helpers.experiments.label_shift import adjust_to_prior, estimate_prior

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


@lru_cache(maxsize=2)
def _garment_probabilities(split):
    from scipy.special import softmax

    from tl_helpers.models.source_models import load_source_model

    data = load_street("photo", split)
    logits = load_source_model("street_garments").predict(data.x, batch_size=500, verbose=0)
    return softmax(logits.astype("float64"), axis=1), data.y


# ---------------------------------------------------------------- the list

SEEDS = tuple(range(10))
SWEEP_ARMS = ("AnB", "AnB+", "BnB", "BnB+", "RnB", "AnD", "AnD+", "RnD")
TRAINED_ON_DRAWINGS = ("source_trained", "dann", "target_trained")
FREEZING_ARMS = ("scratch", *DEPTHS, "lp_ft", "gradual_unfreezing", "discriminative")


SCENES = {"budget_unit": "labelled scenes", "metric": "mean IoU in %"}


def _route(function, main, budgets, *, checks, untuned=(), **words):
    """Describe the study of one route: all with the same seeds and the same offer of rates."""
    settings = {"seeds": SEEDS[:6], "tuned": (*main, *checks), "rates": FEWER_RATES, "tuning_seeds": (100,)}
    settings |= {"arms": (*main, *checks, *untuned), "budgets": budgets, "checks": checks}
    return Study(function, **(settings | words))


STUDIES = {
    "emoji_labels": Study(
        emoji_labels,
        arms=("scratch", "scratch_longer", "features"),
        budgets=(5, 20, 40),
        seeds=SEEDS,
        tuned=("scratch", "scratch_longer"),
        rates=FEWER_RATES,
        tuning_seeds=(100, 101),
    ),
    "street_labels": Study(
        street_labels,
        arms=("forest", "pixels", "scratch", "scratch_longer", "linear_probing", "fine_tuning"),
        budgets=(5, 10, 20, 50, 200),
        seeds=SEEDS,
        tuned=("scratch", "scratch_longer", "linear_probing", "fine_tuning"),
    ),
    "street_compute": Study(
        street_compute,
        arms=("scratch 20", "fine_tuning 20", "scratch 500", "fine_tuning 500"),
        budgets=(40, 100, 250, 600, 1500),
        seeds=SEEDS[:5],
        tuned=("scratch 20", "fine_tuning 20", "scratch 500", "fine_tuning 500"),
        rates=FEWER_RATES,
        tuning_seeds=(100,),
        budget_unit="updates",
    ),
    "street_feature_space": Study(
        street_feature_space,
        arms=("scratch", "shrink", "sum_kernel"),
        budgets=(5, 20, 200),
        seeds=SEEDS,
        tuned=("scratch", "shrink", "sum_kernel"),
        rates=FEWER_RATES,
        tuning_seeds=(100,),
    ),
    "photos_from_emoji": Study(
        photos_from_emoji,
        arms=("photos", "emoji", "emoji_per_domain", "pooled", "per_domain_weighted"),
        budgets=(2, 5, 10),
        seeds=tuple(range(20)),
        metric="mean recall in %",
    ),
    "street_boxes": Study(
        street_boxes,
        arms=("scratch", "scratch_longer", "fine_tuning"),
        budgets=(50, 200),
        seeds=SEEDS,
        tuned=("scratch", "scratch_longer", "fine_tuning"),
        tuning_seeds=(100,),
        budget_unit="labelled scenes",
        metric="mean IoU in %",
    ),
    "street_rare": Study(
        street_rare,
        arms=("as_is", "known_prior", "estimated_prior"),
        budgets=(1, 2, 5, 10, 50),
        seeds=SEEDS,
        budget_unit="times rarer",
    ),
    "freezing_sweep": Study(
        freezing_sweep,
        arms=SWEEP_ARMS,
        budgets=(0, *range(1, len(SWEEP_LAYERS) + 1)),
        seeds=SEEDS[:5],
        tuned=SWEEP_ARMS,
        rates=FEWER_RATES,
        tuning_seeds=(100,),
        budget_unit="copied layers",
    ),
    "freeze_sketches": Study(
        freeze_sketches,
        arms=FREEZING_ARMS,
        budgets=(2, 20, 200),
        seeds=SEEDS,
        tuned=FREEZING_ARMS,
        rates=RATES[:4],
        tuning_seeds=(100,),
    ),
    "freeze_shoes": Study(
        freeze_shoes,
        arms=FREEZING_ARMS,
        budgets=(2, 20, 200),
        seeds=SEEDS,
        tuned=FREEZING_ARMS,
        rates=RATES[:4],
        tuning_seeds=(100,),
    ),
    "freeze_rates": Study(
        freeze_rates,
        arms=("scratch", "none", "conv4", "lp_ft", "gradual_unfreezing", "discriminative"),
        budgets=RATES,
        seeds=SEEDS[:5],
        budget_unit="learning rate",
    ),
    "freeze_noisy_shoes": Study(
        freeze_noisy_shoes,
        arms=("scratch", *DEPTHS),
        budgets=(20, 200),
        seeds=SEEDS,
        tuned=("scratch", *DEPTHS),
        rates=(3e-5, 1e-4, *RATES[:3]),
        tuning_seeds=(100, 101),
    ),
    "backbone_depth": Study(
        backbone_depth,
        arms=("logistic regression", "head", *BACKBONE_CUTS),
        budgets=(20,),
        seeds=SEEDS[:6],
        tuned=("head", *BACKBONE_CUTS),
        rates=FEWER_RATES,
        tuning_seeds=(100,),
    ),
    "layer_probes": Study(
        layer_probes,
        arms=("pixels", *(f"{weights} {stage}" for weights in ("imagenet", "random") for stage in STAGES)),
        budgets=tuple(TARGETS),
        seeds=SEEDS,
        budget_unit="target",
        metric="mean recall in %",
    ),
    "feature_tasks": Study(
        feature_tasks,
        arms=("imagenet", "random", "pixels"),
        budgets=tuple(TASKS),
        seeds=SEEDS,
        budget_unit="task",
        metric="mean recall, area under the ROC curve, or share of right answers, in %",
    ),
    "network_similarity": Study(
        network_similarity,
        arms=tuple(PAIRS),
        budgets=CONVOLUTIONS,
        seeds=SEEDS,
        budget_unit="layer",
        metric="100 × debiased CKA",
    ),
    "wrong_preprocessing": Study(
        wrong_preprocessing,
        arms=tuple(PREPARATIONS),
        budgets=("in use only", "in training and use"),
        seeds=SEEDS,
        budget_unit="which pictures are prepared wrongly",
        metric="mean recall in %",
    ),
    "adapt_sketches": Study(
        adapt_sketches,
        arms=(
            *("source_only", "per_domain", "coral", "target_only"),
            *("per_domain_uneven", "coral_uneven"),
            *TRAINED_ON_DRAWINGS,
        ),
        budgets=(100, 1000),
        seeds=SEEDS[:5],
        tuned=TRAINED_ON_DRAWINGS,
        rates=RATES[:3],
        tuning_seeds=(100,),
        budget_unit="drawings of the target",
        metric="mean recall in %",
    ),
    "adapt_photos": Study(
        adapt_photos,
        arms=("source_only", "per_domain", "coral", "target_2", "target_5", "source_trained", "dann"),
        budgets=tuple(PHOTO_PAIRS),
        seeds=SEEDS,
        tuned=("source_trained", "dann"),
        rates=FEWER_RATES,
        tuning_seeds=(100,),
        budget_unit="source and target",
        metric="mean recall in %",
    ),
    "emoji_text": Study(
        emoji_text,
        arms=(*TEXT_ARMS, *TEXT_NETWORKS),
        budgets=(3, 5, 10, 20, 40),
        seeds=SEEDS,
        tuned=TEXT_NETWORKS,
        rates=FEWER_RATES,
        tuning_seeds=(100, 101, 102),
        checks=TEXT_NETWORKS,
    ),
    "task_importance": Study(
        task_importance,
        arms=("class",),
        budgets=(0.0, 0.1, 1.0, 10.0),
        seeds=SEEDS[:5],
        tuned=("class",),
        rates=FEWER_RATES,
        tuning_seeds=(100,),
        budget_unit="weight of each other task",
        metric="accuracy or mean IoU in %",
    ),
    "task_weighting": Study(
        task_weighting,
        arms=("static", "uncertainty", "pcgrad"),
        budgets=(100, 400),
        seeds=SEEDS[:5],
        tuned=("static", "uncertainty", "pcgrad"),
        rates=FEWER_RATES,
        tuning_seeds=(100, 101, 102),
        budget_unit="labelled scenes",
        metric="mean of accuracy and two mean IoUs in %",
    ),
    "forgetting_garments": Study(
        forgetting_garments,
        arms=FORGETTING_ARMS,
        budgets=(20, 200),
        seeds=SEEDS[:5],
    ),
}
# The eight routes: all together are the stored study "routes".
ROUTE_STUDIES = {
    "route_task_fine_tuning": _route(
        task_fine_tuning,
        ("scratch", "fine_tuning", "linear_probing"),
        (5, 10, 20, 50, 200),
        untuned=("regression",),
        checks=("scratch_longer", "scratch_gap", "fine_tuning_gap", "fine_tuning_random_source"),
    ),
    "route_domain_adaptation": _route(
        domain_adaptation,
        ("scratch", "fine_tuning", "linear_probing"),
        (5, 10, 20, 50, 200),
        untuned=("regression",),
        checks=(
            "scratch_longer",
            "scratch_gap",
            "fine_tuning_gap",
            "scratch_xray",
            "fine_tuning_xray",
        ),
    ),
    "route_task_adaptation": _route(
        task_adaptation,
        ("scratch", "fine_tuning", "linear_probing"),
        (25, 50, 100, 200, 400),
        checks=("scratch_longer",),
        **SCENES,
    ),
    "route_modality_transfer": _route(
        modality_transfer,
        ("scratch", "fine_tuning", "linear_probing"),
        (25, 50, 100, 200, 400),
        checks=(
            "scratch_longer",
            "scratch_xray",
            "fine_tuning_xray",
        ),
        **SCENES,
    ),
    "route_dataset_merging": _route(
        dataset_merging,
        ("own", "merged_0", "merged_30", "merged_70"),
        (5, 10, 20, 50, 200),
        checks=(
            "own_longer",
            "own_gap",
            "merged_0_gap",
        ),
    ),
    "route_weight_sharing": _route(
        weight_sharing,
        ("separate", "shared"),
        (3, 5, 10, 20, 50),
        checks=(
            "own_stems",
            "separate_longer",
            "separate_gap",
            "shared_gap",
        ),
    ),
    "route_multi_task": _route(
        multi_task,
        ("class", "joint"),
        (50, 100, 200, 400, 800),
        checks=(
            "class_longer",
            "box",
            "mask",
            "joint_mask_0.1",
        ),
        budget_unit="labelled scenes",
    ),
    "route_parallel_training": _route(
        parallel_training,
        ("separate", "parallel"),
        (5, 10, 20, 50, 200),
        checks=("separate_longer",),
    ),
}
