"""The filler over a cube of any size: learned on patches of it, applied to a block of pixels and their neighbours.

Unlike the other models, the filler looks beyond its pixel: at the observations of `NEIGHBOURS` pixels
around and at what its forward models say of them. So it learns on patches, pixels with all their neighbours, spread
evenly over the map. It fills in two passes: first the forward models, which look at their own pixel only, block by
block; then the correction of a block, for which their values are loaded with the pixels around. Each pixel then has the
same value whatever the blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tssmnet.cube.earth import on_sphere
from tssmnet.filler.evidence import NEIGHBOURS, nearest_pixels, neighbourhood
from tssmnet.filler.tokens import FINE_KM, NEAR, distant_neighbours

Index = NDArray[np.int64]


class Surroundings:
    """Which pixels are near which, by great-circle distance.

    Parameters
    ----------
    lat, lon
        Of all pixels of the cube, degrees, shape (pixel,).
    """

    def __init__(self, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> None:
        self._lat, self._lon = lat, lon
        self._places = on_sphere(lat, lon)
        self._tree = cKDTree(self._places)
        self._fine = neighbourhood(lat, lon).spacing < FINE_KM
        self.size = NEIGHBOURS + 1 + (NEAR if self._fine else 0)

    def around(self, numbers: Index) -> Index:
        """These pixels, the `NEIGHBOURS` nearest of each and, on a fine grid, those that tokens come from; sorted.

        Examples
        --------
        >>> Surroundings(np.zeros(100), np.arange(100.0)).around(np.array([0, 50]))[[0, 24, 25, -1]].tolist()
        [0, 24, 38, 62]
        """
        nearest = nearest_pixels(self._tree, self._places[numbers], NEIGHBOURS + 1)[1]
        around = np.union1d(numbers, nearest.ravel())
        if not self._fine or len(self._places) < 2:
            return around
        return np.union1d(around, distant_neighbours(self._lat, self._lon, numbers).ravel())


def draw_patches(counts: Index, surroundings: Surroundings, rows: int, seed: int) -> Index:
    """Pixels to learn from: patches spread over the map that hold about so many observations, at least one patch.

    Parameters
    ----------
    counts
        Observations of each pixel.
    surroundings
        Of all pixels.
    rows
        About how many observations in all.
    seed
        Of the places of the patches.

    Returns
    -------
    Numbers of the pixels, sorted.
    """
    seen = np.flatnonzero(counts)
    patches = min(len(seen), max(1, int(rows / (surroundings.size * counts[seen].mean()))))
    edges = np.linspace(0, len(seen), patches + 1)
    places = edges[:-1] + np.random.default_rng(seed).random(patches) * np.diff(edges)
    return surroundings.around(seen[places.astype(np.int64)])
