"""Data that do not fit are named, with the place and the cure, before anything is touched; those that fit are taken."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.unit.networks import COMMON, HELD_OUT, SHAPE, TRAIN, moved, network
from tl_helpers.adaptation import coral, fit_coral, fit_dann, standardise
from tl_helpers.feature_maps import activation_maps, find_peaks, stage_features
from tl_helpers.features import extract_features, probe, run_once
from tl_helpers.label_shift import adjust_to_prior
from tl_helpers.models import body_of
from tl_helpers.multitask import fit_pcgrad
from tl_helpers.rates import lr_find, tune_learning_rate
from tl_helpers.similarity import cka, domain_distance
from tl_helpers.training import accuracy, fit_transfer, mean_recall
from tl_helpers.training_data import check_finite
from tl_helpers.weights import snapshot

X, Y = TRAIN


def with_hole(value=np.nan, row=5):
    """The training images as floats, one pixel of one of them spoiled."""
    x = X.astype("float32")
    x[row, 3, 3] = value
    return x


# ---------------------------------------------------------------- finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_how_many_are_not_finite_and_where_the_first_is(value, dtype):
    array = np.zeros((7, 3, 2), dtype)
    assert check_finite(array, "a") == (0, 0)
    array[4, 1] = array[6, 2, 0] = value
    with pytest.raises(ValueError, match=r"a holds values that are not finite .*: 3 of 42, the first in example 4\. Leav"):
        check_finite(array, "a")
    with pytest.raises(ValueError, match=r"keep = np\.isfinite\(a\)\.all\(axis=\(1, 2\)\)"):
        check_finite(array, "a")


@pytest.mark.parametrize("shape", [(400_000,), (3, 200_000), (2, 300, 400, 3), (300_001, 2)])
def test_no_part_of_a_large_array_is_left_out(shape):
    array = np.random.default_rng(0).normal(size=shape).astype("float32")
    assert check_finite(array, "a") == (array.min(), array.max())
    for place in (0, array.size // 3, array.size // 2, array.size - 1):
        holed = array.copy()
        holed.flat[place] = np.nan
        row = np.unravel_index(place, shape)[0]
        with pytest.raises(ValueError, match=f": 1 of {array.size}, the first in example {row}\\."):
            check_finite(holed, "a")
        with pytest.raises(ValueError, match=f": 1 of {array.size}, the first in example {shape[0] - 1 - row}\\."):
            check_finite(holed[::-1], "a")  # a view, not contiguous


def test_a_number_too_large_for_the_network_is_as_good_as_infinite():
    check_finite(np.full((2, 2), 1e300), "a")
    x = X.astype("float64")
    x[7, 0, 0] = 1e39
    with pytest.raises(ValueError, match=r"infinite or beyond 3\.4e\+38\): 1 of 1728, the first in example 7"):
        fit_transfer(network(), (x, Y), strategy="fine_tuning", **COMMON)


def test_whole_numbers_and_truth_values_need_no_look():
    for array in (X, Y, X > 3, np.array(["a"])):
        assert np.isnan(check_finite(array, "a")).all()
    with pytest.raises(ValueError, match="complex"):
        check_finite(np.ones(3) * 1j, "a")


NUMBERS = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")


def spoiled(array):
    """A copy with a NaN in row 5."""
    copy = array.copy()
    copy[5, 0] = np.nan
    return copy


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda m: fit_transfer(m, (with_hole(), Y), strategy="scratch", **COMMON), "x of train"),
        (lambda m: fit_transfer(m, TRAIN, (with_hole(), Y), strategy="scratch", **COMMON), "x of validation"),
        (lambda m: fit_transfer(m, (X, spoiled(NUMBERS)), strategy="lp_ft", loss="mse", **COMMON), "y of train"),
        (lambda m: lr_find(m, (with_hole(), Y)), "x of train"),
        (lambda m: lr_find(m, (X, spoiled(NUMBERS)), loss="mse"), "y of train"),
        (lambda m: accuracy(m, (with_hole(), Y)), "x of data"),
        (lambda m: mean_recall(m, (with_hole(), Y)), "x of data"),
        (lambda m: fit_pcgrad(m, (with_hole(), NUMBERS), ["mse"], **COMMON), "x of train"),
        (lambda m: fit_dann(m, (with_hole(), Y), X, layer="conv2", **COMMON), "x of source"),
        (lambda m: fit_dann(m, TRAIN, with_hole(), layer="conv2", **COMMON), "target"),
        (lambda m: fit_coral(m, TRAIN, with_hole(), **COMMON), "target"),
        (lambda m: extract_features(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: stage_features(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: activation_maps(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: find_peaks(body_of(m, "conv2"), with_hole()), "x"),
        (lambda m: run_once(m, with_hole(), batch_size=4, cache={}), "x"),
        (lambda m: probe(spoiled(NUMBERS), Y), "features"),
        (lambda m: standardise(NUMBERS, like=spoiled(NUMBERS)), "like"),
        (lambda m: coral(NUMBERS, spoiled(NUMBERS)), "target"),
        (lambda m: cka(NUMBERS, spoiled(NUMBERS)), "y"),
        (lambda m: domain_distance(spoiled(NUMBERS), NUMBERS), "x"),
        (lambda m: adjust_to_prior(spoiled(NUMBERS), np.ones(3) / 3, np.ones(3) / 3), "probabilities"),
    ],
)
def test_wherever_data_enter_they_must_be_finite_and_nothing_is_touched(use, name):
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match=rf"^{name} holds values that are not finite .* the first in example 5\."):
        use(model)
    assert not moved(model, before) and not model.compiled


def test_a_rate_is_not_blamed_for_the_data():
    with pytest.raises(ValueError, match="x of validation holds values that are not finite"):
        tune_learning_rate(network, TRAIN, (with_hole(), Y), strategy="scratch", rates=[0.1, 0.01], updates=2)
