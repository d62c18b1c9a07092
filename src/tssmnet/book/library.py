"""The tables of the page on the library: its calls, models, feature sets, kinds of gaps and metrics."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pandas as pd
import xarray as xr

import tssmnet
from tssmnet.book.style import pretty_units
from tssmnet.book.tables import FEATURE_TITLES
from tssmnet.features.build import FEATURE_SETS, build_features
from tssmnet.gaps import GAP_KINDS
from tssmnet.metrics.scores import METRICS
from tssmnet.reconstruction.fitted import RECONSTRUCTORS


def calls() -> str:
    """All public calls as Markdown, one after the other."""
    public = (getattr(tssmnet, name) for name in tssmnet.__all__)
    return "\n\n".join(call_entry(call) for call in public if callable(call))


def call_entry(function: Callable[..., Any]) -> str:
    """A public call as Markdown: its signature, its first line, and its whole docstring to unfold."""
    home = function.__module__
    text = inspect.cleandoc(function.__doc__ or "")
    names = [
        f"{p.name}={p.default!r}" if p.default is not p.empty else f"{'**' * (p.kind is p.VAR_KEYWORD)}{p.name}"
        for p in inspect.signature(function).parameters.values()
    ]
    head = f"**`tssmnet.{function.__name__}({', '.join(names)})`** · in `{home}`"
    unfold = f"`````{{dropdown}} Parameters, returns, errors\n````text\n{text}\n````\n`````"
    return f"{head}\n\n{text.splitlines()[0]}\n\n{unfold}"


def models_table() -> pd.DataFrame:
    """The models that `tssmnet.reconstruct` and the commands know."""
    word = {True: "yes", False: "no"}
    rows = {
        name: {
            "title": spec.title,
            "kind": spec.kind,
            "in the paper": word[spec.paper],
            "depends on the seed": word[spec.seeded],
        }
        for name, spec in RECONSTRUCTORS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def feature_sets_table(cube: xr.Dataset) -> pd.DataFrame:
    """The feature sets by name, with the number of features that each has on a cube."""
    rows = {
        name: {
            "what": FEATURE_TITLES[name],
            "options of build_features": ", ".join(f"{k}={v!r}" for k, v in options.items()) or "–",
            "features": len(build_features(cube, **options).names),
        }
        for name, options in FEATURE_SETS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")


def gap_kinds_table() -> pd.DataFrame:
    """The kinds of simulated gaps."""
    return pd.DataFrame({"what is hidden": GAP_KINDS}).rename_axis("kind")


def metrics_table() -> pd.DataFrame:
    """The metrics, which are the columns of `tssmnet.score`."""
    rows = {
        name: {
            "title": metric.title,
            "unit": pretty_units(metric.units),
            "best": "–" if metric.best is None else f"{metric.best:g}",
            "95 % interval": "yes" if metric.interval else "no",
        }
        for name, metric in METRICS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
