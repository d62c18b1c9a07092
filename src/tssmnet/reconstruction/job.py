"""Work in progress on one file: what decides its output, what is done, and whether what lies there is still sound.

A job's folder lies hidden beside the output and is named by all that decides the output: the input by its place and
its content, the output's name, the recipe and the code. What comes before the blocks is noted with the sum of each of
its files, and a block's mark holds the sum of the values that were written. So what a kill, a full disk or a bad sector
has left is seen, and only that is made again.
"""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.disk import differences, file_sum, made_here, remove, sums, write_atomically
from tssmnet.errors import TssmnetError
from tssmnet.progress import say
from tssmnet.reconstruction.blocks import ALL_DAYS, Days, Grid
from tssmnet.reconstruction.fitted import Recipe

JOB, PREPARED, MODEL = "job.json", "prepared.json", "model"
DATA, DONE = "data.zarr", "done"
RECORD = "growth"
"""Group of a record that grows, in which its model lies and what its days were filled from."""
FIRST, FIRST_DONE = "first.zarr", "first"


@dataclass(frozen=True)
class Job:
    """One file to fill and all that decides its output; `folder` holds the work in progress.

    `order` says where along a dim of space of the cube the places are, as they are wanted; empty where none is moved.
    """

    folder: Path
    cube: Path
    out: Path
    recipe: Recipe
    rows: int
    block_bytes: int
    grid: Grid
    names: tuple[str, ...]
    input_sha256: str
    key: str
    days: Days = ALL_DAYS
    order: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def to_fill(self) -> slice:
        """The days of the cube that are to be filled."""
        return slice(self.days.start, None)

    @property
    def looked_at(self) -> slice:
        """The days of the cube that these are filled from."""
        return slice(self.days.begin, None)

    def pending(self, marks: str = DONE, data: str = DATA) -> list[int]:
        """Blocks that are not written yet, or whose values are not those that their mark speaks of."""
        return [i for i in range(len(self.grid)) if not self._done(i, marks, data)]

    def _done(self, index: int, marks: str, data: str) -> bool:
        try:
            noted = json.loads(mark_of(self.folder, marks, index).read_text(encoding="utf-8"))
            found = stored_sum(self.folder / data, self.grid, index)
            fault = "" if noted["values"] == found else "its values are others"
        except FileNotFoundError:
            return False
        except Exception as error:  # zarr raises many kinds on a damaged chunk
            fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        if fault:
            say(f"{self.folder.name}: block {index} is damaged ({fault}); it is made again")
        return not fault

    def require_same_input(self) -> None:
        """Raise an error if the input is no longer what it was when the work began."""
        if content_sum(self.cube) != self.input_sha256:
            remove(self.folder)
            raise TssmnetError(f"{self.cube} was changed while it was being filled; start again")


def mark_of(folder: Path, marks: str, index: int) -> Path:
    """Where it is noted that a block is written."""
    return folder / marks / f"{index}.json"


def content_sum(path: Path) -> str:
    """sha256 of a file, or of the names and sums of the files in a folder."""
    if not path.is_dir():
        return file_sum(path)
    return hashlib.sha256(json.dumps(sums(path), sort_keys=True).encode()).hexdigest()


def job_of(
    names: tuple[str, ...],
    grid: Grid,
    cube: Path,
    out: Path,
    recipe: Recipe,
    rows: int,
    block_bytes: int,
    code: Mapping[str, str],
    days: Days,
    order: Mapping[str, list[int]],
    base: str,
) -> Job:
    """The job of a call, in a folder named by the input's place and content, the settings, the code and its base."""
    from tssmnet.provenance import content_hash

    digest = content_sum(cube)
    about = [
        str(cube),
        digest,
        out.name,
        asdict(recipe),
        rows,
        block_bytes,
        asdict(grid),
        names,
        code,
        asdict(days),
        base,
    ]
    key = content_hash(json.loads(json.dumps(about, default=str)))[:16]
    return Job(_folder(out, key), cube, out, recipe, rows, block_bytes, grid, names, digest, key, days, order)


def _folder(out: Path, key: str) -> Path:
    return out.with_name(f".{out.name}.{key}.work")


def finish(out: Path) -> None:
    """Take away the work in progress of every job on an output, which is held, so that nobody is at them."""
    for left in glob.glob(glob.escape(str(_folder(out, "@"))).replace("@", "*")):
        shutil.rmtree(left, ignore_errors=True)


def is_done(job: Job) -> bool:
    """Whether the output that stands there is the one of this job."""
    if not made_here(job.out):
        return False
    from tssmnet.cube import open_dataset

    with open_dataset(job.out) as filled:
        return bool(filled.attrs.get("tssmnet_job") == job.key)


def note_prepared(job: Job) -> None:
    """Note that all before the blocks is done, with the sum of each file that it has left."""
    write_atomically(job.folder / PREPARED, json.dumps({"files": _prepared_files(job)}))


def is_prepared(job: Job) -> bool:
    """Whether all before the blocks is done and sound; what is damaged is said."""
    path = job.folder / PREPARED
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))["files"]
        present = {name: file_sum(job.folder / name) for name in noted if (job.folder / name).is_file()}
        found = differences(present, noted)
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        found = [f"{PREPARED} cannot be read"]
    if found:
        say(f"{job.folder.name}: {found[0]}, so the work begun there is done again")
    return not found


def _prepared_files(job: Job) -> dict[str, str]:
    """Sums of the model, of the job and of what the arrays hold before any block: metadata and coordinates."""
    names = [p for p in job.folder.iterdir() if p.name in (JOB, MODEL, DATA, FIRST)]
    found: dict[str, str] = {}
    for path in names:
        below = sums(path) if path.is_dir() else {"": file_sum(path)}
        found |= {f"{path.name}/{name}".rstrip("/"): digest for name, digest in below.items()}
    return found


def values_sum(values: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of some arrays by name."""
    digest = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def write_block(path: Path, grid: Grid, index: int, values: Mapping[str, NDArray[Any]]) -> str:
    """Put arrays (time, pixel) of a block into their place in a zarr store; returns their sum.

    The chunks that were there are taken away first: zarr reads a chunk before it changes a part of it, and what lies
    there may be damaged.
    """
    import zarr

    region, placed = grid.region(index), {}
    root: Any = zarr.open_group(path, mode="r+")
    for name, array in values.items():
        target = root[name].with_config({"write_empty_chunks": True, "order": "C"})
        for chunk in _chunks(path / name, target, [*region.values()]):
            chunk.unlink(missing_ok=True)
        shape = (target.shape[0], *(s.stop - s.start for s in region.values()))
        placed[name] = array.reshape(shape).astype(target.dtype, copy=False)
        target[(slice(None), *region.values())] = placed[name]
    return values_sum(placed)


def _chunks(folder: Path, array: Any, region: Sequence[slice]) -> Iterator[Path]:
    """The files of the chunks that a block covers; no other block has a part in them."""
    spans = [range(-(-array.shape[0] // array.chunks[0]))]
    spans += [range(s.start // c, (s.stop - 1) // c + 1) for s, c in zip(region, array.chunks[1:], strict=True)]
    for at in product(*spans):
        yield folder.joinpath("c", *map(str, at))


def stored_sum(path: Path, grid: Grid, index: int) -> str:
    """The sum of the values of a block as they are stored, by which `write_block` marks it.

    Raises
    ------
    TssmnetError
        If a chunk is lost; zarr would read it as empty.
    """
    import zarr

    region, values = [*grid.region(index).values()], {}
    root: Any = zarr.open_group(path, mode="r")
    for name, array in root.arrays():
        if array.ndim == 1 + len(region) and array.shape[1:] == grid.sizes:
            if not all(chunk.is_file() for chunk in _chunks(path / name, array, region)):
                raise TssmnetError(f"a chunk of {name} is lost")
            values[name] = array[(slice(None), *region)]
    return values_sum(values)
