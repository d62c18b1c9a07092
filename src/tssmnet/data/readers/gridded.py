"""Gridded netCDF by the CF conventions, ERA5-Land first of all: to days, and to the places of a cube.

Rain is a total of the UTC day, everything else the mean of its day. ERA5-Land adds its rain up from midnight on, so
that the stamp 00:00 bears the total of the day before; ERA5 gives each hour's own rain. Both are told by the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from tssmnet.cube import in_standard_form, is_categorical, is_rain, open_dataset, space_dims, to_pixels
from tssmnet.cube.earth import arc_km, nearest, on_sphere
from tssmnet.cube.units import is_rate
from tssmnet.data.readers.faults import WrongProductError

DAY = pd.Timedelta(1, "D")
CONSTANT = ("land_binary_mask", "land_area_fraction", "surface_altitude")
"""Standard names of what does not change in time, though files repeat it."""

INSIDE = 0.75
"""How far from a place, in spacings of the places, a cell's centre may lie and belong to it: half a diagonal."""


def open_grid(path: Path) -> xr.Dataset:
    """A file of the conventions, lazily, as (time, pixel): its numbers, with ``lat`` and ``lon``.

    Raises
    ------
    WrongProductError
        If it has no axis of time, or no latitudes and longitudes.
    """
    found = open_dataset(path, chunks="auto")
    if "valid_time" in found.dims and found.sizes.get("time") == 1:
        found = found.isel(time=0, drop=True)
    found = found.drop_vars(
        [n for n, v in found.variables.items() if v.dtype.kind not in "biufmM" and n not in found.dims]
    )
    found = in_standard_form(found)
    if "time" not in found.dims or found.get("time", xr.DataArray(0)).dtype.kind != "M":
        raise WrongProductError(f"{path} has no axis of dates, so it is no predictor of days")
    if not space_dims(found) or not {"lat", "lon"} <= set(found.coords):
        raise WrongProductError(f"{path} has no latitudes and longitudes of its cells")
    fields = [n for n, v in found.data_vars.items() if v.dtype.kind in "biuf" and set(space_dims(found)) <= set(v.dims)]
    return to_pixels(found[fields]).reset_coords(drop=True).assign_coords(_degrees(found))


def _degrees(found: xr.Dataset) -> dict[str, xr.Variable]:
    places = to_pixels(found[[]].assign_coords(lat=found["lat"], lon=found["lon"]))
    return {n: xr.Variable("pixel", places[n].values, {"units": u}) for n, u in _UNITS.items()}


_UNITS = {"lat": "degrees_north", "lon": "degrees_east"}


def joined(grids: Sequence[xr.Dataset]) -> xr.Dataset:
    """Files of one grid and the same variables one after another in time; of a time that comes twice, the first."""
    constant = [n for n in grids[0].data_vars if "time" not in grids[0][n].dims]
    whole = xr.concat([g.drop_vars(constant) for g in grids], "time", join="override", combine_attrs="override")
    return whole.drop_duplicates("time").sortby("time").assign({n: grids[0][n] for n in constant})


def by_day(field: xr.DataArray) -> xr.DataArray:
    """A field in time as one value a UTC day: rain as its total, in the field's units, everything else as a mean.

    A total needs all steps of its day, a mean half of them; a day that lacks them is NaN.

    Raises
    ------
    WrongProductError
        If the steps are longer than a day.
    """
    times = field.indexes["time"]
    step = DAY if len(times) < 2 else pd.Timedelta(np.median(np.diff(times)))
    if step > DAY:
        raise WrongProductError(f"{field.name} has one value in {step / DAY:.0f} days, so it is no predictor of days")
    if step == DAY:
        return field.assign_coords(time=times.floor("D"))
    steps, attrs = round(DAY / step), field.attrs
    if not _is_amount(field):
        days = field.resample(time="D")
        return days.mean().where(days.count() >= steps / 2).assign_attrs(attrs)
    running = _is_running_total(field, step)
    if running or attrs.get("GRIB_stepType") == "accum":  # a stamp ends the step that it speaks of
        field = field.assign_coords(time=times - step)
    days = field.resample(time="D")
    total = days.max() if running else days.sum()
    return total.where(days.count() >= steps).assign_attrs(attrs)


def _is_amount(field: xr.DataArray) -> bool:
    rain = is_rain(field) and not is_rate(field.attrs.get("units", ""))
    return rain or field.attrs.get("GRIB_stepType") == "accum"


def _is_running_total(field: xr.DataArray, step: pd.Timedelta) -> bool:
    """Whether the mean over the map never falls between midnight and midnight, and rises on some day."""
    mean = np.asarray(field.mean([d for d in field.dims if d != "time"]).values, float)
    day = (field.indexes["time"] - step).floor("D")
    change = np.diff(mean)[np.diff(day) == pd.Timedelta(0)]
    change = change[np.isfinite(change)]
    return len(change) > 0 and bool(change.max() > 0 and change.min() >= -1e-6 * np.nanmax(np.abs(mean)))


def spacing_km(lat: ArrayLike, lon: ArrayLike) -> float:
    """Typical distance of the nearest other place, km; infinite for a single one."""
    points = on_sphere(lat, lon)
    if len(points) < 2:
        return np.inf
    return float(np.median(arc_km(cKDTree(points).query(points, 2)[0][:, 1])))


def shares(cells: xr.Dataset, places: xr.Dataset, average: bool = True) -> sparse.csr_matrix:
    """Which cells of a grid a place takes its value from.

    Parameters
    ----------
    cells, places
        With ``lat`` and ``lon`` along ``pixel``.
    average
        Whether a place takes the mean of all cells whose centres it holds; else, and where it holds none, it takes the
        nearest, if that is no farther than a cell is wide.

    Returns
    -------
    scipy.sparse.csr_matrix
        Shape (place, cell); a row without any entry is a place outside the grid.
    """
    grid, to = ((d["lat"].values, d["lon"].values) for d in (cells, places))
    held, km = nearest(*to, *grid)
    inside = np.flatnonzero(km <= INSIDE * min(spacing_km(*to), 1e3)) if average else np.empty(0, int)
    bare = np.setdiff1d(np.arange(len(to[0])), held[inside])
    near, far = nearest(*grid, to[0][bare], to[1][bare])
    near_enough = far <= INSIDE * min(spacing_km(*grid), 1e3)
    rows = np.concatenate([held[inside], bare[near_enough]])
    columns = np.concatenate([inside, near[near_enough]])
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(to[0]), len(grid[0])))


def at_places(grid: xr.Dataset, places: xr.Dataset, days: pd.DatetimeIndex) -> xr.Dataset:
    """The variables of a grid as predictors of a cube, each day at each place; lazy stays lazy.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), what does not change in time on (pixel,); NaN on days and at places that the grid lacks.
    """
    out = {}
    for name, field in grid.data_vars.items():
        if field.attrs.get("standard_name") in CONSTANT and "time" in field.dims:
            field = field.isel(time=0, drop=True).assign_attrs(field.attrs | {"units": "1"})
        taken = shares(grid, places, average=not is_categorical(field))
        used = np.unique(taken.indices)
        field = field.isel(pixel=used).drop_vars(["lat", "lon"])
        if "time" in field.dims:
            field = by_day(field).reindex(time=days)
        out[name] = _taken(field, taken[:, used])
    return xr.Dataset(out)


def _taken(field: xr.DataArray, taken: sparse.csr_matrix) -> xr.DataArray:
    def mean(values: NDArray[np.floating]) -> NDArray[np.float32]:
        flat = values.reshape(-1, values.shape[-1]).T.astype(np.float32)
        known = taken @ np.isfinite(flat).astype(np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (taken @ np.nan_to_num(flat)) / np.where(known > 0, known, np.nan)
        return np.asarray(found.T, np.float32).reshape(*values.shape[:-1], taken.shape[0])

    return xr.apply_ufunc(
        mean, field, input_core_dims=[["pixel"]], output_core_dims=[["pixel"]], exclude_dims={"pixel"},
        dask="parallelized", output_dtypes=[np.float32], keep_attrs=True,
        dask_gufunc_kwargs={"output_sizes": {"pixel": taken.shape[0]}, "allow_rechunk": True},
    )  # fmt: skip
