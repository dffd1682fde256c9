"""A killed run goes on where it stopped and ends as if nothing had happened; what is not its own is refused."""

import dataclasses
import errno
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from tests.unit.networks import break_in_phase
from tl_helpers.models.heads import add_class_head
from tl_helpers.models.small_network import body_of, small_cnn
from tl_helpers.training.checkpoint import Checkpoint, PhaseEnd, read_checkpoint, run_key, write_checkpoint
from tl_helpers.training.data import Examples
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.plan import make_plan
from tl_helpers.training.weights import snapshot

SHAPE = (12, 12, 1)
TRAIN = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), "uint8"), np.arange(12) % 3
HELD_OUT = np.random.default_rng(1).integers(0, 256, (7, *SHAPE), "uint8"), np.arange(7) % 3
RUN = {"strategy": "gradual_unfreezing", "learning_rate": 0.01, "updates": 20, "batch_size": 4, "seed": 0}


def network(seed=0):
    """The first half of the kit's small network, and a head: three phases of gradual unfreezing."""
    return add_class_head(body_of(small_cnn(SHAPE, 3, seed=seed), "conv2"), 3, seed=seed)


def train(model=None, data=TRAIN, held_out=HELD_OUT, **settings):
    return fit_transfer(network() if model is None else model, data, held_out, **RUN | settings)


def assert_same_run(one, other):
    for a, b in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(one.history.columns) == list(other.history.columns)
    for column in one.history.columns:
        np.testing.assert_array_equal(one.history[column], other.history[column])
    assert (one.note, one.cached, one.updates, one.strategy) == (
        other.note,
        other.cached,
        other.updates,
        other.strategy,
    )


@pytest.fixture(scope="module")
def unbroken():
    return train()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The file of a finished run."""
    path = tmp_path_factory.mktemp("finished") / "run.npz"
    train(resume=path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def key_in(path):
    """Return the key that a file holds."""
    with np.load(path) as archive:
        return json.loads(str(archive["about"]))["key"]


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_interrupted_run_goes_on_with_its_first_unfinished_phase(number, path, unbroken, monkeypatch):
    with monkeypatch.context() as patch:
        break_in_phase(patch, number)
        with pytest.raises(KeyboardInterrupt):
            train(resume=path)
    assert path.exists() == (number > 0)
    calls = break_in_phase(monkeypatch, 99)
    resumed = train(resume=path)
    assert len(calls) == 3 - number
    assert_same_run(resumed, unbroken)
    frozen = [layer.name for layer in resumed.model.layers if not layer.trainable]
    assert frozen == [layer.name for layer in unbroken.model.layers if not layer.trainable]
    assert resumed.model.compiled


def test_a_finished_run_is_not_run_again(path, finished, unbroken, monkeypatch):
    path.write_bytes(finished)
    calls = break_in_phase(monkeypatch, 99)
    again = train(resume=path)
    assert not calls
    assert_same_run(again, unbroken)
    before = read_checkpoint(path, key_in(path))
    # Those of the first time count.
    assert again.seconds > before.seconds > 0 and again.cpu_seconds > before.cpu_seconds > 0


@pytest.mark.parametrize("strategy", ["scratch", "lp_ft"])
def test_dropout_batch_norm_and_the_best_weights_go_on_too(strategy, path, monkeypatch):
    def make():
        keras.utils.set_random_seed(0)
        image = keras.Input(SHAPE)
        x = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
        x = layers.Dropout(0.5, name="head_drop")(layers.Flatten(name="head_flat")(x))
        return keras.Model(image, layers.Dense(3, name="head")(x))

    settings = {"strategy": strategy, "weights": "best", "validations": 6}
    whole = train(make(), **settings)
    with monkeypatch.context() as patch:
        break_in_phase(patch, 0 if strategy == "scratch" else 1)
        with pytest.raises(KeyboardInterrupt):
            train(make(), resume=path, **settings)
    # A second network of one process: Keras numbers the names that it gives itself differently.
    assert_same_run(train(make(), resume=path, **settings), whole)


SCRIPT = """
import sys
import numpy as np
from tests.unit.test_checkpoint import network, train
fit = train(resume=sys.argv[1], updates=int(sys.argv[3]))
np.savez(sys.argv[2], *fit.model.get_weights(), loss=fit.history["loss"], best=fit.history["validation_loss"])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kills_at_random_points_leave_no_trace(tmp_path):
    generator, path, updates = random.Random(), tmp_path / "run.npz", 1500
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-c", SCRIPT, path, tmp_path / "end.npz", str(updates)]
    settings = {"cwd": root, "env": os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])}}
    sizes = []
    for _ in range(2):
        process = subprocess.Popen(command, **settings)
        before = path.stat().st_mtime_ns if path.exists() else 0
        # Once it has written a phase of its own, at any moment, of the writing of the next one too.
        while process.poll() is None and (path.stat().st_mtime_ns if path.exists() else 0) == before:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        with np.load(path) as archive:
            sizes.append(len(archive.files))
    assert sizes and sizes == sorted(sizes)
    subprocess.run(command, check=True, **settings)
    whole = train(updates=updates)
    with np.load(tmp_path / "end.npz") as end:
        for number, weight in enumerate(whole.model.get_weights()):
            np.testing.assert_array_equal(end[f"arr_{number}"], weight)
        np.testing.assert_array_equal(end["loss"], whole.history["loss"])
        np.testing.assert_array_equal(end["best"], whole.history["validation_loss"])


# ---------------------------------------------------------------- what is not its own

X, Y = TRAIN


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"learning_rate": 0.02},
        {"head_learning_rate": 0.02},
        {"updates": 21},
        {"batch_size": 5},
        {"validations": 9},
        {"strategy": "lp_ft"},
        {"upto": "conv1"},
        {"factors": 2.0},
        {"weights": "best"},
        {"stages": ["conv2"]},
        {"held_out": None},
        {"held_out": (HELD_OUT[0], HELD_OUT[1][::-1])},
        {"data": (X[::-1].copy(), Y)},
        {"data": (X, Y[::-1].copy())},
        {"data": (X.astype("float32"), Y)},
        {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        {"loss": lambda y, x: 2 * keras.losses.sparse_categorical_crossentropy(y, x, from_logits=True)},
    ],
)
def test_another_run_is_refused_and_its_file_kept(change, path, finished):
    path.write_bytes(finished)
    with pytest.raises(ValueError, match=r"run\.npz belongs to another run: .* delete the file or give another"):
        train(resume=path, **change)
    assert path.read_bytes() == finished


def test_a_refused_run_leaves_the_model_as_it_is(path, finished):
    path.write_bytes(finished)
    model = network()
    before = snapshot(model)
    with pytest.raises(ValueError, match="belongs to another run"):
        train(model, resume=path, seed=1)
    assert all(layer.trainable for layer in model.layers)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_what_does_not_decide_the_result_is_no_other_run(path, finished, unbroken, monkeypatch):
    path.write_bytes(finished)
    calls = break_in_phase(monkeypatch, 99)
    again = train(resume=path, cache=False)
    assert not calls
    np.testing.assert_array_equal(again.history["loss"], unbroken.history["loss"])


def variant(*, activation="relu", power=1.0, rate=0.0, name="first", head=1.0):
    """A small network of which each setting can be varied while its weights stay."""
    image = keras.Input(SHAPE)
    start = keras.initializers.HeUniform(seed=1)
    x = layers.Conv2D(2, 3, activation=activation, kernel_initializer=start, name=name)(image * power)
    x = layers.Dropout(rate, name="drop")(layers.Flatten(name="flat")(x))
    return keras.Model(image, layers.Dense(3, kernel_initializer="ones", name="head")(x) * head)


@pytest.mark.parametrize(
    "change", [{"activation": "tanh"}, {"power": 2.0}, {"rate": 0.5}, {"name": "body"}, {"head": 2.0}]
)
def test_another_network_with_the_same_weights_is_another_run(change, path):
    train(variant(), resume=path, strategy="fine_tuning", updates=2)
    train(variant(), resume=path, strategy="fine_tuning", updates=2)
    with pytest.raises(ValueError, match="belongs to another run"):
        train(variant(**change), resume=path, strategy="fine_tuning", updates=2)


class Factor:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, y, outputs):
        return self.factor * keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)


class FactorLoss(keras.losses.Loss):
    """A loss whose settings say nothing of what it does."""

    sign = 1.0

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, y, outputs):
        return self.sign * Factor(self.factor)(y, outputs)


class OtherLoss(FactorLoss):
    sign = 2.0


OtherLoss.__name__ = OtherLoss.__qualname__ = "FactorLoss"


def enclosing(weights):
    def loss(y, outputs):
        return weights.sum() * Factor(1.0)(y, outputs)

    return loss


def with_option(y, outputs, factor):
    return factor * Factor(1.0)(y, outputs)


LOSSES = {
    "class weights that are enclosed": lambda n: enclosing(np.float32([1, n])),
    "functions without a name": lambda n: (
        (lambda y, outputs: Factor(1.0)(y, outputs)) if n == 1 else (lambda y, outputs: Factor(1.0)(y, 2 * outputs))
    ),
    "a partial function": lambda n: functools.partial(with_option, factor=float(n)),
    "an object": lambda n: Factor(float(n)),
    "a method": lambda n: Factor(float(n)).__call__,
    "the state of a loss": lambda n: FactorLoss(float(n)),
    "arrays in a loss": lambda n: FactorLoss(np.float32([n])),
    "a class of loss": lambda n: FactorLoss(1.0) if n == 1 else OtherLoss(1.0),
    "settings of a loss": lambda n: keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=None if n == 1 else 0
    ),
}


@pytest.mark.parametrize("what", LOSSES)
def test_another_loss_is_another_run(what, path):
    def run(n):
        return train(loss=LOSSES[what](n), strategy="linear_probing", updates=2, resume=path, validations=1)

    whole = run(1)
    content = path.read_bytes()
    assert_same_run(run(1), whole)
    assert path.read_bytes() == content
    with pytest.raises(ValueError, match="belongs to another run"):
        run(2)


def planned(model, **settings):
    settings = {
        "validations": 10,
        "validated": True,
        "cache": "auto",
        "deterministic": False,
        "weights": "last",
    } | settings
    missing = dict.fromkeys(("head_learning_rate", "loss", "upto", "factors", "stages", "class_weight"))
    return make_plan(model, **missing | RUN | settings)


def key_of(plan, model):
    return run_key(model, plan, Examples(*TRAIN), None)


def test_every_setting_but_the_cache_counts():
    model = network()
    plan = planned(model)
    others = {
        "strategy": "lp_ft",
        "phases": plan.phases[:2],
        "batch_size": 5,
        "seed": 1,
        "loss": "mse",
        "factors": 2.0,
        "weights": "best",
        "cache": False,
        "deterministic": True,
        "class_weight": {0: 2.0},
        "fixed": (model.weights[0],),
        "said": "words",
    }
    assert set(others) == {field.name for field in dataclasses.fields(plan)}
    same = {
        name
        for name, value in others.items()
        if key_of(dataclasses.replace(plan, **{name: value}), model) == key_of(plan, model)
    }
    assert same == {"cache", "said"}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"updates": 1},
        {"learning_rate": 1.0},
        {"validations": 1},
        {"head_only": True},
        {"upto": "conv2"},
    ],
)
def test_every_setting_of_a_phase_counts(change):
    model = network()
    plan = planned(model)
    last = dataclasses.replace(plan.phases[-1], **change)
    other = dataclasses.replace(plan, phases=(*plan.phases[:-1], last))
    assert key_of(other, model) != key_of(plan, model)


def test_weights_of_examples_count():
    model = network()
    plan, ones = planned(model), np.ones(12, "float32")
    keys = {run_key(model, plan, Examples(*TRAIN, weights), None) for weights in (None, ones, 2 * ones)}
    assert len(keys) == 3


def test_a_loss_that_cannot_be_recognised_is_refused_before_training(path):
    message = "handle, which .* uses: .* cannot be fingerprinted"
    with open(os.devnull) as handle, pytest.raises(TypeError, match=message):
        train(loss=lambda y, outputs: Factor(1.0 if handle else 2.0)(y, outputs), resume=path)
    assert not path.exists()


def test_other_starting_weights_are_another_run(path, finished):
    path.write_bytes(finished)
    with pytest.raises(ValueError, match="belongs to another run"):
        train(network(seed=1), resume=path)


# ---------------------------------------------------------------- damage


def key_and_file(path):
    values = snapshot(network())
    phases = [PhaseEnd({"loss": np.arange(3.0)}, cached=True, note="note")]
    write_checkpoint(path, "key", Checkpoint(phases, 1.0, 2.0, values))
    return values, path.read_bytes()


def test_a_checkpoint_is_read_as_it_was_written(path):
    values, _ = key_and_file(path)
    read = read_checkpoint(path, "key")
    for a, b in zip(read.values, values, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(read.phases[0].columns["loss"], [0, 1, 2])
    assert (read.phases[0].cached, read.phases[0].note, read.seconds, read.cpu_seconds) == (True, "note", 1.0, 2.0)
    assert read_checkpoint(path.with_name("none.npz"), "key") is None
    with pytest.raises(ValueError, match="another run"):
        read_checkpoint(path, "other key")


@pytest.mark.parametrize("damage", ["empty", "torn", "noise", "no archive", "other archive", "folder"])
def test_a_damaged_checkpoint_is_reported_and_the_run_starts_anew(damage, path, finished, unbroken):
    if damage == "folder":
        path.mkdir()
    elif damage == "other archive":
        np.savez(path, a=np.arange(3))
    else:
        new = {"empty": b"", "torn": finished[: len(finished) // 2], "noise": os.urandom(999), "no archive": b"hello"}
        path.write_bytes(new[damage])
    with pytest.warns(UserWarning, match=r"run\.npz is damaged .*; the run starts at its beginning") as caught:
        assert_same_run(train(resume=path), unbroken)
    if damage == "folder":
        assert any("could not be written" in str(each.message) for each in caught)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(resume=path)


def test_no_damage_of_a_byte_is_an_error_or_goes_unseen(path):
    values, content = key_and_file(path)
    generator, seen = random.Random(0), 0
    for place in random.Random(1).sample(range(len(content)), 800) + list(range(len(content) - 1200, len(content))):
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read = read_checkpoint(path, "key")
        told = [each for each in caught if "starts at its beginning" in str(each.message)]
        assert len(told) == (read is None)  # NumPy may say more
        if read is None:
            seen += 1
        else:
            assert all((a == b).all() for a, b in zip(read.values, values, strict=True))
            assert read.phases[0].columns["loss"].tolist() == [0, 1, 2]
    assert seen > 800


def test_a_pickle_is_not_opened(path):
    np.savez(path, about=np.array([{"key": "key"}], dtype=object))
    with pytest.warns(UserWarning, match="damaged"):
        assert read_checkpoint(path, "key") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_costs_a_warning_and_leaves_the_phase_before(number, path, unbroken, monkeypatch):
    savez, calls = np.savez, []

    def full(file, **arrays):
        calls.append(file)
        if len(calls) > 1:
            file.write(b"half a file")
            raise OSError(number, os.strerror(number))
        savez(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.warns(UserWarning, match=rf"run\.npz could not be written \({os.strerror(number)}\): if this run"):
            assert_same_run(train(resume=path), unbroken)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    runs = break_in_phase(monkeypatch, 99)
    assert_same_run(train(resume=path), unbroken)
    assert len(runs) == 2  # the phase that was written is not run again


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, unbroken):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.warns(UserWarning) as caught:
        assert_same_run(train(resume=tmp_path / "file" / "run.npz"), unbroken)
    assert sum("could not be written" in str(each.message) for each in caught) == 3


def test_a_run_that_diverges_leaves_the_last_good_phase_and_the_weights_before(path, monkeypatch):
    model = network()
    before = snapshot(model)
    with pytest.raises(FloatingPointError):
        train(model, resume=path, strategy="lp_ft", learning_rate=3e38, head_learning_rate=0.01)
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    calls = break_in_phase(monkeypatch, 99)
    with pytest.raises(FloatingPointError):
        train(network(), resume=path, strategy="lp_ft", learning_rate=3e38, head_learning_rate=0.01)
    assert len(calls) == 1


def test_keys_are_short_text():
    key, plan = key_of(planned(network()), network()), planned(network(), seed=1)
    assert key == key_of(planned(network()), network())
    assert len(key) == 16 and key_of(plan, network()) != key
