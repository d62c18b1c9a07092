"""Open every built page as a reader without a network would, in headless Chromium, and say what went wrong.

``python -m workflow.check_pages`` serves _build/html on localhost, forbids every other host, gathers console errors and
failed requests, counts formulas and widgets that came alive, moves each slider, looks for text that is hard to read in
light or dark mode, and leaves a picture of each page in
_build/screenshots.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tssmnet.errors import TssmnetError
from workflow import pages

HTML = pages.BUILD / "html"
SHOTS = pages.BUILD / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOCAL = "127.0.0.1"
WIDTH = 1280

# Asked of each page once it has settled: formulas and those that were set; widgets that were declared and that stand.
PROBE = """(() => {
  const docs = window.Bokeh ? Bokeh.documents : [];
  const models = docs.flatMap(d => [...d._all_models.values()]);
  const sliders = models.filter(m => /Slider/.test(m.type) && m.properties.value);
  return {
    formulas: document.querySelectorAll('.math').length,
    set: document.querySelectorAll('mjx-container').length,
    merror: document.querySelectorAll('mjx-merror').length,
    roots: document.querySelectorAll('div[data-root-id], div[id][data-root-id]').length,
    documents: docs.length,
    sliders: sliders.length,
    broken: [...document.images].filter(i => i.complete && i.naturalWidth === 0).length,
    noalt: [...document.querySelectorAll('main img, article img')].filter(i => !i.alt).length,
    overflow: document.documentElement.scrollWidth > window.innerWidth + 2,
  };
})()"""
# Moves the first slider and tells whether any data of the plot changed.
MOVE = """(async () => {
  const doc = Bokeh.documents.find(d => [...d._all_models.values()].some(m => /Slider/.test(m.type)));
  const models = () => [...doc._all_models.values()];
  const slider = models().find(m => /Slider/.test(m.type) && m.properties.value);
  const seen = () => JSON.stringify(models().filter(m => m.type === 'ColumnDataSource')
    .map(m => [...m.data.entries ? m.data.entries() : Object.entries(m.data)]
      .map(([k, v]) => [k, Array.from(v).slice(0, 50)])));
  const before = seen();
  slider.value = slider.start + Math.max(slider.step || 1, 1) * 3;
  await new Promise(r => setTimeout(r, 1500));
  return seen() !== before;
})()"""

# Texts whose contrast with what lies behind them is under 4.5, what WCAG asks at level AA; in widgets' own trees too.
FAINT = """(() => {
  // rgb(0 to 255), but color(srgb 0 to 1), which mixed colours are
  const numbers = c => c.match(/[\\d.]+/g).map((v, i) => v * (c[0] === 'c' && i < 3 ? 255 : 1));
  const parent = e => e.parentElement || e.getRootNode().host;
  const behind = e => { for (; e; e = parent(e)) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor); if (a > .5) return [r, g, b]; }
    return [255, 255, 255]; };
  const opacity = e => e ? getComputedStyle(e).opacity * opacity(parent(e)) : 1;
  const part = v => v <= 10 ? v / 3295 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b) + .05;
  const found = new Set();
  const look = root => { for (const e of root.querySelectorAll('*')) {
    if (e.shadowRoot) look(e.shadowRoot);
    const text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join(' ').trim();
    if (!text || !e.getClientRects().length) continue;
    if (e.closest('style, script, svg, mjx-assistive-mml, .headerlink')) continue;
    const ground = behind(e), [r, g, b, a = 1] = numbers(getComputedStyle(e).color), o = a * opacity(e);
    const seen = [r, g, b].map((v, i) => v * o + ground[i] * (1 - o));
    const [low, high] = [light(seen), light(ground)].sort((x, y) => x - y);
    if (o && high / low < 4.5) found.add(text.slice(0, 40));
  } };
  look(document.querySelector('main') || document.body);
  return [...found];
})()"""


@dataclass
class Finding:
    """What one page did.

    `errors` (console, requests), `probe` (see `PROBE`), whether a slider `moved` the plot, `faint` texts by theme.
    """

    page: str
    errors: list[str] = field(default_factory=list)
    probe: dict[str, Any] = field(default_factory=dict)
    moved: bool | None = None
    faint: Mapping[str, list[str]] = field(default_factory=dict)
    kilobytes: int = 0

    @property
    def faults(self) -> list[str]:
        """All that is wrong, in words."""
        p, faults = self.probe, list(self.errors)
        faults += [f"{p['formulas']} formulas, {p['set']} set"] if p["formulas"] > p["set"] else []
        faults += [f"{p['merror']} formulas with errors"] if p["merror"] else []
        faults += ["a widget is declared but did not come alive"] if p["roots"] and not p["documents"] else []
        faults += ["the slider does not move the plot"] if self.moved is False else []
        faults += [f"{p['broken']} broken images"] if p["broken"] else []
        faults += [f"{p['noalt']} images without alternative text"] if p["noalt"] else []
        faults += ["the page is wider than the window"] if p["overflow"] else []
        faults += [f"hard to read in {theme} mode: {listed}" for theme, listed in self.faint.items() if listed]
        return faults + ([f"{self.kilobytes} kB is over 5 MB"] if self.kilobytes > 5000 else [])


def browser() -> str | None:
    """The Chromium of this machine, None if there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing per request."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost; gives its address."""
    server = ThreadingHTTPServer((LOCAL, 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{LOCAL}:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def chromium() -> Iterator[str]:
    """A headless browser that reaches localhost alone; gives the address of its debugging port."""
    binary = browser()
    if binary is None:
        raise TssmnetError(f"no browser found; install one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={WIDTH},1000"]
        command += [f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOCAL}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield f"http://{LOCAL}:{_debugging_port(Path(profile))}"
        finally:
            process.terminate()
            process.wait(10)


def _debugging_port(profile: Path) -> int:
    for _ in range(300):
        found = profile / "DevToolsActivePort"
        if found.is_file() and (lines := found.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise TssmnetError("the browser did not start within 30 s")


class Tab:
    """One page open in the browser, spoken to over its debugging socket."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.number, self.events = socket, 0, []  # type: ignore[var-annotated]

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come meanwhile are kept."""
        self.number += 1
        await self.socket.write_message(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self.socket.read_message())
            if message.get("id") == self.number:
                return dict(message.get("result", {}))
            self.events.append(message)

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise TssmnetError(
                f"asking the page failed: {answer['exceptionDetails'].get('exception', {}).get('description')}"
            )
        return answer["result"].get("value")

    async def settle(self, quiet: float = 1.0, most: float = 30.0) -> None:
        """Wait until the page is loaded and nothing has happened for `quiet` seconds."""
        end = time.monotonic() + most
        while time.monotonic() < end:
            count = len(self.events)
            await asyncio.sleep(quiet)
            state = await self.evaluate("document.readyState")
            if state == "complete" and len(self.events) == count:
                return


def errors_of(events: list[dict[str, Any]], origin: str) -> list[str]:
    """Console errors, failed requests and requests to other hosts among a tab's events."""
    found, addresses = [], {}
    for event in events:
        kind, p = event.get("method"), event.get("params", {})
        if kind == "Runtime.exceptionThrown":
            details = p["exceptionDetails"]
            found.append("exception: " + str(details.get("exception", {}).get("description", details["text"]))[:300])
        elif kind == "Runtime.consoleAPICalled" and p["type"] == "error":
            found.append("console: " + " ".join(str(a.get("value", a.get("description", ""))) for a in p["args"])[:300])
        elif kind == "Log.entryAdded" and p["entry"]["level"] == "error":
            found.append(f"log: {p['entry']['text']} {p['entry'].get('url', '')}")
        elif kind == "Network.requestWillBeSent":
            addresses[p["requestId"]] = p["request"]["url"]
            if not p["request"]["url"].startswith((origin, "data:", "blob:", "about:")):
                found.append(f"other host: {p['request']['url']}")
        elif kind == "Network.loadingFailed" and not p.get("canceled"):
            found.append(f"failed: {addresses.get(p['requestId'], '?')} {p['errorText']}")
        elif kind == "Network.responseReceived" and p["response"]["status"] >= 400:
            found.append(f"{p['response']['status']}: {p['response']['url']}")
    return found


async def look_at(debugging: str, origin: str, page: Path) -> Finding:
    """Open one page, gather what it did, take its picture."""
    from tornado.websocket import websocket_connect

    name = page.relative_to(HTML).as_posix()
    request = urllib.request.Request(f"{debugging}/json/new?about:blank", method="PUT")
    target = json.loads(urllib.request.urlopen(request).read())
    tab = Tab(await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=2**28))
    for domain in ("Page", "Runtime", "Network", "Log"):
        await tab.ask(f"{domain}.enable")
    await tab.ask("Emulation.setDeviceMetricsOverride", width=WIDTH, height=1000, deviceScaleFactor=1, mobile=False)
    await tab.ask("Page.navigate", url=f"{origin}/{name}")
    await tab.settle()
    finding = Finding(name, probe=await tab.evaluate(PROBE), kilobytes=page.stat().st_size // 1000)
    if finding.probe["sliders"]:
        finding.moved = bool(await tab.evaluate(MOVE))
    finding.faint = {theme: await faint_texts(tab, theme) for theme in ("dark", "light")}
    await picture(tab, SHOTS / f"{name.removesuffix('.html').replace('/', '-')}.png")
    finding.errors = errors_of(tab.events, origin)
    urllib.request.urlopen(f"{debugging}/json/close/{target['id']}").read()
    return finding


async def faint_texts(tab: Tab, theme: str) -> list[str]:
    """Texts that are hard to read in one of the book's themes."""
    await tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    await asyncio.sleep(0.5)  # colours change gently
    return list(await tab.evaluate(FAINT))


async def picture(tab: Tab, path: Path) -> None:
    """The whole page as PNG, at most 9000 pixels long."""
    height = min((await tab.ask("Page.getLayoutMetrics"))["cssContentSize"]["height"], 9000)
    await tab.ask("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height, deviceScaleFactor=1, mobile=False)
    await tab.settle()
    shot = await tab.ask("Page.captureScreenshot", format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(shot["data"]))


def check(names: list[str] | None = None) -> list[Finding]:
    """Look at all built pages, or at those named."""

    async def every(debugging: str, origin: str) -> list[Finding]:
        return [await look_at(debugging, origin, page) for page in chosen]

    chosen = [p for p in sorted(HTML.glob("**/*.html")) if "_static" not in p.parts and (not names or p.stem in names)]
    if not chosen:
        raise TssmnetError("there is no such built page; run `make book` first")
    with served(HTML) as origin, chromium() as debugging:
        return asyncio.run(every(debugging, origin))


def main(arguments: list[str] | None = None) -> int:
    """Command line: print one line per page, then what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m workflow.check_pages", description=str(__doc__).splitlines()[0])
    parser.add_argument("pages", nargs="*", help="page names without .html; all by default")
    try:
        findings = check(parser.parse_args(arguments).pages)
    except TssmnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for f in findings:
        alive = f"formulas {f.probe['set']}/{f.probe['formulas']}  sliders {f.probe['sliders']}"
        print(f"{f.page:32} {f.kilobytes:5} kB  {alive}  {'OK' if not f.faults else 'FAULTS'}")
        for fault in f.faults:
            print(f"    {fault}")
    return int(any(f.faults for f in findings))


if __name__ == "__main__":
    sys.exit(main())
