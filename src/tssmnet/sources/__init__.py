"""Where cubes come from: one module per source, one table of the cubes that can be asked for by profile."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import xarray as xr

from tssmnet.errors import require_known

SOURCES = {
    "twin": "tssmnet.twin:twin_cube",
    "conus": "tssmnet.sources.conus:conus_cube",
}
"""Profile name to the function (``module:function``) that makes its cube."""


def profile_cube(name: str, **parameters: Any) -> xr.Dataset:
    """The cube of a profile.

    Parameters
    ----------
    name
        One of `SOURCES`.
    **parameters
        Handed to the function that makes it.

    Raises
    ------
    UnknownNameError
        If there is no such profile; the message names the nearest.
    """
    module, function = SOURCES[require_known(name, SOURCES, "profile")].split(":")
    cube: xr.Dataset = getattr(import_module(module), function)(**parameters)
    return cube
