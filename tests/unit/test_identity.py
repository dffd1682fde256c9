import functools
import importlib
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from tl_helpers.grid import identity as module
from tl_helpers.grid.identity import fingerprint

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
nested = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Setting:
    rate: float
    names: tuple


def define(source, name="study", **more):
    """Run `source` as a notebook would and return what it calls `name`."""
    space = {"__name__": "__main__", **more}
    exec(textwrap.dedent(source), space)
    return space[name]


@given(nested, nested)
def test_two_values_have_one_fingerprint_only_if_they_are_the_same(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (repr(a) == repr(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", 1),
        ("a", b"a"),
        (["ab", "c"], ["a", "bc"]),
        ([1, 2], (1, 2)),
        ([[1], 2], [[1, 2]]),
        ({"a": 1}, {"a": 2}),
        (Path("a"), "a"),
        (Colour.RED, "red"),
        (Setting(0.1, ()), Setting(0.1, ("a",))),
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(4), np.zeros(4, "float32")),
        (np.zeros(2), np.array([0.0, 5e-324])),
        (np.array(["a", "b"]), np.array(["a", "c"])),
        (np.array([1, "a"], object), np.array([2, "a"], object)),
        (np.array(["2026-01-01"], "datetime64[D]"), np.array(["2026-01-02"], "datetime64[D]")),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (functools.partial(max, 1), functools.partial(min, 1)),
        (len, max),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
    ],
)
def test_what_differs_has_another_fingerprint(a, b):
    assert fingerprint(a) != fingerprint(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.int64(3), 3),
        (np.float64(0.1), 0.1),
        (np.arange(6).reshape(2, 3).T, np.array([[0, 3], [1, 4], [2, 5]])),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]})),
    ],
)
def test_what_is_the_same_has_the_same_fingerprint(a, b):
    assert fingerprint(a) == fingerprint(b)


def test_a_list_that_holds_itself_is_no_endless_loop():
    circle = [1]
    circle.append(circle)
    assert fingerprint(circle) == fingerprint(circle)


def test_what_cannot_be_recognised_is_refused_by_name():
    with pytest.raises(TypeError, match=r"generator.*make other objects inside the function"):
        fingerprint(x for x in [1])


STUDY = """
    import numpy as np
    FACTOR = 2
    class Head:
        units = 3
        def size(self):
            return self.units
    def helper(x, power=1):
        return FACTOR * x ** power
    def study(arm, budget, seed, scale=10):
        '''Say something.'''
        inner = lambda: [helper(value) for value in range(budget)]
        return {"score": scale * sum(inner()) + Head().size() + np.pi}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scale * sum", "scale + sum"),
        ("scale=10", "scale=11"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("x ** power", "x * power"),
        ("power=1", "power=2"),
        ("units = 3", "units = 4"),
        ("return self.units", "return -self.units"),
        ("np.pi", "np.e"),
        ("range(budget)", "range(seed)"),
        ('"score"', '"result"'),
    ],
)
def test_any_change_to_what_a_function_uses_is_noticed(old, new):
    assert old in STUDY
    assert fingerprint(define(STUDY)) != fingerprint(define(STUDY.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FACTOR = 2", "FACTOR = 2  # twice"),
        ("    def helper", "\n\n    def helper"),
        ("FACTOR = 2", "FACTOR = 2\n    UNUSED = 5"),
    ],
)
def test_comments_layout_and_what_is_not_used_do_not_count(old, new):
    assert fingerprint(define(STUDY)) == fingerprint(define(STUDY.replace(old, new)))


def test_enclosed_variables_and_decorators_count():
    def make(factor):
        def decorate(function):
            @functools.wraps(function)
            def wrapped(x):
                return factor * function(x)

            return wrapped

        @decorate
        def study(x):
            return x

        return study

    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))


def test_a_cached_function_is_known_by_what_it_caches():
    source = "import functools\n@functools.lru_cache\ndef pool():\n    return 1\ndef study():\n    return pool()"
    assert fingerprint(define(source)) != fingerprint(define(source.replace("return 1", "return 2")))


SETTINGS = """
    import enum, functools, numpy as np

    class Base:
        inherited = [1, 2]

    class CFG(Base):
        rate = 0.1
        rates = [0.1, 0.2]
        settings = {"depth": {"of": 3}}
        chosen = {"a", "b", "c"}
        weights = np.arange(3)
        class Inner:
            units = 4
        @staticmethod
        def plain(x):
            return x + 5
        @classmethod
        def of_class(cls, x):
            return x + 6
        @property
        def measured(self):
            return 7
        @functools.cached_property
        def kept(self):
            return 8
        def power(self, x, y=[9]):
            return x
        squared = functools.partialmethod(power, y=10)

    class Kind(enum.Enum):
        FIRST = 11
        def double(self):
            return 2 * self.value

    class Helper:
        def __init__(self, gain, names):
            self.gain, self.names = gain, names
        def run(self, x):
            return self.gain * x
        def __call__(self, x):
            return self.gain - x

    HELPER, CALLABLE = Helper(12, ("a",)), Helper(13, ("b",))
    BOUND = Helper(14, ("c",)).run

    def study(arm, budget, seed):
        def inner(x=15):
            return x + 16
        try:
            return HELPER.run(CALLABLE(budget)), BOUND(seed), Kind.FIRST, CFG.rates, inner()
        except ValueError:
            return None
    study.gain = 17
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("inherited = [1, 2]", "inherited = [1, 3]"),
        ("rate = 0.1", "rate = 0.2"),
        ("rates = [0.1, 0.2]", "rates = [0.1, 0.3]"),
        ('{"of": 3}', '{"of": 4}'),
        ('"b", "c"}', '"b", "d"}'),
        ("np.arange(3)", "np.arange(3.0)"),
        ("units = 4", "units = 5"),
        ("x + 5", "x - 5"),
        ("x + 6", "x - 6"),
        ("return 7", "return -7"),
        ("return 8", "return -8"),
        ("y=[9]", "y=[8]"),
        ("y=10", "y=11"),
        ("FIRST = 11", "FIRST = 12"),
        ("2 * self.value", "3 * self.value"),
        ("Helper(12,", "Helper(13,"),
        ('("a",)', '("b",)'),
        ("self.gain * x", "self.gain / x"),
        ("self.gain - x", "self.gain + x"),
        ("Helper(13,", "Helper(14,"),
        ("Helper(14,", "Helper(15,"),
        ("x=15", "x=16"),
        ("x + 16", "x + 17"),
        ("except ValueError", "except KeyError"),
        ("gain = 17", "gain = 18"),
        ("@staticmethod", "@classmethod"),
    ],
)
def test_classes_and_objects_count_with_all_they_hold(old, new):
    assert old in SETTINGS
    assert (
        fingerprint(define(SETTINGS))
        == fingerprint(define(SETTINGS))
        != fingerprint(define(SETTINGS.replace(old, new)))
    )


@pytest.mark.parametrize("name", ["HELPER", "BOUND", "CALLABLE", "CFG", "Helper"])
def test_what_a_class_computes_counts_wherever_it_is_given(name):
    changed = SETTINGS.replace("self.gain", "self.names").replace("return 7", "return 8")
    assert fingerprint(define(SETTINGS, name)) == fingerprint(define(SETTINGS, name))
    assert fingerprint(define(SETTINGS, name)) != fingerprint(define(changed, name))
    assert fingerprint({"a": [define(SETTINGS, name)]}) != fingerprint({"a": [define(changed, name)]})


def functions_in(kind, sign):
    """Return something of an installed package, or of Python, that holds a function of the user's."""
    space = {"function": define(f"def function(x):\n    return {sign}x", "function"), "functools": functools}
    kinds = {
        "partial": "functools.partial(function, 1)",
        "namespace": "__import__('types').SimpleNamespace(f=function)",
        "vectorized": "__import__('numpy').vectorize(function)",
        "default": "__import__('collections').defaultdict(function, a=1)",
        "cached": "functools.lru_cache(maxsize=3)(function)",
        "partial method": "functools.partialmethod(function, 1)",
        "objects": "__import__('numpy').array([function, 1], dtype=object)",
        "field": "__import__('dataclasses').make_dataclass('D', [('f', object)])(function)",
        "named tuple": "__import__('collections').namedtuple('N', 'f')(function)",
        "metric": "__import__('keras').metrics.MeanMetricWrapper(function)",
    }
    return eval(kinds[kind], space)


@pytest.mark.parametrize(
    "kind",
    [
        "partial",
        "namespace",
        "vectorized",
        "default",
        "cached",
        "partial method",
        "objects",
        "field",
        "named tuple",
        "metric",
    ],
)
def test_a_function_counts_whatever_holds_it(kind):
    assert fingerprint(functions_in(kind, "+")) == fingerprint(functions_in(kind, "+"))
    assert fingerprint(functions_in(kind, "+")) != fingerprint(functions_in(kind, "-"))


def test_a_generic_function_counts_with_all_its_kinds():
    source = """
        import functools
        @functools.singledispatch
        def study(x):
            return 0
        @study.register
        def for_int(x: int):
            return 1
    """
    assert fingerprint(define(source)) == fingerprint(define(source))
    assert fingerprint(define(source)) != fingerprint(define(source.replace("return 1", "return 2")))
    called = define(source)
    called(1)  # it remembers which kind that was, which decides nothing
    assert fingerprint(called) == fingerprint(define(source))


def test_two_of_one_name_are_told_apart():
    one, other = (define(f"def f(x):\n    return x + {n}", "f") for n in (1, 2))
    assert fingerprint(one, other, one) != fingerprint(one, other, other)


def test_other_modules_of_the_user_count_by_what_is_used_of_them(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = "import own_rates\nfrom own_rates import late\ndef study():\n    return own_rates.rate(), late()"

    def of(text):
        (tmp_path / "own_rates.py").write_text(text)
        sys.modules.pop("own_rates", None)
        (tmp_path / "__pycache__").exists() and shutil.rmtree(tmp_path / "__pycache__")
        importlib.invalidate_caches()
        return fingerprint(define(source))

    text = "UNUSED = 1\nSCALE = 2\ndef rate():\n    return SCALE\ndef late():\n    return 3\n"
    first = of(text)
    assert of(text.replace("UNUSED = 1", "UNUSED = 7")) == first
    assert len({first, of(text.replace("SCALE = 2", "SCALE = 7")), of(text.replace("return 3", "return 7"))}) == 3
    sys.modules.pop("own_rates", None)


WAYS = {
    "by name": "import own_package.part\ndef study():\n    return own_package.part.RATE",
    "a function": "import own_package.part\ndef study():\n    return own_package.part.rate()",
    "from its package": "from own_package import part\ndef study():\n    return part.RATE",
    "another name": "import own_package.part as p\ndef study():\n    q = p\n    return q.RATE",
    "getattr": "from own_package import part\ndef study():\n    return getattr(part, 'RATE')",
    "argument": "from own_package import part\ndef use(it):\n    return it.RATE\ndef study():\n    return use(part)",
    "default": "from own_package import part\ndef study(it=part):\n    return it.RATE",
    "list": "from own_package import part\nPARTS = [part]\ndef study():\n    return PARTS[0].RATE",
    "class": "from own_package import part\nclass C:\n    it = part\ndef study():\n    return C.it.RATE",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_module_of_the_user_counts_in_whatever_way_it_is_used(way, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package/__init__.py").touch()

    def of(rate):
        # An open file cannot be fingerprinted; a function that uses its module leads back to it.
        text = f"import sys\nRATE = {rate}\nNOTES = open(__file__)\ndef rate():\n    return sys.modules and RATE\n"
        (tmp_path / "own_package/part.py").write_text(text)
        for name in ("own_package", "own_package.part"):
            sys.modules.pop(name, None)
        for cache in tmp_path.rglob("__pycache__"):
            shutil.rmtree(cache)
        importlib.invalidate_caches()
        study = define(WAYS[way])
        assert study() == rate
        digest = fingerprint(study)
        sys.modules["own_package.part"].NOTES.close()
        return digest

    assert of(1) == of(1) != of(22222)


WRAPPING = """
    import functools
    class Scaled:
        def __init__(self, function, factor):
            functools.update_wrapper(self, function)
            self.function, self.factor = function, factor
        def __call__(self, x):
            return self.factor * self.function(x)
    def plain(x):
        return x + 3
    scaled = Scaled(plain, 2)
    def study(x):
        return scaled(x)
"""


@pytest.mark.parametrize(
    ("old", "new"), [("plain, 2", "plain, 4"), ("factor * self", "factor + self"), ("x + 3", "-x")]
)
@pytest.mark.parametrize("name", ["study", "scaled"])
def test_what_a_class_of_the_user_adds_to_a_function_counts(old, new, name):
    assert old in WRAPPING
    assert fingerprint(define(WRAPPING, name)) == fingerprint(define(WRAPPING, name))
    assert fingerprint(define(WRAPPING, name)) != fingerprint(define(WRAPPING.replace(old, new), name))
    (changed,) = module.own_parts([define(WRAPPING, "scaled")])
    assert type(changed).__name__ == "Scaled"


def test_what_a_field_is_said_to_mean_counts():
    source = """
        import dataclasses
        @dataclasses.dataclass
        class Settings:
            rate: float = dataclasses.field(default=1, metadata={"unit": "per update"})
        def study():
            return dataclasses.fields(Settings)[0].metadata["unit"]
    """
    assert fingerprint(define(source)) == fingerprint(define(source))
    assert fingerprint(define(source)) != fingerprint(define(source.replace("per update", "per epoch")))


def test_an_object_that_answers_to_every_name_is_known_by_its_class():
    source = (
        "class Any:\n    def __getattr__(self, name):\n        return 1\nANY = Any()\ndef study():\n    return ANY.rate"
    )
    assert fingerprint(define(source)) == fingerprint(define(source))
    assert fingerprint(define(source)) != fingerprint(define(source.replace("return 1", "return 2")))


def test_masked_values_and_narrow_numbers_count():
    masked = [np.ma.array([1.0, 2.0], mask=mask) for mask in ([0, 1], [1, 0])]
    assert fingerprint(masked[0]) == fingerprint(masked[0].copy()) != fingerprint(masked[1])
    import ml_dtypes

    assert fingerprint(np.zeros(2, ml_dtypes.bfloat16)) != fingerprint(np.zeros(2, "float16"))


def test_layers_and_losses_that_are_enclosed_count_with_weights_and_state():
    import keras

    class Weighted(keras.losses.Loss):
        def __init__(self, factors):
            super().__init__()
            self.factors = factors

        def call(self, y, outputs):
            return keras.ops.mean(self.factors * (y - outputs))

    def encloses(value):
        return lambda x: (value, x)

    def dense(weight, activation=None):
        layer = keras.layers.Dense(2, activation=activation, kernel_initializer=keras.initializers.Constant(weight))
        layer.build((None, 3))
        return layer

    def network(weight):
        image = keras.Input((3,))
        return keras.Model(image, dense(weight)(image))

    for make in (
        lambda n: dense(float(n)),
        lambda n: dense(1.0, lambda x: x) if n == 1 else dense(1.0, lambda x: -x),
        lambda n: network(float(n)),
        lambda n: Weighted(np.arange(n)),
        lambda n: keras.Variable([float(n)]),
        lambda n: keras.ops.convert_to_tensor([float(n)]),
        lambda n: keras.losses.CategoricalFocalCrossentropy(alpha=float(n)),
        lambda n: keras.optimizers.Adam(0.1 * n),
    ):
        assert fingerprint(encloses(make(1))) == fingerprint(encloses(make(1))) != fingerprint(encloses(make(2)))


def test_an_array_of_the_notebook_counts_by_its_values():
    source = "def study():\n    return data.sum()"
    first, same, other = (define(source, data=data) for data in (np.ones(3), np.ones(3), np.arange(3)))
    assert fingerprint(first) == fingerprint(same) != fingerprint(other)


@pytest.mark.parametrize("source", [STUDY, SETTINGS])
def test_it_is_the_same_in_every_process(source):
    program = textwrap.dedent(source) + textwrap.dedent("""
        from tl_helpers.grid.identity import fingerprint
        from tl_helpers.datasets.dataset import sample_budget
        print(fingerprint(study, {"b", "a", "c"}, {"x": (1, 2.5)}, frozenset("xyz"), sample_budget, np.arange(5)))
    """)
    found = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1 and len(found.pop().strip()) == 16


@pytest.fixture
def small_kit(tmp_path, monkeypatch):
    """A package that stands in for the kit: a → b, c on its own, d → the package p, of which one module → e."""
    texts = {
        "__init__.py": "value = 1",
        "__init__.pyi": "from .p.public import handed_out as handed_out",
        "a.py": "def f():\n    from tl_helpers.b import g",
        "b.py": "value = 1",
        "c.py": "value = 1",
        "d.py": "from .p import taken",
        "e.py": "value = 1",
        "p/__init__.py": "value = 1",
        "p/__init__.pyi": "from .one import taken as taken",
        "p/one.py": "from . import two\nfrom .q.three import h\nfrom ..e import value",
        "p/two.py": "value = 1",
        "p/public.py": "value = 1",
        "p/other.py": "value = 1",
        "p/q/__init__.py": "",
        "p/q/three.py": "value = 1",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    folder = tmp_path
    for _ in module.__name__.split(".")[2:]:
        folder /= "somewhere"
    monkeypatch.setattr(module, "__file__", str(folder / "identity.py"))
    return tmp_path


def changes(study, path):
    """Tell whether the text of a module counts for a function."""
    before, text = fingerprint(study), path.read_text()
    path.write_text(text + "value = 22\n")
    after = fingerprint(study)
    path.write_text(text)
    return after != before


@pytest.mark.parametrize(
    "source",
    [
        "def study():\n    from tl_helpers.a import f",
        "def study():\n    import tl_helpers.a",
        "def study():\n    from tl_helpers import a",
        "def study():\n    def inner():\n        from tl_helpers.a import f\n    return inner",
    ],
)
def test_of_the_kit_only_the_modules_within_reach_count(small_kit, source):
    study = define(source)
    assert changes(study, small_kit / "b.py") and not changes(study, small_kit / "c.py")


@pytest.mark.parametrize(
    "source",
    [
        "def study():\n    from tl_helpers import d",
        "def study():\n    from tl_helpers.p import taken",
        "def study():\n    from tl_helpers.p.one import taken",
        "def study():\n    from tl_helpers.p import one",
        "def study():\n    import tl_helpers.p.one as it\n    return it.taken",
    ],
)
def test_modules_in_packages_relative_imports_and_the_packages_own_files_count(small_kit, source):
    study = define(source)
    within = ["__init__.py", "e.py", "p/__init__.py", "p/one.py", "p/two.py", "p/q/__init__.py", "p/q/three.py"]
    assert [name for name in within if not changes(study, small_kit / name)] == []
    beyond = ["a.py", "b.py", "c.py", "p/other.py", "p/public.py"]
    assert [name for name in beyond if changes(study, small_kit / name)] == []


@pytest.mark.parametrize(
    "source",
    [
        "def study():\n    import tl_helpers.p",
        "def study():\n    from tl_helpers import p",
        "def study():\n    from tl_helpers.p import nothing_it_lists",
    ],
)
def test_a_package_as_a_whole_brings_all_its_modules(small_kit, source):
    study = define(source)
    assert all(changes(study, small_kit / name) for name in ("p/other.py", "p/q/three.py", "e.py"))
    assert not changes(study, small_kit / "c.py")


def test_a_function_of_the_kit_itself_may_import_relatively(small_kit):
    study = define("def study():\n    from ..e import value\n    from .two import value")
    study.__globals__["__package__"] = "tl_helpers.p"
    assert changes(study, small_kit / "e.py") and changes(study, small_kit / "p/two.py")
    assert not changes(study, small_kit / "p/other.py")


@pytest.mark.parametrize("line", ["    names.n{}\n", "    {}.5\n    names = {}.5\n"], ids=["names", "constants"])
def test_imports_inside_a_long_function_count(line, small_kit):
    body = "".join(line.format(number, number) for number in range(300))
    study = define(f"def study():\n    names = None\n{body}    from tl_helpers.a import f")
    assert changes(study, small_kit / "a.py") and not changes(study, small_kit / "c.py")


def test_public_names_bring_the_module_they_live_in(small_kit):
    study = define("def study():\n    from tl_helpers import handed_out")
    assert changes(study, small_kit / "p/public.py") and not changes(study, small_kit / "p/other.py")
    (small_kit / "__init__.pyi").write_text("from .p.other import handed_out\n")
    assert changes(study, small_kit / "p/other.py") and not changes(study, small_kit / "p/public.py")


@pytest.mark.parametrize(
    "source",
    [
        "def study():\n    import tl_helpers\n    from tl_helpers import a",
        "def study():\n    import tl_helpers as kit\n    return kit.fit_transfer",
    ],
)
def test_the_kit_as_a_whole_brings_all_its_modules(small_kit, source):
    study = define(source)
    assert all(changes(study, small_kit / name) for name in ("c.py", "p/other.py"))


def test_how_runs_are_run_does_not_count():
    from tl_helpers.studies.emoji import emoji_labels

    reached = module._Hasher()
    reached.feed((emoji_labels,))
    sources = module._kit_sources(frozenset(reached.kit_modules))
    assert {"training/fit.py", "training/loop.py", "models/backbones.py", "datasets/emoji.py"} <= set(sources)
    assert not {
        "grid/run.py",
        "grid/workers.py",
        "grid/log.py",
        "experiments/intervals.py",
        "session.py",
        "plots.py",
    } & set(sources)


def test_functions_of_the_kit_bring_their_module(small_kit):
    def f():
        pass

    f.__module__ = "tl_helpers.a"
    study = define("def study():\n    return f()", f=f)
    before = fingerprint(study)
    (small_kit / "b.py").write_text("value = 22\n")
    assert fingerprint(study) != before


def test_what_of_the_kit_is_loaded_already_makes_no_difference():
    program = """
import tl_helpers
from tl_helpers.grid.identity import fingerprint

def study():
    return tl_helpers.routes.route_of, tl_helpers.grid.run.run_grid

before = fingerprint(study)
import tl_helpers.routes.taxonomy, tl_helpers.grid.run
assert fingerprint(study) == before
"""
    subprocess.run([sys.executable, "-c", program], check=True)
