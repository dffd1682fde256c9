"""Put small pictures into larger frames, so that two collections show their things at one size and place."""

import numpy as np

why = "The same strokes now stand at the same places in both collections, and one kernel fits both."
hints = [
    "How many pixels are left over on each side? (size - height) // 2 above, and as many below.",
    "Black frames are `np.zeros((n, size, size))`; write the pictures into a slice of them.",
    "Or `np.pad(pictures, ((0, 0), (b, b), (b, b)))`: nothing before and after the pictures, b around each.",
]
wrong = {
    "frames = np.zeros((len(pictures), size, size))\n"
    "frames[:, : pictures.shape[1], : pictures.shape[2]] = pictures\nreturn frames": "corner",
    "factor = size // pictures.shape[1]\n"
    "large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)\n"
    "rest = size - large.shape[1]\nreturn np.pad(large, ((0, 0), (0, rest), (0, rest)))": "enlarged",
    "border = (size - pictures.shape[1]) // 2\nreturn np.pad(pictures, border)": "shape",
    "border = (size - pictures.shape[1]) // 2\n"
    "return np.pad(pictures, ((0, 0), (border, border), (border, border)), mode='edge')": "black",
}


def put_in_frame(pictures, size):
    """Return square pictures (n, h, h), h even, unchanged in the middle of black (0) frames (n, size, size)."""
    border = (size - pictures.shape[1]) // 2
    return np.pad(pictures, ((0, 0), (border, border), (border, border)))


def check(answer):
    """Frame a few noisy pictures, one of them with a bright edge, in frames of three sizes."""
    random = np.random.default_rng(0)
    for side, size in ((4, 8), (20, 28), (6, 6)):
        pictures = random.integers(1, 256, (3, side, side))
        framed = np.asarray(answer(pictures.copy(), size))
        wanted = (3, size, size)
        yield (
            framed.shape == wanted,
            f"Three pictures in frames of {size} should have the shape {wanted}, not {framed.shape}.",
        )
        first, last = (size - side) // 2, (size + side) // 2
        in_corner = np.array_equal(framed[:, :side, :side], pictures)
        yield (
            side == size or not in_corner,
            "The pictures are in a corner of their frames: leave as much on each side.",
        )
        inside = framed[:, first:last, first:last]
        around = np.delete(np.delete(framed, range(first, last), 1), range(first, last), 2)
        outside = framed.sum() - inside.sum()
        yield (
            not np.array_equal(inside, pictures) or outside == 0,
            "The frame around the pictures is not black: it should be 0 everywhere.",
        )
        yield (
            np.array_equal(inside, pictures) and not around.any(),
            "The pictures are not in the middle as they were: they are to be moved, and not enlarged or changed.",
        )
