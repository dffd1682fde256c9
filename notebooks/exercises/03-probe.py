"""Read one depth of a network with a linear probe."""

import numpy as np
from sklearn.linear_model import LogisticRegression

why = "A probe that is linear says what lies ready at that depth; a cleverer one would say what it could learn itself."
hints = [
    "`maps` are (n, h, w, c): a linear probe needs one row of c numbers per picture.",
    "`maps.mean(axis=(1, 2))` averages over the places.",
    "Fit `LogisticRegression(max_iter=1000)` on the averaged training maps, and score it on the averaged test maps, × 100.",
]
wrong = {
    "probe = LogisticRegression(max_iter=1000)\nprobe.fit(maps.reshape(len(maps), -1), y)\n"
    "return 100 * probe.score(test_maps.reshape(len(test_maps), -1), test_y)": "places",
    "probe = LogisticRegression(max_iter=1000)\nprobe.fit(maps.mean(axis=(1, 2)), y)\n"
    "return 100 * probe.score(maps.mean(axis=(1, 2)), y)": "test pictures",
    "probe = LogisticRegression(max_iter=1000)\nprobe.fit(maps.mean(axis=3).reshape(len(maps), -1), y)\n"
    "return 100 * probe.score(test_maps.mean(axis=3).reshape(len(test_maps), -1), test_y)": "channels",
    "probe = LogisticRegression(max_iter=1000)\nprobe.fit(maps, y)\nreturn 100 * probe.score(test_maps, test_y)": "dim",
}


def probe_depth(maps, y, test_maps, test_y):
    """Return the accuracy in % of a linear probe on feature maps (n, h, w, c), averaged over their places."""
    probe = LogisticRegression(max_iter=1000)
    probe.fit(maps.mean(axis=(1, 2)), y)
    return 100 * probe.score(test_maps.mean(axis=(1, 2)), test_y)


def check(answer):
    """Make up maps in which a channel knows the class, wherever in the picture."""
    random = np.random.default_rng(2)

    def pictures(n):
        y = random.integers(0, 3, n)
        maps = random.normal(size=(n, 4, 4, 5))
        maps[np.arange(n), random.integers(0, 4, n), random.integers(0, 4, n), y] += 4
        return maps, y

    maps, y = pictures(60)
    test_maps, test_y = pictures(300)
    given = float(answer(maps.copy(), y.copy(), test_maps.copy(), test_y.copy()))
    yield not 0 < given <= 1, "Give the accuracy in %: × 100."
    flat = LogisticRegression(max_iter=1000).fit(maps.reshape(60, -1), y)
    yield (
        not np.isclose(given, 100 * flat.score(test_maps.reshape(300, -1), test_y)),
        "Laid out flat, each place has weights of its own: average over the places first.",
    )
    by_place = LogisticRegression(max_iter=1000).fit(maps.mean(axis=3).reshape(60, -1), y)
    yield (
        not np.isclose(
            given, 100 * by_place.score(test_maps.mean(axis=3).reshape(300, -1), test_y)
        ),
        "Averaged over the channels, nothing is left of what each has found. Average over axes 1 and 2.",
    )
    own = LogisticRegression(max_iter=1000).fit(maps.mean(axis=(1, 2)), y)
    yield (
        not np.isclose(given, 100 * own.score(maps.mean(axis=(1, 2)), y)),
        "Score it on the test pictures.",
    )
    expected = probe_depth(maps, y, test_maps, test_y)
    words = f"It should be about {expected:.0f} %, and yours is {given:.0f} %."
    yield abs(given - expected) < 4, words
