"""Find out what a target calls the things that a source model can tell: one new name for each of its old ones."""

import numpy as np

why = "The model errs now and then, and a majority does not: all it knew is kept, and only names are learned."
hints = [
    "Take the pictures that the model calls “pullover”. What do most of them turn out to be called?",
    "Count: table[old, new] is how often the model answers `old` where the label is `new`.",
    "`np.add.at(table, (answers, labels), 1)` counts; `table.argmax(axis=1)` is the majority; a row of zeros keeps its name.",
]
wrong = {
    "table = np.arange(10)\ntable[answers] = labels\nreturn table": "last picture",
    "table = np.zeros((10, 10))\nnp.add.at(table, (labels, answers), 1)\n"
    "return np.where(table.any(axis=1), table.argmax(axis=1), np.arange(10))": "way round",
    "table = np.zeros((10, 10))\nnp.add.at(table, (answers, labels), 1)\nreturn table.argmax(axis=1)": "never gave",
    "return np.arange(10)": "nothing was learned",
    "return labels": "one name for each",
}


def new_names(answers, labels):
    """Return the new name (10,) of each old class, from a model's answers (n,), old, and labels (n,), new, 0…9."""
    table = np.zeros((10, 10))
    np.add.at(table, (answers, labels), 1)
    return np.where(table.any(axis=1), table.argmax(axis=1), np.arange(10))


def check(answer):
    """Turn three names round in a circle, let the model err, and never let it answer 7."""
    new = np.arange(10)
    new[[1, 4, 8]] = 4, 8, 1
    true = np.repeat([0, 1, 2, 3, 4, 5, 6, 8, 9], 6)
    answers, labels = true.copy(), new[true]
    answers[5::6] = np.roll(true, 6)[5::6]  # the last of each six is taken for the class before
    given = np.asarray(answer(answers.copy(), labels.copy()))
    words = f"It must return one name for each of the ten old classes, not an array of shape {given.shape}."
    yield given.shape == (10,), words
    yield (
        not np.array_equal(given, np.arange(10)),
        "These are the old names: nothing was learned from the labels.",
    )
    last = np.arange(10)
    last[answers] = labels
    words = "The last picture decides, also where the model was wrong about it: take the majority."
    yield not np.array_equal(given, last), words
    words = "It is the wrong way round: index by the model's answer, and look the new name up."
    yield not np.array_equal(given[[1, 4, 8]], [8, 1, 4]), words
    words = "The model never gave the answer 7 here: where there is nothing to learn from, keep the name."
    yield given[7] == 7 or not np.array_equal(np.delete(given, 7), np.delete(new, 7)), words
    yield (
        np.array_equal(given, new),
        f"It finds {given.tolist()}; most pictures say {new.tolist()}.",
    )
