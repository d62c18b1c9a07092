"""Products against stations, against another product, against a known truth.

`validate` scores a cube against each station and sums up by median and quartiles. The paper's Table 4 pools all
station-days instead: `match` lines them up, `sums_by_place` and `pooled_table` make its rows, with intervals from
resampling whole places, since the days of one place resemble each other.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.cube import to_pixels
from tssmnet.data.readers.faults import StationsError
from tssmnet.data.readers.ismn import GOOD, MIN_HOURS, read_stations
from tssmnet.data.readers.stations import read_netcdf, read_table
from tssmnet.errors import TssmnetError
from tssmnet.metrics.scores import score

EARTH_KM = 6371.0
GOOD_READINGS = ("G",)


def open_stations(
    path: str | os.PathLike[str],
    *,
    depth: float | None = None,
    good: Collection[str] | None = None,
    min_hours: int = 1,
) -> xr.Dataset:
    """Read station series: one sensor a station, nothing averaged over depths, good readings only.

    Parameters
    ----------
    path
        ``.csv`` (columns station, lat, lon, time, ssm; also network, sensor, depth or depth_from and depth_to in
        metres, one column of flags), ``.nc`` (the same names, dims station, time), or a folder of the International
        Soil Moisture Network. Times are ISO 8601, UTC where they name no zone.
    depth
        Metres below the surface, where the file holds several depths. Without it only sensors down to 0.05 m count.
    good
        The flags that are good, where they are of no known scheme (known: the network's, and words such as good, bad).
    min_hours
        Distinct hours with a good reading that a daily mean needs. A folder of the network needs at least
        `ismn.MIN_HOURS`.

    Returns
    -------
    xarray.Dataset
        ``ssm`` (time, station) in m3 m-3, daily means by UTC day, with coordinates station, lat, lon, network.
        Attributes ``skipped`` and ``losses`` say by station what was left out.

    Raises
    ------
    StationsError
        If the file is of no kind, or something in it cannot be: names the row and the column.
    """
    path = Path(path)
    if not path.exists():
        raise StationsError(f"{path}: no such file")
    if path.is_dir() and path.suffix != ".zarr":
        return read_stations(path, depth=depth, good=good or GOOD, min_hours=max(min_hours, MIN_HOURS))
    if path.suffix.lower() not in (".csv", ".nc"):
        raise StationsError(f"{path}: stations come as .nc or .csv, this ends in {path.suffix!r}")
    read = read_table if path.suffix.lower() == ".csv" else read_netcdf
    return read(path, depth, good, min_hours)


def check_scores_path(out: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Raise a `TssmnetError` if the table of `validate` must not be written to `out`.

    It goes to a new file, or over an earlier table of scores; never over an input or into it, nor over anything else.
    """
    out = Path(out)
    place = out.resolve()
    for given in map(Path, inputs):
        if place == given.resolve() or given.resolve() in place.parents:
            raise TssmnetError(f"{out}: the table would overwrite its own input {given}; give another name")
    if not place.parent.is_dir():
        raise TssmnetError(f"{out}: there is no folder {place.parent}; make it first")
    if os.path.lexists(out) and not _is_scores(out):
        raise TssmnetError(f"{out} is there and is no table of scores; remove it, or give another name")


def _is_scores(path: Path) -> bool:
    """Whether a file is a table that `validate` wrote: by its first line."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        first = file.readline(4096).strip()
    return first.startswith(b"days,place,") and first.endswith(b",km,left_out")


def nearest_pixels(cube: xr.Dataset | xr.DataArray, stations: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Index of each station's nearest pixel and its distance in km on the sphere (haversine)."""
    lat, lon = np.deg2rad(cube["lat"].values), np.deg2rad(cube["lon"].values)
    here = np.deg2rad(stations["lat"].values)[:, None], np.deg2rad(stations["lon"].values)[:, None]
    half = np.sin((lat - here[0]) / 2) ** 2 + np.cos(lat) * np.cos(here[0]) * np.sin((lon - here[1]) / 2) ** 2
    distance = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return distance.argmin(1), distance.min(1)


def validate(
    cube: xr.Dataset, stations: xr.Dataset, *, largest_km: float = 50.0, ci: bool = True, minimum: int = 5
) -> pd.DataFrame:
    """Score a cube against stations, days observed and days filled apart.

    Parameters
    ----------
    cube
        With ``ssm``; if it has ``source`` (see `reconstruct`), observed and filled days are scored apart too.
    stations
        As `open_stations` gives them.
    largest_km
        A station farther from every pixel than this is left out, and said so.
    ci, minimum
        See `tssmnet.metrics.scores.score`.

    Returns
    -------
    pandas.DataFrame
        Index (days, place): days are ``all``, ``observed``, ``filled``; places the stations, then the summary rows of
        `score`. Columns: the metrics, ``km`` to the pixel, and ``left_out`` with the reason where there is no score.

    Raises
    ------
    TssmnetError
        If cube and stations have no day in common, or `largest_km` is no distance.
    """
    if not largest_km > 0:
        raise TssmnetError(f"largest_km is {largest_km}, expected a distance above 0 km")
    pixels = to_pixels(cube)
    index, km = nearest_pixels(pixels, stations)
    names = [str(s) for s in stations["station"].values]
    near = pixels.isel(pixel=index).drop_vars([c for c in pixels.coords if c != "time"])
    near = near.rename(pixel="station").assign_coords(station=names)
    truth = stations["ssm"].drop_vars(["lat", "lon"]).assign_coords(station=names)
    truth = truth.where(xr.DataArray(km <= largest_km, dims="station"))
    truth, near = xr.align(truth, near, join="inner")
    if truth.sizes["time"] == 0:
        raise TssmnetError("the cube and the stations have no day in common")
    tables = {days: score(truth, near["ssm"].where(mask), ci=ci, minimum=minimum) for days, mask in _days(near).items()}
    distance = dict(zip(names, km, strict=True))
    return pd.concat(
        {k: _annotated(t, distance, largest_km, minimum) for k, t in tables.items()}, names=["days", "place"]
    )


def _days(near: xr.Dataset) -> dict[str, Any]:
    """Which values belong to which kind of days, by the CF flags of ``source``."""
    kinds: dict[str, Any] = {"all": near["ssm"].notnull()}
    if "source" in near:
        attrs = near["source"].attrs
        flags = dict(zip(str(attrs["flag_meanings"]).split(), np.atleast_1d(attrs["flag_values"]), strict=True))
        # a filler tells several ways of filling apart; here they are one
        for kind in ("observed", "filled"):
            kinds[kind] = near["source"].isin([value for name, value in flags.items() if name.startswith(kind)])
    return kinds


def _annotated(table: pd.DataFrame, km: dict[str, float], largest_km: float, minimum: int) -> pd.DataFrame:
    far = {s: f"nearest pixel {d:.0f} km away, more than {largest_km:g}" for s, d in km.items() if d > largest_km}
    few = {s: f"fewer than {minimum} common days" for s in km if s not in far and table.loc[s, "n"] < minimum}
    return table.assign(km=pd.Series(km), left_out=pd.Series(far | few, dtype=object))


def readings(stations: xr.Dataset, good: Collection[str] = GOOD_READINGS) -> xr.DataArray:
    """Good daily readings of stations, dims (time, station), m3 m-3.

    Parameters
    ----------
    stations
        With ``ssm`` (`open_stations`, the reader of the International Soil Moisture Network), or with
        ``soil_moisture`` and its flags ``soil_moisture_flag`` (the twin).
    good
        Meanings of the flags that are kept.

    Raises
    ------
    StationsError
        If it has neither.
    """
    if "ssm" in stations:
        return stations["ssm"].transpose("time", "station")
    if "soil_moisture" not in stations or "soil_moisture_flag" not in stations:
        found = ", ".join(map(str, stations.data_vars)) or "nothing"
        raise StationsError(f"stations need ssm, or soil_moisture with soil_moisture_flag; found {found}")
    flag = stations["soil_moisture_flag"]
    meanings = dict(
        zip(str(flag.attrs["flag_meanings"]).split(), np.atleast_1d(flag.attrs["flag_values"]), strict=True)
    )
    kept = flag.isin([value for name, value in meanings.items() if name in good])
    return stations["soil_moisture"].where(kept).transpose("time", "station")


def match(
    product: xr.DataArray,
    stations: xr.Dataset,
    *,
    largest_km: float = 50.0,
    by_cell: bool = False,
    good: Collection[str] = GOOD_READINGS,
) -> pd.DataFrame:
    """Every station-day with a good reading, beside what one or several products say at the nearest cell.

    Parameters
    ----------
    product
        Dims (time, pixel), or (product, time, pixel) for several, m3 m-3, with ``lat`` and ``lon``.
    stations
        As for `readings`; a coordinate ``network`` is carried along.
    largest_km
        A station farther from every cell than this is left out.
    by_cell
        Average the readings of the stations of one cell on a day: one row a cell and day, ``stations`` says how many.
    good
        As for `readings`.

    Returns
    -------
    pandas.DataFrame
        Columns station, network, pixel (number of the cell), km, time, reading, then one a product. NaN where a product
        has no value on that day.

    Raises
    ------
    TssmnetError
        If products and stations have no day in common.
    """
    product = product if "product" in product.dims else product.expand_dims(product=[product.name or "ssm"])
    index, km = nearest_pixels(product, stations)
    near = np.flatnonzero(km <= largest_km)
    cells, cell_of = np.unique(index[near], return_inverse=True)
    value, here = xr.align(readings(stations, good).isel(station=near), product.isel(pixel=cells), join="inner")
    if value.sizes["time"] == 0:
        raise TssmnetError("the products and the stations have no day in common")
    day, place = np.nonzero(np.isfinite(value.values))
    network = value["network"].values.astype(str) if "network" in value.coords else np.full(len(near), "")
    table = pd.DataFrame(
        {
            "station": value["station"].values.astype(str)[place],
            "network": network[place],
            "pixel": cells[cell_of[place]],
            "km": km[near][place],
            "time": value["time"].values[day],
            "reading": value.values[day, place].astype(float),
        }
    )
    estimates = here.transpose("product", "time", "pixel").values
    for name, values in zip(here["product"].values, estimates, strict=True):
        table[str(name)] = values[day, cell_of[place]].astype(float)
    return _averaged_by_cell(table) if by_cell else table


def _averaged_by_cell(table: pd.DataFrame) -> pd.DataFrame:
    groups = table.groupby(["pixel", "time"], sort=True)
    numbers = [c for c in table.columns if c not in ("station", "network", "pixel", "time")]
    means = groups[numbers].mean()
    return means.assign(network=groups["network"].first(), stations=groups.size()).reset_index()
