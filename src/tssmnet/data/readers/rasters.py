"""Soil layers and terrain: large GeoTIFFs brought onto a coarser grid, a block at a time.

Rasters in degrees and grids on a cylindrical projection have parallel edges. The overlap of a pixel with a cell is then
the product of an overlap of rows and one of columns, and the sums over all cells are two sparse matrix products: exact,
weighted by area on EASE-Grid 2.0, additive over blocks and tiles. Quantities take the mean, classes the largest area.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.data.processing import aspect_components, horn_gradient, slope_degrees
from tssmnet.data.readers.faults import OffWindowError, WrongGridError, reading
from tssmnet.data.readers.grids import on_geobox
from tssmnet.errors import require_known

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Path_ = str | PathLike[str]
Fields = dict[str, NDArray[np.float32]]

TERRAIN: dict[str, dict[str, Any]] = {
    "elevation": {"standard_name": "surface_altitude", "long_name": "elevation", "units": "m"},
    "slope": {"long_name": "mean slope", "units": "degree"},
    "aspect_sin": {"long_name": "mean sine of the aspect (east positive)", "units": "1"},
    "aspect_cos": {"long_name": "mean cosine of the aspect (north positive)", "units": "1"},
}

BLOCK = 2048
"""Edge of the blocks in which a raster is read, pixels."""

METRES_PER_DEGREE = 111_319.490793
"""Of latitude, and of longitude at the equator, on a sphere of 6378137 m."""

USDA_TEXTURE = (
    "clay silty_clay sandy_clay clay_loam silty_clay_loam sandy_clay_loam "
    "loam silty_loam sandy_loam silt loamy_sand sand"
)
"""Meanings of the texture classes 1 to 12."""


class Layer(NamedTuple):
    """A soil layer: factor from stored to real unit, whether it is a class, attributes."""

    scale: float
    is_class: bool
    attrs: dict[str, Any]


SOIL = {
    "clay": Layer(1.0, False, {"long_name": "clay content of the soil at 0 cm", "units": "%"}),
    "sand": Layer(1.0, False, {"long_name": "sand content of the soil at 0 cm", "units": "%"}),
    "bulk_density": Layer(10.0, False, {"long_name": "bulk density of the fine earth at 0 cm", "units": "kg m-3"}),
    "organic_carbon": Layer(5.0, False, {"long_name": "organic carbon content of the soil at 0 cm", "units": "g kg-1"}),
    "texture_class": Layer(
        1.0,
        True,
        {
            "long_name": "soil texture class of the USDA at 0 cm",
            "units": "1",
            "flag_values": np.arange(1, 13, dtype=np.int8),
            "flag_meanings": USDA_TEXTURE,
        },
    ),
    "soil_class": Layer(1.0, True, {"long_name": "soil great group of the USDA taxonomy", "units": "1"}),
}
"""OpenLandMap soil layers as they are stored."""


def read_soil(path: Path_, variable: str, geobox: GeoBox, min_cover: float = 0.0) -> xr.DataArray:
    """One OpenLandMap soil layer on a grid, in its real unit.

    Parameters
    ----------
    path
        GeoTIFF of stored numbers, global or cut.
    variable
        Key of `SOIL`.
    geobox, min_cover
        As in `read_raster`.
    """
    layer = SOIL[require_known(variable, SOIL, "soil variable")]
    field = read_raster(path, geobox, layer.is_class, min_cover) * np.float32(layer.scale)
    field.attrs = dict(layer.attrs) | {"source": Path(path).name}
    if variable == "soil_class":
        # Great groups have hundreds of codes: name the ones that occur.
        codes = np.unique(field.values[~np.isnan(field.values)]).astype(np.int16)
        field.attrs |= {"flag_values": codes, "flag_meanings": " ".join(f"great_group_{c}" for c in codes)}
    return field.rename(variable)


def read_raster(
    path: Path_, geobox: GeoBox, is_class: bool = False, min_cover: float = 0.0, block: int = BLOCK
) -> xr.DataArray:
    """Mean or most frequent class of a single-band raster in each cell of a grid; memory does not grow with the raster.

    Parameters
    ----------
    path
        Raster in degrees, north up; its nodata value is missing.
    geobox
        Grid wanted, in EPSG:6933 or EPSG:4326.
    is_class
        The class with the largest area instead of the mean; ties go to the lower number.
    min_cover
        Smallest share of a cell's area that must hold values, else the cell is NaN.
    block
        Edge of the blocks in which the raster is read, pixels.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32, NaN where the raster has nothing.

    Raises
    ------
    WrongGridError
        If the raster is not in degrees.
    OffWindowError
        If the raster does not touch the grid.
    """
    import rasterio

    with reading(path, "GeoTIFF") as place, rasterio.open(place) as raster:
        rows, columns = _overlaps(raster, geobox, place)
        r, c = _touched(rows), _touched(columns)
        if not len(r) or not len(c):
            raise OffWindowError(
                f"{place} holds nothing of the region asked for; get the right tile or the global file"
            )
        sums: dict[float, NDArray[np.float32]] = {}
        for window in _windows(r, c, block):
            _add(sums, _read(raster, window), rows[:, window[0]], columns[:, window[1]], is_class)
    return on_geobox(_mean_or_winner(sums, is_class, min_cover, geobox), geobox)


def read_terrain(tiles: Iterable[Path_], geobox: GeoBox) -> xr.Dataset:
    """Elevation, slope and aspect from tiles of a digital elevation model in longitude and latitude.

    Slope and aspect are taken on the pixels of the model, with the east-west pixel width of their latitude, and then
    averaged; aspect as sine and cosine, since angles have no mean. The outermost row of a tile sees no neighbour tile.

    Returns
    -------
    xarray.Dataset
        Dims (y, x): ``elevation`` (m), ``slope`` (degrees), ``aspect_sin``, ``aspect_cos`` (1, of the downhill
        direction clockwise from north).

    Raises
    ------
    WrongGridError
        If a tile is not in degrees.
    OffWindowError
        If no tile touches the grid.
    """
    return terrain_of(((Path(p).name, terrain_sums(p, geobox)) for p in tiles), geobox)


def terrain_sums(path: Path_, geobox: GeoBox) -> dict[str, NDArray[np.float64]]:
    """What one elevation tile adds to the cells of a grid: ``<name> 0`` the area, ``<name> 1`` value times area.

    Empty for a tile that does not touch the grid. Sums of tiles add up, in whatever process they were made.
    """
    import rasterio

    with reading(path, "GeoTIFF") as place, rasterio.open(place) as raster:
        rows, columns = _overlaps(raster, geobox, place)
        if not len(_touched(rows)) or not len(_touched(columns)):
            return {}
        elevation = _read(raster, (slice(0, raster.height), slice(0, raster.width)))
        found: dict[str, NDArray[np.float64]] = {}
        for name, values in ({"elevation": elevation} | slopes(elevation, raster.transform)).items():
            sums: dict[float, NDArray[Any]] = {}
            _add(sums, values, rows, columns, False)
            found |= {f"{name} {int(k)}": np.asarray(v, np.float64) for k, v in sums.items()}
        return found


def terrain_of(tiles: Iterable[tuple[str, Mapping[str, NDArray[np.float64]]]], geobox: GeoBox) -> xr.Dataset:
    """The terrain of a grid from the (name, sums) of its tiles, as `read_terrain` gives it."""
    total: dict[str, NDArray[np.float64]] = {}
    used = []
    for tile, sums in tiles:
        for key, values in sums.items():
            total[key] = total[key] + values if key in total else values
        used += [tile] if sums else []
    if not used:
        raise OffWindowError("no elevation tile touches the region asked for; get the tiles of that region")
    fields = {}
    for name, attrs in TERRAIN.items():
        both: dict[float, NDArray[Any]] = {k: total[f"{name} {int(k)}"] for k in (0.0, 1.0)}
        fields[name] = on_geobox(_mean_or_winner(both, False, 0.0, geobox), geobox, attrs)
    return xr.Dataset(fields, attrs={"source": f"{len(used)} elevation tiles, {used[0]} to {used[-1]}"})


def slopes(elevation: NDArray[np.float32], transform: Any) -> Fields:
    """Slope and aspect of a tile in degrees; NaN next to missing pixels."""
    lat = transform.f + (np.arange(elevation.shape[0]) + 0.5) * transform.e
    width = METRES_PER_DEGREE * transform.a * np.cos(np.deg2rad(lat))[:, None]
    east, north = horn_gradient(elevation, 1.0)
    east, north = east / width, north / (METRES_PER_DEGREE * -transform.e)
    sin, cos = aspect_components(east, north)
    named = {"slope": slope_degrees(east, north), "aspect_sin": sin, "aspect_cos": cos}
    return {n: v.astype(np.float32) for n, v in named.items()}


def _read(raster: Any, window: tuple[slice, slice]) -> NDArray[np.float32]:
    """Part of the first band, NaN for nodata."""
    from rasterio.windows import Window

    masked = raster.read(1, window=Window.from_slices(*window), masked=True)
    return np.asarray(masked.astype(np.float32).filled(np.nan), np.float32)


def _overlaps(raster: Any, geobox: GeoBox, path: Path) -> tuple[Any, Any]:
    """Overlap of cell rows with pixel rows, and of cell columns with pixel columns, in the unit of the grid."""
    t = raster.transform
    if not _horizontal(raster.crs).is_geographic or t.b or t.d or t.e >= 0:
        raise WrongGridError(f"{path} is not in degrees with north up; get it as the archive has it")
    lat = np.clip(t.f + t.e * np.arange(raster.height + 1), -90, 90)
    lon = t.c + t.a * np.arange(raster.width + 1)
    x, y = _to_grid(lon, lat, geobox)
    g, (ny, nx) = geobox.affine, geobox.shape
    return _overlap(g.f + g.e * np.arange(ny + 1), y), _overlap(g.c + g.a * np.arange(nx + 1), x)


def _to_grid(lon: NDArray[Any], lat: NDArray[Any], geobox: GeoBox) -> tuple[NDArray[Any], NDArray[Any]]:
    """Edges in the coordinates of a grid on which longitude alone gives x and latitude alone gives y."""
    from pyproj import Transformer

    epsg = geobox.crs.epsg if geobox.crs else None
    if epsg == 4326:
        return lon, lat
    if epsg != 6933:
        raise WrongGridError(f"rasters are brought onto EPSG:6933 or EPSG:4326, not {geobox.crs}")
    forward = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
    x, _ = forward.transform(lon, np.zeros_like(lon))
    _, y = forward.transform(np.zeros_like(lat), lat)
    return np.asarray(x), np.asarray(y)


def _overlap(cells: NDArray[Any], pixels: NDArray[Any]) -> Any:
    """Sparse matrix (cells, pixels) of the lengths that intervals between `cells` and between `pixels` share.

    >>> _overlap(np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0])).toarray().tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    from scipy.sparse import coo_array

    cuts = np.unique(np.concatenate([cells, pixels]))
    middle, length = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    i, j = _interval(cells, middle), _interval(pixels, middle)
    both = (i >= 0) & (j >= 0)
    return coo_array((length[both], (i[both], j[both])), shape=(len(cells) - 1, len(pixels) - 1)).tocsr()


def _interval(edges: NDArray[Any], points: NDArray[Any]) -> NDArray[np.int64]:
    """Number of the interval between rising or falling edges that holds each point, -1 outside."""
    last = len(edges) - 2
    falling = edges[0] > edges[-1]
    found = np.searchsorted(edges[::-1] if falling else edges, points, side="right") - 1
    return np.where((found < 0) | (found > last), -1, last - found if falling else found)


def _touched(overlap: Any) -> NDArray[np.int64]:
    """Pixels that touch a cell."""
    return np.flatnonzero(np.asarray(overlap.sum(axis=0)).ravel())


def _windows(rows: NDArray[np.int64], columns: NDArray[np.int64], block: int) -> Iterator[tuple[slice, slice]]:
    for top in range(int(rows[0]), int(rows[-1]) + 1, block):
        for left in range(int(columns[0]), int(columns[-1]) + 1, block):
            bottom, right = min(top + block, int(rows[-1]) + 1), min(left + block, int(columns[-1]) + 1)
            yield slice(top, bottom), slice(left, right)


def _add(sums: dict[float, NDArray[Any]], values: NDArray[np.float32], rows: Any, columns: Any, is_class: bool) -> None:
    """Add a block: the area of each class under its number, or the sum of values under 1 and their area under 0."""
    seen = ~np.isnan(values)
    if is_class:
        parts = {float(c): (values == c).astype(float) for c in np.unique(values[seen])}
    else:
        parts = {0.0: seen.astype(float), 1.0: np.where(seen, values, 0.0).astype(float)}
    for key, part in parts.items():
        total = (rows @ part) @ columns.T
        sums[key] = sums[key] + total if key in sums else total


def _mean_or_winner(
    sums: dict[float, NDArray[Any]], is_class: bool, min_cover: float, geobox: GeoBox
) -> NDArray[np.float32]:
    keys = sorted(sums)
    if not keys:
        return np.full(geobox.shape, np.nan, np.float32)
    if is_class:
        stack = np.stack([sums[k] for k in keys])
        area, values = stack.sum(axis=0), np.array(keys)[stack.argmax(axis=0)]
    else:
        area = sums[0.0]
        values = sums[1.0] / np.where(area > 0, area, 1)
    share = area / abs(geobox.affine.a * geobox.affine.e)
    return np.where((share > 1e-9) & (share >= min_cover - 1e-9), values, np.nan).astype(np.float32)


def _horizontal(crs: Any) -> Any:
    """The horizontal part of a reference system; heights do not matter here."""
    from pyproj import CRS

    whole = CRS.from_wkt(crs.to_wkt())
    return whole.sub_crs_list[0] if whole.is_compound else whole
