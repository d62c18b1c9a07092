"""A book that needs nothing from elsewhere: scripts and fonts are taken from installed packages and served with it.

Notebooks made with hvplot name their scripts by the addresses of content networks. `localise` points them at copies
below ``_static/vendor``, `vendor` puts the copies there, `external_requests` finds whatever was missed.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

from tssmnet.errors import TssmnetError

VENDOR = "_static/vendor"
_ENDS = r"[^\s\"'\\<>)]+"
# Address on a content network; the package that carries the same files, and the folder in it.
_BOKEH = re.compile(r"https://cdn\.bokeh\.org/bokeh/release/(bokeh(?:-[a-z]+)?)-\d[\d.]*(?:rc\d+|dev\d+)?(\.min)?\.js")
_PANEL = re.compile(rf"https://cdn\.holoviz\.org/panel/[^/]+/dist/({_ENDS})")
_LOADS = re.compile(rf"https?://(?:cdn|unpkg|fonts|ajax|cdnjs)[a-z.\-]*/{_ENDS}")


def package_folder(package: str) -> Path:
    """Where an installed package lies; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        raise TssmnetError(f"package {package!r} is not installed; run `make env`")
    return Path(spec.origin).parent


def localise(text: str, up: str = "") -> tuple[str, set[str]]:
    """Point known addresses at the book's own copies.

    Parameters
    ----------
    text
        HTML or JavaScript of a notebook's output.
    up
        ``"../"`` for each folder between the page and the top of the book.

    Returns
    -------
    text, files
        The changed text, and the files it now needs below `VENDOR`.

    Examples
    --------
    >>> localise('src="https://cdn.bokeh.org/bokeh/release/bokeh-gl-3.9.2.min.js"')
    ('src="_static/vendor/bokeh/bokeh-gl.min.js"', {'bokeh/bokeh-gl.min.js'})
    """
    files: set[str] = set()

    def bokeh(match: re.Match[str]) -> str:
        files.add(f"bokeh/{match[1]}{match[2] or ''}.js")
        return f"{up}{VENDOR}/bokeh/{match[1]}{match[2] or ''}.js"

    def panel(match: re.Match[str]) -> str:
        name = match[1].split("?")[0]
        if Path(name).suffix:  # the bare folder is a prefix that scripts put before names
            files.add(f"panel/{name}")
        return f"{up}{VENDOR}/panel/{name}"

    return _PANEL.sub(panel, _BOKEH.sub(bokeh, text)), files


def vendored_source(name: str) -> Path:
    """The file in an installed package that `name` below `VENDOR` is a copy of."""
    library, _, rest = name.partition("/")
    if library == "bokeh":
        return package_folder("bokeh") / "server" / "static" / "js" / rest
    if library == "panel":
        return package_folder("panel") / "dist" / rest
    return package_folder("sphinx-mathjax-offline") / "static" / name


def mathjax_files() -> set[str]:
    """The script that sets formulas, and its fonts."""
    root = package_folder("sphinx-mathjax-offline") / "static"
    fonts = (root / "mathjax" / "output" / "chtml" / "fonts" / "woff-v2").glob("*.woff")
    return {"mathjax/tex-mml-chtml.js", *(f.relative_to(root).as_posix() for f in fonts)}


def vendor(files: set[str], html: Path) -> None:
    """Copy `files` to where the built book serves them.

    Raises
    ------
    TssmnetError
        If an installed package does not carry one of them.
    """
    for name in sorted(files):
        source, target = vendored_source(name), html / VENDOR / name
        if not source.is_file():
            raise TssmnetError(f"a page needs {name}, which no installed package carries")
        if not target.is_file() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def external_requests(html: str) -> list[str]:
    """What a browser would fetch from elsewhere on opening a page: scripts, styles, images, fonts, frames.

    Links that a reader may follow are not counted.

    Examples
    --------
    >>> external_requests('<script src="https://cdn.example.org/a.js"></script> <a href="https://doi.org/1">doi</a>')
    ['https://cdn.example.org/a.js']
    """
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    found = [str(tag["src"]) for tag in soup.find_all(["script", "img", "iframe", "source", "video"], src=True)]
    loading = {"stylesheet", "preload", "icon", "preconnect", "prefetch", "modulepreload", "dns-prefetch"}
    found += [str(tag["href"]) for tag in soup.find_all("link", href=True) if loading & set(tag.get("rel") or [])]
    for tag in soup.find_all(["script", "style"]):
        found += _LOADS.findall(tag.string or "")
        found += re.findall(rf"url\(['\"]?(https?://{_ENDS})", tag.string or "")
    return sorted({address for address in found if re.match(r"(https?:)?//", address)})
