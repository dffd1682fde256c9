"""Say how sure a gain is: the mean of paired differences and its 95 % interval."""

import numpy as np
from scipy import stats

why = "What both arms of a seed share, such as easy test pictures, cancels out in the difference; only then comes the mean."
hints = [
    "Subtract seed by seed first. What is left is one sample of n differences.",
    "The standard error of a mean is the standard deviation (`ddof=1`) divided by the square root of n.",
    "low and high are mean ∓ stats.t.ppf(0.975, n - 1) × standard error.",
]
wrong = {
    "d = treatment - baseline\nreturn d.mean(), d.min(), d.max()": "smallest and largest",
    "d = treatment - baseline\nhalf = 1.96 * d.std(ddof=1)\nreturn d.mean(), d.mean() - half, d.mean() + half": "square root",
    "d = treatment - baseline\nhalf = 1.96 * d.std(ddof=1) / len(d) ** 0.5\nreturn d.mean(), d.mean() - half, d.mean() + half": "normal",
    "d = baseline - treatment\nhalf = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5\n"
    "return d.mean(), d.mean() - half, d.mean() + half": "turned round",
    "return (treatment - baseline).mean()": "three numbers",
}


def paired_interval(treatment, baseline):
    """Return mean, low and high (95 %, Student's t) of treatment minus baseline, a score per seed each."""
    differences = treatment - baseline
    error = differences.std(ddof=1) / len(differences) ** 0.5
    half = stats.t.ppf(0.975, len(differences) - 1) * error
    return differences.mean(), differences.mean() - half, differences.mean() + half


def check(answer):
    """Ask for the interval of six made-up seeds."""
    random = np.random.default_rng(8)
    shared = 10 * random.normal(size=6)
    baseline, treatment = 60 + shared, 64 + shared + random.normal(size=6)
    given = np.atleast_1d(np.asarray(answer(treatment.copy(), baseline.copy()), dtype=float))
    yield given.shape == (3,), "It must return three numbers: mean, low, high."
    differences = treatment - baseline
    mean, low, high = given
    yield (
        not np.isclose(mean, -differences.mean()),
        "The difference is turned round: treatment minus baseline.",
    )
    yield (
        np.isclose(mean, differences.mean()),
        "The first number should be the mean of the differences, seed by seed.",
    )
    spread = differences.std(ddof=1)
    half = stats.t.ppf(0.975, 5) * spread / 6**0.5
    yield (
        not np.isclose(low, differences.min()),
        "Those are the smallest and largest difference, not an interval of the mean.",
    )
    yield (
        not np.isclose(high - mean, 1.96 * spread),
        "That is the spread of single seeds. A mean of six varies less: divide by the square root of six.",
    )
    yield (
        not np.isclose(high - mean, 1.96 * spread / 6**0.5),
        "1.96 is the normal distribution's. With six seeds the spread is itself a guess, which Student's t allows for.",
    )
    yield (
        np.allclose([low, high], [mean - half, mean + half]),
        "The interval's ends are not where Student's t has them.",
    )
