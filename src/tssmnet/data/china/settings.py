"""The settings of a run of the `china` profile: period, window, rules, cluster, addresses.

``china.yml`` in the data folder overrides the defaults, which are the paper's study. To add a month, move `last`
forward and run again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tssmnet.cluster import check_cluster
from tssmnet.data.readers.grids import CHINA, Bounds
from tssmnet.data.readers.smap import MERGES, QUALITIES
from tssmnet.errors import TssmnetError, require_known

FILE = "china.yml"


class SettingsError(TssmnetError):
    """A setting that cannot be; the message names the file, the key and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """Settings of the `china` profile."""

    # first, last: days, both included
    first: str = "2016-01-01"
    last: str = "2022-12-31"
    bounds: Bounds = CHINA  # west, south, east, north in degrees; cells with their centre inside
    # quality, merge: of SMAP, as in `smap.read_granule`
    quality: str = "recommended"
    merge: str = "mean"
    # smallest share of a 9 km cell that clear pixels must cover for the cell to have a land surface temperature
    min_cover: float = 0.25
    landcover_year: int = 0  # year of MCD12Q1; 0 takes the first that is there
    # reference_first, reference_last: days from which the annual cycle of land surface temperature is learned, once;
    # empty: the days of the first run
    reference_first: str = ""
    reference_last: str = ""
    days_per_chunk: int = 32  # days that a worker holds at once
    # cluster, workers: as in `cluster.open_cluster`
    cluster: str = "none"
    workers: int = 0
    without: tuple[str, ...] = ()  # data sets to do without; anything else that is not there is an error
    # addresses in place of the manifest's, by name of the service
    services: Mapping[str, str] = field(default_factory=dict)


def load_settings(folder: Path) -> Settings:
    """The settings in ``china.yml`` of a folder; the defaults where there is no such file.

    Raises
    ------
    SettingsError
        If the file is not readable, has an unknown key, or a value that cannot be.
    """
    path = folder / FILE
    if not path.is_file():
        return Settings()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise SettingsError("it holds no keys")
        known = {f.name: f for f in fields(Settings)}
        for key in content:
            require_known(str(key), known, "setting")
        return checked(Settings(**{k: _plain(k, v) for k, v in content.items()}))
    except (yaml.YAMLError, TssmnetError, ValueError, TypeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _plain(key: str, value: Any) -> Any:
    if key in ("first", "last", "reference_first", "reference_last"):
        return str(value)
    if key in ("bounds", "without"):
        return tuple(value)
    return value


def checked(settings: Settings) -> Settings:
    """The same settings, if they can be.

    Raises
    ------
    SettingsError
        Naming the first that cannot.
    """
    require_known(settings.quality, QUALITIES, "quality")
    require_known(settings.merge, MERGES, "way of merging overpasses")
    check_cluster(settings.cluster)
    if np.datetime64(settings.first) > np.datetime64(settings.last):
        raise SettingsError(f"first {settings.first} lies after last {settings.last}")
    if len(settings.bounds) != 4 or not all(isinstance(b, int | float) for b in settings.bounds):
        raise SettingsError(f"bounds are west, south, east, north in degrees, got {settings.bounds}")
    west, south, east, north = settings.bounds
    if not (-180 <= west < east <= 180 and -85 <= south < north <= 85):
        raise SettingsError(f"bounds are west, south, east, north in degrees, got {settings.bounds}")
    if settings.days_per_chunk < 1 or not 0 <= settings.min_cover <= 1:
        raise SettingsError(f"days_per_chunk {settings.days_per_chunk} or min_cover {settings.min_cover} cannot be")
    for name, where in settings.services.items():
        if not re.fullmatch(r"https?://[!-~]+", str(where)):
            raise SettingsError(f"services: {name} is {where!r}, expected an address that begins with https://")
    return settings
