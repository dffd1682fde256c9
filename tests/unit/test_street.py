"""Street pictures: splits, seeds, scenes, and what each domain shows."""

import numpy as np
import pytest

from tl_helpers.datasets import street as datasets, street_pictures as street
from tl_helpers.datasets.dataset import Dataset, Domain, Task, draw_per_class, rows_of, sample_budget
from tl_helpers.datasets.street import FAMILIES, GARMENTS, load_street, load_street_scenes


@pytest.mark.parametrize("labels", ["garment", "digit"])
def test_no_item_is_in_two_splits(labels):
    splits = ["source", "target", "test"] + (["validation"] if labels == "garment" else [])
    ids = [set(load_street("plain", split, labels=labels).ids) for split in splits]
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_sizes_and_labels():
    data = load_street("plain", "validation")
    assert len(data) == 2000 and data.x.shape == (2000, 28, 28, 1) and data.label_names == GARMENTS
    shoes = load_street("plain", "validation", labels="shoe")
    families = load_street("plain", "validation", labels="family")
    expected = {name: family for family, names in FAMILIES.items() for name in names}
    assert [families.label_names[y] for y in families.y] == [expected[GARMENTS[y]] for y in data.y]
    assert [shoes.label_names[y] for y in shoes.y] == [GARMENTS[y] for y in data.y if GARMENTS[y] in FAMILIES["shoes"]]


def test_a_seed_repeats_and_another_differs_in_pose_but_not_in_item():
    first, again, other = (load_street("photo", "test", n=50, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.ids, other.ids)
    assert (first.x != other.x).mean() > 0.9


def test_the_first_n_are_the_first_of_all():
    np.testing.assert_array_equal(load_street("plain", "test", n=20).ids, load_street("plain", "test").ids[:20])


@pytest.mark.parametrize(("view", "size", "colour"), [("photo", 56, False), ("sketch", 28, True), ("xray", 28, False)])
def test_every_domain_has_its_feature_space(view, size, colour):
    data = load_street(view, "test", n=10, size=size, colour=colour)
    assert data.x.shape == (10, size, size, 3 if colour else 1) and data.domain.feature_space == data.x.shape[1:]
    assert data.x.std() > 5


def test_posing_without_freedom_is_the_identity_at_the_middle():
    class NoFreedom:
        def uniform(self, low, high, size):
            return np.full(size, 1.0 if low > 0 else 0.0)

    items = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype="uint8")
    np.testing.assert_allclose(street.pose(items, 28, NoFreedom()), items / 255, atol=1e-6)


def test_pasting_hides_the_background_where_the_item_is_bright():
    posed, background = np.array([[[0.0, 0.5, 1.0]]]), np.full((1, 1, 3), 0.3)
    np.testing.assert_allclose(street.paste(posed, background), [[[0.3, 0.575, 1.0]]])


def test_textures_stay_in_their_range():
    made = street.textures(50, 28, np.random.default_rng(0))
    assert 0 <= made.min() < 0.05 and 0.65 < made.max() <= 0.7


def test_a_flat_picture_has_no_lines():
    flat = np.full((1, 8, 8), 0.4, "float32")
    assert (street.render(flat, "sketch", None) == 255).all()


def test_scenes_boxes_enclose_their_masks_exactly():
    scenes = load_street_scenes(n=40)
    for mask, (left, top, right, bottom) in zip(scenes.masks, scenes.boxes.astype(int), strict=True):
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        assert not (mask & ~inside).any()
        assert mask[top].any() and mask[bottom - 1].any() and mask[:, left].any() and mask[:, right - 1].any()


def test_scene_shapes_overlap_by_at_most_a_tenth():
    random = np.random.default_rng(0)
    shapes = np.zeros((3, 28, 28), bool)
    shapes[:, 4:24, 6:22] = True
    for _ in range(20):
        layers = np.zeros((3, 56, 56), int)
        for layer, (top, left) in zip(layers, street._corners_apart(shapes, random), strict=True):
            layer[top : top + 28, left : left + 28] = shapes[0]
        for i, j in [(0, 1), (0, 2), (1, 2)]:
            assert (layers[i] & layers[j]).sum() <= 0.1 * shapes[0].sum()


def test_scene_targets_are_of_the_class_asked_for_and_scenes_repeat():
    scenes = load_street_scenes("sketch", "test", n=12, target="3", distractors="digit", seed=4)
    assert (scenes.y == 3).all() and scenes.x.shape == (12, 56, 56, 1)
    again = load_street_scenes("sketch", "test", n=12, target="3", distractors="digit", seed=4)
    np.testing.assert_array_equal(scenes.x, again.x)
    anything = load_street_scenes(n=60, target="any")
    assert len(set(anything.y)) == 3


def test_a_family_as_target_brings_its_kinds_as_labels_and_distractors_from_outside_it(monkeypatch):
    used = {}

    def remember(targets, distractors, view, *, seed):
        used["targets"], used["distractors"] = targets, distractors
        n = len(targets)
        return np.zeros((n, 56, 56, 1), "uint8"), np.zeros((n, 4), "float32"), np.zeros((n, 56, 56), bool)

    monkeypatch.setattr(datasets, "make_scenes", remember)
    scenes = load_street_scenes(n=300, target="shoes", distractors="garment")
    pool = load_street("plain", "target")
    garment_of = {picture.tobytes(): GARMENTS[label] for picture, label in zip(pool.x, pool.y, strict=True)}
    assert scenes.task == Task("street/find shoes", ("sandal", "sneaker", "ankle boot"))
    assert [garment_of[item.tobytes()] for item in used["targets"]] == [scenes.label_names[label] for label in scenes.y]
    assert set(scenes.y) == {0, 1, 2} and set(scenes.ids) <= set(pool.ids)
    assert {garment_of[item.tobytes()] for item in used["distractors"]} == set(GARMENTS) - set(FAMILIES["shoes"])


def test_trousers_are_a_garment_and_other_families_of_one_kind_have_one_label():
    trousers = load_street_scenes(n=3, target="trousers", distractors="garment")
    assert trousers.label_names == GARMENTS and (trousers.y == GARMENTS.index("trousers")).all()
    bags = load_street_scenes(n=3, target="bags", distractors="garment")
    assert bags.label_names == ("bag",) and (bags.y == 0).all() and bags.masks.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("target", "distractors", "items", "y"),
    [
        ("sneaker", "shoe", [29279, 46629, 3669, 54457], [1, 1, 1, 1]),
        ("any", "garment", [39424, 7422, 4925, 3606], [7, 6, 7, 6]),
        ("shoes", "garment", [36653, 1151, 52033, 33991], [0, 1, 0, 2]),
    ],
)
def test_the_targets_drawn_by_a_seed_stay_what_stored_results_were_made_with(target, distractors, items, y):
    scenes = load_street_scenes(n=4, target=target, distractors=distractors)
    assert scenes.ids.tolist() == [f"garments/train/{number}" for number in items] and scenes.y.tolist() == y


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": "film"}, "view must be one of 'plain', 'photo', 'sketch', 'xray', not 'film'"),
        ({"split": "train"}, "split must be one of 'source', 'target', 'validation', 'test'"),
        ({"labels": "colour"}, "labels must be one of"),
        ({"size": 32}, "size must be one of 28, 56"),
        ({"n": 0}, "n must be 1…12000"),
        ({"n": 12_001}, "n must be 1…12000"),
    ],
)
def test_bad_arguments_name_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_street(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": "plain"}, "view"),
        ({"target": "T-shirt"}, "target"),
        ({"target": "shoes"}, "target must be one of 'any', 'sandal', 'sneaker', 'ankle boot', not 'shoes'"),
        ({"distractors": "hat"}, "distractors"),
        ({"n": 0}, "n"),
    ],
)
def test_bad_scene_arguments_name_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_street_scenes(**{"n": 3, **arguments})


def test_budgets_are_balanced_nested_and_drawn_anew_per_seed():
    data = load_street("plain", "target")
    small, large = sample_budget(data, 5, seed=0), sample_budget(data, 20, seed=0)
    assert np.bincount(small.y).tolist() == [5] * 10
    np.testing.assert_array_equal(small.ids, large.ids[:50])
    assert len(set(small.ids) & set(sample_budget(data, 5, seed=1).ids)) < 10
    with pytest.raises(ValueError, match=r"Class .* has \d+ examples .* Ask for at most"):
        sample_budget(data, 5000, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        sample_budget(data, 0, seed=0)


def test_a_draw_by_class_is_nested_and_takes_all_of_a_rare_class():
    y = np.repeat([0, 1, 2], [50, 4, 30])
    drawn = draw_per_class(y, 20, seed=5)
    assert np.bincount(y[drawn]).tolist() == [20, 4, 20] and len(set(drawn)) == len(drawn)
    np.testing.assert_array_equal(drawn, draw_per_class(y, 20, seed=5))
    assert set(draw_per_class(y, 10, seed=5)) < set(drawn) != set(draw_per_class(y, 20, seed=6))


def test_rows_are_found_by_their_ids():
    assert rows_of(np.array(["a", "b", "c"]), ["c", "a"]).tolist() == [2, 0]


def make(**changes):
    arguments = {
        "x": np.zeros((2, 3, 3, 1), "uint8"),
        "y": np.array([0, 1]),
        "domain": Domain("d", (3, 3, 1)),
        "task": Task("t", ("a", "b")),
        "split": "test",
        "ids": np.array(["p", "q"]),
    }
    return Dataset(**{**arguments, **changes})


def test_a_data_set_is_read_only_and_checks_its_shapes():
    data = make()
    with pytest.raises(ValueError, match="read-only"):
        data.x[0] = 1
    with pytest.raises(ValueError, match=r"boxes has shape \(3, 4\)"):
        make(boxes=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="y must be int64 in 0…1"):
        make(y=np.array([0, 2]))
    with pytest.raises(ValueError, match="x must be uint8"):
        make(x=np.zeros((2, 3, 3, 1)))
    assert len(data.subset([1])) == 1 and data.subset([1]).ids.tolist() == ["q"]
    assert repr(data) == "Dataset('d', task 't', split 'test': 2 images of 3×3×1, 2 classes)"
