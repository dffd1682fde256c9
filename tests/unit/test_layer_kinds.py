"""For every kind of layer that Keras has: frozen is still, also after saving, loading and copying; cached is equal."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from keras import layers

from tests.unit.layer_kinds import ENDING, FAMILIES, KEEPING, LEFT_OUT, chain, kinds_of_keras
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.freezing import freeze, freeze_all_but, unfreeze
from tl_helpers.training.frozen_prefix import DETERMINISTIC_LAYERS
from tl_helpers.training.report import changing_without_gradient, trainable_report
from tl_helpers.training.saving import copy_model, load_model, save_model
from tl_helpers.training.stillness import live_random_layers
from tl_helpers.training.weights import put_back, snapshot

HAVING_RECIPES = {kind for table in (KEEPING, ENDING) for kinds in table.values() for kind in kinds}
# What gives a mask, of which nothing that is stored could tell.
MASKING = {"Masking"}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
Y = np.array([1, 0, 0, 1, 0, 0, 1, 0])


def inputs(family):
    shape, dtype = FAMILIES[family]
    numbers = np.random.default_rng(0).uniform(0, 1, (8, *shape))
    return (9 * numbers).astype(dtype) if dtype == "int32" else numbers.astype(dtype)


def in_groups_of_four():
    """Put every kind into a chain: four at most, and one that changes the shape at its end."""
    for family, kinds in KEEPING.items():
        kinds, ends = list(kinds), list(ENDING[family])
        for number in range(max(-(-len(kinds) // 4), len(ends))):
            yield family, kinds[4 * number : 4 * number + 4] + ends[number : number + 1]


DETERMINISTIC = DETERMINISTIC_LAYERS & kinds_of_keras()


def body_weights(model):
    head = {id(weight) for layer in model.layers if layer.name.startswith("head") for weight in layer.weights}
    return [weight.numpy().copy() for weight in model.weights if id(weight) not in head]


def assert_still(model, family):
    """Train in plain Keras and compare every bit of the frozen body; the head must have moved."""
    before, head = body_weights(model), model.get_layer("head").get_weights()
    assert {id(weight) for weight in model.trainable_variables} == {id(w) for w in model.get_layer("head").weights}
    model.compile(keras.optimizers.SGD(0.1), LOSS, run_eagerly=True)
    model.fit(inputs(family), Y, batch_size=4, verbose=0)
    for old, new in zip(before, body_weights(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any((new != old).any() for new, old in zip(model.get_layer("head").get_weights(), head, strict=True))


def assert_still_in_every_copy(model, family, folder):
    assert_still(model, family)
    save_model(model, folder / "model.keras")
    assert_still(load_model(folder / "model.keras"), family)
    assert_still(copy_model(model), family)


def assert_cached_equals_plain(family, kinds, *, nested=False):
    """Train the head by `fit_transfer` with the frozen part run once, and run always."""
    fits = []
    for cache in ("auto", False):
        model, _ = chain(family, kinds, nested=nested)
        settings = {"learning_rate": 0.01, "updates": 3, "batch_size": 4, "seed": 0, "cache": cache}
        data = inputs(family), Y
        fits.append(fit_transfer(model, data, data, strategy="linear_probing", **settings))
    once, always = fits
    weighted = any(layer.weights for layer in once.model.layers if not layer.name.startswith("head"))
    allowed = weighted and set(kinds) <= DETERMINISTIC - MASKING
    assert once.cached or not allowed, once.note
    assert once.cached or once.note.startswith("The whole network was run in every update. ")
    exact = not once.cached or "bit for bit" in once.note
    for one, other in zip(once.model.get_weights(), always.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=0 if exact else 1e-5)
    np.testing.assert_allclose(
        once.history["validation_loss"], always.history["validation_loss"], rtol=0 if exact else 1e-4
    )


# ---------------------------------------------------------------- all kinds


def test_every_kind_has_a_recipe_or_a_reason():
    assert not HAVING_RECIPES & set(LEFT_OUT)
    assert HAVING_RECIPES | set(LEFT_OUT) >= kinds_of_keras()
    assert DETERMINISTIC - {"InputLayer"} <= HAVING_RECIPES and DETERMINISTIC_LAYERS - DETERMINISTIC <= {"ConvLSTMCell"}
    assert {kind for _, kinds in in_groups_of_four() for kind in kinds} == HAVING_RECIPES


@pytest.mark.parametrize(("family", "kinds"), list(in_groups_of_four()), ids=str)
def test_every_kind_is_still_and_cached_as_plain(family, kinds, tmp_path):
    model, _ = chain(family, kinds)
    freeze_all_but(model)
    assert_still_in_every_copy(model, family, tmp_path)
    assert_cached_equals_plain(family, kinds)


# ---------------------------------------------------------------- chains of them, at random


@st.composite
def chains(draw):
    family = draw(st.sampled_from([family for family in FAMILIES if KEEPING[family]]))
    kinds = draw(st.lists(st.sampled_from(sorted(KEEPING[family])), min_size=1, max_size=3))
    end = draw(st.sampled_from([None, *sorted(ENDING[family])]))
    return family, [*kinds, *([end] if end else [])]


WAYS = {
    "freeze the body": lambda model, body: freeze(body),
    "freeze all but the head": lambda model, body: freeze_all_but(model),
    "by Keras, then by the kit": lambda model, body: (setattr(body, "trainable", False), freeze(body)),
    "thawed and frozen again": lambda model, body: (freeze(model), unfreeze(model), freeze(body)),
}


# An example takes three seconds, and every kind was asked by itself above: few, and always the same ones.
DEEP = settings.get_current_profile_name() == "deep"


@settings(max_examples=500 if DEEP else 15, derandomize=not DEEP)
@given(what=chains(), way=st.sampled_from(sorted(WAYS)), nested=st.booleans())
def test_any_chain_is_still_and_cached_as_plain(what, way, nested, tmp_path_factory):
    family, kinds = what
    model, body = chain(family, kinds, nested=nested)
    WAYS[way](model, body)
    assert_still_in_every_copy(model, family, tmp_path_factory.mktemp("saved"))
    if nested or not body.trainable:
        body.trainable = True  # Keras's own second phase
        fresh, _ = chain(family, kinds, nested=nested)
        assert len(model.trainable_variables) == len(fresh.trainable_variables)
        assert len(live_random_layers(model)) == len(live_random_layers(fresh))
    assert_cached_equals_plain(family, kinds, nested=nested)


# ---------------------------------------------------------------- what has states of its own


def test_a_stateful_layer_is_named_and_refused():
    given = keras.Input((5, 4), batch_size=4)
    x = layers.LSTM(3, stateful=True, name="reader")(given)
    model = keras.Model(given, layers.Dense(2, name="head")(x))
    freeze_all_but(model)
    states = [variable.path for variable in changing_without_gradient(model)]
    assert len(states) == 2 and all("reader" in path for path in states)
    settings = {"strategy": "linear_probing", "learning_rate": 0.1, "updates": 2, "batch_size": 4, "seed": 0}
    with pytest.raises(ValueError, match=r"'reader' is stateful: .* Build it with stateful=False"):
        fit_transfer(model, (inputs("sequence"), Y), **settings)


def test_weights_that_move_without_a_gradient_are_named():
    model, _ = chain("vector", ["Dense", "BatchNormalization", "SpectralNormalization"])
    names = {variable.path.split("/")[-1] for variable in changing_without_gradient(model)}
    assert names == {"moving_mean", "moving_variance", "vector_u", "kernel"}
    assert len(trainable_report(model).attrs["without_gradient"]) == 4
    freeze_all_but(model)
    assert trainable_report(model).attrs["without_gradient"] == []
    before = snapshot(model)
    model(inputs("vector"), training=True)
    assert all((old == new).all() for old, new in zip(before, snapshot(model), strict=True))
    put_back(model, before)
