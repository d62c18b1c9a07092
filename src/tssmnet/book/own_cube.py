"""What the page "Fill your own cube" draws: a synthetic cube with holes, filled, beside its truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from tssmnet.book.style import COLOURS, figure
from tssmnet.book.tables import classes_of
from tssmnet.metrics.scores import score


def cell_series(cube: xr.Dataset, filled: xr.Dataset, truth: xr.DataArray, place: Mapping[str, int]) -> Any:
    """Truth, model with its interval, and observations of one cell."""
    with figure(figsize=(7.4, 2.8)) as (fig, ax):
        ax.plot(cube.time, truth.isel(place), color="0.6", linewidth=1, label="truth (synthetic)")
        if "ssm_lower" in filled:
            low, high = filled.ssm_lower.isel(place), filled.ssm_upper.isel(place)
            ax.fill_between(cube.time, low, high, color=COLOURS[0], alpha=0.25, linewidth=0, label="90 % interval")
        ax.plot(cube.time, filled.ssm_model.isel(place), color=COLOURS[0], linewidth=1, label="model")
        ax.plot(cube.time, cube.ssm.isel(place), ".", color=COLOURS[1], markersize=5, label="observed")
        ax.set(ylabel="soil moisture (m³ m⁻³)", title="cell " + ", ".join(map(str, place.values())))
        ax.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.12))
    return fig


def day_maps(fields: Mapping[str, xr.DataArray], day: int) -> Any:
    """One day of several fields side by side, on one scale."""
    with figure(1, len(fields), figsize=(7.4, 2.4), sharey=True) as (fig, axes):
        for ax, (title, field) in zip(axes, fields.items(), strict=True):
            one = field.isel(time=day)
            image = ax.pcolormesh(one.x / 1e3, one.y / 1e3, one, cmap="YlGnBu", vmin=0.05, vmax=0.45)
            ax.set(title=title, xlabel="x (km)", aspect="equal", facecolor="#f4f4f4")
        axes[0].set_ylabel("y (km)")
        fig.colorbar(image, ax=axes, label="soil moisture (m³ m⁻³)", shrink=0.9, extend="both")
    return fig


def in_gaps(cube: xr.Dataset, filled: xr.Dataset, truth: xr.DataArray) -> pd.Series:
    """Scores of a filled cube against the truth where the cube has gaps, pooled."""
    gap = cube.ssm.isnull()
    pooled: pd.Series = score(truth.where(gap), filled.ssm.where(gap), ci=False).loc["pooled"]
    return pooled


def share_inside(cube: xr.Dataset, filled: xr.Dataset, truth: xr.DataArray) -> str:
    """A sentence on how much of the truth in the gaps lies inside the interval; nothing where there is none."""
    if "ssm_lower" not in filled:
        return ""
    held = ((filled.ssm_lower <= truth) & (truth <= filled.ssm_upper)).values[cube.ssm.isnull().values].mean()
    return f"{100 * held:.0f} % of the truth in the gaps lies inside the 90 % interval."


def source_table(filled: xr.Dataset) -> pd.DataFrame:
    """How many values come from where."""
    count = pd.Series({name: int((filled.source == v).sum()) for v, name in classes_of(filled.source).items()})
    return pd.DataFrame({"pixel-days": count, "share (%)": 100 * count / count.sum()}).rename_axis("source")
