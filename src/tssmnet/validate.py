"""Products against stations, against another product, against a known truth.

`validate` scores a cube against each station and sums up by median and quartiles. The paper's Table 4 pools all
station-days instead: `match` lines them up, `sums_by_place` and `pooled_table` make its rows, with intervals from
resampling whole places, since the days of one place resemble each other.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from tssmnet.cube import SSM_UNITS, to_pixels
from tssmnet.errors import TssmnetError
from tssmnet.metrics import LEVEL, METRICS, score

EARTH_KM = 6371.0
COLUMNS = ("station", "lat", "lon", "time", "ssm")
GOOD_READINGS = ("G",)
TABLE_4 = ("bias", "r", "rmse", "ubrmse", "slope", "count")
"""The columns of the paper's Table 4, in its order."""

Sums = NDArray[np.float64]


class StationsError(TssmnetError):
    """A file or dataset that does not hold station series."""


def open_stations(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read station series from netCDF (dims station, time) or CSV (columns station, lat, lon, time, ssm).

    Returns
    -------
    xarray.Dataset
        ``ssm`` (time, station) in m3 m-3, daily means by UTC day, with coordinates station, lat, lon.

    Raises
    ------
    StationsError
        If the file is of neither kind, or something is missing from it; lists what.
    """
    path = Path(path)
    if not path.exists():
        raise StationsError(f"{path}: no such file")
    if path.suffix == ".csv":
        return _from_table(pd.read_csv(path), str(path))
    if path.suffix == ".nc":
        return _checked(xr.load_dataset(path, engine="h5netcdf"), str(path))
    raise StationsError(f"{path}: stations come as .nc or .csv, this ends in {path.suffix!r}")


def _from_table(table: pd.DataFrame, name: str) -> xr.Dataset:
    missing = [c for c in COLUMNS if c not in table]
    if missing:
        raise StationsError(
            f"{name}: columns {', '.join(missing)} are missing; found {', '.join(map(str, table.columns))}"
        )
    table = table.assign(station=table["station"].astype(str), time=pd.to_datetime(table["time"]).dt.floor("D"))
    places = table.groupby("station")[["lat", "lon"]].first()
    series = table.groupby(["time", "station"])["ssm"].mean().unstack("station").asfreq("D")
    stations = xr.Dataset(
        {"ssm": (("time", "station"), series.to_numpy(float), {"units": "m3 m-3"})},
        {
            "time": series.index.to_numpy(),
            "station": series.columns.to_numpy(object),
            "lat": ("station", places["lat"].reindex(series.columns).to_numpy(float)),
            "lon": ("station", places["lon"].reindex(series.columns).to_numpy(float)),
        },
    )
    return _checked(stations, name)


def _checked(stations: xr.Dataset, name: str) -> xr.Dataset:
    missing = [c for c in COLUMNS if c not in stations.variables]
    if missing:
        raise StationsError(f"{name}: {', '.join(missing)} missing; stations need {', '.join(COLUMNS)}")
    ssm = stations["ssm"]
    if set(ssm.dims) != {"time", "station"}:
        raise StationsError(f"{name}: ssm has dims {ssm.dims}, expected time and station")
    if ssm.attrs.get("units") not in SSM_UNITS:
        raise StationsError(f"{name}: ssm has units {ssm.attrs.get('units')!r}, expected 'm3 m-3'")
    finite = ssm.values[np.isfinite(ssm.values)]
    if not finite.size or finite.min() < 0 or finite.max() > 1:
        raise StationsError(
            f"{name}: ssm must lie in 0..1 m3 m-3" + (f", found up to {finite.max():g}" if finite.size else "")
        )
    return stations.resample(time="1D").mean(keep_attrs=True).transpose("time", "station")


def nearest_pixels(cube: xr.Dataset | xr.DataArray, stations: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Index of each station's nearest pixel and its distance in km on the sphere (haversine)."""
    lat, lon = np.deg2rad(cube["lat"].values), np.deg2rad(cube["lon"].values)
    here = np.deg2rad(stations["lat"].values)[:, None], np.deg2rad(stations["lon"].values)[:, None]
    half = np.sin((lat - here[0]) / 2) ** 2 + np.cos(lat) * np.cos(here[0]) * np.sin((lon - here[1]) / 2) ** 2
    distance = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return distance.argmin(1), distance.min(1)


def validate(
    cube: xr.Dataset, stations: xr.Dataset, *, largest_km: float = 50.0, ci: bool = True, minimum: int = 5
) -> pd.DataFrame:
    """Score a cube against stations, days observed and days filled apart.

    Parameters
    ----------
    cube
        With ``ssm``; if it has ``source`` (see `reconstruct`), observed and filled days are scored apart too.
    stations
        As `open_stations` gives them.
    largest_km
        A station farther from every pixel than this is left out, and said so.
    ci, minimum
        See `tssmnet.metrics.score`.

    Returns
    -------
    pandas.DataFrame
        Index (days, place): days are ``all``, ``observed``, ``filled``; places the stations, then the summary rows of
        `score`. Columns: the metrics, ``km`` to the pixel, and ``left_out`` with the reason where there is no score.

    Raises
    ------
    TssmnetError
        If cube and stations have no day in common.
    """
    pixels = to_pixels(cube)
    index, km = nearest_pixels(pixels, stations)
    names = [str(s) for s in stations["station"].values]
    near = pixels.isel(pixel=index).drop_vars([c for c in pixels.coords if c != "time"])
    near = near.rename(pixel="station").assign_coords(station=names)
    truth = stations["ssm"].drop_vars(["lat", "lon"]).assign_coords(station=names)
    truth = truth.where(xr.DataArray(km <= largest_km, dims="station"))
    truth, near = xr.align(truth, near, join="inner")
    if truth.sizes["time"] == 0:
        raise TssmnetError("the cube and the stations have no day in common")
    tables = {days: score(truth, near["ssm"].where(mask), ci=ci, minimum=minimum) for days, mask in _days(near).items()}
    distance = dict(zip(names, km, strict=True))
    return pd.concat(
        {k: _annotated(t, distance, largest_km, minimum) for k, t in tables.items()}, names=["days", "place"]
    )


def _days(near: xr.Dataset) -> dict[str, Any]:
    """Which values belong to which kind of days, by the CF flags of ``source``."""
    kinds: dict[str, Any] = {"all": near["ssm"].notnull()}
    if "source" in near:
        attrs = near["source"].attrs
        flags = dict(zip(str(attrs["flag_meanings"]).split(), np.atleast_1d(attrs["flag_values"]), strict=True))
        # a filler tells several ways of filling apart; here they are one
        for kind in ("observed", "filled"):
            kinds[kind] = near["source"].isin([value for name, value in flags.items() if name.startswith(kind)])
    return kinds


def _annotated(table: pd.DataFrame, km: dict[str, float], largest_km: float, minimum: int) -> pd.DataFrame:
    far = {s: f"nearest pixel {d:.0f} km away, more than {largest_km:g}" for s, d in km.items() if d > largest_km}
    few = {s: f"fewer than {minimum} common days" for s in km if s not in far and table.loc[s, "n"] < minimum}
    return table.assign(km=pd.Series(km), left_out=pd.Series(far | few, dtype=object))


# -- all station-days in one table -------------------------------------------------------------------------------------


def readings(stations: xr.Dataset, good: Collection[str] = GOOD_READINGS) -> xr.DataArray:
    """Good daily readings of stations, dims (time, station), m3 m-3.

    Parameters
    ----------
    stations
        With ``ssm`` (`open_stations`, the reader of the International Soil Moisture Network), or with
        ``soil_moisture`` and its flags ``soil_moisture_flag`` (the twin).
    good
        Meanings of the flags that are kept.

    Raises
    ------
    StationsError
        If it has neither.
    """
    if "ssm" in stations:
        return stations["ssm"].transpose("time", "station")
    if "soil_moisture" not in stations or "soil_moisture_flag" not in stations:
        found = ", ".join(map(str, stations.data_vars)) or "nothing"
        raise StationsError(f"stations need ssm, or soil_moisture with soil_moisture_flag; found {found}")
    flag = stations["soil_moisture_flag"]
    meanings = dict(
        zip(str(flag.attrs["flag_meanings"]).split(), np.atleast_1d(flag.attrs["flag_values"]), strict=True)
    )
    kept = flag.isin([value for name, value in meanings.items() if name in good])
    return stations["soil_moisture"].where(kept).transpose("time", "station")


def match(
    product: xr.DataArray,
    stations: xr.Dataset,
    *,
    largest_km: float = 50.0,
    by_cell: bool = False,
    good: Collection[str] = GOOD_READINGS,
) -> pd.DataFrame:
    """Every station-day with a good reading, beside what one or several products say at the nearest cell.

    Parameters
    ----------
    product
        Dims (time, pixel), or (product, time, pixel) for several, m3 m-3, with ``lat`` and ``lon``.
    stations
        As for `readings`; a coordinate ``network`` is carried along.
    largest_km
        A station farther from every cell than this is left out.
    by_cell
        Average the readings of the stations of one cell on a day: one row a cell and day, ``stations`` says how many.
    good
        As for `readings`.

    Returns
    -------
    pandas.DataFrame
        Columns station, network, pixel (number of the cell), km, time, reading, then one a product. NaN where a product
        has no value on that day.

    Raises
    ------
    TssmnetError
        If products and stations have no day in common.
    """
    product = product if "product" in product.dims else product.expand_dims(product=[product.name or "ssm"])
    index, km = nearest_pixels(product, stations)
    near = np.flatnonzero(km <= largest_km)
    cells, cell_of = np.unique(index[near], return_inverse=True)
    value, here = xr.align(readings(stations, good).isel(station=near), product.isel(pixel=cells), join="inner")
    if value.sizes["time"] == 0:
        raise TssmnetError("the products and the stations have no day in common")
    day, place = np.nonzero(np.isfinite(value.values))
    network = value["network"].values.astype(str) if "network" in value.coords else np.full(len(near), "")
    table = pd.DataFrame(
        {
            "station": value["station"].values.astype(str)[place],
            "network": network[place],
            "pixel": cells[cell_of[place]],
            "km": km[near][place],
            "time": value["time"].values[day],
            "reading": value.values[day, place].astype(float),
        }
    )
    estimates = here.transpose("product", "time", "pixel").values
    for name, values in zip(here["product"].values, estimates, strict=True):
        table[str(name)] = values[day, cell_of[place]].astype(float)
    return _averaged_by_cell(table) if by_cell else table


def _averaged_by_cell(table: pd.DataFrame) -> pd.DataFrame:
    groups = table.groupby(["pixel", "time"], sort=True)
    numbers = [c for c in table.columns if c not in ("station", "network", "pixel", "time")]
    means = groups[numbers].mean()
    return means.assign(network=groups["network"].first(), stations=groups.size()).reset_index()


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


def errors_of_means(
    values: xr.DataArray,
    cells: NDArray[np.int64],
    fields: Mapping[str, NDArray[Any]],
    takes: Collection[int] = (1, 2, 4, 8),
    draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """How the RMSE of a field against stations falls when several stations of one cell are averaged.

    Parameters
    ----------
    values
        `readings`, dims (time, station).
    cells
        Cell of each station, as `nearest_pixels` gives it.
    fields
        Name to an array (time, pixel) on the same days, m3 m-3.
    takes
        How many stations of a cell are averaged; only cells with as many as the largest take part.
    draws
        Random choices of stations in each cell.
    seed
        Of the choices.

    Returns
    -------
    pandas.DataFrame
        Index `takes`, a column for each field: RMSE in m3 m-3, NaN where no cell has that many stations. The attribute
        ``cells`` says how many took part.
    """
    rng = np.random.default_rng([0xCE11, seed])
    known = values.transpose("time", "station").values
    numbers, counts = np.unique(cells, return_counts=True)
    crowded = numbers[counts >= max(takes)]
    square = {(k, name): [np.nan] for k in takes for name in fields}
    for cell in crowded:
        members = np.flatnonzero(cells == cell)
        for k in takes:
            for _ in range(draws):
                mean = known[:, rng.permutation(members)[:k]].mean(1)  # NaN unless all k report
                if np.isfinite(mean).any():
                    for name, field in fields.items():
                        square[k, name].append(float(np.nanmean((field[:, cell] - mean) ** 2)))
    rows = {k: {n: float(np.sqrt(pd.Series(square[k, n]).mean())) for n in fields} for k in takes}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stations")
    table.attrs["cells"] = len(crowded)
    return table


def on_cells(field: xr.DataArray, like: xr.DataArray | xr.Dataset, degrees: float = 0.25) -> NDArray[np.float32]:
    """A product on the cells of a coarser or finer grid in degrees, for a comparison day by day.

    Parameters
    ----------
    field
        Dims (time, pixel), m3 m-3, with ``lat``, ``lon``.
    like
        Centres ``lat``, ``lon`` over ``pixel``, of cells `degrees` wide.

    Returns
    -------
    ndarray
        Shape (time, pixels of `like`): the mean of the cells of `field` whose centre lies inside; where none does, the
        nearest one.
    """
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    to = np.stack([like["lat"].values, like["lon"].values], 1)
    have = np.stack([field["lat"].values, field["lon"].values], 1)
    # in the largest norm a cell is the ball of half its width about its centre
    away, owner = cKDTree(to).query(have, p=np.inf)
    inside = np.flatnonzero(away <= degrees / 2)
    empty = np.setdiff1d(np.arange(len(to)), owner[inside])
    narrow = np.array([1.0, np.cos(np.deg2rad(have[:, 0].mean()))])
    nearest = cKDTree(have * narrow).query(to[empty] * narrow)[1] if empty.size else np.array([], int)
    rows, columns = np.concatenate([owner[inside], empty]), np.concatenate([inside, nearest])
    weights = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(to), len(have)))
    values = field.transpose("time", "pixel").values.astype(np.float32)
    known = np.isfinite(values)
    total = weights @ np.where(known, values, 0).T
    count = weights @ known.T.astype(np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).T.astype(np.float32)
