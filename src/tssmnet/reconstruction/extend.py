"""A filled record that grows: a new month is filled with the model there is, and the days before it are left alone.

The first call fits the model on all there is and keeps it in the record, together with what the days were filled from.
A later call compares all of that with the cube it is given, computes the features of the new days (memory from the days
before them, descriptors from the days of training, as the model knows them) and fills them block by block. The record
takes the new days all at once, when they are whole: killed at any moment it is the old one or the new one, and the next
call goes on with the work that was done. Training again is a decision: remove the record.
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

from tssmnet.cluster import check_cluster
from tssmnet.cube import in_standard_form, open_dataset, roles
from tssmnet.disk import check_output, one_writer, put, real
from tssmnet.errors import TssmnetError, require_whole
from tssmnet.progress import quiet, say
from tssmnet.reconstruction.blocks import ALL_DAYS, BLOCK_BYTES, Blocks, Days
from tssmnet.reconstruction.files import ROWS, fill_blocks, job_for, open_checked, open_lazily
from tssmnet.reconstruction.fitted import Recipe, choose, kind_of
from tssmnet.reconstruction.job import Job, finish
from tssmnet.reconstruction.record import (
    Account,
    Sums,
    daily_sums,
    grown,
    order_like,
    read_account,
)


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
    cube: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: str = "filler",
    *,
    features: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool | None = None,
    rows: int = ROWS,
    block_bytes: int = BLOCK_BYTES,
    scheduler: str = "none",
    revised_days: int = 0,
    **params: Any,
) -> Extension:
    """Fill what `out` does not hold yet of a cube; the first call fills all of it.

    Parameters
    ----------
    cube
        ``.zarr`` or ``.nc``. Has the days that the record holds, with the same values, and may have more. Its places
        may come in another order.
    out
        Zarr folder, which holds the model as well. Only one process at a time works on it; another one waits.
    model, features, seed, device, progress, rows, block_bytes, scheduler, **params
        As in `tssmnet.reconstruction.files.reconstruct_file`; what they were at the first call holds for the later
        ones, but for those that say where and how fast.
    revised_days
        Predictors may have other values than they had on so many of the last days of the record: where a forcing is
        preliminary at first, or smoothed with the days that follow. The days that were filled from them stay.

    Raises
    ------
    TssmnetError
        If the record was filled otherwise or from another cube, or is damaged, or what stands at `out` is none: the
        message names what differs, and `out` is as it was.
    CubeError
        If the file is no cube.

    Examples
    --------
    >>> import tempfile
    >>> from tssmnet.cube import write_cube
    >>> from tssmnet.testing import mock_cube
    >>> cube = mock_cube(days=60, pixels=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     march = write_cube(cube.isel(time=slice(0, 50)), f"{folder}/march.zarr")
    ...     april = write_cube(cube, f"{folder}/april.zarr")
    ...     first = extend(march, f"{folder}/filled.zarr", "linear")
    ...     later = extend(april, f"{folder}/filled.zarr", "linear")
    ...     (first.added, later.kept, later.added)
    (50, 50, 10)
    """
    if Path(out).suffix != ".zarr":
        raise TssmnetError(f"{out} cannot grow: a record that does ends in .zarr")
    check_output(out, cube)
    check_cluster(scheduler)
    rows, block_bytes = require_whole(rows, "rows", 1), require_whole(block_bytes, "block_bytes", 1)
    revised_days, recipe = require_whole(revised_days, "revised_days", 0), choose(model, features, params, seed, device)
    progress = not quiet() if progress is None else progress
    with one_writer(out):
        check_output(out, cube)
        task = _task(Path(cube), real(out), recipe, rows, block_bytes)
        job = _job(task) if task.kept < task.days else None  # first: it knows the input by its sum from here on
        daily = _daily(task, progress)
        revised = _revised(task, daily, revised_days)
        if job is not None:
            fill_blocks(task.source, job, scheduler, progress)
            put(grown(job, task.asked, task.learned, daily, revised), task.out)
        finish(task.out)
    return Extension(task.kept, task.days - task.kept, task.account is None, Path(out))


@dataclass(frozen=True)
class _Task:
    """A cube, with its places in the order of the record, and a record that agrees with it but for new days.

    `order` is that of the places in the cube's file; `kept` days are in the record, whose account there may not be yet.
    """

    cube: Path
    out: Path
    recipe: Recipe
    rows: int
    block_bytes: int
    source: xr.Dataset
    order: Mapping[str, list[int]]
    asked: dict[str, Any]
    kept: int
    account: Account | None

    @property
    def days(self) -> int:
        """Days of the cube."""
        return self.source.sizes["time"]

    @property
    def learned(self) -> int:
        """Number of the first days that the model learned from."""
        return self.account.learned if self.account else self.days


def _task(cube: Path, out: Path, recipe: Recipe, rows: int, block_bytes: int) -> _Task:
    """What is to be done, once all that the record knows of its recipe, variables, days and places is as it was."""
    source = open_checked(cube, recipe)
    account = read_account(out)
    asked = _asked(source, open_dataset(cube, chunks=None), recipe, rows)
    if account is None:
        return _Task(cube.resolve(), out, recipe, rows, block_bytes, source, {}, asked, 0, None)
    _require_same(account.asked, asked, cube, out)
    record = open_dataset(out)
    kept, days = record.sizes["time"], source.sizes["time"]
    if kept > days:
        raise TssmnetError(f"{out} holds {kept} days, {cube} only {days}; give the longer cube")
    order = order_like(source, record, str(cube))
    return _Task(cube.resolve(), out, recipe, rows, block_bytes, source.isel(order), order, asked, kept, account)


def _asked(cube: xr.Dataset, stored: xr.Dataset, recipe: Recipe, rows: int) -> dict[str, Any]:
    """What must be the same at each call, in words; `stored` is the cube with the units of its file."""
    as_stored = in_standard_form(stored)
    asked: dict[str, Any] = {
        "model": recipe.model,
        "features": dict(recipe.features),
        "params": dict(recipe.params),
        "seed": recipe.seed,
        "rows": rows,
        "first day": str(cube["time"].values[0])[:10],
        "list of variables": [*map(str, cube.data_vars)],
        "type of ssm": str(cube["ssm"].dtype),
    }
    asked |= {f"variable taken for {role}": name for role, name in roles(cube).items()}
    for name, variable in cube.data_vars.items():
        asked[f"units of {name}"] = as_stored[name].attrs.get("units", "")
        asked[f"dims of {name}"] = " ".join(map(str, variable.dims))
        if "flag_values" in variable.attrs:
            asked[f"classes of {name}"] = [
                np.asarray(variable.attrs["flag_values"]).tolist(),
                variable.attrs.get("flag_meanings"),
            ]
    plain: dict[str, Any] = json.loads(json.dumps(asked, default=str))
    return plain


def _require_same(then: Mapping[str, Any], now: Mapping[str, Any], cube: Path, out: Path) -> None:
    """Raise an error that names what is asked for otherwise than at the first call."""
    differ = [key for key in {**now, **then} if then.get(key) != now.get(key)]
    if differ:
        words = ", ".join(f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in differ[:2])
        more = f", and {len(differ) - 2} more differ" if len(differ) > 2 else ""
        raise TssmnetError(
            f"{out} was filled otherwise than from {cube}: {words}{more}; ask for the same, or name another output"
        )


def _daily(task: _Task, progress: bool) -> dict[str, Sums]:
    """The sums of the cube's days."""
    grid = kind_of(task.recipe.model).blocks(task.source, task.block_bytes).grid
    cube = open_lazily(task.cube, [*map(str, task.source.data_vars)]).isel(task.order)
    return daily_sums(Blocks(cube, grid, task.block_bytes), progress)


def _revised(task: _Task, daily: Mapping[str, Sums], days: int) -> str:
    """What predictors differ on the last `days` of the record, in words; any other difference is an error."""
    differ = task.account.days_that_differ(daily, task.kept) if task.account else {}
    for name, numbers in differ.items():
        in_time = "time" in task.source[name].dims
        first = str(task.source["time"].values[numbers[0]])[:10]
        when = f" on {len(numbers)} of its {task.kept} days (first {first})" if in_time else ""
        words = f"{task.cube} has other values of {name} than {task.out} was filled from{when}"
        if name == "ssm" or not in_time or numbers[0] < task.kept - days:
            allow = " If they were revised, allow so many last days (--revised-days)." * (in_time and name != "ssm")
            raise TssmnetError(
                f"{words}; give them as they were, or name another output, which is filled whole.{allow}"
            )
        say(f"{words}; these days stay as they are")
    return f"; revised since the days before were filled: {', '.join(differ)}" if differ else ""


def _job(task: _Task) -> Job:
    """The days that the record lacks, as a job of blocks."""
    window = kind_of(task.recipe.model).WINDOW_DAYS
    begin = 0 if window is None else max(0, task.kept - window)
    days = Days(begin, task.kept, task.learned) if task.account else ALL_DAYS
    base = task.account.sum if task.account else ""
    return job_for(task.source, task.cube, task.out, task.recipe, task.rows, task.block_bytes, days, task.order, base)
