"""Cubes in files: read lazily, written whole or not at all, and known again when they are damaged."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube.check import as_cube
from tssmnet.cube.contract import CubeError
from tssmnet.disk import SUFFIXES, placing, write_atomically


def open_cube(path: str | os.PathLike[str], *, check: bool = True) -> xr.Dataset:
    """Open a cube from ``.zarr`` or ``.nc``, lazily, and check it; see `as_cube` for what is read how.

    Raises
    ------
    CubeError
        If there is no such file, it is of neither kind, cannot be read or is no cube.
    """
    cube = open_dataset(path)
    return as_cube(cube, str(path)) if check else cube


def open_dataset(path: str | os.PathLike[str], chunks: Any = "file") -> xr.Dataset:
    """Open any dataset from ``.zarr`` or ``.nc`` lazily, without checking that it is a cube.

    Variables come in the order of their names: a zarr folder lists them in another order each time, and features, thus
    models, follow it.

    Parameters
    ----------
    path
        A zarr folder, or a file of netCDF 4 or 3.
    chunks
        ``"file"`` for dask arrays with the chunks of the file, ``"auto"`` for such of even size, None for values that
        are read when they are asked for, without dask.
    """
    path = Path(path)
    _require_suffix(path)
    if not path.exists():
        raise CubeError(["no such file or folder"], str(path))
    try:
        found = _opened(path, {} if chunks == "file" else chunks)
        return found[sorted(found.data_vars, key=str)]
    except CubeError:
        raise
    except Exception as error:  # the readers raise many kinds; the user needs one that names the file
        raise CubeError([f"cannot be read as {path.suffix}: {error}"], str(path)) from error


def _opened(path: Path, chunks: Any) -> xr.Dataset:
    """The file by the engine that its first bytes ask for; days that cannot be decoded stay numbers."""
    engine = "zarr" if path.suffix == ".zarr" else "scipy" if _is_netcdf3(path) else "h5netcdf"
    options: dict[str, Any] = {"engine": engine, "chunks": chunks} | (
        {"consolidated": False} if engine == "zarr" else {}
    )
    try:
        found = xr.open_dataset(path, **options)
    except ValueError as error:
        if "time" not in str(error):
            raise
        found = xr.open_dataset(path, decode_times=False, **options)
    if engine == "zarr":
        _require_all_chunks(path)
        found.attrs.pop(CHUNKS, None)
    return found


def _is_netcdf3(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3) == b"CDF"


def write_cube(cube: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Check a cube and write it to ``.zarr`` or ``.nc``, whole or not at all.

    Raises
    ------
    CubeError
        If the dataset is no cube or the path's ending is neither.
    """
    return write_dataset(as_cube(cube), path)


def write_dataset(dataset: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write any dataset to ``.zarr`` or compressed ``.nc``; what stood at `path` stays until the new one is whole."""
    path = Path(path)
    _require_suffix(path)
    dataset = dataset.drop_encoding()
    with placing(path) as temporary:
        if path.suffix == ".zarr":
            write_zarr(dataset, temporary)
        else:
            dataset.to_netcdf(temporary, engine="h5netcdf", encoding=netcdf_encoding(dataset))
    return path


CHUNKS = "tssmnet_chunks"
"""Attribute of a zarr store of which no chunk may be missing, and what it says there."""

ALL_STORED = "all are stored, each with its checksum"


def write_zarr(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    encoding: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> None:
    """Write a zarr store that shows when it is damaged, in the dataset's order of variables.

    zarr reads a chunk that is not there as empty, and tells no damaged value from a sound one. So every chunk is
    written, the empty ones too, each with a checksum, and the store says so.

    Parameters
    ----------
    dataset
        Without encoding.
    path
        Where nothing stands yet.
    encoding
        Of a variable by its name, for instance the shape of its ``chunks``, which by default are as dask has them.
    **options
        Of ``xarray.Dataset.to_zarr``.
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec

    sums = {"compressors": (ZstdCodec(), Crc32cCodec())}
    given = {str(n): sums | dict((encoding or {}).get(str(n), {})) for n in dataset.variables}
    write: Any = dataset.assign_attrs({CHUNKS: ALL_STORED}).to_zarr
    options = {"consolidated": False, "zarr_format": 3, "write_empty_chunks": True, "encoding": given} | options
    with warnings.catch_warnings():  # zarr 3 warns of text variables, which have no final specification yet
        warnings.simplefilter("ignore")
        write(path, mode="w", **options)
    consolidate(path, [*map(str, dataset.data_vars), *map(str, dataset.coords)])


def consolidate(path: str | os.PathLike[str], order: Sequence[str] | None = None, *, whole: bool | None = None) -> None:
    """Put the metadata of all arrays of a zarr store into its root, in a fixed order: readers list them as they come.

    Without it xarray warns when it opens the store, and a folder lists its arrays in any order.

    Parameters
    ----------
    path
        The store.
    order
        Names of all its arrays; by default as they were.
    whole
        Whether the store says from now on that none of its chunks may be missing; None leaves what it says.
    """
    root = Path(path) / "zarr.json"
    content = json.loads(root.read_text(encoding="utf-8"))
    order = order or [*content["consolidated_metadata"]["metadata"]]
    arrays = {name: json.loads((root.parent / name / "zarr.json").read_text(encoding="utf-8")) for name in order}
    if whole is not None:
        content["attributes"] = {k: v for k, v in content["attributes"].items() if k != CHUNKS}
        content["attributes"] |= {CHUNKS: ALL_STORED} if whole else {}
    content["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": arrays}
    write_atomically(root, json.dumps(content, indent=2))


def _require_all_chunks(path: Path) -> None:
    """Raise a `CubeError` if a zarr store that says it holds all its chunks lacks one, or a whole variable."""
    import zarr

    root: Any = zarr.open_group(path, mode="r", use_consolidated=False)
    if root.attrs.get(CHUNKS) != ALL_STORED:
        return
    arrays = dict(root.arrays())
    listed = json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("consolidated_metadata") or {}
    faults = [f"{name}: the variable is lost" for name in listed.get("metadata", {}) if name not in arrays]
    for name, array in sorted(arrays.items()):
        counts = [-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]
        keys = ["/".join(["c", *map(str, at)]) for at in np.ndindex(*counts)]
        missing = [key for key in keys if not (path / name / key).is_file()]
        if missing:
            faults.append(f"{name}: {len(missing)} of {len(keys)} chunks are lost (first {missing[0]})")
    if faults:
        raise CubeError([f"{fault}; copy or make the cube again" for fault in faults], str(path))


def absent_chunks(path: str | os.PathLike[str]) -> str:
    """What a zarr store of other making lacks, in words; "" if it lacks nothing, or says itself that it is whole.

    Other programs leave chunks out that hold missing values only, and zarr cannot tell them from lost ones.
    """
    if Path(path).suffix != ".zarr":
        return ""
    import zarr

    root: Any = zarr.open_group(path, mode="r", use_consolidated=False)
    if root.attrs.get(CHUNKS) == ALL_STORED:
        return ""
    counts = {name: (array.nchunks - array.nchunks_initialized, array.nchunks) for name, array in sorted(root.arrays())}
    return ", ".join(f"{missing} of {all_of} chunks of {name}" for name, (missing, all_of) in counts.items() if missing)


def netcdf_encoding(dataset: xr.Dataset) -> dict[str, dict[str, object]]:
    """Lossless compression for each variable; CF allows no fill value on coordinates."""
    packed = {"zlib": True, "complevel": 4, "shuffle": True, "fletcher32": True}
    encoding: dict[str, dict[str, object]] = {
        str(n): dict(packed) for n, v in dataset.data_vars.items() if v.dtype.kind in "biuf"
    }
    for name, coord in dataset.coords.items():
        if coord.dtype.kind in "biuf":
            encoding[str(name)] = (dict(packed) if coord.ndim else {}) | {"_FillValue": None}
    if "time" in dataset.coords and dataset["time"].dtype.kind == "M":
        encoding["time"] = {"units": "days since 1970-01-01", "calendar": "standard", "dtype": "int32", **packed}
    return encoding


def _require_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise CubeError([f"the name must end in .zarr or .nc, it ends in {path.suffix!r}"], str(path))
