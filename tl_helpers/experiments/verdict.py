"""Is the effect real? A verdict on a comparison, with every doubt that the table of runs allows."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas

from tl_helpers.experiments.intervals import RESULTS, difference_table
from tl_helpers.experiments.statistics import ROUNDING, check_settings, interval_of_mean, no_difference, same_difference
from tl_helpers.experiments.table import (
    are_fractions,
    check_frame,
    check_margin_in_points,
    check_names,
    check_scores_are_finite,
    finite_scores,
    listed,
    not_finite,
    numbers_of,
    paired_runs,
)
from tl_helpers.grid.keys import group_rows, rows_where

_SAME_RATE = 0.01  # learning rates are told with few digits


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
    doubted : frozenset
        The values (such as budgets) at which it leaves a doubt.
    """

    question: str
    passed: bool | None
    answer: str
    doubted: frozenset = frozenset()

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
    runs,
    treatment,
    baseline,
    *,
    controls=None,
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
    runs : pandas.DataFrame or tl_helpers.experiments.stored.StoredStudy
        One row per run. Runs whose score is NaN or infinite are left out of the numbers, and named. The columns
        ``learning_rate`` and ``updates`` are used where they are there; missing values in them mean that an arm has
        none. A stored study knows its controls, the rates that were offered and the score of guessing, which are taken
        where they are not given; its arms are called by their labels.
    treatment, baseline
        Two values of ``arm``.
    controls : str or sequence, optional
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
        shows as well counts for nothing. A stored study knows the margin of its main comparison's ``score``.
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
    stored = not isinstance(runs, pandas.DataFrame)
    if stored and margin is None and (treatment, baseline) == runs.compared and score == "score":
        margin = runs.margin
    check_settings(method, confidence, margin)
    alpha, frame, axis = 1 - confidence, runs, None
    if stored:
        own = [arm for arm in runs.controls_of(baseline) if arm != treatment]
        controls = own if controls is None else controls
        controls = [runs.label(arm) for arm in ([controls] if isinstance(controls, str) else controls)]
        learning_rates = runs.rates_offered if learning_rates is None else learning_rates
        chance, axis = runs.chance if chance is None else chance, runs.axis
        treatment, baseline = runs.label(treatment), runs.label(baseline)
        frame = runs.runs.assign(arm=runs.runs["arm"].map(runs.label))
    pair = [pair] if isinstance(pair, str) else list(pair)
    controls = [controls] if isinstance(controls, str) else list(controls or ())
    check_frame(frame, ["arm", by, *pair], score)
    frame = pandas.DataFrame(frame)  # without its provenance in `attrs`, which pandas copies in every operation
    check_names([by], [*RESULTS, "verdict"])
    check_margin_in_points(frame, margin, score, unit)
    pairs = paired_runs(frame, treatment, baseline, score, by, pair)
    against = {control: _control_pairs(frame, treatment, control, score, by, pair, list(pairs)) for control in controls}
    broken = _broken_scores(frame, pairs, against, treatment, baseline, [by, *pair], score)
    pairs, against = _finite(pairs), {control: _finite(found) for control, found in against.items()}
    table = difference_table(pairs, by, method, confidence, margin)
    equivalent = np.zeros(len(table), bool) if margin is None else (table["p_equivalent_holm"] < alpha).to_numpy()
    shown = np.where((table["p_holm"] < alpha) & ~equivalent, np.sign(table["difference"]), 0).astype(int)
    compared = frame[rows_where(frame, "arm", treatment, baseline, *against)]
    facts = _Facts(compared, treatment, baseline, tuple(against), list(pairs), shown, by, score, axis)
    same = _same_for_all_seeds(facts, pairs, against)
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
    checks = tuple(replace(check, doubted=frozenset(values)) for check, values in findings)
    # Two one-sided tests decide by narrower intervals.
    narrow = difference_table(pairs, by, method, 2 * confidence - 1) if equivalent.any() else None
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
    axis: object

    def at(self, values):
        """Say where, such as "budgets 5 and 20", or, where the axis is known, "5 and 20 labels per class"."""
        if self.axis is None or self.axis.unit == self.axis.name:
            return listed(values, self.by if self.axis is None else self.axis.unit)
        *others, last = (str(value) if self.axis.is_ordered else f"“{value}”" for value in values)
        words = f"{', '.join(others)} and {last}" if others else last
        return f"{words} {self.axis.unit}" if self.axis.is_ordered else words

    @property
    def noun(self):
        """What one value is."""
        return self.by if self.axis is None or self.axis.is_ordered else "case"

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
            return numbers_of(self.rows_of(arm, value), name)
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
            where = "; ".join(f"{arm} at {self.at(values)}" for arm, values in found.items())
            return Check(question, False, f"No: {where}. {advice}"), {value for _, value in weak}
        if None in answers.values():
            return Check(question, None, missing or "A column is missing, or has gaps."), set()
        return Check(question, True, "Yes."), set()


def _control_pairs(frame, treatment, control, score, by, pair, values):
    """Return what :func:`paired_runs` does for a control, at those of the values where it was run."""
    rows = frame[rows_where(frame, "arm", control) & rows_where(frame, by, *values)]
    ran = list(group_rows(rows, [by]))
    if not ran:
        raise ValueError(f"Control {control!r} has no run at {listed(values, by)}, where the arms are compared.")
    rows = frame[rows_where(frame, by, *(value for (value,) in ran))]
    return paired_runs(rows, treatment, control, score, by, pair)


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
    first, *others = not_finite(used, ["arm", *keys], score)
    more = f" and {len(others)} more" if others else ""
    advice = "They are left out. A run that diverged is a result: give it the score of guessing."
    answer = f"No: {first}{more}. {advice if others else advice.replace('They are', 'It is')}"
    return [(Check("Are all scores finite numbers?", False, answer), doubted)]


def _same_for_all_seeds(facts, pairs, against):
    """Doubt every value of `by` at which equal runs pass for independent ones. Say nothing if there is none."""
    flat, (treatment, baseline) = {}, (facts.treatment, facts.baseline)
    # Two arms may be the same at one budget, such as one with no layer copied; at every budget, one is not looked at.
    one_arm = all(map(no_difference, pairs.values()))
    for value, scores in pairs.items():
        arms = [arm for arm, column in zip((treatment, baseline), scores.T, strict=True) if _mostly_equal(column)]
        if not arms and _repeated(scores):
            arms = [f"the pairs of {treatment} and {baseline}"]
        elif not arms and same_difference(scores) and (one_arm or not no_difference(scores)):
            arms = [f"the difference of {treatment} and {baseline}"]
        for arm in arms:
            flat.setdefault(str(arm), []).append(value)
    for control, found in against.items():
        alone = [value for value, scores in found.items() if _mostly_equal(scores[:, 1]) or _repeated(scores)]
        if alone:
            flat[str(control)] = alone
    if not flat:
        return []
    where = "; ".join(f"{arm} at {facts.at(values)}" for arm, values in flat.items())
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
    steps = np.diff(scores[order]) > ROUNDING * np.abs(scores).max()
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
        check_frame(facts.frame, [], chance)
        check_scores_are_finite(facts.frame, ["arm", facts.by], chance)
    elif isinstance(chance, bool) or not isinstance(chance, numbers.Real) or not np.isfinite(chance):
        raise ValueError(f"chance must be a score or the name of a column, not {chance!r}.")
    found, doubted = [], set()
    for arm in (facts.treatment, facts.baseline, *facts.controls):
        guessed = [
            (value, words) for value in facts.values if (words := _guessed(facts, arm, value, chance, pair, confidence))
        ]
        if guessed:
            found.append((arm, guessed))
            doubted |= {value for value, _ in guessed}
    level = "" if isinstance(chance, str) else f", where guessing gives {chance:.3g}"
    if not found:
        lowest = np.nanmin(numbers_of(facts.frame, facts.score))
        return Check(question, True, f"Yes: the lowest scores {lowest:.3g}{level}."), set()
    where = "; ".join(
        f"{arm} at {facts.at(f'{value} ({words})' for value, words in guessed)}" for arm, guessed in found
    )
    advice = "Such runs learned nothing or answer always the same: try other rates, more updates, or another head."
    return Check(question, False, f"No: {where}{level}. {advice}"), doubted


def _guessed(facts, arm, value, chance, pair, confidence):
    """Say in words how an arm's runs at one value of `by` are no better than guessing; empty where they are."""
    rows = facts.rows_of(arm, value)
    guess = numbers_of(rows, chance) if isinstance(chance, str) else np.full(len(rows), float(chance))
    lead = numbers_of(rows, facts.score) - guess
    at_floor = int((lead <= ROUNDING * np.abs(guess)).sum())
    if at_floor:
        return f"{at_floor} of {len(rows)} runs"
    known = np.isfinite(lead)
    units = group_rows(rows[known], ["seed"] if "seed" in pair else pair).values()
    leads = np.array([lead[known][unit].mean() for unit in units])
    unclear = len(leads) > 1 and interval_of_mean(leads, "t", confidence)[0] <= 0
    return "the mean is not clearly above" if unclear else ""


def _against_control(facts, pairs, control, unit, method, confidence):
    """Doubt gains that do not hold against a control, and budgets without a gain at which the treatment loses to it."""
    question = f"Does the gain hold against {control}?"
    table = difference_table(pairs, facts.by, method, confidence)
    signs = np.where(table["p_holm"] < 1 - confidence, np.sign(table["difference"]), 0)
    sign = dict(zip(pairs, signs, strict=True))
    gains, others = ([value for value in facts.where(one) if value in pairs] for one in (1, 0))
    gone, lost = [value for value in gains if sign[value] < 1], [value for value in others if sign[value] < 0]
    doubts = [f"not at {facts.at(gone)}"] if gone else []
    doubts += [f"{facts.treatment} loses to it at {facts.at(lost)}"] if lost else []
    if doubts:
        return Check(question, False, f"No: {'; '.join(doubts)}."), {*gone, *lost}
    if not gains:
        return Check(question, None, "There is no gain where it was run."), set()
    least = table.iloc[[list(pairs).index(value) for value in gains]].sort_values("difference").iloc[0]
    _, number = _scale(facts, unit)
    return Check(question, True, f"Yes: {number(least['difference'])} {unit} or more."), set()


def _scale(facts, unit):
    """Return by what to multiply scores, and the function that writes differences of them."""
    scores = finite_scores(facts.frame, facts.score)
    factor = 100 if unit == "points" and are_fractions(scores) else 1
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
            return f"{verb} {facts.baseline} at {facts.at([most[facts.by]])}, by {amount(most)}"
        return (
            f"{verb} {facts.baseline} at {len(rows)} of {len(table)} {facts.noun}s, by {amount(least)} "
            f"({facts.at([least[facts.by]])}) to {amount(most)} ({facts.at([most[facts.by]])})"
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
        depends = f"It depends on the {facts.noun}: " if len(claims) == 2 else ""
        text.append(f"{depends}{facts.treatment} {', but '.join(claims)}.")
    if len(rows["equivalent"]):
        level = f"{100 * (2 * confidence - 1):g} %"
        text.append(
            f"At {facts.at(rows['equivalent'][facts.by])} {facts.treatment} and {facts.baseline} are "
            f"equivalent within the {band} that were given (two one-sided tests): "
            f"{within(narrow.loc[rows['equivalent'].index], level)}."
        )
    if len(unclear):
        what = "" if claims and not band else f" whether {facts.treatment} and {facts.baseline} differ"
        neither = f", nor whether they are equivalent within {band}" if band else ""
        text.append(f"At {facts.at(unclear[facts.by])} one cannot tell{what}{neither}: {within(unclear)}.")
    measured, lost = table[open_to_doubt & (table["n"] > 0)], table[open_to_doubt & (table["n"] == 0)]
    if len(measured):
        amounts = facts.at(f"{row[facts.by]} ({amount(row)})" for _, row in measured.iterrows())
        text.append(f"What was measured at {amounts} is open to doubt.")
    if text:
        all_narrow = len(rows["equivalent"]) and not claims and not len(unclear)
        level = "" if all_narrow else f"{100 * confidence:g} % intervals, "
        corrected = f", tests corrected for {len(table)} {facts.noun}s" if len(table) > 1 else ""
        text[0] = f"{text[0][:-1]} ({level}n = {_span(table['n'])} pairs{corrected})."
    if len(lost):
        text.append(f"At {facts.at(lost[facts.by])} no pair is left.")
    if open_to_doubt.any():
        text.append(" ".join(f"{check.question} {check.answer}" for check in checks if check.passed is False))
    return " ".join(text)


def _span(counts):
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
