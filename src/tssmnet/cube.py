"""The cube: daily soil moisture and its predictors in one dataset, and the check that says all that is wrong with one.

A cube has dims ``time`` and either ``pixel`` (scattered cells) or ``y, x`` (a grid), coordinates ``lat`` and ``lon``,
the target ``ssm`` in m3 m-3 with NaN where not observed, and any number of predictors: dynamic with ``time``, static
without it, categorical if they bear CF ``flag_values``.
"""

from __future__ import annotations

import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.errors import TssmnetError

SSM_UNITS = ("m3 m-3", "m3/m3", "m3.m-3", "m^3 m^-3", "m^3/m^3", "m**3 m**-3", "m³ m⁻³", "m³/m³", "cm3 cm-3", "cm3/cm3")


SPACES = (("pixel",), ("y", "x"))


SUFFIXES = (".zarr", ".nc")


SOURCE_FLAGS = {"observed": 0, "filled": 1, "outside": 2, "filled_frozen": 3, "filled_extrapolated": 4}
"""Where a value of a filled cube's ``ssm`` comes from; outside: neither an observation nor what a model needs. A model
of kind ``filler`` also tells where filling is extrapolation: on frozen days, and where a forcing leaves its range of
training."""


class CubeError(TssmnetError):
    """A dataset that is no cube; `faults` lists each thing that is wrong with it."""

    def __init__(self, faults: list[str], name: str = "this cube") -> None:
        self.faults = list(faults)
        lines = "".join(f"\n  {i}. {fault}" for i, fault in enumerate(self.faults, 1))
        super().__init__(f"{name} has {len(self.faults)} fault{'s' * (len(self.faults) > 1)}:{lines}")


def space_dims(cube: xr.Dataset) -> tuple[str, ...]:
    """The cube's space dims: ``("pixel",)`` or ``("y", "x")``; empty if it has neither."""
    return next((s for s in SPACES if set(s) <= set(cube.dims)), ())


def is_categorical(variable: xr.DataArray) -> bool:
    """Whether the variable's numbers are classes: it bears the CF attribute ``flag_values``."""
    return "flag_values" in variable.attrs


def dynamic_names(cube: xr.Dataset) -> list[str]:
    """Names of the predictors that change in time, in the order of the dataset."""
    return [str(n) for n, v in cube.data_vars.items() if n != "ssm" and "time" in v.dims]


def predictable(pixels: xr.Dataset) -> NDArray[np.bool_]:
    """Pixel-days (time, pixel) with at least one dynamic predictor; all of them where the cube has none."""
    names = dynamic_names(pixels)
    if not names:
        return np.ones(pixels["ssm"].shape, bool)
    present = [pixels[n].notnull().transpose("time", "pixel").values for n in names]
    return np.asarray(np.logical_or.reduce(present))


def static_names(cube: xr.Dataset) -> list[str]:
    """Names of the predictors that do not change in time, in the order of the dataset."""
    return [str(n) for n, v in cube.data_vars.items() if n != "ssm" and "time" not in v.dims]


_RAIN_UNITS = {"mm d-1", "mm day-1", "mm/d", "mm/day", "kg m-2 d-1", "kg m-2 day-1", "kg m-2"}
_RAIN_WORDS = ("precip", "rain")
_NOT_RAIN = ("evap", "transpir", "runoff", "snow", "melt")


def roles(cube: xr.Dataset) -> dict[str, str]:
    """The dynamic predictors whose meaning matters, ``rain`` and ``temperature``: the first of each, if there is one.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> roles(mock_cube(days=3, pixels=2))
    {'rain': 'precipitation', 'temperature': 'air_temperature'}
    """
    tests = {"rain": is_rain, "temperature": is_temperature}
    firsts = {role: next((n for n in dynamic_names(cube) if test(cube[n])), None) for role, test in tests.items()}
    return {role: name for role, name in firsts.items() if name is not None}


def is_rain(variable: xr.DataArray) -> bool:
    """Whether a predictor is precipitation: by CF ``standard_name``, else by its name, else by its unit."""
    standard = str(variable.attrs.get("standard_name", ""))
    if standard:
        return any(word in standard for word in ("precipitation", "rainfall"))
    words = f"{variable.name} {variable.attrs.get('long_name', '')}".lower()
    if any(word in words for word in _NOT_RAIN):
        return False
    return any(word in words for word in _RAIN_WORDS) or str(variable.attrs.get("units", "")) in _RAIN_UNITS


def is_temperature(variable: xr.DataArray) -> bool:
    """Whether a predictor is a temperature: by CF ``standard_name`` or by its name."""
    name = str(variable.name).lower()
    return "temperature" in str(variable.attrs.get("standard_name", "")) or "temperature" in name or name == "lst"


def check_cube(cube: xr.Dataset, name: str = "this cube") -> None:
    """Raise one error that lists everything wrong with a cube, and where.

    Parameters
    ----------
    cube
        The dataset to check; dask-backed variables are reduced chunk by chunk.
    name
        What the message calls it, for instance its path.

    Raises
    ------
    CubeError
        If anything breaks the contract; its `faults` holds one line for each fault.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> cube = mock_cube(days=40, pixels=3)
    >>> check_cube(cube)
    >>> cube["ssm"].attrs["units"] = "%"
    >>> check_cube(cube)
    Traceback (most recent call last):
    ...
    tssmnet.cube.CubeError: this cube has 1 fault:
      1. ssm: units are '%', expected 'm3 m-3'; convert the values and set the attribute
    """
    if not isinstance(cube, xr.Dataset):
        raise CubeError([f"a cube is an xarray.Dataset, got {type(cube).__name__}"], name)
    faults = [fault for check in _CHECKS for fault in check(cube)]
    if faults:
        raise CubeError(faults, name)


def _check_time(cube: xr.Dataset) -> Iterator[str]:
    if "time" not in cube.coords or cube["time"].dims != ("time",):
        yield "time: the daily coordinate 'time' is missing"
        return
    if not np.issubdtype(cube["time"].dtype, np.datetime64):
        yield f"time: values are {cube['time'].dtype}, expected datetime64; decode them with xr.decode_cf"
        return
    days = cube.indexes["time"]
    if len(days) == 0 or days.hasnans:
        yield f"time: {int(days.isna().sum())} values are missing (NaT)" if len(days) else "time: the axis is empty"
        return
    if (off := days[days != days.floor("D")]).size:
        yield f"time: {off.size} values are not whole days (first {off[0]}); floor them with .dt.floor('D')"
    if (twice := days[days.duplicated()]).size:
        yield f"time: {twice.size} days occur more than once (first {twice[0].date()})"
    if not days.is_monotonic_increasing:
        where = days[1:][days[1:] < days[:-1]][0]
        yield f"time: days are not sorted (first step back at {where.date()}); use cube.sortby('time')"
    absent = pd.date_range(days.min(), days.max(), freq="D").floor("D").difference(days.floor("D"))
    if absent.size:
        yield f"time: {absent.size} days are absent (first {absent[0].date()}); use cube.resample(time='1D').asfreq()"


def _check_space(cube: xr.Dataset) -> Iterator[str]:
    space = space_dims(cube)
    if not space:
        yield f"dims: expected 'time' with 'pixel' or with 'y, x', found {', '.join(map(str, cube.dims)) or 'none'}"
    for coord, limit in (("lat", 90), ("lon", 360)):
        if coord not in cube.coords:
            yield f"{coord}: the coordinate is missing"
            continue
        values = cube[coord]
        if not values.dims or not set(values.dims) <= set(space):
            yield f"{coord}: dims are {values.dims}, expected {space or 'the space dims'}"
        elif values.dtype.kind not in "iuf":
            yield f"{coord}: values are {values.dtype}, expected numbers (degrees)"
        elif not bool(np.isfinite(values).all()):
            yield f"{coord}: {int((~np.isfinite(values)).sum())} values are not finite"
        elif float(abs(values).max()) > limit:
            yield f"{coord}: values reach {float(abs(values).max()):g}, beyond {limit} degrees"


def _check_target(cube: xr.Dataset) -> Iterator[str]:
    if "ssm" not in cube.data_vars:
        yield f"ssm: the target is missing; variables found: {', '.join(map(str, cube.data_vars)) or 'none'}"
        return
    ssm, space = cube["ssm"], space_dims(cube)
    if set(ssm.dims) != {"time", *space}:
        yield f"ssm: dims are {ssm.dims}, expected {('time', *(space or ('pixel',)))}"
    if ssm.attrs.get("units") not in SSM_UNITS:
        found = f"are {ssm.attrs['units']!r}" if "units" in ssm.attrs else "are missing"
        yield f"ssm: units {found}, expected 'm3 m-3'; convert the values and set the attribute"
    if ssm.dtype.kind != "f":
        yield f"ssm: values are {ssm.dtype}, expected floating-point numbers with NaN where not observed"
        return
    yield from _check_values(ssm, "ssm")
    finite = ~ssm.isin([np.inf, -np.inf]) & ssm.notnull()
    outside = finite & ((ssm < 0) | (ssm > 1))
    if n := int(outside.sum()):
        inside = ssm.where(finite)
        low, high = float(inside.min()), float(inside.max())
        yield f"ssm: {n} values are outside 0..1 m3 m-3 (from {low:g} to {high:g}{_first(outside)})"


def _check_predictors(cube: xr.Dataset) -> Iterator[str]:
    space = set(space_dims(cube))
    for name, variable in cube.data_vars.items():
        if name == "ssm":
            continue
        dims = set(variable.dims)
        if foreign := dims - space - {"time"}:
            yield f"{name}: unknown dims {sorted(map(str, foreign))}; a predictor lies on time, on space or on both"
        elif dims != {"time"} and dims - {"time"} != space:
            yield f"{name}: dims are {variable.dims}; a predictor lies on time, on all space dims or on both"
        if variable.dtype.kind not in "biuf":
            yield f"{name}: values are {variable.dtype}, expected numbers (classes as numbers with CF flag_values)"
            continue
        if "units" not in variable.attrs and not {"flag_values", "flag_masks"} & set(variable.attrs):
            yield f"{name}: the attribute 'units' is missing (use '1' if it has none)"
        yield from _check_values(variable, str(name))


def _check_values(variable: xr.DataArray, name: str) -> Iterator[str]:
    """Infinities and wholly missing values."""
    if variable.dtype.kind != "f":
        return
    infinite = variable.isin([np.inf, -np.inf])
    if n := int(infinite.sum()):
        yield f"{name}: {n} values are infinite{_first(infinite)}"
    if variable.size == 0 or int(variable.count()) == 0:
        yield f"{name}: all values are missing"


def _first(bad: xr.DataArray) -> str:
    """Where a mask is first true, for a message."""
    if "time" not in bad.dims or "time" not in bad.coords:
        return ""
    days = bad.any([d for d in bad.dims if d != "time"]).values
    when = bad["time"].values[int(days.argmax())]
    place = np.argwhere(bad.isel(time=int(days.argmax())).values)[0]
    where = ", ".join(f"{d} {i}" for d, i in zip([d for d in bad.dims if d != "time"], place, strict=True))
    return f", first on {np.datetime_as_string(when, 'D') if bad['time'].dtype.kind == 'M' else when} at {where}"


_CHECKS: tuple[Callable[[xr.Dataset], Iterator[str]], ...] = (
    _check_time,
    _check_space,
    _check_target,
    _check_predictors,
)


def to_pixels(cube: xr.Dataset) -> xr.Dataset:
    """The cube on dims (time, pixel), whatever its space dims were.

    A grid is read row by row; its ``y`` and ``x`` stay as plain coordinates along ``pixel``, and variables on ``time``
    alone are repeated for each pixel. `from_pixels` goes back.

    Returns
    -------
    xarray.Dataset
        Variables on (time, pixel) or (pixel,), with ``lat`` and ``lon`` on (pixel,).
    """
    space = space_dims(cube)
    if not space:
        raise CubeError([f"dims: expected 'pixel' or 'y, x', found {', '.join(map(str, cube.dims))}"])
    full = xr.zeros_like(cube["lat"].broadcast_like(cube["lon"]).transpose(*space), dtype=bool)
    cube = cube.assign_coords({c: cube[c].broadcast_like(full).transpose(*space) for c in ("lat", "lon")})
    for name, variable in cube.data_vars.items():
        if variable.dims == ("time",):
            cube[name] = variable.expand_dims({d: cube.sizes[d] for d in space}).assign_attrs(variable.attrs)
    if space != ("pixel",):
        cube = cube.stack(pixel=space, create_index=False)
        kept = {d: ("pixel", cube[d].values) for d in space if d in cube.coords}
        cube = cube.drop_vars([*kept]).assign_coords(kept)
    return cube.transpose("time", "pixel", missing_dims="ignore")


def from_pixels(pixels: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """Variables on (time, pixel) put back on the space dims of the cube they came from.

    Parameters
    ----------
    pixels
        What `to_pixels` gave, or new variables on the same pixels in the same order.
    like
        The cube whose dims and coordinates the result shall have.
    """
    space = space_dims(like)
    if space == ("pixel",):
        return pixels
    shape = tuple(like.sizes[d] for d in space)
    if pixels.sizes["pixel"] != int(np.prod(shape)):
        raise TssmnetError(f"{pixels.sizes['pixel']} pixels cannot fill a grid of {shape}")
    plain = pixels.drop_vars([c for c in (*space, "lat", "lon", "pixel") if c in pixels.coords])
    index = pd.MultiIndex.from_product([range(n) for n in shape], names=space)
    grid = plain.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "pixel")).unstack("pixel").drop_vars(space)
    coords = {c: v for c, v in like.coords.items() if "time" not in v.dims}
    return grid.assign_coords(coords).transpose("time", *space, missing_dims="ignore")


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
    """Give a temporary sibling to write a file or folder at; it takes the name `path` only if the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        if path.is_dir():  # os.replace takes no folder that holds something: move it aside first
            old = temporary.with_name(temporary.name + ".old")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def check_output(path: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Raise a `CubeError` if a result cannot go to `path`: wrong ending, or one of the files it is made from."""
    _require_suffix(Path(path))
    if any(Path(path).resolve() == Path(i).resolve() for i in inputs):
        raise CubeError(["the result would overwrite its own input; give another name"], str(path))


def require_ssm(dataset: xr.Dataset, name: str) -> None:
    """Raise a `CubeError` if a dataset lacks what a comparison needs: days, space, coordinates and ``ssm``."""
    faults = [f for check in (_check_time, _check_space, _check_target) for f in check(dataset)]
    if faults:
        raise CubeError(faults, name)


def _require_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise CubeError([f"the name must end in .zarr or .nc, it ends in {path.suffix!r}"], str(path))
