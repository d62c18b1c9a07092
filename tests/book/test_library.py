"""The tables of the page on the library follow the code that they describe."""

from __future__ import annotations

import tssmnet
from tssmnet.book import library
from tssmnet.features.build import FEATURE_SETS
from tssmnet.testing import mock_cube


def test_every_public_call_has_its_signature_and_its_first_line() -> None:
    text = library.calls()
    assert text.count("{dropdown}") == sum(callable(getattr(tssmnet, name)) for name in tssmnet.__all__) > 4
    assert "tssmnet.score(reference, estimate, dim='time'" in text
    assert "**params" in library.call_entry(tssmnet.reconstruct)


def test_the_tables_have_a_row_for_each_entry_in_the_code() -> None:
    sets = library.feature_sets_table(mock_cube(days=60, pixels=30))
    assert list(sets.index) == list(FEATURE_SETS)
    assert sets.loc["base+desc", "features"] > sets.loc["base", "features"]
    assert library.models_table().loc["filler", "kind"] == "filler"
    assert "random" in library.gap_kinds_table().index
    assert library.metrics_table().loc["rmse", "unit"] == "m³\N{NO-BREAK SPACE}m⁻³"
