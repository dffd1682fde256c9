"""Does a notebook show as a result only what the verdict does not doubt?"""

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_output

from tests.conditions import ROOT
from tests.notebooks import rules
from tl_helpers import plots, transfer_verdict

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_result_stands_on_what_the_verdict_doubts(path):
    found = rules.doubted_cells(nbformat.read(path, as_version=4))
    assert not found, f"cells {found}"


def runs_with_a_rate_at_the_edge():
    scores = {"scratch": [50.0, 51, 52, 50, 49, 51], "transfer": [60.0, 62, 61, 60, 59, 62]}
    rows = [
        {"arm": arm, "budget": budget, "seed": seed, "score": score + budget / 10, "learning_rate": 1e-3, "updates": 9}
        for arm, reached in scores.items()
        for budget in (5, 50)
        for seed, score in enumerate(reached)
    ]
    return pd.DataFrame(rows)


def cell_that_shows(text):
    return new_code_cell("1", outputs=[new_output("display_data", {"text/markdown": text})])


def test_doubts_are_recognised_in_what_verdicts_and_figures_say(monkeypatch):
    """The words that the rule looks for are those that the kit writes."""
    runs = runs_with_a_rate_at_the_edge()
    doubted = transfer_verdict(runs, "transfer", "scratch", learning_rates=[1e-3, 1e-2])
    believed = transfer_verdict(runs, "transfer", "scratch", learning_rates=[1e-4, 1e-3, 1e-2])
    assert rules.DOUBT.search(doubted.sentence) and rules.DOUBT.search(str(doubted))
    assert not rules.DOUBT.search(str(believed))
    constant = runs.assign(score=runs["score"].where(runs["arm"] == "transfer", 50.0))
    for frame, is_doubted in ((constant, True), (runs, False)):
        one, panels = plots.gain(frame, "transfer", "scratch"), plots.gains({"a": (frame, "transfer", "scratch")})
        for text in (one.reading, panels.reading, one.figure.axes[0].get_title(loc="left")):
            assert (rules.DOUBT.search(text) is not None) == is_doubted, text


def test_a_doubted_cell_is_found_wherever_its_text_stands():
    cells = [
        cell_that_shows("**Reading.** It gains at 5 and is in doubt at 50."),
        new_code_cell("2", outputs=[new_output("stream", text="budget 5 is open to doubt\n")]),
        cell_that_shows("It gains at 5, 50."),
        new_code_cell("4", outputs=[new_output("execute_result", {"text/plain": "[DOUBT] Did"}, execution_count=1)]),
    ]
    assert rules.doubted_cells(nbformat.v4.new_notebook(cells=cells)) == [0, 1, 3]
