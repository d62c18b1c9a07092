"""Tables and figures of the page on the strategy: the way to a filled cube, hidden observations, what was filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.style import COLOURS, figure, quantity_of, style
from tssmnet.book.tables import classes_of
from tssmnet.filler.evidence import distance_to_observation
from tssmnet.gaps import GAP_KINDS, simulate_gaps

Mask = NDArray[np.bool_]

BOXES = {
    "observations": (0, 3, "SMAP observations\n(time, place), with holes"),
    "predictors": (0, 1, "predictors\ndaily and constant"),
    "descriptors": (1, 4, "31 temporal descriptors\none value a place"),
    "screened": (2, 4, "without collinear ones"),
    "features": (2, 1, "features of a place-day"),
    "fit": (3, 3, "model, fitted on\nall observed place-days"),
    "second": (3, 1, "same model, fitted\nwithout descriptors"),
    "everywhere": (4, 3, "estimate on every day\n(ssm_model)"),
    "never": (4, 1, "places never observed"),
    "filled": (5, 2, "observed kept, holes filled\n(ssm, source, ssm_std)"),
}
"""The steps of a reconstruction: column, row and text of the box that stands for each."""

ARROWS = {
    "observations": ("descriptors", "fit"),
    "descriptors": ("screened",),
    "screened": ("fit",),
    "predictors": ("features",),
    "features": ("fit", "second"),
    "fit": ("everywhere",),
    "second": ("never",),
    "everywhere": ("filled",),
    "never": ("filled",),
}
"""Step to those that use what it gives."""

EDGES = {"observations": COLOURS[0], "filled": COLOURS[2]}
WIDE = 1.75
"""Distance of two columns of boxes."""

MISSING = "days truly missing"
OBSERVED = "#9ecae1"


def strategy_drawing() -> Any:
    """The way from a cube with holes to one without, as boxes and arrows."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    half = {name: 0.027 * max(map(len, text.split("\n"))) + 0.06 for name, (_, _, text) in BOXES.items()}
    with style():
        fig = plt.figure(figsize=(10.4, 3.2))
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(-0.9, 9.7), ylim=(0.4, 4.6))
        ax.axis("off")
        for name, (x, y, text) in BOXES.items():
            box: dict[str, Any] = {"facecolor": "white", "edgecolor": EDGES.get(name, "0.45"), "linewidth": 1.3}
            corner = (WIDE * x - half[name], y - 0.3)
            ax.add_patch(FancyBboxPatch(corner, 2 * half[name], 0.6, boxstyle="round,pad=0.03", **box))
            ax.text(WIDE * x, y, text, ha="center", va="center", fontsize=7.5)
        look = {"arrowstyle": "->", "color": "0.35", "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
        for start, end in ((start, end) for start, ends in ARROWS.items() for end in ends):
            a = (WIDE * BOXES[start][0] + half[start] + 0.04, BOXES[start][1])
            b = (WIDE * BOXES[end][0] - half[end] - 0.05, BOXES[end][1])
            ax.annotate("", b, a, arrowprops=look)
    return fig


def kinds_images(observed: Mask, hidden: Mapping[str, Mask], first_day: str) -> Any:
    """What each kind of gaps hides of a piece of a cube; masks of shape (time, place), by a name in `GAP_KINDS`."""
    from matplotlib.colors import ListedColormap

    colours = ListedColormap(["white", OBSERVED, COLOURS[1]])
    with figure(2, 2, figsize=(7.4, 4.6), sharex=True, sharey=True) as (fig, axes):
        for ax, (kind, mask) in zip(axes.ravel(), hidden.items(), strict=True):
            ax.imshow((observed.astype(int) + mask).T, aspect="auto", cmap=colours, vmin=0, vmax=2)
            ax.set_title(f"{GAP_KINDS[kind]} ({100 * mask.sum() / observed.sum():.0f} %)")
        fig.supxlabel(f"day from {first_day}", fontsize=9)
        fig.supylabel("place, nearest first", fontsize=9)
    return fig


def distances(observed: Mask, seed: int = 0) -> dict[str, NDArray[np.floating[Any]]]:
    """Days from each place-day that is to be filled to the nearest observation of its place that a model may see.

    `observed`: shape (time, place).
    `seed`: of the gaps.
    Returns an array by kind of gaps, and one for the days truly missing; infinite where the place shows nothing.
    """
    hidden = {title: simulate_gaps(observed, kind, seed=seed) for kind, title in GAP_KINDS.items()}
    found = {title: distance_to_observation(observed & ~mask)[mask] for title, mask in hidden.items()}
    return found | {MISSING: distance_to_observation(observed)[~observed]}


def distance_table(apart: Mapping[str, NDArray[np.floating[Any]]]) -> pd.DataFrame:
    """The distances of `distances` in numbers; median and 90 % leave out places of which nothing is shown."""
    rows = {}
    for name, days in apart.items():
        finite = pd.Series(days[np.isfinite(days)], dtype=float)
        rows[name] = {
            "pixel-days": len(days),
            "median (days)": finite.median(),
            "90 % within (days)": finite.quantile(0.9),
            "more than 5 days (%)": share(days > 5),
            "place never shown (%)": share(np.isinf(days)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("to fill").astype({"pixel-days": int})


def share(of: Mask) -> float:
    """How much of a mask is true, in per cent."""
    return 100 * float(of.mean())


def distance_curves(apart: Mapping[str, NDArray[np.floating[Any]]]) -> Any:
    """The distances of `distances` as cumulative curves."""
    ticks = [0, 1, 2, 5, 10, 30, 100, 365]
    with figure(figsize=(6.2, 2.8)) as (fig, ax):
        for (name, days), colour in zip(apart.items(), (*COLOURS[:3], COLOURS[4], "#000000"), strict=True):
            finite = np.sort(days[np.isfinite(days)])
            label = name if len(finite) else f"{name} (nothing shown)"
            ax.step(np.r_[0, finite], np.arange(len(finite) + 1) / len(days), color=colour, label=label, where="post")
        ax.set(xscale="symlog", xlim=(0, 400), ylim=(0, 1.02))
        ax.set(xlabel="days to the nearest shown observation of the place", ylabel="share of what is to be filled")
        ax.set_xticks(ticks, [str(days) for days in ticks])
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def filled_images(before: xr.Dataset, filled: xr.Dataset) -> Any:
    """Soil moisture of a piece before and after, place against day, and where each value comes from."""
    q = quantity_of("ssm")
    with figure(1, 3, figsize=(9.0, 3.5), sharey=True) as (fig, axes):
        for ax, (title, cube) in zip(axes, {"before": before, "after": filled}.items(), strict=False):
            values = cube["ssm"].transpose("pixel", "time")
            drawn = ax.imshow(values, aspect="auto", cmap=q.cmap, vmin=q.low, vmax=q.high)
            ax.set(title=title, xlabel="day")
        fig.colorbar(drawn, ax=list(axes[:2]), label=q.label, orientation="horizontal", shrink=0.6)
        _sources(axes[2], filled["source"].transpose("pixel", "time"))
        axes[0].set_ylabel("place")
    return fig


def _sources(ax: Any, source: xr.DataArray) -> None:
    """Colour each value by its flag, and say in the legend how many there are of each."""
    from matplotlib.colors import ListedColormap

    flags = classes_of(source)
    colours = [OBSERVED, COLOURS[4], "#000000", COLOURS[2], COLOURS[3]][: max(flags) + 1]
    ax.imshow(source, aspect="auto", cmap=ListedColormap(colours), vmin=-0.5, vmax=max(flags) + 0.5)
    ax.set(title="source", xlabel="day")
    for flag, meaning in flags.items():
        if (of := share(source.values == flag)) > 0:
            ax.plot([], [], "s", color=colours[flag], label=f"{meaning} ({of:.0f} %)")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
