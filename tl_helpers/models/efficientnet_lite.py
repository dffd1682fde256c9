"""What does EfficientNet-Lite0 look like? The architecture of the shipped ImageNet backbone, in plain Keras layers.

EfficientNet-Lite is Google's 2020 variant of EfficientNet (Tan and Le 2019, table 1) for phones: no
squeeze-and-excitation, ReLU6 for every swish, and a stem and a last convolution of fixed width. It has few parameters
(4.7 million with its 1,000 classes), no dropout before the classifier, and runs well on a processor without a GPU.
"""

import keras
from keras import layers

# One row per group of inverted residual blocks (Sandler et al. 2018, MobileNetV2): repeats, kernel size, stride of the
# first repeat, expansion of the channels inside a block, channels of its output.
BLOCK_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TOTAL_STRIDE = 32
PREPROCESSING = "(x - 127) / 128"
WEIGHTS = "weights/efficientnet_lite0.npz"


def build(size):
    """Build EfficientNet-Lite0 without its classifier, with random weights.

    Parameters
    ----------
    size : int
        Side of the input in pixels, a multiple of 32.

    Returns
    -------
    model : keras.Model
        From RGB images ``(n, size, size, 3)``, 0…255, to the feature map ``(n, size/32, size/32, 1280)``.
    stages : dict of str to str
        ``stem``, ``block1`` … ``block7``, ``conv_head`` → name of the last layer of each. A single tensor leaves each
        of these layers and nothing goes round it, so one may cut the model there.

    Notes
    -----
    BatchNorm has momentum 0.99 and epsilon 0.001, as in the published training.
    """
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocess")(image)
    x = _activate(_normalise(_convolve(x, 32, 3, 2, "stem_conv"), "stem_bn"), "stem_relu")
    stages = {"stem": "stem_relu"}
    for number, (repeats, kernel, stride, expansion, filters) in enumerate(BLOCK_GROUPS, start=1):
        for letter in "abcd"[:repeats]:
            name = f"block{number}{letter}"
            x, last = _inverted_residual(x, kernel, stride if letter == "a" else 1, expansion, filters, name)
        stages[f"block{number}"] = last
    x = _activate(_normalise(_convolve(x, 1280, 1, 1, "conv_head"), "conv_head_bn"), "conv_head_relu")
    stages["conv_head"] = "conv_head_relu"
    return keras.Model(image, x, name="efficientnet_lite0"), stages


def _inverted_residual(x, kernel, stride, expansion, filters, name):
    """Expand the channels, filter each alone, project to few channels; add the input where the shapes agree."""
    block_input, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolve(x, channels * expansion, 1, 1, f"{name}_expand_conv")
        x = _activate(_normalise(x, f"{name}_expand_bn"), f"{name}_expand_relu")
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(x)
    x = _activate(_normalise(x, f"{name}_depthwise_bn"), f"{name}_depthwise_relu")
    x = _normalise(_convolve(x, filters, 1, 1, f"{name}_project_conv"), f"{name}_project_bn")
    if stride == 1 and channels == filters:
        return layers.Add(name=f"{name}_add")([x, block_input]), f"{name}_add"
    return x, f"{name}_project_bn"


def _convolve(x, filters, kernel, stride, name):
    settings = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    return layers.Conv2D(filters, kernel, strides=stride, name=name, **settings)(x)


def _normalise(x, name):
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)


def _activate(x, name):
    return layers.ReLU(max_value=6, name=name)(x)
