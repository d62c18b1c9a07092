"""What the conclusions rest on: the parts of `tssmnet.book.findings.Evidence`, from a page's study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.book.paper import thin_cube
from tssmnet.book.truth import COLD_ORBIT, ORBIT, Labels, cached_random_split, errors_by, gap_causes
from tssmnet.book.validation import RECONSTRUCTIONS, SHORT, Study, at_station_days
from tssmnet.metrics import pooled, stations
from tssmnet.trials.trial import cached_trial

TRAINED = (("tssmnet", "base+screened"), ("tssmnet", "base+desc"), ("smnet", "base"))
"""Model and feature set of the rows of Table 3 that the conclusions speak of."""

COLD = ("frost", "snow", COLD_ORBIT)
"""Causes of gaps on frozen or snow-covered ground."""

KINDS = ("cold", "orbit", "other")
"""Kinds of gaps: frozen or snow-covered ground, between orbits over thawed soil, and the others."""


def coverage(study: Study) -> dict[str, float]:
    """Share (%) of cells and days with a value ``before`` and ``after`` the reconstruction."""
    share = {name: 100 * float(study.product.sel(product=name).notnull().mean()) for name in ("smap", "tssmnet")}
    return {"before": share["smap"], "after": share["tssmnet"]}


def losses(cube: xr.Dataset, params: Mapping[str, dict[str, Any]], seed: int) -> dict[tuple[str, str], float]:
    """Validation loss of each of `TRAINED` on the random split. `params`: by model."""
    return {
        (model, features): cached_trial(cube, model, features, "random", seed=seed, params=params[model])[
            "validation_loss"
        ]
        for model, features in TRAINED
    }


def by_stations(study: Study, **draws: Any) -> dict[str, Any]:
    """Table 4 from stations, its ranks, and the RMSE of the truth itself where that is known.

    `draws`: ``resamples`` and ``seed`` of the intervals.
    """
    matched = stations.match(study.product, study.parts["stations"])
    sums = pooled.station_sums(matched, SHORT)
    found: dict[str, Any] = {
        "by_stations": pooled.pooled_table(sums, **draws),
        "station_ranks": pooled.resampled_ranks({name: sums[name] for name in RECONSTRUCTIONS}, **draws),
    }
    if (truth := study.truth) is not None:
        itself = pooled.station_sums(matched.assign(truth=at_station_days(truth, matched)), ["truth"])
        found["floor"] = pooled.pooled_table(itself, resamples=10).rmse["truth"]
    return found


def gap_kinds(study: Study) -> Labels:
    """What the ground is like in each gap, shape (time, pixel): index into `KINDS`, -1 on SMAP's days."""
    cause, causes = gap_causes(study.parts["observations"], study.parts["truth"])
    cold = [causes.index(name) for name in causes if name in COLD]
    return np.select([study.observed, np.isin(cause, cold), cause == causes.index(ORBIT)], [-1, 0, 1], 2)


def by_truth(study: Study, **draws: Any) -> dict[str, pd.DataFrame]:
    """Table 4 from the truth, everywhere and in the gaps, and the errors of TsSMNet by kind of gap."""
    truth = study.truth
    assert truth is not None
    models = study.product.sel(product=[*RECONSTRUCTIONS])
    in_gaps = pooled.field_sums(truth.values, models, ~study.observed, degrees=5.0)
    return {
        "by_truth": pooled.pooled_table(pooled.field_sums(truth.values, study.product, degrees=5.0), **draws),
        "in_gaps": pooled.pooled_table(in_gaps, **draws),
        "kinds": errors_by(truth.values, study.values("tssmnet"), gap_kinds(study), KINDS),
    }


def split(study: Study, pixels: int, params: dict[str, Any], seed: int, model: str = "tssmnet") -> dict[str, float]:
    """`tssmnet.book.truth.random_split` of a model on at most so many pixels."""
    truth = thin_cube(xr.Dataset({"ssm": study.truth}), pixels)["ssm"].load()
    return cached_random_split(thin_cube(study.cube, pixels), truth, model, seed=seed, params=params)
