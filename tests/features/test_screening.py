"""Screening: collinear features go, always the same ones, and each with its reason."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor

from tssmnet.errors import TssmnetError
from tssmnet.features.descriptors import NAMES, describe_series
from tssmnet.features.screening import correlation_groups, screen, variance_inflation


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    level, spread = rng.uniform(0.1, 0.4, (300, 1)), rng.uniform(0.01, 0.05, (300, 1))
    described = describe_series(np.clip(level + spread * rng.normal(size=(300, 250)), 0.02, 0.6))
    assert np.isfinite(described).all()
    return described


def test_variance_inflation_is_that_of_statsmodels():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    with_constant = np.column_stack([np.ones(200), x])
    expected = [variance_inflation_factor(with_constant, k) for k in range(1, 5)]
    np.testing.assert_allclose(variance_inflation(x), expected, rtol=1e-6)


def test_what_is_kept_is_not_collinear(table):
    result = screen(table, NAMES, max_correlation=0.9, max_vif=8)
    kept = table[:, [NAMES.index(n) for n in result.kept]]
    assert 3 <= len(result.kept) < 20
    rho = pd.DataFrame(kept).corr("spearman").abs().to_numpy()
    assert (rho[~np.eye(len(rho), dtype=bool)] <= 0.9).all()
    assert max(result.vif.values()) <= 8
    np.testing.assert_allclose(variance_inflation(kept), list(result.vif.values()), rtol=1e-6)


def test_every_feature_is_kept_or_dropped_with_a_reason(table):
    result = screen(table, NAMES)
    assert set(result.kept) | set(result.dropped) == set(NAMES)
    assert not set(result.kept) & set(result.dropped)
    assert all(result.dropped.values())
    report = result.table()
    assert sorted(report.feature) == sorted(NAMES)
    assert (report.reason == "").equals(report.kept)


def test_tied_descriptors_fall_into_one_group_and_the_first_represents_it(table):
    result = screen(table, NAMES)
    group = next(g for g in result.groups if "Mean" in g)
    assert group[0] == "Mean"
    assert "Sum" in group
    assert "correlates with Mean" in result.dropped["Sum"]


def test_the_order_of_rows_does_not_matter(table):
    shuffled = table[np.random.default_rng(3).permutation(len(table))]
    a, b = screen(table, NAMES), screen(shuffled, NAMES)
    assert (a.kept, a.groups, list(a.dropped)) == (b.kept, b.groups, list(b.dropped))


def test_missing_values_and_constants_are_survived():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 5))
    x[:, 1], x[:60, 2], x[::7, 3], x[3, 4] = 0.1, np.nan, np.nan, np.inf
    result = screen(x, list("abcde"))
    assert result.kept == ("a", "d", "e")
    assert result.dropped["b"] == "constant"
    assert result.dropped["c"] == "missing in 60 of 100 rows"


@pytest.mark.filterwarnings("error")
def test_too_few_rows_leave_something_defined(table):
    assert screen(table[:1], NAMES).kept == ()
    assert screen(table[:0], NAMES).kept == ()
    assert 1 <= len(screen(table[:3], NAMES).kept) <= 2
    assert screen(np.full((10, 2), np.nan), ["a", "b"]).kept == ()


def test_groups_hold_only_pairs_above_the_threshold():
    chain = np.array([[1, 0.96, 0.90], [0.96, 1, 0.97], [0.90, 0.97, 1]])
    assert correlation_groups(chain, 0.95) == [[0], [1, 2]]
    assert correlation_groups(chain, 0.5) == [[0, 1, 2]]
    assert correlation_groups(np.array([[1, 0.95], [0.95, 1]]), 0.95) == [[0], [1]]


def test_a_monotone_pair_is_one_group_by_rank_and_two_by_line():
    x = np.random.default_rng(0).uniform(0, 10, 200)
    pair = np.stack([x, np.exp(x)], 1)
    assert len(screen(pair, "ab").groups) == 1
    assert len(screen(pair, "ab", method="pearson").groups) == 2


def test_exact_collinearity_without_a_correlated_pair_is_found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    result = screen(np.column_stack([x, x.sum(1)]), list("abcdef"))
    assert len(result.kept) == 5
    assert "variance inflation" in next(iter(result.dropped.values()))


def test_a_data_frame_brings_its_names_and_wrong_calls_are_refused(table):
    assert screen(pd.DataFrame(table, columns=list(NAMES))).kept == screen(table, NAMES).kept
    with pytest.raises(TssmnetError, match="one name a column"):
        screen(table, NAMES[:3])
    with pytest.raises(TssmnetError, match="max_correlation"):
        screen(table, NAMES, max_correlation=1.5)
    with pytest.raises(TssmnetError, match="did you mean 'spearman'"):
        screen(table, NAMES, method="spearmann")
