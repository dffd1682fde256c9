"""In what form do data come? Arrays, a data set of the kit, ``tf.data``, a ``PyDataset``: read once, into arrays."""

from __future__ import annotations

import keras
import numpy as np

from tl_helpers.models.inputs import as_array, input_shape_of

# Streams are read into memory up to this size, in bytes.
READ_LIMIT = 2 * 2**30
_TAKEN = "Give (x, y) or (x, y, sample_weight) as arrays, a Dataset of the kit, a tf.data.Dataset or a PyDataset."


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
