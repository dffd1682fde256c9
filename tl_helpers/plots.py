"""What does it look like? Figures whose titles state the finding, with intervals, n and a description in words."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito's palette (2008), told apart with any colour vision; the order keeps neighbours far apart in grey too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def show(figure, description):
    """Show a figure with its description below, and close it.

    JupyterLab gives a figure's picture no alternative text, so the description stands beside it, where screen readers
    and everybody else find it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    description : str
        What the figure shows, in a sentence or two, numbers included.
    """
    from IPython.display import Markdown, display

    display(figure)
    plt.close(figure)
    display(Markdown(f"*In words:* {description}"))


def say(text):
    """Show a sentence with computed numbers in it as Markdown.

    Parameters
    ----------
    text : str
        Markdown; an f-string, so that no number is typed.
    """
    from IPython.display import Markdown, display

    display(Markdown(text))


def in_words(row, unit="points"):
    """Put a paired difference into words.

    Parameters
    ----------
    row : pandas.Series
        One row of :func:`tl_helpers.experiments.paired_difference`.
    unit : str

    Returns
    -------
    str
        Such as ``"+4.2 points (95 % interval +1.0 to +7.4, n = 10)"``.
    """
    interval = f"95 % interval {row['low']:+.1f} to {row['high']:+.1f}, n = {row['n']:.0f}"
    return f"{row['difference']:+.1f} {unit} ({interval})"


def images(pictures, captions=None, *, columns=8, title="", side=1.2):
    """Lay pictures out in a grid.

    Parameters
    ----------
    pictures : array-like
        ``(n, h, w, 1 or 3)`` or a list of such ``(h, w, c)``, ``uint8``.
    captions : sequence of str, optional
        One per picture.
    columns : int
    title : str
    side : float
        Side of one picture in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = side + (0.22 if captions is not None else 0)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * side, rows * height + 0.4), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        axis.imshow(np.squeeze(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        if captions is not None:
            axis.set_title(captions[number], fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


def draw_boxes(axes, boxes, *, colour=PALETTE[4], label=None):
    """Draw one box on each of several axes.

    Parameters
    ----------
    axes : iterable of matplotlib.axes.Axes
    boxes : numpy.ndarray
        ``(n, 4)``: left, top, right, bottom in pixels.
    colour : str
    label : str, optional
        For the legend of the first axes.
    """
    for number, (axis, (left, top, right, bottom)) in enumerate(zip(axes, boxes, strict=False)):
        corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
        name = label if number == 0 else None
        axis.add_patch(plt.Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=2, label=name))


def curves(table, *, x, xlabel, ylabel, title, names=None, logarithmic=True, axis=None):
    """Draw one line with its interval band per arm.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``arm``, `x`, ``mean``, ``low``, ``high``, ``n``, as :func:`tl_helpers.experiments.confidence_interval`
        returns it.
    x : str
        Column of the horizontal axis.
    xlabel, ylabel : str
        With units.
    title : str
        The finding.
    names : dict of str to str, optional
        Arm → its name in the legend, in drawing order. All arms of the table by default.
    logarithmic : bool
        Horizontal axis.
    axis : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(8.5, 4), layout="constrained") if axis is None else (axis.figure, axis)
    names = names or {arm: arm for arm in table["arm"].unique()}
    for number, (arm, name) in enumerate(names.items()):
        rows = table[table["arm"] == arm].sort_values(x)
        colour = PALETTE[number % len(PALETTE)]
        axis.plot(rows[x], rows["mean"], color=colour, marker=MARKERS[number % len(MARKERS)], label=name, markersize=5)
        axis.fill_between(rows[x], rows["low"], rows["high"], color=colour, alpha=0.18, linewidth=0)
    if logarithmic:
        axis.set_xscale("log")
        ticks = sorted(table[x].unique())
        if len(ticks) <= 8:
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.minorticks_off()
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    axis.grid(alpha=0.25)
    _legend_beside(axis, table["n"])
    return figure


def differences(table, *, ylabel, xlabel, title, guess=None, axis=None):
    """Draw paired differences with their intervals against the line of no difference.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`tl_helpers.experiments.paired_difference` returns it, one row per position, in order; the first column
        names the positions.
    ylabel, xlabel, title : str
    guess : float, optional
        A learner's prediction, drawn as a dotted line.
    axis : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(7.5, 3.2), layout="constrained") if axis is None else (axis.figure, axis)
    positions = np.arange(len(table))
    spread = [table["difference"] - table["low"], table["high"] - table["difference"]]
    axis.axhline(0, color="black", linewidth=1)
    axis.errorbar(
        positions, table["difference"], yerr=spread, fmt="o", color=PALETTE[0], capsize=4, label="95 % interval"
    )
    if guess is not None:
        axis.axhline(guess, color=PALETTE[4], linestyle=":", label=f"your prediction: {guess:+g}")
    axis.set_xticks(positions, [str(name) for name in table.iloc[:, 0]])
    axis.set(ylabel=ylabel, xlabel=xlabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    axis.grid(alpha=0.25, axis="y")
    _legend_beside(axis, table["n"])
    return figure


def bars(names, values, *, xlabel, title, colours=None):
    """Draw horizontal bars, the first on top.

    Parameters
    ----------
    names : sequence of str
    values : sequence of float
    xlabel, title : str
    colours : sequence of str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(6.5, 0.35 * len(names) + 1.1), layout="constrained")
    axis.barh(np.arange(len(names)), values, color=colours or PALETTE[0])
    axis.set_yticks(np.arange(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel(xlabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    return figure


def confusion(counts, label_names, *, title, axis=None):
    """Draw a confusion matrix as shares of each true class.

    Parameters
    ----------
    counts : numpy.ndarray
        ``(k, k)``, rows are true classes, columns predicted ones.
    label_names : sequence of str
    title : str
    axis : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(5.2, 4.6), layout="constrained") if axis is None else (axis.figure, axis)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 55 else "black"
        axis.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    ticks = np.arange(len(label_names))
    axis.set_xticks(ticks, label_names, rotation=45, ha="right")
    axis.set_yticks(ticks, [f"{name} ({total})" for name, total in zip(label_names, counts.sum(axis=1), strict=True)])
    axis.set(xlabel="predicted (% of the true class)", ylabel="true class (n)")
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    return figure


def _legend_beside(axis, counts):
    """Put the legend to the right of the axes, where it hides no point, with n as its title."""
    settings = {"frameon": False, "fontsize": 9, "title_fontsize": 8, "alignment": "left"}
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title=_count_words(counts), **settings)


def _count_words(counts):
    """Say how many runs stand behind each point."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low} runs per point" if low == high else f"n = {low}–{high} runs per point"
