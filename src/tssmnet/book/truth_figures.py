"""The tables, figures and sentences of the page on the truth in the gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.book.conclusions import COLD
from tssmnet.book.findings import signed, than
from tssmnet.book.style import COLOURS, figure
from tssmnet.book.truth import OBSERVED, ORBIT, Labels, errors_by, season_labels
from tssmnet.book.validation import RECONSTRUCTIONS, SHORT, Study
from tssmnet.cube.earth import SEASONS
from tssmnet.metrics import pooled

NET_COLUMNS = {
    "share": "share of gap days (%)",
    "bias": "bias (m³ m⁻³)",
    "rmse": "RMSE (m³ m⁻³)",
    "rmse_in_time": "error in time (m³ m⁻³)",
    "r": "r",
    "slope": "slope",
}
"""The columns of `tssmnet.book.truth.errors_by` that the page shows, in a reader's words."""

SPLIT_COLUMNS = {
    "split": "random split: hidden days against SMAP",
    "split_truth": "the same days against the truth",
    "gaps_truth": "real gaps against the truth",
    "split_in_time": "random split, error in time",
    "split_truth_in_time": "the same days, error in time",
    "gaps_truth_in_time": "real gaps, error in time",
}
"""What `tssmnet.book.truth.random_split` gives, in a reader's words."""


def share_by_month(cause: Labels, causes: Sequence[str], time: xr.DataArray) -> pd.DataFrame:
    """Share of cells and days of each cause by month; the observed days first, then the causes by their frequency."""
    month = time.values.astype("datetime64[M]").astype("datetime64[ns]")
    share = pd.DataFrame({name: (cause == i).mean(1) for i, name in enumerate(causes)}).groupby(month).mean()
    return share[sorted(causes, key=lambda name: (name != OBSERVED, -share[name].mean()))]


def shares_in_words(share: pd.Series, digits: int = 0) -> str:
    """Shares in per cent, one after the other.

    Examples
    --------
    >>> shares_in_words(pd.Series({"frost": 0.25, "snow": 0.004}), 1)
    '*frost* (25.0 %), *snow* (0.4 %)'
    """
    return ", ".join(f"*{name}* ({100 * value:.{digits}f} %)" for name, value in share.items())


def main_causes(
    cause: Labels, causes: Sequence[str], missing: Sequence[str], truth: xr.DataArray
) -> dict[str, xr.DataArray]:
    """The most frequent cause of a missing day in each cell, an index into `missing`, in winter and in summer."""
    fields = {}
    for title, season in (("December to February", "winter"), ("June to August", "summer")):
        days = truth["time"].dt.month.isin(SEASONS[season]).values
        counts = np.stack([(cause[days] == causes.index(name)).sum(0) for name in missing])
        main = np.where(counts.any(0), counts.argmax(0), np.nan)
        fields[title] = xr.DataArray(main, dims="pixel", coords={"lat": truth["lat"], "lon": truth["lon"]})
    return fields


def rmse_table(errors: pd.DataFrame, labels: Iterable[str], products: Iterable[str] = tuple(SHORT)) -> pd.DataFrame:
    """True RMSE, a row for each product, a column for each label; from `tssmnet.book.truth.errors_of_products`."""
    found = errors["rmse"].unstack("label").loc[[*products], [*labels]]
    return found.rename(index=SHORT).rename_axis("product").rename_axis(columns=None)


def net_table(net: pd.DataFrame) -> pd.DataFrame:
    """The errors of TsSMNet by cause, with the share of each cause among the gap days."""
    days = net["count"].drop(OBSERVED)
    share = (100 * days / days.sum()).map("{:.1f}".format).reindex(net.index, fill_value="–")
    return net.assign(share=share)[[*NET_COLUMNS]].rename(columns=NET_COLUMNS).rename_axis("cause")


def of_cold_gaps(net: pd.DataFrame) -> str:
    """How TsSMNet errs on frozen or snow-covered ground, a sentence for each cause, in comparison with orbit gaps."""
    warm = net.loc[ORBIT, "rmse_in_time"]
    return " ".join(
        f"In gaps by *{name}* TsSMNet is {than(row['bias'], 0, 'drier', 'wetter', same=0.003)} the truth "
        f"({signed(row['bias'])} m³ m⁻³); its error in time is "
        f"{than(row['rmse_in_time'], warm, 'smaller', 'larger', same=0.002)} in orbit gaps "
        f"({row['rmse_in_time']:.3f} against {warm:.3f})."
        for name, row in net[net.index.isin(COLD)].iterrows()
    )


def by_cause_and_season(
    study: Study, cause: Labels, causes: Sequence[str], kinds: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """True RMSE of TsSMNet in gaps, and the share of all gap days: a row for each cause, a column for each season."""
    truth = study.truth
    assert truth is not None
    season = season_labels(truth["time"].values, truth.sizes["pixel"])
    both = np.where(cause > 0, season * len(causes) + cause, -1)
    names = pd.MultiIndex.from_product([SEASONS, causes])
    errors = errors_by(truth.values, study.values("tssmnet"), both, [*map("|".join, names)]).set_axis(names)
    rmse, share = (errors[score].unstack(0).loc[[*kinds], [*SEASONS]] for score in ("rmse", "share"))
    return rmse, share


def error_in_gaps(study: Study, name: str) -> xr.DataArray:
    """Root mean square of the true error of a product over the gap days of each cell."""
    assert study.truth is not None
    wrong = (study.product.sel(product=name) - study.truth).where(study.product.sel(product="smap").isnull())
    return (wrong**2).mean("time") ** 0.5


def split_table(split: pd.DataFrame) -> pd.DataFrame:
    """The errors of one fit under three judges, a row for each model."""
    return split[[*SPLIT_COLUMNS]].rename(columns=SPLIT_COLUMNS).rename_axis("model")


def split_bars(split: pd.DataFrame) -> Any:
    """The numbers of `split_table` as bars, in the left panel the RMSE, in the right one the error in time."""
    judges = {
        "split": "random split, against SMAP",
        "split_truth": "same days, truth",
        "gaps_truth": "real gaps, truth",
    }
    place = np.arange(len(split))
    with figure(1, 2, figsize=(7.6, 2.5), sharey=True) as (fig, axes):
        for ax, ending, title in zip(axes, ("", "_in_time"), ("RMSE", "error in time"), strict=True):
            for i, (key, label) in enumerate(judges.items()):
                ax.barh(place + 0.26 * (i - 1), split[key + ending], 0.25, label=label, color=COLOURS[i])
            ax.set(title=title, xlabel="m³ m⁻³", yticks=place, yticklabels=split.index)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        axes[0].invert_yaxis()
    return fig


def ranks_by_judge(by_stations: pd.DataFrame, errors: pd.DataFrame, kinds: Iterable[str]) -> pd.DataFrame:
    """Rank of each reconstruction by RMSE, a row for each judge: the stations, then the truth under each cause.

    `by_stations`: from `tssmnet.metrics.pooled.pooled_table`.
    `errors`: from `tssmnet.book.truth.errors_of_products`.
    """
    truths = {kind: errors.xs(kind, level="label").loc[[*RECONSTRUCTIONS]] for kind in kinds}
    return pd.DataFrame({name: pooled.ranking(t) for name, t in {"stations": by_stations, **truths}.items()}).T


def judges_table(ranks: pd.DataFrame, station_days: pd.Series, gap_days: pd.Series) -> pd.DataFrame:
    """`ranks_by_judge` as it is printed, with their agreement with the stations and the shares of each cause."""
    tau = [pooled.agreement(ranks.loc["stations"], row) for _, row in ranks.iterrows()]
    more: dict[str, Any] = {"Kendall's tau with stations": tau}
    for title, share in {"share of station-days (%)": station_days, "share of gap days (%)": gap_days}.items():
        more[title] = (100 * share).map("{:.1f}".format).reindex(ranks.index, fill_value="–")
    return ranks.rename(columns=SHORT).assign(**more).rename_axis("judge").rename_axis(columns=None)
