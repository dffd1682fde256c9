"""What other pictures are there, for those who have a network? Those of ``keras.datasets``."""

from __future__ import annotations

import numpy as np

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.dataset import Dataset, Domain, Task
from tl_helpers.datasets.street import STREET_LABELS

ONLINE_DATASETS = {
    "mnist": STREET_LABELS["digit"],
    "fashion_mnist": STREET_LABELS["garment"],
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def load_online(name, split="train", *, online=False):
    """Load a data set of ``keras.datasets``, which Keras downloads into its own folder, ``~/.keras``.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist", "cifar10"}
    split : {"train", "test"}
        As published.
    online : bool
        Must be True: the kit never uses the network unasked.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no such data set or split, or `online` is False; the message names what works without a network.
    ConnectionError
        If Keras cannot download it.
    """
    check_choice("name", name, ONLINE_DATASETS)
    check_choice("split", split, ("train", "test"))
    if not online:
        raise ValueError(
            f"{name!r} does not come with the kit: Keras would have to download it. Say online=True to allow that, or "
            f"use load_street(), load_emoji() or load_photos(), which work without a network."
        )
    import keras  # only here, so that the other data sets do without

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"Keras could not download {name!r} ({error}). Without a network use load_street(), load_emoji() or "
            f"load_photos(), which come with the kit."
        ) from error
    x, y = train if split == "train" else test
    x = x.reshape(*x.shape[:3], -1).astype("uint8")
    domain = Domain(f"online/{name}", x.shape[1:], "as keras.datasets publishes it")
    ids = np.array([f"{name}/{split}/{number}" for number in range(len(x))])
    return Dataset(x, y.astype("int64").ravel(), domain, Task(f"online/{name}", ONLINE_DATASETS[name]), split, ids)
