"""A checkout anywhere, parameters that hold anything, a machine without Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "'; touch seen; echo $(touch seen) `touch seen` {seen} \"|&\n\\"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy whose path has a space, a quotation mark and letters beyond ASCII, with a book of one small page."""
    root = tmp_path / "Böden, d'été 土壤" / "tssmnet book"
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for folder in ("workflow", "tests/workflow"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "data_manifest.yml", "requirements.lock", "Makefile", "_config.yml"):
        shutil.copy(ROOT / name, root / name)
    profiles = root / "book" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "small.yml").write_text("title: nothing\ndata: []\nminutes: 5\nmemory_gb: 5\n")
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: one\n")
    code = nbformat.v4.new_code_cell
    cells = [code('words = ""', metadata={"tags": ["parameters"]}), code("print(repr(words))")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "book" / "one.ipynb")
    return root


def python_in(root: Path) -> str:
    """A Python of the checkout's own, so that its path has the same letters; it sees the packages of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / ".venv"], check=True)
    site = next((root / ".venv" / "lib").glob("python*/site-packages"))
    (site / "paths.pth").write_text(f"{root / 'src'}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return str(root / ".venv" / "bin" / "python")


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, timeout=300)


RUN_PAGES = """
import json, sys
from workflow import build, pages
shown = pages.book_pages("small")
build.run_pages(shown, pages.split_given(shown, {"words": json.loads(sys.argv[1])}), "small")
"""


@pytest.mark.slow
def test_a_page_runs_under_any_path_and_no_parameter_is_read_as_shell(checkout: Path) -> None:
    done = run(checkout, python_in(checkout), "-c", RUN_PAGES, json.dumps(HOSTILE))
    assert done.returncode == 0, done.stdout + done.stderr
    page = nbformat.read(checkout / "_build" / "executed" / "small" / "one.ipynb", as_version=4)
    assert page.cells[-1].outputs[0].text == f"{HOSTILE!r}\n"
    assert not list(checkout.rglob("seen"))


@pytest.mark.slow
def test_the_workflows_own_tests_pass_under_any_path(checkout: Path) -> None:
    done = run(checkout, sys.executable, "-m", "pytest", "tests/workflow/test_workflow.py", "-q", "-x")
    assert done.returncode == 0, done.stdout[-3000:]


def test_no_rule_of_the_workflow_makes_a_shell_line_by_hand() -> None:
    text = (ROOT / "workflow" / "Snakefile").read_text(encoding="utf-8")
    lines = text.split("shell:")[1:]
    assert lines
    assert all(line.strip().split("\n")[0] == '"{params.command:q}"' for line in lines)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("given", [["PYTHON="], ["PYTHON=python9"]])
def test_make_without_python_says_one_clear_line(given: list[str]) -> None:
    done = subprocess.run(["make", "-n", "book", *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "make PYTHON=/path/to/python3" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_on_a_path_without_python_says_so_too(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHON"} | {"PATH": str(tmp_path)}
    make = shutil.which("make") or ""
    done = subprocess.run([make, "-n", "book"], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert "No Python was found" in done.stderr
    assert done.stderr.count("\n") == 1
