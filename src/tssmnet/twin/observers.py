"""The instruments that observe the twin: SMAP, MODIS, ESA CCI, stations, each with its own errors and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tssmnet.twin.grid import Grid, inside_outline
from tssmnet.twin.land import Land
from tssmnet.twin.orbits import overpass_masks
from tssmnet.twin.stations import StationTable, station_table
from tssmnet.twin.water import Hydraulics
from tssmnet.twin.waves import make_waves

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]

# Why a cell has no value on a day, strongest first; the index is the CF flag value.
GAP_CAUSES = ("observed", "orbit", "frost", "snow", "vegetation", "water")
STATION_FLAGS = ("G", "D01", "D06", "M")  # good; soil below 0 deg C; spike; missing (after the ISMN's letters)
DENSE_VEGETATION = 5.0  # kg m-2 of vegetation water, above which SMAP does not recommend its retrievals
OPEN_WATER = 0.10  # fraction
SNOW_MM = 4.0
SMALLEST_SSM = 0.02  # the floor of SMAP's retrievals
CCI_DEGREES = 0.25

# Largest vegetation water content (kg m-2) by IGBP class; woody plants keep half of it the year round.
VEGETATION_WATER = {
    1: 6.5, 2: 6.5, 3: 5.4, 4: 5.4, 5: 5.8, 6: 2.0, 7: 0.8, 8: 4.6, 9: 3.0, 10: 1.6, 11: 3.0, 12: 3.6, 13: 2.5, 14: 3.6,
    15: 0.0, 16: 0.1, 17: 0.5,
}  # fmt: skip

WET_BIAS = 0.012  # m3 m-3 per kg m-2 of vegetation water: forests look wetter than they are
WOODY = (1, 2, 3, 4, 5, 8)


@dataclass(frozen=True)
class Smap:
    """What is fixed about the radiometer and the cells: repeat-cycle masks (8, pixel), error fields (pixel,)."""

    masks: dict[str, Bool]
    bias: Array
    pivot: Array
    ceiling: Array
    water: Bool
    density: Array


@dataclass(frozen=True)
class Cci:
    """The 0.25 degree grid of ESA CCI: places of its land cells, their twin cells, error fields, sampling masks."""

    lon: Array
    lat: Array
    nearest: NDArray[np.int64]
    owner: NDArray[np.int64]
    bias: Array
    gain: Array
    masks: Bool


@dataclass(frozen=True)
class Stations:
    """Stations on the twin's cells and each one's own gain and offset against its cell."""

    table: StationTable
    kept: NDArray[np.int64]
    pixel: NDArray[np.int64]
    gain: Array
    offset: Array
    spread: Array


@dataclass
class StationState:
    """Local anomaly (m3 m-3) and whether the logger runs, shape (station,)."""

    local: Array
    running: Bool


def _smooth(grid: Grid, rng: np.random.Generator, peak_km: float = 300.0) -> Array:
    waves = make_waves(grid.x, grid.y, peak_km=peak_km, shortest_km=90.0)
    return grid.pack(waves.field(waves.draw(rng))).astype(float)


def make_smap(grid: Grid, land: Land, soil: Hydraulics, seed: int) -> Smap:
    """Masks of both overpasses and the error fields that do not change in time."""
    rng = np.random.default_rng([seed, 10])
    bias = 0.030 * _smooth(grid, rng) + 0.020 * rng.standard_normal(len(land.dem))
    pivot = 0.5 * (soil.wilting + soil.field_capacity)
    # How much of a class's plants a cell really has: no two forests are alike.
    density = np.exp(0.20 * _smooth(grid, rng, 200.0) + 0.12 * rng.standard_normal(len(land.dem)) - 0.05)
    water = land.water_fraction > OPEN_WATER
    return Smap(overpass_masks(*grid.points), bias, pivot, soil.saturation, water, density)


def vegetation_water(land: Land, limits: tuple[Array, Array], green: Array) -> Array:
    """Vegetation water content in kg m-2 from green cover: leaves in proportion, wood all year."""
    table = np.zeros(max(VEGETATION_WATER) + 1)
    table[list(VEGETATION_WATER)] = list(VEGETATION_WATER.values())
    share = np.clip(green / np.maximum(limits[0], 0.05), 0, 1)
    wood = np.isin(land.landcover, WOODY)
    return table[land.landcover] * np.where(wood, 0.55 + 0.45 * share, share)


def smap_retrieval(
    smap: Smap, seen: Bool, theta: Array, vegetation: Array, frost: Bool, snow: Array, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int8]]:
    """Soil moisture as SMAP would give it, and the cause of each gap.

    The error grows with vegetation water: noise 0.012 + 0.0055 per kg m-2, less sensitivity (2.5 % per kg m-2) around
    the middle of the soil's range, a wet bias of 0.012 per kg m-2 and a fixed bias per cell (sd 0.036).

    Returns
    -------
    ssm
        m3 m-3, NaN where not seen or not recommended.
    cause
        Index into `GAP_CAUSES`.
    """
    noise = rng.standard_normal(len(theta)) * (0.012 + 0.0055 * vegetation)
    seen_theta = smap.pivot + (theta - smap.pivot) * (1 - 0.025 * vegetation)
    value = np.clip(seen_theta + smap.bias + WET_BIAS * vegetation + noise, SMALLEST_SSM, smap.ceiling)
    dense = vegetation > DENSE_VEGETATION
    cause = np.select([smap.water, ~seen, frost, snow > SNOW_MM, dense], [5, 1, 2, 3, 4], 0).astype(np.int8)
    return np.where(cause == 0, value, np.nan), cause


def modis_lst(lst: Array, cloud: Array, rng: np.random.Generator) -> Array:
    """Clear-sky LST (K) with 1 K noise; NaN where cloud hides too much of the cell."""
    noise = rng.standard_normal((2, len(lst)))
    return np.where(cloud + 0.15 * noise[0] < 0.62, lst + noise[1], np.nan)


def modis_index(ndvi: Array, evi: Array, cloud: Array, snow: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """NDVI and EVI of the day: haze lowers both, snow hides the plants, cloud (NaN) all."""
    haze = rng.exponential(0.03, len(ndvi))
    noise = 0.012 * rng.standard_normal((2, len(ndvi)))
    clear = cloud + 0.15 * rng.standard_normal(len(ndvi)) < 0.62
    white = snow > SNOW_MM
    seen_ndvi = np.where(white, 0.03, ndvi - haze) + noise[0]
    seen_evi = np.where(white, 0.03, evi - 0.6 * haze) + noise[1]
    return np.where(clear, seen_ndvi, np.nan), np.where(clear, seen_evi, np.nan)


def reanalysis(
    rain: Array, temperature: Array, radiation: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Forcing as a reanalysis would give it: amounts off by a factor, some drizzle missed or added, 0.9 K, 8 %."""
    noise = rng.standard_normal((3, len(rain)))
    factor = np.exp(0.40 * noise[0] - 0.08)
    drizzle = np.where(rng.random(len(rain)) < 0.02, rng.exponential(0.8, len(rain)), 0.0)
    seen = np.where(rain < 0.5, rain * (rng.random(len(rain)) > 0.4), rain * factor) + drizzle
    return seen, temperature + 0.9 * noise[1], np.maximum(radiation * (1 + 0.08 * noise[2]), 1.0)


def make_cci(grid: Grid, soil: Hydraulics, seed: int) -> Cci:
    """Land cells of the 0.25 degree grid within the window."""
    from scipy.spatial import cKDTree

    lon, lat = grid.points
    pad = CCI_DEGREES / 2
    columns = np.arange(np.floor((lon.min() - pad) / CCI_DEGREES), np.ceil((lon.max() + pad) / CCI_DEGREES))
    rows = np.arange(np.floor((lat.min() - pad) / CCI_DEGREES), np.ceil((lat.max() + pad) / CCI_DEGREES))
    cci_lon, cci_lat = np.meshgrid((columns + 0.5) * CCI_DEGREES, (rows[::-1] + 0.5) * CCI_DEGREES)
    inside = inside_outline(cci_lon, cci_lat)
    cci_lon, cci_lat = cci_lon[inside], cci_lat[inside]
    nearest = cKDTree(np.stack([lon, lat], 1)).query(np.stack([cci_lon, cci_lat], 1))[1]
    owner = cKDTree(np.stack([cci_lon, cci_lat], 1)).query(
        np.stack([lon, lat], 1), distance_upper_bound=CCI_DEGREES / np.sqrt(2)
    )[1]
    rng = np.random.default_rng([seed, 11])
    bias = (0.02 + 0.025 * _smooth(grid, rng, 600.0))[nearest]
    gain = np.exp(-0.25 + 0.15 * _smooth(grid, rng, 600.0))[nearest]
    passes = [overpass_masks(cci_lon, cci_lat, phase) for phase in (0.09, 0.03)]
    masks = passes[0]["am"] | passes[0]["pm"] | passes[1]["am"]
    return Cci(cci_lon, cci_lat, nearest, owner, bias, gain, masks)


def cci_mean(cci: Cci, values: Array) -> Array:
    """Mean of the twin's cells inside each ESA CCI cell; the nearest one where none lies inside."""
    own = cci.owner < len(cci.lon)
    count = np.bincount(cci.owner[own], minlength=len(cci.lon))
    total = np.bincount(cci.owner[own], values[own], minlength=len(cci.lon))
    return np.where(count > 0, total / np.maximum(count, 1), values[cci.nearest])


def cci_retrieval(
    cci: Cci, day: int, theta: Array, pivot: Array, vegetation: Array, closed: Bool, rng: np.random.Generator
) -> tuple[Array, Array]:
    """ESA CCI soil moisture and its uncertainty, m3 m-3: damped, offset, noisy; none in frost, snow or forest."""
    plants, middle = vegetation[cci.nearest], pivot[cci.nearest]
    spread = 0.018 + 0.004 * plants
    value = middle + (cci_mean(cci, theta) - middle) * cci.gain + cci.bias + spread * rng.standard_normal(len(cci.lon))
    missing = closed[cci.nearest] | ~cci.masks[day] | (plants > 7.5) | (rng.random(len(cci.lon)) < 0.06)
    value = np.where(missing, np.nan, np.clip(value, 0.01, 0.6))
    return value, np.where(missing, np.nan, spread)


def make_stations(grid: Grid, seed: int) -> Stations:
    """Stations of Table 2 that stand on the twin's land in this window, with their own gain and offset.

    The offsets (sd 0.075) and gains (sd 22 %) are those of a point against a cell of 9 to 36 km: they make the RMSE
    of any product near 0.08 whatever its quality, as real validations find.
    """
    from scipy.spatial import cKDTree

    table = station_table()
    lon, lat = grid.points
    scale = np.cos(np.deg2rad(35.0))
    away, pixel = cKDTree(np.stack([lon * scale, lat], 1)).query(np.stack([table.lon * scale, table.lat], 1))
    kept = np.nonzero(away * 111.2 < grid.cell / 1e3)[0]
    rng = np.random.default_rng([seed, 12])
    gain = np.exp(0.22 * rng.standard_normal(len(table)))
    offset = 0.075 * rng.standard_normal(len(table))
    spread = 0.012 + 0.020 * rng.random(len(table))
    return Stations(table, kept, pixel[kept], gain[kept], offset[kept], spread[kept])


def station_readings(
    stations: Stations, state: StationState, theta: Array, pivot: Array, frost: Bool, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int8], StationState]:
    """Readings at 6 am (m3 m-3), their flags (index into `STATION_FLAGS`), and the next state.

    A reading is the cell's soil moisture times the station's gain about the middle of the soil's range, plus its
    offset, plus a local anomaly that lasts about ten days. In frozen ground the probe sees a third of the water.
    """
    n = len(stations.pixel)
    draw, chance = rng.standard_normal(n), rng.random((2, n))
    local = 0.9 * state.local + np.sqrt(1 - 0.81) * stations.spread * draw
    running = np.where(state.running, chance[0] > 1 / 150, chance[0] < 1 / 18)
    middle, cold = pivot[stations.pixel], frost[stations.pixel]
    value = middle + (theta[stations.pixel] - middle) * stations.gain + stations.offset + local
    spike = chance[1] < 0.006
    value = np.where(cold, 0.35 * value, value) + np.where(spike, 0.25, 0.0)
    flag = np.select([~running, spike, cold], [3, 2, 1], 0).astype(np.int8)
    return np.where(running, np.clip(value, 0.005, 0.70), np.nan), flag, StationState(local, running)
