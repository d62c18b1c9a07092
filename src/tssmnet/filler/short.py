"""First values of a short record: what the pixel has on average, and what the day has around it.

A month of one region has 31 independent days. No model of the weather can be learned from them; the mean of the pixel
and the anomaly of its surroundings on that day need no learning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tssmnet.cube.earth import arc_km, on_sphere
from tssmnet.filler.evidence import Float, Index, Mask

CELL_DEGREES, DAY_KM = 0.5, 100.0
"""Side of the cells in which anomalies of a day are summed, and the distance over which their weight falls to 1/e."""

CHUNK = 2000
"""Pixels whose weights are in memory at a time."""


def is_short(observed: Mask, region: Index, events: int) -> bool:
    """Whether the days with observations, counted in each region, are fewer than `events`.

    Examples
    --------
    >>> is_short(np.ones((60, 2), bool), np.array([0, 1]), 100)
    False
    """
    seen = [observed[:, region == r].any(1).sum() for r in np.unique(region)]
    return int(np.sum(seen)) < events


def short_first(
    ssm: Float,
    mask: Mask,
    everywhere: float,
    lat: NDArray[Any],
    lon: NDArray[Any],
    wanted: Index | None = None,
) -> Float:
    """First values of some pixels of a short record.

    Parameters
    ----------
    ssm, mask
        Observations of all pixels, m3 m-3, and which of them may be used, (time, pixel). On a day in `mask` a pixel's
        own observation plays no part.
    everywhere
        Mean of all observations, m3 m-3: the level of a pixel is drawn to it as by one observation.
    lat, lon
        Degrees, (pixel,).
    wanted
        Numbers of the pixels; all by default.

    Returns
    -------
    numpy.ndarray of float32
        Shape (time, len(wanted)), m3 m-3: level plus the weighted mean of the anomalies around.
    """
    wanted = np.arange(len(lat)) if wanted is None else wanted
    level = (np.where(mask, ssm, 0).sum(0) + everywhere) / (mask.sum(0) + 1)
    anomaly = np.where(mask, ssm - level, 0)
    cell, centre = _cells(lat, lon)
    sums = [_by_cell(v, cell, len(centre)) for v in (anomaly, mask.astype(float))]
    out = np.empty((len(ssm), len(wanted)), np.float32)
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        km = arc_km(np.linalg.norm(on_sphere(lat[some], lon[some])[:, None] - centre, axis=2))
        near = np.exp(-km / DAY_KM)  # (some, cell)
        own = near[np.arange(len(some)), cell[some]]
        total, weight = (v @ near.T - w[:, some] * own for v, w in zip(sums, (anomaly, mask), strict=True))
        out[:, start : start + CHUNK] = level[some] + total / (np.maximum(weight, 0) + 0.5)
    return out


def _cells(lat: NDArray[Any], lon: NDArray[Any]) -> tuple[Index, NDArray[np.float64]]:
    """The cell of each pixel, and the centre of each cell on the unit sphere, (cell, 3)."""
    corner = np.stack([np.floor(lat / CELL_DEGREES), np.floor(lon / CELL_DEGREES)])
    cell = np.unique(corner, axis=1, return_inverse=True)[1].ravel()
    centre = np.stack([np.bincount(cell, p) for p in on_sphere(lat, lon).T], axis=1)
    return cell, centre / np.linalg.norm(centre, axis=1, keepdims=True)


def _by_cell(values: NDArray[Any], cell: Index, cells: int) -> NDArray[np.float64]:
    """Sums over the pixels of each cell, (time, pixel) to (time, cell)."""
    members = sparse.csr_matrix((np.ones(len(cell)), (cell, np.arange(len(cell)))), shape=(cells, len(cell)))
    return np.asarray((members @ values.T).T)
