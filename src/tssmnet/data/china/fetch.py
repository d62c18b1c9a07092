"""Getting the `china` profile: first a plan (what, how large, which accounts), then the granules, one by one.

Earthdata products are searched and fetched through ``earthaccess``; its token or the user's netrc is the only place
where credentials are. Terrain and soil come from STAC catalogues. Of SMAP and of soil only the window is kept. A
granule is fetched into a part that a later run continues, proven by size and sum where the archive states them, opened
once, and then takes its name. One that cannot be had is listed, and the rest goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np

from tssmnet.data import registry
from tssmnet.data.china.settings import Settings, load_settings
from tssmnet.data.download import (
    DamagedFileError,
    DownloadError,
    HostUnreachableError,
    RefusedError,
    download,
    one_at_a_time,
)
from tssmnet.data.readers import ismn, smap
from tssmnet.data.readers.faults import Losses, SourceError, reading
from tssmnet.data.readers.grids import CHINA, EASE_SHAPE, Bounds, ease_window, sinusoidal_tiles
from tssmnet.data.registry import INVENTORY, DataSet
from tssmnet.errors import TssmnetError

RESERVE = 2 * 10**9
"""Bytes that shall stay free on the disk."""

CUT_FIELDS = ("soil_moisture", "retrieval_qual_flag", "latitude", "longitude", "EASE_row_index", "EASE_column_index")

RIM = 0.05
"""Degrees around the window that a cut of a raster keeps."""

EARTHDATA_HOSTS = frozenset(
    {
        "urs.earthdata.nasa.gov",  # the login
        "cmr.earthdata.nasa.gov",  # the catalogue
        # SMAP: NSIDC, "Understanding NSIDC DAAC Earthdata Cloud S3 Buckets and Paths" (nsidc-cumulus-prod-protected)
        "data.nsidc.earthdatacloud.nasa.gov",
        # SMAP before it moved: NSIDC, "Programmatic Data Access Guide", which lists it until it is retired in 2026
        "n5eil01u.ecs.nsidc.org",
        # MODIS: lp-prod-protected; the Data Pool on e4ftl01.cr.usgs.gov ended on 30 June 2025 (NASA Earthdata, alert
        # "LP DAAC to Discontinue Data Pool Distribution for MODIS Datasets")
        "data.lpdaac.earthdatacloud.nasa.gov",
    }
)
"""Hosts that may see the Earthdata account, over https: the login, and the archives of SMAP and MODIS."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
REDIRECTS = 10
REFUSALS = 8
"""Granules of a data set that may be refused, none having come, before its account counts as refused."""
NAME = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._+-]{0,200}\Z")
"""What a granule may be called: a catalogue is a stranger, and its names become files."""
GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_NETRC": "NO",
}


class AccountError(TssmnetError):
    """An account is needed, absent or refused; the message says which and how it is set up."""


class DiskError(TssmnetError):
    """The disk has less room than the fetch will take."""


class ServiceError(TssmnetError):
    """A catalogue cannot be reached, or does not hold what the manifest says."""


@dataclass(frozen=True)
class Granule:
    """One file of an archive: `bytes` 0 and `checksum` empty where the archive does not state them."""

    name: str
    url: str
    bytes: int = 0
    checksum: str = ""


@dataclass(frozen=True)
class Item:
    """One data set in a plan.

    Attributes
    ----------
    dataset
        Of the manifest.
    granules
        What the archive has of it in period and window; None if it was not asked (by hand, or already whole).
    here
        How many of them are here.
    download, disk
        Bytes still to come over the network, and at most on the disk; from the manifest where the archive states none.
    note
        For what is had by hand: what stands in its folder.
    """

    dataset: DataSet
    granules: tuple[Granule, ...] | None
    here: int
    download: int
    disk: int
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What a fetch will do."""

    items: tuple[Item, ...]
    folder: Path
    settings: Settings

    @property
    def disk(self) -> int:
        """Bytes that the fetch will take on the disk, at most."""
        return sum(i.disk for i in self.items)

    @property
    def download(self) -> int:
        """Bytes that will come over the network."""
        return sum(i.download for i in self.items)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Accounts that it needs."""
        needed = (i.dataset.account for i in self.items if i.dataset.account and (i.disk or not i.granules))
        return tuple(dict.fromkeys(needed))

    def __str__(self) -> str:
        s = self.settings
        west, south, east, north = s.bounds
        head = f"{s.first} to {s.last}, {west} to {east} E, {south} to {north} N, into {self.folder}"
        rows = [("data set", "access", "files", "here", "to download", "disk at most", "")]
        for i in self.items:
            count = "-" if i.granules is None else str(len(i.granules))
            sizes = (registry._human(i.download), registry._human(i.disk)) if i.granules is not None else ("-", "-")
            rows.append((i.dataset.name, i.dataset.access, count, str(i.here), *sizes, i.note))
        widths = [max(len(r[k]) for r in rows) for k in range(6)]
        lines = [
            head,
            *("  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[6]]).rstrip() for r in rows),
        ]
        lines.append(
            f"in all {registry._human(self.download)} to download, {registry._human(self.disk)} of disk at most"
        )
        lines += [f"account: {a}" for a in self.accounts]
        for i in self.items:
            if i.note.startswith("to be had by hand"):
                lines += registry._steps_lines([i.dataset], self.folder)
        return "\n".join(lines)


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did: granules fetched and found here, by data set those left out with the reason, and by hand."""

    fetched: int
    kept: int
    quarantined: Mapping[str, Mapping[str, str]]
    by_hand: tuple[str, ...]

    def __str__(self) -> str:
        bad = [(d, n, why) for d, names in self.quarantined.items() for n, why in names.items()]
        lines = [f"{self.fetched} granules fetched, {self.kept} were here, {len(bad)} could not be had"]
        lines += [f"  {d}/{n}: {why}" for d, n, why in bad]
        lines += [f"  still to be had by hand: {n}" for n in self.by_hand]
        return "\n".join(lines)


def plan(names: str | Iterable[str] = "china", settings: Settings | None = None, folder: Path | None = None) -> Plan:
    """Ask the archives what they have of the named data sets, and how large it is; no account is needed for that.

    Parameters
    ----------
    names
        Data sets or profiles of the manifest; those with registered files are no part of it (`data.fetch`).
    settings, folder
        By default those of the data folder, and that folder.

    Raises
    ------
    ServiceError
        If a catalogue cannot be asked.
    """
    folder = folder or registry.data_dir()
    settings = settings or load_settings(folder)
    if os.environ.get("TSSMNET_OFFLINE", "") not in ("", "0"):
        raise ServiceError("TSSMNET_OFFLINE is set: the archives cannot be asked; unset it, or bring the files by hand")
    chosen = [s for s in registry.select(names) if not s.files and s.name not in settings.without]
    return Plan(tuple(_item(s, settings, folder) for s in chosen), folder, settings)


def _item(dataset: DataSet, settings: Settings, folder: Path) -> Item:
    if not dataset.service:
        state = placed(dataset, folder, settings)
        return Item(dataset, None, 0, 0, 0, state or "to be had by hand, see below")
    found = search(dataset, settings)
    left = [g for g in found if not _is_here(folder / dataset.name / g.name, g, dataset)]
    share = dataset.size_gb * 1e9 * len(left) / max(len(found), 1) * _area(settings.bounds) / _area(CHINA)
    coming = sum(g.bytes for g in left) or int(share)
    disk = coming
    if dataset.service.get("cut"):
        disk = min(coming, len(left) * _cut_bytes(settings.bounds)) if dataset.service["name"] == "cmr" else int(share)
        coming = coming if dataset.service["name"] == "cmr" else int(share)
    return Item(dataset, tuple(found), len(found) - len(left), coming, disk)


def _area(bounds: Bounds) -> float:
    west, south, east, north = bounds
    return (east - west) * (north - south)


def _cut_bytes(bounds: Bounds) -> int:
    """Most that the cut of one SMAP granule can take: two overpasses, unpacked."""
    rows, columns = ease_window(bounds)
    return 2 * (rows.stop - rows.start) * (columns.stop - columns.start) * 18 + 100_000


def _is_here(path: Path, granule: Granule, dataset: DataSet) -> bool:
    """Whether a granule took its name, which it does only once it is proven."""
    if not path.is_file():
        return False
    whole = not dataset.service.get("cut") and granule.bytes
    return not whole or path.stat().st_size == granule.bytes


def address(dataset: DataSet, settings: Settings) -> str:
    """Where the service of a data set is asked: the setting, else the manifest."""
    name = dataset.service["name"]
    return str(settings.services.get(name) or registry.services()[name])


def search(dataset: DataSet, settings: Settings) -> list[Granule]:
    """What the archive has of a data set in period and window, by name.

    Raises
    ------
    ServiceError
        If the catalogue cannot be asked or holds nothing of it.
    """
    name = dataset.service["name"]
    ask = _SEARCHES[name]
    where = address(dataset, settings)
    try:
        found = ask(dataset, settings, where)
    except TssmnetError:
        raise
    except Exception as error:  # each client raises its own kinds, most of them bare
        raise ServiceError(
            f"{where} cannot be asked for {dataset.service['collection']}: {type(error).__name__}: {str(error)[:200]}. "
            f"Try again later, or bring the files by hand into {dataset.name}/ below the data folder"
        ) from error
    if strange := [g.name for g in found if not NAME.match(g.name)]:
        raise ServiceError(f"{where} names a granule {strange[0][:80]!r}, which is no name for a file; tell its keeper")
    if not found:
        raise ServiceError(
            f"{where} holds nothing of {dataset.service['collection']} for {settings.first} to {settings.last} in "
            f"{settings.bounds}; look at the period and the window in china.yml"
        )
    return sorted({g.name: g for g in found}.values(), key=lambda g: g.name)


def _search_cmr(dataset: DataSet, settings: Settings, where: str) -> list[Granule]:
    """Granules of NASA's Common Metadata Repository."""
    earthaccess = _earthaccess()
    service = dataset.service
    query = earthaccess.DataGranules().mode(where)
    query = query.short_name(service["collection"]).version(service["version"]).temporal(settings.first, settings.last)
    tiles = None
    if service["collection"] != "SPL3SMP_E":
        query = query.bounding_box(*settings.bounds)
        tiles = {f".h{h:02d}v{v:02d}." for h, v in sinusoidal_tiles(settings.bounds)}
    with warnings.catch_warnings():  # it warns of its own next version, once per granule
        warnings.simplefilter("ignore", FutureWarning)
        found = [_of_umm(g) for g in query.get_all()]
    return [g for g in found if g and (tiles is None or any(t in g.name for t in tiles))]


def _of_umm(record: Any) -> Granule | None:
    """Name, address, size and sum of a granule's data file in its UMM-G record."""
    umm = record["umm"]
    links = [u["URL"] for u in umm.get("RelatedUrls", ()) if u.get("Type") == "GET DATA" and "URL" in u]
    links = [u for u in links if u.endswith((".h5", ".hdf")) and u.startswith("http")]
    if not links:
        return None
    name = links[0].rsplit("/", 1)[1]
    facts = [
        f for f in umm.get("DataGranule", {}).get("ArchiveAndDistributionInformation", ()) if f.get("Name") == name
    ]
    size = int(facts[0].get("SizeInBytes", 0)) if facts else 0
    stated = facts[0].get("Checksum", {}) if facts else {}
    algorithm = str(stated.get("Algorithm", "")).lower().replace("-", "")
    checksum = f"{algorithm}:{stated['Value'].lower()}" if algorithm in ("md5", "sha256", "sha512", "sha1") else ""
    return Granule(name, links[0], size, checksum)


def _search_stac(dataset: DataSet, settings: Settings, where: str) -> list[Granule]:
    """Tiles of a STAC API that touch the window."""
    from pystac_client import Client

    result = Client.open(where).search(
        collections=[dataset.service["collection"]], bbox=list(settings.bounds), limit=500
    )
    return [_of_asset(a) for item in result.items() for a in item.assets.values() if _is_raster(a)]


def _search_static(dataset: DataSet, settings: Settings, where: str) -> list[Granule]:
    """The one layer of a collection in a catalogue of plain files."""
    from pystac import Collection

    service = dataset.service
    collection = Collection.from_file(f"{where.rstrip('/')}/{service['collection']}/collection.json")
    assets = [
        _of_asset(a) for item in collection.get_items(recursive=True) for a in item.assets.values() if _is_raster(a)
    ]
    fitting = sorted({g.name: g for g in assets if re.search(service["layer"], g.name)}.values(), key=lambda g: g.name)
    if len(fitting) > 1:
        raise ServiceError(
            f"{where}: {len(fitting)} layers of {service['collection']} fit {service['layer']!r}: "
            f"{', '.join(g.name for g in fitting[:6])}. Make `layer` in data_manifest.yml narrower"
        )
    if not fitting:
        raise ServiceError(
            f"{where}: no layer of {service['collection']} fits {service['layer']!r}; it has "
            f"{', '.join(g.name for g in assets[:6]) or 'no raster'}. Mend `layer` in data_manifest.yml"
        )
    return fitting


def _is_raster(asset: Any) -> bool:
    return "tiff" in (asset.media_type or "").lower() or asset.href.lower().endswith((".tif", ".tiff"))


def _of_asset(asset: Any) -> Granule:
    """A raster of a catalogue; an open bucket is asked over HTTPS."""
    href = asset.get_absolute_href() or asset.href
    if href.startswith("s3://"):
        bucket, _, key = href.removeprefix("s3://").partition("/")
        href = f"https://{bucket}.s3.amazonaws.com/{key}"
    return Granule(urlsplit(href).path.rsplit("/", 1)[1], href, int(asset.extra_fields.get("file:size", 0)))


_SEARCHES: Mapping[str, Callable[[DataSet, Settings, str], list[Granule]]] = {
    "cmr": _search_cmr,
    "earth-search": _search_stac,
    "openlandmap": _search_static,
}
"""Service to the way it is asked."""


def _earthaccess() -> Any:
    import logging

    try:
        import earthaccess
    except ImportError as error:
        raise AccountError(
            "earthaccess, the client of NASA Earthdata, is not installed; `python -m pip install earthaccess`"
        ) from error
    logging.getLogger("earthaccess").setLevel(logging.CRITICAL)  # what it says of a login is not for a log
    return earthaccess


def fetch(
    names: str | Iterable[str] = "china",
    settings: Settings | None = None,
    folder: Path | None = None,
    progress: bool = True,
    planned: Plan | None = None,
) -> FetchReport:
    """Get what the plan says, several granules at a time; a killed fetch goes on where it was.

    Raises
    ------
    AccountError
        Before anything is fetched, if an account is needed and none is set up; or if it is refused.
    DiskError
        Before anything is fetched, if the disk has less room than the plan says.
    ServiceError
        If a catalogue cannot be asked.
    """
    planned = planned or plan(names, settings, folder)
    _check_disk(planned)
    with one_at_a_time(planned.folder), _sessions(planned) as getters:
        outcomes = {i.dataset.name: _fetch_item(i, planned, getters, progress) for i in planned.items if i.granules}
    refused = {n: bad for n, (_, bad) in outcomes.items() if bad}
    kept = sum(i.here for i in planned.items)
    by_hand = tuple(i.dataset.name for i in planned.items if i.granules is None and i.note.startswith("to be had"))
    return FetchReport(sum(n for n, _ in outcomes.values()), kept, refused, by_hand)


def _check_disk(planned: Plan) -> None:
    planned.folder.mkdir(parents=True, exist_ok=True)
    largest = max((g.bytes for i in planned.items for g in i.granules or ()), default=0)
    needed = planned.disk + registry.PARALLEL * largest + RESERVE * (planned.disk > 0)
    free = shutil.disk_usage(planned.folder).free
    if needed > free:
        raise DiskError(
            f"{planned.folder} has {registry._human(free)} free; the fetch takes up to {registry._human(needed)} ("
            f"{registry._human(planned.disk)} in the end, the rest on the way). Make room, or set TSSMNET_DATA_DIR to "
            "a larger disk, or a smaller window or period in china.yml"
        )


@contextmanager
def _sessions(planned: Plan) -> Iterator[Mapping[str, Callable[..., Any] | None]]:
    """By data set the way to ask its server; with an account for those of Earthdata that still miss something."""
    secured = [i for i in planned.items if i.dataset.access == "earthdata" and i.granules and i.here < len(i.granules)]
    if not secured:
        yield {}
        return
    trusted = _trusted(planned.settings)
    with login().get_session() as session:
        get = partial(_get, session, trusted)
        yield {i.dataset.name: get for i in secured}


def _trusted(settings: Settings) -> Callable[[str], bool]:
    """Whether an address may see the account: a listed host over https, or a catalogue on this machine that was set."""
    own = {urlsplit(a).netloc for a in settings.services.values() if urlsplit(a).hostname in LOOPBACK}

    def trusted(url: str) -> bool:
        parts = urlsplit(url)
        listed = parts.scheme == "https" and parts.hostname in EARTHDATA_HOSTS and parts.port in (None, 443)
        return listed or parts.netloc in own

    return trusted


def _get(session: Any, trusted: Callable[[str], bool], url: str, **options: Any) -> Any:
    """Ask for a granule with the account, and follow redirects, beyond the listed hosts without it.

    Raises
    ------
    DownloadError
        If the catalogue names a host that may not see the account, or a redirect leads off https or in circles.
    """
    if not trusted(url):
        raise DownloadError(f"{urlsplit(url).netloc} is none of the hosts that may see the Earthdata account")
    for _ in range(REDIRECTS):
        if trusted(url):
            answer = session.get(url, allow_redirects=False, **options)
        else:
            answer = _get_without_account(url, **options)
        if not answer.is_redirect:
            return answer
        answer.close()
        url = urljoin(url, answer.headers["Location"])
        if urlsplit(url).scheme != "https" and not trusted(url) and urlsplit(url).hostname not in LOOPBACK:
            raise DownloadError(f"{urlsplit(url).netloc} is asked for over plain http by a redirect; nothing was sent")
    raise DownloadError(f"more than {REDIRECTS} redirects, the last to {urlsplit(url).netloc}")


def _get_without_account(url: str, **options: Any) -> Any:
    import requests

    # an `auth` that does nothing keeps the client from looking into netrc
    return requests.get(url, allow_redirects=False, auth=lambda request: request, **options)


def login() -> Any:
    """Log in to Earthdata by the client's own token or password in the environment, else by netrc.

    Raises
    ------
    AccountError
        If there is no account, or it is refused.
    """
    earthaccess = _earthaccess()
    by_environment = os.environ.get("EARTHDATA_TOKEN") or os.environ.get("EARTHDATA_USERNAME")
    strategy = "environment" if by_environment else "netrc"
    remedy = (
        "Make a free account at https://urs.earthdata.nasa.gov and put one line into ~/.netrc, mode 600: machine "
        "urs.earthdata.nasa.gov login NAME password PASSWORD; or put a token of it into EARTHDATA_TOKEN"
    )
    auth = earthaccess.Auth()
    try:
        auth.login(strategy=strategy)
    except Exception as error:  # the message of a refused login may quote the server: only its kind is told
        raise AccountError(f"no login to NASA Earthdata by {strategy} ({type(error).__name__}). {remedy}") from None
    if not auth.authenticated:
        raise AccountError(f"NASA Earthdata refused the login by {strategy}. {remedy}")
    return auth


def _fetch_item(
    item: Item, planned: Plan, getters: Mapping[str, Callable[..., Any] | None], progress: bool
) -> tuple[int, dict[str, str]]:
    """Fetch what is missing of one data set; how many came, and the rest with the reason."""
    from tqdm import tqdm

    dataset, folder = item.dataset, planned.folder / item.dataset.name
    granules = item.granules or ()
    todo = [g for g in granules if not _is_here(folder / g.name, g, dataset)]
    refused: dict[str, str] = {}
    dead: dict[str, str] = {}
    came: set[str] = set()
    denied: list[AccountError] = []
    _note(folder, dataset, planned.settings, granules, complete=False)
    with (
        tqdm(total=item.download, unit="B", unit_scale=True, desc=dataset.name, disable=not progress) as bar,
        ThreadPoolExecutor(registry.PARALLEL) as pool,
    ):

        def one(granule: Granule) -> None:
            host = urlsplit(granule.url).netloc
            if host in dead or (len(denied) >= REFUSALS and not came):
                refused[granule.name] = dead.get(host) or str(denied[0])
                return
            try:
                _fetch_granule(granule, dataset, folder, planned.settings, getters.get(dataset.name), bar.update)
                came.add(host)
            except (TssmnetError, OSError) as error:
                refused[granule.name] = f"{type(error).__name__}: {error}"
                if isinstance(error, AccountError):
                    denied.append(error)
                if isinstance(error, HostUnreachableError) and host not in came:
                    dead[host] = refused[granule.name]

        for _ in pool.map(one, todo):
            pass
    _note(folder, dataset, planned.settings, granules, complete=not refused, refused=refused)
    if denied and not came:
        raise denied[0]
    return len(todo) - len(refused), refused


def _note(
    folder: Path,
    dataset: DataSet,
    settings: Settings,
    granules: Sequence[Granule],
    complete: bool,
    refused: Mapping[str, str] | None = None,
) -> None:
    """Write down what was found and whether it is all here."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "dataset": dataset.name,
        "period": [settings.first, settings.last],
        "bounds": list(settings.bounds),
        "complete": complete,
        "quarantined": dict(refused or {}),
        "granules": [asdict(g) for g in granules],
    }
    part = folder / f"{INVENTORY}.part"
    part.write_text(json.dumps(about, indent=1), encoding="utf-8")
    os.replace(part, folder / INVENTORY)


def _fetch_granule(
    granule: Granule,
    dataset: DataSet,
    folder: Path,
    settings: Settings,
    get: Callable[..., Any] | None,
    tick: Callable[[int], None],
) -> None:
    target = folder / granule.name
    if dataset.service["name"] == "openlandmap":
        _cut_raster(granule, target, settings.bounds)
        return
    cut = dataset.service.get("cut")

    def finish(part: Path) -> Path:
        probe(part, granule.name)
        return cut_smap(part, settings.bounds) if cut else part

    try:
        download(granule.url, target, granule.bytes or None, granule.checksum or None, tick, get, finish)
    except RefusedError as error:
        raise AccountError(
            f"{urlsplit(granule.url).netloc} refuses {granule.name} ({error}). Look at the account in ~/.netrc or "
            "EARTHDATA_TOKEN, and approve the archive's application and terms at https://urs.earthdata.nasa.gov/profile"
        ) from None


def probe(path: Path, name: str) -> None:
    """Open a file as what its name says it is.

    Raises
    ------
    DamagedFileError
        If it is not: a page of words in place of a granule, or a broken one.
    """
    with open(path, "rb") as f:
        start = f.read(8)
    kinds = {".h5": (b"\x89HDF\r\n\x1a\n",), ".hdf": (b"\x0e\x03\x13\x01",), ".tif": (b"II*\0", b"MM\0*", b"II+\0")}
    expected = kinds.get(Path(name).suffix.lower(), ())
    if expected and not start.startswith(expected):
        raise DamagedFileError(f"{name} is no {Path(name).suffix} file: it begins with {start!r}")


def cut_smap(path: Path, bounds: Bounds) -> Path:
    """The window of a SMAP granule in a file beside it: the fields that are read, with their rows and columns."""
    import h5py

    window = ease_window(bounds)
    smaller = path.with_name(path.name + ".cut")
    with reading(path, "HDF5"), h5py.File(path, "r") as whole, h5py.File(smaller, "w") as part:
        for name, suffix in (("AM", ""), ("PM", "_pm")):
            group = whole.get(smap.GROUP + name)
            if group is None:
                raise SourceError(
                    f"{path.name} has no group {smap.GROUP + name}; SPL3SMP_E of version 4 or later is wanted"
                )
            out = part.create_group(group.name)
            row, column = np.mgrid[window]
            for field in CUT_FIELDS:
                full = f"{field}{suffix}" if f"{field}{suffix}" in group else field
                if full not in group or group[full].shape != EASE_SHAPE[9]:
                    raise SourceError(
                        f"{path.name} has no {full} of {EASE_SHAPE[9]} cells; it is no whole SPL3SMP_E granule"
                    )
                # The archive leaves the indices of unseen cells empty; here every cell knows its place.
                known = {"EASE_row_index": row, "EASE_column_index": column}.get(field)
                values = group[full][window] if known is None else known.astype(group[full].dtype)
                out.create_dataset(full, data=values, compression="gzip", shuffle=True, fillvalue=group[full].fillvalue)
    return smaller


def _cut_raster(granule: Granule, target: Path, bounds: Bounds) -> None:
    """Read the window of a remote cloud-optimised GeoTIFF, block by block, into a file of its own."""
    import rasterio

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    west, south, east, north = bounds
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(f"/vsicurl/{granule.url}") as source:
            window = _window_of(source, (west - RIM, south - RIM, east + RIM, north + RIM))
            profile = source.profile | {"driver": "GTiff", "width": int(window.width), "height": int(window.height)}
            profile |= {
                "transform": source.window_transform(window),
                "tiled": True,
                "blockxsize": 256,
                "blockysize": 256,
            }
            profile |= {"compress": "deflate", "BIGTIFF": "IF_SAFER"}
            with rasterio.open(part, "w", **profile) as cut:
                for top in range(0, int(window.height), 1024):
                    rows = min(1024, int(window.height) - top)
                    strip = rasterio.windows.Window(window.col_off, window.row_off + top, window.width, rows)
                    place = rasterio.windows.Window(0, top, window.width, rows)
                    cut.write(source.read(1, window=strip), 1, window=place)
    except rasterio.errors.RasterioError as error:
        part.unlink(missing_ok=True)
        raise DownloadError(f"{granule.url} cannot be read by ranges: {error}") from error
    os.replace(part, target)


def _window_of(source: Any, bounds: Bounds) -> Any:
    """Whole pixels of a raster in degrees that touch the bounds."""
    from rasterio.windows import Window

    t, (west, south, east, north) = source.transform, bounds
    left, right = max(int((west - t.c) // t.a), 0), min(int(-((t.c - east) // t.a)), source.width)
    top, bottom = max(int((north - t.f) // t.e), 0), min(int(-((t.f - south) // t.e)), source.height)
    if right <= left or bottom <= top:
        raise SourceError(f"{source.name.removeprefix('/vsicurl/')} holds nothing of {bounds}")
    return Window(left, top, right - left, bottom - top)


def placed(dataset: DataSet, folder: Path, settings: Settings) -> str:
    """What stands in the folder of a data set that is had by hand, read as it will be; empty if nothing does.

    Raises
    ------
    SourceError
        If something stands there that is not what it should be.
    """
    place = folder / dataset.name
    if dataset.name == "esa-cci-sm":
        from tssmnet.data.china.build import cci_files

        files = cci_files(place)
        days = int((np.datetime64(settings.last) - np.datetime64(settings.first)).astype(int)) + 1
        inside = [d for d in files if np.datetime64(settings.first) <= d <= np.datetime64(settings.last)]
        return f"{len(inside)} of {days} days are here" if inside else ""
    sensors = sorted(place.rglob("*_sm_*.stm"))
    tables = [p for p in sorted(place.rglob("*.csv")) if not p.name.endswith("static_variables.csv")]
    if not sensors and not tables:
        return ""
    losses = Losses(str(place))
    near = ismn.surface_sensors(sensors, losses=losses)
    left = f"; left out: {losses.attrs['skipped']}" if losses.skipped else ""
    return f"{len(near)} surface sensors, {len(tables)} tables are here{left}"


def verify(
    names: str | Iterable[str] | None = "china", folder: Path | None = None, sums: bool = True
) -> dict[str, str]:
    """Look at every granule that was fetched: is it there, is it whole; path to what is wrong.

    Parameters
    ----------
    sums
        Also read each whole granule and compare its sum, where the archive stated one.
    """
    from tssmnet.data.download import file_sum

    folder = folder or registry.data_dir()
    wrong: dict[str, str] = {}
    for dataset in registry.select(names):
        inventory = folder / dataset.name / INVENTORY
        if not inventory.is_file():
            continue
        about = json.loads(inventory.read_text(encoding="utf-8"))
        for granule in (Granule(**g) for g in about["granules"]):
            path = folder / dataset.name / granule.name
            key = f"{dataset.name}/{granule.name}"
            if not path.is_file():
                wrong[key] = about["quarantined"].get(granule.name, "missing; run `tssmnet data fetch china` again")
                continue
            algorithm, _, expected = granule.checksum.partition(":")
            if not _is_here(path, granule, dataset):
                wrong[key] = f"{path.stat().st_size} of {granule.bytes} bytes; remove it and fetch again"
            elif sums and expected and not dataset.service.get("cut") and file_sum(path, algorithm) != expected:
                wrong[key] = "its sum is not the archive's; remove it and fetch again"
    return wrong
