"""Measure how well a found box covers the true one: intersection over union."""

import numpy as np

why = "What both cover, divided by what either covers: 1 for the same box, 0 for boxes that do not touch."
hints = [
    "The intersection's left is the larger of both lefts, its right the smaller of both rights.",
    "Boxes that do not touch have a negative width there: `np.maximum(0, right - left)`.",
    "The union is both areas minus the intersection, which would otherwise count twice.",
]
wrong = {
    "left, top = np.maximum(a[:2], b[:2])\nright, bottom = np.minimum(a[2:], b[2:])\n"
    "shared = (right - left) * (bottom - top)\n"
    "areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]\nreturn shared / (sum(areas) - shared)": "do not touch",
    "left, top = np.maximum(a[:2], b[:2])\nright, bottom = np.minimum(a[2:], b[2:])\n"
    "shared = max(0, right - left) * max(0, bottom - top)\n"
    "areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]\nreturn shared / sum(areas)": "twice",
    "left, top = np.maximum(a[:2], b[:2])\nright, bottom = np.minimum(a[2:], b[2:])\n"
    "shared = max(0, right - left) * max(0, bottom - top)\nreturn shared / ((a[2] - a[0]) * (a[3] - a[1]))": "first box",
}


def overlap(a, b):
    """Return the intersection over union, 0…1, of two boxes (left, top, right, bottom)."""
    left, top = np.maximum(a[:2], b[:2])
    right, bottom = np.minimum(a[2:], b[2:])
    shared = max(0, right - left) * max(0, bottom - top)
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return shared / (sum(areas) - shared)


def check(answer):
    """Ask about the same box, a part of one, a box inside another, and boxes apart."""
    box = np.array([2.0, 3.0, 6.0, 9.0])
    same = float(answer(box.copy(), box.copy()))
    yield (
        not np.isclose(same, 0.5),
        "The same box twice gives 0.5: what they share was counted twice in the union.",
    )
    yield np.isclose(same, 1), f"The same box twice should give 1, not {same:.2f}."
    inside = np.array([3.0, 4.0, 5.0, 6.0])
    found = float(answer(inside.copy(), box.copy()))
    yield (
        not np.isclose(found, 1),
        "A small box inside a large one gives 1: divide by the union, not by the first box.",
    )
    yield (
        np.isclose(found, 4 / 24),
        f"A box of 2 × 2 inside one of 4 × 6 should give 4/24, not {found:.3f}.",
    )
    found = float(answer(np.array([0.0, 0.0, 4.0, 4.0]), np.array([2.0, 1.0, 6.0, 5.0])))
    yield (
        np.isclose(found, 6 / 26),
        f"Two boxes of 4 × 4 that share 2 × 3 should give 6/26, not {found:.3f}.",
    )
    for step, words in (
        ([10, 10], "do not touch"),
        ([10, 1], "lie side by side"),
        ([1, 10], "lie above each other"),
    ):
        apart = float(answer(box.copy(), box + np.tile(step, 2)))
        yield (
            np.isclose(apart, 0),
            f"Boxes that {words} should give 0, not {apart:.2f}: no side may be negative.",
        )
