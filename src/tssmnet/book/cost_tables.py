"""What the page on the cost of the paper's own data shows: accounts, downloads, hours of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tssmnet.book import speed
from tssmnet.book.cost import Stage, stored
from tssmnet.book.speed import OBSERVED, PIXEL_DAYS
from tssmnet.book.style import COLOURS, figure
from tssmnet.data.registry import DataSet

ACCESS = {
    "earthdata": "client, account",
    "stac": "catalogue, no account",
    "by-hand": "by hand",
    "cds": "client, account",
}

FEATURES = 117


def accounts(wanted: Sequence[DataSet]) -> pd.DataFrame:
    """Which account each data set needs."""
    found: dict[str, list[str]] = {}
    for entry in wanted:
        if entry.account:
            found.setdefault(entry.account, []).append(entry.name)
    rows = [{"account": account, "for": ", ".join(names)} for account, names in found.items()]
    return pd.DataFrame(rows).set_index("account")


def downloads(wanted: Sequence[DataSet]) -> pd.DataFrame:
    """Product, way and size of each data set."""
    rows = [
        {
            "data set": s.name,
            "product": s.product,
            "how": ACCESS[s.access],
            "disk (GB)": s.size_gb,
            "as the registry has it": s.size_estimate,
        }
        for s in wanted
    ]
    return pd.DataFrame(rows).set_index("data set")


def stage_table(measured: Sequence[Stage], processors: int) -> pd.DataFrame:
    """Units, seconds and hours of each stage, and what a killed run keeps."""
    rows = [
        {
            "stage": s.name,
            "units": f"{s.units:,.0f} {s.unit}s",
            "processor seconds a unit": f"{s.seconds:.2g}",
            "processor hours": s.hours,
            f"hours on {processors} processors": s.hours / (processors if s.parallel else 1),
            "a killed run keeps": s.resumes,
        }
        for s in measured
    ]
    return pd.DataFrame(rows).set_index("stage")


def stage_dots(measured: Sequence[Stage]) -> Any:
    """Processor hours of each stage on a logarithmic axis."""
    with figure(figsize=(6.6, 2.8)) as (fig, ax):
        ax.plot([s.hours for s in measured], [s.name for s in measured], "o", color=COLOURS[0])
        ax.invert_yaxis()
        ax.grid(axis="x", color="0.9")
        ax.set(xscale="log", xlabel="processor hours (logarithmic)")
    return fig


def training_task(epochs: int) -> str:
    """What is timed, in words."""
    return f"TsSMNet trained on all observed pixel-days, {epochs} epochs"


def later_stages(
    described: Mapping[str, Any] | None, filled: Mapping[str, Any] | None, epochs: int, second: float
) -> pd.DataFrame:
    """Hours of descriptors and filling from stored benchmarks, and of training at `second` seconds a sample."""
    trained = {
        "stage": training_task(epochs),
        "processor hours": second * OBSERVED * PIXEL_DAYS * epochs / 3600,
        "where": "measured now, on the processor",
    }
    return pd.DataFrame([*stored(described, filled), trained]).set_index("stage")


def gpu_table(epochs: int) -> pd.DataFrame:
    """Projected hours of training and filling on each GPU."""
    prediction, step = speed.work_of("tssmnet", FEATURES)
    tasks = (
        (training_task(epochs), step, OBSERVED * epochs * PIXEL_DAYS, 16_384),
        ("seven years of China filled", prediction, PIXEL_DAYS, 262_144),
    )
    hours = speed.projection(tasks)["minutes"] / 60
    return hours.rename("GPU hours").rename_axis(["GPU", "stage"]).reset_index().set_index("stage")
