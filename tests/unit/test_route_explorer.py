"""The route explorer lights every cell, says what is stored, and runs a slice."""

import itertools

import matplotlib.pyplot as plt
import pytest

from tl_helpers import widgets
from tl_helpers.experiments.stored import load_study
from tl_helpers.routes.taxonomy import ROUTES, route_of
from tl_helpers.studies.route_results import route_gains

CELLS = list(itertools.product((True, False), (True, False), ("sequential", "simultaneous")))


@pytest.fixture(scope="module")
def explorer():
    return widgets.route_explorer()


@pytest.mark.parametrize(("task", "domain", "order"), CELLS)
def test_every_cell_can_be_lit_and_tells_its_route(explorer, task, domain, order):
    # Away first, so that the callback is called for this cell even where it is lit already.
    explorer.task.value = not task
    before = bytes(explorer.picture.value)
    explorer.task.value, explorer.domain.value, explorer.order.value = task, domain, order
    route = route_of(same_task=task, same_domain=domain, order=order)
    for words in (f"<b>{route.name}.</b>", route.definition, route.example, route.ours):
        assert words in explorer.message.value
    assert bytes(explorer.picture.value).startswith(b"\x89PNG") and bytes(explorer.picture.value) != before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_figure_shows_the_stored_gain_and_lights_one_cell(route):
    figure, words = widgets.route_figure(route)
    gains = route_gains(load_study("routes"))
    gains = gains[gains["route"] == route.name]
    axes = {axis.get_xlabel(): axis for axis in figure.axes}
    axis = axes[load_study("routes").runs.set_index("route")["budget_unit"][route.name].iloc[0]]
    drawn = axis.containers[0][0].get_ydata()
    assert list(drawn) == pytest.approx(gains["difference"].tolist())
    matrix = figure.axes[0]
    lit = [text.get_text() for text in matrix.texts if text.get_color() == "white" and text.get_text()]
    assert lit == [route.name] and len(matrix.patches) == 8
    assert words.startswith(route.name)
    plt.close(figure)


def test_the_button_runs_a_slice_and_shows_it(explorer, monkeypatch):
    asked = []

    def run_route(route, budgets):
        asked.append((route.name, tuple(budgets)))
        rows = load_study("routes").runs
        return rows[(rows["route"] == route.name) & (rows["budget"] == budgets[0]) & (rows["seed"] == 0)]

    monkeypatch.setattr(widgets, "run_route", run_route)
    explorer.task.value, explorer.domain.value, explorer.order.value = True, False, "sequential"
    before = bytes(explorer.picture.value)
    explorer.button.click()
    assert asked == [("Domain Adaptation", (10,))]
    assert "One seed, just now, at 10: +" in explorer.message.value
    assert bytes(explorer.picture.value) != before and not explorer.button.disabled


def test_what_goes_wrong_is_said(explorer, monkeypatch):
    def run_route(route, budgets):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(widgets, "run_route", run_route)
    explorer.button.click()
    assert explorer.message.value == "It did not work: no memory left" and not explorer.button.disabled


def test_an_unknown_route_is_refused():
    with pytest.raises(ValueError, match="There is no route 'Detour'; there are Task Fine-Tuning"):
        widgets.route_figure("Detour")
