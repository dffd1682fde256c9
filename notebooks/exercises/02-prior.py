"""Estimate how frequent the classes are in a target without labels, from a source model's probabilities."""

import numpy as np

why = "Each round corrects the probabilities by the shares found so far, and counts again: expectation maximisation."
hints = [
    "If the shares were known: multiply each probability by target share / source share, and make each row sum to 1.",
    "The mean of the corrected rows is a better guess at the shares. With it, correct the *original* probabilities again.",
    "for _ in range(100): corrected = probabilities * shares / source_shares; divide by the row sums; shares = the mean.",
]
wrong = {
    "return probabilities.mean(axis=0)": "first round",
    "return np.bincount(probabilities.argmax(axis=1), minlength=len(source_shares)) / len(probabilities)": "counting",
    "shares = source_shares\nfor _ in range(100):\n"
    "    corrected = probabilities * shares / source_shares\n    shares = corrected.mean(axis=0)\nreturn shares": "sum to 1",
    "return source_shares": "source",
}


def target_shares(probabilities, source_shares):
    """Return the shares (k,) of the classes, from the source model's probabilities (n, k) on the target's pictures."""
    shares = source_shares
    for _ in range(100):
        corrected = probabilities * shares / source_shares
        corrected = corrected / corrected.sum(axis=1, keepdims=True)
        shares = corrected.mean(axis=0)
    return shares


def check(answer):
    """Make up a target whose shares are known, and probabilities that are right for the source."""
    random = np.random.default_rng(5)
    source, target = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    labels = random.choice(3, size=4000, p=target)
    centres = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
    points = centres[labels] + random.normal(size=(4000, 2))
    likelihood = np.exp(-0.5 * ((points[:, None] - centres) ** 2).sum(axis=2))
    probabilities = likelihood * source / (likelihood * source).sum(axis=1, keepdims=True)
    given = np.asarray(answer(probabilities.copy(), source.copy()), dtype=float)
    yield (
        given.shape == (3,),
        f"It must return one share per class, an array of shape (3,), not {given.shape}.",
    )
    yield (
        not np.allclose(given, source),
        "Those are the source's shares; the target's are what is asked for.",
    )
    yield (
        not np.allclose(given, probabilities.mean(axis=0)),
        "That is the first round only, and half of the way: go on.",
    )
    counted = np.bincount(probabilities.argmax(axis=1), minlength=3) / 4000
    yield (
        not np.allclose(given, counted),
        "Counting the likeliest answers counts the source model's mistakes along.",
    )
    yield (
        np.isclose(given.sum(), 1, atol=1e-3),
        "The shares should sum to 1: does each corrected row do so before the mean?",
    )
    undivided = probabilities * target
    undivided = (undivided / undivided.sum(axis=1, keepdims=True)).mean(axis=0)
    words = "One class took it all: correct the *original* probabilities in each round."
    yield given.max() < 0.99, words
    words = "Divide by the source's shares: they are in the probabilities already."
    yield not np.allclose(given, undivided, atol=0.01), words
    words = f"{given.round(2)} is not there yet: go round until it stands still."
    yield np.abs(given - target).max() < 0.05, words
