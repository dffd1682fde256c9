"""Photographs: whole series in one split, two sources apart, licences on every row, masks, arguments."""

import hashlib
import importlib.util
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.emoji import load_emoji
from tl_helpers.datasets.photos import (
    PHOTO_FAMILIES,
    PHOTO_FOLDS,
    PHOTO_SCENES,
    PHOTO_SOURCES,
    load_large_photos,
    load_photos,
    photo_families,
)
from tl_helpers.files import data_folder, read_sheet, read_table

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def table():
    import pandas

    tables = [read_table(f"photos/{source}/photos.csv").assign(source=source) for source in PHOTO_SOURCES]
    return pandas.concat(tables, ignore_index=True).fillna("")


@pytest.fixture(scope="module")
def builder():
    folder = Path(__file__).resolve().parents[2] / "data" / "build"
    sys.path.insert(0, str(folder))
    try:
        specification = importlib.util.spec_from_file_location("build_photos", folder / "build_photos.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("fold", range(PHOTO_FOLDS))
def test_splits_are_disjoint_complete_and_hold_every_family(fold):
    parts = [load_photos(split, fold=fold) for split in SPLITS]
    ids = [set(part.ids) for part in parts]
    assert sum(map(len, ids)) == len(set.union(*ids)) == len(load_photos("all", fold=fold)) == 438
    for part in parts:
        assert set(part.y) == set(range(len(PHOTO_FAMILIES)))
    assert [0.55 < len(parts[0]) / 438 < 0.65, *(0.18 < len(part) / 438 < 0.22 for part in parts[1:])] == [True] * 3


def test_each_family_of_each_source_has_its_share_of_every_split(table):
    shares = []
    for _, stratum in table.groupby(["source", "family"]):
        for fold in range(PHOTO_FOLDS):
            counts = stratum[f"fold{fold}"].value_counts()
            shares += [abs(counts.get(split, 0) - 0.2 * len(stratum)) for split in SPLITS[1:]]
    assert max(shares) <= 2


def test_series_never_straddle_a_split_and_stay_in_one_source_and_family(table):
    series = table[table["series"] != ""].groupby("series")
    assert len(series) > 25 and (series.size() > 1).all()
    for column in ("source", "family", *(f"fold{fold}" for fold in range(PHOTO_FOLDS))):
        assert (series[column].nunique() == 1).all(), column


def test_every_photograph_is_tested_in_two_folds_and_folds_differ(table):
    folds = table[[f"fold{fold}" for fold in range(PHOTO_FOLDS)]]
    assert set((folds == "test").sum(axis=1)) == {2} and set((folds == "validation").sum(axis=1)) <= {1, 2, 3}
    assert len({tuple(folds[name]) for name in folds}) == PHOTO_FOLDS


def test_no_near_duplicates_across_series_and_splits(table, builder):
    gcompris, tuxpaint = (load_photos("all", source=source) for source in PHOTO_SOURCES)
    masks = np.concatenate([np.ones(gcompris.x.shape[:3], bool), tuxpaint.masks])
    for a, b, _ in builder.near_duplicates(np.concatenate([gcompris.x, tuxpaint.x]), masks):
        assert table["series"][a] == table["series"][b] != "", (table["file"][a], table["file"][b])


def test_near_duplicates_are_found_when_mirrored_brightened_recoloured_or_noisy(builder):
    random = np.random.default_rng(0)
    originals = {source: load_photos("all", source=source).subset(slice(0, 200, 20)) for source in PHOTO_SOURCES}
    for source, data in originals.items():
        masks = np.ones(data.x.shape[:3], bool) if data.masks is None else data.masks
        noise = random.normal(0, 4, data.x.shape)
        changed = np.clip(data.x[..., ::-1] * 0.8 + 30 + noise, 0, 255).astype("uint8")[:, :, ::-1]
        pairs = builder.near_duplicates(np.concatenate([data.x, changed]), np.concatenate([masks, masks[:, :, ::-1]]))
        assert [(a, b) for a, b, _ in pairs] == [(n, n + len(data)) for n in range(len(data))], source


# ---------------------------------------------------------------- what is loaded


def test_shapes_names_and_sources():
    data = load_photos("all")
    assert data.x.shape == (438, 96, 96, 3) and data.label_names == PHOTO_FAMILIES and data.masks is None
    assert {source: int((data.sources == source).sum()) for source in PHOTO_SOURCES} == {
        "gcompris": 212,
        "tuxpaint": 226,
    }
    assert all(id.startswith(source + "/") for id, source in zip(data.ids, data.sources, strict=True))
    texts = dict(zip(data.ids, data.texts, strict=True))
    assert texts["gcompris/erase/resource/red_panda.webp"] == "red panda"
    assert texts["tuxpaint/food/vegetables/broccoli.png"] == "broccoli"
    assert all(text and text[-1] not in ".!" and "_" not in text for text in data.texts)


@pytest.mark.parametrize("source", PHOTO_SOURCES)
def test_one_source_is_the_part_of_all_that_comes_from_it(source):
    every, one = load_photos("test", fold=3), load_photos("test", fold=3, source=source)
    part = every.subset(every.sources == source)
    np.testing.assert_array_equal(one.x, part.x)
    np.testing.assert_array_equal(one.ids, part.ids)
    np.testing.assert_array_equal(one.y, part.y)
    assert one.domain.name == f"photo/{source}" != every.domain.name


def test_cut_outs_stand_on_white_inside_their_masks_and_fill_the_square():
    data = load_photos("all", source="tuxpaint")
    alpha = read_sheet("photos/tuxpaint/photos.webp", len(data), 96, "RGBA")[..., 3]
    np.testing.assert_array_equal(data.masks, alpha >= 128)
    assert (data.x[alpha == 0] == 255).all() and (data.x[alpha == 255] < 250).mean() > 0.7
    for visible in alpha > 0:
        rows, columns = (np.flatnonzero(visible.any(axis)) for axis in (1, 0))
        assert 86 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 92
        assert abs(rows[0] + rows[-1] - 95) <= 5 and abs(columns[0] + columns[-1] - 95) <= 5


def test_full_photographs_have_no_masks_and_fill_the_frame():
    assert load_photos("all", source="gcompris").masks is None
    sheet = read_sheet("photos/gcompris/photos.webp", 212, 96, "RGBA")
    assert (sheet[..., 3] == 255).all()


def test_other_sizes_are_the_same_pictures():
    full, half = (load_photos("validation", source="tuxpaint", size=size) for size in (96, 48))
    assert half.x.shape[1:] == (48, 48, 3) and half.masks.shape[1:] == (48, 48)
    means = full.x.reshape(-1, 48, 2, 48, 2, 3).mean((2, 4))
    assert np.abs(half.x - means).mean() < 4
    assert (half.masks == (full.masks.reshape(-1, 48, 2, 48, 2).mean((2, 4)) > 0.5)).mean() > 0.98


def test_scenes_are_those_of_the_table_in_the_same_splits(table):
    scenes = load_photos("test", fold=1, labels="scene")
    families = load_photos("test", fold=1)
    assert scenes.label_names == PHOTO_SCENES and set(scenes.sources) == {"gcompris"}
    expected = dict(zip(table["source"] + "/" + table["file"], table["scene"], strict=True))
    assert [scenes.label_names[y] for y in scenes.y] == [expected[id] for id in scenes.ids]
    assert set(scenes.ids) == {id for id in families.ids if expected[id]}
    assert np.bincount(load_photos("all", labels="scene").y).tolist() == [26, 14, 12, 11, 51, 36]


def test_families_restrict_the_label_space_in_the_order_given():
    data = load_photos("all", families=("bird", "mammal"))
    assert data.label_names == ("bird", "mammal") and np.bincount(data.y).tolist() == [43, 95]
    assert all(("birds" in id) == (y == 0) for id, y in zip(data.ids, data.y, strict=True) if "tuxpaint" in id)


def test_photo_families_counts():
    assert photo_families() == ("mammal", "bird", "sea animal", "tool", "household")
    assert photo_families(1, source="all") == PHOTO_FAMILIES
    assert photo_families(20, source="gcompris") == ("mammal", "sea animal", "building", "tool")
    budget = sample_budget(load_photos(families=photo_families(), source="gcompris"), 5, seed=0)
    assert len(budget) == 25


def test_emoji_have_the_same_families_in_the_same_order():
    assert load_emoji("black", labels="family").label_names == load_photos().label_names


def test_large_photographs_are_the_small_ones_larger(table):
    large = load_large_photos()
    assert large.x.shape == (12, 224, 224, 3) and len(set(large.y)) >= 7 and set(large.sources) == set(PHOTO_SOURCES)
    everything = load_photos("all")
    small = everything.subset([list(everything.ids).index(id) for id in large.ids])
    for name in ("y", "texts", "sources"):
        np.testing.assert_array_equal(getattr(small, name), getattr(large, name))
    reduced = np.stack([Image.fromarray(picture).resize((96, 96), Image.Resampling.LANCZOS) for picture in large.x])
    differences = np.abs(reduced.astype(int)[:, None] - small.x.astype(int)[None]).mean((2, 3, 4))
    np.testing.assert_array_equal(differences.argmin(1), np.arange(12))
    assert differences.diagonal().max() < 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"split": "testing"}, "'validation'"),
        ({"fold": 10}, "9"),
        ({"labels": "species"}, "'scene'"),
        ({"source": "flickr"}, "'gcompris'"),
        ({"size": 4}, "8…512"),
        ({"families": ("dog",)}, "'household'"),
        ({"labels": "scene", "families": ("bird",)}, "'family'"),
        ({"labels": "scene", "source": "tuxpaint"}, "surroundings"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(arguments, named):
    with pytest.raises(ValueError, match=named):
        load_photos(**arguments)


def test_photo_families_refuses_an_unknown_source():
    with pytest.raises(ValueError, match="'each', 'all', 'gcompris', 'tuxpaint'"):
        photo_families(source="both")


# ---------------------------------------------------------------- licences and files


def test_every_row_says_what_its_licence_demands(table):
    free = {"Public domain", "CC0-1.0", "No restrictions"}
    credited = table[~table["licence"].isin(free)]
    assert (credited["author"] != "").all()
    creative = table["licence"].str.startswith("CC-BY")
    assert creative.sum() == 34 and table[creative]["origin"].str.startswith("https://").all()
    assert ((table["author"] != "") | (table["origin"] != "")).all()
    gcompris = table["source"] == "gcompris"
    assert (table[gcompris]["origin"].str.startswith("https://")).all() and (table[gcompris]["author"] != "").all()
    assert not table[gcompris]["licence"].str.contains("GPL|GFDL").any()


@pytest.mark.parametrize("source", PHOTO_SOURCES)
def test_the_readmes_count_every_licence_and_the_texts_are_there(source, table):
    folder = data_folder() / "photos"
    text = (folder / ("tuxpaint" if source == "tuxpaint" else ".") / "README.md").read_text(encoding="utf-8")
    counts = table[table["source"] == source]["licence"].value_counts()
    for licence, count in counts.items():
        assert f"| {licence} | {count} |" in text
    if source == "tuxpaint":
        assert "GNU GENERAL PUBLIC LICENSE" in (folder / source / "GPL-2.txt").read_text(encoding="utf-8")
        assert "GNU Free Documentation License" in (folder / source / "GFDL-1.2.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", PHOTO_SOURCES)
def test_decoded_arrays_are_those_of_arrays_json(source):
    folder = data_folder() / "photos" / source
    stored = json.loads((folder / "arrays.json").read_text(encoding="utf-8"))
    for name, size in (("photos.webp", 96), ("large.webp", 224)):
        shape = stored[name]["shape"]
        pictures = read_sheet(f"photos/{source}/{name}", shape[0], size, "RGBA" if shape[-1] == 4 else "RGB")
        assert list(pictures.shape) == shape and str(pictures.dtype) == stored[name]["dtype"]
        assert hashlib.sha256(pictures.tobytes()).hexdigest() == stored[name]["sha256"]


# ---------------------------------------------------------------- the build script


def test_folds_are_those_that_the_build_script_draws(table, builder):
    folds = builder.make_folds(table.to_dict("records"))
    for fold, splits in enumerate(folds):
        assert splits == table[f"fold{fold}"].tolist()


def archive_of(files, version):
    """Write a Qt resource archive: a root folder that holds `files`, (name, flags, content) each."""
    names = data = b""
    nodes = [struct.pack(">IHII", 0, 2, len(files), 1)]
    for name, flags, content in files:
        nodes.append(struct.pack(">IHHHI", len(names), flags, 0, 0, len(data)))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        payload = struct.pack(">I", len(content)) + zlib.compress(content) if flags & 1 else content
        data += struct.pack(">I", len(payload)) + payload
    tree = b"".join(node + bytes(8 if version > 1 else 0) for node in nodes)
    names = names or b"\0"
    return struct.pack(">4s4I", b"qres", version, 20, 20 + len(tree), 20 + len(tree) + len(data)) + tree + data + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_qt_archives_are_read(builder, version):
    content = archive_of([("größe.txt", 1, b"a" * 500), ("b", 0, b"plain")], version)
    assert builder.read_rcc(content) == {"größe.txt": b"a" * 500, "b": b"plain"}


@pytest.mark.parametrize("content", [b"PK\3\4" + bytes(40), archive_of([("a", 4, b"?")], 3)])
def test_other_archives_are_refused(builder, content):
    with pytest.raises(SystemExit, match=r"archive of version|zstandard"):
        builder.read_rcc(content)


def test_credits_are_read_from_readmes_in_either_order(builder):
    readme = (
        "Copyright: A. Uthor\nLicense: CC-BY-SA 4.0\nSource: https://a\nFiles:\nx/one.webp\ntwo.webp\n\n"
        "Files: three.webp\nSource: https://b\nLicense: Public Domain\nCopyright: B\nComments: cropping\n"
    )
    assert builder.gcompris_credits({"activity/README": readme.encode(), "activity/x/one.webp": b""}) == {
        "activity/x/one.webp": ("CC-BY-SA-4.0", "A. Uthor", "https://a"),
        "activity/two.webp": ("CC-BY-SA-4.0", "A. Uthor", "https://a"),
        "activity/three.webp": ("Public domain", "B", "https://b"),
    }
