"""Where a page's buttons lead: to a notebook that exists, on the page's own profile.

A page on a second profile, ``conus/3.1-training``, is book/3.1-training.ipynb with other parameters. Binder's image is
built with ``python -m workflow.launch``, which writes that notebook where the button looks for it, book/conus/. Colab
opens files of the repository alone, so such a page has no button for it; Suggest edit leads to the notebook itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from workflow import pages

_OWN = re.compile(r"/(?:main\?urlpath=lab/tree|(?:blob|edit)/main)/([^\"'?#]+)")


def copies() -> dict[str, pages.Page]:
    """The pages on a second profile, by the path at which Binder has their notebook."""
    return {f"book/{page.entry}.ipynb": page for page in pages.book_pages() if "/" in page.entry}


def write_copies(root: Path = pages.ROOT) -> None:
    """Write the notebook of each page on a second profile, its parameters set."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    for place, page in copies().items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        given = parameterize_notebook(
            load_notebook_node(str(page.source)), pages.parameters_for(page), comment="This page's own"
        )
        nbformat.write(given, root / place)


def mended(button: Mapping[str, Any], entry: str) -> Iterable[dict[str, Any]]:
    """A button of the theme as the page `entry` has it: with an address that exists, or not at all."""
    if "buttons" in button:
        yield {**button, "buttons": [new for old in button["buttons"] for new in mended(old, entry)]}
    elif "/edit/" in button.get("url", ""):
        name = f"{entry.rpartition('/')[2]}.ipynb"
        source = name if (pages.BOOK / name).is_file() else f"{entry}.md"
        yield {**button, "url": re.sub(rf"/{re.escape(entry)}\.\w+$", f"/{source}", button["url"])}
    elif "/" not in entry or button.get("text") != "Colab":
        yield dict(button)


def targets(html: str) -> set[str]:
    """The files of the repository that a built page's buttons lead to.

    Examples
    --------
    >>> targets('<a href="https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/book/cost.ipynb">')
    {'book/cost.ipynb'}
    """
    return set(_OWN.findall(html))


def dead(html: str) -> list[str]:
    """The targets of a built page that are neither in the tree nor made for Binder."""
    return sorted(t for t in targets(html) if not (pages.ROOT / t).is_file() and t not in copies())


def setup(app: Any) -> dict[str, bool]:
    """Mend the theme's buttons, as an extension of Sphinx; they are there after priority 501."""

    def mend(_: Any, entry: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        found = context.get("header_buttons", [])
        context["header_buttons"] = [new for old in found for new in mended(old, entry)]

    app.connect("html-page-context", mend, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    write_copies()
