"""From a cube with holes to a gap-free one that says of each value where it comes from.

Observed values are kept as they are; the rest is predicted by a model that learned from all observations. A pixel that
was never observed has no temporal descriptors: it is served by the same model fitted without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from tssmnet.cube import from_pixels, to_pixels
from tssmnet.progress import quiet
from tssmnet.reconstruction.fitted import Recipe, choose, cube_for, learn
from tssmnet.reconstruction.output import describe, require_filled


def reconstruct(
    cube: xr.Dataset,
    model: str = "filler",
    *,
    features: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    rows: int = 0,
    progress: bool | None = None,
    **params: Any,
) -> xr.Dataset:
    """Fill the gaps of a cube.

    Parameters
    ----------
    cube
        Anything that `tssmnet.check_cube` passes; a model that looks at no predictor sees ``ssm`` alone.
    model
        A name of `RECONSTRUCTORS`; by default the project's own filler.
    features
        A name of `FEATURE_SETS`, or options of `build_features`; by default what suits the model (`DEFAULT_FEATURES`).
    seed
        Everything random comes from it: the same seed, versions and number of threads give the same values. On another
        number of threads the sums of a network are rounded in another order, and its values, and those of a filler that
        has networks, differ by some 0.001 m3 m-3; other models give the same.
    device
        ``auto``, ``cpu`` or ``cuda``.
    rows
        Observations to learn from at most, drawn at random; 0 takes all. Not for the filler, which draws its own.
    progress
        Whether to draw bars; by default only at a terminal.
    **params
        Parameters of the model.

    Returns
    -------
    xarray.Dataset
        On the cube's dims: ``ssm`` (m3 m-3; observed values bit for bit, the rest filled), ``ssm_model`` (the model
        everywhere), ``source`` (`tssmnet.cube.SOURCE_FLAGS`), CF attributes, and how it was made in attributes
        ``tssmnet_*``. The filler also gives ``ssm_std``, ``ssm_lower`` and ``ssm_upper``, a 90 % interval, and
        ``days_to_observation`` and ``km_to_observation``.

    Raises
    ------
    CubeError
        If the dataset is no cube, or nothing can be said in any of its gaps.
    UnknownNameError
        If there is no such model, feature set or parameter.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> filled = reconstruct(mock_cube(days=60, pixels=4), model="climatology")
    >>> int(filled.ssm.isnull().sum())
    0
    """
    recipe = choose(model, features, params, seed, device, rows)
    return fill_whole(cube_for(cube, recipe), recipe, not quiet() if progress is None else progress)


def fill_whole(cube: xr.Dataset, recipe: Recipe, progress: bool, name: str = "this cube") -> xr.Dataset:
    """A checked cube filled in memory, as `reconstruct` gives it; `name` is what messages call it."""
    from tssmnet.provenance import content_hash

    digest = content_hash(cube)
    pixels = to_pixels(cube).load()
    filled = learn(pixels, recipe, progress=progress).fill(pixels, progress=progress)
    require_filled(filled["source"].values, cube, name)
    return describe(from_pixels(filled, cube), cube, recipe, digest)
