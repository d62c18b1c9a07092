"""What the page on speed shows: stored benchmarks as tables and curves, a live comparison, a projection to a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TSFRESH: dict[str, dict[str, Any]] = {
    "mean": {}, "median": {}, "standard_deviation": {}, "variance": {}, "variation_coefficient": {},
    "root_mean_square": {}, "minimum": {}, "maximum": {}, "skewness": {}, "kurtosis": {}, "quantile": {"q": 0.25},
    "sample_entropy": {}, "mean_change": {}, "mean_abs_change": {}, "autocorrelation": {"lag": 1},
    "mean_second_derivative_central": {}, "abs_energy": {}, "sum_values": {}, "absolute_sum_of_changes": {},
    "count_above_mean": {}, "count_below_mean": {},
}  # fmt: skip
"""Calculators of tsfresh that match a descriptor, with their parameters: 21 of the 31."""


def synthetic_series(count: int, days: int, seed: int = 0) -> NDArray[np.float64]:
    """Complete made-up series (count, days), m3 m-3: rain wets, days dry."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    rain = rng.exponential(0.06, (count, days)) * (rng.random((count, days)) < 0.15)
    wet = np.asarray(lfilter([1], [1, -0.88], rain, axis=1))
    return np.clip(0.08 + 0.6 * wet + 0.015 * rng.standard_normal((count, days)), 0.02, 0.6)


def beside_tsfresh(series: NDArray[np.float64], few: int) -> pd.DataFrame:
    """Processor time of the descriptors of `series` (n, days) beside tsfresh's own calculators on the first `few`.

    Returns rows tsfresh and tssmnet; ``functions``, ``series``, ``ms_per_series`` (milliseconds of one core),
    ``ratio``.
    """
    import tsfresh.feature_extraction.feature_calculators as calculators

    from tssmnet.features.descriptors import describe_series

    def theirs() -> None:
        for x in series[:few]:
            for name, options in TSFRESH.items():
                getattr(calculators, name)(x, **options)

    describe_series(series[:2])  # compiled, or read from its cache, outside the clock
    slow = processor_seconds(theirs) / few
    quick = processor_seconds(lambda: describe_series(series, threads=1)) / len(series)
    rows = [("tsfresh", len(TSFRESH), few, 1e3 * slow, 1.0), ("tssmnet", 31, len(series), 1e3 * quick, slow / quick)]
    return pd.DataFrame(rows, columns=["library", "functions", "series", "ms_per_series", "ratio"]).set_index("library")


def processor_seconds(work: Callable[[], Any]) -> float:
    """Processor time of this process and its threads in a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def descriptor_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """Throughput of ``benchmark-descriptors.json``, one row a library and number of workers."""
    columns = {
        "name": "library",
        "functions": "functions",
        "workers": "workers",
        "series_per_s": "series per second",
        "tssmnet_is_faster_by": "tssmnet is faster by",
        "and_per_core_by": "per core by",
    }
    table = pd.DataFrame(content["peers"]).rename(columns=columns)[[*columns.values()]].set_index("library")
    return table.assign(**{"series per second": table["series per second"].round().astype(int)})


def training_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """The runs of ``benchmark-training.json``: samples a second, and seconds until the mark is reached."""
    rows = []
    for r in content["runs"]:
        until = next((s for s, loss in zip(r["seconds"], r["loss"], strict=True) if loss <= content["mark"]), None)
        rows.append(
            {
                "loop": r["name"],
                "samples per second": round(r["samples_per_s"]),
                "epochs": len(r["loss"]),
                "best validation loss": r["best"],
                "seconds to the mark": until,
            }
        )
    return pd.DataFrame(rows).set_index("loop")


def reconstruction_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """The fillings of ``benchmark-reconstruction.json``, each from a process of its own."""
    groups = {
        "China": _china(content),
        **{f"over {k}": v for k, v in content["scaling"].items()},
    }
    groups["the filler"] = content["filler"]["runs"]
    rows = [
        {
            "run": name,
            "model": r["model"],
            "pixels": r["pixels"],
            "days": r["days"],
            "workers": r["workers"],
            "minutes": r["seconds"] / 60,
            "of them the fit": r["seconds_to_prepare_and_fit"] / 60,
            "rows per second": round(r["rows_per_s"]),
            "peak memory, GB": r["peak_memory_gb"],
        }
        for name, members in groups.items()
        for r in members
    ]
    return pd.DataFrame(rows).set_index("run")


def spans(content: Mapping[str, Any]) -> str:
    """Minutes and memory of each span of days over China in ``benchmark-reconstruction.json``, in words."""
    return ", ".join(
        f"{r['days']:,} days: {r['seconds'] / 60:.1f} minutes and {r['peak_memory_gb']:.2f} GB at most"
        for r in _china(content)
    )


def _china(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*content["china"], *content.get("seven_years", ())]


def floor_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """The measured floors of a result file, name and value."""
    named = {k.replace("_", " "): v for k, v in content["floor"].items()}
    return pd.DataFrame({"value": named}).rename_axis("quantity")


def draw_scaling(rows: Mapping[str, Sequence[Mapping[str, float]]], value: str, label: str, flat: bool = False) -> Any:
    """Small panels, one an axis of scaling: `value` of each row against days, pixels or workers, and a thin line.

    The thin line is what growth in proportion would be from the first point, and over workers or threads an even split;
    with `flat`, for what should not grow, the first point's level.
    """
    from tssmnet.book.style import COLOURS, figure

    shown = {axis: members for axis, members in rows.items() if len(members) > 1}
    with figure(1, len(shown), figsize=(2.6 * len(shown) + 0.6, 2.6), squeeze=False) as (fig, axes):
        for ax, (axis, members) in zip(axes[0], shown.items(), strict=True):
            x, y = ([float(r[key]) for r in members] for key in (axis, value))
            ax.plot(x, y, "o-", color=COLOURS[0])
            shared = axis in ("workers", "threads")
            power = 0 if flat else -1 if shared else 1
            ax.plot(x, [y[0] * (v / x[0]) ** power for v in x], color="0.6", linewidth=0.7)
            ax.set(xlabel=axis, ylabel=label if ax is axes[0][0] else "", ylim=(0, 1.15 * max(y)))
            if shared:
                ax.set_xticks(x, [f"{v:g}" for v in x])
    return fig


def sooner(ratio: float | None) -> str:
    """How much sooner a schedule reaches the usual recipe's best loss, in words.

    Examples
    --------
    >>> sooner(3.49), sooner(None)
    ('3.5 times sooner', 'not at all')
    """
    return f"{ratio:.1f} times sooner" if ratio else "not at all"


@dataclass(frozen=True)
class Gpu:
    """Peaks that a maker states of a GPU, for dense products and for reading its memory."""

    name: str
    bfloat16_tflops: float
    bandwidth_tb_per_s: float


GPUS = (Gpu("NVIDIA A100 80 GB SXM", 312.0, 2.04), Gpu("NVIDIA H100 80 GB SXM", 989.0, 3.35))
"""From the makers' data sheets, products without sparsity (the A100 multiplies half-precision numbers at the same rate
as bfloat16)."""

LAUNCH_US = 5.0
"""Time to start one kernel, an assumption: a GPU waits this long for each of a step's operations."""

PEAK_SHARE = 0.1
"""Share of a GPU's stated peaks that is reached, an assumption."""

LAND = 118_000
"""Cells of 9 km on China's land, which are filled; the window has more, with sea and neighbours."""

PIXEL_DAYS = LAND * 2557
"""Land cells of China times the days of seven years."""

OBSERVED = 0.4
"""Share of the pixel-days that is observed, an assumption."""


@dataclass(frozen=True)
class Work:
    """What one sample costs: multiplications and additions, bytes between layers, and the operations of one step."""

    flops: float
    bytes: float
    kernels: int


def work_of(model: str, features: int, batch: int = 1024) -> tuple[Work, Work]:
    """Work of a prediction and of a training step, counted while a network of the table of models runs.

    Returns bytes are those of every operation's result, written once and read once; in training twice that of all
    results of forward and backward pass.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tssmnet.models import make_model
    from tssmnet.models.training import assemble, make_optimizers

    network: Any = make_model(model, device="cpu")
    net = assemble(network, features)
    x, y = torch.randn(batch, features), torch.randn(batch)
    out = []
    for train in (False, True):
        net.train(train)
        optimizers = make_optimizers(net, network.config) if train else []
        with FlopCounterMode(display=False) as flops, _Results() as results, torch.set_grad_enabled(train):
            loss = torch.nn.functional.mse_loss(net(x), y)
            if train:
                loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        out.append(Work(flops.get_total_flops() / batch, 2 * results.bytes / batch, results.count))
    return out[0], out[1]


def _Results() -> Any:
    """A torch mode that counts operations and the bytes of their results."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Results(TorchDispatchMode):
        count, bytes = 0, 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and not function.is_view:
                self.count += 1
                self.bytes += made.numel() * made.element_size()
            return made

    return Results()


def projected_minutes(work: Work, samples: float, batch: int, gpu: Gpu, share: float = PEAK_SHARE) -> dict[str, float]:
    """Minutes that `samples` would take on a GPU, each limit alone: a projection, not a measurement.

    `work`: of one sample, and kernels of a batch.
    `samples`: samples in all, over all epochs.
    `batch`: samples of a step.
    `gpu`: its peaks.
    `share`: share of both peaks that is reached.
    Returns minutes by ``arithmetic``, ``memory``, ``launches``, and the largest of them, ``minutes``.
    """
    parts = {
        "arithmetic": samples * work.flops / (share * gpu.bfloat16_tflops * 1e12),
        "memory": samples * work.bytes / (share * gpu.bandwidth_tb_per_s * 1e12),
        "launches": samples / batch * work.kernels * LAUNCH_US * 1e-6,
    }
    minutes = {k: v / 60 for k, v in parts.items()}
    return {**minutes, "minutes": max(minutes.values())}


def projection(tasks: Iterable[tuple[str, Work, float, int]]) -> pd.DataFrame:
    """`projected_minutes` of each task on each of `GPUS`; index GPU and work.

    `tasks`: name, work of one sample, samples in all, samples of a step.
    """
    rows = [
        {"GPU": gpu.name, "work": name, **projected_minutes(work, samples, batch, gpu)}
        for gpu in GPUS
        for name, work, samples, batch in tasks
    ]
    return pd.DataFrame(rows).set_index(["GPU", "work"])
