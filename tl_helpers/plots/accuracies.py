"""How well do a study's arms do? Mean scores with their intervals, drawn, titled and read."""

from __future__ import annotations

import contextlib

from tl_helpers.experiments.intervals import confidence_interval, paired_difference
from tl_helpers.grid.keys import key_values, rows_where
from tl_helpers.plots.charts import curves, dots, legend_beside, line_style, panels
from tl_helpers.plots.display import Display, as_study
from tl_helpers.plots.places import along_the_axis, are_amounts, capital, is_wide, listed_arms, place_on, unit_of

# How many times further right each of several live runs is drawn than the one before it.
_BESIDE = 1.06


def accuracy(study, arms=None, *, against=None, score="score", hues=None, dashed=(), live=None, at=None, axis=None):
    """Draw the mean score of several arms along a study's axis, with 95 % intervals and the score of guessing.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy or pandas.DataFrame
        A frame has the columns ``arm``, ``budget``, ``seed`` and `score`.
    arms : sequence of str, optional
        Keys, in drawing order; all arms that ran by default.
    against : str, optional
        Column to draw along instead of the axis, such as ``"train_seconds"``: its mean at each value.
    score : str
        Column to draw.
    hues : dict of str to str, optional
        Arm → what it has in common with others, which then share its colour; a colour for each arm by default.
    dashed : sequence of str
        Arms whose lines are dashed.
    live : dict of str to float, optional
        Arm → the score of one run made just now, drawn as a large open point beside the means of the stored ones.
    at : number, optional
        The value of the axis at which these ran.
    axis : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default. As `hues`, `dashed` and `live` only for axes of numbers.

    Returns
    -------
    Display
        Its title names a best arm only where it is better than the second by more than the interval of their paired
        difference. Its table has a row for each mean; intervals of percentages end at 0 and 100.

    Raises
    ------
    TypeError
        If the study is none.
    ValueError
        If there is no such arm, if it never ran, if there is no such column, or if `live` has no place on the axis.
    """
    study = as_study(study, score)
    ran = set(key_values(study.runs, "arm"))
    names = {
        key: study.label(key) for key in (listed_arms(arms) if arms else [key for key in study.arms if key in ran])
    }
    if never := [key for key in names if key not in ran]:
        raise ValueError(f"The study {study.name!r} has no runs of {', '.join(map(repr, never))}.")
    runs = study.runs[study.runs["arm"].isin(list(names))]
    values = along_the_axis(study, runs)
    table = _within_percent(study, confidence_interval(runs))
    finding = _best(study, runs, values[-1])
    chance = _chance_by_value(study, runs, values)
    if unknown := {*(hues or ()), *dashed, *(live or ())} - set(names):
        raise ValueError(f"Not drawn: {', '.join(map(repr, sorted(unknown)))}; drawn are {', '.join(names)}.")
    if live and at not in values:
        raise ValueError(f"at is where the runs of `live` were made, one of {', '.join(map(str, values))}, not {at!r}.")
    if are_amounts(values):
        styles = _styles(names, hues or {name: name for name in names}, dashed)
        figure = _curves(study, runs, table, names, values, finding, chance, against, axis, styles)
        if live:
            _draw_live(axis or figure.axes[0], table, live, at, styles)
    elif hues or dashed or live:
        raise ValueError(f"{unit_of(study)} is no number: lines and live runs have no place there.")
    elif against is not None:
        raise ValueError(f"{unit_of(study)} is no number, so its means cannot be drawn along {against!r}.")
    else:
        figure = dots(table, row="budget", names=names, xlabel=study.metric, title=finding, marks=chance)
    readings = dict.fromkeys([_best(study, runs, values[0]), finding])
    words = _words(study, table, names, values, chance)
    if live:
        now = ", ".join(f"{names[arm]} {value:.0f}" for arm, value in live.items())
        words += f" One run just now, {place_on(study, at)}: {now}."
    return Display(figure, words + _tuning_words(study), ". ".join(readings) + ".", table)


def _styles(names, hues, dashed):
    """Return arm → colour, marker and line style; arms of the same hue share a colour."""
    numbers = {hue: number for number, hue in enumerate(dict.fromkeys(hues.get(name, name) for name in names))}
    return {name: (*line_style(numbers[hues.get(name, name)]), "--" if name in dashed else "-") for name in names}


def _draw_live(axis, table, live, at, styles):
    """Draw runs made just now as large open points, side by side so that none hides another."""
    for number, (arm, value) in enumerate(live.items()):
        beside = at * _BESIDE ** (number - (len(live) - 1) / 2)
        colour, marker, _ = styles[arm]
        label = "one run, just now" if number == 0 else None
        drawn = {"color": colour, "marker": marker, "markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2}
        axis.plot([beside], [value], linestyle="none", label=label, **drawn)
    legend_beside(axis, table["n"])


def _tuning_words(study):
    """Say how the learning rates were chosen, where that is on record."""
    runs = study.provenance.get("spec", {}).get("tuning", {}).get("runs", 0)
    if not runs:
        return ""
    return f" Learning rates were chosen by {runs} runs on validation data, with {len(study.tuning_seeds)} other seeds."


def accuracy_panels(study, *, x, lines, levels=(), order=None, xlabel=""):
    """Draw one panel per value of the axis: arms that differ in two settings, one of them along the panel.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy
    x, lines : dict of str to str
        Arm → where it stands along the panel, and arm → the line that it belongs to.
    levels : sequence of str
        Arms that are drawn as a level line, such as a baseline that has no depth.
    order : sequence of str, optional
        The values of `x` from left to right; in order of appearance by default.
    xlabel : str
        What `x` is.

    Returns
    -------
    Display
        Its title and reading name the place of the first line's highest mean in each panel: the largest of several
        means, which flatters it, so they do not call it the best.

    Raises
    ------
    TypeError
        If the study is none.
    ValueError
        If an arm is not in the study, or stands in one of `x` and `lines` alone.
    """
    study = as_study(study)
    if x.keys() != lines.keys():
        raise ValueError(f"Arms must stand in both x and lines, not {', '.join(map(str, x.keys() ^ lines.keys()))}.")
    labels = {arm: study.label(arm) for arm in (*x, *levels)}
    means = confidence_interval(study.runs[study.runs["arm"].isin(list(labels))]).rename(columns={"budget": "panel"})
    means = _within_percent(study, means)
    table = means[means["arm"].isin(list(x))].assign(x=means["arm"].map(x), line=means["arm"].map(lines))
    heights = {labels[arm]: means[means["arm"] == arm].set_index("panel")["mean"].to_dict() for arm in levels}
    if "chance" in study.runs:
        heights["chance"] = study.runs.groupby("budget")["chance"].mean().to_dict()
    first = next(iter(lines.values()))
    peaks = table.set_index("x").groupby(["line", "panel"], sort=False)["mean"].idxmax()
    highest = peaks[first]
    where = "; ".join(f"{panel}: {place}" for panel, place in highest.items())
    figure = panels(
        table,
        x="x",
        order=list(dict.fromkeys(x.values())) if order is None else order,
        names={line: line for line in dict.fromkeys(lines.values())},
        xlabel=xlabel,
        ylabel=study.metric,
        title=_commonest(first, highest),
        levels=heights,
    )
    value = table.set_index(["panel", "line", "x"])["mean"].to_dict()
    others, told = [line for line in dict.fromkeys(lines.values()) if line != first], []
    for panel, place in highest.items():
        beside = []
        for line in others:
            if (panel, line, place) in value:
                peak = peaks[line, panel]
                beside.append(f"{line} there {value[panel, line, place]:.0f}")
                beside[-1] += "" if peak == place else f", at most {value[panel, line, peak]:.0f} at {peak}"
        beside += [f"{name} {level[panel]:.0f}" for name, level in heights.items() if panel in level]
        told.append(f"{panel}: highest at {place} with {value[panel, first, place]:.0f} ({'; '.join(beside)})")
    return Display(figure, f"{study.metric}. {'; '.join(told)}.", f"Highest mean of “{first}”: {where}.", table)


def _within_percent(study, table):
    """Cut intervals of percentages off at 0 and 100: no mean of such scores lies beyond, whatever Student's t says."""
    percentages = "%" in study.metric and study.runs["score"].between(0, 100).all()
    return table.assign(low=table["low"].clip(lower=0), high=table["high"].clip(upper=100)) if percentages else table


def _commonest(line, highest):
    """Say where most panels have their highest mean."""
    counts = highest.value_counts()
    return f"“{line}”: highest mean most often at {counts.index[0]}, in {counts.iloc[0]} of {len(highest)} panels"


def _curves(study, runs, table, names, values, finding, chance, against, axis, styles):
    labels = {"xlabel": unit_of(study), "ylabel": study.metric, "title": finding}
    x, drawn, wide = "budget", table, is_wide(values)
    if against is not None:
        if against not in runs:
            raise ValueError(f"The runs have no column {against!r}; they have {', '.join(map(str, runs))}.")
        x, wide = against, True
        drawn = table.merge(
            runs.groupby(["arm", "budget"], dropna=False)[against].mean().reset_index(), on=["arm", "budget"]
        )
        labels["xlabel"] = against.replace("_", " ")
    figure = curves(drawn, x=x, names=names, styles=styles, logarithmic=wide, axis=axis, **labels)
    axis = axis or figure.axes[0]
    if chance is not None and len(set(chance.values())) == 1:
        axis.axhline(
            next(iter(chance.values())), color="black", linestyle="--", linewidth=1, label="always the same answer"
        )
        legend_beside(axis, table["n"])
    return figure


def _chance_by_value(study, runs, values):
    """Return the score of the best answer that is always the same, by value of the axis; None where nobody has said."""
    if "chance" in runs:
        means = {value: float(runs.loc[rows_where(runs, "budget", value), "chance"].mean()) for value in values}
        return {value: round(mean, 9) for value, mean in means.items()}
    return None if study.chance is None else dict.fromkeys(values, study.chance)


def _words(study, table, names, values, chance):
    keys = zip(key_values(table, "arm"), key_values(table, "budget"), strict=True)
    means = dict(zip(keys, table["mean"], strict=True))
    told = [
        f"{name} {', '.join(f'{means[key, value]:.0f}' if (key, value) in means else '–' for value in values)}"
        for key, name in names.items()
    ]
    unit = f" {unit_of(study)}" if are_amounts(values) else ""
    words = f"{study.metric} at {', '.join(map(str, values))}{unit}: {'; '.join(told)}."
    if chance is None:
        return words
    if len(set(chance.values())) == 1:
        return f"{words} The best answer that is always the same would score {next(iter(chance.values())):.0f}."
    return f"{words} Chance: {', '.join(f'{chance[value]:.0f}' for value in values)}."


def _best(study, runs, value):
    """Say which arm is best at a value, if it is clearly better than the second."""
    here = runs[rows_where(runs, "budget", value)]
    means = here.groupby("arm")["score"].mean().sort_values(ascending=False)
    scores = [f"{study.label(arm)} {mean:.0f}" for arm, mean in means.iloc[:2].items()]
    is_clear = False
    if len(means) == 1:
        return f"{capital(scores[0])} {place_on(study, value)}"
    with contextlib.suppress(ValueError):  # where pairs are lacking, nothing is clear
        is_clear = paired_difference(here, *means.index[:2]).iloc[0]["low"] > 0
    if is_clear:
        return f"Best {place_on(study, value)}: {scores[0]}"
    return f"No clear best {place_on(study, value)}: {', '.join(scores)}"
