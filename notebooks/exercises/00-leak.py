"""Mend an evaluation that has seen its test set."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

why = "Whatever is fitted, the scaler included, is fitted on training pictures alone; the test pictures are met once."
hints = [
    "Which lines call `fit`, and what do they get?",
    "The classifier may be fitted on x_train and y_train only, and scored on x_test and y_test.",
    "`classifier.fit(x_train, y_train)`, then `return 100 * classifier.score(x_test, y_test)`.",
]
wrong = {
    "classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))\n"
    "classifier.fit(np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test]))\n"
    "return 100 * classifier.score(x_test, y_test)": "among the pictures it learned from",
    "classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))\n"
    "classifier.fit(x_train, y_train)\nreturn 100 * classifier.score(x_train, y_train)": "training pictures",
    "classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))\n"
    "classifier.fit(x_train, y_train)\nreturn classifier.score(x_test, y_test)": "%",
    "classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))\n"
    "classifier.fit(x_test, y_test)\nreturn 100 * classifier.score(x_test, y_test)": "on the test set",
}


def honest_accuracy(x_train, y_train, x_test, y_test):
    """Return the accuracy in % of a logistic regression, on pictures that it has not seen."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(x_train, y_train)
    return 100 * classifier.score(x_test, y_test)


def check(answer):
    """Give labels that are pure chance, of which who has not peeked gets about half right, and clear ones."""
    random = np.random.default_rng(3)
    x_train, x_test = random.normal(size=(60, 90)), random.normal(size=(400, 90))
    y_train, y_test = random.integers(0, 2, 60), random.integers(0, 2, 400)
    given = float(answer(x_train.copy(), y_train.copy(), x_test.copy(), y_test.copy()))
    yield not 0 < given <= 1, "Give the accuracy in %, from 0 to 100."
    on_training = float(answer(x_train.copy(), y_train.copy(), x_train.copy(), y_train.copy()))
    other_test = float(answer(x_train.copy(), y_train.copy(), x_test.copy(), 1 - y_test))
    yield (
        not given == other_test == on_training,
        "It was scored on its training pictures, whatever the test pictures are.",
    )
    swapped = float(answer(9 * x_train + 3, 1 - y_train, x_test.copy(), y_test.copy()))
    yield (
        given < 60 or given != swapped,
        "It learned on the test set and nothing else: its training pictures do not matter.",
    )
    yield (
        given < 60,
        f"{given:.0f} % of labels drawn by lot: the test pictures were among the pictures it learned from.",
    )
    # Test pictures of one class alone: who centres them by their own mean takes their class away.
    clear = random.normal(size=(60, 90)) + 3 * (2 * y_train[:, None] - 1)
    one_class = random.normal(size=(50, 90)) + 3
    found = float(answer(clear.copy(), y_train.copy(), one_class, np.ones(50, dtype=int)))
    yield (
        found > 95,
        "Test pictures of one class are hardly recognised: is the scaler fitted on the test pictures?",
    )
