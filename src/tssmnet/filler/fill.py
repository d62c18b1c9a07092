"""The project's own gap filler: forward models first, then what the observations around a gap say of their error.

Two forward models (memory of the forcing, constants, place) give each day a first value: one knows the statistics of
the pixel's own record, the other has never seen the pixel; each is the mean of gradient boosting and TsSMNet. Their
out-of-fold residuals, in the pixel before and after the gap and in its neighbours, are the second source
(`tssmnet.filler.evidence`). The same two models learn how to weigh them, under masks shaped like gaps: days at random,
blocks, whole pixels, pixels with a handful of observations, everything before or after a date. It is fitted on two
thirds of the pixels at a time; the errors on the third left out give the error bars. One fitted filler serves every
kind of gap, and pixels that it was not fitted on: `learn` on some, `apply` to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import SOURCE_FLAGS, predictable
from tssmnet.features.samples import Features
from tssmnet.filler.config import FillerConfig
from tssmnet.filler.correction import Correction
from tssmnet.filler.evidence import (
    Float,
    Mask,
    Record,
    distance_in_space,
    distance_to_observation,
    frozen,
    neighbour_context,
    neighbourhood,
    own_context,
)
from tssmnet.filler.forward import Case, Forward, _features, _first, _rain, _ssm, prepare
from tssmnet.filler.lessons import _of_the_day, offset_of_few, training_rows
from tssmnet.progress import bar


@dataclass(frozen=True)
class Learned:
    """A fitted filler: forward models, correction, and the range of each forcing on observed days."""

    config: FillerConfig
    forward: Forward
    correction: Correction
    ranges: Mapping[str, tuple[float, float]]


def learn(
    pixels: xr.Dataset,
    config: FillerConfig,
    seed: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    *,
    numbers: NDArray[np.int64] | None = None,
    complete: bool = False,
) -> tuple[Case, Learned]:
    """Fit the filler on a cube in (time, pixel) form; that cube made ready is returned as well.

    Parameters
    ----------
    pixels
        In (time, pixel) form and in memory.
    config
        Its settings.
    seed, device, progress
        As in `tssmnet.reconstruct`.
    numbers
        Numbers of the pixels in a larger cube that they are a part of, shape (pixel,).
    complete
        Fit also the models that only other pixels than these have a use for.
    """
    forward = Forward(config, seed, device, complete=complete)
    case = prepare(pixels, forward, progress, numbers)
    correction = Correction(case.config, seed, device).fit(case, training_rows(case, seed), progress)
    return case, Learned(case.config, forward, correction, _ranges(case))


def first_values(pixels: xr.Dataset, learned: Learned, numbers: NDArray[np.int64]) -> tuple[Float, Float]:
    """What the forward models say of pixels of the cube that they were fitted on, whether on these or not.

    Parameters
    ----------
    pixels
        In (time, pixel) form and in memory; a pixel has its values whatever the others.
    learned
        From `learn`, complete.
    numbers
        Numbers of the pixels in the whole cube, shape (pixel,).

    Returns
    -------
    blind, known
        As in `tssmnet.filler.evidence.Record`.
    """
    ssm, begin = _ssm(pixels), pixels["time"].values[0] - np.datetime64(learned.forward.first_day)
    features, days = _features(pixels, learned.config), int(begin / np.timedelta64(1, "D"))
    return _first(features, ssm, np.isfinite(ssm), learned.forward, numbers, False, days)


def apply(pixels: xr.Dataset, beside: xr.Dataset, place: NDArray[np.int64], learned: Learned) -> xr.Dataset:
    """Fill pixels of the cube that a filler was fitted on, whether it was fitted on these or not.

    Parameters
    ----------
    pixels
        Those that are wanted, in (time, pixel) form and in memory.
    beside
        These and their neighbours: ``ssm``, the rain, and ``blind`` and ``known`` from `first_values`.
    place
        Where the pixels are in `beside`, shape (pixel,).
    learned
        From `learn`.

    Returns
    -------
    xarray.Dataset
        As `answer`.
    """
    blind, known = (beside[n].transpose("time", "pixel").values for n in ("blind", "known"))
    record, config = Record(_ssm(beside), known, blind, _rain(beside)), learned.config
    around = neighbourhood(beside["lat"].values, beside["lon"].values, learned.forward.spacing)
    case = Case(_features(pixels, config), record, np.isfinite(record.ssm), around, config, learned.forward.device)
    return answer(pixels, case, learned, False, place)


def answer(
    pixels: xr.Dataset,
    case: Case,
    learned: Learned,
    progress: bool | None,
    place: NDArray[np.int64] | None = None,
) -> xr.Dataset:
    """The filled pixels, whose features `case` has; `place` says where they are among those of its record.

    Returns
    -------
    xarray.Dataset
        On (time, pixel), m3 m-3: ``ssm``, ``ssm_model``, ``ssm_std`` (standard deviation of model minus observation),
        ``ssm_lower`` and ``ssm_upper`` (the interval), ``source`` (see `tssmnet.cube.SOURCE_FLAGS`),
        ``days_to_observation`` and ``km_to_observation``.
    """
    place = np.arange(case.observed.shape[1]) if place is None else place
    observed = case.observed[:, place]
    known: Mask = observed.any(0) | predictable(pixels)
    mean, std, half = _everywhere(case, learned.correction, progress, place, np.asarray(known.any(axis=0)))
    ssm = pixels["ssm"].transpose("time", "pixel").values
    source = np.where(frozen(pixels), SOURCE_FLAGS["filled_frozen"], SOURCE_FLAGS["filled"])
    source = np.where(beyond_training(case.features, learned.ranges), SOURCE_FLAGS["filled_extrapolated"], source)
    source = np.where(observed, SOURCE_FLAGS["observed"], np.where(known, source, SOURCE_FLAGS["outside"]))
    mean, std, half = (np.where(known, v, np.float32(np.nan)) for v in (mean, std, half))
    arrays = {
        "ssm": np.where(observed, ssm, mean.astype(ssm.dtype)),
        "ssm_model": mean,
        "ssm_std": std,
        "ssm_lower": np.clip(mean - half, 0, 1),
        "ssm_upper": np.clip(mean + half, 0, 1),
        "source": source.astype(np.int8),
        "days_to_observation": distance_to_observation(observed),
        "km_to_observation": distance_in_space(case.observed, case.around)[:, place],
    }
    return xr.Dataset({k: (("time", "pixel"), v) for k, v in arrays.items()}, pixels.coords)


def _everywhere(
    case: Case, correction: Correction, progress: bool | None, place: NDArray[np.int64], alive: NDArray[np.bool_]
) -> tuple[Float, Float, Float]:
    """Value, standard deviation and half width of the interval on every day, a stretch of days at a time.

    Of the pixels at `place` only, and there of those `alive`: nothing is worked out where nothing is known.
    """
    out = np.full((3, len(case.observed), len(place)), np.nan, np.float32)
    own = own_context(case.record, case.observed, case.config.kernel)
    context = own | neighbour_context(case.record, case.observed, own, case.around)
    context |= {"known": case.record.known, "blind": case.record.blind}
    first = (case.record.known + offset_of_few(own, case))[:, place[alive]]
    context = {name: values[:, place[alive]] for name, values in context.items()}
    chosen = [i for i, n in enumerate(case.features.dynamic_names) if _of_the_day(n, case.features.groups)]
    step = max(1, 100_000 // max(1, alive.sum()))
    for start in bar(range(0, len(first) if alive.any() else 0, step), "filling", progress=progress):
        stretch = slice(start, start + step)
        days = case.features.dynamic[stretch][:, alive][:, :, chosen]
        around = np.stack([v[stretch] for v in context.values()], axis=2)
        table = np.concatenate([days, around], axis=2).reshape(-1, len(chosen) + len(context))
        change, std, half = (v.reshape(-1, alive.sum()) for v in correction.predict(table))
        out[:, stretch, alive] = np.stack([np.clip(first[stretch] + change, 0, 1), std, half])
    return out[0], out[1], out[2]


def _ranges(case: Case) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each forcing on observed days."""
    out = {}
    for i, name in enumerate(case.features.dynamic_names):
        if case.features.groups.get(name) == "forcing":
            seen = case.features.dynamic[:, :, i][case.observed]
            if np.isfinite(seen).any():
                out[name] = float(np.nanmin(seen)), float(np.nanmax(seen))
    return out


def beyond_training(features: Features, ranges: Mapping[str, tuple[float, float]]) -> Mask:
    """Days on which a forcing lies outside the range it had on observed days; shape (time, pixel)."""
    out = np.zeros(features.shape, bool)
    for name, (low, high) in ranges.items():
        values = features.dynamic[:, :, features.dynamic_names.index(name)]
        out |= (values < low) | (values > high)
    return out
