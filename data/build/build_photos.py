"""Rebuild data/photos/ from Debian's packages gcompris-qt-data 3.1-2 and tuxpaint-stamps-default 2022.06.04-1.

    apt-get download gcompris-qt-data=3.1-2 tuxpaint-stamps-default=2022.06.04-1
    pip install -r data/build/requirements.txt
    python data/build/build_photos.py --gcompris gcompris-qt-data_*.deb --tuxpaint tuxpaint-stamps-default_*.deb

Without an option its package is fetched with apt-get. The tables photos.csv are kept by hand and say which photographs
to take and how to crop them; this script checks them against the packages and the pictures, and fills in their folds.
Ends by comparing the decoded arrays with arrays.json; with --check nothing is written.
"""

import argparse
import csv
import io
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter
from sheets import DATA, Output, read_published

VERSIONS = {"gcompris": "gcompris-qt-data=3.1-2", "tuxpaint": "tuxpaint-stamps-default=2022.06.04-1"}
SHA256 = {
    "gcompris": "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
    "tuxpaint": "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
}
SIZE, LARGE = 96, 224
MARGIN = 3 / 96  # white around a cut-out, as a share of the side
ROUNDING = 4  # levels to which busy pixels are rounded, as near-lossless WebP does
FOLDS, SHARE = 10, 0.2  # of the photographs, for validation and again for test
NEAR_DUPLICATE = 0.7


# ---------------------------------------------------------------- packages


def unpack(content, folder):
    """Unpack the data of a .deb file, which is an `ar` archive of tar archives."""
    position = 8
    while position < len(content):
        name = content[position : position + 16].decode().strip()
        size = int(content[position + 48 : position + 58])
        position += 60
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content[position : position + size])) as archive:
                archive.extractall(folder, filter="data")
            return
        position += size + size % 2
    sys.exit("There is no data.tar.* in it; is it a Debian package?")


def package_folder(source, given, scratch):
    """Return the folder to which a package was unpacked, from the given file or as fetched."""
    folder = scratch / source
    folder.mkdir()
    if not given:
        subprocess.run(["apt-get", "download", VERSIONS[source]], cwd=scratch, check=True)
        (given,) = scratch.glob(f"{VERSIONS[source].partition('=')[0]}_*.deb")
    unpack(read_published(given, SHA256[source]), folder)
    return folder


def read_rcc(content):
    """Read a Qt resource archive (qresource, versions 1 to 3).

    Parameters
    ----------
    content : bytes

    Returns
    -------
    dict of str to bytes
        Path in the archive → content.
    """
    magic, version, tree, data, names = struct.unpack_from(">4s4I", content)
    if magic != b"qres" or version > 3:
        sys.exit("This is no Qt resource archive of version 1, 2 or 3.")
    node_size = 14 if version == 1 else 22
    files = {}

    def visit(number, parents):
        name_offset, flags, first, second = struct.unpack_from(">IHII", content, tree + number * node_size)
        (length,) = struct.unpack_from(">H", content, names + name_offset)
        start = names + name_offset + 6
        path = [*parents, content[start : start + 2 * length].decode("utf-16-be")] if number else []
        if flags & 2:  # a folder: number of children, index of the first
            for child in range(second, second + first):
                visit(child, path)
            return
        (offset,) = struct.unpack_from(">I", content, tree + number * node_size + 10)
        (size,) = struct.unpack_from(">I", content, data + offset)
        payload = content[data + offset + 4 : data + offset + 4 + size]
        if flags & 4:
            sys.exit(f"{'/'.join(path)} is compressed with zstandard, which this reader does not know.")
        files["/".join(path)] = zlib.decompress(payload[4:]) if flags & 1 else payload

    visit(0, [])
    return files


def gcompris_files(folder, activities):
    """Return the files of some of GCompris' activities: path below src/activities → content."""
    files = {}
    for activity in sorted(activities):
        content = (folder / f"usr/share/gcompris-qt/rcc/{activity}.rcc").read_bytes()
        files |= {path.removeprefix("gcompris/src/activities/"): file for path, file in read_rcc(content).items()}
    return files


def gcompris_credits(files):
    """Return (licence, author, origin) of each file that a README of GCompris names."""
    found = {}
    for readme, content in files.items():
        if not readme.endswith("/README"):
            continue
        for block in re.split(r"\n\s*\n", content.decode("utf-8")):
            entry, field = defaultdict(list), None
            for line in block.splitlines():
                match = re.match(r"(Copyright|License|Source|Comments|Files):\s*(.*)", line)
                field, text = match.groups() if match else (field, line)
                if text.strip():
                    entry[field].append(text.strip())
            licence = " ".join(entry["License"]).replace("CC-BY-SA ", "CC-BY-SA-").replace("Domain", "domain")
            for name in entry["Files"]:
                path = f"{readme.removesuffix('README')}{name}"
                found[path] = licence, " ".join(entry["Copyright"]), " ".join(entry["Source"])
    return found


# ---------------------------------------------------------------- pictures


def crop_photograph(content, crop, size):
    """Make a square of a photograph.

    Parameters
    ----------
    content : bytes
    crop : str
        Where along its longer side the square is cut: 0 (left, top) … 1 (right, bottom), empty for the middle;
        ``"whole"`` keeps all of it and continues its plain background to a square.
    size : int
        Side of the square in pixels.

    Returns
    -------
    numpy.ndarray
        ``uint8``, shape ``(size, size, 3)``.
    """
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = picture.size
    if crop == "whole":
        scale = size / max(width, height)
        fitted = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        missing = size - fitted.height, size - fitted.width
        return np.pad(np.asarray(fitted), [*((m // 2, m - m // 2) for m in missing), (0, 0)], mode="edge")
    side = min(width, height)
    left, top = (round((length - side) * float(crop or 0.5)) for length in (width, height))
    box = left, top, left + side, top + side
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box))


def fit_cut_out(content, size):
    """Scale the visible part of a cut-out to fill a transparent square up to a small margin.

    Parameters
    ----------
    content : bytes
    size : int
        Side of the square in pixels.

    Returns
    -------
    numpy.ndarray
        ``uint8``, shape ``(size, size, 4)``; colours are 0 where it is fully transparent.
    """
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    scale = size * (1 - 2 * MARGIN) / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    square = Image.new("RGBA", (size, size))
    fitted = picture.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(fitted, ((size - width) // 2, (size - height) // 2))
    pixels = np.array(square)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def round_busy_pixels(pictures):
    """Round the colours of pixels that differ from a neighbour, so that a lossless file becomes smaller.

    Smooth areas, where rounding would show as bands, stay as they are. Colours change by at most ``ROUNDING // 2``.
    """
    colours = pictures[..., :3].astype("int16")
    padded = np.pad(colours, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = colours.shape[1:3]
    busy = np.zeros(colours.shape[:3], bool)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbours = padded[:, row : row + height, column : column + width]
        busy |= (np.abs(colours - neighbours) >= ROUNDING).any(-1)
    rounded = np.minimum((colours + ROUNDING // 2) // ROUNDING * ROUNDING, 255)
    result = pictures.copy()
    result[..., :3] = np.where(busy[..., None], rounded, colours)
    if pictures.shape[-1] == 4:
        result[result[..., 3] == 0] = 0
    return result


def near_duplicates(colours, masks):
    """Find pairs of pictures that show the same photograph, also mirrored or with other colours.

    What is compared is the fine structure of the grey picture (its difference from a blurred copy) inside both
    outlines: two apples have the same silhouette as two pictures of one apple, but other spots.

    Parameters
    ----------
    colours : numpy.ndarray
        ``uint8``, shape ``(n, 96, 96, 3)``.
    masks : numpy.ndarray
        ``bool``, shape ``(n, 96, 96)``: what belongs to the subject; all of a full photograph.

    Returns
    -------
    list of (int, int, float)
        Index, larger index, correlation (at least ``NEAR_DUPLICATE``).
    """
    n, half = len(colours), SIZE // 2
    grey = colours.mean(-1).reshape(n, half, 2, half, 2).mean((2, 4))
    inside = masks.reshape(n, half, 2, half, 2).all((2, 4))
    weights = gaussian_filter(inside.astype(float), (0, 3, 3))
    detail = grey - gaussian_filter(grey * inside, (0, 3, 3)) / np.maximum(weights, 1e-3)
    inside = np.stack([binary_erosion(mask, iterations=2, border_value=1) for mask in inside])

    def correlate(other_detail, other_inside):
        a, b = (d.reshape(n, -1) for d in (detail * inside, other_detail * other_inside))
        in_a, in_b = (m.reshape(n, -1).astype(float) for m in (inside, other_inside))
        both = np.maximum(in_a @ in_b.T, 1)
        sum_a, sum_b = a @ in_b.T, in_a @ b.T
        covariance = a @ b.T - sum_a * sum_b / both
        variances = ((a**2) @ in_b.T - sum_a**2 / both) * (in_a @ (b**2).T - sum_b**2 / both)
        either = in_a.sum(1)[:, None] + in_b.sum(1) - both
        return np.where(both / np.maximum(either, 1) > 0.4, covariance / np.sqrt(np.maximum(variances, 1e-6)), 0)

    found = np.maximum(correlate(detail, inside), correlate(detail[:, :, ::-1], inside[:, :, ::-1]))
    pairs = zip(*np.nonzero(np.triu(found >= NEAR_DUPLICATE, 1)), strict=True)
    return [(int(a), int(b), float(found[a, b])) for a, b in pairs]


# ---------------------------------------------------------------- splits


def make_folds(rows):
    """Draw ten splits of whole series, in which each family of each source has its share of every split.

    Over the folds, each photograph comes to validation and to test about equally often.

    Parameters
    ----------
    rows : list of dict
        Rows of both tables, with their ``source``.

    Returns
    -------
    list of list of str
        Per fold, the split of each row.
    """
    random = np.random.default_rng(2022)
    units = defaultdict(list)
    for number, row in enumerate(rows):
        units[row["source"], row["family"], row["series"] or row["file"]].append(number)
    sizes = Counter((row["source"], row["family"]) for row in rows)
    times, given, folds = Counter(), Counter(), []
    for fold in range(FOLDS):
        split_of = dict.fromkeys(units, "train")
        for split in ("test", "validation"):
            for stratum, size in sizes.items():
                free = [unit for unit in units if unit[:2] == stratum and split_of[unit] == "train"]
                turn = dict(zip(free, random.permutation(len(free)), strict=True))
                for unit in sorted(free, key=lambda unit, turn=turn, split=split: (times[split, unit], turn[unit])):
                    owed = SHARE * size * (fold + 1) - given[split, stratum]
                    if owed >= len(units[unit]) / 2:
                        split_of[unit] = split
                        times[split, unit] += 1
                        given[split, stratum] += len(units[unit])
        splits = [""] * len(rows)
        for unit, numbers in units.items():
            for number in numbers:
                splits[number] = split_of[unit]
        folds.append(splits)
    return folds


# ---------------------------------------------------------------- all of it


def read_rows(source):
    """Return the rows of a hand-kept table."""
    with open(DATA / "photos" / source / "photos.csv", newline="", encoding="utf-8") as file:
        return [{"source": source, **row} for row in csv.DictReader(file)]


def read_contents(folders, rows):
    """Read the files that the tables name, having compared the tables' credits with those of the packages."""
    activities = {row["file"].partition("/")[0] for row in rows if row["source"] == "gcompris"}
    files = gcompris_files(folders["gcompris"], activities)
    credits = gcompris_credits(files)
    for row in rows:
        if row["source"] == "gcompris":
            given = row["licence"], row["author"], row["origin"]
            if credits.get(row["file"]) != given:
                sys.exit(f"{row['file']}: the table says {given}, the package's README {credits.get(row['file'])}.")
    notice = (folders["tuxpaint"] / "usr/share/doc/tuxpaint-stamps-default/copyright").read_text(encoding="utf-8")
    if not re.search(r"Files: \*\nCopyright: .*\nLicense: GPL-2\n", notice):
        sys.exit("The copyright notice of tuxpaint-stamps-default is not the one this script was written for.")
    stamps = folders["tuxpaint"] / "usr/share/tuxpaint/stamps"
    return [files[r["file"]] if r["source"] == "gcompris" else (stamps / r["file"]).read_bytes() for r in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gcompris", type=Path, help="gcompris-qt-data_3.1-2_all.deb")
    parser.add_argument("--tuxpaint", type=Path, help="tuxpaint-stamps-default_2022.06.04-1_all.deb")
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    options = parser.parse_args()
    rows = [row for source in VERSIONS for row in read_rows(source)]
    with tempfile.TemporaryDirectory() as scratch:
        folders = {source: package_folder(source, getattr(options, source), Path(scratch)) for source in VERSIONS}
        contents = read_contents(folders, rows)

    def squares(numbers, size):
        pictures = []
        for number in numbers:
            if rows[number]["source"] == "gcompris":
                pictures.append(crop_photograph(contents[number], rows[number]["crop"], size))
            else:
                pictures.append(fit_cut_out(contents[number], size))
        return round_busy_pixels(np.stack(pictures))

    own = {source: [n for n, row in enumerate(rows) if row["source"] == source] for source in VERSIONS}
    pictures = {source: squares(numbers, SIZE) for source, numbers in own.items()}
    colours = np.concatenate([pictures[source][..., :3] for source in VERSIONS])
    full = np.ones(pictures["gcompris"].shape[:3], bool)
    for a, b, correlation in near_duplicates(colours, np.concatenate([full, pictures["tuxpaint"][..., 3] >= 128])):
        if not rows[a]["series"] or rows[a]["series"] != rows[b]["series"]:
            sys.exit(
                f"{rows[a]['file']} and {rows[b]['file']} show the same ({correlation:.2f}): put them in one series."
            )

    folds = make_folds(rows)
    for source, numbers in own.items():
        output = Output(f"photos/{source}", check=options.check)
        output.sheet("photos.webp", pictures[source])
        output.sheet("large.webp", squares([number for number in numbers if rows[number]["large"]], LARGE))
        by_hand = [name for name in rows[numbers[0]] if name != "source" and not name.startswith("fold")]
        table = {name: [rows[number][name] for number in numbers] for name in by_hand}
        table |= {f"fold{fold}": [splits[number] for number in numbers] for fold, splits in enumerate(folds)}
        output.table("photos.csv", table)
        output.finish()


if __name__ == "__main__":
    main()
