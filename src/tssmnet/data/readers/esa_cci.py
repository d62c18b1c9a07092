"""ESA CCI and C3S soil moisture: daily or monthly global images of 0.25 degree, and series of the gap-filled product.

Missing soil moisture is -9999, a missing flag 127. Flag bits: 1 snow or frozen, 2 dense vegetation, 4 no convergence, 8
out of physical range, 16 weight below threshold; higher bits are advice (barren ground) and refuse nothing by default.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tssmnet.data.readers.faults import OffWindowError, WrongGridError, WrongProductError, reading_netcdf
from tssmnet.data.readers.grids import CHINA, Bounds, on_geobox

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

FLAG_FILL = 127
LAYERS = ("sm", "sm_uncertainty", "flag", "nobs")
REFUSED = 1 | 2 | 4 | 8 | 16
CELL = 0.25
Path_ = str | PathLike[str]

_SSM = {
    "standard_name": "volume_fraction_of_condensed_water_in_soil",
    "long_name": "surface soil moisture",
    "units": "m3 m-3",
    "valid_range": [0.0, 1.0],
}

MASKS = {"observed": "gapmask", "frozen": "frozenmask"}

_MASK = {"units": "1", "flag_values": np.array([0, 1], np.int8), "flag_meanings": "no yes"}

_STD = {"long_name": "standard deviation of the error of surface soil moisture", "units": "m3 m-3"}


def read_image(path: Path_, bounds: Bounds = CHINA, version: str | None = None, refused: int = REFUSED) -> xr.Dataset:
    """One image of ESA CCI SM or C3S soil moisture, cut to a region.

    Parameters
    ----------
    path
        netCDF file.
    bounds
        West, south, east, north in degrees; cells with their centre inside are kept.
    version
        Wanted ``product_version``, None for any.
    refused
        Flag bits that refuse a value; a missing flag refuses it too. Files without flags (monthly means) keep all.

    Returns
    -------
    xarray.Dataset
        Dims (time 1, y, x) on EPSG:4326 with a geobox: ``ssm`` (m3 m-3) and, where the file has them, ``ssm_std`` and
        ``observations``.

    Raises
    ------
    TruncatedFileError, WrongProductError, WrongGridError, OffWindowError
        Naming the file, what was found, and what to do.
    """
    with reading_netcdf(path, mask_and_scale=False, decode_times=False) as (place, image):
        _check(image, version, place)
        rows, columns = _window(image, bounds, place)
        cut = image[[v for v in LAYERS if v in image]].isel(time=0, lat=rows, lon=columns).load()
    ssm = cut["sm"].values
    good = (ssm >= 0) & (ssm <= 1)
    if "flag" in cut:
        flag = cut["flag"].values
        good &= (flag != FLAG_FILL) & ((flag.astype(int) & refused) == 0)
    box = _geobox(cut["lat"].values, cut["lon"].values)
    fields = {"ssm": on_geobox(np.where(good, ssm, np.nan).astype(np.float32), box, _SSM)}
    if "sm_uncertainty" in cut:
        std = cut["sm_uncertainty"].values
        fields["ssm_std"] = on_geobox(np.where(good & (std >= 0), std, np.nan).astype(np.float32), box, _STD)
    if "nobs" in cut:
        count = {"long_name": "number of observations in the month", "units": "1"}
        fields["observations"] = on_geobox(np.maximum(cut["nobs"].values, 0), box, count)
    _mark_ancillary(fields)
    attrs = {"source": f"{image.attrs['title']}, {place.name}", "product_version": image.attrs["product_version"]}
    return xr.Dataset(fields, attrs=attrs).expand_dims(
        time=[cut["time"].values.astype("datetime64[D]").astype("M8[ns]")]
    )


def read_gapfilled_series(path: Path_) -> xr.Dataset:
    """Series of the gap-filled ESA CCI product.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel): ``ssm`` (gap-free), ``ssm_original`` (with gaps), ``ssm_std``, and the masks ``observed``
        and ``frozen`` (bool); pixels without any value (sea) are all NaN.
    """
    with reading_netcdf(path) as (place, d):
        lacking = {"sm", "sm_original", "sm_uncertainty", "gapmask", "frozenmask"} - set(d)
        if lacking:
            raise WrongProductError(f"{place} lacks {sorted(lacking)}; it is no series of ESA CCI SM GAPFILLED")
        d = d.load()
    time = d["time"].values.astype("datetime64[D]").astype("M8[ns]")
    coords = {
        "time": time,
        "pixel": np.arange(d.sizes["locations"]),
        "lat": ("pixel", d["lat"].values.astype(float), {"units": "degrees_north"}),
        "lon": ("pixel", d["lon"].values.astype(float), {"units": "degrees_east"}),
    }
    names = {"ssm": ("sm", _SSM), "ssm_original": ("sm_original", _SSM), "ssm_std": ("sm_uncertainty", _STD)}
    variables = {n: (("time", "pixel"), d[v].values.T.astype(np.float32), a) for n, (v, a) in names.items()}
    masks = {n: (("time", "pixel"), d[v].values.T == 1, _MASK) for n, v in MASKS.items()}
    attrs = {"source": f"ESA CCI SM GAPFILLED {d.attrs.get('version')}, {place.name}"}
    series = xr.Dataset(variables | masks, coords, attrs)
    _mark_ancillary(series)
    return series


def _mark_ancillary(fields: MutableMapping[str, xr.DataArray] | xr.Dataset) -> None:
    """All that comes with ``ssm`` is about it, its error, count or mask: CF calls it ancillary, it predicts nothing."""
    others = " ".join(str(n) for n in fields if n != "ssm")
    fields["ssm"].attrs = fields["ssm"].attrs | {"ancillary_variables": others}


def _check(image: xr.Dataset, version: str | None, path: object) -> None:
    title = image.attrs.get("title", "")
    if "sm" not in image or "Soil Moisture" not in title:
        raise WrongProductError(f"{path} ({title or 'no title'}) is no image of ESA CCI or C3S soil moisture")
    found = image.attrs.get("product_version", "")
    if version is not None and found.lstrip("v") != version.lstrip("v"):
        raise WrongProductError(f"{path} is version {found}, {version} is wanted; do not mix versions in one record")


def _window(image: xr.Dataset, bounds: Bounds, path: object) -> tuple[slice, slice]:
    lat, lon = image["lat"].values.astype(float), image["lon"].values.astype(float)
    expected = (90 - CELL / 2 - CELL * np.arange(720), -180 + CELL / 2 + CELL * np.arange(1440))
    if (
        lat.shape != (720,)
        or lon.shape != (1440,)
        or not (np.allclose(lat, expected[0], atol=1e-3) and np.allclose(lon, expected[1], atol=1e-3))
    ):
        raise WrongGridError(
            f"{path} has {lat.size} x {lon.size} cells from {lat.flat[0]:.3f} N, {lon.flat[0]:.3f} E; the product is "
            "720 x 1440 cells from the north-west. Get the global file"
        )
    west, south, east, north = bounds
    rows, columns = np.flatnonzero((lat >= south) & (lat <= north)), np.flatnonzero((lon >= west) & (lon <= east))
    if not len(rows) or not len(columns):
        raise OffWindowError(f"no cell of {path} has its centre in {bounds} (west, south, east, north)")
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _geobox(lat: np.ndarray, lon: np.ndarray) -> GeoBox:
    from affine import Affine
    from odc.geo.geobox import GeoBox

    # The file's coordinates are float32: snap the corner to the quarter degree it means.
    west, north = (round(float(v) * 8) / 8 for v in (lon[0] - CELL / 2, lat[0] + CELL / 2))
    return GeoBox((len(lat), len(lon)), Affine(CELL, 0, west, 0, -CELL, north), "EPSG:4326")
