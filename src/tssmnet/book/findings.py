"""The paper's findings held against ours: what it says, what was found here, and why the two may differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tssmnet.metrics.pooled import agreement, ranking

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

    `here`: from `tssmnet.book.paper.table_3`.
    `paper`: from `tssmnet.book.paper.paper_table`, number 3.
    `gaps`: from `tssmnet.book.paper.over_gaps`, with ``linear`` and ``tssmnet`` on random days and blocks.
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
    ("Temporal descriptors help", ("tssmnet", FULL), ("smnet", "Without temporal features"),
        "here position and soil constants already tell the place; what a descriptor adds is its identity"),
    ("The screened descriptors do better than all", ("tssmnet", SCREENED), ("tssmnet", FULL),
        "the screening is another; differences this small need seeds"),
    ("TsSMNet beats ResAutoNet", ("tssmnet", SCREENED), ("resautonet", SCREENED),
        "widths and training differ; the convolutions see features in an order that has no meaning"),
    ("TsSMNet beats the Transformer", ("tssmnet", SCREENED), ("transformer", SCREENED),
        "the Transformer is our reading"),
    ("TsSMNet beats XGBoost", ("tssmnet", SCREENED), ("xgboost", SCREENED),
        "trees are strong on short records; networks gain from the millions of samples of the paper"),
    ("TsSMNet beats the random forest", ("tssmnet", SCREENED), ("rf", SCREENED), "as above"),
)  # fmt: skip


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


TRAINING, MAPS, VALIDATION, GAPS = (
    "[3.1](3.1-training.ipynb)",
    "[3.2](3.2-maps.ipynb)",
    "[3.3](3.3-validation.ipynb)",
    "[truth in the gaps](truth-in-gaps.ipynb)",
)

OTHERS = ("rf", "xgboost", "transformer", "resautonet")


@dataclass(frozen=True)
class Evidence:
    """What a run found, as far as its profile can tell; None or NaN for what it cannot."""

    # before, after: share of cells and days with a value, per cent
    before: float
    after: float
    loss: Mapping[tuple[str, str], float]  # validation losses on a random split, by model and feature set
    # by_stations, by_truth, in_gaps: table 4 from stations, from the truth everywhere, from the truth inside the gaps
    # (`pooled.pooled_table`)
    by_stations: pd.DataFrame | None = None
    by_truth: pd.DataFrame | None = None
    in_gaps: pd.DataFrame | None = None
    station_ranks: pd.DataFrame | None = None  # `pooled.resampled_ranks` of the five models by stations
    floor: float = math.nan  # RMSE of the truth of the cells against the stations' readings, m3 m-3
    # `truth.errors_by` of TsSMNet in gaps, rows ``cold`` (frozen or snow), ``orbit``, ``other``
    kinds: pd.DataFrame | None = None
    split: Mapping[str, float] | None = None  # `truth.random_split` of TsSMNet


def conclusions_of_paper(found: Evidence, table_4: pd.DataFrame, table_3: pd.DataFrame) -> list[Finding]:
    """The paper's conclusions, as far as its abstract and tables tell them, beside what a run found.

    `found`: of the run.
    `table_4`, `table_3`: the paper's, from `tssmnet.book.paper.paper_table`.
    """
    paper = table_4.assign(product=table_4["data"].str.lower()).set_index("product")["rmse"]
    theirs = table_3.set_index(["model", "setting"]).validation_loss
    with_, without = found.loss["tssmnet", "base+screened"], found.loss["smnet", "base"]
    coverage = f"share of cells and days with a value: {found.before:.0f} % before, {found.after:.0f} % after"
    rows = [
        Finding(
            "A product without gaps", "daily, 2016 to 2022, 9 km", coverage, found.after > 99,
            "a value everywhere is easy; a right one is not", MAPS,
        ),
        Finding(
            "Temporal descriptors help",
            f"validation loss {theirs['tssmnet', SCREENED]:.4f} with, "
            f"{theirs['smnet', 'Without temporal features']:.4f} without",
            f"{with_:.4f} with, {without:.4f} without", with_ < without,
            "on a random split; a descriptor mostly tells the model which pixel it is", TRAINING,
        ),
    ]  # fmt: skip
    if found.by_stations is not None:
        rows += _at_stations(found.by_stations, paper)
    if found.by_truth is not None and found.in_gaps is not None:
        rows.append(_by_the_truth(found.by_truth, found.in_gaps))
    return rows


def _at_stations(here: pd.DataFrame, paper: pd.Series) -> list[Finding]:
    rmse = here["rmse"]
    three = [n for n in OTHERS if n != "transformer"]
    lower = sum(rmse["tssmnet"] < rmse[n] for n in OTHERS)
    interval = f"[{here.rmse_low['tssmnet']:.3f}, {here.rmse_high['tssmnet']:.3f}]"
    cut, cut_of_three = (mean_reduction(paper, "tssmnet", names) for names in (OTHERS, three))
    return [
        Finding(
            "TsSMNet's RMSE at stations is lower than that of the other four, by 17.1 % on average",
            f"from its Table 4: {cut:.1f} % on average; {cut_of_three:.1f} % without the Transformer",
            f"{signed(mean_reduction(rmse, 'tssmnet', OTHERS), 1)} %; lower than {lower} of 4", lower == len(OTHERS),
            "most of the paper's margin is one model with a bias; the stations' own spread hides the rest", VALIDATION,
        ),
        Finding(
            "RMSE at stations is about 0.09 m³ m⁻³", f"{paper['tssmnet']:.3f}", f"{rmse['tssmnet']:.3f} {interval}",
            bool(abs(rmse["tssmnet"] - 0.09) < 0.015),
            "mostly the distance of a point from a cell; in the twin its size was prescribed", VALIDATION,
        ),
    ]  # fmt: skip


def _by_the_truth(everywhere: pd.DataFrame, in_gaps: pd.DataFrame) -> Finding:
    models = [*OTHERS, "tssmnet"]
    ranks = [ranking(table.loc[models])["tssmnet"] for table in (everywhere, in_gaps)]
    return Finding(
        "TsSMNet is the best of the five", "by stations (RMSE and r)",
        f"by the truth: rank {ranks[0]} of 5 everywhere, {ranks[1]} in the gaps", bool(ranks[1] == 1),
        "quick trainings, no memory; networks gain from the millions of samples of the paper", GAPS,
    )  # fmt: skip


def what_stands(found: Evidence, titles: Mapping[str, str]) -> list[str]:
    """Conclusions of a run, each a sentence or two whose words follow from its numbers; Markdown.

    `found`: of the run; what a profile does not have gives no sentence.
    `titles`: short titles of the products.
    """
    lines = []
    if found.by_stations is not None and found.in_gaps is not None:
        lines += _of_stations(found, titles)
    if found.kinds is not None:
        lines.append(_of_kinds(found.kinds))
    if found.split is not None:
        lines.append(_of_split(found.split))
    lines.append(_of_descriptors(found.loss))
    if found.in_gaps is not None:
        lines.append(_of_best(found.in_gaps["rmse"], titles))
    lines.append(
        f"**Filled is not known.** Coverage goes from {found.before:.0f} % to {found.after:.0f} %; what a filled value "
        "is worth depends on why it was missing, and a product should say so beside each value."
    )
    return lines


def _of_stations(found: Evidence, titles: Mapping[str, str]) -> list[str]:
    assert found.by_stations is not None
    assert found.in_gaps is not None
    models = [*OTHERS, "tssmnet"]
    first, second = ranking(found.by_stations.loc[models]), ranking(found.in_gaps.loc[models])
    tau = agreement(first, second)
    one, other = titles[str(first.idxmin())], titles[str(second.idxmin())]
    best = f"Both name {one} as the best" if one == other else f"Stations name {one}, the truth in the gaps {other}"
    wins = math.nan if found.station_ranks is None else 100 * found.station_ranks["first"][first.idxmin()]
    lines = [
        f"**Stations and the truth put the five reconstructions {agreement_words(tau)}** (Kendall's tau "
        f"{signed(tau, 2)} between stations and the truth in the gaps, by RMSE). {best}; when the stations' cells are "
        f"drawn again, {one} comes first in {wins:.0f} % of the draws."
    ]
    against = {k: t.rmse["tssmnet"] for k, t in (("stations", found.by_stations), ("gaps", found.in_gaps))}
    if math.isfinite(found.floor):
        part = 100 * found.floor**2 / against["stations"] ** 2
        lines.append(
            f"**A station's RMSE is {'mostly' if part > 50 else 'partly'} the station's.** Even the truth has "
            f"{found.floor:.3f} m³ m⁻³ against the readings, {part:.0f} % of TsSMNet's mean square error there. "
            f"TsSMNet has {against['stations']:.3f} against stations, {against['gaps']:.3f} against the truth in gaps."
        )
    return lines


def _of_kinds(kinds: pd.DataFrame) -> str:
    cold, orbit = kinds.loc["cold"], kinds.loc["orbit"]
    return (
        f"**The gaps are not all alike.** Between orbits over thawed soil ({100 * orbit['share']:.0f} % of the gap "
        f"days) the true RMSE of TsSMNet is {orbit['rmse']:.3f} m³ m⁻³; on frozen or snow-covered ground "
        f"({100 * cold['share']:.0f} %) it is {cold['rmse']:.3f}, {than(cold['rmse'], orbit['rmse'], same=0.002)} "
        "between orbits, and no station and no hidden observation would tell."
    )


def _of_split(split: Mapping[str, float]) -> str:
    factor = split["gaps_truth"] / split["split"]
    word = "flatters" if factor > 1.05 else "does not flatter"
    return (
        f"**A random split {word}**: it reports {split['split']:.3f} m³ m⁻³ where the true error in the gaps is "
        f"{split['gaps_truth']:.3f}, {factor:.1f} times as much."
    )


def _of_descriptors(loss: Mapping[tuple[str, str], float]) -> str:
    screened, every, none = loss["tssmnet", "base+screened"], loss["tssmnet", "base+desc"], loss["smnet", "base"]
    return (
        f"**Descriptors {'help' if screened < none else 'do not help'} on the random split** (validation loss "
        f"{screened:.4f} with the screened ones, {none:.4f} without any), and the screened ones do "
        f"{'better' if screened < every else 'no better'} than all 31 ({every:.4f})."
    )


def _of_best(rmse: pd.Series, titles: Mapping[str, str]) -> str:
    best, rival = str(rmse.idxmin()), rmse[[*OTHERS]].min()
    gain = "is ahead of" if rmse["tssmnet"] < rival else "is behind"
    text = (
        f"**In the gaps {titles[best]} is nearest to the truth**, {rmse.min():.3f} m³ m⁻³; TsSMNet {gain} the best of "
        f"the other four ({rmse['tssmnet']:.3f} against {rival:.3f})."
    )
    trees = " At this size of training trees are the stronger choice; a long training may turn that round."
    return text + (trees if best in ("rf", "xgboost") else "")


def than(value: float, other: float, less: str = "lower", more: str = "higher", *, same: float = 0.0) -> str:
    """The word for how a number stands to another, so that a sentence cannot contradict its numbers.

    `value`, `other`: the numbers; "not comparable with" if one is NaN.
    `less`, `more`: words for smaller and larger, both followed by "than".
    `same`: differences up to this are "about the same as".

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


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign as a reader expects it.

    Examples
    --------
    >>> signed(-0.0123), signed(0.5, 1)
    ('−0.012', '+0.5')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


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


def numbered(sentences: Sequence[str]) -> str:
    """Sentences as a numbered list in Markdown.

    Examples
    --------
    >>> numbered(["It rained.", "It dried."])
    '1. It rained.\\n\\n2. It dried.'
    """
    return "\n\n".join(f"{i}. {sentence}" for i, sentence in enumerate(sentences, 1))


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
