"""Simulated gaps: observations are hidden in several ways, so that a filler is scored on what it could not see.

Random days alone make a filler look better than it is, since the days around a hidden one are known. Blocks, whole
pixels and the time ahead do not. But all of these are drawn pixel by pixel, and a neighbour nearly always saw the
hidden day. Real holes are wide: a swath that was not flown, a frost, a country without data. `simulate_holes` makes
such holes out of the cube's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError, require_known

# kind -> what is hidden; order of tables
GAP_KINDS: dict[str, str] = {
    "random": "days hidden at random",
    "blocks": "blocks of 10 to 30 days",
    "pixels": "whole pixels",
    "ahead": "the time ahead",
}
HOLES: dict[str, str] = {
    "swaths": "the holes of other days",
    "fronts": "regions for 5 to 40 days",
    "regions": "all pixels of a region",
}
"""Gaps as wide as real ones; kind and what is hidden."""

Mask = NDArray[np.bool_]
Degrees = NDArray[np.floating[Any]]


def simulate_gaps(
    observed: Mask,
    kind: str,
    seed: int = 0,
    fraction: float = 0.2,
    lengths: tuple[int, int] = (10, 30),
    split: int | None = None,
) -> Mask:
    """Choose the observations to hide.

    ======== ======================================================================================
    random   each observation with probability `fraction`
    blocks   in each pixel, runs of `lengths` days at random places until `fraction` of the days is covered
    pixels   all observations of `fraction` of the observed pixels
    ahead    all observations from day `split` on (no randomness)
    ======== ======================================================================================

    Parameters
    ----------
    observed
        Where there is an observation, shape (time, pixel).
    kind
        One of `GAP_KINDS`.
    seed
        Same seed, same gaps.
    fraction
        Share to hide, between 0 and 1.
    lengths
        Shortest and longest block, days, both included.
    split
        First hidden day of ``ahead`` as an index; half the record unless given.

    Returns
    -------
    numpy.ndarray of bool
        Shape (time, pixel), true where hidden; a subset of `observed`.

    Raises
    ------
    TssmnetError
        If the kind is unknown, or a parameter does not fit the record.

    Examples
    --------
    >>> import numpy as np
    >>> hidden = simulate_gaps(np.ones((6, 2), bool), "ahead", split=4)
    >>> hidden.any(axis=1).astype(int).tolist()
    [0, 0, 0, 0, 1, 1]
    """
    require_known(kind, GAP_KINDS, "kind of gaps")
    observed = np.asarray(observed, bool)
    if observed.ndim != 2:
        raise TssmnetError(f"observed must have shape (time, pixel), got {observed.shape}")
    if not 0 < fraction < 1:
        raise TssmnetError(f"fraction must lie between 0 and 1, got {fraction}")
    # a stream of its own: the observations may come from default_rng(seed) as well
    rng = np.random.default_rng([0x6A95, list(GAP_KINDS).index(kind), seed])
    if kind == "random":
        return observed & (rng.random(observed.shape) < fraction)
    if kind == "blocks":
        return observed & _blocks(observed.shape, rng, fraction, lengths)
    if kind == "pixels":
        return observed & _pixels(observed, rng, fraction)
    return observed & _ahead(len(observed), split)[:, None]


def _blocks(shape: tuple[int, ...], rng: np.random.Generator, fraction: float, lengths: tuple[int, int]) -> Mask:
    days, pixels = shape
    low, high = lengths
    if not 0 < low <= high or high > days:
        raise TssmnetError(f"blocks of {low} to {high} days do not fit a record of {days} days")
    covered = np.zeros(shape, bool)
    for pixel in range(pixels):
        while covered[:, pixel].mean() < fraction:
            length = int(rng.integers(low, high + 1))
            start = int(rng.integers(0, days - length + 1))
            covered[start : start + length, pixel] = True
    return covered


def _pixels(observed: Mask, rng: np.random.Generator, fraction: float) -> Mask:
    """At least one of the observed pixels is hidden and at least one is left."""
    candidates = np.flatnonzero(observed.any(axis=0))
    if len(candidates) < 2:
        raise TssmnetError(f"hiding whole pixels needs two observed pixels or more, found {len(candidates)}")
    count = min(max(round(fraction * len(candidates)), 1), len(candidates) - 1)
    chosen = np.zeros(observed.shape[1], bool)
    chosen[rng.choice(candidates, count, replace=False)] = True
    return chosen


def _ahead(days: int, split: int | None) -> Mask:
    first = days // 2 if split is None else split
    if not 0 < first < days:
        raise TssmnetError(f"split must be a day between 1 and {days - 1}, got {first}")
    return np.arange(days) >= first


# --- holes as wide as real ones ----------------------------------------------------------------------------------


def simulate_holes(observed: Mask, kind: str, lat: Degrees, lon: Degrees, seed: int = 0, fraction: float = 0.2) -> Mask:
    """Choose the observations that a hole as wide as a real one hides.

    ======= =========================================================================================
    swaths  on `fraction` of the days what another day did not see, see `swaths`
    fronts  compact regions for 5 to 40 days until `fraction` of the pixel-days is covered, `fronts`
    regions all days of compact regions that hold about `fraction` of the observed pixels, `regions`
    ======= =========================================================================================

    Parameters
    ----------
    observed
        Where there is an observation, shape (time, pixel).
    kind
        One of `HOLES`.
    lat, lon
        Degrees, shape (pixel,).
    seed
        Same seed, same holes.
    fraction
        Share to hide, between 0 and 1.

    Returns
    -------
    numpy.ndarray of bool
        Shape (time, pixel), true where hidden; a subset of `observed`.
    """
    require_known(kind, HOLES, "kind of holes")
    if kind == "swaths":
        return swaths(observed, seed, fraction)
    if kind == "fronts":
        return fronts(observed, lat, lon, seed, fraction)
    return regions(observed, lat, lon, seed, fraction)


def swaths(observed: Mask, seed: int = 0, fraction: float = 0.2, lengths: tuple[int, int] = (1, 1)) -> Mask:
    """Lay the holes of another stretch of days over a stretch, on `fraction` of the days that saw anything.

    Parameters
    ----------
    observed
        Shape (time, pixel).
    seed, fraction
        As in `simulate_holes`.
    lengths
        Shortest and longest stretch, days, both included.

    Returns
    -------
    numpy.ndarray of bool
        Shape (time, pixel). Empty where no day has a hole that another day saw.

    Examples
    --------
    >>> observed = np.array([[True, True], [True, False], [True, True]])
    >>> swaths(observed, seed=1, fraction=0.5).sum(0).tolist()[0]
    0
    """
    rng = np.random.default_rng([0x5A7B, seed])
    seen = np.flatnonzero(observed.any(axis=1))
    hidden, wanted = np.zeros_like(observed), int(np.ceil(fraction * len(seen)))
    for day in rng.permutation(seen):
        if hidden.any(axis=1).sum() >= wanted:
            break
        length = min(int(rng.integers(lengths[0], lengths[1] + 1)), len(observed) - day)
        there = observed[day : day + length]
        hidden[day : day + length] |= there & ~_other_days(observed, there, rng)
    return hidden


def _other_days(observed: Mask, there: Mask, rng: np.random.Generator, tries: int = 20) -> Mask:
    """A stretch of other days that saw a twentieth less of what was seen `there`, if any of some tries does."""
    for start in rng.integers(0, len(observed) - len(there) + 1, tries):
        other = observed[start : start + len(there)]
        if other.any() and (there & ~other).sum() > 0.05 * there.sum():
            return other
    return there


def fronts(
    observed: Mask,
    lat: Degrees,
    lon: Degrees,
    seed: int = 0,
    fraction: float = 0.2,
    lengths: tuple[int, int] = (5, 40),
    share: tuple[float, float] = (0.03, 0.4),
) -> Mask:
    """Hide compact regions for a while, as frost, snow and failed instruments do.

    Parameters
    ----------
    observed, lat, lon, seed, fraction
        As in `simulate_holes`.
    lengths
        Shortest and longest time, days; at most a third of the record.
    share
        Smallest and largest region as a share of the pixels.

    Returns
    -------
    numpy.ndarray of bool
        Shape (time, pixel).
    """
    rng = np.random.default_rng([0xF407, seed])
    days, pixels = observed.shape
    longest = max(1, min(lengths[1], days // 3))
    covered = np.zeros_like(observed)
    while covered.mean() < fraction:
        length = int(rng.integers(min(lengths[0], longest), longest + 1))
        start = int(rng.integers(1 - length, days))
        size = max(1, round(rng.uniform(*share) * pixels))
        covered[max(start, 0) : start + length, _nearest(lat, lon, int(rng.integers(pixels)), size)] = True
    return observed & covered


def regions(observed: Mask, lat: Degrees, lon: Degrees, seed: int = 0, fraction: float = 0.2, places: int = 3) -> Mask:
    """Hide all days of the pixels of some compact regions; at least one observed pixel is left.

    Parameters
    ----------
    observed, lat, lon, seed, fraction
        As in `simulate_holes`.
    places
        About how many regions.

    Returns
    -------
    numpy.ndarray of bool
        Shape (time, pixel).
    """
    rng = np.random.default_rng([0x4E61, seed])
    seen = np.flatnonzero(observed.any(axis=0))
    if len(seen) < 2:
        raise TssmnetError(f"hiding regions needs two observed pixels or more, found {len(seen)}")
    wanted = min(max(round(fraction * len(seen)), 1), len(seen) - 1)
    chosen = np.zeros(len(seen), bool)
    while (left := wanted - chosen.sum()) > 0:
        size = min(left, max(1, round(wanted / places)))
        chosen[_nearest(lat[seen], lon[seen], int(rng.integers(len(seen))), size)] = True
    hidden = np.zeros_like(observed)
    hidden[:, seen[chosen]] = observed[:, seen[chosen]]
    return hidden


def _nearest(lat: Degrees, lon: Degrees, center: int, size: int) -> NDArray[np.int64]:
    """The `size` places nearest to place number `center` on the sphere, itself among them."""
    phi, east = np.radians(lat), np.radians(lon - lon[center])
    cosine = np.sin(phi) * np.sin(phi[center]) + np.cos(phi) * np.cos(phi[center]) * np.cos(east)
    return np.argsort(-cosine, kind="stable")[:size]
