"""How is a frozen network adapted by small differences? LoRA (Hu et al. 2022): two thin matrices for each kernel.

Keras brings the layers' part of it, ``layer.enable_lora(rank)``: the kernel stands still, and ``kernel + a @ b`` takes
its place, with ``b`` zero at first. What is here says which layers of a network get it, and brings the result back
into an ordinary network.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from tl_helpers.models.graph import leaves_of
from tl_helpers.training.freezing import batch_norms_of, head_layers, parts_of

_KINDS = (keras.layers.Conv2D, keras.layers.Dense)


class Adapted(NamedTuple):
    """What :func:`add_lora` did.

    Parameters
    ----------
    names : list of str
        Layers whose kernels got a trainable difference.
    without : list of str
        Layers of the body that have a kernel and did not get one, since Keras has no LoRA for their kind.
    """

    names: list[str]
    without: list[str]


def add_lora(model, rank, *, seed):
    """Freeze a network in place, except for LoRA on its convolutions and Dense layers and for its head.

    Everything of the body is fixed by hand, so that ``fit`` (after ``compile``) and
    :func:`tl_helpers.training.fit.fit_transfer` with ``strategy="fine_tuning"`` train nothing but the differences and
    the head. BatchNorm keeps the statistics of the source.

    Parameters
    ----------
    model : keras.Model
        With a head: layers whose names start with ``head``.
    rank : int
        Columns of ``a`` and rows of ``b``: a kernel of shape ``(…, n, m)`` gets ``(…, n, rank)`` and ``(rank, m)``.
    seed : int
        Of the initial ``a``.

    Returns
    -------
    Adapted

    Raises
    ------
    ValueError
        If the rank is below 1, if there is no head, or if a layer has LoRA already.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, not {rank}.")
    body = [layer for layer in leaves_of(model) if layer not in set(head_layers(model))]
    adapted = [layer for layer in body if isinstance(layer, _KINDS)]
    twice = [layer.name for layer in adapted if layer.lora_enabled]
    if twice:
        raise ValueError(f"Layer {twice[0]!r} of {model.name!r} has LoRA already. Build or load the model anew.")
    for layer in batch_norms_of(body):
        layer.trainable = False
    for place, layer in enumerate(adapted):
        layer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=1000 * seed + place))
    for layer in body:
        kept = [layer.lora_kernel_a, layer.lora_kernel_b] if layer in adapted else []
        for weight in layer.weights:
            if not any(weight is each for each in kept):
                weight.trainable = False
    without = [part.name for part in parts_of(body) if part not in adapted and hasattr(part, "kernel")]
    return Adapted([layer.name for layer in adapted], without)


def merge_lora(model):
    """Build the same network without LoRA: each difference is added to its kernel.

    Parameters
    ----------
    model : keras.Model
        It is left as it is.

    Returns
    -------
    keras.Model
        With the same outputs, but for rounding, and as many weights as before :func:`add_lora`. Not compiled; kernels
        move again when it is trained.
    """
    merged = keras.models.clone_model(model, clone_function=_without_lora, recursive=True)
    for layer, clean in zip(leaves_of(model), leaves_of(merged), strict=True):
        values = layer.get_weights()
        if getattr(layer, "lora_enabled", False):
            values = [layer.kernel, *([layer.bias] if layer.use_bias else [])]
        clean.set_weights([keras.ops.convert_to_numpy(value) for value in values])
    return merged


def _without_lora(layer):
    """Build a layer of the same settings, without LoRA."""
    config = {key: value for key, value in layer.get_config().items() if key not in ("lora_rank", "lora_alpha")}
    return type(layer).from_config(config)


def bytes_to_store(model):
    """Return the size of what training moves in a model: what one more target costs beside the shared rest.

    Parameters
    ----------
    model : keras.Model
        Frozen as it was trained.

    Returns
    -------
    int
        Bytes of the trainable weights: of LoRA and the head where :func:`add_lora` froze the rest.
    """
    weights = model.trainable_variables
    return sum(int(np.prod(weight.shape)) * np.dtype(weight.dtype).itemsize for weight in weights)
