"""The golden values: what counts as different, and that every part of the kit that they name is there."""

from tests.benchmarks import golden


def test_what_differs_is_told():
    recorded = {"rate": 0.1, "count": 3, "word": "one cannot tell", "gone": 1}
    found = {"rate": 0.1 + 1e-7, "count": 4, "word": "one can tell", "new": 1}
    assert golden.differences(recorded, recorded) == {}
    assert set(golden.differences(recorded, found)) == {"count", "word", "gone", "new"}
    assert set(golden.differences(recorded, recorded | {"rate": 0.1001})) == {"rate"}
    assert set(golden.differences(recorded, recorded | {"count": 3.0})) == {"count"}


def test_every_study_has_its_cells():
    assert golden.kit_slices() and set(golden.CELLS) == set(golden.STUDIES)
