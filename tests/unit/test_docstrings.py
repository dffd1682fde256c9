"""Everything that has a public name says, in NumPy's form, what it takes and what it gives."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import tl_helpers
from tests.conditions import ROOT

FOLDER = Path(tl_helpers.__file__).parent
SECTION = re.compile(r"^(\w[\w ]*)\n-+\n", re.MULTILINE)


def public_things(path):
    """Return name → function or class, of those that a module makes public."""
    module = importlib.import_module(".".join((FOLDER.name, *path.relative_to(FOLDER).with_suffix("").parts)))
    return {
        name: thing
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", None) == module.__name__
        and not name.startswith("_")
        and (inspect.isroutine(thing) or inspect.isclass(thing))
    }


def sections(docstring):
    """Return title → text of a docstring's sections; the beginning stands under the empty title."""
    parts = SECTION.split(inspect.cleandoc(docstring))
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(text):
    """Return the names that a section describes."""
    heads = re.findall(r"^(\S[^:\n]*?)(?: : .*)?$", text, re.MULTILINE)
    return {name.strip(" *`") for head in heads for name in head.split(",")}


def parameters(thing):
    """Return the names of what a function, or a class when it is made, takes."""
    try:
        taken = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):  # an exception's, which is Python's own
        return []
    return [each.name for each in taken if not each.name.startswith("_") and each.name != "kwargs"]


def gives_something(function):
    tree = ast.parse(inspect.getsource(inspect.unwrap(function)).lstrip())
    inner = [node for node in ast.walk(tree.body[0]) if isinstance(node, (ast.FunctionDef, ast.Lambda))][1:]
    hidden = {id(node) for each in inner for node in ast.walk(each)}
    kinds = [node for node in ast.walk(tree.body[0]) if id(node) not in hidden]
    return any(isinstance(node, (ast.Return, ast.Yield)) and node.value is not None for node in kinds)


def faults(thing):
    """Say what is missing from a docstring."""
    if not thing.__doc__:
        return ["no docstring"]
    found = sections(thing.__doc__)
    said = [] if found[""].strip().splitlines()[0].rstrip()[-1] in ".?:)…" else ["the first line is no sentence"]
    texts = [vars(kind).get("__doc__") for kind in thing.__mro__] if inspect.isclass(thing) else [thing.__doc__]
    described = set().union(*(documented(sections(text or "").get("Parameters", "")) for text in texts))
    wanted = [] if inspect.isclass(thing) and issubclass(thing, (Exception, tuple)) else parameters(thing)
    said += [f"{name} is not described" for name in wanted if name not in described]
    if inspect.isroutine(thing) and gives_something(thing) and not {"Returns", "Yields"} & set(found):
        said.append("what it returns is not described")
    return said


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("[a-z]*.py")), ids=lambda path: path.relative_to(FOLDER).as_posix()
)
def test_what_is_public_says_what_it_takes_and_gives(path):
    assert {name: faults(thing) for name, thing in public_things(path).items() if faults(thing)} == {}


def test_the_faults_are_seen():
    def bare(x):
        return x

    def partly(x, y):
        """Add.

        Parameters
        ----------
        x : float
        """
        return x + y

    assert faults(bare) == ["no docstring"]
    assert faults(partly) == ["y is not described", "what it returns is not described"]


def is_there(name):
    """Tell whether a dotted name leads to something."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        break
    for part in parts[end:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_every_name_that_a_text_refers_to_is_there():
    texts = [*FOLDER.rglob("*.py"), ROOT / "README.md", *(ROOT / "data").rglob("*.md")]
    names = {name for path in texts for name in re.findall(r"(?<![\w/])tl_helpers(?:\.\w+)+", path.read_text("utf-8"))}
    assert len(names) > 100 and [name for name in sorted(names) if not is_there(name)] == []
