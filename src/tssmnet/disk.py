"""What lies on disk: results appear whole or not at all, have one writer at a time, and are known again when read.

A result takes its name in one step, so a kill at any moment leaves what stood there or what was to stand there. While
somebody writes, a lock file lies beside the name; the system lets go of it when its process dies, and the next writer
sweeps up what the dead one left. What this library wrote is told from what a user put there by what stands in it, and
nothing else is ever replaced.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tssmnet.errors import TssmnetError
from tssmnet.progress import say

Path_ = str | os.PathLike[str]

SUFFIXES = (".zarr", ".nc")
"""How names of cubes end."""

ZARR_FILES = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata", ".zarray"}
"""Files of which one lies at the root of a zarr store, in either of its formats."""

MADE_HERE = ("tssmnet_version", "tssmnet_model")
"""Attributes by which a result of this library is known."""


class OutputError(TssmnetError):
    """A place where no result can go: it holds something that this library did not write, or it is the input."""


def check_output(path: Path_, *inputs: Path_) -> None:
    """Raise an error if a filled cube cannot go to `path`; called before any work is done.

    Parameters
    ----------
    path
        Absent, or a result of this library.
    *inputs
        What the result is made from: `path` may be none of them, lie in none and hold none, by whatever name.

    Raises
    ------
    OutputError
        Naming what stands in the way.
    """
    if Path(path).suffix not in SUFFIXES:
        raise OutputError(f"{path}: the name must end in .zarr or .nc, it ends in {Path(path).suffix!r}")
    place = real(path)
    if place.suffix != Path(path).suffix:
        raise OutputError(f"{path} is a link to {place}, whose name ends in {place.suffix!r}; name a place directly")
    for source in inputs:
        _require_apart(path, source)
    for folder in place.parents:
        if folder.is_file() or any((folder / name).is_file() for name in ZARR_FILES):
            raise OutputError(f"{path} would lie inside {folder}, which is data itself; give another name")
    if os.path.lexists(place) and not made_here(place):
        raise OutputError(
            f"{path} is there already and is no filled cube that this program wrote; "
            "give another name, or move it away yourself"
        )


def real(path: Path_) -> Path:
    """The place that a path stands for, links followed."""
    return Path(os.path.realpath(Path(path).expanduser()))


def _require_apart(path: Path_, source: Path_) -> None:
    out, given = real(path), real(source)
    if _same(out, given):
        raise OutputError(f"{path}: the result would overwrite its own input; give another name")
    if any(_same(folder, given) for folder in out.parents):
        raise OutputError(f"{path} would lie inside its own input {source}; give another name")
    if any(_same(folder, out) for folder in given.parents):
        raise OutputError(f"{path} holds the input {source}, which would be lost; give another name")


def _same(one: Path, other: Path) -> bool:
    """Whether two names are one file or folder, also by a hard link or on a disk that knows no upper case."""
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False


def made_here(path: Path) -> bool:
    """Whether a filled cube of this library, and nothing else, stands at `path`."""
    if path.is_dir():
        return path.suffix == ".zarr" and _only_zarr(path) and _has(_zarr_attributes(path))
    try:
        import h5py

        with h5py.File(path, "r") as file:
            return _has(file.attrs)
    except OSError:
        return False


def _has(attributes: Mapping[str, Any]) -> bool:
    return all(name in attributes for name in MADE_HERE)


def _zarr_attributes(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _only_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store of arrays and holds no file of anybody else."""
    entries = [*path.iterdir()]
    known = [e for e in entries if e.name in ZARR_FILES]
    arrays = [e for e in entries if e.is_dir() and any((e / name).is_file() for name in ZARR_FILES)]
    return bool(known) and len(known) + len(arrays) == len(entries)


@contextmanager
def one_writer(path: Path_) -> Iterator[bool]:
    """Hold a name against every other process, this one's other threads too, for the length of a block.

    A process that finds it held says who is at work, and since when, and waits. What writers that died have left
    beside the name is swept up before the block begins. A block may hold a name that it holds already.

    Yields
    ------
    bool
        Whether another was at work here, and has ended.
    """
    path = real(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = lock_of(path)
    lock = FileLock(file, is_singleton=True)
    waited = _acquire(lock, file, path)
    try:
        if lock.lock_counter == 1:
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
            file.write_text(json.dumps(about), encoding="utf-8")
            _sweep(path)
        yield waited
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # Windows keeps an open file; elsewhere whoever waits sees that this one has gone
                file.unlink()
        lock.release()


def lock_of(path: Path) -> Path:
    """The file that lies beside a name while somebody is at work on it, or has died at it."""
    return path.with_name(f".{path.name}.lock")


def _acquire(lock: Any, file: Path, path: Path) -> bool:
    """Take a lock, waiting if need be; returns whether there was a wait."""
    try:
        lock.acquire(blocking=False)
        return False
    except Timeout:
        file.open("a").close()  # where no file can be made there is no lock to wait for
        say(f"{path}: {_holder(file)} is at work on it; waiting until it has ended")
        lock.acquire(poll_interval=0.2)
        return True


def _holder(file: Path) -> str:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        where = "" if about["host"] == socket.gethostname() else f" on {about['host']}"
        return f"process {about['pid']}{where}, since {about['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _sweep(path: Path) -> None:
    """Take away what a writer that died has left, and give back the name that it had moved away; the lock is held."""
    part, old = _beside(path, "part"), _beside(path, "old")
    if old.exists() and not os.path.lexists(path):
        os.replace(old, path)
    for left in (part, old):
        remove(left)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.stem}.{what}{path.suffix}")


def remove(path: Path) -> None:
    """Take a file or a folder away, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def placing(path: Path_) -> Iterator[Path]:
    """Give a hidden sibling to write a file or folder at; it takes the name `path` only if the block ends well.

    Raises
    ------
    OutputError
        If a folder stands at `path` that is no zarr store, or holds more than one.
    """
    path = real(path)
    if path.is_dir() and not _only_zarr(path):
        raise OutputError(f"{path} is a folder of other files, which would be lost; give another name")
    with one_writer(path):
        temporary = _beside(path, "part")
        remove(temporary)
        try:
            yield temporary
            put(temporary, path)
        finally:
            remove(temporary)


def put(new: Path, path: Path) -> None:
    """Give a whole file or folder, on the disk of `path`, that name in one step; what stood there is taken away."""
    _to_disk(new)
    _swap(new, path)
    remove(new)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put bytes, or text as UTF-8, at `path` whole or not at all."""
    with placing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def _to_disk(path: Path) -> None:
    """Have the system write a file, or all files of a folder, to the disk: a name must not outlive its content."""
    for file in [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]:
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())


def _swap(new: Path, path: Path) -> None:
    """Give `new` the name `path`; what stood there is left at `new`, or taken away."""
    if not (path.is_dir() or new.is_dir()) or not os.path.lexists(path):
        os.replace(new, path)
    elif not _exchanged(new, path):  # two steps, between which a kill leaves what `_sweep` puts right
        old = _beside(path, "old")
        os.replace(path, old)
        os.replace(new, path)
        remove(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step, where the system can (Linux, most local file systems)."""
    if sys.platform != "linux":
        return False
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    at_folder, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    return call is not None and call(at_folder, os.fsencode(one), at_folder, os.fsencode(other), exchange) == 0


def file_sum(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums(folder: Path, *without: str) -> dict[str, str]:
    """sha256 of each file below a folder, by its name there, but for those named in `without`."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name: file_sum(folder / name) for name in names if name not in without}


def differences(found: Mapping[str, str], noted: Mapping[str, str]) -> list[str]:
    """What is wrong with files whose sums were noted when they were written; nothing if they are as they were.

    Examples
    --------
    >>> differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    ['b is damaged', 'c is missing']
    """
    missing = [f"{n} is missing" for n in sorted(noted.keys() - found.keys())]
    foreign = [f"{n} does not belong there" for n in sorted(found.keys() - noted.keys())]
    return [f"{n} is damaged" for n in sorted(noted) if n in found and found[n] != noted[n]] + missing + foreign
