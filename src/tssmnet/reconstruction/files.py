"""Gap filling of cubes larger than memory: from a file to a file, a block of pixels at a time.

A feature of a model looks at its own pixel only (forcing, memory, descriptors, season, place; classes are those that
the attributes declare), so a block of pixels has the features it has in the whole cube. What must be known of the whole
is gathered first: how much was observed where, which descriptors a screening keeps, and the training rows. Then each
block is a task of its own that reads its part of the cube and writes its part of the output, in this process or on a
dask cluster. The blocks are sized in bytes, so memory does not grow with the record nor with the map. The filler looks
at neighbours, too: it takes two passes over the blocks (`tssmnet.filler.patches`).

Work in progress lies beside the output in a hidden folder (`tssmnet.reconstruction.job`). A run that was killed goes on
from there; the output takes its name when it is whole. One process at a time works on an output: a second one waits.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cluster import check_cluster, open_cluster
from tssmnet.cube import (
    absent_chunks,
    in_standard_form,
    in_standard_units,
    netcdf_encoding,
    open_dataset,
    to_pixels,
    write_dataset,
    write_zarr,
)
from tssmnet.disk import check_output, one_writer, placing, put, real, remove, write_atomically
from tssmnet.errors import TssmnetError, require_whole
from tssmnet.models.base import read_json
from tssmnet.progress import bar, quiet, say
from tssmnet.reconstruction.blocks import ALL_DAYS, BLOCK_BYTES, Blocks, Days, Grid, in_order, storage_chunks
from tssmnet.reconstruction.fitted import RECONSTRUCTORS, Fitted, Recipe, choose, cube_for, kind_of, load
from tssmnet.reconstruction.job import (
    DATA,
    DONE,
    FIRST,
    FIRST_DONE,
    JOB,
    MODEL,
    PREPARED,
    RECORD,
    Job,
    finish,
    is_done,
    is_prepared,
    job_of,
    mark_of,
    note_prepared,
    write_block,
)
from tssmnet.reconstruction.memory import fill_whole
from tssmnet.reconstruction.output import describe, in_fixed_order, require_filled, source_counts

Float = NDArray[np.float32]


ROWS = 500_000
"""Training rows at most; a cube with fewer observations gives all of them."""


CHUNK_BYTES = 2**23
"""A chunk of the output at most."""


TRIES = 4
"""How often a block is computed whose values do not stay on the disk as they were written."""


@dataclass(frozen=True)
class Filled:
    """What was written: where, and how many values of each source (see `tssmnet.cube.SOURCE_FLAGS`)."""

    path: Path
    counts: Mapping[str, int]


def reconstruct_file(
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
    **params: Any,
) -> Filled:
    """Fill the gaps of a cube of any size, from file to file, with memory that does not grow with either.

    Parameters
    ----------
    cube, out
        ``.zarr`` or ``.nc``. `out` appears when it is whole; what stood there stays until then.
    model, features, seed, device, progress, **params
        As in `tssmnet.reconstruct`, whose values this gives, to 1e-5 m3 m-3, on a cube whose features fit in memory,
        that has no more than `rows` observations, and whose variables are in the order of their names; blocks of any
        size give them. The same call gives the same zarr, byte for byte but for the time in the attribute ``history``
        (`SOURCE_DATE_EPOCH` sets it), and netCDF of the same values. See there for the number of threads.
    rows
        Training rows at most. Of more observations, pixels are drawn evenly over the map, and from each the same
        number of days; the filler takes all days of patches of pixels.
    block_bytes
        Size of a block of pixels in memory.
    scheduler
        Where the blocks are computed, as in `tssmnet.cluster.open_cluster`: ``"none"`` (this process, or an active
        ``dask.distributed`` client), ``"local"``, or an address. The workers must see the same files.

    Returns
    -------
    Filled

    Raises
    ------
    CubeError
        If there is no such cube, it is none, or `out` has no known ending.
    UnknownNameError, ClusterError
        If there is no such scheduler, or it does not answer.
    """
    check_output(out, cube)
    check_cluster(scheduler)
    rows, block_bytes = require_whole(rows, "rows", 1), require_whole(block_bytes, "block_bytes", 1)
    recipe = choose(model, features, params, seed, device)
    progress = not quiet() if progress is None else progress
    out = Path(out)
    with one_writer(out) as waited:
        check_output(out, cube)
        source = open_checked(Path(cube), recipe)
        job = job_for(source, Path(cube).resolve(), real(out), recipe, rows, block_bytes)
        if (waited or job.folder.exists()) and is_done(job):
            counts = _counts_of(job.out)
        elif kind_of(model).whole(source, rows, block_bytes):
            counts = _in_memory(source, job, progress)
        else:
            counts = _in_blocks(source, job, scheduler, progress)
        finish(job.out)
    return Filled(out, counts)


def _in_blocks(source: xr.Dataset, job: Job, scheduler: str, progress: bool) -> dict[str, int]:
    """Fill block by block and give the output its name."""
    counts = fill_blocks(source, job, scheduler, progress)
    _place(job)
    return counts


def fill_blocks(source: xr.Dataset, job: Job, scheduler: str, progress: bool) -> dict[str, int]:
    """Fill block by block, as far as it is not done yet, into the job's folder."""
    with open_cluster(scheduler) as client:
        if not is_prepared(job):
            _prepare(job, source, progress)
        _run(job, client, progress)
    counts = _counts_of(job.folder / DATA)
    try:
        require_filled(counts, source.isel(time=job.to_fill), str(job.cube))
    except TssmnetError:
        remove(job.folder)  # it would end so each time
        raise
    job.require_same_input()
    return counts


def _counts_of(out: Path) -> dict[str, int]:
    """Values of each source in an output that stands there."""
    return source_counts(open_dataset(out)["source"].data)


def _in_memory(cube: xr.Dataset, job: Job, progress: bool) -> dict[str, int]:
    filled = fill_whole(cube, job.recipe, progress, str(job.cube))
    job.require_same_input()
    write_dataset(filled.assign_attrs(tssmnet_job=job.key), job.out)
    return source_counts(filled["source"].values)


def open_checked(path: Path, recipe: Recipe) -> xr.Dataset:
    """A cube as dask arrays, checked chunk by chunk, also where its file holds each variable in one piece."""
    cube = open_dataset(path)
    if absent := absent_chunks(path):
        say(f"{path}: {absent} are not stored and are read as missing; zarr cannot tell whether they were lost")
    if path.suffix == ".nc" and max(v.nbytes for v in cube.variables.values()) > BLOCK_BYTES:
        cube = open_dataset(path, chunks="auto")
    return in_order(cube_for(cube, recipe, str(path)))


def open_lazily(path: Path, names: Sequence[str]) -> xr.Dataset:
    """Variables of a checked cube, read when they are asked for, by no other scheduler than the caller."""
    cube = in_standard_form(open_dataset(path, chunks=None))
    return in_order(in_standard_units(cube[[*names]]))


def job_for(
    source: xr.Dataset,
    cube: Path,
    out: Path,
    recipe: Recipe,
    rows: int,
    block_bytes: int,
    days: Days = ALL_DAYS,
    order: Mapping[str, list[int]] | None = None,
    base: str = "",
) -> Job:
    """The job of a call; its code is all that this module and the model reach.

    `source` has its places in `order`; `base` is the sum of the record that its days are added to.
    """
    from tssmnet.provenance import library_hashes

    grid = kind_of(recipe.model).blocks(source.isel(time=slice(days.begin, None)), block_bytes).grid
    homes = {name: spec.where.partition(":")[0] for name, spec in RECONSTRUCTORS.items()}
    code = library_hashes([__name__, homes[recipe.model]], without=homes.values())
    names = tuple(map(str, source.data_vars))
    return job_of(names, grid, cube, out, recipe, rows, block_bytes, code, days, order or {}, base)


def _prepare(job: Job, source: xr.Dataset, progress: bool) -> None:
    """All that comes before the blocks: the fitted models, and an output of the final size that holds no value yet."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for name in (PREPARED, JOB, MODEL, DATA, DONE, FIRST, FIRST_DONE):
        remove(job.folder / name)
    if job.days.start:
        shutil.copytree(job.out / RECORD / MODEL, job.folder / MODEL)
    else:
        _learn(job, progress)
    kind, new = kind_of(job.recipe.model), source.isel(time=job.to_fill)
    _create(job, new, {"ssm": source["ssm"].dtype, "ssm_model": np.float32, "source": np.int8}, kind.EXTRA)
    if kind.FIRST:
        _create_first(job, source.isel(time=job.looked_at), kind.FIRST)
    for name in (DONE, FIRST_DONE):
        (job.folder / name).mkdir()
    about = {"cube": str(job.cube), "recipe": asdict(job.recipe), "block_bytes": job.block_bytes}
    about |= {"grid": asdict(job.grid), "names": job.names, "days": asdict(job.days), "order": dict(job.order)}
    write_atomically(job.folder / JOB, json.dumps(about, default=str).encode())
    note_prepared(job)


def _learn(job: Job, progress: bool) -> None:
    """Learn from the cube and keep what was learned in the job's folder."""
    blocks = Blocks(open_lazily(job.cube, job.names), job.grid, job.block_bytes)
    try:
        learned = kind_of(job.recipe.model).learn_blocks(blocks, job.rows, job.recipe, job.folder, progress)
    except TssmnetError as error:
        remove(job.folder)  # it would end so each time
        raise TssmnetError(f"{job.cube.name}: {error}") from None
    learned.save(job.folder / MODEL)


def _create(job: Job, source: xr.Dataset, kinds: Mapping[str, Any], extra: Sequence[str]) -> None:
    """The output without values: its variables with their final size, chunks and attributes, and its coordinates."""
    dims = ("time", *job.grid.dims)
    all_kinds = {**kinds, **dict.fromkeys(extra, np.float32)}
    empty = {n: (dims, _zeros(job, source, d)) for n, d in all_kinds.items()}
    coords = source.coords if job.grid.dims != ("pixel",) else to_pixels(source[["ssm"]]).coords
    output = describe(xr.Dataset(empty, coords), source, job.recipe, job.input_sha256).drop_encoding()
    output.attrs["tssmnet_job"] = job.key
    for name in output.coords:
        output[name].load()  # only what is in memory is written now
    _write_empty(output, job.folder / DATA, _output_chunks(source, job.grid))


def _create_first(job: Job, source: xr.Dataset, names: Sequence[str]) -> None:
    """Where a first pass leaves its values, without values."""
    dims = ("time", *job.grid.dims)
    empty = xr.Dataset({n: (dims, _zeros(job, source, np.float32)) for n in names})
    _write_empty(empty, job.folder / FIRST, _output_chunks(source, job.grid))


def _zeros(job: Job, source: xr.Dataset, kind: Any) -> Any:
    import dask.array as da

    shape = (source.sizes["time"], *job.grid.sizes)
    return da.zeros(shape, chunks=_output_chunks(source, job.grid), dtype=kind)


def _write_empty(output: xr.Dataset, path: Path, chunks: tuple[int, ...]) -> None:
    write_zarr(output, path, {str(n): {"chunks": chunks} for n in output.data_vars}, compute=False)


def _output_chunks(source: xr.Dataset, grid: Grid) -> tuple[int, ...]:
    """Chunks of the output: no block shares one with another, so that blocks are written side by side."""
    stored = storage_chunks(source)
    space = [
        stored[d] if stored.get(d) and s % stored[d] == 0 else s for d, s in zip(grid.dims, grid.shape, strict=True)
    ]
    days = max(1, min(source.sizes["time"], CHUNK_BYTES // (4 * math.prod(space))))
    return (days, *space)


@dataclass(frozen=True)
class Ready:
    """What a process needs for any block of a job, opened once."""

    blocks: Blocks
    fitted: Fitted
    first: xr.Dataset | None


@lru_cache(maxsize=1)
def _ready(folder: str, made: int) -> Ready:
    """The job in a folder; `made` tells one from another that had the folder before."""
    path = Path(folder)
    about = read_json(path / JOB)
    grid = Grid(**{k: tuple(v) for k, v in about["grid"].items()})
    fitted = load(path / MODEL, Recipe(**about["recipe"]))
    first = xr.open_zarr(path / FIRST, consolidated=False, chunks=None) if fitted.FIRST else None
    days = Days(**about["days"])
    cube = open_lazily(Path(about["cube"]), about["names"]).isel(about["order"]).isel(time=slice(days.begin, None))
    learned = None if days.learned is None else max(0, days.learned - days.begin)
    return Ready(Blocks(cube, grid, about["block_bytes"], days.start - days.begin, learned), fitted, first)


def _ready_in(folder: str) -> Ready:
    return _ready(folder, (Path(folder) / PREPARED).stat().st_mtime_ns)


def first_block(folder: str, index: int) -> None:
    """Compute and keep the first pass's values of block `index` of the job in `folder`; a task as `fill_block`."""
    ready = _ready_in(folder)
    values = ready.fitted.first_block(ready.blocks, index)
    written = write_block(Path(folder) / FIRST, ready.blocks.grid, index, values)
    write_atomically(mark_of(Path(folder), FIRST_DONE, index), json.dumps({"values": written}))


def fill_block(folder: str, index: int) -> None:
    """Compute and write block `index` of the job in `folder`; a task that needs nothing but these two."""
    ready = _ready_in(folder)
    values = ready.fitted.fill_block(ready.blocks, index, ready.first)
    written = write_block(Path(folder) / DATA, ready.blocks.grid, index, values)
    write_atomically(mark_of(Path(folder), DONE, index), json.dumps({"values": written}))


def _run(job: Job, client: Any, progress: bool) -> None:
    """Compute the blocks that are not written yet, here or on a cluster, until all are there and sound."""
    steps: list[tuple[Callable[[str, int], Any], str, str, str]] = [(fill_block, "filling", DONE, DATA)]
    if kind_of(job.recipe.model).FIRST:
        steps.insert(0, (first_block, "first values", FIRST_DONE, FIRST))
    for work, title, marks, data in steps:
        for _ in range(TRIES):
            if not (blocks := job.pending(marks, data)):
                break
            _do_blocks(work, title, blocks, job, client, progress)
        else:
            raise TssmnetError(f"{job.folder}: what is written there does not stay as it is; name another disk")


def _do_blocks(
    work: Callable[[str, int], Any],
    title: str,
    blocks: list[int],
    job: Job,
    client: Any,
    progress: bool,
) -> None:
    folder = str(job.folder)
    if client is None:
        for index in bar(blocks, title, progress=progress):
            work(folder, index)
        return
    import dask

    dask.compute(*(dask.delayed(work, pure=False)(folder, index) for index in blocks), scheduler=client)


def _place(job: Job) -> None:
    """Give the output its name, as zarr or rewritten as netCDF."""
    check_output(job.out, job.cube)
    if job.out.suffix == ".zarr":
        put(job.folder / DATA, job.out)
    else:
        with placing(job.out) as temporary:
            _to_netcdf(job.folder / DATA, temporary)


def _to_netcdf(data: Path, path: Path) -> None:
    """Rewrite zarr as compressed netCDF, chunk by chunk, each with its checksum."""
    import dask

    output = in_fixed_order(open_dataset(data))
    chunks = {n: v.encoding["chunks"] for n, v in output.data_vars.items()}
    output = output.drop_encoding()
    for variable in output.variables.values():
        if "flag_values" in variable.attrs:  # JSON has forgotten their type
            variable.attrs["flag_values"] = np.array(variable.attrs["flag_values"], variable.dtype)
    encoding: dict[str, dict[str, Any]] = {
        str(n): {
            "zlib": True,
            "complevel": 4,
            "shuffle": True,
            "fletcher32": True,
            "chunksizes": tuple(min(c, s) for c, s in zip(chunks[n], v.shape, strict=True)),
        }
        for n, v in output.data_vars.items()
    }
    encoding |= {n: e for n, e in netcdf_encoding(output).items() if n in output.coords}
    with dask.config.set(scheduler="synchronous"):
        output.to_netcdf(path, engine="h5netcdf", encoding=encoding)
