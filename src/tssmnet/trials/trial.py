"""One trial: hide observations, fit one model on one feature set, and report its losses and scores.

The pages' quick runs are made of trials; the full-size comparison is `tssmnet.trials.study`. Losses are those of the
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

from tssmnet.cache import cached_json
from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError, require_known
from tssmnet.features.build import FEATURE_SETS, build_features
from tssmnet.features.samples import Features, Samples
from tssmnet.gaps import simulate_gaps
from tssmnet.metrics.scores import score
from tssmnet.models import MODELS, make_model

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fitted:
    """What a trial leaves behind: the model and the data it saw."""

    model: Any  # fitted
    features: Features  # of every pixel-day, built from the training observations
    record: NDArray[Any]  # shape (time, pixel), observed soil moisture, m3 m-3, NaN where there is none
    # training, hidden: shape (time, pixel): the observations the model learned from and those it did not see
    training: Mask
    hidden: Mask
    seconds: float  # that the fit took

    def samples(self, which: str = "hidden") -> tuple[Samples, NDArray[np.float32]]:
        """Samples and observed values (m3 m-3) of the ``hidden`` or the ``training`` observations."""
        mask = {"hidden": self.hidden, "training": self.training}[require_known(which, ("hidden", "training"), "part")]
        return self.features.where(mask), self.record[mask].astype(np.float32)

    def estimate(self) -> NDArray[np.float32]:
        """What the model says of the hidden observations, m3 m-3, shape (time, pixel); NaN elsewhere."""
        out = np.full(self.record.shape, np.nan, np.float32)
        out[self.hidden] = self.model.predict(self.features.where(self.hidden))
        return out


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
    built = build_features(pixels, observed & ~hidden, **options)
    return fit_around(hidden, record, built, model, seed=seed, device=device, params=params)


def fit_around(
    hidden: Mask,
    record: NDArray[Any],
    features: Features,
    model: str,
    *,
    seed: int = 0,
    device: str = "auto",
    params: Mapping[str, Any] | None = None,
) -> Fitted:
    """Fit a model on the observations of a record (time, pixel) but the hidden ones; `features` know none of these."""
    training = np.isfinite(record) & ~hidden
    fitted = make_model(model, seed=seed, device=device, **(params or {}))
    started = time.perf_counter()
    fitted.fit(features.where(training), record[training].astype(np.float32))
    return Fitted(fitted, features, record, training, hidden, time.perf_counter() - started)


def scores_on(hidden: Mask, record: NDArray[Any], estimate: NDArray[Any]) -> pd.DataFrame:
    """`score` without intervals on the hidden observations, all arrays of shape (time, pixel)."""
    return score(np.where(hidden, record, np.nan), estimate, ci=False)


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
    pooled = scores_on(fitted.hidden, fitted.record, fitted.estimate()).loc["pooled"]
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


def predict_everywhere(fitted: Fitted, pixels: Sequence[int]) -> NDArray[np.float32]:
    """The model's soil moisture on every day of some pixels, shape (time, len(pixels)), m3 m-3."""
    days = fitted.features.shape[0]
    time_, pixel = np.meshgrid(np.arange(days), np.asarray(pixels), indexing="ij")
    samples = fitted.features.at(time_.ravel(), pixel.ravel())
    values: NDArray[np.float32] = fitted.model.predict(samples).reshape(days, len(pixels))
    return values
