"""From first values and the observations around them to a corrected value with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.features.samples import as_samples
from tssmnet.filler.config import FAR_DAYS, FillerConfig
from tssmnet.filler.ensemble import _fitting, _members, _pixel_folds
from tssmnet.filler.evidence import (
    FEW,
    Float,
)
from tssmnet.filler.forward import Case
from tssmnet.filler.lessons import Rows
from tssmnet.models import make_model
from tssmnet.models.folded import predictor
from tssmnet.models.together import Fit, fit_together


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
