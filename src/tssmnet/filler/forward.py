"""The first values of the filler: what forcing, memory and place say of each pixel-day, out of fold where observed.

One forward model knows the statistics of the pixel's own record, the other has never seen the pixel. Each is gradient
boosting; where observations are far away, networks join it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.disk import write_atomically
from tssmnet.features.build import build_features
from tssmnet.features.descriptors import describe_series
from tssmnet.features.samples import Features
from tssmnet.filler.config import FAR_DAYS, FillerConfig, Networks, config_from
from tssmnet.filler.ensemble import block_days, block_folds, fits_of, mean_of, pixel_folds
from tssmnet.filler.evidence import (
    FEW,
    Float,
    Index,
    Mask,
    Neighbourhood,
    Record,
    distance_to_observation,
    neighbourhood,
    rain_of,
    region_of,
    values_of,
)
from tssmnet.filler.short import is_short, short_first
from tssmnet.models import load_model
from tssmnet.models.base import read_json
from tssmnet.models.together import fit_together

ABOUT = "forward.json"

CONTIGUOUS_KM = 60.0
"""Spacing of pixels below which whole regions lose a day together."""


@dataclass(frozen=True)
class Case:
    """A cube made ready: features, observations, first values, neighbours."""

    features: Features
    record: Record
    observed: Mask
    around: Neighbourhood
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    config: FillerConfig
    device: str = "auto"
    level: float | None = None

    @property
    def contiguous(self) -> bool:
        """Whether its holes are taught as whole swaths: where pixels lie side by side, and on a short record."""
        return self.around.spacing < CONTIGUOUS_KM or self.level is not None


def prepare(pixels: xr.Dataset, forward: Forward, progress: bool | None = None, numbers: Index | None = None) -> Case:
    """Features, neighbours and out-of-fold first values of a cube in (time, pixel) form; fits the forward models."""
    config, ssm = forward.config, values_of(pixels, "ssm")
    observed = np.isfinite(ssm)
    features = features_of(pixels, config)
    numbers = np.arange(observed.shape[1]) if numbers is None else numbers
    lat, lon = pixels["lat"].values, pixels["lon"].values
    around = neighbourhood(lat, lon, forward.spacing)
    forward.spacing, forward.origin = around.spacing, (float(lat.min()), float(lon.min()))
    forward.first_day = str(pixels["time"].values[0])[:10]
    if observed.any() and is_short(observed, region_of(lat, lon, forward.origin), config.few_events):
        forward.level = float(ssm[observed].mean())
        blind = known = short_first(ssm, observed, forward.level, lat, lon)
    else:
        blind, known = first_of(features, ssm, observed, forward, (numbers, lat, lon), progress)
    # with so few pixels the folds are of days, and no forward model is blind to a pixel
    if forward.level is not None or observed.shape[1] < 2 * config.folds:
        config = replace(config, kernel=replace(config.kernel, offset=0.0))
    record = Record(ssm, known, blind, rain_of(pixels))
    return Case(features, record, observed, around, lat, lon, config, forward.device, forward.level)


def features_of(pixels: xr.Dataset, config: FillerConfig) -> Features:
    """What the forward models see of the forcing and of the place."""
    observed = np.isfinite(pixels["ssm"].transpose("time", "pixel").values)
    features = _with_climate(build_features(pixels, observed, memory="memory" not in config.ignore))
    if "constants" in config.ignore:
        return features.select([n for n in features.names if features.groups.get(n) != "static"])
    return features


def first_of(
    features: Features,
    ssm: Float,
    observed: Mask,
    forward: Forward,
    places: tuple[Index, NDArray[np.float64], NDArray[np.float64]],
    progress: bool | None,
    begin: int = 0,
) -> tuple[Float, Float]:
    """Values of the blind model and of the knowing one, for which the blind stands in where it would know little.

    `places` are the pixels' numbers, latitudes and longitudes.
    """
    numbers = places[0], homes_of(*places, forward)
    blind, known = forward.values(features, ssm, observed, numbers, progress, begin)
    return blind, np.where((observed.sum(0) < FEW) | ("own" in forward.config.ignore), blind, known)


def homes_of(numbers: Index, lat: NDArray[np.float64], lon: NDArray[np.float64], forward: Forward) -> Index:
    """Which pixels have their days left out together: all of a region where pixels lie side by side, else each alone.

    The errors of a day are common to neighbours. On a fine grid a model that saw the day next door has seen it.
    """
    if forward.spacing is None or forward.spacing >= CONTIGUOUS_KM:
        return numbers
    return region_of(lat, lon, forward.origin)


def _with_climate(features: Features) -> Features:
    """Add mean and standard deviation in time of each forcing as constants of the pixel: its climate."""
    columns, names = [features.static], list(features.static_names)
    for i, name in enumerate(features.dynamic_names):
        if features.groups.get(name) == "forcing":
            # in float64, since numpy sums a single pixel's days in another order than those of many
            values = np.ma.masked_invalid(features.dynamic[:, :, i].astype(np.float64))
            columns += [np.ma.filled(values.mean(0), np.nan)[:, None], np.ma.filled(values.std(0), np.nan)[:, None]]
            names += [f"{name}_climate_mean", f"{name}_climate_std"]
    static = np.concatenate(columns, axis=1).astype(np.float32)
    groups = dict(features.groups) | dict.fromkeys(names[features.static.shape[1] :], "static")
    return Features(features.dynamic, static, features.dynamic_names, tuple(names), groups)


def with_statistics(features: Features, ssm: Float, training: Mask) -> Features:
    """Add the temporal descriptors of the training observations."""
    table = describe_series(np.where(training, ssm, np.nan).T).astype(np.float32)
    names = tuple(f"own_{i}" for i in range(table.shape[1]))
    static = np.concatenate([features.static, table], axis=1)
    return Features(features.dynamic, static, features.dynamic_names, features.static_names + names, features.groups)


class Forward:
    """The forward models, blind to the pixel and knowing it: fitted on the first cube, applied to any after it.

    Parameters
    ----------
    config, seed, device
        As in `fill`.
    complete
        Fit also the models that the first cube has no use for.
    """

    def __init__(self, config: FillerConfig, seed: int, device: str, *, complete: bool = False) -> None:
        self.config, self.seed, self.device, self.complete = config, seed, device, complete
        self.models: dict[str, list[Any]] = {}
        self.folds: dict[int, int] = {}
        self.by_day = False
        self.block_days = 0
        self.first_day = ""
        self.spacing: float | None = None
        self.origin = (0.0, 0.0)
        self.level: float | None = None
        self.fitted = False

    def values(
        self,
        features: Features,
        ssm: Float,
        observed: Mask,
        numbers: tuple[Index, Index],
        progress: bool | None = None,
        begin: int = 0,
    ) -> tuple[Float, Float]:
        """Predictions (time, pixel) of the model blind to the pixel and of the one that knows it, out of fold.

        Days without an observation are predicted by the models of all folds. Where no evidence will correct them, far
        from any observation, a model of the whole record predicts: there its better mean counts. So it does in a pixel
        with next to no observations, all days of it: what these few say of the model's offset holds for that model
        alone. `numbers` are those of the pixels and of their homes, see `homes_of`; the record begins `begin` days
        after the one that was fitted on.
        """
        plans = self._plans(features, ssm, observed, numbers, begin)
        if not self.fitted:
            self._fit(plans, ssm, progress)
        return self._together(plans, observed.shape)

    def _plans(
        self, features: Features, ssm: Float, observed: Mask, numbers: tuple[Index, Index], begin: int
    ) -> list[_Plan]:
        """Which models learn where, and where each speaks."""
        folds, seed, config = self.config.folds, self.seed, self.config
        if not self.fitted:
            self.block_days = block_days(len(observed), folds)
        by_pixel = self._pixel_folds(observed, numbers[0], begin)
        by_block = block_folds(observed.shape, folds, seed, numbers[1], self.block_days, begin)
        lonely = np.broadcast_to(observed.sum(0) < FEW, observed.shape)
        far = (distance_to_observation(observed) > FAR_DAYS[0]) & ~lonely
        others = observed & ~lonely
        if not self.fitted and 2 * others.sum() < observed.sum():  # too few to learn from: the folds must do
            lonely = np.zeros_like(lonely)
        plans: list[_Plan] = []
        for k in range(folds):
            own, seen = by_pixel == k, observed & (by_pixel != k)
            plans.append(_Plan("blind", k, features, seen, own, config.networks, seed + k))
        for k in range(folds):
            own, seen = by_block == k, observed & (by_block != k)
            statistics = with_statistics(features, ssm, seen)
            plans.append(_Plan("known", k, statistics, seen, own | (~observed & ~far), config.networks, seed + k))
        always = self.complete and not self.fitted
        if always or lonely.any():
            plans.append(_Plan("strangers", 0, features, others, lonely, config.strangers, seed))
        if always or far.any():
            statistics = with_statistics(features, ssm, observed)
            plans.append(_Plan("far", 0, statistics, observed, far, config.far, seed))
        return plans

    def save(self, folder: Path) -> None:
        """Write every member as it saves itself, the rest as JSON."""
        for key, members in self.models.items():
            for k, member in enumerate(members):
                member.save(folder / key / str(k))
        about = {
            "config": asdict(self.config), "seed": self.seed, "complete": self.complete, "spacing": self.spacing,
            "origin": self.origin, "level": self.level, "by_day": self.by_day, "block_days": self.block_days,
            "first_day": self.first_day, "folds": list(self.folds.items()),
            "models": {key: len(members) for key, members in self.models.items()},
        }  # fmt: skip
        write_atomically(folder / ABOUT, json.dumps(about, sort_keys=True).encode())

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Forward:
        """Read what `save` wrote."""
        about = read_json(folder / ABOUT)
        out = cls(config_from(about["config"]), about["seed"], device, complete=about["complete"])
        for name in ("spacing", "level", "by_day", "block_days", "first_day"):
            setattr(out, name, about[name])
        out.origin, out.folds, out.fitted = tuple(about["origin"]), dict(about["folds"]), True
        for key, count in about["models"].items():
            out.models[key] = [load_model(folder / key / str(k), device=device) for k in range(count)]
        return out

    def _fit(self, plans: Sequence[_Plan], ssm: Float, progress: bool | None) -> None:
        """Fit the members of all plans, side by side."""
        fits, owners = [], []
        for plan in plans:
            if plan.training.any():
                members = fits_of(plan.features, ssm, plan.training, self.config, plan.networks, self.device, plan.seed)
                fits += members
                owners += [plan.key] * len(members)
        for key, member in zip(owners, fit_together(fits, "forward models", self.device, progress), strict=True):
            self.models.setdefault(key, []).append(member)
        self.fitted = True

    def _together(self, plans: Sequence[_Plan], shape: tuple[int, ...]) -> tuple[Float, Float]:
        """Means of what the folds say, and what the models of the whole record say in place of them."""
        sums = {kind: np.zeros((2, *shape), np.float32) for kind in ("blind", "known")}
        instead: list[tuple[str, Mask, Float]] = []
        for plan in plans:
            if plan.key not in self.models:
                continue
            first = mean_of(self.models[plan.key], plan.features, plan.wanted)
            if plan.kind in sums:
                sums[plan.kind][:, plan.wanted] += np.stack([first, np.ones_like(first)])
            else:
                instead.append(({"strangers": "blind", "far": "known"}[plan.kind], plan.wanted, first))
        out = {kind: np.divide(total, np.maximum(count, 1)) for kind, (total, count) in sums.items()}
        for kind, wanted, first in instead:
            out[kind][wanted] = first
        return out["blind"], out["known"]

    def _pixel_folds(self, observed: Mask, numbers: Index, begin: int) -> Index:
        """The fold of each pixel: one whose blind model has not seen it; that of a day where pixels are very few."""
        if not self.fitted:
            self.by_day = observed.shape[1] < 2 * self.config.folds
        if self.by_day:
            return block_folds(observed.shape, self.config.folds, self.seed + 1, numbers, self.block_days, begin)
        if self.fitted:
            own = np.array([self.folds.get(int(n), int(n) % self.config.folds) for n in numbers])
            return np.broadcast_to(own, observed.shape)
        folds = pixel_folds(observed, self.config.folds, self.seed)
        self.folds = dict(zip(numbers.tolist(), folds[0].tolist(), strict=True))
        return folds


@dataclass(frozen=True)
class _Plan:
    """Forward models of one kind and fold: where they learn, and where they speak; masks (time, pixel)."""

    kind: str
    fold: int
    features: Features
    training: Mask
    wanted: Mask
    networks: Networks
    seed: int

    @property
    def key(self) -> str:
        return f"{self.kind}-{self.fold}"
