"""Grids: exact cells, exact means, and a smooth field carried across projections."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from tssmnet.data.readers import grids
from tssmnet.data.readers.faults import OffWindowError, WrongGridError

ROWS, COLUMNS = grids.ease_window((100.0, 34.0, 104.0, 37.0))
WINDOW = grids.ease_geobox(9)[ROWS, COLUMNS]


@given(st.integers(0, 1623), st.integers(0, 3855), st.sampled_from([9, 36]))
@settings(max_examples=50, deadline=None)
def test_the_centre_of_a_cell_leads_back_to_the_cell(row, column, km):
    row, column = row % grids.EASE_SHAPE[km][0], column % grids.EASE_SHAPE[km][1]
    lat, lon = grids.ease_centres(grids.ease_geobox(km))
    assert grids.ease_cells(lat[row], lon[column], km) == (row, column)


def test_the_36_km_cell_is_made_of_four_by_four_cells_of_9_km():
    rows9, columns9 = grids.EASE_SHAPE[9]
    assert (rows9 // 4, columns9 // 4) == grids.EASE_SHAPE[36]
    lat9, lon9 = grids.ease_centres(grids.ease_geobox(9))
    row, column = grids.ease_position(lat9[100:104], lon9[200:204], 36)
    np.testing.assert_allclose(row, 25 + (np.arange(4) - 1.5) / 4, atol=1e-6)
    np.testing.assert_allclose(column, 50 + (np.arange(4) - 1.5) / 4, atol=1e-6)


def test_points_between_cells_are_refused_with_the_worst_of_them():
    lat, lon = grids.ease_centres(grids.ease_geobox(9))
    with pytest.raises(WrongGridError, match=r"1 of 2 points .* the worst lies 0\.\d+ cells off, at 34\.5000 N"):
        grids.ease_cells([lat[400], 34.5], [lon[3000], lon[3000]])


def test_a_region_smaller_than_a_cell_is_off_window():
    with pytest.raises(OffWindowError, match="has its centre in"):
        grids.ease_window((100.0, 34.0, 100.001, 34.001))


def test_the_mean_of_nested_cells_is_exact_and_missing_ones_are_left_out():
    rows, columns = grids.ease_window((100.0, 34.0, 104.0, 37.0), 36)
    coarse = grids.ease_geobox(36)[rows, columns]
    fine = grids.ease_geobox(9)[rows.start * 4 : rows.stop * 4, columns.start * 4 : columns.stop * 4]
    values = np.random.default_rng(0).random(fine.shape).astype("f4")
    values[:4, :4], values[0:2, 4:8] = np.nan, np.nan
    blocks = values.reshape(coarse.shape[0], 4, coarse.shape[1], 4).swapaxes(1, 2).reshape(*coarse.shape, 16)
    out = grids.regrid(grids.on_geobox(values, fine), coarse)
    seen = ~np.isnan(blocks)
    mean = np.where(seen, blocks, 0).sum(-1) / np.maximum(seen.sum(-1), 1)
    np.testing.assert_allclose(out.values[seen.any(-1)], mean[seen.any(-1)], rtol=1e-5)
    assert np.isnan(out.values[0, 0])
    covered = grids.regrid(grids.on_geobox(values, fine), coarse, min_cover=0.6)
    assert np.isnan(covered.values[0, 1])
    np.testing.assert_array_equal(np.isnan(covered.values), seen.mean(-1) < 0.6)


def test_the_majority_of_nested_cells_is_their_most_frequent_class():
    rows, columns = grids.ease_window((100.0, 34.0, 104.0, 37.0), 36)
    coarse = grids.ease_geobox(36)[rows, columns]
    fine = grids.ease_geobox(9)[rows.start * 4 : rows.stop * 4, columns.start * 4 : columns.stop * 4]
    rng = np.random.default_rng(1)
    winner = rng.integers(1, 17, coarse.shape)
    cells = np.repeat(np.repeat(winner, 4, 0), 4, 1).astype("f4")
    cells[0::4, 0::4], cells[1::4, 1::4] = 17, 18
    np.testing.assert_array_equal(grids.regrid(grids.on_geobox(cells, fine), coarse, "majority").values, winner)


def smooth(lon, lat):
    return 290 + 5 * np.sin(np.deg2rad(9 * lon)) * np.cos(np.deg2rad(7 * lat))


def degrees(box):
    x, y = np.meshgrid(box.coords["x"].values, box.coords["y"].values)
    return Transformer.from_crs(box.crs.to_wkt(), "EPSG:4326", always_xy=True).transform(x, y)


def tile_field(h, v, pixels=1200):
    box = grids.sinusoidal_tile(h, v, pixels)
    return grids.on_geobox(smooth(*degrees(box)).astype("f4"), box)


def test_two_modis_tiles_are_joined_and_a_smooth_field_survives_the_way_to_ease_grid():
    tiles = [tile_field(h, v) for h, v in grids.sinusoidal_tiles((100.0, 34.0, 104.0, 37.0))]
    assert len(tiles) == 2
    joined = grids.mosaic(tiles)
    assert joined.shape == (1200, 2400)
    out = grids.regrid(joined, WINDOW)
    lat, lon = grids.ease_centres(WINDOW)
    error = out.values - smooth(lon[None, :], lat[:, None])
    assert not np.isnan(error).any()
    assert np.abs(error).max() < 0.02


def test_tiles_of_another_grid_are_not_joined():
    odd = grids.on_geobox(np.zeros((4, 4), "f4"), GeoBox((4, 4), Affine(900, 0, 0, 0, -900, 0), grids.SINUSOIDAL))
    with pytest.raises(WrongGridError, match="not on the grid of the first"):
        grids.mosaic([tile_field(26, 5), odd])


def test_a_field_far_away_is_off_window():
    with pytest.raises(OffWindowError, match="outside the region"):
        grids.regrid(tile_field(14, 9, 120), WINDOW)


def test_lazy_fields_stay_lazy_and_give_the_same():
    field = tile_field(26, 5)
    lazy = grids.regrid(field.chunk({"y": 400, "x": 400}), WINDOW)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.values, grids.regrid(field, WINDOW).values, rtol=1e-6)


def test_the_window_of_china_needs_these_modis_tiles():
    tiles = grids.sinusoidal_tiles()
    assert {(24, 5), (25, 6), (27, 4), (28, 6), (26, 3)} <= set(tiles)
    assert len(tiles) == 33
