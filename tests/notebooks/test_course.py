"""Does every place say of the course what its list and its notebooks do, and does every link lead somewhere?"""

import json
import re
import shutil

import nbformat
import pytest

from tests.conditions import ROOT
from tests.notebooks import course

LONGEST = 30  # minutes
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]*)#?[^)]*\)")


def test_every_place_is_up_to_date():
    wrong = [path.name for path in course.outdated()]
    assert wrong == [], "`python -m tests.notebooks.course` writes what it should be"


@pytest.mark.parametrize("notebook", course.read_course(), ids=lambda notebook: notebook.file)
def test_a_notebook_takes_half_an_hour_at_most(notebook):
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook.file}.ipynb", as_version=4).cells
    assert round(course.minutes(cells)) <= LONGEST
    assert notebook.minutes_to_run <= 2


def test_minutes_are_those_of_reading_running_and_writing():
    text = {"cell_type": "markdown", "source": ["word " * 399, "[two words](and_no_more.ipynb)"]}
    cell = {"cell_type": "code", "source": "1 + 1"}
    exercise = {"cell_type": "code", "source": ["def f():\n", "    ...\n", "\n", "\n", "check('f', f)"]}
    assert course.minutes([text]) == pytest.approx(401 / 200)
    assert course.minutes([cell, cell, cell, {"cell_type": "code", "source": "  "}]) == pytest.approx(1)
    assert course.minutes([exercise]) == pytest.approx(2 + 1 / 3)


def markdown(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.md"), *ROOT.glob("data/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_inside_leads_to_a_file(path):
    missing = [target for target in LINK.findall(markdown(path)) if target and not (path.parent / target).exists()]
    assert missing == []


@pytest.fixture
def clone(tmp_path):
    """Return a small clone of two notebooks whose places hold something else."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "README.md", tmp_path)
    told = "*About 1 minutes with its exercises, and 9 minutes to run on two CPU cores. No GPU.*"
    table = course.HEADING + "| old | row | 1 / 1 |\n"
    write(
        tmp_path / "notebooks/00_first.ipynb",
        f"# First\n\n{told}",
        f"{table}\n**Next:** [7 Old](old.ipynb), which ends it.",
    )
    write(tmp_path / "notebooks/01_second.ipynb", f"# Second → last\n\n{told}")
    listed = [
        f'[[notebook]]\nfile = "{file}"\ntitle = "{title}"\nquestion = "Why?"\nminutes_to_run = {run}\n'
        for file, title, run in (("00_first", "First", 1), ("01_second", "Second", 2))
    ]
    (tmp_path / "notebooks/course.toml").write_text("\n".join(listed), encoding="utf-8")
    return tmp_path


def write(path, *texts):
    cells = [{"cell_type": "markdown", "source": text.splitlines(keepends=True)} for text in texts]
    path.write_text(json.dumps({"cells": cells}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def test_map_minutes_and_next_link_are_written_once_and_stay(clone):
    found = course.outdated(clone)
    assert {path.name for path in found} == {"00_first.ipynb", "01_second.ipynb", "README.md"}
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")
    assert course.outdated(clone) == {}
    first = markdown(clone / "notebooks/00_first.ipynb")
    assert "1 minute to run on two CPU cores. No GPU.*" in first and "| old |" not in first
    assert "**Next:** [01 Second](01_second.ipynb), which ends it." in first
    assert "| [01 Second](01_second.ipynb) | Why? | 0 / 2 |" in first
    assert "| [00 First](notebooks/00_first.ipynb) | Why? | 0 / 1 |" in (clone / "README.md").read_text(
        encoding="utf-8"
    )
    assert "→ last" in markdown(clone / "notebooks/01_second.ipynb")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "notebooks/01_second.ipynb").rename(root / "notebooks/02_second.ipynb"), "should list"),
        (lambda root: write(root / "notebooks/01_second.ipynb", "# No minutes"), "01_second: the minutes"),
        (lambda root: write(root / "notebooks/00_first.ipynb", "# No map"), "00_first: the map"),
        (lambda root: (root / "README.md").write_text("nothing"), "README.md: the map"),
    ],
)
def test_a_place_that_is_missing_is_named(clone, damage, words):
    damage(clone)
    with pytest.raises(ValueError, match=words):
        course.outdated(clone)
