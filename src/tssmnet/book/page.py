"""One page of the book while it runs: what it is, how it shows a figure or a table, what it leaves out on a profile."""

from __future__ import annotations

import ast
import base64
import html
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tssmnet.book import notebook
from tssmnet.book.style import STYLE
from tssmnet.data.registry import select
from tssmnet.errors import require_known
from tssmnet.profiles import PROFILE_PARTS, SOURCES, profile_parts
from tssmnet.provenance import _STARTED, commit, data_hashes, device

if TYPE_CHECKING:
    import pandas as pd

RECORD = "tssmnet"
"""Key in the metadata of an output: which figure or table it is, or that its cell was left out."""

SYNTHETIC_PROFILES = ("twin",)
"""Profiles whose data are made up: everything that a page shows on one of them is marked."""


def mark_synthetic(fig: Any, words: str = "SYNTHETIC DATA") -> Any:
    """Write below a figure that its data are synthetic, so that no copy of it can pass for a measurement."""
    if not any("SYNTHETIC" in text.get_text() for text in fig.texts):
        fig.draw_without_rendering()  # only then is it known how far the figure reaches
        drawn, (width, height) = fig.get_tightbbox(), fig.get_size_inches()
        place = {"x": drawn.x1 / width, "y": drawn.y0 / height - 0.01, "ha": "right", "va": "top"}
        fig.text(**place, s=words, fontsize=7, fontweight="bold", color="0.35")
    return fig


def table_html(table: pd.DataFrame, digits: int | Mapping[str, int] = 3) -> str:
    """A data frame as HTML; named index levels become columns. `digits` are those of `Page.table`."""
    named = any(n is not None for n in table.index.names)
    flat = table.reset_index() if named else table
    few = {} if isinstance(digits, int) else digits
    usual = digits if isinstance(digits, int) else 3
    number = {name: f"{{:.{count}f}}".format for name, count in few.items()}
    text: str = flat.to_html(
        border=0,
        index=not named,
        justify="left",
        formatters=number,
        float_format=lambda v: f"{v:.{usual}f}",
        na_rep="–",
    )
    return text


def png_of(figure: Any) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", dpi=STYLE["savefig.dpi"], metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class Page:
    """A page of the book as it runs: its name, profile, parameters and data, and how it shows what it made."""

    name: str
    profile: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _lacks: set[str] = field(default_factory=set, repr=False)

    @property
    def synthetic(self) -> bool:
        """Whether what the page shows is made up, and marked so."""
        return self.profile in SYNTHETIC_PROFILES

    def show(
        self, figure: Any, name: str, *, made_by: Callable[..., Any] | str = "", synthetic: bool | None = None
    ) -> None:
        """Display a figure; the Markdown cell that follows holds its caption, after the word **Figure.**

        Parameters
        ----------
        figure
            A matplotlib figure, which is closed, or a holoviews object for an interactive one.
        name
            The figure's anchor on the page, ``fig-...``.
        made_by
            The function that drew it, for the provenance line.
        synthetic
            Whether it shows made-up data; by default on every page of `SYNTHETIC_PROFILES`. False is for what is real
            there: the paper's own numbers, results on real data.
        """
        from IPython.display import display

        synthetic = self.synthetic if synthetic is None else synthetic
        drawn = hasattr(figure, "savefig")
        if drawn:
            import matplotlib.pyplot as plt

            if synthetic:
                mark_synthetic(figure, "SYNTHETIC TWIN")
            data = {"image/png": base64.b64encode(png_of(figure)).decode(), "text/plain": name}
            display(data, raw=True)
            plt.close(figure)
        else:
            display(figure)
        self._record("figure" if drawn else "interactive", name, self.provenance(made_by), synthetic)

    def table(
        self,
        table: pd.DataFrame | str,
        name: str,
        *,
        made_by: Callable[..., Any] | str = "",
        digits: int | Mapping[str, int] = 3,
        synthetic: bool | None = None,
    ) -> None:
        """Display a data frame, named index levels as columns; the Markdown cell that follows holds its caption.

        A table that is written in Markdown may hold links to pages and figures. `name`, `made_by` and `synthetic` are
        those of `show`; the caption begins with the word **Table.** `digits` are those behind the point, for all
        columns or by column (3 for columns that are not named).
        """
        from IPython.display import display

        if isinstance(table, str):
            display({"text/markdown": table, "text/plain": table}, raw=True)
        else:
            display({"text/html": table_html(table, digits), "text/plain": table.to_string()}, raw=True)
        self._record("table", name, self.provenance(made_by), self.synthetic if synthetic is None else synthetic)

    def provenance(self, made_by: Callable[..., Any] | str = "") -> str:
        """The line under a figure or table that `made_by` drew, a function or its name."""
        function = made_by if isinstance(made_by, str) else f"{made_by.__module__}.{made_by.__qualname__}"
        given = ", ".join(f"{k}={v}" for k, v in self.parameters.items())
        data = ", ".join(f"{name} {digest}" for name, digest in self.data.items())
        head, dirty = commit()
        parts = [
            f"book/{self.name}.ipynb",
            function,
            f"profile {self.profile}" + (f" ({given})" if given else ""),
            f"data {data}" if data else "",
            f"commit {head} with local changes" if dirty else f"commit {head}",
            device(),
            f"{(time.time() - _STARTED) / 60:.1f} min into the page",
        ]
        return " · ".join(part for part in parts if part)

    def _record(self, kind: str, name: str, line: str, synthetic: bool) -> None:
        """The provenance below a figure or table, and in its metadata what the book needs to number and caption it."""
        from IPython.display import display

        mark = '<b class="synthetic">Synthetic twin.</b> ' if synthetic else ""
        about = {"kind": kind, "name": name, "provenance": line, "synthetic": synthetic}
        bundle = {"text/html": f'<p class="provenance">{mark}{html.escape(line)}</p>', "text/plain": line}
        display(bundle, metadata={RECORD: about}, raw=True)

    def has(self, name: str) -> bool:
        """Whether the profile has a part (``"stations"``), or a variable of the notebook holds anything."""
        if name in PROFILE_PARTS:
            return self.profile in SOURCES and name in profile_parts(self.profile)
        value = self.namespace.get(require_known(name, self.namespace, "part of a profile or variable of this page"))
        return value is not None and bool(value)

    def needs(self, *names: str) -> None:
        """Say in a cell's first line what the cell needs; where that is lacking, the rest of the cell does not run.

        The reader is told once what is lacking; further cells that lack the same are silent.

        Parameters
        ----------
        names
            Parts of the profile, such as ``"truth"`` or ``"stations"``, and names of the notebook's own variables that
            may be empty, such as a stored result.

        Raises
        ------
        UnknownNameError
            For what is neither a part of any profile nor a variable.
        """
        from IPython.display import display

        lacking = [name for name in names if not self.has(name)]
        if lacking:
            unsaid = [name for name in lacking if name not in self._lacks]
            self._lacks.update(lacking)
            text = "\n\n".join(self._absence(name) for name in unsaid)
            display({"text/markdown": text, "text/plain": text}, metadata={RECORD: {"kind": "absent"}}, raw=True)

    def _absence(self, name: str) -> str:
        """What the reader is told where a part is lacking."""
        if name in PROFILE_PARTS:
            words = name.replace("_", " ")
            return f"*Profile {self.profile} has no {words} ({PROFILE_PARTS[name]}): what needs it is left out here.*"
        value = self.namespace[name]
        return f"*{value.line() if hasattr(value, 'line') else f'There is no {name} here.'}*"


_PAGE = Page("notebook", "none")


class _Needs(ast.NodeTransformer):
    """Leaves only the first statement, ``page.needs(...)``, of a cell that needs what is not there."""

    def visit_Module(self, node: ast.Module) -> ast.Module:
        names = _needed(node.body[0]) if node.body else None
        if names is not None and not all(map(_PAGE.has, names)):
            node.body = node.body[:1]
        return node


def _needed(statement: ast.stmt) -> list[str] | None:
    """The arguments of a statement ``page.needs("truth")``, None for any other statement."""
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("page"), "needs"), arguments)):
            return [ast.literal_eval(argument) for argument in arguments]
    return None


def open_page(of: Mapping[str, Any], *, profile: str = "") -> Page:
    """Say, in a page's first cell, what runs where: ``page = open_page(globals())``.

    Name, parameters and data sets are read from the notebook that runs.

    Parameters
    ----------
    of
        The notebook's ``globals()``.
    profile
        What the page stands on where that is no profile of the book; by default the parameter ``profile``.
    """
    global _PAGE
    known = data_hashes()
    executed = list(of.get("In", []))
    path = notebook.running_notebook(executed)
    given = {name: of[name] for name in notebook.parameter_names(path, executed) if name in of and name != "profile"}
    profile = profile or of.get("profile", "none")
    declared = notebook.declared_data(path)
    names = declared if declared is not None else _data_of(profile)
    sets = {name: known.get(name, "not in the manifest") for name in names}
    _PAGE = Page(path.stem if path else "notebook", profile, given, sets, of)
    _skip_cells_that_lack()
    return _PAGE


def _data_of(profile: str) -> list[str]:
    """The data sets of a profile of the book; none for other names."""
    return [entry.name for entry in select(profile)] if profile in SOURCES else []


def _skip_cells_that_lack() -> None:
    """Teach the notebook's shell to skip cells by their ``page.needs(...)``; outside IPython there is no shell."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.ast_transformers[:] = [t for t in shell.ast_transformers if type(t).__name__ != "_Needs"]
        shell.ast_transformers.append(_Needs())


def current_page() -> Page:
    """The page that is open."""
    return _PAGE
