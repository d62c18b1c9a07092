"""The registry, and the one promise of fetching: a file is there whole and proven, or it is not there."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from tssmnet.data import download, registry
from tssmnet.data.registry import (
    DataUnavailableError,
    ManifestError,
    fetch,
    list_data,
    load_manifest,
    path_of,
    paths_of,
    select,
    verify,
)
from tssmnet.errors import UnknownNameError

CONTENT = random.Random(0).randbytes(300_000)


class Server(ThreadingHTTPServer):
    """A loopback file server that can be told to misbehave; `log` holds (path, range, status) per request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str | None, int]] = []
        self.cut_after: list[int] = []  # bytes after which the next answers break off
        self.statuses: list[int] = []  # statuses of the next answers instead of 200
        self.ranges = True
        self.pause = 0.0  # seconds between blocks

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request, client_address):
        """A client that was killed is no news."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        body = server.files.get(self.path.lstrip("/"))
        status = server.statuses.pop(0) if server.statuses else 404 if body is None else 200
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and server.ranges else 0
        if status == 200 and start:
            status = 206 if start < len(body) else 416
        server.log.append((self.path, wanted, status))
        self.send_response(status)
        if status not in (200, 206):
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        rest = body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.cut_after:
            rest = rest[: server.cut_after.pop(0)]
        for i in range(0, len(rest), 20_000):
            self.wfile.write(rest[i : i + 20_000])
            time.sleep(server.pause)
        self.close_connection = True

    def log_message(self, *args):
        """Keep the test output quiet."""


@pytest.fixture
def server():
    with Server() as s:
        threading.Thread(target=s.serve_forever, args=(0.01,), daemon=True).start()
        s.files["a.bin"] = CONTENT
        yield s
        s.shutdown()


@pytest.fixture
def small_registry(server, tmp_path, monkeypatch):
    """A manifest of one data set ``made-up`` with two files on the loopback server, and an empty data folder."""
    server.files["b.bin"] = CONTENT[::-1]
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(registry, "manifest_path", lambda: tmp_path / "manifest.yml")
    monkeypatch.setattr(registry, "checkout", lambda: None)
    monkeypatch.setenv("TSSMNET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TSSMNET_MIRRORS", raising=False)
    monkeypatch.delenv("TSSMNET_OFFLINE", raising=False)
    write_manifest(tmp_path / "manifest.yml", server)
    return tmp_path


def entry(server, *names):
    files = [
        {
            "path": f"made-up/{n}",
            "url": server.url(n),
            "bytes": len(server.files[n]),
            "sha256": hashlib.sha256(server.files[n]).hexdigest(),
        }
        for n in names
    ]
    return {
        "name": "made-up",
        "title": "made-up bytes",
        "version": "1",
        "product": "none",
        "profiles": ["cases"],
        "access": "url",
        "licence": {"data": "public domain"},
        "citation": "none",
        "files": files,
    }


def write_manifest(path, server, **changes):
    path.write_text(yaml.safe_dump({"datasets": [entry(server, "a.bin", "b.bin") | changes]}))


def get(server, target):
    download.download(server.url("a.bin"), target, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


# ------------------------------------------------------------------------------------------------ the real manifest


def test_the_manifest_of_the_project_is_sound_and_names_all_profiles_data():
    manifest = load_manifest()
    assert {"smap-conus", "smap-l3-enhanced", "modis-lst", "esa-cci-sm", "sonte-china"} <= set(manifest)
    assert len(manifest["smap-conus"].files) == 37
    for s in manifest.values():
        assert s.licence["data"]
        assert s.files or (s.steps and s.size_gb > 0)


def test_the_list_shows_each_data_set_of_a_profile_once():
    table = list_data("conus")
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["smap-conus", "natural-earth"]
    assert "37/37" in table or "0/37" in table


def test_an_unknown_data_set_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'smap-conus'"):
        select("smap-connus")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"licence": {"data": "x", "code": "y"}}, "unknown key 'code'"),
        ({"citaton": "typo"}, "unknown key 'citaton'; did you mean 'citation'"),
        ({"access": "ftp"}, "'ftp' is not one of"),
        ({"profiles": []}, r"\[\] should be non-empty"),
        ({"access": "earthdata"}, "'steps' is a required property"),
        ({"doi": "https://doi.org/10.1/x"}, "does not match"),
    ],
)
def test_a_manifest_that_breaks_the_schema_is_refused_with_the_place(small_registry, server, change, complaint):
    write_manifest(small_registry / "manifest.yml", server, **change)
    with pytest.raises(ManifestError, match=complaint) as error:
        load_manifest()
    assert "datasets/0" in str(error.value)
    assert "made-up" in str(error.value)


@pytest.mark.parametrize("path", ["../outside.bin", "/etc/outside", "a/../../outside", "a\\b", "C:/outside"])
def test_a_file_path_that_leaves_the_data_folder_is_refused(small_registry, server, path):
    wrong = entry(server, "a.bin")["files"][0] | {"path": path}
    write_manifest(small_registry / "manifest.yml", server, files=[wrong])
    with pytest.raises(ManifestError, match="files/0/path"):
        load_manifest()


def test_repeated_keys_names_and_paths_are_refused(small_registry, server):
    path = small_registry / "manifest.yml"
    path.write_text(path.read_text().replace("version: '1'", "version: '1'\n  version: '2'"))
    with pytest.raises(ManifestError, match="key 'version' is given twice"):
        load_manifest()
    path.write_text(yaml.safe_dump({"datasets": [entry(server, "a.bin"), entry(server, "a.bin")]}))
    with pytest.raises(ManifestError, match=r"2 fault\(s\)") as error:
        load_manifest()
    assert "name 'made-up' is used twice" in str(error.value)
    assert "path 'made-up/a.bin' is used twice" in str(error.value)


# --------------------------------------------------------------------------------------------------- where files are


def test_fetch_brings_every_file_and_says_where_it_is(small_registry, server):
    reports = fetch("made-up", progress=False)
    assert [(r.state, r.where) for r in reports] == [("sound", "downloaded")] * 2
    assert path_of("made-up", "a.bin").read_bytes() == CONTENT
    server.log.clear()
    assert [r.where for r in fetch(["cases"], progress=False)] == ["data folder"] * 2
    assert server.log == []


def test_files_of_a_mirror_are_read_in_place_and_nothing_is_fetched(small_registry, server, monkeypatch):
    for name in ("a.bin", "b.bin"):
        place = small_registry / "mirror" / "made-up" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(server.files[name])
    monkeypatch.setenv(
        "TSSMNET_MIRRORS", os.pathsep.join([str(small_registry / "nowhere"), str(small_registry / "mirror")])
    )
    assert [r.where for r in fetch("made-up", progress=False)] == ["mirror"] * 2
    assert path_of("made-up", "a.bin") == small_registry / "mirror/made-up/a.bin"
    assert server.log == []
    assert not (small_registry / "data").exists()


def test_a_damaged_copy_in_a_mirror_is_passed_over(small_registry, server, monkeypatch):
    place = small_registry / "mirror" / "made-up" / "a.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x" * len(CONTENT))
    monkeypatch.setenv("TSSMNET_MIRRORS", str(small_registry / "mirror"))
    assert verify("made-up")[0].state == "damaged"
    assert path_of("made-up", "a.bin").read_bytes() == CONTENT
    assert verify("made-up")[0].where == "data folder"


def test_verify_sees_a_changed_byte_and_fetch_mends_it(small_registry):
    fetch("made-up", progress=False)
    path = path_of("made-up", "b.bin")
    content = bytearray(path.read_bytes())
    content[1234] ^= 1
    path.write_bytes(bytes(content))
    assert [r.state for r in verify("made-up")] == ["sound", "damaged"]
    fetch("made-up", progress=False)
    assert [r.state for r in verify()] == ["sound", "sound"]


def test_offline_one_error_lists_every_missing_file_with_url_size_and_place(small_registry, server, monkeypatch):
    monkeypatch.setenv("TSSMNET_OFFLINE", "1")
    with pytest.raises(DataUnavailableError) as error:
        paths_of("made-up")
    text = str(error.value)
    assert "2 file(s), 600.0 kB" in text
    for name in ("a.bin", "b.bin"):
        assert server.url(name) in text
        assert str(small_registry / "data" / "made-up" / name) in text
    assert text.count("300,000 bytes") == 2
    assert [f.path for f, _ in error.value.missing] == ["made-up/a.bin", "made-up/b.bin"]
    assert server.log == []


def test_a_host_that_cannot_be_reached_gives_the_same_error_quickly(small_registry, server, monkeypatch):
    monkeypatch.setattr(registry, "PARALLEL", 1)
    server.shutdown()
    server.server_close()
    with pytest.raises(DataUnavailableError, match="the server cannot be reached") as error:
        fetch("made-up", progress=False)
    assert len(error.value.missing) == 2


def test_a_data_set_without_files_names_account_and_steps(small_registry, server):
    steps = {
        "access": "earthdata",
        "steps": ["go there", "take it"],
        "size_gb": 2,
        "size_estimate": "two",
        "account": "A",
    }
    content = entry(server, "a.bin") | steps
    del content["files"]
    (small_registry / "manifest.yml").write_text(yaml.safe_dump({"datasets": [content]}))
    with pytest.raises(DataUnavailableError, match="with a NASA Earthdata account") as error:
        fetch("cases", progress=False)
    assert "account: A" in str(error.value)
    assert "2. take it" in str(error.value)
    assert "~2.0 GB" in list_data()


# ------------------------------------------------------------------------------------------------------- downloading


def test_a_cut_connection_is_resumed_where_it_broke(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    server.cut_after = [100_000, 60_000]
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    starts = [int(r.split("=")[1][:-1]) for _, r, _ in server.log[1:]]
    assert [s for _, _, s in server.log] == [200, 206, 206]
    assert 0 < starts[0] <= 100_000
    assert starts[0] <= starts[1] <= starts[0] + 60_000
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_server_without_ranges_is_read_again_from_the_start(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    server.ranges, server.cut_after = False, [100_000]
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_server_errors_are_tried_again_with_doubling_waits(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    server.statuses = [500, 503, 429]
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [w for w in waits if w] == [1.0, 2.0, 4.0]


def test_endless_server_errors_end_in_an_error_that_says_so(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT", 0.001)
    server.statuses = [500] * 9
    with pytest.raises(download.DownloadError, match=r"HTTP status 500 \(tried 5 times\)"):
        get(server, tmp_path / "a.bin")
    assert len(server.log) == download.ATTEMPTS


def test_a_server_that_is_not_there_is_called_three_times(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT", 0.001)
    server.shutdown()
    server.server_close()
    with pytest.raises(download.HostUnreachableError, match=r"cannot be reached.*\(tried 3 times\)"):
        get(server, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_not_tried_again(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(download.DownloadError, match="HTTP status 404"):
        get(server, tmp_path / "a.bin")
    assert len(server.log) == 1


def test_wrong_bytes_are_never_kept_and_the_error_names_both_sums(server, tmp_path):
    server.files["a.bin"] = b"?" + CONTENT[1:]
    found, expected = (hashlib.sha256(c).hexdigest() for c in (server.files["a.bin"], CONTENT))
    with pytest.raises(download.DamagedFileError, match=f"expected {expected}, found {found}") as error:
        get(server, tmp_path / "a.bin")
    assert server.url("a.bin") in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_thrown_away_and_the_file_fetched_anew(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"old" * 1000)
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [r for _, r, _ in server.log] == ["bytes=3000-", None]


def test_more_bytes_than_registered_are_refused(server, tmp_path):
    server.files["a.bin"] = CONTENT + b"more"
    with pytest.raises(download.DownloadError, match="more than the registered 300000 bytes"):
        get(server, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


FETCH = """
    import sys
    from pathlib import Path
    from tssmnet.data import registry
    registry.manifest_path = lambda: Path(sys.argv[1])
    registry.fetch("made-up", progress=False)
"""


def test_a_fetch_killed_at_random_points_ends_in_the_same_files(small_registry, server):
    server.pause = 0.01
    chance = random.Random(7)
    command = [sys.executable, "-c", textwrap.dedent(FETCH), str(small_registry / "manifest.yml")]
    for _ in range(4):
        server.log.clear()
        run = subprocess.Popen(command, env=os.environ | {"TSSMNET_DATA_DIR": str(small_registry / "data")})
        while not server.log and run.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.12))
        run.send_signal(signal.SIGKILL)
        run.wait()
        for path in (small_registry / "data").rglob("*.bin"):
            assert path.read_bytes() == server.files[path.name]  # whatever is in place is whole
    server.pause = 0.0
    fetch("made-up", progress=False)
    left = sorted(p.name for p in (small_registry / "data").rglob("*") if p.is_file())
    assert left == [".fetch.lock", "a.bin", "b.bin"]
    assert [r.state for r in verify("made-up")] == ["sound", "sound"]


def test_two_fetches_at_once_do_not_disturb_each_other(small_registry, server):
    server.pause = 0.002
    results = []
    threads = [threading.Thread(target=lambda: results.append(fetch("made-up", False))) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(r.state == "sound" for reports in results for r in reports)
    assert len(server.log) == 2


# --------------------------------------------------------------------------------------------------------- unpacking


def zip_with(path, name, content=b"x"):
    import zipfile

    with zipfile.ZipFile(path, "w") as z:
        z.writestr("good.txt", b"good")
        z.writestr(name, content)


def tar_with(path, member):
    import io
    import tarfile

    with tarfile.open(path, "w:gz") as t:
        good = tarfile.TarInfo("good.txt")
        good.size = 4
        t.addfile(good, io.BytesIO(b"good"))
        t.addfile(member, io.BytesIO(b"x" * member.size))


def link(name, target):
    import tarfile

    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil"])
def test_a_zip_that_climbs_out_is_refused_and_writes_nothing(tmp_path, name):
    zip_with(tmp_path / "z.zip", name)
    with pytest.raises(download.UnsafeArchiveError, match="nothing was unpacked"):
        download.unpack(tmp_path / "z.zip", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["z.zip"]


def test_a_tar_with_a_link_or_a_climbing_name_is_refused_and_writes_nothing(tmp_path):
    import tarfile

    for member in (link("l", "/etc"), tarfile.TarInfo("../evil"), tarfile.TarInfo("/evil")):
        tar_with(tmp_path / "t.tgz", member)
        with pytest.raises(download.UnsafeArchiveError):
            download.unpack(tmp_path / "t.tgz", tmp_path / "out")
        assert [p.name for p in tmp_path.iterdir()] == ["t.tgz"]


def test_a_sound_archive_is_unpacked_whole(tmp_path):
    import tarfile

    zip_with(tmp_path / "z.zip", "deep/more.txt", b"more")
    assert (download.unpack(tmp_path / "z.zip", tmp_path / "out") / "deep/more.txt").read_bytes() == b"more"
    tar_with(tmp_path / "t.tgz", tarfile.TarInfo("empty"))
    assert (download.unpack(tmp_path / "t.tgz", tmp_path / "out2") / "good.txt").read_bytes() == b"good"


def test_a_truncated_archive_is_called_damaged_and_leaves_nothing(tmp_path):
    zip_with(tmp_path / "z.zip", "b", CONTENT)
    whole = (tmp_path / "z.zip").read_bytes()
    (tmp_path / "z.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(download.DamagedFileError, match="get it again"):
        download.unpack(tmp_path / "z.zip", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["z.zip"]
