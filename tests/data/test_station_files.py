"""Station tables and netCDF files: one sensor a series, nothing guessed, each fault with its file, row and column."""

import random

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from broken_stations import HEADER, fault_of, random_file, random_netcdf, read_or_refused

from tssmnet.data.readers.faults import StationsError
from tssmnet.metrics.stations import open_stations

ROW = "A,34.0,102.0,2018-07-01,0.2"


def table(tmp_path, *rows, header=HEADER, encoding="utf-8", name="stations.csv"):
    path = tmp_path / name
    path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return path


# ---------------------------------------------------------------------------------------------------------- one sensor


def test_several_depths_are_never_averaged_and_the_error_names_them(tmp_path):
    rows = [f"{ROW},0.05", "A,34.0,102.0,2018-07-01,0.4,0.5"]
    path = table(tmp_path, *rows, header=f"{HEADER},depth")
    with pytest.raises(StationsError, match=r"several depths: 0\.05, 0\.5 m; choose one \(depth=0\.05, --depth\)"):
        open_stations(path)
    assert open_stations(path, depth=0.05).ssm.values.tolist() == [[0.2]]
    assert open_stations(path, depth=0.5).ssm.values.tolist() == [[0.4]]


def test_depths_may_be_layers_and_two_inches_are_five_centimetres(tmp_path):
    rows = [f"{ROW},0.0,0.05", "B,35.0,102.0,2018-07-01,0.4,0.0,0.0508"]
    stations = open_stations(table(tmp_path, *rows, header=f"{HEADER},depth_from,depth_to"))
    assert stations.ssm.values.tolist() == [[0.2, 0.4]]
    assert stations.depth.values.tolist() == [0.05, 0.0508]


@pytest.mark.parametrize(
    ("columns", "values", "message"),
    [
        ("depth_cm", ("5", "50"), "column depth_cm is not understood; give depths in metres"),
        ("layer", ("1", "2"), "column layer varies within a station"),
        ("probe_id", ("a", "b"), "column probe_id varies within a station"),
        ("sensor", ("a", "b"), "station A has several sensors"),
        ("remark", ("x", "y"), "row 3, column time: station 'A' has a reading of 2018-07-01 00:00:00 UTC already"),
        ("depth", ("0.05", ""), "row 3, column depth"),
        ("depth", ("0.05", "-9999"), "row 3, column depth: depth -9999, expected metres"),
        ("depth_from", ("0", "0"), "depth_from and depth_to"),
    ],
)
def test_what_may_be_another_sensor_is_refused_by_name(tmp_path, columns, values, message):
    path = table(tmp_path, *(f"{ROW},{v}" for v in values), header=f"{HEADER},{columns}")
    with pytest.raises(StationsError, match=message):
        open_stations(path)


def test_stations_of_one_name_in_two_networks_stay_apart(tmp_path):
    rows = [f"{ROW},NAQU", "A,31.0,92.0,2018-07-01,0.4,MAQU"]
    stations = open_stations(table(tmp_path, *rows, header=f"{HEADER},network"))
    assert stations.station.values.tolist() == ["MAQU/A", "NAQU/A"]
    assert stations.network.values.tolist() == ["MAQU", "NAQU"]
    assert stations.ssm.values.tolist() == [[0.4, 0.2]]


def test_a_station_at_two_places_is_refused(tmp_path):
    with pytest.raises(StationsError, match="row 3, column lat: station 'A' is at 35 and at 34"):
        open_stations(table(tmp_path, ROW, "A,35.0,102.0,2018-07-02,0.2"))


# --------------------------------------------------------------------------------------------------------------- flags


def test_good_flags_of_known_schemes_are_kept_and_others_not(tmp_path):
    for flags in (("G", "D01,D03", "C03"), ("U", "M", "D05"), ("good", "bad", "suspect"), ("OK", "fail", "missing")):
        rows = [
            f'A,34.0,102.0,2018-07-0{i},{v},"{f}"' for i, v, f in zip((1, 2, 3), (0.2, 0.9, 7.0), flags, strict=True)
        ]
        stations = open_stations(table(tmp_path, *rows, header=f"{HEADER},flag"))
        assert stations.ssm.values.tolist() == [[0.2]]
        assert stations.losses == "A: 2 of 3 readings flagged"


@pytest.mark.parametrize("column", ["qc", "quality_code", "sm_flag", "Valid", "QA"])
def test_flags_of_no_known_scheme_are_refused_by_name_or_chosen(tmp_path, column):
    path = table(tmp_path, f"{ROW},0", "A,34.0,102.0,2018-07-02,7,1", header=f"{HEADER},{column}")
    with pytest.raises(StationsError, match=rf"row 2, column {column.lower()}: flag '0' is of no known scheme"):
        open_stations(path)
    assert open_stations(path, good=["0"]).ssm.values.tolist() == [[0.2]]


def test_two_columns_of_flags_and_a_choice_without_flags_are_refused(tmp_path):
    with pytest.raises(StationsError, match="flag, qc all look like flags"):
        open_stations(table(tmp_path, f"{ROW},G,0", header=f"{HEADER},flag,qc"))
    with pytest.raises(StationsError, match="no column of flags"):
        open_stations(table(tmp_path, ROW), good=["G"])


# ---------------------------------------------------------------------------------------------------------- the fields


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2018-07-01T23:30:00-02:00", "2018-07-02"),
        ("2018-07-01T07:59+08:00", "2018-06-30"),
        ("2018-07-01 07:59:59.5+0800", "2018-06-30"),
        ("2018-07-01T00:00Z", "2018-07-01"),
        ("2018-07-01 23:59", "2018-07-01"),
    ],
)
def test_days_are_utc_whatever_the_zone(tmp_path, time, day):
    stations = open_stations(table(tmp_path, f"A,34.0,102.0,{time},0.2"))
    assert str(stations.time.values[0])[:10] == day


@pytest.mark.parametrize(
    "time",
    ["01/07/2018", "07-01-2018", "1.7.2018", "2018/07/01", "20180701", "2018-7-1", "2018-13-01", "2018-02-30", "43282",
     "2018-07-01 25:00", "2018-07-01T00:00 CET", "2018-07-01T00:00+25:00", "9999-12-31", "", "yesterday", "2018-W27",
     "2018-07-01T01:00 PM", "٢٠١٨-٠٧-٠١"],
)  # fmt: skip
def test_other_dates_are_refused_with_the_row_and_what_to_write(tmp_path, time):
    with pytest.raises(
        StationsError, match=r"stations\.csv, row 3, column time: .* no ISO 8601 time; write it as 2018"
    ):
        open_stations(table(tmp_path, ROW, f"A,34.0,102.0,{time},0.2"))


def test_zones_in_some_rows_only_are_refused(tmp_path):
    rows = ["A,34.0,102.0,2018-07-01T00:00,0.2", "A,34.0,102.0,2018-07-01T01:00Z,0.2"]
    with pytest.raises(StationsError, match=r"row 3, column time: .* the zone in all rows, or in none"):
        open_stations(table(tmp_path, *rows))


def test_the_same_instant_twice_is_refused_whatever_its_zone(tmp_path):
    rows = ["A,34.0,102.0,2018-07-01T08:00+08:00,0.2", "A,34.0,102.0,2018-07-01T00:00Z,0.3"]
    with pytest.raises(StationsError, match="row 3, column time: station 'A' has a reading"):
        open_stations(table(tmp_path, *rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,34.0,102.0,2018-07-02,-9999", r"column ssm: .*0\.\.1 m3 m-3, found down to -9999"),
        ("A,34.0,102.0,2018-07-02,-99", "column ssm: .*leave the field empty"),
        ("A,34.0,102.0,2018-07-02,1e20", r"column ssm: .*found up to 1e\+20"),
        ("A,34.0,102.0,2018-07-02,1e999", "column ssm"),
        ("A,34.0,102.0,2018-07-02,25.3", "column ssm: .*divide percent by 100"),
        ("A,34.0,102.0,2018-07-02,wet", "column ssm: 'wet' is no number"),
        ("A,34.0,102.0,2018-07-02,0.2 m3", "column ssm: '0.2 m3' is no number"),
        ("A,34.0,102.0,2018-07-02,1_0", "column ssm: '1_0' is no number"),
        ("A,34.0,102.0,2018-07-02,inf", "column ssm: 'inf' is no number"),
        ("A,,102.0,2018-07-02,0.2", "column lat: is missing"),
        ("A,34.0,nan,2018-07-02,0.2", "column lon: is missing"),
        ("A,95,102.0,2018-07-02,0.2", "column lat: 95 is no place"),
        ("A,34.0,-9999,2018-07-02,0.2", "column lon: -9999 is no place"),
        ("A,34N,102.0,2018-07-02,0.2", "column lat: '34N' is no number"),
        (",34.0,102.0,2018-07-02,0.2", "column station: is empty"),
        ("A,34.0,102.0,2018-07-01,0.3", "column time: station 'A' has a reading"),
        ("A,34.0,102.0,2018-07-02", "4 fields, but the header has 5"),
        ('"A,34.0,102.0,2018-07-02,0.2', "quotation mark left open"),
    ],
)
def test_a_field_that_cannot_be_is_refused_with_file_row_and_column(tmp_path, row, message):
    with pytest.raises(StationsError, match=r"stations\.csv, row 3.*" + message):
        open_stations(table(tmp_path, ROW, row))


def test_units_in_a_column_are_read(tmp_path):
    assert open_stations(table(tmp_path, f"{ROW},m3/m3", header=f"{HEADER},units")).sizes["station"] == 1
    with pytest.raises(StationsError, match="row 2, column units: '%'"):
        open_stations(table(tmp_path, f"{ROW},%", header=f"{HEADER},units"))


# ------------------------------------------------------------------------------------------------------- the whole file


@pytest.mark.parametrize("change", ["bom", "crlf", "semicolons", "quoted", "spaces", "capitals", "latitude", "blank"])
def test_what_can_be_read_without_doubt_is_read(tmp_path, change):
    text = f"{HEADER}\n{ROW}\n"
    text = {
        "bom": "\ufeff" + text,
        "crlf": text.replace("\n", "\r\n"),
        "semicolons": text.replace(",", ";"),
        "quoted": "\n".join(",".join(f'"{w}"' for w in line.split(",")) for line in text.split("\n")[:-1]),
        "spaces": text.replace(",", " , "),
        "capitals": text.replace(HEADER, HEADER.title()),
        "latitude": text.replace("lat", "latitude").replace("lon", "longitude"),
        "blank": text.replace("\n", "\n\n,,,,\n"),
    }[change]
    path = tmp_path / "stations.csv"
    path.write_bytes(text.encode())
    assert open_stations(path).ssm.values.tolist() == [[0.2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (HEADER.encode(), "a header but no rows"),
        (b"\x89HDF\r\n\x1a\n\x00\x00", "is binary"),
        (b"PK\x03\x04" + bytes(range(256)), "is binary"),
        (f"{HEADER}\nZürich,1,2,2018-07-01,0.2".encode("latin-1"), r"row 2: byte 0xfc is not UTF-8 \('ü'"),
        (f"{HEADER}\n{ROW}".encode("utf-16"), "is UTF-16 text"),
        (f"{HEADER},lat\n{ROW},3".encode(), "columns lat are there more than once"),
        (b"<html>please log in</html>", "columns station, lat, lon, time, ssm are missing"),
        (HEADER.replace(",", "\t").encode(), "are missing"),
    ],
)
def test_files_that_are_no_table_are_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "stations.csv"
    path.write_bytes(content)
    with pytest.raises(StationsError, match=message) as error:
        open_stations(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_station_lost_is_said_and_the_rest_goes_on(tmp_path, capsys):
    rows = ["A,34.0,102.0,2018-07-01T01:00,0.1,0.05", "A,34.0,102.0,2018-07-01T01:30,0.3,0.05"]
    rows += ["B,35.0,102.0,2018-07-01T01:00,0.1,0.05", "B,35.0,102.0,2018-07-01T02:00,0.3,0.05"]
    rows += ["C,36.0,102.0,2018-07-01T01:00,,0.05", "D,36.0,102.0,2018-07-01T01:00,0.2,0.5"]
    path = table(tmp_path, *rows, header=f"{HEADER},depth")
    stations = open_stations(path, min_hours=2, depth=0.05)
    assert stations.station.values.tolist() == ["B"]
    assert stations.ssm.item() == pytest.approx(0.2)
    assert "A: 1 of 1 days have readings in fewer than 2 hours" in stations.skipped
    assert "C: no reading" in stations.skipped
    assert "D: only at 0.5 m" in stations.skipped
    assert capsys.readouterr().err.count("\n") == 1


def test_if_nothing_is_left_one_error_says_why_for_each_station(tmp_path):
    rows = ["A,34.0,102.0,2018-07-01,,0.05", "B,34.0,102.0,2018-07-01,0.2,0.05"]
    path = table(tmp_path, *rows, header=f"{HEADER},depth")
    with pytest.raises(StationsError, match="A: no reading; B: 1 of 1 days"):
        open_stations(path, min_hours=2)


@pytest.mark.parametrize("choice", [{"depth": -1.0}, {"depth": float("nan")}, {"min_hours": 0}, {"min_hours": 10**23}])
def test_choices_that_cannot_be_are_refused_by_name(tmp_path, choice):
    with pytest.raises(StationsError, match=next(iter(choice))):
        open_stations(table(tmp_path, ROW), **choice)


# -------------------------------------------------------------------------------------------------------------- netCDF


@pytest.fixture
def stations():
    time = pd.date_range("2018-07-01", periods=48, freq="h")
    values = np.full((48, 2), [0.2, 0.4])
    coords = {"time": time, "station": ["A", "B"], "lat": ("station", [34.0, 35.0]), "lon": ("station", [102.0, 103.0])}
    return xr.Dataset({"ssm": (("time", "station"), values, {"units": "m3 m-3"})}, coords)


def write(stations, tmp_path, engine="h5netcdf"):
    stations.to_netcdf(tmp_path / "stations.nc", engine=engine)
    return tmp_path / "stations.nc"


def test_netcdf_gives_daily_series_in_either_format(stations, tmp_path):
    for engine in ("h5netcdf", "scipy"):
        found = open_stations(write(stations, tmp_path, engine), min_hours=24)
        np.testing.assert_allclose(found.ssm, [[0.2, 0.4]] * 2)
        assert found.station.values.tolist() == ["A", "B"]


def test_flags_in_netcdf_are_used_by_their_meanings_or_refused(stations, tmp_path):
    flag = np.zeros((48, 2), "i1")
    flag[:, 1] = 1
    attrs = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "good bad"}
    found = open_stations(write(stations.assign(ssm_flag=(("time", "station"), flag, attrs)), tmp_path))
    assert found.station.values.tolist() == ["A"]
    assert found.skipped == "B: no good reading among 48"
    with pytest.raises(StationsError, match=r"column ssm_flag: flag '0'.* is of no known scheme"):
        open_stations(write(stations.assign(ssm_flag=(("time", "station"), flag)), tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.assign_coords(lat=("station", [34.0, 95.0])), "station 'B'.* column lat: 95 is no place"),
        (lambda s: s.assign_coords(lon=("station", [np.nan, 95.0])), "column lon: is missing"),
        (lambda s: s.drop_vars("lat"), "lat missing"),
        (lambda s: s.assign(ssm=s.ssm.where(s.station == "A", -9999).assign_attrs(units="m3 m-3")), "found down to"),
        (lambda s: s.assign(ssm=(100 * s.ssm).assign_attrs(units="m3 m-3")), "divide percent by 100"),
        (lambda s: s.assign_coords(time=np.r_[s.time.values[:-1], s.time.values[:1]]), "column time: station 'A'"),
        (lambda s: s.assign_coords(station=["A", "A"]), "'A'"),
        (lambda s: s.assign_coords(time=np.arange(48)), "times with CF units"),
        (lambda s: xr.concat([s, s], pd.Index([0.05, 0.5], name="depth")), "several depths: 0.05, 0.5 m"),
    ],
)
def test_netcdf_goes_through_the_same_checks(stations, tmp_path, change, message):
    with pytest.raises(StationsError, match=message):
        open_stations(write(change(stations), tmp_path))


def test_a_netcdf_file_that_cannot_be_read_is_refused_by_name(stations, tmp_path):
    whole = write(stations, tmp_path).read_bytes()
    for content in (b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n", whole[: len(whole) // 2], b"station,lat"):
        (tmp_path / "stations.nc").write_bytes(content)
        with pytest.raises(StationsError, match=r"stations\.nc cannot be read as netCDF"):
            open_stations(tmp_path / "stations.nc")


# ---------------------------------------------------------------------------------------------------- random files


def check_random_files(tmp_path, seed, count):
    rng, path, read = random.Random(seed), tmp_path / "stations.csv", 0
    for _ in range(count):
        content, kind, truth = random_file(rng)
        path.write_bytes(content)
        found = read_or_refused(path)
        assert not (fault := fault_of(found, path, kind, truth)), fault
        read += not isinstance(found, str)
    assert count // 5 < read < count


def test_a_hundred_random_broken_tables_are_read_rightly_or_refused(tmp_path):
    check_random_files(tmp_path, 1, 100)


@pytest.mark.slow
def test_five_hundred_random_broken_tables_are_read_rightly_or_refused(tmp_path):
    check_random_files(tmp_path, 2, 500)


def test_random_broken_netcdf_files_are_read_rightly_or_refused(tmp_path):
    rng, path, read = random.Random(3), tmp_path / "stations.nc", {"harmful": 0, "harmless": 0}
    for _ in range(60):
        kind, truth = random_netcdf(rng, path)
        if kind == "bytes":  # a damaged HDF5 file may end the process that reads it: benchmarks/stress.py has these
            continue
        found = read_or_refused(path)
        assert not (fault := fault_of(found, path, kind, truth)), fault
        read[kind] += not isinstance(found, str)
    assert read["harmless"] > 10
    assert read["harmful"] < 10
