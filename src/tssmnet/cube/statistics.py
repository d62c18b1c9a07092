"""What is known of each variable from one pass over its chunks, and which predictors that makes useless."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from tssmnet.cube.contract import dynamic_names, is_categorical, static_names

PRESENT = 0.5
"""A predictor whose presence in the gaps of ``ssm`` is below this part of that on observed days is left out."""

MISSING, OFTENER, LIKE_SSM = 0.05, 3.0, 0.7
"""So is one that is missing in more than this share of the gaps, so many times oftener than where ``ssm`` is observed,
and correlated with ``ssm`` as only a product of the same retrieval is: a model leans on it where it always is, and errs
by far where it is not. On a synthetic cube, a copy of ``ssm`` that lacks a tenth of the gaps more than doubles the
error of boosted trees; one that lacks a twentieth of the observed days as well does no harm."""


@dataclass(frozen=True)
class Statistics:
    """Of one variable: how many values there are, are missing, are infinite, and what they range over.

    Parameters
    ----------
    size, count, infinite
        Values in all, finite ones, infinite ones.
    low, high
        Smallest and largest finite value; NaN if there is none.
    gaps, observed
        Share of the gaps of ``ssm``, and of its observations, where the variable is finite; NaN where there are none.
    like_ssm
        Correlation with ``ssm``, over all pixel-days where both are there.
    apart
        Whether its whole numbers in the gaps never occur where ``ssm`` is observed, as those of a flag of ``ssm``.
    """

    size: int
    count: int
    infinite: int
    low: float
    high: float
    gaps: float = np.nan
    observed: float = np.nan
    like_ssm: float = np.nan
    apart: bool = False


def statistics(cube: xr.Dataset) -> dict[str, Statistics]:
    """Statistics of every variable that holds numbers, from one pass over all chunks."""
    import dask

    bare = cube.drop_vars([*cube.coords])
    numbers = {str(n): v for n, v in bare.data_vars.items() if v.dtype.kind in "biuf" and v.size}
    ssm = _target(bare)
    (found,) = dask.compute({n: _wanted(v, None if n == "ssm" else ssm) for n, v in numbers.items()})
    return {n: _summary(numbers[n].size, parts) for n, parts in found.items()}


def _target(cube: xr.Dataset) -> xr.DataArray | None:
    """``ssm``, if it can have gaps."""
    if "ssm" not in cube.data_vars or cube["ssm"].dtype.kind != "f" or "time" not in cube["ssm"].dims:
        return None
    return cube["ssm"]


def _wanted(variable: xr.DataArray, ssm: xr.DataArray | None) -> dict[str, Any]:
    """Reductions of one variable, not computed yet where it is lazy."""
    finite = np.isfinite(variable)
    kept = variable.where(finite) if variable.dtype.kind == "f" else variable
    out: dict[str, Any] = {"count": finite.sum(), "infinite": np.isinf(variable).sum()}
    out |= {"low": kept.min(), "high": kept.max()}
    if ssm is None or "time" not in variable.dims or not set(variable.dims) <= set(ssm.dims):
        return out
    gap = ~np.isfinite(ssm)
    out |= {"gaps": gap.mean(), "in_gaps": (finite & gap).mean(), "in_observed": (finite & ~gap).mean()}
    if (variable.dtype.kind in "biu" or is_categorical(variable)) and set(variable.dims) == set(ssm.dims):
        out |= {"values_in_gaps": _values(variable.where(finite & gap))}
        out |= {"values_observed": _values(variable.where(finite & ~gap))}
    if variable.dtype.kind == "f":
        x, y = (v.astype("f8").where(finite & ~gap) for v in (variable, ssm))
        out |= {"x": x.mean(), "y": y.mean(), "xx": (x * x).mean(), "yy": (y * y).mean(), "xy": (x * y).mean()}
    return out


def _values(variable: xr.DataArray) -> Any:
    """The distinct values of a variable, NaN among them."""
    import dask.array as da

    return da.unique(variable.data) if variable.chunks else np.unique(variable.values)


def _summary(size: int, parts: dict[str, Any]) -> Statistics:
    count, infinite, low, high = (parts[n].item() for n in ("count", "infinite", "low", "high"))
    basic = Statistics(size, int(count), int(infinite), float(low), float(high))
    if "gaps" not in parts:
        return basic
    share = float(parts["gaps"])
    in_gaps = float(parts["in_gaps"]) / share if share else np.nan
    in_observed = float(parts["in_observed"]) / (1 - share) if share < 1 else np.nan
    return replace(basic, gaps=in_gaps, observed=in_observed, like_ssm=_correlation(parts), apart=_apart(parts))


def _correlation(parts: dict[str, Any]) -> float:
    if "xy" not in parts:
        return float("nan")
    x, y, xx, yy, xy = (float(parts[n]) for n in ("x", "y", "xx", "yy", "xy"))
    spread = (xx - x * x) * (yy - y * y)
    return (xy - x * y) / spread**0.5 if spread > 0 else float("nan")


def _apart(parts: dict[str, Any]) -> bool:
    """Whether no value occurs both in gaps and where there is an observation."""
    if "values_in_gaps" not in parts:
        return False
    first, second = (v[~np.isnan(v)] for v in (parts["values_in_gaps"], parts["values_observed"]))
    return bool(len(first) and len(second)) and not np.isin(first, second).any()


def without_use(cube: xr.Dataset, found: dict[str, Statistics]) -> tuple[list[str], list[str]]:
    """Predictors that can serve no gap: their names, and for each a sentence that says why."""
    left_out = {}
    for name in (*static_names(cube), *dynamic_names(cube)):
        if (about := found.get(name)) is None:
            continue
        if about.count == 0:
            left_out[name] = f"left out {name}: all values are missing"
        elif about.gaps < PRESENT * about.observed or _leans_on_ssm(about):
            left_out[name] = (
                f"left out {name}: it is there in {about.gaps:.0%} of the gaps of ssm and in {about.observed:.0%} of "
                "the observations, so a model would lean on what the gaps do not offer"
            )
        elif about.apart:
            left_out[name] = f"left out {name}: none of its values in the gaps of ssm occurs where ssm is observed"
    return [*left_out], [*left_out.values()]


def _leans_on_ssm(about: Statistics) -> bool:
    """Whether a predictor follows ``ssm`` and is missing where it is, as a product of the same retrieval."""
    lacking = 1 - about.gaps
    oftener = lacking > MISSING and lacking > OFTENER * (1 - about.observed)
    return oftener and abs(about.like_ssm) > LIKE_SSM
