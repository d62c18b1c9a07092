"""The grids of the sources, and the way from any of them onto EASE-Grid 2.0.

SMAP lives on the global cylindrical EASE-Grid 2.0 (EPSG:6933): cells of 36 km, each made of 4 x 4 cells of 9 km. MODIS
tiles lie on a sinusoidal grid of a sphere. Regridding is GDAL's through ``odc-geo``: area-weighted mean for quantities,
the most frequent class for categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from tssmnet.data.readers.faults import OffWindowError, WrongGridError
from tssmnet.errors import require_known

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

EASE_CRS = "EPSG:6933"

EASE_ORIGIN = (-17367530.4451615, 7314540.8306386)
"""Outer corner of the north-west cell, metres."""

EASE_CELL = {9: 9008.055210146, 36: 4 * 9008.055210146}
EASE_SHAPE = {9: (1624, 3856), 36: (406, 964)}

CHINA = (73.4, 18.1, 135.1, 53.6)
"""West, south, east, north of the window of China, degrees."""

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"

SINUSOIDAL_TILE = 1111950.5196666666
"""Edge of a MODIS tile, metres: 10 degrees on the sphere of 6371007.181 m."""

RESAMPLING = {"average": "average", "majority": "mode", "nearest": "nearest"}
Bounds = tuple[float, float, float, float]


def ease_geobox(cell_km: int = 9) -> GeoBox:
    """The whole EASE-Grid 2.0 of 9 or 36 km."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    cell = EASE_CELL[cell_km]
    return GeoBox(EASE_SHAPE[cell_km], Affine(cell, 0, EASE_ORIGIN[0], 0, -cell, EASE_ORIGIN[1]), EASE_CRS)


def ease_window(bounds: Bounds = CHINA, cell_km: int = 9) -> tuple[slice, slice]:
    """Rows and columns of the EASE-Grid cells whose centres lie in `bounds` (west, south, east, north in degrees).

    Raises
    ------
    OffWindowError
        If there is none.

    Examples
    --------
    >>> rows, columns = ease_window()
    >>> rows.stop - rows.start, columns.stop - columns.start
    (403, 661)
    """
    west, south, east, north = bounds
    lat, lon = ease_centres(ease_geobox(cell_km))
    rows = np.flatnonzero((lat >= south) & (lat <= north))
    columns = np.flatnonzero((lon >= west) & (lon <= east))
    if not len(rows) or not len(columns):
        raise OffWindowError(
            f"no EASE-Grid 2.0 cell of {cell_km} km has its centre in {bounds} (west, south, east, north)"
        )
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def ease_centres(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitude of each row and longitude of each column of an EASE-Grid geobox, degrees."""
    from pyproj import Transformer

    x, y = geobox.coords["x"].values, geobox.coords["y"].values
    inverse = Transformer.from_crs(EASE_CRS, "EPSG:4326", always_xy=True)
    lon, _ = inverse.transform(x, np.zeros_like(x))
    _, lat = inverse.transform(np.zeros_like(y), y)
    return np.asarray(lat), np.asarray(lon)


def ease_cells(
    lat: ArrayLike, lon: ArrayLike, cell_km: int = 9, tolerance: float = 0.01
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the EASE-Grid cells with these centres.

    Parameters
    ----------
    lat, lon
        Degrees.
    tolerance
        How far from a centre a point may lie, in cells.

    Raises
    ------
    WrongGridError
        If a point is no cell centre.

    Examples
    --------
    >>> ease_cells([19.725355], [-155.539419], 36)   # the SMAP cell of the Hawaiian SCAN station
    (array([134]), array([65]))
    """
    row, column = ease_position(lat, lon, cell_km)
    off = np.maximum(np.abs(row - np.round(row)), np.abs(column - np.round(column)))
    if off.size and off.max() > tolerance:
        worst = int(np.argmax(off))
        raise WrongGridError(
            f"{int((off > tolerance).sum())} of {off.size} points are no centres of EASE-Grid 2.0 cells of "
            f"{cell_km} km; the worst lies {off.max():.2f} cells off, at {np.ravel(lat)[worst]:.4f} N, "
            f"{np.ravel(lon)[worst]:.4f} E"
        )
    return np.round(row).astype(np.int64), np.round(column).astype(np.int64)


def ease_position(lat: ArrayLike, lon: ArrayLike, cell_km: int = 9) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractional row and column of points on the EASE-Grid; a whole number is a cell centre."""
    from pyproj import Transformer

    forward = Transformer.from_crs("EPSG:4326", EASE_CRS, always_xy=True)
    x, y = forward.transform(np.asarray(lon, float), np.asarray(lat, float))
    cell = EASE_CELL[cell_km]
    return (EASE_ORIGIN[1] - np.asarray(y)) / cell - 0.5, (np.asarray(x) - EASE_ORIGIN[0]) / cell - 0.5


def with_degrees(dataset: xr.Dataset, geobox: GeoBox) -> xr.Dataset:
    """The dataset with coordinates of an EASE-Grid geobox: ``y``, ``x`` in metres, ``lat`` and ``lon`` on (y, x)."""
    lat, lon = ease_centres(geobox)
    shape = geobox.shape
    attrs = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}
    degrees = {"lat": np.broadcast_to(lat[:, None], shape), "lon": np.broadcast_to(lon, shape)}
    return dataset.assign_coords(
        {
            "y": ("y", geobox.coords["y"].values, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "x": ("x", geobox.coords["x"].values, {"standard_name": "projection_x_coordinate", "units": "m"}),
        }
        | {k: (("y", "x"), v.copy(), {"standard_name": attrs[k][0], "units": attrs[k][1]}) for k, v in degrees.items()}
    )


def sinusoidal_tile(h: int, v: int, pixels: int) -> GeoBox:
    """The geobox of MODIS tile h, v with `pixels` rows and columns (1200 at 1 km, 2400 at 500 m)."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    size = SINUSOIDAL_TILE / pixels
    return GeoBox(
        (pixels, pixels), Affine(size, 0, (h - 18) * SINUSOIDAL_TILE, 0, -size, (9 - v) * SINUSOIDAL_TILE), SINUSOIDAL
    )


def sinusoidal_tiles(bounds: Bounds = CHINA, step: float = 0.1) -> list[tuple[int, int]]:
    """MODIS tiles (h, v) that touch a box of longitudes and latitudes, sampled every `step` degrees.

    >>> sinusoidal_tiles((116.0, 39.5, 117.0, 40.5))
    [(26, 4), (26, 5), (27, 5)]
    """
    west, south, east, north = bounds
    lat = np.append(np.arange(south, north, step), north)[:, None]
    lon = np.append(np.arange(west, east, step), east)
    h = ((lon * np.cos(np.deg2rad(lat)) + 180) // 10).astype(int)
    v = np.broadcast_to(((90 - lat) // 10).astype(int), h.shape)
    return sorted({(int(a), int(b)) for a, b in zip(h.ravel(), v.ravel(), strict=True)})


def mosaic(tiles: Sequence[xr.DataArray]) -> xr.DataArray:
    """Neighbouring tiles of one grid joined into one field, so that cells on a seam see both sides.

    Raises
    ------
    WrongGridError
        If the tiles are not aligned on one grid.
    """
    from affine import Affine
    from odc.geo.geobox import GeoBox

    boxes = [t.odc.geobox for t in tiles]
    first = boxes[0]
    offsets = []
    for tile, box in zip(tiles, boxes, strict=True):
        dx = (box.affine.c - first.affine.c) / first.affine.a
        dy = (box.affine.f - first.affine.f) / first.affine.e
        same = box.crs == first.crs and np.isclose(box.affine.a, first.affine.a, rtol=1e-6)
        if not same or max(abs(dx - round(dx)), abs(dy - round(dy))) > 0.01:
            raise WrongGridError(
                f"tile {tile.attrs.get('source_file', tile.name)} is not on the grid of the first tile"
            )
        offsets.append((round(dy), round(dx)))
    top, left = min(o[0] for o in offsets), min(o[1] for o in offsets)
    bottom = max(o[0] + t.sizes["y"] for o, t in zip(offsets, tiles, strict=True))
    right = max(o[1] + t.sizes["x"] for o, t in zip(offsets, tiles, strict=True))
    values = np.full((bottom - top, right - left), np.nan, tiles[0].dtype)
    for (dy, dx), tile in zip(offsets, tiles, strict=True):
        values[dy - top : dy - top + tile.sizes["y"], dx - left : dx - left + tile.sizes["x"]] = tile.values
    corner = first.affine @ Affine.translation(left, top)
    return on_geobox(values, GeoBox(values.shape, corner, first.crs), dict(tiles[0].attrs))


def on_geobox(values: NDArray[Any], geobox: GeoBox, attrs: dict[str, Any] | None = None) -> xr.DataArray:
    """A field on (y, x), or (time, y, x) without times, that knows its geobox."""
    from odc.geo.xr import wrap_xr

    field: xr.DataArray = wrap_xr(values, geobox, axis=values.ndim - 2)
    names = dict(zip(field.dims[-2:], ("y", "x"), strict=True))
    return field.rename({k: v for k, v in names.items() if k != v}).assign_attrs(attrs or {})


def regrid(field: xr.DataArray, geobox: GeoBox, how: str = "average", min_cover: float = 0.0) -> xr.DataArray:
    """A field on another grid.

    Parameters
    ----------
    field
        Dims ending in (y, x), with a geobox (``odc-geo``); NaN is missing. Lazy fields stay lazy.
    geobox
        The grid wanted.
    how
        ``"average"``: mean of the pixels in a cell weighted by area, missing ones left out; ``"majority"``: the most
        frequent class; ``"nearest"``.
    min_cover
        Smallest share of a cell's area that must hold values, else the cell is NaN.

    Returns
    -------
    xarray.DataArray
        float32, NaN outside the field.

    Raises
    ------
    OffWindowError
        If the field lies wholly outside the grid.
    """
    from odc.geo.xr import xr_reproject

    require_known(how, RESAMPLING, "way of regridding")
    source = field.odc.geobox
    if source is None:
        raise WrongGridError(f"field {field.name} has no coordinate reference system")
    if source.extent.to_crs(geobox.crs, 50_000).intersection(geobox.extent).is_empty:
        raise OffWindowError(f"{field.attrs.get('source_file', field.name)} lies outside the region asked for")
    values = field.astype(np.float32).odc.assign_crs(source.crs)
    out = xr_reproject(values, geobox, resampling=RESAMPLING[how], dst_nodata=np.nan)
    if min_cover > 0:
        seen = values.notnull().astype(np.float32)
        out = out.where(xr_reproject(seen, geobox, resampling="average", dst_nodata=np.nan) >= min_cover)
    return out.assign_attrs(field.attrs)
