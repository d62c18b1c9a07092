"""What only a world with a known truth can tell: the error inside real gaps, by cause, by length, by season.

The truth is that of the synthetic twin. Errors here are against what the soil held, not against what the instrument
would have said: they contain the retrieval's own error, which no gap filler can undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from tssmnet.cache import cached_json
from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError
from tssmnet.metrics.pooled import scores_from, sums_by_place
from tssmnet.metrics.scores import rmse
from tssmnet.trials.trial import fit_trial

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]
OBSERVED, ORBIT, COLD_ORBIT = "observed", "orbit", "orbit, frozen or snow"

LENGTHS: Mapping[str, int] = {"1 day": 1, "2 days": 2, "3 to 7": 7, "8 to 30": 30, "31 to 90": 90, "over 90": 10**9}
"""Classes of gap length, each by its longest in days."""

SNOW_MM = 4.0


def gap_lengths(observed: ArrayLike) -> NDArray[np.int64]:
    """Days of the run without observation that each pixel-day lies in, 0 where observed; shape (time, pixel).

    A run that meets an end of the record counts the days inside the record.

    Examples
    --------
    >>> gap_lengths([[True], [False], [False], [True], [False]]).ravel().tolist()
    [0, 2, 2, 0, 1]
    """
    missing = ~np.asarray(observed, bool)
    edge = np.zeros((1, missing.shape[1]), np.int8)
    steps = np.diff(np.concatenate([edge, missing.astype(np.int8), edge]), axis=0)
    # column by column, so that starts and ends of the runs pair up in order
    column, start = np.nonzero((steps == 1).T)
    _, end = np.nonzero((steps == -1).T)
    change = np.zeros((missing.shape[1], missing.shape[0] + 1), np.int64)
    change[column, start] += end - start
    change[column, end] -= end - start
    return change.cumsum(1)[:, :-1].T


def length_labels(lengths: NDArray[np.int64]) -> Labels:
    """Index into `LENGTHS` of each length; -1 where there is no gap."""
    return np.where(lengths > 0, np.searchsorted([*LENGTHS.values()], lengths), -1)


def season_labels(time: ArrayLike, pixels: int) -> Labels:
    """Index into `tssmnet.cube.earth.SEASONS` of each day, shape (time, pixels)."""
    month = pd.DatetimeIndex(np.asarray(time)).month.to_numpy()
    return np.broadcast_to((month[:, None] % 12) // 3, (len(month), pixels))


def gap_causes(observations: xr.Dataset, truth: xr.Dataset | None = None) -> tuple[Labels, tuple[str, ...]]:
    """Why each pixel-day has no observation.

    `observations`: with ``gap_cause`` and its CF flags, dims (time, pixel); the first flag means observed.
    `truth`: with ``frozen`` and ``snow_water``: then days between orbits on which the soil was frozen or under snow are
    told apart, for an overpass would not have helped them.
    Returns shape (time, pixel), index into names.
    """
    cause = observations["gap_cause"]
    flags = [int(v) for v in np.atleast_1d(cause.attrs["flag_values"])]
    names = [m.replace("_", " ") for m in str(cause.attrs["flag_meanings"]).split()]
    position = np.full(256, -1, np.int64)
    position[flags] = np.arange(len(flags))
    values = cause.transpose("time", "pixel").values
    labels = position[np.nan_to_num(values, nan=-1).astype(np.int64)]
    if truth is not None and ORBIT in names:
        cold = (truth["frozen"].transpose("time", "pixel").values > 0) | (
            truth["snow_water"].transpose("time", "pixel").values > SNOW_MM
        )
        labels = np.where((labels == names.index(ORBIT)) & cold, len(names), labels)
        names.append(COLD_ORBIT)
    return labels, tuple(names)


def errors_by(truth: ArrayLike, estimate: ArrayLike, labels: Labels, names: Sequence[str]) -> pd.DataFrame:
    """True scores of an estimate, apart by label.

    `truth`, `estimate`: shape (time, pixel), m3 m-3; pairs with NaN do not count.
    `labels`: shape (time, pixel): index into `names`; -1 is left out.
    `names`: of the labels.
    Returns index `names`: ``count``, ``share`` of the pairs, ``bias``, ``rmse``, ``ubrmse``, ``r``, ``slope`` pooled,
    and ``rmse_in_time``: the error left when each cell's mean error under that label is taken away. m3 m-3.
    """
    x, y = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    kinds, pixels = len(names), x.shape[1]
    use = np.asarray(labels) >= 0
    cell = np.broadcast_to(np.arange(pixels), x.shape)[use]
    sums = sums_by_place(x[use], y[use], cell * kinds + np.asarray(labels)[use], pixels * kinds)
    sums = sums.reshape(pixels, kinds, 6)
    table = pd.DataFrame(scores_from(sums.sum(0)), index=pd.Index(names, name="label"))
    by_cell = scores_from(sums)
    spread = np.nansum(by_cell["count"] * np.nan_to_num(by_cell["ubrmse"]) ** 2, axis=0)
    table["rmse_in_time"] = np.sqrt(spread / np.where(table["count"] > 0, table["count"], np.nan))
    table["share"] = table["count"] / max(float(table["count"].sum()), 1.0)
    return table[["count", "share", "bias", "rmse", "ubrmse", "rmse_in_time", "r", "slope"]]


def errors_of_products(truth: ArrayLike, product: xr.DataArray, labels: Labels, names: Sequence[str]) -> pd.DataFrame:
    """`errors_by` for each product of dims (product, time, pixel); index (product, label)."""
    parts = {
        str(name): errors_by(truth, product.sel(product=name).transpose("time", "pixel").values, labels, names)
        for name in product["product"].values
    }
    return pd.concat(parts, names=["product", "label"])


def random_split(
    cube: xr.Dataset,
    truth: xr.DataArray,
    model: str,
    features: str = "base+screened",
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """What the random split says of a model, and what is true of the same fit.

    One observation in five is hidden at random, the model learns from the others and predicts every pixel-day.

    `cube`: dims (time, pixel), with gaps.
    `truth`: true soil moisture on the same dims, m3 m-3.
    `model`, `features`, `seed`, `params`: as in `tssmnet.trials.trial.fit_trial`.
    Returns RMSE in m3 m-3: ``split`` on the hidden observations against what was observed, which is what a random split
    reports; ``split_truth`` the same days against the truth; ``gaps_truth`` the days that were never observed, against
    the truth; each with ``_in_time``, where each cell's mean error is taken away.
    """
    fitted = fit_trial(cube, model, features, "random", seed=seed, params=params)
    real = truth.transpose("time", "pixel").values.astype(np.float64)
    if real.shape != fitted.record.shape:
        raise TssmnetError(f"truth has shape {real.shape}, the cube {fitted.record.shape}; give them on the same cells")
    everywhere = np.ones(real.shape, bool)
    estimate = np.asarray(fitted.model.predict(fitted.features.where(everywhere)), np.float64).reshape(real.shape)
    gaps = ~np.isfinite(fitted.record) & np.isfinite(fitted.record).any(0)
    out: dict[str, float] = {}
    for name, reference, where in (
        ("split", fitted.record, fitted.hidden),
        ("split_truth", real, fitted.hidden),
        ("gaps_truth", real, gaps),
    ):
        out[name] = rmse(reference[where], estimate[where])
        label = np.where(where, 0, -1)
        out[f"{name}_in_time"] = float(errors_by(reference, estimate, label, [name])["rmse_in_time"].iloc[0])
    return out


def cached_random_split(cube: xr.Dataset, truth: xr.DataArray, model: str, **options: Any) -> dict[str, float]:
    """`random_split`, run once for the same cube, choices and code; scattered pixels or a grid."""
    pixels = to_pixels(cube)
    found: dict[str, float] = cached_json(random_split, {"cube": pixels, "truth": truth, "model": model, **options})
    return found
