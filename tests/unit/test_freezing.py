"""What is frozen stays as it is, what thaws is as it was, and the report says which is which."""

import json
import warnings
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from keras import layers

from tl_helpers.models.graph import leaves_of
from tl_helpers.models.small_network import small_cnn
from tl_helpers.training.freezing import freeze, freeze_all_but, is_stale, unfreeze
from tl_helpers.training.report import trainable_report
from tl_helpers.training.stage_rates import discriminative_optimizer
from tl_helpers.training.stillness import live_random_layers

X = np.random.default_rng(0).normal(1, 2, (12, 6, 6, 3)).astype("float32")
Y = np.arange(12) % 2
LOSS = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "jit_compile": False}


def network():
    """Two blocks, the second residual, each with BatchNorm and dropout, and a head with dropout."""
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="block1_conv")(image)
    x = layers.BatchNormalization(name="block1_norm")(x)
    x = block1 = layers.Dropout(0.5, seed=1, name="block1_drop")(layers.ReLU(name="block1_relu")(x))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="block2_conv")(x)
    x = layers.BatchNormalization(name="block2_norm")(x)
    x = layers.SpatialDropout2D(0.25, name="block2_drop")(x)
    x = layers.Add(name="block2_add")([x, block1])
    x = layers.Dropout(0.1, name="head_drop")(layers.GlobalAveragePooling2D(name="head_pool")(x))
    return keras.Model(image, layers.Dense(2, name="head")(x), name="network")


def frozen_names(model):
    return {layer.name for layer in leaves_of(model) if not layer.trainable}


def fit(model, *, eager=False):
    model.compile(keras.optimizers.SGD(0.1), **LOSS, run_eagerly=eager)  # faster where nothing is traced
    model.fit(X, Y, batch_size=4, verbose=0)


def moved(model, before):
    """Return the names of the layers whose weights or statistics differ from `before`."""
    return {
        layer.name
        for layer, old in zip(leaves_of(model), before, strict=True)
        if any((a != b).any() for a, b in zip(layer.get_weights(), old, strict=True))
    }


def weights_by_layer(model):
    return [[weight.copy() for weight in layer.get_weights()] for layer in leaves_of(model)]


BLOCK1 = {"image", "block1_conv", "block1_norm", "block1_relu", "block1_drop"}
BLOCK2 = {"block2_conv", "block2_norm", "block2_drop", "block2_add"}
HEAD = {"head_pool", "head_drop", "head"}

# ---------------------------------------------------------------- which layers


@pytest.mark.parametrize(
    ("upto", "frozen"),
    [
        (None, BLOCK1 | BLOCK2 | HEAD),
        ("block1", BLOCK1),
        ("block1_norm", {"image", "block1_conv", "block1_norm"}),
        ("block2_drop", BLOCK1 | BLOCK2 - {"block2_add"}),
        ("block2", BLOCK1 | BLOCK2),
        ("block2_add", BLOCK1 | BLOCK2),
    ],
)
def test_freeze_by_stage_and_by_layer(upto, frozen):
    model = network()
    freeze(model, upto=upto)
    assert frozen_names(model) == frozen
    assert model.trainable == (upto is not None)  # as Keras has it, where everything is frozen


def test_small_cnn_and_its_stages():
    model = small_cnn((28, 28, 1), 10, seed=0)
    freeze(model, upto="conv2")
    assert frozen_names(model) == {"image", "preprocess", "conv1", "conv2"}
    assert len(model.trainable_variables) == 6


def test_freezing_adds_up_and_one_layer_can_be_set_by_hand():
    model = network()
    model.get_layer("head").trainable = False
    freeze(model, upto="block1")
    assert frozen_names(model) == BLOCK1 | {"head"}
    model.get_layer("block1_conv").trainable = True
    assert [weight.path for weight in model.trainable_variables][:1] == ["block1_conv/kernel"]
    freeze(model, upto="block2")
    assert frozen_names(model) == BLOCK1 | BLOCK2 | {"head"}


def test_a_model_frozen_the_keras_way_stays_frozen_and_thaws():
    model = network()
    model.trainable = False
    freeze(model, upto="block1")
    assert frozen_names(model) == BLOCK1 | BLOCK2 | HEAD
    unfreeze(model, after="block1")
    assert frozen_names(model) == BLOCK1
    unfreeze(model)
    assert not frozen_names(model) and model.trainable


def state(model):
    return [
        (layer.name, layer.trainable, getattr(layer, "rate", None), repr(getattr(layer, "seed", None)))
        for layer in leaves_of(model)
    ]


PLACES = ["block1", "block1_conv", "block1_drop", "block2", "block2_norm", "block2_drop", "head_drop", "head"]


@pytest.fixture(scope="module")
def pair():
    return network(), network()


@settings(max_examples=30, deadline=None)
@given(place=st.sampled_from(PLACES), earlier=st.lists(st.sampled_from([None, *PLACES]), max_size=3))
def test_thawing_after_a_stage_is_freezing_up_to_it(pair, place, earlier):
    one, other = pair
    unfreeze(one)
    for upto in earlier:
        freeze(one, upto=upto)
    freeze(one)
    unfreeze(one, after=place)
    unfreeze(other)
    fresh = state(other)
    freeze(other, upto=place)
    assert state(one) == state(other) != fresh
    unfreeze(one)
    assert state(one) == fresh
    assert ("block1_drop", True, 0.5, "1") in fresh and ("block2_drop", True, 0.25, "None") in fresh


def test_batch_norm_may_stay_frozen():
    model = network()
    unfreeze(model, batch_norm=False)
    assert frozen_names(model) == {"block1_norm", "block2_norm"}
    freeze(model)
    unfreeze(model, after="block1", batch_norm=False)
    assert frozen_names(model) == BLOCK1 | {"block2_norm"}


def test_freeze_all_but_the_head():
    model = network()
    freeze_all_but(model)
    assert frozen_names(model) == BLOCK1 | BLOCK2
    assert [layer.name for layer in live_random_layers(model)] == ["head_drop"]
    with pytest.raises(ValueError, match=r"'network' has no layer with weights whose name starts with 'head_p'"):
        freeze_all_but(model, "head_p")
    assert frozen_names(model) == BLOCK1 | BLOCK2


@pytest.mark.parametrize("change", [lambda m: freeze(m, upto="block"), lambda m: unfreeze(m, after="block3")])
def test_unknown_stages_are_errors_that_list_what_there_is(change):
    model = network()
    before = state(model)
    with pytest.raises(ValueError, match=r"no layer or stage 'block3?'\. Its stages with weights: block1, block2"):
        change(model)
    assert state(model) == before


def test_a_model_without_a_graph_is_refused_by_stage():
    model = keras.Sequential([layers.Dense(2, name="block1")])
    with pytest.raises(ValueError, match=r"has no graph of layers.*keras\.Input"):
        freeze(model, upto="block1")


# ---------------------------------------------------------------- stillness


def test_everything_moves_where_nothing_is_frozen_and_nothing_where_all_is():
    model = network()
    before = weights_by_layer(model)
    fit(model)
    assert moved(model, before) == {"block1_conv", "block1_norm", "block2_conv", "block2_norm", "head"}
    freeze(model, upto="block2")
    before = weights_by_layer(model)
    fit(model)
    assert moved(model, before) == {"head"}
    features = keras.Model(model.input, model.get_layer("block2_add").output)
    np.testing.assert_array_equal(features(X, training=True), features(X, training=False))


def test_a_nested_base_frozen_by_itself_or_from_outside():
    for change in (
        lambda base, model: freeze(base),
        lambda base, model: freeze(model, upto=base.name),
        lambda base, model: freeze(model, upto="block2"),
        lambda base, model: freeze_all_but(model, "top"),
    ):
        whole = network()
        base = keras.Model(whole.input, whole.get_layer("block2_add").output, name="base")
        head = [layers.GlobalAveragePooling2D(name="top_pool"), layers.Dense(2, name="top")]
        model = keras.Sequential([keras.Input((6, 6, 3)), base, *head])
        change(base, model)
        assert BLOCK1 | BLOCK2 <= frozen_names(model) and "top" not in frozen_names(model)
        np.testing.assert_array_equal(base(X, training=True), base(X, training=False))
    before = weights_by_layer(model)
    fit(model, eager=True)
    assert moved(model, before) == {"top"}


def test_part_of_a_nested_base():
    whole = network()
    base = keras.Model(whole.input, whole.get_layer("block2_add").output, name="base")
    model = keras.Sequential([keras.Input((6, 6, 3)), base, layers.Flatten(), layers.Dense(2, name="head")])
    freeze(model, upto="block1")
    before = weights_by_layer(model)
    fit(model, eager=True)
    assert moved(model, before) == {"block2_conv", "block2_norm", "head"}


# ---------------------------------------------------------------- dropout, and saving

RANDOM = {
    "Dropout": lambda x: layers.Dropout(0.4, seed=3, name="drop")(x),
    "SpatialDropout1D": lambda x: layers.SpatialDropout1D(0.4, seed=3, name="drop")(x),
    "GaussianDropout": lambda x: layers.GaussianDropout(0.4, seed=3, name="drop")(x),
    "AlphaDropout": lambda x: layers.AlphaDropout(0.4, seed=3, name="drop")(x),
    "GaussianNoise": lambda x: layers.GaussianNoise(0.4, seed=3, name="drop")(x),
    "MultiHeadAttention": lambda x: layers.MultiHeadAttention(2, 4, dropout=0.4, seed=3, name="drop")(x, x),
    "GroupQueryAttention": lambda x: layers.GroupQueryAttention(4, 4, 2, dropout=0.4, seed=3, name="drop")(x, x),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_silenced_layers_come_back_also_after_saving(kind, tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")
    image = keras.Input((5, 8))
    model = keras.Model(image, layers.Dense(1, name="head")(RANDOM[kind](image)))
    config = model.get_layer("drop").get_config()
    assert (np.asarray(model(x, training=True)) != np.asarray(model(x, training=False))).any()
    freeze(model, upto="drop")
    freeze(model, upto="drop")  # once more: the rate kept is not the 0 that is there now
    assert live_random_layers(model) == []
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))

    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        saved = archive.read("config.json").decode()
    assert '"registered_name": "' not in saved.replace('"registered_name": "Functional"', "")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not any(layer.trainable for layer in loaded.layers if layer.name == "drop" and layer.weights)
    np.testing.assert_array_equal(loaded(x, training=True), model(x, training=False))
    for each in (model, loaded):
        unfreeze(each)
        assert each.get_layer("drop").get_config() == config
        assert [part.name for part in live_random_layers(each)][:1] == ["drop"]
        outputs = [np.asarray(each(x, training=True)) for _ in range(2)]
        assert (outputs[0] != outputs[1]).any() and (outputs[0] != np.asarray(each(x, training=False))).any()


def test_saving_keeps_freezing_and_a_fit_after_loading_moves_the_head_alone(tmp_path):
    model = network()
    freeze(model, upto="block2")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    still = {layer.name for layer in model.layers if layer.weights and not layer.trainable}
    assert still == {layer.name for layer in loaded.layers if layer.weights and not layer.trainable}
    freeze(loaded, upto="block1")  # already so
    unfreeze(loaded, after="block2")
    # Keras does not save whether spatial dropout is trainable, but silent it stays.
    assert [layer.name for layer in live_random_layers(loaded)] == ["head_drop"]
    before = weights_by_layer(loaded)
    fit(loaded)
    assert moved(loaded, before) == {"head"}
    unfreeze(loaded, after="block1")
    assert [layer.name for layer in live_random_layers(loaded)] == ["block2_drop", "head_drop"]
    before = weights_by_layer(loaded)
    fit(loaded)  # with a dropout layer that was loaded silent
    assert moved(loaded, before) == {"block2_conv", "block2_norm", "head"}


def test_the_file_of_a_frozen_model_names_layers_of_keras_only(tmp_path):
    model = network()
    freeze(model)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        described = json.loads(archive.read("config.json"))["config"]["layers"]
    assert {layer["module"] for layer in described} == {"keras.layers"}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_dropout_inside_a_recurrent_layer_is_still_too(kind):
    x = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")
    image = keras.Input((5, 8))
    reader = getattr(layers, kind)(3, dropout=0.5, recurrent_dropout=0.25, name="reader")
    model = keras.Model(image, layers.Dense(1, name="head")(reader(image)))
    assert (np.asarray(model(x, training=True)) != np.asarray(model(x, training=False))).any()
    freeze(model, upto="reader")
    assert live_random_layers(model) == []
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))
    unfreeze(model)
    assert (np.asarray(model(x, training=True)) != np.asarray(model(x, training=False))).any()


def test_layers_that_cannot_be_stilled_are_named():
    class Noise(layers.Layer):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.seed_generator = keras.random.SeedGenerator(0)

        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)

    image = keras.Input((8,))
    model = keras.Model(image, Noise(name="noise")(layers.Dense(3, name="low")(image)))
    with pytest.warns(UserWarning, match=r"'noise' \(Noise\) is frozen but goes on drawing .* no argument `training`"):
        freeze(model)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_recurrent_layer_without_dropout_is_still(kind):
    image = keras.Input((5, 8))
    model = keras.Model(image, getattr(layers, kind)(3, name="reader")(image))
    assert live_random_layers(model) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        freeze(model)
    live = keras.Model(image, getattr(layers, kind)(3, recurrent_dropout=0.5)(image))
    assert len(live_random_layers(live)) == 1


def test_augmentation_before_a_frozen_network_goes_on_without_a_warning():
    image = keras.Input((6, 6, 3))
    model = keras.Model(image, layers.Conv2D(2, 3, name="conv")(layers.RandomFlip(name="flip")(image)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        freeze(model)
    assert [layer.name for layer in live_random_layers(model)] == ["flip"]


# ---------------------------------------------------------------- report


def test_report():
    model = network()
    freeze(model, upto="block1_norm")
    unfreeze(model, after="block1_norm", batch_norm=False)
    report = trainable_report(model)
    assert list(report.index) == ["block1", "block2", "head"]
    assert report.to_dict("list") == {
        "state": ["frozen", "partly frozen", "moves"],
        "batch_norm": ["frozen", "frozen", ""],
        "random_layers": ["block1_drop", "block2_drop", "head_drop"],
        # Convolutions 3·3·3·4 and 3·3·4·4, BatchNorm 4·4 with its statistics, head 4·2+2.
        "parameters": [108 + 16, 144 + 16, 10],
        "trainable": [0, 144, 10],
        "share": [0.0, 144 / 154, 10 / 154],
    }
    assert report.attrs == {"stale": False, "without_gradient": []}
    assert report["parameters"].sum() == model.count_params()
    assert report["trainable"].sum() == sum(int(np.prod(each.shape)) for each in model.trainable_variables)


def test_report_where_statistics_move_and_where_nothing_does():
    model = network()
    assert trainable_report(model)["batch_norm"].tolist() == ["training", "training", ""]
    assert trainable_report(model)["trainable"].tolist() == [108 + 8, 144 + 8, 10]
    freeze(model, upto="block1_conv")
    assert trainable_report(model, {"all": "block2_add"})["batch_norm"].tolist() == ["training", ""]
    model.get_layer("block1_norm").trainable = False
    assert trainable_report(model, {"all": "block2_add"}).loc["all", "batch_norm"] == "mixed"
    freeze(model)
    report = trainable_report(model)
    assert set(report["state"]) == {"frozen"} and report["share"].tolist() == [0, 0, 0]


def test_report_of_a_nested_model_by_given_stages():
    whole = network()
    base = keras.Model(whole.input, whole.get_layer("block2_add").output, name="base")
    model = keras.Sequential([keras.Input((6, 6, 3)), base, layers.Flatten(), layers.Dense(2, name="top")])
    base.trainable = False
    report = trainable_report(model, {"early": "block1_drop", "late": "block2_add"})
    assert report["state"].to_dict() == {"early": "frozen", "late": "frozen", "head": "moves"}
    assert report["trainable"].tolist() == [0, 0, 6 * 6 * 4 * 2 + 2]


def test_stale_models_are_reported():
    model = network()
    freeze(model, upto="block2")
    fit(model)
    assert not is_stale(model) and not trainable_report(model).attrs["stale"]
    unfreeze(model)
    with pytest.warns(UserWarning, match="'network' was compiled and trained before this freezing.*Compile it anew"):
        assert trainable_report(model).attrs["stale"]
    freeze(model, upto="block2")  # as it was compiled; but dropout was on in between, and nothing was traced then
    model.compile(keras.optimizers.SGD(0.1), **LOSS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not trainable_report(model).attrs["stale"]


def test_a_change_of_dropout_alone_makes_a_model_stale():
    image = keras.Input((6, 6, 3))
    x = layers.Flatten()(layers.Dropout(0.5, name="drop")(image))
    model = keras.Model(image, layers.Dense(2, name="head")(x))
    fit(model)
    freeze(model, upto="drop")
    assert is_stale(model)
    fit(model)
    assert not is_stale(model)
    freeze(model, upto="drop")  # changes nothing
    assert not is_stale(model)


def test_a_model_that_was_compiled_but_not_trained_is_not_stale():
    model = network()
    model.compile(keras.optimizers.SGD(0.1), **LOSS)
    freeze(model, upto="block2")
    assert not is_stale(model)
    before = weights_by_layer(model)
    model.fit(X, Y, batch_size=4, verbose=0)
    assert moved(model, before) == {"head"}


# ---------------------------------------------------------------- how fast

FEATURES = np.random.default_rng(1).normal(size=(8, 5)).astype("float32")


def chain(names=("stage1", "stage2", "stage3", "head")):
    image = keras.Input((5,))
    x = image
    for number, name in enumerate(names):
        start = keras.initializers.GlorotUniform(seed=number)
        x = layers.Dense(4 if name != "head" else 2, kernel_initializer=start, name=name)(x)
    return keras.Model(image, x, name="chain")


def movements(optimizer, model, epochs=1, eager=True):
    before = weights_by_layer(model)
    model.compile(optimizer, **LOSS, run_eagerly=eager)
    model.fit(FEATURES, Y[:8], batch_size=8, epochs=epochs, verbose=0)
    return {
        layer.name: layer.get_weights()[0] - old[0] for layer, old in zip(leaves_of(model), before, strict=True) if old
    }


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_first_movements_are_those_of_each_rate_by_itself(kind):
    factors = {"stage1": 0.1, "stage2": 0.5}
    model = chain()
    got = movements(discriminative_optimizer(model, 0.01, factors, optimizer=kind), model)
    for name in ("stage1", "stage2", "stage3", "head"):
        optimizer = keras.optimizers.get(kind)
        optimizer.learning_rate = 0.01 * factors.get(name, 1.0)
        expected = movements(optimizer, chain())[name]
        assert expected.any()
        np.testing.assert_allclose(got[name], expected, rtol=0, atol=1e-7)  # 0.01 · 0.1 is rounded twice


def test_sgd_moves_in_proportion_to_the_factor():
    # Factors that are powers of two scale a float without rounding; what is left is the sum's rounding.
    whole = movements(keras.optimizers.SGD(0.5), chain())
    model = chain()
    got = movements(discriminative_optimizer(model, 0.5, {"stage1": 0.25, "head": 2.0}, optimizer="sgd"), model)
    for name, factor in {"stage1": 0.25, "stage2": 1.0, "stage3": 1.0, "head": 2.0}.items():
        np.testing.assert_allclose(got[name], factor * whole[name], rtol=0, atol=1e-7)


def test_adam_moves_in_proportion_to_the_factor():
    model = chain()
    got = movements(discriminative_optimizer(model, 1e-3, {"stage1": 0.1}), model)
    assert np.abs(got["stage1"]).max() == pytest.approx(1e-4, rel=1e-2)
    assert np.abs(got["head"]).max() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="from Keras 3.15")
@pytest.mark.parametrize(
    "kind", ["sgd", "adam", keras.optimizers.RMSprop(rho=0.5), keras.optimizers.AdamW(weight_decay=0.1), "nadam"]
)
def test_an_optimizer_of_its_own_for_each_factor_gives_the_same_weights(kind):
    def schedule(factor):
        return keras.optimizers.schedules.PolynomialDecay(0.01 * factor, 8, end_learning_rate=0.001 * factor)

    def of_its_own(factor):
        template = keras.optimizers.get(kind)
        return type(template).from_config(template.get_config() | {"learning_rate": schedule(factor)})

    model = chain()
    freeze(model, upto="stage1")
    got = movements(
        discriminative_optimizer(model, schedule(1), {"stage2": 0.25, "head": 4.0}, optimizer=kind), model, 6, False
    )
    assert not is_stale(model)
    freeze(model, upto="stage2")
    assert is_stale(model)
    model = chain()
    freeze(model, upto="stage1")
    separate = keras.optimizers.OptimizerMap(of_its_own(1), {"stage2/.*": of_its_own(0.25), "head/.*": of_its_own(4)})
    expected = movements(keras.optimizers.MultiOptimizer(separate), model, 6, False)
    assert not got["stage1"].any() and got["stage2"].any()
    for name in got:
        np.testing.assert_allclose(got[name], expected[name], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda factor: keras.optimizers.schedules.CosineDecay(
            0.1 * factor, 4, alpha=0.1, warmup_target=factor, warmup_steps=2
        ),
        lambda factor: keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1 * factor, 0.01 * factor]),
        lambda factor: lambda: 0.5 * factor,
    ],
)
def test_a_schedule_is_scaled_as_a_whole(schedule):
    model = chain()
    optimizer = discriminative_optimizer(model, schedule(1.0), {"stage1": 0.25}, optimizer="sgd")
    got, expected = movements(optimizer, model, 1), movements(keras.optimizers.SGD(schedule(0.25)), chain(), 1)
    np.testing.assert_allclose(got["stage1"], expected["stage1"], rtol=1e-5, atol=1e-7)


def test_a_number_divides_once_more_per_stage():
    # Howard and Ruder 2018: 1, .385, .148, .057.
    model = chain()
    whole = movements(keras.optimizers.SGD(0.1), chain())
    got = movements(discriminative_optimizer(model, 0.1, 2.6, optimizer="sgd"), model)
    ratios = [float((got[name] / whole[name]).mean()) for name in ("head", "stage3", "stage2", "stage1")]
    np.testing.assert_allclose(ratios, [1, 0.385, 0.148, 0.057], atol=5e-4)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"stage4": 0.1}, r"no layer or stage 'stage4'\. Its stages with weights: stage1, stage2, stage3, head"),
        ({"stage": 0.1}, "no layer or stage 'stage'"),
        ({"stage1": 0}, "The factor of stage 'stage1' must be above 0, not 0. To freeze it, use freeze"),
        ({"stage1": -1.0}, "above 0"),
        ({"stage1": float("nan")}, "above 0"),
        (0, "factors must be above 0, not 0"),
        ({"input_layer": 0.1}, "has no weights, so it has no learning rate"),
    ],
)
def test_factors_that_fit_nothing_are_errors(factors, message):
    model = chain()
    model.layers[0].name = "input_layer"
    with pytest.raises(ValueError, match=message):
        discriminative_optimizer(model, 0.1, factors)


def test_no_layer_has_two_factors():
    with pytest.raises(ValueError, match="Stages 'block1' and 'block1_conv' both cover layer 'block1_conv'"):
        discriminative_optimizer(network(), 0.1, {"block1": 0.1, "block1_conv": 0.2})


def test_weights_with_the_same_path_have_each_their_own_factor():
    def tower(name):
        image = keras.Input((5,))
        return keras.Model(image, layers.Dense(2, name="dense", kernel_initializer="ones")(image), name=name)

    image = keras.Input((5,))
    one, other = tower("one"), tower("other")
    model = keras.Model(image, layers.Add()([one(image), other(image)]))
    assert one.weights[0].path == other.weights[0].path
    optimizer = discriminative_optimizer(model, 1.0, {"one": 0.25}, optimizer="sgd")
    optimizer.apply([keras.ops.ones(weight.shape) for weight in model.weights], model.weights)
    np.testing.assert_array_equal(one.get_weights()[0], np.full((5, 2), 0.75))
    np.testing.assert_array_equal(other.get_weights()[0], np.zeros((5, 2)))


def test_a_nested_model_has_its_factors_also_after_loading(tmp_path):
    inner = chain(("stage1", "stage2"))
    model = keras.Sequential([keras.Input((5,)), inner, layers.Dense(2, name="head")])
    start = weights_by_layer(model)
    got = movements(discriminative_optimizer(model, 0.1, {"stage1": 0.5}, optimizer="sgd"), model)
    for layer, old in zip(leaves_of(model), start, strict=True):
        layer.set_weights(old)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert not loaded.compiled
    again = movements(discriminative_optimizer(loaded, 0.1, {"stage1": 0.5}, optimizer="sgd"), loaded)
    for name in ("stage1", "stage2", "head"):
        np.testing.assert_array_equal(got[name], again[name])
    for layer, old in zip(leaves_of(loaded), start, strict=True):
        layer.set_weights(old)
    plain = movements(keras.optimizers.SGD(0.1), loaded)
    np.testing.assert_allclose(again["stage1"], 0.5 * plain["stage1"], rtol=0, atol=1e-7)


# One optimizer, but for the rates: what its settings do to one, they do to the rates of all stages.


def two_stages(**settings):
    """Return two weights (3, 4) and (12,) in stages with factors 1/2 and 2, and an optimizer of them."""
    image = keras.Input((1,))
    first = layers.Dense(2, use_bias=False, name="first")(image)
    model = keras.Model(image, layers.Dense(1, use_bias=False, name="head")(first), name="two_stages")
    model.set_weights([np.float32([[3, 4]]), np.float32([[12], [0]])])
    optimizer = discriminative_optimizer(
        model, 0.5, {"first": 0.5, "head": 2.0}, optimizer=keras.optimizers.SGD(**settings)
    )
    return model, optimizer


def step(model, optimizer, first=(3, 4), head=(12, 0)):
    """Apply gradients and return the weights."""
    gradients = [keras.ops.convert_to_tensor(np.float32([first])), keras.ops.convert_to_tensor(np.float32([head]).T)]
    optimizer.apply(gradients, model.trainable_variables)
    return [[float(value) for value in np.ravel(weight)] for weight in model.get_weights()]


@pytest.mark.parametrize(
    ("settings", "first", "head"),
    [
        ({}, [3 - 0.75, 4 - 1], [12 - 12, 0]),
        # The norm of all gradients is 13: clipped to 6.5, they are halved. The first stage's alone is 5.
        ({"global_clipnorm": 6.5}, [3 - 0.375, 4 - 0.5], [12 - 6, 0]),
        ({"clipnorm": 5}, [3 - 0.75, 4 - 1], [12 - 5, 0]),
        ({"clipvalue": 4}, [3 - 0.75, 4 - 1], [12 - 4, 0]),
        ({"weight_decay": 0.5}, [3 * 0.875 - 0.75, 4 * 0.875 - 1], [12 * 0.5 - 12, 0]),
        ({"loss_scale_factor": 2.0}, [3 - 0.375, 4 - 0.5], [12 - 6, 0]),
        ({"gradient_accumulation_steps": 2}, [3, 4], [12, 0]),
    ],
)
def test_settings_act_on_all_stages_together(settings, first, head):
    got = step(*two_stages(**settings))
    np.testing.assert_allclose(got[0], first, rtol=1e-6)
    np.testing.assert_allclose(got[1], head, rtol=1e-6)


def test_gradients_are_accumulated_clipped_together_and_averaged():
    model, optimizer = two_stages(gradient_accumulation_steps=2, global_clipnorm=6.5)
    step(model, optimizer, (6, 8), (0, 0))
    np.testing.assert_allclose(step(model, optimizer, (0, 0), (24, 0))[1], [6, 0], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], [[3 - 0.375, 4 - 0.5]], rtol=1e-6)
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize("frequency", [None, 2])
def test_the_moving_average_is_that_of_the_weights_of_every_stage(frequency):
    model, optimizer = two_stages(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=frequency)
    assert step(model, optimizer) == [[2.25, 3.0], [0.0, 0.0]]  # the average begins with the first
    last = step(model, optimizer)
    if frequency is None:
        assert last == [[1.5, 2.0], [-12.0, 0.0]]
        optimizer.finalize_variable_values(model.trainable_variables)
        last = [list(np.ravel(weight)) for weight in model.get_weights()]
    assert last == [[1.875, 2.5], [-6.0, 0.0]]


@pytest.mark.parametrize("how", ["var_names", "var_list"])
def test_what_is_excluded_from_weight_decay_stays_excluded(how):
    model = chain(("stage1", "head"))
    start = model.get_weights()
    template = keras.optimizers.SGD(weight_decay=0.5)
    biases = [weight for weight in model.weights if weight.name == "bias"]
    for bias in biases:
        bias.assign(keras.ops.ones(bias.shape))
    template.exclude_from_weight_decay(**({"var_names": ["bias"]} if how == "var_names" else {"var_list": biases}))
    optimizer = discriminative_optimizer(model, 0.5, {"stage1": 0.5}, optimizer=template)
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in model.weights], model.weights)
    for bias in biases:
        np.testing.assert_array_equal(bias.numpy(), np.ones(bias.shape))
    np.testing.assert_allclose(model.get_weights()[0], 0.875 * start[0], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[2], 0.75 * start[2], rtol=1e-6)


def test_a_callback_that_sets_the_rate_keeps_the_factors():
    rates = [0.5, 0.25]
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch])
    factors, models = {"stage1": 0.25, "head": 2.0}, []
    for discriminative in (True, False):
        model = chain(("stage1", "head"))
        if discriminative:
            optimizer = discriminative_optimizer(model, 0.1, factors, optimizer="sgd")
            model.compile(optimizer, **LOSS)
            model.fit(FEATURES, Y[:8], batch_size=8, epochs=2, verbose=0, callbacks=[scheduler])
            assert float(optimizer.learning_rate) == 0.25
        else:
            for rate in rates:
                # One step of plain gradient descent by hand.
                before = model.get_weights()
                model.compile(keras.optimizers.SGD(1.0), **LOSS, run_eagerly=True)
                model.fit(FEATURES, Y[:8], batch_size=8, verbose=0)
                scales = [rate * factors[weight.path.split("/")[0]] for weight in model.weights]
                after = model.get_weights()
                model.set_weights([a + s * (b - a) for a, b, s in zip(before, after, scales, strict=True)])
        models.append(model)
    for got, expected in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_a_rate_set_by_hand_in_either_way_keeps_the_factors():
    model, optimizer = two_stages()
    optimizer.learning_rate = 0.25
    assert step(model, optimizer) == [[3 - 0.375, 4 - 0.5], [12 - 6, 0]]
    optimizer.learning_rate.assign(0.5)
    assert step(model, optimizer) == [[3 - 0.375 - 0.75, 4 - 0.5 - 1], [12 - 6 - 12, 0]]
    optimizer.learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay([9], [0.25, 0.0])
    assert step(model, optimizer) == [[3 - 1.5, 4 - 2], [12 - 24, 0]]


KINDS = st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop", "Nadam", "Adafactor", "Lion", "Muon", "Ftrl", "Adadelta"])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kind=KINDS,
    clip=st.sampled_from([{}, {"global_clipnorm": 0.01}, {"clipnorm": 0.01}, {"clipvalue": 0.001}]),
    decay=st.sampled_from([{}, {"weight_decay": 0.1}]),
    ema=st.sampled_from([{}, {"use_ema": True}, {"use_ema": True, "ema_overwrite_frequency": 2}]),
    other=st.sampled_from([{}, {"gradient_accumulation_steps": 2}, {"loss_scale_factor": 3.0}]),
    scheduled=st.booleans(),
    factors=st.sampled_from([1.0, {"stage1": 1.0}, {"stage2": 1.0, "head": 1}]),
)
def test_with_all_factors_1_it_is_the_plain_optimizer(kind, clip, decay, ema, other, scheduled, factors):
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5) if scheduled else 0.05
    made = {"learning_rate": rate, **clip, **decay, **ema, **other}
    results = []
    for discriminative in (True, False):
        model, optimizer = chain(("stage1", "stage2", "head")), getattr(keras.optimizers, kind)(**made)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        if discriminative:
            optimizer = discriminative_optimizer(model, rate, factors, optimizer=optimizer)
        for number in range(3):
            random = np.random.default_rng(number)
            gradients = [keras.ops.convert_to_tensor(random.normal(0, 1, w.shape), "float32") for w in model.weights]
            optimizer.apply(gradients, model.trainable_variables)
        results.append(model.get_weights())
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        pytest.param(
            lambda: keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD())),
            marks=pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="from Keras 3.15"),
        ),
    ],
)
def test_an_optimizer_around_another_is_refused(optimizer):
    with pytest.raises(ValueError, match=r"Optimizer hands its updates on to other optimizers, .* Give the optimizer"):
        discriminative_optimizer(chain(), 0.1, 2.6, optimizer=optimizer())


def test_factors_are_not_taken_over_from_another_optimizer():
    model, optimizer = two_stages(momentum=0.0)
    again = discriminative_optimizer(model, 0.5, {"first": 0.5}, optimizer=optimizer)
    assert step(model, again) == [[3 - 0.75, 4 - 1], [12 - 6, 0]]


def test_another_model_is_refused_and_so_are_weights_that_came_later():
    _, optimizer = two_stages()
    with pytest.raises(ValueError, match=r"the learning rates of 'two_stages' .* none for 'first/kernel'"):
        step(two_stages()[0], optimizer)
    model, optimizer = two_stages()
    model.get_layer("head").enable_lora(1)
    with pytest.raises(ValueError, match=r"none for 'head/lora_kernel_a'.* Make another"):
        optimizer.build(model.trainable_variables)


def test_loading_a_model_with_it_says_what_to_do(tmp_path):
    model, optimizer = two_stages()
    model.compile(optimizer, loss="mse")
    model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match=r"DiscriminativeSGD.*load_model\(path, compile=False\), then discriminative"):
        keras.models.load_model(tmp_path / "model.keras")
    assert not keras.models.load_model(tmp_path / "model.keras", compile=False).compiled
