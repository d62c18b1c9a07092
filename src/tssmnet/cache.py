"""A small store on disk: each costly thing is computed once and found again by what went into it.

The key of an entry is a sha256 over the function's name, its inputs (arrays by content), the hashes of the data sets
it reads, and the source of the library modules it depends on. So an edit of the code, another parameter or other data
makes another entry, and nothing stale is ever read. An entry is one folder that appears whole or not at all; two
processes that want the same one compute it once. It keeps the sums of its files: one that is damaged is made again.

>>> from tssmnet.cache import cached_json
>>> cached_json(profile_table, {"profile": "conus"})    # doctest: +SKIP
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube import open_dataset, write_dataset
from tssmnet.disk import differences, lock_of, one_writer, placing, remove, sums
from tssmnet.errors import TssmnetError
from tssmnet.progress import say
from tssmnet.provenance import PACKAGE, checkout, content_hash, data_hashes, library_hashes


def store_folder() -> Path:
    """Where entries lie: ``TSSMNET_STORE_DIR``, else ``.store`` in the source checkout, else in the current folder."""
    given = os.environ.get("TSSMNET_STORE_DIR")
    return Path(given).expanduser() if given else (checkout() or Path.cwd()) / ".store"


ENTRY = "entry.json"
"""Written last into each entry: what its key is made of, and the sha256 of each of its files."""


class Store:
    """Entries below one folder; `folder` defaults to `store_folder`."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder) if folder is not None else store_folder()

    def entry(
        self,
        function: Callable[..., Any],
        inputs: Mapping[str, Any],
        write: Callable[[Any, Path], None],
        *,
        data: Sequence[str] = (),
        modules: Sequence[str] = (),
    ) -> Path:
        """The folder that holds what ``function(**inputs)`` gives, computed and written by `write` if it is not there.

        Parameters
        ----------
        function
            Of this library, or any other together with the library `modules` it depends on.
        inputs
            Its keyword arguments, all of them part of the key.
        write
            Puts the result into a folder that exists.
        data
            Names in the manifest of the data sets it reads.
        """
        about = describe(function, inputs, data, modules)
        path = self.folder / f"{function.__name__}-{content_hash(about)[:20]}"
        if not faults(path, about) and not lock_of(path).exists():  # one may be left of a process that died
            return path
        with one_writer(path):
            found = faults(path, about)
            if found and (path / ENTRY).exists():
                say(f"{path} is damaged ({found[0]}); it is made again")
            if found:
                remove(path)
                with placing(path) as part:
                    part.mkdir()
                    write(function(**inputs), part)
                    (part / ENTRY).write_text(json.dumps({**about, "files": sums(part)}, indent=1), encoding="utf-8")
        return path


_SOUND: dict[Path, list[Any]] = {}
"""Entries that this process has compared with their sums, and the size and time of change of each file then."""


def faults(path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with an entry; nothing if it is what was computed, from what `about` tells, to the last bit."""
    marks = [(p.as_posix(), s.st_size, s.st_mtime_ns) for p in sorted(path.rglob("*")) if (s := p.stat())]
    if marks and _SOUND.get(path) == marks:
        return []
    try:
        noted = json.loads((path / ENTRY).read_text(encoding="utf-8"))
        files = noted.pop("files")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return [f"{ENTRY} is missing or cannot be read"]
    if _text(noted) != _text(about) or not isinstance(files, dict):
        return [f"{ENTRY} is damaged or that of another entry"]
    found = differences(sums(path, ENTRY), files)
    if not found:
        _SOUND[path] = marks
    return found


def _text(about: Mapping[str, Any]) -> str:
    return json.dumps(about, sort_keys=True)


def describe(
    function: Callable[..., Any], inputs: Mapping[str, Any], data: Sequence[str], modules: Sequence[str]
) -> dict[str, Any]:
    """All that decides a result, as JSON: what the key of an entry is made of."""
    home = function.__module__
    about: dict[str, Any] = {"function": f"{home}.{function.__qualname__}", "inputs": {}}
    if home.split(".")[0] == PACKAGE:
        modules = [home, *modules]
    elif not modules:
        raise TssmnetError(f"{function.__name__} is not of this library; name the library modules it depends on")
    else:
        about["source"] = content_hash(inspect.getsource(function))
    for name, value in inputs.items():
        as_it_is = isinstance(value, (str, bool, int, float, type(None)))
        about["inputs"][name] = value if as_it_is else content_hash(value)
    return about | {"data": {d: data_hashes().get(d) for d in data}, "library": library_hashes(modules)}


def _write_arrays(arrays: Mapping[str, Any], folder: Path) -> None:
    np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})


def _write_json(value: Any, folder: Path) -> None:
    (folder / "value.json").write_text(json.dumps(value, allow_nan=True), encoding="utf-8")


def _write_dataset(dataset: xr.Dataset, folder: Path) -> None:
    write_dataset(dataset, folder / "data.zarr")


def cached_dataset(
    function: Callable[..., xr.Dataset],
    inputs: Mapping[str, Any] | None = None,
    *,
    store: Store | None = None,
    **key: Any,
) -> xr.Dataset:
    """``function(**inputs)``, an xarray Dataset, computed once; lazy when it comes from the store.

    Parameters
    ----------
    function, inputs
        What to compute; see `Store.entry`, which also takes ``data=`` and ``modules=``.
    """
    return open_dataset((store or Store()).entry(function, inputs or {}, _write_dataset, **key) / "data.zarr")


def cached_arrays(
    function: Callable[..., Mapping[str, Any]],
    inputs: Mapping[str, Any] | None = None,
    *,
    store: Store | None = None,
    **key: Any,
) -> dict[str, np.ndarray]:
    """``function(**inputs)``, a mapping of names to arrays, computed once."""
    path = (store or Store()).entry(function, inputs or {}, _write_arrays, **key)
    with np.load(path / "arrays.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def cached_json(
    function: Callable[..., Any], inputs: Mapping[str, Any] | None = None, *, store: Store | None = None, **key: Any
) -> Any:
    """``function(**inputs)``, anything JSON can hold, computed once."""
    path = (store or Store()).entry(function, inputs or {}, _write_json, **key)
    return json.loads((path / "value.json").read_text(encoding="utf-8"))
