"""What the page "The filler on real SMAP" shows: from its stored runs, and from a small run of the page's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.style import COLOURS, figure
from tssmnet.book.tables import model_title, strata_table
from tssmnet.cube.earth import SEASONS
from tssmnet.filler.evidence import frozen
from tssmnet.gaps import simulate_gaps
from tssmnet.reconstruction.fitted import FILLER
from tssmnet.trials.study import BESIDE, DISTANCES, GAPS

Mask = NDArray[np.bool_]
Content = Mapping[str, Any]


def by_kind(content: Content, score: str) -> pd.DataFrame:
    """A score, one row a model and one column a kind of gaps."""
    wide = pd.DataFrame(content["rows"]).pivot_table(index="model", columns="gap", values=score)
    order = [n for n in (*(m for m, _ in BESIDE), "lstm", "lstm_multitask") if n in wide.index]
    wide = wide.loc[order, [g for g in GAPS if g in wide]].rename(columns=GAPS).rename_axis(columns=None)
    return wide.set_axis([model_title(n) for n in order]).rename_axis("model")


def kind_bars(table: pd.DataFrame) -> Any:
    """The scores of `by_kind`, a group for each kind of gaps."""
    kinds, step = list(table.columns), 0.8 / len(table)
    with figure(figsize=(7.4, 3.2)) as (fig, ax):
        for i, (name, row) in enumerate(table.iterrows()):
            place = np.arange(len(kinds)) + (i - len(table) / 2 + 0.5) * step
            ax.bar(place, row, 0.9 * step, label=name, color=COLOURS[i % len(COLOURS)])
        ax.set(ylabel="RMSE (m³ m⁻³)", xticks=range(len(kinds)), xticklabels=[k.replace(" ", "\n", 1) for k in kinds])
        ax.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig


def gains(table: pd.DataFrame) -> str:
    """How much lower the filler's error is than the best of the others', by kind of gaps."""
    mine = model_title(FILLER)
    gain = 100 * (1 - table.loc[mine] / table.drop(index=mine).min())
    return ", ".join(f"{kind}: {value:+.0f} %" for kind, value in gain.items())


def runs_table(content: Content) -> pd.DataFrame:
    """The filler over its runs: errors, their range, processor minutes, coverage and width of the interval."""
    runs = pd.DataFrame(content["runs"])
    groups = runs[runs.model == FILLER].groupby("gap")
    spread = pd.DataFrame(
        {
            "runs": groups.rmse.size(),
            "RMSE": groups.rmse.mean(),
            "lowest RMSE": groups.rmse.min(),
            "highest RMSE": groups.rmse.max(),
            "ubRMSE": groups.ubrmse.mean(),
            "processor minutes": groups.cpu_seconds.mean() / 60,
            "inside the 90 % interval (%)": groups.intervals.apply(lambda r: 100 * np.mean([i["coverage"] for i in r])),
            "width of the interval": groups.intervals.apply(lambda r: np.mean([i["width"] for i in r])),
        }
    )
    return spread.loc[[g for g in GAPS if g in spread.index]].rename(index=GAPS).rename_axis("gaps")


def strata(content: Content) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors and coverage by days to the nearest observation (all kinds but the time ahead), and by season (blocks)."""
    runs = content["runs"]
    return strata_table(runs, "days", [g for g in GAPS if g != "ahead"]), strata_table(runs, "season", ["blocks"])


def strata_lines(by_days: pd.DataFrame, by_season: pd.DataFrame) -> Any:
    """RMSE of each model by distance to the nearest observation and by season."""
    panels = (
        (by_days, [*DISTANCES], "days to the nearest observation"),
        (by_season, [*SEASONS], "season (blocks of 10 to 30 days)"),
    )
    with figure(1, 2, figsize=(7.4, 3.0), sharey=True, width_ratios=(6, 4)) as (fig, axes):
        for ax, (rmse, order, label) in zip(axes, panels, strict=True):
            names = [n for n in order if n in rmse.index]
            for i, model in enumerate(m for m, _ in BESIDE if m in rmse):
                width = 2.2 if model == FILLER else 1
                look = {"marker": "osD^vP"[i], "color": COLOURS[i], "linewidth": width}
                ax.plot(names, rmse.loc[names, model], label=model_title(model), **look)
            ax.set(xlabel=label)
            ax.tick_params(axis="x", labelsize=8)
        axes[0].set_ylabel("RMSE (m³ m⁻³)")
        fig.legend(*axes[0].get_legend_handles_labels(), ncols=6, fontsize=8, loc="outside upper center")
    return fig


def coverage(by_days: pd.DataFrame, by_season: pd.DataFrame) -> pd.Series:
    """Share (%) inside the 90 % interval by distance, then by season."""
    near = by_days.inside.reindex([n for n in DISTANCES if n in by_days.index])
    return pd.concat([near, by_season.inside.reindex([*SEASONS])])


def reliability(runs: Iterable[Mapping[str, Any]], held: pd.Series) -> Any:
    """Found against stated share of errors by kind of gaps (left), and coverage by stratum (right)."""
    mine = [r for r in runs if r["model"] == FILLER]
    with figure(1, 2, figsize=(7.4, 3.0)) as (fig, (left, right)):
        left.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for i, (gap, title) in enumerate(GAPS.items()):
            levels = pd.DataFrame([r["intervals"]["levels"] for r in mine if r["gap"] == gap])
            if len(levels):
                look = {"marker": "osD^vP<>"[i], "markersize": 3, "color": COLOURS[i % len(COLOURS)]}
                left.plot([float(v) for v in levels], levels.mean(), label=title, **look)
        left.set(xlabel="stated share below", ylabel="found share below", aspect="equal", xlim=(0, 1), ylim=(0, 1))
        left.legend(fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        right.axhspan(87, 93, color="0.9")
        right.axhline(90, color="0.6", linewidth=1)
        right.plot(held.to_numpy(), "o", color=COLOURS[0])
        right.set_xticks(range(len(held)), held.index, rotation=60, ha="right", fontsize=8)
        right.set(ylabel="inside the 90 % interval (%)", ylim=(75, 100))
    return fig


def three_kinds_hidden(observed: Mask, seed: int) -> dict[str, Mask]:
    """Observations hidden at once as whole pixels, blocks and random days, each from those that the others left."""
    hidden = {"pixels": simulate_gaps(observed, "pixels", seed, fraction=0.15)}
    hidden["blocks"] = simulate_gaps(observed & ~hidden["pixels"], "blocks", seed, fraction=0.15)
    left = observed & ~hidden["pixels"] & ~hidden["blocks"]
    return hidden | {"random": simulate_gaps(left, "random", seed, fraction=0.1)}


def small_settings(rounds: int) -> dict[str, Any]:
    """Settings of the filler for a small run: few rounds and epochs, no networks in the forward models."""
    boosting = {"rounds": rounds, "rate": 0.12, "depth": 6, "columns": 0.4, "patience": 0}
    none: dict[str, Any] = dict.fromkeys(("networks", "strangers", "far"), ())
    return {"folds": 2, "rows": 20_000, "epochs": 2, **none, **dict.fromkeys(("forward", "boosting"), boosting)}


def ablation_table(answers: Mapping[str, xr.Dataset], record: NDArray[Any], hidden: Mapping[str, Mask]) -> pd.DataFrame:
    """RMSE of each answer on each kind of hidden observations."""
    rows = {
        name: {
            GAPS[kind]: float(np.sqrt(((answer.ssm_model.values - record) ** 2)[hidden[kind]].mean()))
            for kind in ("random", "blocks", "pixels")
        }
        for name, answer in answers.items()
    }
    return pd.DataFrame(rows).T.rename_axis("what the filler knows")


def ablation_bars(table: pd.DataFrame, reference: str, without: Sequence[str]) -> Any:
    """Change of the RMSE (%) from the row `reference` when something is left out; rows `without` are not drawn."""
    change = 100 * (table.drop(index=[reference, *without]) / table.loc[reference] - 1)
    with figure(figsize=(7.2, 2.6)) as (fig, ax):
        for i, kind in enumerate(change.columns):
            ax.barh(np.arange(len(change)) + (i - 1) * 0.26, change[kind], 0.24, label=kind, color=COLOURS[i])
        ax.set(xlabel="change of RMSE when left out (%)", yticks=range(len(change)), yticklabels=change.index)
        ax.invert_yaxis()
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.legend(loc="lower right")
    return fig


def frozen_table(cube: xr.Dataset, filled: xr.Dataset, hidden: Mask) -> pd.DataFrame:
    """Days below and above freezing: observed, how the hidden ones were filled, how wide the interval is."""
    record = cube.ssm.values
    observed, cold = np.isfinite(record), frozen(cube)
    half = (filled.ssm_upper - filled.ssm_lower).values / 2
    square = (filled.ssm_model.values - record) ** 2
    inside = (filled.ssm_lower.values <= record) & (record <= filled.ssm_upper.values)
    rows = {}
    for title, where in {"below freezing": cold, "above freezing": ~cold}.items():
        tested = hidden & where
        rows[title] = {
            "pixel-days": int(where.sum()),
            "observed (%)": 100 * observed[where].mean(),
            "hidden and scored": int(tested.sum()),
            "RMSE (m³ m⁻³)": np.sqrt(square[tested].mean()),
            "inside the interval (%)": 100 * inside[tested].mean(),
            "half width, scored (m³ m⁻³)": half[tested].mean(),
            "half width, never observed (m³ m⁻³)": half[where & ~observed].mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("air temperature")


def one_pixel(record: NDArray[Any], hidden: Mask, filled: xr.Dataset, place: int) -> Any:
    """Observations that the filler saw, those it did not, what it said and how sure it was, at one pixel."""
    one, days, gone, seen = filled.isel(pixel=place), filled.time.values, hidden[:, place], record[:, place]
    with figure(figsize=(7.4, 3.0)) as (fig, ax):
        low, high = one.ssm_lower.values, one.ssm_upper.values
        ax.fill_between(days, low, high, color=COLOURS[0], alpha=0.25, linewidth=0, label="90 % interval")
        ax.plot(days, one.ssm_model, color=COLOURS[0], linewidth=0.9, label="filler")
        ax.plot(days[~gone], seen[~gone], ".", color="0.35", markersize=3, label="observed")
        ax.plot(days[gone], seen[gone], "D", color=COLOURS[1], markersize=3, label="hidden")
        ax.set(ylabel="soil moisture (m³ m⁻³)", xlim=(days[0], days[-1]))
        ax.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return fig
