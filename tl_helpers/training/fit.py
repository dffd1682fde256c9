"""How is it trained? One routine for every way of transfer, so that two ways differ in nothing but what they say."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import keras
import numpy as np
import pandas

from tl_helpers.models.forward import make_forward
from tl_helpers.progress import progress_bar
from tl_helpers.training.cached import Remainder, run_frozen_part, validation_batch
from tl_helpers.training.checkpoint import Checkpoint, PhaseEnd, read_checkpoint, run_key, write_checkpoint
from tl_helpers.training.data import check_data, check_label_names
from tl_helpers.training.evaluation import share_right, validation_rank
from tl_helpers.training.freezing import freeze_as, freeze_exactly, freezing_of
from tl_helpers.training.loop import divergence, draw_batches, repeat_update, watch
from tl_helpers.training.losses import default_loss, measure_loss
from tl_helpers.training.plan import make_plan
from tl_helpers.training.reading import label_names_of
from tl_helpers.training.update import falling_adam, make_loss_on, make_update, resolve_loss
from tl_helpers.training.weights import draw_new_weights, put_back, restored, seed_random_layers, snapshot


@dataclass(frozen=True, eq=False)
class FitResult:
    """What :func:`fit_transfer` did.

    Parameters
    ----------
    model : keras.Model
        The model it was given, trained in place.
    history : pandas.DataFrame
        One row per update: ``phase``, ``update`` (from 1), ``loss`` of its batch before the update, and, where the
        model was validated after it, ``validation_loss`` and ``validation_accuracy``.
    seconds, cpu_seconds : float
        Wall-clock time, and time of all processor cores together; of all its parts where a run was resumed.
    updates : int
    learning_rate : float
        Of the first update that moves more than the head.
    strategy : str
    cached : bool
        Whether, in a phase at least, the frozen part of the network was run once instead of in every update.
    note : str
        A sentence per phase that says so, or why not.
    """

    model: keras.Model
    history: pandas.DataFrame
    seconds: float
    cpu_seconds: float
    updates: int
    learning_rate: float
    strategy: str
    cached: bool
    note: str


def fit_transfer(
    model,
    train,
    validation=None,
    *,
    strategy,
    learning_rate,
    updates,
    batch_size=32,
    seed,
    loss=None,
    upto=None,
    factors=None,
    head_learning_rate=None,
    stages=None,
    weights="last",
    validations=10,
    cache="auto",
    deterministic=False,
    resume=None,
    class_weight=None,
):
    """Train a model in place by a strategy of transfer, with Adam and a learning rate that falls linearly to 0.

    Every strategy gets exactly `updates` updates and, for the same seed, the same images in its first phase. Nothing
    outside the model is changed, the global random state included. Afterwards the model is frozen as the last phase
    left it, and compiled, so that ``model.evaluate`` and ``model.save`` work at once. Stop it with the notebook's
    stop button or Ctrl-C: within about a second it raises KeyboardInterrupt, and the model has the weights it had got.

    Parameters
    ----------
    model : keras.Model
        From images as stored to logits, or to whatever `loss` reads. Names of the head's layers start with ``head``.
    train, validation : Dataset, tuple of numpy.ndarray, tf.data.Dataset or keras.utils.PyDataset
        Images and labels ``(x, y)``, both ``(n, …)``, or ``(x, y, sample_weight)`` with how much each example counts.
        With other losses than the default, targets have the shape of the outputs, or what the loss takes.
        A ``tf.data.Dataset`` or ``PyDataset``, of batches or examples, is read once, into at most 2 GiB of memory.
    strategy : {"scratch", "linear_probing", "fine_tuning", "lp_ft", "gradual_unfreezing"}
        ``"scratch"``: forget the weights and draw new ones, then train them all, BatchNorm included.
        ``"linear_probing"``: train the head on the frozen rest.
        ``"fine_tuning"``: train everything after the stage `upto`. BatchNorm stays frozen with the source's statistics,
        here and below, since those of a few small batches are worse.
        ``"lp_ft"``: half of the updates linear probing, then fine-tuning from there (Kumar et al. 2022).
        ``"gradual_unfreezing"``: first the head, then one more stage in each further phase, the last first (Howard and
        Ruder 2018, section 3.3); the updates are shared evenly.
    learning_rate : float
        Of the first update in each phase.
    updates : int
        Batches to train on, at least 1 in each phase.
    batch_size : int
        Images per batch.
    seed : int
        Draws the batches, the new weights of ``"scratch"`` and the masks of dropout. At least 0.
    loss : keras.losses.Loss, str or callable, optional
        Anything that ``compile`` takes; it counts as in ``fit``. By default cross-entropy of class indices, with
        probabilities where the model ends in a softmax and with logits otherwise.
    upto : str, optional
        The last stage to keep frozen to the end, see :func:`tl_helpers.training.freezing.freeze`. Not for ``"scratch"``
        and ``"linear_probing"``, which fix it themselves.
    factors : dict of str to float, or float, optional
        Learning rates relative to `learning_rate` by stage, see
        :func:`tl_helpers.training.stage_rates.discriminative_optimizer`; for the phases that train more than the head.
    head_learning_rate : float, optional
        Of phases that train only the head, before others: `learning_rate` by default.
    stages : sequence of str, optional
        ``"gradual_unfreezing"``: the stages from input to output. By default those that the layers' names suggest.
    weights : {"last", "best"}
        Which weights count, in each phase: those after the last update, or the best on the validation data (by accuracy
        where there is one, then by loss) among the moments of validation. Use one rule for all arms of a comparison.
    validations : int
        How many times the model is validated, evenly spread; the last time is after the last update.
    cache : {"auto", False}, path-like or dict
        ``"auto"``: the frozen beginning of the network is run once per phase instead of in every update, wherever that
        gives the same weights; ``note`` in the result says where, and why not elsewhere. A folder or a dict keeps its
        output for further calls, see :func:`tl_helpers.models.features.extract_features`. False never does it.
    deterministic : bool
        True says that the layers of one's own (custom ones, ``Lambda``) give the same output for the same input in
        every call, so that the frozen part may be run once through them as well. Two runs are compared all the same.
    resume : path-like, optional
        A file that is written after each phase. The same call after an interruption, in a new process too, starts with
        the first unfinished phase and ends with the same weights as an unbroken run.
    class_weight : dict of int to float, optional
        How much the training examples of each class count, as in ``fit``: 1 for a class that is not in it. Validation
        is not weighted by it.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If arguments or data do not fit each other; the message says which and what to do.
    FloatingPointError
        If the loss or a weight stops being a finite number. The model's weights are then as before.
    """
    plan = make_plan(
        model,
        strategy=strategy,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        updates=updates,
        batch_size=batch_size,
        seed=seed,
        loss=loss,
        upto=upto,
        factors=factors,
        stages=stages,
        weights=weights,
        validations=validations,
        validated=validation is not None,
        cache=cache,
        deterministic=deterministic,
        class_weight=class_weight,
    )
    data, held_out = check_data(train, model, loss, "train", weighted=True, class_weight=class_weight), None
    if validation is not None:
        check_label_names(train, validation)
        names = label_names_of(train)
        held_out = check_data(validation, model, loss, "validation", weighted=True, label_names=names)
    if plan.said:
        warnings.warn(plan.said, stacklevel=2)
    was = freezing_of(model)
    try:
        with restored(model, after=Exception):
            done = _run_phases(model, data, held_out, plan, resume)
    except Exception:
        freeze_as(model, was)
        raise
    metrics = ["accuracy"] if loss is None else None
    compiled_loss = default_loss(model) if loss is None else loss
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=compiled_loss, metrics=metrics)
    several, notes = len(plan.phases) > 1, list(zip(plan.phases, done.phases, strict=True))
    sentences = [f"{phase.name}: {ended.note}" if several else ended.note for phase, ended in notes]
    return FitResult(
        model=model,
        history=_history(plan, done),
        seconds=done.seconds,
        cpu_seconds=done.cpu_seconds,
        updates=updates,
        learning_rate=learning_rate,
        strategy=strategy,
        cached=any(ended.cached for ended in done.phases),
        note=" ".join([*sentences, plan.said] if plan.said else sentences),
    )


def _history(plan, done):
    """Put the columns of all phases into one table."""
    frames = [
        pandas.DataFrame({"phase": phase.name, **ended.columns})
        for phase, ended in zip(plan.phases, done.phases, strict=True)
    ]
    history = pandas.concat(frames, ignore_index=True)
    history.insert(1, "update", np.arange(1, len(history) + 1))
    return history


def _run_phases(model, data, held_out, plan, resume):
    """Run the phases of a plan that are not done yet, and leave the model frozen as in the last.

    Returns
    -------
    Checkpoint
        Of the end; without the weights, which the model has.
    """
    started, key, done = (time.perf_counter(), time.process_time()), None, None
    if resume is not None:
        # What an earlier call or a file has left frozen or silenced is no part of the run.
        freeze_exactly(model, plan.phases[0].frozen)
        key = run_key(model, plan, data, held_out)
        done = read_checkpoint(resume, key)
    done = done or Checkpoint([], 0.0, 0.0, [])
    ended = list(done.phases)
    if ended:
        put_back(model, done.values)
    elif plan.strategy == "scratch":
        draw_new_weights(model, plan.seed, keep=plan.fixed)

    def so_far(values):
        wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
        return Checkpoint(ended, done.seconds + wall, done.cpu_seconds + cpu, values)

    with progress_bar(plan.updates, plan.strategy, "update", delay=1) as bar:
        bar.update(sum(phase.updates for phase in plan.phases[: len(ended)]))
        for number, phase in list(enumerate(plan.phases))[len(ended) :]:
            freeze_exactly(model, phase.frozen)
            seed_random_layers(model, plan.seed + number)
            rows = draw_batches(len(data.x), phase.updates, plan.batch_size, [plan.seed, number])
            ended.append(_run_phase(model, data, held_out, rows, phase, plan, bar))
            if resume is not None:
                write_checkpoint(resume, key, so_far(model.get_weights()))
    freeze_exactly(model, plan.phases[-1].frozen)
    return so_far([])


def _run_phase(model, data, held_out, rows, phase, plan, bar):
    """Train for one phase, on the frozen part's output where that is right.

    Returns
    -------
    PhaseEnd
    """
    optimizer = falling_adam(
        phase.learning_rate, phase.updates, model=model, factors=None if phase.head_only else plan.factors
    )
    left = Remainder(model, data, held_out, rows, cached=False, note="Nothing was run once, as asked.")
    if plan.cache is not False:
        _say_beside(bar, "running the frozen part once")
        left = run_frozen_part(model, data, held_out, rows, plan)
        _say_beside(bar, "")
    loss, reduction = resolve_loss(plan.loss, model), getattr(plan.loss, "reduction", "mean")
    update = make_update(left.model, make_loss_on(left.model, left.data, loss), optimizer)
    steps = repeat_update(update, left.rows.shape[1:])
    held_out, forward = left.held_out, make_forward(left.model) if left.held_out else None
    stops = np.unique(np.linspace(0, len(rows), phase.validations + 1).round().astype(int)[1:])
    columns = {name: np.full(len(rows), np.nan) for name in ("loss", "validation_loss", "validation_accuracy")}
    blame, best = f"the learning rate {phase.learning_rate:g}", None
    for done, losses in watch(left.model, steps, left.rows, stops=stops, bar=bar, blame=blame):
        columns["loss"][done - len(losses) : done] = losses
        if held_out and done in stops:
            output = forward(held_out.x, validation_batch(len(held_out.x)))
            value = measure_loss(loss, held_out.y, output, held_out.weights, reduction=reduction)
            if not np.isfinite(value):
                raise divergence(f"The validation loss stopped being a finite number at update {done}", blame)
            right = share_right(output, held_out.y) if plan.loss is None else np.nan
            columns["validation_loss"][done - 1], columns["validation_accuracy"][done - 1] = value, right
            rank = validation_rank(right, value)
            if plan.weights == "best" and (best is None or rank > best[0]):
                best = rank, snapshot(left.model)
    if best is not None:
        put_back(left.model, best[1])
    return PhaseEnd(columns, left.cached, left.note)


def _say_beside(bar, words):
    """Put words beside a progress bar. One that is switched off would show itself in a notebook when told something."""
    if not bar.disable:
        bar.set_postfix_str(words)
