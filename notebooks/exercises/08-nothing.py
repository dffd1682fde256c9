"""Say whether two arms are alike: two one-sided tests, both at 5 %."""

import numpy as np
from scipy import stats

why = "Both tests reject where the 90 % interval lies within the margin, and nowhere else: 5 % are left out at each end."
hints = [
    "The error of the mean is `gains.std(ddof=1) / len(gains) ** 0.5`.",
    "By how many errors is the mean above −margin, and by how many below +margin? The smaller number counts.",
    "Both must exceed `stats.t.ppf(0.95, len(gains) - 1)`.",
]
wrong = {
    "return abs(gains.mean()) < margin": "mean alone",
    "return stats.ttest_1samp(gains, 0).pvalue > 0.05": "no proof",
    "return abs(gains).max() < margin": "single",
    "half = stats.t.ppf(0.95, len(gains) - 1) * gains.std(ddof=1)\nreturn abs(gains.mean()) + half < margin": "square root",
    "half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5\n"
    "return abs(gains.mean()) + half < margin": "95 %",
    "half = stats.t.ppf(0.95, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5\n"
    "return gains.mean() + half < margin": "lower end",
    "half = stats.t.ppf(0.95, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5\n"
    "return gains.mean() - half > -margin": "upper end",
}


def are_alike(gains, margin):
    """Say whether two one-sided t-tests (5 %) put the mean gain within ±margin."""
    error = gains.std(ddof=1) / len(gains) ** 0.5
    least = stats.t.ppf(0.95, len(gains) - 1)
    above = (gains.mean() + margin) / error > least
    below = (margin - gains.mean()) / error > least
    return above and below


def _gains(n, mean, spread):
    """Return n gains with just this mean and standard deviation."""
    drawn = np.random.default_rng(n).normal(size=n)
    return mean + spread * (drawn - drawn.mean()) / drawn.std(ddof=1)


def check(answer):
    """Ask about gains that are alike, too few, too noisy, or on one side of the margin."""
    clear = _gains(30, 0.8, 0.4)
    yield (
        answer(clear.copy(), 2),
        "Thirty gains of 0.8 or so are clearly not 0, and clearly within ±2. That no difference shows is no proof.",
    )
    steady = 0.2 + 1.2 * np.tile([1.0, -1.0], 15)
    yield (
        answer(steady.copy(), 2),
        "The mean of thirty gains varies less than a single one: divide by the square root of their number.",
    )
    yield (
        answer(_gains(30, 0.2, 2.5), 2),
        "A single gain may lie outside the margin. What must not is the mean, with its error.",
    )
    yield (
        not answer(_gains(5, 0.1, 4.0), 2),
        "Five gains that are spread by 4 say next to nothing: the mean alone does not show how sure it is.",
    )
    yield (
        not answer(_gains(10, -3.0, 0.5), 2),
        "Gains of −3 are not within ±2: look at the lower end as well.",
    )
    yield (
        not answer(_gains(10, 3.0, 0.5), 2),
        "Gains of +3 are not within ±2: look at the upper end as well.",
    )
    yield (
        answer(_gains(6, 0.0, 2.15), 2),
        "That is the 95 % interval. Two tests at 5 %, one at each end, make the 90 % interval.",
    )
    yield (
        not answer(_gains(6, 0.0, 2.6), 2),
        "The normal distribution is too sure of itself with six gains: Student's t has wider tails.",
    )
    yield (
        not answer(clear.copy(), 0.5),
        "Gains of 0.8 or so are not within ±0.5: the margin counts.",
    )
