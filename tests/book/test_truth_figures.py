"""How the page on the truth in the gaps tables, draws and words what it found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from tssmnet.book import truth_figures as drawn
from tssmnet.book.truth import errors_of_products
from tssmnet.book.validation import Study

CAUSES = ("observed", "orbit", "frost")


def study_of(cause: np.ndarray) -> Study:
    """A made-up truth of 0.2, and products that are 0.1 off under frost and right elsewhere."""
    time = pd.date_range("2016-01-15", periods=len(cause), freq="180D")
    real = xr.DataArray(np.full(cause.shape, 0.2), dims=("time", "pixel"), coords={"time": time})
    smap = real.where(cause == 0)
    product = xr.concat([smap, real - 0.1 * (cause == 2)], dim=pd.Index(["smap", "tssmnet"], name="product"))
    return Study({"truth": xr.Dataset({"ssm_true": real})}, product)


CAUSE = np.array([[0, 1, 2, 2], [0, 0, 1, 1]])  # in January, then in July


def test_causes_are_stacked_by_their_frequency_above_the_observed_days() -> None:
    truth = study_of(CAUSE).truth
    assert truth is not None
    share = drawn.share_by_month(CAUSE, CAUSES, truth["time"])
    assert list(share) == ["observed", "orbit", "frost"]
    assert share["frost"].tolist() == [0.5, 0.0]
    assert (share.sum(axis=1) == 1).all()


def test_frost_is_told_apart_by_season_and_the_observed_days_do_not_count() -> None:
    rmse, share = drawn.by_cause_and_season(study_of(CAUSE), CAUSE, CAUSES, CAUSES[1:])
    assert np.isclose(rmse.loc["frost", "winter"], 0.1)
    assert rmse.loc["orbit"].dropna().abs().max() < 1e-6
    assert np.isclose(share.to_numpy().sum(), 1)


def test_the_error_of_a_cell_is_that_of_its_gap_days() -> None:
    found = drawn.error_in_gaps(study_of(CAUSE), "tssmnet")
    assert np.allclose(found, [np.nan, 0, 0.1 / 2**0.5, 0.1 / 2**0.5], equal_nan=True)


def test_a_drier_estimate_under_frost_is_called_drier() -> None:
    study = study_of(CAUSE)
    assert study.truth is not None
    net = errors_of_products(study.truth.values, study.product, CAUSE, CAUSES).loc["tssmnet"]
    assert drawn.of_cold_gaps(net).startswith("In gaps by *frost* TsSMNet is drier than the truth (−0.100 m³ m⁻³)")
    assert drawn.net_table(net)["share of gap days (%)"].tolist() == ["–", "60.0", "40.0"]


def test_judges_are_compared_with_the_stations() -> None:
    ranks = pd.DataFrame({"rf": [1, 2], "tssmnet": [2, 1]}, index=["stations", "frost"])
    table = drawn.judges_table(ranks, pd.Series({"frost": 0.01}), pd.Series({"frost": 0.4}))
    assert table["Kendall's tau with stations"].tolist() == [1.0, -1.0]
    assert table["share of gap days (%)"].tolist() == ["–", "40.0"]
