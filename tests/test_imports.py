"""The folder list is the data flow: an import goes to the same folder or to one before it, never to a later one."""

from __future__ import annotations

import pytest

from tssmnet.provenance import SOURCE, imported_modules

ORDER = (
    *("ground", "data", "twin", "profiles", "features", "metrics"),
    *("models", "filler", "reconstruction", "trials", "book", "cli"),
)
"""The folders from the sources to the pages; the modules beside the folders, but the command line, are the ground."""


def rank(module: str) -> int:
    """The place of a module ``tssmnet.x.y`` in `ORDER`."""
    folder = module.split(".")[1]
    return ORDER.index(folder) if folder in ORDER else 0


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_up_the_list_of_folders(path) -> None:
    module = ".".join(("tssmnet", *path.relative_to(SOURCE).with_suffix("").parts))
    package = module.rpartition(".")[0]
    later = {name for name in imported_modules(path.read_text(), package) if rank(name) > rank(module)}
    assert not later or module == "tssmnet.__init__", f"{module} imports from a later folder: {sorted(later)}"


def test_few_modules_stand_beside_the_folders() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 12
