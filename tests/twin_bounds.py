"""What keeps the twin near the real world: each calibrated quantity, its bounds in the tests, and the source."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bound(NamedTuple):
    """An open interval and where it comes from."""

    low: float
    high: float
    source: str


ORBIT = "SMAP's 1000 km swath covers the globe in 2 to 3 days: Entekhabi et al. (2010), doi:10.1109/JPROC.2010.2043918"
CONUS = "the statistic of real SMAP at 412 pixels (profile conus), "

BOUNDS = {
    # soil moisture as SMAP sees it, m3 m-3
    "mean": Bound(0.08, 0.30, CONUS + "0.20; China reaches from desert to paddy"),
    "autocorrelation_1": Bound(0.5, 0.95, CONUS + "0.77"),
    "drydown_days": Bound(2, 20, CONUS + "7.8; range in McColl et al. (2017), doi:10.1002/2017GL072819"),
    "wetup_per_mm": Bound(0.001, 0.01, CONUS + "0.0033; 5 cm of soil takes 0.02 at most"),
    "gaps_of_1_or_2_days": Bound(0.85, 1.0, CONUS + "0.95"),
    # the orbit
    "revisit_days_longest": Bound(0, 3.001, ORBIT),
    "revisit_days_mean": Bound(1.8, 2.5, ORBIT + "; less than 3 away from the equator"),
    "seen_in_three_mornings": Bound(0.98, 1.001, ORBIT),
    "seen_in_two_full_days": Bound(0.97, 1.001, ORBIT),
    "morning_swath_mean": Bound(0.42, 0.50, ORBIT + "; one overpass a day in 2 to 2.5 days"),
    "morning_swath_least": Bound(0.25, 0.50, ORBIT + "; a 1000 km swath in a country 5000 km wide"),
    "morning_swath_most": Bound(0.42, 0.70, ORBIT + "; a 1000 km swath in a country 5000 km wide"),
    # errors and gaps of the instruments
    "retrieval_error": Bound(0.015, 0.07, "the mission's goal is 0.04: Entekhabi et al. (2010), as above"),
    "station_error": Bound(
        0.04, 0.14, "above the goal of 0.04: by design the sensor, and a point in a cell, add to it"
    ),
    "cloudy_share": Bound(0.2, 0.7, "55 % of land is cloudy: King et al. (2013), doi:10.1109/TGRS.2012.2227333"),
    "filled_lst_error": Bound(0, 4.0, "K, by design: the daily spread around the season, at which filling has no use"),
    # land and weather, against China's climate normals and relief
    "rain_southeast_over_northwest": Bound(8, np.inf, "normals: about 1600 mm on the coast, under 200 in the basins"),
    "plateau_m": Bound(4000, np.inf, "the plateau's mean height is above 4000 m"),
    "east_m": Bound(-np.inf, 250, "the eastern plains lie below 200 m"),
    "tarim_m": Bound(800, 1600, "the Tarim basin lies at 800 to 1400 m"),
    "wet_days": Bound(0.3, 0.4, "share of days with rain in a month of 90 mm, by design of the weather"),
}


def within(name: str, value: float) -> bool:
    """Whether a quantity of the twin lies inside its bounds."""
    return bool(BOUNDS[name].low < value < BOUNDS[name].high)
