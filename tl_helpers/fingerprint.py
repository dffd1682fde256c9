"""Is this the same computation as last time?

A fingerprint is a short hash of what decides a result: values, arrays, data sets, and functions together with the code
that they use. It is the same in every process on every day; whatever cannot be recognised for certain gets a new one,
so that an old result is recomputed rather than wrongly reused.
"""

import ast
import dataclasses
import dis
import enum
import functools
import hashlib
import importlib
import os
import types
from pathlib import Path

import numpy as np

LENGTH = 16
_KIT = __name__.partition(".")[0]
_CLASS_BOOKKEEPING = {"__doc__", "__firstlineno__", "__module__", "__qualname__", "__static_attributes__"}


def fingerprint(*values):
    """Return a short hash of `values`.

    Parameters
    ----------
    *values
        Plain values, NumPy arrays and scalars, containers and dataclasses of these, paths, pandas objects, functions,
        and, by way of their pickled bytes in memory, other objects that can be pickled.

    Returns
    -------
    str
        16 lower-case hexadecimal digits.

    Raises
    ------
    TypeError
        If a value cannot be fingerprinted; the message names its type.

    Notes
    -----
    A function is known by its name, bytecode, defaults and enclosed variables, by the functions, classes and constants
    of its own module (or notebook) that it uses, and by the text of the kit's modules that it can reach. Comments in
    its own module do not count. Of other packages only the names are known.
    """
    hasher = _Hasher()
    hasher.feed(values)
    return hasher.digest.hexdigest()[:LENGTH]


class _Hasher:
    """Feeds values into one digest, each with its type and length, so that no two different values look alike."""

    def __init__(self):
        self.digest = hashlib.sha256()
        self.open = []  # containers being fed just now: a container that holds itself must not be followed for ever
        self.definitions = []  # functions and classes already fed
        self.kit_modules = set()

    def feed(self, values):
        self._feed(values, home=None)
        for name, digest in sorted(_kit_sources(frozenset(self.kit_modules)).items()):
            self._write("source", f"{name} {digest}")

    def _write(self, tag, content=b""):
        content = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
        self.digest.update(f"{tag}:{len(content)}:".encode() + content)

    def _feed(self, value, home):
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, enum.Enum):
            self._write("enum", f"{qualified_name(type(value))}.{value.name}")
        elif isinstance(value, bytes):
            self._write("bytes", value)
        elif value is None or isinstance(value, (bool, int, float, complex, str)):
            self._write(type(value).__name__, repr(value))
        elif isinstance(value, np.ndarray):
            self._feed_array(value, home)
        elif isinstance(value, os.PathLike):
            self._write("path", Path(value).as_posix())
        elif isinstance(value, types.ModuleType):
            self._write("module", value.__name__)
            self.kit_modules.add(value.__name__)
        elif isinstance(value, types.CodeType):
            self._feed_code(value, home)
        elif isinstance(value, (types.FunctionType, type)):
            self._feed_definition(value, home)
        elif isinstance(value, (set, frozenset)):
            self._write("set", " ".join(sorted(fingerprint(item) for item in value)))
        elif any(value is container for container in self.open):
            self._write("itself")
        else:
            self.open.append(value)
            self._feed_container(value, home)
            self.open.pop()

    def _feed_container(self, value, home):
        if isinstance(value, dict):
            self._write("dict", len(value))
            for key, item in value.items():
                self._feed(key, home)
                self._feed(item, home)
        elif isinstance(value, (list, tuple)):
            self._write(type(value).__name__, len(value))
            for item in value:
                self._feed(item, home)
        elif isinstance(value, functools.partial):
            self._write("partial")
            self._feed((value.func, value.args, value.keywords), home)
        elif isinstance(value, types.MethodType):
            self._write("method")
            self._feed((value.__func__, value.__self__), home)
        elif dataclasses.is_dataclass(value):
            self._write("dataclass", qualified_name(type(value)))
            for field in dataclasses.fields(value):
                self._feed((field.name, getattr(value, field.name)), home)
        elif isinstance(getattr(value, "__wrapped__", None), types.FunctionType):  # such as functools.lru_cache
            self._write("wrapped", qualified_name(type(value)))
            self._feed(value.__wrapped__, home)
        else:
            self._feed_pickled(value)

    def _feed_array(self, array, home):
        self._write("array", f"{array.dtype.str}{array.shape}")
        if array.dtype.hasobject:
            for item in array.ravel():
                self._feed(item, home)
        else:
            self.digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.nbytes else b"")

    def _feed_code(self, code, home):
        # Bytecode, not source text: it belongs to the function for certain (also in a notebook or after `exec`), and it
        # knows no comments, layout or line numbers.
        self._write("code", code.co_code)
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self._write("names", " ".join(names))
        for constant in code.co_consts:
            self._feed(constant, home)
        self.kit_modules |= _imported_names(code)

    def _feed_definition(self, thing, home):
        self._write("definition", qualified_name(thing))
        module = thing.__module__ or ""
        home = home or module
        if module not in (home, "__main__"):
            self.kit_modules.add(module)
        elif not any(thing is known for known in self.definitions):
            self.definitions.append(thing)
            if isinstance(thing, type):
                self._feed_class(thing, home)
            else:
                self._feed_function(thing, home)

    def _feed_function(self, function, home):
        self._feed(function.__code__, home)
        self._feed((function.__defaults__, function.__kwdefaults__), home)
        for cell in function.__closure__ or ():
            try:
                self._feed(cell.cell_contents, home)
            except ValueError:
                self._write("empty cell")
        for name in sorted(_global_names(function.__code__)):
            if name in function.__globals__:
                self._write("global", name)
                try:
                    self._feed(function.__globals__[name], home)
                except TypeError:
                    self._write("unknown", qualified_name(type(function.__globals__[name])))

    def _feed_class(self, kind, home):
        for base in kind.__bases__:
            self._feed(base, home)
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            if isinstance(member, property):
                member = (member.fget, member.fset)
            if isinstance(member, (types.FunctionType, tuple, str, int, float)) and name not in _CLASS_BOOKKEEPING:
                self._write("member", name)
                self._feed(member, home)

    def _feed_pickled(self, value):
        import joblib

        try:
            self._write(qualified_name(type(value)), joblib.hash(value))
        except Exception as error:
            raise TypeError(
                f"An object of type {qualified_name(type(value))} cannot be fingerprinted ({error}). Pass plain "
                f"values, arrays, data sets or functions, and make other objects inside the function."
            ) from error


def qualified_name(thing):
    """Return a function's or class's module and name, such as ``"tl_helpers.datasets.load_emoji"``."""
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _global_names(code):
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _imported_names(code):
    """Return the dotted names of what the bytecode imports, see :func:`_names_of`."""
    statements = []
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            statements.append((step.argval, []))
        elif step.opname == "IMPORT_FROM":
            statements[-1][1].append(step.argval)
    return set().union(*(_names_of(module, parts) for module, parts in statements))


def _names_of(module, parts):
    """Return what ``from module import parts`` may reach: ``a`` and ``a.b`` for ``from a import b``.

    Of the kit as a whole only what is named: its modules should not all count because one of them was taken.
    """
    names = {f"{module}.{part}" for part in parts if part != "*"}
    return names if names and module == _KIT else names | {module}


def _kit_sources(names):
    """Return file name → hash of the text, for the kit's modules among `names` and all that they import in turn."""
    folder = Path(__file__).resolve().parent
    sources, waiting = {}, {name for name in names if name.partition(".")[0] == _KIT}
    while waiting:
        name = waiting.pop()
        kit, module = importlib.import_module(_KIT), name.partition(".")[2].partition(".")[0]
        if not module:  # its public names come from these modules
            waiting |= {f"{_KIT}.{home}" for home in kit._HOMES}
        path = folder / f"{kit._HOME_OF.get(module, module) or '__init__'}.py"
        if path.name not in sources and path.is_file():
            sources[path.name], imported = _read_source(path, path.stat().st_mtime_ns)
            waiting |= imported
    return sources


@functools.lru_cache(maxsize=256)
def _read_source(path, modified):
    text = path.read_bytes().replace(b"\r\n", b"\n")
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= _names_of(node.module, [alias.name for alias in node.names])
    return hashlib.sha256(text).hexdigest()[:LENGTH], {name for name in imported if name.partition(".")[0] == _KIT}
