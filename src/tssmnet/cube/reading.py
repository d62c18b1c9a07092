"""A dataset as it comes brought into the form of the contract, where that is without doubt, and what was done is said.

Nothing here looks at the values of the variables, and none is loaded: names of dims and coordinates, the axis of days,
attributes, the units of rain and temperature.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.cube.contract import SPACES, ancillary_names, is_categorical
from tssmnet.cube.roles import is_rain, is_temperature
from tssmnet.cube.units import KELVIN, MM_PER_DAY, to_kelvin, to_mm_per_day

NOTES = "tssmnet_read_as"
"""Attribute of a cube that says what was done to read it."""

_LATITUDES, _LONGITUDES = ("lat", "latitude", "nav_lat", "xlat"), ("lon", "longitude", "nav_lon", "xlong", "long")
_TIMES = ("valid_time", "date", "day", "datetime", "t")
_STANDARD_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


def in_standard_form(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with the names, dims and axes of the contract, as far as they are told; lazy stays lazy.

    Returns
    -------
    xarray.Dataset
        What was done stands in the attribute `NOTES`, one sentence after another; without a need, the dataset as it is.
    """
    notes: list[str] = []
    for step in _STEPS:
        dataset = step(dataset, notes)
    return with_notes(dataset, notes)


def with_notes(cube: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """The cube with further sentences in its attribute `NOTES`."""
    if not notes:
        return cube
    return cube.assign_attrs({NOTES: "; ".join(filter(None, [cube.attrs.get(NOTES), *notes]))})


def notes_of(cube: xr.Dataset) -> str:
    """What was done to read a cube; empty if nothing was."""
    return str(cube.attrs.get(NOTES, ""))


def _plain_attributes(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Dates, truth values and mappings among the attributes as text or numbers, which every file format holds."""
    found = {"": dataset.attrs} | {str(n): v.attrs for n, v in dataset.variables.items()}
    changed = {name: _plain(attrs) for name, attrs in found.items()}
    words = sorted(
        f"{name}:{key}".lstrip(":")
        for name, attrs in found.items()
        for key, value in attrs.items()
        if value is None or changed[name].get(str(key)) is not value
    )
    if not words:
        return dataset
    dataset = dataset.copy()
    dataset.attrs = changed.pop("")
    for name in dataset.variables:
        dataset[name].attrs = changed[str(name)]
    notes.append(f"attributes {', '.join(words)} written as text or numbers")
    return dataset


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k): plain for k, v in attrs.items() if (plain := _plain_value(v)) is not None}


def _plain_value(value: Any) -> Any:
    """A value that zarr and netCDF both hold; what is neither number nor text nor a list of them stays as it is."""
    if isinstance(value, (pd.Timestamp, datetime, date)):
        return value.isoformat()
    if isinstance(value, np.datetime64) or (isinstance(value, np.ndarray) and value.dtype.kind in "mM"):
        return str(value)
    if isinstance(value, (pd.Timedelta, np.timedelta64)):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    return value


def _plain_index(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """A stacked dim, whose places are pairs, gets back its plain coordinates."""
    for dim, index in dataset.indexes.items():
        if isinstance(index, pd.MultiIndex) and dim in dataset.dims:
            dataset = dataset.reset_index(dim)
            dataset = dataset.drop_vars([dim], errors="ignore")
            notes.append(f"the pairs ({', '.join(map(str, index.names))}) of {dim} read as coordinates")
    return dataset


def _without_extras(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Grid mappings are coordinates, bounds and scalar coordinates of a forecast are left out."""
    bounds = {v.attrs.get("bounds") or v.encoding.get("bounds") for v in dataset.variables.values()}
    drop = [n for n in dataset.variables if n in bounds]
    for name, variable in dataset.variables.items():
        if variable.ndim == 0 and str(name).lower() in ("number", "expver", "step", "surface", "band", "quantile"):
            drop.append(name)
    if "time" in dataset.coords and dataset["time"].ndim == 0 and "valid_time" in dataset.dims:
        drop.append("time")
    if drop:
        dataset = dataset.drop_vars(drop)
        notes.append(f"left out {', '.join(map(str, drop))}: no predictor")
    mappings = [n for n, v in dataset.data_vars.items() if v.ndim == 0 and _is_grid_mapping(dataset, n)]
    if mappings:
        dataset = dataset.set_coords(mappings)
        notes.append(f"{', '.join(map(str, mappings))} read as the map projection")
    return dataset


def _is_grid_mapping(dataset: xr.Dataset, name: Any) -> bool:
    named = {
        str(v.attrs.get("grid_mapping") or v.encoding.get("grid_mapping") or "") for v in dataset.data_vars.values()
    }
    own = dataset[name].attrs
    return name in named or bool({"grid_mapping_name", "crs_wkt", "spatial_ref"} & set(own))


def _without_ancillary(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """What CF calls ancillary to ``ssm`` (its flags, errors, overpasses) is no predictor of it."""
    about = ancillary_names(dataset)
    if not about:
        return dataset
    dataset = dataset.drop_vars(about)
    ssm = dataset["ssm"].copy()
    ssm.attrs = {k: v for k, v in ssm.attrs.items() if k != "ancillary_variables"}
    notes.append(f"left out {', '.join(about)}: ancillary variables of ssm, no predictors")
    return dataset.assign(ssm=ssm)


def _days(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """The axis of days is named ``time`` and holds dates, where attributes or calendar tell them."""
    if "time" not in dataset.dims and (found := _time_axis(dataset)):
        dataset = dataset.drop_vars("time", errors="ignore").rename({found: "time"})
        notes.append(f"{found} read as time")
    if "time" not in dataset.coords or dataset["time"].dims != ("time",):
        return dataset
    axis = dataset["time"]
    if axis.dtype.kind in "iuf" and " since " in str(axis.attrs.get("units", "")):
        return _decoded_days(dataset, notes)
    calendar = getattr(dataset.indexes["time"], "calendar", None)
    if calendar in _STANDARD_CALENDARS:
        dataset = dataset.assign_coords(time=dataset.indexes["time"].to_datetimeindex(time_unit="ns"))
        dataset["time"].attrs = axis.attrs
        notes.append(f"time read as dates of the calendar {calendar!r}")
    return dataset


def _time_axis(dataset: xr.Dataset) -> str | None:
    """The one dim that CF attributes, its dates or its name show to be time."""
    import cf_xarray  # noqa: F401, it is the accessor

    told = {str(n) for n in (*dataset.cf.axes.get("T", ()), *dataset.cf.coordinates.get("time", ()))}
    dated = {str(n) for n, c in dataset.coords.items() if c.dims == (n,) and c.dtype.kind == "M"}
    named = {str(d) for d in dataset.dims if str(d).lower() in _TIMES and d in dataset.coords}
    found = [d for d in map(str, dataset.dims) if d in told | dated | named]
    return found[0] if len(found) == 1 else None


def _decoded_days(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    units = dataset["time"].attrs["units"]
    try:
        axis = xr.decode_cf(xr.Dataset(coords={"time": dataset["time"].variable}))["time"]
    except Exception:  # units or calendar that say no dates: the check names them
        return dataset
    notes.append(f"time read as {units}")
    return dataset.assign_coords(time=axis)


def _places(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Latitude and longitude are coordinates ``lat`` and ``lon``, and lie on ``pixel`` or on ``y, x``."""
    for name, known, units in (("lat", _LATITUDES, "degrees_north"), ("lon", _LONGITUDES, "degrees_east")):
        dataset = _place(dataset, name, known, units, notes)
    return _space(dataset, notes)


def _place(dataset: xr.Dataset, name: str, known: tuple[str, ...], units: str, notes: list[str]) -> xr.Dataset:
    if name in dataset.data_vars and name not in dataset.coords:
        dataset = dataset.set_coords(name)
        notes.append(f"{name} read as a coordinate")
    if name not in dataset.coords and (found := _one_place(dataset, known, units)):
        if found in dataset.dims:
            dataset = dataset.reset_index(found) if found in dataset.indexes else dataset
            dataset = dataset.rename_vars({found: name})
        else:
            dataset = dataset.set_coords(found).rename({found: name})
        notes.append(f"{found} read as {name}")
    return dataset


def _one_place(dataset: xr.Dataset, known: tuple[str, ...], units: str) -> str | None:
    """The one variable that is told to be a latitude (or longitude), by CF attributes or by its name."""
    import cf_xarray  # noqa: F401, it is the accessor

    kind = known[1]
    numbers = [n for n, v in dataset.variables.items() if v.dtype.kind in "iuf" and v.ndim]
    told = set(dataset.cf.coordinates.get(kind, ())) | set(dataset.cf.standard_names.get(kind, ()))
    told |= {
        n for n in numbers if str(dataset[n].attrs.get("units", "")) in (units, units.replace("degrees", "degree"))
    }
    named = [n for n in numbers if str(n).lower() in known]
    found = [n for n in numbers if n in told] or named
    return str(found[0]) if len(found) == 1 else None


def _space(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """The dims of space get the names of the contract; a latitude that is a dim becomes a coordinate on ``y``."""
    if not {"lat", "lon"} <= set(dataset.coords) or any(set(s) <= set(dataset.dims) for s in SPACES):
        return dataset
    lat, lon = dataset["lat"].dims, dataset["lon"].dims
    new: dict[Any, str] = {}
    if len(lat) == 1 and lat == lon:
        new = {lat[0]: "pixel"}
    elif len(lat) == len(lon) == 1:
        new = {lat[0]: "y", lon[0]: "x"}
    elif len(lat) == 2 and set(lat) == set(lon):
        new = dict(zip(lat, ("y", "x"), strict=True))
    new = {old: name for old, name in new.items() if old != name}
    if not new or "time" in new or set(new.values()) & set(dataset.variables):
        return dataset
    loose = [d for d in new if d in dataset.indexes and d in ("lat", "lon")]
    dataset = dataset.reset_index(loose) if loose else dataset
    dataset = dataset.rename_dims(new)
    kept = {old: name for old, name in new.items() if old in dataset.coords and old not in ("lat", "lon")}
    notes.append(f"dims {', '.join(f'{old} read as {name}' for old, name in new.items())}")
    return dataset.rename_vars(kept) if kept else dataset


def _plain_text(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Text along a coordinate, of whatever type, as the plain text that any file holds."""
    new = {
        name: (variable.dims, np.asarray(variable.values, str), variable.attrs)
        for name, variable in dataset.coords.items()
        if variable.dtype.kind not in "biufcmMSU" and all(isinstance(v, str) for v in np.ravel(variable.values))
    }
    return dataset.assign_coords(new) if new else dataset


_STEPS: tuple[Callable[[xr.Dataset, list[str]], xr.Dataset], ...] = (
    _plain_attributes,
    _plain_index,
    _without_extras,
    _without_ancillary,
    _days,
    _places,
    _plain_text,
)


def in_standard_units(cube: xr.Dataset) -> xr.Dataset:
    """Rain in mm d-1 and temperatures in K; lazy stays lazy, and what is in these units stays as it is."""
    notes: list[str] = []
    new: dict[Any, Any] = {}
    for name, variable in cube.data_vars.items():
        units = str(variable.attrs.get("units", ""))
        scale, wanted = _conversion(variable)
        if scale == (1.0, 0.0):
            if wanted and units != wanted:
                new[name] = variable.assign_attrs(units=wanted)
            continue
        new[name] = _scaled(variable, *scale, wanted)
        notes.append(f"{name} converted from {units} to {wanted}")
    return with_notes(cube.assign(new) if new else cube, notes)


def _conversion(variable: xr.DataArray) -> tuple[tuple[float, float], str]:
    """Factor and offset to the standard unit of a variable's role, and that unit; none for other variables."""
    units = variable.attrs.get("units", "")
    if variable.name == "ssm" or "time" not in variable.dims or is_categorical(variable):
        return (1.0, 0.0), ""
    if is_rain(variable) and (factor := to_mm_per_day(units)) is not None:
        return (factor, 0.0), MM_PER_DAY
    if is_temperature(variable) and (scale := to_kelvin(units)) is not None:
        return scale, KELVIN
    return (1.0, 0.0), ""


def _scaled(variable: xr.DataArray, factor: float, offset: float, units: str) -> xr.Variable:
    """factor * values + offset, when they are read: CF's own decoding of packed values does just that."""
    stays = {k: v for k, v in variable.attrs.items() if not k.startswith(("valid_", "actual_"))}
    packed = variable.variable.copy(deep=False)
    packed.attrs = {"scale_factor": factor, "add_offset": offset}
    scaled = xr.decode_cf(xr.Dataset({"values": packed}), decode_times=False, decode_coords=False)["values"].variable
    scaled.attrs, scaled.encoding = stays | {"units": units}, {}
    return scaled
