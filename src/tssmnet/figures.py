"""How things are drawn: one colour scale per quantity, maps that need no network, provenance under each figure.

Every figure of the book goes through `show`, which displays it with caption, alternative text and provenance, and
closes it. On the profile ``twin`` figures and tables are marked as synthetic there, and nowhere else, so that no page
can forget it.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet import provenance as pages
from tssmnet.errors import TssmnetError, require_known
from tssmnet.provenance import provenance


@dataclass(frozen=True)
class Quantity:
    """How a quantity is drawn: label with unit, colour map safe for colour-blind readers, range (None: from data)."""

    label: str
    cmap: str
    low: float | None = None
    high: float | None = None
    symmetric: bool = False


_SM = "m³ m⁻³"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pretty_units(units: str) -> str:
    """Units as a reader sees them.

    Examples
    --------
    >>> print(pretty_units("W"), pretty_units("m-2"), pretty_units("1"))
    W m⁻² 1
    """
    raised = re.sub(r"(?<=[A-Za-z])-?\d+", lambda m: m[0].translate(_RAISED), units)
    return raised.replace(" ", "\N{NO-BREAK SPACE}")


def place_name(lat: float, lon: float) -> str:
    """A place in degrees as a reader has it.

    Examples
    --------
    >>> place_name(35.04, -101.26)
    '35.0° N, 101.3° W'
    """
    return f"{abs(lat):.1f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.1f}° {'E' if lon >= 0 else 'W'}"


QUANTITIES: Mapping[str, Quantity] = {
    "ssm": Quantity(f"soil moisture ({_SM})", "YlGnBu", 0.02, 0.5),
    "difference": Quantity(f"difference ({_SM})", "PuOr", -0.1, 0.1, symmetric=True),
    "std": Quantity(f"standard deviation ({_SM})", "magma_r", 0.0, 0.1),
    "rmse": Quantity(f"RMSE ({_SM})", "magma_r", 0.0, 0.1),
    "correlation": Quantity("correlation", "cividis", 0.0, 1.0),
    "fraction": Quantity("share of days", "cividis", 0.0, 1.0),
    "coverage": Quantity("share of days observed", "cividis", 0.1, 0.6),
    "count": Quantity("number", "cividis"),
    "days": Quantity("days", "viridis_r", 0.0),
    "temperature": Quantity("temperature (K)", "inferno"),
    "precipitation": Quantity("precipitation (mm d⁻¹)", "Blues", 0.0),
    "height": Quantity("height (m)", "cividis", 0.0, 5500.0),
    "clay": Quantity("clay (%)", "YlOrBr", 0.0, 60.0),
    "sand": Quantity("sand (%)", "YlOrBr", 0.0, 100.0),
    "vegetation": Quantity("vegetation index", "YlGn", 0.0, 0.9),
    "dryness": Quantity("dryness index (TVDI)", "YlOrBr", 0.0, 1.0),
    "any": Quantity("", "viridis"),
}

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

# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
STYLE: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "image.interpolation": "nearest",
}
LAND = "#d9d9d9"
SYNTHETIC_PROFILES = ("twin",)
"""Profiles whose data are made up: everything that a page shows on one of them is marked."""
CELL_DEGREES = 1.0
"""Pixels on a lattice finer than this are drawn as the cells they are; of a coarser sample each is a square."""


@contextmanager
def style() -> Iterator[None]:
    """The book's fonts, sizes and colours, for the figures drawn inside the block."""
    import matplotlib as mpl
    from matplotlib.rcsetup import cycler

    settings: Any = {**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    with mpl.rc_context(settings):
        yield


def quantity_of(name: str) -> Quantity:
    """The drawing rules of a quantity, by name."""
    return QUANTITIES[require_known(name, QUANTITIES, "quantity")]


def limits_of(quantity: Quantity, *values: NDArray[Any]) -> tuple[float, float]:
    """The colour range of a quantity; where it leaves an end open, from the 2nd and 98th percentile of the values."""
    joined = np.concatenate([np.asarray(v, float).ravel() for v in values]) if values else np.array([0.0, 1.0])
    finite = joined[np.isfinite(joined)]
    low, high = np.percentile(finite, [2, 98]) if finite.size else (0.0, 1.0)
    low = float(low) if quantity.low is None else quantity.low
    high = float(high) if quantity.high is None else quantity.high
    return low, high if high > low else low + 1.0


# -- maps ------------------------------------------------------------------------------------------------------------


def outline(tolerance: float = 0.0) -> tuple[NDArray[np.float64], ...]:
    """The outline on maps of the open page: the twin's schematic land, which needs no file, or `land_outline`."""
    if not on_synthetic_page():
        return land_outline(tolerance)
    from tssmnet.twin.grid import OUTLINE

    return tuple(np.array([*ring, ring[0]]) for ring in OUTLINE)


@lru_cache(maxsize=8)
def land_outline(tolerance: float = 0.0) -> tuple[NDArray[np.float64], ...]:
    """The outline of all land as lines of (longitude, latitude) in degrees, without borders.

    Parameters
    ----------
    tolerance
        Leave out detail finer than this, in degrees; for interactive figures.

    Raises
    ------
    DataUnavailableError
        If the data set natural-earth is neither here nor to be had.
    """
    import shapefile
    import shapely

    from tssmnet.data import path_of

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

    Parameters
    ----------
    axes
        How many.
    projection
        A name in `PROJECTIONS`.
    columns
        Maps in a row.
    width
        Of the figure, in inches.

    Returns
    -------
    figure, list of axes
    """
    import cartopy.crs as ccrs
    import matplotlib.pyplot as plt

    kind, arguments = PROJECTIONS[require_known(projection, PROJECTIONS, "projection")]
    columns = min(columns, axes)
    rows = -(-axes // columns)
    with style():
        fig, grid = plt.subplots(
            rows,
            columns,
            figsize=(width, rows * (MAP_HEIGHT.get(projection, 0.6) * width / columns + 0.25) + 0.55),
            subplot_kw={"projection": getattr(ccrs, kind)(**arguments)},
            squeeze=False,
            layout="constrained",
        )
    for spare in grid.ravel()[axes:]:
        spare.remove()
    return fig, list(grid.ravel()[:axes])


def draw_field(
    ax: Any, field: Any, quantity: str = "ssm", *, title: str = "", size: float | None = None, limits: Any = None
) -> Any:
    """Draw one field on a map: grids and pixels of a lattice as their cells, other pixels as squares.

    Parameters
    ----------
    ax
        From `new_map`.
    field
        `xarray.DataArray` over ``pixel`` or over ``y, x``, with coordinates ``lat`` and ``lon`` in degrees.
    quantity
        A name in `QUANTITIES`: colours and range.
    size
        Side of a scattered pixel's square, squared, in points; by default smaller the more there are.
    limits
        Colour range, if not the quantity's own.

    Returns
    -------
    The drawn artist, for a colour bar.
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


def map_fields(
    fields: Mapping[str, Any],
    quantity: str = "ssm",
    *,
    projection: str = "latlon",
    columns: int = 2,
    synthetic: bool = False,
    width: float = 7.2,
    size: float | None = None,
) -> Any:
    """Maps side by side on one colour scale.

    Parameters
    ----------
    fields
        Title to field, see `draw_field`.
    quantity
        A name in `QUANTITIES`.
    projection
        A name in `PROJECTIONS`.
    synthetic
        Whether the data are made up, on a page whose profile does not say so: then the figure says it.
    size
        See `draw_field`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    q = quantity_of(quantity)
    fig, axes = new_map(len(fields), projection=projection, columns=columns, width=width)
    limits = limits_of(q, *(f.values for f in fields.values()))
    with style():
        for ax, (title, field) in zip(axes, fields.items(), strict=True):
            drawn = draw_field(ax, field, quantity, title=title, limits=limits, size=size)
        fig.colorbar(drawn, ax=axes, label=q.label, shrink=0.8, aspect=30, extend="both", orientation="horizontal")
    return mark_synthetic(fig) if synthetic else fig


def on_synthetic_page() -> bool:
    """Whether the open page's profile is one of made-up data (`SYNTHETIC_PROFILES`)."""
    return pages.page().profile in SYNTHETIC_PROFILES


def mark_synthetic(fig: Any, words: str = "SYNTHETIC DATA") -> Any:
    """Write below a figure that its data are synthetic, so that no copy of it can pass for a measurement."""
    if not any("SYNTHETIC" in text.get_text() for text in fig.texts):
        fig.draw_without_rendering()  # only then is it known how far the figure reaches
        drawn, (width, height) = fig.get_tightbbox(), fig.get_size_inches()
        place = {"x": drawn.x1 / width, "y": drawn.y0 / height - 0.01, "ha": "right", "va": "top"}
        fig.text(**place, s=words, fontsize=7, fontweight="bold", color="0.35")
    return fig


# -- other plots -----------------------------------------------------------------------------------------------------


def plot_series(series: Mapping[str, Any], *, labels: Mapping[str, str] | None = None, title: str = "") -> Any:
    """Time series one below the other on a common time axis; those with gaps as dots, precipitation as bars.

    Parameters
    ----------
    series
        Name to `xarray.DataArray` over ``time``.
    labels
        Axis label by name; by default the variable's ``long_name`` and ``units``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    with style():
        fig, axes = plt.subplots(
            len(series), 1, figsize=(7.2, 1.35 * len(series) + 0.5), sharex=True, layout="constrained"
        )
        for ax, colour, (name, values) in zip(np.atleast_1d(axes), COLOURS * 3, series.items(), strict=False):
            if "precip" in name:
                ax.bar(values["time"], values, width=1.0, color=colour)
            elif bool(values.isnull().any()):
                ax.plot(values["time"], values, ".", markersize=3, color=colour)
            else:
                ax.plot(values["time"], values, linewidth=0.9, color=colour)
            ax.set_ylabel(
                (labels or {}).get(name, f"{name.replace('_', ' ')}\n({pretty_units(values.attrs.get('units', '1'))})")
            )
        fig.align_ylabels()
        fig.suptitle(title, fontsize=10)
    return fig


def day_slider(field: Any, quantity: str = "ssm", *, title: str = "", width: int = 640, height: int = 400) -> Any:
    """An interactive map with a slider over days that needs no server once the page is built.

    Parameters
    ----------
    field
        `xarray.DataArray` over ``time`` and ``pixel``, or ``time, y, x``, with ``lat`` and ``lon`` in degrees. Some
        30 days and a few thousand cells at most: each frame is stored in the page, about 6 bytes a cell.

    Returns
    -------
    holoviews object
    """
    import holoviews as hv
    import hvplot.pandas
    import hvplot.xarray  # noqa: F401

    hv.output(widget_location="bottom")
    q = quantity_of(quantity)
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
        xlabel="longitude (°)", ylabel="latitude (°)", title=title, hover_cols=["value"],
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


def series_chooser(
    time: NDArray[Any],
    series: Mapping[str, NDArray[Any]],
    places: Sequence[str],
    *,
    dots: Sequence[str] = ("observed", "hidden"),
    width: int = 680,
    height: int = 300,
) -> Any:
    """Interactive soil moisture series of several places, one chosen at a time; needs no server once the page is built.

    Parameters
    ----------
    time
        Days, shape (time,).
    series
        Name to values, shape (time, place), m3 m-3. NaN leaves a hole.
    places
        What the chooser says of each place.
    dots
        Names that are drawn as dots; the others are lines.

    Returns
    -------
    holoviews object
    """
    import holoviews as hv
    import hvplot.pandas  # noqa: F401

    hv.output(widget_location="bottom")
    colours = dict(zip(series, ("#000000", "#999999", "#E69F00", "#0072B2", "#009E73", "#CC79A7"), strict=False))

    def one(i: int) -> Any:
        drawn = []
        for name, values in sorted(series.items(), key=lambda item: item[0] in dots):
            known = np.isfinite(values[:, i])
            columns = (time[known], np.round(values[known, i].astype(float), 3))
            look = {"color": colours[name], "tools": ["hover"]}
            curve = hv.Scatter if name in dots else hv.Curve
            drawn.append(
                curve(columns, "day", "soil moisture", label=name).opts(**look, **({"size": 4} if name in dots else {}))
            )
        return hv.Overlay(drawn)

    # the coordinates of unlike places differ in length, so frames must not share one source
    frames = hv.HoloMap({place: one(i) for i, place in enumerate(places)}, kdims="place", sort=False)
    return frames.opts(
        hv.opts.Overlay(
            width=width,
            height=height,
            legend_position="top",
            ylabel=quantity_of("ssm").label,
            xlabel="",
            shared_axes=False,
        )
    )


# -- onto the page ---------------------------------------------------------------------------------------------------


def show(
    figure: Any,
    caption: str,
    *,
    made_by: Callable[..., Any] | str = "",
    alt: str = "",
    name: str = "",
    synthetic: bool | None = None,
    **parameters: Any,
) -> None:
    """Display a figure with caption, alternative text and provenance, glue it under `name`, and close it.

    Parameters
    ----------
    figure
        A matplotlib figure, or a holoviews object for an interactive one.
    caption
        What is seen, in a sentence or two, with units.
    made_by
        The function that drew it, for the provenance line.
    alt
        What a reader who cannot see it should know; by default the caption.
    name
        For ``{glue}`` and links; also the figure's anchor on the page.
    synthetic
        Whether it shows made-up data and is marked so; by default on every page of `SYNTHETIC_PROFILES`. False is for
        what is real there: the paper's own numbers, results on real data.
    parameters
        What it was made with beyond the page's own parameters.
    """
    line = provenance(made_by, **parameters)
    synthetic = on_synthetic_page() if synthetic is None else synthetic
    if hasattr(figure, "savefig"):
        import matplotlib.pyplot as plt

        if synthetic:
            mark_synthetic(figure, "SYNTHETIC TWIN")
        data = base64.b64encode(png_of(figure)).decode()
        body = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt or caption)}">'
        plt.close(figure)
    else:
        _display_interactive(figure)
        body = ""
    _display_html(body, caption, line, name, alt or caption, synthetic)


def show_table(
    table: Any,
    caption: str,
    *,
    made_by: Callable[..., Any] | str = "",
    name: str = "",
    digits: int = 3,
    synthetic: bool | None = None,
    **parameters: Any,
) -> None:
    """Display a data frame with caption and provenance, and glue it under `name`; named index levels become columns.

    `synthetic` is that of `show`.
    """
    synthetic = on_synthetic_page() if synthetic is None else synthetic
    named = any(n is not None for n in table.index.names)
    plain = table.reset_index() if named else table
    body = plain.to_html(
        border=0, index=not named, justify="left", float_format=lambda v: f"{v:.{digits}f}", na_rep="–"
    )
    _display_html(body, caption, provenance(made_by, **parameters), name, caption, synthetic)


def show_text(
    text: str,
    *,
    made_by: Callable[..., Any] | str = "",
    name: str = "",
    synthetic: bool = False,
    **parameters: Any,
) -> None:
    """Display a caption with provenance for what stands above it, such as a table written in Markdown."""
    _display_html("", text, provenance(made_by, **parameters), name, text, synthetic)


def png_of(figure: Any) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", dpi=STYLE["savefig.dpi"], metadata={"Software": None})
    return buffer.getvalue()


def _display_interactive(figure: Any) -> None:
    from IPython.display import display

    display(figure)


def _display_html(body: str, caption: str, line: str, name: str, alt: str, synthetic: bool) -> None:
    from IPython.display import display

    anchor = f' id="{html.escape(name)}"' if name else ""
    mark = '<b class="synthetic">Synthetic twin.</b> ' if synthetic else ""
    text = (
        f'<figure class="made"{anchor}>{body}<figcaption>{mark}{html.escape(caption)}'
        f'<p class="provenance">{html.escape(line)}</p></figcaption></figure>'
    )
    # `{glue}` finds an output by this entry of its metadata
    metadata = {"scrapbook": {"name": name, "mime_prefix": ""}} if name else {}
    plain = f"{'Synthetic twin. ' * synthetic}{alt}\n{line}"
    display({"text/html": text, "text/plain": plain}, metadata=metadata, raw=True)
