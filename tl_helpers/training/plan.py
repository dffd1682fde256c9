"""What is laid out before a training begins? The phases of a strategy, with what is frozen in each; checked once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from tl_helpers.models.graph import layers_in, leaves_of, stage_of, upstream_of
from tl_helpers.models.inputs import input_shape_of
from tl_helpers.training.freezing import batch_norms_of, fixed_by_hand, head_layers, parts_of
from tl_helpers.training.loop import check_run
from tl_helpers.training.stage_rates import discriminative_optimizer
from tl_helpers.training.weights import not_finite

STRATEGIES = ("scratch", "linear_probing", "fine_tuning", "lp_ft", "gradual_unfreezing")


@dataclass(frozen=True, eq=False)
class Phase:
    """A stretch of training with one optimizer, during which the same layers are frozen.

    Parameters
    ----------
    name : str
    updates : int
    learning_rate : float
        Of the first update.
    validations : int
        How many times the model is validated.
    head_only : bool
        Whether the head alone moves.
    upto : str or None
        The last stage that is frozen, where one was named.
    frozen : frozenset of keras.Layer
        At any depth, what is fixed by hand included.
    """

    name: str
    updates: int
    learning_rate: float
    validations: int
    head_only: bool
    upto: str | None
    frozen: frozenset[keras.Layer]


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What :func:`tl_helpers.training.fit.fit_transfer` was asked to do with a model, checked.

    Parameters
    ----------
    strategy : str
    phases : tuple of Phase
    batch_size, seed : int
    loss, factors, weights, cache, deterministic, class_weight
        As for :func:`tl_helpers.training.fit.fit_transfer`.
    fixed : tuple of keras.Variable
        The weights that are fixed by hand.
    said : str
        What is to be said about them; empty where the strategy would not move them.
    """

    strategy: str
    phases: tuple[Phase, ...]
    batch_size: int
    seed: int
    loss: Any
    factors: dict[str, float] | float | None
    weights: str
    cache: str | os.PathLike | dict | bool
    deterministic: bool
    class_weight: dict[int, float] | None
    fixed: tuple[keras.Variable, ...]
    said: str

    @property
    def updates(self):
        """Return the number of updates in all phases together."""
        return sum(phase.updates for phase in self.phases)


class _Stretch(NamedTuple):
    """A phase before its share of the updates is known."""

    name: str
    learning_rate: float
    head_only: bool = False
    upto: str | None = None


def make_plan(
    model,
    *,
    strategy,
    learning_rate,
    head_learning_rate,
    updates,
    batch_size,
    seed,
    loss,
    upto,
    factors,
    stages,
    weights,
    validations,
    validated,
    cache,
    deterministic,
    class_weight,
):
    """Lay out a training and check that it fits the model, which is not touched.

    Parameters
    ----------
    model : keras.Model
    strategy, learning_rate, head_learning_rate, updates, batch_size, seed, loss, upto, factors, stages, weights
        As for :func:`tl_helpers.training.fit.fit_transfer`.
    validations, cache, deterministic, class_weight
        As for :func:`tl_helpers.training.fit.fit_transfer`.
    validated : bool
        Whether there are validation data.

    Returns
    -------
    TrainingPlan

    Raises
    ------
    ValueError
        If arguments do not fit each other or the model; the message says which and what to do.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}.")
    if (upto is not None or factors is not None) and strategy in ("scratch", "linear_probing"):
        raise ValueError(f"upto and factors are for fine-tuning; strategy {strategy!r} fixes by itself what moves.")
    input_shape_of(model)
    check_run(
        {"learning_rate": learning_rate, "head_learning_rate": head_learning_rate},
        updates=(updates, None),
        batch_size=(batch_size, 1),
        validations=(validations, 1),
        seed=(seed, 0),
    )
    if cache is not False and not isinstance(cache, (str, os.PathLike, dict)):
        raise ValueError(f"cache must be 'auto', False, a folder or a dict, not {cache!r}.")
    if weights not in ("last", "best") or (weights == "best" and not validated):
        raise ValueError("weights must be 'last', or 'best', which needs validation data.")
    stretches = _stretches(model, strategy, learning_rate, head_learning_rate or learning_rate, upto, stages)
    if upto is not None:
        frozen = upstream_of(model, upto)
        if all(leaf in frozen for leaf in leaves_of(model) if leaf.weights):
            raise ValueError(f"With upto={upto!r} nothing is left to train. Name an earlier stage.")
    if updates < len(stretches):
        raise ValueError(f"updates={updates} is too few: strategy {strategy!r} has {len(stretches)} phase(s) here.")
    _check_state(model)
    fixed, fixed_weights = fixed_by_hand(model)
    edges = np.linspace(0, updates, len(stretches) + 1).round().astype(int)
    phases = []
    for stretch, first, last in zip(stretches, edges, edges[1:], strict=False):
        frozen = _frozen_in(model, stretch, strategy)
        share = max(1, round(validations * (last - first) / updates))
        rate, head_only = stretch.learning_rate, stretch.head_only
        phases.append(
            Phase(stretch.name, int(last - first), rate, share, head_only, stretch.upto, frozenset(frozen | fixed))
        )
    said = _say_what_is_fixed(model, strategy, fixed, fixed_weights, frozen)
    if factors is not None:
        discriminative_optimizer(model, learning_rate, factors)  # names what does not fit before anything is touched
    return TrainingPlan(
        strategy=strategy,
        phases=tuple(phases),
        batch_size=batch_size,
        seed=seed,
        loss=loss,
        factors=factors,
        weights=weights,
        cache=cache,
        deterministic=deterministic,
        class_weight=class_weight,
        fixed=tuple(fixed_weights),
        said=said,
    )


def _stretches(model, strategy, rate, head_rate, upto, stages):
    """List the phases of a strategy."""
    if strategy == "scratch":
        return [_Stretch("scratch", rate)]
    if strategy == "linear_probing":
        return [_Stretch("linear_probing", rate, head_only=True)]
    if strategy == "fine_tuning":
        return [_Stretch("fine_tuning", rate, upto=upto)]
    if strategy == "lp_ft":
        return [_Stretch("linear_probing", head_rate, head_only=True), _Stretch("fine_tuning", rate, upto=upto)]
    for stage in stages or ():
        layers_in(model, stage)
    leaves = [leaf for leaf in leaves_of(model) if leaf.weights and not leaf.name.startswith("head")]
    stages = list(stages or dict.fromkeys(stage_of(leaf.name) for leaf in leaves))
    if upto is not None:
        if upto not in stages:
            raise ValueError(f"upto={upto!r} is none of the stages {', '.join(stages)}.")
        stages = stages[stages.index(upto) :]
    else:
        stages = [None, *stages]
    pairs = zip(stages[:0:-1], stages[-2::-1], strict=True)
    moved = [_Stretch(f"from {first}", rate, upto=last) for first, last in pairs]
    return [_Stretch("head", head_rate, head_only=True), *moved]


def _check_state(model):
    """Refuse a model whose state goes from batch to batch, or is ruined already."""
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


def _frozen_in(model, stretch, strategy):
    """Collect the layers that a phase of a strategy freezes."""
    leaves, frozen = leaves_of(model), set()
    if stretch.head_only:
        frozen = set(leaves) - set(head_layers(model))
    elif stretch.upto is not None:
        frozen = set(upstream_of(model, stretch.upto))
    if strategy != "scratch":
        frozen |= set(batch_norms_of([leaf for leaf in leaves if not leaf.name.startswith("head")]))
    return set(parts_of(frozen))


def _say_what_is_fixed(model, strategy, fixed, fixed_weights, frozen):
    """Say whether a strategy would move what the user has fixed; an error if nothing else moves."""
    parts, said = parts_of(leaves_of(model)), ""
    held = [part for part in parts if part in fixed - frozen and part.weights]
    if held:
        names = ", ".join(repr(part.name) for part in held[:3]) + (", …" if len(held) > 3 else "")
        said = (
            f"What was frozen by hand, or in a file, stays frozen, and strategy {strategy!r} does not move it: {names} "
            f"({len(held)} layer(s)). To let it move, call tl_helpers.training.unfreeze(model) first."
        )
    kept = {id(weight) for weight in fixed_weights}
    moving = [part for part in parts if part not in fixed | frozen]
    if not any(id(weight) not in kept for part in moving for weight in part._trainable_variables):
        raise ValueError(f"Nothing is left to train in {model.name!r} by strategy {strategy!r}. {said}")
    return said
