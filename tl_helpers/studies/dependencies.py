"""On which code does a function depend? Told from syntax trees alone: nothing is imported, nothing is run."""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LENGTH = 16
KIT = __name__.partition(".")[0]
# What has no part in a result, or stands in the trees of some versions of Python only.
_LEFT_OUT = {"annotation", "returns", "ctx", "kind", "simple", "type_comment", "type_params"}
# Decorators that remember results and change none.
_MEMORIES = {"cache", "lru_cache"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_IMPORTS = (ast.Import, ast.ImportFrom)


class UnknownDependency(LookupError):
    """It cannot be told on which code a function depends."""


def dependencies(*starts):
    """Return the code of the kit that functions depend on, each piece with a hash of what it computes.

    Parameters
    ----------
    *starts : tuple of str
        Module and name of a function, class or constant, such as ``("tl_helpers.studies.street", "street_labels")``. To
        the kit belong the package of each start and ``tl_helpers``.

    Returns
    -------
    dict of str to str
        Name of a function, class or constant → 16 hexadecimal digits, in alphabetical order, the starts among them.
        Where several have the same name, one hash is of all of them.

    Raises
    ------
    UnknownDependency
        If a name cannot be found, or is used in a way that does not tell what is needed; the message says where.

    Notes
    -----
    A piece counts without docstrings, comments, layout, annotations, imports, the words of errors that it raises and
    decorators that only remember results, and is the same in every version of Python. A class counts as a whole; so
    does what a module does at its top to fill or change a constant. Of other packages the names count that the kit has
    for them. Nothing is known of what is found by a text (``getattr(module, name)``), of attributes of objects, and of
    what functions write into constants.
    """
    kit = _Kit({KIT, *(module.partition(".")[0] for module, _ in starts)})
    waiting, pieces = [], {}
    for module, name in starts:
        waiting += kit.find(module, (name,), f"{module}.{name}")
    while waiting:
        module, name = waiting.pop()
        if (module, name) not in pieces:
            examined = kit.read(module).examine(name)
            pieces[module, name] = examined.digest
            for read in examined.reads:
                waiting += kit.follow(read, module, f"{module}.{name}")
    return _by_name(pieces)


def _by_name(pieces):
    """Return name → hash, whatever the module: a piece that moves is the same piece."""
    digests = {}
    for (_, name), digest in pieces.items():
        digests.setdefault(name, []).append(digest)
    return {
        name: found[0] if len(found) == 1 else _hash(" ".join(sorted(found))) for name, found in sorted(digests.items())
    }


def _hash(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:LENGTH]


# --- Which piece does a name stand for?


class _Imported(NamedTuple):
    """What an import binds to a name: a module, or a name in it."""

    module: str
    name: str | None = None


class _Read(NamedTuple):
    """A name that code reads, with the attributes taken from it, and what an import in the function binds to it."""

    name: str
    attributes: tuple[str, ...]
    imported: _Imported | None = None


class _Kit:
    """The modules of some packages, each read once. Pieces are given as (module, name)."""

    def __init__(self, packages):
        self.packages, self.sources = packages, {}

    def read(self, module):
        """Return a module as a :class:`_Source`, or None if there is no such module."""
        if module not in self.sources:
            self.sources[module] = _read(module)
        return self.sources[module]

    def follow(self, read, module, reader):
        """Return the pieces that a name read in a module stands for; none where it is another package's."""
        if read.imported:
            return self._follow_import(read.imported, read.attributes, reader)
        source = self.read(module)
        found = [(module, read.name)] if read.name in source.statements else []
        if read.name in source.imports:
            found += self._follow_import(source.imports[read.name], read.attributes, reader)
        elif not found and not hasattr(builtins, read.name) and not _is_special(read.name):
            raise UnknownDependency(
                f"{reader} reads {read.name!r}, which {module} neither defines nor imports: define it there."
            )
        return found

    def _follow_import(self, imported, attributes, reader):
        if imported.module.partition(".")[0] not in self.packages:
            return []
        return self.find(imported.module, ((imported.name,) if imported.name else ()) + attributes, reader)

    def find(self, module, names, reader):
        """Return the pieces that ``module.a.b`` stands for; all of a module that is used as a value."""
        source = self.read(module)
        if source is None:
            raise UnknownDependency(f"{reader} needs {module}, of which there is no source file: mend that import.")
        if not names:
            if source.is_package:
                raise UnknownDependency(
                    f"{reader} uses the package {module} as a value: import from its modules what is needed."
                )
            return [(module, name) for name in source.statements]
        name, attributes = names[0], names[1:]
        of_itself = source.imports.get(name) == _Imported(module, name)  # as in `from . import name`: a module
        if not of_itself and (name in source.statements or name in source.imports):
            return self.follow(_Read(name, attributes), module, reader)
        if self.read(f"{module}.{name}"):
            return self.find(f"{module}.{name}", attributes, reader)
        if _is_special(name):
            return []
        raise UnknownDependency(f"{reader} needs {name!r} of {module}, which has no such name: mend that import.")


def _is_special(name):
    """Say whether Python or the packager, not the code, gives a name its meaning: ``__file__``, ``__version__``."""
    return name.startswith("__") and name.endswith("__")


# --- What stands in a module?


class _Examined(NamedTuple):
    digest: str
    reads: tuple[_Read, ...]


@dataclass(frozen=True)
class _Source:
    """A module: the statements at its top that bind or change each name, and what its imports bind."""

    is_package: bool
    statements: dict[str, list[ast.stmt]]
    imports: dict[str, _Imported]
    package: str
    examined: dict[str, _Examined] = field(default_factory=dict)

    def examine(self, name):
        """Return the hash of a name's statements, and what they read."""
        if name not in self.examined:
            statements = self.statements[name]
            reads = dict.fromkeys(read for one in statements for read in _reads(one, [], self.package))
            self.examined[name] = _Examined(_hash(_canonical(statements)), tuple(reads))
        return self.examined[name]


def _read(module):
    for folder, package in _places(module):
        # What a lazy package offers stands in its stub.
        files = [folder / "__init__.py", folder / "__init__.pyi"] if package else [folder.with_suffix(".py")]
        files = [path for path in files if path.is_file()]
        if files or (package and folder.is_dir()):
            return _parse(module, package, tuple(path.read_bytes() for path in files))
    return None


def _places(module):
    """Yield where a module may be, without suffix, and whether it would be a package there."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)  # of a module at the top: this imports nothing
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        yield Path(folder, *rest), True
        if rest:
            yield Path(folder, *rest), False
    if not rest and spec.origin and not spec.submodule_search_locations:
        yield Path(spec.origin).with_suffix(""), False


@functools.lru_cache(maxsize=512)
def _parse(module, is_package, contents):
    package = module if is_package else module.rpartition(".")[0]
    statements, imports, bound = {}, {}, set()
    for content in contents:
        for statement in ast.parse(content, filename=module).body:
            for node in _inside(statement):
                if isinstance(node, _IMPORTS):
                    imports |= _bindings(node, package)
            for name in dict.fromkeys(name for node in _inside(statement) for name in _changed(node)):
                statements.setdefault(name, []).append(statement)
            bound |= {name for node in _inside(statement) for name in _bound(node)}
    statements = {name: found for name, found in statements.items() if name in bound and not _is_special(name)}
    return _Source(is_package, statements, imports, package)


def _bindings(node, package):
    """Return name → what an import statement binds to it."""
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: _Imported(
                alias.name if alias.asname else alias.name.partition(".")[0]
            )
            for alias in node.names
        }
    parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    module = ".".join([*parts, *([node.module] if node.module else [])])
    if any(alias.name == "*" for alias in node.names):
        raise UnknownDependency(
            f"A module of {package} imports everything of {module} by *: import what is needed by name."
        )
    return {alias.asname or alias.name: _Imported(module, alias.name) for alias in node.names}


def _inside(node):
    """Yield a node and what is in it, but nothing of what functions, classes and comprehensions keep to themselves."""
    yield node
    if isinstance(node, _FUNCTIONS):
        children = node.decorator_list if not isinstance(node, ast.Lambda) else []
    elif isinstance(node, ast.ClassDef):
        children = node.decorator_list
    elif isinstance(node, _COMPREHENSIONS):  # of which a walrus leaves a name outside
        children = [child for child in ast.walk(node) if isinstance(child, ast.NamedExpr)]
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from _inside(child)


def _changed(node):
    """Return the names that a node, without what is inside it, binds, or whose content it changes."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name, *(name for one in node.decorator_list if (name := _root(one)))]
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return [name] if (name := _root(node)) else []
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # TABLE.update(…)
        return [name] if (name := _root(node.value)) else []
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        return [node.name] if node.name else []
    return [node.rest] if isinstance(node, ast.MatchMapping) and node.rest else []


def _root(node):
    """Return the name that an expression such as ``name.a[0](…)`` begins with, or None."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


# --- Which names does code read from its module?


def _reads(node, scopes, package):
    """Yield as :class:`_Read` what a node reads that is bound in none of `scopes`, each a dict, the innermost last."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        attributes = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            yield from _reads(node, scopes, package)
        elif not isinstance(node.ctx, ast.Store) or scopes:
            scope = next((scope for scope in reversed(scopes) if node.id in scope.names), None)
            imported = scope and scope.names[node.id]
            if scope is None or imported:
                yield _Read(node.id, tuple(attributes), imported)
        return
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        outside, inside = _parts(node)
        for part in outside:
            yield from _reads(part, scopes, package)
        # A method does not see what its class binds.
        seen = scopes if isinstance(node, ast.ClassDef) else [scope for scope in scopes if not scope.of_class]
        scopes = [*seen, _scope(node, inside, package)]
    elif isinstance(node, _COMPREHENSIONS):
        yield from _reads(node.generators[0].iter, scopes, package)
        targets = [name for each in node.generators for one in ast.walk(each.target) for name in _changed(one)]
        scopes, inside = [*scopes, _Scope(dict.fromkeys(targets))], ast.iter_child_nodes(node)
    else:
        inside = [
            child
            for name, value in ast.iter_fields(node)
            if name not in _LEFT_OUT
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.AST)
        ]
    for child in inside:
        yield from _reads(child, scopes, package)


class _Scope(NamedTuple):
    names: dict[str, _Imported | None]
    of_class: bool = False


def _parts(node):
    """Return what of a function or class is evaluated outside it, and its body."""
    if isinstance(node, ast.ClassDef):
        return [*_decorators(node), *node.bases, *node.keywords], node.body
    defaults = [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None]
    return (defaults, [node.body]) if isinstance(node, ast.Lambda) else ([*_decorators(node), *defaults], node.body)


def _scope(node, body, package):
    """Return what a function or class binds inside itself; an import with what it stands for."""
    inside = [one for statement in body for one in _inside(statement)]
    names = dict.fromkeys(name for one in inside for name in _bound(one))
    for one in inside:
        if isinstance(one, _IMPORTS):
            names |= _bindings(one, package)
    for one in inside:
        if isinstance(one, (ast.Global, ast.Nonlocal)):
            names = {name: imported for name, imported in names.items() if name not in one.names}
    if isinstance(node, ast.ClassDef):
        return _Scope(names, of_class=True)
    given = node.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return _Scope(names | {one.arg: None for one in arguments if one})


def _bound(node):
    """Return the names that a node, without what is inside it, binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    return [] if isinstance(node, (ast.Attribute, ast.Subscript, ast.Expr)) else _changed(node)


def _decorators(node):
    return [one for one in node.decorator_list if _last_name(one) not in _MEMORIES]


def _last_name(node):
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


# --- What does code compute?


def _canonical(node, in_class=False):
    """Write a syntax tree as a text that is the same for the same computation, in every version of Python."""
    if isinstance(node, list):
        kept = [one for one in node if not _does_nothing(one, in_class)]
        return f"[{','.join(_canonical(one, in_class) for one in kept)}]"
    if isinstance(node, ast.Constant):
        return f"{type(node.value).__name__}:{node.value!a}"
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr{_canonical(_merged(node.values))}"
    if isinstance(node, ast.Raise):
        # What an error says is no result; which error it is may be, where somebody catches it.
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return f"Raise({'' if raised is None else _canonical(raised)})"
    if isinstance(node, ast.AnnAssign) and not in_class:
        node = ast.Assign(targets=[node.target], value=node.value)
    if not isinstance(node, ast.AST):
        return f"{node!a}"
    fields = {name: value for name, value in ast.iter_fields(node) if name not in _LEFT_OUT}
    if "decorator_list" in fields:
        fields["decorator_list"] = _decorators(node)
    written = {
        name: _canonical(value, in_class=isinstance(node, ast.ClassDef))
        for name, value in fields.items()
        if value is not None
    }
    return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in written.items() if text != '[]')})"


def _does_nothing(node, in_class):
    """Say whether a statement can be left out: docstrings, ``pass``, imports, annotations outside of classes."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    bare = isinstance(node, ast.AnnAssign) and node.value is None
    return isinstance(node, (ast.Pass, *_IMPORTS)) or (bare and not in_class)


def _merged(values):
    """Return the parts of an f-string with neighbouring texts as one: where they are cut, versions of Python differ."""
    merged = []
    for value in values:
        if isinstance(value, ast.Constant) and merged and isinstance(merged[-1], ast.Constant):
            merged[-1] = ast.Constant(merged[-1].value + value.value)
        else:
            merged.append(value)
    return [one for one in merged if not (isinstance(one, ast.Constant) and one.value == "")]
