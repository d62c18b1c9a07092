"""The observations nearest to a gap, each as a token: what it said, how far away, and what has happened since.

A token is one observation in `TOKEN` numbers that mean the same in any region. A gap day has `SLOTS` places for
them: the pixel's own before and after, and the neighbours' on the days around. Any place may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tssmnet.cube.earth import on_sphere
from tssmnet.filler.evidence import Neighbourhood, nearest_pixels

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Index = NDArray[np.int64]
Slots = NDArray[np.int32]

OWN, OWN_DAYS = 8, 90
"""Own observations on each side of a gap day, and how far away they may be, days."""

NEAR, NEAR_EACH, NEAR_DAYS = 8, 2, 6
"""Neighbours, observations of each of them that are nearest in time, and how far away they may be, days."""

SLOTS = 2 * OWN + NEAR * NEAR_EACH
TOKEN = 15
REPEAT_DAYS = 8

FINE_KM = 30.0
"""Pixels closer than this share a footprint: there neighbours are taken from further away as well."""

RING_KM = (50.0, 150.0)
"""Distances of those further away, one and the other in turn."""

OFF_AXIS = 0.13
"""Turns the directions off a grid's axes, where two pixels would lie equally near."""


@dataclass(frozen=True)
class Observations:
    """What tokens are made of; arrays (time, pixel) or (pixel,).

    Parameters
    ----------
    ssm, first
        Observations (m3 m-3) and first values.
    mean
        Mean residual of each pixel over the observations that may be used, (pixel,).
    rain
        mm d-1, zero where unknown.
    total
        Rain summed from the first day on, mm.
    lat, lon
        Degrees, (pixel,).
    """

    ssm: Float
    first: Float
    mean: Float
    rain: Float
    total: Float
    lat: Float
    lon: Float


def observations_of(
    ssm: Float, first: Float, mask: Mask, rain: Float | None, lat: NDArray[Any], lon: NDArray[Any]
) -> Observations:
    """Make ready what tokens are made of, from the observations in `mask` alone."""
    residual = np.where(mask, ssm - first, 0).astype(np.float32)
    mean = (residual.sum(0) / (mask.sum(0) + 1)).astype(np.float32)
    known = np.zeros(ssm.shape, np.float32) if rain is None else np.nan_to_num(rain).astype(np.float32)
    total = np.cumsum(known, axis=0, dtype=np.float64).astype(np.float32)
    return Observations(ssm, first, mean, known, total, lat.astype(np.float32), lon.astype(np.float32))


def token_neighbours(around: Neighbourhood, lat: NDArray[Any], lon: NDArray[Any]) -> Index:
    """The neighbours that tokens come from, shape (pixel, at most `NEAR`): the nearest, or distant ones on a fine grid.

    Parameters
    ----------
    around
        Of the pixels.
    lat, lon
        Degrees, shape (pixel,).
    """
    if around.spacing < FINE_KM and len(lat) > 1:
        return distant_neighbours(lat, lon)
    return np.ascontiguousarray(around.index[:, :NEAR])


def distant_neighbours(lat: NDArray[Any], lon: NDArray[Any], pixels: Index | None = None) -> Index:
    """Pixels nearest to places `RING_KM` away in `NEAR` directions: what a day saw beyond the edge of a swath.

    Pixels next to each other on a fine grid share a footprint, so they are missing together and tell the same.

    Parameters
    ----------
    lat, lon
        Degrees, shape (pixel,).
    pixels
        Numbers of those whose neighbours are looked for; all by default.

    Returns
    -------
    numpy.ndarray of int64
        Shape (len(pixels), `NEAR`).
    """
    tree = cKDTree(on_sphere(lat, lon))
    phi, lam = (v if pixels is None else v[pixels] for v in (np.asarray(lat, float), np.asarray(lon, float)))
    out = np.empty((len(phi), NEAR), np.int64)
    for n in range(NEAR):
        angle, degrees = 2 * np.pi * (n + OFF_AXIS) / NEAR, RING_KM[n % len(RING_KM)] / 111.2
        north = np.clip(phi + degrees * np.sin(angle), -89.9, 89.9)
        east = lam + degrees * np.cos(angle) / np.maximum(np.cos(np.radians(phi)), 0.01)
        out[:, n] = nearest_pixels(tree, on_sphere(north, east), 1)[1][:, 0]
    return out


def find_tokens(mask: Mask, time: Index, pixel: Index, around: Index) -> Slots:
    """The observations nearest to each gap day.

    Parameters
    ----------
    mask
        Observations that may be used, shape (time, pixel). The day itself is never among its tokens.
    time, pixel
        The gap days, shape (n,).
    around
        From `token_neighbours`.

    Returns
    -------
    numpy.ndarray of int32
        Shape (n, `SLOTS`): day times number of pixels plus pixel; -1 in an empty place.
    """
    out = np.full((len(time), SLOTS), -1, np.int32)
    _find(np.ascontiguousarray(mask), time, pixel, around, out)
    return out


@njit(cache=True, nogil=True)
def _find(mask: Any, time: Any, pixel: Any, around: Any, out: Any) -> None:
    days, pixels = mask.shape
    for i in range(len(time)):
        t, p = time[i], pixel[i]
        for side in range(2):
            step, slot = 2 * side - 1, side * OWN
            day = t + step
            while 0 <= day < days and abs(day - t) <= OWN_DAYS and slot < (side + 1) * OWN:
                if mask[day, p]:
                    out[i, slot] = day * pixels + p
                    slot += 1
                day += step
        for n in range(around.shape[1]):
            q, found = around[p, n], 0
            if q == p:
                continue
            for away in range(2 * NEAR_DAYS + 1):
                day = t + (away + 1) // 2 * (1 - 2 * (away % 2))  # t, t - 1, t + 1, t - 2, ...
                if found < NEAR_EACH and 0 <= day < days and mask[day, q]:
                    out[i, 2 * OWN + n * NEAR_EACH + found] = day * pixels + q
                    found += 1


def describe_tokens(index: Slots, time: Index, pixel: Index, record: Observations) -> Float:
    """The tokens in numbers.

    Parameters
    ----------
    index
        From `find_tokens`, shape (n, slots).
    time, pixel
        The gap days, shape (n,).
    record
        Of the same mask.

    Returns
    -------
    numpy.ndarray of float32
        Shape (n, slots, `TOKEN`), zero in an empty place: days apart and their logarithm, same phase of the orbit,
        residual, residual beside the mean of its pixel, observation beside its pixel's first value here, change of the
        first value, rain of that day and the day before, rain between, distance, direction (2), own, same day.
    """
    out = np.zeros((*index.shape, TOKEN), np.float32)
    r = record
    _describe(index, time, pixel, r.ssm, r.first, r.mean, r.rain, r.total, r.lat, r.lon, out)
    return out


@njit(cache=True, nogil=True, fastmath=True)
def _describe(
    index: Any,
    time: Any,
    pixel: Any,
    ssm: Any,
    first: Any,
    mean: Any,
    rain: Any,
    total: Any,
    lat: Any,
    lon: Any,
    out: Any,
) -> None:
    pixels = ssm.shape[1]
    for i in range(index.shape[0]):
        t, p = time[i], pixel[i]
        for k in range(index.shape[1]):
            if index[i, k] < 0:
                continue
            s, q = index[i, k] // pixels, index[i, k] % pixels
            away, row = s - t, out[i, k]
            residual = ssm[s, q] - first[s, q]
            row[0] = away / 10.0
            row[1] = np.log1p(abs(away)) / 2.0
            row[2] = 1.0 if away % REPEAT_DAYS == 0 else 0.0
            row[3] = residual / 0.05
            row[4] = (residual - mean[q]) / 0.05
            row[5] = (ssm[s, q] - first[t, p]) / 0.1
            row[6] = (first[s, q] - first[t, q]) / 0.05
            row[7] = np.log1p(rain[s, q]) / 2.0
            row[8] = np.log1p(rain[s - 1, q]) / 2.0 if s > 0 else 0.0
            row[9] = np.log1p(abs(total[t, q] - total[s, q])) / 2.0
            if q == p:
                row[13] = 1.0
            else:
                north = (lat[q] - lat[p]) * 111.2
                east = ((lon[q] - lon[p] + 180.0) % 360.0 - 180.0) * 111.2 * np.cos(np.radians(lat[p]))
                km = np.sqrt(north * north + east * east) + 1e-3
                row[10] = np.log(max(km, 30.0) / 100.0)
                row[11], row[12] = east / km, north / km
            row[14] = 1.0 if away == 0 else 0.0
