"""One run of the twin, day after day: weather, water, plants, and what each observer saw of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.twin import observers, water
from tssmnet.twin.grid import Grid
from tssmnet.twin.land import Land
from tssmnet.twin.orbits import cycle_day
from tssmnet.twin.weather import Weather, day_of_year, potential_evaporation

Values = dict[str, NDArray[Any]]
NIGHT_DEMAND = 0.08  # share of a day's potential evaporation between 6 pm and 6 am
COMPOSITE_DAYS = 16

# Days since 1970 seed the daily draws, so a date has the same noise whatever the record's length.
UNIX = np.datetime64("1970-01-01")


class Run:
    """The twin in motion.

    A day runs from 6 pm to 6 pm: a night half ends at SMAP's morning overpass, a day half at its evening one. A
    quarter of a date's rain falls before 6 am, half until 6 pm and a quarter after.
    """

    def __init__(self, grid: Grid, land: Land, seed: int, start: np.datetime64, spinup: int) -> None:
        self.grid, self.land, self.seed, self.start = grid, land, seed, start
        self.soil = water.hydraulics(land)
        self.limits = water.green_limits(land)
        self.smap = observers.make_smap(grid, land, self.soil, seed)
        self.cci = observers.make_cci(grid, self.soil, seed)
        self.stations = observers.make_stations(grid, seed)
        self.date = start - spinup
        self.weather = Weather(grid, land, seed, int((self.date - UNIX).astype(int)))
        self.state = water.first_state(land, self.soil, self.weather.mean_c + 273.15)
        self.rain_left = np.zeros(len(land.dem))
        n = len(self.stations.pixel)
        self.station_state = observers.StationState(np.zeros(n), np.ones(n, bool))
        self.best = np.full((2, len(land.dem)), np.nan)
        while self.date < start:
            self.advance()

    def advance(self) -> Values:
        """Run one date and return everything true about it, each of shape (pixel,)."""
        date = self.date
        day = self.weather.step(date)
        demand = potential_evaporation(day.air_temperature, day.radiation, self.land.dem)
        out: Values = {
            "precipitation": day.precipitation, "air_temperature": day.air_temperature, "cloud_cover": day.cloud,
            "radiation": day.radiation,
        }  # fmt: skip
        self._half(day, self.rain_left + 0.25 * day.precipitation, NIGHT_DEMAND * demand)
        out["ssm_true"], out["deep_moisture"] = water.moisture(self.state)
        out["frozen"] = water.frozen(self.state)
        out["snow_water"] = self.state.snow
        out["lst_true"] = water.surface_temperature(
            self.state, self.soil, day.air_temperature, day.radiation, self.land
        )
        self._half(day, 0.5 * day.precipitation, (1 - NIGHT_DEMAND) * demand)
        out["ssm_true_pm"] = water.moisture(self.state)[0]
        self.rain_left = 0.25 * day.precipitation
        green = water.green_step(self.state.green, self.limits, self.soil, self.state.deep / water.DEEP_MM,
                                 self.state.soil_temperature)  # fmt: skip
        self.state = replace(self.state, green=green)
        out["green"] = green
        self.date = date + 1
        return out

    def _half(self, day: Any, rain: NDArray, demand: NDArray) -> None:
        self.state, _ = water.water_step(self.state, self.soil, rain, day.air_temperature, demand, 0.5)
        soil_temperature = water.soil_temperature_step(self.state, day.air_temperature, 0.5)
        self.state = replace(self.state, soil_temperature=soil_temperature)

    def observe(self, date: np.datetime64, truth: Mapping[str, NDArray[Any]]) -> Values:
        """What was seen on a date: SMAP, MODIS, reanalysis, ESA CCI, stations."""
        rng = np.random.default_rng([self.seed, 200, int((date - UNIX).astype(int))])
        cycle, plants = (
            cycle_day(date),
            self.smap.density * observers.vegetation_water(self.land, self.limits, truth["green"]),
        )
        frost, snow = truth["frozen"], truth["snow_water"]
        out: Values = {}
        for name, theta in (("am", truth["ssm_true"]), ("pm", truth["ssm_true_pm"])):
            seen = self.smap.masks[name][cycle]
            values = observers.smap_retrieval(self.smap, seen, theta, plants, frost, snow, rng)
            out[f"ssm_{name}"], out["gap_cause" if name == "am" else "gap_cause_pm"] = values
        out["lst_clear"] = observers.modis_lst(truth["lst_true"], truth["cloud_cover"], rng)
        out["precipitation"], out["air_temperature"], out["radiation"] = observers.reanalysis(
            truth["precipitation"], truth["air_temperature"], truth["radiation"], rng
        )
        index = observers.modis_index(
            water.ndvi(truth["green"]), water.evi(truth["green"]), truth["cloud_cover"], snow, rng
        )
        greener = ~(index[0] <= self.best[0]) & ~np.isnan(index[0])
        self.best = np.where(greener, np.stack(index), self.best)
        closed = frost | (snow > observers.SNOW_MM) | self.smap.water
        out["sm"], out["sm_uncertainty"] = observers.cci_retrieval(
            self.cci, cycle, truth["ssm_true"], self.smap.pivot, plants, closed, rng
        )
        out["soil_moisture"], out["soil_moisture_flag"], self.station_state = observers.station_readings(
            self.stations, self.station_state, truth["ssm_true"], self.smap.pivot, frost, rng
        )
        return out

    def take_composite(self) -> NDArray:
        """The best NDVI and its EVI since the last call, shape (2, pixel), and start anew."""
        best, self.best = self.best, np.full_like(self.best, np.nan)
        return best


def composite_start(date: np.datetime64) -> np.datetime64:
    """First day of the 16-day period that a day is in: day 1, 17, ... of each year, as MOD13 counts them."""
    doy = int(day_of_year(date)) - 1
    return date - doy % COMPOSITE_DAYS


def blocks(run: Run, end: np.datetime64, block_days: int) -> Iterator[tuple[int, dict[str, Values]]]:
    """Run on to `end` and give blocks of days: index of the first day, then ``truth``, ``seen`` (day, place) and
    ``composites``.

    ``composites`` maps the start of each period that ended within the block to its NDVI and EVI, shape (2, pixel).
    """
    while run.date < end:
        first = int((run.date - run.start).astype(int))
        truths, seen, composites = [], [], {}
        for _ in range(min(block_days, int((end - run.date).astype(int)))):
            date = run.date
            truths.append(_single(run.advance()))
            seen.append(_single(run.observe(date, truths[-1])))
            if composite_start(date + 1) == date + 1 or date + 1 == end:
                composites[str(composite_start(date))] = run.take_composite().astype(np.float32)
        stacked = {k: np.stack([t[k] for t in truths]) for k in truths[0]}
        stacked_seen = {k: np.stack([s[k] for s in seen]) for k in seen[0]}
        yield first, {"truth": stacked, "seen": stacked_seen, "composites": composites}


def _single(values: Values) -> Values:
    """Double precision made single, the rest as it is."""
    return {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in values.items()}
