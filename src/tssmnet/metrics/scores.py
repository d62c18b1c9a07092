"""How well an estimate agrees with a reference: one function for each metric, with its 95 % interval.

Every metric is ``f(reference, estimate) -> float``: pairs with a NaN on either side are left out, fewer than two pairs
give NaN. `METRICS` is the one table of them; tests, pages and the columns of `score` follow its order.

Consecutive days are correlated, so n of them carry less information than n independent ones. The intervals of bias and
of the correlations use an effective number of samples, after Bretherton et al. (1999), J. Climate 12, 1990-2009; those
of the others resample blocks of days long enough to keep that correlation (Kuensch 1989, Ann. Statist. 17, 1217-1241).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tssmnet.errors import TssmnetError

Float = NDArray[np.float64]
Interval = tuple[float, float]
LEVEL = 0.95
SUMMARY = ("pooled", "mean", "median", "q25", "q75")


def pairs(reference: ArrayLike, estimate: ArrayLike) -> tuple[Float, Float]:
    """The pairs in which both sides are finite, flattened, in float64.

    Raises
    ------
    TssmnetError
        If the shapes differ or the values are not numbers.
    """
    x, y = np.asarray(reference), np.asarray(estimate)
    if x.shape != y.shape:
        raise TssmnetError(f"reference and estimate must have one shape, got {x.shape} and {y.shape}")
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "biuf":
        raise TssmnetError(f"reference and estimate must be numbers, got {x.dtype} and {y.dtype}")
    x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _metric(formula: Callable[[Float, Float], Any], reference: ArrayLike, estimate: ArrayLike, least: int = 2) -> float:
    x, y = pairs(reference, estimate)
    if len(x) < least:
        return float("nan")
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(formula(x, y))


# The formulas run along the last axis, so that a thousand resamples are one call.
def _center(x: Float) -> Float:
    return x - x.mean(-1, keepdims=True)


def _bias(x: Float, y: Float) -> Any:
    return (y - x).mean(-1)


def _rmse(x: Float, y: Float) -> Any:
    return np.sqrt(((y - x) ** 2).mean(-1))


def _ubrmse(x: Float, y: Float) -> Any:
    return np.sqrt((_center(y - x) ** 2).mean(-1))


def _r(x: Float, y: Float) -> Any:
    dx, dy = _center(x), _center(y)
    scale = np.sqrt((dx**2).sum(-1) * (dy**2).sum(-1))
    # a constant side has no correlation; its rounding error must not be taken for one
    alive = (np.ptp(x, -1) > 0) & (np.ptp(y, -1) > 0)
    return np.clip(np.where(alive, (dx * dy).sum(-1) / np.where(alive, scale, 1.0), np.nan), -1, 1)


def _spearman(x: Float, y: Float) -> Any:
    return _r(stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1))


def _slope(x: Float, y: Float) -> Any:
    dx = _center(x)
    alive = np.ptp(x, -1) > 0
    return np.where(alive, (dx * y).sum(-1) / np.where(alive, (dx**2).sum(-1), 1.0), np.nan)


def _r2(x: Float, y: Float) -> Any:
    alive = np.ptp(x, -1) > 0
    return np.where(alive, 1 - ((y - x) ** 2).sum(-1) / np.where(alive, (_center(x) ** 2).sum(-1), 1.0), np.nan)


def bias(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Mean difference, m3 m-3; positive where the estimate is too wet.

    .. math:: b = \frac{1}{n}\sum_i (y_i - x_i)

    Examples
    --------
    >>> round(bias([0.1, 0.2, float("nan")], [0.2, 0.3, 0.9]), 6)
    0.1
    """
    return _metric(_bias, reference, estimate, least=1)


def rmse(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Root mean square error, m3 m-3.

    .. math:: \mathrm{RMSE} = \sqrt{\frac{1}{n}\sum_i (y_i - x_i)^2}

    Entekhabi et al. (2010), J. Hydrometeorol. 11, 832-840, Eq. 1. Equivalent to ``pytesmo.metrics.rmsd``.
    """
    return _metric(_rmse, reference, estimate, least=1)


def ubrmse(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Root mean square error after both means are removed, m3 m-3.

    .. math:: \mathrm{ubRMSE} = \sqrt{\frac{1}{n}\sum_i \big((y_i - \bar y) - (x_i - \bar x)\big)^2}

    Entekhabi et al. (2010), Eq. 4. Equivalent to ``pytesmo.metrics.ubrmsd``. Over several places at once the means
    removed are the pooled ones; `score` removes each place's own and averages.
    """
    return _metric(_ubrmse, reference, estimate)


def r(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Pearson correlation; NaN where a side is constant.

    .. math:: r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}{\sqrt{\sum_i (x_i - \bar x)^2 \sum_i (y_i - \bar y)^2}}

    Equivalent to ``pytesmo.metrics.pearson_r``.
    """
    return _metric(_r, reference, estimate)


def spearman(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Spearman rank correlation: Pearson's of the ranks, ties sharing their mean rank.

    .. math:: \rho = r(\operatorname{rank} x, \operatorname{rank} y)

    Equivalent to ``pytesmo.metrics.spearman_r``.
    """
    return _metric(_spearman, reference, estimate)


def slope(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Slope of the least-squares line of the estimate on the reference; below 1 where extremes are damped.

    .. math:: a = \frac{\sum_i (x_i - \bar x)\,y_i}{\sum_i (x_i - \bar x)^2}
    """
    return _metric(_slope, reference, estimate)


def r2(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""Coefficient of determination, the Nash-Sutcliffe efficiency; it may be negative.

    .. math:: R^2 = 1 - \frac{\sum_i (y_i - x_i)^2}{\sum_i (x_i - \bar x)^2}

    Nash and Sutcliffe (1970), J. Hydrol. 10, 282-290. Equivalent to ``pytesmo.metrics.nash_sutcliffe``.
    """
    return _metric(_r2, reference, estimate)


def r2_within(reference: ArrayLike, estimate: ArrayLike) -> float:
    r"""R2 against each place's own mean: how much of the change in time is explained, apart from where it is wet.

    .. math:: R^2_w = 1 - \frac{\sum_p\sum_i (y_{ip} - x_{ip})^2}{\sum_p\sum_i (x_{ip} - \bar x_p)^2}

    Parameters
    ----------
    reference, estimate
        Shape (time, place); one place may come as (time,), where it equals `r2`.
    """
    if pairs(reference, estimate)[0].size < 2:
        return float("nan")
    x, y = _two_dimensional(reference), _two_dimensional(estimate)
    both = np.isfinite(x) & np.isfinite(y)
    size = np.maximum(both.sum(0), 1)
    own = np.where(both, x, 0).sum(0) / size
    spread = np.where(both, x - own, 0.0)
    total = float((spread**2).sum())
    return 1 - float((np.where(both, y - x, 0.0) ** 2).sum()) / total if total > 1e-15 * size.sum() else float("nan")


def count(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Number of pairs."""
    return float(len(pairs(reference, estimate)[0]))


def _two_dimensional(values: ArrayLike) -> Float:
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


def lag_one(values: ArrayLike) -> float:
    """Correlation of each value with the one before it, between 0 and 0.99; 0 for a constant series."""
    v = np.asarray(values, np.float64)
    if len(v) < 3:
        return 0.0
    d = v - v.mean()
    total = float((d**2).sum())
    return float(np.clip((d[1:] * d[:-1]).sum() / total, 0.0, 0.99)) if total > 0 else 0.0


def effective_size(first: Float, second: Float | None = None) -> float:
    r"""How many independent samples a series, or the correlation of two, is worth.

    .. math:: n_\mathrm{eff} = n\,\frac{1 - \rho}{1 + \rho}, \qquad \rho = \rho_1 \text{ or } \rho_1\rho_2

    with the lag-1 autocorrelations of the samples in their order. Bretherton et al. (1999), Eqs. 30 and 31.
    """
    rho = lag_one(first) * (1.0 if second is None else lag_one(second))
    return len(first) * (1 - rho) / (1 + rho)


def bias_ci(
    reference: ArrayLike, estimate: ArrayLike, level: float = LEVEL, *, autocorrelated: bool = True, seed: int = 0
) -> Interval:
    """Interval of `bias`: Student's t for a mean, with the effective size of the differences.

    With ``autocorrelated=False`` equivalent to ``pytesmo.metrics.with_analytical_ci(bias, ...)``. `seed` is not used.
    """
    x, y = pairs(reference, estimate)
    difference = y - x
    n = effective_size(difference) if autocorrelated else float(len(x))
    if n <= 1.5:
        return float("nan"), float("nan")
    half = float(difference.std(ddof=1) / np.sqrt(n) * stats.t.ppf((1 + level) / 2, n - 1))
    middle = float(difference.mean())
    return middle - half, middle + half


def _correlation_ci(value: float, n: float, level: float, factor: float) -> Interval:
    """Fisher's transformation, Bonett and Wright (2000), Psychometrika 65, 23-28."""
    if not np.isfinite(value) or n <= 3.5:
        return float("nan"), float("nan")
    middle = np.arctanh(np.clip(value, -1 + 1e-15, 1 - 1e-15))
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(factor / (n - 3))
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))


def r_ci(
    reference: ArrayLike, estimate: ArrayLike, level: float = LEVEL, *, autocorrelated: bool = True, seed: int = 0
) -> Interval:
    """Interval of `r`: Fisher's transformation with the effective size. `seed` is not used.

    With ``autocorrelated=False`` equivalent to ``pytesmo.metrics.with_analytical_ci(pearson_r, ...)``.
    """
    x, y = pairs(reference, estimate)
    n = effective_size(x, y) if autocorrelated else float(len(x))
    return _correlation_ci(r(x, y), n, level, 1.0)


def spearman_ci(
    reference: ArrayLike, estimate: ArrayLike, level: float = LEVEL, *, autocorrelated: bool = True, seed: int = 0
) -> Interval:
    """Interval of `spearman`, widened after Bonett and Wright (2000), with the effective size of the ranks.

    With ``autocorrelated=False`` equivalent to ``pytesmo.metrics.with_analytical_ci(spearman_r, ...)``.
    `seed` is not used.
    """
    x, y = pairs(reference, estimate)
    value = spearman(x, y)
    n = effective_size(stats.rankdata(x), stats.rankdata(y)) if autocorrelated else float(len(x))
    return _correlation_ci(value, n, level, 1 + value**2 / 2)


def block_length(errors: Float) -> int:
    r"""Days in a block of the bootstrap, :math:`\lceil (2\rho / (1 - \rho^2))^{2/3} n^{1/3} \rceil`.

    Carlstein (1986), Ann. Statist. 14, 1171-1179, for a first-order autoregressive series.
    """
    rho, n = lag_one(errors), len(errors)
    length = np.ceil((2 * rho / (1 - rho**2)) ** (2 / 3) * n ** (1 / 3))
    return int(np.clip(length, 1, max(n // 4, 1)))


def _by_bootstrap(formula: Callable[[Float, Float], Any], doc: str) -> Callable[..., Interval]:
    """An interval: percentiles of the metric over a thousand resamples of circular blocks, the same for a seed."""

    def interval(
        reference: ArrayLike, estimate: ArrayLike, level: float = LEVEL, *, autocorrelated: bool = True, seed: int = 0
    ) -> Interval:
        x, y = pairs(reference, estimate)
        n = len(x)
        if n < 5:
            return float("nan"), float("nan")
        length = block_length(y - x) if autocorrelated else 1
        rng = np.random.default_rng([0xB007, seed])
        starts = rng.integers(0, n, (1000, -(-n // length)))
        rows = ((starts[:, :, None] + np.arange(length)) % n).reshape(1000, -1)[:, :n]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = formula(x[rows], y[rows])
        if not np.isfinite(values).any():
            return float("nan"), float("nan")
        low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    interval.__doc__ = doc
    return interval


rmse_ci = _by_bootstrap(_rmse, "Interval of `rmse` from a seeded block bootstrap; no analytical one is in use for it.")
ubrmse_ci = _by_bootstrap(_ubrmse, "Interval of `ubrmse` from a seeded block bootstrap.")
slope_ci = _by_bootstrap(_slope, "Interval of `slope` from a seeded block bootstrap.")
r2_ci = _by_bootstrap(_r2, "Interval of `r2` from a seeded block bootstrap.")


@dataclass(frozen=True)
class Metric:
    """One row of `METRICS`: the function, its interval if it has one, its unit and its best value."""

    title: str
    function: Callable[[ArrayLike, ArrayLike], float]
    interval: Callable[..., Interval] | None
    units: str
    best: float | None


METRICS: dict[str, Metric] = {
    "bias": Metric("bias", bias, bias_ci, "m3 m-3", 0.0),
    "r": Metric("Pearson r", r, r_ci, "1", 1.0),
    "spearman": Metric("Spearman r", spearman, spearman_ci, "1", 1.0),
    "rmse": Metric("RMSE", rmse, rmse_ci, "m3 m-3", 0.0),
    "ubrmse": Metric("ubRMSE", ubrmse, ubrmse_ci, "m3 m-3", 0.0),
    "slope": Metric("slope", slope, slope_ci, "1", 1.0),
    "r2": Metric("R2", r2, r2_ci, "1", 1.0),
    "r2_within": Metric("R2 within places", r2_within, None, "1", 1.0),
    "n": Metric("pairs", count, None, "1", None),
}


def score(
    reference: xr.DataArray | ArrayLike,
    estimate: xr.DataArray | ArrayLike,
    *,
    dim: str = "time",
    ci: bool = True,
    minimum: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """All metrics for each place, and what they come to over all.

    Parameters
    ----------
    reference, estimate
        Arrays of shape (time,) or (time, place), or DataArrays in which `dim` is time and every other dim is place;
        DataArrays are matched by their coordinates. Pairs with a NaN on either side do not count.
    ci
        Whether to add the 95 % intervals, in columns ``<metric>_low`` and ``<metric>_high``. The pooled row has none:
        it would need to know how the places hang together.
    minimum
        Fewest pairs for which a place gets metrics; its ``n`` stands in the table in any case.
    seed
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row for each place, then the rows `SUMMARY`: all pairs pooled, and mean, median and quartiles over the
        places. The pooled ubRMSE is the mean over places, each with its own means removed. Columns as in `METRICS`.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.linspace(0.1, 0.3, 20)[:, None] + np.array([0.0, 0.1])
    >>> table = score(truth, truth + 0.02, ci=False)
    >>> [*table.index]
    [0, 1, 'pooled', 'mean', 'median', 'q25', 'q75']
    >>> float(table.loc["pooled", "rmse"].round(6)), int(table.loc["pooled", "n"])
    (0.02, 40)
    """
    x, y, places = _aligned(reference, estimate, dim)
    rows = [_row(x[:, i], y[:, i], ci, minimum, seed) for i in range(x.shape[1])]
    table = pd.DataFrame(rows, index=pd.Index(places, name="place"))
    enough = table[table["n"] >= minimum]
    pooled = {name: m.function(x, y) for name, m in METRICS.items()} | {"ubrmse": enough["ubrmse"].mean()}
    names = [*METRICS]
    summary = pd.DataFrame(
        {
            "pooled": pooled,
            "mean": enough[names].mean(),
            "median": enough[names].median(),
            "q25": enough[names].quantile(0.25),
            "q75": enough[names].quantile(0.75),
        }
    ).T
    return pd.concat([table, summary.reindex(columns=table.columns)]).rename_axis("place")


def _row(x: Float, y: Float, ci: bool, minimum: int, seed: int) -> dict[str, float]:
    n = METRICS["n"].function(x, y)
    row: dict[str, float] = {}
    for name, metric in METRICS.items():
        row[name] = n if name == "n" else metric.function(x, y) if n >= minimum else float("nan")
        if ci and metric.interval is not None:
            interval = metric.interval(x, y, seed=seed) if n >= minimum else (float("nan"), float("nan"))
            row[f"{name}_low"], row[f"{name}_high"] = interval
    return row


def _aligned(reference: Any, estimate: Any, dim: str) -> tuple[Float, Float, list[Any]]:
    """Both sides as (time, place) and the labels of the places."""
    if isinstance(reference, xr.DataArray) and isinstance(estimate, xr.DataArray):
        reference, estimate = xr.align(reference, estimate, join="inner")
        if dim not in reference.dims or set(reference.dims) != set(estimate.dims):
            raise TssmnetError(
                f"both sides need the dim {dim!r} and the same others; got {reference.dims} and {estimate.dims}"
            )
        if reference.sizes[dim] == 0:
            raise TssmnetError(f"reference and estimate have no {dim} in common")
        others = [d for d in reference.dims if d != dim]
        labels = _labels(reference, others)
        reference = reference.transpose(dim, *others).values
        estimate = estimate.transpose(dim, *others).values
    else:
        labels = None
        reference, estimate = np.asarray(reference), np.asarray(estimate)
    pairs(reference, estimate)  # says what is wrong with shapes and types
    x, y = _two_dimensional(reference), _two_dimensional(estimate)
    return x, y, labels or [*range(x.shape[1])]


def _labels(array: xr.DataArray, others: list[Any]) -> list[Any] | None:
    """Names of the places: the coordinate of the one other dim, if it has one."""
    if len(others) == 1 and others[0] in array.coords:
        return list(array[others[0]].values)
    return None
