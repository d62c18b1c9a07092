"""The tables and figures of the page on training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tssmnet.book.style import figure
from tssmnet.book.tables import features_title, model_title, trial_title
from tssmnet.gaps import GAP_KINDS
from tssmnet.models import MODELS

COLUMNS = {
    "train_loss": "training loss",
    "train_r2": "training R²",
    "validation_loss": "validation loss",
    "validation_r2": "validation R²",
}
"""The scores of the paper's Table 3 in a reader's words."""

DIGITS = {**dict.fromkeys(COLUMNS.values(), 4), "seconds": 1, "training (h)": 2}
"""Digits behind the point in the versions of Table 3, the paper's own where it has them."""


def training_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Table 3 as it is printed, by model, from the rows of `tssmnet.book.paper.table_3`."""
    shown = {"setting": "feature configuration", "columns": "features", **COLUMNS, "seconds": "seconds"}
    frame = pd.DataFrame(rows)
    return frame.assign(model=frame["model"].map(model_title)).set_index("model")[list(shown)].rename(columns=shown)


def cited_table(paper: pd.DataFrame) -> pd.DataFrame:
    """The paper's own Table 3 as it is printed."""
    names = {**COLUMNS, "setting": "feature configuration", "hours": "training (h)"}
    return paper.assign(model=paper["model"].map(model_title)).rename(columns=names).set_index("model")


def loss_bars(panels: Mapping[str, pd.DataFrame]) -> Any:
    """Bars of training and validation loss, a panel for each version of Table 3.

    `panels`: Title to rows with ``model``, ``setting``, ``train_loss``, ``validation_loss``; the same rows in each.
    """
    first = next(iter(panels.values()))
    labels = [f"{model_title(row.model)}\n{row.setting.lower()}" for row in first.itertuples()]
    place = np.arange(len(labels))
    with figure(1, len(panels), figsize=(7.6, 3.6), sharey=True) as (fig, axes):
        for ax, (title, rows) in zip(axes, panels.items(), strict=True):
            ax.barh(place - 0.2, rows["train_loss"], 0.38, label="training")
            ax.barh(place + 0.2, rows["validation_loss"], 0.38, label="validation")
            ax.set(title=title, xlabel="loss (mean squared error,\nstandardised)", yticks=place)
        axes[0].set_yticklabels(labels, fontsize=8)
        axes[0].invert_yaxis()
        axes[-1].legend(loc="lower right")
    return fig


def training_curves(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Training and validation loss by epoch, a panel for each network among the rows of `table_3`."""
    from matplotlib.ticker import MaxNLocator

    judged = (row for row in rows if row["history"] and "validation_loss" in row["history"][0])
    runs = [row for row in judged if MODELS[row["model"]].kind == "network"]
    with figure(2, max(1, -(-len(runs) // 2)), figsize=(7.4, 4.2), sharex=True, sharey=True) as (fig, axes):
        for ax, run in zip(axes.ravel(), runs, strict=False):
            history = pd.DataFrame(run["history"])
            ax.plot(history["epoch"], history["train_loss"], "-", marker=".", label="training")
            ax.plot(history["epoch"], history["validation_loss"], "--", marker=".", label="held-out blocks")
            ax.set_title(f"{model_title(run['model'])}\n{run['setting'].lower()}", fontsize=8)
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for ax in axes.ravel()[len(runs) :]:
            ax.remove()
        fig.supxlabel("epoch", fontsize=9)
        fig.supylabel("loss (standardised)", fontsize=9)
        axes[0, 0].legend()
    return fig


def gap_bars(runs: pd.DataFrame) -> Any:
    """RMSE by kind of gaps, a bar for each model and feature set, from the rows of `tssmnet.book.paper.over_gaps`."""
    groups = list(runs.groupby(["model", "features"], sort=False))
    place, middle = np.arange(len(GAP_KINDS)), (len(groups) - 1) / 2
    with figure(figsize=(7.2, 3.0)) as (fig, ax):
        for i, ((model, features), rows) in enumerate(groups):
            values = rows.set_index("gap")["rmse"].reindex(list(GAP_KINDS))
            ax.bar(place + (i - middle) * 0.14, values, 0.13, label=trial_title(str(model), str(features)))
        ax.set(ylabel="RMSE (m³ m⁻³)", xticks=place, xticklabels=list(GAP_KINDS.values()))
        ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig


def change_from_random_to_blocks(runs: pd.DataFrame, model: str, features: str) -> float:
    """By how many percent the RMSE of a model is larger on hidden blocks than on hidden single days."""
    rmse = runs.set_index(["model", "features", "gap"])["rmse"]
    return float(100 * (rmse[model, features, "blocks"] / rmse[model, features, "random"] - 1))


def peer_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Our models beside independent implementations of them, from the rows of a stored evaluation that have a peer."""
    found = pd.DataFrame(rows).dropna(subset=["ratio"])
    columns = {
        "model": found["model"].map(model_title),
        "features": [features_title(m, f) for m, f in zip(found["model"], found["features"], strict=True)],
        "gaps": found["gap"].map(GAP_KINDS),
        "RMSE here": found["rmse"],
        "spread over seeds": found["rmse_sd"],
        "RMSE of others": found["peer_rmse"],
        "ratio": found["ratio"],
    }
    return pd.DataFrame(columns).set_index("model")
