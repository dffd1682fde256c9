"""How is a network trained and tested, once? What the studies of several notebooks share."""

from __future__ import annotations

from tl_helpers.datasets.street import load_street_scenes
from tl_helpers.models.boxes import box_iou, box_loss, decode_boxes, encode_boxes
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.heads import add_box_head, add_class_head
from tl_helpers.models.small_network import adapt_input, body_of, small_cnn_body
from tl_helpers.models.source_models import load_source_model
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.multitask import TASKS, add_scene_heads, fit_pcgrad, measure_scenes, scene_loss, scene_targets


def starting_body(source, input_shape, *, seed):
    """Build the body that an arm starts from.

    Parameters
    ----------
    source : str or keras.Model or None
        A source model or its name (:func:`tl_helpers.models.source_models.load_source_model`); None for new weights.
    input_shape : tuple of int
        ``(h, w, c)``; a source model is fitted to it where its own is another.
    seed : int
        Of the new weights.

    Returns
    -------
    Backbone
    """
    if source is None:
        return small_cnn_body(input_shape, seed=seed)
    model = load_source_model(source) if isinstance(source, str) else source
    body = body_of(model)
    return body if model.input_shape[1:] == tuple(input_shape) else adapt_input(body, input_shape)


def run_classifier(source, labelled, test, *, rate, updates, seed, head="flatten", **settings):
    """Put a class head on a body, train it and test it.

    Parameters
    ----------
    source : str or keras.Model or None
        See :func:`starting_body`.
    labelled, test : Dataset
    rate : float
        Learning rate.
    updates, seed : int
    head : {"average", "flatten"}
        See :func:`tl_helpers.models.heads.add_class_head`.
    **settings
        ``strategy`` and whatever else :func:`tl_helpers.training.fit.fit_transfer` takes.

    Returns
    -------
    model : keras.Model
    row : dict
        ``score`` (accuracy in %), ``learning_rate``, ``updates`` and ``train_seconds`` (CPU).
    """
    body = starting_body(source, labelled.x.shape[1:], seed=seed)
    model = add_class_head(body, len(labelled.label_names), head=head, seed=seed)
    fit = fit_transfer(model, labelled, learning_rate=rate, updates=updates, seed=seed, **settings)
    score = 100 * accuracy(model, test)
    return model, {"score": score, "learning_rate": rate, "updates": updates, "train_seconds": fit.cpu_seconds}


def run_probe(body, labelled, test):
    """Put logistic regression on a frozen body's features and test it: the baseline that trains no network.

    Parameters
    ----------
    body : Backbone or keras.Model
    labelled, test : Dataset

    Returns
    -------
    dict
        ``score``: accuracy in %.
    """
    classifier = probe(extract_features(body, labelled.x), labelled.y)
    return {"score": 100 * classifier.score(extract_features(body, test.x), test.y)}


def run_detector(source, scenes, test, *, rate, updates, seed, strategy):
    """Put a box head on a body, train it and test it.

    Parameters
    ----------
    source : str or None
        See :func:`starting_body`.
    scenes, test : Dataset
        With one box each, 56 × 56 pixels.
    rate : float
        Learning rate.
    updates, seed : int
    strategy : str
        See :func:`tl_helpers.training.fit.fit_transfer`.

    Returns
    -------
    overlap : numpy.ndarray
        ``(n,)``: intersection over union in each scene of `test`, 0…1.
    row : dict
        ``score`` (its mean in %), ``learning_rate`` and ``updates``.
    """
    model = add_box_head(starting_body(source, scenes.x.shape[1:], seed=seed), seed=seed)
    targets = encode_boxes(scenes.boxes, grid=7, cell=8)
    settings = {"learning_rate": rate, "updates": updates, "batch_size": 16, "seed": seed, "loss": box_loss}
    fit_transfer(model, (scenes.x, targets), strategy=strategy, **settings)
    overlap = box_iou(decode_boxes(model.predict(test.x, batch_size=256, verbose=0), cell=8), test.boxes)
    return overlap, {"score": 100 * overlap.mean(), "learning_rate": rate, "updates": updates}


def held_out_scenes(split, target, distractors, view="photo"):
    """Load the 500 scenes that a split is measured on (:func:`tl_helpers.datasets.street.load_street_scenes`).

    Parameters
    ----------
    split, target, distractors, view
        See :func:`tl_helpers.datasets.street.load_street_scenes`.

    Returns
    -------
    Dataset
    """
    return load_street_scenes(view, split, n=500, seed=0, target=target, distractors=distractors)


def run_shoe_scenes(loss, n, *, rate, updates, seed, split):
    """Train one trunk with heads for class, box and mask on scenes of shoes, from scratch, and measure all three.

    Parameters
    ----------
    loss : keras.losses.Loss or None
        From :func:`tl_helpers.training.multitask.scene_loss`; None for all three tasks with
        :func:`tl_helpers.training.multitask.fit_pcgrad`.
    n : int
        Labelled scenes.
    rate : float
        Learning rate.
    updates, seed : int
    split : {"validation", "test"}

    Returns
    -------
    dict of str to float
        See :func:`tl_helpers.training.multitask.measure_scenes`.
    """
    scenes = load_street_scenes("photo", "target", n=n, seed=seed, target="shoes", distractors="garment")
    learned = loss is not None and loss.weights == "uncertainty"
    body = starting_body(None, scenes.x.shape[1:], seed=seed)
    model = add_scene_heads(body, len(scenes.label_names), seed=seed, uncertainty=learned)
    data = scenes.x, scene_targets(scenes)
    settings = {"learning_rate": rate, "updates": updates, "batch_size": 16, "seed": seed}
    if loss is None:
        fit_pcgrad(model, data, [scene_loss({task: 1.0}) for task in TASKS], **settings)
    else:
        fit_transfer(model, data, strategy="scratch", loss=loss, **settings)
    return measure_scenes(model, held_out_scenes(split, "shoes", "garment"))
