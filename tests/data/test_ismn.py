"""Station files in their three layouts, against the network's own reader and plain reckoning."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.data.readers import ismn
from tssmnet.data.readers.faults import SourceError, TruncatedFileError, WrongProductError

GENUINE = ("ismn-maqu", "ismn-formats", "ismn-silversword")


@pytest.fixture(scope="module")
def files(genuine):
    return {p.name.split("_sm_")[0]: p for d in GENUINE for p in genuine(d).values() if p.suffix == ".stm"}


def write(folder, station, hours, values, flags, depth=(0.05, 0.05), place=(34.0, 102.0), sensor="5TM"):
    """A made-up file in the header layout."""
    folder.mkdir(exist_ok=True, parents=True)
    times = pd.date_range("2018-07-01", periods=len(values), freq=hours)
    lines = [f"NET  NET  {station}  {place[0]:.5f}  {place[1]:.5f}  3000.00  {depth[0]:.4f}  {depth[1]:.4f}  {sensor}"]
    lines += [f"{t:%Y/%m/%d %H:%M} {v:.4f} {f} M" for t, v, f in zip(times, values, flags, strict=True)]
    path = folder / f"NET_NET_{station}_sm_{depth[0]:.6f}_{depth[1]:.6f}_{sensor}_20180701_20180801.stm"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "station", "depth", "place"),
    [
        ("MAQU_MAQU_CST-01", "CST_01", (0.05, 0.05), (33.8833, 102.1333)),
        ("MAQU_MAQU_CST-02", "CST_02", (0.05, 0.05), (33.6666, 102.1333)),
        ("COSMOS_COSMOS_ARM-1", "ARM-1", (0.0, 0.19), (36.6054, -97.4878)),
        ("SMOSMANIA_SMOSMANIA_Narbonne", "Narbonne", (0.05, 0.05), (43.15, 2.9567)),
        ("SCAN_SCAN_SilverSword", "Silver_Sword", (0.0508, 0.0508), (19.76505, -155.42348)),
    ],
)
def test_each_layout_agrees_with_the_networks_own_reader(files, name, station, depth, place):
    from ismn.filehandlers import DataFile

    path = files[name]
    sensor = ismn.read_sensor(path)
    oracle = DataFile(path.parents[2], path.relative_to(path.parents[2])).read_data()
    np.testing.assert_array_equal(sensor.values["ssm"].to_numpy(), oracle["soil_moisture"].to_numpy(float))
    assert sensor.values["flag"].tolist() == oracle["soil_moisture_flag"].tolist()
    assert (sensor.values.index == oracle.index).all()
    assert (sensor.station, sensor.depth) == (station, depth)
    assert (sensor.lat, sensor.lon) == pytest.approx(place, abs=1e-4)


@pytest.mark.mirror
def test_the_maqu_record_has_the_known_values(files):
    sensor = ismn.read_sensor(files["MAQU_MAQU_CST-01"])
    assert len(sensor.values) == 15927
    assert sensor.elevation == 3431
    assert sensor.sensor == "ECH20-EC-TM"
    assert int((sensor.values["flag"] == "U").sum()) == 9407
    good = sensor.values.loc[sensor.values["flag"] == "U", "ssm"]
    assert 0.14 <= good.min() < good.max() <= 0.56


@pytest.mark.mirror
def test_days_are_utc_means_of_the_good_hours(files):
    sensor = ismn.read_sensor(files["SCAN_SCAN_SilverSword"])
    daily = sensor.daily(min_hours=6)
    lines = files["SCAN_SCAN_SilverSword"].read_text().splitlines()[1:]
    plain = {}
    for line in lines:
        date, _, value, flag = line.split()[:4]
        if flag == "G":
            plain.setdefault(date.replace("/", "-"), []).append(float(value))
    expected = {d: np.mean(v) for d, v in plain.items() if len(v) >= 6}
    assert [f"{d:%Y-%m-%d}" for d in daily.index] == list(expected)
    np.testing.assert_allclose(daily.to_numpy(), list(expected.values()))
    assert len(sensor.daily(min_hours=24)) < len(daily)


@pytest.mark.mirror
def test_only_the_top_five_centimetres_become_stations(files):
    kept = ismn.surface_sensors(files.values())
    assert {s.network for s in kept} == {"MAQU", "SMOSMANIA", "SCAN"}
    assert {s.network for s in ismn.surface_sensors(files.values(), deepest=0.2)} == {
        "MAQU",
        "SMOSMANIA",
        "SCAN",
        "COSMOS",
    }


@pytest.mark.mirror
def test_a_folder_of_genuine_stations_becomes_a_dataset(files):
    stations = ismn.read_stations(files["MAQU_MAQU_CST-01"].parents[1])
    assert stations.ssm.dims == ("time", "station")
    assert stations.station.values.tolist() == ["MAQU/CST_01", "MAQU/CST_02"]
    assert stations.sizes["time"] == (np.diff(stations.time.values[[0, -1]]) / np.timedelta64(1, "D"))[0] + 1
    own = ismn.read_sensor(files["MAQU_MAQU_CST-02"]).daily()
    np.testing.assert_allclose(stations.ssm.sel(station="MAQU/CST_02").dropna("time").values, own.to_numpy())


def test_bad_flags_refuse_values_and_old_and_new_good_flags_keep_them(tmp_path):
    flags = ["G", "U", "D01", "D01,D03", "C03", "M"] * 4
    path = write(tmp_path, "A", "h", [0.1, 0.3, 0.9, 0.9, 0.9, 0.9] * 4, flags)
    assert ismn.read_sensor(path).daily(min_hours=8).tolist() == [pytest.approx(0.2)]
    assert ismn.read_sensor(path).daily(min_hours=9).empty
    assert ismn.read_sensor(path).daily(good={"G"}, min_hours=1).tolist() == [pytest.approx(0.1)]


def test_one_sensor_stands_for_a_station_and_depths_are_never_averaged(tmp_path, capsys):
    write(tmp_path / "NET" / "A", "A", "h", [0.1] * 48, ["G"] * 48, depth=(0.03, 0.03))
    write(tmp_path / "NET" / "A", "A", "h", [0.3] * 24, ["G"] * 24, depth=(0.05, 0.05))
    write(tmp_path / "NET" / "A", "A", "h", [0.9] * 48, ["G"] * 48, depth=(0.1, 0.1))
    stations = ismn.read_stations(tmp_path)
    np.testing.assert_allclose(stations.ssm.values[:, 0], [0.3])
    assert stations.depth.values.tolist() == [0.05]
    assert "at 0.03 m left aside" in stations.losses
    np.testing.assert_allclose(ismn.read_stations(tmp_path, depth=0.1).ssm.values[:, 0], [0.9, 0.9])
    assert capsys.readouterr().err == ""


def test_of_two_sensors_at_one_depth_the_one_with_most_days_is_taken(tmp_path):
    write(tmp_path, "A", "h", [0.1] * 24, ["G"] * 24, sensor="first")
    write(tmp_path, "A", "h", [0.3] * 48, ["G"] * 48, sensor="second")
    stations = ismn.read_stations(tmp_path)
    np.testing.assert_allclose(stations.ssm.values[:, 0], [0.3, 0.3])
    assert "first at 0.05 m left aside for second" in stations.losses


def test_what_is_wrong_with_one_station_is_said_and_the_rest_goes_on(tmp_path, capsys):
    write(tmp_path, "GOOD", "h", [0.2] * 48, ["G"] * 48)
    write(tmp_path, "DAILY", "D", [0.2] * 48, ["G"] * 48)
    write(tmp_path, "DEEP", "h", [0.2] * 48, ["G"] * 48, depth=(0.5, 0.5))
    write(tmp_path, "FLAGGED", "h", [0.2] * 48, ["D03"] * 48)
    write(tmp_path, "EMPTY", "h", [0.2], ["G"]).write_text("")
    write(tmp_path, "PERCENT", "h", [20.0] * 48, ["G"] * 48)
    write(tmp_path, "NOWHERE", "h", [0.2] * 48, ["G"] * 48, place=(-99.0, 0.0))
    cut = write(tmp_path, "CUT", "h", [0.2] * 48, ["G"] * 48)
    cut.write_text(cut.read_text().replace("2018/07/02 01:00", "2018/13/45 01:00"))
    stations = ismn.read_stations(tmp_path)
    assert stations.station.values.tolist() == ["NET/GOOD"]
    for words in (
        "NET/DAILY: 48 of 48 days have good readings in fewer than 6 hours",
        "NET_NET_DEEP: only at 0.5 m",
        "NET/FLAGGED: no good reading among 48",
        "is empty",
        "lies outside 0..1 m3 m-3",
        "which is no place",
        "2018-13-45",
    ):
        assert words in stations.skipped
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "7 left out" in said


def test_if_nothing_is_left_one_error_says_why_for_each(tmp_path):
    write(tmp_path, "DAILY", "D", [0.2] * 48, ["G"] * 48)
    write(tmp_path, "DEEP", "h", [0.2] * 48, ["G"] * 48, depth=(0.5, 0.5))
    with pytest.raises(SourceError, match=r"DEEP: only at 0.5 m.*DAILY: 48 of 48 days"):
        ismn.read_stations(tmp_path)
    with pytest.raises(SourceError, match="no usable file"):
        ismn.read_stations(tmp_path, networks=["OTHER"])


def test_distinct_hours_are_counted_not_readings(tmp_path):
    path = write(tmp_path, "A", "10min", [0.2] * 12, ["G"] * 12)
    assert ismn.read_sensor(path).daily(min_hours=3).empty
    assert ismn.read_sensor(path).daily(min_hours=2).tolist() == [pytest.approx(0.2)]


def test_the_series_are_read_by_validation(tmp_path):
    from tssmnet.metrics.stations import open_stations

    write(tmp_path, "A", "h", [0.1] * 48, ["G"] * 48)
    stations = ismn.read_stations(tmp_path)
    stations.to_netcdf(tmp_path / "stations.nc")
    again = open_stations(tmp_path / "stations.nc")
    assert isinstance(again, xr.Dataset)
    np.testing.assert_allclose(again.ssm.values.ravel(), [0.1, 0.1])


def test_cut_empty_and_foreign_files_are_refused_with_line_and_remedy(tmp_path):
    path = write(tmp_path, "A", "h", [0.1] * 48, ["G"] * 48)
    whole = path.read_text()
    path.write_text(whole[:-12])
    with pytest.raises(TruncatedFileError, match=r"line 49: .* get the file again"):
        ismn.read_sensor(path)
    path.write_text(whole.splitlines()[0])
    with pytest.raises(TruncatedFileError, match="a header but no values"):
        ismn.read_sensor(path)
    path.write_text("")
    with pytest.raises(TruncatedFileError, match="is empty"):
        ismn.read_sensor(path)
    path.write_text("<html>please log in</html>\n")
    with pytest.raises(WrongProductError, match="which is no ISMN header"):
        ismn.read_sensor(path)
    with pytest.raises(WrongProductError, match="holds no soil moisture"):
        ismn.read_sensor(tmp_path / "NET_NET_A_ts_0.05_0.05_5TM_20180701_20180801.stm")
    with pytest.raises(SourceError, match="Header"):
        ismn.read_stations(tmp_path / "nowhere")
