"""SMAP readers against the genuine structure, grid and values, each read a second time in the plainest way."""

import re
import xml.etree.ElementTree as ET

import h5py
import numpy as np
import pytest

from tssmnet.data.readers import smap
from tssmnet.data.readers.faults import (
    OffWindowError,
    SourceError,
    TruncatedFileError,
    WrongGridError,
    WrongProductError,
)
from tssmnet.data.readers.grids import EASE_SHAPE, ease_cells, ease_centres, ease_geobox, ease_window
from tssmnet.errors import UnknownNameError

BOX = (100.0, 34.0, 102.0, 36.0)
NUMPY = {"Float32": "f4", "Float64": "f8", "UInt16": "u2", "UInt32": "u4", "UInt8": "u1", "Byte": "u1", "Int32": "i4"}
DAP = "{http://xml.opendap.org/ns/DAP/4.0#}"


def write_granule(path, dmr, cell_km=36, suffix=True, seed=0):
    """A made-up day with every group and data set of the genuine granule that the DMR describes, 36 or 9 km cells."""
    rng = np.random.default_rng(seed)
    root = ET.parse(dmr).getroot()
    with h5py.File(path, "w") as f:
        for overpass in ("AM", "PM"):
            tag = next(
                g for g in root.iter(f"{DAP}Group") if g.get("name") == f"Soil_Moisture_Retrieval_Data_{overpass}"
            )
            group = f.create_group(tag.get("name"))
            for var in tag:
                kind = var.tag.removeprefix(DAP)
                if kind in NUMPY:
                    fill = var.find(f"{DAP}Attribute[@name='_FillValue']/{DAP}Value")
                    shape = EASE_SHAPE[cell_km] + ((3,) if len(var.findall(f"{DAP}Dim")) == 3 else ())
                    name = var.get("name") if suffix else var.get("name").removesuffix("_pm")
                    value = None if fill is None else float(fill.text)
                    group.create_dataset(name, shape, NUMPY[kind], fillvalue=value, chunks=(203, 241, *shape[2:]))
            fill_box(group, "_pm" if overpass == "PM" and suffix else "", cell_km, rng)
    return path


def fill_box(group, end, cell_km, rng):
    """Random retrievals, flags and missing values in the test's box."""
    rows, columns = ease_window(BOX, cell_km)
    lat, lon = ease_centres(ease_geobox(cell_km))
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    flag = rng.choice(np.array([0, 1, 5, 7, 8, 9, 15, 65534], "u2"), shape)
    values = rng.uniform(0.02, 0.5, shape).astype("f4")
    values.flat[:2] = np.float32(0.02), np.float32(0.5)
    values[(flag == 65534) | (flag & 4 > 0)] = -9999
    row, column = np.mgrid[rows, columns]
    for name, v in {
        "soil_moisture": values,
        "retrieval_qual_flag": flag,
        "latitude": np.broadcast_to(lat[rows, None], shape),
        "longitude": np.broadcast_to(lon[columns], shape),
        "EASE_row_index": row,
        "EASE_column_index": column,
    }.items():
        group[name + end][rows, columns] = v


@pytest.fixture(scope="module")
def dmr(genuine):
    return genuine("smap-l3-structure")["smap-l3-v8-structure/SC_SPL3SMP_008.dmr"]


@pytest.fixture(scope="module", params=[36, 9])
def granule(request, dmr, tmp_path_factory):
    kind = "_E" if request.param == 9 else ""
    path = tmp_path_factory.mktemp("smap") / f"SMAP_L3_SM_P{kind}_20200601_R19240_001.h5"
    return write_granule(path, dmr, request.param), request.param


def plain(path, overpass, good):
    """Cell by cell, without the reader: value where the flag is good and the value is no fill."""
    end = "" if overpass == "AM" else "_pm"
    with h5py.File(path) as f:
        group = f[f"Soil_Moisture_Retrieval_Data_{overpass}"]
        values, flags = group["soil_moisture" + end][...], group["retrieval_qual_flag" + end][...]
    out = {}
    for row, column in zip(*np.nonzero(values != -9999), strict=True):
        if good(int(flags[row, column])):
            out[int(row), int(column)] = float(values[row, column])
    return out


def as_cells(field, cell_km):
    rows, columns = ease_window(BOX, cell_km)
    values = field.values[0]
    return {
        (int(r) + rows.start, int(c) + columns.start): float(values[r, c])
        for r, c in zip(*np.nonzero(~np.isnan(values)), strict=True)
    }


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("quality", "good"), [("recommended", lambda f: f % 2 == 0), ("retrieved", lambda f: not f & 2 and not f & 4)]
)
def test_every_good_cell_and_no_other_is_read_with_its_value_at_its_place(granule, quality, good):
    path, cell_km = granule
    day = smap.read_granule(path, BOX, quality)
    for name, overpass in (("ssm_am", "AM"), ("ssm_pm", "PM")):
        expected = plain(path, overpass, lambda f: f != 65534 and good(f))
        assert as_cells(day[name], cell_km) == expected
        assert len(expected) > 5
    assert day.time.values[0] == np.datetime64("2020-06-01")


@pytest.mark.mirror
def test_the_day_is_the_mean_of_the_overpasses_that_saw_the_cell(granule):
    day = smap.read_granule(granule[0], BOX)
    am, pm = day.ssm_am.values, day.ssm_pm.values
    both = np.where(np.isnan(am), pm, np.where(np.isnan(pm), am, (am.astype(float) + pm) / 2))
    np.testing.assert_allclose(day.ssm.values, both, rtol=1e-6)
    assert day.attrs["overpasses"] == "mean"
    morning = smap.read_granule(granule[0], BOX, merge="am")
    np.testing.assert_array_equal(morning.ssm, day.ssm_am)
    with pytest.raises(UnknownNameError, match="did you mean 'mean'"):
        smap.read_granule(granule[0], BOX, merge="men")


@pytest.mark.mirror
def test_coordinates_are_the_centres_of_the_grid(granule):
    path, cell_km = granule
    day = smap.read_granule(path, BOX)
    row, column = ease_cells(day.lat.values, day.lon.values, cell_km)
    rows, columns = ease_window(BOX, cell_km)
    assert (row[:, 0] == np.arange(rows.start, rows.stop)).all()
    assert (column[0] == np.arange(columns.start, columns.stop)).all()
    assert day.x.values[1] - day.x.values[0] == pytest.approx(cell_km / 9 * 9008.055210146)


@pytest.mark.mirror
def test_a_cut_with_row_and_column_indices_gives_the_same_cells_as_the_whole_granule(granule, tmp_path):
    path, cell_km = granule
    cut = tmp_path / path.name
    rows, columns = ease_window((99.0, 33.0, 103.0, 37.0), cell_km)
    with h5py.File(path) as whole, h5py.File(cut, "w") as part:
        for group in ("Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM"):
            for name, v in whole[group].items():
                if re.match("soil_moisture(_pm)?$|retrieval_qual_flag(_pm)?$|EASE_", name):
                    part.create_dataset(f"{group}/{name}", data=v[rows, columns])
    np.testing.assert_array_equal(smap.read_granule(cut, BOX).ssm, smap.read_granule(path, BOX).ssm)
    with pytest.raises(OffWindowError, match="get the right cut"):
        smap.read_granule(cut, (80.0, 40.0, 82.0, 42.0))


@pytest.mark.mirror
def test_names_without_the_pm_suffix_are_read_too(dmr, tmp_path):
    path = write_granule(tmp_path / "SMAP_L3_SM_P_20200601_R19240_001.h5", dmr, suffix=False)
    assert int(smap.read_granule(path, BOX).ssm_pm.notnull().sum()) > 5


@pytest.mark.mirror
def test_broken_old_shifted_and_renamed_granules_are_refused_with_the_remedy(dmr, tmp_path):
    path = write_granule(tmp_path / "SMAP_L3_SM_P_20200601_R19240_001.h5", dmr)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(TruncatedFileError, match=rf"{path.name} .*remove it and get it again"):
        smap.read_granule(path, BOX)
    with h5py.File(path, "w") as f:
        f.create_group("Soil_Moisture_Retrieval_Data")
    with pytest.raises(WrongProductError, match=r"before 4.*SPL3SMP_E version 4 or later"):
        smap.read_granule(path, BOX)
    with h5py.File(path, "w") as f:
        for g in ("AM", "PM"):
            f.create_dataset(f"Soil_Moisture_Retrieval_Data_{g}/soil_moisture", (721, 1440), "f4")
    with pytest.raises(WrongGridError, match=r"\(721, 1440\)"):
        smap.read_granule(path, BOX)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as f:
        f["Soil_Moisture_Retrieval_Data_AM/latitude"][...] += 0.2
    with pytest.raises(WrongGridError, match="no centres of EASE-Grid"):
        smap.read_granule(path, BOX)
    with pytest.raises(WrongProductError, match="give it its original name back"):
        smap.read_granule(path.rename(tmp_path / "june.h5"), BOX)
    with pytest.raises(SourceError, match="is not there"):
        smap.read_granule(tmp_path / "SMAP_L3_SM_P_20200602_R19240_001.h5", BOX)


@pytest.mark.mirror
def test_genuine_version_9_coordinates_lie_on_the_36_km_grid(genuine):
    path = genuine("smap-l3-structure")["smap-l3-v8-structure/SC_SPL3SMP_009_prefetch.nc4"]
    with h5py.File(path) as f:
        lat = f["Soil_Moisture_Retrieval_Data_PM/latitude_pm"][...]
        lon = f["Soil_Moisture_Retrieval_Data_PM/longitude_pm"][...]
    seen = lat > -9000
    assert 10_000 < seen.sum() < lat.size
    rows, columns = np.nonzero(seen)
    row, column = ease_cells(lat[seen], lon[seen], 36)
    assert (row == rows).all()
    assert (column == columns).all()


@pytest.mark.mirror
def test_the_genuine_version_9_series_of_hawaii_keep_day_overpass_and_flag(genuine):
    path = genuine("hawaii-smap")["hawaii-timeseries/SMAP_V9_AM_PM/0165.nc"]
    with h5py.File(path) as f:
        pixel, overpass, seconds = (f[n][...] for n in ("locationIndex", "Overpass", "time"))
        value, flag = f["soil_moisture"][...], f["retrieval_qual_flag"][...]
    days = (np.datetime64("2000-01-01T12:00") + (seconds * 1e3).astype("timedelta64[ms]")).astype("datetime64[D]")
    retrieved = (value != -9999) & (flag & 6 == 0)
    series = smap.read_series(path, quality="retrieved")
    assert dict(series.sizes) == {"time": int((days.max() - days.min()).astype(int)) + 1, "pixel": 8}
    assert int(series.ssm_am.notnull().sum() + series.ssm_pm.notnull().sum()) == int(retrieved.sum())
    assert int(smap.read_series(path).ssm_am.notnull().sum()) == int(
        ((flag & 1 == 0) & (value != -9999) & (overpass == 1)).sum()
    )
    for i in np.random.default_rng(1).choice(np.flatnonzero(retrieved), 200):
        here = series.sel(time=days[i], pixel=pixel[i])
        assert (here.ssm_am if overpass[i] == 1 else here.ssm_pm).item() == value[i]
    ease_cells(series.lat, series.lon, 36)
