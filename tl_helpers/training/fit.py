"""How is it trained? One routine for every way of transfer, so that two ways differ in nothing but what they say."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tl_helpers.arguments import check_numbers
from tl_helpers.models.features import answer_once, identify, run_once
from tl_helpers.models.forward import compile_call, in_batches, make_forward
from tl_helpers.models.graph import layers_in, leaves_of, stage_of, upstream_of
from tl_helpers.models.inputs import input_shape_of
from tl_helpers.progress import progress_bar
from tl_helpers.training.checkpoint import read_checkpoint, run_key, write_checkpoint
from tl_helpers.training.data import check_data, check_label_names
from tl_helpers.training.freezing import (
    batch_norms_of,
    fixed_by_hand,
    freeze_as,
    freeze_exactly,
    freezing_of,
    head_layers,
)
from tl_helpers.training.frozen_prefix import find_cut, shared_first, split, what_differs
from tl_helpers.training.loop import draw_batches, make_steps, resolve_loss, run_steps
from tl_helpers.training.losses import default_loss, measure_loss
from tl_helpers.training.reading import label_names_of
from tl_helpers.training.stage_rates import discriminative_optimizer
from tl_helpers.training.weights import draw_new_weights, not_finite, put_back, seed_random_layers, snapshot

if TYPE_CHECKING:
    import keras
    import pandas

from tl_helpers.training.evaluation import share_right

STRATEGIES = ("scratch", "linear_probing", "fine_tuning", "lp_ft", "gradual_unfreezing")
# Above this, keeping the frozen part's output in memory would cost more than it saves.
_MEMORY_LIMIT = 2 * 2**30
# Of validation, at most: with more images at a time, a backbone's activations no longer fit the processor's cache.
_VALIDATION_BATCH = 32


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


@dataclass(frozen=True)
class _Phase:
    """A stretch of training with one optimizer, during which the same layers are frozen."""

    name: str
    updates: int
    learning_rate: float
    head_only: bool = False
    upto: str | None = None
    validations: int = 1


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
    import keras
    import pandas

    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}.")
    if (upto is not None or factors is not None) and strategy in ("scratch", "linear_probing"):
        raise ValueError(f"upto and factors are for fine-tuning; strategy {strategy!r} fixes by itself what moves.")
    input_shape_of(model)
    rates = [learning_rate] if head_learning_rate is None else [learning_rate, head_learning_rate]
    whole = {"updates": updates, "batch_size": batch_size, "seed": seed, "validations": validations}
    check_numbers(whole=whole, rates=dict(zip(("learning_rate", "head_learning_rate"), rates, strict=False)))
    if batch_size < 1 or validations < 1 or seed < 0 or not all(rate > 0 for rate in rates):
        raise ValueError(
            "batch_size and validations must be at least 1, learning rates above 0, seed at least 0; they are "
            f"{batch_size}, {validations}, {learning_rate}, {head_learning_rate} and {seed}."
        )
    if cache is not False and not isinstance(cache, (str, os.PathLike, dict)):
        raise ValueError(f"cache must be 'auto', False, a folder or a dict, not {cache!r}.")
    if weights not in ("last", "best") or (weights == "best" and validation is None):
        raise ValueError("weights must be 'last', or 'best', which needs validation data.")
    settings = {
        "factors": factors,
        "loss": loss,
        "weights": weights,
        "cache": cache,
        "deterministic": deterministic,
        "class_weight": class_weight,
    }
    phases = _plan(model, strategy, learning_rate, head_learning_rate, updates, upto, stages, validations)
    data = check_data(train, model, loss, "train", weighted=True, class_weight=class_weight)
    held_out = None
    if validation is not None:
        check_label_names(train, validation)
        names = {"weighted": True, "label_names": label_names_of(train)}
        held_out = check_data(validation, model, loss, "validation", **names)

    stateful = [part.name for part in model._flatten_layers() if getattr(part, "stateful", False)]
    if stateful:
        raise ValueError(
            f"Layer {stateful[0]!r} is stateful: it takes each batch for the continuation of the one before, and "
            f"batches are drawn at random here. Build it with stateful=False."
        )
    ruined = not_finite(model)
    if ruined:
        raise ValueError(
            f"{model.name!r} holds NaN or infinite weights before training, in {ruined[0]!r}. Build or load it anew."
        )
    fixed, fixed_weights = fixed_by_hand(model)
    plans = [_frozen_in(model, phase, strategy) for phase in phases]
    said = _say_what_is_fixed(model, strategy, fixed, fixed_weights, plans[-1])
    if factors is not None:
        discriminative_optimizer(model, learning_rate, factors)  # names what does not fit before anything is touched
    started = time.perf_counter(), time.process_time()
    before, was = snapshot(model), freezing_of(model)
    held = {id(weight) for weight in fixed_weights}
    settings["fixed"] = [number for number, weight in enumerate(model.weights) if id(weight) in held]
    if resume is not None:
        # What an earlier call or a file has left frozen or silenced is no part of the run.
        freeze_exactly(model, plans[0] | fixed)
    key = None if resume is None else run_key(model, phases, settings, batch_size, seed, data, held_out)
    done = None if resume is None else read_checkpoint(resume, key)
    histories, notes, spent = ([], [], (0.0, 0.0)) if done is None else (done.histories, done.notes, done.seconds)
    if done is not None:
        put_back(model, done.values)
    elif strategy == "scratch":
        draw_new_weights(model, seed, keep=fixed_weights)
    with progress_bar(updates, strategy, "update", delay=1) as bar:
        bar.update(sum(phase.updates for phase in phases[: len(histories)]))
        for number, phase in enumerate(phases[len(histories) :], start=len(histories)):
            freeze_exactly(model, plans[number] | fixed)
            seed_random_layers(model, seed + number)
            rows = draw_batches(len(data[0]), phase.updates, batch_size, [seed, number])
            try:
                columns, note = _run_phase(model, data, held_out, rows, phase, settings, bar)
            except Exception:
                put_back(model, before)
                freeze_as(model, was)
                raise
            histories.append(columns)
            notes.append(note)
            if resume is not None:
                seconds = spent[0] + time.perf_counter() - started[0], spent[1] + time.process_time() - started[1]
                write_checkpoint(resume, key, histories, notes, seconds, model.get_weights())
    freeze_exactly(model, plans[-1] | fixed)
    metrics = ["accuracy"] if loss is None else None
    compiled_loss = default_loss(model) if loss is None else loss
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=compiled_loss, metrics=metrics)

    frames = [pandas.DataFrame({"phase": p.name, **columns}) for p, columns in zip(phases, histories, strict=True)]
    history = pandas.concat(frames, ignore_index=True)
    history["update"] = np.arange(1, len(history) + 1)
    sentences = [sentence for _, sentence in notes]
    if len(phases) > 1:
        sentences = [f"{phase.name}: {sentence}" for phase, sentence in zip(phases, sentences, strict=True)]
    sentences += [said] if said else []
    return FitResult(
        model=model,
        history=history[["phase", "update", *(name for name in history if name not in ("phase", "update"))]],
        seconds=spent[0] + time.perf_counter() - started[0],
        cpu_seconds=spent[1] + time.process_time() - started[1],
        updates=updates,
        learning_rate=learning_rate,
        strategy=strategy,
        cached=any(cached for cached, _ in notes),
        note=" ".join(sentences),
    )


def _plan(model, strategy, learning_rate, head_learning_rate, updates, upto, stages, validations):
    """Lay out the phases of a strategy."""
    head = {"learning_rate": head_learning_rate or learning_rate, "head_only": True}
    plans = {
        "scratch": [{"name": "scratch"}],
        "linear_probing": [{"name": "linear_probing", "head_only": True}],
        "fine_tuning": [{"name": "fine_tuning", "upto": upto}],
        "lp_ft": [{"name": "linear_probing", **head}, {"name": "fine_tuning", "upto": upto}],
        "gradual_unfreezing": [{"name": "head", **head}],
    }
    plan = plans[strategy]
    if strategy == "gradual_unfreezing":
        leaves = [leaf for leaf in leaves_of(model) if leaf.weights and not leaf.name.startswith("head")]
        for stage in stages or ():
            layers_in(model, stage)
        stages = list(stages or dict.fromkeys(stage_of(leaf.name) for leaf in leaves))
        if upto is not None:
            if upto not in stages:
                raise ValueError(f"upto={upto!r} is none of the stages {', '.join(stages)}.")
            stages = stages[stages.index(upto) :]
        else:
            stages = [None, *stages]
        moved = [f"from {stage}" for stage in stages[:0:-1]]
        plan += [{"name": name, "upto": last} for name, last in zip(moved, stages[-2::-1], strict=True)]
    if upto is not None:
        frozen = upstream_of(model, upto)
        if all(leaf in frozen for leaf in leaves_of(model) if leaf.weights):
            raise ValueError(f"With upto={upto!r} nothing is left to train. Name an earlier stage.")
    if updates < len(plan):
        raise ValueError(f"updates={updates} is too few: strategy {strategy!r} has {len(plan)} phase(s) here.")
    edges = np.linspace(0, updates, len(plan) + 1).round().astype(int)
    phases = []
    for part, first, last in zip(plan, edges, edges[1:], strict=False):
        share = {"updates": int(last - first), "validations": max(1, round(validations * (last - first) / updates))}
        phases.append(_Phase(**{"learning_rate": learning_rate} | share | part))
    return phases


def _frozen_in(model, phase, strategy):
    """Collect the layers that a phase of a strategy freezes."""
    leaves, frozen = leaves_of(model), set()
    if phase.head_only:
        frozen = set(leaves) - set(head_layers(model))
    elif phase.upto is not None:
        frozen = set(upstream_of(model, phase.upto))
    if strategy != "scratch":
        frozen |= set(batch_norms_of([leaf for leaf in leaves if not leaf.name.startswith("head")]))
    return {part for layer in frozen for part in layer._flatten_layers()}


def _say_what_is_fixed(model, strategy, fixed, fixed_weights, frozen):
    """Warn if a strategy would move what the user has fixed, return the sentence; an error if nothing else moves."""
    held = [part for leaf in leaves_of(model) for part in leaf._flatten_layers() if part in fixed - frozen]
    held, said = [part for part in held if part.weights], ""
    if held:
        names = ", ".join(repr(part.name) for part in held[:3]) + (", …" if len(held) > 3 else "")
        said = (
            f"What was frozen by hand, or in a file, stays frozen, and strategy {strategy!r} does not move it: {names} "
            f"({len(held)} layer(s)). To let it move, call tl_helpers.training.unfreeze(model) first."
        )
    kept = {id(weight) for weight in fixed_weights}
    moving = [part for leaf in leaves_of(model) for part in leaf._flatten_layers() if part not in fixed | frozen]
    if not any(id(weight) not in kept for part in moving for weight in part._trainable_variables):
        raise ValueError(f"Nothing is left to train in {model.name!r} by strategy {strategy!r}. {said}")
    if said:
        warnings.warn(said, stacklevel=3)
    return said


def _run_phase(model, data, held_out, rows, phase, settings, bar):
    """Train for one phase, on the frozen part's output where that is right.

    Returns
    -------
    columns : dict of str to numpy.ndarray
        Of the history.
    note : tuple of bool and str
        Whether the frozen part was run once, and a sentence.
    """
    import keras

    schedule = keras.optimizers.schedules.PolynomialDecay(phase.learning_rate, phase.updates, end_learning_rate=0.0)
    if settings["factors"] is None or phase.head_only:
        optimizer = keras.optimizers.Adam(schedule)
    else:
        optimizer = discriminative_optimizer(model, schedule, settings["factors"])
    part, note = model, (False, "Nothing was run once, as asked.")
    if settings["cache"] is not False:
        _say_beside(bar, "running the frozen part once")
        part, data, held_out, rows, note = _cut_off(model, data, held_out, rows, settings)
        _say_beside(bar, "")
    loss, reduction = resolve_loss(settings["loss"], model), getattr(settings["loss"], "reduction", "mean")
    steps = make_steps(part, *data[:2], loss, optimizer, rows.shape[1], *data[2:])
    forward = make_forward(part) if held_out else None
    stops = np.unique(np.linspace(0, len(rows), phase.validations + 1).round().astype(int)[1:])
    columns = {name: np.full(len(rows), np.nan) for name in ("loss", "validation_loss", "validation_accuracy")}
    done, best = 0, None
    for losses in run_steps(steps, rows, stops):
        columns["loss"][done : done + len(losses)] = losses
        if not np.isfinite(losses).all():
            first = done + 1 + int(np.argmin(np.isfinite(losses)))
            raise _divergence(f"The loss stopped being a finite number at update {first}", phase)
        done += len(losses)
        bar.update(len(losses))
        ruined = not_finite(part) if done in stops else []
        if ruined:
            raise _divergence(f"{ruined[0]!r} held NaN or infinite weights at update {done}", phase)
        if held_out and done in stops:
            output = forward(held_out[0], _validation_batch(held_out))
            value = measure_loss(loss, held_out[1], output, *held_out[2:], reduction=reduction)
            if not np.isfinite(value):
                raise _divergence(f"The validation loss stopped being a finite number at update {done}", phase)
            right = share_right(output, held_out[1]) if settings["loss"] is None else np.nan
            columns["validation_loss"][done - 1], columns["validation_accuracy"][done - 1] = value, right
            rank = (0.0 if np.isnan(right) else right, -value)
            if settings["weights"] == "best" and (best is None or rank > best[0]):
                best = rank, snapshot(part)
    if best is not None:
        put_back(part, best[1])
    return columns, note


def _say_beside(bar, words):
    """Put words beside a progress bar. One that is switched off would show itself in a notebook when told something."""
    if not bar.disable:
        bar.set_postfix_str(words)


def _cut_off(model, data, held_out, rows, settings):
    """Run the frozen beginning of a model over the images in use; return what is left to train, and on what."""
    cut, used, reason = find_cut(model, deterministic=settings["deterministic"]), np.unique(rows), ""
    if cut.tensor is not None:
        prefix, suffix = split(model, cut)
        call = compile_call(prefix, training=True)
        kept, identity = identify(prefix, None if settings["cache"] == "auto" else settings["cache"])
        found = {"cache": kept, "identity": identity}
        reason = _what_differs(prefix, data[0], call, found, known=not settings["deterministic"])
    if cut.reason or reason:
        return model, data, held_out, rows, (False, f"The whole network was run in every update. {cut.reason}{reason}")
    images = len(used) + (len(held_out[0]) if held_out else 0)
    shape = cut.tensor.shape[1:] if None not in cut.tensor.shape[1:] else prefix(data[0][used[:1]]).shape[1:]
    size = (8 if cut.tensor.dtype == "float64" else 4) * int(np.prod(shape)) * images
    if size > _MEMORY_LIMIT:
        note = f"The whole network was run in every update: the frozen part's output would take {size / 2**30:.1f} GiB."
        return model, data, held_out, rows, (False, note)
    forward, new_rows = in_batches(call), np.searchsorted(used, rows).astype("int32")
    original = data, held_out
    x = run_once(prefix, data[0][used], batch_size=rows.shape[1], training=True, forward=forward, **found)
    if held_out:
        # Still layers of the kinds that are known do the same in training and in use, so one function serves for both.
        same = {"training": True, "forward": forward} if cut.exact else {}
        size = _validation_batch(held_out)
        held_out = run_once(prefix, held_out[0], batch_size=size, **found, **same), *held_out[1:]
    exact = cut.exact and _is_exact(forward, data[0][used[: 2 * rows.shape[1]]], x, rows.shape[1], found)
    if not exact and any(layer.compute_dtype in ("float16", "bfloat16") for layer in prefix._flatten_layers()):
        note = "The frozen part computes in half precision, and an image's output differs with its place in the batch."
        return model, *original, rows, (False, f"The whole network was run in every update. {note}")
    equal = "bit for bit where it was tried" if exact else "to about 1e-5"
    note = f"The frozen part, up to {cut.layer!r}, was run once; the weights equal those of running it always, {equal}."
    return suffix, (x, *(part[used] for part in data[1:])), held_out, new_rows, (True, note)


def _what_differs(prefix, x, call, found, *, known):
    """Say what differs between two runs of the frozen part.

    Layers that are known draw no random numbers outside TensorFlow, so that the compiled network shows whatever
    differs, today as on any other day. Only a mask that comes out of a layer inside a layer does not show there. Of
    layers that are not known no answer is kept.
    """
    if not known:
        return what_differs(prefix, x)
    flat = set(prefix._flatten_layers(include_self=False)) == set(prefix.layers)
    batches = shared_first(prefix, x)
    asked = {"compute": lambda: not what_differs(prefix, x, call if flat else None)}
    return "" if answer_once(["nothing differs"], batches, **found, **asked) else what_differs(prefix, x)


def _is_exact(forward, images, outputs, batch_size, found):
    """Tell whether images give the same bits in other places of a batch, or what was found out before."""
    outputs = outputs[: len(images)]
    return answer_once(
        ["same in every place", batch_size],
        [images, outputs],
        **found,
        compute=lambda: _same_in_every_place(forward, images, outputs, batch_size),
    )


def _same_in_every_place(forward, images, outputs, batch_size):
    """Tell whether images give the same bits in other places of a batch.

    Where the pixels of a batch are no multiple of what a convolution takes at a time, the last image is computed in
    another way, which shows in some images only. So batches are turned, by an odd number of about a half: each image
    comes to another place, in another half, with another remainder.
    """
    turned = np.roll(np.arange(batch_size), batch_size // 2 | 1)
    for start in range(0, len(images) - batch_size + 1, batch_size):
        batch, expected = images[start : start + batch_size], outputs[start : start + batch_size]
        if not np.array_equal(forward(batch[turned], batch_size), expected[turned]):
            return False
    return batch_size > 1


def _validation_batch(held_out):
    """Return a batch size that divides the validation data into nearly equal parts."""
    n = len(held_out[0])
    return -(-n // -(-n // _VALIDATION_BATCH))


def _divergence(what, phase):
    return FloatingPointError(
        f"{what}: the learning rate {phase.learning_rate:g} is too high for this model and data. Try a tenth of it."
    )
