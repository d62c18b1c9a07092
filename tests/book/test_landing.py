"""The first page's numbers are those of the stored results, and none of them is typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tssmnet.book import landing, tables
from workflow import inline, notebooks

ROOT = Path(__file__).resolve().parents[2]
STORED = {name: tables.stored_result(name, "") for name in ("conus-evaluation.json", "conus-filler.json")}


@pytest.fixture(scope="module")
def found() -> landing.Five:
    return landing.five(*STORED.values())


@pytest.mark.parametrize(
    ("answer", "file", "gap", "ours", "theirs"),
    [
        ("descriptors", "conus-evaluation.json", "random", landing.DESCRIBED, landing.PLAIN),
        ("memory", "conus-evaluation.json", "random", landing.MEMORY, landing.DESCRIBED),
        ("filler", "conus-filler.json", "random", landing.FILLER, landing.LINE),
        ("ahead", "conus-filler.json", "ahead", landing.FILLER, landing.PUBLISHED),
    ],
)
def test_each_answer_is_the_rows_of_its_result_file(
    found: landing.Five, answer: str, file: str, gap: str, ours: landing.Model, theirs: landing.Model
) -> None:
    rows = {(r["model"], r["features"]): r for r in STORED[file].content["rows"] if r["gap"] == gap}
    cut: landing.Cut = getattr(found, answer)
    assert cut.ours == pytest.approx(rows[ours]["rmse"], abs=1e-6)
    assert cut.theirs == pytest.approx(rows[theirs]["rmse"], abs=1e-6)
    assert len(cut.percents) == rows[ours]["runs"]
    assert min(cut.percents) <= float(str(cut).split()[0]) + 0.5
    assert max(cut.percents) >= float(str(cut).split()[0]) - 0.5


def test_the_share_inside_the_error_bars_is_that_of_every_kind_of_gaps(found: landing.Five) -> None:
    rows = [r for r in STORED["conus-filler.json"].content["rows"] if r["model"] == "filler"]
    assert found.held == {r["gap"]: 100 * r["coverage"] for r in rows}


def test_the_first_page_shows_five_answers_and_names_the_files_they_are_read_from(found: landing.Five) -> None:
    assert len(landing.as_markdown(found).splitlines()) == 2 + 5
    source = (ROOT / "book" / "intro.ipynb").read_text(encoding="utf-8")
    assert all(f"results/{name}" in source for name in STORED)


def test_no_result_is_typed_into_the_first_page() -> None:
    """Numbers with a point or a per cent sign come from expressions; what stays is what intervals promise."""
    notebook = notebooks.read(ROOT / "book" / "intro.ipynb")
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for expression in inline.expressions_of(text):
        text = text.replace(f"{{eval}}`{expression}`", "")
    text = re.sub(r"\[[^\]]*\]\([^)]*\)|\{doc\}`[^`]*`|<[^>]*>|^>.*$", "", text, flags=re.MULTILINE)
    assert set(re.findall(r"\d+(?:\.\d+)?\s?%|\d*\.\d+", text)) <= {"90 %", "0.3"}


def test_runs_are_compared_on_the_same_mask() -> None:
    runs = [
        {"model": name, "features": "base", "gap": "random", "mask_seed": mask, "model_seed": seed, "rmse": rmse}
        for name, mask, seed, rmse in (("a", 0, 0, 0.03), ("a", 1, 1, 0.02), ("b", 0, 0, 0.04), ("b", 1, 0, 0.05))
    ]
    cut = landing.cut(runs, "random", ("a", "base"), ("b", "base"))
    assert cut.percents == pytest.approx((25, 60))
    assert cut.spread == "25.0 to 60.0 % in 2 runs"
