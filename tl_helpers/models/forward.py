"""How is a network run over many inputs, without overhead? In batches, compiled once."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

# Precisions in which weights are not trained, and in which nothing is handed out.
HALF_PRECISION = ("float16", "bfloat16")
# How many kinds of inputs, such as sizes of images, a compiled network keeps a compilation for.
_MOST_KINDS = 8


def in_full_precision(tensor):
    """Widen a tensor in half precision to float32, which changes no number; leave any other as it is.

    Parameters
    ----------
    tensor : tensor

    Returns
    -------
    tensor
    """
    return (
        keras.ops.cast(tensor, "float32") if keras.backend.standardize_dtype(tensor.dtype) in HALF_PRECISION else tensor
    )


def make_forward(model, *, training=False):
    """Build the function that runs a model on images, a batch at a time.

    Parameters
    ----------
    model : keras.Model
    training : bool
        How layers shall behave that differ between training and use.

    Returns
    -------
    callable
        From ``x`` of shape ``(n, …)`` and a batch size to the outputs ``(n, …)``, a NumPy array; outputs in half
        precision come as ``float32``.
    """
    return in_batches(compile_call(model, training=training))


def compile_call(model, *, training=False):
    """Build the function that calls a model, compiled for whatever kind of inputs it gets.

    Parameters
    ----------
    model : keras.Model
    training : bool
        How layers shall behave that differ between training and use.

    Returns
    -------
    callable
        From one batch, a NumPy array, to the outputs, a NumPy array; outputs in half precision come as ``float32``.
    """
    concrete = {}

    def run(x):
        return in_full_precision(model(x, training=training))

    def call(x):
        kind = x.dtype, x.shape[1:]
        compiled = concrete.get(kind)
        if compiled is None:
            # A function of TensorFlow's for each, as one alone would keep every kind it ever saw.
            traced = tf.function(run, autograph=False, jit_compile=False)
            compiled = traced.get_concrete_function(tf.TensorSpec((None, *x.shape[1:]), x.dtype))
            concrete[kind] = compiled
            for old in list(concrete)[:-_MOST_KINDS]:
                concrete.pop(old, None)
        return compiled(tf.constant(x)).numpy()

    return call


def in_batches(call):
    """Make a function of one batch one of any number of inputs.

    Parameters
    ----------
    call : callable
        From :func:`compile_call`.

    Returns
    -------
    callable
        From ``x`` of shape ``(n, …)`` and a batch size to the outputs ``(n, …)``.
    """

    def forward(x, batch_size):
        # The last batch reaches back instead of being smaller: a batch of one image is computed differently.
        size = min(batch_size, len(x))
        starts = [min(start, len(x) - size) for start in range(0, len(x), size)]
        outputs, filled = None, 0
        for start in starts:
            part = call(x[start : start + size])
            if outputs is None:
                outputs = np.empty((len(x), *part.shape[1:]), part.dtype)
            outputs[filled : start + size] = part[filled - start :]
            filled = start + size
        return outputs

    return forward
