"""Members of the forward models, their mean, and the folds that are left out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.features.samples import Features
from tssmnet.filler.config import FillerConfig, Networks
from tssmnet.filler.evidence import Float, Mask
from tssmnet.models import make_model, parameters_of
from tssmnet.models.folded import predictor
from tssmnet.models.together import Fit


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
    members = [make_model("xgboost", seed=seed, **fitting(boosting, rows, 1000))]
    if rows >= config.network_rows:
        members += [make_model("tssmnet", seed=seed + i, device=device, **n) for i, n in enumerate(networks)]
    return members


def pixel_folds(observed: Mask, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each pixel, spread over (time, pixel); with very few pixels, blocks of days instead."""
    pixels = observed.shape[1]
    if pixels < 2 * folds:
        return block_folds(observed.shape, folds, seed + 1)
    return np.broadcast_to(np.random.default_rng(seed).permutation(pixels) % folds, observed.shape)


def block_days(days: int, folds: int) -> int:
    """Length of the blocks of days on a record of so many: 40 days, less on a short record."""
    return max(2, min(40, days // (2 * folds)))


def block_folds(
    shape: tuple[int, ...],
    folds: int,
    seed: int,
    numbers: NDArray[np.int64] | None = None,
    length: int | None = None,
    begin: int = 0,
) -> NDArray[np.int64]:
    """Folds of blocks of days, drawn by the pixel's number.

    A later stretch of a record, from day `begin` on, has the folds of the whole one if `length` is that of its blocks.
    """
    days, pixels = begin + shape[0], shape[1]
    length = length or block_days(days, folds)
    most = days // length + 2
    numbers = np.arange(pixels) if numbers is None else numbers
    out = np.empty(shape, np.int64)
    for i, number in enumerate(numbers.tolist()):
        rng = np.random.default_rng([seed, number])
        start, keys = rng.integers(0, length), rng.integers(0, folds, most)
        out[:, i] = keys[(np.arange(begin, days) + start) // length]
    return out


def fitting(params: Mapping[str, Any], rows: int, share: float) -> dict[str, Any]:
    """The parameters with a smallest leaf that fits a small table: at most one in `share` of its rows."""
    wanted = params.get("min_child", parameters_of("xgboost")["min_child"])
    return {**params, "min_child": min(wanted, max(1.0, rows / share))}
