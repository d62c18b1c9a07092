"""Days into one chunked zarr record: resumable, extendable, and a bad granule stops nothing.

The time axis is cut into chunks. A chunk is made, written and then entered in a journal beside the record (one small
file per chunk: what went in, which granules were refused and why). A run does the chunks whose journal is not what it
would be now: all at first, the unfinished after a kill, the last ones when a month was added, those of a granule that
was fetched again. Chunks are dask tasks: threads by default, a cluster where a ``dask.distributed`` client is active.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube import consolidate, write_zarr
from tssmnet.data.readers.faults import SourceError
from tssmnet.disk import differences, one_writer, placing, sums, write_atomically
from tssmnet.progress import say

Path_ = str | PathLike[str]
Files = tuple[Path, ...]
Read = Callable[[Any], xr.Dataset]
Day = np.datetime64
Made = tuple[Mapping[str, Any], dict[str, str]]
Make = Callable[[], Made]

REFUSED = "refused"
"""Attribute in which a reader of several files names those it left out: file name to reason."""


@dataclass(frozen=True)
class RecordReport:
    """What a record holds."""

    days: int  # length of the time axis
    # done, kept: chunks written in this run, and chunks that were right already
    done: int
    kept: int
    missing: tuple[str, ...]  # days without a granule
    quarantined: Mapping[str, str]  # granule to reason, for those that could not be read; their days are empty

    def __str__(self) -> str:
        lines = [
            f"{self.days} days; {self.done} chunks written, {self.kept} kept; {len(self.missing)} days without granule"
        ]
        return "\n".join(lines + [f"  quarantined: {name}: {why}" for name, why in self.quarantined.items()])


def write_record(
    granules: Mapping[Day, Path_ | Sequence[Path_]],
    read: Read,
    out: Path_,
    first: str,
    last: str,
    days_per_chunk: int = 32,
    rules: Mapping[str, Any] | None = None,
) -> RecordReport:
    """Write or bring up to date the record of all days from `first` to `last`.

    Parameters
    ----------
    granules
        Day to file, or to the several files of a day; days without a file stay empty.
    read
        Gives the dataset of one day, dims (time 1, y, x), from a file (from a tuple of files where a day has several);
        for example ``functools.partial(smap.read_granule, bounds=...)``. Must be picklable for a cluster. A reader of
        several files names those it had to leave out in the attribute `REFUSED`.
    out
        The zarr folder; its journal is kept in ``<out>.journal``.
    first, last
        Days, ISO form. `last` may lie later than in an earlier run: the record grows.
    days_per_chunk
        Days that are held in memory at once, per worker.
    rules
        What else decides the content, as JSON; other rules make every chunk anew.

    Raises
    ------
    SourceError
        If no granule can be read at all, or the record there begins on another day or has other chunks.
    """
    days = days_between(first, last)
    if {isinstance(p, str | PathLike) for p in granules.values()} == {True, False}:
        raise SourceError("a record takes one file a day, or a list of files for every day")
    files = {d.astype("datetime64[D]"): _paths(p) for d, p in granules.items()}
    if any(isinstance(p, str | PathLike) for p in granules.values()):
        read = partial(_read_one, read)
    chunks = chunked(days, days_per_chunk)
    more = {"rules": dict(rules)} if rules else {}
    keys = [{"granules": _granules(c, files), **more} for c in chunks]
    makes = [partial(_read_days, c, {d: files[d] for d in c if d in files}, read) for c in chunks]
    done, refused = write_chunks(out, days, days_per_chunk, partial(_template, files, days, read), keys, makes)
    missing = tuple(str(d) for d in days if d not in files)
    return RecordReport(len(days), done, len(chunks) - done, missing, refused)


def days_between(first: str, last: str) -> np.ndarray:
    """All days from `first` to `last`, both included."""
    return np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)


def chunked(days: np.ndarray, size: int) -> list[np.ndarray]:
    """The days in pieces of `size`; the last may be shorter."""
    return [days[i : i + size] for i in range(0, len(days), size)]


def write_chunks(
    out: Path_,
    days: np.ndarray,
    size: int,
    template: Callable[[], xr.Dataset],
    keys: Sequence[Mapping[str, Any]],
    makes: Sequence[Make],
    space_chunk: int = 1 << 16,
) -> tuple[int, dict[str, str]]:
    """Write those chunks of a record whose journal entry is not their key; enter the key after each.

    Parameters
    ----------
    out
        The zarr folder; its journal is kept in ``<out>.journal``.
    days, size
        The time axis and how many of its days make a chunk.
    template
        Gives a dataset of one day: variables, grid and attributes of the record; asked for only if there is none yet.
    keys
        Per chunk what decides its content, as JSON.
    makes
        Per chunk a call that gives its arrays (day, y, x) by variable, and what had to be left out by file name. Must
        be picklable for a cluster.
    space_chunk
        Longest edge of the zarr chunks in y and x.

    Returns
    -------
    done, refused
        How many chunks were written now; all that any chunk had to leave out.
    """
    import dask

    out = Path(out)
    journal = out.with_name(out.name + ".journal")
    with one_writer(out):
        if not (out / "zarr.json").exists():
            model = template()
            shutil.rmtree(
                journal, ignore_errors=True
            )  # of a record that was removed: it speaks of no chunk of this one
            _create(model, out, days, size, space_chunk)
        journal.mkdir(parents=True, exist_ok=True)
        _grow(out, days, size)
        as_read = [json.loads(json.dumps(key)) for key in keys]
        stale = [i for i, key in enumerate(as_read) if _is_stale(out, journal, i, key)]
        if stale:
            consolidate(out, whole=False)
        dask.compute(*[dask.delayed(_fill)(out, journal, i, as_read[i], makes[i], size) for i in stale])
        consolidate(out, whole=True)
    return len(stale), {k: v for i in range(len(keys)) for k, v in _entered(journal, i)["quarantined"].items()}


def _is_stale(out: Path, journal: Path, number: int, key: Mapping[str, Any]) -> bool:
    """Whether a chunk was made of something else, or its files are not those that were written, which is said."""
    entry = _entered(journal, number)
    noted = {n: entry.pop(n, {}) for n in ("quarantined", "files")}["files"]
    if entry != key:
        return True
    if found := differences(_chunk_sums(out, number), noted):
        say(f"{out.name}: chunk {number} is damaged ({found[0]}); it is made again")
    return bool(found)


def _chunk_sums(out: Path, number: int) -> dict[str, str]:
    """sha256 of each file of a chunk, by variable and name."""
    folders = [(name, out / name / "c" / str(number)) for name in _daily(out)]
    return {f"{name}/{file}": digest for name, folder in folders for file, digest in sums(folder).items()}


def _daily(out: Path) -> list[str]:
    """Names of the variables of a record that change from day to day."""
    import zarr

    group: Any = zarr.open_group(out, mode="r", use_consolidated=False)
    return sorted(name for name, a in group.arrays() if a.ndim == 3)


def journal_entries(out: Path_) -> list[dict[str, Any]]:
    """What the chunks of a record were made of, in their order."""
    journal = Path(out).with_name(Path(out).name + ".journal")
    return [json.loads(p.read_text()) for p in sorted(journal.glob("[0-9]*.json"))]


def _paths(given: Path_ | Sequence[Path_]) -> Files:
    return (Path(given),) if isinstance(given, str | PathLike) else tuple(Path(p) for p in given)


def _read_one(read: Read, paths: Files) -> xr.Dataset:
    return read(paths[0])


def _template(files: Mapping[Day, Files], days: np.ndarray, read: Read) -> xr.Dataset:
    """The first day that can be read: variables, grid and attributes of the record."""
    faults = []
    for day in days:
        if day in files:
            try:
                return read(files[day])
            except SourceError as error:
                faults.append(str(error))
    raise SourceError(f"none of {len(faults)} granules can be read" + (f"; the first: {faults[0]}" if faults else ""))


def _read_days(days: np.ndarray, files: Mapping[Day, Files], read: Read) -> Made:
    """The days of one chunk; None for a day without a readable granule."""
    fields: dict[str, list[Any]] = {}
    refused: dict[str, str] = {}
    for i, day in enumerate(days):
        if not any(p.is_file() for p in files.get(day, ())):
            continue
        try:
            one = read(files[day])
            refused |= one.attrs.get(REFUSED, {})
            for name, field in one.items():
                fields.setdefault(str(name), [None] * len(days))[i] = field.values[0]
        except (SourceError, ValueError, KeyError) as error:
            refused |= {p.name: f"{type(error).__name__}: {error}" for p in files[day]}
    return fields, refused


def _create(template: xr.Dataset, out: Path, days: np.ndarray, size: int, space_chunk: int) -> None:
    """An empty record, put in place whole; what has no time is written with it."""
    import dask.array as da

    def empty(field: xr.DataArray) -> xr.Variable:
        shape = (len(days), *field.shape[1:])
        values = da.full(shape, np.nan, dtype=np.float32, chunks=(size, *field.shape[1:]))
        return xr.Variable(field.dims, values, field.attrs)

    time = xr.Variable("time", days.astype("datetime64[ns]"), {"standard_name": "time"})
    fixed = sorted(str(n) for n, c in template.coords.items() if "time" not in c.dims)
    coords = {n: template[n].variable for n in fixed}
    dynamic = {n: v for n, v in template.items() if "time" in v.dims}
    static = {n: v.variable for n, v in template.items() if "time" not in v.dims}
    record = xr.Dataset({n: empty(v) for n, v in dynamic.items()} | static, coords | {"time": time})
    record.attrs = {k: v for k, v in template.attrs.items() if k not in ("source", REFUSED)}
    encoding: dict[str, Any] = {"time": {"units": f"days since {days[0]}", "dtype": "int64", "chunks": (1 << 16,)}}
    for name, field in dynamic.items():
        space = tuple(min(n, space_chunk) for n in field.shape[1:])
        encoding[str(name)] = {"chunks": (size, *space), "_FillValue": np.float32("nan")}
    with placing(out) as part:
        write_zarr(record.drop_encoding(), part, encoding, compute=False)
        consolidate(part, whole=False)


def _grow(out: Path, days: np.ndarray, size: int) -> None:
    """Lengthen the time axis of a record that ends earlier; its chunks keep their places."""
    import zarr

    group: Any = zarr.open_group(out, mode="r+", use_consolidated=False)
    time = group["time"]
    begins = str(time.attrs["units"]).removeprefix("days since ")
    fields = [a for _, a in group.arrays() if a.ndim == 3]
    if begins != str(days[0]) or any(a.chunks[0] != size for a in fields) or time.shape[0] > len(days):
        raise SourceError(
            f"{out} begins on {begins}, holds {time.shape[0]} days in chunks of {fields[0].chunks[0]}; asked for are "
            f"{len(days)} days from {days[0]} in chunks of {size}. Ask for the same, or remove it and {out}.journal"
        )
    if time.shape[0] < len(days):
        consolidate(out, whole=False)
    if time.shape[0] < len(days) or int(time[-1]) != len(days) - 1:  # or a kill came between the next two lines
        for a in fields:
            a.resize((len(days), *a.shape[1:]))
        time.resize((len(days),))
        time[:] = np.arange(len(days))


def _granules(days: np.ndarray, files: Mapping[Day, Files]) -> dict[str, list[Any]]:
    """What should go into a chunk: per day each file's name, size and time of change."""
    return {str(d): [mark for p in files.get(d, ()) for mark in file_mark(p)] for d in days}


def file_mark(path: Path) -> list[Any]:
    """What a file is told by: name, bytes, time of its last change; nothing where there is none."""
    if not path.is_file():
        return []
    stat = path.stat()
    return [path.name, stat.st_size, stat.st_mtime_ns]


def _entered(journal: Path, number: int) -> dict[str, Any]:
    """What a chunk was made of; nothing if it was not made, or that cannot be read."""
    try:
        return dict(json.loads((journal / f"{number:05d}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _fill(out: Path, journal: Path, number: int, key: Mapping[str, Any], make: Make, size: int) -> None:
    """Make one chunk, write it, then enter it in the journal.

    What was there is taken away first: zarr reads a chunk before it changes a part of it.
    """
    import zarr

    made, refused = make()
    entry = journal / f"{number:05d}.json"
    entry.unlink(missing_ok=True)
    group: Any = zarr.open_group(out, mode="r+", use_consolidated=False)
    start = number * size
    for name in _daily(out):
        shutil.rmtree(out / name / "c" / str(number), ignore_errors=True)
        array = group[name].with_config({"write_empty_chunks": True, "order": "C"})
        days = min(size, array.shape[0] - start)
        array[start : start + days] = _stacked(made.get(name), (days, *array.shape[1:]))
    about = {**key, "quarantined": refused, "files": _chunk_sums(out, number)}
    write_atomically(entry, json.dumps(about, indent=1))


def _stacked(fields: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Days on one axis, NaN where there is none."""
    values = np.full(shape, np.nan, np.float32)
    for i, field in enumerate(() if fields is None else fields):
        if field is not None:
            values[i] = field
    return values
