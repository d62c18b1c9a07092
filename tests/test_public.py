"""The public calls of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tssmnet
from tssmnet._public import PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_stays_the_call_after_its_module_was_imported(name: str) -> None:
    """The import system sets a submodule as an attribute of its package; a module cannot be called."""
    code = f"import tssmnet, tssmnet.{PUBLIC[name]}; print(callable(tssmnet.{name}), callable(tssmnet.{name}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True"]


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'reconstuct'"):
        _ = tssmnet.reconstuct
