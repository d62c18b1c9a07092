"""Features: windows look back only, descriptors see training days only, and any cube of the contract will do."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from tssmnet.errors import TssmnetError
from tssmnet.features.build import (
    FEATURE_SETS,
    RAIN_SUMS,
    antecedent_index,
    build_features,
    dry_days,
    memory_columns,
    memory_names,
    screen_descriptors,
)
from tssmnet.features.descriptors import NAMES, describe_series
from tssmnet.testing import FORCINGS, mock_cube


@pytest.fixture(scope="module")
def cube():
    return mock_cube(days=120, pixels=40, predictors=tuple(FORCINGS))


@pytest.fixture(scope="module")
def observed(cube):
    return np.isfinite(cube.ssm.values) & (np.random.default_rng(0).random(cube.ssm.shape) < 0.8)


def named(features, group):
    return [name for name, own in features.groups.items() if own == group]


def column(features, name):
    if name in features.dynamic_names:
        return features.dynamic[:, :, features.dynamic_names.index(name)]
    return features.static[:, features.static_names.index(name)]


def test_the_base_set_is_forcing_season_constants_and_place(cube, observed):
    features = build_features(cube, observed)
    assert features.dynamic_names == (*FORCINGS, "season_sin", "season_cos")
    assert features.static_names == (
        "clay",
        "sand",
        *(f"landcover={c}" for c in ("forest", "shrubland", "grassland", "cropland")),
        "lat",
        "lon",
    )
    assert set(features.groups) == set(features.names)
    assert Counter(features.groups.values()) == {
        "forcing": 7,
        "season": 2,
        "static": 6,
        "position": 2,
    }
    np.testing.assert_array_equal(column(features, "air_temperature"), cube.air_temperature.values)
    np.testing.assert_allclose(column(features, "landcover=forest"), cube.landcover.values == 1)
    np.testing.assert_allclose(column(features, "season_sin") ** 2 + column(features, "season_cos") ** 2, 1, rtol=1e-6)


def test_the_lag_set_adds_the_memory_of_each_forcing(cube, observed):
    memory = named(build_features(cube, observed, memory=True), "memory")
    assert len(memory) == 10 + 3 + 3 + 1 + 6 * 3
    assert {f"precipitation_sum_{w}d" for w in (2, 3, 5, 7, 10, 15, 20, 30, 45, 60)} <= set(memory)
    assert {"precipitation_api_0.95", "precipitation_lag_3d", "precipitation_dry_days"} <= set(memory)
    assert {"wind_north_mean_30d", "specific_humidity_mean_3d"} <= set(memory)


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_every_named_feature_set_can_be_built(cube, observed, name):
    features = build_features(cube, observed, **FEATURE_SETS[name])
    assert features.dynamic.dtype == features.static.dtype == np.float32
    kept = named(features, "descriptor")
    assert (len(kept) == 31) == ("desc" in name)
    assert (0 < len(kept) < 31) == ("screened" in name)


def memory_features(values: np.ndarray, rain: bool) -> np.ndarray:
    return np.stack([*memory_columns(values, rain)], axis=-1)


def test_windows_are_those_of_pandas(cube):
    rain, temperature = cube.precipitation.values, cube.air_temperature.values.copy()
    temperature[np.random.default_rng(0).random(temperature.shape) < 0.2] = np.nan
    ours = memory_features(rain, rain=True)
    for k, w in enumerate(RAIN_SUMS):
        expected = pd.DataFrame(rain.astype("f8")).rolling(w, min_periods=1).sum()
        np.testing.assert_allclose(ours[:, :, k], expected, rtol=1e-5, atol=1e-5)
    for k, w in enumerate((3, 7, 30)):
        expected = pd.DataFrame(temperature.astype("f8")).rolling(w, min_periods=1).mean()
        np.testing.assert_allclose(memory_features(temperature, rain=False)[:, :, k], expected, rtol=1e-6)


def test_a_window_without_rain_is_exactly_dry():
    rain = np.zeros((200, 1), "f4")
    rain[:100] = np.random.default_rng(0).gamma(1, 10, (100, 1))
    assert (memory_features(rain, rain=True)[160:, 0, : len(RAIN_SUMS)] == 0).all()


def test_memory_looks_back_only(cube):
    full = memory_features(cube.precipitation.values, rain=True)
    np.testing.assert_array_equal(memory_features(cube.precipitation.values[:50], rain=True), full[:50])
    full = memory_features(cube.air_temperature.values, rain=False)
    np.testing.assert_array_equal(memory_features(cube.air_temperature.values[:50], rain=False), full[:50])


def test_names_and_columns_of_memory_go_together():
    rain = np.array([[4.0], [0.0], [0.5], [6.0]])
    named = dict(zip(memory_names("p", True), memory_features(rain, rain=True)[:, 0].T, strict=True))
    np.testing.assert_allclose(named["p_sum_2d"], [4, 4, 0.5, 6.5])
    np.testing.assert_allclose(named["p_sum_60d"], [4, 4, 4.5, 10.5])
    np.testing.assert_allclose(named["p_api_0.8"], [4, 3.2, 3.06, 8.448])
    np.testing.assert_allclose(named["p_lag_1d"], [np.nan, 4, 0, 0.5])
    np.testing.assert_allclose(named["p_dry_days"], [0, 1, 2, 0])


def test_missing_rain_takes_the_mean_of_its_window():
    rain = np.array([[np.nan], [2.0], [np.nan], [4.0]])
    named = dict(zip(memory_names("p", True), memory_features(rain, rain=True)[:, 0].T, strict=True))
    np.testing.assert_allclose(named["p_sum_2d"], [np.nan, 4, 4, 8])
    np.testing.assert_allclose(named["p_sum_3d"], [np.nan, 4, 6, 9])
    np.testing.assert_allclose(antecedent_index(rain, 0.5)[:, 0], [np.nan, 2, 1, 4.5])
    np.testing.assert_allclose(dry_days(rain)[:, 0], [1, 0, 1, 0])


def test_hidden_values_change_no_feature(cube, observed):
    """The leak that flatters: whatever stands where the training mask is false must not be seen."""
    spoilt = cube.copy(deep=True)
    spoilt["ssm"] = spoilt.ssm.where(observed, 0.59)
    for options in FEATURE_SETS.values():
        a, b = (build_features(c, observed, **options) for c in (cube, spoilt))
        assert a.names == b.names
        np.testing.assert_array_equal(a.static, b.static)
        np.testing.assert_array_equal(a.dynamic, b.dynamic)


def test_descriptors_are_those_of_the_training_series(cube, observed):
    features = build_features(cube, observed, descriptors="full")
    expected = describe_series(np.where(observed, cube.ssm.values, np.nan).T)
    own = np.stack([column(features, n) for n in NAMES], 1)
    np.testing.assert_array_equal(own, expected.astype("f4"))


def test_a_pixel_without_training_observation_has_no_descriptors(cube, observed):
    hidden = observed.copy()
    hidden[:, 3] = False
    features = build_features(cube, hidden, descriptors="screened")
    kept = named(features, "descriptor")
    values = np.stack([column(features, n) for n in kept], 1)
    assert np.isnan(values[3]).all()
    assert np.isfinite(values[[0, 1, 2, 4]]).all()
    table = describe_series(np.where(hidden, cube.ssm.values, np.nan).T)
    assert screen_descriptors(table).kept == tuple(kept)


def test_a_grid_gives_the_features_of_its_pixels():
    grid = mock_cube(days=30, shape=(3, 4))
    features = build_features(grid, memory=True, descriptors="full")
    assert features.shape == (30, 12)
    np.testing.assert_array_equal(column(features, "lat"), grid.lat.values.ravel().astype("f4"))
    np.testing.assert_array_equal(
        column(features, "precipitation"), grid.precipitation.values.reshape(30, 12).astype("f4")
    )
    lazy = build_features(grid.chunk(time=10, y=2), memory=True, descriptors="full")
    np.testing.assert_array_equal(lazy.dynamic, features.dynamic)
    np.testing.assert_array_equal(lazy.static, features.static)


def test_a_cube_without_rain_or_constants_has_no_features_of_them():
    bare = mock_cube(days=30, pixels=5, predictors=("air_temperature",)).drop_vars(["clay", "sand", "landcover"])
    features = build_features(bare, memory=True, position=False, season=False)
    assert features.names == ("air_temperature", *memory_names("air_temperature", False))
    assert features.static.shape == (5, 0)
    nothing = build_features(bare.drop_vars("air_temperature"))
    assert nothing.names == ("season_sin", "season_cos", "lat", "lon")


def test_gaps_of_predictors_stay_gaps_of_the_day_and_close_in_the_means():
    cube = mock_cube(days=30, pixels=5)
    cube["air_temperature"][10:12] = np.nan
    features = build_features(cube, memory=True)
    assert np.isnan(column(features, "air_temperature")[10:12]).all()
    assert np.isfinite(column(features, "air_temperature_mean_3d")).all()


def test_classes_in_time_become_columns_and_have_no_memory():
    cube = mock_cube(days=30, pixels=5)
    frozen = (np.arange(30)[:, None] > 20) & np.ones((30, 5), bool)
    cube["frozen"] = ("time", "pixel"), frozen.astype("i1"), {"flag_values": [0, 1], "flag_meanings": "thawed frozen"}
    features = build_features(cube, memory=True)
    np.testing.assert_array_equal(column(features, "frozen=frozen"), frozen)
    assert not any(n.startswith("frozen") and "mean" in n for n in features.names)


def test_wrong_masks_and_doubled_names_are_refused():
    cube = mock_cube(days=30, pixels=5)
    with pytest.raises(TssmnetError, match=r"\(30, 5\)"):
        build_features(cube, np.ones((5, 30), bool))
    with pytest.raises(TssmnetError, match="one name: Mean"):
        build_features(cube.rename(clay="Mean"), descriptors="full")
    with pytest.raises(TssmnetError, match="did you mean 'screened'"):
        build_features(cube, descriptors="screend")
