"""Which code, data and machine stand behind a number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tssmnet import provenance
from tssmnet.book.page import open_page
from tssmnet.errors import TssmnetError


def test_imports_are_found_wherever_they_stand() -> None:
    code = "def f():\n    from tssmnet.metrics import rmse\nimport tssmnet\ntssmnet.reconstruct\n"
    assert provenance.imported_modules(code) >= {"tssmnet.metrics", "tssmnet.reconstruction.memory"}


def test_a_registry_that_names_its_classes_by_strings_reaches_them() -> None:
    assert "tssmnet.models.trees" in provenance.library_hashes(["tssmnet.models"])


def test_relative_and_package_imports_are_resolved() -> None:
    found = provenance.imported_modules(
        "from . import trees\nfrom tssmnet.book import style\nfrom tssmnet import score", "tssmnet.models"
    )
    assert found >= {"tssmnet.models.trees", "tssmnet.book.style", "tssmnet.metrics.scores"}


def test_what_only_a_type_checker_reads_does_not_count() -> None:
    assert provenance.imported_modules("if TYPE_CHECKING:\n    from tssmnet.cube import check_cube") == set()


def test_ordinary_strings_are_not_modules() -> None:
    assert provenance.imported_modules("x = 'data: none'\ny = ':'\nz = 'a:b'\nt = '12:30'\nu = 'see figures'") == set()


def test_hashes_follow_the_imports_transitively() -> None:
    assert set(provenance.library_hashes(["tssmnet.features.samples"])) == {
        "tssmnet.features.samples",
        "tssmnet.errors",
    }


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(TssmnetError, match="not a module"):
        provenance.library_hashes(["tssmnet.nowhere"])


def test_a_stamp_is_fresh_until_its_code_changes(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    stamp = provenance.stamp("a number.", ["tssmnet.features.samples"], data=["smap-conus"])
    path.write_text(json.dumps({"stamp": stamp}))
    assert provenance.results_stamp(path).fresh
    stamp["library"]["tssmnet.errors"] = "of another day"
    path.write_text(json.dumps({"stamp": stamp}))
    found = provenance.results_stamp(path)
    assert found.changed == ("tssmnet.errors",)
    assert "OLDER THAN THE CODE" in found.line()


def test_a_module_that_is_gone_makes_a_stamp_old(tmp_path: Path) -> None:
    stamp = provenance.stamp("a number.", ["tssmnet.errors"])
    stamp["library"]["tssmnet.gone"] = "0"
    (tmp_path / "r.json").write_text(json.dumps({"stamp": stamp}))
    assert provenance.results_stamp(tmp_path / "r.json").changed == ("tssmnet.gone",)


def test_a_result_without_a_stamp_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(TssmnetError, match="carries no stamp"):
        provenance.results_stamp(tmp_path / "r.json")


def test_no_path_of_this_machine_is_in_a_stamp_or_a_line() -> None:
    page = open_page({"In": ["seed = 0"], "seed": 0}, profile="conus")
    text = json.dumps(provenance.stamp("x", ["tssmnet.book.style"])) + page.provenance(provenance.stamp)
    assert str(provenance.ROOT) not in text
    assert "profile conus (seed=0)" in text
    assert "smap-conus " in text
