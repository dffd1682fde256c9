"""Corrections for other class shares, against Bayes' rule and a case with a known answer."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import norm

from tl_helpers.experiments.label_shift import adjust_to_prior, estimate_prior


def gaussian_posterior(x, prior):
    joint = norm.pdf(x[:, None], loc=[-1, 1]) * prior
    return joint / joint.sum(axis=1, keepdims=True)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_adjusting_gives_the_posterior_under_the_other_prior(source, target):
    x = np.linspace(-4, 4, 21)
    source, target = np.array([source, 1 - source]), np.array([target, 1 - target])
    adjusted = adjust_to_prior(gaussian_posterior(x, source), source, target)
    np.testing.assert_allclose(adjusted, gaussian_posterior(x, target), atol=1e-12)


def test_equal_priors_change_nothing():
    probabilities = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    prior = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(adjust_to_prior(probabilities, prior, prior), probabilities)


def test_the_prior_of_unlabelled_gaussians_is_found():
    random = np.random.default_rng(0)
    n, share = 200_000, 0.1
    x = np.where(random.random(n) < share, random.normal(-1, 1, n), random.normal(1, 1, n))
    half = np.array([0.5, 0.5])
    np.testing.assert_allclose(estimate_prior(gaussian_posterior(x, half), half), [share, 1 - share], atol=0.005)


def test_certain_answers_are_counted():
    probabilities = np.eye(3)[[0, 0, 0, 1]]
    np.testing.assert_allclose(estimate_prior(probabilities, np.full(3, 1 / 3)), [0.75, 0.25, 0], atol=1e-9)


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.5, 0.6, 0.1], [1.5, -0.5, 0.0]])
def test_what_is_no_prior_is_refused(prior):
    with pytest.raises(ValueError, match="target_prior must hold 3 shares"):
        adjust_to_prior(np.full((2, 3), 1 / 3), np.full(3, 1 / 3), prior)


def test_a_class_the_source_never_saw_is_refused():
    with pytest.raises(ValueError, match="share 0"):
        adjust_to_prior(np.full((2, 2), 0.5), [0, 1], [0.5, 0.5])
