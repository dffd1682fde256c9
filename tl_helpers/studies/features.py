"""Which runs stand behind notebook 03? Study functions about what a frozen ImageNet backbone's features are good for.

The studies stand at the end, their axes are names; :mod:`tl_helpers.studies.catalogue` lists those of all notebooks.
"""

from __future__ import annotations

import warnings
from functools import cache

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from tl_helpers.datasets.dataset import draw_per_class, rows_of, sample_budget
from tl_helpers.datasets.emoji import EMOJI_STYLES, load_emoji
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.street import load_street
from tl_helpers.experiments.averages import macro_average
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.experiments.similarity import cka
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import body_of, small_cnn_body
from tl_helpers.models.source_models import load_source_model
from tl_helpers.studies.frozen_features import STAGES, backbone_with, features_of, kept, pictures_of
from tl_helpers.studies.study import Study
from tl_helpers.training.fit import fit_transfer

LABELS_PER_CLASS = 20


def _emoji_split(labels, fold, split, style="noto"):
    """Return rows of :func:`pictures_of` and their labels, for the concepts of one split."""
    data, ids = load_emoji(style, split, fold=fold, labels=labels), pictures_of(style).ids
    data = data.subset(np.isin(data.ids, ids))
    return rows_of(ids, data.ids), data.y


# ---------------------------------------------------------------- which depth for which target?

COLOURS = ("red", "orange or yellow", "green", "blue or violet")


@cache  # a second
def main_colours():
    """Name the main colour of every Noto emoji of the eight clean groups, from its pixels.

    Returns
    -------
    numpy.ndarray
        Indices into :data:`COLOURS`, −1 where less than a quarter of the drawing has a strong colour.
    """
    data = pictures_of("noto")
    x = data.x / 255
    highest, lowest = x.max(axis=3), x.min(axis=3)
    chroma = highest - lowest
    with np.errstate(invalid="ignore", divide="ignore"):
        r, g, b = np.moveaxis(x, 3, 0)
        hue = np.select(
            [highest == r, highest == g], [(g - b) / chroma % 6, (b - r) / chroma + 2], (r - g) / chroma + 4
        )
    strong = data.masks & (chroma > 0.35)
    bins = np.digitize(60 * hue, [15, 70, 165, 300])  # degrees
    shares = np.stack([((bins % 4 == colour) & strong).sum(axis=(1, 2)) for colour in range(4)], axis=1)
    clear = strong.sum(axis=(1, 2)) >= 0.25 * data.masks.sum(axis=(1, 2))
    return np.where(clear, shares.argmax(axis=1), -1)


def _colour_target(fold, split):
    rows, _ = _emoji_split("clean8", fold, split)
    y = main_colours()[rows]
    return [("noto", rows[y >= 0])], y[y >= 0]


def _style_target(fold, split):
    """The concepts of a split, each in one style: which hand drew it?"""
    rows, _ = _emoji_split("clean8", fold, split)
    y = np.arange(len(rows)) % len(EMOJI_STYLES)
    np.random.default_rng(fold).shuffle(y)
    parts = [(style, rows[y == number]) for number, style in enumerate(EMOJI_STYLES)]
    return parts, np.sort(y)


def _group_target(fold, split):
    rows, y = _emoji_split("clean8", fold, split)
    return [("noto", rows)], y


def _kind_target(labels):
    """Fine labels within one group, every concept in all five styles."""

    def target(fold, split):
        rows, y = _emoji_split(labels, fold, split)
        return [(style, rows) for style in EMOJI_STYLES], np.tile(y, len(EMOJI_STYLES))

    return target


def _photo_target(labels):
    def target(fold, split):
        data = load_photos(split, fold=fold, labels=labels)
        return [("photos", rows_of(pictures_of("photos").ids, data.ids))], data.y

    return target


TARGETS = {
    "main colour of an emoji": _colour_target,
    "style of an emoji": _style_target,
    "group of an emoji": _group_target,
    "kind of animal, drawn": _kind_target("animal"),
    "kind of food, drawn": _kind_target("food"),
    "family in a photograph": _photo_target("family"),
    "surroundings in a photograph": _photo_target("scene"),
}
CHANCE = {"main colour of an emoji": 25, "style of an emoji": 20, "group of an emoji": 12.5} | {
    "kind of animal, drawn": 20,
    "kind of food, drawn": 100 / 6,
    "family in a photograph": 100 / 13,
    "surroundings in a photograph": 100 / 6,
}


def target_features(target, fold, split, *, weights="imagenet", stage="conv_head"):
    """Return the features and labels of one split of a target.

    Parameters
    ----------
    target : str
        One of :data:`TARGETS`.
    fold : int
        0…9.
    split : {"train", "validation", "test"}
    weights : {"imagenet", "random", "pixels"}
    stage : str
        One of :data:`STAGES`.

    Returns
    -------
    features : numpy.ndarray
        ``(n, d)``.
    y : numpy.ndarray
        ``(n,)``.
    """
    parts, y = TARGETS[target](fold, split)
    return np.concatenate([features_of(name, weights)[stage][rows] for name, rows in parts]), y


def _probe_target(target, seed, split, weights, stage):
    features, y = target_features(target, seed % 10, "train", weights=weights, stage=stage)
    drawn = draw_per_class(y, LABELS_PER_CLASS, seed=seed)
    classifier = probe(features[drawn], y[drawn])
    test, test_y = target_features(target, seed % 10, split, weights=weights, stage=stage)
    return 100 * macro_average(classifier.predict(test) == test_y, test_y)


def layer_probes(target, seed, *, rate=None, split="test", weights, stage=STAGES[-1]):
    """Read each depth of the backbone with a logistic regression: which depth serves which target?

    Each seed draws another fold and another sample of 20 labels per class (fewer of rare classes).

    Parameters
    ----------
    target : str
        One of :data:`TARGETS`.
    seed : int
    rate : None
    split : {"validation", "test"}
    weights : {"imagenet", "random", "pixels"}
    stage : str
        One of :data:`STAGES`.

    Returns
    -------
    dict
        ``score``: mean recall over classes in %; ``chance`` in %.
    """
    del rate
    return {"score": _probe_target(target, seed, split, weights, stage), "chance": CHANCE[target]}


# ---------------------------------------------------------------- five uses

# Attributes that one can see, each a set of Unicode's own keywords for the emoji, with their whims.
ATTRIBUTES = {
    "smiles": {"smile", "smiling", "grin", "grinning"},
    "is sad or angry": {"sad", "angry", "unhappy"},
    "shows a hand": {"hand", "fist", "finger"},
    "has wheels": {"car", "bus", "truck", "bicycle", "train", "taxi", "tram", "motorcycle"},
    "is a bird or an aircraft": {"bird", "airplane", "aeroplane", "helicopter"},
    "belongs to the sea": {"fish", "ocean", "sea", "whale"},
    "is a dessert": {"dessert", "candy", "chocolate"},
    "points somewhere": {"arrow", "direction"},
}


def attribute_table():
    """Say of every emoji of the eight clean groups which attributes its keywords name.

    Returns
    -------
    numpy.ndarray
        bool, ``(n, number of attributes)``, in the order of :data:`ATTRIBUTES`.
    """
    words = [set(text.split(", ")[1:]) for text in pictures_of("noto").texts]
    return np.array([[bool(own & any_of) for any_of in ATTRIBUTES.values()] for own in words])


def attribute_scores(weights, fold, split="test"):
    """Predict each attribute of emoji whose concepts were not seen in training.

    Parameters
    ----------
    weights : {"imagenet", "random", "pixels"}
    fold : int
    split : {"validation", "test"}

    Returns
    -------
    dict of str to float
        Attribute → area under the ROC curve in %, chance 50: the share of pairs of an emoji with and one without it
        that are ranked right. NaN where the split has none.
    """
    features, table = features_of("noto", weights)["conv_head"], attribute_table()
    train, test = (_emoji_split("clean8", fold, part)[0] for part in ("train", split))
    scores = {}
    for name, has_it in zip(ATTRIBUTES, table.T, strict=True):
        classifier = probe(features[train], has_it[train], C=0.01, class_weight="balanced", max_iter=500)
        mixed = 0 < has_it[test].sum() < len(test)
        ranks = classifier.decision_function(features[test])
        scores[name] = 100 * roc_auc_score(has_it[test], ranks) if mixed else np.nan
    return scores


def standardised(features):
    """Shift and scale each feature to mean 0 and standard deviation 1 within its own domain, then each row to length 1.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, d)``.

    Returns
    -------
    numpy.ndarray
        ``(n, d)``; products of rows are cosines.
    """
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def retrieve(queries, gallery, count=5):
    """Find the nearest pictures of another domain, without a label.

    Parameters
    ----------
    queries, gallery : numpy.ndarray
        Features ``(n, d)`` and ``(m, d)``, each standardised within its own domain here.
    count : int

    Returns
    -------
    numpy.ndarray
        Rows of `gallery`, ``(n, count)``, nearest first by cosine.
    """
    nearness = standardised(queries) @ standardised(gallery).T
    return np.argsort(-nearness, axis=1, kind="stable")[:, :count]


RETRIEVAL_SIZE = 500


def _retrieve_style(style, weights, random):
    """Top-1 of finding the same concept in Noto among 500, in %."""
    rows = random.choice(len(pictures_of("noto")), RETRIEVAL_SIZE, replace=False)
    found = retrieve(*(features_of(name, weights)["conv_head"][rows] for name in (style, "noto")), count=1)
    return 100 * (found[:, 0] == np.arange(len(rows))).mean(), 100 / len(rows)


def family_of_emoji():
    """Return the family of each emoji of the eight clean groups, −1 where it has none that the photographs have.

    Returns
    -------
    numpy.ndarray
        ``int64``, indices into the photographs' families.
    """
    data = load_emoji("noto", "all", labels="family")
    families = dict(zip(data.ids, data.y, strict=True))
    return np.array([families.get(name, -1) for name in pictures_of("noto").ids])


def _retrieve_photographs(weights, random):
    """Share of an emoji's five nearest photographs that show its family, mean over families, in %."""
    family, photos = family_of_emoji(), pictures_of("photos")
    emoji_rows = random.permutation(np.flatnonzero(family >= 0))
    emoji_rows = emoji_rows[: round(0.7 * len(emoji_rows))]
    photo_rows = random.choice(len(photos), round(0.7 * len(photos)), replace=False)
    queries = features_of("noto", weights)["conv_head"][emoji_rows]
    found = retrieve(queries, features_of("photos", weights)["conv_head"][photo_rows])
    right = (photos.y[photo_rows][found] == family[emoji_rows][:, None]).mean(axis=1)
    chance = [(photos.y[photo_rows] == number).mean() for number in np.unique(family[emoji_rows])]
    return 100 * macro_average(right, family[emoji_rows]), 100 * np.mean(chance)


# Task → how it is asked, and of which target or style.
TASKS = {
    "classification: groups of emoji": ("probe", "group of an emoji"),
    "fine-grained: kinds of animals": ("probe", "kind of animal, drawn"),
    "fine-grained: kinds of food": ("probe", "kind of food, drawn"),
    "attributes of emoji": ("attributes", "noto"),
    "retrieval: Twemoji to Noto": ("retrieve in another style", "twemoji"),
    "retrieval: line art to Noto": ("retrieve in another style", "black"),
    "retrieval: emoji to photograph": ("retrieve photographs", "photos"),
    "scenes: surroundings": ("probe", "surroundings in a photograph"),
}


def feature_tasks(task, seed, *, rate=None, split="test", weights):
    """Use one frozen backbone for five kinds of task (after Razavian et al. 2014), against honest baselines.

    Each seed draws another fold, another sample of labels, or for retrieval another set of pictures.

    Parameters
    ----------
    task : str
        One of :data:`TASKS`.
    seed : int
    rate : None
    split : {"validation", "test"}
    weights : {"imagenet", "random", "pixels"}
        The backbone's last features; those of the same architecture with random weights; 16×16 pixels.

    Returns
    -------
    dict
        ``score`` and ``chance`` in %: mean recall over classes; for attributes the mean area under the ROC curve; for
        retrieval the share of right answers, the first across styles and the first five among photographs.
    """
    del rate
    random, (how, what) = np.random.default_rng(seed), TASKS[task]
    if how == "attributes":
        return {"score": np.nanmean(list(attribute_scores(weights, seed % 10, split).values())), "chance": 50.0}
    if how == "retrieve photographs":
        score, chance = _retrieve_photographs(weights, random)
    elif how == "retrieve in another style":
        score, chance = _retrieve_style(what, weights, random)
    else:
        score, chance = _probe_target(what, seed, split, weights, STAGES[-1]), CHANCE[what]
    return {"score": score, "chance": chance}


def scene_from_family(fold, split="test"):
    """Guess a photograph's surroundings from nothing but the family of what it shows: the shortcut to beat.

    Parameters
    ----------
    fold : int
    split : {"validation", "test"}

    Returns
    -------
    float
        Mean recall over scenes in %, naming for each family the scene it has most often in training.
    """
    family = dict(zip(pictures_of("photos").ids, pictures_of("photos").y, strict=True))
    train, test = (load_photos(part, fold=fold, labels="scene") for part in ("train", split))
    seen = np.array([family[name] for name in train.ids])
    usual = {number: np.bincount(train.y[seen == number]).argmax() for number in np.unique(seen)}
    commonest = np.bincount(train.y).argmax()
    guesses = np.array([usual.get(family[name], commonest) for name in test.ids])
    return 100 * macro_average(guesses == test.y, test.y)


# ---------------------------------------------------------------- do networks that differ see alike?

# Network → how it is trained, whether it begins as the source model, and what is added to the seed of its start.
NETWORKS = {
    "source": (None, True, 0),
    "fine_tuning": ("fine_tuning", True, 0),
    "scratch": ("scratch", False, 0),
    "scratch again": ("scratch", False, 1000),
    "untrained": (None, False, 0),
}
CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4")
SIMILARITY_LABELS, SIMILARITY_PICTURES = 200, 500


def street_activations(network, seed):
    """Train a street network for line drawings and return its activations on drawings it has not seen.

    Parameters
    ----------
    network : str
        One of :data:`NETWORKS`: the shipped garment classifier of photographs; the same after fine-tuning to 200
        drawings per garment; networks from scratch on these drawings, with two different starts; a network as it
        starts.
    seed : int
        Of the labels and the start.

    Returns
    -------
    dict of str to numpy.ndarray
        ``conv1`` … ``conv4`` → ``float32``, ``(500, positions × channels)``.
    """
    return _street_activations(network, 0 if network == "source" else seed)


@cache  # trains
def _street_activations(network, seed):
    strategy, from_source, offset = NETWORKS[network]
    start = seed + offset
    body = body_of(load_source_model()) if from_source else small_cnn_body((28, 28, 1), seed=start)
    if strategy is not None:
        labelled = sample_budget(load_street("sketch", "target"), SIMILARITY_LABELS, seed=seed)
        rate = load_study("street_labels").rate(strategy, SIMILARITY_LABELS)
        model = add_class_head(body, len(labelled.label_names), head="flatten", seed=start)
        fit_transfer(model, labelled, strategy=strategy, learning_rate=rate, updates=300, seed=start)
    reader = keras.Model(body.model.input, [body.model.get_layer(name).output for name in CONVOLUTIONS])
    maps = reader.predict(load_street("sketch", "test", n=SIMILARITY_PICTURES).x, batch_size=250, verbose=0)
    return {name: each.reshape(len(each), -1) for name, each in zip(CONVOLUTIONS, maps, strict=True)}


def network_similarity(layer, seed, *, rate=None, split="test", first, second):
    """Compare two street networks layer by layer by CKA: what does fine-tuning keep of its source?

    Parameters
    ----------
    layer : {"conv1", "conv2", "conv3", "conv4"}
    seed : int
        Of labels and starts.
    rate : None
    split : {"test"}
    first, second : str
        Two of :data:`NETWORKS`.

    Returns
    -------
    dict
        ``score``: 100 × debiased CKA on 500 line drawings; ``plain``: 100 × plain CKA on the first 50 of them.
    """
    del rate, split
    x, y = (street_activations(network, seed)[layer] for network in (first, second))
    return {"score": 100 * cka(x, y), "plain": 100 * cka(x[:50], y[:50], debiased=False)}


# ---------------------------------------------------------------- a model is more than its weights

PREPARATIONS = {
    "as declared": lambda x: x,
    "blue and red swapped": lambda x: x[..., ::-1],
    "0 to 1 instead of 0 to 255": lambda x: x.astype("float32") / 255,
    "scaled twice": lambda x: (x.astype("float32") - 127) / 128,
    "mean subtracted first": lambda x: x.astype("float32") - np.array([123.68, 116.78, 103.94], "float32"),
}


@cache  # half a minute
def prepared_features(preparation):
    """Return the features of all Noto emoji of the eight groups, prepared in a right or wrong way.

    Parameters
    ----------
    preparation : str
        One of :data:`PREPARATIONS`.

    Returns
    -------
    numpy.ndarray
        ``(n, 1280)``.
    """
    x = PREPARATIONS[preparation](pictures_of("noto").x)
    with warnings.catch_warnings():  # that the pictures are wrongly prepared is what is studied
        warnings.filterwarnings("ignore", message=".*expects pixel values 0…255")
        return extract_features(backbone_with("imagenet"), np.ascontiguousarray(x), cache=kept())


def wrong_preprocessing(where, seed, *, rate=None, split="test", preparation):
    """Feed the backbone pictures that are not scaled or ordered as it declares: what does it cost?

    Parameters
    ----------
    where : {"in use only", "in training and use"}
        Whether the classifier on top was trained on rightly or on equally wrongly prepared pictures.
    seed : int
        Another fold of concepts, another sample of 20 labels per group.
    rate : None
    split : {"validation", "test"}
    preparation : str
        One of :data:`PREPARATIONS`.

    Returns
    -------
    dict
        ``score``: mean recall over eight groups of emoji in %.
    """
    del rate
    (train, y), (test, test_y) = (_emoji_split("clean8", seed % 10, part) for part in ("train", split))
    drawn = draw_per_class(y, LABELS_PER_CLASS, seed=seed)
    trained_as = "as declared" if where == "in use only" else preparation
    classifier = probe(prepared_features(trained_as)[train[drawn]], y[drawn])
    right = classifier.predict(prepared_features(preparation)[test]) == test_y
    return {"score": 100 * macro_average(right, test_y), "chance": 12.5}


# ---------------------------------------------------------------- the studies


def _pair(label, role, first, second):
    return Arm(label, role, {"first": first, "second": second})


_PIXELS = {"pixels": Arm("16 × 16 pixels", "baseline", {"weights": "pixels"})}

STUDIES = (
    Study(
        "layer_probes",
        layer_probes,
        arms=_PIXELS
        | {
            f"{weights} {stage}": Arm(f"{stage}, {words}", role, {"weights": weights, "stage": stage})
            for weights, words, role in (
                ("imagenet", "ImageNet weights", "transfer"),
                ("random", "random weights", "control"),
            )
            for stage in STAGES
        },
        axis=Axis("target", "target", tuple(TARGETS)),
        seeds=tuple(range(10)),
        metric="mean recall in %",
        compared=(f"imagenet {STAGES[-1]}", "pixels"),
    ),
    Study(
        "feature_tasks",
        feature_tasks,
        arms={
            "imagenet": Arm("ImageNet features", "transfer", {"weights": "imagenet"}),
            "random": Arm("random weights", "control", {"weights": "random"}),
        }
        | _PIXELS,
        axis=Axis("task", "task", tuple(TASKS)),
        seeds=tuple(range(10)),
        metric="mean recall, area under the ROC curve, or share of right answers, in %",
        compared=("imagenet", "random"),
    ),
    Study(
        "network_similarity",
        network_similarity,
        arms={
            "source, fine-tuned": _pair("source and fine-tuned", "transfer", "source", "fine_tuning"),
            "source, from scratch": _pair("source and from scratch", "baseline", "source", "scratch"),
            "fine-tuned, from scratch": _pair("fine-tuned and from scratch", "baseline", "fine_tuning", "scratch"),
            "from scratch, another start": _pair("from scratch, two starts", "baseline", "scratch", "scratch again"),
            "source, untrained": _pair("source and untrained", "control", "source", "untrained"),
        },
        axis=Axis("layer", "layer", CONVOLUTIONS),
        seeds=tuple(range(10)),
        metric="100 × debiased CKA",
        compared=("source, fine-tuned", "source, from scratch"),
    ),
    Study(
        "wrong_preprocessing",
        wrong_preprocessing,
        arms={
            name: Arm(name, "baseline" if name == "as declared" else "fails", {"preparation": name})
            for name in PREPARATIONS
        },
        axis=Axis("place", "which pictures are prepared wrongly", ("in use only", "in training and use")),
        seeds=tuple(range(10)),
        metric="mean recall in %",
        chance=12.5,
        compared=("blue and red swapped", "as declared"),
    ),
)
