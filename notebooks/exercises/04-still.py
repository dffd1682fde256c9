"""Prove that a layer stood still."""

import numpy as np

why = "Equal bit for bit is what frozen means; almost equal is how a small learning rate looks."
hints = [
    "A layer has several arrays: kernel and bias, in BatchNorm four. All must be equal.",
    "`np.array_equal(a, b)` compares two arrays exactly.",
    "`return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))`.",
]
wrong = {
    "return all(np.allclose(a, b) for a, b in zip(before, after, strict=True))": "nearly",
    "return np.array_equal(before[0], after[0])": "first array",
    "return any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))": "one of them",
    "return all(a.mean() == b.mean() for a, b in zip(before, after, strict=True))": "mean",
}


def stood_still(before, after):
    """Return whether a layer's weights, two lists of arrays, are the same bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def check(answer):
    """Move nothing, one weight, and one weight by a hair."""
    kernel, bias = np.random.default_rng(1).normal(size=(3, 4)), np.arange(4.0)
    yield (
        bool(answer([kernel, bias], [kernel.copy(), bias.copy()])),
        "Nothing moved, and it says that something did.",
    )
    moved = bias.copy()
    moved[2] += 1
    is_any = bool(answer([kernel, bias], [kernel + 1, bias.copy()]))
    yield not is_any, "The kernel moved. That one of them is the same is not enough: all must be."
    yield (
        not answer([kernel, bias], [kernel.copy(), moved]),
        "A bias moved, and only the first array was compared.",
    )
    swapped = kernel[::-1].copy()
    yield (
        not answer([kernel, bias], [swapped, bias.copy()]),
        "The weights changed places: their mean tells nothing of that.",
    )
    words = "The kernel changed its sign: its size tells nothing of that."
    yield not answer([kernel, bias], [-kernel, bias.copy()]), words
    hair = kernel.copy()
    hair[1, 2] = np.nextafter(hair[1, 2], 9)  # the next number that there is
    words = "It moved, by the smallest step that there is: nearly the same is not the same."
    yield not answer([kernel, bias], [hair, bias.copy()]), words
