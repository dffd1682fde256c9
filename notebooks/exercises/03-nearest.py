"""Find the nearest picture by the cosine of features: a search that trains nothing."""

import numpy as np

why = "Nothing was trained: the features were there, and nearness among them is enough to answer."
hints = [
    "The cosine of two rows is their product, once each row has been divided by its own length.",
    "`gallery / np.linalg.norm(gallery, axis=1, keepdims=True)` has rows of length 1.",
    "`(queries @ rows.T).argmax(axis=1)` with these rows: a query's own length changes no order.",
]
wrong = {
    "return (queries @ gallery.T).argmax(axis=1)": "long rows",
    "rows = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)\nreturn (queries @ rows.T).argmin(axis=1)": "farthest",
    "rows = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)\nreturn (queries @ rows.T).argmax(axis=0)": "axis 1",
    "rows = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)\nreturn queries @ rows.T": "row numbers",
    "return np.linalg.norm(queries[:, None] - gallery, axis=2).argmin(axis=1)": "distance",
    "rows = gallery / np.linalg.norm(gallery, axis=0)\nreturn (queries @ rows.T).argmax(axis=1)": "columns",
}


def nearest(queries, gallery):
    """Return for each query (n, d) the number of the gallery's row (m, d) with the largest cosine: (n,)."""
    rows = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    return (queries @ rows.T).argmax(axis=1)


def check(answer):
    """Search among rows of very different lengths, which must not matter."""
    random = np.random.default_rng(4)
    queries = random.normal(size=(30, 6))
    gallery = random.normal(size=(50, 6)) * random.uniform(0.2, 5, size=(50, 1))
    given = np.asarray(answer(queries.copy(), gallery.copy()))
    yield (
        given.shape != (50,),
        "That is one query for each row of the gallery: search along axis 1.",
    )
    yield (
        given.shape == (30,),
        f"Return (30,) row numbers for 30 queries; yours has the shape {given.shape}.",
    )
    cosines = queries @ (gallery / np.linalg.norm(gallery, axis=1, keepdims=True)).T
    yield (
        not _same(given, cosines.argmin(axis=1)),
        "These are the farthest: the nearest have the largest cosine.",
    )
    yield (
        not _same(given, (queries @ gallery.T).argmax(axis=1)),
        "Long rows win every search: divide each row of the gallery by its length.",
    )
    yield (
        not _same(given, np.linalg.norm(queries[:, None] - gallery, axis=2).argmin(axis=1)),
        "That is the smallest distance, which depends on the lengths; the cosine does not.",
    )
    by_column = gallery / np.linalg.norm(gallery, axis=0)
    yield (
        not _same(given, (queries @ by_column.T).argmax(axis=1)),
        "You divide columns by their length; divide rows, with axis=1 and keepdims=True.",
    )
    found = np.mean(given == nearest(queries, gallery))
    yield found == 1, f"{100 * found:.0f} % of your row numbers are those of the largest cosine."


def _same(given, expected):
    return np.array_equal(given, expected)
