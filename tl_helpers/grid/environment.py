"""On what machine, with which versions? What a result may depend on besides its code and data."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from tl_helpers import __version__

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "numpy", "scipy", "scikit-learn", "pandas", "joblib")


@functools.cache  # asked by every run; on a Mac a process
def cpu_model():
    """Return the processor's name.

    Returns
    -------
    str
        Such as ``"AMD EPYC 7B13"``; the architecture where no name is to be had.
    """
    try:
        if sys.platform == "linux":
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        elif sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine() or "unknown"


def environment():
    """Return what a result may depend on besides its code and data.

    Returns
    -------
    dict
        ``versions`` (name → version, of those packages that are installed), ``cpu``, ``cores`` and ``system``.
    """
    versions = {"python": platform.python_version(), "tl_helpers": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
