"""What the benchmarks share: the peak memory of a process, and a result file with its stamp."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def peak_memory_gb() -> float:
    """Most memory this process held, GB. On Linux from the process table: what getrusage tells began in the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text(encoding="utf-8").splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # macOS counts bytes


def write(
    result: dict[str, Any], path: Path, what: str, modules: Sequence[str], packages: Sequence[str], **about: Any
) -> None:
    """The result file with its stamp and the versions of `packages`, moved into place whole."""
    from importlib.metadata import version

    from tssmnet.disk import write_atomically
    from tssmnet.provenance import stamp

    head = stamp(what, modules, versions={name: version(name) for name in packages}, **about)
    write_atomically(path, json.dumps({"stamp": head, **result}, indent=1) + "\n")
