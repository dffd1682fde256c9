"""Which runs stand behind the stored figures? The list of all studies."""

from __future__ import annotations

from tl_helpers.studies.adaptation import PHOTO_PAIRS, adapt_photos, adapt_sketches
from tl_helpers.studies.emoji import emoji_labels, photos_from_emoji
from tl_helpers.studies.features import (
    CONVOLUTIONS,
    PAIRS,
    PREPARATIONS,
    TARGETS,
    TASKS,
    feature_tasks,
    layer_probes,
    network_similarity,
    wrong_preprocessing,
)
from tl_helpers.studies.freezing import (
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
from tl_helpers.studies.frozen_features import STAGES
from tl_helpers.studies.multitask import FORGETTING_ARMS, forgetting_garments, task_importance, task_weighting
from tl_helpers.studies.routes import (
    dataset_merging,
    domain_adaptation,
    modality_transfer,
    multi_task,
    parallel_training,
    task_adaptation,
    task_fine_tuning,
    weight_sharing,
)
from tl_helpers.studies.street import street_boxes, street_compute, street_feature_space, street_labels, street_rare
from tl_helpers.studies.study import FEWER_RATES, RATES, Study
from tl_helpers.studies.text import TEXT_ARMS, TEXT_NETWORKS, emoji_text

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
