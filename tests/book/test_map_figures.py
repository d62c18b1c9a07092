"""Seasons and coverage of the products, on a record small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import map_figures


@pytest.fixture
def truth() -> xr.DataArray:
    days = pd.date_range("2016-01-01", "2016-06-30")
    wet = np.where(days.month <= 2, 0.1, 0.3)[:, None] + np.array([0.0, 0.1])
    return xr.DataArray(wet, dims=("time", "pixel"), coords={"time": days})


@pytest.fixture
def product(truth: xr.DataArray) -> xr.DataArray:
    odd = truth["time.day"] % 2 == 1
    one_place = xr.DataArray([True, False], dims="pixel")
    return xr.concat([truth.where(odd & one_place), truth + 0.02], pd.Index(["smap", "tssmnet"], name="product"))


def test_december_to_february_is_winter_and_seasons_without_days_are_left_out(truth: xr.DataArray) -> None:
    means = map_figures.season_means(truth)
    assert means["season"].values.tolist() == ["winter", "spring", "summer"]
    assert means.isel(pixel=0).values == pytest.approx([0.1, 0.3, 0.3])


def test_the_table_of_seasons_counts_what_smap_sees_and_how_far_each_mean_is_off(
    truth: xr.DataArray, product: xr.DataArray
) -> None:
    table = map_figures.season_table(truth, product)
    assert table["cells never observed (%)"].tolist() == [50, 50, 50]
    assert table.loc["summer", "days observed (%)"] == pytest.approx(25)
    assert table["TsSMNet, all days"].to_numpy() == pytest.approx(0.02)
    assert table[["truth, on SMAP's days", "SMAP, on its days"]].to_numpy() == pytest.approx(0)


def test_coverage_is_counted_by_month(product: xr.DataArray) -> None:
    monthly = map_figures.coverage_by_month(product)
    assert monthly.loc["2016-06-01"].to_dict() == pytest.approx({"SMAP": 0.25, "TsSMNet": 1.0})


def test_the_truth_stands_after_smap_where_it_is_known(truth: xr.DataArray, product: xr.DataArray) -> None:
    names = ["smap", "tssmnet"]
    assert [*map_figures.side_by_side(product, truth, names)] == ["SMAP", "truth", "TsSMNet"]
    assert [*map_figures.side_by_side(product, None, names)] == ["SMAP", "TsSMNet"]
