"""Station series from a table (``.csv``) or from netCDF: one sensor a series, nothing guessed, each fault with its row.

Both become one long table of readings, which goes through the same checks. Times are UTC unless they name a zone, and
so are days.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.cube import is_by_volume
from tssmnet.data.readers.faults import Losses, StationsError
from tssmnet.data.readers.ismn import DEEPEST, DEPTH_TOLERANCE

COLUMNS = ("station", "lat", "lon", "time", "ssm")
IDENTITY = ("network", "station")
"""What names a station; its sensors differ by ``sensor`` and depth."""
SENSOR = ("network", "station", "sensor", "depth_from", "depth")
OPTIONAL = ("network", "sensor", "depth", "depth_from", "depth_to", "units")
OTHER_NAMES = {"latitude": "lat", "longitude": "lon"}

MISSING = ("", "nan", "na", "n/a", "null", "none")
"""What a field of a table may hold in place of a number that is not there."""

FLAG_SCHEMES: Mapping[str, tuple[re.Pattern[str], frozenset[str]]] = {
    "ISMN": (re.compile(r"[GUM]|[CD]\d\d(,[CD]\d\d)*"), frozenset({"G", "U"})),
    "words": (
        re.compile(r"good|ok|valid|pass|passed|bad|suspect|dubious|doubtful|fail|failed|invalid|missing", re.I),
        frozenset({"good", "ok", "valid", "pass", "passed"}),
    ),
}
"""Name to the pattern of all its flags and those that are good; numbers alone say nothing, 0 and 1 are both in use."""

SAME_PLACE = 0.001
"""Degrees between two positions of one station that still are one place."""

YEARS = (1900, 2100)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?)(?: ?(Z|[+-]\d\d(?::?\d\d)?))?)?", re.ASCII
)
WRITE_TIME = "write it as 2018-07-31 or 2018-07-31T13:00:00+08:00 (UTC where no zone is given)"
_FLAG_LIKE = re.compile(r"flag|qual|(?<![a-z])q[ac]|valid|status|good|bad|suspect|mask|reliab")
_FLAG_OF_OTHERS = re.compile(r"orig|provider")
_SENSOR_LIKE = re.compile(r"layer|level|sensor|probe|horizon|replic|instrument|position")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Readings:
    """Readings as they were found."""

    name: str  # the file, for messages
    # one row a reading: ``network, station, sensor`` (text), ``depth_from, depth, lat, lon, ssm`` (numbers; depths
    # NaN where none is stated), ``time`` (UTC), ``good`` (by its flag)
    table: pd.DataFrame
    where: Callable[[int], str]  # says where the row of a number stands in the file

    def refuse(self, wrong: pd.Series | np.ndarray, column: str, what: str, *values: pd.Series) -> None:
        """Raise a `StationsError` that names the first row where `wrong` is true; `what` is filled from `values`."""
        rows = np.flatnonzero(np.asarray(wrong))
        if rows.size:
            first, more = int(rows[0]), f" ({rows.size} rows are so)" if rows.size > 1 else ""
            what = what.format(*(v.iloc[first] for v in values))
            raise StationsError(f"{self.name}, {self.where(first)}, column {column}: {what}{more}")


def read_table(
    path: Path, depth: float | None = None, good: Collection[str] | None = None, min_hours: int = 1
) -> xr.Dataset:
    """Daily series of the stations in a CSV file; parameters and result as for `metrics.stations.open_stations`."""
    header, rows, lines = _records(path)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    text = pd.DataFrame({c: pd.Series(v, dtype=object).str.strip() for c, v in columns.items() if c})
    found = Readings(str(path), text, lambda i: f"row {lines[i]}")
    _check_columns(found)
    table = pd.DataFrame({c: _words(found, c) for c in ("network", "station", "sensor")})
    for column in ("lat", "lon", "ssm"):
        table[column] = _numbers(found, column)
    table["depth_from"], table["depth"] = _depths(found)
    table["time"] = _times(found)
    table["good"] = _good_by_flag(found, table["ssm"].notna(), good)
    return daily_series(Readings(found.name, table, found.where), depth, min_hours)


def read_netcdf(
    path: Path, depth: float | None = None, good: Collection[str] | None = None, min_hours: int = 1
) -> xr.Dataset:
    """Daily series of the stations in a netCDF file; parameters and result as for `metrics.stations.open_stations`."""
    stations = _load(path)
    name, ssm = str(path), stations["ssm"]
    dims = [str(d) for d in ssm.dims]
    if not {"time", "station"} <= set(dims) <= {"time", "station", "depth"}:
        raise StationsError(f"{name}: ssm has dims {ssm.dims}, expected time and station")
    if not is_by_volume(ssm.attrs.get("units")):
        raise StationsError(f"{name}: ssm has units {ssm.attrs.get('units')!r}, expected 'm3 m-3'")
    if ssm.dtype.kind not in "iuf" or stations["time"].dtype.kind != "M":
        raise StationsError(
            f"{name}: ssm holds {ssm.dtype} and time {stations['time'].dtype}; wanted are numbers, and times with CF "
            "units of the standard calendar, such as 'hours since 2018-01-01'"
        )
    table = pd.DataFrame({c: _spread(stations, c, ssm) for c in (*COLUMNS, "network", "sensor", "depth", "depth_from")})
    table = table.assign(**{c: table[c].map(_as_text) for c in ("station", "network", "sensor")})
    table["depth_from"] = table["depth_from"].fillna(table["depth"])
    found = Readings(name, table, lambda i: f"station {table['station'][i]!r}, time {table['time'][i]}")
    for column in ("lat", "lon", "depth", "depth_from"):
        table[column] = _plain_numbers(found, column)
    flags = _netcdf_flags(stations, ssm, name)
    table["good"] = _good_by_flag(
        Readings(name, table.assign(**flags), found.where), table["ssm"].notna(), good, list(flags)
    )
    return daily_series(found, depth, min_hours)


def daily_series(found: Readings, depth: float | None, min_hours: int) -> xr.Dataset:
    """Check readings, keep one sensor of each station, and average its good readings by UTC day.

    Returns
    -------
    xarray.Dataset
        ``ssm`` (time, station), m3 m-3, every day from the first to the last, with coordinates ``lat``, ``lon``,
        ``network``, ``depth`` (metres, NaN where it is not stated). Attributes ``skipped`` and ``losses`` say by
        station what was left out.

    Raises
    ------
    StationsError
        Naming the file, the row and the column that cannot be; or why nothing is left of each station.
    """
    if depth is not None and not (np.isfinite(depth) and 0 <= depth <= 100):
        raise StationsError(f"depth is {depth}, expected metres below the surface, for instance 0.05")
    if min_hours not in range(1, 25):
        raise StationsError(f"min_hours is {min_hours}, expected 1 to 24 hours a day")
    _check_identity(found)
    _check_values(found)
    losses = Losses(found.name)
    table = _one_depth(found, depth, losses)
    _check_one_sensor(found.name, table)
    table = table.assign(day=table["time"].dt.floor("D"), hour=table["time"].dt.floor("h"))
    used = table[table["good"] & table["ssm"].notna()]
    days = used.groupby([*IDENTITY, "day"]).agg(ssm=("ssm", "mean"), hours=("hour", "nunique"))
    kept = days.loc[days["hours"] >= min_hours, "ssm"]
    _note_losses(table, used, days, kept, min_hours, losses)
    losses.say(left=len(kept))
    return _dataset(table, kept, losses)


# ------------------------------------------------------------------------------------------------------------- reading


def _decoded(path: Path) -> str:
    """The text of a file in UTF-8; anything else is refused in a sentence that says what it is."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StationsError(f"{path} cannot be read: {error.strerror or error}") from error
    if not raw.strip():
        raise StationsError(f"{path} is empty; stations need the columns {', '.join(COLUMNS)}")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise StationsError(f"{path} is UTF-16 text; save it as UTF-8, for instance by `iconv -f utf-16 -t utf-8`")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not _CONTROL.search(raw.decode("latin-1")):
            row, byte = raw[: error.start].count(b"\n") + 1, raw[error.start]
            raise StationsError(
                f"{path}, row {row}: byte 0x{byte:02x} is not UTF-8 ({chr(byte)!r} if it is latin-1); save the file as "
                "UTF-8, for instance by `iconv -f latin1 -t utf-8`"
            ) from None
        text = "\0"
    if _CONTROL.search(text):
        raise StationsError(f"{path} is binary, not a table; stations come as UTF-8 text with commas, or as netCDF")
    return text


def _records(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Column names, rows and their line numbers of a CSV file, by whichever of ``,`` and ``;`` parts its header."""
    text = _decoded(path)
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;", key=first.count), strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise StationsError(f"{path}, row {reader.line_num}: {error}; look for a quotation mark left open") from error
    header = [OTHER_NAMES.get(c, c) for c in (field.strip().casefold() for field in rows[0])]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise StationsError(f"{path}, row {line}: {len(row)} fields, but the header has {len(header)}")
    _check_header(path, header)
    if len(rows) == 1:
        raise StationsError(f"{path} holds a header but no rows")
    return header, rows[1:], lines[1:]


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [c for c in COLUMNS if c not in header]
    if missing:
        raise StationsError(
            f"{path}: columns {', '.join(missing)} are missing; found {', '.join(c for c in header if c)[:200]}"
        )
    if twice := sorted({c for c in header if c and header.count(c) > 1}):
        raise StationsError(f"{path}: columns {', '.join(twice)} are there more than once")


def _load(path: Path) -> xr.Dataset:
    try:
        with open(path, "rb") as file:
            classic = file.read(3) == b"CDF"
        stations = xr.load_dataset(path, engine="scipy" if classic else "h5netcdf")
    except Exception as error:  # the readers raise many kinds; the user needs one that names the file
        raise StationsError(f"{path} cannot be read as netCDF: {type(error).__name__}: {str(error)[:200]}") from error
    names = {n: OTHER_NAMES[str(n)] for n in stations.variables if n in OTHER_NAMES}
    if "ssm" not in stations.variables and "soil_moisture" in stations.variables:
        names["soil_moisture"] = "ssm"
    stations = stations.rename({n: new for n, new in names.items() if new not in stations.variables})
    missing = [c for c in COLUMNS if c not in stations.variables]
    if missing:
        raise StationsError(f"{path}: {', '.join(missing)} missing; stations need {', '.join(COLUMNS)}")
    return stations


def _spread(stations: xr.Dataset, column: str, like: xr.DataArray) -> np.ndarray:
    """A variable repeated for every value of ``ssm``, flat; None everywhere if it is not there or lies elsewhere."""
    if column not in stations.variables or not set(stations[column].dims) <= set(like.dims):
        return np.full(like.size, None, object)
    return stations[column].broadcast_like(like).transpose(*like.dims).values.ravel()


def _as_text(value: Any) -> str:
    """A name as text; netCDF gives bytes for names of fixed width, and nothing where there is none."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return "" if pd.isna(value) else str(value).strip()


def _netcdf_flags(stations: xr.Dataset, ssm: xr.DataArray, name: str) -> dict[str, np.ndarray]:
    """Flag variables on the dims of ``ssm`` as words, by their CF meanings where they have them."""
    flags = {}
    for variable in map(str, stations.data_vars):
        if variable == "ssm" or set(stations[variable].dims) != set(ssm.dims) or not _is_flag(variable):
            continue
        attrs, values = stations[variable].attrs, _spread(stations, variable, ssm)
        if "flag_masks" in attrs:
            raise StationsError(f"{name}: {variable} holds bits (flag_masks); mask ssm by it and leave it out")
        words = dict(
            zip(np.atleast_1d(attrs.get("flag_values", ())), str(attrs.get("flag_meanings", "")).split(), strict=False)
        )
        flags[variable] = pd.Series(values).map(lambda v, words=words: str(words.get(v, v)).strip()).to_numpy(object)
    return flags


# ------------------------------------------------------------------------------------------------------------- columns


def _is_flag(column: str) -> bool:
    return bool(_FLAG_LIKE.search(column.casefold())) and not _FLAG_OF_OTHERS.search(column.casefold())


def _check_columns(found: Readings) -> None:
    """Refuse columns that would have to be understood and are not: depths in other units, other names for sensors."""
    text = found.table
    for column in text.columns.difference([*COLUMNS, *OPTIONAL]):
        if "depth" in column:
            raise StationsError(
                f"{found.name}: column {column} is not understood; give depths in metres as depth, or as depth_from "
                "and depth_to"
            )
        names = text[[c for c in IDENTITY if c in text]].agg("\0".join, axis=1)
        if _SENSOR_LIKE.search(column) and (text[column].groupby(names).nunique() > 1).any():
            raise StationsError(
                f"{found.name}: column {column} varies within a station and is not understood; name sensors in a "
                "column sensor, depths in metres in a column depth"
            )
    if ("depth_from" in text and "depth_to" not in text) or {"depth", "depth_to"} <= set(text):
        raise StationsError(f"{found.name}: depths come as one column depth, or as both depth_from and depth_to")
    if "units" in text:
        units = text["units"]
        found.refuse(
            ~units.map(is_by_volume).astype(bool), "units", "{0!r}, expected 'm3 m-3'; convert the values", units
        )


def _words(found: Readings, column: str) -> pd.Series:
    if column not in found.table:
        return pd.Series("", index=found.table.index, dtype=object)
    words = found.table[column]
    found.refuse(words == "", column, f"is empty; every reading names its {column}")
    return words


def _numbers(found: Readings, column: str) -> pd.Series:
    """A column as numbers, NaN where the field is empty or says that there is none."""
    text = found.table[column]
    codes, unique = pd.factorize(text)
    missing = np.array([u.casefold() in MISSING for u in unique])
    number = np.array([NUMBER.fullmatch(u) is not None for u in unique])
    hint = "write numbers with a point, and leave the field empty where there is none"
    found.refuse(~(missing | number)[codes], column, "{0!r} is no number; " + hint, text)
    values = np.array([float(u) if is_number else np.nan for u, is_number in zip(unique, number, strict=True)])
    return pd.Series(values[codes], index=text.index)


def _plain_numbers(found: Readings, column: str) -> pd.Series:
    given = found.table[column]
    values = pd.to_numeric(given, errors="coerce").astype(float)
    found.refuse(values.isna() & given.notna(), column, "{0!r} is no number", given)
    return values


def _depths(found: Readings) -> tuple[pd.Series, pd.Series]:
    """Upper and lower end of each reading's layer in metres; NaN where the table states none."""
    column = "depth_to" if "depth_to" in found.table else "depth"
    if column not in found.table:
        none = pd.Series(np.nan, index=found.table.index)
        return none, none
    lower = _numbers(found, column)
    upper = _numbers(found, "depth_from") if "depth_from" in found.table else lower
    found.refuse(lower.isna(), column, "is missing, though the table has a column of depths")
    found.refuse(upper > lower, "depth_from", "{0:g} lies below the lower end {1:g}", upper, lower)
    return upper, lower


def _times(found: Readings) -> pd.Series:
    """The column ``time`` in UTC."""
    text = found.table["time"]
    codes, unique = pd.factorize(text)
    parsed = [_utc(word) for word in unique]
    strange = np.array([p is None for p in parsed])[codes]
    found.refuse(strange, "time", "{0!r} is no ISO 8601 time; " + WRITE_TIME, text)
    zoned = np.array([p is not None and p[1] for p in parsed])[codes]
    differs = "{0!r} but {1!r} in the first row: give the zone in all rows, or in none"
    found.refuse(zoned != zoned[0], "time", differs, text, pd.Series(text.iloc[0], index=text.index))
    utc = np.array([p[0] for p in parsed if p], "datetime64[us]")
    return pd.Series(utc[codes], index=text.index)


def _utc(word: str) -> tuple[datetime, bool] | None:
    """The UTC time that an ISO 8601 word names, and whether it names its zone; None if it is no such word."""
    match = ISO.fullmatch(word)
    if match is None:
        return None
    date, clock, zone = match.groups()
    try:
        time = datetime.fromisoformat(f"{date}T{(clock or '00:00').replace(',', '.')}")
    except ValueError:
        return None
    hours, minutes = (0, 0) if zone in (None, "Z") else (int(zone[1:3]), int(zone[3:].strip(":") or 0))
    if not (YEARS[0] <= time.year <= YEARS[1]) or hours > 14 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return (time + offset if (zone or "").startswith("-") else time - offset), zone is not None


def _good_by_flag(
    found: Readings, needed: pd.Series, good: Collection[str] | None, columns: Sequence[str] | None = None
) -> pd.Series:
    """Whether each reading is good by its flag: by `good`, else by a scheme that knows every flag of the column."""
    text = found.table
    flags = [c for c in text.columns if _is_flag(c)] if columns is None else list(columns)
    if not flags and good is not None:
        raise StationsError(f"{found.name} has no column of flags that `good` could choose from")
    if not flags:
        return pd.Series(True, index=text.index)
    if len(flags) > 1:
        raise StationsError(f"{found.name}: columns {', '.join(flags)} all look like flags; keep the one to be used")
    column, words = flags[0], text[flags[0]]
    if good is not None:
        return words.isin([str(g) for g in good])
    unique = words[needed].unique()
    for pattern, kept in FLAG_SCHEMES.values():
        if all(pattern.fullmatch(str(w)) for w in unique):
            return words.isin(list(kept)) | words.str.casefold().isin(list(kept))
    known = re.compile("|".join(f"({p.pattern})" for p, _ in FLAG_SCHEMES.values()), re.I)
    strange = needed & ~words.map(lambda w: known.fullmatch(str(w)) is not None)
    found.refuse(
        strange if strange.any() else needed,
        column,
        "flag {0!r} is of no known scheme (ISMN's G, C01, D03; good, bad, ...); say which flags are good (good=..., "
        "--good), or take the bad readings and the column out",
        words,
    )
    return pd.Series(True, index=text.index)


# -------------------------------------------------------------------------------------------------------------- checks


def _check_identity(found: Readings) -> None:
    """Each reading has a name, a place on the globe that its station keeps, and a time of its own."""
    table = found.table
    found.refuse(table["station"] == "", "station", "is empty")
    for column, low, high in (("lat", -90, 90), ("lon", -180, 360)):
        values = table[column]
        found.refuse(values.isna(), column, "is missing")
        found.refuse(
            ~values.between(low, high), column, f"{{0:g}} is no place; expected {low} to {high} degrees", values
        )
        home = values.groupby([table[c] for c in IDENTITY]).transform("first")
        moved = "station {0!r} is at {1:g} and at {2:g}; name each place"
        found.refuse((values - home).abs() > SAME_PLACE, column, moved, table["station"], values, home)
    for column in ("depth", "depth_from"):
        values = table[column]
        wrong = values.notna() & ~values.between(0, 100)
        found.refuse(wrong, column, "depth {0:g}, expected metres below the surface", values)
    found.refuse(table["time"].isna(), "time", "is missing")
    found.refuse(~table["time"].dt.year.between(*YEARS), "time", "{0} cannot be", table["time"])
    found.refuse(
        table.duplicated([*SENSOR, "time"]),
        "time",
        "station {0!r} has a reading of {1} UTC already; of several depths or sensors say so in columns depth (metres) "
        "and sensor",
        table["station"],
        table["time"],
    )


def _check_values(found: Readings) -> None:
    values = found.table["ssm"].where(found.table["good"])
    wrong = values.notna() & ~values.between(0, 1)
    if not wrong.any():
        return
    bad = values[wrong]
    low, high = float(bad.min()), float(bad.max())
    hint = "leave the field empty where there is no value"
    if low >= 0 and high <= 100:
        hint = "divide percent by 100"
    reach = f"up to {high:g}" if high > 1 else f"down to {low:g}"
    found.refuse(wrong, "ssm", f"must lie in 0..1 m3 m-3, found {reach}, here {{0:g}}; {hint}", values)


def _one_depth(found: Readings, depth: float | None, losses: Losses) -> pd.DataFrame:
    """The readings at the depth that was asked for, else at the only one; a station without it is noted."""
    table = found.table
    if depth is not None and table["depth"].isna().all():
        raise StationsError(f"{found.name} states no depths (a column depth, metres); depth={depth:g} cannot be chosen")
    if table["depth"].isna().all():
        return table
    found.refuse(table["depth"].isna(), "depth", "is missing, though others have one")
    depths = np.sort(table["depth"].unique())
    depths = depths[np.diff(depths, prepend=-1.0) > DEPTH_TOLERANCE]
    if depth is None and len(depths) > 1:
        listed = ", ".join(f"{d:g}" for d in depths)
        raise StationsError(f"{found.name} holds several depths: {listed} m; choose one (depth={depths[0]:g}, --depth)")
    fits = table["depth"] <= DEEPEST + DEPTH_TOLERANCE
    if depth is not None:
        fits = (table["depth"] - depth).abs() <= DEPTH_TOLERANCE
    for name, group in table[~fits].groupby(list(IDENTITY)):
        if not (fits[group.index[0]] or _has(table[fits], name)):
            others = ", ".join(f"{d:g}" for d in sorted(set(group["depth"])))
            losses.skip(station_name(*name), f"only at {others} m; depth=... (--depth) takes another depth")
    return table[fits]


def _has(table: pd.DataFrame, name: tuple[str, ...]) -> bool:
    return bool(((table["network"] == name[0]) & (table["station"] == name[1])).any())


def _check_one_sensor(name: str, table: pd.DataFrame) -> None:
    sensors = table[list(SENSOR)].drop_duplicates()
    for station, group in sensors.groupby(list(IDENTITY)):
        if len(group) > 1:
            listed = ", ".join(
                f"{s.sensor or 'a sensor'} at {s.depth_from:g} to {s.depth:g} m" for s in group.itertuples()
            )
            raise StationsError(
                f"{name}: station {station_name(*station)} has several sensors: {listed}; keep one of them"
            )


def station_name(network: str, station: str) -> str:
    """What a station is called in results: with its network in front, where it has one."""
    return station if not network or station.startswith(f"{network}/") else f"{network}/{station}"


def _note_losses(
    table: pd.DataFrame, used: pd.DataFrame, days: pd.DataFrame, kept: pd.Series, min_hours: int, losses: Losses
) -> None:
    """Say of each station what it lost to flags and to days with too few hours."""
    read = table[table["ssm"].notna()].groupby(list(IDENTITY)).size()
    rows, every, left = (t.groupby(level=[0, 1]).size() for t in (used.set_index(list(IDENTITY)), days, kept))
    for name in table[list(IDENTITY)].drop_duplicates().itertuples(index=False, name=None):
        readings, good, some, enough = (int(s.get(name, 0)) for s in (read, rows, every, left))
        few = f"{some - enough} of {some} days have readings in fewer than {min_hours} hours"
        if not readings or not good:
            losses.skip(station_name(*name), f"no good reading among {readings}" if readings else "no reading")
        elif not enough:
            losses.skip(station_name(*name), few)
        else:
            losses.lose(station_name(*name), f"{readings - good} of {readings} readings flagged", readings - good)
            losses.lose(station_name(*name), few, some - enough)


def _dataset(table: pd.DataFrame, kept: pd.Series, losses: Losses) -> xr.Dataset:
    places = table.groupby(list(IDENTITY))[["lat", "lon", "depth"]].first()
    wide = kept.unstack(list(IDENTITY)).sort_index(axis=1).asfreq("D")
    places = places.reindex(wide.columns)
    coords: dict[str, Any] = {
        "time": wide.index.to_numpy().astype("datetime64[ns]"),
        "station": np.array([station_name(*name) for name in wide.columns], object),
        "lat": ("station", places["lat"].to_numpy(float), {"units": "degrees_north"}),
        "lon": ("station", places["lon"].to_numpy(float), {"units": "degrees_east"}),
        "network": ("station", np.array([network for network, _ in wide.columns], object)),
    }
    coords["depth"] = ("station", places["depth"].to_numpy(float), {"units": "m", "positive": "down"})
    attrs = {"long_name": "in situ soil moisture", "units": "m3 m-3"}
    return xr.Dataset({"ssm": (("time", "station"), wide.to_numpy(float), attrs)}, coords, losses.attrs)
