"""What section 4.1 draws: importance of kinds of features and of descriptors, and the selection among these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tssmnet.book.importance import short_name
from tssmnet.book.style import COLOURS, figure
from tssmnet.book.tables import FEATURE_TITLES, model_title
from tssmnet.features.samples import Features
from tssmnet.features.screening import Screening, correlation_matrix

KINDS = {
    "forcing": "predictors of the day",
    "memory": "memory",
    "season": "season",
    "static": "constants",
    "position": "position",
    "descriptor": "descriptors",
}

Found = Mapping[tuple[str, str], Mapping[str, Any]]
"""(model, feature set) to what `tssmnet.book.importance.trial_importance` found."""


def kind_bars(found: Found) -> Any:
    """Growth of the RMSE by kind of features, without memory (left) and with it (right)."""
    with figure(1, 2, figsize=(7.4, 3.5), sharey=True) as (fig, axes):
        for ax, features in zip(axes, ("base+desc", "lag+desc"), strict=True):
            for i, model in enumerate(("tssmnet", "xgboost")):
                table = pd.DataFrame(found[model, features]["kind"]).set_index("group").reindex([*KINDS])
                place = np.arange(len(KINDS)) + (i - 0.5) * 0.38
                label = f"{model_title(model)}, RMSE {found[model, features]['rmse']:.4f}"
                ax.barh(place, table.increase, 0.36, xerr=table.spread, label=label)
            ax.set(title=FEATURE_TITLES[features], xlabel="growth of the RMSE (m³ m⁻³)", yticks=range(len(KINDS)))
            ax.set_yticklabels([*KINDS.values()])
            ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2))
        axes[0].invert_yaxis()
    return fig


def descriptor_bars(found: Found, most: int = 12) -> Any:
    """The most important groups of descriptors, a panel for each model, on the paper's own features."""
    with figure(1, 2, figsize=(7.6, 4.6)) as (fig, axes):
        for ax, model in zip(axes, ("tssmnet", "xgboost"), strict=True):
            table = pd.DataFrame(found[model, "base+desc"]["descriptor"]).head(most).iloc[::-1]
            ax.plot(table.increase, np.arange(len(table)), "o", color=COLOURS[2])
            ax.errorbar(table.increase, np.arange(len(table)), xerr=table.spread, fmt="none", color=COLOURS[2])
            ax.axvline(0, color="0.3", linewidth=0.8)
            ax.set_yticks(range(len(table)), [short_name(name) for name in table.group], fontsize=8)
            ax.set_xscale("symlog", linthresh=1e-3)
            ax.set_xlim(right=max(2e-3, 1.6 * table.increase.max()))
            ax.set(
                title=model_title(model), xlabel="growth of the RMSE (m³ m⁻³),\nlinear below 0.001, logarithmic above"
            )
    return fig


def selection_table(screening: Screening, tested: pd.DataFrame) -> pd.DataFrame:
    """What the screening and the relevance test say of each descriptor."""
    table = screening.table().set_index("feature").join(tested)
    table = table[["group", "kept", "vif", "reason", "p_value", "relevant"]]
    for name in ("relevant", "kept"):
        table[name] = table[name].map({True: "yes", False: "no"})
    table["p_value"] = [f"{p:.1e}" for p in table.p_value]
    return table.rename(columns={"vif": "VIF", "reason": "dropped because", "p_value": "p (tsfresh)"})


def correlations(features: Features, screening: Screening) -> Any:
    """Rank correlation of the descriptors, ordered by correlation group (frames); those kept are bold."""
    import matplotlib.pyplot as plt

    order = [name for group in screening.groups for name in group]
    chosen = features.select(order)
    values = chosen.static[:, [chosen.static_names.index(n) for n in order]]
    known = values[np.isfinite(values).all(1)].astype(np.float64)
    with figure(figsize=(6.4, 5.4)) as (fig, ax):
        image = ax.imshow(correlation_matrix(known), cmap="PuOr_r", vmin=-1, vmax=1)
        ax.set_xticks(range(len(order)), order, rotation=90, fontsize=8)
        ax.set_yticks(range(len(order)), order, fontsize=8)
        for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
            label.set_fontweight("bold" if label.get_text() in screening.kept else "normal")
        start = -0.5
        for group in screening.groups:
            ax.add_patch(plt.Rectangle((start, start), len(group), len(group), fill=False, linewidth=1.2))
            start += len(group)
        fig.colorbar(image, ax=ax, label="rank correlation", shrink=0.8)
    return fig
