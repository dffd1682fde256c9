"""What does a stored study show? Figures that name their axes, their finding and themselves in words."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np

from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.experiments.table import are_fractions, finite_scores
from tl_helpers.experiments.verdict import transfer_verdict
from tl_helpers.grid.keys import key_values, rows_where
from tl_helpers.plots.charts import curves, differences, dots, in_words, legend_beside, say, show


@dataclass(frozen=True, eq=False)
class Display:
    """A figure with its text twin and what can be read from it. As the last line of a cell it shows all three.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    words : str
        What is drawn, numbers included, for whoever does not see it.
    reading : str
        A sentence: what it means, as far as the runs allow.
    """

    figure: matplotlib.figure.Figure
    words: str
    reading: str

    def show(self):
        """Show the figure, its text twin and the reading, and close the figure."""
        show(self.figure, self.words)
        say(f"**Reading.** {self.reading}")

    _ipython_display_ = show


def gain(study, treatment, baseline, *, guess=None, axis=None):
    """Draw what one arm gains over another along a study's axis: paired differences with 95 % intervals.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy
    treatment, baseline : str
        Keys of two arms.
    guess : float, optional
        A learner's prediction in points, drawn as a dotted line and told in the words.
    axis : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Display
        Its title and reading call a gain what the verdict does: where a check leaves a doubt, they say so.

    Raises
    ------
    TypeError
        If the prediction is no number.
    ValueError
        If there is no such arm, or if the two ran at no common value.
    """
    if guess is not None and (isinstance(guess, bool) or not isinstance(guess, numbers.Real) or np.isnan(guess)):
        raise TypeError(f"A prediction is a number such as 5 or -2.5, or None, not {guess!r}.")
    ours, theirs = study.label(treatment), study.label(baseline)
    study = _where_both_ran(_in_hundredths(study), treatment, baseline)
    table = paired_difference(study.runs, treatment, baseline)
    verdict = transfer_verdict(study, treatment, baseline)
    doubted = verdict.table["verdict"].eq("inconclusive") & verdict.table["p_holm"].lt(0.05)
    at = [_at(study, value) for value in table["budget"]]
    figure = differences(
        table,
        xlabel=_unit(study),
        ylabel=f"{ours}\nminus {theirs} (points)",
        title=_gain_title(ours, table, at, doubted=bool(doubted.any())),
        guess=guess,
        axis=axis,
    )
    rows = [f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f}) {where}" for row, where in _told(table, at)]
    words = f"{ours} minus {theirs}, in points with 95 % intervals: {'; '.join(rows)}."
    if guess is not None:
        words += f" Your prediction: {guess:+g}."
    return Display(figure, words, _gain_reading(ours, theirs, table, at, verdict, doubted))


def accuracy(study, arms=None, *, axis=None):
    """Draw the mean score of several arms along a study's axis, with 95 % intervals and the score of guessing.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy
    arms : sequence of str, optional
        Keys, in drawing order; all arms that ran by default.
    axis : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default. Only for axes of numbers.

    Returns
    -------
    Display
        Its title names a best arm only where it is better than the second by more than the interval of their paired
        difference.

    Raises
    ------
    ValueError
        If there is no such arm, or if it never ran.
    """
    ran = set(key_values(study.runs, "arm"))
    names = {key: study.label(key) for key in (arms or [key for key in study.arms if key in ran])}
    if never := [key for key in names if key not in ran]:
        raise ValueError(f"The study {study.name!r} has no runs of {', '.join(map(repr, never))}.")
    study = _in_hundredths(study)
    runs = study.runs[study.runs["arm"].isin(list(names))]
    values = _along_the_axis(study, runs)
    table = confidence_interval(runs)
    keys = zip(key_values(table, "arm"), key_values(table, "budget"), strict=True)
    means = dict(zip(keys, table["mean"], strict=True))
    last = values[-1]
    finding = _best(study, runs, last)
    amounts, marks = [value for value in values if value is not None], None
    if all(isinstance(value, numbers.Real) for value in amounts):
        wide = bool(amounts) and min(amounts) > 0 and max(amounts) >= 10 * min(amounts)
        labels = {"xlabel": _unit(study), "ylabel": study.metric, "title": finding}
        figure = curves(table, x="budget", names=names, logarithmic=wide, axis=axis, **labels)
        if study.chance is not None:
            (axis or figure.axes[0]).axhline(
                study.chance, color="black", linestyle="--", linewidth=1, label="always the same answer"
            )
            legend_beside(axis or figure.axes[0], table["n"])
    else:
        marks = None if study.chance is None else dict.fromkeys(values, study.chance)
        if "chance" in runs:
            marks = runs.groupby("budget")["chance"].mean().to_dict()
        figure = dots(table, row="budget", names=names, xlabel=study.metric, title=finding, marks=marks)
    told = [
        f"{name} {', '.join(f'{means[key, value]:.0f}' for value in values if (key, value) in means)}"
        for key, name in names.items()
    ]
    words = f"{study.metric} at {', '.join(map(str, values))} {_unit(study)}: {'; '.join(told)}."
    if study.chance is not None:
        words += f" The best answer that is always the same would score {study.chance:.0f}."
    elif marks is not None:
        words += f" Chance: {', '.join(f'{marks[value]:.0f}' for value in values)}."
    return Display(figure, words, ". ".join(dict.fromkeys([_best(study, runs, values[0]), finding])) + ".")


def _unit(study):
    return study.axis.unit if study.axis is not None else "budget"


def _at(study, value):
    """Say where on the axis: a number with its unit, a name by itself."""
    return f"at {value} {_unit(study)}" if value is None or isinstance(value, numbers.Real) else f"for “{value}”"


def _in_hundredths(study):
    """Return a study whose scores are in points: where all lie in 0…1, a hundred times as large, as the verdict's."""
    if not are_fractions(finite_scores(study.runs, "score")):
        return study
    chance = None if study.chance is None else 100 * study.chance
    runs = study.runs.assign(score=100 * study.runs["score"])
    return replace(study, runs=runs, chance=chance, metric=f"{study.metric}, in %")


def _along_the_axis(study, runs):
    """Return the values at which runs were made, in the order in which the axis is drawn, the missing one last."""
    values = list(dict.fromkeys(key_values(runs, "budget")))
    amounts = [value for value in values if value is not None]
    if all(isinstance(value, numbers.Real) for value in amounts):
        return sorted(amounts) + [None] * (None in values)
    order = list(study.axis.values) if study.axis is not None else []
    return sorted(values, key=lambda value: order.index(value) if value in order else len(order))


def _where_both_ran(study, treatment, baseline):
    """Return the study at those values of the axis at which both arms ran, along the axis."""
    ran = [set(key_values(study.runs[study.runs["arm"] == arm], "budget")) for arm in (treatment, baseline)]
    values = [value for value in _along_the_axis(study, study.runs) if value in ran[0] & ran[1]]
    if not values:
        raise ValueError(f"The study {study.name!r} has no runs of {treatment!r} and {baseline!r} at a common value.")
    rows = np.concatenate([np.flatnonzero(rows_where(study.runs, "budget", value)) for value in values])
    return replace(study, runs=study.runs.iloc[rows])


def _told(table, at):
    return zip(table.itertuples(), at, strict=True)


def _gain_title(ours, table, at, *, doubted):
    parts = []
    for place in dict.fromkeys([0, len(table) - 1]):
        row, unit = table.iloc[place], "" if parts else " points"
        chance = "" if row["p_holm"] < 0.05 else " (not told from chance)"
        parts.append(f"{row['difference']:+.1f}{unit} {at[place]}{chance}")
    title = f"{_capital(ours)}: {', '.join(parts)}"
    return f"{title} (measured, not proved)" if doubted else title


def _gain_reading(ours, theirs, table, at, verdict, doubted):
    largest = int(np.argmax(np.abs(table["difference"])))
    sentence = f"{_capital(ours)} instead of {theirs}: {in_words(table.iloc[largest])} {at[largest]}"
    if len(table) > 1:
        shown = np.sign(table["difference"])[table["p_holm"] < 0.05]
        counts = {("gain", "gains"): int((shown > 0).sum()), ("loss", "losses"): int((shown < 0).sum())}
        told = " and ".join(f"{count} {names[count > 1]}" for names, count in counts.items() if count)
        sentence += f". Corrected for {len(table)} comparisons, told from chance: {told or 'nothing'}"
    reasons = [check.question for check in verdict.checks if check.passed is False]
    if doubted.any() and reasons:
        sentence += f"; the checks leave a doubt in {int(doubted.sum())}: {' '.join(reasons)} No"
    return f"{sentence}."


def _best(study, runs, value):
    """Say which arm is best at a value, if it is clearly better than the second."""
    here = runs[rows_where(runs, "budget", value)]
    means = here.groupby("arm")["score"].mean().sort_values(ascending=False)
    scores = [f"{study.label(arm)} {mean:.0f}" for arm, mean in means.iloc[:2].items()]
    if len(means) == 1:
        return f"{_capital(scores[0])} {_at(study, value)}"
    if paired_difference(here, *means.index[:2]).iloc[0]["low"] > 0:
        return f"Best {_at(study, value)}: {scores[0]}"
    return f"No clear best {_at(study, value)}: {', '.join(scores)}"


def _capital(text):
    return text[:1].upper() + text[1:]
