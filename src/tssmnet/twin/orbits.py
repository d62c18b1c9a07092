"""When SMAP sees a cell: a sun-synchronous orbit that repeats exactly after 8 days and 117 revolutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tssmnet.cube.earth import EARTH_KM, on_sphere

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]
REPEAT_DAYS, REVOLUTIONS = 8, 117
INCLINATION = 98.12  # degrees
ASCENDING_HOUR = 18.0  # local solar time at the ascending node: 6 pm up, 6 am down

# The swath is 1000 km of footprint centres; footprints of 40 km reach 20 km further on each side.
HALF_SWATH_KM = 520.0

# First ascending node after midnight UTC of the epoch, in revolutions. Swath, epoch and phase were set by a genuine
# SPL3SMP granule (96.8 % of its morning and 98.2 % of its evening cells between 50 S and 55 N agree) and by ten
# years of overpass dates over Hawaii, which tell the day in the cycle.
EPOCH = np.datetime64("2015-04-02")
PHASE = 0.05
OVERPASSES = ("am", "pm")


def overpass_masks(lon: Array, lat: Array, phase: float = PHASE) -> dict[str, Bool]:
    """Cells seen on each day of the repeat cycle, morning (descending) and evening (ascending).

    Parameters
    ----------
    lon, lat
        Degrees, shape (pixel,).

    Returns
    -------
    masks
        ``am`` and ``pm``, each of shape (8, pixel), true where a cell lies within the swath of a ground track; day 0 is
        `EPOCH`; days are UTC days, as in the daily products.
    """
    from scipy.spatial import cKDTree

    cells = cKDTree(on_sphere(lat, lon))
    reach = 2 * np.sin(HALF_SWATH_KM / EARTH_KM / 2)
    masks = {}
    for name, (start, stop) in zip(OVERPASSES, ((90.0, 270.0), (-90.0, 90.0)), strict=True):
        seen = np.zeros((REPEAT_DAYS, len(lon)), bool)
        for day, track_lon, track_lat in _tracks(start, stop, phase):
            near = (np.abs(track_lat - lat.mean()) < np.ptp(lat) / 2 + 6) & _near_longitude(track_lon, lon)
            for d in np.unique(day[near]):
                track = on_sphere(track_lat[near & (day == d)], track_lon[near & (day == d)])
                for hits in cells.query_ball_point(track[::2], reach):
                    seen[d, hits] = True
        masks[name] = seen
    return masks


def cycle_day(date: np.datetime64) -> int:
    """Index of a date in the repeat cycle."""
    return int((date.astype("datetime64[D]") - EPOCH) / np.timedelta64(1, "D")) % REPEAT_DAYS


def _tracks(start: float, stop: float, phase: float) -> list[tuple[NDArray[np.int64], Array, Array]]:
    """Ground track of every half revolution: UTC day in the cycle, longitude, latitude at each half degree."""
    argument = np.arange(start, stop, 0.5)
    u, tilt = np.deg2rad(argument), np.deg2rad(INCLINATION)
    lat = np.rad2deg(np.arcsin(np.sin(tilt) * np.sin(u)))
    # SMAP composites are cut at midnight UTC. In a frame that turns with the sun the orbit stands still, so local
    # solar time depends on the argument alone.
    hour = ASCENDING_HOUR + np.rad2deg(np.unwrap(np.arctan2(np.cos(tilt) * np.sin(u), np.cos(u)))) / 15
    tracks = []
    for revolution in range(REVOLUTIONS):
        utc_days = (phase + revolution + argument / 360) * REPEAT_DAYS / REVOLUTIONS
        lon = (15 * (hour - 24 * utc_days) + 180) % 360 - 180
        day = np.floor(utc_days).astype(np.int64) % REPEAT_DAYS
        tracks.append((day, lon, lat))
    return tracks


def _near_longitude(track: Array, lon: Array) -> Bool:
    away = (track - (lon.min() + lon.max()) / 2 + 180) % 360 - 180
    return np.abs(away) < np.ptp(lon) / 2 + 12
