"""Settings of the filler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tssmnet.errors import require_known
from tssmnet.filler.evidence import FEW, Kernel
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


def _boosting(**changes: Any) -> dict[str, Any]:
    return {"depth": 7, "min_child": 20.0, "rows": 0.7, "l2": 5.0, "bins": 64, "patience": 0} | changes


def _networks(count: int) -> Networks:
    return ({"epochs": 4, "patience": 0, "channels": (), "dropout": 0.0},) * count


@dataclass(frozen=True)
class FillerConfig:
    """Settings of the filler; the defaults fill 412 pixels and two years in a minute or two on two cores.

    Parameters
    ----------
    folds
        Parts of the record that are left out in turn, so that residuals are out of fold.
    parts
        Parts of the lessons left out in turn when the correction is fitted.
    rows
        Most training rows of the correction, over all masks.
    forward, boosting
        Parameters of the gradient boosting of the forward models and of the correction.
    networks, strangers, far
        Parameters of each network without convolutions (`tssmnet.models.tssmnet`) beside the boosting of the forward
        models: in those of the folds, in that of the whole record for pixels next to never observed, and in that for
        days far from any observation; none leaves it out.
    network_rows
        Training rows below which these networks are left out: they would only add noise.
    hidden, epochs, batch, rate
        Size and training of the attentive network of the correction; no epochs leaves it out.
    share
        Part of the attentive network in the correction; the rest is boosting's.
    kernel
        Covariance of a pixel's residuals in time.
    few_events
        Days (of each region) below which the cube is too short to learn a correction from: the one learned elsewhere
        serves, see `tssmnet.filler.prior`.
    few
        Own observations below which a pixel is one of few.
    ignore
        Names in `SOURCES` of information to leave out, to see what it is worth.
    """

    folds: int = 3
    parts: int = 3
    rows: int = 240_000
    forward: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=300, rate=0.08, columns=0.4))
    boosting: Mapping[str, Any] = field(default_factory=lambda: _boosting(rounds=250, rate=0.07, columns=0.3))
    networks: Networks = ()
    strangers: Networks = field(default_factory=lambda: _networks(2))
    far: Networks = field(default_factory=lambda: _networks(1))
    network_rows: int = 20_000
    hidden: int = 48
    epochs: int = 4
    batch: int = 256
    rate: float = 2.5e-3
    share: float = 0.6
    kernel: Kernel = field(default_factory=Kernel)
    few_events: int = 120
    few: int = FEW
    ignore: tuple[str, ...] = ()


def config_from(about: Mapping[str, Any]) -> FillerConfig:
    """The settings that ``dataclasses.asdict`` and JSON made of some."""
    lists = {k: tuple(about[k]) for k in ("networks", "strangers", "far", "ignore")}
    return FillerConfig(**{**about, **lists, "kernel": Kernel(**about["kernel"])})


def settings(params: dict[str, Any]) -> FillerConfig:
    """The defaults with some fields changed; unknown ones are refused."""
    config: FillerConfig = make_config(FillerConfig, params, "filler")
    for name in config.ignore:
        require_known(name, SOURCES, "source of information")
    return config
