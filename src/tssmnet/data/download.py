"""Getting one file over HTTP so that it is either whole or not there, and unpacking archives inside their folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tssmnet.errors import TssmnetError
from tssmnet.progress import note

ATTEMPTS = 5
"""How often one file is tried before it counts as unavailable."""

UNREACHED = 3
"""How often a server is called that does not answer at all."""

FIRST_WAIT = 1.0
"""Seconds before the second try; doubled before each further one."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds without a byte, after which a try counts as failed."""
WINDOW = 60.0
FLOOR = 60_000
"""A try fails when less than so many bytes come in a window of so many seconds."""
LONGEST_WAIT = 300.0
"""Seconds that a server may ask to wait (Retry-After); one that asks for more is left for another time."""
LARGEST = 20 * 10**9
"""Bytes after which a file stops of which neither the registry nor the server states the size."""
SAY_AFTER = 2.0
LONGEST_LOCK = 6 * 3600.0
"""Seconds after which a wait for another fetch is said, and after which it is given up."""
CHUNK = 1 << 16


class DownloadError(TssmnetError):
    """A URL gave no whole file; the message says why."""


class RefusedError(DownloadError):
    """The server wants an account, or this account has no right to the file (status 401 or 403)."""


class HostUnreachableError(DownloadError):
    """The server of a URL cannot be reached: no network, no name, no answer."""


class DamagedFileError(TssmnetError):
    """A file is there but its size or sha256 is not the registered one."""


class UnsafeArchiveError(TssmnetError):
    """An archive would write outside the folder it is unpacked into."""


class _Retry(Exception):
    """One try failed in a way that a later try may mend; `wait` is what the server asks for, seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class _Unreached(_Retry):
    """The server could not be reached at all."""


def sha256(path: Path) -> str:
    """sha256 of a file, as 64 hexadecimal digits."""
    return file_sum(path, "sha256")


def file_sum(path: Path, algorithm: str) -> str:
    """Sum of a file in hexadecimal digits; `algorithm` as ``hashlib`` names it: ``"sha256"``, ``"md5"``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def download(
    url: str,
    target: Path,
    size: int | None,
    digest: str | None,
    tick: Callable[[int], None] = lambda n: None,
    get: Callable[..., Any] | None = None,
    finish: Callable[[Path], Path] | None = None,
) -> None:
    """Fetch `url` into `target`, resuming what an earlier try left, and put it there only if it is whole.

    Bytes are collected in ``<target>.part`` beside the target. A part left by a killed run is continued with an
    HTTP range request; a server that ignores ranges starts it anew. Cut connections and answers 408, 429 and 5xx are
    tried again with doubling waits.

    Parameters
    ----------
    url
        Where the file is.
    target
        Where it goes; its folder is made.
    size, digest
        Registered bytes and sum (sha256, or another as ``"md5:..."``); None where the archive states none: the size is
        then the one that the server announces.
    tick
        Called with the number of bytes gained (negative when a part is thrown away), for a progress bar.
    get
        Asks the server, as ``requests.get`` does; that of a session where an account is needed.
    finish
        Called with the proven part; raises what is wrong with it, or gives the file that takes the name, which is the
        part or another beside it.

    Raises
    ------
    DownloadError
        If the server cannot be reached, refuses, or keeps breaking off.
    DamagedFileError
        If whole bytes arrived that are not the registered ones. They are removed.
    """
    import requests

    ask = get or requests.get
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.exists() and part.stat().st_size > 0
    tick(part.stat().st_size if resumed else 0)
    _collect(url, part, size, tick, ask)
    algorithm, _, expected = (digest or "").rpartition(":")
    algorithm = algorithm or "sha256"
    found = file_sum(part, algorithm) if digest else ""
    if digest and found != expected and resumed:
        # The old beginning may belong to another version of the file: once more from its first byte.
        _discard(part, tick)
        _collect(url, part, size, tick, ask)
        found = file_sum(part, algorithm)
    if digest and found != expected:
        _discard(part, tick)
        raise DamagedFileError(
            f"{url} does not hold the registered file: {algorithm} expected {expected}, found {found}. The "
            f"download was removed. Try again; if it stays, the source has changed: get the original elsewhere and put "
            f"it at {target}"
        )
    whole = part
    if finish is not None:
        try:
            whole = finish(part)
        except BaseException:
            _discard(part, tick)
            raise
    os.replace(whole, target)
    part.unlink(missing_ok=True)


def _discard(part: Path, tick: Callable[[int], None]) -> None:
    if part.exists():
        tick(-part.stat().st_size)
        part.unlink()


def _collect(url: str, part: Path, size: int | None, tick: Callable[[int], None], ask: Callable[..., Any]) -> None:
    """Bring `part` to `size` bytes, in several tries if need be."""
    attempt = 0
    while True:
        attempt += 1
        try:
            return _append(url, part, size, tick, ask)
        except _Retry as error:
            if attempt >= (UNREACHED if isinstance(error, _Unreached) else ATTEMPTS):
                kind = HostUnreachableError if isinstance(error, _Unreached) else DownloadError
                raise kind(f"{error} (tried {attempt} times)") from error
            wait = max(error.wait, FIRST_WAIT * 2 ** (attempt - 1))
        if wait > LONGEST_WAIT:
            raise DownloadError(f"the server asks to wait {wait:.0f} s; fetch again then")
        time.sleep(wait)


def _append(url: str, part: Path, size: int | None, tick: Callable[[int], None], ask: Callable[..., Any]) -> None:
    """One request: append what is missing of `size` bytes to `part`."""
    import requests
    from urllib3.exceptions import HTTPError

    have = part.stat().st_size if part.exists() else 0
    if size is not None and have > size:
        _discard(part, tick)
        have = 0
    if have == size and part.exists():
        return
    # Compressed transfer would make byte positions meaningless.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with ask(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            _check_status(answer, part, tick)
            if have and not _continues(answer, have):
                _discard(part, tick)
                have = 0
            announced = _announced(answer, have)
            _check_size(announced or 0, size, part, tick)
            size = announced if size is None else size
            try:
                _receive(answer, part, size, tick)
            except HTTPError as error:  # the server was reached: only this answer has failed
                raise _Retry(f"the answer broke off: {_short(error)}") from error
    except requests.RequestException as error:
        kind = _Unreached if _never_reached(error) else _Retry
        raise kind(
            f"{'the server cannot be reached' if kind is _Unreached else 'no answer'}: {_short(error)}"
        ) from error
    got = part.stat().st_size
    if size is not None and got < size:
        raise _Retry(f"the connection ended after {got} of {size} bytes")


def _receive(answer: Any, part: Path, size: int | None, tick: Callable[[int], None]) -> None:
    """Write what comes, no more than `size` bytes and no slower than the floor."""
    got, since, counted = part.stat().st_size if part.exists() else 0, time.monotonic(), 0
    with open(part, "ab") as out:
        # `read1` gives what has come; `iter_content` would wait for a whole block from a server that drips
        while block := answer.raw.read1(CHUNK, decode_content=True):
            got, counted = got + len(block), counted + len(block)
            _check_size(got, size, part, tick)
            out.write(block)
            tick(len(block))
            if time.monotonic() - since > WINDOW:
                if counted < FLOOR:
                    raise _Retry(f"only {counted} bytes came in {WINDOW:.0f} s, after {got} bytes")
                since, counted = time.monotonic(), 0


def _check_size(found: int, size: int | None, part: Path, tick: Callable[[int], None]) -> None:
    most = LARGEST if size is None else size
    if found > most:
        _discard(part, tick)
        raise DownloadError(f"more than the {'registered' if size is not None else 'largest'} {most} bytes arrived")


def _announced(answer: Any, have: int) -> int | None:
    """Size of the whole file by the answer's headers, None where they do not state it."""
    length = answer.headers.get("Content-Length", "")
    if answer.headers.get("Content-Encoding", "identity") != "identity" or not re.fullmatch("[0-9]{1,18}", length):
        return None
    return have + int(length)


def _never_reached(error: Exception) -> bool:
    """Whether a request failed before there was a connection, which it would for every file of the host."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)


def _continues(answer: object, have: int) -> bool:
    """Whether the server sends the rest from byte `have` on, rather than the whole file again."""
    status, headers = answer.status_code, answer.headers  # type: ignore[attr-defined]
    return bool(status == 206 and headers.get("Content-Range", "").startswith(f"bytes {have}-"))


def _check_status(answer: Any, part: Path, tick: Callable[[int], None]) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status == 416:  # the part does not fit the file on the server: start over
        _discard(part, tick)
        raise _Retry("HTTP status 416")
    if status in (408, 429) or status >= 500:
        raise _Retry(f"HTTP status {status}", _retry_after(answer.headers.get("Retry-After", "")))
    if status in (401, 403):
        raise RefusedError(f"HTTP status {status}")
    raise DownloadError(f"HTTP status {status}")


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 if it says neither.

    Examples
    --------
    >>> _retry_after("120"), _retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), _retry_after("soon")
    (120.0, 0.0, 0.0)
    """
    if re.fullmatch("[0-9]{1,300}", text.strip()):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max((when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def _short(error: BaseException) -> str:
    """The innermost reason of a chain of network errors, without addresses of objects."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).split("object at 0x")[-1][-160:]


@contextmanager
def one_at_a_time(folder: Path, what: str = "fetch") -> Iterator[None]:
    """Hold the lock of a folder, so that two fetches never write the same part; says that it waits for the other.

    The lock goes with its process, also with a killed one. Where the system has no file locks it is left out.

    Raises
    ------
    TssmnetError
        If the folder cannot be written, or the other is still at work after `LONGEST_LOCK`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".fetch.lock", "w")  # noqa: SIM115
    except OSError as error:
        raise TssmnetError(f"{folder} cannot be written: {error.strerror or error}") from error
    with lock:
        with suppress(ImportError):
            _wait_for(lock, f"another {what} is at work in {folder}")
        yield


def _wait_for(lock: IO[str], other: str) -> None:
    import fcntl

    start, said = time.monotonic(), False
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - start
        if waited > LONGEST_LOCK:
            raise TssmnetError(f"{other} since {waited / 3600:.1f} h; end it, or run this again later")
        if waited > SAY_AFTER and not said:
            note(f"{other}, waiting")
            said = True
        time.sleep(0.1)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip or tar archive into a new `folder`, whole or not at all.

    Raises
    ------
    UnsafeArchiveError
        If a member is absolute, climbs out with ``..``, or is a link or device. Nothing is written then.
    DamagedFileError
        If the file is no readable archive.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, temporary)
        elif tarfile.is_tarfile(archive):
            _untar(archive, temporary)
        else:
            raise DamagedFileError(f"{archive} is neither a zip nor a tar archive; get it again")
        if folder.exists():
            raise TssmnetError(f"{folder} exists already; remove it to unpack {archive.name} again")
        os.replace(temporary, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DamagedFileError(f"{archive} cannot be unpacked ({error}); get it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _check_member(archive: Path, name: str, plain: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0] or not plain:
        raise UnsafeArchiveError(
            f"{archive} holds {name!r}, which is not a plain file inside the archive's own folder; "
            "nothing was unpacked. Do not use this archive."
        )


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as z:
        for member in z.infolist():
            kind = (member.external_attr >> 16) & 0o170000
            _check_member(archive, member.filename, kind in (0, 0o100000, 0o040000))
        z.extractall(folder)


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as t:
        members = t.getmembers()
        for member in members:
            _check_member(archive, member.name, member.isfile() or member.isdir())
        t.extractall(folder, members, filter="data")
