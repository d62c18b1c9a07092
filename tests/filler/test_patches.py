"""Where the filler learns: patches of pixels with their neighbours, spread over the map."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tssmnet.cube import to_pixels
from tssmnet.filler.evidence import NEIGHBOURS
from tssmnet.filler.patches import Surroundings, draw_patches
from tssmnet.reconstruction.blocks import Blocks, cut
from tssmnet.testing import mock_cube


def a_map(rows, columns):
    row, column = np.divmod(np.arange(rows * columns), columns)
    return Surroundings(40 - 0.1 * row, 100 + 0.1 * column), row, column


@given(st.integers(1, 20_000), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_patches_hold_about_the_observations_that_are_wanted(rows, seed):
    surroundings, *_ = a_map(40, 50)
    chosen = draw_patches(np.full(2000, 100), surroundings, rows, seed)
    assert (np.diff(chosen) > 0).all()
    assert NEIGHBOURS + 1 <= len(chosen) <= max(surroundings.size, rows / 100)


def test_patches_are_spread_over_what_was_observed_and_hold_the_neighbours_of_a_pixel():
    surroundings, row, column = a_map(40, 50)
    counts = np.where(row < 20, 100, 0)
    chosen = draw_patches(counts, surroundings, 30_000, 3)
    assert len(np.unique(column[chosen] // 10)) == 5
    assert len(np.unique(row[chosen] // 5)) >= 4
    assert row[chosen].max() < 20 + 17  # no further than the distant neighbours of an observed pixel
    whole = [p for p in chosen if counts[p] and np.isin(surroundings.around(np.array([p])), chosen).all()]
    assert len(whole) >= 8


def test_few_pixels_are_all_learned_from():
    surroundings, *_ = a_map(3, 4)
    assert draw_patches(np.full(12, 50), surroundings, 10, 0).tolist() == list(range(12))


@pytest.mark.parametrize("make", [{"shape": (9, 7)}, {"pixels": 60}])
def test_pixels_are_loaded_by_their_numbers_across_the_blocks(make):
    cube = mock_cube(days=20, seed=1, **make)
    grid = cut(cube, 2000)
    assert len(grid) > 5
    numbers = np.array([0, 5, 6, 7, 30, 31, 58])
    found = Blocks(cube, grid, 2**20).load_pixels(numbers)
    xr.testing.assert_identical(found, to_pixels(cube).isel(pixel=numbers).load())
