"""Which notebook is running, and what it declares: found from the notebook itself, wherever it runs."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tssmnet.provenance import ROOT

RUNNER_VARIABLE = "TSSMNET_NOTEBOOK"
"""Environment variable by which `workflow/run_notebook.py` tells a kernel which notebook it runs."""


def running_notebook(executed: Iterable[str]) -> Path | None:
    """The file of the notebook that runs in this kernel, None where it cannot be known.

    `executed`: source of the cells that ran so far, IPython's ``In``.
    """
    for variable in (RUNNER_VARIABLE, "JPY_SESSION_NAME"):
        path = Path(os.environ.get(variable, ""))
        if path.suffix == ".ipynb" and path.is_file():
            return path
    return _notebook_with(executed)


def _notebook_with(executed: Iterable[str]) -> Path | None:
    """The notebook of the book that holds most of some cells; None where none of them is in any."""
    cells = {source.strip() for source in executed if source.strip()}
    shared = {path: len(cells & _code_cells(path)) for path in sorted((ROOT / "book").glob("*.ipynb"))}
    best = max(shared, key=lambda path: shared[path], default=None)
    return best if best is not None and shared[best] else None


def _code_cells(path: Path) -> set[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {"".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"}


def parameter_names(path: Path | None, executed: Iterable[str]) -> list[str]:
    """Names assigned in the notebook's cells tagged ``parameters``; without a file, in the cells of bare literals."""
    if path is None:
        return [name for source in executed for name in literal_assignments(source)]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = (cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    return [name for cell in tagged for name in literal_assignments("".join(cell["source"]))]


def literal_assignments(source: str) -> list[str]:
    """The names that a cell assigns, if it does nothing but assign literals; else none.

    Examples
    --------
    >>> literal_assignments("seed = 0\\ndays = [1, 2]"), literal_assignments("import os\\nseed = 0")
    (['seed', 'days'], [])
    """
    try:
        body = ast.parse(source).body
        names = [_literal_target(statement) for statement in body]
    except (SyntaxError, ValueError):
        return []
    return [name for name in names if name] if all(names) else []


def _literal_target(statement: ast.stmt) -> str:
    """The name that one statement gives a literal; empty for any other statement."""
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return ""
    ast.literal_eval(statement.value)
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def declared_data(path: Path | None) -> list[str] | None:
    """The data sets that the notebook's own metadata names (``tssmnet: {"data": [...]}``); None where it names none."""
    if path is None:
        return None
    metadata: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    found: list[str] | None = metadata.get("tssmnet", {}).get("data")
    return found
