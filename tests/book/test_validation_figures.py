"""The ranks and words of the page on validation follow from the numbers that it is given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import validation_figures as drawn
from tssmnet.book.validation import RECONSTRUCTIONS, at_station_days
from tssmnet.metrics import pooled


def sums(errors: dict[str, float]) -> dict[str, pooled.Sums]:
    reading = np.linspace(0.1, 0.4, 40)
    place = np.arange(40) % 8
    return {name: pooled.sums_by_place(reading, reading + error, place, 8) for name, error in errors.items()}


@pytest.fixture(scope="module")
def ranks() -> pd.DataFrame:
    errors = {name: 0.01 * (i + 1) for i, name in enumerate(RECONSTRUCTIONS)}
    return drawn.ranks_by_judge(drawn.cited_table(), {"stations": sums(errors)}, resamples=20, seed=0)


def test_only_drawn_ranks_have_a_range(ranks: pd.DataFrame) -> None:
    table = drawn.ranks_table(ranks)
    assert table.loc["RF"].to_dict() == {"paper, stations": "2", "stations": "1 [1 to 1]"}


def test_judges_are_compared_that_are_there(ranks: pd.DataFrame) -> None:
    words = drawn.agreements(ranks.xs("rank", axis=1, level=1))
    assert words.startswith("“paper, stations” and “stations” put the five in")
    assert ";" not in words


def test_the_paper_has_tssmnet_as_the_best_and_smap_on_a_quarter_of_the_days() -> None:
    paper = drawn.cited_table()
    assert drawn.best(paper) == "TsSMNet"
    assert drawn.smap_share(paper) == pytest.approx(23.5, abs=0.05)


def test_most_of_an_error_is_the_stations_only_where_the_numbers_say_so() -> None:
    assert drawn.what_is_the_stations(0.09, 0.08) == ""
    assert "the station's distance" in drawn.what_is_the_stations(0.09, 0.05)


def test_a_field_is_read_at_the_cells_and_days_of_the_stations() -> None:
    time = pd.date_range("2016-01-01", periods=3)
    field = xr.DataArray(np.arange(6.0).reshape(3, 2), dims=("time", "pixel"), coords={"time": time})
    matched = pd.DataFrame({"time": time[[2, 0]], "pixel": [1, 0]})
    assert at_station_days(field, matched).tolist() == [5.0, 0.0]


def test_a_network_of_short_records_has_no_scores() -> None:
    matched = pd.DataFrame(
        {"network": "N", "station": ["a"] * 5, "pixel": 0, "reading": 0.2, "tssmnet": 0.3, "smap": 0.3}
    )
    row = drawn.network_scores(matched).loc["N"]
    assert (row["stations"], row["station-days"], row["SMAP's share (%)"]) == (1, "5", "100")
    assert np.isnan(row["r"])


def test_cells_with_few_days_have_no_score_and_squares_add_up() -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.4, (40, 3))
    other = xr.DataArray(
        values, dims=("time", "pixel"), coords={"lat": ("pixel", [1.0, 2, 9]), "lon": ("pixel", [1.0] * 3)}
    )
    field = np.where(np.arange(3) == 2, np.where(np.arange(40)[:, None] < 10, values, np.nan), values + 0.1)
    by_cell = drawn.sums_by_cell(other, {"smap": field, "tssmnet": field})
    bias = drawn.cell_maps(by_cell, other, "bias")["SMAP"]
    assert bias.values == pytest.approx([0.1, 0.1, np.nan], nan_ok=True)
    assert drawn.in_squares(by_cell, other, 5.0)["smap"][:, 0].tolist() == [80, 10]
