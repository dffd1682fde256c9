"""Is this the same computation as last time?

A fingerprint is a short hash of what decides a result: values, arrays, data sets, and functions together with the code
that they use. It is the same in every process on every day; whatever cannot be recognised for certain gets a new one,
so that an old result is recomputed rather than wrongly reused.
"""

import ast
import contextlib
import copyreg
import dis
import enum
import functools
import hashlib
import importlib
import os
import sys
import sysconfig
import threading
import types
from pathlib import Path

import joblib
import numpy as np

LENGTH = 16
_KIT = __name__.partition(".")[0]
# What classes hold besides what they compute.
_CLASS_BOOKKEEPING = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dataclass_fields__",  # defaults and types of fields are in the methods made from them
    "__dataclass_params__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
    "__slotnames__",  # pickle leaves it on a class of whose objects one was pickled
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_METHODS = (types.FunctionType, property, staticmethod, classmethod)
# What functools.singledispatch makes, and which of its variables only remember calls.
_GENERIC = functools.singledispatch(len).__code__
_GENERIC_MEMORY = ("cache_token", "dispatch_cache", "_clear_cache")
_LOCKS = (type(threading.Lock()), type(threading.RLock()))


def fingerprint(*values, variables=True):
    """Return a short hash of `values`.

    Parameters
    ----------
    *values
        Plain values, NumPy arrays and scalars, containers and dataclasses of these, paths, pandas objects, functions,
        and, by way of their pickled bytes in memory, other objects that can be pickled.
    variables : bool
        False leaves out what variables of the user's modules hold that a call may fill or replace: lists, dictionaries,
        sets, arrays, other objects that cannot be called, and None.

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
    A function is known by its bytecode, constants, defaults and enclosed variables, and by the functions, classes,
    objects and constants that it uses, in its own module (or notebook) and in the user's others; a module of the user's
    by what is taken from it by name, or as a whole where it is used otherwise; a class by all its members and bases; an
    object by its class and its attributes; a layer or model of Keras by what :func:`tl_helpers.grid.networks.describe`
    says, and its weights. Comments do not count. Of the kit the text of the modules that can be reached counts; of
    installed packages only the names are known; nothing is known of the user's modules that a function imports inside
    itself, of annotations, and of what is found by a text (``globals()["RATE"]``, ``eval``) or by other ways around
    names (``__subclasses__``).
    """
    hasher = _Hasher(variables)
    hasher.feed(values)
    return hasher.digest.hexdigest()[:LENGTH]


class _Hasher:
    """Feeds values into one digest, each with its type and length, so that no two different values look alike."""

    def __init__(self, variables=True):
        self.variables = variables
        self.digest = hashlib.sha256()
        self.open = []  # containers being fed just now: a container that holds itself must not be followed for ever
        self.definitions = []  # functions and classes already fed
        self.kit_modules = set()
        self.home = None  # module of the first definition: where it is the kit's, not all of that module shall count

    def feed(self, values):
        try:
            self._feed(values)
        except RecursionError:
            raise TypeError("A value is nested too deeply to be fingerprinted.") from None
        for name, digest in sorted(_kit_sources(frozenset(self.kit_modules)).items()):
            self._write("source", f"{name} {digest}")

    def _write(self, tag, content=b""):
        content = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
        self.digest.update(f"{tag}:{len(content)}:".encode() + content)

    def _feed(self, value):
        if isinstance(value, np.generic) and not isinstance(value, np.void):
            plain = value.item()
            value = plain if isinstance(plain, _SCALARS) else np.asarray(value)  # such as a date or a bfloat16
        if isinstance(value, enum.Enum):
            self._write("enum", f"{qualified_name(type(value))}.{value.name}")
            self._feed(value.value)
            self._feed(type(value))
        elif isinstance(value, bytes):
            self._write("bytes", value)
        elif value is None or type(value) in _SCALARS:
            self._write(type(value).__name__, repr(value))
        elif isinstance(value, (np.ndarray, np.void)):
            self._feed_array(np.asanyarray(value))
        elif isinstance(value, os.PathLike):
            self._write("path", Path(value).as_posix())
        elif isinstance(value, types.ModuleType):
            self._feed_module(value)
        elif isinstance(value, types.CodeType):
            self._feed_code(value)
        elif isinstance(value, (types.FunctionType, type)):
            self._feed_definition(value)
        elif type(value) in (set, frozenset):
            self._write("set", " ".join(sorted(fingerprint(item) for item in value)))
        elif isinstance(value, _LOCKS):  # they decide nothing
            self._write("lock")
        elif any(value is container for container in self.open):
            self._write("itself")
        else:
            self.open.append(value)
            self._feed_compound(value)
            self.open.pop()

    def _feed_compound(self, value):
        if type(value) in (dict, types.MappingProxyType):
            self._write("dict", len(value))
            for key, item in value.items():
                self._feed((key, item))
        elif type(value) in (list, tuple):
            self._write(type(value).__name__, len(value))
            for item in value:
                self._feed(item)
        elif isinstance(value, types.MethodType):
            self._write("method")
            self._feed((value.__func__, value.__self__))
        elif isinstance(value, types.BuiltinMethodType) and not isinstance(value.__self__, (types.ModuleType, type)):
            self._write("method", value.__name__)  # of a list, say
            self._feed(value.__self__)
        elif isinstance(value, (functools.partial, functools.partialmethod)):
            self._write(type(value).__name__)
            self._feed((value.func, value.args, value.keywords))
        elif isinstance(value, property):
            self._write("property")
            self._feed((value.fget, value.fset, value.fdel))
        elif isinstance(value, (staticmethod, classmethod)):
            self._write(type(value).__name__)
            self._feed(value.__func__)
        elif isinstance(value, functools.cached_property):
            self._write("cached_property")
            self._feed(value.func)
        elif _wraps(value):
            self._write("wrapped", qualified_name(type(value)))
            self._feed(value.__wrapped__)
        elif is_of_keras(value) and isinstance(value, (list, dict, set)):  # as a layer keeps what one assigns to it
            self._feed(next(plain for plain in (list, dict, set) if isinstance(value, plain))(value))
        elif is_of_keras(value):
            from tl_helpers.grid.computations import content_of  # which imports this module

            self._write("keras", package_version(real_class(value)))
            self._feed((real_class(value), content_of(value)))
        elif all(hasattr(type(value), name) for name in ("numpy", "dtype", "shape")):
            self._write("tensor", qualified_name(type(value)))
            self._feed(np.asarray(value.numpy()))
        else:
            self._feed_object(value)

    def _feed_array(self, array):
        self._write("array", f"{array.dtype.str} {array.dtype.name}{array.shape}")
        if isinstance(array, np.ma.MaskedArray):
            self._write("masked")
            self._feed((np.ma.getmaskarray(array), array.fill_value, array.filled()))
        elif array.dtype.hasobject:
            for item in array.ravel().tolist():
                self._feed(item)
        else:
            self.digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.nbytes else b"")

    def _feed_code(self, code):
        # Bytecode, not source text: it belongs to the function for certain (also in a notebook or after `exec`), and it
        # knows no comments, layout or line numbers.
        self._write("code", code.co_code)
        self._write("handlers", getattr(code, "co_exceptiontable", b""))
        arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        self._write("arguments", " ".join(map(str, arguments)))
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self._write("names", " ".join(names))
        for constant in code.co_consts:
            self._feed(constant)
        self.kit_modules |= _imported_names(code)

    def _feed_definition(self, thing):
        if isinstance(thing, type):
            thing = real_class(thing)
        self._write("definition", qualified_name(thing))
        module = _module_of(thing)
        if module.partition(".")[0] == _KIT and self.home not in (None, module):
            self.kit_modules.add(module)
            if isinstance(thing, types.FunctionType):  # the text tells what it does, but not what it was given
                self._feed(own_parts([_cell_content(cell) for cell in thing.__closure__ or ()]))
        elif is_library(module):
            if isinstance(thing, types.FunctionType):
                self._feed(own_parts([_cell_content(cell) for cell in thing.__closure__ or ()]))
        elif any(thing is known for known in self.definitions):
            # Two may have the same name: say which.
            self._write("known", next(n for n, known in enumerate(self.definitions) if thing is known))
        else:
            self.definitions.append(thing)
            home, self.home = self.home, self.home or module
            if isinstance(thing, type):
                self._feed_class(thing)
            else:
                self._feed_function(thing)
            self.home = home

    def _feed_function(self, function):
        self._feed(function.__code__)
        # What `from .module import name` means, only the function's package tells.
        self.kit_modules |= _imported_names(function.__code__, function.__globals__.get("__package__") or "")
        self._feed((function.__defaults__, function.__kwdefaults__))
        memory = _GENERIC_MEMORY if function.__code__ is _GENERIC else ()
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name not in memory:
                self._feed_used(function, name, _cell_content(cell))
        for name, paths in sorted(_global_names(function.__code__).items()):
            if name in function.__globals__:
                value = function.__globals__[name]
                self._write("global", name)
                if not isinstance(value, types.ModuleType):
                    # What a function of a notebook holds goes with it wherever it goes.
                    held = value if function.__module__ == "__main__" else self._as_imported(value)
                    self._feed_used(function, name, held)
                    continue
                self._name_module(value)
                if not is_library(value.__name__):
                    for path in sorted(paths):
                        held = self._as_imported(_at_the_end_of(value, path))
                        self._feed_used(function, ".".join((name, *path)), held)
        self._feed([item for item in sorted(vars(function).items()) if item[0] not in ("__wrapped__", *memory)])

    def _as_imported(self, value):
        """Return what counts of a value that a variable of a module holds."""
        fixed = isinstance(value, (*_SCALARS, tuple, frozenset, enum.Enum, types.ModuleType)) and value is not None
        if self.variables or fixed or callable(value):
            return value
        kind = real_class(value)
        return "a variable" if is_library(_module_of(kind)) else kind

    def _feed_used(self, function, name, value):
        try:
            self._feed(value)
        except TypeError as error:
            raise TypeError(f"{name}, which {function.__qualname__} uses: {error}") from error

    def _name_module(self, module):
        self._write("module", module.__name__)
        self.kit_modules.add(module.__name__)

    def _feed_module(self, module):
        """Feed a module that is used as a whole: what is taken from it, nobody can tell."""
        self._name_module(module)
        known = any(module is each for each in self.definitions)
        if known or is_library(module.__name__) or module.__name__.partition(".")[0] == _KIT:
            return
        self.definitions.append(module)
        for name, member in sorted(vars(module).items()):
            if name.startswith("__"):
                continue
            self._write("member", name)
            depth, home = len(self.open), self.home
            try:
                self._feed(self._as_imported(member))
            except TypeError:  # such as an open file: its line in the module says what it is
                del self.open[depth:]
                self.home = home
                self._write("text", _text_of(module))

    def _feed_class(self, kind):
        self._feed([base for base in (*kind.__bases__, type(kind)) if base not in (object, type)])
        members = {name: member for name, member in vars(kind).items() if name not in _CLASS_BOOKKEEPING}
        fields = vars(kind).get("__dataclass_fields__", {})
        self._feed([(name, dict(field.metadata)) for name, field in fields.items() if field.metadata])
        if issubclass(kind, enum.Enum):
            self._feed([(name, member.value) for name, member in kind.__members__.items()])
            members = {name: member for name, member in members.items() if isinstance(member, _METHODS)}
        for name, member in sorted(members.items()):
            # What stands for a slot tells no more than `__slots__`, and a class sent by value has none.
            if not isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                self._write("member", name)
                self._feed(member)

    def _feed_object(self, value):
        """Feed an object by its class and state: all its attributes, where the class is not a package's."""
        kind = type(value)
        self._write("object", qualified_name(kind))
        try:
            if _module_of(kind).partition(".")[0] == "pandas":  # large, and nobody's functions are in it
                self._write("pickled", joblib.hash(value))
                return
            if not is_library(_module_of(kind)):
                self._feed((kind, _attributes(value)))
                for plain in (dict, list, tuple, set, frozenset, str, int, float, complex):
                    if isinstance(value, plain):
                        return self._feed(plain(value) if plain is not str else str.__str__(value))
                if not _holds_more(kind):
                    return
            reduce = copyreg.dispatch_table.get(kind)
            reduced = reduce(value) if reduce else value.__reduce_ex__(4)
        except TypeError as error:
            if "fingerprinted" in str(error):
                raise
            raise _refusal(value, error) from error
        except Exception as error:
            raise _refusal(value, error) from error
        if isinstance(reduced, str):
            self._write("named", reduced)
        else:
            parts = [list(part) if hasattr(part, "__next__") else part for part in reduced]
            self._feed([sorted(p.items()) if type(p) is dict and all(map(_is_text, p)) else p for p in parts])


def _refusal(value, error):
    return TypeError(
        f"An object of type {qualified_name(type(value))} cannot be fingerprinted ({error}). Pass plain "
        f"values, arrays, data sets or functions, and make other objects inside the function."
    )


def _wraps(value):
    """Tell whether a package's object, such as of ``functools.lru_cache``, stands for a function that it wraps."""
    wrapped = isinstance(getattr(value, "__wrapped__", None), types.FunctionType)
    return wrapped and is_library(_module_of(type(value)))


def _text_of(module):
    try:
        return Path(module.__file__).read_bytes()
    except (AttributeError, TypeError, OSError):
        return b""


def _at_the_end_of(module, path):
    """Return what a dotted path leads to from a module, or the first thing on the way that is no module of the user's.

    Of a package's module that is the module, which is known by its name.
    """
    value = module
    for name in path:
        if not isinstance(value, types.ModuleType) or is_library(value.__name__):
            break
        if value.__name__.partition(".")[0] == _KIT and not hasattr(value, name):
            with contextlib.suppress(ModuleNotFoundError):  # a package of the kit that nobody has asked for yet
                importlib.import_module(f"{value.__name__}.{name}")
        value = getattr(value, name, None)
    return value


def _is_text(value):
    return isinstance(value, str)


def _holds_more(kind):
    """Tell whether objects of a class may hold more than attributes, because they derive from a package's class."""
    return any(is_library(_module_of(base)) and base is not object for base in kind.__mro__)


def _attributes(value):
    """List an object's attributes, those in slots too, by name."""
    found = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{name}"
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return sorted(found.items())


def _cell_content(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return "empty cell"


def own_parts(value, seen=()):
    """List what in a value is the user's: functions, classes, and objects of their classes, however deep.

    Parameters
    ----------
    value : object
        Such as the attributes of a layer of Keras.
    seen : tuple
        What `value` is a part of.

    Returns
    -------
    list
        Empty where the names and settings in a value tell all about it.
    """
    if any(value is each for each in seen) or isinstance(value, (np.ndarray, *_SCALARS)):
        return []
    seen = (*seen, value)
    if isinstance(value, dict) or type(value) is types.MappingProxyType:
        items = [part for pair in value.items() for part in pair]
    elif isinstance(value, (list, tuple, set, frozenset)):
        items = list(value) if not isinstance(value, (set, frozenset)) else sorted(value, key=repr)
    elif isinstance(value, functools.partial):
        items = [value.func, value.args, value.keywords]
    elif isinstance(value, types.MethodType):
        items = [value.__func__, value.__self__]
    elif isinstance(value, types.FunctionType):
        if not is_library(_module_of(value)):
            return [value]
        items = [_cell_content(cell) for cell in value.__closure__ or ()]
    elif _wraps(value):
        return own_parts(value.__wrapped__, seen)
    elif isinstance(value, type):
        return [] if is_library(_module_of(real_class(value))) else [value]
    elif not is_library(_module_of(real_class(value))):
        return [value]
    elif is_of_keras(value):
        from tl_helpers.grid.computations import attributes_of  # which imports this module

        items = list(attributes_of(value).values())
    else:
        items = []
    return [part for item in items for part in own_parts(item, seen)]


def real_class(thing):
    """Return the class of an object, or a class itself; of a layer that the kit keeps still the one it was made of.

    Parameters
    ----------
    thing : object

    Returns
    -------
    type
    """
    kind = thing if isinstance(thing, type) else type(thing)
    return vars(kind).get("_still_of", kind)


def package_version(kind):
    """Return the version of the package that a class is from.

    Parameters
    ----------
    kind : type

    Returns
    -------
    str
        Empty where it has none.
    """
    return str(getattr(sys.modules.get(_module_of(kind).partition(".")[0]), "__version__", ""))


def _module_of(thing):
    name = getattr(thing, "__module__", "")
    return name if isinstance(name, str) else ""  # some compiled classes give something else


def is_of_keras(value):
    """Tell whether an object's class derives from one of Keras's.

    Parameters
    ----------
    value : object

    Returns
    -------
    bool
    """
    return any(_module_of(base).partition(".")[0] == "keras" for base in type(value).__mro__)


def is_library(module):
    """Tell whether a module is Python's own or an installed package's, so that its names say what it does.

    Parameters
    ----------
    module : str

    Returns
    -------
    bool
        False for the kit, notebooks and the user's own files.
    """
    top = (module or "").partition(".")[0]
    if top in (_KIT, "__main__"):
        return False
    if top == "keras" or top.startswith("_cython_"):  # where compiled packages keep the types of their functions
        return True
    found = sys.modules.get(top)
    file = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), None)
    if file is None:
        return top in sys.stdlib_module_names
    parts = Path(file).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    return any(Path(file).is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def qualified_name(thing):
    """Return a function's or class's module and name.

    Parameters
    ----------
    thing : object

    Returns
    -------
    str
        Such as ``"tl_helpers.datasets.emoji.load_emoji"``.
    """
    return f"{_module_of(thing)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _global_names(code):
    """Return the global names in bytecode, each with the paths of attributes that are taken from it at once."""
    names, name, path = {}, None, ()

    def keep():
        if name is not None:
            names.setdefault(name, set()).add(path)

    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            keep()
            name, path = step.argval, ()
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path = (*path, step.argval)
        elif step.opname != "EXTENDED_ARG":
            keep()
            name = None
    keep()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for each, paths in _global_names(constant).items():
                names.setdefault(each, set()).update(paths)
    return names


def _imported_names(code, package=""):
    """Return the dotted names of what the bytecode of a function in a package imports, see :func:`_names_of`."""
    # A function with more than 256 names or constants has further instructions in between, which extend a number.
    statements, steps = [], [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for number, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level = steps[number - 2].argval  # two constants come first: how many dots, and the names to take
            statements.append((_absolute(step.argval, level, package), []))
        elif step.opname == "IMPORT_FROM":
            statements[-1][1].append(step.argval)
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    names = [_names_of(module, parts) for module, parts in statements]
    return set().union(*names, *(_imported_names(each, package) for each in inner))


def _absolute(module, level, package):
    """Return the full name of what ``from ..module`` means in a package; `level` is the number of dots."""
    above = package.split(".")[: package.count(".") + 2 - level] if level else []
    return ".".join([*above, *([module] if module else [])])


def _names_of(module, parts):
    """Return what ``from module import parts`` may reach: ``a.b`` for ``from a import b``, ``a`` for a star.

    What is taken from a package by name is all that counts of it: its other modules should not count because one did.
    """
    return {module if part == "*" else f"{module}.{part}" for part in parts} or {module}


def _kit_sources(names):
    """Return path → hash of the text, for the kit's modules among `names` and all that they import in turn.

    What is imported runs the ``__init__`` of every package above it, so these count as well.
    """
    folder = Path(__file__).resolve().parents[__name__.count(".") - 1]
    sources, waiting, seen = {}, {name for name in names if name.partition(".")[0] == _KIT}, set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        files, further = _files_of(name, folder)
        waiting |= further
        for path in files:
            place = path.relative_to(folder).as_posix()
            if place not in sources:
                package = [_KIT, *path.relative_to(folder).parts[:-1]]
                sources[place], imported = _read_source(path, path.stat().st_mtime_ns, ".".join(package))
                waiting |= imported
    return sources


def _files_of(name, folder):
    """Return the files that run when a name of the kit is imported, and the names that it stands for in turn.

    A name that a package hands out (its ``__init__.pyi`` says from where) stands for the one in its module; a package
    as a whole for all its modules.
    """
    files, package = [folder / "__init__.py"], _KIT
    for part in name.split(".")[1:]:
        stub = folder / "__init__.pyi"
        homes = _homes(stub, stub.stat().st_mtime_ns) if stub.is_file() else {}
        if part in homes:
            return files, {f"{package}.{homes[part]}.{part}"}
        if (folder / f"{part}.py").is_file():
            return [*files, folder / f"{part}.py"], set()
        if not (folder / part / "__init__.py").is_file():  # a variable of the package's own
            return files, set() if package == _KIT else _all_of(folder, package)
        folder, package = folder / part, f"{package}.{part}"
        files.append(folder / "__init__.py")
    return files, _all_of(folder, package)


def _all_of(folder, package):
    """Return the names of all modules in a package."""
    paths = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py") if path.stem != "__init__"]
    return {".".join([package, *path.parts]) for path in paths}


@functools.lru_cache(maxsize=32)  # parsing, for every fingerprint, like the next
def _homes(stub, modified):
    """Return name → module of what a package hands out, as its stub lists them."""
    statements = [node for node in ast.parse(stub.read_bytes()).body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: node.module for node in statements for alias in node.names if node.module}


@functools.lru_cache(maxsize=256)
def _read_source(path, modified, package):
    """Return the hash of a module's text, and the names of the kit that it imports."""
    text = path.read_bytes().replace(b"\r\n", b"\n")
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= _names_of(_absolute(node.module, node.level, package), [alias.name for alias in node.names])
    return hashlib.sha256(text).hexdigest()[:LENGTH], {name for name in imported if name.partition(".")[0] == _KIT}
