"""What a learner does: with a solution every exercise is answered "Right", with a prediction its figure comes.

Only these cells run, and those that define what they use: a learner may come here after a restart.
"""

import ast
import builtins
import contextlib
import io
import re

import matplotlib.pyplot as plt
import nbformat
import pytest

from tests.conditions import ROOT
from tests.notebooks.rules import DOUBT
from tl_helpers.exercises.code import read_code_exercises
from tl_helpers.exercises.predictions import HELD_BACK
from tl_helpers.exercises.texts import read_exercises

CODE, TEXTS = read_code_exercises(), read_exercises()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def predictions_of_this_test_alone(tmp_path, monkeypatch):
    """Keep what is predicted here out of the notebooks that run in the same session: they sum predictions up."""
    monkeypatch.setenv("TL_HELPERS_PREDICTIONS", str(tmp_path / "predictions.json"))


def parsed_cells(path):
    """Return the source of each code cell, in order; those with commands of IPython's own are left out."""
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [source for source in sources if not re.search(r"^\s*[%!]", source, re.MULTILINE)]


def defined(tree):
    """Return the names that a cell defines at its top level."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def used(tree):
    """Return the names that a cell reads."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return names - set(dir(builtins))


def what_it_needs(cells, place, source):
    """Return the cells before a place that define what a source uses, and what these use in turn."""
    needed, wanted = [], used(ast.parse(source)) - defined(ast.parse(source))
    for earlier in reversed(cells[:place]):
        tree = ast.parse(earlier)
        if found := defined(tree) & wanted:
            wanted = (wanted - found) | (used(tree) - defined(tree))
            needed.insert(0, earlier)
    return needed


def filled_in(source):
    """Return an exercise's cell with its solutions in place of the blanks, and the names of its exercises."""
    tree, names = ast.parse(source), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
            names += _names(node.args[0], tree)
    for name in names:
        if name in CODE:
            blanks = [node for node in tree.body if getattr(node, "name", None) == CODE[name].function]
            assert [ast.unparse(node) for node in blanks] == [ast.unparse(ast.parse(CODE[name].blank))], name
            source = source.replace(ast.get_source_segment(source, blanks[0]), CODE[name].solution)
        elif not isinstance(tree.body[-1], ast.For):
            source = re.sub(r"^answer = None", f"answer = {TEXTS[name].answer!r}", source, flags=re.MULTILINE)
        else:  # several in one cell
            case = name.rpartition("-")[2]
            source = re.sub(rf"\b{case}: None", f"{case}: {TEXTS[name].answer!r}", source)
    return source, names


def _names(argument, tree):
    """Return what an exercise is called; where several are checked in a loop, all of them."""
    if isinstance(argument, ast.Constant):
        return [argument.value]
    (keys,) = [node.keys for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    return [f"{argument.values[0].value}{key.value}" for key in keys]


def exercises_of(path):
    """Yield the filled in source of each cell of exercises, their names, and the cells that it needs."""
    cells = parsed_cells(path)
    for place, source in enumerate(cells):
        if re.search(r"\bcheck\(", source):
            filled, names = filled_in(source)
            yield filled, names, what_it_needs(cells, place, filled)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_its_solution_every_exercise_is_right(path):
    asked = 0
    for filled, names, needed in exercises_of(path):
        space = {}
        for source in needed:
            exec(compile(source, "<needed>", "exec"), space)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(filled, "<exercise>", "exec"), space)
        assert said.getvalue().count("Right. ") == len(names), f"{names}: {said.getvalue()}"
        asked += len(names)
    assert asked


def test_every_exercise_is_asked_once_in_the_notebook_whose_number_it_has():
    asked = {path: [name for _, names, _ in exercises_of(path) for name in names] for path in NOTEBOOKS}
    assert sorted(name for names in asked.values() for name in names) == sorted([*CODE, *TEXTS])
    for path, names in asked.items():
        assert {name[:2] for name in names} == {path.stem[:2]}
        assert sum(name in CODE for name in names) >= 2, f"{path.stem} asks for too little code"


def value_of(source, space):
    """Run a cell and return the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop()
    exec(compile(tree, "<cell>", "exec"), space)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)
    exec(compile(ast.Module([last], []), "<cell>", "exec"), space)
    return None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_prediction_brings_its_figure(path):
    cells, asked = parsed_cells(path), 0
    for place, source in enumerate(cells):
        if "my_prediction" not in source or source.startswith("my_prediction"):
            continue
        space, shown = {}, {}
        with contextlib.redirect_stdout(io.StringIO()):
            for each in what_it_needs(cells, place, source):
                exec(compile(each, "<needed>", "exec"), space)
        assert space["my_prediction"] is None
        for guess in (None, "show", 3):
            with contextlib.redirect_stdout(io.StringIO()) as said:
                display = value_of(source, space | {"my_prediction": guess})
            shown[guess] = said.getvalue() if display is None else f"{display.words} {display.reading}"
            assert (guess is None) == (HELD_BACK in shown[guess]), shown[guess]
            assert display is None or (display.figure is None) == (guess is None)
            plt.close("all")
        assert not DOUBT.search(shown[3]), shown[3]
        assert "Your prediction" in shown[3] and "Your prediction" not in shown["show"]
        asked += 1
    assert asked, f"{path.stem} asks for no prediction"
