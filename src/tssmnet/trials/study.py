"""The full-size comparison behind ``results/``: models x feature sets x kinds of gaps x seeds on real SMAP.

Each run hides observations, learns from the others, and is scored on the hidden ones. A finished run is one small JSON
file, keyed by all that decides it (the code it depends on included), so an interrupted evaluation goes on where it was.
The merged file carries a stamp: commit, device, date, hashes of library and data.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import groupby, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cache import store_folder
from tssmnet.cube import to_pixels
from tssmnet.cube.earth import SEASONS
from tssmnet.disk import write_atomically
from tssmnet.errors import TssmnetError, require_known, require_whole
from tssmnet.features.build import FEATURE_SETS, build_features
from tssmnet.features.samples import Features
from tssmnet.filler.attention import LEVELS
from tssmnet.filler.evidence import distance_to_observation
from tssmnet.filler.fill import ENDS
from tssmnet.gaps import GAP_KINDS, HOLES, simulate_gaps, simulate_holes
from tssmnet.provenance import ROOT, content_hash, library_hashes, stamp
from tssmnet.reconstruction.fitted import RECONSTRUCTORS, choose, kind_of, learn
from tssmnet.trials.trial import fit_around, scores_on

STUDY_PARTS = {
    "paper": "the paper's models and the baselines, on the paper's features and with memory",
    "filler": "the project's own filler beside the strongest others and a straight line, on the same masks",
}
"""What an evaluation consists of; each part has a result file of its own."""

RESULTS = {"paper": ROOT / "results" / "conus-evaluation.json", "filler": ROOT / "results" / "conus-filler.json"}

SPLIT = "2016-04-01"
"""First day of the second year of the real record: ``ahead`` trains before it and scores from it on."""

SCORES = ("rmse", "ubrmse", "r", "r2", "r2_within", "bias", "n")
"""What each run is scored by; `SCORES_NOTE` says over what."""

GAPS = GAP_KINDS | {"few": "whole pixels but ten days"} | HOLES
"""Kinds of gaps here: the four, hidden pixels of which `OWN_DAYS` observations are left, and holes as wide as real."""

NEW_PIXELS = ("pixels", "regions")
"""Kinds that hide all of a pixel, which then has no descriptors."""

OWN_DAYS = 10

DISTANCES = {"1": 1.5, "2 to 3": 3.5, "4 to 7": 7.5, "8 to 15": 15.5, "more than 15": 1e6, "none": np.inf}
"""Classes of the distance to the pixel's nearest remaining observation, and their upper ends, days."""

QUANTILES = np.array([*LEVELS[:2], 0.5, *LEVELS[2:]])
"""Levels that the CRPS is taken over; the filled value stands for the median."""

SCORES_NOTE = (
    "m3 m-3. RMSE, bias and R2 are pooled over the hidden pixel-days; ubRMSE: each pixel's own means over its hidden "
    "days removed, then the mean over pixels with 5 such days or more; r: median over them; r2_within: against each "
    "pixel's own mean. Baselines that know nothing of a day (linear and DCT-PLS ahead, all three on hidden pixels) "
    "fall back on means."
)

PROTOCOL = 3
"""Raised whenever `do_run` or `scores_of` changes what comes out; part of the key of each run."""

ALL = tuple(GAP_KINDS)
SEEDS = (0, 1, 2)
PIXEL_SEEDS = (0, 1, 2, 3, 4)  # hidden pixels differ most from mask to mask
OWN = "own"

# (models, feature set, kinds of gaps): the paper's set, the set with memory, and the sets others have figures for.
PLAN: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (("climatology", "linear", "dctpls"), "base", ALL),
    (("smnet",), "base", ALL),
    (("tssmnet", "resautonet", "transformer", "rf", "xgboost"), "base+desc", ALL),
    (("tssmnet", "rf", "xgboost"), "lag+desc", ALL),
    (("resautonet",), "lag+desc", ("ahead",)),
    (("resautonet", "rf", "xgboost"), "base", ("ahead",)),
    (("xgboost",), "base", ("random", "blocks")),
    (("xgboost",), "lag", ("ahead", "random", "blocks")),
)

# What the filler is set beside: every run meets the filler's masks.
BESIDE: tuple[tuple[str, str], ...] = (
    ("climatology", "base"),
    ("linear", "base"),
    ("dctpls", "base"),
    ("xgboost", "lag+desc"),
    ("tssmnet", "lag+desc"),
    ("filler", OWN),
)


@dataclass(frozen=True)
class Run:
    """One fit and its score; `params` are the model's parameters that differ from its defaults."""

    model: str
    features: str
    gap: str
    mask_seed: int = 0
    model_seed: int = 0
    params: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """Readable, fit for a file name."""
        words = (self.gap, self.features, self.model, f"mask{self.mask_seed}", f"seed{self.model_seed}")
        return re.sub(r"[^\w.+-]", "_", "-".join(words))

    @property
    def round(self) -> tuple[str, int]:
        """Kind of gaps, and which of its rounds this belongs to: of masks, or of seeds where the mask stays."""
        return self.gap, max(self.mask_seed, self.model_seed)


PEERS_SOURCE = (
    "Independent implementations on the same 412 pixels and kinds of gaps, with masks of their own: one mask seed for "
    "random and blocks, nothing tuned on the scored days; differences under 0.0005 are noise. The published LSTMs are "
    "scored from their own prediction files."
)


def peers() -> pd.DataFrame:
    """Figures to compare with, on these data and kinds of gaps: RMSE and, where known, ubRMSE (m3 m-3), with source."""
    return pd.read_csv(ROOT / "results" / "peers.csv")


def paper_plan() -> list[Run]:
    """The runs of part ``paper``, those that share features next to each other."""
    return _in_order(
        Run(model, _without_descriptors(features) if gap == "pixels" else features, gap, *seeds)
        for models, features, gaps in PLAN
        for model in models
        for gap in gaps
        for seeds in _seeds(model, gap)
    )


def filler_plan() -> list[Run]:
    """The runs of part ``filler``: each model on the same masks of every kind, its seed that of the mask."""
    runs = []
    for gap in GAPS:
        for seed in PIXEL_SEEDS if gap == "pixels" else SEEDS:
            mask = 0 if gap == "ahead" else seed
            for model, features in BESIDE:
                if RECONSTRUCTORS[model].seeded or seed == mask:
                    own = _without_descriptors(features) if gap in NEW_PIXELS else features
                    runs.append(Run(model, own, gap, mask, seed if RECONSTRUCTORS[model].seeded else 0))
    return _in_order(runs)


def plan_of(part: str) -> list[Run]:
    """The runs of a part of the evaluation."""
    return {"paper": paper_plan, "filler": filler_plan}[require_known(part, STUDY_PARTS, "part of the evaluation")]()


def quick_plan() -> list[Run]:
    """A taste of it in minutes: every kind of gaps, few models, few rounds, one seed."""
    short = {"xgboost": (("rounds", 100),), "tssmnet": (("epochs", 3),)}
    sets = {"climatology": "base", "linear": "base", "xgboost": "lag", "tssmnet": "lag"}
    return _in_order(Run(m, f, gap, 0, 0, short.get(m, ())) for m, f in sets.items() for gap in ALL)


def _without_descriptors(features: str) -> str:
    """A hidden pixel has no descriptors, so no model of whole hidden pixels may have learned from any."""
    return features.replace("+desc", "").replace("+screened", "")


def _seeds(model: str, gap: str) -> list[tuple[int, int]]:
    """(mask seed, model seed) of a model's runs: networks train three times, cheap models meet three masks."""
    spec = RECONSTRUCTORS[model]
    masks = SEEDS if gap != "ahead" else (0,)
    if spec.kind == "network":
        return [(s if gap == "pixels" else 0, s) for s in SEEDS]
    if spec.kind == "trees" and gap != "pixels":  # the spread over masks is small there, the cost is not
        return [(0, 0)]
    return [(s, s if spec.seeded else 0) for s in masks]


def _in_order(runs: Iterable[Run]) -> list[Run]:
    order = {gap: i for i, gap in enumerate(GAPS)}
    return sorted(dict.fromkeys(runs), key=lambda r: (order[r.gap], r.mask_seed, r.features, r.model, r.model_seed))


@dataclass
class Bench:
    """A cube made ready for runs; keeps the features built last, since neighbouring runs share them."""

    cube: xr.Dataset
    device: str = "auto"
    split: str | None = SPLIT

    def __post_init__(self) -> None:
        self.pixels = to_pixels(self.cube).load()
        self.record: NDArray[np.floating[Any]] = self.pixels["ssm"].values
        self.observed = np.isfinite(self.record)
        self.sum = content_hash(self.pixels)
        self._features: tuple[Any, Features] | None = None

    def hidden(self, run: Run) -> NDArray[np.bool_]:
        """The observations that a run does not see, shape (time, pixel)."""
        first = None
        if self.split is not None:
            first = int(np.searchsorted(self.pixels["time"].values, np.datetime64(self.split)))
        if run.gap == "few":
            return spare(simulate_gaps(self.observed, "pixels", run.mask_seed), OWN_DAYS, run.mask_seed)
        if run.gap in HOLES:
            lat, lon = self.pixels["lat"].values, self.pixels["lon"].values
            return simulate_holes(self.observed, run.gap, lat, lon, run.mask_seed)
        return simulate_gaps(self.observed, run.gap, run.mask_seed, split=first)

    def features(self, run: Run, training: NDArray[np.bool_]) -> Features:
        """Features of a run, from its training observations only."""
        key = (run.features, run.gap, run.mask_seed)
        if self._features is None or self._features[0] != key:
            self._features = (key, build_features(self.pixels, training, **FEATURE_SETS[run.features]))
        return self._features[1]

    def key(self, run: Run) -> str:
        """Hash of all that decides a run's result: itself, the model's settings, the cube, the code it depends on."""
        about = {
            "protocol": PROTOCOL,
            "run": asdict(run),
            "settings": kind_of(run.model).parameters(run.model) | dict(run.params),
            "cube": self.sum,
            "split": self.split,
            "code": library_hashes(modules_of(run.model)),
        }
        return content_hash(json.loads(json.dumps(about, default=str)))[:12]


def spare(hidden: NDArray[np.bool_], days: int, seed: int) -> NDArray[np.bool_]:
    """Leave so many of each pixel's hidden observations, chosen at random, unhidden.

    Examples
    --------
    >>> spare(np.ones((6, 2), bool), 4, 0).sum(axis=0).tolist()
    [2, 2]
    """
    rng = np.random.default_rng([0x5BA6E, seed])
    rank = np.where(hidden, rng.random(hidden.shape), np.inf).argsort(0, kind="stable").argsort(0, kind="stable")
    return hidden & (rank >= days)


def modules_of(model: str) -> list[str]:
    """The library modules that a run of a model depends on."""
    return [f"tssmnet.{m}" for m in ("features", "gaps", "metrics")] + [RECONSTRUCTORS[model].where.partition(":")[0]]


@dataclass(frozen=True)
class Estimate:
    """What a model says of every hidden observation; (time, pixel), m3 m-3. Not all models give quantiles."""

    mean: NDArray[np.floating[Any]]
    quantiles: Mapping[str, NDArray[np.floating[Any]]] | None = None


def do_run(bench: Bench, run: Run) -> dict[str, Any]:
    """Fit, predict the hidden observations and score them; the result fits into JSON."""
    hidden = bench.hidden(run)
    started, cpu = time.perf_counter(), time.process_time()
    predict = _predict_whole if run.features == OWN else _predict_samples
    estimate = predict(bench, run, hidden)
    spent = {"seconds": round(time.perf_counter() - started, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}
    detail = {
        "strata": strata_of(bench, estimate, hidden),
        "intervals": None if estimate.quantiles is None else reliability(bench.record, estimate, hidden),
    }
    return asdict(run) | {"params": dict(run.params)} | scores_of(bench.record, estimate.mean, hidden) | detail | spent


def _predict_samples(bench: Bench, run: Run, hidden: NDArray[np.bool_]) -> Estimate:
    features = bench.features(run, bench.observed & ~hidden)
    options: dict[str, Any] = {"seed": run.model_seed, "device": bench.device, "params": dict(run.params)}
    return Estimate(fit_around(hidden, bench.record, features, run.model, **options).estimate())


def _predict_whole(bench: Bench, run: Run, hidden: NDArray[np.bool_]) -> Estimate:
    masked = bench.pixels["ssm"].where(~xr.DataArray(hidden, dims=("time", "pixel")))
    pixels = bench.pixels.assign(ssm=masked.assign_attrs(bench.pixels["ssm"].attrs))
    recipe = choose(run.model, None, dict(run.params), run.model_seed, bench.device)
    filled = learn(pixels, recipe).fill(pixels)
    return Estimate(filled["ssm_model"].values, {n: filled[n].values for n in ENDS})


def strata_of(bench: Bench, estimate: Estimate, hidden: NDArray[np.bool_]) -> dict[str, dict[str, list[float]]]:
    """Number, sum of squared errors and, with an interval, number inside, of the hidden observations.

    By the distance to the pixel's nearest remaining observation and by season; sums, so that runs can be pooled.
    """
    square = np.where(hidden, (estimate.mean - bench.record) ** 2, 0).astype(np.float64)
    inside = None if estimate.quantiles is None else _inside(bench.record, estimate)
    days = distance_to_observation(bench.observed & ~hidden)
    month = bench.pixels["time"].dt.month.values[:, None]
    distance = np.searchsorted(list(DISTANCES.values()), days)
    groups = {"days": {name: distance == i for i, name in enumerate(DISTANCES)}}
    groups["season"] = {name: np.isin(month, months) & hidden for name, months in SEASONS.items()}
    by_group: dict[str, dict[str, list[float]]] = {}
    for kind, members in groups.items():
        for name, where in members.items():
            where = where & hidden
            if where.any():
                sums = [int(where.sum()), round(float(square[where].sum()), 6)]
                by_group.setdefault(kind, {})[name] = sums + ([] if inside is None else [int(inside[where].sum())])
    return by_group


def _inside(record: NDArray[Any], estimate: Estimate) -> NDArray[np.bool_]:
    assert estimate.quantiles is not None
    return np.asarray((estimate.quantiles["ssm_lower"] <= record) & (record <= estimate.quantiles["ssm_upper"]))


def reliability(record: NDArray[Any], estimate: Estimate, hidden: NDArray[np.bool_]) -> dict[str, Any]:
    """How well the stated quantiles hold on hidden observations: `interval_scores`, and the best that is not earned.

    ``interval_score_constant`` is the score of the best interval of one width, which needs the truth to be known;
    ``levels`` the share of observations below each quantile.
    """
    from scoringrules import interval_score

    assert estimate.quantiles is not None
    truth, mean = record[hidden].astype(float), estimate.mean[hidden].astype(float)
    ends = {name: estimate.quantiles[name][hidden].astype(float) for name in ENDS}
    away = np.abs(truth - mean)
    constant = min(interval_score(away, -h, h, 0.1).mean() for h in np.quantile(away, np.linspace(0.5, 0.99, 50)))
    found = interval_scores(truth, mean, ends) | {"interval_score_constant": constant}
    levels = {str(q): round(float(np.mean(truth < ends[name])), 4) for name, q in zip(ENDS, LEVELS, strict=True)}
    return {name: round(float(v), 5) for name, v in found.items()} | {"levels": levels}


def interval_scores(
    truth: NDArray[np.floating[Any]], mean: NDArray[np.floating[Any]], ends: Mapping[str, NDArray[np.floating[Any]]]
) -> dict[str, float]:
    """Scores of the quantiles named in `tssmnet.filler.fill.ENDS` and of the value between them; arrays (n,), m3 m-3.

    Shares inside the 90 and the 50 % interval (``coverage``, ``coverage_50``), below and above the former, its mean
    ``width``; ``interval_score`` (Gneiting and Raftery 2007, doi:10.1198/016214506000001437) and ``crps``.
    """
    from scoringrules import crps_quantile, interval_score

    low, q25, q75, high = (ends[name] for name in ENDS)
    found = {
        "coverage": np.mean((low <= truth) & (truth <= high)),
        "coverage_50": np.mean((q25 <= truth) & (truth <= q75)),
        "below": np.mean(truth < low),
        "above": np.mean(truth > high),
        "width": np.mean(high - low),
        "interval_score": interval_score(truth, low, high, 0.1).mean(),
        "crps": crps_quantile(truth, np.stack([low, q25, mean, q75, high], -1), QUANTILES).mean(),
    }
    return {name: float(v) for name, v in found.items()}


def scores_of(record: NDArray[Any], estimate: NDArray[Any], hidden: NDArray[np.bool_]) -> dict[str, float | None]:
    """`SCORES` on the hidden observations; None where a score does not exist."""
    table = scores_on(hidden, record, estimate)
    rows = {name: "median" if name == "r" else "pooled" for name in SCORES}
    values = {name: float(table.loc[row, name]) for name, row in rows.items()}
    return {k: (int(v) if k == "n" else round(v, 6)) if np.isfinite(v) else None for k, v in values.items()}


def published_runs(bench: Bench) -> list[dict[str, Any]]:
    """The published LSTMs, scored from their own files on the same days as ``ahead``."""
    from tssmnet.data.conus import published_predictions

    predicted = published_predictions()
    hidden = bench.hidden(Run("linear", "base", "ahead"))
    rows = []
    for name in predicted.data_vars:
        estimate = predicted[name].reindex(time=bench.pixels["time"]).transpose("time", "pixel").values
        about = {
            "model": str(name),
            "features": "published",
            "gap": "ahead",
            "mask_seed": 0,
            "model_seed": 0,
            "params": {},
        }
        rows.append(about | scores_of(bench.record, estimate, hidden) | {"seconds": None, "cpu_seconds": None})
    return rows


def run_all(
    bench: Bench, runs: Sequence[Run], folder: Path, workers: int = 1, seconds: float = math.inf
) -> Iterator[tuple[Run, dict[str, Any] | Exception]]:
    """Do the runs that are not done yet, and give each with its result, or with what went wrong.

    The first round of each kind of gaps comes first, so that a part of the runs tells something of every kind.

    Parameters
    ----------
    bench
        The cube.
    runs
        What to do.
    folder
        Where finished runs are kept, one JSON file each.
    workers
        Processes; each computes on one thread. One runs here.
    seconds
        After so many, no run is begun any more.
    """
    end = time.monotonic() + seconds
    paths = {run: folder / f"{run.name}-{bench.key(run)}.json" for run in runs}
    waiting = []
    for run, path in paths.items():
        if path.is_file():
            yield run, json.loads(path.read_text(encoding="utf-8"))
        else:
            waiting.append(run)
    waiting.sort(key=lambda run: run.round[1])
    if workers < 2 or len(waiting) < 2:
        for run in waiting:
            if time.monotonic() < end:
                yield run, _attempt(bench, run, paths[run])
        return
    with _one_thread_each(), ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (bench,)) as pool:
        todo = iter(waiting)
        underway: dict[Future[dict[str, Any] | Exception], Run] = {}
        while True:
            # no more than can start at once, so that an interrupt or the end of the time waits for nothing else
            for run in islice(todo, workers - len(underway) if time.monotonic() < end else 0):
                underway[pool.submit(_attempt_in_worker, run, paths[run])] = run
            if not underway:
                return
            for future in wait(underway, return_when=FIRST_COMPLETED).done:
                yield underway.pop(future), future.result()


def _attempt(bench: Bench, run: Run, path: Path) -> dict[str, Any] | Exception:
    """Do one run and keep its result; one that fails must not end the others."""
    try:
        result = do_run(bench, run)
    except Exception as error:  # told at the end, with the name of the run
        return error
    write_atomically(path, json.dumps(result))
    return result


_BENCH: list[Bench] = []


def _start_worker(bench: Bench) -> None:
    _BENCH[:] = [bench]


def _attempt_in_worker(run: Run, path: Path) -> dict[str, Any] | Exception:
    return _attempt(_BENCH[0], run, path)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside compute on one thread; threads waiting busily for shared cores are five times slower."""
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in one_thread}
    os.environ.update(one_thread)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def rows_of(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per kind of gaps, model and feature set: mean and spread over its runs, beside the figure of others."""

    def group(r: Mapping[str, Any]) -> tuple[int, str, str]:
        return [*GAPS].index(r["gap"]), r["features"], r["model"]

    known = {(p.gap, p.model, p.features): p for p in peers().itertuples()}
    rows = []
    for _, members in groupby(sorted(results, key=group), key=group):
        runs = list(members)
        first = runs[0]
        short = any(r["params"] for r in runs)
        rows.append(_row(runs, None if short else known.get((first["gap"], first["model"], first["features"]))))
    return rows


def _row(runs: Sequence[Mapping[str, Any]], peer: Any) -> dict[str, Any]:
    def over(name: str, reduce: Any) -> float | None:
        values = [r[name] for r in runs if r[name] is not None]
        return round(float(reduce(values)), 6) if values else None

    row = {k: runs[0][k] for k in ("gap", "model", "features", "params")} | {"runs": len(runs)}
    row |= {name: over(name, np.mean) for name in (*SCORES, "seconds", "cpu_seconds")}
    covered = [r["intervals"]["coverage"] for r in runs if r.get("intervals")]
    row["coverage"] = round(float(np.mean(covered)), 4) if covered else None
    several = len(runs) > 1
    row |= {f"{name}_sd": over(name, lambda v: np.std(v, ddof=1)) if several else None for name in ("rmse", "ubrmse")}
    ratio = round(row["rmse"] / peer.rmse, 4) if peer and row["rmse"] else None
    return row | {
        "peer_rmse": peer.rmse if peer else None,
        "peer_ubrmse": peer.ubrmse if peer and np.isfinite(peer.ubrmse) else None,
        "ratio": ratio,
    }


def table_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table for people: RMSE and its spread, the other scores, the figure of others and the ratio."""
    columns = ["gap", "model", "features", "runs", "rmse", "rmse_sd", "ubrmse", "r", "r2", "r2_within", "bias", "n"]
    return pd.DataFrame(list(rows))[[*columns, "coverage", "seconds", "peer_rmse", "ratio"]]


def result_of(
    results: Sequence[Mapping[str, Any]], missing: int, failed: Mapping[str, str], seconds: float, device: str
) -> dict[str, Any]:
    """The merged result with its stamp."""
    minutes = sum(r["cpu_seconds"] or 0 for r in results) / 60
    made = stamp(
        "Models, feature sets and kinds of gaps on real SMAP over 412 pixels, scored on hidden observations.",
        sorted(
            {m for r in results if r["model"] in RECONSTRUCTORS for m in modules_of(r["model"])}
            | {"tssmnet.data.conus"}
        ),
        data=("smap-conus",),
        command="tssmnet evaluate",
        asked_device=device,
        cpu=_cpu(),
        versions=_versions(),
        cpu_minutes_of_runs=round(minutes, 1),
        minutes_of_this_call=round(seconds / 60, 1),
    )
    return {
        "stamp": made,
        "complete": not missing,
        "failed": dict(failed),
        "conventions": SCORES_NOTE,
        "rows": rows_of(results),
        "peers": {"source": PEERS_SOURCE, "rows": json.loads(peers().to_json(orient="records"))},
        "runs": list(results),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return f"{found[1] if found else platform.processor() or platform.machine()}, {os.cpu_count()} logical cores"


def _versions() -> dict[str, str]:
    names = ("numpy", "xarray", "scikit-learn", "xgboost", "xgboost-cpu", "torch", "lightning")
    here = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"]}
    return {n: here[n] for n in names if n in here}


def write_result(result: Mapping[str, Any], path: Path) -> None:
    """Put the merged result at `path`, whole or not at all."""
    write_atomically(path, json.dumps(result, indent=1) + "\n")


def check_result_path(path: Path) -> None:
    """Raise an error if something stands at `path` that is no result of an evaluation."""
    if not path.exists():
        return
    try:
        sound = "stamp" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        sound = False
    if not sound:
        raise TssmnetError(f"{path} is there already and is no result of an evaluation; give another name for --out")


def chosen_runs(options: argparse.Namespace) -> dict[str, list[Run]]:
    """The runs that the options of the command ask for, by part; a quick taste is a part of its own."""
    for name in options.models or ():
        require_known(name, RECONSTRUCTORS, "model")
    for name in options.gaps or ():
        require_known(name, GAPS, "kind of gaps")
    parts = [require_known(options.part, STUDY_PARTS, "part of the evaluation")] if options.part else list(STUDY_PARTS)
    plans = {"quick": quick_plan()} if options.quick else {part: plan_of(part) for part in parts}
    return {
        part: [r for r in runs if r.model in (options.models or RECONSTRUCTORS) and r.gap in (options.gaps or GAPS)]
        for part, runs in plans.items()
    }


def command(options: argparse.Namespace) -> int:
    """What ``tssmnet evaluate`` does; 1 if a run failed."""
    from tssmnet.profiles import profile_cube

    require_whole(options.workers, "workers", 1)
    if not options.minutes > 0:
        raise TssmnetError(f"minutes must be a time above 0, it is {options.minutes}")
    if options.out is not None:
        check_result_path(options.out)
    chosen = chosen_runs(options)
    bench = Bench(profile_cube("conus"), options.device)
    folder = store_folder() / "evaluate"
    if options.list:
        for run in dict.fromkeys(run for runs in chosen.values() for run in runs):
            print("done" if (folder / f"{run.name}-{bench.key(run)}.json").is_file() else "to do", run.name)
        return 0
    return max(_do_part(bench, part, runs, folder, options) for part, runs in chosen.items())


def _do_part(bench: Bench, part: str, runs: Sequence[Run], folder: Path, options: argparse.Namespace) -> int:
    """Run one part, write its file, print its table."""
    started = time.perf_counter()
    results, failed = _collect(bench, runs, folder, options.workers, 60 * options.minutes)
    missing = len(runs) - len(results)
    if "ahead" in (options.gaps or GAPS):
        results += published_runs(bench)
    result = result_of(results, missing, failed, time.perf_counter() - started, options.device)
    whole = not (options.models or options.gaps)
    out = options.out or (RESULTS[part] if whole and part in RESULTS else None)
    if out is not None:
        write_result(result, Path(out))
        print(f"wrote {out}")
    print(table_of(result["rows"]).to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.4f}"))
    for name, reason in failed.items():
        print(f"FAILED {name}: {reason}")
    if missing:
        print(f"{missing} of {len(runs)} runs are not in the result; the same command goes on with them")
    return 1 if failed else 0


def _collect(
    bench: Bench, runs: Sequence[Run], folder: Path, workers: int, seconds: float = math.inf
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """All results in the order of the plan, told one by one as they come; of no round that is not whole."""
    results: dict[Run, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    silent = bool(os.environ.get("TSSMNET_QUIET"))
    for count, (run, result) in enumerate(run_all(bench, runs, folder, workers, seconds), 1):
        if isinstance(result, Exception):
            failed[run.name] = f"{type(result).__name__}: {result}"
            line = failed[run.name]
        else:
            results[run] = result
            line = f"RMSE {result['rmse']}, {result['seconds']:.0f} s"
        if not silent:
            print(f"{count}/{len(runs)} {run.name}: {line}", flush=True)
    torn = {run.round for run in runs if run not in results and run.name not in failed}
    return [results[run] for run in runs if run in results and run.round not in torn], failed
