"""The environment is stated once, in pyproject.toml; lock, environments for conda and the imports agree with it."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workflow import lock

ROOT = Path(__file__).resolve().parents[2]
# Versions in conda's MatchSpec grammar, `name>=low,<high`; names as conda-forge spells them.
VERSION = r"(=|<|>=|<=)[0-9][0-9A-Za-z.]*"
MATCH_SPEC = re.compile(rf"[a-z0-9_][a-z0-9_.\-]*({VERSION}(,{VERSION})*)?")
# Needed without an import of ours: engines and back ends that others load by name, and tools called as commands.
BY_NAME = {"dask", "h5netcdf", "zarr", "jupyter-book", "sphinx-book-theme", "sphinx-mathjax-offline",
           "snakemake", "ipykernel", "jupyter-bokeh", "nbstripout", "ruff", "mypy", "types-pyyaml", "setuptools",
           "ipython", "linkify-it-py", "ismn", "pint"}  # fmt: skip
# Who may import what: the rest of the library fills cubes, and takes the core alone.
EXTRAS_OF = {"src/tssmnet/data": ("data",), "src/tssmnet/twin": ("data",), "src/tssmnet/book": ("book",),
             "workflow": ("book",), "book": ("book",)}  # fmt: skip
LOCAL = {
    "tssmnet",
    "workflow",
    "benchmarks",
    "tests",
    "conftest",
    "china_archive",
    "loopback",
    "common",
    "twin_bounds",
    "broken_cubes",
    "broken_stations",
    "stress",
    "children",
    "scenes",
}


def direct() -> dict[str, Requirement]:
    """The direct requirements by canonical name."""
    return {canonicalize_name(r.name): r for r in lock.requirements()}


def imports_of(*files: Path) -> set[str]:
    """Top-level names that files import, notebooks among them."""
    from workflow import notebooks

    codes = [notebooks.code_of(notebooks.read(p)) if p.suffix == ".ipynb" else p.read_text("utf-8") for p in files]
    found: set[str] = set()
    for node in (node for code in codes for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found - LOCAL - set(sys.stdlib_module_names)


def code_in(folder: str) -> list[Path]:
    """Every Python file and notebook below a folder."""
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".ipynb"})


@cache
def distributions() -> dict[str, set[str]]:
    """The installed distributions that bring each importable name; found once, since it reads them all."""
    return {name: {canonicalize_name(d) for d in found} for name, found in packages_distributions().items()}


def homes_of(names: set[str]) -> dict[str, set[str]]:
    """The distributions that each imported name may come from."""
    return {name: distributions().get(name, {name}) for name in names}


def test_the_lock_was_made_from_the_requirements_of_today() -> None:
    stated = re.search(r"# requirements: (\w+)", lock.LOCK.read_text())
    assert stated
    assert stated[1] == lock.fingerprint(), "pyproject.toml changed: run `make lock`"


def test_every_direct_requirement_is_pinned_within_its_range() -> None:
    pins = lock.read_lock()
    for name, requirement in direct().items():
        assert name in pins, name
        assert requirement.specifier.contains(pins[name], prereleases=True), f"{requirement} is locked at {pins[name]}"


def test_the_lock_pins_everything_reached_and_nothing_else() -> None:
    """Follow the metadata of what is installed, from the direct requirements on."""
    pins, waiting, seen = lock.read_lock(), [(n, frozenset(r.extras)) for n, r in direct().items()], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed; run `make env`")
        for need in map(Requirement, lines):
            if any(need.marker is None or need.marker.evaluate({"extra": e}) for e in (extras or {""}) | {""}):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    reached = {name for name, _ in seen}
    assert reached - set(pins) == set(), "not locked: run `make lock`"
    assert set(pins) - reached == set(), "locked but needed by nothing: run `make lock`"


def test_the_lock_names_versions_alone() -> None:
    """No index, host, path or local build label: the same lock serves any machine."""
    for line in lock.LOCK.read_text().splitlines():
        assert line.startswith("# ") or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\-]*==[0-9][0-9a-z.!]*", line), line
    assert lock.read_lock()["torch"] == "2.13.0"
    assert "xgboost" not in lock.read_lock(), "the CPU install takes xgboost-cpu"


def test_what_is_imported_is_stated_and_what_is_stated_is_imported() -> None:
    stated = set(direct())
    used: set[str] = set()
    for folder in ("src", "workflow", "tests", "book", "benchmarks"):
        for name, homes in homes_of(imports_of(*code_in(folder))).items():
            assert homes & stated, f"{folder}/ imports {name}, which pyproject.toml does not state"
            used |= homes
    assert stated - used - BY_NAME == set(), "stated in pyproject.toml, imported nowhere"


def test_a_folder_imports_only_what_its_own_group_of_requirements_brings() -> None:
    for path in code_in("src") + code_in("workflow") + code_in("book"):
        place = path.relative_to(ROOT).as_posix()
        extras = next((e for folder, e in EXTRAS_OF.items() if place.startswith(f"{folder}/")), ())
        brought = {canonicalize_name(r.name) for r in lock.requirements(extras)}
        for name, homes in homes_of(imports_of(path)).items():
            assert homes & brought, f"{place} imports {name}, which `pip install tssmnet{list(extras)}` does not bring"


def dependencies(path: str) -> tuple[list[str], list[str]]:
    """What conda and what pip installs, by an environment file."""
    *plain, nested = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))["dependencies"]
    return plain, nested["pip"]


@pytest.mark.parametrize("kind", lock.ENVIRONMENTS, ids=lambda kind: kind.path)
def test_an_environment_file_is_what_the_requirements_give(kind: lock.Environment) -> None:
    text = (ROOT / kind.path).read_text(encoding="utf-8")
    assert text == lock.environment_text(kind, lock.read_lock()), "run `make lock`"
    content = yaml.safe_load(text)
    assert set(content) == {"name", "channels", "dependencies"}
    assert content["channels"] == ["conda-forge"]
    plain, from_pip = dependencies(kind.path)
    assert [spec for spec in plain if not MATCH_SPEC.fullmatch(spec)] == []
    assert all(Requirement(line).specifier for line in from_pip)


def test_conda_takes_the_builds_of_its_device_and_no_cpu_environment_asks_for_a_gpu() -> None:
    for kind in lock.ENVIRONMENTS:
        names = {re.split("[=<>]", spec)[0] for spec in dependencies(kind.path)[0]}
        assert {f"pytorch-{kind.build}", f"py-xgboost-{kind.build}"} <= names
        assert not any(name.endswith("gpu") for name in names) or kind.build == "gpu"


def test_conda_is_asked_for_no_version_of_pypi_alone() -> None:
    """Ranges, not the versions of the lock: conda-forge need not have those."""
    exact = {spec for kind in lock.ENVIRONMENTS for spec in dependencies(kind.path)[0] if re.search(r"[a-z]=", spec)}
    # the two of which pyproject.toml itself allows one version alone; conda-forge has both
    assert exact == {"python=3.11", "sphinx-book-theme=1.1.4", "antropy=0.2.3"}


def test_binder_starts_jupyter_with_what_shows_the_text_and_brings_no_linter() -> None:
    plain, from_pip = dependencies(".binder/environment.yml")
    names = {re.split("[=<>]", spec)[0] for spec in plain + from_pip}
    assert {"jupyterlab", "jupyterlab-myst", "ipykernel"} <= names
    assert names & {"ruff", "mypy", "pytest", "nbstripout", "hypothesis", "tsfel"} == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    """Names in code style, from the root or from the library's folder; one in capitals stands for any."""
    words = [
        w for quoted in re.findall(r"`([^`]+)`", (ROOT / document).read_text(encoding="utf-8")) for w in quoted.split()
    ]
    named = {w for w in words if re.fullmatch(r"[\w./-]+(/|\.(py|yml|md|ipynb|toml|lock|cff))", w)}
    missing = {w for w in named if not any((p / w).exists() for p in (ROOT, ROOT / "src" / "tssmnet"))}
    assert {w for w in missing if not re.search(r"NAME|PROFILE", w)} == set()
