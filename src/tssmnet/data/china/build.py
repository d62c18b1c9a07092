"""The paper's own data: an archive of granules becomes one cube on EASE-Grid 2.0, 9 km, over China.

Three steps, each of them resumable, each a table of chunks with a journal (`record`):

1. *Records.* Each daily source on the 9 km grid: SMAP at its own cells, MODIS averaged by area.
2. *Statics.* Land cover by majority, terrain and soil by area; and the annual cycle of land surface temperature,
   estimated once from the reference days.
3. *Cube.* Chunks of days: soil moisture as observed; land surface temperature of clear days, and around them the annual
   cycle plus the residual of the clear days nearby; vegetation indices smoothed (Savitzky-Golay) and daily; TVDI.

A chunk of the cube depends on the granules of its days and of `MARGIN` days around, on nothing later. So a new month
changes only the chunks whose margin it fills, and leaves the files of all earlier ones alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cluster import open_cluster
from tssmnet.cube import CubeError, open_dataset, to_pixels, write_dataset
from tssmnet.data import processing, registry
from tssmnet.data.china.record import (
    REFUSED,
    Made,
    RecordReport,
    chunked,
    days_between,
    file_mark,
    journal_entries,
    write_chunks,
    write_record,
)
from tssmnet.data.china.settings import Settings, load_settings
from tssmnet.data.readers import esa_cci, ismn, modis, rasters, smap
from tssmnet.data.readers.faults import Losses, OffWindowError, SourceError
from tssmnet.data.readers.grids import Bounds, ease_geobox, ease_window, mosaic, regrid, sinusoidal_tiles, with_degrees
from tssmnet.data.readers.stations import read_table
from tssmnet.disk import one_writer, placing, write_atomically
from tssmnet.errors import require_known
from tssmnet.progress import say

RECIPE = 1
"""Raised when the same granules shall give another cube: every chunk is then made again."""

MARGIN = {"lst": 32, "vegetation": 96}
"""Days before and after a chunk whose granules it may use: 8 e-foldings of a residual, 6 composites."""

MEMORY_DAYS = 4.0
HARMONICS = 2
COMPOSITE_DAYS = 16

SG_WINDOW, SG_ORDER = 7, 2
"""Savitzky-Golay: composites in the window, order of the polynomial."""

TVDI_DEGREES = 8.0
"""Cells of one square of this size share the edges of the triangle, as in the twin."""

SPACE_CHUNK = 128

WATER = 17
"""Of the IGBP classes."""

OUTSIDE = -1
"""Class of a cell without one: sea, or nothing in the source."""

WORK = "china-work"
CUBE = "china-cube.zarr"
DATES = ("time", "y", "x")
Files = Mapping[np.datetime64, Sequence[Path]]

SOILS = {
    "openlandmap-clay": ("clay", "clay"),
    "openlandmap-sand": ("sand", "sand"),
    "openlandmap-bulk-density": ("bulk_density", "bulk_density"),
    "openlandmap-organic-carbon": ("organic_carbon", "organic_carbon"),
    "openlandmap-texture-class": ("texture", "texture_class"),
    "openlandmap-soil-class": ("soil_class", "soil_class"),
}
"""Data set to the name in the cube and the layer of `rasters.SOIL`."""

STATIONS = ("ismn-naqu", "ismn-maqu-full", "ismn-ngari", "ismn-smn-sdr", "ismn-ctp-smtmn", "sonte-china")
TERRAIN = {"elevation": "dem", "slope": "slope", "aspect_sin": "aspect_sin", "aspect_cos": "aspect_cos"}

PREDICTORS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "lst": (
        "modis-lst",
        {"standard_name": "surface_temperature", "units": "K",
         "long_name": "all-weather land surface temperature by day, MOD11A1 and its annual cycle"},
    ),
    "ndvi": (
        "modis-vegetation",
        {"standard_name": "normalized_difference_vegetation_index", "units": "1", "long_name": "daily NDVI, MOD13A2"},
    ),
    "evi": ("modis-vegetation", {"units": "1", "long_name": "daily EVI, MOD13A2"}),
    "tvdi": ("modis-lst", {"units": "1", "long_name": "temperature vegetation dryness index"}),
}  # fmt: skip
"""Dynamic predictor to the data set it hangs on and its attributes."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did: reports of the records and of the cube, by name, and the data sets that were left out."""

    records: Mapping[str, RecordReport]
    cube: Path
    without: tuple[str, ...]

    @property
    def quarantined(self) -> dict[str, str]:
        """Every granule that could not be read, with the reason."""
        return {k: v for r in self.records.values() for k, v in r.quarantined.items()}

    def __str__(self) -> str:
        lines = [f"{name}: {report}" for name, report in self.records.items()]
        lines += [f"without: {', '.join(self.without)}"] if self.without else []
        return "\n".join([*lines, f"cube: {self.cube}"])


def modis_files(folder: Path, product: str, bounds: Bounds) -> dict[np.datetime64, tuple[Path, ...]]:
    """Day to the tiles of a product that touch the window; of a tile processed twice the later one counts."""
    tiles = {f"h{h:02d}v{v:02d}" for h, v in sinusoidal_tiles(bounds)}
    pattern = re.compile(rf"{product}\.A(\d{{7}})\.(h\d\dv\d\d)\.\d{{3}}\.(\d+)\.hdf$")
    newest: dict[tuple[str, str], tuple[str, Path]] = {}
    for path in sorted(folder.rglob(f"{product}.A*.hdf")):
        found = pattern.search(path.name)
        if found and found.group(2) in tiles:
            key, made = (found.group(1), found.group(2)), (found.group(3), path)
            newest[key] = max(newest.get(key, made), made)
    days: dict[np.datetime64, tuple[Path, ...]] = {}
    for (stamp, _), (_, path) in sorted(newest.items()):
        day = np.datetime64(datetime.strptime(stamp, "%Y%j").date())
        days[day] = (*days.get(day, ()), path)
    return days


def smap_files(folder: Path) -> dict[np.datetime64, Path]:
    """Day to granule; of a day processed twice the later version counts."""
    return {smap.granule_day(p): p for p in sorted(folder.rglob("SMAP_L3_SM_P_E_*.h5"))}


def cci_files(folder: Path) -> dict[np.datetime64, Path]:
    """Day to image."""
    found = ((re.search(r"-(\d{4})(\d\d)(\d\d)\d{6}-", p.name), p) for p in sorted(folder.rglob("ESACCI-*.nc")))
    return {np.datetime64("-".join(m.groups())): p for m, p in found if m}


def _within(files: Mapping[np.datetime64, Any], first: str, last: str) -> dict[np.datetime64, Any]:
    low, high = np.datetime64(first), np.datetime64(last)
    return {d: f for d, f in files.items() if low <= d <= high}


def read_modis_day(
    paths: Sequence[Path], product: str, names: Sequence[str], bounds: Bounds, how: str = "average", cover: float = 0.0
) -> xr.Dataset:
    """The tiles of one day on the 9 km grid of a window; a tile that cannot be read is left out and named.

    Returns
    -------
    xarray.Dataset
        Dims (time 1, y, x); attribute `REFUSED`: file name to reason.
    """
    box = ease_geobox()[ease_window(bounds)]
    tiles, refused = [], {}
    for path in paths:
        try:
            tiles.append(modis.read_tile(path, product))
        except SourceError as error:
            refused[path.name] = f"{type(error).__name__}: {error}"
    if not tiles:
        raise SourceError("; ".join(refused.values()))
    fields = {}
    for name in names:
        field = regrid(mosaic([t[name].isel(time=0, drop=True) for t in tiles]), box, how, cover)
        attrs = {k: v for k, v in field.attrs.items() if k != "source_file"}
        fields[name] = (DATES, field.values[None], attrs)
    dataset = xr.Dataset(fields, {"time": tiles[0].time.values}, {REFUSED: refused})
    return with_degrees(dataset, box)


def make_static(name: str, archive: Path, settings: Settings, parts: Path | None = None) -> xr.Dataset:
    """The time-invariant predictors of one data set, dims (y, x); `parts` is where tiles of terrain are kept."""
    box = ease_geobox()[ease_window(settings.bounds)]
    paths = static_files(name, archive, settings)
    if name == "modis-landcover":
        day = read_modis_day(paths, "MCD12Q1", ["landcover"], settings.bounds, "majority")
        attrs = day["landcover"].attrs | {"long_name": "land cover, IGBP, MCD12Q1 (majority of the cell)"}
        if day.attrs[REFUSED]:
            raise SourceError("; ".join(day.attrs[REFUSED].values()))
        fields = {"landcover": _as_classes(day["landcover"].values[0], attrs)}
    elif name == "copernicus-dem":
        terrain = _terrain(paths, settings.bounds, parts)
        fields = {new: (DATES[1:], terrain[old].values, dict(terrain[old].attrs)) for old, new in TERRAIN.items()}
    else:
        new, layer = SOILS[name]
        field = rasters.read_soil(paths[0], layer, box)
        fields = {new: (DATES[1:], field.values, dict(field.attrs))}
        if "flag_values" in field.attrs:
            fields = {new: _as_classes(field.values, dict(field.attrs))}
    for _, _, attrs in fields.values():
        attrs.pop("source", None)
        attrs.pop("source_file", None)
    return with_degrees(xr.Dataset(fields), box)


def _terrain(paths: Sequence[Path], bounds: Bounds, parts: Path | None) -> xr.Dataset:
    """Terrain tile by tile, as dask tasks; tiles that were done before a kill are not done again."""
    import dask

    box = ease_geobox()[ease_window(bounds)]
    if parts is None:
        return rasters.read_terrain(paths, box)
    parts.mkdir(parents=True, exist_ok=True)
    made = dask.compute(*[dask.delayed(_terrain_part)(p, bounds, parts) for p in paths])
    return rasters.terrain_of(((p.name, dict(np.load(m))) for p, m in zip(paths, made, strict=True)), box)


def _terrain_part(path: Path, bounds: Bounds, parts: Path) -> Path:
    """The sums of one tile in a file of their own, named by what they are made of."""
    out = parts / f"{path.stem}-{_digest(file_mark(path), list(bounds), RECIPE)}.npz"
    if not out.exists():
        sums: dict[str, Any] = dict(rasters.terrain_sums(path, ease_geobox()[ease_window(bounds)]))
        with placing(out) as part, open(part, "wb") as f:
            np.savez_compressed(f, allow_pickle=False, **sums)
    return out


def _as_classes(
    values: NDArray[Any], attrs: dict[str, Any]
) -> tuple[tuple[str, str], NDArray[np.int16], dict[str, Any]]:
    whole = np.where(np.isnan(values), OUTSIDE, values).astype(np.int16)
    return DATES[1:], whole, attrs | {"flag_values": np.asarray(attrs["flag_values"], np.int16)}  # type: ignore[return-value]


def static_files(name: str, archive: Path, settings: Settings) -> tuple[Path, ...]:
    """The files behind the static predictors of one data set."""
    if name == "modis-landcover":
        years = modis_files(archive / name, "MCD12Q1", settings.bounds)
        chosen = [d for d in sorted(years) if settings.landcover_year in (0, d.astype("datetime64[Y]").item().year)]
        if years and not chosen:
            known = ", ".join(str(d)[:4] for d in sorted(years))
            raise SourceError(f"{archive / name} holds no land cover of {settings.landcover_year}, but of {known}")
        return years[chosen[0]] if chosen else ()
    found = tuple(sorted((archive / name).rglob("*.tif")))
    if name in SOILS and len(found) > 1:
        raise SourceError(f"{archive / name} holds {len(found)} rasters ({found[0].name}, ...); one layer is wanted")
    return found


STATICS = ("modis-landcover", *SOILS, "copernicus-dem")


def _write_static(name: str, archive: Path, work: Path, settings: Settings) -> str:
    """Bring one static data set up to date; returns the digest of what went in."""
    paths = static_files(name, archive, settings)
    key = _digest([file_mark(p) for p in paths], list(settings.bounds), RECIPE)
    out = work / f"static-{name}.zarr"
    if _noted(out).get("inputs") != key:
        write_dataset(make_static(name, archive, settings, work / "terrain").assign_attrs(inputs=key), out)
    return key


def _noted(path: Path) -> dict[str, Any]:
    """Attributes of a dataset in the work folder; none if it is not there, or damaged, which is said."""
    try:
        return dict(open_dataset(path).attrs) if path.exists() else {}
    except CubeError as error:
        say(f"{error.faults[0]}; {path} is made again")
        return {}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def annual_cycle(record: xr.DataArray, first: str, last: str, step: int, harmonics: int = HARMONICS) -> xr.DataArray:
    """Coefficients of the annual cycle of a record, cell by cell, from the values there are; read `step` days at once.

    Least squares with the small penalty of `processing.all_weather_lst`, summed day by day, so that memory does not
    grow with the record.

    Returns
    -------
    xarray.DataArray
        Dims (term, y, x), float32; NaN for cells never seen.
    """
    days = record.sel(time=slice(first, last))
    terms = 1 + 2 * harmonics
    cells = days.sizes["y"] * days.sizes["x"]
    gram, right, seen_any = np.zeros((terms, terms, cells)), np.zeros((terms, cells)), np.zeros(cells, bool)
    for start in range(0, days.sizes["time"], step):
        part = days.isel(time=slice(start, start + step))
        basis = processing.annual_basis(part.time.dt.dayofyear.values, harmonics)
        values = part.values.reshape(len(basis), cells).astype(float)
        seen = ~np.isnan(values)
        seen_any |= seen.any(axis=0)
        for i in range(terms):
            right[i] += basis[:, i] @ np.where(seen, values, 0.0)
            for j in range(i + 1):
                gram[i, j] += (basis[:, i] * basis[:, j]) @ seen
                gram[j, i] = gram[i, j]
    penalty = np.diag([0.0] + [1.0] * (terms - 1)) + 1e-9 * np.eye(terms)
    solved = np.linalg.solve(np.moveaxis(gram, 2, 0) + penalty, right.T[:, :, None])[:, :, 0]
    values = np.where(seen_any[:, None], solved, np.nan).T.reshape(terms, *days.shape[1:])
    return xr.DataArray(values.astype(np.float32), dims=("term", "y", "x"), name="coefficients", attrs={"units": "K"})


def _write_cycle(record: Path, work: Path, settings: Settings) -> str:
    """The annual cycle from the days of reference, learned once; returns its digest."""
    out = work / "lst-annual-cycle.zarr"
    old = _noted(out)
    first = settings.reference_first or old.get("first") or settings.first
    last = settings.reference_last or old.get("last") or settings.last
    key = _digest(first, last, _marks(record, first, last), RECIPE)
    if old.get("inputs") != key:
        cycle = annual_cycle(open_dataset(record)["lst_day"], first, last, settings.days_per_chunk)
        write_dataset(cycle.to_dataset().assign_attrs(first=first, last=last, inputs=key), out)
    return key


def _marks(record: Path, first: Any, last: Any) -> list[Any]:
    """What the days of a record were made of, those without granule left out."""
    granules = {d: m for entry in journal_entries(record) for d, m in entry["granules"].items() if m}
    return [[d, granules[d]] for d in sorted(granules) if str(first) <= d <= str(last)]


@dataclass(frozen=True)
class _Chunk:
    """One chunk of the cube, to be made anywhere."""

    days: tuple[str, str]
    work: Path
    has: frozenset[str]

    def __call__(self) -> Made:
        first, last = (np.datetime64(d) for d in self.days)
        ssm = _days_of(self.work / "smap.zarr", "ssm", first, last)
        made: dict[str, NDArray[np.float32]] = {"ssm": ssm}
        if "modis-lst" in self.has:
            made["lst"] = _lst(self.work, first, last)
        if "modis-vegetation" in self.has:
            made |= _vegetation(self.work, first, last)
        if "tvdi" in self.has:
            made["tvdi"] = _tvdi(self.work, made["lst"], made["ndvi"], "copernicus-dem" in self.has)
        return made, {}


def _days_of(record: Path, name: str, first: Any, last: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = open_dataset(record)[name].sel(time=slice(first, last)).values
    return values


def _lst(work: Path, first: Any, last: Any) -> NDArray[np.float32]:
    """All-weather land surface temperature of the days of a chunk, K."""
    record = open_dataset(work / "lst.zarr")["lst_day"]
    around = record.sel(time=slice(first - MARGIN["lst"], last + MARGIN["lst"]))
    coefficients = open_dataset(work / "lst-annual-cycle.zarr")["coefficients"].values
    basis = processing.annual_basis(around.time.dt.dayofyear.values, HARMONICS)
    flat = around.values.reshape(len(basis), -1).astype(float)
    expected = basis @ coefficients.reshape(len(coefficients), -1).astype(float)
    filled = processing.fill_around(flat, expected, MEMORY_DAYS).reshape(around.shape)
    inside = (around.time.values >= first) & (around.time.values <= last)
    return filled[inside].astype(np.float32)


def _vegetation(work: Path, first: Any, last: Any) -> dict[str, NDArray[np.float32]]:
    """Smoothed daily indices of the days of a chunk, from the composites within the margin."""
    record = open_dataset(work / "vegetation.zarr")
    margin = MARGIN["vegetation"]
    starts = [np.datetime64(d) for d, _ in _marks(work / "vegetation.zarr", first - margin, last + margin)]
    days = days_between(str(first), str(last))
    shape = (len(days), record.sizes["y"], record.sizes["x"])
    if not starts:
        return {n: np.full(shape, np.nan, np.float32) for n in ("ndvi", "evi")}
    middle = (np.array(starts) + COMPOSITE_DAYS // 2).astype(int)
    out = {}
    for name in ("ndvi", "evi"):
        composites = record[name].sel(time=np.array(starts, "datetime64[ns]")).values
        out[name] = processing.to_daily(_smooth(composites), middle, days.astype(int)).astype(np.float32)
    return out


def _smooth(composites: NDArray[np.float32]) -> NDArray[np.float32]:
    """Savitzky-Golay over the composites; straight lines where there are too few for the window."""
    if len(composites) < SG_WINDOW:
        return processing.interpolate_gaps(composites)
    return processing.savitzky_golay(composites, SG_WINDOW, SG_ORDER).astype(np.float32)


def _tvdi(work: Path, lst: NDArray[Any], ndvi: NDArray[Any], terrain: bool) -> NDArray[np.float32]:
    record = open_dataset(work / "smap.zarr")
    squares = np.floor(record.lon.values / TVDI_DEGREES) * 1000 + np.floor(record.lat.values / TVDI_DEGREES)
    dem = open_dataset(work / "static-copernicus-dem.zarr")["dem"].values.ravel() if terrain else None
    flat = [a.reshape(len(a), -1) for a in (lst, ndvi)]
    tvdi = processing.temperature_vegetation_dryness(flat[0], flat[1], squares.ravel().astype(np.int64), dem)
    return np.asarray(tvdi.reshape(lst.shape), np.float32)


def build_cube(archive: Path | None = None, settings: Settings | None = None, out: Path | None = None) -> BuildReport:
    """Bring the cube up to date with the archive and the settings; a killed build goes on where it was.

    Parameters
    ----------
    archive
        Folder with one folder per data set, as `tssmnet data fetch china` makes it; by default the data folder.
    settings
        By default those of the archive's ``china.yml``.
    out
        The cube; by default ``china-cube.zarr`` in the archive. What is made on the way lies beside it.

    Raises
    ------
    SourceError
        If a data set is not there and not among ``settings.without``.
    """
    archive = archive or registry.data_dir()
    settings = settings or load_settings(archive)
    out = out or archive / CUBE
    work = out.with_name(WORK)
    work.mkdir(parents=True, exist_ok=True)
    has = _present(archive, settings)
    with one_writer(out), open_cluster(settings.cluster, settings.workers):
        records = _write_records(archive, work, settings, has)
        keys = {n: _write_static(n, archive, work, settings) for n in STATICS if n in has}
        if "modis-lst" in has:
            keys["cycle"] = _write_cycle(work / "lst.zarr", work, settings)
        records["cube"] = _write_cube(out, work, settings, has, keys)
    return BuildReport(records, out, tuple(n for n in settings.without))


def _present(archive: Path, settings: Settings) -> frozenset[str]:
    """The data sets that are there and wanted."""
    needed = ["smap-l3-enhanced", "modis-lst", "modis-vegetation", *STATICS]
    for name in settings.without:
        require_known(name, [s.name for s in registry.select("china")], "data set of the profile china")
    has = {n for n in needed if n not in settings.without and any(p.is_file() for p in (archive / n).rglob("*.*"))}
    lacking = [n for n in needed if n not in has and n not in settings.without]
    if lacking or "smap-l3-enhanced" not in has:
        raise SourceError(
            f"{archive} lacks {', '.join(lacking or ['smap-l3-enhanced'])}; get it with `tssmnet data fetch china`, or "
            f"name it under `without` in {archive / 'china.yml'}: the cube then has none of its predictors"
        )
    return frozenset(has | ({"tvdi"} if {"modis-lst", "modis-vegetation"} <= has else set()))


def _write_records(archive: Path, work: Path, settings: Settings, has: frozenset[str]) -> dict[str, RecordReport]:
    """The daily sources on the 9 km grid."""
    first, last, bounds, size = settings.first, settings.last, settings.bounds, settings.days_per_chunk
    read: Callable[[Any], xr.Dataset] = partial(
        smap.read_granule, bounds=bounds, quality=settings.quality, merge=settings.merge
    )
    files: Mapping[np.datetime64, Any] = _within(smap_files(archive / "smap-l3-enhanced"), first, last)
    rules = {"quality": settings.quality, "merge": settings.merge}
    reports = {"smap": write_record(files, read, work / "smap.zarr", first, last, size, rules)}
    for name, source, product, names, cover in (
        ("lst", "modis-lst", "MOD11A1", ["lst_day"], settings.min_cover),
        ("vegetation", "modis-vegetation", "MOD13A2", ["ndvi", "evi"], 0.0),
    ):
        if source in has:
            tiles = _within(modis_files(archive / source, product, bounds), first, last)
            read = partial(read_modis_day, product=product, names=names, bounds=bounds, cover=cover)
            reports[name] = write_record(tiles, read, work / f"{name}.zarr", first, last, size, {"cover": cover})
    if "vegetation" in reports:  # a composite stands on its first day: the others are no gaps
        reports["vegetation"] = replace(reports["vegetation"], missing=())
    return reports


def _write_cube(
    out: Path, work: Path, settings: Settings, has: frozenset[str], keys: Mapping[str, str]
) -> RecordReport:
    days, size = days_between(settings.first, settings.last), settings.days_per_chunk
    chunks = chunked(days, size)
    rules = [settings.quality, settings.merge, settings.min_cover]
    base = {"recipe": RECIPE, "has": sorted(has), "bounds": list(settings.bounds), "rules": rules}
    depends = {k: v for k, v in keys.items() if k in ("cycle", "copernicus-dem")}
    entries = [base | depends | _chunk_key(c, work, has) for c in chunks]
    makes = [_Chunk((str(c[0]), str(c[-1])), work, has) for c in chunks]
    template = partial(_cube_template, work, settings, has)
    done, refused = write_chunks(out, days, size, template, entries, makes, SPACE_CHUNK)
    _refresh_statics(out, work, has, keys)
    return RecordReport(len(days), done, len(chunks) - done, (), refused)


def _chunk_key(days: NDArray[Any], work: Path, has: frozenset[str]) -> dict[str, Any]:
    """Marks of all granules that decide a chunk."""
    marks = {"smap": _marks(work / "smap.zarr", days[0], days[-1])}
    for name, source, margin in (("lst", "modis-lst", "lst"), ("vegetation", "modis-vegetation", "vegetation")):
        if source in has:
            around = (days[0] - MARGIN[margin], days[-1] + MARGIN[margin])
            marks[name] = _marks(work / f"{name}.zarr", *around)
    return {n: _digest(m) for n, m in marks.items()} | {"days": [str(days[0]), str(days[-1])]}


def _cube_template(work: Path, settings: Settings, has: frozenset[str]) -> xr.Dataset:
    """One day of the cube: what it holds and on which grid."""
    record = open_dataset(work / "smap.zarr").isel(time=slice(0, 1))
    cube = record[["ssm"]].load()
    for name, (source, attrs) in PREDICTORS.items():
        if source in has and (name != "tvdi" or "tvdi" in has):
            cube[name] = cube["ssm"].copy()
            cube[name].attrs = dict(attrs)
    for name in STATICS:
        if name in has:
            for variable, field in open_dataset(work / f"static-{name}.zarr").load().data_vars.items():
                cube[str(variable)] = field
    cube.attrs = {
        "title": "SMAP L3 soil moisture and its predictors over China, 9 km, daily",
        "profile": "china",
        "Conventions": "CF-1.11",
        "crs": "EPSG:6933",
        "overpasses": settings.merge,
        "quality": settings.quality,
        "references": "SPL3SMP_E, MOD11A1, MOD13A2, MCD12Q1, Copernicus DEM, OpenLandMap; see data_manifest.yml",
        "license": "each source's own, see data_manifest.yml",
        "without": " ".join(settings.without),
    }
    return cube


def _refresh_statics(out: Path, work: Path, has: frozenset[str], keys: Mapping[str, str]) -> None:
    """Write statics again that changed since the cube was made."""
    import zarr

    journal = out.with_name(out.name + ".journal") / "statics.json"
    known = json.loads(journal.read_text()) if journal.exists() else {}
    group: Any = zarr.open_group(out, mode="r+")
    for name in STATICS:
        if name in has and known.get(name, keys[name]) != keys[name]:
            for variable, field in open_dataset(work / f"static-{name}.zarr").data_vars.items():
                group[str(variable)][...] = field.values
    write_atomically(journal, json.dumps({n: keys[n] for n in STATICS if n in has}, indent=1))


def china_part(part: str = "cube", archive: str | None = None, layout: str = "pixel") -> xr.Dataset:
    """One part of the profile: ``"cube"``, ``"stations"`` or ``"esa_cci"``; see the function of each.

    `layout` is that of the cube: ``"pixel"``, its land cells on (time, pixel) as the other profiles have them, or
    ``"grid"``, all of it on (time, y, x).
    """
    require_known(layout, ("pixel", "grid"), "layout of the cube")
    dataset = CHINA_PARTS[require_known(part, CHINA_PARTS, "part of the profile china")](archive)
    if part == "cube" and layout == "pixel":
        return land_cells(dataset)
    # the names of the product, and the layout, that the pages know from the twin
    return to_pixels(dataset).rename(ssm="sm", ssm_std="sm_uncertainty") if part == "esa_cci" else dataset


def land_cells(cube: xr.Dataset) -> xr.Dataset:
    """The cells of a cube on land, dims (time, pixel): land cover known and no water; all cells without land cover."""
    pixels = to_pixels(cube)
    if "landcover" not in pixels:
        return pixels
    return pixels.isel(pixel=np.flatnonzero(~np.isin(pixels["landcover"].values, (OUTSIDE, WATER))))


def china_cube(archive: str | None = None, build: bool = True) -> xr.Dataset:
    """The cube of the profile `china`, brought up to date with what the archive holds; lazy.

    Parameters
    ----------
    archive
        As in `build_cube`.
    build
        False opens the cube as it is.

    Raises
    ------
    SourceError
        If there is neither a cube nor an archive to make one from.
    """
    place = Path(archive) if archive else registry.data_dir()
    if build:
        build_cube(place)
    if not (place / CUBE).exists():
        raise SourceError(f"{place / CUBE} is not there; make it with `tssmnet data build china`")
    cube = open_dataset(place / CUBE)
    order = ["ssm", *PREDICTORS, "landcover", *(new for new, _ in SOILS.values()), *TERRAIN.values()]
    return cube[[n for n in order if n in cube]]  # a folder has no order, features shall have one


def china_stations(archive: str | None = None) -> xr.Dataset:
    """Daily in situ soil moisture of all networks that are there: ``ssm`` (time, station).

    The networks come as ISMN folders; SONTE-China also as a table (``.csv`` with columns station, lat, lon, time, ssm).

    Raises
    ------
    SourceError
        If no network is there.
    """
    place = Path(archive) if archive else registry.data_dir()
    settings = load_settings(place)
    losses = Losses(str(place))
    parts = [part for name in STATIONS if name not in settings.without for part in _network(place / name, losses)]
    if not parts and not losses.skipped:
        raise SourceError(
            f"{place} holds none of {', '.join(STATIONS)}; `tssmnet data fetch china` says how each of them is had"
        )
    losses.say(left=len(parts))
    stations = xr.concat(parts, "station", join="outer", combine_attrs="drop")
    stations = stations.sel(time=slice(settings.first, settings.last)).assign_attrs(_joined_losses(parts, losses))
    west, south, east, north = settings.bounds
    inside = (stations.lon >= west) & (stations.lon <= east) & (stations.lat >= south) & (stations.lat <= north)
    if not inside.any():
        raise OffWindowError(f"none of {stations.sizes['station']} stations below {place} lies in {settings.bounds}")
    return stations.isel(station=np.flatnonzero(inside.values))


def _network(folder: Path, losses: Losses) -> list[xr.Dataset]:
    """The stations of one network: a download of the ISMN, plain tables, or both; what cannot be read is noted."""
    parts = []
    readers = [partial(ismn.read_stations, folder)] if any(folder.rglob("*_sm_*.stm")) else []
    tables = [p for p in sorted(folder.rglob("*.csv")) if not p.name.endswith("static_variables.csv")]
    for read in (*readers, *(partial(_station_table, path) for path in tables)):
        try:
            parts.append(read())
        except SourceError as error:
            losses.skip(folder.name, str(error))
    return parts


def _joined_losses(parts: Sequence[xr.Dataset], losses: Losses) -> dict[str, str]:
    """What the networks left out, and what was left out of them, in the words of `Losses`."""
    notes = [losses.attrs, *(part.attrs for part in parts)]
    return {k: "; ".join(a[k] for a in notes if k in a) for k in ("skipped", "losses") if any(k in a for a in notes)}


def _station_table(path: Path) -> xr.Dataset:
    """A table of stations; its name is the network where it names none."""
    stations = read_table(path)
    network = np.array([str(n) or path.stem for n in stations["network"].values], object)
    return stations.assign_coords(network=("station", network))


def china_esa_cci(archive: str | None = None) -> xr.Dataset:
    """ESA CCI soil moisture on its own grid of 0.25 degree: ``ssm``, ``ssm_std`` (time, y, x), lazy.

    Raises
    ------
    SourceError
        If no image is there.
    """
    place = Path(archive) if archive else registry.data_dir()
    settings = load_settings(place)
    files = _within(cci_files(place / "esa-cci-sm"), settings.first, settings.last)
    if not files:
        raise SourceError(
            f"{place / 'esa-cci-sm'} holds no ESA CCI image of {settings.first} to {settings.last}; "
            "`tssmnet data fetch china` says how it is had"
        )
    out = place / WORK / "esa-cci.zarr"
    out.parent.mkdir(parents=True, exist_ok=True)
    read = partial(_cci_day, bounds=settings.bounds)
    write_record(files, read, out, settings.first, settings.last, settings.days_per_chunk)
    return open_dataset(out)


def _cci_day(path: Path, bounds: Bounds) -> xr.Dataset:
    day = esa_cci.read_image(path, bounds)
    fields = {n: (DATES, day[n].values, dict(day[n].attrs)) for n in ("ssm", "ssm_std") if n in day}
    coords = {
        "time": day.time.values,
        "lat": ("y", day.y.values, {"units": "degrees_north"}),
        "lon": ("x", day.x.values, {"units": "degrees_east"}),
    }
    return xr.Dataset(fields, coords, {"title": "ESA CCI soil moisture"})


CHINA_PARTS: Mapping[str, Callable[[str | None], xr.Dataset]] = {
    "cube": china_cube,
    "stations": china_stations,
    "esa_cci": china_esa_cci,
}
"""What the profile has, and what gives it."""
