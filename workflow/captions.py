"""From an executed page to what the book shows: numbers in the text, numbered figures and tables, links."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode, v4

from tssmnet.errors import TssmnetError
from workflow import inline

Numbers = Mapping[tuple[str, str], str]
"""Entry of the page and name of the figure or table, to what it is called: ``Figure 12``."""

KINDS = {"figure": "Figure", "interactive": "Figure", "table": "Table"}
FIGURES = "figures"
_TO_FIGURE = re.compile(r"\[\]\(([\w./-]*?)(?:\.ipynb)?#((?:fig|table)-[\w-]+)\)")
_TO_PAGE = re.compile(r"\]\(([\w.-]+)\.ipynb(#[\w-]+)?\)")


def numbers_of(notebooks: Iterable[tuple[str, NotebookNode]]) -> dict[tuple[str, str], str]:
    """The numbers of all figures and tables, counted through the book in its order.

    Parameters
    ----------
    notebooks
        Entry and executed notebook of each page, in the order of the book.
    """
    numbers: dict[tuple[str, str], str] = {}
    counts = dict.fromkeys(KINDS.values(), 0)
    for entry, notebook in notebooks:
        for cell in notebook.cells:
            for record in inline.records(cell):
                if word := KINDS.get(record["kind"]):
                    counts[word] += 1
                    numbers[entry, record["name"]] = f"{word} {counts[word]}"
    return numbers


def compose(notebook: NotebookNode, entry: str, numbers: Numbers, entries: Iterable[str]) -> dict[Path, bytes]:
    """Turn an executed page into what the book shows, in place.

    Parameters
    ----------
    notebook
        As `workflow.run_notebook` left it.
    entry
        The page's name in the table of contents.
    numbers
        From `numbers_of`.
    entries
        All pages of the book, to link to.

    Returns
    -------
    dict
        Image files by their path in the staging folder.

    Raises
    ------
    TssmnetError
        If a figure or table has no caption cell, or more than one of them stands in a cell.
    """
    _leave_out(notebook)
    known = set(entries)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _with_links(inline.with_values(cell), entry, numbers, known)
        for data in (output.data for output in cell.get("outputs", []) if "text/markdown" in output.get("data", {})):
            data["text/markdown"] = _with_links(data["text/markdown"], entry, numbers, known)
    files: dict[Path, bytes] = {}
    for place, cell in enumerate(notebook.cells):
        shown = [record for record in inline.records(cell) if record["kind"] in KINDS]
        if shown:
            caption = notebook.cells[place + 1] if place + 1 < len(notebook.cells) else None
            if len(shown) > 1 or caption is None or not inline.is_caption(caption):
                names = ", ".join(record["name"] for record in shown)
                raise TssmnetError(
                    f"{entry}: {names}: each needs a code cell of its own and a Markdown cell with its caption after it"
                )
            files |= _captioned(cell, caption, shown[0], entry, numbers)
    return files


def _leave_out(notebook: NotebookNode) -> None:
    """Drop the cells of what the page lacks; the note that says so stays, once."""
    kept = []
    for cell in notebook.cells:
        if not inline.left_out(cell):
            kept.append(cell)
        elif note := "".join(output.get("data", {}).get("text/markdown", "") for output in cell.get("outputs", [])):
            kept.append(v4.new_markdown_cell(note, id=cell.id))
    notebook.cells = kept


def _captioned(
    cell: NotebookNode, caption: NotebookNode, record: Mapping[str, str], entry: str, numbers: Numbers
) -> dict[Path, bytes]:
    """Move a figure or table from a code cell to the cell of its caption; an interactive one stays above it."""
    word, text, alt = inline.caption_parts(caption.source)
    if word != KINDS[record["kind"]]:
        raise TssmnetError(
            f"{entry}: the caption of {record['name']} begins with **{word}.**, it is a {record['kind']}"
        )
    place = next(i for i, output in enumerate(cell.outputs) if output.get("metadata", {}).get("tssmnet") == record)
    body, files = "", {}
    if record["kind"] != "interactive":
        data = cell.outputs[place - 1].data
        if record["kind"] == "figure":
            path = Path(FIGURES, *entry.split("/"), f"{record['name']}.png")
            files[path] = base64.b64decode(data["image/png"])
            body = f"![{_attribute(alt or text)}](/{path.as_posix()})"
        else:
            body = data.get("text/html") or data["text/markdown"]
    del cell.outputs[place if record["kind"] == "interactive" else place - 1 : place + 1]
    caption.source = _figure(body, text, record, numbers[entry, record["name"]])
    return files


def _figure(body: str, text: str, record: Mapping[str, str], number: str) -> str:
    """The Markdown of a figure or table with number, caption and provenance."""
    mark = '<b class="synthetic">Synthetic twin.</b> ' if record["synthetic"] else ""
    parts = [
        f'<figure class="made" id="{html.escape(record["name"])}">',
        body,
        "<figcaption>",
        f"**{number}.** {mark}{text}",
        f'<p class="provenance">{html.escape(record["provenance"])}</p>',
        "</figcaption>\n</figure>",
    ]
    return "\n\n".join(part for part in parts if part)


def _attribute(text: str) -> str:
    """Text that may stand between the brackets of an image: one line, without markup."""
    return " ".join(re.sub(r"[\[\]`*_$\\<>]", "", text).split())


def _with_links(text: str, entry: str, numbers: Numbers, entries: set[str]) -> str:
    """Text in which ``[](#fig-x)`` is the number of that figure, and links to pages lead to the same profile's page."""

    def figure(found: re.Match[str]) -> str:
        page = _page(found[1], entry, entries) if found[1] else entry
        if (page, found[2]) not in numbers:
            raise TssmnetError(f"{entry}: {found[0]} leads to no figure or table of the book")
        where = "" if page == entry else f"{'../' * entry.count('/')}{page}.html"
        return f'<a class="reference internal" href="{where}#{found[2]}">{numbers[page, found[2]]}</a>'

    def page_link(found: re.Match[str]) -> str:
        return f"](/{_page(found[1], entry, entries)}.ipynb{found[2] or ''})"

    return _TO_PAGE.sub(page_link, _TO_FIGURE.sub(figure, text))


def _page(name: str, entry: str, entries: set[str]) -> str:
    """The entry of a page as another page names it: in its own folder, else at the top, else in the one that has it."""
    same_folder = (PurePosixPath(entry).parent / name).as_posix()
    last = PurePosixPath(name).name
    for candidate in (same_folder, last, *sorted(other for other in entries if PurePosixPath(other).name == last)):
        if candidate in entries:
            return candidate
    raise TssmnetError(f"{entry}: a link leads to {name}, which is no page of the book")
