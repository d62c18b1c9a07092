"""Made-up granules in the genuine layouts of the china profile over small windows, with room for genuine pieces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import rasterio
import xarray as xr
from pyhdf.SD import SD, SDC
from pyproj import Transformer

from tssmnet.data.readers.grids import EASE_SHAPE, SINUSOIDAL, ease_centres, ease_geobox, ease_window, sinusoidal_tile


@dataclass(frozen=True)
class Place:
    """A window (west, south, east, north), the MODIS tiles that it touches, and the first day of its record."""

    box: tuple[float, float, float, float]
    tiles: tuple[tuple[int, int], ...]
    first: str

    @property
    def degrees(self) -> list[tuple[int, int]]:
        """South-west corners (lat, lon) of the tiles of one degree that it touches, and of those west and south."""
        west, south, east, north = (int(np.floor(b)) for b in self.box)
        return [(lat, lon) for lat in range(south - 1, north + 1) for lon in range(west - 1, east + 1)]


SEAM = Place((96.6, 34.1, 97.4, 34.8), ((25, 5), (26, 5)), "2020-05-01")
"""9 x 8 cells of 9 km on the seam of two MODIS tiles; nothing genuine is to be had there."""
TILE = 1111950.5196666666
HDF_TYPES = {"u1": SDC.UINT8, "i1": SDC.INT8, "i2": SDC.INT16, "u2": SDC.UINT16}


def days(count: int, place: Place = SEAM) -> np.ndarray:
    return np.arange(np.datetime64(place.first), np.datetime64(place.first) + count)


def wetness(day: np.datetime64) -> float:
    """A made-up season with showers that dry out, so that neighbouring days say something of each other."""
    number = int((day - np.datetime64(SEAM.first)).astype(int))
    return 0.2 + 0.05 * np.sin(number / 20) + 0.12 * np.exp(-(number % 9) / 4)


# ---------------------------------------------------------------------------------------------------------------- SMAP


def smap_name(day: np.datetime64) -> str:
    return f"SMAP_L3_SM_P_E_{str(day).replace('-', '')}_R19240_001.h5"


def write_smap(folder: Path, day: np.datetime64, place: Place = SEAM) -> Path:
    """A granule of made-up values with both overpasses."""
    rng = np.random.default_rng(int(day.astype(int)))
    rows, columns = ease_window(place.box)
    window = slice(rows.start - 2, rows.stop + 2), slice(columns.start - 2, columns.stop + 2)
    row, column = np.mgrid[window]
    field = wetness(day) + 0.004 * (row - rows.start) + 0.003 * (column - columns.start)
    overpasses = {}
    for name, share in (("AM", 0.45), ("PM", 0.25)):
        seen = rng.random(field.shape) < share
        flag = np.where(seen, rng.choice(np.array([0, 0, 0, 1, 8]), field.shape), 65534)
        noisy = np.clip(field + rng.normal(0, 0.01, field.shape), 0.02, 0.5)
        overpasses[name] = np.where(seen, noisy, -9999.0), flag
    return write_granule(folder, day, window, overpasses)


def write_granule(folder: Path, day: np.datetime64, window: tuple[slice, slice], overpasses: dict) -> Path:
    """A whole-grid granule; `overpasses` has soil moisture and quality flag of the cells of the window."""
    shape = tuple(s.stop - s.start for s in window)
    lat, lon = ease_centres(ease_geobox())
    row, column = np.mgrid[window]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / smap_name(day)
    with h5py.File(path, "w") as f:
        for overpass, end in (("AM", ""), ("PM", "_pm")):
            group = f.create_group(f"Soil_Moisture_Retrieval_Data_{overpass}")
            values, flag = overpasses[overpass]
            for name, content, kind, fill in (
                ("soil_moisture", values, "f4", -9999.0),
                ("retrieval_qual_flag", flag, "u2", 65534),
                ("latitude", np.broadcast_to(lat[window[0], None], shape), "f4", -9999.0),
                ("longitude", np.broadcast_to(lon[window[1]], shape), "f4", -9999.0),
                ("EASE_row_index", row, "u2", 65534),
                ("EASE_column_index", column, "u2", 65534),
            ):
                array = group.create_dataset(name + end, EASE_SHAPE[9], kind, fillvalue=fill, chunks=(203, 241))
                array[window] = content
    return path


# --------------------------------------------------------------------------------------------------------------- MODIS


def modis_name(product: str, day: np.datetime64, h: int, v: int) -> str:
    stamp = datetime.fromisoformat(str(day)).strftime("%Y%j")
    return f"{product}.A{stamp}.h{h:02d}v{v:02d}.061.{int(stamp) + 10}120000.hdf"


def write_tile(path: Path, product: str, day: np.datetime64, h: int, v: int, layers: dict, pixels: int = 1200) -> Path:
    """A granule with the metadata of an HDF-EOS2 tile; `layers` is name -> (array, attributes)."""
    x, y = (h - 18) * TILE, (9 - v) * TILE
    core = "".join(
        f"  OBJECT = {k}\n    NUM_VAL = 1\n    VALUE = {value}\n  END_OBJECT = {k}\n\n"
        for k, value in {
            "SHORTNAME": f'"{product}"',
            "VERSIONID": 61,
            "LOCALGRANULEID": f'"{path.name}"',
            "RANGEBEGINNINGDATE": f'"{day}"',
        }.items()
    )
    grid = (
        f"GROUP=GridStructure\n\tXDim={pixels}\n\tYDim={pixels}\n\tUpperLeftPointMtrs=({x:.6f},{y:.6f})\n"
        f"\tLowerRightMtrs=({x + TILE:.6f},{y - TILE:.6f})\n\tProjection=GCTP_SNSOID\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    hdf = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    hdf.attr("CoreMetadata.0").set(SDC.CHAR, core)
    hdf.attr("StructMetadata.0").set(SDC.CHAR, grid)
    for layer, (values, attrs) in layers.items():
        kind = HDF_TYPES[values.dtype.str[1:]]
        sds = hdf.create(layer, kind, values.shape)
        sds.setcompress(SDC.COMP_DEFLATE, 1)
        sds[:] = values
        if "scale_factor" in attrs:
            sds.attr("scale_factor").set(SDC.FLOAT64, attrs["scale_factor"])
        sds.attr("_FillValue").set(kind, attrs["_FillValue"])
        sds.endaccess()
    hdf.end()
    return path


def pixels_of(h: int, v: int, pixels: int, box: tuple, rim: float = 0.15) -> tuple[slice, slice]:
    """Rows and columns of a tile that cover the window and a rim around it."""
    west, south, east, north = box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim
    to_tile = Transformer.from_crs("EPSG:4326", SINUSOIDAL, always_xy=True)
    x, y = to_tile.transform([west, west, east, east], [south, north, south, north])
    inverse = ~sinusoidal_tile(h, v, pixels).affine
    columns, rows = zip(*[inverse @ (a, b) for a, b in zip(x, y, strict=True)], strict=True)

    def cut(values: tuple) -> slice:
        low, high = (int(np.clip(f, 0, pixels)) for f in (np.floor(min(values)), np.ceil(max(values))))
        return slice(low, max(high, low))

    return cut(rows), cut(columns)


def placed(place: Place, tile: tuple[int, int], pixels: int, kind: str, fill: int, inside: object) -> np.ndarray:
    """A tile of fill values with content at the window; `inside` is a number or a call of the shape."""
    values = np.full((pixels, pixels), fill, kind)
    window = pixels_of(*tile, pixels, place.box)
    shape = values[window].shape
    values[window] = inside(shape) if callable(inside) else inside
    return values


def write_lst(folder: Path, day: np.datetime64, place: Place = SEAM) -> list[Path]:
    paths = []
    for h, v in place.tiles:
        rng = np.random.default_rng(int(day.astype(int)) * 100 + h)
        warm = 285 + 8 * np.sin(int((day - np.datetime64(SEAM.first)).astype(int)) / 30) - 30 * (wetness(day) - 0.2)

        def stored(shape: tuple, warm: float = warm, rng: np.random.Generator = rng) -> np.ndarray:
            values = np.round((warm + rng.normal(0, 2, shape)) / 0.02)
            return np.where(rng.random(shape) < 0.3, 0, values).astype("u2")  # under cloud

        layers = {}
        for time in ("Day", "Night"):
            lst = placed(place, (h, v), 1200, "u2", 0, stored)
            layers[f"LST_{time}_1km"] = (lst, {"_FillValue": 0, "scale_factor": 0.02})
            layers[f"QC_{time}"] = (np.where(lst > 0, 0, 2).astype("u1"), {"_FillValue": 0})
        paths.append(write_tile(folder / modis_name("MOD11A1", day, h, v), "MOD11A1", day, h, v, layers))
    return paths


def write_vegetation(folder: Path, day: np.datetime64, place: Place = SEAM) -> list[Path]:
    paths = []
    for h, v in place.tiles:
        rng = np.random.default_rng(int(day.astype(int)) * 100 + h)
        layers = {}
        for name, level in (("NDVI", 3500), ("EVI", 2200)):

            def stored(s: tuple, level: int = level, rng: np.random.Generator = rng) -> np.ndarray:
                greener = np.linspace(0.3, 1.7, s[0])[:, None]  # southwards, so that TVDI has its triangle
                return (level * greener + rng.normal(0, 300, s)).astype("i2")

            values = placed(place, (h, v), 1200, "i2", -3000, stored)
            layers[f"1 km 16 days {name}"] = (values, {"_FillValue": -3000, "scale_factor": 10000.0})
        quality = placed(
            place, (h, v), 1200, "i1", -1, lambda s, rng=rng: rng.choice(np.array([0, 0, 0, 1, 3], "i1"), s)
        )
        layers["1 km 16 days pixel reliability"] = (quality, {"_FillValue": -1})
        paths.append(write_tile(folder / modis_name("MOD13A2", day, h, v), "MOD13A2", day, h, v, layers))
    return paths


def write_landcover(folder: Path, place: Place = SEAM) -> list[Path]:
    year = int(place.first[:4])
    day = np.datetime64(f"{year}-01-01")
    paths = []
    for h, v in place.tiles:
        rng = np.random.default_rng(year * 100 + h)
        values = placed(
            place, (h, v), 2400, "u1", 255, lambda s, rng=rng: rng.choice(np.array([10, 10, 10, 12, 16], "u1"), s)
        )
        layers = {"LC_Type1": (values, {"_FillValue": 255})}
        paths.append(write_tile(folder / modis_name("MCD12Q1", day, h, v), "MCD12Q1", day, h, v, layers, 2400))
    return paths


def composite_days(first: str, last: str) -> list[np.datetime64]:
    """First days of the 16-day composites that begin in a period: the 1st, 17th, ... day of the year."""
    found = []
    for year in range(int(first[:4]), int(last[:4]) + 1):
        start = datetime(year, 1, 1)
        found += [np.datetime64((start + timedelta(days=16 * i)).date()) for i in range(23)]
    return [d for d in found if np.datetime64(first) <= d <= np.datetime64(last)]


# ------------------------------------------------------------------------------------------------------------- rasters


def write_raster(path: Path, west: int, north: int, size: int, values: np.ndarray, nodata: float) -> Path:
    """A tiled GeoTIFF in degrees, as cloud-optimised ones are laid out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "crs": "EPSG:4326", "tiled": True}
    profile |= {"blockxsize": 128, "blockysize": 128, "compress": "deflate", "dtype": values.dtype.name}
    transform = rasterio.transform.from_origin(west, north, size / width, size / height)
    with rasterio.open(path, "w", transform=transform, nodata=nodata, **profile) as f:
        f.write(values, 1)
    return path


def dem_name(lat: int, lon: int) -> str:
    north, east = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
    return f"Copernicus_DSM_COG_10_{north}{abs(lat):02d}_00_{east}{abs(lon):03d}_00_DEM"


def write_dem(folder: Path, lat: int, lon: int, pixels: int = 240) -> Path:
    """A tile of one degree, south-west corner at (lat, lon): a slope with hills, metres."""
    y, x = np.mgrid[0:pixels, 0:pixels] / pixels
    height = 3500 + 400 * (lon - 96 + x) + 300 * np.sin(6 * (lat - y)) + 200 * np.cos(9 * x)
    return write_raster(folder / f"{dem_name(lat, lon)}.tif", lon, lat + 1, 1, height.astype("f4"), -32767)


SOIL_LAYERS = {
    "openlandmap-clay": ("sol_clay.wfraction_usda.3a1a1a_m_250m_b0..0cm_1950..2017_v0.2.tif", (5, 45), False),
    "openlandmap-sand": ("sol_sand.wfraction_usda.3a1a1a_m_250m_b0..0cm_1950..2017_v0.2.tif", (20, 70), False),
    "openlandmap-bulk-density": ("sol_bulkdens.fineearth_usda.4a1h_m_250m_b0..0cm_1950..2017_v0.2.tif", (90, 150), 0),
    "openlandmap-organic-carbon": ("sol_organic.carbon_usda.6a1c_m_250m_b0..0cm_1950..2017_v0.2.tif", (1, 20), False),
    "openlandmap-texture-class": ("sol_texture.class_usda.tt_m_250m_b0..0cm_1950..2017_v0.2.tif", (1, 13), True),
    "openlandmap-soil-class": ("sol_grtgroup_usda.soiltax_c_250m_s0..0cm_1950..2017_v0.1.tif", (1, 60), True),
}


def write_soil(folder: Path, name: str, place: Place = SEAM, size: int = 4) -> Path:
    """A soil layer of 4 x 4 degrees about the window in blocks of constant value."""
    west, north = int(np.floor(place.box[0])) - 1, int(np.ceil(place.box[3])) + 2
    file, (low, high), _ = SOIL_LAYERS[name]
    rng = np.random.default_rng(len(name))
    blocks = rng.integers(low, high, (size * 20, size * 20)).astype("u1")
    return write_raster(folder / file, west, north, size, np.kron(blocks, np.ones((6, 6), "u1")), 255)


# ----------------------------------------------------------------------------------------------- references, stations


def write_cci(folder: Path, day: np.datetime64, place: Place = SEAM) -> Path:
    """A global image in the layout of ESA CCI SM COMBINED; only cells around the window hold values."""
    stamp = str(day).replace("-", "")
    path = folder / str(day)[:4] / f"ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-{stamp}000000-fv09.1.nc"
    path.parent.mkdir(parents=True, exist_ok=True)
    lat, lon = 89.875 - 0.25 * np.arange(720), -179.875 + 0.25 * np.arange(1440)
    sm = np.full((1, 720, 1440), -9999.0, "f4")
    west, south, east, north = place.box
    near = np.ix_([0], np.abs(lat - (south + north) / 2) < 1, np.abs(lon - (west + east) / 2) < 1)
    sm[near] = wetness(day)
    flag = np.where(sm < 0, 127, 0).astype("i1")
    dims = ("time", "lat", "lon")
    image = xr.Dataset(
        {
            "sm": (dims, sm),
            "sm_uncertainty": (dims, np.where(sm < 0, -9999.0, 0.03).astype("f4")),
            "flag": (dims, flag),
        },
        {"time": [int((day - np.datetime64("1970-01-01")).astype(int))], "lat": lat, "lon": lon},
        {"title": "ESA CCI Surface Soil Moisture COMBINED active+passive Product", "product_version": "09.1"},
    )
    image.time.attrs = {"units": "days since 1970-01-01 00:00:00 UTC"}
    encoding = {n: {"zlib": True, "chunksizes": (1, 180, 360)} for n in image}
    image.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def write_station(folder: Path, network: str, station: str, lat: float, lon: float, period: np.ndarray) -> Path:
    """Hourly values at 5 cm in the layout "header + values"."""
    name = f"{network}_{network}_{station}_sm_0.050000_0.050000_5TM_20200501_20201231.stm"
    path = folder / network / station / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{network} {network} {station} {lat:.5f} {lon:.5f} 4500.00 0.0500 0.0500 5TM"]
    for day in period:
        for hour in range(0, 24, 2):
            value = wetness(day) + 0.01 * np.sin(hour)
            lines.append(f"{str(day).replace('-', '/')} {hour:02d}:00 {value:.4f} G M")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_archive(folder: Path, count: int, place: Place = SEAM, lst_every: int = 4) -> Path:
    """Everything of the profile for `count` days."""
    period = days(count, place)
    write_days(folder, period, place, lst_every)
    write_landcover(folder / "modis-landcover", place)
    for lat, lon in place.degrees:
        write_dem(folder / "copernicus-dem", lat, lon)
    for name in SOIL_LAYERS:
        write_soil(folder / name, name, place)
    west, south, east, north = place.box
    write_station(folder / "ismn-naqu", "NAQU", "Made-up-1", (south + north) / 2, (west + east) / 2, period)
    for day in period[:3]:
        write_cci(folder / "esa-cci-sm", day, place)
    return folder


def write_days(folder: Path, period: np.ndarray, place: Place = SEAM, lst_every: int = 4) -> None:
    """What changes with time: SMAP daily, land surface temperature now and then, 16-day composites."""
    for day in period:
        write_smap(folder / "smap-l3-enhanced", day, place)
        if int(day.astype(int)) % lst_every == 0:
            write_lst(folder / "modis-lst", day, place)
    for day in composite_days(str(period[0] - 15), str(period[-1])):
        write_vegetation(folder / "modis-vegetation", day, place)


# ------------------------------------------------------------------------------------------------------ genuine pieces

MAQU = Place((101.8, 33.5, 102.5, 34.2), ((26, 5),), "2010-05-01")
"""About the two stations of the Maqu network of which a record is there."""
SINDH = Place((68.0, 25.4, 68.8, 26.1), ((24, 6),), "2020-01-01")
"""Where values of SPL3SMP_E are there for seven days."""
CEARA = Place((-39.5, -5.3, -38.8, -4.7), ((14, 9),), "2019-10-28")
"""In the tile of the one MOD11A1 granule, of 1 November 2019."""
QINGHAI = Place(SEAM.box, SEAM.tiles, "2016-06-04")
"""With the two days of ESA CCI soil moisture, 7 and 8 June 2016, in its record."""


def lay_smap(folder: Path, files: dict[str, Path]) -> None:
    """Put genuine values of SPL3SMP_E, lists of cells with the morning before the evening, into granules."""
    to_metres = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
    cells = ease_geobox().affine
    for path in sorted(p for p in files.values() if "_smap_" in p.name):
        with xr.open_dataset(path, engine="h5netcdf") as d:
            x, y = to_metres.transform(d.longitude.values, d.latitude.values)
            values = d.soil_moisture.values
        column, row = (np.floor(v).astype(int) for v in ~cells @ (x, y))
        number = row * EASE_SHAPE[9][1] + column
        evening = np.cumsum(np.diff(number, prepend=-1) < 0)  # the cells start anew with it
        window = slice(row.min(), row.max() + 1), slice(column.min(), column.max() + 1)
        overpasses = {}
        for k, name in enumerate(("AM", "PM")):
            grid = np.full((window[0].stop - window[0].start, window[1].stop - window[1].start), -9999.0)
            own = evening == k
            grid[row[own] - window[0].start, column[own] - window[1].start] = values[own]
            overpasses[name] = grid, np.where(grid < 0, 65534, 0)
        write_granule(folder, np.datetime64(path.stem[-10:]), window, overpasses)
