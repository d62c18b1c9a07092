"""What is told without doubt is read, in memory and from files; an advice that is followed helps."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.cube import CubeError, as_cube, check_cube, notes_of, open_cube, open_dataset, write_dataset
from tssmnet.reconstruction.files import reconstruct_file
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube


def pixels():
    return mock_cube(days=40, pixels=5)


def regular(lat="latitude", lon="longitude"):
    """A grid whose dims are latitude and longitude, as most files have it."""
    cube = mock_cube(days=40, shape=(3, 4))
    north, east = cube["lat"].values[:, 0], cube["lon"].values[0]
    bare = cube.drop_vars(["lat", "lon", "y", "x"]).rename(y=lat, x=lon)
    return bare.assign_coords({lat: north, lon: east})


def era5(cube):
    """As the Climate Data Store gives it: valid_time, a member number, expver."""
    return cube.rename(time="valid_time").assign_coords(number=0, expver="0001")


def with_projection(cube):
    cube["ssm"].attrs["grid_mapping"] = "spatial_ref"
    return cube.assign(spatial_ref=((), 0, {"grid_mapping_name": "latitude_longitude", "crs_wkt": "GEOGCS[]"}))


def with_bounds(cube):
    cube["time"].attrs["bounds"] = "time_bnds"
    return cube.assign(time_bnds=(("time", "nv"), np.zeros((40, 2))))


def in_calendar(cube, calendar, start="2015-03-01"):
    return cube.assign_coords(time=xr.date_range(start, periods=40, calendar=calendar, use_cftime=True))


READ = {
    "dims latitude, longitude": regular,
    "dims lat, lon": lambda: regular("lat", "lon"),
    "dims south_north, west_east": lambda: (
        mock_cube(days=40, shape=(3, 4))
        .drop_vars(["y", "x"])
        .rename(y="south_north", x="west_east", lat="XLAT", lon="XLONG")
    ),
    "stacked pairs of lat, lon": lambda: regular("lat", "lon").stack(pixel=("lat", "lon")),
    "stacked pairs of y, x": lambda: mock_cube(days=40, shape=(3, 4)).stack(pixel=("y", "x")),
    "lat, lon as variables": lambda: pixels().reset_coords(["lat", "lon"]),
    "latitude, longitude as variables": lambda: (
        pixels().reset_coords(["lat", "lon"]).rename(lat="latitude", lon="longitude")
    ),
    "places named by units alone": lambda: pixels().rename(lat="phi", lon="lambda").map(lambda v: v),
    "stations": lambda: pixels().rename(pixel="station"),
    "valid_time of ERA5": lambda: era5(regular()),
    "a map projection": lambda: with_projection(mock_cube(days=40, shape=(3, 4))),
    "bounds": lambda: with_bounds(pixels()),
    "numbers that state since when": lambda: pixels().assign_coords(
        time=("time", np.arange(40), {"units": "days since 2015-04-01"})
    ),
    "cftime of the standard calendar": lambda: in_calendar(pixels(), "standard"),
    "a date among the attributes": lambda: pixels().assign_attrs(made=pd.Timestamp("2026-01-01"), parts={"a": 1}),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_told_without_doubt_is_read_and_said(case):
    given = READ[case]()
    cube = as_cube(given)
    assert {"time"} < set(cube["ssm"].dims) <= {"time", "y", "x", "pixel"}
    assert {"lat", "lon"} <= set(cube.coords)
    assert notes_of(cube)
    assert float(cube["ssm"].sum()) == pytest.approx(float(given["ssm"].sum()), rel=1e-6)
    check_cube(cube)
    assert notes_of(as_cube(cube)) == notes_of(cube), "read twice, said once"


def test_what_is_in_form_is_left_as_it_is():
    for cube in (pixels(), mock_cube(days=40, shape=(3, 4))):
        xr.testing.assert_identical(as_cube(cube), cube)


@pytest.mark.parametrize(
    "case", ["dims latitude, longitude", "stacked pairs of lat, lon", "a date among the attributes"]
)
def test_what_is_read_is_filled_and_written(case, tmp_path):
    filled = reconstruct(READ[case](), "climatology")
    assert not filled["ssm"].isnull().any()
    assert filled.attrs["tssmnet_read_as"] != "as it came"
    for name in ("filled.nc", "filled.zarr"):
        xr.testing.assert_equal(open_dataset(write_dataset(filled, tmp_path / name)).load(), filled)


@pytest.mark.parametrize("text", [np.array(list("abcde"), object), pd.Index(list("abcde")), pd.Series(list("abcde"))])
def test_pixels_with_names_are_filled_and_written(text, tmp_path):
    cube = pixels().assign_coords(station=("pixel", text))
    filled = reconstruct(cube, "climatology")
    back = open_dataset(write_dataset(filled, tmp_path / "filled.zarr"))
    assert back["station"].values.tolist() == list("abcde")


@pytest.mark.parametrize("kind", ["NETCDF3_64BIT", "NETCDF4"])
def test_files_of_netcdf_3_and_4_are_filled(tmp_path, kind):
    regular().to_netcdf(tmp_path / "cube.nc", format=kind, engine="scipy" if "3" in kind else "h5netcdf")
    assert open_cube(tmp_path / "cube.nc")["ssm"].chunks is not None
    filled = reconstruct_file(tmp_path / "cube.nc", tmp_path / "filled.nc", "xgboost", rounds=5)
    assert filled.counts["outside"] == 0


def test_a_projection_is_read_from_the_file_as_from_memory(tmp_path):
    cube = with_projection(mock_cube(days=40, shape=(3, 4))).set_coords("spatial_ref")
    cube.drop_encoding().to_zarr(tmp_path / "cube.zarr", zarr_format=3, consolidated=False)
    from_file, from_memory = open_cube(tmp_path / "cube.zarr"), as_cube(cube)
    assert set(from_file.data_vars) == set(from_memory.data_vars)
    reconstruct_file(tmp_path / "cube.zarr", tmp_path / "filled.zarr", "climatology")


def test_a_streamed_fill_reads_units_and_leaves_out_what_memory_does(tmp_path):
    cube = mock_cube(days=60, pixels=6)
    cube["air_temperature"] = (cube["air_temperature"] - 273.15).assign_attrs(units="degC")
    cube["precipitation"] = (cube["precipitation"] / 1000).assign_attrs(units="m")
    cube["tb_v"] = (cube["ssm"] + 200).assign_attrs(units="K", long_name="brightness temperature")
    cube = cube[sorted(cube.data_vars)]
    path = write_dataset(cube.rename(pixel="cell"), tmp_path / "cube.zarr")
    reconstruct_file(path, tmp_path / "filled.zarr", "xgboost", rounds=5, block_bytes=2000)
    filled, expected = open_dataset(tmp_path / "filled.zarr").load(), reconstruct(cube, "xgboost", rounds=5)
    np.testing.assert_allclose(filled["ssm"], expected["ssm"], atol=1e-6)
    for name in ("tssmnet_rain", "tssmnet_temperature", "tssmnet_landcover"):
        assert filled.attrs[name] == expected.attrs[name]
    assert "tb_v" in filled.attrs["tssmnet_read_as"]


def test_an_attribute_that_no_file_holds_is_refused_before_the_fit():
    with pytest.raises(CubeError, match="attribute 'made' is a object"):
        reconstruct(pixels().assign_attrs(made=object()))


def test_hashing_comes_before_the_fit(monkeypatch):
    import tssmnet.reconstruction.memory as memory

    order = []
    monkeypatch.setattr("tssmnet.provenance.content_hash", lambda value: order.append("hash") or "0" * 64)
    learn = memory.learn
    monkeypatch.setattr(memory, "learn", lambda *a, **k: order.append("fit") or learn(*a, **k))
    reconstruct(pixels(), "climatology")
    assert order[:2] == ["hash", "fit"]


# --- advice ---------------------------------------------------------------------------------------------------------


def set_value(name, value, **attrs):
    def change(cube):
        cube[name].values[(3, 2) if cube[name].ndim == 2 else 2] = value
        cube[name].attrs.update(attrs)
        return cube

    return change


def sets(name, **attrs):
    return lambda cube: cube[name].attrs.update(attrs) or cube


def text_days(cube):
    return cube.assign_coords(time=[str(day)[:10] for day in cube["time"].values])


def hours(cube, freq, start="2015-04-01"):
    return cube.assign_coords(time=pd.date_range(start, periods=40, freq=freq))


def packed(cube):
    cube["clay"] = (cube["clay"] * 100).round().astype("int16").assign_attrs(scale_factor=0.01, units="percent")
    return cube


ADVISED = {
    "numbers for days": lambda c: c.assign_coords(time=np.arange(40)),
    "text for days": text_days,
    "no leap days": lambda c: in_calendar(c, "noleap", "2016-02-15"),
    "a calendar of 360 days": lambda c: in_calendar(c, "360_day", "2016-02-15"),
    "days at noon": lambda c: hours(c, "D", "2015-04-01T12"),
    "every 12 hours": lambda c: hours(c, "12h"),
    "an absent day": lambda c: c.isel(time=[*range(10), *range(12, 40)]),
    "a repeated day": lambda c: c.isel(time=[*range(10), *range(9, 40)]),
    "days not in order": lambda c: c.isel(time=[*range(10, 40), *range(10)]),
    "percent": lambda c: c.assign(ssm=(c["ssm"] * 100).assign_attrs(units="%")),
    "no units of ssm": lambda c: c.assign(ssm=c["ssm"].drop_attrs()),
    "another name": lambda c: c.rename(ssm="soil_moisture"),
    "-9999 in the forcing": set_value("air_temperature", -9999),
    "1e20 in a constant": set_value("clay", 1e20),
    "outside of the valid range": set_value("clay", 300, valid_range=[0.0, 100.0]),
    "never decoded": packed,
    "an undeclared class": set_value("landcover", 99),
    "one place twice": lambda c: c.isel(pixel=[0, 1, 2, 2, 3]),
    "K called degrees C": sets("air_temperature", units="degC"),
    "degrees C called K": lambda c: c.assign(air_temperature=(c["air_temperature"] - 273.15).assign_attrs(units="K")),
}

CODE = re.compile(r"(cube(?:\[[^\]]*\])?(?:\.attrs\[[^\]]*\])? = .*?)(?:, or .*)?$")


@pytest.mark.parametrize("case", ADVISED)
def test_an_advice_that_is_followed_helps(case):
    cube = ADVISED[case](pixels())
    for _ in range(4):
        if not (faults := faults_of(cube)):
            return
        codes = [found[1] for fault in faults if (found := CODE.search(fault))]
        assert codes, faults
        known = {"cube": cube, "np": np, "pd": pd, "xr": xr}
        exec(codes[0], known)
        cube = known["cube"]
    pytest.fail("still refused after four advices")


def faults_of(cube):
    try:
        check_cube(cube)
    except CubeError as error:
        return error.faults
    return []


def test_the_twelve_hours_of_a_day_are_not_floored_into_one():
    with pytest.raises(CubeError, match="make daily values"):
        check_cube(hours(pixels(), "12h"))
