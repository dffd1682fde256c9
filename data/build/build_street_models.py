"""Train the small source models of the street world, measure them, and write data/weights/street_*.npz.

    python data/build/build_street_models.py

Needs the kit itself and its data, nothing else; about two minutes per model on one core. Weights repeat only on the
same processor and versions, so there is nothing to compare bit by bit: the measured accuracies are what must come out
again.
"""

import json

import numpy as np
from sheets import DATA

from tl_helpers.datasets.street import STREET_LABELS, load_street
from tl_helpers.files import atomic_path
from tl_helpers.models.small_network import rescale_activations, small_cnn
from tl_helpers.models.source_models import SOURCE_MODELS
from tl_helpers.training.evaluation import accuracy
from tl_helpers.training.fit import fit_transfer

POSES = 3
SETTINGS = {"strategy": "scratch", "learning_rate": 2e-3, "updates": 4000, "batch_size": 64, "seed": 0}


def main():
    measured = {}
    for name, (input_shape, labels) in SOURCE_MODELS.items():
        options = {"labels": labels, "colour": input_shape[-1] == 3}
        poses = [load_street("photo", "source", seed=pose, **options) for pose in range(POSES)]
        x, y = np.concatenate([data.x for data in poses]), np.concatenate([data.y for data in poses])
        model = small_cnn(input_shape, len(STREET_LABELS[labels]), seed=0)
        fit_transfer(model, (x, y), **SETTINGS)
        test = load_street("photo", "test", **options)
        before = accuracy(model, test)
        rescale_activations(model, x[:500])
        measured[name] = {
            "test_accuracy": round(accuracy(model, test), 4),
            "n_test": len(test),
            "poses": POSES,
            **SETTINGS,
        }
        print(name, measured[name]["test_accuracy"], "before rescaling", round(before, 4))
        arrays = {
            f"{layer.name}/{part}": array
            for layer in model.layers
            for part, array in zip(("kernel", "bias"), layer.get_weights(), strict=False)
        }
        with atomic_path(DATA / f"weights/{name}.npz") as path:
            np.savez_compressed(path, **arrays)
    with atomic_path(DATA / "weights/street_models.json") as path:
        path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
