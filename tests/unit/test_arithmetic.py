"""What may change the last digits changes the description of the machine, and nothing else does."""

import json
import os

import pytest

from tl_helpers.models import arithmetic as module
from tl_helpers.models.arithmetic import arithmetic


def test_the_description_stays_the_same_and_can_be_written():
    assert json.loads(json.dumps(arithmetic())) == arithmetic()


@pytest.mark.parametrize("name", ["TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "XLA_FLAGS"])
def test_settings_count(name, monkeypatch):
    before = arithmetic()
    monkeypatch.setenv(name, "another")
    assert arithmetic() != before


@pytest.mark.parametrize("name", ["cpu_model", "_instructions", "_cores"])
def test_the_processor_counts(name, monkeypatch):
    before = arithmetic()
    monkeypatch.setattr(module, name, lambda: "another")
    assert arithmetic() != before


@pytest.mark.parametrize("which", ["intra", "inter"])
def test_threads_count(which, monkeypatch):
    import tensorflow as tf

    before = arithmetic()
    monkeypatch.setattr(tf.config.threading, f"get_{which}_op_parallelism_threads", lambda: 77)
    assert arithmetic() != before


def test_deterministic_operations_count(monkeypatch):
    before = arithmetic()
    monkeypatch.setattr(module, "is_op_determinism_enabled", lambda: True)
    assert arithmetic() != before


def test_what_else_is_in_the_environment_does_not_count(monkeypatch):
    before = arithmetic()
    monkeypatch.setenv("TL_HELPERS_ANYTHING", str(os.getpid()))
    assert arithmetic() == before
