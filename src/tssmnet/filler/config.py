"""The settings of the filler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tssmnet.errors import require_known
from tssmnet.filler.evidence import (
    Kernel,
)
from tssmnet.models.base import make_config

Networks = tuple[Mapping[str, Any], ...]


FAR_DAYS = (30, 60)
"""Days from the pixel's nearest observation from which, and at which wholly, evidence about the first value ends."""


SOURCES = {
    "memory": "recent weather",
    "constants": "constants of the pixel",
    "own": "the pixel's own observations",
    "neighbours": "the neighbours' observations",
}
"""What the filler draws on beside the day's forcing, the season and the place."""


@dataclass(frozen=True)
class FillerConfig:
    """Settings of the filler; the defaults fill 412 pixels and two years in minutes on two cores.

    Parameters
    ----------
    folds
        Parts of the record that are left out in turn, so that residuals are out of fold.
    thirds
        Parts of the pixels left out in turn when the correction is fitted.
    rows
        Most training rows of the correction, over all masks.
    forward, boosting, spread
        Parameters of the gradient boosting of the forward models, of the correction, and of the size of its errors.
    networks, strangers, far, corrector
        Parameters of each TsSMNet in the forward models of the folds, in that of the whole record for pixels next to
        never observed, in that for days far from any observation, and in the correction; none leaves it out. A model
        blind to its pixel is best as many networks trained briefly, one that knows it as few trained longer.
    network_rows
        Training rows below which TsSMNet is left out: it would only add noise.
    kernel
        Covariance of a pixel's residuals in time.
    coverage
        Share of errors that the interval ``ssm_lower`` to ``ssm_upper`` is to contain.
    ignore
        Names in `SOURCES` of information to leave out, to see what it is worth.
    """

    folds: int = 3
    thirds: int = 3
    rows: int = 300_000
    forward: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=300, rate=0.08, columns=0.4))
    boosting: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=350, rate=0.06, columns=0.3))
    spread: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=120, rate=0.08, columns=0.3, depth=5))
    networks: Networks = ({"epochs": 6, "patience": 0},)
    strangers: Networks = ({"epochs": 3, "patience": 0},) * 4
    far: Networks = ({"epochs": 12, "patience": 0},) * 2
    corrector: Networks = ({"epochs": 4, "dropout": 0.0, "patience": 0},) * 2
    network_rows: int = 20_000
    kernel: Kernel = field(default_factory=Kernel)
    coverage: float = 0.9
    ignore: tuple[str, ...] = ()


def _boosting(**changes: Any) -> dict[str, Any]:
    return {"depth": 7, "min_child": 20.0, "rows": 0.7, "l2": 5.0, "bins": 128, "patience": 0} | changes


def settings(params: dict[str, Any]) -> FillerConfig:
    """The defaults with some fields changed; unknown ones are refused."""
    config: FillerConfig = make_config(FillerConfig, params, "filler")
    for name in config.ignore:
        require_known(name, SOURCES, "source of information")
    return config
