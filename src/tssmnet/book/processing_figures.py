"""The figures and tables of the page on processing: each step held against the twin's truth or a made-up example.

Arrays are on (time, pixel), as in the parts of the profile ``twin``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.acquisition import cause_shares
from tssmnet.book.page import mark_synthetic
from tssmnet.book.style import COLOURS, QUANTITIES, figure
from tssmnet.data import processing
from tssmnet.filler.evidence import distance_to_observation
from tssmnet.twin.world import tvdi_windows

Float = NDArray[np.floating]
CLEAR, FILLED, GREEN = COLOURS[1], COLOURS[0], COLOURS[2]
LAPSE_RATE, BINS = 0.0055, 20
"""Those of `temperature_vegetation_dryness`: K m-1, and bins of NDVI from 0 to 1."""

RULES: Mapping[str, tuple[Any, Any]] = {
    "height (m)": ("viridis", None),
    "slope (°)": ("magma_r", None),
    "aspect (°)": ("twilight", (0, 360)),
    "class": (None, (-0.5, 3.5)),
}
"""Colour map and range of each raster of `two_hills`."""


def screening_table() -> pd.DataFrame:
    """Five made-up SMAP values (m3 m-3) with the lowest four bits of their flag, before and after screening."""
    cases = {
        "all bits clear": (0b0, 0.21),
        "bit 0: not recommended": (0b1, 0.24),
        "bit 3 alone: still recommended": (0b1000, 0.23),
        "above the range": (0b0, 0.71),
        "below the range": (0b0, 0.01),
    }
    table = pd.DataFrame.from_dict(cases, orient="index", columns=["flag", "value"]).rename_axis("meaning")
    good = processing.smap_recommended(table["flag"])
    after = processing.screen_values(table["value"], good, valid=(0.02, 0.6))
    return table.assign(flag=table["flag"].map("{:04b}".format), after=after)


def causes_by_month(cause: xr.DataArray) -> pd.DataFrame:
    """`cause_shares` by month of the year, a column for each cause, per cent."""
    return pd.DataFrame({month: cause_shares(days) for month, days in cause.groupby("time.month")}).T


def temperature_series(time: NDArray[Any], clear: Float, filled: Float, true: Float) -> Any:
    """Land surface temperature of one cell (K): clear days as dots, filled and true as lines."""
    with figure(figsize=(7.2, 2.8)) as (fig, ax):
        ax.plot(time, true, color="0.65", linewidth=2.2, label="truth")
        ax.plot(time, filled, color=FILLED, linewidth=0.9, label="all-weather, filled")
        ax.plot(time, clear, ".", color=CLEAR, markersize=4, label="clear sky, as MODIS sees it")
        ax.set(ylabel="land surface temperature (K)")
        _legend_above(ax, 3)
    return fig


class TemperatureErrors(NamedTuple):
    """Errors of land surface temperature (K), and the days to the nearest clear day, 0 on a clear one."""

    filled: Float
    straight: Float  # of a straight line in time between clear days
    away: Float


def temperature_errors(clear: Float, filled: Float, true: Float) -> TemperatureErrors:
    """What the filling of clear days misses of the truth, all in K."""
    straight = processing.interpolate_gaps(clear)
    return TemperatureErrors(filled - true, straight - true, distance_to_observation(~np.isnan(clear)))


def temperature_scores(errors: TemperatureErrors) -> pd.DataFrame:
    """Share of the pixel-days (per cent), RMSE, bias and the straight line's RMSE (K), on clear and on cloudy days."""
    days = {"clear": errors.away == 0, "cloudy": errors.away > 0}
    rows = {
        name: (
            100 * mask.mean(),
            _rms(errors.filled[mask]),
            np.nanmean(errors.filled[mask]),
            _rms(errors.straight[mask]),
        )
        for name, mask in days.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["share", "rmse", "bias", "straight"])


def _rms(error: Float) -> float:
    return float(np.sqrt(np.nanmean(np.square(error, dtype=float))))


def temperature_error_figure(errors: TemperatureErrors) -> Any:
    """Histograms of the error on clear and on cloudy days (left), and RMSE by days to the nearest clear day (right)."""
    away = errors.away
    reach = [n for n in range(1, 9) if (away == n).sum() > 100]
    days = {"clear days, kept": (away == 0, CLEAR), "cloudy days, filled": (away > 0, FILLED)}
    ways = {"this filling": (errors.filled, FILLED), "straight line in time": (errors.straight, COLOURS[7])}
    with figure(1, 2, figsize=(7.2, 2.7)) as (fig, (left, right)):
        for label, (mask, colour) in days.items():
            bins = np.linspace(-12, 12, 97)
            left.hist(errors.filled[mask], bins, density=True, histtype="step", color=colour, label=label)
        left.set(xlabel="estimate − truth (K)", ylabel="density (K⁻¹)")
        left.legend(fontsize=7, loc="upper left")
        for label, (error, colour) in ways.items():
            rmse = [_rms(error[away == n]) for n in reach]
            right.plot(reach, rmse, marker="o", markersize=3, color=colour, label=label)
        right.set(xlabel="days to the nearest clear day", ylabel="RMSE (K)", ylim=(0, None))
        right.legend(fontsize=7)
    return fig


def _middle(seen: xr.Dataset) -> NDArray[Any]:
    """The day to which a composite of 16 days is set."""
    return np.asarray(seen["composite"].values + np.timedelta64(8, "D"))


def envelope_figure(cube: xr.Dataset, seen: xr.Dataset, pixel: int) -> Any:
    """NDVI and EVI of one cell: composites as dots, the daily envelope as a line."""
    with figure(2, 1, figsize=(7.2, 3.8), sharex=True) as (fig, axes):
        for ax, name in zip(axes, ("ndvi", "evi"), strict=True):
            composites = seen[f"{name}_composite"].isel(pixel=pixel)
            ax.plot(_middle(seen), composites, "o", markersize=4, color=CLEAR, label="16-day composite")
            ax.plot(cube["time"], cube[name].isel(pixel=pixel), color=GREEN, label="upper envelope, daily")
            ax.set_ylabel(f"{name.upper()} (–)")
        _legend_above(axes[0], 2)
    return fig


def lifted(cube: xr.Dataset, seen: xr.Dataset, name: str) -> float:
    """By how much the daily envelope of an index lies above its composites, mean over all cells."""
    daily = cube[name].sel(time=_middle(seen), method="nearest").values
    return float(np.nanmean(daily - seen[f"{name}_composite"].values))


def haze_figure() -> Any:
    """A made-up index lowered by haze, and what two filters make of it; their RMSE stands in the legend."""
    rng, step = np.random.default_rng(0), np.arange(46)
    clean = 0.35 - 0.22 * np.cos(2 * np.pi * step / 23)
    hazy = rng.random(46) < 0.3
    dirty = np.where(hazy, clean - rng.exponential(0.12, 46), clean + 0.01 * rng.standard_normal(46))
    filters = {
        "Savitzky-Golay": (processing.savitzky_golay, FILLED),
        "upper envelope": (processing.upper_envelope, GREEN),
    }
    with figure(figsize=(7.2, 2.5)) as (fig, ax):
        ax.plot(step, clean, color="0.65", linewidth=2.5, label="clean")
        ax.plot(step, dirty, "o", markersize=3.5, color=CLEAR, label="with haze")
        for name, (smooth, colour) in filters.items():
            values = smooth(dirty[:, None])[:, 0]
            ax.plot(step, values, color=colour, label=f"{name}: {_rms(values - clean):.3f}")
        ax.set(xlabel="composite", ylabel="NDVI (–)")
        _legend_above(ax, 4)
    return mark_synthetic(fig)


def triangle_cells(today: xr.Dataset, truth: xr.DataArray, pixel: int) -> pd.DataFrame:
    """The cells that share the window of `pixel`: NDVI, temperature at sea level (K), TVDI, true soil moisture.

    `today`, `truth`: a cube and the true soil moisture on one day, over ``pixel``.
    """
    window = tvdi_windows(today["lon"].values, today["lat"].values)
    level = today["lst"] + LAPSE_RATE * today["dem"]
    columns = {"ndvi": today["ndvi"], "temperature": level, "tvdi": today["tvdi"], "ssm": truth}
    return pd.DataFrame({name: field.values for name, field in columns.items()})[window == window[pixel]]


def triangle_edges(cells: pd.DataFrame) -> dict[str, Float]:
    """Intercept and slope of the dry and the wet edge (K against NDVI); empty where there are too few bins."""
    slot = np.clip((cells["ndvi"].to_numpy() * BINS).astype(int), 0, BINS - 1)
    one, temperature = np.zeros_like(slot), cells["temperature"].to_numpy()
    lines = {
        n: processing._fit_edge(temperature, slot, one, 1, BINS, n == "dry edge")[0] for n in ("dry edge", "wet edge")
    }
    return {name: line for name, line in lines.items() if np.isfinite(line).all()}


def triangle_figure(cells: pd.DataFrame, edges: Mapping[str, Float]) -> Any:
    """Temperature against NDVI, coloured by soil moisture, with the edges."""
    q, greenness = QUANTITIES["ssm"], np.linspace(cells["ndvi"].min(), cells["ndvi"].max(), 50)
    look: dict[str, Any] = {"s": 16, "edgecolors": "0.4", "linewidths": 0.3}
    with figure(figsize=(5.6, 3.5)) as (fig, ax):
        colours = {"c": cells["ssm"], "cmap": q.cmap, "vmin": q.low, "vmax": q.high}
        drawn = ax.scatter(cells["ndvi"], cells["temperature"], **colours, **look)
        for (name, (start, slope)), colour in zip(edges.items(), (COLOURS[1], COLOURS[0]), strict=False):
            ax.plot(greenness, start + slope * greenness, color=colour, label=name)
        fig.colorbar(drawn, ax=ax, label=f"true {q.label}")
        ax.set(xlabel="NDVI (–)", ylabel="LST at sea level (K)")
        ax.legend()
    return fig


def dryness_by_wetness(tvdi: xr.DataArray, truth: xr.Dataset) -> pd.DataFrame:
    """Quartiles of TVDI by the true soil moisture, as a share of the way from residual to saturation."""
    wetness = (truth["ssm_true"] - truth["residual"]) / (truth["saturation"] - truth["residual"])
    known = tvdi.notnull().values
    steps = np.linspace(0, 0.8, 17)
    slot = pd.cut(wetness.transpose(*tvdi.dims).values[known], steps, labels=steps[:-1] + 0.025, right=False)
    return pd.Series(tvdi.values[known]).groupby(slot, observed=True).quantile([0.25, 0.5, 0.75]).unstack()


def dryness_figure(dryness: pd.DataFrame, r: Float) -> Any:
    """`dryness_by_wetness` (left), and the correlation of TVDI and true soil moisture within cells (right)."""
    x = dryness.index.to_numpy(float)
    with figure(1, 2, figsize=(7.2, 2.8)) as (fig, (left, right)):
        left.plot(x, dryness[0.5], color=COLOURS[1], label="median")
        left.fill_between(x, dryness[0.25], dryness[0.75], color=COLOURS[1], alpha=0.25, label="middle half")
        left.set_xlabel("true soil moisture, share of the way\nfrom residual to saturation")
        left.set(ylabel="TVDI (–)", ylim=(0, 1))
        left.legend()
        right.hist(r, np.linspace(-1, 1, 41), color=COLOURS[0])
        right.axvline(0, color="0.3", linewidth=0.8)
        right.set(xlabel="correlation of TVDI and true\nsoil moisture within a cell", ylabel="cells")
    return fig


def two_hills(factor: int = 12, side: int = 60) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Two made-up hills on cells of 250 m: each raster of `RULES`, fine, and coarse by `factor`."""
    y, x = np.mgrid[0:side, 0:side] / side
    height = 900 * np.exp(-((x - 0.35) ** 2 + (y - 0.45) ** 2) / 0.04)
    height += 350 * np.exp(-((x - 0.75) ** 2 + (y - 0.7) ** 2) / 0.02)
    east, north = processing.horn_gradient(height, 250.0)
    slope, aspect = processing.slope_degrees(east, north), processing.aspect_degrees(east, north)
    components = (processing.aggregate_mean(c, factor) for c in processing.aspect_components(east, north))
    classes = np.select([height > 420, slope > 4, y > 0.75], [3, 2, 1], 0)
    fine = (height, slope, aspect, classes)
    coarse = (
        processing.aggregate_mean(height, factor),
        processing.aggregate_mean(slope, factor),
        # a gradient points uphill, the aspect downhill
        processing.aspect_degrees(*(-c for c in components)),
        processing.aggregate_majority(classes, factor),
    )
    return dict(zip(RULES, zip(fine, coarse, strict=True), strict=True))


def hills_figure(hills: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Any:
    """The rasters of `two_hills`, fine above and coarse below."""
    from matplotlib.colors import ListedColormap

    with figure(2, 4, figsize=(7.4, 4.0)) as (fig, axes):
        for column, (name, rasters) in zip(axes.T, hills.items(), strict=True):
            cmap, limits = RULES[name]
            low, high = limits or (np.nanmin(rasters[0]), np.nanmax(rasters[0]))
            cmap = cmap or ListedColormap([COLOURS[i] for i in (5, 4, 2, 0)])
            for ax, values in zip(column, rasters, strict=True):
                drawn = ax.imshow(values, cmap=cmap, vmin=low, vmax=high)
                ax.set(xticks=[], yticks=[])
            column[0].set_title(name)
            ticks = range(4) if name == "class" else None
            fig.colorbar(drawn, ax=list(column), orientation="horizontal", shrink=0.9, ticks=ticks)
        axes[0, 0].set_ylabel("fine, 250 m")
        axes[1, 0].set_ylabel("coarse, 3 km")
    return mark_synthetic(fig)


def kept_classes(hills: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> pd.DataFrame:
    """Share of each class of `two_hills`, fine and coarse, per cent."""
    grids = zip(("share, fine (%)", "share, coarse (%)"), hills["class"], strict=True)
    shares = {title: [100 * (grid == k).mean() for k in range(4)] for title, grid in grids}
    return pd.DataFrame(shares, index=pd.Index(range(4), name="class"))


def _legend_above(ax: Any, columns: int) -> None:
    ax.legend(ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0))
