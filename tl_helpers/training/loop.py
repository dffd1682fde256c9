"""How is a network stepped, without overhead? The loops under every training here, on arrays in memory.

Keras's ``fit`` spends most of its time around the work when the network is small. These loops do the same arithmetic
in the same order (the weights come out equal to ``fit``'s, bit for bit, on a CPU) with many updates per call.
"""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from tl_helpers.arguments import check_numbers
from tl_helpers.progress import progress_bar
from tl_helpers.training.update import falling_adam, make_update
from tl_helpers.training.weights import not_finite, restored, seed_random_layers

# Seconds of work between two looks at the clock, the keyboard's interrupt and the progress bar.
_CHUNK_SECONDS = 0.25


def check_run(rates, **whole):
    """Check the numbers that say how a training goes.

    Parameters
    ----------
    rates : dict of str to float
        Learning rates, which must be above 0; None for one that is not given.
    **whole : tuple of (int, int or None)
        Name of a setting that must be a whole number: its value, and how large it must be at least.

    Raises
    ------
    ValueError
        If one of them is no such number.
    """
    given = {name: rate for name, rate in rates.items() if rate is not None}
    check_numbers(whole={name: value for name, (value, _) in whole.items()}, rates=given)
    bounded = {name: pair for name, pair in whole.items() if pair[1] is not None}
    if all(value >= least for value, least in bounded.values()) and all(rate > 0 for rate in given.values()):
        return
    by_bound = {}
    for name, (_, least) in bounded.items():
        by_bound.setdefault(least, []).append(name)
    said = [
        f"{_listed(names)}{' must be' * (not number)} at least {least}"
        for number, (least, names) in enumerate(by_bound.items())
    ]
    said += [f"{'learning rates' if len(rates) > 1 else name} above 0" for name in list(rates)[:1]]
    values = [*(value for value, _ in bounded.values()), *rates.values()]
    raise ValueError(f"{', '.join(said)}; they are {_listed(values)}.")


def _listed(values):
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last


def draw_batches(n, updates, batch_size, seed):
    """Draw the rows of every batch: one shuffle of all rows after another, cut into batches.

    Parameters
    ----------
    n : int
        Number of examples.
    updates : int
        Number of batches.
    batch_size : int
        Examples per batch; `n` where that is smaller. Batches are all full: one may reach from one shuffle into the
        next.
    seed : int or sequence of int

    Returns
    -------
    numpy.ndarray
        ``int32``, shape ``(updates, batch_size)``.
    """
    generator = np.random.default_rng(seed)
    size = min(batch_size, n)
    shuffles = -(-updates * size // n)
    rows = np.concatenate([generator.permutation(n) for _ in range(shuffles)])[: updates * size]
    return rows.reshape(updates, size).astype("int32")


def repeat_update(update, shape):
    """Build the function that makes one update after another, many per call.

    Parameters
    ----------
    update : callable
        From the rows of one batch, an integer tensor of `shape`, to its loss, a scalar tensor. It changes the model.
    shape : tuple of int

    Returns
    -------
    callable
        From rows ``(k, *shape)`` to the losses ``(k,)``.
    """

    def steps(rows):
        count = tf.shape(rows)[0]
        _, losses = tf.while_loop(
            lambda number, _: number < count,
            lambda number, losses: (number + 1, losses.write(number, tf.cast(update(rows[number]), "float64"))),
            (0, tf.TensorArray("float64", count)),
        )
        return losses.stack()

    traced = tf.function(steps, autograph=False, jit_compile=False)
    concrete = traced.get_concrete_function(tf.TensorSpec((None, *shape), "int32"))
    return lambda rows: concrete(tf.constant(rows)).numpy()


def run_steps(steps, rows, stops):
    """Train on batches, a fraction of a second at a time, so that one can see it and interrupt it.

    Parameters
    ----------
    steps : callable
        From :func:`repeat_update`.
    rows : numpy.ndarray
        ``(k, batch_size)``.
    stops : sequence of int
        Numbers of updates after which to hand over in any case, ascending; the last is k.

    Yields
    ------
    numpy.ndarray
        Losses of the next few batches.
    """
    done, size = 0, 1
    for stop in stops:
        while done < stop:
            started = time.perf_counter()
            losses = steps(rows[done : min(done + size, stop)])
            elapsed = time.perf_counter() - started
            done += len(losses)
            yield losses
            pace = _CHUNK_SECONDS / max(elapsed, 1e-4)
            size = int(np.clip(len(losses) * pace, 1, 4 * size))


def watch(model, steps, rows, *, stops, bar, blame):
    """Train on batches as :func:`run_steps` does, and stop where a loss or a weight is no finite number any more.

    Parameters
    ----------
    model : keras.Model
    steps, rows, stops
        As for :func:`run_steps`. At each of `stops` the weights are looked at.
    bar : tqdm.auto.tqdm
        It is moved on.
    blame : str
        What is too high, if that happens.

    Yields
    ------
    done : int
        Number of updates made.
    losses : numpy.ndarray
        Of the last few of them.

    Raises
    ------
    FloatingPointError
    """
    done = 0
    for losses in run_steps(steps, rows, stops):
        finite, problem = np.isfinite(losses), ""
        if not finite.all():
            problem = f"The loss stopped being a finite number at update {done + 1 + int(np.argmin(finite))}"
        done += len(losses)
        bar.update(len(losses))
        ruined = not_finite(model) if done in stops and not problem else []
        if ruined:
            problem = f"{ruined[0]!r} held NaN or infinite weights at update {done}"
        if problem:
            raise divergence(problem, blame)
        yield done, losses


def divergence(what, blame):
    """Make the error of a training that has diverged.

    Parameters
    ----------
    what : str
        What is not finite, and since when.
    blame : str
        What is too high.

    Returns
    -------
    FloatingPointError
    """
    return FloatingPointError(f"{what}: {blame} is too high for this model and data. Try a tenth of it.")


def run_updates(model, update, rows, *, name):
    """Make updates of one's own, with a progress bar. An interruption leaves the model with the weights it had got.

    Parameters
    ----------
    model : keras.Model
    update : callable
        See :func:`repeat_update`.
    rows : numpy.ndarray
        ``(k, …)``: the rows of each batch.
    name : str
        Words beside the bar.

    Returns
    -------
    numpy.ndarray
        Losses, ``(k,)``.

    Raises
    ------
    FloatingPointError
        If the loss or a weight stops being a finite number. The model's weights are then as before.
    """
    with restored(model, after=Exception), progress_bar(len(rows), name, "update", delay=1) as bar:
        steps, blame = repeat_update(update, rows.shape[1:]), "the learning rate or a loss's weight"
        parts = watch(model, steps, rows, stops=[len(rows)], bar=bar, blame=blame)
        return np.concatenate([losses for _, losses in parts])


def fit_losses(model, losses_of, rows, *, learning_rate, seed, name, others=(), join=None):
    """Train a model on losses of one's own, with Adam and a learning rate that falls linearly to 0.

    Parameters
    ----------
    model : keras.Model
        It is trained in place; frozen layers stay frozen.
    losses_of, others, join
        See :func:`tl_helpers.training.update.make_update`.
    rows : numpy.ndarray
        ``(k, …)``: the rows of each batch.
    learning_rate : float
        Of the first update.
    seed : int
        Of the masks of dropout.
    name : str
        Words beside the progress bar.

    Raises
    ------
    FloatingPointError
        As :func:`run_updates`.
    """
    update = make_update(model, losses_of, falling_adam(learning_rate, len(rows)), others=others, join=join)
    seed_random_layers(model, seed)
    run_updates(model, update, rows, name=name)
