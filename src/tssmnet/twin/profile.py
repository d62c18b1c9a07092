"""The ``twin`` profile: the synthetic world of `tssmnet.twin`, simulated once and then read from the store."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import xarray as xr

from tssmnet.cache import Store
from tssmnet.cube import open_dataset, write_dataset
from tssmnet.errors import require_known
from tssmnet.twin import Twin, twin_world
from tssmnet.twin.world import VARIABLES

TWIN_PARTS = tuple(field.name for field in fields(Twin))
"""What there is of the twin: cube, truth, observations, stations, esa_cci."""

CHUNK_DAYS = 122
"""Days in a stored chunk: maps and series are both read often, and a chunk of all pixels stays below 4 MB."""


def twin_part(part: str = "cube", **parameters: Any) -> xr.Dataset:
    """One part of the twin on land cells, simulated with all others at the first call and lazy from the store.

    Parameters
    ----------
    part
        One of `TWIN_PARTS`.
    **parameters
        Of `tssmnet.twin.twin_world`, all but ``layout``; by default 36 km and 731 days from 2016-01-01, seed 0.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), stations (time, station); variables in the order of the twin's own table, so that features
        made from them are the same wherever they are read.

    Raises
    ------
    UnknownNameError
        For an unknown part or parameter.
    """
    require_known(part, TWIN_PARTS, "part of the twin")
    known = {name: p.default for name, p in inspect.signature(twin_world).parameters.items() if name != "layout"}
    for name in parameters:
        require_known(name, known, "parameter of the twin")
    folder = Store().entry(twin_world, {**known, **parameters, "layout": "pixel"}, _write)
    dataset = open_dataset(folder / f"{part}.zarr")
    # A zarr folder lists its arrays as the file system does.
    order = {name: place for place, name in enumerate(VARIABLES)}
    return dataset[sorted(dataset, key=lambda name: (order.get(str(name), len(order)), str(name)))]


def _write(twin: Twin, folder: Path) -> None:
    for part in TWIN_PARTS:
        dataset: xr.Dataset = getattr(twin, part)
        write_dataset(dataset.chunk(time=min(CHUNK_DAYS, dataset.sizes["time"])), folder / f"{part}.zarr")
