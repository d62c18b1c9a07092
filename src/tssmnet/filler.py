"""The project's own gap filler: forward models first, then what the observations around a gap say of their error.

Two forward models (memory of the forcing, constants, place) give each day a first value: one knows the statistics of
the pixel's own record, the other has never seen the pixel; each is the mean of gradient boosting and TsSMNet. Their
out-of-fold residuals, in the pixel before and after the gap and in its neighbours, are the second source
(`tssmnet.context`). How far to believe which is learned by the same two under masks shaped like gaps: days at random,
blocks, whole pixels, pixels with a handful of observations, everything before or after a date. It is fitted on two
thirds of the pixels at a time; the errors on the third left out give the error bars. One fitted filler serves every
kind of gap, and pixels that it was not fitted on: `learn` on some, `apply` to others (`tssmnet.stream` does so).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.context import (
    FEW,
    Kernel,
    Neighbourhood,
    Record,
    distance_in_space,
    distance_to_observation,
    neighbour_context,
    neighbourhood,
    own_context,
)
from tssmnet.cube import SOURCE_FLAGS, dynamic_names, from_pixels, predictable, to_pixels
from tssmnet.descriptors import describe_series
from tssmnet.errors import require_known
from tssmnet.features import build_features, is_rain
from tssmnet.gaps import simulate_gaps
from tssmnet.inference import predictor
from tssmnet.models import make_model, parameters_of
from tssmnet.models.base import make_config
from tssmnet.models.together import Fit, fit_together
from tssmnet.progress import bar
from tssmnet.samples import Features, as_samples

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Networks = tuple[Mapping[str, Any], ...]

FAR_DAYS = (30, 60)
"""Days from the pixel's nearest observation from which, and at which wholly, evidence about the first value ends."""

FREEZING_K = 273.15


SOURCES = {
    "memory": "recent weather",
    "constants": "constants of the pixel",
    "own": "the pixel's own observations",
    "neighbours": "the neighbours' observations",
}
"""What the filler draws on beside the day's forcing, the season and the place."""


@dataclass(frozen=True)
class FillerConfig:
    """Settings of the filler; the defaults fill 412 pixels and two years in minutes on two cores.

    Parameters
    ----------
    folds
        Parts of the record that are left out in turn, so that residuals are out of fold.
    thirds
        Parts of the pixels left out in turn when the correction is fitted.
    rows
        Most training rows of the correction, over all masks.
    forward, boosting, spread
        Parameters of the gradient boosting of the forward models, of the correction, and of the size of its errors.
    networks, strangers, far, corrector
        Parameters of each TsSMNet in the forward models of the folds, in that of the whole record for pixels next to
        never observed, in that for days far from any observation, and in the correction; none leaves it out. A model
        blind to its pixel is best as many networks trained briefly, one that knows it as few trained longer.
    network_rows
        Training rows below which TsSMNet is left out: it would only add noise.
    kernel
        Covariance of a pixel's residuals in time.
    coverage
        Share of errors that the interval ``ssm_lower`` to ``ssm_upper`` is to contain.
    ignore
        Names in `SOURCES` of information to leave out, to see what it is worth.
    """

    folds: int = 3
    thirds: int = 3
    rows: int = 300_000
    forward: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=300, rate=0.08, columns=0.4))
    boosting: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=350, rate=0.06, columns=0.3))
    spread: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=120, rate=0.08, columns=0.3, depth=5))
    networks: Networks = ({"epochs": 6, "patience": 0},)
    strangers: Networks = ({"epochs": 3, "patience": 0},) * 4
    far: Networks = ({"epochs": 12, "patience": 0},) * 2
    corrector: Networks = ({"epochs": 4, "dropout": 0.0, "patience": 0},) * 2
    network_rows: int = 20_000
    kernel: Kernel = field(default_factory=Kernel)
    coverage: float = 0.9
    ignore: tuple[str, ...] = ()


def _boosting(**changes: Any) -> dict[str, Any]:
    return {"depth": 7, "min_child": 20.0, "rows": 0.7, "l2": 5.0, "bins": 128, "patience": 0} | changes


def fill(
    cube: xr.Dataset, *, seed: int = 0, device: str = "auto", progress: bool | None = None, **params: Any
) -> xr.Dataset:
    """Fill a cube with the project's own model.

    Parameters
    ----------
    cube
        Passes `tssmnet.check_cube`.
    seed, device, progress
        As in `tssmnet.reconstruct`.
    **params
        Fields of `FillerConfig`.

    Returns
    -------
    xarray.Dataset
        On the cube's dims, m3 m-3: ``ssm``, ``ssm_model``, ``ssm_std`` (standard deviation of model minus observation),
        ``ssm_lower`` and ``ssm_upper`` (the interval), ``source`` (see `tssmnet.cube.SOURCE_FLAGS`),
        ``days_to_observation`` and ``km_to_observation``.
    """
    pixels = to_pixels(cube).load()
    case, learned = learn(pixels, settings(params), seed, device, progress)
    return from_pixels(_answer(pixels, case, learned, progress), cube)


def settings(params: dict[str, Any]) -> FillerConfig:
    """The defaults with some fields changed; unknown ones are refused."""
    config: FillerConfig = make_config(FillerConfig, params, "filler")
    for name in config.ignore:
        require_known(name, SOURCES, "source of information")
    return config


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
    pixels, config, seed, device, progress
        As in `fill`.
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
        As in `tssmnet.context.Record`.
    """
    ssm = _ssm(pixels)
    return _first(_features(pixels, learned.config), ssm, np.isfinite(ssm), learned.forward, numbers, False)


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
        As `fill`, in (time, pixel) form.
    """
    blind, known = (beside[n].transpose("time", "pixel").values for n in ("blind", "known"))
    record, config = Record(_ssm(beside), known, blind, _rain(beside)), learned.config
    around = neighbourhood(beside["lat"].values, beside["lon"].values, learned.forward.spacing)
    case = Case(_features(pixels, config), record, np.isfinite(record.ssm), around, config, learned.forward.device)
    return _answer(pixels, case, learned, False, place)


# --- forward models ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A cube made ready: features, observations, forward models, neighbours."""

    features: Features
    record: Record
    observed: Mask
    around: Neighbourhood
    config: FillerConfig
    device: str = "auto"


def prepare(
    pixels: xr.Dataset, forward: Forward, progress: bool | None = None, numbers: NDArray[np.int64] | None = None
) -> Case:
    """Features, neighbours and out-of-fold forward models of a cube in (time, pixel) form."""
    config, ssm = forward.config, _ssm(pixels)
    observed = np.isfinite(ssm)
    features = _features(pixels, config)
    numbers = np.arange(observed.shape[1]) if numbers is None else numbers
    blind, known = _first(features, ssm, observed, forward, numbers, progress)
    around = neighbourhood(pixels["lat"].values, pixels["lon"].values, forward.spacing)
    forward.spacing = around.spacing
    if observed.shape[1] < 2 * config.folds:  # the folds are of days then, and no forward model is blind to a pixel
        config = replace(config, kernel=replace(config.kernel, offset=0.0))
    return Case(features, Record(ssm, known, blind, _rain(pixels)), observed, around, config, forward.device)


def _ssm(pixels: xr.Dataset) -> Float:
    out: Float = pixels["ssm"].transpose("time", "pixel").values.astype(np.float32)
    return out


def _features(pixels: xr.Dataset, config: FillerConfig) -> Features:
    """What the forward models see of the forcing and of the place."""
    observed = np.isfinite(pixels["ssm"].transpose("time", "pixel").values)
    features = _with_climate(build_features(pixels, observed, memory="memory" not in config.ignore))
    if "constants" in config.ignore:
        return features.select([n for n in features.names if features.groups.get(n) != "static"])
    return features


def _first(
    features: Features,
    ssm: Float,
    observed: Mask,
    forward: Forward,
    numbers: NDArray[np.int64],
    progress: bool | None,
) -> tuple[Float, Float]:
    """Values of the blind model and of the knowing one, for which the blind stands in where it would know little."""
    blind, known = forward.values(features, ssm, observed, numbers, progress)
    return blind, np.where((observed.sum(0) < FEW) | ("own" in forward.config.ignore), blind, known)


def _rain(pixels: xr.Dataset) -> Float | None:
    names = [n for n in dynamic_names(pixels) if is_rain(pixels[n])]
    return pixels[names[0]].transpose("time", "pixel").values.astype(np.float32) if names else None


def _with_climate(features: Features) -> Features:
    """Add mean and standard deviation in time of each forcing as constants of the pixel: its climate."""
    columns, names = [features.static], list(features.static_names)
    for i, name in enumerate(features.dynamic_names):
        if features.groups.get(name) == "forcing":
            values = np.ma.masked_invalid(features.dynamic[:, :, i])
            columns += [np.ma.filled(values.mean(0), np.nan)[:, None], np.ma.filled(values.std(0), np.nan)[:, None]]
            names += [f"{name}_climate_mean", f"{name}_climate_std"]
    static = np.concatenate(columns, axis=1).astype(np.float32)
    groups = dict(features.groups) | dict.fromkeys(names[features.static.shape[1] :], "static")
    return Features(features.dynamic, static, features.dynamic_names, tuple(names), groups)


def _with_statistics(features: Features, ssm: Float, training: Mask) -> Features:
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
        self.spacing: float | None = None
        self.fitted = False

    def values(
        self,
        features: Features,
        ssm: Float,
        observed: Mask,
        numbers: NDArray[np.int64],
        progress: bool | None = None,
    ) -> tuple[Float, Float]:
        """Predictions (time, pixel) of the model blind to the pixel and of the one that knows it, out of fold.

        Days without an observation are predicted by the models of all folds. Where no evidence will correct them, far
        from any observation, a model of the whole record predicts: there its better mean counts. So it does in a pixel
        with next to no observations, all days of it: what these few say of the model's offset holds for that model
        alone.
        """
        folds, seed, config = self.config.folds, self.seed, self.config
        by_pixel, by_block = self._pixel_folds(observed, numbers), _block_folds(observed.shape, folds, seed, numbers)
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
            statistics = _with_statistics(features, ssm, seen)
            plans.append(_Plan("known", k, statistics, seen, own | (~observed & ~far), config.networks, seed + k))
        always = self.complete and not self.fitted
        if always or lonely.any():
            plans.append(_Plan("strangers", 0, features, others, lonely, config.strangers, seed))
        if always or far.any():
            statistics = _with_statistics(features, ssm, observed)
            plans.append(_Plan("far", 0, statistics, observed, far, config.far, seed))
        if not self.fitted:
            self._fit(plans, ssm, progress)
        return self._together(plans, observed.shape)

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

    def _pixel_folds(self, observed: Mask, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The fold of each pixel: one whose blind model has not seen it."""
        if self.fitted:
            own = np.array([self.folds.get(int(n), int(n) % self.config.folds) for n in numbers])
            return np.broadcast_to(own, observed.shape)
        folds = _pixel_folds(observed, self.config.folds, self.seed)
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
        return f"{self.kind} {self.fold}"


def fits_of(
    features: Features, ssm: Float, training: Mask, config: FillerConfig, networks: Networks, device: str, seed: int
) -> list[Fit]:
    """Boosting and, with samples enough, TsSMNet, to be fitted on `training`."""
    samples = features.where(training)
    members = _members(config.forward, networks, config, int(training.sum()), device, seed)
    return [Fit(m, samples, ssm[training]) for m in members]


def mean_of(members: Sequence[Any], features: Features, wanted: Mask) -> Float:
    """The mean of what they say at `wanted`."""
    places = features.where(wanted)
    if not len(places):
        return np.zeros(0, np.float32)
    out: Float = np.mean([predictor(m)(places) for m in members], axis=0)
    return out


def _members(
    boosting: Mapping[str, Any], networks: Networks, config: FillerConfig, rows: int, device: str, seed: int
) -> list[Any]:
    """Boosting and, if there are training rows enough, TsSMNet: their mean is better than either."""
    members = [make_model("xgboost", seed=seed, **_fitting(boosting, rows, 1000))]
    if rows >= config.network_rows:
        members += [make_model("tssmnet", seed=seed + i, device=device, **n) for i, n in enumerate(networks)]
    return members


def _pixel_folds(observed: Mask, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each pixel, spread over (time, pixel); with very few pixels, blocks of days instead."""
    pixels = observed.shape[1]
    if pixels < 2 * folds:
        return _block_folds(observed.shape, folds, seed + 1)
    return np.broadcast_to(np.random.default_rng(seed).permutation(pixels) % folds, observed.shape)


def _block_folds(
    shape: tuple[int, ...], folds: int, seed: int, numbers: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Folds of blocks of days, drawn by the pixel's number; 40 days long, less on a short record."""
    days, pixels = shape
    length = max(2, min(40, days // (2 * folds)))
    most = days // length + 2
    numbers = np.arange(pixels) if numbers is None else numbers
    out = np.empty(shape, np.int64)
    for i, number in enumerate(numbers.tolist()):
        rng = np.random.default_rng([seed, number])
        start, keys = rng.integers(0, length), rng.integers(0, folds, most)
        out[:, i] = keys[(np.arange(days) + start) // length]
    return out


# --- masked training ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Masked observations: features (n, p), first value and target (n,), day and pixel (n,)."""

    table: Float
    first: Float
    target: Float
    time: NDArray[np.int64]
    pixel: NDArray[np.int64]
    names: tuple[str, ...]


def draws(case: Case, seed: int) -> Iterator[tuple[str, Mask, Record]]:
    """Kind of gap, observations hidden by it, and the record as the forward models would have left it."""
    rng = np.random.default_rng(seed)
    days, pixels = case.observed.shape
    longest = max(3, min(40, days // 3))
    record, blind = case.record, replace(case.record, known=case.record.blind)
    for n in range(4):
        yield "random", simulate_gaps(case.observed, "random", seed + n, fraction=0.15), record
        yield "blocks", simulate_gaps(case.observed, "blocks", seed + n, lengths=(min(5, longest), longest)), record
    if pixels >= 2 * case.config.folds:
        chosen = rng.permutation(pixels) % 4
        for n in range(4):
            yield "pixels", case.observed & (chosen == n), _where(chosen == n, blind, record)
        for n in (0, 2):
            yield "few", _all_but_few(case.observed, chosen == n, rng), _where(chosen == n, blind, record)
    if days >= 60:
        yield "ahead", *_one_side(case, seed)


def _where(chosen: NDArray[np.bool_], first: Record, second: Record) -> Record:
    return replace(second, known=np.where(chosen, first.known, second.known))


def _all_but_few(observed: Mask, chosen: NDArray[np.bool_], rng: np.random.Generator) -> Mask:
    """All observations of the chosen pixels but 1 to 15 each."""
    order = np.where(observed, rng.random(observed.shape), -1).argsort(0).argsort(0)
    kept = order >= len(observed) - rng.integers(1, 16, observed.shape[1])
    return observed & ~kept & chosen


def _one_side(case: Case, seed: int) -> tuple[Mask, Record]:
    """Hide the last 40 % of the observed days, with a forward model that has not seen them either.

    Most of them are out of reach of any evidence, so they teach the size of the errors, not the correction.
    """
    config, seen = case.config, np.flatnonzero(case.observed.any(1))
    gone = np.arange(len(case.observed))[:, None] >= seen[int(len(seen) * 0.6)]
    training, wanted = case.observed & ~gone, np.broadcast_to(gone, case.observed.shape)
    known = case.record.known.copy()
    own = _with_statistics(case.features, case.record.ssm, training)
    networks = config.far  # as in those that will serve such days: weaker ones would overstate the errors
    fits = fits_of(own, case.record.ssm, training, config, networks, case.device, seed)
    known[wanted] = mean_of(fit_together(fits, "one side hidden", case.device, False), own, wanted)
    return case.observed & gone, replace(case.record, known=known)


def training_rows(case: Case, seed: int) -> Rows:
    """Rows of all masks together, at most ``config.rows`` of them."""
    parts, rng = [], np.random.default_rng(seed)
    plans = list(draws(case, seed + 1))
    for _, hidden, record in plans:
        time, pixel = np.nonzero(hidden)
        most = case.config.rows // len(plans)
        kept = np.sort(rng.permutation(len(time))[:most]) if len(time) > most else np.arange(len(time))
        parts.append(_rows(case, record, case.observed & ~hidden, time[kept], pixel[kept]))
    table, first, target, time, pixel = (
        np.concatenate([getattr(p, k) for p in parts]) for k in ("table", "first", "target", "time", "pixel")
    )
    return Rows(table, first, target, time, pixel, parts[0].names)


def _rows(case: Case, record: Record, mask: Mask, time: NDArray[np.int64], pixel: NDArray[np.int64]) -> Rows:
    """Features of the days (time[i], pixel[i]) when only the observations in `mask` are there."""
    own = own_context(record, mask, case.config.kernel)
    context = own | neighbour_context(record, mask, own, case.around) | {"known": record.known, "blind": record.blind}
    chosen = [i for i, n in enumerate(case.features.dynamic_names) if _of_the_day(n, case.features.groups)]
    table = np.concatenate(
        [case.features.dynamic[time, pixel][:, chosen], np.stack([v[time, pixel] for v in context.values()], axis=1)],
        axis=1,
    )
    names = (*(case.features.dynamic_names[i] for i in chosen), *context)
    first = record.known + offset_of_few(own, case)
    return Rows(table, first[time, pixel], record.ssm[time, pixel], time, pixel, names)


def offset_of_few(own: Mapping[str, Float], case: Case) -> Float:
    """What a handful of observations adds to a pixel's first values, by kriging; nothing where there are `FEW` or none.

    Trees cannot follow an offset beyond those they were taught; a linear prediction can. They correct what it leaves.
    """
    few = own["own_count"] < FEW if case.config.kernel.offset else False
    return np.where(few, own["kriged"], 0).astype(np.float32)


def _of_the_day(name: str, groups: Mapping[str, str]) -> bool:
    """Whether the correction sees a dynamic feature: the day, the season, and the gist of the memory."""
    gist = ("sum_3d", "sum_10d", "sum_30d", "api_0.9", "lag_1d", "lag_2d", "dry_days", "mean_7d", "mean_30d")
    return groups.get(name) in ("forcing", "season") or name.endswith(gist)


# --- correction and its error ------------------------------------------------------------------------------------


class Correction:
    """What has to be added to the first value, with its error, learned from `Rows`.

    Parameters
    ----------
    config, seed, device
        As in `fill`.
    """

    def __init__(self, config: FillerConfig, seed: int, device: str) -> None:
        self.config, self.seed, self.device = config, seed, device

    def fit(self, case: Case, rows: Rows, progress: bool | None = None) -> Correction:
        """Fit an ensemble on two thirds of the pixels at a time, and the size of its errors on the third left out."""
        self.names = rows.names
        self.used = [i for i, n in enumerate(rows.names) if not _ignored(n, self.config.ignore)]
        part = _pixel_folds(case.observed, self.config.thirds, self.seed)[rows.time, rows.pixel]
        table, target = rows.table[:, self.used], rows.target - rows.first
        fade = evidence(rows.table, rows.names)
        if len(np.unique(part)) < 2:
            part = np.arange(len(part)) % self.config.thirds
        fits, owners = [], []
        for k in np.unique(part):
            taught = (part != k) & (fade > 0.5)
            members = _members(
                self.config.boosting, self.config.corrector, self.config, len(part), self.device, self.seed + int(k)
            )
            if taught.any():
                samples, wanted = as_samples(table[taught]), target[taught]
                fits += [Fit(m, samples, wanted) for m in members]
                owners += [k] * len(members)
        self.members: list[Any] = fit_together(fits, "correction", self.device, progress) if fits else []
        left_out = np.zeros_like(target)
        for k in set(owners):
            own = part == k
            said = [m.predict(table[own]) for m, owner in zip(self.members, owners, strict=True) if owner == k]
            left_out[own] = fade[own] * np.mean(said, axis=0)
        self._fit_spread(rows, target - left_out, part)
        return self

    def _fit_spread(self, rows: Rows, error: Float, part: NDArray[np.int64]) -> None:
        """Size of the error, and how errors scatter about it, the latter on pixels that the size was not fitted on."""
        size = np.log(np.abs(error) + 1e-3)
        params, table = _fitting(self.config.spread, len(error), 500), rows.table[:, self.used]
        folds = np.unique(part)
        fits = [Fit(make_model("xgboost", seed=self.seed, **params), table[part != k], size[part != k]) for k in folds]
        self.spreads: list[Any] = fit_together(fits, "errors", self.device, False)
        left_out = np.zeros_like(size)
        for k, spread in zip(folds, self.spreads, strict=True):
            left_out[part == k] = spread.predict(table[part == k])
        ratio = np.abs(error) / np.exp(left_out)
        kind = situation(rows.table, rows.names)
        self.scale: dict[int, tuple[float, float]] = {}
        for s in range(len(SITUATIONS)):
            own = ratio[kind == s] if (kind == s).sum() >= 200 else ratio
            level = min(1.0, self.config.coverage * (1 + 1 / len(own)))
            self.scale[s] = float(np.sqrt((own**2).mean())), float(np.quantile(own, level))

    def _log_size(self, table: Float) -> Float:
        size: Float = np.mean([m.predict(table[:, self.used]) for m in self.spreads], axis=0)
        return size

    def predict(self, table: Float) -> tuple[Float, Float, Float]:
        """Correction, standard deviation of its error, half width of the interval; each (n,), m3 m-3."""
        change = np.zeros(len(table), np.float32)
        if self.members:
            change = np.mean([predictor(m)(as_samples(table[:, self.used])) for m in self.members], axis=0)
        change = change * evidence(table, self.names)
        size = np.exp(self._log_size(table))
        scale = np.array([self.scale[s] for s in range(len(SITUATIONS))])[situation(table, self.names)]
        return change.astype(np.float32), size * scale[:, 0], size * scale[:, 1]


def _ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether a feature of the correction comes from a source that is to be ignored."""
    if name.startswith(("near_", "far_")):
        return "neighbours" in ignore
    return "own" in ignore and name.startswith(("own_", "before_", "after_", "phase_", "kriged"))


def _fitting(params: Mapping[str, Any], rows: int, share: float) -> dict[str, Any]:
    """The parameters with a smallest leaf that fits a small table: at most one in `share` of its rows."""
    wanted = params.get("min_child", parameters_of("xgboost")["min_child"])
    return {**params, "min_child": min(wanted, max(1.0, rows / share))}


def evidence(table: Float, names: Sequence[str]) -> Float:
    """How far a day is within reach of an observation that can correct its first value, 0 to 1.

    Learned corrections do not carry over time: errors of one season are common to all pixels, so what pixels left out
    confirm, the next season contradicts. Within `FAR_DAYS` of an own observation, beside neighbours observed on the
    days around, or where a few own observations tell the pixel's offset, there is evidence.
    """
    column = {n: table[:, names.index(n)] for n in ("own_count", "before_1_days", "after_1_days", "far_weight")}
    nearest = np.fmin(column["before_1_days"], column["after_1_days"])
    own = np.clip((FAR_DAYS[1] - np.nan_to_num(nearest, nan=np.inf)) / (FAR_DAYS[1] - FAR_DAYS[0]), 0, 1)
    few = (column["own_count"] > 0) & (column["own_count"] < FEW)
    out: Float = np.maximum(np.where(few, 1, own), np.clip(2 * column["far_weight"], 0, 1)).astype(np.float32)
    return out


SITUATIONS = (
    "no observation",
    "few observations",
    "one side, far",
    "2 days or less",
    "3 to 7 days",
    "more than 7 days",
)
"""What a filled day can be in; the intervals are calibrated in each."""


def situation(table: Float, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Index into `SITUATIONS` of each row."""
    column = {n: table[:, names.index(n)] for n in ("own_count", "before_1_days", "after_1_days")}
    before, after = (np.nan_to_num(column[f"{s}_1_days"], nan=np.inf) for s in ("before", "after"))
    nearest = np.minimum(before, after)
    return np.select(
        [column["own_count"] == 0, column["own_count"] < FEW, np.isinf(np.maximum(before, after)) & (nearest > 15)],
        [0, 1, 2],
        np.digitize(nearest, [2.5, 7.5]) + 3,
    )


# --- the filled cube ---------------------------------------------------------------------------------------------


def _answer(
    pixels: xr.Dataset,
    case: Case,
    learned: Learned,
    progress: bool | None,
    place: NDArray[np.int64] | None = None,
) -> xr.Dataset:
    """The filled pixels, whose features `case` has; `place` says where they are among those of its record."""
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


def frozen(pixels: xr.Dataset) -> Mask:
    """Days (time, pixel) below freezing by the first temperature among the predictors; none where there is none."""
    for name in dynamic_names(pixels):
        standard, units = (str(pixels[name].attrs.get(k, "")) for k in ("standard_name", "units"))
        if "temperature" in standard or "temperature" in name.lower() or name.lower() == "lst":
            threshold = FREEZING_K if units in ("K", "kelvin", "Kelvin") else 0.0
            return np.asarray(pixels[name].transpose("time", "pixel").values < threshold)
    return np.zeros(pixels["ssm"].shape, bool)


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
