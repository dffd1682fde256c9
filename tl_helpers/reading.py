"""In what form do data come? Arrays, a data set of the kit, ``tf.data``, a ``PyDataset``: read once, into arrays."""

from __future__ import annotations

import numpy as np

# Streams are read into memory up to this size, in bytes.
READ_LIMIT = 2 * 2**30
_TAKEN = "Give (x, y) or (x, y, sample_weight) as arrays, a Dataset of the kit, a tf.data.Dataset or a PyDataset."


def input_shape_of(model):
    """Return the shape of a model's inputs, and check that it has one of them, and one output.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    tuple of (int or None)
        The first is the number of inputs, None.

    Raises
    ------
    ValueError
        If there are several, the model does not know their shape yet, or it is no model.
    """
    import keras

    if not isinstance(model, keras.Model):
        advice = "Put a head on it: add_class_head(backbone, n_classes, seed=0)." if hasattr(model, "model") else ""
        raise ValueError(f"The model must be a keras.Model, not a {type(model).__name__}. {advice}".strip())
    try:
        shapes = {"input": model.input_shape, "output": model.output_shape}
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"{model.name!r} does not know its shapes yet: it was not built. Begin a Sequential model with "
            f"keras.Input(shape), and make others as functional models, keras.Model(inputs, outputs)."
        ) from error
    for kind, shape in shapes.items():
        parts = keras.tree.flatten(model.inputs if kind == "input" else model.outputs)
        if len(parts) > 1:
            names = ", ".join(getattr(part, "name", "?") for part in parts)
            raise ValueError(
                f"{model.name!r} has {len(parts)} {kind}s ({names}), and this takes networks with one. Put them "
                f"together in one tensor (keras.layers.Concatenate), or train with Keras's own fit."
            )
        shapes[kind] = shape[0] if isinstance(shape, list) else shape
    return tuple(shapes["input"])


def label_names_of(data):
    """Return the names of the classes that data know, or None.

    Parameters
    ----------
    data : Dataset or anything else

    Returns
    -------
    list of str or None
    """
    if hasattr(data, "iloc"):
        return None
    names = getattr(data, "label_names", None)
    names = getattr(data, "class_names", None) if names is None else names  # of image_dataset_from_directory
    return None if names is None else [str(name) for name in names]


def is_stream(data):
    """Tell whether data must be read into arrays: a ``tf.data.Dataset`` or a ``keras.utils.PyDataset``.

    Parameters
    ----------
    data : object

    Returns
    -------
    bool
    """
    import keras

    return isinstance(data, keras.utils.PyDataset) or (hasattr(data, "element_spec") and hasattr(data, "cardinality"))


def read_once(data, model, name):
    """Read a stream into arrays; hand anything else on as it is.

    Parameters
    ----------
    data : object
    model : keras.Model
        Whose input tells batches from single examples.
    name : str
        What to call the data in messages.

    Returns
    -------
    tuple of numpy.ndarray or object
    """
    return _read(data, input_shape_of(model), name) if is_stream(data) else data


def unpack(data, model, name):
    """Take data apart.

    Parameters
    ----------
    data, model, name
        See :func:`read_once`.

    Returns
    -------
    list of numpy.ndarray
        Inputs, targets and, where there are any, weights.

    Raises
    ------
    ValueError
        If they come in a form that is not taken.
    """
    data = read_once(data, model, name)
    if isinstance(data, tuple | list):
        parts = data
        if len(parts) not in (2, 3):
            raise ValueError(f"{name} has {len(parts)} parts. {_TAKEN}")
    elif not isinstance(data, dict) and not hasattr(data, "iloc") and hasattr(data, "x") and hasattr(data, "y"):
        parts = data.x, data.y
    elif hasattr(data, "__next__"):
        raise ValueError(
            f"{name} is a generator, which may never end and gives each example once. Collect what it gives first: "
            f"x, y = map(np.concatenate, zip(*itertools.islice(generator, batches)))."
        )
    else:
        raise ValueError(f"{name} is a {type(data).__name__}. {_TAKEN}")
    parts = list(parts[:2]) if len(parts) == 3 and parts[2] is None else list(parts)
    words = ("x", "y", "sample_weight")
    return [as_array(part, f"{word} of {name}") for part, word in zip(parts, words, strict=False)]


def as_array(value, name):
    """Turn array-likes (tensors, lists, tables) into an array of numbers, truth values or text.

    Parameters
    ----------
    value : array-like
    name : str

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If it is no such array.
    """
    if value is None:
        raise ValueError(f"{name} is None.")
    several = isinstance(value, list | tuple) and 1 < len(value) < 5 and all(hasattr(part, "shape") for part in value)
    if isinstance(value, dict) or (several and len({np.shape(part) for part in value}) > 1):
        raise ValueError(f"{name} holds {len(value)} arrays, for a network with as many. This takes networks with one.")
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise ValueError(f"{name} is a masked array, and what is masked would count. Leave it out: .filled(…).")
    if hasattr(value, "toarray") or hasattr(value, "to_tensor"):
        cure = "toarray" if hasattr(value, "toarray") else "to_tensor"
        raise ValueError(f"{name} is a {type(value).__name__}; networks here take full arrays: .{cure}().")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be made an array of one shape and type: {error}") from error
    if array.dtype.kind == "O" and array.size and all(isinstance(each, str | bytes) for each in array.flat):
        array = array.astype("S") if isinstance(array.flat[0], bytes) else array.astype(str)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind not in "fciubU":
        raise ValueError(
            f"{name} holds {array.dtype} values instead of numbers. Arrays of one shape: np.stack(list(a)). A table "
            f"with mixed or missing values: fill them, then a.to_numpy('float32')."
        )
    if array.ndim == 0:
        raise ValueError(f"{name} is a single value instead of an array.")
    return array


def _read(data, input_shape, name):
    """Read a stream of batches or examples."""
    if hasattr(data, "cardinality"):
        count = int(data.cardinality())
        if count == -2:
            raise ValueError(
                f"{name} does not know how many elements it has, so it might never end. If you know, say it: "
                f"dataset.apply(tf.data.experimental.assert_cardinality(n))."
            )
        count, items = (None if count < 0 else count), iter(data)
    else:
        count = data.num_batches
        items = (data[number] for number in range(count or 0))
    if count is None:
        raise ValueError(f"{name} repeats without end. Leave out repeat(): the examples are needed once.")
    columns, size, batched = None, 0, None
    for item in items:
        if not isinstance(item, tuple | list) or len(item) not in (2, 3):
            raise ValueError(f"The elements of {name} must be (x, y) or (x, y, sample_weight).")
        words = ("x", "y", "sample_weight")
        arrays = []
        for part, word in zip(item, words, strict=False):
            single = not isinstance(part, dict | tuple | list) and np.ndim(part) == 0  # the label of one example
            arrays.append(np.asarray(part) if single else as_array(part, f"{word} of {name}"))
        if columns is None:
            columns, ndim = [[] for _ in arrays], arrays[0].ndim
            if ndim not in (len(input_shape), len(input_shape) - 1):
                raise ValueError(
                    f"The elements of {name} have inputs of shape {arrays[0].shape}; the network takes "
                    f"{input_shape[1:]}, one by one or in batches."
                )
            batched = ndim == len(input_shape)
            size = (count - 2) * sum(array.nbytes for array in arrays)
        size = max(size, sum(part.nbytes for column in columns for part in column[-1:]) * len(columns[0]))
        if size > READ_LIMIT:
            raise ValueError(
                f"{name} takes more than {READ_LIMIT / 2**30:g} GiB in memory, into which it is read once. Give "
                f"fewer or smaller images, leave out repeat(), or train with Keras's own fit."
            )
        for column, array in zip(columns, arrays, strict=True):
            column.append(array)
    if not columns:
        raise ValueError(f"{name} is empty.")
    try:
        return tuple(np.concatenate(column) if batched else np.stack(column) for column in columns)
    except ValueError as error:
        raise ValueError(f"The elements of {name} have different shapes: {error}. Resize or pad them.") from error
