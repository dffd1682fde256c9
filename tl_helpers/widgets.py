"""What happens if I choose otherwise? Explorers with sliders, each with a function that draws the same as a figure."""

from __future__ import annotations

import io
from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from tl_helpers.experiments.intervals import confidence_interval
from tl_helpers.experiments.stored import load_study
from tl_helpers.models.feature_maps import strongest_patches
from tl_helpers.plots import charts
from tl_helpers.routes.taxonomy import ROUTES, find_route, route_of, source_and_target
from tl_helpers.studies.catalogue import ROUTE_STUDIES
from tl_helpers.studies.freezing import DEPTHS, FREEZING_TARGETS, fit_depth_once
from tl_helpers.studies.route_results import route_gains, route_verdict, run_route

# ---------------------------------------------------------------- how deep to freeze

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
    best = table["mean"].idxmax()
    accuracy.set(ylabel="accuracy (%)", xlabel=f"frozen layers (95 % intervals, n = {chosen.n:.0f})")
    title = f"{target.capitalize()}, {labels} labels per class: best with “{DEPTH_NAMES[best]}” frozen"
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
    ipywidgets.VBox
        Its parts are also attributes: ``target``, ``depth``, ``labels``, ``button``, ``picture``, ``message``.
    """
    budgets = {name: _budgets(load_study(study.name).runs) for name, study in FREEZING_TARGETS.items()}
    style = {"style": {"description_width": "7em"}}
    target = ipywidgets.ToggleButtons(options=list(FREEZING_TARGETS), description="target", **style)
    depth = ipywidgets.SelectionSlider(
        options=[(DEPTH_NAMES[name], name) for name in DEPTHS],
        description="freeze",
        continuous_update=False,
        layout={"width": "32em"},
        **style,
    )
    labels = ipywidgets.SelectionSlider(
        options=budgets[target.value], value=20, description="labels per class", continuous_update=False, **style
    )
    button = ipywidgets.Button(description="train this now", icon="play", tooltip="one run, a few seconds")
    message, picture = ipywidgets.HTML(), ipywidgets.Image(format="png")
    live = {}

    def draw(_=None):
        scores = live.get((target.value, labels.value), {})
        figure, words = freeze_figure(target.value, depth=depth.value, labels=labels.value, live=scores)
        picture.value = picture_of(figure)
        score = scores.get(depth.value)
        message.value = words + ("" if score is None else f" <b>One run, just now: {score:.1f} %.</b>")

    def train(_):
        where = target.value, labels.value, depth.value
        button.disabled = True
        message.value = "Training…"
        try:
            live.setdefault(where[:2], {})[where[2]] = fit_depth_once(*where)
            draw()
        except Exception as error:  # a traceback in a callback would be shown nowhere
            message.value = f"It did not work: {error}"
        finally:
            button.disabled = False

    def offer(_):
        if labels.options == tuple(budgets[target.value]):
            draw()
        else:
            kept = labels.value if labels.value in budgets[target.value] else 20
            with labels.hold_trait_notifications():
                labels.options, labels.value = budgets[target.value], kept
            draw()

    target.observe(offer, names="value")
    for control in (depth, labels):
        control.observe(draw, names="value")
    button.on_click(train)
    draw()
    return explorer(target=target, depth=depth, labels=labels, button=button, message=message, picture=picture)


def _budgets(runs):
    return sorted(int(budget) for budget in runs["budget"].unique())


# ---------------------------------------------------------------- what a channel looks for


def feature_figure(peaks, maps, pictures, *, stage, channel, picture):
    """Draw what one channel of one stage answers to, in one picture and among many.

    Parameters
    ----------
    peaks : tl_helpers.models.feature_maps.Peaks
        From :func:`tl_helpers.models.feature_maps.find_peaks`, of many pictures.
    maps : dict of str to numpy.ndarray
        From :func:`tl_helpers.models.feature_maps.activation_maps`, of `pictures`.
    pictures : Dataset
        A few pictures to look into.
    stage : str
    channel : int
    picture : int
        Which of `pictures`.

    Returns
    -------
    figure : matplotlib.figure.Figure
    words : str
        What it shows.

    Raises
    ------
    ValueError
        If there is no such stage, channel or picture.
    """
    if not 0 <= picture < len(pictures):
        raise ValueError(f"There are pictures 0…{len(pictures) - 1}, not {picture}.")
    patches, _ = strongest_patches(peaks, stage, channel, count=8)
    answers = maps[stage][picture, :, :, channel]
    field, channels = peaks.fields[stage], maps[stage].shape[-1]
    name = pictures.texts[picture]
    words = (
        f"{stage}, channel {channel} of 0…{channels - 1}, on “{name}”: {answers.shape[0]} × {answers.shape[1]} "
        f"answers, each of which sees at most {field.size} × {field.size} pixels; left the picture, then the answers "
        "(bright is strong), right the eight patches that excite the channel most among all photographs."
    )

    figure = plt.figure(figsize=(10, 2.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    shown, answered = left.subplots(1, 2)
    shown.imshow(np.squeeze(pictures.x[picture]), cmap="gray", vmin=0, vmax=255)
    shown.set_title(name, fontsize=9)
    answered.imshow(answers, cmap="magma")
    answered.set_title(f"{stage}, channel {channel}", fontsize=9)
    right.suptitle("what excites it most", fontsize=9)
    for axis, patch in zip(right.subplots(2, 4).flat, patches, strict=True):
        axis.imshow(np.squeeze(patch), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_axis_off()
    for axis in (shown, answered):
        axis.set_axis_off()
    return figure, words


def feature_explorer(peaks, maps, pictures, *, stage="stem", channel=0, picture=0):
    """Explore what each channel of a network looks for: choose stage, channel and picture.

    Parameters
    ----------
    peaks, maps, pictures, stage, channel, picture
        As in :func:`feature_figure`, which draws the same; the last three are where to begin.

    Returns
    -------
    Explorer
        Its parts are also attributes: ``stage``, ``channel``, ``subject``, ``message``, ``picture``.
    """
    style = {"style": {"description_width": "5em"}}
    stages = ipywidgets.SelectionSlider(
        options=list(maps), value=stage, description="stage", continuous_update=False, **style
    )
    channels = ipywidgets.IntSlider(
        channel, 0, maps[stage].shape[-1] - 1, description="channel", continuous_update=False, **style
    )
    names = [(name, number) for number, name in enumerate(pictures.texts)]
    subject = ipywidgets.Dropdown(options=names, value=picture, description="picture", **style)
    message, shown = ipywidgets.HTML(), ipywidgets.Image(format="png")

    def draw(_=None):
        figure, words = feature_figure(
            peaks, maps, pictures, stage=stages.value, channel=channels.value, picture=subject.value
        )
        shown.value, message.value = picture_of(figure), words

    def change_stage(_):
        last = maps[stages.value].shape[-1] - 1
        with channels.hold_trait_notifications():
            channels.value = min(channels.value, last)
            channels.max = last
        draw()

    stages.observe(change_stage, names="value")
    for control in (channels, subject):
        control.observe(draw, names="value")
    draw()
    return explorer(stage=stages, channel=channels, subject=subject, message=message, picture=shown)


# ---------------------------------------------------------------- the eight routes


def route_figure(route, *, live=None):
    """Draw a route: its cell in the matrix, pictures of its source and target, and what it gained in the stored runs.

    Parameters
    ----------
    route : Route or str
    live : pandas.DataFrame, optional
        Runs made just now, as :func:`tl_helpers.studies.route_results.run_route` returns them; their gains are drawn as
        stars.

    Returns
    -------
    figure : matplotlib.figure.Figure
    words : str
        Definition, examples and gain.
    """
    route = find_route(route)
    gains = _stored_gains()
    gains = gains[gains["route"] == route.name]
    study = ROUTE_STUDIES[route.study]
    figure = plt.figure(figsize=(11.5, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.6, 3.4))
    charts.route_matrix(ROUTES, lit=route.name, axis=above.subplots())
    left, right = below.subfigures(1, 2, width_ratios=(5, 6))
    pair = source_and_target(route, n=5, seed=1)
    for line, name, data in zip(left.subplots(2, 5), ("source", "target"), pair, strict=True):
        for axis, picture, label in zip(line, data.x, data.y, strict=False):
            axis.imshow(np.squeeze(picture), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(data.label_names[label], fontsize=8)
        line[0].set_ylabel(name)
    axis = right.subplots()
    at = gains.set_index("budget").loc[[gains["budget"].min(), gains["budget"].max()], "difference"]
    few, many = at.index
    charts.differences(
        gains.drop(columns="route"),
        xlabel=study.axis.unit,
        ylabel=f"gain (points of {study.metric.removesuffix(' in %')})",
        title=f"{at[few]:+.1f} points at {few} {study.axis.unit}, {at[many]:+.1f} at {many}",
        axis=axis,
    )
    for budget, gain in _live_gains(route, live):
        axis.plot(gains["budget"].tolist().index(budget), gain, "*", markersize=14, color=charts.PALETTE[6])
    words = (
        f"{route.name}. {route.definition} The taxonomy's example: {route.example}. Ours: {route.ours}. "
        f"{route_verdict(route).sentence}"
    )
    return figure, words


@cache  # eight verdicts, which every choice would wait for
def _stored_gains():
    return route_gains()


def _live_gains(route, live):
    """Return (budget, gain) of runs made just now."""
    if live is None:
        return []
    treatment, baseline = ROUTE_STUDIES[route.study].compared
    scores = live.groupby(["budget", "arm"])["score"].mean().unstack()
    return list((scores[treatment] - scores[baseline]).items())


def route_explorer():
    """Explore the taxonomy: three questions choose a route, and a button runs a small slice of its experiment now.

    Returns
    -------
    Explorer
        Its parts are also attributes: ``task``, ``domain``, ``order``, ``button``, ``progress``, ``message``,
        ``picture``.
    """
    style = {"style": {"description_width": "4em", "button_width": "11em"}}
    answers = {
        "task": [("same", True), ("different", False)],
        "domain": [("same", True), ("different", False)],
        "order": [("one after the other", "sequential"), ("at the same time", "simultaneous")],
    }
    task, domain, order = (
        ipywidgets.ToggleButtons(options=options, description=name, **style) for name, options in answers.items()
    )
    button = ipywidgets.Button(
        description="run a slice now", icon="play", tooltip="two networks, one seed, some seconds"
    )
    progress, message = ipywidgets.Output(), ipywidgets.HTML()
    picture = ipywidgets.Image(format="png")
    live = {}

    def chosen():
        return route_of(same_task=task.value, same_domain=domain.value, order=order.value)

    def draw(_=None):
        route = chosen()
        figure, words = route_figure(route, live=live.get(route.name))
        picture.value = picture_of(figure)
        name, _, rest = words.partition(". ")
        message.value = f"<b>{name}.</b> {rest}"
        for budget, gain in _live_gains(route, live.get(route.name)):
            message.value += f" <b>One seed, just now, at {budget}: {gain:+.1f} points (the star).</b>"

    def run(_):
        route = chosen()
        button.disabled = True
        try:
            with progress:
                live[route.name] = run_route(route, budgets=ROUTE_STUDIES[route.study].axis.values[1:2])
            draw()
        except Exception as error:  # a traceback in a callback would be shown nowhere
            message.value = f"It did not work: {error}"
        finally:
            progress.clear_output()
            button.disabled = False

    for control in (task, domain, order):
        control.observe(draw, names="value")
    button.on_click(run)
    draw()
    parts = {"task": task, "domain": domain, "order": order, "button": button}
    return explorer(**parts, progress=progress, message=message, picture=picture)


# ---------------------------------------------------------------- for all explorers


class Explorer(ipywidgets.VBox):
    """Controls above what they show. Where widgets cannot be shown, it says what to do instead of its type.

    Parameters
    ----------
    children : sequence of ipywidgets.Widget
        From top to bottom.
    """

    def _repr_mimebundle_(self, **options):
        instead = "An explorer with sliders and buttons: open this notebook in JupyterLab and run it."
        return super()._repr_mimebundle_(**options) | {"text/plain": instead}


def explorer(**parts):
    """Put an explorer's parts below each other and make them its attributes.

    Parameters
    ----------
    **parts : ipywidgets.Widget

    Returns
    -------
    Explorer
    """
    box = Explorer(list(parts.values()))
    for name, part in parts.items():
        setattr(box, name, part)
    return box


def picture_of(figure):
    """Turn a figure into the bytes of a PNG and close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure

    Returns
    -------
    bytes
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    plt.close(figure)
    return content.getvalue()
