"""What can be wrong with a source file; every message names the file, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from tssmnet.errors import TssmnetError
from tssmnet.progress import note


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


class StationsError(SourceError):
    """A file or dataset that does not hold station series."""


class Losses:
    """What was left out of stations, and why: kept with the result, and said in one line on standard error.

    Parameters
    ----------
    name
        The file or folder, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.skipped: dict[str, list[str]] = {}
        self.lost: dict[str, list[str]] = {}

    def skip(self, station: str, why: str) -> None:
        """Note that nothing is left of a station, or of a file."""
        self.skipped.setdefault(station, []).append(why)

    def lose(self, station: str, what: str, count: int = 1) -> None:
        """Note that a station lost something; nothing if `count` is 0."""
        if count:
            self.lost.setdefault(station, []).append(what)

    @property
    def attrs(self) -> dict[str, str]:
        """``skipped`` and ``losses`` as attributes of a dataset; only those that say something."""
        lines = {"skipped": self.skipped, "losses": self.lost}
        return {k: "; ".join(f"{n}: {', '.join(w)}" for n, w in v.items()) for k, v in lines.items() if v}

    def say(self, left: int, most: int = 3) -> None:
        """One line on standard error for what was skipped, `most` of them by name.

        Raises
        ------
        StationsError
            If nothing is `left`: why, for each.
        """
        if not left:
            why = "; ".join(f"{n}: {', '.join(w)}" for n, w in self.skipped.items())
            raise StationsError(f"{self.name} holds no usable station series: {why or 'it has no reading'}")
        if self.skipped:
            first = [f"{n} ({', '.join(w)})" for n, w in list(self.skipped.items())[:most]]
            rest = f", and {len(self.skipped) - most} more" if len(self.skipped) > most else ""
            note(f"{self.name}: {len(self.skipped)} left out: {'; '.join(first)}{rest}")


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
