"""How well a cube was filled: some of its observations are hidden as its own gaps hide others, and filled again."""

from __future__ import annotations

import calendar
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import CubeError, to_pixels
from tssmnet.cube.earth import SEASONS, on_sphere
from tssmnet.errors import TssmnetError
from tssmnet.filler.evidence import distance_to_observation
from tssmnet.gaps import simulate_gaps, swaths
from tssmnet.reconstruction.fitted import Recipe, choose, cube_for, learn
from tssmnet.trials.study import DISTANCES

Array = NDArray[Any]
Mask = NDArray[np.bool_]

QUANTILES = {"ssm_lower": 0.05, "ssm_q25": 0.25, "ssm_model": 0.5, "ssm_q75": 0.75, "ssm_upper": 0.95}
"""What a filled cube states of a value, and the share of values that is to lie below it."""

PIXEL_DAYS = 2_000_000
"""More than so many are not filled again: a compact part of the map stands for all of it."""


@dataclass(frozen=True)
class Held:
    """Observations of a cube, which of them were hidden, and what was filled there; shape (time, pixel)."""

    record: Array  # m3 m-3, NaN where nothing was observed
    hidden: Mask
    filled: xr.Dataset
    part: float  # share of the cube's pixels that was looked at


def recipe_of(filled: xr.Dataset, device: str = "auto") -> Recipe:
    """How a cube was filled, by its own attributes.

    Raises
    ------
    TssmnetError
        If it bears none, so that this library did not fill it.
    """
    if "tssmnet_model" not in filled.attrs:
        raise TssmnetError("this file does not say how it was filled; give what `tssmnet reconstruct` has written")
    params = json.loads(filled.attrs["tssmnet_parameters"])
    features, rows = params.pop("features", None) or None, params.pop("rows", 0)
    return choose(filled.attrs["tssmnet_model"], features, params, int(filled.attrs["tssmnet_seed"]), device, rows)


def hold_back(cube: xr.Dataset, recipe: Recipe, *, share: float = 0.2, seed: int = 0, progress: bool = False) -> Held:
    """Hide what the gaps of other days hide, on a share of the days, and fill again.

    Parameters
    ----------
    cube
        The cube as it was before it was filled.
    recipe
        How it was filled.
    share
        Of the days on which observations are hidden; where no two days have other gaps, of the observations.
    seed
        Same seed, same observations.
    progress
        Whether to show bars.
    """
    pixels = to_pixels(cube_for(cube, recipe))
    chosen = compact(pixels, PIXEL_DAYS // pixels.sizes["time"])
    part = len(chosen) / pixels.sizes["pixel"]
    pixels = pixels.isel(pixel=chosen).load()
    record = pixels["ssm"].transpose("time", "pixel").values
    observed = np.isfinite(record)
    hidden = swaths(observed, seed, share)
    if not hidden.any():
        hidden = simulate_gaps(observed, "random", seed, share)
    ssm = pixels["ssm"].where(~xr.DataArray(hidden, dims=("time", "pixel"))).assign_attrs(pixels["ssm"].attrs)
    masked = pixels.assign(ssm=ssm)
    return Held(record, hidden, learn(masked, recipe, progress=progress).fill(masked, progress=progress), part)


def compact(pixels: xr.Dataset, most: int) -> NDArray[np.int64]:
    """Numbers of at most so many pixels, those nearest to the one that most surely was observed."""
    lat, lon = pixels["lat"].values, pixels["lon"].values
    if len(lat) <= most:
        return np.arange(len(lat))
    often = pixels["ssm"].notnull().sum("time").values
    points = on_sphere(lat, lon)
    middle = points[often >= np.median(often)].mean(axis=0)
    center = points[np.argmin(((points - middle) ** 2).sum(-1))]
    return np.sort(np.argsort(((points - center) ** 2).sum(-1), kind="stable")[:most])


def require_same(cube: xr.Dataset, filled: xr.Dataset) -> None:
    """Raise a `CubeError` if a filled cube was not made from a cube: other days, places or observations."""
    one, other = (to_pixels(d[["ssm"]])["ssm"] for d in (cube, filled))
    if one.shape != other.shape or not np.array_equal(one["time"].values, other["time"].values):
        raise CubeError([f"has {dict(one.sizes)} and the filled cube {dict(other.sizes)}, or other days"], "the cube")
    same = ((one.data == other.data) | one.isnull().data).all()
    if not bool(same):
        raise CubeError(["its observations are not those of the filled cube; give the one that was filled"], "the cube")


def score_table(held: Held) -> pd.DataFrame:
    """Scores on the hidden observations, of all and by group.

    Returns
    -------
    pandas.DataFrame
        Index (by, group); ``n``, ``rmse``, ``bias`` and, where an interval is stated, ``coverage`` (share inside the
        90 % interval), ``width`` and ``crps``; m3 m-3.
    """
    values = {n: held.filled[n].transpose("time", "pixel").values for n in QUANTILES if n in held.filled}
    rows = {key: _scores(held.record, values, where) for key, where in groups_of(held).items() if where.any()}
    return pd.DataFrame(rows).T.rename_axis(["by", "group"]).astype({"n": int})


def groups_of(held: Held) -> dict[tuple[str, str], Mask]:
    """Hidden observations by days to the pixel's nearest other one, by how many neighbours were seen, and by season."""
    kept = np.isfinite(held.record) & ~held.hidden
    distance = np.searchsorted(list(DISTANCES.values()), distance_to_observation(kept))
    found = {("all", "all"): held.hidden}
    found |= {("days to an observation", n): held.hidden & (distance == i) for i, n in enumerate(DISTANCES)}
    share = np.broadcast_to(kept.mean(axis=1, keepdims=True), kept.shape)
    for name, (low, high) in {"no pixel": (-1, 0), "up to half": (0, 0.5), "more than half": (0.5, 1)}.items():
        found[("pixels seen that day", name)] = held.hidden & (share > low) & (share <= high)
    month = held.filled["time"].dt.month.values[:, None]
    for months in SEASONS.values():  # named by months: the seasons of the south are others
        name = f"{calendar.month_name[months[0]]} to {calendar.month_name[months[-1]]}"
        found[("season", name)] = held.hidden & np.isin(month, months)
    return found


def _scores(record: Array, values: dict[str, Array], where: Mask) -> dict[str, float]:
    from scoringrules import crps_quantile

    truth = record[where].astype(float)
    stated = {n: v[where].astype(float) for n, v in values.items()}
    error = stated["ssm_model"] - truth
    found = {"n": len(truth), "rmse": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}
    if "ssm_lower" not in stated:
        return found
    low, high = stated["ssm_lower"], stated["ssm_upper"]
    levels = np.array([QUANTILES[n] for n in stated])
    crps = crps_quantile(truth, np.stack([*stated.values()], -1), levels)
    inside = float(np.mean((low <= truth) & (truth <= high)))
    return found | {"coverage": inside, "width": float(np.mean(high - low)), "crps": float(crps.mean())}
