"""Choose a setting without looking at the test set."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

why = "The setting is chosen on pictures that are neither trained nor tested on, and the test set is asked once."
hints = [
    "Which pictures may decide? Not those that the classifier has learned by heart, and not those of the final exam.",
    "Fit one classifier for each of `choices` on `train`, and take the one with the best `score` on `validation`.",
    "`best = max(fitted, key=lambda one: one.score(*validation))`, then `return 100 * best.score(*test)`.",
]
_FIT = "fitted = [KNeighborsClassifier(k).fit(*train) for k in choices]\n"
wrong = {
    _FIT + "return 100 * max(one.score(*test) for one in fitted)": "exam",
    _FIT
    + "best = max(fitted, key=lambda one: one.score(*train))\nreturn 100 * best.score(*test)": "by heart",
    _FIT
    + "return 100 * max(one.score(*validation) for one in fitted)": "validation pictures that chose it",
    _FIT
    + "best = max(fitted, key=lambda one: one.score(*validation))\nreturn best.score(*test)": "%",
    _FIT + "return 100 * fitted[0].score(*test)": "first",
}


def tuned_accuracy(train, validation, test, choices):
    """Return the accuracy in % on `test` of nearest neighbours, with the best of `choices` for their number.

    Each of train, validation and test is a pair of pictures (n, pixels) and labels (n,).
    """
    fitted = [KNeighborsClassifier(k).fit(*train) for k in choices]
    best = max(fitted, key=lambda one: one.score(*validation))
    return 100 * best.score(*test)


def _made_up(n, seed):
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, n)
    return 1.2 * np.eye(3)[y] + random.normal(size=(n, 3)), y


def check(answer):
    """Make up three classes that overlap, drawn so that each set of pictures would choose another number of neighbours."""
    train, validation, test = (_made_up(n, seed) for n, seed in ((90, 18), (91, 19), (400, 20)))
    choices = (3, 1, 9, 27, 45)
    fitted = {k: KNeighborsClassifier(k).fit(*train) for k in choices}
    on = {
        name: {k: one.score(*data) for k, one in fitted.items()}
        for name, data in (("train", train), ("validation", validation), ("test", test))
    }
    chosen = {name: max(scores, key=scores.get) for name, scores in on.items()}
    scores = {name: 100 * on["test"][k] for name, k in chosen.items()}
    both = tuple(np.concatenate(parts) for parts in zip(train, validation, strict=True))
    again = 100 * KNeighborsClassifier(chosen["validation"]).fit(*both).score(*test)
    given = float(answer(train, validation, test, choices))
    yield not 0 < given <= 1, "Give the accuracy in %, from 0 to 100."
    yield (
        not np.isclose(given, scores["test"]),
        "That is the best score on the test set: the exam chose its own answer.",
    )
    yield (
        not np.isclose(given, scores["train"]),
        "The training pictures chose, and they are known by heart.",
    )
    words = "That is the score on the validation pictures that chose it, which is too good as well: test it on others."
    yield not np.isclose(given, 100 * max(on["validation"].values())), words
    yield (
        not np.isclose(given, 100 * on["test"][choices[0]]),
        "It takes the first of the choices, whatever they are.",
    )
    right = np.isclose(given, scores["validation"]) or np.isclose(given, again)
    yield (
        right,
        "That is not the test accuracy of the choice that does best on the validation pictures.",
    )
