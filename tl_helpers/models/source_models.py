"""Which networks have learned something already? Small ones, trained on the street world and shipped."""

from __future__ import annotations

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.street import STREET_LABELS
from tl_helpers.files import read_arrays
from tl_helpers.models.small_network import small_cnn

SOURCE_MODELS = {
    "street_garments": ((28, 28, 1), "garment"),
    "street_families": ((28, 28, 1), "family"),
    "street_colour": ((28, 28, 3), "garment"),
}


def load_source_model(name="street_garments"):
    """Load a small classifier that was pretrained on the street world's source pool.

    ``data/build/build_street_models.py`` trained it; its measured accuracy stands in
    ``data/weights/street_models.json``.

    Parameters
    ----------
    name : {"street_garments", "street_families", "street_colour"}
        Ten garments or five families from grey photographs, or ten garments from colour photographs.

    Returns
    -------
    keras.Model
        As :func:`small_cnn` builds it, average head.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    check_choice("name", name, SOURCE_MODELS)
    input_shape, labels = SOURCE_MODELS[name]
    model = small_cnn(input_shape, len(STREET_LABELS[labels]), seed=0)
    arrays = read_arrays(f"weights/{name}.npz")
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/{part}"] for part in ("kernel", "bias")])
    return model
