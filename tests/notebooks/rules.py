"""What must hold for a saved notebook, besides that it runs and its outputs repeat (nbval sees to that)?

Each rule takes a notebook and returns what is wrong with it: a list of sentences, empty when all is well.
"""

import copy
import re
import tomllib

import nbformat
from nbstripout import strip_output
from nbval.plugin import find_comment_markers, find_metadata_tags

from tests.conditions import ROOT

LARGEST = 2_000_000  # bytes; beyond, GitHub shows no notebook
LONGEST = 25  # lines in a code cell
IGNORED = 0.40  # share of the code cells whose outputs nbval may ignore
# Without it, JupyterLab asks the learner for a kernel before it shows anything.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# What another machine, another run or a widget leaves behind, and no reader needs.
LITTER = ["metadata.widgets", "metadata.language_info.version", "cell.metadata.execution"]


def stripped(notebook):
    """Return the notebook as it is saved: outputs and execution counts kept, litter removed."""
    return strip_output(copy.deepcopy(notebook), keep_output=True, keep_count=True, keep_id=False, extra_keys=LITTER)


def code_cells(notebook):
    """Return the code cells that hold code, each with its position in the notebook."""
    cells = enumerate(notebook.cells)
    return [(place, cell) for place, cell in cells if cell.cell_type == "code" and cell.source.strip()]


def nbval_options(cell):
    """Return what tags and comments tell nbval about a cell."""
    return dict(find_metadata_tags(cell.metadata)) | dict(find_comment_markers(cell.source))


def repository():
    """Return the address of the repository that pyproject.toml names."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def is_valid(notebook):
    """The notebook keeps to its format's schema."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return [f"not a valid notebook: {error}"]
    return []


def names_its_kernel(notebook):
    """JupyterLab and Colab start Python without asking."""
    return [] if notebook.metadata.get("kernelspec") == KERNEL else [f"the metadata's kernelspec should be {KERNEL}"]


def is_small(notebook):
    """The file stays under 2 MB."""
    size = len(nbformat.writes(notebook).encode("utf-8"))
    return [f"{size / 1e6:.2f} MB"] if size >= LARGEST else []


def was_executed_in_order(notebook):
    """Every code cell was executed, once, from top to bottom: nbval never checks a cell without a number."""
    return [
        f"cell {place} has the number {cell.execution_count} and should have {expected}"
        for expected, (place, cell) in enumerate(code_cells(notebook), start=1)
        if cell.execution_count != expected
    ]


def skips_no_cell(notebook):
    """No cell is kept from being run."""
    return [f"cell {place} is skipped" for place, cell in code_cells(notebook) if nbval_options(cell).get("skip")]


def shows_no_error(notebook):
    """No output is an error, except where the cell is there to show one."""
    return [
        f"cell {place} has saved the error {output.ename}"
        for place, cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", [])
    ]


def shows_no_tensorflow_log(notebook):
    """TensorFlow's own log lines are not part of the lesson."""
    return [
        f"cell {place} has saved a log line of TensorFlow's"
        for place, cell in code_cells(notebook)
        for output in cell.outputs
        if output.get("name") == "stderr" and re.search(r"port\.cc|cuInit", output.text)
    ]


def compares_most_outputs(notebook):
    """At most 40 % of the code cells have outputs that nbval ignores."""
    cells = code_cells(notebook)
    ignored = sum(nbval_options(cell).get("check") is False for _, cell in cells)
    return [f"{ignored} of {len(cells)} code cells are ignored"] if ignored > IGNORED * len(cells) else []


def carries_no_litter(notebook):
    """Versions, timings and widget states are stripped: `python run.py notebooks` does it."""
    return ["metadata is not stripped"] if stripped(notebook) != notebook else []


def names_this_repository(notebook):
    """Every address of the kit's repository is the one in pyproject.toml, and there is one, for Colab."""
    owner, name = repository().split("/")[-2:]
    text = "\n".join(cell.source for cell in notebook.cells)
    owners = re.findall(rf"(?:githubusercontent\.com|github\.com|/github|/gh)/([\w.-]+)/{re.escape(name)}\b", text)
    wrong = sorted({found for found in owners if found != owner})
    if not owners:
        return [f"{repository()} is named nowhere"]
    return [f"{found}/{name} should be {owner}/{name}" for found in wrong]


def has_short_cells(notebook):
    """No code cell is longer than a screen."""
    lengths = [(place, len(cell.source.splitlines())) for place, cell in code_cells(notebook)]
    return [f"cell {place} has {length} lines" for place, length in lengths if length > LONGEST]


RULES = [
    is_valid,
    names_its_kernel,
    is_small,
    was_executed_in_order,
    skips_no_cell,
    shows_no_error,
    shows_no_tensorflow_log,
    compares_most_outputs,
    carries_no_litter,
    names_this_repository,
    has_short_cells,
]
