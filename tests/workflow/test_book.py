"""The book as built: it asks no other host for anything, says what it leaves out, and fails where a page is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from tssmnet.errors import TssmnetError
from workflow import build, check_pages, notebooks, offline, pages, stage

ROOT = Path(__file__).resolve().parents[2]
ALIVE = {"formulas": 2, "set": 2, "merror": 0, "roots": 1, "documents": 1, "sliders": 1, "broken": 0, "noalt": 0,
         "overflow": False}  # fmt: skip


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


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"probe": ALIVE | {"set": 1}}, "2 formulas, 1 set"),
        ({"probe": ALIVE | {"documents": 0}}, "did not come alive"),
        ({"probe": ALIVE | {"broken": 1}}, "1 broken images"),
        ({"probe": ALIVE | {"noalt": 3}}, "3 images without alternative text"),
        ({"probe": ALIVE | {"overflow": True}}, "wider than the window"),
        ({"moved": False}, "does not move the plot"),
        ({"faint": {"dark": ["Figure 1."], "light": []}}, "hard to read in dark mode: ['Figure 1.']"),
        ({"kilobytes": 5001}, "over 5 MB"),
        ({"errors": ["failed: https://example.org/a.js"]}, "example.org"),
    ],
)
def test_what_is_wrong_with_a_page_is_named(change: dict[str, Any], fault: str) -> None:
    assert check_pages.Finding("a.html", probe=ALIVE, moved=True).faults == []
    faults = check_pages.Finding(**({"page": "a.html", "probe": ALIVE} | change)).faults
    assert len(faults) == 1
    assert fault in faults[0]


def fake_jupyter_book(monkeypatch: pytest.MonkeyPatch, code: int) -> list[list[str]]:
    """Put a stand-in of exit status `code` in the place of Jupyter Book; returns the commands it is given."""
    given: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        given.append(command)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(build.subprocess, "run", run)
    return given


def test_a_warning_of_jupyter_book_fails_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "HTML", tmp_path)
    commands = fake_jupyter_book(monkeypatch, 1)
    with pytest.raises(TssmnetError, match="Jupyter Book failed"):
        build.build_html()
    assert "-W" in commands[0]


def test_a_built_page_that_asks_another_host_fails_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "HTML", tmp_path)
    fake_jupyter_book(monkeypatch, 0)
    (tmp_path / "good.html").write_text('<script src="_static/a.js"></script>')
    build.build_html()
    (tmp_path / "bad.html").write_text('<script src="https://cdn.example.org/a.js"></script>')
    with pytest.raises(TssmnetError, match=r"bad\.html: https://cdn\.example\.org"):
        build.build_html()


@pytest.mark.parametrize("strict", [True, False])
def test_a_page_over_its_limits_fails_a_strict_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, strict: bool
) -> None:
    page = pages.book_pages()[0]
    stamp = {"profile": "twin", "minutes": 9.0, "memory_gb": 0.5, "within_limits": False}
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    monkeypatch.setattr(pages, "book_pages", lambda *_: [page])
    monkeypatch.setattr(stage.freshness, "stamp_of", lambda path: stamp)
    for name in ("fetch_data", "run_pages", "build_html"):
        monkeypatch.setattr(build, name, lambda *_: {})
    monkeypatch.setattr(stage, "stage", lambda *_: None)
    if strict:
        with pytest.raises(TssmnetError, match="over the limits"):
            build.build(strict=True)
    else:
        assert build.build() == build.HTML / "index.html"


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


@pytest.mark.parametrize(
    ("own", "shown"), [([], ["remove-cell", "hide-input"]), (["remove-cell"], ["remove-cell"] * 2)]
)
def test_the_parameters_of_a_run_are_folded_once_and_removed_where_the_page_wants_none(
    own: list[str], shown: list[str]
) -> None:
    tags = (["parameters", *own], ["injected-parameters"])
    cells = [nbformat.v4.new_code_cell(metadata={"tags": list(given)}) for given in tags]
    stage.hide_parameters(nbformat.v4.new_notebook(cells=cells))
    assert [cell.metadata["tags"][-1] for cell in cells] == shown


def test_jupyter_book_shows_the_executed_notebooks_and_runs_none() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["execute"]["execute_notebooks"] == "off"


def test_every_page_of_the_contents_exists_and_declares_what_it_reads() -> None:
    from tssmnet.data.registry import load_manifest

    for page in pages.book_pages():
        assert set(pages.data_for(page)) <= set(load_manifest())
        notebooks.declaration(notebooks.read(page.source), page.source.name)
