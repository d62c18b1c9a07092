"""Importance by shuffling groups, and relevance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tssmnet.book.importance import (
    descriptor_groups,
    kind_groups,
    one_row_per_pixel,
    permutation_importance,
    relevance,
    screened_descriptors,
    trial_importance,
    written_out,
)
from tssmnet.errors import TssmnetError, UnknownNameError
from tssmnet.features.build import build_features
from tssmnet.features.samples import as_samples
from tssmnet.testing import mock_cube


class Sum:
    """Predicts a + b, whatever else there is."""

    def predict(self, samples):
        table = samples.table()
        return table[:, samples.names.index("a")] + table[:, samples.names.index("b")]


def table(n: int = 400) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(n, 3)), columns=["a", "b", "idle"])


def importance(**options) -> pd.DataFrame:
    x = table()
    y = (x.a + x.b).to_numpy() + 0.1
    groups = {"both": ["a", "b"], "one": ["a"], "idle": ["idle"]}
    return permutation_importance(Sum(), as_samples(x), y, groups, **options)


def test_a_feature_that_the_model_ignores_has_no_importance() -> None:
    assert importance().increase["idle"] == 0


def test_shuffling_a_group_costs_what_its_features_explain() -> None:
    """Shuffled, a sum of two standard normals errs by sqrt(2 * 2); one of them by sqrt(2)."""
    found = importance(repeats=20)
    assert found.attrs["rmse"] == pytest.approx(0.1, abs=1e-6)
    assert found.increase["both"] + 0.1 == pytest.approx(2, rel=0.1)
    assert found.increase["one"] + 0.1 == pytest.approx(np.sqrt(2), rel=0.1)
    assert [*found.index] == ["both", "one", "idle"]


def test_importance_is_the_same_for_the_same_seed() -> None:
    pd.testing.assert_frame_equal(importance(seed=3, rows=100), importance(seed=3, rows=100))


def test_a_group_with_an_unknown_feature_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'idel'; did you mean 'idle'"):
        permutation_importance(Sum(), as_samples(table()), np.zeros(400), {"x": ["idel"]})


def test_values_that_do_not_fit_the_samples_are_refused() -> None:
    with pytest.raises(TssmnetError, match="400 samples need as many values"):
        permutation_importance(Sum(), as_samples(table()), np.zeros(3), {"x": ["a"]})


def test_tied_descriptors_share_a_group_and_links_join_groups() -> None:
    names = ["Mean", "Median", "Max", "AbsE", "RMS", "Sum"]
    assert [*descriptor_groups(names)] == ["Mean, Sum", "Median", "Max", "AbsE, RMS"]
    linked = descriptor_groups(names, [["Sum", "RMS"], ["Median", "Max"]])
    assert [*linked] == ["Mean, AbsE, RMS, Sum", "Median, Max"]


@pytest.mark.slow
def test_every_feature_is_in_exactly_one_group_of_its_kind() -> None:
    features = build_features(mock_cube(days=60, pixels=6), memory=True, descriptors="full")
    groups = kind_groups(features)
    assert sorted(n for members in groups.values() for n in members) == sorted(features.names)
    assert len(groups["descriptor"]) == 31


def test_samples_written_out_hold_the_same_table_and_groups() -> None:
    features = build_features(mock_cube(days=20, pixels=4))
    samples = features.where(np.ones(features.shape, bool))
    plain, chosen = written_out(samples, 11, seed=1)
    np.testing.assert_array_equal(plain.table(), samples.table()[chosen])
    assert plain.names == samples.names
    assert plain.features.groups == features.groups


def test_one_row_per_pixel_repeats_no_pixel() -> None:
    features = build_features(mock_cube(days=30, pixels=7))
    samples = features.where(np.ones(features.shape, bool))
    rows, target = one_row_per_pixel(samples, samples.pixel * 10.0)
    assert [*rows.index] == [*range(7)]
    assert [*target] == [10.0 * p for p in range(7)]


def test_relevance_finds_the_feature_that_orders_the_target_and_no_constant() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"good": rng.normal(size=80), "noise": rng.normal(size=80), "constant": np.ones(80)})
    found = relevance(x, x.good**3)
    assert [*found.index] == ["good", "noise", "constant"]
    assert [bool(v) for v in found.relevant] == [True, False, False]
    assert found.p_value["good"] < 1e-10


def test_a_trial_tells_importance_by_kind_and_by_group_of_descriptors() -> None:
    cube = mock_cube(days=120, pixels=12)
    found = trial_importance(cube, "xgboost", "lag+desc", params={"rounds": 20}, repeats=1, rows=200)
    assert {row["group"] for row in found["kind"]} >= {"forcing", "memory", "descriptor"}
    names = [n for row in found["descriptor"] for n in row["group"].split(", ")]
    assert len(names) == len(set(names)) == 31


def test_the_screening_of_features_sees_their_descriptors_only() -> None:
    features = build_features(mock_cube(days=120, pixels=12), descriptors="full")
    screening = screened_descriptors(features)
    assert len(screening.kept) + len(screening.dropped) == 31
