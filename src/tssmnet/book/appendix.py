"""What Appendix A shows of the descriptors: their table, their values, their maps, how much the open choices matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.maps import draw_field, new_map
from tssmnet.book.style import COLOURS, figure, pretty_units, style
from tssmnet.features.descriptors import DESCRIPTORS, NAMES

Found = Mapping[float, NDArray[Any]]


def table_a1() -> str:
    """Table A1 as Markdown: abbreviation, formula, unit, whether it grows with coverage, what it is tied to."""
    lines = ["| descriptor | formula | unit | grows | tied to |", "|---|---|---|---|---|"]
    for category, members in pd.Series(DESCRIPTORS).groupby([d.category for d in DESCRIPTORS], sort=False):
        lines.append(f"| **{category}** | | | | |")
        for d in members:
            formula = d.formula.replace("|", r"\vert ")  # a bar would end the cell
            tied = ", ".join(o.abbr for o in DESCRIPTORS if d.ties and o.ties == d.ties and o is not d)
            grows = "yes" if d.coverage_dependent else ""
            name = f"{d.abbr}: {d.name[0].lower()}{d.name[1:]}"
            lines.append(f"| {name} | ${formula}$ | {pretty_units(d.units())} | {grows} | {tied} |")
    return "\n".join(lines)


def values_table(described: xr.Dataset) -> pd.DataFrame:
    """Median and range of each descriptor over the pixels, and what the tests hold it against."""
    rows = (
        {
            "what": d.definition,
            "median": f"{float(described[d.abbr].median()):.3g}",
            "5 to 95 %": " to ".join(f"{q:.3g}" for q in np.nanquantile(described[d.abbr], [0.05, 0.95])),
            "pixels": int(described[d.abbr].notnull().sum()),
            "tested against": d.oracle or "values by hand",
        }
        for d in DESCRIPTORS
    )
    return pd.DataFrame(rows).set_axis(pd.Index(NAMES, name="descriptor"))


def descriptor_maps(described: xr.Dataset, names: Sequence[str], projection: str) -> Any:
    """A map of each of some descriptors; means have the colours of soil moisture."""
    levels = {d.abbr for d in DESCRIPTORS if d.category == "Central tendency"}
    fig, axes = new_map(len(names), projection=projection, columns=2, width=7.2)
    with style():
        for ax, name in zip(axes, names, strict=True):
            unit = pretty_units(described[name].attrs["units"])
            image = draw_field(ax, described[name], "ssm" if name in levels else "any", title=name)
            label = "" if unit == "1" else unit
            fig.colorbar(image, ax=ax, shrink=0.8, aspect=30, label=label, extend="both", orientation="horizontal")
    return fig


def sensitivity(by_power: Found, by_count: Found) -> Any:
    """Spread over the pixels (left) and rank correlation with the default (right), by exponent and by segments."""
    rows = ((by_power, 3.0, "exponent of WPM", "WPM (m³ m⁻³)"), (by_count, 2, "segments of SegCorr", "SegCorr"))
    with figure(2, 2, figsize=(7.4, 4.6)) as (fig, axes):
        for (left, right), (found, default, label, unit) in zip(axes, rows, strict=True):
            names = [f"{key:g}" for key in found]
            whole = [v[np.isfinite(v)] for v in found.values()]
            left.boxplot(whole, tick_labels=names, whis=(5, 95), showfliers=False, medianprops={"color": COLOURS[1]})
            left.set(xlabel=label, ylabel=unit)
            same = [_rank_correlation(found[default], v) for v in found.values()]
            right.plot(names, same, "o-")
            right.set(xlabel=label, ylabel="rank correlation\nwith the default", ylim=(min(0, *same) - 0.06, 1.06))
    return fig


def _rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(pd.Series(np.ravel(first)).corr(pd.Series(np.ravel(second)), method="spearman"))


def changed_by_spacing(described: xr.Dataset, in_time: xr.Dataset) -> pd.Series:
    """Rank correlation of closed-up and dated variants, of the descriptors whose order changes."""
    same = pd.Series({n: _rank_correlation(described[n].values, in_time[n].values) for n in NAMES})
    return same[same < 0.9999].sort_values()


def spacing_bars(changed: pd.Series, described: xr.Dataset, ssm: xr.DataArray) -> Any:
    """Descriptors that the spacing changes (left), and those that follow coverage (right)."""
    share = ssm.notnull().mean("time").values
    grows = {d.abbr: _rank_correlation(described[d.abbr].values, share) for d in DESCRIPTORS if d.twin}
    with figure(1, 2, figsize=(7.4, 2.8)) as (fig, (left, right)):
        left.barh(changed.index, changed)
        left.set(xlabel="rank correlation of the two variants", xlim=(min(0, changed.min()), 1))
        right.barh(list(grows), list(grows.values()), color=COLOURS[1])
        right.set(xlabel="rank correlation with the share of days observed", xlim=(min(0, *grows.values()), 1))
    return fig
