"""Lay out what Jupyter Book reads: executed notebooks, text pages, contents and configuration, in one folder.

A file is only written when its content changed, so an unchanged page is not built again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from workflow import captions, freshness, notebooks, offline, pages

STAGE = pages.BUILD / "stage"
PARAMETERS = ("parameters", "injected-parameters")
"""Tags of the cells with a notebook's defaults and with what a run was given."""


def write_if_changed(path: Path, content: bytes) -> None:
    """Leave a file alone that holds `content` already."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def run_facts(stamp: Mapping[str, Any]) -> str:
    """The line a page opens with: profile, minutes, memory, device, commit, date."""
    changes = " with local changes" if stamp["dirty"] else ""
    return (
        f'<p class="provenance page-facts">This page ran on profile <b>{stamp["profile"]}</b> in '
        f"<b>{stamp['minutes']:.1f} min</b> with at most <b>{stamp['memory_gb']:.1f} GB</b> of memory, on "
        f"{stamp['device']}, commit {stamp['commit']}{changes}, {stamp['date']}.</p>"
    )


@dataclass(frozen=True)
class Staged:
    """An executed notebook as the book shows it."""

    content: bytes
    """The notebook."""
    figures: dict[Path, bytes]
    """Its images, by their path in the staging folder."""
    scripts: set[str]
    """What it needs the book to serve."""


def staged_notebook(page: pages.Page, numbers: captions.Numbers, entries: Iterable[str]) -> Staged:
    """An executed notebook as the book shows it, see `captions.compose` for `numbers` and `entries`."""
    notebook = nbformat.read(page.executed, as_version=4)
    stamp = freshness.stamp_of(page.executed) or {}
    figures = captions.compose(notebook, page.entry, numbers, entries)
    facts = nbformat.v4.new_markdown_cell(run_facts(stamp), id="page-facts")
    notebook.cells.insert(1, facts)
    up, scripts = "../" * page.entry.count("/"), set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            scripts |= localise_output(output, up)
    hide_parameters(notebook)
    # What changes with each run but not with the result stays out of what the book builder compares.
    notebook.metadata.pop("tssmnet_run", None)
    return Staged(nbformat.writes(notebook).encode(), figures, scripts)


def hide_parameters(notebook: nbformat.NotebookNode) -> None:
    """Fold the parameters as the page ran with them, once; where the notebook removes its own, remove both."""
    cells = {name: c for c in notebook.cells for name in c.metadata.get("tags", ()) if name in PARAMETERS}
    removed = any("remove-cell" in cell.metadata["tags"] for cell in cells.values())
    for place, cell in enumerate(cells.values(), 1):
        folded = place == len(cells) and not removed
        cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input" if folded else "remove-cell"]


def localise_output(output: nbformat.NotebookNode, up: str) -> set[str]:
    """Point the addresses in one output at the book's own copies; gives what these must be."""
    needs: set[str] = set()
    for kind, content in output.get("data", {}).items():
        if kind in ("text/html", "application/javascript"):
            output["data"][kind], files = offline.localise(content, up)
            needs |= files
    output.get("data", {}).pop("application/vnd.holoviews_load.v0+json", None)  # the same script once more
    return needs


def title_of(source: Path) -> str:
    """The first heading of a notebook."""
    for cell in notebooks.read(source).cells:
        found = re.search(r"^# (.+)$", cell.source, re.M) if cell.cell_type == "markdown" else None
        if found:
            return found[1]
    return source.stem


def missing_page(page: pages.Page, why: str) -> bytes:
    """The page that stands in for one whose data are not here: what is missing and the command that gets it."""
    why = why.replace(str(pages.ROOT), ".").replace(str(Path.home()), "~")  # a page tells no path of the machine
    text = f"""# {title_of(page.source)}

```{{admonition}} Not shown: the data of profile {page.profile.name} are not here
:class: warning

This page needs **{", ".join(pages.data_for(page))}**. Get them with

    tssmnet data fetch {page.profile.name}

and run `make book` again. Nothing else is shown in its place.
```

What is missing:

```text
{why}
```
"""
    return text.encode()


def stage(shown: list[pages.Page], missing: Mapping[str, str], html: Path) -> None:
    """Write the staging folder, and the scripts that its pages need, to where they are served.

    Parameters
    ----------
    shown
        All notebook pages of the book.
    missing
        For pages without data, by entry, what is missing.
    html
        Folder of the built book.
    """
    written: dict[Path, bytes] = {}
    needs = offline.mathjax_files()
    here = [page for page in shown if page.entry not in missing]
    numbers = captions.numbers_of((page.entry, nbformat.read(page.executed, as_version=4)) for page in here)
    for page in here:
        staged = staged_notebook(page, numbers, pages.toc_entries())
        written |= {Path(f"{page.entry}.ipynb"): staged.content, **staged.figures}
        needs |= staged.scripts
    for page in shown:
        if page.entry in missing:
            written[Path(f"{page.entry}.md")] = missing_page(page, missing[page.entry])
    for source in pages.BOOK.rglob("*"):
        relative = source.relative_to(pages.BOOK)
        if source.is_file() and source.suffix != ".ipynb" and relative.parts[0] != "profiles" and source.name[0] != ".":
            written[relative] = source.read_bytes()
    written[Path("_config.yml")] = (pages.ROOT / "_config.yml").read_bytes()
    for relative, content in written.items():
        write_if_changed(STAGE / relative, content)
    for old in STAGE.rglob("*"):
        if old.is_file() and old.relative_to(STAGE) not in written:
            old.unlink()
    offline.vendor(needs, html)


def report(shown: list[pages.Page]) -> str:
    """Minutes and memory of every page that ran, and which are over their profile's limits, as text and JSON."""
    rows, lines = [], []
    for page in shown:
        stamp = freshness.stamp_of(page.executed)
        if stamp:
            rows.append(
                {"page": page.entry, **{k: stamp[k] for k in ("profile", "minutes", "memory_gb", "within_limits")}}
            )
            flag = "" if stamp["within_limits"] else "   OVER ITS LIMITS"
            lines.append(f"  {page.entry:32} {stamp['minutes']:6.2f} min {stamp['memory_gb']:6.2f} GB{flag}")
    write_if_changed(pages.BUILD / "pages.json", json.dumps(rows, indent=1).encode())
    return "\n".join(lines)
