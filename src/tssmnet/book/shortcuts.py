"""The synthetic data on which the authors of the residual autoencoder showed what shortcuts are worth.

Li et al. (2021), doi:10.1109/TNNLS.2020.3017200, and their package resautonet:
y = x1 + x2 sqrt(x3) + x4 + (x5 / 500)^0.3 - x6 + sqrt(x7) + x8 + noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tssmnet.metrics import r2
from tssmnet.models import make_model

Float = NDArray[np.float32]

RANGES = ((1, 100), (0, 100), (1, 10), (1, 100), (9, 100), (1, 1009), (5, 300), (6, 200))
"""Uniform range of x1 to x8."""

NOISE = 90.0
"""Standard deviation of the noise."""

AS_PUBLISHED: Mapping[str, Any] = {
    "layers": (32, 16, 8, 4),
    "activation": "relu",
    "norm": True,
    "dropout": 0.5,
    "precision": "32-true",
    "validation": "random",
    "validation_fraction": 0.2,
}
"""The authors' layers, activation, dropout and share of validation, for ``make_model("resautonet", ...)``."""

QUICK: Mapping[str, Any] = {
    "batch": 64,
    "rate": 1e-2,
    "matrix_rate": 0.0,
    "weight_decay": 0.05,
    "epochs": 80,
    "patience": 0,
}
"""Settings of training chosen here."""


def simulated_data(seed: int = 0, n: int = 1200) -> tuple[Float, Float]:
    """Synthetic samples.

    `seed`: same seed, same samples.
    `n`: how many.
    Returns features (n, 8) and target (n,), float32, without unit.

    Examples
    --------
    >>> x, y = simulated_data(n=4)
    >>> x.shape, y.shape
    ((4, 8), (4,))
    """
    rng = np.random.default_rng(seed)
    low, high = np.array(RANGES, float).T
    x = rng.uniform(low, high, (n, len(RANGES)))
    smooth = (
        x[:, 0] + x[:, 1] * np.sqrt(x[:, 2]) + x[:, 3] + (x[:, 4] / 500) ** 0.3 - x[:, 5] + np.sqrt(x[:, 6]) + x[:, 7]
    )
    return x.astype(np.float32), (smooth + rng.normal(0, NOISE, n)).astype(np.float32)


def shortcut_trial(seed: int = 0, shortcuts: bool = True, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Train the residual autoencoder on 960 of 1200 synthetic samples and score it on the other 240.

    `seed`: of data, split and network.
    `shortcuts`: false takes the shortcuts away.
    `params`: settings that differ from `AS_PUBLISHED` and `QUICK`.
    Returns ``seed``, ``shortcuts``, ``r2`` on the test samples, ``linear_r2`` of ordinary least squares on the same
    samples, ``history``.
    """
    x, y = simulated_data(seed)
    order = np.random.default_rng([seed, 1]).permutation(len(y))
    train, test = order[:960], order[960:]
    settings = {**AS_PUBLISHED, **QUICK, **(params or {})}
    model = make_model("resautonet", seed=seed, device="cpu", shortcuts=shortcuts, **settings)
    model.fit(x[train], y[train])
    line, *_ = np.linalg.lstsq(_with_one(x[train]), y[train].astype(np.float64), rcond=None)
    return {
        "seed": seed,
        "shortcuts": shortcuts,
        "r2": r2(y[test], model.predict(x[test])),
        "linear_r2": r2(y[test], _with_one(x[test]) @ line),
        "history": model.history_,
    }


def _with_one(x: Float) -> NDArray[np.float64]:
    return np.column_stack([x.astype(np.float64), np.ones(len(x))])


def shortcut_trials(seeds: Sequence[int], params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """`shortcut_trial` with and without shortcuts for each seed."""
    return [shortcut_trial(seed, kept, params) for kept in (True, False) for seed in seeds]
