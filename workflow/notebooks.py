"""What a notebook declares: its parameters, the library modules it names, the data it reads, what it hands on."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from tssmnet.errors import TssmnetError, require_known
from tssmnet.provenance import imported_modules


class ParameterError(TssmnetError):
    """A parameter that the notebook does not declare, or a parameters cell that does more than declare."""


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook as version 4."""
    return nbformat.read(path, as_version=4)


def parameters_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells tagged ``parameters``."""
    return [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]


def declared_parameters(notebook: nbformat.NotebookNode, name: str) -> dict[str, Any]:
    """Parameter names and defaults, from the one cell tagged ``parameters``.

    Raises
    ------
    ParameterError
        If there is not exactly one such cell, or if a line of it is not ``name = literal``: papermill would keep a
        derived value at its default in silence, and would not see an annotated one at all.
    """
    cells = parameters_cells(notebook)
    if len(cells) != 1:
        raise ParameterError(f"{name}: needs one code cell tagged 'parameters', found {len(cells)}")
    found: dict[str, Any] = {}
    for statement in ast.parse(cells[0].source).body:
        line = ast.unparse(statement)
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
            raise ParameterError(f"{name}: a line of the parameters cell must be `name = literal`, found `{line}`")
        target = statement.targets[0]
        try:
            value = ast.literal_eval(statement.value)
        except ValueError:
            value = ...
        if not isinstance(target, ast.Name) or value is ...:
            raise ParameterError(f"{name}: a line of the parameters cell must be `name = literal`, found `{line}`")
        found[target.id] = value
    return found


def check_parameters(given: Mapping[str, Any], declared: Mapping[str, Any], name: str) -> None:
    """Refuse what a notebook does not declare, and values of another kind than its default.

    Raises
    ------
    UnknownNameError
        For an undeclared name, with the nearest declared one.
    ParameterError
        For text where the default is a number, and the like.
    """
    for key, value in given.items():
        require_known(key, declared, f"parameter of {name}")
        default = declared[key]
        number = isinstance(value, int | float) and isinstance(default, int | float)
        same = number and isinstance(value, bool) == isinstance(default, bool)
        sequence = isinstance(value, list | tuple) and isinstance(default, list | tuple)
        if not (default is None or value is None or same or sequence or type(value) is type(default)):
            raise ParameterError(f"{name}: parameter {key!r} is {default!r} by default; {value!r} is of another kind")


def parse_assignment(text: str) -> tuple[str, Any]:
    """``name=value`` from a command line; the value is read as YAML.

    Examples
    --------
    >>> parse_assignment("seeds=[0, 1]")
    ('seeds', [0, 1])
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ParameterError(f"-p takes name=value, got {text!r}")
    return name.strip(), yaml.safe_load(value)


def code_of(notebook: nbformat.NotebookNode) -> str:
    """All code cells as one text that parses: lines of IPython magic are left out."""
    lines = (line for c in notebook.cells if c.cell_type == "code" for line in c.source.splitlines())
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def modules_of(notebook: nbformat.NotebookNode) -> frozenset[str]:
    """The modules of the library that the notebook's own code names."""
    return imported_modules(code_of(notebook))


def declaration(notebook: nbformat.NotebookNode, name: str) -> dict[str, Any]:
    """The notebook's own entry ``tssmnet`` in its metadata: what it reads and writes beyond the library.

    ``data``: names of data sets in the manifest; ``reads``, ``writes``: files relative to the repository, in which
    ``{profile}`` stands for the profile's name.
    """
    found = dict(notebook.metadata.get("tssmnet", {}))
    for key in found:
        require_known(key, ("data", "reads", "writes"), f"entry of metadata.tssmnet in {name}")
    return found
