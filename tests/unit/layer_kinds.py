"""One small recipe for each kind of layer that Keras has, so that tests can ask every kind the same question."""

import inspect

import keras
from keras import layers


def kinds_of_keras():
    """List the names of all layer classes of Keras, without second names (``Convolution2D`` is ``Conv2D``)."""
    classes = {value for value in vars(layers).values() if inspect.isclass(value) and issubclass(value, keras.Layer)}
    return {kind.__name__ for kind in classes}


# What a layer is given: shape and type of one input. A layer that keeps its family can be followed by another one.
FAMILIES = {
    "vector": ((6,), "float32"),
    "sequence": ((5, 4), "float32"),
    "image": ((6, 6, 3), "float32"),
    "volume": ((4, 4, 4, 2), "float32"),
    "film": ((3, 6, 6, 2), "float32"),
    "tokens": ((5,), "int32"),
}


def _same(kind, *arguments, **settings):
    return lambda: getattr(layers, kind)(*arguments, **settings)


def _cell(kind):
    return lambda: layers.RNN(getattr(layers, kind)(4, dropout=0.5), return_sequences=True)


def _with_itself(layer):
    """Use a layer that takes several inputs on one of them and its half."""
    return lambda: lambda x: layer()([x, 0.5 * x])


RANGE = {"value_range": (0, 1)}
# Family → kind → a function that makes the layer, or a function of the input that uses it.
KEEPING = {
    "vector": {
        "Activation": _same("Activation", "gelu"),
        "ActivityRegularization": _same("ActivityRegularization", l2=0.1),
        "AlphaDropout": _same("AlphaDropout", 0.5),
        "BatchNormalization": _same("BatchNormalization"),
        "Dense": _same("Dense", 6, activation="tanh"),
        "Dropout": _same("Dropout", 0.5),
        "ELU": _same("ELU"),
        "EinsumDense": _same("EinsumDense", "ab,bc->ac", output_shape=6, bias_axes="c"),
        "GaussianDropout": _same("GaussianDropout", 0.5),
        "GaussianNoise": _same("GaussianNoise", 0.5),
        "Identity": _same("Identity"),
        "LayerNormalization": _same("LayerNormalization"),
        "LeakyReLU": _same("LeakyReLU"),
        "Normalization": _same("Normalization", mean=0.5, variance=2.0),
        "PReLU": _same("PReLU", alpha_initializer="ones"),
        "RMSNormalization": _same("RMSNormalization"),
        "ReLU": _same("ReLU"),
        "Rescaling": _same("Rescaling", 0.5),
        "Softmax": _same("Softmax"),
        "SpectralNormalization": lambda: layers.SpectralNormalization(layers.Dense(6)),
        "UnitNormalization": _same("UnitNormalization"),
        "Average": _with_itself(layers.Average),
        "Maximum": _with_itself(layers.Maximum),
        "Minimum": _with_itself(layers.Minimum),
        "Multiply": _with_itself(layers.Multiply),
        "Subtract": _with_itself(layers.Subtract),
    },
    "sequence": {
        "AdditiveAttention": _with_itself(lambda: layers.AdditiveAttention(dropout=0.5)),
        "Attention": _with_itself(lambda: layers.Attention(use_scale=True, dropout=0.5)),
        "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(2, return_sequences=True, dropout=0.5)),
        "Conv1D": _same("Conv1D", 4, 3, padding="same"),
        "Conv1DTranspose": _same("Conv1DTranspose", 4, 3, padding="same"),
        "DepthwiseConv1D": _same("DepthwiseConv1D", 3, padding="same"),
        "GRU": _same("GRU", 4, return_sequences=True, dropout=0.5, recurrent_dropout=0.5),
        "GRUCell": _cell("GRUCell"),
        "GroupNormalization": _same("GroupNormalization", groups=2),
        "GroupedQueryAttention": lambda: lambda x: layers.GroupQueryAttention(2, 2, 1, dropout=0.5)(x, x),
        "LSTM": _same("LSTM", 4, return_sequences=True, dropout=0.5),
        "LSTMCell": _cell("LSTMCell"),
        "Masking": _same("Masking", mask_value=-7.0),
        "MultiHeadAttention": lambda: lambda x: layers.MultiHeadAttention(2, 2, dropout=0.5)(x, x),
        "Permute": _same("Permute", (1, 2)),
        "RNN": lambda: layers.RNN(layers.SimpleRNNCell(4), return_sequences=True),
        "SeparableConv1D": _same("SeparableConv1D", 4, 3, padding="same"),
        "SimpleRNN": _same("SimpleRNN", 4, return_sequences=True, dropout=0.5),
        "SimpleRNNCell": _cell("SimpleRNNCell"),
        "SpatialDropout1D": _same("SpatialDropout1D", 0.5),
        "StackedRNNCells": lambda: layers.RNN(
            layers.StackedRNNCells([layers.GRUCell(3), layers.LSTMCell(4)]), return_sequences=True
        ),
        "TimeDistributed": lambda: layers.TimeDistributed(
            keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.5)])
        ),
    },
    "image": {
        "Add": _with_itself(layers.Add),
        "AutoContrast": _same("AutoContrast", **RANGE),
        "CenterCrop": _same("CenterCrop", 6, 6),
        "Conv2D": _same("Conv2D", 3, 3, padding="same"),
        "Conv2DTranspose": _same("Conv2DTranspose", 3, 3, padding="same"),
        "ContrastLimitedAdaptiveHistogramEqualization": _same("ContrastLimitedAdaptiveHistogramEqualization", **RANGE),
        "DepthwiseConv2D": _same("DepthwiseConv2D", 3, padding="same"),
        "AugMix": _same("AugMix", **RANGE),
        "RandAugment": _same("RandAugment", **RANGE),
        "RandomBrightness": _same("RandomBrightness", 0.5, **RANGE),
        "RandomColorDegeneration": _same("RandomColorDegeneration", 0.5, **RANGE),
        "RandomColorJitter": _same("RandomColorJitter", **RANGE, brightness_factor=0.5),
        "RandomContrast": _same("RandomContrast", 0.5, **RANGE),
        "RandomCrop": _same("RandomCrop", 6, 6),
        "RandomElasticTransform": _same("RandomElasticTransform", **RANGE),
        "RandomErasing": _same("RandomErasing", **RANGE),
        "RandomFlip": _same("RandomFlip"),
        "RandomGaussianBlur": _same("RandomGaussianBlur", **RANGE),
        "RandomGrayscale": _same("RandomGrayscale"),
        "RandomHue": _same("RandomHue", 0.5, **RANGE),
        "RandomInvert": _same("RandomInvert", **RANGE),
        "RandomPerspective": _same("RandomPerspective"),
        "RandomPosterization": _same("RandomPosterization", 4, **RANGE),
        "RandomRotation": _same("RandomRotation", 0.2),
        "RandomSaturation": _same("RandomSaturation", 0.5, **RANGE),
        "RandomSharpness": _same("RandomSharpness", 0.5, **RANGE),
        "RandomShear": _same("RandomShear", (0.0, 0.2), (0.0, 0.2)),
        "RandomTranslation": _same("RandomTranslation", 0.2, 0.2),
        "RandomZoom": _same("RandomZoom", 0.2),
        "Resizing": _same("Resizing", 6, 6),
        "SeparableConv2D": _same("SeparableConv2D", 3, 3, padding="same"),
        "Solarization": _same("Solarization", **RANGE),
        "SpatialDropout2D": _same("SpatialDropout2D", 0.5),
    },
    "volume": {
        "Conv3D": _same("Conv3D", 2, 3, padding="same"),
        "Conv3DTranspose": _same("Conv3DTranspose", 2, 3, padding="same"),
        "SpatialDropout3D": _same("SpatialDropout3D", 0.5),
    },
    "film": {
        "ConvLSTM2D": _same("ConvLSTM2D", 2, 3, padding="same", return_sequences=True, dropout=0.5),
    },
    "tokens": {},
}
# The same for layers after which something of another shape comes.
ENDING = {
    "vector": {
        "RepeatVector": _same("RepeatVector", 2),
        "Reshape": _same("Reshape", (2, 3)),
        "Concatenate": _with_itself(layers.Concatenate),
        "Dot": _with_itself(lambda: layers.Dot(axes=1)),
        "Flatten": _same("Flatten"),
    },
    "sequence": {
        **{f"{kind}1D": _same(f"{kind}1D", 2) for kind in ("AdaptiveAveragePooling", "AdaptiveMaxPooling")},
        **{f"{kind}1D": _same(f"{kind}1D", 2) for kind in ("AveragePooling", "MaxPooling", "UpSampling")},
        "ZeroPadding1D": _same("ZeroPadding1D"),
        **{f"{kind}1D": _same(f"{kind}1D") for kind in ("Cropping", "GlobalAveragePooling", "GlobalMaxPooling")},
    },
    "image": {
        **{f"{kind}2D": _same(f"{kind}2D", 2) for kind in ("AdaptiveAveragePooling", "AdaptiveMaxPooling", "Cropping")},
        **{f"{kind}2D": _same(f"{kind}2D", 2) for kind in ("AveragePooling", "MaxPooling", "UpSampling")},
        "ZeroPadding2D": _same("ZeroPadding2D"),
        **{f"{kind}2D": _same(f"{kind}2D") for kind in ("GlobalAveragePooling", "GlobalMaxPooling")},
        "ConvLSTM1D": _same("ConvLSTM1D", 2, 3, padding="same"),
    },
    "volume": {
        **{f"{kind}3D": _same(f"{kind}3D", 2) for kind in ("AdaptiveAveragePooling", "AdaptiveMaxPooling")},
        **{f"{kind}3D": _same(f"{kind}3D", 2) for kind in ("AveragePooling", "MaxPooling", "UpSampling")},
        "ZeroPadding3D": _same("ZeroPadding3D"),
        **{f"{kind}3D": _same(f"{kind}3D") for kind in ("Cropping", "GlobalAveragePooling", "GlobalMaxPooling")},
    },
    "film": {},
    "tokens": {
        "Embedding": _same("Embedding", 9, 4),
        "ReversibleEmbedding": _same("ReversibleEmbedding", 9, 4),
    },
}
ENDING["film"] = {"ConvLSTM3D": lambda: lambda x: layers.ConvLSTM3D(2, 2, padding="same")(keras.ops.expand_dims(x, 2))}
# What older versions of Keras have not got.
for kinds in [*KEEPING.values(), *ENDING.values()]:
    for kind in set(kinds) - kinds_of_keras():
        del kinds[kind]

# Kinds without a recipe, each with the reason.
LEFT_OUT = {
    "Layer": "the base of all",
    "Wrapper": "the base of wrappers",
    "InputLayer": "in every model",
    "Lambda": "what it computes is not Keras's: tested by itself",
    "JaxLayer": "needs JAX",
    "FlaxLayer": "needs Flax",
    "TorchModuleWrapper": "needs PyTorch",
    "TFSMLayer": "holds a SavedModel, not Keras weights",
    "Pipeline": "a list of layers, for data only",
    "CutMix": "mixes labels too: for data only",
    "MixUp": "mixes labels too: for data only",
    "MaxNumBoundingBoxes": "boxes: for data only",
    "CategoryEncoding": "no weights, no randomness; integers to counts",
    "Discretization": "no weights that training could move; numbers to integers, for data only",
    "Equalization": "no weights and no randomness; Keras cannot build it into a functional model",
    "HashedCrossing": "no weights; integers",
    "Hashing": "no weights; strings",
    "IntegerLookup": "a table, no weights; for data only",
    "StringLookup": "a table, no weights; strings",
    "TextVectorization": "a table, no weights; strings",
    "MelSpectrogram": "no weights and no randomness",
    "STFTSpectrogram": "fixed weights, one-dimensional sound of some length",
}


def chain(family, kinds, *, nested=False, seed=0):
    """Build a classifier of two classes whose body is made of some kinds of layers.

    Parameters
    ----------
    family : str
    kinds : sequence of str
        Of `KEEPING` of that family; the last one may be of `ENDING`.
    nested : bool
        Whether the body is a model inside the model.
    seed : int

    Returns
    -------
    model : keras.Model
    body : keras.Model
    """
    keras.utils.set_random_seed(seed)
    shape, dtype = FAMILIES[family]
    given = keras.Input(shape, dtype=dtype, name="given")
    x = given
    for kind in kinds:
        x = (KEEPING[family] | ENDING[family])[kind]()(x)
    body = keras.Model(given, x, name="body")
    image = keras.Input(shape, dtype=dtype, name="image") if nested else given
    x = layers.Flatten(name="head_flat")(body(image) if nested else x)
    return keras.Model(image, layers.Dense(2, name="head")(x), name="chain"), body
