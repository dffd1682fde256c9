"""What must hold for a saved notebook, besides that it runs and its outputs repeat (nbval sees to that)?

Each rule takes a notebook and returns what is wrong with it: a list of sentences, empty when all is well.
"""

import ast
import copy
import re
import statistics

import nbformat
from nbstripout import strip_output
from nbval.plugin import find_comment_markers, find_metadata_tags

LARGEST = 2_000_000  # bytes; beyond, GitHub shows no notebook
LONGEST, LONGEST_KERAS = 12, 15  # lines in a code cell; in one that teaches plain Keras
MEDIAN = 5  # lines in half of the code cells
PLUMBING = 0.20  # share of the code lines that build figures, titles and sentences
DISPLAYS = {"gain", "gains", "accuracy", "accuracy_panels", "pictures", "bars", "confusion", "route_matrix"}
IGNORED = 0.40  # share of the code cells whose outputs nbval may ignore
# What figures and verdicts say where a check of the verdict doubts a result; test_headlines.py holds them to it.
DOUBT = re.compile(r"in doubt|not proved|open to doubt|a doubt in|\[DOUBT\]")
# How a text says that something did nothing, did harm, or cannot be told.
WEAK = re.compile(
    r"cannot (?:be told|tell|be claimed)|not told from|no clear|not clear|unclear|no gain|nothing to gain"
    r"|no budget a gain|hardly|\bhurts?\b|does? (?:nothing|harm)|(?:is|are|clearly) worse|\bloses?\b"
    r"|negative transfer|falls? behind"
)
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
    """Log lines of TensorFlow's and warnings from inside other packages are not part of the lesson."""
    return [
        f"cell {place} has saved a log line of TensorFlow's"
        for place, cell in code_cells(notebook)
        for output in cell.outputs
        if output.get("name") == "stderr" and re.search(r"port\.cc|cuInit|site-packages", output.text)
    ]


def says_what_pictures_show(notebook):
    """Every picture is HTML with an alternative text: JupyterLab gives a bare PNG none."""
    pictures = [
        (place, "text/html" in output.data and '<img alt="Figure' in output.data["text/html"])
        for place, cell in code_cells(notebook)
        for output in cell.outputs
        if {"image/png", "image/jpeg", "image/svg+xml"} & set(output.get("data", {}))
        or "<img" in output.get("data", {}).get("text/html", "")
    ]
    return [f"cell {place} shows a picture without words: plots.show gives it some" for place, ok in pictures if not ok]


def compares_most_outputs(notebook):
    """At most 40 % of the code cells have outputs that nbval ignores."""
    cells = code_cells(notebook)
    ignored = sum(nbval_options(cell).get("check") is False for _, cell in cells)
    return [f"{ignored} of {len(cells)} code cells are ignored"] if ignored > IGNORED * len(cells) else []


def carries_no_litter(notebook):
    """Versions, timings and widget states are stripped: `python run.py notebooks` does it."""
    return ["metadata is not stripped"] if stripped(notebook) != notebook else []


def shown_text(cell):
    """Return all text that a code cell's outputs show, tables of numbers included."""
    texts = [output.get("text", "") for output in cell.outputs]
    kinds = ("text/markdown", "text/plain")
    texts += [output.data[kind] for output in cell.outputs if "data" in output for kind in kinds if kind in output.data]
    return "\n".join(texts)


def doubted_cells(notebook):
    """Return the places of the code cells that show a result which the verdict doubts."""
    return [place for place, cell in code_cells(notebook) if DOUBT.search(shown_text(cell))]


def lines(cell):
    """Return the lines of a code cell that are not blank."""
    return [line for line in cell.source.splitlines() if line.strip()]


def names_used(cell):
    """Return the dotted names that a code cell uses, as far as it can be parsed: IPython's own commands cannot."""
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return set()
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute))}


def is_plumbing(cell):
    """Say whether a code cell builds figures, titles or sentences, instead of calling one that describes itself."""
    used = names_used(cell)
    drawn = {name.removeprefix("plots.") for name in used if name.startswith("plots.")}
    builds = bool(drawn - DISPLAYS) or any(name.startswith("plt.") for name in used)
    return builds or re.search(r"^\s*(?:title|words|names) = |f\"\*\*", cell.source, re.MULTILINE) is not None


def has_short_cells(notebook):
    """No code cell is longer than 12 lines; 15 where it teaches plain Keras."""
    found = []
    for place, cell in code_cells(notebook):
        most = LONGEST_KERAS if {"keras", "layers"} & names_used(cell) else LONGEST
        length = len(cell.source.splitlines())
        found += [f"cell {place} has {length} lines, {most} at most"] if length > most else []
    return found


def has_mostly_small_cells(notebook):
    """Half of the code cells have five lines at most."""
    median = statistics.median([len(lines(cell)) for _, cell in code_cells(notebook)])
    return [f"half of the cells have {median} lines or more"] if median > MEDIAN else []


def teaches_more_than_it_draws(notebook):
    """At most 20 % of the code lines stand in cells that build figures, titles and sentences."""
    cells = code_cells(notebook)
    drawing = {place: len(lines(cell)) for place, cell in cells if is_plumbing(cell)}
    share = sum(drawing.values()) / sum(len(lines(cell)) for _, cell in cells)
    return [f"{share:.0%} of the lines, in cells {', '.join(map(str, drawing))}"] if share > PLUMBING else []


def says_what_is_weak(notebook):
    """At least one sentence of the text says that something did nothing, did harm, or cannot be told."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [] if any(map(WEAK.search, texts)) else ["no text says what did not work"]


RULES = [
    is_valid,
    names_its_kernel,
    is_small,
    was_executed_in_order,
    skips_no_cell,
    shows_no_error,
    shows_no_tensorflow_log,
    says_what_pictures_show,
    compares_most_outputs,
    carries_no_litter,
    has_short_cells,
    has_mostly_small_cells,
    teaches_more_than_it_draws,
    says_what_is_weak,
]
