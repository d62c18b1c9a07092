"""The genuine records of Hawaii, filled, for the page that compares them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tssmnet.cube.earth import nearest
from tssmnet.data.hawaii import hawaii_cube


def fill_hawaii(
    model: str = "filler", quality: str = "retrieved", predictor: bool = True, hidden: float = 0.0, seed: int = 0
) -> xr.Dataset:
    """The SMAP cells of Hawaii, filled.

    `model`: a name of `tssmnet.models.MODELS`.
    `quality`, `predictor`: as in `hawaii_cube`.
    `hidden`: share of the days of each cell that is hidden in blocks of 10 to 30 days before filling, to be judged on.
    `seed`: of blocks and model.
    Returns as `tssmnet.reconstruct` gives it, and ``target`` (time, pixel): the observations that were hidden.
    """
    from tssmnet.gaps import simulate_gaps
    from tssmnet.reconstruction.memory import reconstruct

    cube = hawaii_cube(quality, predictor)
    observed = np.isfinite(cube.ssm.values)
    away = simulate_gaps(observed, "blocks", seed=seed, fraction=hidden) if hidden else np.zeros_like(observed)
    target = cube.ssm.where(away).rename("target")
    filled = reconstruct(cube.assign(ssm=cube.ssm.where(~away)), model, seed=seed, progress=False)
    return filled.assign(target=target)


def station_cell(cube: xr.Dataset, lat: float, lon: float) -> int:
    """Number of the cell whose centre is nearest to a place."""
    return int(nearest(cube.lat, cube.lon, lat, lon)[0])
