"""The figures and tables of the page that asks whether the twin is sane: real records grey and black, the twin orange.

Records are cubes with ``ssm``, ``precipitation`` and ``air_temperature`` on (time, pixel), by the names below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book import sanity
from tssmnet.book.findings import listed
from tssmnet.book.page import mark_synthetic
from tssmnet.book.style import COLOURS, figure
from tssmnet.twin.orbits import REPEAT_DAYS

ALL, REAL, TWIN, WHOLE = "real, all pixels", "real, no dense vegetation", "twin, same climate", "whole twin"
BOTH = (REAL, TWIN)
APART, WITHIN = "twin, real", "real east, real west"
BETWEEN = "real, east − west"
LOOKS: Mapping[str, Mapping[str, Any]] = {
    ALL: {"color": "0.55", "linestyle": "--"},
    REAL: {"color": "black"},
    TWIN: {"color": COLOURS[1]},
    WHOLE: {"color": COLOURS[1], "linestyle": ":"},
}
DOTS: Mapping[str, Any] = {"marker": "o", "markersize": 3}
LAGS = (1, 2, 3, 4, 5, 6, 8, 10, 14, 16, 21, 30, 45, 60, 90)
FLOOR = 0.0205
"""Just above the lowest value that SMAP gives, m3 m-3."""


def judged_table(table: pd.DataFrame, between: pd.Series) -> pd.DataFrame:
    """The statistics that have a tolerance, as they are printed.

    `table`: from `tssmnet.book.sanity.compare`.
    `between`: the difference of the same statistics between the two halves of the real record.
    """
    rows = table[table["tolerance"].notna()].assign(**{BETWEEN: between})
    rows["within"] = rows["within"].map({True: "yes", False: "NO"})
    return rows[["real", "twin", "difference", "tolerance", "within", BETWEEN, "why"]].rename_axis("statistic")


def free_table(table: pd.DataFrame, between: pd.Series, whole: pd.Series) -> pd.DataFrame:
    """The statistics without a tolerance, beside those of the `whole` twin; other arguments as in `judged_table`."""
    rows = table[table["tolerance"].isna()][["real", "twin", "difference"]]
    return rows.assign(**{BETWEEN: between, WHOLE: whole}).rename_axis("statistic")


def standing(table: pd.DataFrame, between: pd.Series) -> dict[str, pd.Index]:
    """Which statistics with a tolerance stand how; arguments as in `judged_table`.

    Returns ``outside``: beyond the tolerance; ``loose``: the tolerance is as large as the real value; ``near``: in the
    last quarter of the tolerance; ``far``: further off than the halves of the real record are from each other.
    """
    rows = table[table["tolerance"].notna()]
    off, tolerance = rows["difference"].abs(), rows["tolerance"]
    found = {
        "outside": ~(off <= tolerance),
        "loose": tolerance >= rows["real"].abs(),
        "near": (off > 0.75 * tolerance) & (off <= tolerance),
        "far": off > between[rows.index].abs(),
    }
    return {name: rows.index[mask] for name, mask in found.items()}


def far_off(free: pd.DataFrame) -> pd.Index:
    """Rows of `free_table` twice as far off as the real halves from each other, and by a quarter of the real value."""
    off = free["difference"].abs()
    return free.index[(off > 2 * free[BETWEEN].abs()) & (off > 0.25 * free["real"].abs())]


def named(statistics: pd.Index) -> str:
    """Statistics in a row, as code."""
    return listed([f"`{name}`" for name in statistics])


def with_values(values: pd.Series) -> str:
    """The entries of a series in a row, each with its value."""
    return ", ".join(f"{name} ({value:.2f})" for name, value in values.items())


def middle_half(values: NDArray[Any]) -> str:
    """The quartiles of some values in words."""
    low, high = np.quantile(values, [0.25, 0.75])
    return f"{low:.1f} to {high:.1f}"


def restless(change: float) -> str:
    """What it means for a filler that the twin's steps from one observation to the next differ by so many per cent."""
    if change > 10:
        return (
            "The twin is the more restless of the two, so on it a neighbouring day is worth less, and noise more, than "
            "on real SMAP: fillers that lean on neighbouring days look worse here than they are."
        )
    if change < -10:
        return "The twin is the calmer of the two: fillers that lean on neighbouring days look too good here."
    return "The two are alike in it."


def share_at_floor(record: xr.Dataset) -> float:
    """Share of the observations at SMAP's lowest value, per cent."""
    ssm = record["ssm"].values
    return float(100 * np.mean(ssm[np.isfinite(ssm)] < FLOOR))


def veiled_in_summer(twin: xr.Dataset) -> float:
    """Share of the pixel-days reached by a morning swath from June to August that vegetation masks, per cent."""
    cause = twin["gap_cause"]
    summer = cause.values[cause["time"].dt.month.isin((6, 7, 8)).values]
    vegetation = cause.attrs["flag_meanings"].split().index("vegetation")
    return float(100 * (summer == vegetation).sum() / (summer != 1).sum())


def coverage_by_month(record: xr.Dataset) -> pd.Series:
    """Share of the pixels observed on a day, mean by month, per cent."""
    share = pd.Series(100 * np.isfinite(record["ssm"].values).mean(1))
    return share.groupby(record["time"].dt.month.values).mean()


def warm_revisit(record: xr.Dataset) -> pd.Series:
    """How often a pixel is observed again 1 to 24 days later, from May to September, mean over years, per cent."""
    warm = record.isel(time=np.nonzero(record["time"].dt.month.isin((5, 6, 7, 8, 9)).values)[0])
    years = [year["ssm"].values for _, year in warm.groupby("time.year")]
    return 100 * pd.concat([sanity.revisit(ssm, range(1, 25)) for ssm in years if len(ssm) > 60], axis=1).mean(axis=1)


def on_and_off_cycle(again: pd.Series) -> tuple[float, float]:
    """Mean of `warm_revisit` after whole repeat cycles, and after other numbers of days."""
    whole = again.index % REPEAT_DAYS == 0
    return float(again[whole].mean()), float(again[~whole].mean())


def distribution_figure(records: Mapping[str, xr.Dataset]) -> Any:
    """Histograms of all values, of the means and of the standard deviations of pixels."""
    values, means, deviations = {}, {}, {}
    for name in (ALL, *BOTH):
        ssm = records[name]["ssm"].values.astype(float)
        full = ssm[:, (~np.isnan(ssm)).sum(0) >= 60]
        values[name], means[name], deviations[name] = ssm[np.isfinite(ssm)], np.nanmean(full, 0), np.nanstd(full, 0)
    with figure(1, 3, figsize=(7.6, 2.7)) as (fig, axes):
        _histograms(axes[0], values, np.linspace(0, 0.6, 61), "soil moisture, all values\n(m³ m⁻³)")
        _histograms(axes[1], means, np.linspace(0, 0.5, 26), "mean of a pixel\n(m³ m⁻³)")
        _histograms(axes[2], deviations, np.linspace(0, 0.15, 26), "standard deviation of a pixel\n(m³ m⁻³)")
        axes[0].set_ylabel("density")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return _marked(fig)


def memory_figure(curves: pd.DataFrame) -> Any:
    """Autocorrelation against lag in days, a column for each record."""
    ticks = LAGS[::2]
    with figure(figsize=(5.6, 2.9)) as (fig, ax):
        for name in curves:
            ax.plot(curves.index, curves[name], label=name, **DOTS, **LOOKS[str(name)])
        ax.axhline(0, color="0.7", linewidth=0.8)
        ax.set(xscale="log", xlabel="lag (days)", ylabel="autocorrelation, mean over pixels")
        ax.set_xticks(ticks, labels=map(str, ticks))
        ax.minorticks_off()
        ax.legend()
    return _marked(fig)


def drying_figure(drying: Mapping[str, sanity.Drying]) -> Any:
    """How fast pixels dry (left), and how far rain makes them rise (right)."""
    with figure(1, 2, figsize=(7.4, 2.9)) as (fig, (left, right)):
        days = {name: found.days for name, found in drying.items()}
        _histograms(left, days, np.arange(0, 31, 1.5), "e-folding time of a dry spell (days)")
        for name, found in drying.items():
            near = found.pairs[found.pairs["days"] <= 3]
            group = np.digitize(near["rain"], [0, 0.5, 1, 2, 4, 7, 11, 16, 23, 32, 50])
            rise = (near["after"] - near["before"]).groupby(group).quantile([0.25, 0.5, 0.75]).unstack()
            rain = near["rain"].groupby(group).mean()
            right.plot(rain, rise[0.5], label=name, **DOTS, **LOOKS[name])
            right.fill_between(rain, rise[0.25], rise[0.75], color=LOOKS[name]["color"], alpha=0.15)
        left.set_ylabel("density over pixels")
        right.set(xlabel="rain between two observations (mm)", ylabel="rise (m³ m⁻³)", xlim=(0, 60))
        right.legend(fontsize=7)
    return _marked(fig)


def holes_figure(lengths: Mapping[str, NDArray[Any]], monthly: Mapping[str, pd.Series]) -> Any:
    """Shares of holes by their least length in days (left), and the pixels observed by month in per cent (right)."""
    with figure(1, 2, figsize=(7.4, 2.9)) as (fig, (left, right)):
        for name, days in lengths.items():
            left.step(np.sort(days), 1 - np.arange(len(days)) / len(days), where="post", label=name, **LOOKS[name])
            right.plot(monthly[name], **DOTS, **LOOKS[name])
        left.set(xscale="log", yscale="log", xlim=(1, 400), ylim=(1e-5, 1.2))
        left.set(xlabel="length of a hole (days)", ylabel="share of holes that long or longer")
        right.set(xlabel="month", ylabel="pixels observed on a day (%)", ylim=(0, 60), xticks=range(1, 13))
        fig.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=7.5)
    return _marked(fig)


def pull_figure(pulls: Mapping[str, Mapping[str, NDArray[Any]]]) -> Any:
    """Histograms over pixels of the correlation of soil moisture with rain (left) and air temperature (right)."""
    titles = {"rain_30_days": "rain of the last 30 days", "temperature": "air temperature of the day"}
    with figure(1, 2, figsize=(7.0, 2.6), sharey=True) as (fig, axes):
        for ax, (kind, title) in zip(axes, titles.items(), strict=True):
            values = {name: found[f"{kind}_correlation"] for name, found in pulls.items()}
            _histograms(ax, values, np.linspace(-1, 1, 41), f"correlation of soil moisture with\n{title}")
            ax.axvline(0, color="0.7", linewidth=0.8)
        axes[0].set_ylabel("density over pixels")
        axes[0].legend(fontsize=7, loc="upper left")
    return _marked(fig)


def descriptors_figure(described: Mapping[str, xr.Dataset], distances: pd.DataFrame) -> Any:
    """Each descriptor's range over pixels (left), and distances between records (right).

    `described`: descriptors of the real record and the twin, by `REAL` and `TWIN`.
    `distances`: index descriptor, bottom to top; columns `APART` and `WITHIN`.
    """
    place = np.arange(len(distances))
    with figure(1, 2, figsize=(7.6, 6.4), sharey=True, width_ratios=(3, 2)) as (fig, (left, right)):
        for name, shift in zip(BOTH, (0.17, -0.17), strict=True):
            ranges = [_in_quartiles(described[REAL][d].values, described[name][d].values) for d in distances.index]
            q, color, y = np.transpose(ranges), LOOKS[name]["color"], place + shift
            left.hlines(y, q[0], q[4], linewidth=0.8, color=color)
            left.hlines(y, q[1], q[3], linewidth=3.2, color=color, label=name)
            left.plot(q[2], y, "|", color="white", markersize=5)
        right.plot(distances[WITHIN], place, "o", markersize=4, markerfacecolor="white", color="0.3", label=WITHIN)
        right.plot(distances[APART], place, "o", markersize=4, color=COLOURS[1], label=APART)
        left.set(yticks=place, yticklabels=distances.index, xlim=(-4, 4))
        left.set_xlabel("value, in quartile ranges of the real\nrecord from its median")
        right.set(xlabel="Kolmogorov-Smirnov distance", xlim=(0, 1))
        for ax in (left, right):
            ax.legend(fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return _marked(fig)


def orbit_figure(again: Mapping[str, pd.Series], latitude: NDArray[Any], days: NDArray[Any]) -> Any:
    """`warm_revisit` of records (left), and the mean days between morning overpasses by latitude (right)."""
    with figure(1, 2, figsize=(7.4, 2.8), width_ratios=(2, 1)) as (fig, (left, right)):
        for name, share in again.items():
            left.plot(share, label=name, **DOTS, **LOOKS[name])
        for cycle in (1, 2, 3):
            left.axvline(cycle * REPEAT_DAYS, color="0.8", linewidth=0.8, zorder=0)
        left.set(xlabel="days after an observation", ylabel="observed again (%)", xticks=(1, 4, 8, 12, 16, 20, 24))
        left.set_ylim(0, 128)
        left.legend(fontsize=7, loc="upper right", ncols=2)
        right.plot(latitude[::7], days[::7], ".", markersize=2, color=COLOURS[1])
        right.axhspan(2, 3, color="0.85", zorder=0)
        right.set(xlabel="latitude (°N)", ylabel="mean days between\nmorning overpasses", ylim=(0, 4))
    return _marked(fig)


def _marked(fig: Any) -> Any:
    return mark_synthetic(fig, "SYNTHETIC TWIN BESIDE REAL SMAP")


def _histograms(ax: Any, values: Mapping[str, NDArray[Any]], bins: NDArray[Any], label: str) -> None:
    for name, of_record in values.items():
        ax.hist(of_record, bins, density=True, histtype="step", label=name, **LOOKS[name])
    ax.set_xlabel(label)


def _in_quartiles(real: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Five quantiles of some values, in quartile ranges of the real ones from their median."""
    low, middle, high = np.quantile(real[np.isfinite(real)], [0.25, 0.5, 0.75])
    quantiles = np.quantile(values[np.isfinite(values)], [0.05, 0.25, 0.5, 0.75, 0.95])
    return np.asarray((quantiles - middle) / max(high - low, 1e-12))
