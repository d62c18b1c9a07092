"""A papermill engine that runs the text of a page too: each ``{eval}`` in a Markdown cell is evaluated in its turn."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from tssmnet.errors import TssmnetError
from workflow import inline

ENGINE = "tssmnet"


class PageClient(PapermillNotebookClient):
    """Runs code cells as papermill does, and keeps the values of expressions as jupyterlab-myst keeps them."""

    def execute_cell(self, cell: NotebookNode, cell_index: int, **options: Any) -> NotebookNode:
        """Run one cell; a failing expression raises."""
        if cell.cell_type == "code":
            return super().execute_cell(cell, cell_index, **options)
        if cell.cell_type == "markdown" and inline.AT_END not in cell.metadata.get("tags", []):
            self._evaluate(cell, cell_index)
        return cell

    def papermill_execute_cells(self) -> None:
        """Run all cells, then the Markdown cells that speak of cells below them."""
        super().papermill_execute_cells()
        if self.nb.metadata.papermill.get("exception"):
            return
        for index, cell in enumerate(self.nb.cells):
            if cell.cell_type == "markdown" and inline.AT_END in cell.metadata.get("tags", []):
                self._evaluate(cell, index)

    def _evaluate(self, cell: NotebookNode, index: int) -> None:
        lacking = self._lacks(cell, index)
        if lacking:
            cell.metadata["tssmnet"] = {"left_out": True}
        elif expressions := inline.expressions_of(cell.source):
            values = self._values(expressions)
            cell.metadata["user_expressions"] = [{"expression": e, "result": values[e]} for e in expressions]

    def _lacks(self, cell: NotebookNode, index: int) -> bool:
        """Whether a Markdown cell is about what the page does not have."""
        if inline.is_caption(cell) and index and inline.left_out(self.nb.cells[index - 1]):
            return True
        asked = [f"page.has({part!r})" for part in inline.needed_parts(cell)]
        return any(value["data"]["text/plain"] == "False" for value in self._values(asked).values())

    def _values(self, expressions: list[str]) -> dict[str, Any]:
        """The kernel's values of some expressions."""
        if not expressions:
            return {}
        named = {str(number): expression for number, expression in enumerate(expressions)}
        asked = self.kc.execute("", silent=True, store_history=False, user_expressions=named)
        found = self.wait_for_reply(asked)["content"]["user_expressions"]
        for number, expression in named.items():
            if found[number]["status"] != "ok":
                why = f"{found[number]['ename']}: {found[number]['evalue']}"
                raise TssmnetError(f"the expression {expression!r} in the text of the page failed: {why}")
        return {expression: found[number] for number, expression in named.items()}


class PageEngine(NBClientEngine):
    """papermill's own engine with `PageClient` in place of its client."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> NotebookNode:
        """Run the notebook that papermill manages."""
        return PageClient(nb_man, kernel_name=kernel_name, timeout=None, startup_timeout=60).execute()


papermill_engines.register(ENGINE, PageEngine)
