"""What a predictor is: rain, a temperature."""

from __future__ import annotations

import xarray as xr

from tssmnet.cube.contract import dynamic_names

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
