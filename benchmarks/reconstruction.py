"""Speed and memory of filling a cube of China's size with TsSMNet, streamed from zarr to zarr.

    python benchmarks/reconstruction.py                   40 minutes; writes results/benchmark-reconstruction.json
    python benchmarks/reconstruction.py --only floor peer  renews these parts of it, if the library is the same
    python benchmarks/reconstruction.py --quick           small cubes, prints only

The cubes are synthetic: random but plausible forcing with the twin's number of predictors, and soil moisture that
follows from rain. Each is filled in a fresh process, so that its peak memory is its own: one year of 118,000 pixels,
and fewer pixels over 120 to 2,557 days for the slope of memory against days; over pixels; over the workers of a dask
cluster, one thread each (the other fillings are done in one process, whose threads are as many as the cores).
China is filled with the default settings; for the others the fit is short, and its time is told apart in all. The
default model of ``tssmnet reconstruct``, the filler, fills fewer pixels, from which its time for China is projected.

Beside it, in one process: the loop that most people write, pandas features and predictions pixel by pixel, on the same
pixels as ours; and the floors, bytes over the memory bandwidth and operations over the arithmetic peak, both measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from common import peak_memory_gb, write
from numpy.typing import NDArray

from tssmnet.provenance import library_hashes

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmark-reconstruction.json"
CHINA = (118_000, 365)  # pixels at 9 km, days of a year
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SHORT = {"rows": 100_000, "epochs": 2, "patience": 0}
"""A short fit, for all but China: there it is that of the defaults."""
SHORT_FILLER = {"rows": 40_000}
"""The filler's models are those of the defaults, but learned on fewer observations."""
REPEATS = 5
KEEP_MEMORY = {
    f"distributed.nanny.pre-spawn-environ.MALLOC_{name}_THRESHOLD_": size
    for name, size in (("TRIM", 2**28), ("MMAP", 2**25))
}
"""dask's default has each freed array given back to the system; asking for it again took half of the time."""

FORCING = {  # name: (unit, mean, spread of the season, of the day)
    "air_temperature": ("K", 285.0, 12.0, 2.0),
    "lst": ("K", 288.0, 14.0, 3.0),
    "ndvi": ("1", 0.4, 0.2, 0.02),
    "evi": ("1", 0.3, 0.15, 0.02),
    "tvdi": ("1", 0.5, 0.1, 0.1),
    "radiation": ("W m-2", 200.0, 80.0, 30.0),
    "albedo": ("1", 0.2, 0.05, 0.01),
}
CONSTANTS = ("elevation", "slope", "clay", "sand", "bulk_density", "organic_carbon")


# -- the cubes -------------------------------------------------------------------------------------------------------


def write_cube(path: Path, pixels: int, days: int, step: int = 4096, seed: int = 0) -> None:
    """A synthetic cube as zarr, a block of `step` pixels after another, all days of a block at once.

    The pixels are those of a map twice as wide as high, row by row, 0.09 degrees apart.
    """
    import pandas as pd
    import zarr

    rng = np.random.default_rng(seed)
    time_axis = pd.date_range("2016-01-01", periods=days)
    constants = {n: ("pixel", rng.random(pixels, np.float32), {"units": "1", "long_name": n}) for n in CONSTANTS}
    classes = {"flag_values": np.arange(1, 7, dtype="i1"), "flag_meanings": "forest shrub grass crop bare city"}
    constants["landcover"] = ("pixel", rng.integers(1, 7, pixels).astype("i1"), classes | {"long_name": "land cover"})
    row, column = np.divmod(np.arange(pixels), max(1, int(np.sqrt(2 * pixels))))
    coords = {"time": time_axis, "lat": ("pixel", 52 - 0.09 * row), "lon": ("pixel", 75 + 0.09 * column)}
    about = {"title": "Random but plausible forcing, for timing only", "synthetic": "true"}
    xr.Dataset(constants, coords, about).to_zarr(path, mode="w", consolidated=False, zarr_format=3)
    group = zarr.open_group(path, mode="a")
    units = {"ssm": "m3 m-3", "precipitation": "mm d-1"} | {n: v[0] for n, v in FORCING.items()}
    for name, unit in units.items():
        group.create_array(
            name,
            shape=(days, pixels),
            chunks=(min(days, 365), step),
            dtype="f4",
            fill_value=np.nan,
            dimension_names=("time", "pixel"),
            attributes={"units": unit, "long_name": name, "_FillValue": "AAAAAAAA+H8="},
        )
    for first in range(0, pixels, step):
        values = block(min(step, pixels - first), days, seed + first)
        for name, array in values.items():
            target: Any = group[name]
            target[:, first : first + array.shape[1]] = array


def block(pixels: int, days: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Values (day, pixel) of a block: rain, seasons with noise, soil that rain wets, observed on 40 % of the days."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    shape = (days, pixels)
    season = np.sin(2 * np.pi * (np.arange(days) - 110) / 365.25).astype("f4")[:, None]

    def noise() -> NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32)

    rain = rng.exponential(8, shape).astype("f4") * (rng.random(shape, np.float32) < 0.2)
    out = {n: mean + spread * season + day * noise() for n, (_, mean, spread, day) in FORCING.items()}
    wet = lfilter([1], [1, -0.9], rain, axis=0).astype("f4")
    ssm = np.clip(0.1 + 0.003 * wet + 0.015 * noise(), 0.02, 0.6)
    ssm[rng.random(shape, np.float32) > 0.4] = np.nan
    return {"ssm": ssm, "precipitation": rain, **{n: v.astype("f4") for n, v in out.items()}}


# -- one filling, in a process of its own ----------------------------------------------------------------------------


def fill_once(path: str, out: str, workers: int, model: str, options: dict[str, Any]) -> dict[str, Any]:
    """Fill the cube at `path` here, or on as many `workers` of a dask cluster: seconds, rows, memory of the largest."""
    import importlib

    from tssmnet.reconstruction import files

    before = peak_memory_gb()
    marks: dict[str, float] = {}
    for name in ("_prepare", "_run", "_place"):
        _clock(files, name, marks)
    start, spent = time.perf_counter(), time.process_time()
    if workers:
        import dask
        from distributed import Client, LocalCluster

        dask.config.set(KEEP_MEMORY)
        with LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            client.run(importlib.import_module, "torch")  # starting a worker is not part of its speed
            files.reconstruct_file(path, out, model, progress=False, **options)
            peak = max(peak_memory_gb(), *client.run(peak_memory_gb).values())
    else:
        files.reconstruct_file(path, out, model, progress=False, **options)
        peak = peak_memory_gb()
    cube = xr.open_zarr(path, consolidated=False)
    rows = cube["ssm"].size
    return {
        "pixels": cube.sizes["pixel"],
        "days": cube.sizes["time"],
        "workers": workers or 1,
        "model": model,
        "fit": options or "defaults",
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - spent,
        "seconds_to_prepare_and_fit": marks["_prepare"],
        "seconds_to_fill": marks["_run"],
        "rows_per_s": rows / marks["_run"],
        "peak_memory_gb": peak,
        "memory_before_gb": before,
        "output_gb": sum(p.stat().st_size for p in Path(out).rglob("*") if p.is_file()) / 1e9,
    }


def _clock(module: Any, name: str, marks: dict[str, float]) -> None:
    """Let a function of a module leave the seconds it took in `marks`."""
    work = getattr(module, name)

    def timed(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = work(*arguments)
        marks[name] = time.perf_counter() - start
        return result

    setattr(module, name, timed)


def measured(
    pixels: int, days: int, workers: int = 0, options: dict[str, Any] = SHORT, model: str = "tssmnet"
) -> dict[str, Any]:
    """`fill_once` of a new cube in a fresh process; the cube is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "cube.zarr", Path(folder) / "out.zarr"
        write_cube(path, pixels, days, step=min(4096, max(256, pixels // 8)))
        size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) / 1e9
        command = [sys.executable, __file__, "--fill", str(path), str(out), str(workers), model, json.dumps(options)]
        measured = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
    return {**measured, "input_gb": size}


# -- the peer --------------------------------------------------------------------------------------------------------


def peer(quick: bool) -> dict[str, Any]:
    """The pandas loop and ours on the same pixels of a year, with one fitted network, in this process."""
    from tssmnet.reconstruction.by_samples import SampleModel
    from tssmnet.reconstruction.files import to_pixels
    from tssmnet.reconstruction.fitted import choose

    pixels = 60 if quick else 300
    with tempfile.TemporaryDirectory() as folder:
        write_cube(Path(folder) / "cube.zarr", pixels, 365, step=pixels)
        cube = xr.open_zarr(Path(folder) / "cube.zarr", consolidated=False).load()
    recipe = choose("tssmnet", "lag+desc", {"epochs": 2, "patience": 0}, 0, "cpu")
    ready = to_pixels(cube)
    fitted, observed = SampleModel.learn(ready, recipe), np.isfinite(ready["ssm"].values)
    few = ready.isel(pixel=slice(0, 6 if quick else 20))
    found: list[Any] = []

    def ours() -> None:
        found[:] = [fitted.fill(ready, known=observed)]  # its features are built anew

    ours_seconds = _median(ours, 3 if quick else REPEATS)
    made: list[Any] = []

    def theirs() -> None:
        made[:] = [pandas_loop(few, fitted.own)]

    theirs_seconds = _median(theirs, 3 if quick else REPEATS)
    rows, few_rows = ready["ssm"].size, few["ssm"].size
    difference = np.abs(made[0] - found[0]["ssm_model"].values[:, : few.sizes["pixel"]]).max()
    return {
        "rows_per_s": rows / ours_seconds,
        "pandas_rows_per_s": few_rows / theirs_seconds,
        "ratio": (rows / ours_seconds) / (few_rows / theirs_seconds),
        "largest_difference": float(difference),
        "features": len(fitted.own.names_),
    }


def pandas_loop(pixels: xr.Dataset, model: Any) -> NDArray[np.float32]:
    """The same features by pandas, pixel by pixel, and the same network asked for each pixel; shape (time, pixel).

    Descriptors come from this library: with a peer's the loop would take its seconds a pixel on top (see the benchmark
    of the descriptors).
    """
    import pandas as pd

    from tssmnet.features.build import RAIN_DECAYS, RAIN_LAGS, RAIN_SUMS, STATE_MEANS
    from tssmnet.features.descriptors import NAMES, describe_series

    columns = []
    for i in range(pixels.sizes["pixel"]):
        frame = pixels.isel(pixel=i).to_dataframe()
        made = {}
        for name in ("precipitation", *FORCING):
            series = frame[name].astype("f8")
            made[name] = series
            if name != "precipitation":
                made |= {f"{name}_mean_{w}d": series.rolling(w, min_periods=1).mean() for w in STATE_MEANS}
                continue
            made |= {f"{name}_sum_{w}d": series.rolling(w, min_periods=1).sum() for w in RAIN_SUMS}
            for decay in RAIN_DECAYS:
                state, index = 0.0, []
                for rain in series:
                    state = rain + decay * state
                    index.append(state)
                made[f"{name}_api_{decay:g}"] = pd.Series(index, frame.index)
            made |= {f"{name}_lag_{k}d": series.shift(k) for k in RAIN_LAGS}
            wet = series >= 1.0
            made[f"{name}_dry_days"] = (~wet).groupby(wet.cumsum()).cumsum().clip(upper=60).astype("f8")
        angle = 2 * np.pi * frame.index.day_of_year / 365.25
        made["season_sin"], made["season_cos"] = (
            pd.Series(np.sin(angle), frame.index),
            pd.Series(np.cos(angle), frame.index),
        )
        made |= {n: frame[n] for n in (*CONSTANTS, "lat", "lon")}
        labels = str(pixels["landcover"].attrs["flag_meanings"]).split()
        made |= {f"landcover={n}": (frame["landcover"] == v).astype("f8") for v, n in enumerate(labels, 1)}
        described = describe_series(frame["ssm"].to_numpy())
        made |= {n: pd.Series(described[j], frame.index) for j, n in enumerate(NAMES)}
        table = pd.DataFrame(made)[model.names_]
        columns.append(np.clip(model.predict(table), 0, 1))
    return np.stack(columns, axis=1)


def _median(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


# -- floors and where the time goes ----------------------------------------------------------------------------------


def operations_per_row(net: Any, features: int) -> float:
    """Multiplications and additions of one prediction, in the products of its layers."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(64, features))
    return counter.get_total_flops() / 64


def floors(quick: bool) -> dict[str, float]:
    """What one core would allow, and how long the parts of a prediction take, in microseconds a row."""
    import torch

    from tssmnet.features.build import build_features
    from tssmnet.models import make_model
    from tssmnet.models.folded import predictor

    torch.set_num_threads(1)
    pixels = 200 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        write_cube(Path(folder) / "cube.zarr", pixels, 365, step=pixels)
        cube = xr.open_zarr(Path(folder) / "cube.zarr", consolidated=False).load()
    observed = np.isfinite(cube["ssm"].values)
    rows = observed.size
    repeats = 3 if quick else REPEATS
    features = build_features(cube, observed, memory=True, descriptors="full")
    everything = features.where(np.ones_like(observed))
    model = make_model("tssmnet", device="cpu", epochs=1, patience=0)
    few = np.flatnonzero(observed.ravel())[:20_000]
    model.fit(everything.take(few), cube["ssm"].values.ravel()[few])
    quickly = predictor(model)
    build = _median(lambda: build_features(cube, observed, memory=True, descriptors="full"), repeats)
    predict = _median(lambda: quickly(everything), repeats)
    unfolded = _median(lambda: model.predict(everything), repeats)
    source = np.ones(32 * 2**20)
    target = np.empty_like(source)
    bandwidth = 2 * source.nbytes / _median(lambda: np.copyto(target, source), repeats)
    a = torch.randn(2048, 2048)
    peak = 2 * 2048**3 / _median(lambda: a @ a, repeats)
    operations = operations_per_row(model.net_, len(features.names))
    touched = 4 * (2 * len(features.names) + 2 * (1 + len(FORCING)) + 3)  # features written and read, input, output
    return {
        "bandwidth_gb_per_s_per_core": bandwidth / 1e9,
        "float32_gflops_per_core": peak / 1e9,
        "operations_per_row": operations,
        "bytes_per_row": touched,
        "features": len(features.names),
        "us_features_per_row": 1e6 * build / rows,
        "us_predict_per_row": 1e6 * predict / rows,
        "us_plain_predict_per_row": 1e6 * unfolded / rows,
        "us_floor_bytes": 1e6 * touched / bandwidth,
        "us_floor_operations": 1e6 * operations / peak,
        "share_of_arithmetic_peak": operations / peak / (predict / rows),
    }


# -- report ----------------------------------------------------------------------------------------------------------


def china(quick: bool) -> list[dict[str, Any]]:
    """A year of China with the default settings."""
    return [measured(500, 120)] if quick else [measured(*CHINA, options={})]


def seven_years(quick: bool) -> list[dict[str, Any]]:
    """All of China over the whole record."""
    return [measured(500, 365)] if quick else [measured(CHINA[0], 2557, options={})]


def days(quick: bool) -> list[dict[str, Any]]:
    """Fillings of ever longer records."""
    return [measured(300 if quick else 8_000, n) for n in ((120, 365) if quick else (120, 365, 730, 1460, 2557))]


def pixels(quick: bool) -> list[dict[str, Any]]:
    """Fillings of ever larger maps."""
    return [measured(n, 365) for n in ((300,) if quick else (2_000, 8_000, 32_000))]


def workers(quick: bool) -> list[dict[str, Any]]:
    """Fillings on dask clusters; blocks are small, so that there are several for each worker."""
    size, options = (300, SHORT) if quick else (16_000, SHORT | {"block_bytes": 2**24})
    return [measured(size, 365, n, options) for n in sorted({1, CORES})]


def filler(quick: bool) -> dict[str, Any]:
    """The default model on some pixels, and what that comes to for a year of China: a projection."""
    runs = [measured(n, 365, 0, SHORT_FILLER, "filler") for n in ((1_600,) if quick else (2_000, 8_000))]
    hours = CHINA[0] * CHINA[1] / runs[-1]["rows_per_s"] / 3600
    return {"runs": runs, "projected_hours_to_fill_a_year_of_china": hours}


def report(result: dict[str, Any]) -> str:
    """The tables as text."""
    line = "{model}: {pixels:>9,} pixels x {days:>4} days, {workers} workers: {seconds:7.1f} s ("
    line += "{seconds_to_prepare_and_fit:.1f} to prepare and fit), {rows_per_s:>9,.0f} rows/s, "
    line += "{peak_memory_gb:.2f} GB at most"
    rows = [
        *result["china"],
        *result.get("seven_years", ()),
        *(r for axis in result["scaling"].values() for r in axis),
        *result["filler"]["runs"],
    ]
    peer = result["peer"]
    lines = [line.format(**r) for r in rows]
    lines.append(
        f"one core: {peer['rows_per_s']:,.0f} rows/s, pandas and predict {peer['pandas_rows_per_s']:,.0f} rows/s: "
        f"{peer['ratio']:.1f} times; largest difference {peer['largest_difference']:.1e} m3 m-3"
    )
    hours = result["filler"]["projected_hours_to_fill_a_year_of_china"]
    lines.append(f"filler, a year of China, projected: {hours:.1f} h after the fit")
    lines += [f"{k:<32}{v:>14.3f}" for k, v in result["floor"].items()]
    lines.append(f"memory against days: {result['memory_gb_per_year']:+.3f} GB a year")
    return "\n".join(lines)


def memory_slope(rows: list[dict[str, Any]]) -> float:
    """GB more of peak memory for each year of record, by least squares."""
    days, peak = ([r[k] for r in rows] for k in ("days", "peak_memory_gb"))
    return float(np.polyfit(np.array(days) / 365.25, peak, 1)[0])


WHAT = "Speed and memory of filling synthetic cubes of China's size with TsSMNet, beside a pandas-and-predict loop."
MODULES = ["tssmnet.reconstruction.files"]
PACKAGES = ("numpy", "torch", "xarray", "dask", "zarr", "pandas")


AXES = {"days": days, "pixels": pixels, "workers": workers}
MEASUREMENTS = {"china": china, **AXES, "filler": filler, "floor": floors, "peer": peer}
ON_DEMAND = {"seven_years": seven_years}
"""An hour more, so only when asked for."""


def stored(path: Path) -> dict[str, Any]:
    """The result file without its stamp, if the library that wrote it is the one at hand."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if result.pop("stamp")["library"] != library_hashes(MODULES):
        sys.exit(f"{path} was written by another state of the library: its parts would not belong together; run all")
    return result


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small; prints, and writes nothing unless --out is given")
    parser.add_argument("--out", type=Path, help=f"result file (default: results/{RESULT.name})")
    parser.add_argument("--fill", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument(
        "--only", nargs="+", choices=[*MEASUREMENTS, *ON_DEMAND], help="renew these parts of the result file"
    )
    given = parser.parse_args()
    if given.fill:
        path, out, count, model, options = given.fill
        print(json.dumps(fill_once(path, out, int(count), model, json.loads(options))))
        return
    out, writes = given.out or RESULT, bool(given.out or not given.quick)
    result = stored(out) if given.only else {"scaling": {}, "measured": {}}
    for name in given.only or MEASUREMENTS:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        made = (MEASUREMENTS | ON_DEMAND)[name](given.quick)
        (result["scaling"] if name in AXES else result)[name] = made
        result["measured"][name] = {"load_at_start": load, "until": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}
    result["memory_gb_per_year"] = memory_slope(result["scaling"]["days"])
    print(report(result))
    if writes:
        about = {"command": "python benchmarks/reconstruction.py", "cores": CORES}
        write(result, out, WHAT, MODULES, PACKAGES, **about)


if __name__ == "__main__":
    main()
