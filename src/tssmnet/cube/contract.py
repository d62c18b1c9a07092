"""What a cube is, and its two forms: as it came, and as pixels.

A cube has dims ``time`` and either ``pixel`` (scattered cells) or ``y, x`` (a grid), coordinates ``lat`` and ``lon``,
the target ``ssm`` in m3 m-3 with NaN where not observed, and any number of predictors: dynamic with ``time``, static
without it, categorical if they bear CF ``flag_values``. What ``ssm`` names as its ``ancillary_variables`` is none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError

SPACES = (("pixel",), ("y", "x"))

SOURCE_FLAGS = {"observed": 0, "filled": 1, "outside": 2, "filled_frozen": 3, "filled_extrapolated": 4}
"""Where a value of a filled cube's ``ssm`` comes from; outside: neither an observation nor what a model needs. A model
of kind ``filler`` also tells where filling is extrapolation: on frozen days, and where a forcing leaves its range of
training."""


class CubeError(TssmnetError):
    """A dataset that is no cube; `faults` lists each thing that is wrong with it."""

    def __init__(self, faults: list[str], name: str = "this cube") -> None:
        self.faults = list(faults)
        lines = "".join(f"\n  {i}. {fault}" for i, fault in enumerate(self.faults, 1))
        super().__init__(f"{name} has {len(self.faults)} fault{'s' * (len(self.faults) > 1)}:{lines}")


def space_dims(cube: xr.Dataset) -> tuple[str, ...]:
    """The cube's space dims: ``("pixel",)`` or ``("y", "x")``; empty if it has neither."""
    return next((s for s in SPACES if set(s) <= set(cube.dims)), ())


def is_categorical(variable: xr.DataArray) -> bool:
    """Whether the variable's numbers are classes: it bears the CF attribute ``flag_values``."""
    return "flag_values" in variable.attrs


def dynamic_names(cube: xr.Dataset) -> list[str]:
    """Names of the predictors that change in time, in the order of the dataset."""
    return [n for n in _predictors(cube) if "time" in cube[n].dims]


def predictable(pixels: xr.Dataset) -> NDArray[np.bool_]:
    """Pixel-days (time, pixel) with at least one dynamic predictor; all of them where the cube has none."""
    names = dynamic_names(pixels)
    if not names:
        return np.ones(pixels["ssm"].shape, bool)
    present = [pixels[n].notnull().transpose("time", "pixel").values for n in names]
    return np.asarray(np.logical_or.reduce(present))


def static_names(cube: xr.Dataset) -> list[str]:
    """Names of the predictors that do not change in time, in the order of the dataset."""
    return [n for n in _predictors(cube) if "time" not in cube[n].dims]


def ancillary_names(cube: xr.Dataset) -> list[str]:
    """Variables that CF calls ancillary to ``ssm``: its flags, errors, overpasses. They predict nothing."""
    if "ssm" not in cube.data_vars:
        return []
    return [n for n in str(cube["ssm"].attrs.get("ancillary_variables", "")).split() if n in cube.data_vars]


def _predictors(cube: xr.Dataset) -> list[str]:
    others = {"ssm", *ancillary_names(cube)}
    return [str(n) for n in cube.data_vars if n not in others]


def to_pixels(cube: xr.Dataset) -> xr.Dataset:
    """The cube on dims (time, pixel), whatever its space dims were.

    A grid is read row by row; its ``y`` and ``x`` stay as plain coordinates along ``pixel``, and variables on ``time``
    alone are repeated for each pixel. `from_pixels` goes back.

    Returns
    -------
    xarray.Dataset
        Variables on (time, pixel) or (pixel,), with ``lat`` and ``lon`` on (pixel,).
    """
    space = space_dims(cube)
    if not space:
        raise CubeError([f"dims: expected 'pixel' or 'y, x', found {', '.join(map(str, cube.dims))}"])
    full = xr.zeros_like(cube["lat"].broadcast_like(cube["lon"]).transpose(*space), dtype=bool)
    cube = cube.assign_coords({c: cube[c].broadcast_like(full).transpose(*space) for c in ("lat", "lon")})
    for name, variable in cube.data_vars.items():
        if variable.dims == ("time",):
            cube[name] = variable.expand_dims({d: cube.sizes[d] for d in space}).assign_attrs(variable.attrs)
    if space != ("pixel",):
        cube = cube.stack(pixel=space, create_index=False)
        kept = {d: ("pixel", cube[d].values) for d in space if d in cube.coords}
        cube = cube.drop_vars([*kept]).assign_coords(kept)
    return cube.transpose("time", "pixel", missing_dims="ignore")


def from_pixels(pixels: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """Variables on (time, pixel) put back on the space dims of the cube they came from.

    Parameters
    ----------
    pixels
        What `to_pixels` gave, or new variables on the same pixels in the same order.
    like
        The cube whose dims and coordinates the result shall have.
    """
    space = space_dims(like)
    if space == ("pixel",):
        return pixels
    shape = tuple(like.sizes[d] for d in space)
    if pixels.sizes["pixel"] != int(np.prod(shape)):
        raise TssmnetError(f"{pixels.sizes['pixel']} pixels cannot fill a grid of {shape}")
    plain = pixels.drop_vars([c for c in (*space, "lat", "lon", "pixel") if c in pixels.coords])
    index = pd.MultiIndex.from_product([range(n) for n in shape], names=space)
    grid = plain.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "pixel")).unstack("pixel").drop_vars(space)
    coords = {c: v for c, v in like.coords.items() if "time" not in v.dims}
    return grid.assign_coords(coords).transpose(..., "time", *space, missing_dims="ignore")
