"""The synthetic twin: conservation, bounds, orbits, signal, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from twin_bounds import within

from tssmnet.book.sanity import columnwise_correlation
from tssmnet.cube import check_cube
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.twin import twin_cube, twin_world, water
from tssmnet.twin.grid import make_grid
from tssmnet.twin.land import TEXTURE, make_land, texture_class
from tssmnet.twin.observers import GAP_CAUSES
from tssmnet.twin.orbits import REPEAT_DAYS, cycle_day, overpass_masks
from tssmnet.twin.simulate import composite_start
from tssmnet.twin.stations import station_table
from tssmnet.twin.water import Hydraulics, State
from tssmnet.twin.weather import rain_amount

SMALL = {"cell_km": 72, "region": (98, 28, 116, 42), "spinup": 40, "forcing": True}


@pytest.fixture(scope="module")
def world():
    """Five warm months over central China."""
    return twin_world(seed=1, start="2016-05-01", days=150, layout="pixel", **SMALL)


@pytest.fixture(scope="module")
def column():
    """One cell of each kind of weather-beaten soil: the whole coarse map, with its hydraulics."""
    grid = make_grid(144)
    land = make_land(grid)
    return land, water.hydraulics(land)


def random_state(soil: Hydraulics, rng: np.random.Generator) -> State:
    n = len(soil.residual)

    def between(mm: float) -> np.ndarray:
        share = rng.choice([0.0, 1.0, rng.random()], n)  # the limits themselves, and between
        return (soil.residual + share * (soil.saturation - soil.residual)) * mm

    snow = np.where(rng.random(n) < 0.5, 0.0, rng.exponential(20, n))
    return State(between(50.0), between(550.0), snow, rng.uniform(255, 305, n), rng.random(n) * 0.9)


def stored(state: State) -> np.ndarray:
    """Water in all stores, mm."""
    return state.surface + state.deep + state.snow


@pytest.mark.parametrize("seed", range(20))
def test_water_balance_closes_to_a_millionth_and_soil_moisture_keeps_its_limits(column, seed):
    _, soil = column
    rng = np.random.default_rng(seed)
    state = random_state(soil, rng)
    for _ in range(20):
        n = len(soil.residual)
        rain = np.where(rng.random(n) < 0.4, rng.exponential(25, n), 0.0)
        before = state
        state, fluxes = water.water_step(state, soil, rain, rng.uniform(250, 310, n), rng.uniform(0, 8, n), 0.5)
        inflow = fluxes.precipitation - sum(v for name, v in vars(fluxes).items() if name != "precipitation")
        assert np.abs(stored(state) - stored(before) - inflow).max() < 1e-6
        for theta in water.moisture(state):
            assert (theta >= soil.residual - 1e-12).all()
            assert (theta <= soil.saturation + 1e-12).all()
        assert all((getattr(fluxes, f) >= 0).all() for f in fluxes.__dataclass_fields__)


def test_soil_limits_are_ordered(column):
    _, soil = column
    assert (soil.residual > 0).all()
    assert (soil.residual < soil.wilting).all()
    assert (soil.wilting < soil.field_capacity).all()
    assert (soil.field_capacity < soil.saturation).all()
    assert (soil.saturation < 0.7).all()


def test_sand_drains_faster_and_holds_less_than_clay(column):
    land, soil = column
    sandy, clayey = land.sand > 75, land.clay > 33
    assert soil.drain_days[sandy].mean() < soil.drain_days[clayey].mean()
    assert soil.field_capacity[sandy].mean() < soil.field_capacity[clayey].mean() - 0.1


def test_true_soil_moisture_in_a_whole_run_stays_within_its_limits(world):
    truth = world.truth
    for name in ("ssm_true", "ssm_true_pm", "deep_moisture"):
        assert (truth[name] >= truth["residual"] - 1e-6).all()
        assert (truth[name] <= truth["saturation"] + 1e-6).all()


def test_frozen_ground_neither_drains_nor_exchanges(column):
    _, soil = column
    n = len(soil.residual)
    wet = State(soil.saturation * 50, soil.wilting * 550, np.zeros(n), np.full(n, 260.0), np.zeros(n))
    after, fluxes = water.water_step(wet, soil, np.zeros(n), np.full(n, 260.0), np.zeros(n), 0.5)
    assert np.array_equal(after.surface, wet.surface)
    assert not fluxes.drainage[after.deep <= soil.field_capacity * 550].any()


def test_rain_amounts_have_the_expected_mean_and_wet_days():
    z, monthly = np.random.default_rng(0).standard_normal(400_000), np.full(400_000, 90.0)
    rain = rain_amount(z, monthly)
    assert np.isclose(rain.mean(), 90 / 30.44, rtol=0.03)
    assert within("wet_days", (rain > 0).mean())


def test_it_rains_more_in_the_southeast_than_in_the_northwest_and_more_in_summer(column):
    land, _ = column
    lon, lat = make_grid(144).points
    southeast, northwest = (lon > 110) & (lat < 30), (lon < 95) & (lat > 37)
    ratio = land.precipitation[southeast].mean() / land.precipitation[northwest].mean()
    assert within("rain_southeast_over_northwest", ratio)
    assert ((land.peak > 140) & (land.peak < 245)).all()


def test_the_land_has_a_high_plateau_a_low_east_and_an_odd_dry_basin(column):
    land, _ = column
    lon, lat = make_grid(144).points
    plateau, east = (abs(lon - 90) < 5) & (abs(lat - 33) < 2), (lon > 114) & (abs(lat - 34) < 3)
    tarim = (abs(lon - 83) < 3) & (abs(lat - 39.3) < 1)
    assert within("plateau_m", land.dem[plateau].mean())
    assert within("east_m", land.dem[east].mean())
    assert within("tarim_m", land.dem[tarim].mean())
    assert land.sand[tarim].mean() > 70


def test_texture_classes_of_known_soils():
    sand, clay = np.array([92, 40, 20, 5, 65]), np.array([3, 20, 15, 50, 10])
    names = ["sand", "loam", "silt loam", "silty clay", "sandy loam"]
    assert [TEXTURE[i] for i in texture_class(sand, clay)] == names


# --- orbits -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masks():
    return overpass_masks(*make_grid(72).points)


def test_the_orbit_repeats_after_eight_days_and_not_before(masks):
    assert REPEAT_DAYS == 8
    assert cycle_day(np.datetime64("2016-01-01")) == cycle_day(np.datetime64("2016-01-09"))
    for shift in range(1, 8):
        assert not np.array_equal(masks["am"], np.roll(masks["am"], shift, axis=0))


def seen_within(seen: np.ndarray, days: int) -> float:
    """Share of cells seen at least once in a window of `days`, over all windows of the cycle."""
    cycle = np.concatenate([seen, seen])
    return float(np.mean([cycle[i : i + days].any(axis=0).mean() for i in range(REPEAT_DAYS)]))


def test_every_cell_is_seen_every_two_to_three_days_on_average(masks):
    revisit = REPEAT_DAYS / masks["am"].sum(axis=0)
    assert within("revisit_days_longest", revisit.max())
    assert within("revisit_days_mean", revisit.mean())


def test_three_mornings_or_two_full_days_show_nearly_all_cells(masks):
    assert within("seen_in_three_mornings", seen_within(masks["am"], 3))
    assert within("seen_in_two_full_days", seen_within(masks["am"] | masks["pm"], 2))


def test_a_morning_swath_covers_between_a_third_and_sixty_percent_of_china(masks):
    share = masks["am"].mean(axis=1)
    assert within("morning_swath_mean", share.mean())
    assert within("morning_swath_least", share.min())
    assert within("morning_swath_most", share.max())


# --- observers --------------------------------------------------------------------------------------------------------


def test_the_cube_meets_the_contract_in_both_layouts(world):
    check_cube(world.cube)
    check_cube(twin_cube(days=20, **SMALL))


def test_every_gap_has_a_cause_and_every_value_none(world):
    cause, ssm = world.observations["gap_cause"], world.observations["ssm_am"]
    assert ((cause == 0) == ssm.notnull()).all()
    assert set(np.unique(cause)) <= set(range(len(GAP_CAUSES)))
    assert (cause == GAP_CAUSES.index("orbit")).mean() > 0.4


def test_frost_makes_the_gaps_of_winter():
    winter = twin_world(start="2016-01-01", days=24, layout="pixel", **SMALL)
    frost = winter.observations["gap_cause"] == GAP_CAUSES.index("frost")
    assert frost.mean() > 0.1
    assert winter.truth["frozen"].values[frost.values].all()


def test_the_retrieval_error_grows_with_vegetation(world):
    error = (world.observations["ssm_am"] - world.truth["ssm_true"]).values
    green = world.truth["green"].values
    seen = ~np.isnan(error)
    bare, grown = seen & (green < 0.15), seen & (green > 0.55)
    assert np.std(error[grown]) > 1.2 * np.std(error[bare])
    assert within("retrieval_error", np.std(error[seen]))


def test_tvdi_falls_as_the_soil_wets(world):
    r = columnwise_correlation(world.cube["tvdi"].values, world.truth["ssm_true"].values, smallest=50)
    assert np.nanmedian(r) < -0.25
    assert (r < 0).mean() > 0.95


def test_lst_is_hotter_on_dry_ground_and_has_cloud_gaps(world):
    r = columnwise_correlation(world.truth["lst_true"].values, world.truth["ssm_true"].values, smallest=50)
    assert np.nanmedian(r) < -0.3
    gaps = world.observations["lst_clear"].isnull().mean()
    assert within("cloudy_share", gaps)
    assert world.cube["lst"].notnull().all()


def test_filled_lst_is_within_a_few_kelvin_of_the_truth_under_cloud(world):
    cloudy = world.observations["lst_clear"].isnull().values
    error = (world.cube["lst"] - world.truth["lst_true"]).values[cloudy]
    assert within("filled_lst_error", np.sqrt(np.mean(error**2)))


def test_vegetation_follows_water_with_a_lag(world):
    green, deep = world.truth["green"].values, world.truth["deep_moisture"].values
    now = columnwise_correlation(np.diff(green, axis=0), np.diff(deep, axis=0), smallest=50)
    later = columnwise_correlation(green[30:], deep[:-30], smallest=50)
    assert np.nanmedian(later) > np.nanmedian(now)


def test_composites_start_on_day_one_seventeen_and_so_on_of_each_year():
    starts = [composite_start(np.datetime64("2016-12-20") + day) for day in range(30)]
    assert np.unique(starts).astype(str).tolist() == ["2016-12-18", "2017-01-01", "2017-01-17"]


def test_stations_stand_where_the_networks_do():
    table = station_table()
    assert len(table) > 290
    naqu = table.network == "NAQU"
    assert naqu.sum() == 11
    assert ((table.lat[naqu] > 31.2) & (table.lat[naqu] < 31.4)).all()
    assert table.approximate.sum() == 130
    assert (table.first < table.last).all()


def test_station_scores_are_dominated_by_the_point_not_by_the_product(world):
    stations, truth = world.stations, world.truth["ssm_true"].values
    good = stations["soil_moisture_flag"].values == 0
    error = (stations["soil_moisture"].values - truth[:, stations["cell"].values])[good]
    assert within("station_error", np.sqrt(np.nanmean(error**2)))
    assert np.nanmean(stations["soil_moisture"].isnull()) < 0.3


def test_stations_can_be_cut_to_the_months_of_table_2():
    whole = twin_world(start="2016-05-01", days=20, layout="pixel", **SMALL)
    cut = twin_world(start="2016-05-01", days=20, layout="pixel", station_periods="paper", **SMALL)
    sonte = whole.stations["network"].values == "SONTE-China"
    assert whole.stations["soil_moisture"].values[:, sonte].size > 0
    assert np.isnan(cut.stations["soil_moisture"].values[:, sonte]).all()
    assert not np.isnan(cut.stations["soil_moisture"].values[:, ~sonte]).all()


def test_everything_says_it_is_synthetic(world):
    for dataset in (world.cube, world.truth, world.observations, world.stations, world.esa_cci):
        assert dataset.attrs["title"] == "synthetic twin"
        assert dataset.attrs["synthetic"] == 1
    assert all("synthetic twin" in v.attrs["long_name"] for v in world.cube.data_vars.values())


# --- determinism and size ---------------------------------------------------------------------------------------------


def test_a_seed_gives_one_world_and_another_seed_another():
    options = {**SMALL, "days": 12, "layout": "pixel"}
    first, again, other = (twin_cube(seed=s, **options) for s in (4, 4, 5))
    xr.testing.assert_identical(first, again)
    assert not np.allclose(first["precipitation"], other["precipitation"])
    assert np.corrcoef(first["dem"], other["dem"])[0, 1] > 0.9


def test_a_longer_record_begins_as_the_shorter_one():
    options = {**SMALL, "layout": "pixel"}
    short, long = (twin_world(days=d, **options) for d in (10, 25))
    xr.testing.assert_equal(short.truth, long.truth.isel(time=slice(10)))
    xr.testing.assert_equal(short.cube["ssm"], long.cube["ssm"].isel(time=slice(10)))


def test_the_weather_is_the_same_at_another_cell_size():
    options = {"days": 10, "region": (104, 28, 116, 40), "spinup": 5, "layout": "grid"}
    coarse, fine = (twin_world(cell_km=c, **options).truth["air_temperature"] for c in (72, 36))
    means = [t.mean(["y", "x"]).values for t in (coarse, fine)]
    assert np.abs(means[0] - means[1]).max() < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "grd"}, "did you mean 'grid'"),
        ({"overpass": "noon"}, "overpass"),
        ({"cell_km": 10}, "multiple of 9"),
    ],
)
def test_wrong_parameters_are_told_in_one_clear_line(options, message):
    with pytest.raises((TssmnetError, UnknownNameError), match=message):
        twin_cube(**{**SMALL, "days": 3, **options})


def test_a_region_without_land_is_refused():
    with pytest.raises(TssmnetError, match="no cell"):
        twin_cube(days=3, region=(0, 0, 5, 5))
