"""What does one arm gain over another? Paired differences along a study's axis, drawn, titled and read."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas

from tl_helpers.exercises.predictions import HELD_BACK, SHOW, check_prediction, laid_over
from tl_helpers.experiments.intervals import paired_difference
from tl_helpers.experiments.statistics import holm_with_gaps
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.keys import key_values, rows_where
from tl_helpers.plots.charts import differences, grouped_differences, in_words, legend_beside
from tl_helpers.plots.display import Display, as_study
from tl_helpers.plots.places import (
    along_the_axis,
    are_amounts,
    capital,
    listed_arms,
    place,
    place_on,
    places,
    unit_of,
)


@dataclass
class _Comparison:
    """One arm against another, or against itself elsewhere on the axis."""

    name: str
    ours: str
    theirs: str
    study: object
    table: pandas.DataFrame
    doubted: pandas.Series
    checks: tuple
    points: str = "points"
    panel: str = ""
    is_change: bool = False

    @property
    def at(self):
        return [place_on(self.study, value) for value in key_values(self.table, "budget")]


def gain(study, treatment, baseline=None, *, since=None, score="score", unit=None, guess=SHOW, at=..., axis=None):
    """Draw what arms gain over others along a study's axis: paired differences with 95 % intervals.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy or pandas.DataFrame
        A frame has the columns ``arm``, ``budget``, ``seed`` and `score`.
    treatment, baseline : str or list of str
        Keys of arms. A single one stands against each of the others' list; two lists are compared pair by pair.
    since : optional
        Instead of a baseline: a value of the axis. Each treatment is compared with itself there, as "with so many
        copied layers against none".
    score : str
        Column to compare.
    unit : str, optional
        What the column ``budget`` of a frame counts or names, such as ``"labels per class"``; a study says so itself.
    guess : float, "show" or None
        A learner's prediction in points, drawn as a star, judged in the reading and remembered (see
        :func:`tl_helpers.exercises.predictions.my_calibration`). None holds the figure back until there is one;
        ``"show"`` shows it without. Of a single comparison.
    at : optional
        The value of the axis for which the prediction is made; needed where there are several.
    axis : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Display
        Its title and reading call a gain what the verdict does: where a check leaves a doubt, they say so. With several
        comparisons Holm's correction runs over all that is drawn. Its table has a row for each difference, with a
        column ``clear``: told from chance, and without a doubt.

    Raises
    ------
    TypeError
        If the prediction is none, or the study no study.
    ValueError
        If there is no such arm, if two arms ran at no common value, if lists of two lengths are given, if a study is
        told a unit, which it has, or if it is open for which value a prediction is made.
    """
    number = check_prediction(guess)
    compared = _compared(as_study(study, score, unit), treatment, baseline, since, score)
    if guess != SHOW and len(compared) > 1:
        raise ValueError("A prediction is made of one comparison; this figure has several.")
    row = None if guess == SHOW else _predicted_row(compared[0], at)
    if guess is None:
        return Display(None, HELD_BACK, table=_drawn(compared))
    if len(compared) == 1:
        return _one(compared[0], number, row, axis)
    _correct_together(compared)
    figure = grouped_differences(
        _drawn(compared),
        order=along_the_axis(compared[0].study, _drawn(compared)),
        xlabel=unit_of(compared[0].study),
        ylabel=_shared_label(compared),
        title=capital(_finding(compared)),
        axis=axis,
    )
    return Display(figure, _words(compared), _reading(compared), _drawn(compared))


def gains(comparisons, *, columns=4):
    """Draw several comparisons side by side, one panel each, on one scale.

    Parameters
    ----------
    comparisons : dict of str to tuple
        Title of a panel → study, treatment, baseline, as :func:`gain` takes them, and, if it is not ``"score"``, the
        column to compare.
    columns : int
        Panels in a row.

    Returns
    -------
    Display
        Holm's correction runs over all that is drawn.

    Raises
    ------
    ValueError
        If there is nothing to draw, a panel is not told by three things, or as :func:`gain` does.
    """
    if not comparisons or not all(isinstance(asked, tuple) and len(asked) in (3, 4) for asked in comparisons.values()):
        raise ValueError("Give for each panel its title and, in brackets, study, treatment and baseline.")
    panels = {}
    for title, (study, treatment, baseline, *score) in comparisons.items():
        panels[title] = _compared(as_study(study, *score), treatment, baseline, None, *(score or ["score"]))
    for title, panel in panels.items():
        for each in panel:
            each.panel = title
    compared = [each for panel in panels.values() for each in panel]
    _correct_together(compared)
    labels = dict.fromkeys(_shared_label(panel) for panel in panels.values())
    alike = len({tuple(each.name for each in panel) for panel in panels.values()}) == 1
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (3.3 * columns + 1.2, 3.0 * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True, layout="constrained")
    for number, (title, panel) in enumerate(panels.items()):
        axis, table = axes.flat[number], _drawn(panel)
        told = [title, *([] if len(labels) == 1 else [_shared_label(panel).replace("\n", " ")]), _counted(panel)]
        grouped_differences(
            table,
            order=along_the_axis(panel[0].study, table),
            title="\n".join(textwrap.fill(line, 38) for line in told),
            xlabel=unit_of(panel[0].study),
            ylabel=("difference" if len(labels) > 1 else next(iter(labels))) if number % columns == 0 else "",
            axis=axis,
        )
        axis.title.set_fontsize(9)
        axis.get_legend().remove()
        if not alike and len(panel) > 1:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False, fontsize=8)
        elif alike and len(panel) > 1 and number + 1 in (columns, len(panels)):
            legend_beside(axis, table["n"])
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    counts = pandas.concat([each.table["n"] for each in compared])
    pairs = f"n = {counts.min():.0f}" if counts.nunique() == 1 else f"n = {counts.min():.0f}–{counts.max():.0f}"
    figure.suptitle(
        _wrapped(f"{capital(_finding(compared))} (95\u00a0% intervals, {pairs} pairs)", size[0]), fontsize=11
    )
    words = " ".join(f"{title}, {_words(panel)}" for title, panel in panels.items())
    told = "; ".join(f"**{title}**: {_told(panel)}" for title, panel in panels.items())
    reading = f"Corrected for {_count(compared)} comparisons, {told}.{_doubts(compared)}"
    table = pandas.concat({title: _drawn(panel) for title, panel in panels.items()}, names=["panel"])
    return Display(figure, words, reading, table.reset_index("panel").reset_index(drop=True))


# ---------------------------------------------------------------- what is compared


def _compared(study, treatment, baseline, since, score):
    """Return a list of comparisons."""
    points = "points" if score == "score" else score.replace("_", " ")
    ours, theirs = listed_arms(treatment), listed_arms(baseline)
    if (baseline is None) == (since is None):
        raise ValueError("Give either a baseline or, with `since`, the value at which the treatment is its own.")
    if len(ours) > 1 and len(theirs) > 1 and len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} treatments cannot be compared with {len(theirs)} baselines pair by pair.")
    if since is not None:
        return [_against_itself(study, arm, since, points) for arm in dict.fromkeys(ours)]
    count = max(len(ours), len(theirs))
    ours, theirs = (arms * count if len(arms) == 1 else arms for arms in (ours, theirs))
    names = _names(study, ours, theirs)
    return [_against(study, *pair, name, points) for *pair, name in zip(ours, theirs, names, strict=True)]


def _names(study, ours, theirs):
    """Return what distinguishes each comparison: its arm, its baseline, or both."""
    if len(set(zip(ours, theirs, strict=True))) < len(ours):
        raise ValueError(
            f"A comparison stands there twice: {', '.join(map(str, ours))} over {', '.join(map(str, theirs))}."
        )
    if len(set(theirs)) == 1:
        return [study.label(arm) for arm in ours]
    if len(set(ours)) == 1:
        return [f"over {study.label(arm)}" for arm in theirs]
    return [f"“{study.label(a)}” over “{study.label(b)}”" for a, b in zip(ours, theirs, strict=True)]


def _against(study, treatment, baseline, name, points):
    ours, theirs = study.label(treatment), study.label(baseline)
    study = _where_both_ran(study, treatment, baseline)
    table = paired_difference(study.runs, treatment, baseline)
    verdict = transfer_verdict(study, treatment, baseline)
    doubted = _doubted(verdict)
    return _Comparison(name, ours, theirs, study, table, doubted, verdict.checks, points)


def _against_itself(study, arm, since, points):
    """Compare an arm with its own runs at one value of the axis."""
    ours, runs = study.label(arm), study.runs[study.runs["arm"] == arm]
    start = runs[rows_where(runs, "budget", since)].assign(arm="start").drop(columns="budget")
    values = [value for value in along_the_axis(study, runs) if value != since]
    if start.empty or not values:
        raise ValueError(f"The study {study.name!r} has no runs of {arm!r} at {since!r} and elsewhere.")
    rows = [runs[rows_where(runs, "budget", value)].assign(arm="ours") for value in values]
    both = pandas.concat([*rows, *(start.assign(budget=value) for value in values)])
    chance = "chance" if "chance" in both else study.chance
    verdict = transfer_verdict(both, "ours", "start", learning_rates=study.rates_offered, chance=chance)
    theirs = place_on(study, since).removeprefix("at ")
    table, doubted = paired_difference(both, "ours", "start"), _doubted(verdict)
    return _Comparison(ours, ours, theirs, study, table, doubted, verdict.checks, points, is_change=True)


def _doubted(verdict):
    """Say of each difference whether it is clear by its p-value and a check leaves a doubt all the same."""
    return verdict.table["verdict"].eq("inconclusive") & verdict.table["p_holm"].lt(0.05)


def _where_both_ran(study, treatment, baseline):
    """Return the study at those values of the axis at which both arms ran, along the axis."""
    ran = [set(key_values(study.runs[study.runs["arm"] == arm], "budget")) for arm in (treatment, baseline)]
    values = [value for value in along_the_axis(study, study.runs) if value in ran[0] & ran[1]]
    if not values:
        raise ValueError(f"The study {study.name!r} has no runs of {treatment!r} and {baseline!r} at a common value.")
    rows = np.concatenate([np.flatnonzero(rows_where(study.runs, "budget", value)) for value in values])
    return replace(study, runs=study.runs.iloc[rows])


def _correct_together(compared):
    """Correct the p-values of several comparisons as one family."""
    p_values = pandas.concat([each.table["p"] for each in compared])
    corrected = np.split(holm_with_gaps(p_values), np.cumsum([len(each.table) for each in compared])[:-1])
    for each, p_holm in zip(compared, corrected, strict=True):
        each.table = each.table.assign(p_holm=p_holm)
        each.doubted = each.doubted & each.table["p_holm"].lt(0.05)


def _drawn(compared):
    """Return all differences as one table, in the order of the axis."""
    tables = [each.table.assign(comparison=each.name, clear=_clear(each)) for each in compared]
    table = pandas.concat(tables, ignore_index=True)
    return table[["comparison", *(name for name in table if name != "comparison")]]


# ---------------------------------------------------------------- what is said about several


def _shared_label(compared):
    """Say what the differences are, in lines that are no longer than an axis is high."""
    ours, theirs = ({getattr(each, side) for each in compared} for side in ("ours", "theirs"))
    points = f"({compared[0].points})"
    if any(each.is_change for each in compared):
        words = f"change against {theirs.pop()}\n{points}"
    elif len(compared) == 1:
        words = f"{ours.pop()}\nminus {theirs.pop()} {points}"
    elif len(theirs) == 1:
        # More of a score is a gain; of another column, such as seconds, nobody has said which way is better.
        words = f"{'gain over' if compared[0].points == 'points' else 'difference from'} {theirs.pop()} {points}"
    else:
        words = f"gain of {ours.pop()} {points}" if len(ours) == 1 else f"difference {points}"
    return "\n".join(textwrap.fill(line, 48) for line in words.split("\n"))


def _count(compared):
    return sum(len(each.table) for each in compared)


def _clear(each):
    return each.table["p_holm"].lt(0.05) & ~each.doubted


def _finding(compared):
    """Say how many differences are clear, or else measured and doubted, and name the largest of these."""
    clear, doubted = (
        [(each, index) for each in compared for index in each.table.index[belongs(each)]]
        for belongs in (_clear, lambda each: each.doubted)
    )
    found, words = (clear, "clear") if clear else (doubted, "measured, not proved")
    if not found:
        return f"of {_count(compared)} differences none is told from chance"
    each, index = max(found, key=_size)
    larger = sum(_size(one) > _size((each, index)) for one in doubted)
    panel = f"{each.panel}, " if each.panel else ""
    where = each.at[each.table.index.get_loc(index)]
    return (
        f"{len(found)} of {_count(compared)} differences {'is' if len(found) == 1 else 'are'} {words}, the largest: "
        f"{panel}{each.name} {each.table['difference'][index]:+.1f} points {where}"
        + (f"; {larger} larger in doubt" if larger else "")
    )


def _size(one):
    each, index = one
    return abs(each.table["difference"][index])


def _amounts(each, places):
    """Return each difference with its interval and its place."""
    rows = zip(each.table.itertuples(), places, strict=True)
    return [f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f}) {where}" for row, where in rows]


def _counted(panel):
    """Say in a panel's title what is clear in it."""
    if len(panel) > 1:
        return f"{sum(int(_clear(each).sum()) for each in panel)} of {_count(panel)} clear"
    (each,) = panel
    values, parts = key_values(each.table, "budget"), []
    for number in dict.fromkeys([0, len(each.table) - 1]):
        unclear = "" if _clear(each).iloc[number] else " (doubted)" if each.doubted.iloc[number] else " (unclear)"
        parts.append(f"{each.table['difference'].iloc[number]:+.1f}{unclear} {place(values[number])}")
    return ", ".join(parts)


def _told(compared):
    """Say for each comparison where it gains and where it loses."""
    parts = []
    for each in compared:
        values, told = key_values(each.table, "budget"), []
        sign = np.sign(each.table["difference"])
        kinds = {"gains": _clear(each) & (sign > 0), "loses": _clear(each) & (sign < 0), "is in doubt": each.doubted}
        for word, mask in kinds.items():
            where = [value for value, is_here in zip(values, mask, strict=True) if is_here]
            told += [f"{word} {places(where)}"] if where else []
        name = f"*{each.name}* " if len(compared) > 1 else ""
        parts.append(name + (" and ".join(told) or "nothing clear"))
    return "; ".join(parts)


def _doubts(compared):
    """Name the checks that leave a doubt in what is drawn as doubted, and no others."""
    count = sum(int(each.doubted.sum()) for each in compared)
    reasons = {}
    for each in compared:
        values = set(key_values(each.table[each.doubted], "budget"))
        reasons |= {check.question: None for check in each.checks if check.passed is False and check.doubted & values}
    return f" The checks leave a doubt in {count}: {' '.join(reasons)} No." if count else ""


def _reading(compared):
    told = _told(compared)
    return f"Corrected for {_count(compared)} comparisons, by {unit_of(compared[0].study)}: {told}.{_doubts(compared)}"


def _words(compared):
    parts = []
    for each in compared:
        told = _amounts(each, map(place, key_values(each.table, "budget")))
        parts.append((f"{each.name} " if len(compared) > 1 else "") + ", ".join(told))
    label = _shared_label(compared).replace("\n", " ")
    return f"{label} by {unit_of(compared[0].study)}, with 95 % intervals: {'; '.join(parts)}."


def _wrapped(title, inches):
    """Break a title into lines that are as long as its figure is wide."""
    return textwrap.fill(title, int(11 * inches))


# ---------------------------------------------------------------- what is said about one


def _predicted_row(each, at):
    """Return where in the table stands what a learner predicts."""
    values = key_values(each.table, "budget")
    if at is ... and len(values) > 1:
        raise ValueError(f"Say with `at` for which of {', '.join(map(str, values))} the prediction is made.")
    if at is not ... and at not in values:
        raise ValueError(f"There is no difference at {at!r}; there are some at {', '.join(map(str, values))}.")
    return 0 if at is ... else values.index(at)


def _one(each, guess, row, axis):
    at, table = each.at, _drawn([each])
    labels = {"xlabel": unit_of(each.study), "ylabel": _shared_label([each]), "title": _title(each, at)}
    if are_amounts(key_values(each.table, "budget")):
        figure = differences(each.table, guess=guess, row=row, axis=axis, **labels)
    else:
        order = along_the_axis(each.study, table)
        figure = grouped_differences(table, order=order, guess=guess, row=row, axis=axis, **labels)
    what = f"{each.ours} {'against' if each.is_change else 'minus'} {each.theirs}"
    words = f"{what}, in {each.points} with 95 % intervals: {'; '.join(_amounts(each, at))}."
    reading = _reading_of_one(each, at)
    if guess is not None:
        measured = each.table.iloc[row][["difference", "low", "high"]]
        measure = "" if each.points == "points" else f", {each.points}"
        question = f"{what} {at[row]} ({each.study.name}{measure})"
        words += f" Your prediction: {guess:+g}."
        reading = f"{laid_over(guess, *measured, unit=each.points, question=question)} {reading}"
    return Display(figure, words, reading, table)


def _title(each, at):
    ends, parts = list(dict.fromkeys([0, len(each.table) - 1])), []
    for number in ends:
        row, unit = each.table.iloc[number], "" if parts else f" {each.points}"
        chance = "" if row["p_holm"] < 0.05 else " (not told from chance)"
        doubt = " (measured, not proved)" if each.doubted.iloc[number] else chance
        parts.append(f"{row['difference']:+.1f}{unit} {at[number]}{doubt}")
    values = key_values(each.table, "budget")
    between = [value for number, value in enumerate(values) if each.doubted.iloc[number] and number not in ends]
    return f"{capital(each.ours)}: {', '.join(parts)}" + (f"; in doubt {places(between)}" if between else "")


def _reading_of_one(each, at):
    table = each.table
    sizes = table["difference"].abs()
    shown = sizes[table["p_holm"] < 0.05]
    largest = table.index.get_loc((shown if len(shown) else sizes).idxmax())
    instead = f"against {each.theirs}" if each.is_change else f"instead of {each.theirs}"
    sentence = f"{capital(each.ours)} {instead}: {in_words(table.iloc[largest])} {at[largest]}"
    if not len(shown):
        corrected = f", corrected for {len(table)} comparisons" if len(table) > 1 else ""
        is_word = sentence[1:2].islower()  # not LoRA
        sentence = f"Not told from chance{corrected}: {sentence[:1].lower() if is_word else sentence[:1]}{sentence[1:]}"
    elif len(table) > 1:
        sentence += f". Corrected for {len(table)} comparisons: {_told([each])}"
    return f"{sentence}.{_doubts([each])}"
