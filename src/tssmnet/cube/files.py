"""Cubes in files: read lazily, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from tssmnet.cube.check import check_cube
from tssmnet.cube.contract import CubeError

SUFFIXES = (".zarr", ".nc")


def open_cube(path: str | os.PathLike[str], *, check: bool = True) -> xr.Dataset:
    """Open a cube from ``.zarr`` or ``.nc``, lazily, and check it.

    Raises
    ------
    CubeError
        If there is no such file, it is of neither kind, cannot be read or is no cube.
    """
    cube = open_dataset(path)
    if check:
        check_cube(cube, str(path))
    return cube


def open_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open any dataset from ``.zarr`` or ``.nc`` lazily, without checking that it is a cube.

    Variables come in the order of their names: a zarr folder lists them in another order each time, and features, thus
    models, follow it.
    """
    path = Path(path)
    _require_suffix(path)
    if not path.exists():
        raise CubeError(["no such file or folder"], str(path))
    try:
        if path.suffix == ".zarr":
            found = xr.open_zarr(path, consolidated=False)
        else:
            found = xr.open_dataset(path, engine="h5netcdf", chunks={})
        return found[sorted(found.data_vars, key=str)]
    except Exception as error:  # the readers raise many kinds; the user needs one that names the file
        raise CubeError([f"cannot be read as {path.suffix}: {error}"], str(path)) from error


def write_cube(cube: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Check a cube and write it to ``.zarr`` or ``.nc``, whole or not at all.

    Raises
    ------
    CubeError
        If the dataset is no cube or the path's ending is neither.
    """
    check_cube(cube)
    return write_dataset(cube, path)


def write_dataset(dataset: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write any dataset to ``.zarr`` or compressed ``.nc``; what stood at `path` stays until the new one is whole."""
    path = Path(path)
    _require_suffix(path)
    dataset = dataset.drop_encoding()
    with placing(path) as temporary:
        if path.suffix == ".zarr":
            with warnings.catch_warnings():  # zarr 3 warns of text variables, which have no final specification yet
                warnings.simplefilter("ignore")
                dataset.to_zarr(temporary, mode="w", consolidated=False, zarr_format=3)
        else:
            dataset.to_netcdf(temporary, engine="h5netcdf", encoding=_netcdf_encoding(dataset))
    return path


def _netcdf_encoding(dataset: xr.Dataset) -> dict[str, dict[str, object]]:
    """Lossless compression for each variable; CF allows no fill value on coordinates."""
    packed = {"zlib": True, "complevel": 4, "shuffle": True}
    encoding: dict[str, dict[str, object]] = {
        str(n): dict(packed) for n, v in dataset.data_vars.items() if v.dtype.kind in "biuf"
    }
    encoding |= {str(n): {"_FillValue": None} for n, v in dataset.coords.items() if v.dtype.kind == "f"}
    if "time" in dataset.coords and dataset["time"].dtype.kind == "M":
        encoding["time"] = {"units": "days since 1970-01-01", "calendar": "standard", "dtype": "int32"}
    return encoding


@contextmanager
def placing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary sibling to write a file or folder at; it takes the name `path` only if the block ends well.

    What a killed process leaves is found by `leftovers`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield temporary
        _to_disk(temporary)
        if path.is_dir():  # os.replace takes no folder that holds something: move it aside first
            old = temporary.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put bytes, or text as UTF-8, at `path` whole or not at all."""
    with placing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def leftovers(path: Path) -> list[Path]:
    """Unfinished files and folders that `placing` at `path` left when its process was killed."""
    return sorted(path.parent.glob(f".{path.name}.*.part"))


def _to_disk(path: Path) -> None:
    """Have the system write a file, or all files of a folder, to the disk: a name must not outlive its content."""
    for file in [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]:
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())


def check_output(path: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Raise a `CubeError` if a result cannot go to `path`: wrong ending, or one of the files it is made from."""
    _require_suffix(Path(path))
    if any(Path(path).resolve() == Path(i).resolve() for i in inputs):
        raise CubeError(["the result would overwrite its own input; give another name"], str(path))


def _require_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise CubeError([f"the name must end in .zarr or .nc, it ends in {path.suffix!r}"], str(path))
