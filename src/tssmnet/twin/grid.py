"""The twin's grid: EASE-Grid 2.0 cells over China, and a schematic outline of the country."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError

Array = NDArray[np.float64]

# EASE-Grid 2.0 M09, the geobox of SPL3SMP_E: EPSG:6933, 1624 x 3856 cells; M36 joins 4 x 4 of them.
CRS = "EPSG:6933"
CELL_9KM = 9008.055210146
ORIGIN = (-17367530.4451615, 7314540.8306386)
CHINA_BOX = (73.4, 18.1, 135.1, 53.6)  # west, south, east, north
KM_PER_DEGREE = 111.2

# One local scale for the whole map keeps hand-made shapes simple; exact at 35 degrees north.
COS_35 = float(np.cos(np.deg2rad(35.0)))

# Schematic outlines drawn by hand for a synthetic world; they make no statement about borders. (lon, lat)
MAINLAND = (
    (121.0, 53.3), (123.5, 53.5), (126.0, 52.8), (127.5, 50.2), (130.5, 48.9), (134.8, 48.4), (133.2, 45.1),
    (131.0, 44.9), (131.3, 43.4), (130.6, 42.4), (128.1, 42.0), (126.8, 41.7), (124.4, 40.1), (121.6, 38.8),
    (121.0, 40.8), (119.0, 39.3), (117.7, 39.0), (118.9, 37.5), (120.7, 37.8), (122.5, 37.2), (119.3, 35.2),
    (120.9, 33.0), (121.9, 31.5), (121.0, 30.4), (122.1, 29.8), (121.6, 28.3), (119.8, 25.6), (118.1, 24.4),
    (116.5, 22.9), (114.2, 22.3), (111.8, 21.6), (110.4, 21.0), (110.3, 20.3), (109.7, 20.5), (109.7, 21.5),
    (108.0, 21.5), (106.7, 22.1), (105.3, 23.3), (102.5, 22.6), (101.7, 21.2), (99.9, 22.1), (98.8, 24.1),
    (97.6, 24.0), (98.7, 27.5), (97.3, 28.3), (95.4, 29.0), (92.0, 27.7), (89.0, 27.4), (86.0, 28.0), (82.0, 30.3),
    (78.8, 31.5), (79.2, 32.7), (78.0, 34.5), (77.8, 35.5), (74.6, 37.4), (73.7, 39.3), (76.0, 40.4), (80.2, 42.1),
    (80.3, 45.0), (82.5, 45.3), (83.2, 47.2), (85.6, 47.3), (85.7, 48.4), (87.4, 49.1), (88.0, 48.7), (90.9, 46.9),
    (90.9, 45.3), (95.4, 44.2), (96.4, 42.7), (101.8, 42.5), (105.0, 41.6), (107.5, 42.4), (110.4, 42.8),
    (111.9, 43.7), (111.6, 44.6), (113.8, 44.9), (116.3, 46.4), (119.7, 46.7), (117.8, 47.8), (115.6, 47.9),
    (116.7, 49.8), (119.3, 50.3), (120.1, 52.6),
)  # fmt: skip

TAIWAN = ((120.1, 23.0), (121.0, 25.1), (122.0, 25.0), (120.9, 21.9))
HAINAN = ((108.7, 19.3), (110.4, 20.1), (111.0, 19.6), (109.6, 18.2))
OUTLINE = (MAINLAND, TAIWAN, HAINAN)


@dataclass(frozen=True)
class Grid:
    """Cells of an EASE-Grid 2.0 window and which of them are the twin's land."""

    # x, y: cell centres in metres (EPSG:6933), shapes (nx,) and (ny,), y falling
    x: NDArray
    y: NDArray
    # lon, lat: degrees, shapes (nx,) and (ny,): on this projection a column has one longitude, a row one latitude
    lon: NDArray
    lat: NDArray
    cell: float  # cell size in metres
    land: NDArray[np.bool_]  # shape (ny, nx), true inside the schematic outline

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.land.shape[0], self.land.shape[1]

    @property
    def points(self) -> tuple[NDArray, NDArray]:
        """Longitude and latitude of the land cells, row-major, each of shape (pixel,)."""
        lon, lat = np.meshgrid(self.lon, self.lat)
        return lon[self.land], lat[self.land]

    def pack(self, field: NDArray) -> NDArray:
        """Land cells of a map: (..., y, x) to (..., pixel)."""
        return field[..., self.land]

    def unpack(self, values: NDArray, fill: float = np.nan) -> NDArray:
        """The map of land cells: (..., pixel) to (..., y, x), `fill` outside."""
        out = np.full((*values.shape[:-1], *self.shape), fill, values.dtype)
        out[..., self.land] = values
        return out


def make_grid(cell_km: int = 36, region: tuple[float, float, float, float] | None = None) -> Grid:
    """EASE-Grid 2.0 window over China or a part of it.

    Parameters
    ----------
    cell_km
        Nominal cell size, a multiple of 9: 9 is the grid of SPL3SMP_E, 36 that of SPL3SMP. Cells nest.
    region
        West, south, east, north in degrees; the default is all of China.

    Raises
    ------
    TssmnetError
        If `cell_km` is no multiple of 9 or the region holds no land.
    """
    if cell_km < 9 or cell_km % 9:
        raise TssmnetError(f"cell_km must be a multiple of 9 (9 or 36 as SMAP has them), got {cell_km}")
    west, south, east, north = region or CHINA_BOX
    cell = CELL_9KM * (cell_km // 9)
    columns = np.arange(int(2 * -ORIGIN[0] / cell))
    rows = np.arange(int(2 * ORIGIN[1] / cell))
    x, y = ORIGIN[0] + (columns + 0.5) * cell, ORIGIN[1] - (rows + 0.5) * cell
    lon, lat = to_degrees(x, y)
    inside_x, inside_y = (lon >= west) & (lon <= east), (lat >= south) & (lat <= north)
    x, y, lon, lat = x[inside_x], y[inside_y], lon[inside_x], lat[inside_y]
    land = inside_outline(*np.meshgrid(lon, lat)) if len(lon) and len(lat) else np.zeros((0, 0), bool)
    if not land.any():
        raise TssmnetError(f"region {(west, south, east, north)} holds no cell of the twin's land at {cell_km} km")
    return Grid(x, y, lon, lat, cell, land)


def refined(grid: Grid, factor: int) -> tuple[Array, Array, Array, Array]:
    """Cell centres of the same window cut `factor` times finer: x, y (metres), lon, lat (degrees)."""
    offsets = (np.arange(factor) + 0.5) / factor - 0.5
    x = (grid.x[:, None] + offsets * grid.cell).ravel()
    y = (grid.y[:, None] - offsets * grid.cell).ravel()
    return (x, y, *to_degrees(x, y))


def to_degrees(x: NDArray, y: NDArray) -> tuple[Array, Array]:
    """Longitude of EPSG:6933 columns and latitude of its rows."""
    from pyproj import Transformer

    inverse = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    lon, _ = inverse.transform(x, np.zeros_like(x))
    _, lat = inverse.transform(np.zeros_like(y), y)
    return np.asarray(lon), np.asarray(lat)


def to_km(lon: Array, lat: Array) -> tuple[Array, Array]:
    """Plane kilometres for hand-made shapes: equirectangular at 35 degrees north."""
    return lon * COS_35 * KM_PER_DEGREE, lat * KM_PER_DEGREE


def inside_outline(lon: Array, lat: Array) -> NDArray[np.bool_]:
    """True where a point lies inside the schematic outline."""
    inside = np.zeros(np.shape(lon), bool)
    for ring in OUTLINE:
        inside |= _crossings(lon, lat, np.asarray(ring))
    return inside


def signed_distance(lon: Array, lat: Array, ring: tuple[tuple[float, float], ...]) -> Array:
    """Kilometres to a closed ring, positive inside."""
    distance = polyline_distance(lon, lat, (*ring, ring[0]))
    return np.where(_crossings(lon, lat, np.asarray(ring)), distance, -distance)


def polyline_distance(lon: Array, lat: Array, line: tuple[tuple[float, float], ...]) -> Array:
    """Kilometres to the nearest point of a polyline; one vertex makes it a point."""
    px, py = to_km(lon, lat)
    vertices = np.stack(to_km(*np.asarray(line, float).T), axis=1)
    best = np.hypot(px - vertices[0, 0], py - vertices[0, 1])
    for (ax, ay), (bx, by) in pairwise(vertices):
        dx, dy = bx - ax, by - ay
        along = np.clip(((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        best = np.minimum(best, np.hypot(px - ax - along * dx, py - ay - along * dy))
    return best


def _crossings(lon: Array, lat: Array, ring: Array) -> NDArray[np.bool_]:
    """Even-odd rule: a ray to the east crosses the ring an odd number of times."""
    inside = np.zeros(np.shape(lon), bool)
    for (ax, ay), (bx, by) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if ay != by:
            inside ^= ((ay > lat) != (by > lat)) & (lon < (bx - ax) * (lat - ay) / (by - ay) + ax)
    return inside
