"""How well a cube was filled: some of its observations are hidden as its own gaps hide others, and filled again."""

from __future__ import annotations

import calendar
import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import CubeError, to_pixels
from tssmnet.cube.earth import SEASONS, on_sphere
from tssmnet.errors import TssmnetError
from tssmnet.filler.evidence import distance_to_observation
from tssmnet.filler.fill import ENDS
from tssmnet.gaps import simulate_gaps, swaths
from tssmnet.reconstruction.fitted import Recipe, choose, cube_for, learn
from tssmnet.trials.study import DISTANCES, interval_scores

Array = NDArray[Any]
Mask = NDArray[np.bool_]

STATED = ("ssm_model", *ENDS)
"""What a filled cube states of a value, by the filler all of it."""

GROUPS = ("days to the nearest observation", "cells seen that day", "season")
SEEN = ["none", "up to half", "more than half"]
SEASON_MONTHS = [f"{calendar.month_name[m[0]]} to {calendar.month_name[m[-1]]}" for m in SEASONS.values()]
"""Named by months, since the seasons of the south are others."""

ROUNDS = 3
"""How often observations of a short record are hidden at most."""

PIXEL_DAYS = 2_000_000
"""More than so many are not filled again: a compact part of the map stands for all of it."""


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


def hold_back(
    cube: xr.Dataset, recipe: Recipe, *, share: float = 0.2, least: int = 3000, progress: bool = False
) -> pd.DataFrame:
    """Hide what the gaps of other days hide, on a share of the days, and fill again; up to three times.

    Parameters
    ----------
    cube
        The cube as it was before it was filled.
    recipe
        How it was filled.
    share
        Of the days on which observations are hidden; where no two days have other gaps, of the observations.
    least
        Hidden observations that are enough; with fewer, as in a short record, others are hidden anew.
    progress
        Whether to show bars.

    Returns
    -------
    pandas.DataFrame
        A row for each hidden observation: ``observed`` and those of `STATED` that the filler states, m3 m-3, and
        the groups it belongs to, see `score_table`. Attribute ``part``: share of the cube's pixels that was looked at.
    """
    pixels = to_pixels(cube_for(cube, recipe))
    chosen = compact(pixels, PIXEL_DAYS // pixels.sizes["time"])
    part = len(chosen) / pixels.sizes["pixel"]
    pixels = pixels.isel(pixel=chosen).transpose("time", "pixel", ...).load()
    found: list[pd.DataFrame] = []
    while len(found) < ROUNDS and sum(map(len, found)) < least:
        hidden = _hidden(np.isfinite(pixels["ssm"].values), share, seed=len(found))
        ssm = pixels["ssm"].where(~xr.DataArray(hidden, dims=("time", "pixel"))).assign_attrs(pixels["ssm"].attrs)
        masked = pixels.assign(ssm=ssm)
        filled = learn(masked, recipe, progress=progress).fill(masked, progress=progress)
        found.append(hidden_values(pixels["ssm"], filled, hidden))
    table = pd.concat(found)
    table.attrs["part"] = part
    return table


def _hidden(observed: Mask, share: float, seed: int) -> Mask:
    hidden = swaths(observed, seed, share)
    return hidden if hidden.any() else simulate_gaps(observed, "random", seed, share)


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


def hidden_values(record: xr.DataArray, filled: xr.Dataset, hidden: Mask) -> pd.DataFrame:
    """The rows of `hold_back` for observations (time, pixel), what was filled without the hidden ones, and these."""
    kept = record.notnull().values & ~hidden
    distance = np.searchsorted(list(DISTANCES.values()), distance_to_observation(kept))
    seen = np.broadcast_to(np.digitize(kept.mean(axis=1), [0, 0.5], right=True)[:, None], hidden.shape)
    season = np.broadcast_to(record["time"].dt.month.values[:, None] % 12 // 3, hidden.shape)
    stated = {n: filled[n].transpose("time", "pixel").values for n in STATED if n in filled}
    values = {n: v[hidden].astype(float) for n, v in ({"observed": record.values} | stated).items()}
    kinds = (distance, [*DISTANCES]), (seen, SEEN), (season, SEASON_MONTHS)
    groups = {by: pd.Categorical.from_codes(c[hidden], n) for by, (c, n) in zip(GROUPS, kinds, strict=True)}
    return pd.DataFrame(values | groups)


def score_table(hidden: pd.DataFrame) -> pd.DataFrame:
    """Scores on hidden observations, of all and by group: distance in days, share of the pixels seen, season.

    Returns
    -------
    pandas.DataFrame
        Index (by, group); ``n``, ``rmse``, ``bias`` and, where an interval is stated, ``coverage`` (share inside the
        90 % interval), ``width`` and ``crps``; m3 m-3.
    """
    rows = {("", "all"): _scores(hidden)}
    for by in GROUPS:
        rows |= {(by, str(name)): _scores(group) for name, group in hidden.groupby(by, observed=True)}
    return pd.DataFrame(rows).T.rename_axis(["by", "group"]).astype({"n": int})


def _scores(values: pd.DataFrame) -> dict[str, float]:
    truth, filled = values["observed"].to_numpy(), values["ssm_model"].to_numpy()
    error = filled - truth
    found = {"n": len(truth), "rmse": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}
    if "ssm_lower" not in values:
        return found
    scores = interval_scores(truth, filled, {name: values[name].to_numpy() for name in ENDS})
    return found | {name: scores[name] for name in ("coverage", "width", "crps")}
