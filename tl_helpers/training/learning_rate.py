"""How fast should it learn? The learning rate chosen on validation data, the same way for every arm."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import pandas

from tl_helpers.arguments import check_numbers
from tl_helpers.models.inputs import input_shape_of
from tl_helpers.training.data import check_data, check_label_names
from tl_helpers.training.evaluation import validation_rank
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import is_stale
from tl_helpers.training.loop import check_run, draw_batches, repeat_update, run_steps
from tl_helpers.training.reading import read_once
from tl_helpers.training.update import make_loss_on, make_update, resolve_loss
from tl_helpers.training.weights import not_finite, restored


@dataclass(frozen=True, eq=False)
class RateChoice:
    """The learning rate that did best on validation data.

    Parameters
    ----------
    learning_rate : float
    scores : pandas.DataFrame
        One row per rate and seed: ``learning_rate``, ``seed``, ``score`` (higher is better; NaN where training
        diverged) and ``validation_loss``.
    edge : {None, "lowest", "highest"}
        Whether the choice is an end of the grid, beyond which a better rate may lie.
    """

    learning_rate: float
    scores: pandas.DataFrame
    edge: str | None

    def __str__(self):
        warning = f", the {self.edge} of the grid: a better one may lie beyond" if self.edge else ""
        return f"Best learning rate on the validation data: {self.learning_rate:g}{warning}."


def tune_learning_rate(make_model, train, validation, *, strategy, rates, updates, seeds=(0,), score=None, **settings):
    """Choose the learning rate of an arm on validation data: the one routine for all arms of a comparison.

    Parameters
    ----------
    make_model : callable
        From a seed to a new model.
    train, validation : Dataset or tuple of numpy.ndarray
        ``(x, y)``. Never the test data.
    strategy : str
        See :func:`tl_helpers.training.fit.fit_transfer`.
    rates : sequence of float
        Learning rates to try.
    updates : int
    seeds : sequence of int
        Each rate is tried with each; use other seeds for the comparison itself.
    score : callable, optional
        From the trained model and `validation` to a number, higher is better. By default accuracy, or minus the loss
        where `loss` is given.
    **settings
        Further arguments of :func:`tl_helpers.training.fit.fit_transfer`. The frozen part of a network is run once for
        all rates, unless `cache` says otherwise.

    Returns
    -------
    RateChoice
        The rate with the best mean score over seeds; of equals the one with the lower validation loss. A rate at which
        a seed diverged is out.

    Raises
    ------
    ValueError
        If there is no rate or no seed.
    FloatingPointError
        If training diverged at every rate.
    """
    rates, seeds = list(rates), list(seeds)
    for rate in rates:
        check_numbers(rates={"rates": rate})
    rates = sorted(set(rates))
    if not rates or not seeds:
        raise ValueError("tune_learning_rate needs at least one rate and one seed.")
    check_label_names(train, validation)
    held_out = validation
    settings = {"strategy": strategy, "updates": updates, "validations": 1, "cache": {}} | settings
    rows, last_error = [], None
    for rate in rates:
        for seed in seeds:
            row = {"learning_rate": rate, "seed": seed, "score": np.nan, "validation_loss": np.nan}
            rows.append(row)
            try:
                model = make_model(seed)
                train, held_out = read_once(train, model, "train"), read_once(held_out, model, "validation")
                fit = fit_transfer(model, train, held_out, learning_rate=rate, seed=seed, **settings)
            except FloatingPointError as error:
                last_error = error
                continue
            reached = _reached(fit.history, settings.get("weights", "last"))
            row["validation_loss"] = reached["validation_loss"]
            if score is not None:
                row["score"] = score(fit.model, validation)
            elif settings.get("loss") is None:
                row["score"] = reached["validation_accuracy"]
            else:
                row["score"] = -reached["validation_loss"]
    scores = pandas.DataFrame(rows)
    means = scores.groupby("learning_rate")[["score", "validation_loss"]].agg(lambda column: column.mean(skipna=False))
    means = means.dropna()
    if means.empty:
        raise FloatingPointError(
            f"Training diverged at every rate tried, {rates[0]:g}…{rates[-1]:g}. Try lower ones."
        ) from last_error
    best = float(means.sort_values(["score", "validation_loss"], ascending=[False, True], kind="stable").index[0])
    edge = {rates[0]: "lowest", rates[-1]: "highest"}.get(best) if len(rates) > 1 else None
    return RateChoice(best, scores, edge)


def _reached(history, weights):
    """Return the row of the history at which the model had the weights that it ended with."""
    validated = history[history["phase"] == history["phase"].iloc[-1]].dropna(subset="validation_loss")
    if weights == "last":
        return validated.iloc[-1]
    moments = zip(validated["validation_accuracy"], validated["validation_loss"], strict=True)
    ranks = [validation_rank(accuracy, loss) for accuracy, loss in moments]
    return validated.iloc[ranks.index(max(ranks))]


@dataclass(frozen=True, eq=False)
class RateSweep:
    """How the loss goes while the learning rate rises.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per update: ``learning_rate``, ``loss`` of its batch before the update, ``smooth_loss`` (a running mean
        with weight .9 on the past, corrected for its start).
    suggestion : float
        A tenth of the rate at which the smooth loss was lowest: a place to start, not a result.
    """

    frame: pandas.DataFrame
    suggestion: float


def lr_find(model, train, *, lowest=1e-6, highest=1.0, updates=100, batch_size=32, seed=0, loss=None):
    """Raise the learning rate from update to update and watch the loss (Smith 2017, section 3.3).

    What is trainable in the model trains meanwhile; afterwards its weights, its optimizer, its random layers and the
    global random state are as before. It stops where the loss is four times its lowest, or a weight not finite.

    Parameters
    ----------
    model : keras.Model
        Frozen as it shall be trained.
    train : Dataset or tuple of numpy.ndarray
        ``(x, y)`` or ``(x, y, sample_weight)``.
    lowest, highest : float
        First and last learning rate.
    updates : int
        Batches, at least 10.
    batch_size : int
    seed : int
        Draws the batches.
    loss : keras.losses.Loss, str or callable, optional
        As for :func:`tl_helpers.training.fit.fit_transfer`.

    Returns
    -------
    RateSweep

    Raises
    ------
    ValueError
        If the model has nothing to train or was frozen after it was compiled and trained (its layers then say one
        thing and its optimizer does another), the range is empty, the data do not fit, or the loss goes below 0.
    FloatingPointError
        If the loss is not finite from the start.
    """
    input_shape_of(model)
    check_numbers(rates={"lowest": lowest, "highest": highest})
    check_run({}, updates=(updates, None), batch_size=(batch_size, 1), seed=(seed, 0))
    if not model.trainable_variables:
        raise ValueError(f"Everything in {model.name!r} is frozen: there is no learning rate to find.")
    if is_stale(model):
        raise ValueError(f"{model.name!r} was frozen or thawed after it had trained. Compile it anew first.")
    if not 0 < lowest < highest or updates < 10:
        raise ValueError(f"lowest must be above 0 and below highest, and updates at least 10; not {lowest}, {highest}.")
    examples = check_data(train, model, loss, "train", weighted=True)
    growth = (highest / lowest) ** (1 / (updates - 1))
    schedule = keras.optimizers.schedules.ExponentialDecay(lowest, decay_steps=1, decay_rate=growth)
    losses = []
    with restored(model):
        rows = draw_batches(len(examples.x), updates, batch_size, seed)
        losses_of = make_loss_on(model, examples, resolve_loss(loss, model))
        steps = repeat_update(make_update(model, losses_of, keras.optimizers.Adam(schedule)), rows.shape[1:])
        for (value,) in run_steps(steps, rows, range(1, updates + 1)):
            losses.append(float(value))
            if value < 0:
                raise ValueError(
                    f"The loss is {value:g}. A loss that goes below 0 cannot be four times its lowest, which is "
                    f"where a sweep ends. Add a constant to it."
                )
            if not np.isfinite(value) or value > 4 * min(losses) or not_finite(model):
                break
    if not np.isfinite(losses[0]):
        raise FloatingPointError("The loss is not finite before the first update. Check the data and the loss.")
    losses = np.array(losses)[np.isfinite(losses)]
    past, smooth = 0.0, []
    for number, value in enumerate(losses, start=1):
        past = 0.9 * past + 0.1 * value
        smooth.append(past / (1 - 0.9**number))
    rates = lowest * growth ** np.arange(len(losses))
    frame = pandas.DataFrame({"learning_rate": rates, "loss": losses, "smooth_loss": smooth})
    return RateSweep(frame, float(rates[int(np.argmin(smooth))] / 10))
