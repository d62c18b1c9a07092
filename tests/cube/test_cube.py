"""The cube contract, its check, and files of it."""

import os

import dask.array
import numpy as np
import pytest
import xarray as xr

from tssmnet.cube import (
    CubeError,
    check_cube,
    dynamic_names,
    from_pixels,
    is_categorical,
    open_cube,
    static_names,
    to_pixels,
    write_cube,
)
from tssmnet.disk import placing
from tssmnet.testing import FORCINGS, mock_cube


def faults_of(cube):
    with pytest.raises(CubeError) as caught:
        check_cube(cube)
    return caught.value.faults


def with_days(cube, change):
    days = cube["time"].values.copy()
    change(days)
    return cube.assign_coords(time=days)


def set_value(value):
    def change(cube):
        cube["ssm"][3, 2] = value
        return cube

    return change


def swap_days(days):
    days[[4, 5]] = days[[5, 4]]


def repeat_day(days):
    days[5] = days[4]


def add_hours(days):
    days[6:] += np.timedelta64(6, "h")


def skip_day(days):
    days[7:] += np.timedelta64(1, "D")


def set_units(units):
    def change(cube):
        cube["ssm"].attrs["units"] = units
        return cube

    return change


BROKEN = {
    "wrong units": (set_units("%"), "ssm: units are '%'"),
    "no units": (lambda c: c.assign(ssm=c.ssm.drop_attrs()), "ssm: units are missing"),
    "duplicate days": (lambda c: with_days(c, repeat_day), "time: 1 days occur more than once (first 2015-04-05)"),
    "unsorted days": (lambda c: with_days(c, swap_days), "time: days are not sorted (first step back at 2015-04-05)"),
    "days with hours": (lambda c: with_days(c, add_hours), "time: 34 values are not whole days"),
    "an absent day": (lambda c: with_days(c, skip_day), "time: 1 days are absent (first 2015-04-08)"),
    "numbers for days": (lambda c: c.assign_coords(time=np.arange(40)), "time: values are int64, expected datetime64"),
    "no days": (lambda c: c.drop_vars("time"), "time: the daily coordinate 'time' is missing"),
    "an infinite target": (set_value(np.inf), "ssm: 1 values are infinite, first on 2015-04-04 at pixel 2"),
    "too wet": (set_value(1.5), "ssm: 1 values are outside 0..1 m3 m-3"),
    "negative": (set_value(-0.01), "first on 2015-04-04 at pixel 2"),
    "an all-missing target": (lambda c: c.assign(ssm=c.ssm * np.nan).pipe(set_units("m3 m-3")), "ssm: all values are"),
    "no target": (lambda c: c.drop_vars("ssm"), "ssm: the target is missing"),
    "a target of integers": (lambda c: c.assign(ssm=c.ssm.fillna(0).astype(int)), "ssm: values are int64"),
    "a target without time": (lambda c: c.assign(ssm=c.ssm.isel(time=0)), "ssm: dims are ('pixel',)"),
    "no latitude": (lambda c: c.drop_vars("lat"), "lat: the coordinate is missing"),
    "no longitude": (lambda c: c.drop_vars("lon"), "lon: the coordinate is missing"),
    "latitude of 120": (lambda c: c.assign_coords(lat=c.lat * 0 + 120), "lat: values reach 120"),
    "latitude unknown": (lambda c: c.assign_coords(lat=c.lat * np.nan), "lat: 5 values are not finite"),
    "other dims": (lambda c: c.expand_dims("member", -1), "dims are ('time', 'pixel', 'member')"),
    "places on nothing": (lambda c: c.drop_vars(["lat", "lon"]).rename(pixel="cell"), "dims: expected 'time' with"),
    "a predictor of words": (lambda c: c.assign(soil=("pixel", list("abcde"))), "soil: values are <U1"),
    "a foreign dim": (lambda c: c.assign(profile=(("pixel", "depth"), np.ones((5, 3)))), "unknown dims ['depth']"),
    "an infinite predictor": (lambda c: c.assign(clay=c.clay / 0).assign(), "clay: 5 values are infinite"),
    "a predictor without units": (lambda c: c.assign(slope=c.sand.drop_attrs()), "slope: the attribute 'units'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_cube_is_refused_and_told_why(case):
    breaks, message = BROKEN[case]
    assert any(message in fault for fault in faults_of(breaks(mock_cube(days=40, pixels=5)))), case


def test_all_faults_come_in_one_error():
    cube = mock_cube(days=40, pixels=5).drop_vars("lat")
    cube["ssm"].attrs["units"] = "percent"
    cube["ssm"][0, 0] = np.inf
    cube["ssm"][1, 1] = 40.0
    faults = faults_of(with_days(cube, repeat_day))
    assert len(faults) == 6  # a repeated day also leaves one absent
    text = str(CubeError(faults, "my.zarr"))
    assert text.startswith("my.zarr has 6 faults:")
    assert all(fault in text for fault in faults)


@pytest.mark.parametrize("size", [{"pixels": 5}, {"shape": (3, 4)}])
def test_a_mock_cube_passes(size):
    cube = mock_cube(days=40, predictors=tuple(FORCINGS), **size)
    check_cube(cube)
    check_cube(cube.chunk(time=7))


def test_something_else_than_a_dataset_is_refused():
    assert "DataArray" in faults_of(mock_cube()["ssm"])[0]


def test_a_lazy_cube_stays_lazy_through_the_check():
    cube = mock_cube(days=40, pixels=5).chunk(time=10)
    check_cube(cube)
    assert isinstance(cube["ssm"].data, dask.array.Array)


def test_rain_drives_the_mock_soil_and_the_seed_decides():
    truth = mock_cube(days=300, pixels=4, observed=1.0, seed=3)
    rise = truth["ssm"].diff("time").values
    assert np.corrcoef(rise.ravel(), truth["precipitation"].values[1:].ravel())[0, 1] > 0.7
    again = mock_cube(days=300, pixels=4, observed=1.0, seed=3)
    xr.testing.assert_identical(truth, again)
    some = mock_cube(days=300, pixels=4, observed=0.3, seed=3)["ssm"]
    assert 0.25 < float(some.notnull().mean()) < 0.35
    assert bool((some == truth["ssm"]).where(some.notnull(), True).all())
    assert truth.attrs["synthetic"] == "true"


def test_predictors_are_told_apart():
    cube = mock_cube()
    assert dynamic_names(cube) == ["precipitation", "air_temperature"]
    assert static_names(cube) == ["clay", "sand", "landcover"]
    assert [n for n in cube if is_categorical(cube[n])] == ["landcover"]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_grid_goes_to_pixels_and_back(lazy):
    cube = mock_cube(days=10, shape=(3, 4))
    cube["index"] = ("time", np.arange(10.0), {"units": "1"})
    pixels = to_pixels(cube.chunk(time=5) if lazy else cube)
    assert pixels["ssm"].dims == pixels["index"].dims == ("time", "pixel")
    assert pixels["clay"].dims == pixels["lat"].dims == pixels["y"].dims == ("pixel",)
    assert pixels["lat"].values[5] == cube["lat"].values[1, 1]
    assert pixels["ssm"].attrs == cube["ssm"].attrs
    back = from_pixels(pixels, cube)
    xr.testing.assert_identical(back.drop_vars("index"), cube.drop_vars("index"))


def test_a_grid_with_one_dimensional_coordinates_goes_to_pixels():
    cube = mock_cube(days=4, shape=(3, 4))
    cube = cube.assign_coords(lat=cube["lat"][:, 0], lon=cube["lon"][0, :])
    check_cube(cube)
    pixels = to_pixels(cube)
    assert pixels["lat"].shape == pixels["lon"].shape == (12,)
    assert pixels["lon"].values[5] == cube["lon"].values[1]
    assert from_pixels(pixels, cube)["lat"].dims == ("y",)


def test_a_pixel_cube_is_left_as_it_is():
    cube = mock_cube(days=5, pixels=3)
    xr.testing.assert_identical(from_pixels(to_pixels(cube), cube), cube)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("size", [{"pixels": 5}, {"shape": (3, 4)}])
def test_a_written_cube_reads_back_the_same(tmp_path, suffix, size):
    cube = mock_cube(days=20, **size)
    path = write_cube(cube, tmp_path / f"cube{suffix}")
    back = open_cube(path)
    assert back["ssm"].chunks is not None
    xr.testing.assert_equal(back.load(), cube)
    assert back["landcover"].attrs["flag_meanings"] == cube["landcover"].attrs["flag_meanings"]
    assert is_categorical(back["landcover"])
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_cube_is_written_over_an_older_one(tmp_path, suffix):
    path = tmp_path / f"cube{suffix}"
    write_cube(mock_cube(days=20, seed=1), path)
    write_cube(open_cube(write_cube(mock_cube(days=9, seed=2), tmp_path / "other.zarr")), path)
    xr.testing.assert_equal(open_cube(path).load(), mock_cube(days=9, seed=2))


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "cube.nc"
    path.write_text("old")

    def interrupted():
        with placing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["cube.nc"]


def test_files_that_are_no_cubes_are_named(tmp_path):
    with pytest.raises(CubeError, match=r"none\.zarr has 1 fault:\n.*no such file"):
        open_cube(tmp_path / "none.zarr")
    with pytest.raises(CubeError, match=r"must end in \.zarr or \.nc"):
        open_cube(tmp_path / "cube.tif")
    (tmp_path / "bad.nc").write_text("no netCDF")
    with pytest.raises(CubeError, match=r"bad\.nc.*\n.*cannot be read"):
        open_cube(tmp_path / "bad.nc")
    with pytest.raises(CubeError, match="target is missing"):
        write_cube(mock_cube().drop_vars("ssm"), tmp_path / "cube.nc")
