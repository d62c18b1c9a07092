"""The paper's own contents: its tables as cited, and the runs that stand beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from numpy.typing import NDArray

from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError
from tssmnet.features.build import FEATURE_SETS
from tssmnet.gaps import GAP_KINDS
from tssmnet.models import MODELS
from tssmnet.provenance import ROOT
from tssmnet.trials.trial import cached_trial, fit_trial, predict_everywhere

BOOK = ROOT / "book"
_NAMED = re.compile(r"""["']((?:fig|table)-[\w-]+)["']""")


def contents() -> pd.DataFrame:
    """The list ``book/tables/contents.csv``: the paper's headings and tables in its order.

    Returns columns item, page (name of a page of the book), made (names of figures and tables, by spaces), note.
    Raises TssmnetError if the list is not there.
    """
    path = BOOK / "tables" / "contents.csv"
    if not path.is_file():
        raise TssmnetError("book/tables holds no contents.csv, the list of the paper's headings and tables")
    return pd.read_csv(path, comment="#", dtype=str).fillna("")


def pages_in_contents() -> set[str]:
    """Names of the pages in the book's table of contents, without the folder of a profile."""
    return {entry.rpartition("/")[2] for entry in _entries(yaml.safe_load((BOOK / "_toc.yml").read_text("utf-8")))}


def _entries(node: Any) -> Iterable[str]:
    if isinstance(node, list):
        for child in node:
            yield from _entries(child)
    elif isinstance(node, dict):
        yield from (str(node[key]) for key in ("root", "file") if key in node)
        yield from _entries([node[key] for key in ("parts", "chapters", "sections") if key in node])


def made_on(page: str) -> set[str]:
    """Names of the figures and tables that a page's notebook shows; empty for a page of text.

    Names are read from the code, so a name that is put together while the page runs is not found.
    """
    path = BOOK / f"{page}.ipynb"
    if not path.is_file():
        return set()
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return {name for c in cells if c["cell_type"] == "code" for name in _NAMED.findall("".join(c["source"]))}


def faults(table: pd.DataFrame) -> list[str]:
    """What is wrong with the list, one sentence each: pages that are not in the book, figures that no page shows."""
    known, found = pages_in_contents(), []
    for row in table.itertuples():
        if row.page not in known:
            found.append(f"{row.item}: {row.page or 'no page'} is not in the table of contents")
        elif missing := set(str(row.made).split()) - made_on(str(row.page)):
            found.append(f"{row.item}: {row.page} shows no {', '.join(sorted(missing))}")
    return found


def as_markdown(table: pd.DataFrame) -> str:
    """The list as a Markdown table with links to the pages."""
    lines = ["| paper | page | figures and tables there | note |", "|---|---|---|---|"]
    for row in table.itertuples():
        suffix = "ipynb" if (BOOK / f"{row.page}.ipynb").is_file() else "md"
        made = ", ".join(f"`{name}`" for name in str(row.made).split()) or "text"
        lines.append(f"| {row.item} | [{row.page}]({row.page}.{suffix}) | {made} | {row.note} |")
    return "\n".join(lines)


def paper_table(number: int) -> pd.DataFrame:
    """A table of the paper, as typed from it into ``book/tables/table-<number>.csv``; its first line is the source.

    Raises TssmnetError if that table is not there.
    """
    path = ROOT / "book" / "tables" / f"table-{number}.csv"
    if not path.is_file():
        raise TssmnetError(f"book/tables holds no table-{number}.csv; the paper's tables 3 and 4 are there")
    return pd.read_csv(path, comment="#")


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


def table_3(
    cube: xr.Dataset,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The rows of the paper's Table 3 on a cube, by the paper's random split: one `trial` each, with its ``setting``.

    `cube`: as for `trial`.
    `params`: model to its parameters, for a quick run.
    `seed`: of the models.
    """
    given = params or {}
    return [
        cached_trial(cube, row.model, row.features, "random", seed=seed, params=dict(given.get(row.model, {})))
        | {"setting": row.setting}
        for row in TABLE_3
    ]


def over_gaps(
    cube: xr.Dataset,
    models: Mapping[str, Sequence[str]],
    params: Mapping[str, Mapping[str, Any]] | None = None,
    gaps: Sequence[str] = tuple(GAP_KINDS),
    seed: int = 0,
) -> pd.DataFrame:
    """Trials of models and feature sets over kinds of gaps.

    `cube`: as for `trial`.
    `models`: model to the feature sets it is tried on.
    `params`: model to its parameters, for a quick run.
    `gaps`: names in `GAP_KINDS`.
    `seed`: of the models.
    Returns one row a trial, with the columns of `trial` less the history. What cannot be (descriptors on hidden pixels)
    is left out.
    """
    rows = [
        cached_trial(cube, model, features, gap, seed=seed, params=dict((params or {}).get(model, {})))
        for gap in gaps
        for model, sets in models.items()
        for features in sets
        if not (gap == "pixels" and "descriptors" in FEATURE_SETS[features])
    ]
    return pd.DataFrame(rows).drop(columns="history")


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

    Returns shape (time, len(pixels)): ``estimate`` and ``record`` (m3 m-3), ``hidden`` (bool).
    """
    fitted = fit_trial(cube, model, features, gap, seed=seed, params=params)
    estimate = predict_everywhere(fitted, pixels.tolist())
    return {"estimate": estimate, "record": fitted.record[:, pixels], "hidden": fitted.hidden[:, pixels]}
