"""Cut-outs are posed and laid onto grounds: sizes, colours and places are exact."""

from __future__ import annotations

import numpy as np
import pytest

from tl_helpers.datasets.sprites import coloured_grounds, lay, pose_sprite


def square(side=16, margin=8, colour=(200, 40, 40)):
    """A square of one colour amid nothing, under which lies black."""
    sprite = np.zeros((side + 2 * margin,) * 2 + (4,), "uint8")
    sprite[margin:-margin, margin:-margin] = (*colour, 255)
    return sprite


def test_grounds_come_from_the_generator_and_differ():
    one, same = (coloured_grounds(3, 48, np.random.default_rng(1)) for _ in range(2))
    assert one.shape == (3, 48, 48, 3) and one.dtype == np.uint8
    assert (one == same).all() and (one[0] != one[1]).any()


@pytest.mark.parametrize("longest", [5, 16, 40])
@pytest.mark.parametrize("angle", [0, 33, 90])
def test_a_posed_cut_out_is_as_long_as_was_asked(longest, angle):
    assert max(pose_sprite(square(), longest, angle=angle).shape[:2]) == longest


@pytest.mark.parametrize("angle", [0, 20])
def test_what_lies_under_transparent_pixels_does_not_shine_through(angle):
    posed = pose_sprite(square(), 40, angle=angle)
    seen = posed[posed[..., 3] > 64][:, :3].astype(int)
    assert abs(seen - (200, 40, 40)).max() <= 6


def test_left_and_right_are_exchanged():
    sprite = square()
    sprite[8:-8, 8:16, :3] = (0, 0, 250)  # the left half is blue
    left, right = pose_sprite(sprite, 16)[8, [2, -3], 2], pose_sprite(sprite, 16, flip=True)[8, [2, -3], 2]
    assert left[0] > 200 > 60 > left[1] and right[1] > 200 > 60 > right[0]


def test_an_empty_cut_out_is_refused():
    with pytest.raises(ValueError, match="empty"):
        pose_sprite(np.zeros((8, 8, 4), "uint8"), 8)


def test_a_cut_out_covers_as_much_as_it_is_opaque():
    ground = np.full((10, 10, 3), 100, "uint8")
    sprite = np.zeros((2, 3, 4), "uint8")
    sprite[..., 0], sprite[0, :, 3], sprite[1, 0, 3] = 200, 255, 51
    lay(sprite, ground, (4, 7))
    assert (ground[7, 4:7] == (200, 0, 0)).all() and (ground[8, 4] == (120, 80, 80)).all()
    assert (ground[8, 5:7] == 100).all() and (ground[:7] == 100).all()


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (8, 0), (0, 9)])
def test_a_cut_out_that_would_lie_outside_is_refused(corner):
    with pytest.raises(ValueError, match="does not lie within"):
        lay(np.zeros((2, 3, 4), "uint8"), np.zeros((10, 10, 3), "uint8"), corner)
