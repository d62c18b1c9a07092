"""Members: series that may have been, drawn from what a filled cube says of itself, so that sums have error bars too.

A filled cube gives each day its own interval. The error of a weekly mean, of a basin's mean or of a maximum depends on
how errors of days and pixels go together. A member draws them together: standard normal numbers that are correlated in
time and space and know of the observations, put through each day's quantiles. What was observed stays as it is.

The numbers are a sum of a slow and a fast part (Ornstein-Uhlenbeck processes) and, in a pixel that was hardly ever
observed, of an offset; each partly common to the pixels around (random Fourier features of an exponential covariance;
Rahimi and Recht 2007) and partly the pixel's own. They depend on the seed, the day's place in the record and the
pixel's place alone: any part of a map has the values that it has in the whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import norm

from tssmnet.cube import SOURCE_FLAGS, from_pixels, open_dataset, to_pixels
from tssmnet.cube.earth import EARTH_KM, on_sphere
from tssmnet.cube.files import write_zarr
from tssmnet.disk import check_output, placing
from tssmnet.errors import TssmnetError, require_whole
from tssmnet.filler.attention import LEVELS
from tssmnet.filler.evidence import following, previous
from tssmnet.filler.fill import ENDS
from tssmnet.progress import bar
from tssmnet.reconstruction.blocks import BLOCK_BYTES, Grid, cut

Array = NDArray[Any]
Mask = NDArray[np.bool_]

KNOTS = norm.ppf((*LEVELS[:2], 0.5, *LEVELS[2:]))
"""Standard normal numbers of the ends, and of the median between them."""

WAVES = 256
"""Fourier features of the part that is common to pixels."""

NEEDED = {"ssm", "ssm_model", "source", *ENDS}
ATTRS = {"long_name": "soil moisture that may have been: member of an ensemble", "units": "m3 m-3"}

PIXEL_DAY_BYTES = 240
"""Memory that one member takes for each pixel-day of a block while it is drawn, about."""

EXTREME = 4.0
"""Standard normal numbers are cut off here; the tails beyond the ends go on in a straight line."""


@dataclass(frozen=True)
class Dependence:
    """How the errors of filled values go together, measured on hidden observations of real SMAP (the conus profile).

    Parameters
    ----------
    slow
        Share of the slow part in the variance.
    slow_days, fast_days
        e-folding times of both parts.
    offset, offset_count
        Share of the variance that is one offset for all days in a pixel never observed, and the number of observations
        that halves it.
    common
        Share of each part that is common to the pixels around.
    km
        e-folding distance of the common share.
    """

    slow: float = 0.52
    slow_days: float = 15.0
    fast_days: float = 0.8
    offset: float = 0.65
    offset_count: float = 3.0
    common: float = 0.85
    km: float = 150.0


def members(filled: xr.Dataset, count: int = 20, seed: int = 0, dependence: Dependence | None = None) -> xr.DataArray:
    """Draw members of a filled cube.

    Parameters
    ----------
    filled
        What `tssmnet.reconstruct` gave with the filler, or some pixels of it, all days.
    count
        How many.
    seed
        Same seed, same members; the first ten of twenty are those of ten.
    dependence
        Correlation of errors in time and space.

    Returns
    -------
    xarray.DataArray
        ``ssm_member``, m3 m-3, dims (member, ...) and those of ``ssm``: observed values where ``source`` says so, NaN
        where nothing is known, elsewhere draws whose quantiles and mean are those of the filled cube.

    Raises
    ------
    TssmnetError
        If `filled` has no intervals, or `count` is not positive.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> import tssmnet
    >>> small = {"rounds": 20}
    >>> cube = tssmnet.reconstruct(mock_cube(days=30, pixels=8), forward=small, boosting=small)
    >>> members(cube, 5).sizes["member"]
    5
    """
    check_members(filled, count)
    pixels = to_pixels(filled[sorted(NEEDED)]).transpose("time", "pixel")
    observed = pixels["source"].values == SOURCE_FLAGS["observed"]
    knots = _knots(pixels)
    draws = Draws(observed, pixels["lat"].values, pixels["lon"].values, dependence or Dependence())
    out = np.empty((count, *observed.shape), np.float32)
    for k in range(count):
        values = np.clip(through_quantiles(draws.member(seed, k), knots), 0, 1)
        out[k] = np.where(observed, pixels["ssm"].values, values)
    variable = (("member", "time", "pixel"), out, ATTRS)
    return from_pixels(xr.Dataset({"ssm_member": variable}, pixels.coords), filled)["ssm_member"]


def check_members(filled: xr.Dataset, count: int, name: str = "this cube") -> None:
    """Raise an error where there are no intervals to draw from."""
    require_whole(count, "count", 1)
    if missing := sorted(NEEDED - set(filled.data_vars)):
        raise TssmnetError(
            f"{name}: members need the intervals of a cube that the filler has filled; {', '.join(missing)} not found: "
            "fill the cube with model 'filler'"
        )


def members_file(
    filled: str | os.PathLike[str],
    out: str | os.PathLike[str],
    count: int = 20,
    seed: int = 0,
    *,
    progress: bool = False,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Draw members of a filled cube on disk, block by block, into a zarr store; memory does not depend on the map.

    Parameters
    ----------
    filled, out
        The filled cube, .zarr or .nc, and where the members go, .zarr.
    count, seed
        As in `members`.
    progress
        Show a bar.
    block_bytes
        About how much memory a block may take.
    """
    if Path(out).suffix != ".zarr":
        raise TssmnetError(f"{out}: members are written as .zarr; name another file")
    check_output(out, filled)
    with open_dataset(filled) as source:
        check_members(source, count, str(filled))
        grid = cut(source[["ssm"]], block_bytes // (count + PIXEL_DAY_BYTES // 4))
        with placing(out) as part:
            _write_empty(source, part, grid, count, seed)
            for index in bar(range(len(grid)), "members", progress=progress):
                region = grid.region(index)
                drawn = members(source[sorted(NEEDED)].isel(region).load(), count, seed)
                _write_block(part, region, drawn.values)


def _write_empty(source: xr.Dataset, part: Path, grid: Grid, count: int, seed: int) -> None:
    """The store without values; no block shares a chunk with another."""
    shape, chunks = (count, source.sizes["time"], *grid.sizes), (1, source.sizes["time"], *grid.shape)
    values = da.zeros(shape, chunks=chunks, dtype=np.float32)
    coords = source.coords.to_dataset().load().coords  # only what is in memory is written now
    empty = xr.Dataset({"ssm_member": (("member", "time", *grid.dims), values, ATTRS)}, coords)
    history = {"title": f"{count} members of {source.attrs.get('title', 'a filled cube')}", "tssmnet_seed": seed}
    empty.attrs = {k: v for k, v in source.attrs.items() if k.startswith("tssmnet_")} | history
    write_zarr(empty.drop_encoding(), part, {"ssm_member": {"chunks": chunks}}, compute=False)


def _write_block(part: Path, region: Mapping[str, slice], values: Array) -> None:
    """Put the members of a block in their place; chunks without any value too, since the store is to hold every one."""
    import zarr

    root: Any = zarr.open_group(part, mode="r+")
    root["ssm_member"].with_config({"write_empty_chunks": True})[(slice(None), slice(None), *region.values())] = values


class Draws:
    """Correlated standard normal numbers of the gaps of some pixels, shape (time, pixel).

    Parameters
    ----------
    observed
        Shape (time, pixel).
    lat, lon
        Degrees, shape (pixel,).
    dependence
        Of the errors.
    """

    def __init__(self, observed: Mask, lat: Array, lon: Array, dependence: Dependence) -> None:
        self.observed, self.dependence = observed, dependence
        self._lat, self._lon, self._place = lat, lon, EARTH_KM * on_sphere(lat, lon)
        self._before, self._after = _distances(observed)

    def member(self, seed: int, number: int) -> Array:
        """The numbers of one member."""
        rng = np.random.default_rng([seed, number])
        d, days = self.dependence, len(self.observed)
        waves, common, constant = self._waves(rng), rng.normal(size=(2, days, WAVES)), rng.normal(size=WAVES)
        own = np.stack([self._own(seed, number, p) for p in range(len(self._lat))], axis=2)  # (2, time + 1, pixel)
        total, variance = np.zeros((2, *self.observed.shape))
        for share, efold, shared, alone in zip(
            (d.slow, 1 - d.slow), (d.slow_days, d.fast_days), common, own, strict=True
        ):
            rho = float(np.exp(-1 / efold))
            carried = np.sqrt(d.common) * _carried(shared, rho) @ waves + np.sqrt(1 - d.common) * _carried(
                alone[1:], rho
            )
            part, left = self._bridged(carried, rho)
            total, variance = total + np.sqrt(share) * part, variance + share * left
        offset = np.sqrt(d.common) * constant @ waves + np.sqrt(1 - d.common) * own[0, 0]
        share = d.offset / (1 + self.observed.sum(0) / d.offset_count)
        return np.asarray(np.sqrt(1 - share) * total / np.sqrt(variance) + np.sqrt(share) * offset)

    def _waves(self, rng: np.random.Generator) -> Array:
        """Fourier features of the pixels, (wave, pixel), of unit sum of squares.

        The spectrum of exp(-distance / km) in space is a multivariate t distribution with one degree of freedom.
        """
        number = rng.normal(size=(WAVES, 3)) / np.abs(rng.normal(size=(WAVES, 1))) / self.dependence.km
        out = np.cos(number @ self._place.T + rng.uniform(0, 2 * np.pi, (WAVES, 1)))
        return np.asarray(out / np.linalg.norm(out, axis=0))

    def _own(self, seed: int, number: int, pixel: int) -> Array:
        """White noise of one pixel, (2, time + 1), that depends on its place and not on its number."""
        place = [round((v + 360) * 1e5) for v in (self._lat[pixel], self._lon[pixel])]
        return np.random.default_rng([seed, number, *place]).normal(size=(2, len(self.observed) + 1))

    def _bridged(self, carried: Array, rho: float) -> tuple[Array, Array]:
        """A part drawn to zero where there is an observation, and its variance then.

        An Ornstein-Uhlenbeck process between two known days depends on these two alone.
        """
        (a, before), (b, after) = self._before, self._after
        near, far = np.power(rho, a), np.power(rho, b)  # zero where there is no observation on that side
        both = 1 - (near * far) ** 2
        first, second = near * (1 - far**2) / both, far * (1 - near**2) / both
        pull = first * np.take_along_axis(carried, before, 0) + second * np.take_along_axis(carried, after, 0)
        return carried - pull, np.where(self.observed, 1, 1 - first * near - second * far)


def _distances(observed: Mask) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Days to the observation before and after (infinite where none), and where it is; each (time, pixel)."""
    day = np.arange(len(observed))[:, None]
    out = []
    for index in (previous(observed), following(observed)):
        away = np.where(index < 0, np.inf, np.abs(day - index))
        out.append((away, np.maximum(index, 0)))
    return out[0], out[1]


def _carried(noise: Array, rho: float) -> Array:
    """A stationary first-order process of unit variance along the first axis."""
    scaled = np.sqrt(1 - rho**2) * noise
    scaled[0] = noise[0]
    return np.asarray(lfilter([1.0], [1.0, -rho], scaled, axis=0))


def _knots(pixels: xr.Dataset) -> Array:
    """Values at `KNOTS`, (5, time, pixel): the ends, and the median for which the mean is ``ssm_model``."""
    low, q25, q75, high = (pixels[name].values.astype(float) for name in ENDS)
    weights = _mean_weights()
    rest = weights[0] * low + weights[1] * q25 + weights[3] * q75 + weights[4] * high
    median = np.clip((pixels["ssm_model"].values - rest) / weights[2], q25, q75)
    return np.stack([low, q25, median, q75, high])


def _mean_weights() -> Array:
    """Weight of the value at each knot in the mean of what `through_quantiles` gives."""
    z = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    return np.array([through_quantiles(z, np.eye(5)[:, k]).mean() for k in range(5)])


def through_quantiles(z: Array, knots: Array) -> Array:
    """Values at standard normal numbers, straight between the knots and beyond the last.

    Parameters
    ----------
    z
        Shape (...).
    knots
        Values at `KNOTS`, shape (5, ...) or (5,).

    Examples
    --------
    >>> float(through_quantiles(np.array(0.0), np.array([0.1, 0.15, 0.2, 0.25, 0.3])))
    0.2
    """
    z = np.clip(z, -EXTREME, EXTREME)
    out = knots[0] + (z - KNOTS[0]) * (knots[1] - knots[0]) / (KNOTS[1] - KNOTS[0])
    for k in range(1, len(KNOTS) - 1):
        step = (z - KNOTS[k]) * (knots[k + 1] - knots[k]) / (KNOTS[k + 1] - KNOTS[k])
        out = np.where(z >= KNOTS[k], knots[k] + step, out)
    return np.asarray(out)
