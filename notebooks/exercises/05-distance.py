"""Let a judge tell whether two sets of features come from one domain: the proxy A-distance."""

import numpy as np
from sklearn.linear_model import LogisticRegression

why = "A judge who errs half of the time tells nothing apart: 2 (1 − 2 × error) is 0; one who never errs says 2."
hints = [
    "Label the features of one side 0 and of the other 1, and train a classifier to tell them apart.",
    "Train on one half of each side, and count errors on the other half: on its own training data a judge is too sure.",
    "error = 1 - judge.score(other halves), and return 2 * (1 - 2 * error).",
]
wrong = {
    "x = np.concatenate([source, target])\ny = np.repeat([0, 1], [len(source), len(target)])\n"
    "error = 1 - LogisticRegression(max_iter=1000).fit(x, y).score(x, y)\nreturn 2 * (1 - 2 * error)": "its own training",
    "x = np.concatenate([source[::2], target[::2]])\ny = np.repeat([0, 1], [len(source[::2]), len(target[::2])])\n"
    "judge = LogisticRegression(max_iter=1000).fit(x, y)\n"
    "right = (judge.score(source[1::2], np.zeros(len(source[1::2]))) + judge.score(target[1::2], np.ones(len(target[1::2])))) / 2\n"
    "return right": "share of right answers",
    "return np.linalg.norm(source.mean(axis=0) - target.mean(axis=0))": "between 0 and 2",
}


def a_distance(source, target):
    """Return the proxy A-distance of two sets of features (n, d): about 0 for one domain, 2 if never confused."""
    x = np.concatenate([source[::2], target[::2]])
    y = np.repeat([0, 1], [len(source[::2]), len(target[::2])])
    judge = LogisticRegression(max_iter=1000).fit(x, y)
    error = (judge.predict(source[1::2]).mean() + 1 - judge.predict(target[1::2]).mean()) / 2
    return 2 * (1 - 2 * error)


def check(answer):
    """Ask for two far domains, two halves of one, and something between."""
    random = np.random.default_rng(7)
    one, same = random.normal(size=(2, 120, 100))
    far, near = one + 50, same + 0.15
    apart = float(answer(one.copy(), far.copy()))
    yield (
        -2 <= apart <= 2.0001,
        f"Two domains far apart got {apart:.1f}; the distance lies between 0 and 2.",
    )
    yield (
        not np.isclose(apart, 1),
        "1 for domains far apart is the share of right answers; 2 (1 − 2 × error) makes 2 of it.",
    )
    yield apart > 1.4, f"Domains that are never confused are 2 apart, not {apart:.2f}."
    odd = same.copy()
    odd[::3] += 50  # a third of one side gives itself away
    odd = odd[random.permutation(len(odd))]
    sides = float(answer(one.copy(), odd.copy())), float(answer(odd.copy(), one.copy()))
    words = "It changes when the sides change places: errors on both sides count alike."
    yield abs(sides[0] - sides[1]) < 0.5, words
    none = float(answer(one.copy(), same.copy()))
    yield (
        none < 0.7,
        f"Two halves of one domain got {none:.2f}: the judge was asked about its own training data.",
    )
    yield (
        0.2 < float(answer(one.copy(), near.copy())) < 2,
        "Two domains that differ a little should lie between 0 and 2.",
    )
