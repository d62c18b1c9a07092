"""The check that says, in one error, all that is wrong with a cube, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.cube.contract import SSM_UNITS, CubeError, space_dims


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
    tssmnet.cube.contract.CubeError: this cube has 1 fault:
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


def require_ssm(dataset: xr.Dataset, name: str) -> None:
    """Raise a `CubeError` if a dataset lacks what a comparison needs: days, space, coordinates and ``ssm``."""
    faults = [f for check in (_check_time, _check_space, _check_target) for f in check(dataset)]
    if faults:
        raise CubeError(faults, name)
