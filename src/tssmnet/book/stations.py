"""What pages show of stations and coarse cells: errors of means, and fields on the cells of another grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube.earth import nearest

TAKES, DRAWS = (1, 2, 4, 8), 20
"""How many stations of a cell are averaged, and how often they are chosen at random."""


def errors_of_means(
    values: xr.DataArray,
    cells: NDArray[np.int64],
    fields: Mapping[str, NDArray[Any]],
    seed: int = 0,
) -> pd.DataFrame:
    """How the RMSE of a field against stations falls when several stations of one cell are averaged.

    `values`: `readings`, dims (time, station).
    `cells`: cell of each station, as `nearest_pixels` gives it.
    `fields`: name to an array (time, pixel) on the same days, m3 m-3.
    `seed`: of the `DRAWS` random choices of stations in each cell.
    Returns index `TAKES`, a column for each field: RMSE in m3 m-3, NaN where no cell has as many stations as the
    largest. The attribute ``cells`` says how many took part.
    """
    rng = np.random.default_rng([0xCE11, seed])
    known = values.transpose("time", "station").values
    numbers, counts = np.unique(cells, return_counts=True)
    crowded = numbers[counts >= max(TAKES)]
    square = {(k, name): [np.nan] for k in TAKES for name in fields}
    for cell in crowded:
        members = np.flatnonzero(cells == cell)
        for k in TAKES:
            for _ in range(DRAWS):
                mean = known[:, rng.permutation(members)[:k]].mean(1)  # NaN unless all k report
                if np.isfinite(mean).any():
                    for name, field in fields.items():
                        square[k, name].append(float(np.nanmean((field[:, cell] - mean) ** 2)))
    rows = {k: {n: float(np.sqrt(pd.Series(square[k, n]).mean())) for n in fields} for k in TAKES}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stations")
    table.attrs["cells"] = len(crowded)
    return table


def on_cells(field: xr.DataArray, like: xr.DataArray | xr.Dataset, degrees: float = 0.25) -> NDArray[np.float32]:
    """A product on the cells of a coarser or finer grid in degrees, for a comparison day by day.

    `field`: dims (time, pixel), m3 m-3, with ``lat``, ``lon``.
    `like`: centres ``lat``, ``lon`` over ``pixel``, of cells `degrees` wide.
    Returns shape (time, pixels of `like`): the mean of the cells of `field` whose centre lies inside; where none does,
    the nearest one.
    """
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    to = np.stack([like["lat"].values, like["lon"].values], 1)
    have = np.stack([field["lat"].values, field["lon"].values], 1)
    # in the largest norm a cell is the ball of half its width about its centre
    away, owner = cKDTree(to).query(have, p=np.inf)
    inside = np.flatnonzero(away <= degrees / 2)
    empty = np.setdiff1d(np.arange(len(to)), owner[inside])
    closest = nearest(have[:, 0], have[:, 1], to[empty, 0], to[empty, 1])[0]
    rows, columns = np.concatenate([owner[inside], empty]), np.concatenate([inside, closest])
    weights = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(to), len(have)))
    values = field.transpose("time", "pixel").values.astype(np.float32)
    known = np.isfinite(values)
    total = weights @ np.where(known, values, 0).T
    count = weights @ known.T.astype(np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).T.astype(np.float32)
