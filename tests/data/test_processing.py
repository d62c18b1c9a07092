"""The processing steps on constructed truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tssmnet.data import processing
from tssmnet.errors import TssmnetError

RNG = np.random.default_rng(0)


def test_smap_flag_bit_zero_says_recommended():
    assert processing.smap_recommended([0, 1, 8, 9]).tolist() == [True, False, True, False]


def test_a_missing_smap_flag_is_no_recommendation_though_its_bit_zero_is_clear():
    assert not processing.smap_recommended(np.array([65534], np.uint16))[0]


def test_modis_lst_quality_reads_the_mandatory_and_the_error_bits():
    produced, not_produced, error_2k, error_3k = 0b00000000, 0b00000010, 0b01000001, 0b10000001
    assert processing.modis_lst_good([produced, not_produced, error_2k, error_3k]).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_vegetation_index_quality_drops_snow_cloud_and_fill():
    assert processing.vegetation_index_good([0, 1, 2, 3, -1]).tolist() == [True, True, False, False, False]


def test_gaps_are_crossed_by_straight_lines_and_empty_columns_stay_empty():
    values = np.array([[np.nan, np.nan], [2.0, np.nan], [np.nan, np.nan], [np.nan, np.nan], [8.0, np.nan]])
    assert processing.interpolate_gaps(values)[:, 0].tolist() == [2, 2, 4, 6, 8]
    assert np.isnan(processing.interpolate_gaps(values)[:, 1]).all()


@given(st.integers(0, 2**32 - 1))
def test_interpolation_keeps_what_was_observed_and_stays_within_its_range(seed):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((30, 3)) < 0.4, rng.normal(size=(30, 3)), np.nan)
    values[0] = 0.5
    filled, seen = processing.interpolate_gaps(values), ~np.isnan(values)
    assert np.array_equal(filled[seen], values[seen])
    assert (filled <= np.nanmax(values, axis=0) + 1e-12).all()
    assert (filled >= np.nanmin(values, axis=0) - 1e-12).all()


def annual_lst(days: int, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Day of year, air temperature with weather, and LST that is a line in both."""
    doy = np.arange(1, days + 1) % 365 + 1
    air = 285 + 12 * np.sin(2 * np.pi * doy / 365.25)[:, None] + 4 * RNG.normal(size=(days, pixels))
    return doy, air, air * 1.2 - 50 + 3 * np.cos(2 * np.pi * doy / 365.25)[:, None]


def test_all_weather_lst_recovers_cloudy_days_from_the_cycle_and_air_temperature():
    doy, air, lst = annual_lst(730, 5)
    clear = RNG.random(lst.shape) < 0.5
    filled = processing.all_weather_lst(np.where(clear, lst, np.nan), doy, [air])
    assert np.array_equal(filled[clear], lst[clear])
    assert np.sqrt(np.mean((filled - lst)[~clear] ** 2)) < 0.1


def test_all_weather_lst_without_covariates_is_worse_but_near_the_cycle():
    doy, _, lst = annual_lst(730, 5)
    clear = RNG.random(lst.shape) < 0.5
    alone = processing.all_weather_lst(np.where(clear, lst, np.nan), doy)
    error = np.sqrt(np.mean((alone - lst)[~clear] ** 2))
    assert 0.5 < error < 6.5


def test_all_weather_lst_leaves_a_pixel_never_seen_empty():
    filled = processing.all_weather_lst(np.full((40, 1), np.nan), np.arange(1, 41))
    assert np.isnan(filled).all()


def test_savitzky_golay_keeps_a_parabola_exactly():
    t = np.arange(40.0)[:, None]
    assert np.allclose(processing.savitzky_golay(0.1 + 0.02 * t - 0.0003 * t**2, 7, 2), 0.1 + 0.02 * t - 0.0003 * t**2)


@pytest.mark.parametrize(("window", "order"), [(6, 2), (3, 3), (99, 2)])
def test_savitzky_golay_refuses_windows_that_do_not_work(window, order):
    with pytest.raises(TssmnetError, match="window"):
        processing.savitzky_golay(np.zeros((20, 1)), window, order)


def test_upper_envelope_is_nearer_to_the_plants_than_plain_smoothing_under_haze():
    t = np.arange(69)
    truth = (0.45 + 0.3 * np.sin(2 * np.pi * t / 23))[:, None] * np.ones(20)
    hazy = truth - np.where(RNG.random(truth.shape) < 0.25, RNG.uniform(0.1, 0.4, truth.shape), 0.0)
    envelope, plain = processing.upper_envelope(hazy), processing.savitzky_golay(hazy)
    assert np.abs(envelope - truth).mean() < 0.6 * np.abs(plain - truth).mean()


def test_daily_values_meet_the_composites_on_their_days():
    composites = RNG.random((5, 3))
    at = np.array([8, 24, 40, 56, 72])
    daily = processing.to_daily(composites, at, np.arange(80))
    assert np.allclose(daily[at], composites)
    assert np.allclose(daily[32], composites[1:3].mean(axis=0))
    assert np.allclose(daily[0], composites[0])


def triangle(cells: int, dryness: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """NDVI, dryness 0..1 and an LST that lies in a known triangle: wet edge 290 K, dry edge 320 K - 25 NDVI."""
    ndvi = RNG.uniform(0.05, 0.9, cells)
    dry = RNG.random(cells) if dryness is None else dryness
    dry[: cells // 5], dry[cells // 5 : 2 * cells // 5] = 0.0, 1.0
    return ndvi, dry, 290 + dry * (30 - 25 * ndvi)


def test_tvdi_finds_the_edges_of_a_known_triangle():
    ndvi, dry, lst = triangle(5000)
    found = processing.temperature_vegetation_dryness(lst[None], ndvi[None])[0]
    assert np.corrcoef(found, dry)[0, 1] > 0.97
    assert np.abs(found - dry).mean() < 0.05


def test_tvdi_with_windows_is_blind_to_a_warm_region_and_without_them_is_not():
    ndvi, dry, lst = triangle(6000)
    window = (RNG.random(6000) < 0.5).astype(int)
    shifted = lst + 15 * window
    with_windows = processing.temperature_vegetation_dryness(shifted[None], ndvi[None], window)[0]
    without = processing.temperature_vegetation_dryness(shifted[None], ndvi[None])[0]
    assert np.abs(with_windows - dry).mean() < 0.06 < np.abs(without - dry).mean()


def test_tvdi_takes_height_out():
    ndvi, dry, lst = triangle(5000)
    dem = RNG.uniform(0, 4000, 5000)
    found = processing.temperature_vegetation_dryness((lst - 0.0055 * dem)[None], ndvi[None], elevation=dem)[0]
    assert np.corrcoef(found, dry)[0, 1] > 0.97


def test_tvdi_is_missing_where_lst_is_and_within_zero_and_one():
    ndvi, _, lst = triangle(500)
    lst[:10] = np.nan
    found = processing.temperature_vegetation_dryness(lst[None], ndvi[None])[0]
    assert np.isnan(found[:10]).all()
    assert ((found[10:] >= 0) & (found[10:] <= 1)).all()


def test_a_plane_that_rises_eastwards_faces_west_at_the_right_slope():
    x, _ = np.meshgrid(np.arange(9.0), np.arange(7.0))
    east, north = processing.horn_gradient(x * 100, cell=100.0)
    inner = (slice(1, -1), slice(1, -1))
    assert np.allclose(processing.slope_degrees(east, north)[inner], 45)
    assert np.allclose(processing.aspect_degrees(east, north)[inner], 270)


def test_a_plane_that_falls_northwards_faces_north():
    _, y = np.meshgrid(np.arange(6.0), np.arange(6.0))
    east, north = processing.horn_gradient(y * 10, cell=100.0)  # rows run south, so heights rise southwards
    assert np.allclose(processing.aspect_degrees(east, north)[1:-1, 1:-1], 0)
    assert np.isnan(processing.aspect_degrees(np.zeros(1), np.zeros(1))).all()


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_aggregation_keeps_the_mean(factor, seed):
    fine = np.random.default_rng(seed).normal(size=(3 * factor, 4 * factor))
    coarse = processing.aggregate_mean(fine, factor)
    assert coarse.shape == (3, 4)
    assert np.isclose(coarse.mean(), fine.mean())


def test_aggregation_skips_missing_cells_and_can_ask_for_a_share():
    fine = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert processing.aggregate_mean(fine, 2).item() == 2.0
    assert np.isnan(processing.aggregate_mean(fine, 2, smallest_share=0.5)).all()


def test_majority_takes_the_commonest_class_and_missing_only_if_alone():
    classes = np.array([[4, 4, 0, 0], [4, 9, 0, 0], [0, 0, 7, 0], [0, 5, 0, 0]])
    assert processing.aggregate_majority(classes, 2, missing=0).tolist() == [[4, 0], [5, 7]]


def test_a_raster_that_does_not_divide_is_refused():
    with pytest.raises(TssmnetError, match="5 x 4"):
        processing.aggregate_mean(np.zeros((5, 4)), 2)
