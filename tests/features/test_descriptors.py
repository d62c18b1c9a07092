"""The 31 descriptors: each equals its oracle, and none is upset by missing days, constants or dask."""

import antropy
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import tsfel
import tsfresh.feature_extraction.feature_calculators as tsf
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tssmnet.errors import TssmnetError
from tssmnet.features.descriptors import DESCRIPTORS, NAMES, describe_series, temporal_descriptors
from tssmnet.features.kernels import entropy_scratch, merge_order, pairwise_sum, sort_order, template_matches

ORACLES = {
    "Mean": tsf.mean,
    "Median": tsf.median,
    "WHM": scipy.stats.hmean,
    "WGM": scipy.stats.gmean,
    "WPM": lambda x: scipy.stats.pmean(x, 3),
    "Std": np.std,
    "Var": np.var,
    "CV": tsf.variation_coefficient,
    "MAD": tsfel.mean_abs_deviation,
    "MeAD": lambda x: scipy.stats.median_abs_deviation(x, scale=1),
    "IQR": scipy.stats.iqr,
    "RMS": tsf.root_mean_square,
    "Min": np.min,
    "Max": np.max,
    "Skew": scipy.stats.skew,
    "Kurt": scipy.stats.kurtosis,
    "Q1": lambda x: np.quantile(x, 0.25),
    "SampEn": tsf.sample_entropy,
    "MeanDiff": tsf.mean_change,
    "MedDiff": tsfel.median_diff,
    "MASD": tsf.mean_abs_change,
    "MeASD": tsfel.median_abs_diff,
    "ACF": lambda x: tsf.autocorrelation(x, 1),
    "SecDerMean": tsf.mean_second_derivative_central,
    "P2P": lambda x: (
        np.diff(scipy.signal.find_peaks(x)[0]).mean() if len(scipy.signal.find_peaks(x)[0]) > 1 else np.nan
    ),
    "AbsE": tsf.abs_energy,
    "Sum": tsf.sum_values,
    "SAD": tsf.absolute_sum_of_changes,
    "CAM": tsf.count_above_mean,
    "CBM": tsf.count_below_mean,
}

sizes = st.integers(5, 150)
continuous = hnp.arrays(np.float64, sizes, elements=st.floats(0.02, 0.6))
gridded = hnp.arrays(np.float64, sizes, elements=st.integers(1, 12).map(lambda k: k * 0.05))
seeded = st.builds(
    lambda n, seed: 0.3 + 0.02 * np.cumsum(np.random.default_rng(seed).normal(size=n)).clip(-13, 13),
    st.integers(5, 400),
    st.integers(0, 2**20),
)
series = st.one_of(continuous, gridded, seeded).filter(lambda x: np.std(x) > 1e-3)
quick = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def row(x, **options):
    """Descriptors of one series by name."""
    return dict(zip(NAMES, describe_series(np.asarray(x), threads=1, **options), strict=True))


def matches_of_all_pairs(x, m, tolerance):
    """Template matches of length m and m + 1, by comparing every pair."""
    counts = []
    for k in (m, m + 1):
        windows = np.lib.stride_tricks.sliding_window_view(x, k)
        near = np.abs(windows[:, None] - windows[None]).max(-1) <= tolerance
        counts.append(int(near.sum() - len(windows)) // 2)
    return tuple(counts)


def matches_by_bits(x, m, tolerance):
    """The same two counts from the kernel."""
    order = np.argsort(x, kind="stable")
    return template_matches(x[order], order, m, tolerance, np.empty(0, np.int64), entropy_scratch(len(x), 0))


def test_the_table_has_31_rows_in_the_order_of_table_a1():
    assert len(DESCRIPTORS) == len(set(NAMES)) == 31
    assert list(dict.fromkeys(d.category for d in DESCRIPTORS)) == [
        "Central tendency",
        "Dispersion and variability",
        "Extremes and distribution",
        "Temporal dynamics",
        "Magnitude and energy",
        "Count-based",
    ]
    assert {d.abbr for d in DESCRIPTORS if d.oracle} == set(ORACLES)
    assert {d.abbr for d in DESCRIPTORS if d.coverage_dependent} == {"AbsE", "Sum", "SAD", "CAM", "CBM"}


@quick
@given(series)
@pytest.mark.filterwarnings("ignore")
def test_every_descriptor_equals_its_oracle_to_1e9(x):
    ours = row(x)
    for name, oracle in ORACLES.items():
        theirs = float(oracle(x))
        if name == "SampEn" and not np.isfinite(theirs):
            theirs = np.nan  # tsfresh gives infinity where only the shorter templates match
        np.testing.assert_allclose(ours[name], theirs, rtol=1e-9, atol=1e-9, err_msg=name)


def test_sample_entropy_equals_tsfresh_on_long_series():
    rng = np.random.default_rng(3)
    for x in (rng.random(1000), np.round(rng.random(700), 1), np.sin(np.arange(900) / 9)):
        assert row(x)["SampEn"] == pytest.approx(tsf.sample_entropy(x), abs=1e-12)


def test_sample_entropy_is_close_to_antropys_which_leaves_out_one_template():
    x = np.random.default_rng(0).random(1000)
    assert row(x)["SampEn"] == pytest.approx(antropy.sample_entropy(x), abs=0.01)


@quick
@given(st.one_of(continuous, gridded), st.integers(2, 4), st.floats(0.01, 0.3))
def test_matches_counted_by_bits_are_those_of_all_pairs(x, m, tolerance):
    assert matches_by_bits(x, m, tolerance) == matches_of_all_pairs(x, m, tolerance)


@pytest.mark.parametrize("n", [63, 64, 65, 128, 129, 700])
def test_match_counts_hold_at_word_boundaries_and_ties(n):
    x = np.round(np.random.default_rng(n).random(n), 2)
    for tolerance in (0.1, 0.25, x[1] - x[0] if x[1] > x[0] else x[0] - x[1]):
        assert matches_by_bits(x, 2, tolerance) == matches_of_all_pairs(x, 2, tolerance)


def test_match_counts_of_a_series_wider_than_one_strip_of_columns():
    x = np.random.default_rng(1).random(4500)
    counts = np.zeros(2, int)
    for first in range(4499):
        near = (abs(x[first + 1 :] - x[first]) <= 0.05)[:-1] & (abs(x[first + 2 :] - x[first + 1]) <= 0.05)
        counts[0] += near.sum()
        if first < 4498:
            counts[1] += (near[:-1] & (abs(x[first + 3 :] - x[first + 2]) <= 0.05)).sum()
    assert matches_by_bits(x, 2, 0.05) == tuple(counts)


@pytest.mark.parametrize("n", [1, 7, 8, 127, 128, 129, 365, 1000, 2557])
def test_sums_agree_with_numpy_to_the_last_bit(n):
    x = np.random.default_rng(n).random(n)
    assert pairwise_sum(x, n) == x.sum()


@pytest.mark.parametrize("kind", ["spread", "ties", "outlier", "tiny"])
def test_both_sorts_sort(kind):
    x = np.random.default_rng(0).random(500)
    x = {"spread": x, "ties": np.round(x, 1), "outlier": np.append(x, 1e12), "tiny": x * 5e-324}[kind]
    for sort in (sort_order, merge_order):
        order = np.empty(len(x), np.int64)
        sort(x, order, np.empty(len(x) + 1, np.int64))
        np.testing.assert_array_equal(x[order], np.sort(x))
        assert set(order) == set(range(len(x)))


def test_peak_interval_of_hand_made_series():
    assert row([0.1, 0.3, 0.1, 0.1, 0.4, 0.1, 0.2, 0.1])["P2P"] == pytest.approx(2.5)  # peaks at 1, 4, 6
    assert row([0.1, 0.3, 0.3, 0.3, 0.1, 0.5, 0.1])["P2P"] == pytest.approx(3)  # a flat top counts at its middle: 2, 5
    assert np.isnan(row([0.1, 0.2, 0.3, 0.2, 0.1])["P2P"])  # one peak has no interval
    assert np.isnan(row([0.3, 0.2, 0.1, 0.2, 0.3])["P2P"])  # ends are no peaks


def test_segment_correlation_of_hand_made_series():
    up, down = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert row(up + up)["SegCorr"] == pytest.approx(1)
    assert row(up + down)["SegCorr"] == pytest.approx(-1)
    assert row([*up, *up, 0.9])["SegCorr"] == pytest.approx(1)  # the odd last value is left out
    assert row(up + up + down, segments=3)["SegCorr"] == pytest.approx(0)  # mean of +1 and -1
    assert row([0.1, 0.2, 0.4, 0.1, 0.4, 0.2])["SegCorr"] == pytest.approx(
        0.142857142857142857
    )  # Pearson of (1,2,4), (1,4,2)
    assert np.isnan(row([0.1, 0.2, 0.3, 0.2, 0.2, 0.2])["SegCorr"])  # a constant segment has no correlation


@quick
@given(seeded, st.floats(0.01, 0.2))
def test_a_shift_moves_the_level_and_nothing_else(x, shift):
    a, b = row(x), row(x + shift)
    for name in ("Mean", "Median", "Min", "Max", "Q1"):
        assert b[name] == pytest.approx(a[name] + shift, abs=1e-9)
    for name in ("Std", "MAD", "MeAD", "IQR", "Skew", "MeanDiff", "MASD", "ACF", "SegCorr", "P2P", "SAD"):
        np.testing.assert_allclose(b[name], a[name], rtol=1e-6, atol=1e-9, err_msg=name)


@quick
@given(seeded)
def test_doubling_the_values_scales_each_descriptor_by_its_power(x):
    a, b = row(x), row(2 * x)
    for d in DESCRIPTORS:
        np.testing.assert_allclose(b[d.abbr], a[d.abbr] * 2.0**d.power, rtol=1e-12, err_msg=d.abbr)


@quick
@given(seeded)
def test_reversal_flips_differences_and_spares_the_rest(x):
    a, b = row(x), row(x[::-1])
    for d in DESCRIPTORS:
        if d.abbr in ("SegCorr", "P2P"):  # an odd length or a flat top is cut from the other end
            continue
        sign = -1 if d.abbr in ("MeanDiff", "MedDiff") else 1
        np.testing.assert_allclose(b[d.abbr], sign * a[d.abbr], rtol=1e-6, atol=1e-9, err_msg=d.abbr)


@quick
@given(seeded, st.integers(0, 99))
def test_order_matters_only_to_descriptors_of_time_and_entropy(x, seed):
    a, b = row(x), row(np.random.default_rng(seed).permutation(x))
    for d in DESCRIPTORS:
        if d.category != "Temporal dynamics" and d.abbr not in ("SAD", "SampEn", "CAM", "CBM"):
            np.testing.assert_allclose(b[d.abbr], a[d.abbr], rtol=1e-6, atol=1e-9, err_msg=d.abbr)


@quick
@given(seeded, st.integers(0, 99))
def test_missing_days_are_closed_up(x, seed):
    rng = np.random.default_rng(seed)
    with_gaps = np.full(3 * len(x), np.nan)
    with_gaps[np.sort(rng.choice(len(with_gaps), len(x), replace=False))] = x
    np.testing.assert_array_equal(describe_series(with_gaps), describe_series(x))


@quick
@given(seeded)
def test_on_a_complete_daily_series_time_and_observed_spacing_agree(x):
    np.testing.assert_array_equal(describe_series(x, days=np.arange(len(x))), describe_series(x))


@pytest.mark.parametrize("level", [0.04, 0.1, 0.3, 0.56])
def test_a_constant_segment_is_known_wherever_the_mean_of_the_series_lies(level):
    rng = np.random.default_rng(0)
    for n in (50, 191, 400):
        assert np.isnan(row(np.concatenate([rng.uniform(0.02, 0.6, n), np.full(n, level)]))["SegCorr"])


def test_segment_correlation_is_pearsons_on_long_series():
    x = 0.3 + 0.01 * np.random.default_rng(1).normal(size=(20, 1001)).cumsum(1)
    ours = describe_series(x)[:, NAMES.index("SegCorr")]
    np.testing.assert_allclose(ours, [np.corrcoef(v[:500], v[500:1000])[0, 1] for v in x], rtol=1e-9, atol=1e-9)


def test_time_spacing_counts_days():
    x = np.full(9, np.nan)
    x[[0, 1, 3, 4, 8]] = [0.1, 0.3, 0.1, 0.4, 0.2]
    ours = row(x, days=np.arange(9))
    rates = np.array([0.2, -0.1, 0.3, -0.05])
    assert ours["MeanDiff"] == pytest.approx(rates.mean())
    assert ours["MedDiff"] == pytest.approx(np.median(rates))
    assert ours["SAD"] == pytest.approx(abs(rates).sum())
    assert ours["SecDerMean"] == pytest.approx((np.diff(rates) / [3, 3, 5]).mean())
    assert ours["P2P"] == pytest.approx(3)  # peaks on days 1 and 4
    d = x - np.nanmean(x)
    assert ours["ACF"] == pytest.approx(
        (d[0] * d[1] + d[3] * d[4]) / 2 / np.nanvar(x)
    )  # the two pairs of adjacent days


@pytest.mark.parametrize("m", [2, 3])
def test_time_spacing_compares_patterns_whose_days_are_spaced_alike(m):
    rng = np.random.default_rng(5)
    days = np.flatnonzero(rng.random(2000) < 0.5)
    x = np.round(rng.random(len(days)) ** 3, 1)
    tolerance = 0.2 * np.std(x)
    near = []
    for k in (m, m + 1):
        values = np.lib.stride_tricks.sliding_window_view(x, k)
        steps = np.lib.stride_tricks.sliding_window_view(np.diff(days), k - 1)
        alike = (np.abs(values[:, None] - values[None]).max(-1) <= tolerance) & (steps[:, None] == steps[None]).all(-1)
        near.append(np.triu(alike, 1).sum())
    daily = np.full(2000, np.nan)
    daily[days] = x
    assert near[1] > 20
    assert row(daily, days=np.arange(2000), m=m)["SampEn"] == pytest.approx(-np.log(near[1] / near[0]), abs=1e-12)


def test_time_spacing_correlates_segments_on_days_observed_in_both():
    first, second = np.array([0.1, np.nan, 0.3, 0.2, 0.4]), np.array([0.2, 0.3, np.nan, 0.1, 0.5])
    both = np.isfinite(first) & np.isfinite(second)
    expected = np.corrcoef(first[both], second[both])[0, 1]
    assert row(np.concatenate([first, second]), days=np.arange(10))["SegCorr"] == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_degenerate_series_give_defined_values_and_no_warning():
    assert np.isnan(describe_series(np.full(50, np.nan))).all()
    assert describe_series(np.empty((3, 0))).shape == (3, 31)
    for length in range(1, 7):
        values = row(np.linspace(0.1, 0.3, length))
        assert values["Mean"] == pytest.approx(0.2 if length > 1 else 0.1)
        for d in DESCRIPTORS:
            if length < d.least:
                assert np.isnan(values[d.abbr]), (d.abbr, length)
    constant = row(np.full(50, 0.1))
    assert {n for n, v in constant.items() if np.isnan(v)} == {"Skew", "Kurt", "ACF", "SegCorr", "P2P"}
    assert constant["SampEn"] == constant["Std"] == constant["CAM"] == constant["CBM"] == 0
    assert np.isfinite(row(np.full(50, 0.1))["Mean"])
    assert np.isnan(row([-0.1, 0.2, 0.3])["WHM"])
    assert row([0.0, 0.2, 0.3])["WHM"] == row([0.0, 0.2, 0.3])["WGM"] == 0


def test_a_series_with_no_match_has_no_entropy():
    assert np.isnan(row([0.1, 0.9, 0.4, 0.2, 0.7])["SampEn"])


def test_the_power_mean_joins_the_other_means():
    x = np.random.default_rng(0).random(50) + 0.05
    for power, name in ((2, "RMS"), (1, "Mean"), (0, "WGM"), (-1, "WHM")):
        assert row(x, power=power)["WPM"] == pytest.approx(row(x)[name], rel=1e-12)


def test_weights_are_those_of_scipy_and_touch_only_the_weighted_means():
    rng = np.random.default_rng(2)
    x, w = rng.random(40) + 0.05, rng.random(40)
    ours, plain = row(x, weights=w), row(x)
    assert ours["WHM"] == pytest.approx(scipy.stats.hmean(x, weights=w))
    assert ours["WGM"] == pytest.approx(scipy.stats.gmean(x, weights=w))
    assert ours["WPM"] == pytest.approx(scipy.stats.pmean(x, 3, weights=w))
    assert all(ours[n] == plain[n] or np.isnan(plain[n]) for n in NAMES if n not in ("WHM", "WGM", "WPM"))


def cube_of_gaps(shape=(80, 3, 4), dtype="f4", seed=0):
    """Soil moisture with gaps, dims time, y, x."""
    rng = np.random.default_rng(seed)
    values = rng.random(shape)
    values[rng.random(shape) < 0.5] = np.nan
    time = np.datetime64("2020-01-01") + np.arange(shape[0])
    return xr.DataArray(values.astype(dtype), dims=("time", "y", "x"), coords={"time": time}, attrs={"units": "m3 m-3"})


def test_dask_gives_what_numpy_gives_and_stays_lazy():
    ssm = cube_of_gaps()
    for options in ({}, {"spacing": "time"}, {"normalised": True}):
        lazy = temporal_descriptors(ssm.chunk(time=30, y=2), **options)
        assert lazy.Mean.chunks is not None
        xr.testing.assert_identical(lazy.compute(), temporal_descriptors(ssm, **options))


def test_any_order_of_dimensions_gives_the_same_maps():
    ssm = cube_of_gaps()
    xr.testing.assert_identical(temporal_descriptors(ssm.transpose("y", "time", "x")), temporal_descriptors(ssm))
    one = temporal_descriptors(ssm[:, 0, 0])
    assert one.Mean.shape == ()
    assert one.Mean == temporal_descriptors(ssm).Mean[0, 0]


def test_float32_input_is_computed_in_float64():
    ssm = cube_of_gaps()
    xr.testing.assert_identical(temporal_descriptors(ssm), temporal_descriptors(ssm.astype("f8")))
    assert temporal_descriptors(ssm).SampEn.dtype == np.float64


def test_threads_do_not_change_the_result():
    values = np.random.default_rng(0).random((1200, 60))
    np.testing.assert_array_equal(describe_series(values, threads=1), describe_series(values, threads=4))


def test_time_spacing_follows_the_dates_not_the_index():
    ssm = cube_of_gaps()
    kept = ssm.notnull().any(("y", "x"))
    kept[10:20] = False
    xr.testing.assert_allclose(
        temporal_descriptors(ssm[kept.values], spacing="time"), temporal_descriptors(ssm.where(kept), spacing="time")
    )


def test_normalised_twins_do_not_grow_with_coverage():
    ssm = cube_of_gaps()
    twins = temporal_descriptors(ssm, normalised=True)
    xr.testing.assert_allclose(twins.Sum, twins.Mean)
    xr.testing.assert_allclose(twins.AbsE, twins.RMS**2)
    xr.testing.assert_allclose(twins.SAD, twins.MASD)
    assert float((twins.CAM + twins.CBM).max()) <= 1
    assert twins.CAM.attrs["units"] == "1"


def test_weights_may_have_only_the_time_dimension():
    ssm = cube_of_gaps()
    weights = xr.DataArray(np.linspace(0, 1, 80), dims="time")
    whole = temporal_descriptors(ssm, weights=weights.broadcast_like(ssm))
    xr.testing.assert_identical(temporal_descriptors(ssm, weights=weights), whole)
    xr.testing.assert_identical(temporal_descriptors(ssm.chunk(y=1), weights=weights).compute(), whole)
    xr.testing.assert_identical(temporal_descriptors(ssm, weights=weights.chunk(time=9)).compute(), whole)


def test_which_picks_descriptors_and_units_follow_the_power():
    picked = temporal_descriptors(cube_of_gaps(), which=["Var", "Mean", "P2P"], spacing="time")
    assert list(picked) == ["Var", "Mean", "P2P"]
    assert [picked[n].attrs["units"] for n in picked] == ["m6 m-6", "m3 m-3", "d"]
    assert temporal_descriptors(cube_of_gaps(), spacing="time").SecDerMean.attrs["units"] == "m3 m-3 d-2"


def test_wrong_calls_are_told_what_is_wrong():
    ssm = cube_of_gaps()
    with pytest.raises(TssmnetError, match="did you mean 'Median'"):
        temporal_descriptors(ssm, which=["Medan"])
    with pytest.raises(TssmnetError, match="dimension 'time'"):
        temporal_descriptors(ssm.isel(time=0))
    with pytest.raises(TssmnetError, match=r"lag must be at least 1.*segments"):
        temporal_descriptors(ssm, lag=0, segments=1)
    with pytest.raises(TssmnetError, match="observed, time"):
        temporal_descriptors(ssm, spacing="days")
    with pytest.raises(TssmnetError, match="drop duplicates"):
        temporal_descriptors(ssm[[0, 0, 1]], spacing="time")
