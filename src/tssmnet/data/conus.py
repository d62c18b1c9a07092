"""The ``conus`` profile: real SMAP over the conterminous United States as a cube, and a published LSTM's predictions.

412 pixels of SMAP L3 (36 km, morning overpass), a regular subsample of the grid, 2015-04-01 to 2017-03-31, with
NLDAS-2 forcing and soil and SMAP constants, as Fang et al. (2017, https://doi.org/10.1002/2017GL075619) compiled them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.data import registry
from tssmnet.data.readers.faults import SourceError

DATASET = "smap-conus"

YEARS = ("2015", "2016")
"""Folders; each runs from 1 April of its year to 31 March of the next."""

MISSING = -9999.0
PREDICTED_FROM = "2016-04-01"


class Field(NamedTuple):
    """One variable: the file that holds it, its attributes, and the factor from the file's unit to ours."""

    file: str
    attrs: dict[str, Any]
    factor: float = 1.0


def _attrs(long_name: str, units: str, standard_name: str = "", **more: Any) -> dict[str, Any]:
    return ({"standard_name": standard_name} if standard_name else {}) | {"long_name": long_name, "units": units} | more


SSM = Field(
    "SMAP_AM",
    _attrs(
        "surface soil moisture, SMAP L3 passive, morning overpass",
        "m3 m-3",
        "volume_fraction_of_condensed_water_in_soil",
        valid_range=[0.0, 1.0],
    ),
)

DYNAMIC = {
    # NLDAS-2 gives kg m-2 per hour and the file holds the mean of the day's hours: 24 of them make the daily sum.
    "precipitation": Field(
        "APCP_FORA",
        _attrs("precipitation", "mm d-1", "lwe_precipitation_rate", comment="24 times the mean hourly sum of the file"),
        24.0,
    ),
    "air_temperature": Field("TMP_2_FORA", _attrs("air temperature at 2 m", "K", "air_temperature")),
    "specific_humidity": Field("SPFH_2_FORA", _attrs("specific humidity at 2 m", "1", "specific_humidity")),
    "longwave_radiation": Field(
        "DLWRF_FORA", _attrs("downward longwave radiation", "W m-2", "surface_downwelling_longwave_flux_in_air")
    ),
    "shortwave_radiation": Field(
        "DSWRF_FORA", _attrs("downward shortwave radiation", "W m-2", "surface_downwelling_shortwave_flux_in_air")
    ),
    "wind_east": Field("UGRD_10_FORA", _attrs("eastward wind at 10 m", "m s-1", "eastward_wind")),
    "wind_north": Field("VGRD_10_FORA", _attrs("northward wind at 10 m", "m s-1", "northward_wind")),
}

_UNSTATED = "the origin states no unit; this one fits the range of the values"

STATIC = {
    "bulk_density": Field("Bulk", _attrs("bulk density of the soil", "g cm-3", comment=_UNSTATED)),
    "water_capacity": Field("Capa", _attrs("available water capacity of the soil", "cm m-1", comment=_UNSTATED)),
    "clay": Field("Clay", _attrs("clay content of the soil", "%")),
    "sand": Field("Sand", _attrs("sand content of the soil", "%")),
    "silt": Field("Silt", _attrs("silt content of the soil", "%")),
    "ndvi": Field("NDVI", _attrs("mean normalized difference vegetation index", "1")),
    "albedo": Field("flag_albedo", _attrs("single scattering albedo of the vegetation used by SMAP", "1")),
    "roughness": Field("flag_roughness", _attrs("surface roughness coefficient used by SMAP", "1")),
    "vegetation_density": Field("flag_vegDense", _attrs("share of days with SMAP's dense vegetation flag", "1")),
    "water_fraction": Field("flag_waterbody", _attrs("static water body fraction used by SMAP", "1")),
    "extraordinary": Field(
        "flag_extraOrd",
        _attrs(
            "extraordinary surface conditions",
            "1",
            comment="a whole number from 0 to 6; the origin explains it no further",
        ),
    ),
}

IGBP = {
    1: "evergreen_needleleaf_forest", 2: "evergreen_broadleaf_forest", 3: "deciduous_needleleaf_forest",
    4: "deciduous_broadleaf_forest", 5: "mixed_forest", 6: "closed_shrubland", 7: "open_shrubland",
    8: "woody_savanna", 9: "savanna", 10: "grassland", 11: "permanent_wetland", 12: "cropland",
    13: "urban_and_built_up", 14: "cropland_and_natural_vegetation_mosaic", 15: "snow_and_ice", 16: "barren",
    17: "water",
}  # fmt: skip
"""Classes of the International Geosphere-Biosphere Programme, as MODIS and SMAP number them."""


def conus_cube() -> xr.Dataset:
    """The real SMAP cube: dims (time 731, pixel 412), every value as the files hold it, -9999 as NaN.

    Returns
    -------
    xarray.Dataset
        ``ssm`` (m3 m-3; 125,407 values), 7 daily forcings, 11 constants and ``landcover`` (IGBP, categorical), with
        coordinates ``time``, ``pixel``, ``lat``, ``lon`` and CF attributes.

    Raises
    ------
    DataUnavailableError
        If a file is neither here, nor in a mirror, nor to be fetched.
    SourceError
        If a file has another shape or other days than the rest.

    Examples
    --------
    >>> cube = conus_cube()                                          # doctest: +SKIP
    >>> int(cube.ssm.notnull().sum()), dict(cube.sizes)              # doctest: +SKIP
    (125407, {'time': 731, 'pixel': 412})
    """
    paths = _paths()
    coords = _coords(paths)
    variables = {"ssm": _dynamic(paths, coords, SSM)}
    variables |= {name: _dynamic(paths, coords, f) for name, f in DYNAMIC.items()}
    variables |= {name: ("pixel", _constant(paths, coords, f.file), f.attrs) for name, f in STATIC.items()}
    landcover = _constant(paths, coords, "flag_landcover").astype(np.int8)
    variables["landcover"] = ("pixel", landcover, igbp_attrs())
    attrs = _global_attrs(
        "Real SMAP surface soil moisture, forcing and constants of 412 pixels, conterminous United States"
    )
    return xr.Dataset(variables, coords, attrs)


def published_predictions() -> xr.Dataset:
    """The published LSTM's predictions of soil moisture, 2016-04-01 to 2017-03-31, never fed with SMAP itself.

    Returns
    -------
    xarray.Dataset
        ``lstm`` and ``lstm_multitask`` (time 365, pixel 412), m3 m-3, back from standardised units with the mean and
        standard deviation of the origin's own statistics file. Trained on 2015-04-01 to 2016-03-31.
    """
    paths = _paths()
    coords = _coords(paths)
    _, days, attrs = coords["time"]
    coords["time"] = ("time", days[days >= np.datetime64(PREDICTED_FROM)], attrs)
    _, _, mean, std = np.loadtxt(paths["Statistics/SMAP_AM_stat.csv"])
    files = {
        "lstm": ("output/CONUSv4f1_20160401_20170401_ep100_SMAP_AM.csv", "LSTM of 256 units"),
        "lstm_multitask": ("output/multi_SMAP_AM_CONUSv4f1_20160401_20170401_ep100.csv", "multi-task LSTM"),
    }
    variables = {}
    for name, (file, title) in files.items():
        values = _table(paths[file], (coords["lat"][1].size, coords["time"][1].size)) * std + mean
        attrs = SSM.attrs | {"long_name": f"surface soil moisture predicted by the published {title}"}
        variables[name] = (("time", "pixel"), values.T.astype(np.float32), attrs)
    return xr.Dataset(variables, coords, _global_attrs("Published LSTM predictions of SMAP surface soil moisture"))


def igbp_attrs() -> dict[str, Any]:
    """CF attributes of a land cover variable in IGBP classes."""
    return {
        "long_name": "land cover, IGBP classes",
        "units": "1",
        "flag_values": np.array(list(IGBP), np.int8),
        "flag_meanings": " ".join(IGBP.values()),
    }


def _paths() -> dict[str, Path]:
    """Every file of the data set by its path below the data set's folder."""
    return {p.removeprefix(DATASET + "/").removeprefix("CONUSv4f1/"): f for p, f in registry.paths_of(DATASET).items()}


def _coords(paths: dict[str, Path]) -> dict[str, Any]:
    lat, lon = np.loadtxt(paths["crd.csv"], delimiter=",", unpack=True)
    days = np.concatenate([np.loadtxt(paths[f"{y}/timeStr.csv"], dtype="datetime64[D]") for y in YEARS])
    if not (np.diff(days) == np.timedelta64(1, "D")).all():
        raise SourceError(f"{paths['2015/timeStr.csv']} and its sequel of 2016 do not hold consecutive days")
    return {
        "time": ("time", days.astype("datetime64[ns]"), {"standard_name": "time", "long_name": "day"}),
        "pixel": ("pixel", np.arange(lat.size), {"long_name": "pixel number, in the order of the origin"}),
        "lat": ("pixel", lat, _attrs("latitude of the pixel centre", "degrees_north", "latitude")),
        "lon": ("pixel", lon, _attrs("longitude of the pixel centre", "degrees_east", "longitude")),
    }


def _dynamic(paths: dict[str, Path], coords: dict[str, Any], field: Field) -> tuple[Any, ...]:
    """One daily variable over both years, (time, pixel), float32."""
    pixels, days = coords["lat"][1].size, coords["time"][1].size
    year = [paths[f"{y}/{field.file}.csv"] for y in YEARS]
    values = np.concatenate([_table(path, (pixels, None)) for path in year], axis=1) * field.factor
    if values.shape[1] != days:
        raise SourceError(f"{year[0].name} holds {values.shape[1]} days in {YEARS}, timeStr.csv holds {days}")
    return ("time", "pixel"), values.T.astype(np.float32), field.attrs


def _constant(paths: dict[str, Path], coords: dict[str, Any], file: str) -> np.ndarray:
    return _table(paths[f"const/{file}.csv"], (coords["lat"][1].size, 1))[:, 0].astype(np.float32)


def _table(path: Path, shape: tuple[int, int | None]) -> np.ndarray:
    """A comma-separated table of numbers, pixels as rows, -9999 as NaN."""
    values = pd.read_csv(path, header=None, dtype=np.float64).to_numpy()
    if values.shape[0] != shape[0] or (shape[1] is not None and values.shape[1] != shape[1]):
        raise SourceError(
            f"{path} holds {values.shape[0]} rows and {values.shape[1]} columns, expected {shape[0]} and "
            f"{shape[1] or 'any number of'}; run `tssmnet data verify {DATASET}`"
        )
    return np.where(values == MISSING, np.nan, values)


def _global_attrs(title: str) -> dict[str, str]:
    entry = registry.load_manifest()[DATASET]
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "profile": "conus",
        "source": f"{entry.product}; {entry.origin}",
        "licence": " ".join(entry.licence.values()),
        "citation": entry.citation,
        "synthetic": "no",
    }
