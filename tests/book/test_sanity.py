"""The statistics that set the twin beside real SMAP, on series whose statistics are known."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from twin_bounds import within

from tssmnet.book import sanity
from tssmnet.errors import TssmnetError
from tssmnet.testing import mock_cube
from tssmnet.twin import twin_cube
from tssmnet.twin.orbits import cycle_day, overpass_masks

RNG = np.random.default_rng(3)


def drying(tau: float, days: int = 2000, pixels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Soil moisture that falls to 0.05 with e-folding `tau` and rises 0.004 per mm of rain; and the rain."""
    rain = np.where(RNG.random((days, pixels)) < 0.12, RNG.exponential(12, (days, pixels)), 0.0)
    theta = np.full((days, pixels), 0.05)
    for t in range(1, days):
        theta[t] = 0.05 + (theta[t - 1] - 0.05) * np.exp(-1 / tau) + 0.004 * rain[t]
    return theta, rain


@pytest.mark.parametrize("tau", [4.0, 12.0])
def test_drydown_finds_the_efolding_time_through_gaps_and_noise(tau):
    theta, rain = drying(tau)
    seen = np.where(RNG.random(theta.shape) < 0.45, theta + 0.002 * RNG.normal(size=theta.shape), np.nan)
    found = sanity.drydown_days(sanity.consecutive(seen, rain), np.full(4, 0.05), driest_rain=0.01)
    assert np.allclose(np.median(found), tau, rtol=0.15)


def test_wetup_finds_the_rise_per_mm():
    theta, rain = drying(20.0)
    slope, r = sanity.wetup(sanity.consecutive(theta, rain))
    assert np.isclose(slope, 0.004, rtol=0.15)
    assert r > 0.9


def test_autocorrelation_of_an_ar1_process_is_its_power():
    x = np.zeros((6000, 3))
    for t in range(1, 6000):
        x[t] = 0.8 * x[t - 1] + RNG.normal(size=3)
    x[RNG.random(x.shape) < 0.5] = np.nan
    found = sanity.autocorrelation(x, (1, 2, 5))
    assert found == pytest.approx({1: 0.8, 2: 0.64, 5: 0.33}, abs=0.05)


def test_gap_lengths_count_the_days_between_observations():
    ssm = np.array([[1.0, np.nan, np.nan, 1, 1, np.nan, 1, np.nan]]).T
    assert sanity.gap_lengths(ssm).tolist() == [2, 1]
    assert sanity.gap_shares(np.array([1, 1, 2, 50])) == {
        "gap_days_1": 0.5,
        "gap_days_2": 0.25,
        "gap_days_3_7": 0.0,
        "gap_days_8_30": 0.0,
        "gap_days_31_up": 0.25,
    }


def test_coverage_splits_by_season_and_frost():
    ssm = np.array([[0.2], [np.nan], [0.2], [np.nan]])
    found = sanity.coverage(ssm, np.array([1, 1, 7, 7]), np.array([[280.0], [260], [280], [280]]))
    assert found["coverage_winter"] == 0.5
    assert found["coverage_below_freezing"] == 0.0
    assert found["coverage_above_freezing"] == pytest.approx(2 / 3)


def test_statistics_of_a_cube_have_one_value_for_each_tolerance():
    cube = mock_cube(days=400, pixels=10)
    found = sanity.statistics(cube)
    assert set(sanity.TOLERANCES) <= set(found.index)


def test_revisit_peaks_at_the_repeat_of_the_orbit():
    seen = np.zeros((80, 2))
    seen[(np.arange(80) % 8 != 0) & (np.arange(80) % 8 != 3)] = np.nan
    found = sanity.revisit(seen, range(1, 9))
    assert found[8] == 1
    assert found[[3, 5]].to_numpy() == pytest.approx(0.5, abs=0.05)
    assert found[[1, 2, 4, 6, 7]].max() == 0


def test_halves_share_the_pixels_west_and_east():
    cube = mock_cube(days=20, pixels=9)
    west, east = sanity.halves(cube)
    assert west.sizes["pixel"] + east.sizes["pixel"] == 9
    assert west.lon.max() <= east.lon.min()


def test_descriptor_distance_is_zero_for_the_same_and_one_for_the_disjoint():
    low = xr.Dataset({"Mean": ("pixel", RNG.random(50)), "Std": ("pixel", np.full(50, np.nan))})
    assert sanity.descriptor_distances(low, low)["Mean"] == 0
    assert sanity.descriptor_distances(low, low + 2)["Mean"] == 1
    assert np.isnan(sanity.descriptor_distances(low, low)["Std"])


def test_orbit_agreement_knows_the_date_of_a_record_made_with_the_same_orbit():
    lat, lon = (a.ravel() for a in np.meshgrid(np.arange(25.0, 29, 0.25), np.arange(67.0, 73, 0.25)))
    masks = overpass_masks(lon, lat)
    days = {}
    for date in ("2020-01-01", "2020-01-04"):
        seen = [masks[name][cycle_day(np.datetime64(date))] for name in ("am", "pm")]
        days[date] = tuple(np.concatenate([values[s] for s in seen]) for values in (lat, lon))
    found = sanity.orbit_agreement(days)
    assert found[0] == 1
    assert found[1:].max() < 0.9


def test_a_cube_without_rain_is_refused():
    with pytest.raises(TssmnetError, match="precipitation"):
        sanity.statistics(mock_cube(days=100, pixels=3).drop_vars("precipitation"))


def test_compare_says_what_is_within_tolerance():
    real = pd.Series({"mean": 0.2, "coverage": 0.42, "skewness": 1.0})
    table = sanity.compare(real, pd.Series({"mean": 0.21, "coverage": 0.2, "skewness": 2.0}))
    assert table.loc["mean", "within"] is True
    assert table.loc["coverage", "within"] is False
    assert table.loc["skewness", "within"] is None


def test_climate_matching_takes_each_cell_once_and_comes_nearer():
    twin = twin_cube(days=60, cell_km=72, spinup=5, forcing=True, region=(95, 28, 116, 42), layout="pixel")
    wet = twin.isel(pixel=np.argsort(twin["precipitation"].mean("time").values)[-20:])
    matched = sanity.match_climate(twin, wet)
    assert matched.sizes["pixel"] == 20
    assert np.isclose(matched["precipitation"].mean(), wet["precipitation"].mean(), rtol=1e-3)


def test_the_twin_is_within_tolerance_of_the_published_behaviour_of_smap():
    """Without a file of real data: what the literature says of SMAP, widened for a short record."""
    found = sanity.statistics(
        twin_cube(
            start="2016-04-01", days=200, cell_km=72, spinup=120, forcing=True, layout="pixel", region=(98, 24, 122, 42)
        )
    )
    found["gaps_of_1_or_2_days"] = found["gap_days_1"] + found["gap_days_2"]
    names = ("mean", "autocorrelation_1", "drydown_days", "wetup_per_mm", "gaps_of_1_or_2_days")
    assert {name: found[name] for name in names if not within(name, found[name])} == {}


@pytest.mark.slow
@pytest.mark.mirror
def test_beside_real_smap_the_twin_is_within_every_tolerance():
    """Same years, climate matched, pixels without dense vegetation: the comparison the sanity page shows."""
    from tssmnet.data.conus import conus_cube
    from tssmnet.data.registry import DataUnavailableError

    try:
        real = sanity.without_dense_vegetation(conus_cube().load())
    except DataUnavailableError as missing:
        pytest.skip(str(missing))
    twin = twin_cube(start="2015-04-01", cell_km=72, spinup=200, forcing=True, layout="pixel")
    table = sanity.compare(sanity.statistics(real), sanity.statistics(sanity.match_climate(twin, real)))
    outside = table[table["within"].astype("boolean").fillna(True).eq(False)]
    assert outside.empty, outside.to_string()


@pytest.mark.mirror
def test_the_orbit_falls_where_a_genuine_smap_granule_has_it():
    from tssmnet.data.registry import DataUnavailableError, path_of
    from tssmnet.twin.orbits import overpass_masks

    try:
        path = path_of("smap-l3-structure", "smap-l3-v8-structure/SC_SPL3SMP_009_prefetch.nc4")
    except DataUnavailableError as missing:
        pytest.skip(str(missing))
    with h5py.File(path) as granule:
        lat = {
            "am": granule["Soil_Moisture_Retrieval_Data_AM/latitude"][:],
            "pm": granule["Soil_Moisture_Retrieval_Data_PM/latitude_pm"][:],
        }
    row_lat = np.where(lat["am"] > -90, lat["am"], -99).max(axis=1)
    rows = np.nonzero((row_lat > -50) & (row_lat < 55))[0][::8]
    columns = np.arange(20, 940, 8)
    lon = -180 + (columns + 0.5) / 964 * 360
    masks = overpass_masks(*(a.ravel() for a in np.meshgrid(lon, row_lat[rows])))
    for name, values in lat.items():
        seen = (values[np.ix_(rows, columns)] > -90).ravel()
        # The granule's day in the repeat cycle is day 0: its date is not in the file.
        assert (masks[name][0] == seen).mean() > 0.94


@pytest.mark.mirror
def test_the_orbit_tells_the_dates_of_genuine_swaths_it_was_not_set_by():
    """A week of SPL3SMP_E, five years after the epoch: which cells were seen by none, one or both overpasses."""
    days = sanity.dated_swaths()
    if not days:
        pytest.skip("the week of SPL3SMP_E is not here")
    found = sanity.orbit_agreement(days)
    assert found[0] > 0.95
    assert found[1:].max() < 0.7
