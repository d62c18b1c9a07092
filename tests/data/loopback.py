"""NASA's metadata repository, its archive, a STAC API and a static STAC catalogue, on loopback, over a folder of files.

It answers as the genuine services do as far as their clients ask: UMM-G records with size and sum, bearer tokens, byte
ranges, item search, collections of plain JSON. It can be told to misbehave.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TOKEN = "made-up-token"
CMR = {"SPL3SMP_E": "smap-l3-enhanced", "MOD11A1": "modis-lst", "MOD13A2": "modis-vegetation",
       "MCD12Q1": "modis-landcover"}  # fmt: skip
SOIL = {
    "clay.wfraction_usda.3a1a1a": "openlandmap-clay",
    "sand.wfraction_usda.3a1a1a": "openlandmap-sand",
    "bulkdens.fineearth_usda.4a1h": "openlandmap-bulk-density",
    "organic.carbon_usda.6a1c": "openlandmap-organic-carbon",
    "texture.class_usda.tt": "openlandmap-texture-class",
    "grtgroup_usda.soiltax": "openlandmap-soil-class",
}


class Services(ThreadingHTTPServer):
    """All services over one folder that holds a folder per data set; `log` has the path of each request."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.log: list[str] = []
        self.damaged: set[str] = set()  # names whose bytes are not those that the repository states
        self.pause = 0.0  # seconds between blocks
        self.tokens: set[str] = {TOKEN}

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def addresses(self) -> dict[str, str]:
        return {
            "cmr": f"{self.base}/search/",
            "earth-search": f"{self.base}/stac-api",
            "openlandmap": f"{self.base}/static",
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Services
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Keep the test output quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.json(self.items(body["bbox"]), "application/geo+json")

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.log.append(parts.path)
        for pattern, answer in (
            (r"/search/granules\.umm_json", self.cmr),
            (r"/archive/(.+)", self.file),
            (r"/stac-api/?", self.landing),
            (r"/stac-api/search", self.search),
            (r"/static/([^/]+)/collection\.json", self.collection),
            (r"/static/([^/]+)/item\.json", self.item),
        ):
            found = re.fullmatch(pattern, parts.path)
            if found:
                answer(
                    *found.groups(), **({"query": parse_qs(parts.query)} if answer in (self.cmr, self.search) else {})
                )
                return
        self.send(404, b"", "text/plain")

    # ------------------------------------------------------------------------------------------------------ answers

    def cmr(self, query: dict[str, list[str]]) -> None:
        folder = self.server.folder / CMR[query["short_name"][0]]
        low, high = (np_day(t) for t in (query.get("temporal") or query["temporal[]"])[0].split(","))
        names = [
            p
            for p in sorted(folder.glob("*.h*"))
            if low <= day_of(p.name) + duration(p.name) and day_of(p.name) <= high
        ]
        size = int(query.get("page_size", ["2000"])[0])
        items = [self.umm(p) for p in names] if size else []
        self.json({"hits": len(names), "items": items[:size]}, "application/json", {"CMR-Hits": str(len(names))})

    def umm(self, path: Path) -> dict:
        content = path.read_bytes()
        facts = {
            "Name": path.name,
            "SizeInBytes": len(content),
            "Checksum": {"Value": hashlib.md5(content).hexdigest(), "Algorithm": "MD5"},
        }
        url = f"{self.server.base}/archive/{path.parent.name}/{path.name}"
        urls = [{"URL": url, "Type": "GET DATA"}, {"URL": f"{url}.xml", "Type": "EXTENDED METADATA"}]
        umm = {
            "GranuleUR": path.stem,
            "RelatedUrls": urls,
            "DataGranule": {"ArchiveAndDistributionInformation": [facts]},
        }
        return {"meta": {"concept-id": path.stem}, "umm": umm}

    def file(self, name: str) -> None:
        path = self.server.folder / name
        secured = path.suffix in (".h5", ".hdf")
        if secured and self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.server.tokens:
            self.send(401, b"", "text/plain")
            return
        if not path.is_file():
            self.send(404, b"", "text/plain")
            return
        content = path.read_bytes()
        if path.name in self.server.damaged:
            content = b"?" * len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(wanted.group(1)) if wanted else 0
        stop = min(int(wanted.group(2)) + 1 if wanted and wanted.group(2) else len(content), len(content))
        if wanted and start >= len(content):
            self.send(416, b"", "text/plain")
            return
        more = {"Accept-Ranges": "bytes"}
        if wanted:
            more["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self.send(206 if wanted else 200, content[start:stop], "application/octet-stream", more)

    def landing(self) -> None:
        base = self.server.base
        links = [
            {"rel": "self", "href": f"{base}/stac-api", "type": "application/json"},
            {"rel": "root", "href": f"{base}/stac-api", "type": "application/json"},
            {"rel": "search", "href": f"{base}/stac-api/search", "type": "application/geo+json", "method": "POST"},
        ]
        conforms = [f"https://api.stacspec.org/v1.0.0/{c}" for c in ("core", "item-search")]
        self.json({"type": "Catalog", "id": "dem", "stac_version": "1.0.0", "description": "made up", "links": links,
                   "conformsTo": conforms}, "application/json")  # fmt: skip

    def search(self, query: dict[str, list[str]]) -> None:
        self.json(self.items([float(b) for b in query["bbox"][0].split(",")]), "application/geo+json")

    def items(self, box: list[float]) -> dict:
        features = []
        for path in sorted((self.server.folder / "copernicus-dem").glob("*.tif")):
            ns, lat, ew, lon = re.search(r"_([NS])(\d\d)_00_([EW])(\d{3})_", path.name).groups()
            south, west = (int(lat) if ns == "N" else -int(lat)), (int(lon) if ew == "E" else -int(lon))
            if west < box[2] and west + 1 > box[0] and south < box[3] and south + 1 > box[1]:
                features.append(self.feature(path, (west, south, west + 1, south + 1), "cop-dem-glo-30"))
        return {"type": "FeatureCollection", "features": features, "links": []}

    def feature(self, path: Path, box: tuple[float, ...], collection: str) -> dict:
        west, south, east, north = box
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        href = f"{self.server.base}/archive/{path.parent.name}/{path.name}"
        raster = {"href": href, "type": "image/tiff; application=geotiff; profile=cloud-optimized"}
        return {
            "type": "Feature", "stac_version": "1.0.0", "id": path.stem, "collection": collection, "bbox": list(box),
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"datetime": "2021-04-22T00:00:00Z"},
            "assets": {"data": raster, "thumbnail": {"href": f"{href}.png", "type": "image/png"}}, "links": [],
        }  # fmt: skip

    def collection(self, name: str) -> None:
        extent = {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["1950-01-01T00:00:00Z", None]]},
        }
        self.json({"type": "Collection", "stac_version": "1.0.0", "id": name, "description": "made up", "license": "x",
                   "extent": extent, "links": [{"rel": "item", "href": "./item.json", "type": "application/json"}]},
                  "application/json")  # fmt: skip

    def item(self, name: str) -> None:
        path = next((self.server.folder / SOIL[name]).glob("*.tif"))
        self.json(self.feature(path, (-180, -90, 180, 90), name), "application/json")

    # ---------------------------------------------------------------------------------------------------- transport

    def json(self, content: dict, kind: str, more: dict[str, str] | None = None) -> None:
        self.send(200, json.dumps(content).encode(), kind, more)

    def send(self, status: int, content: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content))} | (more or {})
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        step = 40_000 if self.server.pause else len(content) or 1
        for i in range(0, len(content), step):
            self.wfile.write(content[i : i + step])
            time.sleep(self.server.pause)


def day_of(name: str) -> datetime:
    found = re.search(r"\.A(\d{7})\.", name)
    if found:
        return datetime.strptime(found.group(1), "%Y%j")
    return datetime.strptime(re.search(r"_(\d{8})_", name).group(1), "%Y%m%d")


def duration(name: str) -> timedelta:
    """How long after its first day a granule still holds."""
    return timedelta(days={"MOD13A2": 15, "MCD12Q1": 364}.get(name.split(".")[0], 0))


def np_day(text: str) -> datetime:
    return datetime.fromisoformat(text[:10])


@contextmanager
def serving(folder: Path) -> Iterator[Services]:
    """The services, for the length of a block."""
    with Services(folder) as services:
        threading.Thread(target=services.serve_forever, args=(0.01,), daemon=True).start()
        yield services
        services.shutdown()
