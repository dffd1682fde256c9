"""Several tasks at once: packing and measuring, weights given and learned, conflicting gradients, forgetting."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.models.boxes import box_iou, box_loss
from tl_helpers.models.masks import mask_loss
from tl_helpers.models.small_network import small_cnn, small_cnn_body
from tl_helpers.training import multitask
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.multitask import (
    TASKS,
    LogVariances,
    add_scene_heads,
    fit_pcgrad,
    forgetting,
    measure_scenes,
    pcgrad,
    scene_loss,
    scene_targets,
    weigh_by_uncertainty,
)

SIDE = 16


def make_scenes(n=24, seed=0):
    """Scenes of one bright rectangle, wide (class 0) or tall (class 1)."""
    random = np.random.default_rng(seed)
    x, masks = random.integers(0, 60, (n, SIDE, SIDE, 1), "uint8"), np.zeros((n, SIDE, SIDE), bool)
    y, boxes = np.arange(n) % 2, np.zeros((n, 4), "float32")
    for number, label in enumerate(y):
        width, height = (8, 4) if label == 0 else (4, 8)
        left, top = random.integers(0, SIDE - width), random.integers(0, SIDE - height)
        masks[number, top : top + height, left : left + width] = True
        boxes[number] = left, top, left + width, top + height
    x[masks] = 255
    task = Task("wide or tall", ("wide", "tall"))
    return Dataset(x, y, Domain("d", x.shape[1:]), task, "test", y.astype(str), boxes=boxes, masks=masks)


def make_model(seed=0, **settings):
    return add_scene_heads(small_cnn_body((SIDE, SIDE, 1), seed=seed), 2, seed=seed, **settings)


def perfect_output(scenes):
    """What a model without fault would answer."""
    targets = scene_targets(scenes)
    cells = np.zeros((len(scenes), 4, 5), "float32")
    for cell, (index, *rest) in zip(cells, targets[:, 1:6], strict=True):
        cell[int(index)] = [50, *rest]
    masks = 100 * targets[:, 6:] - 50
    return np.concatenate([50 * np.eye(2)[scenes.y], cells.reshape(len(scenes), -1), masks], axis=1).astype("float32")


class Answers:
    """A model that has one answer to whatever it is asked, as far as measuring needs a model."""

    def __new__(cls, output):
        image = keras.Input((SIDE, SIDE, 1))
        flat = keras.layers.Flatten()(image)
        layer = keras.layers.Dense(output.shape[1], kernel_initializer="zeros")
        model = keras.Model(image, layer(flat))
        layer.set_weights([np.zeros((SIDE * SIDE, output.shape[1])), output[0]])
        return model


# ---------------------------------------------------------------- heads and targets


def test_heads_are_packed_in_order_and_named():
    model = make_model()
    assert model.output.shape == (None, 2 + 5 * 4 + SIDE * SIDE)
    learning = {layer.name for layer in model.layers if layer.weights}
    assert learning == {"conv1", "conv2", "conv3", "conv4", "head_class", "head_box", "head_mask"}
    assert all(layer.name.startswith(("head_", "conv")) for layer in model.layers[2:])


def test_the_class_is_read_where_the_box_head_believes_the_target():
    model, x = make_model(), make_scenes(3).x
    cells = keras.Model(model.input, model.get_layer("conv4").output)(x)
    kernel, bias = model.get_layer("head_class").get_weights()
    belief = np.asarray(model(x))[:, 2 : 2 + 5 * 4].reshape(3, 4, 5)[..., 0]
    weights = np.exp(belief) / np.exp(belief).sum(axis=1, keepdims=True)
    pooled = np.einsum("nk,nkd->nd", weights, np.asarray(cells).reshape(3, 4, -1))
    np.testing.assert_allclose(np.asarray(model(x))[:, :2], pooled @ kernel + bias, atol=1e-5)
    # Where it is sure of a cell, only that cell counts.
    box_kernel, box_bias = model.get_layer("head_box").get_weights()
    model.get_layer("head_box").set_weights([box_kernel * 1e4, box_bias])
    sure = np.asarray(cells).reshape(3, 4, -1)[np.arange(3), belief.argmax(axis=1)]
    np.testing.assert_allclose(np.asarray(model(x))[:, :2], sure @ kernel + bias, atol=1e-5)


def test_targets_are_class_box_and_mask():
    scenes = make_scenes(4)
    targets = scene_targets(scenes)
    assert targets.dtype == np.float32 and targets.shape == (4, 6 + SIDE * SIDE)
    np.testing.assert_array_equal(targets[:, 0], scenes.y)
    left, top, right, bottom = scenes.boxes.T
    index = (top + bottom) / 2 // 8 * 2 + (left + right) / 2 // 8
    np.testing.assert_array_equal(targets[:, 1], index)
    np.testing.assert_array_equal(targets[:, 4], (right - left) / 8)
    np.testing.assert_array_equal(targets[:, 6:].reshape(4, SIDE, SIDE), scenes.masks)


def test_scenes_without_boxes_are_refused():
    scenes = make_scenes(2)
    bare = Dataset(scenes.x, scenes.y, scenes.domain, scenes.task, "test", scenes.ids)
    with pytest.raises(ValueError, match="Scenes need boxes, masks"):
        scene_targets(bare)


def test_measures_of_a_model_without_fault_and_of_one_that_always_says_the_same():
    scenes = make_scenes(8)
    output = perfect_output(scenes)
    one = scenes.subset([0])
    assert measure_scenes(Answers(output[:1]), one) == {"class": 100, "box": pytest.approx(100), "mask": 100}
    measured = measure_scenes(Answers(output[:1]), scenes)
    assert measured["class"] == 50
    expected = box_iou(np.tile(scenes.boxes[:1], (8, 1)), scenes.boxes).mean()
    assert measured["box"] == pytest.approx(100 * expected) and 0 < expected < 1
    assert measured["mask"] == pytest.approx(measured["box"])  # here the masks fill their boxes


# ---------------------------------------------------------------- losses


def test_the_loss_is_the_weighted_sum_of_the_tasks_losses():
    scenes = make_scenes(6)
    targets = scene_targets(scenes)
    output = np.random.default_rng(0).normal(size=(6, 2 + 20 + SIDE * SIDE)).astype("float32")
    logits = output[:, :2]
    expected = {
        "class": np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), scenes.y]),
        "box": np.mean(box_loss(targets[:, 1:6], output[:, 2:22].reshape(-1, 2, 2, 5))),
        "mask": np.mean(mask_loss(scenes.masks, output[:, 22:].reshape(-1, SIDE, SIDE))),
    }
    for task in TASKS:
        np.testing.assert_allclose(scene_loss({task: 1})(targets, output), expected[task], rtol=1e-5)
    weights = {"class": 0.5, "box": 2.0, "mask": 0.0}
    np.testing.assert_allclose(
        scene_loss(weights)(targets, output), 0.5 * expected["class"] + 2 * expected["box"], rtol=1e-5
    )
    # σ² = 1 halves every loss; σ² = e makes it L / (2 e) + 1/2.
    learned = np.concatenate([output, np.zeros((6, 3), "float32")], axis=1)
    np.testing.assert_allclose(scene_loss("uncertainty")(targets, learned), sum(expected.values()) / 2, rtol=1e-5)
    learned[:, -1] = 1
    changed = (expected["class"] + expected["box"] + expected["mask"] / np.e + 1) / 2
    np.testing.assert_allclose(scene_loss("uncertainty")(targets, learned), changed, rtol=1e-5)


def test_a_model_without_fault_has_no_loss():
    scenes = make_scenes(6)
    for task in TASKS:
        assert float(scene_loss({task: 1})(scene_targets(scenes), perfect_output(scenes))) < 1e-6


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"depth": 1}, "There is no task 'depth'; the tasks are class, box, mask"),
        ({"class": -1}, "at least 0"),
        ({"class": float("nan")}, "at least 0"),
        ({"class": 0, "box": 0}, "one of them above"),
        ({}, "one of them above"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        scene_loss(weights)


def test_training_moves_only_what_the_loss_asks_for_and_can_be_resumed_and_saved(tmp_path):
    scenes = make_scenes()
    data = scenes.x, scene_targets(scenes)
    how = {"strategy": "fine_tuning", "learning_rate": 3e-3, "updates": 6, "batch_size": 8, "seed": 0}
    resume = tmp_path / "run.npz"
    model = make_model()
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    fit_transfer(model, data, loss=scene_loss({"class": 1, "box": 1, "mask": 0}), resume=resume, **how)
    moved = {name for name, old in before.items() if (model.get_layer(name).get_weights()[0] != old[0]).any()}
    assert moved == set(before) - {"head_mask"}
    again = make_model()
    fit_transfer(again, data, loss=scene_loss({"box": 1.0, "class": 1.0}), resume=resume, **how)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit_transfer(make_model(), data, loss=scene_loss({"class": 1, "box": 2}), resume=resume, **how)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(scenes.x), model(scenes.x))
    assert loaded.loss.get_config()["weights"] == {"class": 1.0, "box": 1.0}


# ---------------------------------------------------------------- uncertainty


positive = st.floats(0.01, 100)


@settings(deadline=None, max_examples=30)
@given(positive, st.floats(-3, 3))
def test_the_best_variance_is_the_loss(loss, step):
    at_best = float(weigh_by_uncertainty(np.array([loss]), np.log([loss])))
    assert at_best == pytest.approx(0.5 + 0.5 * np.log(loss), abs=1e-5)
    assert float(weigh_by_uncertainty(np.array([loss]), np.log([loss]) + step)) >= at_best - 1e-5


def test_trained_variances_end_at_the_losses():
    losses = np.float32([0.2, 1.0, 3.0])
    inputs = keras.Input((1,))
    model = keras.Model(inputs, LogVariances(3)(inputs))
    model.compile(keras.optimizers.Adam(0.01), loss=lambda target, output: weigh_by_uncertainty(target, output))
    assert np.asarray(model(np.zeros((2, 1)))).tolist() == [[0, 0, 0]] * 2
    model.fit(np.zeros((64, 1)), np.tile(losses, (64, 1)), batch_size=1, epochs=6, verbose=0)
    np.testing.assert_allclose(np.exp(model(np.zeros((1, 1)))[0]), losses, rtol=0.02)


def test_uncertainty_is_learned_with_the_scenes_and_survives_saving(tmp_path):
    scenes = make_scenes()
    model = make_model(uncertainty=True)
    assert model.output.shape[-1] == 2 + 20 + SIDE * SIDE + 3
    how = {"strategy": "scratch", "learning_rate": 2e-3, "updates": 40, "batch_size": 8, "seed": 0}
    fit_transfer(model, (scenes.x, scene_targets(scenes)), loss=scene_loss("uncertainty"), **how)
    _, box, mask = model.get_layer("head_log_variances").get_weights()[0]
    assert box > 0.005 > -0.01 > mask  # the box's loss is above 1, the mask's below
    assert set(measure_scenes(model, scenes)) == set(TASKS)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(scenes.x), model(scenes.x))


# ---------------------------------------------------------------- PCGrad


def test_pcgrad_by_hand():
    np.testing.assert_array_equal(pcgrad([np.array([1.0, 0.0]), np.array([-1.0, 1.0])]), [0.5, 1.5])
    # The same two vectors spread over two variables of other shapes.
    kernel, bias = pcgrad([[np.array([[1.0]]), np.array([0.0])], [np.array([[-1.0]]), np.array([1.0])]])
    assert np.asarray(kernel).tolist() == [[0.5]] and np.asarray(bias).tolist() == [1.5]


def test_pcgrad_of_three_tasks_depends_on_the_order_and_passes_each_by_itself():
    gradients = [np.array([1.0, 0.0]), np.array([-1.0, 1.0]), np.array([-1.0, -2.0])]
    # First task: after the second (.5, .5), then against the third: dot −1.5, (.5, .5) − .3 (1, 2) = (.2, −.1).
    # Second: after the first (0, 1); against the third: dot −2, (0, 1) − .4 (1, 2) = (−.4, .2).
    # Third: after the first (0, −2); against the second: dot −2, (0, −2) + (−1, 1) = (−1, −1).
    np.testing.assert_allclose(pcgrad(gradients), [-1.2, -0.9], atol=1e-6)
    # First task the other way: after the third (1, 0) − .2 (1, 2) = (.8, −.4); dot with the second −1.2:
    # (.8, −.4) + .6 (−1, 1) = (.2, .2).
    np.testing.assert_allclose(pcgrad(gradients, [[2, 1, 0], [0, 1, 2], [0, 1, 2]]), [-1.2, -0.6], atol=1e-6)


vector = st.lists(st.integers(-5, 5), min_size=4, max_size=4).map(np.float32)


@settings(deadline=None, max_examples=30)
@given(vector, vector)
def test_pcgrad_of_two_tasks_works_against_neither(first, second):
    joint = np.asarray(pcgrad([first, second]))
    np.testing.assert_allclose(pcgrad([second, first]), joint, atol=1e-4)
    assert joint @ first >= -1e-3 and joint @ second >= -1e-3
    if first @ second >= 0:
        np.testing.assert_array_equal(joint, first + second)


def two_numbers(start):
    """A model whose only weights are two numbers, which it answers with."""
    inputs = keras.Input((1,))
    layer = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.float32([start])])
    return model


def test_fit_pcgrad_steps_along_the_projected_gradients():
    # Gradients (1, 0) and (−1, 1), whose plain sum would leave the first number where it is.
    model = two_numbers([0.0, 0.0])
    data = np.ones((4, 1)), np.zeros((4, 1))
    losses = [lambda target, output: output[:, 0], lambda target, output: output[:, 1] - output[:, 0]]
    fitted = fit_pcgrad(model, data, losses, learning_rate=0.1, updates=1, batch_size=4, seed=0)
    # Adam's first step is of the learning rate's size in the gradient's direction, whatever its length.
    assert fitted is model
    np.testing.assert_allclose(model.get_weights()[0], [[-0.1, -0.1]], rtol=1e-3)


def test_fit_pcgrad_without_conflicts_is_plain_training():
    scenes = make_scenes()
    data = scenes.x, scene_targets(scenes)
    how = {"learning_rate": 1e-3, "updates": 8, "batch_size": 8, "seed": 3}
    one, other = make_model(), make_model()
    fit_pcgrad(one, data, [scene_loss({"box": 1})], **how)
    fit_transfer(other, data, strategy="fine_tuning", loss=scene_loss({"box": 1}), **how)
    start = make_model().get_weights()
    for a, b, c in zip(one.get_weights(), other.get_weights(), start, strict=True):
        np.testing.assert_allclose(a - c, b - c, atol=2e-6)


def test_fit_pcgrad_learns_all_tasks_of_the_scenes():
    scenes = make_scenes()
    losses = [scene_loss({task: 1}) for task in TASKS]
    how = {"learning_rate": 5e-3, "updates": 150, "batch_size": 8, "seed": 0}
    measured = measure_scenes(fit_pcgrad(make_model(), (scenes.x, scene_targets(scenes)), losses, **how), scenes)
    assert measured["class"] >= 90 and measured["box"] > 70 and measured["mask"] > 30


def test_fit_pcgrad_depends_on_the_seed_alone():
    random = np.random.default_rng(0)
    data = random.normal(size=(12, 1)), random.normal(size=(12, 3, 2)).astype("float32")
    losses = [
        lambda target, output, task=task: keras.ops.sum((output - target[:, task]) ** 2, axis=-1) for task in range(3)
    ]
    ends = []
    for seed in (0, 0, 1):
        model = two_numbers([0.3, -0.3])
        fit_pcgrad(model, data, losses, learning_rate=0.05, updates=20, batch_size=4, seed=seed)
        ends.append(model.get_weights()[0])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert (ends[0] != ends[2]).all()


def test_fit_pcgrad_puts_the_weights_back_when_it_diverges():
    model = two_numbers([1.0, 2.0])
    data = np.ones((4, 1)), np.zeros((4, 1))
    with pytest.raises(FloatingPointError, match=r"update 2: .*Try a tenth"):
        fit_pcgrad(
            model, data, [lambda target, output: keras.ops.sqrt(output[:, 0])], learning_rate=5.0, updates=5, seed=0
        )
    np.testing.assert_array_equal(model.get_weights()[0], [[1, 2]])


def test_fit_pcgrad_refuses_bad_settings():
    for change in ({"updates": 0}, {"losses": []}, {"learning_rate": 0}, {"seed": -1}):
        how = {"losses": ["mse"], "learning_rate": 0.1, "updates": 1, "seed": 0, **change}
        with pytest.raises(ValueError, match="must be at least 1"):
            fit_pcgrad(two_numbers([0, 0]), (np.ones((2, 1)), np.ones((2, 2))), **how)


# ---------------------------------------------------------------- forgetting


def test_forgetting_is_the_fall_in_points():
    shape = (8, 8, 1)
    x = np.random.default_rng(0).integers(0, 256, (20, *shape), "uint8")
    before, after = small_cnn(shape, 2, seed=0), small_cnn(shape, 2, seed=0)
    y = np.asarray(before(x)).argmax(axis=1)
    assert forgetting(before, after, (x, y)) == 0
    # The other way round in its head: every answer becomes wrong; the body has forgotten nothing.
    kernel, bias = after.get_layer("head").get_weights()
    after.get_layer("head").set_weights([kernel[:, ::-1], bias[::-1]])
    assert forgetting(before, after, (x, y)) == 100 and forgetting(after, before, (x, y)) == -100
    assert forgetting(before, after, (x, y), head="old") == 0


def test_a_body_under_another_head_is_measured_with_the_old_one():
    shape = (8, 8, 1)
    x = np.random.default_rng(0).integers(0, 256, (20, *shape), "uint8")
    before, after = small_cnn(shape, 2, seed=0), small_cnn(shape, 3, seed=0)
    y = np.asarray(before(x)).argmax(axis=1)
    with pytest.raises(ValueError, match="2 and 3 classes"):
        forgetting(before, after, (x, y))
    assert forgetting(before, after, (x, y), head="old") == 0
    after.get_layer("conv4").set_weights([0 * weight for weight in after.get_layer("conv4").get_weights()])
    expected = 100 * (1 - (y == 0).mean())  # without features, and with a bias of 0, the first class wins
    assert forgetting(before, after, (x, y), head="old") == pytest.approx(expected)
    with pytest.raises(ValueError, match="'own' or 'old', not 'new'"):
        forgetting(before, after, (x, y), head="new")


def test_names_stay_registered():
    for name in ("LogVariances", "SceneLoss"):
        assert keras.saving.get_registered_object(f"tl_helpers>{name}") is getattr(multitask, name)
