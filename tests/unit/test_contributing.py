"""What CONTRIBUTING.md says of places is so."""

import re

from tests.conditions import ROOT
from tests.unit.test_layers import PLACES

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# What the recipes' examples would make.
MADE = r"09_language|09-mask|^mask|digits|style_shift|NAME|MODULE|\.tl_cache|\.jsonl?$"


def test_the_table_of_packages_is_the_one_that_imports_are_held_to():
    rows = re.findall(r"^\| (`.*?`) \|.*\?", TEXT, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(places) for places in PLACES[1:]]


def test_every_file_and_folder_that_it_names_is_there():
    named = re.findall(r"(?<![\w/.])((?:tl_helpers|tests|data|notebooks)/[\w./]+|[\w./]+\.(?:py|md|toml|pyi))", TEXT)
    named = {name.rstrip(".") for name in named if not re.search(MADE, name)}
    homes = (
        "",
        "tests/unit",
        "data/build",
        "tl_helpers/models",
        "tl_helpers/datasets",
        "tl_helpers",
        "tl_helpers/grid",
    )
    missing = [name for name in sorted(named) if not any((ROOT / home / name).exists() for home in homes)]
    assert len(named) > 20 and missing == []
