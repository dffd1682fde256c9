"""How much faster does the kit train a head, or the last blocks, than the Keras guide's way, to the same weights?

The Keras way is that of the guide "Transfer learning & fine-tuning" on keras.io: ``base(image, training=False)``, a
head on top, ``compile``, ``fit`` with validation after each epoch. The base's frozen BatchNorm layers are not
trainable, as in the guide. Both ways get the same images in the same order, the same starting weights, and Adam with
the same rates. Timed is everything from the built model to the trained one; loading images and weights is not.

``head-cold`` is the first training of a process that was started for it, so that whatever is set up once counts, and
``head-second-call`` the second one in the same process, of a network built anew.
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from functools import cache, partial

import numpy as np

from tests.benchmarks.grids import fewer
from tests.benchmarks.pairs import Outcome, are_identical, make_row, seconds_of, take_turns
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.models.backbones import load_backbone
from tl_helpers.models.features import extract_features, probe
from tl_helpers.models.graph import layers_in, leaves_of
from tl_helpers.models.heads import add_class_head
from tl_helpers.training.fit import fit_transfer
from tl_helpers.training.loop import draw_batches

SIZE = 96  # pixels
TRAIN, VALIDATION = 608, 292  # 900 images; 19 full batches
BATCH = 32
RATE = 1e-3
SEED = 0
EPOCHS = {"head": 10, "blocks": 4}
# Over how many more epochs the kit's cost per later epoch is averaged: one alone is too short to be timed.
LATER = 200
# The last frozen inverted residual block. (A stage holds up to four of them; block 7a is a stage of its own.)
CUTS = {"last-1-block": "block6d", "last-2-blocks": "block6c", "last-3-blocks": "block6b"}
TARGETS = {
    "head-cold": 8.0,
    "head-second-call": 9.0,
    "head-later-epoch": 25.0,
    "last-1-block": 2.2,
    "last-2-blocks": 2.0,
    "last-3-blocks": 1.6,
    "fit-all-cached": 5.5,  # of about 3.3 s, that is 0.6 s
    "features-second-call": 3.3,  # of about 1 s, that is 0.3 s
}
FEW = 40  # images: what one looks at while trying things out


@cache
def pictures():
    """Load the images: two styles of emoji, mixed.

    Returns
    -------
    train, validation : tuple of numpy.ndarray
        ``x`` uint8 ``(n, 96, 96, 3)``, ``y`` int64 ``(n,)``.
    """
    styles = [load_emoji(style, size=SIZE) for style in ("noto", "twemoji")]
    x, y = np.concatenate([style.x for style in styles]), np.concatenate([style.y for style in styles])
    mixed = np.random.default_rng(SEED).permutation(len(x))
    train, validation = mixed[:TRAIN], mixed[TRAIN : TRAIN + VALIDATION]
    return (x[train], y[train]), (x[validation], y[validation])


def classes():
    return int(pictures()[0][1].max()) + 1


def weights_of(model):
    """Return a model's weights by layer and name, the same for a flat model and one with the base nested in it."""
    return {f"{layer.name}/{weight.name}": weight.numpy() for layer in leaves_of(model) for weight in layer.weights}


def compile_and_fit(model, train, validation, epochs):
    """Train as the guide does, on the batches that the kit would draw; return the processor seconds.

    Parameters
    ----------
    model : keras.Model
    train, validation : tuple of numpy.ndarray
    epochs : int

    Returns
    -------
    seconds, later_seconds : float
        In total, and per epoch after the first.
    """
    import keras
    import tensorflow as tf

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            ends.append(time.process_time())

    ends, started = [], time.process_time()
    steps = len(train[0]) // BATCH
    x, y = map(tf.constant, train)
    batches = tf.data.Dataset.from_tensor_slices(draw_batches(len(train[0]), steps * epochs, BATCH, [SEED, 0]))
    batches = batches.map(lambda rows: (tf.gather(x, rows), tf.gather(y, rows))).prefetch(tf.data.AUTOTUNE)
    schedule = keras.optimizers.schedules.PolynomialDecay(RATE, steps * epochs, end_learning_rate=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        validation_data=validation,
        callbacks=[Clock()],
        verbose=0,
    )
    seconds = time.process_time() - started
    return seconds, (ends[-1] - ends[0]) / max(epochs - 1, 1)


def train_with_keras(upto, epochs, data):
    """Train the head, and the base after the block `upto` (None: only the head), the guide's way."""
    import keras

    backbone = load_backbone(size=SIZE)
    first_head = add_class_head(backbone, classes(), seed=SEED).get_layer("head").get_weights()
    base = backbone.model
    base.trainable = False
    if upto is not None:
        base.trainable = True
        last = base.layers.index(layers_in(base, upto)[-1])
        for position, layer in enumerate(base.layers):
            layer.trainable = position > last and not isinstance(layer, keras.layers.BatchNormalization)
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.GlobalAveragePooling2D(name="head_pool")(base(image, training=False))
    head = keras.layers.Dense(classes(), name="head")
    model = keras.Model(image, head(features))
    head.set_weights(first_head)
    seconds, later_seconds = compile_and_fit(model, *data, epochs)
    return Outcome(seconds, weights_of(model), later_seconds)


def train_with_kit(upto, epochs, data, cache="auto"):
    """Train the same with :func:`tl_helpers.training.fit.fit_transfer`."""
    model = add_class_head(load_backbone(size=SIZE), classes(), seed=SEED)
    before = weights_of(model)
    started = time.process_time()
    fit_transfer(
        model,
        *data,
        strategy="linear_probing" if upto is None else "fine_tuning",
        upto=upto,
        learning_rate=RATE,
        updates=len(data[0][0]) // BATCH * epochs,
        batch_size=BATCH,
        seed=SEED,
        validations=epochs,
        cache=cache,
    )
    seconds = time.process_time() - started
    after = weights_of(model)
    if all(np.array_equal(before[name], after[name]) for name in before):
        raise AssertionError("Nothing was trained, so that equal weights would say nothing.")
    return Outcome(seconds, after)


@cache
def warm_up():
    """Train both ways on a few images, untimed: the first of them would pay for what TensorFlow sets up only once."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # each trial traces its model anew, which TensorFlow warns of
    x, y = pictures()[0][0][:BATCH], np.arange(BATCH) % classes()
    for train in (train_with_keras, train_with_kit):
        train("block6d", 1, ((x, y), (x, y)))


def in_a_fresh_process(way, calls):
    """Train the head in a process of its own, so many times one after the other.

    Parameters
    ----------
    way : {"keras", "kit"}
    calls : int

    Returns
    -------
    list of Outcome
        Results are hashes of the weights.
    """
    command = [sys.executable, "-m", "tests.benchmarks.training", way, str(calls)]
    process = subprocess.run(command, env=os.environ, stdout=subprocess.PIPE, text=True, check=True)
    return [
        Outcome(seconds, {name: np.array(digest) for name, digest in hashes.items()}, later)
        for seconds, hashes, later in json.loads(process.stdout.splitlines()[-1])
    ]


def train_and_tell(way, calls):
    """Train the head as :func:`in_a_fresh_process` asks, and print what it reads."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    train, data, told = {"keras": train_with_keras, "kit": train_with_kit}[way], pictures(), []
    for _ in range(calls):
        outcome = train(None, EPOCHS["head"], data)
        hashes = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in outcome.results.items()}
        told.append((outcome.seconds, hashes, outcome.later_seconds))
    print(json.dumps(told))


def head(repeats):
    """Return the rows of the head on the frozen backbone."""
    cold, second = {"keras": [], "kit": []}, {"keras": [], "kit": []}
    for number in range(repeats):
        for way in ("keras", "kit") if number % 2 == 0 else ("kit", "keras"):
            # The usual way's second training takes half a minute, and hardly less than its first.
            again = way == "kit" or number < fewer(repeats)
            first, *others = in_a_fresh_process(way, 2 if again else 1)
            cold[way].append(first)
            second[way] += others
    rows = [
        make_row(
            name,
            seconds_of(outcomes["keras"]),
            seconds_of(outcomes["kit"]),
            identical=are_identical(*outcomes["keras"], *outcomes["kit"]),
            target=TARGETS[name],
        )
        for name, outcomes in (("head-cold", cold), ("head-second-call", second))
    ]
    return [*rows, _later_epoch([outcome.later_seconds for outcome in cold["keras"]], fewer(repeats))]


def _later_epoch(keras_seconds, repeats):
    """Return the row of one epoch after the first. That its weights are right is seen in the other rows."""
    warm_up()
    kept = {}
    train_with_kit(None, 1, pictures(), cache=kept)
    short, long = (
        [train_with_kit(None, epochs, pictures(), cache=kept) for _ in range(repeats)]
        for epochs in (EPOCHS["head"], EPOCHS["head"] + LATER)
    )
    later = (min(seconds_of(long)) - min(seconds_of(short))) / LATER
    name = "head-later-epoch"
    return make_row(name, keras_seconds, [later], identical=are_identical(*short), target=TARGETS[name])


def all_cached(repeats):
    """Return the row of training the head with everything in a cache, against doing it without one."""
    warm_up()
    kept = {}
    train_with_kit(None, EPOCHS["head"], pictures(), cache=kept)
    plain, cached = take_turns(
        partial(train_with_kit, None, EPOCHS["head"], pictures()),
        partial(train_with_kit, None, EPOCHS["head"], pictures(), cache=kept),
        repeats,
    )
    name = "fit-all-cached"
    same = are_identical(*plain, *cached)
    return [make_row(name, seconds_of(plain), seconds_of(cached), identical=same, target=TARGETS[name])]


def features_again(repeats):
    """Return the rows of features of a few images, the second time and folded, against the first time and plain."""
    warm_up()
    x = np.concatenate([x for x, _ in pictures()])

    def timed(backbone, x, **settings):
        started = time.process_time()
        found = extract_features(backbone, x, batch_size=BATCH, **settings)
        return Outcome(time.process_time() - started, {"features": found})

    first, again = [], []
    for _ in range(repeats):
        backbone = load_backbone(size=SIZE)
        first.append(timed(backbone, x[:FEW]))
        again.append(timed(backbone, x[:FEW]))
    timed(backbone, x[:FEW], fold_batch_norm=True)
    plain, folded = take_turns(partial(timed, backbone, x), partial(timed, backbone, x, fold_batch_norm=True), repeats)
    rows = [
        make_row(
            name,
            seconds_of(usual),
            seconds_of(ours),
            identical=are_identical(*usual, *ours) if name == "features-second-call" else None,
            target=TARGETS.get(name),  # how much folding gains is the processor's matter
        )
        for name, usual, ours in (("features-second-call", first, again), ("features-folded", plain, folded))
    ]
    difference = np.abs(plain[0].results["features"] - folded[0].results["features"]).max()
    return [rows[0], rows[1] | {"largest_difference": float(f"{difference:.1e}")}]


def last_blocks(name, repeats):
    """Return the row of training the last blocks, too."""
    warm_up()
    ways = [partial(train, CUTS[name], EPOCHS["blocks"], pictures()) for train in (train_with_keras, train_with_kit)]
    keras_way, kit_way = take_turns(*ways, fewer(repeats))
    return [
        make_row(
            name,
            seconds_of(keras_way),
            seconds_of(kit_way),
            identical=are_identical(*keras_way, *kit_way),
            target=TARGETS[name],
        )
    ]


def cached_features(repeats):
    """Return the rows of a linear classifier on features that are there already, against Keras's own ``fit``."""
    import keras

    warm_up()
    train, validation = ((extract_features(load_backbone(size=SIZE), x, batch_size=BATCH), y) for x, y in pictures())

    def new_head():
        features = keras.Input(train[0].shape[1:])
        initializer = keras.initializers.GlorotUniform(seed=SEED)
        return keras.Model(
            features, keras.layers.Dense(classes(), kernel_initializer=initializer, name="head")(features)
        )

    def accuracy_of(logits):
        return {"accuracy": np.mean(np.argmax(logits, axis=-1) == validation[1])}

    def with_keras():
        model = new_head()
        seconds, _ = compile_and_fit(model, train, validation, EPOCHS["head"])
        return Outcome(seconds, weights_of(model) | accuracy_of(model.predict(validation[0], verbose=0)))

    def with_kit():
        model, started = new_head(), time.process_time()
        updates = len(train[0]) // BATCH * EPOCHS["head"]
        settings = {"updates": updates, "batch_size": BATCH, "seed": SEED, "validations": EPOCHS["head"]}
        fit_transfer(model, train, validation, strategy="linear_probing", learning_rate=RATE, **settings)
        seconds = time.process_time() - started
        return Outcome(seconds, weights_of(model) | accuracy_of(model.predict(validation[0], verbose=0)))

    def with_scikit_learn():
        started = time.process_time()
        scores = probe(*train).decision_function(validation[0])
        return Outcome(time.process_time() - started, accuracy_of(scores))

    def with_pytorch():
        seconds, scores = _train_with_pytorch(*train, validation[0])
        return Outcome(seconds, accuracy_of(scores))

    ways = {"kit": with_kit, "scikit-learn": with_scikit_learn}
    if importlib.util.find_spec("torch"):
        ways["pytorch"] = with_pytorch
    rows = []
    for name, way in ways.items():
        way()  # its imports are not what is timed
        keras_way, other = take_turns(with_keras, way, repeats)
        row = make_row(
            f"cached-features-{name}",
            seconds_of(keras_way),
            seconds_of(other),
            identical=are_identical(*keras_way, *other) if name == "kit" else None,
        )
        accuracies = [round(float(outcomes[0].results["accuracy"]), 4) for outcomes in (keras_way, other)]
        rows.append(row | dict(zip(("baseline_accuracy", "ours_accuracy"), accuracies, strict=True)))
    return rows


def _train_with_pytorch(x, y, unseen):
    """Train a linear layer on the same batches with PyTorch; return processor seconds and the logits of `unseen`."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    started = time.process_time()
    rows = draw_batches(len(x), len(x) // BATCH * EPOCHS["head"], BATCH, [SEED, 0])
    # Copies, because the kit's features are read-only, which PyTorch does not know.
    x, y, unseen = torch.tensor(x), torch.tensor(y), torch.tensor(unseen)
    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=RATE, eps=1e-7)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1 - update / len(rows))
    for batch in torch.tensor(rows, dtype=torch.int64):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scores = layer(unseen).numpy()
    return time.process_time() - started, scores


if __name__ == "__main__":
    train_and_tell(sys.argv[1], int(sys.argv[2]))
