"""Small synthetic cubes with a known truth, for tests, examples and first steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.errors import require_known

# name -> (units, long name, mean, spread of the season, daily noise)
FORCINGS: dict[str, tuple[str, str, float, float, float]] = {
    "precipitation": ("mm d-1", "precipitation", 0.0, 0.0, 0.0),
    "air_temperature": ("K", "air temperature", 285.0, 10.0, 2.0),
    "specific_humidity": ("kg kg-1", "specific humidity", 0.008, 0.003, 0.001),
    "longwave_radiation": ("W m-2", "downward longwave radiation", 320.0, 40.0, 15.0),
    "shortwave_radiation": ("W m-2", "downward shortwave radiation", 200.0, 80.0, 30.0),
    "wind_east": ("m s-1", "eastward wind", 1.0, 0.5, 2.0),
    "wind_north": ("m s-1", "northward wind", 0.0, 0.5, 2.0),
}

LANDCOVER = {1: "forest", 7: "shrubland", 10: "grassland", 12: "cropland"}
Float = NDArray[np.float64]


def mock_cube(
    days: int = 60,
    pixels: int = 12,
    *,
    shape: tuple[int, int] | None = None,
    seed: int = 0,
    predictors: Sequence[str] = ("precipitation", "air_temperature"),
    observed: float = 0.45,
    start: str = "2015-04-01",
) -> xr.Dataset:
    """A synthetic cube in which rain wets the soil and warmth and drainage dry it.

    The wetness follows w[t+1] = w[t] + rain / depth - (drainage + evaporation) w[t], so lagged rain explains it; sand
    drains faster, clay holds more. The same call with ``observed=1`` gives the truth in the gaps.

    Parameters
    ----------
    days, pixels
        Size; `shape` = (y, x) makes a grid instead of scattered pixels.
    seed
        Same seed, same cube.
    predictors
        Names from `FORCINGS`.
    observed
        Share of the pixel-days with an observation.
    start
        First day.

    Returns
    -------
    xarray.Dataset
        Passes `check_cube`; attribute ``synthetic`` is "true".

    Examples
    --------
    >>> cube = mock_cube(days=30, pixels=4)
    >>> dict(cube.sizes)
    {'time': 30, 'pixel': 4}
    """
    for name in predictors:
        require_known(name, FORCINGS, "synthetic predictor")
    n = shape[0] * shape[1] if shape else pixels
    rng = np.random.default_rng([seed, 1])
    time = pd.date_range(start, periods=days, freq="D")
    soil = {"clay": rng.uniform(5, 50, n), "sand": rng.uniform(20, 45, n)}
    forcing = _forcing(rng, time, n)
    ssm = _water_balance(rng, forcing["precipitation"], forcing["air_temperature"], soil["clay"], soil["sand"])
    # the mask has a generator of its own, so that the truth does not depend on the share observed
    seen = np.random.default_rng([seed, 2]).random(ssm.shape) < observed
    return _assemble(time, np.where(seen, ssm, np.nan), {p: forcing[p] for p in predictors}, soil, rng, shape)


def _forcing(rng: np.random.Generator, time: pd.DatetimeIndex, n: int) -> dict[str, Float]:
    season = np.sin(2 * np.pi * (time.day_of_year.to_numpy() - 110) / 365.25)[:, None]
    fields = {
        name: mean + spread * season + noise * rng.standard_normal((len(time), n))
        for name, (_, _, mean, spread, noise) in FORCINGS.items()
    }
    rain = rng.gamma(0.8, 9.0, (len(time), n)) * (rng.random((len(time), n)) < 0.25)
    return fields | {"precipitation": rain, "specific_humidity": np.maximum(fields["specific_humidity"], 1e-4)}


def _water_balance(rng: np.random.Generator, rain: Float, temperature: Float, clay: Float, sand: Float) -> Float:
    """Volumetric soil moisture (time, pixel), m3 m-3, with retrieval noise of 0.01."""
    residual, porosity = 0.03 + 0.001 * clay, 0.36 + 0.002 * clay
    loss = 0.05 + 0.002 * sand + 0.004 * np.clip(temperature - 273.15, 0, None)
    wetness = np.empty_like(rain)
    now = np.full(rain.shape[1], 0.3)
    for day in range(len(rain)):
        now = np.clip(now + rain[day] / 50.0 - loss[day] * now, 0.0, 1.0)
        wetness[day] = now
    ssm = residual + (porosity - residual) * wetness + 0.01 * rng.standard_normal(rain.shape)
    return np.clip(ssm, 0.02, 0.6)


def _assemble(
    time: pd.DatetimeIndex,
    ssm: Float,
    forcing: dict[str, Float],
    soil: dict[str, Float],
    rng: np.random.Generator,
    shape: tuple[int, int] | None,
) -> xr.Dataset:
    n = ssm.shape[1]
    space, size = (("y", "x"), shape) if shape else (("pixel",), (n,))

    def daily(values: Float, **attrs: object) -> tuple[object, ...]:
        return ("time", *space), values.reshape(len(time), *size).astype("float32"), attrs

    def constant(values: NDArray[np.generic], **attrs: object) -> tuple[object, ...]:
        return space, values.reshape(size), attrs

    dynamic = {k: daily(v, units=FORCINGS[k][0], long_name=FORCINGS[k][1]) for k, v in forcing.items()}
    static = {
        k: constant(v.astype("float32"), units="percent", long_name=f"{k} content of the soil") for k, v in soil.items()
    }
    classes = np.array([*LANDCOVER], "int8")
    flags = {"flag_values": classes, "flag_meanings": " ".join(LANDCOVER.values()), "long_name": "land cover"}
    lat, lon = _places(rng, shape, n)
    coords = {
        "time": time,
        "lat": constant(lat, units="degrees_north", standard_name="latitude"),
        "lon": constant(lon, units="degrees_east", standard_name="longitude"),
    }
    if shape:
        metres = {"units": "m", "long_name": "projected coordinate"}
        coords |= {"y": ("y", -9000.0 * np.arange(shape[0]), metres), "x": ("x", 9000.0 * np.arange(shape[1]), metres)}
    target = daily(ssm, units="m3 m-3", long_name="surface soil moisture (synthetic)")
    return xr.Dataset(
        {"ssm": target, **dynamic, **static, "landcover": constant(rng.choice(classes, n), **flags)},
        coords,
        {"title": "Synthetic cube from a toy water balance", "synthetic": "true"},
    )


def _places(rng: np.random.Generator, shape: tuple[int, int] | None, n: int) -> tuple[Float, Float]:
    if shape is None:
        return rng.uniform(32, 44, n), rng.uniform(-110, -85, n)
    lat, lon = np.meshgrid(40 - 0.1 * np.arange(shape[0]), -100 + 0.1 * np.arange(shape[1]), indexing="ij")
    return lat.ravel(), lon.ravel()
