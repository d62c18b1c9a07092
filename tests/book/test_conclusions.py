"""What the conclusions rest on is counted where it can be seen, and left out where it cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import conclusions
from tssmnet.book.products import PRODUCTS
from tssmnet.book.validation import Study

TIME = pd.date_range("2016-01-01", periods=30)
TRUTH = np.random.default_rng(0).uniform(0.1, 0.4, (30, 4))


@pytest.fixture
def study() -> Study:
    values = np.stack([TRUTH + 0.01 * i for i in range(len(PRODUCTS))])
    values[0, ::2] = np.nan  # SMAP sees every other day
    lat, lon = ("pixel", [30.0, 31, 32, 33]), ("pixel", [100.0] * 4)
    places = {"time": TIME, "lat": lat, "lon": lon}
    product = xr.DataArray(values, dims=("product", "time", "pixel"), coords={"product": list(PRODUCTS), **places})
    stations = xr.Dataset(
        {"ssm": (("time", "station"), TRUTH[:, :2] + 0.05)},
        {"time": TIME, "station": ["a", "b"], "lat": ("station", [30.0, 31]), "lon": ("station", [100.0] * 2)},
    )
    truth = xr.Dataset({"ssm_true": (("time", "pixel"), TRUTH)}, {"time": TIME})
    return Study({"stations": stations, "truth": truth}, product)


def test_coverage_is_that_of_smap_and_of_the_reconstruction(study: Study) -> None:
    assert conclusions.coverage(study) == {"before": 50.0, "after": 100.0}


def test_the_floor_is_the_error_of_the_truth_itself(study: Study) -> None:
    found = conclusions.by_stations(study, resamples=10, seed=0)
    assert found["floor"] == pytest.approx(0.05)
    assert found["by_stations"].rmse["tssmnet"] == pytest.approx(0.0, abs=1e-9)
    assert found["station_ranks"]["rank"].idxmin() == "tssmnet"


def test_without_the_truth_there_is_no_floor(study: Study) -> None:
    blind = Study({"stations": study.parts["stations"]}, study.product)
    assert "floor" not in conclusions.by_stations(blind, resamples=10, seed=0)
