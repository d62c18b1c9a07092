"""Constants of the Earth, and places on it: points of the unit sphere and the nearest of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

EARTH_KM = 6371.0
"""Mean radius."""

FREEZING_K = 273.15
SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}
"""Season of the northern hemisphere to its months."""


def on_sphere(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Places in degrees as points of the unit sphere, shape (places, 3)."""
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def arc_km(chord: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distance, km, of points so far apart on the unit sphere."""
    return 2 * EARTH_KM * np.arcsin(np.clip(np.asarray(chord) / 2, 0, 1))


def nearest(
    lat: ArrayLike, lon: ArrayLike, to_lat: ArrayLike, to_lon: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the place (`lat`, `lon`) nearest to each of (`to_lat`, `to_lon`), degrees, and its distance in km.

    Examples
    --------
    >>> index, km = nearest([0, 10], [0, 10], [9], [9])
    >>> index.tolist(), km.round().tolist()
    ([1], [156.0])
    """
    chord, index = cKDTree(on_sphere(lat, lon)).query(on_sphere(to_lat, to_lon))
    return index, arc_km(chord)
