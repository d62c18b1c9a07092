"""`make book`: fetch what is missing, run the stale pages, build the book.

``python -m workflow.build --profile conus -p seed=1``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tssmnet.errors import TssmnetError
from workflow import freshness, launch, notebooks, offline, pages, stage

HTML = pages.BUILD / "html"


def fetch_data(shown: Sequence[pages.Page]) -> dict[str, str]:
    """Get the data of the pages but those that the settings of the archive give up; by entry, what could not be had."""
    from tssmnet.data import registry
    from tssmnet.data.china.settings import load_settings

    trouble: dict[str, str] = {}
    given_up = load_settings(registry.data_dir()).without
    for name in sorted({name for page in shown for name in pages.data_for(page)} - set(given_up)):
        try:
            registry.fetch(name, progress=sys.stderr.isatty())
        except TssmnetError as error:
            trouble[name] = str(error)
    return {
        page.entry: "\n\n".join(trouble[name] for name in pages.data_for(page) if name in trouble)
        for page in shown
        if set(pages.data_for(page)) & set(trouble)
    }


def run_pages(runnable: Sequence[pages.Page], given: Mapping[str, Mapping[str, Any]], profile: str) -> None:
    """Let Snakemake run the stale pages and what hangs on them.

    Raises
    ------
    TssmnetError
        If a page failed; the others have run.
    """
    stale = [(p, why) for p in runnable if (why := freshness.why_stale(p, given.get(p.entry)))]
    for page, why in stale:
        print(f"stale: {page.entry} on {page.profile.name} ({why})", flush=True)
    if not stale:
        print("every page is fresh; none is run", flush=True)
        return
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        "workflow/Snakefile",
        "--cores",
        "2",
        "--quiet",
        "rules",
        "host",
        "progress",
    ]
    # Freshness is judged above, by hashes. A killed run leaves nothing half-written, so its lock and marks say nothing.
    command += ["--rerun-triggers", "input", "--nolock", "--rerun-incomplete", "--keep-going"]
    command += ["--config", f"profile={profile}", f"pages={json.dumps([p.entry for p in runnable])}"]
    command += [f"given={json.dumps(given)}"]
    command += ["--forcerun", *(str(p.executed.relative_to(pages.ROOT)) for p, _ in stale)]
    if subprocess.run(command, cwd=pages.ROOT, env={**os.environ, "PYTHONPATH": str(pages.ROOT)}).returncode:
        raise TssmnetError("a page failed; its partial notebook is in _build/failed")


def build_html() -> None:
    """Run Jupyter Book with warnings as errors, then look for requests elsewhere and dead buttons.

    Raises
    ------
    TssmnetError
        If the build warns or fails, a page would ask another host for something, or a button leads to no file.
    """
    command = ["build", str(stage.STAGE), "--path-output", str(pages.ROOT), "-W", "--keep-going", "--quiet"]
    code = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    if subprocess.run([sys.executable, "-c", code, *command], cwd=pages.ROOT).returncode:
        raise TssmnetError("Jupyter Book failed; its reports are in _build/html/reports")
    built = {p.name: p.read_text(encoding="utf-8") for p in sorted(HTML.glob("**/*.html"))}
    _refuse(built, offline.external_requests, "the book would fetch from elsewhere")
    _refuse(built, launch.dead, "buttons lead to files that do not exist")


def _refuse(built: Mapping[str, str], faults: Callable[[str], list[str]], words: str) -> None:
    """Raise with what `faults` finds in the built pages."""
    bad = [f"  {name}: {fault}" for name, html in built.items() for fault in faults(html)]
    if bad:
        raise TssmnetError(f"{words}:\n" + "\n".join(bad))


def build(profile: str = pages.DEFAULT_PROFILE, given: Mapping[str, Any] | None = None, strict: bool = False) -> Path:
    """Build the book.

    Parameters
    ----------
    profile
        On which profile the pages run that do not name one in _toc.yml.
    given
        Parameters for every page that declares them.
    strict
        Make a page over its limits an error.

    Returns
    -------
    Path
        The first page of the book.

    Raises
    ------
    TssmnetError
        For a refused parameter, a failed page, a warning of Jupyter Book, a page over its limits when `strict`.
    """
    from tssmnet.data.download import one_at_a_time

    shown = pages.book_pages(profile)
    chosen = pages.split_given(shown, given or {})
    with one_at_a_time(pages.BUILD, "build"):
        missing = fetch_data(shown)
        for entry in missing:
            print(f"left out: {entry}, its data are not here", flush=True)
        run_pages([p for p in shown if p.entry not in missing], chosen, profile)
        stage.stage(shown, missing, HTML)
        build_html()
    print(stage.report(shown))
    over = [r["page"] for r in json.loads((pages.BUILD / "pages.json").read_text()) if not r["within_limits"]]
    if over and strict:
        raise TssmnetError(f"over the limits of their profile: {', '.join(over)}")
    return HTML / "index.html"


def main(arguments: list[str] | None = None) -> int:
    """Command line: build the book."""
    parser = argparse.ArgumentParser(
        prog="python -m workflow.build", description="Run the stale pages, build the book."
    )
    parser.add_argument("--profile", default=pages.DEFAULT_PROFILE, help="profile of pages that do not name their own")
    parser.add_argument("-p", dest="parameters", metavar="NAME=VALUE", action="append", default=[])
    parser.add_argument("--strict", action="store_true", help="a page over its minutes or memory is an error")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        given = dict(notebooks.parse_assignment(text) for text in options.parameters)
        index = build(options.profile, given, options.strict)
    except TssmnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"book: {index.relative_to(pages.ROOT)}  ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
