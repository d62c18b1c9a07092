"""Soil water, snow, frost, vegetation and surface temperature of the twin.

Two soil layers (5 cm over 55 cm) with texture-dependent limits. Every flux is taken from one store and given to
another, or to the outside, so that storage change equals what came in less what went out; each is limited by what
its source holds and its target can take, so soil moisture never leaves [residual, saturation].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tssmnet.twin.land import COVER, Land
from tssmnet.twin.weather import FROM_C_TO_K

Array = NDArray[np.float64]
SURFACE_MM, DEEP_MM = 50.0, 550.0
SOIL_FREEZES_K = 272.65
MELT_MM = 3.0  # degree-day factor, mm d-1 K-1
EXCHANGE_MM = 3.8  # surface and deep layer at opposite ends exchange this much a day
LARGEST_EXCHANGE_MM = 2.5  # mm d-1
BYPASS = 0.25  # share of infiltration that runs past the surface layer through cracks, roots and wet patches
INTERCEPTION_MM = 2.0  # what a full canopy keeps from a day's rain and gives back to the air
UPPER_ROOTS = 0.40  # share of transpiration drawn from the surface layer
DEEP_DRAIN_DAYS = 15.0  # on slopes; five times as long in wet lowlands
GREEN_UP_DAYS, BROWN_DAYS = 14.0, 26.0


@dataclass(frozen=True)
class Hydraulics:
    """Soil water limits (m3 m-3), drainage times of both layers (days), each of shape (pixel,)."""

    residual: Array
    wilting: Array
    field_capacity: Array
    saturation: Array
    drain_days: Array
    deep_drain_days: Array


@dataclass(frozen=True)
class State:
    """What is carried on, each of shape (pixel,): water in mm, soil temperature in K, green cover 0..1."""

    surface: Array
    deep: Array
    snow: Array
    soil_temperature: Array
    green: Array


@dataclass(frozen=True)
class Fluxes:
    """What crossed the border of the column in a step, mm: precipitation in, the others out."""

    precipitation: Array
    runoff: Array
    evaporation: Array
    transpiration: Array
    sublimation: Array
    drainage: Array


def hydraulics(land: Land) -> Hydraulics:
    """Limits from texture and organic matter: the regressions of Saxton and Rawls (2006), density from porosity.

    Residual (air-dry) water is not part of those; it is set to a fifth of the wilting point plus 0.01.
    """
    sand, clay = land.sand / 100, land.clay / 100
    organic = np.clip(land.organic_carbon * 0.1724, 0, 8)  # % organic matter from g kg-1 carbon
    t1500 = -0.024 * sand + 0.487 * clay + 0.006 * organic + 0.005 * sand * organic - 0.013 * clay * organic
    t1500 += 0.068 * sand * clay + 0.031
    wilting = t1500 + 0.14 * t1500 - 0.02
    t33 = -0.251 * sand + 0.195 * clay + 0.011 * organic + 0.006 * sand * organic - 0.027 * clay * organic
    t33 += 0.452 * sand * clay + 0.299
    capacity = t33 + 1.283 * t33**2 - 0.374 * t33 - 0.015
    ts33 = 0.278 * sand + 0.034 * clay + 0.022 * organic - 0.018 * sand * organic - 0.027 * clay * organic
    ts33 += -0.584 * sand * clay + 0.078
    saturation = capacity + ts33 + 0.636 * ts33 - 0.107 - 0.097 * sand + 0.043
    wilting = np.clip(wilting, 0.02, 0.32)
    capacity = np.clip(capacity, wilting + 0.04, 0.45)
    saturation = np.clip(saturation, capacity + 0.06, 0.65)
    conductivity = 1930 * 24 * (saturation - capacity) ** 2.7  # mm d-1, the shape of their eq. 16
    drain_days = np.clip(60 / np.maximum(conductivity, 1), 0.15, 1.8)
    flat = np.clip(1 - land.slope / 0.6, 0, 1) * np.clip(1 - land.dem / 600, 0, 1)
    deep_drain_days = DEEP_DRAIN_DAYS * (1 + 4 * flat)
    return Hydraulics(0.01 + 0.2 * wilting, wilting, capacity, saturation, drain_days, deep_drain_days)


def first_state(land: Land, soil: Hydraulics, air_temperature: Array) -> State:
    """A plausible start, forgotten during spin-up: wetter where it rains more."""
    wet = np.clip(land.precipitation / 1200, 0.15, 0.95)
    theta = soil.wilting * (1 - wet) + soil.field_capacity * wet
    none = np.zeros_like(theta)
    return State(theta * SURFACE_MM, theta * DEEP_MM, none, air_temperature.copy(), none + 0.1)


def moisture(state: State) -> tuple[Array, Array]:
    """Volumetric soil moisture of the surface and the deep layer, m3 m-3, ice counted as water."""
    return state.surface / SURFACE_MM, state.deep / DEEP_MM


def frozen(state: State) -> NDArray[np.bool_]:
    """True where the surface layer is frozen."""
    return state.soil_temperature < SOIL_FREEZES_K


def water_step(
    state: State, soil: Hydraulics, rain: Array, air_temperature: Array, demand: Array, days: float
) -> tuple[State, Fluxes]:
    """Advance the water stores by `days` (half a day in the twin).

    Parameters
    ----------
    rain
        Precipitation of the step, mm; it falls as snow below 0 and as rain above 2 degrees Celsius.
    air_temperature
        K.
    demand
        Potential evaporation of the step, mm.
    """
    ice = frozen(state)
    snow, liquid, sublimation = _snow(state.snow, rain, air_temperature, demand, days)
    canopy = np.minimum(0.3 * liquid, INTERCEPTION_MM * days * state.green)
    surface, deep, runoff = _infiltrate(state.surface, state.deep, soil, liquid - canopy, ice)
    surface, deep, drainage = _redistribute(surface, deep, soil, ice, days)
    free = np.where(snow > 1.0, 0.0, np.where(ice, 0.1, 1.0))  # snow shields the soil, ice holds it
    surface, deep, evaporation, transpiration = _evaporate(surface, deep, soil, state.green, demand * free)
    new = replace(state, surface=surface, deep=deep, snow=snow)
    return new, Fluxes(rain, runoff, evaporation + canopy, transpiration, sublimation, drainage)


def _snow(snow: Array, rain: Array, air: Array, demand: Array, days: float) -> tuple[Array, Array, Array]:
    celsius = air - FROM_C_TO_K
    falling = rain * np.clip(1 - celsius / 2, 0, 1)
    pack = snow + falling
    melt = np.minimum(pack, MELT_MM * np.maximum(celsius + 0.5, 0) * days)
    pack = pack - melt
    sublimation = np.minimum(pack, 0.4 * demand)
    return pack - sublimation, rain - falling + melt, sublimation


def _infiltrate(
    surface: Array, deep: Array, soil: Hydraulics, liquid: Array, ice: NDArray[np.bool_]
) -> tuple[Array, Array, Array]:
    """Rain and melt enter; the wetter or more frozen, the more runs off; what the layer cannot hold passes below."""
    wetness = deep / (soil.saturation * DEEP_MM)
    runoff = liquid * np.where(ice, 0.6, 0.6 * wetness**3)
    bypass = np.where(ice, 0.0, BYPASS) * (liquid - runoff)
    filled = surface + (liquid - runoff - bypass)
    excess = np.maximum(filled - soil.saturation * SURFACE_MM, 0)
    below = np.minimum(excess + bypass, soil.saturation * DEEP_MM - deep)
    return filled - excess, deep + below, runoff + (excess + bypass - below)


def _redistribute(
    surface: Array, deep: Array, soil: Hydraulics, ice: NDArray[np.bool_], days: float
) -> tuple[Array, Array, Array]:
    """Gravity drains what lies above field capacity; capillarity evens the two layers; the deep layer leaks."""
    moving = np.where(ice, 0.0, 1.0)
    room = soil.saturation * DEEP_MM - deep
    fall = np.maximum(surface - soil.field_capacity * SURFACE_MM, 0) * (1 - np.exp(-days / soil.drain_days))
    fall = np.minimum(fall, room) * moving
    surface, deep = surface - fall, deep + fall
    span = soil.field_capacity - soil.residual
    level = (surface / SURFACE_MM - soil.residual) / span, (deep / DEEP_MM - soil.residual) / span
    # Dry soil conducts badly: the exchange fades with the drier layer's water.
    ease = np.clip(np.minimum(*level), 0.02, 1.0) ** 0.5
    down = np.clip(EXCHANGE_MM * ease * (level[0] - level[1]), -LARGEST_EXCHANGE_MM, LARGEST_EXCHANGE_MM)
    down = down * days * moving
    down = np.minimum(down, np.minimum(0.5 * (surface - soil.residual * SURFACE_MM), soil.saturation * DEEP_MM - deep))
    up_limit = np.minimum(0.02 * (deep - soil.residual * DEEP_MM), 0.5 * (soil.saturation * SURFACE_MM - surface))
    down = np.maximum(down, -up_limit)
    surface, deep = surface - down, deep + down
    leak = np.maximum(deep - soil.field_capacity * DEEP_MM, 0) * (1 - np.exp(-days / soil.deep_drain_days))
    return surface, deep - leak, leak


def _evaporate(
    surface: Array, deep: Array, soil: Hydraulics, green: Array, demand: Array
) -> tuple[Array, Array, Array, Array]:
    """Bare soil dries from the surface, plants drink from both layers; both slow down as water runs out."""
    bare = _take(
        surface, soil.residual * SURFACE_MM, 0.8 * soil.field_capacity * SURFACE_MM, demand * (1 - 0.8 * green)
    )
    surface = surface - bare
    thirst = 0.95 * green * demand
    enough = 0.5 * (soil.wilting + soil.field_capacity)
    upper = _take(surface, soil.wilting * SURFACE_MM, enough * SURFACE_MM, UPPER_ROOTS * thirst)
    lower = _take(deep, soil.wilting * DEEP_MM, enough * DEEP_MM, (1 - UPPER_ROOTS) * thirst)
    return surface - upper, deep - lower, bare, upper + lower


def _take(store: Array, floor: Array, enough: Array, demand: Array) -> Array:
    """All of `demand` while the store is above `enough`, less as the store nears its `floor`, never beyond it."""
    above = np.maximum(store - floor, 0)
    return np.minimum(demand, above * (1 - np.exp(-demand / np.maximum(enough - floor, 1e-6))))


def soil_temperature_step(state: State, air_temperature: Array, days: float) -> Array:
    """The top soil follows the air within days, under snow within weeks."""
    memory = 4.0 + 14.0 * (1 - np.exp(-state.snow / 15.0))
    return state.soil_temperature + (air_temperature - state.soil_temperature) * (1 - np.exp(-days / memory))


def green_limits(land: Land) -> tuple[Array, Array]:
    """Largest and evergreen cover fraction of each cell; in dry land the largest follows the rain."""
    table = np.array([(0.0, 0.0), *(COVER[i] for i in sorted(COVER))])
    largest, evergreen = table[land.landcover].T
    dry = np.clip((land.precipitation - 40) / 450, 0.08, 1.0) ** 0.8
    largest = largest * np.where(land.precipitation < 490, np.maximum(dry, 0.3 * (largest < 0.3)), 1.0)
    return largest, largest * evergreen


def green_step(
    green: Array, limits: tuple[Array, Array], soil: Hydraulics, deep: Array, soil_temperature: Array
) -> Array:
    """Green cover a day later: it strives for what warmth and root-zone water allow, greening faster than it browns."""
    largest, evergreen = limits
    water = np.clip((deep - 0.9 * soil.wilting) / (0.75 * (soil.field_capacity - soil.wilting)), 0, 1)
    warmth = np.clip((soil_temperature - FROM_C_TO_K - 3) / 13, 0, 1)
    target = np.maximum(largest * warmth * (0.25 + 0.75 * water), evergreen * (0.6 + 0.4 * water))
    return green + (target - green) / np.where(target > green, GREEN_UP_DAYS, BROWN_DAYS)


def ndvi(green: Array) -> Array:
    """NDVI of a green cover fraction: bare soil 0.08, full cover 0.90."""
    return 0.08 + 0.82 * green


def evi(green: Array) -> Array:
    """EVI of a green cover fraction: lower than NDVI and slower to saturate."""
    return 0.06 + 0.40 * green + 0.18 * green**2


def surface_temperature(state: State, soil: Hydraulics, air_temperature: Array, radiation: Array, land: Land) -> Array:
    """Land surface temperature (K) at the morning overpass of MODIS Terra, about 10:30.

    The surface stands above the day's mean air temperature by what the sun puts in less what evaporation takes out:
    dry bare ground heats most, wet or green ground least; that spread is the triangle TVDI reads. Snow stays at or
    below melting.
    """
    theta = state.surface / SURFACE_MM
    wet = np.clip((theta - soil.residual) / (0.85 * soil.field_capacity - soil.residual), 0, 1)
    heating = 0.100 * radiation * (1 - 0.55 * state.green) * (1 - 0.62 * wet * (1 - 0.35 * state.green))
    temperature = air_temperature + 0.8 + heating + 0.0006 * np.minimum(land.dem, 5000)
    return np.where(state.snow > 3.0, np.minimum(temperature, FROM_C_TO_K), temperature)
