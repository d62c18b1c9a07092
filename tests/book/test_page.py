"""What a page knows of itself, wherever its notebook runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tssmnet.book import notebook
from tssmnet.book.page import open_page
from tssmnet.errors import UnknownNameError


@pytest.fixture(autouse=True)
def no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (notebook.RUNNER_VARIABLE, "JPY_SESSION_NAME"):
        monkeypatch.delenv(variable, raising=False)


def test_without_its_file_a_page_reads_its_parameters_from_the_cells_that_ran() -> None:
    cells = ["", 'profile = "conus"\nseed = 1', "import tssmnet"]
    page = open_page({"In": cells, "profile": "conus", "seed": 7})
    assert (page.name, page.profile, page.parameters) == ("notebook", "conus", {"seed": 7})
    assert "smap-conus" in page.data


def test_a_notebook_of_the_book_is_known_by_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book").mkdir()
    for name, code in (("one", "a = 1"), ("two", "b = 2")):
        cells = [{"cell_type": "code", "metadata": {}, "source": [code]}]
        (tmp_path / "book" / f"{name}.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
    monkeypatch.setattr(notebook, "ROOT", tmp_path)
    found = notebook.running_notebook(["", "b = 2\n"])
    assert found is not None
    assert found.stem == "two"
    assert notebook.running_notebook(["c = 3"]) is None


def test_jupyter_says_which_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.ipynb"
    path.write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert notebook.running_notebook([]) == path


def test_a_page_has_the_parts_of_its_profile_and_what_its_variables_hold() -> None:
    page = open_page({"In": [], "profile": "twin", "stored": {}, "runs": [1]})
    assert page.has("truth")
    assert page.has("runs")
    assert not page.has("stored")
    with pytest.raises(UnknownNameError, match=r"did you mean 'stored'"):
        page.has("store")


def test_only_a_made_up_profile_is_marked_synthetic() -> None:
    assert open_page({"In": [], "profile": "twin"}).synthetic
    assert not open_page({"In": [], "profile": "twin"}, profile="genuine records").synthetic
