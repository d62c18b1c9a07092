"""What the correction learns from: observations hidden in many shapes, and what was left around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tssmnet.filler.ensemble import fits_of, mean_of
from tssmnet.filler.evidence import (
    FEW,
    Float,
    Mask,
    Record,
    neighbour_context,
    own_context,
)
from tssmnet.filler.forward import Case, _with_statistics
from tssmnet.gaps import simulate_gaps
from tssmnet.models.together import fit_together


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
