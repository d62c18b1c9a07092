"""The data and products that several pages open by their parameters."""

from __future__ import annotations

from typing import Any

import pytest

from tssmnet.book import validation
from tssmnet.book.page import open_page
from tssmnet.cube import to_pixels
from tssmnet.testing import mock_cube


def test_a_study_is_opened_by_the_parameters_of_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def products(cube: Any, **options: Any) -> Any:
        asked.update(options)
        return to_pixels(cube)["ssm"]

    monkeypatch.setattr(validation, "profile_part", lambda profile, name, **world: mock_cube(days=5, pixels=4))
    monkeypatch.setattr(validation, "products", products)
    given = {"epochs": 2, "rounds": 3, "trees": 4, "samples": 5, "seed": 6}
    cell = "\n".join(f"{name} = {value}" for name, value in given.items())
    study = validation.open_study(open_page({"In": [cell], "profile": "conus", **given}))
    assert (asked["samples"], asked["seed"], asked["params"]["rf"]["trees"]) == (5, 6, 4)
    assert study.truth is None
    assert study.cube.sizes["pixel"] == 4
