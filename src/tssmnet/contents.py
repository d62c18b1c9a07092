"""The paper's headings and tables against the pages of this book: read from one list, checked against the notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd
import yaml

from tssmnet.errors import TssmnetError
from tssmnet.provenance import ROOT

BOOK = ROOT / "book"
_NAMED = re.compile(r"""\bname\s*=\s*["']([^"']+)["']""")


def contents() -> pd.DataFrame:
    """The list ``book/tables/contents.csv``: the paper's headings and tables in its order.

    Returns
    -------
    pandas.DataFrame
        Columns item, page (name of a page of the book), made (names of figures and tables, by spaces), note.

    Raises
    ------
    TssmnetError
        If the list is not there.
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
