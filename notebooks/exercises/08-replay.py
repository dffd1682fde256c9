"""Make a batch of replay: half target, half source."""

import numpy as np

why = "The target is learned at half the pace, and every step also says what must not be forgotten."
hints = [
    "`random.integers(0, n, size)` draws positions, or `random.choice(n, size, replace=False)` without repetition.",
    "Draw size // 2 positions among the target's examples and as many among the source's.",
    "Concatenate the drawn x, and the drawn y in the same order.",
]
wrong = {
    "x, y = (np.concatenate([t, s]) for t, s in zip(target, source))\npick = random.choice(len(x), size, replace=False)\n"
    "return x[pick], y[pick]": "half",
    "a = random.choice(len(target[0]), size // 2, replace=False)\nb = random.choice(len(source[0]), size // 2, replace=False)\n"
    "return np.concatenate([target[0][a], source[0][b]]), np.concatenate([target[1][b % len(target[1])], source[1][b]])": "label",
    "a, b = random.choice(len(target[0]), size, replace=True), random.choice(len(source[0]), size, replace=False)\n"
    "return np.concatenate([target[0][a], source[0][b]]), np.concatenate([target[1][a], source[1][b]])": "examples",
    "half = size // 2\nreturn np.concatenate([target[0][:half], source[0][:half]]), np.concatenate([target[1][:half], source[1][:half]])": "same",
}


def replay_batch(target, source, size, random):
    """Return x and y of a batch of an even size, half of it from each pair (x, y), drawn by a NumPy generator."""
    half = size // 2
    of_target = random.choice(len(target[0]), half, replace=False)
    of_source = random.choice(len(source[0]), half, replace=False)
    x = np.concatenate([target[0][of_target], source[0][of_source]])
    return x, np.concatenate([target[1][of_target], source[1][of_source]])


def check(answer):
    """Draw batches of a small target and a large source."""
    target = np.arange(20.0)[:, None], np.arange(20) % 5
    source = 1000 + np.arange(500.0)[:, None], np.arange(500) % 5
    batches, random = [], np.random.default_rng(0)
    for _ in range(30):
        given = answer(target, source, 16, random)
        yield isinstance(given, (tuple, list)) and len(given) == 2, "It must return x and y."
        x, y = map(np.asarray, given)
        yield len(x) == len(y) == 16, f"A batch of 16 was asked for, and it has {len(x)} examples."
        place = x.ravel().astype(int)
        of_target = place < 1000
        yield (
            of_target.sum() == 8,
            f"{of_target.sum()} of 16 come from the target; it should be half, however small the target is.",
        )
        yield (
            np.array_equal(place % 5, y),
            "An example has another's label: draw positions once, and use them for x and y.",
        )
        batches.append((set(place[of_target]), set(place[~of_target] - 1000)))
    of_target, of_source = (set().union(*half) for half in zip(*batches, strict=True))
    yield (
        len(of_target) > 8 and len(of_source) > 8,
        "All batches hold the same examples: draw them with the generator.",
    )
    yield len(of_target) == 20, "Some of the target's examples never come."
    yield (
        max(of_source) > 250,
        "Of the source only the first examples come: draw its positions among all that it has.",
    )
