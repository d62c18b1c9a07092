"""Is an executed notebook still what its sources would give? Decided by hashes of all that goes in, never by dates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from tssmnet.provenance import data_hashes, library_hashes
from workflow import notebooks, pages


def digest(content: Any) -> str:
    """Short sha256 of bytes, or of anything JSON can write."""
    raw = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True, default=str).encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Short sha256 of a file, ``absent`` where there is none."""
    return digest(path.read_bytes()) if path.is_file() else "absent"


def ingredients(page: pages.Page, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that decides what a page shows, as hashes.

    ``notebook`` (cells and metadata as stored), ``parameters``, ``library`` (each module that it reaches), ``data`` (of
    each data set), ``reads`` (files of the repository, such as stored results), ``lock``.
    """
    from tssmnet.profiles import SOURCES

    notebook = notebooks.read(page.source)
    # the cubes of other profiles are in the same registry, and never asked for
    homes = {name: {where.split(":")[0] for where in parts.values()} for name, parts in SOURCES.items()}
    others = set().union(*homes.values()) - homes.get(page.profile.name, set())
    known = data_hashes()
    return {
        "notebook": file_digest(page.source),
        "parameters": pages.parameters_for(page, given),
        "library": library_hashes(notebooks.modules_of(notebook), without=others),
        "data": {name: known.get(name, "not in the manifest") for name in pages.data_for(page)},
        "reads": {name: file_digest(pages.ROOT / name) for name in pages.files_of(page, "reads")},
        "lock": file_digest(pages.ROOT / "requirements.lock"),
    }


def stamp_of(executed: Path) -> dict[str, Any] | None:
    """The stamp of an executed notebook, None if there is none or it cannot be read."""
    try:
        return dict(nbformat.read(executed, as_version=4).metadata["tssmnet_run"])
    except (OSError, KeyError, ValueError, nbformat.ValidationError):
        return None


def why_stale(page: pages.Page, given: Mapping[str, Any] | None = None) -> str:
    """What makes the executed page stale, in words; empty if it is fresh."""
    stamp = stamp_of(page.executed)
    if stamp is None:
        return "not run yet"
    now, then = ingredients(page, given), stamp.get("ingredients", {})
    # through JSON, as the stamp went: a tuple becomes a list
    now = json.loads(json.dumps(now, default=str))
    changed = [part for part in now if now[part] != then.get(part)]
    if "library" in changed:
        before = then.get("library", {})
        names = sorted(n for n in now["library"] | before if now["library"].get(n) != before.get(n))
        changed[changed.index("library")] = f"library ({', '.join(names)})"
    return ", ".join(changed)
