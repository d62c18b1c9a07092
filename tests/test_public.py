"""The public calls of the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import tssmnet
from tssmnet._public import PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_stays_the_call_after_its_module_was_imported(name: str) -> None:
    """The import system sets a submodule as an attribute of its package; a module cannot be called."""
    code = f"import tssmnet, tssmnet.{PUBLIC[name]}; print(callable(tssmnet.{name}), callable(tssmnet.{name}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True"]


@pytest.mark.slow
def test_filling_a_cube_takes_no_package_of_the_extras() -> None:
    """In a fresh process in which importing a drawing, map or download package fails."""
    code = """
import sys
for name in ("matplotlib", "cartopy", "hvplot", "IPython", "tsfresh", "rasterio", "odc", "earthaccess", "pystac",
             "jsonschema", "requests"):
    sys.modules[name] = None
import tssmnet
from tssmnet.testing import mock_cube
filled = tssmnet.reconstruct(mock_cube(days=90, pixels=6))
assert not filled.ssm.isnull().any()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "TSSMNET_QUIET": "1"})


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'reconstuct'"):
        _ = tssmnet.reconstuct


def test_the_version_is_the_same_wherever_it_stands() -> None:
    root = Path(__file__).resolve().parents[1]
    stated = [
        tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"],
        yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))["version"],
        re.findall(r"^## (\S+),", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[0],
    ]
    assert stated == [tssmnet.__version__] * 3
