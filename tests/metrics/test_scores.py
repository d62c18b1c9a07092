"""The metrics against pytesmo and against constructed truth."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tssmnet import metrics
from tssmnet.errors import TssmnetError
from tssmnet.testing import mock_cube

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytesmo.metrics as oracle

# ours -> pytesmo's; its bias is first minus second, ours estimate minus reference
ORACLES = {
    "bias": lambda x, y: oracle.bias(y, x),
    "rmse": oracle.rmsd,
    "ubrmse": oracle.ubrmsd,
    "r": oracle.pearson_r,
    "spearman": oracle.spearman_r,
    "r2": oracle.nash_sutcliffe,
}
seeds = st.integers(0, 2**31)


def series(seed=0, n=200, rho=0.0):
    """Reference and estimate with a known autocorrelation of both."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((2, n))
    for i in range(1, n):
        out[:, i] = rho * out[:, i - 1] + np.sqrt(1 - rho**2) * out[:, i]
    x = 0.25 + 0.05 * out[0]
    return x, 0.05 + 0.8 * x + 0.02 * out[1]


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(5, 300))
def test_each_metric_agrees_with_pytesmo(seed, n):
    x, y = series(seed, n)
    for name, other in ORACLES.items():
        assert metrics.METRICS[name].function(x, y) == pytest.approx(other(x, y), abs=1e-12), name


@settings(max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(5, 300))
def test_analytical_intervals_of_independent_days_agree_with_pytesmo(seed, n):
    x, y = series(seed, n)
    for name, (a, b) in {"bias": (y, x), "pearson_r": (x, y), "spearman_r": (x, y)}.items():
        _, low, high = oracle.with_analytical_ci(name, a, b)
        ours = {"bias": metrics.bias_ci, "pearson_r": metrics.r_ci, "spearman_r": metrics.spearman_ci}[name]
        assert ours(x, y, autocorrelated=False) == pytest.approx((low, high), abs=1e-9), name


def test_a_known_bias_noise_and_gain_are_found():
    rng = np.random.default_rng(1)
    x = rng.uniform(0.05, 0.45, 200_000)
    y = x + 0.03 + 0.04 * rng.standard_normal(x.size)
    assert metrics.bias(x, y) == pytest.approx(0.03, abs=5e-4)
    assert metrics.ubrmse(x, y) == pytest.approx(0.04, abs=5e-4)
    assert metrics.rmse(x, y) == pytest.approx(0.05, abs=5e-4)
    assert metrics.slope(x, 0.1 + 0.7 * x) == pytest.approx(0.7)
    assert metrics.slope(x, y) == pytest.approx(1.0, abs=5e-3)


def test_a_known_correlation_is_found():
    rng = np.random.default_rng(2)
    x, y = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 200_000).T
    assert metrics.r(x, y) == pytest.approx(0.7, abs=5e-3)
    assert metrics.spearman(x, y) == pytest.approx(6 / np.pi * np.arcsin(0.35), abs=5e-3)
    assert metrics.spearman(x, np.exp(3 * x)) == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_errors_split_into_bias_and_the_rest(seed):
    x, y = series(seed)
    assert metrics.rmse(x, y) ** 2 == pytest.approx(metrics.bias(x, y) ** 2 + metrics.ubrmse(x, y) ** 2)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, shift=st.floats(-0.5, 0.5), scale=st.floats(0.1, 10))
def test_metrics_answer_to_shift_and_scale_as_they_should(seed, shift, scale):
    x, y = series(seed)
    assert metrics.ubrmse(x + shift, y) == pytest.approx(metrics.ubrmse(x, y), abs=1e-9)
    assert metrics.r(scale * x + shift, y) == pytest.approx(metrics.r(x, y), abs=1e-9)
    assert metrics.rmse(scale * x, scale * y) == pytest.approx(scale * metrics.rmse(x, y))
    assert metrics.r2(scale * x + shift, scale * y + shift) == pytest.approx(metrics.r2(x, y), abs=1e-9)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_missing_pairs_are_left_out(name):
    x, y = series()
    gaps_x, gaps_y = x.copy(), y.copy()
    gaps_x[::7], gaps_y[3::11] = np.nan, np.nan
    both = np.isfinite(gaps_x) & np.isfinite(gaps_y)
    metric = metrics.METRICS[name].function
    assert metric(gaps_x, gaps_y) == pytest.approx(metric(x[both], y[both]), abs=1e-12)
    assert np.isnan(metric(x * np.nan, y)) if name != "n" else metric(x * np.nan, y) == 0


@pytest.mark.parametrize("name", metrics.METRICS)
def test_sides_of_other_shapes_and_kinds_are_refused(name):
    metric = metrics.METRICS[name].function
    with pytest.raises(TssmnetError, match=r"one shape, got \(3,\) and \(4,\)"):
        metric(np.ones(3), np.ones(4))
    with pytest.raises(TssmnetError, match="must be numbers"):
        metric(np.array(["a", "b"]), np.ones(2))


@pytest.mark.parametrize("name", ["r", "spearman", "slope", "r2", "r2_within"])
def test_a_constant_reference_has_no_ratio(name):
    assert np.isnan(metrics.METRICS[name].function(np.full(50, 0.1), np.linspace(0, 1, 50)))


def test_a_perfect_estimate_gets_the_best_value_of_each_metric():
    x, _ = series()
    for name, metric in metrics.METRICS.items():
        if metric.best is not None:
            assert metric.function(x, x) == pytest.approx(metric.best, abs=1e-12), name


def test_r2_within_leaves_the_wetness_of_places_out():
    rng = np.random.default_rng(5)
    own = np.array([0.1, 0.2, 0.3, 0.4])
    x = own + 0.05 * rng.standard_normal((5000, 4))
    means_only = np.broadcast_to(own, x.shape)
    assert metrics.r2(x, means_only) > 0.8
    assert metrics.r2_within(x, means_only) == pytest.approx(0.0, abs=0.01)
    assert metrics.r2_within(x, x) == 1
    assert metrics.r2_within(x[:, 0], means_only[:, 0]) == pytest.approx(metrics.r2(x[:, 0], means_only[:, 0]))


def test_formulas_and_intervals_are_documented():
    for name, metric in metrics.METRICS.items():
        assert metric.function.__doc__, name
        assert name == "n" or ".. math::" in metric.function.__doc__, name


def test_likeness_of_days_is_measured():
    x, _ = series(n=20_000, rho=0.8)
    assert metrics.lag_one(x) == pytest.approx(0.8, abs=0.02)
    assert metrics.effective_size(x) == pytest.approx(20_000 / 9, rel=0.1)
    assert metrics.effective_size(x, x) == pytest.approx(20_000 * 0.36 / 1.64, rel=0.1)
    assert metrics.lag_one(np.ones(9)) == 0


def truth_of(name, rho):
    x, y = zip(*(series(seed, 2000, rho) for seed in range(100)), strict=True)
    return metrics.METRICS[name].function(np.concatenate(x), np.concatenate(y))


@pytest.mark.parametrize("rho", [0.0, 0.7])
@pytest.mark.parametrize("name", [n for n, metric in metrics.METRICS.items() if metric.interval])
def test_intervals_cover_the_truth_as_often_as_they_say(name, rho):
    truth, inside, trials = truth_of(name, rho), 0, 120
    for seed in range(trials):
        low, high = metrics.METRICS[name].interval(*series(10_000 + seed, 300, rho))
        inside += low <= truth <= high
    # 120 trials of a 95 % interval: 0.89 is three standard deviations below
    assert inside / trials >= 0.87, inside / trials


@pytest.mark.parametrize("name", ["bias", "rmse"])
def test_intervals_that_ignore_autocorrelation_are_too_narrow(name):
    x, y = series(n=400, rho=0.9)
    low, high = metrics.METRICS[name].interval(x, y)
    naive_low, naive_high = metrics.METRICS[name].interval(x, y, autocorrelated=False)
    assert high - low > 1.8 * (naive_high - naive_low)


def test_intervals_are_the_same_for_the_same_seed():
    x, y = series()
    assert metrics.rmse_ci(x, y, seed=3) == metrics.rmse_ci(x, y, seed=3)
    assert metrics.rmse_ci(x, y, seed=3) != metrics.rmse_ci(x, y, seed=4)
    assert all(np.isnan(metrics.METRICS[n].interval(x[:2], y[:2])).all() for n in ("r", "rmse", "slope"))


def test_score_gives_places_then_summary():
    x = np.stack([series(s, 100)[0] for s in range(4)], axis=1)
    y = x + np.array([0.01, 0.02, 0.03, 0.06])
    y[4:, 3] = np.nan
    table = metrics.score(x, y)
    assert [*table.index] == [0, 1, 2, 3, *metrics.SUMMARY]
    assert table.loc[:2, "bias"].tolist() == pytest.approx([0.01, 0.02, 0.03])
    assert np.isnan(table.loc[3, "bias"])
    assert table.loc[3, "n"] == 4
    assert table.loc["median", "bias"] == pytest.approx(0.02)
    assert table.loc["q25", "bias"] == pytest.approx(0.015)
    assert table.loc["pooled", "n"] == 304
    assert table.loc["pooled", "rmse"] == pytest.approx(metrics.rmse(x, y))
    assert table.loc["pooled", "ubrmse"] == pytest.approx(0.0, abs=1e-12)
    assert {"r_low", "r_high", "rmse_low", "rmse_high"} <= {*table}
    assert (table.loc[:2, "rmse_low"] <= table.loc[:2, "rmse"] + 1e-12).all()
    assert [*metrics.score(x, y, ci=False)] == [*metrics.METRICS]


def test_score_matches_data_arrays_by_their_coordinates():
    cube = mock_cube(days=50, pixels=4, observed=1.0)
    ssm = cube["ssm"].assign_coords(pixel=["a", "b", "c", "d"])
    shuffled = (ssm + 0.01).isel(pixel=[2, 0, 3, 1], time=slice(10, None)).transpose("pixel", "time")
    table = metrics.score(ssm, shuffled, ci=False)
    assert [*table.index[:4]] == ["a", "b", "c", "d"]
    assert table.loc["a", "n"] == 40
    assert table.loc["pooled", "bias"] == pytest.approx(0.01, abs=1e-6)
    grid = mock_cube(days=30, shape=(2, 3))["ssm"]
    assert len(metrics.score(grid, grid, ci=False)) == 6 + len(metrics.SUMMARY)


def test_score_refuses_what_does_not_match():
    ssm = mock_cube(days=30, pixels=3)["ssm"]
    with pytest.raises(TssmnetError, match="need the dim 'day'"):
        metrics.score(ssm, ssm, dim="day")
    later = ssm.assign_coords(time=ssm["time"] + np.timedelta64(400, "D"))
    with pytest.raises(TssmnetError, match="no time in common"):
        metrics.score(ssm, later)
    with pytest.raises(TssmnetError, match="one shape"):
        metrics.score(np.ones((3, 2)), np.ones((3, 4)))
    assert isinstance(ssm, xr.DataArray)
