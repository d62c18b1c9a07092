"""The numbers and the sentences of the page on limitations that not every profile or run has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.book.findings import listed, signed, than
from tssmnet.book.tables import classes_of

MEASURES = {
    "cold share": ("frozen ground", "share of gap days (%)", ".0f"),
    "cold": ("frozen ground", "true RMSE there (m³ m⁻³)", ".3f"),
    "warm": ("frozen ground", "in other gaps", ".3f"),
    "cold at stations": ("frozen ground", "share of the stations' gap days (%)", ".1f"),
    "unseen share": ("never observed", "cells (%)", ".1f"),
    "unseen": ("never observed", "true RMSE there (m³ m⁻³)", ".3f"),
    "retrieval": ("the retrieval", "SMAP's true RMSE (m³ m⁻³)", ".3f"),
    "fixed": ("the retrieval", "of it fixed in each cell", ".3f"),
    "cells": ("stations", "cells with a station (%)", ".2f"),
    "covers": ("stations", "map of land covers without a station (%)", ".0f"),
    "floor": ("stations", "RMSE of the truth itself against them (m³ m⁻³)", ".3f"),
    "against": ("stations", "RMSE of TsSMNet against them (m³ m⁻³)", ".3f"),
    "split": ("random split", "reports (m³ m⁻³)", ".3f"),
    "real": ("random split", "true in the real gaps (m³ m⁻³)", ".3f"),
}
"""The numbers of the table at the page's end: limit, measure, format."""

LARGE = 0.01
"""Share of the map from which a land cover is named."""


def limits_table(found: Mapping[str, float]) -> pd.DataFrame:
    """The numbers that a profile has, named as in `MEASURES`, by limit; NaN is left out."""
    rows = [
        {"limit": limit, "measure": measure, "here": f"{found[name]:{form}}"}
        for name, (limit, measure, form) in MEASURES.items()
        if np.isfinite(found.get(name, np.nan))
    ]
    table = pd.DataFrame(rows, columns=["limit", "measure", "here"])
    return table.assign(limit=table["limit"].where(table["limit"] != table["limit"].shift(), "")).set_index("limit")


def of_never_seen(never: pd.Series, seen: pd.Series) -> str:
    """How TsSMNet errs in cells without any observation, beside the gaps of the other cells; empty without such cells.

    `never`, `seen`: rows of `tssmnet.book.truth.errors_by`.
    """
    if not never["count"]:
        return ""
    word = than(never["rmse"], seen["rmse"], same=0.002)
    return (
        f"The true RMSE of TsSMNet there is {never['rmse']:.3f} m³ m⁻³, {word} in the gaps of cells that are seen at "
        f"other times ({seen['rmse']:.3f}). Its bias is {signed(never['bias'])}."
    )


def of_woods(by_cause: pd.DataFrame) -> str:
    """How TsSMNet errs under dense vegetation, from `tssmnet.book.truth.errors_by`; empty where there is none."""
    woods = by_cause.reindex(["vegetation"]).iloc[0]
    if not woods["count"] > 0:
        return ""
    share = 100 * woods["count"] / by_cause["count"].drop("observed").sum()
    return f"Under dense vegetation, {share:.1f} % of the gap days, it is {woods['rmse']:.3f} m³ m⁻³."


def covers_without(cube: xr.Dataset, cells: NDArray[Any]) -> pd.Series:
    """Land covers that none of the cells has, the largest first: their share of the map; empty without a land cover."""
    if "landcover" not in cube:
        return pd.Series(dtype=float)
    cover = pd.Series(cube["landcover"].values).map(classes_of(cube["landcover"]))
    return cover.value_counts(normalize=True).drop(cover[cells].unique(), errors="ignore")


def of_covers(share: pd.Series) -> str:
    """What `covers_without` found, as a sentence; empty where it found none."""
    large = share.index[share >= LARGE]
    above = f", {listed([*large])} above all" if len(large) else ""
    return f"{100 * share.sum():.0f} % of the map is of land covers without any station{above}." if len(share) else ""
