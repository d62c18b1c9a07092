"""What every notebook of the book keeps to, and what the runner refuses."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from tssmnet.errors import UnknownNameError
from workflow import inline, notebooks, pages

BOOK = Path(__file__).resolve().parents[2] / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
MOST_PROSE, MOST_CODE = 800, 3400
"""Words of text in code cells, and lines of code, in all notebooks."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def notebook_with(parameters: str) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[cell])


@every_notebook
def test_is_stored_without_outputs(path: Path) -> None:
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@every_notebook
def test_declares_its_parameters_as_literals_and_its_profile(path: Path) -> None:
    assert "profile" in notebooks.declared_parameters(notebooks.read(path), path.name)


@every_notebook
def test_has_no_long_cell_and_no_long_function(path: Path) -> None:
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 40, cell.source[:80]
    for node in ast.walk(ast.parse(notebooks.code_of(notebooks.read(path)))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 10, f"{node.name} belongs in the library"


def prose(notebook: nbformat.NotebookNode) -> int:
    """How many words stand in the texts of six words or more in a notebook's code; the numbers in them do not count."""
    words = 0
    for node in ast.walk(ast.parse(notebooks.code_of(notebook))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            count = len(node.value.split())
            words += count if count >= 6 else 0
    return words


def code_lines(notebook: nbformat.NotebookNode) -> int:
    return sum(len(c.source.splitlines()) for c in notebook.cells if c.cell_type == "code")


def test_the_text_of_the_book_stands_in_markdown_cells() -> None:
    assert sum(prose(notebooks.read(path)) for path in NOTEBOOKS) <= MOST_PROSE
    assert sum(code_lines(notebooks.read(path)) for path in NOTEBOOKS) <= MOST_CODE


@every_notebook
def test_a_page_keeps_its_text_out_of_its_code(path: Path) -> None:
    assert prose(notebooks.read(path)) <= 60


def nodes_of(notebook: nbformat.NotebookNode) -> list[ast.AST]:
    """All syntax nodes of a notebook's code and of the expressions in its text."""
    text = [e for c in notebook.cells if c.cell_type == "markdown" for e in inline.expressions_of(c.source)]
    return [node for source in (notebooks.code_of(notebook), *text) for node in ast.walk(ast.parse(source))]


@every_notebook
def test_imports_what_its_code_or_its_text_uses(path: Path) -> None:
    nodes = nodes_of(notebooks.read(path))
    imports = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    imported = {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
    assert imported <= {node.id for node in nodes if isinstance(node, ast.Name)}


@every_notebook
def test_what_a_page_takes_from_a_module_of_the_library_is_there(path: Path) -> None:
    nodes = nodes_of(notebooks.read(path))
    modules: dict[str, ModuleType] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tssmnet"):
            for alias in node.names:
                found = getattr(import_module(str(node.module)), alias.name, None)
                found = import_module(f"{node.module}.{alias.name}") if found is None else found
                if isinstance(found, ModuleType):
                    modules[alias.asname or alias.name] = found
    taken = [
        n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in modules
    ]
    assert [f"{n.value.id}.{n.attr}" for n in taken if not hasattr(modules[n.value.id], n.attr)] == []


@every_notebook
def test_each_figure_and_table_has_a_cell_of_its_own_and_its_caption_after_it(path: Path) -> None:
    cells = notebooks.read(path).cells
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        shown = re.findall(r"\bpage\.(show|table)\(", cell.source) if cell.cell_type == "code" else []
        if shown:
            assert len(shown) == 1, cell.source
            assert after is not None
            assert inline.is_caption(after), cell.source
            assert inline.caption_parts(after.source)[0] == {"show": "Figure", "table": "Table"}[shown[0]]
            assert shown[0] == "table" or inline.caption_parts(after.source)[2], f"no alt text: {cell.source}"


@every_notebook
def test_opens_with_what_it_shows_and_needs_and_ends_with_what_to_read_next(path: Path) -> None:
    texts = [c.source for c in notebooks.read(path).cells if c.cell_type == "markdown"]
    assert texts[0].startswith("# ")
    assert "**What this page shows.**" in texts[0]
    assert "**Needs**" in texts[0]
    assert "minute" in texts[0]
    assert "GB" in texts[0]
    assert "**Read next.**" in texts[-1]


@every_notebook
def test_reads_no_other_page(path: Path) -> None:
    """A notebook asks the library; it never opens another page's executed copy."""
    code = notebooks.code_of(notebooks.read(path))
    assert "_build" not in code
    assert ".ipynb" not in code


@every_notebook
def test_is_in_the_table_of_contents(path: Path) -> None:
    assert any(entry.split("/")[-1] == path.stem for entry in pages.toc_entries())


@pytest.mark.parametrize("profile", pages.profile_names())
def test_every_profile_hands_out_declared_parameters_only(profile: str) -> None:
    for page in pages.book_pages(profile):
        assert pages.parameters_for(page)["profile"] == page.profile.name


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown parameter of x\.ipynb 'sed'; did you mean 'seed'\?"):
        notebooks.check_parameters({"sed": 1}, {"seed": 0, "days": 30}, "x.ipynb")


@pytest.mark.parametrize(
    "line", ["days = 2 * 15", "days: int | None = None", "import os", "a = b = 1", "a, b = 1, 2", "print(1)"]
)
def test_a_parameters_cell_that_does_more_than_declare_is_refused(line: str) -> None:
    with pytest.raises(notebooks.ParameterError, match=r"must be `name = literal`"):
        notebooks.declared_parameters(notebook_with(f"seed = 0\n{line}"), "x.ipynb")


def test_comments_lists_and_negative_numbers_are_literals() -> None:
    found = notebooks.declared_parameters(
        notebook_with("# which\nseeds = [0, 1]\nshift = -0.5  # m3 m-3\nname = None"), "x"
    )
    assert found == {"seeds": [0, 1], "shift": -0.5, "name": None}


def test_a_notebook_without_a_parameters_cell_is_refused() -> None:
    with pytest.raises(notebooks.ParameterError, match="needs one code cell tagged 'parameters', found 0"):
        notebooks.declared_parameters(nbformat.v4.new_notebook(), "x.ipynb")


@pytest.mark.parametrize("value", ["three", True, [1]])
def test_a_value_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(notebooks.ParameterError, match="of another kind"):
        notebooks.check_parameters({"seed": value}, {"seed": 0}, "x.ipynb")


@pytest.mark.parametrize(("default", "value"), [(0, 1.5), (None, "a"), ([1], (1, 2)), ("a", None), (True, False)])
def test_a_value_of_the_same_kind_passes(default: object, value: object) -> None:
    notebooks.check_parameters({"x": value}, {"x": default}, "x.ipynb")


def test_an_assignment_without_equals_is_refused() -> None:
    with pytest.raises(notebooks.ParameterError, match="name=value"):
        notebooks.parse_assignment("seed")
