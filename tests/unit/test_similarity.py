"""CKA and distances of domains: exact values, closed forms, invariances, and errors that say what to do."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm

from tl_helpers.experiments.similarity import cka, domain_distance


def gaussian(n, d, seed):
    return np.random.default_rng(seed).normal(size=(n, d))


def gram(features):
    return [
        [sum(Fraction(a) * Fraction(b) for a, b in zip(row, other, strict=True)) for other in features]
        for row in features
    ]


def hsic_by_definition(x, y):
    """Song et al. 2012, theorem 2: the mean over all ways to draw four different rows, in exact arithmetic."""
    n = len(x)
    a, b = gram(x), gram(y)
    terms = [
        a[i][j] * b[i][j] + a[i][j] * b[q][r] - 2 * a[i][j] * b[i][q]
        for i, j, q, r in itertools.permutations(range(n), 4)
    ]
    return sum(terms) / len(terms)


X = [[0, 1], [2, 5], [4, 3], [7, 2], [1, 6], [3, 3]]
Y = [[1, 0, 2], [0, 3, 1], [5, 1, 1], [6, 2, 0], [0, 4, 2], [2, 2, 7]]


def test_the_debiased_form_is_what_its_definition_gives_in_exact_arithmetic():
    xy, xx, yy = hsic_by_definition(X, Y), hsic_by_definition(X, X), hsic_by_definition(Y, Y)
    assert cka(X, Y) == pytest.approx(float(xy) / float(xx * yy) ** 0.5, abs=1e-12)


def test_the_plain_form_of_single_features_is_their_squared_correlation():
    x, y = gaussian(9, 1, 0), gaussian(9, 1, 1)
    assert cka(x, y, debiased=False) == pytest.approx(np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2, abs=1e-12)


def test_the_plain_form_by_hand():
    # Centred: (-1, 0, 1) against (1, -2, 1) and (-1, 0, 1): YᵀX = (0, 2), XᵀX = 2, YᵀY = diag(6, 2).
    assert cka([[0], [1], [2]], [[1, 0], [-2, 1], [1, 2]], debiased=False) == pytest.approx(4 / (2 * 40**0.5))


@pytest.mark.parametrize("shape", [(100, 100, 100), (50, 200, 400), (400, 20, 100)])
def test_unrelated_features_plain_form_has_its_closed_value_and_the_debiased_form_is_about_zero(shape):
    n, p, q = shape
    pairs = [(gaussian(n, p, [0, seed]), gaussian(n, q, [1, seed])) for seed in range(10)]
    plain = np.mean([cka(x, y, debiased=False) for x, y in pairs])
    assert plain == pytest.approx(np.sqrt(p * q / ((n + p) * (n + q))), abs=0.015)
    assert np.mean([cka(x, y) for x, y in pairs]) == pytest.approx(0, abs=0.02)


sizes = st.tuples(st.integers(5, 12), st.integers(1, 15), st.integers(1, 15), st.integers(0, 2**31))


@settings(max_examples=60, deadline=None)
@given(sizes, st.floats(1e-3, 1e3), st.booleans())
def test_rotation_factor_shift_order_of_rows_and_of_arguments_change_nothing(size, factor, debiased):
    n, p, q, seed = size
    x, y = gaussian(n, p, [0, seed]), gaussian(n, q, [1, seed])
    rotation = np.linalg.qr(gaussian(p, p, [2, seed]))[0]
    order = np.random.default_rng(seed).permutation(n)
    value = cka(x, y, debiased=debiased)
    turned = factor * x @ rotation + gaussian(1, p, [3, seed])
    assert cka(turned, y, debiased=debiased) == pytest.approx(value, abs=1e-7)
    assert cka(x, turned, debiased=debiased) == pytest.approx(1, abs=1e-7)
    assert cka(y[order], x[order], debiased=debiased) == pytest.approx(value, abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(sizes, st.booleans())
def test_no_value_lies_above_one_and_no_plain_value_below_zero(size, debiased):
    n, p, q, seed = size
    value = cka(gaussian(n, p, [0, seed]), gaussian(n, q, [1, seed]), debiased=debiased)
    assert (-1 if debiased else 0) - 1e-9 <= value <= 1 + 1e-9


@pytest.mark.parametrize("debiased", [True, False])
def test_a_general_linear_map_changes_it(debiased):
    x = gaussian(200, 5, 0)
    assert cka(x, x * [1, 1, 1, 1, 20], debiased=debiased) < 0.9


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 20), st.integers(0, 2**31))
def test_by_features_and_by_inputs_it_is_the_same(n, seed):
    few, many = gaussian(n, 3, [0, seed]), gaussian(n, 3, [1, seed])
    padded = [np.hstack([features, np.zeros((n, 200))]) for features in (few, many)]
    for debiased in (True, False):
        assert cka(*padded, debiased=debiased) == pytest.approx(cka(few, many, debiased=debiased), abs=1e-9)


def test_the_debiased_form_does_not_depend_on_how_many_rows_there_are():
    shared, own_x, own_y = gaussian(2000, 100, 0), gaussian(2000, 100, 1), gaussian(2000, 100, 2)
    x, y = np.hstack([shared, own_x]), np.hstack([shared, own_y])
    few = np.mean([cka(x[i : i + 50], y[i : i + 50]) for i in range(0, 2000, 50)])
    assert few == pytest.approx(cka(x, y), abs=0.03)
    assert cka(x[:50], y[:50], debiased=False) > cka(x, y, debiased=False) + 0.2


def test_half_precision_and_very_large_or_small_features_are_safe():
    x, y = gaussian(30, 4, 0), gaussian(30, 4, 1)
    for factor in (1e-160, 1e160):
        assert cka(x * factor, y) == pytest.approx(cka(x, y), abs=1e-9)
    assert cka(x.astype("float16"), y.astype("float16")) == pytest.approx(cka(x, y), abs=1e-3)


@pytest.mark.parametrize(
    ("x", "y", "debiased", "message"),
    [
        (np.ones((5, 2)), gaussian(6, 2, 0), True, "All rows of x are the same"),
        (gaussian(5, 2, 0), gaussian(6, 2, 0), True, "x has 5 rows and y 6"),
        (gaussian(3, 2, 0), gaussian(3, 2, 1), True, "3 rows; the debiased form needs at least 4"),
        (gaussian(5, 2, 0), np.full((5, 2), 0.1), False, "All rows of y are the same"),
        (gaussian(5, 2, 0)[:, 0], gaussian(5, 2, 1), True, r"x must be \(n, d\)"),
        (gaussian(5, 2, 0), gaussian(5, 8, 1).reshape(5, 2, 2, 2), True, r"reshape\(len\(y\), -1\)"),
        (gaussian(5, 2, 0), np.full((5, 2), np.nan), True, "y holds values that are not finite"),
        (np.eye(6), gaussian(6, 2, 0), True, "equally far from each other"),
        (np.zeros((1, 3)), np.zeros((1, 3)), False, "All rows of x are the same"),
    ],
)
def test_errors_say_what_is_wrong(x, y, debiased, message):
    with pytest.raises(ValueError, match=message):
        cka(x, y, debiased=debiased)


@pytest.mark.parametrize("mean", [1, 2, 4])
def test_the_proxy_distance_of_two_gaussians_is_what_the_best_threshold_leaves(mean):
    x, y = gaussian(4000, 1, 0), gaussian(4000, 1, 1) + mean
    assert domain_distance(x, y) == pytest.approx(2 * (1 - 2 * norm.cdf(-mean / 2)), abs=0.04)


@pytest.mark.parametrize("method", ["proxy_a", "mmd", "coral"])
def test_two_samples_of_one_domain_are_no_distance_apart(method):
    distances = [
        domain_distance(gaussian(200, 8, seed), gaussian(200, 8, seed + 50), method=method) for seed in range(8)
    ]
    apart = domain_distance(gaussian(200, 8, 0), 2 * gaussian(200, 8, 1) + 1, method=method)
    assert abs(np.mean(distances)) < 0.1 < apart and max(distances) < apart / 2


def test_proxy_distance_minds_domains_of_unequal_size():
    x, y = gaussian(3000, 1, 0), gaussian(300, 1, 1) + 2
    assert domain_distance(x, y) == pytest.approx(1.365, abs=0.15)
    # Without equal weights, "always the larger one" would err in a tenth of the cases: a distance of 1.6.
    assert abs(domain_distance(gaussian(3000, 1, 2), gaussian(300, 1, 3))) < 0.2


@pytest.mark.parametrize("dimensions", [1, 3])
def test_mmd_of_two_gaussians_is_the_closed_form(dimensions):
    mean = np.full(dimensions, 0.8)
    x, y = gaussian(1500, dimensions, 0), gaussian(1500, dimensions, 1) + mean
    both = np.concatenate([x, y])
    differences = both[:, None, :] - both[None, :, :]
    squared = (differences**2).sum(axis=2)[np.triu_indices(len(both), 1)]
    width = np.median(squared)
    closed = 2 * (width / (width + 2)) ** (dimensions / 2) * (1 - np.exp(-(mean @ mean) / (2 * (width + 2))))
    assert domain_distance(x, y, method="mmd") == pytest.approx(closed, abs=0.02)


def test_mmd_by_its_definition():
    x, y = gaussian(6, 2, 0), gaussian(5, 2, 1) + 1
    both = np.concatenate([x, y])
    pairs = [((a - b) ** 2).sum() for a, b in itertools.combinations(both, 2)]
    width = np.median(pairs)

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * width))

    within = sum(np.mean([kernel(a, b) for a, b in itertools.permutations(rows, 2)]) for rows in (x, y))
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert domain_distance(x, y, method="mmd") == pytest.approx(within - 2 * between, abs=1e-12)


def test_coral_distance_by_hand():
    # Covariances ((2, 0), (0, 2)) and ((8, 0), (0, 8)): the squared difference is 72, divided by 4 · 2².
    x = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1], [0, 0], [0, 0], [0, 0]]) * np.sqrt(3)
    assert np.cov(x, rowvar=False) == pytest.approx(np.diag([2, 2]))
    assert domain_distance(x, 2 * x + 5, method="coral") == pytest.approx(72 / 16)


def test_a_distance_says_what_is_wrong():
    rows = gaussian(10, 3, 0)
    with pytest.raises(ValueError, match="x has 3 features and y 2"):
        domain_distance(rows, rows[:, :2])
    with pytest.raises(ValueError, match="at least five"):
        domain_distance(rows[:4], rows)
    with pytest.raises(ValueError, match="'proxy_a', 'mmd', 'coral', not 'cosine'"):
        domain_distance(rows, rows, method="cosine")
    with pytest.raises(ValueError, match="y holds values that are not finite"):
        domain_distance(rows, np.full((10, 3), np.nan))
    with pytest.raises(ValueError, match="no scale"):
        domain_distance(np.zeros((10, 3)), np.zeros((10, 3)), method="mmd")
