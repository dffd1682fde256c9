"""Online sources are asked for by name, never silently, and a missing network is told as such."""

import keras
import numpy as np
import pytest

from tl_helpers.datasets.online import ONLINE_DATASETS, load_online


def test_without_the_argument_nothing_is_downloaded_and_the_offline_choice_is_named(monkeypatch):
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: pytest.fail("downloaded unasked"))
    with pytest.raises(ValueError, match=r"online=True .* load_street\(\)"):
        load_online("mnist")


@pytest.mark.parametrize("name", ONLINE_DATASETS)
def test_without_a_network_the_message_says_so(monkeypatch, name, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def fail(*arguments, **settings):
        raise Exception(f"URL fetch failure on {arguments}: None -- no network")

    monkeypatch.setattr(f"keras.src.datasets.{name}.get_file", fail)
    with pytest.raises(ConnectionError, match=r"could not download .* load_emoji\(\)"):
        load_online(name, online=True)


def test_another_error_is_passed_on(monkeypatch):
    def fail():
        raise ValueError("something else")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    with pytest.raises(ValueError, match="something else"):
        load_online("mnist", online=True)


@pytest.mark.parametrize(
    ("name", "shape", "y_shape"), [("mnist", (3, 28, 28), (3,)), ("cifar10", (3, 32, 32, 3), (3, 1))]
)
def test_what_keras_gives_becomes_a_data_set(monkeypatch, name, shape, y_shape):
    pair = (np.full(shape, 7, "uint8"), np.arange(3, dtype="uint8").reshape(y_shape))
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: (pair, pair))
    data = load_online(name, "test", online=True)
    assert data.x.shape == (3, *shape[1:3], 1 if len(shape) == 3 else 3) and data.y.tolist() == [0, 1, 2]
    assert data.ids[2] == f"{name}/test/2" and data.split == "test"


@pytest.mark.parametrize("arguments", [("imagenet", "train"), ("mnist", "validation")])
def test_unknown_names_and_splits_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        load_online(*arguments, online=True)
