"""Scores of many stations or cells taken together: error sums by place, pooled tables, ranks and their intervals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from tssmnet.errors import TssmnetError
from tssmnet.metrics.scores import LEVEL, METRICS

TABLE_4 = ("bias", "r", "rmse", "ubrmse", "slope", "count")
"""The columns of the paper's Table 4, in its order."""

Sums = NDArray[np.float64]


def sums_by_place(reference: ArrayLike, estimate: ArrayLike, place: ArrayLike, places: int) -> Sums:
    r"""Count and sums from which every score of Table 4 follows, for each place.

    Parameters
    ----------
    reference, estimate
        Of one shape; pairs with NaN on a side do not count.
    place
        Number of each pair's place, 0 to ``places - 1``; broadcast to their shape.

    Returns
    -------
    ndarray
        Shape (places, 6): :math:`n, \sum x, \sum y, \sum x^2, \sum y^2, \sum xy`. Sums add up: over places, over parts
        of a record that is too large to hold.
    """
    x, y = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    group = np.broadcast_to(np.asarray(place), x.shape)[both]
    x, y = x[both], y[both]
    sums = np.empty((places, 6))
    sums[:, 0] = np.bincount(group, minlength=places)
    sums[:, 1] = np.bincount(group, weights=x, minlength=places)
    sums[:, 2] = np.bincount(group, weights=y, minlength=places)
    for column, (one, other) in enumerate(((x, x), (y, y), (x, y)), 3):  # one at a time: there may be millions
        sums[:, column] = np.bincount(group, weights=one * other, minlength=places)
    return sums


def scores_from(sums: Sums) -> dict[str, Any]:
    """The scores of Table 4 from `sums_by_place`, pooled over whatever was summed; shape ``sums.shape[:-1]``.

    Pooled ubRMSE removes the one pooled bias, as the paper's does: its ubRMSE is the root of RMSE squared less bias
    squared.

    Examples
    --------
    >>> sums = sums_by_place([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], 0, 1)
    >>> {name: round(float(value[0]), 6) for name, value in scores_from(sums).items()}
    {'bias': 0.1, 'r': 1.0, 'rmse': 0.1, 'ubrmse': 0.0, 'slope': 1.0, 'count': 3.0}
    """
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        bias, square = (y - x) / n, (xx - 2 * xy + yy) / n
        covariance = xy / n - x / n * (y / n)
        of_x, of_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        alive = (of_x > 1e-14) & (of_y > 1e-14)  # rounding is no variance
        return {
            "bias": bias,
            "r": np.where(alive, covariance / np.sqrt(np.where(alive, of_x * of_y, 1.0)), np.nan),
            "rmse": np.sqrt(np.maximum(square, 0)),
            "ubrmse": np.sqrt(np.maximum(square - bias**2, 0)),
            "slope": np.where(of_x > 1e-14, covariance / of_x, np.nan),
            "count": n,
        }


def resampled_scores(sums: Mapping[str, Sums], resamples: int = 1000, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Scores when places are drawn again with replacement, the same draw for every product; arrays (resamples,).

    Days, stations of one cell, and products on the same days hang together; whole places drawn again keep all of it.
    """
    joined = np.stack(list(sums.values()))
    used = np.flatnonzero(joined[..., 0].sum(0) > 0)
    if not used.size:
        raise TssmnetError(f"no product of {', '.join(sums)} has a value where the reference has one")
    draws = np.random.default_rng([0x51735, seed]).multinomial(used.size, np.full(used.size, 1 / used.size), resamples)
    return {name: scores_from(draws.astype(np.float64) @ part[used]) for name, part in sums.items()}


def pooled_table(
    sums: Mapping[str, Sums], *, level: float = LEVEL, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Rows of Table 4: scores over all pairs, with intervals.

    Parameters
    ----------
    sums
        Product to `sums_by_place`, over the same places.
    level, resamples, seed
        Of the intervals, see `resampled_scores`.

    Returns
    -------
    pandas.DataFrame
        Index product; columns `TABLE_4` (m3 m-3, pure numbers, pairs), ``<score>_low`` and ``<score>_high``.
    """
    again = resampled_scores(sums, resamples, seed)
    ends = [(1 - level) / 2, (1 + level) / 2]
    rows = {}
    for name, part in sums.items():
        row = {k: float(v) for k, v in scores_from(part.sum(0)).items()}
        for score_name in TABLE_4[:-1]:
            values = again[name][score_name]
            known = values[np.isfinite(values)]
            low, high = np.quantile(known, ends) if known.size else (np.nan, np.nan)
            row |= {f"{score_name}_low": float(low), f"{score_name}_high": float(high)}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("product")


def station_sums(matched: pd.DataFrame, products: Collection[str]) -> dict[str, Sums]:
    """`sums_by_place` of products against the readings of a table from `match`; a place is a cell."""
    cells, place = np.unique(matched["pixel"].to_numpy(), return_inverse=True)
    reading = matched["reading"].to_numpy()
    return {name: sums_by_place(reading, matched[name].to_numpy(), place, len(cells)) for name in products}


def field_sums(
    reference: ArrayLike, product: xr.DataArray, where: ArrayLike | None = None, degrees: float | None = None
) -> dict[str, Sums]:
    """`sums_by_place` of products against a field that is known everywhere.

    Parameters
    ----------
    reference
        Shape (time, pixel), m3 m-3.
    product
        Dims (product, time, pixel) with ``lat``, ``lon``.
    where
        Shape (time, pixel): the days that count; all by default.
    degrees
        Side of the squares of cells that make one place, since neighbours share their errors; None: a cell is a place.
    """
    truth = np.asarray(reference, np.float64)
    truth = truth if where is None else np.where(where, truth, np.nan)
    place, places = squares(product, degrees)
    return {
        str(name): sums_by_place(truth, product.sel(product=name).transpose("time", "pixel").values, place, places)
        for name in product["product"].values
    }


def squares(field: xr.DataArray, degrees: float | None) -> tuple[NDArray[np.int64], int]:
    """The number of the square of `degrees` that each cell lies in, shape (pixel,), and how many there are.

    None makes each cell its own.
    """
    if degrees is None:
        return np.arange(field.sizes["pixel"]), field.sizes["pixel"]
    corners = np.stack([np.floor(field["lat"].values / degrees), np.floor(field["lon"].values / degrees)], axis=1)
    square, place = np.unique(corners, axis=0, return_inverse=True)
    return place.ravel(), len(square)


def ranking(table: pd.DataFrame, metric: str = "rmse") -> pd.Series:
    """Rank of each row by a score, 1 the best: nearest to the value that is best for it (see `METRICS`)."""
    best = METRICS[metric].best
    return (table[metric] - (0.0 if best is None else best)).abs().rank(method="min").astype(int)


def resampled_ranks(
    sums: Mapping[str, Sums], metric: str = "rmse", resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How sure a ranking is: the ranks of each product over places drawn again.

    Returns
    -------
    pandas.DataFrame
        Index product; ``rank`` of all pairs, ``rank_low`` and ``rank_high`` (95 %), ``first``: share of draws won.
    """
    again = resampled_scores(sums, resamples, seed)
    wide = pd.DataFrame({name: values[metric] for name, values in again.items()})
    best = METRICS[metric].best or 0.0
    ranks = (wide - best).abs().rank(axis=1, method="min")
    point = pd.DataFrame({name: scores_from(part.sum(0)) for name, part in sums.items()}).T
    low, high = (ranks.quantile(q, interpolation="nearest").astype(int) for q in (0.025, 0.975))
    return pd.DataFrame(
        {"rank": ranking(point.astype(float), metric), "rank_low": low, "rank_high": high, "first": (ranks == 1).mean()}
    ).rename_axis("product")


def agreement(first: pd.Series, second: pd.Series) -> float:
    """Kendall's tau of two rankings on the rows both have: 1 the same order, -1 the reverse, NaN below two rows."""
    from scipy.stats import kendalltau

    both = first.index.intersection(second.index)
    return float(kendalltau(first[both], second[both]).statistic) if len(both) > 1 else float("nan")
