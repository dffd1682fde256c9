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
    # All that might be tried, so that what a run depends on stays the same when an offer grows.
    candidates = {f"{a} @ {rate:g}": (a, rate) for a in study.tuned for rate in sorted({*LADDER, *study.rates})}
    calls = {name: study.arms[arm].settings | {"rate": rate} for name, (arm, rate) in candidates.items()}
    rates, at_edge, wider = {}, [], offers
    while wider:
        wanted = {name: arm for name, (arm, rate) in candidates.items() if rate in offers[arm]}
        settings = {"path": path, "n_jobs": n_jobs, "experiment": study.function, "candidates": calls}
        runs = _run_arms(study, tuning_run, wanted, study.tuning_seeds, **settings)
        best = _best_rates(runs, candidates, study.axis.values)
        rates = {f"{arm}/{budget}": rate for (arm, budget), rate in best.items()}
        at_edge = [f"{arm}/{budget}" for (arm, budget), rate in best.items() if rate in _ends(offers[arm])]
        chosen = {arm: [rate for (one, _), rate in best.items() if one == arm] for arm in offers}
        wider = {arm: _wider(offer, chosen[arm]) for arm, offer in offers.items()}
        wider = {arm: offer for arm, offer in wider.items() if offer != offers[arm]}
        offers |= wider
    return rates, sorted(set().union(*offers.values())), at_edge


def _best_rates(runs, candidates, budgets):
    """Return (arm, budget) → the rate with the best mean score; a rate at which a seed diverged is out."""
    scores, values = {}, runs["score"].to_numpy(dtype=float, na_value=np.nan)
    # As the study writes them, since a run looks its rate up by that: a table makes 5.0 of 5 beside 0.5 or None.
    written = {budget: budget for budget in budgets}
    for (name, budget), rows in group_rows(runs, ["arm", "budget"]).items():
        arm, rate = candidates[name]
        by_rate = scores.setdefault((arm, written[budget]), {})
        if np.isfinite(values[rows]).all():
            by_rate[rate] = values[rows].mean()
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
    """Run arms at their values of the axis; `arms` is name → the arm of the study that it is."""
    frames = []
    for values in dict.fromkeys(map(study.values_of, arms.values())):
        chosen = [name for name, arm in arms.items() if study.values_of(arm) == values]
        frames.append(run_grid(function, chosen, values, seeds, **settings))
    runs = pandas.concat(frames, ignore_index=True)
    # What the log has seen by the last call is the provenance of all.
    asked = {"arms": list(arms), "budgets": list(study.axis.values)}
    runs.attrs["provenance"] = frames[-1].attrs["provenance"] | asked
    return runs


def tuning_run(*, arm, budget, seed, experiment, candidates):
    """Run one arm on the validation split at one rate.

    Parameters
    ----------
    arm : str
        One of `candidates`.
    budget
        Value of the study's axis.
    seed : int
    experiment : callable
        The study's function.
    candidates : dict of str to dict
        Name → what the function is called with: the arm's settings and ``rate``.

    Returns
    -------
    dict
        What the function returns.
    """
    return experiment(budget, seed, split="validation", **candidates[arm])


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
    wanted = [f"{arm}/{budget}" for arm in study.tuned for budget in study.values_of(arm)]
    missing = [key for key in wanted if key not in rates]
    if missing:
        raise ValueError(f"There is no learning rate for {', '.join(missing)}: tune the study first.")
    settings = {"path": path, "n_jobs": n_jobs, **measured_settings(study, rates)}
    return _run_arms(study, measured_run, {key: key for key in study.arms}, study.seeds, **settings)


def measured_settings(study, rates):
    """Return what :func:`measured_run` takes besides arm, budget and seed.

    Parameters
    ----------
    study : Study
    rates : dict of str to float

    Returns
    -------
    dict
    """
    return {
        "experiment": study.function,
        "settings": {key: arm.settings for key, arm in study.arms.items()},
        "rates": rates,
    }


def measured_run(*, arm, budget, seed, experiment, settings, rates):
    """Run one arm on the test split at its tuned rate.

    Parameters
    ----------
    arm : str
        Key of one of the study's arms.
    budget
        Value of the study's axis.
    seed : int
    experiment : callable
        The study's function.
    settings : dict of str to dict
        Arm → what the function is called with.
    rates : dict of str to float
        ``"arm/budget"`` → rate, see :func:`tune`.

    Returns
    -------
    dict
        What the function returns.
    """
    return experiment(budget, seed, rate=rates.get(f"{arm}/{budget}"), split="test", **settings[arm])
