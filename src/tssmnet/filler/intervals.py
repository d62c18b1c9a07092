"""Prediction intervals for a retrieval that was not seen: lower and upper end each, calibrated by group.

The network gives the distance of each end from the value; its errors on lessons that it was not taught show by how
much that must be stretched, in each group of days: by the nearest own observation, by whether a neighbour was seen
that day, by the rain since, by frost, by wetness. The factors of all groupings multiply; they are fitted in turn until
each group's interval misses as often as it should (conformal prediction by group; Romano et al. 2019, arXiv:1905.03222,
for intervals that are learned and then stretched).

The errors of a day are common to its pixels, so the cases of a group are its days in a region, not its pixel-days. With
m of them, the share to be held is raised as m cases ask for, and a group's own factor counts for m / (m + `SHRINK`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Index = NDArray[np.int64]

SHRINK = 15.0
SWEEPS = 4
BEYOND = 1.3
"""What the largest score is stretched by where there are too few cases for the share that is wanted."""

FROST = 1.25
"""What the interval of a frozen day is stretched by: next to none is observed, so nothing can be tested there."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "all": ("all",),
    "own": ("1 day", "2 to 3 days", "4 to 8 days", "9 to 30 days", "more than 30 days", "few", "none"),
    "neighbours": ("no neighbour that day", "some", "four or more"),
    "rain": ("unknown", "below 1 mm", "1 to 10 mm", "above 10 mm"),
    "warmth": ("unknown", "frozen", "below 10 degrees", "warm"),
    "wetness": ("below 0.1", "0.1 to 0.2", "0.2 to 0.3", "above 0.3"),
}
"""Groupings of days, each with the names of its groups."""


def groups_of(column: Mapping[str, Float], neighbours: NDArray[np.integer], value: Float, few: int) -> dict[str, Index]:
    """The group of each row in each of `GROUPS`.

    Parameters
    ----------
    column
        ``own_count``, ``before_1_days``, ``after_1_days``, ``before_1_rain``, ``warmth_0``, each (n,).
    neighbours
        Observations of neighbours on the same day among the tokens, (n,).
    value
        Filled value, m3 m-3, (n,).
    few
        Own observations below which there are few.
    """
    nearest = np.fmin(column["before_1_days"], column["after_1_days"])
    own = np.digitize(np.nan_to_num(nearest, nan=np.inf), [1.5, 3.5, 8.5, 30.5])
    count, rain, warm = column["own_count"], column["before_1_rain"], column["warmth_0"]
    return {
        "all": np.zeros(len(value), np.int64),
        "own": np.select([count == 0, count < few], [6, 5], own),
        "neighbours": np.digitize(neighbours, [1, 4]),
        "rain": np.where(np.isnan(rain), 0, np.digitize(np.nan_to_num(rain), [1, 10]) + 1),
        "warmth": np.where(np.isnan(warm), 0, np.digitize(np.nan_to_num(warm), [0, 10]) + 1),
        "wetness": np.digitize(value, [0.1, 0.2, 0.3]),
    }


@dataclass(frozen=True)
class Side:
    """Factors of one end of the interval.

    Parameters
    ----------
    log_factor
        Logarithm of the factor of each group, by grouping.
    cases
        Independent cases that each was fitted on.
    """

    log_factor: Mapping[str, list[float]]
    cases: Mapping[str, list[float]]

    def stretch(self, groups: Mapping[str, Index]) -> Float:
        """What the distance to this end is to be multiplied by, (n,)."""
        total = np.sum([np.array(factors)[groups[name]] for name, factors in self.log_factor.items()], axis=0)
        return np.asarray(np.exp(total), np.float32)


def calibrate(score: Float, groups: Mapping[str, Index], event: Index, level: float, start: Side | None = None) -> Side:
    """Fit the factors of one end so that a share `level` of the scores lies below them, in each group.

    Parameters
    ----------
    score
        How far the truth lies beyond the value on this side, in units of the distance that the network gives, (n,).
    groups
        From `groups_of`.
    event
        The independent case that each row belongs to, (n,).
    level
        Between 0 and 1.
    start
        Factors from elsewhere, to which those of groups with few cases shrink.

    Returns
    -------
    Side
    """
    prior = {n: np.array(start.log_factor[n]) if start else np.zeros(len(GROUPS[n])) for n in groups}
    table = {name: prior[name].copy() for name in groups}
    members = {(n, k): np.flatnonzero(groups[n] == k) for n in groups for k in range(len(GROUPS[n]))}
    cases = {key: cases_of(event[rows]) for key, rows in members.items()}
    log = np.sum([table[name][groups[name]] for name in groups], axis=0)
    for _ in range(SWEEPS):
        for (name, k), rows in members.items():
            if not len(rows):
                continue
            m = cases[name, k]
            change = np.log(max(_quantile(score[rows] * np.exp(-log[rows]), level, m), 0.05))
            new = prior[name][k] + m / (m + SHRINK) * (table[name][k] - prior[name][k] + change)
            log[rows] += new - table[name][k]
            table[name][k] = new
    counted = {n: [round(cases[n, k], 1) for k in range(len(GROUPS[n]))] for n in groups}
    return Side({n: [float(v) for v in values] for n, values in table.items()}, counted)


def cases_of(event: Index) -> float:
    """Independent cases among rows that fall into events of unequal size: (sum n)^2 / sum n^2.

    Examples
    --------
    >>> cases_of(np.array([1, 1, 2, 2])), cases_of(np.array([1, 1, 1, 2]))
    (2.0, 1.6)
    """
    count = np.unique(event, return_counts=True)[1].astype(float)
    return float(count.sum() ** 2 / (count**2).sum()) if len(count) else 0.0


def _quantile(score: Float, level: float, cases: float) -> float:
    """The score that a share `level` of new cases stays below, if there are so many cases to tell it from."""
    share = level * (1 + 1 / cases)
    if share >= 1:
        return float(np.quantile(score, 1 - 0.5 / cases)) * BEYOND
    return float(np.quantile(score, share))
