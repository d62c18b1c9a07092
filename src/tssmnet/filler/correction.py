"""What has to be added to the first value, learned from lessons by boosting and an attentive network, with its ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from tssmnet.disk import write_atomically
from tssmnet.filler.attention import LEVELS, SIGNS, UNIT, Attentive, Shape, loss
from tssmnet.filler.config import FAR_DAYS, FillerConfig, config_from
from tssmnet.filler.ensemble import fitting
from tssmnet.filler.evidence import FEW, Float, Index
from tssmnet.filler.intervals import FROST, Side, calibrate, groups_of
from tssmnet.filler.lessons import OF_PIXELS, Rows, query
from tssmnet.filler.tokens import OWN, TOKEN
from tssmnet.models import load_model, make_model
from tssmnet.models.base import read_json
from tssmnet.models.together import Fit, fit_together

ABOUT, WEIGHTS = "correction.json", "networks.safetensors"

DROPPED = 0.1
"""Share of the tokens that a lesson leaves out at random; a row in ten loses all of one kind."""

FEWEST = 64
"""Lessons in each part below which there are no networks."""

EVENT_DAYS = 3
"""Days that an event (rain that nobody saw) spans, about."""


class Learner:
    """An attentive network that is fitted as the models of `tssmnet.models` are: `fit(rows, target)`.

    Parameters
    ----------
    config, seed
        As in `tssmnet.filler.fill`.
    """

    net: Attentive

    def __init__(self, config: FillerConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def fit(self, rows: Rows, target: Float) -> Learner:
        """Learn the target (n,), m3 m-3: AdamW, one cycle of the rate, tokens left out at random."""
        c, scaled = self.config, target / UNIT
        numbers = query(rows.table, rows.names)
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        self.net = Attentive(Shape(TOKEN, numbers.shape[1], c.hidden))
        batch = min(c.batch, len(rows))
        steps = c.epochs * (len(rows) // batch)
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=c.rate, weight_decay=0.01, fused=True)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, c.rate, total_steps=steps + 1, pct_start=0.15)
        for _ in range(c.epochs):
            order = rng.permutation(len(rows))[: len(rows) // batch * batch].reshape(-1, batch)
            for chosen in order:
                present = (rows.index[chosen] >= 0) & kept_tokens(rows.index[chosen].shape, rng)
                parts = (rows.tokens(chosen), present, numbers[chosen])
                optimizer.zero_grad()
                loss(self.net(*map(torch.from_numpy, parts)), torch.from_numpy(scaled[chosen])).backward()
                optimizer.step()
                cycle.step()
        return self


def mean_of_networks(learners: list[Learner], rows: Rows, chosen: Index, batch: int = 2048) -> Float:
    """Mean correction and mean distances to the ends, m3 m-3, shape (len(chosen), 5).

    All batches are of one size, the last filled up, so that a row has the same bits whatever it is predicted with.
    """
    out = np.zeros((len(chosen), 5), np.float32)
    numbers = query(rows.table[chosen], rows.names)
    with torch.inference_mode():
        for start in range(0, len(chosen), batch):
            some = chosen[start : start + batch]
            parts = (rows.tokens(some), rows.index[some] >= 0, numbers[start : start + batch])
            tensors = [torch.from_numpy(np.resize(part, (batch, *part.shape[1:]))) for part in parts]
            for learner in learners:
                out[start : start + batch] += learner.net(*tensors).numpy()[: len(some)]
    return out * np.float32(UNIT / len(learners))


def kept_tokens(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Tokens (n, slots) that a lesson leaves in: any may be missing, and all own ones or all of the neighbours."""
    kept = rng.random(shape) >= DROPPED
    draw = rng.random(shape[0])
    kept[draw < 0.03, : 2 * OWN] = False
    kept[draw > 0.94, 2 * OWN :] = False
    return kept


class Estimate(NamedTuple):
    """Filled values of n days, (n,), m3 m-3: value, the ends at `LEVELS`, standard deviation of the errors."""

    value: Float
    lower: Float
    q25: Float
    q75: Float
    upper: Float
    std: Float


@dataclass
class Correction:
    """Members fitted on parts of the lessons, and the factors of the intervals.

    Parameters
    ----------
    config, seed, device
        As in `tssmnet.filler.fill`.
    """

    config: FillerConfig
    seed: int = 0
    device: str = "auto"
    names: tuple[str, ...] = ()
    trees: list[Any] = field(default_factory=list)
    networks: list[Learner] = field(default_factory=list)
    sides: tuple[Side, ...] = ()
    spread: float = 1.0

    def fit(self, rows: Rows, region: Index, progress: bool | None = None) -> Correction:
        """Fit on some parts of the lessons at a time, and the intervals on the part left out.

        Parameters
        ----------
        rows
            The lessons.
        region
            Region of each pixel, see `evidence.region_of`.
        """
        return self.fit_events(rows, events_of(rows, region), progress)

    def fit_events(self, rows: Rows, event: Index, progress: bool | None = None) -> Correction:
        """Fit as `fit` does, with the event that each row belongs to, (n,)."""
        rows = self._heeded(rows)
        part = parts_of(rows, event, self.config.parts, self.seed)
        near = evidence(rows) > 0.5
        target = rows.target - rows.first
        taught = [np.flatnonzero(near & (part != k)) for k in range(self.config.parts)]
        self.names = rows.names
        self._fit_members(rows, target, taught, progress)
        answer = np.zeros((len(rows), 5), np.float32)
        for k in range(self.config.parts):
            own = np.flatnonzero(part == k)
            answer[own] = self._mean_of(rows, own, [k])
        self._fit_intervals(rows, answer, event)
        return self

    def calibrated(self, rows: Rows, region: Index) -> Correction:
        """Draw the intervals to the lessons of another cube than that of the members."""
        rows = self._heeded(rows)
        self._fit_intervals(rows, self._mean_of(rows, np.arange(len(rows)), self._all), events_of(rows, region))
        return self

    @property
    def _all(self) -> list[int]:
        return list(range(max(len(self.trees), len(self.networks))))

    def _fit_members(self, rows: Rows, target: Float, taught: list[Index], progress: bool | None) -> None:
        fits: list[Fit] = []
        enough = self.config.epochs and min(map(len, taught)) >= FEWEST
        for k, own in enumerate(taught):
            params, few = fitting(self.config.boosting, len(own), 1000), own if len(own) else np.arange(len(rows))
            if self.config.share < 1:
                fits.append(Fit(make_model("xgboost", seed=self.seed + k, **params), rows.table[few], target[few]))
            if enough:
                fits.append(Fit(Learner(self.config, self.seed + k), part_of(rows, few), target[few]))
        members = fit_together(fits, "correction", self.device, progress)
        self.trees = [m for m in members if not isinstance(m, Learner)]
        self.networks = [m for m in members if isinstance(m, Learner)]

    def _mean_of(self, rows: Rows, chosen: Index, members: list[int]) -> Float:
        """Correction and distances of the mean of some members, (len(chosen), 5)."""
        table = rows.table[chosen]
        trees = np.mean([self.trees[k].predict(table) for k in members], axis=0) if self.trees else None
        share, out = self.config.share, np.full((len(chosen), 5), UNIT, np.float32)
        if self.networks:
            out = mean_of_networks([self.networks[k] for k in members], rows, chosen)
        else:
            share, out[:, 0] = 0.0, 0.0
        if trees is not None:
            out[:, 0] = share * out[:, 0] + (1 - share) * trees
        out[:, 0] *= evidence(rows)[chosen]
        return out

    def _fit_intervals(self, rows: Rows, answer: Float, event: Index) -> None:
        value = rows.first + answer[:, 0]
        error, groups = (rows.target - value).astype(np.float32), grouped(rows, value, self.config.few)
        levels = [max(level, 1 - level) for level in LEVELS]
        scores = [sign * error / answer[:, 1 + k] for k, sign in enumerate(SIGNS)]
        self.sides = tuple(
            calibrate(score, groups, event, level, start)
            for score, level, start in zip(scores, levels, self.sides or (None,) * len(LEVELS), strict=True)
        )
        width = answer[:, 1] * self.sides[0].stretch(groups) + answer[:, 4] * self.sides[3].stretch(groups)
        self.spread = float(np.sqrt(np.mean((error / width) ** 2)))

    def predict(self, rows: Rows) -> Estimate:
        """Value and ends of the intervals of each row."""
        rows = self._heeded(rows)
        answer = self._mean_of(rows, np.arange(len(rows)), self._all)
        value = np.clip(rows.first + answer[:, 0], 0, 1)
        groups = grouped(rows, value, self.config.few)
        frost = np.where(rows.column("warmth_0") < 0, np.float32(FROST), np.float32(1))
        away = [answer[:, 1 + k] * side.stretch(groups) * frost for k, side in enumerate(self.sides)]
        away[1], away[2] = np.minimum(*away[:2]), np.minimum(*away[2:])
        low, q25, q75, high = (np.clip(value + sign * way, 0, 1) for sign, way in zip(SIGNS, away, strict=True))
        return Estimate(value, low, q25, q75, high, (away[0] + away[3]) * np.float32(self.spread))

    def save(self, folder: Path) -> None:
        """Write boosters as UBJSON, networks as safetensors, the rest as JSON."""
        for k, tree in enumerate(self.trees):
            tree.save(folder / f"trees-{k}")
        weights = {f"{k}.{n}": v for k, m in enumerate(self.networks) for n, v in m.net.state_dict().items()}
        write_atomically(folder / WEIGHTS, safetensors.torch.save(weights))
        about = {
            "config": asdict(self.config), "seed": self.seed, "names": self.names, "trees": len(self.trees),
            "networks": [asdict(m.net.shape) for m in self.networks], "spread": self.spread,
            "sides": [asdict(side) for side in self.sides],
        }  # fmt: skip
        write_atomically(folder / ABOUT, json.dumps(about, indent=1).encode())

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Correction:
        """Read what `save` wrote."""
        about = read_json(folder / ABOUT)
        out = cls(config_from(about["config"]), about["seed"], device, tuple(about["names"]))
        out.trees = [load_model(folder / f"trees-{k}", device=device) for k in range(about["trees"])]
        weights = safetensors.torch.load((folder / WEIGHTS).read_bytes())
        for k, shape in enumerate(about["networks"]):
            learner = Learner(out.config, out.seed + k)
            learner.net = Attentive(Shape(**shape))
            learner.net.load_state_dict({n.partition(".")[2]: v for n, v in weights.items() if n.startswith(f"{k}.")})
            out.networks.append(learner)
        out.sides, out.spread = tuple(Side(**side) for side in about["sides"]), about["spread"]
        return out

    def _heeded(self, rows: Rows) -> Rows:
        """The rows without what the settings ignore."""
        return without(rows, self.config.ignore) if self.config.ignore else rows


def events_of(rows: Rows, region: Index) -> Index:
    """The event of each row: some days of a region, whose errors are common."""
    return region[rows.pixel] * 100_000 + rows.time // EVENT_DAYS


def without(rows: Rows, ignore: tuple[str, ...]) -> Rows:
    """The rows without the columns and tokens of some sources."""
    table, index = rows.table.copy(), rows.index.copy()
    own, others = "own" in ignore, "neighbours" in ignore
    starts = ("own_", "before_", "after_", "phase_", "kriged") * own + ("near_", "far_") * others
    for i, name in enumerate(rows.names):
        if name.startswith(starts) and starts and name not in ("own_count", "before_1_days", "after_1_days"):
            table[:, i] = np.nan
    index[:, : 2 * OWN] = np.where(own, -1, index[:, : 2 * OWN])
    index[:, 2 * OWN :] = np.where(others, -1, index[:, 2 * OWN :])
    return Rows(**{**rows.__dict__, "table": table, "index": index})


def part_of(rows: Rows, chosen: Index) -> Rows:
    """Some of the rows."""
    arrays = {n: getattr(rows, n)[chosen] for n in ("table", "index", "lesson", "first", "target", "time", "pixel")}
    return Rows(names=rows.names, records=rows.records, kinds=rows.kinds, **arrays)


def parts_of(rows: Rows, event: Index, parts: int, seed: int) -> Index:
    """The part that each row belongs to, (n,): whole pixels where the pixel is new, else whole events."""
    rng = np.random.default_rng(seed)
    by_pixel = rng.integers(0, parts, rows.pixel.max() + 1)[rows.pixel]
    number = np.unique(event, return_inverse=True)[1]
    by_event = (rng.permutation(number.max() + 1) % parts)[number]
    new = np.isin(np.array(rows.kinds)[rows.lesson], OF_PIXELS)
    return np.asarray(np.where(new, by_pixel, by_event), np.int64)


def grouped(rows: Rows, value: Float, few: int = FEW) -> dict[str, Index]:
    """Groups of the intervals, see `intervals.groups_of`."""
    names = ("own_count", "before_1_days", "after_1_days", "before_1_rain", "warmth_0")
    have: Mapping[str, Float] = {
        n: rows.column(n) if n in rows.names else np.full(len(rows), np.nan, np.float32) for n in names
    }
    pixels = len(rows.records[0].mean)
    others = rows.index[:, 2 * OWN :]
    seen = ((others >= 0) & (others // pixels == rows.time[:, None])).sum(1)
    return groups_of(have, seen, value, few)


def evidence(rows: Rows) -> Float:
    """How far a day is within reach of an observation that can correct its first value, 0 to 1; (n,).

    Learned corrections do not carry over time: errors of one season are common to all pixels, so what pixels left out
    confirm, the next season contradicts. Within `FAR_DAYS` of an own observation, beside neighbours observed on the
    days around, or where a few own observations tell the pixel's offset, there is evidence.
    """
    nearest = np.nan_to_num(np.fmin(rows.column("before_1_days"), rows.column("after_1_days")), nan=np.inf)
    own = np.clip((FAR_DAYS[1] - nearest) / (FAR_DAYS[1] - FAR_DAYS[0]), 0, 1)
    count = rows.column("own_count")
    few = (count > 0) & (count < FEW)
    out: Float = np.maximum(np.where(few, 1, own), np.clip(2 * np.nan_to_num(rows.column("far_weight")), 0, 1)).astype(
        np.float32
    )
    return out
