"""What if I freeze more, or less? Accuracy and training time by depth, from stored runs and from one made now."""

from __future__ import annotations

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from tl_helpers.experiments.intervals import confidence_interval
from tl_helpers.experiments.stored import load_study
from tl_helpers.plots import charts
from tl_helpers.studies.freezing import DEPTHS, FREEZING_TARGETS, fit_depth_once
from tl_helpers.widgets.explorer import (
    Explorer,
    beside,
    choice,
    escaped,
    paragraph,
    picture_of,
    slider,
    words_below,
)
from tl_helpers.widgets.live import LiveButton

DEPTH_NAMES = {
    "none": "nothing",
    "conv1": "conv1",
    "conv2": "up to conv2",
    "conv3": "up to conv3",
    "conv4": "all but the head",
}


def freeze_figure(target, *, depth, labels, live=None):
    """Draw accuracy and training time against the depth of freezing, one depth marked; from stored runs.

    Parameters
    ----------
    target : str
        One of :data:`tl_helpers.studies.freezing.FREEZING_TARGETS`.
    depth : str
        The last frozen layer, one of :data:`tl_helpers.studies.freezing.DEPTHS`.
    labels : int
        Labels per class: one of the stored budgets.
    live : dict of str to float, optional
        Depth → accuracy in % of a run made just now, drawn as a star.

    Returns
    -------
    figure : matplotlib.figure.Figure
    words : str
        What it shows at the marked depth.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    if target not in FREEZING_TARGETS:
        raise ValueError(f"target must be one of {', '.join(FREEZING_TARGETS)}, not {target!r}.")
    runs = load_study(FREEZING_TARGETS[target].name).runs
    budgets = _budgets(runs)
    if depth not in DEPTHS or labels not in budgets:
        raise ValueError(
            f"depth must be one of {', '.join(DEPTHS)} and labels one of {', '.join(map(str, budgets))}; "
            f"they are {depth!r} and {labels!r}."
        )
    runs = runs[(runs["budget"] == labels) & runs["arm"].isin(DEPTHS)]
    table = confidence_interval(runs).set_index("arm").loc[list(DEPTHS)]
    costs = runs.groupby("arm")[["trainable", "train_seconds"]].mean().loc[list(DEPTHS)]
    chosen, cost = table.loc[depth], costs.loc[depth]
    words = (
        f"{target}, {labels} labels per class, frozen: {DEPTH_NAMES[depth]}. {cost.trainable:,.0f} parameters move, "
        f"training takes {cost.train_seconds:.1f} CPU seconds, accuracy is {chosen['mean']:.1f} % "
        f"(95 % interval {chosen.low:.1f} to {chosen.high:.1f}, n = {chosen.n:.0f})."
    )

    figure, (accuracy, seconds) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", width_ratios=(3, 2))
    positions = np.arange(len(DEPTHS))
    colours = [charts.PALETTE[4] if name == depth else charts.PALETTE[0] for name in DEPTHS]
    for position, row, colour in zip(positions, table.itertuples(), colours, strict=True):
        spread = [[row.mean - row.low], [row.high - row.mean]]
        accuracy.errorbar(position, row.mean, yerr=spread, fmt="o", color=colour, capsize=4)
    for name, score in (live or {}).items():
        accuracy.plot(DEPTHS.index(name), score, marker="*", markersize=13, color=charts.PALETTE[6], linestyle="none")
        accuracy.annotate("now", (DEPTHS.index(name), score), xytext=(8, 0), textcoords="offset points", fontsize=8)
    highest = table["mean"].idxmax()
    accuracy.set(ylabel="accuracy (%)", xlabel=f"frozen layers (95 % intervals, n = {chosen.n:.0f})")
    title = f"{target.capitalize()}, {labels} labels per class: highest with “{DEPTH_NAMES[highest]}” frozen"
    accuracy.set_title(title, fontsize=11, loc="left")
    accuracy.grid(alpha=0.25, axis="y")
    seconds.bar(positions, costs["train_seconds"], color=colours)
    seconds.set(ylabel="CPU seconds", xlabel="frozen layers")
    seconds.set_title("Time of 300 updates", fontsize=11, loc="left")
    for axis in (accuracy, seconds):
        axis.set_xticks(positions, [DEPTH_NAMES[name].replace(" ", "\n") for name in DEPTHS], fontsize=8)
    return figure, words


def freeze_explorer():
    """Explore how deep to freeze: a slider over stored runs, and a button that trains one setting now.

    Returns
    -------
    Explorer
        Its parts are also attributes: ``target``, ``depth``, ``labels``, ``button``, ``progress``, ``picture``,
        ``message``.
    """
    budgets = {name: _budgets(load_study(study.name).runs) for name, study in FREEZING_TARGETS.items()}
    target = choice("target", list(FREEZING_TARGETS))
    labels = choice("labels per class", budgets[target.value], value=20)
    depth = slider("freeze", [(DEPTH_NAMES[name], name) for name in DEPTHS])
    picture, message = ipywidgets.HTML(), words_below()
    live = {}

    def draw(*said):
        scores = live.get((target.value, labels.value), {})
        figure, words = freeze_figure(target.value, depth=depth.value, labels=labels.value, live=scores)
        told = f"{figure.axes[0].get_title(loc='left')}. Accuracy and training time of each depth; in words below."
        picture.value = picture_of(figure, told)
        score = scores.get(depth.value)
        now = "" if score is None else f"<b>One run, just now: {score:.1f} % (the star).</b>"
        message.value = paragraph(*said, escaped(words), now)

    def train(tell):
        where = target.value, labels.value, depth.value
        tell(f"training, frozen: {DEPTH_NAMES[where[2]]}")
        live.setdefault(where[:2], {})[where[2]] = fit_depth_once(*where)
        draw()

    def offer(_):
        asked, offered = labels.value, budgets[target.value]
        kept = asked if asked in offered else 20
        if labels.options != tuple(offered):
            labels.unobserve(follow, names="value")
            labels.options = offered  # which chooses the first
            labels.value = kept
            labels.observe(follow, names="value")
        draw("" if kept == asked else f"<b>There are no runs with {asked} labels here: {kept} labels instead.</b>")

    def follow(_):
        draw()

    target.observe(offer, names="value")
    for control in (depth, labels):
        control.observe(follow, names="value")
    live_button = LiveButton(
        "train this now", train, complain=lambda words: setattr(message, "value", paragraph(words))
    )
    draw()
    parts = {"target": target, "depth": depth, "labels": labels, "picture": picture, "message": message}
    parts |= {"button": live_button.button, "progress": live_button.progress}
    return Explorer([beside(target, labels), depth, live_button, picture, message], **parts)


def _budgets(runs):
    return sorted(int(budget) for budget in runs["budget"].unique())
