"""Imports point one way: down the table of places, and in no circle."""

import ast
import graphlib
import re
from pathlib import Path

import nbformat
import pytest

import tl_helpers

FOLDER = Path(tl_helpers.__file__).parent
# From top to bottom; what stands on one line may use each other.
PLACES = [
    ["__main__"],
    ["command_line"],
    ["widgets", "plots", "exercises"],
    ["studies"],
    ["routes"],
    ["training"],
    ["models"],
    ["experiments"],
    ["datasets"],
    ["grid"],
    ["session", "files", "arguments", "progress", "saving"],
]
RANK = {place: rank for rank, places in enumerate(PLACES) for place in places}
MODULES = {path: path.relative_to(FOLDER).with_suffix("").parts for path in sorted(FOLDER.rglob("*.py"))}


def imported(path, package):
    """Yield the modules of the kit that a file imports, wherever in it, with whether at its top."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports inside the kit are written out in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "tl_helpers":
                yield tuple(name.split(".")[1:]), node in tree.body


def module_of(name):
    """Return the module that a dotted name belongs to, as its parts; nothing for the kit's own variables."""
    while name and name not in MODULES.values():
        name = name[:-1]
    return name


def test_every_module_has_its_place():
    assert {parts[0] for parts in MODULES.values()} - {"__init__"} == set(RANK)


def test_imports_point_down():
    upwards = [
        f"{'.'.join(parts)} imports {'.'.join(name)}"
        for path, parts in MODULES.items()
        if parts != ("__init__",)
        for name, _ in imported(path, parts[:-1])
        if module_of(name) and RANK[name[0]] < RANK[parts[0]]
    ]
    assert upwards == []


def test_imports_at_the_top_go_in_no_circle():
    graph = {
        parts: {module_of(name) for name, at_top in imported(path, parts[:-1]) if at_top and module_of(name)}
        for path, parts in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_the_kits_own_modules_do_without_the_faces():
    """A face lists what others call; a module that used it would count as depending on all of it."""
    through_a_face = [
        f"{path}: {'.'.join(name)}"
        for path, parts in MODULES.items()
        for name, _ in imported(path, parts[:-1])
        if not module_of(name)
        and name != ("__version__",)
        and not (len(name) > 1 and (FOLDER / Path(*name)).with_suffix(".py").exists())
    ]
    assert through_a_face == []


@pytest.mark.parametrize("path", sorted(Path("notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_imports_the_face_and_at_most_four_packages(path):
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    packages = set(re.findall(r"^\s*(?:from|import) tl_helpers\.([\w.]+)", source, re.MULTILINE))
    assert len(packages) <= 4 and not any("." in name for name in packages), packages
