"""Simulated gaps: observations are hidden in four ways, so that a filler is scored on what it could not see.

Random days alone make a filler look better than it is, since the days around a hidden one are known. Blocks, whole
pixels and the time ahead do not.
"""

from __future__ import annotations

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

Mask = NDArray[np.bool_]


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
