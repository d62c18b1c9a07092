"""SMAP level 3 cut to a region and kept as lists of cells, a netCDF file a day.

A file has ``latitude``, ``longitude`` and ``soil_moisture`` along one dim: the cells that the morning overpass saw,
then those of the evening, without a quality flag. Its day is in its name only, as 2020-01-31 or 20200131.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.data.readers.faults import WrongProductError, reading_netcdf

PLACES = {"lat": "latitude", "lon": "longitude"}
VALUE = "soil_moisture"
DEGREES = 4
"""Decimals by which a cell's centre is known again on another day."""

_SSM = {"long_name": "surface soil moisture, SMAP level 3", "units": "m3 m-3"}


def is_list(found: xr.Dataset) -> bool:
    """Whether an open file lists cells as this module reads them."""
    names = [*PLACES.values(), VALUE]
    return all(n in found.variables for n in names) and len({found[n].dims for n in names}) == 1 == found[VALUE].ndim


def day_in_name(path: str | PathLike[str]) -> pd.Timestamp:
    """The last day that a file's name speaks of.

    >>> day_in_name("Uruguay_2020-01-14.nc")
    Timestamp('2020-01-14 00:00:00')

    Raises
    ------
    WrongProductError
        If it speaks of none.
    """
    for year, month, day in reversed(re.findall(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)", Path(path).name)):
        if pd.notna(found := pd.to_datetime(f"{year}-{month}-{day}", errors="coerce")):
            return found
    raise WrongProductError(f"{path} has no day in its name, such as 2020-01-31; give it its original name back")


def read_lists(paths: Sequence[str | PathLike[str]]) -> xr.Dataset:
    """The cells that were seen at least once, over the days of the files.

    Parameters
    ----------
    paths
        Files; where both overpasses saw a cell, the first one's value is taken.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel): ``ssm``, m3 m-3, with ``lat`` and ``lon`` in degrees.

    Raises
    ------
    SourceError
        If a file lists no cells, or cannot be read.
    """
    cells = pd.concat([_cells(path).assign(time=day_in_name(path)) for path in paths])
    table = cells.drop_duplicates(["time", "lat", "lon"]).pivot(index="time", columns=["lat", "lon"], values="ssm")
    table = table.sort_index(axis=1, level=["lat", "lon"], ascending=[False, True])  # as a map is read
    lat, lon = (table.columns.get_level_values(n).to_numpy(float) for n in PLACES)
    places = {"lat": ("pixel", lat, {"units": "degrees_north"}), "lon": ("pixel", lon, {"units": "degrees_east"})}
    return xr.Dataset(
        {"ssm": (("time", "pixel"), table.to_numpy(np.float32), _SSM)}, {"time": table.index.to_numpy(), **places}
    )


def _cells(path: str | PathLike[str]) -> pd.DataFrame:
    with reading_netcdf(path) as (place, found):
        if not is_list(found):
            raise WrongProductError(f"{place} is no list of cells: latitude, longitude and soil_moisture along one dim")
        places = {n: np.round(found[v].values.astype(float), DEGREES) for n, v in PLACES.items()}
        listed = pd.DataFrame({**places, "ssm": found[VALUE].values})
    return listed[listed["ssm"].between(0, 1)]
