"""Many daily granules into one chunked zarr record: resumable, extendable, and a bad granule stops nothing.

The time axis is cut into chunks. A chunk is read, written and then entered in a journal beside the record (one small
file per chunk: which granules went in, which were refused and why). A run does the chunks whose journal is not what it
would be now: all at first, the unfinished after a kill, the last ones when a month was added, those of a granule got
anew. Chunks are dask tasks: threads by default, a cluster where a ``dask.distributed`` client is active.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.sources.faults import SourceError

Path_ = str | PathLike[str]
Read = Callable[[Path], xr.Dataset]
Day = np.datetime64


@dataclass(frozen=True)
class RecordReport:
    """What a record holds.

    Attributes
    ----------
    days
        Length of the time axis.
    done, kept
        Chunks written in this run, and chunks that were right already.
    missing
        Days without a granule.
    quarantined
        Granule to reason, for those that could not be read; their days are empty.
    """

    days: int
    done: int
    kept: int
    missing: tuple[str, ...]
    quarantined: Mapping[str, str]

    def __str__(self) -> str:
        lines = [
            f"{self.days} days; {self.done} chunks written, {self.kept} kept; {len(self.missing)} days without granule"
        ]
        return "\n".join(lines + [f"  quarantined: {name}: {why}" for name, why in self.quarantined.items()])


def write_record(
    granules: Mapping[Day, Path_], read: Read, out: Path_, first: str, last: str, days_per_chunk: int = 32
) -> RecordReport:
    """Write or bring up to date the record of all days from `first` to `last`.

    Parameters
    ----------
    granules
        Day to file; days without a file stay empty.
    read
        Gives the dataset of one day, dims (time 1, y, x), from a file; for example
        ``functools.partial(smap.read_granule, bounds=...)``. Must be picklable for a cluster.
    out
        The zarr folder; its journal is kept in ``<out>.journal``.
    first, last
        Days, ISO form. `last` may lie later than in an earlier run: the record grows.
    days_per_chunk
        Days that are held in memory at once, per worker.

    Raises
    ------
    SourceError
        If no granule can be read at all, or the record there begins on another day or has other chunks.
    """
    import dask

    out, days = Path(out), np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    files = {d.astype("datetime64[D]"): Path(p) for d, p in granules.items()}
    chunks = [days[i : i + days_per_chunk] for i in range(0, len(days), days_per_chunk)]
    journal = out.with_name(out.name + ".journal")
    journal.mkdir(parents=True, exist_ok=True)
    if not (out / "zarr.json").exists():
        _create(_template(files, days, read), out, days, days_per_chunk)
    _grow(out, days, days_per_chunk)
    stale = [i for i, c in enumerate(chunks) if _entered(journal, i).get("granules") != _granules(c, files)]
    dask.compute(*[dask.delayed(_fill)(out, journal, i, chunks[i], files, read, days_per_chunk) for i in stale])
    refused = {k: v for i in range(len(chunks)) for k, v in _entered(journal, i)["quarantined"].items()}
    missing = tuple(str(d) for d in days if d not in files)
    return RecordReport(len(days), len(stale), len(chunks) - len(stale), missing, refused)


def _template(files: Mapping[Day, Path], days: np.ndarray, read: Read) -> xr.Dataset:
    """The first day that can be read: variables, grid and attributes of the record."""
    faults = []
    for day in days:
        if day in files:
            try:
                return read(files[day])
            except SourceError as error:
                faults.append(str(error))
    raise SourceError(f"none of {len(faults)} granules can be read" + (f"; the first: {faults[0]}" if faults else ""))


def _create(template: xr.Dataset, out: Path, days: np.ndarray, size: int) -> None:
    """An empty record, put in place whole."""
    import dask.array as da

    def empty(field: xr.DataArray) -> xr.Variable:
        shape = (len(days), *field.shape[1:])
        values = da.full(shape, np.nan, np.float32, chunks=(size, *field.shape[1:]))
        return xr.Variable(field.dims, values, field.attrs)

    time = xr.Variable("time", days.astype("datetime64[ns]"), {"standard_name": "time"})
    coords = {n: c for n, c in template.coords.items() if "time" not in c.dims}
    record = xr.Dataset({n: empty(v) for n, v in template.items()}, coords | {"time": time})
    record.attrs = {k: v for k, v in template.attrs.items() if k != "source"}
    encoding: dict[str, Any] = {"time": {"units": f"days since {days[0]}", "dtype": "int64", "chunks": (1 << 16,)}}
    encoding |= {str(n): {"chunks": (size, *template[n].shape[1:]), "_FillValue": np.nan} for n in template}
    part = out.with_name(out.name + ".part")
    record.to_zarr(part, mode="w", compute=False, encoding=encoding, consolidated=False)
    os.replace(part, out)


def _grow(out: Path, days: np.ndarray, size: int) -> None:
    """Lengthen the time axis of a record that ends earlier; its chunks keep their places."""
    import zarr

    group: Any = zarr.open_group(out, mode="r+")
    time = group["time"]
    begins = str(time.attrs["units"]).removeprefix("days since ")
    fields = [a for _, a in group.arrays() if a.ndim == 3]
    if begins != str(days[0]) or any(a.chunks[0] != size for a in fields) or time.shape[0] > len(days):
        raise SourceError(
            f"{out} begins on {begins}, holds {time.shape[0]} days in chunks of {fields[0].chunks[0]}; asked for are "
            f"{len(days)} days from {days[0]} in chunks of {size}. Ask for the same, or remove it and {out}.journal"
        )
    if time.shape[0] < len(days):
        for a in fields:
            a.resize((len(days), *a.shape[1:]))
        time.resize((len(days),))
        time[:] = np.arange(len(days))


def _granules(days: np.ndarray, files: Mapping[Day, Path]) -> dict[str, list[Any]]:
    """What should go into a chunk: per day the file's name, size and time of change."""
    known = {str(d): files[d] for d in days if d in files}
    stats = {d: (p.name, p.stat()) for d, p in known.items() if p.is_file()}
    return {str(d): list(_mark(stats, str(d))) for d in days}


def _mark(stats: Mapping[str, tuple[str, os.stat_result]], day: str) -> tuple[Any, ...]:
    if day not in stats:
        return ()
    name, stat = stats[day]
    return name, stat.st_size, stat.st_mtime_ns


def _entered(journal: Path, number: int) -> dict[str, Any]:
    path = journal / f"{number:05d}.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def _fill(
    out: Path, journal: Path, number: int, days: np.ndarray, files: Mapping[Day, Path], read: Read, size: int
) -> None:
    """Read the days of one chunk, write it, then enter it in the journal."""
    import zarr

    granules, refused = _granules(days, files), {}
    group: Any = zarr.open_group(out, mode="r+")
    fields = {name: a for name, a in group.arrays() if a.ndim == 3}
    values = {name: np.full((len(days), *a.shape[1:]), np.nan, np.float32) for name, a in fields.items()}
    for i, day in enumerate(days):
        if granules[str(day)]:
            try:
                one = read(files[day])
                for name, into in values.items():
                    into[i] = one[name].values[0]
            except (SourceError, ValueError, KeyError) as error:
                refused[files[day].name] = f"{type(error).__name__}: {error}"
                for into in values.values():
                    into[i] = np.nan
    start = number * size
    for name, a in fields.items():
        a[start : start + len(days)] = values[name]
    path = journal / f"{number:05d}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"granules": granules, "quarantined": refused}, indent=1))
    os.replace(part, path)
