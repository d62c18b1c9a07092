"""Numbers in the text of a page: the role ``{eval}``, run with the page and written out by the stage."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from tssmnet.errors import TssmnetError

_EVAL = re.compile(r"\{eval\}`([^`]+)`")
_CAPTION = re.compile(r"\s*\*\*(Figure|Table)\.\*\*\s*")
_NUMPY = re.compile(r"np\.\w+\((.*)\)")
_ALT = re.compile(r"<!--\s*alt:\s*(.*?)\s*-->", re.S)

AT_END = "at-end"
"""Tag of a Markdown cell that stands above the cells whose numbers it tells, such as the finding at a page's top."""

NEEDS = "needs-"
"""Begins the tag of a Markdown cell that is left out where the page lacks a part: ``needs-truth``."""


def expressions_of(source: str) -> list[str]:
    """The expressions in a Markdown cell, each once.

    Examples
    --------
    >>> expressions_of("From {eval}`low` to {eval}`f'{high:.1f}'`, {eval}`low`.")
    ['low', "f'{high:.1f}'"]
    """
    return list(dict.fromkeys(_EVAL.findall(source)))


def with_values(cell: NotebookNode) -> str:
    """A Markdown cell's text with the values in place of the expressions.

    Raises
    ------
    TssmnetError
        If an expression has no value: the page was not run by `workflow.run_notebook`.
    """
    kept = cell.metadata.get("user_expressions", [])
    values = {entry["expression"]: _text(entry["result"]) for entry in kept}

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise TssmnetError(f"the text has no value for {found[0]}; run the page with workflow.run_notebook")
        return values[found[1]]

    return _EVAL.sub(value, cell.source)


def _text(result: Mapping[str, Any]) -> str:
    """What a reader sees of a value: its Markdown, or its text without quotes, or what Python shows.

    Examples
    --------
    >>> _text({"data": {"text/plain": "np.int64(73)"}}), _text({"data": {"text/plain": "'RF'"}})
    ('73', 'RF')
    """
    shown = result["data"].get("text/markdown") or result["data"]["text/plain"]
    shown = found[1] if (found := _NUMPY.fullmatch(shown)) else shown
    return str(ast.literal_eval(shown)) if shown[:1] in "'\"" else str(shown)


def is_caption(cell: NotebookNode) -> bool:
    """Whether a Markdown cell is the caption of what the cell before it shows."""
    return cell.cell_type == "markdown" and bool(_CAPTION.match(cell.source))


def caption_parts(text: str) -> tuple[str, str, str]:
    """Kind (``Figure`` or ``Table``), caption and alternative text of a caption cell.

    Examples
    --------
    >>> caption_parts("**Figure.** Rain. <!-- alt: One map. -->")
    ('Figure', 'Rain.', 'One map.')
    """
    found, alt = _CAPTION.match(text), _ALT.search(text)
    if found is None:
        raise TssmnetError(f"a caption begins with **Figure.** or **Table.**, found {text[:40]!r}")
    return found[1], _ALT.sub("", text[found.end() :]).strip(), " ".join(alt[1].split()) if alt else ""


def needed_parts(cell: NotebookNode) -> list[str]:
    """What a Markdown cell needs, by its tags."""
    return [tag.removeprefix(NEEDS) for tag in cell.metadata.get("tags", []) if tag.startswith(NEEDS)]


def records(cell: NotebookNode) -> list[NotebookNode]:
    """What a page noted of the outputs of a code cell: figures and tables it shows, or that the cell was left out."""
    return [output.metadata["tssmnet"] for output in cell.get("outputs", []) if "tssmnet" in output.get("metadata", {})]


def left_out(cell: NotebookNode) -> bool:
    """Whether a cell did not run, or is not shown, because the page lacks what it needs."""
    own = cell.metadata.get("tssmnet", {}).get("left_out", False)
    return bool(own) or any(record["kind"] == "absent" for record in records(cell))
