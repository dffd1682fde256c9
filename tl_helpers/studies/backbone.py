"""How much of a real backbone to train, in which order? Studies of notebook 04 on EfficientNet-Lite0 and emoji."""

from __future__ import annotations

import time

import numpy as np

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.emoji import EMOJI_STYLES, load_emoji
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.heads import add_class_head
from tl_helpers.studies.freezing import FACTOR
from tl_helpers.studies.study import LADDER, Study
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.lora import add_lora, bytes_to_store
from tl_helpers.training.report import trainable_report

SIZE, UPDATES = 64, 100
LORA_RANK = 4
HEAD_RATE = 1e-2
CHANCE = 17.6


def backbone_depth(labels, seed, *, rate=None, split="test", strategy, upto=None, factors=None, rank=None):
    """How much of an ImageNet backbone to train: eight groups of emoji at 64 pixels.

    Each seed draws another fold of concepts and another sample of labels.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float, optional
    split : {"validation", "test"}
    strategy : {"logistic_regression", "linear_probing", "fine_tuning"}
        Logistic regression on standardised features computed once; or EfficientNet-Lite0 with a new head.
    upto : str, optional
        The last frozen stage when fine-tuning.
    factors : float, optional
        How many times slower each stage learns than the one above.
    rank : int, optional
        Of LoRA, in place of the kernels (:func:`tl_helpers.training.lora.add_lora`).

    Returns
    -------
    dict
        ``score``: accuracy in %; ``train_seconds``: CPU seconds; ``trainable``: parameters that move;
        ``stored_bytes``: their size, what one more target costs to keep.
    """
    labelled = sample_budget(load_emoji("noto", "train", fold=seed % 10, size=SIZE), labels, seed=seed)
    test = load_emoji("noto", split, fold=seed % 10, size=SIZE)
    if strategy == "logistic_regression":
        backbone = load_backbone(size=SIZE)
        started = time.process_time()
        features = extract_features(backbone, labelled.x)
        classifier = probe(features, labelled.y)
        seconds = time.process_time() - started
        score = 100 * classifier.score(extract_features(backbone, test.x), test.y)
        trainable = len(labelled.label_names) * (features.shape[1] + 1)
        return {
            "score": score,
            "train_seconds": round(seconds, 3),
            "trainable": trainable,
            "stored_bytes": 4 * trainable,
        }
    settings = {"strategy": strategy, "upto": upto, "factors": factors, "rank": rank}
    model, row = _train(labelled, rate=rate, seed=seed, **settings)
    return row | {"score": 100 * accuracy(model, test), "stored_bytes": bytes_to_store(model)}


def lp_ft_shift(labels, seed, *, rate=None, split="test", strategy):
    """Learn the groups from one style of emoji, and be tested on the four others: does LP-FT lose less there?

    The pictures are as for :func:`backbone_depth`, and so are folds: what is tested on is drawn in another style and
    another concept as well. LP-FT fits its head at a rate of 0.01. The rate is chosen on the style that is learnt.

    Parameters
    ----------
    labels : int
        Labels per class.
    seed : int
    rate : float
    split : {"validation", "test"}
    strategy : {"linear_probing", "fine_tuning", "lp_ft"}
        Of :func:`tl_helpers.training.fit.fit_transfer`.

    Returns
    -------
    dict
        ``score``: accuracy in %, the mean over the four other styles; on the validation split that on the style learnt.
        ``same_style``: accuracy in % on the style learnt, and one column for each other style.
    """
    labelled = sample_budget(load_emoji("noto", "train", fold=seed % 10, size=SIZE), labels, seed=seed)
    head = {"head_learning_rate": HEAD_RATE} if strategy == "lp_ft" else {}
    model, row = _train(labelled, rate=rate, seed=seed, strategy=strategy, **head)
    same = 100 * accuracy(model, load_emoji("noto", split, fold=seed % 10, size=SIZE))
    if split == "validation":
        return row | {"score": same}
    others = [style for style in EMOJI_STYLES if style != "noto"]
    by_style = {style: 100 * accuracy(model, load_emoji(style, split, fold=seed % 10, size=SIZE)) for style in others}
    return row | {"score": float(np.mean(list(by_style.values()))), "same_style": same} | by_style


def _train(labelled, *, rate, seed, upto=None, rank=None, **settings):
    """Put a head on the backbone and train; return the model and what every row says."""
    backbone = load_backbone(size=SIZE)
    model = add_class_head(backbone, len(labelled.label_names), seed=seed)
    if rank is not None:
        add_lora(model, rank, seed=seed)
    settings |= {"learning_rate": rate, "updates": UPDATES, "seed": seed, "upto": upto and backbone.stages[upto]}
    fit = fit_transfer(model, labelled, **settings)
    return model, {
        "learning_rate": rate,
        "updates": UPDATES,
        "train_seconds": round(fit.cpu_seconds, 3),
        "trainable": int(trainable_report(model)["trainable"].sum()),
    }


def _arm(label, role, strategy, **settings):
    return Arm(label, role, {"strategy": strategy, **settings}, tuned=True)


STUDIES = (
    Study(
        "backbone_depth",
        backbone_depth,
        arms={
            "logistic regression": Arm(
                "logistic regression on features", "baseline", {"strategy": "logistic_regression"}
            ),
            "head": _arm("the head alone", "transfer", "linear_probing"),
            "last 1 block": _arm("the last block", "transfer", "fine_tuning", upto="block6"),
            "last 2 blocks": _arm("the last 2 blocks", "transfer", "fine_tuning", upto="block5"),
            "everything": _arm("everything", "transfer", "fine_tuning"),
            "discriminative": _arm("everything, early stages slower", "transfer", "fine_tuning", factors=FACTOR),
            "lora": _arm(f"LoRA of rank {LORA_RANK}", "transfer", "fine_tuning", rank=LORA_RANK),
        },
        axis=Axis("labels", "labels per class", (20,)),
        seeds=tuple(range(8)),
        rates=LADDER[3:6],
        chance=CHANCE,
        compared=("lora", "logistic regression"),
    ),
    Study(
        "lp_ft_shift",
        lp_ft_shift,
        arms={
            "linear_probing": _arm("the head alone", "transfer", "linear_probing"),
            "fine_tuning": _arm("plain fine-tuning", "transfer", "fine_tuning"),
            "lp_ft": _arm("head first, then everything", "transfer", "lp_ft"),
        },
        axis=Axis("labels", "labels per class", (20,)),
        seeds=tuple(range(8)),
        rates=LADDER[2:5],
        metric="accuracy in % on other styles",
        chance=CHANCE,
        compared=("lp_ft", "fine_tuning"),
    ),
)
