"""MODIS land products as HDF-EOS2 tiles: MOD11A1, MOD13A2, MCD12Q1.

Numbers are stored as integers: value = stored x scale, where stored is not the fill value, lies in its valid range, and
the quality layer allows it. MOD11A1 ``QC``: bits 0-1 00 or 01 = LST produced, bits 6-7 = error up to 1, 2, 3 K or more.
MOD13A2 pixel reliability: 0 good, 1 marginal, 2 snow, 3 cloud. Tiles lie on the sinusoidal grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.data.conus import igbp_attrs
from tssmnet.data.processing import modis_lst_good, vegetation_index_good
from tssmnet.data.readers.faults import WrongGridError, WrongProductError, reading
from tssmnet.data.readers.grids import SINUSOIDAL_TILE, on_geobox, sinusoidal_tile
from tssmnet.errors import require_known

VERSIONS = ("6", "61")
"""Collections whose layout is read here; 6.1 is the current one."""

Path_ = str | PathLike[str]
Good = Callable[[NDArray[Any]], NDArray[np.bool_]]


class Band(NamedTuple):
    """One layer: its name in the file, scale, fill, valid range of stored numbers, quality layer, attributes."""

    layer: str
    scale: float
    fill: int
    valid: tuple[int, int]
    quality: str | None
    good: Good | None
    attrs: dict[str, Any]


class Product(NamedTuple):
    """A product: pixels of a tile's edge, and its variables."""

    pixels: int
    bands: dict[str, Band]


def _lst(time: str, long_name: str) -> Band:
    attrs = {"standard_name": "surface_temperature", "long_name": long_name, "units": "K"}
    return Band(f"LST_{time}_1km", 0.02, 0, (7500, 65535), f"QC_{time}", modis_lst_good, attrs)


def _index(name: str, long_name: str) -> Band:
    layer, quality = f"1 km 16 days {name}", "1 km 16 days pixel reliability"
    return Band(
        layer, 1e-4, -3000, (-2000, 10000), quality, vegetation_index_good, {"long_name": long_name, "units": "1"}
    )


PRODUCTS = {
    "MOD11A1": Product(
        1200,
        {
            "lst_day": _lst("Day", "land surface temperature by day, clear sky"),
            "lst_night": _lst("Night", "land surface temperature by night, clear sky"),
        },
    ),
    "MOD13A2": Product(
        1200,
        {
            "ndvi": _index("NDVI", "normalized difference vegetation index"),
            "evi": _index("EVI", "enhanced vegetation index"),
        },
    ),
    "MCD12Q1": Product(2400, {"landcover": Band("LC_Type1", 1.0, 255, (1, 17), None, None, igbp_attrs())}),
}
"""Everything that differs between the products."""


def read_tile(path: Path_, product: str, good: Good | None = None) -> xr.Dataset:
    """All variables of one HDF-EOS2 tile on its sinusoidal grid.

    Parameters
    ----------
    path
        Granule, whatever its name: product, version, tile and day are read from its metadata.
    product
        Key of `PRODUCTS`; a granule of another is refused.
    good
        Quality array to mask of pixels to keep, in place of the product's own rule.

    Returns
    -------
    xarray.Dataset
        Dims (time 1, y, x), float32 with NaN, on a geobox (``odc-geo``); ``landcover`` is categorical (CF flags).

    Raises
    ------
    TruncatedFileError, WrongProductError, WrongGridError
        Naming the file, what was found, and what to do.
    """
    kind = PRODUCTS[require_known(product, PRODUCTS, "MODIS product")]
    with reading(path, "HDF4") as place:
        from pyhdf.SD import SD, SDC

        granule = SD(str(place), SDC.READ)
        try:
            core, structure = (str(granule.attributes()[k]) for k in ("CoreMetadata.0", "StructMetadata.0"))
            h, v, day = _identity(core, product, place)
            _check_geometry(structure, h, v, kind.pixels, place)
            fields = {name: _variable(granule, band, good, place) for name, band in kind.bands.items()}
        finally:
            granule.end()
    box = sinusoidal_tile(h, v, kind.pixels)
    named = {n: on_geobox(f, box, kind.bands[n].attrs | {"source_file": place.name}) for n, f in fields.items()}
    attrs = {"source": f"{product}, {place.name}", "tile": f"h{h:02d}v{v:02d}"}
    return xr.Dataset(named, attrs=attrs).expand_dims(time=[day.astype("datetime64[ns]")])


def decode(stored: NDArray[Any], band: Band, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Stored integers to values: fill, numbers outside the valid range and pixels not kept become NaN.

    >>> decode(np.array([0, 7499, 7500, 15000], np.uint16), PRODUCTS["MOD11A1"].bands["lst_day"]).tolist()
    [nan, nan, 150.0, 300.0]
    """
    whole = stored.astype(np.int64)
    ok = (whole != band.fill) & (whole >= band.valid[0]) & (whole <= band.valid[1])
    if keep is not None:
        ok &= keep
    return np.where(ok, whole * band.scale, np.nan).astype(np.float32)


def _identity(core: str, product: str, path: Path) -> tuple[int, int, np.datetime64]:
    """Tile and day of a granule whose product and version are the ones asked for."""
    name, version, granule, day = (
        _value(core, k) for k in ("SHORTNAME", "VERSIONID", "LOCALGRANULEID", "RANGEBEGINNINGDATE")
    )
    if name != product or version not in VERSIONS:
        raise WrongProductError(
            f"{path} is {name or 'of no product'} version {version or '?'}; {product} of version 006 or 061 is wanted"
        )
    tile = re.search(r"\.h(\d\d)v(\d\d)\.", granule or "")
    if not tile or not day:
        raise WrongProductError(f"{path} does not say its tile and day; get the granule again from the archive")
    return int(tile.group(1)), int(tile.group(2)), np.datetime64(day)


def _value(metadata: str, name: str) -> str | None:
    found = re.search(rf"OBJECT\s*=\s*{name}\s.*?VALUE\s*=\s*\"?([^\"\n]*?)\"?\s*\n", metadata, re.DOTALL)
    return found.group(1) if found else None


def _check_geometry(structure: str, h: int, v: int, pixels: int, path: Path) -> None:
    """The grid that the file states must be that of its tile."""
    projection = re.search(r"Projection=(\w+)", structure)
    corner = re.search(r"UpperLeftPointMtrs=\(([-\d.]+),([-\d.]+)\)", structure)
    size = re.search(r"XDim=(\d+)\s+YDim=(\d+)", structure)
    stated = (projection and projection.group(1), size and tuple(map(int, size.groups())))
    if stated != ("GCTP_SNSOID", (pixels, pixels)) or corner is None:
        raise WrongGridError(
            f"{path} is stated as {stated}; {pixels} x {pixels} sinusoidal pixels are wanted. Get the tile as the "
            "archive has it, not subset or reprojected"
        )
    expected = ((h - 18) * SINUSOIDAL_TILE, (9 - v) * SINUSOIDAL_TILE)
    if not np.allclose([float(c) for c in corner.groups()], expected, atol=1.0):
        raise WrongGridError(f"{path}: the corner {corner.groups()} is not that of tile h{h:02d}v{v:02d}, {expected}")


def _variable(granule: Any, band: Band, good: Good | None, path: Path) -> NDArray[np.float32]:
    stored, attrs = _layer(granule, band.layer, path)
    # MOD13 states its scale as a divisor (10000), the others as a factor.
    scale = float(attrs.get("scale_factor", 1.0))
    if not np.isclose(1 / scale if scale > 1 else scale, band.scale) or attrs.get("_FillValue", band.fill) != band.fill:
        raise WrongProductError(
            f"{path}: {band.layer} states scale {scale} and fill {attrs.get('_FillValue')}, known are {band.scale} and "
            f"{band.fill}; this version of the product is not read here"
        )
    rule = good or band.good
    keep = rule(_layer(granule, band.quality, path)[0]) if rule and band.quality else None
    return decode(stored, band, keep)


def _layer(granule: Any, name: str, path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    if name not in granule.datasets():
        raise WrongProductError(f"{path} has no layer {name!r}; it has {sorted(granule.datasets())}")
    layer = granule.select(name)
    return np.asarray(layer[:]), layer.attributes()
