"""One page of the book while it runs: what it is, and how it shows a figure, a table or a text with its provenance."""

from __future__ import annotations

import base64
import html
import io
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tssmnet.book.style import STYLE
from tssmnet.provenance import _STARTED, commit, data_hashes, device

SYNTHETIC_PROFILES = ("twin",)
"""Profiles whose data are made up: everything that a page shows on one of them is marked."""


def on_synthetic_page() -> bool:
    """Whether the open page's profile is one of made-up data (`SYNTHETIC_PROFILES`)."""
    return page().profile in SYNTHETIC_PROFILES


def mark_synthetic(fig: Any, words: str = "SYNTHETIC DATA") -> Any:
    """Write below a figure that its data are synthetic, so that no copy of it can pass for a measurement."""
    if not any("SYNTHETIC" in text.get_text() for text in fig.texts):
        fig.draw_without_rendering()  # only then is it known how far the figure reaches
        drawn, (width, height) = fig.get_tightbbox(), fig.get_size_inches()
        place = {"x": drawn.x1 / width, "y": drawn.y0 / height - 0.01, "ha": "right", "va": "top"}
        fig.text(**place, s=words, fontsize=7, fontweight="bold", color="0.35")
    return fig


def show(
    figure: Any,
    caption: str,
    *,
    made_by: Callable[..., Any] | str = "",
    alt: str = "",
    name: str = "",
    synthetic: bool | None = None,
    **parameters: Any,
) -> None:
    """Display a figure with caption, alternative text and provenance, glue it under `name`, and close it.

    Parameters
    ----------
    figure
        A matplotlib figure, or a holoviews object for an interactive one.
    caption
        What is seen, in a sentence or two, with units.
    made_by
        The function that drew it, for the provenance line.
    alt
        What a reader who cannot see it should know; by default the caption.
    name
        For ``{glue}`` and links; also the figure's anchor on the page.
    synthetic
        Whether it shows made-up data and is marked so; by default on every page of `SYNTHETIC_PROFILES`. False is for
        what is real there: the paper's own numbers, results on real data.
    parameters
        What it was made with beyond the page's own parameters.
    """
    line = provenance(made_by, **parameters)
    synthetic = on_synthetic_page() if synthetic is None else synthetic
    if hasattr(figure, "savefig"):
        import matplotlib.pyplot as plt

        if synthetic:
            mark_synthetic(figure, "SYNTHETIC TWIN")
        data = base64.b64encode(png_of(figure)).decode()
        body = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt or caption)}">'
        plt.close(figure)
    else:
        _display_interactive(figure)
        body = ""
    _display_html(body, caption, line, name, alt or caption, synthetic)


def show_table(
    table: Any,
    caption: str,
    *,
    made_by: Callable[..., Any] | str = "",
    name: str = "",
    digits: int = 3,
    synthetic: bool | None = None,
    **parameters: Any,
) -> None:
    """Display a data frame with caption and provenance, and glue it under `name`; named index levels become columns.

    `synthetic` is that of `show`.
    """
    synthetic = on_synthetic_page() if synthetic is None else synthetic
    named = any(n is not None for n in table.index.names)
    plain = table.reset_index() if named else table
    body = plain.to_html(
        border=0, index=not named, justify="left", float_format=lambda v: f"{v:.{digits}f}", na_rep="–"
    )
    _display_html(body, caption, provenance(made_by, **parameters), name, caption, synthetic)


def show_text(
    text: str,
    *,
    made_by: Callable[..., Any] | str = "",
    name: str = "",
    synthetic: bool = False,
    **parameters: Any,
) -> None:
    """Display a caption with provenance for what stands above it, such as a table written in Markdown."""
    _display_html("", text, provenance(made_by, **parameters), name, text, synthetic)


def png_of(figure: Any) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", dpi=STYLE["savefig.dpi"], metadata={"Software": None})
    return buffer.getvalue()


def _display_interactive(figure: Any) -> None:
    from IPython.display import display

    display(figure)


def _display_html(body: str, caption: str, line: str, name: str, alt: str, synthetic: bool) -> None:
    from IPython.display import display

    anchor = f' id="{html.escape(name)}"' if name else ""
    mark = '<b class="synthetic">Synthetic twin.</b> ' if synthetic else ""
    text = (
        f'<figure class="made"{anchor}>{body}<figcaption>{mark}{html.escape(caption)}'
        f'<p class="provenance">{html.escape(line)}</p></figcaption></figure>'
    )
    # `{glue}` finds an output by this entry of its metadata
    metadata = {"scrapbook": {"name": name, "mime_prefix": ""}} if name else {}
    plain = f"{'Synthetic twin. ' * synthetic}{alt}\n{line}"
    display({"text/html": text, "text/plain": plain}, metadata=metadata, raw=True)


def memory_gb() -> tuple[float, float]:
    """(used by this process at its peak, installed in this machine), in GB; the peak is 0 where the system hides it."""
    import psutil

    peak = 0.0
    try:
        import resource

        unit = 1 if platform.system() == "Darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    except ImportError:
        pass  # Windows
    return peak, psutil.virtual_memory().total / 1e9


@dataclass(frozen=True)
class Page:
    """A page of the book as it runs: its name, profile, parameters and data."""

    name: str
    profile: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        return f'<p class="provenance">{self.line()}</p>'

    def line(self) -> str:
        """Profile, device, memory and commit, for the top of the page."""
        peak, total = memory_gb()
        return (
            f"Profile <b>{self.profile}</b> · {device()} · memory {peak:.1f} GB used so far of {total:.0f} GB · "
            f"commit {_commit_words()}"
        )


_PAGE = Page("notebook", "none")


def open_page(name: str, *, profile: str, data: Sequence[str] = (), **parameters: Any) -> Page:
    """Say, in a page's first cell, what runs where; figures on the page then know their provenance.

    Parameters
    ----------
    name
        The notebook's name without suffix, such as ``"2.1-data"``.
    profile
        Which profile the parameters come from.
    data
        Names of the data sets in the manifest that the page reads.
    parameters
        The page's parameters, by name.

    Returns
    -------
    Page
        Shown as one line: profile, device, memory, commit.
    """
    global _PAGE
    known = data_hashes()
    _PAGE = Page(name, profile, parameters, {d: known.get(d, "not in the manifest") for d in data})
    return _PAGE


def page() -> Page:
    """The page that is open."""
    return _PAGE


def provenance(made_by: Callable[..., Any] | str = "", **parameters: Any) -> str:
    """The line under a figure or table.

    Parameters
    ----------
    made_by
        The function that drew it, or its name.
    parameters
        What this figure was made with beyond the page's own parameters.
    """
    function = made_by if isinstance(made_by, str) else f"{made_by.__module__}.{made_by.__qualname__}"
    given = ", ".join(f"{k}={v}" for k, v in {**_PAGE.parameters, **parameters}.items())
    data = ", ".join(f"{name} {digest}" for name, digest in _PAGE.data.items())
    parts = [
        f"book/{_PAGE.name}.ipynb",
        function,
        f"profile {_PAGE.profile}" + (f" ({given})" if given else ""),
        f"data {data}" if data else "",
        f"commit {_commit_words()}",
        device(),
        f"{(time.time() - _STARTED) / 60:.1f} min into the page",
    ]
    return " · ".join(part for part in parts if part)


def _commit_words() -> str:
    head, dirty = commit()
    return f"{head} with local changes" if dirty else head
