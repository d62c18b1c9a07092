"""One way to fill, whatever the model: learn from what is observed, fill the rest, be kept as files.

Two kinds do it, a model of samples (`tssmnet.reconstruction.by_samples`) and the filler
(`tssmnet.reconstruction.by_filler`). Which kind a model is of is asked here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import CubeError, as_cube
from tssmnet.errors import require_known, require_whole
from tssmnet.models import MODELS, ModelSpec, make_model
from tssmnet.reconstruction.blocks import Blocks

Array = NDArray[Any]
Mask = NDArray[np.bool_]

FILLER = "filler"
"""Name of the project's own filler."""

RECONSTRUCTORS: Mapping[str, ModelSpec] = MappingProxyType(
    {**MODELS, FILLER: ModelSpec(FILLER, "Gap filler", "tssmnet.filler.fill:learn", "filler", False, True)}
)
"""All that can fill a cube: the models of samples, and the project's own filler."""


@dataclass(frozen=True)
class Recipe:
    """How gaps are to be filled: model and its parameters, options of the features, seed, device, most observations."""

    model: str
    features: Mapping[str, Any]
    params: Mapping[str, Any]
    seed: int = 0
    device: str = "auto"
    rows: int = 0  # observations to learn from at most, drawn at random; 0 takes all

    def make(self) -> Any:
        """The model of samples, not yet fitted; an unknown parameter is an error."""
        return make_model(self.model, seed=self.seed, device=self.device, **self.params)

    @property
    def settings(self) -> dict[str, Any]:
        """What the output says of itself, beside model and seed."""
        rows = {"rows": self.rows} if self.rows else {}
        return {"features": dict(self.features), **rows, **self.params}


class Fitted(Protocol):
    """What has learned from a cube and can fill it, or parts of it."""

    @property
    def recipe(self) -> Recipe:
        """How it was made."""

    FEATURES: ClassVar[bool]
    """Whether it looks at features; a baseline looks at none, whatever set is named."""
    EXTRA: ClassVar[tuple[str, ...]]
    """Variables (float32) that it gives beside ``ssm``, ``ssm_model`` and ``source``."""
    FIRST: ClassVar[tuple[str, ...]]
    """What a first pass over the blocks leaves for the second; empty where one pass is enough."""
    LOOKS_AT_PREDICTORS: ClassVar[bool]
    """Whether it sees anything but ``ssm``."""
    LEAST: ClassVar[tuple[int, int]]
    """Days and observations without which it cannot be fitted, let alone well."""
    WINDOW_DAYS: ClassVar[int | None]
    """Days before new ones that are enough to fill them; None where all that came before must be known."""

    @classmethod
    def check(cls, recipe: Recipe, features: str | Mapping[str, Any] | None) -> Recipe:
        """The recipe with its features chosen; what is unknown is an error, before any work."""

    @classmethod
    def parameters(cls, model: str) -> dict[str, Any]:
        """Every parameter of a model with the value it has when nothing is given."""

    @classmethod
    def learn(cls, pixels: xr.Dataset, recipe: Recipe, *, progress: bool = False) -> Self:
        """Learn from a cube in (time, pixel) form and in memory."""

    def fill(self, pixels: xr.Dataset, *, progress: bool = False) -> xr.Dataset:
        """Fill a cube in (time, pixel) form and in memory.

        Returns
        -------
        xarray.Dataset
            On (time, pixel): ``ssm``, ``ssm_model``, ``source`` and the variables named in `EXTRA`.
        """

    def save(self, folder: Path) -> None:
        """Keep what was learned in a folder, as data that nothing runs."""

    @classmethod
    def load(cls, folder: Path, recipe: Recipe) -> Self:
        """What `save` wrote."""

    @classmethod
    def whole(cls, cube: xr.Dataset, rows: int, block_bytes: int) -> bool:
        """Whether a cube on disk is small enough to be learned and filled in memory."""

    @classmethod
    def blocks(cls, cube: xr.Dataset, block_bytes: int) -> Blocks:
        """A cube on disk, cut into blocks that fit in memory while they are filled."""

    @classmethod
    def learn_blocks(cls, blocks: Blocks, rows: int, recipe: Recipe, folder: Path, progress: bool) -> Self:
        """Learn from at most about `rows` observations of a cube on disk; states of a fit are kept in `folder`."""

    def first_block(self, blocks: Blocks, index: int) -> dict[str, Array]:
        """The variables named in `FIRST` of one block, shape (time, pixel)."""

    def fill_block(self, blocks: Blocks, index: int, first: xr.Dataset | None) -> dict[str, Array]:
        """Every output variable of one block, shape (time, pixel); `first` opens what the first pass left."""


def kind_of(model: str) -> type[Fitted]:
    """The class that learns and fills with a model."""
    from tssmnet.reconstruction.by_filler import FillerModel
    from tssmnet.reconstruction.by_samples import RecordModel, SampleModel

    kinds: dict[str, type[Fitted]] = {
        "network": SampleModel, "trees": SampleModel, "baseline": RecordModel, "filler": FillerModel,
    }  # fmt: skip
    return kinds[RECONSTRUCTORS[require_known(model, RECONSTRUCTORS, "model")].kind]


def choose(
    model: str,
    features: str | Mapping[str, Any] | None,
    params: Mapping[str, Any],
    seed: int,
    device: str,
    rows: int = 0,
) -> Recipe:
    """A recipe from what the user gave; what is unknown, or no number of its kind, is refused before any work."""
    require_known(device, ("auto", "cpu", "cuda"), "device")
    seed, rows = require_whole(seed, "seed", 0, 2**32 - 1), require_whole(rows, "rows", 0)
    return kind_of(model).check(Recipe(model, {}, params, seed, device, rows), features)


def cube_for(dataset: xr.Dataset, recipe: Recipe, name: str = "this cube") -> xr.Dataset:
    """A dataset read as the cube that a recipe fills: without predictors where its model looks at none.

    Raises
    ------
    CubeError
        If it is no cube, or holds too little to learn from.
    """
    kind = kind_of(recipe.model)
    cube = as_cube(dataset, name, predictors=kind.LOOKS_AT_PREDICTORS)
    days, count = cube.sizes["time"], int(cube["ssm"].count())
    least_days, least = kind.LEAST
    if days < least_days or count < least:
        fault = (
            f"ssm: {count} observations on {days} days are too few for model {recipe.model!r}, which needs at least "
            f"{least} on {least_days} days; give a longer record, or use model 'climatology'"
        )
        raise CubeError([fault], name)
    return cube


def learn(pixels: xr.Dataset, recipe: Recipe, *, progress: bool = False) -> Fitted:
    """Learn as the recipe says from a cube in (time, pixel) form; see `Fitted.learn`."""
    return kind_of(recipe.model).learn(pixels, recipe, progress=progress)


def load(folder: Path, recipe: Recipe) -> Fitted:
    """What a `Fitted` of this recipe has kept in a folder."""
    return kind_of(recipe.model).load(folder, recipe)
