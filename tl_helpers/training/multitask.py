"""How are several tasks learned at once? One trunk, a head per task, and a way to settle what they disagree on.

The tasks of the kit's scenes are: which class is the target (``class``), where is it (``box``), and which pixels are it
(``mask``). Three ways to put their losses together: weights that one chooses, weights that are learned (uncertainty),
and gradients that are kept from undoing each other (PCGrad).
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tl_helpers.models.boxes import box_iou, box_loss, decode_boxes, encode_boxes
from tl_helpers.models.forward import make_forward
from tl_helpers.models.heads import add_box_head, add_mask_head
from tl_helpers.models.masks import mask_iou, mask_loss
from tl_helpers.training.data import check_data
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.loop import check_run, draw_batches, fit_losses
from tl_helpers.training.losses import check_loss
from tl_helpers.training.update import resolve_loss

TASKS = ("class", "box", "mask")
# Side in pixels of a cell of the small network's feature map.
_CELL = 8
_BATCH = 250

# ---------------------------------------------------------------- heads


def add_scene_heads(backbone, n_classes, *, seed, uncertainty=False):
    """Put three heads on one trunk: class, box and mask of the target.

    The class is read where the box head believes the target: features are averaged over the cells with the softmax of
    its first channel as weights. So whoever learns boxes learns where to look. Where there are no boxes to learn from,
    that channel learns from the class alone.

    Parameters
    ----------
    backbone : Backbone
        The small network's body, for square images whose sides are multiples of 8 pixels. Its layers are shared with
        the new model, not copied.
    n_classes : int
    seed : int
        Seed of the heads' initial weights.
    uncertainty : bool
        Add a :class:`LogVariances`, for ``scene_loss("uncertainty")``.

    Returns
    -------
    keras.Model
        From images ``(n, h, w, c)``, 0…255, to ``(n, k)``: class logits, then the box grid of
        :func:`tl_helpers.models.heads.add_box_head`, then the mask's logits row by row, then, with `uncertainty`, the
        three log-variances. One tensor, so that any training loop takes it. Layers that learn: ``head_class``,
        ``head_box``, ``head_mask``, and ``head_log_variances``.
    """
    box = add_box_head(backbone, seed=seed, name="head_box").output
    mask = add_mask_head(backbone, seed=seed, name="head_mask").output
    parts = {"class": _class_where_the_box_is(backbone, box, n_classes, seed), "box": box, "mask": mask}
    parts = [layers.Flatten(name=f"head_{task}_flat")(parts[task]) for task in TASKS]
    if uncertainty:
        parts.append(LogVariances(len(TASKS), name="head_log_variances")(parts[0]))
    packed = layers.Concatenate(name="head_packed")(parts)
    return keras.Model(backbone.model.input, packed, name=f"{backbone.name}_scenes")


def _class_where_the_box_is(backbone, box, n_classes, seed):
    """Average the features over the cells, each weighted as the box head believes the target there; then classify."""
    features = backbone.model.output
    height, width, channels = features.shape[1:]
    channels_first = layers.Permute((2, 1), name="head_class_turn")(
        layers.Reshape((height * width, box.shape[-1]), name="head_class_boxes")(box)
    )
    belief = layers.Cropping1D((0, box.shape[-1] - 1), name="head_class_belief")(channels_first)
    weights = layers.Softmax(name="head_class_weights")(belief)
    cells = layers.Reshape((height * width, channels), name="head_class_cells")(features)
    pooled = layers.Flatten(name="head_class_pool")(layers.Dot((2, 1), name="head_class_mean")([weights, cells]))
    start = keras.initializers.GlorotUniform(seed=seed)
    return layers.Dense(n_classes, kernel_initializer=start, name="head_class")(pooled)


def scene_targets(scenes):
    """Pack what :func:`scene_loss` compares with.

    Parameters
    ----------
    scenes : Dataset
        With boxes and masks, square.

    Returns
    -------
    numpy.ndarray
        ``float32``, ``(n, 1 + 5 + h w)``: class index, box as :func:`tl_helpers.models.boxes.encode_boxes` gives it,
        mask row by row, 0 or 1.

    Raises
    ------
    ValueError
        If there are no boxes or no masks, or the images are not square with sides that are multiples of 8.
    """
    height, width = scenes.x.shape[1:3]
    if scenes.boxes is None or scenes.masks is None or height != width or height % _CELL:
        raise ValueError(
            f"Scenes need boxes, masks and a side that is a multiple of {_CELL} pixels; {scenes!r} has not all of them."
        )
    boxes = encode_boxes(scenes.boxes, grid=height // _CELL, cell=_CELL)
    return np.concatenate([scenes.y[:, None], boxes, scenes.masks.reshape(len(scenes), -1)], axis=1).astype("float32")


def _unpack(output, pixels, n_classes):
    """Cut a packed output into class logits, box grid and mask logits; what follows is left out."""
    side = math.isqrt(pixels)
    grid = side // _CELL
    boxes, masks = n_classes, n_classes + 5 * grid**2
    cells = ops.reshape(output[:, boxes:masks], (-1, grid, grid, 5))
    return output[:, :boxes], cells, ops.reshape(output[:, masks : masks + pixels], (-1, side, side))


def measure_scenes(model, scenes):
    """Measure how well a model of :func:`add_scene_heads` does each task.

    Parameters
    ----------
    model : keras.Model
    scenes : Dataset
        With boxes and masks.

    Returns
    -------
    dict of str to float
        ``"class"``: accuracy; ``"box"`` and ``"mask"``: intersection over union, the mean over scenes; all in %.
    """
    output = make_forward(model)(scenes.x, _BATCH)
    logits, cells, mask = map(np.asarray, _unpack(output, scenes.masks[0].size, len(scenes.label_names)))
    measured = {
        "class": logits.argmax(axis=1) == scenes.y,
        "box": box_iou(decode_boxes(cells, _CELL), scenes.boxes),
        "mask": mask_iou(mask > 0, scenes.masks),
    }
    return {task: 100 * float(values.mean()) for task, values in measured.items()}


# ---------------------------------------------------------------- one loss out of several


@keras.saving.register_keras_serializable("tl_helpers")
class LogVariances(layers.Layer):
    """A trainable number per task, log σ², the same for every example: how noisy the task is thought to be.

    Parameters
    ----------
    tasks : int
    pace : float
        Adam moves any weight by about the learning rate per update, however far it has to go. The layer's weights are
        multiplied by this, so that a few hundred updates are enough for the variances.
    """

    def __init__(self, tasks, pace=10.0, **kwargs):
        super().__init__(**kwargs)
        self.tasks, self.pace = tasks, pace
        self.value = self.add_weight(shape=(tasks,), initializer="zeros", name="value")

    def call(self, inputs):
        return ops.broadcast_to(self.pace * self.value, (ops.shape(inputs)[0], self.tasks))

    def get_config(self):
        return {**super().get_config(), "tasks": self.tasks, "pace": self.pace}


def weigh_by_uncertainty(losses, log_variances):
    """Weigh losses by how noisy each task is: Σ L / (2 σ²) + log σ (Kendall, Gal and Cipolla 2018, equation 7).

    Parameters
    ----------
    losses, log_variances : tensor or numpy.ndarray
        ``(…, tasks)``; the second holds log σ² and is to be trained. The best σ² of a task is its loss.

    Returns
    -------
    tensor
        ``(…,)``.
    """
    return ops.sum(ops.exp(-log_variances) * losses + log_variances, axis=-1) / 2


@keras.saving.register_keras_serializable("tl_helpers")
class SceneLoss(keras.losses.Loss):
    """The loss that :func:`scene_loss` makes; a class, so that Keras can save it and a resumed run knows it again.

    Parameters
    ----------
    weights : dict of str to float, or "uncertainty"
    name : str
    """

    def __init__(self, weights, name="scene_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.weights = weights

    def call(self, target, output):
        """Return the loss of each scene, ``(n,)``, from packed targets and outputs."""
        pixels, learned = target.shape[-1] - 6, len(TASKS) if self.weights == "uncertainty" else 0
        n_classes = output.shape[-1] - 5 * (pixels // _CELL**2) - pixels - learned
        logits, cells, mask = _unpack(output, pixels, n_classes)
        losses = {
            "class": lambda: keras.losses.sparse_categorical_crossentropy(target[:, 0], logits, from_logits=True),
            "box": lambda: box_loss(target[:, 1:6], cells),
            "mask": lambda: mask_loss(ops.reshape(target[:, 6:], (-1, *mask.shape[1:])), mask),
        }
        if learned:
            by_task = ops.stack([losses[task]() for task in TASKS], axis=-1)
            return weigh_by_uncertainty(by_task, output[:, -learned:])
        return sum(weight * losses[task]() for task, weight in self.weights.items())

    def get_config(self):
        return {**super().get_config(), "weights": self.weights}


def scene_loss(weights):
    """Make the loss of a model of :func:`add_scene_heads`.

    Parameters
    ----------
    weights : dict of str to float, or "uncertainty"
        How much ``"class"``, ``"box"`` and ``"mask"`` count; a task with weight 0, or without one, is left out. Or
        ``"uncertainty"``: the weights are learned, see :func:`weigh_by_uncertainty`, by a model made with
        ``uncertainty=True``.

    Returns
    -------
    keras.losses.Loss
        Of packed targets and outputs; for ``fit_transfer(…, loss=…)``.

    Raises
    ------
    ValueError
        If a task is unknown, a weight is negative, or no task is left.
    """
    if weights != "uncertainty":
        unknown = [task for task in weights if task not in TASKS]
        if unknown:
            raise ValueError(f"There is no task {unknown[0]!r}; the tasks are {', '.join(TASKS)}.")
        if not all(weight >= 0 for weight in weights.values()) or not any(weights.values()):
            raise ValueError(f"Weights must be at least 0, and one of them above; they are {weights}.")
        weights = {task: float(weights[task]) for task in TASKS if weights.get(task)}
    return SceneLoss(weights)


# ---------------------------------------------------------------- gradients that do not undo each other


def pcgrad(gradients, order=None):
    """Add up the gradients of several tasks after taking out of each what conflicts with another (PCGrad).

    Yu et al. 2020, algorithm 1: where a task's gradient g points against another's, h (g·h < 0), it loses its part
    along h: g − (g·h / ‖h‖²) h. Each meets the others' original gradients, one after another.

    Parameters
    ----------
    gradients : sequence of array or sequence of list of array
        Per task its gradient, or a list of its gradients by variable, which are taken as one long vector.
    order : array-like of int, optional
        ``(tasks, tasks)``: in which order each task meets the tasks; itself it passes by. The paper draws it at random
        in every update. By default ascending. It makes no difference for two tasks.

    Returns
    -------
    tensor or list of tensor
        As one of `gradients`.
    """
    by_variable = isinstance(gradients[0], list | tuple)
    parts = [[ops.convert_to_tensor(part) for part in (each if by_variable else [each])] for each in gradients]
    flat = ops.stack([ops.concatenate([ops.reshape(part, (-1,)) for part in each]) for each in parts])
    tasks = len(parts)
    order = ops.convert_to_tensor(np.tile(np.arange(tasks), (tasks, 1)) if order is None else order)
    total = ops.zeros_like(flat[0])
    for task in range(tasks):
        gradient = flat[task]
        for place in range(tasks):
            other = ops.take(flat, order[task, place], axis=0)
            dot = ops.sum(gradient * other)
            conflict = ops.logical_and(dot < 0, order[task, place] != task)
            length = ops.maximum(ops.sum(ops.square(other)), 1e-30)
            gradient = gradient - ops.where(conflict, dot / length, 0.0) * other
        total = total + gradient
    ends = np.cumsum([math.prod(part.shape) for part in parts[0]])
    cut = [
        ops.reshape(total[end - math.prod(part.shape) : end], part.shape)
        for part, end in zip(parts[0], ends, strict=True)
    ]
    return cut if by_variable else cut[0]


def fit_pcgrad(model, train, losses, *, learning_rate, updates, batch_size=32, seed):
    """Train a model on several losses with :func:`pcgrad`, with Adam and a learning rate that falls linearly to 0.

    Parameters
    ----------
    model : keras.Model
        It is trained in place, from the weights it has; frozen layers stay frozen.
    train : tuple of numpy.ndarray
        Images and targets ``(x, y)``, such as ``(scenes.x, scene_targets(scenes))``.
    losses : sequence
        One loss per task, as Keras takes them, each of all of the targets and outputs: such as
        ``[scene_loss({task: 1}) for task in TASKS]``.
    learning_rate : float
        Of the first update.
    updates : int
    batch_size : int
        Images per batch.
    seed : int
        Draws the batches, the orders in which tasks meet, and the masks of dropout. At least 0.

    Returns
    -------
    keras.Model
        `model`, trained.

    Raises
    ------
    ValueError
        If arguments or data do not fit each other.
    FloatingPointError
        If the sum of the losses stops being a finite number. The model's weights are then as before.
    """
    whole = {"updates": (updates, 1), "batch_size": (batch_size, 1), "losses": (len(losses), 1), "seed": (seed, 0)}
    check_run({"learning_rate": learning_rate}, **whole)
    x, y, _ = check_data(train, model, losses[0], "train")
    for loss in losses[1:]:
        if loss is not None:
            check_loss(loss, model, y, "train")
    rows = draw_batches(len(x), updates, batch_size, seed)
    random, tasks = np.random.default_rng([seed, 1]), len(losses)
    orders = tf.constant(random.permuted(np.tile(np.arange(tasks), (updates, tasks, 1)), axis=2))
    x, y, losses = tf.constant(x), tf.constant(y), [resolve_loss(loss, model) for loss in losses]

    def losses_of(batch, done):
        output, target = model(tf.gather(x, batch), training=True), tf.gather(y, batch)
        return [loss(target, output) for loss in losses]

    def join(gradients, done):
        return pcgrad(gradients, orders[done])

    fit_losses(model, losses_of, rows, learning_rate=learning_rate, seed=seed, name="PCGrad", join=join)
    return model


# ---------------------------------------------------------------- what is lost


def forgetting(before, after, source, *, head="own"):
    """How many points of accuracy a model has lost on what it could do before.

    Parameters
    ----------
    before, after : keras.Model
        The classifier before it learned something else, and the one made from it. Layers are matched by their names.
    source : Dataset or tuple of numpy.ndarray
        Test data ``(x, y)`` of the old task.
    head : {"own", "old"}
        ``"own"``: `after` answers as it is, which takes the same classes. ``"old"``: its body under the head of
        `before`; the only way if it has other classes now, and a measure of what the body has forgotten.

    Returns
    -------
    float
        In percentage points; negative if it has become better.

    Raises
    ------
    ValueError
        If `head` is neither word, or `after` has other classes, or no layers of these names and shapes.
    """
    if head not in ("own", "old"):
        raise ValueError(f"head must be 'own' or 'old', not {head!r}.")
    if head == "old":
        grafted = keras.models.clone_model(before)
        for layer in grafted.layers:
            giver = before if layer.name.startswith("head") else after
            layer.set_weights(giver.get_layer(layer.name).get_weights())
        after = grafted
    elif after.output_shape != before.output_shape:
        raise ValueError(
            f"The models answer with {before.output_shape[-1]} and {after.output_shape[-1]} classes. With head='old', "
            f"the new body is measured under the old head."
        )
    return 100 * (accuracy(before, source) - accuracy(after, source))
