"""Figures that more than one page draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from tssmnet.book import maps
from tssmnet.book.style import COLOURS, PRODUCT_COLOURS, figure, limits_of, pretty_units, quantity_of, style
from tssmnet.metrics.pooled import scores_from, sums_by_place


def plot_series(series: Mapping[str, xr.DataArray], *, title: str = "") -> Any:
    """Series over ``time`` one below the other on a common axis; those with gaps as dots, precipitation as bars."""
    with figure(len(series), 1, figsize=(7.2, 1.35 * len(series) + 0.5), sharex=True) as (fig, axes):
        for ax, colour, (name, values) in zip(np.atleast_1d(axes), COLOURS * 3, series.items(), strict=False):
            if "precip" in name:
                ax.bar(values["time"], values, width=1.0, color=colour)
            elif bool(values.isnull().any()):
                ax.plot(values["time"], values, ".", markersize=3, color=colour)
            else:
                ax.plot(values["time"], values, linewidth=0.9, color=colour)
            ax.set_ylabel(f"{name.replace('_', ' ')}\n({pretty_units(values.attrs.get('units', '1'))})")
        fig.align_ylabels()
        fig.suptitle(title, fontsize=10)
    return fig


def series_chooser(time: NDArray[Any], series: Mapping[str, NDArray[Any]], places: Sequence[str]) -> Any:
    """Interactive soil moisture series of several places, one chosen at a time; needs no server once the page is built.

    `time`: days, shape (time,).
    `series`: name to values, shape (time, place), m3 m-3. NaN leaves a hole; observations are dots, the others lines.
    `places`: what the chooser says of each place.
    """
    import holoviews as hv
    import hvplot.pandas  # noqa: F401

    hv.output(widget_location="bottom")
    dots = ("observed", "hidden")
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
            width=680,
            height=300,
            legend_position="top",
            ylabel=quantity_of("ssm").label,
            xlabel="",
            shared_axes=False,
        )
    )


CAUSE_COLOURS = ("#d9d9d9", "#56B4E9", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#999999")


def density_counts(x: ArrayLike, y: ArrayLike, high: float, bins: int) -> NDArray[np.int64]:
    """Pairs in each square bin of 0 to `high`, shape (bins, bins), x first; pairs outside or with NaN do not count.

    Examples
    --------
    >>> density_counts([0.1, 0.1, 0.9], [0.1, 0.6, float("nan")], high=1.0, bins=2).tolist()
    [[1, 1], [0, 0]]
    """
    x, y = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    inside = (x >= 0) & (x < high) & (y >= 0) & (y < high)  # false for NaN
    column, row = ((v[inside] * (bins / high)).astype(np.int64) for v in (x, y))
    counts: NDArray[np.int64] = np.bincount(column * bins + row, minlength=bins * bins).reshape(bins, bins)
    return counts


def density_panels(
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]], xlabel: str, high: float = 0.6, bins: int = 80
) -> Any:
    """Density scatters side by side on one logarithmic scale, each with the 1:1 line, the regression and its scores.

    `pairs`: Title to reference and estimate, arrays of one shape, m3 m-3.
    `xlabel`: with units.
    `high`, `bins`: upper end of both axes, and bins along each.
    """
    from matplotlib.colors import LogNorm

    counts = {name: density_counts(x, y, high, bins) for name, (x, y) in pairs.items()}
    norm = LogNorm(1, max(2, *(int(c.max()) for c in counts.values())))
    rows = -(-len(pairs) // 3)
    with figure(rows, 3, figsize=(7.8, 2.5 * rows + 0.2), sharex=True, sharey=True, squeeze=False) as (fig, axes):
        for ax, (name, (x, y)) in zip(axes.ravel(), pairs.items(), strict=False):
            drawn = _density(ax, counts[name], high, norm)
            _regression(ax, np.asarray(x), np.asarray(y), high)
            ax.set(title=name, xlim=(0, high), ylim=(0, high), aspect="equal")
        for ax in axes.ravel()[len(pairs) :]:
            ax.remove()
        fig.supxlabel(xlabel, fontsize=9)
        fig.supylabel("product (m³ m⁻³)", fontsize=9)
        fig.colorbar(drawn, ax=list(axes.ravel()[: len(pairs)]), label="pairs in a bin", shrink=0.7)
    return fig


def _density(ax: Any, counts: NDArray[np.int64], high: float, norm: Any) -> Any:
    edges = np.linspace(0, high, len(counts) + 1)
    shown = np.where(counts > 0, counts, np.nan).T
    return ax.pcolormesh(edges, edges, shown, norm=norm, cmap="viridis", rasterized=True)


def _regression(ax: Any, x: NDArray[Any], y: NDArray[Any], high: float) -> None:
    s = {k: float(v[0]) for k, v in scores_from(sums_by_place(x, y, 0, 1)).items()}
    middle = float(x[np.isfinite(x) & np.isfinite(y)].mean()) if s["count"] else 0.0
    ends = np.array([0, high])
    ax.plot(ends, ends, color="0.2", linewidth=0.8)
    ax.plot(ends, middle + s["bias"] + s["slope"] * (ends - middle), color=COLOURS[1], linewidth=1.4)
    lines = [f"n = {s['count']:,.0f}", f"r = {s['r']:.2f}", f"bias = {s['bias']:.3f}", f"RMSE = {s['rmse']:.3f}"]
    text = "\n".join([*lines, f"slope = {s['slope']:.2f}"]).replace("-", "−")
    box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}
    ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=7.5, bbox=box)


def rank_chart(ranks: pd.DataFrame, judges: Mapping[str, str], titles: Mapping[str, str]) -> Any:
    """Ranks of products under several judges, one line a product: lines that cross are disagreements.

    `ranks`: index product, a column for each judge.
    `judges`: column to its label on the axis, in the order to draw.
    `titles`: product to its label.
    """
    with figure(figsize=(7.4, 2.8)) as (fig, ax):
        for name in ranks.index:
            ax.plot(
                range(len(judges)), ranks.loc[name, [*judges]], "-o", markersize=7, linewidth=1.4,
                color=PRODUCT_COLOURS[name], label=titles[name],
            )  # fmt: skip
        ax.set(xticks=range(len(judges)), xticklabels=judges.values(), ylabel="rank by RMSE")
        ax.set_yticks(range(1, len(ranks) + 1))
        ax.invert_yaxis()
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def station_panels(panels: Mapping[str, Mapping[str, xr.DataArray]], titles: Mapping[str, str]) -> Any:
    """Soil moisture at several places, one panel each: stations and SMAP as dots, the others as lines.

    `panels`: title of the panel to series over ``time``, by a name in `tssmnet.book.style.PRODUCT_COLOURS`, m3 m-3.
    `titles`: name of a series to its label.
    """
    sizes = {"station": 2.0, "smap": 3.2}
    with figure(len(panels), 1, figsize=(7.8, 1.55 * len(panels) + 0.6), sharex=True, squeeze=False) as (fig, axes):
        for ax, (place, series) in zip(axes[:, 0], panels.items(), strict=True):
            for name, values in series.items():
                look: dict[str, Any] = {"linewidth": 1.0}
                if name in sizes:
                    look = {"linestyle": "", "marker": ".", "markersize": sizes[name] + 1, "zorder": 3}
                ax.plot(values["time"], values, color=PRODUCT_COLOURS[name], label=titles[name], **look)
            ax.set_title(place, fontsize=8.5, loc="left")
        fig.legend(
            *axes[0, 0].get_legend_handles_labels(), ncols=len(titles), loc="outside upper center", markerscale=2
        )
        fig.supylabel("soil moisture (m³ m⁻³)", fontsize=9)
    return fig


def cause_bars(share: pd.DataFrame, colours: Mapping[str, str]) -> Any:
    """Stacked bars by month: the share of cells and days of each cause.

    `share`: index the first day of each month, or its number; a column for each cause, in the order of stacking.
    `colours`: by cause.
    """
    dated = isinstance(share.index, pd.DatetimeIndex)
    months = share.index.to_numpy().astype("datetime64[D]" if dated else int)  # a bar's width counts in this unit
    look: dict[str, Any] = {"width": 28, "align": "edge"} if dated else {"width": 0.85}
    with figure(figsize=(7.6, 2.9)) as (fig, ax):
        base = np.zeros(len(months))
        for name, values in share.items():
            ax.bar(months, values, bottom=base, label=name, color=colours[str(name)], **look)
            base = base + values.to_numpy()
        ax.set(ylabel="share of cells and days", ylim=(0, 1))
        if not dated:
            ax.set(xlabel="month", xticks=months)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    return fig


def cause_maps(
    fields: Mapping[str, xr.DataArray], names: Sequence[str], colours: Mapping[str, str], projection: str
) -> Any:
    """Maps of the most frequent cause.

    `fields`: Title to index into `names`, over ``pixel``.
    `names`, `colours`: of the causes.
    `projection`: a name in `tssmnet.book.maps.PROJECTIONS`.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    fig, axes = maps.new_map(len(fields), projection=projection, columns=2, width=7.8)
    present = sorted({int(v) for f in fields.values() for v in np.unique(f.values[np.isfinite(f.values)])})
    with style():
        for ax, (title, field) in zip(axes, fields.items(), strict=True):
            drawn = maps.draw_field(ax, field, "any", title=title, limits=(-0.5, len(names) - 0.5))
            drawn.set_cmap(ListedColormap([colours[name] for name in names]))
        handles = [Patch(color=colours[names[i]], label=names[i]) for i in present]
        fig.legend(handles=handles, loc="outside lower center", ncols=3)
    return fig


def error_dots(table: pd.DataFrame, columns: Mapping[str, str], kinds: Sequence[str], titles: Mapping[str, str]) -> Any:
    """Scores of products by kind, a panel for each score, a row for each kind.

    `table`: index (product, label), as `tssmnet.book.truth.errors_of_products` gives it.
    `columns`: score to its label with unit.
    `kinds`: labels, top to bottom.
    `titles`: product to its label; a product without a value under a kind is left out there.
    """
    place = np.arange(len(kinds))
    with figure(1, len(columns), figsize=(8.2, 0.32 * len(kinds) + 1.3), sharey=True) as (fig, axes):
        for ax, (column, label) in zip(np.atleast_1d(axes), columns.items(), strict=True):
            wide = table[column].unstack("label")[[*kinds]]
            for i, name in enumerate(titles):
                shift = 0.13 * (i - (len(titles) - 1) / 2)
                marker = "D" if name == "smap" else "o"
                ax.plot(
                    wide.loc[name],
                    place + shift,
                    marker,
                    markersize=4.5,
                    color=PRODUCT_COLOURS[name],
                    label=titles[name],
                )
            ax.set(xlabel=label, yticks=place, yticklabels=kinds)
            ax.grid(axis="x", color="0.9")
            if wide.to_numpy().min(initial=0, where=np.isfinite(wide.to_numpy())) < 0:
                ax.axvline(0, color="0.6", linewidth=0.8)
        np.atleast_1d(axes)[0].invert_yaxis()
        fig.legend(*np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(titles))
    return fig


def length_lines(
    table: pd.DataFrame, columns: Mapping[str, str], classes: Sequence[str], titles: Mapping[str, str]
) -> Any:
    """Scores of products over classes of gap length, a panel for each score; arguments as for `error_dots`."""
    with figure(1, len(columns), figsize=(7.8, 3.0)) as (fig, axes):
        for ax, (column, label) in zip(np.atleast_1d(axes), columns.items(), strict=True):
            wide = table[column].unstack("label")
            for name, title in titles.items():
                ax.plot(
                    [*classes], wide.loc[name, [*classes]], "-o", markersize=4, color=PRODUCT_COLOURS[name], label=title
                )
            ax.set(ylabel=label, xlabel="length of the gap", ylim=(0, None))
            ax.tick_params(axis="x", labelsize=7, rotation=25)
        fig.legend(*np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(titles))
    return fig


def number_grid(values: pd.DataFrame, share: pd.DataFrame) -> Any:
    """A grid of coloured RMSE, each with its share in per cent below; cells of share 0 stay empty.

    `values`, `share`: of one shape, index and columns as labels; shares between 0 and 1.
    """
    q = quantity_of("rmse")
    low, high = limits_of(q, values.to_numpy())
    with figure(figsize=(5.6, 0.42 * len(values) + 1.1)) as (fig, ax):
        drawn = ax.imshow(values.where(share > 0), cmap=q.cmap, vmin=low, vmax=high, aspect="auto")
        for (i, j), value in np.ndenumerate(values.to_numpy(float)):
            if share.iloc[i, j] > 0:
                colour = "white" if value > (low + high) / 2 else "black"
                text = f"{value:.3f}\n({100 * share.iloc[i, j]:.1f} %)"
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color=colour)
        ax.set(xticks=range(values.shape[1]), xticklabels=values.columns)
        ax.set(yticks=range(len(values)), yticklabels=values.index)
        fig.colorbar(drawn, ax=ax, label=q.label, extend="max")
    return fig
