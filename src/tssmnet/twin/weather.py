"""Daily weather of the twin: monsoon rain in moving fronts, temperature with lapse rate, clouds, radiation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, ndtr

from tssmnet.data.processing import DAYS_PER_YEAR
from tssmnet.twin.grid import Grid
from tssmnet.twin.land import Land
from tssmnet.twin.waves import Waves, make_waves

Array = NDArray[np.float64]

# Mean annual sea-level temperature (deg C) and half annual range (K) by latitude, rough normals of eastern China.
LATITUDE = (18.0, 23.0, 31.0, 36.0, 40.0, 45.8, 53.0)
MEAN_C = (25.5, 22.2, 16.8, 14.3, 12.3, 5.0, -3.0)
HALF_RANGE = (5.0, 7.5, 11.8, 13.8, 15.5, 20.5, 23.5)
LAPSE_K_PER_M = 0.0042  # smaller than in free air: a plateau is heated from below

# Fields: name -> (peak wavelength km, shortest km, correlation from day to day, wind m a day east, north).
FIELDS = {
    "fronts": (1500.0, 500.0, 0.62, 7.0e5, -0.6e5),
    "storms": (420.0, 140.0, 0.25, 4.0e5, 0.0),
    "warmth": (2200.0, 700.0, 0.80, 6.0e5, -1.2e5),
    "season": (2600.0, 900.0, 0.975, 0.0, 0.0),
}

RAIN_SHAPE = 1.35  # power of the exponential law of daily amounts: heavier tail than exponential
FROM_C_TO_K = 273.15


@dataclass(frozen=True)
class Day:
    """Weather of one day on the land cells, each of shape (pixel,).

    Precipitation mm d-1, mean air temperature K, cloud cover 0..1, radiation (daily mean downward shortwave) W m-2.
    """

    precipitation: Array
    air_temperature: Array
    cloud: Array
    radiation: Array


class Weather:
    """Weather of consecutive days; the state is the wave coefficients, so a run can stop and go on."""

    def __init__(self, grid: Grid, land: Land, seed: int, first_day: int) -> None:
        self.grid, self.land, self.seed, self.day = grid, land, seed, first_day
        self.lat = grid.points[1]
        self.waves: dict[str, Waves] = {n: make_waves(grid.x, grid.y, f[0], f[1]) for n, f in FIELDS.items()}
        self.state = {n: w.draw(self._rng(i)) for i, (n, w) in enumerate(self.waves.items())}
        self.mean_c = np.interp(self.lat, LATITUDE, MEAN_C) - LAPSE_K_PER_M * land.dem
        self.half_range = np.interp(self.lat, LATITUDE, HALF_RANGE) * (1 - 0.065 * land.dem / 1000)

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, 100 + stream, self.day])

    def step(self, date: np.datetime64) -> Day:
        """Weather of the next day."""
        self.day += 1
        fields = {}
        for i, (name, (_, _, memory, east, north)) in enumerate(FIELDS.items()):
            self.state[name] = self.waves[name].step(self.state[name], self._rng(i), memory, (east, north))
            fields[name] = self.grid.pack(self.waves[name].field(self.state[name])).astype(float)
        return self._weather(fields, day_of_year(date))

    def _weather(self, fields: dict[str, Array], doy: float) -> Day:
        summer = 0.5 - 0.5 * np.cos(2 * np.pi * (doy - 15) / DAYS_PER_YEAR)
        large = 0.75 - 0.30 * summer  # fronts rule in winter, storms share in summer
        z = np.sqrt(large) * fields["fronts"] + np.sqrt(1 - large) * fields["storms"]
        monthly = seasonal_rain(self.land, doy) * np.exp(0.35 * fields["season"] - 0.06)
        rain = rain_amount(z, monthly)
        cloud = ndtr(1.1 * z + 1.6 * (wet_chance(monthly) - 0.25))
        cloud = np.where(rain > 0.5, np.maximum(cloud, 0.55 + 0.4 * (1 - np.exp(-rain / 6))), cloud)
        spread = (1.8 + 0.07 * (self.lat - 20)) * (1 - 0.35 * summer)
        temperature = self.mean_c - self.half_range * np.cos(2 * np.pi * (doy - 18) / DAYS_PER_YEAR)
        temperature = (
            temperature + spread * fields["warmth"] - 1.5 * (cloud - 0.5) * summer - 0.8 * fields["season"] * summer
        )
        radiation = top_radiation(self.lat, doy) * (0.77 - 0.52 * cloud**1.5 + 0.00002 * self.land.dem)
        return Day(rain, temperature + FROM_C_TO_K, cloud, radiation)


def day_of_year(date: np.datetime64) -> float:
    """1 on the first of January."""
    return float((date - date.astype("datetime64[Y]")) / np.timedelta64(1, "D")) + 1


def seasonal_rain(land: Land, doy: float) -> Array:
    """Normal rain of the time of year in mm a month (a von Mises curve around the wet season's peak)."""
    angle = 2 * np.pi * (doy - land.peak) / DAYS_PER_YEAR
    return land.precipitation / 12 * np.exp(land.concentration * np.cos(angle)) / np.i0(land.concentration)


def wet_chance(monthly: Array) -> Array:
    """Chance of a wet day where a month brings `monthly` mm."""
    return 0.015 + 0.60 * monthly / (monthly + 75)


def rain_amount(z: Array, monthly: Array) -> Array:
    """Rain in mm d-1 from a standard normal field: wet above a threshold, amounts of a stretched exponential law.

    The expectation is `monthly` / 30.44 whatever the field, so the climate is set by the normals and the field
    only says when and where.
    """
    chance = wet_chance(monthly)
    rank = np.clip((1 - ndtr(z)) / chance, 1e-9, 1.0)  # 1 at the threshold, 0 for the heaviest rain
    scale = monthly / 30.44 / chance / gamma(1 + RAIN_SHAPE)
    return np.minimum(scale * (-np.log(rank)) ** RAIN_SHAPE, 250.0)


def top_radiation(lat: Array, doy: float) -> Array:
    """Daily mean radiation at the top of the atmosphere, W m-2 (FAO-56 eq. 21)."""
    phi, year = np.deg2rad(lat), 2 * np.pi * doy / DAYS_PER_YEAR
    declination = 0.409 * np.sin(year - 1.39)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    shape = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return 1361 / np.pi * (1 + 0.033 * np.cos(year)) * shape


def potential_evaporation(air_temperature: Array, radiation: Array, dem: Array) -> Array:
    """Makkink's potential evaporation in mm d-1: 0.65 slope / (slope + gamma) times radiation over latent heat."""
    t = np.clip(air_temperature - FROM_C_TO_K, -30, 45)
    slope = 4098 * 0.6108 * np.exp(17.27 * t / (t + 237.3)) / (t + 237.3) ** 2
    psychrometric = 0.0665 * np.exp(-dem / 8200)
    return np.where(t > -10, 0.65 * slope / (slope + psychrometric) * radiation * 0.0864 / 2.45, 0.0)
