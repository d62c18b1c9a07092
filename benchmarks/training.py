"""Speed of training TsSMNet beside the loop that most people write, in one process, on the same real SMAP samples.

    python benchmarks/training.py            about 7 minutes on two cores; writes results/benchmark-training.json
    python benchmarks/training.py --quick    a minute, fewer samples and epochs, prints only

The plain loop writes the samples out as a table, wraps it in a torch Dataset, and lets a DataLoader pick them one by
one. It runs twice: with our recipe (batch, optimisers, schedule, epochs), where the loss curves must agree and the
samples per second compare (medians of five stretches of steps); and with the usual recipe (batches of 256, Adam at a
constant 0.001), whose best validation loss is the mark for the time that ours takes to reach it, by the default
schedule and by a short one. Both use all cores as far as they can (a DataLoader without workers, its default, picks on
one), so times are those of the clock: run it on a quiet machine; the load at its start is told. Both hold out the same
samples and leave the standardisation in the network. A step is also taken apart: what its parts take, and what share of
the arithmetic peak, measured in this run, it reaches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from common import write
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tssmnet.features.samples import Samples
from tssmnet.models import make_model
from tssmnet.models.holdout import held_out
from tssmnet.models.training import Dropout, Standardise, cycle, make_optimizers
from tssmnet.models.tssmnet import EncoderDecoder

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmark-training.json"
SHORT: dict[str, Any] = {"epochs": 4, "dropout": 0.0}
"""Where time counts: dropout is for many passes over the samples, and these are few."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Curve(NamedTuple):
    """One training run: validation loss after each epoch and the seconds until then."""

    name: str
    samples: int
    loss: list[float]
    seconds: list[float]

    def row(self) -> dict[str, Any]:
        """What the result file keeps of it."""
        speed = self.samples * len(self.loss) / self.seconds[-1]
        return {**self._asdict(), "samples_per_s": speed, "best": min(self.loss)}


def real_samples(quick: bool) -> tuple[Samples, np.ndarray]:
    """Training samples of the `conus` cube with lagged forcing and descriptors, a fifth of the days held back."""
    from tssmnet.data.conus import conus_cube
    from tssmnet.features.build import FEATURE_SETS, build_features
    from tssmnet.gaps import simulate_gaps

    cube = conus_cube()
    ssm = cube["ssm"].transpose("time", "pixel").values.astype(np.float32)
    observed = np.isfinite(ssm)
    train = observed & ~simulate_gaps(observed, "random", seed=0)
    if quick:
        train[:, 60:] = False
    X = build_features(cube, train, **FEATURE_SETS["lag+desc"]).where(train)
    return X, ssm[train]


def ours(name: str, X: Samples, y: np.ndarray, **params: Any) -> Curve:
    """The library's loop, everything from samples to fitted model included."""
    start = time.perf_counter()
    model = make_model("tssmnet", device="cpu", patience=0, **params).fit(X, y)
    total = time.perf_counter() - start
    last = model.history_[-1]["seconds"]
    kept = len(X) - int(held_out(X, model.config.validation, model.config.validation_fraction, 0).sum())
    seconds = [total * row["seconds"] / last for row in model.history_]
    return Curve(name, kept, [row["validation_loss"] for row in model.history_], seconds)


def plain_network(features: int, train: torch.Tensor) -> nn.Sequential:
    """The same network with torch's own dropout and numpy's moments."""
    config = make_model("tssmnet").config
    net = nn.Sequential(Standardise(features, config.clip), EncoderDecoder(features, config))
    deviation = np.nanstd(train.numpy(), axis=0, dtype=np.float64)
    scaler: Any = net[0]
    scaler.mean.copy_(torch.as_tensor(np.nanmean(train.numpy(), axis=0, dtype=np.float64)))
    scaler.scale.copy_(torch.as_tensor(np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0.0)))
    for module in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
        for i, part in enumerate(module):
            if isinstance(part, Dropout):
                module[i] = nn.Dropout(part.share)
    return net


def plain(name: str, X: Samples, y: np.ndarray, epochs: int, usual: bool) -> Curve:
    """The loop most people write, with our recipe or the `usual` one."""
    start = time.perf_counter()
    config = make_model("tssmnet").config
    torch.manual_seed(0)
    hidden = held_out(X, config.validation, config.validation_fraction, 0)
    table, target = torch.from_numpy(X.table()), torch.from_numpy((y - y[~hidden].mean()) / y[~hidden].std())
    train, check = ((table[m], target[m]) for m in (torch.from_numpy(~hidden), torch.from_numpy(hidden)))
    net = plain_network(table.shape[1], train[0])
    batch = 256 if usual else config.batch
    loader = DataLoader(TensorDataset(*train), batch_size=batch, shuffle=True, drop_last=True)
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-3)] if usual else make_optimizers(net, config)
    loss, seconds, step = [], [], 0
    for _ in range(epochs):
        net.train()
        for x, truth in loader:
            for optimizer in optimizers:
                optimizer.zero_grad()
            error = nn.functional.mse_loss(net(x), truth)
            error.backward()
            for optimizer in optimizers:
                for group in [] if usual else optimizer.param_groups:
                    group["lr"] = group["peak"] * cycle(step, epochs * len(loader), config.warmup)
                optimizer.step()
            step += 1
        net.eval()
        with torch.no_grad():
            loss.append(float(nn.functional.mse_loss(net(check[0]), check[1])))
        seconds.append(time.perf_counter() - start)
    return Curve(name, len(train[1]), loss, seconds)


def seconds_to(curve: Curve, mark: float) -> float | None:
    """Seconds until the validation loss is first at or below `mark`."""
    return next((s for s, loss in zip(curve.seconds, curve.loss, strict=True) if loss <= mark), None)


def times_to_losses(curves: list[Curve]) -> list[dict[str, Any]]:
    """Seconds of each run until each of some losses, from the first that all reach down to the best of any."""
    low, high = min(min(c.loss) for c in curves), max(min(c.loss) for c in curves)
    marks = np.geomspace(max(high, low * 1.001) * 1.15, low, 6)
    return [{"loss": float(m), **{c.name: seconds_to(c, float(m) * (1 + 1e-9)) for c in curves}} for m in marks]


# -- steps, and what they are made of --------------------------------------------------------------------------------


def median_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median time of `repeats` calls, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def plain_steps(X: Samples, y: np.ndarray) -> Iterator[None]:
    """The plain loop with our recipe, a step at each ``next``, for ever."""
    config = make_model("tssmnet").config
    table = torch.from_numpy(X.table())
    net = plain_network(table.shape[1], table).train()
    loader = DataLoader(
        TensorDataset(table, torch.from_numpy(y)), batch_size=config.batch, shuffle=True, drop_last=True
    )
    optimizers = make_optimizers(net, config)
    while True:
        for x, truth in loader:
            for optimizer in optimizers:
                optimizer.zero_grad()
            nn.functional.mse_loss(net(x), truth).backward()
            for optimizer in optimizers:
                optimizer.step()
            yield


def arithmetic_peak(kind: torch.dtype, repeats: int) -> float:
    """Multiplications and additions a second of all threads, from a large matrix product."""
    a = torch.randn(2048, 2048).to(kind)
    return 2 * 2048**3 / median_seconds(lambda: a @ a, repeats)


def steps(X: Samples, y: np.ndarray, quick: bool) -> dict[str, Any]:
    """Speed of both loops over stretches of steps, parts of ours in microseconds a sample, share of the peak."""
    from tssmnet.book.speed import work_of
    from tssmnet.models.training import _Trainer

    repeats, count = (3, 4) if quick else (5, 30)
    model = make_model("tssmnet", device="cpu")
    fabric: Any = model._fabric()
    trainer = _Trainer(model, fabric, X, y)
    trainer.wrapped.train()
    batch = min(model.config.batch, len(trainer.y))
    index = torch.randperm(len(trainer.y))[:batch]
    x, target = trainer.train(index), trainer.y[index]

    def forward() -> torch.Tensor:
        return nn.functional.mse_loss(trainer.wrapped(x).float(), target)

    def both() -> None:
        fabric.backward(forward())
        for optimizer in trainer.optimizers:
            optimizer.zero_grad(set_to_none=True)

    loop = plain_steps(X, y)
    each = {
        "step": lambda: [trainer._step(index, 1e-4) for _ in range(count)],
        "gather": lambda: [trainer.train(index) for _ in range(count)],
        "forward": lambda: [forward() for _ in range(count)],
        "forward and backward": lambda: [both() for _ in range(count)],
        "plain": lambda: [next(loop) for _ in range(count)],
    }
    us = {name: 1e6 * median_seconds(work, repeats) / count / batch for name, work in each.items()}
    tiles = model._precision("cpu") == "bf16-mixed"
    peak = arithmetic_peak(torch.bfloat16 if tiles else torch.float32, repeats)
    flops = work_of("tssmnet", x.shape[1], batch)[1].flops
    backward = us["forward and backward"] - us["forward"]
    return {
        "samples_per_s": 1e6 / us["step"],
        "plain_samples_per_s": 1e6 / us["plain"],
        "ratio": us["plain"] / us["step"],
        "floor": {
            "us_step_per_sample": us["step"],
            "us_gather_per_sample": us["gather"],
            "us_forward_per_sample": us["forward"],
            "us_backward_per_sample": backward,
            "us_optimizer_per_sample": max(us["step"] - us["gather"] - us["forward and backward"], 0.0),
            "us_plain_step_per_sample": us["plain"],
            "operations_per_sample": flops,
            "peak_gflops_bfloat16" if tiles else "peak_gflops_float32": peak / 1e9,
            "us_floor_operations": 1e6 * flops / peak,
            "share_of_arithmetic_peak": flops / peak / (us["step"] * 1e-6),
        },
    }


def compare(quick: bool) -> dict[str, Any]:
    """The steps, all three runs and their ratios."""
    X, y = real_samples(quick)
    config = make_model("tssmnet").config
    epochs, many = (4, 4) if quick else (config.epochs, 30)
    ours("warm-up", X.take(np.arange(2000)), y[:2000], epochs=1)  # imports and first-call work stay out of the times
    stretch = steps(X, y, quick)
    fast, short = ours("tssmnet", X, y, epochs=epochs), ours("tssmnet, short schedule", X, y, **SHORT)
    same = plain("plain loop, our recipe", X, y, epochs, usual=False)
    usual = plain("plain loop, usual recipe", X, y, many, usual=True)
    runs = [fast, short, same, usual]
    mark = min(usual.loss)
    until = {c.name: seconds_to(c, mark) for c in runs}
    return {
        "runs": [c.row() for c in runs],
        "short_schedule": SHORT,
        "samples_per_s_ratio": stretch["ratio"],
        "samples_per_s_ratio_with_setup": fast.row()["samples_per_s"] / same.row()["samples_per_s"],
        "best_loss_ratio": min(fast.loss) / min(same.loss),
        "mark": mark,
        "seconds_to_mark": until,
        "time_to_mark_ratio": _over(until[usual.name], until[fast.name]),
        "time_to_mark_ratio_short": _over(until[usual.name], until[short.name]),
        "seconds_to_losses": times_to_losses(runs),
        "features": len(X.names),
        "floor": stretch["floor"],
        "steps": {k: v for k, v in stretch.items() if k != "floor"},
    }


def _over(slow: float | None, fast: float | None) -> float | None:
    return slow / fast if slow and fast else None


def report(result: dict[str, Any]) -> str:
    """The table as text."""
    lines = [f"{result['threads']} threads, load {result['load_at_start']:.1f} at the start"]
    lines += [f"{'':<28}{'samples/s':>12}{'epochs':>8}{'best loss':>11}{'seconds':>9}"]
    for r in result["runs"]:
        cells = (r["name"], r["samples_per_s"], len(r["loss"]), r["best"], r["seconds"][-1])
        lines.append("{:<28}{:>12,.0f}{:>8}{:>11.4f}{:>9.1f}".format(*cells))
    lines.append(f"same recipe: {result['samples_per_s_ratio']:.2f} times the samples per second (medians over steps)")
    for words, key in (("default", "time_to_mark_ratio"), ("short", "time_to_mark_ratio_short")):
        ratio = result[key]
        reached = f"reached {ratio:.1f} times sooner" if ratio else "not reached"
        lines.append(f"the usual recipe's best validation loss {result['mark']:.4f}: {reached} by the {words} schedule")
    for row in result["seconds_to_losses"]:
        parts = [f"{k} {'never' if v is None else f'{v:.1f} s'}" for k, v in row.items() if k != "loss"]
        lines.append(f"to loss {row['loss']:.4f}: " + ", ".join(parts))
    lines += [f"{k:<28}{v:>16,.4f}" for k, v in result["floor"].items()]
    return "\n".join(lines)


WHAT = "Speed of training TsSMNet on real SMAP samples, beside a plain DataLoader loop, on all cores."
MODULES = ("tssmnet.models.training", "tssmnet.models.tssmnet", "tssmnet.features")


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small; prints, and writes nothing unless --out is given")
    parser.add_argument("--out", type=Path, help=f"result file (default: results/{RESULT.name})")
    given = parser.parse_args()
    torch.set_num_threads(CORES)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    result = {"load_at_start": load, "threads": CORES, **compare(given.quick)}
    print(report(result))
    if given.out or not given.quick:
        about = {"data": ["smap-conus"], "command": "python benchmarks/training.py"}
        write(result, given.out or RESULT, WHAT, MODULES, ("numpy", "torch"), **about)


if __name__ == "__main__":
    main()
