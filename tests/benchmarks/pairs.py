"""Which of two ways is faster? They take turns, the median of their trials counts, and the results must agree."""

from dataclasses import dataclass
from statistics import median

import numpy as np


@dataclass(frozen=True, eq=False)
class Outcome:
    """One timed trial.

    Parameters
    ----------
    seconds : float
    results : dict of str to numpy.ndarray
        What the other way must give as well, bit for bit.
    later_seconds : float, optional
        Per epoch after the first.
    """

    seconds: float
    results: dict
    later_seconds: float = float("nan")


def take_turns(baseline, ours, repeats):
    """Try two ways again and again, each of them first in every other round.

    Parameters
    ----------
    baseline, ours : callable
        Without arguments, to an :class:`Outcome`.
    repeats : int

    Returns
    -------
    baseline_outcomes, our_outcomes : list of Outcome
    """
    outcomes = {baseline: [], ours: []}
    for number in range(repeats):
        for way in (baseline, ours) if number % 2 == 0 else (ours, baseline):
            outcomes[way].append(way())
    return outcomes[baseline], outcomes[ours]


def are_identical(*outcomes):
    """Tell whether trials gave the same arrays, bit for bit.

    Parameters
    ----------
    *outcomes : Outcome

    Returns
    -------
    bool
    """
    first = outcomes[0].results
    return all(
        each.results.keys() == first.keys()
        and all(
            first[name].dtype == array.dtype
            and first[name].shape == array.shape
            and first[name].tobytes() == array.tobytes()
            for name, array in each.results.items()
        )
        for each in outcomes[1:]
    )


def seconds_of(outcomes):
    """Return the seconds of each trial."""
    return [outcome.seconds for outcome in outcomes]


def make_row(name, baseline, ours, *, identical, target=None, **more):
    """Make a row of the table.

    Parameters
    ----------
    name : str
    baseline, ours : list of float
        Seconds of each trial; the median counts.
    identical : bool or None
        Whether results agree bit for bit; None where they need not.
    target : float or str, optional
        The ratio to reach; or words, where `more` says under ``met`` whether it is.
    **more
        Further columns for the file.

    Returns
    -------
    dict
        ``name``, ``baseline_cpu_s``, ``ours_cpu_s``, ``ratio``, ``identical``, ``target``, ``met``, ``trials`` and
        `more`, which may replace some.
    """
    ratio = median(baseline) / median(ours)
    row = {
        "name": name,
        "baseline_cpu_s": round(float(median(baseline)), 4),
        "ours_cpu_s": round(float(median(ours)), 4),
        "ratio": round(float(ratio), 2),
        "identical": identical,
        "target": target,
        "met": bool(ratio >= target) if isinstance(target, float) else None,
        "trials": {"baseline": np.round(baseline, 4).tolist(), "ours": np.round(ours, 4).tolist()},
    }
    return row | more
