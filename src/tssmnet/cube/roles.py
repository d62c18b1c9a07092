"""What a predictor is: rain, the temperature by which a day is frozen, land cover.

A CF ``standard_name`` decides first, then what name and ``long_name`` say together with the units. Of several
candidates the best told one is taken (air before surface before soil); where two are told equally well, or one cannot
be told, that is a fault that names the attribute to set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import xarray as xr

from tssmnet.cube.contract import CubeError, dynamic_names, is_categorical, static_names
from tssmnet.cube.units import are_known, to_kelvin, to_mm_per_day

DOUBT = 99
"""Rank of what may be meant, and is not told."""

_RAIN_STANDARD = re.compile(r"(lwe_|thickness_of_)*(precipitation|rainfall)(_rate|_flux|_amount)")
_PART_OF_RAIN = re.compile(r"precipitation|rainfall")
_RAIN = re.compile(r"precip|(?<![a-z])rain|(?<![a-z])(prcp|ppt|apcp|pcp)(?![a-z])")
_RAIN_SHORT = re.compile(r"(tp|pr|p|rr|rf|pre|prec)")
_NO_RAIN = re.compile(
    r"evap|transpir|runoff|snow|melt|drain|intercept|deficit|anomal|probab|duration|number|days|hours|type|flag"
    r"|fraction|ratio|climatolog|infiltrat|uncertain|error|quality|recharge|irrigat|percolat|storage|canopy|biomass"
    r"|moisture|soil|(?<![a-z])(et|pet|e|pev|swe|sd|ro|sro|ssro|lai|depth|height|wtd)(?![a-z])"
)
_SHARE_OF_RAIN = re.compile(r"convective|stratiform|large.?scale|maximum|minimum|max(?![a-z])|min(?![a-z])")

_AIR = re.compile(
    r"(?<![a-z])(t2m|2t|t2|tas|tair|tmp|tmean|tavg|tm|tmin|tmax|tasmin|tasmax|t2mmin|t2mmax)(?![a-z0-9])"
    r"|air.?temp|2.?m(et(re|er))?.?temp|temp\w*.{1,4}2.?m"
)
_SURFACE = re.compile(r"(?<![a-z])(skt|lst|ts|tskin|avgsurft)(?![a-z0-9])|(skin|surface).{0,6}temp")
_SOIL = re.compile(r"(?<![a-z])(stl\d?|tsoil|soilt|soiltmp)(?![a-z])|soil.{0,8}temp")
_ANY_TEMPERATURE = re.compile(r"temp")
_NO_TEMPERATURE = re.compile(
    r"range|differen|diff(?![a-z])|anomal|amplitude|dtr|diurnal|deviation|(?<![a-z])(std|err)(?![a-z])|spread|trend"
    r"|gradient|bright|(?<![a-z])tb|dew|error|uncertain|lapse|wet.?bulb|virtual|potential|index|sea.?surf|bias|cloud.?top"
    r"|change|tendency|degree.?day|varian"
)
_EXTREME = re.compile(r"min|max")
_LAND_COVER = re.compile(r"land.?(cover|use)|igbp|lccs|lc.?type|(?<![a-z])lulc|vegetation.?(type|class)|biome")


def roles(cube: xr.Dataset) -> dict[str, str]:
    """The predictors whose meaning matters: ``rain``, ``temperature`` and ``landcover``, those that there are.

    Raises
    ------
    CubeError
        If what is rain or temperature cannot be told.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> roles(mock_cube(days=3, pixels=2))
    {'rain': 'precipitation', 'temperature': 'air_temperature', 'landcover': 'landcover'}
    """
    if faults := [*role_faults(cube)]:
        raise CubeError(faults)
    found = {role: _best(_ranked(cube, rank_of)) for role, (rank_of, _) in _TOLD.items()}
    cover = [n for n in (*static_names(cube), *dynamic_names(cube)) if _is_land_cover(cube[n])]
    found["landcover"] = cover[:1]
    return {role: names[0] for role, names in found.items() if names}


def role_faults(cube: xr.Dataset) -> Iterator[str]:
    """What stands in the way of telling rain and temperature, one line each."""
    for role, (rank_of, standard) in _TOLD.items():
        ranked = _ranked(cube, rank_of)
        best = _best(ranked)
        unclear = [n for n, rank in ranked.items() if rank == DOUBT]
        if len(best) > 1:
            yield (
                f"{', '.join(best)}: each may be the {role} and nothing says which is meant; give that one alone the "
                f"attribute standard_name {standard!r}, and remove it from the others"
            )
        elif not best and unclear:
            yield (
                f"{', '.join(unclear)}: this may be the {role}, but the attributes do not tell; set standard_name to "
                f"{standard!r} if it is, or to what else it is (if CF has no name for it, to 'other')"
            )
    for name in dynamic_names(cube):
        yield from _unit_faults(cube[name])


def is_rain(variable: xr.DataArray) -> bool:
    """Whether a predictor is precipitation, all of it or a part (convective, say)."""
    rank = _rain_rank(variable)
    return rank is not None and rank < DOUBT


def is_temperature(variable: xr.DataArray) -> bool:
    """Whether a predictor is the absolute temperature of air, surface or soil."""
    rank = _temperature_rank(variable)
    return rank is not None and rank < DOUBT


def _ranked(cube: xr.Dataset, rank_of: Callable[[xr.DataArray], int | None]) -> dict[str, int]:
    ranks = {n: rank_of(cube[n]) for n in dynamic_names(cube)}
    return {n: rank for n, rank in ranks.items() if rank is not None}


def _best(ranked: dict[str, int]) -> list[str]:
    """The names of the lowest rank, of those that are told."""
    told = {n: rank for n, rank in ranked.items() if rank < DOUBT}
    return [n for n, rank in told.items() if rank == min(told.values())]


def _standard(variable: xr.DataArray) -> str:
    """The CF standard name; "unknown", as ERA5 has it, is none."""
    name = str(variable.attrs.get("standard_name", "")).strip().lower()
    return "" if name in ("unknown", "none", "-", "n/a") else name


def _words(variable: xr.DataArray) -> str:
    return f"{variable.name} {variable.attrs.get('long_name', '')}".lower().replace("_", " ")


def _rain_rank(variable: xr.DataArray) -> int | None:
    """How well a variable is told to be rain: 0 by standard name, 2 a part of it, 3 by words; None if it is not."""
    standard, words = _standard(variable), _words(variable)
    if is_categorical(variable):
        return None
    if standard:
        if _RAIN_STANDARD.fullmatch(standard):
            return 0
        return 2 if _PART_OF_RAIN.search(standard) and not _NO_RAIN.search(standard) else None
    if _NO_RAIN.search(words) or to_mm_per_day(variable.attrs.get("units", "")) is None:
        return None
    if _RAIN.search(words):
        return 4 if _SHARE_OF_RAIN.search(words) else 3
    untold = not variable.attrs.get("long_name") and not re.fullmatch(r"\s*[ck]?m\s*", str(variable.attrs["units"]))
    return DOUBT if untold or _RAIN_SHORT.fullmatch(str(variable.name).lower()) else None


_TEMPERATURE_STANDARD = {
    "air_temperature": 0, "surface_temperature": 2, "land_surface_temperature": 2, "land_surface_skin_temperature": 2,
    "soil_surface_temperature": 4, "soil_temperature": 4,
}  # fmt: skip


def _temperature_rank(variable: xr.DataArray) -> int | None:
    """How well a variable is told to be a temperature, air before surface before soil, means before extremes."""
    standard, words = _standard(variable), _words(variable)
    units = variable.attrs.get("units", "")
    if is_categorical(variable) or _NO_TEMPERATURE.search(words) or to_kelvin(units) is None:
        return None
    extreme = int(bool(_EXTREME.search(f"{words} {variable.attrs.get('cell_methods', '')}".lower())))
    if standard:
        return None if standard not in _TEMPERATURE_STANDARD else _TEMPERATURE_STANDARD[standard] + extreme
    for rank, pattern in ((6, _AIR), (10, _SURFACE), (12, _SOIL), (8, _ANY_TEMPERATURE)):
        if pattern.search(words):
            return rank + extreme
    return DOUBT


_TOLD: dict[str, tuple[Callable[[xr.DataArray], int | None], str]] = {
    "rain": (_rain_rank, "lwe_precipitation_rate"),
    "temperature": (_temperature_rank, "air_temperature"),
}
"""Role to how it is told and the standard name that tells it."""


def _is_land_cover(variable: xr.DataArray) -> bool:
    words = f"{_words(variable)} {_standard(variable)}"
    return is_categorical(variable) and bool(_LAND_COVER.search(words) or _standard(variable) == "area_type")


def _unit_faults(variable: xr.DataArray) -> Iterator[str]:
    """A standard name that promises rain or a temperature, and units that are of neither."""
    units, standard, words = variable.attrs.get("units"), _standard(variable), _words(variable)
    if units is None or is_categorical(variable):
        return
    known = are_known(units)
    rain = _RAIN_STANDARD.fullmatch(standard) if standard else not known and _is_called_rain(words)
    warm = standard in _TEMPERATURE_STANDARD if standard else not known and "temperature" in words
    if rain and to_mm_per_day(units) is None:
        yield f"{variable.name}: units {str(units)!r} are none of rain; convert the values and set units to 'mm d-1'"
    if warm and to_kelvin(units) is None and not _NO_TEMPERATURE.search(words):
        yield f"{variable.name}: units {str(units)!r} are none of a temperature; use 'K' or 'degC'"


def _is_called_rain(words: str) -> bool:
    return bool(_RAIN.search(words)) and not _NO_RAIN.search(words)
