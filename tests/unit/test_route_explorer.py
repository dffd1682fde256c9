"""The route explorer lights every cell, says what is stored, and runs a slice."""

import itertools

import matplotlib.pyplot as plt
import pytest

from tl_helpers import widgets
from tl_helpers.experiments.stored import load_study
from tl_helpers.routes.taxonomy import ROUTES, find_route, route_of
from tl_helpers.studies import live
from tl_helpers.studies.catalogue import STUDIES
from tl_helpers.studies.route_results import route_gains
from tl_helpers.widgets import route as route_module

pytestmark = pytest.mark.usefixtures("pressed_by_a_program")
CELLS = list(itertools.product((True, False), (True, False), ("sequential", "simultaneous")))


@pytest.fixture(scope="module")
def explorer():
    return widgets.route_explorer()


@pytest.mark.parametrize(("task", "domain", "order"), CELLS)
def test_every_cell_can_be_lit_and_tells_its_route(explorer, task, domain, order):
    # Away first, so that the callback is called for this cell even where it is lit already.
    explorer.task.value = not task
    before = explorer.picture.value
    explorer.task.value, explorer.domain.value, explorer.order.value = task, domain, order
    route = route_of(same_task=task, same_domain=domain, order=order)
    for words in (f"<b>{route.name}.</b>", route.definition, route.example, route.ours):
        assert words in explorer.message.value
    assert explorer.picture.value != before and f'alt="The taxonomy with {route.name} lit' in explorer.picture.value


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_figure_shows_the_stored_gain_and_lights_one_cell(route):
    figure, words = widgets.route_figure(route)
    gains = route_gains([route])
    axes = {axis.get_xlabel(): axis for axis in figure.axes}
    axis = axes[load_study(route.study).axis.unit]
    drawn = axis.containers[0][0].get_ydata()
    assert list(drawn) == pytest.approx(gains["difference"].tolist())
    matrix = figure.axes[0]
    lit = [text.get_text() for text in matrix.texts if text.get_color() == "white" and text.get_text()]
    assert lit == [route.name] and len(matrix.patches) == 8
    assert words.startswith(route.name)
    plt.close(figure)


def run_as_stored(asked):
    """Return what stands in for a study: it trains nothing and gives the stored score of seed 0."""

    class Stored:
        def __init__(self, study):
            self.study = study

        def __getattr__(self, name):
            return getattr(self.study, name)

        def run(self, arm, value, seed, *, rate=None):
            asked.append((arm, value, seed, rate))
            runs = load_study(self.study.name).runs
            (score,) = runs[(runs["arm"] == arm) & (runs["budget"] == value) & (runs["seed"] == seed)]["score"]
            return {"score": score}

    return {name: Stored(study) for name, study in STUDIES.items()}


def test_the_button_runs_a_slice_in_this_process_and_shows_it(explorer, monkeypatch):
    asked = []
    monkeypatch.setattr(live, "STUDIES", run_as_stored(asked))
    explorer.task.value, explorer.domain.value, explorer.order.value = True, True, "sequential"
    before = explorer.picture.value
    explorer.button.click()
    stored = load_study(find_route("Task Fine-Tuning").study)
    assert asked == [(arm, 5, 0, stored.rate(arm, 5)) for arm in stored.compared]
    assert "One seed, just now, at 5: +" in explorer.message.value
    assert explorer.picture.value != before and not explorer.button.disabled


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_has_rates_for_its_slice(route, monkeypatch):
    asked, told = [], []
    monkeypatch.setattr(live, "STUDIES", run_as_stored(asked))
    runs = route_module._run_slice(route, told.append)
    assert len(runs) == len(told) == 2 and all(rate is None or rate > 0 for *_, rate in asked)
    assert told[0].endswith("(arm 1 of 2)") and told[0][0].isalpha()


def test_what_goes_wrong_is_said(explorer, monkeypatch):
    def fail(route, tell):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(route_module, "_run_slice", fail)
    explorer.button.click()
    assert "It did not work: no memory left" in explorer.message.value and not explorer.button.disabled


def test_an_unknown_route_is_refused():
    with pytest.raises(ValueError, match="There is no route 'Detour'; there are Task Fine-Tuning"):
        widgets.route_figure("Detour")
