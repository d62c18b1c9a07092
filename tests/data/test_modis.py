"""MODIS tiles: the genuine granule against pyhdf, genuine values of the other products in tiles of their layout."""

import numpy as np
import pytest
from pyhdf.SD import SD, SDC
from pyproj import Transformer

from tssmnet.data.readers import modis
from tssmnet.data.readers.faults import TruncatedFileError, WrongGridError, WrongProductError
from tssmnet.data.readers.grids import SINUSOIDAL
from tssmnet.errors import UnknownNameError

TILE = 1111950.5196666666
HDF_TYPES = {"u1": SDC.UINT8, "i1": SDC.INT8, "i2": SDC.INT16, "u2": SDC.UINT16}


def write_tile(path, product, h, v, layers, version=61, pixels=1200, corner=None):
    """A made-up granule with the metadata of an HDF-EOS2 tile; `layers` is name -> (array, attributes)."""
    x, y = corner or ((h - 18) * TILE, (9 - v) * TILE)
    name = f"{product}.A2020161.h{h:02d}v{v:02d}.{version:03d}.2020177100000.hdf"
    core = "".join(
        f"  OBJECT = {k}\n    NUM_VAL = 1\n    VALUE = {value}\n  END_OBJECT = {k}\n\n"
        for k, value in {
            "SHORTNAME": f'"{product}"',
            "VERSIONID": version,
            "LOCALGRANULEID": f'"{name}"',
            "RANGEBEGINNINGDATE": '"2020-06-09"',
        }.items()
    )
    grid = (
        f"GROUP=GridStructure\n\tXDim={pixels}\n\tYDim={pixels}\n\tUpperLeftPointMtrs=({x:.6f},{y:.6f})\n"
        f"\tLowerRightMtrs=({x + TILE:.6f},{y - TILE:.6f})\n\tProjection=GCTP_SNSOID\n"
    )
    hdf = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    hdf.attr("CoreMetadata.0").set(SDC.CHAR, core)
    hdf.attr("StructMetadata.0").set(SDC.CHAR, grid)
    for layer, (values, attrs) in layers.items():
        sds = hdf.create(layer, HDF_TYPES[values.dtype.str[1:]], values.shape)
        sds[:] = values
        if "scale_factor" in attrs:
            sds.attr("scale_factor").set(SDC.FLOAT64, attrs["scale_factor"])
        sds.attr("_FillValue").set(HDF_TYPES[values.dtype.str[1:]], attrs["_FillValue"])
        sds.endaccess()
    hdf.end()
    return path


@pytest.fixture
def granule(genuine):
    return genuine("modis-mod11a1")["modis/MOD11A1.hdf"]


@pytest.mark.mirror
def test_the_genuine_mod11a1_granule_is_read_pixel_for_pixel(granule):
    tile = modis.read_tile(granule, "MOD11A1")
    hdf = SD(str(granule))
    for name, stored, quality in (("lst_day", "LST_Day_1km", "QC_Day"), ("lst_night", "LST_Night_1km", "QC_Night")):
        numbers, flags = hdf.select(stored)[:], hdf.select(quality)[:]
        # Flags that occur where LST was produced: 0, 17 (up to 1 K), 65, 81 (up to 2 K), 129, 145 (up to 3 K).
        expected = np.where((numbers > 0) & np.isin(flags, [0, 17, 65, 81]), numbers * 0.02, np.nan)
        np.testing.assert_allclose(tile[name].values[0], expected, rtol=1e-7)
        assert tile[name].attrs["units"] == "K"
    assert int(tile.lst_day.notnull().sum()) == 251784 + 3453 + 73798 + 3580
    assert 291 < float(tile.lst_day.min()) < float(tile.lst_day.max()) < 326
    assert tile.time.values[0] == np.datetime64("2019-11-01")
    assert tile.attrs["tile"] == "h14v09"


@pytest.mark.mirror
def test_another_quality_rule_keeps_other_pixels(granule):
    everything = modis.read_tile(granule, "MOD11A1", good=lambda qc: np.ones(qc.shape, bool))
    stored = SD(str(granule)).select("LST_Day_1km")[:]
    assert int(everything.lst_day.notnull().sum()) == int((stored > 0).sum())


@pytest.mark.mirror
def test_pixels_lie_where_the_granule_says(granule):
    tile = modis.read_tile(granule, "MOD11A1")
    size = TILE / 1200
    assert tile.x.values[0] == pytest.approx(-4447802.079066 + size / 2, abs=0.01)
    assert tile.y.values[-1] == pytest.approx(-1111950.519767 + size / 2, abs=0.01)
    lon, lat = Transformer.from_crs(SINUSOIDAL, "EPSG:4326", always_xy=True).transform(-4447802.079066, -1e-6)
    assert (lon, lat) == pytest.approx((-40.0, 0.0), abs=1e-3)


@pytest.mark.mirror
def test_broken_and_foreign_granules_are_refused_with_the_remedy(granule, genuine, tmp_path):
    cut = tmp_path / "cut.hdf"
    cut.write_bytes(granule.read_bytes()[:100_000])
    with pytest.raises(TruncatedFileError, match=r"cut\.hdf \(100000 bytes\).*get it again"):
        modis.read_tile(cut, "MOD11A1")
    with pytest.raises(WrongProductError, match="is MOD11A1 version 6; MOD13A2"):
        modis.read_tile(granule, "MOD13A2")
    other = next(iter(genuine("modis-mod11b2").values()))
    with pytest.raises(WrongProductError, match="is MOD11B2"):
        modis.read_tile(other, "MOD11A1")
    with pytest.raises(UnknownNameError, match="did you mean 'MOD11A1'"):
        modis.read_tile(granule, "MOD11A")


def lst_layers(pixels=1200):
    lst = np.full((pixels, pixels), 15000, "u2")
    qc = np.zeros((pixels, pixels), "u1")
    return {
        f"{kind}_{time}{end}": (array, {"_FillValue": 0, "scale_factor": 0.02} if kind == "LST" else {"_FillValue": 0})
        for time in ("Day", "Night")
        for kind, end, array in (("LST", "_1km", lst), ("QC", "", qc))
    }


def test_wrong_version_shape_corner_and_scale_are_refused(tmp_path):
    path = tmp_path / "t.hdf"
    with pytest.raises(WrongProductError, match="version 5; MOD11A1 of version 006 or 061"):
        modis.read_tile(write_tile(path, "MOD11A1", 26, 5, lst_layers(), version=5), "MOD11A1")
    with pytest.raises(WrongGridError, match=r"\(600, 600\).*not subset or reprojected"):
        modis.read_tile(write_tile(path, "MOD11A1", 26, 5, lst_layers(600), pixels=600), "MOD11A1")
    with pytest.raises(WrongGridError, match="is not that of tile h26v05"):
        modis.read_tile(write_tile(path, "MOD11A1", 26, 5, lst_layers(), corner=(0.0, 0.0)), "MOD11A1")
    layers = lst_layers()
    layers["LST_Day_1km"][1]["scale_factor"] = 0.1
    with pytest.raises(WrongProductError, match=r"states scale 0\.1"):
        modis.read_tile(write_tile(path, "MOD11A1", 26, 5, layers), "MOD11A1")
    layers = lst_layers()
    del layers["QC_Day"]
    with pytest.raises(WrongProductError, match="has no layer 'QC_Day'"):
        modis.read_tile(write_tile(path, "MOD11A1", 26, 5, layers), "MOD11A1")
    assert modis.read_tile(write_tile(path, "MOD11A1", 26, 5, lst_layers()), "MOD11A1").lst_day.values.mean() == 300


@pytest.mark.filterwarnings("ignore:Missing constructor")
@pytest.mark.mirror
def test_genuine_vegetation_indices_of_changbaishan_come_back_scaled_and_screened(genuine, tmp_path):
    import rdata

    table = rdata.read_rda(next(iter(genuine("modis-mod13a1").values())))["MOD13A1"]
    rows = next(v for k, v in table.items() if str(k) == "dt")
    site = rows[rows["site"] == "CN-Cha"].dropna(subset=["NDVI", "EVI", "SummaryQA"])
    ndvi, evi, reliability = (site[c].to_numpy(int) for c in ("NDVI", "EVI", "SummaryQA"))
    n = len(site)
    assert n > 300
    layers = {}
    for name, column in (("NDVI", ndvi), ("EVI", evi)):
        values = np.full((1200, 1200), -3000, "i2")
        values.flat[:n] = column
        layers[f"1 km 16 days {name}"] = (values, {"_FillValue": -3000, "scale_factor": 10000.0})
    quality = np.full((1200, 1200), -1, "i1")
    quality.flat[:n] = reliability
    layers["1 km 16 days pixel reliability"] = (quality, {"_FillValue": -1})
    tile = modis.read_tile(write_tile(tmp_path / "vi.hdf", "MOD13A2", 27, 4, layers), "MOD13A2")
    for name, column in (("ndvi", ndvi), ("evi", evi)):
        got = tile[name].values[0].ravel()
        expected = [c / 10000 if q in (0, 1) else np.nan for c, q in zip(column, reliability, strict=True)]
        np.testing.assert_allclose(got[:n], expected, rtol=1e-6)
        assert np.isnan(got[n:]).all()
    assert float(tile.ndvi.max()) <= 1.0


@pytest.mark.mirror
def test_genuine_land_cover_of_arcachon_lies_at_its_place_in_the_tile(genuine, tmp_path):
    import rdata

    table = rdata.read_rda(next(iter(genuine("modis-mcd12q1").values())))["arcachon_lc"]
    patch = table["value"].to_numpy(int).reshape(81, 81)
    cell = float(table["cellsize"].iloc[0])
    assert cell == pytest.approx(TILE / 2400, abs=1e-3)
    left, bottom = float(table["xllcorner"].iloc[0]), float(table["yllcorner"].iloc[0])
    column = round((left - (17 - 18) * TILE) / cell)
    row = round(((9 - 4) * TILE - bottom) / cell) - 81
    values = np.full((2400, 2400), 255, "u1")
    values[row : row + 81, column : column + 81] = patch
    layers = {"LC_Type1": (values, {"_FillValue": 255})}
    tile = modis.read_tile(write_tile(tmp_path / "lc.hdf", "MCD12Q1", 17, 4, layers, pixels=2400), "MCD12Q1")
    x, y = Transformer.from_crs("EPSG:4326", SINUSOIDAL, always_xy=True).transform(-1.174748, 44.656286)
    centre = tile.landcover.sel(x=x, y=y, method="nearest")
    assert max(abs(float(centre.x) - x), abs(float(centre.y) - y)) <= cell / 2
    assert int(centre.item()) == patch[40, 40]
    assert int(tile.landcover.notnull().sum()) == 81 * 81
    assert set(tile.landcover.attrs) >= {"flag_values", "flag_meanings"}
