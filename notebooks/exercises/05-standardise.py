"""Bring two domains together without a label: standardise each by itself."""

import numpy as np

why = "A shift and a stretch that hit all pictures of a domain alike are gone; what differs by class stays."
hints = [
    "Both sets are to have mean 0 and standard deviation 1 in every column.",
    "Each by its *own* mean and standard deviation, over its own rows (axis 0).",
    "Add a small number such as 1e-6 to the deviation: some features never vary.",
]
wrong = {
    "mean, deviation = source.mean(axis=0), source.std(axis=0) + 1e-6\n"
    "return (source - mean) / deviation, (target - mean) / deviation": "source's mean",
    "x = np.concatenate([source, target])\nmean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6\n"
    "return (source - mean) / deviation, (target - mean) / deviation": "both together",
    "return tuple((x - x.mean()) / x.std() for x in (source, target))": "column",
    "return tuple((x - x.mean(axis=0)) / x.std(axis=0) for x in (source, target))": "never varies",
}


def standardise_each(source, target):
    """Return both sets of features (n, d), each with mean 0 and standard deviation 1 per column."""
    return tuple((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6) for x in (source, target))


def check(answer):
    """Give a target that is shifted and stretched, and one feature that never varies."""
    random = np.random.default_rng(9)
    source, target = random.normal(size=(50, 4)), 3 + 5 * random.normal(size=(30, 4))
    source[:, 2] += 40
    with np.errstate(all="ignore"):
        given = answer(source.copy(), target.copy())
    yield (
        isinstance(given, (tuple, list)) and len(given) == 2,
        "It must return two arrays: source and target.",
    )
    ours, theirs = (np.asarray(x, dtype=float) for x in given)
    yield ours.shape == source.shape and theirs.shape == target.shape, "Both must keep their shape."
    both = np.concatenate([ours, theirs])
    yield (
        not (
            np.allclose(both.mean(axis=0), 0, atol=1e-3)
            and not np.allclose(theirs.mean(axis=0), 0, atol=1e-3)
        ),
        "You took mean and deviation of both together, so the gap between them stays.",
    )
    centred = np.allclose(ours.mean(axis=0), 0, atol=1e-3)
    yield centred, "Each column (feature) must have mean 0: take the mean over axis 0."
    yield (
        np.allclose(theirs.mean(axis=0), 0, atol=1e-3),
        "The target was moved by the source's mean; use its own.",
    )
    yield (
        np.allclose(theirs.std(axis=0), 1, atol=1e-3),
        "The target's columns must have deviation 1, their own.",
    )
    source[:, 1] = 7.0
    with np.errstate(all="ignore"):
        ours = np.asarray(answer(source.copy(), target.copy())[0], dtype=float)
    yield (
        bool(np.isfinite(ours).all()),
        "A feature that never varies has deviation 0, and dividing by it gives NaN.",
    )
