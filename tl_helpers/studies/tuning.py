"""How does every arm get its own learning rate, and is then measured?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas

from tl_helpers.grid.keys import group_rows
from tl_helpers.grid.run import run_grid
from tl_helpers.studies.study import LADDER


class Tuning(NamedTuple):
    """What :func:`tune` found.

    Parameters
    ----------
    rates : dict of str to float
        ``"arm/value"`` → learning rate.
    offered : list of float
        All rates that were tried.
    at_edge : list of str
        Those whose choice is the smallest or the largest rate that their arm was offered.
    tuned_at : dict of str to list
        Arm → the values of the axis at which runs chose; those in between have a rate between their neighbours'.
    runs : int
        How many runs chose.
    """

    rates: dict
    offered: list
    at_edge: list
    tuned_at: dict
    runs: int


def tune(study, *, path, n_jobs):
    """Choose a learning rate for each tuned arm and value of the axis by mean scores on the validation split.

    Along an axis of numbers the choice is smooth: runs are made at every second value and at the last
    (:meth:`tl_helpers.studies.study.Study.tuning_values`); of all ways in which neighbouring rates are at most one of
    those offered apart, the one with the best mean score is taken; a value in between gets the geometric mean of its
    neighbours' rates. Along an axis of names, or one that is not smooth, every value is for itself.

    Every arm is offered ``study.rates`` first. Where one of its choices lies at an end, that arm is offered the next
    rate of :data:`tl_helpers.studies.study.LADDER` as well, at all its values, until its choices lie inside.

    Parameters
    ----------
    study : Study
    path : path-like or None
        The log, see :func:`tl_helpers.grid.run.run_grid`.
    n_jobs : int

    Returns
    -------
    Tuning

    Raises
    ------
    FloatingPointError
        If an arm has, at some value, no rate at which every score is a finite number.
    """
    offers = {arm: list(study.rates) for arm in study.tuned}
    # All that might be tried, so that what a run depends on stays the same when an offer grows.
    candidates = {f"{a} @ {rate:g}": (a, rate) for a in study.tuned for rate in sorted({*LADDER, *study.rates})}
    calls = {name: study.arms[arm].settings | {"rate": rate} for name, (arm, rate) in candidates.items()}
    chosen, runs, wider = {}, (), offers
    while wider:
        wanted = {name: arm for name, (arm, rate) in candidates.items() if rate in offers[arm]}
        settings = {"path": path, "n_jobs": n_jobs, "experiment": study.function, "candidates": calls}
        values = {name: study.tuning_values(arm) for name, arm in wanted.items()}
        runs = _run_arms(study, tuning_run, values, study.tuning_seeds, **settings)
        scores = _scores(runs, candidates, study.axis.values)
        choose = _smoothest if study.is_smooth else _best
        chosen = {arm: choose([scores[arm, value] for value in study.tuning_values(arm)]) for arm in offers}
        wider = {arm: _wider(offer, chosen[arm]) for arm, offer in offers.items()}
        wider = {arm: offer for arm, offer in wider.items() if offer != offers[arm]}
        offers |= wider
    tuned_at = {arm: list(study.tuning_values(arm)) for arm in offers}
    at = {arm: dict(zip(tuned_at[arm], rates, strict=True)) for arm, rates in chosen.items()}
    return Tuning(
        rates={f"{arm}/{value}": rate for arm in at for value, rate in _filled(at[arm], study.values_of(arm)).items()},
        offered=sorted(set().union(*offers.values())),
        at_edge=[f"{arm}/{value}" for arm in at for value, rate in at[arm].items() if rate in _ends(offers[arm])],
        tuned_at=tuned_at,
        runs=len(runs),
    )


def _scores(runs, candidates, values):
    """Return (arm, value of the axis) → rate → mean score; a rate at which a seed diverged is out."""
    scores, numbers = {}, runs["score"].to_numpy(dtype=float, na_value=np.nan)
    # As the study writes them, since a run looks its rate up by that: a table makes 5.0 of 5 beside 0.5 or None.
    written = {value: value for value in values}
    for (name, value), rows in group_rows(runs, ["arm", "budget"]).items():
        arm, rate = candidates[name]
        mean = numbers[rows].mean() if np.isfinite(numbers[rows]).all() else -np.inf
        scores.setdefault((arm, written[value]), {})[rate] = mean
    hopeless = [
        f"{arm} at budget {value}" for (arm, value), by_rate in scores.items() if max(by_rate.values()) == -np.inf
    ]
    if hopeless:
        raise FloatingPointError(f"Training diverged at every rate tried: {'; '.join(hopeless)}. Offer lower ones.")
    return scores


def _best(scores):
    """Return for each value of the axis the rate with the best score; of equals the smaller."""
    return [max(sorted(by_rate), key=by_rate.get) for by_rate in scores]


def _smoothest(scores):
    """Return a rate for each value, neighbours at most one rate apart, whose scores sum to the most.

    Of equals the smaller. Where each such way holds a rate at which training diverged, each value is for itself.
    """
    offered = sorted(scores[0])
    table = np.array([[by_rate[rate] for rate in offered] for by_rate in scores], dtype=float)
    total, came_from = table[0], []
    for row in table[1:]:
        padded = np.pad(total, 1, constant_values=-np.inf)
        near = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        came_from.append(np.arange(len(offered)) - 1 + near.argmax(axis=0))
        total = row + near.max(axis=0)
    if total.max() == -np.inf:
        return _best(scores)
    path = [int(total.argmax())]
    for before in reversed(came_from):
        path.append(int(before[path[-1]]))
    return [offered[place] for place in reversed(path)]


def _filled(chosen, values):
    """Return value → rate for all values; the geometric mean of the neighbours for those in between, to two digits."""
    known = [value for value in values if value in chosen]
    rates = {}
    for value in values:
        if value in chosen:
            rates[value] = chosen[value]
        else:
            place = values.index(value)
            below = next(v for v in reversed(known) if values.index(v) < place)
            above = next(v for v in known if values.index(v) > place)
            rates[value] = float(f"{np.sqrt(chosen[below] * chosen[above]):.2g}")
    return rates


def _ends(offer):
    return min(offer), max(offer)


def _wider(offer, chosen):
    """Return the offer with the next rung of the ladder at each end that was chosen."""
    lowest, highest = _ends(offer)
    below = [rate for rate in LADDER if rate < lowest and lowest in chosen][-1:]
    above = [rate for rate in LADDER if rate > highest and highest in chosen][:1]
    return below + offer + above


def _run_arms(study, function, values_of, seeds, **settings):
    """Run arms at values of the axis; `values_of` is name → values."""
    frames = []
    for values in dict.fromkeys(values_of.values()):
        chosen = [name for name, own in values_of.items() if own == values]
        frames.append(run_grid(function, chosen, values, seeds, **settings))
    runs = pandas.concat(frames, ignore_index=True)
    # What the log has seen by the last call is the provenance of all.
    asked = {"arms": list(values_of), "budgets": list(study.axis.values)}
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
    return _run_arms(study, measured_run, {key: study.values_of(key) for key in study.arms}, study.seeds, **settings)


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
