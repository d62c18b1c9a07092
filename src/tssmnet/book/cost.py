"""What the paper's own study costs to run: work counted from the settings, throughput measured on a small piece.

A stage is a number of units (tiles, granules, cell-days) times the processor seconds of one unit, measured here on
made-up arrays of the genuine shape. It leaves out waiting for disks and networks, and is told as the projection it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.book.speed import LAND, processor_seconds
from tssmnet.data import processing
from tssmnet.data.china.settings import Settings
from tssmnet.data.readers.grids import (
    ease_geobox,
    ease_window,
    mosaic,
    on_geobox,
    regrid,
    sinusoidal_tile,
    sinusoidal_tiles,
)
from tssmnet.data.readers.rasters import slopes

COMPOSITES = 23
"""Of 16 days, in a year."""


@dataclass(frozen=True)
class Stage:
    """One stage of the work."""

    # name, unit: what is done, and to what
    name: str
    unit: str
    units: float  # how many of them the study has
    seconds: float  # processor seconds of one unit, measured
    parallel: bool  # whether more processors make it quicker
    resumes: str  # what a killed run keeps

    @property
    def hours(self) -> float:
        """Processor hours of the stage."""
        return self.units * self.seconds / 3600


def stages(settings: Settings, seed: int = 0) -> list[Stage]:
    """The stages from granules to the cube, measured now.

    `settings`: period and window.
    """
    days = int((np.datetime64(settings.last) - np.datetime64(settings.first)).astype(int)) + 1
    rows, columns = ease_window(settings.bounds)
    cells = (rows.stop - rows.start) * (columns.stop - columns.start)
    tiles = len(sinusoidal_tiles(settings.bounds))
    west, south, east, north = settings.bounds
    degrees = (np.ceil(east) - np.floor(west)) * (np.ceil(north) - np.floor(south))
    rng = np.random.default_rng(seed)
    tile = regridding(rng)
    kept = "every chunk of days that is written"
    return [
        Stage("SMAP: two overpasses merged", "granule", days, overpasses(rng, cells), True, kept),
        Stage("MOD11A1 onto the 9 km grid", "tile", days * tiles, tile, True, kept),
        Stage("MOD13A2 onto the 9 km grid", "tile", days / 365.25 * COMPOSITES * tiles * 2, tile, True, kept),
        Stage("MCD12Q1 by majority", "tile", tiles, 4 * tile, False, "each data set"),
        Stage("slope and aspect", "DEM tile", float(degrees), terrain(rng), True, "each tile"),
        Stage("all-weather LST", "cell-day", cells * days, weather(rng), True, kept),
        Stage("daily NDVI and EVI", "cell-day", 2 * cells * days, vegetation(rng), True, kept),
        Stage("TVDI", "cell-day", cells * days, dryness(rng), True, kept),
    ]


def _per_unit(work: Callable[[], Any], units: float, repeats: int = 2) -> float:
    """Processor seconds of one unit: the quickest of some calls, the first one left out where it only warms up."""
    work()
    return max(min(processor_seconds(work) for _ in range(repeats)), 1e-9) / units


def regridding(rng: np.random.Generator, pixels: int = 1200) -> float:
    """Seconds to bring one MODIS tile of 1 km onto EASE-Grid 2.0 by area."""
    box = sinusoidal_tile(26, 5, pixels)
    target = ease_geobox()[ease_window((93.0, 30.5, 107.0, 39.5))]
    values = np.where(rng.random((pixels, pixels)) < 0.4, np.nan, 290 + rng.random((pixels, pixels))).astype(np.float32)
    field = on_geobox(values, box)
    return _per_unit(lambda: regrid(mosaic([field]), target, "average", 0.25), 1, repeats=1)


def overpasses(rng: np.random.Generator, cells: int) -> float:
    """Seconds to screen and merge the two overpasses of one granule in the window; opening the file is not in it."""
    from tssmnet.data.readers.smap import good_retrievals, merge_overpasses

    values = rng.uniform(0.02, 0.5, (2, cells)).astype(np.float32)
    flag = rng.choice(np.array([0, 1, 65534]), (2, cells))
    return _per_unit(
        lambda: merge_overpasses(good_retrievals(values[0], flag[0]), good_retrievals(values[1], flag[1])), 1
    )


def terrain(rng: np.random.Generator, pixels: int = 600) -> float:
    """Seconds for the slopes of one DEM tile of 3600 x 3600 pixels, measured on a smaller one."""
    from affine import Affine

    height = rng.normal(2000, 300, (pixels, pixels)).astype(np.float32)
    transform = Affine(1 / pixels, 0, 100, 0, -1 / pixels, 35)
    return _per_unit(lambda: slopes(height, transform), (pixels / 3600) ** 2)


def _series(rng: np.random.Generator, days: int, cells: int, missing: float) -> NDArray[np.float32]:
    values = 285 + 10 * rng.standard_normal((days, cells))
    return np.where(rng.random(values.shape) < missing, np.nan, values).astype(np.float32)


def weather(rng: np.random.Generator, days: int = 96, cells: int = 2000) -> float:
    """Seconds of one cell-day of land surface temperature; a chunk of 32 days reads 96."""
    lst = _series(rng, days, cells, 0.6)
    expected = np.full(lst.shape, 285.0)
    return _per_unit(lambda: processing.fill_around(lst, expected), cells * days / 3)


def vegetation(rng: np.random.Generator, composites: int = 14, days: int = 32, cells: int = 2000) -> float:
    """Seconds of one cell-day of a vegetation index; a chunk of 32 days reads 14 composites."""
    values = (_series(rng, composites, cells, 0.2) - 285) / 100

    def work() -> NDArray[Any]:
        smooth = processing.savitzky_golay(values, 7, 2)
        return processing.to_daily(smooth, 16 * np.arange(composites), 96 + np.arange(days))

    return _per_unit(work, cells * days)


def dryness(rng: np.random.Generator, days: int = 8, cells: int = 20_000) -> float:
    """Seconds of one cell-day of TVDI."""
    lst, ndvi = _series(rng, days, cells, 0.0), rng.uniform(0.1, 0.8, (days, cells)).astype(np.float32)
    labels = rng.integers(0, 30, cells)
    return _per_unit(lambda: processing.temperature_vegetation_dryness(lst, ndvi, labels), cells * days, repeats=1)


def training(model: str, samples: int = 20_000, columns: int = 64, epochs: int = 1, seed: int = 0) -> float:
    """Processor seconds of one sample in one epoch of a network, measured on made-up samples."""
    from tssmnet.models import make_model

    rng = np.random.default_rng(seed)
    X = rng.standard_normal((samples, columns)).astype(np.float32)
    y = rng.uniform(0.05, 0.4, samples).astype(np.float32)
    network = make_model(model, seed=seed, device="cpu", epochs=epochs)
    network.fit(X[:1000], y[:1000])  # imports and first-call work stay out of the time
    return processor_seconds(lambda: network.fit(X, y)) / (samples * epochs)


def stored(described: Mapping[str, Any] | None, filled: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Processor hours of the stages that stored benchmarks timed, of the descriptors and of filling, where they are."""
    rows: list[dict[str, Any]] = []
    for run in described["china"] if described else ():
        rows.append(_timed(f"31 descriptors of {run['pixels']:,} pixels, {run['days']} days", run))
    for run in (*filled["china"], *filled.get("seven_years", ())) if filled else ():
        rows.append(_timed(f"{run['pixels']:,} pixels, {run['days']} days filled, the fit among it", run))
    if filled:
        # the difference of two maps leaves the fit out, part of which ran in processes whose time is not counted
        small, large = filled["filler"]["runs"]
        seconds = large["processor_seconds"] - small["processor_seconds"]
        pixel_days = large["pixels"] * large["days"] - small["pixels"] * small["days"]
        stage, where = "a year of China filled by the filler, after its fit", "projected from two stored runs"
        rows.append({"stage": stage, "processor hours": seconds / pixel_days * LAND * 365 / 3600, "where": where})
    return rows


def _timed(stage: str, run: Mapping[str, Any]) -> dict[str, Any]:
    return {"stage": stage, "processor hours": run["processor_seconds"] / 3600, "where": "stored run"}


def disk(settings: Settings, variables: int = 11) -> int:
    """Bytes that records and cube take at most, unpacked: `variables` daily fields of the window."""
    days = int((np.datetime64(settings.last) - np.datetime64(settings.first)).astype(int)) + 1
    rows, columns = ease_window(settings.bounds)
    return 4 * variables * days * (rows.stop - rows.start) * (columns.stop - columns.start)
