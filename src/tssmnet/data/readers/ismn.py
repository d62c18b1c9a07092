"""In situ soil moisture of the International Soil Moisture Network (``.stm``) as daily series per station.

Layouts: a header line and hourly values (with old flags, ``U`` for good, or new ones, ``G``), and CEOP, where each line
repeats the station. Flags beginning with C (out of range) or D (dubious) refuse a value, also joined by commas
(``D01,D03``). Times are UTC and so are days.
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

from tssmnet.data.readers.faults import SourceError, TruncatedFileError, WrongProductError, reading

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

    def daily(self, good: Collection[str] = GOOD, min_hours: int = MIN_HOURS) -> pd.Series:
        """Mean of the good values of each UTC day that has at least `min_hours` of them."""
        ok = self.values["flag"].isin(list(good)) & self.values["ssm"].between(0.0, 1.0)
        days = self.values.loc[ok, "ssm"].groupby(self.values.index[ok].floor("D"))
        mean = days.mean()
        return mean[days.count() >= min_hours]


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
    index = pd.DatetimeIndex(
        np.array([t.replace("/", "-").replace(" ", "T") for t in times], "datetime64[s]"), name="time"
    )
    values = pd.DataFrame({"ssm": np.array(texts, float), "flag": flags}, index)
    numbers = [float(x) for x in meta[3:]]
    return Sensor(meta[1], meta[2], sensor, numbers[0], numbers[1], numbers[2], (numbers[3], numbers[4]), values, place)


def read_stations(
    folder: Path_,
    deepest: float = DEEPEST,
    good: Collection[str] = GOOD,
    min_hours: int = MIN_HOURS,
    networks: Iterable[str] | None = None,
) -> xr.Dataset:
    """Daily surface soil moisture of every station below a folder.

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

    Returns
    -------
    xarray.Dataset
        ``ssm`` (time, station), m3 m-3, with coordinates ``lat``, ``lon``, ``network``, ``sensors`` (how many were
        averaged). Several surface sensors of a station are averaged day by day.

    Raises
    ------
    SourceError
        If the folder holds no surface soil moisture.
    """
    sensors = surface_sensors(sorted(Path(folder).rglob("*_sm_*.stm")), deepest)
    wanted = None if networks is None else set(networks)
    sensors = [s for s in sensors if wanted is None or s.network in wanted]
    if not sensors:
        raise SourceError(
            f"{folder} holds no ISMN soil moisture down to {deepest} m"
            + (f" of {sorted(wanted)}" if wanted else "")
            + '; unpack the download there, format "Header + values"'
        )
    groups: dict[str, list[Sensor]] = {}
    for s in sensors:
        groups.setdefault(f"{s.network}/{s.station}", []).append(s)
    series = {name: _average([s.daily(good, min_hours) for s in group]) for name, group in groups.items()}
    places = [group[0] for group in groups.values()]
    counts = [len(group) for group in groups.values()]
    coords = {
        "lat": ("station", [s.lat for s in places], {"units": "degrees_north"}),
        "lon": ("station", [s.lon for s in places], {"units": "degrees_east"}),
        "network": ("station", [s.network for s in places]),
        "sensors": ("station", counts),
    }
    return _dataset(series, "station", list(groups), coords, "in situ surface soil moisture, ISMN")


def surface_sensors(paths: Iterable[Path_], deepest: float = DEEPEST) -> list[Sensor]:
    """The sensors whose layer ends no deeper than `deepest` metres; names are sorted out before files are read."""
    near = [p for p in paths if _depth_in_name(Path(p)) <= deepest + DEPTH_TOLERANCE]
    return [s for s in map(read_sensor, near) if s.depth[1] <= deepest + DEPTH_TOLERANCE]


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


def _average(series: Sequence[pd.Series]) -> pd.Series:
    return pd.concat(list(series), axis=1).mean(axis=1)


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
