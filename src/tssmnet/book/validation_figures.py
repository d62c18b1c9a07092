"""The tables and figures of the page on validation: Table 4 by several judges, the ranks it gives, single stations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet import metrics
from tssmnet.book.findings import agreement_words, signed
from tssmnet.book.paper import paper_table
from tssmnet.book.products import PRODUCTS
from tssmnet.book.style import PRODUCT_COLOURS, figure
from tssmnet.book.tables import SCORE_TITLES, score_table
from tssmnet.book.validation import RECONSTRUCTIONS, SHORT
from tssmnet.metrics import pooled

JUDGES = {
    "paper, stations": "paper:\nstations",
    "stations": "stations,\nall days",
    "gap days": "stations,\ngap days",
    "truth, station-days": "truth at\nstation-days",
    "truth, everywhere": "truth,\nall cells",
    "truth, gaps": "truth,\nall gaps",
}
"""What products are held against, and how the figure of ranks names it."""

COMPARED = (
    ("stations", "truth, everywhere"),
    ("stations", "truth, station-days"),
    ("gap days", "truth, gaps"),
    ("paper, stations", "stations"),
)
"""Pairs of judges whose agreement the page tells."""

IN_SERIES = {"station": "station", "truth": "truth of the cell"} | {n: SHORT[n] for n in ("rf", "tssmnet", "smap")}
"""What is drawn of a station, with its label."""

LEAST_DAYS = 30
"""A station or cell with fewer days in common has no scores of its own."""


def cited_table() -> pd.DataFrame:
    """The paper's own Table 4; index: names in `tssmnet.book.products.PRODUCTS`."""
    paper = paper_table(4)
    return paper.set_index(paper["data"].str.lower()).drop(columns="data")


def printed(scores: pd.DataFrame) -> pd.DataFrame:
    """A version of Table 4 as the paper prints it."""
    return score_table(scores, {name: product.title for name, product in PRODUCTS.items()})


def best(scores: pd.DataFrame) -> str:
    """The reconstruction with the lowest RMSE."""
    return SHORT[str(scores.loc[[*RECONSTRUCTIONS], "rmse"].idxmin())]


def smap_share(scores: pd.DataFrame) -> float:
    """Share (%) of the pairs of TsSMNet on which SMAP has a value too."""
    return float(100 * scores.loc["smap", "count"] / scores.loc["tssmnet", "count"])


def what_is_the_stations(by_readings: float, by_truth: float) -> str:
    """What a sentence adds where most of a mean square error is the distance of the stations from their cells."""
    if by_readings**2 <= 2 * by_truth**2:
        return ""
    return ": most of what Table 4 calls error is the station's distance from its cell"


def ranks_by_judge(paper: pd.DataFrame, sums: Mapping[str, Mapping[str, pooled.Sums]], **draws: Any) -> pd.DataFrame:
    """Ranks of the reconstructions by RMSE; columns (judge, ``rank``, ``rank_low``, ``rank_high``, ``first``).

    `paper`: from `cited_table`, which has no intervals.
    `sums`: judge to product to its sums, as in `pooled.pooled_table`.
    `draws`: ``resamples`` and ``seed`` of `pooled.resampled_ranks`.
    """
    found = {"paper, stations": pooled.ranking(paper.loc[[*RECONSTRUCTIONS]]).to_frame("rank")}
    for judge, products in sums.items():
        found[judge] = pooled.resampled_ranks({name: products[name] for name in RECONSTRUCTIONS}, **draws)
    return pd.concat(found, axis=1)


def ranks_table(ranks: pd.DataFrame) -> pd.DataFrame:
    """The ranks of `ranks_by_judge` as text, each with its range."""
    judges = ranks.columns.unique(0)
    texts = {judge: [_rank_text(row) for _, row in ranks[judge].iterrows()] for judge in judges}
    return pd.DataFrame(texts, index=pd.Index(map(SHORT.get, ranks.index), name="product"))


def _rank_text(row: pd.Series) -> str:
    spread = f" [{row['rank_low']:.0f} to {row['rank_high']:.0f}]" if "rank_low" in row else ""
    return f"{row['rank']:.0f}{spread}"


def agreements(ranks: pd.DataFrame) -> str:
    """How far the judges of `COMPARED` agree, in words. `ranks`: a column for each judge."""
    taus = {(a, b): pooled.agreement(ranks[a], ranks[b]) for a, b in COMPARED if a in ranks and b in ranks}
    return "; ".join(
        f"“{a}” and “{b}” put the five {agreement_words(tau)} (Kendall's tau {signed(tau, 2)})"
        for (a, b), tau in taus.items()
    )


def best_by_score(stations: pd.DataFrame, truth: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Who is best by stations and by the truth under each score, and how far the two orders agree."""
    rows = {}
    for metric in pooled.TABLE_4[:-1]:
        a, b, c = (pooled.ranking(table.loc[[*RECONSTRUCTIONS]], metric) for table in (stations, truth, paper))
        rows[SCORE_TITLES[metric].split(" (")[0]] = {
            "best by stations": SHORT[str(a.idxmin())],
            "best by the truth": SHORT[str(b.idxmin())],
            "Kendall's tau": pooled.agreement(a, b),
            "tau of paper's stations and truth": pooled.agreement(c, b),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("score")


def station_pairs(matched: pd.DataFrame) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Readings and values of each product, for the scatters. `matched`: from `tssmnet.metrics.stations.match`."""
    return {title: (matched["reading"].to_numpy(), matched[name].to_numpy()) for name, title in SHORT.items()}


def field_pairs(reference: NDArray[Any], fields: Mapping[str, Any]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """A reference and each product, shape (time, pixel), for the scatters. `fields`: by name of the product."""
    return {title: (reference.ravel(), np.asarray(fields[name]).ravel()) for name, title in SHORT.items()}


def station_series(
    matched: pd.DataFrame, product: xr.DataArray, truth: xr.DataArray | None
) -> dict[str, dict[str, xr.DataArray]]:
    """Series at one station of each network, of five networks at most: that with most days where SMAP sees enough.

    `matched`: from `tssmnet.metrics.stations.match`.
    `product`, `truth`: dims (product, time, pixel) and (time, pixel), m3 m-3; the truth is left out where it is None.
    """
    size = matched.groupby(["network", "station"]).agg(days=("reading", "size"), seen=("smap", "count")).reset_index()
    well = size[size["seen"] >= min(20, size["seen"].max())]
    well = well.sort_values(["network", "days"], ascending=[True, False]).groupby("network").head(1).head(5)
    series = {}
    for name in well["station"]:
        one = matched[matched["station"] == name].set_index("time")
        cell = int(one["pixel"].iloc[0])
        known = {} if truth is None else {"truth": truth.isel(pixel=cell)}
        known |= {n: product.sel(product=n).isel(pixel=cell) for n in ("rf", "tssmnet", "smap")}
        series[str(name)] = {"station": one["reading"].to_xarray(), **known}
    return series


def station_scores(matched: pd.DataFrame, series: Mapping[str, Mapping[str, xr.DataArray]]) -> pd.DataFrame:
    """Scores of TsSMNet at the stations of `station_series`, with intervals that allow for autocorrelation."""
    rows = {}
    for name, one in series.items():
        here = matched[matched["station"] == name]
        pair = here["reading"].to_numpy(), here["tssmnet"].to_numpy()
        rows[name] = {
            "days": len(here),
            "bias (m³ m⁻³)": _with_interval(metrics.bias(*pair), metrics.bias_ci(*pair), 3),
            "r": _with_interval(metrics.r(*pair), metrics.r_ci(*pair), 2),
            "ubRMSE (m³ m⁻³)": _with_interval(metrics.ubrmse(*pair), metrics.ubrmse_ci(*pair), 3),
            "RMSE against the truth": metrics.rmse(one["truth"].values, one["tssmnet"].values)
            if "truth" in one
            else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("station")


def _with_interval(value: float, interval: Sequence[float], digits: int) -> str:
    low, high = (f"{end:.{digits}f}" for end in interval)
    return f"{value:.{digits}f} [{low}, {high}]".replace("-", "−")


def network_scores(matched: pd.DataFrame) -> pd.DataFrame:
    """Scores of TsSMNet by network: medians over its stations of `LEAST_DAYS` days and more."""
    rows = {}
    for network, part in matched.groupby("network"):
        pairs = [(g["reading"], g["tssmnet"]) for _, g in part.groupby("station") if len(g) >= LEAST_DAYS]
        scores = [(metrics.r(*p), metrics.bias(*p), metrics.ubrmse(*p)) for p in pairs]
        each = pd.DataFrame(scores, columns=["r", "bias", "ubrmse"], dtype=float)
        rows[network] = {
            "stations": part["station"].nunique(),
            "cells": part["pixel"].nunique(),
            "station-days": f"{len(part):,}",
            "SMAP's share (%)": f"{100 * part['smap'].notna().mean():.0f}",
            "r": each["r"].median(),
            "bias (m³ m⁻³)": each["bias"].median(),
            "spread of the biases": each["bias"].std(ddof=0),
            "ubRMSE (m³ m⁻³)": each["ubrmse"].median(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def scale_curves(curve: pd.DataFrame) -> Any:
    """RMSE against the mean of some of a cell's stations, from `tssmnet.book.stations.errors_of_means`."""
    with figure(figsize=(4.6, 2.8)) as (fig, ax):
        for name, label in (("tssmnet", "TsSMNet"), ("truth", "truth of the cell")):
            ax.plot(curve.index, curve[name], "-o", color=PRODUCT_COLOURS[name], label=label)
        ax.set_xscale("log", base=2)
        ax.set(xticks=curve.index, xticklabels=curve.index, ylim=(0, None))
        ax.set(xlabel="stations of a cell averaged", ylabel="RMSE against their mean\n(m³ m⁻³)")
        ax.legend()
    return fig


def sums_by_cell(other: xr.DataArray, fields: Mapping[str, NDArray[Any]]) -> dict[str, pooled.Sums]:
    """`pooled.sums_by_place` of fields against another product, dims (time, pixel), on its cells."""
    cells = other.sizes["pixel"]
    return {n: pooled.sums_by_place(other.values, field, np.arange(cells), cells) for n, field in fields.items()}


def in_squares(sums: Mapping[str, pooled.Sums], other: xr.DataArray, degrees: float) -> dict[str, pooled.Sums]:
    """The sums of `sums_by_cell` added up over squares of so many degrees, which are drawn again as one place."""
    square, count = pooled.squares(other, degrees)
    return {n: np.stack([np.bincount(square, c, count) for c in by_cell.T], -1) for n, by_cell in sums.items()}


def cell_maps(sums: Mapping[str, pooled.Sums], other: xr.DataArray, score: str) -> dict[str, xr.DataArray]:
    """A score of SMAP and of TsSMNet in each cell, NaN below `LEAST_DAYS` days in common; by title."""
    maps = {}
    for name in ("smap", "tssmnet"):
        values = pooled.scores_from(sums[name])
        kept = np.where(values["count"] >= LEAST_DAYS, values[score], np.nan)
        maps[SHORT[name]] = xr.DataArray(kept, dims="pixel", coords={"lat": other["lat"], "lon": other["lon"]})
    return maps
