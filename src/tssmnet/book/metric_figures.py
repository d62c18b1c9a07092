"""Tables and figures of the page on metrics: what each is blind to, and whether intervals keep their promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tssmnet import metrics
from tssmnet.book.page import mark_synthetic
from tssmnet.book.style import COLOURS, figure, pretty_units
from tssmnet.book.tables import formula_of

Float = NDArray[np.float64]

BLIND = {
    "bias": "errors that cancel: too wet in summer, too dry in winter is no bias",
    "r": "offset and amplitude: a series halved and lifted keeps its r",
    "spearman": "offset, amplitude and any bending of the scale",
    "rmse": "what kind of error it is; a constant offset can be most of it",
    "ubrmse": "offset; over many places at once it still holds each place's own offset",
    "slope": "offset and noise; below 1 also where the reference itself is noisy",
    "r2": "where the error comes from; its level depends on how much the reference varies",
    "r2_within": "whether wet places are told from dry ones",
    "n": "dependence: a thousand days in a row are not a thousand samples",
}
"""What each of `tssmnet.metrics.METRICS` cannot see."""

IN_PAPER = {"bias": "4", "r": "4", "rmse": "4", "ubrmse": "4", "slope": "4", "n": "4 (Count)", "r2": "3"}
"""In which table of the paper a metric stands."""

LOSS = r"$L = \frac{1}{n}\sum_i \left(\frac{y_i - x_i}{\sigma}\right)^2$"

OFFSET, NOISE, SIGNAL, DAYS = 0.02, 0.04, 0.06, 365
"""Of the made-up series: bias and standard deviations of error and reference (m3 m-3), and length."""

TRIED = {
    "bias": ("bias (effective size)", metrics.bias_ci, OFFSET),
    "r": ("r (Fisher, effective size)", metrics.r_ci, float(SIGNAL / np.hypot(SIGNAL, NOISE))),
    "rmse": ("RMSE (block bootstrap)", metrics.rmse_ci, float(np.hypot(OFFSET, NOISE))),
}
"""Metric to title, interval and true value in the made-up series."""

RHOS = (0.0, 0.3, 0.6, 0.8, 0.9)


def metric_table() -> str:
    """Formula, unit, best value and blind spot of each metric, in Markdown; formulas are those of the functions."""
    rows = [["metric", "formula", "unit", "best", "what it is blind to", "paper's table"], ["---"] * 6]
    for name, metric in metrics.METRICS.items():
        formula, best = formula_of(metric.function) or "n", "" if metric.best is None else f"{metric.best:g}"
        units = pretty_units(metric.units)
        rows.append([metric.title, f"${formula}$", units, best, BLIND[name], IN_PAPER.get(name, "–")])
    rows.append(["loss", rf"{LOSS}, $\sigma$ the standard deviation of the training targets", "1", "0", "as RMSE", "3"])
    duration = "seconds of training on the machine named under each figure"
    rows.append(["training duration", duration, "s", "", "whether the machine was busy", "3 (hours)"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def identity_table(paper: pd.DataFrame) -> pd.DataFrame:
    """The RMSE of the paper's Table 4 beside the one that its bias and ubRMSE imply, and their difference."""
    implied = np.hypot(paper["bias"], paper["ubrmse"])
    beside = {"√(bias² + ubRMSE²)": implied, "difference": paper["rmse"] - implied}
    return paper[["data", "bias", "ubrmse", "rmse"]].assign(**beside).set_index("data")


def six_ways(series: Float, rng: np.random.Generator) -> dict[str, Float]:
    """Estimates of a daily series, shape (time,), m3 m-3, each wrong in one way."""
    mean, day = series.mean(), np.arange(len(series))
    return {
        "offset 0.05": series + 0.05,
        "amplitude halved": mean + 0.5 * (series - mean),
        "three days late": np.r_[[series[0]] * 3, series[:-3]],
        "noise 0.03": series + 0.03 * rng.standard_normal(len(series)),
        "30-day mean only": pd.Series(series).rolling(30, center=True, min_periods=1).mean().to_numpy(),
        "winter wet, summer dry": series + 0.05 * np.cos(2 * np.pi * day / 365.25),
    }


def scores_of(estimates: Mapping[str, Float], series: Float) -> pd.DataFrame:
    """All metrics that one place has, of each estimate; columns by their titles."""
    shown = [metric for name, metric in metrics.METRICS.items() if name not in ("r2_within", "n")]
    rows = {name: {m.title: m.function(series, y) for m in shown} for name, y in estimates.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimate")


def ways_panels(days: ArrayLike, series: Float, estimates: Mapping[str, Float], scores: pd.DataFrame) -> Any:
    """Each estimate over the series that it was made from, with two of its `scores`."""
    with figure(3, 2, figsize=(7.4, 4.8), sharex=True, sharey=True) as (fig, axes):
        for ax, (name, estimate), colour in zip(axes.ravel(), estimates.items(), COLOURS, strict=False):
            ax.plot(days, series, color="0.6", linewidth=1.6)
            ax.plot(days, estimate, color=colour, linewidth=0.9)
            r, rmse = scores.loc[name, ["Pearson r", "RMSE"]]
            ax.set_title(f"{name}: r {r:.2f}, RMSE {rmse:.3f}", fontsize=8.5)
            ax.tick_params(axis="x", rotation=30, labelsize=7)
        fig.supylabel("soil moisture (m³ m⁻³)", fontsize=9)
    return fig


def two_estimates(values: Float, rng: np.random.Generator) -> dict[str, Float]:
    """Estimates of many places that know each place's mean, and none or half of what happens there.

    `values`: shape (time, place), m3 m-3, NaN where missing.
    """
    means = np.broadcast_to(np.nanmean(values, axis=0), values.shape)
    noise = np.where(np.isnan(values), np.nan, 0.02 * rng.standard_normal(values.shape))
    return {
        "each place's mean, no dynamics": means,
        "half the dynamics, and noise": means + 0.5 * (values - means) + noise,
    }


def pooled_and_within(values: Float, estimates: Mapping[str, Float]) -> pd.DataFrame:
    """Scores of estimates of shape (time, place) over all pairs at once, and within places."""
    rows = {}
    for name, y in estimates.items():
        own = pd.Series([metrics.r(values[:, p], y[:, p]) for p in range(values.shape[1])])
        rows[name] = {
            "pooled r": metrics.r(values, y),
            "median r within places": own.median(),
            "pooled R2": metrics.r2(values, y),
            "R2 within places": metrics.r2_within(values, y),
            "pooled RMSE": metrics.rmse(values, y),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimate")


def share_between_places(values: Float) -> float:
    """Share (%) of the variance of values, shape (time, place), that lies between the places' means."""
    return float(100 * (1 - np.nanvar(values - np.nanmean(values, axis=0)) / np.nanvar(values)))


def median_lag_one(values: Float) -> float:
    """Median over places of the lag-1 autocorrelation, of places with more than 100 values; shape (time, place)."""
    known = (series[np.isfinite(series)] for series in values.T)
    return float(np.median([metrics.lag_one(series) for series in known if len(series) > 100]))


def red_noise(rho: float, shape: tuple[int, int], rng: np.random.Generator) -> Float:
    """Autoregressive series of order one and variance 1, shape (series, days)."""
    from scipy.signal import lfilter

    white = rng.standard_normal(shape)
    white[..., 1:] *= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], white, axis=-1))


def coverage_of_intervals(repeats: int, rng: np.random.Generator) -> pd.DataFrame:
    """How often 95 % intervals hold the true value of made-up series.

    `repeats`: series for each autocorrelation; a third of them for the RMSE, whose bootstrap costs more.
    Returns index (metric, aware, rho), `aware` where the interval allows for the autocorrelation rho: ``coverage`` in
    percent, and the number of ``series``.
    """
    rows = {}
    for rho in RHOS:
        x, error = SIGNAL * red_noise(rho, (repeats, DAYS), rng), NOISE * red_noise(rho, (repeats, DAYS), rng)
        for metric, (_, interval, value) in TRIED.items():
            few = repeats // 3 if metric == "rmse" else repeats
            for aware in (True, False):
                ends = [interval(a, a + e + OFFSET, autocorrelated=aware) for a, e in zip(x[:few], error, strict=False)]
                inside = [low <= value <= high for low, high in ends]
                rows[metric, aware, rho] = {"coverage": 100 * np.mean(inside), "series": few}
    return pd.DataFrame(rows).T.rename_axis(["metric", "aware", "rho"])


def coverage_panels(counted: pd.DataFrame) -> Any:
    """What `coverage_of_intervals` counted, a panel for each metric, with the counting error."""
    labels = {True: "days that resemble each other", False: "as if independent"}
    with figure(1, 3, figsize=(7.4, 2.7), sharey=True) as (fig, axes):
        for ax, (metric, (title, *_)) in zip(axes, TRIED.items(), strict=True):
            for (aware, label), colour in zip(labels.items(), COLOURS, strict=False):
                coverage, series = counted.loc[(metric, aware)].T.to_numpy()
                error = 1.96 * np.sqrt(coverage * (100 - coverage) / series)
                ax.errorbar(RHOS, coverage, error, marker="o", markersize=3, color=colour, label=label, capsize=2)
            ax.axhline(95, color="0.4", linewidth=0.8)
            ax.set(title=title, xlabel="lag-1 autocorrelation ρ", ylim=(20, 101))
        axes[0].set_ylabel("intervals that hold\nthe true value (%)")
        axes[0].legend(fontsize=7, loc="lower left")
    return mark_synthetic(fig)
