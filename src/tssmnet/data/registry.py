"""The data registry: what is needed, where it is, and how it is fetched and verified.

`data_manifest.yml` names every data set. A file is looked for below the data folder (``TSSMNET_DATA_DIR``), then below
each mirror (``TSSMNET_MIRRORS``, and ``../shared/data`` beside the checkout where that exists), then fetched. A file
counts only if its size and sha256 are the registered ones. Files of a mirror are read in place and never copied.
``TSSMNET_OFFLINE=1`` forbids the network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tssmnet.data.download import DamagedFileError, DownloadError, HostUnreachableError, download, one_at_a_time, sha256
from tssmnet.errors import TssmnetError, require_known
from tssmnet.provenance import checkout, manifest_path

PROFILES = ("twin", "conus", "china", "cases")

INVENTORY = ".inventory.json"
"""In the folder of a data set without registered files: what was searched for, found and fetched."""

PARALLEL = 4
"""Files fetched at once."""


class ManifestError(TssmnetError):
    """The registry breaks its schema; the message lists every fault."""


class DataUnavailableError(TssmnetError):
    """Files are neither here nor to be had now.

    Attributes
    ----------
    missing
        (file, reason) for each.
    datasets
        Data sets that are had by hand or with an account, not by URL.
    """

    def __init__(self, missing: Sequence[tuple[DataFile, str]], folder: Path, datasets: Sequence[DataSet] = ()) -> None:
        self.missing = tuple(missing)
        self.datasets = tuple(datasets)
        super().__init__("\n".join([*_missing_lines(self.missing, folder), *_steps_lines(self.datasets, folder)]))


@dataclass(frozen=True)
class DataFile:
    """One registered file: `path` below the data folder, `url`, `bytes`, `sha256`."""

    path: str
    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """One entry of the manifest; the fields are its keys."""

    name: str
    title: str
    version: str
    profiles: tuple[str, ...]
    access: str
    licence: dict[str, str]
    citation: str
    product: str = ""
    doi: str = ""
    variables: tuple[str, ...] = ()
    account: str = ""
    size_gb: float = 0.0
    size_estimate: str = ""
    origin: str = ""
    note: str = ""
    steps: tuple[str, ...] = ()
    files: tuple[DataFile, ...] = ()
    service: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Registered size of all its files."""
        return sum(f.bytes for f in self.files)

    def file(self, name: str) -> DataFile:
        """The file whose path is `name` or ends with ``/name``.

        Raises
        ------
        UnknownNameError
            If no file or more than one fits.
        """
        fits = [f for f in self.files if f.path == name or f.path.endswith("/" + name)]
        if len(fits) != 1:
            require_known(name, [f.path for f in self.files], f"file (or one that is ambiguous) of {self.name}")
        return fits[0]


@dataclass(frozen=True)
class FileReport:
    """Where one file stands.

    `state` is sound, damaged or missing; `where` is data folder, mirror, downloaded or ``-``.
    """

    dataset: str
    file: DataFile = field(repr=False)
    state: str
    where: str
    path: Path | None

    def __str__(self) -> str:
        return f"{self.state:8} {self.where:12} {self.file.bytes:>12,d}  {self.path or self.file.path}"


def load_manifest(path: str | os.PathLike[str] | None = None) -> dict[str, DataSet]:
    """Read and check the registry; by default that of the checkout, or the one installed with the library.

    Returns
    -------
    dict
        Name to `DataSet`, in the order of the file.

    Raises
    ------
    ManifestError
        If the file breaks the schema, repeats a key, a name or a path; lists every fault, with the nearest known key.
    """
    place = Path(path) if path is not None else manifest_path()
    return dict(_read_manifest(place, place.stat().st_mtime_ns)[0])


def services() -> dict[str, str]:
    """Address of each service that the registry names."""
    place = manifest_path()
    return dict(_read_manifest(place, place.stat().st_mtime_ns)[1])


@lru_cache(maxsize=8)
def _read_manifest(path: Path, stamp: int) -> tuple[dict[str, DataSet], dict[str, str]]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except yaml.YAMLError as error:
        raise ManifestError(f"{path} is not readable as YAML: {error}") from error
    faults = [*_schema_faults(content)]
    sets = [] if faults else [_dataset(entry) for entry in content["datasets"]]
    faults += [f"name {n!r} is used twice" for n in _repeated(s.name for s in sets)]
    faults += [f"path {p!r} is used twice" for p in _repeated(f.path for s in sets for f in s.files)]
    unknown = {s.service["name"] for s in sets if s.service} - set(content.get("services", {}) if sets else ())
    faults += [f"service {n!r} is named by a data set but not among `services`" for n in sorted(unknown)]
    if faults:
        raise ManifestError(f"{path} has {len(faults)} fault(s):\n" + "\n".join(f"  - {f}" for f in faults))
    return {s.name: s for s in sets}, dict(content.get("services", {}))


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a repeated key is an error, not a silent choice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in _repeated(keys):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def _repeated(words: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [w for w in words if w in seen or seen.add(w)]  # type: ignore[func-returns-value]


def _dataset(entry: dict[str, Any]) -> DataSet:
    lists: dict[str, Any] = {k: tuple(entry[k]) for k in ("profiles", "variables", "steps") if k in entry}
    files = tuple(DataFile(**f) for f in entry.get("files", ()))
    fields: dict[str, Any] = {**entry, **lists, "files": files}
    return DataSet(**fields)


@lru_cache(maxsize=1)
def manifest_schema() -> dict[str, Any]:
    """The JSON schema of the manifest."""
    return dict(json.loads(Path(__file__).with_name("data_manifest.schema.json").read_text(encoding="utf-8")))


def _schema_faults(content: Any) -> list[str]:
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(manifest_schema()).iter_errors(content), key=lambda e: list(map(str, e.path)))
    return [line for error in errors for line in _explain(error, content)]


def _explain(error: Any, content: Any) -> list[str]:
    """One readable line per fault: where it is, what it is, the nearest known key."""
    where = "/".join(str(p) for p in error.absolute_path) or "the file"
    parts = list(error.absolute_path)
    if len(parts) > 1 and parts[0] == "datasets" and isinstance(content["datasets"][parts[1]], dict):
        where += f" ({content['datasets'][parts[1]].get('name', 'no name')})"
    if error.validator != "additionalProperties":
        return [f"{where}: {error.message}"]
    known = list(error.schema["properties"])
    lines = []
    for key in sorted(set(map(str, error.instance)) - set(known)):
        near = get_close_matches(key, known, n=1)
        lines.append(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return lines


def select(names: str | Iterable[str] | None = None) -> list[DataSet]:
    """The data sets meant by names of data sets or profiles, each once, in the order of the manifest; all for None.

    Raises
    ------
    UnknownNameError
        For a word that is neither, with the nearest known one.
    """
    manifest = load_manifest()
    words = [names] if isinstance(names, str) else list(names or ())
    for word in words:
        require_known(word, [*manifest, *PROFILES], "data set or profile")
    return [s for s in manifest.values() if not words or s.name in words or set(s.profiles) & set(words)]


def data_dir() -> Path:
    """The data folder: ``TSSMNET_DATA_DIR``, else ``data`` in the checkout, else the user's data folder."""
    given = os.environ.get("TSSMNET_DATA_DIR")
    if given:
        return Path(given).expanduser()
    root = checkout()
    if root:
        return root / "data"
    from platformdirs import user_data_path

    return Path(user_data_path("tssmnet"))


def mirrors() -> list[Path]:
    """Folders that may hold the files already: those of ``TSSMNET_MIRRORS``, and ``../shared/data`` if it is there."""
    given = [Path(p).expanduser() for p in os.environ.get("TSSMNET_MIRRORS", "").split(os.pathsep) if p]
    root = checkout()
    shared = [root.parent / "shared" / "data"] if root else []
    return [p for p in [*given, *shared] if p.is_dir()]


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, stamp: int) -> str:
    return sha256(path)


def _is_sound(path: Path, file: DataFile) -> bool:
    """Whether `path` holds the registered bytes; a file is read once as long as it does not change."""
    stat = path.stat()
    return stat.st_size == file.bytes and _digest(path, stat.st_size, stat.st_mtime_ns) == file.sha256


def locate(dataset: DataSet, file: DataFile) -> FileReport:
    """Where a file is now, without the network: the first sound copy, else a damaged one, else missing."""
    damaged: FileReport | None = None
    for where, folder in [("data folder", data_dir()), *(("mirror", m) for m in mirrors())]:
        path = folder / file.path
        if path.is_file():
            if _is_sound(path, file):
                return FileReport(dataset.name, file, "sound", where, path)
            damaged = damaged or FileReport(dataset.name, file, "damaged", where, path)
    return damaged or FileReport(dataset.name, file, "missing", "-", None)


def path_of(dataset: str, file: str) -> Path:
    """Path of one sound file of a data set; fetched first if it is nowhere.

    Parameters
    ----------
    dataset
        Name in the manifest.
    file
        Its path there, or the end of it: ``"crd.csv"``.

    Raises
    ------
    DataUnavailableError
        If it is nowhere and cannot be fetched.
    """
    entry = select(_dataset_name(dataset))[0]
    registered = entry.file(file)
    return _ensure([(entry, registered)], progress=False)[0].path or Path()


def paths_of(dataset: str) -> dict[str, Path]:
    """Paths of all files of a data set by registered path; what is nowhere is fetched first.

    Raises
    ------
    DataUnavailableError
        Listing every file that is nowhere and cannot be fetched.
    """
    entry = select(_dataset_name(dataset))[0]
    reports = _ensure([(entry, f) for f in entry.files], progress=False)
    return {r.file.path: r.path for r in reports if r.path is not None}


def _dataset_name(name: str) -> str:
    return require_known(name, load_manifest(), "data set")


def list_data(profile: str | None = None) -> str:
    """A table of the data sets, of all or of one profile: what each needs and how much of it is here.

    Files are told by size only, so that the list is quick; `verify` reads them.
    """
    rows = [("data set", "profiles", "access", "size", "here", "title")]
    for s in select(profile):
        size = _human(s.bytes) if s.files else f"~{_human(int(s.size_gb * 1e9))}"
        here = f"{sum(_seen(f) for f in s.files)}/{len(s.files)}" if s.files else "-"
        rows.append((s.name, ",".join(s.profiles), s.access, size, here, s.title))
    widths = [max(len(r[i]) for r in rows) for i in range(5)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[5]]) for r in rows)


def _seen(file: DataFile) -> bool:
    places = [p / file.path for p in (data_dir(), *mirrors())]
    return any(p.is_file() and p.stat().st_size == file.bytes for p in places)


def fetch(names: str | Iterable[str], progress: bool = True) -> list[FileReport]:
    """Make every file of the named data sets or profiles available, and say where each is.

    What the data folder or a mirror holds stays where it is; the rest is downloaded into the data folder, several at a
    time. A file with a wrong sum in the data folder is replaced. A killed fetch goes on where it was.

    Raises
    ------
    DataUnavailableError
        After everything that could be had is there: lists each missing file with its URL, size and place, and the steps
        for data sets that need an account or a hand.
    DamagedFileError
        If a server gave other bytes than the registered ones.
    """
    chosen = select(names)
    by_hand = [s for s in chosen if not s.files and not _is_placed(s)]
    files = [(s, f) for s in chosen for f in s.files]
    return _ensure(files, progress, by_hand)


def _is_placed(dataset: DataSet) -> bool:
    """Whether a data set without registered files is there: fetched by `sources.archive`, or put there by hand."""
    folder = data_dir() / dataset.name
    inventory = folder / INVENTORY
    if inventory.is_file():
        try:
            return bool(json.loads(inventory.read_text(encoding="utf-8"))["complete"])
        except (ValueError, KeyError, TypeError):  # damaged: the next fetch writes it anew
            return False
    return any(p.is_file() and not p.name.startswith(".") and p.suffix != ".part" for p in folder.rglob("*"))


def verify(names: str | Iterable[str] | None = None) -> list[FileReport]:
    """Read every file of the named data sets or profiles (all for None) and compare it with its sum.

    Returns
    -------
    list of FileReport
        One per file; ``state`` is ``"sound"``, ``"damaged"`` or ``"missing"``.
    """
    _digest.cache_clear()
    return [locate(s, f) for s in select(names) for f in s.files]


def _ensure(
    files: Sequence[tuple[DataSet, DataFile]], progress: bool, by_hand: Sequence[DataSet] = ()
) -> list[FileReport]:
    reports = [locate(s, f) for s, f in files]
    todo = [i for i, r in enumerate(reports) if r.state != "sound"]
    missing: list[tuple[DataFile, str]] = []
    if todo and os.environ.get("TSSMNET_OFFLINE", "") not in ("", "0"):
        missing = [(reports[i].file, _why(reports[i], "TSSMNET_OFFLINE is set")) for i in todo]
    elif todo:
        outcome = _download_all([reports[i] for i in todo], progress)
        for i, result in zip(todo, outcome, strict=True):
            if isinstance(result, FileReport):
                reports[i] = result
            else:
                missing.append((reports[i].file, _why(reports[i], str(result))))
    if missing or by_hand:
        raise DataUnavailableError(missing, data_dir(), by_hand)
    return reports


def _why(report: FileReport, reason: str) -> str:
    if report.state == "damaged":
        return f"{reason}; the copy at {report.path} is damaged ({report.path and report.path.stat().st_size} bytes)"
    return reason


def _download_all(reports: Sequence[FileReport], progress: bool) -> list[FileReport | TssmnetError]:
    """Download each file; a failure is a result, so that the others still come. Damaged bytes are raised at the end."""
    from tqdm import tqdm

    folder = data_dir()
    total = sum(r.file.bytes for r in reports)
    dead: dict[str, str] = {}
    alive: set[str] = set()
    with (
        one_at_a_time(folder),
        tqdm(total=total, unit="B", unit_scale=True, desc="fetch", disable=not progress) as bar,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        results = list(pool.map(lambda r: _download_one(r, folder, dead, alive, bar.update), reports))
    for result in results:
        if isinstance(result, DamagedFileError):
            raise result
    return results


def _download_one(
    report: FileReport, folder: Path, dead: dict[str, str], alive: set[str], tick: Any
) -> FileReport | TssmnetError:
    from urllib.parse import urlsplit

    file, host = report.file, urlsplit(report.file.url).netloc
    target = folder / file.path
    if host in dead:  # a host that could not be reached is not asked again for each of its files
        return HostUnreachableError(dead[host])
    try:
        # Another process may have fetched it while this one waited for the lock.
        if not (target.is_file() and _is_sound(target, file)):
            download(file.url, target, file.bytes, file.sha256, tick)
            alive.add(host)
    except (DownloadError, DamagedFileError) as error:
        if isinstance(error, HostUnreachableError) and host not in alive:
            dead[host] = str(error)
        return error
    except OSError as error:
        return DownloadError(f"cannot write {target}: {error.strerror or error}")
    return FileReport(report.dataset, file, "sound", "downloaded", target)


def _missing_lines(missing: Sequence[tuple[DataFile, str]], folder: Path) -> list[str]:
    if not missing:
        return []
    total = _human(sum(f.bytes for f, _ in missing))
    lines = [f"{len(missing)} file(s), {total}, are neither in {folder} nor in a mirror and could not be fetched:"]
    for file, reason in missing:
        lines += [f"  {file.url}", f"    {file.bytes:,d} bytes -> {folder / file.path}", f"    {reason}"]
    lines.append(
        "With a network, run `tssmnet data fetch` again: it goes on where it was. Without one, put the files at the "
        "places shown, or name a folder that holds them in TSSMNET_MIRRORS."
    )
    return lines


_ACCESS = {
    "earthdata": "with a NASA Earthdata account",
    "stac": "tile by tile from an open catalogue",
    "cds": "from the Copernicus Climate Data Store",
    "by-hand": "by hand",
}


def _steps_lines(datasets: Sequence[DataSet], folder: Path) -> list[str]:
    lines = []
    for s in datasets:
        lines += [f"{s.name} ({s.size_estimate}) is had {_ACCESS[s.access]}: {s.title}"]
        lines += [f"    account: {s.account}"] if s.account else []
        lines += [f"    {i}. {step}" for i, step in enumerate(s.steps, 1)]
        lines += [f"    its folder: {folder / s.name}"]
    return lines


def _human(count: int) -> str:
    """Bytes as people read them."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
