"""What does it look like? Figures whose titles state the finding, with intervals, n and a description in words."""

from __future__ import annotations

import html
import numbers

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.pylabtools import print_figure
from IPython.display import Markdown, display
from matplotlib.ticker import FuncFormatter, LogLocator

from tl_helpers.experiments.intervals import confidence_interval
from tl_helpers.experiments.stored import load_study
from tl_helpers.files import atomic_path, data_folder
from tl_helpers.grid.keys import key_values, rows_where

# Okabe and Ito's palette (2008), told apart with any colour vision; the order keeps neighbours far apart in grey too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def show(figure, description):
    """Show a figure with its description below, and close it.

    The picture is HTML with an alternative text, which JupyterLab gives no other: the figure's titles, and that more is
    said below, where the description stands for everybody.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    description : str
        What the figure shows, in a sentence or two, numbers included.
    """
    told = f"Figure, in words below. {titles(figure)}".strip()
    image = picture(print_figure(figure, base64=True), told)
    plt.close(figure)
    display({"text/html": image, "text/plain": told}, raw=True)
    display(Markdown(f"*In words:* {description}"))


def picture(content, told):
    """Write a picture as HTML.

    Parameters
    ----------
    content : str
        A PNG file in base 64.
    told : str
        What it shows, for those who do not see it.

    Returns
    -------
    str
    """
    style = "max-width: 100%; height: auto; display: block"
    return f'<img alt="{html.escape(told)}" style="{style}" src="data:image/png;base64,{content}">'


def titles(figure):
    """Return the title of a figure, or where it has none those of its axes, as one text.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    str
        Empty where there is none.
    """
    places = [(axis, where) for axis in figure.axes for where in ("left", "center", "right")]
    told = figure.get_suptitle() or " ".join(axis.get_title(loc=where) for axis, where in places)
    return " ".join(told.split())


def say(text):
    """Show a sentence with computed numbers in it as Markdown.

    Parameters
    ----------
    text : str
        Markdown; an f-string, so that no number is typed.
    """
    display(Markdown(text))


def in_words(row, unit="points"):
    """Put a paired difference into words.

    Parameters
    ----------
    row : pandas.Series
        One row of :func:`tl_helpers.experiments.intervals.paired_difference`.
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


def frame_pictures(axes, right):
    """Frame pictures that are right with a solid line and those that are wrong with a dashed one.

    Parameters
    ----------
    axes : iterable of matplotlib.axes.Axes
        One per picture.
    right : iterable of bool or None
        None leaves a picture without a frame.
    """
    for axis, is_right in zip(axes, right, strict=False):
        if is_right is not None:
            colour, line = (PALETTE[0], "-") if is_right else (PALETTE[1], "--")
            drawn = {"edgecolor": colour, "linestyle": line, "linewidth": 2.5, "clip_on": False, "fill": False}
            axis.add_patch(plt.Rectangle((-0.04, -0.04), 1.08, 1.08, transform=axis.transAxes, **drawn))


def curves(table, *, x, xlabel, ylabel, title, names=None, styles=None, logarithmic=True, axis=None):
    """Draw one line with its interval band per arm.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``arm``, `x`, ``mean``, ``low``, ``high``, ``n``, as
        :func:`tl_helpers.experiments.intervals.confidence_interval` returns it.
    x : str
        Column of the horizontal axis. None (all labels) has no place among numbers: it stands apart on the right, at a
        place of its own that is called None.
    xlabel, ylabel : str
        With units.
    title : str
        The finding.
    names : dict of str to str, optional
        Arm → its name in the legend, in drawing order. All arms of the table by default.
    styles : dict of str to tuple, optional
        Arm → colour, marker and line style; one of the palette for each arm by default.
    logarithmic : bool
        Horizontal axis.
    axis : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(8.5, 4), layout="constrained") if axis is None else (axis.figure, axis)
    names = names or {arm: arm for arm in dict.fromkeys(key_values(table, "arm"))}
    apart = rows_where(table, x, None)
    ticks = sorted({value for value in key_values(table, x) if value is not None})
    for number, (arm, name) in enumerate(names.items()):
        of_arm = rows_where(table, "arm", arm)
        rows = table[of_arm & ~apart].sort_values(x)
        colour, marker, line = styles[arm] if styles else (*line_style(number), "-")
        drawn = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5}
        axis.plot(list(rows[x]), rows["mean"], label=str(name), **drawn)
        axis.fill_between(list(rows[x]), rows["low"], rows["high"], color=colour, alpha=0.18, linewidth=0)
        if len(rows) == 1:  # a band without width cannot be seen
            spread = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
            axis.errorbar(list(rows[x]), rows["mean"], yerr=spread, fmt=marker, color=colour, markersize=5, capsize=3)
        for _, row in table[of_arm & apart].iterrows():
            place, spread = _place_apart(ticks, logarithmic), [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
            axis.errorbar([place], [row["mean"]], yerr=spread, fmt=marker, color=colour, markersize=5, capsize=3)
    if logarithmic:
        axis.set_xscale("log")
    if apart.any():
        shown = ticks[:: -(-len(ticks) // 8)] if ticks else []
        axis.set_xticks([*shown, _place_apart(ticks, logarithmic)], [*map(short, shown), "None"])
        axis.minorticks_off()
    elif logarithmic and len(ticks) <= 8:
        axis.set_xticks(ticks, list(map(short, ticks)))
        axis.minorticks_off()
    elif logarithmic:
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.minorticks_off()
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    axis.grid(alpha=0.25)
    legend_beside(axis, table["n"])
    return figure


def line_style(number):
    """Return colour and marker of the n-th line: from the eighth on with another marker.

    Parameters
    ----------
    number : int

    Returns
    -------
    tuple of str
    """
    return PALETTE[number % len(PALETTE)], MARKERS[(number + number // len(PALETTE)) % len(MARKERS)]


def short(number):
    """Write a number under an axis.

    Parameters
    ----------
    number : float

    Returns
    -------
    str
        A whole one in full, another with three digits.
    """
    return f"{number:.0f}" if float(number).is_integer() else f"{number:.3g}"


def _place_apart(amounts, logarithmic):
    """Return a place to the right of all numbers, as far from the last as that is from the one before."""
    if not amounts:
        return 1.0
    last, before = amounts[-1], amounts[-2] if len(amounts) > 1 else None
    if logarithmic:
        return last * (last / before if before and before > 0 else 2)
    return last + (last - before if before is not None else 1)


def differences(table, *, ylabel, xlabel, title, guess=None, row=None, axis=None):
    """Draw paired differences with their intervals against the line of no difference.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`tl_helpers.experiments.intervals.paired_difference` returns it, one row per position, in order; the
        first column names the positions.
    ylabel, xlabel, title : str
    guess : float, optional
        A learner's prediction, drawn as a star.
    row : int, optional
        The row for which it was made; a dotted line along all of them by default.
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
        label = f"your prediction: {guess:+g}"
        if row is None:
            axis.axhline(guess, color=PALETTE[4], linestyle=":", label=label)
        else:
            axis.plot([row], [guess], "*", color=PALETTE[4], markersize=12, label=label)
    axis.set_xticks(positions, [str(name) for name in key_values(table, table.columns[0])])
    axis.set(ylabel=ylabel, xlabel=xlabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    axis.grid(alpha=0.25, axis="y")
    legend_beside(axis, table["n"])
    return figure


def grouped_differences(table, *, order, ylabel, xlabel, title, guess=None, row=None, axis=None):
    """Draw several comparisons' paired differences beside each other, against the line of no difference.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``comparison``, ``budget``, ``difference``, ``low``, ``high``, ``n``. Comparisons come in order of
        appearance.
    order : sequence
        Values of ``budget`` as they are drawn, from left to right; where they are long names, from top to bottom.
    ylabel, xlabel, title : str
        `ylabel` tells what the differences are, also where they lie along the horizontal.
    guess : float, optional
        A learner's prediction, drawn as a star.
    row : int, optional
        The position for which it was made.
    axis : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    places, names = list(order), list(dict.fromkeys(table["comparison"]))
    is_given = axis is not None
    sideways = not is_given and max(len(str(place)) for place in places) > 12
    size = (9, max(2.4, 0.3 * len(places) * min(len(names), 4) + 1.4)) if sideways else (8.5, 3.8)
    figure, axis = plt.subplots(figsize=size, layout="constrained") if axis is None else (axis.figure, axis)
    width = min(0.3, 0.08 * len(names))
    shifts = np.linspace(-width, width, len(names)) if len(names) > 1 else [0]
    (axis.axvline if sideways else axis.axhline)(0, color="black", linewidth=1)
    for number, name in enumerate(names):
        part = table[table["comparison"] == name]
        at = [places.index(value) + shifts[number] for value in key_values(part, "budget")]
        spread = [part["difference"] - part["low"], part["high"] - part["difference"]]
        colour, marker = line_style(number)
        drawn = {"color": colour, "fmt": marker, "markersize": 5}
        where = (
            {"x": part["difference"], "y": at, "xerr": spread}
            if sideways
            else {"x": at, "y": part["difference"], "yerr": spread}
        )
        axis.errorbar(**where, **drawn, capsize=3, label=name)
    if guess is not None:
        star = {"color": PALETTE[4], "markersize": 12, "label": f"your prediction: {guess:+g}"}
        axis.plot(*([guess], [row]) if sideways else ([row], [guess]), "*", **star)
    ticks = range(len(places)), [short(place) if isinstance(place, numbers.Real) else str(place) for place in places]
    if sideways:
        axis.set_yticks(*ticks)
        axis.set(xlabel=ylabel.replace("\n", " "), ylim=(len(places) - 0.4, -0.6))  # the first on top
    else:
        turned = {"rotation": 30, "ha": "right"} if max(map(len, ticks[1])) > 8 else {}
        axis.set_xticks(*ticks, **turned)
        axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    axis.grid(alpha=0.25, axis="x" if sideways else "y")
    if len(names) == 1 and guess is None:
        legend_beside(axis, table["n"])
        axis.get_legend().get_texts()[0].set_text("95 % interval")
    elif max(map(len, names)) > 45:  # beside the axes they would leave no room for these
        if not is_given:
            figure.set_figheight(figure.get_figheight() + 0.25 * (len(names) + 1))
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.2), "title": _count_words(table["n"])}
        axis.legend(**below, frameon=False, fontsize=9, title_fontsize=8, alignment="left")
    else:
        legend_beside(axis, table["n"])
    return figure


def route_matrix(routes, *, lit=None, axis=None):
    """Draw the taxonomy's matrix: order by task by domain, one cell per route.

    Parameters
    ----------
    routes : sequence of tl_helpers.routes.taxonomy.Route
    lit : str, optional
        Name of the route whose cell stands out.
    axis : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axis = plt.subplots(figsize=(11, 2.9), layout="constrained") if axis is None else (axis.figure, axis)
    columns = [(True, True), (True, False), (False, True), (False, False)]
    orders = ["sequential", "simultaneous"]
    for route in routes:
        column, row = columns.index((route.same_task, route.same_domain)), orders.index(route.order)
        colour, ink = (PALETTE[0], "white") if route.name == lit else ("#eeeeee", "black")
        axis.add_patch(plt.Rectangle((column + 0.03, row + 0.05), 0.94, 0.9, facecolor=colour, edgecolor="none"))
        style = {"ha": "center", "va": "center", "color": ink, "fontsize": 10, "fontweight": "bold"}
        axis.text(column + 0.5, row + 0.5, route.name, **style)
    words = {True: "same", False: "different"}
    headings = [f"{words[task]} task,\n{words[domain]} domain" for task, domain in columns]
    axis.set(xlim=(0, 4), ylim=(2, 0))
    axis.set_xticks(np.arange(4) + 0.5, headings, fontsize=9)
    axis.xaxis.tick_top()
    axis.set_yticks([0.5, 1.5], ["one after\nthe other", "at the\nsame time"], fontsize=9)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
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


def picture_rows(rows, names, *, title, headings=None, side=0.8):
    """Lay out rows of pictures, each with its name on the left.

    Parameters
    ----------
    rows : sequence of array-like
        Each ``(n, h, w, 1 or 3)``, ``uint8``; sizes may differ from row to row.
    names : sequence of str
        One per row.
    title : str
    headings : sequence of str, optional
        One per column.
    side : float
        Side of one picture in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = max(len(row) for row in rows)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(columns * side + 2.2, len(rows) * side + 0.6),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for line, row, name in zip(axes, rows, names, strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        for axis, picture in zip(line, row, strict=False):
            axis.imshow(np.squeeze(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for axis, heading in zip(axes[0], headings or (), strict=False):
        axis.set_title(heading, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


def panels(table, *, x, order, names, xlabel, ylabel, title, levels=None, columns=3):
    """Draw one small chart per panel, each with the same lines and their intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``panel``, ``line``, `x`, ``mean``, ``low``, ``high``, ``n``. Panels come in order of appearance.
    x : str
        Column of the horizontal axis.
    order : sequence of str
        Its values from left to right.
    names : dict of str to str
        Value of ``line`` → its name in the legend, in drawing order.
    xlabel, ylabel, title : str
    levels : dict of str to dict of str to float, optional
        Name → panel → height of a dashed line, such as chance.
    columns : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    titles = list(dict.fromkeys(key_values(table, "panel")))
    rows = -(-len(titles) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.4 * columns, 2.2 * rows + 0.9), squeeze=False, sharex=True, layout="constrained"
    )
    positions = {name: number for number, name in enumerate(order)}
    for axis, panel in zip(axes.flat, titles, strict=False):
        for number, line in enumerate(names):
            part = table[rows_where(table, "panel", panel) & rows_where(table, "line", line)]
            part = part.assign(position=[positions.get(value, np.nan) for value in key_values(part, x)])
            part = part.sort_values("position")
            colour, marker = line_style(number)
            axis.plot(part["position"], part["mean"], label=names[line], color=colour, marker=marker, markersize=4)
            axis.fill_between(part["position"], part["low"], part["high"], color=colour, alpha=0.18, linewidth=0)
        for number, (name, heights) in enumerate((levels or {}).items()):
            style = {"color": "black", "linestyle": ("--", ":")[number % 2], "linewidth": 1}
            if panel in heights:
                axis.axhline(heights[panel], label=name, **style)
        axis.set_title(str(panel), fontsize=10, loc="left")
        axis.set_ylim(min(0, table["low"].min()), max(100, table["high"].max()))
        axis.grid(alpha=0.25)
        axis.set_xticks(range(len(order)), list(map(str, order)), rotation=90, fontsize=8)
        axis.tick_params(axis="x", labelbottom=False)
    for axis in axes.flat[max(len(titles) - columns, 0) : len(titles)]:  # those with none below
        axis.tick_params(axis="x", labelbottom=True)
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    settings = {"frameon": False, "fontsize": 9, "title_fontsize": 8, "title": _count_words(table["n"])}
    if len(titles) < axes.size:
        axes.flat[-1].legend(handles, labels, loc="center", alignment="left", **settings)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), **settings)
    figure.supxlabel(xlabel, fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    figure.suptitle(title, fontsize=11)
    return figure


def dots(table, *, row, names, xlabel, title, marks=None):
    """Draw means with their intervals, one row per item, one marker per arm.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `row`, ``arm``, ``mean``, ``low``, ``high``, ``n``, as
        :func:`tl_helpers.experiments.intervals.confidence_interval` returns it. Rows come in order of appearance, the
        first on top.
    row : str
        Column that names the rows.
    names : dict of str to str
        Arm → its name in the legend, in drawing order.
    xlabel, title : str
    marks : dict of str to float, optional
        Row → position of a short black line: chance.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = list(dict.fromkeys(key_values(table, row)))
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.2), layout="constrained")
    heights = {name: number for number, name in enumerate(rows)}
    shifts = np.linspace(-0.2, 0.2, len(names))
    for number, (arm, name) in enumerate(names.items()):
        part = table[rows_where(table, "arm", arm)]
        colour, marker = line_style(number)
        style = {"color": colour, "fmt": marker, "markersize": 5, "capsize": 3, "label": name}
        spread = [part["mean"] - part["low"], part["high"] - part["mean"]]
        places = [heights[value] + shifts[number] for value in key_values(part, row)]
        axis.errorbar(part["mean"], places, xerr=spread, **style)
    if marks is not None:
        places = [heights[name] for name in rows]
        axis.plot([marks[name] for name in rows], places, "|", color="black", markersize=16, label="chance")
    axis.set_yticks(range(len(rows)), list(map(str, rows)))
    axis.invert_yaxis()
    axis.set_xlabel(xlabel)
    axis.set_title(title, fontsize=11, loc="left", wrap=True)
    axis.grid(alpha=0.25)
    legend_beside(axis, table["n"])
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


def legend_beside(axis, counts):
    """Put the legend to the right of the axes, where it hides no point, with n as its title.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    counts : pandas.Series
        Runs behind each point.
    """
    settings = {"frameon": False, "fontsize": 9, "title_fontsize": 8, "alignment": "left"}
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title=_count_words(counts), **settings)


def _count_words(counts):
    """Say how many runs stand behind each point."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low} runs per point" if low == high else f"n = {low}–{high} runs per point"


def overview():
    """Draw the README's figure from the stored results into ``data/results/overview.png``."""
    panels = [
        (
            "emoji_labels",
            "Emoji, eight groups: ImageNet features\nor a small network from scratch",
            {"features": "frozen ImageNet features", "pixels": "regression on pixels", "scratch": "from scratch"},
        ),
        (
            "street_labels",
            "Garments in line drawings: fine-tuned\nfrom photographs, or from scratch",
            {"fine_tuning": "fine-tuned", "scratch": "from scratch", "forest": "random forest, pixels"},
        ),
    ]
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 3.8), layout="constrained")
    for axis, (name, title, arms) in zip(axes, panels, strict=True):
        table = confidence_interval(load_study(data_folder() / f"results/{name}.csv").runs)
        settings = {"xlabel": "labels per class", "ylabel": "test accuracy (%)", "title": title, "names": arms}
        curves(table, x="budget", axis=axis, **settings)
    with atomic_path(data_folder() / "results/overview.png") as path:
        figure.savefig(path, dpi=110)
    plt.close(figure)
