"""The twin at any size: streamed to zarr, block of days after block of days, then tile after tile, with memory flat."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet import processing
from tssmnet.cube import open_dataset, write_dataset
from tssmnet.errors import TssmnetError
from tssmnet.twin.simulate import Run, blocks, composite_starts
from tssmnet.twin.world import (
    COMPOSITES,
    FORCING,
    OUTSIDE,
    PREDICTORS,
    SEEN,
    SOIL_LIMITS,
    STATIC,
    TRUTH,
    VARIABLES,
    Builder,
    attributes,
    check_choices,
    new_run,
    process_series,
    smap_mean,
    tvdi_windows,
)

PARTS = ("cube", "truth", "observations", "stations", "esa_cci")
CLASS_NAMES = ("gap_cause", "gap_cause_pm", "frozen")
BLOCK_DAYS, TILE = 32, 64


def write_twin(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    start: str = "2016-01-01",
    days: int = 731,
    cell_km: int = 36,
    region: tuple[float, float, float, float] | None = None,
    forcing: bool = False,
    overpass: str = "am",
    spinup: int = 365,
    station_periods: str = "record",
) -> Path:
    """Write the twin of `twin_world` (layout ``"grid"``) to `folder`: cube, truth, observations, stations, esa_cci,
    each ``.zarr``.

    The world is made in blocks of days, so memory does not grow with the record and little with the map: 9 km and seven
    years take the memory of one block. A run that was cut off goes on where it stopped; the folder gets its name only
    when it is whole, and one that is whole with the same parameters is kept as it is.

    Parameters
    ----------
    folder
        Where to; the others are those of `twin_world`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    TssmnetError
        If the folder, or an unfinished one beside it, holds a twin with other parameters.
    """
    check_choices("grid", overpass, station_periods)
    options = {
        "seed": seed, "start": start, "days": days, "cell_km": cell_km, "region": list(region) if region else None,
        "forcing": forcing, "overpass": overpass, "spinup": spinup, "station_periods": station_periods,
    }  # fmt: skip
    folder = Path(folder)
    if _same(folder, options):
        return folder
    partial = folder.with_name(folder.name + ".partial")
    if not _same(partial, options):
        partial.mkdir(parents=True)
        _write_json(partial / "twin.json", options)
    _simulate(partial, options)
    _process(partial)
    _add_tvdi(partial)
    for leftover in partial.glob("_*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    os.replace(partial, folder)
    return folder


def _same(folder: Path, options: Mapping[str, Any]) -> bool:
    """Whether the folder holds a twin with these options; False if it does not exist."""
    if not folder.exists():
        return False
    record = folder / "twin.json"
    found = json.loads(record.read_text()) if record.exists() else {}
    if found != dict(options):
        other = {k: v for k, v in found.items() if options.get(k) != v} or "no record of how it was made"
        raise TssmnetError(f"{folder} holds another twin ({other}); name another folder or remove this one")
    return True


def _write_json(path: Path, content: Any) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1))
    os.replace(temporary, path)


# --- first pass: days -------------------------------------------------------------------------------------------------


def _simulate(folder: Path, options: Mapping[str, Any]) -> None:
    """Truth, observations, stations and ESA CCI, in blocks of days; the state after each block is kept for resuming."""
    start, days = options["start"], options["days"]
    checkpoint = folder / "_state.npz"
    if (folder / "_simulated").exists():
        return
    run = new_run(
        options["seed"], start, options["cell_km"], options["region"], 0 if checkpoint.exists() else options["spinup"]
    )
    time = pd.date_range(start, periods=days)
    build = Builder(run, time, "grid", {k: options[k] for k in ("seed", "cell_km", "spinup")})
    if checkpoint.exists():
        with np.load(checkpoint) as arrays:
            run.restore(dict(arrays))
    else:
        _create_stores(folder, run, build, options)
    for first, block in blocks(run, np.datetime64(start, "D") + days, BLOCK_DAYS):
        _write_block(folder, run, first, block, options)
        temporary = folder / "_state.tmp.npz"
        np.savez(temporary, **run.state_arrays())  # type: ignore[arg-type]
        os.replace(temporary, checkpoint)
    _write_places(folder, build, options["station_periods"])
    np.savez(folder / "_land.npz", dem=run.land.dem, lon=run.grid.points[0], lat=run.grid.points[1], land=run.grid.land)
    (folder / "_simulated").touch()


def _create_stores(folder: Path, run: Run, build: Builder, options: Mapping[str, Any]) -> None:
    """Empty arrays of the final size: only metadata, coordinates and static variables are written."""
    days, shape = options["days"], run.grid.shape
    periods = pd.DatetimeIndex(composite_starts(np.datetime64(options["start"], "D"), days))
    extra = FORCING if options["forcing"] else ()
    plans = {
        "truth": (TRUTH, SOIL_LIMITS),
        "observations": (SEEN, ("water_fraction",)),
        "cube": (("ssm", *PREDICTORS, *extra), STATIC),
    }
    for part, (names, static) in plans.items():
        dataset = build.dataset({}, static)
        root = _create(folder / f"{part}.zarr", dataset)
        for name in names:
            _add_array(root, name, (days, *shape), ("time", "y", "x"))
        if part == "observations":
            for name in COMPOSITES:
                _add_array(root, name, (len(periods), *shape), ("composite", "y", "x"))
            coords = xr.Dataset(coords={"composite": periods})
            coords.to_zarr(folder / f"{part}.zarr", mode="a", consolidated=False)
    flat = _create(folder / "_flat.zarr", xr.Dataset())
    places = {"sm": len(run.cci.lon), "sm_uncertainty": len(run.cci.lon)}
    places |= dict.fromkeys(("soil_moisture", "soil_moisture_flag"), len(run.stations.pixel))
    for name, n in places.items():
        _add_array(flat, name, (days, n), ("time", "place"))


def _group(path: Path, mode: str) -> Any:
    import zarr

    return zarr.open_group(path, mode=mode)  # type: ignore[arg-type]


def _create(path: Path, dataset: xr.Dataset) -> Any:
    dataset.to_zarr(path, mode="w", consolidated=False, zarr_format=3)
    return _group(path, "a")


def _add_array(root: Any, name: str, shape: tuple[int, ...], dims: tuple[str, ...]) -> None:
    classes = name in CLASS_NAMES or name.endswith("_flag")
    chunks = (min(BLOCK_DAYS, shape[0]), *(min(TILE if len(shape) == 3 else 4096, max(n, 1)) for n in shape[1:]))
    attrs = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in attributes(name).items()}
    root.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=np.int8 if classes else np.float32,
        fill_value=OUTSIDE if classes else np.nan,
        dimension_names=dims,
        attributes=attrs if classes else {**attrs, "_FillValue": _NAN_BASE64},
    )


# xarray stores the fill value of floats in this form in zarr 3 attributes.
_NAN_BASE64 = "AAAAAAAA+H8="


def _write_block(folder: Path, run: Run, first: int, block: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    truth, seen = block["truth"], block["seen"]
    last = first + len(truth["ssm_true"])
    cube = {"ssm": smap_mean(seen, options["overpass"])}
    cube |= {n: seen[n] for n in FORCING} if options["forcing"] else {}
    parts = {"truth": {n: truth[n] for n in TRUTH}, "observations": {n: seen[n] for n in SEEN}, "cube": cube}
    for part, values in parts.items():
        root = _group(folder / f"{part}.zarr", "a")
        for name, array in values.items():
            array = array.astype(np.int8) if array.dtype == bool else array
            root[name][first:last] = run.grid.unpack(array, OUTSIDE if array.dtype == np.int8 else np.nan)
    periods = composite_starts(np.datetime64(options["start"], "D"), options["days"])
    observations = _group(folder / "observations.zarr", "a")
    for period, indices in block["composites"].items():
        at = int(np.searchsorted(periods, np.datetime64(period)))
        for name, values in zip(COMPOSITES, indices, strict=True):
            observations[name][at] = run.grid.unpack(values)
    flat = _group(folder / "_flat.zarr", "a")
    for name in ("sm", "sm_uncertainty", "soil_moisture", "soil_moisture_flag"):
        flat[name][first:last] = seen[name]


def _write_places(folder: Path, build: Builder, periods: str) -> None:
    """Stations and ESA CCI, with their coordinates; the larger one lazily."""
    import dask.array as da

    flat = _group(folder / "_flat.zarr", "r")
    stations = build.stations(flat["soil_moisture"][:], flat["soil_moisture_flag"][:], periods)
    write_dataset(stations, folder / "stations.zarr")
    sm, uncertainty = (da.from_zarr(flat[name]) for name in ("sm", "sm_uncertainty"))
    write_dataset(build.esa_cci(sm, uncertainty), folder / "esa_cci.zarr")


# --- second pass: tiles; third pass: TVDI -----------------------------------------------------------------------------


def _process(folder: Path) -> None:
    """LST without gaps, daily NDVI and EVI, tile by tile: each needs a pixel's whole record."""
    observations = _group(folder / "observations.zarr", "r")
    dataset = xr.open_zarr(folder / "observations.zarr", consolidated=False)
    time, periods = pd.DatetimeIndex(dataset["time"].values), dataset["composite"].values.astype("datetime64[D]")
    cube = _group(folder / "cube.zarr", "a")
    with np.load(folder / "_land.npz") as arrays:
        land = arrays["land"]
    for at, rows, columns in _tiles(land.shape):
        done = folder / f"_tile_{at}"
        inside = land[rows, columns]
        if done.exists() or not inside.any():
            continue
        seen = {n: observations[n][:, rows, columns][:, inside] for n in ("lst_clear", "air_temperature", "radiation")}
        indices = np.stack([observations[n][:, rows, columns][:, inside] for n in COMPOSITES], axis=1)
        made = process_series(seen, periods, indices, time)
        for name, values in zip(("lst", "ndvi", "evi"), made, strict=True):
            full = np.full((len(time), *inside.shape), np.nan, np.float32)
            full[:, inside] = values
            cube[name][:, rows, columns] = full
        done.touch()


def _tiles(shape: tuple[int, ...]) -> Iterator[tuple[int, slice, slice]]:
    rows, columns = range(0, shape[0], TILE), range(0, shape[1], TILE)
    for at, (i, j) in enumerate((i, j) for i in rows for j in columns):
        yield at, slice(i, min(i + TILE, shape[0])), slice(j, min(j + TILE, shape[1]))


def _add_tvdi(folder: Path) -> None:
    """TVDI, block of days by block of days: its edges need all cells of a day."""
    cube = _group(folder / "cube.zarr", "a")
    with np.load(folder / "_land.npz") as arrays:
        land, dem, windows = (
            arrays["land"],
            arrays["dem"].astype(np.float32),
            tvdi_windows(arrays["lon"], arrays["lat"]),
        )
    for first in range(0, cube["lst"].shape[0], BLOCK_DAYS):
        days = slice(first, first + BLOCK_DAYS)
        lst, ndvi = (cube[n][days][:, land] for n in ("lst", "ndvi"))
        full = np.full((len(lst), *land.shape), np.nan, np.float32)
        full[:, land] = processing.temperature_vegetation_dryness(lst, ndvi, windows, dem)
        cube["tvdi"][days] = full


def open_twin(folder: str | os.PathLike[str]) -> dict[str, xr.Dataset]:
    """The datasets of a written twin, lazily: cube, truth, observations, stations, esa_cci."""
    found = {part: open_dataset(Path(folder) / f"{part}.zarr") for part in PARTS}
    # A folder lists its arrays in any order; the table of variables has one.
    return {part: dataset[sorted(dataset, key=_rank)] for part, dataset in found.items()}


def _rank(name: Any) -> tuple[int, str]:
    order = list(VARIABLES)
    return (order.index(name) if name in order else len(order), str(name))
