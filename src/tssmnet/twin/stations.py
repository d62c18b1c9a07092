"""Stations of the paper's Table 2: where they stand and when they reported.

Coordinates of MAQU, NAQU, NGARI, CTP_SMTMN, SMN-SDR and of SONTE-China's GuYuan and MinQin are the public ones of
the International Soil Moisture Network. The other SONTE-China sites are not listed there: their place is the town of
their name, good to some tens of kilometres, and marked approximate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# network, prefix, first and last month of Table 2, land cover of Table 2, then "name lat lon" of each station.
LISTED = (
    ("NAQU", "2016-02", "2019-09", "meadow and shrubland",
     "NQ01 31.3261 91.8286;NQ02 31.3086 91.8197;NQ03 31.2775 91.7889;NQ04 31.2567 91.8036;NQBJ 31.3664 91.8997;"
     "NQEast 31.3667 91.9167;NQKema 31.2721 92.1103;NQMS 31.2262 91.7833;NQNorth 31.3788 91.8685;"
     "NQSouth 31.3167 91.8167;NQWest 31.3434 91.8209"),
    ("MAQU", "2016-02", "2019-06", "meadow and shrubland",
     "CST-03 33.9 101.9666;CST-04 33.7666 101.7166;CST-05 33.6666 101.8833;NST-01 33.8933 102.1333;"
     "NST-02 33.8833 102.1433;NST-03 33.7666 102.1333;NST-04 33.6166 102.05;NST-05 33.6333 102.05;NST-06 34.0 102.2666;"
     "NST-07 33.9833 102.35;NST-08 33.9666 102.6;NST-09 33.9 102.55;NST-10 33.85 102.5666;NST-11 33.6833 102.4666;"
     "NST-12 33.6166 102.4666;NST-13 34.0166 101.9333;NST-14 33.9166 102.1166;NST-15 33.85 101.8833;"
     "NST-21 33.892 102.166;NST-22 33.9087 102.1364;NST-24 33.9991 102.1366;NST-25 34.0153 101.9969;"
     "NST-30 33.7086 101.9461;NST-31 33.7036 101.9265;NST-32 33.6547 101.839"),
    ("SMN_SDR", "2018-07", "2019-11", "grassland, cropland, wetland",
     "L1 41.5508 115.5388;L2 41.7801 115.6031;L3 42.0422 115.6284;L4 42.2576 115.6897;L5 42.4197 115.7428;"
     "L6 41.803 116.3333;L7 42.2141 116.3424;L8 41.9553 116.361;L9 41.7447 116.0873;L10 41.7469 115.9451;"
     "L11 42.412 116.2227;L12 42.4012 116.3678;L13 42.4164 115.9966;L14 41.5744 116.4374;M1 41.9656 115.8559;"
     "M2 42.1053 115.8094;M3 41.9497 116.0825;M4 42.096 116.1855;M5 42.1855 116.1882;M6 42.1868 115.9387;"
     "M7 42.177 115.9682;M8 42.3064 115.8886;M9 42.3055 116.0704;M10 42.3026 116.2428;M11 42.1689 116.1395;"
     "M12 42.0251 116.1766;S1 42.0066 115.9457;S2 42.0402 115.9378;S3 42.0571 115.9194;S4 42.0827 115.9351;"
     "S5 42.0739 115.894;S6 42.0455 115.8657;S7 42.0297 115.8961;S8 42.0175 115.8731"),
    ("CTP_SMTMN", "2016-02", "2016-09", "meadow",
     "L01 31.946 91.721;L02 31.89 91.7;L03 31.843 91.706;L04 31.806 91.75;L05 31.754 91.783;L06 31.722 91.811;"
     "L07 31.678 91.842;L08 31.662 91.795;L09 31.639 91.755;L10 31.614 91.74;L11 31.587 91.793;L12 31.574 91.913;"
     "L13 31.546 91.985;L14 31.527 92.05;L15 31.463 92.017;L16 31.41 91.971;L17 31.373 91.976;L18 31.332 92.041;"
     "L19 31.274 92.109;L20 31.232 92.164;L21 31.172 92.197;L22 31.128 92.25;L23 31.107 92.309;L24 31.074 92.369;"
     "L25 31.713 92.458;L26 31.683 92.405;L27 31.664 92.342;L28 31.64 92.331;L29 31.587 92.241;L30 31.541 92.206;"
     "L31 31.496 92.133;L32 31.369 91.899;L33 31.301 91.848;L34 31.259 91.799;L35 31.175 91.76;L36 31.129 91.726;"
     "L37 31.089 91.688;L38 31.033 91.679;M01 31.782 91.73;M03 31.816 91.796;M04 31.808 91.846;M05 31.743 91.725;"
     "M07 31.732 91.766;M08 31.736 91.87;M09 31.685 91.719;M11 31.683 91.771;M12 31.691 91.808;M15 31.671 91.904;"
     "M18 31.614 91.775;M19 31.618 91.841;M20 31.612 91.915;S02 31.722 91.811;S03 31.716 91.802;S04 31.703 91.787;"
     "S05 31.698 91.774;S06 31.694 91.786;S07 31.693 91.799"),
    ("NGARI", "2016-02", "2019-09", "steppe, shrubland",
     "ALI01 33.4329 79.7476;ALI02 33.4552 79.6306;ALI03 33.454 79.6341;SQ01 32.4945 80.0636;SQ02 32.5002 80.0298;"
     "SQ03 32.504 79.985;SQ04 32.5 79.95;SQ05 32.5113 79.9574;SQ06 32.5106 79.9232;SQ07 32.5295 79.8471;"
     "SQ08 32.556 79.84;SQ09 32.45 80.05;SQ10 32.423 80.0182;SQ11 32.4505 79.9819;SQ12 32.45 79.9333;"
     "SQ13 32.4333 79.9;SQ14 32.4633 80.1691;SQ16 32.4375 80.0812;SQ17 32.6086 80.0628;SQ18 32.6333 80.0397;"
     "SQ19 32.6253 80.0014;SQ20 32.6842 79.9186;SQ21 32.7472 79.7969"),
)  # fmt: skip

# SONTE-China: ten stations within some hundred metres at each site. site, lat, lon, first, last, land cover,
# approximate.
SONTE = (
    ("GuYuan", 41.7631, 115.6809, "2021-03", "2021-11", "shrubland", False),
    ("MinQin", 38.6296, 102.9182, "2021-01", "2021-12", "mixed forest", False),
    ("JingYueTan", 43.78, 125.47, "2020-08", "2021-12", "cropland", True),
    ("Hefei", 31.90, 117.17, "2019-04", "2021-12", "grassland and sparse vegetation", True),
    ("JiangShanJiao", 43.85, 128.95, "2019-08", "2021-12", "grassland", True),
    ("XiTianShan", 43.15, 84.40, "2019-08", "2021-12", "shrubland", True),
    ("HuLunBeiEr", 49.35, 120.00, "2019-08", "2021-12", "grassland", True),
    ("XiLinHaoTe", 43.63, 116.70, "2019-05", "2021-12", "grassland", True),
    ("QiYang", 26.75, 111.87, "2019-11", "2021-12", "shrubland", True),
    ("DongTingHu", 29.50, 112.80, "2020-08", "2021-12", "cropland", True),
    ("GuangZhou", 23.30, 113.50, "2018-12", "2021-11", "grassland", True),
    ("YuCheng", 36.83, 116.57, "2019-03", "2021-12", "cropland", True),
    ("NanJing", 32.00, 118.85, "2019-12", "2021-12", "cropland", True),
    ("QingDao", 36.25, 120.30, "2019-03", "2021-12", "shrubland and grassland", True),
    ("QianYanZhou", 26.74, 115.06, "2019-11", "2021-12", "shrubland", True),
)


@dataclass(frozen=True)
class StationTable:
    """Stations by column: names, degrees, Table 2's first and last day and land cover, whether the place is rough."""

    network: NDArray[np.str_]
    station: NDArray[np.str_]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    first: NDArray[np.datetime64]
    last: NDArray[np.datetime64]
    landcover: NDArray[np.str_]
    approximate: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.station)


def station_table() -> StationTable:
    """All stations of Table 2 whose coordinates are public, and ten for each SONTE-China site."""
    rows: list[tuple[str, str, float, float, str, str, str, bool]] = []
    for network, begin, end, kind, text in LISTED:
        for entry in text.split(";"):
            name, north, east = entry.split()
            rows.append((network, name, float(north), float(east), begin, end, kind, False))
    for site, lat, lon, first, last, cover, approximate in SONTE:
        rows += [("SONTE-China", f"{site}{i:02d}", lat, lon, first, last, cover, approximate) for i in range(1, 11)]
    columns: list[NDArray] = [np.array(column) for column in zip(*rows, strict=True)]
    month_after = columns[5].astype("datetime64[M]") + 1
    return StationTable(
        columns[0],
        columns[1],
        columns[2],
        columns[3],
        columns[4].astype("datetime64[M]").astype("datetime64[D]"),
        month_after.astype("datetime64[D]") - 1,
        columns[6],
        columns[7],
    )
