"""What decides the last digits, besides the network and its inputs? The machine, and how TensorFlow reckons on it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from tl_helpers import __version__
from tl_helpers.grid.environment import cpu_model

# Beginnings of the names of environment variables by which TensorFlow, and the libraries under it, are set.
_SETTINGS = ("CUDA_", "DNNL_", "KMP_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_", "OPENBLAS_", "TF_", "XLA_")


def arithmetic():
    """Return what the bits of a result depend on that the same code gives for the same numbers.

    Two machines, or two processes on one, of which this differs may round differently: other processors have other
    instructions, and other numbers of threads cut sums in other places.

    Returns
    -------
    list
        Versions, the processor and what it can do, how many of its cores are ours, GPUs, threads, and settings of
        TensorFlow; ready for ``json.dumps``.
    """
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return [
        [__version__, keras.__version__, tf.__version__, tf.version.GIT_VERSION, np.__version__],
        [platform.system(), platform.machine(), cpu_model(), _instructions(), _cores()],
        [sorted(map(str, gpu.items())) for gpu in gpus],
        [
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        ],
        [tf.config.optimizer.get_jit(), sorted(map(str, tf.config.optimizer.get_experimental_options().items()))],
        [tf.config.experimental.tensor_float_32_execution_enabled(), is_op_determinism_enabled(), tf.zeros(()).device],
        sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_SETTINGS)),
    ]


def _instructions():
    """Return the processor's extensions, of which a virtual machine may hide some; nothing where they are not told."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
        except OSError:
            return ""
        return next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return ""


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
