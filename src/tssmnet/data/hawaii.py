"""Small genuine cases: places where several independent records of soil moisture meet."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tssmnet.cube.earth import nearest
from tssmnet.data import registry
from tssmnet.data.readers.esa_cci import read_gapfilled_series
from tssmnet.data.readers.ismn import MIN_HOURS, read_sensor
from tssmnet.data.readers.smap import read_series

HAWAII_STATION = "SCAN_SCAN_SilverSword_sm_0.050800_0.050800_Hydraprobe-Analog-D_19500101_20250617.stm"


def hawaii(quality: str = "retrieved", min_hours: int = MIN_HOURS) -> xr.Dataset:
    """SMAP, the gap-filled ESA CCI product and a station in one place: SCAN SilverSword on Hawaii, 2842 m.

    Hawaii is mountain and forest: most SMAP retrievals there are not of recommended quality, hence the default.

    Parameters
    ----------
    quality
        Of the SMAP retrievals, as in `smap.read_series`.
    min_hours
        Good hours that a day of the station needs.

    Returns
    -------
    xarray.Dataset
        Dims (time), every day of the SMAP record (2015-04-01 on), m3 m-3: ``station``, ``smap`` (36 km cell that is
        nearest to the station, with gaps), ``cci`` (0.25 degree, gap-filled), ``cci_observed``, ``cci_std``,
        ``cci_is_observed``. Attributes give each one's distance to the station in km.

    Raises
    ------
    DataUnavailableError
        If a file is neither here, nor in a mirror, nor to be fetched.
    """
    sensor = read_sensor(registry.path_of("ismn-silversword", HAWAII_STATION))
    smap = read_series(registry.path_of("hawaii-smap", "SMAP_V9_AM_PM/0165.nc"), quality)
    cci = read_gapfilled_series(registry.path_of("hawaii-esa-cci", "ESA_CCI_GAPFILLED_V09_2/0165.nc"))
    cell, cell_km = _nearest(smap.isel(pixel=smap.ssm.notnull().values.any(axis=0)), sensor.lat, sensor.lon)
    pixel, pixel_km = _nearest(cci.isel(pixel=cci.ssm.notnull().values.any(axis=0)), sensor.lat, sensor.lon)
    pixel = pixel.reindex(time=cell.time)
    station = sensor.daily(min_hours=min_hours).to_xarray().rename(time="time").reindex(time=cell.time)
    series = {
        "station": (station, "in situ soil moisture at 5 cm, SCAN SilverSword"),
        "smap": (cell.ssm, "SMAP level 3 soil moisture, 36 km cell"),
        "cci": (pixel.ssm, "ESA CCI soil moisture, gap-filled"),
        "cci_observed": (pixel.ssm_original, "ESA CCI soil moisture, observed only"),
        "cci_std": (pixel.ssm_std, "standard deviation of the error of ESA CCI soil moisture"),
    }
    fields = {n: ("time", f.values, {"long_name": title, "units": "m3 m-3"}) for n, (f, title) in series.items()}
    fields["cci_is_observed"] = ("time", pixel.ssm_original.notnull().values, {"long_name": "observed by ESA CCI"})
    attrs = {"lat": sensor.lat, "lon": sensor.lon, "smap_km": cell_km, "cci_km": pixel_km, "smap_quality": quality}
    return xr.Dataset(fields, {"time": cell.time.values}, attrs)


def _nearest(series: xr.Dataset, lat: float, lon: float) -> tuple[xr.Dataset, float]:
    """The nearest pixel, and how far its centre is, km."""
    index, km = nearest(series.lat, series.lon, lat, lon)
    return series.isel(pixel=int(index)), round(float(km), 2)


def hawaii_cube(quality: str = "retrieved", predictor: bool = True) -> xr.Dataset:
    """The SMAP cells of Hawaii as a cube to fill.

    Parameters
    ----------
    quality
        Of the SMAP retrievals, as in `smap.read_series`.
    predictor
        Whether to give it the one predictor that the genuine files offer on the days without SMAP: the gap-filled ESA
        CCI product at its pixel nearest to each cell (it ends with 2024). It has SMAP among its own sources, so it is
        no independent witness; what it adds is what the other sensors saw on the days between.

    Returns
    -------
    xarray.Dataset
        Dims (time, pixel), every day of the SMAP record, the cells that have retrievals: ``ssm``, and ``cci``.
    """
    smap = read_series(registry.path_of("hawaii-smap", "SMAP_V9_AM_PM/0165.nc"), quality)
    cube = smap[["ssm"]].isel(pixel=np.flatnonzero(smap.ssm.notnull().values.any(axis=0)))
    cube.attrs = {"title": "SMAP level 3 over Hawaii, 36 km", "license": "NASA, open; ESA CCI, free with citation"}
    if not predictor:
        return cube
    cci = read_gapfilled_series(registry.path_of("hawaii-esa-cci", "ESA_CCI_GAPFILLED_V09_2/0165.nc"))
    cci = cci.isel(pixel=cci.ssm.notnull().values.any(axis=0))
    near = [_nearest(cci, float(a), float(b))[0].ssm for a, b in zip(cube.lat, cube.lon, strict=True)]
    values = np.stack([series.reindex(time=cube.time).values for series in near], axis=1)
    attrs = {"long_name": "soil moisture of ESA CCI, gap-filled, nearest pixel", "units": "m3 m-3"}
    return cube.assign(cci=(("time", "pixel"), values, attrs))
