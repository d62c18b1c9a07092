"""Numbers in the text, numbered figures and tables, and what is left out on a profile."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, v4

from tssmnet.errors import TssmnetError
from workflow import captions, inline, run_notebook

CELLS = (
    ("m", "# Title\n\n**Found.** {eval}`f'{x:.2f}'`", "at-end"),
    ("c", 'profile = "conus"\nseed = 0', "parameters"),
    ("c", "import pandas as pd\nfrom tssmnet.book.page import open_page\npage = open_page(globals())"),
    ("c", 'x = 1.234\npage.table(pd.DataFrame({"a": [x]}), "table-a")'),
    ("m", "**Table.** It is {eval}`x`, see [](#table-a)."),
    ("c", 'page.needs("truth")\ny = 1\npage.table(pd.DataFrame({"a": [y]}), "table-b")'),
    ("m", "**Table.** Left out: {eval}`y`"),
    ("c", 'page.needs("truth")\nz = 1'),
    ("m", "The truth is {eval}`z`.", "needs-truth"),
    ("c", 'page.table("| a |\\n|---|\\n| [one](b.ipynb), [](#table-a) |", "table-c")'),
    ("m", "**Table.** In Markdown."),
    ("c", '"y" in globals(), page.name, dict(page.parameters), dict(page.data)'),
)


def notebook_of(*cells: tuple[str, ...]) -> NotebookNode:
    make = {"m": v4.new_markdown_cell, "c": v4.new_code_cell}
    return v4.new_notebook(cells=[make[kind](text, metadata={"tags": tags}) for kind, text, *tags in cells])


def executed(folder: Path, *cells: tuple[str, ...]) -> NotebookNode:
    source = folder / "page-of-a-test.ipynb"
    notebook = notebook_of(*cells)
    notebook.metadata["tssmnet"] = {"data": ["smap-conus"]}
    nbformat.write(notebook, source)
    return run_notebook.execute(source, {"seed": 5}, folder / "out.ipynb")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    return executed(tmp_path_factory.mktemp("page"), *CELLS)


@pytest.fixture(scope="module")
def shown(page: NotebookNode) -> list[str]:
    numbers = captions.numbers_of([("a", page)])
    captions.compose(page, "a", numbers, ["a", "b"])
    return [cell.source for cell in page.cells]


def test_a_notebook_is_known_by_its_file_with_its_parameters_and_data(page: NotebookNode) -> None:
    text = page.cells[-1].outputs[0].data["text/plain"]
    assert "'page-of-a-test', {'seed': 5}, {'smap-conus': " in text


def test_a_cell_that_needs_what_is_lacking_does_not_run(page: NotebookNode) -> None:
    assert page.cells[-1].outputs[0].data["text/plain"].startswith("(False,")


def test_text_above_the_numbers_gets_them_when_the_page_has_run(shown: list[str]) -> None:
    assert "**Found.** 1.23" in shown[0]


def test_a_table_has_its_number_caption_and_provenance(shown: list[str]) -> None:
    table = next(text for text in shown if 'id="table-a"' in text)
    assert "**Table 1.** It is 1.234" in table
    assert 'href="#table-a">Table 1</a>' in table
    assert "profile conus (seed=5)" in table


def test_a_table_in_markdown_has_live_links(shown: list[str]) -> None:
    table = next(text for text in shown if 'id="table-c"' in text)
    assert "\n| [one](/b.ipynb), <a" in table


def test_what_is_lacking_is_told_once_and_what_speaks_of_it_is_left_out(shown: list[str]) -> None:
    assert sum("Profile conus has no truth" in text for text in shown) == 1
    assert not any("Left out" in text or "The truth is" in text for text in shown)


def test_a_failing_expression_fails_the_page(tmp_path: Path) -> None:
    with pytest.raises(TssmnetError, match="'unheard' in the text of the page failed: NameError"):
        executed(tmp_path, CELLS[1], ("m", "It is {eval}`unheard`."))


def test_a_figure_without_a_caption_is_refused() -> None:
    notebook = notebook_of(("c", ""), ("m", "Text."))
    record = {"kind": "table", "name": "table-a", "provenance": "", "synthetic": False}
    notebook.cells[0].outputs = [v4.new_output("display_data", {}, metadata={"tssmnet": record})]
    with pytest.raises(TssmnetError, match="a: table-a: each needs a code cell of its own"):
        captions.compose(notebook, "a", {("a", "table-a"): "Table 1"}, ["a"])


def test_a_link_to_a_page_leads_to_the_same_profile_where_the_book_has_it_there() -> None:
    notebook = notebook_of(("m", "[x](3.1.ipynb) [y](best.ipynb)"))
    captions.compose(notebook, "conus/2.1", {}, ["conus/2.1", "conus/3.1", "3.1", "best"])
    assert notebook.cells[0].source == "[x](/conus/3.1.ipynb) [y](/best.ipynb)"


def test_a_link_to_a_page_of_one_profile_leads_there_from_any_page() -> None:
    notebook = notebook_of(("m", "[x](best.ipynb)"))
    captions.compose(notebook, "a", {}, ["a", "conus/best"])
    assert notebook.cells[0].source == "[x](/conus/best.ipynb)"


def test_a_link_to_no_page_is_refused() -> None:
    with pytest.raises(TssmnetError, match="a link leads to 9, which is no page of the book"):
        captions.compose(notebook_of(("m", "[x](9.ipynb)")), "a", {}, ["a"])


def test_an_expression_without_a_value_is_refused() -> None:
    with pytest.raises(TssmnetError, match="has no value for"):
        inline.with_values(v4.new_markdown_cell("{eval}`x`"))
