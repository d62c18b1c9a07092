"""The project's own gap filler: forward models first, then what the observations around a gap say of their error.

Two forward models (memory of the forcing, constants, place) give each day a first value: one knows the statistics of
the pixel's own record, the other has never seen the pixel (`tssmnet.filler.forward`). Their out-of-fold residuals, in
the pixel before and after the gap and in its neighbours, are the second source: a table of them (`evidence`) for
boosting, and the nearest observations themselves (`tokens`) for a network that attends to them (`attention`). What to
make of these is learned under masks shaped like gaps (`lessons`, `correction`), by leaving out days and pixels, which
also gives the intervals (`intervals`). A short record takes its first values from the days themselves (`short`) and its
correction from another region (`prior`). One fitted filler serves every kind of gap, and pixels that it was not fitted
on: `learn` on some, `apply` to others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import SOURCE_FLAGS, predictable
from tssmnet.disk import write_atomically
from tssmnet.features.samples import Features
from tssmnet.filler.config import FillerConfig, config_from
from tssmnet.filler.correction import Correction, Estimate
from tssmnet.filler.evidence import (
    Float,
    Index,
    Mask,
    Record,
    distance_in_space,
    distance_to_observation,
    frozen,
    neighbourhood,
    rain_of,
    region_of,
    values_of,
)
from tssmnet.filler.forward import Case, Forward, features_of, first_of, prepare
from tssmnet.filler.lessons import known_of, rows_at, training_rows, weather
from tssmnet.filler.prior import fitted_to, shipped
from tssmnet.filler.short import short_first
from tssmnet.models.base import read_json
from tssmnet.progress import bar

ABOUT = "filler.json"

ENDS = ("ssm_lower", "ssm_q25", "ssm_q75", "ssm_upper")
"""Variables of the output at the levels of `tssmnet.filler.attention.LEVELS`."""

STRETCH = 100_000
"""Pixel-days that are filled at a time."""


@dataclass(frozen=True)
class Learned:
    """A fitted filler: forward models, correction, and the range of each forcing on observed days."""

    config: FillerConfig
    forward: Forward
    correction: Correction
    ranges: Mapping[str, tuple[float, float]]

    def save(self, folder: Path) -> None:
        """Write boosters as UBJSON, networks as safetensors, the rest as JSON; nothing that can run."""
        self.forward.save(folder / "forward")
        self.correction.save(folder / "correction")
        about = {"config": asdict(self.config), "ranges": self.ranges}
        write_atomically(folder / ABOUT, json.dumps(about, sort_keys=True).encode())

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Learned:
        """Read what `save` wrote."""
        about = read_json(folder / ABOUT)
        ranges = {name: (low, high) for name, (low, high) in about["ranges"].items()}
        forward = Forward.load(folder / "forward", device)
        return cls(config_from(about["config"]), forward, Correction.load(folder / "correction", device), ranges)


def learn(
    pixels: xr.Dataset,
    config: FillerConfig,
    seed: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    *,
    numbers: Index | None = None,
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
    region, rows = region_of(case.lat, case.lon, forward.origin), training_rows(case, pixels, seed)
    if case.level is not None:
        correction = fitted_to(shipped(), rows, region, case.config)
    else:
        correction = Correction(case.config, seed, device).fit(rows, region, progress)
    return case, Learned(case.config, forward, correction, _ranges(case))


def first_values(
    pixels: xr.Dataset, learned: Learned, numbers: Index, record: xr.Dataset | None = None
) -> tuple[Float, Float]:
    """First values of pixels of the cube that a filler was fitted on, whether on these or not.

    Parameters
    ----------
    pixels
        In (time, pixel) form and in memory; a pixel has its values whatever the others.
    learned
        From `learn`, complete.
    numbers
        Numbers of the pixels in the whole cube, shape (pixel,).
    record
        ``ssm`` of the whole cube, on which the first values of a short record depend; by default `pixels` are all.

    Returns
    -------
    blind, known
        As in `tssmnet.filler.evidence.Record`.
    """
    forward = learned.forward
    if forward.level is not None:
        whole = pixels if record is None else record
        ssm, lat, lon = values_of(whole, "ssm"), whole["lat"].values, whole["lon"].values
        return (short_first(ssm, np.isfinite(ssm), forward.level, lat, lon, numbers),) * 2
    ssm, begin = values_of(pixels, "ssm"), pixels["time"].values[0] - np.datetime64(forward.first_day)
    features, days = features_of(pixels, learned.config), int(begin / np.timedelta64(1, "D"))
    places = numbers, pixels["lat"].values, pixels["lon"].values
    return first_of(features, ssm, np.isfinite(ssm), forward, places, False, days)


def apply(pixels: xr.Dataset, around: xr.Dataset, place: Index, learned: Learned) -> xr.Dataset:
    """Fill pixels of the cube that a filler was fitted on, whether it was fitted on these or not.

    Parameters
    ----------
    pixels
        Those to fill, in (time, pixel) form and in memory.
    around
        These and their neighbours: ``ssm``, the rain, and ``blind`` and ``known`` from `first_values`.
    place
        Where the pixels are in `around`, shape (pixel,).
    learned
        From `learn`.

    Returns
    -------
    xarray.Dataset
        As `answer`.
    """
    blind, known = (values_of(around, n) for n in ("blind", "known"))
    record, forward = Record(values_of(around, "ssm"), known, blind, rain_of(around)), learned.forward
    lat, lon = around["lat"].values, around["lon"].values
    features, near = features_of(pixels, learned.config), neighbourhood(lat, lon, forward.spacing)
    observed = np.isfinite(record.ssm)
    case = Case(features, record, observed, near, lat, lon, learned.config, forward.device, forward.level)
    return answer(pixels, case, learned, False, place)


def answer(
    pixels: xr.Dataset,
    case: Case,
    learned: Learned,
    progress: bool | None,
    place: Index | None = None,
) -> xr.Dataset:
    """The filled pixels, whose features `case` has; `place` says where they are among those of its record.

    Returns
    -------
    xarray.Dataset
        On (time, pixel), m3 m-3: ``ssm``, ``ssm_model``, ``ssm_std`` (standard deviation of model minus observation),
        ``ssm_lower`` and ``ssm_upper`` (ends of the 90 % interval), ``ssm_q25`` and ``ssm_q75`` (of the 50 % interval),
        ``source`` (see `tssmnet.cube.SOURCE_FLAGS`),
        ``days_to_observation`` and ``km_to_observation``.
    """
    place = np.arange(case.observed.shape[1]) if place is None else place
    observed = case.observed[:, place]
    known: Mask = observed.any(0) | predictable(pixels)
    found = _everywhere(pixels, case, learned.correction, progress, place, np.asarray(known.any(axis=0)))
    ssm = pixels["ssm"].transpose("time", "pixel").values
    source = np.where(frozen(pixels), SOURCE_FLAGS["filled_frozen"], SOURCE_FLAGS["filled"])
    source = np.where(beyond_training(case.features, learned.ranges), SOURCE_FLAGS["filled_extrapolated"], source)
    source = np.where(observed, SOURCE_FLAGS["observed"], np.where(known, source, SOURCE_FLAGS["outside"]))
    value, *ends, std = (np.where(known, v, np.float32(np.nan)) for v in found)
    arrays = {
        "ssm": np.where(observed, ssm, value.astype(ssm.dtype)),
        "ssm_model": value,
        "ssm_std": std,
        **dict(zip(ENDS, ends, strict=True)),
        "source": source.astype(np.int8),
        "days_to_observation": distance_to_observation(observed),
        "km_to_observation": distance_in_space(case.observed, case.around)[:, place],
    }
    return xr.Dataset({k: (("time", "pixel"), v) for k, v in arrays.items()}, pixels.coords)


def _everywhere(
    pixels: xr.Dataset,
    case: Case,
    correction: Correction,
    progress: bool | None,
    place: Index,
    alive: NDArray[np.bool_],
) -> Estimate:
    """Value and interval on every day, a stretch of days at a time; each (time, pixel).

    Of the pixels at `place` only, and there of those `alive`: nothing is worked out where nothing is known.
    """
    out = np.full((len(Estimate._fields), len(case.observed), len(place)), np.nan, np.float32)
    known, days, inside = known_of(case, case.record, case.observed), weather(pixels), np.flatnonzero(alive)
    step = max(1, STRETCH // max(1, len(inside)))
    for start in bar(range(0, len(case.observed) if len(inside) else 0, step), "filling", progress=progress):
        stretch = np.arange(start, min(start + step, len(case.observed)))
        time, here = (v.ravel() for v in np.meshgrid(stretch, inside, indexing="ij"))
        out[:, time, here] = correction.predict(rows_at(known, days, time, place[here], place=here))
    return Estimate(*out)


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
