"""Which pages are run again, and which are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest

from tssmnet import provenance
from tssmnet.errors import TssmnetError, UnknownNameError
from workflow import build, freshness, pages, run_notebook, stage


def cell(source: str, *tags: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of two small notebooks on a profile without data, in a folder of its own."""
    root = tmp_path / "project"
    (root / "book" / "profiles").mkdir(parents=True)
    (root / "requirements.lock").write_text("numpy==2\n")
    (root / "data_manifest.yml").write_text("datasets: []\n")
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: one\nchapters:\n- file: two\n")
    (root / "book" / "profiles" / "small.yml").write_text("title: nothing\ndata: []\nminutes: 1\n")
    write(root / "book" / "one.ipynb", "seed = 0", "from tssmnet.features.samples import as_samples\nprint(seed)")
    write(root / "book" / "two.ipynb", "days = 3", "print('days', days)")
    for module, name, value in (
        (pages, "ROOT", root), (pages, "BOOK", root / "book"), (pages, "BUILD", root / "_build"),
        (stage, "STAGE", root / "_build" / "stage"), (provenance, "ROOT", root),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    return root


def write(path: Path, parameters: str, code: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("# Title"), cell(parameters, "parameters"), cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def page(name: str) -> pages.Page:
    return next(p for p in pages.book_pages("small") if p.name == name)


def pretend_run(p: pages.Page, **given: object) -> None:
    """Stamp a page as `run` does, without a kernel."""
    executed = nbformat.read(p.source, as_version=4)
    executed.metadata["tssmnet_run"] = run_notebook.stamp_for(p, freshness.ingredients(p, given), 0.5, 0.1)
    run_notebook.write_whole(executed, p.executed)


def stale() -> list[str]:
    return [p.name for p in pages.book_pages("small") if freshness.why_stale(p)]


def test_a_page_that_never_ran_is_stale_and_one_that_just_ran_is_not(book: Path) -> None:
    assert stale() == ["one", "two"]
    pretend_run(page("one"))
    assert stale() == ["two"]


def test_dates_do_not_matter(book: Path) -> None:
    for p in pages.book_pages("small"):
        pretend_run(p)
    (book / "book" / "one.ipynb").touch()
    assert stale() == []


def test_an_edit_of_a_module_stales_the_pages_that_reach_it_and_no_other(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = book / "library"
    shutil.copytree(provenance.SOURCE, source, ignore=shutil.ignore_patterns("__pycache__", "*.yml"))
    monkeypatch.setattr(provenance, "SOURCE", source)
    for p in pages.book_pages("small"):
        pretend_run(p)
    with (source / "errors.py").open("a") as file:  # page one reaches it through tssmnet.features.samples
        file.write("\n# another remark\n")
    assert stale() == ["one"]
    assert freshness.why_stale(page("one")) == "library (tssmnet.errors)"


def test_another_parameter_stales_a_page(book: Path) -> None:
    pretend_run(page("one"))
    assert freshness.why_stale(page("one"), {"seed": 1}) == "parameters"
    pretend_run(page("one"), seed=1)
    assert freshness.why_stale(page("one"), {"seed": 1}) == ""


def test_another_lock_stales_every_page(book: Path) -> None:
    for p in pages.book_pages("small"):
        pretend_run(p)
    (book / "requirements.lock").write_text("numpy==3\n")
    assert stale() == ["one", "two"]


def test_a_file_that_a_page_reads_stales_it(book: Path) -> None:
    path = book / "book" / "two.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["tssmnet"] = {"reads": ["results/{profile}.json"]}
    nbformat.write(notebook, path)
    for p in pages.book_pages("small"):
        pretend_run(p)
    (book / "results").mkdir()
    (book / "results" / "small.json").write_text("{}")
    assert stale() == ["two"]


def test_a_half_written_copy_counts_as_never_run(book: Path) -> None:
    pretend_run(page("one"))
    page("one").executed.write_text('{"cells": [')
    assert "one" in stale()


def test_the_runner_stamps_moves_into_place_and_keeps_no_path(book: Path) -> None:
    """A real kernel: the one slow test of this file."""
    stamp = run_notebook.run(page("one"), {"seed": 7})
    text = page("one").executed.read_text()
    assert "7\\n" in text
    assert str(book) not in text
    assert stamp["within_limits"]
    assert stamp["memory_gb"] > 0
    assert freshness.why_stale(page("one"), {"seed": 7}) == ""
    assert list(page("one").executed.parent.glob(".*")) == []


def test_a_failing_cell_fails_the_page_and_leaves_no_executed_copy(book: Path) -> None:
    write(book / "book" / "two.ipynb", "days = 3", "raise ValueError('no such day')")
    with pytest.raises(TssmnetError, match=r"two\.ipynb failed on profile small; see _build/failed/small/two\.ipynb"):
        run_notebook.run(page("two"))
    assert not page("two").executed.exists()


def test_a_parameter_for_the_book_goes_where_it_is_declared_and_nowhere_else(book: Path) -> None:
    assert pages.split_given(pages.book_pages("small"), {"days": 9}) == {"one": {}, "two": {"days": 9}}


def test_a_parameter_that_no_page_declares_is_refused_by_name(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--profile", "small", "-p", "day=9"]) == 1
    error = capsys.readouterr().err
    assert "'day'" in error
    assert "did you mean 'days'?" in error


def test_an_unknown_profile_is_refused_by_name(book: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown profile 'smal'; did you mean 'small'"):
        pages.book_pages("smal")


def test_a_misspelt_key_in_a_profile_is_refused(book: Path) -> None:
    (book / "book" / "profiles" / "small.yml").write_text("title: x\nminuts: 3\n")
    with pytest.raises(UnknownNameError, match="did you mean 'minutes'"):
        pages.load_profile("small")


def test_a_page_in_a_folder_named_after_a_profile_runs_on_it(book: Path) -> None:
    (book / "book" / "profiles" / "other.yml").write_text("title: x\n")
    (book / "book" / "_toc.yml").write_text("format: jb-book\nroot: one\nchapters:\n- file: other/one\n")
    assert [(p.entry, p.profile.name) for p in pages.book_pages("small")] == [("one", "small"), ("other/one", "other")]


def test_a_name_in_the_contents_without_a_page_is_an_error(book: Path) -> None:
    (book / "book" / "_toc.yml").write_text("format: jb-book\nroot: one\nchapters:\n- file: three\n")
    with pytest.raises(TssmnetError, match="three"):
        pages.book_pages("small")
