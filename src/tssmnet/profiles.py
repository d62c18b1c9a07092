"""The profiles of the book: one table of what each has, and which function gives it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import xarray as xr

from tssmnet.errors import TssmnetError, require_known

SOURCES: Mapping[str, Mapping[str, str]] = {
    "twin": dict.fromkeys(("cube", "truth", "observations", "stations", "esa_cci"), "tssmnet.twin.profile:twin_part"),
    "conus": {"cube": "tssmnet.data.conus:conus_cube"},
    "china": dict.fromkeys(("cube", "stations", "esa_cci"), "tssmnet.data.china.build:china_part"),
}
"""Profile to its parts, and to the function (``module:function``) that gives each. A function that gives several takes
``part``."""

PROFILE_PARTS = {
    "cube": "soil moisture with its gaps, and the predictors",
    "truth": "soil moisture as it is, also in the gaps",
    "observations": "what each instrument gave, and why there is none",
    "stations": "soil moisture of stations",
    "esa_cci": "the ESA CCI product",
}
"""What a profile may have, in a reader's words."""


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
    return profile_part(name, "cube", **parameters)


def profile_part(name: str, part: str, **parameters: Any) -> xr.Dataset:
    """One part of a profile's data.

    Parameters
    ----------
    name
        One of `SOURCES`.
    part
        One of `PROFILE_PARTS`; `profile_parts` tells which ones a profile has.
    **parameters
        Handed to the function that makes it.

    Raises
    ------
    UnknownNameError
        If there is no such profile or no such part at all; the message names the nearest.
    TssmnetError
        If this profile does not have that part.
    """
    require_known(part, PROFILE_PARTS, "part of a profile")
    found = SOURCES[require_known(name, SOURCES, "profile")]
    if part not in found:
        others = [other for other, parts in SOURCES.items() if part in parts]
        raise TssmnetError(
            f"profile {name!r} has no part {part!r} ({PROFILE_PARTS[part]}); it has {', '.join(found)}. "
            f"Profiles that have it: {', '.join(others) or 'none'}"
        )
    module, _, function = found[part].partition(":")
    several = {"part": part} if len(found) > 1 else {}
    dataset: xr.Dataset = getattr(import_module(module), function)(**several, **parameters)
    return dataset


def profile_parts(name: str) -> tuple[str, ...]:
    """The parts that a profile has.

    Examples
    --------
    >>> profile_parts("conus")
    ('cube',)
    """
    return tuple(SOURCES[require_known(name, SOURCES, "profile")])
