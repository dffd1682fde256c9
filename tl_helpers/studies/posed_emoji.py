"""Does a network that knows eight groups of emoji learn six mammals from fewer labels?

It is the route of task fine-tuning: the same kind of picture, a finer question. Beside it stands a question that the
coarse task does not help with: the kind of animal, asked of a layer that only had to know that it is an animal.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
from sklearn.neural_network import MLPClassifier

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import draw_per_class, keep_classes, rows_of, sample_budget
from tl_helpers.datasets.emoji import EMOJI_FOLDS, load_emoji
from tl_helpers.datasets.posed_emoji import POSED_STYLES, load_posed_groups, load_posed_mammals
from tl_helpers.experiments.averages import macro_average
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.features import probe
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import body_of, rescale_activations, small_cnn
from tl_helpers.studies.frozen_features import features_of
from tl_helpers.studies.street_runs import run_probe
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.adaptation import standardise
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer

UPDATES = 200
SOURCE_PICTURES, SOURCE_UPDATES, SOURCE_RATE = 4000, 400, 2e-3
LABELS = (3, 5, 10, 20, 40)
MEASURED = 100  # pictures of each mammal
NAMES = ("groups", "shuffled", "made up", "nothing")
KINDS = ("mammal", "bird", "marine", "bug")
LAYERS, UNITS = ("backbone", "groups", "untaught"), 64
# Of the source model that all seeds share where one is asked for: no seed of a study.
SHARED = 1000


# ---------------------------------------------------------------- six mammals


def rename(groups, names, *, seed):
    """Give a source other labels, as many of each as before.

    Parameters
    ----------
    groups : Dataset
        From :func:`tl_helpers.datasets.posed_emoji.load_posed_groups`.
    names : {"groups", "shuffled", "made up"}
        Those it has; those it has, dealt out anew among the pictures; or dealt out anew among the emoji, so that all
        pictures of an emoji still have one label, which means nothing.
    seed : int

    Returns
    -------
    Dataset
    """
    random = np.random.default_rng([seed, 4])
    if names == "shuffled":
        return dataclasses.replace(groups, y=random.permutation(groups.y))
    if names == "made up":
        _, first, emoji = np.unique(groups.ids, return_index=True, return_inverse=True)
        return dataclasses.replace(groups, y=random.permutation(groups.y[first])[emoji])
    return groups


def train_posed_source(seed, *, pool="test", names="groups"):
    """Train the small network on posed emoji of eight groups, among them no mammal that a pool draws from.

    Its convolutions are scaled so that their outputs have a common standard deviation
    (:func:`tl_helpers.models.small_network.rescale_activations`), whether they learnt or not.

    Parameters
    ----------
    seed : int
        Draws pictures and initial weights.
    pool : {"validation", "test"}
    names : {"groups", "shuffled", "made up", "nothing"}
        Labels it learns, see :func:`rename`; ``"nothing"`` leaves the initial weights.

    Returns
    -------
    keras.Model
        A new one with each call, though it is trained only once: from pictures ``(n, 48, 48, 3)`` to eight logits.

    Raises
    ------
    ValueError
        If there are no such names or no such pool.
    """
    check_choice("names", names, NAMES)
    trained = _trained_source(seed, pool, names)
    copy = small_cnn(trained.input_shape[1:], trained.output_shape[-1], seed=seed)
    copy.set_weights(trained.get_weights())
    return copy


@cache  # a dozen seconds
def _trained_source(seed, pool, names):
    pictures = load_posed_groups(SOURCE_PICTURES if names != "nothing" else 256, seed=seed, pool=pool)
    model = small_cnn(pictures.x.shape[1:], len(pictures.label_names), seed=seed)
    if names != "nothing":
        settings = {"learning_rate": SOURCE_RATE, "updates": SOURCE_UPDATES, "batch_size": 64, "seed": seed}
        fit_transfer(model, rename(pictures, names, seed=seed), strategy="scratch", **settings)
    rescale_activations(model, pictures.x[:256])
    return model


@cache  # a second
def _measured_mammals(seed, pool):
    return load_posed_mammals(MEASURED, seed=seed, pool=pool, series="measured")


@cache
def _labelled_mammals(seed, pool):
    return load_posed_mammals(max(LABELS), seed=seed, pool=pool)


def six_mammals(labels, seed, *, rate=None, split="test", strategy, names="groups", shared=False, updates=UPDATES):
    """Eight groups of emoji → six mammals that the source never saw, in other poses than those that are labelled.

    Each seed draws six mammals, their pictures, and the source model, pictures and all.

    Parameters
    ----------
    labels : int
        Labels per class, at most 40; a smaller budget is part of a larger one.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
        Which mammals: none is in both (:func:`tl_helpers.datasets.posed_emoji.draw_mammals`).
    strategy : {"scratch", "fine_tuning", "linear_probing", "regression"}
        The last is logistic regression on the source's features.
    names : {"groups", "shuffled", "made up", "nothing"}
        What the source learnt (:func:`train_posed_source`).
    shared : bool
        Whether all seeds start from one source model.
    updates : int

    Returns
    -------
    dict
        ``score``: accuracy in % on 600 pictures.
    """
    labelled, test = sample_budget(_labelled_mammals(seed, split), labels, seed=seed), _measured_mammals(seed, split)
    # From scratch, new weights are drawn in any case.
    names = "nothing" if strategy == "scratch" else names
    source = train_posed_source(SHARED if shared else seed, pool=split, names=names)
    body = body_of(source)
    if strategy == "regression":
        return run_probe(body, labelled, test)
    model = add_class_head(body, len(labelled.label_names), seed=seed)
    fit_transfer(model, labelled, strategy=strategy, learning_rate=rate, updates=updates, seed=seed)
    return {"score": 100 * accuracy(model, test), "learning_rate": rate, "updates": updates}


# ---------------------------------------------------------------- kinds of animal


def _emoji_features(labels, split, fold):
    """Return features of the emoji of a split in all four styles, and their labels."""
    data = load_emoji("noto", split, fold=fold, labels=labels)
    if labels == "animal":
        data = keep_classes(data, KINDS)
    rows = rows_of(_ids(), data.ids)
    return np.concatenate([_features(style)[rows] for style in POSED_STYLES]), np.tile(data.y, len(POSED_STYLES))


@cache
def _ids():
    return load_emoji("noto", "all").ids


def _features(style):
    return features_of(style, "imagenet")["conv_head"]


@cache  # a few seconds
def _hidden_layer(fold, taught):
    """Return weights and biases of 64 units on standardised features: taught the eight groups, or as they are drawn."""
    x, y = _emoji_features("clean8", "train", fold)
    if taught:
        network = MLPClassifier((UNITS,), tol=1e-3, random_state=fold).fit(standardise(x), y)
        return network.coefs_[0], network.intercepts_[0]
    # As scikit-learn draws them: Glorot's uniform distribution.
    bound = np.sqrt(6 / (x.shape[1] + UNITS))
    return np.random.default_rng(fold).uniform(-bound, bound, (x.shape[1], UNITS)), np.zeros(UNITS)


def see_through(features, fold, layer):
    """Return what the kinds of animal are told from.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, 1280)``, of the frozen ImageNet backbone.
    fold : int
        0…9: whose training split the hidden layer was taught with.
    layer : {"backbone", "groups", "untaught"}
        The features themselves; or what 64 units compute from them that were taught the eight groups, or nothing.

    Returns
    -------
    numpy.ndarray
        ``(n, 1280)`` or ``(n, 64)``.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    check_choice("layer", layer, LAYERS)
    if layer == "backbone":
        return features
    weights, biases = _hidden_layer(fold, layer == "groups")
    learnt_from, _ = _emoji_features("clean8", "train", fold)
    return np.maximum(standardise(features, like=learnt_from) @ weights + biases, 0)


def groups_to_kinds(labels, seed, *, rate=None, split="test", layer):
    """Eight groups of emoji → four kinds of animal: what a layer that only had to say "animal" still knows of them.

    Features of the frozen ImageNet backbone at 96 pixels, logistic regression on top; the emoji as they are, on white,
    in four styles. Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : None
    split : {"validation", "test"}
    layer : {"backbone", "groups", "untaught"}
        See :func:`see_through`.

    Returns
    -------
    dict
        ``score``: mean recall over the four kinds in %.
    """
    del rate
    fold = seed % EMOJI_FOLDS
    (x, y), (test, test_y) = (_emoji_features("animal", part, fold) for part in ("train", split))
    own = draw_per_class(y, labels, seed=seed)
    classifier = probe(see_through(x[own], fold, layer), y[own])
    return {"score": 100 * macro_average(classifier.predict(see_through(test, fold, layer)) == test_y, test_y)}


# ---------------------------------------------------------------- the studies


def _arm(label, role, strategy, **settings):
    """Describe an arm whose rate is tuned; with a source of its own it runs at every budget."""
    how = {name: settings.pop(name) for name in ("check_of", "sparse", "values") if name in settings}
    return Arm(label, role, {"strategy": strategy, **settings}, tuned=True, **how)


STUDIES = (
    Study(
        "route_task_fine_tuning",
        six_mammals,
        arms={
            "scratch": _arm("training from scratch", "baseline", "scratch"),
            "fine_tuning": _arm("fine-tuning", "transfer", "fine_tuning"),
            # With more labels a frozen body learnt best at the highest rate of all: such runs are no measure.
            "linear_probing": _arm("a frozen body with a new head", "transfer", "linear_probing", values=(3, 5, 10)),
            "scratch_longer": _arm(
                "training from scratch with 4 times the updates",
                "baseline",
                "scratch",
                check_of="scratch",
                sparse=True,
                updates=4 * UPDATES,
            ),
            "random_body": _arm(
                "a frozen random body with a new head", "control", "linear_probing", names="nothing", values=(3,)
            ),
            "fine_tuning_random_source": _arm(
                "fine-tuning from shuffled labels", "control", "fine_tuning", names="shuffled", shared=True, sparse=True
            ),
            "made_up_groups": _arm(
                "fine-tuning from made-up groups", "control", "fine_tuning", names="made up", shared=True, sparse=True
            ),
            "one_source": _arm(
                "fine-tuning, one source for all seeds", "transfer", "fine_tuning", shared=True, sparse=True
            ),
            "regression": Arm("logistic regression on the source's features", "transfer", {"strategy": "regression"}),
        },
        axis=Axis("labels", "labels per class", LABELS),
        seeds=tuple(range(8)),
        rates=FEWER_RATES,
        chance=100 / 6,
        compared=("fine_tuning", "scratch"),
    ),
    Study(
        "groups_to_kinds",
        groups_to_kinds,
        arms={
            "backbone": Arm("features of an ImageNet model", "baseline", {"layer": "backbone"}),
            "groups": Arm("a layer on them that was taught the groups", "transfer", {"layer": "groups"}),
            "untaught": Arm("a layer on them that was taught nothing", "control", {"layer": "untaught"}),
        },
        axis=Axis("labels", "labels per class", (5, 10, 20)),
        seeds=tuple(range(10)),
        metric="mean recall in %",
        chance=100 / len(KINDS),
        compared=("groups", "backbone"),
    ),
)
