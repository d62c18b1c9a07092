"""Progress bars for people at a terminal, silence for notebooks, logs and pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def quiet() -> bool:
    """Whether to stay silent: ``TSSMNET_QUIET`` is set, or nobody watches (standard error is no terminal)."""
    return bool(os.environ.get("TSSMNET_QUIET")) or not sys.stderr.isatty()


def note(text: str) -> None:
    """One line on standard error that a user should see; none where ``TSSMNET_QUIET`` is set."""
    if not os.environ.get("TSSMNET_QUIET"):
        print(f"tssmnet: {text}", file=sys.stderr, flush=True)


def bar(items: Iterable[T], title: str, *, total: int | None = None, progress: bool | None = None) -> Iterator[T]:
    """The items, with a progress bar on standard error unless it is quiet; `progress` decides where it is given."""
    from tqdm import tqdm

    yield from tqdm(items, desc=title, total=total, disable=quiet() if progress is None else not progress, leave=False)


def say(text: str) -> None:
    """One line on standard error that matters to whoever started the program, bars or no bars."""
    print(f"tssmnet: {text}", file=sys.stderr, flush=True)
