"""Filling by the project's own filler: it looks beyond the pixel, at the observations around."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import dynamic_names, predictable, roles, to_pixels
from tssmnet.errors import TssmnetError
from tssmnet.filler.config import FillerConfig, settings
from tssmnet.filler.fill import ENDS, Learned, answer, apply, first_values, learn
from tssmnet.filler.forward import Case
from tssmnet.filler.patches import Surroundings, draw_patches
from tssmnet.reconstruction.blocks import Blocks, cut
from tssmnet.reconstruction.by_samples import look_through
from tssmnet.reconstruction.fitted import Recipe

MEMORY_BLOCKS = 8
"""A cube for which the filler takes no more memory than so many blocks is held whole."""

PIXEL_DAY_BYTES = 2000
"""Memory that the filler takes for each pixel-day that it learns from or gives a first value, about."""

CONTEXT_BYTES = 800
"""Memory that it takes for each pixel-day of a block and of the pixels around, about."""


@dataclass(frozen=True)
class FillerModel:
    """A learned filler; a cube that it has just learned from is filled from what learning left in memory.

    Parameters
    ----------
    recipe
        How it was made.
    learned
        Forward models, correction and ranges.
    seen
        The cube in memory that was learned from, and what is ready of it; None where the filler was loaded.
    """

    FEATURES: ClassVar[bool] = True
    EXTRA: ClassVar[tuple[str, ...]] = (
        "ssm_model", "ssm_std", *ENDS, "days_to_observation", "km_to_observation",
    )  # fmt: skip
    FIRST: ClassVar[tuple[str, ...]] = ("blind", "known")
    LOOKS_AT_PREDICTORS: ClassVar[bool] = True
    LEAST: ClassVar[tuple[int, int]] = (3, 2)
    WINDOW_DAYS: ClassVar[int | None] = 731

    recipe: Recipe
    learned: Learned
    seen: tuple[xr.Dataset, Case] | None = field(default=None, repr=False)

    @classmethod
    def check(cls, recipe: Recipe, features: str | Mapping[str, Any] | None) -> Recipe:
        """The filler chooses its own features; `rows` is a setting of its own; an unknown parameter is an error."""
        if features is not None:
            raise TssmnetError(f"model {recipe.model!r} chooses its own features; leave `features` out")
        rows = {"rows": recipe.rows} if recipe.rows else {}
        checked = replace(recipe, params={**recipe.params, **rows}, rows=0)
        settings(dict(checked.params))
        return checked

    @classmethod
    def parameters(cls, model: str) -> dict[str, Any]:
        """Every field of `FillerConfig` with its default."""
        return asdict(FillerConfig())

    @classmethod
    def learn(cls, pixels: xr.Dataset, recipe: Recipe, *, progress: bool = False) -> Self:
        """Learn from every observation of a cube."""
        config = settings(dict(recipe.params))
        case, learned = learn(pixels, config, recipe.seed, recipe.device, progress)
        return cls(recipe, learned, (pixels, case))

    def fill(self, pixels: xr.Dataset, *, progress: bool = False) -> xr.Dataset:
        """Fill every day that something is known of, with an interval; see `tssmnet.filler.fill.answer`."""
        if self.seen is not None and pixels is self.seen[0]:
            return answer(pixels, self.seen[1], self.learned, progress)
        numbers = np.arange(pixels.sizes["pixel"])
        first = first_values(pixels, self.learned, numbers)
        around = pixels.assign({n: (("time", "pixel"), v) for n, v in zip(self.FIRST, first, strict=True)})
        return apply(pixels, around, numbers, self.learned)

    def save(self, folder: Path) -> None:
        """Keep what was learned as XGBoost UBJSON, safetensors and JSON."""
        self.learned.save(folder)

    @classmethod
    def load(cls, folder: Path, recipe: Recipe) -> Self:
        """What `save` wrote."""
        return cls(recipe, Learned.load(folder, recipe.device))

    @classmethod
    def whole(cls, cube: xr.Dataset, rows: int, block_bytes: int) -> bool:
        """Whether it learns from all of a cube, which then is in memory anyway."""
        small = PIXEL_DAY_BYTES * cube["ssm"].size <= MEMORY_BLOCKS * block_bytes
        return small and int(cube["ssm"].count()) <= rows

    @classmethod
    def blocks(cls, cube: xr.Dataset, block_bytes: int) -> Blocks:
        """Smaller blocks than others': the filler's memory is a multiple of its input's."""
        daily = 4 * (1 + len(dynamic_names(cube)))
        return Blocks(cube, cut(cube, 2 * block_bytes * daily // CONTEXT_BYTES), block_bytes)

    @classmethod
    def learn_blocks(cls, blocks: Blocks, rows: int, recipe: Recipe, folder: Path, progress: bool) -> Self:
        """Learn from patches of the map that hold about so many observations."""
        counts = look_through(blocks, rows, recipe, progress).counts
        numbers = draw_patches(counts, surroundings_of(blocks.cube), rows, recipe.seed)
        pixels, config = blocks.load_pixels(numbers), settings(dict(recipe.params))
        _, learned = learn(pixels, config, recipe.seed, recipe.device, progress, numbers=numbers, complete=True)
        return cls(recipe, learned)

    def first_block(self, blocks: Blocks, index: int) -> dict[str, NDArray[Any]]:
        """Values of the forward models, which look at their own pixel only, a few pixels at a time."""
        pixels, numbers = blocks.load(index), blocks.grid.pixels(index)
        if self.learned.forward.level is not None:  # a short record is small, whatever its map
            record = Blocks(blocks.cube[["ssm"]], blocks.grid, blocks.block_bytes)
            whole = record.load_pixels(np.arange(math.prod(blocks.grid.sizes)))
            return dict(zip(self.FIRST, first_values(pixels, self.learned, numbers, whole), strict=True))
        out = {name: np.full(pixels["ssm"].shape, np.nan, np.float32) for name in self.FIRST}
        alive = np.flatnonzero(predictable(pixels).any(0) | np.isfinite(pixels["ssm"].values).any(0))
        most = max(1, blocks.block_bytes // (PIXEL_DAY_BYTES * pixels.sizes["time"]))
        for start in range(0, len(alive), most):
            piece = alive[start : start + most]
            values = first_values(pixels.isel(pixel=piece), self.learned, numbers[piece])
            for name, array in zip(self.FIRST, values, strict=True):
                out[name][:, piece] = array
        return out

    def fill_block(self, blocks: Blocks, index: int, first: xr.Dataset | None) -> dict[str, NDArray[Any]]:
        """Output arrays of a block, from it and from the pixels around it."""
        assert first is not None
        cube, wanted = blocks.cube, blocks.grid.pixels(index)
        rain = roles(cube).get("rain")
        beside = cube[["ssm", rain] if rain else ["ssm"]].assign({n: first[n] for n in self.FIRST})
        around = surroundings_of(cube).around(wanted)
        there = Blocks(beside, blocks.grid, blocks.block_bytes).load_pixels(around)
        filled = apply(blocks.load_pixels(wanted), there, np.searchsorted(around, wanted), self.learned)
        return {str(name): field.isel(time=blocks.to_fill).values for name, field in filled.data_vars.items()}


def surroundings_of(cube: xr.Dataset) -> Surroundings:
    """Which pixels of a cube are near which."""
    places = to_pixels(cube[[]].assign_coords(lat=cube["lat"], lon=cube["lon"]))
    return Surroundings(places["lat"].values, places["lon"].values)
