"""What section 4.2 shows: models with and without descriptors, with and without memory of the weather."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.style import COLOURS, figure
from tssmnet.book.tables import FEATURE_TITLES, model_title
from tssmnet.cube import dynamic_names, is_rain
from tssmnet.features.build import RAIN_DECAYS, RAIN_LAGS, RAIN_SUMS, STATE_MEANS
from tssmnet.gaps import GAP_KINDS

SETS = ("base", "base+desc", "lag", "lag+desc")
"""Feature sets: the same day, with descriptors, with memory, with both."""

MODELS_SHOWN = ("tssmnet", "xgboost")

STEPS = {
    "descriptors, without memory": ("base", "base+desc"),
    "descriptors, with memory": ("lag", "lag+desc"),
    "memory, without descriptors": ("base", "lag"),
    "memory, with descriptors": ("base+desc", "lag+desc"),
}


def rain_of(cube: xr.Dataset) -> list[str]:
    """Names of the rain among a cube's predictors."""
    return [name for name in dynamic_names(cube) if is_rain(cube[name])]


def memory_table(cube: xr.Dataset) -> pd.DataFrame:
    """What memory of this cube's predictors is made of."""
    others = [name for name in dynamic_names(cube) if name not in rain_of(cube)]
    of_rain = {
        "rain sums": f"over {', '.join(map(str, RAIN_SUMS))} days",
        "antecedent precipitation index": f"daily decay {', '.join(map(str, RAIN_DECAYS))}",
        "rain of single days": f"{', '.join(map(str, RAIN_LAGS))} days back",
        "dry days": "since the last wet day",
    }
    means = {f"means of {', '.join(others)}": f"over {', '.join(map(str, STATE_MEANS))} days"}
    rows = (of_rain if rain_of(cube) else {}) | means
    return pd.DataFrame({"memory of": [*rows], "how": [*rows.values()]}).set_index("memory of")


def errors_of(runs: pd.DataFrame) -> pd.Series:
    """RMSE by model, feature set and kind of gaps."""
    errors: pd.Series = runs.set_index(["model", "features", "gap"]).rmse.sort_index()
    return errors


def memory_bars(runs: pd.DataFrame) -> Any:
    """RMSE by feature set and kind of gaps, a panel for each model, with the straight line in time as dashes."""
    error, kinds = errors_of(runs), list(GAP_KINDS)
    with figure(1, 2, figsize=(7.4, 3.3), sharey=True) as (fig, axes):
        for ax, model in zip(axes, MODELS_SHOWN, strict=True):
            for i, features in enumerate(SETS):
                values = error[model, features].reindex(kinds)
                ax.bar(np.arange(4) + (i - 1.5) * 0.2, values, 0.18, label=FEATURE_TITLES[features])
            straight = error["linear", "base"].reindex(["random", "blocks"])
            ax.scatter([0, 1], straight, marker="_", s=1100, color="black", zorder=3)
            ax.set(title=model_title(model), xticks=range(4))
            ax.set_xticklabels(["random\ndays", "blocks", "whole\npixels", "time\nahead"])
        axes[0].set_ylabel("RMSE (m³ m⁻³)")
        fig.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside upper center")
    return fig


def gains_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Share of the RMSE (%) that each addition takes away, by model and kind of gaps."""
    wide = errors_of(runs).unstack("gap")[list(GAP_KINDS)]
    gains = {
        (model_title(model), step): 100 * (1 - wide.loc[(model, after)] / wide.loc[(model, before)])
        for model in MODELS_SHOWN
        for step, (before, after) in STEPS.items()
        if (model, after) in wide.index
    }
    table = pd.DataFrame(gains).T.rename_axis(["model", "what is added"])
    return table.rename(columns=GAP_KINDS).rename_axis(columns=None)


def spread_pixels(cube: xr.Dataset, count: int) -> NDArray[np.int64]:
    """So many pixels spread evenly over their order, without the first and the last."""
    return np.linspace(0, cube.sizes["pixel"] - 1, count + 2).round().astype(int)[1:-1]


def without_and_with(found: Mapping[str, Mapping[str, NDArray[Any]]], times: Any, title: str) -> Any:
    """The series of the first pixel: both estimates as lines, observations as dots, hidden ones as crosses."""
    last = [*found.values()][-1]
    record, hidden = last["record"][:, 0], last["hidden"][:, 0]
    with figure(figsize=(7.4, 2.9)) as (fig, ax):
        for colour, (label, arrays) in zip((COLOURS[4], COLOURS[0]), found.items(), strict=True):
            ax.plot(times, arrays["estimate"][:, 0], color=colour, linewidth=1, label=label)
        ax.plot(times, np.where(hidden, np.nan, record), ".", color="0.55", markersize=4, label="observed")
        ax.plot(times, np.where(hidden, record, np.nan), "x", color="black", markersize=4, label="hidden")
        ax.set(ylabel="soil moisture (m³ m⁻³)", title=title)
        ax.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.1))
    return fig


def series_to_choose(found: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Hidden and other observations and each estimate, shape (time, pixel), by label."""
    last = [*found.values()][-1]
    record, hidden = last["record"], last["hidden"]
    seen = {"hidden": np.where(hidden, record, np.nan), "observed": np.where(hidden, np.nan, record)}
    return seen | {label: arrays["estimate"] for label, arrays in found.items()}
