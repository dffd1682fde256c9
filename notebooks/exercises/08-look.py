"""Read a picture where scores point: an average of its cells, weighted by the softmax of their scores."""

import numpy as np

why = "Where one score stands out, the average is nearly that cell's features; where all are equal, it is the plain one."
hints = [
    "The softmax runs over the cells of a picture: `np.exp(scores)`, divided by its sum over axis 1, with keepdims.",
    "Give the weights a last axis of 1, so that all channels of a cell are multiplied by its weight.",
    "Sum the weighted features over the cells, axis 1. The weights of a picture add up to 1 already.",
]
wrong = {
    "w = np.exp(scores) / np.exp(scores).sum()\nreturn (w[:, :, None] * features).sum(1)": "each picture",
    "return (scores[:, :, None] * features).sum(1)": "softmax",
    "w = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)\nreturn (w[:, :, None] * features).mean(1)": "mean",
    "return features[np.arange(len(features)), scores.argmax(1)]": "best cell",
    "return features.mean(1)": "scores are not used",
}


def look_there(features, scores):
    """Average features (n, cells, channels) over the cells with the softmax of scores (n, cells) as weights."""
    weights = np.exp(scores)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights[:, :, None] * features).sum(axis=1)


def check(answer):
    """Ask about equal scores, one that stands out, and scores in between."""
    random = np.random.default_rng(0)
    features = random.normal(size=(3, 6, 4))
    plain = features.mean(axis=1)
    found = np.asarray(answer(features.copy(), np.zeros((3, 6))))
    yield found.shape == (3, 4), f"It should return (n, channels), here (3, 4), not {found.shape}."
    yield (
        not np.allclose(found, 0),
        "With scores of 0 everywhere it gives 0: take the softmax of the scores, not the scores.",
    )
    yield (
        not np.allclose(found, plain / 6),
        "It is a sixth of what it should be: sum over the cells instead of a mean, as the weights add up to 1.",
    )
    yield (
        not np.allclose(found, plain / 3),
        "The weights of each picture must add up to 1, not those of all pictures.",
    )
    equal = np.allclose(found, plain)
    scores = np.array([[0.0, 1, 2, 0, 1, 2], [2, 2, 2, 0, 0, 0], [0, 0, 3, 0, 0, 0]])
    found = np.asarray(answer(features.copy(), scores.copy()))
    yield (
        not np.allclose(found, plain),
        "The scores are not used: it is the plain average whatever they are.",
    )
    best = features[np.arange(3), scores.argmax(axis=1)]
    yield (
        not np.allclose(found, best),
        "It takes the best cell alone: every cell counts, by its weight.",
    )
    yield equal, "With equal scores everywhere it should be the plain average of the cells."
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    yield (
        np.allclose(found, np.einsum("nk,nkc->nc", weights, features)),
        "The weights should be the softmax of scores.",
    )
