"""Let the reversed gradient grow with the progress of training, as Ganin and others (2016) do."""

import numpy as np

why = "It starts at exactly 0, where the critic still guesses, is at 0.85 after a quarter of the training, and ends near 1."
hints = [
    "It is the formula of the sentence above, with `np.exp`.",
    "At progress 0 it must be 0: exp(0) is 1, so 2 / (1 + 1) is 1, and then?",
    "`2 / (1 + np.exp(-10 * progress)) - 1`",
]
wrong = {
    "return 2 / (1 + np.exp(10 * progress)) - 1": "sign",
    "return 2 / (1 + np.exp(-10 * progress))": "from 1 to 2",
    "return 1 / (1 + np.exp(-10 * progress))": "half",
    "return progress": "straight",
    "return 2 / (1 + np.exp(-progress)) - 1": "ten",
}


def reversal_strength(progress):
    """Return the factor of the reversed gradient, for progress in training from 0 to 1 (a number or an array)."""
    return 2 / (1 + np.exp(-10 * progress)) - 1


def check(answer):
    """Compare along the whole training."""
    progress = np.linspace(0, 1, 11)
    given = np.asarray(answer(progress.copy()), dtype=float)
    expected = 2 / (1 + np.exp(-10 * progress)) - 1
    yield (
        given.shape == (11,),
        f"For 11 values of progress it should give 11 numbers, not {given.shape}.",
    )
    yield (
        not np.allclose(given, -expected),
        "Its sign is wrong: it falls below 0, and would not reverse but follow.",
    )
    yield (
        not np.allclose(given, expected + 1),
        "It goes from 1 to 2: something is to be taken away.",
    )
    yield (
        not np.allclose(given, 1 / (1 + np.exp(-10 * progress))),
        "At the start it should be 0, and is a half.",
    )
    yield (
        not np.allclose(given, progress),
        "That grows in a straight line; the paper's schedule rises early.",
    )
    yield (
        not np.allclose(given, 2 / (1 + np.exp(-progress)) - 1),
        "It hardly rises: the ten is missing.",
    )
    yield np.allclose(given, expected), "At half the training it should be 0.987, at the start 0."
