"""Does each link into the glossary find its entry, and is the glossary in order?"""

import re

import nbformat
import pytest

from tests.conditions import ROOT

TEXT = (ROOT / "notebooks" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^## (.+)\n\n((?:(?!^## ).*\n)+)", TEXT, re.MULTILINE))
ANCHORS = {heading.replace(" ", "-") for heading in ENTRIES}
TO_GLOSSARY = re.compile(r"\]\([^)]*glossary\.md([^)]*)\)")


def linking_texts():
    """Return each text that may link to the glossary, by the name of its file."""
    texts = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        texts[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return texts


def dead_links(text):
    """Return what stands behind `glossary.md` in links and is no entry's anchor."""
    return [found for found in TO_GLOSSARY.findall(text) if found and found.removeprefix("#") not in ANCHORS]


@pytest.mark.parametrize("name", linking_texts())
def test_each_link_finds_its_entry(name):
    assert dead_links(linking_texts()[name]) == []


def test_a_link_to_nowhere_is_noticed():
    assert dead_links("[arm](glossary.md#arm), [all](notebooks/glossary.md)") == []
    assert dead_links("[arm](glossary.md#Arm), [leg](../notebooks/glossary.md#leg)") == ["#Arm", "#leg"]


def test_links_between_entries_find_them():
    found = re.findall(r"\]\(#([^)]*)\)", TEXT)
    assert len(found) > 3 and set(found) <= ANCHORS


def test_entries_are_in_order_and_their_anchors_the_same_everywhere():
    # GitHub puts anchors in lower case, JupyterLab keeps the case; both drop or escape what is no letter.
    headings = re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)
    assert headings == list(ENTRIES) == sorted(set(headings))
    assert [heading for heading in headings if not re.fullmatch(r"[a-z][a-z -]*", heading)] == []


@pytest.mark.parametrize("heading", ENTRIES)
def test_an_entry_is_short_and_has_an_example(heading):
    words = " ".join(ENTRIES[heading].split())
    explanation, example, _ = re.fullmatch(r"(.+?) \*(Example: .+?)\*(.*)", words).groups()
    assert len(explanation.split()) <= 60 and len(example.split()) <= 45
