"""Genuine files for the tests of the readers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tssmnet.data import registry


@pytest.fixture(scope="session")
def genuine() -> Callable[[str], dict[str, Path]]:
    """Paths of a data set's files by registered path; the test is skipped if they are nowhere to be had."""

    refused: dict[str, str] = {}

    def paths(dataset: str) -> dict[str, Path]:
        try:
            if dataset not in refused:
                return registry.paths_of(dataset)
        except registry.DataUnavailableError as error:
            refused[dataset] = str(error)[:200]  # asked once, not before every test
        pytest.skip(f"{dataset} is neither in a mirror nor to be fetched: {refused[dataset]}")

    return paths
