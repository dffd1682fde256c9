"""Weigh two sources so that neither shouts the other down."""

import numpy as np

why = "A few labels that you trust now have as much say as a heap that you do not."
hints = [
    "One weight for each example of one's own, and one for each scraped example: `np.full(n, value)`, twice.",
    "Leave the scraped at 1. How much must each of 21 own examples weigh to make 140 in total?",
    "`np.concatenate([np.full(own, scraped / own), np.ones(scraped)])`",
]
wrong = {
    "return np.ones(own + scraped)": "all weigh the same",
    "return np.concatenate([np.full(own, own / scraped), np.ones(scraped)])": "the wrong way round",
    "return np.concatenate([np.ones(scraped), np.full(own, scraped / own)])": "come first",
    "return np.concatenate([np.full(own, 1 / own), np.full(scraped, 1 / scraped)])": "scraped example should weigh 1",
}


def source_weights(own, scraped):
    """Return weights of so many own, then scraped examples: scraped ones weigh 1, the two alike in total."""
    return np.concatenate([np.full(own, scraped / own), np.ones(scraped)])


def check(answer):
    """Ask for sources of different sizes, and for equal ones."""
    for own, scraped in ((21, 140), (4, 2), (7, 7)):
        given = np.asarray(answer(own, scraped), dtype=float)
        yield (
            given.shape == (own + scraped,),
            f"It should be {own + scraped} weights, not {given.shape}.",
        )
        totals = given[:own].sum(), given[own:].sum()
        yield (
            own == scraped or not np.allclose(given, 1),
            "All weigh the same, so the larger source has the larger say.",
        )
        yield (
            own == scraped or not np.allclose(given[:own], own / scraped),
            "That is the wrong way round: the fewer examples there are, the more each must weigh.",
        )
        yield (
            own == scraped
            or not (
                np.allclose(given[:scraped], 1) and np.allclose(given[scraped:], scraped / own)
            ),
            "The examples of one's own come first.",
        )
        yield (
            np.isclose(*totals),
            f"In total the own ones weigh {totals[0]:.1f} and the scraped ones {totals[1]:.1f}.",
        )
        yield (
            np.allclose(given[own:], 1),
            f"Each scraped example should weigh 1, not {given[-1]:.3f}.",
        )
