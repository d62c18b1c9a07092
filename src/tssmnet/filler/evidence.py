"""What the observations around a gap say about it: the pixel's own before and after, and its neighbours'.

Everything here is a function of residuals (observation minus a forward model) and of a mask that says which of them may
be used, so that the same code serves masked training and the filling itself. Arrays are (time, pixel).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.spatial import cKDTree

from tssmnet.cube import roles
from tssmnet.cube.earth import FREEZING_K, arc_km, on_sphere

Float = NDArray[np.float32]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

REGION_DEGREES = 9.0
"""Side of the regions in which the errors of a day are taken to be common, degrees of latitude."""

MEMORY_DAYS = (3.0, 10.0, 30.0, 90.0)
"""e-folding times of the two-sided means over a pixel's own residuals, days."""

SWATH_DAYS = (0.5, 2.0, 8.0)
"""e-folding times of the two-sided means over the neighbours' anomalies, days."""

REPEAT_DAYS = 8
"""SMAP's ground tracks repeat exactly after 8 days (Entekhabi et al. 2010, doi:10.1109/JPROC.2010.2043918): days of one
phase see a pixel under one geometry and share its error."""

NEIGHBOURS = 24
TIES, TIE = 8, 1e-7
"""Further pixels that may lie as near as the last one, and how much of the Earth's radius is no difference."""

FEW = 30
"""Own observations below which a pixel's statistics are not trusted and a forward model blind to it stands in."""

SEGMENT_DAYS, MARGIN_DAYS = 365, 60


@dataclass(frozen=True)
class Kernel:
    """Covariance of a pixel's residuals in time, in units of their variance.

    ``constant + slow exp(-d / slow_days) + fast exp(-d / fast_days) + phase [d mod 8 = 0]`` and, on the diagonal, noise
    that grows with the rain of the day, since a daily sum does not say on which side of the overpass it fell. The
    numbers maximise the leave-one-out likelihood on real SMAP residuals (the conus profile). A pixel with fewer than
    `FEW` observations has the residuals of a model that has never seen it: an offset of variance ``offset`` is added.
    """

    constant: float = 0.091
    offset: float = 1.9
    slow: float = 0.362
    slow_days: float = 14.5
    fast: float = 0.209
    fast_days: float = 5.2
    phase: float = 0.182
    noise: float = 0.181
    wet_noise: float = 0.551

    def __call__(self, lag: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariance at distances `lag` in days."""
        smooth = self.constant + self.slow * np.exp(-lag / self.slow_days) + self.fast * np.exp(-lag / self.fast_days)
        covariance: NDArray[np.float64] = smooth + self.phase * (lag % REPEAT_DAYS == 0)
        return covariance


@dataclass(frozen=True)
class Neighbourhood:
    """Nearest pixels of each pixel and their distance weights at a short and a long range.

    Parameters
    ----------
    near, far
        Sparse (pixel, pixel), exp(-distance / range), rows of the nearest `NEIGHBOURS` pixels, nothing on the diagonal.
    index
        Shape (pixel, k), the neighbours from near to far.
    km
        Shape (pixel, k), their great-circle distances.
    spacing
        Typical distance of the nearest, km.
    """

    near: sparse.csr_matrix
    far: sparse.csr_matrix
    index: NDArray[np.int64]
    km: NDArray[np.float64]
    spacing: float


def neighbourhood(lat: NDArray[np.float64], lon: NDArray[np.float64], spacing: float | None = None) -> Neighbourhood:
    """Neighbours by great-circle distance; the ranges are one and three typical spacings of the pixels.

    Parameters
    ----------
    lat, lon
        Degrees, shape (pixel,).
    spacing
        Typical distance of the nearest pixel, km; by default the median of these pixels.
    """
    place = on_sphere(lat, lon)
    k = min(NEIGHBOURS, len(lat) - 1)
    if k < 1:
        empty = sparse.csr_matrix((len(lat), len(lat)), dtype=np.float32)
        return Neighbourhood(empty, empty, np.empty((len(lat), 0), np.int64), np.empty((len(lat), 0)), spacing or 1.0)
    chord, index = nearest_pixels(cKDTree(place), place, k + 1)
    km = arc_km(chord[:, 1:])
    spacing = max(float(np.median(km[:, 0])), 1.0) if spacing is None else spacing
    near, far = (_weights(index[:, 1:], km, reach) for reach in (spacing, 3 * spacing))
    return Neighbourhood(near, far, index[:, 1:], km, spacing)


def nearest_pixels(tree: cKDTree, place: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], Index]:
    """Chord and number of the pixels nearest to each place, shape (place, count); of equally near ones the first.

    On a grid many are equally near, and a tree takes any of them: another one in a block than in the whole map.
    """
    chord, index = tree.query(place, np.arange(1, min(count + TIES, tree.n) + 1))
    order = np.lexsort((index, np.round(chord / TIE)), axis=1)[:, :count]
    return np.take_along_axis(chord, order, 1), np.take_along_axis(index, order, 1)


def region_of(lat: NDArray[np.float64], lon: NDArray[np.float64], origin: tuple[float, float]) -> Index:
    """The region of each place, a number; a small cube whose corner is `origin` (degrees) lies in one.

    Examples
    --------
    >>> region_of(np.array([1.0, 5.0, 20.0]), np.array([3.0, 8.0, 3.0]), (0.0, 0.0)).tolist()
    [0, 0, 2000]
    """
    north = np.floor((lat - origin[0]) / REGION_DEGREES)
    east = np.floor(((lon - origin[1]) % 360) * np.cos(np.radians(origin[0])) / REGION_DEGREES)
    return np.asarray(1000 * north + east, np.int64)


def _weights(index: NDArray[np.int64], km: NDArray[np.float64], reach: float) -> sparse.csr_matrix:
    rows = np.repeat(np.arange(len(index)), index.shape[1])
    weights = np.exp(-km / reach).astype(np.float32).ravel()
    return sparse.csr_matrix((weights, (rows, index.ravel())), shape=(len(index), len(index)))


def previous(mask: Mask) -> NDArray[np.int64]:
    """Index of the last true day strictly before each day, -1 where there is none; shape (time, pixel).

    Examples
    --------
    >>> previous(np.array([[True], [False], [True], [False]])).ravel().tolist()
    [-1, 0, 0, 2]
    """
    day = np.where(mask, np.arange(len(mask))[:, None], -1)
    last = np.maximum.accumulate(day, axis=0)
    return np.concatenate([np.full((1, mask.shape[1]), -1), last[:-1]])


def following(mask: Mask) -> NDArray[np.int64]:
    """Index of the first true day strictly after each day, -1 where there is none; shape (time, pixel)."""
    back = previous(mask[::-1])[::-1]
    return np.where(back >= 0, len(mask) - 1 - back, -1)


def two_sided(values: Float, mask: Mask, days: float) -> tuple[Float, Float]:
    """Exponentially weighted sum of the masked values of all other days, and the sum of the weights."""
    decay = np.float32(np.exp(-1.0 / days))
    sums = [np.zeros(values.shape, np.float32) for _ in range(2)]
    for source, out in zip((np.where(mask, values, 0).astype(np.float32), mask.astype(np.float32)), sums, strict=True):
        ahead, behind = np.zeros(values.shape[1], np.float32), np.zeros(values.shape[1], np.float32)
        for t in range(len(values)):
            out[t] += ahead
            ahead = decay * (ahead + source[t])
        for t in range(len(values) - 1, -1, -1):
            out[t] += behind
            behind = decay * (behind + source[t])
    return sums[0], sums[1]


def kriged(residual: Float, mask: Mask, rain: Float | None, kernel: Kernel) -> Float:
    """Best linear prediction in time of each pixel's residual from its other masked ones, shape (time, pixel).

    On a masked day its own value is left out, so that the prediction means the same on every day. Pixels are kriged
    one by one, the record in segments of a year with margins, so that cost grows with its length; a pixel with fewer
    than `FEW` observations is kriged from all of them at once.
    """
    out = np.zeros(residual.shape, np.float32)
    days = len(residual)
    noise = np.full(residual.shape, kernel.noise)
    if rain is not None:
        noise += kernel.wet_noise * np.log1p(np.nan_to_num(rain))
    few = mask.sum(0) < FEW
    for pixel in np.flatnonzero(few & mask.any(0)):
        known = np.flatnonzero(mask[:, pixel])
        covariance = kernel.offset + kernel(np.abs(np.arange(days)[:, None] - known).astype(float))
        out[:, pixel] = _best_linear(covariance, known, noise[known, pixel], residual[known, pixel])
    lag = np.arange(min(days, SEGMENT_DAYS + 2 * MARGIN_DAYS), dtype=float)
    between = linalg.toeplitz(kernel(lag))
    for start in range(0, days, SEGMENT_DAYS):
        stop = days if days - start < 1.5 * SEGMENT_DAYS else start + SEGMENT_DAYS
        if len(between) < stop - start + 2 * MARGIN_DAYS:
            between = linalg.toeplitz(kernel(np.arange(stop - start + 2 * MARGIN_DAYS, dtype=float)))
        low, high = max(start - MARGIN_DAYS, 0), min(stop + MARGIN_DAYS, days)
        for pixel in np.flatnonzero(mask[low:high].any(0) & ~few):
            known = np.flatnonzero(mask[low:high, pixel])
            there = low + known
            best = _best_linear(between[: high - low, known], known, noise[there, pixel], residual[there, pixel])
            out[start:stop, pixel] = best[start - low : stop - low]
        if stop == days:
            break
    return out


def _best_linear(
    covariance: NDArray[np.float64], known: NDArray[np.int64], noise: NDArray[np.float64], values: Float
) -> NDArray[np.float64]:
    """Simple kriging of all days from the days `known`; on these, from the others among them.

    Parameters
    ----------
    covariance
        Between all days and the known ones, shape (day, known).
    known
        Indices of the known days.
    noise, values
        On the known days.
    """
    inverse = linalg.inv(covariance[known] + np.diag(noise), overwrite_a=True, check_finite=False)
    solved = inverse @ values
    best: NDArray[np.float64] = covariance @ solved
    best[known] = values - solved / np.diag(inverse)
    return best


def phase_anomaly(residual: Float, mask: Mask) -> tuple[Float, Float]:
    """Mean residual of the pixel's days of one orbit phase, less that of all its days, shrunk; and their number."""
    phase = np.arange(len(residual)) % REPEAT_DAYS
    kept = np.where(mask, residual, 0)
    total = np.stack([kept[phase == q].sum(0) for q in range(REPEAT_DAYS)])
    count = np.stack([mask[phase == q].sum(0) for q in range(REPEAT_DAYS)])
    mean = kept.sum(0) / (mask.sum(0) + 1)
    shrunk = (total - mean * count) / (count + 15)
    return shrunk[phase].astype(np.float32), count[phase].astype(np.float32)


@dataclass(frozen=True)
class Record:
    """Observations and what two forward models say of them; arrays (time, pixel), m3 m-3.

    Parameters
    ----------
    ssm
        Observations, NaN where there is none.
    known, blind
        Forward model that knows the pixel's own statistics, and one that has never seen the pixel; predictions at
        observed days are out of fold.
    rain
        mm d-1, or None.
    """

    ssm: Float
    known: Float
    blind: Float
    rain: Float | None


def own_context(record: Record, mask: Mask, kernel: Kernel) -> dict[str, Float]:
    """Features of every day from the pixel's own masked observations."""
    residual = np.where(mask, record.ssm - record.known, 0).astype(np.float32)
    offset = np.where(mask, record.ssm - record.blind, 0).astype(np.float32)
    count = mask.sum(0)
    out: dict[str, Float] = {}
    before, after = previous(mask), following(mask)
    for side, first, chain in (("before", before, before), ("after", after, after)):
        second = np.where(first >= 0, np.take_along_axis(chain, np.maximum(first, 0), 0), -1)
        for order, index in enumerate((first, second), 1):
            out |= {f"{side}_{order}_{k}": v for k, v in _at(record, residual, offset, index).items()}
    mean = residual.sum(0) / (count + 1)
    spread = np.sqrt(np.where(mask, (residual - mean) ** 2, 0).sum(0) / (count + 1))
    per_pixel = {"count": count, "offset": offset.sum(0) / (count + 1), "mean": mean, "spread": spread}
    out |= {f"own_{k}": np.broadcast_to(v, mask.shape) for k, v in per_pixel.items()}
    for days in MEMORY_DAYS:
        total, weight = two_sided(residual, mask, days)
        out[f"own_mean_{days:g}d"], out[f"own_weight_{days:g}d"] = total / (weight + 0.1), weight
    for days in MEMORY_DAYS[2:]:
        total, weight = two_sided(offset, mask, days)
        out[f"own_offset_{days:g}d"] = total / (weight + 0.1)
    out["phase_mean"], out["phase_count"] = phase_anomaly(residual, mask)
    out["kriged"] = kriged(residual, mask, record.rain, kernel)
    return out


def _at(record: Record, residual: Float, offset: Float, index: NDArray[np.int64]) -> dict[str, Float]:
    """What the observation on day `index` says of each day: its values, its distance, the rain and change since."""
    there = np.maximum(index, 0)
    gone = index < 0
    days = np.arange(len(index))[:, None]

    def taken(values: Float) -> Float:
        return np.where(gone, np.nan, np.take_along_axis(values, there, 0))

    out = {"days": np.where(gone, np.nan, np.abs(days - index))}
    out |= {"residual": taken(residual), "offset": taken(offset), "ssm": taken(record.ssm)}
    out["change"] = record.known - taken(record.known)
    if record.rain is not None:
        total = np.cumsum(np.nan_to_num(record.rain), axis=0)
        out["rain"] = np.abs(total - taken(total))
    return {k: v.astype(np.float32) for k, v in out.items()}


def neighbour_context(record: Record, mask: Mask, own: Mapping[str, Float], around: Neighbourhood) -> dict[str, Float]:
    """Features of every day from the anomalies of the neighbouring pixels on the days around."""
    residual = np.where(mask, record.ssm - record.known, 0).astype(np.float32)
    anomaly = np.where(mask, residual - own["own_mean"], 0).astype(np.float32)
    surprise = np.where(mask, residual - own["kriged"], 0).astype(np.float32)
    known = mask.astype(np.float32)
    seen = (own["own_count"][0] > 5).astype(np.float32)
    offset = own["own_offset_90d"] * seen
    smoothed = {days: two_sided(anomaly, mask, days) for days in SWATH_DAYS}
    out: dict[str, Float] = {}
    for name, weights in (("near", around.near), ("far", around.far)):
        for days, (total, weight) in smoothed.items():
            mass = _spread(weight + known, weights)
            out[f"{name}_anomaly_{days:g}d"] = _spread(total + anomaly, weights) / (mass + 0.05)
            if days == SWATH_DAYS[1]:
                out[f"{name}_weight"] = mass
        out[f"{name}_surprise"] = _spread(surprise, weights) / (_spread(known, weights) + 0.05)
        out[f"{name}_offset"] = _spread(offset, weights) / ((weights @ seen) + 0.05)
    return out


def _spread(values: Float, weights: sparse.csr_matrix) -> Float:
    """Weighted sum over neighbours, (time, pixel) to (time, pixel)."""
    return np.ascontiguousarray((weights @ values.T).T, np.float32)


def distance_to_observation(mask: Mask) -> Float:
    """Days to the pixel's nearest observation, 0 on an observed day, infinite where the pixel has none."""
    day = np.arange(len(mask))[:, None]
    before, after = previous(mask), following(mask)
    gap = np.minimum(np.where(before >= 0, day - before, np.inf), np.where(after >= 0, after - day, np.inf))
    return np.where(mask, 0, gap).astype(np.float32)


def distance_in_space(mask: Mask, around: Neighbourhood) -> Float:
    """Kilometres to the nearest pixel observed that day, 0 where observed itself, infinite if no neighbour was."""
    out = np.full(mask.shape, np.inf, np.float32)
    for rank in range(around.index.shape[1] - 1, -1, -1):
        seen = mask[:, around.index[:, rank]]
        out = np.where(seen, around.km[:, rank].astype(np.float32), out)
    return np.where(mask, 0, out).astype(np.float32)


# --- the weather of the day --------------------------------------------------------------------------------------


def values_of(pixels: xr.Dataset, name: str) -> Float:
    """A variable as (time, pixel), day after day in memory: sums then round alike whatever pixels are with them."""
    return np.ascontiguousarray(pixels[name].transpose("time", "pixel").values, np.float32)


def rain_of(pixels: xr.Dataset) -> Float | None:
    """The cube's rain (time, pixel), mm d-1; None where it has none."""
    name = roles(pixels).get("rain")
    return values_of(pixels, name) if name else None


def warmth(pixels: xr.Dataset) -> Float:
    """The cube's temperature (time, pixel), degrees Celsius; NaN where it has none."""
    name = roles(pixels).get("temperature")
    if name is None:
        return np.full(pixels["ssm"].shape, np.nan, np.float32)
    return values_of(pixels, name) - np.float32(FREEZING_K)


def frozen(pixels: xr.Dataset) -> Mask:
    """Days (time, pixel) below freezing by the cube's temperature; none where there is none."""
    return np.asarray(warmth(pixels) < 0)
