"""What does knowing animals tell about where one is? The study of Task Adaptation, on scenes of three emoji."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np

from tl_helpers.datasets.animal_scenes import SCENE_SIDE, compose_animal_scenes, crop_things
from tl_helpers.datasets.emoji import EMOJI_FOLDS
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.backbones import Backbone
from tl_helpers.models.boxes import box_loss, box_scores, centres_within, decode_boxes, encode_boxes
from tl_helpers.models.features import run_once
from tl_helpers.models.heads import add_box_head, add_hidden_convolution
from tl_helpers.models.small_network import adapt_input, body_of, rescale_activations, small_cnn, small_cnn_body
from tl_helpers.studies.frozen_features import backbone_with, kept
from tl_helpers.studies.study import LADDER, Study
from tl_helpers.training.fit import fit_transfer

STAGE, HIDDEN = "block5", 64
UPDATES, LONGER, BATCH = 150, 600, 16
SCENES, HELD_OUT = 400, 300
# Of the best single box for all test scenes of the eight folds; its centre lies in the animal's box in 9.8 %.
CHANCE = 10.4
SOURCE_SCENES, SOURCE_UPDATES, SOURCE_BATCH, SOURCE_RATE, SOURCE_SEED = 1400, 600, 64, 2e-3, 1000


def task_adaptation(scenes, seed, *, rate=None, split="test", source, strategy, updates=UPDATES):
    """Find the animal in a scene, after learning to name things, or after nothing.

    Each seed draws another fold of concepts and other scenes. What stands in the scenes to learn from, in those that
    choose rates and in those that measure are different concepts. All networks have the same head and standardise its
    inputs or their own: the small network, with 12 × 12 cells, each picture; Lite0's head, with 6 × 6, each channel of
    its features.

    Parameters
    ----------
    scenes : int
        Labelled scenes, 1…400.
    seed : int
    rate : float
        Learning rate.
    split : {"validation", "test"}
    source : {"crops", "imagenet", "random", None}
        ``"crops"``: the kit's small network, trained to name the eight groups on crops of such scenes
        (:func:`source_of`). None: the same network with new weights. ``"imagenet"``: EfficientNet-Lite0 up to its
        fifth block, whose features are computed once; ``"random"``: the same with random weights.
    strategy : {"scratch", "fine_tuning", "linear_probing"}
        Of :func:`tl_helpers.training.fit.fit_transfer`; with Lite0 only the head is there to be trained.
    updates : int

    Returns
    -------
    dict
        ``learning_rate``, ``updates``, and in % what :func:`measure_boxes` tells.
    """
    fold = seed % EMOJI_FOLDS
    labelled, held_out = scenes_of("train", fold, seed), scenes_of(split, fold, 0)
    x, test_x, targets = labelled.scenes.x[:scenes], held_out.scenes.x, labelled.scenes.boxes[:scenes]
    if source in ("imagenet", "random"):
        x, test_x = maps_of(source, "train", fold, seed)[:scenes], maps_of(source, split, fold, 0)
        mean, deviation = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
        x, test_x = (x - mean) / deviation, (test_x - mean) / deviation
        features = keras.Input(x.shape[1:], name="features")
        body = Backbone(keras.Model(features, features), source, "each channel standardised", {})
    elif source == "crops":
        body = adapt_input(source_of(fold), x.shape[1:])
    else:
        body = small_cnn_body(x.shape[1:], seed=seed)
    model = add_box_head(add_hidden_convolution(body, HIDDEN, seed=seed), seed=seed)
    grid = model.output_shape[1]
    data = x, encode_boxes(targets, grid=grid, cell=SCENE_SIDE / grid)
    settings = {"learning_rate": rate, "updates": updates, "batch_size": BATCH, "seed": seed, "loss": box_loss}
    fit_transfer(model, data, strategy=strategy, **settings)
    found = decode_boxes(model.predict(test_x, batch_size=100, verbose=0), cell=SCENE_SIDE / grid)
    return {"learning_rate": rate, "updates": updates} | measure_boxes(found, held_out.boxes)


def measure_boxes(found, boxes):
    """Compare the box found in each scene with those of the animal and of the distractors.

    Parameters
    ----------
    found : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom in pixels.
    boxes : numpy.ndarray
        ``(n, 3, 4)``: the animal's, then the distractors'.

    Returns
    -------
    dict of str to float
        In %: ``score``, the mean intersection over union with the animal's box; ``hit_rate``, found boxes for which it
        is at least a half; ``centre``, those whose centre lies in the animal's box; ``distractor``, those whose centre
        lies in a distractor's box and not in the animal's.
    """
    animal, *others = (boxes[:, number] for number in range(boxes.shape[1]))
    inside_others = np.any([centres_within(found, other) for other in others], axis=0)
    wrong = inside_others & ~centres_within(found, animal)
    return box_scores(found, animal) | {"distractor": 100 * float(wrong.mean())}


@cache  # a second or two
def scenes_of(split, fold, seed):
    """Compose as many scenes as a run needs at most: of the training split to learn from, of another to measure on.

    Parameters
    ----------
    split, fold, seed
        See :func:`tl_helpers.datasets.animal_scenes.compose_animal_scenes`.

    Returns
    -------
    AnimalScenes
    """
    return compose_animal_scenes(split, n=SCENES if split == "train" else HELD_OUT, seed=seed, fold=fold)


@cache  # some seconds
def maps_of(weights, split, fold, seed):
    """Return the backbone's feature maps of the scenes of :func:`scenes_of`.

    Parameters
    ----------
    weights : {"imagenet", "random"}
    split, fold, seed
        See :func:`scenes_of`.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, 6, 6, 112)``.
    """
    backbone = backbone_with(weights)
    last = backbone.model.get_layer(backbone.stages[STAGE])
    return run_once(
        keras.Model(backbone.model.input, last.output),
        scenes_of(split, fold, seed).scenes.x,
        batch_size=32,
        cache=kept(),
    )


@cache
def source_of(fold):
    """Train the source: a small network that names the groups of things on crops of scenes, of the training concepts.

    Its activations are rescaled (:func:`tl_helpers.models.small_network.rescale_activations`), so that a new head
    starts gently.

    Parameters
    ----------
    fold : int

    Returns
    -------
    Backbone
    """
    crops = source_crops(fold)
    model = small_cnn(crops.x.shape[1:], len(crops.label_names), seed=SOURCE_SEED + fold)
    settings = {"learning_rate": SOURCE_RATE, "updates": SOURCE_UPDATES, "batch_size": SOURCE_BATCH}
    fit_transfer(model, crops, strategy="scratch", seed=SOURCE_SEED + fold, **settings)
    rescale_activations(model, crops.x[:300])
    return body_of(model)


def source_crops(fold, *, n=SOURCE_SCENES):
    """Return the pictures that the source learns from: crops of scenes that no run finds animals in.

    Parameters
    ----------
    fold : int
    n : int
        Scenes to crop, each giving three pictures.

    Returns
    -------
    Dataset
    """
    return crop_things(compose_animal_scenes("train", n=n, seed=SOURCE_SEED, fold=fold))


def _arm(label, role, source, strategy, *, sparse=False):
    return Arm(label, role, {"source": source, "strategy": strategy}, tuned=True, sparse=sparse)


STUDIES = (
    Study(
        "route_task_adaptation",
        task_adaptation,
        arms={
            "scratch": _arm("training from scratch", "baseline", None, "scratch"),
            "crops": _arm("fine-tuning, after naming things on crops", "transfer", "crops", "fine_tuning"),
            "lite0": _arm("ImageNet's features, frozen", "transfer", "imagenet", "linear_probing"),
            "random_lite0": _arm("the same with random weights", "control", "random", "linear_probing", sparse=True),
            "scratch_longer": Arm(
                "training from scratch with 4 times the updates",
                "baseline",
                {"source": None, "strategy": "scratch", "updates": LONGER},
                tuned=True,
                check_of="scratch",
                values=(400,),
            ),
        },
        axis=Axis("scenes", "labelled scenes", (25, 50, 100, 200, 400)),
        seeds=tuple(range(8)),
        rates=LADDER[3:6],
        metric="mean IoU in %",
        chance=CHANCE,
        compared=("crops", "scratch"),
    ),
)
