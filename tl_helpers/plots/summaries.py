"""What was answered, and which routes are there? Bars, a confusion matrix, the matrix of routes, with their words."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix

from tl_helpers.plots import charts
from tl_helpers.plots.display import Display


def bars(names, values, *, xlabel, title, groups=None, band=None):
    """Draw horizontal bars, the first on top.

    Parameters
    ----------
    names : sequence of str
    values : sequence of float
    xlabel, title : str
    groups : sequence of str, optional
        For each bar the group whose colour it has; two at most.
    band : tuple of (float, float, str), optional
        Low and high end of a grey band, and what it stands for.

    Returns
    -------
    Display

    Raises
    ------
    ValueError
        If the lengths differ, or with more than two groups.
    """
    names, values = list(map(str, names)), [float(value) for value in values]
    kinds = list(dict.fromkeys(groups)) if groups is not None else []
    if len(names) != len(values) or len(kinds) > 2 or (kinds and len(groups) != len(names)):
        raise ValueError("Give as many values (and groups, two kinds at most) as names.")
    palette = dict(zip(kinds, (charts.PALETTE[0], charts.PALETTE[4]), strict=False))
    colours = [palette[kind] for kind in groups] if kinds else None
    figure = charts.bars(names, values, xlabel=xlabel, title=title, colours=colours)
    told = [f"{name} {value:.3g}" for name, value in zip(names, values, strict=True)]
    words = f"{xlabel}: {', '.join(told)}."
    if kinds:
        told = [f"{kind} {word}" for kind, word in zip(kinds, ("blue", "orange-red"), strict=False)]
        words += f" Colours: {', '.join(told)}."
    if band is not None:
        low, high, meaning = band
        figure.axes[0].axvspan(low, high, color="grey", alpha=0.4)
        words += f" A grey band from {low:.3g} to {high:.3g}: {meaning}."
    return Display(figure, words)


def confusion(true, predicted, label_names, *, title):
    """Draw what was taken for what, as shares of each true class.

    Parameters
    ----------
    true, predicted : array-like of int
        ``(n,)``: classes 0, 1, ….
    label_names : sequence of str
    title : str

    Returns
    -------
    Display
        Its reading names the commonest mistake.

    Raises
    ------
    ValueError
        If a class is none of 0, 1, … as many as there are names.
    """
    if unknown := {*np.unique(true).tolist(), *np.unique(predicted).tolist()} - set(range(len(label_names))):
        raise ValueError(f"Classes are 0 to {len(label_names) - 1}, one for each name, not {sorted(unknown)[0]!r}.")
    counts = confusion_matrix(true, predicted, labels=range(len(label_names)))
    totals, right = counts.sum(axis=1), np.diag(counts)
    told = [
        f"{name} {100 * of_these / total:.0f}" if total else f"{name} (no examples)"
        for name, of_these, total in zip(label_names, right, totals, strict=True)
    ]
    wrong = counts - np.diag(right)
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    reading = "No mistake was made."
    if wrong[row, column]:
        reading = (
            f"The commonest mistake: {wrong[row, column]} of {totals[row]} “{label_names[row]}” are taken for "
            f"“{label_names[column]}”."
        )
    figure = charts.confusion(counts, label_names, title=title)
    return Display(figure, f"Answers in % of each true class; right: {', '.join(told)}.", reading)


def route_matrix(routes):
    """Draw the taxonomy's matrix: order by task by domain, one cell per route.

    Parameters
    ----------
    routes : sequence of tl_helpers.routes.taxonomy.Route

    Returns
    -------
    Display
    """
    words = " ".join(f"{route.name}: {route.definition}" for route in routes)
    return Display(charts.route_matrix(routes), words)
