"""Combine two models that were trained apart: late fusion."""

import numpy as np

why = "Summed logarithms multiply the two opinions: if one model is sure of “not this”, the other cannot overrule it."
hints = [
    "Each model gives a row of probabilities per example. Both opinions count alike.",
    "Multiply them (or add their logarithms), which assumes that each errs by itself.",
    "Divide each row by its sum, so that it is a distribution again.",
]
wrong = {
    "return (image + text) / 2": "averages",
    "return image * text": "sum to 1",
    "return np.maximum(image, text)": "surer",
    "both = image * text\nreturn both / both.sum()": "each row",
}


def late_fusion(image, text):
    """Return joint probabilities (n, k) from those of a model of pictures and of a model of texts."""
    both = image * text
    return both / both.sum(axis=1, keepdims=True)


def check(answer):
    """Let one model exclude what the other believes."""
    image = np.array([[0.6, 0.4, 0.0], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    text = np.array([[0.5, 0.0, 0.5], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]])
    given = np.asarray(answer(image.copy(), text.copy()), dtype=float)
    yield (
        given.shape == image.shape,
        f"It must return one row of probabilities per example, not {given.shape}.",
    )
    yield (
        not np.allclose(given, (image + text) / 2),
        "It averages: then a class that one model excludes can still win. Multiply.",
    )
    yield (
        not np.allclose(given, np.maximum(image, text)),
        "It takes the surer of the two, and forgets the other.",
    )
    both = image * text
    yield not np.allclose(given, both / both.sum()), "All of it sums to 1; each row should."
    yield np.allclose(given.sum(axis=1), 1), "Each row should sum to 1: divide by its sum."
    yield (
        np.allclose(given, both / both.sum(axis=1, keepdims=True)),
        "It is not the product of the two, row by row.",
    )
