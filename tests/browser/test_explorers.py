"""Can each explorer be used in JupyterLab by keyboard alone, seen without scrolling, and heard?"""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.lab import errors, open_and_run_all, open_notebook, seen, wait_for

pytestmark = pytest.mark.browser

FREEZE = "from tl_helpers.widgets import freeze_explorer\nfreeze_explorer()"
LABELS = "from tl_helpers.widgets import wrong_labels_explorer\nwrong_labels_explorer()"
ROUTES = "from tl_helpers.widgets import route_explorer\nroute_explorer()"
FEATURES = """
import dataclasses
import numpy as np
from tl_helpers import load_street
from tl_helpers.models import small_cnn_body
from tl_helpers.models.feature_maps import activation_maps, find_peaks
from tl_helpers.widgets import feature_explorer

body, data = small_cnn_body((28, 28, 1), seed=0), load_street("photo", "test", n=12)
pictures = dataclasses.replace(data, texts=np.array([f"a garment, number {n}, in a street" for n in range(12)]))
feature_explorer(find_peaks(body, data.x), activation_maps(body, pictures.x), pictures, stage="conv4", channel=60)
"""
# What a run shows that counts how often it was started, and takes a second.
COUNTED = """
import time
from tl_helpers.widgets import explorer, live
from tl_helpers.progress import progress_bar

runs = []
said = explorer.words_below()


def run(tell):
    runs.append(1)
    tell("counting")
    with progress_bar(20, "counting", "step") as bar:
        for _ in range(20):
            time.sleep(0.1)
            bar.update(1)
    said.value = f"runs: {len(runs)}"


button = live.LiveButton("count", run, print)
explorer.Explorer([button, said])
"""
# Of the element in focus: what a screen reader says of it.
FOCUSED = """() => {
  const node = document.activeElement, group = node.closest('[role=group]');
  const name = node.getAttribute('aria-label') || node.textContent.trim();
  return [group ? group.getAttribute('aria-label') : '', name, node.getAttribute('aria-valuetext') || ''];
}"""
IN_EXPLORER = "() => document.activeElement.closest('.tl-explorer') !== null"


class Keys:
    """An explorer in an open notebook, and the keys of a keyboard."""

    def __init__(self, page, lab, made, source):
        self.page = page
        notebook = open_and_run_all(page, lab, made("explored.ipynb", source, "'the cell below'"))
        assert errors(notebook) == []
        self.box = page.locator(".tl-explorer")
        expect(self.box).to_be_visible()
        self.box.scroll_into_view_if_needed()
        self.box.evaluate("box => box.scrollIntoView()")

    def cells(self):
        return len(seen(self.page)["cells"])

    def focused(self):
        return self.page.evaluate(FOCUSED)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, *told):
        """Press Tab until what is told of the focus is this: its group's name where it has one, and its own."""
        for _ in range(20):
            if [word for word in self.focused()[:2] if word] == list(told):
                return
            self.press("Tab")
        pytest.fail(f"Tab never reached {told}")

    def enter(self):
        """Go from the top of the cell into the explorer: with Tab, from the code above it."""
        self.page.locator(".jp-Notebook .jp-InputArea-editor").first.click()
        self.press("Escape")
        for _ in range(20):
            self.press("Tab")
            if self.page.evaluate(IN_EXPLORER):
                return
        pytest.fail("Tab never reached the explorer")

    def controls(self):
        """Walk through all controls with Tab, and press the keys at each that cost cells or the place elsewhere."""
        self.enter()
        told, cells = [], self.cells()
        while self.page.evaluate(IN_EXPLORER):
            typed = self.page.evaluate("() => document.activeElement.isContentEditable")
            told.append(self.focused())
            if not typed:
                self.press("d", "d", "x", "a", "m", "j", "ArrowDown", "ArrowUp")
                assert self.page.evaluate(IN_EXPLORER), f"the arrow leaves {told[-1]}"
            self.press("Tab")
        notebook = seen(self.page)
        assert len(notebook["cells"]) == cells and {cell["cell_type"] for cell in notebook["cells"]} == {"code"}
        return told

    def is_seen_at_once(self):
        """Say whether all of it is visible without scrolling, and no word on a control is cut."""
        around = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer").bounding_box()
        box = self.box.bounding_box()
        cut = self.box.locator("button, .widget-label, .widget-readout").evaluate_all(
            "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
        )
        assert cut == []
        assert box["height"] <= around["height"], f"{box['height']:.0f} of {around['height']:.0f} pixels"
        assert box["x"] + box["width"] <= around["x"] + around["width"]
        return True

    def alternative(self):
        return self.box.locator("img[alt]:not([alt=''])").get_attribute("alt")

    def picture(self):
        return self.box.locator("img[alt]:not([alt=''])").get_attribute("src")


@pytest.fixture
def keys(page, lab, made):
    return lambda source: Keys(page, lab, made, source)


def test_the_freeze_explorer_by_keyboard(keys, page):
    explorer = keys(FREEZE)
    assert explorer.is_seen_at_once() and explorer.alternative().startswith("Sketches, 20 labels per class: highest")
    told = explorer.controls()
    assert ["target", "shoes, careless labels", ""] in told and ["labels per class", "20", ""] in told
    assert all(any(word for word in each) for each in told)
    before = explorer.picture()
    explorer.enter()
    explorer.tab_to("freeze")
    explorer.press("Home", "End")
    expect(page.get_by_text("frozen: all but the head.")).to_be_visible()
    expect(page.locator("[aria-label=freeze]")).to_have_attribute("aria-valuetext", "all but the head")
    assert explorer.picture() != before
    explorer.enter()
    explorer.tab_to("labels per class", "2")
    explorer.press("Space")
    expect(page.get_by_text("sketches, 2 labels per class")).to_be_visible()
    assert explorer.focused() == ["labels per class", "2", ""]
    expect(page.get_by_role("button", name="2", exact=True, pressed=True)).to_be_visible()
    explorer.enter()
    explorer.tab_to("target", "shoes, careless labels")
    explorer.press("Enter")
    expect(page.get_by_text("There are no runs with 2 labels here: 20 labels instead.")).to_be_visible()
    assert explorer.focused()[:2] == ["target", "shoes, careless labels"]
    explorer.tab_to("train this now")
    explorer.press("Space")
    expect(explorer.box.get_by_role("progressbar")).to_have_accessible_name("training, frozen: all but the head")
    expect(page.get_by_text("One run, just now")).to_be_visible(timeout=180_000)
    assert explorer.focused()[1] == "train this now" and explorer.cells() == 2


def test_the_slider_of_wrong_labels_by_keyboard(keys, page):
    explorer = keys(LABELS)
    assert explorer.is_seen_at_once() and explorer.alternative().startswith("Twelve thumbnails with their labels")
    told = explorer.controls()
    assert ["", "wrong labels", "0 %"] in told and all(any(word for word in each) for each in told)
    before = explorer.picture()
    explorer.enter()
    explorer.tab_to("wrong labels")
    explorer.press("End")
    expect(page.get_by_text("70 % of the scraped labels wrong:")).to_be_visible()
    expect(page.locator("[aria-label='wrong labels']")).to_have_attribute("aria-valuetext", "70 %")
    assert explorer.picture() != before and explorer.cells() == 2


def test_the_feature_explorer_by_keyboard(keys, page):
    explorer = keys(FEATURES)
    assert explorer.is_seen_at_once() and explorer.alternative().startswith("conv4, channel 60")
    told = explorer.controls()
    assert [each[1:] for each in told[::2]] == [
        ["stage", "conv4"],
        ["channel", "60"],
        ["picture", "a garment, number 0, in a street"],
    ]
    explorer.enter()
    explorer.tab_to("stage")
    explorer.press("Home")
    expect(page.get_by_text("There is no channel 60 here: channel 15 instead, the last.")).to_be_visible()
    assert explorer.focused()[1:] == ["stage", "conv1"]
    explorer.press("ArrowRight", "ArrowRight")
    expect(page.get_by_text("conv3, channel 15 of 0…63")).to_be_visible()
    explorer.tab_to("channel")
    explorer.press("End")  # which goes to the end of this stage, and not to that of another
    expect(page.get_by_text("conv3, channel 63 of 0…63")).to_be_visible()
    explorer.tab_to("picture")
    explorer.press("End")
    expect(page.get_by_text("on “a garment, number 11, in a street”")).to_be_visible()
    assert explorer.focused()[1:] == ["picture", "a garment, number 11, in a street"]


def test_the_route_explorer_by_keyboard(keys, page):
    explorer = keys(ROUTES)
    assert explorer.is_seen_at_once() and "Task Fine-Tuning" in explorer.alternative()
    told = explorer.controls()
    assert [each[:2] for each in told] == [
        *(["task", word] for word in ("same", "different")),
        *(["domain", word] for word in ("same", "different")),
        *(["order", word] for word in ("one after the other", "at the same time")),
        ["", "run a slice now"],
    ]
    for question, answer, route in (
        ("domain", "different", "Domain Adaptation."),
        ("order", "at the same time", "Weight Sharing."),
        ("task", "different", "Parallel Training."),
    ):
        explorer.enter()
        explorer.tab_to(question, answer)
        explorer.press("Space")
        expect(page.get_by_text(route)).to_be_visible()
        assert explorer.focused()[:2] == [question, answer] and explorer.is_seen_at_once()
    explorer.tab_to("run a slice now")
    explorer.press("Enter")
    expect(explorer.box.get_by_role("progressbar")).to_have_accessible_name(re.compile(r"\(arm 1 of 2\)$"))
    expect(page.get_by_text("One seed, just now")).to_be_visible(timeout=180_000)
    assert explorer.focused()[1] == "run a slice now" and explorer.is_seen_at_once()
    expect(page.locator(".jp-OutputArea-output.jp-RenderedText[data-mime-type*=stderr]")).to_have_count(0)


def test_presses_during_a_run_start_no_other(keys, page):
    explorer = keys(COUNTED)
    explorer.enter()
    explorer.press("Space")
    expect(page.get_by_text(re.compile("counting: about . s left"))).to_be_visible()
    explorer.press("Space", "Enter", "Space")
    expect(page.get_by_text("runs: 1")).to_be_visible()
    page.wait_for_timeout(3000)  # in which another run would have ended
    expect(page.get_by_text("runs: 1")).to_be_visible()
    explorer.press("Space")
    expect(page.get_by_text("runs: 2")).to_be_visible()


def test_no_news_and_no_change_of_a_notebook_that_is_opened_and_saved(page, lab):
    path = sorted((lab.root / "notebooks").glob("*.ipynb"))[0]
    before = path.read_bytes()
    open_notebook(page, lab, f"notebooks/{path.name}")
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty")
    for _ in range(2):
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        wait_for(
            lambda: not page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty"), "saving", 30
        )
        assert path.read_bytes() == before
    expect(page.locator(".Toastify__toast")).to_have_count(0)
    expect(page.locator(".jp-Dialog")).to_have_count(0)
