"""The twin as datasets: in memory for a small world, streamed to zarr for any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.data import processing
from tssmnet.errors import require_known
from tssmnet.twin import land, observers
from tssmnet.twin.grid import CRS, Grid, make_grid
from tssmnet.twin.simulate import COMPOSITE_DAYS, Run, blocks

SYNTHETIC = "synthetic twin"
NOTE = "Made by a simulation with known truth; no value here was measured anywhere."
LAYOUTS = ("grid", "pixel")

# name -> (long name, units, CF standard name or None). Every variable of every dataset of the twin is here.
VARIABLES: dict[str, tuple[str, str, str | None]] = {
    "ssm": (
        "surface soil moisture seen by SMAP in the morning",
        "m3 m-3",
        "volume_fraction_of_condensed_water_in_soil",
    ),
    "ssm_am": ("surface soil moisture seen by SMAP at 6 am", "m3 m-3", None),
    "ssm_pm": ("surface soil moisture seen by SMAP at 6 pm", "m3 m-3", None),
    "ssm_true": ("true surface soil moisture at 6 am, 0 to 5 cm", "m3 m-3", None),
    "ssm_true_pm": ("true surface soil moisture at 6 pm, 0 to 5 cm", "m3 m-3", None),
    "deep_moisture": ("true soil moisture, 5 to 60 cm", "m3 m-3", None),
    "lst": ("all-weather land surface temperature, morning", "K", "surface_temperature"),
    "lst_clear": ("land surface temperature, clear sky only", "K", "surface_temperature"),
    "lst_true": ("true land surface temperature, morning", "K", "surface_temperature"),
    "ndvi": ("daily NDVI", "1", "normalized_difference_vegetation_index"),
    "evi": ("daily EVI", "1", None),
    "ndvi_composite": ("16-day NDVI composite", "1", "normalized_difference_vegetation_index"),
    "evi_composite": ("16-day EVI composite", "1", None),
    "tvdi": ("temperature vegetation dryness index", "1", None),
    "precipitation": ("precipitation", "mm d-1", "lwe_precipitation_rate"),
    "air_temperature": ("air temperature, daily mean", "K", "air_temperature"),
    "radiation": ("downward shortwave radiation, daily mean", "W m-2", "surface_downwelling_shortwave_flux_in_air"),
    "cloud_cover": ("cloud cover", "1", "cloud_area_fraction"),
    "frozen": ("surface layer frozen", "1", None),
    "snow_water": ("snow water equivalent", "mm", "lwe_thickness_of_surface_snow_amount"),
    "green": ("green cover fraction", "1", None),
    "gap_cause": ("why SMAP gives no value in the morning", "1", None),
    "gap_cause_pm": ("why SMAP gives no value in the evening", "1", None),
    "landcover": ("land cover, IGBP", "1", None),
    "soil_class": ("soil group", "1", None),
    "texture": ("USDA soil texture class", "1", None),
    "clay": ("clay content", "%", None),
    "sand": ("sand content", "%", None),
    "bulk_density": ("bulk density", "g cm-3", None),
    "organic_carbon": ("organic carbon content", "g kg-1", None),
    "dem": ("height", "m", "surface_altitude"),
    "slope": ("slope", "degree", None),
    "aspect_sin": ("sine of the aspect, eastness", "1", None),
    "aspect_cos": ("cosine of the aspect, northness", "1", None),
    "water_fraction": ("open water", "1", None),
    "residual": ("residual water content", "m3 m-3", None),
    "wilting": ("water content at the wilting point", "m3 m-3", None),
    "field_capacity": ("water content at field capacity", "m3 m-3", None),
    "saturation": ("water content at saturation", "m3 m-3", None),
    "soil_moisture": ("soil moisture of a station at 5 cm, 6 am", "m3 m-3", None),
    "soil_moisture_flag": ("quality flag of the station", "1", None),
    "sm": ("ESA CCI style surface soil moisture", "m3 m-3", None),
    "sm_uncertainty": ("stated uncertainty of sm", "m3 m-3", None),
}

CLASSES: dict[str, dict[int, str]] = {
    "landcover": land.IGBP,
    "soil_class": dict(enumerate(land.SOIL)),
    "texture": dict(enumerate(land.TEXTURE)),
    "gap_cause": dict(enumerate(observers.GAP_CAUSES)),
    "gap_cause_pm": dict(enumerate(observers.GAP_CAUSES)),
    "soil_moisture_flag": dict(enumerate(observers.STATION_FLAGS)),
}

OUTSIDE = -1  # classes outside the land

STATIC = ("landcover", "soil_class", "texture", "clay", "sand", "bulk_density", "organic_carbon", "dem", "slope",
          "aspect_sin", "aspect_cos")  # fmt: skip

SOIL_LIMITS = ("residual", "wilting", "field_capacity", "saturation")

TRUTH = ("ssm_true", "ssm_true_pm", "deep_moisture", "frozen", "snow_water", "green", "lst_true", "precipitation",
         "air_temperature", "radiation", "cloud_cover")  # fmt: skip

SEEN = ("ssm_am", "ssm_pm", "gap_cause", "gap_cause_pm", "lst_clear", "precipitation", "air_temperature", "radiation")
COMPOSITES = ("ndvi_composite", "evi_composite")
MODIS_AND_FORCING = ("lst_clear", "air_temperature", "radiation")

# Values of one variable that are processed together: bounds the memory of the intermediate arrays.
SERIES_VALUES = 500_000
PREDICTORS = ("lst", "ndvi", "evi", "tvdi")
FORCING = ("precipitation", "air_temperature")


def missing_outside(cube: xr.Dataset) -> xr.Dataset:
    """The cube with its classes missing outside the land, where they are no class at all."""
    classes = [n for n, v in cube.data_vars.items() if "flag_values" in v.attrs and bool((v == OUTSIDE).any())]
    return cube.assign({n: cube[n].where(cube[n] != OUTSIDE).assign_attrs(cube[n].attrs) for n in classes})


@dataclass(frozen=True)
class Twin:
    """A world of which everything is known."""

    cube: xr.Dataset  # what a user would bring: SMAP's morning soil moisture and the predictors of the paper's Table 1
    truth: xr.Dataset  # soil moisture, snow, frost, weather as they are
    observations: xr.Dataset  # what each instrument gave, before processing; why SMAP has gaps (`gap_cause`)
    stations: xr.Dataset  # readings on (time, station) with flags
    esa_cci: xr.Dataset  # A 0.25 degree product on (time, pixel) of its own grid


def twin_world(
    seed: int = 0,
    start: str = "2016-01-01",
    days: int = 731,
    cell_km: int = 36,
    *,
    region: tuple[float, float, float, float] | None = None,
    layout: str = "grid",
    forcing: bool = False,
    overpass: str = "am",
    spinup: int = 365,
    station_periods: str = "record",
) -> Twin:
    """Make the twin in memory.

    Parameters
    ----------
    seed
        The same seed gives the same world; the land's large structure is the same for all.
    start, days
        First date and number of days.
    cell_km
        9, 36 or another multiple of 9: cells of EASE-Grid 2.0.
    region
        West, south, east, north in degrees; all of China by default.
    layout
        ``"grid"``: dims (time, y, x), NaN outside the land. ``"pixel"``: (time, pixel), land cells only.
    forcing
        Add precipitation and air temperature (with a reanalysis' errors) to the cube.
    overpass
        ``"am"``: the cube's `ssm` is the morning's; ``"both"``: the mean of morning and evening.
    spinup
        Days run before `start`.
    station_periods
        ``"record"``: stations report all along; ``"paper"``: only within the period of Table 2.

    Returns
    -------
    Twin
        Datasets cube, truth, observations, stations, esa_cci.
    """
    check_choices(layout, overpass, station_periods)
    run = new_run(seed, start, cell_km, region, spinup)
    first = np.datetime64(start, "D")
    truth: dict[str, list] = {}
    seen: dict[str, list] = {}
    composites: dict[str, NDArray] = {}
    for _, block in blocks(run, first + days, 64):
        for store, part in ((truth, block["truth"]), (seen, block["seen"])):
            for name, values in part.items():
                store.setdefault(name, []).append(values)
        composites |= block["composites"]
    joined = (
        {k: np.concatenate(truth.pop(k)) for k in list(truth)},
        {k: np.concatenate(seen.pop(k)) for k in list(seen)},
    )
    time = pd.date_range(start, periods=days)
    made = dict(
        zip(("lst", "ndvi", "evi"), process_series(joined[1], *stack_composites(composites), time), strict=True)
    )
    windows = tvdi_windows(*run.grid.points)
    made["tvdi"] = processing.temperature_vegetation_dryness(
        made["lst"], made["ndvi"], windows, run.land.dem.astype(np.float32)
    )
    build = Builder(run, time, layout, {"seed": seed, "cell_km": cell_km, "spinup": spinup})
    return build.twin(*joined, composites, made, forcing, overpass, station_periods)


def twin_cube(
    seed: int = 0, start: str = "2016-01-01", days: int = 731, cell_km: int = 36, **options: Any
) -> xr.Dataset:
    """The cube of `twin_world`, which see for `options`.

    >>> cube = twin_cube(days=20, cell_km=72, region=(100, 30, 105, 35), spinup=20, layout="pixel")
    >>> cube.attrs["title"]
    'synthetic twin'
    """
    return twin_world(seed, start, days, cell_km, **options).cube


def process_series(
    seen: Mapping[str, NDArray], periods: NDArray, composites: NDArray, time: pd.DatetimeIndex
) -> tuple[NDArray, NDArray, NDArray]:
    """Daily gap-free LST, NDVI and EVI of some pixels from what MODIS and the reanalysis gave.

    Parameters
    ----------
    seen
        ``lst_clear``, ``air_temperature``, ``radiation``, each (time, pixel).
    periods
        Starts of the 16-day periods.
    composites
        Shape (period, 2, pixel): NDVI and EVI.
    """
    pixels = seen["lst_clear"].shape[1]
    step = max(1, SERIES_VALUES // len(time))
    groups = [slice(i, i + step) for i in range(0, pixels, step)]
    made = [
        _process_group({n: seen[n][:, g] for n in MODIS_AND_FORCING}, periods, composites[:, :, g], time)
        for g in groups
    ]
    lst, ndvi, evi = (np.concatenate(parts, axis=1) for parts in zip(*made, strict=True))
    return lst, ndvi, evi


def _process_group(
    seen: Mapping[str, NDArray], periods: NDArray, composites: NDArray, time: pd.DatetimeIndex
) -> tuple[NDArray, NDArray, NDArray]:
    covariates = (seen["air_temperature"], seen["radiation"])
    lst = processing.all_weather_lst(seen["lst_clear"], time.day_of_year.to_numpy(), covariates)
    middle = (periods + COMPOSITE_DAYS // 2).astype("datetime64[D]").astype(int)
    days = time.to_numpy().astype("datetime64[D]").astype(int)
    smooth = [processing.to_daily(_smooth_index(composites[:, i]), middle, days).astype(np.float32) for i in range(2)]
    return lst.astype(np.float32), smooth[0], smooth[1]


def _smooth_index(values: NDArray) -> NDArray:
    """The upper envelope where the record is long enough for its windows, else straight lines."""
    return processing.upper_envelope(values) if len(values) >= 9 else processing.interpolate_gaps(values)


def tvdi_windows(lon: NDArray, lat: NDArray, degrees: float = 8.0) -> NDArray[np.int64]:
    """Label of the square of `degrees` a cell lies in: cells of one square share the edges of the triangle."""
    return (np.floor(lon / degrees) * 1000 + np.floor(lat / degrees)).astype(np.int64)


def stack_composites(composites: Mapping[str, NDArray]) -> tuple[NDArray, NDArray]:
    keys = sorted(composites)
    return np.array(keys, "datetime64[D]"), np.stack([composites[k] for k in keys])


def new_run(seed: int, start: str, cell_km: int, region: Any, spinup: int) -> Run:
    grid = make_grid(cell_km, region)
    return Run(grid, land.make_land(grid, seed), seed, np.datetime64(start, "D"), spinup)


def check_choices(layout: str, overpass: str, station_periods: str) -> None:
    require_known(layout, LAYOUTS, "layout of the twin")
    require_known(overpass, ("am", "both"), "overpass of the twin")
    require_known(station_periods, ("record", "paper"), "station period of the twin")


def attributes(name: str) -> dict[str, Any]:
    """CF attributes of one of the twin's variables."""
    long_name, units, standard = VARIABLES[name]
    attrs: dict[str, Any] = {"long_name": f"{long_name} ({SYNTHETIC})", "units": units}
    if standard:
        attrs["standard_name"] = standard
    if name in CLASSES:
        attrs["flag_values"] = np.array(list(CLASSES[name]), np.int8)
        attrs["flag_meanings"] = " ".join(m.replace(" ", "_") for m in CLASSES[name].values())
    return attrs


def smap_mean(seen: Mapping[str, NDArray], overpass: str) -> NDArray:
    """The cube's target: morning, or the mean of what the two overpasses gave."""
    if overpass == "am":
        return seen["ssm_am"]
    both = np.stack([seen["ssm_am"], seen["ssm_pm"]])
    count = (~np.isnan(both)).sum(axis=0)
    mean = np.nansum(both, axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan).astype(np.float32)


class Builder:
    """Turns arrays on land cells into datasets."""

    def __init__(self, run: Run, time: pd.DatetimeIndex, layout: str, parameters: Mapping[str, Any]) -> None:
        self.run, self.time, self.layout = run, time, layout
        self.attrs = {"title": SYNTHETIC, "comment": NOTE, "synthetic": 1, "crs": CRS, "Conventions": "CF-1.11"}
        self.attrs |= {f"twin_{key}": value for key, value in parameters.items()}

    @property
    def space(self) -> tuple[str, ...]:
        return ("y", "x") if self.layout == "grid" else ("pixel",)

    def coords(self) -> dict[str, Any]:
        grid: Grid = self.run.grid
        if self.layout == "pixel":
            lon, lat = grid.points
            return {"lat": ("pixel", lat, _DEGREES["lat"]), "lon": ("pixel", lon, _DEGREES["lon"])}
        return {
            "y": ("y", grid.y, {"units": "m", "standard_name": "projection_y_coordinate"}),
            "x": ("x", grid.x, {"units": "m", "standard_name": "projection_x_coordinate"}),
            "lat": ("y", grid.lat, _DEGREES["lat"]),
            "lon": ("x", grid.lon, _DEGREES["lon"]),
        }

    def place(self, values: NDArray) -> NDArray:
        """Land cells on the layout's space dims."""
        if self.layout == "pixel":
            return values
        if values.dtype == bool:
            values = values.astype(np.int8)
        return self.run.grid.unpack(values, OUTSIDE if values.dtype.kind == "i" else np.nan)

    def static(self, names: tuple[str, ...]) -> dict[str, Any]:
        source = {**vars(self.run.land), **vars(self.run.soil)}
        out = {}
        for name in names:
            values = source[name]
            values = values if values.dtype == np.int8 else values.astype(np.float32)
            out[name] = (self.space, self.place(values), attributes(name))
        return out

    def dataset(self, values: Mapping[str, NDArray], static: tuple[str, ...] = (), lead: str = "time") -> xr.Dataset:
        data = {n: ((lead, *self.space), self.place(v), attributes(n)) for n, v in values.items()}
        coords = {"time": self.time, **self.coords()} if lead == "time" else self.coords()
        return xr.Dataset({**data, **self.static(static)}, coords, self.attrs)

    def twin(
        self, truth: dict, seen: dict, composites: dict, made: dict, forcing: bool, overpass: str, periods: str
    ) -> Twin:
        extra = {n: seen[n] for n in FORCING} if forcing else {}
        cube = missing_outside(self.dataset({"ssm": smap_mean(seen, overpass), **made, **extra}, STATIC))
        observations = self.dataset({n: seen[n] for n in SEEN}, ("water_fraction",))
        when, stack = stack_composites(composites)
        for i, name in enumerate(COMPOSITES):
            values = self.place(np.ascontiguousarray(stack[:, i]))
            observations[name] = (("composite", *self.space), values, attributes(name))
        observations = observations.assign_coords(composite=pd.DatetimeIndex(when))
        return Twin(
            cube,
            self.dataset({n: truth[n] for n in TRUTH}, SOIL_LIMITS),
            observations,
            self.stations(seen["soil_moisture"], seen["soil_moisture_flag"], periods),
            self.esa_cci(seen["sm"], seen["sm_uncertainty"]),
        )

    def stations(self, values: NDArray, flags: NDArray, periods: str = "record") -> xr.Dataset:
        s = self.run.stations
        t, k = s.table, s.kept
        if periods == "paper":
            days = self.time.to_numpy().astype("datetime64[D]")[:, None]
            within = (days >= t.first[k]) & (days <= t.last[k])
            values = np.where(within, values, np.nan)
            flags = np.where(within, flags, len(observers.STATION_FLAGS) - 1).astype(np.int8)
        names = np.array([f"{a}/{b}" for a, b in zip(t.network[k], t.station[k], strict=True)])
        data = {
            "soil_moisture": (("time", "station"), values, attributes("soil_moisture")),
            "soil_moisture_flag": (("time", "station"), flags, attributes("soil_moisture_flag")),
            "table2_landcover": ("station", t.landcover[k]),
            "table2_first": ("station", t.first[k].astype("datetime64[ns]")),
            "table2_last": ("station", t.last[k].astype("datetime64[ns]")),
            "approximate": (
                "station",
                t.approximate[k].astype(np.int8),
                {"long_name": "place good to tens of km only"},
            ),
            "cell": ("station", s.pixel, {"long_name": "land cell the station stands in, row-major"}),
        }
        coords = {
            "time": self.time, "station": names, "network": ("station", t.network[k]),
            "lat": ("station", t.lat[k], _DEGREES["lat"]), "lon": ("station", t.lon[k], _DEGREES["lon"]),
        }  # fmt: skip
        return xr.Dataset(data, coords, self.attrs)

    def esa_cci(self, sm: NDArray, uncertainty: NDArray) -> xr.Dataset:
        cci = self.run.cci
        data = {n: (("time", "pixel"), v, attributes(n)) for n, v in (("sm", sm), ("sm_uncertainty", uncertainty))}
        coords = {
            "time": self.time,
            "lat": ("pixel", cci.lat, _DEGREES["lat"]),
            "lon": ("pixel", cci.lon, _DEGREES["lon"]),
        }
        return xr.Dataset(data, coords, self.attrs)


_DEGREES = {
    "lat": {"units": "degrees_north", "standard_name": "latitude"},
    "lon": {"units": "degrees_east", "standard_name": "longitude"},
}
