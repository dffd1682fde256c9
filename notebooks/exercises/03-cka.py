"""Write linear CKA: how alike are two layers' features of the same pictures?"""

import numpy as np

why = "Centred, it asks about directions of variation; squared and normalised, it ignores rotation and scale."
hints = [
    "Subtract from each column of x and y its mean: where features lie does not matter, only how they vary.",
    "The numerator is the squared Frobenius norm of xᵀy: `(x.T @ y) ** 2` summed up.",
    "Divide by `np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)`.",
]
wrong = {
    "return ((x.T @ y) ** 2).sum() / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))": "centre the columns",
    "x = x - x.mean(axis=1, keepdims=True)\ny = y - y.mean(axis=1, keepdims=True)\n"
    "return ((x.T @ y) ** 2).sum() / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))": "rows",
    "x = x - x.mean(axis=0)\ny = y - y.mean(axis=0)\nreturn ((x.T @ y) ** 2).sum()": "normalise",
    "x = x - x.mean(axis=0)\ny = y - y.mean(axis=0)\n"
    "return np.linalg.norm(x.T @ y) / np.sqrt(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))": "squared",
    "x = x - x.mean(axis=0)\ny = y - y.mean(axis=0)\nreturn (x * y).sum() / (np.linalg.norm(x) * np.linalg.norm(y))": "column",
}


def linear_cka(x, y):
    """Return the CKA, 0…1, of two layers' features (n, p) and (n, q) of the same n pictures."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    alike = ((x.T @ y) ** 2).sum()
    return alike / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def check(answer):
    """Shift, scale, rotate and widen features: the first three must not matter."""
    random = np.random.default_rng(6)
    x = random.normal(size=(40, 3)) * [3.0, 1.0, 0.3]
    y = np.c_[x @ random.normal(size=(3, 4)), random.normal(size=(40, 1))]
    # Features with as many columns first, so that what multiplies them column by column is told so, too.
    z = x @ np.linalg.qr(random.normal(size=(3, 3)))[0]
    given = float(answer(x.copy(), z.copy()))
    yield not np.isnan(given), "It gives NaN: is something divided by 0?"
    yield (
        given < 1e3 and abs(given) < 1.5,
        "It grows with the features: normalise by what each has in common with itself.",
    )
    shift = np.array([9.0, 0.0, 0.0])
    moved = float(answer(x + shift, x.copy()))
    yield (
        not np.isclose(moved, _of_centred_rows(x + shift, x)),
        "You centre the rows (pictures); the columns (features) count.",
    )
    yield (
        np.isclose(moved, float(answer(x.copy(), x.copy()))),
        "Your CKA changes when x is shifted: centre the columns.",
    )
    expected = linear_cka(x, y)
    yield (
        np.isclose(given, 1),
        "Rotated features are the same ones: do you compare column with column? Compare all with all.",
    )
    found = float(answer(x.copy(), y.copy()))
    yield (
        not np.isclose(found**2, expected),
        "That is the square root: what is summed up must be squared.",
    )
    yield (
        np.isclose(found, expected),
        f"For one pair of layers it should be {expected:.3f}, and yours is {found:.3f}.",
    )


def _of_centred_rows(x, y):
    """Return what the formula gives if rows are centred in place of columns."""
    x, y = (z - z.mean(axis=1, keepdims=True) for z in (x, y))
    return ((x.T @ y) ** 2).sum() / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
