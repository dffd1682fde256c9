"""Fit large grey pictures to a model of small colour ones: half the side, three equal channels."""

import numpy as np

why = "Each new pixel is the mean of four old ones, and equal red, green and blue are what a colour model sees as grey."
hints = [
    "Two steps: first the mean of each block of 2 × 2 pixels, then the one channel three times.",
    "x[:, ::2, ::2] holds the upper left pixel of each block. Where are the other three?",
    "`x.reshape(n, h // 2, 2, w // 2, 2, 1)` gives each block its own axes: `.mean(axis=(2, 4))`; then `np.repeat(…, 3, axis=3)`.",
]
wrong = {
    "return x[:, ::2, ::2].repeat(3, axis=3)": "one pixel of four",
    "n, h, w, _ = x.shape\nreturn x.reshape(n, h // 2, 2, w // 2, 2, 1).mean(axis=(2, 4))": "one channel",
    "n, h, w, _ = x.shape\nreturn x.reshape(n, 2, h // 2, 2, w // 2, 1).mean(axis=(1, 3)).repeat(3, axis=3)": "far apart",
    "return ((x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4).repeat(3, axis=3)": "uint8",
    "n, h, w, _ = x.shape\nreturn x.reshape(n, h // 2, 2, w // 2, 2, 1).sum(axis=(2, 4)).repeat(3, axis=3)": "four times",
    "n, h, w, _ = x.shape\nreturn x.reshape(n, h // 2, 2, w // 2, 2, 1).mean(axis=(2, 4)).repeat(3, axis=2)": "shape",
}


def shrink(x):
    """Return grey pictures (n, h, w, 1) of whole numbers at half their side, in three equal channels: (n, h/2, w/2, 3)."""
    n, h, w, _ = x.shape
    halved = x.reshape(n, h // 2, 2, w // 2, 2, 1).mean(axis=(2, 4))
    return np.repeat(halved, 3, axis=3)


def check(answer):
    """Shrink pictures of another size than the notebook's, higher than wide, whose pixels are noise."""
    x = np.random.default_rng(6).integers(0, 256, size=(3, 12, 8, 1)).astype("uint8")
    corners = [x[:, i::2, j::2].astype("float64") for i in (0, 1) for j in (0, 1)]
    expected = np.repeat(sum(corners) / 4, 3, axis=3)
    given = np.asarray(answer(x.copy()))
    words = "It still has one channel: the model wants three."
    yield given.shape != (3, 6, 4, 1), words
    words = (
        f"Of pictures of shape (3, 12, 8, 1) it makes {given.shape}; the model wants (3, 6, 4, 3)."
    )
    yield given.shape == (3, 6, 4, 3), words
    given = given.astype("float64")
    words = "It keeps one pixel of four and drops three: the new pixel is their mean."
    yield not any(np.allclose(given, np.repeat(corner, 3, axis=3)) for corner in corners), words
    words = "The pixels are four times too bright: divide the sum by 4."
    yield not np.allclose(given, 4 * expected), words
    apart = x.reshape(3, 2, 6, 2, 4, 1).mean(axis=(1, 3))
    words = "It averages pixels that lie far apart: in `reshape` the 2 comes after the half, not before."
    yield not np.allclose(given, np.repeat(apart, 3, axis=3), atol=1.0), words
    words = "The sum ran over: in uint8, 200 + 100 is 44. Take `.mean`, or `x.astype(float)` first."
    wrapped = sum(corner.astype("uint8") for corner in corners)
    yield not np.allclose(given, np.repeat(wrapped / 4, 3, axis=3), atol=1.0), words
    words = "The three channels must be equal, each the mean of 2 × 2 neighbours."
    yield np.allclose(given, expected, atol=1.0), words  # whole numbers may be rounded
