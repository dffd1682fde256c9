"""What need not be run in every update? The frozen beginning of a network, run once over the images in use."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from tl_helpers.models.features import answer_once, identify, run_once
from tl_helpers.models.forward import compile_call, in_batches
from tl_helpers.training.data import Examples
from tl_helpers.training.frozen_prefix import find_cut, shared_first, split, what_differs

# Above this, keeping the frozen part's output in memory would cost more than it saves.
_MEMORY_LIMIT = 2 * 2**30
# Of validation, at most: with more images at a time, a backbone's activations no longer fit the processor's cache.
_VALIDATION_BATCH = 32


class Remainder(NamedTuple):
    """What is left to train in a phase, and on what.

    Parameters
    ----------
    model : keras.Model
        The whole network, or what comes after its frozen part, with the same layers.
    data, held_out : Examples
        For that model; `held_out` may be None.
    rows : numpy.ndarray
        Of each batch, in `data`.
    cached : bool
        Whether the frozen part was run once.
    note : str
        A sentence that says so, or why not.
    """

    model: keras.Model
    data: Examples
    held_out: Examples | None
    rows: np.ndarray
    cached: bool
    note: str


class _Kept(NamedTuple):
    """Where a network's outputs are kept, and as whose: see :func:`tl_helpers.models.features.identify`."""

    cache: Any
    identity: str | None


def run_frozen_part(model, data, held_out, rows, plan):
    """Run the frozen beginning of a model over the images in use, where that is right.

    Parameters
    ----------
    model : keras.Model
        With the layers frozen that shall be.
    data, held_out : Examples
        For training and for validation; `held_out` may be None.
    rows : numpy.ndarray
        Of each batch, in `data`.
    plan : tl_helpers.training.plan.TrainingPlan

    Returns
    -------
    Remainder
    """

    def whole(note):
        note = f"The whole network was run in every update. {note}"
        return Remainder(model, data, held_out, rows, cached=False, note=note)

    cut, used = find_cut(model, deterministic=plan.deterministic), np.unique(rows)
    if cut.tensor is None:
        return whole(cut.reason)
    prefix, suffix = split(model, cut)
    call = compile_call(prefix, training=True)
    kept = _Kept(*identify(prefix, None if plan.cache == "auto" else plan.cache))
    reason = _what_differs(prefix, data.x, call, kept, known=not plan.deterministic)
    if reason:
        return whole(reason)
    images = len(used) + (len(held_out.x) if held_out else 0)
    shape = cut.tensor.shape[1:] if None not in cut.tensor.shape[1:] else prefix(data.x[used[:1]]).shape[1:]
    size = (8 if cut.tensor.dtype == "float64" else 4) * int(np.prod(shape)) * images
    if size > _MEMORY_LIMIT:
        note = f"The whole network was run in every update: the frozen part's output would take {size / 2**30:.1f} GiB."
        return Remainder(model, data, held_out, rows, cached=False, note=note)
    forward, batch_size = in_batches(call), rows.shape[1]
    x = run_once(prefix, data.x[used], batch_size=batch_size, training=True, forward=forward, **kept._asdict())
    seen = held_out
    if held_out:
        # Still layers of the kinds that are known do the same in training and in use, so one function serves for both.
        same = {"training": True, "forward": forward} if cut.exact else {}
        size = validation_batch(len(held_out.x))
        seen = held_out._replace(x=run_once(prefix, held_out.x, batch_size=size, **kept._asdict(), **same))
    exact = cut.exact and _is_exact(forward, data.x[used[: 2 * batch_size]], x, batch_size, kept)
    if not exact and any(layer.compute_dtype in ("float16", "bfloat16") for layer in prefix._flatten_layers()):
        return whole(
            "The frozen part computes in half precision, and an image's output differs with its place in the batch."
        )
    equal = "bit for bit where it was tried" if exact else "to about 1e-5"
    note = f"The frozen part, up to {cut.layer!r}, was run once; the weights equal those of running it always, {equal}."
    data = Examples(x, *(None if part is None else part[used] for part in data[1:]))
    return Remainder(suffix, data, seen, np.searchsorted(used, rows).astype("int32"), cached=True, note=note)


def _what_differs(prefix, x, call, kept, *, known):
    """Say what differs between two runs of the frozen part.

    Layers that are known draw no random numbers outside TensorFlow, so that the compiled network shows whatever
    differs, today as on any other day. Only a mask that comes out of a layer inside a layer does not show there. Of
    layers that are not known no answer is kept.
    """
    if not known:
        return what_differs(prefix, x)
    flat = set(prefix._flatten_layers(include_self=False)) == set(prefix.layers)
    batches = shared_first(prefix, x)
    alike = answer_once(
        ["nothing differs"],
        batches,
        cache=kept.cache,
        identity=kept.identity,
        compute=lambda: not what_differs(prefix, x, call if flat else None),
    )
    return "" if alike else what_differs(prefix, x)


def _is_exact(forward, images, outputs, batch_size, kept):
    """Tell whether images give the same bits in other places of a batch, or what was found out before."""
    outputs = outputs[: len(images)]
    return answer_once(
        ["same in every place", batch_size],
        [images, outputs],
        cache=kept.cache,
        identity=kept.identity,
        compute=lambda: _same_in_every_place(forward, images, outputs, batch_size),
    )


def _same_in_every_place(forward, images, outputs, batch_size):
    """Tell whether images give the same bits in other places of a batch.

    Where the pixels of a batch are no multiple of what a convolution takes at a time, the last image is computed in
    another way, which shows in some images only. So batches are turned, by an odd number of about a half: each image
    comes to another place, in another half, with another remainder.
    """
    turned = np.roll(np.arange(batch_size), batch_size // 2 | 1)
    for start in range(0, len(images) - batch_size + 1, batch_size):
        batch, expected = images[start : start + batch_size], outputs[start : start + batch_size]
        if not np.array_equal(forward(batch[turned], batch_size), expected[turned]):
            return False
    return batch_size > 1


def validation_batch(n):
    """Return a batch size that divides validation data into nearly equal parts.

    Parameters
    ----------
    n : int
        Number of examples.

    Returns
    -------
    int
    """
    return -(-n // -(-n // _VALIDATION_BATCH))
