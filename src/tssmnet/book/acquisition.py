"""The figures and tables of the page on data: whose they are, where and how often there is one, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book import maps
from tssmnet.book.style import figure, pretty_units
from tssmnet.book.tables import classes_of
from tssmnet.data.registry import DataSet
from tssmnet.twin.orbits import REPEAT_DAYS

INSTRUMENTS = pd.DataFrame([
    ("SMAP, morning and evening", "top 5 cm",
     "noise of 0.012 + 0.0055 per kg m⁻² of plant water; wetter under plants; a level of its own in each cell",
     "orbit, frost, snow, dense plants, open water"),
    ("MODIS LST", "ground in the late morning", "1 K", "cloud"),
    ("MODIS NDVI, EVI", "green cover", "haze lowers, snow hides", "cloud; best value of 16 days"),
    ("reanalysis", "rain, air temperature, radiation",
     "rain off by a factor, drizzle missed and added; 0.9 K; 8 %", "none"),
    ("ESA CCI", "top layer, 0.25°", "damped, offset, noisier under plants", "frost, snow, dense plants, sampling"),
    ("stations", "a point", "a level and an amplitude of its own, drift of ten days, spikes",
     "outages; flagged in frozen ground"),
], columns=["instrument", "sees", "error", "gaps"]).set_index("instrument")  # fmt: skip
"""What the twin's instruments make of its truth, see `tssmnet.twin.observers`."""

HOLES = (1, 2, 3, 4, 6, 11, 31, 91)
"""First length, in days, of each class of holes."""

MOST_INTERACTIVE = 1000
"""Pixels up to which the days of a cube are drawn interactively."""


def data_table(sets: Iterable[DataSet]) -> pd.DataFrame:
    """Data sets of the manifest with version, size and licence."""
    return pd.DataFrame(
        {"data set": s.title, "version": s.version, "MB": round(s.bytes / 1e6, 1), "licence": s.licence["data"]}
        for s in sets
    ).set_index("data set")


def variables_table(cube: xr.Dataset) -> pd.DataFrame:
    """The variables of a cube with unit, share of values that are present, and mean."""
    return pd.DataFrame(
        {
            "variable": name,
            "what": v.attrs.get("long_name", "").replace(" (synthetic twin)", ""),
            "unit": pretty_units(v.attrs.get("units", "1")),
            "changes": "daily" if "time" in v.dims else "no",
            "present (%)": f"{100 * float(v.notnull().mean()):.1f}",
            "mean": "classes" if "flag_values" in v.attrs else f"{float(v.mean()):.3g}",
        }
        for name, v in cube.data_vars.items()
    ).set_index("variable")


def cause_shares(cause: xr.DataArray) -> dict[str, float]:
    """Share of the pixel-days of each cause of a gap, and of those observed, per cent."""
    return {word: 100 * float((cause == value).mean()) for value, word in classes_of(cause).items()}


def lost_by_cause(cause: xr.DataArray) -> dict[str, xr.DataArray]:
    """Share of the days with a morning swath that each cause took, over ``pixel``."""
    values = {word: value for value, word in classes_of(cause).items()}
    reached = (cause != values.pop("orbit")).sum("time")
    lost = {word: (cause == value).sum("time") / reached for word, value in values.items() if word != "observed"}
    return {word: share.where(reached > 0) for word, share in lost.items()}


def gaps_figure(daily: xr.DataArray, lengths: NDArray[np.integer]) -> Any:
    """The share of the pixels observed by day (left), and the missing days by the length of their hole (right).

    `lengths`: of all holes, days, from `tssmnet.book.sanity.gap_lengths`.
    """
    import matplotlib.dates as mdates

    names = [f"{a}" if b == a + 1 else f"{a}–{b - 1}" for a, b in pairwise(HOLES)] + [f"> {HOLES[-1] - 1}"]
    held = np.histogram(lengths, [*HOLES, np.inf], weights=lengths)[0] / lengths.sum()
    with figure(1, 2, figsize=(7.2, 2.6)) as (fig, (left, right)):
        left.plot(daily["time"], daily)
        left.set(ylabel="share of pixels observed\n(8-day mean)", ylim=(0, 0.6))
        left.xaxis.set_major_locator(mdates.MonthLocator(bymonth=(1, 7)))
        right.bar(names, held)
        right.tick_params(axis="x", labelsize=7)
        right.set(xlabel="length of the hole (days)", ylabel="share of missing days")
    return fig


def day_by_day(ssm: xr.DataArray, days: int, projection: str) -> Any:
    """The first days of some soil moisture: `days` of a small cube with a slider, of a larger one nine maps."""
    if ssm.sizes["pixel"] <= MOST_INTERACTIVE:
        return maps.day_slider(ssm.isel(time=slice(days)), width=620, height=380)
    nine = {str(day.values)[:10]: ssm.sel(time=day) for day in ssm["time"][: REPEAT_DAYS + 1]}
    return maps.map_fields(nine, "ssm", projection=projection, columns=3, width=7.4)


def seen_again(ssm: xr.DataArray, days: int) -> float:
    """Share of what is observed on the first days that is observed again after one repeat of the orbits."""
    seen = ssm.notnull().transpose("time", ...).values
    again = seen[REPEAT_DAYS:][:days]
    first = seen[: len(again)]
    return float((first & again).sum() / max(first.sum(), 1))
