"""Servers that never end, stall, drip, ask to wait, or must not see an account; and locks that are held."""

import hashlib
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import yaml

from tssmnet.data import download, registry
from tssmnet.data.china import fetch
from tssmnet.data.china.settings import Settings
from tssmnet.errors import TssmnetError
from tssmnet.progress import note

BODY = b"x" * 50_000
SIZE = len(BODY)
HEAD = b"HTTP/1.1 200 OK\r\n"


class Raw:
    """A loopback server of raw answers: by path a function of the socket and the request."""

    def __init__(self):
        self.answers, self.requests, self.open = {}, [], True
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self):
        while self.open:
            try:
                client, _ = self.socket.accept()
            except OSError:
                continue
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        with client:
            client.settimeout(10)
            request = client.recv(65536).decode("latin-1")
            self.requests.append(request)
            try:
                self.answers[request.split()[1].split("?")[0]](client, request)
            except OSError:
                return  # the client has left, as it should


@contextmanager
def raw_server():
    server = Raw()
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.open = False
        server.socket.close()


@pytest.fixture
def server():
    with raw_server() as one:
        yield one


@pytest.fixture
def other():
    with raw_server() as one:
        yield one


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in (
        ("FIRST_WAIT", 0.01),
        ("ATTEMPTS", 2),
        ("TIMEOUT", (1.0, 0.4)),
        ("WINDOW", 0.3),
        ("FLOOR", 1000),
    ):
        monkeypatch.setattr(download, name, value)


def whole(client, request):
    client.sendall(HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)


def endless(client, request):
    client.sendall(HEAD + b"\r\n")
    for _ in range(20_000):
        client.sendall(BODY)


def endless_chunks(client, request):
    client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(20_000):
        client.sendall(b"%x\r\n%s\r\n" % (len(BODY), BODY))


def stall(client, request):
    client.sendall(HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:100])
    time.sleep(2)


def drip(client, request):
    client.sendall(HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode())
    for _ in range(40):
        client.sendall(b"x")
        time.sleep(0.05)


def get(server, path, target, size=SIZE):
    download.download(server.address + path, target, size, hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize("answer", [endless, endless_chunks])
@pytest.mark.parametrize("size", [len(BODY), None])
def test_an_endless_body_stops_at_the_stated_or_the_largest_size(server, tmp_path, monkeypatch, answer, size):
    monkeypatch.setattr(download, "LARGEST", 10**6)
    server.answers["/a"] = answer
    most = size or 10**6
    with pytest.raises(download.DownloadError, match=f"more than the (registered|largest) {most} bytes"):
        get(server, "/a", tmp_path / "a", size)
    assert not list(tmp_path.iterdir())


def test_a_wrong_announced_size_is_refused_before_a_byte_is_written(server, tmp_path):
    server.answers["/a"] = lambda client, _: client.sendall(HEAD + b"Content-Length: 999999999999\r\n\r\n")
    started = time.monotonic()
    with pytest.raises(download.DownloadError, match="more than the registered"):
        get(server, "/a", tmp_path / "a")
    assert time.monotonic() - started < 2


def test_a_server_that_drips_is_left_for_its_slowness(server, tmp_path):
    server.answers["/a"] = drip
    with pytest.raises(download.DownloadError, match=r"only \d+ bytes came in"):
        get(server, "/a", tmp_path / "a")


def test_a_stall_in_the_middle_is_no_unreachable_host_and_the_next_try_goes_on(server, tmp_path):
    server.answers["/a"] = stall
    with pytest.raises(download.DownloadError) as error:
        get(server, "/a", tmp_path / "a")
    assert not isinstance(error.value, download.HostUnreachableError)
    assert "bytes=100-" in server.requests[1]


def test_one_stalled_file_stops_no_other_of_its_host(server, tmp_path, monkeypatch):
    names = [f"{i}.bin" for i in range(8)]
    server.answers |= {f"/{n}": whole for n in names} | {"/0.bin": stall}
    files = [{"path": f"made-up/{n}", "url": f"{server.address}/{n}", "bytes": len(BODY),
              "sha256": hashlib.sha256(BODY).hexdigest()} for n in names]  # fmt: skip
    entry = {"name": "made-up", "title": "t", "version": "1", "product": "p", "profiles": ["cases"], "access": "url",
             "licence": {"data": "x"}, "citation": "c", "files": files}  # fmt: skip
    (tmp_path / "m.yml").write_text(yaml.safe_dump({"datasets": [entry]}))
    monkeypatch.setattr(registry, "manifest_path", lambda: tmp_path / "m.yml")
    monkeypatch.setattr(registry, "checkout", lambda: None)
    monkeypatch.setattr(registry, "PARALLEL", 1)
    monkeypatch.setenv("TSSMNET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TSSMNET_MIRRORS", raising=False)
    monkeypatch.delenv("TSSMNET_OFFLINE", raising=False)
    with pytest.raises(registry.DataUnavailableError) as error:
        registry.fetch("made-up", progress=False)
    assert [f.path for f, _ in error.value.missing] == ["made-up/0.bin"]
    assert len(list((tmp_path / "data" / "made-up").glob("*.bin"))) == 7


# --------------------------------------------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_wait_that_a_server_asks_for_is_kept(server, tmp_path, monkeypatch, form):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    value = "42" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=42.9), usegmt=True)

    def busy_once(client, request):
        if len(server.requests) == 1:
            client.sendall(f"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            whole(client, request)

    server.answers["/a"] = busy_once
    get(server, "/a", tmp_path / "a")
    assert max(waits) == pytest.approx(42, abs=2)


@pytest.mark.parametrize("value", ["86400", "9" * 23, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_wait_beyond_bounds_ends_the_try_at_once(server, tmp_path, value):
    server.answers["/a"] = lambda client, _: client.sendall(
        f"HTTP/1.1 429 Slow\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    with pytest.raises(download.DownloadError, match="the server asks to wait"):
        get(server, "/a", tmp_path / "a")
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "-5", "²", "", "Wed, 99 Foo"])
def test_a_wait_that_cannot_be_read_is_none(value):
    assert download._retry_after(value) == 0


# ---------------------------------------------------------------------------------------------------------------- lock


def test_a_held_lock_is_said_and_bounded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "SAY_AFTER", 0.1)
    monkeypatch.setattr(download, "LONGEST_LOCK", 0.4)
    monkeypatch.delenv("TSSMNET_QUIET", raising=False)
    with download.one_at_a_time(tmp_path), pytest.raises(TssmnetError, match="another fetch is at work"):  # noqa: SIM117
        with download.one_at_a_time(tmp_path):
            pass
    assert capsys.readouterr().err == f"tssmnet: another fetch is at work in {tmp_path}, waiting\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TssmnetError, match="file/data cannot be written"),
        download.one_at_a_time(tmp_path / "file/data"),
    ):
        pass


# ------------------------------------------------------------------------------------------------------------- accounts


class Session:
    """A session with a token, as that of earthaccess."""

    def __init__(self):
        import requests

        self.inner = requests.Session()
        self.inner.headers["Authorization"] = "Bearer secret"

    def get(self, url, **options):
        return self.inner.get(url, **options)


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/a", "https://data.nsidc.earthdatacloud.nasa.gov.evil.example/a", "http://urs.earthdata.nasa.gov/",
     "https://urs.earthdata.nasa.gov@evil.example/a", "https://urs.earthdata.nasa.gov:8443/", "ftp://cmr.earthdata.nasa.gov/",
     "https://e4ftl01.cr.usgs.gov/MOLT/a",
     "http://127.0.0.1:1/a", "//urs.earthdata.nasa.gov/a", "https://urs.earthdata.nasa.gov.:443@evil.example"],
)  # fmt: skip
def test_a_catalogue_that_names_another_host_gets_no_token(url):
    trusted = fetch._trusted(Settings())
    assert not trusted(url)
    with pytest.raises(download.DownloadError, match="none of the hosts that may see"):
        fetch._get(None, trusted, url)


def test_listed_hosts_are_those_of_earthdata():
    trusted = fetch._trusted(Settings())
    assert trusted("https://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected/MCD12Q1.061/a/b.hdf")
    assert trusted("https://data.nsidc.earthdatacloud.nasa.gov/nsidc-cumulus-prod-protected/SMAP/SPL3SMP_E/006/a.h5")
    assert trusted("https://urs.earthdata.nasa.gov:443/oauth")


def test_a_redirect_to_another_host_is_followed_without_the_token(server, other):
    to = f"Location: {other.address}/b\r\nContent-Length: 0\r\n\r\n"
    server.answers["/a"] = lambda client, _: client.sendall(f"HTTP/1.1 302 Found\r\n{to}".encode())
    other.answers["/b"] = whole
    trusted = fetch._trusted(Settings(services={"cmr": f"{server.address}/search/"}))
    with fetch._get(Session(), trusted, f"{server.address}/a", timeout=2) as answer:
        assert answer.content == BODY
    assert "Bearer secret" in server.requests[0]
    assert "secret" not in other.requests[0]


@pytest.mark.parametrize(("to", "message"), [("/a", "more than 10 redirects"), ("http://evil.example/", "plain http")])
def test_redirects_in_circles_or_off_https_end(server, to, message):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
    server.answers["/a"] = lambda client, _: client.sendall(answer)
    trusted = fetch._trusted(Settings(services={"cmr": server.address}))
    with pytest.raises(download.DownloadError, match=message):
        fetch._get(Session(), trusted, f"{server.address}/a", timeout=2)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\nb", "a\\b", "a b\x00", "é.h5", "x" * 300, "-rf"])
def test_a_granule_of_a_strange_name_is_refused(name, monkeypatch):
    dataset = next(s for s in registry.select("china") if s.service)
    granules = [fetch.Granule(name, "https://example.org/a")]
    monkeypatch.setattr(fetch, "_SEARCHES", {dataset.service["name"]: lambda *_: granules})
    with pytest.raises(fetch.ServiceError, match="no name for a file"):
        fetch.search(dataset, Settings())


# ------------------------------------------------------------------------------------------------------------- registry


@pytest.mark.parametrize(
    ("key", "value"),
    [("path", "a.bin\n"), ("path", "a\n/../../b"), ("path", "..\n/../b"), ("path", "a\x00b"), ("path", "a\u2028b"),
     ("path", "./a"), ("path", "a//b"), ("path", "a/./b"), ("path", "~/b"), ("path", ".ssh/b"), ("path", "a/.."),
     ("url", "https://example.org/a\n"), ("sha256", "0" * 64 + "\n"), ("url", "file:///etc/passwd")],
)  # fmt: skip
def test_what_is_written_in_a_manifest_is_read_to_its_very_end(tmp_path, key, value):
    file = {"path": "made-up/a", "url": "https://example.org/a", "bytes": 1, "sha256": "0" * 64} | {key: value}
    entry = {"name": "made-up", "title": "t", "version": "1", "product": "p", "profiles": ["cases"], "access": "url",
             "licence": {"data": "x"}, "citation": "c", "files": [file]}  # fmt: skip
    (tmp_path / "m.yml").write_text(yaml.safe_dump({"datasets": [entry]}))
    with pytest.raises(registry.ManifestError, match=f"files/0/{key}"):
        registry.load_manifest(tmp_path / "m.yml")


def test_a_note_is_one_line_and_none_where_it_shall_be_quiet(capsys, monkeypatch):
    monkeypatch.delenv("TSSMNET_QUIET", raising=False)
    note("said")
    monkeypatch.setenv("TSSMNET_QUIET", "1")
    note("not said")
    assert capsys.readouterr().err == "tssmnet: said\n"
