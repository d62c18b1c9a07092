"""Every heading and table of the paper has a page in this book, and that page shows what the list says it shows."""

from __future__ import annotations

import pandas as pd
import pytest

from tssmnet.book import paper

# From the paper itself, not from the list that is tested.
HEADINGS = """Highlights
Abstract
1. Introduction
2. Materials and Methods
2.1. Study Area and Data
2.1.1. Study Area
2.1.2. Data Acquisition
2.1.3. Data Processing
2.2. Method
2.2.1. TsSMNet Model
2.2.2. Model Validation
2.2.3. SSM Reconstruction Strategy
3. Results
3.1. Training Performance and Feature Configuration Analysis of the TsSMNet Model
3.2. Reconstructed SSM Results
3.3. Validation Through In Situ Observation and ESA CCI SSM
4. Discussion
4.1. Importance and Selection of Temporal Features
4.2. Model Performance in the Absence of Temporal Features
4.3. Limitations and Research Prospects
5. Conclusions
Author Contributions
Funding
Data Availability Statement
Acknowledgments
Conflicts of Interest
Appendix A
References""".splitlines()
TABLES = ("Table 1.", "Table 2.", "Table 3.", "Table 4.", "Table A1.")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return paper.contents()


def test_every_heading_of_the_paper_has_a_row_in_its_order(table: pd.DataFrame) -> None:
    assert [item for item in table["item"] if not item.startswith("Table")] == HEADINGS


@pytest.mark.parametrize("number", TABLES)
def test_every_table_of_the_paper_has_a_row_with_a_table_of_ours(table: pd.DataFrame, number: str) -> None:
    rows = table[table["item"].str.startswith(number)]
    assert len(rows) == 1
    assert rows["made"].str.contains("table-").all()


def test_every_page_is_in_the_table_of_contents_and_shows_the_figures_named(table: pd.DataFrame) -> None:
    assert paper.faults(table) == []


def test_every_section_that_reports_something_names_a_figure_or_a_table(table: pd.DataFrame) -> None:
    numbered = table[table["item"].str.match(r"[2-5]\.")]
    assert (numbered["made"] != "").all()


def test_a_page_that_does_not_exist_is_a_fault() -> None:
    row = pd.DataFrame([{"item": "6. More", "page": "6-more", "made": "", "note": ""}])
    assert paper.faults(row) == ["6. More: 6-more is not in the table of contents"]


def test_a_figure_that_its_page_does_not_show_is_a_fault() -> None:
    row = pd.DataFrame(
        [{"item": "2.1.1. Study Area", "page": "2.1.1-study-area", "made": "fig-stage fig-moon", "note": ""}]
    )
    assert paper.faults(row) == ["2.1.1. Study Area: 2.1.1-study-area shows no fig-moon"]


def test_the_list_as_markdown_links_each_page(table: pd.DataFrame) -> None:
    text = paper.as_markdown(table)
    assert text.count("\n") == len(table) + 1
    assert "[2.1.1-study-area](2.1.1-study-area.ipynb)" in text
    assert "(references.md)" in text
