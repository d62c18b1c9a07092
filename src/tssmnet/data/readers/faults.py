"""What can be wrong with a source file; every message names the file, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from tssmnet.errors import TssmnetError


class SourceError(TssmnetError):
    """A source file does not hold what its product promises."""


class TruncatedFileError(SourceError):
    """The file cannot be opened or ends too early: a broken download."""


class WrongProductError(SourceError):
    """The file is of another product or version than the one asked for."""


class WrongGridError(SourceError):
    """The file's grid is not the one of the product."""


class OffWindowError(SourceError):
    """The file holds nothing of the region asked for."""


@contextmanager
def reading(path: str | PathLike[str], kind: str) -> Iterator[Path]:
    """Turn whatever a reader raises on a broken file into `TruncatedFileError`, and a missing one into a plain word.

    Parameters
    ----------
    path
        The file.
    kind
        What it should be, for the message: ``"HDF5"``.
    """
    place = Path(path)
    if not place.is_file():
        raise SourceError(f"{place} is not there; `tssmnet data list` says what is needed and where it comes from")
    try:
        yield place
    except TssmnetError:
        raise
    except Exception as error:  # the formats' libraries raise many kinds, most of them bare
        raise TruncatedFileError(
            f"{place} ({place.stat().st_size} bytes) cannot be read as {kind}: {type(error).__name__}: {error}. It is "
            "most likely a broken download: remove it and get it again"
        ) from error


@contextmanager
def reading_netcdf(path: str | PathLike[str], **options: Any) -> Iterator[tuple[Path, xr.Dataset]]:
    """Open a netCDF 4 file for the time of a `with`; `options` go to ``xarray.open_dataset``."""
    # h5netcdf, since the netCDF C library is not safe in threads, and records are made by threads
    with reading(path, "netCDF") as place, xr.open_dataset(place, engine="h5netcdf", **options) as found:
        yield place, found
