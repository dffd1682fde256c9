"""Do the saved notebooks keep the rules of `rules.py`, and does each rule bite?"""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

from tests.conditions import ROOT
from tests.notebooks import rules

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path, rule):
    assert rule(nbformat.read(path, as_version=nbformat.NO_CONVERT)) == [], rule.__doc__


def good_notebook():
    cells = [new_markdown_cell("# The kit\n\nWith many labels it hurts.")]
    for count in range(1, 6):
        output = new_output("execute_result", {"text/plain": str(count)}, execution_count=count)
        cells.append(new_code_cell(str(count), execution_count=count, outputs=[output], metadata={"tags": []}))
    for place, cell in enumerate(cells):
        cell.id = str(place)
    return new_notebook(cells=cells, metadata={"kernelspec": rules.KERNEL, "language_info": {"name": "python"}})


def test_a_good_notebook_keeps_every_rule():
    assert [rule(good_notebook()) for rule in rules.RULES] == [[]] * len(rules.RULES)


def break_the_format(notebook):
    notebook.cells[1].outputs[0].output_type = "unheard of"


def name_no_kernel(notebook):
    del notebook.metadata["kernelspec"]


def add_a_large_output(notebook):
    notebook.cells[1].outputs = [new_output("stream", text="x" * rules.LARGEST)]


def forget_a_cell(notebook):
    notebook.cells[3].execution_count = None


def swap_two_cells(notebook):
    notebook.cells[2].execution_count, notebook.cells[3].execution_count = 3, 2


def skip_a_cell_by_tag(notebook):
    notebook.cells[2].metadata.tags = ["nbval-skip"]


def skip_a_cell_by_comment(notebook):
    notebook.cells[2].source = "# NBVAL_SKIP\n2"


def save_an_error(notebook):
    notebook.cells[2].outputs = [new_output("error", ename="ValueError", evalue="no", traceback=[])]


def save_a_log_line(notebook):
    notebook.cells[2].outputs = [new_output("stream", name="stderr", text="I0000 port.cc:153] oneDNN\n")]


def save_a_driver_line(notebook):
    notebook.cells[2].outputs = [new_output("stream", name="stderr", text="failed call to cuInit\n")]


def save_a_warning(notebook):
    text = "/home/me/.venv/lib/site-packages/a.py:1: UserWarning: no\n"
    notebook.cells[2].outputs = [new_output("stream", name="stderr", text=text)]


def show_a_bare_picture(notebook):
    notebook.cells[2].outputs = [new_output("display_data", {"image/png": "iVBORw0KGgo="})]


def show_a_picture_without_words(notebook):
    notebook.cells[2].outputs = [
        new_output("display_data", {"text/html": '<img alt="" src="data:image/png;base64,aa">'})
    ]


def ignore_three_of_five(notebook):
    notebook.cells[1].metadata.tags = notebook.cells[2].metadata.tags = ["nbval-ignore-output"]
    notebook.cells[3].source = "# NBVAL_IGNORE_OUTPUT\n3"


def keep_the_version(notebook):
    notebook.metadata.language_info.version = "3.12.1"


def keep_widget_states(notebook):
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {}}


def keep_timings(notebook):
    notebook.cells[1].metadata.execution = {"iopub.status.busy": "now"}


def write_a_long_cell(notebook):
    notebook.cells[1].source = "\n".join(["1"] * (rules.LONGEST + 1))


def write_long_keras(notebook):
    notebook.cells[1].source = "\n".join(["keras.Input"] * (rules.LONGEST_KERAS + 1))


def write_long_cells(notebook):
    for cell in notebook.cells[1:4]:
        cell.source = "\n".join(["1"] * (rules.MEDIAN + 1))


def draw_by_hand(notebook):
    notebook.cells[1].source = "plt.plot([1, 2])\nplt.title('one')"


def word_a_sentence(notebook):
    notebook.cells[1].source = "words = f'{1} point'\nplots.pictures(x, title='t', words=words)"


def praise_everything(notebook):
    notebook.cells[0].source = "# The kit\n\nIt always helps."


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (break_the_format, rules.is_valid),
        (name_no_kernel, rules.names_its_kernel),
        (add_a_large_output, rules.is_small),
        (forget_a_cell, rules.was_executed_in_order),
        (swap_two_cells, rules.was_executed_in_order),
        (skip_a_cell_by_tag, rules.skips_no_cell),
        (skip_a_cell_by_comment, rules.skips_no_cell),
        (save_an_error, rules.shows_no_error),
        (save_a_log_line, rules.shows_no_tensorflow_log),
        (save_a_driver_line, rules.shows_no_tensorflow_log),
        (save_a_warning, rules.shows_no_tensorflow_log),
        (show_a_bare_picture, rules.says_what_pictures_show),
        (show_a_picture_without_words, rules.says_what_pictures_show),
        (ignore_three_of_five, rules.compares_most_outputs),
        (keep_the_version, rules.carries_no_litter),
        (keep_widget_states, rules.carries_no_litter),
        (keep_timings, rules.carries_no_litter),
        (write_a_long_cell, rules.has_short_cells),
        (write_long_keras, rules.has_short_cells),
        (write_long_cells, rules.has_mostly_small_cells),
        (draw_by_hand, rules.teaches_more_than_it_draws),
        (word_a_sentence, rules.teaches_more_than_it_draws),
        (praise_everything, rules.says_what_is_weak),
    ],
    ids=lambda function: function.__name__,
)
def test_each_rule_bites_and_no_other_does(damage, rule):
    notebook = good_notebook()
    damage(notebook)
    assert [found for found in rules.RULES if found(notebook)] == [rule]


def test_keras_may_be_longer_and_figures_that_describe_themselves_are_no_plumbing():
    notebook = good_notebook()
    notebook.cells[1].source = "\n".join(["keras.Input"] * rules.LONGEST_KERAS)
    notebook.cells[2].source = "plots.gain(study, 'fine_tuning', 'scratch')\nplots.accuracy(study)"
    assert [found for found in rules.RULES if found(notebook)] == []


def test_what_is_shown_on_purpose_is_allowed():
    notebook = good_notebook()
    save_an_error(notebook)
    notebook.cells[2].metadata.tags = ["raises-exception"]
    notebook.cells[1].metadata.tags = notebook.cells[3].metadata.tags = ["nbval-ignore-output"]
    assert [found for found in rules.RULES if found(notebook)] == []


def test_pictures_are_taken_out_before_patterns_that_take_long_for_long_texts():
    (first, replacement), *_ = get_sanitize_patterns(
        (ROOT / "tests/notebooks/sanitize.cfg").read_text(encoding="utf-8")
    )
    assert re.sub(first, replacement, '<img src="data:image/png;base64,iVBOR/+=">') == '<img src="PICTURE">'
