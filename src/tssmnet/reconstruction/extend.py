"""A filled record that grows: a new month is filled with the model there is, and the days before it are left alone.

The first call fits the model on all there is and keeps it beside the record, together with the day up to which it
learned. A later call computes the features of the new days (memory from the days before them, descriptors from the days
of training, as the model knows them), fills them and writes them behind the others. Days that were written stay as they
are, byte for byte but for the chunk that the new days complete. Training again is a decision: remove the record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube import consolidate, from_pixels, space_dims, to_pixels, write_dataset
from tssmnet.disk import remove, write_atomically
from tssmnet.errors import TssmnetError
from tssmnet.reconstruction.fitted import Recipe, choose, cube_for, learn, load
from tssmnet.reconstruction.output import describe

DAYS_PER_CHUNK = 32


PLAN, MODEL = "plan.json", "model"


@dataclass(frozen=True)
class Extension:
    """What a call did: the days that were there, those added, and whether the model was fitted now."""

    kept: int
    added: int
    fitted: bool
    out: Path

    def __str__(self) -> str:
        how = "by a model fitted now" if self.fitted else "by the model kept" if self.added else "(all were there)"
        return f"{self.out}: {self.kept} days kept, {self.added} added {how}"


def extend(
    cube: xr.Dataset,
    out: str | os.PathLike[str],
    model: str = "filler",
    *,
    features: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
    **params: Any,
) -> Extension:
    """Fill what `out` does not hold yet of a cube; the first call fills all of it.

    Parameters
    ----------
    cube
        Begins on the day on which it began at the first call, and may end later.
    out
        Zarr folder; the model, and what was agreed on, are kept in ``<out>.model``.
    model, features, seed, device, **params
        As in `reconstruct`; what they were at the first call holds for the later ones.

    Raises
    ------
    TssmnetError
        If the cube begins on another day or ends earlier, the recipe is another, or what stands at `out` was not begun
        here, so that filling it would begin it anew.
    CubeError
        If the dataset is no cube.

    Examples
    --------
    >>> import tempfile
    >>> from tssmnet.testing import mock_cube
    >>> cube = mock_cube(days=60, pixels=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = extend(cube.isel(time=slice(0, 50)), f"{folder}/filled.zarr", "linear")
    ...     later = extend(cube, f"{folder}/filled.zarr", "linear")
    ...     (first.added, later.kept, later.added)
    (50, 50, 10)
    """
    out = Path(out)
    recipe = choose(model, features, params, seed, device)
    cube = cube_for(cube, recipe)
    keep = out.with_name(out.name + ".model")
    plan = _plan(cube, recipe, keep)
    if plan is None:
        if out.exists() and not keep.exists():  # where it does, a first call was killed before its end
            raise TssmnetError(
                f"{out} is no record that `extend` began, so it has no {keep.name} to go on with; name another output, "
                "which is then filled whole and grows from there, or remove it"
            )
        return _begin(cube, out, keep, recipe, progress)
    kept = _held(out)
    if kept == cube.sizes["time"]:
        return Extension(kept, 0, False, out)
    if kept > cube.sizes["time"]:
        raise TssmnetError(f"{out} holds {kept} days, the cube only {cube.sizes['time']}; give the longer cube")
    filled = _fill_from(cube, kept, plan["learned"], keep, recipe, progress)
    _append(filled, out, kept)
    return Extension(kept, filled.sizes["time"], False, out)


def _held(out: Path) -> int:
    """How many days a record holds, by its time axis: other arrays may be longer after a kill."""
    import zarr

    if not out.exists():
        return 0
    group: Any = zarr.open_group(out, mode="r", use_consolidated=False)
    return int(group["time"].shape[0])


def _plan(cube: xr.Dataset, recipe: Recipe, keep: Path) -> dict[str, Any] | None:
    """What was agreed at the first call, if there was one that ended; the same must be asked for now."""
    path = keep / PLAN
    if not path.is_file():
        return None
    plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    now = _agreed(cube, recipe)
    differ = sorted(k for k in now if plan.get(k) != now[k])
    if differ:
        told = ", ".join(f"{k} was {plan.get(k)!r} and is {now[k]!r}" for k in differ)
        raise TssmnetError(f"{keep.name} was made otherwise: {told}. Ask for the same, or remove the record and {keep}")
    return plan


def _agreed(cube: xr.Dataset, recipe: Recipe) -> dict[str, Any]:
    about = {
        "model": recipe.model,
        "features": dict(recipe.features),
        "params": dict(recipe.params),
        "seed": recipe.seed,
        "first": str(cube.time.values[0])[:10],
        "cells": [int(cube.sizes[d]) for d in space_dims(cube)],
    }
    plain: dict[str, Any] = json.loads(json.dumps(about, default=str))
    return plain


def _begin(cube: xr.Dataset, out: Path, keep: Path, recipe: Recipe, progress: bool) -> Extension:
    """Fit on all there is, keep the model, fill everything."""
    days, pixels = cube.sizes["time"], to_pixels(cube).load()
    fitted = learn(pixels, recipe, complete=True, progress=progress)
    filled = from_pixels(fitted.fill(pixels, progress=progress), cube)
    filled = describe(filled, cube, recipe, f"the days up to {str(cube.time.values[-1])[:10]}")
    keep.mkdir(parents=True, exist_ok=True)  # before the record, which is known by it for one begun here
    write_dataset(_chunked(filled), out)
    remove(keep / MODEL)  # of a first call that was killed
    fitted.save(keep / MODEL)
    write_atomically(keep / PLAN, json.dumps(_agreed(cube, recipe) | {"learned": days}, indent=1))
    return Extension(0, days, True, out)


def _chunked(filled: xr.Dataset) -> xr.Dataset:
    return filled.chunk({"time": DAYS_PER_CHUNK} | dict.fromkeys(space_dims(filled), -1))


def _fill_from(cube: xr.Dataset, start: int, learned: int, keep: Path, recipe: Recipe, progress: bool) -> xr.Dataset:
    """The days from number `start` on, filled by the model that is kept."""
    fitted = load(keep / MODEL, recipe)
    first = 0 if fitted.WINDOW_DAYS is None else max(0, start - fitted.WINDOW_DAYS)
    pixels = to_pixels(cube.isel(time=slice(first, None))).load()
    known = np.isfinite(pixels["ssm"].values)
    known[max(0, learned - first) :] = False
    filled = fitted.fill(pixels, known=known, days=slice(start - first, None), progress=progress)
    return from_pixels(filled, cube.isel(time=slice(start, None)))


def _append(filled: xr.Dataset, out: Path, kept: int) -> None:
    """Write days behind those there are; a kill leaves a record that still ends where it ended."""
    import zarr

    group: Any = zarr.open_group(out, mode="r+", use_consolidated=False)
    days = filled.sizes["time"]
    with zarr.config.set({"array.write_empty_chunks": True}):  # one that is missing is taken for a lost one
        for name, field in filled.data_vars.items():
            array = group[str(name)]
            array.resize((kept + days, *array.shape[1:]))
            array[kept:] = field.transpose("time", ...).values
    # The time axis last: by its length a record knows what it holds.
    time = group["time"]
    units = str(time.attrs["units"])
    encoded = xr.coding.times.encode_cf_datetime(filled.time.values, units, str(time.attrs.get("calendar", "standard")))
    time.resize((kept + days,))
    time[kept:] = np.asarray(encoded[0], time.dtype)
    consolidate(out)
