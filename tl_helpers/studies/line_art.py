"""What do colour emoji teach about black line art? Domain adaptation on the features of a frozen ImageNet backbone.

Both domains are OpenMoji's own drawings of the same things in the same eight groups, in colour and in black. No
concept that is tested in black is trained on in colour. Concepts to *train* on are the same in both, so that a labelled
drawing shows what the source has shown in colour.

Nothing is trained by gradient descent: every arm is logistic regression on features that are computed once, so there is
no learning rate to tune. Its penalty is the same for all, but for a check that may choose one.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tl_helpers.datasets.dataset import rows_of, sample_budget
from tl_helpers.datasets.emoji import EMOJI_FOLDS, load_emoji
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.features import extract_features
from tl_helpers.studies.frozen_features import backbone_with, kept, pictures_of
from tl_helpers.studies.study import Study
from tl_helpers.studies.two_domains import PENALTY, predict_target

SOURCE_STYLE, TARGET_STYLE = "openmoji", "black"
PENALTIES = (0.005, 0.05, 0.5, 5.0)
# In every fold 25 of the 142 test drawings are objects, the commonest group.
CHANCE = 100 * 25 / 142


def line_art(labels, seed, *, rate=None, split="test", weights="imagenet", shuffled=False, penalties=(PENALTY,), **way):
    """Sort black line art into eight groups with the help of colour emoji.

    Each seed draws another fold of concepts and another sample of labels. The unlabelled drawings are all of the
    training split, of which the labelled ones are a part.

    Parameters
    ----------
    labels : int
        Labelled drawings per class. Arms that train on the source alone ignore them.
    seed : int
    rate : None
        Nothing is trained by gradient descent.
    split : {"validation", "test"}
    weights : {"imagenet", "random"}
        Of the frozen backbone, see :func:`tl_helpers.studies.frozen_features.backbone_with`.
    shuffled : bool
        Whether the source's labels are dealt out anew: as many of each, and none of them true.
    penalties : sequence of float
        C of the logistic regression, 1 / strength; of several the one that does best on the validation drawings, whose
        labels are then used.
    **way
        ``train_on``, ``per_domain`` and ``balanced`` of :func:`tl_helpers.studies.two_domains.predict_target`.

    Returns
    -------
    dict
        ``score``: accuracy in %; ``called_symbol``: how many of the drawings are called a symbol, in %; ``penalty``:
        C; ``fold``.
    """
    del rate
    fold = seed % EMOJI_FOLDS
    pool, validation, test = (_drawings(part, fold) for part in ("train", "validation", split))
    own = sample_budget(pool, labels, seed=seed)
    y = np.random.default_rng(seed).permutation(pool.y) if shuffled else pool.y
    source = features_of(SOURCE_STYLE, pool.ids, weights), y
    labelled = features_of(TARGET_STYLE, own.ids, weights), own.y
    unlabelled = features_of(TARGET_STYLE, pool.ids, weights)

    def answers(data, penalty):
        asked = features_of(TARGET_STYLE, data.ids, weights)
        return predict_target(source, labelled, unlabelled, asked, penalty=penalty, **way)

    penalty = penalties[0]
    if len(penalties) > 1:
        penalty = max(penalties, key=lambda one: (answers(validation, one) == validation.y).mean())
    predicted = answers(test, penalty)
    return {
        "score": 100 * float((predicted == test.y).mean()),
        "called_symbol": 100 * float((predicted == test.label_names.index("symbol")).mean()),
        "penalty": penalty,
        "fold": fold,
    }


def features_of(style, ids, weights="imagenet"):
    """Return the frozen backbone's features of some emoji of the eight groups.

    Parameters
    ----------
    style : str
        One of :data:`tl_helpers.datasets.emoji.EMOJI_STYLES`.
    ids : sequence of str
        Code points.
    weights : {"imagenet", "random"}

    Returns
    -------
    numpy.ndarray
        ``(len(ids), 1280)``.
    """
    return _all_features(style, weights)[rows_of(pictures_of(style).ids, ids)]


@cache  # ten seconds
def _all_features(style, weights):
    return extract_features(backbone_with(weights), pictures_of(style).x, cache=kept())


@cache
def _drawings(split, fold):
    """Return the drawings of a split: their labels and code points, whatever their size."""
    return load_emoji(TARGET_STYLE, split, fold=fold)


_SCALED = {"train_on": ("own",), "per_domain": True}
_BOTH = {"per_domain": True, "balanced": True}

# Where a label does not say otherwise, each domain is standardised by itself, and both weigh the same in total.
STUDIES = (
    Study(
        "route_domain_adaptation",
        line_art,
        arms={
            "own": Arm("drawings alone, without the unlabelled ones", "baseline", {"train_on": ("own",)}),
            "own_scaled": Arm("drawings alone", "baseline", _SCALED),
            "own_best": Arm(
                "drawings alone, penalty chosen on validation labels",
                "baseline",
                _SCALED | {"penalties": PENALTIES},
                check_of="own_scaled",
                sparse=True,
            ),
            # Without labels of the target: the same at every number of them, a level line to hold the others against.
            "zero_shot": Arm("colour alone, as it comes", "transfer", {"train_on": ("source",)}),
            "zero_shot_scaled": Arm(
                "colour alone, standardised per domain", "transfer", {"train_on": ("source",), "per_domain": True}
            ),
            "both": Arm("colour and drawings", "transfer", _BOTH),
            "both_unweighted": Arm("colour and drawings, not weighted", "transfer", {"per_domain": True}, sparse=True),
            "pooled": Arm("colour and drawings, pooled as they come", "transfer"),
            "both_shuffled": Arm("colour with shuffled labels, and drawings", "control", _BOTH | {"shuffled": True}),
            "random_both": Arm(
                "colour and drawings, random backbone", "control", _BOTH | {"weights": "random"}, sparse=True
            ),
            "random_own": Arm(
                "drawings alone, random backbone", "control", _SCALED | {"weights": "random"}, sparse=True
            ),
        },
        axis=Axis("labels", "labels per class", (2, 5, 10, 20, 40)),
        seeds=tuple(range(EMOJI_FOLDS)),
        chance=CHANCE,
        compared=("both", "own_scaled"),
    ),
)
