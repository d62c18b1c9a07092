"""The paper's findings held against ours: what it says, what was found here, and why the two may differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

PRODUCT_COLOURS = {
    "smap": "#D55E00",
    "rf": "#56B4E9",
    "xgboost": "#009E73",
    "transformer": "#CC79A7",
    "resautonet": "#E69F00",
    "tssmnet": "#0072B2",
    "truth": "#000000",
    "station": "#999999",
}
"""One colour for each product of Table 4 on all pages, after Okabe and Ito."""

FULL, SCREENED = "Full features", "Without collinearity features"


@dataclass(frozen=True)
class Finding:
    """One row: the claim, the numbers behind it in the paper and here, a reason, and the page that made them."""

    claim: str
    paper: str
    here: str
    agrees: bool | None
    why: str
    page: str


def findings(here: Sequence[Mapping[str, Any]], paper: pd.DataFrame, gaps: pd.DataFrame) -> list[Finding]:
    """What the paper's Table 3 says of models and features, with the numbers found here beside it.

    Parameters
    ----------
    here
        From `tssmnet.trials.table_3`.
    paper
        From `tssmnet.tables.paper_table`, number 3.
    gaps
        From `tssmnet.trials.over_gaps`, with ``linear`` and ``tssmnet`` on random days and blocks.
    """
    ours = pd.DataFrame(list(here)).set_index(["model", "setting"]).validation_loss
    theirs = paper.set_index(["model", "setting"]).validation_loss
    rmse = gaps.set_index(["model", "features", "gap"]).rmse
    return [_by_loss(claim, first, second, ours, theirs, why) for claim, first, second, why in CLAIMS] + [
        _by_gaps(rmse, "random", "short holes: neighbours in time tell more than predictors of the same day"),
        _by_gaps(rmse, "blocks", "long holes: nothing to interpolate between"),
        _of_memory(rmse),
    ]


# claim, the row that the paper finds better, the row it finds worse, why it may differ here
CLAIMS = (
    (
        "Temporal descriptors help",
        ("tssmnet", FULL),
        ("smnet", "Without temporal features"),
        "here position and soil constants already tell the place; what a descriptor adds is its identity",
    ),
    (
        "The screened descriptors do better than all",
        ("tssmnet", SCREENED),
        ("tssmnet", FULL),
        "the screening is another; differences this small need seeds",
    ),
    (
        "TsSMNet beats ResAutoNet",
        ("tssmnet", SCREENED),
        ("resautonet", SCREENED),
        "widths and training differ; the convolutions see features in an order that has no meaning",
    ),
    (
        "TsSMNet beats the Transformer",
        ("tssmnet", SCREENED),
        ("transformer", SCREENED),
        "the Transformer is our reading",
    ),
    (
        "TsSMNet beats XGBoost",
        ("tssmnet", SCREENED),
        ("xgboost", SCREENED),
        "trees are strong on short records; networks gain from the millions of samples of the paper",
    ),
    ("TsSMNet beats the random forest", ("tssmnet", SCREENED), ("rf", SCREENED), "as above"),
)


def _by_loss(claim: str, better: Any, worse: Any, ours: pd.Series, theirs: pd.Series, why: str) -> Finding:
    return Finding(
        claim,
        f"validation loss {theirs[better]:.4f} against {theirs[worse]:.4f}",
        f"{ours[better]:.4f} against {ours[worse]:.4f}",
        bool(ours[better] < ours[worse]),
        why,
        "[3.1](3.1-training.ipynb)",
    )


def _by_gaps(rmse: pd.Series, gap: str, why: str) -> Finding:
    line, net = rmse["linear", "base", gap], rmse["tssmnet", "base+desc", gap]
    where = {"random": "days hidden at random", "blocks": "blocks of 10 to 30 days"}[gap]
    return Finding(
        f"TsSMNet beats a straight line in time ({where})",
        "not compared",
        f"RMSE {net:.4f} against {line:.4f} m³ m⁻³",
        bool(net < line),
        why,
        "[3.1](3.1-training.ipynb)",
    )


def _of_memory(rmse: pd.Series) -> Finding:
    without, with_it = rmse["tssmnet", "base+desc", "blocks"], rmse["tssmnet", "lag+desc", "blocks"]
    return Finding(
        "Memory of past weather helps TsSMNet (blocks)",
        "not compared",
        f"RMSE {with_it:.4f} against {without:.4f} m³ m⁻³",
        bool(with_it < without),
        "soil remembers rain for weeks; the day's weather does not tell it",
        "[4.2](4.2-memory.ipynb)",
    )


def than(value: float, other: float, less: str = "lower", more: str = "higher", *, same: float = 0.0) -> str:
    """The word for how a number stands to another, so that a sentence cannot contradict its numbers.

    Parameters
    ----------
    value, other
        The numbers; "not comparable with" if one is NaN.
    less, more
        Words for smaller and larger, both followed by "than".
    same
        Differences up to this are "about the same as".

    Examples
    --------
    >>> than(0.09, 0.10), than(2, 1, "drier", "wetter"), than(0.091, 0.090, same=0.002)
    ('lower than', 'wetter than', 'about the same as')
    """
    if not (math.isfinite(value) and math.isfinite(other)):
        return "not comparable with"
    if abs(value - other) <= same:
        return "about the same as"
    return f"{less if value < other else more} than"


def signed(value: float, digits: int = 3, units: str = "") -> str:
    """A number with its sign as a reader expects it.

    Examples
    --------
    >>> signed(-0.0123), signed(0.5, 1, " m")
    ('−0.012', '+0.5 m')
    """
    return f"{value:+.{digits}f}{units}".replace("-", "−")


def mean_reduction(scores: Mapping[str, float], best: str, others: Sequence[str]) -> float:
    """By how much a score of one product is below those of others, in per cent, averaged over the others.

    Examples
    --------
    >>> round(mean_reduction({"a": 0.09, "b": 0.10, "c": 0.12}, "a", ["b", "c"]), 6)
    17.5
    """
    return sum(100 * (1 - scores[best] / scores[other]) for other in others) / len(others)


def listed(words: Sequence[str], nothing: str = "none") -> str:
    """Words in a row.

    Examples
    --------
    >>> listed(["RF", "XGBoost", "TsSMNet"]), listed([])
    ('RF, XGBoost and TsSMNet', 'none')
    """
    items = list(words)
    if len(items) < 2:
        return items[0] if items else nothing
    return f"{', '.join(items[:-1])} and {items[-1]}"


def agreement_words(tau: float) -> str:
    """Kendall's tau in words.

    Examples
    --------
    >>> agreement_words(1.0), agreement_words(0.1), agreement_words(-0.7)
    ('in the same order', 'in hardly related orders', 'nearly in the reverse order')
    """
    if not math.isfinite(tau):
        return "in orders that cannot be compared"
    steps = (
        (0.999, "in the same order"),
        (0.6, "in nearly the same order"),
        (0.3, "in loosely similar orders"),
        (-0.3, "in hardly related orders"),
        (-0.6, "in loosely opposite orders"),
        (-0.999, "nearly in the reverse order"),
    )
    return next((words for least, words in steps if tau >= least), "in the reverse order")


def as_markdown(rows: Sequence[Finding]) -> str:
    """The findings as a table of a page, the links alive."""
    word = {True: "yes", False: "no", None: ""}
    lines = ["| claim | paper | here | holds here | to keep in mind | from |", "|---|---|---|---|---|---|"]
    lines += [f"| {f.claim} | {f.paper} | {f.here} | {word[f.agrees]} | {f.why} | {f.page} |" for f in rows]
    return "\n".join(lines)
