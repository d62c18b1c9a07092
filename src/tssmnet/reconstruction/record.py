"""A filled record that grows, on disk: one zarr store with its days, the model that fills them, and its account.

The account, in the attributes of a group beside the variables, says what was asked for, what the days were filled from,
and the sum of every file of the store. A record is never written to. The grown one is made beside it, of hard links to
the files that stay as they are and of new files for all others, and takes its name in one step.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tssmnet.cube import open_dataset, space_dims, write_zarr
from tssmnet.disk import differences, remove, sums
from tssmnet.errors import TssmnetError
from tssmnet.filler.evidence import on_sphere
from tssmnet.progress import bar
from tssmnet.provenance import content_hash
from tssmnet.reconstruction.blocks import Blocks, Grid
from tssmnet.reconstruction.job import DATA, MODEL, RECORD, Job
from tssmnet.reconstruction.output import in_fixed_order

Sums = NDArray[np.uint64]

DAYS_PER_CHUNK = 32
"""Days of a stored chunk."""

ACCOUNT, GROWN = f"{RECORD}/zarr.json", "grown.zarr"

SAME_PLACE = 1e-6
"""Radians: places are the same within some six metres, however a file rounds its degrees."""


@dataclass(frozen=True)
class Account:
    """What a record says of itself.

    Parameters
    ----------
    asked
        What was asked for and of which variables, by words for messages.
    learned
        Number of the first days that its model learned from.
    values
        By variable of the cube, the sums of its days, or of a constant, as 16 digits each.
    files
        sha256 of every file of the store but the account.
    """

    asked: dict[str, Any]
    learned: int
    values: dict[str, str]
    files: dict[str, str]

    def days_that_differ(self, daily: Mapping[str, Sums], kept: int) -> dict[str, NDArray[np.int64]]:
        """By variable, the numbers of the first `kept` days on which a cube has other values than it had."""
        then = {name: np.frombuffer(bytes.fromhex(digits), ">u8") for name, digits in self.values.items()}
        found = {name: np.flatnonzero(sums != daily[name][:kept]) for name, sums in then.items()}
        return {name: days for name, days in found.items() if days.size}

    @property
    def sum(self) -> str:
        """sha256 of all it says."""
        return content_hash(asdict(self))


def read_account(out: Path) -> Account | None:
    """The account of a record, whose files are all as it says; None if nothing stands at `out`.

    Raises
    ------
    TssmnetError
        If what stands there is no record that grows, or is damaged.
    """
    if not out.exists():
        return None
    if not (out / ACCOUNT).is_file():
        raise TssmnetError(
            f"{out} is no record that `extend` began, and lacks the model to go on with; name another output, "
            "which is then filled whole and grows from there, or remove it"
        )
    try:
        about = json.loads((out / ACCOUNT).read_text(encoding="utf-8"))["attributes"]
        account = Account(**about["account"])
        faults = [] if account.sum == about["sum"] else [f"{ACCOUNT} is damaged"]
    except (ValueError, KeyError, TypeError):
        faults = [f"{ACCOUNT} is damaged"]
    faults = faults or differences(sums(out, ACCOUNT), account.files)
    if faults:
        raise TssmnetError(
            f"{out}: {faults[0]}{f', and {len(faults) - 1} more' * (len(faults) > 1)}; put a sound copy of the record "
            "there, or remove it to fill it anew"
        )
    return account


def order_like(cube: xr.Dataset, record: xr.Dataset, name: str) -> dict[str, list[int]]:
    """Where along each dim of space of a cube the places of a record are; nothing if they are in the same order.

    Raises
    ------
    TssmnetError
        If the cube has other places, or the same in an order that no order of rows and columns gives.
    """
    dims = space_dims(record)
    sizes = tuple(record.sizes[d] for d in dims)
    if space_dims(cube) != dims or tuple(cube.sizes[d] for d in dims) != sizes:
        words = (" x ".join(f"{ds.sizes[d]} {d}" for d in space_dims(ds)) for ds in (cube, record))
        raise TssmnetError("{} is another region's: it has {} places, the record {}".format(name, *words))
    wanted, given = _places(record), _places(cube)
    distance, at = cKDTree(on_sphere(*given)).query(on_sphere(*wanted))
    foreign = np.flatnonzero(distance > SAME_PLACE)
    if foreign.size or len(np.unique(at)) < len(at):
        lat, lon = wanted[:, foreign[0] if foreign.size else 0]
        raise TssmnetError(
            f"{name} is another region's: it lacks {max(1, foreign.size)} of {len(at)} places of the record "
            f"(first {lat:g} N, {lon:g} E)"
        )
    if (apart := np.abs(wanted - given[:, at]).max(axis=0)).max() > 1:
        one, other = (v[1, i] for v, i in ((wanted, np.argmax(apart)), (given, at[np.argmax(apart)])))
        raise TssmnetError(
            f"{name} counts longitudes otherwise than the record: {other:g} for {one:g}; give the record's"
        )
    order = _along(at.reshape(sizes), dims, name)
    _require_same_names(cube.isel(order), record, dims, name)
    return {} if (at == np.arange(len(at))).all() else order


def _places(cube: xr.Dataset) -> NDArray[np.float64]:
    """Latitudes and longitudes, degrees, shape (2, places)."""
    lat, lon = xr.broadcast(cube["lat"].reset_coords(drop=True), cube["lon"].reset_coords(drop=True))
    dims = space_dims(cube)
    return np.stack([v.transpose(*dims).values.ravel().astype(np.float64) for v in (lat, lon)])


def _along(at: NDArray[Any], dims: Sequence[str], name: str) -> dict[str, list[int]]:
    """Numbers of places, shape that of space, as numbers along each dim."""
    where = np.unravel_index(at, at.shape)
    order = {
        d: np.moveaxis(w, k, 0).reshape(at.shape[k], -1)[:, 0] for k, (d, w) in enumerate(zip(dims, where, strict=True))
    }
    if not (at == np.ravel_multi_index(np.ix_(*order.values()), at.shape)).all():
        raise TssmnetError(f"{name} has the places of the record in another order, row by row; give it in the record's")
    return {d: [*map(int, numbers)] for d, numbers in order.items()}


def _require_same_names(cube: xr.Dataset, record: xr.Dataset, dims: Sequence[str], name: str) -> None:
    """Places that are the same have the same numbers, or metres of a projection."""
    for dim in dims:
        if dim in cube.coords and dim in record.coords:
            one, other = cube[dim].values, record[dim].values
            numbers = one.dtype.kind in "iuf" and other.dtype.kind in "iuf"
            if not (np.allclose(one, other, rtol=1e-6, atol=1e-6) if numbers else np.array_equal(one, other)):
                raise TssmnetError(f"{name}: {dim} names the same places otherwise than the record does")


def daily_sums(blocks: Blocks, progress: bool) -> dict[str, Sums]:
    """By variable, a sum of each day (one of a constant), which tells other values and places; any blocks give it."""
    weights = np.random.PCG64(0).random_raw(math.prod(blocks.grid.sizes))
    found: dict[str, Sums] = {}
    for index in bar(range(len(blocks.grid)), "comparing", progress=progress):
        own, pixels = weights[blocks.grid.pixels(index)], blocks.load(index)
        for name, variable in pixels.data_vars.items():
            part = _mixed(variable.transpose(..., "pixel").values, own).sum(axis=-1, dtype=np.uint64)
            found[str(name)] = found.get(str(name), np.uint64(0)) + np.atleast_1d(part)
    return found


def _mixed(values: NDArray[Any], weights: Sums) -> Sums:
    """A number of 64 bits for each value and its weight, in which every bit of both counts."""
    plain = np.array(values, np.float64)
    plain[np.isnan(plain)] = np.nan  # there are many kinds of NaN
    bits = (plain + 0.0).view(np.uint64) ^ weights
    for factor, shift in ((0xBF58476D1CE4E5B9, 32), (0x94D049BB133111EB, 29)):
        bits *= np.uint64(factor)
        bits ^= bits >> np.uint64(shift)
    return bits


def _digits(sums: Sums) -> str:
    return sums.astype(">u8").tobytes().hex()


def grown(job: Job, asked: dict[str, Any], learned: int, daily: Mapping[str, Sums], revised: str) -> Path:
    """The whole record with the days of a finished job, made in the job's folder; `revised` goes to its history."""
    path, new = job.folder / GROWN, in_fixed_order(open_dataset(job.folder / DATA, chunks=None))
    remove(path)
    old = open_dataset(job.out, chunks=None) if job.days.start else None
    chunks = (DAYS_PER_CHUNK, *(new if old is None else old)["ssm"].encoding["chunks"][1:])
    whole = _without_values(new, old, chunks, revised)
    write_zarr(whole, path, {str(n): {"chunks": chunks} for n in whole.data_vars}, compute=False)
    full = job.days.start // DAYS_PER_CHUNK
    if old is not None:
        _link_chunks(job.out, path, [*map(str, whole.data_vars)], full)
    _write_days(path, new, old, full * DAYS_PER_CHUNK, chunks)
    shutil.copytree(job.folder / MODEL, path / RECORD / MODEL)
    account = Account(asked, learned, {n: _digits(s) for n, s in daily.items()}, sums(path))
    group = {"zarr_format": 3, "node_type": "group"}
    group["attributes"] = {"account": asdict(account), "sum": account.sum}
    (path / ACCOUNT).write_text(json.dumps(group, indent=1), encoding="utf-8")
    return path


def _without_values(new: xr.Dataset, old: xr.Dataset | None, chunks: tuple[int, ...], revised: str) -> xr.Dataset:
    """The record that is to be, with its coordinates and attributes: places as they were, days as they are now."""
    import dask.array as da

    parts = [new] if old is None else [old, new]
    daily = [n for n, c in parts[0].coords.items() if "time" in c.dims and n in new.coords]
    days = xr.concat([xr.Dataset(coords={n: part.coords[n].variable for n in daily}) for part in parts], "time")
    sizes = {**new.sizes, "time": days.sizes["time"]}
    variables = {
        n: (v.dims, da.zeros([sizes[d] for d in v.dims], chunks=chunks, dtype=v.dtype), v.attrs)
        for n, v in new.data_vars.items()
    }
    coords = {n: c.variable for n, c in parts[0].coords.items() if "time" not in c.dims} | dict(days.coords)
    attrs = {k: v for k, v in new.attrs.items() if k != "tssmnet_job"}
    whole = xr.Dataset(variables, {n: c.load() for n, c in coords.items()}, attrs)
    if old is not None:
        made = str(new.attrs["history"]).splitlines()[0]
        span = " to ".join(str(t)[:10] for t in new["time"].values[[0, -1]])
        whole.attrs["history"] = f"{made}: the days {span}{revised}\n{old.attrs['history']}"
    return in_fixed_order(whole).drop_encoding()


def _link_chunks(out: Path, path: Path, names: Sequence[str], full: int) -> None:
    """Take the first `full` chunks of days over; what is linked is never written to."""
    for name, number in product(names, range(full)):
        for file in (out / name / "c" / str(number)).rglob("*"):
            if file.is_file():
                target = path / file.relative_to(out)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(file, target)
                except OSError:  # not every file system knows hard links
                    shutil.copyfile(file, target)


def _write_days(path: Path, new: xr.Dataset, old: xr.Dataset | None, first: int, chunks: tuple[int, ...]) -> None:
    """Write the days from number `first` on, which begins a chunk: what the record has of them, and the new ones."""
    import zarr

    dims = space_dims(new)
    grid = Grid(dims, tuple(new.sizes[d] for d in dims), chunks[1:])
    parts = [new] if old is None else [old.isel(time=slice(first, None)), new]
    root: Any = zarr.open_group(path, mode="r+")
    for name, index in product(map(str, new.data_vars), range(len(grid))):
        region = grid.region(index)
        values = np.concatenate([part[name].isel(region).values for part in parts])
        target = root[name].with_config({"write_empty_chunks": True, "order": "C"})
        target[(slice(first, None), *region.values())] = values
