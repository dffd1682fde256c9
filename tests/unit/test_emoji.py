"""Emoji: five styles of the same concepts, splits that never divide a concept, labels, and what the loader makes."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from tl_helpers.datasets.dataset import sample_budget
from tl_helpers.datasets.emoji import EMOJI_FOLDS, EMOJI_LABELS, EMOJI_STYLES, load_cut_outs, load_emoji
from tl_helpers.files import data_folder, read_sheet, read_table

SPLITS = ("train", "validation", "test")
CLEAN8 = ("animal", "body", "face", "food", "object", "person", "symbol", "vehicle")
FINE = {
    "animal": ("bird", "bug", "mammal", "marine", "reptile"),
    "food": ("asian dish", "drink", "fruit", "prepared dish", "sweet", "vegetable"),
    "face": ("negative", "neutral", "positive"),
}
PHOTOGRAPH_FAMILIES = {
    *("mammal", "bird", "sea animal", "bug", "fruit", "vegetable", "plant"),
    *("building", "vehicle", "tool", "household", "music", "sport"),
}


@pytest.fixture(scope="module")
def table():
    return read_table("emoji/emoji.csv")


def row_of(table, name):
    (row,) = table.index[table["name"] == name]
    return row


@pytest.mark.parametrize("style", EMOJI_STYLES)
def test_sheets_hold_the_stored_arrays_and_draw_every_concept(style, table):
    stored = json.loads((data_folder() / "emoji" / "arrays.json").read_text(encoding="utf-8"))[f"{style}.webp"]
    drawings = read_sheet(f"emoji/{style}.webp", len(table), 64, "RGBA")
    assert list(drawings.shape) == stored["shape"] == [len(table), 64, 64, 4]
    assert str(drawings.dtype) == stored["dtype"]
    assert hashlib.sha256(drawings.tobytes()).hexdigest() == stored["sha256"]
    assert (drawings[..., 3] >= 128).sum(axis=(1, 2)).min() > 64, "a drawing is empty"
    assert not drawings[drawings[..., 3] == 0].any()


def test_the_table_is_the_stored_one(table):
    stored = json.loads((data_folder() / "emoji" / "arrays.json").read_text(encoding="utf-8"))["emoji.csv"]
    rows = [tuple(row) for row in table.itertuples(index=False)]
    assert hashlib.sha256(repr(rows).encode()).hexdigest() == stored["sha256"]


def test_each_concept_is_there_once_and_none_is_a_flag_or_a_skin_tone(table):
    assert table["codepoint"].is_unique and table["name"].is_unique
    assert not table["codepoint"].str.contains("1F3F[B-F]|1F1[EF]").any()
    assert "flags" not in set(table["group"])


@pytest.mark.parametrize("fold", range(EMOJI_FOLDS))
@pytest.mark.parametrize("labels", ["clean8", "family"])
def test_no_concept_is_in_two_splits(table, fold, labels):
    concept = dict(zip(table["codepoint"], table["concept"], strict=True))
    parts = [load_emoji("black", split, fold=fold, labels=labels) for split in SPLITS]
    concepts = [{concept[code] for code in part.ids} for part in parts]
    assert sum(map(len, concepts)) == len(set.union(*concepts))
    assert set().union(*(part.ids for part in parts)) == set(load_emoji("black", "all", labels=labels).ids)


def test_variants_of_a_concept_share_their_split_in_every_fold(table):
    folds = [f"fold{fold}" for fold in range(EMOJI_FOLDS)]
    assert (table.groupby("concept")[folds].nunique() == 1).all(axis=None)
    assert set(table[folds].to_numpy().ravel()) == set(SPLITS)
    for variants in (("child", "boy", "girl"), ("right-facing fist", "left-facing fist"), ("bus", "oncoming bus")):
        assert table["concept"][[row_of(table, name) for name in variants]].nunique() == 1


def test_folds_differ_and_every_labelled_concept_is_tested(table):
    tested = np.stack([table[f"fold{fold}"] == "test" for fold in range(EMOJI_FOLDS)])
    assert len(np.unique(tested, axis=0)) == EMOJI_FOLDS
    times = tested.sum(axis=0)[table["clean8"] != ""]
    assert times.min() >= 1 and times.max() <= 3
    both = (tested[:, None] & tested).sum(axis=2)
    assert (both[~np.eye(EMOJI_FOLDS, dtype=bool)] < 0.3 * tested[0].sum()).all()


@pytest.mark.parametrize("fold", range(EMOJI_FOLDS))
def test_every_fold_is_stratified_and_has_forty_labels_per_class(fold):
    counts = {split: np.bincount(load_emoji("black", split, fold=fold).y, minlength=8) for split in SPLITS}
    total = sum(counts.values())
    assert counts["train"].min() >= 40 and counts["validation"].min() >= 5 and counts["test"].min() >= 9
    for split, share in [("test", 1 / 6), ("validation", 1 / 10)]:
        assert (np.abs(counts[split] - share * total) <= 0.5).all()
    assert 135 <= counts["test"].sum() <= 150


def test_forty_labels_per_class_can_be_drawn():
    budget = sample_budget(load_emoji("twemoji"), 40, seed=0)
    assert len(budget) == 320 and np.bincount(budget.y).tolist() == [40] * 8


def test_the_same_row_is_the_same_concept_in_every_style():
    loaded = [load_emoji(style, "test", fold=3, labels="group") for style in EMOJI_STYLES]
    for data in loaded[1:]:
        np.testing.assert_array_equal(data.ids, loaded[0].ids)
        np.testing.assert_array_equal(data.texts, loaded[0].texts)
        np.testing.assert_array_equal(data.y, loaded[0].y)
        assert data.domain != loaded[0].domain and data.task == loaded[0].task
        assert (data.x != loaded[0].x).mean() > 0.1


def test_colour_tells_that_rows_and_drawings_belong_together(table):
    """The green heart is green and the blue heart is blue in every style that has colour."""
    for style in set(EMOJI_STYLES) - {"black"}:
        drawings = read_sheet(f"emoji/{style}.webp", len(table), 64, "RGBA")
        for name, channel in [("red square", 0), ("green heart", 1), ("blue heart", 2), ("blue circle", 2)]:
            drawing = drawings[row_of(table, name)]
            assert drawing[drawing[..., 3] == 255][:, :3].mean(axis=0).argmax() == channel, (style, name)


def test_black_line_art_has_no_colour():
    x = load_emoji("black", "test").x
    assert (x == x[..., :1]).all() and (x == 255).mean() > 0.7


@pytest.mark.parametrize("style", EMOJI_STYLES)
def test_pictures_are_composed_on_white_and_masks_come_from_alpha(style, table):
    data = load_emoji(style, "validation", fold=1)
    rows = table.index[(table["fold1"] == "validation") & (table["clean8"] != "")]
    assert table["codepoint"][rows].tolist() == data.ids.tolist()
    drawings = read_sheet(f"emoji/{style}.webp", len(table), 64, "RGBA")[rows]
    alpha = drawings[..., 3:] / 255
    np.testing.assert_allclose(data.x, drawings[..., :3] * alpha + 255 * (1 - alpha), atol=0.5 + 1e-9)
    np.testing.assert_array_equal(data.masks, drawings[..., 3] >= 128)
    assert (data.x[drawings[..., 3] == 0] == 255).all()


@pytest.mark.parametrize("size", [32, 96])
def test_other_sizes_are_resampled(size):
    native, other = load_emoji("noto", "validation"), load_emoji("noto", "validation", size=size)
    assert other.x.shape == (len(native), size, size, 3) and other.masks.shape == (len(native), size, size)
    assert other.domain.feature_space == (size, size, 3)
    np.testing.assert_array_equal(other.ids, native.ids)
    expected = Image.fromarray(native.x[0]).resize((size, size), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(other.x[0], np.asarray(expected))
    np.testing.assert_allclose(other.x.mean(axis=(1, 2, 3)), native.x.mean(axis=(1, 2, 3)), atol=2)
    np.testing.assert_allclose(other.masks.mean(axis=(1, 2)), native.masks.mean(axis=(1, 2)), atol=0.03)


def test_label_names(table):
    assert load_emoji(split="all").label_names == CLEAN8
    for labels, names in FINE.items():
        assert load_emoji(split="test", labels=labels).label_names == names
    assert set(load_emoji(split="all", labels="family").label_names) == PHOTOGRAPH_FAMILIES
    assert len(load_emoji(split="all", labels="group")) == len(table) == 1409
    subgroups = load_emoji(split="all", labels="subgroup")
    assert np.bincount(subgroups.y).min() >= 12 and "animal-bird" in subgroups.label_names


def test_fine_labels_lie_within_their_coarse_class(table):
    for labels, coarse in [("animal", "animal"), ("food", "food"), ("face", "face")]:
        assert set(table["clean8"][table[labels] != ""]) == {coarse}
    for fine, family in [("bird", "bird"), ("bug", "bug"), ("marine", "sea animal")]:
        assert set(table["family"][table["animal"] == fine]) == {family}
    assert set(table["clean8"][table["family"] == "vehicle"]) == {"vehicle"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owl", {"clean8": "animal", "animal": "bird", "family": "bird", "group": "animals-nature"}),
        ("dolphin", {"clean8": "animal", "animal": "marine", "family": "sea animal"}),
        ("pizza", {"clean8": "food", "food": "prepared dish", "family": "", "subgroup": "food-prepared"}),
        ("crying face", {"clean8": "face", "face": "negative", "family": "", "group": "smileys-emotion"}),
        ("cook", {"clean8": "person", "codepoint": "1F9D1-200D-1F373", "face": ""}),
        ("red heart", {"clean8": "", "subgroup": "heart"}),
        ("castle", {"clean8": "", "family": "building"}),
        ("violin", {"clean8": "object", "family": "music"}),
        ("mushroom", {"clean8": "food", "food": "vegetable", "family": "vegetable", "group": "animals-nature"}),
    ],
)
def test_labels_of_some_concepts(table, name, expected):
    assert table.loc[row_of(table, name), list(expected)].to_dict() == expected


def test_loaded_labels_and_texts_agree_with_the_table(table):
    data = load_emoji("noto", "test", fold=7, labels="family")
    by_code = table.set_index("codepoint")
    assert [data.label_names[y] for y in data.y] == by_code.loc[data.ids, "family"].tolist()
    assert data.texts[0] == ", ".join(by_code.loc[data.ids[0], ["name", "keywords"]])
    assert data.domain.name == "emoji/noto" and data.task.name == "emoji/family" and data.split == "test"


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("style", "apple", "'noto', 'twemoji', 'openmoji', 'black', 'fluent'"),
        ("split", "target", "'train', 'validation', 'test', 'all'"),
        ("fold", 10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("fold", -1, "0, 1, 2"),
        ("labels", "colour", ", ".join(map(repr, EMOJI_LABELS))),
        ("size", 7, "8…512"),
    ],
)
def test_a_bad_argument_is_refused_with_the_allowed_values(argument, value, allowed):
    with pytest.raises(ValueError, match=f"{argument} must be .*{allowed}.*, not {value!r}"):
        load_emoji(**{argument: value})


def test_arrays_cannot_be_changed():
    data = load_emoji("black", "test")
    with pytest.raises(ValueError, match="read-only"):
        data.x[0] = 0


def test_a_cut_out_is_the_drawing_without_the_white():
    white, cut = load_emoji("noto", "test"), load_cut_outs("noto", "test")
    opaque = cut.x[..., 3] == 255
    assert cut.x.shape == (*white.x.shape[:3], 4) and (cut.ids == white.ids).all() and (cut.y == white.y).all()
    assert (cut.x[opaque][:, :3] == white.x[opaque]).all()
    assert (white.x[cut.x[..., 3] == 0] == 255).all() and cut.domain != white.domain
