"""Training, freezing and caching hold with TensorFlow's own kernels too, as where oneDNN does not serve a processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    "test_cached_training.py",
    "test_divergence.py",
    "test_features.py",
    "test_freezing.py",
    "test_layer_kinds.py",
    "test_loop.py",
    "test_prefix.py",
    "test_reviewed_cases.py",
    "test_training.py",
]


@pytest.mark.slow(seconds=400)
@pytest.mark.skipif(os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0", reason="this is the run without oneDNN")
def test_the_same_tests_pass_without_onednn():
    files = [str(Path(__file__).with_name(name)) for name in FILES]
    # Not the chains drawn at random: each kind of layer is asked by itself as well. Other files run beside it already
    # where there are several processes: then one is enough, which imports TensorFlow once.
    processes = "0" if "PYTEST_XDIST_WORKER" in os.environ else "auto"
    words = ["-q", "-p", "no:cacheprovider", "-n", processes, "--dist", "worksteal", "-k", "not any_chain", *files]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout
