"""Can outputs be read by whoever does not see them? Asked of axe, which knows the rules (WCAG)."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.lab import errors, open_and_run_all
from tests.browser.test_explorers import FEATURES, FREEZE, LABELS, ROUTES

pytestmark = pytest.mark.browser

GAIN = """
from tl_helpers import load_study, load_street, my_calibration, plots, transfer_verdict

study = load_study("street_labels")
plots.gain(study, "fine_tuning", "scratch")
"""
FIGURES = [
    GAIN,
    "plots.accuracy(study)",
    "plots.pictures({'photographs': load_street('photo', 'test', n=6).x}, title='Six garments')",
    "plots.bars(['one', 'two'], [1, 2], xlabel='%', title='Two bars')",
    "study.runs[['arm', 'budget', 'score']].head()",  # one wider than the page is scrolled, which is JupyterLab's part
    "print(transfer_verdict(study, 'fine_tuning', 'scratch'))",
    "my_calibration()",
]
# What keeps somebody from reading on; the two below it, moderate and minor, do not.
SERIOUS = ("serious", "critical")


def findings(page):
    """Return what axe finds serious in the outputs of the open notebook."""
    found = Axe().run(page, context=".jp-OutputArea-output").response
    assert found["passes"], "axe has looked at nothing"
    told = [(each["impact"], each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]]
    return [each for each in told if each[0] in SERIOUS]


def test_axe_finds_nothing_serious_in_figures_tables_and_words(page, lab, made):
    assert errors(open_and_run_all(page, lab, made("figures.ipynb", *FIGURES))) == []
    assert findings(page) == []


@pytest.mark.parametrize("source", [FREEZE, ROUTES, FEATURES, LABELS], ids=["freezing", "routes", "features", "labels"])
def test_axe_finds_nothing_serious_in_an_explorer(page, lab, made, source):
    assert errors(open_and_run_all(page, lab, made("explored.ipynb", source))) == []
    page.locator(".tl-explorer").wait_for()
    assert findings(page) == []


def test_axe_sees_a_picture_without_words(page, lab, made):
    bare = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    open_and_run_all(page, lab, made("bare.ipynb", bare))
    assert [rule for _, rule, _ in findings(page)] == ["image-alt"]
