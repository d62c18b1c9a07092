"""What a known truth tells of gaps."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tssmnet.book import truth
from tssmnet.cube import to_pixels
from tssmnet.errors import TssmnetError
from tssmnet.testing import mock_cube


def test_each_missing_day_knows_the_length_of_its_gap():
    observed = np.array([[0, 1, 0, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]], bool).T
    lengths = truth.gap_lengths(observed)
    assert lengths[:, 0].tolist() == [1, 0, 3, 3, 3, 0, 1]
    assert not lengths[:, 1].any()
    assert (lengths[:, 2] == 7).all()


def test_lengths_fall_into_classes_by_their_longest_day():
    labels = truth.length_labels(np.array([[0, 1, 2, 3, 7, 8, 90, 91, 700]]))
    assert labels.ravel().tolist() == [-1, 0, 1, 2, 2, 3, 4, 5, 5]


def test_december_belongs_to_the_winter():
    labels = truth.season_labels(pd.to_datetime(["2016-12-01", "2016-02-28", "2016-03-01", "2016-11-30"]), 2)
    assert labels[:, 0].tolist() == [0, 0, 1, 3]
    assert labels.shape == (4, 2)


@pytest.fixture
def observations():
    cause = xr.DataArray(np.array([[0, 1, 2], [1, 1, 0]], np.int8), dims=("time", "pixel"))
    cause.attrs = {"flag_values": np.array([0, 1, 2], np.int8), "flag_meanings": "observed orbit frost"}
    return xr.Dataset({"gap_cause": cause})


def test_causes_are_those_of_the_flags(observations):
    labels, names = truth.gap_causes(observations)
    assert names == ("observed", "orbit", "frost")
    assert labels.tolist() == [[0, 1, 2], [1, 1, 0]]


def test_an_orbit_gap_over_frozen_ground_is_told_apart(observations):
    frozen = xr.DataArray(np.array([[0, 0, 1], [1, 0, 0]], np.int8), dims=("time", "pixel"))
    snow = xr.DataArray(np.array([[9.0, 9.0, 0], [0, 0, 0]]), dims=("time", "pixel"))
    labels, names = truth.gap_causes(observations, xr.Dataset({"frozen": frozen, "snow_water": snow}))
    assert [names[i] for i in labels.ravel()] == [
        "observed", truth.COLD_ORBIT, "frost", truth.COLD_ORBIT, "orbit", "observed",
    ]  # fmt: skip


def test_errors_are_told_apart_by_label():
    rng = np.random.default_rng(3)
    real = rng.uniform(0.1, 0.4, (50, 4))
    labels = np.where(np.arange(50)[:, None] < 20, 0, 1) * np.ones((1, 4), int)
    estimate = real + np.where(labels == 0, 0.01, 0.05)
    table = truth.errors_by(real, estimate, labels, ["short", "long"])
    assert table["rmse"].tolist() == pytest.approx([0.01, 0.05])
    assert table["count"].tolist() == [80, 120]
    assert table["share"].sum() == pytest.approx(1)
    assert table["rmse_in_time"].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_a_fixed_error_of_each_cell_is_no_error_in_time():
    rng = np.random.default_rng(4)
    real = rng.uniform(0.1, 0.4, (200, 6))
    estimate = real + np.array([-0.1, 0.1, -0.05, 0.05, 0.08, -0.08]) + 0.01 * rng.standard_normal(real.shape)
    row = truth.errors_by(real, estimate, np.zeros(real.shape, int), ["all"]).loc["all"]
    assert row["rmse"] > 0.07
    assert row["rmse_in_time"] == pytest.approx(0.01, rel=0.1)


def test_labels_below_zero_and_missing_estimates_do_not_count():
    real = np.full((4, 2), 0.2)
    estimate = np.array([[0.3, np.nan], [0.2, 0.2], [0.9, 0.9], [0.2, 0.2]])
    labels = np.array([[0, 0], [0, 0], [-1, -1], [0, 0]])
    row = truth.errors_by(real, estimate, labels, ["kept"]).loc["kept"]
    assert row["count"] == 5
    assert row["bias"] == pytest.approx(0.02)


def test_products_stand_one_below_the_other():
    real = np.random.default_rng(0).uniform(0.1, 0.4, (9, 3))
    product = xr.DataArray(
        np.stack([real + 0.01, real - 0.03]), dims=("product", "time", "pixel"), coords={"product": ["wet", "dry"]}
    )
    table = truth.errors_of_products(real, product, np.zeros(real.shape, int), ["all"])
    assert table.loc[("wet", "all"), "bias"] == pytest.approx(0.01)
    assert table.loc[("dry", "all"), "bias"] == pytest.approx(-0.03)


def test_the_random_split_is_set_beside_the_truth():
    options = {"days": 80, "pixels": 8, "seed": 1}
    cube = to_pixels(mock_cube(**options, observed=0.4))
    real = to_pixels(mock_cube(**options, observed=1.0))["ssm"]
    found = truth.random_split(cube, real, "linear", "base")
    assert found["split"] == pytest.approx(found["split_truth"], abs=1e-6)  # the mock has no retrieval error
    assert 0 < found["gaps_truth_in_time"] <= found["gaps_truth"]


def test_truth_of_other_cells_is_refused():
    cube = to_pixels(mock_cube(days=40, pixels=6))
    with pytest.raises(TssmnetError, match="same cells"):
        truth.random_split(cube, cube["ssm"].isel(pixel=slice(3)), "linear", "base")
