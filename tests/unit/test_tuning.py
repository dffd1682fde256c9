"""Rates are tuned at every second value, smooth along an axis of numbers, and filled in between."""

import dataclasses
import functools
import itertools
import math

import pytest
from hypothesis import given, strategies as st

from tests.unit.grids import Inline
from tl_helpers.experiments.design import Arm, Axis
from tl_helpers.grid.run import run_grid
from tl_helpers.studies import tuning
from tl_helpers.studies.study import LADDER, Study
from tl_helpers.studies.tuning import tune


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(tuning, "run_grid", functools.partial(run_grid, client=Inline()))


VALUES = (1, 2, 4, 8, 16)
BEST = {1: 3e-3, 4: 1e-2, 16: 1e-2}


def peaked(value, seed, *, rate, split, best=None):
    """Score best at a rate that is given for each value, and a little differently for each seed."""
    assert split == "validation" and seed in (100, 101, 102)
    return {"score": 90 - 10 * abs(math.log10(rate / dict(best or BEST)[value])) + seed % 3}


def study(function=peaked, values=VALUES, unit="labels", rates=(1e-3, 3e-3, 1e-2), **settings):
    arm = Arm("fine-tuning", "transfer", settings, tuned=True)
    return Study("made_up", function, {"a": arm}, Axis("labels", unit, values), seeds=(0, 1), rates=rates)


def test_every_second_value_is_tuned_on_three_seeds_and_those_between_get_the_geometric_mean():
    found = tune(study(), path=None, n_jobs=1)
    assert found.tuned_at == {"a": [1, 4, 16]}
    assert found.rates == {"a/1": 3e-3, "a/2": 5.5e-3, "a/4": 1e-2, "a/8": 1e-2, "a/16": 1e-2}
    assert found.offered == [1e-3, 3e-3, 1e-2, 3e-2] and found.at_edge == []  # the last so that 1e-2 lies inside
    assert found.runs == 3 * 3 * 4


def test_the_last_value_is_tuned_too():
    assert study(values=(1, 2, 3, 4)).tuning_values("a") == (1, 3, 4)
    assert study(values=(1, 2)).tuning_values("a") == (1, 2)
    assert study(values=("x", "y", "z")).tuning_values("a") == ("x", "y", "z")


def test_values_that_are_names_are_for_themselves():
    best = {"x": 3e-4, "y": 3e-2, "z": 3e-4}
    found = tune(study(values=tuple(best), unit="target", best=list(best.items())), path=None, n_jobs=1)
    assert found.rates == {f"a/{value}": rate for value, rate in best.items()}


def test_neighbours_do_not_jump():
    """A lonely good score far from its neighbours' rates is what few tuning runs make."""
    best = {1: 3e-4, 4: 3e-2, 16: 3e-4}
    found = tune(study(best=list(best.items())), path=None, n_jobs=1)
    rates = sorted({rate for rate in found.offered})
    places = [rates.index(found.rates[f"a/{value}"]) for value in (1, 4, 16)]
    assert all(abs(a - b) <= 1 for a, b in itertools.pairwise(places))


def test_along_an_axis_that_is_not_smooth_every_number_is_for_itself():
    best = {1: 3e-3, 2: 1e-3, 4: 3e-2, 8: 3e-3, 16: 3e-4}
    apart = dataclasses.replace(study(best=list(best.items())), smooth=False)
    assert apart.tuning_values("a") == VALUES and not apart.is_smooth
    found = tune(apart, path=None, n_jobs=1)
    assert found.rates == {f"a/{value}": rate for value, rate in best.items()} and found.at_edge == []


def diverges(value, seed, *, rate, split):
    return {"score": 50 + rate if rate <= 1e-3 else math.nan}


def always_diverges(value, seed, *, rate, split):
    return {"score": math.nan}


def test_a_rate_at_which_a_seed_diverged_is_never_chosen():
    with pytest.warns(UserWarning, match="18 of 27 runs"):
        found = tune(study(diverges), path=None, n_jobs=1)
    assert set(found.rates.values()) == {1e-3}
    words = "diverged at every rate tried: a at budget 1; a at budget 4"
    with pytest.raises(FloatingPointError, match=words), pytest.warns(UserWarning):
        tune(study(always_diverges), path=None, n_jobs=1)


SCORES = st.integers(0, 99) | st.just(-math.inf)


@given(
    table=st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(SCORES, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_the_choice_is_the_best_of_all_smooth_ones(table):
    """Against trying all of them; where each holds a rate that diverged, every value is for itself."""
    offered = LADDER[: len(table[0])]
    chosen = tuning._smoothest([dict(zip(offered, row, strict=True)) for row in table])
    places = [offered.index(rate) for rate in chosen]
    paths = itertools.product(range(len(offered)), repeat=len(table))
    smooth = [path for path in paths if all(abs(a - b) <= 1 for a, b in itertools.pairwise(path))]
    most = max(sum(row[place] for row, place in zip(table, path, strict=True)) for path in smooth)
    if most == -math.inf:
        assert [row[place] for row, place in zip(table, places, strict=True)] == [max(row) for row in table]
    else:
        assert tuple(places) in smooth
        assert sum(row[place] for row, place in zip(table, places, strict=True)) == most
