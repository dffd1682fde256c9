"""Is the effect real? Grids of runs, and what may be concluded from them: intervals, paired differences, a verdict."""

from __future__ import annotations

import functools
import numbers
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tl_helpers.datasets.dataset import Dataset, sample_budget
from tl_helpers.grid.keys import group_rows, key_column, key_values, rows_where
from tl_helpers.grid.run import GridError, RunFailure, run_grid
from tl_helpers.grid.stored import load_study, save_study, study_provenance

__all__ = [
    "Check",
    "GridError",
    "LabelEfficiency",
    "RunFailure",
    "TransferVerdict",
    "confidence_interval",
    "holm",
    "label_efficiency",
    "load_study",
    "paired_difference",
    "run_grid",
    "save_study",
    "study_provenance",
    "transfer_verdict",
]

RESAMPLES = 9999
_RESAMPLING_SEED = 20101001  # any fixed one: the same table must give the same interval
_RESULTS = ("n", "difference", "low", "high", "p", "p_holm", "p_equivalent", "p_equivalent_holm")
_SAME_RATE = 0.01  # learning rates are told with few digits
_ROUNDING = 1e-6  # numbers in single precision have seven digits: what differs less is the same


# ---------------------------------------------------------------- label efficiency


class LabelEfficiency(NamedTuple):
    """What :func:`label_efficiency` returns.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run, as :func:`tl_helpers.grid.run.run_grid` returns it: what :func:`paired_difference` takes.
    curve : pandas.DataFrame
        Mean, interval and n per arm and budget, as :func:`confidence_interval` returns it: what plots take.
    """

    runs: object
    curve: object


def label_efficiency(
    function, data, arms, budgets, seeds, *, path, n_jobs=None, client=None, score="score", confidence=0.95, **fixed
):
    """Measure a score against the number of labels: ``function(arm=…, data=…, seed=…, **fixed)`` on nested samples.

    Per seed all arms get the same labelled examples, and a small budget's examples are among a larger one's
    (:func:`tl_helpers.datasets.dataset.sample_budget`).

    Parameters
    ----------
    function : callable
        Trains on ``data``, a :class:`~tl_helpers.datasets.dataset.Dataset` of budget × classes examples, and measures;
        see :func:`tl_helpers.grid.run.run_grid` for what it returns.
    data : Dataset or callable
        Where to draw from; or a function without arguments that loads it in the worker process, such as
        ``functools.partial(load_emoji, "noto", "train")``, which spares sending a large data set.
    arms : iterable
    budgets : iterable of int or None
        Labels per class; None takes all of `data`, whatever the seed.
    seeds : iterable of int
    path, n_jobs, client, **fixed
        See :func:`tl_helpers.grid.run.run_grid`.
    score : str
        Which of the returned values the curve shows.
    confidence : float
        Of the curve's intervals, between 0.5 and 1.

    Returns
    -------
    LabelEfficiency
        ``runs`` and ``curve``. Where `function` returns several rows, the curve averages them within the seed.

    Raises
    ------
    tl_helpers.grid.run.GridError
        If runs failed, also where a class has too few examples for a budget.
    ValueError
        If there is no curve to be drawn, see :func:`confidence_interval`. The runs are then the error's attribute
        ``finished``.
    """
    if not isinstance(data, Dataset) and not callable(data):
        raise TypeError(f"data must be a Dataset or a function that loads one, not {type(data).__name__}.")
    _check_settings("t", confidence)
    settings = {"path": path, "n_jobs": n_jobs, "client": client}
    runs = run_grid(_run_on_budget, arms, budgets, seeds, **settings, study=function, data=data, settings=fixed)
    try:
        return LabelEfficiency(runs, confidence_interval(runs, score=score, confidence=confidence))
    except ValueError as error:
        error.finished = runs  # one run that diverged must not take the others with it
        error.add_note("The runs are finished: they are the attribute `finished` of this error.")
        raise


@functools.lru_cache(maxsize=2)
def _load_once(data):
    return data()


def _run_on_budget(*, arm, budget, seed, study, data, settings):
    pool = data if isinstance(data, Dataset) else _load_once(data)
    data = pool if budget is None else sample_budget(pool, budget, seed=seed)
    return study(arm=arm, data=data, seed=seed, **settings)


# ---------------------------------------------------------------- intervals


def confidence_interval(frame, *, score="score", by=("arm", "budget"), method="t", confidence=0.95):
    """Compute mean and confidence interval of a score over seeds, per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run. Several rows of one ``seed`` in a group (folds, tasks, nested budgets) are averaged first,
        because they have more in common than runs of different seeds. In a frame without a column ``seed``, or with it
        in `by`, every row counts as one independent run.
    score : str
        Column of the values.
    by : str or sequence of str
        Columns that make the groups. None is a value like any other.
    method : {"t", "bootstrap"}
        Student's t (Student 1908), or bias-corrected and accelerated bootstrap (Efron 1987) with a fixed seed.
    confidence : float
        Between 0.5 and 1.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, ``n`` (of seeds), ``mean``, ``low``, ``high``, in order of appearance. With n = 1 there is no
        interval: ``low`` and ``high`` are NaN.

    Raises
    ------
    ValueError
        If a column is missing, the frame is empty, a score is not a finite number, or rows of one seed differ in a text
        that is not in `by`, such as the name of a metric; the message names the run.

    Notes
    -----
    If all scores are equal, the interval has no width. That is right for an arm in which nothing is left to chance, and
    a mistake in a study that does not use its seed.
    The interval tells how much the mean would vary over new seeds. It says little about the difference between two arms
    that share seeds: use :func:`paired_difference` for that.
    """
    import pandas

    by = [by] if isinstance(by, str) else list(by)
    _check_settings(method, confidence)
    _check_frame(frame, by, score)
    _check_finite(frame, by, score)
    _check_names(by, ["n", "mean", "low", "high"])
    groups, rows = _one_per_seed(frame, by, score), []
    for values in groups.values():
        low, high = _interval(values, method, confidence) if len(values) > 1 else (np.nan, np.nan)
        rows.append([len(values), values.mean(), low, high])
    table = pandas.DataFrame(rows, columns=["n", "mean", "low", "high"])
    for place, name in enumerate(by):
        table.insert(place, name, key_column([key[place] for key in groups]))
    return table


def paired_difference(
    frame, treatment, baseline, *, method="t", confidence=0.95, margin=None, score="score", by="budget", pair="seed"
):
    """Compare two arms seed by seed: how much better is the treatment, and could it be chance?

    The two arms of a pair share seed, sample and split, so what these add to both cancels out.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run, with column ``arm``.
    treatment, baseline
        Two values of ``arm``; the difference is treatment − baseline.
    method : {"t", "bootstrap"}
        ``"t"``: paired t-test and its interval (Student 1908). ``"bootstrap"``: bias-corrected and accelerated interval
        (Efron 1987, seeded) and the p-value of the sign-flip permutation test (Fisher 1935), exact up to n = 13.
    confidence : float
        Between 0.5 and 1.
    margin : float, optional
        In the unit of `score`: differences smaller than this do not matter. It has to be chosen before one looks.
    score : str
        Column to compare.
    by : str or None
        Column whose values are compared one by one, such as budgets, among which None (all labels) is one like any
        other; ``by=None`` compares all pairs at once.
    pair : str or sequence of str
        Columns that say which runs belong together. With ``"seed"`` and others, such as ``["seed", "fold"]``, the
        differences of a seed are averaged first: n is the number of seeds.

    Returns
    -------
    pandas.DataFrame
        One row per value of `by`: that value, ``n`` (pairs, or seeds), ``difference``, ``low``, ``high``, ``p``
        (two-sided) and ``p_holm``, corrected over the rows (Holm 1979): where it is below .05, the claim "at *some*
        budget there is a difference" errs in at most 5 % of such tables. The intervals are per row, not corrected.
        With a `margin` also ``p_equivalent`` and ``p_equivalent_holm``: of the claim that the mean difference lies
        inside ±`margin`.

    Raises
    ------
    ValueError
        If an arm, a budget or a seed is missing in one of the two arms, if a run stands there twice, if a score is not
        a finite number, or if there are fewer than two pairs; the message names which.

    Warns
    -----
    UserWarning
        If all differences of a row are equal, and not 0.

    Notes
    -----
    A test weighs a mean against its spread. If all differences are equal, there is no spread: the interval has no
    width, and ``p`` and ``p_holm`` are NaN (not defined), save that p is 1 where all are 0, because then nothing speaks
    for a difference. The row still counts when the others are corrected. Most often a study that does not use its seed
    is behind equal differences.
    That no difference shows is no proof that there is none. Equivalence is proved by two one-sided tests (Schuirmann
    1987): that the mean is above −`margin`, and that it is below `margin`; ``p_equivalent`` is the larger p-value of
    both. Where it is below .05, the 90 % interval lies within the margin.
    The bootstrap interval is too narrow for few pairs; the t interval is the better default. With fewer than six pairs
    the sign-flip test cannot reach p < .05 (its smallest p is 2^(1 − n)).
    """
    _check_settings(method, confidence, margin)
    pair = [pair] if isinstance(pair, str) else list(pair)
    keys = [*([] if by is None else [by]), *pair]
    _check_frame(frame, ["arm", *keys], score)
    _check_finite(frame, ["arm", *keys], score)
    _check_names([by], _RESULTS)
    pairs = _pairs(frame, treatment, baseline, score, by, pair)
    table = _difference_table(pairs, by or "all", method, confidence, margin)
    equal = [value for value, scores in pairs.items() if _same_difference(scores) and not _no_difference(scores)]
    if equal:
        warnings.warn(
            f"All differences{'' if by is None else f' at {_list(equal, by)}'} are equal: a test needs some that vary, "
            f"so p is not defined and stands as NaN. Does the study use its seed?",
            stacklevel=2,
        )
    return table if by is not None else table.drop(columns="all")


def holm(p_values):
    """Correct p-values for being one of several, by Holm's step-down procedure.

    Parameters
    ----------
    p_values : array-like of float
        Shape ``(m,)``, each 0…1.

    Returns
    -------
    numpy.ndarray
        Shape ``(m,)``: the i-th smallest p times (m − i + 1), at most 1 and never below a smaller p's.

    Raises
    ------
    ValueError
        If a p-value is not in 0…1.

    Notes
    -----
    Holm (1979), *A simple sequentially rejective multiple test procedure*. It holds whatever the dependence, so also
    for nested budgets.
    """
    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p-values must be a list of numbers in 0…1, not {p_values!r}.")
    order = np.argsort(p_values, kind="stable")
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(adjusted, 1)
    return result


def _check_settings(method, confidence, margin=None):
    if method not in ("t", "bootstrap"):
        raise ValueError(f"method must be 't' or 'bootstrap', not {method!r}.")
    if not (isinstance(confidence, numbers.Real) and 0.5 <= confidence < 1):
        raise ValueError(f"confidence must be between 0.5 and 1, such as 0.95, not {confidence!r}.")
    number = isinstance(margin, numbers.Real) and not isinstance(margin, bool)
    if margin is not None and not (number and 0 < margin < np.inf):
        raise ValueError(f"margin must be a number above 0, in the unit of the score, not {margin!r}.")


def _check_margin_in_points(frame, margin, score, unit):
    """Refuse a margin in percentage points for scores in 0…1: any two arms would be equivalent."""
    if margin is not None and margin >= 1 and unit == "points" and _are_fractions(_finite_scores(frame, score)):
        raise ValueError(
            f"margin is {margin}, but all scores lie in 0…1: no difference could be outside it. It has the unit of the "
            f"score: two percentage points are margin=0.02."
        )


def _check_names(by, results):
    """Refuse to group by a column that has the name of a result."""
    taken = next((name for name in by if name in results), None)
    if taken is not None:
        raise ValueError(f"The result has a column {taken!r} of its own: rename that column of the frame before.")


def _check_frame(frame, columns, score):
    if not hasattr(frame, "columns"):
        raise TypeError(f"frame must be a pandas.DataFrame, not {type(frame).__name__}.")
    if "seed" in frame.index.names and "seed" not in frame.columns:
        raise ValueError("The seeds are the index of the frame: make them a column with `frame.reset_index()`.")
    if not frame.columns.is_unique:
        raise ValueError(f"The frame has column {frame.columns[frame.columns.duplicated()][0]!r} twice.")
    missing = [name for name in dict.fromkeys([*columns, score]) if name not in frame.columns]
    if missing:
        raise ValueError(f"The frame has no column {missing[0]!r}; it has {', '.join(map(repr, frame.columns))}.")
    if not len(frame):
        raise ValueError("The frame has no rows.")
    if frame[score].dtype.kind not in "fiub":
        raise ValueError(f"Column {score!r} holds {frame[score].dtype}, not numbers.")
    for name in dict.fromkeys([*columns, *({"seed"} & set(frame.columns))]):
        _check_kinds(frame, name)


def _check_kinds(frame, name):
    """Refuse a column of keys that holds a number and the text of the same number: it would count twice."""
    if name in frame.columns and frame[name].dtype.kind not in "fiub":
        values = key_values(frame, name)
        texts = {value for value in values if isinstance(value, str)}
        twice = next((value for value in values if isinstance(value, numbers.Real) and str(value) in texts), None)
        if twice is not None:
            raise ValueError(
                f"Column {name!r} holds both {twice!r} and {str(twice)!r}, which may be one and the same: give all one "
                f"kind, such as with frame.astype({{{name!r}: int}})."
            )


def _numbers(frame, name):
    return frame[name].to_numpy(dtype=float, na_value=np.nan)


def _finite_scores(frame, score):
    scores = _numbers(frame, score)
    return scores[np.isfinite(scores)]


def _are_fractions(scores):
    return bool(((scores >= 0) & (scores <= 1)).all())


def _check_finite(frame, columns, score):
    found = _not_finite(frame, columns, score)
    if found:
        raise ValueError(
            f"{len(found)} of {len(frame)} scores are not finite numbers; the first is {found[0]}. A run that diverged "
            f"is a result: give it the score of guessing, or say why it is left out."
        )


def _not_finite(frame, columns, score):
    """Return in words every score that is not a finite number, with its place."""
    scores = _numbers(frame, score)
    bad = frame[~np.isfinite(scores)]
    keys = [name for name in dict.fromkeys(columns) if name != score]
    places = zip(*(key_values(bad, name) for name in keys), strict=True) if keys else [()] * len(bad)
    values = scores[~np.isfinite(scores)]
    return [f"{score} {value} at {_say(keys, place)}" for value, place in zip(values, places, strict=True)]


def _one_per_seed(frame, by, score):
    """Return values of `by` → scores, one per seed, or per row where seeds are not known or are the groups."""
    scores, groups = _numbers(frame, score), {}
    if "seed" not in frame.columns or "seed" in by:
        return {key: scores[rows] for key, rows in group_rows(frame, by).items()}
    for (*key, seed), rows in group_rows(frame, [*by, "seed"]).items():
        if len(rows) > 1:
            _check_repetitions(frame.iloc[rows], [*by, "seed"], (*key, seed), score)
        groups.setdefault(tuple(key), []).append((len(rows), scores[rows].mean()))
    for key, found in groups.items():
        if len({count for count, _ in found}) > 1:
            warnings.warn(
                f"Some seeds have more rows than others at {_say(by, key)}: where the rows of a seed are not mere "
                f"repetitions, their means are of different things.",
                stacklevel=3,
            )
    return {key: np.array([mean for _, mean in found]) for key, found in groups.items()}


def _check_repetitions(rows, keys, key, score):
    """Refuse to average rows of one seed that differ in a text: they measure different things."""
    for name in rows.columns:
        if name in keys or name == score or rows[name].dtype.kind in "fiubc":
            continue
        values = list(dict.fromkeys(key_values(rows, name)))
        if len(values) > 1:
            raise ValueError(
                f"There are {len(rows)} rows at {_say(keys, key)}, which differ in {name!r} ({values[0]!r}, "
                f"{values[1]!r}): their mean would mix different things. Keep the rows of one, name {name!r} in `by`, "
                f"or average them first."
            )


def _pairs(frame, treatment, baseline, score, by, pair):
    """Return value of `by` (None: all) → scores of both arms, shape ``(n, 2)``, one row per seed or else per pair."""
    if treatment == baseline:
        raise ValueError(f"treatment and baseline are both {treatment!r}: there is nothing to compare.")
    keys = [*([] if by is None else [by]), *pair]
    treated, base = (_runs_of(frame, arm, keys, score) for arm in (treatment, baseline))
    _check_pairs(treated, base, treatment, baseline, keys)
    _check_seeds_are_named(frame, treatment, by, keys)
    # Pairs of one seed share its sample and its start: they count as one.
    place = keys.index("seed") if "seed" in keys else None
    units = {}
    for key, value in treated.items():
        unit = key[place] if place is not None and "seed" in pair else key
        units.setdefault(None if by is None else key[0], {}).setdefault(unit, []).append((value, base[key]))
    for value, found in units.items():
        if len(found) < 2:
            where = "" if by is None else f" at {_say([by], value)}"
            what = "pair" if sum(map(len, found.values())) == 1 else "seed"
            raise ValueError(f"Only one {what}{where}: an interval needs at least two. Run more seeds.")
    with np.errstate(invalid="ignore"):  # of infinite scores, which the caller refuses or doubts
        return {value: np.array([np.mean(unit, axis=0) for unit in found.values()]) for value, found in units.items()}


def _check_seeds_are_named(frame, arm, by, keys):
    """Refuse to count pairs of one seed as independent because `pair` does not name the seed."""
    if "seed" in keys or "seed" not in frame.columns:
        return
    rows = frame[rows_where(frame, "arm", arm)]
    for key, found in group_rows(rows, [*([] if by is None else [by]), "seed"]).items():
        if len(found) > 1:
            where = f", {by} {key[0]!r}" if by is not None else ""
            raise ValueError(
                f"Seed {key[-1]!r} has {len(found)} runs of arm {arm!r}{where}, which are not independent: name the "
                f"seed in `pair`, such as pair={['seed', *keys[by is not None :]]}, and it counts once."
            )


def _runs_of(frame, arm, keys, score):
    """Return values of `keys` → the score of an arm's only run there."""
    rows = frame[rows_where(frame, "arm", arm)]
    if not len(rows):
        present = ", ".join(map(repr, dict.fromkeys(key_values(frame, "arm"))))
        raise ValueError(f"There is no arm {arm!r}; the frame has {present}.")
    scores, found = _numbers(rows, score), group_rows(rows, keys)
    twice = next((key for key, positions in found.items() if len(positions) > 1), None)
    if twice is not None:
        raise ValueError(
            f"Arm {arm!r} has more than one run at {_say(keys, twice)}. A pair needs exactly one: average repetitions "
            f"first, or name the columns that tell them apart in `pair`."
        )
    return {key: scores[position] for key, (position,) in found.items()}


def _check_pairs(treated, base, treatment, baseline, keys):
    for has, lacks, arm in ((treated, base, baseline), (base, treated, treatment)):
        alone = [key for key in has if key not in lacks]
        if alone:
            raise ValueError(
                f"Arm {arm!r} has no run at {_say(keys, alone[0])}, where the other has one ({len(alone)} such cases). "
                f"Run what is missing, or compare only what both have."
            )


def _difference_table(pairs, name, method, confidence, margin=None):
    """Return what :func:`paired_difference` does for the output of :func:`_pairs`; with n < 2 without interval."""
    import pandas

    rows = []
    for scores in pairs.values():
        differences = scores[:, 0] - scores[:, 1]
        mean = differences.mean() if len(differences) else np.nan
        low, high, p, p_equivalent = np.nan, np.nan, np.nan, np.nan
        if len(differences) > 1:
            low, high = _interval(differences, method, confidence)
            if _no_difference(scores):
                p = 1.0
            elif not _same_difference(scores):
                p = _p_value(differences, method)
                p_equivalent = np.nan if margin is None else _p_equivalent(differences, margin, method)
        rows.append([len(differences), mean, low, high, p, p_equivalent])
    table = pandas.DataFrame(rows, columns=["n", "difference", "low", "high", "p", "p_equivalent"])
    table.insert(0, name, key_column(list(pairs)))
    table.insert(table.columns.get_loc("p") + 1, "p_holm", _holm_with_gaps(table["p"]))
    if margin is None:
        return table.drop(columns="p_equivalent")
    return table.assign(p_equivalent_holm=_holm_with_gaps(table["p_equivalent"]))


def _holm_with_gaps(p_values):
    """Correct p-values of which some are not defined: a test that could not be made is one of the family, too."""
    return np.where(p_values.isna(), np.nan, holm(p_values.fillna(1)))


def _same(values, scale):
    """Say whether several numbers are the same but for rounding, measured by those of which they were made."""
    return len(values) > 1 and bool(np.ptp(values) <= _ROUNDING * np.abs(scale).max())


def _same_difference(scores):
    return _same(scores[:, 0] - scores[:, 1], scores)


def _no_difference(scores):
    return bool(np.abs(scores[:, 0] - scores[:, 1]).max(initial=0) <= _ROUNDING * np.abs(scores).max(initial=0))


def _say(keys, values):
    values = values if isinstance(values, tuple) else (values,)
    return ", ".join(f"{key} {value!r}" for key, value in zip(keys, values, strict=True))


def _interval(values, method, confidence):
    """Return the confidence interval of the mean of `values`, shape ``(n,)`` with n ≥ 2."""
    from scipy import stats

    if np.ptp(values) == 0:
        return values[0], values[0]
    if method == "t":
        return stats.t.interval(confidence, len(values) - 1, values.mean(), stats.sem(values))
    options = {"confidence_level": confidence, "n_resamples": RESAMPLES, "method": "BCa"}
    interval = stats.bootstrap((values,), np.mean, **options, rng=np.random.default_rng(_RESAMPLING_SEED))
    return interval.confidence_interval


def _p_equivalent(differences, margin, method):
    """Return the larger p-value of two one-sided tests (Schuirmann 1987): that the mean lies inside ±margin."""
    return max(
        _p_value(differences + margin, method, alternative="greater"),
        _p_value(differences - margin, method, alternative="less"),
    )


def _p_value(differences, method, alternative="two-sided"):
    """Return the p-value of mean 0, `differences` having shape ``(n,)`` with n ≥ 2, not all equal."""
    from scipy import stats

    if method == "t":
        return float(stats.ttest_1samp(differences, 0, alternative=alternative).pvalue)
    options = {"permutation_type": "samples", "n_resamples": RESAMPLES, "vectorized": True, "alternative": alternative}
    random = np.random.default_rng(_RESAMPLING_SEED)
    return float(stats.permutation_test((differences,), np.mean, **options, rng=random).pvalue)


# ---------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Check:
    """One question asked of a result before it is believed.

    Parameters
    ----------
    question : str
    passed : bool or None
        None where it could not be asked.
    answer : str
        What was found, and what to do if that is a reason for doubt.
    """

    question: str
    passed: bool | None
    answer: str

    def __str__(self):
        return f"[{ {True: 'ok', False: 'DOUBT', None: 'not checked'}[self.passed] }] {self.question} {self.answer}"


@dataclass(frozen=True, eq=False)
class TransferVerdict:
    """What may be said about an arm against its baseline.

    Parameters
    ----------
    verdict : {"positive", "negative", "equivalent", "inconclusive"}
    sentence : str
        What a careful person would write.
    table : pandas.DataFrame
        As :func:`paired_difference` returns it, with a column ``verdict`` per row.
    checks : tuple of Check
    """

    verdict: str
    sentence: str
    table: object
    checks: tuple[Check, ...]

    def __str__(self):
        return "\n".join([self.sentence, *map(str, self.checks)])


def transfer_verdict(
    frame,
    treatment,
    baseline,
    *,
    controls=(),
    learning_rates=None,
    chance=None,
    margin=None,
    minimum_pairs=5,
    method="t",
    confidence=0.95,
    score="score",
    by="budget",
    pair="seed",
    unit="points",
):
    """Say whether transfer was positive, negative, without effect, or cannot be told, having asked what fools people.

    At a budget, a difference counts if its Holm-corrected p is below 1 − `confidence` and no check gives a reason for
    doubt *in its direction*: a weak baseline makes gains, a badly tuned treatment makes losses, and either can hide a
    difference where none shows. Some doubts hold whatever the direction: too few pairs, runs no better than guessing,
    scores that are no finite numbers, and scores that do not vary with the seed (the last two are told only where they
    arise).

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run. Runs whose score is NaN or infinite are left out of the numbers, and named. The columns
        ``learning_rate`` and ``updates`` are used where they are there; missing values in them mean that an arm has
        none.
    treatment, baseline
        Two values of ``arm``.
    controls : str or sequence
        Arms that are the baseline with an advantage, such as several times the updates or another head. At each budget
        a gain must hold against all of those that were run there; where no gain shows, the treatment must not lose to
        them.
    learning_rates : sequence of float, optional
        The rates that were tried. If half of an arm's runs at a budget chose the smallest or largest, a better one may
        lie outside.
    chance : float or str, optional
        The score of guessing: of the best answer that is always the same, such as the share of the commonest class
        among the test examples; or the column that holds it for each run. Runs that score no more have learned nothing,
        or answer always the same.
    margin : float, optional
        In the unit of `score`, chosen beforehand: differences inside ±`margin` do not matter. Only with it can arms be
        called equivalent (two one-sided tests, see :func:`paired_difference`), and where they are, a difference that
        shows as well counts for nothing.
    minimum_pairs : int
        With fewer pairs at a budget nothing is concluded there.
    method, confidence, score, by, pair
        See :func:`paired_difference`; `by` must name a column. A greater score is better: of a loss, give the negative.
    unit : str
        Of the score, for the sentence. With ``"points"``, scores that all lie in 0…1 are told in percentage points.

    Returns
    -------
    TransferVerdict
        ``"positive"`` if there is a gain at some budget and a loss at none; ``"negative"`` the other way round;
        ``"equivalent"`` if the arms are so at all budgets; otherwise ``"inconclusive"``: it cannot be told, or the sign
        changes with the budget (sentence and table say where).

    Raises
    ------
    ValueError
        See :func:`paired_difference`; also if `chance` is neither a number nor a column.
    """
    _check_settings(method, confidence, margin)
    alpha = 1 - confidence
    pair = [pair] if isinstance(pair, str) else list(pair)
    controls = [controls] if isinstance(controls, str) else list(controls)
    _check_frame(frame, ["arm", by, *pair], score)
    _check_names([by], [*_RESULTS, "verdict"])
    _check_margin_in_points(frame, margin, score, unit)
    pairs = _pairs(frame, treatment, baseline, score, by, pair)
    against = {control: _control_pairs(frame, treatment, control, score, by, pair, list(pairs)) for control in controls}
    broken = _broken_scores(frame, pairs, against, treatment, baseline, [by, *pair], score)
    pairs, against = _finite(pairs), {control: _finite(found) for control, found in against.items()}
    same = _same_for_all_seeds(pairs, against, treatment, baseline, by)
    table = _difference_table(pairs, by, method, confidence, margin)
    equivalent = np.zeros(len(table), bool) if margin is None else (table["p_equivalent_holm"] < alpha).to_numpy()
    shown = np.where((table["p_holm"] < alpha) & ~equivalent, np.sign(table["difference"]), 0).astype(int)
    compared = frame[rows_where(frame, "arm", treatment, baseline, *against)]
    facts = _Facts(compared, treatment, baseline, tuple(against), list(pairs), shown, by, score)
    findings = [
        *broken,
        *same,
        _few_pairs(facts, table["n"], minimum_pairs),
        _rate_at_edge(facts, learning_rates),
        _unequal_updates(facts),
        _no_better_than_guessing(facts, chance, pair, confidence),
        *(_against_control(facts, found, control, unit, method, confidence) for control, found in against.items()),
    ]
    doubted = set().union(*(budgets for _, budgets in findings))
    open_to_doubt = np.array([value in doubted for value in facts.values])
    kept = np.where(open_to_doubt, 0, shown)
    words = np.select([kept > 0, kept < 0, equivalent & ~open_to_doubt], ["positive", "negative", "equivalent"], "")
    table["verdict"] = [word or "inconclusive" for word in words.tolist()]
    checks = tuple(check for check, _ in findings)
    # Two one-sided tests decide by narrower intervals.
    narrow = _difference_table(pairs, by, method, 2 * confidence - 1) if equivalent.any() else None
    sentence = _sentence(facts, table, narrow, checks, open_to_doubt, margin, unit, confidence)
    return TransferVerdict(_overall(table["verdict"]), sentence, table, checks)


def _overall(verdicts):
    """Sum up the verdicts of all budgets."""
    found = set(verdicts)
    if found == {"equivalent"}:
        return "equivalent"
    signs = found & {"positive", "negative"}
    return signs.pop() if len(signs) == 1 else "inconclusive"


class _Facts(NamedTuple):
    """A comparison: its runs, and per value of `by` the sign of what the test shows (0: nothing)."""

    frame: object
    treatment: object
    baseline: object
    controls: tuple
    values: list
    shown: np.ndarray
    by: str
    score: str

    def where(self, sign):
        return [value for value, one in zip(self.values, self.shown, strict=True) if one == sign]

    def suspects(self):
        """Return the (arm, other arm, value) whose weakness would explain what is shown, or why nothing is."""
        gains, losses, neither = (self.where(sign) for sign in (1, -1, 0))
        found = [(self.baseline, self.treatment, value) for value in (*gains, *neither)]
        for control in self.controls:
            ran = [value for value in gains if len(self.rows_of(control, value))]
            found += [(control, self.treatment, value) for value in ran]
        return found + [(self.treatment, self.baseline, value) for value in (*losses, *neither)]

    def rows_of(self, arm, value):
        return self.frame[rows_where(self.frame, "arm", arm) & rows_where(self.frame, self.by, value)]

    def column(self, name, arm, value):
        """Return the numbers in a column for one arm at one value of `by`, gaps as NaN; empty if it is not there."""
        if name not in self.frame.columns:
            return np.empty(0)
        try:
            return _numbers(self.rows_of(arm, value), name)
        except (TypeError, ValueError):
            raise ValueError(
                f"Column {name!r} holds {self.frame[name].dtype} with values that are no numbers."
            ) from None

    def ask(self, question, is_weak, advice, missing=None):
        """Ask `is_weak(arm, other, value)` (True, False or None for unknown) of every suspect."""
        answers = {suspect: None if missing else is_weak(*suspect) for suspect in self.suspects()}
        weak = [(arm, value) for (arm, _, value), answer in answers.items() if answer]
        if weak:
            arms = dict.fromkeys(arm for arm, _ in weak)
            found = {arm: [value for value in self.values if (arm, value) in weak] for arm in arms}
            where = "; ".join(f"{arm} at {_list(values, self.by)}" for arm, values in found.items())
            return Check(question, False, f"No: {where}. {advice}"), {value for _, value in weak}
        if None in answers.values():
            return Check(question, None, missing or "A column is missing, or has gaps."), set()
        return Check(question, True, "Yes."), set()


def _control_pairs(frame, treatment, control, score, by, pair, values):
    """Return what :func:`_pairs` does for a control, at those of the values where it was run."""
    rows = frame[rows_where(frame, "arm", control) & rows_where(frame, by, *values)]
    ran = list(group_rows(rows, [by]))
    if not ran:
        raise ValueError(f"Control {control!r} has no run at {_list(values, by)}, where the arms are compared.")
    rows = frame[rows_where(frame, by, *(value for (value,) in ran))]
    return _pairs(rows, treatment, control, score, by, pair)


def _finite(pairs):
    """Leave out the pairs that have a score which is not a finite number."""
    return {value: scores[np.isfinite(scores).all(axis=1)] for value, scores in pairs.items()}


def _broken_scores(frame, pairs, against, treatment, baseline, keys, score):
    """Doubt every value of `by` at which a run has a score that is not a finite number. Say nothing if none has."""
    compared = [item for found in (pairs, *against.values()) for item in found.items()]
    doubted = {value for value, scores in compared if not np.isfinite(scores).all()}
    if not doubted:
        return []
    used = frame[rows_where(frame, "arm", treatment, baseline, *against) & rows_where(frame, keys[0], *pairs)]
    first, *others = _not_finite(used, ["arm", *keys], score)
    more = f" and {len(others)} more" if others else ""
    advice = "They are left out. A run that diverged is a result: give it the score of guessing."
    answer = f"No: {first}{more}. {advice if others else advice.replace('They are', 'It is')}"
    return [(Check("Are all scores finite numbers?", False, answer), doubted)]


def _same_for_all_seeds(pairs, against, treatment, baseline, by):
    """Doubt every value of `by` at which equal runs pass for independent ones. Say nothing if there is none."""
    flat = {}
    # Two arms may be the same at one budget, such as one with no layer copied; at every budget, one is not looked at.
    one_arm = all(map(_no_difference, pairs.values()))
    for value, scores in pairs.items():
        arms = [arm for arm, column in zip((treatment, baseline), scores.T, strict=True) if _mostly_equal(column)]
        if not arms and _repeated(scores):
            arms = [f"the pairs of {treatment} and {baseline}"]
        elif not arms and _same_difference(scores) and (one_arm or not _no_difference(scores)):
            arms = [f"the difference of {treatment} and {baseline}"]
        for arm in arms:
            flat.setdefault(str(arm), []).append(value)
    for control, found in against.items():
        alone = [value for value, scores in found.items() if _mostly_equal(scores[:, 1]) or _repeated(scores)]
        if alone:
            flat[str(control)] = alone
    if not flat:
        return []
    where = "; ".join(f"{arm} at {_list(values, by)}" for arm, values in flat.items())
    advice = "Equal runs count as one: does the study use its arm and seed, or are scores at their floor or ceiling?"
    check = Check("Do the scores vary with the seed?", False, f"No: {where}. {advice}")
    return [(check, set().union(*flat.values()))]


def _mostly_equal(scores):
    """Say whether more than half of several scores are the same."""
    return len(scores) > 1 and np.bincount(_numbered(scores)).max() > len(scores) / 2


def _repeated(scores):
    """Say whether at most half of several pairs of scores differ, as when a study uses only some digits of its seed."""
    return len(scores) > 1 and len(set(zip(*map(_numbered, scores.T), strict=True))) <= len(scores) / 2


def _numbered(scores):
    """Number the different values among scores from 0: those that differ by rounding only have one number."""
    order = np.argsort(scores)
    steps = np.diff(scores[order]) > _ROUNDING * np.abs(scores).max()
    numbers = np.empty(len(scores), int)
    numbers[order] = np.concatenate([[0], np.cumsum(steps)])
    return numbers


def _few_pairs(facts, counts, minimum_pairs):
    few = {value for value, n in zip(facts.values, counts, strict=True) if n < minimum_pairs}
    answer = f"No: n = {_span(counts)}. Run at least {minimum_pairs}." if few else f"Yes: n = {_span(counts)}."
    return Check("Are there enough pairs?", not few, answer), few


def _rate_at_edge(facts, learning_rates):
    def is_weak(arm, other, value):
        rates = facts.column("learning_rate", arm, value)
        if not len(rates):
            return None
        outside = (rates <= (1 + _SAME_RATE) * tried.min()) | (rates >= (1 - _SAME_RATE) * tried.max())
        return True if outside.mean() >= 0.5 else None if np.isnan(rates).any() else False

    missing = None if learning_rates is not None else "Give `learning_rates`."
    tried = None if missing else _check_rates(learning_rates)
    advice = "A better rate may lie outside: try more."
    return facts.ask("Is the weaker arm's learning rate inside the range tried?", is_weak, advice, missing)


def _check_rates(learning_rates):
    try:
        tried = np.asarray(learning_rates, dtype=float)
    except (TypeError, ValueError):
        tried = np.empty(0)
    if tried.ndim != 1 or not len(tried) or not ((tried > 0) & np.isfinite(tried)).all():
        raise ValueError(f"learning_rates must be a list of the rates tried, each above 0, not {learning_rates!r}.")
    return tried


def _unequal_updates(facts):
    def is_weak(arm, other, value):
        own, others = facts.column("updates", arm, value), facts.column("updates", other, value)
        if not len(own) or not len(others) or np.isnan([*own, *others]).any():
            return None
        return bool(own.mean() < others.mean())

    return facts.ask("Did the weaker arm get as many updates?", is_weak, "Train both equally long.")


def _no_better_than_guessing(facts, chance, pair, confidence):
    """Doubt every value of `by` at which a run, or an arm as a whole, has learned nothing."""
    question = "Is every run better than guessing?"
    if chance is None:
        return Check(question, None, "Give `chance`."), set()
    if isinstance(chance, str):
        _check_frame(facts.frame, [], chance)
        _check_finite(facts.frame, ["arm", facts.by], chance)
    elif isinstance(chance, bool) or not isinstance(chance, numbers.Real) or not np.isfinite(chance):
        raise ValueError(f"chance must be a score or the name of a column, not {chance!r}.")
    found = []
    for arm in (facts.treatment, facts.baseline, *facts.controls):
        guessed = [
            (value, words) for value in facts.values if (words := _guessed(facts, arm, value, chance, pair, confidence))
        ]
        if guessed:
            found.append((arm, guessed))
    level = "" if isinstance(chance, str) else f", where guessing gives {chance:.3g}"
    if not found:
        lowest = np.nanmin(_numbers(facts.frame, facts.score))
        return Check(question, True, f"Yes: the lowest scores {lowest:.3g}{level}."), set()
    where = "; ".join(
        f"{arm} at {_list([f'{value} ({words})' for value, words in guessed], facts.by)}" for arm, guessed in found
    )
    advice = "Such runs learned nothing or answer always the same: try other rates, more updates, or another head."
    return Check(question, False, f"No: {where}{level}. {advice}"), {value for _, each in found for value, _ in each}


def _guessed(facts, arm, value, chance, pair, confidence):
    """Say in words how an arm's runs at one value of `by` are no better than guessing; empty where they are."""
    rows = facts.rows_of(arm, value)
    guess = _numbers(rows, chance) if isinstance(chance, str) else np.full(len(rows), float(chance))
    lead = _numbers(rows, facts.score) - guess
    at_floor = int((lead <= _ROUNDING * np.abs(guess)).sum())
    if at_floor:
        return f"{at_floor} of {len(rows)} runs"
    known = np.isfinite(lead)
    units = group_rows(rows[known], ["seed"] if "seed" in pair else pair).values()
    leads = np.array([lead[known][unit].mean() for unit in units])
    unclear = len(leads) > 1 and _interval(leads, "t", confidence)[0] <= 0
    return "the mean is not clearly above" if unclear else ""


def _against_control(facts, pairs, control, unit, method, confidence):
    """Doubt gains that do not hold against a control, and budgets without a gain at which the treatment loses to it."""
    question = f"Does the gain hold against {control}?"
    table = _difference_table(pairs, facts.by, method, confidence)
    signs = np.where(table["p_holm"] < 1 - confidence, np.sign(table["difference"]), 0)
    sign = dict(zip(pairs, signs, strict=True))
    gains, others = ([value for value in facts.where(one) if value in pairs] for one in (1, 0))
    gone, lost = [value for value in gains if sign[value] < 1], [value for value in others if sign[value] < 0]
    doubts = [f"not at {_list(gone, facts.by)}"] if gone else []
    doubts += [f"{facts.treatment} loses to it at {_list(lost, facts.by)}"] if lost else []
    if doubts:
        return Check(question, False, f"No: {'; '.join(doubts)}."), {*gone, *lost}
    if not gains:
        return Check(question, None, "There is no gain where it was run."), set()
    least = table.iloc[[list(pairs).index(value) for value in gains]].sort_values("difference").iloc[0]
    _, number = _scale(facts, unit)
    return Check(question, True, f"Yes: {number(least['difference'])} {unit} or more."), set()


def _scale(facts, unit):
    """Return by what to multiply scores, and the function that writes differences of them."""
    scores = _finite_scores(facts.frame, facts.score)
    factor = 100 if unit == "points" and _are_fractions(scores) else 1
    hundreds = unit == "points" and factor * np.abs(scores).max(initial=0) > 10

    def number(value):
        text = format(factor * value, "+.1f" if hundreds else "+.3g")
        return text if float(text) or not value else format(factor * value, "+.1g")

    return factor, number


def _sentence(facts, table, narrow, checks, open_to_doubt, margin, unit, confidence):
    """Tell the verdict in words: what shows, what is equivalent, what cannot be told, what is not to be relied on."""
    factor, number = _scale(facts, unit)

    def amount(row):
        if row["n"] < 2:
            return f"{number(row['difference'])} {unit} (one pair)"
        return f"{number(row['difference'])} {unit} [{number(row['low'])}, {number(row['high'])}]"

    def claim(rows, verb):
        rows = rows.sort_values("difference", key=abs)
        least, most = rows.iloc[0], rows.iloc[-1]
        if len(rows) == 1:
            return f"{verb} {facts.baseline} at {facts.by} {most[facts.by]}, by {amount(most)}"
        return (
            f"{verb} {facts.baseline} at {len(rows)} of {len(table)} {facts.by}s, by {amount(least)} "
            f"({facts.by} {least[facts.by]}) to {amount(most)} ({facts.by} {most[facts.by]})"
        )

    def within(rows, level=""):
        if len(rows) == 1:
            return f"{amount(rows.iloc[0])}{level and f' ({level} interval)'}"
        low, high = number(rows["low"].min()), number(rows["high"].max())
        return f"the {level}{' ' if level else ''}intervals lie within {low} to {high} {unit}"

    rows = {name: table[table["verdict"] == name] for name in ("positive", "negative", "equivalent")}
    claims = [
        claim(rows[name], verb) for name, verb in (("positive", "beats"), ("negative", "loses to")) if len(rows[name])
    ]
    unclear = table[(table["verdict"] == "inconclusive") & ~open_to_doubt]
    band = "" if margin is None else f"±{factor * margin:g} {unit}"
    text = []
    if claims:
        depends = f"It depends on the {facts.by}: " if len(claims) == 2 else ""
        text.append(f"{depends}{facts.treatment} {', but '.join(claims)}.")
    if len(rows["equivalent"]):
        level = f"{100 * (2 * confidence - 1):g} %"
        text.append(
            f"At {_list(rows['equivalent'][facts.by], facts.by)} {facts.treatment} and {facts.baseline} are equivalent "
            f"within the {band} that were given (two one-sided tests): "
            f"{within(narrow.loc[rows['equivalent'].index], level)}."
        )
    if len(unclear):
        what = "" if claims and not band else f" whether {facts.treatment} and {facts.baseline} differ"
        neither = f", nor whether they are equivalent within {band}" if band else ""
        text.append(f"At {_list(unclear[facts.by], facts.by)} one cannot tell{what}{neither}: {within(unclear)}.")
    measured, lost = table[open_to_doubt & (table["n"] > 0)], table[open_to_doubt & (table["n"] == 0)]
    if len(measured):
        amounts = "; ".join(f"{facts.by} {row[facts.by]}: {amount(row)}" for _, row in measured.iterrows())
        text.append(f"What was measured at {amounts} is open to doubt.")
    if text:
        all_narrow = len(rows["equivalent"]) and not claims and not len(unclear)
        level = "" if all_narrow else f"{100 * confidence:g} % intervals, "
        corrected = f", tests corrected for {len(table)} {facts.by}s" if len(table) > 1 else ""
        text[0] = f"{text[0][:-1]} ({level}n = {_span(table['n'])} pairs{corrected})."
    if len(lost):
        text.append(f"At {_list(lost[facts.by], facts.by)} no pair is left.")
    if open_to_doubt.any():
        text.append(" ".join(f"{check.question} {check.answer}" for check in checks if check.passed is False))
    return " ".join(text)


def _span(counts):
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _list(values, name):
    values = list(map(str, values))
    return f"{name} {values[0]}" if len(values) == 1 else f"{name}s {', '.join(values[:-1])} and {values[-1]}"
