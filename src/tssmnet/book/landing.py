"""What the book's first page tells: five answers, each from a stored result, with its lowest and highest run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from tssmnet.book.tables import Stored

Run = Mapping[str, Any]
Model = tuple[str, str]
"""Name and feature set, as the rows of a stored result have them."""

DESCRIBED, PLAIN, MEMORY = ("tssmnet", "base+desc"), ("smnet", "base"), ("tssmnet", "lag+desc")
FILLER, LINE, PUBLISHED = ("filler", "own"), ("linear", "base"), ("lstm_multitask", "published")


@dataclass(frozen=True)
class Cut:
    """By how much one model's RMSE is below another's, on the same hidden observations."""

    ours: float  # RMSE, m3 m-3, mean over runs
    theirs: float  # RMSE, m3 m-3, mean over runs
    percents: tuple[float, ...]  # of each run

    def __str__(self) -> str:
        return f"{100 * (1 - self.ours / self.theirs):.0f} %"

    @property
    def both(self) -> str:
        """Both errors."""
        return f"{self.ours:.4f} against {self.theirs:.4f}"

    @property
    def spread(self) -> str:
        """The lowest and the highest run."""
        if len(self.percents) < 2:
            return "one run"
        return f"{min(self.percents):.1f} to {max(self.percents):.1f} % in {len(self.percents)} runs"


def cut(runs: Iterable[Run], gap: str, ours: Model, theirs: Model) -> Cut:
    """Compare two models run by run, a run with its partner on the same mask and seed, or else on the same mask.

    `runs`: of a stored result, with ``model``, ``features``, ``gap``, ``mask_seed``, ``model_seed``, ``rmse``.
    `gap`: kind of gaps, one of `tssmnet.gaps.GAP_KINDS`.

    Examples
    --------
    >>> run = {"gap": "random", "mask_seed": 0, "model_seed": 0, "features": "base"}
    >>> found = cut([run | {"model": "a", "rmse": 0.03}, run | {"model": "b", "rmse": 0.04}], "random", ("a", "base"),
    ...             ("b", "base"))
    >>> str(found), found.spread
    ('25 %', 'one run')
    """
    of = {name: [r for r in runs if (r["model"], r["features"]) == name and r["gap"] == gap] for name in (ours, theirs)}
    percents = tuple(100 * (1 - run["rmse"] / _partner(run, of[theirs])) for run in of[ours])
    return Cut(mean(r["rmse"] for r in of[ours]), mean(r["rmse"] for r in of[theirs]), percents)


def _partner(run: Run, others: Sequence[Run]) -> float:
    """RMSE of another model's runs that are nearest to a run: same mask and seed, same mask, any."""
    for keys in (("mask_seed", "model_seed"), ("mask_seed",), ()):
        if same := [other["rmse"] for other in others if all(other[k] == run[k] for k in keys)]:
            return mean(same)
    raise ValueError("there is no run to compare with")


@dataclass(frozen=True)
class Five:
    """The five answers of the first page."""

    descriptors: Cut
    memory: Cut
    filler: Cut
    ahead: Cut
    held: Mapping[str, float]  # per cent of hidden observations inside the 90 % interval, by kind of gaps

    @property
    def inside(self) -> str:
        """The lowest and the highest share inside the interval."""
        return f"{min(self.held.values()):.0f} to {max(self.held.values()):.0f} %"


def five(evaluation: Stored, filler: Stored) -> Five:
    """The five answers from the two stored results on real SMAP."""
    paper, own = evaluation.content["runs"], filler.content["runs"]
    rows = (row for row in filler.content["rows"] if (row["model"], row["features"]) == FILLER)
    return Five(
        cut(paper, "random", DESCRIBED, PLAIN),
        cut(paper, "random", MEMORY, DESCRIBED),
        cut(own, "random", FILLER, LINE),
        cut(own, "ahead", FILLER, PUBLISHED),
        {row["gap"]: 100 * row["coverage"] for row in rows if row["coverage"] is not None},
    )


def as_markdown(found: Five) -> str:
    """The five answers as a table with links to the pages that show more."""
    best = "[the filler on real SMAP](best-filler.ipynb)"
    questions = (
        ("What do the paper's temporal descriptors take off its network's error, on random days?",
            found.descriptors, "[section 3.1](conus/3.1-training.ipynb)"),
        ("What does a memory of the weather of the days before take off what is left?",
            found.memory, "[section 4.2](conus/4.2-memory.ipynb)"),
        ("How much less error has the project's own filler than a straight line between observations, on random days?",
            found.filler, best),
        ("And than the best published network, where a whole year's observations are hidden?", found.ahead, best),
    )  # fmt: skip
    lines = [
        "| Asked on real SMAP | Found | Lowest and highest run | RMSE (m³ m⁻³) | Shown in |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {question} | **{c}** | {c.spread} | {c.both} | {page} |" for question, c, page in questions]
    last = "How many hidden observations lie inside the error bars that promise 90 %?"
    return "\n".join([*lines, f"| {last} | **{found.inside}** | over {len(found.held)} kinds of gaps | | {best} |"])
