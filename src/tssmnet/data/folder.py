"""A cube of the files that somebody has in a folder: soil moisture as observed, and what may predict it.

Each file's product is told by what is in it. Soil moisture comes from one product: SMAP granules, else SMAP as lists of
cells, else images of ESA CCI, else gridded netCDF that names it so. The cube's places are the cells that were seen at
least once. All other gridded netCDF with dates becomes predictors at these places. What was taken, and what was left
out and why, is said line by line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import is_by_volume, open_dataset, to_pixels, write_cube
from tssmnet.data.readers import esa_cci, smap
from tssmnet.data.readers.faults import SourceError, WrongProductError
from tssmnet.data.readers.gridded import at_places, joined, open_grid
from tssmnet.data.readers.grids import EASE_SHAPE, Bounds
from tssmnet.data.readers.smap_lists import day_in_name, is_list, read_lists
from tssmnet.disk import check_output
from tssmnet.errors import TssmnetError, sentence
from tssmnet.progress import bar

SUFFIXES = (".nc", ".h5", ".hdf5", ".nc4")
CHUNKS = {"time": 64, "pixel": 50_000}
"""Of the cube; a block of pixels is read at once, and files hold a day each."""

GLOBE: Bounds = (-180.0, -90.0, 180.0, 90.0)
PRODUCTS = {
    "granule": "SMAP level 3 granules",
    "list": "SMAP level 3 as lists of cells",
    "image": "images of ESA CCI soil moisture",
    "grid": "gridded netCDF",
}
"""Kind of file to what it is called, those first that soil moisture is taken from first."""

_NAMED_SSM = re.compile(r"ssm|sm|(surface_)?soil_moisture", re.IGNORECASE)


@dataclass
class Account:
    """What was taken from a folder and what was left out, in sentences."""

    taken: list[str] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    def leave(self, path: Path, why: str) -> None:
        """Note that a file was left out."""
        self.left_out.setdefault(why.replace(f"{path} ", "").replace(f"{path}: ", ""), []).append(path)

    def __str__(self) -> str:
        lines = [f"took     {line}" for line in self.taken]
        for why, paths in self.left_out.items():
            lines.append(f"left out {paths[0].name}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {why}")
        return "\n".join(lines)


def cube_file(
    folder: str | PathLike[str], out: str | PathLike[str], bounds: Bounds | None = None, *, progress: bool = False
) -> Account:
    """Make a cube of a folder and write it to ``.zarr`` or ``.nc``, whole or not at all; see `cube_of`."""
    check_output(out, folder)
    cube, account = cube_of(folder, bounds, progress=progress)
    write_cube(cube, out)
    return account


def cube_of(
    folder: str | PathLike[str], bounds: Bounds | None = None, *, progress: bool = False
) -> tuple[xr.Dataset, Account]:
    """A cube of the files below a folder.

    Parameters
    ----------
    folder
        Searched with all its folders; zarr stores in it and hidden files are not looked at.
    bounds
        West, south, east, north in degrees; by default all that the files hold.
    progress
        Whether to show bars.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), every day from the first to the last observation; lazy where the files are large.
    Account

    Raises
    ------
    TssmnetError
        If there is no such folder, or no soil moisture in it.
    """
    account, where = Account(), bounds or GLOBE
    if not (where[0] < where[2] and where[1] < where[3]):
        raise TssmnetError(f"bounds must be west, south, east, north with west < east and south < north, got {where}")
    kinds = _sorted_out(Path(folder), account, progress)
    grids = _grids(kinds.pop("grid", []), account)
    target, grids = _target(kinds, grids, where, account, progress)
    if target is None:
        raise TssmnetError(_nothing(Path(folder), account, len(grids)))
    cube = _every_day(_within(target, where, Path(folder)))
    days = cube.indexes["time"]
    account.taken[-1] += f": ssm, {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}, {cube.sizes['pixel']} cells"
    for paths, grid in grids:
        cube = _with_predictors(cube, paths, grid, account)
    about = {"title": f"Soil moisture and predictors from {Path(folder).resolve().name}", "history": str(account)}
    return cube.assign_attrs(about).chunk(CHUNKS), account


def product_of(path: Path) -> str:
    """The kind of a file, one of `PRODUCTS`, by what is in it.

    Raises
    ------
    SourceError
        If it is damaged or of no known kind.
    """
    import h5py

    if path.suffix != ".nc" and not h5py.is_hdf5(path):
        raise SourceError(f"{path} cannot be read as HDF5; it is most likely a broken download: get it again")
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if any(f"{smap.GROUP}{overpass.upper()}" in file for overpass in smap.OVERPASSES):
                return "granule"
    if path.suffix != ".nc":
        raise WrongProductError(f"{path} is HDF5, but no SMAP level 3 granule")
    with open_dataset(path, chunks=None) as found:
        if is_list(found):
            day_in_name(path)
            return "list"
        title = str(found.attrs.get("title", ""))
        return "image" if "sm" in found and "Soil Moisture" in title and found.sizes.get("time") == 1 else "grid"


def _sorted_out(folder: Path, account: Account, progress: bool) -> dict[str, list[Path]]:
    """The files below a folder by their kind."""
    if not folder.is_dir():
        raise TssmnetError(f"{folder}: no such folder")
    kinds: dict[str, list[Path]] = {}
    names = [p.relative_to(folder) for p in sorted(folder.rglob("*"))]
    apart = [n for n in names if not any(part.startswith(".") or part.endswith(".zarr") for part in n.parts)]
    files = [folder / n for n in apart if (folder / n).is_file()]
    for path in bar(files, "looking into files", progress=progress):
        if path.suffix not in SUFFIXES:
            account.leave(path, f"no name in {', '.join(SUFFIXES)}")
            continue
        try:
            kinds.setdefault(product_of(path), []).append(path)
        except (TssmnetError, OSError) as error:
            account.leave(path, sentence(error).replace(" has 1 fault:\n  1. ", ": "))
    return kinds


def _grids(paths: Sequence[Path], account: Account) -> list[tuple[list[Path], xr.Dataset]]:
    """Gridded files, those of one grid with the same variables joined in time."""
    alike: dict[Any, list[tuple[Path, xr.Dataset]]] = {}
    for path in paths:
        try:
            grid = open_grid(path)
        except TssmnetError as error:
            account.leave(path, str(error))
            continue
        key = (*sorted(map(str, grid.data_vars)), grid["lat"].values.tobytes(), grid["lon"].values.tobytes())
        alike.setdefault(key, []).append((path, grid))
    return [([p for p, _ in group], joined([g for _, g in group])) for group in alike.values()]


def _target(
    kinds: Mapping[str, list[Path]],
    grids: list[tuple[list[Path], xr.Dataset]],
    bounds: Bounds,
    account: Account,
    progress: bool,
) -> tuple[xr.Dataset | None, list[tuple[list[Path], xr.Dataset]]]:
    """Soil moisture of the first product that there is, and the grids without it."""
    target = None
    for kind in (k for k in PRODUCTS if k in kinds):
        if target is not None:
            for path in kinds[kind]:
                account.leave(path, "soil moisture is taken from another product")
            continue
        read = read_lists if kind == "list" else lambda paths, k=kind: _images(k, paths, bounds, account, progress)
        if (target := read(kinds[kind])) is None:
            continue
        left = {path for paths in account.left_out.values() for path in paths}
        account.taken.append(f"{_files(len([p for p in kinds[kind] if p not in left]))}, {PRODUCTS[kind]}")
    named = [(i, name) for i, (_, grid) in enumerate(grids) if (name := _named_ssm(grid))]
    if target is not None or not named:
        return target, grids
    number, name = named[0]
    paths, grid = grids[number]
    account.taken.append(f"{_files(len(paths))}, {PRODUCTS['grid']}, as {paths[0].name}")
    ssm = grid[[name]].rename({name: "ssm"})
    ssm = ssm.assign_coords(time=ssm.indexes["time"].floor("D")).drop_duplicates("time")
    rest = [*grids[:number], (paths, grid.drop_vars(name)), *grids[number + 1 :]]
    return _seen(ssm), [(p, g) for p, g in rest if g.data_vars]


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"


def _named_ssm(grid: xr.Dataset) -> str | None:
    """The variable that is soil moisture by its name and units, and lacks a value somewhere."""
    found = [str(n) for n, v in grid.data_vars.items() if _NAMED_SSM.fullmatch(str(n)) and "time" in v.dims]
    return next((n for n in found if is_by_volume(grid[n].attrs.get("units", ""))), None)


def _seen(ssm: xr.Dataset) -> xr.Dataset:
    """Only the pixels that have a value on some day."""
    return ssm.isel(pixel=np.flatnonzero(ssm["ssm"].notnull().any("time").values))


# --- a file a day ------------------------------------------------------------------------------------------------


def _images(kind: str, paths: Sequence[Path], bounds: Bounds, account: Account, progress: bool) -> xr.Dataset | None:
    """The record of files that hold one day each: read once to see which cells were observed, and lazily after that."""
    paths = _one_grid(paths, account) if kind == "granule" else paths
    window = _extent(paths, bounds) if kind == "granule" else bounds
    sound: dict[np.datetime64, Path] = {}
    seen: NDArray[np.bool_] | None = None
    for path in bar(paths, "reading", progress=progress):
        try:
            image = _READ[kind](path, window)
        except SourceError as error:
            account.leave(path, str(error))
            continue
        day = image["time"].values[0]
        if day in sound:
            account.leave(sound[day], f"{path.name} is of the same day")
        sound[day] = path
        observed = np.isfinite(image["ssm"].values[0]).ravel()
        seen = observed if seen is None else seen | observed
    if seen is None or not seen.any():
        return None
    keep = np.flatnonzero(seen)
    like = to_pixels(image[["ssm"]]).isel(pixel=keep)
    values = _lazy([sound[d] for d in sorted(sound)], lambda path: _READ[kind](path, window)["ssm"], keep)
    attrs = {k: v for k, v in like["ssm"].attrs.items() if k != "ancillary_variables"}
    coords = {n: like[n] for n in ("lat", "lon")} | {"time": np.array(sorted(sound))}
    return xr.Dataset({"ssm": (("time", "pixel"), values, attrs)}, coords)


def _lazy(paths: Sequence[Path], read: Callable[[Path], xr.DataArray], keep: NDArray[np.integer]) -> Any:
    """Some cells of many files, shape (file, cell), each file read when its values are asked for."""
    import dask
    import dask.array as da

    def cells(path: Path) -> NDArray[np.float32]:
        return np.asarray(read(path).values[0].ravel()[keep], np.float32)[None]

    rows = [da.from_delayed(dask.delayed(cells)(p), (1, len(keep)), np.float32) for p in paths]
    return da.concatenate(rows)


def _image(path: Path, bounds: Bounds) -> xr.Dataset:
    image = esa_cci.read_image(path, bounds)
    return image.assign_coords(lat=("y", image["y"].values), lon=("x", image["x"].values))


_READ: dict[str, Callable[[Path, Bounds], xr.Dataset]] = {"granule": smap.read_granule, "image": _image}


def _one_grid(paths: Sequence[Path], account: Account) -> list[Path]:
    """The granules of the finer of the two grids, which the name tells."""
    fine = [p for p in paths if "_P_E_" in p.name]
    for path in paths:
        if fine and path not in fine:
            account.leave(path, "granules of 9 km are there, and this one is of 36 km")
    return fine or [*paths]


def _extent(paths: Sequence[Path], bounds: Bounds) -> Bounds:
    """The box of the cells that granules hold, where all are cut to a region."""
    import h5py

    boxes = []
    for path in paths:
        with h5py.File(path, "r") as file:
            group = file[next(n for n in file if n.startswith(smap.GROUP))]
            lat, lon = (group[next(n for n in group if n in (v, f"{v}_pm"))] for v in ("latitude", "longitude"))
            if lat.shape in EASE_SHAPE.values():
                return bounds
            lat, lon = (v[...][v[...] > -9000] for v in (lat, lon))
        boxes.append((lon.min(), lat.min(), lon.max(), lat.max()) if lat.size else (180, 90, -180, -90))
    west, south, east, north = np.transpose(boxes).astype(float)
    rim = 0.01  # float32 centres may lie a little beside those of the grid
    box = west.min() - rim, south.min() - rim, east.max() + rim, north.max() + rim
    lower, upper = np.maximum(box[:2], bounds[:2]), np.minimum(box[2:], bounds[2:])
    return float(lower[0]), float(lower[1]), float(upper[0]), float(upper[1])


# --- together ----------------------------------------------------------------------------------------------------


def _within(cube: xr.Dataset, bounds: Bounds, folder: Path) -> xr.Dataset:
    west, south, east, north = bounds
    lat, lon = cube["lat"].values, cube["lon"].values
    inside = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    if not inside.any():
        raise TssmnetError(f"{folder}: no observation lies in {bounds} (west, south, east, north); give other bounds")
    return cube if inside.all() else cube.isel(pixel=np.flatnonzero(inside))


def _every_day(cube: xr.Dataset) -> xr.Dataset:
    days = cube.indexes["time"]
    return cube.sortby("time").reindex(time=pd.date_range(days.min(), days.max(), name="time"))


def _with_predictors(cube: xr.Dataset, paths: Sequence[Path], grid: xr.Dataset, account: Account) -> xr.Dataset:
    """The cube with the variables of a grid; what says nothing in it, or bears a name that is taken, is left out."""
    days = cube.indexes["time"]
    try:
        found = at_places(grid.drop_vars([n for n in grid.data_vars if n in cube]), cube, days)
    except WrongProductError as error:
        for path in paths:
            account.leave(path, str(error))
        return cube
    empty = [n for n, v in found.items() if not bool(v.notnull().any())]
    found = found.drop_vars(empty)
    if not found.data_vars:
        times = grid.indexes["time"]
        why = (
            f"nothing of it is both on the cube's days and at its places ({times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d})"
        )
        for path in paths:
            account.leave(path, why)
        return cube
    account.taken.append(f"{_files(len(paths))}, {PRODUCTS['grid']}, as {paths[0].name}: {_spoken(found, days)}")
    return cube.assign(found.data_vars)


def _spoken(found: xr.Dataset, days: pd.DatetimeIndex) -> str:
    words = []
    for name, values in found.items():
        known = int(values.notnull().any("pixel").sum()) if "time" in values.dims else 0
        words.append(f"{name} on {known} of {len(days)} days" if "time" in values.dims else f"{name}, constant")
    return ", ".join(words)


def _nothing(folder: Path, account: Account, grids: int) -> str:
    files = sum(map(len, account.left_out.values()))
    why = Counter({reason: len(paths) for reason, paths in account.left_out.items()}).most_common(1)
    said = f"; of {_files(files)}: {why[0][0]}" if why else ""
    weather = (
        f"; {_files(grids)} of gridded netCDF may predict it, but none names it ssm or soil_moisture" if grids else ""
    )
    return (
        f"{folder} holds no soil moisture observations{weather}{said}; put SMAP level 3 granules, ESA CCI images or "
        "netCDF with a variable ssm (m3 m-3) there"
    )
