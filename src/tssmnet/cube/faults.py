"""What can be wrong with a cube: each function yields one line for each fault, which says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.cube.contract import is_categorical, space_dims
from tssmnet.cube.roles import is_rain, is_temperature
from tssmnet.cube.statistics import Statistics
from tssmnet.cube.units import is_by_volume, to_kelvin, to_mm_per_day

SENTINELS = (-9999.0, -99999.0, -9999.9, -999.9, -999.0, -99.9, -32768.0, -32767.0, 9999.0, 99999.0, 65535.0)
"""Numbers that stand for a missing value in many files; a `valid_range` that holds them allows them."""

HUGE = 1e15
"""No quantity in any usual unit is larger; fill values are (1e20, 1e30, 9.97e36)."""

UNDECODED = ("_FillValue", "missing_value", "scale_factor", "add_offset")

COLDEST_K, WARMEST_K = 150.0, 360.0
"""Any air, surface or soil of the Earth lies between."""

MOST_RAIN, LEAST_RAIN = 3000.0, -1.0
"""mm d-1: none was ever beyond; packing leaves traces below zero."""

_KEEP_ONE = (
    ": cube = cube.isel(pixel=np.sort("
    "np.unique(np.round([cube.lat, cube.lon % 360], 9), axis=1, return_index=True)[1]))"
)
_STEP = "cube = cube.assign_coords(time=cube.time.dt.floor('D'))"
_DAILY = "cube = cube.resample(time='1D').mean()"
_FULL = "cube = cube.reindex(time=pd.date_range(cube.time.values[0], cube.time.values[-1]))"


def time_faults(cube: xr.Dataset) -> Iterator[str]:
    """The axis of days: dates, whole days, each once, in order, none absent."""
    if "time" not in cube.coords or cube["time"].dims != ("time",):
        found = ", ".join(map(str, cube.dims)) or "none"
        yield f"time: the daily coordinate 'time' is missing; dims found: {found} (see Dataset.rename, assign_coords)"
        return
    if not np.issubdtype(cube["time"].dtype, np.datetime64):
        yield f"time: {_no_dates(cube)}"
        return
    days = cube.indexes["time"]
    if len(days) == 0 or days.hasnans:
        yield f"time: {int(days.isna().sum())} values are missing (NaT)" if len(days) else "time: the axis is empty"
        return
    if (off := days[days != days.floor("D")]).size:
        several = days.floor("D").has_duplicates
        advice = f"make daily values, for instance {_DAILY}" if several else f"floor them: {_STEP}"
        yield f"time: {off.size} values are not whole days (first {off[0]}); {advice}"
        if several:
            return
    if (twice := days[days.duplicated()]).size:
        yield (
            f"time: {twice.size} days occur more than once (first {twice[0].date()}); "
            "keep one of each: cube = cube.drop_duplicates('time')"
        )
    if not days.is_monotonic_increasing:
        where = days[1:][days[1:] < days[:-1]][0]
        yield f"time: days are not sorted (first step back at {where.date()}); use cube = cube.sortby('time')"
    absent = pd.date_range(days.min(), days.max(), freq="D").floor("D").difference(days.floor("D"))
    if absent.size:
        yield f"time: {absent.size} days are absent (first {absent[0].date()}); insert them as gaps: {_FULL}"


def _no_dates(cube: xr.Dataset) -> str:
    """What stands on the axis in place of dates, and what makes them dates."""
    axis, calendar = cube["time"], getattr(cube.indexes["time"], "calendar", None)
    if calendar:
        return (
            f"days are of the calendar {calendar!r}, expected datetime64 of the standard one; "
            "use cube = cube.convert_calendar('standard', align_on='date')"
        )
    if axis.dtype.kind in "iuf":
        return (
            f"values are {axis.dtype}, expected datetime64; say what they count, for instance "
            "cube['time'].attrs['units'] = 'days since 2015-01-01'"
        )
    return (
        f"values are {axis.dtype}, expected datetime64; where they are dates as text, use "
        "cube = cube.assign_coords(time=pd.to_datetime(cube.time.values.astype(str)))"
    )


def place_faults(cube: xr.Dataset) -> Iterator[str]:
    """Space dims, latitudes and longitudes."""
    space = space_dims(cube)
    if not space:
        yield (
            f"dims: expected 'time' with 'pixel' or with 'y, x', found {', '.join(map(str, cube.dims)) or 'none'}; "
            "rename them with cube.rename_dims"
        )
    elif not all(cube.sizes[d] for d in space):
        yield f"dims: {', '.join(f'{d} has {cube.sizes[d]}' for d in space)} places, so there is nothing to fill"
    sound = True
    for coord, low, high in (("lat", -90.0, 90.0), ("lon", -180.5, 360.5)):
        found = [*_degree_faults(cube, coord, space, low, high)]
        sound &= not found
        yield from found
    if sound and space and all(cube.sizes[d] for d in space):
        yield from _twice(cube)


def _degree_faults(cube: xr.Dataset, coord: str, space: tuple[str, ...], low: float, high: float) -> Iterator[str]:
    if coord not in cube.coords:
        name = {"lat": "latitude", "lon": "longitude"}[coord]
        yield (
            f"{coord}: the coordinate is missing; give the one there is the attribute standard_name {name!r}, or add "
            f"it: cube = cube.assign_coords({coord}=({space or ('pixel',)}, degrees))"
        )
        return
    values, units = cube[coord], str(cube[coord].attrs.get("units", "degrees"))
    if not values.dims or not set(values.dims) <= set(space):
        yield f"{coord}: dims are {values.dims}, expected {space or 'the space dims'}"
    elif values.dtype.kind not in "iuf":
        yield f"{coord}: values are {values.dtype}, expected numbers (degrees)"
    elif not units.lower().startswith(("deg", "°")):
        yield f"{coord}: units are {units!r}, expected degrees; convert the values and set the attribute"
    elif not bool(np.isfinite(values).all()):
        yield f"{coord}: {int((~np.isfinite(values)).sum())} values are not finite"
    elif values.size and (float(values.min()) < low or float(values.max()) > high):
        reach = max(float(values.min()), float(values.max()), key=abs)
        yield f"{coord}: values reach {reach:g}, beyond {low:.0f} to {high:.0f} degrees"


def _twice(cube: xr.Dataset) -> Iterator[str]:
    """Two pixels at one place."""
    lat, lon = xr.broadcast(cube["lat"].reset_coords(drop=True), cube["lon"].reset_coords(drop=True) % 360)
    places = pd.DataFrame({"lat": lat.values.ravel(), "lon": lon.values.ravel()}).round(9)
    again = np.flatnonzero(places.duplicated())
    if again.size:
        lat0, lon0 = places.iloc[again[0]]
        yield (
            f"lat, lon: {again.size} places occur more than once (first {lat0:g} N, {lon0:g} E, at number {again[0]}); "
            f"keep one of each{_KEEP_ONE if space_dims(cube) == ('pixel',) else ''}"
        )


def attribute_faults(cube: xr.Dataset) -> Iterator[str]:
    """Attributes that no file can hold."""
    for name, attrs in {"the dataset": cube.attrs, **{str(n): v.attrs for n, v in cube.variables.items()}}.items():
        for key, value in attrs.items():
            if not _storable(value):
                yield (
                    f"{name}: attribute {key!r} is a {type(value).__name__}, which no file holds; make it text or "
                    "numbers, or delete it"
                )


def _storable(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufUS" and value.ndim <= 1
    if isinstance(value, (list, tuple)):
        kinds = {isinstance(v, (str, bytes)) for v in value}
        return len(kinds) <= 1 and all(isinstance(v, (str, bytes, int, float, np.number)) for v in value)
    return isinstance(value, (str, bytes, int, float, np.number))


def target_faults(cube: xr.Dataset, found: dict[str, Statistics]) -> Iterator[str]:
    """``ssm``: dims, units, and values between 0 and 1."""
    if "ssm" not in cube.data_vars:
        yield f"ssm: the target is missing; {_look_alike(cube)}"
        return
    ssm, space = cube["ssm"], space_dims(cube)
    if set(ssm.dims) != {"time", *space}:
        yield f"ssm: dims are {ssm.dims}, expected {('time', *(space or ('pixel',)))}"
    units = ssm.attrs.get("units")
    if not units or not is_by_volume(units):
        what = f"are {units!r}" if units else "are missing"
        yield f"ssm: units {what}, expected 'm3 m-3'; {_by_volume(units)}"
    if ssm.dtype.kind != "f":
        yield f"ssm: values are {ssm.dtype}, expected floating-point numbers with NaN where not observed"
        return
    if "ssm" not in found or found["ssm"].count + found["ssm"].infinite == 0:
        yield "ssm: all values are missing"
        return
    yield from _undecoded(ssm)
    about = found["ssm"]
    if about.infinite:
        yield f"ssm: {about.infinite} values are infinite{_first(abs(ssm) == np.inf)}"
    if about.low < 0 or about.high > 1:
        outside = (abs(ssm) < np.inf) & ((ssm < 0) | (ssm > 1))
        yield (
            f"ssm: {int(outside.sum())} values are outside 0..1 m3 m-3 (from {about.low:g} to {about.high:g}"
            f"{_first(outside)})"
        )


def _by_volume(units: Any) -> str:
    """How soil moisture of other units becomes m3 m-3."""
    if str(units).strip().lower() in ("%", "percent", "vol%", "vol. %", "% vol"):
        return "use cube['ssm'] = (cube['ssm'] / 100).assign_attrs(units='m3 m-3')"
    return "convert the values and set the attribute: cube['ssm'].attrs['units'] = 'm3 m-3'"


def _look_alike(cube: xr.Dataset) -> str:
    names = [str(n) for n in cube.data_vars]
    close = [
        n
        for n in names
        if n.lower() in ("sm", "soil_moisture", "swvl1", "soilmoisture", "ssm_model", "soil_moisture_am")
        or str(cube[n].attrs.get("standard_name", "")).startswith("volume_fraction_of_condensed_water_in_soil")
    ]
    if close:
        return f"if it is {close[0]!r}, rename it: cube = cube.rename({{{close[0]!r}: 'ssm'}})"
    return f"variables found: {', '.join(names) or 'none'}"


def predictor_faults(cube: xr.Dataset, found: dict[str, Statistics]) -> Iterator[str]:
    """Every other variable: dims, units, values."""
    space = set(space_dims(cube))
    for name, variable in cube.data_vars.items():
        if name == "ssm":
            continue
        dims = set(variable.dims)
        if foreign := dims - space - {"time"}:
            yield f"{name}: unknown dims {sorted(map(str, foreign))}; a predictor lies on time, on space or on both"
        elif not dims or (dims != {"time"} and dims - {"time"} != space):
            yield f"{name}: dims are {variable.dims}; a predictor lies on time, on all space dims or on both"
        if variable.dtype.kind not in "biuf":
            yield f"{name}: values are {variable.dtype}, expected numbers (classes as numbers with CF flag_values)"
            continue
        if "units" not in variable.attrs and not {"flag_values", "flag_masks"} & set(variable.attrs):
            yield f"{name}: the attribute 'units' is missing (use '1' if it has none)"
        if str(name) in found:
            yield from _value_faults(variable, found[str(name)])


def _value_faults(variable: xr.DataArray, about: Statistics) -> Iterator[str]:
    name = variable.name
    if about.infinite:
        yield f"{name}: {about.infinite} values are infinite{_first(abs(variable) == np.inf)}"
    if about.count == 0:
        return
    left = [*_undecoded(variable)]
    yield from left
    if is_categorical(variable):
        yield from _class_faults(variable)
        return
    low, high = _valid_range(variable)
    if (about.low < low or about.high > high) and not left:
        bad = (abs(variable) < np.inf) & ((variable < low) | (variable > high))
        yield (
            f"{name}: {int(bad.sum())} values are outside its valid range, {low:g} to {high:g} (from {about.low:g} to "
            f"{about.high:g}{_first(bad)}); make them NaN: cube[{name!r}] = cube[{name!r}].where((cube[{name!r}] >= "
            f"{low:g}) & (cube[{name!r}] <= {high:g}))"
        )
    elif mark := _sentinel(about, low, high):
        bad = (variable == mark) | (abs(variable) >= HUGE) & (abs(variable) < np.inf)
        yield (
            f"{name}: {int(bad.sum())} values are {mark:g}{_first(bad)}, which stands for a missing value; make them "
            f"NaN: cube[{name!r}] = cube[{name!r}].where({_kept(str(name), mark)}), or state a valid_range with it"
        )
    elif not left:
        yield from _physical_faults(variable, about)


def _kept(name: str, mark: float) -> str:
    return f"abs(cube[{name!r}]) < {HUGE:g}" if abs(mark) >= HUGE else f"cube[{name!r}] != {mark:g}"


def _undecoded(variable: xr.DataArray) -> Iterator[str]:
    """Attributes that decoding takes away."""
    if left := [n for n in UNDECODED if n in variable.attrs]:
        yield (
            f"{variable.name}: the attributes {', '.join(left)} say that its values were never decoded; use "
            f"cube = xr.decode_cf(cube), or delete the attributes if they were"
        )


def _valid_range(variable: xr.DataArray) -> tuple[float, float]:
    """What the attributes allow; limits of packed values, which are whole numbers, are unpacked."""
    both = np.ravel(variable.attrs.get("valid_range", (np.nan, np.nan)))
    limits = [variable.attrs.get("valid_min", both[0]), variable.attrs.get("valid_max", both[-1])]
    try:
        low, high = (float(v) for v in limits)
    except (TypeError, ValueError):
        return -np.inf, np.inf
    if np.asarray(limits).dtype.kind in "iu":
        scale, offset = (variable.encoding.get(k) for k in ("scale_factor", "add_offset"))
        low, high = (v * (1.0 if scale is None else float(scale)) + float(offset or 0.0) for v in (low, high))
    room = 1e-6 * max(abs(low), abs(high), 1e-30) if np.isfinite([low, high]).all() else 0.0
    return (-np.inf if np.isnan(low) else low - room), (np.inf if np.isnan(high) else high + room)


def _sentinel(about: Statistics, low: float, high: float) -> float | None:
    """The number at an end of the values that stands for a missing one, unless a valid range allows it."""
    for end, limit in ((about.low, low), (about.high, high)):
        marked = abs(end) >= HUGE or any(np.isclose(end, mark, rtol=1e-7, atol=0) for mark in SENTINELS)
        if marked and not np.isfinite(limit):
            return end
    return None


def _class_faults(variable: xr.DataArray) -> Iterator[str]:
    """Classes that the attributes do not declare."""
    try:
        classes = np.atleast_1d(np.asarray(variable.attrs["flag_values"], float))
    except (TypeError, ValueError):
        yield f"{variable.name}: flag_values are {variable.attrs['flag_values']!r}, expected a list of numbers"
        return
    unknown = variable.notnull() & ~variable.isin(classes)
    if n := int(unknown.sum()):
        name, one = variable.name, float(variable.where(unknown).max())
        yield (
            f"{name}: {n} values are none of its flag_values, {one:g} among them{_first(unknown)}; add them there, or "
            f"make them NaN: cube[{name!r}] = cube[{name!r}].where(cube[{name!r}].isin(cube[{name!r}].flag_values))"
        )


def _physical_faults(variable: xr.DataArray, about: Statistics) -> Iterator[str]:
    """Rain and temperatures whose values are not of their units."""
    name, units = variable.name, variable.attrs.get("units")
    if is_temperature(variable) and (scale := to_kelvin(units)):
        low, high = (scale[0] * v + scale[1] for v in (about.low, about.high))
        other = "degC" if scale == (1.0, 0.0) else "K"
        if low < COLDEST_K or high > WARMEST_K:
            yield (
                f"{name}: a temperature from {low:.4g} to {high:.4g} K by its units {units!r}; set what the values "
                f"are, for instance cube[{name!r}].attrs['units'] = {other!r}"
            )
    if is_rain(variable) and (factor := to_mm_per_day(units)):
        low, high = factor * about.low, factor * about.high
        if low < LEAST_RAIN or high > MOST_RAIN:
            yield (
                f"{name}: rain from {low:.4g} to {high:.4g} mm d-1 by its units {units!r}, beyond anything measured; "
                "set units to what the values are, and what is no rain to NaN"
            )


def _first(bad: xr.DataArray) -> str:
    """Where a mask is first true, for a message."""
    if "time" not in bad.dims or "time" not in bad.coords or not bool(bad.any()):
        return ""
    days = bad.any([d for d in bad.dims if d != "time"]).values
    when = bad["time"].values[int(days.argmax())]
    at = bad.isel(time=int(days.argmax()))
    place = np.argwhere(at.values)[0]
    where = ", ".join(f"{d} {i}" for d, i in zip(at.dims, place, strict=True))
    day = np.datetime_as_string(when, "D") if bad["time"].dtype.kind == "M" else when
    return f", first on {day}" + (f" at {where}" if where else "")
