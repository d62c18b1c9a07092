"""SMAP level 3 soil moisture: SPL3SMP (36 km) and SPL3SMP_E (9 km), HDF5 files of version 4 and later.

A granule holds one day: group ``Soil_Moisture_Retrieval_Data_AM`` (descending, 6 am local solar time) and ``..._PM``
(ascending, 6 pm), the names of the latter ending in ``_pm``. Missing soil moisture is -9999, a missing flag 65534.

``retrieval_qual_flag``: bit 0 set = retrieval not recommended, bit 1 set = not attempted, bit 2 set = not successful,
bit 3 set = freeze/thaw retrieval not successful.

Where both overpasses saw a cell on one day, the day's value is by default their mean; a cell seen once keeps that
value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.data.processing import SMAP_FLAG_FILL, smap_recommended
from tssmnet.data.readers.faults import OffWindowError, WrongGridError, WrongProductError, reading, reading_netcdf
from tssmnet.data.readers.grids import (
    CHINA,
    EASE_CELL,
    EASE_SHAPE,
    Bounds,
    ease_cells,
    ease_geobox,
    ease_window,
    with_degrees,
)
from tssmnet.errors import require_known

FILL = -9999.0
FLAG_FILL = SMAP_FLAG_FILL

VALID = (0.02, 0.5)
"""Range the retrieval is clipped to; both ends occur."""

QUALITIES = ("recommended", "retrieved")
MERGES = ("mean", "am_first", "am", "pm")
OVERPASSES = ("am", "pm")
GROUP = "Soil_Moisture_Retrieval_Data_"
Float = NDArray[np.float32]
Path_ = str | PathLike[str]

_ATTRS = {
    "standard_name": "volume_fraction_of_condensed_water_in_soil",
    "long_name": "surface soil moisture, SMAP level 3",
    "units": "m3 m-3",
    "valid_range": [0.0, 1.0],
}

_TARGET_ATTRS = _ATTRS | {"ancillary_variables": "ssm_am ssm_pm"}
"""The overpasses are where the day's value is, and nowhere else: they are about it and predict nothing."""


def read_granule(path: Path_, bounds: Bounds = CHINA, quality: str = "recommended", merge: str = "mean") -> xr.Dataset:
    """One day of SPL3SMP or SPL3SMP_E, cut to a region on its own grid.

    Parameters
    ----------
    path
        HDF5 granule under its own name, or a cut of one that keeps the groups and their EASE row and column indices.
    bounds
        West, south, east, north in degrees.
    quality
        ``"recommended"`` keeps retrievals with bit 0 of the flag clear, ``"retrieved"`` all that were attempted and
        succeeded.
    merge
        ``"mean"`` of the overpasses there are, ``"am_first"``, or ``"am"`` or ``"pm"`` alone.

    Returns
    -------
    xarray.Dataset
        Dims (time 1, y, x): ``ssm`` (m3 m-3, NaN where not observed), ``ssm_am``, ``ssm_pm``; coordinates y, x
        (EPSG:6933, metres), lat, lon.

    Raises
    ------
    TruncatedFileError, WrongProductError, WrongGridError, OffWindowError
        Naming the file, what was found, and what to do.
    """
    require_known(merge, MERGES, "way of merging overpasses")
    day = granule_day(path)
    with reading(path, "HDF5") as place:
        import h5py

        with h5py.File(place, "r") as granule:
            groups = [_group(granule, place, name) for name in OVERPASSES]
            cell_km = _cell_km(groups[0], place)
            window = ease_window(bounds, cell_km)
            am, pm = (
                _overpass(g, name, place, cell_km, window, quality) for g, name in zip(groups, OVERPASSES, strict=True)
            )
    return _daily(day, am, pm, merge, cell_km, window, place)


def granule_day(path: Path_) -> np.datetime64:
    """The day in a granule's name.

    >>> granule_day("SMAP_L3_SM_P_E_20160131_R19240_001.h5")
    np.datetime64('2016-01-31')
    """
    found = re.search(r"SMAP_L3_SM_P(?:_E)?_(\d{4})(\d{2})(\d{2})_", Path(path).name)
    if not found:
        raise WrongProductError(
            f"{path} is not named like a SMAP level 3 granule (SMAP_L3_SM_P_E_YYYYMMDD_Rnnnnn_nnn.h5), and its day is "
            "known from its name only; give it its original name back"
        )
    return np.datetime64("-".join(found.groups()))


def good_retrievals(values: NDArray[Any], flag: NDArray[Any], quality: str = "recommended") -> Float:
    """Soil moisture with NaN where it is missing, out of range, or not of the quality asked for.

    >>> flag = np.array([0, 8, 1, 7, 65534, 0], np.uint16)
    >>> good_retrievals(np.array([0.2, 0.3, 0.4, -9999, -9999, -9999]), flag).tolist()[:3]
    [0.20000000298023224, 0.30000001192092896, nan]
    >>> bool(np.isnan(good_retrievals(np.array([0.4]), np.array([1], np.uint16), "retrieved"))[0])
    False
    """
    require_known(quality, QUALITIES, "quality")
    retrieved = (flag != FLAG_FILL) & ((flag.astype(np.int64) & 0b110) == 0)
    good = smap_recommended(flag) if quality == "recommended" else retrieved
    # The limits are float32 numbers such as 0.01999999955: compare with room for their rounding.
    in_range = (values >= VALID[0] - 1e-6) & (values <= VALID[1] + 1e-6)
    return np.where(good & in_range, values, np.nan).astype(np.float32)


def merge_overpasses(am: Float, pm: Float, how: str = "mean") -> Float:
    """One value a day from morning and evening.

    >>> am, pm = np.array([0.2, np.nan, 0.1], "f4"), np.array([0.4, 0.3, np.nan], "f4")
    >>> merge_overpasses(am, pm).round(2).tolist()
    [0.30000001192092896, 0.30000001192092896, 0.10000000149011612]
    >>> merge_overpasses(am, pm, "am_first").round(2).tolist()
    [0.20000000298023224, 0.30000001192092896, 0.10000000149011612]
    """
    ways = {
        "mean": lambda: np.where(np.isnan(am), pm, np.where(np.isnan(pm), am, (am + pm) / 2)),
        "am_first": lambda: np.where(np.isnan(am), pm, am),
        "am": lambda: am,
        "pm": lambda: pm,
    }
    return np.asarray(ways[require_known(how, ways, "way of merging overpasses")](), np.float32)


def read_series(path: Path_, quality: str = "recommended", merge: str = "mean") -> xr.Dataset:
    """Time series of SMAP cells in an indexed ragged netCDF file (``locationIndex``, ``Overpass`` 1 = AM, 2 = PM).

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), every UTC day from the first to the last: ``ssm``, ``ssm_am``, ``ssm_pm``.
    """
    with reading_netcdf(path) as (place, d):
        days = d["time"].values.astype("datetime64[D]")
        values = good_retrievals(d["soil_moisture"].fillna(FILL).values, _flags(d["retrieval_qual_flag"]), quality)
        pixel, overpass = d["locationIndex"].values, d["Overpass"].values.astype(int)
        lat, lon = d["lat"].values.astype(float), d["lon"].values.astype(float)
    time = np.arange(days.min(), days.max() + 1)
    table = np.full((2, len(time), len(lat)), np.nan, np.float32)
    table[overpass - 1, (days - days.min()).astype(int), pixel] = values
    names = {"ssm": merge_overpasses(table[0], table[1], merge), "ssm_am": table[0], "ssm_pm": table[1]}
    degrees = {"lat": ("pixel", lat, {"units": "degrees_north"}), "lon": ("pixel", lon, {"units": "degrees_east"})}
    coords = {"time": time.astype("datetime64[ns]"), "pixel": np.arange(len(lat)), **degrees}
    variables = {k: (("time", "pixel"), v, _TARGET_ATTRS if k == "ssm" else _ATTRS) for k, v in names.items()}
    return xr.Dataset(
        variables, coords, {"source": f"SMAP level 3, {place.name}", "overpasses": merge, "quality": quality}
    )


def _flags(flag: xr.DataArray) -> NDArray[np.int64]:
    return flag.fillna(FLAG_FILL).values.astype(np.int64)


def _group(granule: Any, path: Path, overpass: str) -> Any:
    name = GROUP + overpass.upper()
    if name not in granule:
        old = "Soil_Moisture_Retrieval_Data" in granule
        what = "a version before 4 (one overpass only)" if old else f"groups {sorted(granule)}"
        raise WrongProductError(
            f"{path} has no group {name} but {what}; get SPL3SMP_E version 4 or later (006 is current)"
        )
    return granule[name]


def _field(group: Any, name: str, path: Path) -> Any:
    """A variable with or without the suffix that the PM group bears since version 4."""
    for full in (f"{name}_pm", name):
        if full in group:
            return group[full]
    raise WrongProductError(f"{path} has no {name} in {group.name}; get SPL3SMP_E version 4 or later (006 is current)")


def _cell_km(group: Any, path: Path) -> int:
    """36 or 9: from the shape of a whole granule, from the range of the row index in a cut one."""
    shape = _field(group, "soil_moisture", path).shape
    for cell_km, whole in EASE_SHAPE.items():
        if shape == whole:
            return cell_km
    if "EASE_row_index" in group and len(shape) == 2:
        return 9 if "_P_E_" in path.name else 36
    raise WrongGridError(
        f"{path} holds an array {shape}; SPL3SMP is {EASE_SHAPE[36]}, SPL3SMP_E {EASE_SHAPE[9]}, and a cut needs "
        "EASE_row_index and EASE_column_index. Do not reproject the granules"
    )


def _overpass(group: Any, overpass: str, path: Path, cell_km: int, window: tuple[slice, slice], quality: str) -> Float:
    """Good retrievals of one overpass in the window."""
    values, flag = (_field(group, n, path) for n in ("soil_moisture", "retrieval_qual_flag"))
    if values.shape == EASE_SHAPE[cell_km]:
        _check_centres(group, path, cell_km, window)
        return good_retrievals(values[window], flag[window], quality)
    row, column = (_field(group, n, path)[...].astype(np.int64) for n in ("EASE_row_index", "EASE_column_index"))
    known = (row < EASE_SHAPE[cell_km][0]) & (column < EASE_SHAPE[cell_km][1])
    good = good_retrievals(values[...], flag[...], quality)
    out = _scatter(good[known], row[known], column[known], window)
    if known.any() and not _inside(row[known], column[known], window).any():
        raise OffWindowError(f"the {overpass} cells of {path} all lie outside the region asked for; get the right cut")
    return out


def _check_centres(group: Any, path: Path, cell_km: int, window: tuple[slice, slice]) -> None:
    """The latitudes and longitudes of a whole granule must be those of its grid."""
    lat, lon = (_field(group, n, path)[window] for n in ("latitude", "longitude"))
    rows, columns = np.mgrid[window]
    seen = (lat > -9000) & (lon > -9000)
    if not seen.any():
        return
    try:
        row, column = ease_cells(lat[seen], lon[seen], cell_km)
    except WrongGridError as error:
        raise WrongGridError(f"{path}: {error}") from error
    if (row != rows[seen]).any() or (column != columns[seen]).any():
        raise WrongGridError(f"{path}: latitudes or longitudes are not those of their row and column; get it again")


def _inside(row: NDArray[np.int64], column: NDArray[np.int64], window: tuple[slice, slice]) -> NDArray[np.bool_]:
    rows, columns = window
    return (row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)


def _scatter(
    values: NDArray[Any], row: NDArray[np.int64], column: NDArray[np.int64], window: tuple[slice, slice]
) -> Float:
    """Values of listed cells on the window; cells outside are left out."""
    rows, columns = window
    out = np.full((rows.stop - rows.start, columns.stop - columns.start), np.nan, np.float32)
    inside = _inside(row, column, window)
    out[row[inside] - rows.start, column[inside] - columns.start] = values[inside]
    return out


def _daily(
    day: np.datetime64, am: Float, pm: Float, merge: str, cell_km: int, window: tuple[slice, slice], path: Path
) -> xr.Dataset:
    fields: Sequence[tuple[str, Float]] = [("ssm", merge_overpasses(am, pm, merge)), ("ssm_am", am), ("ssm_pm", pm)]
    variables = {
        name: (("time", "y", "x"), values[None], dict(_TARGET_ATTRS if name == "ssm" else _ATTRS))
        for name, values in fields
    }
    attrs = {
        "source": f"SMAP level 3, {path.name}",
        "overpasses": merge,
        "grid": f"EASE-Grid 2.0, {EASE_CELL[cell_km]:.3f} m",
    }
    dataset = xr.Dataset(variables, {"time": [day.astype("datetime64[ns]")]}, attrs)
    return with_degrees(dataset, ease_geobox(cell_km)[window])
