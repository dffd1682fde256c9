"""Rebuild data/emoji/ from five packages of npm: the drawings of four, the names and groups of the fifth.

    pip install -r data/build/requirements.txt
    python data/build/build_emoji.py --packages FOLDER

FOLDER holds the packages as `npm pack` writes them; those that are not there are fetched with `npm pack`. Ends by
comparing the decoded arrays with arrays.json; with --check nothing is written.
"""

import argparse
import io
import json
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import resvg_py
from emoji_labels import ANIMAL, CLEAN8, FACE, FAMILY, FOOD, concept_of, sort_into
from PIL import Image
from sheets import Output, read_published

PACKAGES = {
    "noto": "emoji-datasource-google@16.0.0",
    "twemoji": "emoji-datasource-twitter@16.0.0",
    "openmoji": "openmoji@17.0.0",
    "fluent": "@lobehub/fluent-emoji-3d@1.1.0",
    "names": "emojibase-data@17.0.0",
}
INTEGRITY = {
    "noto": "sha512-ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
    "twemoji": "sha512-7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
    "openmoji": "sha512-EBnYrNGdcdw+OSXmENeNE1yBNRu6tOraTmoOyUbJkTmvT/+XETp8RZLSJFzD3lrPc5N9CzsyPnRTk0Vp4UaI9w==",
    "fluent": "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    "names": "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
}
STYLES = ("noto", "twemoji", "openmoji", "black", "fluent")
SIZE = 64
FOLDS = 10
SHARES = {"test": 1 / 6, "validation": 1 / 10}

# The Fluent package also carries drawings that Microsoft's repository, where the MIT licence stands, does not hold:
# country flags (left out here with all flags), couples and families, and three that its README calls trademarks.
NOT_PUBLISHED_BY_MICROSOFT = {
    "people holding hands",
    "women holding hands",
    "woman and man holding hands",
    "men holding hands",
    "kiss",
    "couple with heart",
    "family",
    "paperclip",
    "technologist",
    "video game",
}
# OpenMoji 17.0.0 draws nothing for it in black.
EMPTY = {"NEW button"}


class Package:
    """A package as `npm pack` writes it, whose bytes are the published ones."""

    def __init__(self, specification, integrity, folder):
        name = specification.lstrip("@").replace("/", "-").replace("@", "-") + ".tgz"
        if not (folder / name).is_file():
            subprocess.run(["npm", "pack", specification], cwd=folder, check=True)
        with tarfile.open(fileobj=io.BytesIO(read_published(folder / name, integrity))) as archive:
            self.files = {
                member.name.removeprefix("package/"): archive.extractfile(member).read()
                for member in archive
                if member.isfile() and "/sheets" not in member.name
            }

    def json(self, path):
        """Parse one of the package's JSON files."""
        return json.loads(self.files[path])


def normal(codepoints):
    """Write a sequence in one way: lower case, no leading zeros, no variation selector."""
    return "-".join(part.lstrip("0") for part in codepoints.lower().split("-") if part != "fe0f")


def is_gendered(key):
    """Tell "man cook" and "woman running" from "cook" and "person running"; the latter stand for all three."""
    parts = key.split("-")
    return len(parts) > 1 and ("2640" in parts or "2642" in parts or parts[0] in ("1f468", "1f469"))


def drawings(packages):
    """Return for each style {sequence: file name}."""
    found = {}
    for style, company in {"noto": "google", "twemoji": "twitter"}.items():
        found[style] = {
            normal(entry["unified"]): f"img/{company}/{SIZE}/{entry['image']}"
            for entry in packages[style].json("emoji.json")
            if entry[f"has_img_{company}"]
        }
    hexcodes = [entry["hexcode"] for entry in packages["openmoji"].json("data/openmoji.json")]
    for style, folder in {"openmoji": "color", "black": "black"}.items():
        found[style] = {normal(hexcode): f"{folder}/svg/{hexcode}.svg" for hexcode in hexcodes}
    assets = sorted(name for name in packages["fluent"].files if name.startswith("assets/"))
    found["fluent"] = {normal(Path(name).stem): name for name in assets}
    return found


def concepts(packages, found):
    """Return the entries that are drawn in all five styles, in CLDR's order, with their groups spelt out."""
    words = packages["names"].json("meta/groups.json")
    chosen = []
    for entry in sorted(packages["names"].json("en/data.json"), key=lambda entry: entry.get("order", 0)):
        key = normal(entry["hexcode"])
        if "group" not in entry or is_gendered(key) or not all(key in names for names in found.values()):
            continue
        group, subgroup = words["groups"][str(entry["group"])], words["subgroups"][str(entry["subgroup"])]
        if group != "flags" and entry["label"] not in NOT_PUBLISHED_BY_MICROSOFT | EMPTY:
            chosen.append(entry | {"key": key, "group": group, "subgroup": subgroup})
    return chosen


def draw(content, name):
    """Return one drawing as (64, 64, 4), with black wherever it is fully transparent."""
    if name.endswith(".svg"):
        content = resvg_py.svg_to_bytes(
            svg_string=content.decode("utf-8"), width=SIZE, height=SIZE, skip_system_fonts=True
        )
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    shrunk = picture.size != (SIZE, SIZE)
    if shrunk:
        picture = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    pixels = np.array(picture)
    if shrunk:
        # The originals are lossy, so their last two bits are noise. Without them the sheet is a third smaller, and no
        # value is off by more than 2 of 255.
        pixels[..., :3] = np.minimum((pixels[..., :3].astype(int) + 2) // 4 * 4, 255)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def make_folds(concept, classes, strata):
    """Divide the concepts ten times into training, validation and test.

    Each class gives the same share to test and to validation in every fold. Over the folds the strata of a class take
    turns in proportion to their sizes, and the concepts of a stratum take turns too, in random order, so that each is
    tested once or twice. Variants of one concept stay together.

    Parameters
    ----------
    concept, classes, strata : list of str
        Per row: which concept it draws, the class and the stratum within it.

    Returns
    -------
    list of numpy.ndarray
        Per fold one split name per row.
    """
    random = np.random.default_rng(2010)
    concept, classes, strata = map(np.array, (concept, classes, strata))
    units = {name: np.flatnonzero(concept == name) for name in dict.fromkeys(concept)}
    times, given = Counter(), Counter()
    folds = []
    for fold in range(FOLDS):
        split_of = np.full(len(concept), "train", dtype="U10")
        for split, share in SHARES.items():
            for label in dict.fromkeys(classes):
                free = {name for name, rows in units.items() if (classes[rows] == label).all()}
                free = {name: random.random() for name in sorted(free) if split_of[units[name][0]] == "train"}
                sizes = Counter(strata[classes == label].tolist())
                seats = round(share * sizes.total())
                while candidates := [name for name in free if len(units[name]) <= seats]:

                    def turn(name, split=split, share=share, label=label, sizes=sizes, free=free, fold=fold):
                        stratum = strata[units[name][0]]
                        owed = share * sizes[stratum] * (fold + 1) - given[split, label, stratum]
                        return -owed, times[split, name], free[name]

                    name = min(candidates, key=turn)
                    split_of[units[name]] = split
                    seats -= len(units[name])
                    times[split, name] += 1
                    given[split, label, strata[units[name][0]]] += len(units[name])
                    del free[name]
        folds.append(split_of)
    return folds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the npm packages (.tgz)")
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    options = parser.parse_args()
    packages = {name: Package(PACKAGES[name], INTEGRITY[name], options.packages) for name in PACKAGES}
    packages["black"] = packages["openmoji"]
    found = drawings(packages)
    chosen = concepts(packages, found)

    output = Output("emoji", check=options.check)
    for style in STYLES:
        files = [found[style][entry["key"]] for entry in chosen]
        output.sheet(f"{style}.webp", np.stack([draw(packages[style].files[name], name) for name in files]))
    names, groups, subgroups = ([entry[column] for entry in chosen] for column in ("label", "group", "subgroup"))
    concept, clean8 = concept_of(names), sort_into(CLEAN8, names, subgroups)
    family, face = (sort_into(table, names, subgroups) for table in (FAMILY, FACE))
    classes = [label or group for label, group in zip(clean8, groups, strict=True)]
    strata = [fine or feeling or subgroup for fine, feeling, subgroup in zip(family, face, subgroups, strict=True)]
    folds = make_folds(concept, classes, strata)
    output.table(
        "emoji.csv",
        {
            "codepoint": [entry["hexcode"] for entry in chosen],
            "name": names,
            "group": groups,
            "subgroup": subgroups,
            "keywords": [", ".join(entry.get("tags", [])) for entry in chosen],
            "concept": concept,
            "clean8": clean8,
            "animal": sort_into(ANIMAL, names, subgroups),
            "food": sort_into(FOOD, names, subgroups),
            "face": face,
            "family": family,
        }
        | {f"fold{fold}": split_of.tolist() for fold, split_of in enumerate(folds)},
    )
    output.finish()


if __name__ == "__main__":
    main()
