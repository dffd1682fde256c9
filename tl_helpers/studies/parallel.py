"""Does a network learn to name garments as well when it learns something else beside it?

The route of parallel training: two problems that have nothing in common share a trunk, and nobody expects a gain. That
there is none can be shown only within a margin that was announced before, and with many seeds.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Task, keep_classes, sample_budget
from tl_helpers.datasets.street import street
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.models.small_network import small_cnn_body
from tl_helpers.studies.study import FEWER_RATES, Study
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.loop import draw_batches, fit_losses
from tl_helpers.training.update import resolve_loss

# Points of accuracy that do not matter. Announced before the first run: whoever changes it makes the study anew.
# Trials with other seeds, on validation pictures, had chosen the partner, and 50 labels as the fewest: with 20 even
# this partner seemed to help.
MARGIN = 2.0
UPDATES, LONGER, BATCH = 200, 800, 32
PROBLEMS = ("garment", "zero_or_one", "parity")
PARTNER_LABELS = 250  # of each of a partner's two answers
# Pools of which no two show the same thing; of digits there is none for validation.
_GARMENTS = {"train": "target", "validation": "validation", "test": "test"}
_DIGITS = {"train": "source", "validation": "target", "test": "test"}
# Each kind of garment is 10.4 % of the test pictures at most.
CHANCE = 10.4


def pictures_of_problem(problem, part):
    """Return all pictures of a problem.

    Parameters
    ----------
    problem : {"garment", "zero_or_one", "parity"}
        Which of ten garments is it, on a cluttered ground? Or of a digit on black: is it a 0 or a 1 (no others are
        shown), is it even or odd? The former is a quiet partner, soon learned; the latter keeps on asking for changes.
    part : {"train", "validation", "test"}
        Nothing is shown in two of them.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, 28, 28, 1)``.

    Raises
    ------
    ValueError
        If there is no such problem or part.
    """
    check_choice("problem", problem, PROBLEMS)
    check_choice("part", part, _DIGITS)
    if problem == "garment":
        return street("photo", _GARMENTS[part])
    digits = street("plain", _DIGITS[part], "digit")
    if problem == "zero_or_one":
        return keep_classes(digits, ("0", "1"))
    return dataclasses.replace(digits, y=digits.y % 2, task=Task("street/parity", ("even", "odd")))


def labelled_pictures(problem, labels, seed):
    """Draw what a run learns from: of garments so many of each kind, of digits always as many.

    Parameters
    ----------
    problem : {"garment", "zero_or_one", "parity"}
    labels : int
        Labelled garments of each kind. Of each of a partner's answers there are :data:`PARTNER_LABELS`.
    seed : int

    Returns
    -------
    Dataset
    """
    each = labels if problem == "garment" else PARTNER_LABELS
    return sample_budget(pictures_of_problem(problem, "train"), each, seed=seed)


def one_trunk(classes, *, seed):
    """Build a classifier for each problem, all on the same body.

    Parameters
    ----------
    classes : dict of str to int
        Problem → number of its classes.
    seed : int
        Of the initial weights. A problem starts with the same ones, whatever the others are.

    Returns
    -------
    dict of str to keras.Model
        From pictures ``(n, 28, 28, 1)`` to logits. To train one moves the body of all.
    """
    body = small_cnn_body((28, 28, 1), seed=seed).model
    pooled = layers.GlobalAveragePooling2D(name="head_pool")(body.output)
    models = {}
    for problem, number in classes.items():
        start = keras.initializers.GlorotUniform(seed=10 * seed + 9)
        logits = layers.Dense(number, kernel_initializer=start, name=f"head_{problem}")(pooled)
        models[problem] = keras.Model(body.input, logits, name=problem)
    return models


def draw_own_batches(data, updates, batch_size, seed):
    """Draw the rows of each problem's batches.

    Parameters
    ----------
    data : dict of str to Dataset
        Problem → its pictures; problems of :data:`PROBLEMS`.
    updates, batch_size : int
    seed : int

    Returns
    -------
    numpy.ndarray
        ``(updates, len(data), batch_size)``: a problem's rows do not depend on whether there is another one.
    """
    drawn = [
        draw_batches(len(each), updates, batch_size, [seed, PROBLEMS.index(problem)]) for problem, each in data.items()
    ]
    return np.stack(drawn, axis=1)


def fit_side_by_side(models, data, *, learning_rate, updates, batch_size=BATCH, seed):
    """Train classifiers that share a body: in every update each has a batch of its own, and its own question.

    An update follows the sum of the problems' mean losses: what its own pictures say weighs the same for a problem,
    whether there is another one or not.

    Parameters
    ----------
    models : dict of str to keras.Model
        From :func:`one_trunk`. They are trained in place.
    data : dict of str to Dataset
        Of the same problems in the same order: what they learn from, at least `batch_size` pictures each.
    learning_rate : float
        Of the first update; it falls linearly to 0.
    updates : int
    batch_size : int
        Pictures of each problem in an update.
    seed : int
        Draws the batches, see :func:`draw_own_batches`.
    """
    x, y = ([tf.constant(getattr(each, part)) for each in data.values()] for part in "xy")
    loss, own = resolve_loss(), list(models.values())

    def losses_of(batch, done):
        return [
            loss(tf.gather(y[place], batch[place]), model(tf.gather(x[place], batch[place]), training=True))
            for place, model in enumerate(own)
        ]

    whole = keras.Model(own[0].input, [model.output for model in own])
    rows = draw_own_batches(data, updates, batch_size, seed)
    fit_losses(whole, losses_of, rows, learning_rate=learning_rate, seed=seed, name="two problems")


def parallel_training(labels, seed, *, rate=None, split="test", problems, updates=UPDATES):
    """Garments on cluttered grounds, and a question about digits on black: each alone, or both in one trunk.

    Parameters
    ----------
    labels : int
        Labelled garments of each kind. Of digits there are 500 in all.
    seed : int
    rate : float
        Learning rate.
    split : {"validation", "test"}
    problems : sequence of {"garment", "zero_or_one", "parity"}
        What is learned. In every update 32 pictures of each.
    updates : int

    Returns
    -------
    dict
        ``score``: accuracy in % of the first problem; ``partner``: of the question about digits, where it is learned.
    """
    data = {problem: labelled_pictures(problem, labels, seed) for problem in problems}
    models = one_trunk({problem: len(each.label_names) for problem, each in data.items()}, seed=seed)
    fit_side_by_side(models, data, learning_rate=rate, updates=updates, seed=seed)
    measured = {
        problem: 100 * accuracy(model, pictures_of_problem(problem, split)) for problem, model in models.items()
    }
    row = {"score": measured[problems[0]], "learning_rate": rate, "updates": updates}
    return row | ({} if problems[-1] == "garment" else {"partner": measured[problems[-1]]})


def _arm(label, role, *problems, check_of=None, values=None, **settings):
    return Arm(label, role, {"problems": problems, **settings}, tuned=True, check_of=check_of, values=values)


# Rates are chosen by one rule for all arms: mean score on the validation split over the same three seeds.
STUDIES = (
    Study(
        "route_parallel_training",
        parallel_training,
        arms={
            "separate": _arm("a network for the garments alone", "baseline", "garment"),
            "parallel": _arm("one network for two unrelated problems", "transfer", "garment", "zero_or_one"),
            "separate_longer": _arm(
                "garments alone with 4 times the updates",
                "baseline",
                "garment",
                check_of="separate",
                values=(50,),
                updates=LONGER,
            ),
            # Scored by its own question. How many garments are labelled makes no difference to it.
            "partner_alone": _arm("a network for the digits alone", "baseline", "zero_or_one", values=(50,)),
            "loud_partner": _arm("one network, with a louder partner", "fails", "garment", "parity", values=(200,)),
        },
        axis=Axis("labels", "labels per class", (50, 100, 200)),
        seeds=tuple(range(30)),
        rates=FEWER_RATES,
        chance=CHANCE,
        compared=("parallel", "separate"),
        margin=MARGIN,
    ),
)
