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
    "return source - source.mean(axis=0), (target - target.mean(axis=0)) / (target.std(axis=0) + 1e-6)": "column of the source",
}


def standardise_each(source, target):
    """Return both sets of features (n, d), each with mean 0 and standard deviation 1 per column."""
    return tuple((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6) for x in (source, target))


def check(answer):
    """Give a target that is shifted and stretched, and features that never vary."""
    random = np.random.default_rng(9)
    source, target = random.normal(size=(50, 4)), 3 + 5 * random.normal(size=(30, 4))
    source[:, 2] = 40 + 9 * source[:, 2]
    with np.errstate(all="ignore"):
        given = answer(source.copy(), target.copy())
    pair = isinstance(given, (tuple, list)) and len(given) == 2
    yield pair, "It must return two arrays: source and target."
    ours, theirs = (np.asarray(x, dtype=float) for x in given)
    same = ours.shape == source.shape and theirs.shape == target.shape
    yield same, "Both must keep their shape."
    zero = {"atol": 1e-3}
    centred = np.allclose(np.concatenate([ours, theirs]).mean(axis=0), 0, **zero)
    alone = np.allclose(theirs.mean(axis=0), 0, **zero)
    words = "You took mean and deviation of both together, so the gap between them stays."
    yield not centred or alone, words
    words = "Each column (feature) must have mean 0: take the mean over axis 0."
    yield np.allclose(ours.mean(axis=0), 0, **zero), words
    yield alone, "The target was moved by the source's mean; use its own."
    for x, name in ((ours, "source"), (theirs, "target")):
        deviations = [x.std(axis=0), x.std(axis=0, ddof=1)]  # both are in use
        one = min(np.abs(d - 1).max() for d in deviations) < 1e-3
        yield one, f"Each column of the {name} must have deviation 1."
    source[:, 1], target[:, 3] = 7.0, 7.0
    with np.errstate(all="ignore"):
        both = [np.asarray(x, dtype=float) for x in answer(source.copy(), target.copy())]
    words = "A feature that never varies has deviation 0, and dividing by it gives NaN."
    yield all(np.isfinite(x).all() for x in both), words
