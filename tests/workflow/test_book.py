"""The book as built: it asks no other host for anything, and says what it leaves out."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import yaml

from workflow import check_pages, notebooks, offline, pages, stage

ROOT = Path(__file__).resolve().parents[2]
BUILT = sorted(p for p in check_pages.HTML.glob("**/*.html") if "_static" not in p.parts)
built = pytest.mark.skipif(not BUILT, reason="the book is not built here: make book")


def test_every_address_that_hvplot_writes_is_served_from_an_installed_package(tmp_path: Path) -> None:
    panel = "https://cdn.holoviz.org/panel/1.9.4/dist"
    text = f""" "https://cdn.bokeh.org/bokeh/release/bokeh-3.9.2.min.js"
      '{panel}/panel.min.js' "{panel}/css/loading.css?v=1.9.4" """
    changed, files = offline.localise(text, up="../")
    assert "https://" not in changed
    assert '"../_static/vendor/bokeh/bokeh.min.js"' in changed
    assert files == {"bokeh/bokeh.min.js", "panel/panel.min.js", "panel/css/loading.css"}
    offline.vendor(files, tmp_path)
    assert all((tmp_path / offline.VENDOR / name).stat().st_size > 100 for name in files)


def test_the_formula_script_comes_with_its_fonts(tmp_path: Path) -> None:
    files = offline.mathjax_files()
    assert sum(name.endswith(".woff") for name in files) > 20
    offline.vendor(files, tmp_path)
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert (tmp_path / "_static" / config["sphinx"]["config"]["mathjax_path"]).is_file()


def test_a_file_that_no_package_carries_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no installed package carries"):
        offline.vendor({"panel/no-such-file.js"}, tmp_path)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/a.css">',
        '<img src="http://example.org/a.png">',
        "<style>@font-face { src: url('https://example.org/a.woff2') }</style>",
        '<script>const u = "https://unpkg.com/thing/index.js"</script>',
    ],
)
def test_what_would_be_fetched_from_elsewhere_is_found(html: str) -> None:
    assert len(offline.external_requests(html)) == 1


def test_links_to_follow_are_no_requests() -> None:
    assert offline.external_requests('<a href="https://doi.org/10.1/x">x</a><script src="_static/a.js"></script>') == []


@built
@pytest.mark.parametrize("path", BUILT, ids=lambda p: p.stem)
def test_no_built_page_asks_another_host(path: Path) -> None:
    assert offline.external_requests(path.read_text(encoding="utf-8")) == []


@built
@pytest.mark.parametrize("path", BUILT, ids=lambda p: p.stem)
def test_every_built_page_stays_below_5_mb_and_its_images_have_alternative_text(path: Path) -> None:
    from bs4 import BeautifulSoup

    assert path.stat().st_size < 5_000_000
    main = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find("article")
    assert all(image.get("alt") for image in (main.find_all("img") if main else []))


@pytest.mark.browser
@pytest.mark.skipif(not BUILT or not check_pages.browser(), reason="needs a built book and Chromium")
def test_every_built_page_is_alive_in_a_browser_with_the_network_off() -> None:
    assert {f.page: f.faults for f in check_pages.check() if f.faults} == {}


def test_a_page_without_its_data_says_what_is_missing_and_the_command_that_gets_it() -> None:
    page = pages.book_pages()[0]
    text = stage.missing_page(page, "granule.h5 is nowhere").decode()
    assert text.startswith(f"# {stage.title_of(page.source)}")
    assert f"tssmnet data fetch {page.profile.name}" in text
    assert "granule.h5 is nowhere" in text


def test_the_run_facts_name_profile_minutes_memory_device_and_commit() -> None:
    stamp = {"profile": "conus", "minutes": 1.25, "memory_gb": 0.4, "device": "CPU, 2 cores", "commit": "abc"}
    stamp |= {"dirty": True, "date": "2025-01-01"}
    text = stage.run_facts(stamp)
    assert all(word in text for word in ("conus", "1.2 min", "0.4 GB", "CPU, 2 cores", "abc with local changes"))


def test_an_output_is_pointed_at_the_copies_and_loses_the_second_script() -> None:
    html = '<script src="https://cdn.bokeh.org/bokeh/release/bokeh-3.9.2.min.js">'
    data = {"text/html": html, "application/vnd.holoviews_load.v0+json": "x"}
    output = nbformat.v4.new_output("display_data", data=data)
    assert stage.localise_output(output, "") == {"bokeh/bokeh.min.js"}
    assert "application/vnd.holoviews_load.v0+json" not in output.data


def test_the_book_is_built_from_executed_notebooks_with_warnings_as_errors() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["execute"]["execute_notebooks"] == "off"
    assert '"-W"' in (ROOT / "workflow" / "build.py").read_text()


def test_every_page_of_the_contents_exists_and_declares_what_it_reads() -> None:
    from tssmnet.data.registry import load_manifest

    for page in pages.book_pages():
        assert set(pages.data_for(page)) <= set(load_manifest())
        notebooks.declaration(notebooks.read(page.source), page.source.name)


def test_every_executed_page_stayed_within_its_limits() -> None:
    from workflow import freshness

    stamps = {p.entry: freshness.stamp_of(p.executed) for p in pages.book_pages()}
    over = {entry: (s["minutes"], s["memory_gb"]) for entry, s in stamps.items() if s and not s["within_limits"]}
    assert over == {}
