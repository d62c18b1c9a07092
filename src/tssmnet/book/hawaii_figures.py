"""The tables and figures of the page on Hawaii, apart from its fillings, which are stored by their own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet import metrics
from tssmnet.book.style import COLOURS, figure
from tssmnet.book.tables import classes_of

RECORDS = {
    "station": "SCAN SilverSword, 5 cm",
    "smap": "SMAP version 9, nearest cell",
    "cci": "ESA CCI v09.2, gap-filled",
    "cci_observed": "ESA CCI v09.2, observed",
}
"""Variables of `tssmnet.data.hawaii.hawaii` in a reader's words."""

GROUPS = 8
"""Into how many groups of equal size stated errors are cut."""


def records_table(here: xr.Dataset) -> pd.DataFrame:
    """How long each record is, and its mean and standard deviation (m3 m-3)."""
    rows = []
    for name, title in RECORDS.items():
        seen = here[name].notnull()
        first, last = (str(day)[:10] for day in here["time"][seen].values[[0, -1]])
        row = {"record": title, "days": int(seen.sum()), "first": first, "last": last}
        row |= {"share of days": float(seen.mean()), "mean (m³ m⁻³)": float(here[name].mean())}
        rows.append(row | {"standard deviation (m³ m⁻³)": float(here[name].std())})
    return pd.DataFrame(rows).set_index("record")


def series_figure(here: xr.Dataset, filled: xr.Dataset, when: slice) -> Any:
    """The filled series with its interval above, ESA CCI below, the station in both.

    `here`: the records, see `tssmnet.data.hawaii.hawaii`.
    `filled`: dims (time): the station's cell, as `fill_hawaii` gives it.
    `when`: days to draw.
    """
    seen, ours = here.sel(time=when), filled.sel(time=when)
    with figure(2, 1, figsize=(7.4, 4.4), sharex=True, sharey=True) as (fig, axes):
        band = {"color": COLOURS[0], "alpha": 0.2, "linewidth": 0, "label": "90 % interval"}
        axes[0].fill_between(ours["time"], ours["ssm_lower"], ours["ssm_upper"], **band)
        axes[0].plot(ours["time"], ours["ssm"], linewidth=0.9, color=COLOURS[0], label="SMAP, filled here")
        axes[0].plot(seen["time"], seen["smap"], ".", markersize=3.5, color=COLOURS[1], label="SMAP observed")
        axes[1].plot(seen["time"], seen["cci"], linewidth=0.9, color=COLOURS[2], label="ESA CCI, gap-filled")
        for ax in axes:
            ax.plot(seen["time"], seen["station"], linewidth=1.0, color="black", label="station, 5 cm")
            ax.set_ylabel("soil moisture (m³ m⁻³)")
            ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig


def station_scores(here: xr.Dataset, filled: xr.Dataset, line: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Scores of each product against the station, on days that SMAP observed and on the others, with 95 % intervals.

    Only the days that ESA CCI has are compared, so that all products are judged by the same days.
    """
    products = {
        "SMAP, filled here": filled["ssm"],
        "straight line in time": line["ssm"],
        "ESA CCI, gap-filled": here["cci"],
        "SMAP observed": here["smap"],
    }
    observed, common = here["smap"].notnull(), here["cci"].notnull()
    rows = []
    for days, mask in {"observed": observed & common, "filled": ~observed & common}.items():
        for title, series in products.items():
            if days == "observed" or title != "SMAP observed":
                row = metrics.score(here["station"].where(mask).values, series.values, seed=seed).iloc[0]
                rows.append({"days": days, "product": title, "days compared": int(row["n"]), **_with_intervals(row)})
    return pd.DataFrame(rows).set_index(["days", "product"])


def _with_intervals(row: pd.Series) -> dict[str, str]:
    titles = {"r": "r", "ubrmse": "ubRMSE (m³ m⁻³)", "bias": "bias (m³ m⁻³)"}
    return {t: f"{row[k]:.3f} ({row[f'{k}_low']:.3f} to {row[f'{k}_high']:.3f})" for k, t in titles.items()}


def hidden_table(fills: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """How near each filling comes to the observations that were hidden from it.

    `fills`: name to what `fill_hawaii` gives with ``hidden``.
    """
    return pd.DataFrame([{"filled by": name, **_hidden_row(filled)} for name, filled in fills.items()]).set_index(
        "filled by"
    )


def _hidden_row(filled: xr.Dataset) -> dict[str, float]:
    hidden = filled["target"].notnull().values
    target, estimate = filled["target"].values[hidden], filled["ssm"].values[hidden]
    row = {
        "hidden observations": int(hidden.sum()),
        "RMSE (m³ m⁻³)": metrics.rmse(target, estimate),
        "bias (m³ m⁻³)": metrics.bias(target, estimate),
        "r": metrics.r(target, estimate),
    }
    if "ssm_lower" in filled:
        inside = (target >= filled["ssm_lower"].values[hidden]) & (target <= filled["ssm_upper"].values[hidden])
        row["within the 90 % interval"] = float(inside.mean())
    return row


def flags_table(filled: xr.Dataset) -> pd.DataFrame:
    """For each flag of a filled series: how many days, how far from an observation, and how sure (m3 m-3)."""
    source = filled["source"]
    rows = []
    for value, name in classes_of(source).items():
        chosen = filled.isel(time=(source == value).values)
        if chosen.sizes["time"]:
            away = chosen["days_to_observation"]
            row = {"source": name, "days": chosen.sizes["time"]}
            row |= {"mean days to an observation": float(away.mean()), "longest": float(away.max())}
            rows.append(row | {"mean stated standard deviation (m³ m⁻³)": float(chosen["ssm_std"].mean())})
    return pd.DataFrame(rows).set_index("source")


def stated_and_found(filled: xr.Dataset) -> Any:
    """The error found against the standard deviation stated, in groups of equal size of the hidden observations."""
    hidden = filled["target"].notnull().values
    stated, error = filled["ssm_std"].values[hidden], (filled["ssm"] - filled["target"]).values[hidden]
    edges = np.quantile(stated, np.linspace(0, 1, GROUPS + 1))
    group = np.clip(np.searchsorted(edges, stated, side="right") - 1, 0, GROUPS - 1)
    found = [np.sqrt((error[group == g] ** 2).mean()) for g in range(GROUPS)]
    top = 1.1 * max(max(found), stated.max() * 0.8)
    with figure(figsize=(4.4, 3.2)) as (fig, ax):
        ax.plot([stated[group == g].mean() for g in range(GROUPS)], found, "o-", color=COLOURS[0])
        ax.plot([0, top], [0, top], "--", color="#777777", linewidth=0.8)
        ax.set(xlabel="stated standard deviation (m³ m⁻³)", ylabel="RMSE found (m³ m⁻³)", xlim=(0, top), ylim=(0, top))
    return fig
