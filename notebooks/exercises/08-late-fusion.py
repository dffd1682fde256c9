"""Combine two models that were trained apart, from their logits: late fusion."""

import numpy as np

why = "Logits of two models have scales of their own; probabilities can be averaged, and each model keeps its say."
hints = [
    "Logits are no probabilities yet: a softmax makes each row positive with sum 1.",
    "softmax: subtract each row's largest logit (so that exp does not overflow), take exp, divide by the row's sum.",
    "Do so for both models, and return the mean of the two tables of probabilities.",
]
wrong = {
    "return (image + text) / 2": "logits",
    "mean = (image + text) / 2\nmean = np.exp(mean - mean.max(axis=1, keepdims=True))\n"
    "return mean / mean.sum(axis=1, keepdims=True)": "average comes after",
    "image, text = np.exp(image), np.exp(text)\n"
    "return (image / image.sum(axis=1, keepdims=True) + text / text.sum(axis=1, keepdims=True)) / 2": "overflow",
    "image, text = (np.exp(z - z.max()) for z in (image, text))\nreturn (image / image.sum() + text / text.sum()) / 2": "each row",
    "image, text = (np.exp(z - z.max(axis=1, keepdims=True)) for z in (image, text))\n"
    "return image / image.sum(axis=1, keepdims=True) + text / text.sum(axis=1, keepdims=True)": "sum to 2",
}


def late_fusion(image, text):
    """Return the mean probabilities (n, k) of two models, one of pictures and one of texts, from their logits."""
    probabilities = []
    for logits in (image, text):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities.append(powers / powers.sum(axis=1, keepdims=True))
    return (probabilities[0] + probabilities[1]) / 2


def check(answer):
    """Give logits of two scales, and one row of very large ones."""
    random = np.random.default_rng(1)
    image, text = random.normal(size=(5, 3)), 6 * random.normal(size=(5, 3))
    given = np.asarray(answer(image.copy(), text.copy()), dtype=float)
    yield (
        given.shape == image.shape,
        f"It must return one row of probabilities per example, not {given.shape}.",
    )
    yield (
        not np.allclose(given, (image + text) / 2),
        "Those are still logits: make probabilities of each model's first.",
    )
    expected = late_fusion(image, text)
    yield (
        not np.allclose(given.sum(axis=1), 2),
        "Each row should sum to 1, and yours sum to 2: take the mean.",
    )
    yield (
        np.allclose(given.sum(axis=1), 1, atol=1e-3),
        "Each row should sum to 1: divide by its own sum.",
    )
    mean = (image + text) / 2
    powers = np.exp(mean - mean.max(axis=1, keepdims=True))
    together = powers / powers.sum(axis=1, keepdims=True)
    yield (
        not np.allclose(given, together),
        "The average comes after the softmax: else the model with larger logits decides.",
    )
    yield (
        np.allclose(given, expected, atol=1e-3),
        "It is not the mean of the two models' probabilities.",
    )
    image[2] += 1000  # one row alone
    with np.errstate(all="ignore"):
        large = np.asarray(answer(image.copy(), text.copy()), dtype=float)
    finite = bool(np.isfinite(large).all())
    yield (
        finite,
        "With logits of 1,000 exp overflows: subtract each row's largest first; it changes nothing.",
    )
    yield (
        np.allclose(large, expected, atol=1e-3),
        "Each row has a largest logit of its own: subtract that one.",
    )
