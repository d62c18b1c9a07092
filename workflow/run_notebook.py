"""Run one notebook with papermill, refuse parameters it does not declare, stamp what comes out.

``python -m workflow.run_notebook book/2.1.2-data.ipynb --profile conus -p seed=1``

The executed copy goes to _build/executed/<profile>/, whole or not at all; a failed run leaves what it got to in
_build/failed/<profile>/ and a non-zero exit.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from tssmnet.book.notebook import RUNNER_VARIABLE
from tssmnet.disk import placing
from tssmnet.errors import TssmnetError
from tssmnet.provenance import commit, device
from workflow import freshness, notebooks, pages

KERNEL = "python3"
ENVIRONMENT = {
    "TSSMNET_QUIET": "1",  # no progress bars in the pages
    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 2)),
    "OMP_WAIT_POLICY": "PASSIVE",
    "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
    "PYTHONHASHSEED": "0",
}
# Colours of a log are noise on a page.
ENVIRONMENT |= {"NO_COLOR": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


class PeakMemory:
    """Watches the memory of all processes started below this one."""

    def __init__(self, every: float = 0.2) -> None:
        self.every, self.peak_gb = every, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._done.wait(self.every):
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue  # it has just ended
            self.peak_gb = max(self.peak_gb, total / 1e9)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the kernel to inherit, and put back what was there."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def execute(source: Path, parameters: Mapping[str, Any], partial: Path) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder; a failing cell raises. `partial` holds what is done so far."""
    import papermill

    from workflow import kernel

    partial.parent.mkdir(parents=True, exist_ok=True)
    with environment(ENVIRONMENT | {RUNNER_VARIABLE: str(source.resolve())}):
        return papermill.execute_notebook(
            str(source),
            str(partial),
            parameters=dict(parameters),
            kernel_name=KERNEL,
            engine_name=kernel.ENGINE,
            language="python",
            cwd=str(source.parent),
            progress_bar=False,
            log_output=False,
            request_save_on_cell_execute=True,
        )


def run(page: pages.Page, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Execute a page, stamp it, move it into place.

    Returns
    -------
    dict
        The stamp: ingredients (hashes), parameters, profile, commit, device, date, minutes, peak memory.

    Raises
    ------
    TssmnetError
        If a parameter is refused or a cell fails.
    """
    parameters = pages.parameters_for(page, given)
    before = freshness.ingredients(page, given)
    failed = pages.BUILD / "failed" / page.profile.name / page.source.name
    started = time.monotonic()
    try:
        with PeakMemory() as memory:
            executed = execute(page.source, parameters, failed)
    except Exception as error:
        where = os.path.relpath(failed, pages.ROOT)
        raise TssmnetError(f"{page.source.name} failed on profile {page.profile.name}; see {where}\n{error}") from error
    minutes = (time.monotonic() - started) / 60
    stamp = stamp_for(page, before, minutes, memory.peak_gb)
    executed.metadata["tssmnet_run"] = stamp
    executed.metadata.pop("papermill", None)  # holds paths of this machine
    write_whole(executed, page.executed)
    failed.unlink(missing_ok=True)
    return stamp


def stamp_for(page: pages.Page, ingredients: Mapping[str, Any], minutes: float, memory_gb: float) -> dict[str, Any]:
    """What an executed notebook says of its run. The ingredients are those read before the run started."""
    head, dirty = commit()
    return {
        "ingredients": dict(ingredients),
        "profile": page.profile.name,
        "commit": head,
        "dirty": dirty,
        "device": device(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "minutes": round(minutes, 2),
        "memory_gb": round(memory_gb, 2),
        "within_limits": minutes <= page.profile.minutes and memory_gb <= page.profile.memory_gb,
    }


def write_whole(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook so that it is never seen half-written."""
    with placing(path) as part:
        nbformat.write(notebook, part)


def find_page(source: Path, profile: str) -> pages.Page:
    """The page of a notebook file on a profile."""
    source = source.resolve()
    if not source.is_file():
        raise TssmnetError(f"there is no notebook {source.name} in {source.parent.name}/")
    return pages.Page(source.stem, source, pages.load_profile(profile))


def main(arguments: list[str] | None = None) -> int:
    """Command line: run one notebook."""
    parser = argparse.ArgumentParser(prog="python -m workflow.run_notebook", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--profile", default=pages.DEFAULT_PROFILE)
    parser.add_argument("-p", dest="parameters", metavar="NAME=VALUE", action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        page = find_page(options.notebook, options.profile)
        stamp = run(page, dict(notebooks.parse_assignment(text) for text in options.parameters))
    except TssmnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    limits = "" if stamp["within_limits"] else "  OVER ITS LIMITS"
    print(
        f"{page.entry} on {page.profile.name}: {stamp['minutes']} min, peak {stamp['memory_gb']} GB{limits}", flush=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
