"""One trial: hide observations, fit one model on one feature set, and tell its losses and its scores.

The pages' quick runs are made of trials; the full-size comparison is `tssmnet.evaluate`. Losses are those of the
paper's Table 3: the mean squared error on the target standardised by the training observations.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features import FEATURE_SETS, build_features
from tssmnet.gaps import GAP_KINDS, simulate_gaps
from tssmnet.metrics import score
from tssmnet.models import MODELS, make_model
from tssmnet.samples import Features, Samples
from tssmnet.store import cached_json

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Configuration:
    """One row of the paper's Table 3: the model, the paper's words for its features, and their name here."""

    model: str
    setting: str
    features: str


TABLE_3: tuple[Configuration, ...] = (
    Configuration("tssmnet", "Full features", "base+desc"),
    Configuration("tssmnet", "Without collinearity features", "base+screened"),
    Configuration("smnet", "Without temporal features", "base"),
    Configuration("resautonet", "Full features", "base+desc"),
    Configuration("resautonet", "Without collinearity features", "base+screened"),
    Configuration("transformer", "Without collinearity features", "base+screened"),
    Configuration("rf", "Without collinearity features", "base+screened"),
    Configuration("xgboost", "Without collinearity features", "base+screened"),
)
"""The rows of the paper's Table 3, in its order."""


QUICK_BATCH = 256
"""Samples per step of a quick run: few epochs over few samples make steps enough only where the batches are small."""


def quick_params(epochs: int = 0, rounds: int = 0, trees: int = 0) -> dict[str, dict[str, int]]:
    """Model to parameters of a quick run, from the few numbers that a page has; 0 leaves a model at its own defaults.

    Pages that give the same numbers share what is stored.

    Examples
    --------
    >>> quick_params(epochs=3, trees=10)["tssmnet"], quick_params(epochs=3, trees=10)["rf"]
    ({'epochs': 3, 'batch': 256}, {'jobs': 2, 'trees': 10})
    """
    out: dict[str, dict[str, int]] = {
        name: {"epochs": epochs, "batch": QUICK_BATCH} if epochs else {}
        for name, spec in MODELS.items()
        if spec.kind == "network"
    }
    out["rf"] = {"jobs": 2, "trees": trees} if trees else {"jobs": 2}
    out["xgboost"] = {"rounds": rounds} if rounds else {}
    return out


@dataclass(frozen=True)
class Fitted:
    """What a trial leaves behind: the model and the data it saw.

    Parameters
    ----------
    model
        Fitted.
    features
        Of every pixel-day, built from the training observations.
    record
        Shape (time, pixel), observed soil moisture, m3 m-3, NaN where there is none.
    training, hidden
        Shape (time, pixel): the observations the model learned from and those it did not see.
    seconds
        That the fit took.
    """

    model: Any
    features: Features
    record: NDArray[Any]
    training: Mask
    hidden: Mask
    seconds: float

    def samples(self, which: str = "hidden") -> tuple[Samples, NDArray[np.float32]]:
        """Samples and observed values (m3 m-3) of the ``hidden`` or the ``training`` observations."""
        mask = {"hidden": self.hidden, "training": self.training}[require_known(which, ("hidden", "training"), "part")]
        return self.features.where(mask), self.record[mask].astype(np.float32)


def thin_cube(cube: xr.Dataset, pixels: int) -> xr.Dataset:
    """At most `pixels` of the pixels of a cube, evenly spread over their order; all of them for 0.

    Examples
    --------
    >>> from tssmnet.testing import mock_cube
    >>> thin_cube(mock_cube(days=5, pixels=9), 3).sizes["pixel"]
    3
    """
    points = to_pixels(cube)
    count = points.sizes["pixel"]
    if pixels <= 0 or pixels >= count:
        return points
    return points.isel(pixel=np.linspace(0, count - 1, pixels).round().astype(int))


def fit_trial(
    cube: xr.Dataset,
    model: str,
    features: str = "base",
    gap: str = "random",
    *,
    mask_seed: int = 0,
    seed: int = 0,
    device: str = "auto",
    params: Mapping[str, Any] | None = None,
) -> Fitted:
    """Hide observations and fit a model on the others.

    Parameters
    ----------
    cube
        Dims (time, pixel) or (time, y, x).
    model, features, gap
        Names in `MODELS`, `FEATURE_SETS` and `GAP_KINDS`.
    mask_seed, seed
        Of the hidden observations; of the model.
    device
        ``auto``, ``cpu`` or ``cuda``.
    params
        Parameters of the model that differ from its defaults.

    Raises
    ------
    UnknownNameError
        For an unknown model, feature set, kind of gaps or parameter.
    TssmnetError
        For descriptors on hidden pixels: there are none to learn from.
    """
    require_known(model, MODELS, "model")
    options = FEATURE_SETS[require_known(features, FEATURE_SETS, "feature set")]
    if gap == "pixels" and "descriptors" in options:
        raise TssmnetError(
            f"a wholly hidden pixel has no descriptors: take features without them for gap='pixels', not {features!r}"
        )
    pixels = to_pixels(cube).load()
    record = pixels["ssm"].values
    observed = np.isfinite(record)
    hidden = simulate_gaps(observed, gap, mask_seed)
    training = observed & ~hidden
    built = build_features(pixels, training, **options)
    fitted = make_model(model, seed=seed, device=device, **(params or {}))
    started = time.perf_counter()
    fitted.fit(built.where(training), record[training].astype(np.float32))
    return Fitted(fitted, built, record, training, hidden, time.perf_counter() - started)


def losses_of(fitted: Fitted) -> dict[str, float]:
    r"""Losses and R2 of Table 3: :math:`L = \overline{(y - \hat y)^2} / \sigma^2`, with sigma of the training target.

    R2 is taken about the mean of the part it speaks of; both without dropout, on the weights that were kept.

    Returns
    -------
    dict
        ``train_loss``, ``train_r2``, ``validation_loss``, ``validation_r2``; pure numbers.
    """
    out: dict[str, float] = {}
    variance = float(np.var(fitted.record[fitted.training]))
    for name, part in (("train", "training"), ("validation", "hidden")):
        samples, y = fitted.samples(part)
        square = float(np.mean((fitted.model.predict(samples).astype(np.float64) - y) ** 2))
        out |= {f"{name}_loss": square / variance, f"{name}_r2": 1 - square / float(np.var(y))}
    return out


def trial(
    cube: xr.Dataset,
    model: str,
    features: str = "base",
    gap: str = "random",
    mask_seed: int = 0,
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`fit_trial`, then losses, scores on the hidden observations and, for a network, its history.

    Returns
    -------
    dict
        Fit for JSON: what was asked for; ``columns`` (number of features); ``train_loss`` and so on (`losses_of`);
        ``rmse``, ``ubrmse``, ``bias`` (m3 m-3), ``r2``, ``n`` on the hidden observations, pooled, the ubRMSE a mean
        over pixels; ``seconds``; ``history``, one dict an epoch.
    """
    fitted = fit_trial(cube, model, features, gap, mask_seed=mask_seed, seed=seed, params=params)
    samples, _ = fitted.samples()
    estimate = np.full(fitted.record.shape, np.nan)
    estimate[samples.time, samples.pixel] = fitted.model.predict(samples)
    pooled = score(np.where(fitted.hidden, fitted.record, np.nan), estimate, ci=False).loc["pooled"]
    scores = {name: float(pooled[name]) for name in ("rmse", "ubrmse", "bias", "r2")}
    about = {"model": model, "features": features, "gap": gap, "mask_seed": mask_seed, "seed": seed}
    return {
        **about,
        "params": dict(params or {}),
        "columns": len(fitted.features.names),
        **losses_of(fitted),
        **scores,
        "n": int(pooled["n"]),
        "seconds": fitted.seconds,
        "history": getattr(fitted.model, "history_", None) or [],
    }


def cached_trial(
    cube: xr.Dataset, model: str, features: str = "base", gap: str = "random", **options: Any
) -> dict[str, Any]:
    """`trial`, run once for the same cube, choices and code."""
    inputs = {"cube": cube, "model": model, "features": features, "gap": gap, **options}
    found: dict[str, Any] = cached_json(trial, inputs)
    return found


def table_3(
    cube: xr.Dataset,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    rows: Sequence[Configuration] = TABLE_3,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The rows of the paper's Table 3 on a cube, by the paper's random split: one `trial` each, with its ``setting``.

    Parameters
    ----------
    cube
        As for `trial`.
    params
        Model to its parameters, for a quick run.
    rows
        Which rows.
    seed
        Of the models.
    """
    given = params or {}
    return [
        cached_trial(cube, row.model, row.features, "random", seed=seed, params=dict(given.get(row.model, {})))
        | {"setting": row.setting}
        for row in rows
    ]


def over_gaps(
    cube: xr.Dataset,
    models: Mapping[str, Sequence[str]],
    params: Mapping[str, Mapping[str, Any]] | None = None,
    gaps: Sequence[str] = tuple(GAP_KINDS),
    seed: int = 0,
) -> pd.DataFrame:
    """Trials of models and feature sets over kinds of gaps.

    Parameters
    ----------
    cube
        As for `trial`.
    models
        Model to the feature sets it is tried on.
    params
        Model to its parameters, for a quick run.
    gaps
        Names in `GAP_KINDS`.
    seed
        Of the models.

    Returns
    -------
    pandas.DataFrame
        One row a trial, with the columns of `trial` less the history. What cannot be (descriptors on hidden pixels) is
        left out.
    """
    rows = [
        cached_trial(cube, model, features, gap, seed=seed, params=dict((params or {}).get(model, {})))
        for gap in gaps
        for model, sets in models.items()
        for features in sets
        if not (gap == "pixels" and "descriptors" in FEATURE_SETS[features])
    ]
    return pd.DataFrame(rows).drop(columns="history")


def predict_everywhere(fitted: Fitted, pixels: Sequence[int]) -> NDArray[np.float32]:
    """The model's soil moisture on every day of some pixels, shape (time, len(pixels)), m3 m-3."""
    days = fitted.features.shape[0]
    time_, pixel = np.meshgrid(np.arange(days), np.asarray(pixels), indexing="ij")
    samples = fitted.features.at(time_.ravel(), pixel.ravel())
    values: NDArray[np.float32] = fitted.model.predict(samples).reshape(days, len(pixels))
    return values


def series_of(
    cube: xr.Dataset,
    model: str,
    features: str,
    gap: str,
    pixels: NDArray[np.int64],
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
) -> dict[str, NDArray[Any]]:
    """Fit as `fit_trial` does and predict every day of some pixels.

    Returns
    -------
    dict of ndarray
        Shape (time, len(pixels)): ``estimate`` and ``record`` (m3 m-3), ``hidden`` (bool).
    """
    fitted = fit_trial(cube, model, features, gap, seed=seed, params=params)
    estimate = predict_everywhere(fitted, pixels.tolist())
    return {"estimate": estimate, "record": fitted.record[:, pixels], "hidden": fitted.hidden[:, pixels]}
