"""Add LoRA's difference to its kernel."""

import numpy as np

why = "Merged, the network is an ordinary one again: as fast as before, and nobody sees that it was adapted."
hints = [
    "`a @ b` multiplies the last axis of `a` with the first of `b`, whatever axes stand before.",
    "The rank is `b.shape[0]`; the difference counts `alpha / rank` times.",
    "`return kernel + alpha / b.shape[0] * (a @ b)`.",
]
wrong = {
    "return kernel + a @ b": "alpha / rank",
    "return kernel + alpha * (a @ b)": "divided by the rank",
    "return alpha / b.shape[0] * (a @ b)": "only the difference",
    "kernel += alpha / b.shape[0] * (a @ b)\nreturn kernel": "changed the kernel that it was given",
    "return kernel + alpha / b.shape[1] * (a @ b)": "rows of b",
}


def merged_kernel(kernel, a, b, alpha):
    """Return the kernel (…, n, m) plus alpha / rank times the product of a (…, n, rank) and b (rank, m)."""
    return kernel + alpha / b.shape[0] * (a @ b)


def check(answer):
    """Merge where alpha is the rank, where it is not, and where nothing was learnt yet."""
    random = np.random.default_rng(0)
    kernel, a, b = (random.normal(size=size) for size in ((3, 3, 5, 7), (3, 3, 5, 2), (2, 7)))
    kept, product = kernel.copy(), np.einsum("hwnr,rm->hwnm", a, b)
    given = answer(kernel, a, b, 6.0)
    yield np.array_equal(kernel, kept), "It changed the kernel that it was given: return a new one."
    yield np.shape(given) == kernel.shape, "The merged kernel must have the kernel's shape."
    words = "That is only the difference: the kernel itself is to be in it."
    yield not np.allclose(given, 3 * product), words
    words = "The difference counts alpha / rank times, and here it counts once."
    yield not np.allclose(given, kernel + product), words
    yield not np.allclose(given, kernel + 6 * product), "Alpha is to be divided by the rank."
    words = "The rank is the number of columns of a, or of rows of b."
    yield np.allclose(given, kernel + 3 * product), words
    nothing = np.allclose(answer(kernel, a, np.zeros_like(b), 6.0), kernel)
    yield nothing, "Where b is zero nothing was learnt, and the kernel should come out as it was."
