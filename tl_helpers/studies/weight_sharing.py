"""Who gains when one network learns two collections of digits? Few labelled digits of one, and many or few of another.

The *poor* collection has three labels per digit, and it alone is scored; its *partner* has as many as the axis says. A
network that learns both sees half and half: each update takes 32 pictures of the poor collection and 32 of the partner,
exactly. So the poor collection's own pictures are seen as often, and in the same batches, as by a network of its own.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tl_helpers.datasets.collections import digits_in_frames
from tl_helpers.datasets.dataset import draw_per_class
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.small_network import small_cnn
from tl_helpers.studies.study import LADDER, Study
from tl_helpers.training.data import Examples
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.loop import draw_batches, fit_losses
from tl_helpers.training.update import make_loss_on, resolve_loss

POOR_LABELS, HALF = 3, 32
UPDATES, LONGER = 200, 800


def weight_sharing(
    labels,
    seed,
    *,
    rate=None,
    split="test",
    learn,
    poor="small",
    shuffled=False,
    aligned=True,
    updates=UPDATES,
):
    """Learn a poor collection of digits with three labels of each, its partner, or both in one network.

    Parameters
    ----------
    labels : int
        Labels per digit of the partner. A network that learns the poor collection alone ignores them.
    seed : int
    rate : float
        Learning rate.
    split : {"validation", "test"}
    learn : tuple of str
        ``"poor"``, ``"partner"``, or both.
    poor : {"small", "mnist"}
        Which of :func:`tl_helpers.datasets.collections.digits_in_frames` has three labels per digit; the other is its
        partner.
    shuffled : bool
        Whether the partner's labels are dealt out anew: as many of each, and true by luck alone.
    aligned : bool
        Whether the small digits are as large in their frames as those of MNIST.
    updates : int

    Returns
    -------
    dict
        ``score``: accuracy in % on the poor collection, or on the partner if that is all there is to learn; ``poor``
        and ``partner``: on each that was learned.
    """
    if "partner" not in learn:
        labels = None  # so that a process makes the same run only once
    return dict(_run(labels, seed, rate, split, tuple(learn), poor, shuffled, aligned, updates))


@cache
def _run(labels, seed, rate, split, learn, poor, shuffled, aligned, updates):
    collections = digits_in_frames(aligned=aligned)
    names = {"poor": poor, "partner": next(name for name in collections if name != poor)}
    few = {"poor": POOR_LABELS, "partner": labels}
    heaps = []
    for part in learn:
        x, y = collections[names[part]]["train"]
        rows = draw_per_class(y, few[part], seed=seed)
        y = y[rows]
        if part == "partner" and shuffled:
            y = np.random.default_rng(seed).permutation(y)
        heaps.append((x[rows], y))
    model = small_cnn((28, 28, 1), 10, seed=seed)
    learn_in_halves(model, heaps, rate=rate, updates=updates, seed=seed)
    measured = {part: 100 * accuracy(model, collections[names[part]][split]) for part in learn}
    return {"score": measured[learn[0]], "learning_rate": rate, "updates": updates} | measured


def learn_in_halves(model, heaps, *, rate, updates, seed):
    """Train a classifier, in place, on one heap of pictures or several, with as many of each in every update.

    Parameters
    ----------
    model : keras.Model
        To logits.
    heaps : sequence of tuple
        ``(x, y)`` of each.
    rate : float
        Learning rate of the first update; it falls linearly to 0.
    updates, seed : int
    """
    x, y = (np.concatenate(parts) for parts in zip(*heaps, strict=True))
    rows = draw_in_halves([len(labels) for _, labels in heaps], updates, seed=seed)
    losses_of = make_loss_on(model, Examples(x, y), resolve_loss(None, model))
    fit_losses(model, losses_of, rows, learning_rate=rate, seed=seed, name="digits")


def draw_in_halves(sizes, updates, *, seed):
    """Draw the rows of every batch: :data:`HALF` of each heap, one shuffle of the heap after another.

    Parameters
    ----------
    sizes : sequence of int
        Number of pictures in each heap; in the data the heaps stand one after the other.
    updates : int
    seed : int
        The first heap's rows do not depend on whether there are others.

    Returns
    -------
    numpy.ndarray
        ``int32``, ``(updates, HALF * len(sizes))``.
    """
    starts = np.cumsum([0, *sizes[:-1]])
    drawn = [
        start + draw_batches(size, updates * HALF, 1, [seed, number]).reshape(updates, HALF)
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    return np.concatenate(drawn, axis=1).astype("int32")


_ALONE, _BOTH = {"learn": ("poor",)}, {"learn": ("poor", "partner")}
_MIRRORED = {"poor": "mnist"}
_SEEDS = tuple(range(10))
# Shares of the commonest digit among the test pictures: 53 threes of 497 small ones, 112 ones of 1,000 of MNIST.
CHANCE = {"small": 100 * 53 / 497, "mnist": 100 * 112 / 1000}

STUDIES = (
    Study(
        "route_weight_sharing",
        weight_sharing,
        arms={
            "separate": Arm("a network of its own", "baseline", _ALONE, tuned=True),
            "shared": Arm("one network for both collections", "transfer", _BOTH, tuned=True),
            "separate_longer": Arm(
                "a network of its own with 4 times the updates",
                "baseline",
                _ALONE | {"updates": LONGER},
                tuned=True,
                check_of="separate",
                values=(290,),
            ),
            "shuffled": Arm(
                "one network, MNIST's labels shuffled",
                "control",
                _BOTH | {"shuffled": True},
                tuned=True,
                values=(3, 30, 290),
            ),
            "not_aligned": Arm(
                "one network, digits of two sizes", "fails", _BOTH | {"aligned": False}, tuned=True, values=(30, 290)
            ),
            # What it scores is the partner's accuracy: what sharing costs or brings the partner is the column of that
            # name, with `shared` and with this.
            "partner": Arm(
                "a network for MNIST alone", "baseline", {"learn": ("partner",)}, tuned=True, values=(30, 290)
            ),
        },
        axis=Axis("labels", "labels per class of MNIST", (3, 10, 30, 100, 290)),
        seeds=tuple(range(15)),
        rates=LADDER[3:6],
        chance=CHANCE["small"],
        compared=("shared", "separate"),
    ),
    Study(
        "sharing_mirror",
        weight_sharing,
        arms={
            "separate": Arm("a network of its own", "baseline", _ALONE | _MIRRORED, tuned=True),
            "shared": Arm("one network for both collections", "transfer", _BOTH | _MIRRORED, tuned=True),
        },
        axis=Axis("labels", "labels per class of the small digits", (3, 30, 100)),
        seeds=_SEEDS,
        rates=LADDER[3:6],
        chance=CHANCE["mnist"],
        compared=("shared", "separate"),
    ),
)
