"""What does the course hold, how long does each notebook take, and what comes next?

`notebooks/course.toml` lists it; the minutes are counted. From both are written the map in README.md and in the first
notebook, the minutes at the top of each notebook, and its link to the next one:

    python -m tests.notebooks.course
"""

import itertools
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.notebooks.publish import write_all

ROOT = Path(__file__).resolve().parents[2]
WORDS_A_MINUTE, SECONDS_A_CELL, MINUTES_AN_EXERCISE = 200, 20, 2
HEADING = "| notebook | question | minutes with exercises / to run |\n|---|---|---|\n"
MINUTES = re.compile(r"\*About \d+ minutes? with its exercises, and \d+ minutes? to run on two CPU cores\.")
NEXT = re.compile(r"\*\*Next:\*\* \[[^\]]*\]\([^)]*\)")


@dataclass(frozen=True)
class Notebook:
    """A notebook of the course.

    Parameters
    ----------
    file : str
        Its name without ``.ipynb``; it begins with its number, two digits.
    title, question : str
    minutes_to_run : int
        On two CPU cores.
    """

    file: str
    title: str
    question: str
    minutes_to_run: int

    def link(self, folder=""):
        """Return a link in Markdown.

        Parameters
        ----------
        folder : str
            Where the notebooks are, seen from the text that holds the link.

        Returns
        -------
        str
        """
        return f"[{self.file[:2]} {self.title}]({folder}{self.file}.ipynb)"


def read_course(root=ROOT):
    """Return the notebooks of the course in order.

    Parameters
    ----------
    root : pathlib.Path
        The clone.

    Returns
    -------
    list of Notebook
    """
    listed = tomllib.loads((root / "notebooks/course.toml").read_text(encoding="utf-8"))["notebook"]
    return [Notebook(**each) for each in listed]


def minutes(cells):
    """Return how long a learner needs for a notebook: reading, running cells, and writing code.

    Parameters
    ----------
    cells : list of dict
        With ``cell_type`` and ``source``.

    Returns
    -------
    float
        Words / 200, 20 seconds for each code cell, 2 minutes for each exercise that asks for code.
    """
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    words = sum(len(re.sub(r"\]\([^)]*\)", "]", text).split()) for kind, text in sources if kind == "markdown")
    code = [text for kind, text in sources if kind == "code" and text.strip()]
    exercises = sum(re.search(r"^    \.\.\.$", text, re.MULTILINE) is not None for text in code)
    return words / WORDS_A_MINUTE + len(code) * SECONDS_A_CELL / 60 + exercises * MINUTES_AN_EXERCISE


def course_map(course, counted, folder=""):
    """Return the map as a table in Markdown.

    Parameters
    ----------
    course : list of Notebook
    counted : dict of str to float
        File → minutes.
    folder : str
        See :meth:`Notebook.link`.

    Returns
    -------
    str
    """
    rows = [
        f"| {each.link(folder)} | {each.question} | {counted[each.file]:.0f} / {each.minutes_to_run} |\n"
        for each in course
    ]
    return HEADING + "".join(rows)


def outdated(root=ROOT):
    """Return the files that say something else of the course than its list and its notebooks do.

    Parameters
    ----------
    root : pathlib.Path
        The clone.

    Returns
    -------
    dict of pathlib.Path to str
        What each of them should hold.

    Raises
    ------
    ValueError
        If the list is not that of the notebooks there are, or a file has no place for what is to be written.
    """
    course, folder, readme = read_course(root), root / "notebooks", root / "README.md"
    there = sorted(path.stem for path in folder.glob("*.ipynb"))
    if [each.file for each in course] != there:
        raise ValueError(f"notebooks/course.toml should list {', '.join(there)}, in this order.")
    texts = {path: path.read_text(encoding="utf-8") for path in (*(folder / f"{file}.ipynb" for file in there), readme)}
    notebooks = {path.stem: json.loads(text) for path, text in texts.items() if path != readme}
    cells, first = {file: notebook["cells"] for file, notebook in notebooks.items()}, course[0].file
    # The map's own words count as well, and are as many whatever the numbers.
    _write(cells[first], _map_pattern(), course_map(course, dict.fromkeys(there, 0)), f"{first}: the map")
    counted = {file: minutes(each) for file, each in cells.items()}
    _write(cells[first], _map_pattern(), course_map(course, counted), f"{first}: the map")
    for here, after in itertools.zip_longest(course, course[1:]):
        run = f"{here.minutes_to_run} minute{'s' if here.minutes_to_run > 1 else ''}"
        told = f"*About {counted[here.file]:.0f} minutes with its exercises, and {run} to run on two CPU cores."
        _write(cells[here.file][:1], MINUTES, told, f"{here.file}: the minutes")
        if after is not None:
            _write(cells[here.file], NEXT, f"**Next:** {after.link()}", f"{here.file}: the link to {after.file}")
    new = {folder / f"{file}.ipynb": json.dumps(each, indent=1, ensure_ascii=False) for file, each in notebooks.items()}
    new = {path: text + "\n" for path, text in new.items()}
    table = course_map(course, counted, "notebooks/")
    new[readme] = _replaced(texts[readme], _map_pattern(), table, "README.md: the map")
    return {path: text for path, text in new.items() if text != texts[path]}


def _map_pattern():
    return re.compile(re.escape(HEADING) + r"(?:\|.*\|\n)*")


def _replaced(text, pattern, new, what):
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{what} should stand in one place, as {pattern.pattern!r} finds it.")
    return pattern.sub(lambda found: new, text)


def _write(cells, pattern, new, what):
    """Replace the one match in the texts of a notebook."""
    holding = [cell for cell in cells if cell["cell_type"] == "markdown" and pattern.search("".join(cell["source"]))]
    if len(holding) != 1:
        raise ValueError(f"{what} should stand in one cell, as {pattern.pattern!r} finds it.")
    holding[0]["source"] = _replaced("".join(holding[0]["source"]), pattern, new, what).splitlines(keepends=True)


def write():
    """Write what is outdated, all of it or nothing, and say so."""
    texts = outdated()
    write_all(texts)
    print("\n".join(f"wrote {path.relative_to(ROOT)}" for path in texts) or "The course's map is up to date.")


if __name__ == "__main__":
    write()
