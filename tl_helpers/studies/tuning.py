"""How does every arm get its own learning rate, and is then measured?"""

from __future__ import annotations

import numpy as np
import pandas

from tl_helpers.grid.keys import group_rows
from tl_helpers.grid.run import run_grid
from tl_helpers.studies.study import LADDER


def tune(study, *, path, n_jobs):
    """Choose a learning rate for each tuned arm and budget: the best mean score on the validation split.

    Every arm is offered ``study.rates`` first. Where the best of them lies at an end for some budget, that arm is
    offered the next rate of :data:`LADDER` as well, at all its budgets, until the best lies inside.

    Parameters
    ----------
    study : Study
    path : path-like or None
        The log, see :func:`tl_helpers.grid.run.run_grid`.
    n_jobs : int

    Returns
    -------
    rates : dict of str to float
        ``"arm/budget"`` → rate.
    offered : list of float
        All rates that were tried.
    at_edge : list of str
        Those whose choice is the smallest or the largest rate that they were offered.

    Raises
    ------
    FloatingPointError
        If an arm has, at some budget, no rate at which every score is a finite number.
    """
    offers = {arm: list(study.rates) for arm in study.tuned}
    rates, at_edge, wider = {}, [], offers
    while wider:
        arms = [f"{arm} @ {rate:g}" for arm, offer in offers.items() for rate in offer]
        settings = {"path": path, "n_jobs": n_jobs, "experiment": study.function}
        runs = _run_arms(study, tuning_run, arms, study.tuning_seeds, **settings)
        best = _best_rates(runs, study.budgets)
        rates = {f"{arm}/{budget}": rate for (arm, budget), rate in best.items()}
        at_edge = [f"{arm}/{budget}" for (arm, budget), rate in best.items() if rate in _ends(offers[arm])]
        chosen = {arm: [rate for (one, _), rate in best.items() if one == arm] for arm in offers}
        wider = {arm: _wider(offer, chosen[arm]) for arm, offer in offers.items()}
        wider = {arm: offer for arm, offer in wider.items() if offer != offers[arm]}
        offers |= wider
    return rates, sorted(set().union(*offers.values())), at_edge


def _best_rates(runs, budgets):
    """Return (arm, budget) → the rate with the best mean score; a rate at which a seed diverged is out."""
    scores, values = {}, runs["score"].to_numpy(dtype=float, na_value=np.nan)
    # As the study writes them, since a run looks its rate up by that: a table makes 5.0 of 5 beside 0.5 or None.
    written = {budget: budget for budget in budgets}
    for (arm, budget), rows in group_rows(runs, ["arm", "budget"]).items():
        arm, rate = arm.rsplit(" @ ", 1)
        by_rate = scores.setdefault((arm, written[budget]), {})
        if np.isfinite(values[rows]).all():
            by_rate[float(rate)] = values[rows].mean()
    hopeless = [f"{arm} at budget {budget}" for (arm, budget), by_rate in scores.items() if not by_rate]
    if hopeless:
        raise FloatingPointError(f"Training diverged at every rate tried: {'; '.join(hopeless)}. Offer lower ones.")
    # Of equals the smaller, whatever the order in which they were tried.
    return {key: max(sorted(by_rate), key=by_rate.get) for key, by_rate in scores.items()}


def _ends(offer):
    return min(offer), max(offer)


def _wider(offer, chosen):
    """Return the offer with the next rung of the ladder at each end that was chosen."""
    lowest, highest = _ends(offer)
    below = [rate for rate in LADDER if rate < lowest and lowest in chosen][-1:]
    above = [rate for rate in LADDER if rate > highest and highest in chosen][:1]
    return below + offer + above


def _run_arms(study, function, arms, seeds, **settings):
    """Run arms (a name, perhaps with `` @ `` and a rate) at their budgets."""
    frames = []
    for budgets in dict.fromkeys([study.budgets, study.budgets[::2]]):
        chosen = [arm for arm in arms if study.budgets_of(arm.split(" @ ")[0]) == budgets]
        if chosen:
            frames.append(run_grid(function, chosen, budgets, seeds, **settings))
    runs = pandas.concat(frames, ignore_index=True)
    # What the log has seen by the last call is the provenance of all.
    runs.attrs["provenance"] = frames[-1].attrs["provenance"] | {"arms": list(arms), "budgets": list(study.budgets)}
    return runs


def tuning_run(*, arm, budget, seed, experiment):
    """Run one arm on the validation split at the rate that follows its name.

    Parameters
    ----------
    arm : str
        With the rate, such as ``"scratch @ 0.001"``.
    budget, seed
        See :class:`tl_helpers.studies.study.Study`.
    experiment : callable
        The study's function.

    Returns
    -------
    dict
        What the function returns.
    """
    arm, rate = arm.rsplit(" @ ", 1)
    return experiment(arm, budget, seed, rate=float(rate), split="validation")


def measure(study, rates, *, path, n_jobs):
    """Run all arms of a study on the test split.

    Parameters
    ----------
    study : Study
    rates : dict of str to float
        ``"arm/budget"`` → rate, as :func:`tune` returns it.
    path : path-like or None
        The log, see :func:`tl_helpers.grid.run.run_grid`.
    n_jobs : int

    Returns
    -------
    pandas.DataFrame
        One row per run.

    Raises
    ------
    ValueError
        If there is no rate for an arm that is tuned.
    """
    wanted = [f"{arm}/{budget}" for arm in study.tuned for budget in study.budgets_of(arm)]
    missing = [key for key in wanted if key not in rates]
    if missing:
        raise ValueError(f"There is no learning rate for {', '.join(missing)}: tune the study first.")
    settings = {"path": path, "n_jobs": n_jobs, "experiment": study.function, "rates": rates}
    return _run_arms(study, measured_run, study.arms, study.seeds, **settings)


def measured_run(*, arm, budget, seed, experiment, rates):
    """Run one arm on the test split at its tuned rate.

    Parameters
    ----------
    arm, budget, seed
        See :class:`tl_helpers.studies.study.Study`.
    experiment : callable
        The study's function.
    rates : dict of str to float
        ``"arm/budget"`` → rate, see :func:`tune`.

    Returns
    -------
    dict
        What the function returns.
    """
    return experiment(arm, budget, seed, rate=rates.get(f"{arm}/{budget}"), split="test")
