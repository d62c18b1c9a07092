"""Tables that pages show beside their own runs: the paper's, and the stored results of full-size runs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.data.registry import DataSet
from tssmnet.gaps import GAP_KINDS
from tssmnet.provenance import ROOT, ResultStamp, results_stamp
from tssmnet.reconstruction.fitted import RECONSTRUCTORS, kind_of

FEATURE_TITLES = {
    "base": "same day",
    "base+desc": "same day, descriptors",
    "base+screened": "same day, screened descriptors",
    "lag": "memory",
    "lag+desc": "memory, descriptors",
    "lag+screened": "memory, screened descriptors",
    "own": "its own",
    "published": "its own",
}
"""Feature sets in a reader's words; "memory" includes the same day."""

OTHER_TITLES = {"lstm": "LSTM (published)", "lstm_multitask": "LSTM, multi-task (published)"}


def model_title(name: str) -> str:
    """What a table prints for a model.

    Examples
    --------
    >>> model_title("rf"), model_title("lstm")
    ('Random forest', 'LSTM (published)')
    """
    return RECONSTRUCTORS[name].title if name in RECONSTRUCTORS else OTHER_TITLES.get(name, name)


def features_title(model: str, features: str) -> str:
    """What a table prints for the features of a model; a baseline looks at none.

    Examples
    --------
    >>> features_title("xgboost", "lag"), features_title("linear", "base")
    ('memory', 'none')
    """
    blind = model in RECONSTRUCTORS and not kind_of(model).FEATURES
    return "none" if blind else FEATURE_TITLES.get(features, features)


def trial_title(model: str, features: str) -> str:
    """Model and features in one phrase, for the legend of a figure."""
    words = features_title(model, features)
    return model_title(model) if words in ("none", "its own") else f"{model_title(model)}, {words}"


def formula_of(function: Callable[..., Any]) -> str:
    r"""The LaTeX of the first ``.. math::`` in a function's docstring, on one line and safe in a table; else empty.

    Examples
    --------
    >>> from tssmnet.metrics import bias
    >>> formula_of(bias)
    'b = \\frac{1}{n}\\sum_i (y_i - x_i)'
    """
    found = re.search(r"\.\. math::(.*?)(?:\n\s*\n|$)", function.__doc__ or "", re.S)
    return " ".join(found[1].split()).replace("|", r"\vert ") if found else ""


def classes_of(variable: xr.DataArray) -> dict[int, str]:
    """The classes of a variable, value to words, from its ``flag_values`` and ``flag_meanings``."""
    values, words = np.atleast_1d(variable.attrs["flag_values"]), str(variable.attrs["flag_meanings"]).split()
    return {int(value): word.replace("_", " ") for value, word in zip(values, words, strict=True)}


def loss_and_r2_differ(table: pd.DataFrame) -> float:
    """Largest ``|loss - (1 - R2)|`` of a table with columns ``train_loss``, ``train_r2`` and those of the validation.

    Near 0 where the loss is the mean squared error of a target of variance one.
    """
    parts = [(table[f"{p}_loss"] - (1 - table[f"{p}_r2"])).abs().max() for p in ("train", "validation")]
    return float(max(parts))


@dataclass(frozen=True)
class Stored:
    """A stored result of a full-size run, or the command that makes it where there is none."""

    name: str  # file name relative to the repository
    command: str  # what writes it
    stamp: ResultStamp | None  # its stamp against the code of today; None without a file
    content: dict[str, Any]  # the JSON; empty without a file
    absence: str = ""  # what a reader is told where there is no file, if that is not the command

    def __bool__(self) -> bool:
        return self.stamp is not None

    def line(self) -> str:
        """Where the numbers come from, and whether all of them are there."""
        if self.stamp is None:
            return (
                self.absence
                or f"{self.name} is not here yet, so no full-size number is shown. Write it with: {self.command}"
            )
        partial = "" if self.content.get("complete", True) else " NOT COMPLETE: some of its runs are missing."
        return self.stamp.line() + partial

    def _repr_html_(self) -> str:
        good = self.stamp is not None and self.stamp.fresh and self.content.get("complete", True)
        return f'<p class="provenance{"" if good else " stale"}">{html.escape(self.line())}</p>'


def stored_result(name: str, command: str) -> Stored:
    """Read ``results/<name>``.

    `name`: file name in ``results/``.
    `command`: what writes it, told to the reader where it is missing.
    """
    path = Path(ROOT / "results" / name)
    if not path.is_file():
        return Stored(f"results/{name}", command, None, {})
    content = json.loads(path.read_text(encoding="utf-8"))
    return Stored(f"results/{name}", command, results_stamp(path), content)


def stored_evaluation(profile: str) -> Stored:
    """The full-size evaluation of the paper's models on a profile; only real SMAP has one."""
    command = "make evaluate ARGS='--part paper' (about an hour of processor time, resumable)"
    if profile == "conus":
        return stored_result("conus-evaluation.json", command)
    return Stored("", command, None, {}, "The full-size runs are on real SMAP: see this page on the profile conus.")


def gap_table(rows: Any, value: str = "rmse") -> pd.DataFrame:
    """A score as a table: one row a model and feature set, one column a kind of gaps.

    `rows` have ``model``, ``features``, ``gap`` and the score.

    Several rows of one cell (seeds) are averaged. Models and kinds of gaps stand in the order of their tables.
    """
    frame = pd.DataFrame(rows)
    wide = frame.pivot_table(index=["model", "features"], columns="gap", values=value, aggfunc="mean").reset_index()
    rank = [*RECONSTRUCTORS, *OTHER_TITLES]
    place = wide["model"].map({n: i for i, n in enumerate(rank)}).fillna(len(rank))
    wide = wide.assign(place=place).sort_values(["place", "features"]).drop(columns="place")
    wide["features"] = [features_title(m, f) for m, f in zip(wide["model"], wide["features"], strict=True)]
    wide["model"] = wide["model"].map(model_title)
    kinds = [k for k in GAP_KINDS if k in wide.columns]
    named = wide[["model", "features", *kinds]].rename(columns=GAP_KINDS).rename_axis(columns=None)
    return named.set_index("model")


def strata_table(runs: Iterable[Mapping[str, Any]], kind: str, gaps: Sequence[str]) -> pd.DataFrame:
    """RMSE (m3 m-3) by stratum and model, pooled over the runs of some kinds of gaps; column ``inside`` in percent.

    `runs`: of an evaluation, with their ``strata``: number, sum of squares and, of a model with intervals, number
    inside.
    `kind`: ``days`` or ``season``.
    `gaps`: kinds of gaps to pool.

    Examples
    --------
    >>> strata = {"days": {"1": [4, 0.01], "none": [1, 0.01]}}
    >>> strata_table([{"model": "linear", "gap": "random", "strata": strata}], "days", ["random"])["linear"].to_dict()
    {'1': 0.05, 'none': 0.1}
    """
    sums: dict[tuple[str, str], Any] = {}
    for run in runs:
        told = run.get("strata") if run["gap"] in gaps else None
        for name, values in (told or {}).get(kind, {}).items():
            one = np.array([*values, np.nan][:3])
            sums[name, run["model"]] = sums.get((name, run["model"]), 0) + one
    frame = pd.DataFrame(sums, index=["n", "square", "inside"]).T
    table = np.sqrt(frame["square"] / frame["n"]).unstack()
    return table.assign(inside=(100 * frame["inside"] / frame["n"]).unstack().max(axis=1))


SCORE_TITLES = {
    "bias": "bias (m³ m⁻³)",
    "r": "r",
    "rmse": "RMSE (m³ m⁻³)",
    "ubrmse": "ubRMSE (m³ m⁻³)",
    "slope": "slope",
    "count": "count",
}
"""The columns of the paper's Table 4 in a reader's words."""

SCORE_DIGITS = {"bias": 4, "r": 2, "slope": 3}


def score_table(scores: pd.DataFrame, titles: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Scores as Table 4 prints them, as text: rounded as there, intervals in brackets where there are any.

    `scores`: columns of `SCORE_TITLES`, some with ``<score>_low`` and ``<score>_high``, as `pooled_table` gives.
    `titles`: what the rows are called, by their index.

    Examples
    --------
    >>> row = {"rmse": 0.0912, "rmse_low": 0.09, "rmse_high": 0.0934, "count": 14265.0}
    >>> score_table(pd.DataFrame(row, index=["rf"]), {"rf": "RF"}).to_dict("index")
    {'RF': {'RMSE (m³ m⁻³)': '0.091 [0.090, 0.093]', 'count': '14,265'}}
    """
    columns = {
        title: [_score_text(row, name) for _, row in scores.iterrows()]
        for name, title in SCORE_TITLES.items()
        if name in scores
    }
    index = [(titles or {}).get(str(name), str(name)) for name in scores.index]
    return pd.DataFrame(columns, index=pd.Index(index, name="SSM data"))


def _score_text(row: pd.Series, name: str) -> str:
    value = row[name]
    if not np.isfinite(value):
        return "–"
    if name == "count":
        return f"{value:,.0f}"
    digits = SCORE_DIGITS.get(name, 3)
    text = f"{value:.{digits}f}"
    low, high = row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)
    text += f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) and np.isfinite(high) else ""
    return text.replace("-", "−")


def data_sets_table(entries: Iterable[DataSet]) -> pd.DataFrame:
    """The data sets of the manifest, a row each, with number and size of their registered files."""
    rows = {
        entry.name: {
            "version": entry.version,
            "profiles": ", ".join(entry.profiles),
            "had by": entry.access,
            "files": len(entry.files) or "–",
            "MB": f"{entry.bytes / 1e6:.1f}" if entry.files else "–",
        }
        for entry in entries
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def data_entry(entry: DataSet) -> str:
    """One data set of the manifest as Markdown: title, licence, origin, citation, and the steps where it needs any."""
    licence = "; ".join(f"{k}: {v}" for k, v in entry.licence.items())
    lines = [
        f"**{entry.title}**",
        "",
        f"- **Name** `{entry.name}`, version {entry.version}",
        f"- **Licence** {licence}",
    ]
    lines += [f"- **From** {entry.origin}"] if entry.origin else []
    lines += [f"- **Cite** {entry.citation}"] if entry.citation else []
    lines += [f"- **Note** {entry.note}"] if entry.note else []
    lines += (
        ["- **Steps** " + " ".join(f"({i}) {step}" for i, step in enumerate(entry.steps, 1))] if entry.steps else []
    )
    return "\n".join(lines)
