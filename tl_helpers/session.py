"""Is this machine ready? One call at the top of every notebook, and a fuller check in the first."""

from __future__ import annotations

# TensorFlow and Keras are imported by the functions that need them, after what quietens them is set.
import contextlib
import importlib.metadata
import os
import platform
import shutil
import sys
import time

from tl_helpers.files import DataError, checksums, data_folder, verify_all

DISTRIBUTION = "transfer-learning-kit"
# Seconds that `_speed_probe` took on the machine the course's minutes were measured on: 2 cores, no GPU.
_REFERENCE_SECONDS = 0.5


@contextlib.contextmanager
def _quiet_stderr():
    """Send the process's standard error to nowhere: TensorFlow's C++ code writes there while it is imported."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def import_quietly():
    """Import TensorFlow and Keras without TensorFlow's start-up messages, and return Keras.

    Returns
    -------
    module
        ``keras``.

    Raises
    ------
    RuntimeError
        If Keras runs on another backend than TensorFlow, or TensorFlow is not installed. The message names the cure.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _quiet_stderr():
            import tensorflow as tf

            tf.config.list_physical_devices()
            import keras
    except ImportError as error:
        raise RuntimeError(
            f"TensorFlow could not be imported ({error}). Start the kit with `python run.py lab`, which installs it, "
            f"or run `pip install 'transfer-learning-kit[tensorflow]'`."
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras uses the backend {keras.backend.backend()!r}, and the kit's training needs TensorFlow. Restart the "
            f"kernel after setting the environment variable KERAS_BACKEND to tensorflow."
        )
    return keras


def start(*, seed=0):
    """Make a notebook ready: quiet imports, seeds, a check of versions and data. Prints one line.

    Parameters
    ----------
    seed : int
        Seed for Python, NumPy and TensorFlow.

    Raises
    ------
    RuntimeError
        If anything needed is missing; the message lists every item with its cure.
    """
    keras = import_quietly()
    keras.utils.set_random_seed(seed)
    wrong = [f"- {item}: {detail}" for item, fine, detail in _checks() if not fine]
    if wrong:
        raise RuntimeError("This machine is not ready:\n" + "\n".join(wrong))
    print(f"Ready: versions fit, data intact, seed {seed}.")


def check_machine():
    """Check everything the course needs and estimate how long its notebooks take here.

    Returns
    -------
    pandas.DataFrame
        One row per item: ``item``, ``state`` (``"OK"`` or ``"FAIL"``) and ``detail`` (what was found, or the cure).
    """
    import pandas  # not at the top: `start` says what is missing, be it pandas

    import_quietly()
    rows = [(item, "OK" if fine else "FAIL", detail) for item, fine, detail in [*_checks(), *_device_rows()]]
    return pandas.DataFrame(rows, columns=["item", "state", "detail"])


def _checks():
    """Return (item, whether it is fine, detail) for what the kit cannot do without."""
    rows = [("Python", sys.version_info[:2] >= (3, 11), platform.python_version())]
    rows += _version_rows()
    try:
        folder = data_folder()
        damaged = verify_all()
        rows.append(("data", not damaged, "; ".join(damaged) or f"{len(checksums())} files intact in {folder.name}/"))
    except DataError as error:
        rows.append(("data", False, str(error)))
    return rows


def _version_rows():
    """Compare installed versions with the kit's own requirements."""
    from packaging.requirements import Requirement  # likewise

    rows = []
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            rows.append((need.name, False, f"not installed: pip install '{need.name}{need.specifier}'"))
            continue
        fine = need.specifier.contains(found, prereleases=True)
        rows.append((need.name, fine, found if fine else f"{found} found: pip install '{need.name}{need.specifier}'"))
    return rows


def _device_rows():
    """Describe processor, memory, disk and speed. These never fail: a slow machine is slow, not wrong."""
    import tensorflow as tf

    accelerators = tf.config.list_physical_devices("GPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    pace = max(_speed_probe() / _REFERENCE_SECONDS, 0.3)  # starting up does not shrink with the arithmetic
    return [
        ("device", True, f"{len(accelerators)} GPU" if accelerators else f"no GPU (none is needed), {cores} CPU cores"),
        ("disk", True, f"{free:.0f} GB free"),
        ("expected time", True, f"{pace:.1f} minutes for notebook 00, {3 * pace:.0f} for most others"),
    ]


def _speed_probe():
    """Return the seconds that a fixed piece of convolution takes: the least of three tries."""
    import tensorflow as tf

    images, kernels = tf.ones((64, 56, 56, 32)), tf.ones((3, 3, 32, 64))
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(4):
            tf.nn.conv2d(images, kernels, 1, "SAME").numpy()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
