"""What the pages show of intervals and members: whether they hold for days, weeks and neighbours, and how they look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.style import COLOURS, figure
from tssmnet.cube.earth import on_sphere
from tssmnet.gaps import swaths
from tssmnet.reconstruction.fitted import FILLER
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.trials.study import GAPS, Estimate, reliability

Mask = NDArray[np.bool_]
Array = NDArray[np.floating[Any]]

INTERVALS = {
    "coverage": "inside the 90 % interval (%)",
    "below": "below it (%)",
    "above": "above it (%)",
    "coverage_50": "inside the 50 % interval (%)",
    "interval_score": "interval score",
    "interval_score_constant": "of the best constant width",
    "crps": "CRPS",
}
"""Scores of `tssmnet.trials.study.reliability` and their titles."""

WEEK, FEWEST_DAYS = 7, 3
"""Days of a week, and hidden ones in it from which its mean is scored."""


def intervals_table(found: pd.DataFrame) -> pd.DataFrame:
    """Scores of intervals with titles, shares in per cent."""
    shares = [n for n in ("coverage", "below", "above", "coverage_50") if n in found]
    return found.assign(**{n: 100 * found[n] for n in shares})[[n for n in INTERVALS if n in found]].rename(
        columns=INTERVALS
    )


def stored_intervals(content: Mapping[str, Any]) -> pd.DataFrame:
    """How the filler's intervals held in a stored evaluation, mean over its runs, one row a kind of gaps."""
    runs = [r for r in content["runs"] if r["model"] == FILLER]
    table = pd.DataFrame([{"gap": r["gap"]} | {n: r["intervals"].get(n) for n in INTERVALS} for r in runs])
    means = table.groupby("gap").mean()
    return intervals_table(means.loc[[g for g in GAPS if g in means.index]].rename(index=GAPS).rename_axis("gaps"))


def hide_swaths(cube: xr.Dataset, seed: int, share: float = 1 / 3) -> tuple[xr.Dataset, Mask]:
    """A cube in (time, pixel) form less what the holes of other days hide on a share of days, and what is hidden."""
    hidden = swaths(np.isfinite(cube["ssm"].values), seed, share)
    return cube.assign(ssm=cube["ssm"].where(~hidden).assign_attrs(cube["ssm"].attrs)), hidden


def swath_trials(cube: xr.Dataset, seeds: range) -> pd.DataFrame:
    """Errors of filler and straight line, and how intervals held, where swaths were hidden; one row a seed."""
    rows = {}
    for seed in seeds:
        gappy, hidden = hide_swaths(cube, seed)
        filled = reconstruct(gappy, seed=seed, progress=False)
        line = reconstruct(gappy, model="linear", progress=False)
        truth = cube["ssm"].values
        quantiles = {n: filled[n].values for n in ("ssm_lower", "ssm_q25", "ssm_q75", "ssm_upper")}
        found = reliability(truth, Estimate(filled["ssm_model"].values, quantiles), hidden)
        errors = {
            title: float(np.sqrt(((of["ssm_model"].values - truth) ** 2)[hidden].mean()))
            for title, of in {"RMSE of the filler": filled, "RMSE of a straight line": line}.items()
        }
        rows[seed] = {"hidden": int(hidden.sum()), **errors} | found
    found = pd.DataFrame(rows).T.drop(columns="levels").astype(float).rename_axis("mask")
    return found[["hidden", "RMSE of the filler", "RMSE of a straight line"]].join(intervals_table(found))


def weekly_means(values: Array, hidden: Mask) -> Array:
    """Means over the hidden days of each week, (..., week, pixel); NaN where fewer than `FEWEST_DAYS` are hidden."""
    weeks = len(hidden) // WEEK
    days = hidden[: weeks * WEEK].reshape(weeks, WEEK, -1)
    parts = values[..., : weeks * WEEK, :].reshape(*values.shape[:-2], weeks, WEEK, values.shape[-1])
    count = days.sum(1)
    mean = np.where(days, parts, 0).sum(-2) / np.maximum(count, 1)
    return np.asarray(np.where(count >= FEWEST_DAYS, mean, np.nan))


def neighbour_means(values: Array, hidden: Mask, lat: Array, lon: Array, cells: int = 9) -> Array:
    """Means over the hidden of each pixel's nearest `cells`, itself among them, (..., time, pixel).

    NaN where fewer than half of them are hidden.
    """
    place = on_sphere(lat, lon)
    near = np.argsort(-(place @ place.T), axis=1, kind="stable")[:, :cells]
    count = hidden[:, near].sum(2)
    mean = np.where(hidden[:, near], values[..., near], 0).sum(-1) / np.maximum(count, 1)
    return np.asarray(np.where(count > cells / 2, mean, np.nan))


def inside(members: Array, truth: Array) -> float:
    """Share of the known values of the truth inside the 90 % interval of members, (member, ...)."""
    low, high = np.quantile(members, [0.05, 0.95], axis=0, method="weibull")  # holds 90 % whatever their number
    known = np.isfinite(truth)
    return float(((low <= truth) & (truth <= high))[known].mean())


def members_table(members: Array, filled: xr.Dataset, truth: Array, hidden: Mask) -> pd.DataFrame:
    """Coverage by members of days, weekly means and means of neighbours, and the variance of steps from day to day.

    Parameters
    ----------
    members
        Shape (member, time, pixel), with the observations that the filler saw in their place.
    filled
        The filled cube in (time, pixel) form.
    truth
        Observations, the hidden ones among them, shape (time, pixel).
    hidden
        What the filler did not see, shape (time, pixel).
    """
    lat, lon = filled["lat"].values, filled["lon"].values
    weeks = [weekly_means(v, hidden) for v in (members, truth)]
    cells = [neighbour_means(v, hidden, lat, lon) for v in (members, truth)]
    step = np.isfinite(truth[1:]) & np.isfinite(truth[:-1]) & (hidden[1:] | hidden[:-1])
    variance = [float(np.var(np.diff(v, axis=-2)[..., step])) for v in (members, filled["ssm"].values, truth)]
    rows = {
        "days inside (%)": 100 * inside(members, np.where(hidden, truth, np.nan)),
        "weekly means inside (%)": 100 * inside(*weeks),
        "means of nine neighbours inside (%)": 100 * inside(*cells),
        "variance of daily steps, members / observed": variance[0] / variance[2],
        "variance of daily steps, filled mean / observed": variance[1] / variance[2],
    }
    return pd.DataFrame({"found": rows}).rename_axis("of the hidden values")


def members_figure(members: xr.DataArray, filled: xr.Dataset, place: int, days: slice) -> Any:
    """One pixel with its mean, interval and three members (left), and the spectrum of each over all pixels (right)."""
    one, drawn = filled.isel(pixel=place, time=days), members.isel(pixel=place, time=days)
    seen = one["source"].values == 0
    with figure(1, 2, figsize=(7.4, 3.2), width_ratios=(2, 1)) as (fig, (left, right)):
        time = one["time"].values
        left.fill_between(time, one["ssm_lower"], one["ssm_upper"], color=COLOURS[0], alpha=0.2, linewidth=0)
        for k in range(3):
            left.plot(time, drawn[k], color=COLOURS[1 + k], linewidth=0.7, label=f"member {k + 1}")
        left.plot(time, one["ssm"], color=COLOURS[0], linewidth=1.4, label="mean")
        left.plot(time[seen], one["ssm"].values[seen], ".", color="0.2", markersize=4, label="observed")
        left.set(ylabel="soil moisture (m³ m⁻³)", xlim=(time[0], time[-1]))
        left.tick_params(axis="x", rotation=30)
        left.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        for title, values, colour in (
            ("members", members.values, COLOURS[1]),
            ("mean", filled["ssm"].values, COLOURS[0]),
        ):
            period, power = spectrum(values)
            right.loglog(period, power, color=colour, label=title)
        right.set(xlabel="period (days)", ylabel="power (m³ m⁻³)² d")
        right.legend(fontsize=8)
    return fig


def spectrum(values: Array) -> tuple[Array, Array]:
    """Mean power spectrum in time of series (..., time, pixel), Welch's method; periods in days and (m3 m-3)2 d."""
    from scipy.signal import welch

    whole = values[..., :, np.isfinite(values).all(axis=tuple(range(values.ndim - 1)))]
    frequency, power = welch(whole, nperseg=min(128, whole.shape[-2]), axis=-2)
    mean = power.mean(axis=tuple(i for i in range(power.ndim) if i != power.ndim - 2))
    return 1 / frequency[1:], mean[1:]
