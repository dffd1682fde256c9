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
    batches = []
    for seed in range(2):
        given = answer(target, source, 16, np.random.default_rng(seed))
        yield isinstance(given, (tuple, list)) and len(given) == 2, "It must return x and y."
        x, y = map(np.asarray, given)
        yield len(x) == len(y) == 16, f"A batch of 16 was asked for, and it has {len(x)} examples."
        batches.append(x.ravel())
        from_target = int((x.ravel() < 1000).sum())
        yield (
            from_target == 8,
            f"{from_target} of 16 come from the target; it should be half, however small the target is.",
        )
        labels = np.where(x.ravel() < 1000, x.ravel(), x.ravel() - 1000).astype(int) % 5
        yield (
            np.array_equal(labels, y),
            "An example has another's label: draw positions once, and use them for x and y.",
        )
    yield (
        not np.array_equal(*batches),
        "Two batches hold the same examples: draw them with the generator.",
    )
