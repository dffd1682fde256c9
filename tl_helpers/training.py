"""How is it trained? One routine for every way of transfer, so that two ways differ in nothing but what they say."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tl_helpers.features import extract_features, probe
from tl_helpers.freezing import freeze, freeze_all_but, unfreeze
from tl_helpers.graph import leaves_of
from tl_helpers.loop import draw_batches, make_forward, make_steps, resolve_loss, run_steps

if TYPE_CHECKING:
    import keras
    import pandas

__all__ = [
    "STRATEGIES",
    "FitResult",
    "RateChoice",
    "accuracy",
    "extract_features",
    "fit_transfer",
    "mean_recall",
    "probe",
    "tune_learning_rate",
]

STRATEGIES = ("scratch", "linear_probing", "fine_tuning")


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
        Wall-clock time, and time of all processor cores together.
    updates : int
    learning_rate : float
        Of the first update.
    strategy : str
    cached : bool
        Whether the frozen part of the network was run once instead of in every update.
    note : str
        A sentence that says so, or why not.
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


@dataclass(frozen=True, eq=False)
class RateChoice:
    """The learning rate that did best on validation data.

    Parameters
    ----------
    learning_rate : float
    scores : pandas.DataFrame
        One row per rate and seed: ``learning_rate``, ``seed``, ``score`` (higher is better; NaN where training
        diverged).
    edge : {None, "lowest", "highest"}
        Whether the choice is an end of the grid, beyond which a better rate may lie.
    """

    learning_rate: float
    scores: pandas.DataFrame
    edge: str | None

    def __str__(self):
        warning = f", the {self.edge} of the grid: widen it" if self.edge else ""
        return f"Best learning rate on the validation data: {self.learning_rate:g}{warning}."


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
    weights="last",
    validations=10,
    cache="auto",
):
    """Train a model in place by a strategy of transfer, with Adam and a learning rate that falls linearly to 0.

    Every strategy gets a fresh optimizer, the same batches for the same seed, and exactly `updates` updates. Nothing
    outside the model is changed, the global random state included. Afterwards the model is compiled, with accuracy
    where the targets are classes, so that ``model.evaluate`` and ``model.save`` work at once.

    Parameters
    ----------
    model : keras.Model
        From images as stored to logits, or to whatever `loss` reads. Names of the head's layers start with ``head``.
    train, validation : Dataset or tuple of numpy.ndarray
        Images and labels ``(x, y)``, both ``(n, …)``.
    strategy : {"scratch", "linear_probing", "fine_tuning"}
        ``"scratch"``: forget the weights and draw new ones, then train them all. ``"linear_probing"``: train the head
        on the frozen rest. ``"fine_tuning"``: train everything after the stage `upto`; BatchNorm stays frozen with the
        source's statistics, since those of a few small batches are worse.
    learning_rate : float
        Of the first update.
    updates : int
        Batches to train on, at least 1.
    batch_size : int
        Images per batch.
    seed : int
        Draws the batches, the new weights of ``"scratch"`` and the masks of dropout.
    loss : keras.losses.Loss, str or callable, optional
        Cross-entropy of class indices and logits by default.
    upto : str, optional
        ``"fine_tuning"`` only: the last stage to keep frozen, see :func:`tl_helpers.freezing.freeze`.
    weights : {"last", "best"}
        Which weights count: those after the last update, or the best on the validation data (by accuracy where there
        is one, then by loss) among the moments of validation. Use one rule for all the arms of a comparison.
    validations : int
        How many times the model is validated, evenly spread; the last time is after the last update.
    cache : {"auto", False}
        Whether the frozen part may be run once.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If arguments or data do not fit each other; the message says which and what to do.
    FloatingPointError
        If the loss stops being a finite number. The model's weights are then as before.
    """
    import pandas

    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}.")
    if upto is not None and strategy != "fine_tuning":
        raise ValueError(f"upto={upto!r} is for strategy 'fine_tuning'; {strategy!r} fixes by itself what is frozen.")
    if updates < 1 or batch_size < 1 or not learning_rate > 0:
        raise ValueError("updates and batch_size must be at least 1, and learning_rate above 0.")
    if weights not in ("last", "best") or (weights == "best" and validation is None):
        raise ValueError("weights must be 'last', or 'best', which needs validation data.")
    x, y = _arrays(train, model, loss, "train")
    held_out = None if validation is None else _arrays(validation, model, loss, "validation")
    started = time.perf_counter(), time.process_time()
    before = _snapshot(model)
    if strategy == "scratch":
        _draw_new_weights(model, seed)
    _freeze_for(model, strategy, upto)
    _reseed(model, seed)
    rows = draw_batches(len(x), updates, batch_size, [seed, 0])
    try:
        history = _train(model, (x, y), held_out, rows, learning_rate, loss, weights, validations)
    except FloatingPointError:
        _put_back(model, before)
        raise
    _compile(model, learning_rate, loss)
    return FitResult(
        model=model,
        history=pandas.DataFrame(history).assign(phase=strategy)[["phase", *history]],
        seconds=time.perf_counter() - started[0],
        cpu_seconds=time.process_time() - started[1],
        updates=updates,
        learning_rate=learning_rate,
        strategy=strategy,
        cached=False,
        note="The whole network was run in every update.",
    )


def _freeze_for(model, strategy, upto):
    unfreeze(model, batch_norm=strategy == "scratch")
    if strategy == "linear_probing":
        freeze_all_but(model, "head")
    elif upto is not None:
        freeze(model, upto=upto)


def _train(model, data, held_out, rows, learning_rate, loss, weights, validations):
    """Make one update per row of `rows`; return the columns of the history."""
    import keras
    from tqdm.auto import tqdm

    x, y = data
    updates = len(rows)
    schedule = keras.optimizers.schedules.PolynomialDecay(learning_rate, updates, end_learning_rate=0.0)
    steps = make_steps(model, x, y, resolve_loss(loss), keras.optimizers.Adam(schedule), rows.shape[1])
    moments = np.unique(np.linspace(0, updates, validations + 1).round().astype(int)[1:]) if held_out else [updates]
    forward = make_forward(model) if held_out else None
    history = {"update": np.arange(1, updates + 1), "loss": np.full(updates, np.nan)}
    if held_out:
        history |= {"validation_loss": np.full(updates, np.nan), "validation_accuracy": np.full(updates, np.nan)}
    done, best = 0, None
    with tqdm(total=updates, desc="training", unit="update", leave=False, delay=1) as bar:
        for moment in moments:
            for losses in run_steps(steps, rows[done:moment], progress=bar.update):
                history["loss"][done : done + len(losses)] = losses
                if not np.isfinite(losses).all():
                    _explain_divergence(x, y, done + 1 + int(np.argmin(np.isfinite(losses))), learning_rate)
                done += len(losses)
            if held_out:
                value, share = _validate(forward, *held_out, loss)
                history["validation_loss"][done - 1], history["validation_accuracy"][done - 1] = value, share
                rank = (share if np.isfinite(share) else 0.0, -value)
                if weights == "best" and (best is None or rank > best[0]):
                    best = rank, _snapshot(model)
    if best is not None:
        _put_back(model, best[1])
    return history


def _validate(forward, x, y, loss):
    """Return loss and accuracy (NaN where the targets are no classes)."""
    output = forward(x, 256)
    value = float(resolve_loss(loss)(y, output))
    return value, _share_right(output, y) if loss is None else np.nan


def _share_right(output, y):
    return float((output.argmax(axis=-1) == y).mean())


def _row_that_counts(history, weights):
    """Return the row of the history at which the model had the weights it has now."""
    validated = history.dropna(subset="validation_loss")
    if weights == "last":
        return validated.iloc[-1]
    validated = validated.fillna({"validation_accuracy": 0.0})
    return validated.sort_values(
        ["validation_accuracy", "validation_loss"], ascending=[False, True], kind="stable"
    ).iloc[0]


def _explain_divergence(x, y, update, learning_rate):
    for name, array in (("x", x), ("y", y)):
        if not np.isfinite(array).all():
            raise FloatingPointError(
                f"The loss is not a number because {name} holds NaN or infinite values. Clean them."
            )
    raise FloatingPointError(
        f"The loss stopped being a finite number at update {update}: the learning rate {learning_rate:g} is too high "
        f"for this model and data. Try a tenth of it."
    )


# ---------------------------------------------------------------- data and weights


def _arrays(data, model, loss, name):
    """Unpack a data set and check that it fits the model."""
    x, y = data if isinstance(data, tuple) else (data.x, data.y)
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{name} has {len(x)} inputs and {len(y)} targets; there must be as many, and at least one.")
    expected = tuple(model.input_shape[1:])
    if len(expected) != x.ndim - 1 or any(e not in (None, g) for e, g in zip(expected, x.shape[1:], strict=True)):
        raise ValueError(
            f"The inputs of {name} have shape {x.shape[1:]}, and {model.name!r} takes {expected}. Resize the images or "
            f"build the model for their shape."
        )
    if loss is not None:
        return x, y
    classes = model.output_shape[-1]
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"The targets of {name} must be integers 0…{classes - 1}, one per input, for a model with {classes} "
            f"outputs; they are {y.dtype} of shape {y.shape}, {y.min()}…{y.max()}. Pass a loss for other targets."
        )
    if name == "train":
        missing = np.flatnonzero(np.bincount(y, minlength=classes) == 0)
        names = getattr(data, "label_names", None) or list(range(classes))
        if len(missing) == classes - 1:
            raise ValueError(
                f"Every training example is of class {names[y[0]]!r}: with one class nothing can be learned."
            )
        if len(missing):
            missing = ", ".join(repr(names[label]) for label in missing)
            raise ValueError(f"No training example of class {missing}. Add some, or give the model fewer outputs.")
    return x, y


def _snapshot(model):
    return [variable.numpy().copy() for variable in model.variables]


def _put_back(model, values):
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _reseed(model, seed):
    """Start every source of random numbers inside the model anew, so that a fit depends on its seed alone."""
    import keras

    number = 0
    for layer in model._flatten_layers():
        for value in vars(layer).values():
            if isinstance(value, keras.random.SeedGenerator):
                value.state.assign([seed % 2**31, 1_000_003 * number])
                number += 1


def _draw_new_weights(model, seed):
    """Replace all weights by new random ones, except an adapted ``Normalization``'s, which describe the input."""
    import keras

    count = iter(range(10**9))

    def with_seeds(config):
        if isinstance(config, dict):
            config = {key: with_seeds(value) for key, value in config.items()}
            if str(config.get("module", "")).endswith("initializers") and "seed" in config.get("config", {}):
                config["config"]["seed"] = int(np.random.default_rng([seed, 1, next(count)]).integers(2**31))
            return config
        return [with_seeds(value) for value in config] if isinstance(config, (list, tuple)) else config

    fresh = type(model).from_config(with_seeds(model.get_config()))
    for old, new in zip(leaves_of(model), leaves_of(fresh), strict=True):
        if not isinstance(old, keras.layers.Normalization):
            old.set_weights(new.get_weights())


def _compile(model, learning_rate, loss):
    import keras

    metrics = ["accuracy"] if loss is None else None
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss, metrics=metrics)


# ---------------------------------------------------------------- scores


def accuracy(model, data, *, batch_size=256):
    """Share of examples that a classifier gets right.

    Parameters
    ----------
    model : keras.Model
        To logits or probabilities ``(n, n_classes)``.
    data : Dataset or tuple of numpy.ndarray
        ``(x, y)``.
    batch_size : int

    Returns
    -------
    float
        0…1.
    """
    x, y = _arrays(data, model, None, "data")
    return _share_right(make_forward(model)(x, batch_size), y)


def mean_recall(model, data, *, batch_size=256):
    """Mean over classes of the share of the class's examples that a classifier gets right: each class counts the same.

    Parameters
    ----------
    model : keras.Model
        To logits or probabilities ``(n, n_classes)``.
    data : Dataset or tuple of numpy.ndarray
        ``(x, y)``.
    batch_size : int

    Returns
    -------
    float
        0…1, over the classes that occur.
    """
    x, y = _arrays(data, model, None, "data")
    right = make_forward(model)(x, batch_size).argmax(axis=-1) == y
    return float(np.mean([right[y == label].mean() for label in np.unique(y)]))


# ---------------------------------------------------------------- learning rate


def tune_learning_rate(make_model, train, validation, *, strategy, rates, updates, seeds=(0,), score=None, **settings):
    """Choose the learning rate of an arm on validation data: the one routine for all arms of a comparison.

    Parameters
    ----------
    make_model : callable
        From a seed to a new model.
    train, validation : Dataset or tuple of numpy.ndarray
        ``(x, y)``. Never the test data.
    strategy : str
        See :func:`fit_transfer`.
    rates : sequence of float
        Learning rates to try.
    updates : int
    seeds : sequence of int
        Each rate is tried with each; use other seeds for the comparison itself.
    score : callable, optional
        From the trained model and `validation` to a number, higher is better. By default accuracy, or minus the loss
        where `loss` is given.
    **settings
        Further arguments of :func:`fit_transfer`.

    Returns
    -------
    RateChoice

    Raises
    ------
    FloatingPointError
        If training diverged at every rate.
    """
    import pandas

    rates = sorted(rates)
    rows = []
    for rate in rates:
        for seed in seeds:
            row = {"learning_rate": rate, "seed": seed, "score": np.nan, "validation_loss": np.nan}
            rows.append(row)
            try:
                result = fit_transfer(
                    make_model(seed),
                    train,
                    validation,
                    strategy=strategy,
                    learning_rate=rate,
                    updates=updates,
                    seed=seed,
                    **{"validations": 1} | settings,
                )
            except FloatingPointError:
                continue
            reached = _row_that_counts(result.history, settings.get("weights", "last"))
            row["validation_loss"] = reached["validation_loss"]
            if score is not None:
                row["score"] = score(result.model, validation)
            elif settings.get("loss") is None:
                row["score"] = reached["validation_accuracy"]
            else:
                row["score"] = -reached["validation_loss"]
    scores = pandas.DataFrame(rows)
    means = scores.groupby("learning_rate")[["score", "validation_loss"]].mean()
    means = means.where(scores.groupby("learning_rate")["score"].count() == len(seeds)).dropna()
    if means.empty:
        raise FloatingPointError(f"Training diverged at every rate tried, {rates[0]:g}…{rates[-1]:g}. Try lower ones.")
    best = float(means.sort_values(["score", "validation_loss"], ascending=[False, True], kind="stable").index[0])
    edge = {rates[0]: "lowest", rates[-1]: "highest"}.get(best) if len(rates) > 1 else None
    return RateChoice(best, scores, edge)
