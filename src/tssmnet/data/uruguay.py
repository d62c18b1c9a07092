"""A genuine contiguous 9 km grid: two weeks of SMAP over southern Uruguay, with the holes that its swaths leave."""

from __future__ import annotations

import xarray as xr

from tssmnet.data import registry
from tssmnet.data.readers.smap_lists import read_lists

DATASET = "smap-uruguay"


def uruguay_cube() -> xr.Dataset:
    """Two weeks of the enhanced SMAP product over southern Uruguay, both overpasses in one, as a cube to fill.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), 2020-01-01 to 2020-01-14: ``ssm``, m3 m-3, with ``lat`` and ``lon`` in degrees.

    Raises
    ------
    DataUnavailableError
        If a file is neither here, nor in a mirror, nor to be fetched.
    """
    about = {"title": "SMAP enhanced level 3 over Uruguay, 9 km", "license": "NASA, open"}
    return read_lists([*registry.paths_of(DATASET).values()]).assign_attrs(about)
