"""Make one grey kernel of a colour kernel, so that grey pictures give what equal channels gave."""

import numpy as np

why = "Convolution is linear: three equal channels, each with its own kernel, are one channel with the sum of the three."
hints = [
    "What does the network see when red, green and blue of a picture are equal?",
    "Then each output is w_red · p + w_green · p + w_blue · p for a pixel p. Take p out of the brackets.",
    "Sum over axis 2, the colours, and keep that axis: `keepdims=True`.",
]
wrong = {
    "return kernel.mean(axis=2, keepdims=True)": "a third",
    "return kernel.sum(axis=2)": "axis",
    "return kernel[:, :, :1]": "one colour",
    "return kernel.sum(axis=3, keepdims=True)": "colours",
    "return kernel.sum(axis=7)": "AxisError",
}


def grey_kernel(kernel):
    """Return a kernel (height, width, 1, outputs) for a colour kernel (height, width, 3, outputs)."""
    return kernel.sum(axis=2, keepdims=True)


def check(answer):
    """Compare both kernels on a patch whose three channels are equal."""
    random = np.random.default_rng(4)
    kernel, patch = random.normal(size=(5, 5, 3, 4)), random.normal(size=(5, 5, 1))
    given = np.asarray(answer(kernel.copy()))
    yield (
        given.shape != (5, 5, 4),
        "One axis is missing: Keras wants a kernel of (height, width, 1, outputs).",
    )
    yield (
        given.shape == (5, 5, 1, 4),
        f"Of a kernel of shape (5, 5, 3, 4) it makes one of shape {given.shape}; the axis of the colours is number 2.",
    )
    yield (
        not np.allclose(given, kernel[:, :, :1]),
        "That keeps what one colour had learned, and drops the other two.",
    )
    yield (
        not np.allclose(3 * given, kernel.sum(axis=2, keepdims=True)),
        "The answers are a third of what they were.",
    )
    expected = (kernel * patch[..., None]).sum(axis=(0, 1, 2))
    found = (given * patch[..., None]).sum(axis=(0, 1, 2))
    yield (
        np.allclose(found, expected),
        "On a grey patch it does not answer what the colour kernel answers.",
    )
