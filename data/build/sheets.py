"""What every build script begins with, published bytes, and what it ends with: sheets, tables and arrays.json."""

import base64
import csv
import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

DATA = Path(__file__).resolve().parent.parent


def read_published(path, expected):
    """Read a file of a package, or exit where it is not the published one.

    Parameters
    ----------
    path : pathlib.Path
    expected : str
        SHA-256 in hexadecimal; or what npm calls integrity, ``sha512-`` and the hash in base64.

    Returns
    -------
    bytes
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
    if expected not in (found, integrity):
        other = integrity if expected.startswith("sha512-") else f"SHA-256 {found}"
        sys.exit(f"{path} is not the published file: {other}, expected {expected}. Fetch it anew.")
    return content


def decode(path, count, size):
    """Decode a sheet as tl_helpers.files.read_sheet does."""
    sheet = np.asarray(Image.open(path))
    sheet = sheet.reshape(*sheet.shape[:2], -1)
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    return sheet.reshape(rows, size, columns, size, -1).swapaxes(1, 2).reshape(rows * columns, size, size, -1)[:count]


class Output:
    """The files of one folder under data/, written (or only compared) one by one.

    Parameters
    ----------
    folder : str
        Folder below data/.
    check : bool
        Compare with arrays.json and write nothing.
    """

    def __init__(self, folder, *, check):
        self.folder, self.check, self.arrays = DATA / folder, check, {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def array(self, name, array):
        """Note shape, type and SHA-256 of a decoded array."""
        array = np.ascontiguousarray(array)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        self.arrays[name] = {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}

    def sheet(self, name, pictures):
        """Write square pictures (n, s, s, channels), uint8, as one lossless sheet of about equal sides."""
        n, size, _, channels = pictures.shape
        self.array(name, pictures)
        if self.check:
            return
        columns = math.ceil(math.sqrt(n))
        rows = math.ceil(n / columns)
        tiles = np.zeros((rows * columns, size, size, channels), "uint8")
        tiles[:n] = pictures
        sheet = tiles.reshape(rows, columns, size, size, channels).swapaxes(1, 2).reshape(rows * size, -1, channels)
        path = self.folder / name
        options = {"optimize": True}
        if path.suffix == ".webp":
            options = {"lossless": True, "quality": 100, "method": 6, "exact": True}
        Image.fromarray(sheet.squeeze()).save(path, **options)
        if not np.array_equal(decode(path, n, size), pictures):
            sys.exit(f"{path} does not decode to the pictures that went in.")

    def table(self, name, columns):
        """Write columns of equal length as CSV."""
        rows = list(zip(*columns.values(), strict=True))
        self.array(name, np.frombuffer(repr([tuple(map(str, row)) for row in rows]).encode(), "uint8"))
        if self.check:
            return
        with open(self.folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)

    def finish(self):
        """Write arrays.json, or with `check` exit with an error that names what differs."""
        path = self.folder / "arrays.json"
        if self.check:
            stored = json.loads(path.read_text(encoding="utf-8"))
            wrong = sorted(name for name in stored | self.arrays if stored.get(name) != self.arrays.get(name))
            if wrong:
                sys.exit(f"{self.folder.name}: these differ from arrays.json: {', '.join(wrong)}")
            print(f"{self.folder.name}: all {len(stored)} arrays as stored")
            return
        path.write_text(json.dumps(self.arrays, indent=1) + "\n", encoding="utf-8")
        print(f"{self.folder.name}: {len(self.arrays)} files written; run checksums.py next")
