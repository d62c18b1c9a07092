"""Speed of the 31 temporal descriptors beside tsfresh and TSFEL, in one process, on the same series.

    python benchmarks/descriptors.py            about 5 minutes; writes results/benchmark-descriptors.json
    python benchmarks/descriptors.py --quick    half a minute, smaller everything, prints only

Reports medians of five runs: series per second and the ratio to each peer; the floor that memory bandwidth sets;
scaling over days, pixels and threads; time and peak memory of all of China at 9 km, seven years, streamed from zarr
in a process of its own. All series are synthetic.
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
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import peak_memory_gb, write
from numpy.typing import NDArray

from tssmnet.features.descriptors import describe_series, temporal_descriptors

Series = NDArray[np.float64]
RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmark-descriptors.json"
REPEATS = 5
CHINA = (118_000, 2557)  # pixels at 9 km, days of 2016 to 2022
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

TSFRESH: dict[str, Any] = {
    "mean": None,
    "median": None,
    "standard_deviation": None,
    "variance": None,
    "variation_coefficient": None,
    "root_mean_square": None,
    "minimum": None,
    "maximum": None,
    "skewness": None,
    "kurtosis": None,
    "quantile": [{"q": 0.25}],
    "sample_entropy": None,
    "mean_change": None,
    "mean_abs_change": None,
    "autocorrelation": [{"lag": 1}],
    "mean_second_derivative_central": None,
    "abs_energy": None,
    "sum_values": None,
    "absolute_sum_of_changes": None,
    "count_above_mean": None,
    "count_below_mean": None,
}
TSFEL = [
    *("calc_mean", "calc_median", "calc_std", "calc_var", "rms", "mean_abs_deviation", "median_abs_deviation"),
    *("interq_range", "calc_min", "calc_max", "skewness", "kurtosis", "mean_diff", "median_diff", "mean_abs_diff"),
    *("median_abs_diff", "abs_energy", "sum_abs_diff"),
]


def synthetic(pixels: int, days: int, observed: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    """Soil moisture like series (pixel, day), m3 m-3: wetting jumps that dry out, with gaps of an orbit."""
    rng = np.random.default_rng(seed)
    rain = rng.exponential(0.06, (pixels, days)).astype("f4") * (rng.random((pixels, days), np.float32) < 0.15)
    from scipy.signal import lfilter

    wet = lfilter([1], [1, -0.88], rain, axis=1).astype("f4")
    values = np.clip(0.08 + 0.6 * wet + 0.015 * rng.standard_normal((pixels, days), np.float32), 0.02, 0.6)
    values[rng.random((pixels, days), np.float32) > observed] = np.nan
    return values.astype("f4")


def median_seconds(work: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, float]:
    """Medians over `repeats` calls of the wall time and of the processor time of this process and its threads."""
    pairs = [_seconds(work) for _ in range(repeats)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def _seconds(work: Callable[[], Any]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


# -- peers -----------------------------------------------------------------------------------------------------------


def tsfresh_functions(series: Series) -> None:
    """tsfresh's calculators called one by one, the fastest way to use it."""
    import tsfresh.feature_extraction.feature_calculators as calculators

    for x in series:
        for name, parameters in TSFRESH.items():
            for keywords in parameters or [{}]:
                function = getattr(calculators, name)
                function(x, **keywords)


def tsfresh_extract(series: Series, jobs: int = 0) -> None:
    """tsfresh the way its documentation uses it: a long data frame through `extract_features`."""
    import pandas as pd
    from tsfresh import extract_features

    n, days = series.shape
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(n), days), "t": np.tile(np.arange(days), n), "x": series.ravel()}, copy=False
    )
    extract_features(
        frame,
        column_id="id",
        column_sort="t",
        default_fc_parameters=TSFRESH,
        n_jobs=jobs,
        disable_progressbar=True,
    )


def tsfel_functions(series: Series) -> None:
    """TSFEL's functions called one by one."""
    import tsfel

    functions = [getattr(tsfel, name) for name in TSFEL]
    for x in series:
        for function in functions:
            function(x)


def compare(quick: bool, days: int = 365) -> list[dict[str, Any]]:
    """Throughput on complete series of one year, peers and ours in this process, one after another."""
    many = synthetic(2_000 if quick else 20_000, days).astype("f8")
    few = many[: 20 if quick else 50]
    rows: list[dict[str, Any]] = []

    def add(name: str, functions: int, threads: int, series: Series, work: Callable[[], Any]) -> None:
        wall, processor = median_seconds(work, 3 if quick else REPEATS)
        row = {"name": name, "functions": functions, "workers": threads, "n": len(series)}
        inside = threads == 1 or name.startswith("tssmnet")  # the time of worker processes is not told
        rows.append(
            row
            | {"series_per_s": len(series) / wall, "processor_us": 1e6 * processor / len(series) if inside else None}
        )

    describe_series(many[:300])  # compiled or read from its cache outside the clock
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        add("tsfresh, functions called directly", len(TSFRESH), 1, few, lambda: tsfresh_functions(few))
        add("tsfresh, extract_features", len(TSFRESH), 1, few, lambda: tsfresh_extract(few))
        if not quick and CORES > 1:
            add("tsfresh, extract_features", len(TSFRESH), CORES, few, lambda: tsfresh_extract(few, CORES))
        add("TSFEL, functions called directly", len(TSFEL), 1, few, lambda: tsfel_functions(few))
    for threads in sorted({1, CORES}):
        add("tssmnet", 31, threads, many, lambda t=threads: describe_series(many, threads=t))  # type: ignore[misc]
    bare = lambda: describe_series(many, entropy=False, threads=CORES)  # noqa: E731
    add("tssmnet without sample entropy", 30, CORES, many, bare)
    ours = next(r for r in rows if r["name"] == "tssmnet" and r["workers"] == CORES)
    for row in rows:
        row["tssmnet_is_faster_by"] = ours["series_per_s"] / row["series_per_s"]
        row["and_per_core_by"] = row["processor_us"] / ours["processor_us"] if row["processor_us"] else None
    return rows


# -- floor -----------------------------------------------------------------------------------------------------------


def floor(days: int, us_per_series: float) -> dict[str, float]:
    """What the machine would allow: reading the values once at memory bandwidth, and comparing all pairs at its peak.

    Both rates are measured here on one core, in processor time: bandwidth by copying 256 MB, comparisons by a
    vectorised ``<=`` on values that stay in cache. All pairs, n (n - 1) / 2 a series, is what sample entropy costs
    without its bit sets.
    """
    source = np.ones(32 * 2**20)
    target = np.empty_like(source)
    copy = median_seconds(lambda: np.copyto(target, source))[1]
    small, out = np.random.default_rng(0).random(2048), np.empty(2048, bool)

    def compare_often() -> None:
        for _ in range(2000):
            np.less_equal(small, 0.5, out=out)

    compared = 2000 * 2048 / median_seconds(compare_often)[1]
    bandwidth = 2 * source.nbytes / copy
    return {
        "bandwidth_gb_per_s_per_core": bandwidth / 1e9,
        "comparisons_g_per_s_per_core": compared / 1e9,
        "us_per_series_per_core": us_per_series,
        "us_to_read_a_series": 8e6 * days / bandwidth,
        "us_to_compare_all_pairs_once": 1e6 * days * (days - 1) / 2 / compared,
    }


# -- scaling ---------------------------------------------------------------------------------------------------------


def scaling(quick: bool) -> dict[str, list[dict[str, float]]]:
    """Seconds over days, pixels and threads, at 40 % coverage, each from series in memory."""
    base = (1_000, 731) if quick else (4_000, 731)
    lengths = (365, 731, 1461) if quick else (365, 731, 1461, 2557, 5114)
    counts = (500, 1_000, 2_000) if quick else (1_000, 4_000, 16_000)

    def timed(pixels: int, days: int, threads: int) -> dict[str, float]:
        values = synthetic(pixels, days, 0.4)
        seconds, processor = median_seconds(lambda: describe_series(values, threads=threads), 3)
        return {
            "pixels": pixels,
            "days": days,
            "threads": threads,
            "seconds": seconds,
            "processor_us_per_series": 1e6 * processor / pixels,
        }

    return {
        "days": [timed(base[0], days, CORES) for days in lengths],
        "pixels": [timed(pixels, base[1], CORES) for pixels in counts],
        "threads": [timed(*base, threads) for threads in sorted({1, 2, CORES // 2 or 1, CORES})],
    }


# -- all of China ----------------------------------------------------------------------------------------------------


def write_china(path: Path, pixels: int, days: int, step: int = 4096) -> None:
    """A synthetic record (time, pixel) with 40 % coverage as zarr, a year by `step` pixels a chunk, block by block."""
    import zarr

    group = zarr.open_group(path, mode="w")
    store = group.create_array(
        "ssm",
        shape=(days, pixels),
        chunks=(365, step),
        dtype="f4",
        fill_value=np.nan,
        dimension_names=("time", "pixel"),
    )
    for first in range(0, pixels, step):
        n = min(step, pixels - first)
        store[:, first : first + n] = synthetic(n, days, 0.4, seed=first).T


def stream(path: str) -> dict[str, float]:
    """Descriptors of a zarr record in this process: seconds and peak memory, imports and compilation apart."""
    import dask
    import xarray as xr

    describe_series(np.ones((1, 8)))
    before = peak_memory_gb()
    ssm = xr.open_zarr(path, consolidated=False)["ssm"]
    made: list[xr.Dataset] = []
    with dask.config.set(scheduler="threads", num_workers=CORES):
        seconds, processor = _seconds(lambda: made.append(temporal_descriptors(ssm).compute()))
    return {
        "pixels": ssm.sizes["pixel"],
        "days": ssm.sizes["time"],
        "values_per_series": float(ssm[:, :2000].count("time").mean()),
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_memory_gb": peak_memory_gb(),
        "memory_before_gb": before,
        "undefined_entropies": int(made[0].SampEn.isnull().sum()),
    }


def china(quick: bool) -> list[dict[str, float]]:
    """`stream` in a fresh process, at one seventh and at the full length, so that memory against days shows."""
    pixels, days = (8_192, 731) if quick else CHINA
    rows = []
    for length in (days // 7, days):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "china.zarr"
            write_china(path, pixels, length)
            command = [sys.executable, __file__, "--stream", str(path)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return rows


# -- report ----------------------------------------------------------------------------------------------------------


def report(result: dict[str, Any]) -> str:
    """The tables as text."""
    row = "{pixels:,} pixels x {days} days from zarr: {seconds:.1f} s ({processor_seconds:.1f} s of processor time)"
    row += ", {peak_memory_gb:.2f} GB at most"
    head = ("", "functions", "workers", "series/s", "processor us", "faster by", "per core by")
    lines = ["{:<38}{:>10}{:>8}{:>10}{:>14}{:>11}{:>13}".format(*head)]
    for r in result["peers"]:
        per_core = [f"{r['processor_us']:,.0f}", f"{r['and_per_core_by']:,.1f}x"] if r["processor_us"] else ["", ""]
        cells = (r["name"], r["functions"], r["workers"], f"{r['series_per_s']:,.0f}", per_core[0])
        lines.append(
            "{:<38}{:>10}{:>8}{:>10}{:>14}{:>11}{:>13}".format(
                *cells, f"{r['tssmnet_is_faster_by']:,.1f}x", per_core[1]
            )
        )
    lines += ["", *(f"{k:<38}{v:>12.3f}" for k, v in result["floor"].items()), ""]
    for axis, rows in result["scaling"].items():
        lines += [
            f"over {axis}: "
            + ", ".join(f"{r[axis]}: {r['seconds']:.2f} s, {r['processor_us_per_series']:.0f} us each" for r in rows)
        ]
    lines += [row.format(**r) for r in result["china"]]
    return "\n".join(lines)


WHAT = "Speed and memory of the 31 temporal descriptors on synthetic series, beside tsfresh and TSFEL."
PACKAGES = ("numpy", "numba", "xarray", "dask", "zarr", "tsfresh", "tsfel")


def _cpu() -> str:
    """The processor's own name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes; prints and writes nothing unless --out is given"
    )
    parser.add_argument("--out", type=Path, help=f"result file (default: results/{RESULT.name})")
    parser.add_argument("--stream", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stream:
        print(json.dumps(stream(given.stream)))
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    peers = compare(given.quick)
    alone = next(r["processor_us"] for r in peers if r["name"] == "tssmnet" and r["workers"] == 1)
    result = {
        "load_at_start": load,
        "peers": peers,
        "floor": floor(365, alone),
        "scaling": scaling(given.quick),
        "china": china(given.quick),
    }
    print(report(result))
    if given.out or not given.quick:
        about = {"command": "python benchmarks/descriptors.py", "cpu": _cpu(), "cores": CORES}
        write(result, given.out or RESULT, WHAT, ["tssmnet.features.descriptors"], PACKAGES, **about)


if __name__ == "__main__":
    main()
