"""Which training samples are held out to tell when a model stops improving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.samples import Samples

HOLDOUTS = ("random", "blocks", "pixels", "days")


def held_out(X: Samples, kind: str, fraction: float, seed: int, length: int = 30) -> NDArray[np.bool_]:
    """Choose about `fraction` of the samples for validation, in pieces that are not strewn among the rest.

    Parameters
    ----------
    X
        The training samples.
    kind
        ``random``: single samples; ``blocks``: `length`-day stretches of single pixels; ``days``: `length`-day
        stretches of the whole map; ``pixels``: whole pixels. Strewn single samples have neighbours of the same pixel
        in training on both sides, so a model judged on them is judged on its memory.
    fraction
        Share that is held out, in (0, 1).
    seed
        Of the choice.
    length
        Days in a block.

    Returns
    -------
    Boolean (n,), true where held out. When the choice would leave either side empty, single samples are chosen; a lone
    sample is never held out.

    Raises
    ------
    UnknownNameError
        For an unknown `kind`.
    TssmnetError
        If `fraction` is not between 0 and 1.
    """
    require_known(kind, HOLDOUTS, "validation")
    if not 0 < fraction < 1:
        raise TssmnetError(f"the validation fraction must lie between 0 and 1, got {fraction}")
    rng = np.random.default_rng(seed)
    days, pixels = X.features.shape
    offset = rng.integers(0, length, pixels)
    if kind == "random":
        group = np.arange(len(X))
    elif kind == "pixels":
        group = X.pixel
    elif kind == "days":
        group = (X.time + offset[0]) // length
    else:
        group = X.pixel * (days // length + 2) + (X.time + offset[X.pixel]) // length
    chosen = _choose_groups(group, fraction, rng)
    if not chosen.any() or chosen.all():
        chosen = _choose_groups(np.arange(len(X)), fraction, rng)
    return chosen


def _choose_groups(group: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Hold out whole groups until `fraction` of the samples is reached."""
    _, index, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = rng.permutation(sizes.size)
    taken = np.cumsum(sizes[order]) <= round(fraction * group.size)
    taken[0] = sizes.size > 1
    chosen = np.zeros(sizes.size, bool)
    chosen[order[taken]] = True
    inside: NDArray[np.bool_] = chosen[index]
    return inside
