"""Where a figure, a table or a stored number comes from: code, parameters, data, commit, device, minutes.

Three users: the notebooks (a header on each page, a line under each figure), the workflow (is a page still fresh?) and
the result files of full-size runs (is the stamp older than the code it speaks of?). All of it is plain text and JSON;
no path of the machine it ran on is written anywhere.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tssmnet._public import PUBLIC
from tssmnet.errors import TssmnetError

PACKAGE = "tssmnet"
SOURCE = Path(__file__).resolve().parent
ROOT = SOURCE.parents[1]
MANIFEST = "data_manifest.yml"
_STARTED = time.time()
_TARGET = re.compile(r"([\w.]+):[A-Za-z_]\w*")  # module:name, as registries write it


def checkout() -> Path | None:
    """Root of the source checkout this library runs from, None where it is installed as a package."""
    return ROOT if (ROOT / MANIFEST).is_file() and (ROOT / "pyproject.toml").is_file() else None


def manifest_path() -> Path:
    """The registry of data sets: that of the checkout, or the one installed with the library."""
    root = checkout()
    return root / MANIFEST if root else SOURCE / "data" / MANIFEST


def module_file(name: str) -> Path | None:
    """The source file of a module of this library, None if there is no such module."""
    parts = name.split(".")
    if parts[0] != PACKAGE or not all(part.isidentifier() for part in parts):
        return None
    base = SOURCE.joinpath(*parts[1:])
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@cache
def imported_modules(code: str, package: str = PACKAGE) -> frozenset[str]:
    """Modules of this library that a piece of code names, wherever in it the import stands.

    Counts ``import tssmnet.x``, ``from tssmnet.x import y``, the lazy public names (``tssmnet.score``), and strings
    such as ``"tssmnet.x:Class"`` or ``"x:Class"`` (relative to `package`), by which registries name what
    they load late.

    Examples
    --------
    >>> sorted(imported_modules("from tssmnet.errors import TssmnetError"))
    ['tssmnet.errors']
    """
    tree = ast.parse(code)
    found: set[str] = set()
    for node in _outside_type_checking(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= _from_import(node, package)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == PACKAGE:
            found |= {f"{PACKAGE}.{node.attr}", _public_home(node.attr)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if target := _TARGET.fullmatch(node.value):
                found |= {target[1], f"{package}.{target[1]}"}
            found |= {node.value} if node.value.startswith(f"{PACKAGE}.") else set()
    return frozenset(name for name in found if name != PACKAGE and module_file(name))


def _outside_type_checking(tree: ast.AST) -> Iterable[ast.AST]:
    """Walk a syntax tree, leaving out what only a type checker reads."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from _outside_type_checking(child)


def _from_import(node: ast.ImportFrom, package: str) -> set[str]:
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    names = {f"{base}.{alias.name}" for alias in node.names}
    public = {_public_home(alias.name) for alias in node.names} if base == PACKAGE else set()
    return {base} | names | public


def _public_home(name: str) -> str:
    """The module in which a lazy public name of the package lives."""
    home = PUBLIC.get(name)
    return f"{PACKAGE}.{home}" if home else PACKAGE


def library_hashes(modules: Iterable[str], *, without: Iterable[str] = ()) -> dict[str, str]:
    """Short sha256 of each module in `modules` and of every module of this library that they reach, by name.

    Parameters
    ----------
    modules
        Where to start.
    without
        Modules to stop at, unless they are among `modules`: what a registry names but this caller never asks for.

    Raises
    ------
    TssmnetError
        If a name is not a module of this library.
    """
    waiting, found = list(modules), {}
    outside = set(without) - set(waiting)
    while waiting:
        name = waiting.pop()
        if name in found or name in outside:
            continue
        path = module_file(name)
        if path is None:
            raise TssmnetError(f"{name!r} is not a module of {PACKAGE}")
        code = path.read_bytes()
        found[name] = hashlib.sha256(code).hexdigest()[:16]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += imported_modules(code.decode(), package)
    return dict(sorted(found.items()))


@cache
def commit() -> tuple[str, bool]:
    """The short commit of the repository and whether tracked files differ from it; ("unknown", False) outside git."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        return head, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True)
    return run.stdout.strip()


@cache
def device() -> str:
    """The device that training would use: the GPU by name, else the CPU with its number of cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not Path("/proc/driver/nvidia").exists() and not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return f"CPU, {cores} cores"  # without importing torch: most pages need no network
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {cores} cores"


@cache
def data_hashes() -> dict[str, str]:
    """One short hash per data set of the manifest, made of the sums of its files."""
    import yaml

    manifest = yaml.safe_load(manifest_path().read_text(encoding="utf-8"))
    return {entry["name"]: data_hash(entry) for entry in manifest["datasets"]}


def data_hash(entry: Mapping[str, Any]) -> str:
    """Short hash of one manifest entry: the sums of its files, or its version where it has none."""
    sums = sorted(f"{f['path']} {f.get('sha256', f.get('bytes', ''))}" for f in entry.get("files", []))
    text = "\n".join(sums) or json.dumps([entry["name"], entry.get("version"), entry.get("doi")])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def stamp(what: str, modules: Sequence[str], *, data: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """What a result file says of itself: content, code, data, commit, device, date.

    Parameters
    ----------
    what
        One sentence on what the numbers are.
    modules
        The library modules that made them; everything those import is included.
    data
        Names of data sets in the manifest.
    more
        Further JSON-safe entries (``command=...``, ``minutes=...``).
    """
    from tssmnet._public import __version__

    head, dirty = commit()
    return {
        "what": what,
        "version": __version__,
        "commit": head,
        "dirty": dirty,
        "device": device(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "library": library_hashes(modules),
        "data": {name: data_hashes().get(name, "not in the manifest") for name in data},
        **more,
    }


@dataclass(frozen=True)
class ResultStamp:
    """The stamp of a stored result file, held against the code of today."""

    name: str  # file name, relative to the repository
    stamp: Mapping[str, Any]  # as `stamp` made it
    changed: tuple[str, ...]  # modules whose source is no longer what made the numbers

    @property
    def fresh(self) -> bool:
        """Whether the code that made the numbers is the code of today."""
        return not self.changed

    def line(self) -> str:
        """One line for a reader."""
        s = self.stamp
        text = f"Stored result {self.name}: {s['what']} Commit {s['commit']}, {s['device']}, {s['date']}."
        if self.fresh:
            return text
        return f"{text} OLDER THAN THE CODE: since then {', '.join(self.changed)} changed."


def results_stamp(path: str | Path) -> ResultStamp:
    """Read the ``stamp`` of a JSON result file and compare it with the library as it is now.

    Raises
    ------
    TssmnetError
        If the file has no stamp.
    """
    path = Path(path)
    found = json.loads(path.read_text(encoding="utf-8")).get("stamp")
    if not found or "library" not in found:
        raise TssmnetError(f"{path.name} carries no stamp; write it with tssmnet.provenance.stamp")
    then = found["library"]
    now = library_hashes(name for name in then if module_file(name))
    changed = sorted(name for name in then | now if then.get(name) != now.get(name))
    return ResultStamp(_relative(path), found, tuple(changed))


def _relative(path: Path) -> str:
    """A path as the repository sees it; its bare name where it lies elsewhere."""
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def content_hash(value: Any) -> str:
    """sha256 of a value by its content: numbers, text, lists, dicts, dataclasses, arrays, xarray objects.

    Examples
    --------
    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """The bytes that make a value what it is, its kind first."""
    if isinstance(value, xr.DataArray):
        yield from _parts(("DataArray", value.name, value.to_dataset(name="values")))
    elif isinstance(value, xr.Dataset):
        yield from _parts(
            ("Dataset", value.attrs, {k: (v.dims, v.attrs, v.values) for k, v in value.variables.items()})
        )
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        yield f"array {value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _parts((type(value).__name__, asdict(value)))
    elif isinstance(value, Mapping):
        yield f"map {len(value)}".encode()
        for key in sorted(value, key=str):
            yield from _parts(str(key))
            yield from _parts(value[key])
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    elif value is None or isinstance(value, (str, bytes, bool, int, float, np.generic, np.datetime64)):
        scalar = value.item() if isinstance(value, np.generic) else value
        yield f"{type(scalar).__name__} {scalar!r}".encode()
    else:
        raise TssmnetError(f"the store cannot key a {type(value).__name__}; give numbers, text, arrays or datasets")
