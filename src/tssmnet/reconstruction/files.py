"""Gap filling of cubes larger than memory: from a file to a file, a block of pixels at a time.

A feature of a model looks at its own pixel only (forcing, memory, descriptors, season, place; classes are those that
the attributes declare), so a block of pixels has the features it has in the whole cube. What must be known of the whole
is gathered first: how much was observed where, which descriptors a screening keeps, and the training rows. Then each
block is a task of its own that reads its part of the cube and writes its part of the output, in this process or on a
dask cluster. The blocks are sized in bytes, so memory does not grow with the record nor with the map. The filler looks
at neighbours, too: it takes two passes over the blocks (`tssmnet.filler.patches`).

Work in progress lies beside the output in a hidden folder named by what it is made from: the fitted model, the part of
the output that is written, and a mark for each finished block. A run that was killed goes on from there; the output
takes its name when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cluster import check_cluster, open_cluster
from tssmnet.cube import (
    SOURCE_FLAGS,
    dynamic_names,
    in_standard_form,
    in_standard_units,
    open_dataset,
    predictable,
    roles,
    to_pixels,
    write_dataset,
)
from tssmnet.disk import check_output, placing, write_atomically
from tssmnet.errors import TssmnetError
from tssmnet.features.build import build_features, screen_descriptors
from tssmnet.features.descriptors import NAMES, describe_series
from tssmnet.features.samples import Features, Samples
from tssmnet.filler import patches
from tssmnet.models import MODELS, load_model
from tssmnet.progress import bar, quiet
from tssmnet.reconstruction.blocks import (
    BLOCK_BYTES,
    Grid,
    Index,
    _load,
    _pieces,
    _storage_chunks,
    cut,
    in_order,
    load_pixels,
)
from tssmnet.reconstruction.fitted import Fitted, Recipe, all_samples, choose, cube_for, features_of, fill, fit
from tssmnet.reconstruction.memory import reconstruct
from tssmnet.reconstruction.output import describe

Float = NDArray[np.float32]


ROWS = 500_000
"""Training rows at most; a cube with fewer observations gives all of them."""


ROWS_PER_PIXEL = 64
"""Rows drawn from a pixel where there are more observations than rows: few pixels' features are then computed."""


WHOLE_BYTES = 2**30
"""Features up to this size are held whole for the fit, which is then that of `tssmnet.reconstruct` in memory."""


CHUNK_BYTES = 2**23
"""A chunk of the output at most."""


FILLER_BLOCKS = 8
"""A cube for which the filler takes no more memory than so many blocks is held whole."""


FILLER_BYTES = 2000
"""Memory that a model of kind ``filler`` takes for each pixel-day that it learns from or gives a first value, about."""


CONTEXT_BYTES = 800
"""Memory that it takes for each pixel-day of a block and of the pixels around, about."""


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
        As in `tssmnet.reconstruct`, whose values this gives (to rounding) on a cube whose features fit in memory, that
        has no more than `rows` observations, and whose variables are in the order of their names.
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
    recipe = choose(model, features, params, seed, device)
    source = _open_checked(Path(cube), recipe)
    progress = not quiet() if progress is None else progress
    if MODELS[model].kind == "filler" and _learns_whole(source, rows, block_bytes):
        return _in_memory(source, Path(out), recipe, progress)
    job = _job(source, Path(cube).resolve(), Path(out).resolve(), recipe, rows, block_bytes)
    if not (job.folder / PREPARED).is_file():
        _prepare(job, source, progress)
    _run(job, scheduler, progress)
    counts = _counts(job)
    _place(job)
    return Filled(Path(out), counts)


def _learns_whole(cube: xr.Dataset, rows: int, block_bytes: int) -> bool:
    """Whether the filler learns from all of a cube, which then is in memory anyway."""
    return FILLER_BYTES * cube["ssm"].size <= FILLER_BLOCKS * block_bytes and int(cube["ssm"].count()) <= rows


def _in_memory(cube: xr.Dataset, out: Path, recipe: Recipe, progress: bool) -> Filled:
    filled = reconstruct(
        cube, recipe.model, seed=recipe.seed, device=recipe.device, progress=progress, **dict(recipe.params)
    )
    write_dataset(filled, out)
    return Filled(out, source_counts(filled["source"].values))


def source_counts(source: NDArray[Any]) -> dict[str, int]:
    """How many values there are of each source."""
    return {name: int((source == flag).sum()) for name, flag in SOURCE_FLAGS.items()}


def _open_checked(path: Path, recipe: Recipe) -> xr.Dataset:
    """A cube as dask arrays, checked chunk by chunk, also where its file holds each variable in one piece."""
    cube = open_dataset(path)
    if path.suffix == ".nc" and max(v.nbytes for v in cube.variables.values()) > BLOCK_BYTES:
        cube = open_dataset(path, chunks="auto")
    return in_order(cube_for(cube, recipe, str(path)))


def _open_lazily(path: Path, names: Sequence[str]) -> xr.Dataset:
    """Variables of a checked cube, read when they are asked for, by no other scheduler than the caller."""
    cube = in_standard_form(open_dataset(path, chunks=None))
    return in_order(in_standard_units(cube[[*names]]))


JOB, PREPARED, DATA, DONE = "job.json", "prepared.json", "data.zarr", "done"


FIRST, FIRST_DONE = "first.zarr", "first"


@dataclass(frozen=True)
class Job:
    """One file to fill and all that decides its output; `folder` holds the work in progress."""

    folder: Path
    cube: Path
    out: Path
    recipe: Recipe
    rows: int
    block_bytes: int
    grid: Grid
    input_sha256: str
    names: tuple[str, ...]

    @property
    def filler(self) -> bool:
        """Whether the model looks at neighbours, and so takes two passes."""
        return MODELS[self.recipe.model].kind == "filler"

    def pending(self, marks: str = DONE) -> list[int]:
        """Blocks that are not written yet, or whose marks in another folder are missing."""
        return [i for i in range(len(self.grid)) if not (self.folder / marks / f"{i}.json").is_file()]


def _job(source: xr.Dataset, cube: Path, out: Path, recipe: Recipe, rows: int, block_bytes: int) -> Job:
    """The job of a call, in a folder named by the input's content, the settings and the code."""
    from tssmnet.provenance import content_hash, library_hashes

    whole = MODELS[recipe.model].kind == "filler"  # its memory is no multiple of its input's
    daily = 4 * (1 + len(dynamic_names(source)))
    grid = cut(source, 2 * block_bytes * daily // CONTEXT_BYTES if whole else block_bytes)
    digest = file_hash(cube)
    names = tuple(map(str, source.data_vars))
    homes = {name: spec.where.partition(":")[0] for name, spec in MODELS.items()}
    code = library_hashes([__name__, homes[recipe.model]], without=homes.values())
    about = [digest, asdict(recipe), rows, block_bytes, asdict(grid), code]
    key = content_hash(json.loads(json.dumps(about, default=str)))[:12]
    return Job(out.with_name(f".{out.stem}.{key}.part"), cube, out, recipe, rows, block_bytes, grid, digest, names)


def file_hash(path: Path) -> str:
    """sha256 of a file, or of a folder's file names and their contents in order."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        digest.update(f"{name} {file.stat().st_size} ".encode())
        with file.open("rb") as content:
            while part := content.read(2**22):
                digest.update(part)
    return digest.hexdigest()


def _prepare(job: Job, source: xr.Dataset, progress: bool) -> None:
    """All that comes before the blocks: the fitted models, and an output of the final size that holds no value yet."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for name in (DATA, DONE, FIRST, FIRST_DONE):
        shutil.rmtree(job.folder / name, ignore_errors=True)
    cube = _open_lazily(job.cube, job.names)
    kept: list[str] | None = None
    beside: dict[str, Any] = {}
    if job.filler:
        _learn(cube, job, progress)
        beside = dict(patches.OUTPUTS)
        _create_first(job, source)
    elif MODELS[job.recipe.model].kind != "baseline":  # one is fitted to each block: it knows only its own pixels
        survey = _survey(cube, job, progress)
        kept = survey.kept
        fitted = _fit(cube, job, survey, progress)
        for name in ("own", "plain"):
            if (ready := getattr(fitted, name)) is not None:
                ready.save(job.folder / name)
    _create(job, source, beside)
    for name in (DONE, FIRST_DONE):
        (job.folder / name).mkdir()
    about = {"cube": str(job.cube), "recipe": asdict(job.recipe), "block_bytes": job.block_bytes}
    about |= {"grid": asdict(job.grid), "names": job.names}
    write_atomically(job.folder / JOB, json.dumps(about, default=str).encode())
    write_atomically(job.folder / PREPARED, json.dumps({"kept": kept}).encode())


@dataclass(frozen=True)
class Survey:
    """Observations of each pixel, whether pixels never observed are to be filled, descriptors that are kept."""

    counts: Index
    unseen: bool
    kept: list[str] | None
    whole: bool


def _survey(cube: xr.Dataset, job: Job, progress: bool) -> Survey:
    """One pass over the target, and over the forcing where a pixel was never observed."""
    chosen = job.recipe.features.get("descriptors")
    counts = np.zeros(math.prod(job.grid.sizes), np.int64)
    table = np.full((len(counts), len(NAMES)), np.nan) if chosen == "screened" else None
    unseen = False
    for index in bar(range(len(job.grid)), "looking through", progress=progress):
        here, part = job.grid.pixels(index), cube.isel(job.grid.region(index))
        values = to_pixels(part[["ssm"]].load())["ssm"].values
        counts[here] = np.isfinite(values).sum(0)
        if table is not None:
            table[here] = describe_series(values.T)
        if chosen and not unseen and not counts[here].all():
            pixels = _load(cube, job.grid, index)
            unseen = bool(predictable(pixels.isel(pixel=counts[here] == 0)).any())
    kept = None if table is None else list(screen_descriptors(table).kept)
    columns = len(_example(cube, job).names)
    size = 4 * columns * cube.sizes["time"] * len(counts)
    return Survey(counts, unseen, kept, whole=size <= WHOLE_BYTES and int(counts.sum()) <= job.rows)


def _learn(cube: xr.Dataset, job: Job, progress: bool) -> None:
    """The filler, from patches of the map."""
    counts = _survey(cube, job, progress).counts
    if not counts.any():
        raise TssmnetError(_nothing(job))
    numbers = patches.draw_patches(counts, _surroundings(cube), job.rows, job.recipe.seed)
    patches.learn_to(job.folder, load_pixels(cube, job.grid, numbers), numbers, job.recipe, progress)


def _surroundings(cube: xr.Dataset) -> patches.Surroundings:
    places = to_pixels(cube[[]].assign_coords(lat=cube["lat"], lon=cube["lon"]))
    return patches.Surroundings(places["lat"].values, places["lon"].values)


def _nothing(job: Job) -> str:
    return f"{job.cube.name}: ssm has no observation at all, so there is nothing to learn from"


def _example(cube: xr.Dataset, job: Job) -> Features:
    """Features of the cube's first pixel: which there are."""
    return _features(to_pixels(cube.isel(dict.fromkeys(job.grid.dims, slice(0, 1))).load()), job.recipe, None)


def _features(pixels: xr.Dataset, recipe: Recipe, kept: list[str] | None) -> Features:
    """Features of some pixels; a screening is that of the whole cube."""
    screened = recipe.features.get("descriptors") == "screened"
    options = {**recipe.features, "descriptors": "full"} if screened else recipe.features
    features = build_features(pixels, np.isfinite(pixels["ssm"].values), **options)
    if kept is None:
        return features
    groups = features.groups
    stay = [i for i, n in enumerate(features.static_names) if groups.get(n) != "descriptor" or n in kept]
    names = tuple(features.static_names[i] for i in stay)
    groups = {n: g for n, g in groups.items() if g != "descriptor" or n in kept}
    return Features(features.dynamic, features.static[:, stay], features.dynamic_names, names, groups)


def _fit(cube: xr.Dataset, job: Job, survey: Survey, progress: bool) -> Fitted:
    """The models, from all observations of a small cube or from rows drawn over a large one."""
    import inspect

    if not survey.counts.any():
        raise TssmnetError(_nothing(job))
    if survey.whole:
        pixels = to_pixels(cube.load())
        training = all_samples(pixels, _features(pixels, job.recipe, survey.kept))
    else:
        training = _drawn_samples(cube, job, survey, progress)
    # a network keeps its state after each epoch, so that a killed fit goes on too
    known = inspect.signature(job.recipe.make().fit_samples).parameters
    return Fitted(
        *(
            fit((X, training[1]), job.recipe, plain=False, progress=progress, **_checkpoint(known, job, name)).own
            for name, X in _training_sets(training[0], survey.unseen)
        )
    )


def _training_sets(X: Samples, unseen: bool) -> Iterator[tuple[str, Samples]]:
    """The samples, and if need be the same without descriptors, for each of the models of `Fitted`."""
    from tssmnet.reconstruction.fitted import without_descriptors

    yield "own", X
    if unseen:
        yield "plain", Samples(without_descriptors(X.features), X.time, X.pixel)


def _checkpoint(known: Mapping[str, Any], job: Job, name: str) -> dict[str, Any]:
    return {"checkpoint": job.folder / f"training-{name}"} if "checkpoint" in known else {}


def draw_pixels(counts: Index, rows: int, seed: int) -> tuple[Index, int]:
    """Which pixels give training rows, and how many each at most.

    Parameters
    ----------
    counts
        Observations of each pixel.
    rows
        Rows wanted in all.

    Returns
    -------
    Numbers of the pixels, sorted, one out of each of as many equal stretches of those ever observed; and rows of each.
    With no more than `rows` observations these are all pixels and all their days.
    """
    seen = np.flatnonzero(counts)
    if counts.sum() <= rows:
        return seen, int(counts.max())
    n = min(len(seen), -(-rows // ROWS_PER_PIXEL))
    edges = np.linspace(0, len(seen), n + 1).astype(np.int64)
    offset = np.random.default_rng(seed).random(n) * np.diff(edges)
    return seen[edges[:-1] + offset.astype(np.int64)], max(1, rows // n)


def _drawn_samples(cube: xr.Dataset, job: Job, survey: Survey, progress: bool) -> tuple[Samples, Float]:
    """Training rows as `Features` in which the k-th day of a pixel is its k-th drawn row, packed without gaps.

    Days stay in order, so that what a model holds out (stretches of a pixel's rows) is a stretch of time.
    """
    chosen, most = draw_pixels(survey.counts, job.rows, job.recipe.seed)
    target = np.full((most, len(chosen)), np.nan, np.float32)
    example = _example(cube, job)
    columns = len(example.names)
    dynamic = np.zeros((most, len(chosen), len(example.dynamic_names)), np.float32)
    static: Float | None = None
    last = example
    for index in bar(range(len(job.grid)), "drawing rows", progress=progress):
        numbers = job.grid.pixels(index)
        inside = np.flatnonzero(np.isin(numbers, chosen))
        if not inside.size:
            continue
        pixels = _load(cube, job.grid, index).isel(pixel=inside)
        place = np.searchsorted(chosen, numbers[inside])
        for piece in _pieces(pixels, columns, job.block_bytes):
            part = pixels.isel(pixel=piece)
            last = _features(part, job.recipe, survey.kept)
            static = np.zeros((len(chosen), len(last.static_names)), np.float32) if static is None else static
            static[place[piece]] = last.static
            for i, p in enumerate(place[piece]):
                days = _drawn_days(part["ssm"].values[:, i], most, [job.recipe.seed, int(chosen[p])])
                dynamic[: len(days), p] = last.dynamic[days, i]
                target[: len(days), p] = part["ssm"].values[days, i]
    assert static is not None
    features = Features(dynamic, static, last.dynamic_names, last.static_names, last.groups)
    known = np.isfinite(target)
    return features.where(known), target[known]


def _drawn_days(series: NDArray[Any], most: int, seed: list[int]) -> Index:
    """At most so many observed days of a series, in order."""
    days = np.flatnonzero(np.isfinite(series))
    if len(days) <= most:
        return days
    return np.sort(np.random.default_rng(seed).choice(days, most, replace=False))


def _create(job: Job, source: xr.Dataset, beside: Mapping[str, Any]) -> None:
    """The output without values: its variables with their final size, chunks and attributes, and its coordinates."""

    dims = ("time", *job.grid.dims)
    kinds: dict[str, Any] = {"ssm": source["ssm"].dtype, "ssm_model": np.float32, "source": np.int8}
    empty = {n: (dims, _zeros(job, source, d)) for n, d in (kinds | dict(beside)).items()}
    coords = source.coords if job.grid.dims != ("pixel",) else to_pixels(source[["ssm"]]).coords
    output = describe(xr.Dataset(empty, coords), source, job.recipe, job.input_sha256).drop_encoding()
    for name in output.coords:
        output[name].load()  # only what is in memory is written now
    _write_empty(output, job.folder / DATA, _output_chunks(source, job.grid))


def _create_first(job: Job, source: xr.Dataset) -> None:
    """Where the first pass of the filler leaves its values, without values."""
    dims = ("time", *job.grid.dims)
    empty = xr.Dataset({n: (dims, _zeros(job, source, np.float32)) for n in patches.FIRST})
    _write_empty(empty, job.folder / FIRST, _output_chunks(source, job.grid))


def _zeros(job: Job, source: xr.Dataset, kind: Any) -> Any:
    import dask.array as da

    shape = (source.sizes["time"], *job.grid.sizes)
    return da.zeros(shape, chunks=_output_chunks(source, job.grid), dtype=kind)


def _write_empty(output: xr.Dataset, path: Path, chunks: tuple[int, ...]) -> None:
    encoding = {n: {"chunks": chunks} for n in output.data_vars}
    with warnings.catch_warnings():  # zarr 3 warns of text variables, which have no final specification yet
        warnings.simplefilter("ignore")
        output.to_zarr(path, mode="w", compute=False, consolidated=False, zarr_format=3, encoding=encoding)


def _output_chunks(source: xr.Dataset, grid: Grid) -> tuple[int, ...]:
    """Chunks of the output: no block shares one with another, so that blocks are written side by side."""
    stored = _storage_chunks(source)
    space = [
        stored[d] if stored.get(d) and s % stored[d] == 0 else s for d, s in zip(grid.dims, grid.shape, strict=True)
    ]
    days = max(1, min(source.sizes["time"], CHUNK_BYTES // (4 * math.prod(space))))
    return (days, *space)


@dataclass(frozen=True)
class Ready:
    """What a process needs for any block of a job, opened once."""

    cube: xr.Dataset
    recipe: Recipe
    grid: Grid
    block_bytes: int
    kept: list[str] | None
    fitted: Fitted | None
    columns: int
    filler: patches.Filler | None = None
    beside: xr.Dataset | None = None


@lru_cache(maxsize=1)
def _ready(folder: str, made: int) -> Ready:
    """The job in a folder; `made` tells one from another that had the folder before."""
    path = Path(folder)
    about = json.loads((path / JOB).read_text(encoding="utf-8"))
    recipe = Recipe(**about["recipe"])
    grid = Grid(**{k: tuple(v) for k, v in about["grid"].items()})
    kept = json.loads((path / PREPARED).read_text(encoding="utf-8"))["kept"]
    models = [load_model(path / n, device=recipe.device) for n in ("own", "plain") if (path / n).is_dir()]
    cube = _open_lazily(Path(about["cube"]), about["names"])
    fitted = Fitted(*models) if models else None
    columns = len(models[0].names_) if models and hasattr(models[0], "names_") else 1 + 8 * len(dynamic_names(cube))
    learned = patches.learned_in(path)
    filler = None if learned is None else patches.Filler(learned, _surroundings(cube))
    beside = None if learned is None else _beside(cube, path)
    return Ready(cube, recipe, grid, about["block_bytes"], kept, fitted, columns, filler, beside)


def _beside(cube: xr.Dataset, folder: Path) -> xr.Dataset:
    """What the filler must know of the pixels around a block: observations, rain, and what the first pass gave."""
    first = xr.open_zarr(folder / FIRST, consolidated=False, chunks=None)
    rain = roles(cube).get("rain")
    return cube[["ssm", rain] if rain else ["ssm"]].assign({n: first[n] for n in patches.FIRST})


def first_block(folder: str, index: int) -> None:
    """Compute and keep the filler's first values of block `index` of the job in `folder`; a task as `fill_block`."""
    ready = _ready(folder, (Path(folder) / PREPARED).stat().st_mtime_ns)
    assert ready.filler is not None
    most = max(1, ready.block_bytes // (FILLER_BYTES * ready.cube.sizes["time"]))
    pixels = _load(ready.cube, ready.grid, index)
    _write_block(Path(folder) / FIRST, ready, index, ready.filler.first(pixels, ready.grid.pixels(index), most))
    write_atomically(Path(folder) / FIRST_DONE / f"{index}.json", b"{}")


def fill_block(folder: str, index: int) -> dict[str, int]:
    """Compute and write block `index` of the job in `folder`; a task that needs nothing but these two.

    Returns
    -------
    dict
        How many values there are of each source.
    """
    ready = _ready(folder, (Path(folder) / PREPARED).stat().st_mtime_ns)
    if ready.filler is not None and ready.beside is not None:
        readers = (partial(load_pixels, part, ready.grid) for part in (ready.cube, ready.beside))
        values = ready.filler.fill(ready.grid.pixels(index), *readers)
    else:
        values = _filled_block(ready, _load(ready.cube, ready.grid, index))
    _write_block(Path(folder) / DATA, ready, index, values)
    counts = source_counts(values["source"])
    write_atomically(Path(folder) / DONE / f"{index}.json", json.dumps(counts).encode())
    return counts


def _write_block(path: Path, ready: Ready, index: int, values: Mapping[str, NDArray[Any]]) -> None:
    """Arrays (time, pixel) of block `index` into their place."""
    import zarr

    region, root = ready.grid.region(index), zarr.open_group(path, mode="r+")
    shape = (ready.cube.sizes["time"], *(s.stop - s.start for s in region.values()))
    for name, array in values.items():
        target: Any = root[name]
        target[(slice(None), *region.values())] = array.reshape(shape)


def _filled_block(ready: Ready, pixels: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Output arrays (time, pixel) of a block, by name; features are built for a piece of its pixels at a time."""
    alive = np.flatnonzero(predictable(pixels).any(0) | np.isfinite(pixels["ssm"].values).any(0))
    out = _empty(pixels)
    if not alive.size:
        return out
    inside = pixels if alive.size == pixels.sizes["pixel"] else pixels.isel(pixel=alive)
    if ready.fitted is None:
        parts = iter([(alive, _by_baseline(inside, ready.recipe))])
    else:
        parts = _by_pieces(inside, alive, ready, ready.fitted)
    for place, filled in parts:
        for name, array in out.items():
            array[:, place] = filled[name].values if name in filled else array[:, place]
    return out


def _by_pieces(inside: xr.Dataset, alive: Index, ready: Ready, fitted: Fitted) -> Iterator[tuple[Index, xr.Dataset]]:
    """Pixels of a block and what they are filled with, a piece at a time."""
    for piece in _pieces(inside, ready.columns, ready.block_bytes):
        part = inside.isel(pixel=piece)
        yield alive[piece], fill(part, _features(part, ready.recipe, ready.kept), fitted)


def _by_baseline(pixels: xr.Dataset, recipe: Recipe) -> xr.Dataset:
    """Pixels filled by a baseline that is fitted to them; empty where they have no observation."""
    features = features_of(pixels, recipe)
    training = all_samples(pixels, features)
    return (
        fill(pixels, features, fit(training, recipe, plain=False, progress=False)) if len(training[1]) else xr.Dataset()
    )


def _empty(pixels: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Output arrays of pixels of which nothing is known."""
    shape = pixels["ssm"].shape
    return {
        "ssm": np.full(shape, np.nan, pixels["ssm"].dtype),
        "ssm_model": np.full(shape, np.nan, np.float32),
        "source": np.full(shape, SOURCE_FLAGS["outside"], np.int8),
    }


def _run(job: Job, scheduler: str, progress: bool) -> None:
    """Compute the blocks that are not written yet, here or on a cluster."""
    with open_cluster(scheduler) as client:
        if job.filler:
            _do_blocks(first_block, "first values", job.pending(FIRST_DONE), job, client, progress)
        _do_blocks(fill_block, "filling", job.pending(), job, client, progress)


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


def _counts(job: Job) -> dict[str, int]:
    """Values of each source, over all blocks."""
    parts = [json.loads((job.folder / DONE / f"{i}.json").read_text(encoding="utf-8")) for i in range(len(job.grid))]
    return {name: sum(part[name] for part in parts) for name in SOURCE_FLAGS}


def _place(job: Job) -> None:
    """Give the output its name, as zarr or rewritten as netCDF, and take the work in progress away."""
    with placing(job.out) as temporary:
        if job.out.suffix == ".zarr":
            os.replace(job.folder / DATA, temporary)
        else:
            _to_netcdf(job.folder / DATA, temporary)
    shutil.rmtree(job.folder, ignore_errors=True)


def _to_netcdf(data: Path, path: Path) -> None:
    """Rewrite zarr as compressed netCDF, chunk by chunk in order, so that the same values give the same bytes."""
    import dask

    output = xr.open_zarr(data, consolidated=False)
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
            "chunksizes": tuple(min(c, s) for c, s in zip(chunks[n], v.shape, strict=True)),
        }
        for n, v in output.data_vars.items()
    }
    encoding |= {str(n): {"_FillValue": None} for n, v in output.coords.items() if v.dtype.kind == "f"}
    encoding["time"] = {"units": "days since 1970-01-01", "calendar": "standard", "dtype": "int32"}
    with dask.config.set(scheduler="synchronous"):
        output.to_netcdf(path, engine="h5netcdf", encoding=encoding)
