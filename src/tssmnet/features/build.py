"""What a model sees, built from any cube: forcing of the day, memory of the days before, season, place, descriptors.

All windows end on the day itself. Descriptors, and the screening among them, see the training observations only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import dynamic_names, in_standard_units, is_categorical, is_rain, static_names, to_pixels
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.descriptors import NAMES, describe_series
from tssmnet.features.samples import Features
from tssmnet.features.screening import Screening, screen

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

RAIN_SUMS = (2, 3, 5, 7, 10, 15, 20, 30, 45, 60)
"""Days over which rain is added up, the day itself included."""

RAIN_LAGS = (1, 2, 3)
"""Days back whose rain is given singly."""

RAIN_DECAYS = (0.8, 0.9, 0.95)
"""Daily decay k of the antecedent precipitation index, API[t] = P[t] + k API[t-1]."""

STATE_MEANS = (3, 7, 30)
"""Days over which the other forcings are averaged."""

WET_DAY = 1.0
"""Rain, mm d-1, from which a day is wet."""

DRY_CAP = 60
"""Days after which the count of dry days stops."""

FEATURE_SETS: dict[str, dict[str, Any]] = {
    "base": {},
    "base+desc": {"descriptors": "full"},
    "base+screened": {"descriptors": "screened"},
    "lag": {"memory": True},
    "lag+desc": {"memory": True, "descriptors": "full"},
    "lag+screened": {"memory": True, "descriptors": "screened"},
}
"""Name to the options of `build_features`: the sets that the evaluation compares."""


def build_features(
    cube: xr.Dataset,
    observed: Mask | None = None,
    *,
    memory: bool = False,
    descriptors: Literal["full", "screened"] | None = None,
    season: bool = True,
    position: bool = True,
) -> Features:
    """Features of every pixel-day of a cube.

    Parameters
    ----------
    cube
        Dims (time, pixel) or (time, y, x); predictors may have gaps, which stay NaN.
    observed
        Shape (time, pixel): the training observations. Descriptors see no other value of ``ssm``. None takes every
        observation, which is right only where nothing is held back for scoring.
    memory
        Add what the days before brought: see `memory_columns`.
    descriptors
        ``"full"`` adds the 31 temporal descriptors, ``"screened"`` those that `screen_descriptors` keeps. A pixel
        without a training observation has NaN there.
    season, position
        Add sine and cosine of the day of the year; latitude and longitude in degrees.

    Returns
    -------
    Features
        Groups ``forcing``, ``memory``, ``season``, ``static``, ``position``, ``descriptor``.

    Raises
    ------
    TssmnetError
        If `observed` has another shape than the cube, or two features bear one name.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> features = build_features(mock_cube(days=40, pixels=3), descriptors="full", memory=True)
    >>> features.dynamic.shape, features.static.shape
    ((40, 3, 24), (3, 39))
    """
    pixels = to_pixels(in_standard_units(cube))
    observed = _training(pixels, observed)
    dynamic, names, groups = _dynamic(pixels, memory, season)
    static = _static(pixels)
    groups |= dict.fromkeys(static, "static")
    if position:
        static |= {name: np.asarray(pixels[name].values, np.float32) for name in ("lat", "lon")}
        groups |= {"lat": "position", "lon": "position"}
    if descriptors is not None:
        own = _descriptors(pixels, observed, descriptors)
        groups |= dict.fromkeys(own, "descriptor")
        static = _united(static, own)
    _united(dict.fromkeys(names, static), static)
    if len(set(names)) < len(names):
        raise TssmnetError(f"two features bear one name among {', '.join(names)}; rename the variable")
    table = np.stack(list(static.values()), 1) if static else np.empty((pixels.sizes["pixel"], 0))
    return Features(dynamic, table.astype(np.float32), names, tuple(static), groups)


def _training(pixels: xr.Dataset, observed: Mask | None) -> Mask:
    """The mask of training observations, checked; values that are missing anyway do not count."""
    shape = (pixels.sizes["time"], pixels.sizes["pixel"])
    if observed is None:
        return np.asarray(np.isfinite(pixels["ssm"].values))
    observed = np.asarray(observed, bool)
    if observed.shape != shape:
        raise TssmnetError(f"observed must have the shape (time, pixel) = {shape} of the cube; got {observed.shape}")
    return observed


def _united(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both, if they share no name."""
    clash = set(first) & set(second)
    if clash:
        raise TssmnetError(f"two features bear one name: {', '.join(sorted(clash))}; rename the variable")
    return first | second


SEASON = ("season_sin", "season_cos")


def _dynamic(pixels: xr.Dataset, memory: bool, season: bool) -> tuple[Float, tuple[str, ...], dict[str, str]]:
    """The array (time, pixel, d), its names and their groups; one variable is read and spread at a time."""
    variables = [pixels[n] for n in dynamic_names(pixels)]
    names = [c for v in variables for c, _ in _dynamic_columns(v, memory)] + [*SEASON] * season
    groups = {c: group for v in variables for c, group in _dynamic_columns(v, memory)}
    out = np.empty((pixels.sizes["time"], pixels.sizes["pixel"], len(names)), np.float32)
    at = 0
    for variable in variables:
        values = np.asarray(variable.transpose("time", "pixel").values)
        for column in _same_day(variable, values):
            out[:, :, at] = column
            at += 1
        if memory and not is_categorical(variable):
            for column in memory_columns(values, is_rain(variable)):
                out[:, :, at] = column
                at += 1
    if season:
        angle = 2 * np.pi * pixels["time"].dt.dayofyear.values / 365.25
        out[:, :, -2], out[:, :, -1] = np.sin(angle)[:, None], np.cos(angle)[:, None]
        groups |= dict.fromkeys(SEASON, "season")
    return out, tuple(names), groups


def _dynamic_columns(variable: xr.DataArray, memory: bool) -> list[tuple[str, str]]:
    """(name, group) of each column of a dynamic variable."""
    name = str(variable.name)
    if is_categorical(variable):
        return [(c, "forcing") for c in _classes(variable)]
    return [(name, "forcing"), *((c, "memory") for c in memory_names(name, is_rain(variable)) if memory)]


def _same_day(variable: xr.DataArray, values: NDArray[Any]) -> list[NDArray[Any]]:
    return [*_one_hot(variable, values).values()] if is_categorical(variable) else [values]


def memory_names(name: str, rain: bool) -> tuple[str, ...]:
    """Names of what `memory_columns` computes of a variable, in its order.

    Examples
    --------
    >>> memory_names("air_temperature", rain=False)
    ('air_temperature_mean_3d', 'air_temperature_mean_7d', 'air_temperature_mean_30d')
    """
    if not rain:
        return tuple(f"{name}_mean_{w}d" for w in STATE_MEANS)
    sums, lags = (f"{name}_sum_{w}d" for w in RAIN_SUMS), (f"{name}_lag_{k}d" for k in RAIN_LAGS)
    return (*sums, *(f"{name}_api_{k:g}" for k in RAIN_DECAYS), *lags, f"{name}_dry_days")


def memory_columns(values: NDArray[Any], rain: bool, wet: float = WET_DAY) -> Iterator[Float]:
    """What the days before brought: lagged features of one daily variable.

    Parameters
    ----------
    values
        Shape (time, pixel), consecutive days; NaN where missing.
    rain
        True for precipitation: sums over 2 to 60 days, antecedent precipitation index, rain of each of the last
        three days, days since the last wet day. False for any other variable: means over 3, 7 and 30 days.
    wet
        Rain from which a day is wet, in the unit of `values`.

    Yields
    ------
    ndarray
        Shape (time, pixel), float32, in the order of `memory_names`; one at a time, so that only one is held. Windows
        end on the day itself and are shorter at the start of the record. A missing day is left out of a mean, takes
        the mean of its window in a sum, and counts as dry in the index and in the count; a window without any value
        is NaN.
    """
    known = np.isfinite(values)
    total = _running(np.where(known, values, 0.0))
    count = None if known.all() else _running(known)
    for w in RAIN_SUMS if rain else STATE_MEANS:
        yield _window(total, count, w, mean=not rain)
    if rain:
        for k in RAIN_DECAYS:
            yield antecedent_index(values, k)
        for k in RAIN_LAGS:
            yield _lagged(values, k)
        yield dry_days(values, wet)


def _running(values: NDArray[Any]) -> NDArray[np.float64]:
    """Cumulative sums in float64 with a leading row of zeros: differences of rows are window sums."""
    out = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, dtype=np.float64, out=out[1:])
    return out


def _window(total: NDArray[np.float64], count: NDArray[np.float64] | None, days: int, mean: bool) -> Float:
    """Sum or mean over the window of `days` that ends on each day."""
    end = np.arange(1, len(total))
    start = np.maximum(end - days, 0)
    added = total[1:] - total[start]
    length = (end - start).astype(np.float64)[:, None]
    if not mean:
        added[np.abs(added) < 1e-6] = 0.0  # a window without rain is exactly dry, whatever the cumulative sum rounds to
    if count is None:
        return (added / length if mean else added).astype(np.float32)
    present = count[1:] - count[start]
    share = np.divide(1.0 if mean else length, present, out=np.full_like(present, np.nan), where=present > 0)
    return (added * share).astype(np.float32)


def antecedent_index(rain: NDArray[Any], decay: float) -> Float:
    """Antecedent precipitation index, API[t] = P[t] + decay * API[t-1], shape (time, pixel).

    A missing day adds nothing; NaN until the first known day.

    Examples
    --------
    >>> antecedent_index(np.array([[10.0], [0.0], [2.0]]), 0.5).ravel().tolist()
    [10.0, 5.0, 4.5]
    """
    out = np.empty(rain.shape, np.float32)
    state = np.full(rain.shape[1:], np.nan)
    for day, today in enumerate(rain):
        state = np.where(np.isfinite(today), today + decay * np.nan_to_num(state), decay * state)
        out[day] = state
    return out


def dry_days(rain: NDArray[Any], wet: float = WET_DAY) -> Float:
    """Days since the last wet day, 0 on one, at most `DRY_CAP`; the record is taken to start after a wet day.

    Examples
    --------
    >>> dry_days(np.array([[0.0], [5.0], [0.0], [0.2]])).ravel().tolist()
    [1.0, 0.0, 1.0, 2.0]
    """
    day = np.arange(1, len(rain) + 1).reshape(-1, *[1] * (rain.ndim - 1))
    last = np.maximum.accumulate(np.where(rain >= wet, day, 0), axis=0)
    return np.minimum(day - last, DRY_CAP).astype(np.float32)


def _lagged(values: NDArray[Any], days: int) -> Float:
    """The value `days` before; NaN at the start of the record."""
    out = np.full(values.shape, np.nan, np.float32)
    out[days:] = values[: max(len(values) - days, 0)]
    return out


def _static(pixels: xr.Dataset) -> dict[str, Float]:
    """Constants by name, classes as one column each."""
    columns: dict[str, Float] = {}
    for name in static_names(pixels):
        values = np.asarray(pixels[name].values)
        own = _one_hot(pixels[name], values) if is_categorical(pixels[name]) else {name: values.astype(np.float32)}
        columns = _united(columns, own)
    return columns


def _classes(variable: xr.DataArray) -> dict[str, Any]:
    """Column name to class value. All classes that the attributes declare, so that any part of a map has the same
    columns; of two classes the second alone says all.
    """
    values = np.atleast_1d(variable.attrs["flag_values"])
    meanings = str(variable.attrs.get("flag_meanings", "")).split()
    labels = meanings if len(meanings) == len(values) else [f"{v:g}" for v in values]
    columns = {f"{variable.name}={label}": v for label, v in zip(labels, values, strict=True)}
    return dict(list(columns.items())[1:]) if len(columns) == 2 else columns


def _one_hot(variable: xr.DataArray, values: NDArray[Any]) -> dict[str, Float]:
    """A column of 0 and 1 for each class; an unknown class is 0 everywhere."""
    return {column: (values == v).astype(np.float32) for column, v in _classes(variable).items()}


def _descriptors(pixels: xr.Dataset, observed: Mask, choice: str) -> dict[str, Float]:
    require_known(choice, ("full", "screened"), "choice of descriptors")
    values = np.where(observed, np.asarray(pixels["ssm"].values), np.nan)
    table = describe_series(values.T)
    kept = NAMES if choice == "full" else screen_descriptors(table).kept
    return {n: table[:, i].astype(np.float32) for i, n in enumerate(NAMES) if n in kept}


def screen_descriptors(table: NDArray[np.float64], **thresholds: Any) -> Screening:
    """Screen the 31 descriptors, shape (pixel, 31), over the pixels that have any; `thresholds` go to `screen`."""
    return screen(table[np.isfinite(table[:, 0])], NAMES, **thresholds)
