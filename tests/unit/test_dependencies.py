"""The code that a function depends on: what changes a hash, what does not, and what cannot be told."""

import sys
import textwrap

import pytest

from tl_helpers.studies.dependencies import UnknownDependency, dependencies

FILES = {
    "__init__.py": "",
    "runs.py": """
        import functools
        from functools import cache

        import numpy as np
        from madeup import table as tables
        from madeup.training.fit import FitResult, fit as train
        from madeup.training import helpers

        UPDATES = 200
        LONGER = 4 * UPDATES
        UNUSED = 3


        def study(arm, budget, seed, *, rate=None):
            random = np.random.default_rng(seed)
            return train(draw(budget, random), rate, updates=LONGER) + tables.VALUES[arm]


        @cache
        def draw(budget, random):
            return helpers.scale(random.normal(size=budget))


        def lonely():
            return UNUSED
        """,
    "table.py": """
        VALUES = {}
        VALUES["scratch"] = 1
        VALUES.update(transfer=2)
        OTHER = 5
        """,
    "training/__init__.py": "from .fit import fit\n",
    "training/fit.py": '''
        """How is it trained?"""
        from __future__ import annotations

        from dataclasses import dataclass
        from ..errors import check


        @dataclass
        class FitResult:
            """What came out."""

            score: float
            updates: int = 0

            def better(self, other: FitResult) -> bool:
                return self.score > ping(other.score)


        def fit(data, rate: float, *, updates):
            """Train.

            Returns
            -------
            FitResult
            """
            check(rate)  # before anything is computed
            total: float = sum(x for x in data)
            return FitResult(f"{total:.2f} of {updates}", updates)


        def ping(x):
            return pong(x - 1) if x > 0 else x


        def pong(x):
            return ping(x - 1)
        ''',
    "training/helpers.py": """
        import madeup.errors


        def scale(x):
            from madeup.table import OTHER as factor

            return factor * x + madeup.errors.LIMIT
        """,
    "errors.py": """
        LIMIT = 3


        def check(rate):
            if rate is None or rate > LIMIT:
                raise ValueError("No rate.")
        """,
}
START = ("madeup.runs", "study")
# The same in every version of Python: what these are is of no matter, but that they stay is.
EXPECTED = {
    "FitResult": "e32214d2e70e6fc1",
    "LIMIT": "cbab767d7c096fdc",
    "LONGER": "2b54ac235cd15dc8",
    "OTHER": "250392f736a1686a",
    "UPDATES": "1c2df1acdc0fd8ed",
    "VALUES": "f7154ef1d0f0981c",
    "check": "f9d71c462413542f",
    "draw": "868eab9194ac9d3e",
    "fit": "ae4a7799cbda4ad7",
    "ping": "108d5fa39c4bbf3b",
    "pong": "1de60b61047790e8",
    "scale": "f94eb2a7aa281cff",
    "study": "1923c912d57b0573",
}


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A package that nobody imports; edit(file, old, new) changes a file of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in FILES.items():
        path = tmp_path / "madeup" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def edit(name, old, new):
        path = tmp_path / "madeup" / name
        text = path.read_text() if path.exists() else old
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    yield edit
    assert "madeup" not in sys.modules


def changed(before):
    after = dependencies(START)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_the_hashes_are_those_of_every_version_of_python(kit):
    assert dependencies(START) == EXPECTED


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("runs.py", "UPDATES = 200", "UPDATES = 300", {"UPDATES"}),
        ("runs.py", "4 * UPDATES", "5 * UPDATES", {"LONGER"}),
        ("runs.py", "updates=LONGER", "updates=UPDATES", {"study", "LONGER"}),
        ("runs.py", "rate=None", "rate=1", {"study"}),
        ("table.py", "VALUES.update(transfer=2)", "VALUES.update(transfer=3)", {"VALUES"}),
        ("table.py", '["scratch"] = 1', '["scratch"] = 2', {"VALUES"}),
        ("table.py", "OTHER = 5", "OTHER = 6", {"OTHER"}),
        ("errors.py", "rate > LIMIT", "rate >= LIMIT", {"check"}),
        ("errors.py", "LIMIT = 3", "LIMIT = 3.0", {"LIMIT"}),
        ("training/fit.py", ".2f", ".3f", {"fit"}),
        ("training/fit.py", "pong(x - 1)", "pong(x - 2)", {"ping"}),
        ("training/fit.py", "@dataclass\n", "@dataclass(frozen=True)\n", {"FitResult"}),
        ("training/fit.py", "score: float\n", "score: float\n    seconds: float\n", {"FitResult"}),
        ("training/fit.py", "self.score >", "self.score >=", {"FitResult"}),
        ("training/fit.py", "updates: int = 0", "updates: int = 1", {"FitResult"}),
    ],
)
def test_what_computes_something_else_is_named(kit, file, old, new, expected):
    before = dependencies(START)
    kit(file, old, new)
    assert changed(before) == expected


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training/fit.py", '"""Train.', '"""Train it.'),
        ("training/fit.py", '    """What came out."""\n\n', ""),
        ("training/fit.py", "before anything", "before everything"),
        ("training/fit.py", "rate: float, *", "rate, *"),
        ("training/fit.py", "total: float =", "total ="),
        ("training/fit.py", "other: FitResult) -> bool", "other)"),
        ("training/fit.py", "x for x in data", "\n        x\n        for x in data\n    "),
        ("training/fit.py", "    check(rate)", "    pass\n    check(rate)"),
        ("runs.py", "@cache\n", "@functools.lru_cache(maxsize=2)\n"),
        ("runs.py", "@cache\n", ""),
        ("runs.py", "UNUSED = 3", "UNUSED = 4"),
        ("runs.py", "UPDATES = 200", "UPDATES: int = 200  # many\n\n"),
        ("runs.py", "from madeup.training.fit import FitResult,", "from madeup.training import"),
        ("runs.py", "from madeup import table as tables", "import madeup.table as tables"),
        ("training/fit.py", "from ..errors import", "from madeup.errors import"),
        ("training/helpers.py", "\n    return", "    return"),
    ],
)
def test_what_computes_the_same_changes_nothing(kit, file, old, new):
    before = dependencies(START)
    kit(file, old, new)
    assert changed(before) == set()


def test_a_function_may_move_to_another_module(kit):
    before = dependencies(START)
    kit("training/fit.py", "def pong(x):\n    return ping(x - 1)\n", "")
    kit("training/fit.py", "from ..errors import check", "from ..errors import check\nfrom .swings import pong")
    kit("training/swings.py", "", "from madeup.training.fit import ping\n\n\ndef pong(x):\n    return ping(x - 1)\n")
    assert changed(before) == set()


def test_a_lazy_package_offers_what_stands_in_its_stub(kit):
    before = dependencies(START)
    kit("training/__init__.py", "from .fit import fit\n", "__getattr__ = attach_stub(__name__, __file__)\n")
    kit("training/__init__.pyi", "", "from .fit import fit as fit\n")
    kit(
        "runs.py", "from madeup.training.fit import FitResult, fit as train", "from madeup.training import fit as train"
    )
    assert changed(before) == set()


def test_two_of_one_name_share_an_entry_wherever_they_stand(kit):
    before = dependencies(START)
    kit("table.py", "OTHER = 5", "LIMIT = 7\nOTHER = 5 + LIMIT")
    assert changed(before) == {"LIMIT", "OTHER"}
    before = dependencies(START)
    kit("table.py", "LIMIT = 7\n", "from .limits import LIMIT\n")
    kit("limits.py", "", "LIMIT = 7\n")
    assert changed(before) == set()


def test_what_a_function_keeps_to_itself_is_not_taken_for_the_modules(kit):
    before = dependencies(START)
    hides = (
        "UNUSED = [lonely for lonely in data]\n    with open(rate) as lonely, UNUSED:\n        pass\n    check(rate)"
    )
    kit("training/fit.py", "check(rate)", hides)
    kit("training/fit.py", "def ping(x):", "UNUSED = lonely = 3\n\n\ndef ping(x):")
    assert changed(before) == {"fit"}


def test_a_class_binds_nothing_for_its_methods_and_a_global_is_the_modules(kit):
    kit(
        "table.py",
        "OTHER = 5",
        "COUNT = SIZE = 5\n\n\nclass OTHER:\n    SIZE = 3\n\n    def f(self):\n        return SIZE\n",
    )
    assert {"OTHER", "SIZE"} <= dependencies(START).keys()
    kit("table.py", "return SIZE", "global COUNT\n        COUNT = COUNT + 1\n        return COUNT")
    assert "COUNT" in dependencies(START) and "SIZE" not in dependencies(START)


def test_a_module_used_as_a_value_counts_as_a_whole(kit):
    kit("runs.py", "tables.VALUES[arm]", "getattr(tables, arm)")
    assert {"VALUES", "OTHER"} <= dependencies(START).keys()


def test_what_registers_itself_with_a_function_counts_with_it(kit):
    before = dependencies(START)
    kit("errors.py", "def check(rate):", "@singledispatch\ndef check(rate):")
    kit("errors.py", "LIMIT = 3", "from functools import singledispatch\n\nLIMIT = 3")
    assert changed(before) == {"check"}
    before = dependencies(START)
    path_rule = "\n\n@check.register(str)\ndef _(rate):\n    return check(float(rate))\n"
    kit("errors.py", 'raise ValueError("No rate.")\n', f'raise ValueError("No rate.")\n{path_rule}')
    assert changed(before) == {"check"}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("errors.py", "rate > LIMIT", "rate > MOST", r"madeup.errors.check reads 'MOST', which madeup.errors neither"),
        ("runs.py", "madeup.training.fit import", "madeup.fit import", r"madeup.runs.study needs madeup.fit, of which"),
        ("runs.py", "tables.VALUES", "tables.NOTHING", r"madeup.runs.study needs 'NOTHING' of madeup.table, which"),
        ("runs.py", "helpers.scale", "madeup", r"madeup.runs.draw reads 'madeup', which madeup.runs neither"),
        (
            "runs.py",
            "from madeup.training import helpers",
            "from madeup import training as helpers",
            "'scale' of madeup",
        ),
        ("runs.py", "tables.VALUES[arm]", "vars(madeup)", r"reads 'madeup', which"),
        ("training/helpers.py", "madeup.errors.LIMIT", "vars(madeup)", r"helpers.scale uses the package madeup as a v"),
        ("table.py", "OTHER = 5", "from .errors import *", r"module of madeup imports everything of madeup.errors by"),
    ],
)
def test_what_cannot_be_told_is_an_error_with_a_sentence(kit, file, old, new, message):
    kit(file, old, new)
    with pytest.raises(UnknownDependency, match=message):
        dependencies(START)


def test_a_start_that_is_not_there_is_an_error_with_a_sentence(kit):
    with pytest.raises(UnknownDependency, match=r"needs 'nothing' of madeup\.runs"):
        dependencies(("madeup.runs", "nothing"))


def test_the_words_of_an_error_do_not_count_but_its_kind_does(kit):
    before = dependencies(START)
    kit("errors.py", '"No rate."', 'f"There is no rate: {rate}."')
    assert changed(before) == set()
    kit("errors.py", "raise ValueError(", "raise TypeError(")
    assert changed(before) == {"check"}
    kit("errors.py", 'raise TypeError(f"There is no rate: {rate}.")', "raise")
    assert changed(before) == {"check"}
