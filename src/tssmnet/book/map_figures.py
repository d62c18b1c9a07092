"""The tables and figures of the page on the reconstructed maps: products beside the truth, seasons, coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr

from tssmnet.book.style import COLOURS, figure
from tssmnet.book.validation import SHORT
from tssmnet.cube.earth import SEASONS


def side_by_side(
    product: xr.DataArray, truth: xr.DataArray | None, names: Sequence[str] = tuple(SHORT)
) -> dict[str, xr.DataArray]:
    """SMAP, the truth where it is known, and the other products, by title, in the order of the maps.

    `product`, `truth`: dims (product, time, pixel) and (time, pixel), m3 m-3.
    """
    fields = {SHORT[name]: product.sel(product=name) for name in names}
    return {"SMAP": fields["SMAP"]} | ({} if truth is None else {"truth": truth}) | fields


def season_means(values: xr.DataArray) -> xr.DataArray:
    """Mean of each season that the record has, dims (season, pixel); NaN does not count."""
    season = (values["time.month"] % 12 // 3).rename("season")
    means = values.groupby(season).mean()
    return means.assign_coords(season=[[*SEASONS][i] for i in means["season"].values])


def season_table(truth: xr.DataArray, product: xr.DataArray) -> pd.DataFrame:
    """How much SMAP sees of each season, and the RMSE over cells (m3 m-3) of seasonal means against the true mean."""
    smap, true = product.sel(product="smap"), season_means(truth)
    seen = season_means(smap.notnull())
    columns = {
        "days observed (%)": 100 * seen.mean("pixel"),
        "cells never observed (%)": 100 * (seen == 0).mean("pixel"),
    }
    means = {
        "truth, on SMAP's days": truth.where(smap.notnull()),
        "SMAP, on its days": smap,
        "TsSMNet, all days": product.sel(product="tssmnet"),
    }
    off = {title: ((season_means(values) - true) ** 2).mean("pixel") ** 0.5 for title, values in means.items()}
    index = pd.Index(true["season"].values, name="season")
    return pd.DataFrame({title: column.values for title, column in {**columns, **off}.items()}, index)


def coverage_by_month(product: xr.DataArray) -> pd.DataFrame:
    """Share of cells and days with a value; index: first day of each month, columns SMAP and TsSMNet."""
    share = product.sel(product=["smap", "tssmnet"]).notnull().mean("pixel")
    monthly: pd.DataFrame = share.resample(time="MS").mean().transpose("time", "product").to_pandas()
    return monthly.rename(columns=SHORT)


def coverage_bars(monthly: pd.DataFrame) -> Any:
    """The shares of `coverage_by_month`, SMAP's before that of TsSMNet."""
    with figure(figsize=(7.2, 2.5)) as (fig, ax):
        for name, colour in (("TsSMNet", "#d9d9d9"), ("SMAP", COLOURS[0])):
            ax.bar(monthly.index, monthly[name], width=26, align="edge", color=colour, label=name)
        ax.set(ylabel="share of cells and days\nwith a value", ylim=(0, 1.05))
        ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig
