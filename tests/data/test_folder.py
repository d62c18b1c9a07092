"""A folder of files that somebody has becomes a cube, and every file's fate is said."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from china_archive import SEAM, days, write_smap

from tssmnet import cli
from tssmnet.cube import open_cube
from tssmnet.data.folder import cube_file, cube_of
from tssmnet.data.readers.gridded import at_places, by_day, shares
from tssmnet.errors import TssmnetError


def write_list(folder, day="2020-01-01", lat=(30.0, 30.1, 30.0), lon=(70.0, 70.1, 70.0), values=(0.1, 0.2, 0.3)):
    listed = {"latitude": lat, "longitude": lon, "soil_moisture": values}
    found = xr.Dataset({name: ("index", np.array(column, "f4")) for name, column in listed.items()})
    found.to_netcdf(folder / f"Somewhere_{day}.nc", engine="h5netcdf")


def weather(hours=49, first="2020-01-01", running=False, name="tp", units="m", **attrs):
    """Hourly rain of 1 mm an hour as ERA5 or, added up from midnight on, as ERA5-Land; stamps end the hour."""
    time = pd.date_range(first, periods=hours, freq="h")
    each = np.where(np.arange(hours) > 0, ((time.hour - 1) % 24 + 1 if running else 1) * 1e-3, np.nan)
    grid = xr.DataArray(
        np.broadcast_to(each[:, None, None], (hours, 3, 3)).astype("f4"),
        {"valid_time": time, "latitude": [30.2, 30.1, 30.0], "longitude": [70.0, 70.1, 70.2]},
        name=name,
        attrs={"units": units, "long_name": "Total precipitation", **attrs},
    )
    return grid.to_dataset()


def rain(**options):
    return weather(**options)["tp"].rename(valid_time="time")


def test_the_first_overpass_in_a_list_is_taken_and_days_without_a_file_are_gaps(tmp_path):
    write_list(tmp_path)
    write_list(tmp_path, "2020-01-03", values=(0.15, 0.25, 0.35))
    cube, account = cube_of(tmp_path)
    assert dict(cube.sizes) == {"time": 3, "pixel": 2}
    assert cube.ssm.isel(time=0).values.tolist() == pytest.approx([0.2, 0.1])
    assert np.isnan(cube.ssm.isel(time=1)).all()
    assert "2 files, SMAP level 3 as lists of cells: ssm, 2020-01-01 to 2020-01-03, 2 cells" in str(account)


def test_granules_become_the_cells_that_were_seen(tmp_path):
    for day in days(3):
        write_smap(tmp_path, day)
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    cube, account = cube_of(tmp_path, SEAM.box)
    assert cube.sizes["time"] == 3
    assert cube.ssm.notnull().any("time").all()
    assert SEAM.box[0] <= float(cube.lon.min()) < float(cube.lon.max()) <= SEAM.box[2]
    assert "took     3 files, SMAP level 3 granules" in str(account)
    assert "left out broken.h5" in str(account)


@pytest.mark.parametrize("running", [False, True])
def test_rain_of_era5_and_of_era5_land_is_the_total_of_the_day(running):
    total = by_day(rain(running=running, GRIB_stepType="accum"))
    assert total.sel(time="2020-01-01").values == pytest.approx(np.full((3, 3), 0.024))
    assert total.sel(time="2020-01-02").values == pytest.approx(np.full((3, 3), 0.024))


def test_a_day_that_lacks_an_hour_of_rain_has_no_total():
    total = by_day(rain(hours=40, running=True))
    assert np.isfinite(total.sel(time="2020-01-01")).all()
    assert np.isnan(total.sel(time="2020-01-02")).all()


def test_a_rate_and_a_temperature_are_means_of_the_day():
    rate = by_day(rain(hours=48, units="mm hr-1"))
    assert float(rate[1, 0, 0]) == pytest.approx(0.001)
    warm = rain(hours=48, units="K").rename("t2m").assign_attrs(long_name="2 metre temperature")
    assert float(by_day(warm)[1, 0, 0]) == pytest.approx(0.001)


def test_a_wide_place_takes_the_mean_of_the_cells_in_it_and_a_narrow_one_the_nearest():
    cells = xr.Dataset(coords={"lat": ("pixel", [0.0, 0.0, 0.0, 0.0]), "lon": ("pixel", [0.0, 0.1, 0.4, 0.5])})
    wide = xr.Dataset(coords={"lat": ("pixel", [0.0, 0.0]), "lon": ("pixel", [0.05, 0.45])})
    assert shares(cells, wide).toarray().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    narrow = xr.Dataset(coords={"lat": ("pixel", [0.0, 0.0, 5.0]), "lon": ("pixel", [0.01, 0.02, 5.0])})
    assert shares(cells, narrow).toarray().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_a_cell_without_a_value_does_not_count_in_the_mean():
    grid = xr.Dataset(
        {"t": (("time", "pixel"), np.array([[1.0, np.nan, 5.0]], "f4"))},
        {
            "time": pd.date_range("2020-01-01", periods=1),
            "lat": ("pixel", [0.0] * 3),
            "lon": ("pixel", [0.0, 0.1, 0.2]),
        },
    )
    places = xr.Dataset(coords={"lat": ("pixel", [0.0, 9.0]), "lon": ("pixel", [0.1, 9.0])})
    assert at_places(grid, places, grid.indexes["time"])["t"].values[0].tolist() == [
        3.0,
        pytest.approx(np.nan, nan_ok=True),
    ]


def test_weather_in_two_files_joins_where_they_meet(tmp_path):
    write_list(tmp_path)
    write_list(tmp_path, "2020-01-02")
    whole = weather(hours=49, running=True, GRIB_stepType="accum")
    for number, part in enumerate((whole.isel(valid_time=slice(0, 24)), whole.isel(valid_time=slice(24, 49)))):
        part.to_netcdf(tmp_path / f"era5_{number}.nc", engine="h5netcdf")
    cube_file(tmp_path, tmp_path.parent / f"{tmp_path.name}.zarr")
    made = open_cube(tmp_path.parent / f"{tmp_path.name}.zarr")
    assert made.tp.values == pytest.approx(np.full((2, 2), 24.0))
    assert made.tp.attrs["units"] == "mm d-1"


def test_gridded_soil_moisture_brings_its_own_places_and_predictors(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 0.4, (5, 2, 3)).astype("f4")
    values[:, 0, 0] = np.nan
    axes = {"time": pd.date_range("2020-01-01", periods=5), "lat": [10.5, 10.0], "lon": [20.0, 20.5, 21.0]}
    dims = ("time", "lat", "lon")
    own = xr.Dataset({"sm": (dims, values, {"units": "m3 m-3"}), "ndvi": (dims, values * 2, {"units": "1"})}, axes)
    own.to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    cube, _ = cube_of(tmp_path)
    assert cube.sizes["pixel"] == 5
    assert cube.ndvi.values == pytest.approx(2 * cube.ssm.values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "holds no soil moisture observations"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "of 1 file: no name in .nc, .h5"),
        (
            lambda folder: weather().to_netcdf(folder / "e.nc", engine="h5netcdf"),
            "1 file of gridded netCDF may predict it",
        ),
        (lambda folder: (folder / "e.nc").write_bytes(b"no"), "of 1 file: cannot be read as .nc"),
        (lambda folder: write_list(folder, "someday"), "has no day in its name"),
    ],
)
def test_a_folder_without_soil_moisture_is_one_clear_line_and_no_cube(make, message, tmp_path, capsys):
    folder = tmp_path / "files"
    folder.mkdir()
    make(folder)
    assert cli.main(["cube", str(folder), str(tmp_path / "cube.zarr")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not (tmp_path / "cube.zarr").exists()


def test_bounds_that_hold_nothing_or_are_swapped_are_said(tmp_path):
    write_list(tmp_path)
    with pytest.raises(TssmnetError, match="no observation lies in"):
        cube_of(tmp_path, (0.0, 0.0, 1.0, 1.0))
    with pytest.raises(TssmnetError, match="west < east"):
        cube_of(tmp_path, (71.0, 29.0, 69.0, 31.0))


@pytest.mark.mirror
def test_genuine_smap_and_era5_land_become_a_cube(genuine):
    folder = next(iter(genuine("smap-l3e-9km").values())).parent
    cube, account = cube_of(folder)
    assert dict(cube.sizes) == {"time": 7, "pixel": 2880}
    assert len(account.taken) == 2
    assert not account.left_out
    assert np.isfinite(cube.swvl1.values).all()
    both = np.isfinite(cube.ssm.values)
    assert np.corrcoef(cube.ssm.values[both], cube.swvl1.values[both])[0, 1] > 0.3
