"""Maps: projections, outlines, fields on cells or points, and a map with a slider over days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.book.page import current_page
from tssmnet.book.style import figure, limits_of, quantity_of, style
from tssmnet.errors import TssmnetError, require_known

# Projection by name: the class in cartopy.crs and its arguments.
PROJECTIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "latlon": ("PlateCarree", {}),
    "conus": (
        "AlbersEqualArea",
        {"central_longitude": -96, "central_latitude": 37.5, "standard_parallels": (29.5, 45.5)},
    ),
    "china": ("AlbersEqualArea", {"central_longitude": 105, "central_latitude": 36, "standard_parallels": (25, 47)}),
    "twin": ("AlbersEqualArea", {"central_longitude": 105, "central_latitude": 36, "standard_parallels": (25, 47)}),
}

MAP_HEIGHT: Mapping[str, float] = {"conus": 0.62, "china": 0.85, "twin": 0.85}
"""Height of a map of the region over its width."""

LAND = "#d9d9d9"

CELL_DEGREES = 1.0
"""Pixels on a lattice finer than this are drawn as the cells they are; of a coarser sample each is a square."""


def outline(tolerance: float = 0.0) -> tuple[NDArray[np.float64], ...]:
    """The outline on maps of the open page: the twin's schematic land, which needs no file, or `land_outline`."""
    if not current_page().synthetic:
        return land_outline(tolerance)
    from tssmnet.twin.grid import OUTLINE

    return tuple(np.array([*ring, ring[0]]) for ring in OUTLINE)


@lru_cache(maxsize=8)
def land_outline(tolerance: float = 0.0) -> tuple[NDArray[np.float64], ...]:
    """The outline of all land as lines of (longitude, latitude) in degrees, without borders.

    `tolerance`: leave out detail finer than this, in degrees; for interactive figures.
    Raises DataUnavailableError if the data set natural-earth is neither here nor to be had.
    """
    import shapefile
    import shapely

    from tssmnet.data.registry import path_of

    reader = shapefile.Reader(str(path_of("natural-earth", "naturalearth_lowres.shp")))
    countries = [shapely.make_valid(shapely.geometry.shape(shape.__geo_interface__)) for shape in reader.shapes()]
    land = shapely.union_all(countries, grid_size=1e-6).simplify(tolerance)
    rings = [p.exterior for p in getattr(land, "geoms", [land])]
    holes = [ring for p in getattr(land, "geoms", [land]) for ring in p.interiors]
    return tuple(np.asarray(ring.coords) for ring in [*rings, *holes] if len(ring.coords) > 3)


def new_map(
    axes: int = 1, *, projection: str = "latlon", columns: int = 2, width: float = 7.2
) -> tuple[Any, list[Any]]:
    """An empty figure with `axes` maps.

    `axes`: how many.
    `projection`: a name in `PROJECTIONS`.
    `columns`: maps in a row.
    `width`: of the figure, in inches.
    Returns figure, list of axes.
    """
    import cartopy.crs as ccrs

    kind, arguments = PROJECTIONS[require_known(projection, PROJECTIONS, "projection")]
    columns = min(columns, axes)
    rows = -(-axes // columns)
    height = rows * (MAP_HEIGHT.get(projection, 0.6) * width / columns + 0.25) + 0.55
    drawn = {"subplot_kw": {"projection": getattr(ccrs, kind)(**arguments)}, "squeeze": False}
    with figure(rows, columns, figsize=(width, height), **drawn) as (fig, grid):
        for spare in grid.ravel()[axes:]:
            spare.remove()
    return fig, list(grid.ravel()[:axes])


def draw_field(
    ax: Any, field: Any, quantity: str = "ssm", *, title: str = "", size: float | None = None, limits: Any = None
) -> Any:
    """Draw one field on a map: grids and pixels of a lattice as their cells, other pixels as squares.

    `ax`: from `new_map`.
    `field`: `xarray.DataArray` over ``pixel`` or over ``y, x``, with coordinates ``lat`` and ``lon`` in degrees.
    `quantity`: a name in `QUANTITIES`: colours and range.
    `size`: side of a scattered pixel's square, squared, in points; by default smaller the more there are.
    `limits`: colour range, if not the quantity's own.
    Returns the drawn artist, for a colour bar.
    """
    import cartopy.crs as ccrs

    q = quantity_of(quantity)
    low, high = limits or limits_of(q, field.values)
    lon, lat, values = _cells(field)
    field_lon, field_lat = _places(field)
    common = {
        "cmap": q.cmap,
        "vmin": low,
        "vmax": high,
        "transform": ccrs.PlateCarree(),
        "rasterized": True,
        "zorder": 2,
    }
    for line in outline():
        ax.plot(line[:, 0], line[:, 1], color="0.35", linewidth=0.6, transform=ccrs.PlateCarree(), zorder=3)
    if values.ndim == 1:
        size = min(26.0, 30000 / max(values.size, 1)) if size is None else size
        drawn = ax.scatter(lon, lat, c=values, s=size, marker="s", linewidths=0, **common)
    else:
        drawn = ax.pcolormesh(lon, lat, values, **common)
    # what is drawn decides the frame, as it lies on the projection: a box of degrees would be half empty
    where = ax.projection.transform_points(ccrs.PlateCarree(), field_lon, field_lat)[:, :2]
    low_xy, high_xy = where.min(0), where.max(0)
    pad = 0.04 * max(high_xy - low_xy)
    ax.set_extent(np.stack([low_xy - pad, high_xy + pad], 1).ravel(), crs=ax.projection)
    ax.set_facecolor("#f4f4f4")
    ax.set_title(title)
    ax.spines["geo"].set_linewidth(0.5)
    return drawn


def _places(field: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Longitude and latitude of every pixel of a field, in degrees, flat."""
    lon, lat = field["lon"].values, field["lat"].values
    if field.ndim == 2 and lon.ndim == 1:
        lon, lat = np.meshgrid(lon, lat)
    return np.asarray(lon, float).ravel(), np.asarray(lat, float).ravel()


def _cells(field: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(lon, lat, values): edges and a grid where there are cells to draw, else places and values of pixels.

    Of pixels in longitude and latitude columns, as on any cylindrical grid such as EASE-Grid 2.0, the grid is found
    again, NaN where it has none.
    """
    lon, lat, values = (np.asarray(v.values) for v in (field["lon"], field["lat"], field))
    if values.ndim == 2:
        if lon.ndim == 1:
            return _edges(lon), _edges(lat), values
        return lon, lat, values
    if values.ndim != 1:
        raise TssmnetError(f"a map shows a field over pixel or over y, x; got dims {field.dims}")
    (columns, x), (rows, y) = (np.unique(v.round(5), return_inverse=True) for v in (lon, lat))
    if min(columns.size, rows.size) < 2 or not _is_lattice(columns, rows, values.size):
        return lon, lat, values
    grid = np.full((rows.size, columns.size), np.nan)
    grid[y, x] = values
    return _edges(columns), _edges(rows), grid


def _is_lattice(columns: NDArray[Any], rows: NDArray[Any], count: int) -> bool:
    """Whether pixels lie in columns and rows closer than `CELL_DEGREES` that they fill for a good part."""
    fine = all(np.median(np.diff(v)) < CELL_DEGREES for v in (columns, rows))
    return fine and count > 0.25 * columns.size * rows.size


def _edges(centres: NDArray[Any]) -> NDArray[np.float64]:
    """Edges of cells half way between their centres."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def pixels_near(cube: Any, place: Sequence[float], count: int = 1) -> NDArray[np.int64]:
    """The pixels nearest to a place given as shares of the map, from west to east and from south to north."""
    lon, lat = cube["lon"].values, cube["lat"].values
    away = (lon - lon.min() - place[0] * np.ptp(lon)) ** 2 + (lat - lat.min() - place[1] * np.ptp(lat)) ** 2
    return np.argsort(away, kind="stable")[:count]


def map_fields(
    fields: Mapping[str, Any],
    quantity: str = "ssm",
    *,
    projection: str = "latlon",
    columns: int = 2,
    width: float = 7.2,
    size: float | None = None,
) -> Any:
    """Maps side by side on one colour scale.

    `fields`: Title to field, see `draw_field`.
    `quantity`: a name in `QUANTITIES`.
    `projection`: a name in `PROJECTIONS`.
    `size`: see `draw_field`.
    """
    q = quantity_of(quantity)
    fig, axes = new_map(len(fields), projection=projection, columns=columns, width=width)
    limits = limits_of(q, *(f.values for f in fields.values()))
    with style():
        for ax, (title, field) in zip(axes, fields.items(), strict=True):
            drawn = draw_field(ax, field, quantity, title=title, limits=limits, size=size)
        fig.colorbar(drawn, ax=axes, label=q.label, shrink=0.8, aspect=30, extend="both", orientation="horizontal")
    return fig


def day_slider(field: Any, *, width: int = 640, height: int = 400) -> Any:
    """An interactive map of soil moisture with a slider over days that needs no server once the page is built.

    `field`: `xarray.DataArray` over ``time`` and ``pixel``, or ``time, y, x``, with ``lat`` and ``lon`` in degrees.
    Some 30 days and a few thousand cells at most: each frame is stored in the page, about 6 bytes a cell.
    """
    import holoviews as hv
    import hvplot.pandas
    import hvplot.xarray  # noqa: F401

    hv.output(widget_location="bottom")
    q = quantity_of("ssm")
    low, high = limits_of(q, field.values)
    frame = field.to_dataframe("value").reset_index().dropna(subset=["value"])
    frame[["lon", "lat", "value"]] = frame[["lon", "lat", "value"]].round(3)
    box = (
        float(frame.lon.min()) - 1.5,
        float(frame.lon.max()) + 1.5,
        float(frame.lat.min()) - 1.5,
        float(frame.lat.max()) + 1.5,
    )
    pixels = field.size / field.sizes["time"]
    points = frame.hvplot.points(
        x="lon", y="lat", c="value", groupby="time", dynamic=False, marker="square",
        size=min(90, 60000 / pixels), cmap=q.cmap,
        clim=(low, high), clabel=q.label, width=width, height=height, xlim=box[:2], ylim=box[2:],
        xlabel="longitude (°)", ylabel="latitude (°)", hover_cols=["value"],
    )  # fmt: skip
    points = points.redim(time=hv.Dimension("time", label="day", value_format=lambda day: str(day)[:10]))
    return points * hv.Path(_inside(outline(0.15), box)).opts(color="gray", line_width=1)


def _inside(lines: Sequence[NDArray[np.float64]], box: tuple[float, float, float, float]) -> list[NDArray[np.float64]]:
    """The pieces of lines inside (west, east, south, north)."""
    import shapely

    window = shapely.box(box[0], box[2], box[1], box[3])
    cut = [shapely.intersection(shapely.LineString(line), window) for line in lines]
    parts = [p for geometry in cut for p in getattr(geometry, "geoms", [geometry]) if not p.is_empty]
    return [np.round(np.asarray(p.coords), 2) for p in parts if p.geom_type == "LineString"]
