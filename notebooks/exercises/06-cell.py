"""Say where the object is, from the scores that a detector gives to the cells of its grid."""

import numpy as np

why = "A row counts downwards, a column to the right, and a cell's middle lies half a cell behind its beginning."
hints = [
    "Which cell has the highest score? `argmax` of a table gives one number; `np.unravel_index` makes row and column of it.",
    "A cell begins at its number times `cell` pixels, and its middle lies half a cell further.",
    "x comes from the column, y from the row: `(column + 0.5) * cell, (row + 0.5) * cell`.",
]
wrong = {
    "row, column = np.unravel_index(scores.argmax(), scores.shape)\n"
    "return (row + 0.5) * cell, (column + 0.5) * cell": "swapped",
    "row, column = np.unravel_index(scores.argmax(), scores.shape)\nreturn column * cell, row * cell": "corner",
    "row, column = np.unravel_index(scores.argmax(), scores.shape)\nreturn column, row": "pixels",
    "row, column = np.unravel_index(scores.argmin(), scores.shape)\n"
    "return (column + 0.5) * cell, (row + 0.5) * cell": "lowest",
    "return scores.argmax()": "two numbers",
}


def strongest_cell(scores, cell):
    """Return the centre (x, y) in pixels of the cell with the highest score (rows, columns); cells are `cell` wide."""
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    return (column + 0.5) * cell, (row + 0.5) * cell


def check(answer):
    """Hide one high score in grids of several sizes."""
    random = np.random.default_rng(6)
    for rows, columns, cell, row, column in ((7, 7, 8, 1, 5), (4, 6, 16, 3, 2), (5, 3, 10, 0, 2)):
        scores = random.normal(size=(rows, columns))
        scores[row, column] = 9.0
        low_row, low_column = np.unravel_index(scores.argmin(), scores.shape)
        given = np.asarray(answer(scores.copy(), cell), dtype=float)
        yield given.shape == (2,), "It should give two numbers, x and y."
        x, y = (column + 0.5) * cell, (row + 0.5) * cell
        yield (
            not np.allclose(given, (y, x)) or row == column,
            "x and y are swapped: x goes with the column.",
        )
        yield (
            not np.allclose(given, (x - cell / 2, y - cell / 2)),
            "That is the cell's corner; half a cell is missing.",
        )
        yield not np.allclose(given, (column, row)), "That counts cells. Asked for are pixels."
        lowest = (low_column + 0.5) * cell, (low_row + 0.5) * cell
        yield not np.allclose(given, lowest), "That is the cell with the lowest score."
        yield (
            np.allclose(given, (x, y)),
            f"The highest score lies in row {row}, column {column}, cells are {cell} wide.",
        )
