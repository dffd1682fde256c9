"""Let the learning rate fall on a straight line, from its first value to 0."""

import numpy as np

why = "Far steps while all is wrong, ever shorter ones at the end: the last batches can no longer throw the network about."
hints = [
    "What share of all updates is still to come at an update? It is 1 at the beginning and 0 at the end.",
    "That share is 1 - update / updates; times the first rate.",
    "Beyond the last update the share is below 0: `first * max(0.0, 1 - update / updates)`.",
]
wrong = {
    "return first * (1 - update / updates)": "below 0",
    "return first * update / updates": "rises",
    "return first": "does not fall",
    "return first * 0.01 ** (update / updates)": "still above 0",
    "return first * (1 - update // updates)": "all at once",
    "return max(0.0, first - update / updates)": "straight line",
}


def falling_rate(update, first, updates):
    """Return the learning rate at an update, counted from 0: `first` at 0, half of it half-way, 0 from `updates` on."""
    return first * max(0.0, 1 - update / updates)


def check(answer):
    """Ask for rates at the beginning, on the way, at the end and beyond it."""
    first, updates = 0.004, 200
    rates = {
        update: float(answer(update, first, updates)) for update in (0, 50, 100, 150, 200, 260)
    }
    yield (
        len(set(rates.values())) > 1,
        "It does not fall: at update 150 of 200 it is what it was at 0.",
    )
    yield rates[0] >= rates[100], "It rises: the first update should have the largest rate."
    yield np.isclose(rates[0], first), f"At update 0 it should be {first}, not {rates[0]:g}."
    yield (
        rates[260] >= 0,
        f"After the last update it falls below 0, to {rates[260]:g}: such a rate unlearns.",
    )
    yield (
        np.isclose(rates[200], 0, atol=1e-9),
        f"At the last update it is still above 0: {rates[200]:g}.",
    )
    yield (
        not np.isclose(rates[150], first),
        "It falls all at once, at the end: it should fall a little at every update.",
    )
    line = {update: first * max(0.0, 1 - update / updates) for update in rates}
    yield (
        np.allclose(list(rates.values()), list(line.values()), atol=1e-9),
        f"That is no straight line: half-way it should be {first / 2}, not {rates[100]:g}.",
    )
    yield (
        np.isclose(float(answer(3, 1.0, 12)), 0.75),
        "With another first rate and 12 updates it is no longer right.",
    )
