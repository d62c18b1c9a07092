"""Lessons: observations are hidden as gaps of every kind would hide them, with what is still known around them.

How much of each kind is taught follows the cube: where pixels lie next to each other, holes come as whole swaths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.filler.config import Networks
from tssmnet.filler.ensemble import fits_of, mean_of
from tssmnet.filler.evidence import FEW, Float, Index, Mask, Record, neighbour_context, own_context, rain_of, warmth
from tssmnet.filler.forward import Case, with_statistics
from tssmnet.filler.short import short_first
from tssmnet.filler.tokens import (
    SLOTS,
    TOKEN,
    Observations,
    Slots,
    describe_tokens,
    find_tokens,
    observations_of,
    token_neighbours,
)
from tssmnet.gaps import fronts, regions, simulate_gaps, swaths
from tssmnet.models.together import fit_together

SHARES: Mapping[str, float] = {
    "random": 0.36, "blocks": 0.27, "swaths": 0.12, "fronts": 0.08,
    "pixels": 0.05, "few": 0.05, "regions": 0.03, "ahead": 0.04,
}  # fmt: skip
"""Part of the rows that each kind of gap has, on scattered pixels."""

CONTIGUOUS_SHARES: Mapping[str, float] = {
    "random": 0.1, "blocks": 0.1, "swaths": 0.4, "fronts": 0.2,
    "pixels": 0.03, "few": 0.04, "regions": 0.08, "ahead": 0.05,
}  # fmt: skip
"""The same where pixels lie next to each other, and on a short record."""

OF_PIXELS = ("pixels", "few", "regions")
"""Kinds in which the pixel is new, so that whole pixels must be left out to see the error."""

RAIN_SINCE = tuple(f"{side}_{order}_rain" for side in ("before", "after") for order in (1, 2))
RAIN_DAYS = (-1, 0, 1, 2)
RAIN_SUMS = (3, 10, 30)


@dataclass(frozen=True)
class Rows:
    """Gap days and what is known around each.

    Parameters
    ----------
    table
        Numbers by name in `names`, shape (n, c): boosting's features; `query` of them is the network's.
    index
        Tokens as `find_tokens` has them, shape (n, slots).
    lesson
        Which of `records` a row's tokens are taken from, shape (n,).
    first, target
        First value with the offset of a pixel seen a few times, and the truth (NaN where unknown), shape (n,), m3 m-3.
    time, pixel
        Shape (n,).
    kinds
        Kind of gap of each lesson.
    """

    table: Float
    names: tuple[str, ...]
    index: Slots
    lesson: Index
    records: tuple[Observations, ...]
    first: Float
    target: Float
    time: Index
    pixel: Index
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.first)

    def column(self, name: str) -> Float:
        """One column of the table, shape (n,)."""
        return self.table[:, self.names.index(name)]

    def tokens(self, rows: Index) -> Float:
        """Tokens in numbers, shape (len(rows), slots, `TOKEN`)."""
        out = np.empty((len(rows), SLOTS, TOKEN), np.float32)
        lesson = self.lesson[rows]
        for number in np.unique(lesson):
            here = np.flatnonzero(lesson == number)
            own = rows[here]
            out[here] = describe_tokens(self.index[own], self.time[own], self.pixel[own], self.records[number])
        return out


def query(table: Float, names: tuple[str, ...]) -> Float:
    """The table in the numbers of the network: sizes that mean the same in any region, zero where unknown; (n, c)."""
    logged = [n.endswith(("days", "count", "weight")) or "rain" in n or "_weight_" in n for n in names]
    scale = [15.0 if n.startswith("warmth") else 0.1 if n in ("known", "blind") else 0.05 for n in names]
    out = np.nan_to_num(table)
    out = np.where(logged, np.log1p(np.maximum(out, 0)) / 2.5, out / np.array(scale, np.float32))
    return np.clip(out, -8, 8).astype(np.float32)


# --- what is hidden ----------------------------------------------------------------------------------------------


def draws(case: Case, seed: int) -> Iterator[tuple[str, Mask, Record]]:
    """Kind of gap, observations hidden by it, and the record as the forward models would have left it."""
    rng, observed = np.random.default_rng(seed), case.observed
    days, pixels = observed.shape
    longest = max(3, min(40, days // 3))
    record, blind = case.record, replace(case.record, known=case.record.blind)
    for n in range(4):
        yield "random", simulate_gaps(observed, "random", seed + n, fraction=0.2), record
    for n in range(3):
        yield "blocks", simulate_gaps(observed, "blocks", seed + n, lengths=(min(5, longest), longest)), record
    for n in range(2):
        yield "swaths", swaths(observed, seed + n, 0.3, (1, max(1, min(6, days // 5)))), record
        yield "fronts", fronts(observed, case.lat, case.lon, seed + n, 0.2), record
    if pixels >= 2 * case.config.folds:
        chosen = rng.permutation(pixels) % 4
        for n in range(2):
            yield "pixels", observed & (chosen == n), where(chosen == n, blind, record)
        yield "few", _all_but_few(observed, chosen >= 2, rng), where(chosen >= 2, blind, record)
        if observed.any(0).sum() > 1:
            hidden = regions(observed, case.lat, case.lon, seed, 0.2)
            yield "regions", hidden, where(np.asarray(hidden.any(0)), blind, record)
        yield "fronts", fronts(observed, case.lat, case.lon, seed + 9, 0.3, (1, 4), (0.5, 1.0)), record
    if days >= 60 and case.level is None:
        yield "ahead", *one_side(case, seed)


def where(chosen: NDArray[np.bool_], first: Record, second: Record) -> Record:
    """The second record, with the knowing model of the first in the pixels chosen."""
    return replace(second, known=np.where(chosen, first.known, second.known))


def _all_but_few(observed: Mask, chosen: NDArray[np.bool_], rng: np.random.Generator) -> Mask:
    """All observations of the chosen pixels but 1 to 15 each."""
    order = np.where(observed, rng.random(observed.shape), -1).argsort(0).argsort(0)
    kept = order >= len(observed) - rng.integers(1, 16, observed.shape[1])
    return observed & ~kept & chosen


def one_side(case: Case, seed: int, networks: Networks = ()) -> tuple[Mask, Record]:
    """Hide the last 40 % of the observed days, with a forward model that has not seen them either.

    Most of them are out of reach of any evidence, so they teach the size of the errors, not the correction.
    """
    config, days = case.config, np.flatnonzero(case.observed.any(1))
    last = np.arange(len(case.observed))[:, None] >= days[int(len(days) * 0.6)]
    training, late = case.observed & ~last, np.broadcast_to(last, case.observed.shape)
    known = case.record.known.copy()
    own = with_statistics(case.features, case.record.ssm, training)
    fits = fits_of(own, case.record.ssm, training, config, networks, case.device, seed)
    known[late] = mean_of(fit_together(fits, "one side hidden", case.device, False), own, late)
    return case.observed & last, replace(case.record, known=known)


# --- what is still known -----------------------------------------------------------------------------------------


def weather(pixels: xr.Dataset) -> dict[str, Float]:
    """Rain of the days around and before, mm, and temperature, degrees Celsius; NaN where unknown; (time, pixel)."""
    rain, warm = rain_of(pixels), warmth(pixels)
    rain = np.full(pixels["ssm"].shape, np.nan, np.float32) if rain is None else rain
    total = np.concatenate([np.zeros((1, rain.shape[1])), np.cumsum(np.nan_to_num(rain), axis=0)])
    end = np.arange(1, len(total))
    out = {f"rain_{n}": _shifted(rain, n) for n in RAIN_DAYS}
    for n in RAIN_SUMS:
        out[f"rain_sum_{n}"] = np.where(np.isnan(rain), np.nan, total[end] - total[np.maximum(end - n, 0)])
    out |= {f"warmth_{n}": _shifted(warm, n) for n in (-1, 0, 1)}
    return {name: values.astype(np.float32) for name, values in out.items()}


def _shifted(values: Float, days: int) -> Float:
    """The value so many days before, NaN beyond the record."""
    out = np.full(values.shape, np.nan, np.float32)
    if len(values) > abs(days):
        out[max(days, 0) : len(values) + min(days, 0)] = values[max(-days, 0) : len(values) - max(days, 0)]
    return out


@dataclass(frozen=True)
class Known:
    """What is known of every day under one mask: columns and first values (time, pixel), and what tokens come from."""

    columns: Mapping[str, Float]
    first: Float
    mask: Mask
    record: Observations
    around: Index


def known_of(case: Case, record: Record, mask: Mask) -> Known:
    """What the observations in `mask` tell of every day of every pixel."""
    own = own_context(record, mask, case.config.kernel)
    columns = own | neighbour_context(record, mask, own, case.around) | {"known": record.known, "blind": record.blind}
    unknown = np.broadcast_to(np.float32(np.nan), mask.shape)
    columns |= {name: unknown for name in RAIN_SINCE if name not in columns}
    observations = observations_of(record.ssm, record.known, mask, record.rain, case.lat, case.lon)
    around = token_neighbours(case.around, case.lat, case.lon)
    return Known(dict(sorted(columns.items())), record.known + offset_of_few(own, case), mask, observations, around)


def offset_of_few(own: Mapping[str, Float], case: Case) -> Float:
    """What a handful of observations adds to a pixel's first values, by kriging; nothing where there are `FEW` or none.

    Neither trees nor networks follow an offset beyond those they were taught; a linear prediction does. They correct
    what it leaves.
    """
    few = own["own_count"] < FEW if case.config.kernel.offset else False
    return np.where(few, own["kriged"], 0).astype(np.float32)


def rows_at(
    known: Known, days: Mapping[str, Float], time: Index, pixel: Index, kind: str = "", place: Index | None = None
) -> Rows:
    """Rows of the days (time[i], pixel[i]).

    Parameters
    ----------
    known
        Under the mask.
    days
        The weather of all days, see `weather`.
    place
        Number in `days` of each row's pixel where that is another than in `known`.
    """
    here = pixel if place is None else place
    columns = [v[time, pixel] for v in known.columns.values()] + [v[time, here] for v in days.values()]
    index = find_tokens(known.mask, time, pixel, known.around)
    target = known.record.ssm[time, pixel]
    names, lesson = (*known.columns, *days), np.zeros(len(time), np.int64)
    first = known.first[time, pixel]
    return Rows(
        np.stack(columns, axis=1), names, index, lesson, (known.record,), first, target, time, pixel, (kind,)
    )  # fmt: skip


def training_rows(case: Case, pixels: xr.Dataset, seed: int) -> Rows:
    """Rows of all lessons together, about ``config.rows`` of them at most."""
    rng, days = np.random.default_rng(seed), weather(pixels)
    shares = CONTIGUOUS_SHARES if case.contiguous else SHARES
    plans = [plan for plan in draws(case, seed + 1) if plan[1].any()]
    parts = []
    for kind, hidden, record in plans:
        time, pixel = np.nonzero(hidden)
        most = int(case.config.rows * shares[kind] / sum(plan[0] == kind for plan in plans))
        kept = np.sort(rng.permutation(len(time))[: max(most, 1)])
        mask = case.observed & ~hidden
        if case.level is not None:
            first = short_first(record.ssm, mask, case.level, case.lat, case.lon)
            record = replace(record, known=first, blind=first)
        known = known_of(case, record, mask)
        parts.append(rows_at(known, days, time[kept], pixel[kept], kind))
    return together(parts)


def together(parts: list[Rows]) -> Rows:
    """All rows in one, each lesson with its own record."""

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    lesson = np.concatenate([np.full(len(part), i) for i, part in enumerate(parts)])
    records = tuple(part.records[0] for part in parts)
    kinds = tuple(part.kinds[0] for part in parts)
    arrays = {name: joined(name) for name in ("table", "index", "first", "target", "time", "pixel")}
    return Rows(names=parts[0].names, lesson=lesson, records=records, kinds=kinds, **arrays)
