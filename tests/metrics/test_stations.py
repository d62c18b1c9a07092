"""A cube against stations."""

import numpy as np
import pandas as pd
import pytest

from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError
from tssmnet.metrics.scores import SUMMARY
from tssmnet.metrics.stations import StationsError, nearest_pixels, open_stations, validate
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.testing import mock_cube

DAYS = 90


@pytest.fixture(scope="module")
def cube():
    return mock_cube(days=DAYS, shape=(3, 4), seed=2)


@pytest.fixture(scope="module")
def table(cube):
    """Synthetic stations: the truth of three pixels, 0.02 wetter, one station far away."""
    truth = to_pixels(mock_cube(days=DAYS, shape=(3, 4), seed=2, observed=1.0))
    rows = []
    for name, pixel, shift in (("north", 0, 0.01), ("middle", 5, -0.01), ("far", 8, 40.0)):
        here = truth.isel(pixel=pixel)
        rows.append(
            pd.DataFrame(
                {
                    "station": name,
                    "lat": float(here["lat"]) + shift,
                    "lon": float(here["lon"]),
                    "time": here["time"].values,
                    "ssm": here["ssm"].values + 0.02,
                }
            )
        )
    return pd.concat(rows)


@pytest.fixture
def stations(table, tmp_path):
    path = tmp_path / "stations.csv"
    table.to_csv(path, index=False)
    return open_stations(path)


def test_each_station_meets_its_nearest_pixel(cube, stations):
    index, km = nearest_pixels(to_pixels(cube), stations)
    found = dict(zip(stations["station"].values, index, strict=True))
    assert found["north"] == 0
    assert found["middle"] == 5
    assert km[list(stations["station"].values).index("north")] == pytest.approx(1.112, abs=0.01)


def test_stations_are_scored_then_summed_up(cube, stations):
    scores = validate(cube, stations, ci=False)
    assert [*scores.loc["all"].index] == ["far", "middle", "north", *SUMMARY]
    assert scores.loc[("all", "north"), "bias"] == pytest.approx(-0.02, abs=1e-6)
    assert scores.loc[("all", "north"), "n"] == int(to_pixels(cube)["ssm"][:, 0].notnull().sum())
    assert scores.loc[("all", "median"), "r"] == pytest.approx(1.0)
    assert np.isnan(scores.loc[("all", "far"), "rmse"])
    assert scores.loc[("all", "far"), "left_out"].startswith("nearest pixel 44")


def test_observed_and_filled_days_stand_apart(cube, stations):
    scores = validate(reconstruct(cube, "linear"), stations)
    parts = scores.loc[("observed", "north"), "n"] + scores.loc[("filled", "north"), "n"]
    assert parts == scores.loc[("all", "north"), "n"] == DAYS
    assert scores.loc[("observed", "north"), "ubrmse"] < scores.loc[("filled", "north"), "ubrmse"]
    assert scores.loc[("filled", "north"), "rmse_low"] < scores.loc[("filled", "north"), "rmse_high"]


def test_hours_become_days_and_netcdf_gives_the_same(cube, table, tmp_path):
    hourly = pd.concat(
        [
            table.assign(time=table["time"] + pd.Timedelta(h, "h"), ssm=table["ssm"] + d)
            for h, d in ((1, -0.01), (9, 0.01))
        ]
    )
    hourly.to_csv(tmp_path / "hourly.csv", index=False)
    stations = open_stations(tmp_path / "hourly.csv")
    stations.to_netcdf(tmp_path / "stations.nc", engine="h5netcdf")
    again = open_stations(tmp_path / "stations.nc")
    pd.testing.assert_frame_equal(validate(cube, stations), validate(cube, again))
    assert validate(cube, stations, ci=False).loc[("all", "north"), "bias"] == pytest.approx(-0.02, abs=1e-6)


def test_files_that_hold_no_stations_are_refused(table, tmp_path, stations):
    with pytest.raises(StationsError, match=r"none\.csv: no such file"):
        open_stations(tmp_path / "none.csv")
    (tmp_path / "stations.txt").write_text("x")
    with pytest.raises(StationsError, match=r"come as \.nc or \.csv"):
        open_stations(tmp_path / "stations.txt")
    table.drop(columns="lat").to_csv(tmp_path / "a.csv")
    with pytest.raises(StationsError, match="columns lat are missing"):
        open_stations(tmp_path / "a.csv")
    table.assign(ssm=100 * table["ssm"]).to_csv(tmp_path / "percent.csv")
    with pytest.raises(StationsError, match=r"0\.\.1 m3 m-3, found up to"):
        open_stations(tmp_path / "percent.csv")
    stations["ssm"].attrs["units"] = "%"
    stations.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    with pytest.raises(StationsError, match="units '%'"):
        open_stations(tmp_path / "b.nc")


def test_other_days_are_refused(cube, stations):
    later = stations.assign_coords(time=stations["time"] + np.timedelta64(900, "D"))
    with pytest.raises(TssmnetError, match="no day in common"):
        validate(cube, later)
