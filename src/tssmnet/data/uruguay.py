"""A genuine contiguous 9 km grid: two weeks of SMAP over southern Uruguay, with the holes that its swaths leave."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.data import registry

DATASET = "smap-uruguay"
DEGREES = 4
"""Decimals by which a cell's centre is known again on another day."""


def uruguay_cube() -> xr.Dataset:
    """Two weeks of the enhanced SMAP product over southern Uruguay, both overpasses in one, as a cube to fill.

    A file lists the cells of the morning overpass, then those of the evening; where both saw a cell, the first is
    taken. The lists carry no quality flag.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), 2020-01-01 to 2020-01-14: ``ssm``, m3 m-3, with ``lat`` and ``lon`` in degrees.

    Raises
    ------
    DataUnavailableError
        If a file is neither here, nor in a mirror, nor to be fetched.
    """
    days = [_cells(path).assign(time=_day(name)) for name, path in registry.paths_of(DATASET).items()]
    cells = pd.concat(days).drop_duplicates(["time", "lat", "lon"])
    table = cells.pivot(index="time", columns=["lat", "lon"], values="ssm")
    lat, lon = (table.columns.get_level_values(n).to_numpy(float) for n in ("lat", "lon"))
    ssm = ("time", "pixel"), table.to_numpy(np.float32), {"units": "m3 m-3", "long_name": "SMAP soil moisture, 9 km"}
    places = {"lat": ("pixel", lat, {"units": "degrees_north"}), "lon": ("pixel", lon, {"units": "degrees_east"})}
    attrs = {"title": "SMAP enhanced level 3 over Uruguay, 9 km", "license": "NASA, open"}
    return xr.Dataset({"ssm": ssm}, {"time": table.index.to_numpy(), **places}, attrs)


def _cells(path: object) -> pd.DataFrame:
    with xr.open_dataset(str(path)) as listed:
        place = {n: np.round(listed[v].values.astype(float), DEGREES) for n, v in PLACES.items()}
        return pd.DataFrame({**place, "ssm": listed["soil_moisture"].values})


PLACES = {"lat": "latitude", "lon": "longitude"}


def _day(path: str) -> pd.Timestamp:
    return pd.Timestamp(path.removesuffix(".nc").rpartition("_")[2])
