"""A genuine contiguous grid, and the filler's intervals on holes as its swaths leave them."""

import numpy as np
import pytest

from tssmnet.book.ensembles import swath_trials
from tssmnet.data.uruguay import uruguay_cube

pytestmark = pytest.mark.mirror


@pytest.fixture(scope="module")
def cube(genuine):
    genuine("smap-uruguay")
    return uruguay_cube()


def test_two_weeks_of_a_contiguous_grid_with_the_holes_of_its_swaths(cube):
    assert dict(cube.sizes) == {"time": 14, "pixel": 981}
    share = np.isfinite(cube.ssm.values).mean(axis=1)
    assert share.min() < 0.6 < 0.95 < share.max()
    assert -34 < float(cube.lat.min()) < float(cube.lat.max()) < -32
    assert 0.05 < float(cube.ssm.min()) < float(cube.ssm.max()) < 0.5


@pytest.mark.slow
def test_where_swaths_hide_a_third_of_the_days_the_interval_holds_and_no_constant_width_beats_it_by_much(cube):
    found = swath_trials(cube, range(2)).mean()
    assert found["inside the 90 % interval (%)"] > 82
    assert found["interval score"] < 1.02 * found["of the best constant width"]
    assert found["RMSE of the filler"] < found["RMSE of a straight line"]
