"""Which route is it, and what does it gain? Three questions light a cell of the taxonomy, and a slice is run now."""

from __future__ import annotations

from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas

from tl_helpers.experiments.stored import load_study
from tl_helpers.plots import charts
from tl_helpers.routes.taxonomy import ROUTES, find_route, route_of, source_and_target
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.live import run_now
from tl_helpers.studies.route_results import route_verdict
from tl_helpers.widgets.explorer import Explorer, beside, choice, escaped, paragraph, picture_of, words_below
from tl_helpers.widgets.live import LiveButton


def route_figure(route, *, live=None):
    """Draw a route: its cell in the matrix, pictures of its source and target, and what it gained in the stored runs.

    Parameters
    ----------
    route : Route or str
    live : pandas.DataFrame, optional
        Runs made just now, with ``arm``, ``budget`` and ``score``; their gains are drawn as stars.

    Returns
    -------
    figure : matplotlib.figure.Figure
    words : str
        Definition, examples and gain.

    Raises
    ------
    ValueError
        If there is no such route.
    """
    route = find_route(route)
    verdict = _verdict(route.name)
    study = STUDIES[route.study]
    figure = plt.figure(figsize=(9.4, 4.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2, 3))
    charts.route_matrix(ROUTES, lit=route.name, axis=above.subplots())
    left, right = below.subfigures(1, 2, width_ratios=(5, 6))
    pair = source_and_target(route, n=5, seed=1)
    for axis, name, data in zip(left.subplots(2, 1), ("source", "target"), pair, strict=True):
        _pictures_in_a_row(axis, data)
        axis.set_ylabel(name)
    axis = right.subplots()
    gains = verdict.table
    at = gains.set_index("budget").loc[[gains["budget"].min(), gains["budget"].max()], "difference"]
    few, many = at.index
    charts.differences(
        gains,
        xlabel=study.axis.unit,
        ylabel=f"gain (points of {study.metric.removesuffix(' in %')})",
        title=f"{at[few]:+.1f} points at {few} {study.axis.unit}, {at[many]:+.1f} at {many}",
        axis=axis,
    )
    for budget, gain in _live_gains(route, live):
        axis.plot(gains["budget"].tolist().index(budget), gain, "*", markersize=14, color=charts.PALETTE[6])
    words = (
        f"{route.name}. {route.definition} The taxonomy's example: {route.example}. Ours: {route.ours}. "
        f"{verdict.sentence}"
    )
    return figure, words


def _pictures_in_a_row(axis, data):
    """Show pictures beside each other in one axis, which is drawn in a fifth of the time of five."""
    pictures = [np.squeeze(picture) for picture in data.x]
    height, width = pictures[0].shape[:2]
    gap = np.full((height, max(1, width // 14), *pictures[0].shape[2:]), 255, pictures[0].dtype)
    strip = np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
    axis.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    middles = np.arange(len(pictures)) * (width + gap.shape[1]) + (width - 1) / 2
    axis.set_xticks(middles, [data.label_names[label] for label in data.y], fontsize=8)
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


@cache  # a third of a second, for which every choice would wait
def _verdict(name):
    return route_verdict(name)


def _live_gains(route, live):
    """Return (budget, gain) of runs made just now."""
    if live is None:
        return []
    treatment, baseline = STUDIES[route.study].compared
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
    answers = {
        "task": [("same", True), ("different", False)],
        "domain": [("same", True), ("different", False)],
        "order": [("one after the other", "sequential"), ("at the same time", "simultaneous")],
    }
    questions = {name: choice(name, options) for name, options in answers.items()}
    picture, message = ipywidgets.HTML(), words_below()
    live = {}

    def chosen():
        task, domain, order = (question.value for question in questions.values())
        return route_of(same_task=task, same_domain=domain, order=order)

    def draw(_=None):
        route = chosen()
        figure, words = route_figure(route, live=live.get(route.name))
        told = f"The taxonomy with {route.name} lit, pictures of source and target, gains; in words below."
        picture.value = picture_of(figure, told)
        name, _, rest = words.partition(". ")
        stars = (
            f"<b>One seed, just now, at {budget}: {gain:+.1f} points (the star).</b>"
            for budget, gain in _live_gains(route, live.get(route.name))
        )
        message.value = paragraph(f"<b>{escaped(name)}.</b>", escaped(rest), *stars)

    def run(tell):
        route = chosen()
        live[route.name] = _run_slice(route, tell)
        draw()

    for question in questions.values():
        question.observe(draw, names="value")
    live_button = LiveButton("run a slice now", run, complain=lambda words: setattr(message, "value", paragraph(words)))
    draw()
    parts = questions | {"button": live_button.button, "progress": live_button.progress}
    return Explorer(
        [beside(*questions.values()), live_button, picture, message], picture=picture, message=message, **parts
    )


def _run_slice(route, tell):
    """Run both arms of a route's comparison once, at its second budget and at the stored rates, in this process."""
    budget = STUDIES[route.study].axis.values[1]
    runs = run_now(load_study(route.study), budget, tell=tell)
    return pandas.DataFrame({"arm": runs.index, "budget": budget, "score": runs["now"].to_numpy()})
