"""Baselines that look at nothing but a pixel's own observations: any model worth its features must beat them.

They use the day and pixel index of each sample and the size of the record, no feature. A pixel without any
observation gets an estimate from the others: the mean seasonal cycle of the others (climatology) or the mean of all
observations (linear, DCT-PLS).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError
from tssmnet.features.samples import Features, Samples
from tssmnet.models.base import Float, Model
from tssmnet.models.holdout import held_out

YEAR = 365.25
BINS = 366


def series_of(X: Samples, y: Float) -> Float:
    """Samples laid out as a record, shape (time, pixel), NaN where there is no sample."""
    record = np.full(X.features.shape, np.nan, np.float32)
    record[X.time, X.pixel] = y
    return record


@dataclass(frozen=True)
class Shared:
    """What a baseline takes from the whole map, for pixels whose own observations do not say it.

    Parameters
    ----------
    total, count
        Sum (m3 m-3) and number of the observations on each day of the year, shape (366,).
    smooth
        Smoothing parameter; None for a model that has none.
    """

    total: NDArray[np.float64]
    count: NDArray[np.float64]
    smooth: float | None = None

    @property
    def mean(self) -> float:
        """Mean of all observations, m3 m-3."""
        return float(self.total.sum() / self.count.sum())


def by_day_of_year(time: NDArray[np.int64], y: Float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of observations on each day of the year; those of parts of a map add up to those of the whole."""
    day = _phase(time)
    return np.bincount(day, y, BINS).astype(np.float64), np.bincount(day, minlength=BINS).astype(np.float64)


class _Record(Model):
    """A baseline whose whole state is one array indexed by (day or day of year, pixel).

    `shared` is what it knows of the whole map when it is fitted to a part; by default it is taken from the samples.
    """

    table_: Float
    shape_: tuple[int, int]
    shared_: Shared
    shared: Shared | None = None

    def fit_samples(self, X: Samples, y: Float, progress: bool = False) -> None:
        self.shape_ = X.features.shape
        record = series_of(X, y)
        if self.shared is None:
            smooth = self.smoothing(np.unique(X.pixel), lambda few: record[:, few])
            self.shared_ = Shared(*by_day_of_year(X.time, y), smooth)
        else:
            self.shared_ = self.shared
        self.table_ = self._fill(record, self.shared_)

    def smoothing(self, seen: NDArray[np.int64], record_of: Callable[[NDArray[np.int64]], Float]) -> float | None:
        """The smoothing parameter, chosen on some of the pixels ever observed; `record_of` gives their records."""
        return None

    @abstractmethod
    def _fill(self, record: Float, shared: Shared) -> Float:
        """The table for a record, shape (time, pixel), NaN where there is no observation."""

    def _check(self, X: Samples) -> None:
        if X.features.shape != self.shape_:
            raise TssmnetError(
                f"{self.name} was fitted on a record of {self.shape_} (days, pixels) and knows no other; "
                f"got {X.features.shape}"
            )

    def write_state(self, folder: Path) -> dict[str, Any]:
        from safetensors.numpy import save

        from tssmnet.disk import write_atomically

        write_atomically(folder / "table.safetensors", save({"table": np.ascontiguousarray(self.table_)}))
        return {"shape": list(self.shape_)}

    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        from safetensors.numpy import load_file

        self.table_ = load_file(folder / "table.safetensors")["table"]
        self.shape_ = (state["shape"][0], state["shape"][1])


@dataclass(frozen=True)
class ClimatologyConfig:
    """Settings of `Climatology`."""

    smoothing: float = 15.0  # standard deviation of the Gaussian window over the day of year, days
    # weight of the pixel's own mean, in observations: where the window holds few, the mean takes over
    prior: float = 1.0


class Climatology(_Record):
    """A pixel's smoothed mean for the time of year.

    c(p, d) = (sum_i K(d - d_i) y_i + prior m_p) / (sum_i K(d - d_i) + prior), with K a Gaussian on the circle of the
    year and m_p the pixel's mean. A pixel without observations has the same formula over all pixels. The record is
    daily, so the phase of the year is the day index modulo 365.25, whatever day the record starts on.
    """

    Config = ClimatologyConfig

    def _fill(self, record: Float, shared: Shared) -> Float:
        pixels = record.shape[1]
        time, pixel = np.nonzero(np.isfinite(record))
        cell = _phase(time) * pixels + pixel
        total = np.bincount(cell, record[time, pixel], BINS * pixels).reshape(BINS, pixels).astype(np.float64)
        count = np.bincount(cell, minlength=BINS * pixels).reshape(BINS, pixels)
        kernel = _circular_window(self.config.smoothing)
        table = _shrunk_mean(kernel, total, count, self.config.prior)
        everywhere = _shrunk_mean(kernel, shared.total[:, None], shared.count[:, None], self.config.prior)
        return np.where(count.sum(0) > 0, table, everywhere).astype(np.float32)

    def predict_samples(self, X: Samples) -> Float:
        self._check(X)
        return self.table_[_phase(X.time), X.pixel]


def _phase(time: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.floor(time % YEAR).astype(np.int64)


def _circular_window(width: float) -> NDArray[np.float64]:
    """Gaussian weights between days of the year, shape (366, 366), one at distance zero."""
    distance = np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))
    distance = np.minimum(distance, BINS - distance)
    return np.exp(-0.5 * (distance / width) ** 2)


def _shrunk_mean(
    kernel: NDArray[np.float64], total: NDArray[np.float64], count: NDArray[Any], prior: float
) -> NDArray[np.float64]:
    mean = total.sum(0) / np.maximum(count.sum(0), 1)
    smooth: NDArray[np.float64] = (kernel @ total + prior * mean) / (kernel @ count + prior)
    return smooth


@dataclass(frozen=True)
class LinearConfig:
    """`LinearInTime` has nothing to set."""


class LinearInTime(_Record):
    """A straight line in time between a pixel's neighbouring observations; beyond the first and last it holds."""

    Config = LinearConfig

    def _fill(self, record: Float, shared: Shared) -> Float:
        table = np.full(record.shape, shared.mean, np.float32)
        days = np.arange(len(record))
        for pixel in np.flatnonzero(np.isfinite(record).any(0)):
            seen = np.isfinite(record[:, pixel])
            table[:, pixel] = np.interp(days, days[seen], record[seen, pixel])
        return table

    def predict_samples(self, X: Samples) -> Float:
        self._check(X)
        return self.table_[X.time, X.pixel]


@dataclass(frozen=True)
class DctPlsConfig:
    """Settings of `DctPls`."""

    smooth: float | None = None  # smoothing parameter s; None picks it among `candidates` by inner validation
    candidates: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # values of s that are tried
    # how the inner validation hides training observations: ``blocks``, ``random`` or ``pixels``
    validation: str = "blocks"
    robust: bool = False  # whether outliers get less weight (Cauchy weights)
    trial_pixels: int = 60  # pixels that the inner validation looks at, at most


class DctPls(_Record):
    """Penalised least squares on the discrete cosine transform of each pixel's series.

    After Garcia (2010), doi:10.1016/j.csda.2009.09.020. The smoother is `pytesmo.interpolate.dctpls.smoothn`, the one
    behind the ESA CCI GAPFILLED product. Its own choice of s by generalised cross-validation takes filled values for
    data and smooths too little where gaps are long, so s is chosen by hiding a part of the training observations; the
    longer the gaps to be filled, the longer the hidden pieces should be (`validation`).
    """

    Config = DctPlsConfig

    def _fill(self, record: Float, shared: Shared) -> Float:
        assert shared.smooth is not None
        return _smooth_record(record, shared.mean, shared.smooth, self.config.robust)

    def smoothing(self, seen: NDArray[np.int64], record_of: Callable[[NDArray[np.int64]], Float]) -> float | None:
        """`smooth` where it is given, else the candidate that is best where observations of some pixels are hidden."""
        if self.config.smooth is not None:
            return self.config.smooth
        rng = np.random.default_rng(self.seed)
        few = np.sort(rng.choice(seen, min(self.config.trial_pixels, seen.size), replace=False))
        record = record_of(few)
        X = Features(np.empty((*record.shape, 0), np.float32), np.empty((few.size, 0), np.float32), (), ()).where(
            np.isfinite(record)
        )
        hidden = held_out(X, self.config.validation, 0.2, self.seed, length=20)
        if not hidden.any():
            return self.config.candidates[len(self.config.candidates) // 2]
        t, p = X.time[hidden], X.pixel[hidden]
        known, truth = record.copy(), record[t, p]
        known[t, p] = np.nan
        mean = float(np.nanmean(known))
        errors = [
            np.mean((_smooth_record(known, mean, s, self.config.robust)[t, p] - truth) ** 2)
            for s in self.config.candidates
        ]
        return self.config.candidates[int(np.argmin(errors))]

    def predict_samples(self, X: Samples) -> Float:
        self._check(X)
        return self.table_[X.time, X.pixel]


def _smooth_record(record: Float, mean: float, smooth: float, robust: bool) -> Float:
    """Smooth and fill each pixel's series; a constant one stays, one without observations gets `mean`."""
    from pytesmo.interpolate.dctpls import smoothn

    filled = np.full(record.shape, mean, np.float32)
    counts = np.isfinite(record).sum(0)
    for pixel in np.nonzero(counts)[0]:
        series = record[:, pixel].astype(np.float64)
        own = float(np.nanmean(series))
        if counts[pixel] == 1 or np.nanmax(series) == np.nanmin(series):
            filled[:, pixel] = own
            continue
        filled[:, pixel] = own + smoothn(series - own, smooth=smooth, isrobust=robust)[0]
    return filled
