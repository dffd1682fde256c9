"""What a run takes and gives is plain, and an error comes back as it was raised."""

import numpy as np
import pytest

from tests.unit.grids import AXES, Inline, study
from tl_helpers.grid.run import GridError, run_grid


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (0.5, "must return a dictionary"),
        ([], "must return a dictionary"),
        ({"score": [1, 2]}, "'score': list is no plain value"),
        ({"score": np.zeros(2)}, "'score'"),
        ({"seed": 1}, "'seed', a name that run_grid uses"),
        ({1: 1}, "1, a name"),
    ],
)
def test_what_is_no_result_is_refused_with_the_run_that_gave_it(result, message):
    def odd(arm, budget, seed):
        return result

    with pytest.raises(GridError, match=rf"arm 'a', budget 1, seed 0: .*{message}"):
        run_grid(odd, ["a"], [1], [0], path=None, client=Inline())


def test_what_cannot_be_sent_is_refused_before_anything_runs(tmp_path):
    with open(tmp_path / "open", "w") as handle, pytest.raises(TypeError, match="handle"):
        run_grid(study, *AXES, path=None, handle=handle)


def test_the_cause_is_the_runs_own_exception_with_its_traceback():
    def fails(arm, budget, seed):
        raise KeyError("the culprit")

    with pytest.raises(GridError) as caught:
        run_grid(fails, ["a"], [1], [0], path=None)
    assert isinstance(caught.value.__cause__, KeyError)
    assert 'raise KeyError("the culprit")' in "".join(caught.value.__cause__.__notes__)
