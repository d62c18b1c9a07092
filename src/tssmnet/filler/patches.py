"""The filler over a cube of any size: learned on patches of it, applied to a block of pixels and their neighbours.

Unlike the other models, the filler looks beyond its pixel: at the observations of `NEIGHBOURS` pixels
around and at what its forward models say of them. So it learns on patches, pixels with all their neighbours, spread
evenly over the map. It fills in two passes: first the forward models, which look at their own pixel only, block by
block; then the correction of a block, for which their values are loaded with the pixels around. Each pixel then has the
same value whatever the blocks.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tssmnet.cube import predictable
from tssmnet.disk import write_atomically
from tssmnet.filler.config import settings
from tssmnet.filler.evidence import NEIGHBOURS, on_sphere
from tssmnet.filler.fill import Learned, apply, first_values, learn
from tssmnet.reconstruction.fitted import Recipe

Index = NDArray[np.int64]


FILE = "filler.pickle"


OUTPUTS: Mapping[str, Any] = dict.fromkeys(
    ("ssm_model", "ssm_std", "ssm_lower", "ssm_upper", "days_to_observation", "km_to_observation"), np.float32
)
"""What the filler writes beside ``ssm`` and ``source``, and of which type."""


class Surroundings:
    """Which pixels are near which, by great-circle distance.

    Parameters
    ----------
    lat, lon
        Of all pixels of the cube, degrees, shape (pixel,).
    """

    def __init__(self, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> None:
        self._places = on_sphere(lat, lon)
        self._tree = cKDTree(self._places)

    def around(self, numbers: Index) -> Index:
        """These pixels and the `NEIGHBOURS` nearest of each, sorted.

        Examples
        --------
        >>> Surroundings(np.zeros(100), np.arange(100.0)).around(np.array([0, 50]))[[0, 24, 25, -1]].tolist()
        [0, 24, 38, 62]
        """
        _, nearest = self._tree.query(self._places[numbers], min(NEIGHBOURS + 1, len(self._places)))
        return np.union1d(numbers, np.ravel(nearest))


def draw_patches(counts: Index, surroundings: Surroundings, rows: int, seed: int) -> Index:
    """Pixels to learn from: patches spread over the map that hold about so many observations, at least one patch.

    Parameters
    ----------
    counts
        Observations of each pixel.
    surroundings
        Of all pixels.
    rows
        Observations wanted in all.
    seed
        Of the places of the patches.

    Returns
    -------
    Numbers of the pixels, sorted.
    """
    seen = np.flatnonzero(counts)
    patches = min(len(seen), max(1, int(rows / ((NEIGHBOURS + 1) * counts[seen].mean()))))
    edges = np.linspace(0, len(seen), patches + 1)
    places = edges[:-1] + np.random.default_rng(seed).random(patches) * np.diff(edges)
    return surroundings.around(seen[places.astype(np.int64)])


def learn_to(folder: Path, pixels: xr.Dataset, numbers: Index, recipe: Recipe, progress: bool) -> None:
    """Learn on some pixels of a cube, in (time, pixel) form, and keep what is learned in a folder."""
    config = settings(dict(recipe.params))
    _, learned = learn(pixels, config, recipe.seed, recipe.device, progress, numbers=numbers, complete=True)
    write_atomically(folder / FILE, pickle.dumps(learned))


FIRST = ("blind", "known")
"""What the first pass leaves for the second: the values of both forward models."""


@dataclass(frozen=True)
class Filler:
    """A learned filler, and which pixels are near which: what filling a block takes."""

    learned: Learned
    surroundings: Surroundings

    def first(self, pixels: xr.Dataset, numbers: Index, most: int) -> dict[str, NDArray[Any]]:
        """Values (time, pixel) of the forward models, by name, `most` pixels at a time; NaN where nothing is known."""
        out = {name: np.full(pixels["ssm"].shape, np.nan, np.float32) for name in FIRST}
        alive = np.flatnonzero(predictable(pixels).any(0) | np.isfinite(pixels["ssm"].values).any(0))
        for start in range(0, len(alive), most):
            piece = alive[start : start + most]
            values = first_values(pixels.isel(pixel=piece), self.learned, numbers[piece])
            for name, array in zip(FIRST, values, strict=True):
                out[name][:, piece] = array
        return out

    def fill(
        self, wanted: Index, read: Callable[[Index], xr.Dataset], read_beside: Callable[[Index], xr.Dataset]
    ) -> dict[str, NDArray[Any]]:
        """Output arrays (time, pixel), by name, of the pixels `wanted`.

        Both readers load pixels by their numbers: of the cube, and of ``ssm``, the rain and what `first` gave.
        """
        around = self.surroundings.around(wanted)
        filled = apply(read(wanted), read_beside(around), np.searchsorted(around, wanted), self.learned)
        return {str(name): variable.values for name, variable in filled.data_vars.items()}


def learned_in(folder: Path) -> Learned | None:
    """What `learn_to` kept in a folder of this library's own making; None where there is nothing."""
    path = folder / FILE
    return pickle.loads(path.read_bytes()) if path.is_file() else None
