"""The 31 temporal descriptors of Table A1: one value per pixel and descriptor, from that pixel's observed series.

`DESCRIPTORS` is the one table: the order of computation, the variables of the result, the documentation and the tests
all read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError, require_known

PIXELS_PER_TASK = 256
"""Pixels that a thread copies and describes at a time: 5 MB for seven years of days."""

BLOCK_BYTES = 64 * 2**20
"""Size aimed at when a lazy array must be cut in space so that each block holds whole series."""


@dataclass(frozen=True)
class Descriptor:
    """One row of Table A1 and what this library adds to it."""

    # abbr, name, category, definition: as in Table A1; `abbr` names the variable
    abbr: str
    name: str
    category: str
    definition: str
    formula: str  # LaTeX, for n observed values x_i at positions t_i (steps of the compressed series, or days)
    power: int  # exponent of the unit of soil moisture in the unit of the descriptor; 0 means a pure number
    least: int  # fewest observed values that define it, at default parameters; NaN below
    oracle: str  # an independent implementation that gives the same value on a complete series
    unit: str = ""  # the unit where it is not a power of that of soil moisture
    per_step: int = 0  # true if it is a rate when ``spacing="time"``, per day
    # what the normalised twin divides by; empty if the descriptor does not grow with the number of observations
    twin: str = ""
    ties: str = ""  # the group of descriptors it is tied to when all series are equally long

    @property
    def coverage_dependent(self) -> bool:
        """Whether it grows with the number of observed days, which follows orbit latitude and frost."""
        return bool(self.twin)

    def units(self, base: str = "m3 m-3", in_time: bool = False, normalised: bool = False) -> str:
        """CF unit of the descriptor of a series in unit `base`."""
        if self.unit:
            return "1" if normalised and self.twin else ("d" if in_time and self.unit == "step" else self.unit)
        parts = {0: "1", 1: base, 2: "m6 m-6" if base == "m3 m-3" else f"({base})2"}[self.power]
        return f"{parts} d-{self.per_step}" if in_time and self.per_step else parts


_CENTRE, _SPREAD, _SHAPE = "Central tendency", "Dispersion and variability", "Extremes and distribution"
_TIME, _SIZE, _COUNT = "Temporal dynamics", "Magnitude and energy", "Count-based"
_STEP = r"d_i=\frac{x_{i+1}-x_i}{t_{i+1}-t_i}"

DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor("Mean", "Mean", _CENTRE, "Arithmetic average", r"\bar x=\frac1n\sum x_i", 1, 1, "tsfresh mean",
        ties="level"),
    Descriptor("Median", "Median", _CENTRE, "Middle value", r"\tilde x=Q_{0.5}(x)", 1, 1, "tsfresh median"),
    Descriptor("WHM", "Weighted harmonic mean", _CENTRE,
        "Harmonic mean with observation weights, uniform by default; NaN if a value is negative",
        r"\frac{\sum w_i}{\sum w_i/x_i}", 1, 1, "scipy.stats.hmean"),
    Descriptor("WGM", "Weighted geometric mean", _CENTRE,
        "Geometric mean with observation weights, uniform by default; NaN if a value is negative",
        r"\exp\frac{\sum w_i\ln x_i}{\sum w_i}", 1, 1, "scipy.stats.gmean"),
    Descriptor("WPM", "Weighted power mean", _CENTRE,
        "Power mean with observation weights; exponent p = 3 by default; NaN if a value is negative",
        r"\left(\frac{\sum w_i x_i^p}{\sum w_i}\right)^{1/p}", 1, 1, "scipy.stats.pmean"),
    Descriptor("Std", "Standard deviation", _SPREAD, "Square root of the variance (ddof 0)",
        r"\sigma=\sqrt{\sigma^2}", 1, 1, "numpy.std", ties="spread"),
    Descriptor("Var", "Variance", _SPREAD, "Mean squared deviation from the mean (ddof 0)",
        r"\sigma^2=\frac1n\sum(x_i-\bar x)^2", 2, 1, "numpy.var", ties="spread"),
    Descriptor("CV", "Coefficient of variation", _SPREAD, "Standard deviation over mean", r"\sigma/\bar x", 0, 1,
        "tsfresh variation_coefficient"),
    Descriptor("MAD", "Mean absolute deviation", _SPREAD, "Mean absolute difference from the mean",
        r"\frac1n\sum|x_i-\bar x|", 1, 1, "tsfel mean_abs_deviation"),
    Descriptor("MeAD", "Median absolute deviation", _SPREAD, "Median absolute difference from the median, unscaled",
        r"\mathrm{median}\,|x_i-\tilde x|", 1, 1, "scipy.stats.median_abs_deviation"),
    Descriptor("IQR", "Interquartile range", _SPREAD, "Third less first quartile", r"Q_{0.75}(x)-Q_{0.25}(x)", 1, 1,
        "scipy.stats.iqr"),
    Descriptor("RMS", "Root mean square", _SPREAD, "Square root of the mean square", r"\sqrt{\frac1n\sum x_i^2}", 1,
        1, "tsfresh root_mean_square", ties="energy"),
    Descriptor("Min", "Minimum", _SHAPE, "Lowest observed value", r"\min x_i", 1, 1, "numpy.min"),
    Descriptor("Max", "Maximum", _SHAPE, "Highest observed value", r"\max x_i", 1, 1, "numpy.max"),
    Descriptor("Skew", "Skewness", _SHAPE, "Asymmetry g1, biased; NaN for constants",
        r"\frac1n\sum\left(\frac{x_i-\bar x}{\sigma}\right)^3", 0, 2, "scipy.stats.skew"),
    Descriptor("Kurt", "Kurtosis", _SHAPE, "Excess peakedness g2, biased; NaN for constants",
        r"\frac1n\sum\left(\frac{x_i-\bar x}{\sigma}\right)^4-3", 0, 2, "scipy.stats.kurtosis"),
    Descriptor("Q1", "First quartile", _SHAPE, "25th percentile, linear interpolation", r"Q_{0.25}(x)", 1, 1,
        "numpy.quantile"),
    Descriptor("SampEn", "Sample entropy", _SHAPE,
        "Irregularity: how often patterns of m values that match within r standard deviations still match with one "
        "more; 0 for constants, NaN where nothing matches",
        r"-\ln\frac{M(m+1)}{M(m)},\ M(k)=\#\{i<j:\max_{0\le q<k}|x_{i+q}-x_{j+q}|\le r\sigma\}", 0, 4,
        "tsfresh sample_entropy"),
    Descriptor("MeanDiff", "Mean of successive differences", _TIME, "Mean difference of consecutive values",
        rf"\frac1{{n-1}}\sum d_i,\ {_STEP}", 1, 2, "tsfresh mean_change", per_step=1),
    Descriptor("MedDiff", "Median of successive differences", _TIME, "Median difference of consecutive values",
        r"\mathrm{median}\,d_i", 1, 2, "tsfel median_diff", per_step=1),
    Descriptor("MASD", "Mean absolute successive difference", _TIME, "Mean absolute difference of consecutive values",
        r"\frac1{n-1}\sum|d_i|", 1, 2, "tsfresh mean_abs_change", per_step=1, ties="change"),
    Descriptor("MeASD", "Median absolute successive difference", _TIME,
        "Median absolute difference of consecutive values", r"\mathrm{median}\,|d_i|", 1, 2, "tsfel median_abs_diff",
        per_step=1),
    Descriptor("ACF", "Autocorrelation", _TIME,
        "Correlation of the series with itself one step later (lag a parameter); NaN for constants",
        r"\frac{1}{|P|\sigma^2}\sum_{(i,j)\in P}(x_i-\bar x)(x_j-\bar x),\ P=\{(i,j):t_j-t_i=\ell\}", 0, 2,
        "tsfresh autocorrelation"),
    Descriptor("SecDerMean", "Second central derivative mean", _TIME, "Mean second-order central difference",
        r"\frac1{n-2}\sum\frac{d_{i+1}-d_i}{t_{i+2}-t_i}", 1, 3, "tsfresh mean_second_derivative_central",
        per_step=2),
    Descriptor("SegCorr", "Segment correlation", _TIME,
        "Mean Pearson r of consecutive, equally long segments (two by default); constant segments are left out",
        r"\frac1{k-1}\sum_{s=1}^{k-1}r\left(x_{(s-1)L+1..sL},\,x_{sL+1..(s+1)L}\right),\ L=\lfloor n/k\rfloor", 0, 4,
        ""),
    Descriptor("P2P", "Peak-to-peak interval", _TIME,
        "Mean interval of consecutive local maxima; a flat top counts once",
        r"\frac{t_{p_K}-t_{p_1}}{K-1},\ p_1<\dots<p_K\ \text{local maxima}", 0, 5, "scipy.signal.find_peaks",
        unit="step"),
    Descriptor("AbsE", "Absolute energy", _SIZE, "Sum of squares", r"\sum x_i^2", 2, 1, "tsfresh abs_energy",
        twin="n", ties="energy"),
    Descriptor("Sum", "Sum of values", _SIZE, "Sum of the values", r"\sum x_i", 1, 1, "tsfresh sum_values", twin="n",
        ties="level"),
    Descriptor("SAD", "Sum of absolute differences", _SIZE, "Sum of absolute differences of consecutive values",
        r"\sum|d_i|", 1, 2, "tsfresh absolute_sum_of_changes", per_step=1, twin="n - 1", ties="change"),
    Descriptor("CAM", "Count above mean", _COUNT, "Observations strictly above the mean", r"\#\{x_i>\bar x\}", 0, 1,
        "tsfresh count_above_mean", unit="count", twin="n", ties="balance"),
    Descriptor("CBM", "Count below mean", _COUNT, "Observations strictly below the mean", r"\#\{x_i<\bar x\}", 0, 1,
        "tsfresh count_below_mean", unit="count", twin="n", ties="balance"),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(d.abbr for d in DESCRIPTORS)
"""Abbreviations in the order of Table A1."""


@dataclass(frozen=True)
class _Options:
    """Parameters of the kernels, checked once."""

    power: float
    lag: int
    segments: int
    m: int
    r: float
    entropy: bool

    def __post_init__(self) -> None:
        faults = []
        if not np.isfinite(self.power):
            faults.append(f"power must be a finite number, got {self.power}")
        if self.lag < 1:
            faults.append(f"lag must be at least 1 step, got {self.lag}")
        if self.segments < 2:
            faults.append(f"segments must be at least 2, got {self.segments}")
        if not 2 <= self.m <= 16:
            faults.append(f"m must lie in 2..16, got {self.m}")
        if not self.r > 0:
            faults.append(f"r must be positive, got {self.r}")
        if faults:
            raise TssmnetError("temporal descriptors: " + "; ".join(faults))

    def as_tuple(self) -> tuple[float, int, int, int, float, bool]:
        return float(self.power), int(self.lag), int(self.segments), int(self.m), float(self.r), bool(self.entropy)


def describe_series(
    values: NDArray[Any],
    *,
    days: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    power: float = 3.0,
    lag: int = 1,
    segments: int = 2,
    m: int = 2,
    r: float = 0.2,
    entropy: bool = True,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """The 31 descriptors of many series, as plain arrays.

    Parameters
    ----------
    values
        Shape (..., time), any float type, NaN (or infinite) where missing. Computed in float64.
    days
        Increasing day numbers of the time axis, for the time-aware variant; None for the compressed series.
    weights
        Observation weights of the three weighted means, broadcast to `values`. An observation whose weight is
        negative or NaN is left out altogether.
    power, lag, segments, m, r
        As in `temporal_descriptors`.
    entropy
        False leaves sample entropy, the costly one, NaN.
    threads
        Threads over pixels; None takes the cores this process may use.

    Returns
    -------
    ndarray
        Shape (..., 31), float64, in the order of `DESCRIPTORS`.

    Examples
    --------
    >>> row = describe_series(np.array([0.1, 0.3, np.nan, 0.2, 0.2]))
    >>> dict(zip(NAMES, row.round(3).tolist()))["Mean"]
    0.2
    """
    from tssmnet.features.kernels import describe_rows

    options = _Options(power, lag, segments, m, r, entropy).as_tuple()
    flat = values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1])
    out = np.full((len(flat), len(DESCRIPTORS)), np.nan)
    if flat.size == 0:
        return out.reshape(*values.shape[:-1], len(DESCRIPTORS))
    w = None if weights is None else np.broadcast_to(weights, values.shape).reshape(flat.shape)
    axis = np.arange(flat.shape[1]) if days is None else np.ascontiguousarray(days, np.int64)

    def work(first: int) -> None:
        part = slice(first, first + PIXELS_PER_TASK)
        x = np.ascontiguousarray(flat[part], np.float64)
        wx = np.empty((0, 0)) if w is None else np.ascontiguousarray(w[part], np.float64)
        describe_rows(x, wx, axis, days is not None, options, out[part])

    starts = range(0, len(flat), PIXELS_PER_TASK)
    threads = min(threads or _cores(), len(starts))
    if threads == 1:
        for first in starts:
            work(first)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    return out.reshape(*values.shape[:-1], len(DESCRIPTORS))


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def temporal_descriptors(
    ssm: xr.DataArray,
    *,
    weights: xr.DataArray | None = None,
    power: float = 3.0,
    lag: int = 1,
    segments: int = 2,
    m: int = 2,
    r: float = 0.2,
    spacing: Literal["observed", "time"] = "observed",
    normalised: bool = False,
    which: Sequence[str] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    r"""The 31 temporal descriptors of Table A1, one map each.

    Parameters
    ----------
    ssm
        Soil moisture, m3 m-3, with a dimension ``time`` and any others, in any order; NaN where not observed.
        In memory, or lazy with dask: then so is the result, and blocks are described as they stream by.
    weights
        Observation weights of WHM, WGM and WPM, broadcast to `ssm`; uniform if None. Observations without a valid
        weight (NaN, negative) are left out of all descriptors.
    power
        Exponent of WPM. 2 repeats RMS, 1 Mean, 0 WGM, -1 WHM.
    lag
        Steps (days if ``spacing="time"``) of ACF.
    segments
        Number of segments of SegCorr.
    m, r
        Template length, and tolerance in standard deviations, of SampEn.
    spacing
        ``"observed"``: gaps are closed up and "consecutive" means next observed, as in the common libraries.
        ``"time"``: positions are days. Differences (MeanDiff, MedDiff, MASD, MeASD, SAD) become rates per day between
        consecutive observations, SecDerMean the divided difference per day squared; ACF takes the pairs of days `lag`
        apart that are both observed; SegCorr splits the calendar and pairs the days observed in both; SampEn compares
        patterns of consecutive observations whose days are spaced alike; P2P counts days. On a complete daily series
        both agree.
    normalised
        Replace the descriptors that grow with the number of observations (Sum, AbsE, CAM, CBM: by n, SAD: by n - 1)
        by their per-observation twins, under the same names.
    which
        Abbreviations to return; all by default.
    threads
        Threads for data in memory; None takes all cores. Lazy data are spread over dask's own threads instead.

    Returns
    -------
    xarray.Dataset
        One float64 variable per descriptor, over the dimensions of `ssm` but ``time``. NaN where too few values
        define it; a constant series has SampEn 0 and no Skew, Kurt, ACF or SegCorr.

    Raises
    ------
    TssmnetError
        For a missing ``time`` dimension, days that do not increase, an unknown name or a parameter out of range.

    Notes
    -----
    Equal to tsfresh, TSFEL or scipy.stats, as the `oracle` of each `Descriptor` says, on a complete series.
    SampEn counts exactly the pairs that comparing all of them would, 64 at a time.

    Examples
    --------
    >>> ssm = xr.DataArray([[0.1, 0.2], [0.3, np.nan], [0.2, np.nan]], dims=("time", "pixel"))
    >>> maps = temporal_descriptors(ssm)
    >>> len(maps), maps.Mean.values.round(3).tolist(), maps.MASD.values.round(3).tolist()
    (31, [0.2, 0.2], [0.15, nan])
    """
    require_known(spacing, ("observed", "time"), "spacing")
    names = NAMES if which is None else tuple(which)
    for name in names:
        require_known(name, NAMES, "descriptor")
    if "time" not in ssm.dims:
        raise TssmnetError(f"temporal descriptors need a dimension 'time'; {ssm.name or 'the array'} has {ssm.dims}")
    _Options(power, lag, segments, m, r, True)
    options: dict[str, Any] = {
        "power": power,
        "lag": lag,
        "segments": segments,
        "m": m,
        "r": r,
        "entropy": "SampEn" in names,
    }
    days = _day_numbers(ssm) if spacing == "time" else None
    arrays = [ssm] if weights is None else [ssm, weights.broadcast_like(ssm)]
    lazy = any(a.chunks is not None for a in arrays)
    if lazy:
        arrays = [_whole_series(a) for a in arrays]

    def block(values: NDArray[Any], *w: NDArray[Any]) -> NDArray[np.float64]:
        cores = 1 if lazy else threads
        rows = describe_series(values, days=days, weights=w[0] if w else None, threads=cores, **options)
        used = np.isfinite(values) & (w[0] >= 0 if w else True)
        return _normalise(rows, used.sum(-1)) if normalised else rows

    stacked = xr.apply_ufunc(
        block,
        *arrays,
        input_core_dims=[["time"]] * len(arrays),
        output_core_dims=[["descriptor"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"descriptor": len(NAMES)}},
        keep_attrs=False,
    )
    base = str(ssm.attrs.get("units", "m3 m-3"))
    return _as_dataset(stacked, names, base, options, spacing, normalised)


def _as_dataset(
    stacked: xr.DataArray, names: Sequence[str], base: str, options: dict[str, Any], spacing: str, normalised: bool
) -> xr.Dataset:
    """Split the last axis into named variables with their attributes."""
    table = {d.abbr: (i, d) for i, d in enumerate(DESCRIPTORS)}
    maps = xr.Dataset()
    for name in names:
        i, d = table[name]
        maps[name] = stacked.isel(descriptor=i)
        twin = f", divided by {d.twin}" if normalised and d.twin else ""
        maps[name].attrs = {
            "long_name": d.name,
            "units": d.units(base, spacing == "time", normalised),
            "comment": d.definition + twin,
        }
    kept = {k: v for k, v in options.items() if k != "entropy"}
    maps.attrs = {
        "title": "Temporal descriptors of soil moisture",
        "spacing": spacing,
        "normalised": int(normalised),
        **kept,
    }
    return maps


def _normalise(rows: NDArray[np.float64], n: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the coverage-dependent descriptors by the number of terms they add up."""
    rows = rows.copy()
    count = np.maximum(n, 1).astype(np.float64)
    for i, d in enumerate(DESCRIPTORS):
        if d.twin == "n":
            rows[..., i] /= count
        elif d.twin == "n - 1":
            rows[..., i] /= np.maximum(count - 1, 1)
    return rows


def _day_numbers(ssm: xr.DataArray) -> NDArray[np.int64]:
    """Whole days since the first day of the time axis; steps if it has no dates."""
    if "time" not in ssm.coords or not np.issubdtype(ssm["time"].dtype, np.datetime64):
        return np.arange(ssm.sizes["time"])
    days = ssm["time"].values.astype("datetime64[D]").astype(np.int64)
    if (np.diff(days) < 1).any():
        at = int(np.argmax(np.diff(days) < 1))
        raise TssmnetError(
            f"spacing='time' needs one value a day in increasing order; day {ssm['time'].values[at + 1]} at index "
            f"{at + 1} does not follow the one before it. Sort the time axis and drop duplicates."
        )
    return days - days[0] if len(days) else days


def _whole_series(array: xr.DataArray) -> xr.DataArray:
    """Rechunk so that each block holds the whole time axis, cut in space to about `BLOCK_BYTES`."""
    if array.chunks is None:
        return array.chunk({"time": -1})
    from dask.array.core import normalize_chunks

    sizes = dict(zip(array.dims, array.chunks, strict=True))
    request = {d: (-1 if d == "time" else "auto") for d in array.dims}
    chunks = normalize_chunks(
        tuple(request[d] for d in array.dims),
        shape=array.shape,
        limit=BLOCK_BYTES,
        dtype=array.dtype,
        previous_chunks=tuple((array.sizes[d],) if d == "time" else sizes[d] for d in array.dims),
    )
    return array.chunk(dict(zip(array.dims, chunks, strict=True)))
