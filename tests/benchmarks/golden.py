"""Does it still compute the same? What the kit gives, written down before code is moved and compared afterwards.

    python -m tests.benchmarks.golden record FILE.json              all of it: some minutes on two quiet cores
    python -m tests.benchmarks.golden compare FILE.json             the same again; exit code 1 where a value differs
    python -m tests.benchmarks.golden compare FILE.json fit study/freeze    only slices whose names begin so

A tool for whoever reorganises the code without meaning to change what it computes: a few runs of every study at its
stored learning rate, and values of what the studies are made of. Numbers may differ by 1e-5, of their size or in all;
texts and whole numbers may not differ. The last digits depend on the processor and on the versions of the packages, so
a file holds on the machine on which it was recorded and is not stored; the machine stands in it and is compared, too.

Everything runs one after the other in one process, under the conditions of the tests, with one thread as a worker has
it, in an empty folder where no features are kept. What the kit is made of is imported in one place, so that there is
one place to rewrite where a module moves.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import keras
import numpy as np

import tl_helpers
from tests import conditions
from tl_helpers.datasets.dataset import keep_classes, sample_budget, with_wrong_labels
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.street import load_street, load_street_scenes
from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.experiments.label_shift import adjust_to_prior, estimate_prior
from tl_helpers.experiments.similarity import cka, domain_distance
from tl_helpers.experiments.stored import load_study
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.files import atomic_path
from tl_helpers.grid.environment import environment
from tl_helpers.grid.stored import study_provenance
from tl_helpers.grid.workers import WORKER_ENVIRONMENT, tidy
from tl_helpers.models.backbones import load_backbone, load_imagenet_classifier, top_predictions
from tl_helpers.models.feature_maps import stage_features
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.heads import add_box_head, add_class_head, add_mask_head
from tl_helpers.models.small_network import adapt_input, body_of, rescale_activations, small_cnn, small_cnn_body
from tl_helpers.models.source_models import load_source_model
from tl_helpers.routes.taxonomy import ROUTES
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.route_results import route_gains, route_verdict
from tl_helpers.studies.tuning import measure, measured_run, measured_settings, tuning_run
from tl_helpers.training.adaptation import coral, coral_loss, fit_coral, fit_dann, reversal_schedule, standardise
from tl_helpers.training.evaluation import accuracy, mean_recall
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.learning_rate import lr_find, tune_learning_rate
from tl_helpers.training.multitask import (
    add_scene_heads,
    fit_pcgrad,
    forgetting,
    measure_scenes,
    scene_loss,
    scene_targets,
)
from tl_helpers.training.plan import STRATEGIES
from tl_helpers.training.report import trainable_report

TOLERANCE = 1e-5
SHOWN = 40  # differences of one slice that are printed

# ---------------------------------------------------------------- which runs

# Study → (arm, budget, seed), each of another path through the code and as cheap as it can be had.
CELLS = {
    "emoji_labels": [("scratch", 5, 1), ("features", 5, 1)],
    "street_labels": [
        ("forest", 5, 1),
        ("pixels", 5, 1),
        ("scratch", 5, 1),
        ("linear_probing", 20, 1),
        ("fine_tuning", 20, 1),
    ],
    "street_compute": [("scratch 20", 40, 1), ("fine_tuning 500", 40, 1)],
    "street_feature_space": [("shrink", 5, 1), ("sum_kernel", 5, 1)],
    "photos_from_emoji": [
        (arm, 5, 1) for arm in ("photos", "emoji", "emoji_per_domain", "pooled", "per_domain_weighted")
    ],
    "street_boxes": [("fine_tuning", 100, 1)],
    "street_rare": [("as_is", 10, 1), ("known_prior", 10, 1), ("estimated_prior", 10, 1)],
    "freezing_sweep": [("AnB", 0, 1), ("AnB", 3, 1), ("BnB+", 1, 1), ("RnD", 5, 1)],
    "freeze_sketches": [
        (arm, 2, 1) for arm in ("scratch", "conv2", "conv4", "lp_ft", "gradual_unfreezing", "discriminative")
    ],
    "freeze_shoes": [("none", 2, 1), ("conv3", 20, 1)],
    "freeze_rates": [("conv4", 0.003, 1)],
    "freeze_noisy_shoes": [("conv3", 20, 1)],
    "backbone_depth": [("logistic regression", 20, 1), ("head", 20, 1), ("last 1 block", 20, 1), ("lora", 20, 1)],
    "lp_ft_shift": [("linear_probing", 20, 1)],
    "layer_probes": [
        ("pixels", "style of an emoji", 1),
        ("pixels", "kind of animal, drawn", 1),
        ("imagenet block3", "main colour of an emoji", 1),
        ("imagenet conv_head", "group of an emoji", 1),
        ("imagenet block5", "family in a photograph", 1),
        ("random block5", "group of an emoji", 1),
    ],
    "feature_tasks": [
        ("imagenet", "classification: groups of emoji", 1),
        ("imagenet", "attributes of emoji", 1),
        ("imagenet", "retrieval: emoji to photograph", 1),
        ("imagenet", "scenes: surroundings", 1),
        ("random", "attributes of emoji", 1),
        ("pixels", "fine-grained: kinds of food", 1),
        ("pixels", "retrieval: line art to Noto", 1),
    ],
    "network_similarity": [
        ("source, fine-tuned", "conv2", 1),
        ("fine-tuned, from scratch", "conv4", 1),
        ("from scratch, another start", "conv3", 1),
        ("source, untrained", "conv1", 1),
    ],
    "wrong_preprocessing": [
        ("as declared", "in use only", 1),
        ("blue and red swapped", "in training and use", 1),
        ("scaled twice", "in use only", 1),
    ],
    "adapt_sketches": [
        (arm, 100, 1)
        for arm in (
            *("source_only", "per_domain", "coral", "target_only", "per_domain_uneven", "coral_uneven"),
            *("source_trained", "dann", "target_trained"),
        )
    ],
    "adapt_photos": [
        *((arm, "emoji → photographs", 1) for arm in ("source_only", "per_domain", "coral", "target_5", "dann")),
        ("coral", "full photographs → cut-outs", 1),
        ("source_trained", "cut-outs → full photographs", 1),
    ],
    "emoji_text": [
        (arm, 3, 1)
        for arm in (
            *("image", "text", "joint", "late_fusion", "keywords", "joint_keywords", "late_fusion_keywords"),
            *("image_network", "joint_network", "late_fusion_network"),
        )
    ],
    "task_importance": [("class", 0.1, 1), ("joint", 10.0, 1)],
    "task_weighting": [("uncertainty", 100, 1), ("pcgrad", 100, 1)],
    "forgetting_garments": [
        (arm, 20, 1) for arm in ("before", "linear_probing 0.003", "fine_tuning 0.001", "replay 0.001")
    ],
    "route_task_fine_tuning": [(arm, 3, 1) for arm in ("scratch", "fine_tuning", "made_up_groups", "regression")],
    "groups_to_kinds": [("backbone", 5, 1), ("groups", 5, 1)],
    "route_domain_adaptation": [("both", 2, 1), ("own_scaled", 2, 1), ("pooled", 2, 1), ("random_both", 2, 1)],
    "route_task_adaptation": [("crops", 25, 1), ("lite0", 25, 1)],
    "route_modality_transfer": [("scratch", 100, 1), ("lite0", 100, 1)],
    "route_dataset_merging": [("own", 5, 1), ("merged_30", 5, 1), ("weighted_70", 5, 1), ("emoji", 5, 1)],
    "route_weight_sharing": [("separate", 3, 1), ("shared", 3, 1), ("not_aligned", 30, 1)],
    "sharing_mirror": [("separate", 3, 1), ("shared", 3, 1)],
    "route_multi_task": [("class", 100, 1), ("joint", 100, 1), ("class_there", 300, 1)],
    "route_parallel_training": [("separate", 50, 1), ("parallel", 50, 1)],
}
# The same on the validation split, at a rate, as tuning has it: (arm or settings that no stored study has, rate, value,
# seed), with the name of the slice.
TUNING_CELLS = {
    "street_labels": {"linear_probing @ 0.003/5/seed 100": ("linear_probing", 0.003, 5, 100)},
    "freezing_sweep": {"RnD @ 0.01/5/seed 100": ("RnD", 0.01, 5, 100)},
    "adapt_sketches": {
        "dann_blind @ 0.001/100/seed 100": ({"method": "dann", "blind": True}, 0.001, 100, 100),
        "deep_coral @ 0.001/100/seed 100": ({"method": "deep_coral"}, 0.001, 100, 100),
    },
    "adapt_photos": {
        "dann @ 0.003/emoji → photographs, fruit or vegetable/seed 100": (
            "dann",
            0.003,
            "emoji → photographs, fruit or vegetable",
            100,
        )
    },
    "emoji_text": {"joint_network @ 0.003/3/seed 100": ("joint_network", 0.003, 3, 100)},
    "route_weight_sharing": {"shared @ 0.001/3/seed 100": ("shared", 0.001, 3, 100)},
}
# Study → treatment, baseline and controls of a verdict on its stored table. (With one arm there is none.)
STORED_COMPARISONS = {
    "emoji_labels": ("features", "scratch", ["scratch_longer"]),
    "street_labels": ("fine_tuning", "scratch", ["scratch_longer"]),
    "street_compute": ("fine_tuning 20", "scratch 20", []),
    "street_feature_space": ("sum_kernel", "scratch", []),
    "photos_from_emoji": ("emoji_per_domain", "emoji", []),
    "street_boxes": ("fine_tuning", "scratch", ["scratch_longer"]),
    "street_rare": ("estimated_prior", "as_is", []),
    "freezing_sweep": ("AnB+", "BnB+", []),
    "freeze_sketches": ("lp_ft", "none", ["discriminative"]),
    "freeze_shoes": ("conv3", "none", []),
    "freeze_rates": ("discriminative", "none", []),
    "freeze_noisy_shoes": ("conv3", "none", []),
    "backbone_depth": ("lora", "logistic regression", []),
    "lp_ft_shift": ("lp_ft", "fine_tuning", ["linear_probing"]),
    "layer_probes": ("imagenet block5", "imagenet conv_head", []),
    "feature_tasks": ("imagenet", "random", ["pixels"]),
    "network_similarity": ("source, fine-tuned", "source, from scratch", []),
    "wrong_preprocessing": ("blue and red swapped", "as declared", []),
    "adapt_sketches": ("dann", "source_trained", []),
    "adapt_photos": ("per_domain", "source_only", []),
    "emoji_text": ("joint", "image", ["late_fusion"]),
    "groups_to_kinds": ("groups", "backbone", []),
    "task_importance": ("joint", "class", []),
    "task_weighting": ("uncertainty", "static", []),
    "forgetting_garments": ("replay 0.001", "fine_tuning 0.001", []),
    **{route.study: (*STUDIES[route.study].compared, []) for route in ROUTES},
}
# Resampling takes long, so these stand for all.
BOOTSTRAPPED = ("street_labels", "photos_from_emoji")


def without_seconds(row):
    """Return a row without its seconds."""
    return {key: value for key, value in row.items() if not key.endswith("seconds")}


def run_cell(study, rates, arm, value, seed):
    """Run once on the test split, as a stored study does."""
    return without_seconds(measured_run(arm=arm, budget=value, seed=seed, **measured_settings(study, rates)))


def run_candidate(study, arm, rate, value, seed):
    """Run once on the validation split at a rate, as tuning does."""
    settings = study.arms[arm].settings if isinstance(arm, str) else arm
    candidates = {"candidate": settings | {"rate": rate}}
    run = tuning_run(arm="candidate", budget=value, seed=seed, experiment=study.function, candidates=candidates)
    return without_seconds(run)


def stored_settings(name):
    """Return what was asked for when a study was stored."""
    return study_provenance(name)["spec"]


def study_slices():
    """Return name → function of every run of a study."""
    missing = set(STUDIES) ^ set(CELLS) | set(STUDIES) ^ set(STORED_COMPARISONS)
    if missing:
        raise ValueError(f"CELLS and STORED_COMPARISONS must name every study, no other: see {sorted(missing)}.")
    slices = {}
    for name, cells in CELLS.items():
        study, rates = STUDIES[name], stored_settings(name)["rates"]
        for cell in cells:
            slices["study/{}/{}/{}/seed {}".format(name, *cell)] = partial(run_cell, study, rates, *cell)
        for words, cell in TUNING_CELLS.get(name, {}).items():
            slices[f"study/{name}/validation/{words}"] = partial(run_candidate, study, *cell)
    return slices


# ---------------------------------------------------------------- how values are written down


def digest(array):
    """Return the SHA-256 of an array of whole numbers or texts, its shape included."""
    array = np.asarray(array)
    content = "\n".join(array.ravel().tolist()).encode() if array.dtype.kind in "UO" else array.tobytes()
    return hashlib.sha256(f"{array.shape}".encode() + content).hexdigest()


def described(data):
    """Write down a data set: a digest of each of its arrays."""
    arrays = {name: getattr(data, name) for name in ("x", "y", "ids", "masks", "texts", "sources")}
    record = {name: digest(array) for name, array in arrays.items() if array is not None}
    record |= {"said of itself": repr(data), "labels": ", ".join(data.label_names)}
    return record if data.boxes is None else record | {"boxes": moments(data.boxes)}


def moments(*arrays):
    """Write down arrays of numbers: how many there are, their sum and that of their squares, and one in the middle."""
    numbers = np.concatenate([np.asarray(array, "float64").ravel() for array in arrays])
    return {
        "count": len(numbers),
        "sum": numbers.sum(),
        "sum of squares": np.square(numbers).sum(),
        "middle one": numbers[len(numbers) // 2],
    }


def weights_of(model):
    return moments(*model.get_weights())


def table_of(frame, *keys):
    """Write down a table: the values of its columns by those of its keys."""
    rows = frame.to_dict("records")
    return {
        "/".join(f"{name} {row[name]}" for name in keys): {k: v for k, v in row.items() if k not in keys}
        for row in rows
    }


def verdict_of(verdict):
    return {
        "verdict": verdict.verdict,
        "sentence": verdict.sentence,
        "checks": {check.question: f"{check.passed}: {check.answer}" for check in verdict.checks},
        "table": table_of(verdict.table, "budget"),
    }


def fit_of(fit):
    history = {name: moments(column) for name, column in fit.history.items() if column.dtype.kind == "f"}
    return {
        "losses": fit.history["loss"].tolist(),
        "phases": ", ".join(fit.history["phase"]),
        "history": history,
        "weights": weights_of(fit.model),
        "cached": fit.cached,
        "note": fit.note,
    }


# ---------------------------------------------------------------- data


def street_data():
    asked = {
        "photo, source": {"view": "photo", "split": "source", "n": 500},
        "sketch, target": {"view": "sketch", "split": "target", "n": 500, "seed": 1},
        "xray, validation": {"view": "xray", "split": "validation", "n": 500},
        "plain, test": {"view": "plain", "split": "test"},
        "shoes": {"view": "photo", "split": "target", "labels": "shoe", "n": 500},
        "families": {"view": "photo", "split": "test", "labels": "family", "n": 500},
        "digits": {"view": "photo", "split": "source", "labels": "digit", "n": 500},
        "56 pixels, in colour": {"view": "photo", "split": "target", "size": 56, "colour": True, "n": 200},
    }
    record = {name: described(load_street(**settings)) for name, settings in asked.items()}
    scenes = {
        "sneaker": {},
        "3": {"target": "3", "distractors": "digit"},
        "shoes": {"target": "shoes", "distractors": "garment", "split": "test"},
    }
    return record | {
        f"scenes, {name}": described(load_street_scenes(n=50, seed=1, **settings)) for name, settings in scenes.items()
    }


def emoji_data():
    styles = {style: described(load_emoji(style)) for style in ("noto", "twemoji", "openmoji", "black", "fluent")}
    labels = {
        kind: described(load_emoji("noto", "test", fold=3, labels=kind, size=32))
        for kind in ("group", "subgroup", "family", "animal", "food", "face")
    }
    return styles | labels | {"all, 96 pixels": described(load_emoji("noto", "all", size=96))}


def photo_data():
    return {
        **{split: described(load_photos(split)) for split in ("train", "validation", "test", "all")},
        "scenes": described(load_photos("train", fold=2, labels="scene")),
        "cut-outs, 64 pixels": described(load_photos("test", fold=4, size=64, source="tuxpaint")),
        "two families": described(load_photos("all", families=("bird", "fruit"))),
    }


def samples():
    pool = load_street("photo", "target", n=2000)
    row_of = {name: row for row, name in enumerate(pool.ids)}
    wrong = with_wrong_labels(pool, 0.3, seed=1)
    return {
        **{
            f"rows, seed {seed}": [row_of[name] for name in sample_budget(pool, 2, seed=seed).ids] for seed in (0, 1, 2)
        },
        "50 of each": described(sample_budget(pool, 50, seed=1)),
        "wrong labels": {"y": digest(wrong.y), "wrong ones": int((wrong.y != pool.y).sum())},
        "two classes": described(keep_classes(pool, ("sneaker", "bag"))),
    }


def route_data():
    record = {}
    for route in ROUTES:
        source, target = route.pair.draw(n=100, seed=1)
        record[route.name] = {"source": described(source), "target": described(target)}
        record[route.name]["labels"] = str(route.pair.label_map)
    return record


# ---------------------------------------------------------------- networks


def networks():
    """Write down the weights that networks start with."""
    body = small_cnn_body((28, 28, 1), seed=2)
    garments = load_source_model("street_garments")
    rescaled = load_source_model("street_garments")
    rescale_activations(rescaled, load_street("photo", "source", n=100).x)
    models = {
        **{f"small network, {head}": small_cnn((28, 28, 1), 10, head=head, seed=1) for head in ("average", "flatten")},
        "small body": body.model,
        "class head": add_class_head(body, 4, seed=3),
        "box head": add_box_head(body, seed=3),
        "mask head": add_mask_head(body, seed=3),
        "scene heads": add_scene_heads(body_for_scenes(), 3, seed=3, uncertainty=True),
        "street_garments": garments,
        "street_families": load_source_model("street_families"),
        "street_colour": load_source_model("street_colour"),
        "street_colour, adapted": adapt_input(body_of(load_source_model("street_colour")), (56, 56, 1)).model,
        "street_garments, rescaled": rescaled,
        "efficientnet_lite0": load_backbone(size=96).model,
    }
    record = {name: weights_of(model) for name, model in models.items()}
    test = load_street("photo", "test", n=500)
    record["accuracy of street_garments"] = accuracy(garments, test)
    record["its mean recall"] = mean_recall(garments, test)
    record["its layers"] = trainable_report(garments).to_dict("records")
    return record


def body_for_scenes():
    return small_cnn_body((56, 56, 1), seed=2)


def backbone_features():
    """Features of a few pictures by the shipped backbone, and what is read from them."""
    emoji, backbone = load_emoji("noto", "train", size=96), load_backbone(size=96)
    emoji = emoji.subset(np.random.default_rng(0).permutation(len(emoji))[:64])
    few = emoji.x[:8]
    features = extract_features(backbone, emoji.x)
    classifier = probe(features[:48], emoji.y[:48])
    classes = load_imagenet_classifier(size=96)
    guesses = [top_predictions(classes, picture, k=3) for picture in load_photos("all").x[:3]]
    return {
        "last": moments(extract_features(backbone, few)),
        "block3": moments(extract_features(backbone, few, stage="block3")),
        "with BatchNorm folded": moments(extract_features(backbone, few, fold_batch_norm=True)),
        "all stages": {stage: moments(each) for stage, each in stage_features(backbone, few).items()},
        "probe": {"weights": moments(classifier[-1].coef_), "score": classifier.score(features[48:], emoji.y[48:])},
        "guesses": [table_of(each, "name") for each in guesses],
    }


def similarities():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 12))
    y = x @ random.normal(size=(12, 8)) + 0.5 * random.normal(size=(60, 8))
    return {
        "CKA, debiased": cka(x, y),
        "CKA, plain": cka(x, y, debiased=False),
        **{name: domain_distance(x, 0.8 * x[::-1] + 0.3, method=name, seed=1) for name in ("proxy_a", "mmd", "coral")},
    }


def label_shift():
    random = np.random.default_rng(0)
    truth, source = random.choice(4, 400, p=[0.6, 0.2, 0.15, 0.05]), np.full(4, 0.25)
    logits = 2 * np.eye(4)[truth] + random.normal(size=(400, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    estimated = estimate_prior(probabilities, source)
    return {"estimate": estimated.tolist(), "adjusted": moments(adjust_to_prior(probabilities, source, estimated))}


# ---------------------------------------------------------------- training


def pictures(n, shape, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), "uint8")


SIDE = (12, 12, 1)
HOW = {"learning_rate": 0.01, "updates": 12, "batch_size": 4, "seed": 1}


def train_data():
    return pictures(12, SIDE, 0), np.arange(12) % 3


def held_out_data():
    return pictures(7, SIDE, 1), np.arange(7) % 3


def tiny(seed=0):
    """The first half of the kit's small network, and a head."""
    return add_class_head(body_of(small_cnn(SIDE, 3, seed=seed), "conv2"), 3, seed=seed)


def residual():
    """A network with BatchNorm, dropout and a way around."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SIDE, name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem_conv")(image)
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    inside = keras.layers.Conv2D(4, 3, padding="same", name="block1_conv")(x)
    inside = keras.layers.Dropout(0.3, name="block1_drop")(inside)
    x = keras.layers.Add(name="block1_add")([inside, x])
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    return keras.Model(image, keras.layers.Dense(3, name="head")(x), name="residual")


def fits(make_model):
    """Train a tiny network by every strategy."""
    return {
        name: fit_of(fit_transfer(make_model(), train_data(), held_out_data(), strategy=name, validations=3, **HOW))
        for name in STRATEGIES
    }


def fits_otherwise():
    """Train a tiny network with the settings that a strategy can be given."""
    asked = {
        "upto": {"strategy": "fine_tuning", "upto": "conv1"},
        "factors": {"strategy": "fine_tuning", "factors": 2.6},
        "rate of the head": {"strategy": "lp_ft", "head_learning_rate": 0.1},
        "best weights": {"strategy": "scratch", "weights": "best"},
        "class weight": {"strategy": "scratch", "class_weight": {0: 3.0, 1: 0.5}},
        "nothing run once": {"strategy": "linear_probing", "cache": False},
        "another loss": {"strategy": "fine_tuning", "loss": keras.losses.SparseCategoricalCrossentropy(True)},
    }
    record = {
        name: fit_of(fit_transfer(tiny(), train_data(), held_out_data(), **HOW, **settings))
        for name, settings in asked.items()
    }
    settings = {"strategy": "fine_tuning", "updates": 8, "batch_size": 4}
    choice = tune_learning_rate(tiny, train_data(), held_out_data(), rates=(0.001, 0.01), seeds=(0, 1), **settings)
    sweep = lr_find(tiny(), train_data(), updates=20, batch_size=4)
    tuned = {"rate": choice.learning_rate, "scores": table_of(choice.scores, "learning_rate", "seed")}
    return record | {"tune_learning_rate": tuned, "lr_find": {"losses": moments(sweep.frame["loss"])}}


def adaptation():
    """Adapt features and a tiny network to pictures without labels."""
    random = np.random.default_rng(0)
    source, target = random.normal(size=(40, 5)), random.normal(size=(30, 5)) @ random.normal(size=(5, 5)) + 1
    unlabelled, dann, weaker, deep_coral = pictures(10, SIDE, 2), tiny(), tiny(), tiny()
    fit_dann(dann, train_data(), unlabelled, **HOW)
    fit_dann(weaker, train_data(), unlabelled, strength=0.3, units=8, layer="conv2", **HOW)
    fit_coral(deep_coral, train_data(), unlabelled, **HOW)
    return {
        "standardise": moments(standardise(source, like=target)),
        "coral": moments(coral(source, target)),
        "coral_loss": float(coral_loss(source, target)),
        "reversal_schedule": float(reversal_schedule(0.3)),
        "DANN": weights_of(dann),
        "DANN, weaker": weights_of(weaker),
        "Deep CORAL": weights_of(deep_coral),
    }


def several_tasks():
    """Train one network for class, box and mask with each way of joining losses."""
    scenes = load_street_scenes("photo", "target", n=16, seed=1, target="shoes", distractors="garment")
    data, how = (scenes.x, scene_targets(scenes)), HOW | {"updates": 6}
    record = {"targets": moments(data[1])}
    for name, weights in (
        ("static", {"class": 1, "box": 1, "mask": 0.1}),
        ("uncertainty", "uncertainty"),
        ("PCGrad", None),
    ):
        model = add_scene_heads(body_for_scenes(), 3, seed=1, uncertainty=weights == "uncertainty")
        if weights is None:
            fit_pcgrad(model, data, [scene_loss({task: 1}) for task in ("class", "box", "mask")], **how)
        else:
            fit_transfer(model, data, strategy="scratch", loss=scene_loss(weights), **how)
        record[name] = {"weights": weights_of(model), "measured": measure_scenes(model, scenes)}
    before, after = tiny(), tiny()
    fit_transfer(after, held_out_data(), strategy="fine_tuning", **HOW)
    lost = {head: forgetting(before, after, train_data(), head=head) for head in ("own", "old")}
    return record | {"forgetting": lost}


# ---------------------------------------------------------------- statistics


def stored_statistics(name):
    """Intervals, differences and a verdict of a stored table."""
    runs, settings = load_study(name).runs, stored_settings(name)
    record = {"interval": table_of(confidence_interval(runs), "arm", "budget")}
    if STORED_COMPARISONS[name] is None:
        return record
    treatment, baseline, controls = STORED_COMPARISONS[name]
    both = runs[runs["arm"].isin([treatment, baseline])]
    shared = set.intersection(*(set(rows["budget"]) for _, rows in both.groupby("arm")))
    runs = runs[runs["budget"].isin(shared)]
    asked = {"chance": "chance" if "chance" in runs else None, "learning_rates": settings.get("rates_offered") or None}
    for method in ("t", "bootstrap") if name in BOOTSTRAPPED else ("t",):
        difference = paired_difference(runs, treatment, baseline, method=method, margin=2.0)
        record[f"difference, {method}"] = table_of(difference, "budget")
    record["verdict"] = verdict_of(transfer_verdict(runs, treatment, baseline, controls=controls, **asked))
    record["verdict, margin 2"] = verdict_of(transfer_verdict(runs, treatment, baseline, margin=2.0, **asked))
    return record


def route_statistics():
    verdicts = {route.name: verdict_of(route_verdict(route)) for route in ROUTES}
    return verdicts | {"gains": table_of(route_gains(), "route", "budget")}


def route_in_a_worker():
    """Run one cell of a route in a worker process, which imports the kit by the names of its modules."""
    study = STUDIES["route_parallel_training"]
    axis, arms = dataclasses.replace(study.axis, values=(50,)), {"separate": study.arms["separate"]}
    one = dataclasses.replace(study, arms=arms, axis=axis, seeds=(1,), compared=None)
    runs = measure(one, stored_settings(study.name)["rates"], path=None, n_jobs=1)
    return table_of(runs.drop(columns=["run_seconds", "run_cpu_seconds", "spec"]), "arm", "budget", "seed")


def kit_slices():
    """Return name → function of everything that is no run of a study."""
    return {
        "machine": machine,
        "data/street": street_data,
        "data/emoji": emoji_data,
        "data/photos": photo_data,
        "data/samples": samples,
        "data/routes": route_data,
        "networks": networks,
        "features": backbone_features,
        "similarity": similarities,
        "label shift": label_shift,
        "fit/tiny": partial(fits, tiny),
        "fit/residual": partial(fits, residual),
        "fit/otherwise": fits_otherwise,
        "fit/adaptation": adaptation,
        "fit/several tasks": several_tasks,
        "statistics/studies": lambda: {name: stored_statistics(name) for name in STORED_COMPARISONS},
        "statistics/routes": route_statistics,
        "route in a worker": route_in_a_worker,
    }


def machine():
    record = environment()
    record["versions"].pop("tl_helpers", None)
    return record


# ---------------------------------------------------------------- record and compare


def flat(name, value):
    """Return name → plain value of everything in nested dictionaries and lists."""
    if isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: plain for part, inner in parts for key, plain in flat(f"{name}/{part}", inner).items()}
    value = value.item() if isinstance(value, np.generic) else value
    return {name: str(value) if isinstance(value, float) and not math.isfinite(value) else value}


def values_of(name, function):
    """Run one slice and return its values by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = flat(name, function())
    odd = [key for key, value in found.items() if not isinstance(value, str | int | float | None)]
    if odd:
        raise TypeError(f"{odd[0]} holds {type(found[odd[0]]).__name__}, not a number or a text.")
    return found


def differences(recorded, found):
    """Return name → what to print of every value that differs or stands on one side only."""
    lines = {}
    for key in dict.fromkeys([*recorded, *found]):
        if key not in found or key not in recorded:
            lines[key] = "is gone" if key in recorded else "is new"
            continue
        old, new = recorded[key], found[key]
        if type(old) is float and type(new) is float:
            same = math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        else:
            same = type(old) is type(new) and old == new
        if not same:
            lines[key] = f"was {old!r}, is {new!r}"
    return lines


def report(lines):
    for key, text in list(lines.items())[:SHOWN]:
        print(f"    {key} {text}")
    if len(lines) > SHOWN:
        print(f"    … and {len(lines) - SHOWN} more")


def clocks():
    return time.perf_counter(), time.process_time()


def since(begun):
    """Say how many seconds have passed, and how many of the processor's."""
    seconds, processor = (now - then for now, then in zip(clocks(), begun, strict=True))
    return f"{seconds:6.1f} s ({processor:5.1f} s of processor)"


def run_slices(slices, recorded):
    """Run all slices with a line for each; where there is something to compare with, say what differs.

    Parameters
    ----------
    slices : dict of str to callable
    recorded : dict or None
        Slice → name → value.

    Returns
    -------
    found : dict
        The same of now; a slice that ended in an error is not in it.
    failed : list of str
        Slices that differ, or ended in an error.
    """
    found, failed, started, before = {}, [], clocks(), None
    for name, function in slices.items():
        part = name.split("/")[:2]
        if part != before:
            tidy()  # what a worker does between runs takes long, so here it is done between studies
        begun, before = clocks(), part
        try:
            found[name], problem = values_of(name, function), ""
        except Exception as error:
            problem = f"  {type(error).__name__}: {error}"
        lines = {}
        if recorded is not None and not problem:
            lines = differences(recorded.get(name, {}), found[name])
            problem = f"  DIFFERS in {len(lines)}" if lines else ""
        if problem:
            failed.append(name)
        print(f"{since(begun)}  {name}{problem}", flush=True)
        report(lines)
    print(f"{since(started)}  in all, {sum(map(len, found.values()))} values")
    return found, failed


def main(arguments):
    """Record or compare, in this process.

    Parameters
    ----------
    arguments : list of str

    Returns
    -------
    int
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.golden", description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("beginnings", nargs="*", help="only slices whose names begin with one of these")
    options = parser.parse_args(arguments)
    recorded = json.loads(options.file.read_text(encoding="utf-8")) if options.verb == "compare" else None
    if not conditions.are_set():
        return in_a_process_of_its_own(options)

    print(f"the kit from {Path(tl_helpers.__file__).parent}")
    beginnings = tuple(options.beginnings or [""])
    slices = {
        name: function for name, function in (kit_slices() | study_slices()).items() if name.startswith(beginnings)
    }
    gone = [name for name in recorded or {} if name.startswith(beginnings) and name not in slices]
    if not slices and not gone:
        parser.error(f"no slice begins with {' or '.join(beginnings)}")
    found, failed = run_slices(slices, recorded)
    if recorded is None:
        with atomic_path(options.file) as temporary:
            temporary.write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    if gone or failed:
        print(f"FAILED: {', '.join([*failed, *(f'{name} (is gone)' for name in gone)])}")
    elif recorded is not None:
        print("Nothing differs.")
    return int(bool(gone or failed))


def in_a_process_of_its_own(options):
    """Start again under the tests' conditions: threads have to be counted before NumPy and TensorFlow are imported."""
    with tempfile.TemporaryDirectory(prefix="tl-helpers-golden-") as folder:
        empty = Path(folder) / "empty"
        empty.mkdir()
        conditions.impose(Path(folder))
        os.environ.update(WORKER_ENVIRONMENT, PYTHONHASHSEED="0")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(conditions.ROOT), os.environ["PYTHONPATH"]])
        command = [sys.executable, "-m", __spec__.name, options.verb, str(options.file.resolve()), *options.beginnings]
        return subprocess.run(command, cwd=empty, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
