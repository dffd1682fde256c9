"""What are scraped photographs with careless labels worth beside a few of one's own?

The photographs are sorted by logistic regression on features of a frozen ImageNet backbone that are computed once:
there is no learning rate to tune, and all arms have the same penalty. Every feature is standardised by the *unlabelled*
photographs of one's own, in all arms: means and deviations of seven labelled pictures are so poor that anything thrown
in with them would seem to help.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas

from tl_helpers.datasets.dataset import draw_per_class, rows_of
from tl_helpers.datasets.photos import load_photos
from tl_helpers.datasets.scraped_photos import SCRAPED_FAMILIES, load_scraped_photos, shrink_and_blow_up
from tl_helpers.experiments.averages import macro_average
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.features import extract_features, probe
from tl_helpers.studies.frozen_features import backbone_with, kept, load_family
from tl_helpers.studies.study import Study
from tl_helpers.training.adaptation import standardise

# From 1e-5 to 0.1 own photographs alone score the same within 1.6 points, on the validation pictures of ten other seeds
# and the mean of all numbers of labels: the choice is in the middle, and a check may choose.
PENALTY = 0.0003
PENALTIES = (0.00001, 0.0003, 0.01)


def photo_merging(
    labels,
    seed,
    *,
    rate=None,
    split="test",
    foreign="thumbnails",
    wrong=None,
    own=True,
    balanced=False,
    statistics="unlabelled",
    penalties=(PENALTY,),
):
    """Sort photographs into seven families, with scraped thumbnails of which some labels are wrong.

    Each seed divides the photographs anew into own, scraped and tested ones, and draws other labels and other mistakes.

    Parameters
    ----------
    labels : int
        Own labels per class. Where `own` is False they are ignored.
    seed : int
    rate : None
        Nothing is trained by gradient descent.
    split : {"validation", "test"}
    foreign : {"thumbnails", "emoji"}
        What is thrown in: thumbnails of other photographs, or emoji of the same families.
    wrong : float, optional
        0…1: the share of wrong labels among what is thrown in; own photographs alone if it is left out.
    own : bool
        Whether own photographs are trained on.
    balanced : bool
        Whether both sources weigh the same in total.
    statistics : {"unlabelled", "labelled"}
        Which own photographs the means and deviations are taken from: all, which needs no label, or the labelled few.
    penalties : sequence of float
        C of the logistic regression, 1 / strength; of several the one that does best on the validation photographs,
        whose labels are then used.

    Returns
    -------
    dict
        ``score``: mean recall over classes in %; ``penalty``: C.
    """
    del rate
    parts = {part: _photographs(part, seed) for part in ("own", "scraped", "validation", split)}
    (pool, y), trained = parts["own"], []
    rows = draw_per_class(y, labels, seed=seed)
    if own:
        trained.append((pool[rows], y[rows]))
    if wrong is not None:
        x, given = _all_emoji() if foreign == "emoji" else parts["scraped"]
        trained.append((x, wrong_labels(given, wrong, seed=seed)))
    like = pool if statistics == "unlabelled" else pool[rows]
    x, given = (np.concatenate(arrays) for arrays in zip(*trained, strict=True))
    weights = class_weights(given, source_weights([len(y) for _, y in trained], balanced=balanced))

    def recall(part, penalty):
        asked, true = parts[part]
        scaled = standardise(x, like=like)
        fitted = probe(scaled, given, C=penalty, standardise=False, sample_weight=weights)
        return 100 * macro_average(fitted.predict(standardise(asked, like=like)) == true, true)

    penalty = penalties[0]
    if len(penalties) > 1:
        penalty = max(penalties, key=lambda one: recall("validation", one))
    return {"score": recall(split, penalty), "penalty": penalty}


def wrong_labels(y, share, *, seed):
    """Replace some labels by wrong ones, each other class being equally likely.

    With one seed the labels that are wrong at a small share are among those that are wrong at a larger one.

    Parameters
    ----------
    y : numpy.ndarray
        Class indices ``(n,)`` of :data:`tl_helpers.datasets.scraped_photos.SCRAPED_FAMILIES`.
    share : float
        0…1; of all labels, rounded to whole ones.
    seed : int

    Returns
    -------
    numpy.ndarray
        ``(n,)``.
    """
    random, classes = np.random.default_rng(seed), len(SCRAPED_FAMILIES)
    order, away = random.permutation(len(y)), random.integers(1, classes, len(y))
    rows = order[: round(share * len(y))]
    found = y.copy()
    found[rows] = (y[rows] + away[rows]) % classes
    return found


def source_weights(sizes, *, balanced=True):
    """Weigh examples by the source that they come from.

    Parameters
    ----------
    sizes : sequence of int
        Of the sources, whose examples follow one another.
    balanced : bool
        Whether each source weighs the same in total as the largest, rather than each example as any other.

    Returns
    -------
    numpy.ndarray
        ``(sum(sizes),)``, 1 for those of the largest source.
    """
    weights = [max(sizes) / size if balanced else 1.0 for size in sizes]
    return np.repeat(weights, sizes)


def class_weights(y, weights):
    """Change weights so that every class weighs the same in total, and all together what they did.

    Parameters
    ----------
    y : numpy.ndarray
        Class indices ``(n,)``.
    weights : numpy.ndarray
        ``(n,)``.

    Returns
    -------
    numpy.ndarray
        ``(n,)``.
    """
    classes, where = np.unique(y, return_inverse=True)
    totals = np.bincount(where, weights)
    return weights * (weights.sum() / len(classes) / totals)[where]


def break_even(shares, gains):
    """Say at which share of wrong labels a gain is used up.

    Parameters
    ----------
    shares : sequence of float
        Ascending.
    gains : sequence of float
        At these shares.

    Returns
    -------
    float
        Where the straight lines between the gains first reach zero; the first share where there is no gain to begin
        with, and infinity where the gain is never used up.
    """
    gains = np.asarray(gains, dtype=float)
    if gains[0] <= 0:
        return float(shares[0])
    if (gains > 0).all():
        return np.inf
    after = int(np.argmax(gains <= 0))
    low, high = shares[after - 1], shares[after]
    return float(low + (high - low) * gains[after - 1] / (gains[after - 1] - gains[after]))


def break_evens(study, *, resamples=2000):
    """Say for each number of own labels how many of the scraped labels may be wrong before merging does harm.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy
        One of ours.
    resamples : int
        Of the seeds, with replacement.

    Returns
    -------
    pandas.DataFrame
        One row per number of own labels: ``budget``, ``share`` (%, of the mean gain, see :func:`break_even`), and
        ``low`` and ``high``, the bounds of its 95 % percentile interval. Infinity: more than the largest share tried.
    """
    described = next(one for one in STUDIES if one.name == study.name)
    arms = {key: arm.settings["wrong"] for key, arm in described.arms.items() if _only_wrong(arm)}
    scores = study.runs.pivot_table("score", index=["budget", "seed"], columns="arm")
    gains, shares, rows = scores[list(arms)].sub(scores["own"], axis=0), list(arms.values()), []
    for budget, table in gains.groupby(level="budget"):
        values, random = table.to_numpy(), np.random.default_rng(0)
        drawn = values[random.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
        found = [break_even(shares, one) for one in drawn]
        low, high = np.quantile(found, (0.025, 0.975), method="nearest")
        rows.append([budget, *(100 * share for share in (break_even(shares, values.mean(axis=0)), low, high))])
    return pandas.DataFrame(rows, columns=["budget", "share", "low", "high"])


def _only_wrong(arm):
    """Return whether an arm differs from own pictures in nothing but what is thrown in, with some labels wrong."""
    return arm.settings.keys() == {"wrong"}


@cache
def _photographs(part, seed):
    """Return features and true labels of a part of the photographs."""
    data = load_scraped_photos(part, seed=seed)
    ids, features = _all_photographs("thumbnails" if part == "scraped" else "photographs")
    return features[rows_of(ids, data.ids)], data.y


@cache  # ten seconds
def _all_photographs(kind):
    data = load_photos("all", families=SCRAPED_FAMILIES)
    x = shrink_and_blow_up(data.x) if kind == "thumbnails" else data.x
    return data.ids, extract_features(backbone_with("imagenet"), x, cache=kept())


@cache  # five seconds
def _all_emoji():
    data = load_family("emoji", SCRAPED_FAMILIES, "all")
    return extract_features(backbone_with("imagenet"), data.x, cache=kept()), data.y


_OWN = "own photographs alone"


def _wrong(share):
    return f"own and scraped, {100 * share:.0f} % of the scraped labels wrong"


STUDIES = (
    Study(
        "route_dataset_merging",
        photo_merging,
        arms={
            "own": Arm(_OWN, "baseline"),
            "own_best": Arm(
                f"{_OWN}, penalty chosen on validation labels",
                "baseline",
                {"penalties": PENALTIES},
                check_of="own",
                sparse=True,
            ),
            "merged_0": Arm("own and scraped photographs together", "transfer", {"wrong": 0.0}),
            "merged_30": Arm(_wrong(0.3), "transfer", {"wrong": 0.3}),
            "merged_50": Arm(_wrong(0.5), "transfer", {"wrong": 0.5}),
            "merged_70": Arm(_wrong(0.7), "transfer", {"wrong": 0.7}),
            "weighted_0": Arm("together, both sources weighing the same", "transfer", {"wrong": 0.0, "balanced": True}),
            "weighted_70": Arm(
                "both sources weighing the same, 70 % of the scraped labels wrong",
                "transfer",
                {"wrong": 0.7, "balanced": True},
            ),
            "emoji": Arm("own photographs and emoji together", "fails", {"wrong": 0.0, "foreign": "emoji"}),
            "thumbnails": Arm("scraped photographs alone", "transfer", {"wrong": 0.0, "own": False}),
            # The trap: standardised by few, whatever else is thrown in must seem to help.
            "own_labelled_statistics": Arm(
                f"{_OWN}, standardised by the labelled few", "control", {"statistics": "labelled"}, sparse=True
            ),
        },
        axis=Axis("labels", "own labels per class", (1, 2, 3, 5, 10)),
        seeds=tuple(range(30)),
        metric="mean recall in %",
        # The same answer whatever is asked is right for one family of seven.
        chance=100 / len(SCRAPED_FAMILIES),
        compared=("merged_0", "own"),
    ),
)
