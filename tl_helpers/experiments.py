"""Is the effect real? Grids of runs, and what may be concluded from them: intervals, paired differences, a verdict."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tl_helpers.datasets import Dataset, sample_budget
from tl_helpers.grid import GridError, RunFailure, run_grid
from tl_helpers.provenance import load_study, save_study, study_provenance

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


# ---------------------------------------------------------------- label efficiency


class LabelEfficiency(NamedTuple):
    """What :func:`label_efficiency` returns.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run, as :func:`tl_helpers.grid.run_grid` returns it: what :func:`paired_difference` takes.
    curve : pandas.DataFrame
        Mean, interval and n per arm and budget, as :func:`confidence_interval` returns it: what plots take.
    """

    runs: object
    curve: object


def label_efficiency(
    function, data, arms, budgets, seeds, *, path, n_jobs=1, client=None, score="score", confidence=0.95, **fixed
):
    """Measure a score against the number of labels: ``function(arm=…, data=…, seed=…, **fixed)`` on nested samples.

    Per seed all arms get the same labelled examples, and a small budget's examples are among a larger one's
    (:func:`tl_helpers.datasets.sample_budget`).

    Parameters
    ----------
    function : callable
        Trains on ``data``, a :class:`~tl_helpers.datasets.Dataset` of budget × classes examples, and measures; see
        :func:`tl_helpers.grid.run_grid` for what it returns.
    data : Dataset or callable
        Where to draw from; or a function without arguments that loads it in the worker process, such as
        ``functools.partial(load_emoji, "noto", "train")``, which spares sending a large data set.
    arms : iterable
    budgets : iterable of int
        Labels per class.
    seeds : iterable of int
    path, n_jobs, client, **fixed
        See :func:`tl_helpers.grid.run_grid`.
    score : str
        Which of the returned values the curve shows.
    confidence : float
        Of the curve's intervals, between 0 and 1.

    Returns
    -------
    LabelEfficiency
        ``runs`` and ``curve``.

    Raises
    ------
    tl_helpers.grid.GridError
        If runs failed, also where a class has too few examples for a budget.
    """
    if not isinstance(data, Dataset) and not callable(data):
        raise TypeError(f"data must be a Dataset or a function that loads one, not {type(data).__name__}.")
    settings = {"path": path, "n_jobs": n_jobs, "client": client}
    runs = run_grid(_run_on_budget, arms, budgets, seeds, **settings, study=function, data=data, settings=fixed)
    return LabelEfficiency(runs, confidence_interval(runs, score=score, confidence=confidence))


@functools.lru_cache(maxsize=2)
def _load_once(data):
    return data()


def _run_on_budget(*, arm, budget, seed, study, data, settings):
    pool = data if isinstance(data, Dataset) else _load_once(data)
    return study(arm=arm, data=sample_budget(pool, budget, seed=seed), seed=seed, **settings)


# ---------------------------------------------------------------- intervals


def confidence_interval(frame, *, score="score", by=("arm", "budget"), method="t", confidence=0.95):
    """Compute mean and confidence interval of a score over seeds, per group.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run.
    score : str
        Column of the values.
    by : str or sequence of str
        Columns that make the groups; every row of a group counts as one independent run.
    method : {"t", "bootstrap"}
        Student's t (Student 1908), or bias-corrected and accelerated bootstrap (Efron 1987) with a fixed seed.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, ``n``, ``mean``, ``low``, ``high``, in order of appearance. With n = 1 there is no interval:
        ``low`` and ``high`` are NaN.

    Raises
    ------
    ValueError
        If a column is missing, the frame is empty, or a score is not a finite number; the message names the run.

    Notes
    -----
    The interval tells how much the mean would vary over new seeds. It says little about the difference between two arms
    that share seeds: use :func:`paired_difference` for that.
    """
    import pandas

    by = [by] if isinstance(by, str) else list(by)
    _check_settings(method, confidence)
    _check_frame(frame, [*by, score], score)
    rows = []
    for names, values in frame.groupby(by, sort=False)[score]:
        values = values.to_numpy(dtype=float)
        low, high = _interval(values, method, confidence) if len(values) > 1 else (np.nan, np.nan)
        rows.append([*names, len(values), values.mean(), low, high])
    return pandas.DataFrame(rows, columns=[*by, "n", "mean", "low", "high"])


def paired_difference(
    frame, treatment, baseline, *, method="t", confidence=0.95, score="score", by="budget", pair="seed"
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
        Between 0 and 1.
    score : str
        Column to compare.
    by : str or None
        Column whose values are compared one by one, such as budgets; None compares all pairs at once.
    pair : str or sequence of str
        Columns that say which runs belong together.

    Returns
    -------
    pandas.DataFrame
        One row per value of `by`: that value, ``n`` (pairs), ``difference``, ``low``, ``high``, ``p`` (two-sided) and
        ``p_holm``, corrected over the rows (Holm 1979): where it is below .05, the claim "at *some* budget there is a
        difference" errs in at most 5 % of such tables. The intervals are per row, not corrected.

    Raises
    ------
    ValueError
        If an arm, a budget or a seed is missing in one of the two arms, if a run stands there twice, if a score is not
        a finite number, or if there are fewer than two pairs; the message names which.

    Notes
    -----
    If all differences are equal, the interval has no width, and p is 0, or 1 where the difference is 0.
    The bootstrap interval is too narrow for few pairs; the t interval is the better default. With fewer than six pairs
    the sign-flip test cannot reach p < .05 (its smallest p is 2^(1 − n)).
    """
    import pandas

    _check_settings(method, confidence)
    pair = [pair] if isinstance(pair, str) else list(pair)
    keys = [*([] if by is None else [by]), *pair]
    _check_frame(frame, ["arm", *keys], score)
    if treatment == baseline:
        raise ValueError(f"treatment and baseline are both {treatment!r}: there is nothing to compare.")
    rows = []
    treated, base = (_runs_of(frame, arm, keys, score) for arm in (treatment, baseline))
    _check_pairs(treated, base, treatment, baseline, keys)
    differences = treated - base.reindex(treated.index)
    groups = [(None, differences)] if by is None else differences.groupby(level=0, sort=False)
    for value, group in groups:
        if len(group) < 2:
            where = "" if by is None else f" at {_say([by], value)}"
            raise ValueError(f"Only one pair{where}: an interval needs at least two. Run more seeds.")
        paired = group.to_numpy(dtype=float)
        low, high = _interval(paired, method, confidence)
        rows.append([value, len(paired), paired.mean(), low, high, _p_value(paired, method)])
    table = pandas.DataFrame(rows, columns=[by or "all", "n", "difference", "low", "high", "p"])
    table["p_holm"] = holm(table["p"])
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


def _check_settings(method, confidence):
    if method not in ("t", "bootstrap"):
        raise ValueError(f"method must be 't' or 'bootstrap', not {method!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, not {confidence!r}.")


def _check_frame(frame, columns, score):
    missing = [name for name in dict.fromkeys([*columns, score]) if name not in frame.columns]
    if missing:
        raise ValueError(f"The frame has no column {missing[0]!r}; it has {', '.join(map(repr, frame.columns))}.")
    if not len(frame):
        raise ValueError("The frame has no rows.")
    values = frame[score]
    if values.dtype.kind not in "fiub":
        raise ValueError(f"Column {score!r} holds {values.dtype}, not numbers.")
    finite = np.isfinite(values.to_numpy(dtype=float))
    if not finite.all():
        row = frame[~finite].iloc[0]
        keys = [name for name in dict.fromkeys(columns) if name != score]
        which = _say(keys, tuple(row[name] for name in keys))
        raise ValueError(
            f"{(~finite).sum()} of {len(frame)} scores are not finite numbers; the first is {score} {row[score]} at "
            f"{which}. A run that diverged is a result: give it the score of guessing, or say why it is left out."
        )


def _runs_of(frame, arm, keys, score):
    rows = frame[frame["arm"] == arm]
    if not len(rows):
        present = ", ".join(repr(name) for name in frame["arm"].unique())
        raise ValueError(f"There is no arm {arm!r}; the frame has {present}.")
    series = rows.set_index(keys)[score]
    if not series.index.is_unique:
        twice = series.index[series.index.duplicated()][0]
        raise ValueError(
            f"Arm {arm!r} has more than one run at {_say(keys, twice)}. A pair needs exactly one: average repetitions "
            f"first, or name the columns that tell them apart in `pair`."
        )
    return series


def _check_pairs(treated, base, treatment, baseline, keys):
    for has, lacks, arm in ((treated, base, baseline), (base, treated, treatment)):
        alone = has.index.difference(lacks.index, sort=False)
        if len(alone):
            raise ValueError(
                f"Arm {arm!r} has no run at {_say(keys, alone[0])}, where the other has one ({len(alone)} such cases). "
                f"Run what is missing, or compare only what both have."
            )


def _say(keys, values):
    values = values if isinstance(values, tuple) else (values,)
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
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


def _p_value(differences, method):
    """Return the two-sided p-value of mean 0, `differences` having shape ``(n,)`` with n ≥ 2."""
    from scipy import stats

    if np.ptp(differences) == 0:
        return float(differences[0] == 0)
    if method == "t":
        return float(stats.ttest_1samp(differences, 0).pvalue)
    options = {"permutation_type": "samples", "n_resamples": RESAMPLES, "vectorized": True}
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
    verdict : {"positive", "negative", "inconclusive"}
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
    minimum_pairs=5,
    method="t",
    confidence=0.95,
    score="score",
    by="budget",
    pair="seed",
    unit="points",
):
    """Say whether transfer was positive, negative or neither, having asked what usually fools people.

    At a budget, a difference counts if its Holm-corrected p is below 1 − `confidence` and no check gives a reason for
    doubt *in its direction*: a weak baseline makes gains, a badly tuned treatment makes losses.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per run. The columns ``learning_rate`` and ``updates`` are used where they are there; missing values in
        them mean that an arm has none.
    treatment, baseline
        Two values of ``arm``.
    controls : sequence
        Arms that are the baseline with an advantage, such as several times the updates or another head. At each budget
        a gain must hold against all of those that were run there.
    learning_rates : sequence of float, optional
        The rates that were tried. If half of an arm's runs at a budget chose the smallest or largest, a better one may
        lie outside.
    chance : float, optional
        The score of guessing. A baseline that does not beat it at the largest budget is stuck, not beaten.
    minimum_pairs : int
        With fewer pairs at a budget nothing is concluded there.
    method, confidence, score, by, pair
        See :func:`paired_difference`; `by` must name a column.
    unit : str
        Of the score, for the sentence. With ``"points"``, scores that all lie in 0…1 are told in percentage points.

    Returns
    -------
    TransferVerdict
        ``"positive"`` if there is a gain at some budget and a loss at none; ``"negative"`` the other way round;
        otherwise ``"inconclusive"``, also where the sign changes with the budget (sentence and table say where).

    Raises
    ------
    ValueError
        See :func:`paired_difference`.
    """
    alpha = 1 - confidence
    settings = {"method": method, "confidence": confidence, "score": score, "by": by, "pair": pair}
    table = paired_difference(frame, treatment, baseline, **settings)
    shown = (table["p_holm"] < alpha).to_numpy() * np.sign(table["difference"].to_numpy()).astype(int)
    compared = frame[frame["arm"].isin([treatment, baseline])]
    facts = _Facts(compared, treatment, baseline, table[by].tolist(), shown, by, score)
    findings = [
        _few_pairs(facts, table["n"], minimum_pairs),
        _rate_at_edge(facts, learning_rates),
        _unequal_updates(facts),
        _stuck_baseline(facts, chance, confidence),
        *(_against_control(facts, frame, control, settings, alpha) for control in controls),
    ]
    doubted = set().union(*(budgets for _, budgets in findings))
    kept = [0 if value in doubted else sign for value, sign in zip(facts.values, shown, strict=True)]
    table["verdict"] = [{1: "positive", -1: "negative", 0: "inconclusive"}[sign] for sign in kept]
    verdict = {(True, False): "positive", (False, True): "negative"}.get((1 in kept, -1 in kept), "inconclusive")
    checks = tuple(check for check, _ in findings)
    sentence = _sentence(facts, table, checks, doubted, unit, confidence)
    return TransferVerdict(verdict, sentence, table, checks)


class _Facts(NamedTuple):
    """A comparison: its runs, and per value of `by` the sign of what the test shows (0: nothing)."""

    frame: object
    treatment: object
    baseline: object
    values: list
    shown: np.ndarray
    by: str
    score: str

    def where(self, sign):
        return [value for value, one in zip(self.values, self.shown, strict=True) if one == sign]

    def suspects(self):
        """Return the (arm, other arm, value) whose weakness would explain what is shown."""
        gains = [(self.baseline, self.treatment, value) for value in self.where(1)]
        return gains + [(self.treatment, self.baseline, value) for value in self.where(-1)]

    def column(self, name, arm, value):
        """Return the numbers in a column for one arm at one value of `by`, without gaps; empty if it is not there."""
        if name not in self.frame.columns:
            return np.empty(0)
        rows = self.frame[(self.frame["arm"] == arm) & (self.frame[self.by] == value)]
        numbers = rows[name].to_numpy(dtype=float)
        return numbers[np.isfinite(numbers)]

    def ask(self, question, is_weak, advice, missing=None):
        """Ask `is_weak(arm, other, value)` (True, False or None for unknown) of every suspect."""
        answers = {suspect: None if missing else is_weak(*suspect) for suspect in self.suspects()}
        weak = [(arm, value) for (arm, _, value), answer in answers.items() if answer]
        if not answers:
            return Check(question, None, "There is no difference to explain."), set()
        if weak:
            arms = dict.fromkeys(arm for arm, _ in weak)
            where = "; ".join(f"{arm} at {_list([v for one, v in weak if one == arm], self.by)}" for arm in arms)
            return Check(question, False, f"No: {where}. {advice}"), {value for _, value in weak}
        if None in answers.values():
            return Check(question, None, missing or "A column is missing."), set()
        return Check(question, True, "Yes."), set()


def _few_pairs(facts, counts, minimum_pairs):
    few = {value for value, n in zip(facts.values, counts, strict=True) if n < minimum_pairs}
    answer = f"No: n = {_span(counts)}. Run at least {minimum_pairs}." if few else f"Yes: n = {_span(counts)}."
    return Check("Are there enough pairs?", not few, answer), few


def _rate_at_edge(facts, learning_rates):
    def is_weak(arm, other, value):
        rates = facts.column("learning_rate", arm, value)
        edges = min(learning_rates), max(learning_rates)
        return (
            bool(np.isclose(rates[:, None], edges, rtol=1e-6, atol=0).any(axis=1).mean() >= 0.5) if len(rates) else None
        )

    missing = None if learning_rates is not None else "Give `learning_rates`."
    advice = "A better rate may lie outside: try more."
    return facts.ask("Is the weaker arm's learning rate inside the range tried?", is_weak, advice, missing)


def _unequal_updates(facts):
    def is_weak(arm, other, value):
        own, others = facts.column("updates", arm, value), facts.column("updates", other, value)
        return bool(own.mean() < others.mean()) if len(own) and len(others) else None

    return facts.ask("Did the weaker arm get as many updates?", is_weak, "Train both equally long.")


def _stuck_baseline(facts, chance, confidence):
    question = "Did the baseline learn anything?"
    if chance is None:
        return Check(question, None, "Give `chance`."), set()
    largest = facts.values[-1] if facts.frame[facts.by].dtype.kind not in "iuf" else max(facts.values)
    scores = facts.column(facts.score, facts.baseline, largest)
    passed = bool(_interval(scores, "t", confidence)[0] > chance)
    answer = (
        f"{'Yes' if passed else 'No'}: {scores.mean():.3g} at {facts.by} {largest}, where guessing gives {chance:.3g}."
    )
    advice = "" if passed else " Standardise its inputs, train it longer, or try another head."
    return Check(question, passed, answer + advice), set() if passed else set(facts.where(1))


def _against_control(facts, frame, control, settings, alpha):
    question = f"Does the gain hold against {control}?"
    ran = set(frame.loc[frame["arm"] == control, facts.by]) & set(facts.values)
    if not ran:
        raise ValueError(
            f"Control {control!r} has no run at {_list(facts.values, facts.by)}, where the arms are compared."
        )
    rows = frame[frame[facts.by].isin(ran)]
    table = paired_difference(rows, facts.treatment, control, **settings)
    holds = set(table.loc[(table["p_holm"] < alpha) & (table["difference"] > 0), facts.by])
    gains = [value for value in facts.where(1) if value in ran]
    gone = [value for value in gains if value not in holds]
    if not gains:
        return Check(question, None, "There is no gain where it was run."), set()
    answer = f"No: not at {_list(gone, facts.by)}." if gone else "Yes."
    return Check(question, not gone, answer), set(gone)


def _sentence(facts, table, checks, doubted, unit, confidence):
    """Tell the verdict in words: what shows, where nothing shows, and what is not to be relied on."""
    scores = facts.frame[facts.score]
    factor = 100 if unit == "points" and scores.between(0, 1).all() else 1
    form = "+.1f" if unit == "points" else "+.3g"

    def amount(row):
        difference, low, high = (format(factor * row[name], form) for name in ("difference", "low", "high"))
        return f"{difference} {unit} [{low}, {high}]"

    def claim(rows, verb):
        rows = rows.sort_values("difference", key=abs)
        least, most = rows.iloc[0], rows.iloc[-1]
        if len(rows) == 1:
            return f"{verb} {facts.baseline} at {facts.by} {most[facts.by]}, by {amount(most)}"
        return (
            f"{verb} {facts.baseline} at {len(rows)} of {len(table)} {facts.by}s, by {amount(least)} "
            f"({facts.by} {least[facts.by]}) to {amount(most)} ({facts.by} {most[facts.by]})"
        )

    rows = {name: table[table["verdict"] == name] for name in ("positive", "negative")}
    claims = [
        claim(rows[name], verb) for name, verb in (("positive", "beats"), ("negative", "loses to")) if len(rows[name])
    ]
    basis = f"({100 * confidence:g} % intervals, n = {_span(table['n'])} pairs"
    basis += f", tests corrected for {len(table)} {facts.by}s)" if len(table) > 1 else ")"
    unclear = table[(table["verdict"] == "inconclusive") & ~table[facts.by].isin(doubted)]
    text = []
    if claims:
        depends = f"It depends on the {facts.by}: " if len(claims) == 2 else ""
        text.append(f"{depends}{facts.treatment} {', but '.join(claims)} {basis}.")
        if len(unclear):
            text.append(f"At {_list(unclear[facts.by], facts.by)} no difference shows.")
    elif len(unclear):
        low, high = (format(factor * value, form) for value in (unclear["low"].min(), unclear["high"].max()))
        text.append(
            f"At {_list(unclear[facts.by], facts.by)} no difference shows between {facts.treatment} and "
            f"{facts.baseline}: the intervals lie within {low} to {high} {unit} {basis}."
        )
    measured = table[table[facts.by].isin(doubted)]
    if len(measured):
        amounts = "; ".join(f"{facts.by} {row[facts.by]}: {amount(row)}" for _, row in measured.iterrows())
        reasons = " ".join(f"{check.question} {check.answer}" for check in checks if check.passed is False)
        text.append(f"What was measured at {amounts} is open to doubt. {reasons}")
    return " ".join(text)


def _span(counts):
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _list(values, name):
    values = list(map(str, values))
    return f"{name} {values[0]}" if len(values) == 1 else f"{name}s {', '.join(values[:-1])} and {values[-1]}"
