"""Training, freezing and caching hold with TensorFlow's own kernels too, as where oneDNN does not serve a processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# About as long as each other: each is a process of its own, and `tests/speed.py` may start them at the same time.
GROUPS = {
    "kinds": ["test_layer_kinds.py"],
    "freezing": ["test_freezing.py", "test_training.py", "test_prefix.py"],
    "caching": [
        "test_cached_training.py",
        "test_divergence.py",
        "test_features.py",
        "test_loop.py",
        "test_reviewed_cases.py",
    ],
}


@pytest.mark.skipif(os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0", reason="this is the run without oneDNN")
@pytest.mark.parametrize("group", GROUPS)
def test_the_same_tests_pass_without_onednn(group):
    files = [str(Path(__file__).with_name(name)) for name in GROUPS[group]]
    # Not the chains drawn at random: each kind of layer is asked by itself as well.
    words = ["-q", "-p", "no:cacheprovider", "-n", "0", "-k", "not any_chain", *files]
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
