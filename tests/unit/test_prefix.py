"""A network is cut at the last place before anything moves, or a sentence says why not and where it could be."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.unit.networks import pictures, residual
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.heads import add_class_head
from tl_helpers.training.freezing import freeze, freeze_all_but, unfreeze
from tl_helpers.training.frozen_prefix import find_cut, split


@pytest.mark.parametrize(
    ("upto", "layer"),
    [
        ("stem", "stem_norm"),
        ("stem_conv", None),
        ("block1", "block1_add"),
        ("block2", "head_pool"),
        ("block2_add", "head_pool"),
        ("head_pool", "head_pool"),
    ],
)
def test_the_cut_is_the_last_place_before_anything_moves(upto, layer):
    model = residual()
    freeze(model, upto=upto)
    cut = find_cut(model)
    if layer is None:  # BatchNorm moves right after the convolution
        layer = "stem_conv"
    assert (cut.layer, cut.reason, cut.exact) == (layer, "", True)
    prefix, suffix = split(model, cut)
    assert suffix.get_layer("head") is model.get_layer("head")
    x = keras.ops.convert_to_tensor(pictures(3, (8, 8, 3)).astype("float32"))
    np.testing.assert_array_equal(suffix(prefix(x)), model(x))
    moving = {id(weight) for weight in model.trainable_variables}
    assert {id(weight) for weight in suffix.trainable_variables} == moving
    assert not prefix.trainable_variables


@pytest.mark.parametrize(
    ("upto", "crossing", "nearest"),
    [("block1_conv", 2, "stem_norm"), ("block1_drop", 2, "stem_norm"), ("block2_conv", 2, "block1_add")],
)
def test_inside_a_residual_block_the_nearest_place_is_named_and_nothing_is_built(upto, crossing, nearest, monkeypatch):
    model = residual()
    freeze(model, upto=upto)

    def fail(*_, **__):
        raise AssertionError("Keras 3.13 builds a broken model of such a cut without an error.")

    monkeypatch.setattr(keras, "Model", type("Model", (keras.Model,), {"__new__": fail}))
    cut = find_cut(model)
    monkeypatch.undo()
    assert cut.tensor is None and cut.layer is None and not cut.exact
    assert cut.reason == (
        f"{crossing} tensors leave the frozen part (it ends inside a residual block or has branches). "
        f"The nearest place where it can be cut is {nearest!r}: freeze up to there."
    )
    unfreeze(model)
    freeze(model, upto=nearest)
    assert find_cut(model).layer == nearest


def test_every_layer_of_lite0_is_a_cut_or_names_one_that_is():
    model = add_class_head(load_backbone(size=32, weights=None), 2, seed=0)
    named = 0
    for layer in model.layers[5:-1:13]:
        unfreeze(model)
        freeze(model, upto=layer.name)
        cut = find_cut(model)
        if cut.tensor is None:
            named += 1
            nearest = cut.reason.split("cut is '")[1].split("'")[0]
            unfreeze(model)
            freeze(model, upto=nearest)
            cut = find_cut(model)
        _, suffix = split(model, cut)
        assert {id(w) for w in suffix.trainable_variables} == {id(w) for w in model.trainable_variables}
    assert named > 2


def test_nothing_frozen_at_the_beginning():
    model = residual()
    nothing = "No layer with weights is frozen before the first one that moves."
    assert find_cut(model).reason == nothing
    model.get_layer("block2_conv").trainable = False
    model.get_layer("head").trainable = False
    assert "stem_conv" not in find_cut(model).reason and find_cut(model).tensor is None


def test_batch_norm_that_moves_inside_the_frozen_part():
    model = residual()
    freeze(model, upto="block1")
    model.get_layer("stem_norm").trainable = True
    cut = find_cut(model)
    assert cut.tensor is None
    assert cut.reason == (
        "The statistics of BatchNorm layer 'stem_norm' move, before the frozen part ends. tl_helpers.training.freeze "
        "stills it. The nearest place where it can be cut is 'stem_conv': freeze up to there."
    )


def test_dropout_that_is_live_inside_the_frozen_part():
    model = residual(drop=0.5)
    for layer in model.layers[:-1]:
        layer.trainable = False  # the Keras way: dropout goes on
    cut = find_cut(model)
    assert cut.tensor is None
    assert cut.reason.startswith("Layer 'block1_drop' draws random numbers in training, before the frozen part ends")
    assert cut.reason.endswith("The nearest place where it can be cut is 'stem_norm': freeze up to there.")
    freeze_all_but(model)
    assert find_cut(model).layer == "head_pool"


@pytest.mark.parametrize("augmentation", [layers.RandomFlip, lambda: layers.RandomRotation(0.1)])
def test_augmentation_before_the_frozen_part(augmentation):
    model = residual(after_stem=augmentation())
    freeze_all_but(model)
    cut = find_cut(model)
    assert cut.tensor is None
    assert cut.reason.startswith("Layer 'random_")
    assert "so its output differs in every epoch" in cut.reason


def test_a_frozen_part_that_ends_inside_a_nested_model():
    inner = residual()
    base = keras.Model(inner.input, inner.get_layer("block2_add").output, name="base")
    model = keras.Sequential([keras.Input((8, 8, 3)), base, layers.Flatten(), layers.Dense(2, name="head")])
    freeze(model, upto="block1")
    assert find_cut(model).reason.startswith(
        "The frozen part ends inside the nested model 'base', which cannot be cut."
    )
    freeze(model, upto="base")
    cut = find_cut(model)
    assert cut.layer == "flatten" or cut.layer.startswith("flatten_")


def test_two_outputs_and_two_inputs():
    image, other = keras.Input((4,), name="image"), keras.Input((4,), name="other")
    x = layers.Dense(3, name="low")(image)
    y = layers.Dense(3, name="high")(x)
    model = keras.Model(image, [layers.Dense(2, name="head")(y), x])
    freeze(model, upto="low")
    assert find_cut(model).layer == "low"  # what crosses is also given out, one tensor all the same
    freeze(model, upto="high")
    assert find_cut(model).reason.startswith("2 tensors leave the frozen part")
    model = keras.Model([image, other], layers.Dense(2, name="head")(layers.Concatenate(name="join")([y, other])))
    freeze(model, upto="join")
    cut = find_cut(model)
    assert cut.layer == "join" and not cut.exact


def test_layers_of_which_equality_was_not_tested_are_not_promised():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, name="conv")(image)
    x = layers.Multiply(name="gate")([x, layers.Conv2D(2, 3, name="other")(image)])
    model = keras.Model(image, layers.Dense(2, name="head")(layers.Flatten(name="flat")(x)))
    freeze_all_but(model)
    assert (find_cut(model).layer, find_cut(model).exact) == ("flat", False)
