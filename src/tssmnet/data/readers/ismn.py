"""In situ soil moisture of the International Soil Moisture Network (``.stm``) as daily series per station.

Layouts: a header line and hourly values (with old flags, ``U`` for good, or new ones, ``G``), and CEOP, where each line
repeats the station. Flags beginning with C (out of range) or D (dubious) refuse a value, also joined by commas
(``D01,D03``). Times are UTC and so are days. One sensor stands for a station: several are never averaged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.data.readers.faults import Losses, SourceError, TruncatedFileError, WrongProductError, reading

GOOD = frozenset({"G", "U"})

DEEPEST = 0.05
"""Lower end of the surface layer, metres."""

DEPTH_TOLERANCE = 0.002
"""Two inches, 0.0508 m, are 5 cm."""

MIN_HOURS = 6
Path_ = str | PathLike[str]
_NUMBER = r"(-?\d+\.?\d*)"
_PLACE = rf"(\S+)\s+(\S+)\s+(\S.*?)\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}"
_HEADER = re.compile(rf"{_PLACE}\s+(\S.*?)\s*$")
_TIME = r"(\d{4}/\d\d/\d\d \d\d:\d\d)"
_VALUE = re.compile(rf"{_TIME}\s+{_NUMBER}\s+([A-Z]\S*)(?:\s+\S+)?\s*$")
_CEOP = re.compile(rf"{_TIME}\s+{_TIME}\s+{_PLACE}\s+{_NUMBER}\s+([A-Z]\S*)(?:\s+\S+)?\s*$")


@dataclass(frozen=True)
class Sensor:
    """One sensor's record.

    Attributes
    ----------
    network, station, sensor
        Names as in the file.
    lat, lon, elevation
        Degrees, metres.
    depth
        Upper and lower end of the layer, metres, downwards.
    values
        Indexed by UTC time: columns ``ssm`` (m3 m-3) and ``flag``.
    path
        Where it was read.
    """

    network: str
    station: str
    sensor: str
    lat: float
    lon: float
    elevation: float
    depth: tuple[float, float]
    values: pd.DataFrame
    path: Path

    @property
    def name(self) -> str:
        """Network and station, ``MAQU/CST_01``."""
        return f"{self.network}/{self.station}"

    def good(self, good: Collection[str] = GOOD) -> pd.Series:
        """The values that bear a good flag, by time.

        Raises
        ------
        WrongProductError
            If one of them lies outside 0..1 m3 m-3: it is percent, or a mark for missing values.
        """
        kept = self.values.loc[self.values["flag"].isin(list(good)), "ssm"]
        wrong = kept[~kept.between(0.0, 1.0)]
        if len(wrong):
            raise WrongProductError(
                f"{self.path}: {wrong.iloc[0]:g} at {wrong.index[0]} is flagged good but lies outside 0..1 m3 m-3 "
                f"({len(wrong)} values do); convert percent, and flag what is missing with M"
            )
        return kept

    def daily(self, good: Collection[str] = GOOD, min_hours: int = MIN_HOURS) -> pd.Series:
        """Mean of the good values of each UTC day that has them in at least `min_hours` distinct hours."""
        kept = self.good(good)
        day = kept.index.floor("D")
        hours = kept.index.floor("h").to_series(index=kept.index).groupby(day).nunique()
        return kept.groupby(day).mean()[hours >= min_hours]


def read_sensor(path: Path_) -> Sensor:
    """One ``.stm`` file in any of the three layouts.

    Raises
    ------
    WrongProductError
        If it holds no soil moisture series of the network.
    TruncatedFileError
        If a line is incomplete.
    """
    if "_sm_" not in Path(path).name:
        raise WrongProductError(f"{path} holds no soil moisture (its name has no _sm_); choose that variable")
    with reading(path, "ISMN text") as place:
        lines = [line for line in place.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines:
        raise TruncatedFileError(f"{place} is empty; get it again")
    if _CEOP.match(lines[0]):
        rows = _rows(lines, _CEOP, place, 1)
        meta, times, texts, flags = rows[0][2:10], [r[0] for r in rows], [r[10] for r in rows], [r[11] for r in rows]
        sensor = place.stem.split("_sm_")[1].split("_", 2)[2].rsplit("_", 2)[0]
    else:
        header = _HEADER.match(lines[0])
        if header is None or _VALUE.match(lines[0]):
            raise WrongProductError(f"{place} begins with {lines[0][:60]!r}, which is no ISMN header")
        meta, sensor = header.groups()[:8], header.group(9)
        rows = _rows(lines[1:], _VALUE, place, 2)
        times, texts, flags = ([r[i] for r in rows] for i in range(3))
    with reading(path, "ISMN text"):
        index = pd.DatetimeIndex(
            np.array([t.replace("/", "-").replace(" ", "T") for t in times], "datetime64[s]"), name="time"
        )
    values = pd.DataFrame({"ssm": np.array(texts, float), "flag": flags}, index)
    if (twice := index[index.duplicated()]).size:
        raise WrongProductError(f"{place} has more than one value at {twice[0]}; get it again")
    lat, lon, elevation, upper, lower = (float(x) for x in meta[3:])
    if abs(lat) > 90 or not -180 <= lon <= 360:
        raise WrongProductError(f"{place} says that its station lies at {lat:g} N, {lon:g} E, which is no place")
    return Sensor(meta[1], meta[2], sensor, lat, lon, elevation, (upper, lower), values, place)


def read_stations(
    folder: Path_,
    deepest: float = DEEPEST,
    good: Collection[str] = GOOD,
    min_hours: int = MIN_HOURS,
    networks: Iterable[str] | None = None,
    depth: float | None = None,
) -> xr.Dataset:
    """Daily soil moisture of every station below a folder, from one sensor each.

    Of several surface sensors of a station the one nearest to `deepest` is taken, and of several there the one with
    most days. Damaged files and stations without a usable day are left out, and said.

    Parameters
    ----------
    folder
        Unpacked download; ``.stm`` files at any depth.
    deepest
        Layers must end no deeper than this, metres.
    good, min_hours
        As in `Sensor.daily`.
    networks
        Networks to keep, None for all.
    depth
        Take the sensors whose layer ends at this depth, metres, instead of those down to `deepest`.

    Returns
    -------
    xarray.Dataset
        ``ssm`` (time, station), m3 m-3, with coordinates ``lat``, ``lon``, ``network``, ``depth`` (lower end, m).
        Attributes ``skipped`` and ``losses`` say by station what was left out.

    Raises
    ------
    SourceError
        If the folder holds no usable series; says why for each file or station.
    """
    paths = sorted(Path(folder).rglob("*_sm_*.stm"))
    if not paths:
        raise SourceError(f'{folder} holds no ISMN soil moisture; unpack the download there, format "Header + values"')
    losses = Losses(str(folder))
    near = (0.0, deepest) if depth is None else (depth, depth)
    sensors = surface_sensors(paths, *near[::-1], losses)
    asked = {s.network for s in sensors} if networks is None else set(networks)
    groups: dict[str, list[tuple[Sensor, pd.Series]]] = {}
    for sensor in (s for s in sensors if s.network in asked):
        try:
            groups.setdefault(sensor.name, []).append((sensor, sensor.daily(good, min_hours)))
        except SourceError as error:
            losses.skip(sensor.path.name, str(error))
    chosen = [_one_sensor(name, group, good, min_hours, losses) for name, group in groups.items() if group]
    kept = [(sensor, days) for sensor, days in chosen if len(days)]
    if networks is not None and not any(groups.values()):
        losses.skip(", ".join(sorted(asked)), f"no usable file of it; found {sorted({s.network for s in sensors})}")
    losses.say(left=len(kept))
    places = [s for s, _ in kept]
    coords = {
        "lat": ("station", [s.lat for s in places], {"units": "degrees_north"}),
        "lon": ("station", [s.lon for s in places], {"units": "degrees_east"}),
        "network": ("station", np.array([s.network for s in places], object)),
        "depth": ("station", [s.depth[1] for s in places], {"units": "m", "positive": "down"}),
    }
    series = {s.name: days for s, days in kept}
    found = _dataset(series, "station", list(series), coords, "in situ surface soil moisture, ISMN")
    return found.assign_attrs(losses.attrs)


def _one_sensor(
    name: str, group: Sequence[tuple[Sensor, pd.Series]], good: Collection[str], min_hours: int, losses: Losses
) -> tuple[Sensor, pd.Series]:
    """The deepest sensor of a station that has days, the one with most of them; what it lost is noted."""
    ranked = sorted(group, key=lambda g: (len(g[1]) > 0, g[0].depth[1], len(g[1])), reverse=True)
    sensor, days = ranked[0]
    kept = sensor.good(good)
    every = kept.index.floor("D").nunique()
    few = f"{every - len(days)} of {every} days have good readings in fewer than {min_hours} hours"
    if not len(kept):
        losses.skip(name, f"no good reading among {len(sensor.values)}")
    elif not len(days):
        losses.skip(name, few)
    else:
        losses.lose(name, few, every - len(days))
        losses.lose(name, f"{len(sensor.values) - len(kept)} values flagged", len(sensor.values) - len(kept))
    for other, _ in ranked[1:]:
        losses.lose(
            name, f"{other.sensor} at {other.depth[1]:g} m left aside for {sensor.sensor} at {sensor.depth[1]:g} m"
        )
    return sensor, days


def surface_sensors(
    paths: Iterable[Path_], deepest: float = DEEPEST, shallowest: float = 0.0, losses: Losses | None = None
) -> list[Sensor]:
    """The sensors whose layer ends between two depths, metres; names are sorted out before files are read.

    With `losses` a damaged file, and a station that has only other depths, is noted there and left out.
    """
    losses_here = losses or Losses("ISMN")
    found: dict[Path, Sensor] = {}
    others: dict[str, list[float]] = {}
    for path in map(Path, paths):
        try:
            if _within(_depth_in_name(path), shallowest, deepest):
                sensor = read_sensor(path)
                if _within(sensor.depth[1], shallowest, deepest):
                    found[path] = sensor
                    continue
            others.setdefault(_station_in_name(path), []).append(_depth_in_name(path))
        except SourceError as error:
            if losses is None:
                raise
            losses_here.skip(path.name, str(error))
    for station in others.keys() - {_station_in_name(p) for p in found}:
        listed = ", ".join(f"{d:g}" for d in sorted(set(others[station])))
        losses_here.skip(station, f"only at {listed} m; depth=... takes another depth")
    return list(found.values())


def _within(depth: float, shallowest: float, deepest: float) -> bool:
    return shallowest - DEPTH_TOLERANCE <= depth <= deepest + DEPTH_TOLERANCE


def _station_in_name(path: Path) -> str:
    return path.name.split("_sm_")[0]


def _rows(lines: Sequence[str], pattern: re.Pattern[str], path: Path, first: int) -> list[tuple[str, ...]]:
    found = [pattern.match(line) for line in lines]
    for number, (line, match) in enumerate(zip(lines, found, strict=True), first):
        if match is None:
            raise TruncatedFileError(f"{path}, line {number}: {line[:60]!r} is not complete; get the file again")
    if not found:
        raise TruncatedFileError(f"{path} holds a header but no values; get it again")
    return [m.groups() for m in found if m]


def _depth_in_name(path: Path) -> float:
    found = re.search(r"_sm_-?[\d.]+_(-?[\d.]+)_", path.name)
    if not found:
        raise WrongProductError(
            f"{path} is not named like an ISMN file (..._sm_<from>_<to>_<sensor>_<start>_<end>.stm)"
        )
    return float(found.group(1))


def _dataset(
    series: dict[str, pd.Series], dim: str, names: list[str], coords: dict[str, Any], long_name: str
) -> xr.Dataset:
    """Series on one axis of all days from the first to the last."""
    table = pd.DataFrame(series)[names].sort_index()
    if len(table):
        table = table.reindex(pd.date_range(table.index[0], table.index[-1], freq="D"))
    values: NDArray[np.float64] = table.to_numpy(float)
    attrs = {"long_name": long_name, "units": "m3 m-3"}
    time = table.index.to_numpy().astype("datetime64[ns]")
    return xr.Dataset(
        {"ssm": (("time", dim), values, attrs)},
        {"time": time, dim: np.array(names, object), **coords},
        {"source": "ISMN"},
    )
